/* test_verify.c - each way to tamper with a file is found, and the error names the place. */
#include "tests/store/model.h"

/* A model with an event of each kind and a branch that was left behind:
 *   2 train (samples 1-5)   3 class   4 tune   5 train (6-10)   6 rehearse   7 train (11-12)
 *   8 activate 5            9 train (13-17)    10 train (18-20); snapshots: 1 of revision 1, 2 of 5, 3 of 10 */
static void build(struct model *m)
{
    model_init(m);
    train(m, 5, 1);
    in_group(m, append_class(m, CLASS_ADD, 3, "d"));
    in_group(m, append_tune(m, 0.4F, GRADIENT_JACOBIAN));
    train(m, 5, 2);
    snapshot(m);
    struct learner *five = keep(m);
    in_group(m, append_rehearse(m, 2, 9, 3));
    train(m, 2, 4);
    in_group(m, append_activate(m, five));
    learner_free(five);
    train(m, 5, 5);
    train(m, 3, 6);
    snapshot(m);
}

START_TEST(an_untouched_file_verifies)
{
    struct model m;
    struct store_verdict verdict;
    build(&m);
    verifies(&m);
    model_reopen(&m);
    verifies(&m);
    must(&m, store_verify(m.store, NULL, NULL, NULL, &verdict, &m.err));
    ck_assert_uint_eq(verdict.events, 10);
    ck_assert_uint_eq(verdict.samples, 20);
    ck_assert_uint_eq(verdict.snapshots, 3);
    model_fini(&m);
}
END_TEST

