/* test_file_kind.c - server/image/file_kind.h: what a file is, and that pixels are none. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/file_kind.h"

static const uint8_t *u8(const char *text)
{
    return (const uint8_t *)text;
}

START_TEST(pictures_are_told_by_their_first_bytes)
{
    ck_assert_int_eq(file_kind(u8("\x89PNG\r\n\x1a\n"), 8).format, FILE_PNG);
    ck_assert_int_eq(file_kind(u8("\xFF\xD8\xFF\xE0"), 4).format, FILE_JPEG);
    ck_assert_int_eq(file_kind(u8("\xFF\xD8\xFF\xE0"), 4).sure, true);
    ck_assert_int_eq(file_kind(u8("\x89PN"), 3).format, FILE_UNKNOWN);
    ck_assert_int_eq(file_kind(u8("\xFF\xD8"), 2).format, FILE_UNKNOWN);
    ck_assert_int_eq(file_kind(NULL, 0).format, FILE_UNKNOWN);
}
END_TEST

#define FILE_OF(bytes, name) bytes, sizeof(bytes) - 1, name
#define ENOUGH               "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *bytes;
    size_t n;
    const char *name;
} files[] = {
    {FILE_OF("GIF89a" ENOUGH, "a GIF")},
    {FILE_OF("RIFF....WEBPVP8 " ENOUGH, "a WebP")},
    {FILE_OF("BM\x36\x0c\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0" ENOUGH, "a BMP")},
    {FILE_OF("II*\0\x08\0\0\0" ENOUGH, "a TIFF")},
    {FILE_OF("MM\0*\0\0\0\x08" ENOUGH, "a TIFF")},
    {FILE_OF("\0\0\0\x1c"
             "ftypavif" ENOUGH,
             "an AVIF")},
    {FILE_OF("\0\0\0\x18"
             "ftypheic" ENOUGH,
             "a HEIC")},
    {FILE_OF("\0\0\0\x18"
             "ftypmp42" ENOUGH,
             "a video")},
    {FILE_OF("\0\0\0\x0CJXL \r\n\x87\n" ENOUGH, "a JPEG XL")},
    {FILE_OF("%PDF-1.7\n" ENOUGH, "a PDF")},
    {FILE_OF("PK\x03\x04" ENOUGH, "a zip archive")},
    {FILE_OF("\x1F\x8B\x08\0\0\0\0\0\0\x03" ENOUGH, "gzip data")},
    {FILE_OF("\x93NUMPY\x01\0" ENOUGH, "a NumPy array")},
    {FILE_OF("\xFF\xD8\xFF\xDB\0\x06....\xFF\xC0", "a JPEG")},
    {FILE_OF("\xFF\xD8\xFF\xE1\x20\0"
             "Exif\0\0" ENOUGH,
             "a JPEG")},
    {FILE_OF("<!DOCTYPE html><title>502</title>", "HTML")},
    {FILE_OF("\xEF\xBB\xBF\n  <HTML lang=en>", "HTML")},
    {FILE_OF("<svg xmlns=..>", "an SVG")},
    {FILE_OF("<?xml version=\"1.0\"?>", "XML")},
    {FILE_OF("{\"error\": 404}", "JSON")},
    {FILE_OF(" [ {\"error\" : 404}]", "JSON")},
    {FILE_OF("[[0, 0, 12, 255], [0, 0, 12, 255], [0, 0, 12, 255], [0, 0, 12, 255], [0]]", "JSON")},
    {FILE_OF("{}\n", "JSON")},
    {FILE_OF("\xEF\xBB\xBF {\"error\": 404}", "JSON")},
    {FILE_OF("\xFF\xFE{\0\"\0", "JSON in UTF-16")},
    {FILE_OF("\xFE\xFF\0{\0\"", "JSON in UTF-16")},
    {FILE_OF("{\0\"\0e\0", "JSON in UTF-16")},
    {FILE_OF("The quick brown fox jumps over\nthe lazy dog, and the dog sleeps on until noon.\n", "text")},
    {FILE_OF("label,0,1,2,3\n7,0,0,128,255\n3,19,46,0,0\n5,0,0,128,255\n6,19,46,0,0\n", "text")},
};

START_TEST(other_files_are_surely_no_pixels)
{
    const struct file_kind kind = file_kind(u8(files[_i].bytes), files[_i].n);
    ck_assert_ptr_nonnull(kind.name);
    ck_assert_str_eq(kind.name, files[_i].name);
    ck_assert_msg(kind.sure, "%s", kind.name);
    for (size_t n = 0; n < files[_i].n; n++) { /* a file that is cut: a sanitizer sees a byte read too far */
        uint8_t *cut = malloc(n == 0 ? 1 : n);
        memcpy(cut, files[_i].bytes, n);
        (void)file_kind(cut, n);
        free(cut);
    }
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
} pixels[] = {
    {"\xFF\xD8\xFF\xD7\xFE\xFD\xFC\xFB\xFA\xF9\xF8\xF7", 12}, /* white, a step of grey: no marker  */
    {"\xFF\xD8\xFF\xE0\x20\x20\x20\x20\x20\x20\x20\x20", 12}, /* what would be a marker, and no more */
    {"BMBMBMBMBMBMBMBMBMBMBMBM", 24},
    {"II**II**II**II**", 16},
    {"MMMMMMMMMMMMMMMM", 16},
    {"\x1F\x8B\x1F\x8B\x1F\x8B\x1F\x8B\x1F\x8B\x1F\x8B", 12},
    {"\xFF\x0A\xFF\x0A\xFF\x0A\xFF\x0A", 8},
    {"{\"{\"{\"{\"{\"{\"{\"{\"", 16},
    {"[[[[\\\\\\\\]]]]^^^^", 16},
};

