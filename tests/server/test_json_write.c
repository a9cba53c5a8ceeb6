/* test_json_write.c - server/common/json_write.h: documents come out as they were written, and mistakes of ours are caught. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/json.h"
#include "server/common/json_write.h"

static void written(struct text *text, const char *expected)
{
    char *taken = text_take(text);
    ck_assert_str_eq(taken, expected);
    struct json *root = json_parse(taken, strlen(taken), NULL);
    ck_assert_ptr_nonnull(root);
    json_free(root);
    free(taken);
}

START_TEST(members_and_elements_are_parted_by_commas_at_every_depth)
{
    struct text text = {0};
    struct json_writer json = json_write_to(&text);
    json_write_object(&json, NULL);
    json_write_array(&json, "a");
    json_write_u64(&json, NULL, 1);
    json_write_array(&json, NULL);
    json_write_end(&json);
    json_write_object(&json, NULL);
    json_write_null(&json, "b");
    json_write_bool(&json, "c", true);
    json_write_end(&json);
    json_write_i64(&json, NULL, -2);
    json_write_end(&json);
    json_write_object(&json, "d\"e");
    json_write_end(&json);
    json_write_end(&json);
    written(&text, "{\"a\":[1,[],{\"b\":null,\"c\":true},-2],\"d\\\"e\":{}}");
}
END_TEST

START_TEST(every_kind_of_value_has_its_form)
{
    struct text text = {0};
    struct json_writer json = json_write_to(&text);
    json_write_array(&json, NULL);
    json_write_u64(&json, NULL, UINT64_MAX);
    json_write_i64(&json, NULL, INT64_MIN);
    json_write_number(&json, NULL, (double)0.05f);
    json_write_fixed9(&json, NULL, 0.25);
    json_write_fixed9(&json, NULL, (double)NAN);
    json_write_ratio(&json, NULL, 1, 4);
    json_write_ratio(&json, NULL, 0, 0);
    json_write_seconds(&json, NULL, 1.5);
    json_write_string(&json, NULL, "a\n");
    json_write_string(&json, NULL, NULL);
    json_write_id(&json, NULL, 17);
    json_write_time(&json, NULL, 1000001);
    json_write_hex(&json, NULL, (const uint8_t[]){0x00, 0xaf}, 2);
    text_add_string(json_write_value(&json, NULL), "1e3");
    json_write_end(&json);
    written(&text,
            "[18446744073709551615,-9223372036854775808,0.05,0.250000000,null,0.250000000,null,1.500,\"a\\n\",null,"
            "\"17\",\"1970-01-01T00:00:01.000001Z\",\"00af\",1e3]");
}
END_TEST

START_TEST(what_stands_before_the_document_is_left_alone)
{
    struct text text = {0};
    text_add_string(&text, "data: ");
    struct json_writer json = json_write_to(&text);
    json_write_object(&json, NULL);
    json_write_end(&json);
    char *taken = text_take(&text);
    ck_assert_str_eq(taken, "data: {}");
    free(taken);
}
END_TEST

START_TEST(a_text_that_is_full_stays_failed)
{
    struct text text = {.limit = 16};
    struct json_writer json = json_write_to(&text);
    json_write_array(&json, NULL);
    for (int i = 0; i < 100; i++)
        json_write_u64(&json, NULL, 12345);
    json_write_end(&json);
    ck_assert(text.failed && text.over);
    text_free(&text);
}
END_TEST

/* Each aborts in an assertion. */
START_TEST(our_own_mistakes_are_caught)
{
    struct text text = {0};
    struct json_writer json = json_write_to(&text);
    switch (_i) {
    case 0: /* an end without a beginning */
        json_write_end(&json);
        break;
    case 1: /* a second document */
        json_write_null(&json, NULL);
        json_write_null(&json, NULL);
        break;
    case 2: /* a member without a name */
        json_write_object(&json, NULL);
        json_write_null(&json, NULL);
        break;
    case 3: /* an element with one */
        json_write_array(&json, NULL);
        json_write_null(&json, "a");
        break;
    default: /* too deep */
        for (unsigned i = 0; i <= JSON_WRITE_DEPTH_MAX; i++)
            json_write_array(&json, NULL);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_write");
    TCase *documents = tcase_create("documents");
    tcase_add_test(documents, members_and_elements_are_parted_by_commas_at_every_depth);
    tcase_add_test(documents, every_kind_of_value_has_its_form);
    tcase_add_test(documents, what_stands_before_the_document_is_left_alone);
    tcase_add_test(documents, a_text_that_is_full_stays_failed);
    suite_add_tcase(suite, documents);
    TCase *mistakes = tcase_create("mistakes");
    tcase_add_loop_test_raise_signal(mistakes, our_own_mistakes_are_caught, SIGABRT, 0, 5);
    suite_add_tcase(suite, mistakes);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
