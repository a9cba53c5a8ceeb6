/* test_dataset_idx.c - server/formats/dataset_idx.c: pairs of IDX files as labelled images. Run from the tree's root. */
#include <unistd.h>

#include "tests/server/dataset.h"

#define MAGIC(sides) 0, 0, 8, (sides)
#define BE(n)        0, 0, (uint8_t)((n) >> 8), (uint8_t)((n)&255)

/* Three images of 2 wide and 3 high, and their labels. */
static const uint8_t images[] = {MAGIC(3), BE(3), BE(3), BE(2), 1,  2,   3,   4,   5, 6, 11,
                                 12,       13,    14,    15,    16, 255, 254, 253, 0, 1, 2};
static const uint8_t labels[] = {MAGIC(1), BE(3), 10, 9, 200};

static void expect_three(struct dataset *d)
{
    struct shape shape = shape_of(2, 3, 1);
    expect_next(d, &shape, "10", images + 16);
    expect_next(d, &shape, "9", images + 22);
    expect_next(d, &shape, "200", images + 28);
    expect_end(d, &shape);
}

START_TEST(idx_pairs_are_read_plain_or_gzipped_in_either_order)
{
    put("images", images, sizeof images, _i & 1);
    put("labels", labels, sizeof labels, _i & 2);
    const char *files[2] = {in("images"), in("labels")};
    const char *turned[2] = {files[1], files[0]};
    struct dataset *d = opened(_i & 4 ? turned : files, 2);
    ck_assert_uint_eq(dataset_length(d), 3);
    expect_three(d);
    dataset_close(d);
}
END_TEST

START_TEST(opened_again_it_gives_the_same)
{
    put("images", images, sizeof images, true);
    put("labels", labels, sizeof labels, true);
    for (int pass = 0; pass < 2; pass++) {
        struct dataset *d = opened((const char *[]){in("images"), in("labels")}, 2);
        expect_three(d);
        dataset_close(d);
    }
}
END_TEST

START_TEST(idx_labels_are_listed_once_by_value)
{
    static const uint8_t five[] = {MAGIC(3), BE(5), BE(1), BE(1), 0, 0, 0, 0, 0};
    static const uint8_t theirs[] = {MAGIC(1), BE(5), 10, 9, 200, 9, 0};
    put("images", five, sizeof five, false);
    put("labels", theirs, sizeof theirs, false);
    struct dataset *d = opened((const char *[]){in("images"), in("labels")}, 2);
    const char *const *names;
    ck_assert_uint_eq(dataset_labels(d, &names), 4);
    const char *const expected[] = {"0", "9", "10", "200"};
    for (int i = 0; i < 4; i++)
        ck_assert_str_eq(names[i], expected[i]);
    dataset_close(d);
}
END_TEST

START_TEST(several_pairs_follow_one_another)
{
    static const uint8_t none_images[] = {MAGIC(3), BE(0), BE(3), BE(2)}, none_labels[] = {MAGIC(1), BE(0)};
    put("images", images, sizeof images, false);
    put("labels", labels, sizeof labels, false);
    put("none-images", none_images, sizeof none_images, false);
    put("none-labels", none_labels, sizeof none_labels, false);
    struct dataset *d = opened(
        (const char *[]){in("images"), in("labels"), in("none-labels"), in("none-images"), in("labels"), in("images")},
        6);
    ck_assert_uint_eq(dataset_length(d), 6);
    struct shape shape = shape_of(2, 3, 1);
    for (int i = 0; i < 2; i++) {
        expect_next(d, &shape, "10", images + 16);
        expect_next(d, &shape, "9", images + 22);
        expect_next(d, &shape, "200", images + 28);
    }
    expect_end(d, &shape);
    dataset_close(d);
}
END_TEST

