/* outcomes.c - what was predicted of past samples before they were learned from, over parts of the live line. */
#include <stdlib.h>

#include "store/internal.h"

/* ---- what is left of a stretch ---- */

/* Its samples low .. high, n of them without those that were forgotten. */
struct left {
    int64_t low, high;
    int64_t *forgotten; /* [n_forgotten], ascending; owned */
    size_t n_forgotten, room;
    uint64_t n;
};

static void left_fini(struct left *left)
{
    free(left->forgotten);
    *left = (struct left){0};
}

static int add_forgotten(struct left *left, int64_t id, struct err *err)
{
    if (left->n_forgotten == left->room) {
        const size_t room = left->room == 0 ? 64 : left->room * 2;
        int64_t *more = realloc(left->forgotten, room * sizeof *more);
        if (more == NULL)
            return err_set(err, ERR_MEMORY, "out of memory for %zu samples that were forgotten", room);
        left->forgotten = more;
        left->room = room;
    }
    left->forgotten[left->n_forgotten++] = id;
    return 0;
}

static int left_init(struct left *left, struct store *store, const struct stretch *stretch, struct err *err)
{
    struct db *db = store->db;
    *left = (struct left){0};
    int status = samples_of_stretch(&left->low, &left->high, store, stretch, err);
    if (status != 0 || left->low == 0 || left->low > left->high)
        return status;
    left->n = (uint64_t)(left->high - left->low) + 1;
    if (!store_edits_any(store))
        return 0;
    db_bind_int(db, SQL_FORGOTTEN, 1, left->low);
    db_bind_int(db, SQL_FORGOTTEN, 2, left->high);
    while (status == 0 && (status = db_step(db, SQL_FORGOTTEN, err)) == 1)
        status = add_forgotten(left, db_int(db, SQL_FORGOTTEN, 0), err);
    db_reset(db, SQL_FORGOTTEN);
    left->n -= left->n_forgotten;
    return status;
}

/* The id of number 1 .. n of those that are left. Before forgotten[i] are forgotten[i] - low - i of them. */
static int64_t left_id(const struct left *left, uint64_t number)
{
    size_t low = 0, high = left->n_forgotten; /* how many of the forgotten come before it */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uint64_t)(left->forgotten[middle] - left->low) - middle < number)
            low = middle + 1;
        else
            high = middle;
    }
    return left->low + (int64_t)(number - 1 + low);
}

int store_live_samples(struct store *store, uint64_t *n, struct err *err)
{
    struct line line = {0};
    int status = line_init(&line, store, store->end.revision, err);
    *n = 0;
    for (size_t i = 0; status == 0 && i < line.n; i++) {
        struct left left;
        status = left_init(&left, store, &line.stretches[i], err);
        *n += left.n;
        left_fini(&left);
    }
    line_fini(&line);
    return status;
}

/* ---- outcomes ---- */

static int add_outcomes(struct store_window *window, struct db *db, int64_t low, int64_t high, struct err *err)
{
    db_bind_int(db, SQL_OUTCOMES, 1, low);
    db_bind_int(db, SQL_OUTCOMES, 2, high);
    if (db_step(db, SQL_OUTCOMES, err) != 1)
        return -1;
    window->n += (uint64_t)db_int(db, SQL_OUTCOMES, 0);
    window->correct += (uint64_t)db_int(db, SQL_OUTCOMES, 1);
    window->loss_sum += db_real(db, SQL_OUTCOMES, 2);
    window->n_losses += (uint64_t)db_int(db, SQL_OUTCOMES, 3);
    db_reset(db, SQL_OUTCOMES);
    return 0;
}

int store_windows(struct store *store, struct store_window *windows, size_t n, struct err *err)
{
    struct line line = {0};
    int status = line_init(&line, store, store->end.revision, err);
    uint64_t before = 0; /* samples of older stretches */
    for (size_t w = 0; w < n; w++)
        windows[w] = (struct store_window){.first = windows[w].first, .last = windows[w].last};
    for (size_t i = line.n; status == 0 && i-- > 0;) {
        struct left left;
        status = left_init(&left, store, &line.stretches[i], err);
        const uint64_t after = before + left.n;
        for (size_t w = 0; status == 0 && w < n; w++) {
            const uint64_t first = windows[w].first > before ? windows[w].first : before + 1;
            const uint64_t last = windows[w].last < after ? windows[w].last : after;
            if (first <= last)
                status = add_outcomes(&windows[w], store->db, left_id(&left, first - before),
                                      left_id(&left, last - before), err);
        }
        before = after;
        left_fini(&left);
    }
    line_fini(&line);
    return status;
}
