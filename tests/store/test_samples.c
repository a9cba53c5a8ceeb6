/* test_samples.c - searching the past samples of the live line, and looking at one. */
#define MODEL_STEPS 1

#include "tests/store/model.h"

static struct store_search all(void)
{
    return (struct store_search){
        .label = -1, .predicted = -1, .wrong = -1, .from_us = INT64_MIN, .to_us = INT64_MAX, .before = INT64_MAX};
}

/* Every id that is found, newest first, in pages of `room` and looks of `look`; returns how many. */
static size_t search(struct model *m, int64_t ids[], struct store_search search, size_t room, uint64_t look)
{
    struct store_sample_row rows[64];
    size_t total = 0, n;
    for (int calls = 0; search.before > 0; calls++) {
        ck_assert_int_lt(calls, 1000);
        must(m, store_search(m->store, &search, rows, room, look, &n, &m->err));
        ck_assert_uint_le(n, room);
        for (size_t i = 0; i < n; i++)
            ids[total++] = rows[i].id;
    }
    return total;
}

static void found(const int64_t *ids, size_t n, const int64_t *expected, size_t n_expected)
{
    ck_assert_uint_eq(n, n_expected);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(ids[i], expected[i]);
}

#define N(array) (sizeof(array) / sizeof *(array))

START_TEST(all_samples_come_once_newest_first_whatever_the_page_and_the_look)
{
    struct model m;
    static const size_t rooms[] = {1, 3, 7, 64}, looks[] = {1, 2, 5, 1000};
    model_init(&m);
    train(&m, 5, 1);
    train(&m, 1, 2);
    train(&m, 7, 3);
    for (size_t r = 0; r < N(rooms); r++)
        for (size_t l = 0; l < N(looks); l++) {
            int64_t ids[64];
            ck_assert_uint_eq(search(&m, ids, all(), rooms[r], looks[l]), 13);
            for (int64_t i = 0; i < 13; i++)
                ck_assert_int_eq(ids[i], 13 - i);
        }
    model_fini(&m);
}
END_TEST

START_TEST(a_model_without_samples_has_nothing_to_find)
{
    struct model m;
    int64_t ids[4];
    model_init(&m);
    ck_assert_uint_eq(search(&m, ids, all(), 4, 10), 0);
    struct store_sample_row row;
    ck_assert_int_eq(store_sample_row(m.store, 1, &row, NULL, 0, &m.err), 0);
    model_fini(&m);
}
END_TEST

START_TEST(a_row_says_what_was_trained_and_what_was_predicted)
{
    struct model m;
    struct store_sample_row row, rows[3];
    struct store_search search = all();
    uint8_t pixels[MODEL_PIXELS];
    size_t n;
    model_init(&m);
    struct event event = train_event(2, 3, 3, 9);
    event.created_us = 1700000000123456;
    store_next(m.store, &event);
    must(&m, learner_apply(m.learner, &event, &m.err));
    in_group(&m, must(&m, store_append(m.store, &event, &m.err)));
    store_outcomes(m.store, &event);
    must(&m, store_search(m.store, &search, rows, 3, 10, &n, &m.err));
    ck_assert_uint_eq(n, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct sample *sample = &event.as.train.samples[i];
        ck_assert_int_eq(store_sample_row(m.store, i + 1, &row, pixels, sizeof pixels, &m.err), 1);
        ck_assert_int_eq(row.id, sample->id);
        ck_assert_uint_eq(row.revision, 2);
        ck_assert_int_eq(row.created_us, 1700000000123456);
        ck_assert_uint_eq(row.label, sample->label);
        ck_assert_uint_eq(row.predicted, sample->predicted);
        ck_assert(row.loss == sample->loss);
        ck_assert(row.live);
        ck_assert_mem_eq(pixels, sample->pixels, sizeof pixels);
        const struct store_sample_row *listed = &rows[2 - i];
        ck_assert(listed->id == row.id && listed->revision == row.revision && listed->created_us == row.created_us &&
                  listed->label == row.label && listed->predicted == row.predicted && listed->loss == row.loss &&
                  listed->live);
    }
    must_fail(&m, ERR_DB_CORRUPT, store_sample_row(m.store, 1, &row, pixels, sizeof pixels - 1, &m.err));
    model_fini(&m);
}
END_TEST