START_TEST(idx_files_without_images_are_an_empty_dataset)
{
    static const uint8_t none_images[] = {MAGIC(3), BE(0), BE(3), BE(2)}, none_labels[] = {MAGIC(1), BE(0)};
    put("images", none_images, sizeof none_images, _i == 1);
    put("labels", none_labels, sizeof none_labels, _i == 1);
    struct dataset *d = opened((const char *[]){in("images"), in("labels")}, 2);
    ck_assert_uint_eq(dataset_length(d), 0);
    const char *const *names;
    ck_assert_uint_eq(dataset_labels(d, &names), 0);
    struct shape shape = shape_of(2, 3, 1);
    expect_end(d, &shape);
    dataset_close(d);
}
END_TEST

START_TEST(images_with_planes_are_taken_plane_by_plane)
{
    static const uint8_t coloured[] = {MAGIC(4), BE(1), BE(3), BE(1), BE(2), 1, 2, 3, 4, 5, 6};
    static const uint8_t theirs[] = {MAGIC(1), BE(1), 7};
    put("images", coloured, sizeof coloured, false);
    put("labels", theirs, sizeof theirs, false);
    struct dataset *d = opened((const char *[]){in("images"), in("labels")}, 2);
    struct shape shape = shape_of(2, 1, 3);
    expect_next(d, &shape, "7", coloured + 20);
    dataset_close(d);
}
END_TEST

START_TEST(images_of_another_size_or_colour_are_fitted)
{
    static const uint8_t coloured[] = {MAGIC(4), BE(1), BE(3), BE(1), BE(1), 10, 100, 200};
    static const uint8_t theirs[] = {MAGIC(1), BE(1), 7};
    put("images", coloured, sizeof coloured, false);
    put("labels", theirs, sizeof theirs, false);
    struct dataset *d = opened((const char *[]){in("images"), in("labels")}, 2);
    struct shape wide = shape_of(2, 2, 3), grey = shape_of(1, 1, 1);
    const uint8_t larger[] = {10, 10, 10, 10, 100, 100, 100, 100, 200, 200, 200, 200};
    expect_next(d, &wide, "7", larger);
    dataset_close(d);
    d = opened((const char *[]){in("images"), in("labels")}, 2);
    const uint8_t one[] = {(299 * 10 + 587 * 100 + 114 * 200 + 500) / 1000};
    expect_next(d, &grey, "7", one);
    dataset_close(d);
}
END_TEST

START_TEST(idx_images_are_never_inverted)
{
    put("images", images, sizeof images, false);
    put("labels", labels, sizeof labels, false);
    struct dataset *d = opened((const char *[]){in("images"), in("labels")}, 2);
    struct settings settings = settings_default();
    settings.invert = INVERT_ALWAYS;
    struct err err = {0};
    uint8_t input[6];
    const char *label;
    struct shape same = shape_of(2, 3, 1), one = shape_of(1, 1, 1);
    settings.fit = FIT_STRETCH;
    ck_assert_int_eq(dataset_next(d, &same, &settings, input, &label, &err), 1);
    ck_assert_uint_eq(input[0], 1);
    ck_assert_int_eq(dataset_next(d, &one, &settings, input, &label, &err), 1);
    ck_assert_uint_eq(input[0], 14); /* the mean of 11..16, 13.5, rounded */
    dataset_close(d);
}
END_TEST

START_TEST(planes_that_no_picture_has_cannot_be_fitted)
{
    static const uint8_t many[] = {MAGIC(4), BE(1), BE(5), BE(1), BE(1), 1, 2, 3, 4, 5};
    static const uint8_t theirs[] = {MAGIC(1), BE(1), 7};
    put("images", many, sizeof many, false);
    put("labels", theirs, sizeof theirs, false);
    struct dataset *d = opened((const char *[]){in("images"), in("labels")}, 2);
    struct shape same = shape_of(1, 1, 5), other = shape_of(2, 2, 1);
    expect_next(d, &same, "7", many + 20);
    dataset_close(d);
    d = opened((const char *[]){in("images"), in("labels")}, 2);
    struct err err = {0};
    struct settings settings = settings_default();
    uint8_t input[4];
    const char *label;
    ck_assert_int_eq(dataset_next(d, &other, &settings, input, &label, &err), -1);
    ck_assert_int_eq(err.code, ERR_VALUE);
    ck_assert_ptr_nonnull(strstr(err.text, "images"));
    dataset_close(d);
}
END_TEST

