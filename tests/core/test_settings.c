/* test_settings.c - the hyperparameters: the table, ranges, words and numbers from text. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/run.h"

START_TEST(every_setting_is_found_by_its_name)
{
    ck_assert_int_eq(settings_find(setting_table[_i].name), _i);
    ck_assert_str_ne(setting_table[_i].help, "");
}
END_TEST

START_TEST(an_unknown_name_is_not_found)
{
    ck_assert_int_eq(settings_find("learning_rate"), SETTING_N);
    ck_assert_int_eq(settings_find(""), SETTING_N);
    ck_assert_int_eq(settings_find("Rate"), SETTING_N);
    ck_assert_int_eq(settings_find("rate "), SETTING_N);
}
END_TEST

START_TEST(the_defaults_are_within_their_own_ranges)
{
    struct settings s = settings_default();
    struct err err;
    double value = settings_get(&s, (enum setting)_i);
    ck_assert_msg(settings_set(&s, (enum setting)_i, value, &err) == 0, "%s", err.text);
    ck_assert_double_eq(settings_get(&s, (enum setting)_i), value);
}
END_TEST

START_TEST(the_default_gradient_is_diagonal)
{
    struct settings s = settings_default();
    ck_assert_str_eq(settings_word(&s, SETTING_GRADIENT), "diagonal");
}
END_TEST

START_TEST(both_ends_of_a_range_are_allowed)
{
    struct settings s = settings_default();
    struct err err;
    const struct setting_info *info = &setting_table[_i];
    ck_assert_int_eq(settings_set(&s, (enum setting)_i, info->low, &err), 0);
    ck_assert_double_eq(settings_get(&s, (enum setting)_i), info->low);
    ck_assert_int_eq(settings_set(&s, (enum setting)_i, info->high, &err), 0);
    ck_assert_double_eq(settings_get(&s, (enum setting)_i), info->high);
}
END_TEST

static void expect_refused(struct settings *s, enum setting which, double value)
{
    struct settings before = *s;
    struct err err = {.code = ERR_NONE};
    char pointer[32];
    (void)snprintf(pointer, sizeof pointer, "/%s", setting_table[which].name);
    ck_assert_msg(settings_set(s, which, value, &err) == -1, "%s = %g", setting_table[which].name, value);
    ck_assert_int_eq(err.code, ERR_VALUE);
    ck_assert_str_eq(err.pointer, pointer);
    for (int i = 0; i < SETTING_N; i++)
        ck_assert_double_eq(settings_get(s, (enum setting)i), settings_get(&before, (enum setting)i));
}

START_TEST(a_number_out_of_range_is_refused_and_named)
{
    struct settings s = settings_default();
    const struct setting_info *info = &setting_table[_i];
    expect_refused(&s, (enum setting)_i, nextafter(info->low, -HUGE_VAL));
    expect_refused(&s, (enum setting)_i, nextafter(info->high, HUGE_VAL));
    expect_refused(&s, (enum setting)_i, -1e300);
    expect_refused(&s, (enum setting)_i, 1e300);
}
END_TEST

START_TEST(nan_and_infinities_are_refused)
{
    struct settings s = settings_default();
    expect_refused(&s, (enum setting)_i, (double)NAN);
    expect_refused(&s, (enum setting)_i, (double)INFINITY);
    expect_refused(&s, (enum setting)_i, -(double)INFINITY);
}
END_TEST

START_TEST(seeds_words_and_counts_must_be_whole)
{
    struct settings s = settings_default();
    expect_refused(&s, SETTING_SEED, 1.5);
    expect_refused(&s, SETTING_GRADIENT, 0.5);
    expect_refused(&s, SETTING_REHEARSAL, 1.5);
}
END_TEST

START_TEST(the_largest_seed_that_json_holds_is_kept_exactly)
{
    struct settings s = settings_default();
    struct err err;
    ck_assert_int_eq(settings_set_text(&s, SETTING_SEED, "9007199254740991", &err), 0);
    ck_assert_uint_eq(s.seed, 9007199254740991u);
    ck_assert_int_eq(settings_set_text(&s, SETTING_SEED, "9007199254740992", &err), -1);
    ck_assert_uint_eq(s.seed, 9007199254740991u);
}
END_TEST

START_TEST(a_float_comes_back_exactly_through_get_and_set)
{
    struct settings s = settings_default(), t = settings_default();
    struct err err;
    s.rate = 0x1.fffffep-3F;
    s.mean = -0x1.000002p-1F;
    ck_assert_int_eq(settings_set(&t, SETTING_RATE, settings_get(&s, SETTING_RATE), &err), 0);
    ck_assert_int_eq(settings_set(&t, SETTING_MEAN, settings_get(&s, SETTING_MEAN), &err), 0);
    ck_assert_mem_eq(&s.rate, &t.rate, sizeof s.rate);
    ck_assert_mem_eq(&s.mean, &t.mean, sizeof s.mean);
}
END_TEST

/* ---- from text ---- */

