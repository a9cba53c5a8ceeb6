/* test_novelty.c - how near an image is to what was taught, against a search in double precision; and the same bits by each arithmetic. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "tests/core/models.h"
#include "tests/core/run.h"

#define TAUGHT  240
#define QUERIES (COARSE && !run_exhaustive() ? 10 : 60)
#define NEAR    1e-3 /* between two images that rounding may exchange */

static struct model_options options_of(struct chance *chance, bool kernels)
{
    const uint32_t side = chance_between(chance, 2, 5);
    return (struct model_options){.width = side + chance_between(chance, 2, 9),
                                  .height = side + chance_between(chance, 2, 9),
                                  .channels = chance_between(chance, 1, 3),
                                  .kernels = kernels ? chance_between(chance, 1, 9) : 0,
                                  .kernel_width = side,
                                  .kernel_height = side,
                                  .stride = chance_between(chance, 1, 2),
                                  .hidden = chance_between(chance, 3, 40),
                                  .n_classes = chance_between(chance, 2, 5),
                                  .normalize = (enum normalize)chance_between(chance, NORMALIZE_NONE, NORMALIZE_STD)};
}

static struct novelty *measured(const struct learner *learner)
{
    struct novelty *novelty = novelty_create(learner);
    ck_assert_ptr_nonnull(novelty);
    novelty_measure(novelty, learner, learner->ws);
    return novelty;
}

static double known_of(const struct novelty *novelty, const struct learner *l, const uint8_t *pixels, uint32_t c)
{
    net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
    return (double)novelty_known(novelty, l, c, l->ws);
}

/* ---- the search in double precision ---- */

static const float *input_of(const struct learner *l)
{
    return l->shape.kernels == 0 ? l->ws->l0 : l->ws->image;
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0.0 && bb > 0.0 ? ab / sqrt(aa * bb) : 0.0;
}

/* l^1 and x of one image, side by side. */
static void look(float *out, const struct learner *l, const uint8_t *pixels)
{
    net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
    memcpy(out, l->ws->l1, l->shape.n_1 * sizeof *out);
    memcpy(out + l->shape.n_1, input_of(l), l->shape.n_input * sizeof *out);
}

/* The nearness of `one` to the n images of `all` but number `but`. */
static double nearness(const float *one, const float *all, uint32_t n, uint32_t but, const struct shape *s)
{
    const size_t ld = (size_t)s->n_1 + s->n_input;
    double best = (double)-INFINITY;
    for (uint32_t i = 0; i < n; i++)
        if (i != but) {
            const double sum = cosine(one, all + i * ld, s->n_1) +
                               (double)NOVELTY_INPUT * cosine(one + s->n_1, all + i * ld + s->n_1, s->n_input);
            best = sum > best ? sum : best;
        }
    return best;
}

static void agree(const struct novelty *novelty, const struct learner *l, uint32_t c, const uint8_t *pixels)
{
    const uint32_t n = novelty->n[c];
    const size_t ld = (size_t)l->shape.n_1 + l->shape.n_input;
    float *all = malloc((n + 1) * ld * sizeof *all), *one = all + n * ld;
    ck_assert(all != NULL && n == (replay_buffer_used(l->buffer, c) < novelty->most ? replay_buffer_used(l->buffer, c)
                                                                                    : novelty->most));
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t slot = i * replay_buffer_used(l->buffer, c) / n;
        look(all + i * ld, l, replay_buffer_pixels(l->buffer, c, slot));
    }
    const double known = known_of(novelty, l, pixels, c) * n;
    look(one, l, pixels);
    const double of_it = nearness(one, all, n, n, &l->shape);
    uint32_t least = 0, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double other = nearness(all + i * ld, all, n, i, &l->shape);
        least += other < of_it - NEAR;
        most += other < of_it + NEAR;
    }
    ck_assert_msg(known > least - 0.01 && known < most + 0.01, "%g of %u is not in %u..%u", known, n, least, most);
    free(all);
}

START_TEST(known_is_the_share_that_a_search_in_double_precision_finds)
{
    struct chance chance = {.state = 100 + (uint64_t)_i};
    const struct model_options options = options_of(&chance, _i % 4 != 0);
    struct learner *learner = model_create(&options);
    model_train_random(learner, TAUGHT, 7);
    struct novelty *novelty = measured(learner);
    uint8_t *pixels = malloc(learner->shape.n_input);
    ck_assert_ptr_nonnull(pixels);
    for (int i = 0; i < QUERIES; i++) {
        chance_pixels(&chance, pixels, learner->shape.n_input);
        agree(novelty, learner, chance_between(&chance, 0, learner->n_classes - 1), pixels);
    }
    free(pixels);
    novelty_free(novelty);
    learner_free(learner);
}
END_TEST

