/* test_replay_buffer.c - the replay buffer of past samples on its ways back: through snapshots that keep ids, through replay, through going
 * back; and what becomes of it when its images are damaged.
 *
 * The model of model/model.h rehearses 4 samples for each new one, shifted by 1 pixel and turned by 10 degrees. Its classes
 * have 1000 slots each, so that it takes more than 3000 samples until some are replaced. */
#include "tests/store/model.h"

/* n times 60 samples: 20 a class, nearly. */
static void train_much(struct model *m, uint32_t n, uint64_t seed)
{
    must(m, store_begin(m->store, &m->err));
    for (uint32_t i = 0; i < n; i++)
        append_train(m, 60, seed + i);
    must(m, store_commit(m->store, &m->err));
}

/* Past the first filling: samples are replaced. */
static void model_full(struct model *m)
{
    model_init(m);
    train_much(m, 60, 100);
    ck_assert_uint_gt(m->learner->buffer->seen[0], m->learner->settings.rehearsal_buffer);
    ck_assert_uint_gt(m->learner->buffer->seen[1], m->learner->settings.rehearsal_buffer);
    ck_assert_uint_eq(m->learner->buffer->share, m->learner->settings.rehearsal_buffer);
}

/* Both go on alike: what they rehearse is the same. */
static void same_future(struct model *m, struct learner *a, struct learner *b)
{
    for (uint64_t i = 0; i < 3; i++) {
        struct event event = train_event(a->revision + 1, 30, a->n_classes, 7000 + i);
        must(m, learner_apply(a, &event, &m->err));
        event = train_event(b->revision + 1, 30, b->n_classes, 7000 + i);
        must(m, learner_apply(b, &event, &m->err));
    }
    same_state(a, b);
    ck_assert(replay_buffer_check(a->buffer) && replay_buffer_check(b->buffer));
}

START_TEST(a_snapshot_brings_its_buffer_back)
{
    struct model m;
    struct learner *back;
    model_full(&m);
    snapshot(&m);
    struct learner *then = keep(&m);
    train_much(&m, 3, 900);
    must(&m, store_snapshot_load(m.store, 2, NULL, &back, &m.err));
    same_state(back, then);
    ck_assert(replay_buffer_check(back->buffer));
    same_future(&m, back, then);
    learner_free(back);
    learner_free(then);
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_writes_no_image_a_second_time)
{
    struct model m;
    model_full(&m);
    snapshot(&m);
    size_t images = 3000 * MODEL_PIXELS, ids = 3000 * (sizeof(int64_t) + 1), rest = 16000; /* 12 of it outcomes */
    long long bytes = strtoll(ask(&m, "SELECT length(state) FROM snapshot WHERE id = 2"), NULL, 10);
    ck_assert_int_lt(bytes, (long long)(ids + rest));
    ck_assert_uint_gt(images, ids + rest);
    model_fini(&m);
}
END_TEST

