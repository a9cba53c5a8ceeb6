/* dense.h - dense layers: y = x w, its backward pass, and y = x w for several x at once. Included by core/arith/arith.c alone.
 *
 * Every y_j is four chains over the rows p = c mod 4, c = 0..3, then (c0 + c1) + (c2 + c3); every g_x_p is one sum over its row.
 * The rows of w lie in memory chain by chain (net.h: net_row), so that a chain is one walk through contiguous memory; x and
 * g_x are put into that order and back ("rows": x_rows, g_rows), which costs n_in moves. Chain by chain also for a team's sake: a
 * member owns a contiguous piece of w, in both passes the same one, which stays in its own second-level cache. (Rows mod 4 that
 * lay side by side were ten times slower with two members than alone: each one's prefetcher took the other's lines.)
 *
 * A narrow layer keeps its chains in registers and walks down a few columns at a time. A wide one would so jump from
 * page to page: it keeps the chains in memory (ws->chains, first-level cache) and goes through w row after row.
 *
 * Cut for a team by units: unit c * G + g is vector g of chain c, G = ld / 16 vectors. A part takes a run of units. Forward
 * it computes those; backward its rows are those between the fractions of chains at which its units begin and end. With 2 or 4 members
 * each meets the same rows in both passes; with others, mostly.
 */
#ifndef CONVD_CORE_ARITH_DENSE_H
#define CONVD_CORE_ARITH_DENSE_H

#include "core/arith/lanes.h"
#include "core/net.h"

#include <assert.h>

#if LANES_PART == 16
#define DENSE_LONG     8    /* vectors of one chain that one walk keeps in registers                              */
#define DENSE_VECTORS  4    /* vectors of all four chains, or of NET_BATCH images                                 */
#define DENSE_PANEL    8    /* rows of one chain that a wide layer adds at once: as many x in registers           */
#define DENSE_ROW      8    /* vectors of a row up to which backward keeps d and u in registers                   */
#define DENSE_LONG_ROW 1024 /* floats from which backward takes rows singly: four that lie pages apart cost more */
#else
#define DENSE_LONG     4
#define DENSE_VECTORS  1
#define DENSE_PANEL    4
#define DENSE_ROW      1
#define DENSE_LONG_ROW SIZE_MAX
#endif

/* Which way a layer goes forward, by measurement (bench/NOTES.md): in registers where w fits into a second-level cache of 1 MB beside
 * all else, or where a row is one walk. */
LANES_INLINE bool dense_is_narrow(size_t n_in, size_t ld)
{
    return ld <= (size_t)DENSE_LONG * LANES || (ld <= 256 && n_in * ld <= 196608);
}

/* ---- the order of rows ---- */

/* From p to row, and back. */
static void to_rows(float *x_rows, const float *x, size_t n_in)
{
    float *to[4];
    size_t p = 0;
    for (size_t c = 0; c < 4; c++)
        to[c] = x_rows + net_chain(n_in, c);
    for (; p + LANES <= n_in; p += LANES) {
        lanes_split4(to, x + p);
        for (size_t c = 0; c < 4; c++)
            to[c] += 4;
    }
    for (; p < n_in; p++)
        *to[p % 4]++ = x[p];
}

static void from_rows(float *x, const float *x_rows, size_t n_in)
{
    const float *from[4];
    size_t p = 0;
    for (size_t c = 0; c < 4; c++)
        from[c] = x_rows + net_chain(n_in, c);
    for (; p + LANES <= n_in; p += LANES) {
        lanes_join4(x + p, from);
        for (size_t c = 0; c < 4; c++)
            from[c] += 4;
    }
    for (; p < n_in; p++)
        x[p] = *from[p % 4]++;
}

/* ---- a team's share ---- */

struct dense_units {
    size_t begin, end;
};

LANES_INLINE struct dense_units dense_share(size_t ld, unsigned part, unsigned n)
{
    const size_t units = ld / LANES * 4;
    return (struct dense_units){units * part / n, units * (part + 1) / n};
}

/* The units of chain c among them, as vectors begin..end-1 of G; empty where begin >= end. */
LANES_INLINE struct dense_units dense_of_chain(struct dense_units units, size_t ld, size_t c)
{
    const size_t g = ld / LANES, low = c * g, high = low + g;
    const size_t begin = units.begin > low ? units.begin : low, end = units.end < high ? units.end : high;
    return begin < end ? (struct dense_units){begin - low, end - low} : (struct dense_units){0, 0};
}

