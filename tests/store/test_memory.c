/* test_memory.c - memory runs out at the n-th allocation of each operation of the store, for every n, once and for good.
 *
 * What must hold: no crash; an error that says so, or the same result as ever (SQLite does without some memory); no block
 * left behind; the store is as before and does it when there is memory again; and what is on the disk is what was told.
 */
#include "store/replay/replayer.h"
#include "tests/oom.h"
#include "tests/store/image.h"
#include "tests/store/model.h"

/* What a start gave, for a look once there is memory again: libcheck needs some itself. */
static struct learner *recovered;

/* ---- operations: each 0, or -1 with m->err and m->learner as before ---- */

static uint64_t turn;         /* another group each time                */
static struct event prepared; /* of it, made while there is memory: libcheck */

static void prepare(struct model *m)
{
    turn++;
    prepared = train_event(m->learner->revision + 1, 40, m->learner->n_classes, turn);
}

/* Puts the learner back where an operation failed. */
static int settle(struct model *m, struct learner *before, int status)
{
    if (status == 0) {
        learner_free(before);
        return 0;
    }
    store_rollback(m->store);
    learner_free(m->learner);
    m->learner = before;
    return -1;
}

static int do_group(struct model *m)
{
    struct learner *before = learner_dup(m->learner, true, &m->err);
    if (before == NULL)
        return -1;
    struct event event = prepared;
    struct event tune = {.kind = EVENT_TUNE, .revision = event.revision + 1, .as.tune.settings = m->learner->settings};
    struct event add = {.kind = EVENT_CLASS,
                        .revision = event.revision + 2,
                        .as.class_ = {.action = CLASS_ADD, .index = m->learner->n_classes}};
    struct store_key key = {.revision = add.revision};
    tune.as.tune.settings.rate = 0.01F * (float)(1 + turn % 9);
    (void)snprintf(add.as.class_.label, sizeof add.as.class_.label, "class %llu", (unsigned long long)turn);
    (void)snprintf(key.key, sizeof key.key, "key %llu", (unsigned long long)turn);
    int status = store_begin(m->store, &m->err);
    if (status == 0 &&
        (learner_apply(m->learner, &event, &m->err) != 0 || store_append(m->store, &event, &m->err) != 0 ||
         learner_apply(m->learner, &tune, &m->err) != 0 || store_append(m->store, &tune, &m->err) != 0 ||
         learner_reserve(m->learner, add.as.class_.index + 1, &m->err) != 0 ||
         learner_apply(m->learner, &add, &m->err) != 0 || store_append(m->store, &add, &m->err) != 0 ||
         store_put_key(m->store, &key, &m->err) != 0 || store_commit(m->store, &m->err) != 0))
        status = -1;
    if (status == 0)
        store_outcomes(m->store, &event);
    return settle(m, before, status);
}

static int do_activate(struct model *m)
{
    struct learner *state = NULL;
    struct event event = {.kind = EVENT_ACTIVATE, .revision = m->learner->revision + 1};
    event.as.activate.revision = 3; /* the line stays as short as it is */
    if (state_at(m->store, event.as.activate.revision, &state, &m->err) != 0)
        return -1;
    if (store_begin(m->store, &m->err) != 0 || store_append(m->store, &event, &m->err) != 0 ||
        store_commit(m->store, &m->err) != 0) {
        store_rollback(m->store);
        learner_free(state);
        return -1;
    }
    learner_free(m->learner);
    m->learner = state;
    m->learner->revision = event.revision;
    return 0;
}

static int do_snapshot(struct model *m)
{
    return store_snapshot(m->store, m->learner, "request", "a note", false, NULL, &m->err);
}

static int do_look(struct model *m)
{
    struct store_snapshot *list = NULL, one;
    struct learner *state = NULL;
    struct store_key key = {0};
    uint8_t pixels[MODEL_PIXELS];
    uint32_t label;
    size_t n;
    int status = store_snapshots(m->store, &list, &n, &m->err);
    if (status == 0)
        status = store_snapshot_find(m->store, list[0].id, &one, &m->err);
    if (status == 0)
        status = store_snapshot_load(m->store, list[n - 1].id, NULL, &state, &m->err);
    if (status == 0)
        status = store_find_key(m->store, "key 1", &key, &m->err) < 0 ? -1 : 0;
    if (status == 0)
        status = store_sample(m->store, 1, &label, pixels, sizeof pixels, &m->err) == 1 ? 0 : -1;
    learner_free(state);
    free(list);
    return status;
}

