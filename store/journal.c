/* journal.c - store/journal.h by SQLite: the log in the model's own file. */
#include "store/journal.h"

#include <stdlib.h>

#include "store/internal.h"

static struct store *store_of(struct journal *journal)
{
    return (struct store *)(void *)journal; /* its first member */
}

static int begin(struct journal *journal, uint64_t after, struct err *err)
{
    struct store *store = store_of(journal);
    if (after != store->end.revision)
        return err_set(err, ERR_BUSY, "the log ends at revision %llu, not at %llu",
                       (unsigned long long)store->end.revision, (unsigned long long)after);
    return store_begin(store, err);
}

static void next(struct journal *journal, struct event *event)
{
    store_next(store_of(journal), event);
}

static int append(struct journal *journal, struct event *event, const struct store_key *key, struct err *err)
{
    struct store *store = store_of(journal);
    if (store_append(store, event, err) != 0)
        return -1;
    return key != NULL ? store_put_key(store, key, err) : 0;
}

static int commit(struct journal *journal, struct err *err)
{
    return store_commit(store_of(journal), err);
}

static void rollback(struct journal *journal)
{
    store_rollback(store_of(journal));
}

static int read_next(struct journal *journal, uint64_t after, const struct event **event, struct err *err)
{
    struct store *store = store_of(journal);
    struct log_reader *reader = &store->follower;
    if (reader->store == NULL || reader->event.revision != after) {
        uint8_t chain[CHAIN_BYTES];
        log_read_close(reader);
        if (log_chain_at(store, after, chain, err) != 0)
            return -1;
        log_read_init(reader, store, after, chain);
    }
    log_read_resume(reader);
    const int status = log_read_next(reader, err);
    if (status == 1)
        log_read_pause(reader);
    else
        log_read_close(reader);
    *event = status == 1 ? &reader->event : NULL;
    return status;
}

static int offer(struct journal *journal, const struct learner *learner, struct err *err)
{
    return store_snapshot(store_of(journal), learner, "interval", "", false, NULL, err);
}

static int fetch(struct journal *journal, uint64_t upto, const struct arith *arith, struct learner **learner,
                 struct err *err)
{
    struct store *store = store_of(journal);
    struct store_snapshot *list = NULL;
    size_t n = 0;
    int64_t newest = 0;
    uint64_t revision = 0;
    int status = store_snapshots(store, &list, &n, err);
    for (size_t i = 0; status == 0 && i < n; i++)
        if (list[i].revision <= upto && list[i].revision >= revision) {
            newest = list[i].id;
            revision = list[i].revision;
        }
    free(list);
    if (status == 0 && newest == 0)
        status = err_set(err, ERR_NOT_FOUND, "there is no state of revision %llu or before", (unsigned long long)upto);
    return status == 0 ? store_snapshot_load(store, newest, arith, learner, err) : -1;
}

void journal_init(struct store *store)
{
    store->journal = (struct journal){.begin = begin,
                                      .next = next,
                                      .append = append,
                                      .commit = commit,
                                      .rollback = rollback,
                                      .read = read_next,
                                      .offer = offer,
                                      .fetch = fetch};
}

struct journal *store_journal(struct store *store)
{
    return &store->journal;
}