/* The row at which a unit's fraction of its chain begins. */
LANES_INLINE size_t dense_row_of_unit(size_t unit, size_t n_in, size_t ld)
{
    const size_t g = ld / LANES;
    assert(g > 0);
    const size_t c = unit / g, first = net_chain(n_in, c);
    return unit == 4 * g ? n_in : first + (net_chain(n_in, c + 1) - first) * (unit % g) / g;
}

/* ---- forward, narrow ---- */

/* V vectors of columns of one chain: its n rows, one after the other. */
LANES_INLINE void dense_walk(const int V, float *chain, const float *x, const float *w, size_t n, size_t ld)
{
    struct f16 sum[DENSE_LONG];
    LANES_UNROLL
    for (int v = 0; v < V; v++)
        sum[v] = lanes_set1(0.0F);
    for (size_t r = 0; r < n; r++, w += ld) {
        const struct f16 xr = lanes_set1(x[r]);
        LANES_UNROLL
        for (int v = 0; v < V; v++)
            sum[v] = lanes_fma(xr, lanes_load(w + (size_t)v * LANES), sum[v]);
    }
    LANES_UNROLL
    for (int v = 0; v < V; v++)
        lanes_store(chain + (size_t)v * LANES, sum[v]);
}

/* V vectors of columns of y: all four chains side by side, for rows so short that one chain alone would wait for itself. */
LANES_INLINE void dense_columns(const int V, float *y, const float *x, const float *w, size_t n_in, size_t ld)
{
    struct f16 chain[4][DENSE_VECTORS];
    const float *xc[4], *wc[4];
    LANES_UNROLL
    for (int c = 0; c < 4; c++) {
        xc[c] = x + net_chain(n_in, (size_t)c);
        wc[c] = w + net_chain(n_in, (size_t)c) * ld;
        LANES_UNROLL
        for (int v = 0; v < V; v++)
            chain[c][v] = lanes_set1(0.0F);
    }
    const size_t n = n_in / 4;
    for (size_t r = 0; r < n; r++)
        LANES_UNROLL
    for (int c = 0; c < 4; c++) {
        const struct f16 xr = lanes_set1(xc[c][r]);
        LANES_UNROLL
        for (int v = 0; v < V; v++)
            chain[c][v] = lanes_fma(xr, lanes_load(wc[c] + r * ld + (size_t)v * LANES), chain[c][v]);
    }
    /* the first n_in mod 4 chains have a row more */
    LANES_UNROLL
    for (int c = 0; c < 3; c++)
        if ((size_t)c < n_in % 4) {
            const struct f16 xr = lanes_set1(xc[c][n]);
            LANES_UNROLL
            for (int v = 0; v < V; v++)
                chain[c][v] = lanes_fma(xr, lanes_load(wc[c] + n * ld + (size_t)v * LANES), chain[c][v]);
        }
    LANES_UNROLL
    for (int v = 0; v < V; v++)
        lanes_store(y + (size_t)v * LANES,
                    lanes_add(lanes_add(chain[0][v], chain[1][v]), lanes_add(chain[2][v], chain[3][v])));
}

LANES_INLINE void dense_join(float *y, const float *chains, size_t ld, size_t n)
{
    for (size_t j = 0; j < n; j += LANES)
        lanes_store(y + j, lanes_add(lanes_add(lanes_load(chains + j), lanes_load(chains + ld + j)),
                                     lanes_add(lanes_load(chains + 2 * ld + j), lanes_load(chains + 3 * ld + j))));
}

static void dense_narrow(float *y, float *chains, const float *x, const float *w, size_t n_in, size_t ld)
{
    size_t j = 0;
    for (; j + (size_t)DENSE_LONG * LANES <= ld; j += (size_t)DENSE_LONG * LANES) {
        for (size_t c = 0; c < 4; c++) {
            const size_t first = net_chain(n_in, c);
            dense_walk(DENSE_LONG, chains + c * ld, x + first, w + first * ld + j, net_chain(n_in, c + 1) - first, ld);
        }
        dense_join(y + j, chains, ld, (size_t)DENSE_LONG * LANES);
    }
#if DENSE_VECTORS > 2
    for (; j + 4 * LANES <= ld; j += 4 * LANES)
        dense_columns(4, y + j, x, w + j, n_in, ld);
    for (; j + 2 * LANES <= ld; j += 2 * LANES)
        dense_columns(2, y + j, x, w + j, n_in, ld);
#endif
    for (; j < ld; j += LANES)
        dense_columns(1, y + j, x, w + j, n_in, ld);
}

