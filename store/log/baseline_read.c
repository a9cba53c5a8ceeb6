/* baseline_read.c - from where on the log is this convd's arithmetic's; see store/replay/baseline.c. */
#include <stdio.h>
#include <string.h>

#include "store/internal.h"

int baseline_read(struct store *store, struct err *err)
{
    struct event event;
    struct err why, last = {0};
    int status;
    store->baseline.revision = 1;
    memcpy(store->baseline.arithmetic, store->origin.arithmetic, ARITHMETIC_BYTES);
    rare_events(store, EVENT_BASELINE, 1, UINT64_MAX);
    while ((status = rare_event_next(store, &event, &why, err)) == 1) {
        last = why;
        store->baseline.revision = event.revision;
        (void)snprintf(store->baseline.arithmetic, ARITHMETIC_BYTES, "%s",
                       why.code == ERR_NONE ? event.as.baseline.arithmetic : ARITHMETIC_VERSION);
        memcpy(store->before, event.as.baseline.before, ARITHMETIC_BYTES);
    }
    if (status < 0 || last.code == ERR_NONE)
        return status;
    *err = last;
    return err_wrap(err, "revision %llu", (unsigned long long)store->baseline.revision);
}

struct store_baseline store_baseline(const struct store *store)
{
    return store->baseline;
}

bool baseline_is_ours(const struct store *store)
{
    return strcmp(store->baseline.arithmetic, ARITHMETIC_VERSION) == 0;
}

int baseline_refuses(const struct store *store, uint64_t revision, struct err *err)
{
    if (revision >= store->baseline.revision)
        return 0;
    return err_set(err, ERR_GONE,
                   "revision %llu is before the baseline and cannot be replayed to the same bits: from revision %llu "
                   "on, the log is of arithmetic " ARITHMETIC_VERSION,
                   (unsigned long long)revision, (unsigned long long)store->baseline.revision);
}
