/* head.c - where the log ends, and who may go on from there. See postgres.h. */
#include "store/postgres/internal.h"

int postgres_read_head(struct log_head *head, struct postgres *pg, enum statement which, struct err *err)
{
    PGresult *result;
    if (postgres_run(&result, pg, which, NULL, err) != 0)
        return -1;
    const bool whole = PQntuples(result) == 1 && result_bytes(head->chain, CHAIN_BYTES, result, 0, 1);
    if (whole) {
        head->revision = (uint64_t)result_number(result, 0, 0);
        pg->fence = result_number(result, 0, 2);
    }
    PQclear(result);
    return whole ? 0 : err_set(err, ERR_DB_CORRUPT, "table convd.head of the shared log is not what it was");
}

int postgres_head(struct log_head *head, struct postgres *pg, struct err *err)
{
    return postgres_ready(pg, err) == 0 ? postgres_read_head(head, pg, SQL_HEAD, err) : -1;
}

int postgres_lock(struct log_head *head, struct postgres *pg, struct err *err)
{
    if (postgres_ready(pg, err) != 0)
        return -1;
    if (!pg->locked && postgres_do(pg, SQL_BEGIN, NULL, err) != 0)
        return -1;
    pg->locked = true;
    if (postgres_read_head(head, pg, SQL_HEAD_LOCK, err) == 0)
        return 0;
    postgres_unlock(pg);
    return -1;
}

void postgres_unlock(struct postgres *pg)
{
    if (!pg->locked)
        return;
    pg->locked = false;
    pg->until_ms = postgres_now_ms() + pg->limit_ms;
    if (pg->conn != NULL && postgres_do(pg, SQL_ROLLBACK, NULL, NULL) != 0)
        postgres_drop(pg);
}
