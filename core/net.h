/* net.h - the network: its parameters, forward, and one step of gradient descent.
 *
 *   forward    x = a pixel + b                   a, b by the setting `normalize`, below
 *              F = frame captures of x
 *              l^ci_p = sum_m k^i_m F_mp
 *              l^0_p = tanh(max_i l^ci_p)        w(p) = argmax_i, the lowest index wins a tie
 *              l^1 = tanh(l^0 w01)
 *              l^2 = softmax(l^1 w12)
 *              e = 1/2 sum_m (l^2_m - y_m)^2
 *   backward   r = l^2 - y
 *              d^2 = r D_s'                      diagonal: r_m l^2_m (1 - l^2_m)
 *                                                jacobian: l^2_m (r_m - sum_j r_j l^2_j)
 *              d^1 = (d^2 w12^T) D1'             D1' = 1 - l^1^2
 *              d^0 = (d^1 w01^T) D0'             D0' = 1 - l^0^2
 *              de/dw12 = l^1 (x) d^2    de/dw01 = l^0 (x) d^1    de/dk^i_m = sum_{p: w(p) = i} d^0_p F_mp
 *   step       all three at the weights before the step; parameter -= rate * gradient, of w12 rate * output_rate * gradient
 *
 * With kernels = 0, l^0 is x itself and there is no k.
 *
 * What enters, v - mean with, of an image whose n pixels have mean mu and standard deviation sd,
 *     none       v = pixel / 255
 *     mean       v = (pixel - mu) / 255
 *     std        v = NORMALIZE_DEVIATION (pixel - mu) / max(sd, NORMALIZE_LEAST)
 * mu and sd over all channels together, so that a colour stays one. A flat image is all zeros, and one that is nearly flat is not
 * blown up to noise. The sums of pixels and of their squares are integers, exact in any order; then a and b in double precision, by
 * operations that IEEE 754 rounds correctly, each rounded once to float.
 *
 * The same bits everywhere. The arithmetic (core/arith/arith.c) is one source, written on vectors of 16 float lanes and
 * compiled once per instruction set; arith_choose() picks one. All of them give the same bits, because every sum has one
 * order, stated here, that no instruction set, batch size or thread count changes:
 *   - l^ci_p, de/dk: one chain of fused multiply-adds each, over m = 0.. and over p = 0.. in order;
 *   - l^0 w01, l^1 w12: four chains, rows p = c mod 4 for c = 0..3, then (c0 + c1) + (c2 + c3);
 *   - d^2 w12^T, d^1 w01^T: 16 lanes, lane j a chain over columns j, j + 16, .., then the lane tree;
 *   - the lane tree: l + (l + 8), then + 4, + 2, + 1.
 * ARITHMETIC_VERSION changes when any of this does.
 *
 * Pure: no I/O, clock, thread or global; nothing here allocates but the two *_create().
 */
#ifndef CONVD_CORE_NET_H
#define CONVD_CORE_NET_H

#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"
#include "core/shape.h"
#include "core/team.h"

#ifndef ARITHMETIC_VERSION /* the tests build one that has another */
#define ARITHMETIC_VERSION "convd-1"
#endif
#define ARITHMETIC_BYTES 32 /* of such a name, with its zero */

#define LANES 16u

