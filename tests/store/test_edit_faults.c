/* test_edit_faults.c - the disk says no while the past is changed: while samples are forgotten and relabelled, a class is merged or
 * deleted, a snapshot is pinned and noted, the oldest samples are no longer kept; and at the start after a crash in the midst of that.
 *
 * Every turn begins with the same files, put back as they were, and one more call of the disk that fails (fault_disk.h). What must
 * hold after it: nothing has changed, or all of it; what was accepted is found again and can be made; and the end is the very
 * state that a run without faults gives (which test_edits.c compares with the edited log), with no byte of what was forgotten in
 * the files.
 */
#include <errno.h>

#include "store/replay/replayer.h"
#include "tests/core/run.h"
#include "tests/store/fault_disk.h"
#include "tests/store/image.h"
#include "tests/store/model.h"

/* ---- what is done to the past ---- */

enum change { AMEND, FORGET, MERGE, DELETE_FIRST, DELETE_ADDED, COMPACT, N_CHANGES };

#define SNAPSHOT  2 /* that is pinned and noted */
#define FORGOTTEN 5 /* a sample; of class 0     */
#define NOTE      "before the new camera"
#define KEEP      6 /* samples, when the oldest are no longer kept */

/* Classes 0 to 2 are of the create event, 3 came later; samples of all, and snapshots. Nothing was copied from the WAL. A rehearsal reads all
 * that was before it, which then is kept. */
static void make_model(struct model *m, enum change change)
{
    struct event create = model_origin();
    create.as.create.settings.rehearsal_buffer = change == COMPACT ? 1 : create.as.create.settings.rehearsal_buffer;
    model_folder_in_memory(m);
    model_make(m, &create);
    train(m, 9, 1);
    snapshot(m);
    in_group(m, append_class(m, CLASS_ADD, 3, "d"));
    train(m, 12, 2);
    if (change == COMPACT)
        snapshot(m);
    else
        in_group(m, append_rehearse(m, 1, INT64_MAX, 3));
    train(m, KEEP, 4);
}

static int look_again(struct model *m, struct edits *edits, size_t *n_void)
{
    struct edits_look *look;
    if (store_edits_look_open(&look, m->store, m->learner, edits, &m->err) != 0)
        return -1;
    const int status = store_edits_look_step(look, SIZE_MAX, n_void, &m->err);
    store_edits_look_close(look);
    return status;
}

/* What is to be done, looked up; or what was accepted before, looked up again. */
static int look_up(struct edits *edits, struct model *m, enum change change)
{
    static const struct {
        uint32_t removed, into;
    } removals[N_CHANGES] = {[MERGE] = {1, 3}, [DELETE_FIRST] = {0, EDIT_FORGET}, [DELETE_ADDED] = {3, EDIT_FORGET}};
    size_t n_void;
    if (store_edits_kept(m->store, edits, &m->err) != 0)
        return -1;
    const bool kept = edits->n > 0 || edits->removes;
    if (change != FORGET)
        return store_edits_remove(m->store, m->learner, edits, removals[change].removed, removals[change].into,
                                  &m->err) != 0 ||
                       (!kept && store_edits_keep(m->store, edits, &m->err) != 0)
                   ? -1
                   : 0;
    if (kept)
        return look_again(m, edits, &n_void);
    for (int64_t id = FORGOTTEN; id < 24; id += 7)
        must(m, edits_put(edits, &(struct edit){.id = id, .label = id == FORGOTTEN ? EDIT_FORGET : 2}, &m->err));
    return store_edits_check(m->store, m->learner, edits, NULL, &m->err) != 0 ||
                   store_edits_keep(m->store, edits, &m->err) != 0
               ? -1
               : 0;
}

static int compact(struct model *m)
{
    store_keep_samples(m->store, KEEP);
    const int status = store_compact(m->store, m->learner, &m->err);
    ck_assert_msg(status != 0, "no baseline is due");
    return status == 1 ? 0 : -1;
}

