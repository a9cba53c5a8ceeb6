/* reference.h - the network once more, in double, as simply as the equations of core/net.h can be written: F is built as a
 * matrix, every sum is a loop, nothing is fused, padded or reordered. What the arithmetic is held against. */
#ifndef CONVD_TESTS_REFERENCE_H
#define CONVD_TESTS_REFERENCE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/net.h"

/* Tensors row-major without padding, as net_export() gives them. */
struct reference {
    struct shape shape;
    uint32_t n_2;
    double *k, *w01, *w12;    /* [N][n_k], [n_0][n_1], [n_1][n_2]; one block that starts at k     */
    double *dk, *dw01, *dw12; /* their gradients, one block that starts at dk                     */
    double *x, *f;            /* [n_input], F [n_k][n_0]                                          */
    double *lc;               /* [N][n_0] pre-pooled                                              */
    double *l0, *l1, *l2;
    uint32_t *winner; /* [n_0] */
};

static inline size_t reference_count(const struct reference *r)
{
    const struct shape *s = &r->shape;
    return (size_t)s->kernels * s->n_k + (size_t)s->n_0 * s->n_1 + (size_t)s->n_1 * r->n_2;
}

static inline double *reference_doubles(size_t n)
{
    double *v = calloc(n + 1, sizeof *v);
    if (v == NULL)
        abort();
    return v;
}

static inline void reference_init(struct reference *r, const struct shape *shape, uint32_t n_2)
{
    const struct shape *s = shape;
    *r = (struct reference){.shape = *shape, .n_2 = n_2};
    r->k = reference_doubles(reference_count(r));
    r->w01 = r->k + (size_t)s->kernels * s->n_k;
    r->w12 = r->w01 + (size_t)s->n_0 * s->n_1;
    r->dk = reference_doubles(reference_count(r));
    r->dw01 = r->dk + (r->w01 - r->k);
    r->dw12 = r->dk + (r->w12 - r->k);
    r->x = reference_doubles(s->n_input);
    r->f = reference_doubles((size_t)s->n_k * s->n_0);
    r->lc = reference_doubles((size_t)s->kernels * s->n_0);
    r->l0 = reference_doubles(s->n_0);
    r->l1 = reference_doubles(s->n_1);
    r->l2 = reference_doubles(n_2);
    r->winner = calloc(s->n_0, sizeof *r->winner);
    if (r->winner == NULL)
        abort();
}

static inline void reference_fini(struct reference *r)
{
    free(r->k);
    free(r->dk);
    free(r->x);
    free(r->f);
    free(r->lc);
    free(r->l0);
    free(r->l1);
    free(r->l2);
    free(r->winner);
}

/* F_mp: the pixel that element m = (c, ky, kx) of a kernel meets at position p = (oy, ox). */
static inline void reference_captures(struct reference *r)
{
    const struct shape *s = &r->shape;
    for (uint32_t c = 0; c < s->channels; c++)
        for (uint32_t ky = 0; ky < s->kernel_height; ky++)
            for (uint32_t kx = 0; kx < s->kernel_width; kx++)
                for (uint32_t oy = 0; oy < s->out_h; oy++)
                    for (uint32_t ox = 0; ox < s->out_w; ox++) {
                        size_t m = ((size_t)c * s->kernel_height + ky) * s->kernel_width + kx;
                        size_t y = (size_t)oy * s->stride + ky, x = (size_t)ox * s->stride + kx;
                        r->f[m * s->n_0 + (size_t)oy * s->out_w + ox] = r->x[(c * s->height + y) * s->width + x];
                    }
}

/* Forward from x, which reference_forward() makes of pixels. Where `chosen` (winners of another arithmetic, or NULL) names a kernel whose response lies within `near` of the
 * best one's, that one is taken: between equals the two arithmetics may choose differently and both be right. */