/* The replay of what was accepted, and the take-over. */
static int rebuild(struct model *m, struct edits *edits)
{
    struct store_replayer *r = NULL;
    struct learner *state = NULL;
    const struct replay_want want = {.target = store_revision(m->store),
                                     .from = edits_first(edits) - 1,
                                     .from_origin = edits_first(edits) == 1,
                                     .edits = edits};
    int status = store_replayer_open(&r, m->store, &want, &m->err);
    while (status == 0 && (status = store_replayer_step(r, 7, &m->err)) == 1)
        status = 0;
    if (status == 0)
        status = store_edits_take_over(m->store, r, edits, &state, NULL, &m->err);
    store_replayer_close(r);
    if (status != 0)
        return -1;
    learner_free(m->learner);
    m->learner = state;
    return 0;
}

/* Another label for a sample of old, each turn another one. */
static int do_edit(struct model *m)
{
    struct edits edits = {0};
    int status = edits_put(&edits, &(struct edit){.id = 2, .label = (uint32_t)(turn % 3)}, &m->err);
    if (status == 0)
        status = store_edits_check(m->store, m->learner, &edits, NULL, &m->err);
    if (status == 0 && edits.n > 0) { /* else it has that label */
        status = store_edits_keep(m->store, &edits, &m->err);
        if (status == 0)
            status = rebuild(m, &edits);
    }
    edits_fini(&edits);
    return status;
}

static const struct removal {
    uint32_t removed, into;
} * removal;

/* Taken up where it was accepted before. */
static int do_remove(struct model *m)
{
    struct edits edits = {0};
    int status = store_edits_kept(m->store, &edits, &m->err);
    const bool kept = edits.removes;
    if (status == 0)
        status = store_edits_remove(m->store, m->learner, &edits, removal->removed, removal->into, &m->err);
    if (status == 0 && !kept)
        status = store_edits_keep(m->store, &edits, &m->err);
    if (status == 0)
        status = rebuild(m, &edits);
    edits_fini(&edits);
    return status;
}

static int do_amend(struct model *m)
{
    const bool pinned = turn % 2 == 0;
    struct store_snapshot was, is;
    if (store_snapshot_find(m->store, 2, &was, &m->err) != 0)
        return -1;
    const int status = store_snapshot_update(m->store, 2, &pinned, was.note[0] == 'a' ? "b" : "a", &is, &m->err);
    return status != 0 || (is.pinned == pinned && is.note[0] != was.note[0]) ? status : -1;
}

static int do_thin(struct model *m)
{
    return store_snapshots_prune(m->store, 2, &m->err);
}

static int do_upkeep(struct model *m)
{
    if (store_checkpoint(m->store, false, &m->err) != 0 || store_expire_keys(m->store, 0, 0, &m->err) < 0)
        return -1;
    return store_checkpoint(m->store, true, &m->err);
}

static int do_verify(struct model *m)
{
    return store_verify(m->store, NULL, NULL, NULL, NULL, &m->err);
}

static int do_start(struct model *m)
{
    store_close(m->store);
    m->store = NULL;
    if (store_open(&m->store, m->path, false, &m->err) != 0)
        return -1;
    if (store_recover(m->store, NULL, NULL, NULL, &recovered, NULL, &m->err) != 0) {
        store_close(m->store);
        m->store = NULL;
        return -1;
    }
    return 0;
}

static int do_salvage(struct model *m)
{
    struct store *store = NULL;
    int status = store_salvage(&store, m->path, NULL, NULL, NULL, &recovered, NULL, &m->err);
    store_close(store);
    return status;
}

/* ---- the sweeps ---- */

static void check_recovered(struct model *m, uint64_t revision)
{
    if (recovered == NULL)
        return;
    ck_assert_uint_eq(recovered->revision, revision);
    if (revision == m->learner->revision)
        same_state(recovered, m->learner);
    learner_free(recovered);
    recovered = NULL;
}

/* Every one of the first, then each ALLOCATION_STEP-th: 1 in the long form. */
static unsigned long next_allocation(unsigned long n)
{
    const char *wish = getenv("ALLOCATION_STEP");
    return n < 30 ? n + 1 : n + (wish != NULL ? strtoul(wish, NULL, 10) : 29);
}

