/* test_shape.c - the geometry: what is derived from it, and each limit with the member that it names. */
#include <check.h>
#include <stdint.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/chance.h"
#include "tests/core/run.h"

START_TEST(the_default_shape_is_that_of_the_digits)
{
    struct shape s = shape_default();
    struct err err;
    ck_assert_int_eq(shape_check(&s, 10, &err), 0);
    ck_assert_uint_eq(s.n_input, 784);
    ck_assert_uint_eq(s.out_w, 24);
    ck_assert_uint_eq(s.out_h, 24);
    ck_assert_uint_eq(s.n_k, 25);
    ck_assert_uint_eq(s.n_0, 576);
    ck_assert_uint_eq(s.n_1, 128);
}
END_TEST

START_TEST(a_stride_that_does_not_divide_is_rounded_down)
{
    struct shape s = {.width = 31, .height = 23, .channels = 3, .kernels = 5, .hidden = 2};
    struct err err;
    s.kernel_width = 4;
    s.kernel_height = 3;
    s.stride = 4;
    ck_assert_int_eq(shape_check(&s, 2, &err), 0);
    ck_assert_uint_eq(s.out_w, 7); /* (31 - 4) / 4 + 1 */
    ck_assert_uint_eq(s.out_h, 6); /* (23 - 3) / 4 + 1 */
    ck_assert_uint_eq(s.n_0, 42);
    ck_assert_uint_eq(s.n_k, 36);
}
END_TEST

START_TEST(a_kernel_as_large_as_the_image_has_one_position)
{
    struct shape s = {.width = 12, .height = 9, .channels = 1, .kernels = 2, .hidden = 2};
    struct err err;
    s.kernel_width = 12;
    s.kernel_height = 9;
    s.stride = 4096;
    ck_assert_int_eq(shape_check(&s, 2, &err), 0);
    ck_assert_uint_eq(s.n_0, 1);
    ck_assert_uint_eq(s.n_k, 108);
}
END_TEST

START_TEST(without_kernels_the_input_is_layer_0_and_the_kernels_sides_mean_nothing)
{
    struct shape s = shape_default();
    struct err err;
    s.kernels = 0;
    s.kernel_width = UINT32_MAX;
    s.kernel_height = 0;
    s.stride = 0;
    s.channels = 3;
    ck_assert_int_eq(shape_check(&s, 10, &err), 0);
    ck_assert_uint_eq(s.n_0, 3 * 784);
    ck_assert_uint_eq(s.n_k, 0);
    ck_assert_uint_eq(s.kernel_width, 0);
    ck_assert_uint_eq(s.kernel_height, 0);
    ck_assert_uint_eq(s.stride, 0);
}
END_TEST

START_TEST(checking_a_checked_shape_changes_nothing)
{
    struct shape once = shape_default(), twice;
    struct err err;
    ck_assert_int_eq(shape_check(&once, 10, &err), 0);
    twice = once;
    ck_assert_int_eq(shape_check(&twice, 10, &err), 0);
    ck_assert_mem_eq(&once, &twice, sizeof once);
}
END_TEST

/* ---- limits: one member each ---- */

enum { WIDTH, HEIGHT, CHANNELS, KERNELS, KERNEL_WIDTH, KERNEL_HEIGHT, STRIDE, HIDDEN, CLASSES };

/* The default shape, large enough for every kernel, with one member changed. */
static int check_with(int member, uint32_t value, struct err *err)
{
    struct shape s = shape_default();
    s.width = s.height = 70;
    s.hidden = 1;
    uint32_t classes = 10;
    uint32_t *const members[] = {&s.width,         &s.height, &s.channels, &s.kernels, &s.kernel_width,
                                 &s.kernel_height, &s.stride, &s.hidden,   &classes};
    *members[member] = value;
    err->code = ERR_NONE;
    return shape_check(&s, classes, err);
}