static inline void reference_forward_x(struct reference *r, const uint32_t *chosen, double near)
{
    const struct shape *s = &r->shape;
    const size_t n_0 = s->n_0, n_1 = s->n_1, n_2 = r->n_2;
    if (s->kernels == 0) {
        memcpy(r->l0, r->x, n_0 * sizeof *r->l0);
    } else {
        reference_captures(r);
        for (size_t p = 0; p < n_0; p++) {
            size_t w = 0;
            for (size_t i = 0; i < s->kernels; i++) {
                double sum = 0.0;
                for (size_t m = 0; m < s->n_k; m++)
                    sum += r->k[i * s->n_k + m] * r->f[m * n_0 + p];
                r->lc[i * n_0 + p] = sum;
                if (sum > r->lc[w * n_0 + p])
                    w = i;
            }
            if (chosen != NULL && r->lc[w * n_0 + p] - r->lc[chosen[p] * n_0 + p] < near)
                w = chosen[p];
            r->winner[p] = (uint32_t)w;
            r->l0[p] = tanh(r->lc[w * n_0 + p]);
        }
    }
    for (size_t t = 0; t < n_1; t++) {
        double sum = 0.0;
        for (size_t p = 0; p < n_0; p++)
            sum += r->l0[p] * r->w01[p * n_1 + t];
        r->l1[t] = tanh(sum);
    }
    double total = 0.0, highest = (double)-INFINITY;
    for (size_t m = 0; m < n_2; m++) {
        r->l2[m] = 0.0;
        for (size_t t = 0; t < n_1; t++)
            r->l2[m] += r->l1[t] * r->w12[t * n_2 + m];
        highest = fmax(highest, r->l2[m]);
    }
    for (size_t m = 0; m < n_2; m++)
        total += r->l2[m] = exp(r->l2[m] - highest);
    for (size_t m = 0; m < n_2; m++)
        r->l2[m] /= total;
}

/* x of pixels that need not be whole. */
static inline void reference_input(struct reference *r, const struct settings *settings, const double *pixels)
{
    const size_t n = r->shape.n_input;
    double mean = 0.0, variance = 0.0, scale = 1.0 / 255.0;
    for (size_t i = 0; i < n && settings->normalize != NORMALIZE_NONE; i++)
        mean += pixels[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        variance += (pixels[i] - mean) * (pixels[i] - mean) / (double)n;
    if (settings->normalize == NORMALIZE_STD)
        scale = NORMALIZE_DEVIATION / fmax(sqrt(variance), NORMALIZE_LEAST);
    for (size_t i = 0; i < n; i++)
        r->x[i] = (pixels[i] - mean) * scale - (double)settings->mean;
}

static inline void reference_forward(struct reference *r, const struct settings *settings, const uint8_t *pixels,
                                     const uint32_t *chosen, double near)
{
    double *exact = reference_doubles(r->shape.n_input);
    for (size_t i = 0; i < r->shape.n_input; i++)
        exact[i] = pixels[i];
    reference_input(r, settings, exact);
    free(exact);
    reference_forward_x(r, chosen, near);
}

static inline double reference_loss(const struct reference *r, uint32_t label)
{
    double sum = 0.0;
    for (uint32_t m = 0; m < r->n_2; m++) {
        double residue = r->l2[m] - (m == label ? 1.0 : 0.0);
        sum += residue * residue;
    }
    return sum / 2.0;
}

/* The three gradients, after reference_forward(). D_s' is multiplied out as the matrix that it is. */
static inline void reference_backward(struct reference *r, enum gradient gradient, uint32_t label)
{
    const struct shape *s = &r->shape;
    const size_t n_0 = s->n_0, n_1 = s->n_1, n_2 = r->n_2;
    double *d2 = reference_doubles(n_2), *d1 = reference_doubles(n_1), *d0 = reference_doubles(n_0);
    for (size_t m = 0; m < n_2; m++)
        for (size_t j = 0; j < n_2; j++) {
            double residue = r->l2[j] - (j == label ? 1.0 : 0.0);
            double slope = gradient == GRADIENT_JACOBIAN ? (j == m ? r->l2[m] : 0.0) - r->l2[j] * r->l2[m]
                           : j == m                      ? r->l2[m] * (1.0 - r->l2[m])
                                                         : 0.0;
            d2[m] += residue * slope;
        }
    for (size_t t = 0; t < n_1; t++) {
        for (size_t m = 0; m < n_2; m++) {
            r->dw12[t * n_2 + m] = r->l1[t] * d2[m];
            d1[t] += d2[m] * r->w12[t * n_2 + m];
        }
        d1[t] *= 1.0 - r->l1[t] * r->l1[t];
    }
    memset(r->dk, 0, (size_t)s->kernels * s->n_k * sizeof *r->dk);
    for (size_t p = 0; p < n_0; p++) {
        for (size_t t = 0; t < n_1; t++) {
            r->dw01[p * n_1 + t] = r->l0[p] * d1[t];
            d0[p] += d1[t] * r->w01[p * n_1 + t];
        }
        d0[p] *= 1.0 - r->l0[p] * r->l0[p];
        for (size_t m = 0; m < s->n_k; m++)
            r->dk[r->winner[p] * s->n_k + m] += d0[p] * r->f[m * n_0 + p];
    }
    free(d2);
    free(d1);
    free(d0);
}

static inline void reference_descend(struct reference *r, double rate)
{
    for (size_t i = 0; i < reference_count(r); i++)
        r->k[i] -= rate * r->dk[i];
}

#endif
