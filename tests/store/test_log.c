/* test_log.c - appending, committing, rolling back, and what the rows look like to people. */
#include <sys/syscall.h>
#include <time.h>

#include "store/sqlite/schema.h"
#include "tests/store/model.h"

START_TEST(a_new_model_comes_back_as_it_was_made)
{
    struct model m;
    model_init(&m);
    ck_assert_uint_eq(store_revision(m.store), 1);
    ck_assert_int_eq(store_next_sample_id(m.store), 1);
    struct store_recovery report = recovers(&m);
    ck_assert_uint_eq(report.snapshot_revision, 1);
    ck_assert_uint_eq(report.events, 0);
    model_fini(&m);
}
END_TEST

START_TEST(what_was_committed_comes_back_bit_for_bit)
{
    struct model m;
    model_init(&m);
    for (uint64_t i = 0; i < 40; i++)
        train(&m, 1 + (uint32_t)(i % 5), i);
    struct store_recovery report = recovers(&m);
    ck_assert_uint_eq(report.events, 40);
    ck_assert_uint_eq(report.samples * MODEL_STEPS, m.learner->step);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(many_events_in_one_group_come_back)
{
    struct model m;
    model_init(&m);
    must(&m, store_begin(m.store, &m.err));
    for (uint64_t i = 0; i < 100; i++)
        append_train(&m, 3, i);
    must(&m, store_commit(m.store, &m.err));
    ck_assert_uint_eq(store_revision(m.store), 101);
    ck_assert_int_eq(store_next_sample_id(m.store), 301);
    (void)recovers(&m);
    ck_assert_uint_eq(store_revision(m.store), 101);
    ck_assert_int_eq(store_next_sample_id(m.store), 301);
    model_fini(&m);
}
END_TEST

START_TEST(an_event_without_samples_is_an_event)
{
    struct model m;
    model_init(&m);
    train(&m, 0, 1);
    train(&m, 2, 2);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(samples_get_consecutive_ids)
{
    struct model m;
    model_init(&m);
    train(&m, 2, 1);
    struct event event = train_event(m.learner->revision + 1, 3, 3, 9);
    store_next(m.store, &event);
    must(&m, learner_apply(m.learner, &event, &m.err));
    in_group(&m, must(&m, store_append(m.store, &event, &m.err)));
    store_outcomes(m.store, &event);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(event.as.train.samples[i].id, 3 + i);
    model_fini(&m);
}
END_TEST

START_TEST(a_rollback_leaves_nothing)
{
    struct model m;
    model_init(&m);
    train(&m, 2, 1);
    struct learner *before = keep(&m);
    must(&m, store_begin(m.store, &m.err));
    append_train(&m, 5, 2);
    append_class(&m, CLASS_ADD, 3, "gone");
    ck_assert_uint_eq(store_revision(m.store), 4);
    store_rollback(m.store);
    ck_assert_uint_eq(store_revision(m.store), 2);
    ck_assert_int_eq(store_next_sample_id(m.store), 3);
    learner_free(m.learner);
    m.learner = before;
    train(&m, 4, 3); /* the same places are taken again */
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_group_that_is_open_at_close_is_as_if_it_had_never_been)
{
    struct model m;
    model_init(&m);
    train(&m, 2, 1);
    struct learner *before = keep(&m);
    must(&m, store_begin(m.store, &m.err));
    append_train(&m, 5, 2);
    learner_free(m.learner);
    m.learner = before;
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(the_time_of_an_event_is_kept_and_given_where_there_is_none)
{
    struct model m;
    model_init(&m);
    int64_t earliest = store_now_us();
    train(&m, 1, 1);
    struct event event = train_event(3, 1, 3, 2);
    event.created_us = 123456789;
    store_next(m.store, &event);
    must(&m, learner_apply(m.learner, &event, &m.err));
    in_group(&m, must(&m, store_append(m.store, &event, &m.err)));
    store_outcomes(m.store, &event);
    ck_assert_str_eq(ask(&m, "SELECT created_us FROM event WHERE revision = 1"), "1700000000000000");
    ck_assert_int_ge(strtoll(ask(&m, "SELECT created_us FROM event WHERE revision = 2"), NULL, 10), earliest);
    ck_assert_str_eq(ask(&m, "SELECT created_us FROM event WHERE revision = 3"), "123456789");
    model_fini(&m);
}
END_TEST

START_TEST(the_bodies_are_json_that_people_can_read)
{
    struct model m;
    model_init(&m);
    train(&m, 2, 1);
    in_group(&m, append_class(&m, CLASS_ADD, 3, "it's \"new\""));
    in_group(&m, append_tune(&m, 0.05F, GRADIENT_JACOBIAN));
    in_group(&m, append_rehearse(&m, 1, 2, 77));
    struct learner *state = keep(&m);
    in_group(&m, append_activate(&m, state));
    learner_free(state);
    ck_assert_str_eq(ask(&m, "SELECT body ->> '$.shape.kernel_width' FROM event WHERE revision = 1"), "3");
    ck_assert_str_eq(ask(&m, "SELECT body ->> '$.settings.rate' FROM event WHERE revision = 1"), "0.3");
    ck_assert_str_eq(ask(&m, "SELECT body ->> '$.settings.seed' FROM event WHERE revision = 1"), "9007199254740991");
    ck_assert_str_eq(ask(&m, "SELECT body ->> '$.classes[1]' FROM event WHERE revision = 1"), "\"b\" \\ c");
    ck_assert_str_eq(ask(&m, "SELECT body FROM event WHERE revision = 2"), "{\"first\":1,\"n\":2}");
    ck_assert_str_eq(ask(&m, "SELECT body FROM event WHERE revision = 3"),
                     "{\"action\":\"add\",\"index\":3,\"label\":\"it's \\\"new\\\"\"}");
    ck_assert_str_eq(ask(&m, "SELECT body FROM event WHERE revision = 4"),
                     "{\"settings\":{\"rate\":0.05,\"mean\":0.13,\"seed\":9007199254740991,\"normalize\":\"none\","
                     "\"gradient\":\"jacobian\","
                     "\"fit\":\"contain\",\"invert\":\"never\",\"rehearsal\":4.0,\"jitter\":1.0,\"rotation\":10.0,"
                     "\"decay_steps\":0.0,\"clip\":0.0,\"imprint\":0.0,\"rehearsal_first\":0.0,\"output_rate\":1.0,"
                     "\"rehearsal_idle\":0.0,\"rehearsal_buffer\":10.0}}");
    ck_assert_str_eq(ask(&m, "SELECT body FROM event WHERE revision = 5"),
                     "{\"first\":1,\"last\":2,\"n\":2,\"seed\":77,\"begin\":0,\"end\":2,\"rate\":0.05,\"jitter\":0.0,"
                     "\"rotation\":0.0}");
    ck_assert_str_eq(ask(&m, "SELECT body FROM event WHERE revision = 6"), "{\"revision\":5}");
    model_fini(&m);
}
END_TEST

/* Floats of all exponents must come back from their decimal forms. */
START_TEST(settings_come_back_exactly)
{
    struct model m;
    float rates[200];
    uint32_t n = 0;
    model_init(&m);
    must(&m, store_begin(m.store, &m.err));
    for (uint64_t i = 0; n < 198; i++) {
        uint32_t bits = (uint32_t)mix(i) & 0x7fffffffU;
        memcpy(&rates[n], &bits, sizeof bits);
        if (rates[n] <= 100.0F)
            append_tune(&m, rates[n++], GRADIENT_DIAGONAL);
    }
    append_tune(&m, rates[n++] = 0x1p-149F, GRADIENT_DIAGONAL); /* the smallest float there is */
    append_tune(&m, rates[n++] = 99.9999924F, GRADIENT_DIAGONAL);
    must(&m, store_commit(m.store, &m.err));
    for (uint32_t i = 0; i < n; i++) {
        struct learner *state;
        must(&m, state_at(m.store, 2 + i, &state, &m.err));
        ck_assert_mem_eq(&state->settings.rate, &rates[i], sizeof(float));
        ck_assert_uint_eq(state->settings.seed, 9007199254740991U);
        learner_free(state);
    }
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(the_class_table_follows_the_log)
{
    struct model m;
    model_init(&m);
    train(&m, 3, 1);
    struct learner *three = keep(&m);
    in_group(&m, append_class(&m, CLASS_ADD, 3, "d"); append_class(&m, CLASS_RENAME, 0, "A"));
    train(&m, 3, 2);
    struct learner *four = keep(&m);
    ck_assert_str_eq(ask(&m, "SELECT group_concat(id || label, ' ') FROM (SELECT * FROM class ORDER BY id)"),
                     "0A 1\"b\" \\ c 2\xc3\xa9t\xc3\xa9 3d");
    model_reopen(&m);
    in_group(&m, append_activate(&m, three));
    ck_assert_str_eq(ask(&m, "SELECT group_concat(label, ' ') FROM (SELECT * FROM class ORDER BY id)"),
                     "a \"b\" \\ c \xc3\xa9t\xc3\xa9");
    model_reopen(&m);
    in_group(&m, append_class(&m, CLASS_ADD, 3, "other"));
    in_group(&m, append_activate(&m, four));
    ck_assert_str_eq(ask(&m, "SELECT group_concat(label, ' ') FROM (SELECT * FROM class ORDER BY id)"),
                     "A \"b\" \\ c \xc3\xa9t\xc3\xa9 d");
    (void)recovers(&m);
    verifies(&m);
    learner_free(three);
    learner_free(four);
    model_fini(&m);
}
END_TEST

START_TEST(the_views_show_what_the_live_model_was_trained_on)
{
    struct model m;
    model_init(&m);
    train(&m, 2, 1); /* revision 2, samples 1 2 */
    struct learner *two = keep(&m);
    train(&m, 3, 2); /* revision 3, samples 3 4 5: left behind */
    in_group(&m, append_activate(&m, two));
    train(&m, 1, 3); /* revision 5, sample 6 */
    ck_assert_str_eq(ask(&m, "SELECT group_concat(first || '-' || last, ' ') FROM live_span"), "4-5 1-2");
    ck_assert_str_eq(ask(&m, "SELECT group_concat(id, ' ') FROM (SELECT id FROM labelled_sample ORDER BY id)"),
                     "1 2 6");
    ck_assert_str_eq(ask(&m, "SELECT count(*) FROM labelled_sample JOIN class ON class.label = label_text"
                             " WHERE class.id = labelled_sample.label"),
                     "3");
    learner_free(two);
    model_fini(&m);
}
END_TEST

START_TEST(samples_can_be_read_by_id)
{
    struct model m;
    model_init(&m);
    train(&m, 4, 5);
    uint8_t expected[MODEL_PIXELS], pixels[MODEL_PIXELS];
    uint32_t label;
    paint(expected, 502);
    ck_assert_int_eq(store_sample(m.store, 3, &label, pixels, sizeof pixels, &m.err), 1);
    ck_assert_mem_eq(pixels, expected, sizeof pixels);
    ck_assert_uint_eq(label, mix(5 * 31 + 2) % 3);
    ck_assert_int_eq(store_sample(m.store, 5, &label, pixels, sizeof pixels, &m.err), 0);
    must_fail(&m, ERR_DB_CORRUPT, store_sample(m.store, 3, &label, pixels, sizeof pixels - 1, &m.err));
    model_fini(&m);
}
END_TEST

/* ---- keys ---- */

static struct store_key make_key(const char *text, uint64_t revision)
{
    struct store_key key = {.revision = revision};
    (void)snprintf(key.key, sizeof key.key, "%s", text);
    memset(key.fingerprint, 0xa5, sizeof key.fingerprint);
    return key;
}

START_TEST(a_key_is_durable_with_its_event)
{
    struct model m;
    model_init(&m);
    struct store_key key = make_key("k '1'", 2), found;
    must(&m, store_begin(m.store, &m.err));
    append_train(&m, 1, 1);
    must(&m, store_put_key(m.store, &key, &m.err));
    must(&m, store_commit(m.store, &m.err));
    model_reopen(&m);
    ck_assert_int_eq(store_find_key(m.store, "k '1'", &found, &m.err), 1);
    ck_assert_mem_eq(found.fingerprint, key.fingerprint, sizeof key.fingerprint);
    ck_assert_uint_eq(found.revision, 2);
    ck_assert_str_eq(found.key, key.key);
    ck_assert_int_eq(store_find_key(m.store, "k '2'", &found, &m.err), 0);
    model_fini(&m);
}
END_TEST

START_TEST(what_an_event_came_to_is_told_whole_or_not_at_all)
{
    struct model m;
    struct store_trained told, again;
    model_init(&m);
    train(&m, 5, 1);
    must(&m, store_trained(m.store, 2, &told, &m.err));
    ck_assert(told.n == 5 && told.first_id == 1 && told.last_id == 5 && told.step == m.learner->step && told.loss > 0);
    model_reopen(&m);
    must(&m, store_trained(m.store, 2, &again, &m.err));
    ck_assert(again.step == told.step && again.correct == told.correct && again.loss == told.loss);
    tamper(&m, "DELETE FROM outcome WHERE sample = 4");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_trained(m.store, 2, &again, &m.err));
    model_fini(&m);
}
END_TEST

START_TEST(a_key_goes_with_the_group_that_was_rolled_back)
{
    struct model m;
    model_init(&m);
    struct store_key key = make_key("k", 2), found;
    struct learner *before = keep(&m);
    must(&m, store_begin(m.store, &m.err));
    append_train(&m, 1, 1);
    must(&m, store_put_key(m.store, &key, &m.err));
    store_rollback(m.store);
    ck_assert_int_eq(store_find_key(m.store, "k", &found, &m.err), 0);
    learner_free(m.learner);
    m.learner = before;
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_key_that_is_there_refuses_the_group)
{
    struct model m;
    model_init(&m);
    struct store_key key = make_key("k", 2);
    in_group(&m, append_train(&m, 1, 1); must(&m, store_put_key(m.store, &key, &m.err)));
    struct learner *before = keep(&m);
    must(&m, store_begin(m.store, &m.err));
    append_train(&m, 1, 2);
    must_fail(&m, ERR_CONFLICT, store_put_key(m.store, &key, &m.err));
    ck_assert_uint_eq(store_revision(m.store), 2);
    learner_free(m.learner);
    m.learner = before;
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

/* What was asked for is ahead of what is there: the clock of the wall, and the one that only runs. */
static int64_t wall_ahead_s, running_ahead_s;

/* Instead of the C library's. */
int clock_gettime(clockid_t which, struct timespec *now)
{
    const long status = syscall(SYS_clock_gettime, which, now);
    now->tv_sec += which == CLOCK_REALTIME ? wall_ahead_s : which == CLOCK_MONOTONIC ? running_ahead_s : 0;
    return (int)status;
}

static void put_key(struct model *m, const char *text)
{
    struct store_key key = make_key(text, store_revision(m->store) + 1);
    in_group(m, append_train(m, 1, 1); must(m, store_put_key(m->store, &key, &m->err)));
}

static bool has_key(struct model *m, const char *text)
{
    struct store_key found;
    const int status = store_find_key(m->store, text, &found, &m->err);
    ck_assert_int_ge(status, 0);
    return status == 1;
}

#define HOUR_S  3600
#define HOUR_US (HOUR_S * INT64_C(1000000))
#define MANY    1000000u

START_TEST(old_keys_are_forgotten_and_young_ones_stay)
{
    struct model m;
    model_init(&m);
    put_key(&m, "old");
    running_ahead_s += HOUR_S;
    put_key(&m, "young");
    ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, MANY, &m.err), 1);
    ck_assert(!has_key(&m, "old") && has_key(&m, "young"));
    ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, MANY, &m.err), 0);
    in_group(&m, ck_assert_int_eq(store_expire_keys(m.store, 0, MANY, &m.err), 1));
    ck_assert(!has_key(&m, "young"));
    model_fini(&m);
    running_ahead_s = 0; /* libcheck looks at it, too */
}
END_TEST

