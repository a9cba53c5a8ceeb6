/* test_planes.c - server/image/input_png.h: an input as a picture comes back as the same input. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/image.h"
#include "server/image/input_png.h"

static struct err err;

static struct shape shape_of(uint32_t channels)
{
    struct shape shape = shape_default();
    shape.width = 7;
    shape.height = 5;
    shape.channels = channels;
    shape.kernel_width = shape.kernel_height = 3;
    ck_assert_int_eq(shape_check(&shape, 2, &err), 0);
    return shape;
}

static void fill(uint8_t *pixels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)(i * 37 + 11);
}

START_TEST(a_picture_of_the_planes_gives_the_same_planes_again)
{
    const struct shape shape = shape_of((uint32_t)_i);
    uint8_t pixels[4 * 35], back[4 * 35], *png = NULL;
    size_t n_png = 0;
    struct settings settings = settings_default();
    fill(pixels, shape.n_input);
    for (uint32_t scale = 1; scale <= 3; scale++) { /* a square of one colour is averaged to that colour */
        ck_assert_int_eq(planes_png(&png, &n_png, pixels, &shape, scale, &err), 0);
        ck_assert_msg(image_to_input(back, &shape, settings.fit, settings.invert, png, n_png,
                                     &(struct image_limits){.pixels_max = 1 << 20}, &err) == 0,
                      "%s", err.text);
        ck_assert_mem_eq(back, pixels, shape.n_input);
        free(png);
    }
}
END_TEST

START_TEST(more_than_four_planes_stand_below_each_other)
{
    const struct shape shape = shape_of(6);
    uint8_t pixels[6 * 35], *png = NULL;
    size_t n_png = 0;
    struct picture picture = {0};
    fill(pixels, sizeof pixels);
    ck_assert_int_eq(planes_png(&png, &n_png, pixels, &shape, 1, &err), 0);
    ck_assert_int_eq(image_decode(&picture, png, n_png, &(struct image_limits){.pixels_max = 1 << 20}, &err), 0);
    ck_assert_uint_eq(picture.width, 7);
    ck_assert_uint_eq(picture.height, 30);
    for (size_t i = 0; i < sizeof pixels; i++)
        ck_assert_uint_eq(picture.rgba[4 * i], pixels[i]);
    picture_fini(&picture);
    free(png);
}
END_TEST

START_TEST(a_scale_that_makes_the_picture_too_large_is_refused)
{
    struct shape shape = shape_of(1);
    static uint8_t pixels[4096 * 2];
    uint8_t *png = NULL;
    size_t n_png = 0;
    ck_assert_int_eq(planes_png(&png, &n_png, pixels, &shape, 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_VALUE);
    ck_assert_int_eq(planes_png(&png, &n_png, pixels, &shape, PLANES_SCALE_MAX + 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_VALUE);
    shape.width = shape.height = 4096;
    ck_assert_int_eq(planes_png(&png, &n_png, pixels, &shape, 2, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_ptr_null(png);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("planes");
    TCase *tests = tcase_create("png");
    suite_add_tcase(suite, tests);
    tcase_add_loop_test(tests, a_picture_of_the_planes_gives_the_same_planes_again, 1, 5);
    tcase_add_test(tests, more_than_four_planes_stand_below_each_other);
    tcase_add_test(tests, a_scale_that_makes_the_picture_too_large_is_refused);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
