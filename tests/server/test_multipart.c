/* test_multipart.c - server/payload/multipart.h: forms as curl and browsers send them, and as an attacker might. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/payload/multipart.h"

#define TYPE "multipart/form-data; boundary=XX"

/* A copy of exactly that size: a sanitizer sees a byte read too far. */
static uint8_t *copy(const char *bytes, size_t n)
{
    uint8_t *out = malloc(n == 0 ? 1 : n);
    ck_assert_ptr_nonnull(out);
    memcpy(out, bytes, n);
    return out;
}

/* Walks a whole form: the number of its parts, or -1. Keeps the last part's names and its content as text. */
static char last_name[MULTIPART_NAME_BYTES], last_file[MULTIPART_NAME_BYTES], last_content[256];

static int walk_n(const char *type, const char *body, size_t n, struct err *err)
{
    uint8_t *bytes = copy(body, n);
    struct multipart form;
    struct part part;
    int more = multipart_init(&form, type, bytes, n, err), parts = 0;
    if (more == 0)
        while ((more = multipart_next(&form, &part, err)) == 1) {
            parts++;
            ck_assert(part.bytes >= bytes && part.bytes + part.n_bytes <= bytes + n);
            memcpy(last_name, part.name, sizeof last_name);
            memcpy(last_file, part.filename, sizeof last_file);
            size_t keep = part.n_bytes < sizeof last_content - 1 ? part.n_bytes : sizeof last_content - 1;
            memcpy(last_content, part.bytes, keep);
            last_content[keep] = '\0';
        }
    if (more == 0)
        ck_assert_int_eq(multipart_next(&form, &part, err), 0); /* the end stays the end */
    free(bytes);
    return more == 0 ? parts : -1;
}

static int walk(const char *type, const char *body)
{
    struct err err = {0};
    return walk_n(type, body, strlen(body), &err);
}

static void refused(const char *type, const char *body, enum err_code code)
{
    struct err err = {0};
    ck_assert_msg(walk_n(type, body, strlen(body), &err) == -1, "taken: %s", body);
    ck_assert_msg(err.code == code, "%s: %s", err_code_name(err.code), err.text);
}

static char *part_of(const char *header, const char *content)
{
    static char text[8192];
    (void)snprintf(text, sizeof text, "--XX\r\n%s\r\n\r\n%s\r\n--XX--\r\n", header, content);
    return text;
}

START_TEST(a_form_of_curl_is_read_part_by_part)
{
    const char *body =
        "--XX\r\nContent-Disposition: form-data; name=\"7\"; filename=\"a.png\"\r\n"
        "Content-Type: image/png\r\n\r\nfirst\r\n"
        "--XX\r\nContent-Disposition: form-data; name=\"8\"; filename=\"b.png\"\r\n\r\nsecond\r\n--XX--\r\n";
    ck_assert_int_eq(walk(TYPE, body), 2);
    ck_assert_str_eq(last_name, "8");
    ck_assert_str_eq(last_file, "b.png");
    ck_assert_str_eq(last_content, "second");
}
END_TEST

START_TEST(the_boundary_may_be_quoted_and_stand_among_other_parameters)
{
    const char *body = part_of("Content-Disposition: form-data; name=x", "c");
    ck_assert_int_eq(walk("multipart/form-data; charset=utf-8; boundary=\"XX\"", body), 1);
    ck_assert_int_eq(walk("multipart/form-data; BOUNDARY=XX; charset=utf-8", body), 1);
}
END_TEST

START_TEST(a_content_may_hold_the_boundary_as_long_as_it_is_no_delimiter)
{
    const char *content = "a\r\n--XXY\r\nb--XX\r\n--XX- \r\n--X";
    ck_assert_int_eq(walk(TYPE, part_of("Content-Disposition: form-data; name=\"x\"", content)), 1);
    ck_assert_str_eq(last_content, content);
}
END_TEST