START_TEST(a_step_of_the_wall_clock_makes_no_key_older)
{
    struct model m;
    model_init(&m);
    const int64_t before = store_now_us();
    put_key(&m, "k");
    wall_ahead_s += 72 * HOUR_S;
    ck_assert_int_ge(store_now_us(), before + 72 * HOUR_US);
    put_key(&m, "l");
    for (int restart = 0; restart < 2; restart++) {
        ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, MANY, &m.err), 0);
        wall_ahead_s -= 96 * HOUR_S;
        ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, MANY, &m.err), 0);
        model_reopen(&m);
    }
    running_ahead_s += HOUR_S;
    ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, MANY, &m.err), 1);
    ck_assert(!has_key(&m, "k") && !has_key(&m, "l"));
    model_fini(&m);
    running_ahead_s = 0; /* libcheck looks at it, too */
}
END_TEST

START_TEST(the_time_in_which_nobody_has_it_open_makes_no_key_older)
{
    struct model m;
    model_init(&m);
    put_key(&m, "old");
    running_ahead_s += HOUR_S / 2;
    put_key(&m, "young");
    for (int restart = 0; restart < 2;
         restart++) { /* the second: a machine that has started, too, counts from nothing */
        store_close(m.store);
        running_ahead_s = restart == 0 ? 72 * HOUR_S : -HOUR_S;
        must(&m, store_open(&m.store, m.path, false, &m.err));
        ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, MANY, &m.err), 0);
    }
    running_ahead_s += HOUR_S / 2;
    ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, MANY, &m.err), 1);
    ck_assert(!has_key(&m, "old") && has_key(&m, "young"));
    model_fini(&m);
    running_ahead_s = 0; /* libcheck looks at it, too */
}
END_TEST

