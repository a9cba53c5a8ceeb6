/* conv.h - the convolution: forward with max, winner and tanh, and the gradient of the kernels. Included by core/arith/arith.c alone.
 *
 * The frame captures F are never built. Row m = (c, ky, kx) of F is, for stride 1, a contiguous piece of a copy of the
 * image that holds, for that kx, only the out_w pixels of each row that the kernel can meet: F_mp = plane(c, kx)[ky * out_w + p]. So
 * kernel_width copies of the image ("planes", 13 KB for 28x28 and 5x5) serve the whole convolution with plain
 * loads, and the positions p run on across rows without idle lanes. With stride s a plane keeps its rows sorted by y mod s, and
 * the same holds with ky / s rows of offset. ws->frame[m] is the offset of row m.
 *
 * Convolution, max, winner and tanh are fused: a block of kernels by a block of positions stays in registers over all m.
 *
 * Cut for a team by planes, by blocks of positions, and by kernels and groups of their rows.
 */
#ifndef CONVD_CORE_ARITH_CONV_H
#define CONVD_CORE_ARITH_CONV_H

#include "core/arith/lanes.h"
#include "core/net.h"

#include <math.h>

#if LANES_PART == 16
#define CONV_KERNELS 8 /* kernels by vectors of positions that stay in registers */
#define CONV_VECTORS 3
#elif LANES_PART == 8
#define CONV_KERNELS 6
#define CONV_VECTORS 1
#else
#define CONV_KERNELS 4
#define CONV_VECTORS 1
#endif

/* What the phases of the convolution share. */
struct conv_pass {
    struct net *dst; /* backward only */
    const struct net *net;
    struct workspace *ws;
    float rate;
    bool from_zero;
};

/* One row of a plane, and up to a vector more. */
LANES_INLINE void planes_row(float *to, const float *from, size_t n)
{
    size_t x = 0;
    for (; x + LANES <= n; x += LANES)
        lanes_store(to + x, lanes_load(from + x));
    if (n - x > LANES / 2)
        lanes_store(to + x, lanes_load(from + x));
    else if (x < n)
        lanes8_store(to + x, lanes8_load(from + x));
}

/* Every second pixel, what most strides are: a constant makes vectors of it. */
LANES_INLINE void planes_row_2(float *restrict to, const float *restrict from, size_t n)
{
    for (size_t x = 0; x < n; x++)
        to[x] = from[x * 2];
}

/* The planes of one image, or a part of them; see the head of this file. Whole vectors are copied: what runs over a row's end is
 * overwritten by the next row. The last row of a part is copied as it is, since what follows may be another thread's. */