START_TEST(a_content_may_be_binary_with_zeros)
{
    static const char body[] = "--XX\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\na\0b\r\0\n\r\n--XX--";
    struct err err = {0};
    ck_assert_int_eq(walk_n(TYPE, body, sizeof body - 1, &err), 1);
    ck_assert_mem_eq(last_content, "a\0b\r\0\n", 6);
}
END_TEST

START_TEST(an_empty_content_is_a_part)
{
    ck_assert_int_eq(walk(TYPE, part_of("Content-Disposition: form-data; name=\"x\"", "")), 1);
    ck_assert_str_eq(last_content, "");
    /* and so is one whose blank line is also the line before the delimiter */
    ck_assert_int_eq(walk(TYPE, "--XX\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n--XX--"), 1);
    ck_assert_str_eq(last_content, "");
}
END_TEST

START_TEST(a_form_without_parts_is_empty)
{
    ck_assert_int_eq(walk(TYPE, "--XX--\r\n"), 0);
    ck_assert_int_eq(walk(TYPE, "preamble\r\n--XX--"), 0);
}
END_TEST

START_TEST(preamble_and_epilogue_are_skipped)
{
    const char *body =
        "to be ignored\r\n--XX  \r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nc\r\n--XX--\r\nalso\r\n--XX\r\n";
    ck_assert_int_eq(walk(TYPE, body), 1);
    ck_assert_str_eq(last_content, "c");
}
END_TEST

START_TEST(names_are_unescaped_as_browsers_and_curl_escape_them)
{
    ck_assert_int_eq(
        walk(TYPE, part_of("Content-Disposition: form-data; name=\"a%22b\"; filename=\"c\\\"d\\\\e\"", "c")), 1);
    ck_assert_str_eq(last_name, "a\"b");
    ck_assert_str_eq(last_file, "c\"d\\e");
    ck_assert_int_eq(walk(TYPE, part_of("content-disposition:form-data;name=\"100%; x=y\"", "c")), 1);
    ck_assert_str_eq(last_name, "100%; x=y");
    ck_assert_str_eq(last_file, "");
}
END_TEST

START_TEST(a_name_may_be_in_the_form_of_rfc_8187)
{
    ck_assert_int_eq(walk(TYPE, part_of("Content-Disposition: form-data; name*=utf-8''caf%C3%A9", "c")), 1);
    ck_assert_str_eq(last_name, "caf\xC3\xA9");
    ck_assert_str_eq(last_file, "");
    ck_assert_int_eq(walk(TYPE, part_of("Content-Disposition: form-data; filename=\"x.png\"; NAME*=UTF-8'fr'a%3B+b; "
                                        "filename*=UTF-8''%E2%82%AC.png; name=\"other\"",
                                        "c")),
                     1);
    ck_assert_str_eq(last_name, "a;+b"); /* it is the one that is meant */
    ck_assert_str_eq(last_file, "\xE2\x82\xAC.png");
    static const char *const bad[] = {
        "name*=caf%C3%A9",  "name*=utf-8'caf",          "name*=iso-8859-1''caf%E9", "name*=utf-8''caf%C3%A",
        "name*=utf-8''%00", "name*=utf-8''%zz; name=a", "name=a; filename*=utf-8",  "name*",
        "name*=\"utf-8''a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char header[128];
        (void)snprintf(header, sizeof header, "Content-Disposition: form-data; %s", bad[i]);
        refused(TYPE, part_of(header, "c"), ERR_SYNTAX);
    }
}
END_TEST

START_TEST(a_name_of_rfc_8187_is_as_long_as_any)
{
    char header[1100], *at = header;
    at += snprintf(header, sizeof header, "Content-Disposition: form-data; name*=utf-8''");
    for (unsigned i = 0; i < MULTIPART_NAME_BYTES - 1; i++, at += 3)
        memcpy(at, "%6E", 4);
    ck_assert_int_eq(walk(TYPE, part_of(header, "c")), 1);
    ck_assert_uint_eq(strlen(last_name), MULTIPART_NAME_BYTES - 1);
    memcpy(at, "n", 2);
    refused(TYPE, part_of(header, "c"), ERR_SYNTAX);
}
END_TEST

