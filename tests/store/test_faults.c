/* test_faults.c - the disk says no: at the n-th write, at the n-th sync, for every n; and disks that are really full.
 *
 * The calls fail by fault_disk.h. What must hold after any
 * failure: the group is gone as a whole and can be tried again at once; unless it was a sync that failed, for then nothing
 * may be acknowledged until the file was opened anew.
 */
#include "store/journal.h"
#include "tests/core/run.h"
#include "tests/store/fault_disk.h"
#include "tests/store/image.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

/* ---- the work ---- */

/* A step: 0, or -1 with m->err; the learner is then as before. */
static int step_group(struct model *m, uint64_t seed)
{
    struct learner *before = keep(m);
    struct store_key key = {.revision = m->learner->revision + 2};
    (void)snprintf(key.key, sizeof key.key, "k%llu", (unsigned long long)seed);
    struct event event = train_event(m->learner->revision + 1, 40, m->learner->n_classes, seed);
    store_next(m->store, &event);
    ck_assert_int_eq(learner_apply(m->learner, &event, NULL), 0);
    struct event tune = {.kind = EVENT_TUNE, .revision = event.revision + 1, .as.tune.settings = m->learner->settings};
    tune.as.tune.settings.rate = 0.01F * (float)(1 + seed % 9);
    ck_assert_int_eq(learner_apply(m->learner, &tune, NULL), 0);
    if (store_begin(m->store, &m->err) == 0 && store_append(m->store, &event, &m->err) == 0 &&
        store_append(m->store, &tune, &m->err) == 0 && store_put_key(m->store, &key, &m->err) == 0 &&
        store_commit(m->store, &m->err) == 0) {
        store_outcomes(m->store, &event);
        learner_free(before);
        return 0;
    }
    learner_free(m->learner);
    m->learner = before;
    return -1;
}

/* One event by itself, as the trainer does: appended, durable, and only then applied. */
static int step_event(struct model *m, struct event *event)
{
    struct journal *journal = store_journal(m->store);
    if (journal->begin(journal, m->learner->revision, &m->err) != 0)
        return -1;
    journal->next(journal, event);
    if (journal->append(journal, event, NULL, &m->err) != 0 || journal->commit(journal, &m->err) != 0) {
        journal->rollback(journal);
        return -1;
    }
    must(m, learner_apply(m->learner, event, &m->err));
    return 0;
}

static int step_rename(struct model *m)
{
    struct event event = {.kind = EVENT_CLASS, .as.class_ = {.action = CLASS_RENAME, .index = 1, .label = "another"}};
    return step_event(m, &event);
}

static int step_idle(struct model *m)
{
    struct event event = {.kind = EVENT_IDLE, .as.idle.steps = 20};
    return step_event(m, &event);
}

#define N_RENAME 9
#define N_IDLE   10
#define N_STEPS  12

/* Of a step, where it appends any. */
static uint64_t n_events(unsigned which)
{
    return which == N_RENAME || which == N_IDLE ? 1 : 2;
}

static int step(struct model *m, unsigned which)
{
    switch (which) {
    case N_RENAME:
        return step_rename(m);
    case N_IDLE:
        return step_idle(m);
    case 2:
        return store_checkpoint(m->store, false, &m->err);
    case 4:
    case 6:
        return store_snapshot(m->store, m->learner, "request", NULL, false, NULL, &m->err);
    case 7:
        return store_snapshot_drop(m->store, 2, &m->err);
    case 8:
        return store_checkpoint(m->store, true, &m->err);
    default:
        return step_group(m, which);
    }
}

/* A new model. */
struct origin {
    struct image files;
    struct learner *learner;
};

