/* test_snapshots.c - snapshots: taken, listed, loaded, refused when damaged, dropped, thinned out. */
#include "tests/store/model.h"

START_TEST(a_snapshot_tells_what_it_is)
{
    struct model m;
    struct store_snapshot s, found, *list;
    uint8_t digest[DIGEST_BYTES];
    size_t n;
    model_init(&m);
    train(&m, 7, 1);
    must(&m, store_snapshot(m.store, m.learner, "interval", "before the exam", true, &s, &m.err));
    learner_digest(m.learner, digest);
    ck_assert(s.id == 2 && s.revision == 2 && s.step == 7 * MODEL_STEPS && s.pinned && s.samples == 7);
    ck_assert_uint_eq(s.correct, m.learner->tally.correct);
    ck_assert_mem_eq(s.digest, digest, DIGEST_BYTES);
    must(&m, store_snapshot_find(m.store, 2, &found, &m.err));
    ck_assert_str_eq(found.reason, "interval");
    ck_assert_str_eq(found.note, "before the exam");
    ck_assert_str_eq(found.arithmetic, ARITHMETIC_VERSION);
    ck_assert_mem_eq(found.digest, digest, DIGEST_BYTES);
    ck_assert_int_eq(found.created_us, s.created_us);
    must(&m, store_snapshots(m.store, &list, &n, &m.err));
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(list[0].reason, "create");
    ck_assert(list[0].pinned && list[0].revision == 1 && list[1].id == 2);
    free(list);
    must_fail(&m, ERR_NOT_FOUND, store_snapshot_find(m.store, 3, &found, &m.err));
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_gives_its_state_back)
{
    struct model m;
    struct learner *back;
    model_init(&m);
    train(&m, 7, 1);
    in_group(&m, append_class(&m, CLASS_ADD, 3, "d"); append_tune(&m, 0.01F, GRADIENT_JACOBIAN));
    snapshot(&m);
    struct learner *then = keep(&m);
    train(&m, 7, 2);
    must(&m, store_snapshot_load(m.store, 2, NULL, &back, &m.err));
    same_state(back, then);
    struct event event = train_event(5, 7, 4, 2); /* and it goes on as it did */
    must(&m, learner_apply(back, &event, &m.err));
    uint8_t a[DIGEST_BYTES], b[DIGEST_BYTES];
    event = train_event(5, 7, 4, 2);
    must(&m, learner_apply(then, &event, &m.err));
    learner_digest(back, a);
    learner_digest(then, b);
    ck_assert_mem_eq(a, b, DIGEST_BYTES);
    learner_free(back);
    learner_free(then);
    must_fail(&m, ERR_NOT_FOUND, store_snapshot_load(m.store, 3, NULL, &back, &m.err));
    ck_assert_ptr_null(back);
    model_fini(&m);
}
END_TEST

START_TEST(tensors_have_the_shapes_that_people_are_told)
{
    struct model m;
    model_init(&m);
    ck_assert_str_eq(ask(&m, "SELECT group_concat(name || ' ' || rows || 'x' || columns || '=' || length(data), ', ')"
                             " FROM (SELECT * FROM tensor ORDER BY name)"),
                     "kernels 3x9=108, w01 36x7=1008, w12 7x3=84");
    model_fini(&m);
}
END_TEST

static const char *const damages[] = {
    "UPDATE tensor SET data = zeroblob(length(data)) WHERE snapshot = 2 AND name = 'kernels'",
    "UPDATE tensor SET rows = columns, columns = rows WHERE snapshot = 2 AND name = 'w01'",
    "UPDATE tensor SET name = 'w13' WHERE snapshot = 2 AND name = 'w12'",
    "DELETE FROM tensor WHERE snapshot = 2 AND name = 'w01'",
    "UPDATE tensor SET data = x'00' WHERE snapshot = 2 AND name = 'w01'",
    "UPDATE snapshot SET digest = randomblob(32) WHERE id = 2",
    "UPDATE snapshot SET state = zeroblob(length(state)) WHERE id = 2",
    "UPDATE snapshot SET state = x'' WHERE id = 2",
    "UPDATE snapshot SET state = substr(state, 1, length(state) - 1) WHERE id = 2",
    "UPDATE snapshot SET state = CAST(state || x'00' AS BLOB) WHERE id = 2",
    "UPDATE snapshot SET step = step + 1 WHERE id = 2",
    "UPDATE snapshot SET samples = samples + 1 WHERE id = 2",
    "UPDATE snapshot SET correct = correct + 1 WHERE id = 2",
    "UPDATE snapshot SET chain = randomblob(32) WHERE id = 2",
    "UPDATE snapshot SET revision = 2 WHERE id = 2",
    "UPDATE snapshot SET arithmetic = 'convd-0' WHERE id = 2",
};

