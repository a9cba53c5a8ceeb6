/* compaction.c - the log without its oldest samples (log compaction): the file of a model that learns for years does not grow for ever.
 *
 * The model keeps what it has learned; what goes is the log behind it. Let R be the revision of a snapshot on the live lineage. A baseline
 * event names it, and from then on
 *
 *     state(r) = fold(apply, snapshot of R, events of lineage(r) after R)          for each r from R on
 *
 * is all that a replay, a proof, an edit or a way back can ask for: R takes the place that revision 1 had. Nothing of the fold
 * changes, so the state before the event is that after it.
 *
 * What is still needed of the log before R stays: images in the replay buffer of R's snapshot, and samples that a rehearsal after R read, with
 * all rows between (log_begin()). So do classes, settings, ways back and edits, of which there are few; and an event whose idempotency key is
 * remembered, since a retry's answer is made of it. The rest is deleted, which with secure_delete overwrites it; pages are used again.
 *
 * The event is one short transaction; what it takes with it goes after it, in pieces. Where that has come to is in no table: what is
 * left is found by looking from the front. So a crash, which may come at any instant, costs another look.
 */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

void store_keep_samples(struct store *store, uint64_t n)
{
    store->keep_samples = n;
}

/* ---- where to cut ---- */

bool compaction_pays(const struct store *store, uint64_t n_now, uint64_t n_left)
{
    return n_now > n_left && n_now - n_left >= store->keep_samples / 4;
}

/* The newest snapshot that leaves as many samples as are to be kept. No way back may come after it: then all lines that go on come from it.
 * 1; 0: there is none, or too little would go with it; -1. */
static int choose(struct store_snapshot *cut, struct store *store, struct err *err)
{
    struct db *db = store->db;
    uint64_t turn, n_now, n;
    int status;
    if (lineage_turn(&turn, db, store->end.revision, err) != 0 ||
        baseline_samples_after(&n_now, store, store->baseline.kept, err) != 0)
        return -1;
    const uint64_t least = turn > store->baseline.revision ? turn : store->baseline.revision;
    db_bind_int(db, SQL_SNAPSHOTS_UPTO, 1, (int64_t)store->end.revision);
    while ((status = db_step(db, SQL_SNAPSHOTS_UPTO, err)) == 1) {
        const int64_t id = db_int(db, SQL_SNAPSHOTS_UPTO, 0);
        const uint64_t revision = (uint64_t)db_int(db, SQL_SNAPSHOTS_UPTO, 1);
        const bool chained = db_int(db, SQL_SNAPSHOTS_UPTO, 3) == 1;
        if (revision < least || baseline_samples_after(&n, store, revision, err) != 0 ||
            (n >= store->keep_samples && store_snapshot_find(store, id, cut, err) != 0)) {
            status = revision < least ? 0 : -1;
            break;
        }
        if (!chained || n < store->keep_samples || cut->samples == 0)
            continue;
        status = compaction_pays(store, n_now, n);
        break;
    }
    db_reset(db, SQL_SNAPSHOTS_UPTO);
    return status;
}

static int find_cut(struct store_snapshot *cut, struct store *store, struct err *err)
{
    int64_t undone;
    if (store->keep_samples == 0 || !baseline_is_ours(store))
        return 0;
    if (db_number(&undone, store->db, SQL_EDITS_UNDONE, err) != 0)
        return -1;
    return undone > 0 ? 0
                      : choose(cut, store, err); /* one that was accepted may be of any sample that was there then */
}

/* ---- the cut ---- */

static int append(struct store *store, struct event *event, struct err *err)
{
    if (store_begin(store, err) != 0 || store_append(store, event, err) != 0)
        return -1;
    db_bind_int(store->db, SQL_SNAPSHOTS_GO, 1, (int64_t)event->as.baseline.from);
    if (db_run(store->db, SQL_SNAPSHOTS_GO, err) == 0)
        return store_commit(store, err);
    store_rollback(store);
    return -1;
}

int store_compact(struct store *store, struct learner *learner, struct err *err)
{
    struct event event = {.kind = EVENT_BASELINE, .revision = store->end.revision + 1};
    struct store_snapshot cut = {0};
    struct learner *state = NULL;
    int status = find_cut(&cut, store, err);
    if (status != 1)
        return status;
    if (store_snapshot_load(store, cut.id, learner->arith, &state, err) != 0) /* its bits, and all of its images */
        return -1;
    learner_free(state);
    event.as.baseline.from = cut.revision;
    event.as.baseline.samples = cut.samples;
    memcpy(event.as.baseline.digest, cut.digest, DIGEST_BYTES);
    memcpy(event.as.baseline.arithmetic, store->baseline.arithmetic, ARITHMETIC_BYTES);
    memcpy(event.as.baseline.before, store->baseline.arithmetic, ARITHMETIC_BYTES);
    if (append(store, &event, err) != 0)
        return -1;
    learner->revision = event.revision;
    baseline_apply(store, &event);
    rehearsal_reset(store->rehearsal);
    compaction_fini(store);
    return 1;
}

/* ---- what goes with it ---- */

