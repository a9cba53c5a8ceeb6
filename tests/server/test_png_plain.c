/* test_png_plain.c - the short ways of a grey PNG of the input's own size, against the long one: libspng to RGBA, then fitted.
 *
 * The files are put together here, chunk by chunk; what inflates and what deflates them are two libraries.
 */
#include <check.h>
#include <glob.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "server/image/codec.h"
#include "tests/server/picture_file.h"

static uint32_t random_state = 1;

static unsigned draw(unsigned n)
{
    random_state = random_state * 1664525U + 1013904223U;
    return (unsigned)(((uint64_t)random_state * n) >> 32);
}

/* ---- files ---- */

enum { SIDE = 28, FILE_MAX = 1 << 16 };

struct file {
    uint8_t bytes[FILE_MAX];
    size_t n;
};

static void put(struct file *file, const void *bytes, size_t n)
{
    ck_assert_uint_le(file->n + n, sizeof file->bytes);
    memcpy(file->bytes + file->n, bytes, n);
    file->n += n;
}

static void put_u32(struct file *file, size_t number)
{
    put(file, (uint8_t[]){(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number},
        4);
}

static void put_chunk(struct file *file, const char *name, const void *bytes, size_t n)
{
    put_u32(file, n);
    const size_t at = file->n;
    put(file, name, 4);
    put(file, bytes, n);
    put_u32(file, crc32(0, file->bytes + at, (uInt)(file->n - at)));
}

/* Signature and IHDR. */
static void begin(struct file *file, unsigned width, unsigned height, unsigned depth, unsigned colour)
{
    const uint8_t ihdr[] = {(uint8_t)(width >> 24),
                            (uint8_t)(width >> 16),
                            (uint8_t)(width >> 8),
                            (uint8_t)width,
                            (uint8_t)(height >> 24),
                            (uint8_t)(height >> 16),
                            (uint8_t)(height >> 8),
                            (uint8_t)height,
                            (uint8_t)depth,
                            (uint8_t)colour,
                            0,
                            0,
                            0};
    file->n = 0;
    put(file, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(file, "IHDR", ihdr, sizeof ihdr);
}

static void end(struct file *file)
{
    put_chunk(file, "IEND", "", 0);
}

static size_t deflated(uint8_t *to, size_t room, const uint8_t *bytes, size_t n, int level, int strategy)
{
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, level, Z_DEFLATED, 15, 8, strategy), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)n;
    z.next_out = to;
    z.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    const size_t n_out = z.total_out;
    ck_assert_int_eq(deflateEnd(&z), Z_OK);
    return n_out;
}

/* What filter 0 to 4 leaves of a row of grey, with its number before it (PNG, 9.2). */
static void filtered(uint8_t *to, int filter, const uint8_t *row, const uint8_t *above, unsigned width)
{
    to[0] = (uint8_t)filter;
    for (unsigned x = 0; x < width; x++) {
        const int a = x > 0 ? row[x - 1] : 0, b = above != NULL ? above[x] : 0,
                  c = x > 0 && above != NULL ? above[x - 1] : 0;
        const int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
        const int paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
        const int guess[] = {0, a, b, (a + b) / 2, paeth};
        to[1 + x] = (uint8_t)(row[x] - guess[filter]);
    }
}

/* Pixels as a drawing has them, mostly: runs of one colour, some noise. */
static void draw_pixels(uint8_t *pixels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pixels[i] = i > 0 && draw(4) > 0 ? pixels[i - 1] : (uint8_t)draw(256);
}

/* filter: 5 draws one for each row. */
static size_t rows_of(uint8_t *rows, const uint8_t *pixels, unsigned width, unsigned height, int filter)
{
    for (unsigned y = 0; y < height; y++)
        filtered(rows + (size_t)y * (width + 1), filter < 5 ? filter : (int)draw(5), pixels + (size_t)y * width,
                 y > 0 ? pixels + (size_t)(y - 1) * width : NULL, width);
    return (size_t)height * (width + 1);
}

static bool is_plain(const struct file *file, unsigned width, unsigned height)
{
    uint8_t grey[1 << 14], *exact = malloc(file->n); /* a sanitizer sees a byte read too far */
    ck_assert_ptr_nonnull(exact);
    ck_assert_uint_le((size_t)width * height, sizeof grey);
    memcpy(exact, file->bytes, file->n);
    const bool plain = image_decode_png_plain(grey, width, height, exact, file->n);
    free(exact);
    return plain;
}

