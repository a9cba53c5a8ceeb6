/* test_drift.c - the Page-Hinkley test against a second writing of its equations, and what it finds and does not. */
#include <check.h>
#include <math.h>

#include "core/core.h"
#include "tests/core/chance.h"
#include "tests/core/models.h"
#include "tests/core/run.h"

/* The equations of drift.h over a whole list, from the last alarm on: 1 where its last item raises one. */
static bool by_hand(const uint8_t *x, size_t n)
{
    double mean = 0.0, m = 0.0, low = 0.0;
    for (size_t t = 1; t <= n; t++) {
        mean = mean + ((double)x[t - 1] - mean) / (t < DRIFT_WINDOW ? (double)t : (double)DRIFT_WINDOW);
        m = m + (double)x[t - 1] - mean - DRIFT_DELTA;
        low = fmin(low, m);
    }
    return n >= DRIFT_MINIMUM && m - low > DRIFT_LAMBDA;
}

START_TEST(alarms_are_raised_where_the_equations_say)
{
    static uint8_t x[6000];
    struct chance chance = {.state = 3};
    struct drift drift = {0};
    size_t begin = 0;
    uint64_t alarms = 0;
    for (size_t t = 0; t < sizeof x; t++) {
        const double rate = t % 2000 < 1200 ? 0.1 : 0.7;
        x[t] = chance_unit(&chance) < rate;
        const bool alarm = drift_add(&drift, x[t] != 0, t + 1);
        if (t % 7 == 0 || alarm) /* by hand is quadratic */
            ck_assert_msg(alarm == by_hand(x + begin, t + 1 - begin), "at %zu", t);
        if (alarm) {
            begin = t + 1;
            alarms++;
            ck_assert_uint_eq(drift_at(&drift, drift_recent(&drift) - 1), t + 1);
        }
        ck_assert(drift_check(&drift, t + 1));
    }
    ck_assert_uint_eq(drift.alarms, alarms);
    ck_assert_uint_ge(alarms, 3); /* one for each rise at least */
}
END_TEST

static uint64_t alarms_of(double rate, uint64_t n, struct chance *chance, struct drift *drift, uint64_t samples)
{
    const uint64_t before = drift->alarms;
    for (uint64_t i = 0; i < n; i++)
        (void)drift_add(drift, chance_unit(chance) < rate, samples + i + 1);
    return drift->alarms - before;
}

START_TEST(a_steady_or_falling_rate_of_mistakes_raises_none)
{
    struct chance chance = {.state = 11};
    for (int i = 0; i < 3; i++) {
        struct drift drift = {0};
        static const double rates[] = {0.9, 0.5, 0.3, 0.15, 0.1};
        for (uint64_t r = 0; r < 5; r++)
            ck_assert_uint_eq(alarms_of(rates[r], r == 4 ? 100000 : 1000, &chance, &drift, r * 1000), 0);
    }
}
END_TEST

START_TEST(a_rise_is_found_soon_even_after_a_long_quiet_time)
{
    struct chance chance = {.state = 12};
    for (int i = 0; i < 10; i++) {
        struct drift drift = {0};
        ck_assert_uint_eq(alarms_of(0.05, 20000, &chance, &drift, 0), 0);
        ck_assert_uint_eq(alarms_of(0.55, 250, &chance, &drift, 20000), 1);
        ck_assert_uint_gt(drift_at(&drift, 0), 20040);
    }
}
END_TEST

START_TEST(the_last_sixteen_alarms_are_remembered_in_their_order)
{
    struct drift drift = {0};
    uint64_t places[100], n = 0, t = 0;
    while (n < 40) {
        const bool mistake = t / 200 % 2 == 1; /* each change from right to wrong is one */
        if (drift_add(&drift, mistake, ++t))
            places[n++] = t;
        if (t % 1000 == 0 && n < DRIFT_KEPT)
            ck_assert_uint_eq(drift_recent(&drift), n);
    }
    ck_assert_uint_eq(drift.alarms, 40);
    ck_assert_uint_eq(drift_recent(&drift), DRIFT_KEPT);
    for (uint32_t i = 0; i < DRIFT_KEPT; i++)
        ck_assert_uint_eq(drift_at(&drift, i), places[40 - DRIFT_KEPT + i]);
    ck_assert(drift_check(&drift, t));
    ck_assert(!drift_check(&drift, t + 1));
    drift.mean = (double)NAN;
    ck_assert(!drift_check(&drift, t));
}
END_TEST

START_TEST(the_fold_counts_its_mistakes_and_the_digest_covers_them)
{
    struct model_options small = model_small();
    struct learner *learner = model_create(&small);
    model_train_random(learner, 300, 4);
    struct drift drift = {0};
    ck_assert_uint_eq(learner->tally.samples, 300);
    for (uint64_t i = 0; i < 300; i++)
        (void)drift_add(&drift, learner->tally.recent[i].label != learner->tally.recent[i].predicted, i + 1);
    ck_assert_mem_eq(&drift, &learner->tally.drift, sizeof drift);
    const struct hex before = model_digest(learner);
    learner->tally.drift = (struct drift){0};
    ck_assert_str_ne(model_digest(learner).text, before.text);
    learner_free(learner);
}
END_TEST

START_TEST(a_snapshot_keeps_it)
{
    struct model_options small = model_small();
    struct learner *learner = model_create(&small);
    struct err err;
    static uint8_t bytes[1 << 14];
    model_train_random(learner, 200, 4);
    for (int with_alarms = 0; with_alarms < 2; with_alarms++) {
        const size_t n = learner_encode_rest(learner, bytes, sizeof bytes);
        ck_assert_uint_le(n, sizeof bytes);
        struct learner *back = learner_decode(bytes, n, NULL, &err);
        ck_assert_msg(back != NULL, "%s", err.text);
        ck_assert_mem_eq(&back->tally.drift, &learner->tally.drift, sizeof back->tally.drift);
        learner_free(back);
        learner->tally.drift = (struct drift){.alarms = 2, .at = {60, 150}, .n = 50};
    }
    learner->tally.drift.at[1] = 201; /* later than the last sample */
    const size_t n = learner_encode_rest(learner, bytes, sizeof bytes);
    ck_assert_ptr_null(learner_decode(bytes, n, NULL, &err));
    ck_assert_int_eq(err.code, ERR_DB_CORRUPT);
    learner_free(learner);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("drift");
    tcase_add_test(tests, alarms_are_raised_where_the_equations_say);
    tcase_add_test(tests, a_steady_or_falling_rate_of_mistakes_raises_none);
    tcase_add_test(tests, a_rise_is_found_soon_even_after_a_long_quiet_time);
    tcase_add_test(tests, the_last_sixteen_alarms_are_remembered_in_their_order);
    tcase_add_test(tests, the_fold_counts_its_mistakes_and_the_digest_covers_them);
    tcase_add_test(tests, a_snapshot_keeps_it);
    return run_case(tests, "drift");
}
