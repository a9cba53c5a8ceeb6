/* test_image.c - server/image/image.h: decoding, fitting, writing PNG.
 *
 * The pictures are made by scripts/make-image-fixtures; sample() is the formula of their pixels.
 * Run from the tree's root.
 */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/image.h"

#define FOLDER "tests/fixtures/images/"

/* A file's bytes in a block of exactly their number: a sanitizer sees a byte read too far. */
static uint8_t *load(const char *name, size_t *n_bytes)
{
    char path[256];
    (void)snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "no %s: run from the root of the tree", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    long n = ftell(file);
    ck_assert_int_gt(n, 0);
    rewind(file);
    uint8_t *bytes = malloc((size_t)n);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)n, file), (size_t)n);
    ck_assert_int_eq(fclose(file), 0);
    *n_bytes = (size_t)n;
    return bytes;
}

static struct picture decode(const char *name)
{
    struct picture picture = {0};
    struct err err = {0};
    size_t n;
    uint8_t *bytes = load(name, &n);
    int status = image_decode(&picture, bytes, n, &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, &err);
    ck_assert_msg(status == 0, "%s: %s", name, err.text);
    free(bytes);
    return picture;
}

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
    {"cmyk.jpg", ERR_MEDIA_TYPE, "CMYK"},
    {"other.gif", ERR_MEDIA_TYPE, "GIF"},
    {"other.webp", ERR_MEDIA_TYPE, "WebP"},
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

/* ---- which way up ---- */

/* "Exif", and a directory of that one entry. */
static size_t exif(uint8_t to[40], bool little, unsigned type, unsigned orientation)
{
    const uint8_t big[] = {
        'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, (uint8_t)type, 0, 0, 0, 1, 0, (uint8_t)orientation,
        0,   0,   0, 0,  0, 0};
    const uint8_t small[] = {
        'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, (uint8_t)type, 0, 1, 0, 0, 0, (uint8_t)orientation,
        0,   0,   0,  0, 0, 0, 0};
    memcpy(to, "Exif\0", 6);
    memcpy(to + 6, little ? small : big, sizeof big);
    return 6 + sizeof big;
}

/* The JPEG with that segment, said to be `more` bytes longer than it is, before all others. */
static uint8_t *with_exif(const uint8_t *jpeg, size_t *n, const uint8_t *segment, size_t n_segment, unsigned more)
{
    uint8_t *file = malloc(*n + 4 + n_segment);
    ck_assert_ptr_nonnull(file);
    const unsigned said = (unsigned)n_segment + 2 + more;
    memcpy(file, "\xFF\xD8\xFF\xE1", 4);
    file[4] = (uint8_t)(said >> 8);
    file[5] = (uint8_t)said;
    memcpy(file + 6, segment, n_segment);
    memcpy(file + 6 + n_segment, jpeg + 2, *n - 2);
    *n += 4 + n_segment;
    return file;
}

static struct picture decode_turned(bool little, unsigned type, unsigned orientation)
{
    uint8_t segment[40];
    size_t n;
    uint8_t *jpeg = load("colour.jpg", &n);
    uint8_t *file = with_exif(jpeg, &n, segment, exif(segment, little, type, orientation), 0);
    struct picture picture = {0};
    struct err err = {0};
    ck_assert_msg(
        image_decode(&picture, file, n, &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, &err) == 0,
        "%s", err.text);
    free(jpeg);
    free(file);
    return picture;
}

/* EXIF's own words: where row 0 and column 0 of what is stored are, seen by the eye. */
START_TEST(every_orientation_is_put_upright)
{
    const unsigned orientation = (unsigned)_i % 8 + 1;
    struct picture stored = decode("colour.jpg"), upright = decode_turned(_i >= 8, 3, orientation);
    const unsigned w = stored.width, h = stored.height;
    ck_assert_uint_ne(w, h);
    ck_assert_uint_eq(upright.width, orientation < 5 ? w : h);
    ck_assert_uint_eq(upright.height, orientation < 5 ? h : w);
    for (unsigned row = 0; row < h; row++)
        for (unsigned column = 0; column < w; column++) {
            const bool bottom = orientation == 3 || orientation == 4, right = orientation == 2 || orientation == 3;
            unsigned x = right ? w - 1 - column : column, y = bottom ? h - 1 - row : row;
            if (orientation >= 5) { /* row 0 is at the left or the right, column 0 at the top or the bottom */
                x = orientation == 6 || orientation == 7 ? h - 1 - row : row;
                y = orientation == 7 || orientation == 8 ? w - 1 - column : column;
            }
            ck_assert_mem_eq(upright.rgba + 4 * (y * upright.width + x), stored.rgba + 4 * (row * w + column), 4);
        }
    picture_fini(&stored);
    picture_fini(&upright);
}
END_TEST