START_TEST(a_damaged_snapshot_is_skipped_and_the_one_before_it_serves)
{
    struct model m;
    struct store_verdict verdict;
    model_init(&m);
    train(&m, 7, 1);
    train(&m, 7, 2);
    snapshot(&m); /* 2, of revision 3 */
    train(&m, 7, 3);
    tamper(&m, damages[_i]);
    struct store_recovery report = recovers(&m);
    ck_assert_uint_eq(report.skipped, 1);
    ck_assert_uint_eq(report.snapshot_revision, 1);
    ck_assert_uint_eq(report.events, 3);
    ck_assert_ptr_nonnull(strstr(report.warning, "snapshot 2 of revision"));
    must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, &verdict, &m.err));
    must_say(&m, "snapshot 2");
    model_fini(&m);
}
END_TEST

/* Every byte of a tensor counts: each one in turn. */
START_TEST(a_flipped_bit_anywhere_in_a_tensor_is_noticed)
{
    struct model m;
    model_init(&m);
    train(&m, 7, 1);
    snapshot(&m);
    store_close(m.store);
    m.store = NULL;
    for (int i = 0; i < 84; i++) {
        sqlite3 *db;
        sqlite3_blob *blob;
        uint8_t byte, flipped;
        struct learner *back;
        ck_assert_int_eq(sqlite3_open(m.path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_blob_open(db, "main", "tensor", "data", 6, 1, &blob), SQLITE_OK);
        ck_assert_int_eq(sqlite3_blob_bytes(blob), 84);
        ck_assert_int_eq(sqlite3_blob_read(blob, &byte, 1, i), SQLITE_OK);
        flipped = (uint8_t)(byte ^ (1U << (i % 8)));
        ck_assert_int_eq(sqlite3_blob_write(blob, &flipped, 1, i), SQLITE_OK);
        ck_assert_int_eq(sqlite3_blob_close(blob), SQLITE_OK);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
        must(&m, store_open(&m.store, m.path, true, &m.err));
        must_fail(&m, ERR_DB_CORRUPT, store_snapshot_load(m.store, 2, NULL, &back, &m.err));
        store_close(m.store);
        m.store = NULL;
        ck_assert_int_eq(sqlite3_open(m.path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_blob_open(db, "main", "tensor", "data", 6, 1, &blob), SQLITE_OK);
        ck_assert_int_eq(sqlite3_blob_write(blob, &byte, 1, i), SQLITE_OK);
        ck_assert_int_eq(sqlite3_blob_close(blob), SQLITE_OK);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    }
    ck_assert_uint_eq(recovers(&m).skipped, 0); /* all put back */
    model_fini(&m);
}
END_TEST

START_TEST(all_damaged_snapshots_are_skipped_and_the_log_serves)
{
    struct model m;
    model_init(&m);
    train(&m, 7, 1);
    snapshot(&m);
    snapshot(&m);
    tamper(&m, "UPDATE snapshot SET digest = randomblob(32)");
    struct store_recovery report = recovers(&m);
    ck_assert_uint_eq(report.skipped, 3);
    ck_assert_int_eq(report.snapshot, 0);
    ck_assert_ptr_nonnull(strstr(report.warning, "snapshot 1 of revision 1"));
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_can_be_dropped_with_its_tensors)
{
    struct model m;
    struct store_snapshot s;
    model_init(&m);
    train(&m, 7, 1);
    snapshot(&m);
    must(&m, store_snapshot_drop(m.store, 2, &m.err));
    must_fail(&m, ERR_NOT_FOUND, store_snapshot_find(m.store, 2, &s, &m.err));
    must_fail(&m, ERR_NOT_FOUND, store_snapshot_drop(m.store, 2, &m.err));
    ck_assert_uint_eq(recovers(&m).snapshot_revision, 1);
    ck_assert_str_eq(ask(&m, "SELECT count(*) FROM tensor"), "3");
    model_fini(&m);
}
END_TEST

START_TEST(a_pinned_snapshot_cannot_be_dropped)
{
    struct model m;
    model_init(&m);
    must_fail(&m, ERR_CONFLICT, store_snapshot_drop(m.store, 1, &m.err));
    must_say(&m, "pinned");
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_snapshot_is_pinned_and_released_and_says_so_after_opening_again)
{
    struct model m;
    struct store_snapshot s;
    const bool yes = true, no = false;
    model_init(&m);
    train(&m, 7, 1);
    snapshot(&m);
    must(&m, store_snapshot_update(m.store, 2, &yes, "the good one", &s, &m.err));
    ck_assert(s.pinned && s.id == 2);
    must_fail(&m, ERR_CONFLICT, store_snapshot_drop(m.store, 2, &m.err));
    must(&m, store_snapshot_update(m.store, 2, NULL, "still", &s, &m.err));
    (void)recovers(&m);
    must(&m, store_snapshot_find(m.store, 2, &s, &m.err));
    ck_assert(s.pinned);
    ck_assert_str_eq(s.note, "still");
    must(&m, store_snapshot_update(m.store, 2, &no, NULL, &s, &m.err));
    ck_assert_str_eq(s.note, "still");
    must(&m, store_snapshot_drop(m.store, 2, &m.err));
    must_fail(&m, ERR_NOT_FOUND, store_snapshot_update(m.store, 2, &yes, NULL, &s, &m.err));
    model_fini(&m);
}
END_TEST

START_TEST(the_snapshot_of_the_creation_stays_pinned)
{
    struct model m;
    struct store_snapshot s;
    const bool no = false;
    model_init(&m);
    must_fail(&m, ERR_CONFLICT, store_snapshot_update(m.store, 1, &no, "x", &s, &m.err));
    must(&m, store_snapshot_update(m.store, 1, NULL, "the beginning", &s, &m.err));
    ck_assert(s.pinned);
    ck_assert_str_eq(ask(&m, "SELECT pinned || note FROM snapshot"), "1the beginning");
    model_fini(&m);
}
END_TEST

START_TEST(the_last_snapshot_that_recovery_could_start_from_cannot_be_dropped)
{
    struct model m;
    model_init(&m);
    train(&m, 1, 1);
    struct learner *two = keep(&m);
    train(&m, 1, 2);
    snapshot(&m); /* 2: will be left behind */
    in_group(&m, append_activate(&m, two));
    snapshot(&m); /* 3: on the line */
    tamper(&m, "DELETE FROM tensor WHERE snapshot = 1; DELETE FROM snapshot WHERE id = 1");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_CONFLICT, store_snapshot_drop(m.store, 3, &m.err));
    must(&m, store_snapshot_drop(m.store, 2, &m.err));
    (void)recovers(&m);
    learner_free(two);
    model_fini(&m);
}
END_TEST

START_TEST(thinning_keeps_the_newest_and_one_per_power_of_two_of_age)
{
    enum { N = 300, KEEP = 3 };
    struct model m;
    struct store_snapshot *list;
    size_t n;
    model_init(&m);
    for (uint64_t i = 0; i < N; i++) {
        train(&m, 1, i);
        snapshot(&m);
        must(&m, store_snapshots_prune(m.store, KEEP, &m.err));
    }
    must(&m, store_snapshots(m.store, &list, &n, &m.err));
    ck_assert_uint_le(n, KEEP + 10 + 1);
    ck_assert_uint_ge(n, KEEP + 6);
    ck_assert_uint_eq(list[0].revision, 1);
    ck_assert(list[0].pinned);
    for (size_t i = 0; i < KEEP; i++)
        ck_assert_uint_eq(list[n - 1 - i].revision, N + 1 - i);
    unsigned taken = 0; /* powers of age */
    for (size_t i = 1; i < n - KEEP; i++) {
        unsigned bit = 1U << (31 - __builtin_clz((unsigned)(N + 1 - list[i].revision)));
        ck_assert_msg((taken & bit) == 0, "two snapshots of one power of age");
        taken |= bit;
    }
    ck_assert_uint_ge(taken, 128); /* some are really old */
    free(list);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(thinning_never_takes_pinned_ones_nor_the_last_on_the_live_line)
{
    struct model m;
    struct store_snapshot *list;
    size_t n;
    model_init(&m);
    train(&m, 1, 1);
    must(&m, store_snapshot(m.store, m.learner, "request", "keep", true, NULL, &m.err)); /* 2 */
    train(&m, 1, 2);
    snapshot(&m); /* 3, of revision 3: on the live line */
    struct learner *three = keep(&m);
    for (uint64_t i = 0; i < 10; i++) {
        train(&m, 1, i);
        snapshot(&m); /* left behind */
    }
    in_group(&m, append_activate(&m, three));
    must(&m, store_snapshots_prune(m.store, 0, &m.err));
    must(&m, store_snapshots(m.store, &list, &n, &m.err));
    ck_assert_uint_ge(n, 3);
    ck_assert(list[0].id == 1 && list[1].id == 2 && list[2].id == 3);
    free(list);
    ck_assert_uint_eq(recovers(&m).snapshot_revision, 3);
    learner_free(three);
    model_fini(&m);
}
END_TEST

/* Whether the bytes are anywhere in the closed file. */
static bool file_holds(struct model *m, const void *bytes, size_t n_bytes)
{
    static char content[1 << 22];
    store_close(m->store);
    m->store = NULL;
    FILE *file = fopen(m->path, "rb");
    ck_assert_ptr_nonnull(file);
    size_t n_content = fread(content, 1, sizeof content, file);
    (void)fclose(file);
    ck_assert_uint_gt(n_content, 8192);
    ck_assert_uint_lt(n_content, sizeof content);
    return memmem(content, n_content, bytes, n_bytes) != NULL;
}

START_TEST(a_dropped_snapshot_leaves_no_weights_in_the_file)
{
    struct model m;
    float w01[36 * 7], w12[7 * 3], k[27];
    model_init(&m);
    train(&m, 7, 1);
    snapshot(&m);
    net_export(&m.learner->net, k, w01, w12);
    train(&m, 7, 2); /* so that the live weights are others */
    ck_assert(file_holds(&m, w01, sizeof w01));
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must(&m, store_snapshot_drop(m.store, 2, &m.err));
    ck_assert(!file_holds(&m, w01 + 100, 16));
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshots");
    TCase *t = tcase_create("snapshots");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_snapshot_tells_what_it_is);
    tcase_add_test(t, a_snapshot_gives_its_state_back);
    tcase_add_test(t, tensors_have_the_shapes_that_people_are_told);
    tcase_add_loop_test(t, a_damaged_snapshot_is_skipped_and_the_one_before_it_serves, 0,
                        (int)(sizeof damages / sizeof *damages));
    tcase_add_test(t, a_flipped_bit_anywhere_in_a_tensor_is_noticed);
    tcase_add_test(t, all_damaged_snapshots_are_skipped_and_the_log_serves);
    tcase_add_test(t, a_snapshot_can_be_dropped_with_its_tensors);
    tcase_add_test(t, a_pinned_snapshot_cannot_be_dropped);
    tcase_add_test(t, a_snapshot_is_pinned_and_released_and_says_so_after_opening_again);
    tcase_add_test(t, the_snapshot_of_the_creation_stays_pinned);
    tcase_add_test(t, the_last_snapshot_that_recovery_could_start_from_cannot_be_dropped);
    tcase_add_test(t, thinning_keeps_the_newest_and_one_per_power_of_two_of_age);
    tcase_add_test(t, thinning_never_takes_pinned_ones_nor_the_last_on_the_live_line);
    tcase_add_test(t, a_dropped_snapshot_leaves_no_weights_in_the_file);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
