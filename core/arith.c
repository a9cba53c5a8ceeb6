/* arith.c - the arithmetic: one source, compiled once per instruction set (Makefile: ARITHS), with the same bits from each.
 *
 * net.h has the equations and the order of every sum; lanes.h has the vector. This file is about doing it fast without touching
 * either:
 *
 * The frame captures F are never built. Row m = (c, ky, kx) of F is, for stride 1, a contiguous piece of a copy of the
 * image that holds, for that kx, only the out_w pixels of each row that the kernel can meet: F_mp = plane(c, kx)[ky * out_w + p]. So
 * kernel_width copies of the image ("planes", 13 KB for 28x28 and 5x5) serve the whole convolution with plain
 * loads, and the positions p run on across rows without idle lanes. With stride s a plane keeps its rows sorted by y mod s, and
 * the same holds with ky / s rows of offset. ws->frame[m] is the offset of row m.
 *
 * Convolution, max, winner and tanh are fused: a block of kernels by a block of positions stays in registers over all m.
 * In backward, g_l0 = w01 d1 and the update of w01 share one pass over w01.
 */
#include "core/arith.h"

#include "core/lanes.h"

#include <math.h>

#if LANES_PART == 16
#define CONV_KERNELS  8 /* kernels by vectors of positions that stay in registers */
#define CONV_VECTORS  3
#define DENSE_VECTORS 4 /* columns, in vectors, of one pass of a dense layer: times 4 chains in registers */
#elif LANES_PART == 8
#define CONV_KERNELS  4
#define CONV_VECTORS  1
#define DENSE_VECTORS 1
#else
#define CONV_KERNELS  4
#define CONV_VECTORS  1
#define DENSE_VECTORS 1
#endif

/* ---- input ---- */

/* x[i] = fma(pixel, 1/255, -mean); writes up to the next multiple of 16. */
static void input(float *x, const uint8_t *pixels, size_t n, float mean)
{
    const struct f16 scale = lanes_set1(1.0F / 255.0F), shift = lanes_set1(-mean);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store(x + i, lanes_fma(lanes_from_bytes(pixels + i), scale, shift));
    if (i < n) {
        uint8_t rest[LANES] = {0};
        memcpy(rest, pixels + i, n - i);
        lanes_store(x + i, lanes_fma(lanes_from_bytes(rest), scale, shift));
    }
}

/* The planes of one image; see the head of this file. Whole vectors are copied: what runs over a row's end is overwritten by the
 * next row, and at the very end falls into the padding. */
static void planes(float *plane, const float *image, const struct shape *s)
{
    const size_t out_w = s->out_w;
    for (uint32_t c = 0; c < s->channels; c++)
        for (uint32_t kx = 0; kx < s->kernel_width; kx++)
            for (uint32_t phase = 0; phase < s->stride && phase < s->height; phase++)
                for (uint32_t y = phase; y < s->height; y += s->stride) {
                    const float *row = image + ((size_t)c * s->height + y) * s->width + kx;
                    if (s->stride == 1)
                        for (size_t x = 0; x < out_w; x += LANES)
                            lanes_store(plane + x, lanes_load(row + x));
                    else
                        for (size_t x = 0; x < out_w; x++)
                            plane[x] = row[x * s->stride];
                    plane += out_w;
                }
}

/* ---- convolution, max, winner ---- */

/* Kernels i .. i + K - 1 at V vectors of positions from p on: folds their responses into best and winner.
 * l^ci_p = sum_m k^i_m F_mp, one chain per (i, p). */
LANES_INLINE void conv_block(const int K, const int V, struct f16 *best, struct i16 *winner, const struct net *net,
                             const struct workspace *ws, const float *plane, size_t i)
{
    struct f16 lc[CONV_KERNELS][CONV_VECTORS];
    LANES_UNROLL
    for (int a = 0; a < CONV_KERNELS; a++)
        LANES_UNROLL
    for (int v = 0; v < CONV_VECTORS; v++)
        lc[a][v] = lanes_set1(0.0F);

    const float *k = net->k + i;
    const uint32_t n_k = net->shape.n_k;
    for (uint32_t m = 0; m < n_k; m++, k += net->ld_k) {
        const float *f = plane + ws->frame[m];
        struct f16 row[CONV_VECTORS];
        LANES_UNROLL
        for (int v = 0; v < V; v++)
            row[v] = lanes_load(f + (size_t)v * LANES);
        LANES_UNROLL
        for (int a = 0; a < K; a++) {
            struct f16 weight = lanes_set1(k[a]);
            LANES_UNROLL
            for (int v = 0; v < V; v++)
                lc[a][v] = lanes_fma(weight, row[v], lc[a][v]);
        }
    }

    LANES_UNROLL
    for (int a = 0; a < K; a++) {
        struct i16 index = lanes_set1_int((int32_t)i + a);
        LANES_UNROLL
        for (int v = 0; v < V; v++) {
            winner[v] = lanes_gt_select_int(lc[a][v], best[v], index, winner[v]);
            best[v] = lanes_gt_select(lc[a][v], best[v], lc[a][v], best[v]);
        }
    }
}

