/* test_jpeg.c - server/image/jpeg.c: what JPEGs there are beside the plain ones of test_image.c, large ones, and what is said of them.
 *
 * The files are written here by libjpeg's other half, and then spoiled.
 */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jpeglib.h>

#include "core/shape.h"
#include "server/image/codec.h"

#define WIDTH  96u
#define HEIGHT 80u

/* A smooth picture, of any size: its pixel at x / width, y / height. */
static void sample(uint8_t rgb[3], unsigned x, unsigned y, unsigned width, unsigned height)
{
    rgb[0] = (uint8_t)(20 + 190 * x / width);
    rgb[1] = (uint8_t)(20 + 160 * y / height);
    rgb[2] = (uint8_t)(200 - 90 * x / width - 90 * y / height);
}

struct how {
    unsigned width, height; /* 0: WIDTH, HEIGHT                 */
    int h[3], v[3];         /* sampling factors; 0: 1           */
    bool progressive, bare; /* bare: without the segment JFIF   */
    unsigned restart;       /* rows of blocks, or 0             */
    J_COLOR_SPACE space;    /* JCS_UNKNOWN: YCbCr               */
};

static uint8_t *encode(size_t *n, struct how how)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long length = 0;
    const bool cmyk = how.space == JCS_CMYK || how.space == JCS_YCCK;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &bytes, &length);
    info.image_width = how.width != 0 ? how.width : WIDTH;
    info.image_height = how.height != 0 ? how.height : HEIGHT;
    info.input_components = cmyk ? 4 : 3;
    info.in_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 95, TRUE);
    if (how.space != JCS_UNKNOWN)
        jpeg_set_colorspace(&info, how.space);
    for (int c = 0; c < info.num_components; c++) {
        info.comp_info[c].h_samp_factor = c < 3 && how.h[c] != 0 ? how.h[c] : 1;
        info.comp_info[c].v_samp_factor = c < 3 && how.v[c] != 0 ? how.v[c] : 1;
    }
    info.write_JFIF_header = how.bare ? FALSE : info.write_JFIF_header;
    info.restart_in_rows = (int)how.restart;
    if (how.progressive)
        jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    uint8_t *row = malloc((size_t)info.image_width * 4);
    ck_assert_ptr_nonnull(row);
    while (info.next_scanline < info.image_height) {
        for (unsigned x = 0; x < info.image_width; x++) {
            uint8_t *p = row + (size_t)x * (cmyk ? 4 : 3);
            sample(p, x, info.next_scanline, info.image_width, info.image_height);
            if (cmyk) /* inverted, as Adobe writes it, some of it as black */
                p[3] = 240;
        }
        (void)jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    free(row);
    uint8_t *exact = malloc(length);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, bytes, length);
    free(bytes);
    *n = length;
    return exact;
}

/* The file with those bytes at a place, instead of n_cut of its own. Frees the old one. */
static uint8_t *splice(uint8_t *file, size_t *n, size_t at, size_t n_cut, const char *bytes, size_t n_bytes)
{
    uint8_t *spliced = malloc(*n - n_cut + n_bytes);
    ck_assert_ptr_nonnull(spliced);
    memcpy(spliced, file, at);
    memcpy(spliced + at, bytes, n_bytes);
    memcpy(spliced + at + n_bytes, file + at + n_cut, *n - at - n_cut);
    *n = *n - n_cut + n_bytes;
    free(file);
    return spliced;
}

/* Where FF and that byte are for the nth time, from 0. */
static size_t marker(const uint8_t *file, size_t n, uint8_t code, unsigned nth)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (file[i] == 0xFF && file[i + 1] == code && nth-- == 0)
            return i;
    ck_abort_msg("no marker %x", code);
    return 0;
}

static struct picture decode(const uint8_t *file, size_t n, const char *what)
{
    struct picture picture = {0};
    struct err err = {0};
    struct image_limits limits = {.pixels_max = 1u << 20};
    ck_assert_msg(image_decode(&picture, file, n, &limits, &err) == 0, "%s: %s", what, err.text);
    return picture;
}

