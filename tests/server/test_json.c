/* test_json.c - server/common/json.h: what is read, what is refused, what is written. */
#include <check.h>
#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/json.h"

static struct json *parse(const char *text, struct err *err)
{
    /* A copy of exactly that size: a sanitizer sees a byte read too far. */
    size_t n = strlen(text);
    char *bytes = malloc(n == 0 ? 1 : n);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, text, n);
    struct json *root = json_parse(bytes, n, err);
    free(bytes);
    return root;
}

static void refused(const char *text, enum err_code code, const char *word)
{
    struct err err = {0};
    struct json *root = parse(text, &err);
    ck_assert_msg(root == NULL, "taken: %s", text);
    ck_assert_msg(err.code == code, "%s: %s: %s", text, err_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, word) != NULL, "%s: \"%s\" does not say \"%s\"", text, err.text, word);
}

static void taken(const char *text)
{
    struct err err = {0};
    struct json *root = parse(text, &err);
    ck_assert_msg(root != NULL, "%s: %s", text, err.text);
    json_free(root);
}

START_TEST(every_type_is_read_as_what_it_is)
{
    struct err err = {0};
    struct json *root = parse(
        " {\"a\":null,\"b\":true,\"c\":-1.5e2,\"d\":\"x\\u00e9\\ud83d\\ude00\",\"e\":[1,2,3],\"f\":{}}\r\n", &err);
    ck_assert_msg(root != NULL, "%s", err.text);
    ck_assert_int_eq(json_type(root), JSON_OBJECT);
    ck_assert_uint_eq(json_length(root), 6);
    ck_assert_int_eq(json_type(json_get(root, "a")), JSON_NULL);
    ck_assert_int_eq(json_type(json_get(root, "b")), JSON_BOOL);
    ck_assert(json_bool(json_get(root, "b")));
    ck_assert_double_eq(json_number(json_get(root, "c")), -150.0);
    ck_assert_str_eq(json_string(json_get(root, "d")), "x\xC3\xA9\xF0\x9F\x98\x80");
    ck_assert_int_eq(json_type(json_get(root, "e")), JSON_ARRAY);
    ck_assert_int_eq(json_type(json_get(root, "f")), JSON_OBJECT);
    ck_assert_ptr_null(json_first(json_get(root, "f")));
    ck_assert_ptr_null(json_get(root, "g"));
    ck_assert_ptr_null(json_get(root, "A"));
    json_free(root);
}
END_TEST

START_TEST(members_and_elements_are_walked_in_order)
{
    struct err err = {0};
    struct json *root = parse("{\"z\":1,\"a\":[4,5]}", &err);
    const struct json *m = json_first(root);
    ck_assert_str_eq(json_name(m), "z");
    m = json_next(m);
    ck_assert_str_eq(json_name(m), "a");
    ck_assert_ptr_null(json_next(m));
    const struct json *e = json_first(m);
    ck_assert_double_eq(json_number(e), 4);
    ck_assert_double_eq(json_number(json_next(e)), 5);
    ck_assert_ptr_null(json_next(json_next(e)));
    json_free(root);
}
END_TEST

START_TEST(asking_a_value_for_another_type_gives_nothing)
{
    struct err err = {0};
    struct json *root = parse("[\"1\",1]", &err);
    const struct json *text = json_first(root), *number = json_next(text);
    ck_assert_double_eq(json_number(text), 0);
    ck_assert_ptr_null(json_string(number));
    ck_assert(!json_bool(number));
    ck_assert_uint_eq(json_length(number), 0);
    ck_assert_ptr_null(json_first(text));
    ck_assert_ptr_null(json_get(root, "1"));
    ck_assert_str_eq(json_type_name(text), "a string");
    ck_assert_str_eq(json_type_name(NULL), "nothing");
    json_free(root);
}
END_TEST

