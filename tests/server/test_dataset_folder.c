/* test_dataset_folder.c - server/formats/dataset_folder.c: a folder of pictures, one sub-folder per class, as labelled images. */
#include <unistd.h>

#include "tests/server/dataset.h"

static void put_png(const char *name, uint8_t grey, unsigned side)
{
    uint8_t *pixels = malloc((size_t)side * side), *png;
    ck_assert_ptr_nonnull(pixels);
    memset(pixels, grey, (size_t)side * side);
    size_t n;
    struct err err = {0};
    ck_assert_int_eq(image_encode_png(&png, &n, pixels, side, side, 1, &err), 0);
    put(name, png, n, false);
    free(pixels);
    free(png);
}

static void expect_grey(struct dataset *d, const char *label, uint8_t grey)
{
    struct shape shape = shape_of(2, 2, 1);
    const uint8_t pixels[] = {grey, grey, grey, grey};
    expect_next(d, &shape, label, pixels);
}

START_TEST(a_folder_gives_one_of_each_class_in_turn_by_name)
{
    make_sub("cat");
    make_sub("Bird");
    make_sub("dog");
    put_png("cat/b.png", 2, 3);
    put_png("cat/a.png", 1, 2);
    put_png("cat/c", 3, 5); /* by content, whatever the name */
    put_png("Bird/z.png", 11, 2);
    put_png("dog/2.png", 22, 2);
    put_png("dog/10.png", 21, 2);
    struct shape shape = shape_of(2, 2, 1);
    for (int pass = 0; pass < 2; pass++) {
        struct dataset *d = opened((const char *[]){folder}, 1);
        ck_assert_uint_eq(dataset_length(d), 6);
        expect_grey(d, "Bird", 11);
        expect_grey(d, "cat", 1);
        expect_grey(d, "dog", 21);
        expect_grey(d, "cat", 2);
        expect_grey(d, "dog", 22);
        expect_grey(d, "cat", 3);
        expect_end(d, &shape);
        dataset_close(d);
    }
}
END_TEST

START_TEST(class_names_are_sorted_numbers_first_and_by_value)
{
    const char *const names[] = {"b", "10", "9", "a1", "010", "B", "0"}, *const expected[] = {"0", "9",  "010", "10",
                                                                                              "B", "a1", "b"};
    for (int i = 0; i < 7; i++) {
        char path[32];
        make_sub(names[i]);
        (void)snprintf(path, sizeof path, "%s/x.png", names[i]);
        put_png(path, 0, 1);
    }
    struct dataset *d = opened((const char *[]){folder}, 1);
    const char *const *got;
    ck_assert_uint_eq(dataset_labels(d, &got), 7);
    for (int i = 0; i < 7; i++)
        ck_assert_str_eq(got[i], expected[i]);
    dataset_close(d);
}
END_TEST

START_TEST(hidden_and_nested_and_loose_files_are_not_looked_at)
{
    make_sub("a");
    make_sub("a/inner");
    make_sub(".git");
    make_sub("empty");
    put_png("a/1.png", 1, 2);
    put_png("a/inner/2.png", 2, 2);
    put(".git/x", "x", 1, false);
    put("a/.DS_Store", "x", 1, false);
    put("readme.txt", "x", 1, false);
    struct dataset *d = opened((const char *[]){folder}, 1);
    ck_assert_uint_eq(dataset_length(d), 1);
    const char *const *names;
    ck_assert_uint_eq(dataset_labels(d, &names), 1);
    expect_grey(d, "a", 1);
    dataset_close(d);
}
END_TEST

START_TEST(pictures_of_a_folder_are_fitted_and_inverted_by_the_settings)
{
    make_sub("a");
    put_png("a/1.png", 250, 9);
    struct dataset *d = opened((const char *[]){folder}, 1);
    struct settings settings = settings_default();
    settings.invert = INVERT_AUTO;
    struct shape shape = shape_of(2, 2, 1);
    uint8_t input[4];
    const char *label;
    struct err err = {0};
    ck_assert_int_eq(dataset_next(d, &shape, &settings, input, &label, &err), 1);
    ck_assert_mem_eq(input, "\5\5\5\5", 4);
    dataset_close(d);
}
END_TEST

START_TEST(a_file_that_is_no_picture_is_named_and_the_next_one_follows)
{
    make_sub("a");
    put_png("a/1.png", 1, 2);
    put("a/2.png", "hello", 5, false);
    put("a/3.png", "", 0, false);
    put_png("a/4.png", 4, 2);
    struct dataset *d = opened((const char *[]){folder}, 1);
    struct settings settings = settings_default();
    struct shape shape = shape_of(2, 2, 1);
    uint8_t input[4];
    const char *label;
    struct err err = {0};
    expect_grey(d, "a", 1);
    ck_assert_int_eq(dataset_next(d, &shape, &settings, input, &label, &err), -1);
    ck_assert_int_eq(err.code, ERR_MEDIA_TYPE);
    ck_assert_ptr_nonnull(strstr(err.text, "/a/2.png: "));
    ck_assert_int_eq(dataset_next(d, &shape, &settings, input, &label, &err), -1);
    ck_assert_int_eq(err.code, ERR_EMPTY);
    expect_grey(d, "a", 4);
    dataset_close(d);
}
END_TEST