/* ---- forward, wide or shared ---- */

/* chain_j += sum over R rows of x_r w_rj: in order, as one chain. */
LANES_INLINE void dense_panel(const int R, float *chain, const float *x, const float *w, size_t ld,
                              struct dense_units vectors)
{
    struct f16 xr[DENSE_PANEL];
    LANES_UNROLL
    for (int r = 0; r < R; r++)
        xr[r] = lanes_set1(x[r]);
    for (size_t j = vectors.begin * LANES; j < vectors.end * LANES; j += LANES) {
        struct f16 sum = lanes_load(chain + j);
        LANES_UNROLL
        for (int r = 0; r < R; r++)
            sum = lanes_fma(xr[r], lanes_load(w + (size_t)r * ld + j), sum);
        lanes_store(chain + j, sum);
    }
}

struct dense_pass {
    float *chains;
    const float *x, *w; /* x in the order of rows */
    size_t n_in, ld;
};

static void dense_part(void *context, unsigned part, unsigned n)
{
    const struct dense_pass *d = context;
    const size_t ld = d->ld;
    const struct dense_units units = dense_share(ld, part, n);
    for (size_t c = 0; c < 4; c++) {
        const struct dense_units own = dense_of_chain(units, ld, c);
        if (own.begin == own.end)
            continue;
        float *chain = d->chains + c * ld;
        const size_t end = net_chain(d->n_in, c + 1);
        size_t r = net_chain(d->n_in, c);
        if (own.end - own.begin == DENSE_LONG) {
            const size_t j = own.begin * LANES;
            dense_walk(DENSE_LONG, chain + j, d->x + r, d->w + r * ld + j, end - r, ld);
            continue;
        }
        memset(chain + own.begin * LANES, 0, (own.end - own.begin) * LANES * sizeof *chain);
        for (; r + DENSE_PANEL <= end; r += DENSE_PANEL)
            dense_panel(DENSE_PANEL, chain, d->x + r, d->w + r * ld, ld, own);
        for (; r < end; r++)
            dense_panel(1, chain, d->x + r, d->w + r * ld, ld, own);
    }
}

/* y = x w.  Shapes: x [n_in] in the order of rows, w [n_in][ld], y [ld], chains [4][ld]; ld a multiple of 16. */
static void dense_forward(float *y, float *chains, const float *x, const float *w, size_t n_in, size_t ld,
                          struct team *team)
{
    if (team == NULL && dense_is_narrow(n_in, ld)) {
        dense_narrow(y, chains, x, w, n_in, ld);
        return;
    }
    struct dense_pass pass = {chains, x, w, n_in, ld};
    if (team != NULL)
        team->run(team, dense_part, &pass);
    else
        dense_part(&pass, 0, 1);
    dense_join(y, chains, ld, ld);
}

/* ---- forward of NET_BATCH images ---- */

