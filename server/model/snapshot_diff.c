/* snapshot_diff.c - see model/snapshot_diff.h */
#include "server/model/snapshot_diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"

#define N_TENSORS 3

struct side {
    int64_t id;
    struct learner *learner; /* only predicts */
    struct workspace *ws;
    uint32_t *classes; /* [n_classes] its classes -> those of both */
    uint64_t correct;
};

struct distance {
    const char *name; /* NULL: the model has none such */
    double l2, norm_a, max;
};

/* Of a class of both together. */
struct tally_row {
    const char *label;
    uint32_t index;
    uint64_t samples, left, came;
};

struct diff {
    struct side a, b;
    struct store_lineage_diff *lineage_diff;
    struct tally_row *rows; /* [n_rows] */
    uint32_t n_rows;
    struct distance tensors[N_TENSORS];
    uint8_t *pixels;                                     /* [NET_BATCH][n_input] */
    struct store_lineage_diff_sample samples[NET_BATCH]; /* whose */
    uint64_t n, n_max, disagree;
    int64_t first, last; /* ids, lowest and highest */
    bool more;
};

/* ---- the two ---- */

static int side_init(struct side *side, struct store *store, int64_t id, struct err *err)
{
    side->id = id;
    if (store_snapshot_view(store, id, &side->learner, err) != 0)
        return -1;
    const uint32_t n = side->learner->n_classes;
    side->ws = workspace_create(&side->learner->shape, n);
    side->classes = calloc(n, sizeof *side->classes);
    return side->ws != NULL && side->classes != NULL ? 0 : err_memory(err, "a comparison of snapshots");
}

static void side_fini(struct side *side)
{
    learner_free(side->learner);
    workspace_free(side->ws);
    free(side->classes);
}

/* Which of a's classes the i-th of b's is; a's number of classes where it is none. */
static uint32_t class_in_a(const struct learner *a, const struct learner *b, uint32_t i, bool one_line)
{
    if (i < a->n_classes && (one_line || strcmp(a->labels[i], b->labels[i]) == 0))
        return i;
    int found = one_line ? -1 : learner_class(a, b->labels[i], strlen(b->labels[i]));
    return found < 0 ? a->n_classes : (uint32_t)found;
}

/* The classes of a, and after them those that only b has. The label is that of b, where the two differ. */
static int match_classes(struct diff *d, struct err *err)
{
    const struct learner *a = d->a.learner, *b = d->b.learner;
    const bool one_line = !store_lineage_diff_both(d->lineage_diff);
    d->rows = calloc((size_t)a->n_classes + b->n_classes, sizeof *d->rows);
    if (d->rows == NULL)
        return err_memory(err, "a comparison of snapshots");
    for (uint32_t i = 0; i < a->n_classes; i++) {
        d->a.classes[i] = i;
        d->rows[i].label = a->labels[i];
    }
    d->n_rows = a->n_classes;
    for (uint32_t i = 0; i < b->n_classes; i++) {
        uint32_t row = class_in_a(a, b, i, one_line);
        if (row == a->n_classes)
            row = d->n_rows++;
        d->b.classes[i] = row;
        d->rows[row].label = b->labels[i];
    }
    for (uint32_t i = 0; i < d->n_rows; i++)
        d->rows[i].index = i;
    return 0;
}

/* ---- tensors ---- */

static void add_pair(struct distance *distance, double *l2, double *norm_a, float a, float b)
{
    const double by = fabs((double)b - (double)a);
    *l2 += by * by;
    *norm_a += (double)a * (double)a;
    distance->max = by > distance->max ? by : distance->max;
}

static void compare(struct distance *distance, const char *name, const float *a, const float *b, size_t n)
{
    double l2 = 0, norm_a = 0;
    *distance = (struct distance){.name = name};
    for (size_t i = 0; i < n; i++)
        add_pair(distance, &l2, &norm_a, a[i], b[i]);
    distance->l2 = sqrt(l2);
    distance->norm_a = sqrt(norm_a);
}