/* Whether rows [0, rows) are what sample() says, times `times` / 255. */
static void check_pixels(const struct picture *p, unsigned rows, unsigned times, int most, const char *what)
{
    ck_assert_uint_eq(p->width, WIDTH);
    ck_assert_uint_eq(p->height, HEIGHT);
    for (unsigned y = 0; y < rows; y++)
        for (unsigned x = 0; x < WIDTH; x++) {
            uint8_t rgb[3];
            const uint8_t *got = p->rgba + 4 * ((size_t)y * WIDTH + x);
            sample(rgb, x, y, WIDTH, HEIGHT);
            bool near = got[3] == 255;
            for (unsigned c = 0; c < 3; c++)
                near = near && abs((int)got[c] - (int)(rgb[c] * times / 255)) <= most;
            if (!near)
                ck_abort_msg("%s at %u,%u: %u %u %u %u", what, x, y, got[0], got[1], got[2], got[3]);
        }
}

START_TEST(vector_code_and_plain_code_decode_to_the_same_bits)
{
    struct how how = {.width = 333, .height = 251, .h = {2}, .v = {2}, .progressive = _i % 2 == 1};
    const uint32_t side = _i < 2 ? 0 : 30; /* 30: at an eighth */
    uint8_t *shared = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    size_t *n = (size_t *)(void *)shared;
    uint8_t *file = shared + 64, *pixels = shared + (2 << 20);
    for (int child = 0; child < 2;
         child++) { /* who writes it, and who decodes it without vectors: libjpeg looks once */
        const pid_t pid = fork();
        if (pid == 0) {
            struct picture picture = {0};
            struct err err = {0};
            struct image_limits limits = {.pixels_max = 1 << 20};
            if (child == 0) {
                uint8_t *bytes = encode(n, how);
                memcpy(file, bytes, *n);
                free(bytes);
                _exit(0);
            }
            (void)setenv("JSIMD_FORCENONE", "1", 1);
            int status = image_decode_jpeg(&picture, file, *n, side, &limits, &err);
            if (status == 0)
                memcpy(pixels, picture.rgba, (size_t)4 * picture.width * picture.height);
            picture_fini(&picture);
            _exit(status == 0 ? 0 : 1);
        }
        int status = -1;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    }
    struct picture picture = {0};
    struct err err = {0};
    ck_assert_int_eq(image_decode_jpeg(&picture, file, *n, side, &(struct image_limits){.pixels_max = 1 << 20}, &err),
                     0);
    ck_assert_uint_eq(picture.width, side == 0 ? 333 : 42);
    ck_assert_mem_eq(pixels, picture.rgba, (size_t)4 * picture.width * picture.height);
    picture_fini(&picture);
    (void)munmap(shared, 4 << 20);
}
END_TEST

START_TEST(every_sampling_factor_is_decoded)
{
    for (int h = 1; h <= 4; h++)
        for (int v = 1; v <= 4; v++) {
            const struct how hows[] = {
                {.h = {h, 1, 1}, .v = {v, 1, 1}},
                {.h = {h, h, 1}, .v = {v, 1, v}},
                {.h = {1, h, 1}, .v = {1, v, 1}},
                {.h = {h, 1, 1}, .v = {v, 1, 1}, .progressive = true},
            };
            for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
                int blocks = 0;
                for (int c = 0; c < 3; c++)
                    blocks += hows[i].h[c] * hows[i].v[c];
                if (blocks > 10) /* no encoder may write it */
                    continue;
                char what[40];
                size_t n;
                uint8_t *file = encode(&n, hows[i]);
                (void)snprintf(what, sizeof what, "%d x %d, %zu", h, v, i);
                struct picture p = decode(file, n, what);
                check_pixels(&p, HEIGHT, 255, 24, what);
                picture_fini(&p);
                free(file);
            }
        }
}
END_TEST

START_TEST(cmyk_and_ycck_are_the_colours_that_they_print)
{
    const J_COLOR_SPACE spaces[] = {JCS_CMYK, JCS_YCCK};
    for (int i = 0; i < 4; i++) {
        size_t n;
        uint8_t *file = encode(&n, (struct how){.space = spaces[i / 2], .progressive = i % 2 == 1});
        struct picture p = decode(file, n, "CMYK");
        check_pixels(&p, HEIGHT, 240, 8, "CMYK");
        picture_fini(&p);
        free(file);
    }
}
END_TEST

/* ---- what libjpeg warns of ---- */

