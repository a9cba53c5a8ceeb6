/* test_fit_content.c - server/image/content.c: a drawing is found, whatever it is drawn on, and where.
 *
 * The drawing is an L of 20 x 30 units with strokes of 4, so that its place, size and sides can be told from an input.
 */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/shape.h"
#include "server/image/codec.h"

#define SIDE 28

struct scene {
    uint32_t width, height, x, y, unit; /* of the L's upper left, and how many pixels a unit has */
    int paper[3], ink[3];
    int fall;         /* of the light, from the left to the right */
    unsigned noise;   /* amplitude                                 */
    bool table, dirt; /* ink at an edge; specks                    */
};

static const struct scene plain = {600, 800, 200, 250, 8, {230, 225, 210}, {40, 45, 90}, 0, 0, false, false};

static struct picture draw(const struct scene *scene)
{
    struct picture p = {.width = scene->width, .height = scene->height};
    p.rgba = malloc((size_t)4 * p.width * p.height);
    ck_assert_ptr_nonnull(p.rgba);
    uint32_t random = 1;
    for (uint32_t y = 0; y < p.height; y++)
        for (uint32_t x = 0; x < p.width; x++) {
            const int u = ((int)x - (int)scene->x), v = ((int)y - (int)scene->y), unit = (int)scene->unit;
            const bool in = u >= 0 && v >= 0 && u < 20 * unit && v < 30 * unit && (u < 4 * unit || v >= 26 * unit);
            const bool dark = in || (scene->table && x < 40) ||
                              (scene->dirt && x > p.width - 30 && x < p.width - 20 && y > 20 && y < 30);
            uint8_t *to = p.rgba + 4 * ((size_t)y * p.width + x);
            random = random * 1664525u + 1013904223u;
            for (int c = 0; c < 3; c++) {
                int value =
                    (dark ? scene->ink[c] : scene->paper[c]) * (255 - scene->fall * (int)x / (int)p.width) / 255;
                value += scene->noise > 0 ? (int)(random >> 16) % (int)(2 * scene->noise + 1) - (int)scene->noise : 0;
                to[c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
            }
            to[3] = 255;
        }
    return p;
}

static struct shape shape_of(uint32_t width, uint32_t height, uint32_t channels)
{
    struct shape shape = shape_default();
    struct err err = {0};
    shape.width = width;
    shape.height = height;
    shape.channels = channels;
    ck_assert_msg(shape_check(&shape, 2, &err) == 0, "%s", err.text);
    return shape;
}

static void fit(uint8_t *input, const struct shape *shape, enum invert invert, const struct scene *scene)
{
    struct err err = {0};
    struct picture picture = draw(scene);
    ck_assert_msg(image_fit(input, shape, FIT_CONTENT, invert, &picture, &err) == 0, "%s", err.text);
    picture_fini(&picture);
}

/* The L, light on dark, 20 of 28 pixels high and 13.3 wide, its mass in the middle. */
static void check_l(const uint8_t *input, int least, int most_ground)
{
    uint64_t mass = 0, at_x = 0, at_y = 0;
    int left = SIDE, right = -1, top = SIDE, bottom = -1;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const int v = input[y * SIDE + x];
            mass += (unsigned)v;
            at_x += (unsigned)(v * x);
            at_y += (unsigned)(v * y);
            if (v > 127) {
                left = x < left ? x : left;
                right = x > right ? x : right;
                top = y < top ? y : top;
                bottom = y;
            }
        }
    ck_assert_uint_gt(mass, 0);
    ck_assert_int_le(abs(right - left + 1 - 13), 1);
    ck_assert_int_le(abs(bottom - top + 1 - 20), 1);
    ck_assert_int_le(abs((int)(2 * at_x / mass) - 27), 2);
    ck_assert_int_le(abs((int)(2 * at_y / mass) - 27), 2);
    ck_assert_int_ge(input[(top + 8) * SIDE + left + 1], least); /* within the stroke */
    ck_assert_int_ge(input[(bottom - 1) * SIDE + right - 3], least);
    ck_assert_int_le(input[(top + 8) * SIDE + right], most_ground); /* and where there is none */
    ck_assert_int_le(input[0], most_ground);
    ck_assert_int_le(input[SIDE * SIDE - 1], most_ground);
}

