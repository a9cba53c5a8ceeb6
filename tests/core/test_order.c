/* test_order.c - learner_order(): a permutation drawn from a seed, without a list. Replay depends on it, so some values are
 * written down here for good. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/run.h"

START_TEST(the_order_of_any_number_up_to_2000_is_a_permutation)
{
    static uint8_t seen[2000];
    for (uint64_t n = 1; n <= 2000; n++) {
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t place = learner_order(n * 77, n, i);
            if (place >= n || seen[place] != 0) /* ck_assert in the innermost loop would take most of the time */
                ck_abort_msg("%llu of %llu is out of range or comes twice", (unsigned long long)place,
                             (unsigned long long)n);
            seen[place] = 1;
        }
    }
}
END_TEST

START_TEST(the_order_of_a_million_is_a_permutation)
{
    const uint64_t n = COARSE ? 50000 : 1000003;
    uint8_t *seen = calloc(n, 1);
    ck_assert_ptr_nonnull(seen);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t place = learner_order(5, n, i);
        if (place >= n || seen[place] != 0)
            ck_abort_msg("%llu is out of range or comes twice", (unsigned long long)place);
        seen[place] = 1;
    }
    free(seen);
}
END_TEST

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

START_TEST(the_order_of_a_huge_number_repeats_nothing_and_stays_in_range)
{
    static const uint64_t numbers[] = {0xffffffffu,         0x100000000u,        0x100000001u,        0x200000007u,
                                       0x3fffffffffffffffu, 0x4000000000000001u, 0x8000000000000000u, UINT64_MAX};
    static uint64_t places[10000];
    const uint64_t n = numbers[_i];
    for (uint64_t i = 0; i < 10000; i++) {
        places[i] = learner_order(9, n, i % 2 == 0 ? i : n - 1 - i);
        ck_assert_uint_lt(places[i], n);
    }
    qsort(places, 10000, sizeof *places, compare);
    for (int i = 1; i < 10000; i++)
        ck_assert_uint_ne(places[i - 1], places[i]);
}
END_TEST

START_TEST(other_seeds_give_other_orders)
{
    uint32_t same = 0;
    for (uint64_t seed = 0; seed < 100; seed++)
        for (uint64_t i = 0; i < 100; i++)
            same += learner_order(seed, 10000, i) == learner_order(seed + 1, 10000, i);
    ck_assert_uint_le(same, 20); /* of 10,000 pairs one is expected */
}
END_TEST

START_TEST(an_order_is_shuffled_well_enough_that_neighbours_part)
{
    /* the distance of two random places of n is n / 3 on average */
    const uint64_t n = 60000;
    double sum = 0.0;
    for (uint64_t i = 1; i < n; i++) {
        uint64_t a = learner_order(3, n, i - 1), b = learner_order(3, n, i);
        sum += (double)(a > b ? a - b : b - a);
    }
    const double mean = sum / (double)(n - 1) / (double)n;
    ck_assert_double_ge(mean, 0.32);
    ck_assert_double_le(mean, 0.347);
}
END_TEST

START_TEST(an_order_is_the_same_for_ever)
{
    /* a log that was written by any version replays with this order */
    static const uint64_t known[] = {21714, 16515, 32577, 37037, 28222, 17381};
    for (uint64_t i = 0; i < 6; i++)
        ck_assert_uint_eq(learner_order(42, 60000, i), known[i]);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("order");
    tcase_add_test(tcase, the_order_of_any_number_up_to_2000_is_a_permutation);
    tcase_add_test(tcase, the_order_of_a_million_is_a_permutation);
    tcase_add_loop_test(tcase, the_order_of_a_huge_number_repeats_nothing_and_stays_in_range, 0, 8);
    tcase_add_test(tcase, other_seeds_give_other_orders);
    tcase_add_test(tcase, an_order_is_shuffled_well_enough_that_neighbours_part);
    tcase_add_test(tcase, an_order_is_the_same_for_ever);
    return run_case(tcase, "order");
}