/* Makes what is to be done, but leaves the WAL with the pages of before: 0; or -1 with m->err, and the learner as it was. */
static int take_over(struct model *m, enum change change)
{
    struct edits edits = {0};
    struct store_replayer *r = NULL;
    struct learner *state = NULL;
    const bool pin = true;
    if (change == AMEND)
        return store_snapshot_update(m->store, SNAPSHOT, &pin, NOTE, &(struct store_snapshot){0}, &m->err);
    if (change == COMPACT)
        return compact(m);
    int status = look_up(&edits, m, change);
    if (status == 0) {
        const struct replay_want want = {.target = store_revision(m->store),
                                         .from = edits_first(&edits) - 1,
                                         .from_origin = edits_first(&edits) == 1,
                                         .edits = &edits};
        status = store_replayer_open(&r, m->store, &want, &m->err);
    }
    while (status == 0 && (status = store_replayer_step(r, 7, &m->err)) == 1)
        status = 0;
    if (status == 0)
        status = store_edits_take_over(m->store, r, &edits, &state, NULL, &m->err);
    store_replayer_close(r);
    edits_fini(&edits);
    if (status != 0)
        return -1;
    learner_free(m->learner);
    m->learner = state;
    return 0;
}

static int sweep_some(struct model *m, bool baseline)
{
    return baseline ? store_compact_sweep(m->store, 2, &m->err) : store_edits_sweep(m->store, 2, &m->err);
}

/* What is left to be done then, or after a crash in the midst of it. */
static int sweep_out(struct model *m)
{
    int status;
    while ((status = sweep_some(m, false)) == 1)
        ;
    while (status >= 0 && (status = sweep_some(m, true)) == 1)
        ;
    return status == 0 ? store_checkpoint(m->store, true, &m->err) : -1;
}

/* All of it, as the daemon does. An error may also be of after the take-over. */
static int make(struct model *m, enum change change)
{
    if (take_over(m, change) != 0)
        return -1;
    return change == AMEND ? 0 : sweep_out(m);
}

static struct learner *recovered(struct model *m)
{
    struct learner *back = NULL;
    must(m, store_recover(m->store, NULL, NULL, NULL, &back, NULL, &m->err));
    return back;
}

/* As after a crash or a stop: the files as they are, opened anew. */
static void start_again(struct model *m)
{
    model_reopen(m);
    learner_free(m->learner);
    m->learner = recovered(m);
}

/* ---- what must hold ---- */

struct goal {
    struct learner *before, *after; /* in a run without faults */
    uint8_t forgotten[MODEL_PIXELS];
};

static bool is_pinned(struct model *m)
{
    struct store_snapshot row;
    must(m, store_snapshot_find(m->store, SNAPSHOT, &row, &m->err));
    ck_assert_msg(row.pinned == (strcmp(row.note, NOTE) == 0), "half of it: pinned %d, note \"%s\"", row.pinned,
                  row.note);
    return row.pinned;
}

/* Whether it is done; and nothing is half done. */
static bool is_done(struct model *m, const struct goal *goal, enum change change)
{
    if (change == AMEND) {
        same_state(m->learner, goal->before);
        return is_pinned(m);
    }
    const bool done = m->learner->revision == goal->after->revision;
    same_state(m->learner, done ? goal->after : goal->before);
    return done;
}

static bool stands_somewhere(const struct model *m, const uint8_t *bytes, size_t n)
{
    struct image now;
    bool found = false;
    image_take(&now, m);
    for (size_t i = 0; i < 2; i++)
        found = found || memmem(now.bytes[i], now.n_bytes[i], bytes, n) != NULL;
    image_fini(&now);
    return found;
}

/* The end of every turn. Looking at all of the log takes longest, and is left to some of them. */
static void is_whole(struct model *m, const struct goal *goal, enum change change, bool closely)
{
    struct edits kept;
    ck_assert(is_done(m, goal, change));
    must(m, store_edits_kept(m->store, &kept, &m->err));
    ck_assert(kept.n == 0 && !kept.removes);
    if (change == FORGET || change == COMPACT)
        ck_assert(!stands_somewhere(m, goal->forgotten, MODEL_PIXELS));
    if (!closely)
        return;
    (void)recovers(m);
    verifies(m);
    train(m, 5, 99);
    (void)recovers(m);
}

static void goal_init(struct goal *goal, const struct image *image, struct model *m, enum change change)
{
    uint32_t label;
    image_put(image, m);
    start_again(m);
    goal->before = keep(m);
    ck_assert_int_eq(store_sample(m->store, FORGOTTEN, &label, goal->forgotten, MODEL_PIXELS, &m->err), 1);
    ck_assert(stands_somewhere(m, goal->forgotten, MODEL_PIXELS));
    must(m, make(m, change));
    goal->after = keep(m);
    is_whole(m, goal, change, true);
}

static void goal_fini(struct goal *goal)
{
    learner_free(goal->before);
    learner_free(goal->after);
}

/* ---- the sweeps ---- */