START_TEST(bytes_too_many_are_passed_over)
{
    size_t n, at;
    uint8_t *file = encode(&n, (struct how){.h = {2}, .v = {2}});
    file = splice(file, &n, n - 2, 0, "\0\1\2\3", 4); /* as cameras of USB do */
    at = marker(file, n, 0xDB, 0);
    file = splice(file, &n, at, 0, "\0\0\xFF\xFF", 4);
    file = splice(file, &n, n, 0, "what follows the end", 20);
    struct picture p = decode(file, n, "bytes too many");
    check_pixels(&p, HEIGHT, 255, 24, "bytes too many");
    picture_fini(&p);
    free(file);
}
END_TEST

START_TEST(an_odd_revision_transform_or_scan_is_read_as_usual)
{
    for (int i = 0; i < 3; i++) {
        static const char *const what[] = {"JFIF 2.9", "an unknown transform of Adobe's", "parameters of a scan"};
        size_t n;
        uint8_t *file = encode(&n, (struct how){.bare = i == 1});
        if (i == 0)
            file = splice(file, &n, 11, 2, "\2\x09", 2);
        else if (i == 1)
            file = splice(file, &n, 2, 0,
                          "\xFF\xEE\0\x0E"
                          "Adobe\0\x64\0\0\0\0\7",
                          16);
        else
            file = splice(file, &n, marker(file, n, 0xDA, 0) + 11, 3, "\0\0\0", 3);
        struct picture p = decode(file, n, what[i]);
        check_pixels(&p, HEIGHT, 255, 8, what[i]);
        picture_fini(&p);
        free(file);
    }
}
END_TEST

START_TEST(restart_markers_that_are_lost_or_too_many_cost_their_part_only)
{
    for (int i = 0; i < 3; i++) {
        size_t n, at;
        uint8_t *file = encode(&n, (struct how){.restart = 1});
        at = marker(file, n, 0xD6, 0); /* after seven of ten rows of blocks */
        if (i == 0)
            file = splice(file, &n, at, 2, "", 0);
        else if (i == 1)
            file = splice(file, &n, at, 0, "\xFF\xD6", 2);
        else
            file[at + 1] = 0xD1;
        struct picture p = decode(file, n, "restarts");
        check_pixels(&p, 56, 255, 8, "restarts");
        picture_fini(&p);
        free(file);
    }
}
END_TEST

START_TEST(a_file_cut_anywhere_is_truncated)
{
    static const struct how hows[] = {{.h = {2}, .v = {2}}, {.progressive = true}, {.restart = 1}, {.space = JCS_YCCK}};
    size_t n;
    uint8_t *file = encode(&n, hows[_i]);
    for (size_t cut = 4; cut < n; cut += cut < 700 || cut > n - 40 ? 1 : 37) {
        uint8_t *part = malloc(cut);
        ck_assert_ptr_nonnull(part);
        memcpy(part, file, cut);
        struct picture picture = {0};
        struct err err = {0};
        ck_assert_msg(image_decode(&picture, part, cut, &(struct image_limits){.pixels_max = 1 << 20}, &err) == -1,
                      "cut to %zu of %zu", cut, n);
        ck_assert_int_eq(err.code, ERR_IMAGE);
        ck_assert_msg(strstr(err.text, "truncated") != NULL, "%s", err.text);
        free(part);
    }
    free(file);
}
END_TEST

/* ---- large ones ---- */

static struct shape square(uint32_t side)
{
    struct shape shape = shape_default();
    struct err err = {0};
    shape.width = shape.height = side;
    shape.channels = 3;
    ck_assert_msg(shape_check(&shape, 2, &err) == 0, "%s", err.text);
    return shape;
}

static int to_input(uint8_t *input, const struct shape *shape, const uint8_t *file, size_t n,
                    struct image_limits *limits, struct err *err)
{
    struct settings settings = settings_default();
    return image_to_input(input, shape, settings.fit, settings.invert, file, n, limits, err);
}

