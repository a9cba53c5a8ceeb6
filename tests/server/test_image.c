/* test_image.c - server/image/image.h: pictures decoded and refused, PNG written. How they are turned: test_orientation.c; how they are fitted
 * to the input: test_fit.c; JPEGs beside the plain ones: test_jpeg.c.
 *
 * The pictures are made by scripts/make-image-fixtures; sample() is the formula of their pixels.
 */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/server/picture_file.h"

static unsigned sample16(unsigned x, unsigned y, unsigned channel)
{
    return (x * 3701 + y * 5903 + channel * 20011 + 1100) % 65536;
}

/* Of that many bits, widened to 8. */
static uint8_t sample(unsigned x, unsigned y, unsigned channel, unsigned bits)
{
    if (bits >= 8)
        return (uint8_t)(sample16(x, y, channel) >> 8);
    return (uint8_t)((sample16(x, y, channel) >> (16 - bits)) * 255 / ((1U << bits) - 1));
}

enum kind { GREY, RGB, GREY_ALPHA, RGBA, PALETTE };

static void expect(uint8_t rgba[4], enum kind kind, unsigned bits, unsigned x, unsigned y, unsigned n_palette)
{
    unsigned i = n_palette == 0 ? 0 : (y * 9 + x) % n_palette;
    for (unsigned c = 0; c < 3; c++)
        rgba[c] = kind == PALETTE               ? sample(i, 0, c, 8)
                  : kind == RGB || kind == RGBA ? sample(x, y, c, bits)
                                                : sample(x, y, 0, bits);
    rgba[3] = kind == GREY_ALPHA ? sample(x, y, 1, bits) : kind == RGBA ? sample(x, y, 3, bits) : 255;
}

static const struct {
    const char *name;
    enum kind kind;
    unsigned bits, n_palette;
} pngs[] = {
    {"grey1.png", GREY, 1, 0},
    {"grey2.png", GREY, 2, 0},
    {"grey4.png", GREY, 4, 0},
    {"grey8.png", GREY, 8, 0},
    {"grey16.png", GREY, 16, 0},
    {"rgb8.png", RGB, 8, 0},
    {"rgb16.png", RGB, 16, 0},
    {"grey-alpha8.png", GREY_ALPHA, 8, 0},
    {"grey-alpha16.png", GREY_ALPHA, 16, 0},
    {"rgba8.png", RGBA, 8, 0},
    {"rgba16.png", RGBA, 16, 0},
    {"palette1.png", PALETTE, 1, 2},
    {"palette2.png", PALETTE, 2, 4},
    {"palette4.png", PALETTE, 4, 16},
    {"palette8.png", PALETTE, 8, 200},
    {"grey1-interlaced.png", GREY, 1, 0},
    {"rgba8-interlaced.png", RGBA, 8, 0},
    {"palette8-interlaced.png", PALETTE, 8, 200},
    {"gamma.png", RGB, 8, 0},
};

START_TEST(every_kind_of_png_is_decoded_to_its_very_pixels)
{
    struct picture p = decode(pngs[_i].name);
    ck_assert_uint_eq(p.width, 9);
    ck_assert_uint_eq(p.height, 7);
    for (unsigned y = 0; y < 7; y++)
        for (unsigned x = 0; x < 9; x++) {
            uint8_t expected[4];
            expect(expected, pngs[_i].kind, pngs[_i].bits, x, y, pngs[_i].n_palette);
            const uint8_t *got = p.rgba + (y * 9 + x) * 4;
            ck_assert_msg(memcmp(got, expected, 4) == 0, "%s at %u,%u: %u %u %u %u, not %u %u %u %u", pngs[_i].name, x,
                          y, got[0], got[1], got[2], got[3], expected[0], expected[1], expected[2], expected[3]);
        }
    picture_fini(&p);
}
END_TEST

START_TEST(a_palette_s_transparency_is_its_alpha)
{
    struct picture p = decode("palette4-trns.png");
    for (unsigned y = 0; y < 7; y++)
        for (unsigned x = 0; x < 9; x++) {
            unsigned i = (y * 9 + x) % 16;
            ck_assert_uint_eq(p.rgba[(y * 9 + x) * 4 + 3], i < 10 ? sample(0, i, 3, 8) : 255);
        }
    picture_fini(&p);
}
END_TEST

