/* baseline.c - where another arithmetic takes the log over.
 *
 * The create event names the arithmetic that the log began with; each baseline event one that took over. Replay is bit for bit only in
 * the arithmetic that a span was made by, so it never begins before the last baseline event: the pinned snapshot there is for what
 * comes after it what the create event is for a log that never changed hands.
 *
 * The rows between the old arithmetic's last snapshot and its end are folded once, by the new one. No acknowledged sample is lost by
 * that; the bits are others, as are the outcomes that would be recorded.
 */
#include <stdio.h>
#include <string.h>

#include "store/internal.h"

int baseline_take(struct store *store, struct learner *learner, uint64_t from, struct err *err)
{
    struct event event = {.kind = EVENT_BASELINE, .revision = store->end.revision + 1};
    const struct store_baseline before = store->baseline;
    event.as.baseline.from = from;
    (void)snprintf(event.as.baseline.arithmetic, ARITHMETIC_BYTES, "%s", ARITHMETIC_VERSION);
    memcpy(event.as.baseline.before, before.arithmetic, ARITHMETIC_BYTES);
    learner_digest(learner, event.as.baseline.digest);
    if (store_begin(store, err) != 0 || store_append(store, &event, err) != 0)
        return -1;
    learner->revision = event.revision;
    baseline_apply(store, &event);
    if (snapshot_write(store, learner, "baseline", "", true, NULL, err) == 0 && store_commit(store, err) == 0)
        return 0;
    store_rollback(store);
    store->baseline = before;
    learner->revision = event.revision - 1;
    return -1;
}
