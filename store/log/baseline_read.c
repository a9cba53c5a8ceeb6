/* baseline_read.c - from where on the log is this convd's arithmetic's; see store/replay/baseline.c. */
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
