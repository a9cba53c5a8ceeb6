/* test_http_body.c - server/http/body_buffer.h: bodies are collected whole, within limits, and large buffers are used again. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/body_buffer.h"

#define MIB ((size_t)1 << 20)

static char piece[8192];

/* A body of n bytes in pieces; returns what http_body_add() said of the last. */
static bool fill(struct http_body *body, struct http_bodies *bodies, size_t n, bool tells_length)
{
    bool goes_on = true;
    http_body_begin(body, bodies, tells_length ? n : 0);
    while (n > 0) {
        size_t part = n < sizeof piece ? n : sizeof piece;
        goes_on = http_body_add(body, bodies, piece, part);
        n -= part;
    }
    return goes_on;
}

static enum err_code verdict(const struct http_body *body, const struct http_bodies *bodies)
{
    struct err err = {0};
    return http_body_check(body, bodies, &err) == 0 ? ERR_NONE : err.code;
}

START_TEST(pieces_come_together_in_their_order)
{
    struct http_bodies bodies;
    struct http_body body = {0};
    char expected[100000];
    http_bodies_init(&bodies, MIB, 2);
    for (int turn = 0; turn < 3; turn++) {
        http_body_begin(&body, &bodies, turn == 0 ? 0 : sizeof expected);
        for (size_t i = 0; i < sizeof expected; i++)
            expected[i] = (char)(i * 7 + (size_t)turn + i / 251);
        for (size_t at = 0, n = 1; at<sizeof expected; at += n, n = n * 2> 9000 ? 777 : n * 2) {
            n = n < sizeof expected - at ? n : sizeof expected - at;
            ck_assert(http_body_add(&body, &bodies, expected + at, n));
        }
        ck_assert_int_eq(verdict(&body, &bodies), ERR_NONE);
        ck_assert_uint_eq(body.text.n, sizeof expected);
        ck_assert_mem_eq(body.text.bytes, expected, sizeof expected);
        http_body_end(&body, &bodies);
    }
    http_body_fini(&body, &bodies);
    http_bodies_fini(&bodies);
}
END_TEST

START_TEST(a_body_over_the_limit_is_dropped_and_cut_off_at_twice_the_limit)
{
    struct http_bodies bodies;
    struct http_body body = {0};
    http_bodies_init(&bodies, 100000, 2);
    ck_assert(fill(&body, &bodies, 100000, false));
    ck_assert_int_eq(verdict(&body, &bodies), ERR_NONE);
    http_body_end(&body, &bodies);
    ck_assert(fill(&body, &bodies, 200000, false));
    ck_assert_int_eq(verdict(&body, &bodies), ERR_TOO_LARGE);
    ck_assert_uint_eq(body.text.n, 0);
    ck_assert_uint_eq(atomic_load(&bodies.n_bytes), 0);
    http_body_end(&body, &bodies);
    ck_assert(!fill(&body, &bodies, 200002, false));
    http_body_end(&body, &bodies);
    ck_assert(fill(&body, &bodies, 10, false)); /* forgotten by the next request */
    ck_assert_int_eq(verdict(&body, &bodies), ERR_NONE);
    http_body_fini(&body, &bodies);
    http_bodies_fini(&bodies);
}
END_TEST

START_TEST(large_bodies_share_a_budget_and_small_ones_need_none)
{
    struct http_bodies bodies;
    struct http_body large[80] = {{{0}, 0, 0, false, ERR_NONE}}, small = {0};
    http_bodies_init(&bodies, MIB, 0);
    unsigned n_busy = 0;
    for (int i = 0; i < 80; i++) {
        ck_assert(fill(&large[i], &bodies, MIB, false)); /* 64 MiB hold 64 of them */
        n_busy += verdict(&large[i], &bodies) == ERR_BUSY;
        ck_assert_uint_le(atomic_load(&bodies.n_bytes), 64 * MIB);
    }
    ck_assert_uint_eq(n_busy, 16);
    ck_assert(fill(&small, &bodies, HTTP_BODY_SMALL_BYTES, true));
    ck_assert_int_eq(verdict(&small, &bodies), ERR_NONE);
    for (int i = 0; i < 80; i++)
        http_body_end(&large[i], &bodies);
    ck_assert_uint_eq(atomic_load(&bodies.n_bytes), 0);
    ck_assert(fill(&large[79], &bodies, MIB, false));
    ck_assert_int_eq(verdict(&large[79], &bodies), ERR_NONE);
    for (int i = 0; i < 80; i++)
        http_body_fini(&large[i], &bodies);
    http_body_fini(&small, &bodies);
    http_bodies_fini(&bodies);
}
END_TEST

