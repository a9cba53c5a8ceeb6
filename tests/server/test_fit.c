/* test_fit.c - server/image/image.h: a picture becomes the planes of an input: fitted, its background chosen, inverted. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/server/picture_file.h"

static uint32_t random_state = 1;

static unsigned draw(unsigned n)
{
    random_state = random_state * 1664525U + 1013904223U;
    return (unsigned)(((uint64_t)random_state * n) >> 32);
}

static struct picture random_picture(unsigned width, unsigned height, bool opaque)
{
    struct picture p = {.width = width, .height = height, .rgba = malloc((size_t)width * height * 4)};
    ck_assert_ptr_nonnull(p.rgba);
    for (size_t i = 0; i < (size_t)width * height * 4; i++)
        p.rgba[i] = opaque && i % 4 == 3 ? 255 : (uint8_t)draw(256);
    return p;
}

static void fit(uint8_t *input, unsigned width, unsigned height, unsigned channels, enum fit how, enum invert invert,
                const struct picture *picture)
{
    struct shape shape = {.width = width, .height = height, .channels = channels};
    struct err err = {0};
    memset(input, 0xEE, (size_t)width * height * channels);
    int status = image_fit(input, &shape, how, invert, picture, &err);
    ck_assert_msg(status == 0, "%s", err.text);
}

START_TEST(a_grey_picture_of_the_input_s_size_gives_its_very_pixels)
{
    uint8_t pixels[28 * 28], input[28 * 28], *png;
    size_t n;
    struct err err = {0};
    for (int i = 0; i < 28 * 28; i++)
        pixels[i] = (uint8_t)draw(256);
    ck_assert_int_eq(image_encode_png(&png, &n, pixels, 28, 28, 1, &err), 0);
    struct shape shape = {.width = 28, .height = 28, .channels = 1};
    struct settings settings = settings_default();
    for (int how = FIT_CONTAIN; how <= FIT_STRETCH; how++) {
        settings.fit = (enum fit)how;
        ck_assert_int_eq(image_to_input(input, &shape, settings.fit, settings.invert, png, n,
                                        &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, &err),
                         0);
        ck_assert_mem_eq(input, pixels, sizeof pixels);
    }
    free(png);
}
END_TEST

START_TEST(colours_and_alpha_become_planes)
{
    struct picture p = random_picture(5, 3, false);
    uint8_t input[4 * 15];
    fit(input, 5, 3, 4, FIT_STRETCH, INVERT_NEVER, &p);
    for (unsigned c = 0; c < 4; c++)
        for (unsigned i = 0; i < 15; i++)
            ck_assert_uint_eq(input[c * 15 + i], p.rgba[i * 4 + c]);
    fit(input, 5, 3, 2, FIT_STRETCH, INVERT_NEVER, &p);
    for (unsigned i = 0; i < 15; i++) {
        const uint8_t *v = p.rgba + i * 4;
        ck_assert_uint_eq(input[i], (299U * v[0] + 587U * v[1] + 114U * v[2] + 500U) / 1000U);
        ck_assert_uint_eq(input[15 + i], v[3]);
    }
    picture_fini(&p);
}
END_TEST

START_TEST(inverting_leaves_alpha_alone)
{
    struct picture p = random_picture(5, 3, false);
    uint8_t input[4 * 15];
    fit(input, 5, 3, 4, FIT_STRETCH, INVERT_ALWAYS, &p);
    for (unsigned c = 0; c < 4; c++)
        for (unsigned i = 0; i < 15; i++)
            ck_assert_uint_eq(input[c * 15 + i], c == 3 ? p.rgba[i * 4 + c] : 255U - p.rgba[i * 4 + c]);
    picture_fini(&p);
}
END_TEST

/* The mean of the area under each pixel, cell by cell of the grid on which both sizes have whole sides. */
START_TEST(stretching_is_the_exact_rounded_area_mean)
{
    for (int round = 0; round < 150; round++) {
        unsigned w = 1 + draw(40), h = 1 + draw(40), W = 1 + draw(12), H = 1 + draw(12);
        ck_assert(w > 0 && h > 0);
        struct picture p = random_picture(w, h, true);
        uint8_t input[3 * 12 * 12];
        fit(input, W, H, 3, FIT_STRETCH, INVERT_NEVER, &p);
        for (unsigned c = 0; c < 3; c++)
            for (unsigned y = 0; y < H; y++)
                for (unsigned x = 0; x < W; x++) {
                    unsigned long sum = 0;
                    for (unsigned v = y * h; v < (y + 1) * h; v++)
                        for (unsigned u = x * w; u < (x + 1) * w; u++)
                            sum += p.rgba[(v / H * w + u / W) * 4 + c];
                    ck_assert_uint_eq(input[(c * H + y) * W + x], (2 * sum + (unsigned long)w * h) / (2UL * w * h));
                }
        picture_fini(&p);
    }
}
END_TEST

