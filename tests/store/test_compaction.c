/* test_compaction.c - a log whose oldest samples are not kept: what is left of it says the same from the baseline on, and what is not is gone. */
#define MODEL_STEPS 3
#include "store/replay/replayer.h"
#include "tests/store/model.h"

#define KEEP 40

static void init(struct model *m)
{
    struct event create = model_origin();
    create.as.create.settings.rehearsal_buffer = 4; /* of each class */
    model_init_from(m, &create);
    store_keep_samples(m->store, KEEP);
}

/* n events of ten samples, and a snapshot after every second. */
static void go_on(struct model *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        train(m, 10, m->learner->revision + 1);
        if (i % 2 == 1)
            snapshot(m);
    }
}

static void sweep(struct model *m)
{
    int status;
    while ((status = store_compact_sweep(m->store, 7, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
}

static void compact(struct model *m)
{
    ck_assert_msg(store_compact(m->store, m->learner, &m->err) == 1, "%s", m->err.text);
    ck_assert_uint_eq(m->learner->revision, store_revision(m->store));
}

static void again(struct model *m)
{
    (void)recovers(m);
    store_keep_samples(m->store, KEEP);
}

static int count(struct model *m, const char *sql)
{
    const int n = (int)strtol(ask(m, sql), NULL, 10);
    again(m);
    return n;
}

static void is_sound(struct model *m)
{
    verifies(m);
    again(m);
    verifies(m);
}

/* The state with the sample left out, from the baseline on; every event after it is of training, or says nothing. */
static struct learner *without(struct model *m, uint64_t baseline, int64_t gone)
{
    static uint8_t pixels[MODEL_PIXELS];
    struct learner *state = NULL;
    must(m, state_at(m->store, baseline, &state, &m->err));
    for (int64_t id = 1; id < store_next_sample_id(m->store); id++) {
        struct store_sample_row row;
        struct sample sample = {.id = id, .pixels = pixels};
        const int found = store_sample_row(m->store, id, &row, pixels, sizeof pixels, &m->err);
        if (found != 1 || row.revision <= baseline || id == gone)
            continue;
        sample.label = row.label;
        struct event event = {.kind = EVENT_TRAIN, .revision = state->revision + 1, .as.train = {1, &sample}};
        must(m, learner_apply(state, &event, &m->err));
    }
    return state;
}

START_TEST(what_is_older_than_the_baseline_goes)
{
    struct model m;
    init(&m);
    go_on(&m, 20);
    compact(&m);
    const uint64_t baseline = store_baseline(m.store).revision;
    ck_assert_uint_eq(store_baseline(m.store).kept, baseline);
    ck_assert_uint_gt(baseline, 1);
    is_sound(&m); /* before anything has gone */
    ck_assert_int_eq(store_compact_sweep(m.store, 1, &m.err), 1);
    is_sound(&m); /* and in the middle */
    sweep(&m);
    is_sound(&m);
    ck_assert_int_le(count(&m, "SELECT count(*) FROM sample"), KEEP + 20 + 12);
    ck_assert_int_ge(count(&m, "SELECT count(*) FROM sample"), KEEP);
    ck_assert_int_le(count(&m, "SELECT count(*) FROM outcome"), KEEP + 20 + 12);
    ck_assert_int_le(count(&m, "SELECT count(*) FROM snapshot"), 4);
    ck_assert_int_eq(store_compact(m.store, m.learner, &m.err), 0); /* nothing more to be had */
    go_on(&m, 20);
    is_sound(&m);
    compact(&m); /* a second one */
    ck_assert_uint_gt(store_baseline(m.store).revision, baseline);
    sweep(&m);
    is_sound(&m);
    ck_assert_int_le(count(&m, "SELECT count(*) FROM sample"), KEEP + 20 + 12);
    ck_assert_int_le(count(&m, "SELECT count(*) FROM event"), 30);
    model_fini(&m);
}
END_TEST

START_TEST(what_is_before_the_baseline_is_refused)
{
    struct model m;
    struct learner *state;
    struct store_sample_row row;
    struct edits edits = {0};
    init(&m);
    must(&m, store_snapshot(m.store, m.learner, "request", "", true, NULL, &m.err));
    go_on(&m, 4);
    struct store_snapshot pinned;
    must(&m, store_snapshot(m.store, m.learner, "request", "", true, &pinned, &m.err));
    go_on(&m, 16);
    compact(&m);
    sweep(&m);
    const uint64_t baseline = store_baseline(m.store).revision;
    must_fail(&m, ERR_GONE, state_at(m.store, baseline - 1, &state, &m.err));
    must(&m, state_at(m.store, baseline, &state, &m.err));
    learner_free(state);
    must_fail(&m, ERR_CONFLICT, store_snapshot_load(m.store, pinned.id, NULL, &state, &m.err));
    must(&m, store_snapshot_view(m.store, pinned.id, &state, &m.err));
    learner_free(state);
    int64_t gone = 1, held = 0;
    for (int64_t id = 20; id > 0; id--)
        if (store_sample_row(m.store, id, &row, NULL, 0, &m.err) == 1)
            held = id;
        else
            gone = id;
    must_fail(&m, ERR_GONE, store_sample_row(m.store, gone, &row, NULL, 0, &m.err));
    must_say(&m, "not kept");
    must(&m, edits_put(&edits, &(struct edit){.id = gone, .label = EDIT_FORGET}, &m.err));
    must_fail(&m, ERR_CONFLICT, store_edits_check(m.store, m.learner, &edits, NULL, &m.err));
    must_say(&m, "not kept");
    edits_fini(&edits);
    if (held > 0) {
        must(&m, edits_put(&edits, &(struct edit){.id = held, .label = EDIT_FORGET}, &m.err));
        must_fail(&m, ERR_CONFLICT, store_edits_check(m.store, m.learner, &edits, NULL, &m.err));
        edits_fini(&edits);
    }
    must_fail(&m, ERR_CONFLICT, store_edits_remove(m.store, m.learner, &edits, 1, EDIT_FORGET, &m.err));
    edits_fini(&edits);
    struct store_snapshot *list;
    size_t n;
    must(&m, store_snapshots(m.store, &list, &n, &m.err));
    for (size_t i = 0; i < n; i++)
        if (list[i].revision == baseline)
            must_fail(&m, ERR_CONFLICT, store_snapshot_drop(m.store, list[i].id, &m.err));
    free(list);
    must(&m, store_snapshots_prune(m.store, 1, &m.err));
    is_sound(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_sample_after_the_baseline_is_forgotten_as_if_it_had_never_been)
{
    struct model m;
    struct edits edits = {0};
    struct store_replayer *r;
    struct store_snapshot taken;
    struct learner *state;
    int status;
    init(&m);
    go_on(&m, 20);
    compact(&m);
    sweep(&m);
    const int64_t gone = store_next_sample_id(m.store) - 25;
    struct learner *twin = without(&m, store_baseline(m.store).revision, gone);
    must(&m, edits_put(&edits, &(struct edit){.id = gone, .label = EDIT_FORGET}, &m.err));
    must(&m, store_edits_check(m.store, m.learner, &edits, NULL, &m.err));
    must(&m, store_edits_keep(m.store, &edits, &m.err));
    ck_assert_int_eq(store_compact(m.store, m.learner, &m.err), 0); /* one is accepted */
    const struct replay_want what = {
        .target = store_revision(m.store), .from = edits_first(&edits) - 1, .edits = &edits};
    must(&m, store_replayer_open(&r, m.store, &what, &m.err));
    while ((status = store_replayer_step(r, 3, &m.err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m.err.text);
    must(&m, store_edits_take_over(m.store, r, &edits, &state, &taken, &m.err));
    store_replayer_close(r);
    while ((status = store_edits_sweep(m.store, 10, &m.err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m.err.text);
    edits_fini(&edits);
    learner_free(m.learner);
    m.learner = state;
    twin->revision = state->revision;
    same_state(twin, state);
    learner_free(twin);
    is_sound(&m);
    go_on(&m, 12);
    compact(&m); /* past the edit */
    sweep(&m);
    is_sound(&m);
    model_fini(&m);
}
END_TEST

START_TEST(rehearsals_are_of_what_is_kept_and_what_they_read_stays)
{
    struct model m;
    init(&m);
    go_on(&m, 6);
    in_group(&m, append_rehearse(&m, 1, INT64_MAX, 5));
    go_on(&m, 14);
    in_group(&m, append_rehearse(&m, 1, INT64_MAX, 6)); /* of all: it reads what is before every snapshot */
    compact(&m);
    sweep(&m);
    is_sound(&m);
    ck_assert_int_eq(count(&m, "SELECT count(*) FROM sample"), 200);
    int64_t first = 1, last = INT64_MAX;
    uint64_t n;
    must(&m, store_rehearsable(m.store, &first, &last, &n, &m.err));
    ck_assert_uint_lt(n, 100);
    in_group(&m, append_rehearse(&m, 1, INT64_MAX, 7));
    is_sound(&m);
    go_on(&m, 20);
    compact(&m);
    sweep(&m);
    is_sound(&m);
    ck_assert_int_le(count(&m, "SELECT count(*) FROM sample"), KEEP + 20 + 12);
    model_fini(&m);
}
END_TEST

START_TEST(a_way_back_from_behind_the_baseline_is_not_cut_off)
{
    struct model m;
    init(&m);
    go_on(&m, 10);
    struct learner *past = keep(&m);
    snapshot(&m);
    go_on(&m, 10);
    in_group(&m, append_activate(&m, past));
    ck_assert_int_eq(store_compact(m.store, m.learner, &m.err), 0); /* no snapshot is behind the way back */
    snapshot(&m);
    go_on(&m, 8);
    compact(&m);
    sweep(&m);
    is_sound(&m);
    learner_free(past);
    past = keep(&m); /* behind the baseline */
    go_on(&m, 2);
    in_group(&m, append_activate(&m, past));
    is_sound(&m);
    learner_free(past);
    model_fini(&m);
}
END_TEST

START_TEST(a_request_that_may_be_retried_is_kept)
{
    struct model m;
    struct store_key key = {.key = "k", .fingerprint = {1}};
    struct store_trained before, after;
    init(&m);
    key.revision = 2;
    in_group(&m, (append_train(&m, 10, 9), must(&m, store_put_key(m.store, &key, &m.err))));
    go_on(&m, 20);
    must(&m, store_trained(m.store, 2, &before, &m.err));
    compact(&m);
    sweep(&m);
    must(&m, store_trained(m.store, 2, &after, &m.err));
    ck_assert_uint_eq(after.n, 10);
    ck_assert_uint_eq(after.correct, before.correct);
    is_sound(&m);
    model_fini(&m);
}
END_TEST

/* Another snapshot in its place, or a row of the log that was changed. */
START_TEST(damage_is_found)
{
    static const char *const sql[] = {
        "UPDATE snapshot SET digest = zeroblob(32) WHERE revision = (SELECT body ->> '$.from' FROM event WHERE kind = "
        "'baseline')",
        "UPDATE event SET body = json_set(body, '$.samples', 7) WHERE kind = 'baseline'",
        "UPDATE event SET chain = zeroblob(32) WHERE revision = (SELECT body ->> '$.from' FROM event WHERE kind = "
        "'baseline')",
        "UPDATE sample SET image = zeroblob(64) WHERE id = (SELECT max(id) FROM sample) - 30",
        "DELETE FROM sample WHERE id = (SELECT max(id) FROM sample) - 30",
    };
    struct model m;
    init(&m);
    go_on(&m, 20);
    compact(&m);
    sweep(&m);
    tamper(&m, sql[_i]);
    if (store_open(&m.store, m.path, true, &m.err) == 0)
        must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, NULL, &m.err));
    ck_assert_int_eq(m.err.code, ERR_DB_CORRUPT);
    model_fini(&m);
}
END_TEST

START_TEST(the_history_counts_what_is_not_kept)
{
    struct model m;
    uint64_t n;
    struct store_window windows[2] = {{.first = 1, .last = 20}, {.first = 181, .last = 200}};
    init(&m);
    go_on(&m, 20);
    compact(&m);
    sweep(&m);
    must(&m, store_live_samples(m.store, &n, &m.err));
    ck_assert_uint_eq(n, 200);
    must(&m, store_windows(m.store, windows, 2, &m.err));
    ck_assert_uint_eq(windows[0].n, 0);
    ck_assert_uint_eq(windows[1].n, 20);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compaction");
    TCase *tests = tcase_create("compaction");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_is_older_than_the_baseline_goes);
    tcase_add_test(tests, what_is_before_the_baseline_is_refused);
    tcase_add_test(tests, a_sample_after_the_baseline_is_forgotten_as_if_it_had_never_been);
    tcase_add_test(tests, rehearsals_are_of_what_is_kept_and_what_they_read_stays);
    tcase_add_test(tests, a_way_back_from_behind_the_baseline_is_not_cut_off);
    tcase_add_test(tests, a_request_that_may_be_retried_is_kept);
    tcase_add_loop_test(tests, damage_is_found, 0, 5);
    tcase_add_test(tests, the_history_counts_what_is_not_kept);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
