/* net.c - see net.h: where the parameters lie, what they are at first, and the workspace. The arithmetic itself is core/arith/arith.c. */
#include "core/net.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arith/arith.h"

/* ---- parameters ---- */

size_t net_floats(const struct shape *shape, uint32_t n_2)
{
    return (size_t)shape->n_k * lanes_up(shape->kernels) + (size_t)shape->n_0 * lanes_up(shape->n_1) +
           (size_t)shape->n_1 * lanes_up(n_2);
}

struct net net_view(const struct shape *shape, uint32_t n_2, float *block)
{
    struct net net = {
        .shape = *shape,
        .n_2 = n_2,
        .ld_k = lanes_up(shape->kernels),
        .ld_1 = lanes_up(shape->n_1),
        .ld_2 = lanes_up(n_2),
        .k = block,
    };
    net.w01 = net.k + (size_t)shape->n_k * net.ld_k;
    net.w12 = net.w01 + (size_t)shape->n_0 * net.ld_1;
    return net;
}

/* ---- initial weights ---- */

/* SplitMix64's finalizer (Steele, Lea, Flood 2014): a bijection that mixes all bits. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

enum tensor { TENSOR_K = 1, TENSOR_W01, TENSOR_W12 };

/* A nearly normal number of mean 0 and standard deviation 1: the sum of four 16-bit uniforms (Irwin-Hall), by counter, so
 * that it depends on nothing but its arguments. The sum is an integer: no rounding until the one product. */
static float normal(uint64_t seed, enum tensor tensor, uint32_t row, uint32_t column)
{
    uint64_t bits = mix(mix(seed + 0x9e3779b97f4a7c15u * (uint64_t)tensor) + ((uint64_t)row << 32 | column));
    int32_t sum = 0;
    for (int i = 0; i < 4; i++, bits >>= 16)
        sum += (int32_t)(bits & 0xffff);
    const float sigma = 37837.227F; /* sqrt(4 (2^32 - 1) / 12) */
    return (float)(2 * sum - 4 * 65535) * 0.5F / sigma;
}

void net_init(struct net *net, uint64_t seed)
{
    const struct shape *s = &net->shape;
    memset(net->k, 0, net_floats(s, net->n_2) * sizeof(float));
    if (s->n_k > 0) {
        const float scale = 0.3F / sqrtf((float)s->n_k);
        for (uint32_t m = 0; m < s->n_k; m++)
            for (uint32_t i = 0; i < s->kernels; i++)
                net->k[m * net->ld_k + i] = scale * normal(seed, TENSOR_K, i, m);
    }
    const float scale = 0.7F / sqrtf((float)s->n_0);
    for (uint32_t p = 0; p < s->n_0; p++)
        for (uint32_t t = 0; t < s->n_1; t++)
            net->w01[net_row(s->n_0, p) * net->ld_1 + t] = scale * normal(seed, TENSOR_W01, p, t);
    for (uint32_t m = 0; m < net->n_2; m++)
        net_init_class(net, seed, m);
}

void net_init_class(struct net *net, uint64_t seed, uint32_t class_index)
{
    const float scale = 1.84F / sqrtf((float)net->shape.n_1);
    for (uint32_t t = 0; t < net->shape.n_1; t++)
        net->w12[net_row(net->shape.n_1, t) * net->ld_2 + class_index] =
            scale * normal(seed, TENSOR_W12, t, class_index);
}

/* ---- the world's layout ---- */

void net_export(const struct net *net, float *k, float *w01, float *w12)
{
    const struct shape *s = &net->shape;
    for (uint32_t i = 0; i < s->kernels; i++)
        for (uint32_t m = 0; m < s->n_k; m++)
            *k++ = net->k[m * net->ld_k + i];
    for (uint32_t p = 0; p < s->n_0; p++, w01 += s->n_1)
        memcpy(w01, net->w01 + net_row(s->n_0, p) * net->ld_1, s->n_1 * sizeof *w01);
    for (uint32_t t = 0; t < s->n_1; t++, w12 += net->n_2)
        memcpy(w12, net->w12 + net_row(s->n_1, t) * net->ld_2, net->n_2 * sizeof *w12);
}