START_TEST(verification_changes_nothing)
{
    struct model m;
    build(&m);
    verifies(&m);
    (void)recovers(&m);
    train(&m, 2, 9);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

static const struct tampering {
    const char *sql, *named; /* what the error must say */
} tamperings[] = {
    {"UPDATE event SET created_us = created_us + 1 WHERE revision = 7", "revision 7"},
    {"UPDATE event SET chain = randomblob(32) WHERE revision = 4", "revision 4"},
    {"UPDATE event SET kind = 'tune' WHERE revision = 7", "revision 7"},
    {"UPDATE event SET kind = 'create' WHERE revision = 7", "revision 7"},
    {"UPDATE event SET kind = 'nonsense' WHERE revision = 7", "revision 7"},
    {"UPDATE event SET body = json_set(body, '$.settings.rate', 0.5) WHERE revision = 4", "revision 4"},
    {"UPDATE event SET body = json_set(body, '$.settings.what', 1) WHERE revision = 4", "revision 4"},
    {"UPDATE event SET body = json_set(body, '$.label', 'e') WHERE revision = 3", "revision 3"},
    {"UPDATE event SET body = json_set(body, '$.index', -1) WHERE revision = 3", "revision 3"},
    {"UPDATE event SET body = json_set(body, '$.n', 999999999) WHERE revision = 5", "revision 5"},
    {"UPDATE event SET body = json_set(body, '$.n', 1.5) WHERE revision = 5", "revision 5"},
    {"UPDATE event SET body = json_set(body, '$.seed', 4) WHERE revision = 6", "revision 6"},
    {"UPDATE event SET body = json_set(body, '$.revision', 4) WHERE revision = 8", "revision 8"},
    {"UPDATE event SET body = json_set(body, '$.revision', 9) WHERE revision = 8", "revision 8"},
    {"UPDATE event SET body = 'not json' WHERE revision = 5", "revision 5"},
    {"UPDATE event SET body = '' WHERE revision = 9", "revision 9"},
    {"UPDATE event SET body = body || ' ' WHERE revision = 2", "revision 2"},
    {"DELETE FROM event WHERE revision = 4", "revision 4"},
    {"DELETE FROM event WHERE revision = 10", "revision 10"},
    {"DELETE FROM event WHERE revision = 10; DELETE FROM snapshot WHERE id = 3", "revision 10"},
    {"UPDATE event SET revision = 11 WHERE revision = 10", "revision 10"},
    {"UPDATE event SET revision = -3 WHERE revision = 3; UPDATE event SET revision = 3 WHERE revision = 4;"
     "UPDATE event SET revision = 4 WHERE revision = -3",
     "revision 3"},
    {"INSERT INTO event SELECT 11, kind, created_us, '{\"first\":21,\"n\":0}', chain FROM event WHERE revision = 10",
     "revision 11"},
    {"UPDATE sample SET label = (label + 1) % 3 WHERE id = 12", "revision 7"},
    {"UPDATE sample SET label = 5000 WHERE id = 12", "revision 7"},
    {"UPDATE outcome SET predicted = (predicted + 1) % 3 WHERE sample = 3", "revision 2"},
    {"UPDATE outcome SET loss = loss * 1.01 WHERE sample = 3", "revision 2"},
    {"UPDATE outcome SET loss = loss + 1e-15 WHERE sample = 3", "sample 3"},
    {"UPDATE outcome SET loss = NULL WHERE sample = 3", "revision 2"},
    {"DELETE FROM outcome WHERE sample = 3", "outcome of sample 3"},
    {"DELETE FROM outcome WHERE sample >= 19", "outcome of sample 19"},
    {"UPDATE sample SET image = zeroblob(length(image)) WHERE id = 15", "revision 9"},
    {"UPDATE sample SET image = x'00' WHERE id = 15", "sample 15"},
    {"UPDATE sample SET revision = 9 WHERE id = 18", "sample 18"},
    {"UPDATE sample SET id = 100 WHERE id = 17", "sample 17"},
    {"UPDATE sample SET id = -1 WHERE id = 4; UPDATE sample SET id = 4 WHERE id = 5; UPDATE sample SET id = 5 WHERE id "
     "= -1",
     "revision 2"},
    {"DELETE FROM sample WHERE id = 7", "sample 7"},
    {"DELETE FROM sample WHERE id = 20", "sample 20"},
    {"INSERT INTO sample SELECT 21, 10, label, image FROM sample WHERE id = 1", "21 samples"},
    {"INSERT INTO sample SELECT 21, 11, label, image FROM sample WHERE id = 1", "sample"},
    {"INSERT INTO outcome VALUES (21, 1, 0, 0.5, 0)", "21 outcomes"},
    {"UPDATE class SET label = 'z' WHERE id = 0", "table class"},
    {"DELETE FROM class WHERE id = 3", "table class"},
    {"INSERT INTO class VALUES (4, 'z')", "table class"},
    {"DELETE FROM tensor WHERE snapshot = 3 AND name = 'w01'", "snapshot 3"},
    {"UPDATE snapshot SET revision = 9 WHERE id = 3", "snapshot 3"},
    {"UPDATE snapshot SET chain = (SELECT chain FROM event WHERE revision = 9), revision = 9 WHERE id = 3",
     "snapshot 3"},
    {"INSERT INTO tensor VALUES (77, 'w01', 1, 1, x'00000000')", "tensor"},
    {"INSERT INTO idempotency VALUES ('k', zeroblob(32), 99, 0)", "idempotency"},
};

START_TEST(tampering_is_found_and_named)
{
    struct model m;
    struct store_verdict verdict;
    build(&m);
    tamper(&m, tamperings[_i].sql);
    must(&m, store_open(&m.store, m.path, true, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, &verdict, &m.err));
    must_say(&m, tamperings[_i].named);
    model_fini(&m);
}
END_TEST

/* The same without the newest snapshots: recovery reads the whole log then, so it must find what is in there. */
START_TEST(recovery_through_the_whole_log_finds_damaged_rows)
{
    struct model m;
    struct learner *back;
    const struct tampering *t = &tamperings[_i];
    build(&m);
    tamper(&m, "DELETE FROM tensor WHERE snapshot > 1; DELETE FROM snapshot WHERE id > 1");
    tamper(&m, t->sql);
    must(&m, store_open(&m.store, m.path, true, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    must_say(&m, t->named);
    ck_assert_ptr_null(back);
    model_fini(&m);
}
END_TEST

/* There are models without classes, so such a row opens. */
START_TEST(classes_that_the_create_row_has_lost_are_found)
{
    struct model m;
    struct store_verdict verdict;
    build(&m);
    tamper(&m, "UPDATE event SET body = json_set(body, '$.classes', json('[]')) WHERE revision = 1");
    must(&m, store_open(&m.store, m.path, true, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, &verdict, &m.err));
    must_say(&m, "revision 1");
    model_fini(&m);
}
END_TEST

START_TEST(the_create_row_is_checked_when_the_file_is_opened)
{
    static const char *const damages[] = {
        "DELETE FROM event WHERE revision = 1",
        "DELETE FROM event",
        "UPDATE event SET kind = 'train' WHERE revision = 1",
        "UPDATE event SET body = 'x' WHERE revision = 1",
        "UPDATE event SET body = json_remove(body, '$.shape') WHERE revision = 1",
        "UPDATE event SET body = json_set(body, '$.shape.width', 100000) WHERE revision = 1",
        "UPDATE event SET body = json_set(body, '$.shape.hidden', -1) WHERE revision = 1",
        "UPDATE event SET body = json_set(body, '$.classes', json('[7]')) WHERE revision = 1",
        "UPDATE event SET body = json_set(body, '$.classes', 3) WHERE revision = 1",
        "UPDATE event SET body = json_set(body, '$.digest', '00') WHERE revision = 1",
        "UPDATE event SET body = json_set(body, '$.settings.rate', 'fast') WHERE revision = 1",
        "UPDATE event SET body = json_set(body, '$.settings.rate', -1) WHERE revision = 1",
        "UPDATE event SET body = json_set(body, '$.tensors', 'lost') WHERE revision = 1",
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct model m;
        build(&m);
        tamper(&m, damages[i]);
        must_fail(&m, ERR_DB_CORRUPT, store_open(&m.store, m.path, false, &m.err));
        must_say(&m, "revision 1");
        model_fini(&m);
    }
}
END_TEST

START_TEST(other_first_weights_than_those_that_were_drawn_are_noticed)
{
    struct model m;
    struct learner *back;
    build(&m);
    tamper(&m, "UPDATE event SET body = json_set(body, '$.settings.seed', 43) WHERE revision = 1");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, NULL, &m.err));
    must_say(&m, "revision 1");
    tamper(&m, "DELETE FROM tensor; DELETE FROM snapshot");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    must_say(&m, "revision 1");
    model_fini(&m);
}
END_TEST

START_TEST(a_log_of_another_arithmetic_is_not_replayed_with_ours)
{
    struct model m;
    build(&m);
    tamper(&m, "UPDATE event SET body = json_set(body, '$.arithmetic', 'convd-2') WHERE revision = 1");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, NULL, &m.err));
    must_say(&m, "revision 1: the chain does not match");
    model_fini(&m);
}
END_TEST

