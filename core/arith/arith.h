/* arith.h - what one instruction set's compilation of core/arith/arith.c offers. Private to core/, and to its tests.
 *
 * In reading order:
 *   lanes.h   the vectors: 16 floats, on each instruction set
 *   input.h   pixels to x
 *   conv.h    the convolution
 *   dense.h   dense layers
 *   arith.c   all of it, compiled once per instruction set
 *   choose.c  which compilation this processor runs best
 */
#ifndef CONVD_CORE_ARITH_ARITH_H
#define CONVD_CORE_ARITH_ARITH_H

#include "core/net.h"

struct arith {
    const char *name;

    /* x; l^0 with winners; l^1; l^2. */
    void (*forward)(const struct net *net, const struct settings *settings, const uint8_t *pixels,
                    struct workspace *ws);

    /* The same for NET_BATCH images at once, with the same bits: batch_l2. */
    void (*forward_batch)(const struct net *net, const struct settings *settings, const uint8_t *pixels,
                          struct workspace *ws);

    /* e = 1/2 sum_m (l^2_m - y_m)^2 */
    float (*loss)(const struct net *net, const struct workspace *ws, uint32_t label);

    /* dst = base - rate * gradient at `net`, of w12 with a rate of its own. For a step dst and base are net itself; for a gradient base is NULL (zeros). */
    void (*descend)(struct net *dst, const struct net *net, enum gradient gradient, float rate, float rate_w12,
                    uint32_t label, struct workspace *ws);

    /* y_r = sum over j of w_rj x_j, whole numbers: exact, so in any order. No sum of some of the products may leave int32_t.
     * Shapes: y [n], w [n][ld], x [ld]. */
    void (*dots)(int32_t *y, const int16_t *w, const int16_t *x, size_t n, size_t ld);

    /* for tests: 16 lanes of each */
    void (*exp16)(float *y, const float *x);
    void (*tanh16)(float *y, const float *x);
    void (*max16)(float *y, const float *a, const float *b); /* a > b ? a : b */
    void (*fma16)(float *y, const float *a, const float *b, const float *c);
};

#endif