void net_import(struct net *net, const float *k, const float *w01, const float *w12)
{
    const struct shape *s = &net->shape;
    memset(net->k, 0, net_floats(s, net->n_2) * sizeof(float));
    for (uint32_t i = 0; i < s->kernels; i++)
        for (uint32_t m = 0; m < s->n_k; m++)
            net->k[m * net->ld_k + i] = *k++;
    for (uint32_t p = 0; p < s->n_0; p++, w01 += s->n_1)
        memcpy(net->w01 + net_row(s->n_0, p) * net->ld_1, w01, s->n_1 * sizeof *w01);
    for (uint32_t t = 0; t < s->n_1; t++, w12 += net->n_2)
        memcpy(net->w12 + net_row(s->n_1, t) * net->ld_2, w12, net->n_2 * sizeof *w12);
}

/* ---- workspace ---- */

/* One block for all arrays: a piece is cut from the front of what is left, whole cache lines each. */
struct cutter {
    char *at; /* NULL in the first round, which only measures */
    size_t used;
};

static void *cut(struct cutter *cutter, size_t n, size_t size)
{
    void *piece = cutter->at == NULL ? NULL : cutter->at + cutter->used;
    cutter->used += (n * size + 63) / 64 * 64;
    return piece;
}

/* Reads and writes of whole vectors may run this many floats over the end of image and planes. */
#define OVERRUN 80u

static void cut_all(struct workspace *ws, struct cutter *cutter, const struct shape *s, uint32_t n_2_max)
{
    const size_t n_0 = lanes_up(s->n_0), n_1 = lanes_up(s->n_1), n_2 = lanes_up(n_2_max);
    const size_t widest = n_1 > n_2 ? n_1 : n_2;
    const size_t n_planes = (size_t)s->channels * s->kernel_width * s->height * s->out_w;
    ws->image = cut(cutter, s->n_input + OVERRUN, sizeof(float));
    ws->planes = cut(cutter, s->kernels == 0 ? 0 : n_planes + OVERRUN, sizeof(float));
    ws->l0 = cut(cutter, n_0, sizeof(float));
    ws->winner = cut(cutter, n_0, sizeof(uint32_t));
    ws->l1 = cut(cutter, n_1, sizeof(float));
    ws->l2 = cut(cutter, n_2, sizeof(float));
    ws->d0 = cut(cutter, n_0, sizeof(float));
    ws->d1 = cut(cutter, n_1, sizeof(float));
    ws->d2 = cut(cutter, n_2, sizeof(float));
    ws->u = cut(cutter, widest, sizeof(float));
    ws->chains = cut(cutter, 4 * widest, sizeof(float));
    ws->l0_rows = cut(cutter, n_0, sizeof(float));
    ws->l1_rows = cut(cutter, n_1, sizeof(float));
    ws->g_rows = cut(cutter, n_0 > n_1 ? n_0 : n_1, sizeof(float));
    ws->batch_l0 = cut(cutter, NET_BATCH * n_0, sizeof(float));
    ws->batch_l1 = cut(cutter, NET_BATCH * n_1, sizeof(float));
    ws->batch_l2 = cut(cutter, NET_BATCH * n_2, sizeof(float));
    ws->vector = cut(cutter, n_1 + lanes_up(s->n_input), sizeof(int16_t));
    ws->order = cut(cutter, n_0, sizeof(uint32_t));
    ws->ends = cut(cutter, (size_t)s->kernels * 4, sizeof(uint32_t));
    ws->frame = cut(cutter, s->n_k, sizeof(uint32_t));
    ws->patch = cut(cutter, s->kernels == 0 ? 0 : s->n_0, sizeof(uint32_t));
    ws->row = cut(cutter, (size_t)s->channels * s->kernel_height, sizeof(uint32_t));
}

/* The three tables that say where things lie. A plane (c, kx) holds, phase by phase, the rows y = phase, phase + stride, ..;
 * row ky of a kernel at stride s therefore begins at the first row of phase ky mod s, plus ky / s. */