/* ---- both ways ---- */

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
    uint8_t input[1 << 14], expected[1 << 14];
    ck_assert_uint_le((size_t)width * height, sizeof input);
    int status = image_to_input(input, &shape, settings.fit, settings.invert, bytes, n,
                                &(struct image_limits){.pixels_max = 1 << 15}, &err);
    int decoded = image_decode(&picture, bytes, n, &(struct image_limits){.pixels_max = 1 << 15}, &other);
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
    glob_t found;
    ck_assert_int_eq(glob(FOLDER "*.png", 0, NULL, &found), 0);
    ck_assert_uint_gt(found.gl_pathc, 20);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = found.gl_pathv[i] + strlen(FOLDER);
        size_t n;
        uint8_t *bytes = load(name, &n);
        const unsigned width = n > 23 ? bytes[19] : 0,
                       last = n > 23 ? bytes[23] : 0; /* IHDR; and a size that is not its own */
        for (unsigned height = last > 0 ? last - 1 : 1; width * last <= 1024 && height <= last; height++)
            for (int invert = INVERT_NEVER; invert <= INVERT_AUTO; invert++)
                (void)same_both_ways(bytes, n, width, height, (enum invert)invert, name);
        free(bytes);
    }
    globfree(&found);
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
        ck_assert_int_eq(image_to_input(input, &shape, settings.fit, settings.invert, png, n,
                                        &(struct image_limits){.pixels_max = 100}, &err),
                         0);
        ck_assert_uint_eq(input[0], border > 127 ? 255 - border : border);
        for (int invert = INVERT_NEVER; invert <= INVERT_AUTO; invert++)
            ck_assert(same_both_ways(png, n, 7, 5, (enum invert)invert, "border"));
        free(png);
    }
}
END_TEST

/* ---- plain files ---- */

START_TEST(every_filter_of_every_size_is_undone)
{
    static const unsigned sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {2, 3}, {28, 28}, {31, 17}, {64, 64}, {127, 127}};
    uint8_t pixels[128 * 128], rows[129 * 128], stream[1 << 15], grey[128 * 128];
    struct file file;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int filter = 0; filter <= 5; filter++) {
            const unsigned width = sizes[i][0], height = sizes[i][1];
            draw_pixels(pixels, (size_t)width * height);
            const size_t n_rows = rows_of(rows, pixels, width, height, filter);
            begin(&file, width, height, 8, 0);
            put_chunk(&file, "IDAT", stream, deflated(stream, sizeof stream, rows, n_rows, 6, Z_DEFAULT_STRATEGY));
            end(&file);
            ck_assert(image_decode_png_plain(grey, width, height, file.bytes, file.n));
            ck_assert_mem_eq(grey, pixels, (size_t)width * height);
            ck_assert(same_both_ways(file.bytes, file.n, width, height, INVERT_AUTO, "plain"));
        }
}
END_TEST

START_TEST(every_way_to_deflate_is_inflated)
{
    uint8_t pixels[SIDE * SIDE], rows[SIDE * (SIDE + 1)], stream[1 << 12], grey[SIDE * SIDE];
    struct file file;
    for (int level = 0; level <= 9; level++)
        for (int strategy = Z_DEFAULT_STRATEGY; strategy <= Z_FIXED; strategy++)
            for (int filter = 0; filter <= 5; filter++) {
                draw_pixels(pixels, sizeof pixels);
                const size_t n_rows = rows_of(rows, pixels, SIDE, SIDE, filter);
                begin(&file, SIDE, SIDE, 8, 0);
                put_chunk(&file, "IDAT", stream, deflated(stream, sizeof stream, rows, n_rows, level, strategy));
                end(&file);
                ck_assert(image_decode_png_plain(grey, SIDE, SIDE, file.bytes, file.n));
                ck_assert_mem_eq(grey, pixels, sizeof pixels);
                ck_assert(same_both_ways(file.bytes, file.n, SIDE, SIDE, INVERT_NEVER, "plain"));
            }
}
END_TEST

/* ---- what is not plain ---- */

enum oddity {
    PLAIN,
    TRANSPARENT,
    GAMMA,
    TEXT_BEFORE,
    TEXT_AFTER,
    IN_PIECES,
    EMPTY_PIECE,
    NO_PIECE,
    BEHIND_THE_END,
    BEHIND_THE_STREAM,
    A_ROW_TOO_FEW,
    A_ROW_TOO_MANY,
    NO_SUCH_FILTER,
    WRONG_ADLER,
    NO_ADLER,
    CUT_STREAM,
    WRONG_CRC_OF_IHDR,
    WRONG_CRC_OF_IDAT,
    WRONG_CRC_OF_IEND,
    NO_END,
    INTERLACED,
    N_ODDITIES
};

