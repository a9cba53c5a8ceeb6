/* test_edit_pieces.c - an edit is made in pieces: what is written down before means nothing, what is made is made for all of its samples at
 * once, whatever their number, and what was forgotten is gone for everybody before it is gone from the file. */
#include "tests/store/life.h"

/* A replay of edits that has come to its end. */
static struct store_replayer *replayed(struct life *l, const struct edits *edits)
{
    struct store_replayer *r;
    const struct replay_want want = {.target = store_revision(l->m.store),
                                     .from = edits_first(edits) - 1,
                                     .from_origin = edits_first(edits) == 1,
                                     .edits = edits};
    must(&l->m, store_replayer_open(&r, l->m.store, &want, &l->m.err));
    ck_assert_int_eq(store_replayer_step(r, UINT32_MAX, &l->m.err), 0);
    return r;
}

/* To its end, a piece a time; returns the most rows of the database that a piece changed. */
static uint64_t staged(struct life *l, struct store_replayer *r, struct edits *edits, size_t piece)
{
    uint64_t most = 0, before;
    int status;
    do {
        before = store_changes(l->m.store);
        status = store_edits_stage(l->m.store, r, edits, piece, &l->m.err);
        ck_assert_msg(status >= 0, "%s", l->m.err.text);
        most = store_changes(l->m.store) - before > most ? store_changes(l->m.store) - before : most;
    } while (status == 1);
    return most;
}

static uint64_t swept(struct life *l, size_t piece)
{
    uint64_t most = 0, before;
    int status;
    do {
        before = store_changes(l->m.store);
        status = store_edits_sweep(l->m.store, piece, &l->m.err);
        ck_assert_msg(status >= 0, "%s", l->m.err.text);
        most = store_changes(l->m.store) - before > most ? store_changes(l->m.store) - before : most;
    } while (status == 1);
    return most;
}

static void take_over(struct life *l, struct store_replayer *r, struct edits *edits)
{
    struct learner *state;
    must(&l->m, store_edits_take_over(l->m.store, r, edits, &state, NULL, &l->m.err));
    store_replayer_close(r);
    learner_free(l->m.learner);
    l->m.learner = state;
    note(l, (struct event){.kind = EVENT_EDIT, .revision = state->revision});
}

/* ---- how much there is to be done at once ---- */

#define PIECE 10u

/* Rows that change while a class is deleted: in the greatest piece, and in the switch. */
struct cost {
    uint64_t piece, at_once;
    size_t samples;
};

static struct cost cost_of(uint32_t n)
{
    static struct life l;
    struct edits edits = {0};
    struct cost cost;
    life_init(&l);
    for (uint32_t i = 0; i < n; i++) {
        if (i % (n / 4) == 0)
            snapshot(&l.m);
        live_train(&l, 12);
    }
    struct store_trained trained;
    must(&l.m, store_trained(l.m.store, 2, &trained, &l.m.err)); /* so that no outcomes wait to be written */
    must(&l.m, store_edits_remove(l.m.store, l.m.learner, &edits, 1, EDIT_FORGET, &l.m.err));
    must(&l.m, store_edits_keep(l.m.store, &edits, &l.m.err));
    struct store_replayer *r = replayed(&l, &edits);
    cost.piece = staged(&l, r, &edits, PIECE);
    const uint64_t before = store_changes(l.m.store);
    take_over(&l, r, &edits);
    cost.at_once = store_changes(l.m.store) - before;
    cost.samples = edits.n;
    const uint64_t piece = swept(&l, PIECE);
    cost.piece = piece > cost.piece ? piece : cost.piece;
    verifies(&l.m);
    edits_fini(&edits);
    life_fini(&l);
    return cost;
}

START_TEST(what_is_done_at_once_does_not_grow_with_the_samples)
{
    const struct cost few = cost_of(4), many = cost_of(44);
    ck_assert_uint_gt(many.samples, 8 * few.samples);
    ck_assert_uint_eq(few.at_once, many.at_once);
    ck_assert_uint_lt(many.at_once, 30);
    ck_assert_uint_eq(few.piece, many.piece);
    ck_assert_uint_le(many.piece, 2 * PIECE + 1); /* an image and an outcome each, and the cursor */
}
END_TEST

/* ---- before, after ---- */

#define GONE 6 /* a sample, to be forgotten */

/* Whether that sample is there, for all who could ask. */
static bool is_shown(struct life *l)
{
    struct store *store = l->m.store;
    struct store_search search = {.label = -1, .predicted = -1, .wrong = -1, .from_us = INT64_MIN, .to_us = INT64_MAX};
    static struct store_sample_row rows[SAMPLES], row;
    static uint8_t pixels[SAMPLES * MODEL_PIXELS];
    struct store_window window = {.first = 1, .last = SAMPLES};
    uint64_t n_live;
    uint32_t label;
    size_t n;
    int64_t next = GONE;
    const bool found = store_sample(store, GONE, &label, pixels, MODEL_PIXELS, &l->m.err) == 1;
    ck_assert_int_eq(store_sample_row(store, GONE, &row, NULL, 0, &l->m.err), found ? 1 : -1);
    search.before = GONE + 1;
    must(&l->m, store_search(store, &search, rows, 1, 1000, &n, &l->m.err));
    ck_assert(n == 1 && (rows[0].id == GONE) == found);
    must(&l->m, store_export(store, &next, GONE + 1, rows, pixels, MODEL_PIXELS, 1, &n, &l->m.err));
    ck_assert(n == 1 && (rows[0].id == GONE) == found);
    must(&l->m, store_live_samples(store, &n_live, &l->m.err));
    must(&l->m, store_windows(store, &window, 1, &l->m.err));
    ck_assert_uint_eq(n_live, window.n);
    return found;
}