/* Runs what for n = 1, 2, .. until none is refused any more. Returns how many were refused. */
static unsigned long sweep(const char *name, struct model *m, bool for_good, int (*what)(struct model *),
                           void (*check)(struct model *))
{
    for (unsigned long n = 1, turns = 1;; n = next_allocation(n), turns++) {
        uint64_t revision = m->store != NULL ? store_revision(m->store) : 0;
        struct learner *before = keep(m);
        long live = oom_live();
        m->err = (struct err){0};
        prepare(m);
        oom_arm(n, for_good);
        int status = what(m);
        unsigned long refused = oom_disarm();
        ck_assert_msg(status == 0 || recovered == NULL, "%s: failed, and yet gave a state", name);
        check_recovered(m, what == do_salvage ? m->learner->revision - 1 : m->learner->revision);
        if (status != 0) {
            ck_assert_msg(refused > 0, "%s: failed with memory: %s", name, m->err.text);
            ck_assert_msg(m->err.code == ERR_MEMORY, "%s, allocation %lu: %s: %s", name, n, err_code_name(m->err.code),
                          m->err.text);
            if (m->store != NULL) {
                ck_assert_uint_eq(store_revision(m->store), revision);
                ck_assert(!store_sync_failed(m->store));
            }
            same_state(m->learner, before);
            /* SQLite keeps what it has made of a statement, so equal is too much to ask for; growth without end is not. */
            ck_assert_msg(oom_live() - live < 400, "%s, allocation %lu: %ld blocks are left", name, n,
                          oom_live() - live);
            ck_assert_msg(what(m) == 0, "%s, after allocation %lu failed: %s", name, n, m->err.text);
            check_recovered(m, what == do_salvage ? m->learner->revision - 1 : m->learner->revision);
        }
        if (check != NULL && (turns % 16 == 0 || refused == 0))
            check(m);
        learner_free(before);
        if (refused == 0)
            return turns - 1;
    }
}

static void history(struct model *m)
{
    struct event create = model_origin();
    model_folder_in_memory(m);
    model_make(m, &create);
    train(m, 5, 1);
    in_group(m, append_class(m, CLASS_ADD, 3, "d"));
    snapshot(m);
    struct learner *three = keep(m);
    in_group(m, append_tune(m, 0.4F, GRADIENT_JACOBIAN));
    train(m, 20, 2);
    in_group(m, append_activate(m, three));
    learner_free(three);
    train(m, 20, 3);
}

static void sound(struct model *m)
{
    (void)recovers(m);
}

static const struct sweep {
    const char *name;
    int (*what)(struct model *);
    void (*check)(struct model *);
    unsigned long at_least; /* allocations, so that a sweep that misses its aim is noticed */
} sweeps[] = {
    {"group", do_group, sound, 15},  {"activate", do_activate, sound, 15}, {"snapshot", do_snapshot, sound, 4},
    {"look", do_look, NULL, 8},      {"amend", do_amend, sound, 1},        {"thin", do_thin, sound, 2},
    {"upkeep", do_upkeep, sound, 1}, {"verify", do_verify, NULL, 20},      {"start", do_start, NULL, 60},
};