START_TEST(every_word_of_a_setting_is_taken_and_given_back)
{
    const struct setting_info *info = &setting_table[_i];
    if (info->words == NULL)
        return;
    int n = 0;
    for (; info->words[n] != NULL; n++) {
        struct settings s = settings_default();
        struct err err;
        ck_assert_int_eq(settings_set_text(&s, (enum setting)_i, info->words[n], &err), 0);
        ck_assert_str_eq(settings_word(&s, (enum setting)_i), info->words[n]);
        ck_assert_double_eq(settings_get(&s, (enum setting)_i), n);
    }
    ck_assert_int_ge(n, 2);
    ck_assert_double_eq(info->high, n - 1);
}
END_TEST

START_TEST(an_unknown_word_is_refused_with_the_words_that_would_work)
{
    struct settings s = settings_default();
    struct err err;
    ck_assert_int_eq(settings_set_text(&s, SETTING_GRADIENT, "exact", &err), -1);
    ck_assert_int_eq(err.code, ERR_VALUE);
    ck_assert_str_eq(err.pointer, "/gradient");
    ck_assert_ptr_nonnull(strstr(err.text, "exact"));
    ck_assert_ptr_nonnull(strstr(err.text, "diagonal"));
    ck_assert_ptr_nonnull(strstr(err.text, "jacobian"));
}
END_TEST

START_TEST(a_word_is_not_its_index)
{
    struct settings s = settings_default();
    struct err err;
    ck_assert_int_eq(settings_set_text(&s, SETTING_GRADIENT, "1", &err), -1);
    ck_assert_int_eq(settings_set_text(&s, SETTING_GRADIENT, "", &err), -1);
    ck_assert_int_eq(settings_set_text(&s, SETTING_GRADIENT, "Diagonal", &err), -1);
}
END_TEST

START_TEST(a_number_has_no_word)
{
    struct settings s = settings_default();
    ck_assert_ptr_null(settings_word(&s, SETTING_RATE));
    ck_assert_ptr_null(settings_word(&s, SETTING_SEED));
}
END_TEST

START_TEST(a_decimal_number_is_taken_from_text)
{
    static const struct {
        const char *text;
        float rate;
    } good[] = {{"0.073", 0.073F}, {"1", 1.0F},  {"+2.5", 2.5F}, {"1e-3", 0.001F},
                {".5", 0.5F},      {"5.", 5.0F}, {"-0", 0.0F}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct settings s = settings_default();
        struct err err;
        ck_assert_msg(settings_set_text(&s, SETTING_RATE, good[i].text, &err) == 0, "%s", err.text);
        ck_assert_double_eq((double)s.rate, (double)good[i].rate);
    }
}
END_TEST

START_TEST(text_that_is_not_a_decimal_number_is_refused)
{
    static const char *const bad[] = {"",    " ",     "x",     "1x",  "0.1 ", " 0.1", "1,5", "0x1",       "nan",  "inf",
                                      "NAN", "1e999", "1.2.3", "--1", "1e",   "\t1",  "1\n", "-0.000001", "100.5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct settings s = settings_default();
        struct err err = {.code = ERR_NONE};
        ck_assert_msg(settings_set_text(&s, SETTING_RATE, bad[i], &err) == -1, "\"%s\" was taken", bad[i]);
        ck_assert_int_eq(err.code, ERR_VALUE);
        ck_assert_str_eq(err.pointer, "/rate");
        ck_assert_double_eq((double)s.rate, (double)settings_default().rate);
    }
}
END_TEST

