/* test_calibration.c - confidence against a second writing of calibration.h's equations, and what it is worth. */
#include <check.h>
#include <math.h>

#include "core/core.h"
#include "tests/core/chance.h"
#include "tests/core/models.h"
#include "tests/core/run.h"

static const double x[CALIBRATION_KNOTS] = {0,   0.1,  0.2,  0.3,  0.4,   0.5,   0.6,   0.7, 0.8,
                                            0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1};

/* One more outcome, predicted with p. */
static void add(struct tally *tally, double p, bool right)
{
    tally->recent[tally->samples++ % TALLY_RECENT] = (struct outcome){.label = 1, .predicted = right, .p = (float)p};
}

static struct calibration fitted(const struct tally *tally)
{
    struct calibration calibration;
    calibration_fit(&calibration, tally);
    return calibration;
}

START_TEST(with_no_record_confidence_is_what_the_network_said)
{
    static const struct tally none;
    const struct calibration c = fitted(&none);
    ck_assert_uint_eq(c.outcomes, 0);
    for (int i = 0; i <= 1000; i++)
        ck_assert_double_eq_tol(calibration_confidence(&c, (float)i / 1000.0F), i / 1000.0, 1e-7);
    struct reliability r;
    calibration_judge(&r, &none);
    ck_assert(r.outcomes == 0 && r.sure_outcomes == 0 && r.error == 0.0 && r.raw_error == 0.0);
}
END_TEST

/* y_j of calibration.h, before pooling. */
static double by_hand(const struct tally *tally, unsigned j)
{
    double weight = CALIBRATION_PRIOR, sum = CALIBRATION_PRIOR * x[j];
    for (uint64_t i = 0; i < tally->samples; i++) {
        const struct outcome *o = &tally->recent[i];
        const double p = (double)o->p;
        double w = 0.0;
        if (j > 0 && p > x[j - 1] && p <= x[j])
            w = (p - x[j - 1]) / (x[j] - x[j - 1]);
        else if (j < CALIBRATION_KNOTS - 1 && p >= x[j] && p < x[j + 1])
            w = (x[j + 1] - p) / (x[j + 1] - x[j]);
        weight += w;
        sum += w * (o->label == o->predicted ? 1.0 : 0.0);
    }
    return sum / weight;
}

START_TEST(each_outcome_counts_at_the_two_knots_beside_it)
{
    static struct tally tally;
    static const double p[] = {0.25, 0.62, 0.8, 0.97, 0.9915, 0.9985, 1.0};
    for (unsigned i = 0; i < sizeof p / sizeof *p; i++)
        add(&tally, p[i], i > 0);
    const struct calibration c = fitted(&tally);
    ck_assert_uint_eq(c.outcomes, tally.samples);
    for (unsigned j = 0; j < CALIBRATION_KNOTS; j++) {
        ck_assert_double_eq_tol(c.y[j], by_hand(&tally, j), 1e-12);
        ck_assert_double_eq_tol(calibration_confidence(&c, (float)x[j]), c.y[j], 1e-6);
    }
    ck_assert_double_eq_tol(calibration_confidence(&c, 0.97F), c.y[10] + (c.y[11] - c.y[10]) * 2 / 3, 1e-5);
}
END_TEST

START_TEST(it_never_falls_and_pools_what_would)
{
    static struct tally tally;
    for (int i = 0; i < 10; i++)
        add(&tally, 0.7, true);
    for (int i = 0; i < 30; i++)
        add(&tally, 0.8, false);
    const struct calibration c = fitted(&tally);
    const double at_7 = (2 * 0.7 + 10) / 12, at_8 = (2 * 0.8 + 0) / 32;
    const double pooled = (2 * 0.4 + 2 * 0.5 + 2 * 0.6 + 12 * at_7 + 32 * at_8) / 50; /* the others are above it, too */
    for (unsigned j = 4; j <= 8; j++)
        ck_assert_double_eq_tol(c.y[j], pooled, 1e-6);
    ck_assert_double_eq_tol(c.y[9], 0.9, 1e-4);

    static struct tally any;
    struct chance chance = {.state = 6};
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 9; i++)
            add(&any, chance_unit(&chance), chance_unit(&chance) < 0.5);
        const struct calibration now = fitted(&any);
        for (unsigned j = 0; j < CALIBRATION_KNOTS; j++)
            ck_assert(now.y[j] >= (j > 0 ? now.y[j - 1] : 0.0) && now.y[j] <= 1.0);
    }
}
END_TEST

