/* arith.c - the arithmetic: one source, compiled once per instruction set (make/build.mk: ARITHS), with the same bits from each.
 *
 * net.h has the equations and the order of every sum; core/arith/lanes.h has the vector. This file, core/arith/input.h, core/arith/conv.h and core/arith/dense.h
 * are about doing it fast without touching either. Here: the order of things, the last layer, and who works alone and who with a team.
 *
 * A phase is given to the team only where its weight reaches ws->team_least: a small one never waits for a thread.
 */
#include "core/arith/arith.h"

#include "core/arith/conv.h"
#include "core/arith/dense.h"
#include "core/arith/input.h"
#include "core/arith/lanes.h"
#include "core/team.h"

/* ---- softmax and loss ---- */

/* l^2 = softmax(z): exp(z - max), divided by their sum; padding becomes 0. z is in ws->l2. */
static void softmax(float *l2, size_t n_2, size_t ld)
{
    float max = l2[0];
    for (size_t m = 1; m < n_2; m++)
        max = l2[m] > max ? l2[m] : max;
    const struct f16 shift = lanes_set1(max);
    struct f16 sum = lanes_set1(0.0F);
    for (size_t j = 0; j < ld; j += LANES) {
        lanes_store(l2 + j, lanes_exp(lanes_sub(lanes_load(l2 + j), shift)));
        for (size_t m = n_2 > j ? n_2 : j; m < j + LANES; m++)
            l2[m] = 0.0F;
        sum = lanes_add(sum, lanes_load(l2 + j));
    }
    const struct f16 total = lanes_set1(lanes_sum(sum));
    for (size_t j = 0; j < ld; j += LANES)
        lanes_store(l2 + j, lanes_div(lanes_load(l2 + j), total));
}

static float loss(const struct net *net, const struct workspace *ws, uint32_t label)
{
    struct f16 sum = lanes_set1(0.0F);
    for (size_t j = 0; j < net->ld_2; j += LANES) {
        float r[LANES];
        lanes_store(r, lanes_load(ws->l2 + j));
        if (label >= j && label < j + LANES)
            r[label - j] -= 1.0F;
        struct f16 v = lanes_load(r);
        sum = lanes_fma(v, v, sum);
    }
    return 0.5F * lanes_sum(sum);
}

/* ---- forward ---- */

/* The team, where a phase of that weight is worth waking it; else NULL. */
static struct team *team_for(const struct workspace *ws, size_t weight)
{
    return ws->team != NULL && ws->team->n > 1 && weight >= ws->team_least ? ws->team : NULL;
}

static void share(struct team *team, void (*task)(void *, unsigned, unsigned), void *context)
{
    if (team != NULL)
        team->run(team, task, context);
    else
        task(context, 0, 1);
}

static void layer_0(const struct net *net, const struct settings *settings, const uint8_t *pixels, struct workspace *ws)
{
    const struct shape *s = &net->shape;
    const size_t rows_0 = lanes_up(s->n_0);
    ws->input = input_of(settings, pixels, s->n_input);
    if (s->kernels == 0) {
        input(ws->l0, pixels, s->n_input, &ws->input);
    } else {
        struct conv_pass pass = {.net = net, .ws = ws};
        const size_t n_planes = (size_t)s->kernel_width * s->n_input;
        input(ws->image, pixels, s->n_input, &ws->input);
        share(team_for(ws, n_planes), planes_part, &pass); /* a copied float weighs no less than a multiply-add */
        share(team_for(ws, net_weight_conv(s)), convolve_part, &pass);
        memset(ws->winner + s->n_0, 0, (rows_0 - s->n_0) * sizeof *ws->winner);
    }
    memset(ws->l0 + s->n_0, 0, (rows_0 - s->n_0) * sizeof *ws->l0);
}

static void tanh_forward(float *l, size_t n)
{
    for (size_t j = 0; j < n; j += LANES)
        lanes_store(l + j, lanes_tanh(lanes_load(l + j)));
}

static void forward(const struct net *net, const struct settings *settings, const uint8_t *pixels, struct workspace *ws)
{
    layer_0(net, settings, pixels, ws);
    to_rows(ws->l0_rows, ws->l0, net->shape.n_0);
    dense_forward(ws->l1, ws->chains, ws->l0_rows, net->w01, net->shape.n_0, net->ld_1,
                  team_for(ws, net->shape.n_0 * net->ld_1));
    tanh_forward(ws->l1, net->ld_1);
    to_rows(ws->l1_rows, ws->l1, net->shape.n_1);
    dense_forward(ws->l2, ws->chains, ws->l1_rows, net->w12, net->shape.n_1, net->ld_2,
                  team_for(ws, net->shape.n_1 * net->ld_2));
    softmax(ws->l2, net->n_2, net->ld_2);
}

static void forward_batch(const struct net *net, const struct settings *settings, const uint8_t *pixels,
                          struct workspace *ws)
{
    const size_t ld_0 = lanes_up(net->shape.n_0);
    for (size_t b = 0; b < NET_BATCH; b++) {
        struct workspace one = *ws;
        one.l0 = ws->batch_l0 + b * ld_0;
        layer_0(net, settings, pixels + b * net->shape.n_input, &one);
    }
    dense_batch(ws->batch_l1, ws->batch_l0, net->w01, net->shape.n_0, ld_0, net->ld_1);
    tanh_forward(ws->batch_l1, NET_BATCH * net->ld_1);
    dense_batch(ws->batch_l2, ws->batch_l1, net->w12, net->shape.n_1, net->ld_1, net->ld_2);
    for (size_t b = 0; b < NET_BATCH; b++)
        softmax(ws->batch_l2 + b * net->ld_2, net->n_2, net->ld_2);
}

