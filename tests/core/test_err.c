/* test_err.c - how failure is told: texts and pointers, put together and cut. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/run.h"

START_TEST(what_memory_was_wanted_for_is_said_in_one_wording)
{
    struct err err;
    ck_assert_int_eq(err_memory(&err, "%u samples", 7u), -1);
    ck_assert_int_eq(err.code, ERR_MEMORY);
    ck_assert_str_eq(err.text, "no memory for 7 samples");
    ck_assert_int_eq(err_memory(NULL, "nobody"), -1);
}
END_TEST

START_TEST(set_fills_code_and_text_and_clears_the_rest)
{
    struct err err = {.code = ERR_BUSY, .detail = 7, .pointer = "/old", .text = "old"};
    ck_assert_int_eq(err_set(&err, ERR_VALUE, "rate is %d", 5), -1);
    ck_assert_int_eq(err.code, ERR_VALUE);
    ck_assert_str_eq(err.text, "rate is 5");
    ck_assert_str_eq(err.pointer, "");
    ck_assert_int_eq(err.detail, 0);
}
END_TEST

START_TEST(wrap_puts_what_was_tried_before_the_cause)
{
    struct err err;
    err_set(&err, ERR_DB_FOREIGN, "file is not a database");
    err_at(&err, "/db");
    err.detail = 26;
    ck_assert_int_eq(err_wrap(&err, "cannot open %s", "m.db"), -1);
    ck_assert_str_eq(err.text, "cannot open m.db: file is not a database");
    ck_assert_int_eq(err_wrap(&err, "cannot start"), -1);
    ck_assert_str_eq(err.text, "cannot start: cannot open m.db: file is not a database");
    ck_assert_int_eq(err.code, ERR_DB_FOREIGN);
    ck_assert_int_eq(err.detail, 26);
    ck_assert_str_eq(err.pointer, "/db");
}
END_TEST

START_TEST(a_text_is_one_line_whatever_it_quotes)
{
    struct err err;
    err_set(&err, ERR_LABEL_UNKNOWN, "there is no class \"%s\"", "a\nconvd: all is well\r\033[31m\x7f\xc3\xa9");
    ck_assert_str_eq(err.text, "there is no class \"a?convd: all is well??[31m?\xc3\xa9\"");
    err_set(&err, ERR_LABEL_UNKNOWN, "%s",
            "\xc2\x9b"
            "31m\xc2\xa0\xc2\xe2\x80\x9b\xc2"); /* CSI in one character; what only looks like it */
    ck_assert_str_eq(err.text, "?31m\xc2\xa0\xc2\xe2\x80\x9b\xc2");
    err_set(&err, ERR_LABEL_UNKNOWN, "%s",
            "a\x9b\x33m\xe2\x80\xae gnp.exe\xd8\x9c\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\xac\xe2\x80\xa8\xf0\x9f\x90\xb1");
    ck_assert_str_eq(err.text, "a?3m? gnp.exe?????\xf0\x9f\x90\xb1"); /* CSI as a byte; what turns text round */
    err_wrap(&err, "%s", "b\nc");
    ck_assert_ptr_null(strpbrk(err.text, "\n\r\033\x7f"));
}
END_TEST

START_TEST(at_replaces_the_pointer_alone)
{
    struct err err;
    err_set(&err, ERR_VALUE, "wrong");
    ck_assert_int_eq(err_at(&err, "/images/%d", 3), -1);
    ck_assert_int_eq(err_at(&err, "/samples/%d/label", 17), -1);
    ck_assert_str_eq(err.pointer, "/samples/17/label");
    ck_assert_str_eq(err.text, "wrong");
    ck_assert_int_eq(err.code, ERR_VALUE);
}
END_TEST

START_TEST(under_puts_the_place_before_the_pointer)
{
    struct err err;
    err_set(&err, ERR_VALUE, "wrong");
    err_at(&err, "/pixels/3");
    ck_assert_int_eq(err_under(&err, "/images/%d", 7), -1);
    ck_assert_str_eq(err.pointer, "/images/7/pixels/3");
    ck_assert_str_eq(err.text, "wrong");
}
END_TEST

START_TEST(under_an_empty_pointer_is_the_place_itself)
{
    struct err err;
    err_set(&err, ERR_IMAGE, "corrupt");
    err_under(&err, "/images/%d", 0);
    ck_assert_str_eq(err.pointer, "/images/0");
}
END_TEST

START_TEST(nobody_needs_to_want_to_know)
{
    ck_assert_int_eq(err_set(NULL, ERR_VALUE, "%s", "x"), -1);
    ck_assert_int_eq(err_wrap(NULL, "%s", "x"), -1);
    ck_assert_int_eq(err_at(NULL, "%s", "x"), -1);
    ck_assert_int_eq(err_under(NULL, "%s", "x"), -1);
}
END_TEST

/* ---- cutting ---- */

/* n times `c`, terminated; kept until the next call. */
static const char *many(char c, size_t n)
{
    static char text[2000];
    ck_assert_uint_lt(n, sizeof text);
    memset(text, c, n);
    text[n] = '\0';
    return text;
}

