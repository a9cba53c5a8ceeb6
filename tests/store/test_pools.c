/* test_pools.c - the pool of past samples on its ways back: through snapshots that keep ids, through replay, through going
 * back, from a file of before there were pools; and what becomes of it when its images are damaged.
 *
 * The model of model.h rehearses 4 samples for each new one, shifted by 1 pixel and turned by 10 degrees. Its classes
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
    ck_assert_uint_gt(m->learner->pool->seen[0], POOL_CLASS_MAX);
    ck_assert_uint_gt(m->learner->pool->seen[1], POOL_CLASS_MAX);
    ck_assert_uint_eq(m->learner->pool->share, POOL_CLASS_MAX);
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
    ck_assert(pool_check(a->pool) && pool_check(b->pool));
}

START_TEST(a_snapshot_brings_its_pool_back)
{
    struct model m;
    struct learner *back;
    model_full(&m);
    snapshot(&m);
    struct learner *then = keep(&m);
    train_much(&m, 3, 900);
    must(&m, store_snapshot_load(m.store, 2, NULL, &back, &m.err));
    same_state(back, then);
    ck_assert(pool_check(back->pool));
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
    size_t images = 3000 * MODEL_PIXELS, ids = 3000 * (sizeof(int64_t) + 1), rest = 12000;
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

START_TEST(going_back_goes_back_to_the_pool_of_then)
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
    must(&m, store_state_at(m.store, later->revision, NULL, &at, &m.err));
    same_state(at, later);
    same_future(&m, at, later);
    learner_free(at);
    must(&m, store_state_at(m.store, then->revision, NULL, &at, &m.err));
    same_state(at, then);
    same_future(&m, at, then);
    learner_free(at);
    learner_free(later);
    learner_free(then);
    model_fini(&m);
}
END_TEST

/* The pool of the newest snapshot, by ids: the first sample that it remembers. */
static int64_t remembered(const struct model *m)
{
    return pool_id(m->learner->pool, 0, 0);
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
    must_say(&m, "remembers");
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

START_TEST(a_snapshot_of_a_form_that_was_never_released_is_passed_over)
{
    struct model m;
    model_init(&m);
    train(&m, 30, 1);
    snapshot(&m);
    train(&m, 5, 2);
    tamper(&m, "UPDATE snapshot SET state = CAST(x'02' || substr(state, 2) AS BLOB) WHERE id = 2");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    struct store_recovery report = recovers(&m);
    ck_assert_uint_eq(report.passed_over, 1);
    ck_assert_int_eq(report.snapshot, 1);
    ck_assert_msg(strstr(report.warning, "version 2") != NULL, "%s", report.warning);
    model_fini(&m);
}
END_TEST

/* ---- a file of the first version ---- */

static const char *const first_version_digests[] = {
    NULL,
    NULL,
    "ea8940cd04164bd9674e1f21de72bc5a15536ecd7af56e02d3701c4a12da3b49", /* snapshot 2, revision 4  */
    "0347c51fef14fc21d5620774c261064962da884cf0d21237ae0295045dc7f0a0", /* snapshot 3, revision 8  */
    "ea8940cd04164bd9674e1f21de72bc5a15536ecd7af56e02d3701c4a12da3b49", /* snapshot 4, revision 9  */
    "676b7a595f20df15880a7d61ae991f451f1bd59f8afd99ba88b78a701b552946", /* snapshot 5, revision 11 */
};

static void model_of_first_version(struct model *m)
{
    static char sql[1 << 16];
    sqlite3 *db = NULL;
    model_folder(m);
    FILE *file = fopen("tests/store/version-1.sql", "r");
    ck_assert_msg(file != NULL, "run from the top of the tree");
    sql[fread(sql, 1, sizeof sql - 1, file)] = '\0';
    ck_assert(feof(file));
    (void)fclose(file);
    ck_assert_int_eq(sqlite3_open(m->path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    must(m, store_open(&m->store, m->path, false, &m->err));
    must(m, store_recover(m->store, NULL, NULL, NULL, &m->learner, NULL, &m->err));
}

static void expect_digest_1(const struct learner *learner, const char *hex)
{
    uint8_t digest[DIGEST_BYTES];
    learner_digest_1(learner, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        char byte[3];
        (void)snprintf(byte, sizeof byte, "%02x", digest[i]);
        ck_assert_msg(memcmp(byte, hex + 2 * i, 2) == 0, "byte %zu is %s in %s", i, byte, hex);
    }
}

START_TEST(a_file_of_the_first_version_is_what_it_was)
{
    struct model m;
    model_of_first_version(&m);
    ck_assert_uint_eq(m.learner->revision, 11);
    ck_assert_uint_eq(m.learner->step, 32);
    ck_assert_uint_eq(m.learner->settings.rehearsal, 0);
    expect_digest_1(m.learner, first_version_digests[5]);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_of_the_first_version_gets_the_pool_that_a_replay_makes)
{
    struct model m;
    model_of_first_version(&m);
    for (int64_t id = 2; id <= 5; id++) {
        struct learner *snapshot = NULL, *replayed = NULL;
        must(&m, store_snapshot_load(m.store, id, NULL, &snapshot, &m.err));
        expect_digest_1(snapshot, first_version_digests[id]);
        ck_assert(!learner_lacks_pool(snapshot));
        uint64_t revision = snapshot->revision;
        store_close(m.store);
        m.store = NULL;
        struct model other; /* the same file, but for the snapshots */
        model_of_first_version(&other);
        tamper(&other, "DELETE FROM snapshot WHERE id > 1");
        must(&other, store_open(&other.store, other.path, false, &other.err));
        must(&other, store_state_at(other.store, revision, NULL, &replayed, &other.err));
        same_state(snapshot, replayed);
        snapshot->settings.rehearsal = replayed->settings.rehearsal = 4;
        same_future(&m, snapshot, replayed);
        learner_free(snapshot);
        learner_free(replayed);
        model_fini(&other);
        must(&m, store_open(&m.store, m.path, false, &m.err));
    }
    model_fini(&m);
}
END_TEST

START_TEST(a_model_of_the_first_version_can_take_up_rehearsing)
{
    struct model m;
    model_of_first_version(&m);
    struct event tune = next_event(&m, EVENT_TUNE);
    tune.as.tune.settings = m.learner->settings;
    tune.as.tune.settings.rehearsal = 4;
    tune.as.tune.settings.jitter = 1.0F;
    tune.as.tune.settings.rotation = 10.0F;
    must(&m, learner_apply(m.learner, &tune, &m.err));
    in_group(&m, must(&m, store_append(m.store, &tune, &m.err)));
    static uint8_t pixels[20][36];
    struct sample samples[20];
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t j = 0; j < 36; j++)
            pixels[i][j] = (uint8_t)mix(i * 36 + j);
        samples[i] = (struct sample){.label = i % 3, .pixels = pixels[i]};
    }
    struct event train = {.kind = EVENT_TRAIN, .as.train = {.n = 20, .samples = samples}};
    store_next(m.store, &train);
    must(&m, learner_apply(m.learner, &train, &m.err));
    in_group(&m, must(&m, store_append(m.store, &train, &m.err)));
    ck_assert_uint_eq(m.learner->step, 32 + 20 * 5);
    (void)recovers(&m);
    snapshot(&m);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pools");
    TCase *tcase = tcase_create("pools");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, a_snapshot_brings_its_pool_back);
    tcase_add_test(tcase, a_snapshot_writes_no_image_a_second_time);
    tcase_add_test(tcase, recovery_rehearses_what_was_rehearsed);
    tcase_add_test(tcase, going_back_goes_back_to_the_pool_of_then);
    tcase_add_test(tcase, a_snapshot_whose_images_were_changed_is_not_learned_from);
    tcase_add_test(tcase, a_snapshot_whose_images_were_changed_still_predicts);
    tcase_add_test(tcase, a_snapshot_whose_images_are_missing_is_not_learned_from);
    tcase_add_test(tcase, an_event_is_numbered_before_it_is_applied);
    tcase_add_test(tcase, a_snapshot_of_a_form_that_was_never_released_is_passed_over);
    tcase_add_test(tcase, a_file_of_the_first_version_is_what_it_was);
    tcase_add_test(tcase, a_snapshot_of_the_first_version_gets_the_pool_that_a_replay_makes);
    tcase_add_test(tcase, a_model_of_the_first_version_can_take_up_rehearsing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
