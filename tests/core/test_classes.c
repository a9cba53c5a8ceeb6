/* test_classes.c - the class table: what create takes, adding and renaming, and growing the room for it. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/models.h"
#include "tests/core/run.h"

static struct learner *with_classes(uint32_t n)
{
    struct model_options options = model_small();
    options.n_classes = n;
    return model_create(&options);
}

/* Adds classes "n" .. "to - 1", growing where it must. */
static void add_classes(struct learner *l, uint32_t to)
{
    while (l->n_classes < to) {
        char label[16];
        struct err err;
        (void)snprintf(label, sizeof label, "%u", l->n_classes);
        ck_assert_int_eq(learner_reserve(l, l->n_classes + 1, &err), 0);
        ck_assert_msg(model_class(l, CLASS_ADD, l->n_classes, label, &err) == 0, "%s", err.text);
    }
}

/* ---- create ---- */

static void expect_not_created(const struct event *event, uint32_t capacity, enum err_code code, const char *pointer)
{
    struct err err = {.code = ERR_NONE};
    ck_assert_ptr_null(learner_create(event, NULL, capacity, &err));
    ck_assert_msg(err.code == code, "%s, not %s: %s", err_code_name(err.code), err_code_name(code), err.text);
    ck_assert_str_eq(err.pointer, pointer);
}

