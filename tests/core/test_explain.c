/* test_explain.c - saliency against differences of the probability that the double-precision reference gives, over random
 * geometries. */
#include <check.h>
#include <math.h>
#include <stdio.h>

#include "core/core.h"
#include "tests/core/chance.h"
#include "tests/core/reference.h"
#include "tests/core/run.h"

#define PROBES 24

struct setting_up {
    struct shape shape;
    uint32_t n_2;
    struct settings settings;
    struct net net;
    float *block, *saliency;
    struct workspace *ws;
    struct reference r;
    uint8_t *pixels;
    uint32_t *winner;
};

static void open_one(struct setting_up *one, struct chance *chance, bool kernels)
{
    struct err err;
    struct shape *s = &one->shape;
    *s = (struct shape){.channels = chance_between(chance, 1, 4),
                        .kernels = kernels ? chance_between(chance, 1, 20) : 0,
                        .kernel_width = chance_between(chance, 1, 9),
                        .kernel_height = chance_between(chance, 1, 9),
                        .stride = chance_between(chance, 1, 4),
                        .hidden = chance_between(chance, 1, 40)};
    s->width = s->kernel_width + chance_between(chance, 0, 14);
    s->height = s->kernel_height + chance_between(chance, 0, 14);
    one->n_2 = chance_between(chance, 2, 20);
    one->settings = settings_default();
    one->settings.mean = (float)chance_unit(chance) - 0.25F;
    one->settings.normalize = (enum normalize)chance_between(chance, NORMALIZE_NONE, NORMALIZE_STD);
    ck_assert_msg(shape_check(s, one->n_2, &err) == 0, "%s", err.text);
    one->block = aligned_alloc(64, (net_floats(s, one->n_2) * sizeof(float) + 63) / 64 * 64);
    one->saliency = calloc(s->n_input, sizeof *one->saliency);
    one->pixels = malloc(s->n_input);
    one->winner = calloc(s->n_0, sizeof *one->winner);
    one->ws = workspace_create(s, one->n_2);
    reference_init(&one->r, s, one->n_2);
    const size_t n = reference_count(&one->r);
    float *plain = calloc(n, sizeof *plain);
    ck_assert(one->block != NULL && one->saliency != NULL && one->pixels != NULL && one->winner != NULL &&
              one->ws != NULL && plain != NULL);
    struct reference *r = &one->r;
    for (size_t i = 0; i < n; i++) {
        double fan_in = r->k + i < r->w01 ? s->n_k : r->k + i < r->w12 ? s->n_0 : s->n_1;
        plain[i] = (float)(chance_normal(chance) / sqrt(fan_in));
        r->k[i] = (double)plain[i];
    }
    one->net = net_view(s, one->n_2, one->block);
    net_import(&one->net, plain, plain + (r->w01 - r->k), plain + (r->w12 - r->k));
    free(plain);
    chance_pixels(chance, one->pixels, s->n_input);
}

static void close_one(struct setting_up *one)
{
    free(one->block);
    free(one->saliency);
    free(one->pixels);
    free(one->winner);
    workspace_free(one->ws);
    reference_fini(&one->r);
}

/* The probability with one pixel moved; *same becomes false where another kernel then wins somewhere: there is a corner. */
static double probability(struct setting_up *one, uint32_t q, double by, uint32_t class_index, bool *same)
{
    struct reference *r = &one->r;
    double *moved = reference_doubles(one->shape.n_input);
    for (uint32_t i = 0; i < one->shape.n_input; i++)
        moved[i] = one->pixels[i] + (i == q ? by : 0.0);
    reference_input(r, &one->settings, moved);
    free(moved);
    reference_forward_x(r, NULL, 0.0);
    *same =
        *same && (one->shape.kernels == 0 || memcmp(one->winner, r->winner, one->shape.n_0 * sizeof *one->winner) == 0);
    return r->l2[class_index];
}

