/* verify.c - everything against everything: pages, references, every link of the chain, a replay from nothing through
 * every branch that was ever left behind, each snapshot and each recorded outcome against that replay, and the classes.
 *
 * The replay goes through the log once, in its order. An activate event needs the state of an earlier revision, so a copy
 * is kept of each revision that a later one goes back to, from there until its last use: memory for as many models as
 * there are such revisions open at a time, mostly one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* A revision that an activate event goes back to. */
struct target {
    uint64_t revision;
    uint64_t last_use;     /* revision of the last such activate event */
    struct learner *state; /* NULL before it is reached and after the last use */
};

struct verification {
    struct store *store;
    const struct arith *arith;
    struct target *targets; /* [n_targets], by revision, each once */
    size_t n_targets, next_target;
    struct learner *learner; /* NULL before the baseline */
    uint64_t begin;          /* the rows after it are read: log_begin() */
    struct log_reader reader;
    struct store_verdict verdict;
};

static int by_revision(const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    if (x->revision != y->revision)
        return x->revision < y->revision ? -1 : 1;
    return x->last_use < y->last_use ? -1 : x->last_use > y->last_use;
}

/* The targets of all activate events, sorted, each once with its last use. */
static int find_targets(struct verification *v, struct err *err)
{
    size_t n = 0, room = 0;
    int status;
    struct event event;
    struct err why;
    rare_events(v->store, EVENT_ACTIVATE, 1, UINT64_MAX);
    while ((status = rare_event_next(v->store, &event, &why, err)) == 1) {
        status = grow(&v->targets, &room, n, sizeof *v->targets, "activations", err);
        if (status != 0)
            break;
        if (why.code == ERR_NONE)
            v->targets[n++] = (struct target){.revision = event.as.activate.revision, .last_use = event.revision};
    }
    rare_events_end(v->store);
    if (status != 0)
        return -1;
    if (n > 1)
        qsort(v->targets, n, sizeof *v->targets, by_revision);
    for (size_t i = 0; i < n; i++) {
        if (v->n_targets > 0 && v->targets[v->n_targets - 1].revision == v->targets[i].revision)
            v->n_targets--; /* the later use replaces it */
        v->targets[v->n_targets++] = v->targets[i];
    }
    return 0;
}

static int check_file(struct store *store, struct err *err)
{
    struct db *db = store->db;
    if (db_step(db, SQL_INTEGRITY, err) < 0)
        return -1;
    char finding[200];
    (void)snprintf(finding, sizeof finding, "%s", db_text(db, SQL_INTEGRITY, 0, NULL));
    db_reset(db, SQL_INTEGRITY);
    if (strcmp(finding, "ok") != 0)
        return err_set(err, ERR_DB_CORRUPT, "SQLite's integrity check: %s", finding);
    return 0;
}

static int activate(struct verification *v, struct err *err)
{
    const struct event *event = &v->reader.event;
    struct target *target = NULL;
    for (size_t i = 0; i < v->n_targets && target == NULL; i++)
        if (v->targets[i].revision == event->as.activate.revision)
            target = &v->targets[i];
    if (target == NULL || target->state == NULL)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu goes back to revision %llu, which is not earlier",
                       (unsigned long long)event->revision, (unsigned long long)event->as.activate.revision);
    struct learner *state = target->state;
    if (target->last_use == event->revision)
        target->state = NULL;
    else if ((state = learner_dup(target->state, true, err)) == NULL)
        return -1;
    learner_free(v->learner);
    v->learner = state;
    v->learner->revision = event->revision;
    return 0;
}

static int keep_if_target(struct verification *v, uint64_t revision, struct err *err)
{
    if (v->learner == NULL) /* nothing after the baseline goes back to before it */
        return 0;
    while (v->next_target < v->n_targets && v->targets[v->next_target].revision < revision)
        v->next_target++;
    if (v->next_target == v->n_targets || v->targets[v->next_target].revision != revision)
        return 0;
    struct target *target = &v->targets[v->next_target++];
    target->state = learner_dup(v->learner, true, err);
    return target->state != NULL ? 0 : -1;
}