/* The same four chains per image, one after the other, so that w is read once for all of them.
 * Shapes: x [NET_BATCH][ld_x], not in the order of rows; y [NET_BATCH][ld]. */
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
        const float *wr = w + net_chain(n_in, c) * ld;
        for (size_t p = c; p < n_in; p += 4, wr += ld) {
            struct f16 row[DENSE_VECTORS];
            LANES_UNROLL
            for (int v = 0; v < V; v++)
                row[v] = lanes_load(wr + (size_t)v * LANES);
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

/* ---- backward ---- */

/* What a backward pass reads and writes, x, g_x, w and dst in the order of rows:
 *     g_x_r = sum_j w_rj d_j                    unless want_g_x is false
 *     dst_rj = base_rj + x_r u_j                u = -rate d; base: w itself, or zeros
 * w is read before dst is written, so both may be the same. Shapes: x, g_x [n_in], d, u [ld], w, dst [n_in][ld]. */
struct dense_gradient {
    float *g_x, *dst;
    const float *w, *x, *d, *u;
    size_t n_in, ld;
    bool want_g_x, from_zero;
};

LANES_INLINE void dense_rows(const int R, const bool want_g_x, const bool from_zero, const struct dense_gradient *q,
                             size_t row)
{
    const size_t ld = q->ld;
    const float *w = q->w + row * ld, *d = q->d, *u = q->u;
    float *dst = q->dst + row * ld;
    struct f16 sum[4], x[4];
    LANES_UNROLL
    for (int r = 0; r < 4; r++)
        sum[r] = lanes_set1(0.0F);
    LANES_UNROLL
    for (int r = 0; r < R; r++)
        x[r] = lanes_set1(q->x[row + (size_t)r]);
    for (size_t j = 0; j < ld; j += LANES) {
        struct f16 dj = lanes_load(d + j), uj = lanes_load(u + j);
        LANES_UNROLL
        for (int r = 0; r < R; r++) {
            struct f16 wj = lanes_load(w + (size_t)r * ld + j);
            if (want_g_x)
                sum[r] = lanes_fma(wj, dj, sum[r]);
            lanes_store(dst + (size_t)r * ld + j, lanes_fma(x[r], uj, from_zero ? lanes_set1(0.0F) : wj));
        }
    }
    if (want_g_x) {
        float g[4];
        lanes_sum4(g, sum[0], sum[1], sum[2], sum[3]);
        memcpy(q->g_x + row, g, (size_t)R * sizeof *g);
    }
}

LANES_INLINE void dense_rows_as(const bool want_g_x, const bool from_zero, const struct dense_gradient *gradient,
                                size_t begin, size_t end)
{
    const struct dense_gradient q = *gradient; /* a copy that no store can reach: its members stay in registers */
    size_t r = begin;
    for (; r + 4 <= end && q.ld < DENSE_LONG_ROW; r += 4)
        dense_rows(4, want_g_x, from_zero, &q, r);
    for (; r < end; r++)
        dense_rows(1, want_g_x, from_zero, &q, r);
}

#if DENSE_ROW > 1
/* dense_rows_as(true, false) for rows of J vectors, J so small that d and u stay in registers: one row after the other, so that w is
 * read and written in order. Returns the first row that is left, when less than four are. */
LANES_INLINE size_t dense_short_rows(const int J, const struct dense_gradient *gradient, size_t begin, size_t end)
{
    const struct dense_gradient q = *gradient;
    const size_t ld = (size_t)J * LANES;
    struct f16 d[DENSE_ROW], u[DENSE_ROW];
    LANES_UNROLL
    for (int j = 0; j < J; j++) {
        d[j] = lanes_load(q.d + (size_t)j * LANES);
        u[j] = lanes_load(q.u + (size_t)j * LANES);
    }
    size_t r = begin;
    for (; r + 4 <= end; r += 4) {
        struct f16 sum[4];
        LANES_UNROLL
        for (int k = 0; k < 4; k++) {
            const float *w = q.w + (r + (size_t)k) * ld;
            float *dst = q.dst + (r + (size_t)k) * ld;
            const struct f16 x = lanes_set1(q.x[r + (size_t)k]);
            sum[k] = lanes_set1(0.0F);
            LANES_UNROLL
            for (int j = 0; j < J; j++) {
                const struct f16 wj = lanes_load(w + (size_t)j * LANES);
                sum[k] = lanes_fma(wj, d[j], sum[k]);
                lanes_store(dst + (size_t)j * LANES, lanes_fma(x, u[j], wj));
            }
        }
        lanes_sum4(q.g_x + r, sum[0], sum[1], sum[2], sum[3]);
    }
    return r;
}

static size_t dense_rows_by_length(const struct dense_gradient *q, size_t begin, size_t end)
{
    switch (q->ld / LANES) {
    case 1:
        return dense_short_rows(1, q, begin, end);
    case 2:
        return dense_short_rows(2, q, begin, end);
    case 4:
        return dense_short_rows(4, q, begin, end);
    case 8:
        return dense_short_rows(8, q, begin, end);
    default:
        return begin;
    }
}
#endif

static void dense_backward_part(void *context, unsigned part, unsigned n)
{
    const struct dense_gradient *q = context;
    const struct dense_units units = dense_share(q->ld, part, n);
    size_t begin = dense_row_of_unit(units.begin, q->n_in, q->ld);
    const size_t end = dense_row_of_unit(units.end, q->n_in, q->ld);
    if (q->from_zero) {
        dense_rows_as(true, true, q, begin, end);
    } else if (q->want_g_x) {
#if DENSE_ROW > 1
        begin = dense_rows_by_length(q, begin, end);
#endif
        dense_rows_as(true, false, q, begin, end);
    } else {
        dense_rows_as(false, false, q, begin, end);
    }
}

/* One pass over w. */
static void dense_backward(struct dense_gradient *q, struct team *team)
{
    if (team != NULL)
        team->run(team, dense_backward_part, q);
    else
        dense_backward_part(q, 0, 1);
}

#endif
