/* rare_events.c - the events of one kind that is not train, by their own index. */
#include "store/internal.h"

void rare_events(struct store *store, enum event_kind kind, uint64_t first, uint64_t last)
{
    struct db *db = store->db;
    db_bind_ints(db, SQL_RARE_EVENTS, (int64_t)first, last < INT64_MAX ? (int64_t)last : INT64_MAX);
    db_bind_text(db, SQL_RARE_EVENTS, 3, event_kind_name(kind));
    store->rare = kind;
}

int rare_event_next(struct store *store, struct event *event, struct err *why, struct err *err)
{
    struct db *db = store->db;
    size_t n_body;
    const int status = db_step(db, SQL_RARE_EVENTS, err);
    *event = (struct event){.kind = store->rare};
    *why = (struct err){0};
    if (status != 1)
        return status;
    event->revision = (uint64_t)db_int(db, SQL_RARE_EVENTS, 0);
    const char *body = db_text(db, SQL_RARE_EVENTS, 1, &n_body);
    (void)event_decode(event, NULL, body, n_body, why);
    return 1;
}

void rare_events_end(struct store *store)
{
    db_reset(store->db, SQL_RARE_EVENTS);
}