LANES_INLINE void conv_positions(const int V, const struct net *net, struct workspace *ws, const float *plane, size_t p)
{
    struct f16 best[CONV_VECTORS];
    struct i16 winner[CONV_VECTORS];
    LANES_UNROLL
    for (int v = 0; v < V; v++) {
        best[v] = lanes_set1(-INFINITY);
        winner[v] = lanes_set1_int(0);
    }
    const size_t n = net->shape.kernels;
    size_t i = 0;
    for (; i + CONV_KERNELS <= n; i += CONV_KERNELS)
        conv_block(CONV_KERNELS, V, best, winner, net, ws, plane + p, i);
#if CONV_KERNELS > 4
    for (; i + 4 <= n; i += 4)
        conv_block(4, V, best, winner, net, ws, plane + p, i);
#endif
    if (i + 2 <= n) {
        conv_block(2, V, best, winner, net, ws, plane + p, i);
        i += 2;
    }
    if (i < n)
        conv_block(1, V, best, winner, net, ws, plane + p, i);

    LANES_UNROLL
    for (int v = 0; v < V; v++) {
        lanes_store(ws->l0 + p + (size_t)v * LANES, lanes_tanh(best[v]));
        lanes_store_int(ws->winner + p + (size_t)v * LANES, winner[v]);
    }
}

static void convolve(const struct net *net, struct workspace *ws)
{
    const size_t n = lanes_up(net->shape.n_0);
    size_t p = 0;
    for (; p + (size_t)CONV_VECTORS * LANES <= n; p += (size_t)CONV_VECTORS * LANES)
        conv_positions(CONV_VECTORS, net, ws, ws->planes, p);
#if CONV_VECTORS > 1
    for (; p < n; p += LANES)
        conv_positions(1, net, ws, ws->planes, p);
#endif
    for (p = net->shape.n_0; p < n; p++) {
        ws->l0[p] = 0.0F;
        ws->winner[p] = 0;
    }
}

/* ---- dense layers ---- */

/* V vectors of columns of y = x w: four chains over rows p = c mod 4. */
LANES_INLINE void dense_columns(const int V, float *y, const float *x, const float *w, size_t n_in, size_t ld)
{
    struct f16 chain[4][DENSE_VECTORS];
    LANES_UNROLL
    for (int c = 0; c < 4; c++)
        LANES_UNROLL
    for (int v = 0; v < V; v++)
        chain[c][v] = lanes_set1(0.0F);
    size_t p = 0;
    for (; p + 4 <= n_in; p += 4, w += 4 * ld)
        LANES_UNROLL
    for (int c = 0; c < 4; c++) {
        struct f16 xp = lanes_set1(x[p + (size_t)c]);
        LANES_UNROLL
        for (int v = 0; v < V; v++)
            chain[c][v] = lanes_fma(xp, lanes_load(w + (size_t)c * ld + (size_t)v * LANES), chain[c][v]);
    }
    /* at most three rows are left: row p + c belongs to chain c */
    LANES_UNROLL
    for (int c = 0; c < 3; c++)
        if (p + (size_t)c < n_in) {
            struct f16 xp = lanes_set1(x[p + (size_t)c]);
            LANES_UNROLL
            for (int v = 0; v < V; v++)
                chain[c][v] = lanes_fma(xp, lanes_load(w + (size_t)c * ld + (size_t)v * LANES), chain[c][v]);
        }
    LANES_UNROLL
    for (int v = 0; v < V; v++)
        lanes_store(y + (size_t)v * LANES,
                    lanes_add(lanes_add(chain[0][v], chain[1][v]), lanes_add(chain[2][v], chain[3][v])));
}

