/* test_reference.c - forward, gradients and steps against the double-precision reference of reference.h, over random geometries;
 * and the reference's own `jacobian` gradient against differences of its loss.
 *
 * The bounds are relative: the norm of a tensor's difference over the norm of the reference's tensor. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "core/core.h"
#include "tests/core/chance.h"
#include "tests/core/reference.h"
#include "tests/core/run.h"

#define BOUND 1e-5
#define NEAR  1e-5 /* responses that lie closer are a tie: the float code's winner is taken */
#define STEPS 5

/* One random network, twice: in float as convd has it, in double as the reference. */
struct pair {
    struct shape shape;
    uint32_t n_2;
    struct settings settings;
    struct net net, g;
    float *block, *g_block;
    struct workspace *ws;
    struct reference reference;
    float *plain; /* a tensor list without padding */
    uint8_t *pixels;
    char name[160];
};

static struct shape random_shape(struct chance *chance)
{
    struct shape s = {
        .channels = chance_between(chance, 1, 4),
        .kernels = chance_between(chance, 0, 20),
        .kernel_width = chance_between(chance, 1, 11),
        .kernel_height = chance_between(chance, 1, 11),
        .stride = chance_between(chance, 1, 4),
        .hidden = chance_between(chance, 1, 70),
    };
    s.width = s.kernel_width + chance_between(chance, 0, 24);
    s.height = s.kernel_height + chance_between(chance, 0, 24);
    return s;
}

/* Weights of the scale of trained ones, so that neither tanh nor softmax saturates: there a float holds next to nothing of
 * 1 - l, and no arithmetic in float could meet a relative bound. */
static void pair_open(struct pair *pair, struct chance *chance)
{
    pair->shape = random_shape(chance);
    pair->n_2 = chance_between(chance, 1, 40);
    pair->settings = settings_default();
    pair->settings.mean = (float)chance_unit(chance) - 0.25F;
    pair->settings.normalize = (enum normalize)chance_between(chance, NORMALIZE_NONE, NORMALIZE_STD);
    struct err err;
    ck_assert_msg(shape_check(&pair->shape, pair->n_2, &err) == 0, "%s", err.text);
    const struct shape *s = &pair->shape;
    (void)snprintf(pair->name, sizeof pair->name, "%ux%ux%u, %u kernels %ux%u stride %u, hidden %u, classes %u",
                   s->width, s->height, s->channels, s->kernels, s->kernel_width, s->kernel_height, s->stride,
                   s->hidden, pair->n_2);

    const size_t n = net_floats(s, pair->n_2);
    pair->block = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
    pair->g_block = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
    pair->ws = workspace_create(s, pair->n_2);
    reference_init(&pair->reference, s, pair->n_2);
    const size_t n_plain = reference_count(&pair->reference);
    pair->plain = calloc(n_plain, sizeof *pair->plain);
    pair->pixels = malloc((size_t)s->n_input * STEPS);
    ck_assert(pair->block != NULL && pair->g_block != NULL && pair->ws != NULL && pair->plain != NULL &&
              pair->pixels != NULL);
    pair->net = net_view(s, pair->n_2, pair->block);
    pair->g = net_view(s, pair->n_2, pair->g_block);
    memset(pair->g_block, 0x7f, n * sizeof(float)); /* a gradient must not depend on what was there */

    struct reference *r = &pair->reference;
    for (size_t i = 0; i < n_plain; i++) {
        double fan_in = r->k + i < r->w01 ? s->n_k : r->k + i < r->w12 ? s->n_0 : s->n_1;
        pair->plain[i] = (float)(chance_normal(chance) / sqrt(fan_in));
        r->k[i] = (double)pair->plain[i];
    }
    net_import(&pair->net, pair->plain, pair->plain + (r->w01 - r->k), pair->plain + (r->w12 - r->k));
    chance_pixels(chance, pair->pixels, (size_t)s->n_input * STEPS);
}

static void pair_close(struct pair *pair)
{
    free(pair->block);
    free(pair->g_block);
    workspace_free(pair->ws);
    free(pair->plain);
    free(pair->pixels);
    reference_fini(&pair->reference);
}

/* The largest error that was met, for the report. */
static double worst;

/* `slack` is an absolute error that is allowed beside the relative one. */
static void expect(const struct pair *pair, const char *what, const float *got, const double *want, size_t n,
                   double slack)
{
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    difference = sqrt(difference);
    norm = sqrt(norm);
    if (slack == 0.0 && norm > 0.0)
        worst = fmax(worst, difference / norm);
    ck_assert_msg(difference <= BOUND * norm + slack, "%s is off by %g of %g: %s", what, difference, norm, pair->name);
}

