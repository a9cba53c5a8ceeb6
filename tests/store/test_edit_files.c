/* test_edit_files.c - what an edit leaves in the files of a model: nothing of what was forgotten, no snapshot that saw it, and what
 * proves that it was made. */
#include "tests/store/life.h"

/* Whether no other sample that is still there has those bytes. */
static bool is_its_own(const struct life *l, int64_t id, size_t at, size_t n)
{
    for (int64_t other = 1; other <= SAMPLES; other++)
        if (other != id && !l->samples[other].forgotten &&
            memmem(l->samples[other].pixels, MODEL_PIXELS, l->samples[id].pixels + at, n) != NULL)
            return false;
    return true;
}

START_TEST(nothing_of_a_forgotten_image_stands_in_the_files)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, true);
    must(&l.m, store_checkpoint(l.m.store, true, &l.m.err));
    for (int64_t id = 1; id < 100; id += 4) {
        ck_assert(stands_somewhere(&l, l.samples[id].pixels, MODEL_PIXELS));
        want(&l, &edits, id, EDIT_FORGET);
    }
    work_in(&l, &edits, 6);
    for (int64_t id = 1; id < 100; id += 4)
        for (size_t at = 0; at + 16 <= MODEL_PIXELS; at += 16)
            ck_assert_msg(!is_its_own(&l, id, at, 16) || !stands_somewhere(&l, l.samples[id].pixels + at, 16),
                          "pixels of sample %lld", (long long)id);
    ck_assert(stands_somewhere(&l, l.samples[2].pixels, MODEL_PIXELS));
    life_fini(&l);
}
END_TEST

/* The key of the request that an event is, and what it stands for. */
static struct store_key key_of(uint64_t revision)
{
    struct store_key key = {.revision = revision};
    (void)snprintf(key.key, sizeof key.key, "key %llu", (unsigned long long)revision);
    for (size_t i = 0; i < sizeof key.fingerprint; i++)
        key.fingerprint[i] = (uint8_t)mix(revision * 1000 + i);
    return key;
}

/* An image of many pages goes by another way through SQLite than one of a few bytes. A hash of it tells whether it was that one. */
START_TEST(nothing_of_a_large_forgotten_image_or_of_its_hash_stands_in_the_files)
{
    static struct life l;
    static uint8_t pixels[150 * 150], big[150 * 150];
    struct event create = model_origin();
    struct edits edits = {0};
    struct store_replayer *r;
    struct learner *state;
    memset(&l, 0, sizeof l);
    create.as.create.shape.width = create.as.create.shape.height = 150;
    model_init_from(&l.m, &create);
    for (uint64_t i = 1; i <= 9; i++) {
        for (size_t p = 0; p < sizeof pixels; p++)
            pixels[p] = (uint8_t)mix(i * 100000 + p);
        if (i == 4)
            memcpy(big, pixels, sizeof big);
        struct sample sample = {.label = (uint32_t)(i % 3), .pixels = pixels};
        struct event event = {.kind = EVENT_TRAIN, .revision = i + 1, .as.train = {.n = 1, .samples = &sample}};
        store_next(l.m.store, &event);
        const struct store_key key = key_of(event.revision);
        in_group(&l.m, must(&l.m, store_append(l.m.store, &event, &l.m.err));
                 must(&l.m, store_put_key(l.m.store, &key, &l.m.err)));
        must(&l.m, learner_apply(l.m.learner, &event, &l.m.err));
        store_outcomes(l.m.store, &event);
    }
    must(&l.m, edits_put(&edits, &(struct edit){.id = 4, .label = EDIT_FORGET}, &l.m.err));
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    must(&l.m,
         store_replayer_open(&r, l.m.store, &(struct replay_want){.target = 10, .from = 4, .edits = &edits}, &l.m.err));
    ck_assert_int_eq(store_replayer_step(r, 1000, &l.m.err), 0);
    must(&l.m, store_edits_take_over(l.m.store, r, &edits, &state, NULL, &l.m.err));
    store_replayer_close(r);
    while (store_edits_sweep(l.m.store, 10, &l.m.err) == 1)
        ;
    must(&l.m, store_checkpoint(l.m.store, true, &l.m.err));
    learner_free(l.m.learner);
    l.m.learner = state;
    for (size_t at = 0; at + 32 <= sizeof big; at += 32)
        ck_assert_msg(!stands_somewhere(&l, big + at, 32), "pixels from %zu on", at);
    ck_assert(stands_somewhere(&l, pixels, 32));
    for (uint64_t revision = 2; revision <= 10; revision++) {
        const struct store_key key = key_of(revision);
        struct store_key found;
        const bool forgotten = revision == 5;
        ck_assert_int_eq(stands_somewhere(&l, key.fingerprint, sizeof key.fingerprint), !forgotten);
        ck_assert_int_eq(store_find_key(l.m.store, key.key, &found, &l.m.err), 1);
        ck_assert(store_key_is(&found, key.fingerprint));
        ck_assert_int_eq(store_key_is(&found, big), forgotten);
    }
    verifies(&l.m);
    edits_fini(&edits);
    model_fini(&l.m);
}
END_TEST

