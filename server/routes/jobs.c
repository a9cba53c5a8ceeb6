/* jobs.c - POST /rehearse and /jobs. Beginning and cancelling go through the trainer, who does the work; looking does not.
 *
 * POST /rehearse answers 202 as soon as the job is begun, or with Prefer: wait=N (RFC 7240) after its end, but N seconds later at
 * the most, and within the deadline of a request: 200 where it has ended by then.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/common/clock.h"
#include "server/routes/handlers.h"

/* ---- a job in JSON ---- */

/* One line for the client. What failed on our side is told by its title, as in a problem; the log has the story. */
static const char *reason(const struct job_status *job)
{
    const struct problem *problem = problem_find(job->err.code);
    return problem->detail != NULL && job->state != JOB_STATE_CANCELLED ? problem->title : job->err.text;
}

static void write_error(struct text *text, const struct job_status *job)
{
    char line[2 * ERR_TEXT_BYTES];
    (void)snprintf(line, sizeof line, "%s%s%s", reason(job), job->then != NULL ? "; " : "",
                   job->then != NULL ? job->then : "");
    text_add_quoted(text, line, strlen(line));
}

void job_write(struct text *text, const struct job_status *job)
{
    const double share = job->steps_total > 0 ? (double)job->steps / (double)job->steps_total : 0;
    text_add_format(text, "{\"id\":%lld,\"kind\":\"%s\",\"state\":\"%s\",\"progress\":", (long long)job->id, job->kind,
                    job_state_name(job->state));
    text_add_fixed9(text, share);
    text_add_format(text, ",\"steps\":%llu,\"steps_total\":%llu,\"pass\":%llu,\"passes\":%llu,\"started\":",
                    (unsigned long long)job->steps, (unsigned long long)job->steps_total, (unsigned long long)job->pass,
                    (unsigned long long)job->passes);
    text_add_time(text, job->started_us);
    text_add_format(text, ",\"seconds\":%.3f,\"seconds_left\":", job->seconds);
    if (job->state != JOB_STATE_RUNNING)
        text_add_string(text, "0");
    else if (job->steps == 0)
        text_add_string(text, "null");
    else
        text_add_format(text, "%.3f", job->seconds * (double)(job->steps_total - job->steps) / (double)job->steps);
    text_add_format(text, ",\"revision\":%llu,\"error\":", (unsigned long long)job->revision);
    if (job->err.code != ERR_NONE)
        write_error(text, job);
    else
        text_add_string(text, "null");
    text_add(text, "}", 1);
}

static void answer_job(struct answer *answer, unsigned status, const struct job_status *job)
{
    job_write(&answer->text, job);
    text_add(&answer->text, "\n", 1);
    answer_text_done(answer, status, ANSWER_JSON);
}

static void no_such_job(struct answer *answer, int64_t id)
{
    struct err err;
    err_set(&err, ERR_NOT_FOUND, "there is no job %lld; GET /jobs lists the last %u since the daemon started",
            (long long)id, JOBS_KEPT);
    answer_problem(answer, &err);
}

/* ---- GET, DELETE /jobs ---- */

void route_jobs_get(const struct call *call)
{
    struct job_status list[JOBS_KEPT];
    struct text *text = &call->answer->text;
    size_t n = jobs_list(trainer_jobs(call->routes->trainer), list);
    text_add_string(text, "{\"jobs\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            text_add(text, ",", 1);
        job_write(text, &list[i]);
    }
    text_add_string(text, "]}\n");
    answer_text_done(call->answer, 200, ANSWER_JSON);
}

void route_job_get(const struct call *call)
{
    struct job_status job;
    if (jobs_find(trainer_jobs(call->routes->trainer), call->id, &job))
        answer_job(call->answer, 200, &job);
    else
        no_such_job(call->answer, call->id);
}

static void job_cancelled(struct work *work, struct answer *answer)
{
    answer_job(answer, 200, &work->job.job_status);
}

void route_job_delete(const struct call *call)
{
    struct work *work = call_submit(call, JOB_CANCEL, job_cancelled);
    if (work != NULL)
        work->job.job_id = call->id;
}

/* ---- POST /rehearse ---- */

void route_job_begun(struct work *work, struct answer *answer)
{
    struct job_status *job = &work->job.job_status;
    if (work->watch.id != 0) /* it was waited for: as it is by now; else as it began, however short it was */
        (void)jobs_find(trainer_jobs(work->routes->trainer), job->id, job);
    (void)snprintf(answer->location, sizeof answer->location, "/jobs/%lld", (long long)job->id);
    answer_job(answer, job->state == JOB_STATE_RUNNING ? 202 : 200, job);
}

