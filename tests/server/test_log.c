/* test_log.c - what stands in the log: the levels, one line a time, and the names of requests. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/logger.h"
#include "server/message/request_id.h"

/* What the call writes to stderr. */
static char written[4096];
#define WRITTEN(call)                                                                                                  \
    do {                                                                                                               \
        int ends[2], before = dup(STDERR_FILENO);                                                                      \
        ck_assert_int_ge(before, 0);                                                                                   \
        ck_assert_int_eq(pipe(ends), 0);                                                                               \
        ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);                                                 \
        call;                                                                                                          \
        ck_assert_int_eq(dup2(before, STDERR_FILENO), STDERR_FILENO);                                                  \
        close(before);                                                                                                 \
        close(ends[1]);                                                                                                \
        ssize_t n = read(ends[0], written, sizeof written - 1);                                                        \
        ck_assert_int_ge(n, 0);                                                                                        \
        written[n] = '\0';                                                                                             \
        close(ends[0]);                                                                                                \
    } while (0)

START_TEST(only_what_is_as_important_as_the_level_is_written)
{
    WRITTEN(logger_line(LOG_LINE_DEBUG, "a request"));
    ck_assert_str_eq(written, "");
    WRITTEN(logger_line(LOG_LINE_INFO, "%d news", 3));
    ck_assert_str_eq(written, "convd: 3 news\n");
    logger_set_level(LOG_LINE_DEBUG);
    WRITTEN(logger_line(LOG_LINE_DEBUG, "a request"));
    ck_assert_str_eq(written, "convd: a request\n");
    logger_set_level(LOG_LINE_ERROR);
    ck_assert(logger_takes(LOG_LINE_ERROR) && !logger_takes(LOG_LINE_WARNING));
    WRITTEN(logger_line(LOG_LINE_WARNING, "beware"));
    ck_assert_str_eq(written, "");
}
END_TEST

START_TEST(control_characters_become_question_marks_and_utf8_stays)
{
    WRITTEN(logger_line(LOG_LINE_ERROR, "%s", "a\nconvd: b\r\x1b[2J\x7f\t0\xc2\x9b \xc3\xa4"));
    ck_assert_str_eq(written, "convd: a?convd: b??[2J??0? \xc3\xa4\n");
}
END_TEST

START_TEST(a_long_line_is_cut_and_ends)
{
    char *text = malloc(5001);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', 5000);
    text[5000] = '\0';
    WRITTEN(logger_line(LOG_LINE_ERROR, "%s", text));
    free(text);
    size_t n = strlen(written);
    ck_assert_uint_gt(n, 900);
    ck_assert_uint_le(n, 1024);
    ck_assert_int_eq(written[n - 1], '\n');
    ck_assert_ptr_eq(strchr(written, '\n'), written + n - 1);
}
END_TEST

START_TEST(levels_have_names_and_a_wrong_one_is_told_them)
{
    enum logger_priority level = LOG_LINE_INFO;
    struct err err = {0};
    ck_assert_int_eq(logger_level_parse(&level, "warning", &err), 0);
    ck_assert_int_eq(level, LOG_LINE_WARNING);
    ck_assert_int_eq(logger_level_parse(&level, "debug", &err), 0);
    ck_assert_int_eq(level, LOG_LINE_DEBUG);
    ck_assert_int_eq(logger_level_parse(&level, "loud", &err), -1);
    ck_assert_int_eq(err.code, ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "error, warning, notice, info or debug"));
    ck_assert_int_eq(level, LOG_LINE_DEBUG);
}
END_TEST

START_TEST(an_id_that_a_client_gives_is_taken_as_it_is)
{
    struct request_ids ids = {0};
    request_ids_init(&ids);
    static const char *const good[] = {"7", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "Root=1-67/a.b:c_d+e@f", NULL};
    for (int i = 0; good[i] != NULL; i++) {
        char id[REQUEST_ID_BYTES_MAX + 1];
        ck_assert(request_id_choose(id, &ids, good[i]));
        ck_assert_str_eq(id, good[i]);
    }
}
END_TEST

START_TEST(an_id_that_could_be_taken_for_something_else_is_replaced)
{
    struct request_ids ids = {0};
    request_ids_init(&ids);
    char longest[REQUEST_ID_BYTES_MAX + 1], too_long[REQUEST_ID_BYTES_MAX + 2], id[REQUEST_ID_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest);
    longest[REQUEST_ID_BYTES_MAX] = '\0';
    ck_assert(request_id_choose(id, &ids, longest));
    ck_assert_str_eq(id, longest);
    memset(too_long, 'x', sizeof too_long);
    too_long[REQUEST_ID_BYTES_MAX + 1] = '\0';
    const char *const bad[] = {"", "a b", "a\"b", "a,b", "a;b", "\xc3\xa4", too_long, NULL};
    for (int i = 0; bad[i] != NULL; i++) {
        ck_assert(!request_id_choose(id, &ids, bad[i]));
        ck_assert_uint_eq(strspn(id, "0123456789abcdef"), 8);
        ck_assert_int_eq(id[8], '-');
    }
}
END_TEST

START_TEST(ids_that_are_made_are_of_one_run_and_all_different)
{
    struct request_ids ids = {0};
    request_ids_init(&ids);
    char first[REQUEST_ID_BYTES_MAX + 1], next[REQUEST_ID_BYTES_MAX + 1];
    ck_assert(!request_id_choose(first, &ids, NULL));
    ck_assert_str_eq(first + 8, "-1");
    ck_assert(!request_id_choose(next, &ids, NULL));
    ck_assert_str_eq(next + 8, "-2");
    ck_assert_int_eq(memcmp(first, next, 8), 0);
    ids.run = 0x0a00ff01;
    ck_assert(!request_id_choose(next, &ids, NULL));
    ck_assert_str_eq(next, "0a00ff01-3");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *lines = tcase_create("lines");
    tcase_add_test(lines, only_what_is_as_important_as_the_level_is_written);
    tcase_add_test(lines, control_characters_become_question_marks_and_utf8_stays);
    tcase_add_test(lines, a_long_line_is_cut_and_ends);
    tcase_add_test(lines, levels_have_names_and_a_wrong_one_is_told_them);
    suite_add_tcase(suite, lines);
    TCase *names = tcase_create("ids");
    tcase_add_test(names, an_id_that_a_client_gives_is_taken_as_it_is);
    tcase_add_test(names, an_id_that_could_be_taken_for_something_else_is_replaced);
    tcase_add_test(names, ids_that_are_made_are_of_one_run_and_all_different);
    suite_add_tcase(suite, names);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