/* Rows [n_1], columns by class: only those that both have. */
static void compare_w12(struct distance *distance, const struct diff *d, const float *a, const float *b)
{
    const uint32_t n_a = d->a.learner->n_classes, n_b = d->b.learner->n_classes;
    double l2 = 0, norm_a = 0;
    *distance = (struct distance){.name = "w12"};
    for (size_t row = 0; row < d->a.learner->shape.n_1; row++)
        for (uint32_t i = 0; i < n_b; i++)
            if (d->b.classes[i] < n_a)
                add_pair(distance, &l2, &norm_a, a[row * n_a + d->b.classes[i]], b[row * n_b + i]);
    distance->l2 = sqrt(l2);
    distance->norm_a = sqrt(norm_a);
}

static int compare_tensors(struct diff *d, struct err *err)
{
    const struct shape *s = &d->a.learner->shape;
    const size_t n_k = (size_t)s->kernels * s->n_k, n_01 = (size_t)s->n_0 * s->n_1;
    const uint32_t n_a = d->a.learner->n_classes, n_b = d->b.learner->n_classes;
    const size_t n = n_k + n_01 + (size_t)s->n_1 * (n_a > n_b ? n_a : n_b);
    float *a = calloc(n, sizeof *a), *b = calloc(n, sizeof *b);
    int status = a != NULL && b != NULL ? 0 : err_memory(err, "tensors");
    if (status == 0) {
        net_export(&d->a.learner->net, n_k > 0 ? a : NULL, a + n_k, a + n_k + n_01);
        net_export(&d->b.learner->net, n_k > 0 ? b : NULL, b + n_k, b + n_k + n_01);
        if (n_k > 0)
            compare(&d->tensors[0], "kernels", a, b, n_k);
        compare(&d->tensors[1], "w01", a + n_k, b + n_k, n_01);
        compare_w12(&d->tensors[2], d, a + n_k + n_01, b + n_k + n_01);
    }
    free(a);
    free(b);
    return status;
}

/* ---- from outside ---- */

int diff_create(struct diff **out, struct store *store, int64_t a, int64_t b, uint64_t n_samples, struct err *err)
{
    struct diff *d = calloc(1, sizeof *d);
    *out = NULL;
    if (d == NULL)
        return err_memory(err, "a comparison of snapshots");
    d->n_max = n_samples;
    if (side_init(&d->a, store, a, err) != 0 || side_init(&d->b, store, b, err) != 0)
        goto out;
    if (d->a.learner->n_classes == 0 || d->b.learner->n_classes == 0) {
        err_set(err, ERR_CONFLICT, "snapshot %lld has no class, so that it predicts nothing that could be compared",
                (long long)(d->a.learner->n_classes == 0 ? a : b));
        goto out;
    }
    if (store_lineage_diff_open(&d->lineage_diff, store, d->a.learner->revision, d->b.learner->revision, err) != 0 ||
        match_classes(d, err) != 0 || compare_tensors(d, err) != 0)
        goto out;
    d->pixels = malloc(NET_BATCH * (size_t)d->a.learner->shape.n_input);
    if (d->pixels == NULL) {
        err_memory(err, "a comparison of snapshots");
        goto out;
    }
    *out = d;
    return 0;
out:
    diff_free(d);
    return -1;
}

void diff_free(struct diff *d)
{
    if (d == NULL)
        return;
    side_fini(&d->a);
    side_fini(&d->b);
    store_lineage_diff_close(d->lineage_diff);
    free(d->rows);
    free(d->pixels);
    free(d);
}

static void forward(struct side *side, const uint8_t *pixels, size_t n)
{
    const struct learner *l = side->learner;
    net_forward_batch(l->arith, &l->net, &l->settings, pixels, n, side->ws);
}

static uint32_t says(const struct side *side, size_t i)
{
    const struct net *net = &side->learner->net;
    return side->classes[net_argmax(net, side->ws->batch_l2 + i * net->ld_2)];
}

static void count(struct diff *d, size_t i)
{
    const struct store_lineage_diff_sample *sample = &d->samples[i];
    const struct side *owner = sample->of_b ? &d->b : &d->a;
    const uint32_t a = says(&d->a, i), b = says(&d->b, i);
    d->last = d->n == 0 ? sample->id : d->last;
    d->first = sample->id;
    d->n++;
    d->disagree += a != b;
    d->rows[a].left += a != b;
    d->rows[b].came += a != b;
    if (sample->label >= owner->learner->n_classes)
        return; /* a class that came later, and that an edit gave it: neither knows it */
    const uint32_t truth = owner->classes[sample->label];
    d->rows[truth].samples++;
    d->a.correct += a == truth;
    d->b.correct += b == truth;
}