static void odd_file(struct file *file, enum oddity odd)
{
    uint8_t pixels[SIDE * (SIDE + 1)], rows[(SIDE + 1) * (SIDE + 1)], stream[1 << 12];
    draw_pixels(pixels, sizeof pixels);
    size_t n_rows = rows_of(rows, pixels, SIDE, SIDE + 1, 5) - (SIDE + 1);
    n_rows = odd == A_ROW_TOO_FEW ? n_rows - (SIDE + 1) : odd == A_ROW_TOO_MANY ? n_rows + SIDE + 1 : n_rows;
    if (odd == NO_SUCH_FILTER)
        rows[3 * (SIDE + 1)] = 5;
    size_t n = deflated(stream, sizeof stream, rows, n_rows, 6, Z_DEFAULT_STRATEGY);
    n = odd == NO_ADLER ? n - 4 : odd == CUT_STREAM ? n / 2 : n;
    if (odd == WRONG_ADLER)
        stream[n - 1] ^= 1;
    if (odd == BEHIND_THE_STREAM)
        stream[n++] = 0;

    begin(file, SIDE, SIDE, 8, 0);
    if (odd == INTERLACED) {
        const size_t at = 8 + 8;
        file->bytes[at + 12] = 1;
        file->n = at + 13;
        put_u32(file, crc32(0, file->bytes + at - 4, 17));
    }
    if (odd == WRONG_CRC_OF_IHDR)
        file->bytes[file->n - 1] ^= 1;
    if (odd == GAMMA)
        put_chunk(file, "gAMA", "\0\0\xb1\x8f", 4);
    if (odd == TRANSPARENT)
        put_chunk(file, "tRNS", "\0\x80", 2);
    if (odd == TEXT_BEFORE)
        put_chunk(file, "tEXt", "Title\0seven", 11);
    const size_t first = odd == IN_PIECES ? n / 3 : odd == EMPTY_PIECE ? 0 : n;
    if (odd != NO_PIECE)
        put_chunk(file, "IDAT", stream, first);
    if (odd == WRONG_CRC_OF_IDAT)
        file->bytes[file->n - 1] ^= 1;
    if (first < n)
        put_chunk(file, "IDAT", stream + first, n - first);
    if (odd == TEXT_AFTER)
        put_chunk(file, "tEXt", "Title\0seven", 11);
    if (odd != NO_END)
        end(file);
    if (odd == WRONG_CRC_OF_IEND)
        file->bytes[file->n - 1] ^= 1;
    if (odd == BEHIND_THE_END)
        put(file, "more", 4);
}

START_TEST(what_is_not_plain_is_left_to_libspng_and_comes_to_the_same)
{
    struct file file;
    for (int i = 0; i < 40; i++) {
        odd_file(&file, (enum oddity)_i);
        ck_assert(is_plain(&file, SIDE, SIDE) == (_i == PLAIN));
        ck_assert(!is_plain(&file, SIDE + 1, SIDE) && !is_plain(&file, SIDE, SIDE - 1));
        (void)same_both_ways(file.bytes, file.n, SIDE, SIDE, (enum invert)(i % 3), "odd");
        (void)same_both_ways(file.bytes, file.n, SIDE - 1, SIDE, (enum invert)(i % 3), "odd, of another size");
    }
}
END_TEST

START_TEST(every_colour_type_and_depth_comes_to_the_same)
{
    static const struct {
        unsigned colour, depth, samples;
    } kinds[] = {{0, 1, 1}, {0, 2, 1}, {0, 4, 1}, {0, 8, 1},  {0, 16, 1}, {2, 8, 3},  {2, 16, 3}, {3, 1, 1}, {3, 2, 1},
                 {3, 4, 1}, {3, 8, 1}, {4, 8, 2}, {4, 16, 2}, {6, 8, 4},  {6, 16, 4}, {1, 8, 1},  {0, 3, 1}};
    uint8_t rows[SIDE * (SIDE * 8 + 1)], stream[1 << 14], palette[256 * 3];
    struct file file;
    for (unsigned i = 0; i < 20 * sizeof kinds / sizeof *kinds; i++) {
        const unsigned k = i % (sizeof kinds / sizeof *kinds);
        const size_t n_row = 1 + ((size_t)SIDE * kinds[k].samples * kinds[k].depth + 7) / 8;
        draw_pixels(rows, SIDE * n_row);
        for (unsigned y = 0; y < SIDE; y++)
            rows[y * n_row] = (uint8_t)draw(5);
        draw_pixels(palette, sizeof palette);
        begin(&file, SIDE, SIDE, kinds[k].depth, kinds[k].colour);
        if (kinds[k].colour == 3)
            put_chunk(&file, "PLTE", palette, (size_t)3 << kinds[k].depth);
        put_chunk(&file, "IDAT", stream, deflated(stream, sizeof stream, rows, SIDE * n_row, 6, Z_DEFAULT_STRATEGY));
        end(&file);
        ck_assert(is_plain(&file, SIDE, SIDE) == (kinds[k].colour == 0 && kinds[k].depth == 8));
        ck_assert(same_both_ways(file.bytes, file.n, SIDE, SIDE, INVERT_AUTO, "kinds") == (i % 17 < 15));
    }
}
END_TEST

