/* test_descent.c - the guarded step: what is refused, what is clipped, and that nothing else is touched. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "core/descent.h"
#include "tests/core/models.h"
#include "tests/core/reference.h"
#include "tests/core/run.h"

static void pixels_of(uint8_t *pixels, uint32_t n, uint64_t seed)
{
    struct chance chance = {.state = seed};
    chance_pixels(&chance, pixels, n);
}

static size_t n_bytes(const struct learner *l)
{
    return net_floats(&l->shape, l->n_classes) * sizeof(float);
}

/* All of w12 just below the bound, where the softmax does not saturate, since all logits are equal. */
static struct learner *on_the_edge(const struct arith *arith)
{
    struct model_options options = model_small();
    options.arith = arith;
    struct learner *l = model_create(&options);
    for (uint32_t t = 0; t < l->shape.n_1; t++)
        for (uint32_t m = 0; m < l->n_classes; m++)
            l->net.w12[net_row(l->shape.n_1, t) * l->net.ld_2 + m] = WEIGHT_MAX - 0.5F;
    l->settings.rate = 100.0F;
    descent_forget(&l->known);
    return l;
}

START_TEST(a_step_that_would_pass_the_bound_leaves_every_weight_as_it_was)
{
    uint8_t pixels[64] = {0};
    struct learner *l = on_the_edge(NULL);
    float *before = malloc(n_bytes(l));
    ck_assert_ptr_nonnull(before);
    memcpy(before, l->params, n_bytes(l));
    pixels_of(pixels, l->shape.n_input, 1);
    struct sample sample = model_train(l, 1, pixels);
    ck_assert(sample.refused);
    ck_assert_mem_eq(before, l->params, n_bytes(l));
    ck_assert_uint_eq(l->refused, 1);
    ck_assert_uint_eq(l->step, 1);
    ck_assert_uint_eq(l->tally.samples, 1);
    free(before);
    learner_free(l);
}
END_TEST

START_TEST(a_model_that_refused_a_step_goes_on_with_those_that_may_be_made)
{
    uint8_t pixels[64] = {0};
    struct learner *l = on_the_edge(NULL);
    pixels_of(pixels, l->shape.n_input, 1);
    ck_assert(model_train(l, 1, pixels).refused);
    l->settings.rate = 0.001F;
    struct hex before = model_digest(l);
    ck_assert(!model_train(l, 1, pixels).refused);
    ck_assert_str_ne(before.text, model_digest(l).text);
    ck_assert_uint_eq(l->refused, 1);
    learner_free(l);
}
END_TEST

START_TEST(every_instruction_set_refuses_the_same_steps)
{
    struct learner *first = NULL;
    const struct arith *arith;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++) {
        struct learner *l = on_the_edge(arith);
        model_train_random(l, 60, 3);
        ck_assert_uint_gt(l->refused, 0);
        if (first == NULL) {
            first = l;
            continue;
        }
        ck_assert_uint_eq(l->refused, first->refused);
        expect_same_digest(l, first);
        learner_free(l);
    }
    learner_free(first);
}
END_TEST

START_TEST(refused_steps_count_in_the_digest_and_come_back_with_a_snapshot)
{
    uint8_t pixels[64], bytes[8192], again[8192];
    struct err err;
    struct learner *l = on_the_edge(NULL);
    pixels_of(pixels, l->shape.n_input, 1);
    (void)model_train(l, 1, pixels);
    size_t n = learner_encode_rest(l, bytes, sizeof bytes);
    ck_assert_uint_le(n, sizeof bytes);
    struct learner *read = learner_decode(bytes, n, NULL, &err);
    ck_assert_msg(read != NULL, "%s", err.text);
    ck_assert_uint_eq(read->refused, 1);
    ck_assert_uint_eq(learner_encode_rest(read, again, sizeof again), n);
    ck_assert_mem_eq(bytes, again, n);
    struct hex with = model_digest(l);
    l->refused = 0;
    ck_assert_str_ne(with.text, model_digest(l).text);
    learner_free(read);
    learner_free(l);
}
END_TEST

START_TEST(no_weight_ever_passes_the_bound_however_high_the_rate)
{
    static const uint32_t kernels[] = {4, 0};
    struct model_options options = model_small();
    options.kernels = kernels[_i];
    struct learner *l = model_create(&options);
    l->settings.rate = 100.0F;
    l->settings.rehearsal = 2;
    l->settings.gradient = GRADIENT_JACOBIAN;
    for (uint64_t i = 0; i < 30; i++) {
        model_train_random(l, 20, i);
        ck_assert(weights_fit(&l->net));
    }
    learner_free(l);
}
END_TEST