START_TEST(the_one_transparent_colour_is_transparent_and_no_other)
{
    const char *const names[] = {"grey8-trns.png", "grey16-trns.png", "rgb8-trns.png"};
    struct picture p = decode(names[_i]);
    for (unsigned y = 0; y < 7; y++)
        for (unsigned x = 0; x < 9; x++)
            ck_assert_msg(p.rgba[(y * 9 + x) * 4 + 3] == (x == 2 && y == 3 ? 0 : 255), "%s at %u,%u", names[_i], x, y);
    picture_fini(&p);
}
END_TEST

START_TEST(an_index_past_the_palette_is_black)
{
    struct picture p = decode("palette-index.png");
    for (unsigned i = 0; i < 63; i++)
        ck_assert_mem_eq(p.rgba + 4 * i, "\0\0\0\xFF", 4);
    picture_fini(&p);
}
END_TEST

static void near(const struct picture *p, unsigned x, unsigned y, int r, int g, int b, int most)
{
    const uint8_t *got = p->rgba + ((size_t)y * p->width + x) * 4;
    ck_assert_msg(abs(got[0] - r) <= most && abs(got[1] - g) <= most && abs(got[2] - b) <= most && got[3] == 255,
                  "at %u,%u: %u %u %u %u, not %d %d %d 255", x, y, got[0], got[1], got[2], got[3], r, g, b);
}

START_TEST(grey_jpegs_are_decoded)
{
    struct picture p = decode("grey.jpg");
    ck_assert_uint_eq(p.width, 16);
    ck_assert_uint_eq(p.height, 12);
    for (unsigned y = 0; y < 12; y++)
        for (unsigned x = 0; x < 16; x++) {
            int v = (int)(10 * x + 5 * y + 20);
            near(&p, x, y, v, v, v, 3);
        }
    picture_fini(&p);
}
END_TEST

START_TEST(colour_jpegs_are_decoded_baseline_and_progressive)
{
    const char *const names[] = {"colour.jpg", "colour-420.jpg", "progressive.jpg"};
    struct picture p = decode(names[_i]);
    ck_assert_uint_eq(p.width, 16);
    ck_assert_uint_eq(p.height, 12);
    for (unsigned y = 0; y < 12; y++)
        for (unsigned x = 0; x < 16; x++)
            near(&p, x, y, (int)(10 * x + 20), (int)(15 * y + 20), (int)(200 - 5 * x - 5 * y), _i == 1 ? 24 : 5);
    picture_fini(&p);
}
END_TEST

START_TEST(a_single_pixel_fills_the_input)
{
    const char *const names[] = {"one-pixel.png", "one-pixel.jpg"};
    const int expected[] = {1100 >> 8, 77};
    struct picture p = decode(names[_i]);
    ck_assert_uint_eq(p.width * p.height, 1);
    struct shape shape = {.width = 5, .height = 4, .channels = 1};
    uint8_t input[20];
    struct err err = {0};
    for (int fit = FIT_CONTAIN; fit <= FIT_STRETCH; fit++) {
        memset(input, 0xEE, sizeof input);
        ck_assert_int_eq(image_fit(input, &shape, (enum fit)fit, INVERT_NEVER, &p, &err), 0);
        for (int i = 0; i < 20; i++)
            ck_assert_int_le(abs(input[i] - expected[_i]), _i);
    }
    picture_fini(&p);
}
END_TEST