static const uint8_t wrong_type[] = {0, 0, 13, 3, BE(1), BE(1), BE(1), 0, 0, 0, 0};
static const uint8_t wrong_sides[] = {MAGIC(2), BE(1), BE(1), 0};
static const uint8_t not_idx[] = "P5 28 28 255\n";
static const uint8_t no_pixels[] = {MAGIC(3), BE(3), BE(0), BE(2)};
static const uint8_t too_long[] = {MAGIC(1), BE(3), 1, 2, 3, 4};
static const uint8_t two_labels[] = {MAGIC(1), BE(2), 1, 2};
static const uint8_t liar[] = {MAGIC(3), 0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3};
/* a million images, of which there is none: found out before memory for them is taken */
static const uint8_t promising[] = {MAGIC(3), 0, 0x0F, 0x42, 0x40, BE(28), BE(28), 1, 2, 3};
static const uint8_t overflowing[] = {MAGIC(4), 255, 255, 255, 255, 255, 255, 255, 255,
                                      255,      255, 255, 255, 255, 255, 255, 255};

START_TEST(files_that_make_no_pair_are_refused_by_name)
{
    put("images", images, sizeof images, false);
    put("labels", labels, sizeof labels, false);
    const struct {
        const uint8_t *bytes;
        size_t n;
        bool instead_of_images;
        const char *word;
    } bad[] = {
        {wrong_type, sizeof wrong_type, true, "bad is IDX of type 0x0d"},
        {wrong_sides, sizeof wrong_sides, true, "bad is IDX of type 0x08 with 2"},
        {not_idx, sizeof not_idx, true, "bad is not an IDX file"},
        {images, 0, true, "bad is truncated"},
        {images, 3, true, "bad is truncated"},
        {images, 9, true, "bad is truncated"},
        {images, sizeof images - 1, true, "bad is truncated"},
        {no_pixels, sizeof no_pixels, true, "bad holds images without pixels"},
        {liar, sizeof liar, true, "bad claims more"},
        {promising, sizeof promising, true, "bad is truncated"},
        {overflowing, sizeof overflowing, true, "bad claims more"},
        {labels, sizeof labels, true, "both hold labels"},
        {images, sizeof images, false, "both hold images"},
        {too_long, sizeof too_long, false, "bad is longer"},
        {labels, sizeof labels - 1, false, "bad is truncated"},
        {two_labels, sizeof two_labels, false, "holds 3 images"},
    };
    ck_assert_int_lt(_i / 2, (int)(sizeof bad / sizeof *bad));
    const bool zipped = _i % 2 == 1;
    put("bad", bad[_i / 2].bytes, bad[_i / 2].n, zipped);
    if (zipped && bad[_i / 2].n == 0)
        return; /* zlib writes nothing for nothing: the plain case again */
    refused((const char *[]){in("bad"), in(bad[_i / 2].instead_of_images ? "labels" : "images")}, 2, bad[_i / 2].word);
}
END_TEST

