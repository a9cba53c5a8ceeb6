/* test_replayer.c - a past state made again in steps: the same whatever the steps are, and whatever happens in between. */
#include "store/replay/replayer.h"
#include "tests/store/model.h"

/* What the steps must not disturb, and what must not disturb them: a log with some of everything. past[r]: the state of revision r. */
#define REVISIONS 40

static void live_a_life(struct model *m, struct learner **past)
{
    model_init(m);
    past[1] = keep(m);
    for (uint64_t revision = 2; revision <= REVISIONS; revision++) {
        must(m, store_begin(m->store, &m->err));
        if (revision % 13 == 0)
            append_activate(m, past[revision - 6]);
        else if (revision % 9 == 0)
            append_class(m, CLASS_ADD, m->learner->n_classes, (char[]){(char)('A' + m->learner->n_classes), 0});
        else if (revision % 7 == 0)
            append_rehearse(m, 3, INT64_MAX, revision);
        else if (revision % 11 == 0)
            append_tune(m, 0.01F * (float)revision, GRADIENT_JACOBIAN);
        else
            append_train(m, 1 + (uint32_t)(revision * 5 % 12), revision);
        must(m, store_commit(m->store, &m->err));
        if (revision % 10 == 5)
            snapshot(m);
        past[revision] = keep(m);
    }
}

static void end_a_life(struct model *m, struct learner **past)
{
    for (uint64_t revision = 1; revision <= REVISIONS; revision++)
        learner_free(past[revision]);
    model_fini(m);
}

static struct store_replayer *open_at(struct model *m, uint64_t target, uint64_t baseline)
{
    struct store_replayer *r;
    const struct replay_want want = {.target = target, .from = baseline};
    must(m, store_replayer_open(&r, m->store, &want, &m->err));
    return r;
}