START_TEST(a_model_may_begin_without_a_class)
{
    struct model_options options = model_small();
    struct err err = {0};
    options.n_classes = 0;
    struct event event = model_event(&options, NULL);
    struct learner *l = learner_create(&event, NULL, 0, &err);
    ck_assert_msg(l != NULL, "%s", err.text);
    ck_assert_uint_eq(l->n_classes, 0);
    ck_assert_uint_ge(l->capacity, 1);
    struct event add = {
        .kind = EVENT_CLASS, .revision = 2, .as.class_ = {.action = CLASS_ADD, .index = 0, .label = "a"}};
    ck_assert_msg(learner_apply(l, &add, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(l->n_classes, 1);
    for (uint32_t t = 0; t < l->shape.n_1; t++)
        ck_assert(isfinite(l->net.w12[t * l->net.ld_2]));
    learner_free(l);
}
END_TEST

START_TEST(a_label_that_is_given_twice_is_named)
{
    struct model_options options = model_small();
    char labels[3][LABEL_BYTES_MAX + 1] = {"cat", "dog", "cat"};
    struct event event = model_event(&options, labels);
    expect_not_created(&event, 0, ERR_CONFLICT, "/classes/2");
}
END_TEST

START_TEST(a_label_that_breaks_a_rule_is_named)
{
    struct model_options options = model_small();
    char labels[3][LABEL_BYTES_MAX + 1] = {"cat", "", "dog"};
    struct event event = model_event(&options, labels);
    expect_not_created(&event, 0, ERR_LABEL_INVALID, "/classes/1");
    memset(labels[1], 'x', sizeof labels[1]); /* 65 bytes without an end */
    expect_not_created(&event, 0, ERR_LABEL_INVALID, "/classes/1");
}
END_TEST

START_TEST(a_shape_over_a_limit_is_not_created)
{
    struct model_options options = model_small();
    char labels[3][LABEL_BYTES_MAX + 1];
    model_labels(labels, 3);
    options.width = SHAPE_SIDE_MAX + 1;
    struct event event = model_event(&options, labels);
    expect_not_created(&event, 0, ERR_LIMIT, "/width");
}
END_TEST

/* Whatever can be added can be made again from a snapshot, which knows the classes and not what room there was. */
START_TEST(room_for_more_classes_is_within_the_one_limit_of_parameters)
{
    static const uint32_t widths[] = {4096, 4095, 4089, 4000, 2000}, most[] = {0, 4, 28, 384, SHAPE_CLASSES_MAX};
    struct err err;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        struct shape shape = {.width = widths[i], .height = 4, .channels = 1, .hidden = 16384};
        for (uint32_t n = 1; n <= SHAPE_CLASSES_MAX; n++) {
            const bool taken = shape_check(&shape, n, &err) == 0;
            ck_assert_int_eq(taken, n <= most[i]);
            if (!taken)
                continue;
            const uint32_t capacity = shape_capacity(&shape, n);
            ck_assert_uint_ge(capacity, n);
            ck_assert_uint_le(capacity, most[i]);
            ck_assert_uint_ge(capacity, n + 6 < most[i] ? n + 6 : most[i]);
        }
    }
}
END_TEST

START_TEST(room_for_more_classes_than_the_limit_is_refused)
{
    struct model_options options = model_small();
    char labels[3][LABEL_BYTES_MAX + 1];
    model_labels(labels, 3);
    struct event event = model_event(&options, labels);
    expect_not_created(&event, SHAPE_CLASSES_MAX + 1, ERR_LIMIT, "/classes");
    expect_not_created(&event, UINT32_MAX, ERR_LIMIT, "/classes");
}
END_TEST

START_TEST(given_weights_are_taken_as_they_are)
{
    struct model_options options = model_small();
    struct learner *a = model_create(&options);
    const struct shape *s = &a->shape;
    model_train_random(a, 10, 1);
    float k[24], w01[16 * 7], w12[7 * 3], k2[24], w01_2[16 * 7], w12_2[7 * 3];
    ck_assert_uint_eq(s->kernels * s->n_k, 24);
    ck_assert_uint_eq(s->n_0 * s->n_1, 16 * 7);
    net_export(&a->net, k, w01, w12);
    char labels[3][LABEL_BYTES_MAX + 1];
    model_labels(labels, 3);
    struct event event = model_event(&options, labels);
    event.as.create.k = k;
    event.as.create.w01 = w01;
    event.as.create.w12 = w12;
    struct err err;
    struct learner *b = learner_create(&event, NULL, 0, &err);
    ck_assert_ptr_nonnull(b);
    net_export(&b->net, k2, w01_2, w12_2);
    ck_assert_mem_eq(k, k2, sizeof k);
    ck_assert_mem_eq(w01, w01_2, sizeof w01);
    ck_assert_mem_eq(w12, w12_2, sizeof w12);
    ck_assert_uint_eq(b->step, 0);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(given_weights_must_be_finite)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    struct model_options options = model_small();
    char labels[3][LABEL_BYTES_MAX + 1];
    model_labels(labels, 3);
    float k[24] = {0.0F}, w01[16 * 7] = {0.0F}, w12[7 * 3] = {0.0F};
    struct event event = model_event(&options, labels);
    event.as.create.k = k;
    event.as.create.w01 = w01;
    event.as.create.w12 = w12;
    for (int place = 0; place < 3; place++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            float *last = place == 0 ? &k[23] : place == 1 ? &w01[16 * 7 - 1] : &w12[7 * 3 - 1];
            *last = bad[i];
            struct err err;
            ck_assert_ptr_null(learner_create(&event, NULL, 0, &err));
            ck_assert_int_eq(err.code, ERR_VALUE);
            *last = 0.0F;
        }
    struct err err;
    struct learner *l = learner_create(&event, NULL, 0, &err);
    ck_assert_ptr_nonnull(l);
    learner_free(l);
}
END_TEST

START_TEST(initial_weights_depend_on_the_seed_alone)
{
    struct model_options options = model_small();
    char labels[3][LABEL_BYTES_MAX + 1];
    model_labels(labels, 3);
    struct event event = model_event(&options, labels);
    struct err err;
    struct learner *a = learner_create(&event, NULL, 0, &err), *b = learner_create(&event, NULL, 99, &err);
    event.as.create.settings.seed++;
    struct learner *c = learner_create(&event, NULL, 0, &err);
    const size_t bytes = net_floats(&a->shape, 3) * sizeof(float);
    ck_assert_int_eq(memcmp(a->params, b->params, bytes), 0);
    ck_assert_int_ne(memcmp(a->params, c->params, bytes), 0);
    learner_free(a);
    learner_free(b);
    learner_free(c);
}
END_TEST

START_TEST(initial_weights_have_the_stated_mean_and_deviation)
{
    struct model_options options = {.width = 40,
                                    .height = 40,
                                    .channels = 1,
                                    .kernels = 300,
                                    .kernel_width = 7,
                                    .kernel_height = 9,
                                    .stride = 1,
                                    .hidden = 200,
                                    .n_classes = 300};
    struct learner *l = model_create(&options);
    const struct shape *s = &l->shape;
    const struct {
        const float *w;
        size_t rows, columns, ld;
        double deviation;
    } tensors[] = {
        {l->net.k, s->n_k, s->kernels, l->net.ld_k, 0.3 / sqrt(s->n_k)},
        {l->net.w01, s->n_0, s->n_1, l->net.ld_1, 0.7 / sqrt(s->n_0)},
        {l->net.w12, s->n_1, 300, l->net.ld_2, 1.84 / sqrt(s->n_1)},
    };
    for (int i = 0; i < 3; i++) {
        double sum = 0.0, squares = 0.0;
        for (size_t row = 0; row < tensors[i].rows; row++)
            for (size_t column = 0; column < tensors[i].columns; column++) {
                double w = (double)tensors[i].w[row * tensors[i].ld + column] / tensors[i].deviation;
                sum += w;
                squares += w * w;
            }
        const double n = (double)(tensors[i].rows * tensors[i].columns);
        /* four standard errors of n >= 18900 draws */
        ck_assert_double_le(fabs(sum / n), 4.0 / sqrt(n));
        ck_assert_double_le(fabs(sqrt(squares / n) - 1.0), 4.0 / sqrt(2.0 * n));
    }
    learner_free(l);
}
END_TEST

/* ---- adding ---- */

START_TEST(an_added_class_has_the_weights_that_it_would_have_had_from_the_start)
{
    /* 3 to 40: within the first vector of 16, at its end, and over two more; with and without growing */
    struct learner *grown = with_classes(3);
    for (uint32_t n = 4; n <= 40; n++) {
        add_classes(grown, n);
        struct learner *born = with_classes(n);
        ck_assert_uint_eq(grown->net.ld_2, lanes_up(n));
        ck_assert_int_eq(memcmp(grown->params, born->params, net_floats(&born->shape, n) * sizeof(float)), 0);
        expect_same_digest(grown, born);
        learner_free(born);
    }
    ck_assert_uint_ge(grown->capacity, 40);
    learner_free(grown);
}
END_TEST

START_TEST(adding_a_class_keeps_what_was_learned)
{
    struct learner *l = with_classes(15);
    model_train_random(l, 50, 2);
    float before[7 * 15];
    for (uint32_t t = 0; t < 7; t++)
        memcpy(before + (size_t)t * 15, l->net.w12 + t * l->net.ld_2, 15 * sizeof(float));
    add_classes(l, 20);
    for (uint32_t t = 0; t < 7; t++)
        ck_assert_mem_eq(before + (size_t)t * 15, l->net.w12 + t * l->net.ld_2, 15 * sizeof(float));
    ck_assert_uint_eq(l->tally.samples, 50);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 15; i++)
        for (uint32_t j = 0; j < 15; j++)
            sum += l->tally.confusion[i * l->capacity + j];
    ck_assert_uint_eq(sum, 50);
    learner_free(l);
}
END_TEST

