/* test_auth.c - server/access/auth.h: tokens from files and credentials, and what each of them opens. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/access/auth.h"

#define READ_TOKEN  "reading-0123456789abcdef"
#define WRITE_TOKEN "writing-0123456789abcdef"

static char folder[64];
static struct auth *auth;
static struct err err;

static void enter(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/convd-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    (void)umask(077);
}

static void leave(void)
{
    static const char *const names[] = {"r", "w", "convd-read-token", "convd-write-token"};
    auth_close(auth);
    auth = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlink(names[i]);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void put(const char *name, const char *bytes, size_t n)
{
    FILE *file = fopen(name, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
}

static void put_line(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

/* What the file's token gives, as a client would show it; -1 where the file is refused. */
static int open_both(void)
{
    put_line("r", READ_TOKEN "\n");
    put_line("w", WRITE_TOKEN "\n");
    return auth_open(&auth, "r", "w", &err);
}

static void refused(const char *bytes, size_t n, const char *word)
{
    char token[TOKEN_BYTES_MAX + 1];
    put("r", bytes, n);
    ck_assert_int_eq(token_read(token, "r", &err), -1);
    ck_assert_int_eq(err.code, ERR_USAGE);
    ck_assert_msg(strstr(err.text, word) != NULL, "\"%s\" does not say %s", err.text, word);
}

static void accepted(const char *bytes, size_t n, const char *expected)
{
    char token[TOKEN_BYTES_MAX + 1];
    put("r", bytes, n);
    ck_assert_msg(token_read(token, "r", &err) == 0, "%s", err.text);
    ck_assert_str_eq(token, expected);
}

#define REFUSED(text, word)      refused(text, sizeof(text) - 1, word)
#define ACCEPTED(text, expected) accepted(text, sizeof(text) - 1, expected)

/* ---- files ---- */

START_TEST(the_first_line_is_the_token_whatever_ends_it)
{
    ACCEPTED("0123456789abcdef", "0123456789abcdef");
    ACCEPTED("0123456789abcdef\n", "0123456789abcdef");
    ACCEPTED("0123456789abcdef\r\n", "0123456789abcdef");
    ACCEPTED("0123456789abcdef\nsecond line, with blanks\n", "0123456789abcdef");
    ACCEPTED("AZaz09-._~+/AAAA==\n", "AZaz09-._~+/AAAA==");
}
END_TEST

START_TEST(the_longest_token_is_read_and_one_more_character_refused)
{
    char text[TOKEN_BYTES_MAX + 2], token[TOKEN_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    text[TOKEN_BYTES_MAX] = '\n';
    put("r", text, TOKEN_BYTES_MAX + 1);
    ck_assert_msg(token_read(token, "r", &err) == 0, "%s", err.text);
    ck_assert_uint_eq(strlen(token), TOKEN_BYTES_MAX);
    text[TOKEN_BYTES_MAX] = 'x';
    text[TOKEN_BYTES_MAX + 1] = '\n';
    refused(text, sizeof text, "longer");
}
END_TEST

START_TEST(a_token_that_can_be_guessed_is_refused_and_a_better_way_told)
{
    REFUSED("", "openssl rand");
    REFUSED("\n0123456789abcdef\n", "0 characters");
    REFUSED("0123456789abcde\n", "15 characters");
}
END_TEST

START_TEST(a_line_that_no_header_could_carry_is_refused)
{
    REFUSED("0123456789 abcdef\n", "letters");
    REFUSED(" 0123456789abcdef\n", "letters");
    REFUSED("0123456789abcdef \n", "letters");
    REFUSED("0123456789\tabcdef\n", "letters");
    REFUSED("0123456789=abcdef\n", "letters");
    REFUSED("0123456789abcdef\xc3\xa9\n", "letters");
    REFUSED("0123456789abcdef\0ghi\n", "zero byte");
    REFUSED("================\n", "letters");
}
END_TEST

START_TEST(a_file_that_others_can_read_or_change_is_refused_and_chmod_told)
{
    char token[TOKEN_BYTES_MAX + 1];
    static const mode_t modes[] = {0604, 0602, 0644, 0666};
    put_line("r", READ_TOKEN);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        ck_assert_int_eq(chmod("r", modes[i]), 0);
        ck_assert_int_eq(token_read(token, "r", &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "chmod o="));
    }
    ck_assert_int_eq(chmod("r", 0640), 0);
    ck_assert_int_eq(token_read(token, "r", &err), 0);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    char token[TOKEN_BYTES_MAX + 1];
    ck_assert_int_eq(token_read(token, "absent", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "absent"));
    ck_assert_int_eq(token_read(token, ".", &err), -1);
    ck_assert_int_eq(token_read(token, "/dev/zero", &err), -1);
}
END_TEST

START_TEST(the_same_token_for_both_is_refused)
{
    put_line("r", READ_TOKEN);
    put_line("w", READ_TOKEN "\n");
    ck_assert_int_eq(auth_open(&auth, "r", "w", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "same token"));
    ck_assert_ptr_null(auth);
}
END_TEST