START_TEST(containing_keeps_the_aspect_and_fills_with_the_border_s_mean)
{
    /* 4x2 into 6x6: 6x3 in the middle, one row above, two below. All ten... of eight pixels are outermost. */
    uint8_t grey[8] = {10, 20, 30, 40, 50, 60, 70, 81}, input[36];
    struct picture p = {.width = 4, .height = 2, .rgba = malloc(32)};
    ck_assert_ptr_nonnull(p.rgba);
    for (unsigned i = 0; i < 8; i++) {
        memset(p.rgba + i * 4, grey[i], 3);
        p.rgba[i * 4 + 3] = 255;
    }
    fit(input, 6, 6, 1, FIT_CONTAIN, INVERT_NEVER, &p);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_uint_eq(input[i], 45); /* 361 / 8 = 45.1 */
        ck_assert_uint_eq(input[24 + i], 45);
        ck_assert_uint_eq(input[30 + i], 45);
    }
    /* target pixel 0 lies on 2/3 of pixel 0; the middle row half on each: (10 + 50) / 2 */
    ck_assert_uint_eq(input[6], 10);
    ck_assert_uint_eq(input[12], 30);
    ck_assert_uint_eq(input[18], 50);
    /* target pixel 1 covers [2/3, 4/3): half 10, half 20 */
    ck_assert_uint_eq(input[7], 15);
    picture_fini(&p);
}
END_TEST

START_TEST(covering_cuts_the_middle_out)
{
    /* 5x2 onto 2x2: columns 1 and 2 of 0..4 (three are too many by one, the odd one to the right) */
    struct picture p = random_picture(5, 2, true);
    uint8_t input[3 * 4];
    fit(input, 2, 2, 3, FIT_COVER, INVERT_NEVER, &p);
    for (unsigned c = 0; c < 3; c++)
        for (unsigned y = 0; y < 2; y++)
            for (unsigned x = 0; x < 2; x++)
                ck_assert_uint_eq(input[(c * 2 + y) * 2 + x], p.rgba[(y * 5 + 1 + x) * 4 + c]);
    picture_fini(&p);
    /* 2x5 onto 2x2: rows 1 and 2 */
    p = random_picture(2, 5, true);
    fit(input, 2, 2, 3, FIT_COVER, INVERT_NEVER, &p);
    for (unsigned c = 0; c < 3; c++)
        for (unsigned y = 0; y < 2; y++)
            for (unsigned x = 0; x < 2; x++)
                ck_assert_uint_eq(input[(c * 2 + y) * 2 + x], p.rgba[((1 + y) * 2 + x) * 4 + c]);
    picture_fini(&p);
}
END_TEST

START_TEST(extreme_aspects_fill_every_pixel)
{
    const unsigned sides[][2] = {{1, 5000}, {5000, 1}, {1, 1}, {4999, 3}};
    for (size_t i = 0; i < 4; i++)
        for (int how = FIT_CONTAIN; how <= FIT_STRETCH; how++) {
            struct picture p = {.width = sides[i][0], .height = sides[i][1]};
            size_t n = (size_t)p.width * p.height * 4;
            p.rgba = malloc(n);
            ck_assert_ptr_nonnull(p.rgba);
            memset(p.rgba, 255, n);
            for (size_t j = 0; j < n; j += 4)
                p.rgba[j] = p.rgba[j + 1] = p.rgba[j + 2] = 99;
            uint8_t input[7 * 11];
            fit(input, 7, 11, 1, (enum fit)how, INVERT_NEVER, &p);
            for (unsigned j = 0; j < sizeof input; j++)
                ck_assert_uint_eq(input[j], 99);
            picture_fini(&p);
        }
}
END_TEST

/* 6x6: a square of 2x2 ink in the middle of a ground. */
static struct picture ink(uint8_t grey, uint8_t baseline, uint8_t ground_alpha)
{
    struct picture p = {.width = 6, .height = 6, .rgba = malloc(6 * 6 * 4)};
    ck_assert_ptr_nonnull(p.rgba);
    for (unsigned y = 0; y < 6; y++)
        for (unsigned x = 0; x < 6; x++) {
            bool inside = x >= 2 && x < 4 && y >= 2 && y < 4;
            memset(p.rgba + (y * 6 + x) * 4, inside ? grey : baseline, 3);
            p.rgba[(y * 6 + x) * 4 + 3] = inside ? 255 : ground_alpha;
        }
    return p;
}

