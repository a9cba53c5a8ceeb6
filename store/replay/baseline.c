/* baseline.c - where another arithmetic takes the log over.
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
