/* test_codec.c - the state as bytes, and copies of it: both give back the same digest, and bytes that are damaged are refused without
 * reading a byte too many. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/models.h"
#include "tests/core/run.h"

static struct learner *small(void)
{
    struct model_options options = model_small();
    return model_create(&options);
}

/* The same with little room to keep images in: that room is most of a learner, and the tests of damage make thousands. */
static struct learner *lean(void)
{
    char labels[SHAPE_CLASSES_MAX][LABEL_BYTES_MAX + 1];
    struct model_options options = model_small();
    struct event event = model_event(&options, labels);
    struct err err;
    event.as.create.settings.rehearsal_buffer = 4;
    model_labels(labels, options.n_classes);
    struct learner *l = learner_create(&event, NULL, 0, &err);
    ck_assert_msg(l != NULL, "%s", err.text);
    return l;
}

/* The rest of the state in a block of exactly its length, so that a sanitizer sees a read behind it. */
static uint8_t *encoded(const struct learner *l, size_t *n)
{
    *n = learner_encode_rest(l, NULL, 0);
    uint8_t *bytes = malloc(*n);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(learner_encode_rest(l, bytes, *n), *n);
    return bytes;
}

/* A learner from the bytes of another and its three tensors. */
static struct learner *through_bytes(const struct learner *l)
{
    size_t n;
    uint8_t *bytes = encoded(l, &n);
    struct err err;
    struct learner *back = learner_decode(bytes, n, l->arith, &err);
    ck_assert_msg(back != NULL, "%s", err.text);
    free(bytes);
    const struct shape *s = &l->shape;
    float *k = calloc((size_t)s->kernels * s->n_k + 1, sizeof *k);
    float *w01 = calloc((size_t)s->n_0 * s->n_1, sizeof *w01);
    float *w12 = calloc((size_t)s->n_1 * l->n_classes, sizeof *w12);
    ck_assert(k != NULL && w01 != NULL && w12 != NULL);
    net_export(&l->net, k, w01, w12);
    net_import(&back->net, k, w01, w12);
    free(k);
    free(w01);
    free(w12);
    return back;
}

/* ---- there and back ---- */

static const struct model_options models[] = {
    {6, 5, 1, 4, 3, 2, 1, 7, 3, GRADIENT_DIAGONAL, 0, NULL, NORMALIZE_STD, 0},
    {6, 5, 3, 0, 0, 0, 0, 17, 40, GRADIENT_JACOBIAN, 0, NULL, NORMALIZE_STD, 0},
    {9, 11, 2, 19, 4, 3, 2, 33, 1, GRADIENT_JACOBIAN, 90, NULL, NORMALIZE_STD, 0},
};

START_TEST(a_state_comes_back_from_its_bytes_with_the_same_digest)
{
    struct learner *l = model_create(&models[_i]);
    model_train_random(l, 1234, 1); /* the ring of recent outcomes wraps */
    struct learner *back = through_bytes(l);
    expect_same_digest(l, back);
    ck_assert_uint_eq(back->revision, 1);
    ck_assert_uint_eq(back->step, 1234);
    ck_assert_uint_eq(back->tally.samples, 1234);
    learner_free(l);
    learner_free(back);
}
END_TEST

START_TEST(a_state_that_came_back_learns_on_with_the_same_bits)
{
    struct learner *l = model_create(&models[_i]);
    model_train_random(l, 50, 2);
    struct learner *back = through_bytes(l);
    for (uint32_t c = 0; c < l->n_classes; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(l->buffer, c); slot++)
            replay_buffer_fill(back->buffer, c, slot, replay_buffer_id(l->buffer, c, slot),
                               replay_buffer_pixels(l->buffer, c, slot));
    model_train_random(l, 50, 3);
    model_train_random(back, 50, 3);
    expect_same_digest(l, back);
    learner_free(l);
    learner_free(back);
}
END_TEST