START_TEST(a_large_picture_is_decoded_smaller_and_looks_the_same)
{
    static const struct {
        unsigned side, of_pixels, of_coded;
    } cases[] = {{14, 16, 8}, {28, 16, 8}, {56, 4, 4}, {112, 1, 1}}; /* eighths, quarters, halves, all of 672 x 512 */
    struct shape shape = square(cases[_i].side);
    uint8_t *small = malloc(shape.n_input), *whole = malloc(shape.n_input);
    ck_assert(small != NULL && whole != NULL);
    size_t n;
    uint8_t *file = encode(&n, (struct how){.width = 672, .height = 512, .h = {2}, .v = {2}});
    const uint64_t pixels = 672 * 512;
    struct err err = {0};
    struct image_limits limits = {.pixels_max = pixels / cases[_i].of_pixels};
    ck_assert_msg(to_input(small, &shape, file, n, &limits, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(limits.pixels_taken, pixels / cases[_i].of_coded);
    struct picture picture = decode(file, n, "large");
    ck_assert_int_eq(image_fit(whole, &shape, FIT_CONTAIN, INVERT_NEVER, &picture, &err), 0);
    for (size_t i = 0; i < shape.n_input; i++)
        if (abs((int)small[i] - (int)whole[i]) > 2)
            ck_abort_msg("%zu: %u, not %u", i, small[i], whole[i]);
    limits = (struct image_limits){.pixels_max = pixels / cases[_i].of_pixels - 1};
    ck_assert_int_eq(to_input(small, &shape, file, n, &limits, &err), -1);
    ck_assert_int_eq(err.code, ERR_IMAGE_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "--image-pixels"));
    picture_fini(&picture);
    free(small);
    free(whole);
    free(file);
}
END_TEST

START_TEST(memory_for_scans_and_pixels_that_are_not_kept_have_limits_too)
{
    struct shape shape = square(8);
    uint8_t input[3 * 8 * 8];
    struct err err = {0};
    size_t n;
    uint8_t *file = encode(&n, (struct how){.width = 1200, .height = 900, .progressive = true});
    struct image_limits limits = {.pixels_max = 1 << 17}; /* far more than an eighth has; its coefficients take 6 MB */
    ck_assert_int_eq(to_input(input, &shape, file, n, &limits, &err), -1);
    ck_assert_int_eq(err.code, ERR_IMAGE_LIMIT);
    ck_assert_msg(strstr(err.text, "--image-pixels") != NULL && strstr(err.text, "1200 x 900") != NULL, "%s", err.text);
    limits = (struct image_limits){.pixels_max = 1 << 19};
    ck_assert_msg(to_input(input, &shape, file, n, &limits, &err) == 0, "%s", err.text);
    free(file);
    file = encode(&n, (struct how){0});
    const size_t at = marker(file, n, 0xC0, 0) + 5;
    file = splice(file, &n, at, 4, "\xFA\0\xFA\0", 4); /* 64000 x 64000 */
    limits = (struct image_limits){.pixels_max = 1 << 26};
    ck_assert_int_eq(to_input(input, &shape, file, n, &limits, &err), -1);
    ck_assert_int_eq(err.code, ERR_IMAGE_LIMIT);
    ck_assert_msg(strstr(err.text, "4096000000") != NULL && strstr(err.text, "--image-pixels") != NULL, "%s", err.text);
    free(file);
}
END_TEST

START_TEST(decoding_ends_when_it_is_cancelled)
{
    for (int i = 0; i < 2; i++) {
        size_t n;
        uint8_t *file = encode(&n, (struct how){.progressive = i == 1});
        struct picture picture = {0};
        struct err err = {0};
        struct cancel late = {0};
        ck_assert(cancel(&late, CANCEL_LATE));
        struct image_limits limits = {.pixels_max = 1 << 20, .cancel = &late};
        ck_assert_int_eq(image_decode(&picture, file, n, &limits, &err), -1);
        ck_assert_int_eq(err.code, ERR_BUSY);
        free(file);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jpeg");
    TCase *tcase = tcase_create("jpeg");
    tcase_add_loop_test(tcase, vector_code_and_plain_code_decode_to_the_same_bits, 0, 4);
    tcase_add_test(tcase, every_sampling_factor_is_decoded);
    tcase_add_test(tcase, cmyk_and_ycck_are_the_colours_that_they_print);
    tcase_add_test(tcase, bytes_too_many_are_passed_over);
    tcase_add_test(tcase, an_odd_revision_transform_or_scan_is_read_as_usual);
    tcase_add_test(tcase, restart_markers_that_are_lost_or_too_many_cost_their_part_only);
    tcase_add_loop_test(tcase, a_file_cut_anywhere_is_truncated, 0, 4);
    tcase_add_loop_test(tcase, a_large_picture_is_decoded_smaller_and_looks_the_same, 0, 4);
    tcase_add_test(tcase, memory_for_scans_and_pixels_that_are_not_kept_have_limits_too);
    tcase_add_test(tcase, decoding_ends_when_it_is_cancelled);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