static const struct {
    int member;
    const char *pointer;
    uint32_t low, high;
} limits[] = {
    {WIDTH, "/width", 5, SHAPE_SIDE_MAX}, /* 5: the kernel */
    {HEIGHT, "/height", 5, SHAPE_SIDE_MAX},
    {CHANNELS, "/channels", 1, SHAPE_CHANNELS_MAX},
    {KERNELS, "/kernels", 0, SHAPE_KERNELS_MAX},
    {KERNEL_WIDTH, "/kernel_width", 1, SHAPE_KERNEL_SIDE_MAX},
    {KERNEL_HEIGHT, "/kernel_height", 1, SHAPE_KERNEL_SIDE_MAX},
    {STRIDE, "/stride", 1, SHAPE_SIDE_MAX},
    {HIDDEN, "/hidden", 1, SHAPE_HIDDEN_MAX},
    {CLASSES, "/classes", 0, SHAPE_CLASSES_MAX},
};
#define N_LIMITS ((int)(sizeof limits / sizeof *limits))

START_TEST(a_member_at_either_limit_is_fine)
{
    struct err err;
    ck_assert_msg(check_with(limits[_i].member, limits[_i].low, &err) == 0, "%s", err.text);
    ck_assert_msg(check_with(limits[_i].member, limits[_i].high, &err) == 0, "%s", err.text);
}
END_TEST

