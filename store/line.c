/* line.c - which events lead to a revision.
 *
 * Let a be the last activate event at or before R, and t the revision that it went back to. Then
 *
 *     line(R) = line(t), then the events a .. R           line(R) = 1 .. R where there is no such a
 *
 * and the state after a is the state after t. What lies between t and a was left behind: still in the log, no longer in
 * the model.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/internal.h"

int line_find(struct line *line, struct store *store, uint64_t revision, struct err *err)
{
    int status;
    size_t room = 0;
    *line = (struct line){0};
    db_bind_int(store->db, SQL_LINE, 1, (int64_t)revision);
    while ((status = db_step(store->db, SQL_LINE, err)) == 1) {
        if (line->n == room) {
            room = room == 0 ? 8 : room * 2;
            struct stretch *more = realloc(line->stretches, room * sizeof *more);
            if (more == NULL) {
                db_reset(store->db, SQL_LINE);
                return err_set(err, ERR_MEMORY, "out of memory for a line of %zu stretches", room);
            }
            line->stretches = more;
        }
        line->stretches[line->n++] = (struct stretch){
            .first = (uint64_t)db_int(store->db, SQL_LINE, 0),
            .last = (uint64_t)db_int(store->db, SQL_LINE, 1),
        };
    }
    if (status != 0)
        return -1;
    assert(line->n > 0); /* the query's first row needs no table */
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