static void inked(enum invert invert, uint8_t grey, uint8_t baseline, uint8_t ground_alpha, unsigned ink_out,
                  unsigned ground_out)
{
    struct picture p = ink(grey, baseline, ground_alpha);
    uint8_t input[36];
    fit(input, 6, 6, 1, FIT_CONTAIN, invert, &p);
    ck_assert_uint_eq(input[14], ink_out);
    ck_assert_uint_eq(input[0], ground_out);
    picture_fini(&p);
}

START_TEST(without_inverting_transparency_lies_over_black)
{
    inked(INVERT_NEVER, 200, 100, 128, 200, 50);
    inked(INVERT_NEVER, 20, 100, 128, 20, 50);
    inked(INVERT_NEVER, 20, 250, 255, 20, 250);
}
END_TEST

START_TEST(inverting_lays_transparency_over_white)
{
    inked(INVERT_ALWAYS, 55, 100, 128, 200, 78);
    inked(INVERT_ALWAYS, 200, 100, 128, 55, 78);
    inked(INVERT_ALWAYS, 20, 250, 255, 235, 5);
}
END_TEST

START_TEST(auto_inverts_dark_ink_on_light_paper_only)
{
    inked(INVERT_AUTO, 20, 250, 255, 235, 5);
    inked(INVERT_AUTO, 250, 20, 255, 250, 20);
    inked(INVERT_AUTO, 0, 128, 255, 255, 127);
    inked(INVERT_AUTO, 255, 127, 255, 255, 127);
}
END_TEST

START_TEST(auto_on_a_transparent_ground_goes_by_the_ink)
{
    inked(INVERT_AUTO, 0, 0, 0, 255, 0);
    inked(INVERT_AUTO, 0, 255, 0, 255, 0);
    inked(INVERT_AUTO, 255, 255, 0, 255, 0);
    inked(INVERT_AUTO, 240, 0, 0, 240, 0);
}
END_TEST

/* A round stroke of that colour, its edge ever more transparent and, as a canvas keeps it, ever coarser in colour; over `ground`, 0 or 255, where
 * that is no -1. */
static struct picture stroke(const uint8_t colour[3], int baseline)
{
    struct picture p = {.width = 21, .height = 17, .rgba = calloc(21 * 17, 4)};
    ck_assert_ptr_nonnull(p.rgba);
    for (int y = 0; y < 17; y++)
        for (int x = 0; x < 21; x++) {
            const int far = (x - 10) * (x - 10) + (y - 8) * (y - 8);
            const unsigned a = far < 16 ? 255 : far < 40 ? 255 - (unsigned)(far - 15) * 10 : 0;
            uint8_t *to = p.rgba + 4 * (21 * y + x);
            for (unsigned c = 0; c < 3 && a > 0; c++) {
                const unsigned kept = (colour[c] * a + 127) / 255, back = (kept * 255 + a / 2) / a;
                to[c] = (uint8_t)(back > 255 ? 255 : back);
            }
            to[3] = (uint8_t)a;
            for (unsigned c = 0; c < 3 && baseline >= 0; c++)
                to[c] = (uint8_t)((to[c] * a + (unsigned)baseline * (255 - a) + 127) / 255);
            if (baseline >= 0)
                to[3] = 255;
        }
    return p;
}

static const struct {
    uint8_t colour[3];
    int baseline;
} inks[] = {{{0, 0, 0}, 255},    {{255, 255, 255}, 0},   {{20, 40, 160}, 255},
            {{250, 220, 30}, 0}, {{127, 127, 127}, 255}, {{128, 128, 128}, 0}};

START_TEST(ink_on_a_transparent_ground_is_ink_on_the_ground_that_it_stands_out_from)
{
    struct picture transparent = stroke(inks[_i].colour, -1), opaque = stroke(inks[_i].colour, inks[_i].baseline);
    for (int channels = 1; channels <= 3; channels += 2)
        for (int how = FIT_CONTAIN; how <= FIT_STRETCH; how++)
            for (int invert = INVERT_NEVER; invert <= INVERT_AUTO; invert++) {
                uint8_t one[3 * 11 * 9], other[sizeof one];
                fit(one, 11, 9, (unsigned)channels, (enum fit)how, (enum invert)invert, &transparent);
                fit(other, 11, 9, (unsigned)channels, (enum fit)how, (enum invert)invert, &opaque);
                ck_assert_mem_eq(one, other, (size_t)channels * 11 * 9);
                ck_assert_int_gt(abs(one[11 * 4 + 5] - one[0]), 100);
            }
    picture_fini(&transparent);
    picture_fini(&opaque);
}
END_TEST

START_TEST(auto_leaves_nothing_but_transparency_black)
{
    struct picture p = {.width = 3, .height = 3, .rgba = calloc(9, 4)};
    ck_assert_ptr_nonnull(p.rgba);
    uint8_t input[9];
    fit(input, 3, 3, 1, FIT_CONTAIN, INVERT_AUTO, &p);
    for (unsigned i = 0; i < 9; i++)
        ck_assert_uint_eq(input[i], 0);
    picture_fini(&p);
}
END_TEST