/* One run of the work with a fault armed: whether the fault was met. */
static bool run_with_fault(struct model *model, const struct origin *origin, const struct fault_plan *plan, unsigned at)
{
    bool met = false;
    unsigned which;
    struct model m = *model;
    image_put(&origin->files, &m);
    model_reopen(&m);
    m.learner = learner_dup(origin->learner, true, &m.err);
    fault_arm(plan, at);
    for (which = 0; which < N_STEPS; which++) {
        uint64_t before = m.learner->revision;
        int status = step(&m, which);
        if (status == 0)
            continue;
        ck_assert_msg(fault_hits() > 0, "step %u failed without a fault: %s", which, m.err.text);
        ck_assert_uint_eq(store_revision(m.store), before);
        met = true;
        if (plan->kind == FAULT_SYNC) {
            ck_assert_int_eq(m.err.code, ERR_STORAGE);
            ck_assert(store_sync_failed(m.store));
            must_fail(&m, ERR_STORAGE, store_begin(m.store, &m.err));
            break;
        }
        ck_assert(!store_sync_failed(m.store));
        ck_assert_msg(m.err.code == (plan->error == EIO ? ERR_STORAGE : ERR_STORAGE_FULL), "step %u: %s: %s", which,
                      err_code_name(m.err.code), m.err.text);
        if (plan->for_good)
            ck_assert_int_ne(step(&m, which), 0); /* still */
        fault_disarm();
        must(&m, step(&m, which)); /* there is room again */
    }
    met = met || fault_hits() > 0;
    bool unknown = store_sync_failed(m.store);
    fault_disarm();
    if (unknown) {
        /* The group whose sync failed may be there or not; everything before it must be. */
        struct learner *back;
        model_reopen(&m);
        must(&m, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
        ck_assert(back->revision == m.learner->revision || back->revision == m.learner->revision + n_events(which));
        if (back->revision == m.learner->revision)
            same_state(back, m.learner);
        learner_free(m.learner);
        m.learner = back;
    }
    (void)recovers(&m);
    verifies(&m);
    ck_assert_int_eq(step_group(&m, 99), 0);
    if (at % 4 == 0)
        (void)recovers(&m);
    learner_free(m.learner);
    model->store = m.store;
    return met;
}

static const struct fault_plan plans[] = {
    {FAULT_WRITE, ENOSPC, false}, {FAULT_WRITE, ENOSPC, true}, {FAULT_WRITE, EDQUOT, true},
    {FAULT_WRITE, EIO, false},    {FAULT_WRITE, EIO, true},    {FAULT_TORN_WRITE, ENOSPC, true},
    {FAULT_SYNC, EIO, false},     {FAULT_SYNC, ENOSPC, true},  {FAULT_TRUNCATE, EIO, false},
    {FAULT_TRUNCATE, EIO, true},  {FAULT_OPEN, EIO, false},    {FAULT_OPEN, EMFILE, true},
};
#define N_PLANS      ((int)(sizeof plans / sizeof *plans))
#define N_WORK_PLANS (N_PLANS - 2) /* the work opens nothing */

/* Every sync, truncation and open; of the writes every second for the first plan, and every fifth for the others, which differ from it in
 * what is told or in how long it lasts, beginning elsewhere in each. Under a sanitizer, where each takes ten times as long, a fifth of
 * these. CONVD_TEST_EXHAUSTIVE=1: all. */
static unsigned stride(const struct fault_plan *plan)
{
    const bool writes = plan->kind == FAULT_WRITE || plan->kind == FAULT_TORN_WRITE;
    return run_exhaustive() || !writes ? 1 : (plan != plans ? 5 : 2) * (COARSE ? 5 : 1);
}

static unsigned first_call(const struct fault_plan *plan)
{
    return 1 + (unsigned)(plan - plans) % stride(plan);
}

static unsigned next_call(const struct fault_plan *plan, unsigned at)
{
    return at + stride(plan);
}

static void report(const char *during, const struct fault_plan *plan, unsigned n)
{
    static const char *const calls[] = {[FAULT_WRITE] = "writes",
                                        [FAULT_TORN_WRITE] = "writes, torn,",
                                        [FAULT_SYNC] = "syncs",
                                        [FAULT_OPEN] = "opens",
                                        [FAULT_TRUNCATE] = "truncations"};
    (void)printf("faults: %s: %u %s failed in their turn%s: %s\n", during, n, calls[plan->kind],
                 plan->for_good ? ", and all after it" : "", strerror(plan->error));
}

START_TEST(a_fault_at_any_call_leaves_nothing_half_done)
{
    const struct fault_plan *plan = &plans[_i];
    unsigned at = first_call(plan), n = 0;
    struct model m;
    struct origin origin;
    model_init(&m);
    image_take(&origin.files, &m);
    origin.learner = keep(&m);
    for (; run_with_fault(&m, &origin, plan, at); n++)
        at = next_call(plan, at);
    report("work", plan, n);
    /* So many calls there are in the work: each was the one that failed. */
    ck_assert_uint_gt(at, plan->kind == FAULT_TRUNCATE ? 1 : plan->kind == FAULT_SYNC ? 6 : 40);
    image_fini(&origin.files);
    learner_free(origin.learner);
    model_fini(&m);
}
END_TEST

static unsigned files_in(const char *folder)
{
    unsigned n = 0;
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

START_TEST(a_fault_at_any_call_leaves_no_half_made_model)
{
    const struct fault_plan *plan = &plans[_i];
    unsigned n = 0;
    for (unsigned at = first_call(plan);; at = next_call(plan, at), n++) {
        struct model m;
        struct event create = model_origin();
        model_folder(&m);
        m.learner = learner_create(&create, NULL, 0, &m.err);
        fault_arm(plan, at);
        int status = store_create(&m.store, m.path, &create, m.learner, &m.err);
        bool met = fault_hits() > 0;
        fault_disarm();
        if (status != 0) {
            ck_assert(met);
            /* What cannot be opened for writing, SQLite tries to open for reading. */
            ck_assert_msg(m.err.code == ERR_STORAGE || m.err.code == ERR_STORAGE_FULL ||
                              (m.err.code == ERR_DB_READONLY && plan->kind == FAULT_OPEN),
                          "%s", m.err.text);
            ck_assert_ptr_null(m.store);
            if (plan->kind == FAULT_OPEN && access(m.path, F_OK) == 0) { /* only opening it again failed */
                must(&m, store_open(&m.store, m.path, false, &m.err));
            } else {
                ck_assert_uint_eq(files_in(m.folder), 0);
                must(&m, store_create(&m.store, m.path, &create, m.learner, &m.err));
            }
        }
        (void)recovers(&m);
        model_fini(&m);
        if (!met) {
            ck_assert_uint_gt(at, plan->kind <= FAULT_TORN_WRITE ? 8 : plan->kind == FAULT_TRUNCATE ? 0 : 2);
            break;
        }
    }
    report("a new model", plan, n);
}
END_TEST

/* ---- full for real ---- */

/* Trains until there is no room, then checks that nothing moves; returns after `make_room` with all as it should be. */
static void fill_up(struct model *m, void (*make_room)(struct model *))
{
    unsigned n_groups = 0;
    while (step_group(m, n_groups) == 0) {
        ck_assert_uint_lt(n_groups, 10000);
        n_groups++;
    }
    ck_assert_uint_gt(n_groups, 2);
    for (unsigned again = 0; again < 5; again++) {
        ck_assert_msg(m->err.code == ERR_STORAGE_FULL, "%s: %s", err_code_name(m->err.code), m->err.text);
        ck_assert_uint_eq(store_revision(m->store), m->learner->revision);
        /* The state can still be read: predictions go on, and so does looking. */
        struct learner *back;
        must(m, store_recover(m->store, NULL, NULL, NULL, &back, NULL, &m->err));
        same_state(back, m->learner);
        learner_free(back);
        ck_assert_int_ne(step_group(m, 20000 + again), 0);
    }
    make_room(m);
    for (uint64_t i = 0; i < 5; i++)
        ck_assert_msg(step_group(m, 30000 + i) == 0, "%s", m->err.text);
    must(m, store_checkpoint(m->store, true, &m->err));
}

static void raise_limit(struct model *m)
{
    struct rlimit limit;
    (void)m;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(training_goes_on_when_a_file_may_grow_again)
{
    struct model m;
    struct rlimit limit;
    model_init(&m);
    (void)signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 1 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    fill_up(&m, raise_limit);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

static void ballast_path(char *path, size_t size, const struct model *m)
{
    (void)snprintf(path, size, "%s/ballast", m->folder);
}

static void drop_ballast(struct model *m)
{
    char path[128];
    ballast_path(path, sizeof path, m);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(training_goes_on_when_a_full_disk_has_room_again)
{
    struct model m;
    char ballast[128];
    static uint8_t zeros[1 << 20];
    struct event create = model_origin();
    model_folder(&m);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", m.folder, "tmpfs", 0, "size=3m") != 0) {
        (void)printf("no right to mount a small disk (%s): a disk that is really full is not tested\n",
                     strerror(errno));
        (void)rmdir(m.folder);
        return;
    }
    ballast_path(ballast, sizeof ballast, &m);
    int fd = open(ballast, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_eq(write(fd, zeros, sizeof zeros), sizeof zeros);
    (void)close(fd);
    m.learner = learner_create(&create, NULL, 0, &m.err);
    must(&m, store_create(&m.store, m.path, &create, m.learner, &m.err));
    fill_up(&m, drop_ballast);
    (void)recovers(&m);
    verifies(&m);
    store_close(m.store);
    learner_free(m.learner);
    ck_assert_int_eq(umount(m.folder), 0);
    ck_assert_int_eq(rmdir(m.folder), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *t = tcase_create("faults");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, a_fault_at_any_call_leaves_nothing_half_done, 0, N_WORK_PLANS);
    tcase_add_loop_test(t, a_fault_at_any_call_leaves_no_half_made_model, 0, N_PLANS);
    tcase_add_test(t, training_goes_on_when_a_file_may_grow_again);
    tcase_add_test(t, training_goes_on_when_a_full_disk_has_room_again);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