/* ---- credentials ---- */

START_TEST(credentials_are_taken_where_there_are_no_flags)
{
    put_line("convd-read-token", READ_TOKEN);
    put_line("convd-write-token", WRITE_TOKEN);
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    ck_assert_int_eq(auth_open(&auth, NULL, NULL, &err), 0);
    ck_assert(auth_on(auth));
    ck_assert_int_eq(auth_grant(auth, "Bearer " READ_TOKEN), ACCESS_READ);
    ck_assert_int_eq(auth_grant(auth, "Bearer " WRITE_TOKEN), ACCESS_WRITE);
}
END_TEST

START_TEST(a_flag_wins_over_a_credential)
{
    put_line("convd-write-token", WRITE_TOKEN);
    put_line("w", "another-0123456789abcdef");
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    ck_assert_int_eq(auth_open(&auth, NULL, "w", &err), 0);
    ck_assert_int_eq(auth_grant(auth, "Bearer another-0123456789abcdef"), ACCESS_WRITE);
    ck_assert_int_eq(auth_grant(auth, "Bearer " WRITE_TOKEN), ACCESS_NONE);
}
END_TEST

START_TEST(a_bad_credential_is_an_error_and_not_skipped)
{
    put_line("convd-write-token", "short");
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    ck_assert_int_eq(auth_open(&auth, NULL, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "convd-write-token"));
}
END_TEST

/* ---- what a token opens ---- */

START_TEST(without_tokens_everything_is_open)
{
    ck_assert_int_eq(auth_open(&auth, NULL, NULL, &err), 0);
    ck_assert(!auth_on(auth));
    ck_assert_int_eq(auth_grant(auth, NULL), ACCESS_WRITE);
    ck_assert_int_eq(auth_grant(auth, "Bearer whatever"), ACCESS_WRITE);
}
END_TEST

START_TEST(each_token_opens_its_own_and_the_writing_one_both)
{
    ck_assert_int_eq(open_both(), 0);
    ck_assert_int_eq(auth_grant(auth, NULL), ACCESS_NONE);
    ck_assert_int_eq(auth_grant(auth, "Bearer " READ_TOKEN), ACCESS_READ);
    ck_assert_int_eq(auth_grant(auth, "Bearer " WRITE_TOKEN), ACCESS_WRITE);
}
END_TEST

START_TEST(the_scheme_s_case_and_blanks_do_not_matter)
{
    ck_assert_int_eq(open_both(), 0);
    ck_assert_int_eq(auth_grant(auth, "bearer " WRITE_TOKEN), ACCESS_WRITE);
    ck_assert_int_eq(auth_grant(auth, "BEARER   " WRITE_TOKEN), ACCESS_WRITE);
}
END_TEST

