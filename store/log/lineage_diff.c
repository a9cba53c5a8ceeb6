/* lineage_diff.c - what one revision has learned from and another has not.
 *
 *     apart(a, b) = the samples of line(a) and line(b) that are on one of them only
 *
 * Where a lies on the line of b, these are the samples after a. Lines are a few stretches of revisions, and a stretch is a range
 * of ids (store/log/samples.c): so they are found by index, newest first, however much of the log lies between.
 */
#include <stdlib.h>

#include "store/internal.h"

struct range {
    bool of_b;         /* on the line of b, else on that of a            */
    int64_t low, high; /* ids; those above are told already; 0, 0: none */
};

struct store_apart {
    struct store *store;
    struct range *ranges; /* [n], newest first */
    size_t n, at;
    bool both; /* each has some that the other has not */
};

static int descending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static size_t add_edges(uint64_t *edges, const struct line *line)
{
    for (size_t i = 0; i < line->n; i++) {
        edges[2 * i] = line->stretches[i].first;
        edges[2 * i + 1] = line->stretches[i].last + 1;
    }
    return 2 * line->n;
}

/* Between two neighbouring edges, every revision is on the same lines. */
static int find_ranges(struct store_apart *apart, const struct line *a, const struct line *b, struct err *err)
{
    const size_t room = 2 * (a->n + b->n);
    uint64_t *edges = calloc(room, sizeof *edges);
    bool has_a = false, has_b = false;
    int status = 0;
    apart->ranges = calloc(room, sizeof *apart->ranges);
    if (edges == NULL || apart->ranges == NULL) {
        free(edges);
        return err_set(err, ERR_MEMORY, "out of memory for two lines");
    }
    const size_t n_a = add_edges(edges, a);
    (void)add_edges(edges + n_a, b);
    qsort(edges, room, sizeof *edges, descending);
    for (size_t i = 0; i + 1 < room && status == 0; i++) {
        const struct stretch stretch = {.first = edges[i + 1], .last = edges[i] - 1};
        const bool on_b = line_has(b, stretch.first);
        if (stretch.first > stretch.last || line_has(a, stretch.first) == on_b)
            continue;
        struct range *range = &apart->ranges[apart->n];
        range->of_b = on_b;
        status = samples_of_stretch(&range->low, &range->high, apart->store, &stretch, err);
        apart->n += range->low > 0 && range->low <= range->high;
        has_a = has_a || !on_b;
        has_b = has_b || on_b;
    }
    apart->both = has_a && has_b;
    free(edges);
    return status;
}

int store_apart_open(struct store_apart **out, struct store *store, uint64_t a, uint64_t b, struct err *err)
{
    struct line line_a = {0}, line_b = {0};
    struct store_apart *apart = *out = NULL;
    const uint64_t higher = a > b ? a : b;
    if (a < 1 || b < 1 || higher > store->end.revision)
        return err_set(err, ERR_NOT_FOUND, "there is no revision %llu; the last is %llu",
                       (unsigned long long)(a < 1 || b < 1 ? 0 : higher), (unsigned long long)store->end.revision);
    apart = calloc(1, sizeof *apart);
    if (apart == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for two lines");
    apart->store = store;
    int status = line_init(&line_a, store, a, err);
    if (status == 0)
        status = line_init(&line_b, store, b, err);
    if (status == 0)
        status = find_ranges(apart, &line_a, &line_b, err);
    line_fini(&line_a);
    line_fini(&line_b);
    if (status != 0) {
        store_apart_close(apart);
        return -1;
    }
    *out = apart;
    return 0;
}

bool store_apart_both(const struct store_apart *apart)
{
    return apart->both;
}

/* The newest of a range, which then ends below it. 1, 0: none is left, -1. */
static int take_newest(struct store_apart *apart, struct range *range, struct store_apart_sample *sample,
                       uint8_t *pixels, size_t n_input, struct err *err)
{
    struct db *db = apart->store->db;
    db_bind_int(db, SQL_SAMPLE_BELOW, 1, range->low);
    db_bind_int(db, SQL_SAMPLE_BELOW, 2, range->high);
    int status = db_step(db, SQL_SAMPLE_BELOW, err);
    if (status == 1)
        sample->id = db_int(db, SQL_SAMPLE_BELOW, 0);
    db_reset(db, SQL_SAMPLE_BELOW);
    if (status != 1)
        return status;
    range->high = sample->id - 1;
    sample->of_b = range->of_b;
    return store_sample(apart->store, sample->id, &sample->label, pixels, n_input, err);
}

int store_apart_next(struct store_apart *apart, struct store_apart_sample *sample, uint8_t *pixels, size_t n_input,
                     struct err *err)
{
    while (apart->at < apart->n) {
        struct range *range = &apart->ranges[apart->at];
        int status = range->low > range->high ? 0 : take_newest(apart, range, sample, pixels, n_input, err);
        if (status != 0)
            return status;
        apart->at++;
    }
    return 0;
}

void store_apart_close(struct store_apart *apart)
{
    if (apart == NULL)
        return;
    free(apart->ranges);
    free(apart);
}