START_TEST(what_is_no_picture_is_skipped_and_counted_once)
{
    make_sub("a");
    make_sub("b");
    make_sub("notes");
    put("a/0.png", "hello", 5, false);
    put_png("a/1.png", 1, 2);
    put("a/2.png", "\x89PNG\r\n\x1a\n", 8, false);
    put("a/._1.png", "x", 1, false);
    put("a/Thumbs.db", "x", 1, false);
    ck_assert_int_eq(symlink("nowhere", in("a/3.png")), 0);
    put_png("b/1.png", 11, 2);
    put("notes/todo.txt", "x", 1, false);
    struct dataset *d = opened((const char *[]){folder}, 1);
    struct settings settings = settings_default();
    struct shape shape = shape_of(2, 2, 1);
    struct err err = {0};
    ck_assert_int_eq(dataset_look(d, &shape, &settings, false, &err), 0);
    const char *const *names;
    ck_assert_uint_eq(dataset_labels(d, &names), 2);
    ck_assert_str_eq(names[0], "a");
    ck_assert_str_eq(names[1], "b");
    expect_grey(d, "b", 11);
    expect_grey(d, "a", 1);
    expect_end(d, &shape);
    ck_assert_uint_eq(dataset_skipped(d)->files, 4);
    ck_assert_uint_eq(dataset_skipped(d)->hidden, 2);
    ck_assert_uint_eq(dataset_length(d), 2);
    ck_assert_ptr_nonnull(strstr(dataset_skipped(d)->first[0], "a/0.png: "));
    dataset_close(d);
    (void)unlink(in("a/3.png"));
}
END_TEST

START_TEST(a_strict_look_ends_at_the_first_file_that_is_no_picture)
{
    make_sub("a");
    put_png("a/1.png", 1, 2);
    put_png("a/2.png", 2, 2);
    put("a/3.png", "hello", 5, false);
    struct dataset *d = opened((const char *[]){folder}, 1);
    struct settings settings = settings_default();
    struct shape shape = shape_of(2, 2, 1);
    struct err err = {0};
    ck_assert_int_eq(dataset_look(d, &shape, &settings, true, &err), -1);
    ck_assert_int_eq(err.code, ERR_MEDIA_TYPE);
    ck_assert_ptr_nonnull(strstr(err.text, "a/3.png: "));
    dataset_close(d);
}
END_TEST

START_TEST(a_folder_without_a_picture_is_refused_at_the_look)
{
    make_sub("a");
    put("a/1.png", "hello", 5, false);
    struct dataset *d = opened((const char *[]){folder}, 1);
    struct settings settings = settings_default();
    struct shape shape = shape_of(2, 2, 1);
    struct err err = {0};
    ck_assert_int_eq(dataset_look(d, &shape, &settings, false, &err), -1);
    ck_assert_int_eq(err.code, ERR_FILE);
    ck_assert_ptr_nonnull(strstr(err.text, "a/1.png: "));
    dataset_close(d);
}
END_TEST

START_TEST(a_file_that_is_gone_meanwhile_is_named)
{
    make_sub("a");
    put_png("a/1.png", 1, 2);
    struct dataset *d = opened((const char *[]){folder}, 1);
    ck_assert_int_eq(unlink(in("a/1.png")), 0);
    struct settings settings = settings_default();
    struct shape shape = shape_of(2, 2, 1);
    uint8_t input[4];
    const char *label;
    struct err err = {0};
    ck_assert_int_eq(dataset_next(d, &shape, &settings, input, &label, &err), -1);
    ck_assert_int_eq(err.code, ERR_FILE);
    ck_assert_ptr_nonnull(strstr(err.text, "1.png"));
    dataset_close(d);
}
END_TEST

START_TEST(a_folder_without_classes_or_with_a_bad_name_is_refused)
{
    refused((const char *[]){folder}, 1, "no sub-folders");
    make_sub("empty");
    refused((const char *[]){folder}, 1, "no sub-folders");
    make_sub("a\tb");
    put_png("a\tb/1.png", 1, 1);
    refused((const char *[]){folder}, 1, "is not named after a class");
}
END_TEST

START_TEST(a_large_picture_is_read_to_its_end)
{
    make_sub("a");
    uint8_t *noise = malloc(600 * 600), *png;
    ck_assert_ptr_nonnull(noise);
    uint32_t state = 1;
    for (int i = 0; i < 600 * 600; i++) {
        state = state * 1664525U + 1013904223U;
        noise[i] = (uint8_t)(state >> 24);
    }
    size_t n;
    struct err err = {0};
    ck_assert_int_eq(image_encode_png(&png, &n, noise, 600, 600, 1, &err), 0);
    ck_assert_uint_gt(n, 300000); /* several rounds of reading */
    put("a/1.png", png, n, false);
    free(noise);
    free(png);
    struct dataset *d = opened((const char *[]){folder}, 1);
    struct shape shape = shape_of(2, 2, 1);
    expect_next(d, &shape, "a", NULL);
    dataset_close(d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dataset, folders");
    TCase *folders = tcase_create("folder");
    tcase_add_checked_fixture(folders, make_folder, remove_folder);
    tcase_add_test(folders, a_folder_gives_one_of_each_class_in_turn_by_name);
    tcase_add_test(folders, class_names_are_sorted_numbers_first_and_by_value);
    tcase_add_test(folders, hidden_and_nested_and_loose_files_are_not_looked_at);
    tcase_add_test(folders, pictures_of_a_folder_are_fitted_and_inverted_by_the_settings);
    tcase_add_test(folders, a_file_that_is_no_picture_is_named_and_the_next_one_follows);
    tcase_add_test(folders, what_is_no_picture_is_skipped_and_counted_once);
    tcase_add_test(folders, a_strict_look_ends_at_the_first_file_that_is_no_picture);
    tcase_add_test(folders, a_folder_without_a_picture_is_refused_at_the_look);
    tcase_add_test(folders, a_file_that_is_gone_meanwhile_is_named);
    tcase_add_test(folders, a_folder_without_classes_or_with_a_bad_name_is_refused);
    tcase_add_test(folders, a_large_picture_is_read_to_its_end);
    suite_add_tcase(suite, folders);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
