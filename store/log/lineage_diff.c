/* lineage_diff.c - what one revision has learned from and another has not.
 *
 *     diff(a, b) = the samples of lineage(a) and lineage(b) that are on one of them only
 *
 * Where a lies on the lineage of b, these are the samples after a. Lineages are a few spans of revisions, and a span is a range
 * of ids (store/log/search.c): so they are found by index, newest first, however much of the log lies between.
 */
#include <stdlib.h>

#include "store/internal.h"

struct range {
    bool of_b;         /* on the lineage of b, else on that of a            */
    int64_t low, high; /* ids; those above are told already; 0, 0: none */
};

struct store_lineage_diff {
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

static size_t add_edges(uint64_t *edges, const struct lineage *lineage)
{
    for (size_t i = 0; i < lineage->n; i++) {
        edges[2 * i] = lineage->spans[i].first;
        edges[2 * i + 1] = lineage->spans[i].last + 1;
    }
    return 2 * lineage->n;
}

/* Between two neighbouring edges, every revision is on the same lines. */
static int find_ranges(struct store_lineage_diff *lineage_diff, const struct lineage *a, const struct lineage *b,
                       struct err *err)
{
    const size_t room = 2 * (a->n + b->n);
    uint64_t *edges = calloc(room, sizeof *edges);
    bool has_a = false, has_b = false;
    int status = 0;
    lineage_diff->ranges = calloc(room, sizeof *lineage_diff->ranges);
    if (edges == NULL || lineage_diff->ranges == NULL) {
        free(edges);
        return err_memory(err, "two lineages");
    }
    const size_t n_a = add_edges(edges, a);
    (void)add_edges(edges + n_a, b);
    qsort(edges, room, sizeof *edges, descending);
    for (size_t i = 0; i + 1 < room && status == 0; i++) {
        const struct span span = {.first = edges[i + 1], .last = edges[i] - 1};
        const bool on_b = lineage_has(b, span.first);
        if (span.first > span.last || lineage_has(a, span.first) == on_b)
            continue;
        struct range *range = &lineage_diff->ranges[lineage_diff->n];
        range->of_b = on_b;
        status = samples_of_span(&range->low, &range->high, lineage_diff->store, &span, err);
        lineage_diff->n += range->low > 0 && range->low <= range->high;
        has_a = has_a || !on_b;
        has_b = has_b || on_b;
    }
    lineage_diff->both = has_a && has_b;
    free(edges);
    return status;
}

int store_lineage_diff_open(struct store_lineage_diff **out, struct store *store, uint64_t a, uint64_t b,
                            struct err *err)
{
    struct lineage lineage_a = {0}, lineage_b = {0};
    struct store_lineage_diff *lineage_diff = *out = NULL;
    const uint64_t higher = a > b ? a : b;
    if (a < 1 || b < 1 || higher > store->end.revision)
        return err_set(err, ERR_NOT_FOUND, "revision %llu does not exist; the last is %llu",
                       (unsigned long long)(a < 1 || b < 1 ? 0 : higher), (unsigned long long)store->end.revision);
    lineage_diff = calloc(1, sizeof *lineage_diff);
    if (lineage_diff == NULL)
        return err_memory(err, "two lineages");
    lineage_diff->store = store;
    int status = lineage_init(&lineage_a, store, a, err);
    if (status == 0)
        status = lineage_init(&lineage_b, store, b, err);
    if (status == 0)
        status = find_ranges(lineage_diff, &lineage_a, &lineage_b, err);
    lineage_fini(&lineage_a);
    lineage_fini(&lineage_b);
    if (status != 0) {
        store_lineage_diff_close(lineage_diff);
        return -1;
    }
    *out = lineage_diff;
    return 0;
}

bool store_lineage_diff_both(const struct store_lineage_diff *lineage_diff)
{
    return lineage_diff->both;
}

/* The newest of a range, which then ends below it. 1, 0: none is left, -1. */
static int take_newest(struct store_lineage_diff *lineage_diff, struct range *range,
                       struct store_lineage_diff_sample *sample, uint8_t *pixels, size_t n_input, struct err *err)
{
    struct db *db = lineage_diff->store->db;
    db_bind_ints(db, SQL_SAMPLE_BELOW, range->low, range->high);
    int status = db_step(db, SQL_SAMPLE_BELOW, err);
    if (status == 1)
        sample->id = db_int(db, SQL_SAMPLE_BELOW, 0);
    db_reset(db, SQL_SAMPLE_BELOW);
    if (status != 1)
        return status;
    range->high = sample->id - 1;
    sample->of_b = range->of_b;
    return store_sample(lineage_diff->store, sample->id, &sample->label, pixels, n_input, err);
}

int store_lineage_diff_next(struct store_lineage_diff *lineage_diff, struct store_lineage_diff_sample *sample,
                            uint8_t *pixels, size_t n_input, struct err *err)
{
    while (lineage_diff->at < lineage_diff->n) {
        struct range *range = &lineage_diff->ranges[lineage_diff->at];
        int status = range->low > range->high ? 0 : take_newest(lineage_diff, range, sample, pixels, n_input, err);
        if (status != 0)
            return status;
        lineage_diff->at++;
    }
    return 0;
}

void store_lineage_diff_close(struct store_lineage_diff *lineage_diff)
{
    if (lineage_diff == NULL)
        return;
    free(lineage_diff->ranges);
    free(lineage_diff);
}