static void waited(struct job_watch *watch)
{
    http_pending_done(&((struct work *)watch->context)->pending);
}

/* In the trainer's thread: the job has begun, or was refused. */
static void wait_for_end(struct job *job)
{
    struct work *work = job->context;
    if (job->status != 0 || job->job_status.id == 0) {
        http_pending_done(&work->pending);
        return;
    }
    work->watch.id = job->job_status.id;
    work->watch.done = waited;
    work->watch.context = work;
    jobs_watch(trainer_jobs(work->routes->trainer), &work->watch); /* the work may be gone afterwards */
}

/* The N of "wait=N" in Prefer, a list of preferences in which others mean nothing to us; 0 where there is none. */
static unsigned prefer_wait(const char *prefer)
{
    for (const char *at = prefer; at != NULL && *at != '\0'; at += *at != '\0') {
        at += strspn(at, " \t");
        if (strncasecmp(at, "wait=", 5) == 0 && at[5] >= '0' && at[5] <= '9') {
            unsigned long seconds = strtoul(at + 5, NULL, 10);
            return seconds > UINT_MAX ? UINT_MAX : (unsigned)seconds;
        }
        at += strcspn(at, ",");
    }
    return 0;
}

void route_job_wait(const struct call *call, struct work *work)
{
    unsigned wait = prefer_wait(call->request->prefer);
    wait = wait < call->routes->wait_seconds ? wait : call->routes->wait_seconds;
    if (wait > 0) {
        work->watch.until_ms = now_ms() + 1000 * (int64_t)wait;
        work->job.done = wait_for_end;
    }
}

/* A whole number from low to 2^53. */
static bool is_whole(double number, double low)
{
    return number >= low && number <= 9007199254740992.0 && number == (double)(int64_t)number;
}

/* One member of the body. */
static int ask_for(struct rehearse_ask *ask, const struct json *member, struct err *err)
{
    const struct {
        const char *name;
        double *value;
    } numbers[] = {
        {"rate", &ask->rate}, {"decay", &ask->decay}, {"jitter", &ask->jitter}, {"rotation", &ask->rotation}};
    const char *name = json_name(member);
    const double number = json_number(member);
    const bool is_number = json_type(member) == JSON_NUMBER;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) != 0)
            continue;
        *numbers[i].value = number;
        if (is_number)
            return 0;
        err_set(err, ERR_VALUE, "%s must be a number, but this is %s", name, json_type_name(member));
        return err_at(err, "/%s", name);
    }
    if (strcmp(name, "passes") == 0) {
        if (is_number && is_whole(number, 1) && number <= REHEARSE_PASSES_MAX) {
            ask->passes = (uint64_t)number;
            return 0;
        }
        err_set(err, ERR_VALUE, "passes must be a whole number from 1 to %u", REHEARSE_PASSES_MAX);
        return err_at(err, "/passes");
    }
    if (strcmp(name, "samples") == 0) {
        const bool pair = json_type(member) == JSON_ARRAY && json_length(member) == 2;
        const double low = pair ? json_number(json_first(member)) : 0;
        const double high = pair ? json_number(json_next(json_first(member))) : 0;
        if (is_whole(low, 1) && is_whole(high, low)) {
            ask->first_id = (int64_t)low;
            ask->last_id = (int64_t)high;
            return 0;
        }
        err_set(err, ERR_VALUE, "samples must be [first id, last id], as POST /train answers them");
        return err_at(err, "/samples");
    }
    err_set(err, ERR_VALUE,
            "there is no member \"%.40s\"; the body may be {\"passes\", \"rate\", \"decay\", \"jitter\", \"rotation\", "
            "\"samples\"}",
            name);
    return err_at(err, "/%.60s", name);
}

void route_rehearse(const struct call *call)
{
    struct json *root = call_json(call, true);
    if (root == NULL)
        return;
    struct rehearse_ask ask = rehearse_ask_default();
    struct err err;
    int status = 0;
    for (const struct json *member = json_first(root); member != NULL && status == 0; member = json_next(member))
        status = ask_for(&ask, member, &err);
    json_free(root);
    if (status != 0 || rehearse_ask_check(&ask, &err) != 0) {
        answer_problem(call->answer, &err);
        return;
    }
    struct work *work = call_submit(call, JOB_REHEARSE, route_job_begun);
    if (work == NULL)
        return;
    work->job.rehearse = ask;
    route_job_wait(call, work);
}