/* The next few samples. As diff_step(). */
static int look(struct diff *d, struct err *err)
{
    const size_t n_input = d->a.learner->shape.n_input;
    size_t n = 0;
    int status = 1;
    struct store_lineage_diff_sample beyond;
    while (n < NET_BATCH && d->n + n < d->n_max && status == 1) {
        status = store_lineage_diff_next(d->lineage_diff, &d->samples[n], d->pixels + n * n_input, n_input, err);
        n += status == 1;
    }
    if (status < 0)
        return -1;
    if (n > 0) {
        forward(&d->a, d->pixels, n);
        forward(&d->b, d->pixels, n);
    }
    for (size_t i = 0; i < n; i++)
        count(d, i);
    if (status == 0 || d->n < d->n_max)
        return status;
    status = store_lineage_diff_next(d->lineage_diff, &beyond, d->pixels, n_input, err);
    d->more = status == 1;
    return status < 0 ? -1 : 0;
}

int diff_step(struct diff *d, uint64_t us, struct err *err)
{
    const uint64_t begin = clock_us();
    int status;
    do
        status = look(d, err);
    while (status == 1 && clock_us() - begin < us);
    return status;
}

void diff_cut(struct diff *d)
{
    d->more = true;
}

uint64_t diff_progress(const struct diff *d)
{
    return d->n;
}

/* ---- the document ---- */

static void add_side(struct json_writer *json, const char *name, const struct side *side, uint64_t n)
{
    json_write_object(json, name);
    json_write_i64(json, "snapshot", side->id);
    json_write_u64(json, "revision", side->learner->revision);
    json_write_u64(json, "step", side->learner->step);
    json_write_u64(json, "correct", side->correct);
    json_write_ratio(json, "accuracy", (double)side->correct, n);
    json_write_end(json);
}

static void add_tensor(struct json_writer *json, const struct distance *distance)
{
    json_write_object(json, NULL);
    json_write_string(json, "name", distance->name);
    json_write_number(json, "l2", distance->l2);
    json_write_number(json, "relative", distance->norm_a > 0 ? distance->l2 / distance->norm_a : (double)NAN);
    json_write_number(json, "max", distance->max);
    json_write_end(json);
}

static void add_row(struct json_writer *json, const struct tally_row *row)
{
    json_write_object(json, NULL);
    json_write_string(json, "label", row->label);
    json_write_u64(json, "samples", row->samples);
    json_write_u64(json, "changed", row->left + row->came);
    json_write_u64(json, "left", row->left);
    json_write_u64(json, "came", row->came);
    json_write_end(json);
}

static int most_changed_first(const void *a, const void *b)
{
    const struct tally_row *x = a, *y = b;
    const uint64_t changed_x = x->left + x->came, changed_y = y->left + y->came;
    if (changed_x != changed_y)
        return changed_x > changed_y ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

void diff_write(struct json_writer *json, const struct diff *d)
{
    qsort(d->rows, d->n_rows, sizeof *d->rows, most_changed_first);
    add_side(json, "a", &d->a, d->n);
    add_side(json, "b", &d->b, d->n);
    json_write_object(json, "samples");
    json_write_u64(json, "n", d->n);
    json_write_i64(json, "first", d->first);
    json_write_i64(json, "last", d->last);
    json_write_bool(json, "more", d->more);
    json_write_end(json);
    json_write_u64(json, "disagree", d->disagree);
    json_write_array(json, "tensors");
    for (int i = 0; i < N_TENSORS; i++)
        if (d->tensors[i].name != NULL)
            add_tensor(json, &d->tensors[i]);
    json_write_end(json);
    json_write_array(json, "classes");
    for (uint32_t i = 0; i < d->n_rows; i++)
        if (d->rows[i].samples + d->rows[i].left + d->rows[i].came > 0)
            add_row(json, &d->rows[i]);
    json_write_end(json);
}
