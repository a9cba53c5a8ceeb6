/* follow.c - the fold goes on with what came into the log from elsewhere, one event at a time. */
#include <assert.h>

#include "store/internal.h"

/* The state of an earlier revision is the live one again. */
static int go_back(struct store *store, struct learner *learner, uint64_t revision, struct err *err)
{
    struct learner *state = NULL;
    struct store_recovery report;
    int status = replay_state_at(&state, store, revision, learner->arith, NULL, NULL, &report, err);
    if (status == 0)
        status = learner_copy(learner, state, err);
    learner_free(state);
    store->classes_due = store_edits_any(store);
    return status;
}

/* At the log's end: an edit may have brought classes along that no event of the lineage adds. Where the disk is full, the next time. */
static void write_classes(struct store *store, const struct learner *learner)
{
    if (store->classes_due && store_begin(store, NULL) == 0 && store_classes(store, learner, NULL) == 0 &&
        store_commit(store, NULL) == 0)
        store->classes_due = false;
}

static int open_at(struct log_reader *reader, struct store *store, uint64_t after, struct err *err)
{
    uint8_t chain[CHAIN_BYTES];
    if (reader->store != NULL && reader->event.revision == after)
        return 0;
    log_read_close(reader);
    if (log_chain_at(store, after, chain, err) != 0)
        return -1;
    log_read_init(reader, store, after, chain);
    return 0;
}

int store_follow(struct store *store, struct learner *learner, const struct event **event, struct err *err)
{
    struct log_reader *reader = &store->follower;
    assert(!store_edit_ahead(store));
    if (open_at(reader, store, learner->revision, err) != 0)
        return -1;
    log_read_resume(reader);
    int status = log_read_next(reader, err);
    log_read_pause(reader);
    if (status == 1 && reader->event.kind == EVENT_ACTIVATE) {
        status = go_back(store, learner, reader->event.revision, err) == 0 ? 1 : -1;
    } else if (status == 1) {
        store->recovering = true; /* what becomes of its samples is kept for table outcome */
        status = replay_event(store, learner, reader, err) == 0 ? 1 : -1;
        store->recovering = false;
    }
    if (status != 1)
        log_read_close(reader);
    if (status == 0)
        write_classes(store, learner);
    *event = status == 1 ? &reader->event : NULL;
    return status;
}

/* Of a fold that came out wrong, all that it has left may be. */
static int forget_states(struct store *store, struct err *err)
{
    log_read_close(&store->follower);
    store->outcomes.n = 0;
    if (store_begin(store, err) != 0)
        return -1;
    if (db_run(store->db, SQL_SNAPSHOTS_FORGET, err) != 0 || db_run(store->db, SQL_OUTCOMES_FORGET, err) != 0 ||
        store_commit(store, err) != 0)
        return log_abandon(store);
    return 0;
}

int store_begin_again(struct learner **out, struct store *store, const struct arith *arith, struct err *err)
{
    *out = NULL;
    if (forget_states(store, err) != 0)
        return -1;
    store->n_folded = store->n_spans;
    store->classes_due = store_edits_any(store);
    return replay_origin(out, store, arith, err);
}