START_TEST(nothing_that_only_resembles_a_token_opens_anything)
{
    static const char *const wrong[] = {"",
                                        "Bearer",
                                        "Bearer ",
                                        "Bearer  ",
                                        "Basic " WRITE_TOKEN,
                                        WRITE_TOKEN,
                                        "Bearer" WRITE_TOKEN,
                                        "Bearer WRITING-0123456789abcdef",
                                        "Bearer " WRITE_TOKEN "x",
                                        "Bearer x" WRITE_TOKEN,
                                        "Bearer writing-0123456789abcde",
                                        "Bearer " READ_TOKEN WRITE_TOKEN,
                                        "Bearer " WRITE_TOKEN ", Bearer " READ_TOKEN,
                                        "Digest " READ_TOKEN};
    ck_assert_int_eq(open_both(), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(auth_grant(auth, wrong[i]) == ACCESS_NONE, "\"%s\" opens something", wrong[i]);
}
END_TEST

START_TEST(a_writing_token_alone_closes_reading_too)
{
    put_line("w", WRITE_TOKEN);
    ck_assert_int_eq(auth_open(&auth, NULL, "w", &err), 0);
    ck_assert_int_eq(auth_grant(auth, NULL), ACCESS_NONE);
    ck_assert_int_eq(auth_grant(auth, "Bearer " WRITE_TOKEN), ACCESS_WRITE);
}
END_TEST

START_TEST(a_reading_token_alone_closes_writing_to_all)
{
    static const char zeros[65] = "0000000000000000000000000000000000000000000000000000000000000000";
    char header[80];
    put_line("r", READ_TOKEN);
    ck_assert_int_eq(auth_open(&auth, "r", NULL, &err), 0);
    ck_assert_int_eq(auth_grant(auth, "Bearer " READ_TOKEN), ACCESS_READ);
    (void)snprintf(header, sizeof header, "Bearer %s", zeros);
    ck_assert_int_eq(auth_grant(auth, header), ACCESS_NONE);
    ck_assert_int_eq(auth_grant(auth, "Bearer "), ACCESS_NONE);
}
END_TEST

/* ---- reading again ---- */

START_TEST(after_a_reload_only_the_new_token_opens)
{
    ck_assert_int_eq(open_both(), 0);
    put_line("w", "renewed-0123456789abcdef");
    ck_assert_int_eq(auth_grant(auth, "Bearer " WRITE_TOKEN), ACCESS_WRITE);
    ck_assert_int_eq(auth_reload(auth, &err), 0);
    ck_assert_int_eq(auth_grant(auth, "Bearer " WRITE_TOKEN), ACCESS_NONE);
    ck_assert_int_eq(auth_grant(auth, "Bearer renewed-0123456789abcdef"), ACCESS_WRITE);
    ck_assert_int_eq(auth_grant(auth, "Bearer " READ_TOKEN), ACCESS_READ);
}
END_TEST

START_TEST(a_reload_that_fails_changes_nothing)
{
    ck_assert_int_eq(open_both(), 0);
    put_line("r", "renewed-0123456789abcdef");
    put_line("w", "short");
    ck_assert_int_eq(auth_reload(auth, &err), -1);
    ck_assert_int_eq(auth_grant(auth, "Bearer " READ_TOKEN), ACCESS_READ);
    ck_assert_int_eq(auth_grant(auth, "Bearer " WRITE_TOKEN), ACCESS_WRITE);
    ck_assert_int_eq(unlink("w"), 0);
    ck_assert_int_eq(auth_reload(auth, &err), -1);
    ck_assert_int_eq(auth_grant(auth, "Bearer " WRITE_TOKEN), ACCESS_WRITE);
}
END_TEST

/* ---- refusals ---- */

/* Status of the refusal, 0 where there is none; the body is a problem document and the challenge is there. */
static unsigned ask(enum access needed, const char *authorization)
{
    struct request request = {.method = METHOD_POST, .path = "/train", .authorization = authorization};
    struct response response = {0};
    unsigned status = 0;
    if (auth_check(auth, needed, &request, &response) != 0) {
        status = response.status;
        ck_assert_str_eq(response.type, RESPONSE_PROBLEM);
        ck_assert_ptr_nonnull(response.challenge);
        ck_assert_int_eq(strncmp(response.challenge, "Bearer ", 7), 0);
        ck_assert_ptr_null(memmem(response.text.bytes, response.text.n, "0123456789abcdef", 16));
    }
    response_free(&response);
    return status;
}

START_TEST(no_token_is_401_the_lesser_one_403_and_neither_is_repeated)
{
    ck_assert_int_eq(open_both(), 0);
    ck_assert_uint_eq(ask(ACCESS_READ, NULL), 401);
    ck_assert_uint_eq(ask(ACCESS_READ, "Bearer guessed-0123456789abcdef"), 401);
    ck_assert_uint_eq(ask(ACCESS_READ, "Basic dXNlcjpwYXNz"), 401);
    ck_assert_uint_eq(ask(ACCESS_READ, "Bearer " READ_TOKEN), 0);
    ck_assert_uint_eq(ask(ACCESS_WRITE, "Bearer " READ_TOKEN), 403);
    ck_assert_uint_eq(ask(ACCESS_WRITE, "Bearer " WRITE_TOKEN), 0);
    ck_assert_uint_eq(ask(ACCESS_NONE, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth");
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, enter, leave);
    tcase_add_test(files, the_first_line_is_the_token_whatever_ends_it);
    tcase_add_test(files, the_longest_token_is_read_and_one_more_character_refused);
    tcase_add_test(files, a_token_that_can_be_guessed_is_refused_and_a_better_way_told);
    tcase_add_test(files, a_line_that_no_header_could_carry_is_refused);
    tcase_add_test(files, a_file_that_others_can_read_or_change_is_refused_and_chmod_told);
    tcase_add_test(files, what_is_no_file_is_refused);
    tcase_add_test(files, the_same_token_for_both_is_refused);
    tcase_add_test(files, credentials_are_taken_where_there_are_no_flags);
    tcase_add_test(files, a_flag_wins_over_a_credential);
    tcase_add_test(files, a_bad_credential_is_an_error_and_not_skipped);
    suite_add_tcase(suite, files);
    TCase *grants = tcase_create("grants");
    tcase_add_checked_fixture(grants, enter, leave);
    tcase_add_test(grants, without_tokens_everything_is_open);
    tcase_add_test(grants, each_token_opens_its_own_and_the_writing_one_both);
    tcase_add_test(grants, the_scheme_s_case_and_blanks_do_not_matter);
    tcase_add_test(grants, nothing_that_only_resembles_a_token_opens_anything);
    tcase_add_test(grants, a_writing_token_alone_closes_reading_too);
    tcase_add_test(grants, a_reading_token_alone_closes_writing_to_all);
    tcase_add_test(grants, after_a_reload_only_the_new_token_opens);
    tcase_add_test(grants, a_reload_that_fails_changes_nothing);
    tcase_add_test(grants, no_token_is_401_the_lesser_one_403_and_neither_is_repeated);
    suite_add_tcase(suite, grants);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