START_TEST(snapshots_that_saw_an_edited_sample_are_gone_others_stand_in_their_place_and_the_rest_stay)
{
    static struct life l;
    struct edits edits = {0};
    struct store_snapshot *list;
    size_t n;
    live(&l, true);                             /* snapshots at 1, 5, 15, 25, 35; 13, 26 go back to 7, 20 */
    want(&l, &edits, l.first[10], EDIT_FORGET); /* left behind at 13 */
    work_in(&l, &edits, 6);
    must(&l.m, store_snapshots(l.m.store, &list, &n, &l.m.err));
    ck_assert_uint_eq(n, 6); /* 15, 25 and 35 are on lines that never had it */
    free(list);
    want(&l, &edits, l.first[18], EDIT_FORGET);
    work_in(&l, &edits, 6);
    must(&l.m, store_snapshots(l.m.store, &list, &n, &l.m.err));
    ck_assert_uint_eq(n, 5); /* 25 is on a line that was left */
    ck_assert(list[0].revision == 1 && list[1].revision == 5 && list[2].revision == 15 && list[3].revision == 35 &&
              list[4].revision == 40);
    ck_assert(strcmp(list[3].reason, "edit") == 0 && strcmp(list[4].reason, "edit") == 0);
    free(list);
    is_exact(&l);             /* which compares each snapshot with a replay from nothing */
    struct store_replayer *r; /* so the next edit begins near what it changes */
    const struct replay_want next = {.target = 40, .from = 37};
    must(&l.m, store_replayer_open(&r, l.m.store, &next, &l.m.err));
    ck_assert_uint_eq(store_replayer_place(r), 35);
    store_replayer_close(r);
    life_fini(&l);
}
END_TEST