static const struct {
    const char *name;
    enum err_code code;
    const char *word;
} bad[] = {
    {"truncated.png", ERR_IMAGE, "truncated"},
    {"signature-only.png", ERR_IMAGE, "truncated"},
    {"no-end.png", ERR_IMAGE, "truncated"},
    {"corrupt.png", ERR_IMAGE, "corrupt"},
    {"bad-checksum.png", ERR_IMAGE, "checksum"},
    {"too-few-rows.png", ERR_IMAGE, "truncated"},
    {"bad-stream.png", ERR_IMAGE, "corrupt"},
    {"huge.png", ERR_IMAGE_LIMIT, "60000 x 60000"},
    {"largest.png", ERR_IMAGE_LIMIT, "16777216"},
    {"no-width.png", ERR_IMAGE, "width"},
    {"no-height.png", ERR_IMAGE, "height"},
    {"bad-depth.png", ERR_IMAGE, "depth"},
    {"no-palette.png", ERR_IMAGE, "corrupt"},
    {"chunks-bomb.png", ERR_IMAGE_LIMIT, "1000 chunks"},
    {"text.png", ERR_MEDIA_TYPE, "text"},
    {"truncated.jpg", ERR_IMAGE, "truncated"},
    {"truncated-progressive.jpg", ERR_IMAGE, "truncated"},
    {"no-end.jpg", ERR_IMAGE, "truncated"},
    {"header-only.jpg", ERR_IMAGE, "JPEG"},
    {"corrupt.jpg", ERR_IMAGE, "corrupt"},
    {"huge.jpg", ERR_IMAGE_LIMIT, "65000 x 65000"},
    {"no-width.jpg", ERR_IMAGE, "corrupt"},
    {"scans-bomb.jpg", ERR_IMAGE_LIMIT, "scans"},
    {"other.gif", ERR_MEDIA_TYPE, "GIF"},
    {"other.bmp", ERR_MEDIA_TYPE, "BMP"},
    {"other.tiff", ERR_MEDIA_TYPE, "TIFF"},
};

START_TEST(a_bad_picture_is_refused_for_what_it_is)
{
    struct picture picture = {.width = 77};
    struct err err = {0};
    size_t n;
    uint8_t *bytes = load(bad[_i].name, &n);
    ck_assert_msg(
        image_decode(&picture, bytes, n, &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, &err) == -1,
        "%s was taken", bad[_i].name);
    ck_assert_msg(err.code == bad[_i].code, "%s: %s: %s", bad[_i].name, err_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, bad[_i].word) != NULL, "%s: \"%s\" does not say \"%s\"", bad[_i].name, err.text,
                  bad[_i].word);
    ck_assert_uint_eq(picture.width, 77); /* untouched */
    free(bytes);
}
END_TEST

START_TEST(what_is_compressed_beside_the_pixels_is_not_even_inflated)
{
    static const char *const names[] = {"grey8.png", "text-bomb.png", "texts-bomb.png"};
    struct picture pictures[3];
    struct err err;
    for (int i = 0; i < 3; i++) {
        size_t n;
        uint8_t *bytes = load(names[i], &n);
        struct image_limits limits = {.pixels_max = 1000};
        ck_assert_msg(image_decode(&pictures[i], bytes, n, &limits, &err) == 0, "%s: %s", names[i], err.text);
        ck_assert_uint_eq(limits.pixels_taken, pictures[i].width * pictures[i].height);
        ck_assert_int_eq(image_decode(&pictures[i], bytes, n - 13, &limits, &err),
                         -1); /* its end is looked for all the same */
        ck_assert_int_eq(err.code, ERR_IMAGE);
        ck_assert_mem_eq(pictures[i].rgba, pictures[0].rgba, (size_t)4 * pictures[0].width * pictures[0].height);
        free(bytes);
    }
    for (int i = 0; i < 3; i++)
        picture_fini(&pictures[i]);
}
END_TEST

/* ---- limits of several pictures ---- */