START_TEST(recovery_rehearses_what_was_rehearsed)
{
    struct model m;
    model_full(&m);
    train_much(&m, 2, 300);
    (void)recovers(&m); /* from nothing */
    snapshot(&m);
    train_much(&m, 2, 400);
    in_group(&m, append_class(&m, CLASS_ADD, 3, "d"); append_tune(&m, 0.1F, GRADIENT_JACOBIAN));
    train_much(&m, 2, 500);
    in_group(&m, append_rehearse(&m, 1, 90, 7));
    train_much(&m, 1, 600);
    struct store_recovery report = recovers(&m);
    ck_assert_int_eq(report.snapshot, 2);
    verifies(&m);
    struct learner *back;
    must(&m, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    same_future(&m, back, m.learner);
    learner_free(back);
    model_fini(&m);
}
END_TEST

START_TEST(going_back_goes_back_to_the_buffer_of_then)
{
    struct model m;
    struct learner *at;
    model_full(&m);
    snapshot(&m);
    struct learner *then = keep(&m);
    train_much(&m, 4, 700);
    struct learner *later = keep(&m);
    in_group(&m, append_activate(&m, then));
    train_much(&m, 2, 800);
    (void)recovers(&m);
    verifies(&m);
    must(&m, state_at(m.store, later->revision, &at, &m.err));
    same_state(at, later);
    same_future(&m, at, later);
    learner_free(at);
    must(&m, state_at(m.store, then->revision, &at, &m.err));
    same_state(at, then);
    same_future(&m, at, then);
    learner_free(at);
    learner_free(later);
    learner_free(then);
    model_fini(&m);
}
END_TEST

/* The replay buffer of the newest snapshot, by ids: the first sample that it remembers. */
static int64_t remembered(const struct model *m)
{
    return replay_buffer_id(m->learner->buffer, 0, 0);
}

static void damage_sample(struct model *m, int64_t id)
{
    char sql[200];
    (void)snprintf(sql, sizeof sql, "UPDATE sample SET image = CAST(x'01' || substr(image, 2) AS BLOB) WHERE id = %lld",
                   (long long)id);
    tamper(m, sql);
    must(m, store_open(&m->store, m->path, false, &m->err));
}

START_TEST(a_snapshot_whose_images_were_changed_is_not_learned_from)
{
    struct model m;
    struct learner *back = NULL;
    model_init(&m);
    train(&m, 30, 1);
    snapshot(&m);
    damage_sample(&m, remembered(&m));
    must_fail(&m, ERR_DB_CORRUPT, store_snapshot_load(m.store, 2, NULL, &back, &m.err));
    must_say(&m, "replay buffer");
    ck_assert_ptr_null(back);
    must_fail(&m, ERR_DB_CORRUPT, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    ck_assert_ptr_null(back);
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_whose_images_were_changed_still_predicts)
{
    struct model m;
    struct learner *served = NULL;
    struct store_recovery report;
    model_init(&m);
    train(&m, 30, 1);
    snapshot(&m);
    struct learner *then = keep(&m);
    in_group(&m, append_class(&m, CLASS_RENAME, 0, "renamed"));
    struct learner *renamed = keep(&m);
    train(&m, 5, 2);
    damage_sample(&m, remembered(&m));
    store_close(m.store);
    m.store = NULL;
    must(&m, store_salvage(&m.store, m.path, NULL, NULL, NULL, &served, &report, &m.err));
    same_state(served, renamed); /* the last before something would have been learned */
    ck_assert_int_eq(report.snapshot, 2);
    learner_free(served);
    learner_free(then);
    learner_free(renamed);
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_whose_images_are_missing_is_not_learned_from)
{
    struct model m;
    struct learner *back = NULL;
    model_init(&m);
    train(&m, 30, 1);
    snapshot(&m);
    char sql[100];
    (void)snprintf(sql, sizeof sql, "DELETE FROM sample WHERE id = %lld", (long long)remembered(&m));
    tamper(&m, sql);
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_snapshot_load(m.store, 2, NULL, &back, &m.err));
    must_say(&m, "missing");
    model_fini(&m);
}
END_TEST

START_TEST(an_event_is_numbered_before_it_is_applied)
{
    struct model m;
    model_init(&m);
    train(&m, 7, 1);
    struct event event = train_event(0, 3, 3, 2);
    store_next(m.store, &event);
    ck_assert_uint_eq(event.revision, 3);
    ck_assert_int_gt(event.created_us, 0);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(event.as.train.samples[i].id, 8 + i);
    /* it was not appended, so the next one is numbered alike */
    struct event tune = {.kind = EVENT_TUNE, .created_us = 5};
    store_next(m.store, &tune);
    ck_assert_uint_eq(tune.revision, 3);
    ck_assert_int_eq(tune.created_us, 5);
    event = train_event(0, 1, 3, 3);
    store_next(m.store, &event);
    ck_assert_int_eq(event.as.train.samples[0].id, 8);
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_of_another_form_is_skipped)
{
    struct model m;
    model_init(&m);
    train(&m, 30, 1);
    snapshot(&m);
    train(&m, 5, 2);
    tamper(&m, "UPDATE snapshot SET state = CAST(x'02' || substr(state, 2) AS BLOB) WHERE id = 2");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    struct store_recovery report = recovers(&m);
    ck_assert_uint_eq(report.skipped, 1);
    ck_assert_int_eq(report.snapshot, 1);
    ck_assert_msg(strstr(report.warning, "form 2") != NULL, "%s", report.warning);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay_buffer");
    TCase *tcase = tcase_create("replay_buffer");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, a_snapshot_brings_its_buffer_back);
    tcase_add_test(tcase, a_snapshot_writes_no_image_a_second_time);
    tcase_add_test(tcase, recovery_rehearses_what_was_rehearsed);
    tcase_add_test(tcase, going_back_goes_back_to_the_buffer_of_then);
    tcase_add_test(tcase, a_snapshot_whose_images_were_changed_is_not_learned_from);
    tcase_add_test(tcase, a_snapshot_whose_images_were_changed_still_predicts);
    tcase_add_test(tcase, a_snapshot_whose_images_are_missing_is_not_learned_from);
    tcase_add_test(tcase, an_event_is_numbered_before_it_is_applied);
    tcase_add_test(tcase, a_snapshot_of_another_form_is_skipped);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
