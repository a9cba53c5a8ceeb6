/* journal.c - store/journal.h by SQLite: the log in the model's own file. */
#include "store/journal.h"

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

void journal_init(struct store *store)
{
    store->journal =
        (struct journal){.begin = begin, .next = next, .append = append, .commit = commit, .rollback = rollback};
}

struct journal *store_journal(struct store *store)
{
    return &store->journal;
}
