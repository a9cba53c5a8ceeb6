/* test_coding.c - server/http/coding.h: what was compressed comes out as it was, within the limits of a body, or is refused in words. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "server/http/coding.h"

#define LIMIT 200000u

static char original[LIMIT + 1], coded_bytes[2 * LIMIT];

/* Bytes that compress well, and differ. */
static void draw(void)
{
    for (size_t i = 0; i < sizeof original; i++)
        original[i] = (char)(i / 7 + i * i / 1000);
}

/* Compressed by zlib; window as for inflateInit2(). */
static struct text compressed(int window, const char *bytes, size_t n, size_t at)
{
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)coded_bytes + at;
    z.avail_out = (uInt)(sizeof coded_bytes - at);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    struct text text = {.bytes = coded_bytes, .n = at + z.total_out};
    (void)deflateEnd(&z);
    return text;
}

/* Decodes a copy of exactly that size; the limit is LIMIT. Returns the status; what comes out is compared with n bytes of the original. */
static int decode_within(enum coding coding, const struct text *coded, size_t n, uint64_t n_max, struct err *err)
{
    struct http_bodies bodies;
    struct http_body body = {0};
    struct text copy = {.bytes = malloc(coded->n + 1), .n = coded->n};
    ck_assert_ptr_nonnull(copy.bytes);
    memcpy(copy.bytes, coded->bytes, coded->n);
    http_bodies_init(&bodies, LIMIT, 1);
    http_body_begin(&body, &bodies, 0);
    *err = (struct err){0};
    const int status = http_body_decode(&body, &bodies, coding, &copy, n_max, NULL, err);
    if (status == 0) {
        ck_assert_uint_eq(body.text.n, n);
        ck_assert_int_eq(n > 0 ? memcmp(body.text.bytes, original, n) : 0, 0);
        ck_assert_uint_eq(atomic_load(&bodies.n_bytes), body.charged);
        ck_assert(n <= HTTP_BODY_SMALL_BYTES || body.charged >= n);
    }
    http_body_end(&body, &bodies);
    http_body_fini(&body, &bodies);
    http_bodies_fini(&bodies); /* nothing stays charged */
    free(copy.bytes);
    return status;
}

static int decode(enum coding coding, struct text coded, size_t n, struct err *err)
{
    return decode_within(coding, &coded, n, UINT64_MAX, err);
}

static const struct way {
    enum coding coding;
    int window;
} ways[] = {{CODING_GZIP, 31}, {CODING_DEFLATE, 15}, {CODING_DEFLATE, -15}, {CODING_GZIP, 25}, {CODING_DEFLATE, 9}};
#define N_WAYS ((int)(sizeof ways / sizeof *ways))

START_TEST(the_header_says_which_coding_it_is)
{
    static const struct {
        const char *value;
        enum coding coding;
    } known[] = {{NULL, CODING_NONE},   {"identity", CODING_NONE},   {"gzip", CODING_GZIP},    {"x-gzip", CODING_GZIP},
                 {"GZIP", CODING_GZIP}, {"deflate", CODING_DEFLATE}, {"Identity", CODING_NONE}};
    struct err err = {0};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        enum coding coding = (enum coding)9;
        ck_assert_int_eq(http_coding(&coding, known[i].value, &err), 0);
        ck_assert_int_eq(coding, known[i].coding);
    }
    static const char *const unknown[] = {"", "br", "zstd", "gzip, gzip", "gzip,identity", "compress", "gzip;q=1"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        enum coding coding = CODING_NONE;
        ck_assert_int_eq(http_coding(&coding, unknown[i], &err), -1);
        ck_assert_int_eq(err.code, ERR_MEDIA_TYPE);
        ck_assert_ptr_nonnull(strstr(err.text, "gzip, deflate"));
    }
}
END_TEST

