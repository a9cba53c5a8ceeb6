/* snapshots.c - /snapshots: list, take, look at, pin, drop, go back to, take elsewhere. All through the trainer, who owns the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/formats/safetensors.h"
#include "server/model/snapshot_diff.h"
#include "server/routes/handlers.h"

#define DIFF_STEP_US 2000 /* of one turn */
#define VIEWS_MAX    4u   /* states of snapshots, each as large as the model: a comparison holds two, a file one */

/* n places for them. false: there are not as many, and the answer says so. */
static bool views_take(const struct call *call, unsigned n)
{
    struct err err;
    if (atomic_fetch_add(&call->routes->views, n) + n <= VIEWS_MAX)
        return true;
    atomic_fetch_sub(&call->routes->views, n);
    err_set(&err, ERR_BUSY, "snapshots are being read for others already, %u at most: try again when that has ended",
            VIEWS_MAX);
    answer_problem(call->answer, &err);
    return false;
}

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

static void amended(struct work *work, struct answer *answer)
{
    add_snapshot(&answer->text, &work->job.snapshot);
    text_add(&answer->text, "\n", 1);
    answer_text_done(answer, 200, ANSWER_JSON);
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

/* ---- two compared ---- */

struct comparison {
    struct routes *routes;
    int64_t a, b;
    uint64_t samples;
    int64_t until_ms;  /* what was compared by then is the answer */
    uint64_t rewrites; /* of the past, when diff began */
    struct diff *diff;
};

static void comparison_free(void *own)
{
    struct comparison *c = own;
    diff_free(c->diff);
    atomic_fetch_sub(&c->routes->views, 2);
    free(c);
}

static int compare(struct job *job, struct store *store, struct err *err)
{
    const struct work *work = job->context;
    struct comparison *c = work->own;
    const uint64_t rewrites = trainer_rewrites(work->routes->trainer);
    if (c->diff != NULL && rewrites != c->rewrites) { /* snapshots and samples are others now */
        diff_free(c->diff);
        c->diff = NULL;
    }
    c->rewrites = rewrites;
    if (c->diff == NULL)
        return diff_create(&c->diff, store, c->a, c->b, c->samples, err) == 0 ? 1 : -1;
    if (now_ms() < c->until_ms && !atomic_load(&work->routes->stopping))
        return diff_step(c->diff, DIFF_STEP_US, err);
    diff_cut(c->diff);
    return 0;
}

static void compared(struct work *work, struct answer *answer)
{
    const struct comparison *c = work->own;
    diff_write(&answer->text, c->diff);
    answer_text_done(answer, 200, ANSWER_JSON);
}

void route_snapshot_diff(const struct call *call)
{
    struct err err;
    uint64_t samples = DIFF_SAMPLES_MAX;
    if (request_param_number(call->request, "samples", 1, DIFF_SAMPLES_MAX, &samples, &err) != 0) {
        answer_problem(call->answer, &err);
        return;
    }
    if (!views_take(call, 2))
        return;
    struct comparison *c = calloc(1, sizeof *c);
    if (c == NULL) {
        atomic_fetch_sub(&call->routes->views, 2);
        err_set(&err, ERR_MEMORY, "no memory to compare snapshots");
        answer_problem(call->answer, &err);
        return;
    }
    *c = (struct comparison){.routes = call->routes,
                             .a = call->id,
                             .b = call->other,
                             .samples = samples,
                             .until_ms = now_ms() + 1000 * (int64_t)call->routes->wait_seconds};
    call_read(call, c, comparison_free, compare, compared);
}

/* ---- taking, pinning ---- */

/* "note" or "pinned" into the job. */
static int snapshot_member(struct job *job, const struct json *member, struct err *err)
{
    const char *name = json_name(member);
    if (strcmp(name, "pinned") == 0 && json_type(member) == JSON_BOOL) {
        job->pinned = json_bool(member);
        job->amend_pinned = true;
        return 0;
    }
    const char *note = json_string(member);
    if (strcmp(name, "note") == 0 && note != NULL && strlen(note) < sizeof job->note) {
        memcpy(job->note, note, strlen(note) + 1);
        job->amend_note = true;
        return 0;
    }
    err_set(err, ERR_VALUE, "the body may be {\"note\": \"at most %zu bytes\", \"pinned\": true}",
            sizeof job->note - 1);
    return err_at(err, "/%.60s", name);
}

static void ask(const struct call *call, struct json *root, enum job_kind kind,
                void (*render)(struct work *, struct answer *))
{
    struct work *work = call_submit(call, kind, render);
    if (work == NULL)
        return;
    struct err err;
    const struct json *member = json_first(root);
    int status = 0;
    work->job.snapshot_id = call->id;
    if (kind == JOB_AMEND && member == NULL)
        status = err_set(&err, ERR_VALUE, "the object says nothing to change: \"note\", \"pinned\" or both");
    for (; member != NULL && status == 0; member = json_next(member))
        status = snapshot_member(&work->job, member, &err);
    if (status != 0) {
        *call->pending = NULL;
        work->pending.free(&work->pending);
        answer_problem(call->answer, &err);
    }
}

void route_snapshots_post(const struct call *call)
{
    struct json *root = call_json(call, true);
    if (root != NULL)
        ask(call, root, JOB_SNAPSHOT, taken);
    json_free(root);
}

void route_snapshot_patch(const struct call *call)
{
    struct json *root = call_json(call, false);
    if (root != NULL)
        ask(call, root, JOB_AMEND, amended);
    json_free(root);
}

/* ---- as a file ---- */

struct export
{
    struct routes *routes;
    struct store_snapshot row;
    struct learner *learner; /* only predicts */
};

static void export_free(void *own)
{
    struct export *export = own;
    learner_free(export->learner);
    atomic_fetch_sub(&export->routes->views, 1);
    free(export);
}

static int export_load(struct job *job, struct store *store, struct err *err)
{
    const struct work *work = job->context;
    struct export *export = work->own;
    if (store_snapshot_find(store, work->id, &export->row, err) != 0)
        return -1;
    return store_snapshot_view(store, work->id, &export->learner, err);
}

/* The tag is of the state itself: an id may come to be another snapshot's, when the newest was dropped, and an edit of the past
 * gives a revision another state. */
static void encode(const struct call *call)
{
    const struct export *export = call->own;
    struct answer *answer = call->answer;
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    struct err err;
    uint64_t state;
    memcpy(&state, export->row.digest, sizeof state);
    (void)snprintf(answer->etag, sizeof answer->etag, "\"s%llu-%016llx\"", (unsigned long long)export->row.revision,
                   (unsigned long long)state);
    answer->cache = CACHE_REVALIDATE;
    if (etag_matches(call->request->if_none_match, answer->etag)) {
        answer->status = 304;
    } else if (safetensors_encode(&bytes, &n_bytes, export->learner, &err) != 0) {
        routes_problem(call->routes, answer, &err);
    } else {
        answer_blob(answer, "application/octet-stream", bytes, n_bytes);
        answer->disposition = "attachment; filename=\"model.safetensors\"";
    }
}

static void exported(struct work *work, struct answer *answer)
{
    work_offload(work, answer, true, encode);
}

void route_snapshot_safetensors(const struct call *call)
{
    if (!views_take(call, 1))
        return;
    struct export *export = calloc(1, sizeof *export);
    if (export == NULL) {
        struct err err;
        atomic_fetch_sub(&call->routes->views, 1);
        err_set(&err, ERR_MEMORY, "no memory for a file");
        answer_problem(call->answer, &err);
        return;
    }
    export->routes = call->routes;
    call_read(call, export, export_free, export_load, exported);
}
