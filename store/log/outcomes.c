/* outcomes.c - what the fold made of each sample: table outcome.
 *
 * It is a function of the log, so it need not be durable with the event, and it cannot be: an event is committed before it is applied.
 * So outcomes wait in memory, until there are many, until somebody reads them, and at the latest for a snapshot (what is after it, recovery
 * replays) or a way back (what is left behind, it does not). A crash takes those that waited, and recovery gives them again.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

int outcomes_reserve(struct store *store, uint64_t n, struct err *err)
{
    struct outcomes *o = &store->outcomes;
    const size_t wanted = (size_t)(o->n + o->n_due + n);
    if (wanted > o->room) {
        const size_t room = wanted > 2 * o->room ? wanted : 2 * o->room;
        struct outcome_due *more = realloc(o->rows, room * sizeof *more);
        if (more == NULL)
            return err_memory(err, "%zu outcomes", room);
        o->rows = more;
        o->room = room;
    }
    o->n_due += n;
    return 0;
}

void store_outcomes(struct store *store, const struct event *event)
{
    struct outcomes *o = &store->outcomes;
    const uint32_t n = event->kind == EVENT_TRAIN ? event->as.train.n : 0;
    assert(n <= o->n_due);
    for (uint32_t i = 0; i < n; i++) {
        const struct sample *sample = &event->as.train.samples[i];
        o->rows[o->n++] = (struct outcome_due){.sample = sample->id,
                                               .step = sample->step,
                                               .predicted = class_id(store, sample->predicted),
                                               .loss = sample->loss,
                                               .refused = sample->refused};
    }
    o->n_due -= n;
}

int outcomes_lack(struct store *store, const struct event *event, struct err *err)
{
    if (outcomes_reserve(store, event->as.train.n, err) != 0)
        return -1;
    store_outcomes(store, event);
    return 0;
}

int outcomes_write(struct store *store, struct err *err)
{
    struct db *db = store->db;
    struct outcomes *o = &store->outcomes;
    for (; o->n_written < o->n; o->n_written++) {
        const struct outcome_due *row = &o->rows[o->n_written];
        db_bind_ints(db, SQL_OUTCOME_INSERT, row->sample, (int64_t)row->step, row->predicted);
        if (isnan(row->loss))
            db_bind_null(db, SQL_OUTCOME_INSERT, 4);
        else
            db_bind_real(db, SQL_OUTCOME_INSERT, 4, (double)row->loss);
        db_bind_int(db, SQL_OUTCOME_INSERT, 5, row->refused);
        if (db_run(db, SQL_OUTCOME_INSERT, err) != 0)
            return -1;
        yield_now(store->yield);
    }
    return 0;
}

void outcomes_committed(struct store *store)
{
    struct outcomes *o = &store->outcomes;
    o->n -= o->n_written;
    if (o->n > 0) /* of this group's own events */
        memmove(o->rows, o->rows + o->n_written, o->n * sizeof *o->rows);
    o->n_written = 0;
}

void outcomes_rollback(struct store *store)
{
    struct outcomes *o = &store->outcomes;
    if (store->in_group)
        o->n = o->n_before;
    o->n_written = 0;
    o->n_due = 0;
}