/* After a stop as well. */
static void holds(struct life *l)
{
    (void)recovers(&l->m);
    verifies(&l->m);
}

static bool is_in_the_file(struct life *l)
{
    must(&l->m, store_checkpoint(l->m.store, true, &l->m.err));
    return stands_somewhere(l, l->samples[GONE].pixels, MODEL_PIXELS);
}

/* Sample GONE is forgotten, and every third one; others get another label. */
static void wanted(struct life *l, struct edits *edits)
{
    life_init(l);
    for (int i = 0; i < 5; i++) {
        live_train(l, 4);
        snapshot(&l->m);
    }
    for (int64_t id = GONE - 3; id < 20; id += 3)
        want(l, edits, id, EDIT_FORGET);
    want(l, edits, 4, (l->samples[4].label + 1) % 3);
    want(l, edits, 8, (l->samples[8].label + 1) % 3);
    must(&l->m, store_edits_check(l->m.store, l->m.learner, edits, NULL, &l->m.err));
}

START_TEST(what_is_written_down_means_nothing_until_it_is_made)
{
    static struct life l;
    struct edits edits = {0};
    wanted(&l, &edits);
    for (int attempt = 0; attempt < 3; attempt++) { /* each begins where the one before was given up */
        struct store_replayer *r = replayed(&l, &edits);
        for (int i = 0; i < 2 + 2 * attempt; i++)
            ck_assert_int_ge(store_edits_stage(l.m.store, r, &edits, 2, &l.m.err), 0);
        store_replayer_close(r);
        ck_assert(is_shown(&l));
        holds(&l);
    }
    struct store_replayer *r = replayed(&l, &edits);
    (void)staged(&l, r, &edits, 3);
    ck_assert(is_shown(&l));
    verifies(&l.m);
    take_over(&l, r, &edits);
    is_exact(&l);
    edits_fini(&edits);
    life_fini(&l);
}
END_TEST

START_TEST(what_was_written_down_and_not_made_is_swept)
{
    static struct life l;
    struct edits edits = {0};
    wanted(&l, &edits);
    struct store_replayer *r = replayed(&l, &edits);
    (void)staged(&l, r, &edits, 3);
    store_replayer_close(r);
    model_reopen(&l.m);
    ck_assert_uint_gt(swept(&l, 5), 0);
    ck_assert_uint_eq(swept(&l, 5), 0);
    ck_assert(is_shown(&l));
    holds(&l);
    edits_fini(&edits);
    life_fini(&l);
}
END_TEST

START_TEST(what_is_forgotten_is_gone_for_all_before_it_is_gone_from_the_file)
{
    static struct life l;
    struct edits edits = {0};
    struct store_snapshot *list;
    size_t n;
    int status;
    unsigned pieces = 0;
    wanted(&l, &edits);
    take_over(&l, replayed(&l, &edits), &edits);
    must(&l.m, store_snapshots(l.m.store, &list, &n, &l.m.err));
    ck_assert_uint_eq(n, 6); /* of the creation, four in place of those that saw, and of the edit */
    free(list);
    ck_assert(!is_shown(&l) && is_in_the_file(&l));
    is_exact(&l);
    while ((status = store_edits_sweep(l.m.store, 1, &l.m.err)) == 1) {
        pieces++;
        ck_assert(!is_shown(&l));
        holds(&l);
        if (pieces == 3) { /* what is learned meanwhile */
            live_train(&l, 4);
            is_exact(&l);
        }
    }
    ck_assert_int_eq(status, 0);
    ck_assert_uint_gt(pieces, 10);
    ck_assert(!is_in_the_file(&l));
    is_exact(&l);
    edits_fini(&edits);
    life_fini(&l);
}
END_TEST

/* A second edit comes before the first is swept out. */
START_TEST(an_edit_that_follows_sweeps_first)
{
    static struct life l;
    struct edits first = {0}, second = {0};
    wanted(&l, &first);
    take_over(&l, replayed(&l, &first), &first);
    want(&l, &second, 7, EDIT_FORGET);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &second, NULL, &l.m.err));
    struct store_replayer *r = replayed(&l, &second);
    ck_assert_int_eq(store_edits_stage(l.m.store, r, &second, 1, &l.m.err), 1);
    (void)staged(&l, r, &second, 1);
    ck_assert(!is_in_the_file(&l));
    take_over(&l, r, &second);
    is_exact(&l);
    (void)swept(&l, 100);
    is_exact(&l);
    edits_fini(&first);
    edits_fini(&second);
    life_fini(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edit pieces");
    TCase *t = tcase_create("edit pieces");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, what_is_done_at_once_does_not_grow_with_the_samples);
    tcase_add_test(t, what_is_written_down_means_nothing_until_it_is_made);
    tcase_add_test(t, what_was_written_down_and_not_made_is_swept);
    tcase_add_test(t, what_is_forgotten_is_gone_for_all_before_it_is_gone_from_the_file);
    tcase_add_test(t, an_edit_that_follows_sweeps_first);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