START_TEST(an_empty_text_is_its_own_error)
{
    refused("", ERR_EMPTY, "empty");
    refused(" \t\r\n", ERR_EMPTY, "empty");
}
END_TEST

START_TEST(what_is_not_json_is_refused_with_its_byte)
{
    refused("{\"a\":1,}", ERR_SYNTAX, "byte 7");
    refused("[1 2]", ERR_SYNTAX, "byte 3: a comma or ]");
    refused("{\"a\" 1}", ERR_SYNTAX, "byte 5: a colon");
    refused("{a:1}", ERR_SYNTAX, "byte 1");
    refused("[1,2", ERR_SYNTAX, "byte 4");
    refused("{\"a\":", ERR_SYNTAX, "ends before a value");
    refused("\"abc", ERR_SYNTAX, "ends within a string");
    refused("nul", ERR_SYNTAX, "byte 0");
    refused("nulls", ERR_SYNTAX, "byte 4");
    refused("]", ERR_SYNTAX, "byte 0");
    refused("'a'", ERR_SYNTAX, "byte 0");
    refused("[1]//x", ERR_SYNTAX, "byte 3");
}
END_TEST

START_TEST(a_byte_order_mark_is_passed_over_and_utf_16_is_named)
{
    taken("\xEF\xBB\xBF{\"a\": [1]}");
    taken("\xEF\xBB\xBF"
          "1");
    refused("\xEF\xBB\xBF", ERR_EMPTY, "empty");
    refused("\xEF\xBB\xBF{\"a\": }", ERR_SYNTAX, "at byte 9:");
    refused("\xEF\xBB\xBF\xEF\xBB\xBF{}", ERR_SYNTAX, "at byte 3:");
    refused("{\"a\": \xEF\xBB\xBF 1}", ERR_SYNTAX, "at byte 6:");
    refused("\xEF\xBB{}", ERR_SYNTAX, "at byte 0:");
    static const char *const others[] = {"\xFF\xFE{\0}\0", "\xFE\xFF\0{\0}", "{\0}\0\0\0", "\0{\0}\0\0"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct err err = {0};
        ck_assert_ptr_null(json_parse(others[i], 6, &err));
        ck_assert_msg(err.code == ERR_SYNTAX && strstr(err.text, "UTF-16") != NULL, "%s", err.text);
    }
}
END_TEST

START_TEST(anything_after_the_value_is_refused)
{
    refused("{} {}", ERR_SYNTAX, "byte 3: something follows");
    refused("1,", ERR_SYNTAX, "byte 1");
    taken("{} \n");
}
END_TEST

START_TEST(a_zero_byte_is_refused_everywhere)
{
    struct err err = {0};
    ck_assert_ptr_null(json_parse("1\0", 2, &err));
    ck_assert_int_eq(err.code, ERR_SYNTAX);
    ck_assert_ptr_null(json_parse("\"a\0b\"", 5, &err));
    ck_assert_int_eq(err.code, ERR_SYNTAX);
}
END_TEST

START_TEST(numbers_follow_the_grammar)
{
    taken("[0,-0,0.5,1e5,1E+5,1e-5,-12.25]");
    refused("01", ERR_SYNTAX, "begin with 0");
    refused("-01", ERR_SYNTAX, "begin with 0");
    refused("+1", ERR_SYNTAX, "byte 0");
    refused(".5", ERR_SYNTAX, "byte 0");
    refused("1.", ERR_SYNTAX, "digit");
    refused("1e", ERR_SYNTAX, "digit");
    refused("-", ERR_SYNTAX, "digit");
    refused("0x10", ERR_SYNTAX, "byte 1");
    refused("NaN", ERR_SYNTAX, "byte 0");
    refused("Infinity", ERR_SYNTAX, "byte 0");
    refused("-Infinity", ERR_SYNTAX, "digit");
}
END_TEST