static void forward_both(struct pair *pair, const uint8_t *pixels)
{
    const struct arith *arith = arith_choose(NULL);
    struct reference *r = &pair->reference;
    net_forward(arith, &pair->net, &pair->settings, pixels, pair->ws);
    reference_forward(r, &pair->settings, pixels, pair->shape.kernels > 0 ? pair->ws->winner : NULL, NEAR);
    for (uint32_t p = 0; pair->shape.kernels > 0 && p < pair->shape.n_0; p++)
        ck_assert_msg(pair->ws->winner[p] == r->winner[p], "kernel %u wins at %u, not %u: %s", pair->ws->winner[p], p,
                      r->winner[p], pair->name);
}

static void check_forward(struct pair *pair, uint32_t label)
{
    const struct reference *r = &pair->reference;
    expect(pair, "l0", pair->ws->l0, r->l0, pair->shape.n_0, 0.0);
    expect(pair, "l1", pair->ws->l1, r->l1, pair->shape.n_1, 0.0);
    expect(pair, "l2", pair->ws->l2, r->l2, pair->n_2, 0.0);
    float loss = net_loss(arith_choose(NULL), &pair->net, pair->ws, label);
    double want = reference_loss(r, label);
    expect(pair, "the loss", &loss, &want, 1, 0.0);
}

static void expect_tensors(struct pair *pair, const struct net *net, const double *want)
{
    const struct reference *r = &pair->reference;
    const size_t n_k = (size_t)(r->w01 - r->k), n_01 = (size_t)(r->w12 - r->w01);
    net_export(net, pair->plain, pair->plain + n_k, pair->plain + n_k + n_01);
    expect(pair, "k", pair->plain, want, n_k, 0.0);
    expect(pair, "w01", pair->plain + n_k, want + n_k, n_01, 0.0);
    expect(pair, "w12", pair->plain + n_k + n_01, want + n_k + n_01, reference_count(r) - n_k - n_01, 0.0);
}

static void check_gradient(struct pair *pair, enum gradient gradient, uint32_t label)
{
    net_gradient(arith_choose(NULL), &pair->net, gradient, label, &pair->g, pair->ws);
    reference_backward(&pair->reference, gradient, label);
    expect_tensors(pair, &pair->g, pair->reference.dk);
}

/* Steps on different images. What the steps changed must be right to BOUND too, beside the rounding of each parameter to a
 * float once a step, which is at most 2^-24 of it. */
static void check_steps(struct pair *pair, struct chance *chance, enum gradient gradient)
{
    struct reference *r = &pair->reference;
    const size_t n = reference_count(r);
    struct settings settings = settings_default();
    settings.gradient = gradient;
    settings.rate = 0.25F;
    double *before = reference_doubles(n), *moved = reference_doubles(n), rounding = 0.0;
    memcpy(before, r->k, n * sizeof *before);
    for (uint32_t i = 0; i < STEPS; i++) {
        const uint32_t label = chance_between(chance, 0, pair->n_2 - 1);
        forward_both(pair, pair->pixels + (size_t)i * pair->shape.n_input);
        net_step(arith_choose(NULL), &pair->net, &settings, label, pair->ws);
        reference_backward(r, gradient, label);
        reference_descend(r, (double)settings.rate);
    }
    expect_tensors(pair, &pair->net, r->k);

    float *change = calloc(n, sizeof *change);
    ck_assert_ptr_nonnull(change);
    for (size_t i = 0; i < n; i++) {
        change[i] = (float)((double)pair->plain[i] - before[i]);
        moved[i] = r->k[i] - before[i];
        rounding += r->k[i] * r->k[i];
    }
    expect(pair, "what the steps changed", change, moved, n, STEPS * 0x1p-24 * sqrt(rounding));
    free(change);
    free(before);
    free(moved);
}

enum part { PART_FORWARD, PART_DIAGONAL, PART_JACOBIAN, PART_STEPS_DIAGONAL, PART_STEPS_JACOBIAN };