START_TEST(an_added_class_can_be_learned)
{
    struct learner *l = with_classes(2);
    add_classes(l, 3);
    model_train_random(l, 3000, 3);
    uint32_t right = l->tally.confusion[2 * l->capacity + 2];
    ck_assert_uint_ge(right, 500);
    ck_assert_int_eq(learner_class(l, "2", 1), 2);
    learner_free(l);
}
END_TEST

/* ---- a class that comes to a model that knows others ---- */

/* The c-th quarter bright, under noise. */
static void quarter(uint8_t *pixels, struct chance *chance, uint32_t n_input, uint32_t c)
{
    for (uint32_t j = 0; j < n_input; j++)
        pixels[j] = (uint8_t)((chance_bits(chance) >> 57) + (j * 4 / n_input == c ? 128 : 0));
}

#define QUARTERS_INPUT 80u

/* Knows three quarters from `each` samples a class, and has a fourth class since. */
static struct learner *knows_three(uint32_t imprint, uint32_t each, struct chance *chance)
{
    struct model_options options = model_small();
    options.width = 10, options.height = 8, options.hidden = 30;
    options.normalize = NORMALIZE_STD;
    struct learner *l = model_create(&options);
    l->settings.imprint = imprint;
    uint8_t pixels[QUARTERS_INPUT];
    for (uint32_t i = 0; i < 3 * each; i++) {
        quarter(pixels, chance, QUARTERS_INPUT, i % 3);
        (void)model_train(l, i % 3, pixels);
    }
    add_classes(l, 4);
    return l;
}

static uint32_t answer(struct learner *l, const uint8_t *pixels)
{
    net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
    return net_argmax(&l->net, l->ws->l2);
}

