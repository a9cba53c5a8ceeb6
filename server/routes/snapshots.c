/* snapshots.c - /snapshots: list, take, look at, pin, drop, go back to, take elsewhere. All through the trainer, who owns the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/formats/safetensors.h"
#include "server/model/json_parts.h"
#include "server/model/snapshot_diff.h"
#include "server/routes/handlers.h"

#define DIFF_STEP_US 2000 /* of one turn */
#define VIEWS_MAX    4u   /* states of snapshots, each as large as the model: a comparison holds two, a file one */

/* n places for them. false: there are not as many, and the response says so. */
static bool views_take(const struct call *call, unsigned n)
{
    if (atomic_fetch_add(&call->routes->views, n) + n <= VIEWS_MAX)
        return true;
    atomic_fetch_sub(&call->routes->views, n);
    response_error(call->response, ERR_BUSY, "%u requests read snapshots, the limit: try again when one has ended",
                   VIEWS_MAX);
    return false;
}

static void response_snapshot(struct response *response, unsigned status, const struct store_snapshot *s)
{
    struct json_writer json = response_begin(response);
    snapshot_row_write(&json, s);
    response_json(response, status, &json);
}

static void list_done(struct work *work, struct response *response)
{
    struct json_writer json = response_begin(response);
    snapshot_rows_write(&json, work->command.list, work->command.n_list);
    response_json(response, 200, &json);
}

static void one_done(struct work *work, struct response *response)
{
    for (size_t i = 0; i < work->command.n_list; i++) {
        if (work->command.list[i].id == work->id) {
            response_snapshot(response, 200, &work->command.list[i]);
            return;
        }
    }
    response_error(response, ERR_NOT_FOUND, "snapshot %lld does not exist; GET /snapshots lists them",
                   (long long)work->id);
}

static void taken(struct work *work, struct response *response)
{
    const struct store_snapshot *s = &work->command.snapshot;
    response_revision(response, s->revision);
    (void)snprintf(response->location, sizeof response->location, "/snapshots/%lld", (long long)s->id);
    response_snapshot(response, 201, s);
}

static void updated(struct work *work, struct response *response)
{
    response_snapshot(response, 200, &work->command.snapshot);
}

static void dropped(struct work *work, struct response *response)
{
    (void)work;
    response->status = 204;
}

static void activated(struct work *work, struct response *response)
{
    struct json_writer json = response_begin(response);
    snapshot_activated_write(&json, work->id, work->command.step, work->command.revision, &work->command.snapshot);
    response_revision(response, work->command.revision);
    response_json(response, 200, &json);
}

void route_snapshots_get(const struct call *call)
{
    (void)call_submit(call, COMMAND_SNAPSHOTS, list_done);
}

void route_snapshot_get(const struct call *call)
{
    (void)call_submit(call, COMMAND_SNAPSHOTS, one_done);
}

void route_snapshot_delete(const struct call *call)
{
    struct work *work = call_submit(call, COMMAND_DROP, dropped);
    if (work != NULL)
        work->command.snapshot_id = call->id;
}

void route_snapshot_activate(const struct call *call)
{
    struct work *work = call_submit(call, COMMAND_ACTIVATE, activated);
    if (work != NULL)
        work->command.snapshot_id = call->id;
}

/* ---- two compared ---- */

struct comparison {
    struct routes *routes;
    int64_t a, b;
    uint64_t samples;
    int64_t until_ms;  /* what was compared by then is the response */
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

static int compare(struct command *command, struct store *store, struct err *err)
{
    const struct work *work = command->context;
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

static void compared(struct work *work, struct response *response)
{
    const struct comparison *c = work->own;
    struct json_writer json = response_begin(response);
    diff_write(&json, c->diff);
    response_json(response, 200, &json);
}

void route_snapshot_diff(const struct call *call)
{
    struct err err;
    uint64_t samples = DIFF_SAMPLES_MAX;
    if (request_param_number(call->request, "samples", 1, DIFF_SAMPLES_MAX, &samples, &err) != 0) {
        response_problem(call->response, &err);
        return;
    }
    if (!views_take(call, 2))
        return;
    struct comparison *c = calloc(1, sizeof *c);
    if (c == NULL) {
        atomic_fetch_sub(&call->routes->views, 2);
        call_no_memory(call, "a comparison of snapshots");
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
static int snapshot_member(struct command *command, const struct json *member, struct err *err)
{
    const char *name = json_name(member);
    if (strcmp(name, "pinned") == 0 && json_type(member) == JSON_BOOL) {
        command->pinned = json_bool(member);
        command->update_pinned = true;
        return 0;
    }
    const char *note = json_string(member);
    if (strcmp(name, "note") == 0 && note != NULL && strlen(note) < sizeof command->note) {
        memcpy(command->note, note, strlen(note) + 1);
        command->update_note = true;
        return 0;
    }
    err_set(err, ERR_VALUE, "the body can be {\"note\": \"at most %zu bytes\", \"pinned\": true}",
            sizeof command->note - 1);
    return err_at(err, "/%.60s", name);
}

static void submit(const struct call *call, struct json *root, enum command_kind kind,
                   void (*render)(struct work *, struct response *))
{
    struct work *work = call_submit(call, kind, render);
    if (work == NULL)
        return;
    struct err err;
    const struct json *member = json_first(root);
    int status = 0;
    work->command.snapshot_id = call->id;
    if (kind == COMMAND_UPDATE && member == NULL)
        status = err_set(&err, ERR_VALUE, "the body must have \"note\", \"pinned\" or both");
    for (; member != NULL && status == 0; member = json_next(member))
        status = snapshot_member(&work->command, member, &err);
    if (status != 0)
        call_give_up(call, work, &err);
}

void route_snapshots_post(const struct call *call)
{
    struct json *root = call_json(call, true);
    if (root != NULL)
        submit(call, root, COMMAND_SNAPSHOT, taken);
    json_free(root);
}

void route_snapshot_patch(const struct call *call)
{
    struct json *root = call_json(call, false);
    if (root != NULL)
        submit(call, root, COMMAND_UPDATE, updated);
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

static int export_load(struct command *command, struct store *store, struct err *err)
{
    const struct work *work = command->context;
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
    struct response *response = call->response;
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    struct err err;
    uint64_t state;
    memcpy(&state, export->row.digest, sizeof state);
    (void)snprintf(response->etag, sizeof response->etag, "\"s%llu-%016llx\"", (unsigned long long)export->row.revision,
                   (unsigned long long)state);
    response->cache = CACHE_REVALIDATE;
    if (etag_matches(call->request->if_none_match, response->etag)) {
        response->status = 304;
    } else if (safetensors_encode(&bytes, &n_bytes, export->learner, &err) != 0) {
        routes_problem(call->routes, response, &err);
    } else {
        response_blob(response, "application/octet-stream", bytes, n_bytes);
        response->disposition = "attachment; filename=\"model.safetensors\"";
    }
}

static void exported(struct work *work, struct response *response)
{
    work_offload(work, response, true, encode);
}

void route_snapshot_safetensors(const struct call *call)
{
    if (!views_take(call, 1))
        return;
    struct export *export = calloc(1, sizeof *export);
    if (export == NULL) {
        atomic_fetch_sub(&call->routes->views, 1);
        call_no_memory(call, "a file");
        return;
    }
    export->routes = call->routes;
    call_read(call, export, export_free, export_load, exported);
}
