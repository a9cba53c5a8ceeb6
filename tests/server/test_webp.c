/* test_webp.c - server/image/webp.c, where the build has it; else, what is said of a WebP. The pictures are scripts/make-image-fixtures'. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/file_kind.h"
#include "server/image/image.h"

static bool is_read; /* by this build */

static uint8_t *load(const char *name, size_t *n)
{
    char path[256];
    (void)snprintf(path, sizeof path, "tests/fixtures/images/%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "no %s: run from the root of the tree", path);
    uint8_t buffer[4096];
    *n = fread(buffer, 1, sizeof buffer, file);
    ck_assert(*n > 0 && feof(file) != 0);
    (void)fclose(file);
    uint8_t *exact = malloc(*n);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, buffer, *n);
    return exact;
}

static int decode(struct picture *out, const char *name, uint64_t pixels_max, struct err *err)
{
    size_t n;
    *out = (struct picture){0};
    uint8_t *bytes = load(name, &n);
    int status = image_decode(out, bytes, n, &(struct image_limits){.pixels_max = pixels_max}, err);
    free(bytes);
    if (status != 0 && !is_read) {
        ck_assert_int_eq(err->code, ERR_MEDIA_TYPE);
        ck_assert_ptr_nonnull(strstr(err->text, "it looks like a WebP; convert it first"));
    }
    return status;
}

/* scripts/make-image-fixtures' value(). */
static uint8_t sample(unsigned x, unsigned y, unsigned channel)
{
    return (uint8_t)((x * 3701 + y * 5903 + channel * 20011 + 1100) % 65536 >> 8);
}

START_TEST(a_lossless_one_is_decoded_to_its_very_pixels_upright)
{
    static const char *const names[] = {"lossless.webp", "turned.webp"};
    struct picture p;
    struct err err = {0};
    ck_assert_int_eq(decode(&p, names[_i], 63, &err), is_read ? 0 : -1);
    if (!is_read)
        return;
    ck_assert_uint_eq(p.width, _i == 0 ? 9 : 7);
    ck_assert_uint_eq(p.height, _i == 0 ? 7 : 9);
    for (unsigned y = 0; y < 7; y++)
        for (unsigned x = 0; x < 9; x++)
            for (unsigned c = 0; c < 4; c++) /* EXIF's 6: turned clockwise by a quarter, for viewing */
                ck_assert_uint_eq(p.rgba[(_i == 0 ? y * 9 + x : x * 7 + 6 - y) * 4 + c], sample(x, y, c));
    picture_fini(&p);
}
END_TEST

START_TEST(a_lossy_one_is_decoded)
{
    struct picture p;
    struct err err = {0};
    ck_assert_int_eq(decode(&p, "lossy.webp", 80 * 60, &err), is_read ? 0 : -1);
    for (unsigned y = 0; is_read && y < 60; y++)
        for (unsigned x = 0; x < 80; x++) {
            const uint8_t *got = p.rgba + 4 * (80 * (size_t)y + x);
            ck_assert_int_le(abs((int)got[0] - (int)(20 + 2 * x)), 12);
            ck_assert_int_le(abs((int)got[1] - (int)(20 + 3 * y)), 12);
            ck_assert_int_le(abs((int)got[2] - (int)(200 - x - y)), 12);
            ck_assert_uint_eq(got[3], 255);
        }
    picture_fini(&p);
}
END_TEST

static const struct {
    const char *name;
    uint64_t pixels_max;
    enum err_code code;
    const char *word;
} bad[] = {
    {"truncated.webp", 4800, ERR_IMAGE, "truncated"},
    {"animated.webp", 4800, ERR_MEDIA_TYPE, "webpmux"},
    {"lossy.webp", 4799, ERR_IMAGE_LIMIT, "--image-pixels"},
    {"huge.webp", 1 << 24, ERR_IMAGE_LIMIT, "16383 x 16383"},
};

START_TEST(a_bad_one_is_refused_for_what_it_is)
{
    struct picture p;
    struct err err = {0};
    ck_assert_int_eq(decode(&p, bad[_i].name, bad[_i].pixels_max, &err), -1);
    if (!is_read)
        return;
    ck_assert_msg(err.code == bad[_i].code && strstr(err.text, bad[_i].word) != NULL, "%s: %s", bad[_i].name, err.text);
}
END_TEST

START_TEST(cut_or_changed_anywhere_it_does_no_worse_than_an_error)
{
    static const char *const names[] = {"lossless.webp", "lossy.webp", "turned.webp"};
    size_t n;
    uint8_t *bytes = load(names[_i], &n);
    for (size_t at = 0; is_read && at < 9 * n; at++) { /* cut there, or a bit of it changed */
        const size_t left = at < n ? at : n;
        uint8_t *part = malloc(left + 1);
        ck_assert_ptr_nonnull(part);
        memcpy(part, bytes, left);
        if (at >= n)
            part[(at - n) / 8] ^= (uint8_t)(1u << (at - n) % 8);
        struct picture p = {0};
        struct err err = {0};
        if (image_decode(&p, part, left, &(struct image_limits){.pixels_max = 100000}, &err) != 0)
            ck_assert_msg(err.code == ERR_IMAGE || err.code == ERR_IMAGE_LIMIT || err.code == ERR_MEDIA_TYPE ||
                              err.code == ERR_EMPTY,
                          "%s: %s", err_code_name(err.code), err.text);
        else
            ck_assert_msg(at >= n || _i == 2, "cut to %zu of %zu", at, n); /* what is cut of EXIF is no pixels */
        picture_fini(&p);
        free(part);
    }
    free(bytes);
}
END_TEST

int main(void)
{
    is_read = file_is_picture((struct file_kind){.format = FILE_WEBP});
    Suite *suite = suite_create("webp");
    TCase *tcase = tcase_create("webp");
    tcase_add_loop_test(tcase, a_lossless_one_is_decoded_to_its_very_pixels_upright, 0, 2);
    tcase_add_test(tcase, a_lossy_one_is_decoded);
    tcase_add_loop_test(tcase, a_bad_one_is_refused_for_what_it_is, 0, sizeof bad / sizeof *bad);
    tcase_add_loop_test(tcase, cut_or_changed_anywhere_it_does_no_worse_than_an_error, 0, 3);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