START_TEST(a_number_too_large_for_a_double_is_refused_with_its_pointer)
{
    struct err err = {0};
    ck_assert_ptr_null(parse("{\"images\":[{\"pixels\":[0,1e999]}]}", &err));
    ck_assert_int_eq(err.code, ERR_SYNTAX);
    ck_assert_str_eq(err.pointer, "/images/0/pixels/1");
}
END_TEST

START_TEST(a_number_that_would_be_cut_is_refused)
{
    char text[66];
    memset(text, '9', 64);
    text[64] = '\0';
    refused(text, ERR_SYNTAX, "63 characters");
    text[63] = '\0';
    taken(text);
}
END_TEST

START_TEST(strings_are_valid_utf8_without_control_characters)
{
    taken("\"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \x7F\"");
    refused("\"\x80\"", ERR_SYNTAX, "byte 1: not UTF-8");
    refused("\"\xC0\xAF\"", ERR_SYNTAX, "UTF-8");     /* overlong */
    refused("\"\xE0\x80\xAF\"", ERR_SYNTAX, "UTF-8"); /* overlong */
    refused("\"\xED\xA0\x80\"", ERR_SYNTAX, "UTF-8"); /* surrogate */
    refused("\"\xF4\x90\x80\x80\"", ERR_SYNTAX, "UTF-8");
    refused("\"\xF0\x8F\xBF\xBF\"", ERR_SYNTAX, "UTF-8");
    refused("\"\xE2\x82\"", ERR_SYNTAX, "UTF-8");
    refused("\"\xE2\x82", ERR_SYNTAX, "UTF-8");
    refused("\"a\nb\"", ERR_SYNTAX, "control character");
}
END_TEST

START_TEST(escapes_are_complete_and_never_zero)
{
    taken("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\"");
    refused("\"\\u0000\"", ERR_SYNTAX, "u0000");
    refused("\"\\x41\"", ERR_SYNTAX, "no such escape");
    refused("\"\\u12g4\"", ERR_SYNTAX, "hexadecimal");
    refused("\"\\u12", ERR_SYNTAX, "hexadecimal");
    refused("\"\\", ERR_SYNTAX, "escape");
    refused("\"\\ud800\"", ERR_SYNTAX, "surrogate");
    refused("\"\\ud800\\u0041\"", ERR_SYNTAX, "surrogate");
    refused("\"\\udc00\"", ERR_SYNTAX, "surrogate");
}
END_TEST

START_TEST(a_name_that_comes_twice_is_refused_with_the_object_s_pointer)
{
    struct err err = {0};
    ck_assert_ptr_null(parse("[1,{\"a/b\":{\"x\":1,\"y\":2,\"x\":3}}]", &err));
    ck_assert_int_eq(err.code, ERR_SYNTAX);
    ck_assert_str_eq(err.pointer, "/1/a~1b");
    ck_assert_ptr_nonnull(strstr(err.text, "\"x\""));
    refused("{\"a\":1,\"\\u0061\":2}", ERR_SYNTAX, "twice");
    taken("{\"a\":1,\"A\":2}");
}
END_TEST

START_TEST(sixteen_levels_are_read_and_seventeen_refused)
{
    taken("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]");
    refused("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", ERR_LIMIT, "more than 16 deep");
    refused("{\"a\":[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]}", ERR_LIMIT, "more than 16 deep");
    taken("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"");
}
END_TEST

START_TEST(ten_thousand_levels_are_refused_at_once)
{
    char *text = malloc(10001);
    ck_assert_ptr_nonnull(text);
    memset(text, '[', 10000);
    text[10000] = '\0';
    refused(text, ERR_LIMIT, "deep");
    free(text);
}
END_TEST

START_TEST(more_values_than_the_limit_are_refused)
{
    size_t n = JSON_VALUES_MAX; /* elements; the array itself is one more */
    char *text = malloc(2 * n + 2);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < n; i++)
        memcpy(text + 1 + 2 * i, "0,", 2);
    text[0] = '[';
    text[2 * n] = ']';
    text[2 * n + 1] = '\0';
    refused(text, ERR_LIMIT, "values");
    free(text);
}
END_TEST

