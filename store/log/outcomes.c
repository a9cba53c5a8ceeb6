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

static int insert(struct db *db, enum statement which, const struct outcome_due *row, struct err *err)
{
    db_bind_ints(db, which, row->sample, (int64_t)row->step, row->predicted);
    if (isnan(row->loss))
        db_bind_null(db, which, 4);
    else
        db_bind_real(db, which, 4, (double)row->loss);
    db_bind_int(db, which, 5, row->refused);
    return db_run(db, which, err);
}

int outcomes_write(struct store *store, struct err *err)
{
    struct db *db = store->db;
    struct outcomes *o = &store->outcomes;
    for (; o->n_written < o->n; o->n_written++) {
        if (insert(db, SQL_OUTCOME_INSERT, &o->rows[o->n_written], err) != 0)
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

/* ---- as bytes, for a shared log: schema/postgres.sql, table outcome ---- */

#define FLAG_REFUSED   1u
#define FLAG_FORGOTTEN 2u

static void pack(uint8_t *to, uint64_t step, uint32_t predicted, float loss, uint32_t flags)
{
    memcpy(to, &step, 8);
    memcpy(to + 8, &predicted, 4);
    memcpy(to + 12, &loss, 4);
    memcpy(to + 16, &flags, 4);
}

int outcomes_pack(uint8_t *rows, struct store *store, int64_t first, uint32_t n, struct err *err)
{
    struct db *db = store->db;
    int status;
    for (uint32_t i = 0; i < n; i++)
        pack(rows + (size_t)i * OUTCOME_BYTES, 0, 0, 0, FLAG_FORGOTTEN);
    db_bind_ints(db, SQL_OUTCOME_ROWS, first, first + n - 1);
    while ((status = db_step(db, SQL_OUTCOME_ROWS, err)) == 1) {
        const size_t i = (size_t)(db_int(db, SQL_OUTCOME_ROWS, 0) - first);
        const float loss = db_is_null(db, SQL_OUTCOME_ROWS, 3) ? (float)NAN : (float)db_real(db, SQL_OUTCOME_ROWS, 3);
        pack(rows + i * OUTCOME_BYTES, (uint64_t)db_int(db, SQL_OUTCOME_ROWS, 1),
             (uint32_t)db_int(db, SQL_OUTCOME_ROWS, 2), loss, db_int(db, SQL_OUTCOME_ROWS, 4) != 0 ? FLAG_REFUSED : 0);
    }
    return status;
}

int outcomes_unpack(struct store *store, const uint8_t *rows, int64_t first, uint32_t n, struct err *err)
{
    for (uint32_t i = 0; i < n; i++, rows += OUTCOME_BYTES) {
        struct outcome_due row = {.sample = first + i};
        uint32_t flags;
        memcpy(&row.step, rows, 8);
        memcpy(&row.predicted, rows + 8, 4);
        memcpy(&row.loss, rows + 12, 4);
        memcpy(&flags, rows + 16, 4);
        row.refused = (flags & FLAG_REFUSED) != 0;
        if (row.predicted >= SHAPE_CLASSES_MAX || row.step > (uint64_t)STORE_NUMBER_MAX)
            return err_set(err, ERR_DIVERGED, "the shared log has a bad outcome of sample %lld", (long long)row.sample);
        if ((flags & FLAG_FORGOTTEN) == 0 && insert(store->db, SQL_OUTCOME_TAKE, &row, err) != 0)
            return -1;
        yield_now(store->yield);
    }
    return 0;
}
