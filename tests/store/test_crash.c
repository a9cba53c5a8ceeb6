/* test_crash.c - kill -9 in the middle of commits, snapshots and checkpoints, many times over one model.
 *
 * A child trains and reports each committed revision through a pipe; the parent kills it at some moment, recovers, and
 * compares with a fold in memory that was never stopped and never saw the file: what happens at each revision is a
 * function of its number alone. Everything that was acknowledged must be there; what is there beyond it must be whole groups.
 */
#include "tests/store/model.h"

#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include "tests/core/run.h"

#define ROUNDS (run_exhaustive() ? 100U : COARSE ? 15U : 50U)
#define PAST   64 /* states that the parent keeps, to go back to */

static bool goes_back(uint64_t revision)
{
    return mix(revision * 7919) % 16 == 2;
}

/* The group that begins after `revision`: its last revision. A way back begins one, since no state is made again in a group. */
static uint64_t group_end(uint64_t revision)
{
    const uint64_t last = revision + 1 + mix(revision) % 3;
    uint64_t end = revision + 1;
    while (end < last && !goes_back(end + 1))
        end++;
    return end;
}

/* The event of a revision. */
static struct event event_of(const struct learner *learner)
{
    uint64_t revision = learner->revision + 1, draw = mix(revision * 7919);
    struct event event = {.kind = EVENT_TRAIN, .revision = revision, .created_us = 1};
    switch (draw % 16) {
    case 0:
        event.kind = EVENT_CLASS;
        event.as.class_.action = learner->n_classes < 40 ? CLASS_ADD : CLASS_RENAME;
        event.as.class_.index = learner->n_classes < 40 ? learner->n_classes : (uint32_t)(draw % 40);
        (void)snprintf(event.as.class_.label, sizeof event.as.class_.label, "%llx", (unsigned long long)draw);
        return event;
    case 1:
        event.kind = EVENT_TUNE;
        event.as.tune.settings = learner->settings;
        event.as.tune.settings.rate = 0.001F * (float)(draw / 16 % 500);
        return event;
    case 2:
        event.kind = EVENT_ACTIVATE;
        event.as.activate.revision = revision - 1 - draw / 16 % (revision - 1 < PAST - 2 ? revision - 1 : PAST - 2);
        return event;
    default:
        event = train_event(revision, 1 + (uint32_t)(draw / 16 % 5), learner->n_classes, revision);
        event.created_us = 1;
        return event;
    }
}

static void key_of(struct store_key *key, uint64_t revision)
{
    *key = (struct store_key){.revision = revision};
    (void)snprintf(key->key, sizeof key->key, "key %llu", (unsigned long long)revision);
    memset(key->fingerprint, (int)(revision % 251), sizeof key->fingerprint);
}

/* ---- the child ---- */