/* Returns how many pixels were compared. */
static int compare(struct setting_up *one, struct chance *chance)
{
    const double h = 0.25; /* grey levels */
    const uint32_t class_index = chance_between(chance, 0, one->n_2 - 1);
    double difference = 0.0, norm = 0.0;
    int compared = 0;
    net_forward(arith_choose(NULL), &one->net, &one->settings, one->pixels, one->ws);
    net_explain(&one->net, class_index, one->saliency, one->ws);
    reference_forward(&one->r, &one->settings, one->pixels, NULL, 0.0);
    memcpy(one->winner, one->r.winner, one->shape.n_0 * sizeof *one->winner);
    if (one->shape.kernels > 0 && memcmp(one->winner, one->ws->winner, one->shape.n_0 * sizeof *one->winner) != 0)
        return 0; /* a tie, in which the two may choose differently */
    for (int probe = 0; probe < PROBES; probe++) {
        const uint32_t q = chance_between(chance, 0, one->shape.n_input - 1);
        bool same = true;
        double far = probability(one, q, 2 * h, class_index, &same) - probability(one, q, -2 * h, class_index, &same);
        double close = probability(one, q, h, class_index, &same) - probability(one, q, -h, class_index, &same);
        if (!same)
            continue;
        const double slope = fabs((8.0 * close - far) / (12.0 * h)); /* central, of fourth order */
        difference += (slope - (double)one->saliency[q]) * (slope - (double)one->saliency[q]);
        norm += slope * slope;
        compared++;
    }
    ck_assert_msg(sqrt(difference) <= 1e-4 * sqrt(norm) + 1e-12, "off by %g of %g: %ux%ux%u, %u kernels, stride %u",
                  sqrt(difference), sqrt(norm), one->shape.width, one->shape.height, one->shape.channels,
                  one->shape.kernels, one->shape.stride);
    return compared;
}

static void over_geometries(bool kernels)
{
    struct chance chance = {.state = 77};
    const int n = COARSE ? 20 : 100;
    int compared = 0;
    for (int i = 0; i < n; i++) {
        struct setting_up one;
        open_one(&one, &chance, kernels);
        compared += compare(&one, &chance);
        close_one(&one);
    }
    ck_assert_int_gt(compared, n * PROBES / 4); /* most probes meet no corner */
    (void)printf("explain: %d pixels compared\n", compared);
}

START_TEST(saliency_is_the_derivative_of_the_probability_by_each_pixel)
{
    over_geometries(true);
}
END_TEST

START_TEST(saliency_without_kernels_is_too)
{
    over_geometries(false);
}
END_TEST

START_TEST(explaining_leaves_what_forward_left)
{
    struct chance chance = {.state = 5};
    struct setting_up one;
    open_one(&one, &chance, true);
    struct workspace *ws = one.ws;
    const uint32_t n_0 = one.shape.n_0;
    float *l0 = malloc(n_0 * sizeof *l0), l2[20];
    ck_assert_ptr_nonnull(l0);
    net_forward(arith_choose(NULL), &one.net, &one.settings, one.pixels, ws);
    memcpy(l0, ws->l0, n_0 * sizeof *l0);
    memcpy(l2, ws->l2, one.n_2 * sizeof *l2);
    memcpy(one.winner, ws->winner, n_0 * sizeof *one.winner);
    net_explain(&one.net, 0, one.saliency, ws);
    ck_assert_mem_eq(l0, ws->l0, n_0 * sizeof *l0);
    ck_assert_mem_eq(l2, ws->l2, one.n_2 * sizeof *l2);
    ck_assert_mem_eq(one.winner, ws->winner, n_0 * sizeof *one.winner);
    free(l0);
    close_one(&one);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("explain");
    tcase_add_test(tests, saliency_is_the_derivative_of_the_probability_by_each_pixel);
    tcase_add_test(tests, saliency_without_kernels_is_too);
    tcase_add_test(tests, explaining_leaves_what_forward_left);
    return run_case(tests, "explain");
}
