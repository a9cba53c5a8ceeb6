/* snapshot_diff.c - see model/snapshot_diff.h */
#include "server/model/snapshot_diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/common/json.h"

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
    struct store_apart *apart;
    struct tally_row *rows; /* [n_rows] */
    uint32_t n_rows;
    struct distance tensors[N_TENSORS];
    uint8_t *pixels;                              /* [NET_BATCH][n_input] */
    struct store_apart_sample samples[NET_BATCH]; /* whose */
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
    return side->ws != NULL && side->classes != NULL ? 0 : err_set(err, ERR_MEMORY, "no memory to compare snapshots");
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
    const bool one_line = !store_apart_both(d->apart);
    d->rows = calloc((size_t)a->n_classes + b->n_classes, sizeof *d->rows);
    if (d->rows == NULL)
        return err_set(err, ERR_MEMORY, "no memory to compare snapshots");
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
    int status = a != NULL && b != NULL ? 0 : err_set(err, ERR_MEMORY, "no memory for tensors");
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
        return err_set(err, ERR_MEMORY, "no memory to compare snapshots");
    d->n_max = n_samples;
    if (side_init(&d->a, store, a, err) != 0 || side_init(&d->b, store, b, err) != 0 ||
        store_apart_open(&d->apart, store, d->a.learner->revision, d->b.learner->revision, err) != 0 ||
        match_classes(d, err) != 0 || compare_tensors(d, err) != 0)
        goto out;
    d->pixels = malloc(NET_BATCH * (size_t)d->a.learner->shape.n_input);
    if (d->pixels == NULL) {
        err_set(err, ERR_MEMORY, "no memory to compare snapshots");
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
    store_apart_close(d->apart);
    free(d->rows);
    free(d->pixels);
    free(d);
}

static void forward(struct side *side, const uint8_t *pixels, size_t n)
{
    const struct learner *l = side->learner;
    net_forward_batch(l->arith, &l->net, l->settings.mean, pixels, n, side->ws);
}

static uint32_t says(const struct side *side, size_t i)
{
    const struct net *net = &side->learner->net;
    return side->classes[net_argmax(net, side->ws->batch_l2 + i * net->ld_2)];
}

static void count(struct diff *d, size_t i)
{
    const struct store_apart_sample *sample = &d->samples[i];
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
    struct store_apart_sample beyond;
    while (n < NET_BATCH && d->n + n < d->n_max && status == 1) {
        status = store_apart_next(d->apart, &d->samples[n], d->pixels + n * n_input, n_input, err);
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
    status = store_apart_next(d->apart, &beyond, d->pixels, n_input, err);
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

static void add_number(struct text *text, const char *name, double number)
{
    char digits[JSON_NUMBER_BYTES];
    (void)json_number_print(digits, number);
    text_add_format(text, ",\"%s\":%s", name, digits);
}

static void add_side(struct text *text, const char *name, const struct side *side, uint64_t n)
{
    text_add_format(text,
                    "\"%s\":{\"snapshot\":%lld,\"revision\":%llu,\"step\":%llu,\"correct\":%llu,\"accuracy\":", name,
                    (long long)side->id, (unsigned long long)side->learner->revision,
                    (unsigned long long)side->learner->step, (unsigned long long)side->correct);
    if (n == 0)
        text_add_string(text, "null");
    else
        text_add_fixed9(text, (double)side->correct / (double)n);
    text_add_string(text, "},");
}

static void add_tensor(struct text *text, const struct distance *distance, bool first)
{
    text_add_format(text, "%s{\"name\":\"%s\"", first ? "" : ",", distance->name);
    add_number(text, "l2", distance->l2);
    if (distance->norm_a > 0)
        add_number(text, "relative", distance->l2 / distance->norm_a);
    else
        text_add_string(text, ",\"relative\":null");
    add_number(text, "max", distance->max);
    text_add(text, "}", 1);
}

static int most_changed_first(const void *a, const void *b)
{
    const struct tally_row *x = a, *y = b;
    const uint64_t changed_x = x->left + x->came, changed_y = y->left + y->came;
    if (changed_x != changed_y)
        return changed_x > changed_y ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

void diff_write(struct text *text, const struct diff *d)
{
    bool first = true;
    qsort(d->rows, d->n_rows, sizeof *d->rows, most_changed_first);
    text_add(text, "{", 1);
    add_side(text, "a", &d->a, d->n);
    add_side(text, "b", &d->b, d->n);
    text_add_format(text, "\"samples\":{\"n\":%llu,\"first\":%lld,\"last\":%lld,\"more\":%s},\"disagree\":%llu",
                    (unsigned long long)d->n, (long long)d->first, (long long)d->last, d->more ? "true" : "false",
                    (unsigned long long)d->disagree);
    text_add_string(text, ",\"tensors\":[");
    for (int i = 0; i < N_TENSORS; i++)
        if (d->tensors[i].name != NULL) {
            add_tensor(text, &d->tensors[i], first);
            first = false;
        }
    text_add_string(text, "],\"classes\":[");
    first = true;
    for (uint32_t i = 0; i < d->n_rows; i++) {
        const struct tally_row *row = &d->rows[i];
        if (row->samples + row->left + row->came == 0)
            continue;
        const uint64_t changed = row->left + row->came;
        text_add_string(text, first ? "{\"label\":" : ",{\"label\":");
        text_add_quoted(text, row->label, strlen(row->label));
        text_add_format(text, ",\"samples\":%llu,\"changed\":%llu,\"left\":%llu,\"came\":%llu}",
                        (unsigned long long)row->samples, (unsigned long long)changed, (unsigned long long)row->left,
                        (unsigned long long)row->came);
        first = false;
    }
    text_add_string(text, "]}\n");
}