START_TEST(a_fifth_channel_is_beyond_pictures)
{
    struct picture p = random_picture(2, 2, true);
    struct shape shape = {.width = 2, .height = 2, .channels = 5, .n_input = 20};
    struct err err = {0};
    uint8_t input[20];
    ck_assert_int_eq(image_fit(input, &shape, FIT_CONTAIN, INVERT_NEVER, &p, &err), -1);
    ck_assert_int_eq(err.code, ERR_VALUE);
    picture_fini(&p);
}
END_TEST

/* Fixed once and for all: what is learned from a picture must not change with compiler, machine or version. */
START_TEST(a_picture_gives_the_bytes_that_it_always_gave)
{
    const struct {
        const char *name;
        unsigned width, height, channels;
        enum fit fit;
        enum invert invert;
        uint32_t sum;
    } golden[] = {
        {"rgba8.png", 5, 5, 1, FIT_CONTAIN, INVERT_NEVER, 0x8e09b5a4U},
        {"rgba16.png", 5, 4, 3, FIT_COVER, INVERT_AUTO, 0xd5d90c88U},
        {"palette4-trns.png", 4, 9, 4, FIT_CONTAIN, INVERT_ALWAYS, 0x1e0c333eU},
        {"grey1.png", 28, 28, 1, FIT_STRETCH, INVERT_AUTO, 0xc46f5e6dU},
    };
    struct picture p = decode(golden[_i].name);
    uint8_t input[28 * 28];
    fit(input, golden[_i].width, golden[_i].height, golden[_i].channels, golden[_i].fit, golden[_i].invert, &p);
    uint32_t sum = 2166136261U; /* FNV-1a */
    for (unsigned i = 0; i < golden[_i].width * golden[_i].height * golden[_i].channels; i++)
        sum = (sum ^ input[i]) * 16777619U;
    ck_assert_msg(sum == golden[_i].sum, "%s: 0x%08xU", golden[_i].name, sum);
    picture_fini(&p);
}
END_TEST

START_TEST(an_input_is_flat_when_each_plane_has_one_value)
{
    uint8_t input[2 * 5 * 3];
    const struct shape grey = {.width = 6, .height = 5, .channels = 1, .n_input = 30},
                       planes = {.width = 5, .height = 3, .channels = 2, .n_input = 30},
                       pixel = {.width = 1, .height = 1, .channels = 1, .n_input = 1};
    memset(input, 7, sizeof input);
    ck_assert(image_is_flat(input, &grey) && image_is_flat(input, &planes));
    ck_assert(!image_is_flat(input, &pixel)); /* what else could it be? */
    memset(input + 15, 8, 15);
    ck_assert(!image_is_flat(input, &grey) && image_is_flat(input, &planes));
    for (unsigned i = 0; i < sizeof input; i++) {
        input[i]++;
        ck_assert(!image_is_flat(input, &grey) && !image_is_flat(input, &planes));
        input[i]--;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fit");
    TCase *fitting = tcase_create("fitting");
    tcase_add_test(fitting, a_grey_picture_of_the_input_s_size_gives_its_very_pixels);
    tcase_add_test(fitting, colours_and_alpha_become_planes);
    tcase_add_test(fitting, inverting_leaves_alpha_alone);
    tcase_add_test(fitting, stretching_is_the_exact_rounded_area_mean);
    tcase_add_test(fitting, containing_keeps_the_aspect_and_fills_with_the_border_s_mean);
    tcase_add_test(fitting, covering_cuts_the_middle_out);
    tcase_add_test(fitting, extreme_aspects_fill_every_pixel);
    tcase_add_test(fitting, without_inverting_transparency_lies_over_black);
    tcase_add_test(fitting, inverting_lays_transparency_over_white);
    tcase_add_test(fitting, auto_inverts_dark_ink_on_light_paper_only);
    tcase_add_test(fitting, auto_on_a_transparent_ground_goes_by_the_ink);
    tcase_add_test(fitting, an_input_is_flat_when_each_plane_has_one_value);
    tcase_add_loop_test(fitting, ink_on_a_transparent_ground_is_ink_on_the_ground_that_it_stands_out_from, 0,
                        sizeof inks / sizeof *inks);
    tcase_add_test(fitting, auto_leaves_nothing_but_transparency_black);
    tcase_add_test(fitting, a_fifth_channel_is_beyond_pictures);
    tcase_add_loop_test(fitting, a_picture_gives_the_bytes_that_it_always_gave, 0, 4);
    suite_add_tcase(suite, fitting);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