static void expect_as_stored(struct picture *picture)
{
    struct picture stored = decode("colour.jpg");
    ck_assert_uint_eq(picture->width, stored.width);
    ck_assert_mem_eq(picture->rgba, stored.rgba, (size_t)stored.width * stored.height * 4);
    picture_fini(&stored);
    picture_fini(picture);
}

START_TEST(an_orientation_that_is_not_sound_turns_nothing)
{
    for (unsigned orientation = 0; orientation < 256; orientation += orientation == 0 ? 9 : 41) {
        struct picture picture = decode_turned(false, 3, orientation);
        expect_as_stored(&picture);
    }
    struct picture picture = decode_turned(true, 4, 6);
    expect_as_stored(&picture);
}
END_TEST

/* Cut, or with any byte changed, in a block of exactly its size: a sanitizer sees a byte read too far. */
START_TEST(exif_data_that_lie_turn_nothing_or_something)
{
    uint8_t segment[40];
    size_t n_jpeg;
    uint8_t *jpeg = load("colour.jpg", &n_jpeg);
    const size_t n_segment = exif(segment, false, 3, 6);
    for (size_t cut = 0; cut <= n_segment; cut++)
        for (unsigned value = 0; value < 256; value += 17) {
            uint8_t changed[40];
            size_t n = n_jpeg;
            memcpy(changed, segment, n_segment);
            if (cut < n_segment)
                changed[cut] = (uint8_t)value;
            uint8_t *file = with_exif(jpeg, &n, changed, value == 0 ? cut : n_segment, value == 17 ? 60000 : 0);
            struct picture picture = {0};
            struct err err = {0};
            if (image_decode(&picture, file, n, &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, &err) !=
                0)
                ck_assert_uint_eq(value, 17); /* a segment that is longer than the file */
            picture_fini(&picture);
            free(file);
        }
    free(jpeg);
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

/* ---- fitting ---- */

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
        ck_assert_int_eq(image_to_input(input, &shape, &settings, png, n,
                                        &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, &err),
                         0);
        ck_assert_mem_eq(input, pixels, sizeof pixels);
    }
    free(png);
}
END_TEST

/* image_to_input() for a shape of that size, and image_decode() with image_fit(): the same status and the same pixels. Whether they were
 * taken. */
static bool same_both_ways(const uint8_t *bytes, size_t n, unsigned width, unsigned height, enum invert invert,
                           const char *name)
{
    struct shape shape = {.width = width, .height = height, .channels = 1};
    struct settings settings = settings_default();
    settings.invert = invert;
    struct picture picture = {0};
    struct err err = {0}, other = {0};
    uint8_t input[1024], expected[1024];
    ck_assert_uint_le((size_t)width * height, sizeof input);
    int status = image_to_input(input, &shape, &settings, bytes, n, &(struct image_limits){.pixels_max = 2048}, &err);
    int decoded = image_decode(&picture, bytes, n, &(struct image_limits){.pixels_max = 2048}, &other);
    ck_assert_msg(status == decoded && err.code == other.code, "%s: %d %s, %d %s", name, status, err.text, decoded,
                  other.text);
    if (decoded == 0) {
        ck_assert_int_eq(image_fit(expected, &shape, settings.fit, invert, &picture, &err), 0);
        ck_assert_msg(memcmp(input, expected, (size_t)width * height) == 0, "%s", name);
    }
    picture_fini(&picture);
    return decoded == 0;
}

START_TEST(the_short_way_of_a_png_of_the_input_s_size_gives_what_the_long_one_gives)
{
    static const char *const more[] = {"grey8-trns.png",   "grey16-trns.png", "grey1-interlaced.png", "gamma.png",
                                       "bad-checksum.png", "truncated.png",   "too-few-rows.png"};
    const size_t n_pngs = sizeof pngs / sizeof *pngs, n_more = sizeof more / sizeof *more;
    for (size_t i = 0; i < n_pngs + n_more; i++) {
        const char *name = i < n_pngs ? pngs[i].name : more[i - n_pngs];
        size_t n;
        uint8_t *bytes = load(name, &n);
        for (unsigned height = bytes[23] - 1U; height <= bytes[23]; height++) /* IHDR: one size that is not its own */
            for (int invert = INVERT_NEVER; invert <= INVERT_AUTO; invert++)
                (void)same_both_ways(bytes, n, bytes[19], height, (enum invert)invert, name);
        free(bytes);
    }
}
END_TEST

START_TEST(a_damaged_grey_png_is_refused_both_ways_or_taken_both_ways)
{
    size_t n, n_taken = 0;
    uint8_t *bytes = load("grey8.png", &n);
    const unsigned width = bytes[19], height = bytes[23];
    for (size_t at = 0; at < n; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1U << bit);
            n_taken += same_both_ways(bytes, n, width, height, INVERT_AUTO, "changed");
            bytes[at] ^= (uint8_t)(1U << bit);
        }
    ck_assert_uint_lt(n_taken, n); /* of 8 n: what checks nothing, such as the checksum at the end */
    for (size_t cut = 4; cut < n; cut++) {
        uint8_t *part = malloc(cut);
        ck_assert_ptr_nonnull(part);
        memcpy(part, bytes, cut);
        ck_assert(same_both_ways(part, cut, width, height, INVERT_NEVER, "cut") == (cut >= n - 4));
        free(part);
    }
    free(bytes);
}
END_TEST

