/* trial.c - see trial.h */
#include "bench/experiments/trial.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/draw.h"

#define LEAST_RATE  10.0 /* the falling rate stays at a tenth of what it was */
#define DECAY_EVERY 64

struct slot {
    uint32_t image;
    float doubt;
};

struct trial {
    const struct rules *rules;
    const struct images *images;
    struct learner *learner;
    struct net velocity, gradient; /* for momentum and factors on the rate */
    float *block;                  /* both of them                         */
    struct slot *slots;            /* [classes][room]                      */
    uint32_t *seen;                /* [classes]                            */
    uint64_t seed, draws;
};

/* ---- chance, by counter ---- */

static uint64_t draw(struct trial *t)
{
    return draw_bits(t->seed, ++t->draws);
}

static uint32_t pick(struct trial *t, uint32_t n)
{
    return (uint32_t)draw_below(draw(t), n);
}

/* ---- making it ---- */

static void multiply(float *v, size_t n, double factor)
{
    for (size_t i = 0; factor != 1 && i < n; i++)
        v[i] *= (float)factor;
}

static void multiply_each(struct net *net, double k, double w01, double w12)
{
    multiply(net->k, net->shape.n_k * net->ld_k, k);
    multiply(net->w01, net->shape.n_0 * net->ld_1, w01);
    multiply(net->w12, net->shape.n_1 * net->ld_2, w12);
}

struct trial *trial_create(const struct event *create, const struct rules *rules, const struct images *images,
                           uint64_t seed, struct err *err)
{
    struct event event = *create;
    event.as.create.settings.seed = seed;
    const uint32_t n_classes = event.as.create.n_classes;
    struct trial *t = calloc(1, sizeof *t);
    struct learner *l = learner_create(&event, NULL, 0, err);
    if (t == NULL || l == NULL) {
        free(t);
        learner_free(l);
        return NULL;
    }
    const size_t n = lanes_up(net_floats(&l->shape, n_classes));
    *t = (struct trial){.rules = rules, .images = images, .learner = l, .seed = seed};
    t->block = aligned_alloc(64, 2 * n * sizeof *t->block);
    t->slots = calloc((size_t)n_classes * rules->room, sizeof *t->slots);
    t->seen = calloc(n_classes, sizeof *t->seen);
    if (t->block == NULL || t->slots == NULL || t->seen == NULL) {
        err_set(err, ERR_MEMORY, "no memory for a trial");
        trial_free(t);
        return NULL;
    }
    memset(t->block, 0, 2 * n * sizeof *t->block);
    t->velocity = net_view(&l->shape, n_classes, t->block);
    t->gradient = net_view(&l->shape, n_classes, t->block + n);
    multiply_each(&l->net, rules->scale_k, rules->scale_w01, rules->scale_w12);
    return t;
}

void trial_free(struct trial *t)
{
    if (t == NULL)
        return;
    learner_free(t->learner);
    free(t->block);
    free(t->slots);
    free(t->seen);
    free(t);
}

/* ---- a step ---- */

static double rate_now(const struct trial *t)
{
    const struct rules *r = t->rules;
    if (r->fall <= 0)
        return r->rate;
    double by = 1 + (double)t->learner->step / r->fall;
    if (r->root)
        return r->rate / sqrt(by);
    return r->rate / (by < LEAST_RATE ? by : LEAST_RATE);
}

static void descend(float *w, float *v, const float *g, size_t n, double momentum, double rate)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = (float)momentum * v[i] + g[i];
        w[i] -= (float)rate * v[i];
    }
}

static bool is_plain(const struct rules *r)
{
    return r->momentum == 0 && r->rate_k == 1 && r->rate_w01 == 1 && r->rate_w12 == 1;
}