/* Steps of n samples to the end; the state, and the replayer closed. */
static struct learner *run(struct model *m, struct store_replayer *r, uint64_t n)
{
    int status;
    while ((status = store_replayer_step(r, n, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
    struct learner *state = store_replayer_take(r);
    store_replayer_close(r);
    return state;
}

START_TEST(steps_of_any_size_lead_to_the_state_of_every_revision)
{
    static const uint64_t sizes[] = {1, 2, 7, 1000};
    struct model m;
    struct learner *past[REVISIONS + 1] = {NULL};
    live_a_life(&m, past);
    for (uint64_t revision = 1; revision <= REVISIONS; revision++) {
        struct learner *state = run(&m, open_at(&m, revision, 0), sizes[revision % 4]);
        same_state(state, past[revision]);
        learner_free(state);
    }
    end_a_life(&m, past);
}
END_TEST

START_TEST(a_replay_starts_at_its_ground_or_before)
{
    struct model m;
    struct learner *past[REVISIONS + 1] = {NULL};
    live_a_life(&m, past);
    for (uint64_t baseline = 1; baseline <= REVISIONS; baseline++) {
        struct store_replayer *r = open_at(&m, REVISIONS, baseline);
        ck_assert_uint_le(store_replayer_place(r), baseline);
        struct learner *state = run(&m, r, 9);
        same_state(state, past[REVISIONS]);
        learner_free(state);
    }
    end_a_life(&m, past);
}
END_TEST

START_TEST(a_state_that_was_replayed_goes_on_learning_like_the_live_one)
{
    struct model m;
    model_init(&m);
    for (uint64_t i = 1; i < 9; i++)
        train(&m, 9, i);
    struct learner *state = run(&m, open_at(&m, store_revision(m.store), 1), 4);
    for (uint64_t i = 9; i < 12; i++) {
        struct event event = train_event(state->revision + 1, 9, state->n_classes, i);
        store_next(m.store, &event);
        must(&m, learner_apply(state, &event, &m.err));
        train(&m, 9, i);
    }
    same_state(state, m.learner);
    learner_free(state);
    model_fini(&m);
}
END_TEST

START_TEST(between_two_steps_the_store_does_all_else)
{
    struct model m;
    struct store_snapshot taken;
    model_init(&m);
    for (uint64_t i = 1; i < 9; i++)
        train(&m, 11, i);
    in_group(&m, append_rehearse(&m, 1, INT64_MAX, 5));
    struct learner *then = keep(&m);
    struct store_replayer *r = open_at(&m, store_revision(m.store), 1);
    for (uint64_t i = 0; store_replayer_step(r, 3, &m.err) == 1; i++) {
        train(&m, 2, 100 + i);
        if (i % 4 == 1)
            in_group(&m, append_rehearse(&m, 2, INT64_MAX, i));
        if (i % 4 == 2) {
            must(&m, store_begin(m.store, &m.err));
            struct event event = train_event(m.learner->revision + 1, 1, 3, i);
            store_next(m.store, &event);
            must(&m, store_append(m.store, &event, &m.err));
            store_rollback(m.store);
        }
        must(&m, store_snapshot(m.store, m.learner, "request", NULL, false, &taken, &m.err));
        must(&m, store_snapshots_prune(m.store, 1, &m.err));
        must(&m, store_checkpoint(m.store, true, &m.err));
        ck_assert_uint_eq(store_wal_bytes(m.store), 0);
    }
    struct learner *state = run(&m, r, 1);
    same_state(state, then);
    learner_free(state);
    learner_free(then);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_replay_catches_up_with_a_log_that_grows)
{
    struct model m;
    model_init(&m);
    for (uint64_t i = 1; i < 6; i++)
        train(&m, 10, i);
    struct store_replayer *r = open_at(&m, store_revision(m.store), 1);
    uint64_t rounds = 0;
    for (;; rounds++) {
        int status = store_replayer_step(r, 7, &m.err);
        ck_assert_msg(status >= 0, "%s", m.err.text);
        if (status == 0 && store_replayer_place(r) == store_revision(m.store))
            break;
        if (rounds % 5 == 4 && rounds < 12)
            in_group(&m, append_rehearse(&m, 1, INT64_MAX, rounds));
        else if (rounds < 12)
            train(&m, 3, 50 + rounds);
        must(&m, store_replayer_extend(r, store_revision(m.store), &m.err));
        ck_assert_uint_lt(rounds, 1000);
    }
    ck_assert_uint_gt(rounds, 12);
    struct learner *state = run(&m, r, 1);
    same_state(state, m.learner);
    learner_free(state);
    model_fini(&m);
}
END_TEST

START_TEST(progress_counts_every_sample_and_ends_at_the_total)
{
    struct model m;
    uint64_t done, total, before = 0;
    model_init(&m);
    for (uint64_t i = 1; i < 6; i++)
        train(&m, 10, i);
    in_group(&m, append_rehearse(&m, 1, INT64_MAX, 5));
    struct store_replayer *r = open_at(&m, store_revision(m.store), 1);
    store_replayer_progress(r, &done, &total);
    ck_assert_uint_eq(done, 0);
    ck_assert_uint_eq(total, 100);
    while (store_replayer_step(r, 3, &m.err) == 1) {
        store_replayer_progress(r, &done, &total);
        ck_assert(done >= before && done < 100 && total == 100); /* a step may come to nothing but reading */
        before = done;
    }
    store_replayer_progress(r, &done, &total);
    ck_assert(done == 100 && total == 100);
    store_replayer_close(r);
    model_fini(&m);
}
END_TEST

START_TEST(a_damaged_row_ends_the_replay_and_is_named)
{
    struct model m;
    model_init(&m);
    for (uint64_t i = 1; i < 6; i++)
        train(&m, 4, i);
    tamper(&m, "UPDATE sample SET image = zeroblob(length(image)) WHERE id = 9");
    model_reopen(&m);
    struct store_replayer *r = open_at(&m, store_revision(m.store), 1);
    int status;
    while ((status = store_replayer_step(r, 1, &m.err)) == 1)
        ;
    ck_assert_int_eq(status, -1);
    ck_assert_int_eq(m.err.code, ERR_DB_CORRUPT);
    must_say(&m, "revision 4");
    store_replayer_close(r);
    model_fini(&m);
}
END_TEST

/* The samples of a rehearsal after the snapshot stand before it: their rows are checked as well. */
START_TEST(what_a_later_rehearsal_reads_is_checked_as_well)
{
    struct model m;
    model_init(&m);
    for (uint64_t i = 1; i < 6; i++)
        train(&m, 4, i);
    snapshot(&m);
    in_group(&m, append_rehearse(&m, 5, INT64_MAX, 5));
    tamper(&m, "UPDATE sample SET label = 1 - label WHERE id = 9");
    model_reopen(&m);
    struct store_replayer *r = open_at(&m, 6, 0);
    ck_assert_int_eq(store_replayer_step(r, 1, &m.err), 0);
    ck_assert_int_eq(store_replayer_extend(r, 7, &m.err), 0);
    int status;
    while ((status = store_replayer_step(r, 1, &m.err)) == 1)
        ;
    ck_assert_int_eq(status, -1);
    must_say(&m, "revision 4");
    store_replayer_close(r);
    model_fini(&m);
}
END_TEST

START_TEST(a_revision_that_never_was_is_not_replayed)
{
    struct model m;
    struct store_replayer *r;
    model_init(&m);
    train(&m, 1, 1);
    must_fail(&m, ERR_NOT_FOUND, store_replayer_open(&r, m.store, &(struct replay_want){.target = 3}, &m.err));
    must_fail(&m, ERR_NOT_FOUND, store_replayer_open(&r, m.store, &(struct replay_want){.target = 0}, &m.err));
    ck_assert_ptr_null(r);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replayer");
    TCase *t = tcase_create("replayer");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, steps_of_any_size_lead_to_the_state_of_every_revision);
    tcase_add_test(t, a_replay_starts_at_its_ground_or_before);
    tcase_add_test(t, a_state_that_was_replayed_goes_on_learning_like_the_live_one);
    tcase_add_test(t, between_two_steps_the_store_does_all_else);
    tcase_add_test(t, a_replay_catches_up_with_a_log_that_grows);
    tcase_add_test(t, progress_counts_every_sample_and_ends_at_the_total);
    tcase_add_test(t, a_damaged_row_ends_the_replay_and_is_named);
    tcase_add_test(t, what_a_later_rehearsal_reads_is_checked_as_well);
    tcase_add_test(t, a_revision_that_never_was_is_not_replayed);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