START_TEST(pixels_of_several_pictures_are_counted_together)
{
    struct picture picture;
    struct err err;
    size_t n;
    uint8_t *bytes = load("rgb8.png", &n);
    struct image_limits limits = {.pixels_max = 1000};
    ck_assert_int_eq(image_decode(&picture, bytes, n, &limits, &err), 0);
    limits.pixels_all = 3 * limits.pixels_taken;
    picture_fini(&picture);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(image_decode(&picture, bytes, n, &limits, &err), 0);
        picture_fini(&picture);
    }
    ck_assert_int_eq(image_decode(&picture, bytes, n, &limits, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert(!limits.heavy);
    free(bytes);
}
END_TEST

START_TEST(a_thread_without_time_begins_nothing_large)
{
    struct picture picture;
    struct err err;
    size_t n;
    static const char *const names[] = {"rgb8.png", "rgba8-interlaced.png", "colour.jpg", "progressive.jpg"};
    for (int i = 0; i < 4; i++) {
        uint8_t *bytes = load(names[i], &n);
        struct image_limits limits = {.pixels_max = 1000, .light = true};
        ck_assert_int_eq(image_decode(&picture, bytes, n, &limits, &err), 0);
        picture_fini(&picture);
        const uint64_t taken = limits.pixels_taken;
        limits.pixels_taken = IMAGE_LIGHT_PIXELS - taken;
        ck_assert_int_eq(image_decode(&picture, bytes, n, &limits, &err), 0);
        picture_fini(&picture);
        ck_assert(!limits.heavy);
        ck_assert_int_eq(image_decode(&picture, bytes, n, &limits, &err), -1);
        ck_assert(limits.heavy);
        free(bytes);
    }
}
END_TEST

START_TEST(decoding_ends_when_it_is_cancelled)
{
    struct picture picture;
    struct err err;
    struct cancel late = {0};
    size_t n;
    uint8_t *bytes = load("rgba8-interlaced.png", &n);
    struct image_limits limits = {.pixels_max = 1000, .cancel = &late};
    struct shape shape = shape_default();
    uint8_t input[28 * 28];
    ck_assert_int_eq(shape_check(&shape, 2, &err), 0);
    ck_assert_int_eq(image_decode(&picture, bytes, n, &limits, &err), 0);
    ck_assert_int_eq(image_fit(input, &shape, FIT_CONTAIN, INVERT_NEVER, &picture, &err), 0);
    ck_assert(cancel(&late, CANCEL_LATE));
    ck_assert(!cancel(&late, CANCEL_GONE));
    ck_assert_int_eq(image_fit(input, &shape, FIT_CONTAIN, INVERT_NEVER, &picture, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    picture_fini(&picture);
    ck_assert_int_eq(image_decode(&picture, bytes, n, &limits, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    free(bytes);
}
END_TEST

START_TEST(no_bytes_are_no_picture)
{
    struct picture picture;
    struct err err = {0};
    const uint8_t none[1] = {0};
    ck_assert_int_eq(image_decode(&picture, none, 0, &(struct image_limits){.pixels_max = 100}, &err), -1);
    ck_assert_int_eq(err.code, ERR_EMPTY);
}
END_TEST

START_TEST(a_picture_cut_anywhere_is_refused)
{
    const char *const names[] = {"rgba8-interlaced.png", "palette4-trns.png", "colour.jpg", "progressive.jpg"};
    size_t n;
    uint8_t *bytes = load(names[_i], &n);
    const size_t last = _i < 2 ? n - 5 : n - 1; /* a PNG may lack the checksum at its end */
    for (size_t cut = 1; cut <= last; cut++) {
        uint8_t *part = malloc(cut);
        ck_assert_ptr_nonnull(part);
        memcpy(part, bytes, cut);
        struct picture picture;
        struct err err = {0};
        ck_assert_msg(image_decode(&picture, part, cut, &(struct image_limits){.pixels_max = 1000}, &err) == -1,
                      "%s cut to %zu", names[_i], cut);
        ck_assert_msg(err.code == ERR_IMAGE || (cut < 4 && err.code == ERR_MEDIA_TYPE), "%s cut to %zu: %s", names[_i],
                      cut, err.text);
        free(part);
    }
    free(bytes);
}
END_TEST

START_TEST(a_changed_byte_never_does_worse_than_an_error)
{
    const char *const names[] = {"rgba8-interlaced.png", "palette4-trns.png", "colour.jpg", "progressive.jpg"};
    size_t n, refused = 0;
    uint8_t *bytes = load(names[_i], &n);
    for (size_t at = 0; at < n; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1U << bit);
            struct picture picture = {0};
            struct err err = {0};
            if (image_decode(&picture, bytes, n, &(struct image_limits){.pixels_max = 100000}, &err) != 0) {
                refused++;
                ck_assert_msg(err.code == ERR_IMAGE || err.code == ERR_IMAGE_LIMIT || err.code == ERR_MEDIA_TYPE,
                              "%s: %s", err_code_name(err.code), err.text);
            }
            picture_fini(&picture);
            bytes[at] ^= (uint8_t)(1U << bit);
        }
    ck_assert_uint_gt(refused, n / 4);
    free(bytes);
}
END_TEST

START_TEST(the_limit_is_on_pixels_and_inclusive)
{
    const char *const names[] = {"rgb8.png", "colour.jpg"};
    const uint64_t pixels[] = {9 * 7, 16 * 12};
    size_t n;
    uint8_t *bytes = load(names[_i], &n);
    struct picture picture = {0};
    struct err err = {0};
    ck_assert_int_eq(image_decode(&picture, bytes, n, &(struct image_limits){.pixels_max = pixels[_i]}, &err), 0);
    picture_fini(&picture);
    ck_assert_int_eq(image_decode(&picture, bytes, n, &(struct image_limits){.pixels_max = pixels[_i] - 1}, &err), -1);
    ck_assert_int_eq(err.code, ERR_IMAGE_LIMIT);
    free(bytes);
}
END_TEST

/* ---- writing ---- */

START_TEST(a_written_png_is_read_back_pixel_by_pixel)
{
    const unsigned channels = _i == 0 ? 1 : _i == 1 ? 3 : 4;
    uint8_t pixels[13 * 11 * 4], *png, *again;
    size_t n, n_again;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 151 + i / 7);
    struct err err = {0};
    ck_assert_int_eq(image_encode_png(&png, &n, pixels, 13, 11, channels, &err), 0);
    ck_assert_int_eq(image_encode_png(&again, &n_again, pixels, 13, 11, channels, &err), 0);
    ck_assert_uint_eq(n, n_again);
    ck_assert_mem_eq(png, again, n);
    struct picture p;
    ck_assert_int_eq(image_decode(&p, png, n, &(struct image_limits){.pixels_max = 1000}, &err), 0);
    ck_assert_uint_eq(p.width, 13);
    ck_assert_uint_eq(p.height, 11);
    for (unsigned i = 0; i < 13 * 11; i++)
        for (unsigned c = 0; c < 4; c++)
            ck_assert_uint_eq(p.rgba[i * 4 + c],
                              c == 3 && channels < 4 ? 255 : pixels[i * channels + (channels == 1 ? 0 : c)]);
    picture_fini(&p);
    free(png);
    free(again);
}
END_TEST

int main(void)
{
    const int n_pngs = (int)(sizeof pngs / sizeof *pngs), n_bad = (int)(sizeof bad / sizeof *bad);
    Suite *suite = suite_create("image");
    TCase *decoding = tcase_create("decoding");
    tcase_add_loop_test(decoding, every_kind_of_png_is_decoded_to_its_very_pixels, 0, n_pngs);
    tcase_add_test(decoding, a_palette_s_transparency_is_its_alpha);
    tcase_add_loop_test(decoding, the_one_transparent_colour_is_transparent_and_no_other, 0, 3);
    tcase_add_test(decoding, an_index_past_the_palette_is_black);
    tcase_add_test(decoding, grey_jpegs_are_decoded);
    tcase_add_loop_test(decoding, colour_jpegs_are_decoded_baseline_and_progressive, 0, 3);
    tcase_add_loop_test(decoding, a_single_pixel_fills_the_input, 0, 2);
    tcase_add_loop_test(decoding, a_bad_picture_is_refused_for_what_it_is, 0, n_bad);
    tcase_add_test(decoding, no_bytes_are_no_picture);
    tcase_add_test(decoding, what_is_compressed_beside_the_pixels_is_not_even_inflated);
    tcase_add_test(decoding, pixels_of_several_pictures_are_counted_together);
    tcase_add_test(decoding, a_thread_without_time_begins_nothing_large);
    tcase_add_test(decoding, decoding_ends_when_it_is_cancelled);
    tcase_add_loop_test(decoding, a_picture_cut_anywhere_is_refused, 0, 4);
    tcase_add_loop_test(decoding, a_changed_byte_never_does_worse_than_an_error, 0, 4);
    tcase_add_loop_test(decoding, the_limit_is_on_pixels_and_inclusive, 0, 2);
    tcase_set_timeout(decoding, 60); /* the changed bytes, under sanitizers */
    suite_add_tcase(suite, decoding);
    TCase *writing = tcase_create("writing");
    tcase_add_loop_test(writing, a_written_png_is_read_back_pixel_by_pixel, 0, 3);
    suite_add_tcase(suite, writing);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