START_TEST(a_member_over_its_limit_is_named)
{
    struct err err;
    ck_assert_int_eq(check_with(limits[_i].member, limits[_i].high + 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_str_eq(err.pointer, limits[_i].pointer);
    ck_assert_ptr_nonnull(strstr(err.text, limits[_i].pointer + 1));
}
END_TEST

START_TEST(a_huge_member_is_named)
{
    static const uint32_t huge[] = {0x7fffffff, 0x80000000, 0xffff0001, UINT32_MAX};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        struct err err;
        ck_assert_int_eq(check_with(limits[_i].member, huge[i], &err), -1);
        ck_assert_int_eq(err.code, ERR_LIMIT);
        ck_assert_str_eq(err.pointer, limits[_i].pointer);
    }
}
END_TEST

START_TEST(a_member_of_zero_is_named)
{
    struct err err;
    if (limits[_i].low == 0)
        return; /* kernels: another test */
    ck_assert_int_eq(check_with(limits[_i].member, 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_VALUE);
    ck_assert_str_eq(err.pointer, limits[_i].pointer);
}
END_TEST

START_TEST(a_kernel_larger_than_the_image_is_named)
{
    struct shape s = shape_default();
    struct err err;
    s.kernel_width = 29;
    ck_assert_int_eq(shape_check(&s, 10, &err), -1);
    ck_assert_str_eq(err.pointer, "/kernel_width");
    s = shape_default();
    s.kernel_height = 29;
    ck_assert_int_eq(shape_check(&s, 10, &err), -1);
    ck_assert_str_eq(err.pointer, "/kernel_height");
}
END_TEST

/* ---- products ---- */

START_TEST(an_input_over_its_limit_is_refused_though_each_side_is_allowed)
{
    struct shape s = {.width = 4096, .height = 4096, .channels = 1, .hidden = 1};
    struct err err;
    ck_assert_int_eq(shape_check(&s, 2, &err), 0);
    ck_assert_uint_eq(s.n_input, SHAPE_INPUT_MAX);
    s.channels = 2;
    ck_assert_int_eq(shape_check(&s, 2, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_str_eq(err.pointer, "/width");
    s.channels = 16; /* 2^28 */
    ck_assert_int_eq(shape_check(&s, 2, &err), -1);
    ck_assert_str_eq(err.pointer, "/width");
}
END_TEST

START_TEST(parameters_over_their_limit_are_refused_though_each_size_is_allowed)
{
    /* 4096 x 4096 inputs by 16 hidden and their 16 x n_2 weights are just too many, by 15 they fit */
    struct shape s = {.width = 4096, .height = 4096, .channels = 1, .hidden = 16};
    struct err err;
    ck_assert_int_eq(shape_check(&s, 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_str_eq(err.pointer, "/hidden");
    s.hidden = 15;
    ck_assert_int_eq(shape_check(&s, 1, &err), 0);
    s.hidden = SHAPE_HIDDEN_MAX; /* 2^38 weights: does not fit 32 bits */
    ck_assert_int_eq(shape_check(&s, 1, &err), -1);
    ck_assert_str_eq(err.pointer, "/hidden");
}
END_TEST

START_TEST(whatever_is_accepted_has_sizes_that_agree_and_stay_within_the_limits)
{
    struct chance chance = {.state = 1};
    uint32_t accepted = 0;
    for (int i = 0; i < 100000; i++) {
        /* sides of every magnitude, some over their limits */
        struct shape s = {
            .width = chance_between(&chance, 0, 1u << chance_between(&chance, 0, 14)),
            .height = chance_between(&chance, 0, 1u << chance_between(&chance, 0, 14)),
            .channels = chance_between(&chance, 0, 17),
            .kernels = chance_between(&chance, 0, 1u << chance_between(&chance, 0, 11)),
            .kernel_width = chance_between(&chance, 0, 70),
            .kernel_height = chance_between(&chance, 0, 70),
            .stride = chance_between(&chance, 0, 1u << chance_between(&chance, 0, 13)),
            .hidden = chance_between(&chance, 0, 1u << chance_between(&chance, 0, 15)),
        };
        uint32_t classes = chance_between(&chance, 0, 1100);
        struct err err;
        if (shape_check(&s, classes, &err) != 0) {
            if ((err.code != ERR_VALUE && err.code != ERR_LIMIT) || err.pointer[0] != '/')
                ck_abort_msg("%s", err.text);
            continue;
        }
        accepted++;
        ck_assert_uint_eq((uint64_t)s.width * s.height * s.channels, s.n_input);
        ck_assert_uint_eq(s.hidden, s.n_1);
        ck_assert_uint_ge(s.n_0, 1);
        ck_assert_uint_le((uint64_t)s.kernels * s.n_k + (uint64_t)s.n_0 * s.n_1 + (uint64_t)s.n_1 * classes,
                          SHAPE_PARAMETERS_MAX);
        if (s.kernels > 0) {
            /* the last position's patch ends within the image, and one more would not */
            ck_assert_uint_le((uint64_t)(s.out_w - 1) * s.stride + s.kernel_width, s.width);
            ck_assert_uint_gt((uint64_t)s.out_w * s.stride + s.kernel_width, s.width);
            ck_assert_uint_le((uint64_t)(s.out_h - 1) * s.stride + s.kernel_height, s.height);
            ck_assert_uint_gt((uint64_t)s.out_h * s.stride + s.kernel_height, s.height);
            ck_assert_uint_eq((uint64_t)s.out_w * s.out_h, s.n_0);
        }
    }
    ck_assert_uint_ge(accepted, 500);
}
END_TEST

START_TEST(a_refusal_needs_no_place_for_the_error)
{
    struct shape s = shape_default();
    s.width = 0;
    ck_assert_int_eq(shape_check(&s, 10, NULL), -1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("shape");
    tcase_add_test(tcase, the_default_shape_is_that_of_the_digits);
    tcase_add_test(tcase, a_stride_that_does_not_divide_is_rounded_down);
    tcase_add_test(tcase, a_kernel_as_large_as_the_image_has_one_position);
    tcase_add_test(tcase, without_kernels_the_input_is_layer_0_and_the_kernels_sides_mean_nothing);
    tcase_add_test(tcase, checking_a_checked_shape_changes_nothing);
    tcase_add_loop_test(tcase, a_member_at_either_limit_is_fine, 0, N_LIMITS);
    tcase_add_loop_test(tcase, a_member_over_its_limit_is_named, 0, N_LIMITS);
    tcase_add_loop_test(tcase, a_huge_member_is_named, 0, N_LIMITS);
    tcase_add_loop_test(tcase, a_member_of_zero_is_named, 0, N_LIMITS);
    tcase_add_test(tcase, a_kernel_larger_than_the_image_is_named);
    tcase_add_test(tcase, an_input_over_its_limit_is_refused_though_each_side_is_allowed);
    tcase_add_test(tcase, parameters_over_their_limit_are_refused_though_each_size_is_allowed);
    tcase_add_test(tcase, whatever_is_accepted_has_sizes_that_agree_and_stay_within_the_limits);
    tcase_add_test(tcase, a_refusal_needs_no_place_for_the_error);
    return run_case(tcase, "shape");
}