START_TEST(a_text_that_fits_is_whole_and_a_longer_one_is_cut_at_its_end)
{
    struct err err;
    err_set(&err, ERR_VALUE, "%s", many('x', ERR_TEXT_BYTES - 1));
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_BYTES - 1);
    err_set(&err, ERR_VALUE, "begin %s end", many('x', ERR_TEXT_BYTES));
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_BYTES - 1);
    ck_assert_int_eq(strncmp(err.text, "begin xxx", 9), 0);
}
END_TEST

START_TEST(wrapping_a_full_text_keeps_what_was_tried_and_cuts_the_cause)
{
    struct err err;
    err_set(&err, ERR_VALUE, "%s", many('x', 500));
    err_wrap(&err, "trying");
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_BYTES - 1);
    ck_assert_int_eq(strncmp(err.text, "trying: xxx", 11), 0);
}
END_TEST

START_TEST(wrapping_in_an_endless_text_is_cut)
{
    struct err err;
    for (size_t n = ERR_TEXT_BYTES - 8; n < ERR_TEXT_BYTES + 8; n++) {
        err_set(&err, ERR_VALUE, "cause");
        err_wrap(&err, "%s", many('y', n));
        ck_assert_uint_le(strlen(err.text), ERR_TEXT_BYTES - 1);
        ck_assert_uint_ge(strlen(err.text), ERR_TEXT_BYTES - 4);
        ck_assert_int_eq(err.text[ERR_TEXT_BYTES - 10], 'y');
        ck_assert_str_eq(err.pointer, "");
    }
    err_set(&err, ERR_VALUE, "%s", many('x', 1000));
    err_wrap(&err, "%s", many('y', 1000));
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_BYTES - 1);
}
END_TEST

START_TEST(wrapping_again_and_again_stays_within_the_text)
{
    struct err err;
    err_set(&err, ERR_VALUE, "cause");
    for (int i = 0; i < 200; i++)
        err_wrap(&err, "level %d", i);
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_BYTES - 1);
    ck_assert_int_eq(strncmp(err.text, "level 199: level 198: ", 22), 0);
}
END_TEST

START_TEST(a_long_pointer_is_cut_and_touches_nothing_else)
{
    struct err err;
    err_set(&err, ERR_VALUE, "wrong");
    err_at(&err, "/%s", many('p', 500));
    ck_assert_uint_eq(strlen(err.pointer), ERR_POINTER_BYTES - 1);
    err_under(&err, "/images/%d", 1);
    ck_assert_uint_eq(strlen(err.pointer), ERR_POINTER_BYTES - 1);
    ck_assert_int_eq(strncmp(err.pointer, "/images/1/ppp", 13), 0);
    err_under(&err, "/%s", many('q', 1000));
    ck_assert_uint_eq(strlen(err.pointer), ERR_POINTER_BYTES - 1);
    ck_assert_str_eq(err.text, "wrong");
    ck_assert_int_eq(err.code, ERR_VALUE);
}
END_TEST

/* ---- names ---- */

START_TEST(every_code_has_a_name_of_its_own)
{
    for (int i = 0; i < ERR_N; i++) {
        const char *name = err_code_name((enum err_code)i);
        ck_assert_msg(strcmp(name, "unknown") != 0 && name[0] != '\0', "code %d has no name", i);
        for (const char *c = name; *c != '\0'; c++)
            ck_assert_msg((*c >= 'a' && *c <= 'z') || *c == '-', "\"%s\" would not do in a URL", name);
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(name, err_code_name((enum err_code)j));
    }
}
END_TEST

START_TEST(a_code_out_of_range_is_unknown)
{
    ck_assert_str_eq(err_code_name(ERR_N), "unknown");
    ck_assert_str_eq(err_code_name((enum err_code)1000), "unknown");
    ck_assert_str_eq(err_code_name((enum err_code) - 1), "unknown");
}
END_TEST

START_TEST(a_known_label_error_has_the_name_that_problem_types_use)
{
    ck_assert_str_eq(err_code_name(ERR_LABEL_UNKNOWN), "label-unknown");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("err");
    tcase_add_test(tcase, what_memory_was_wanted_for_is_said_in_one_wording);
    tcase_add_test(tcase, set_fills_code_and_text_and_clears_the_rest);
    tcase_add_test(tcase, wrap_puts_what_was_tried_before_the_cause);
    tcase_add_test(tcase, a_text_is_one_line_whatever_it_quotes);
    tcase_add_test(tcase, at_replaces_the_pointer_alone);
    tcase_add_test(tcase, under_puts_the_place_before_the_pointer);
    tcase_add_test(tcase, under_an_empty_pointer_is_the_place_itself);
    tcase_add_test(tcase, nobody_needs_to_want_to_know);
    tcase_add_test(tcase, a_text_that_fits_is_whole_and_a_longer_one_is_cut_at_its_end);
    tcase_add_test(tcase, wrapping_a_full_text_keeps_what_was_tried_and_cuts_the_cause);
    tcase_add_test(tcase, wrapping_in_an_endless_text_is_cut);
    tcase_add_test(tcase, wrapping_again_and_again_stays_within_the_text);
    tcase_add_test(tcase, a_long_pointer_is_cut_and_touches_nothing_else);
    tcase_add_test(tcase, every_code_has_a_name_of_its_own);
    tcase_add_test(tcase, a_code_out_of_range_is_unknown);
    tcase_add_test(tcase, a_known_label_error_has_the_name_that_problem_types_use);
    return run_case(tcase, "err");
}