START_TEST(settings_and_labels_come_back_exactly)
{
    struct learner *l = small();
    struct err err;
    l->settings.rate = 0x1.234566p-7F;
    l->settings.mean = -0x1.fffffep-5F;
    l->settings.seed = 9007199254740991u;
    l->settings.fit = FIT_STRETCH;
    l->settings.invert = INVERT_AUTO;
    l->settings.rehearsal = 64;
    l->settings.jitter = 0x1.8p-3F;
    l->settings.rotation = 45.0F;
    l->settings.decay_steps = 0x1.234566p+13F;
    char longest[LABEL_BYTES_MAX + 1];
    memset(longest, 'x', LABEL_BYTES_MAX);
    longest[LABEL_BYTES_MAX] = '\0';
    ck_assert_int_eq(model_class(l, CLASS_RENAME, 0, longest, &err), 0);
    ck_assert_int_eq(model_class(l, CLASS_RENAME, 1, "\xc3\xa9", &err), 0);
    struct learner *back = through_bytes(l);
    for (int i = 0; i < SETTING_N; i++)
        ck_assert_double_eq(settings_get(&back->settings, (enum setting)i),
                            settings_get(&l->settings, (enum setting)i));
    ck_assert_str_eq(back->labels[0], longest);
    ck_assert_str_eq(back->labels[1], "\xc3\xa9");
    learner_free(l);
    learner_free(back);
}
END_TEST

START_TEST(encode_writes_nothing_where_the_room_is_short)
{
    struct learner *l = small();
    const size_t n = learner_encode_rest(l, NULL, 0);
    uint8_t *bytes = malloc(n);
    ck_assert_ptr_nonnull(bytes);
    memset(bytes, 0xa5, n);
    ck_assert_uint_eq(learner_encode_rest(l, bytes, n - 1), n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(bytes[i], 0xa5);
    free(bytes);
    learner_free(l);
}
END_TEST

/* ---- damage ---- */

/* Decodes a copy in a block of its own length. What is accepted must be a state that works. */
static bool accepted(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n > 0 ? n : 1);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, bytes, n);
    struct err err = {.code = ERR_NONE};
    struct learner *l = learner_decode(exact, n, NULL, &err);
    free(exact);
    if (l == NULL) {
        ck_assert_msg(err.code == ERR_DB_CORRUPT || err.code == ERR_MEMORY, "%s: %s", err_code_name(err.code),
                      err.text);
        ck_assert_str_ne(err.text, "");
        return false;
    }
    model_train_random(l, 1, 5);
    (void)model_digest(l);
    learner_free(l);
    return true;
}

