/* baseline.c - from where on the log is this convd's arithmetic's.
 *
 * The create event names the arithmetic that the log began with; each ground event one that took over. Replay is bit for bit only in
 * the arithmetic that a stretch was made by, so it never begins before the last ground event: the pinned snapshot there is for what
 * comes after it what the create event is for a log that never changed hands.
 *
 * The rows between the old arithmetic's last snapshot and its end are folded once, by the new one. No acknowledged sample is lost by
 * that; the bits are others, as are the outcomes that would be recorded.
 */
#include <stdio.h>
#include <string.h>

#include "store/internal.h"

int ground_read(struct store *store, struct err *err)
{
    struct db *db = store->db;
    struct event event = {.kind = EVENT_GROUND};
    struct sample_run run;
    size_t n_body;
    store->ground.revision = 1;
    memcpy(store->ground.arithmetic, store->origin.arithmetic, ARITHMETIC_BYTES);
    int status = db_step(db, SQL_GROUND_LAST, err);
    if (status == 1) {
        const char *body = db_text(db, SQL_GROUND_LAST, 1, &n_body);
        store->ground.revision = (uint64_t)db_int(db, SQL_GROUND_LAST, 0);
        status = event_parse(&event, &run, db, body, n_body, err);
        (void)snprintf(store->ground.arithmetic, ARITHMETIC_BYTES, "%s",
                       status == 0 ? event.as.ground.arithmetic : ARITHMETIC_VERSION);
        memcpy(store->before, event.as.ground.before, ARITHMETIC_BYTES);
        if (status != 0)
            err_wrap(err, "revision %llu", (unsigned long long)store->ground.revision);
    }
    db_reset(db, SQL_GROUND_LAST);
    return status < 0 ? -1 : 0;
}

struct store_ground store_ground(const struct store *store)
{
    return store->ground;
}

bool ground_is_ours(const struct store *store)
{
    return strcmp(store->ground.arithmetic, ARITHMETIC_VERSION) == 0;
}

int ground_refuses(const struct store *store, uint64_t revision, struct err *err)
{
    if (revision >= store->ground.revision)
        return 0;
    return err_set(err, ERR_GONE,
                   "revision %llu was made by another arithmetic, and cannot be made again to the same bits: from "
                   "revision %llu on the log is of " ARITHMETIC_VERSION,
                   (unsigned long long)revision, (unsigned long long)store->ground.revision);
}

int ground_take(struct store *store, struct learner *learner, uint64_t from, struct err *err)
{
    struct event event = {.kind = EVENT_GROUND, .revision = store->end.revision + 1};
    const struct store_ground before = store->ground;
    event.as.ground.from = from;
    (void)snprintf(event.as.ground.arithmetic, ARITHMETIC_BYTES, "%s", ARITHMETIC_VERSION);
    memcpy(event.as.ground.before, before.arithmetic, ARITHMETIC_BYTES);
    learner_digest(learner, event.as.ground.digest);
    if (store_begin(store, err) != 0 || store_append(store, &event, err) != 0)
        return -1;
    learner->revision = event.revision;
    store->ground.revision = event.revision;
    memcpy(store->ground.arithmetic, event.as.ground.arithmetic, ARITHMETIC_BYTES);
    memcpy(store->before, before.arithmetic, ARITHMETIC_BYTES);
    if (snapshot_write(store, learner, "ground", "", true, NULL, err) == 0 && store_commit(store, err) == 0)
        return 0;
    store_rollback(store);
    store->ground = before;
    learner->revision = event.revision - 1;
    return -1;
}