static double norm_of(const float *v, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

START_TEST(the_bounds_hold_after_every_step_until_they_are_measured_again)
{
    struct chance chance = {.state = 40 + (uint64_t)_i};
    struct model_options options = model_small();
    options.width = chance_between(&chance, 5, 9);
    options.height = chance_between(&chance, 5, 9);
    options.kernels = _i % 4 == 0 ? 0 : chance_between(&chance, 1, 6);
    options.hidden = chance_between(&chance, 1, 20);
    options.n_classes = chance_between(&chance, 2, 12);
    options.gradient = _i % 2 == 0 ? GRADIENT_DIAGONAL : GRADIENT_JACOBIAN;
    struct learner *l = model_create(&options);
    l->settings.rate = (float)(0.01 * pow(10.0, chance_unit(&chance) * 3.0));
    for (uint64_t i = 0; i < 200; i++) {
        model_train_random(l, 1, 1000 * (uint64_t)_i + i);
        const struct net *net = &l->net;
        ck_assert(l->known.measured);
        ck_assert_double_ge(l->known.k * (1 + 1e-9), norm_of(net->k, net->shape.n_k * net->ld_k));
        ck_assert_double_ge(l->known.w01 * (1 + 1e-9), norm_of(net->w01, net->shape.n_0 * net->ld_1));
        ck_assert_double_ge(l->known.w12 * (1 + 1e-9), norm_of(net->w12, net->shape.n_1 * net->ld_2));
    }
    learner_free(l);
}
END_TEST

START_TEST(what_is_not_finite_or_beyond_the_bound_is_not_taken_for_a_weight)
{
    static const struct {
        float weight;
        bool fits;
    } weights[] = {{WEIGHT_MAX, true}, {-WEIGHT_MAX, true}, {0.0F, true},         {-0.0F, true},
                   {1e-42F, true},     {100000.01F, false}, {-100000.01F, false}, {NAN, false},
                   {-NAN, false},      {INFINITY, false},   {-INFINITY, false}};
    struct model_options options = model_small();
    struct learner *l = model_create(&options);
    float *const places[] = {&l->net.k[0], &l->net.w01[3], &l->net.w12[0]};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        float was = *places[p];
        for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
            *places[p] = weights[i].weight;
            ck_assert_int_eq(weights_fit(&l->net), weights[i].fits);
        }
        *places[p] = was;
    }
    learner_free(l);
}
END_TEST

/* ---- clip ---- */

/* The whole gradient's norm by the naive reference. */
static double reference_norm(const struct learner *l, const uint8_t *pixels, uint32_t label)
{
    struct reference r;
    double sum = 0.0;
    reference_init(&r, &l->shape, l->n_classes);
    const size_t n = reference_count(&r);
    float *flat = malloc(n * sizeof *flat);
    ck_assert_ptr_nonnull(flat);
    net_export(&l->net, flat, flat + (r.w01 - r.k), flat + (r.w12 - r.k));
    for (size_t i = 0; i < n; i++)
        r.k[i] = (double)flat[i];
    reference_forward(&r, &l->settings, pixels, NULL, 0.0);
    reference_backward(&r, l->settings.gradient, label);
    for (size_t i = 0; i < n; i++)
        sum += r.dk[i] * r.dk[i];
    free(flat);
    reference_fini(&r);
    return sqrt(sum);
}

START_TEST(a_long_gradient_is_made_as_long_as_clip_says_and_keeps_its_direction)
{
    uint8_t pixels[64] = {0};
    struct model_options options = model_small();
    options.gradient = _i == 0 ? GRADIENT_DIAGONAL : GRADIENT_JACOBIAN;
    struct learner *clipped = model_create(&options), *plain = model_create(&options);
    pixels_of(pixels, clipped->shape.n_input, 9);
    const double length = reference_norm(plain, pixels, 2);
    clipped->settings.clip = (float)(length / 4.0);
    clipped->settings.rate = 0.8F;
    plain->settings.rate = 0.2F;
    (void)model_train(clipped, 2, pixels);
    (void)model_train(plain, 2, pixels);
    const size_t n = n_bytes(plain) / sizeof(float);
    for (size_t i = 0; i < n; i++)
        ck_assert_double_eq_tol((double)clipped->params[i], (double)plain->params[i], 1e-6);
    learner_free(clipped);
    learner_free(plain);
}
END_TEST

START_TEST(a_short_gradient_is_not_touched_by_clip)
{
    struct model_options options = model_small();
    struct learner *clipped = model_create(&options), *plain = model_create(&options);
    clipped->settings.clip = 1000.0F;
    model_train_random(clipped, 50, 5);
    model_train_random(plain, 50, 5);
    clipped->settings.clip = 0.0F;
    expect_same_digest(clipped, plain);
    learner_free(clipped);
    learner_free(plain);
}
END_TEST

START_TEST(every_instruction_set_clips_to_the_same_bits)
{
    struct learner *first = NULL;
    const struct arith *arith;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++) {
        struct model_options options = model_small();
        options.arith = arith;
        struct learner *l = model_create(&options);
        l->settings.clip = 0.05F;
        l->settings.rehearsal = 1;
        model_train_random(l, 100, 6);
        if (first == NULL) {
            first = l;
            continue;
        }
        expect_same_digest(l, first);
        learner_free(l);
    }
    learner_free(first);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("descent");
    tcase_add_test(tcase, a_step_that_would_pass_the_bound_leaves_every_weight_as_it_was);
    tcase_add_test(tcase, a_model_that_refused_a_step_goes_on_with_those_that_may_be_made);
    tcase_add_test(tcase, every_instruction_set_refuses_the_same_steps);
    tcase_add_test(tcase, refused_steps_count_in_the_digest_and_come_back_with_a_snapshot);
    tcase_add_loop_test(tcase, no_weight_ever_passes_the_bound_however_high_the_rate, 0, 2);
    tcase_add_loop_test(tcase, the_bounds_hold_after_every_step_until_they_are_measured_again, 0, 24);
    tcase_add_test(tcase, what_is_not_finite_or_beyond_the_bound_is_not_taken_for_a_weight);
    tcase_add_loop_test(tcase, a_long_gradient_is_made_as_long_as_clip_says_and_keeps_its_direction, 0, 2);
    tcase_add_test(tcase, a_short_gradient_is_not_touched_by_clip);
    tcase_add_test(tcase, every_instruction_set_clips_to_the_same_bits);
    return run_case(tcase, "descent");
}