/* A snapshot of that revision: sound in itself, and equal to the replay, where there is one. */
static int compare_snapshot(struct verification *v, int64_t id, uint64_t revision, bool chained, struct err *err)
{
    uint8_t replayed[DIGEST_BYTES], stored[DIGEST_BYTES];
    const bool compared = v->learner != NULL && revision >= v->verdict.baseline;
    struct learner *state = NULL;
    int failed;
    if (!chained)
        failed = err_set(err, ERR_DB_CORRUPT, "snapshot %lld: its chain is not that of the log", (long long)id);
    else
        failed = (compared ? snapshot_read : snapshot_read_any)(&state, v->store, id, v->arith, err);
    if (failed != 0 && err != NULL && err->code == ERR_CONFLICT)
        err->code = ERR_DB_CORRUPT; /* of another arithmetic, at a place that is ours */
    if (failed == 0 && compared) {
        learner_digest(state, stored);
        learner_digest(v->learner, replayed);
        if (memcmp(stored, replayed, DIGEST_BYTES) != 0)
            failed =
                err_set(err, ERR_DB_CORRUPT, "snapshot %lld is not the state that the log leads to at revision %llu",
                        (long long)id, (unsigned long long)revision);
    }
    learner_free(state);
    v->verdict.snapshots++;
    return failed;
}

static int compare_snapshots(struct verification *v, struct err *err)
{
    struct db *db = v->store->db;
    const uint64_t revision = v->reader.event.revision;
    int status, failed = 0;
    db_bind_int(db, SQL_SNAPSHOTS_AT, 1, (int64_t)revision);
    while (failed == 0 && (status = db_step(db, SQL_SNAPSHOTS_AT, err)) != 0) {
        if (status < 0)
            return -1;
        failed =
            compare_snapshot(v, db_int(db, SQL_SNAPSHOTS_AT, 0), revision, db_int(db, SQL_SNAPSHOTS_AT, 1) == 1, err);
    }
    db_reset(db, SQL_SNAPSHOTS_AT);
    return failed;
}

/* The state that a baseline event speaks of: what everything after it is replayed from. */
static int take_baseline(struct verification *v, struct err *err)
{
    struct db *db = v->store->db;
    const uint64_t revision = v->verdict.baseline;
    uint8_t digest[DIGEST_BYTES];
    db_bind_int(db, SQL_SNAPSHOTS_AT, 1, (int64_t)revision);
    int status = db_step(db, SQL_SNAPSHOTS_AT, err);
    const int64_t id = status == 1 ? db_int(db, SQL_SNAPSHOTS_AT, 0) : 0;
    db_reset(db, SQL_SNAPSHOTS_AT);
    if (status < 0)
        return -1;
    if (status == 0)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu: the snapshot of this baseline is missing",
                       (unsigned long long)revision);
    if (snapshot_read_any(&v->learner, v->store, id, v->arith, err) != 0 ||
        replay_buffer_read(v->learner, v->store, err) != 0)
        return -1;
    learner_digest(v->learner, digest);
    return memcmp(digest, v->store->baseline_digest, DIGEST_BYTES) == 0
               ? 0
               : err_set(err, ERR_DB_CORRUPT, "revision %llu: the snapshot of this baseline has another state",
                         (unsigned long long)revision);
}

/* One row: replayed, where this arithmetic can. */
static int follow(struct verification *v, struct err *err)
{
    const struct event *event = &v->reader.event;
    if (event->revision < v->verdict.baseline || event->kind == EVENT_CREATE)
        return 0;
    if (event->revision == v->verdict.baseline)
        return take_baseline(v, err);
    return event->kind == EVENT_ACTIVATE ? activate(v, err) : replay_event(v->store, v->learner, &v->reader, err);
}