/* Read back, so that the damage is done to real gzip bytes. */
static size_t zipped_images(uint8_t *bytes, size_t size)
{
    put("whole", images, sizeof images, true);
    FILE *file = fopen(in("whole"), "rb");
    ck_assert_ptr_nonnull(file);
    size_t n = fread(bytes, 1, size, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert(n > 20 && n < size);
    return n;
}

START_TEST(a_gzip_file_cut_anywhere_is_refused)
{
    uint8_t bytes[256];
    size_t n = zipped_images(bytes, sizeof bytes);
    put("labels", labels, sizeof labels, false);
    for (size_t cut = 0; cut < n; cut++) {
        put("bad", bytes, cut, false);
        refused((const char *[]){in("bad"), in("labels")}, 2, "bad is ");
    }
}
END_TEST

START_TEST(a_gzip_file_with_a_wrong_checksum_is_refused)
{
    uint8_t bytes[256];
    size_t n = zipped_images(bytes, sizeof bytes);
    put("labels", labels, sizeof labels, false);
    bytes[n - 8 + (size_t)_i] ^= 1; /* four bytes of CRC-32, four of length */
    put("bad", bytes, n, false);
    refused((const char *[]){in("bad"), in("labels")}, 2, "bad is corrupt");
}
END_TEST

START_TEST(a_missing_file_is_named_with_the_system_s_word)
{
    refused((const char *[]){in("nowhere"), in("labels")}, 2, "nowhere: No such file");
    refused((const char *[]){in("nowhere")}, 1, "nowhere: No such file");
    make_sub("sub");
    refused((const char *[]){in("sub"), in("sub")}, 2, "Is a directory");
}
END_TEST

START_TEST(a_number_of_files_that_makes_no_pairs_is_refused)
{
    put("images", images, sizeof images, false);
    refused((const char *[]){in("images")}, 1, "pairs");
    refused((const char *[]){in("images"), in("images"), in("images")}, 3, "3 files");
    refused(NULL, 0, "0 files");
}
END_TEST

START_TEST(the_example_digits_are_whole)
{
    const char *const parts[][2] = {
        {"examples/digits/train-images.idx3-ubyte.gz", "examples/digits/train-labels.idx1-ubyte.gz"},
        {"examples/digits/test-images.idx3-ubyte.gz", "examples/digits/test-labels.idx1-ubyte.gz"}};
    struct dataset *d = opened(parts[_i], 2);
    ck_assert_uint_eq(dataset_length(d), _i == 0 ? 4000 : 1000);
    const char *const *names;
    ck_assert_uint_eq(dataset_labels(d, &names), 10);
    for (int i = 0; i < 10; i++)
        ck_assert(names[i][0] == '0' + i && names[i][1] == '\0');
    dataset_close(d);
}
END_TEST

/* MNIST itself stands beside a checkout where its makers work, and not in it. */
START_TEST(mnist_is_read_whole)
{
    const char *const files[] = {"../shared/data/mnist/train-images-idx3-ubyte.gz",
                                 "../shared/data/mnist/train-labels-idx1-ubyte.gz"};
    if (access(files[0], R_OK) != 0) {
        (void)printf("skipped: mnist_is_read_whole (no %s)\n", files[0]);
        return;
    }
    struct dataset *d = opened(files, 2);
    ck_assert_uint_eq(dataset_length(d), 60000);
    struct shape shape = shape_of(28, 28, 1);
    expect_next(d, &shape, "5", NULL);
    expect_next(d, &shape, "0", NULL);
    expect_next(d, &shape, "4", NULL);
    dataset_close(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dataset, IDX");
    TCase *idx = tcase_create("idx");
    tcase_add_checked_fixture(idx, make_folder, remove_folder);
    tcase_set_timeout(idx, 60); /* MNIST, under sanitizers */
    tcase_add_loop_test(idx, idx_pairs_are_read_plain_or_gzipped_in_either_order, 0, 8);
    tcase_add_test(idx, opened_again_it_gives_the_same);
    tcase_add_test(idx, idx_labels_are_listed_once_by_value);
    tcase_add_test(idx, several_pairs_follow_one_another);
    tcase_add_loop_test(idx, idx_files_without_images_are_an_empty_dataset, 0, 2);
    tcase_add_test(idx, images_with_planes_are_taken_plane_by_plane);
    tcase_add_test(idx, images_of_another_size_or_colour_are_fitted);
    tcase_add_test(idx, idx_images_are_never_inverted);
    tcase_add_test(idx, planes_that_no_picture_has_cannot_be_fitted);
    tcase_add_loop_test(idx, files_that_make_no_pair_are_refused_by_name, 0, 32);
    tcase_add_test(idx, a_gzip_file_cut_anywhere_is_refused);
    tcase_add_loop_test(idx, a_gzip_file_with_a_wrong_checksum_is_refused, 0, 8);
    tcase_add_test(idx, a_missing_file_is_named_with_the_system_s_word);
    tcase_add_test(idx, a_number_of_files_that_makes_no_pairs_is_refused);
    tcase_add_loop_test(idx, the_example_digits_are_whole, 0, 2);
    tcase_add_test(idx, mnist_is_read_whole);
    suite_add_tcase(suite, idx);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