/* One step on pixels. Leaves l^2 as it was before the step in the workspace. */
static void step(struct trial *t, const uint8_t *pixels, uint32_t label, double rate, float jitter, float rotation)
{
    const struct rules *r = t->rules;
    struct learner *l = t->learner;
    struct err err;
    const struct rehearse_step how = {
        .rate = is_plain(r) ? (float)rate : 0.0F, .jitter = jitter, .rotation = rotation, .draw = draw(t)};
    if (learner_rehearse(l, label, pixels, &how, &err) != 0)
        abort(); /* a label that was checked */
    if (!is_plain(r)) {
        net_gradient(l->arith, &l->net, l->settings.gradient, label, &t->gradient, l->ws);
        descend(l->net.k, t->velocity.k, t->gradient.k, l->shape.n_k * l->net.ld_k, r->momentum, rate * r->rate_k);
        descend(l->net.w01, t->velocity.w01, t->gradient.w01, l->shape.n_0 * l->net.ld_1, r->momentum,
                rate * r->rate_w01);
        descend(l->net.w12, t->velocity.w12, t->gradient.w12, l->shape.n_1 * l->net.ld_2, r->momentum,
                rate * r->rate_w12);
    }
    if (r->weight_decay > 0 && l->step % DECAY_EVERY == 0) {
        double keep = 1 - DECAY_EVERY * rate * r->weight_decay;
        multiply_each(&l->net, keep, keep, keep);
    }
}

static float doubt(const struct trial *t, uint32_t label)
{
    const struct learner *l = t->learner;
    const float p = l->ws->l2[label];
    if (t->rules->doubt == DOUBT_LOSS)
        return net_loss(l->arith, &l->net, l->ws, label);
    if (t->rules->doubt == DOUBT_MIDDLE)
        return p * (1 - p);
    float sum = 0;
    for (uint32_t m = 0; m < l->net.n_2; m++)
        sum += l->ws->d2[m] * l->ws->d2[m];
    return sum;
}

/* ---- the pool ---- */

static uint32_t filled(const struct trial *t, uint32_t class_index)
{
    return t->seen[class_index] < t->rules->room ? t->seen[class_index] : t->rules->room;
}

static void keep(struct trial *t, uint32_t i, uint32_t label, float how_doubtful)
{
    const uint32_t room = t->rules->room;
    uint32_t at = t->seen[label]++;
    if (at >= room)
        at = pick(t, t->rules->reservoir ? at + 1 : room);
    if (at < room)
        t->slots[(size_t)label * room + at] = (struct slot){i, how_doubtful};
}

static void rehearse(struct trial *t)
{
    const uint32_t n_classes = t->learner->n_classes;
    uint32_t label = pick(t, n_classes);
    while (t->seen[label] == 0)
        label = pick(t, n_classes);
    struct slot *slots = t->slots + (size_t)label * t->rules->room, *chosen = NULL;
    for (uint32_t n = 0; n < t->rules->draws; n++) {
        struct slot *other = &slots[pick(t, filled(t, label))];
        chosen = chosen == NULL || other->doubt > chosen->doubt ? other : chosen;
    }
    assert(chosen != NULL); /* draws is at least 1 */
    trial_again(t, chosen->image, rate_now(t));
    chosen->doubt = doubt(t, label);
}

/* ---- the door ---- */

bool trial_learn(struct trial *t, uint32_t i)
{
    struct learner *l = t->learner;
    const uint32_t label = t->images->labels[i];
    step(t, t->images->pixels + (size_t)i * l->shape.n_input, label, rate_now(t), 0, 0);
    const bool right = net_argmax(&l->net, l->ws->l2) == label;
    if (t->rules->rehearsal > 0)
        keep(t, i, label, doubt(t, label));
    for (uint32_t n = 0; n < t->rules->rehearsal; n++)
        rehearse(t);
    return right;
}

void trial_again(struct trial *t, uint32_t i, double rate)
{
    step(t, t->images->pixels + (size_t)i * t->learner->shape.n_input, t->images->labels[i], rate, t->rules->jitter,
         t->rules->rotation);
}

double trial_test(struct trial *t, const struct images *images, uint32_t low, uint32_t high)
{
    const struct learner *l = t->learner;
    uint32_t right = 0, n = 0;
    for (uint32_t i = 0; i < images->n; i++) {
        if (images->labels[i] < low || images->labels[i] > high)
            continue;
        net_forward(l->arith, &l->net, l->settings.mean, images->pixels + (size_t)i * l->shape.n_input, l->ws);
        right += net_argmax(&l->net, l->ws->l2) == images->labels[i];
        n++;
    }
    return n > 0 ? 100.0 * right / n : 0;
}