START_TEST(dark_grey_on_light_paper_is_inverted_the_short_way_too)
{
    size_t n;
    struct err err = {0};
    uint8_t pixels[7 * 5], *png;
    for (unsigned border = 126; border < 130; border++) { /* the mean of 20 border pixels crosses 127.5 */
        for (unsigned i = 0; i < sizeof pixels; i++)
            pixels[i] = (uint8_t)(i % 7 % 6 == 0 || i / 7 % 4 == 0 ? border : draw(256));
        ck_assert_int_eq(image_encode_png(&png, &n, pixels, 7, 5, 1, &err), 0);
        struct shape shape = {.width = 7, .height = 5, .channels = 1};
        struct settings settings = settings_default();
        uint8_t input[7 * 5];
        settings.invert = INVERT_AUTO;
        ck_assert_int_eq(
            image_to_input(input, &shape, &settings, png, n, &(struct image_limits){.pixels_max = 100}, &err), 0);
        ck_assert_uint_eq(input[0], border > 127 ? 255 - border : border);
        for (int invert = INVERT_NEVER; invert <= INVERT_AUTO; invert++)
            ck_assert(same_both_ways(png, n, 7, 5, (enum invert)invert, "border"));
        free(png);
    }
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
static struct picture ink(uint8_t grey, uint8_t ground, uint8_t ground_alpha)
{
    struct picture p = {.width = 6, .height = 6, .rgba = malloc(6 * 6 * 4)};
    ck_assert_ptr_nonnull(p.rgba);
    for (unsigned y = 0; y < 6; y++)
        for (unsigned x = 0; x < 6; x++) {
            bool inside = x >= 2 && x < 4 && y >= 2 && y < 4;
            memset(p.rgba + (y * 6 + x) * 4, inside ? grey : ground, 3);
            p.rgba[(y * 6 + x) * 4 + 3] = inside ? 255 : ground_alpha;
        }
    return p;
}

static void inked(enum invert invert, uint8_t grey, uint8_t ground, uint8_t ground_alpha, unsigned ink_out,
                  unsigned ground_out)
{
    struct picture p = ink(grey, ground, ground_alpha);
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
static struct picture stroke(const uint8_t colour[3], int ground)
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
            for (unsigned c = 0; c < 3 && ground >= 0; c++)
                to[c] = (uint8_t)((to[c] * a + (unsigned)ground * (255 - a) + 127) / 255);
            if (ground >= 0)
                to[3] = 255;
        }
    return p;
}

static const struct {
    uint8_t colour[3];
    int ground;
} inks[] = {{{0, 0, 0}, 255},    {{255, 255, 255}, 0},   {{20, 40, 160}, 255},
            {{250, 220, 30}, 0}, {{127, 127, 127}, 255}, {{128, 128, 128}, 0}};

START_TEST(ink_on_a_transparent_ground_is_ink_on_the_ground_that_it_stands_out_from)
{
    struct picture transparent = stroke(inks[_i].colour, -1), opaque = stroke(inks[_i].colour, inks[_i].ground);
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

START_TEST(a_written_png_is_read_back_pixel_by_pixel)
{
    const unsigned channels = _i == 0 ? 1 : _i == 1 ? 3 : 4;
    uint8_t pixels[13 * 11 * 4], *png, *again;
    size_t n, n_again;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)draw(256);
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
    tcase_add_loop_test(decoding, every_orientation_is_put_upright, 0, 16);
    tcase_add_test(decoding, an_orientation_that_is_not_sound_turns_nothing);
    tcase_add_test(decoding, exif_data_that_lie_turn_nothing_or_something);
    tcase_add_loop_test(decoding, the_limit_is_on_pixels_and_inclusive, 0, 2);
    tcase_set_timeout(decoding, 60); /* the changed bytes, under sanitizers */
    suite_add_tcase(suite, decoding);
    TCase *fitting = tcase_create("fitting");
    tcase_add_test(fitting, a_grey_picture_of_the_input_s_size_gives_its_very_pixels);
    tcase_add_test(fitting, the_short_way_of_a_png_of_the_input_s_size_gives_what_the_long_one_gives);
    tcase_add_test(fitting, a_damaged_grey_png_is_refused_both_ways_or_taken_both_ways);
    tcase_add_test(fitting, dark_grey_on_light_paper_is_inverted_the_short_way_too);
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
    TCase *writing = tcase_create("writing");
    tcase_add_loop_test(writing, a_written_png_is_read_back_pixel_by_pixel, 0, 3);
    suite_add_tcase(suite, writing);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