/* y = x w.  Shapes: x [n_in], w [n_in][ld], y [ld]; ld a multiple of 16. */
static void dense_forward(float *y, const float *x, const float *w, size_t n_in, size_t ld)
{
    size_t j = 0;
    for (; j + (size_t)DENSE_VECTORS * LANES <= ld; j += (size_t)DENSE_VECTORS * LANES)
        dense_columns(DENSE_VECTORS, y + j, x, w + j, n_in, ld);
#if DENSE_VECTORS > 2
    for (; j + 2 * LANES <= ld; j += 2 * LANES)
        dense_columns(2, y + j, x, w + j, n_in, ld);
#endif
#if DENSE_VECTORS > 1
    for (; j < ld; j += LANES)
        dense_columns(1, y + j, x, w + j, n_in, ld);
#endif
}

/* NET_BATCH images at once: the same four chains per image, one after the other, so that w is read once for all of them.
 * Shapes: x [NET_BATCH][ld_x], y [NET_BATCH][ld]. */
LANES_INLINE void dense_batch_columns(const int V, float *y, const float *x, const float *w, size_t n_in, size_t ld_x,
                                      size_t ld)
{
    struct f16 chain[4][NET_BATCH][DENSE_VECTORS];
    for (size_t c = 0; c < 4; c++) {
        struct f16 sum[NET_BATCH][DENSE_VECTORS];
        LANES_UNROLL
        for (int b = 0; b < (int)NET_BATCH; b++)
            LANES_UNROLL
        for (int v = 0; v < DENSE_VECTORS; v++)
            sum[b][v] = lanes_set1(0.0F);
        for (size_t p = c; p < n_in; p += 4) {
            struct f16 row[DENSE_VECTORS];
            LANES_UNROLL
            for (int v = 0; v < V; v++)
                row[v] = lanes_load(w + p * ld + (size_t)v * LANES);
            LANES_UNROLL
            for (int b = 0; b < (int)NET_BATCH; b++) {
                struct f16 xp = lanes_set1(x[(size_t)b * ld_x + p]);
                LANES_UNROLL
                for (int v = 0; v < V; v++)
                    sum[b][v] = lanes_fma(xp, row[v], sum[b][v]);
            }
        }
        memcpy(chain[c], sum, sizeof sum);
    }
    for (size_t b = 0; b < NET_BATCH; b++)
        for (size_t v = 0; v < (size_t)V; v++)
            lanes_store(y + b * ld + v * LANES, lanes_add(lanes_add(chain[0][b][v], chain[1][b][v]),
                                                          lanes_add(chain[2][b][v], chain[3][b][v])));
}

static void dense_batch(float *y, const float *x, const float *w, size_t n_in, size_t ld_x, size_t ld)
{
    size_t j = 0;
    for (; j + (size_t)DENSE_VECTORS * LANES <= ld; j += (size_t)DENSE_VECTORS * LANES)
        dense_batch_columns(DENSE_VECTORS, y + j, x, w + j, n_in, ld_x, ld);
#if DENSE_VECTORS > 1
    for (; j < ld; j += LANES)
        dense_batch_columns(1, y + j, x, w + j, n_in, ld_x, ld);
#endif
}

/* R rows: g_x_p = sum_j w_pj d_j, where wanted, and dst_pj = base_pj + x_p u_j, where u = -rate d. w is read before dst is
 * written, so both may be the same. base: w itself, or zeros. */
LANES_INLINE void dense_rows(const int R, const bool want_g_x, const bool from_zero, float *g_x, float *dst,
                             const float *w, const float *x, const float *d, const float *u, size_t ld)
{
    struct f16 sum[4], xp[4];
    LANES_UNROLL
    for (int r = 0; r < 4; r++)
        sum[r] = lanes_set1(0.0F);
    LANES_UNROLL
    for (int r = 0; r < R; r++)
        xp[r] = lanes_set1(x[r]);
    for (size_t j = 0; j < ld; j += LANES) {
        struct f16 dj = lanes_load(d + j), uj = lanes_load(u + j);
        LANES_UNROLL
        for (int r = 0; r < R; r++) {
            struct f16 wj = lanes_load(w + (size_t)r * ld + j);
            if (want_g_x)
                sum[r] = lanes_fma(wj, dj, sum[r]);
            lanes_store(dst + (size_t)r * ld + j, lanes_fma(xp[r], uj, from_zero ? lanes_set1(0.0F) : wj));
        }
    }
    if (want_g_x) {
        float g[4];
        lanes_sum4(g, sum[0], sum[1], sum[2], sum[3]);
        memcpy(g_x, g, (size_t)R * sizeof *g);
    }
}