static const struct fault_plan plans[] = {
    {FAULT_WRITE, ENOSPC, false}, {FAULT_WRITE, EIO, true},     {FAULT_TORN_WRITE, ENOSPC, true},
    {FAULT_SYNC, EIO, false},     {FAULT_TRUNCATE, EIO, false}, {FAULT_TRUNCATE, EIO, true},
    {FAULT_SYNC, EIO, true},      {FAULT_READ, EIO, false},     {FAULT_READ, EIO, true},
    {FAULT_SIZE, EIO, false},     {FAULT_SIZE, EIO, true},      {FAULT_OPEN, EMFILE, true},
    {FAULT_OPEN, EIO, false},     {FAULT_LOCK, EIO, false},     {FAULT_LOCK, EIO, true},
};
#define N_PLANS        ((int)(sizeof plans / sizeof *plans))
#define N_KINDS        (FAULT_LOCK + 1)
#define N_CHANGE_PLANS (N_PLANS - 4) /* a change opens nothing, and has the lock */

/* The first few, then one in so many, beginning elsewhere in each sweep. CONVD_TEST_EXHAUSTIVE=1: every one. */
static unsigned next_call(unsigned at, unsigned shift)
{
    const unsigned stride = run_exhaustive() ? 1 : COARSE ? 41 : 5;
    return at < 5 ? at + 1 : at == 5 ? 6 + shift % stride : at + stride;
}

static void told_well(const struct model *m, const struct fault_plan *plan)
{
    const bool no_room = plan->error == ENOSPC && plan->kind != FAULT_SYNC;
    /* SQLite takes what a disk cannot read for damage, and tries to read what cannot be opened for writing. */
    ck_assert_msg(m->err.code == (no_room ? ERR_STORAGE_FULL : ERR_STORAGE) ||
                      (plan->kind == FAULT_READ && m->err.code == ERR_DB_CORRUPT) ||
                      (plan->kind == FAULT_OPEN && m->err.code == ERR_DB_READONLY),
                  "%s: %s", err_code_name(m->err.code), m->err.text);
}

/* The change with a fault, and what must be after it. Whether the fault was met. */
static bool change_with_fault(const struct image *image, struct model *m, const struct goal *goal, enum change change,
                              const struct fault_plan *plan, unsigned at)
{
    image_put(image, m);
    start_again(m);
    fault_arm(plan, at);
    int status = make(m, change);
    const bool met = fault_hits() > 0;
    if (status != 0) {
        ck_assert_msg(met, "failed without a fault: %s", m->err.text);
        told_well(m, plan);
        if (plan->for_good && !is_done(m, goal, change))
            ck_assert_int_ne(make(m, change), 0); /* still */
        fault_disarm();
        (void)is_done(m, goal, change);
        if (store_sync_failed(m->store)) {
            must_fail(m, ERR_STORAGE, store_begin(m->store, &m->err));
            start_again(m);
        }
        if (!is_done(m, goal, change))
            must(m, make(m, change));
        else
            must(m, sweep_out(m));
    }
    fault_disarm();
    is_whole(m, goal, change, at % 16 == 1);
    return met;
}

/* Runs a sweep to its end; returns how many calls failed, each in its turn. */
static unsigned sweep(bool (*turn)(const struct image *, struct model *, const struct goal *, enum change,
                                   const struct fault_plan *, unsigned at),
                      const struct image *image, struct model *m, const struct goal *goal, enum change change, int plan)
{
    unsigned at = 1, n = 0;
    for (; turn(image, m, goal, change, &plans[plan], at); n++)
        at = next_call(at, (unsigned)change + (unsigned)plan);
    return n;
}

static const char *const names[N_CHANGES] = {[AMEND] = "amend",
                                             [FORGET] = "forget",
                                             [MERGE] = "merge",
                                             [DELETE_FIRST] = "delete",
                                             [DELETE_ADDED] = "delete added",
                                             [COMPACT] = "compact"};

static void report(const char *name, const unsigned n[N_KINDS])
{
    (void)printf(
        "faults: %s: %u writes, %u torn, %u syncs, %u truncations, %u reads, %u lengths, %u opens, %u locks failed in "
        "their turn\n",
        name, n[FAULT_WRITE], n[FAULT_TORN_WRITE], n[FAULT_SYNC], n[FAULT_TRUNCATE], n[FAULT_READ], n[FAULT_SIZE],
        n[FAULT_OPEN], n[FAULT_LOCK]);
}