START_TEST(the_store_lives_through_any_failed_allocation)
{
    const struct sweep *s = &sweeps[_i / 2];
    bool for_good = _i % 2 == 1;
    struct model m;
    history(&m);
    unsigned long n = sweep(s->name, &m, for_good, s->what, s->check);
    (void)printf("memory: %s%s: %lu allocations refused, each in its turn\n", s->name,
                 for_good ? ", and all after it" : "", n);
    ck_assert_uint_ge(n, s->at_least);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

/* Not as a sweep to the end: each edit makes the log longer, and so the next one's allocations more. */
START_TEST(an_edit_is_made_whole_or_not_at_all)
{
    struct model m;
    unsigned failed = 0;
    history(&m);
    for (unsigned long n = 1; n <= 500; n = next_allocation(n)) {
        struct learner *before = keep(&m);
        prepare(&m);
        oom_arm(n, _i == 1);
        int status = do_edit(&m);
        (void)oom_disarm();
        if (status != 0) {
            failed++;
            ck_assert_msg(m.err.code == ERR_MEMORY, "allocation %lu: %s", n, m.err.text);
            same_state(m.learner, before);
            ck_assert_uint_eq(store_revision(m.store), before->revision);
            must(&m, do_edit(&m));
        }
        learner_free(before);
    }
    ck_assert_uint_ge(failed, 30);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

/* Each turn from the same files, to the end. */
START_TEST(a_class_is_removed_whole_or_not_at_all)
{
    static const struct removal removals[] = {{1, 3}, {0, EDIT_FORGET}};
    struct model m;
    struct image image;
    struct learner *before, *after = NULL;
    unsigned long n = 0, refused = 1, failed = 0;
    history(&m);
    removal = &removals[_i / 2];
    image_take(&image, &m);
    before = keep(&m);
    while (refused > 0) {
        image_put(&image, &m);
        (void)recovers(&m);
        if (n > 0) /* once without, for what it gives */
            oom_arm(n, _i % 2 == 1);
        const int status = do_remove(&m);
        refused = n > 0 ? oom_disarm() : 1;
        if (status != 0) {
            failed++;
            ck_assert_msg(m.err.code == ERR_MEMORY, "allocation %lu: %s", n, m.err.text);
            ck_assert_uint_eq(store_revision(m.store), before->revision);
            same_state(m.learner, before);
            ck_assert_msg(do_remove(&m) == 0, "after allocation %lu failed: %s", n, m.err.text);
        }
        after = after != NULL ? after : keep(&m);
        same_state(m.learner, after);
        if (n % 8 == 0) {
            (void)recovers(&m);
            verifies(&m);
        }
        learner_free(m.learner);
        m.learner = learner_dup(before, true, NULL);
        for (int i = 0; i < (n < 30 ? 1 : 3); i++) /* there are many */
            n = next_allocation(n);
    }
    (void)printf("memory: class removed%s: %lu times refused\n", _i % 2 == 1 ? ", and all after it" : "", failed);
    ck_assert_uint_ge(failed, 20);
    learner_free(before);
    learner_free(after);
    image_fini(&image);
    model_fini(&m);
}
END_TEST

START_TEST(a_damaged_log_is_salvaged_or_not_at_all)
{
    struct model m;
    history(&m);
    tamper(&m, "UPDATE event SET created_us = 1 WHERE revision = 7");
    unsigned long n = sweep("salvage", &m, _i == 1, do_salvage, NULL);
    ck_assert_uint_ge(n, 60);
    model_fini(&m);
}
END_TEST

START_TEST(a_model_is_made_whole_or_not_at_all)
{
    struct model m;
    struct event create = model_origin();
    unsigned long n = 1, refused;
    model_folder_in_memory(&m);
    m.learner = learner_create(&create, NULL, 0, &m.err);
    do {
        oom_arm(n, _i == 1);
        int status = store_create(&m.store, m.path, &create, m.learner, &m.err);
        refused = oom_disarm();
        if (status != 0) {
            struct stat there;
            ck_assert_uint_gt(refused, 0);
            ck_assert_msg(m.err.code == ERR_MEMORY, "allocation %lu: %s: %s", n, err_code_name(m.err.code), m.err.text);
            ck_assert_ptr_null(m.store);
            if (stat(m.path, &there) == 0) /* it was whole, and only opening it again failed */
                must(&m, store_open(&m.store, m.path, false, &m.err));
            else
                must(&m, store_create(&m.store, m.path, &create, m.learner, &m.err));
        }
        (void)recovers(&m);
        store_close(m.store);
        m.store = NULL;
        ck_assert_int_eq(unlink(m.path), 0);
        n = next_allocation(n);
    } while (refused > 0);
    ck_assert_uint_gt(n, 100);
    model_fini(&m); /* nothing else is in the folder */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *t = tcase_create("memory");
    tcase_set_timeout(t, 900);
    tcase_add_loop_test(t, the_store_lives_through_any_failed_allocation, 0, 2 * (int)(sizeof sweeps / sizeof *sweeps));
    tcase_add_loop_test(t, an_edit_is_made_whole_or_not_at_all, 0, 2);
    tcase_add_loop_test(t, a_class_is_removed_whole_or_not_at_all, 0, 4);
    tcase_add_loop_test(t, a_damaged_log_is_salvaged_or_not_at_all, 0, 2);
    tcase_add_loop_test(t, a_model_is_made_whole_or_not_at_all, 0, 2);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
