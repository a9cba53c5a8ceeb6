/* descent.h - one step of gradient descent, guarded: none that ruins the weights, and, on request, none longer than so much.
 *
 * The bound: no parameter of a model ever exceeds WEIGHT_MAX in size, and none is infinite or NaN. A step that would break it
 * is not made at all: the weights stay as they are, bit for bit. Whether it would is decided by making it on a copy; so the
 * decision is a function of weights, sample and settings alone, and the same on every machine.
 *
 * That copy is made almost never, since what a step can do at most follows from norms. With r = l^2 - y, e = |r|^2 / 2, and any
 * of the two readings of the softmax's derivative,
 *
 *     |d^2| <= |r| / 2        |d^1| <= |d^2| |w12|        |d^0| <= |d^1| |w01|             (|w|: Frobenius norm)
 *     |step of w12| <= rate output_rate |d^2| sqrt(n^1)
 *     |step of w01| <= rate |d^1| sqrt(n^0) x             x: largest size of an input of the layer; 1 behind a tanh
 *     |step of k|   <= rate |d^0| sqrt(n^0 n^k) x         x: largest size of an input
 *
 * These are added to the norms that were measured last; only where a sum reaches WEIGHT_MAX, some hundred steps later, they
 * are measured again (all of it costs about 1 % of the time of a step), and only where that is of no avail the step is tried
 * on a copy. A parameter is never larger than the norm of its tensor.
 *
 * Clipping (the setting `clip`, 0: off): g being the whole gradient, all three tensors,
 *
 *     w <- w - rate g min(1, clip / |g|)                  Pascanu, Mikolov, Bengio 2013
 *
 * which needs |g| before the step, so a clipped model pays for every gradient twice.
 *
 * Within WEIGHT_MAX nothing overflows: for every shape that shape_check() takes, all sums of a forward and a backward pass stay
 * below 1e33.
 */
#ifndef CONVD_CORE_DESCENT_H
#define CONVD_CORE_DESCENT_H

#include <stdbool.h>

#include "core/net.h"

#define WEIGHT_MAX 100000.0F

/* Upper bounds of the norms; not part of the state: they decide how soon to look, never what is seen. */
struct descent {
    bool measured; /* false: nothing is known of the weights */
    double k, w01, w12;
};

/* descent_forget - the weights were changed by other means than descent_step(). */
void descent_forget(struct descent *known);

/* weights_fit - whether all parameters are within the bound. */
bool weights_fit(const struct net *net);

/* descent_step - after net_forward() of the same image on the same weights: net_step(), clipped, if it may be made; else false, and
 * nothing was changed. trial: memory for a second net of that shape and number of classes, 64-byte aligned, of any content. */
bool descent_step(struct descent *known, const struct arith *arith, struct net *net, float *trial,
                  const struct settings *settings, uint32_t label, struct workspace *ws);

/* descent_imprint - after net_forward() of an image of that class: where its class is not ahead of all others by a margin of 1, it
 * becomes so (e times as likely as the likeliest other) by its column of w12 alone,
 *
 *     w12_m += l^1 (max_j z_j + 1 - z_m) / |l^1|^2          z = l^1 w12, m: the class, j: the others
 *
 * which is the smallest change that does (imprinting: Qi, Brown, Lowe 2018). False, and nothing was changed, where it is ahead, where the
 * hidden layer hardly answers (|l^1|^2 < n^1 / 100), or where the bound would be broken. What net_forward() left is of the old weights. */
#define IMPRINT_MARGIN 1.0
bool descent_imprint(struct descent *known, struct net *net, uint32_t label, const struct workspace *ws);

#endif
