/* test_text.c - server/common/text.h: the growing buffer, and the JSON scalars of the hot answers. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/text.h"

static void quoted(const char *bytes, size_t n, const char *expected)
{
    struct text text = {0};
    text_add_quoted(&text, bytes, n);
    char *taken = text_take(&text);
    ck_assert_str_eq(taken, expected);
    free(taken);
}

static void fixed(double number, const char *expected)
{
    struct text text = {0};
    text_add_fixed9(&text, number);
    char *taken = text_take(&text);
    ck_assert_str_eq(taken, expected);
    free(taken);
}

START_TEST(what_is_added_piece_by_piece_comes_out_whole)
{
    struct text text = {0};
    char *expected = malloc(100001);
    ck_assert_ptr_nonnull(expected);
    for (int i = 0; i < 100000; i++) {
        char c = (char)('a' + i % 26);
        expected[i] = c;
        text_add(&text, &c, 1);
    }
    expected[100000] = '\0';
    ck_assert_uint_eq(text.n, 100000);
    char *taken = text_take(&text);
    ck_assert_str_eq(taken, expected);
    ck_assert_ptr_null(text.bytes);
    free(taken);
    free(expected);
}
END_TEST

START_TEST(a_size_that_overflows_fails_and_what_follows_is_dropped)
{
    struct text text = {0};
    text_add_string(&text, "abc");
    ck_assert(!text_reserve(&text, SIZE_MAX - 1));
    ck_assert(text.failed);
    text_add_string(&text, "def");
    ck_assert_uint_eq(text.n, 3);
    ck_assert_ptr_null(text_take(&text));
    ck_assert_uint_eq(text.size, 0);
}
END_TEST

START_TEST(a_limit_is_never_passed_and_says_that_it_is_why)
{
    struct text text = {.limit = 1000};
    for (int i = 0; i < 100; i++)
        text_add(&text, "0123456789", 10);
    ck_assert(!text.failed);
    ck_assert_uint_eq(text.n, 1000);
    ck_assert_uint_le(text.size, 1000);
    text_add(&text, "x", 1);
    ck_assert(text.failed && text.over);
    text_shrink(&text, 100);
    ck_assert(!text.failed && !text.over);
    ck_assert_uint_eq(text.limit, 1000);
    text_free(&text);
}
END_TEST

START_TEST(clearing_keeps_the_memory_and_forgets_the_failure)
{
    struct text text = {0};
    text_add_string(&text, "abc");
    size_t size = text.size;
    (void)text_reserve(&text, SIZE_MAX - 1);
    text_clear(&text);
    ck_assert(!text.failed);
    ck_assert_uint_eq(text.n, 0);
    ck_assert_uint_eq(text.size, size);
    text_free(&text);
}
END_TEST

START_TEST(shrinking_gives_back_what_is_over)
{
    struct text text = {0};
    ck_assert(text_reserve(&text, 10000));
    text_shrink(&text, 100);
    ck_assert_uint_eq(text.size, 0);
    text_free(&text);
}
END_TEST

START_TEST(whole_numbers_are_printed_over_their_whole_range)
{
    struct text text = {0};
    text_add_u64(&text, 0);
    text_add(&text, " ", 1);
    text_add_u64(&text, 1000);
    text_add(&text, " ", 1);
    text_add_u64(&text, UINT64_MAX);
    char *taken = text_take(&text);
    ck_assert_str_eq(taken, "0 1000 18446744073709551615");
    free(taken);
}
END_TEST

START_TEST(probabilities_have_nine_decimals)
{
    fixed(0, "0.000000000");
    fixed(1, "1.000000000");
    fixed(0.5, "0.500000000");
    fixed(1e-9, "0.000000001");
    fixed(4e-10, "0.000000000");
    fixed(0.9999999999, "1.000000000");
    fixed(12.25, "12.250000000");
    fixed(999999999.5, "999999999.500000000");
}
END_TEST

START_TEST(nine_decimals_agree_with_printf_on_a_million_floats)
{
    char expected[32];
    uint32_t state = 1;
    for (int i = 0; i < 1000000; i++) {
        state = state * 1664525u + 1013904223u;
        double number = (double)((float)(state >> 8) / 16777216.0F);
        struct text text = {0};
        char bytes[64];
        text.bytes = bytes; /* room enough: nothing is reallocated */
        text.size = sizeof bytes;
        text_add_fixed9(&text, number);
        int n = snprintf(expected, sizeof expected, "%.9f", number);
        /* printf rounds the exact value half to even; the last digit may differ by a tie's half unit */
        bytes[text.n] = '\0';
        ck_assert_int_eq((int)text.n, n);
        ck_assert_msg(fabs(strtod(bytes, NULL) - strtod(expected, NULL)) < 1.5e-9, "%s for %s", bytes, expected);
    }
}
END_TEST

START_TEST(numbers_that_json_has_no_word_for_become_null)
{
    fixed((double)NAN, "null");
    fixed((double)INFINITY, "null");
    fixed(-(double)INFINITY, "null");
}
END_TEST

START_TEST(numbers_out_of_range_are_printed_as_printf_would)
{
    fixed(-0.25, "-0.25");
    fixed(1e12, "1e+12");
}
END_TEST

START_TEST(quotes_backslashes_and_control_characters_are_escaped)
{
    quoted("a\"b\\c\n\t\x01\x7f", 9, "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\"");
    quoted("\0", 1, "\"\\u0000\"");
}
END_TEST

START_TEST(utf8_passes_and_what_is_not_utf8_is_replaced)
{
    quoted("xé€😀", strlen("xé€😀"), "\"xé€😀\"");
    quoted("\xc3", 1, "\"\\ufffd\"");                                  /* cut */
    quoted("\xc0\xaf", 2, "\"\\ufffd\\ufffd\"");                       /* overlong */
    quoted("\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"");            /* surrogate */
    quoted("\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* past U+10FFFF */
    quoted("a\x80z", 3, "\"a\\ufffdz\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *buffer = tcase_create("buffer");
    tcase_add_test(buffer, what_is_added_piece_by_piece_comes_out_whole);
    tcase_add_test(buffer, a_size_that_overflows_fails_and_what_follows_is_dropped);
    tcase_add_test(buffer, a_limit_is_never_passed_and_says_that_it_is_why);
    tcase_add_test(buffer, clearing_keeps_the_memory_and_forgets_the_failure);
    tcase_add_test(buffer, shrinking_gives_back_what_is_over);
    suite_add_tcase(suite, buffer);
    TCase *scalars = tcase_create("scalars");
    tcase_set_timeout(scalars, 60);
    tcase_add_test(scalars, whole_numbers_are_printed_over_their_whole_range);
    tcase_add_test(scalars, probabilities_have_nine_decimals);
    tcase_add_test(scalars, nine_decimals_agree_with_printf_on_a_million_floats);
    tcase_add_test(scalars, numbers_that_json_has_no_word_for_become_null);
    tcase_add_test(scalars, numbers_out_of_range_are_printed_as_printf_would);
    tcase_add_test(scalars, quotes_backslashes_and_control_characters_are_escaped);
    tcase_add_test(scalars, utf8_passes_and_what_is_not_utf8_is_replaced);
    suite_add_tcase(suite, scalars);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