/* A log whose hashes were all made again, but whose training was not what it says: only the replay can tell. */
START_TEST(an_outcome_that_the_replay_does_not_give_is_noticed)
{
    struct model m;
    struct learner *back;
    model_init(&m);
    train(&m, 3, 1);
    struct event event = train_event(3, 2, 3, 2);
    store_next(m.store, &event);
    must(&m, learner_apply(m.learner, &event, &m.err));
    event.as.train.samples[1].loss += 0.25F;
    in_group(&m, must(&m, store_append(m.store, &event, &m.err)));
    store_outcomes(m.store, &event);
    must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, NULL, &m.err));
    must_say(&m, "revision 3: sample 5");
    must_fail(&m, ERR_DB_CORRUPT, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    must_say(&m, "revision 3: sample 5");
    model_fini(&m);
}
END_TEST

/* A page of the file itself, not a value in it. */
START_TEST(a_page_that_was_overwritten_is_noticed)
{
    struct model m;
    char garbage[600];
    build(&m);
    for (uint64_t i = 0; i < 50; i++)
        train(&m, 10, i);
    long pages = strtol(ask(&m, "PRAGMA page_count"), NULL, 10);
    ck_assert_int_gt(pages, 10);
    memset(garbage, 0xee, sizeof garbage);
    int fd = open(m.path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, garbage, sizeof garbage, pages / 2 * 8192), sizeof garbage);
    (void)close(fd);
    /* Opening looks at a few pages, and it may be one of those. */
    if (store_open(&m.store, m.path, true, &m.err) == 0)
        must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, NULL, &m.err));
    ck_assert_int_eq(m.err.code, ERR_DB_CORRUPT);
    model_fini(&m);
}
END_TEST

int main(void)
{
    /* The first that is about a snapshot or a table beside the log, which recovery does not read. */
    int n_of_log = 0, n = (int)(sizeof tamperings / sizeof *tamperings);
    while (strstr(tamperings[n_of_log].sql, "21, 10,") == NULL)
        n_of_log++;
    Suite *suite = suite_create("verify");
    TCase *t = tcase_create("verify");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, an_untouched_file_verifies);
    tcase_add_test(t, verification_changes_nothing);
    tcase_add_loop_test(t, tampering_is_found_and_named, 0, n);
    tcase_add_loop_test(t, recovery_through_the_whole_log_finds_damaged_rows, 0, n_of_log);
    tcase_add_test(t, classes_that_the_create_row_has_lost_are_found);
    tcase_add_test(t, the_create_row_is_checked_when_the_file_is_opened);
    tcase_add_test(t, other_first_weights_than_those_that_were_drawn_are_noticed);
    tcase_add_test(t, a_log_of_another_arithmetic_is_not_replayed_with_ours);
    tcase_add_test(t, an_outcome_that_the_replay_does_not_give_is_noticed);
    tcase_add_test(t, a_page_that_was_overwritten_is_noticed);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