START_TEST(a_large_file_is_not_plain)
{
    static uint8_t pixels[128 * 128], rows[129 * 128], stream[1 << 15];
    struct file file;
    begin(&file, 128, 128, 8, 0); /* 16,512 bytes of rows */
    put_chunk(&file, "IDAT", stream, deflated(stream, sizeof stream, rows, rows_of(rows, pixels, 128, 128, 0), 6, 0));
    end(&file);
    ck_assert(!is_plain(&file, 128, 128) && same_both_ways(file.bytes, file.n, 128, 128, INVERT_NEVER, "large"));

    /* A thousand blocks of nothing before the rows: without a bound it would be read for as long as its sender likes. */
    size_t n = 0;
    stream[n++] = 0x78;
    stream[n++] = 0x01;
    for (int i = 0; i < 1000; i++, n += 5)
        memcpy(stream + n, "\0\0\0\xff\xff", 5);
    const size_t n_rows = rows_of(rows, pixels, SIDE, SIDE, 0), n_last = deflated(stream + n, 4096, rows, n_rows, 9, 0);
    memmove(stream + n, stream + n + 2, n_last - 2);
    begin(&file, SIDE, SIDE, 8, 0);
    put_chunk(&file, "IDAT", stream, n + n_last - 2);
    end(&file);
    ck_assert(!is_plain(&file, SIDE, SIDE) && same_both_ways(file.bytes, file.n, SIDE, SIDE, INVERT_NEVER, "blocks"));
}
END_TEST

/* The checksums of chunks are made right again, so that what inflates and filters sees all of it. */
START_TEST(a_changed_stream_comes_to_the_same)
{
    struct file file;
    odd_file(&file, PLAIN);
    const size_t idat = 33 + 4, n = file.n - idat - 4 - 12;
    ck_assert_mem_eq(file.bytes + idat, "IDAT", 4);
    unsigned n_plain = 0;
    for (size_t at = 4; at < n; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            file.bytes[idat + at] ^= (uint8_t)(1U << bit);
            file.n = idat + n;
            put_u32(&file, crc32(0, file.bytes + idat, (uInt)n));
            end(&file);
            n_plain += is_plain(&file, SIDE, SIDE);
            (void)same_both_ways(file.bytes, file.n, SIDE, SIDE, INVERT_NEVER, "stream");
            file.bytes[idat + at] ^= (uint8_t)(1U << bit);
        }
    ck_assert_uint_lt(n_plain, n); /* of 8 n: what no pixel depends on, such as the bits that fill the last byte */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("png_plain");
    TCase *plain = tcase_create("plain");
    tcase_add_test(plain, every_filter_of_every_size_is_undone);
    tcase_add_test(plain, every_way_to_deflate_is_inflated);
    suite_add_tcase(suite, plain);
    TCase *odd = tcase_create("odd");
    tcase_add_loop_test(odd, what_is_not_plain_is_left_to_libspng_and_comes_to_the_same, 0, N_ODDITIES);
    tcase_add_test(odd, every_colour_type_and_depth_comes_to_the_same);
    tcase_add_test(odd, a_large_file_is_not_plain);
    tcase_add_test(odd, a_changed_stream_comes_to_the_same);
    tcase_add_test(odd, the_short_way_of_a_png_of_the_input_s_size_gives_what_the_long_one_gives);
    tcase_add_test(odd, a_damaged_grey_png_is_refused_both_ways_or_taken_both_ways);
    tcase_add_test(odd, dark_grey_on_light_paper_is_inverted_the_short_way_too);
    suite_add_tcase(suite, odd);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
