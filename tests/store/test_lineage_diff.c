/* test_lineage_diff.c - the samples that one revision has learned from and another has not. */
#define MODEL_STEPS 1

#include "tests/store/model.h"

/* Every sample that is apart: its id in `ids`, negative where it is a's. Returns how many. */
static size_t lineage_diff(struct model *m, uint64_t a, uint64_t b, int64_t ids[64])
{
    struct store_lineage_diff *it;
    struct store_lineage_diff_sample sample;
    uint8_t pixels[MODEL_PIXELS], again[MODEL_PIXELS];
    size_t n = 0;
    int status;
    must(m, store_lineage_diff_open(&it, m->store, a, b, &m->err));
    while ((status = store_lineage_diff_next(it, &sample, pixels, sizeof pixels, &m->err)) == 1) {
        uint32_t label;
        ck_assert_int_eq(store_sample(m->store, sample.id, &label, again, sizeof again, &m->err), 1);
        ck_assert_mem_eq(pixels, again, sizeof again);
        ck_assert_uint_eq(label, sample.label);
        ck_assert_uint_lt(n, 64);
        ids[n++] = sample.of_b ? sample.id : -sample.id;
    }
    ck_assert_msg(status == 0, "%s", m->err.text);
    store_lineage_diff_close(it);
    return n;
}

static void are(const int64_t *ids, size_t n, const int64_t *expected, size_t n_expected)
{
    ck_assert_uint_eq(n, n_expected);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(ids[i], expected[i]);
}

#define ARE(ids, n, ...)                                                                                               \
    are(ids, n, (const int64_t[]){__VA_ARGS__}, sizeof(const int64_t[]){__VA_ARGS__} / sizeof *(ids))

START_TEST(of_two_revisions_on_one_line_those_after_the_earlier_come_newest_first)
{
    struct model m;
    int64_t ids[64];
    model_init(&m);
    train(&m, 3, 1); /* revision 2: 1 .. 3 */
    train(&m, 2, 2); /* 3: 4, 5 */
    in_group(&m, append_tune(&m, 0.25F, GRADIENT_DIAGONAL));
    train(&m, 1, 3); /* 5: 6 */
    ARE(ids, lineage_diff(&m, 2, 5, ids), 6, 5, 4);
    ARE(ids, lineage_diff(&m, 5, 2, ids), -6, -5, -4);
    ARE(ids, lineage_diff(&m, 1, 3, ids), 5, 4, 3, 2, 1);
    ck_assert_uint_eq(lineage_diff(&m, 3, 4, ids), 0);
    ck_assert_uint_eq(lineage_diff(&m, 3, 3, ids), 0);
    model_fini(&m);
}
END_TEST

START_TEST(of_two_branches_each_has_its_own_and_what_both_have_is_left_out)
{
    struct model m;
    int64_t ids[64];
    struct store_lineage_diff *it;
    model_init(&m);
    train(&m, 2, 1); /* revision 2: 1, 2 */
    struct learner *fork = keep(&m);
    train(&m, 2, 2);                         /* 3: 3, 4 */
    in_group(&m, append_activate(&m, fork)); /* 4 */
    train(&m, 1, 3);                         /* 5: 5 */
    ARE(ids, lineage_diff(&m, 3, 5, ids), 5, -4, -3);
    ARE(ids, lineage_diff(&m, 2, 5, ids), 5);
    ck_assert_uint_eq(lineage_diff(&m, 2, 4, ids), 0);
    must(&m, store_lineage_diff_open(&it, m.store, 3, 5, &m.err));
    ck_assert(store_lineage_diff_both(it));
    store_lineage_diff_close(it);
    must(&m, store_lineage_diff_open(&it, m.store, 2, 5, &m.err));
    ck_assert(!store_lineage_diff_both(it));
    store_lineage_diff_close(it);
    learner_free(fork);
    model_fini(&m);
}
END_TEST

START_TEST(forgotten_samples_are_skipped_also_a_whole_event_of_them)
{
    struct model m;
    int64_t ids[64];
    model_init(&m);
    train(&m, 3, 1);
    train(&m, 2, 2);
    tamper(&m, "UPDATE sample SET label = -1, image = zeroblob(63) WHERE id IN (2, 4, 5)");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    ARE(ids, lineage_diff(&m, 1, 3, ids), 3, 1);
    ck_assert_uint_eq(lineage_diff(&m, 2, 3, ids), 0);
    model_fini(&m);
}
END_TEST

START_TEST(training_may_go_on_between_two_of_them)
{
    struct model m;
    struct store_lineage_diff *it;
    struct store_lineage_diff_sample sample;
    uint8_t pixels[MODEL_PIXELS];
    model_init(&m);
    train(&m, 3, 1);
    must(&m, store_lineage_diff_open(&it, m.store, 1, 2, &m.err));
    for (int64_t id = 3; id >= 1; id--) {
        ck_assert_int_eq(store_lineage_diff_next(it, &sample, pixels, sizeof pixels, &m.err), 1);
        ck_assert_int_eq(sample.id, id);
        train(&m, 2, (uint64_t)id + 10);
        must(&m, store_checkpoint(m.store, true, &m.err));
    }
    ck_assert_int_eq(store_lineage_diff_next(it, &sample, pixels, sizeof pixels, &m.err), 0);
    store_lineage_diff_close(it);
    model_fini(&m);
}
END_TEST

START_TEST(a_revision_that_is_none_is_not_found)
{
    struct model m;
    struct store_lineage_diff *it;
    model_init(&m);
    must_fail(&m, ERR_NOT_FOUND, store_lineage_diff_open(&it, m.store, 1, 2, &m.err));
    must_fail(&m, ERR_NOT_FOUND, store_lineage_diff_open(&it, m.store, 0, 1, &m.err));
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lineage_diff");
    TCase *tests = tcase_create("lineage_diff");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, of_two_revisions_on_one_line_those_after_the_earlier_come_newest_first);
    tcase_add_test(tests, of_two_branches_each_has_its_own_and_what_both_have_is_left_out);
    tcase_add_test(tests, forgotten_samples_are_skipped_also_a_whole_event_of_them);
    tcase_add_test(tests, training_may_go_on_between_two_of_them);
    tcase_add_test(tests, a_revision_that_is_none_is_not_found);
    return run_suite(suite);
}