START_TEST(a_refused_text_of_any_length_fits_the_error)
{
    static char text[5000];
    struct settings s = settings_default();
    struct err err;
    memset(text, '7', sizeof text - 1);
    ck_assert_int_eq(settings_set_text(&s, SETTING_RATE, text, &err), -1);
    ck_assert_uint_lt(strlen(err.text), sizeof err.text);
    memset(text, 'w', sizeof text - 1);
    ck_assert_int_eq(settings_set_text(&s, SETTING_FIT, text, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "stretch"));
}
END_TEST

START_TEST(what_a_pixel_and_an_initial_weight_are_cannot_be_tuned)
{
    ck_assert(!setting_table[SETTING_MEAN].tunable);
    ck_assert(!setting_table[SETTING_SEED].tunable);
    ck_assert(setting_table[SETTING_RATE].tunable);
    ck_assert(setting_table[SETTING_GRADIENT].tunable);
    ck_assert(setting_table[SETTING_FIT].tunable);
    ck_assert(setting_table[SETTING_INVERT].tunable);
    ck_assert(setting_table[SETTING_REHEARSAL].tunable);
    ck_assert(setting_table[SETTING_JITTER].tunable);
    ck_assert(setting_table[SETTING_ROTATION].tunable);
    ck_assert(setting_table[SETTING_DECAY_STEPS].tunable);
    ck_assert(setting_table[SETTING_CLIP].tunable);
}
END_TEST

START_TEST(a_setting_that_old_logs_do_not_name_was_off_there)
{
    static const double first_version[SETTING_N] = {(double)0.05F, (double)0.13F,
                                                    42, [SETTING_OUTPUT_RATE] = 1, [SETTING_REHEARSAL_BUFFER] = 1000};
    struct settings s = settings_default();
    for (int i = 0; i < SETTING_N; i++)
        ck_assert_double_eq(settings_get(&s, (enum setting)i), first_version[i]);
}
END_TEST

