/* edits.c - see store/replay/edits.h: the one transaction in which the edited model takes over, and which snapshots it takes with it. */
#include "store/replay/edits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/replay/replayer.h"

/* ---- snapshots that saw ---- */

/* Whether a state of that line learned from one of the samples. */
static bool saw(const struct line *line, const struct edits *edits)
{
    for (size_t i = 0; i < line->n; i++) {
        size_t low = 0, high = edits->n; /* the first that is not before the stretch */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (edits->list[middle].revision < line->stretches[i].first)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < edits->n && edits->list[low].revision <= line->stretches[i].last)
            return true;
    }
    return false;
}

/* Keeps of the list those that saw. */
static int seers(struct store_snapshot **list, size_t *n, struct store *store, const struct edits *edits,
                 struct err *err)
{
    size_t n_all, n_seers = 0;
    int status = store_snapshots(store, list, &n_all, err);
    for (size_t i = 0; status == 0 && i < n_all; i++) {
        struct line line;
        const struct store_snapshot *snapshot = &(*list)[i];
        if (snapshot->revision < edits_first(edits) || (edits->removes && strcmp(snapshot->reason, "create") == 0))
            continue; /* the first state is written anew */
        if (edits->removes) {
            (*list)[n_seers++] = *snapshot;
            continue;
        }
        status = line_init(&line, store, (*list)[i].revision, err);
        if (status == 0 && saw(&line, edits))
            (*list)[n_seers++] = (*list)[i];
        line_fini(&line);
    }
    *n = n_seers;
    return status;
}

static size_t count_pinned(const struct store_snapshot *list, size_t n, int64_t *first)
{
    size_t n_pinned = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i].pinned && n_pinned++ == 0)
            *first = list[i].id;
    return n_pinned;
}

int store_edits_pinned(struct store *store, const struct edits *edits, size_t *n, int64_t *first, struct err *err)
{
    struct store_snapshot *list = NULL;
    size_t n_seers;
    int status = seers(&list, &n_seers, store, edits, err);
    *n = status == 0 ? count_pinned(list, n_seers, first) : 0;
    free(list);
    return status;
}

/* ---- taking over ---- */

/* On whatever line. */
int store_edits_gather(struct store *store, struct edits *edits, int64_t n, struct err *err)
{
    struct db *db = store->db;
    const int64_t end = store->end.next_sample, first = edits->gathered;
    const int64_t last = first < end && n < end - first ? first + n : end;
    int status;
    if (!edits->removes || first >= end)
        return 0;
    db_bind_int(db, SQL_SAMPLES_OF_CLASS, 1, edits->removed);
    db_bind_int(db, SQL_SAMPLES_OF_CLASS, 2, first);
    db_bind_int(db, SQL_SAMPLES_OF_CLASS, 3, last - 1);
    while ((status = db_step(db, SQL_SAMPLES_OF_CLASS, err)) == 1) {
        const struct edit edit = {.id = db_int(db, SQL_SAMPLES_OF_CLASS, 0),
                                  .revision = (uint64_t)db_int(db, SQL_SAMPLES_OF_CLASS, 1),
                                  .was = edits->removed,
                                  .label = edits->into};
        if (edits_put(edits, &edit, err) != 0) {
            db_reset(db, SQL_SAMPLES_OF_CLASS);
            return -1;
        }
    }
    if (status == 0)
        edits->gathered = last;
    return status == 0 ? last < end : -1;
}

static int write_rows(struct store *store, uint64_t event, const struct edits *edits, const struct edited *edited,
                      size_t n_edited, struct err *err)
{
    struct db *db = store->db;
    for (size_t i = 0; i < edits->n; i++) {
        const struct edit *edit = &edits->list[i];
        db_bind_int(db, SQL_EDIT_INSERT, 1, edit->id);
        db_bind_int(db, SQL_EDIT_INSERT, 2, (int64_t)event);
        db_bind_int(db, SQL_EDIT_INSERT, 3, edit->was);
        edit_bind_into(db, SQL_EDIT_INSERT, 4, edit->label);
        if (db_run(db, SQL_EDIT_INSERT, err) != 0)
            return -1;
        if (edit->label != EDIT_FORGET)
            continue;
        db_bind_int(db, SQL_SAMPLE_FORGET, 1, edit->id);
        if (db_run(db, SQL_SAMPLE_FORGET, err) != 0)
            return -1;
    }
    for (size_t i = 0; i < n_edited; i++) {
        db_bind_int(db, SQL_EDITED_INSERT, 1, (int64_t)edited[i].revision);
        db_bind_int(db, SQL_EDITED_INSERT, 2, (int64_t)event);
        db_bind_blob(db, SQL_EDITED_INSERT, 3, edited[i].hash, CHAIN_BYTES);
        if (db_run(db, SQL_EDITED_INSERT, err) != 0)
            return -1;
    }
    if (keys_forget(store, event, err) != 0)
        return -1;
    if (!edits->removes)
        return 0;
    db_bind_int(db, SQL_REMOVED_INSERT, 1, edits->removed);
    db_bind_int(db, SQL_REMOVED_INSERT, 2, (int64_t)event);
    edit_bind_into(db, SQL_REMOVED_INSERT, 3, edits->into);
    return db_run(db, SQL_REMOVED_INSERT, err);
}