START_TEST(bytes_that_were_cut_anywhere_are_refused)
{
    struct learner *l = lean();
    size_t n;
    model_train_random(l, 30, 4);
    uint8_t *bytes = encoded(l, &n);
    ck_assert(accepted(bytes, n));
    const size_t step = COARSE && !run_exhaustive() ? 5 : 1;
    for (size_t cut = 0; cut < n; cut += step)
        ck_assert_msg(!accepted(bytes, cut), "%zu of %zu bytes", cut, n);
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(a_byte_too_many_is_refused)
{
    struct learner *l = small();
    const size_t n = learner_encode_rest(l, NULL, 0);
    uint8_t *bytes = calloc(n + 1, 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(learner_encode_rest(l, bytes, n), n);
    ck_assert(!accepted(bytes, n + 1));
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(any_flipped_bit_is_refused_or_gives_a_state_that_works)
{
    struct learner *l = lean();
    size_t n;
    model_train_random(l, 5, 6);
    uint8_t *bytes = encoded(l, &n);
    size_t refused = 0;
    const size_t step = COARSE && !run_exhaustive() ? 7 : 1; /* 7: of each byte another bit */
    for (size_t bit = 0; bit < 8 * n; bit += step) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused += !accepted(bytes, n);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_gt(refused, n / step); /* of 8 n / step; the others flipped figures, which the digest guards */
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(many_flipped_bits_are_refused_or_give_a_state_that_works)
{
    struct learner *l = lean();
    size_t n;
    struct chance chance = {.state = 7};
    model_train_random(l, 5, 6);
    uint8_t *bytes = encoded(l, &n), *damaged = malloc(n);
    ck_assert_ptr_nonnull(damaged);
    for (int round = 0; round < (COARSE ? 2000 : 20000); round++) {
        memcpy(damaged, bytes, n);
        for (uint32_t flips = chance_between(&chance, 2, 9); flips > 0; flips--)
            damaged[chance_between(&chance, 0, (uint32_t)n - 1)] ^= (uint8_t)(1u << chance_between(&chance, 0, 7));
        (void)accepted(damaged, n);
    }
    free(bytes);
    free(damaged);
    learner_free(l);
}
END_TEST

START_TEST(bytes_that_mean_nothing_are_refused)
{
    struct chance chance = {.state = 8};
    uint8_t bytes[300];
    for (int round = 0; round < 2000; round++) {
        chance_pixels(&chance, bytes, sizeof bytes);
        if (round % 2 == 0)
            memcpy(bytes, "\1\0\0\0", 4); /* the right form */
        ck_assert(!accepted(bytes, chance_between(&chance, 0, sizeof bytes)));
    }
}
END_TEST

/* Where the parts lie in the bytes of small(): core/learner/codec.c. */
#define AT_WIDTH    4
#define AT_SETTINGS 36
#define AT_RATE     (AT_SETTINGS + 4 + 1 + 4) /* "rate" is the first */

static void expect_corrupt(const uint8_t *bytes, size_t n, const char *part_of_text)
{
    struct err err = {.code = ERR_NONE};
    ck_assert_ptr_null(learner_decode(bytes, n, NULL, &err));
    ck_assert_msg(err.code == ERR_DB_CORRUPT, "%s: %s", err_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, part_of_text) != NULL, "\"%s\" lacks \"%s\"", err.text, part_of_text);
}

START_TEST(another_form_of_the_bytes_is_refused)
{
    struct learner *l = small();
    size_t n;
    uint8_t *bytes = encoded(l, &n);
    bytes[0] = 2;
    expect_corrupt(bytes, n, "form 2");
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(a_setting_out_of_range_is_a_damaged_database)
{
    struct learner *l = small();
    size_t n;
    uint8_t *bytes = encoded(l, &n);
    ck_assert_mem_eq(bytes + AT_RATE - 4, "rate", 4);
    const double rate = -1.0;
    memcpy(bytes + AT_RATE, &rate, sizeof rate);
    expect_corrupt(bytes, n, "rate");
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(a_later_setting_is_named_only_where_it_is_not_what_an_earlier_version_had)
{
    struct event event;
    static char labels[SHAPE_CLASSES_MAX][LABEL_BYTES_MAX + 1];
    struct err err;
    model_labels(labels, models[0].n_classes);
    event = model_event(&models[0], labels);
    for (uint32_t size = 999; size <= 1001; size++) {
        event.as.create.settings.rehearsal_buffer = size;
        struct learner *l = learner_create(&event, NULL, 0, &err);
        ck_assert_msg(l != NULL, "%s", err.text);
        ck_assert_uint_eq(l->buffer->size, size);
        model_train_random(l, 30, 7);
        size_t n;
        uint8_t *bytes = encoded(l, &n);
        uint32_t named;
        memcpy(&named, bytes + AT_SETTINGS, sizeof named);
        ck_assert_uint_eq(named, size == 1000 ? SETTING_LATER : SETTING_N);
        struct learner *back = through_bytes(l);
        ck_assert_uint_eq(back->settings.rehearsal_buffer, size);
        ck_assert_uint_eq(back->buffer->size, size);
        free(bytes);
        learner_free(back);
        learner_free(l);
    }
}
END_TEST

/* Of two ways to write a state, one is none. */
START_TEST(a_later_setting_that_is_named_though_it_is_as_before_is_refused)
{
    static char labels[SHAPE_CLASSES_MAX][LABEL_BYTES_MAX + 1];
    struct err err;
    model_labels(labels, models[0].n_classes);
    struct event event = model_event(&models[0], labels);
    event.as.create.settings.rehearsal_buffer = 2000;
    struct learner *l = learner_create(&event, NULL, 0, &err);
    ck_assert_msg(l != NULL, "%s", err.text);
    size_t n;
    uint8_t *bytes = encoded(l, &n);
    static const char name[] = "rehearsal_buffer";
    uint8_t *at = memmem(bytes, n, name, strlen(name));
    ck_assert_ptr_nonnull(at);
    static const double wrong[] = {1000, 0, 10001, 1999.5};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(at + strlen(name), &wrong[i], sizeof wrong[i]);
        expect_corrupt(bytes, n, "");
    }
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(an_unknown_setting_is_named)
{
    struct learner *l = small();
    size_t n;
    uint8_t *bytes = encoded(l, &n);
    memcpy(bytes + AT_RATE - 4, "rage", 4);
    expect_corrupt(bytes, n, "rage");
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(a_shape_over_a_limit_is_a_damaged_database)
{
    struct learner *l = small();
    size_t n;
    uint8_t *bytes = encoded(l, &n);
    const uint32_t width = UINT32_MAX;
    memcpy(bytes + AT_WIDTH, &width, sizeof width);
    expect_corrupt(bytes, n, "width");
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(an_outcome_of_a_class_that_is_not_there_is_refused)
{
    struct learner *l = small();
    size_t n;
    model_train_random(l, 3, 9);
    l->tally.recent[1].predicted = 3;
    uint8_t *bytes = encoded(l, &n);
    expect_corrupt(bytes, n, "damaged");
    free(bytes);
    l->tally.recent[1].predicted = 2;
    l->tally.recent[2].label = 65535;
    bytes = encoded(l, &n);
    expect_corrupt(bytes, n, "damaged");
    free(bytes);
    learner_free(l);
}
END_TEST

START_TEST(decode_works_without_a_place_for_the_error)
{
    ck_assert_ptr_null(learner_decode((const uint8_t *)"", 0, NULL, NULL));
    struct learner *l = small();
    size_t n;
    uint8_t *bytes = encoded(l, &n);
    memcpy(bytes + AT_RATE - 4, "rage", 4);
    ck_assert_ptr_null(learner_decode(bytes, n, NULL, NULL));
    free(bytes);
    learner_free(l);
}
END_TEST

/* ---- copies ---- */

START_TEST(a_duplicate_is_equal_and_independent)
{
    struct learner *l = small();
    struct err err;
    model_train_random(l, 20, 10);
    struct learner *dup = learner_dup(l, true, &err);
    ck_assert_ptr_nonnull(dup);
    expect_same_digest(l, dup);
    ck_assert_uint_eq(dup->revision, l->revision);
    struct hex before = model_digest(dup);
    model_train_random(l, 20, 11);
    ck_assert_str_eq(before.text, model_digest(dup).text);
    model_train_random(dup, 20, 11);
    expect_same_digest(l, dup);
    learner_free(l);
    learner_free(dup);
}
END_TEST

START_TEST(a_duplicate_that_only_predicts_has_no_workspace)
{
    struct learner *l = small();
    struct err err;
    struct learner *dup = learner_dup(l, false, &err);
    ck_assert_ptr_nonnull(dup);
    ck_assert_ptr_null(dup->ws);
    ck_assert_int_eq(learner_reserve(dup, 100, &err), 0);
    ck_assert_ptr_null(dup->ws);
    expect_same_digest(l, dup);
    learner_free(l);
    learner_free(dup);
}
END_TEST

/* A copy from `from` classes over a state of `to` classes that has learned, then classes added to both: whatever the copy had
 * before must not come back. */
START_TEST(a_copy_over_another_number_of_classes_leaves_nothing_of_it_behind)
{
    static const struct {
        uint32_t from, to;
    } cases[] = {{3, 3}, {3, 14}, {14, 3}, {15, 40}, {40, 15}, {16, 17}, {17, 16}, {5, 300}, {300, 5}};
    struct model_options options = model_small();
    struct err err;
    options.n_classes = cases[_i].from;
    struct learner *src = model_create(&options);
    struct learner *dst = learner_dup(src, true, &err);
    ck_assert_ptr_nonnull(dst);
    ck_assert_int_eq(learner_reserve(dst, cases[_i].to, &err), 0);
    for (uint32_t i = dst->n_classes; i < cases[_i].to; i++) {
        char label[16];
        (void)snprintf(label, sizeof label, "%u", i);
        ck_assert_int_eq(model_class(dst, CLASS_ADD, i, label, &err), 0);
    }
    model_train_random(dst, 400, 12);
    model_train_random(src, 40, 13);

    ck_assert_int_eq(learner_copy(dst, src, &err), 0);
    expect_same_digest(src, dst);
    ck_assert_uint_eq(dst->revision, src->revision);
    ck_assert_uint_eq(dst->n_classes, src->n_classes);
    for (int i = 0; i < 20; i++) {
        char label[16];
        (void)snprintf(label, sizeof label, "new %d", i);
        ck_assert_int_eq(learner_reserve(src, src->n_classes + 1, &err), 0);
        ck_assert_int_eq(learner_reserve(dst, dst->n_classes + 1, &err), 0);
        ck_assert_int_eq(model_class(src, CLASS_ADD, src->n_classes, label, &err), 0);
        ck_assert_int_eq(model_class(dst, CLASS_ADD, dst->n_classes, label, &err), 0);
    }
    expect_same_digest(src, dst);
    model_train_random(src, 40, 14);
    model_train_random(dst, 40, 14);
    expect_same_digest(src, dst);
    learner_free(src);
    learner_free(dst);
}
END_TEST

START_TEST(a_copy_grows_to_the_classes_of_its_source)
{
    struct model_options options = model_small();
    struct err err;
    struct learner *src = model_create(&options);
    struct learner *dst = learner_dup(src, false, &err);
    ck_assert_ptr_nonnull(dst);
    ck_assert_int_eq(learner_reserve(src, 200, &err), 0);
    for (uint32_t i = src->n_classes; i < 200; i++) {
        char label[16];
        (void)snprintf(label, sizeof label, "%u", i);
        ck_assert_int_eq(model_class(src, CLASS_ADD, i, label, &err), 0);
    }
    ck_assert_int_eq(learner_copy(dst, src, &err), 0);
    ck_assert_uint_ge(dst->capacity, 200);
    expect_same_digest(src, dst);
    learner_free(src);
    learner_free(dst);
}
END_TEST

START_TEST(freeing_nothing_is_fine)
{
    learner_free(NULL);
    workspace_free(NULL);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("codec");
    const int n_models = (int)(sizeof models / sizeof *models);
    tcase_add_loop_test(tcase, a_state_comes_back_from_its_bytes_with_the_same_digest, 0, n_models);
    tcase_add_loop_test(tcase, a_state_that_came_back_learns_on_with_the_same_bits, 0, n_models);
    tcase_add_test(tcase, settings_and_labels_come_back_exactly);
    tcase_add_test(tcase, encode_writes_nothing_where_the_room_is_short);
    tcase_add_test(tcase, bytes_that_were_cut_anywhere_are_refused);
    tcase_add_test(tcase, a_byte_too_many_is_refused);
    tcase_add_test(tcase, any_flipped_bit_is_refused_or_gives_a_state_that_works);
    tcase_add_test(tcase, many_flipped_bits_are_refused_or_give_a_state_that_works);
    tcase_add_test(tcase, bytes_that_mean_nothing_are_refused);
    tcase_add_test(tcase, another_form_of_the_bytes_is_refused);
    tcase_add_test(tcase, a_setting_out_of_range_is_a_damaged_database);
    tcase_add_test(tcase, a_later_setting_is_named_only_where_it_is_not_what_an_earlier_version_had);
    tcase_add_test(tcase, a_later_setting_that_is_named_though_it_is_as_before_is_refused);
    tcase_add_test(tcase, an_unknown_setting_is_named);
    tcase_add_test(tcase, a_shape_over_a_limit_is_a_damaged_database);
    tcase_add_test(tcase, an_outcome_of_a_class_that_is_not_there_is_refused);
    tcase_add_test(tcase, decode_works_without_a_place_for_the_error);
    tcase_add_test(tcase, a_duplicate_is_equal_and_independent);
    tcase_add_test(tcase, a_duplicate_that_only_predicts_has_no_workspace);
    tcase_add_loop_test(tcase, a_copy_over_another_number_of_classes_leaves_nothing_of_it_behind, 0, 9);
    tcase_add_test(tcase, a_copy_grows_to_the_classes_of_its_source);
    tcase_add_test(tcase, freeing_nothing_is_fine);
    return run_case(tcase, "codec");
}