START_TEST(what_was_taught_is_known_and_noise_is_not)
{
    const struct model_options options = {12, 12, 1, 4, 3, 3, 1, 16, 3, .normalize = NORMALIZE_STD};
    struct learner *learner = model_create(&options);
    struct chance chance = {.state = 3};
    uint8_t noise[144];
    model_train_random(learner, 150, 5);
    struct novelty *novelty = measured(learner);
    for (uint32_t c = 0; c < 3; c++) {
        const uint8_t *taught = replay_buffer_pixels(learner->buffer, c, 0);
        ck_assert_double_eq(known_of(novelty, learner, taught, c), 1.0);
        chance_pixels(&chance, noise, sizeof noise);
        ck_assert_double_le(known_of(novelty, learner, noise, c), 0.03);
        memset(noise, 90, sizeof noise); /* flat: the input's part is zero */
        ck_assert_double_le(known_of(novelty, learner, noise, c), 0.03);
    }
    novelty_free(novelty);
    learner_free(learner);
}
END_TEST

START_TEST(of_a_class_with_one_image_or_none_nothing_is_known)
{
    const struct model_options options = model_small();
    struct learner *learner = model_create(&options);
    uint8_t pixels[30] = {9, 200, 30};
    (void)model_train(learner, 1, pixels);
    (void)model_train(learner, 2, pixels);
    pixels[7] = 90;
    (void)model_train(learner, 2, pixels);
    struct novelty *novelty = measured(learner);
    ck_assert(isnan(known_of(novelty, learner, pixels, 0)));
    ck_assert(isnan(known_of(novelty, learner, pixels, 1)));
    ck_assert_double_eq(known_of(novelty, learner, pixels, 2), 1.0);
    novelty_free(novelty);
    learner_free(learner);
}
END_TEST

/* All that novelty_measure() made, and known of some images. */
static void same_novelty(const struct novelty *a, const struct novelty *b)
{
    for (uint32_t c = 0; c < a->n_classes; c++) {
        const size_t first = (size_t)c * a->most;
        ck_assert_uint_eq(a->n[c], b->n[c]);
        ck_assert_mem_eq(a->nearness + first, b->nearness + first, a->n[c] * sizeof *a->nearness);
        ck_assert_mem_eq(a->vectors + first * a->ld, b->vectors + first * a->ld, a->n[c] * a->ld * sizeof *a->vectors);
    }
}

START_TEST(each_arithmetic_says_the_same)
{
    struct chance chance = {.state = 11};
    struct model_options options = options_of(&chance, true);
    options.normalize = NORMALIZE_STD;
    options.arith = arith_choose("portable");
    struct learner *portable = model_create(&options);
    model_train_random(portable, 100, 5);
    struct novelty *truth = measured(portable);
    for (unsigned i = 0; (options.arith = arith_nth(i)) != NULL; i++) {
        struct learner *learner = model_create(&options);
        model_train_random(learner, 100, 5);
        struct novelty *novelty = measured(learner);
        same_novelty(truth, novelty);
        novelty_free(novelty);
        learner_free(learner);
    }
    novelty_free(truth);
    learner_free(portable);
}
END_TEST

START_TEST(memory_is_bounded_by_fewer_images_of_a_class)
{
    struct model_options options = {64, 64, 3, 0, 0, 0, 0, 16, 40, .normalize = NORMALIZE_STD};
    struct learner *learner = model_create(&options);
    model_train_random(learner, 40, 5);
    struct novelty *novelty = measured(learner);
    ck_assert_uint_gt(novelty->most, 0);
    ck_assert_uint_lt(novelty->most, NOVELTY_IMAGES);
    ck_assert_uint_le((uint64_t)novelty->most * novelty->n_classes * novelty->ld * sizeof *novelty->vectors,
                      NOVELTY_BYTES);
    novelty_free(novelty);
    learner_free(learner);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("novelty");
    tcase_add_loop_test(tcase, known_is_the_share_that_a_search_in_double_precision_finds, 0, 12);
    tcase_add_test(tcase, what_was_taught_is_known_and_noise_is_not);
    tcase_add_test(tcase, of_a_class_with_one_image_or_none_nothing_is_known);
    tcase_add_test(tcase, each_arithmetic_says_the_same);
    tcase_add_test(tcase, memory_is_bounded_by_fewer_images_of_a_class);
    return run_case(tcase, "novelty");
}