START_TEST(a_file_s_name_is_not_taken_for_the_field_s)
{
    ck_assert_int_eq(walk(TYPE, part_of("Content-Disposition: form-data; filename=\"name=z\"; name=\"x\"", "c")), 1);
    ck_assert_str_eq(last_name, "x");
    ck_assert_str_eq(last_file, "name=z");
}
END_TEST

START_TEST(a_content_type_without_a_usable_boundary_is_refused)
{
    const char *body = part_of("Content-Disposition: form-data; name=\"x\"", "c");
    refused("multipart/form-data", body, ERR_SYNTAX);
    refused("multipart/form-data; boundary=", body, ERR_SYNTAX);
    refused("multipart/form-data; boundary=\"\"", body, ERR_SYNTAX);
    refused("multipart/form-data; boundary=\"XX", body, ERR_SYNTAX);
    refused("multipart/form-data; boundary=\"X\\\nX\"", body, ERR_SYNTAX);
    refused("multipart/form-data; boundary=\"XX \"", body, ERR_SYNTAX);
    refused("multipart/form-data; boundary="
            "01234567890123456789012345678901234567890123456789012345678901234567890",
            body, ERR_SYNTAX);
}
END_TEST

START_TEST(a_boundary_of_seventy_characters_is_taken)
{
    char type[128], body[512], boundary[71];
    memset(boundary, 'b', 70);
    boundary[70] = '\0';
    (void)snprintf(type, sizeof type, "multipart/form-data; boundary=%s", boundary);
    (void)snprintf(body, sizeof body, "--%s\r\nContent-Disposition: form-data; name=x\r\n\r\nc\r\n--%s--", boundary,
                   boundary);
    ck_assert_int_eq(walk(type, body), 1);
}
END_TEST

START_TEST(a_body_without_the_boundary_is_refused)
{
    refused(TYPE, "", ERR_SYNTAX);
    refused(TYPE, "--YY\r\n", ERR_SYNTAX);
    refused(TYPE, "--XX", ERR_SYNTAX);
}
END_TEST

START_TEST(a_form_that_is_cut_anywhere_is_refused)
{
    const char *body = "--XX\r\nContent-Disposition: form-data; name=\"7\"; filename=\"a.png\"\r\n\r\nfirst\r\n"
                       "--XX\r\nContent-Disposition: form-data; name=\"8\"\r\n\r\nsecond\r\n--XX--";
    struct err err;
    for (size_t n = 0; n < strlen(body); n++)
        ck_assert_msg(walk_n(TYPE, body, n, &err) == -1, "taken when cut at %zu", n);
    ck_assert_int_eq(walk_n(TYPE, body, strlen(body), &err), 2);
}
END_TEST

START_TEST(a_part_without_a_disposition_or_name_is_refused)
{
    refused(TYPE, part_of("Content-Type: image/png", "c"), ERR_SYNTAX);
    refused(TYPE, part_of("Content-Disposition: form-data", "c"), ERR_SYNTAX);
    refused(TYPE, part_of("Content-Disposition: attachment; name=\"x\"", "c"), ERR_SYNTAX);
    refused(TYPE, part_of("Content-Disposition: form-data; name=\"x", "c"), ERR_SYNTAX);
    refused(TYPE, "--XX\r\n\r\nc\r\n--XX--", ERR_SYNTAX);
}
END_TEST

START_TEST(two_dispositions_in_a_part_are_refused)
{
    refused(TYPE,
            part_of("Content-Disposition: form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"y\"", "c"),
            ERR_SYNTAX);
}
END_TEST

START_TEST(a_name_that_is_too_long_is_refused)
{
    char header[512], name[MULTIPART_NAME_BYTES + 1];
    memset(name, 'n', sizeof name);
    name[MULTIPART_NAME_BYTES - 1] = '\0';
    (void)snprintf(header, sizeof header, "Content-Disposition: form-data; name=\"%s\"", name);
    ck_assert_int_eq(walk(TYPE, part_of(header, "c")), 1);
    name[MULTIPART_NAME_BYTES - 1] = 'n';
    name[MULTIPART_NAME_BYTES] = '\0';
    (void)snprintf(header, sizeof header, "Content-Disposition: form-data; name=\"%s\"", name);
    refused(TYPE, part_of(header, "c"), ERR_SYNTAX);
}
END_TEST

