/* test_sheet.c - server/image/kernel_sheet.h: what can be read off the picture of the kernels. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/image.h"
#include "server/image/kernel_sheet.h"

/* A model whose kernels are these: [kernels][channels][2][2], on an input of 4 x 4. */
static struct learner *make(uint32_t kernels, uint32_t channels, const float *k)
{
    static const char labels[1][LABEL_BYTES_MAX + 1] = {"a"};
    static float w01[9 * 2], w12[2];
    struct event event = {.kind = EVENT_CREATE, .revision = 1};
    event.as.create.shape = (struct shape){.width = 4,
                                           .height = 4,
                                           .channels = channels,
                                           .kernels = kernels,
                                           .kernel_width = 2,
                                           .kernel_height = 2,
                                           .stride = 1,
                                           .hidden = 2};
    event.as.create.settings = settings_default();
    event.as.create.n_classes = 1;
    event.as.create.labels = labels;
    if (k != NULL) {
        event.as.create.k = k;
        event.as.create.w01 = w01;
        event.as.create.w12 = w12;
    }
    struct err err = {0};
    struct learner *learner = learner_create(&event, NULL, 0, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    return learner;
}

static struct picture draw(struct learner *learner)
{
    uint8_t *png;
    size_t n;
    struct picture picture;
    struct err err = {0};
    ck_assert_msg(sheet_kernels(&png, &n, learner, &err) == 0, "%s", err.text);
    ck_assert_msg(image_decode(&picture, png, n, &(struct image_limits){.pixels_max = SHEET_PIXELS_MAX}, &err) == 0,
                  "%s", err.text);
    free(png);
    learner_free(learner);
    return picture;
}

struct colour {
    uint8_t r, g, b;
};

static const struct colour reddest = {165, 15, 38}, bluest = {16, 66, 140};

struct found {
    size_t n;
    uint32_t left, right, top, bottom; /* of where it was found */
};

/* Above the legend, whose height with margin and text is 63. */
static struct found find(const struct picture *p, struct colour colour)
{
    struct found f = {.left = UINT32_MAX, .top = UINT32_MAX};
    for (uint32_t y = 0; y < p->height - 63; y++)
        for (uint32_t x = 0; x < p->width; x++) {
            const uint8_t *v = p->rgba + ((size_t)y * p->width + x) * 4;
            if (v[0] != colour.r || v[1] != colour.g || v[2] != colour.b)
                continue;
            f.n++;
            f.left = x < f.left ? x : f.left;
            f.right = x > f.right ? x : f.right;
            f.top = y < f.top ? y : f.top;
            f.bottom = y > f.bottom ? y : f.bottom;
        }
    return f;
}

START_TEST(the_largest_weight_is_one_square_of_the_deepest_red)
{
    const float k[] = {0, 2, 0, 0};
    struct picture p = draw(make(1, 1, k));
    struct found red = find(&p, reddest);
    ck_assert_uint_eq(red.n, 36 * 36);
    ck_assert_uint_eq(red.right - red.left, 35);
    ck_assert_uint_eq(red.bottom - red.top, 35);
    ck_assert_uint_eq(find(&p, bluest).n, 0);
    picture_fini(&p);
}
END_TEST

START_TEST(equal_magnitudes_are_equally_deep_red_and_blue)
{
    const float k[] = {0.1F, -0.1F, -0.1F, 0};
    struct picture p = draw(make(1, 1, k));
    struct found red = find(&p, reddest), blue = find(&p, bluest);
    ck_assert_uint_eq(red.n, 36 * 36);
    ck_assert_uint_eq(blue.n, 2 * 36 * 36);
    /* row by row: red upper left, blue right of it and below it */
    ck_assert_uint_eq(blue.left, red.left);
    ck_assert_uint_eq(blue.right, red.left + 71);
    ck_assert_uint_eq(blue.top, red.top);
    ck_assert_uint_eq(blue.bottom, red.top + 71);
    picture_fini(&p);
}
END_TEST

START_TEST(the_scale_is_common_to_all_kernels)
{
    const float k[] = {1, 0, 0, 0, 0.5F, 0, 0, 0};
    struct picture p = draw(make(2, 1, k));
    ck_assert_uint_eq(find(&p, reddest).n, 36 * 36);
    picture_fini(&p);
}
END_TEST

START_TEST(small_weights_can_be_told_from_none_and_from_each_other)
{
    const float k[] = {1, 0.05F, 0.1F, -0.05F};
    struct picture p = draw(make(1, 1, k));
    struct found red = find(&p, reddest);
    const uint8_t *row = p.rgba + ((size_t)(red.top + 40) * p.width + red.left) * 4;
    const uint8_t *a = p.rgba + ((size_t)red.top * p.width + red.left + 40) * 4, *b = row, *c = row + 40 * 4L;
    ck_assert(a[1] < 255 && b[1] < a[1]); /* reddish, more so */
    ck_assert(c[0] < 255 && c[2] > c[0]); /* bluish */
    picture_fini(&p);
}
END_TEST

START_TEST(channels_stand_side_by_side_in_their_order)
{
    const float k[] = {1, 1, 1, 1, 0, 0, 0, 0, -1, -1, -1, -1};
    struct picture p = draw(make(1, 3, k));
    struct found red = find(&p, reddest), blue = find(&p, bluest);
    ck_assert_uint_eq(red.n, 72 * 72);
    ck_assert_uint_eq(blue.n, 72 * 72);
    ck_assert_uint_eq(red.top, blue.top);
    ck_assert_uint_eq(blue.left - red.left, 2 * (74 + 3));
    picture_fini(&p);
}
END_TEST

START_TEST(kernels_of_nothing_but_zero_are_white)
{
    const float k[4] = {0};
    struct picture p = draw(make(1, 1, k));
    ck_assert_uint_eq(find(&p, reddest).n, 0);
    ck_assert_uint_eq(find(&p, bluest).n, 0);
    picture_fini(&p);
}
END_TEST

START_TEST(the_same_state_gives_the_same_bytes)
{
    struct learner *learner = make(7, 2, NULL);
    uint8_t *a, *b;
    size_t n_a, n_b;
    struct err err = {0};
    ck_assert_int_eq(sheet_kernels(&a, &n_a, learner, &err), 0);
    ck_assert_int_eq(sheet_kernels(&b, &n_b, learner, &err), 0);
    ck_assert_uint_eq(n_a, n_b);
    ck_assert_mem_eq(a, b, n_a);
    free(a);
    free(b);
    learner_free(learner);
}
END_TEST

START_TEST(every_number_of_kernels_has_a_sheet_with_white_margins)
{
    const uint32_t kernels[] = {1, 2, 3, 5, 7, 16, 37, 100, 1024}, channels[] = {1, 2, 3, 16};
    for (int c = kernels[_i] > 100 ? 3 : 0; c < 4; c++) {
        struct picture p = draw(make(kernels[_i], channels[c], NULL));
        size_t marked = 0; /* one assertion, not a million */
        for (uint32_t y = 0; y < p.height; y++)
            for (uint32_t x = 0; x < p.width; x++) {
                bool margin = x < 20 || y < 20 || x >= p.width - 20 || y >= p.height - 20;
                marked += margin && memcmp(p.rgba + ((size_t)y * p.width + x) * 4, "\xFF\xFF\xFF\xFF", 4) != 0;
            }
        ck_assert_uint_eq(marked, 0);
        picture_fini(&p);
    }
}
END_TEST

START_TEST(without_kernels_there_is_no_sheet)
{
    struct learner *learner = make(0, 1, NULL);
    uint8_t *png;
    size_t n;
    struct err err = {0};
    ck_assert_int_eq(sheet_kernels(&png, &n, learner, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    learner_free(learner);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sheet");
    TCase *cases = tcase_create("sheet");
    tcase_set_timeout(cases, 60); /* a thousand kernels, under sanitizers */
    tcase_add_test(cases, the_largest_weight_is_one_square_of_the_deepest_red);
    tcase_add_test(cases, equal_magnitudes_are_equally_deep_red_and_blue);
    tcase_add_test(cases, the_scale_is_common_to_all_kernels);
    tcase_add_test(cases, small_weights_can_be_told_from_none_and_from_each_other);
    tcase_add_test(cases, channels_stand_side_by_side_in_their_order);
    tcase_add_test(cases, kernels_of_nothing_but_zero_are_white);
    tcase_add_test(cases, the_same_state_gives_the_same_bytes);
    tcase_add_loop_test(cases, every_number_of_kernels_has_a_sheet_with_white_margins, 0, 9);
    tcase_add_test(cases, without_kernels_there_is_no_sheet);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
