/* test_orientation.c - server/image/image.h: pictures are put upright by the eight values of EXIF's orientation, and by no others. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/server/picture_file.h"

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

int main(void)
{
    Suite *suite = suite_create("orientation");
    TCase *orientation = tcase_create("orientation");
    tcase_add_loop_test(orientation, every_orientation_is_put_upright, 0, 16);
    tcase_add_test(orientation, an_orientation_that_is_not_sound_turns_nothing);
    tcase_add_test(orientation, exif_data_that_lie_turn_nothing_or_something);
    tcase_set_timeout(orientation, 60);
    suite_add_tcase(suite, orientation);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