#define child_must(m, call)                                                                                            \
    do {                                                                                                               \
        if ((call) != 0) {                                                                                             \
            (void)fprintf(stderr, "%s: %s\n", #call, (m)->err.text);                                                   \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* target: the state that a way back leads to. */
static void child_apply(struct model *m, struct learner *target)
{
    struct event event = event_of(m->learner);
    if (event.kind == EVENT_ACTIVATE) {
        child_must(m, target != NULL ? 0 : -1);
        learner_free(m->learner);
        m->learner = target;
        m->learner->revision = event.revision;
    } else {
        if (event.kind == EVENT_CLASS)
            child_must(m, learner_reserve(m->learner, event.as.class_.index + 1, &m->err));
        store_next(m->store, &event);
        child_must(m, learner_apply(m->learner, &event, &m->err));
    }
    child_must(m, store_append(m->store, &event, &m->err));
    store_outcomes(m->store, &event);
}

static void child_run(struct model *m, int acknowledge)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    child_must(m, store_open(&m->store, m->path, false, &m->err));
    child_must(m, store_recover(m->store, NULL, NULL, NULL, &m->learner, NULL, &m->err));
    for (uint64_t group = 1;; group++) {
        struct store_key key;
        uint64_t end = group_end(m->learner->revision);
        const struct event first = event_of(m->learner);
        struct learner *target = NULL;
        if (first.kind == EVENT_ACTIVATE)
            child_must(m, state_at(m->store, first.as.activate.revision, &target, &m->err));
        child_must(m, store_begin(m->store, &m->err));
        while (m->learner->revision < end)
            child_apply(m, target);
        key_of(&key, end);
        child_must(m, store_put_key(m->store, &key, &m->err));
        child_must(m, store_commit(m->store, &m->err));
        if (write(acknowledge, &end, sizeof end) != (ssize_t)sizeof end)
            _exit(2);
        if (group % 5 == 0)
            child_must(m, store_checkpoint(m->store, group % 10 == 0, &m->err));
        if (group % 7 == 0) {
            child_must(m, store_snapshot(m->store, m->learner, "interval", NULL, false, NULL, &m->err));
            child_must(m, store_snapshots_prune(m->store, 3, &m->err));
        }
    }
}

/* ---- the parent ---- */

struct fold {
    struct learner *now, *past[PAST];
};

static void fold_to(struct fold *fold, uint64_t revision)
{
    struct err err;
    while (fold->now->revision < revision) {
        struct event event = event_of(fold->now);
        if (event.kind == EVENT_ACTIVATE) {
            ck_assert_int_eq(learner_copy(fold->now, fold->past[event.as.activate.revision % PAST], &err), 0);
            fold->now->revision = event.revision;
        } else {
            if (event.kind == EVENT_CLASS)
                ck_assert_int_eq(learner_reserve(fold->now, event.as.class_.index + 1, &err), 0);
            ck_assert_msg(learner_apply(fold->now, &event, &err) == 0, "%s", err.text);
        }
        struct learner **slot = &fold->past[fold->now->revision % PAST];
        learner_free(*slot);
        *slot = learner_dup(fold->now, true, &err);
        ck_assert_ptr_nonnull(*slot);
    }
}

/* Lets a child run for a while and kills it; the last revision that it acknowledged. */
static uint64_t run_and_kill(struct model *m, uint64_t before, unsigned microseconds)
{
    int acknowledge[2], status;
    uint64_t revision, last = before;
    ck_assert_int_eq(pipe(acknowledge), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) { /* which asserts nothing: libcheck's messages of two processes would get mixed up */
        (void)close(acknowledge[0]);
        struct model own = *m;
        child_run(&own, acknowledge[1]);
    }
    (void)close(acknowledge[1]);
    /* From the first acknowledgement on, so that the moment falls into the work and not into the start. */
    if (read(acknowledge[0], &revision, sizeof revision) == (ssize_t)sizeof revision)
        last = revision;
    struct timespec moment = {.tv_nsec = (long)microseconds * 1000};
    (void)nanosleep(&moment, NULL);
    (void)kill(child, SIGKILL);
    while (read(acknowledge[0], &revision, sizeof revision) == (ssize_t)sizeof revision)
        last = revision;
    (void)close(acknowledge[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended by itself: %#x",
                  (unsigned)status);
    return last;
}

START_TEST(whatever_was_acknowledged_survives_kill_9)
{
    struct model m;
    struct fold fold = {0};
    uint64_t grown = 0;
    model_init(&m);
    fold.now = keep(&m);
    fold.past[1] = keep(&m);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct store_recovery report;
        struct store_key key, found;
        store_close(m.store);
        m.store = NULL;
        learner_free(m.learner);
        m.learner = NULL;
        uint64_t before = fold.now->revision;
        uint64_t acknowledged = run_and_kill(&m, before, (unsigned)(mix(round) % 15000));
        must(&m, store_open(&m.store, m.path, false, &m.err));
        must(&m, store_recover(m.store, NULL, NULL, NULL, &m.learner, &report, &m.err));
        ck_assert_uint_ge(m.learner->revision, acknowledged);
        ck_assert_uint_le(m.learner->revision, group_end(acknowledged)); /* at most the one that was under way */
        uint64_t end = before;
        while (end < m.learner->revision)
            end = group_end(end);
        ck_assert_uint_eq(end, m.learner->revision); /* whole groups */
        fold_to(&fold, m.learner->revision);
        same_state(m.learner, fold.now);
        ck_assert_uint_eq(report.skipped, 0);
        if (m.learner->revision > before) {
            key_of(&key, m.learner->revision);
            ck_assert_int_eq(store_find_key(m.store, key.key, &found, &m.err), 1);
            ck_assert_uint_eq(found.revision, key.revision);
            ck_assert_mem_eq(found.fingerprint, key.fingerprint, sizeof key.fingerprint);
        }
        grown += m.learner->revision > before;
    }
    ck_assert_uint_gt(grown, ROUNDS / 2);
    verifies(&m);
    learner_free(fold.now);
    for (size_t i = 0; i < PAST; i++)
        learner_free(fold.past[i]);
    model_fini(&m);
}
END_TEST

/* Killed while it is being made: no file under the name, or a whole one. */
START_TEST(a_model_is_there_whole_or_not_at_all)
{
    unsigned n_whole = 0, n_none = 0;
    for (uint64_t round = 0; round < 40; round++) {
        struct model m;
        struct stat status;
        struct event create = model_origin();
        char command[128];
        model_folder(&m);
        m.learner = learner_create(&create, NULL, 0, &m.err);
        (void)fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            struct store *store;
            child_must(&m, store_create(&store, m.path, &create, m.learner, &m.err));
            (void)pause();
            _exit(1);
        }
        struct timespec moment = {.tv_nsec = (long)(round * 150000)};
        (void)nanosleep(&moment, NULL);
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
        if (stat(m.path, &status) == 0) {
            n_whole++;
            (void)recovers(&m);
            verifies(&m);
        } else {
            n_none++;
            must(&m, store_create(&m.store, m.path, &create, m.learner, &m.err)); /* the rest is not in the way */
        }
        store_close(m.store);
        learner_free(m.learner);
        (void)snprintf(command, sizeof command, "%s", m.folder);
        ck_assert_int_eq(unlink(m.path), 0);
        pid_t cleaner = fork();
        if (cleaner == 0) {
            (void)execlp("rm", "rm", "-rf", "--", command, (char *)NULL);
            _exit(1);
        }
        (void)waitpid(cleaner, NULL, 0);
    }
    ck_assert_uint_eq(n_whole + n_none, 40);
    ck_assert_uint_gt(n_none, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crash");
    TCase *t = tcase_create("crash");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, whatever_was_acknowledged_survives_kill_9);
    tcase_add_test(t, a_model_is_there_whole_or_not_at_all);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