static const struct scene scenes[] = {
    {600, 800, 200, 250, 8, {230, 225, 210}, {40, 45, 90}, 0, 0, false, false},
    {600, 800, 20, 500, 8, {230, 225, 210}, {40, 45, 90}, 0, 0, false, false},      /* in a corner                */
    {800, 600, 600, 30, 8, {230, 225, 210}, {40, 45, 90}, 0, 0, false, false},      /* landscape                  */
    {600, 800, 50, 20, 25, {230, 225, 210}, {40, 45, 90}, 0, 0, false, false},      /* nearly all of it           */
    {600, 800, 300, 400, 3, {230, 225, 210}, {40, 45, 90}, 0, 0, false, false},     /* a tenth                    */
    {600, 800, 200, 250, 8, {230, 225, 210}, {40, 45, 90}, 150, 12, false, false},  /* light falls off, and noise */
    {600, 800, 200, 250, 8, {40, 60, 50}, {220, 220, 200}, 40, 6, false, false},    /* chalk                      */
    {600, 800, 200, 250, 8, {200, 200, 200}, {150, 150, 150}, 60, 4, false, false}, /* a pencil                */
    {600, 800, 200, 250, 8, {230, 225, 210}, {40, 45, 90}, 30, 4, true, true},      /* a table's edge, and dirt   */
    {120, 160, 40, 50, 1, {230, 225, 210}, {40, 45, 90}, 0, 0, false, false},       /* small                      */
};

START_TEST(the_drawing_is_found_cut_out_scaled_and_centred)
{
    const struct shape shape = shape_of(SIDE, SIDE, 1);
    uint8_t input[SIDE * SIDE];
    fit(input, &shape, INVERT_NEVER, &scenes[_i]);
    check_l(input, 170, 20);
    uint8_t again[sizeof input];
    fit(again, &shape, INVERT_AUTO, &scenes[_i]); /* it is light on dark already */
    ck_assert_mem_eq(again, input, sizeof input);
    fit(again, &shape, INVERT_ALWAYS, &scenes[_i]);
    for (size_t i = 0; i < sizeof again; i++)
        again[i] = (uint8_t)(255 - again[i]);
    ck_assert_mem_eq(again, input, sizeof input);
}
END_TEST

START_TEST(a_drawing_that_touches_the_edge_is_one_where_there_is_no_other)
{
    const struct shape shape = shape_of(SIDE, SIDE, 1);
    uint8_t input[SIDE * SIDE];
    struct scene scene = plain;
    scene.x = 0;
    fit(input, &shape, INVERT_NEVER, &scene);
    check_l(input, 170, 20);
}
END_TEST

START_TEST(the_window_has_the_input_s_aspect)
{
    const struct shape shape = shape_of(56, 28, 1);
    uint8_t wide[56 * 28];
    fit(wide, &shape, INVERT_NEVER, &plain);
    uint8_t middle[SIDE * SIDE];
    for (size_t y = 0; y < SIDE; y++)
        memcpy(middle + y * SIDE, wide + y * 56 + 14, SIDE);
    check_l(middle, 170, 20);
}
END_TEST

START_TEST(colours_stay_what_they_are)
{
    const struct shape shape = shape_of(SIDE, SIDE, 3);
    uint8_t input[3 * SIDE * SIDE], ink[SIDE * SIDE];
    fit(input, &shape, INVERT_NEVER, &plain);
    for (int c = 0; c < 3; c++) {
        for (size_t i = 0; i < sizeof ink; i++)
            ink[i] =
                (uint8_t)((plain.paper[c] - input[(size_t)c * sizeof ink + i]) * 255 / (plain.paper[c] - plain.ink[c]));
        check_l(ink, 250, 2);
    }
}
END_TEST

START_TEST(a_picture_without_a_drawing_or_of_the_input_s_size_is_contained)
{
    const struct shape shape = shape_of(SIDE, SIDE, 1);
    struct scene empty = plain, small = {SIDE, SIDE, 3, 3, 1, {230, 225, 210}, {40, 45, 90}, 0, 0, false, false};
    empty.x = 10000;
    empty.fall = 60;
    empty.noise = 5;
    const struct scene *scenes_here[] = {&empty, &small};
    for (int i = 0; i < 2; i++) {
        uint8_t content[SIDE * SIDE], contained[sizeof content];
        struct err err = {0};
        struct picture picture = draw(scenes_here[i]);
        ck_assert_int_eq(image_fit(contained, &shape, FIT_CONTAIN, INVERT_AUTO, &picture, &err), 0);
        ck_assert_int_eq(image_fit(content, &shape, FIT_CONTENT, INVERT_AUTO, &picture, &err), 0);
        ck_assert_mem_eq(content, contained, sizeof content);
        picture_fini(&picture);
    }
}
END_TEST

