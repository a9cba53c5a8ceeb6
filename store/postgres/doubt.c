/* doubt.c - a commit of which nobody has told how it ended. See postgres_resolve() in internal.h.
 *
 * The unfinished transaction, if the server still has it, holds the head's row or is about to ask for it:
 *
 *   - it holds the row (it waits for a standby, say): we wait for the row, and then see what it left;
 *   - it asks for the row after us (it was stopped, or its bytes are still on their way): the fence that we count up is not the one that it
 *     knows, so it changes nothing.
 *
 * So once we have the row, the log says it for good. Our own commit makes it durable: the server confirms it only when the standbys that it must
 * wait for have all of the log before it, and a WARNING or silence then is no confirmation.
 */
#include <poll.h>
#include <string.h>

#include "store/postgres/internal.h"

#define PAUSE_MS 100

/* In a transaction that has the row: 1: the log has it; 0: it has not; -1. */
static int find(struct postgres *pg, const struct log_head *last, struct err *err)
{
    PGresult *result;
    struct log_head head;
    uint8_t chain[CHAIN_BYTES];
    struct values values = {0};
    values_add_number(&values, (int64_t)last->revision);
    if (postgres_read_head(&head, pg, SQL_HEAD_LOCK, err) != 0 ||
        postgres_run(&result, pg, SQL_CHAIN, &values, err) != 0)
        return -1;
    const bool found = PQntuples(result) == 1 && result_bytes(chain, CHAIN_BYTES, result, 0, 0) &&
                       memcmp(chain, last->chain, CHAIN_BYTES) == 0;
    PQclear(result);
    return found;
}

static int count_fence(struct postgres *pg, struct err *err)
{
    PGresult *result;
    if (postgres_run(&result, pg, SQL_FENCE, NULL, err) != 0)
        return -1;
    pg->fence = result_number(result, 0, 0);
    PQclear(result);
    pg->warned = false;
    if (postgres_do(pg, SQL_COMMIT, NULL, err) != 0)
        return -1;
    return pg->warned ? err_set(err, ERR_LOG, "the server gave up waiting for its standby") : 0;
}

static int look(struct postgres *pg, const struct log_head *last, uint64_t until_ms, struct err *err)
{
    int found = postgres_ready(pg, err);
    pg->until_ms = until_ms;
    if (found == 0 && (found = postgres_do(pg, SQL_BEGIN, NULL, err)) == 0)
        found = find(pg, last, err);
    if (found >= 0 && count_fence(pg, err) != 0)
        found = -1;
    if (found < 0)
        postgres_drop(pg);
    return found;
}

int postgres_resolve(struct postgres *pg, const struct log_head *last, struct err *err)
{
    const uint64_t until_ms = postgres_now_ms() + pg->limit_ms;
    struct err again;
    int found;
    postgres_drop(pg);
    while ((found = look(pg, last, until_ms, &again)) < 0 && postgres_now_ms() < until_ms)
        (void)poll(NULL, 0, PAUSE_MS);
    if (found == 1)
        return 0;
    if (found == 0)
        return err_wrap(err, "nothing was changed");
    err_wrap(err, "whether revision %llu came about could not be found out in time",
             (unsigned long long)last->revision);
    err->detail = 1;
    return -1;
}