START_TEST(a_body_comes_out_as_it_was)
{
    static const size_t sizes[] = {0, 1, 784, 16383, 16384, 16385, 32768, 32769, 100000, LIMIT};
    const struct way *way = &ways[_i];
    struct err err;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        ck_assert_msg(decode(way->coding, compressed(way->window, original, sizes[i], 0), sizes[i], &err) == 0,
                      "%zu bytes: %s", sizes[i], err.text);
}
END_TEST

START_TEST(a_body_that_is_cut_anywhere_is_refused)
{
    const struct way *way = &ways[_i];
    struct text coded = compressed(way->window, original, 3000, 0);
    struct err err;
    for (size_t n = coded.n; n-- > 0;) {
        coded.n = n;
        ck_assert_msg(decode(way->coding, coded, 3000, &err) == -1, "taken when cut at %zu", n);
        ck_assert_int_eq(err.code, ERR_SYNTAX);
        ck_assert_msg(strstr(err.text, way->coding == CODING_GZIP ? "gzip" : "deflate") != NULL, "%s", err.text);
    }
}
END_TEST

START_TEST(a_damaged_byte_is_noticed_where_the_coding_has_a_checksum)
{
    const struct way *way = &ways[_i];
    struct err err;
    const bool summed = way->window > 0;
    for (size_t at = way->window > 15 ? 10 : 2; at < 400; at++) { /* gzip's time and system may be any */
        struct text coded = compressed(way->window, original, 3000, 0);
        if (at >= coded.n)
            break;
        coded.bytes[at] ^= 0x10;
        struct http_bodies bodies;
        struct http_body body = {0};
        http_bodies_init(&bodies, LIMIT, 0);
        http_body_begin(&body, &bodies, 0);
        const int status = http_body_decode(&body, &bodies, way->coding, &coded, UINT64_MAX, NULL, &err);
        ck_assert_msg(!summed || status == -1, "taken with byte %zu changed", at);
        http_body_fini(&body, &bodies);
        http_bodies_fini(&bodies);
    }
}
END_TEST