/* What is on a black ground, or will be, and what stands on a transparent one, is taken as it is; the rest is cut out. */
START_TEST(auto_cuts_out_what_is_not_yet)
{
    static const struct {
        int paper, ink;
        uint8_t alpha; /* of the picture's outermost pixels */
        enum invert invert;
        enum fit like;
        enum invert like_invert;
    } cases[] = {
        {0, 255, 255, INVERT_NEVER, FIT_CONTAIN, INVERT_NEVER},
        {4, 255, 255, INVERT_NEVER, FIT_CONTAIN, INVERT_NEVER},
        {5, 255, 255, INVERT_NEVER, FIT_CONTENT, INVERT_NEVER},
        {255, 0, 255, INVERT_NEVER, FIT_CONTENT, INVERT_NEVER},
        {255, 0, 255, INVERT_AUTO, FIT_CONTAIN, INVERT_AUTO},
        {255, 0, 255, INVERT_ALWAYS, FIT_CONTAIN, INVERT_ALWAYS},
        {250, 0, 255, INVERT_ALWAYS, FIT_CONTENT, INVERT_NEVER},
        {255, 0, 0, INVERT_NEVER, FIT_CONTAIN, INVERT_NEVER},
    };
    const struct shape shape = shape_of(SIDE, SIDE, 1);
    struct scene scene = plain;
    for (int c = 0; c < 3; c++)
        scene.paper[c] = cases[_i].paper, scene.ink[c] = cases[_i].ink;
    struct picture picture = draw(&scene);
    for (uint32_t y = 0; y < picture.height; y++)
        for (uint32_t x = 0; x < picture.width; x += y == 0 || y == picture.height - 1 ? 1 : picture.width - 1)
            picture.rgba[4 * ((size_t)y * picture.width + x) + 3] = cases[_i].alpha;
    uint8_t input[SIDE * SIDE], like[sizeof input];
    struct err err = {0};
    ck_assert_int_eq(image_fit(input, &shape, FIT_AUTO, cases[_i].invert, &picture, &err), 0);
    ck_assert_int_eq(image_fit(like, &shape, cases[_i].like, cases[_i].like_invert, &picture, &err), 0);
    ck_assert_mem_eq(input, like, sizeof input);
    picture_fini(&picture);
}
END_TEST

START_TEST(any_picture_of_any_size_is_fitted)
{
    const struct shape shape = shape_of(9, 7, 2);
    uint32_t random = 7;
    for (uint32_t w = 1; w <= 40; w += 3)
        for (uint32_t h = 1; h <= 700; h = h * 3 + 1) {
            struct picture p = {.width = w, .height = h, .rgba = malloc((size_t)4 * w * h)};
            ck_assert_ptr_nonnull(p.rgba);
            for (size_t i = 0; i < (size_t)4 * w * h; i++) {
                random = random * 1664525u + 1013904223u;
                p.rgba[i] = (uint8_t)(w % 2 == 0 ? random >> 24 : random >> 31 != 0 ? 255 : 0);
            }
            uint8_t input[2 * 9 * 7];
            struct err err = {0};
            ck_assert_int_eq(image_fit(input, &shape, FIT_CONTENT, INVERT_AUTO, &p, &err), 0);
            picture_fini(&p);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fit_content");
    TCase *tcase = tcase_create("content");
    tcase_add_loop_test(tcase, the_drawing_is_found_cut_out_scaled_and_centred, 0, sizeof scenes / sizeof *scenes);
    tcase_add_test(tcase, a_drawing_that_touches_the_edge_is_one_where_there_is_no_other);
    tcase_add_test(tcase, the_window_has_the_input_s_aspect);
    tcase_add_test(tcase, colours_stay_what_they_are);
    tcase_add_test(tcase, a_picture_without_a_drawing_or_of_the_input_s_size_is_contained);
    tcase_add_loop_test(tcase, auto_cuts_out_what_is_not_yet, 0, 8);
    tcase_add_test(tcase, any_picture_of_any_size_is_fitted);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