/* Both finish in milliseconds; were anything quadratic, the time-out of their case would end them. */
START_TEST(a_batch_of_256_pixel_lists_is_read_whole)
{
    size_t images = 256, pixels = 784, at = 0;
    char *text = malloc(images * (pixels * 4 + 3) + 3);
    ck_assert_ptr_nonnull(text);
    text[at++] = '[';
    for (size_t i = 0; i < images; i++) {
        text[at++] = i == 0 ? '[' : ',';
        if (i > 0)
            text[at++] = '[';
        for (size_t p = 0; p < pixels; p++) {
            memcpy(text + at, p == 0 ? "200" : ",200", p == 0 ? 3 : 4);
            at += p == 0 ? 3 : 4;
        }
        text[at++] = ']';
    }
    text[at++] = ']';
    struct err err = {0};
    struct json *root = json_parse(text, at, &err);
    ck_assert_msg(root != NULL, "%s", err.text);
    double sum = 0;
    for (const struct json *i = json_first(root); i != NULL; i = json_next(i))
        for (const struct json *p = json_first(i); p != NULL; p = json_next(p))
            sum += json_number(p);
    ck_assert_double_eq(sum, 200.0 * 256 * 784);
    json_free(root);
    free(text);
}
END_TEST

START_TEST(an_object_of_a_hundred_thousand_members_costs_no_square)
{
    size_t n = 100000, at = 0;
    char *text = malloc(n * 24 + 2);
    ck_assert_ptr_nonnull(text);
    text[at++] = '{';
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, 24, "%s\"member%zu\":1", i == 0 ? "" : ",", i);
    text[at++] = '}';
    struct err err = {0};
    struct json *root = json_parse(text, at, &err);
    ck_assert_msg(root != NULL, "%s", err.text);
    ck_assert_uint_eq(json_length(root), n);
    json_free(root);
    free(text);
}
END_TEST

static void prints(double number, const char *expected)
{
    char text[JSON_NUMBER_BYTES];
    size_t n = json_number_print(text, number);
    ck_assert_str_eq(text, expected);
    ck_assert_uint_eq(n, strlen(expected));
}

START_TEST(numbers_are_written_as_a_person_would)
{
    prints(0, "0");
    prints(-0.0, "0");
    prints(7, "7");
    prints(-12, "-12");
    prints(1e15, "1000000000000000");
    prints(9007199254740991.0, "9007199254740991");
    prints((double)0.05F, "0.05");
    prints((double)-0.13F, "-0.13");
    prints((double)0.999999F, "0.999999");
    prints((double)16777.25F, "16777.25");
    prints((double)FLT_MAX, "3.40282347e38");
    prints((double)1e-7F, "1e-7");
    prints((double)1.5e-30F, "1.5e-30");
    prints(0.5, "0.5");
    prints(1.0 / 3.0, "0.333333333");
    prints(0.1, "0.1");
    prints(123456789.5, "123456790");
    prints(0.99999999999, "1");
    prints(1e300, "1e300");
    prints((double)NAN, "null");
    prints((double)INFINITY, "null");
}
END_TEST

START_TEST(every_float_comes_back_as_itself)
{
    uint32_t bits = 1;
    for (int i = 0; i < 400000; i++) {
        bits = bits * 1664525U + 1013904223U;
        float f;
        memcpy(&f, &bits, sizeof f);
        if (!isfinite(f))
            continue;
        char text[JSON_NUMBER_BYTES];
        json_number_print(text, (double)f);
        ck_assert_msg(strtof(text, NULL) == f && (float)strtod(text, NULL) == f, "%.9g became %s", (double)f, text);
    }
}
END_TEST

