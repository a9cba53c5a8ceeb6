/* routes_snapshots.c - /snapshots: list, take, look at, drop, go back to. All through the trainer, who owns the store. */
#include <stdio.h>
#include <string.h>

#include "server/routes.h"

static void add_hex(struct text *text, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        text_add_format(text, "%02x", bytes[i]);
}

static void add_snapshot(struct text *text, const struct store_snapshot *s)
{
    text_add_format(text, "{\"id\":%lld,\"revision\":%llu,\"step\":%llu,\"created\":", (long long)s->id,
                    (unsigned long long)s->revision, (unsigned long long)s->step);
    text_add_time(text, s->created_us);
    text_add_string(text, ",\"reason\":");
    text_add_quoted(text, s->reason, strlen(s->reason));
    text_add_format(text, ",\"pinned\":%s,\"note\":", s->pinned ? "true" : "false");
    text_add_quoted(text, s->note, strlen(s->note));
    text_add_string(text, ",\"digest\":\"");
    add_hex(text, s->digest, sizeof s->digest);
    text_add_format(text, "\",\"samples\":%llu,\"accuracy\":", (unsigned long long)s->samples);
    if (s->samples == 0)
        text_add_string(text, "null");
    else
        text_add_fixed9(text, (double)s->correct / (double)s->samples);
    text_add_string(text, ",\"arithmetic\":");
    text_add_quoted(text, s->arithmetic, strlen(s->arithmetic));
    text_add(text, "}", 1);
}

static void list_done(struct work *work, struct answer *answer)
{
    struct text *text = &answer->text;
    text_add_string(text, "{\"snapshots\":[");
    for (size_t i = 0; i < work->job.n_list; i++) {
        if (i > 0)
            text_add(text, ",", 1);
        add_snapshot(text, &work->job.list[i]);
    }
    text_add_string(text, "]}\n");
    answer_text_done(answer, 200, ANSWER_JSON);
}

static void one_done(struct work *work, struct answer *answer)
{
    for (size_t i = 0; i < work->job.n_list; i++) {
        if (work->job.list[i].id != work->id)
            continue;
        add_snapshot(&answer->text, &work->job.list[i]);
        text_add(&answer->text, "\n", 1);
        answer_text_done(answer, 200, ANSWER_JSON);
        return;
    }
    struct err err;
    err_set(&err, ERR_NOT_FOUND, "there is no snapshot %lld; GET /snapshots lists them", (long long)work->id);
    answer_problem(answer, &err);
}

static void taken(struct work *work, struct answer *answer)
{
    const struct store_snapshot *s = &work->job.snapshot;
    add_snapshot(&answer->text, s);
    text_add(&answer->text, "\n", 1);
    answer_revision(answer, s->revision);
    (void)snprintf(answer->location, sizeof answer->location, "/snapshots/%lld", (long long)s->id);
    answer_text_done(answer, 201, ANSWER_JSON);
}

static void dropped(struct work *work, struct answer *answer)
{
    (void)work;
    answer->status = 204;
}

static void activated(struct work *work, struct answer *answer)
{
    struct text *text = &answer->text;
    text_add_format(text, "{\"activated\":%lld,\"step\":%llu,\"revision\":%llu,\"snapshot\":", (long long)work->id,
                    (unsigned long long)work->job.step, (unsigned long long)work->job.revision);
    if (work->job.snapshot.id == 0) /* the way back is in the log all the same */
        text_add_string(text, "null");
    else
        add_snapshot(text, &work->job.snapshot);
    text_add_string(text, "}\n");
    answer_revision(answer, work->job.revision);
    answer_text_done(answer, 200, ANSWER_JSON);
}

void route_snapshots_get(const struct call *call)
{
    (void)call_submit(call, JOB_SNAPSHOTS, list_done);
}

void route_snapshot_get(const struct call *call)
{
    (void)call_submit(call, JOB_SNAPSHOTS, one_done);
}

void route_snapshot_delete(const struct call *call)
{
    struct work *work = call_submit(call, JOB_DROP, dropped);
    if (work != NULL)
        work->job.snapshot_id = call->id;
}

void route_snapshot_activate(const struct call *call)
{
    struct work *work = call_submit(call, JOB_ACTIVATE, activated);
    if (work != NULL)
        work->job.snapshot_id = call->id;
}

/* "note" or "pinned" into the job. */
static int snapshot_member(struct job *job, const struct json *member, struct err *err)
{
    const char *name = json_name(member);
    if (strcmp(name, "pinned") == 0 && json_type(member) == JSON_BOOL) {
        job->pinned = json_bool(member);
        return 0;
    }
    const char *note = json_string(member);
    if (strcmp(name, "note") == 0 && note != NULL && strlen(note) < sizeof job->note) {
        memcpy(job->note, note, strlen(note) + 1);
        return 0;
    }
    err_set(err, ERR_VALUE, "the body may be {\"note\": \"at most %zu bytes\", \"pinned\": true}",
            sizeof job->note - 1);
    return err_at(err, "/%.60s", name);
}

void route_snapshots_post(const struct call *call)
{
    struct json *root = call_json(call, true);
    if (root == NULL)
        return;
    struct work *work = call_submit(call, JOB_SNAPSHOT, taken);
    struct err err;
    int status = 0;
    for (const struct json *member = json_first(root); work != NULL && member != NULL && status == 0;
         member = json_next(member))
        status = snapshot_member(&work->job, member, &err);
    if (status != 0) {
        *call->pending = NULL;
        work->pending.free(&work->pending);
        answer_problem(call->answer, &err);
    }
    json_free(root);
}