/* ---- backward ---- */

/* d^2 = r D_s', by either reading of D_s'. */
static void softmax_backward(float *d2, const float *l2, size_t ld, uint32_t label, enum gradient gradient)
{
    const struct f16 zero = lanes_set1(0.0F);
    memcpy(d2, l2, ld * sizeof *d2);
    d2[label] -= 1.0F; /* r = l^2 - y */
    if (gradient == GRADIENT_DIAGONAL) {
        for (size_t j = 0; j < ld; j += LANES) {
            struct f16 l = lanes_load(l2 + j);
            struct f16 slope = lanes_fma(lanes_sub(zero, l), l, l); /* l (1 - l) */
            lanes_store(d2 + j, lanes_mul(lanes_load(d2 + j), slope));
        }
        return;
    }
    struct f16 sum = zero;
    for (size_t j = 0; j < ld; j += LANES)
        sum = lanes_fma(lanes_load(d2 + j), lanes_load(l2 + j), sum);
    const struct f16 mean = lanes_set1(lanes_sum(sum)); /* sum_j r_j l^2_j */
    for (size_t j = 0; j < ld; j += LANES)
        lanes_store(d2 + j, lanes_mul(lanes_sub(lanes_load(d2 + j), mean), lanes_load(l2 + j)));
}

/* d *= 1 - l^2, the slope of tanh at its value l. */
static void tanh_backward(float *d, const float *l, size_t n)
{
    const struct f16 zero = lanes_set1(0.0F), one = lanes_set1(1.0F);
    for (size_t j = 0; j < n; j += LANES) {
        struct f16 v = lanes_load(l + j);
        lanes_store(d + j, lanes_mul(lanes_load(d + j), lanes_fma(lanes_sub(zero, v), v, one)));
    }
}

static void scaled(float *u, const float *d, float factor, size_t n)
{
    const struct f16 f = lanes_set1(factor);
    for (size_t j = 0; j < n; j += LANES)
        lanes_store(u + j, lanes_mul(lanes_load(d + j), f));
}

static void descend(struct net *dst, const struct net *net, enum gradient gradient, float rate, float rate_w12,
                    uint32_t label, struct workspace *ws)
{
    const struct shape *s = &net->shape;
    const bool from_zero = dst->w01 != net->w01;
    const size_t rows_0 = lanes_up(s->n_0);

    softmax_backward(ws->d2, ws->l2, net->ld_2, label, gradient);
    scaled(ws->u, ws->d2, -rate_w12, net->ld_2);
    struct dense_gradient w12 = {
        .g_x = ws->g_rows, .dst = dst->w12, .w = net->w12, .x = ws->l1_rows, .d = ws->d2, .u = ws->u};
    w12.n_in = s->n_1, w12.ld = net->ld_2, w12.want_g_x = true, w12.from_zero = from_zero;
    dense_backward(&w12, team_for(ws, s->n_1 * net->ld_2));
    from_rows(ws->d1, ws->g_rows, s->n_1);
    memset(ws->d1 + s->n_1, 0, (net->ld_1 - s->n_1) * sizeof *ws->d1);
    tanh_backward(ws->d1, ws->l1, net->ld_1);

    scaled(ws->u, ws->d1, -rate, net->ld_1);
    struct dense_gradient w01 = {
        .g_x = ws->g_rows, .dst = dst->w01, .w = net->w01, .x = ws->l0_rows, .d = ws->d1, .u = ws->u};
    w01.n_in = s->n_0, w01.ld = net->ld_1, w01.want_g_x = s->kernels > 0 || from_zero, w01.from_zero = from_zero;
    dense_backward(&w01, team_for(ws, s->n_0 * net->ld_1));
    if (s->kernels == 0)
        return;
    from_rows(ws->d0, ws->g_rows, s->n_0);
    memset(ws->d0 + s->n_0, 0, (rows_0 - s->n_0) * sizeof *ws->d0);
    tanh_backward(ws->d0, ws->l0, rows_0);
    struct conv_pass kernels = {.dst = dst, .net = net, .ws = ws, .rate = rate, .from_zero = from_zero};
    sort_by_winner(ws, s->n_0, s->kernels);
    share(team_for(ws, net_weight_kernels(s)), kernels_part, &kernels);
}

/* ---- dot products ---- */

static void dots(int32_t *y, const int16_t *w, const int16_t *x, size_t n, size_t ld)
{
    for (size_t r = 0; r < n; r++, w += ld) {
        int32_t sum = 0;
        for (size_t j = 0; j < ld; j++)
            sum += w[j] * x[j];
        y[r] = sum;
    }
}

/* ---- for tests ---- */

static void exp16(float *y, const float *x)
{
    lanes_store(y, lanes_exp(lanes_load(x)));
}

static void tanh16(float *y, const float *x)
{
    lanes_store(y, lanes_tanh(lanes_load(x)));
}

static void max16(float *y, const float *a, const float *b)
{
    lanes_store(y, lanes_gt_max(lanes_load(a), lanes_load(b)));
}

static void fma16(float *y, const float *a, const float *b, const float *c)
{
    lanes_store(y, lanes_fma(lanes_load(a), lanes_load(b), lanes_load(c)));
}

extern const struct arith ARITH_SYMBOL;
const struct arith ARITH_SYMBOL = {
    .name = ARITH_NAME,
    .forward = forward,
    .forward_batch = forward_batch,
    .loss = loss,
    .descend = descend,
    .dots = dots,
    .exp16 = exp16,
    .tanh16 = tanh16,
    .max16 = max16,
    .fma16 = fma16,
};
