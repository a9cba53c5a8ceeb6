/* windows.c - what was predicted of past samples before they were learned from: of one event, and over parts of the live lineage. */
#include <math.h>
#include <stdlib.h>

#include "store/internal.h"

/* ---- of one event ---- */

int store_trained(struct store *store, uint64_t revision, struct store_trained *out, struct err *err)
{
    struct db *db = store->db;
    uint32_t n_left = 0;
    double loss = 0;
    int status;
    bool lacks = false;
    struct err unwritten = {.code = ERR_DB_CORRUPT, .text = "its outcomes are missing"};
    (void)outcomes_show(store, &unwritten); /* where that fails, those of this event may be there all the same */
    *out = (struct store_trained){0};
    db_bind_int(db, SQL_OUTCOMES_OF_EVENT, 1, (int64_t)revision);
    while ((status = db_step(db, SQL_OUTCOMES_OF_EVENT, err)) == 1) {
        out->last_id = db_int(db, SQL_OUTCOMES_OF_EVENT, 0);
        out->first_id = out->n++ == 0 ? out->last_id : out->first_id;
        const int64_t label = db_int(db, SQL_OUTCOMES_OF_EVENT, 1);
        const bool known = !db_is_null(db, SQL_OUTCOMES_OF_EVENT, 2);
        lacks = lacks || (!known && label >= 0);
        if (known)
            out->step = (uint64_t)db_int(db, SQL_OUTCOMES_OF_EVENT, 2);
        if (label < 0)
            continue;
        n_left++;
        out->correct += label == db_int(db, SQL_OUTCOMES_OF_EVENT, 3);
        out->refused += db_int(db, SQL_OUTCOMES_OF_EVENT, 5) != 0;
        loss += db_is_null(db, SQL_OUTCOMES_OF_EVENT, 4) ? (double)NAN : db_real(db, SQL_OUTCOMES_OF_EVENT, 4);
    }
    out->loss = n_left > 0 ? loss / n_left : (double)NAN;
    if (status == 0 && lacks) {
        if (err != NULL)
            *err = unwritten;
        return -1;
    }
    return status;
}

/* ---- what is left of a span ---- */

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
    if (grow(&left->forgotten, &left->room, left->n_forgotten, sizeof id, "samples that were forgotten", err) != 0)
        return -1;
    left->forgotten[left->n_forgotten++] = id;
    return 0;
}

static int left_init(struct left *left, struct store *store, const struct span *whole, struct err *err)
{
    struct db *db = store->db;
    struct span span = *whole;
    *left = (struct left){0};
    if (span.first <= store->baseline.kept)
        span.first = store->baseline.kept + 1;
    int status = span.first > span.last ? 0 : samples_of_span(&left->low, &left->high, store, &span, err);
    if (status != 0 || left->low == 0 || left->low > left->high)
        return status;
    left->n = (uint64_t)(left->high - left->low) + 1;
    if (!store_edits_any(store))
        return 0;
    db_bind_ints(db, SQL_FORGOTTEN, left->low, left->high);
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
    struct lineage lineage = {0};
    int status = lineage_init(&lineage, store, store->end.revision, err);
    *n = store->baseline.samples;
    for (size_t i = 0; status == 0 && i < lineage.n; i++) {
        struct left left;
        status = left_init(&left, store, &lineage.spans[i], err);
        *n += left.n;
        left_fini(&left);
    }
    lineage_fini(&lineage);
    return status;
}

/* ---- outcomes ---- */

static int add_outcomes(struct store_window *window, struct db *db, int64_t low, int64_t high, struct err *err)
{
    db_bind_ints(db, SQL_OUTCOMES, low, high);
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
    struct lineage lineage = {0};
    (void)outcomes_show(store, NULL);
    int status = lineage_init(&lineage, store, store->end.revision, err);
    uint64_t before = store->baseline.samples; /* and those of older spans */
    for (size_t w = 0; w < n; w++)
        windows[w] = (struct store_window){.first = windows[w].first, .last = windows[w].last};
    for (size_t i = lineage.n; status == 0 && i-- > 0;) {
        struct left left;
        status = left_init(&left, store, &lineage.spans[i], err);
        const uint64_t after = before + left.n;
        /* Of what is not kept nothing is known. */
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
    lineage_fini(&lineage);
    return status;
}