static void over_geometries(enum part part)
{
    struct chance chance = {.state = 20240601};
    const int n = COARSE && !run_exhaustive() ? 60 : 400;
    for (int i = 0; i < n; i++) {
        struct pair pair;
        pair_open(&pair, &chance);
        const uint32_t label = chance_between(&chance, 0, pair.n_2 - 1);
        if (part == PART_STEPS_DIAGONAL || part == PART_STEPS_JACOBIAN) {
            check_steps(&pair, &chance, part == PART_STEPS_DIAGONAL ? GRADIENT_DIAGONAL : GRADIENT_JACOBIAN);
        } else {
            forward_both(&pair, pair.pixels);
            if (part == PART_FORWARD)
                check_forward(&pair, label);
            else
                check_gradient(&pair, part == PART_DIAGONAL ? GRADIENT_DIAGONAL : GRADIENT_JACOBIAN, label);
        }
        pair_close(&pair);
    }
    (void)printf("reference: %d geometries, off by at most %.2g\n", n, worst);
}

START_TEST(forward_agrees_with_the_reference_for_any_geometry)
{
    over_geometries(PART_FORWARD);
}
END_TEST

START_TEST(the_diagonal_gradient_agrees_with_the_reference_for_any_geometry)
{
    over_geometries(PART_DIAGONAL);
}
END_TEST

START_TEST(the_jacobian_gradient_agrees_with_the_reference_for_any_geometry)
{
    over_geometries(PART_JACOBIAN);
}
END_TEST

START_TEST(steps_by_the_diagonal_gradient_agree_with_the_reference_for_any_geometry)
{
    over_geometries(PART_STEPS_DIAGONAL);
}
END_TEST

START_TEST(steps_by_the_jacobian_gradient_agree_with_the_reference_for_any_geometry)
{
    over_geometries(PART_STEPS_JACOBIAN);
}
END_TEST

/* ---- the reference itself: differences of its loss ---- */

/* The loss with one parameter moved by `by`; *same becomes false where another kernel then wins somewhere, since the loss has a
 * corner there and no derivative. */
static double loss_at(struct pair *pair, double *parameter, double by, uint32_t label, const uint32_t *winner,
                      bool *same)
{
    struct reference *r = &pair->reference;
    const double kept = *parameter;
    *parameter += by;
    reference_forward(r, &pair->settings, pair->pixels, NULL, 0.0);
    *parameter = kept;
    if (pair->shape.kernels > 0)
        *same = *same && memcmp(winner, r->winner, pair->shape.n_0 * sizeof *winner) == 0;
    return reference_loss(r, label);
}

/* Compares some parameters of one tensor: norm of the differences over norm of the derivatives. Returns how many. */
static int check_differences(struct pair *pair, struct chance *chance, double *tensor, const double *gradient, size_t n,
                             uint32_t label, const uint32_t *winner)
{
    const double h = 2e-4;
    double difference = 0.0, norm = 0.0;
    int compared = 0;
    for (int probe = 0; n > 0 && probe < 12; probe++) {
        const size_t i = chance_between(chance, 0, (uint32_t)n - 1);
        bool same = true;
        double far = loss_at(pair, tensor + i, 2 * h, label, winner, &same) -
                     loss_at(pair, tensor + i, -2 * h, label, winner, &same);
        double close =
            loss_at(pair, tensor + i, h, label, winner, &same) - loss_at(pair, tensor + i, -h, label, winner, &same);
        if (!same)
            continue;
        double slope = (8.0 * close - far) / (12.0 * h); /* central, of fourth order */
        difference += (slope - gradient[i]) * (slope - gradient[i]);
        norm += gradient[i] * gradient[i];
        compared++;
    }
    /* Each loss is rounded by about 2^-53, which these differences turn into some 1e-12. */
    ck_assert_msg(sqrt(difference) <= 1e-6 * sqrt(norm) + 2e-12, "off by %g of %g: %s", sqrt(difference), sqrt(norm),
                  pair->name);
    return compared;
}

START_TEST(the_jacobian_gradient_is_the_derivative_of_the_loss)
{
    struct chance chance = {.state = 31};
    const int n = COARSE && !run_exhaustive() ? 15 : 80;
    int compared = 0, kernels = 0;
    for (int i = 0; i < n; i++) {
        struct pair pair;
        pair_open(&pair, &chance);
        struct reference *r = &pair.reference;
        const uint32_t label = chance_between(&chance, 0, pair.n_2 - 1);
        const size_t n_k = (size_t)(r->w01 - r->k), n_01 = (size_t)(r->w12 - r->w01);
        reference_forward(r, &pair.settings, pair.pixels, NULL, 0.0);
        reference_backward(r, GRADIENT_JACOBIAN, label);
        uint32_t *winner = calloc(pair.shape.n_0, sizeof *winner);
        ck_assert_ptr_nonnull(winner);
        memcpy(winner, r->winner, pair.shape.n_0 * sizeof *winner);
        kernels += check_differences(&pair, &chance, r->k, r->dk, n_k, label, winner);
        compared += check_differences(&pair, &chance, r->w01, r->dw01, n_01, label, winner);
        compared +=
            check_differences(&pair, &chance, r->w12, r->dw12, (size_t)pair.shape.n_1 * pair.n_2, label, winner);
        free(winner);
        pair_close(&pair);
    }
    (void)printf("reference: %d differences of dense weights, %d of kernels\n", compared, kernels);
    ck_assert_int_eq(compared, n * 24);
    ck_assert_int_ge(kernels, n * 4); /* the rest lay by a corner, or the network has no kernels */
}
END_TEST

