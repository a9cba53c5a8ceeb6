/* baseline_read.c - from where on the log replays to the bits that it had; see store/replay/baseline.c and store/replay/compaction.c. */
#include <stdio.h>
#include <string.h>

#include "store/internal.h"

void baseline_apply(struct store *store, const struct event *event)
{
    const bool compaction = event->as.baseline.samples > 0;
    store->baseline.revision = compaction ? event->as.baseline.from : event->revision;
    memcpy(store->baseline.arithmetic, event->as.baseline.arithmetic, ARITHMETIC_BYTES);
    memcpy(store->baseline_digest, event->as.baseline.digest, DIGEST_BYTES);
    if (!compaction)
        memcpy(store->before, event->as.baseline.before, ARITHMETIC_BYTES);
    if (compaction) {
        store->baseline.kept = event->as.baseline.from;
        store->baseline.samples = event->as.baseline.samples;
    }
}

int baseline_read(struct store *store, struct err *err)
{
    struct event event;
    struct err why, last = {0};
    int status;
    store->baseline = (struct store_baseline){.revision = 1};
    memcpy(store->baseline.arithmetic, store->origin.arithmetic, ARITHMETIC_BYTES);
    rare_events(store, EVENT_BASELINE, 1, UINT64_MAX);
    while ((status = rare_event_next(store, &event, &why, err)) == 1) {
        last = why;
        baseline_apply(store, &event);
        if (why.code == ERR_NONE)
            continue;
        store->baseline.revision = event.revision;
        (void)snprintf(store->baseline.arithmetic, ARITHMETIC_BYTES, "%s", ARITHMETIC_VERSION);
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

bool baseline_replays(const struct store *store, uint64_t revision)
{
    return store->baseline.revision == 1 || revision > store->baseline.revision;
}

int baseline_refuses(const struct store *store, uint64_t revision, struct err *err)
{
    if (revision >= store->baseline.revision)
        return 0;
    if (store->baseline.kept == store->baseline.revision)
        return err_set(err, ERR_GONE,
                       "revision %llu is before the baseline, revision %llu: the samples before that are not kept",
                       (unsigned long long)revision, (unsigned long long)store->baseline.revision);
    return err_set(err, ERR_GONE,
                   "revision %llu is before the baseline and cannot be replayed to the same bits: from revision %llu "
                   "on, the log is of arithmetic " ARITHMETIC_VERSION,
                   (unsigned long long)revision, (unsigned long long)store->baseline.revision);
}

/* ---- samples that are not kept ---- */

int baseline_first_kept(int64_t *id, struct store *store, uint64_t revision, struct err *err)
{
    db_bind_int(store->db, SQL_SAMPLE_SINCE, 1, (int64_t)revision + 1);
    const int status = db_number(id, store->db, SQL_SAMPLE_SINCE, err);
    if (status == 0 && *id == 0)
        *id = store->end.next_sample;
    return status;
}

int baseline_samples_after(uint64_t *n, struct store *store, uint64_t revision, struct err *err)
{
    int64_t first;
    const int status = baseline_first_kept(&first, store, revision, err);
    *n = status == 0 ? (uint64_t)(store->end.next_sample - first) : 0;
    return status;
}

int baseline_dropped(struct store *store, int64_t id, struct err *err)
{
    int64_t first;
    if (store->baseline.kept == 0 || id < 1)
        return 0;
    return baseline_first_kept(&first, store, store->baseline.kept, err) != 0 ? -1 : id < first;
}

int baseline_refuse_dropped(const struct store *store, enum err_code code, int64_t id, struct err *err)
{
    return err_set(err, code,
                   "sample %lld came before the baseline, revision %llu: samples from before that are not kept "
                   "(--keep-samples), and what the model learned from them stays",
                   (long long)id, (unsigned long long)store->baseline.kept);
}

int log_begin(uint64_t *revision, struct store *store, struct err *err)
{
    struct event event;
    struct err why;
    int64_t lowest = INT64_MAX, from;
    int status;
    *revision = store->baseline.kept;
    if (*revision == 0)
        return 0;
    rare_events(store, EVENT_REHEARSE, *revision + 1, UINT64_MAX);
    while ((status = rare_event_next(store, &event, &why, err)) == 1)
        if (why.code == ERR_NONE && event.as.rehearse.first_id < lowest)
            lowest = event.as.rehearse.first_id;
    if (status != 0)
        return -1;
    db_bind_int(store->db, SQL_SAMPLE_FROM, 1, lowest);
    if (db_number(&from, store->db, SQL_SAMPLE_FROM, err) != 0)
        return -1;
    if (from > 1 && (uint64_t)from <= *revision)
        *revision = (uint64_t)from - 1;
    return 0;
}
