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

static void write_error(struct json_writer *json, const struct job_status *job)
{
    char line[2 * ERR_TEXT_BYTES];
    (void)snprintf(line, sizeof line, "%s%s%s", reason(job), job->then != NULL ? "; " : "",
                   job->then != NULL ? job->then : "");
    json_write_string(json, "error", job->err.code != ERR_NONE ? line : NULL);
}

void job_write(struct json_writer *json, const struct job_status *job)
{
    const double share = job->steps_total > 0 ? (double)job->steps / (double)job->steps_total : 0;
    json_write_i64(json, "id", job->id);
    json_write_string(json, "kind", job->kind);
    json_write_string(json, "state", job_state_name(job->state));
    json_write_fixed9(json, "progress", share);
    json_write_u64(json, "steps", job->steps);
    json_write_u64(json, "steps_total", job->steps_total);
    json_write_u64(json, "pass", job->pass);
    json_write_u64(json, "passes", job->passes);
    json_write_time(json, "started", job->started_us);
    json_write_seconds(json, "seconds", job->seconds);
    if (job->state != JOB_STATE_RUNNING)
        json_write_u64(json, "seconds_left", 0);
    else if (job->steps == 0)
        json_write_null(json, "seconds_left");
    else
        json_write_seconds(json, "seconds_left",
                           job->seconds * (double)(job->steps_total - job->steps) / (double)job->steps);
    json_write_u64(json, "revision", job->revision);
    write_error(json, job);
}

static void response_job(struct response *response, unsigned status, const struct job_status *job)
{
    struct json_writer json = response_begin(response);
    job_write(&json, job);
    response_json(response, status, &json);
}

static void no_such_job(struct response *response, int64_t id)
{
    response_error(response, ERR_NOT_FOUND, "job %lld does not exist; GET /jobs lists the last %u since the start",
                   (long long)id, JOBS_KEPT);
}

/* ---- GET, DELETE /jobs ---- */

void route_jobs_get(const struct call *call)
{
    struct job_status list[JOBS_KEPT];
    struct json_writer json = response_begin(call->response);
    size_t n = jobs_list(trainer_jobs(call->routes->trainer), list);
    json_write_array(&json, "jobs");
    for (size_t i = 0; i < n; i++) {
        json_write_object(&json, NULL);
        job_write(&json, &list[i]);
        json_write_end(&json);
    }
    json_write_end(&json);
    response_json(call->response, 200, &json);
}

void route_job_get(const struct call *call)
{
    struct job_status job;
    if (jobs_find(trainer_jobs(call->routes->trainer), call->id, &job))
        response_job(call->response, 200, &job);
    else
        no_such_job(call->response, call->id);
}

static void job_cancelled(struct work *work, struct response *response)
{
    response_job(response, 200, &work->command.job_status);
}

void route_job_delete(const struct call *call)
{
    struct work *work = call_submit(call, COMMAND_CANCEL, job_cancelled);
    if (work != NULL)
        work->command.job_id = call->id;
}

/* ---- POST /rehearse ---- */

void route_job_begun(struct work *work, struct response *response)
{
    struct job_status *job = &work->command.job_status;
    if (work->watch.id != 0) /* it was waited for: as it is by now; else as it began, however short it was */
        (void)jobs_find(trainer_jobs(work->routes->trainer), job->id, job);
    (void)snprintf(response->location, sizeof response->location, "/jobs/%lld", (long long)job->id);
    response_job(response, job->state == JOB_STATE_RUNNING ? 202 : 200, job);
}

static void waited(struct job_watch *watch)
{
    http_pending_done(&((struct work *)watch->context)->pending);
}

/* In the trainer's thread: the job has begun, or was refused. */
static void wait_for_end(struct command *command)
{
    struct work *work = command->context;
    if (command->status != 0 || command->job_status.id == 0) {
        http_pending_done(&work->pending);
        return;
    }
    work->watch.id = command->job_status.id;
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
        work->command.done = wait_for_end;
    }
}

/* One member of the body. */
static int take_options(struct rehearse_options *options, const struct json *member, struct err *err)
{
    const struct {
        const char *name;
        double *value;
    } numbers[] = {{"rate", &options->rate},
                   {"decay", &options->decay},
                   {"jitter", &options->jitter},
                   {"rotation", &options->rotation}};
    const char *name = json_name(member);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) != 0)
            continue;
        *numbers[i].value = json_number(member);
        if (json_type(member) == JSON_NUMBER)
            return 0;
        err_set(err, ERR_VALUE, "%s must be a number, but is %s", name, json_type_name(member));
        return err_at(err, "/%s", name);
    }
    if (strcmp(name, "passes") == 0) {
        if (json_whole(&options->passes, member, 1, REHEARSE_PASSES_MAX))
            return 0;
        err_set(err, ERR_VALUE, "passes must be a whole number from 1 to %u", REHEARSE_PASSES_MAX);
        return err_at(err, "/passes");
    }
    if (strcmp(name, "samples") == 0) {
        uint64_t low, high;
        if (json_type(member) == JSON_ARRAY && json_length(member) == 2 &&
            json_whole(&low, json_first(member), 1, JSON_WHOLE_MAX) &&
            json_whole(&high, json_next(json_first(member)), low, JSON_WHOLE_MAX)) {
            options->first_id = (int64_t)low;
            options->last_id = (int64_t)high;
            return 0;
        }
        err_set(err, ERR_VALUE, "samples must be [first id, last id], as POST /train returns them");
        return err_at(err, "/samples");
    }
    err_set(err, ERR_VALUE,
            "unknown member \"%.40s\": the body can be {\"passes\", \"rate\", \"decay\", \"jitter\", \"rotation\", "
            "\"samples\"}",
            name);
    return err_at(err, "/%.60s", name);
}

void route_rehearse(const struct call *call)
{
    struct json *root = call_json(call, true);
    if (root == NULL)
        return;
    struct rehearse_options options = rehearse_options_default();
    struct err err;
    int status = 0;
    for (const struct json *member = json_first(root); member != NULL && status == 0; member = json_next(member))
        status = take_options(&options, member, &err);
    json_free(root);
    if (status != 0 || rehearse_options_check(&options, &err) != 0) {
        response_problem(call->response, &err);
        return;
    }
    struct work *work = call_submit(call, COMMAND_REHEARSE, route_job_begun);
    if (work == NULL)
        return;
    work->command.rehearse = options;
    route_job_wait(call, work);
}
