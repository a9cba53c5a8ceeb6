/* test_faults.c - the disk says no: at the n-th write, at the n-th sync, for every n; and disks that are really full.
 *
 * pwrite64 and fdatasync are defined here, in front of the C library's, so SQLite calls these. What must hold after any
 * failure: the group is gone as a whole and can be tried again at once; unless it was a sync that failed, for then nothing
 * may be acknowledged until the file was opened anew.
 */
#include "tests/core/run.h"
#include "tests/store/model.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- the fault ---- */

enum fault_kind { FAULT_NONE, FAULT_WRITE, FAULT_TORN_WRITE, FAULT_SYNC };

static struct {
    enum fault_kind kind;
    int error;
    unsigned at;    /* the n-th call of that kind fails, counted from 1  */
    bool for_good;  /* and all after it                                  */
    unsigned calls; /* so far                                            */
    unsigned hits;  /* calls that failed                                 */
} fault;

static void arm(enum fault_kind kind, int error, unsigned at, bool for_good)
{
    fault.kind = kind;
    fault.error = error;
    fault.at = at;
    fault.for_good = for_good;
    fault.calls = fault.hits = 0;
}

static bool strikes(void)
{
    fault.calls++;
    bool hit = fault.calls == fault.at || (fault.for_good && fault.calls > fault.at);
    fault.hits += hit;
    return hit;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n_bytes, off64_t offset)
{
    if ((fault.kind == FAULT_WRITE || fault.kind == FAULT_TORN_WRITE) && strikes()) {
        if (fault.kind == FAULT_TORN_WRITE) /* the first half is there */
            (void)syscall(SYS_pwrite64, fd, bytes, n_bytes / 2, offset);
        errno = fault.error;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, n_bytes, offset);
}

int fdatasync(int fd)
{
    if (fault.kind == FAULT_SYNC && strikes()) {
        errno = fault.error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- the work ---- */

/* A step: 0, or -1 with m->err; the learner is then as before. */
static int step_group(struct model *m, uint64_t seed)
{
    struct learner *before = keep(m);
    struct store_key key = {.revision = m->learner->revision + 2, .created_us = 1};
    static char answer[] = "{}";
    key.answer = answer;
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
        learner_free(before);
        return 0;
    }
    learner_free(m->learner);
    m->learner = before;
    return -1;
}

static int step(struct model *m, unsigned which)
{
    switch (which) {
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

#define N_STEPS 10

/* One run of the work with a fault armed: whether the fault was met. */
static bool run_with_fault(enum fault_kind kind, int error, unsigned at, bool for_good)
{
    struct model m;
    model_init(&m);
    arm(kind, error, at, for_good);
    for (unsigned which = 0; which < N_STEPS; which++) {
        uint64_t before = m.learner->revision;
        int status = step(&m, which);
        if (status == 0)
            continue;
        ck_assert_msg(fault.hits > 0, "step %u failed without a fault: %s", which, m.err.text);
        ck_assert_uint_eq(store_revision(m.store), before);
        if (kind == FAULT_SYNC) {
            ck_assert_int_eq(m.err.code, ERR_STORAGE);
            ck_assert(store_sync_failed(m.store));
            must_fail(&m, ERR_STORAGE, store_begin(m.store, &m.err));
            break;
        }
        ck_assert(!store_sync_failed(m.store));
        ck_assert_msg(m.err.code == (error == EIO ? ERR_STORAGE : ERR_STORAGE_FULL), "step %u: %s: %s", which,
                      err_code_name(m.err.code), m.err.text);
        if (for_good)
            ck_assert_int_ne(step(&m, which), 0); /* still */
        arm(FAULT_NONE, 0, 0, false);
        must(&m, step(&m, which)); /* there is room again */
        arm(kind, error, 0, false);
        fault.hits = 1;
    }
    bool met = fault.hits > 0;
    bool unknown = store_sync_failed(m.store);
    arm(FAULT_NONE, 0, 0, false);
    if (unknown) {
        /* The group whose sync failed may be there or not; everything before it must be. */
        struct learner *back;
        model_reopen(&m);
        must(&m, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
        ck_assert(back->revision == m.learner->revision || back->revision == m.learner->revision + 2);
        if (back->revision == m.learner->revision)
            same_state(back, m.learner);
        learner_free(m.learner);
        m.learner = back;
    }
    (void)recovers(&m);
    verifies(&m);
    ck_assert_int_eq(step_group(&m, 99), 0);
    (void)recovers(&m);
    model_fini(&m);
    return met;
}

static const struct plan {
    enum fault_kind kind;
    int error;
    bool for_good;
} plans[] = {
    {FAULT_WRITE, ENOSPC, false}, {FAULT_WRITE, ENOSPC, true}, {FAULT_WRITE, EDQUOT, true},
    {FAULT_WRITE, EIO, false},    {FAULT_WRITE, EIO, true},    {FAULT_TORN_WRITE, ENOSPC, true},
    {FAULT_SYNC, EIO, false},     {FAULT_SYNC, ENOSPC, true},
};

/* Every call; under a sanitizer, where each takes ten times as long, every third, beginning elsewhere in each plan. */
static unsigned first_call(int plan)
{
    return SLOW_BUILD && !run_exhaustive() ? 1 + (unsigned)plan % 3 : 1;
}

static unsigned next_call(unsigned at)
{
    return at + (SLOW_BUILD && !run_exhaustive() ? 3 : 1);
}

START_TEST(a_fault_at_any_call_leaves_nothing_half_done)
{
    const struct plan *plan = &plans[_i];
    unsigned at = first_call(_i);
    while (run_with_fault(plan->kind, plan->error, at, plan->for_good))
        at = next_call(at);
    /* So many calls there are in the work: each was the one that failed. */
    ck_assert_uint_gt(at, plan->kind == FAULT_SYNC ? 6 : 40);
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
    const struct plan *plan = &plans[_i];
    for (unsigned at = first_call(_i);; at = next_call(at)) {
        struct model m;
        struct event create = model_origin();
        model_folder(&m);
        m.learner = learner_create(&create, NULL, 0, &m.err);
        arm(plan->kind, plan->error, at, plan->for_good);
        int status = store_create(&m.store, m.path, &create, m.learner, &m.err);
        bool met = fault.hits > 0;
        arm(FAULT_NONE, 0, 0, false);
        if (status != 0) {
            ck_assert(met);
            ck_assert_msg(m.err.code == ERR_STORAGE || m.err.code == ERR_STORAGE_FULL, "%s", m.err.text);
            ck_assert_uint_eq(files_in(m.folder), 0);
            must(&m, store_create(&m.store, m.path, &create, m.learner, &m.err));
        }
        (void)recovers(&m);
        model_fini(&m);
        if (!met) {
            ck_assert_uint_gt(at, plan->kind == FAULT_SYNC ? 2 : 8);
            break;
        }
    }
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
    tcase_add_loop_test(t, a_fault_at_any_call_leaves_nothing_half_done, 0, (int)(sizeof plans / sizeof *plans));
    tcase_add_loop_test(t, a_fault_at_any_call_leaves_no_half_made_model, 0, (int)(sizeof plans / sizeof *plans));
    tcase_add_test(t, training_goes_on_when_a_file_may_grow_again);
    tcase_add_test(t, training_goes_on_when_a_full_disk_has_room_again);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