/* The create event, whose link is the first. */
static int walk_origin(struct verification *v, struct err *err)
{
    const uint8_t nothing[CHAIN_BYTES] = {0};
    log_read_open(&v->reader, v->store, 0, nothing);
    const int status = log_read_next(&v->reader, err);
    log_read_close(&v->reader);
    return status < 0 ? -1 : 0;
}

/* Of a log whose first rows are not kept: it, what is pinned from before the rest, and the baseline where that is where the rest begins. */
static int walk_before(struct verification *v, struct err *err)
{
    struct db *db = v->store->db;
    int status, failed = 0;
    if (v->begin == 0)
        return 0;
    if (walk_origin(v, err) != 0 || (v->begin == v->verdict.baseline && take_baseline(v, err) != 0) ||
        keep_if_target(v, v->begin, err) != 0)
        return -1;
    db_bind_int(db, SQL_SNAPSHOTS_UPTO, 1, (int64_t)v->begin);
    while (failed == 0 && (status = db_step(db, SQL_SNAPSHOTS_UPTO, err)) != 0) {
        if (status < 0)
            return -1;
        failed = compare_snapshot(v, db_int(db, SQL_SNAPSHOTS_UPTO, 0), (uint64_t)db_int(db, SQL_SNAPSHOTS_UPTO, 1),
                                  db_int(db, SQL_SNAPSHOTS_UPTO, 3) == 1, err);
    }
    db_reset(db, SQL_SNAPSHOTS_UPTO);
    return failed;
}

static int walk(struct verification *v, store_progress *progress, void *context, struct err *err)
{
    uint8_t chain[CHAIN_BYTES];
    const struct event *event = &v->reader.event;
    int status;
    if (walk_before(v, err) != 0 || log_chain_at(v->store, v->begin, chain, err) != 0)
        return -1;
    log_read_open(&v->reader, v->store, v->begin, chain);
    v->reader.whole = true;
    while ((status = log_read_next(&v->reader, err)) == 1) {
        if (follow(v, err) != 0 || compare_snapshots(v, err) != 0 || keep_if_target(v, event->revision, err) != 0)
            return -1;
        v->verdict.events++;
        if (progress != NULL && progress(context, event->revision, v->store->end.revision) != 0)
            return err_set(err, ERR_STOPPING, "stopped at revision %llu", (unsigned long long)event->revision);
    }
    return status;
}

/* Rows that refer to a row which is not there. */
static int check_references(struct store *store, struct err *err)
{
    struct db *db = store->db;
    int status = db_step(db, SQL_FOREIGN_KEY_CHECK, err);
    if (status == 1) {
        status =
            err_set(err, ERR_DB_CORRUPT, "a row of table %.32s (%lld) refers to one of table %.32s that is missing",
                    db_text(db, SQL_FOREIGN_KEY_CHECK, 0, NULL), (long long)db_int(db, SQL_FOREIGN_KEY_CHECK, 1),
                    db_text(db, SQL_FOREIGN_KEY_CHECK, 2, NULL));
        db_reset(db, SQL_FOREIGN_KEY_CHECK);
    }
    return status;
}

/* Rows of an edit that no event names, nor table edit_work. */
static int check_edits(struct store *store, struct err *err)
{
    db_bind_int(store->db, SQL_EDIT_STRAYS, 1, (int64_t)store->n_spans);
    const int status = db_step(store->db, SQL_EDIT_STRAYS, err);
    db_reset(store->db, SQL_EDIT_STRAYS);
    return status <= 0 ? status
                       : err_set(err, ERR_DB_CORRUPT, "there are rows of an edit that is missing from the log");
}

