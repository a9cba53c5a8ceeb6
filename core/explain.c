/* explain.c - see explain.h. Plain loops in one order: the same bits on every machine, without the lanes. */
#include "core/explain.h"

#include <assert.h>
#include <string.h>

/* d = (d_out w^T), of a dense layer whose rows lie as net_row() says. */
static void dense_back(float *d, const float *w, const float *d_out, uint32_t n_in, uint32_t n_out, size_t ld)
{
    for (uint32_t p = 0; p < n_in; p++) {
        const float *row = w + net_row(n_in, p) * ld;
        float sum = 0.0F;
        for (uint32_t t = 0; t < n_out; t++)
            sum += d_out[t] * row[t];
        d[p] = sum;
    }
}

static void through_tanh(float *d, const float *l, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        d[i] *= 1.0F - l[i] * l[i];
}

/* Adds what position p passes on to the pixels that its kernel met. */
static void through_kernel(float *g_x, const struct net *net, const struct workspace *ws, uint32_t p)
{
    const struct shape *s = &net->shape;
    const float *k = net->k + ws->winner[p];
    const size_t at = (size_t)(p / s->out_w) * s->stride * s->width + (size_t)(p % s->out_w) * s->stride;
    const float d = ws->d0[p];
    for (uint32_t c = 0; c < s->channels; c++)
        for (uint32_t ky = 0; ky < s->kernel_height; ky++) {
            float *row = g_x + ((size_t)c * s->height + ky) * s->width + at;
            for (uint32_t kx = 0; kx < s->kernel_width; kx++, k += net->ld_k)
                row[kx] += d * *k;
        }
}

/* What each pixel moves, itself and by the image's mean and standard deviation: explain.h. */
static void through_input(float *g, const float *x, const struct input *how, uint32_t n)
{
    const double at_mean = (double)how->a * how->mean + (double)how->b;
    double sum = 0.0, product = 0.0, by_mean = 0.0, by_deviation = 0.0;
    if (how->normalize != NORMALIZE_NONE) {
        for (uint32_t i = 0; i < n; i++) {
            sum += (double)g[i];
            product += (double)g[i] * ((double)x[i] - at_mean);
        }
        by_mean = sum / n;
        if (how->deviation > 0.0)
            by_deviation = product / (n * NORMALIZE_DEVIATION * NORMALIZE_DEVIATION);
    }
    for (uint32_t i = 0; i < n; i++) {
        const double slope = (double)how->a * ((double)g[i] - by_mean - by_deviation * ((double)x[i] - at_mean));
        g[i] = (float)(slope < 0.0 ? -slope : slope);
    }
}

void net_explain(const struct net *net, uint32_t class_index, float *saliency, struct workspace *ws)
{
    const struct shape *s = &net->shape;
    assert(class_index < net->n_2);
    for (uint32_t m = 0; m < net->n_2; m++)
        ws->d2[m] = ws->l2[class_index] * ((m == class_index ? 1.0F : 0.0F) - ws->l2[m]);
    dense_back(ws->d1, net->w12, ws->d2, s->n_1, net->n_2, net->ld_2);
    through_tanh(ws->d1, ws->l1, s->n_1);
    if (s->kernels == 0) {
        dense_back(saliency, net->w01, ws->d1, s->n_0, s->n_1, net->ld_1);
    } else {
        dense_back(ws->d0, net->w01, ws->d1, s->n_0, s->n_1, net->ld_1);
        through_tanh(ws->d0, ws->l0, s->n_0);
        memset(saliency, 0, s->n_input * sizeof *saliency);
        for (uint32_t p = 0; p < s->n_0; p++)
            through_kernel(saliency, net, ws, p);
    }
    through_input(saliency, s->kernels == 0 ? ws->l0 : ws->image, &ws->input, s->n_input);
}