START_TEST(pixels_that_begin_like_a_file_are_pixels)
{
    ck_assert_int_eq(file_kind((const uint8_t *)pixels[_i].bytes, pixels[_i].n).sure, false);
}
END_TEST

START_TEST(flat_images_and_gradients_are_pixels)
{
    uint8_t image[784];
    for (unsigned value = 0; value < 256; value++) {
        memset(image, (int)value, sizeof image);
        ck_assert_msg(!file_kind(image, sizeof image).sure, "all %u", value);
        for (unsigned step = 1; step < 256; step++) {
            for (unsigned i = 0; i < sizeof image; i++)
                image[i] = (uint8_t)(value + i % 28 * step / 8);
            if (file_kind(image, sizeof image).sure)
                ck_abort_msg("from %u by %u/8", value, step);
        }
    }
}
END_TEST

/* Two tones that are printable, with any edge between them: what a faint picture has. */
START_TEST(faint_images_are_pixels)
{
    uint8_t image[784];
    for (unsigned baseline = 9; baseline < 127; baseline++)
        for (unsigned ink = 9; ink < 127; ink++) {
            for (unsigned i = 0; i < sizeof image; i++)
                image[i] = (uint8_t)(i % 28 < 9    ? baseline
                                     : i % 28 > 12 ? ink
                                                   : (baseline * (12 - i % 28) + ink * (i % 28 - 9)) / 3);
            if (file_kind(image, sizeof image).sure)
                ck_abort_msg("%u on %u", ink, baseline);
        }
}
END_TEST

START_TEST(noise_is_pixels)
{
    uint8_t image[64];
    uint32_t state = 1;
    for (unsigned round = 0; round < 1000000; round++) {
        for (unsigned i = 0; i < sizeof image; i += 4) {
            state = state * 1664525 + 1013904223;
            const uint32_t mixed = (state ^ state >> 15) * 2246822519u;
            memcpy(image + i, &mixed, 4);
        }
        if (file_kind(image, sizeof image).sure)
            ck_abort_msg("round %u: %s", round, file_kind(image, sizeof image).name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file_kind");
    TCase *kinds = tcase_create("kinds");
    tcase_add_test(kinds, pictures_are_told_by_their_first_bytes);
    tcase_add_loop_test(kinds, other_files_are_surely_no_pixels, 0, sizeof files / sizeof *files);
    tcase_add_loop_test(kinds, pixels_that_begin_like_a_file_are_pixels, 0, sizeof pixels / sizeof *pixels);
    tcase_add_test(kinds, flat_images_and_gradients_are_pixels);
    tcase_add_test(kinds, faint_images_are_pixels);
    tcase_add_test(kinds, noise_is_pixels);
    suite_add_tcase(suite, kinds);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