START_TEST(a_search_finds_those_of_a_class_those_taken_for_another_and_the_mistakes)
{
    struct model m;
    int64_t ids[64], expected[64];
    struct store_sample_row row, some;
    model_init(&m);
    for (uint64_t i = 1; i <= 5; i++)
        train(&m, 9, i);
    ck_assert_int_eq(store_sample_row(m.store, 20, &some, NULL, 0, &m.err), 1);
    for (int which = 0; which < 5; which++) {
        struct store_search wanted = all();
        size_t n = 0;
        wanted.label = which == 0 || which == 3 ? (int64_t)some.label : -1;
        wanted.predicted = which == 1 || which == 3 ? (int64_t)some.predicted : -1;
        wanted.wrong = which == 2 ? 1 : which == 4 ? 0 : -1;
        for (int64_t id = 45; id > 0; id--) {
            ck_assert_int_eq(store_sample_row(m.store, id, &row, NULL, 0, &m.err), 1);
            if ((wanted.label < 0 || row.label == some.label) &&
                (wanted.predicted < 0 || row.predicted == some.predicted) &&
                (wanted.wrong < 0 || (row.label != row.predicted) == wanted.wrong))
                expected[n++] = id;
        }
        ck_assert_uint_gt(n, 0);
        ck_assert_uint_lt(n, 45);
        found(ids, search(&m, ids, wanted, 4, 6), expected, n);
    }
    model_fini(&m);
}
END_TEST

START_TEST(a_search_between_two_times_takes_both_ends)
{
    struct model m;
    int64_t ids[64];
    model_init(&m);
    for (uint64_t i = 1; i <= 4; i++) { /* two samples each, at 10, 20, 30, 40 us */
        struct event event = train_event(m.learner->revision + 1, 2, 3, i);
        event.created_us = 1700000000000000 + (int64_t)i * 10;
        store_next(m.store, &event);
        must(&m, learner_apply(m.learner, &event, &m.err));
        in_group(&m, must(&m, store_append(m.store, &event, &m.err)));
        store_outcomes(m.store, &event);
    }
    static const struct {
        int64_t from, to;
        int64_t ids[8];
        size_t n;
    } cases[] = {
        {20, 30, {6, 5, 4, 3}, 4}, {21, 29, {0}, 0},   {0, 10, {2, 1}, 2}, {11, 1000, {8, 7, 6, 5, 4, 3}, 6},
        {40, 40, {8, 7}, 2},       {41, 1000, {0}, 0}, {-900, 9, {0}, 0},  {30, 20, {0}, 0},
    };
    for (size_t i = 0; i < N(cases); i++) {
        struct store_search wanted = all();
        wanted.from_us = 1700000000000000 + cases[i].from;
        wanted.to_us = 1700000000000000 + cases[i].to;
        found(ids, search(&m, ids, wanted, 3, 2), cases[i].ids, cases[i].n);
    }
    model_fini(&m);
}
END_TEST

START_TEST(what_going_back_left_behind_is_not_found_but_can_be_looked_at)
{
    struct model m;
    int64_t ids[64];
    struct store_sample_row row;
    static const int64_t live[] = {9, 8, 7, 3, 2, 1};
    model_init(&m);
    train(&m, 3, 1);
    struct learner *then = keep(&m);
    train(&m, 3, 2);
    in_group(&m, append_activate(&m, then));
    train(&m, 3, 3);
    found(ids, search(&m, ids, all(), 2, 2), live, N(live));
    ck_assert_int_eq(store_sample_row(m.store, 5, &row, NULL, 0, &m.err), 1);
    ck_assert(!row.live);
    ck_assert_int_eq(store_sample_row(m.store, 8, &row, NULL, 0, &m.err), 1);
    ck_assert(row.live);
    learner_free(then);
    model_fini(&m);
}
END_TEST