/* The first state without the class, in place of that which had it. */
static int write_origin(struct store *store, const struct arith *arith, struct err *err)
{
    struct learner *origin = NULL;
    const struct log_end end = store->end;
    int status = replay_origin(&origin, store, arith, err);
    if (status == 0)
        status = db_run(store->db, SQL_SNAPSHOT_UNCREATE, err);
    if (status == 0)
        status = log_chain_at(store, 1, store->end.chain, err);
    store->end.revision = 1; /* for whom the snapshot is */
    if (status == 0)
        status = snapshot_write(store, origin, "create", "", true, NULL, err);
    store->end = end;
    learner_free(origin);
    return status;
}

static int drop_snapshots(struct store *store, const struct store_snapshot *list, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        db_bind_int(store->db, SQL_SNAPSHOT_DELETE, 1, list[i].id); /* its tensors cascade */
        if (db_run(store->db, SQL_SNAPSHOT_DELETE, err) != 0)
            return -1;
    }
    return 0;
}

static int write_all(struct store *store, struct learner *learner, const struct edits *edits,
                     const struct edited *edited, size_t n_edited, struct store_snapshot *snapshot, struct err *err)
{
    struct event event = {.kind = EVENT_EDIT, .revision = store->end.revision + 1};
    struct store_snapshot *list = NULL;
    size_t n;
    int64_t pinned = 0;
    event.as.edit.from = edits_first(edits);
    event.as.edit.n = (uint32_t)edits->n;
    edit_hash(event.as.edit.rows, edits, edited, n_edited);
    learner->revision = event.revision;
    int status = seers(&list, &n, store, edits, err);
    if (status == 0 && !edits->drop_pinned && count_pinned(list, n, &pinned) > 0)
        status = err_set(err, ERR_CONFLICT, "snapshot %lld saw what is to be edited, and is pinned", (long long)pinned);
    if (status != 0 || log_write(store, &event, NULL, err) != 0 ||
        (edits->removes && edits->removed < store->origin.event.as.create.n_classes &&
         write_origin(store, learner->arith, err) != 0) ||
        write_rows(store, event.revision, edits, edited, n_edited, err) != 0 ||
        db_run(store->db, SQL_PENDING_CLEAR, err) != 0 || db_run(store->db, SQL_REMOVAL_CLEAR, err) != 0 ||
        classes_write(store, learner, err) != 0 ||
        /* The new one first, so that it gets an id that no other had. */
        snapshot_write(store, learner, "edit", "", false, snapshot, err) != 0)
        status = -1;
    if (status == 0)
        status = drop_snapshots(store, list, n, err);
    free(list);
    return status;
}

int store_edits_take_over(struct store *store, struct store_replayer *replayer, struct edits *edits,
                          struct learner **learner, struct store_snapshot *snapshot, struct err *err)
{
    size_t n_edited;
    const struct edited *edited = replayer_edited(replayer, &n_edited);
    *learner = NULL;
    if (store_edits_gather(store, edits, INT64_MAX, err) != 0)
        return -1;
    assert((edits->n > 0 || edits->removes) && edits->n < UINT32_MAX &&
           store_replayer_place(replayer) == store->end.revision);
    struct edit_span *more = realloc(store->spans, (store->n_spans + 1) * sizeof *more);
    if (more == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for an edit");
    store->spans = more;
    struct learner *state = store_replayer_take(replayer);
    int status = store_begin(store, err);
    store->overlay = edits;
    if (status == 0)
        status = write_all(store, state, edits, edited, n_edited, snapshot, err);
    store->overlay = NULL;
    if (status == 0)
        status = store_commit(store, err);
    if (status != 0) {
        store_rollback(store);
        learner_free(state);
        return -1;
    }
    if (edits->removes)
        columns_remove(store, edits->removed);
    store->spans[store->n_spans++] = (struct edit_span){.from = edits_first(edits), .event = store->end.revision};
    rehearsal_reset(store->rehearsal); /* pictures of what is gone, labels of before */
    *learner = state;
    return 0;
}