static void fill_tables(struct workspace *ws, const struct shape *s)
{
    const uint32_t plane = s->height * s->out_w;
    for (uint32_t c = 0, m = 0; c < s->channels; c++)
        for (uint32_t ky = 0; ky < s->kernel_height; ky++) {
            uint32_t row = ky / s->stride;
            for (uint32_t phase = 0; phase < ky % s->stride; phase++)
                row += (s->height - phase + s->stride - 1) / s->stride;
            for (uint32_t kx = 0; kx < s->kernel_width; kx++)
                ws->frame[m++] = (c * s->kernel_width + kx) * plane + row * s->out_w;
            ws->row[c * s->kernel_height + ky] = (c * s->height + ky) * s->width;
        }
    for (uint32_t oy = 0; oy < s->out_h; oy++)
        for (uint32_t ox = 0; ox < s->out_w; ox++)
            ws->patch[oy * s->out_w + ox] = (oy * s->width + ox) * s->stride;
}

struct workspace *workspace_create(const struct shape *shape, uint32_t n_2_max)
{
    struct workspace ws = {.n_2_max = n_2_max};
    struct cutter cutter = {.used = (sizeof ws + 63) / 64 * 64};
    cut_all(&ws, &cutter, shape, n_2_max);
    char *block = aligned_alloc(64, cutter.used);
    if (block == NULL)
        return NULL;
    memset(block, 0, cutter.used);
    cutter = (struct cutter){.at = block, .used = (sizeof ws + 63) / 64 * 64};
    cut_all(&ws, &cutter, shape, n_2_max);
    if (shape->kernels > 0)
        fill_tables(&ws, shape);
    memcpy(block, &ws, sizeof ws);
    return (struct workspace *)(void *)block;
}

void workspace_free(struct workspace *ws)
{
    free(ws);
}

/* ---- the team ---- */

void workspace_share(struct workspace *ws, struct team *team, size_t least)
{
    assert(team == NULL || team->n >= 1);
    ws->team = team;
    ws->team_least = least;
}

size_t net_largest_phase(const struct shape *s, uint32_t n_2)
{
    const size_t phases[] = {net_weight_conv(s), net_weight_kernels(s), (size_t)s->n_0 * lanes_up(s->n_1),
                             (size_t)s->n_1 * lanes_up(n_2)};
    size_t largest = 0;
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        largest = phases[i] > largest ? phases[i] : largest;
    return largest;
}

/* ---- the passes ---- */

void net_forward(const struct arith *arith, const struct net *net, const struct settings *settings,
                 const uint8_t *pixels, struct workspace *ws)
{
    arith->forward(net, settings, pixels, ws);
}

void net_forward_batch(const struct arith *arith, const struct net *net, const struct settings *settings,
                       const uint8_t *pixels, size_t n, struct workspace *ws)
{
    assert(n >= 1 && n <= NET_BATCH);
    if (n == NET_BATCH) {
        arith->forward_batch(net, settings, pixels, ws);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        arith->forward(net, settings, pixels + i * net->shape.n_input, ws);
        memcpy(ws->batch_l2 + i * net->ld_2, ws->l2, net->ld_2 * sizeof *ws->l2);
    }
}

uint32_t net_argmax(const struct net *net, const float *l2)
{
    uint32_t best = 0;
    for (uint32_t m = 1; m < net->n_2; m++)
        if (l2[m] > l2[best])
            best = m;
    return best;
}

float net_loss(const struct arith *arith, const struct net *net, const struct workspace *ws, uint32_t label)
{
    return arith->loss(net, ws, label);
}

void net_step(const struct arith *arith, struct net *net, const struct settings *settings, uint32_t label,
              struct workspace *ws)
{
    arith->descend(net, net, settings->gradient, settings->rate, settings->rate * settings->output_rate, label, ws);
}

void net_gradient(const struct arith *arith, const struct net *net, enum gradient gradient, uint32_t label,
                  struct net *g, struct workspace *ws)
{
    arith->descend(g, net, gradient, -1.0F, -1.0F, label, ws);
}