LANES_INLINE void dense_backward_as(const bool want_g_x, const bool from_zero, float *g_x, float *dst, const float *w,
                                    const float *x, const float *d, const float *u, size_t n_in, size_t ld)
{
    size_t p = 0;
    for (; p + 4 <= n_in; p += 4)
        dense_rows(4, want_g_x, from_zero, g_x + p, dst + p * ld, w + p * ld, x + p, d, u, ld);
    for (; p < n_in; p++)
        dense_rows(1, want_g_x, from_zero, g_x + p, dst + p * ld, w + p * ld, x + p, d, u, ld);
}

/* One pass over w: g_x = w d (skipped where g_x is NULL), and dst = base + x (x) u.
 * Shapes: x, g_x [n_in], d, u [ld], w, dst [n_in][ld]. */
static void dense_backward(float *g_x, float *dst, const float *w, const float *x, const float *d, const float *u,
                           size_t n_in, size_t ld, bool from_zero)
{
    float none[1];
    if (from_zero)
        dense_backward_as(true, true, g_x, dst, w, x, d, u, n_in, ld);
    else if (g_x != NULL)
        dense_backward_as(true, false, g_x, dst, w, x, d, u, n_in, ld);
    else
        dense_backward_as(false, false, none, dst, w, x, d, u, n_in, ld);
}

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

static void layer_0(const struct net *net, float mean, const uint8_t *pixels, struct workspace *ws)
{
    const struct shape *s = &net->shape;
    if (s->kernels == 0) {
        input(ws->l0, pixels, s->n_input, mean);
        for (size_t p = s->n_0; p < lanes_up(s->n_0); p++)
            ws->l0[p] = 0.0F;
        return;
    }
    input(ws->image, pixels, s->n_input, mean);
    planes(ws->planes, ws->image, s);
    convolve(net, ws);
}

static void tanh_forward(float *l, size_t n)
{
    for (size_t j = 0; j < n; j += LANES)
        lanes_store(l + j, lanes_tanh(lanes_load(l + j)));
}

static void forward(const struct net *net, float mean, const uint8_t *pixels, struct workspace *ws)
{
    layer_0(net, mean, pixels, ws);
    dense_forward(ws->l1, ws->l0, net->w01, net->shape.n_0, net->ld_1);
    tanh_forward(ws->l1, net->ld_1);
    dense_forward(ws->l2, ws->l1, net->w12, net->shape.n_1, net->ld_2);
    softmax(ws->l2, net->n_2, net->ld_2);
}

