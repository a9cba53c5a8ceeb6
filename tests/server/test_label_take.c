/* test_label_take.c - the one way in for a label: what looks the same becomes the same. */
#include "server/common/label_take.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct err err;

static void takes(const char *expected, const char *given)
{
    char out[LABEL_BYTES_MAX + 1];
    memset(out, 'x', sizeof out);
    ck_assert_msg(label_take(out, given, strlen(given), &err) == 0, "%s", err.text);
    ck_assert_str_eq(out, expected);
    for (size_t i = strlen(expected); i < sizeof out; i++)
        ck_assert_int_eq(out[i], 0);
}

static void refuses(const char *part, const char *given, size_t n)
{
    char out[LABEL_BYTES_MAX + 1] = "as it was";
    ck_assert_int_eq(label_take(out, given, n, &err), -1);
    ck_assert_int_eq(err.code, ERR_LABEL_INVALID);
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
    ck_assert_str_eq(out, "as it was");
}

static void add(char *text, size_t size, const char *piece)
{
    const size_t n = strlen(text);
    (void)snprintf(text + n, size - n, "%s", piece);
}

START_TEST(both_forms_of_a_text_are_one_label)
{
    takes("cat", "cat");
    takes("caf\xc3\xa9", "caf\xc3\xa9");
    takes("caf\xc3\xa9", "cafe\xcc\x81");
    takes("\xc3\x85", "\xe2\x84\xab");                             /* the unit Angstrom, the letter */
    takes("\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8"); /* Hangul, by its parts */
    takes("\xe1\xba\xad", "a\xcc\x82\xcc\xa3");                    /* two marks in the other order */
    takes("\xe0\xa4\x95\xe0\xa4\xbc", "\xe0\xa5\x98");             /* composed by form C never */
}
END_TEST

START_TEST(a_selector_of_pictures_makes_no_class_of_its_own)
{
    takes("\xe2\x9d\xa4", "\xe2\x9d\xa4\xef\xb8\x8f");
    takes("\xe2\x9d\xa4\xe2\x80\x8d\xf0\x9f\x94\xa5", "\xe2\x9d\xa4\xef\xb8\x8f\xe2\x80\x8d\xf0\x9f\x94\xa5");
    takes("\xc3\xa9\xcc\xb8", "e\xef\xb8\x8f\xcc\xb8\xcc\x81"); /* in normal form without it, too */
    refuses("empty", "\xef\xb8\x8f", 3);
    refuses("U+FE00 (variation selector)", "a\xef\xb8\x80", 4);
}
END_TEST

START_TEST(the_limit_is_that_of_the_normal_form)
{
    char given[4 * LABEL_BYTES_MAX + 1] = "", form_c[LABEL_BYTES_MAX + 1] = "";
    for (int i = 0; i < LABEL_BYTES_MAX / 2; i++) { /* 32 times U+00E9: 64 bytes, 96 in form D */
        add(given, sizeof given, "e\xcc\x81");
        add(form_c, sizeof form_c, "\xc3\xa9");
    }
    takes(form_c, given);
    add(given, sizeof given, "e\xcc\x81");
    refuses("66 bytes", given, strlen(given));
    refuses("1000 bytes", "x", 1000); /* and reads none of them */
}
END_TEST

START_TEST(what_is_no_text_is_refused_as_it_was)
{
    refuses("not valid UTF-8 at byte 1", "a\xff", 2);
    refuses("not valid UTF-8 at byte 0", "\xed\xa0\x80", 3);
    refuses("U+0000 at byte 2", "\xc3\xa9\0", 3);
    refuses("U+200B (zero width space)", "7\xe2\x80\x8b", 4);
    refuses("empty", "", 0);
}
END_TEST

/* Whatever bytes come: taken again, a label stays what it is. */
START_TEST(what_was_taken_is_taken_as_it_is)
{
    static const char *const pieces[] = {
        "e",           "\xcc\x81", "\xcc\xa3",     "\xef\xb8\x8f", "\xe2\x80\x8d", "\xf0\x9f\x91\xa9",
        "\xd9\x85",    "\xff",     "\xe1\x84\x80", "\xe1\x85\xa1", "\xe0\xa5\x98", " ",
        "\xe3\x80\x80"};
    uint32_t state = 1;
    unsigned taken = 0;
    for (unsigned round = 0; round < 200000; round++) {
        char given[64] = "", once[LABEL_BYTES_MAX + 1], twice[LABEL_BYTES_MAX + 1];
        for (unsigned n = 1 + round % 8; n > 0; n--) {
            state = state * 1664525U + 1013904223U;
            add(given, sizeof given, pieces[(state >> 16) % (sizeof pieces / sizeof *pieces)]);
        }
        if (label_take(once, given, strlen(given), &err) != 0)
            continue;
        taken++;
        ck_assert_int_eq(label_take(twice, once, strlen(once), &err), 0);
        ck_assert_str_eq(twice, once);
    }
    ck_assert_uint_gt(taken, 10000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("label_take");
    TCase *tcase = tcase_create("label_take");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, both_forms_of_a_text_are_one_label);
    tcase_add_test(tcase, a_selector_of_pictures_makes_no_class_of_its_own);
    tcase_add_test(tcase, the_limit_is_that_of_the_normal_form);
    tcase_add_test(tcase, what_is_no_text_is_refused_as_it_was);
    tcase_add_test(tcase, what_was_taken_is_taken_as_it_is);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