START_TEST(a_bomb_is_refused_at_the_limit_of_a_body)
{
    const struct way *way = &ways[_i];
    static char zeros[64 * LIMIT];
    struct err err;
    ck_assert_int_eq(decode(way->coding, compressed(way->window, original, LIMIT + 1, 0), 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    const struct text bomb = compressed(way->window, zeros, sizeof zeros, 0);
    ck_assert_uint_lt(bomb.n, LIMIT);
    ck_assert_int_eq(decode(way->coding, bomb, 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(err.text, "200000"));
}
END_TEST

START_TEST(more_than_the_thread_may_is_said_to_be_more)
{
    const struct way *way = &ways[_i];
    struct err err;
    const struct text coded = compressed(way->window, original, 70000, 0);
    ck_assert_int_eq(decode_within(way->coding, &coded, 70000, 69999, &err), 1);
    ck_assert_int_eq(decode_within(way->coding, &coded, 70000, 70000, &err), 0);
    const struct text dense = compressed(way->window, original, 3, 0); /* it is larger than what comes out */
    ck_assert_int_eq(decode_within(way->coding, &dense, 3, dense.n - 1, &err), 1);
}
END_TEST

START_TEST(gzip_may_be_of_several_members_and_nothing_else_follows)
{
    struct err err;
    struct text coded = compressed(31, original, 5000, 0);
    coded = compressed(31, original + 5000, 1, coded.n);
    coded = compressed(31, original + 5001, 45000, coded.n);
    ck_assert_int_eq(decode(CODING_GZIP, coded, 50001, &err), 0);
    coded_bytes[coded.n++] = 'x';
    ck_assert_int_eq(decode(CODING_GZIP, coded, 50001, &err), -1);
    ck_assert_int_eq(err.code, ERR_SYNTAX);
    for (int window = 15; window >= -15; window -= 30) {
        coded = compressed(window, original, 5000, 0);
        coded_bytes[coded.n++] = 'x';
        ck_assert_int_eq(decode(CODING_DEFLATE, coded, 5000, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "goes on after the end"));
    }
}
END_TEST

START_TEST(what_is_another_thing_is_refused)
{
    struct err err;
    static char json[] = "{\"image\": {}}", png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    ck_assert_int_eq(decode(CODING_GZIP, (struct text){.bytes = json, .n = sizeof json - 1}, 0, &err), -1);
    ck_assert_str_eq(err.text,
                     "the body is not gzip, which its Content-Encoding is, or is damaged: incorrect header check");
    ck_assert_int_eq(decode(CODING_DEFLATE, (struct text){.bytes = json, .n = sizeof json - 1}, 0, &err), -1);
    ck_assert_int_eq(decode(CODING_DEFLATE, (struct text){.bytes = png, .n = sizeof png - 1}, 0, &err), -1);
    ck_assert_int_eq(decode(CODING_GZIP, compressed(15, original, 100, 0), 0, &err), -1);
    ck_assert_int_eq(decode(CODING_DEFLATE, compressed(31, original, 100, 0), 0, &err), -1);
    static char wants_dictionary[] = "\x78\xbb\0\0\0\1";
    ck_assert_int_eq(decode(CODING_DEFLATE, (struct text){.bytes = wants_dictionary, .n = 6}, 0, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "dictionary"));
}
END_TEST

START_TEST(a_client_that_has_gone_ends_it)
{
    struct http_bodies bodies;
    struct http_body body = {0};
    struct cancel gone = {0};
    struct err err;
    (void)cancel(&gone, CANCEL_GONE);
    const struct text coded = compressed(31, original, LIMIT, 0);
    http_bodies_init(&bodies, LIMIT, 0);
    http_body_begin(&body, &bodies, 0);
    ck_assert_int_eq(http_body_decode(&body, &bodies, CODING_GZIP, &coded, UINT64_MAX, &gone, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    ck_assert_uint_le(body.text.n, 16384);
    http_body_fini(&body, &bodies);
    http_bodies_fini(&bodies);
}
END_TEST

START_TEST(decoded_bodies_share_the_budget_of_those_that_came_so)
{
    struct http_bodies bodies;
    struct http_body one = {0}, other = {0};
    struct err err;
    const struct text coded = compressed(31, original, LIMIT, 0);
    http_bodies_init(&bodies, LIMIT, 0);
    bodies.budget = LIMIT + LIMIT / 2;
    http_body_begin(&one, &bodies, LIMIT);
    ck_assert(http_body_add(&one, &bodies, original, LIMIT));
    http_body_begin(&other, &bodies, 0);
    ck_assert_int_eq(http_body_decode(&other, &bodies, CODING_GZIP, &coded, UINT64_MAX, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    http_body_fini(&one, &bodies);
    http_body_fini(&other, &bodies);
    http_bodies_fini(&bodies);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coding");
    TCase *all = tcase_create("all");
    draw();
    tcase_set_timeout(all, 60);
    tcase_add_test(all, the_header_says_which_coding_it_is);
    tcase_add_loop_test(all, a_body_comes_out_as_it_was, 0, N_WAYS);
    tcase_add_loop_test(all, a_body_that_is_cut_anywhere_is_refused, 0, N_WAYS);
    tcase_add_loop_test(all, a_damaged_byte_is_noticed_where_the_coding_has_a_checksum, 0, N_WAYS);
    tcase_add_loop_test(all, a_bomb_is_refused_at_the_limit_of_a_body, 0, N_WAYS);
    tcase_add_loop_test(all, more_than_the_thread_may_is_said_to_be_more, 0, N_WAYS);
    tcase_add_test(all, gzip_may_be_of_several_members_and_nothing_else_follows);
    tcase_add_test(all, what_is_another_thing_is_refused);
    tcase_add_test(all, a_client_that_has_gone_ends_it);
    tcase_add_test(all, decoded_bodies_share_the_budget_of_those_that_came_so);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
