/* edits.c - see store/replay/edits.h: the one transaction in which the edited model takes over. */
#include "store/replay/edits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/replay/replayer.h"

/* The first state without the class, in place of that which had it. */
int edits_write_origin(struct store *store, const struct edits *edits, const struct arith *arith, struct err *err)
{
    struct learner *origin = NULL;
    uint8_t chain[CHAIN_BYTES];
    if (!edits->removes || edits->removed >= store->origin.event.as.create.n_classes)
        return 0;
    int status = replay_origin(&origin, store, arith, err);
    if (status == 0)
        status = db_run(store->db, SQL_SNAPSHOT_UNCREATE, err);
    if (status == 0)
        status = log_chain_at(store, 1, chain, err);
    if (status == 0)
        status = snapshot_write_at(store, origin, chain, "create", true, NULL, err);
    learner_free(origin);
    return status;
}

static int write_removed(struct store *store, uint64_t event, const struct edits *edits, const struct arith *arith,
                         struct err *err)
{
    struct db *db = store->db;
    if (!edits->removes)
        return 0;
    db_bind_ints(db, SQL_REMOVED_INSERT, edits->removed, (int64_t)event);
    edit_bind_into(db, SQL_REMOVED_INSERT, 3, edits->into);
    if (db_run(db, SQL_REMOVED_INSERT, err) != 0)
        return -1;
    return edits_write_origin(store, edits, arith, err);
}

/* The rows that were staged are those of this event. */
static int write_made(struct store *store, uint64_t event, uint64_t number, struct err *err)
{
    db_bind_ints(store->db, SQL_EDIT_WORK_MADE, (int64_t)number, (int64_t)event);
    return db_run(store->db, SQL_EDIT_WORK_MADE, err);
}

static int write_all(struct store *store, struct learner *learner, const struct edits *edits, struct edit_stage *stage,
                     struct store_snapshot *snapshot, struct err *err)
{
    struct event event = {.kind = EVENT_EDIT, .revision = store->end.revision + 1};
    size_t n_pinned;
    int64_t pinned;
    event.as.edit.number = stage->number;
    event.as.edit.from = edits_first(edits);
    event.as.edit.n = (uint32_t)edits->n;
    if (edits->removes)
        edit_hash_add_removed(&stage->hash, edits->removed, edits->into);
    edit_hash_end(&stage->hash, event.as.edit.rows);
    learner->revision = event.revision;
    if (store_edits_pinned(store, edits, &n_pinned, &pinned, err) != 0)
        return -1;
    if (!edits->drop_pinned && n_pinned > 0)
        return err_set(err, ERR_CONFLICT, "snapshot %lld is pinned and has learned from a sample of the edit",
                       (long long)pinned);
    return edits_let_go(store, edits, err) != 0 || log_write(store, &event, NULL, err) != 0 ||
                   write_removed(store, event.revision, edits, learner->arith, err) != 0 ||
                   write_made(store, event.revision, stage->number, err) != 0 ||
                   db_run(store->db, SQL_PENDING_CLEAR, err) != 0 || db_run(store->db, SQL_REMOVAL_CLEAR, err) != 0 ||
                   classes_write(store, learner, err) != 0 || edits_let_stay(store, stage, err) != 0 ||
                   snapshot_write(store, learner, "edit", "", false, snapshot, err) != 0
               ? -1
               : 0;
}

int store_edits_take_over(struct store *store, struct store_replayer *replayer, struct edits *edits,
                          struct learner **learner, struct store_snapshot *snapshot, struct err *err)
{
    int status;
    *learner = NULL;
    while ((status = store_edits_stage(store, replayer, edits, SIZE_MAX / 2, err)) == 1)
        ;
    if (status != 0)
        return -1;
    assert((edits->n > 0 || edits->removes) && edits->n < UINT32_MAX &&
           store_replayer_place(replayer) == store->end.revision);
    struct edit_span *more = realloc(store->spans, (store->n_spans + 1) * sizeof *more);
    if (more == NULL)
        return err_memory(err, "an edit");
    store->spans = more;
    struct learner *state = store_replayer_take(replayer);
    struct edit_stage *stage = replayer_stage(replayer);
    status = store_begin(store, err);
    store->overlay = edits;
    if (status == 0)
        status = write_all(store, state, edits, stage, snapshot, err);
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
    store->n_folded = store->n_spans;
    rehearsal_reset(store->rehearsal); /* pictures of what is gone, labels of before */
    *learner = state;
    return 0;
}