START_TEST(a_change_of_the_past_is_made_whole_or_not_at_all)
{
    const enum change change = (enum change)_i;
    unsigned n[N_KINDS] = {0};
    struct model m;
    struct image image;
    struct goal goal;
    make_model(&m, change);
    image_take(&image, &m);
    goal_init(&goal, &image, &m, change);
    for (int plan = 0; plan < N_CHANGE_PLANS; plan++)
        n[plans[plan].kind] += sweep(change_with_fault, &image, &m, &goal, change, plan);
    report(names[change], n);
    ck_assert(n[FAULT_WRITE] >= 2 && n[FAULT_TORN_WRITE] >= 1 && n[FAULT_SYNC] >= 2);
    ck_assert(change == AMEND || (n[FAULT_WRITE] >= 10 && n[FAULT_TRUNCATE] >= 2 && n[FAULT_READ] >= 3));
    goal_fini(&goal);
    image_fini(&image);
    model_fini(&m);
}
END_TEST

/* A start, and the change that it finds accepted. */
static int start(struct model *m, enum change change)
{
    struct learner *back = NULL;
    store_close(m->store);
    m->store = NULL;
    if (store_open(&m->store, m->path, false, &m->err) != 0)
        return -1;
    if (store_recover(m->store, NULL, NULL, NULL, &back, NULL, &m->err) != 0)
        return -1;
    learner_free(m->learner);
    m->learner = back;
    struct edits kept;
    if (store_edits_kept(m->store, &kept, &m->err) != 0)
        return -1;
    const bool wanted = kept.n > 0 || kept.removes || (change == COMPACT && store_baseline(m->store).kept == 0);
    edits_fini(&kept);
    return wanted ? make(m, change) : sweep_out(m);
}

static bool start_with_fault(const struct image *image, struct model *m, const struct goal *goal, enum change change,
                             const struct fault_plan *plan, unsigned at)
{
    image_put(image, m);
    fault_arm(plan, at);
    int status = start(m, change);
    const bool met = fault_hits() > 0;
    if (status != 0) {
        ck_assert_msg(met, "failed without a fault: %s", m->err.text);
        told_well(m, plan);
        if (plan->for_good)
            ck_assert_int_ne(start(m, change), 0); /* still */
        fault_disarm();
        must(m, start(m, change));
    }
    fault_disarm();
    is_whole(m, goal, change, at % 16 == 1);
    return met;
}

/* How far a change was when the machine crashed. A baseline is due or not: nothing accepts it. */
enum crash { ACCEPTED, TAKEN_OVER, SWEEPING, N_CRASHES };

static int go_until(struct model *m, enum change change, enum crash crash)
{
    struct edits edits = {0};
    int status = crash != ACCEPTED ? take_over(m, change) : change == COMPACT ? 0 : look_up(&edits, m, change);
    for (int i = 0; status == 0 && crash == SWEEPING && i < 3; i++) /* snapshots, and some of the samples */
        status = sweep_some(m, change == COMPACT) == 1 ? 0 : -1;
    edits_fini(&edits);
    return status;
}

/* The files as they were then. */
START_TEST(a_start_takes_up_what_was_accepted_whatever_call_fails)
{
    static const enum change changes[] = {FORGET, MERGE, DELETE_FIRST, COMPACT};
    static const char *const crashes[] = {"start, accepted", "start, taken over", "start, sweeping"};
    const enum change change = changes[_i / N_CRASHES];
    const enum crash crash = (enum crash)(_i % N_CRASHES);
    unsigned n[N_KINDS] = {0};
    struct model m;
    struct image image, crashed;
    struct goal goal;
    make_model(&m, change);
    image_take(&image, &m);
    goal_init(&goal, &image, &m, change);
    image_put(&image, &m);
    start_again(&m);
    must(&m, go_until(&m, change, crash));
    image_take(&crashed, &m);
    for (int plan = 0; plan < N_PLANS; plan++)
        n[plans[plan].kind] += sweep(start_with_fault, &crashed, &m, &goal, change, plan);
    report(crashes[crash], n);
    ck_assert(n[FAULT_WRITE] >= 5 && n[FAULT_SYNC] >= 1 && n[FAULT_TRUNCATE] >= 2 && n[FAULT_READ] >= 3 &&
              n[FAULT_OPEN] >= 4 && n[FAULT_SIZE] >= 4 && n[FAULT_LOCK] >= 4);
    goal_fini(&goal);
    image_fini(&image);
    image_fini(&crashed);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edit faults");
    TCase *t = tcase_create("edit faults");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, a_change_of_the_past_is_made_whole_or_not_at_all, 0, N_CHANGES);
    tcase_add_loop_test(t, a_start_takes_up_what_was_accepted_whatever_call_fails, 0, 4 * N_CRASHES);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