START_TEST(a_pinned_snapshot_that_saw_goes_only_when_it_may)
{
    static struct life l;
    struct edits edits = {0};
    struct store_replayer *r;
    struct learner *state;
    size_t n;
    int64_t first = 0;
    life_init(&l);
    live_train(&l, 4);
    must(&l.m, store_snapshot(l.m.store, l.m.learner, "request", "keep me", true, NULL, &l.m.err));
    live_train(&l, 4);
    want(&l, &edits, 6, EDIT_FORGET);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    must(&l.m, store_edits_pinned(l.m.store, &edits, &n, &first, &l.m.err));
    ck_assert_uint_eq(n, 0); /* it is older */
    want(&l, &edits, 3, EDIT_FORGET);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    must(&l.m, store_edits_pinned(l.m.store, &edits, &n, &first, &l.m.err));
    ck_assert(n == 1 && first == 2);
    const struct replay_want what = {.target = 3, .from = 1, .edits = &edits};
    must(&l.m, store_replayer_open(&r, l.m.store, &what, &l.m.err));
    ck_assert_int_eq(store_replayer_step(r, 1000, &l.m.err), 0);
    must_fail(&l.m, ERR_CONFLICT, store_edits_take_over(l.m.store, r, &edits, &state, NULL, &l.m.err));
    store_replayer_close(r);
    (void)recovers(&l.m); /* nothing has changed */
    verifies(&l.m);
    edits.drop_pinned = true;
    work_in(&l, &edits, 100);
    must_fail(&l.m, ERR_NOT_FOUND, store_snapshot_find(l.m.store, 2, &(struct store_snapshot){0}, &l.m.err));
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(what_was_accepted_is_kept_until_it_is_in_the_log)
{
    static struct life l;
    struct edits edits = {0}, kept;
    life_init(&l);
    live_train(&l, 4);
    want(&l, &edits, 2, EDIT_FORGET);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    edits.drop_pinned = true;
    must(&l.m, store_edits_keep(l.m.store, &edits, &l.m.err));
    edits_fini(&edits);
    edits = (struct edits){0};
    want(&l, &edits, 3, 2);
    must(&l.m, store_edits_keep(l.m.store, &edits, &l.m.err));
    edits_fini(&edits);
    (void)recovers(&l.m);
    must(&l.m, store_edits_kept(l.m.store, &kept, &l.m.err));
    ck_assert(kept.n == 2 && kept.drop_pinned);
    ck_assert(kept.list[0].id == 2 && kept.list[0].label == EDIT_FORGET);
    ck_assert(kept.list[1].id == 3 && kept.list[1].label == 2);
    work_in(&l, &kept, 2);
    must(&l.m, store_edits_kept(l.m.store, &kept, &l.m.err));
    ck_assert_uint_eq(kept.n, 0);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

/* ---- damage ---- */

/* What verify, and recovery from nothing, say of a file with edits after one statement of SQL. */
static const struct {
    const char *sql, *says;
} damages[] = {
    {"UPDATE sample SET label = (label + 1) % 3 WHERE id = 5", "revision 3"}, /* beside a forgotten one       */
    {"UPDATE sample SET image = zeroblob(64) WHERE id = 7", "revision 3"},    /* likewise                     */
    {"UPDATE sample SET label = 0, image = zeroblob(64) WHERE id = 6", "revision 3"},
    {"UPDATE sample SET label = -1 WHERE id = 2", "revision 2"},
    {"UPDATE sample SET label = -1 WHERE id = 7", "revision 3"},
    {"DELETE FROM sample WHERE id = 6", "revision 3"},
    {"DELETE FROM edited", "revision 3"},
    {"UPDATE edited SET hash = zeroblob(32)", "revision 3"},
    {"DELETE FROM edit WHERE sample = 10", "revision 5"},
    {"UPDATE edit SET label = 0 WHERE sample = 10", "revision 5"},
    {"UPDATE edit SET was = was + 1 WHERE sample = 6", "revision 5"},
    {"UPDATE edit SET number = 2 WHERE sample = 10", "revision 5"},
    {"INSERT INTO edit VALUES (2, 1, 0, 1)", "revision 5"},
    {"INSERT INTO edit VALUES (6, 2, 0, -1)", "missing from the log"},
    {"INSERT INTO edited VALUES (2, 2, zeroblob(32))", "missing from the log"},
    {"INSERT INTO edit_work VALUES (1, NULL, 0)", "revision 3"},
    {"INSERT INTO edit_work VALUES (2, 5, 0)", "missing from the log"},
    {"UPDATE sample SET label = 0, image = zeroblob(64) WHERE id = 6", "revision 3: sample 6 was forgotten"},
    {"UPDATE event SET body = json_set(body, '$.from', 4) WHERE kind = 'edit'", "revision"},
    {"UPDATE event SET body = '{}' WHERE kind = 'edit'", "revision"},
};

START_TEST(damage_to_what_an_edit_wrote_is_found_and_named)
{
    static struct life l;
    struct edits edits = {0};
    life_init(&l);
    live_train(&l, 4);
    live_train(&l, 4);
    live_train(&l, 4);
    want(&l, &edits, 6, EDIT_FORGET);
    want(&l, &edits, 10, l.samples[10].label == 1 ? 2 : 1);
    work_in(&l, &edits, 6);
    live_train(&l, 4);
    verifies(&l.m);
    tamper(&l.m, damages[_i].sql);
    struct err err = {0};
    if (store_open(&l.m.store, l.m.path, false, &err) == 0)
        ck_assert_msg(store_verify(l.m.store, NULL, NULL, NULL, NULL, &err) != 0, "verify holds after %s",
                      damages[_i].sql);
    ck_assert_int_eq(err.code, ERR_DB_CORRUPT);
    ck_assert_msg(strstr(err.text, damages[_i].says) != NULL, "%s: %s", damages[_i].sql, err.text);
    life_fini(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edit files");
    TCase *t = tcase_create("edit files");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, nothing_of_a_forgotten_image_stands_in_the_files);
    tcase_add_test(t, nothing_of_a_large_forgotten_image_or_of_its_hash_stands_in_the_files);
    tcase_add_test(t, snapshots_that_saw_an_edited_sample_are_gone_others_stand_in_their_place_and_the_rest_stay);
    tcase_add_test(t, a_pinned_snapshot_that_saw_goes_only_when_it_may);
    tcase_add_test(t, what_was_accepted_is_kept_until_it_is_in_the_log);
    tcase_add_loop_test(t, damage_to_what_an_edit_wrote_is_found_and_named, 0, sizeof damages / sizeof *damages);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