/* Those that were not written before the end came are of no revision that a snapshot knows. */
static int check_outcomes(struct verification *v, int64_t first, struct err *err)
{
    struct db *db = v->store->db;
    int64_t n, highest;
    db_bind_int(db, SQL_OUTCOME_COUNT, 1, first);
    if (db_number(&n, db, SQL_OUTCOME_COUNT, err) != 0 || db_number(&highest, db, SQL_SNAPSHOT_HIGHEST, err) != 0)
        return -1;
    if (v->reader.lacking != 0 && v->reader.lacking_at <= (uint64_t)highest)
        return err_set(err, ERR_DB_CORRUPT, "the outcome of sample %lld is missing", (long long)v->reader.lacking);
    if (n != v->reader.n_outcomes)
        return err_set(err, ERR_DB_CORRUPT, "there are %lld outcomes, but the log speaks of %lld", (long long)n,
                       (long long)v->reader.n_outcomes);
    return 0;
}

/* What no event speaks of must not be there. */
static int check_leftovers(struct verification *v, struct err *err)
{
    int64_t first = INT64_MIN, n; /* of those that the rows are of which were read */
    const int64_t least = v->begin > 0 ? (int64_t)v->begin + 1 : INT64_MIN;
    db_bind_ints(v->store->db, SQL_SAMPLES_AMONG, least, INT64_MAX);
    if (db_number(&n, v->store->db, SQL_SAMPLES_AMONG, err) != 0 ||
        (v->begin > 0 && baseline_first_kept(&first, v->store, v->begin, err) != 0))
        return -1;
    if (n != v->reader.n_samples)
        return err_set(err, ERR_DB_CORRUPT, "table sample has %lld samples, but the log has %lld", (long long)n,
                       (long long)v->reader.n_samples);
    if (check_outcomes(v, first, err) != 0 || classes_check(v->store, v->learner, err) != 0 ||
        check_edits(v->store, err) != 0)
        return -1;
    return check_references(v->store, err);
}

/* The arithmetic before the last baseline event, or the log's where all of it is another's. */
static const char *before_baseline(const struct store *store)
{
    return baseline_is_ours(store) ? store->before : store->baseline.arithmetic;
}

int store_verify(struct store *store, const struct arith *arith, store_progress *progress, void *context,
                 struct store_verdict *out, struct err *err)
{
    struct verification v = {.store = store, .arith = arith};
    struct store_recovery report = {0};
    const bool ours = baseline_is_ours(store);
    int status = -1;
    v.verdict.baseline = ours ? store->baseline.revision : store->end.revision + 1;
    v.verdict.kept = store->baseline.kept;
    if (v.verdict.baseline > 1 && v.verdict.baseline != v.verdict.kept)
        (void)snprintf(v.verdict.before, sizeof v.verdict.before, "%s", before_baseline(store));
    (void)outcomes_show(store, NULL);
    if (check_file(store, err) != 0 || replay_check_end(store, err) != 0 || find_targets(&v, err) != 0 ||
        log_begin(&v.begin, store, err) != 0 ||
        (v.verdict.baseline == 1 && replay_origin(&v.learner, store, arith, err) != 0) ||
        walk(&v, progress, context, err) != 0)
        goto out;
    /* Where all of the log is another arithmetic's, what it says can be read, but nothing be compared with it. */
    if (!ours && replay_state_at(&v.learner, store, store->end.revision, arith, NULL, NULL, &report, err) != 0)
        goto out;
    if (check_leftovers(&v, err) != 0)
        goto out;
    v.verdict.revision = v.reader.event.revision;
    v.verdict.step = v.learner->step;
    v.verdict.samples = (uint64_t)v.reader.n_samples;
    learner_digest(v.learner, v.verdict.digest);
    if (out != NULL)
        *out = v.verdict;
    status = 0;
out:
    store_rehearse_end(store);
    log_read_close(&v.reader);
    for (size_t i = 0; i < v.n_targets; i++)
        learner_free(v.targets[i].state);
    free(v.targets);
    learner_free(v.learner);
    return status;
}
