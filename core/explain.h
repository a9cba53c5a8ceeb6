/* explain.h - what moved an answer: how much each pixel of the input counts for the probability of a class.
 *
 *     s = |d l^2_c / d pixel|          c: the class
 *
 * by the chain of derivatives that training goes, begun at the probability instead of at e, and gone one layer further, from
 * l^0 to F and so to the input:
 *
 *     d^2_m = l^2_c ([m = c] - l^2_m)          the exact derivative of the softmax, whatever the setting `gradient`
 *     d^1 = (d^2 w12^T) D1'
 *     d^0 = (d^1 w01^T) D0'
 *     d l^2_c / d x_q = sum of d^0_p k^w(p)_m over all p, m with F_mp = x_q          (kernels = 0: d^1 w01^T)
 *
 * and from x to the pixels, of which an image has n, with u = x + mean and D = NORMALIZE_DEVIATION (core/net.h)
 *
 *     d / d pixel_q = a (d / d x_q - [normalized] mean of d / d x - [std] u_q mean of (u d / d x) / D^2)
 *
 * Only the winner w(p) of each position counts: the max passes nothing on to the others.
 */
#ifndef CONVD_CORE_EXPLAIN_H
#define CONVD_CORE_EXPLAIN_H

#include "core/net.h"

/* net_explain - after net_forward() of the same image with that net: s for each pixel, per grey level.
 *
 * Shapes: saliency [channels][height][width]. Errors: none. Changes nothing of what net_forward() left in ws but d0, d1, d2.
 * Costs about two forward passes that know no vectors (80 us for the default network): for people, not for training. */
void net_explain(const struct net *net, uint32_t class_index, float *saliency, struct workspace *ws);

#endif