/* lanes_up - n rounded up to whole vectors. */
static inline size_t lanes_up(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

struct arith; /* the arithmetic for one instruction set */

/* arith_choose - the best arithmetic that this processor can run; `name` NULL or "" for that, else one by name:
 * "x86-64-v4", "x86-64-v3", "aarch64", "portable". NULL where it is unknown or the processor lacks it. */
const struct arith *arith_choose(const char *name);

/* arith_name - its name; arith_nth - the n-th that this processor can run, best first; NULL past the end. */
const char *arith_name(const struct arith *arith);
const struct arith *arith_nth(unsigned n);

/* The parameters, as views into one block of 64-byte aligned floats:
 *   k    [n_k][ld_k]   transposed: row m holds element m of every kernel, so that forward broadcasts from one line
 *   w01  [n_0][ld_1]
 *   w12  [n_1][ld_2]
 * ld_x is the row's length rounded up to 16. Padding is zero and stays zero.
 * The rows of w01 and w12 lie in memory chain by chain, those of p = 0 mod 4 first: row p is row net_row(n_0, p). */
struct net {
    struct shape shape;
    uint32_t n_2;
    size_t ld_k, ld_1, ld_2;
    float *k, *w01, *w12;
};

/* net_chain - where the rows p = c mod 4 begin, of n_in; c in 0..4. net_row - where row p lies. */
static inline size_t net_chain(size_t n_in, size_t c)
{
    return c * (n_in / 4) + (c < n_in % 4 ? c : n_in % 4);
}

static inline size_t net_row(size_t n_in, size_t p)
{
    return net_chain(n_in, p % 4) + p / 4;
}

/* net_floats - length of the block for that shape and number of classes; net_view - views into a block.
 * The shape must have passed shape_check() with that n_2. */
size_t net_floats(const struct shape *shape, uint32_t n_2);
struct net net_view(const struct shape *shape, uint32_t n_2, float *block);

/* net_init - initial weights: mean 0, standard deviation 0.3/sqrt(n^k) for k, 0.7/sqrt(n^0) for w01, 1.84/sqrt(n^1) for
 * w12. Each weight is a function of (seed, tensor, row, column) alone.
 * Source of the scales: bench/experiment.c over seeds and geometries; docs/learning.md. */
void net_init(struct net *net, uint64_t seed);
void net_init_class(struct net *net, uint64_t seed, uint32_t class_index); /* column of w12 only */

/* Tensors as the world sees them: row-major, no padding: k [N][n_k], w01 [n_0][n_1], w12 [n_1][n_2]. */
void net_export(const struct net *net, float *k, float *w01, float *w12);
void net_import(struct net *net, const float *k, const float *w01, const float *w12);

/* How pixels enter, x = a pixel + b, with what `normalize` needs of the image. */
#define NORMALIZE_DEVIATION 0.3
#define NORMALIZE_LEAST     8.0 /* grey levels */
struct input {
    enum normalize normalize;
    float a, b;
    double mean, deviation; /* mu; sd, 0 where it is below NORMALIZE_LEAST */
};

/* What forward leaves behind for backward and for explanation. One workspace serves one thread at a time. */
struct workspace {
    struct input input;
    float *image;     /* [channels][height][width], as x                                      */
    float *planes;    /* the image's shifted copies that the convolution reads: core/arith/arith.c       */
    float *l0;        /* [n_0], padded with zeros to a multiple of 16                          */
    uint32_t *winner; /* [n_0] likewise; unused with kernels = 0                              */
    float *l1, *l2;   /* [ld_1], [ld_2]; padding is zero                                      */
    float *d0, *d1, *d2;
    float *u;         /* -rate d of the layer at hand                                         */
    uint32_t *order;  /* positions sorted by winner                                           */
    uint32_t *ends;   /* [N][4] where each kernel's runs end in order: core/arith/arith.c                */
    uint32_t *frame;  /* [n_k] offset of row m of F in planes                                 */
    uint32_t *patch;  /* [n_0] offset of position p's patch in image                          */
    uint32_t *row;    /* [channels * kernel_height] offset of that row of a patch             */
    float *l0_rows;   /* [n_0] l0 in the order of w01's rows                                  */
    float *l1_rows;   /* [n_1] likewise                                                       */
    float *g_rows;    /* [the larger of n_0, n_1] d of a layer in the order of rows           */
    float *chains;    /* [4][the larger of ld_1, ld_2]: a dense layer's four chains           */
    float *batch_l0;  /* [NET_BATCH][n_0 padded]                                              */
    float *batch_l1;  /* [NET_BATCH][ld_1]                                                    */
    float *batch_l2;  /* [NET_BATCH][ld_2]: what net_forward_batch() leaves                   */
    int16_t *vector;  /* [ld_1 + n_input padded]: core/learner/novelty.h                      */
    uint32_t n_2_max; /* classes that it has room for                                         */

    struct team *team; /* borrowed; NULL: its thread works alone                               */
    size_t team_least; /* weight of a phase that is given to the team                          */
};

/* workspace_create - for nets of that shape with at most n_2_max classes. NULL when memory is out.
 * Owns: the caller, who calls workspace_free() (NULL is fine). */
struct workspace *workspace_create(const struct shape *shape, uint32_t n_2_max);
void workspace_free(struct workspace *ws);

/* workspace_share - from now on, large phases of net_forward(), net_step() and net_gradient() with this workspace are shared with
 * that team (NULL: with nobody), those whose weight is at least `least`. The same bits, whatever the team and `least`.
 * Owns: nothing; the team must outlive the workspace or be taken away. net_forward_batch() works alone always.
 *
 * A phase's weight: the multiply-adds of a dense layer, which wait for memory. Four of the convolution weigh as much as one of those, and
 * one of the kernels' gradient as much as two. TEAM_LEAST: where sharing pays, by measurement (bench/NOTES.md); such a phase
 * takes 10 to 20 us alone. */
#define TEAM_LEAST ((size_t)250000)
void workspace_share(struct workspace *ws, struct team *team, size_t least);

static inline size_t net_weight_conv(const struct shape *s)
{
    return (size_t)s->n_0 * s->n_k * s->kernels / 4;
}

static inline size_t net_weight_kernels(const struct shape *s)
{
    return (size_t)s->n_0 * s->n_k * 2;
}

/* net_largest_phase - the largest weight of a phase of a step: where it is below TEAM_LEAST no team is of use. */
size_t net_largest_phase(const struct shape *shape, uint32_t n_2);

/* net_forward - fills ws->input, l0, winner, l1 and l2 for one image.
 * Shapes: pixels [channels][height][width]. Errors: none. Threads: any number, each with its own workspace. */
void net_forward(const struct arith *arith, const struct net *net, const struct settings *settings,
                 const uint8_t *pixels, struct workspace *ws);

/* net_forward_batch - l^2 of n images, 1..NET_BATCH of them, in ws->batch_l2: the same bits as net_forward() of each, in
 * less time, since w01 is read once for all. Leaves l0, winner, l1 and l2 of ws undefined. Shapes: pixels [n][n_input]. */
#define NET_BATCH 4u
void net_forward_batch(const struct arith *arith, const struct net *net, const struct settings *settings,
                       const uint8_t *pixels, size_t n, struct workspace *ws);

/* net_argmax - index of the largest of l2 [n_2], lowest on a tie. */
uint32_t net_argmax(const struct net *net, const float *l2);

/* net_loss - e for that label, from ws->l2. */
float net_loss(const struct arith *arith, const struct net *net, const struct workspace *ws, uint32_t label);

/* net_step - after net_forward() of the same image on the same weights: one step of gradient descent on e. */
void net_step(const struct arith *arith, struct net *net, const struct settings *settings, uint32_t label,
              struct workspace *ws);

/* net_gradient - after net_forward(): the three gradients into g, a view of the same shape, with nothing else changed.
 * The very code of net_step(), with rate -1 and a base of zeros. */
void net_gradient(const struct arith *arith, const struct net *net, enum gradient gradient, uint32_t label,
                  struct net *g, struct workspace *ws);

#endif
