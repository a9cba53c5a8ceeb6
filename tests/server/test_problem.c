/* test_problem.c - server/message/problem.h: the table from error to status is total, and a 5xx keeps what is inside inside. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/json.h"
#include "server/message/problem.h"
#include "server/message/response.h"

static bool is_server_code(enum err_code code)
{
    return code >= ERR_BUSY; /* err.h: "what the world did" begins there */
}

START_TEST(every_code_has_a_row_of_its_own)
{
    for (int code = ERR_NONE + 1; code < ERR_N; code++) {
        const struct problem *problem = problem_find((enum err_code)code);
        ck_assert_msg(problem->code == (enum err_code)code, "no row for %s", err_code_name((enum err_code)code));
        ck_assert_ptr_nonnull(problem->title);
        ck_assert_str_ne(err_code_name((enum err_code)code), "unknown");
    }
}
END_TEST

START_TEST(a_client_s_fault_is_4xx_and_ours_5xx)
{
    for (int code = ERR_NONE + 1; code < ERR_N; code++) {
        unsigned status = problem_find((enum err_code)code)->status;
        unsigned hundreds = is_server_code((enum err_code)code) ? 5 : 4;
        ck_assert_msg(status / 100 == hundreds, "%s has %u", err_code_name((enum err_code)code), status);
    }
}
END_TEST

START_TEST(the_statuses_that_scripts_rely_on_stay)
{
    static const struct {
        enum err_code code;
        unsigned status;
    } rows[] = {
        {ERR_SYNTAX, 400},     {ERR_EMPTY, 400},         {ERR_VALUE, 422},        {ERR_INPUT_SIZE, 422},
        {ERR_MEDIA_TYPE, 415}, {ERR_IMAGE, 422},         {ERR_TOO_LARGE, 413},    {ERR_NOT_FOUND, 404},
        {ERR_METHOD, 405},     {ERR_CONFLICT, 409},      {ERR_UNAUTHORIZED, 401}, {ERR_FORBIDDEN, 403},
        {ERR_TIMEOUT, 408},    {ERR_LABEL_UNKNOWN, 422}, {ERR_BUSY, 503},         {ERR_STOPPING, 503},
        {ERR_MEMORY, 503},     {ERR_STORAGE_FULL, 507},  {ERR_INTERNAL, 500},     {ERR_STORAGE, 500},
        {ERR_KEY_REUSED, 422}, {ERR_LOG, 503},           {ERR_DIVERGED, 503},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_uint_eq(problem_find(rows[i].code)->status, rows[i].status);
}
END_TEST

START_TEST(what_is_no_code_is_an_internal_error)
{
    ck_assert_int_eq(problem_find(ERR_NONE)->code, ERR_INTERNAL);
    ck_assert_int_eq(problem_find(ERR_N)->code, ERR_INTERNAL);
    ck_assert_int_eq(problem_find((enum err_code) - 1)->code, ERR_INTERNAL);
}
END_TEST

/* The problem as its reader would parse it. */
static struct json *document(const struct err *err)
{
    struct response response = {0};
    response_problem(&response, err);
    struct err parse_err = {0};
    struct json *root = json_parse(response.text.bytes, response.text.n, &parse_err);
    ck_assert_msg(root != NULL, "%s", parse_err.text);
    ck_assert_str_eq(response.type, RESPONSE_PROBLEM);
    ck_assert_uint_eq((unsigned)json_number(json_get(root, "status")), response.status);
    response_free(&response);
    return root;
}

START_TEST(each_problem_is_json_with_type_title_status_and_detail)
{
    for (int code = ERR_NONE + 1; code < ERR_N; code++) {
        struct err err;
        err_set(&err, (enum err_code)code, "what went wrong");
        struct json *root = document(&err);
        char type[64];
        (void)snprintf(type, sizeof type, "urn:convd:problem:%s", err_code_name((enum err_code)code));
        ck_assert_str_eq(json_string(json_get(root, "type")), type);
        ck_assert_ptr_nonnull(json_string(json_get(root, "title")));
        ck_assert_ptr_nonnull(json_string(json_get(root, "detail")));
        ck_assert_ptr_null(json_get(root, "pointer"));
        json_free(root);
    }
}
END_TEST

START_TEST(the_pointer_is_there_when_the_error_has_one)
{
    struct err err;
    err_set(&err, ERR_VALUE, "x");
    err_at(&err, "/samples/%d/image", 17);
    struct json *root = document(&err);
    ck_assert_str_eq(json_string(json_get(root, "pointer")), "/samples/17/image");
    json_free(root);
}
END_TEST

START_TEST(a_5xx_shows_neither_paths_nor_sql)
{
    for (int code = ERR_BUSY; code < ERR_N; code++) {
        if (code == ERR_BUSY)
            continue; /* its text is written for the client: how much is queued */
        struct err err;
        err_set(&err, (enum err_code)code, "/var/lib/convd/secret.db: INSERT INTO sample");
        struct json *root = document(&err);
        const char *detail = json_string(json_get(root, "detail"));
        ck_assert_ptr_null(strstr(detail, "secret"));
        ck_assert_ptr_null(strstr(detail, "INSERT"));
        json_free(root);
    }
}
END_TEST

START_TEST(text_of_a_client_cannot_break_the_json)
{
    struct err err;
    err_set(&err, ERR_LABEL_UNKNOWN, "no class");
    (void)snprintf(err.text, sizeof err.text, "no class \"%s\"",
                   "\"},\n\x01{\xc3"); /* which err_set() lets nobody say */
    struct json *root = document(&err);
    ck_assert_ptr_nonnull(strstr(json_string(json_get(root, "detail")), "\"},\n\x01{"));
    json_free(root);
}
END_TEST

START_TEST(every_503_says_when_to_try_again)
{
    for (int code = ERR_NONE + 1; code < ERR_N; code++) {
        struct err err;
        struct response response = {0};
        err_set(&err, (enum err_code)code, "x");
        response_problem(&response, &err);
        ck_assert_int_eq(response.retry_after > 0, response.status == 503);
        response_free(&response);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("problem");
    TCase *table = tcase_create("table");
    tcase_add_test(table, every_code_has_a_row_of_its_own);
    tcase_add_test(table, a_client_s_fault_is_4xx_and_ours_5xx);
    tcase_add_test(table, the_statuses_that_scripts_rely_on_stay);
    tcase_add_test(table, what_is_no_code_is_an_internal_error);
    suite_add_tcase(suite, table);
    TCase *body = tcase_create("document");
    tcase_add_test(body, each_problem_is_json_with_type_title_status_and_detail);
    tcase_add_test(body, the_pointer_is_there_when_the_error_has_one);
    tcase_add_test(body, a_5xx_shows_neither_paths_nor_sql);
    tcase_add_test(body, text_of_a_client_cannot_break_the_json);
    tcase_add_test(body, every_503_says_when_to_try_again);
    suite_add_tcase(suite, body);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