START_TEST(answers_share_a_budget_and_one_that_is_larger_goes_alone)
{
    struct http_bodies bodies;
    http_bodies_init(&bodies, MIB, 0);
    const uint64_t half = HTTP_REPLY_BUDGET_BYTES / 2;
    ck_assert(http_reply_charge(&bodies, half));
    ck_assert(!http_reply_charge(&bodies, half + 1));
    ck_assert(http_reply_charge(&bodies, half));
    ck_assert(!http_reply_charge(&bodies, 1));
    http_reply_end(&bodies, half);
    http_reply_end(&bodies, half);
    ck_assert(http_reply_charge(&bodies, 4 * half)); /* a large model as a file */
    ck_assert(!http_reply_charge(&bodies, 1));
    http_reply_end(&bodies, 4 * half);
    ck_assert_uint_eq(atomic_load(&bodies.n_reply_bytes), 0);
    http_bodies_fini(&bodies);
}
END_TEST

START_TEST(a_large_buffer_stays_behind_and_is_taken_for_a_body_that_fits)
{
    struct http_bodies bodies;
    struct http_body first = {0}, second = {0};
    http_bodies_init(&bodies, MIB, 1);
    ck_assert(fill(&first, &bodies, 200000, true));
    const char *buffer = first.text.bytes;
    const size_t size = first.text.size;
    ck_assert_uint_eq(atomic_load(&bodies.n_bytes), size);
    http_body_end(&first, &bodies);
    ck_assert_ptr_null(first.text.bytes);
    ck_assert_uint_eq(bodies.n_spares, 1);
    ck_assert_uint_eq(atomic_load(&bodies.n_bytes), 0); /* nobody's, so nobody is charged */

    http_body_begin(&second, &bodies, HTTP_BODY_SMALL_BYTES); /* too small to need it */
    ck_assert_uint_eq(bodies.n_spares, 1);
    http_body_begin(&second, &bodies, size + 1); /* too large for it */
    ck_assert_uint_eq(bodies.n_spares, 1);
    ck_assert(fill(&second, &bodies, 150000, true));
    ck_assert_ptr_eq(second.text.bytes, buffer);
    ck_assert_uint_eq(bodies.n_spares, 0);
    ck_assert_uint_eq(atomic_load(&bodies.n_bytes), size);
    http_body_fini(&first, &bodies);
    http_body_fini(&second, &bodies);
    http_bodies_fini(&bodies);
}
END_TEST

START_TEST(only_so_many_buffers_stay_and_none_that_is_huge)
{
    struct http_bodies bodies;
    struct http_body body[4] = {{{0}, 0, 0, false, ERR_NONE}};
    http_bodies_init(&bodies, 4 * MIB, 2);
    for (int i = 0; i < 4; i++)
        ck_assert(fill(&body[i], &bodies, i == 0 ? 2 * MIB : 100000, false));
    http_body_end(&body[0], &bodies);
    ck_assert_uint_eq(bodies.n_spares, 0);
    for (int i = 1; i < 4; i++)
        http_body_end(&body[i], &bodies);
    ck_assert_uint_eq(bodies.n_spares, 2);
    for (int i = 0; i < 4; i++)
        http_body_fini(&body[i], &bodies);
    http_bodies_fini(&bodies);
}
END_TEST

START_TEST(a_body_that_a_route_took_is_not_given_back)
{
    struct http_bodies bodies;
    struct http_body body = {0};
    http_bodies_init(&bodies, MIB, 2);
    ck_assert(fill(&body, &bodies, 100000, true));
    struct text taken = body.text;
    body.text = (struct text){0};
    http_body_end(&body, &bodies);
    ck_assert_uint_eq(bodies.n_spares, 0);
    ck_assert_uint_eq(atomic_load(&bodies.n_bytes), 0);
    text_free(&taken);
    http_body_fini(&body, &bodies);
    http_bodies_fini(&bodies);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_body");
    TCase *cases = tcase_create("bodies");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, pieces_come_together_in_their_order);
    tcase_add_test(cases, a_body_over_the_limit_is_dropped_and_cut_off_at_twice_the_limit);
    tcase_add_test(cases, large_bodies_share_a_budget_and_small_ones_need_none);
    tcase_add_test(cases, answers_share_a_budget_and_one_that_is_larger_goes_alone);
    tcase_add_test(cases, a_large_buffer_stays_behind_and_is_taken_for_a_body_that_fits);
    tcase_add_test(cases, only_so_many_buffers_stay_and_none_that_is_huge);
    tcase_add_test(cases, a_body_that_a_route_took_is_not_given_back);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