START_TEST(the_diagonal_gradient_is_not_the_derivative_of_the_loss)
{
    /* What docs/network.md says of it: it leaves out the softmax's cross terms. The hidden layer sees the difference. */
    struct chance chance = {.state = 32};
    struct pair pair;
    pair_open(&pair, &chance);
    struct reference *r = &pair.reference;
    const size_t n = reference_count(r);
    double *exact = reference_doubles(n), difference = 0.0, norm = 0.0;
    ck_assert_uint_gt(pair.n_2, 2);
    reference_forward(r, &pair.settings, pair.pixels, NULL, 0.0);
    reference_backward(r, GRADIENT_JACOBIAN, 0);
    memcpy(exact, r->dk, n * sizeof *exact);
    reference_backward(r, GRADIENT_DIAGONAL, 0);
    for (size_t i = 0; i < n; i++) {
        difference += (r->dk[i] - exact[i]) * (r->dk[i] - exact[i]);
        norm += exact[i] * exact[i];
    }
    ck_assert_double_gt(sqrt(difference), 0.01 * sqrt(norm));
    free(exact);
    pair_close(&pair);
}
END_TEST

/* ---- exact ties ---- */

START_TEST(of_equal_kernels_the_first_wins_on_every_instruction_set)
{
    /* Kernels 0 .. 20 are all the same, so each position is a tie of 21 that spans every block the convolution has; then the
     * first `_i` of them are made worse, and the next one must win everywhere. */
    const struct arith *arith;
    struct shape shape = {.width = 9, .height = 7, .channels = 1, .kernels = 21, .hidden = 3};
    shape.kernel_width = shape.kernel_height = 3;
    shape.stride = 1;
    struct err err;
    ck_assert_int_eq(shape_check(&shape, 2, &err), 0);
    float *block = aligned_alloc(64, (net_floats(&shape, 2) * sizeof(float) + 63) / 64 * 64);
    struct workspace *ws = workspace_create(&shape, 2);
    ck_assert(block != NULL && ws != NULL);
    struct net net = net_view(&shape, 2, block);
    net_init(&net, 1);
    for (uint32_t i = 0; i < shape.kernels; i++)
        for (uint32_t m = 0; m < shape.n_k; m++)
            net.k[m * net.ld_k + i] = i < (uint32_t)_i ? -0.5F : 0.25F;
    uint8_t pixels[63];
    struct chance chance = {.state = 33};
    chance_pixels(&chance, pixels, sizeof pixels);
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++) {
        net_forward(arith, &net, &(struct settings){0}, pixels, ws);
        for (uint32_t p = 0; p < shape.n_0; p++)
            ck_assert_msg(ws->winner[p] == (uint32_t)_i, "%u wins at %u on %s", ws->winner[p], p, arith_name(arith));
    }
    workspace_free(ws);
    free(block);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("reference");
    tcase_add_test(tcase, forward_agrees_with_the_reference_for_any_geometry);
    tcase_add_test(tcase, the_diagonal_gradient_agrees_with_the_reference_for_any_geometry);
    tcase_add_test(tcase, the_jacobian_gradient_agrees_with_the_reference_for_any_geometry);
    tcase_add_test(tcase, steps_by_the_diagonal_gradient_agree_with_the_reference_for_any_geometry);
    tcase_add_test(tcase, steps_by_the_jacobian_gradient_agree_with_the_reference_for_any_geometry);
    tcase_add_test(tcase, the_jacobian_gradient_is_the_derivative_of_the_loss);
    tcase_add_test(tcase, the_diagonal_gradient_is_not_the_derivative_of_the_loss);
    tcase_add_loop_test(tcase, of_equal_kernels_the_first_wins_on_every_instruction_set, 0, 21);
    return run_case(tcase, "reference");
}