START_TEST(a_document_is_printed_indented_for_people)
{
    struct err err = {0};
    struct json *root = parse("{\"label\":\"a\\\"b\",\"none\":null,\"list\":[1,{\"n\":2.50}]}", &err);
    char *text = json_print(root);
    ck_assert_str_eq(
        text, "{\n\t\"label\":\t\"a\\\"b\",\n\t\"none\":\tnull,\n\t\"list\":\t[1, {\n\t\t\t\"n\":\t2.5\n\t\t}]\n}");
    free(text);
    json_free(root);
}
END_TEST

/* What a verb prints of a document is what the writer wrote in it, if by another exponent. */
START_TEST(a_number_is_printed_as_the_one_that_was_written)
{
    uint32_t bits = 1;
    for (int i = 0; i < 100000; i++) {
        bits = bits * 1664525U + 1013904223U;
        char digits[JSON_NUMBER_BYTES];
        const double number = i % 2 == 0 ? (double)bits * 1e-9 : (double)bits * 4096 + 1;
        json_number_print(digits, number);
        struct err err = {0};
        struct json *root = parse(digits, &err);
        char *text = json_print(root);
        ck_assert_msg(strtod(text, NULL) == strtod(digits, NULL), "%s became %s", digits, text);
        free(text);
        json_free(root);
    }
}
END_TEST

static int allocations_left;

static void *allocate_some(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

START_TEST(a_text_that_memory_failed_is_no_syntax_error)
{
    cJSON_Hooks hooks = {allocate_some, free};
    cJSON_InitHooks(&hooks);
    struct err err = {0};
    allocations_left = 3;
    ck_assert_ptr_null(parse("[1,2,3,4,5]", &err));
    ck_assert_int_eq(err.code, ERR_MEMORY);
    cJSON_InitHooks(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *reading = tcase_create("reading");
    tcase_add_test(reading, every_type_is_read_as_what_it_is);
    tcase_add_test(reading, members_and_elements_are_walked_in_order);
    tcase_add_test(reading, asking_a_value_for_another_type_gives_nothing);
    tcase_add_test(reading, an_empty_text_is_its_own_error);
    tcase_add_test(reading, what_is_not_json_is_refused_with_its_byte);
    tcase_add_test(reading, a_byte_order_mark_is_passed_over_and_utf_16_is_named);
    tcase_add_test(reading, anything_after_the_value_is_refused);
    tcase_add_test(reading, a_zero_byte_is_refused_everywhere);
    tcase_add_test(reading, numbers_follow_the_grammar);
    tcase_add_test(reading, a_number_too_large_for_a_double_is_refused_with_its_pointer);
    tcase_add_test(reading, a_number_that_would_be_cut_is_refused);
    tcase_add_test(reading, strings_are_valid_utf8_without_control_characters);
    tcase_add_test(reading, escapes_are_complete_and_never_zero);
    tcase_add_test(reading, a_name_that_comes_twice_is_refused_with_the_object_s_pointer);
    tcase_add_test(reading, sixteen_levels_are_read_and_seventeen_refused);
    tcase_add_test(reading, ten_thousand_levels_are_refused_at_once);
    tcase_add_test(reading, more_values_than_the_limit_are_refused);
    tcase_add_test(reading, a_batch_of_256_pixel_lists_is_read_whole);
    tcase_add_test(reading, an_object_of_a_hundred_thousand_members_costs_no_square);
    suite_add_tcase(suite, reading);
    TCase *writing = tcase_create("writing");
    tcase_set_timeout(writing, 60); /* a sweep over floats, on whatever machine */
    tcase_add_test(writing, numbers_are_written_as_a_person_would);
    tcase_add_test(writing, every_float_comes_back_as_itself);
    tcase_add_test(writing, a_document_is_printed_indented_for_people);
    tcase_add_test(writing, a_number_is_printed_as_the_one_that_was_written);
    tcase_add_test(writing, a_text_that_memory_failed_is_no_syntax_error);
    suite_add_tcase(suite, writing);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
