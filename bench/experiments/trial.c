/* trial.c - see trial.h */
#include "bench/experiments/trial.h"

#include <stdlib.h>
#include <string.h>

#include "core/draw.h"

#define DECAY_EVERY 64

struct trial {
    const struct rules *rules;
    const struct images *images;
    struct learner *learner;
    struct net velocity, gradient; /* for momentum and factors on the rate */
    float *block;                  /* both of them                         */
    uint64_t draws;                /* of displacements in trial_again()    */
};

/* ---- making it ---- */

static bool is_plain(const struct rules *r)
{
    return r->momentum == 0 && r->rate_k == 1 && r->rate_w01 == 1 && r->rate_w12 == 1;
}

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
    if (!is_plain(rules) && event.as.create.settings.rehearsal > 0) {
        err_set(err, ERR_USAGE, "momentum and rates for each layer are tried without rehearsal");
        return NULL;
    }
    struct trial *t = calloc(1, sizeof *t);
    struct learner *l = learner_create(&event, NULL, 0, err);
    if (t == NULL || l == NULL) {
        free(t);
        learner_free(l);
        return NULL;
    }
    const size_t n = lanes_up(net_floats(&l->shape, n_classes));
    *t = (struct trial){.rules = rules, .images = images, .learner = l};
    t->block = aligned_alloc(64, 2 * n * sizeof *t->block);
    if (t->block == NULL) {
        err_memory(err, "a trial");
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
    free(t);
}

/* ---- the rules that convd does not have ---- */

static void descend(float *w, float *v, const float *g, size_t n, double momentum, double rate)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = (float)momentum * v[i] + g[i];
        w[i] -= (float)rate * v[i];
    }
}

/* After a step at rate 0, which has left behind what the gradient is made of. */
static void descend_each(struct trial *t, uint32_t label, double rate)
{
    const struct rules *r = t->rules;
    struct learner *l = t->learner;
    net_gradient(l->arith, &l->net, l->settings.gradient, label, &t->gradient, l->ws);
    descend(l->net.k, t->velocity.k, t->gradient.k, l->shape.n_k * l->net.ld_k, r->momentum, rate * r->rate_k);
    descend(l->net.w01, t->velocity.w01, t->gradient.w01, l->shape.n_0 * l->net.ld_1, r->momentum, rate * r->rate_w01);
    descend(l->net.w12, t->velocity.w12, t->gradient.w12, l->shape.n_1 * l->net.ld_2, r->momentum, rate * r->rate_w12);
}

static void decay(struct trial *t, uint64_t step_before, double rate)
{
    const double keep = 1 - DECAY_EVERY * rate * t->rules->weight_decay;
    if (t->learner->step / DECAY_EVERY != step_before / DECAY_EVERY)
        multiply_each(&t->learner->net, keep, keep, keep);
}

/* ---- the door ---- */

bool trial_learn(struct trial *t, uint32_t i)
{
    struct learner *l = t->learner;
    struct sample sample = {.label = t->images->labels[i], .pixels = t->images->pixels + (size_t)i * l->shape.n_input};
    struct event event = {.kind = EVENT_TRAIN, .revision = l->revision + 1, .as.train = {1, &sample}};
    struct err err;
    const uint64_t step = l->step;
    const double rate = (double)settings_rate(&l->settings, step);
    const struct settings settings = l->settings;
    if (!is_plain(t->rules))
        l->settings.rate = 0.0F;
    if (learner_apply(l, &event, &err) != 0)
        abort(); /* a label that was checked */
    l->settings = settings;
    if (!is_plain(t->rules))
        descend_each(t, sample.label, rate);
    decay(t, step, rate);
    return sample.predicted == sample.label;
}

void trial_again(struct trial *t, uint32_t i, double rate)
{
    struct learner *l = t->learner;
    struct err err;
    const uint64_t step = l->step;
    const struct rehearse_step how = {.rate = is_plain(t->rules) ? (float)rate : 0.0F,
                                      .jitter = l->settings.jitter,
                                      .rotation = l->settings.rotation,
                                      .draw = draw_bits(l->settings.seed, ++t->draws)};
    if (learner_rehearse(l, t->images->labels[i], t->images->pixels + (size_t)i * l->shape.n_input, &how, &err) != 0)
        abort();
    if (!is_plain(t->rules))
        descend_each(t, t->images->labels[i], rate);
    decay(t, step, rate);
}

double trial_test(struct trial *t, const struct images *images, uint32_t low, uint32_t high)
{
    const struct learner *l = t->learner;
    uint32_t right = 0, n = 0;
    for (uint32_t i = 0; i < images->n; i++) {
        if (images->labels[i] < low || images->labels[i] > high)
            continue;
        net_forward(l->arith, &l->net, &l->settings, images->pixels + (size_t)i * l->shape.n_input, l->ws);
        right += net_argmax(&l->net, l->ws->l2) == images->labels[i];
        n++;
    }
    return n > 0 ? 100.0 * right / n : 0;
}