START_TEST(a_class_is_rehearsed_most_after_its_first_samples)
{
    struct settings s = settings_default();
    s.rehearsal_first = 64;
    ck_assert_uint_eq(settings_rehearsals(&s, 1), 0); /* off is off */
    s.rehearsal = 8;
    static const struct {
        uint64_t seen;
        uint32_t n;
    } cases[] = {{1, 64}, {20, 64}, {21, 61}, {40, 32}, {159, 8}, {160, 8}, {161, 8}, {1000000000000, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_uint_eq(settings_rehearsals(&s, cases[i].seen), cases[i].n);
    s.rehearsal_first = 0;
    ck_assert_uint_eq(settings_rehearsals(&s, 1), 8);
}
END_TEST

/* ---- the falling rate ---- */

START_TEST(a_rate_without_a_fall_stays)
{
    struct settings s = settings_default();
    s.rate = 0.3F;
    ck_assert(settings_rate(&s, 0) == 0.3F);
    ck_assert(settings_rate(&s, UINT64_MAX) == 0.3F);
}
END_TEST

START_TEST(a_rate_falls_by_its_equation_down_to_a_tenth)
{
    static const struct {
        uint64_t step;
        double share; /* of the rate */
    } cases[] = {{0, 1},     {50, 1 / 1.5}, {100, 0.5},        {300, 0.25},  {899, 1 / 9.99},
                 {900, 0.1}, {901, 0.1},    {UINT64_MAX, 0.1}, {1, 1 / 1.01}};
    struct settings s = settings_default();
    s.rate = 0.3F;
    s.decay_steps = 100.0F;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(fabsf(settings_rate(&s, cases[i].step) - (float)(0.3 * cases[i].share)) <= 3e-8F, "%llu: %.9g",
                      (unsigned long long)cases[i].step, (double)settings_rate(&s, cases[i].step));
    for (uint64_t step = 0; step < 1000; step++)
        ck_assert(settings_rate(&s, step + 1) <= settings_rate(&s, step));
    s.decay_steps = 1e-30F; /* of no use, but allowed */
    ck_assert(settings_rate(&s, 0) == 0.3F);
    ck_assert(settings_rate(&s, 1) == (float)((double)0.3F / 10.0));
}
END_TEST

START_TEST(a_rate_that_was_given_without_a_fall_is_meant_to_stay)
{
    bool given[SETTING_N] = {false};
    struct settings s = settings_default();
    s.decay_steps = 60000.0F;
    settings_given(&s, &(struct shape){.channels = 1}, given);
    ck_assert(s.decay_steps > 0.0F);
    given[SETTING_DECAY_STEPS] = given[SETTING_RATE] = true;
    settings_given(&s, &(struct shape){.channels = 1}, given);
    ck_assert(s.decay_steps > 0.0F);
    given[SETTING_DECAY_STEPS] = false;
    settings_given(&s, &(struct shape){.channels = 1}, given);
    ck_assert(s.decay_steps == 0.0F);
}
END_TEST

/* ---- a new model ---- */

static struct shape shape_of(uint32_t side, uint32_t channels, uint32_t kernels, uint32_t kernel_side, uint32_t stride,
                             uint32_t hidden)
{
    struct shape shape = {.width = side,
                          .height = side,
                          .channels = channels,
                          .kernels = kernels,
                          .kernel_width = kernel_side,
                          .kernel_height = kernel_side,
                          .stride = stride,
                          .hidden = hidden};
    struct err err;
    ck_assert_msg(shape_check(&shape, 10, &err) == 0, "%s", err.text);
    return shape;
}

START_TEST(the_settings_of_a_new_model_are_within_their_ranges)
{
    const struct shape shapes[] = {shape_of(28, 1, 16, 5, 1, 128), shape_of(1, 1, 0, 0, 0, 1),
                                   shape_of(1000, 16, 0, 0, 0, 16), shape_of(64, 3, 16, 5, 2, 16384)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct settings s = settings_new(&shapes[i]), t = s;
        struct err err;
        for (int which = 0; which < SETTING_N; which++) {
            const double value = settings_get(&s, (enum setting)which);
            ck_assert_msg(settings_set(&t, (enum setting)which, value, &err) == 0, "%s", err.text);
            ck_assert_double_eq(settings_get(&t, (enum setting)which), value);
        }
        ck_assert(s.rate > 0.0F && s.decay_steps == 120000.0F);
    }
}
END_TEST

START_TEST(a_new_model_of_larger_pictures_turns_none)
{
    const struct {
        struct shape shape;
        float degrees;
    } cases[] = {{shape_of(8, 1, 16, 3, 1, 128), 10.0F},
                 {shape_of(28, 1, 16, 5, 1, 128), 10.0F},
                 {shape_of(32, 3, 16, 5, 1, 128), 0.0F},
                 {shape_of(48, 1, 16, 5, 1, 128), 0.0F},
                 {shape_of(128, 3, 16, 5, 2, 128), 0.0F}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct settings s = settings_new(&cases[i].shape);
        ck_assert_msg(s.rotation == cases[i].degrees, "case %zu: %.9g degrees", i, (double)s.rotation);
    }
}
END_TEST

START_TEST(an_image_that_is_normalized_has_a_mean_of_zero_unless_one_is_given)
{
    static const struct {
        enum normalize normalize;
        bool normalize_given, mean_given;
        uint32_t channels;
        float mean;
    } cases[] = {{NORMALIZE_STD, true, false, 1, 0.0F},   {NORMALIZE_MEAN, true, false, 3, 0.0F},
                 {NORMALIZE_NONE, true, false, 1, 0.13F}, {NORMALIZE_NONE, true, false, 3, 0.45F},
                 {NORMALIZE_NONE, true, true, 3, 0.13F},  {NORMALIZE_STD, true, true, 1, 0.13F},
                 {NORMALIZE_STD, false, false, 1, 0.13F}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings s = settings_default();
        s.normalize = cases[i].normalize;
        settings_given(&s, &(struct shape){.channels = cases[i].channels},
                       (const bool[SETTING_N]){
                           [SETTING_NORMALIZE] = cases[i].normalize_given, [SETTING_MEAN] = cases[i].mean_given});
        ck_assert_msg(s.mean == cases[i].mean, "case %zu: mean %.9g", i, (double)s.mean);
    }
}
END_TEST

START_TEST(the_rate_of_a_new_model_follows_from_its_geometry)
{
    const struct {
        struct shape shape;
        float rate;
    } cases[] = {
        {shape_of(28, 1, 16, 5, 1, 128), 0.08F},  {shape_of(28, 1, 16, 5, 1, 32), 0.08F},
        {shape_of(28, 1, 16, 5, 1, 512), 0.04F},  {shape_of(8, 1, 16, 3, 1, 128), 0.16F},
        {shape_of(28, 1, 16, 5, 2, 128), 0.11F},  {shape_of(24, 3, 16, 5, 1, 128), 0.029F},
        {shape_of(28, 1, 0, 0, 0, 128), 0.074F},  {shape_of(5, 1, 16, 5, 1, 128), 0.2F},
        {shape_of(64, 3, 16, 5, 2, 128), 0.024F},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct settings s = settings_new(&cases[i].shape);
        ck_assert_msg(s.rate == cases[i].rate, "case %zu: rate %.9g", i, (double)s.rate);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("settings");
    tcase_add_loop_test(tcase, every_setting_is_found_by_its_name, 0, SETTING_N);
    tcase_add_test(tcase, an_unknown_name_is_not_found);
    tcase_add_loop_test(tcase, the_defaults_are_within_their_own_ranges, 0, SETTING_N);
    tcase_add_test(tcase, the_default_gradient_is_diagonal);
    tcase_add_loop_test(tcase, both_ends_of_a_range_are_allowed, 0, SETTING_N);
    tcase_add_loop_test(tcase, a_number_out_of_range_is_refused_and_named, 0, SETTING_N);
    tcase_add_loop_test(tcase, nan_and_infinities_are_refused, 0, SETTING_N);
    tcase_add_test(tcase, seeds_words_and_counts_must_be_whole);
    tcase_add_test(tcase, the_largest_seed_that_json_holds_is_kept_exactly);
    tcase_add_test(tcase, a_float_comes_back_exactly_through_get_and_set);
    tcase_add_loop_test(tcase, every_word_of_a_setting_is_taken_and_given_back, 0, SETTING_N);
    tcase_add_test(tcase, an_unknown_word_is_refused_with_the_words_that_would_work);
    tcase_add_test(tcase, a_word_is_not_its_index);
    tcase_add_test(tcase, a_number_has_no_word);
    tcase_add_test(tcase, a_decimal_number_is_taken_from_text);
    tcase_add_test(tcase, text_that_is_not_a_decimal_number_is_refused);
    tcase_add_test(tcase, a_refused_text_of_any_length_fits_the_error);
    tcase_add_test(tcase, what_a_pixel_and_an_initial_weight_are_cannot_be_tuned);
    tcase_add_test(tcase, a_setting_that_old_logs_do_not_name_was_off_there);
    tcase_add_test(tcase, a_class_is_rehearsed_most_after_its_first_samples);
    tcase_add_test(tcase, a_rate_without_a_fall_stays);
    tcase_add_test(tcase, a_rate_falls_by_its_equation_down_to_a_tenth);
    tcase_add_test(tcase, a_rate_that_was_given_without_a_fall_is_meant_to_stay);
    tcase_add_test(tcase, a_new_model_of_larger_pictures_turns_none);
    tcase_add_test(tcase, the_settings_of_a_new_model_are_within_their_ranges);
    tcase_add_test(tcase, an_image_that_is_normalized_has_a_mean_of_zero_unless_one_is_given);
    tcase_add_test(tcase, the_rate_of_a_new_model_follows_from_its_geometry);
    return run_case(tcase, "settings");
}
