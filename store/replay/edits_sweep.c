/* edits_sweep.c - what is left to be done when an edit is made, in pieces: what it forgot goes from the file. See store/replay/edits.h.
 *
 * Every piece is one transaction that moves table edit_work with it. So a crash, or an error, costs one piece, and whoever comes next
 * goes on behind it. */
#include "store/internal.h"

#define SWEEP_BYTES  (1u << 20) /* of images, in one piece */
#define UNSTAGE_ROWS 1000u      /* likewise                 */

/* How many samples are a piece. */
static int64_t piece(const struct store *store, size_t n)
{
    const size_t fit = SWEEP_BYTES / store->origin.event.as.create.shape.n_input;
    return n < fit ? (int64_t)n : fit > 1 ? (int64_t)fit : 1;
}

/* ---- what is emptied ---- */

/* What edit_work says: 1, or 0: every edit is through. */
static int find_work(int64_t *number, int64_t *next, struct db *db, struct err *err)
{
    const int status = db_step(db, SQL_SWEEP_NEXT, err);
    if (status == 1) {
        *number = db_int(db, SQL_SWEEP_NEXT, 0);
        *next = db_int(db, SQL_SWEEP_NEXT, 1);
    }
    db_reset(db, SQL_SWEEP_NEXT);
    return status;
}

/* Image and outcome, and what the key of its request could tell of it. */
static int empty(struct store *store, int64_t sample, uint64_t revision, struct err *err)
{
    db_bind_int(store->db, SQL_SAMPLE_FORGET, 1, sample);
    db_bind_int(store->db, SQL_OUTCOME_FORGET, 1, sample);
    if (db_run(store->db, SQL_SAMPLE_FORGET, err) != 0 || db_run(store->db, SQL_OUTCOME_FORGET, err) != 0)
        return -1;
    return keys_forget(store, revision, err);
}

/* The next rows of that edit. *next goes on; to where it was when there are none. */
static int empty_some(struct store *store, int64_t number, int64_t *next, size_t n, struct err *err)
{
    struct db *db = store->db;
    int status;
    db_bind_ints(db, SQL_SWEEP_ROWS, number, *next, piece(store, n));
    while ((status = db_step(db, SQL_SWEEP_ROWS, err)) == 1) {
        const int64_t sample = db_int(db, SQL_SWEEP_ROWS, 0);
        const bool forgotten = db_int(db, SQL_SWEEP_ROWS, 1) == -1;
        if (forgotten && empty(store, sample, (uint64_t)db_int(db, SQL_SWEEP_ROWS, 2), err) != 0) {
            status = -1;
            break;
        }
        *next = sample + 1;
    }
    db_reset(db, SQL_SWEEP_ROWS);
    return status;
}

static int go_on(struct store *store, int64_t number, int64_t from, size_t n, struct err *err)
{
    struct db *db = store->db;
    int64_t next = from;
    if (empty_some(store, number, &next, n, err) != 0)
        return -1;
    const enum statement which = next > from ? SQL_SWEEP_TO : SQL_EDIT_WORK_END;
    db_bind_int(db, which, 1, number);
    if (next > from)
        db_bind_int(db, which, 2, next);
    return db_run(db, which, err);
}

/* ---- what is deleted ---- */

/* So many rows that the statement drops, of that number. Returns how many, or -1. */
static int drop(struct db *db, enum statement which, int64_t number, struct err *err)
{
    int n = 0, status;
    db_bind_ints(db, which, number, UNSTAGE_ROWS);
    while ((status = db_step(db, which, err)) == 1)
        n++;
    return status == 0 ? n : -1;
}

/* Rows of an attempt that came to nothing. 1, or 0: there are none. */
static int unstage(struct store *store, struct err *err)
{
    struct db *db = store->db;
    if (log_writable(store, err) != 0)
        return -1;
    int n = db_step(db, SQL_STAGED, err);
    const int64_t number = n == 1 ? db_int(db, SQL_STAGED, 0) : 0;
    db_reset(db, SQL_STAGED);
    if (n != 1)
        return n;
    if (number <= (int64_t)store->n_spans)
        return err_set(err, ERR_DB_CORRUPT, "a row of table edit_work was changed");
    n = drop(db, SQL_STAGED_EDITS_DROP, number, err);
    if (n == 0)
        n = drop(db, SQL_STAGED_EDITED_DROP, number, err);
    if (n != 0)
        return n > 0 ? 1 : log_abandon(store);
    db_bind_int(db, SQL_EDIT_WORK_END, 1, number);
    return db_run(db, SQL_EDIT_WORK_END, err) == 0 ? 0 : log_abandon(store);
}

/* ---- all of it ---- */

int store_edits_sweep(struct store *store, size_t n, struct err *err)
{
    int64_t number = 0, next = 0;
    int status = unstage(store, err);
    if (status == 0)
        status = snapshot_sweep(store, err);
    if (status == 0)
        status = find_work(&number, &next, store->db, err);
    if (status != 1)
        return status;
    if (store_begin(store, err) != 0)
        return -1;
    if (go_on(store, number, next, n, err) == 0)
        return store_commit(store, err) == 0 ? 1 : -1;
    store_rollback(store);
    return -1;
}