START_TEST(a_class_that_comes_later_takes_nothing_untaught_and_is_named_after_its_first_images)
{
    struct chance chance = {.state = 51};
    struct learner *l = knows_three(5, 300, &chance);
    uint8_t pixels[QUARTERS_INPUT];
    for (uint32_t i = 0; i < 300; i++) {
        quarter(pixels, &chance, QUARTERS_INPUT, i % 3);
        ck_assert_uint_ne(answer(l, pixels), 3);
    }
    for (uint32_t i = 0; i < 5; i++) {
        quarter(pixels, &chance, QUARTERS_INPUT, 3);
        (void)model_train(l, 3, pixels);
    }
    uint32_t named = 0;
    for (uint32_t i = 0; i < 100; i++) {
        quarter(pixels, &chance, QUARTERS_INPUT, 3);
        named += answer(l, pixels) == 3;
    }
    ck_assert_uint_ge(named, 75);
    learner_free(l);
}
END_TEST

/* With a rate of 0, so that only the imprint changes anything. */
START_TEST(an_imprinted_image_is_e_times_as_likely_of_its_class_as_of_any_other)
{
    struct chance chance = {.state = 52};
    struct learner *l = knows_three(5, 300, &chance);
    uint8_t pixels[QUARTERS_INPUT];
    l->settings.rate = 0.0F;
    quarter(pixels, &chance, QUARTERS_INPUT, 3);
    ck_assert_uint_ne(answer(l, pixels), 3);
    ck_assert_uint_ne(model_train(l, 3, pixels).predicted, 3); /* what is told is from before it */
    (void)answer(l, pixels);
    const float *l2 = l->ws->l2;
    const float other = l2[0] > l2[1] ? (l2[0] > l2[2] ? l2[0] : l2[2]) : (l2[1] > l2[2] ? l2[1] : l2[2]);
    ck_assert(fabsf(l2[3] / other - expf(1.0F)) <= 1e-4F);
    learner_free(l);
}
END_TEST

/* Imprints: none at all; of one that comes when the others are hardly known; of a sixth image. */
START_TEST(what_is_no_first_image_of_a_later_class_is_not_imprinted)
{
    struct chance chance = {.state = 53};
    struct learner *l = knows_three(_i == 0 ? 0 : 5, _i == 1 ? 9 : 300, &chance);
    uint8_t pixels[QUARTERS_INPUT];
    l->settings.rate = 0.0F;
    for (uint32_t i = 0; i < (_i == 2 ? 5 : 0); i++) {
        quarter(pixels, &chance, QUARTERS_INPUT, 3);
        (void)model_train(l, 3, pixels);
    }
    const size_t n = net_floats(&l->shape, l->n_classes);
    float *before = malloc(n * sizeof *before);
    ck_assert_ptr_nonnull(before);
    memcpy(before, l->params, n * sizeof *before);
    quarter(pixels, &chance, QUARTERS_INPUT, _i == 2 ? 0 : 3); /* not of the class: it would need an imprint */
    (void)model_train(l, 3, pixels);
    ck_assert_mem_eq(before, l->params, n * sizeof *before);
    free(before);
    learner_free(l);
}
END_TEST

START_TEST(growing_changes_nothing_but_the_room)
{
    struct learner *l = with_classes(5), *same = with_classes(5);
    model_train_random(l, 40, 4);
    model_train_random(same, 40, 4);
    struct err err;
    ck_assert_int_eq(learner_reserve(l, 300, &err), 0);
    ck_assert_uint_ge(l->capacity, 300);
    ck_assert_uint_eq(l->n_classes, 5);
    expect_same_digest(l, same);
    model_train_random(l, 40, 5);
    model_train_random(same, 40, 5);
    expect_same_digest(l, same);
    learner_free(l);
    learner_free(same);
}
END_TEST

