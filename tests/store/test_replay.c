/* test_replay.c - from the file back to the state: after each kind of event, from each place, along each branch. */
#include "tests/store/model.h"

START_TEST(recovery_follows_an_added_class)
{
    struct model m;
    model_init(&m);
    train(&m, 5, 1);
    in_group(&m, append_class(&m, CLASS_ADD, 3, "d"));
    train(&m, 9, 2);
    ck_assert_uint_eq(m.learner->n_classes, 4);
    (void)recovers(&m);
    snapshot(&m);
    ck_assert_uint_eq(recovers(&m).snapshot_revision, 4);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(recovery_follows_more_classes_than_a_new_learner_has_room_for)
{
    struct model m;
    model_init(&m);
    for (uint32_t i = 3; i < 70; i++) {
        char label[16];
        (void)snprintf(label, sizeof label, "class %u", i);
        in_group(&m, append_class(&m, CLASS_ADD, i, label); append_train(&m, 2, i));
    }
    (void)recovers(&m);
    snapshot(&m);
    train(&m, 10, 99);
    ck_assert_uint_eq(recovers(&m).events, 1);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(recovery_follows_a_rename)
{
    struct model m;
    model_init(&m);
    train(&m, 5, 1);
    in_group(&m, append_class(&m, CLASS_RENAME, 1, "beta"));
    (void)recovers(&m);
    struct learner *back;
    must(&m, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    ck_assert_str_eq(back->labels[1], "beta");
    learner_free(back);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(recovery_follows_tuning)
{
    struct model m;
    model_init(&m);
    train(&m, 5, 1);
    in_group(&m, append_tune(&m, 0.9F, GRADIENT_JACOBIAN));
    train(&m, 5, 2);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(recovery_follows_a_rehearsal)
{
    struct model m;
    model_init(&m);
    train(&m, 20, 1);
    in_group(&m, append_rehearse(&m, 4, 17, 12345));
    train(&m, 5, 2);
    in_group(&m, append_rehearse(&m, 1, 25, 12346));
    ck_assert_uint_eq(m.learner->step, 20 * MODEL_STEPS + 14 + 5 * MODEL_STEPS + 25);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_rehearsal_of_ids_beyond_the_end_means_those_that_were_there_then)
{
    struct model m;
    model_init(&m);
    train(&m, 10, 1);
    in_group(&m, append_rehearse(&m, -5, 1000000, 1));
    ck_assert_uint_eq(m.learner->step, 10 * MODEL_STEPS + 10);
    train(&m, 10, 2);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(recovery_follows_a_way_back)
{
    struct model m;
    model_init(&m);
    train(&m, 5, 1);
    struct learner *early = keep(&m);
    train(&m, 5, 2);
    in_group(&m, append_class(&m, CLASS_ADD, 3, "left behind"));
    in_group(&m, append_activate(&m, early));
    (void)recovers(&m);
    train(&m, 5, 3);
    (void)recovers(&m);
    learner_free(early);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_that_was_left_behind_is_not_a_start)
{
    struct model m;
    model_init(&m);
    train(&m, 5, 1);
    struct learner *early = keep(&m);
    train(&m, 5, 2);
    snapshot(&m); /* of revision 3 */
    in_group(&m, append_activate(&m, early));
    train(&m, 5, 3);
    struct store_recovery report = recovers(&m);
    ck_assert_uint_eq(report.snapshot_revision, 1);
    ck_assert_uint_eq(report.skipped, 0);
    ck_assert_uint_eq(report.events, 2); /* 2 and 5 */
    learner_free(early);
    verifies(&m);
    model_fini(&m);
}
END_TEST

/* Branches of branches: the state of every revision there ever was can be had again. */
START_TEST(every_revision_can_be_visited_after_many_ways_back)
{
    enum { N = 60 };
    struct model m;
    struct learner *past[N + 1] = {NULL};
    model_init(&m);
    past[1] = keep(&m);
    for (uint64_t revision = 2; revision <= N; revision++) {
        uint64_t draw = mix(revision * 3);
        must(&m, store_begin(m.store, &m.err));
        if (draw % 5 == 0)
            append_activate(&m, past[1 + draw / 5 % (revision - 1)]);
        else if (draw % 11 == 1 && m.learner->n_classes < 10)
            append_class(&m, CLASS_ADD, m.learner->n_classes, (char[]){(char)('A' + m.learner->n_classes), 0});
        else if (draw % 11 == 2)
            append_tune(&m, 0.01F * (float)(1 + draw % 50), draw % 2 ? GRADIENT_DIAGONAL : GRADIENT_JACOBIAN);
        else
            append_train(&m, 1 + (uint32_t)(draw % 4), revision);
        must(&m, store_commit(m.store, &m.err));
        if (draw % 7 == 0)
            snapshot(&m);
        past[revision] = keep(&m);
    }
    (void)recovers(&m);
    for (uint64_t revision = 1; revision <= N; revision++) {
        struct learner *state;
        must(&m, state_at(m.store, revision, &state, &m.err));
        same_state(state, past[revision]);
        learner_free(state);
        learner_free(past[revision]);
    }
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_revision_that_never_was_cannot_be_visited)
{
    struct model m;
    struct learner *state;
    model_init(&m);
    train(&m, 1, 1);
    must_fail(&m, ERR_NOT_FOUND, state_at(m.store, 3, &state, &m.err));
    must_fail(&m, ERR_NOT_FOUND, state_at(m.store, 0, &state, &m.err));
    ck_assert_ptr_null(state);
    model_fini(&m);
}
END_TEST

START_TEST(recovery_starts_from_the_newest_snapshot)
{
    struct model m;
    model_init(&m);
    train(&m, 5, 1);
    snapshot(&m);
    train(&m, 5, 2);
    snapshot(&m);
    train(&m, 5, 3);
    struct store_recovery report = recovers(&m);
    ck_assert_uint_eq(report.snapshot_revision, 3);
    ck_assert_uint_eq(report.events, 1);
    ck_assert_uint_eq(report.samples, 5);
    ck_assert_str_eq(report.warning, "");
    model_fini(&m);
}
END_TEST

START_TEST(recovery_needs_no_snapshot_when_the_weights_were_drawn)
{
    struct model m;
    model_init(&m);
    train(&m, 5, 1);
    tamper(&m, "DELETE FROM tensor; DELETE FROM snapshot");
    struct store_recovery report = recovers(&m);
    ck_assert_int_eq(report.snapshot, 0);
    ck_assert_uint_eq(report.events, 1);
    verifies(&m);
    model_fini(&m);
}
END_TEST

static void init_with_given_weights(struct model *m)
{
    static float k[3 * 9], w01[36 * 7], w12[7 * 3];
    struct event create = model_origin();
    for (size_t i = 0; i < 27; i++)
        k[i] = (float)(int64_t)(mix(i) % 100) / 100.0F - 0.5F;
    for (size_t i = 0; i < 252; i++)
        w01[i] = (float)(int64_t)(mix(i + 1000) % 100) / 300.0F;
    for (size_t i = 0; i < 21; i++)
        w12[i] = -(float)(int64_t)(mix(i + 2000) % 100) / 200.0F;
    create.as.create.k = k;
    create.as.create.w01 = w01;
    create.as.create.w12 = w12;
    model_init_from(m, &create);
}

START_TEST(given_weights_come_back_from_their_snapshot)
{
    struct model m;
    init_with_given_weights(&m);
    train(&m, 10, 1);
    (void)recovers(&m);
    verifies(&m);
    ck_assert_str_eq(ask(&m, "SELECT body ->> '$.tensors' FROM event WHERE revision = 1"), "given");
    model_fini(&m);
}
END_TEST

START_TEST(given_weights_that_are_lost_are_told)
{
    struct model m;
    struct learner *back;
    init_with_given_weights(&m);
    train(&m, 10, 1);
    tamper(&m, "DELETE FROM tensor; DELETE FROM snapshot");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    must_say(&m, "revision 1");
    must_say(&m, "given weights");
    model_fini(&m);
}
END_TEST

START_TEST(a_model_without_kernels_comes_back)
{
    struct model m;
    struct event create = model_origin();
    create.as.create.shape.kernels = 0;
    model_init_from(&m, &create);
    train(&m, 10, 1);
    snapshot(&m);
    train(&m, 10, 2);
    ck_assert_uint_eq(recovers(&m).snapshot_revision, 2);
    verifies(&m);
    ck_assert_str_eq(ask(&m, "SELECT count(*) FROM tensor WHERE name = 'kernels'"), "0");
    model_fini(&m);
}
END_TEST

START_TEST(every_instruction_set_recovers_the_same_state)
{
    struct model m;
    const struct arith *arith;
    model_init(&m);
    for (uint64_t i = 0; i < 20; i++)
        train(&m, 5, i);
    for (unsigned i = 0; (arith = arith_nth(i)) != NULL; i++) {
        struct learner *back;
        must(&m, store_recover(m.store, arith, NULL, NULL, &back, NULL, &m.err));
        ck_assert_ptr_eq(back->arith, arith);
        same_state(back, m.learner);
        learner_free(back);
    }
    model_fini(&m);
}
END_TEST

struct progress {
    uint64_t calls, done, total, stop_at;
};

static int count_progress(void *context, uint64_t done, uint64_t total)
{
    struct progress *p = context;
    ck_assert_uint_gt(done, p->done);
    ck_assert_uint_le(done, total);
    *p = (struct progress){p->calls + 1, done, total, p->stop_at};
    return done == p->stop_at;
}

START_TEST(recovery_reports_how_far_it_is_and_can_be_stopped)
{
    struct model m;
    struct learner *back;
    struct progress p = {0};
    model_init(&m);
    for (uint64_t i = 0; i < 20; i++)
        train(&m, 1, i);
    must(&m, store_recover(m.store, NULL, count_progress, &p, &back, NULL, &m.err));
    learner_free(back);
    ck_assert(p.calls == 20 && p.done == 20 && p.total == 20);
    p = (struct progress){.stop_at = 5};
    must_fail(&m, ERR_STOPPING, store_recover(m.store, NULL, count_progress, &p, &back, NULL, &m.err));
    ck_assert_uint_eq(p.calls, 5);
    ck_assert_ptr_null(back);
    p = (struct progress){.stop_at = 7};
    must_fail(&m, ERR_STOPPING, store_verify(m.store, NULL, count_progress, &p, NULL, &m.err));
    ck_assert_uint_eq(p.calls, 7);
    verifies(&m);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");
    TCase *t = tcase_create("replay");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, recovery_follows_an_added_class);
    tcase_add_test(t, recovery_follows_more_classes_than_a_new_learner_has_room_for);
    tcase_add_test(t, recovery_follows_a_rename);
    tcase_add_test(t, recovery_follows_tuning);
    tcase_add_test(t, recovery_follows_a_rehearsal);
    tcase_add_test(t, a_rehearsal_of_ids_beyond_the_end_means_those_that_were_there_then);
    tcase_add_test(t, recovery_follows_a_way_back);
    tcase_add_test(t, a_snapshot_that_was_left_behind_is_not_a_start);
    tcase_add_test(t, every_revision_can_be_visited_after_many_ways_back);
    tcase_add_test(t, a_revision_that_never_was_cannot_be_visited);
    tcase_add_test(t, recovery_starts_from_the_newest_snapshot);
    tcase_add_test(t, recovery_needs_no_snapshot_when_the_weights_were_drawn);
    tcase_add_test(t, given_weights_come_back_from_their_snapshot);
    tcase_add_test(t, given_weights_that_are_lost_are_told);
    tcase_add_test(t, a_model_without_kernels_comes_back);
    tcase_add_test(t, every_instruction_set_recovers_the_same_state);
    tcase_add_test(t, recovery_reports_how_far_it_is_and_can_be_stopped);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