START_TEST(headers_that_never_end_are_refused_at_their_limit)
{
    static char header[MULTIPART_HEADER_BYTES + 100];
    memset(header, 'h', sizeof header - 1);
    refused(TYPE, part_of(header, "c"), ERR_LIMIT);
}
END_TEST

START_TEST(a_zero_in_a_name_is_refused)
{
    static const char body[] = "--XX\r\nContent-Disposition: form-data; name=\"7\0x\"\r\n\r\nc\r\n--XX--";
    struct err err = {0};
    ck_assert_int_eq(walk_n(TYPE, body, sizeof body - 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_SYNTAX);
}
END_TEST

START_TEST(random_damage_never_reads_outside_the_body)
{
    const char *body = "--XX\r\nContent-Disposition: form-data; name=\"7\"; filename=\"a.png\"\r\n\r\nfirst\r\n"
                       "--XX\r\nContent-Disposition: form-data; name=\"8\"\r\n\r\nsecond\r\n--XX--";
    static const char alphabet[] = "-X\r\n;:=\" \\%2\0a";
    size_t n = strlen(body);
    char damaged[256];
    uint32_t state = 7;
    for (int round = 0; round < 20000; round++) {
        memcpy(damaged, body, n);
        for (int i = 0; i < 3; i++) {
            state = state * 1664525u + 1013904223u;
            size_t at = (state >> 8) % n;
            state = state * 1664525u + 1013904223u;
            damaged[at] = alphabet[(state >> 8) % (sizeof alphabet - 1)];
        }
        state = state * 1664525u + 1013904223u;
        struct err err;
        int parts = walk_n(TYPE, damaged, n - (state >> 8) % 4, &err); /* asserts inside: views lie in the body */
        ck_assert(parts >= -1 && parts <= 2);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("multipart");
    TCase *good = tcase_create("forms");
    tcase_add_test(good, a_form_of_curl_is_read_part_by_part);
    tcase_add_test(good, the_boundary_may_be_quoted_and_stand_among_other_parameters);
    tcase_add_test(good, a_content_may_hold_the_boundary_as_long_as_it_is_no_delimiter);
    tcase_add_test(good, a_content_may_be_binary_with_zeros);
    tcase_add_test(good, an_empty_content_is_a_part);
    tcase_add_test(good, a_form_without_parts_is_empty);
    tcase_add_test(good, preamble_and_epilogue_are_skipped);
    tcase_add_test(good, names_are_unescaped_as_browsers_and_curl_escape_them);
    tcase_add_test(good, a_name_may_be_in_the_form_of_rfc_8187);
    tcase_add_test(good, a_name_of_rfc_8187_is_as_long_as_any);
    tcase_add_test(good, a_file_s_name_is_not_taken_for_the_field_s);
    tcase_add_test(good, a_boundary_of_seventy_characters_is_taken);
    suite_add_tcase(suite, good);
    TCase *bad = tcase_create("hostile");
    tcase_set_timeout(bad, 60);
    tcase_add_test(bad, a_content_type_without_a_usable_boundary_is_refused);
    tcase_add_test(bad, a_body_without_the_boundary_is_refused);
    tcase_add_test(bad, a_form_that_is_cut_anywhere_is_refused);
    tcase_add_test(bad, a_part_without_a_disposition_or_name_is_refused);
    tcase_add_test(bad, two_dispositions_in_a_part_are_refused);
    tcase_add_test(bad, a_name_that_is_too_long_is_refused);
    tcase_add_test(bad, headers_that_never_end_are_refused_at_their_limit);
    tcase_add_test(bad, a_zero_in_a_name_is_refused);
    tcase_add_test(bad, random_damage_never_reads_outside_the_body);
    suite_add_tcase(suite, bad);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
