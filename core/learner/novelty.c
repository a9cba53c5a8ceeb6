/* novelty.c - see novelty.h */
#include "core/learner/novelty.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arith/arith.h"

/* ---- memory ---- */

static uint32_t images_of_class(uint32_t n_classes, size_t ld)
{
    const size_t most = NOVELTY_BYTES / ((n_classes > 0 ? n_classes : 1) * ld * sizeof(int16_t));
    return most < NOVELTY_IMAGES ? (uint32_t)most : NOVELTY_IMAGES;
}

/* Slot i * used / n of the class, i = 0 .. n - 1. */
static void take_class(struct novelty *novelty, const struct replay_buffer *buffer, uint32_t c)
{
    const uint64_t used = replay_buffer_used(buffer, c), n = used < novelty->most ? used : novelty->most;
    uint8_t *pixels = novelty->pixels + (size_t)c * novelty->most * novelty->n_input;
    for (uint64_t i = 0; i < n; i++)
        memcpy(pixels + i * novelty->n_input, replay_buffer_pixels(buffer, c, (uint32_t)(i * used / n)),
               novelty->n_input);
    novelty->n[c] = (uint32_t)n;
}

struct novelty *novelty_create(const struct learner *l)
{
    struct novelty *novelty = calloc(1, sizeof *novelty);
    if (novelty == NULL)
        return NULL;
    novelty->n_classes = l->n_classes;
    novelty->n_input = l->shape.n_input;
    novelty->ld = lanes_up(l->shape.n_1) + lanes_up(l->shape.n_input);
    novelty->most = images_of_class(l->n_classes, novelty->ld);
    const size_t n = (size_t)l->n_classes * novelty->most + 1; /* malloc(0) may give NULL */
    novelty->n = calloc((size_t)l->n_classes + 1, sizeof *novelty->n);
    novelty->pixels = malloc(n * novelty->n_input);
    novelty->vectors = aligned_alloc(64, (n * novelty->ld * sizeof *novelty->vectors + 63) / 64 * 64);
    novelty->nearness = malloc(n * sizeof *novelty->nearness);
    if (novelty->n == NULL || novelty->pixels == NULL || novelty->vectors == NULL || novelty->nearness == NULL) {
        novelty_free(novelty);
        return NULL;
    }
    for (uint32_t c = 0; c < l->n_classes; c++)
        take_class(novelty, l->buffer, c);
    return novelty;
}

void novelty_free(struct novelty *novelty)
{
    if (novelty == NULL)
        return;
    free(novelty->n);
    free(novelty->pixels);
    free(novelty->vectors);
    free(novelty->nearness);
    free(novelty);
}

/* ---- vectors ---- */

/* In 16 chains, then one after the other. */
static float square_of(const float *z, size_t n)
{
    float chains[LANES] = {0.0F}, sum = 0.0F;
    for (size_t i = 0; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            chains[j] += z[i + j] * z[i + j];
    for (size_t j = 0; j < LANES; j++)
        sum += chains[j];
    for (size_t i = n / LANES * LANES; i < n; i++)
        sum += z[i] * z[i];
    return sum;
}

/* z at that length, and zeros to the end of its lanes. */
static void part_of(int16_t *v, const float *z, size_t n, float length)
{
    const float square = square_of(z, n);
    const float factor = square > 0.0F ? length / sqrtf(square) : 0.0F;
    for (size_t i = 0; i < n; i++)
        v[i] = (int16_t)(z[i] * factor);
    memset(v + n, 0, (lanes_up(n) - n) * sizeof *v);
}

/* v(z), after net_forward() of z: the two parts begin at whole lanes. */
static void vector_of(int16_t *v, const struct learner *l, const struct workspace *ws)
{
    const size_t ld_1 = lanes_up(l->shape.n_1), n_input = l->shape.n_input;
    part_of(v, ws->l1, l->shape.n_1, NOVELTY_ONE);
    part_of(v + ld_1, l->shape.kernels == 0 ? ws->l0 : ws->image, n_input, NOVELTY_ONE * sqrtf(NOVELTY_INPUT));
}

/* The largest of v . y over the n vectors but number `but`. */
static int32_t nearness_of(const struct arith *arith, const int16_t *v, const int16_t *vectors, uint32_t n, size_t ld,
                           uint32_t but)
{
    int32_t dots[NOVELTY_IMAGES], nearest = INT32_MIN;
    arith->dots(dots, vectors, v, n, ld);
    for (uint32_t i = 0; i < n; i++)
        if (i != but && dots[i] > nearest)
            nearest = dots[i];
    return nearest;
}

/* Into n of them, ascending. */
static void insert(int32_t *nearness, uint32_t n, int32_t one)
{
    for (; n > 0 && nearness[n - 1] > one; n--)
        nearness[n] = nearness[n - 1];
    nearness[n] = one;
}

void novelty_measure(struct novelty *novelty, const struct learner *l, struct workspace *ws)
{
    assert(novelty->n_classes == l->n_classes);
    for (uint32_t c = 0; c < novelty->n_classes; c++) {
        const size_t first = (size_t)c * novelty->most, ld = novelty->ld;
        int16_t *vectors = novelty->vectors + first * ld;
        int32_t *nearness = novelty->nearness + first;
        for (uint32_t i = 0; i < novelty->n[c]; i++) {
            net_forward(l->arith, &l->net, &l->settings, novelty->pixels + (first + i) * novelty->n_input, ws);
            vector_of(vectors + i * ld, l, ws);
        }
        for (uint32_t i = 0; i < novelty->n[c]; i++)
            insert(nearness, i, nearness_of(l->arith, vectors + i * ld, vectors, novelty->n[c], ld, i));
    }
}

/* How many of them, ascending, are no larger. */
static uint32_t count_to(const int32_t *nearness, uint32_t n, int32_t largest)
{
    uint32_t count = 0;
    while (count < n && nearness[count] <= largest)
        count++;
    return count;
}

float novelty_known(const struct novelty *novelty, const struct learner *l, uint32_t c, struct workspace *ws)
{
    const uint32_t n = novelty->n[c];
    const size_t first = (size_t)c * novelty->most;
    if (n < NOVELTY_LEAST)
        return NAN;
    vector_of(ws->vector, l, ws);
    const int32_t nearness =
        nearness_of(l->arith, ws->vector, novelty->vectors + first * novelty->ld, n, novelty->ld, n);
    return (float)count_to(novelty->nearness + first, n, nearness) / (float)n;
}