START_TEST(windows_hold_the_outcomes_of_their_part_of_the_live_line)
{
    struct model m;
    struct store_sample_row row;
    uint64_t n;
    model_init(&m);
    train(&m, 7, 1);
    struct learner *then = keep(&m);
    train(&m, 9, 2);
    in_group(&m, append_activate(&m, then));
    train(&m, 20, 3); /* live: 1 .. 7, 17 .. 36 */
    must(&m, store_live_samples(m.store, &n, &m.err));
    ck_assert_uint_eq(n, 27);
    struct store_window windows[] = {{.first = 1, .last = 27},
                                     {.first = 5, .last = 9},
                                     {.first = 8, .last = 8},
                                     {.first = 26, .last = 40},
                                     {.first = 28, .last = 40}};
    must(&m, store_windows(m.store, windows, N(windows), &m.err));
    for (size_t w = 0; w < N(windows); w++) {
        uint64_t correct = 0, all = 0;
        double loss = 0.0;
        for (uint64_t i = windows[w].first; i <= windows[w].last && i <= 27; i++, all++) {
            ck_assert_int_eq(store_sample_row(m.store, (int64_t)(i <= 7 ? i : i + 9), &row, NULL, 0, &m.err), 1);
            correct += row.label == row.predicted;
            loss += (double)row.loss;
        }
        ck_assert_uint_eq(windows[w].n, all);
        ck_assert_uint_eq(windows[w].n_losses, all);
        ck_assert_uint_eq(windows[w].correct, correct);
        ck_assert_double_eq_tol(windows[w].loss_sum, loss, 1e-9);
    }
    learner_free(then);
    model_fini(&m);
}
END_TEST

START_TEST(an_export_gives_the_live_samples_in_their_order_whatever_the_room)
{
    struct model m;
    static const int64_t live[] = {1, 2, 3, 4, 8, 9, 10, 11, 12};
    model_init(&m);
    train(&m, 4, 1);
    struct learner *then = keep(&m);
    train(&m, 3, 2);
    in_group(&m, append_activate(&m, then));
    train(&m, 7, 3); /* 8 .. 14 */
    for (size_t room = 1; room <= 10; room++) {
        struct store_sample_row rows[10], alone;
        uint8_t pixels[10][MODEL_PIXELS], expected[MODEL_PIXELS];
        int64_t next = 1, ids[32];
        size_t n, total = 0;
        for (int calls = 0; next > 0; calls++) {
            ck_assert_int_lt(calls, 20);
            must(&m, store_export(m.store, &next, 12, rows, pixels[0], MODEL_PIXELS, room, &n, &m.err));
            for (size_t i = 0; i < n; i++) {
                ids[total++] = rows[i].id;
                ck_assert_int_eq(store_sample_row(m.store, rows[i].id, &alone, expected, MODEL_PIXELS, &m.err), 1);
                ck_assert_mem_eq(pixels[i], expected, MODEL_PIXELS);
                ck_assert(rows[i].label == alone.label && rows[i].created_us == alone.created_us);
            }
        }
        found(ids, total, live, N(live));
    }
    learner_free(then);
    model_fini(&m);
}
END_TEST

/* Form 1 and 2 of a state, with the digest of today: what a snapshot was before there were alarms of drift. */
START_TEST(verify_compares_the_drift_of_each_snapshot)
{
    struct model m;
    struct store_verdict verdict;
    model_init(&m);
    train(&m, 40, 1);
    m.learner->tally.drift.mean += 0.25; /* as a machine would that counts otherwise */
    snapshot(&m);
    must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, &verdict, &m.err));
    must_say(&m, "is not the state that the log leads to");
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("samples");
    TCase *tests = tcase_create("search");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, all_samples_come_once_newest_first_whatever_the_page_and_the_look);
    tcase_add_test(tests, a_model_without_samples_has_nothing_to_find);
    tcase_add_test(tests, a_row_says_what_was_trained_and_what_was_predicted);
    tcase_add_test(tests, a_search_finds_those_of_a_class_those_taken_for_another_and_the_mistakes);
    tcase_add_test(tests, a_search_between_two_times_takes_both_ends);
    tcase_add_test(tests, what_going_back_left_behind_is_not_found_but_can_be_looked_at);
    tcase_add_test(tests, windows_hold_the_outcomes_of_their_part_of_the_live_line);
    tcase_add_test(tests, an_export_gives_the_live_samples_in_their_order_whatever_the_room);
    tcase_add_test(tests, verify_compares_the_drift_of_each_snapshot);
    return run_suite(suite);
}