static void planes_part(void *context, unsigned part, unsigned n)
{
    const struct conv_pass *pass = context;
    const struct shape *s = &pass->net->shape;
    const size_t out_w = s->out_w, n_planes = (size_t)s->channels * s->kernel_width;
    const size_t begin = n_planes * part / n, end = n_planes * (part + 1) / n;
    float *plane = pass->ws->planes + begin * s->height * out_w;
    float *const last = pass->ws->planes + end * s->height * out_w - out_w;
    for (size_t i = begin; i < end; i++) {
        const float *image = pass->ws->image + i / s->kernel_width * s->height * s->width + i % s->kernel_width;
        for (uint32_t phase = 0; phase < s->stride && phase < s->height; phase++)
            for (uint32_t y = phase; y < s->height; y += s->stride, plane += out_w) {
                const float *row = image + (size_t)y * s->width;
                if (s->stride == 2)
                    planes_row_2(plane, row, out_w);
                else if (s->stride > 2)
                    for (size_t x = 0; x < out_w; x++)
                        plane[x] = row[x * s->stride];
                else if (plane == last)
                    memcpy(plane, row, out_w * sizeof *plane);
                else
                    planes_row(plane, row, out_w);
            }
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
            best[v] = lanes_gt_max(lc[a][v], best[v]);
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
#if CONV_KERNELS == 6
    for (; i + 6 <= n && i + 8 != n; i += 6) /* 8 are better cut into 4 and 4 than into 6 and 2 */
        conv_block(6, V, best, winner, net, ws, plane + p, i);
#else
    for (; i + CONV_KERNELS <= n; i += CONV_KERNELS)
        conv_block(CONV_KERNELS, V, best, winner, net, ws, plane + p, i);
#endif
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

static void convolve_part(void *context, unsigned part, unsigned n)
{
    const struct conv_pass *pass = context;
    const size_t step = (size_t)CONV_VECTORS * LANES, all = lanes_up(pass->net->shape.n_0);
    const size_t blocks = (all + step - 1) / step;
    const size_t end = part + 1 == n ? all : blocks * (part + 1) / n * step;
    size_t p = blocks * part / n * step;
    for (; p + step <= end; p += step)
        conv_positions(CONV_VECTORS, pass->net, pass->ws, pass->ws->planes, p);
#if CONV_VECTORS > 2
    for (; p + 2 * LANES <= end; p += 2 * LANES)
        conv_positions(2, pass->net, pass->ws, pass->ws->planes, p);
#endif
#if CONV_VECTORS > 1
    for (; p < end; p += LANES)
        conv_positions(1, pass->net, pass->ws, pass->ws->planes, p);
#endif
}

/* ---- the kernels' gradient ---- */

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

/* dst k = base k - rate de/dk, for rows q .. q + n - 1 of kernel i. */
static void kernel_rows(const struct conv_pass *pass, uint32_t i, uint32_t q, uint32_t n, const uint32_t *first,
                        const uint32_t *last)
{
    const struct net *net = pass->net;
    const uint32_t width = net->shape.kernel_width;
    const uint32_t *row = pass->ws->row + q;
    for (uint32_t kx = 0; kx < width; kx += 8) {
        const uint32_t columns = width - kx < 8 ? width - kx : 8;
        float g[8 * 8];
        if (n == 5)
            patch_rows(5, g, pass->ws, row, kx, first, last);
        else if (n == 3)
            patch_rows(3, g, pass->ws, row, kx, first, last);
        else
            patch_rows(1, g, pass->ws, row, kx, first, last);
        for (uint32_t r = 0; r < n; r++)
            for (uint32_t c = 0; c < columns; c++) {
                size_t at = ((size_t)(q + r) * width + kx + c) * net->ld_k + i;
                pass->dst->k[at] = lanes_fma1(-pass->rate, g[r * 8 + c], pass->from_zero ? 0.0F : net->k[at]);
            }
    }
}

/* A unit is up to five rows of one kernel (three where there is a team: smaller pieces are easier to share), and its work the
 * positions that the kernel won, times its rows. It is the part's in whose share of all work it begins. */
static void kernels_part(void *context, unsigned part, unsigned n)
{
    const struct conv_pass *pass = context;
    const struct shape *s = &pass->net->shape;
    const struct workspace *ws = pass->ws;
    const uint32_t n_rows = s->channels * s->kernel_height;
    const uint64_t work = (uint64_t)s->n_0 * n_rows;
    for (uint32_t i = 0; i < s->kernels; i++) {
        const uint32_t begin = i == 0 ? 0 : ws->ends[i * 4 - 1], end = ws->ends[i * 4 + 3];
        if (begin == end && !pass->from_zero)
            continue; /* won nowhere: its gradient is zero */
        for (uint32_t q = 0, rows = 0; q < n_rows; q += rows) {
            rows = n_rows - q;
            rows = rows >= 5 && n == 1 ? 5 : rows >= 3 ? 3 : 1;
            const uint64_t at = (uint64_t)begin * n_rows + (uint64_t)q * (end - begin);
            const uint64_t owner = at * n / work;
            if (owner == part || (owner == n && part + 1 == n))
                kernel_rows(pass, i, q, rows, ws->order + begin, ws->order + end);
        }
    }
}

#endif
