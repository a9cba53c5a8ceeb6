/* recover.c - what a start begins with: the state of the log's end, and what is missing in the file that only a replay can give. */
#include <string.h>

#include "store/internal.h"

/* Where a way back comes after samples that have no outcome: the revision before them, else the log's end. What is left behind the way back is not
 * replayed on the way to the end, and would never have any: in a file that took a part of a shared log in one transaction (store/shared.c). */
static int last_told(uint64_t *revision, struct store *store, struct err *err)
{
    struct db *db = store->db;
    int64_t told, untold;
    uint64_t turn;
    *revision = store->end.revision;
    if (db_number(&told, db, SQL_OUTCOME_LAST, err) != 0)
        return -1;
    db_bind_int(db, SQL_SAMPLE_FROM, 1,
                told < STORE_NUMBER_MAX ? told + 1 : told); /* a larger one is no sample of ours */
    if (db_number(&untold, db, SQL_SAMPLE_FROM, err) != 0 || lineage_turn(&turn, db, store->end.revision, err) != 0)
        return -1;
    if (untold > 1 && turn > (uint64_t)untold && (uint64_t)untold > store->baseline.revision)
        *revision = (uint64_t)untold - 1;
    return 0;
}

/* From there to the end, on every line. */
static int follow_all(struct store *store, struct learner *learner, store_progress *progress, void *context,
                      struct store_recovery *report, struct err *err)
{
    const uint64_t first = learner->revision;
    const struct event *event;
    int status;
    while ((status = store_follow(store, learner, &event, err)) == 1) {
        report->good = event->revision;
        report->events++;
        report->samples += event->kind == EVENT_TRAIN ? event->as.train.n : 0;
        if (progress != NULL && progress(context, event->revision - first, store->end.revision - first) != 0)
            return err_set(err, ERR_STOPPING, "stopped at revision %llu", (unsigned long long)event->revision);
    }
    return status;
}

int store_recover(struct store *store, const struct arith *arith, store_progress *progress, void *context,
                  struct learner **out, struct store_recovery *report, struct err *err)
{
    struct store_recovery ignored;
    report = report != NULL ? report : &ignored;
    *out = NULL;
    store->recovering = log_writable(store, NULL) == 0;
    store->outcomes.n = 0; /* the replay gives them again */
    uint64_t told = store->end.revision;
    int status = replay_check_end(store, err);
    if (status == 0 && store->recovering)
        status = last_told(&told, store, err);
    if (status == 0)
        status = replay_state_at(out, store, told, arith, progress, context, report, err);
    store->recovering = false;
    if (status == 0 && told < store->end.revision)
        status = follow_all(store, *out, progress, context, report, err);
    if (status != 0) {
        learner_free(*out);
        *out = NULL;
        store->outcomes.n = 0; /* nothing is written to what is damaged */
        return -1;
    }
    if (baseline_is_ours(store))
        return 0;
    memcpy(report->before, store->baseline.arithmetic, sizeof report->before);
    if (log_writable(store, NULL) != 0 || baseline_take(store, *out, report->snapshot_revision, err) == 0)
        return 0;
    learner_free(*out);
    *out = NULL;
    return -1;
}