START_TEST(growing_beyond_the_limit_of_classes_is_refused)
{
    struct learner *l = with_classes(5);
    struct hex before = model_digest(l);
    const uint32_t capacity = l->capacity;
    struct err err;
    ck_assert_int_eq(learner_reserve(l, SHAPE_CLASSES_MAX + 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_int_eq(learner_reserve(l, UINT32_MAX, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_uint_eq(l->capacity, capacity);
    ck_assert_str_eq(before.text, model_digest(l).text);
    ck_assert_int_eq(learner_reserve(l, SHAPE_CLASSES_MAX, &err), 0);
    ck_assert_uint_eq(l->capacity, SHAPE_CLASSES_MAX);
    learner_free(l);
}
END_TEST

/* A class event that must be refused, with the state as it was. */
static void expect_refused(struct learner *l, enum class_action action, uint32_t index, const char *label,
                           enum err_code code, const char *pointer)
{
    struct hex before = model_digest(l);
    const uint64_t revision = l->revision;
    struct err err = {.code = ERR_NONE};
    ck_assert_int_eq(model_class(l, action, index, label, &err), -1);
    ck_assert_msg(err.code == code, "%s, not %s: %s", err_code_name(err.code), err_code_name(code), err.text);
    ck_assert_str_eq(err.pointer, pointer);
    ck_assert_str_eq(before.text, model_digest(l).text);
    ck_assert_uint_eq(l->revision, revision);
}

START_TEST(a_class_whose_label_is_taken_is_not_added)
{
    struct learner *l = with_classes(3);
    expect_refused(l, CLASS_ADD, 3, "1", ERR_CONFLICT, "/label");
    learner_free(l);
}
END_TEST

START_TEST(a_class_with_a_bad_label_is_not_added)
{
    struct learner *l = with_classes(3);
    expect_refused(l, CLASS_ADD, 3, "", ERR_LABEL_INVALID, "/label");
    expect_refused(l, CLASS_ADD, 3, "a\tb", ERR_LABEL_INVALID, "/label");
    learner_free(l);
}
END_TEST

START_TEST(a_class_is_added_at_the_end_and_nowhere_else)
{
    struct learner *l = with_classes(3);
    expect_refused(l, CLASS_ADD, 2, "new", ERR_NOT_FOUND, "");
    expect_refused(l, CLASS_ADD, 4, "new", ERR_NOT_FOUND, "");
    learner_free(l);
}
END_TEST

START_TEST(a_class_beyond_the_capacity_is_refused)
{
    struct learner *l = with_classes(3);
    while (l->n_classes < l->capacity) {
        char label[16];
        struct err err;
        (void)snprintf(label, sizeof label, "%u", l->n_classes);
        ck_assert_int_eq(model_class(l, CLASS_ADD, l->n_classes, label, &err), 0);
    }
    expect_refused(l, CLASS_ADD, l->n_classes, "new", ERR_LIMIT, "");
    learner_free(l);
}
END_TEST

START_TEST(an_unknown_action_on_a_class_is_refused)
{
    struct learner *l = with_classes(3);
    expect_refused(l, (enum class_action)0, 1, "new", ERR_INTERNAL, "");
    expect_refused(l, (enum class_action)3, 1, "new", ERR_INTERNAL, "");
    learner_free(l);
}
END_TEST

/* ---- renaming ---- */

START_TEST(renaming_keeps_weights_and_tally)
{
    struct learner *a = with_classes(3), *b = with_classes(3);
    struct err err;
    model_train_random(a, 30, 6);
    model_train_random(b, 30, 6);
    ck_assert_int_eq(model_class(a, CLASS_RENAME, 1, "one", &err), 0);
    ck_assert_str_eq(a->labels[1], "one");
    ck_assert_int_eq(learner_class(a, "one", 3), 1);
    ck_assert_int_eq(learner_class(a, "1", 1), -1);
    ck_assert_int_eq(memcmp(a->params, b->params, net_floats(&a->shape, 3) * sizeof(float)), 0);
    expect_other_digest(a, b);
    ck_assert_int_eq(model_class(a, CLASS_RENAME, 1, "1", &err), 0);
    expect_same_digest(a, b);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(a_class_may_be_renamed_to_its_own_label)
{
    struct learner *l = with_classes(3);
    struct err err;
    ck_assert_int_eq(model_class(l, CLASS_RENAME, 1, "1", &err), 0);
    ck_assert_uint_eq(l->revision, 2);
    learner_free(l);
}
END_TEST

START_TEST(a_class_is_not_renamed_to_the_label_of_another)
{
    struct learner *l = with_classes(3);
    expect_refused(l, CLASS_RENAME, 1, "2", ERR_CONFLICT, "/label");
    learner_free(l);
}
END_TEST

START_TEST(a_class_that_is_not_there_is_not_renamed)
{
    struct learner *l = with_classes(3);
    expect_refused(l, CLASS_RENAME, 3, "new", ERR_NOT_FOUND, "");
    expect_refused(l, CLASS_RENAME, UINT32_MAX, "new", ERR_NOT_FOUND, "");
    learner_free(l);
}
END_TEST

/* ---- finding ---- */

START_TEST(a_class_is_found_by_its_whole_label_only)
{
    struct learner *l = with_classes(12);
    ck_assert_int_eq(learner_class(l, "1", 1), 1);
    ck_assert_int_eq(learner_class(l, "10", 2), 10);
    ck_assert_int_eq(learner_class(l, "10", 1), 1); /* bytes need no end */
    ck_assert_int_eq(learner_class(l, "12", 2), -1);
    ck_assert_int_eq(learner_class(l, "", 0), -1);
    ck_assert_int_eq(learner_class(l, "1 ", 2), -1);
    char longest[66];
    memset(longest, '1', sizeof longest);
    ck_assert_int_eq(learner_class(l, longest, 64), -1);
    ck_assert_int_eq(learner_class(l, longest, 65), -1);
    learner_free(l);
}
END_TEST

START_TEST(a_zero_byte_does_not_end_a_label)
{
    struct learner *l = with_classes(3);
    ck_assert_int_eq(learner_class(l, "1\0", 2), -1);
    ck_assert_int_eq(learner_class(l, "\0", 1), -1);
    learner_free(l);
}
END_TEST

START_TEST(a_label_of_64_bytes_is_found)
{
    struct learner *l = with_classes(3);
    char label[LABEL_BYTES_MAX + 1];
    struct err err;
    memset(label, 'x', LABEL_BYTES_MAX);
    label[LABEL_BYTES_MAX] = '\0';
    ck_assert_int_eq(model_class(l, CLASS_RENAME, 0, label, &err), 0);
    ck_assert_int_eq(learner_class(l, label, LABEL_BYTES_MAX), 0);
    ck_assert_int_eq(learner_class(l, label, LABEL_BYTES_MAX - 1), -1);
    learner_free(l);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("classes");
    tcase_add_test(tcase, a_model_may_begin_without_a_class);
    tcase_add_test(tcase, a_label_that_is_given_twice_is_named);
    tcase_add_test(tcase, a_label_that_breaks_a_rule_is_named);
    tcase_add_test(tcase, a_shape_over_a_limit_is_not_created);
    tcase_add_test(tcase, room_for_more_classes_than_the_limit_is_refused);
    tcase_add_test(tcase, room_for_more_classes_is_within_the_one_limit_of_parameters);
    tcase_add_test(tcase, given_weights_are_taken_as_they_are);
    tcase_add_test(tcase, given_weights_must_be_finite);
    tcase_add_test(tcase, initial_weights_depend_on_the_seed_alone);
    tcase_add_test(tcase, initial_weights_have_the_stated_mean_and_deviation);
    tcase_add_test(tcase, an_added_class_has_the_weights_that_it_would_have_had_from_the_start);
    tcase_add_test(tcase, adding_a_class_keeps_what_was_learned);
    tcase_add_test(tcase, an_added_class_can_be_learned);
    tcase_add_test(tcase, a_class_that_comes_later_takes_nothing_untaught_and_is_named_after_its_first_images);
    tcase_add_test(tcase, an_imprinted_image_is_e_times_as_likely_of_its_class_as_of_any_other);
    tcase_add_loop_test(tcase, what_is_no_first_image_of_a_later_class_is_not_imprinted, 0, 3);
    tcase_add_test(tcase, growing_changes_nothing_but_the_room);
    tcase_add_test(tcase, growing_beyond_the_limit_of_classes_is_refused);
    tcase_add_test(tcase, a_class_whose_label_is_taken_is_not_added);
    tcase_add_test(tcase, a_class_with_a_bad_label_is_not_added);
    tcase_add_test(tcase, a_class_is_added_at_the_end_and_nowhere_else);
    tcase_add_test(tcase, a_class_beyond_the_capacity_is_refused);
    tcase_add_test(tcase, an_unknown_action_on_a_class_is_refused);
    tcase_add_test(tcase, renaming_keeps_weights_and_tally);
    tcase_add_test(tcase, a_class_may_be_renamed_to_its_own_label);
    tcase_add_test(tcase, a_class_is_not_renamed_to_the_label_of_another);
    tcase_add_test(tcase, a_class_that_is_not_there_is_not_renamed);
    tcase_add_test(tcase, a_class_is_found_by_its_whole_label_only);
    tcase_add_test(tcase, a_zero_byte_does_not_end_a_label);
    tcase_add_test(tcase, a_label_of_64_bytes_is_found);
    return run_case(tcase, "classes");
}
