/* lineage.c - which events lead to a revision.
 *
 * Let a be the last activate event at or before R, and t the revision that it went back to. Then
 *
 *     lineage(R) = lineage(t), then the events a .. R           lineage(R) = 1 .. R where there is no such a
 *
 * and the state after a is the state after t. What lies between t and a was left behind: still in the log, no longer in
 * the model.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/internal.h"

static int add(struct lineage *lineage, size_t *room, uint64_t first, uint64_t last, struct err *err)
{
    if (grow(&lineage->spans, room, lineage->n, sizeof *lineage->spans, "spans of a lineage", err) != 0)
        return -1;
    lineage->spans[lineage->n++] = (struct span){.first = first, .last = last};
    return 0;
}

int lineage_turn(uint64_t *turn, struct db *db, uint64_t revision, struct err *err)
{
    db_bind_int(db, SQL_LINEAGE_TURN, 1, (int64_t)revision);
    if (db_step(db, SQL_LINEAGE_TURN, err) < 0)
        return -1;
    *turn = (uint64_t)db_int(db, SQL_LINEAGE_TURN, 0); /* NULL reads as 0 */
    db_reset(db, SQL_LINEAGE_TURN);
    if (*turn > revision) /* a damaged index: it must not lead in circles */
        return err_set(err, ERR_DB_CORRUPT, "revision %llu: the index of events is out of order",
                       (unsigned long long)revision);
    return 0;
}

/* The revision that an activate event goes back to; 0 where it does not say so, or none before it. */
static int find_target(uint64_t *target, struct store *store, uint64_t turn, struct err *err)
{
    struct event event;
    struct err why;
    rare_events(store, EVENT_ACTIVATE, turn, turn);
    const int status = rare_event_next(store, &event, &why, err);
    rare_events_end(store);
    const bool said = status == 1 && why.code == ERR_NONE && event.as.activate.revision < turn;
    *target = said ? event.as.activate.revision : 0;
    return status < 0 ? -1 : 0;
}

int lineage_find(struct lineage *lineage, struct store *store, uint64_t revision, struct err *err)
{
    size_t room = 0;
    *lineage = (struct lineage){0};
    for (uint64_t last = revision, turn; last > 0;) {
        if (lineage_turn(&turn, store->db, last, err) != 0 || add(lineage, &room, turn > 0 ? turn : 1, last, err) != 0)
            return -1;
        last = 0;
        if (turn > 0 && find_target(&last, store, turn, err) != 0)
            return -1;
    }
    return 0;
}

int lineage_check(const struct lineage *lineage, struct err *err)
{
    assert(lineage->n > 0); /* there is no revision 0 */
    uint64_t first = lineage->spans[lineage->n - 1].first;
    return first == 1 ? 0
                      : err_set(err, ERR_DB_CORRUPT, "revision %llu goes back to a revision that is not earlier",
                                (unsigned long long)first);
}

int lineage_init(struct lineage *lineage, struct store *store, uint64_t revision, struct err *err)
{
    return lineage_find(lineage, store, revision, err) == 0 ? lineage_check(lineage, err) : -1;
}

void lineage_fini(struct lineage *lineage)
{
    free(lineage->spans);
    *lineage = (struct lineage){0};
}

bool lineage_has(const struct lineage *lineage, uint64_t revision)
{
    for (size_t i = 0; i < lineage->n; i++)
        if (revision >= lineage->spans[i].first && revision <= lineage->spans[i].last)
            return true;
    return false;
}