START_TEST(the_oldest_of_too_many_keys_are_forgotten_first)
{
    struct model m;
    char name[16];
    model_init(&m);
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "%u", 9 - i);
        put_key(&m, name);
    }
    ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, 10, &m.err), 0);
    ck_assert_int_eq(store_expire_keys(m.store, HOUR_US, 4, &m.err), 1);
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof name, "%u", 9 - i);
        ck_assert_int_eq(has_key(&m, name), i >= 6);
    }
    put_key(&m, "9");
    ck_assert(has_key(&m, "9") && has_key(&m, "0"));
    model_fini(&m);
}
END_TEST

/* ---- the WAL ---- */

START_TEST(a_checkpoint_empties_what_is_not_yet_in_the_database)
{
    struct model m;
    struct stat wal;
    char path[128];
    model_init(&m);
    (void)snprintf(path, sizeof path, "%s-wal", m.path);
    for (uint64_t i = 0; i < 50; i++)
        train(&m, 10, i);
    ck_assert_uint_gt(store_wal_bytes(m.store), 50 * 8192);
    must(&m, store_checkpoint(m.store, false, &m.err));
    ck_assert_uint_eq(store_wal_bytes(m.store), 0);
    ck_assert_int_eq(stat(path, &wal), 0);
    off_t before = wal.st_size;
    for (uint64_t i = 0; i < 10; i++) /* the file is used again from its start */
        train(&m, 1, i);
    ck_assert_uint_gt(store_wal_bytes(m.store), 0);
    ck_assert_int_eq(stat(path, &wal), 0);
    ck_assert_int_eq(wal.st_size, before);
    must(&m, store_checkpoint(m.store, true, &m.err));
    ck_assert_int_eq(stat(path, &wal), 0);
    ck_assert_int_eq(wal.st_size, 0);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(an_open_model_shares_no_memory_with_others)
{
    struct model m;
    struct stat status;
    char path[128];
    model_init(&m);
    train(&m, 3, 1);
    (void)snprintf(path, sizeof path, "%s-wal", m.path);
    ck_assert_int_eq(stat(path, &status), 0);
    (void)snprintf(path, sizeof path, "%s-shm", m.path);
    ck_assert_int_ne(stat(path, &status), 0);
    model_fini(&m);
}
END_TEST

START_TEST(a_clean_close_leaves_one_file)
{
    struct model m;
    struct stat status;
    char path[128];
    model_init(&m);
    train(&m, 3, 1);
    store_close(m.store);
    m.store = NULL;
    (void)snprintf(path, sizeof path, "%s-wal", m.path);
    ck_assert_int_ne(stat(path, &status), 0);
    ck_assert_str_eq(ask(&m, "PRAGMA page_size"), "8192");
    ck_assert_str_eq(ask(&m, "PRAGMA journal_mode"), "wal");
    ck_assert_str_eq(ask(&m, "PRAGMA application_id"), "1668247158");
    ck_assert_int_eq(strtol(ask(&m, "PRAGMA user_version"), NULL, 10), schema_version);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *rows = tcase_create("rows");
    tcase_set_timeout(rows, 60);
    tcase_add_test(rows, a_new_model_comes_back_as_it_was_made);
    tcase_add_test(rows, what_was_committed_comes_back_bit_for_bit);
    tcase_add_test(rows, many_events_in_one_group_come_back);
    tcase_add_test(rows, an_event_without_samples_is_an_event);
    tcase_add_test(rows, samples_get_consecutive_ids);
    tcase_add_test(rows, a_rollback_leaves_nothing);
    tcase_add_test(rows, a_group_that_is_open_at_close_is_as_if_it_had_never_been);
    tcase_add_test(rows, the_time_of_an_event_is_kept_and_given_where_there_is_none);
    tcase_add_test(rows, the_bodies_are_json_that_people_can_read);
    tcase_add_test(rows, settings_come_back_exactly);
    tcase_add_test(rows, the_class_table_follows_the_log);
    tcase_add_test(rows, the_views_show_what_the_live_model_was_trained_on);
    tcase_add_test(rows, samples_can_be_read_by_id);
    suite_add_tcase(suite, rows);
    TCase *keys = tcase_create("keys");
    tcase_set_timeout(keys, 60);
    tcase_add_test(keys, a_key_is_durable_with_its_event);
    tcase_add_test(keys, what_an_event_came_to_is_told_whole_or_not_at_all);
    tcase_add_test(keys, a_key_goes_with_the_group_that_was_rolled_back);
    tcase_add_test(keys, a_key_that_is_there_refuses_the_group);
    tcase_add_test(keys, old_keys_are_forgotten_and_young_ones_stay);
    tcase_add_test(keys, a_step_of_the_wall_clock_makes_no_key_older);
    tcase_add_test(keys, the_time_in_which_nobody_has_it_open_makes_no_key_older);
    tcase_add_test(keys, the_oldest_of_too_many_keys_are_forgotten_first);
    suite_add_tcase(suite, keys);
    TCase *wal = tcase_create("wal");
    tcase_set_timeout(wal, 60);
    tcase_add_test(wal, a_checkpoint_empties_what_is_not_yet_in_the_database);
    tcase_add_test(wal, an_open_model_shares_no_memory_with_others);
    tcase_add_test(wal, a_clean_close_leaves_one_file);
    suite_add_tcase(suite, wal);
    return run_suite(suite);
}
