/* lineage.c - which events lead to a revision.
 *
 * Let a be the last activate event at or before R, and t the revision that it went back to. Then
 *
 *     line(R) = line(t), then the events a .. R           line(R) = 1 .. R where there is no such a
 *
 * and the state after a is the state after t. What lies between t and a was left behind: still in the log, no longer in
 * the model.
 */
#include <stdlib.h>

#include "store/internal.h"

static int add(struct line *line, size_t *room, uint64_t first, uint64_t last, struct err *err)
{
    if (line->n == *room) {
        size_t more_room = *room == 0 ? 8 : *room * 2;
        struct stretch *more = realloc(line->stretches, more_room * sizeof *more);
        if (more == NULL)
            return err_set(err, ERR_MEMORY, "out of memory for a line of %zu stretches", more_room);
        line->stretches = more;
        *room = more_room;
    }
    line->stretches[line->n++] = (struct stretch){.first = first, .last = last};
    return 0;
}

/* The last activate event at or before a revision; 0: none. */
static int find_turn(uint64_t *turn, struct db *db, uint64_t revision, struct err *err)
{
    db_bind_int(db, SQL_LINE_TURN, 1, (int64_t)revision);
    if (db_step(db, SQL_LINE_TURN, err) < 0)
        return -1;
    *turn = (uint64_t)db_int(db, SQL_LINE_TURN, 0); /* NULL reads as 0 */
    db_reset(db, SQL_LINE_TURN);
    if (*turn > revision) /* a damaged index: it must not lead in circles */
        return err_set(err, ERR_DB_CORRUPT, "revision %llu: the index of events is out of order",
                       (unsigned long long)revision);
    return 0;
}

/* The revision that an activate event goes back to; 0 where it does not say so, or none before it. */
static int find_target(uint64_t *target, struct db *db, uint64_t turn, struct err *err)
{
    struct event event = {.kind = EVENT_ACTIVATE};
    struct sample_run run;
    struct err why = {0};
    size_t n_body;
    *target = 0;
    db_bind_int(db, SQL_LINE_TARGET, 1, (int64_t)turn);
    int status = db_step(db, SQL_LINE_TARGET, err);
    if (status < 0)
        return -1;
    if (status == 1) {
        const char *body = db_text(db, SQL_LINE_TARGET, 0, &n_body);
        status = event_parse(&event, &run, db, body, n_body, &why);
        if (status == 0 && event.as.activate.revision < turn)
            *target = event.as.activate.revision;
    }
    db_reset(db, SQL_LINE_TARGET);
    if (status == 0 || why.code == ERR_DB_CORRUPT)
        return 0;
    if (err != NULL)
        *err = why;
    return -1;
}

int line_find(struct line *line, struct store *store, uint64_t revision, struct err *err)
{
    size_t room = 0;
    *line = (struct line){0};
    for (uint64_t last = revision, turn; last > 0;) {
        if (find_turn(&turn, store->db, last, err) != 0 || add(line, &room, turn > 0 ? turn : 1, last, err) != 0)
            return -1;
        last = 0;
        if (turn > 0 && find_target(&last, store->db, turn, err) != 0)
            return -1;
    }
    return 0;
}

int line_check(const struct line *line, struct err *err)
{
    uint64_t first = line->stretches[line->n - 1].first;
    return first == 1 ? 0
                      : err_set(err, ERR_DB_CORRUPT, "revision %llu: it goes back to a revision that is not before it",
                                (unsigned long long)first);
}

int line_init(struct line *line, struct store *store, uint64_t revision, struct err *err)
{
    return line_find(line, store, revision, err) == 0 ? line_check(line, err) : -1;
}

void line_fini(struct line *line)
{
    free(line->stretches);
    *line = (struct line){0};
}

bool line_has(const struct line *line, uint64_t revision)
{
    for (size_t i = 0; i < line->n; i++)
        if (revision >= line->stretches[i].first && revision <= line->stretches[i].last)
            return true;
    return false;
}