static int by_id(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int hold(struct compaction *c, const struct replay_buffer *buffer, struct err *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < buffer->n_classes; i++)
        n += replay_buffer_used(buffer, i);
    c->held = malloc((n + 1) * sizeof *c->held);
    if (c->held == NULL)
        return err_memory(err, "%zu ids", n);
    for (uint32_t i = 0; i < buffer->n_classes; i++)
        for (uint32_t slot = 0; slot < replay_buffer_used(buffer, i); slot++)
            c->held[c->n_held++] = replay_buffer_id(buffer, i, slot);
    qsort(c->held, c->n_held, sizeof *c->held, by_id);
    return 0;
}

/* What the snapshot of the baseline holds, and where the rest of the log begins. */
static int look(struct store *store, struct err *err)
{
    struct compaction *c = &store->compaction;
    struct learner *state = NULL;
    compaction_fini(store);
    db_bind_int(store->db, SQL_SNAPSHOTS_AT, 1, (int64_t)store->baseline.kept);
    int status = db_step(store->db, SQL_SNAPSHOTS_AT, err);
    const int64_t id = status == 1 ? db_int(store->db, SQL_SNAPSHOTS_AT, 0) : 0;
    db_reset(store->db, SQL_SNAPSHOTS_AT);
    if (status == 0)
        status = err_set(err, ERR_DB_CORRUPT, "revision %llu: the snapshot of this baseline is missing",
                         (unsigned long long)store->baseline.kept);
    if (status < 0 || snapshot_read_any(&state, store, id, NULL, err) != 0)
        return -1;
    status = hold(c, state->buffer, err);
    learner_free(state);
    if (status != 0 || log_begin(&c->begin, store, err) != 0 || baseline_first_kept(&c->end, store, c->begin, err) != 0)
        return -1;
    c->sample = 1;
    c->event = 2;
    c->stage = COMPACTION_SAMPLES;
    return 0;
}

static bool is_held(const struct compaction *c, int64_t id)
{
    return bsearch(&id, c->held, c->n_held, sizeof id, by_id) != NULL;
}

/* The next n rows of the statement, from `from` on, into ids: those that go. *next is behind the last. How many rows there were, or -1. */
static int list_rows(int64_t ids[COMPACTION_ROWS], size_t *n_ids, int64_t *next, struct store *store,
                     enum statement which, int64_t last, int64_t n, struct err *err)
{
    struct db *db = store->db;
    const bool samples = which == SQL_OLD_SAMPLES;
    int status, n_rows = 0;
    *n_ids = 0;
    db_bind_ints(db, which, *next, last, n < COMPACTION_ROWS ? n : COMPACTION_ROWS);
    while ((status = db_step(db, which, err)) == 1 && n_rows < COMPACTION_ROWS) {
        const int64_t id = db_int(db, which, 0);
        if (!samples || (db_int(db, which, 1) == 0 && !is_held(&store->compaction, id)))
            ids[(*n_ids)++] = id;
        *next = id + 1;
        n_rows++;
    }
    db_reset(db, which);
    return status < 0 ? -1 : n_rows;
}

static int drop_row(struct store *store, enum statement which, int64_t id, struct err *err)
{
    db_bind_int(store->db, which, 1, id);
    return db_run(store->db, which, err);
}

/* 1, or 0: there are no more of them. In the open transaction. */
static int drop_some(struct store *store, int64_t n, struct err *err)
{
    struct compaction *c = &store->compaction;
    const bool samples = c->stage == COMPACTION_SAMPLES;
    int64_t ids[COMPACTION_ROWS];
    size_t n_ids;
    const int found = samples ? list_rows(ids, &n_ids, &c->sample, store, SQL_OLD_SAMPLES, c->end - 1, n, err)
                              : list_rows(ids, &n_ids, &c->event, store, SQL_OLD_EVENTS, (int64_t)c->begin - 1, n, err);
    if (found <= 0)
        return found;
    for (size_t i = 0; i < n_ids; i++) {
        if (samples && drop_row(store, SQL_OUTCOME_DROP, ids[i], err) != 0)
            return -1;
        if (drop_row(store, samples ? SQL_SAMPLE_DROP : SQL_EVENT_DROP, ids[i], err) != 0)
            return -1;
    }
    c->n_deleted += samples ? n_ids : 0;
    return 1;
}

int store_compact_sweep(struct store *store, int64_t n, struct err *err)
{
    struct compaction *c = &store->compaction;
    if (store->baseline.kept == 0 || c->stage == COMPACTION_THROUGH || log_writable(store, NULL) != 0)
        return 0;
    if (c->stage == COMPACTION_UNKNOWN && look(store, err) != 0)
        return -1;
    int status = snapshot_sweep(store, err);
    if (status != 0)
        return status;
    if (store_begin_unsynced(store, err) != 0)
        return -1;
    const struct compaction before = *c;
    status = drop_some(store, n, err);
    if (status < 0 || store_commit(store, err) != 0) {
        store_rollback(store);
        *c = before;
        return -1;
    }
    if (status == 0)
        c->stage = c->stage == COMPACTION_SAMPLES ? COMPACTION_EVENTS : COMPACTION_THROUGH;
    return c->stage != COMPACTION_THROUGH;
}

void compaction_fini(struct store *store)
{
    free(store->compaction.held);
    store->compaction = (struct compaction){.n_deleted = store->compaction.n_deleted};
}

uint64_t store_compacted(const struct store *store)
{
    return store->compaction.n_deleted;
}