static void forward_batch(const struct net *net, float mean, const uint8_t *pixels, struct workspace *ws)
{
    const size_t ld_0 = lanes_up(net->shape.n_0);
    for (size_t b = 0; b < NET_BATCH; b++) {
        struct workspace one = *ws;
        one.l0 = ws->batch_l0 + b * ld_0;
        layer_0(net, mean, pixels + b * net->shape.n_input, &one);
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

/* Positions sorted by winner, each kernel's in order of p. The positions are counted and placed in four quarters side by side:
 * neighbours mostly have the same winner, and one counter for all would be a chain through memory. Counter i * 4 + q is that of
 * kernel i in quarter q; when all is placed it stands at the end of its run, which is where the next begins. */
static void sort_by_winner(struct workspace *ws, uint32_t n_0, uint32_t n_kernels)
{
    uint32_t *at = ws->ends;
    const uint32_t *winner = ws->winner;
    const uint32_t quarter = n_0 / 4;
    memset(at, 0, (size_t)n_kernels * 4 * sizeof *at);
    for (uint32_t p = 0; p < quarter; p++)
        for (uint32_t q = 0; q < 4; q++)
            at[winner[q * quarter + p] * 4 + q]++;
    for (uint32_t p = 4 * quarter; p < n_0; p++)
        at[winner[p] * 4 + 3]++;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n_kernels * 4; i++) {
        uint32_t n = at[i];
        at[i] = sum;
        sum += n;
    }
    for (uint32_t p = 0; p < quarter; p++)
        for (uint32_t q = 0; q < 4; q++)
            ws->order[at[winner[q * quarter + p] * 4 + q]++] = q * quarter + p;
    for (uint32_t p = 4 * quarter; p < n_0; p++)
        ws->order[at[winner[p] * 4 + 3]++] = p;
}

/* R rows of one kernel's gradient, up to 8 columns from kx on: g[q][kx..] = sum of d0_p * image patch, over the positions that the
 * kernel won, in order. Lanes are columns: their number changes no bit. */
LANES_INLINE void patch_rows(const int R, float *g, const struct workspace *ws, const uint32_t *row, uint32_t kx,
                             const uint32_t *first, const uint32_t *last)
{
    struct f8 sum[8];
    const float *image[8];
    LANES_UNROLL
    for (int r = 0; r < R; r++) {
        sum[r] = lanes8_set1(0.0F);
        image[r] = ws->image + row[r] + kx;
    }
    for (const uint32_t *p = first; p < last; p++) {
        struct f8 d = lanes8_set1(ws->d0[*p]);
        size_t at = ws->patch[*p];
        LANES_UNROLL
        for (int r = 0; r < R; r++)
            sum[r] = lanes8_fma(d, lanes8_load(image[r] + at), sum[r]);
    }
    LANES_UNROLL
    for (int r = 0; r < R; r++)
        lanes8_store(g + (size_t)r * 8, sum[r]);
}

/* dst k = base k - rate de/dk */
static void kernels_backward(struct net *dst, const struct net *net, float rate, bool from_zero, struct workspace *ws)
{
    const struct shape *s = &net->shape;
    const uint32_t n_rows = s->channels * s->kernel_height;
    sort_by_winner(ws, s->n_0, s->kernels);
    for (uint32_t i = 0; i < s->kernels; i++) {
        const uint32_t *first = ws->order + (i == 0 ? 0 : ws->ends[i * 4 - 1]), *last = ws->order + ws->ends[i * 4 + 3];
        if (first == last && !from_zero)
            continue; /* won nowhere: its gradient is zero */
        for (uint32_t kx = 0; kx < s->kernel_width; kx += 8) {
            const uint32_t columns = s->kernel_width - kx < 8 ? s->kernel_width - kx : 8;
            for (uint32_t q = 0, n = 0; q < n_rows; q += n) {
                float g[8 * 8];
                const uint32_t *row = ws->row + q;
                n = n_rows - q;
                if (n >= 5) {
                    n = 5;
                    patch_rows(5, g, ws, row, kx, first, last);
                } else if (n >= 3) {
                    n = 3;
                    patch_rows(3, g, ws, row, kx, first, last);
                } else {
                    n = 1;
                    patch_rows(1, g, ws, row, kx, first, last);
                }
                for (uint32_t r = 0; r < n; r++)
                    for (uint32_t c = 0; c < columns; c++) {
                        size_t at = ((size_t)(q + r) * s->kernel_width + kx + c) * net->ld_k + i;
                        dst->k[at] = lanes_fma1(-rate, g[r * 8 + c], from_zero ? 0.0F : net->k[at]);
                    }
            }
        }
    }
}

static void descend(struct net *dst, const struct net *net, enum gradient gradient, float rate, uint32_t label,
                    struct workspace *ws)
{
    const struct shape *s = &net->shape;
    const bool from_zero = dst->w01 != net->w01;
    const size_t rows_0 = lanes_up(s->n_0);

    softmax_backward(ws->d2, ws->l2, net->ld_2, label, gradient);
    scaled(ws->u, ws->d2, -rate, net->ld_2);
    dense_backward(ws->d1, dst->w12, net->w12, ws->l1, ws->d2, ws->u, s->n_1, net->ld_2, from_zero);
    for (size_t t = s->n_1; t < net->ld_1; t++)
        ws->d1[t] = 0.0F;
    tanh_backward(ws->d1, ws->l1, net->ld_1);

    scaled(ws->u, ws->d1, -rate, net->ld_1);
    dense_backward(s->kernels == 0 && !from_zero ? NULL : ws->d0, dst->w01, net->w01, ws->l0, ws->d1, ws->u, s->n_0,
                   net->ld_1, from_zero);
    if (s->kernels == 0)
        return;
    for (size_t p = s->n_0; p < rows_0; p++)
        ws->d0[p] = 0.0F;
    tanh_backward(ws->d0, ws->l0, rows_0);
    kernels_backward(dst, net, rate, from_zero, ws);
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
    .exp16 = exp16,
    .tanh16 = tanh16,
    .fma16 = fma16,
};