START_TEST(the_newer_half_counts_and_a_thousand_at_most)
{
    static struct tally tally;
    for (int i = 0; i < 30; i++)
        add(&tally, 1.0, false);
    ck_assert_uint_eq(fitted(&tally).outcomes, 30);
    for (int i = 0; i < 170; i++)
        add(&tally, 1.0, i >= 70);
    ck_assert_uint_eq(fitted(&tally).outcomes, 100);
    ck_assert_double_eq(fitted(&tally).y[CALIBRATION_KNOTS - 1], 1.0);
    for (int i = 0; i < 5000; i++)
        add(&tally, 1.0, i >= 4000);
    ck_assert_uint_eq(fitted(&tally).outcomes, TALLY_RECENT);
    ck_assert_double_eq(fitted(&tally).y[CALIBRATION_KNOTS - 1], 1.0);
}
END_TEST

START_TEST(a_model_that_is_too_sure_is_brought_down_to_what_it_is_worth)
{
    static struct tally tally;
    struct chance chance = {.state = 8};
    for (int i = 0; i < 4000; i++)
        add(&tally, 0.9 + 0.1 * chance_unit(&chance), chance_unit(&chance) < 0.6);
    struct reliability r;
    calibration_judge(&r, &tally);
    ck_assert_double_eq_tol(r.raw_error, 0.35, 0.04);
    ck_assert_double_lt(r.error, 0.05);
    ck_assert_uint_eq(r.sure_outcomes, 0);
    const struct calibration c = fitted(&tally);
    ck_assert_double_eq_tol(calibration_confidence(&c, 0.97F), 0.6, 0.08);
    uint32_t n = 0, right = 0;
    for (unsigned i = 0; i < CALIBRATION_BINS; i++) {
        n += r.bins[i].n;
        right += r.bins[i].right;
    }
    ck_assert(n == r.outcomes && r.outcomes == TALLY_RECENT);
    ck_assert_double_eq_tol(right / 1000.0, 0.6, 0.05);
}
END_TEST

START_TEST(it_is_told_from_where_on_nearly_all_are_right)
{
    static struct tally tally;
    struct chance chance = {.state = 9};
    for (int i = 0; i < 2000; i++) {
        const double p = chance_unit(&chance);
        add(&tally, p, p > 0.75 || chance_unit(&chance) < 0.3);
    }
    struct reliability r;
    calibration_judge(&r, &tally);
    ck_assert_double_eq_tol(r.sure_outcomes / 1000.0, 0.25, 0.04);
    ck_assert(r.sure > 0.6 && r.sure < 1.0);
    ck_assert_double_lt(r.error, 0.08);
}
END_TEST

START_TEST(the_fold_notes_how_sure_it_was_and_a_snapshot_keeps_it)
{
    const struct model_options options = model_small();
    struct learner *l = model_create(&options);
    struct err err;
    uint8_t pixels[30];
    struct chance chance = {.state = 13};
    for (int i = 0; i < 300; i++) {
        chance_pixels(&chance, pixels, sizeof pixels);
        net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
        const float p = l->ws->l2[net_argmax(&l->net, l->ws->l2)];
        (void)model_train(l, chance_between(&chance, 0, 2), pixels);
        ck_assert_mem_eq(&l->tally.recent[i].p, &p, sizeof p);
    }
    static uint8_t bytes[1 << 14];
    const size_t n = learner_encode_rest(l, bytes, sizeof bytes);
    ck_assert_uint_le(n, sizeof bytes);
    struct learner *back = learner_decode(bytes, n, NULL, &err);
    ck_assert_msg(back != NULL, "%s", err.text);
    const struct calibration there = fitted(&l->tally), here = fitted(&back->tally);
    ck_assert_mem_eq(there.y, here.y, sizeof there.y);
    ck_assert_uint_eq(there.outcomes, here.outcomes);
    learner_free(back);
    static const float bad[] = {-0.1F, 1.5F, NAN};
    for (unsigned i = 0; i < 3; i++) { /* it would be looked up beyond the knots */
        l->tally.recent[5].p = bad[i];
        ck_assert_uint_eq(learner_encode_rest(l, bytes, sizeof bytes), n);
        ck_assert_ptr_null(learner_decode(bytes, n, NULL, &err));
        ck_assert_int_eq(err.code, ERR_DB_CORRUPT);
    }
    learner_free(l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("calibration");
    tcase_add_test(tests, with_no_record_confidence_is_what_the_network_said);
    tcase_add_test(tests, each_outcome_counts_at_the_two_knots_beside_it);
    tcase_add_test(tests, it_never_falls_and_pools_what_would);
    tcase_add_test(tests, the_newer_half_counts_and_a_thousand_at_most);
    tcase_add_test(tests, a_model_that_is_too_sure_is_brought_down_to_what_it_is_worth);
    tcase_add_test(tests, it_is_told_from_where_on_nearly_all_are_right);
    tcase_add_test(tests, the_fold_notes_how_sure_it_was_and_a_snapshot_keeps_it);
    return run_case(tests, "calibration");
}
