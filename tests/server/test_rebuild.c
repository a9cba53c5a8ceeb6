/* test_rebuild.c - what was accepted is carried out, whatever the disk does meanwhile: each write, sync and read from the request to the
 * take-over fails in turn, once or until somebody has looked; and then once more, after a crash.
 *
 * What must hold: a request that was refused has changed nothing; one that was accepted is done when the fault is over, in the same
 * process or, after a sync that failed, in the next; and the model is then, bit for bit, what it becomes without faults.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/core/run.h"
#include "tests/server/trainer.h"
#include "tests/store/fault_disk.h"

#define SAMPLES 40u

static const struct fault_plan no_room = {FAULT_WRITE, ENOSPC, true};

/* ---- a model ---- */

static void setup_in_memory(void)
{
    folder_make(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static void make_model_of(unsigned n_groups, unsigned n_snapshots)
{
    struct err err;
    struct store *store = NULL;
    struct event create = create_event(8);
    create.as.create.settings.rehearsal = 2;
    struct learner *learner = learner_create(&create, NULL, 0, &err);
    ck_assert_msg(learner != NULL && store_create(&store, path, &create, learner, &err) == 0, "%s", err.text);
    for (unsigned group = 0; group < n_groups; group++) {
        uint8_t pixels[4][N_INPUT];
        struct sample samples[4];
        struct event event = {.kind = EVENT_TRAIN, .as.train = {.n = 4, .samples = samples}};
        for (unsigned i = 0; i < 4; i++) {
            samples[i] = (struct sample){.label = (group + i) % 3, .pixels = pixels[i]};
            for (unsigned p = 0; p < N_INPUT; p++)
                pixels[i][p] = (uint8_t)(p * (group + 3) + i * 7);
        }
        store_next(store, &event);
        ck_assert_msg(learner_apply(learner, &event, &err) == 0 && store_begin(store, &err) == 0 &&
                          store_append(store, &event, &err) == 0 && store_commit(store, &err) == 0,
                      "%s", err.text);
        store_outcomes(store, &event);
        if (group < n_snapshots)
            ck_assert_msg(store_snapshot(store, learner, "request", NULL, false, NULL, &err) == 0, "%s", err.text);
    }
    store_close(store);
    learner_free(learner);
}

static void make_model(void)
{
    make_model_of(SAMPLES / 4, SAMPLES / 4);
}

static void open_model(struct store **store, struct learner **learner)
{
    struct err err;
    struct store_recovery report;
    ck_assert_msg(store_open(store, path, false, &err) == 0 &&
                      store_recover(*store, NULL, NULL, NULL, learner, &report, &err) == 0,
                  "%s", err.text);
}

static unsigned retry_ms = 1;

static struct trainer *start(void)
{
    struct err err;
    struct store *store = NULL;
    struct learner *learner = NULL;
    struct trainer_config config = trainer_config_default();
    config.retry_ms = retry_ms;
    open_model(&store, &learner);
    struct trainer *trainer = trainer_create(store, learner, &config, &err);
    ck_assert_msg(trainer != NULL, "%s", err.text);
    return trainer;
}

static void stop(struct trainer *trainer)
{
    (void)trainer_stop(trainer, NULL); /* after a sync that failed it says so */
    trainer_free(trainer);
}

/* ---- asking ---- */

static const struct ask {
    const char *name;
    struct edit_request ask;
} asks[] = {
    {"forget", {.forget = true}},
    {"relabel", {.label = "c"}},
    {"merge", {.removes = true, .from = "b", .label = "c"}},
    {"delete", {.removes = true, .from = "a", .forget = true}},
};
#define N_ASKS ((int)(sizeof asks / sizeof *asks))

static int64_t ids[] = {3, 18, 31};

/* 0, and the job's id; or -1: it was refused. */
static int ask_for(struct trainer *trainer, const struct ask *ask, int64_t *id, struct err *err)
{
    struct wait *w = wait_create(COMMAND_EDIT);
    w->command.edit = ask->ask;
    if (!ask->ask.removes) {
        w->command.edit.ids = ids;
        w->command.edit.n = sizeof ids / sizeof *ids;
    }
    const int status = run(trainer, w)->command.status;
    *id = w->command.job_status.id;
    *err = w->command.err;
    wait_free(w);
    return status;
}

/* Until it has ended, or has told of an error. */
static struct job_status look(struct trainer *trainer, int64_t id)
{
    struct job_status job;
    for (;;) {
        ck_assert_int_eq(jobs_find(trainer_jobs(trainer), id, &job), 1);
        if (job.state != JOB_STATE_RUNNING || job.err.code != ERR_NONE)
            return job;
        (void)usleep(100);
    }
}

static struct job_status end_of(struct trainer *trainer, int64_t id)
{
    struct job_status job;
    do {
        (void)usleep(100);
        ck_assert_int_eq(jobs_find(trainer_jobs(trainer), id, &job), 1);
    } while (job.state == JOB_STATE_RUNNING);
    return job;
}

/* The last of the jobs that there are: the one that the start took up; 0: none. */
static int64_t last_job(struct trainer *trainer)
{
    struct job_status list[JOBS_KEPT];
    const size_t n = jobs_list(trainer_jobs(trainer), list);
    return n == 0 ? 0 : list[n - 1].id;
}

static void must_be_done(struct trainer *trainer, int64_t id, const char *what, unsigned at)
{
    const struct job_status job = end_of(trainer, id);
    ck_assert_msg(job.state == JOB_STATE_DONE && job.err.code == ERR_NONE, "%s, call %u: %s: %s", what, at,
                  job_state_name(job.state), job.err.text);
}

static void is_faithful(const uint8_t digest[DIGEST_BYTES])
{
    struct store *store = NULL;
    struct edits kept;
    struct err err;
    (void)leads_to(digest);
    ck_assert_msg(store_open(&store, path, true, &err) == 0, "%s", err.text);
    ck_assert_msg(store_edits_kept(store, &kept, &err) == 0 && kept.n == 0 && !kept.removes, "it is still to come");
    store_close(store);
}

/* What the model becomes where nothing fails. */
static void without_faults(uint8_t before[DIGEST_BYTES], uint8_t after[DIGEST_BYTES], const struct ask *ask)
{
    int64_t id;
    struct err err;
    make_model();
    struct trainer *trainer = start();
    digest_of(trainer, before);
    ck_assert_msg(ask_for(trainer, ask, &id, &err) == 0, "%s", err.text);
    must_be_done(trainer, id, ask->name, 0);
    digest_of(trainer, after);
    stop(trainer);
    is_faithful(after);
    remove_model();
    ck_assert_mem_ne(before, after, DIGEST_BYTES);
}

static const struct fault_plan plans[] = {
    {FAULT_WRITE, ENOSPC, false}, {FAULT_WRITE, ENOSPC, true}, {FAULT_WRITE, EIO, true},
    {FAULT_READ, EIO, false},     {FAULT_READ, EIO, true},     {FAULT_SYNC, EIO, false},
};
#define N_PLANS ((int)(sizeof plans / sizeof *plans))

/* One edit with a fault at that call: whether it was met. */
static bool run_with_fault(const struct ask *ask, const struct fault_plan *plan, unsigned at,
                           const uint8_t before[DIGEST_BYTES], const uint8_t after[DIGEST_BYTES], unsigned *n_went_on)
{
    uint8_t digest[DIGEST_BYTES];
    int64_t id;
    struct err err;
    make_model();
    struct trainer *trainer = start();
    fault_arm(plan, at);
    const bool accepted = ask_for(trainer, ask, &id, &err) == 0;
    if (accepted && plan->kind != FAULT_SYNC) {
        const struct job_status job = look(trainer, id);
        digest_of(trainer, digest); /* nothing of it is there, or all of it but what is to be emptied */
        const bool made = memcmp(digest, after, DIGEST_BYTES) == 0;
        ck_assert(made || memcmp(digest, before, DIGEST_BYTES) == 0);
        if (job.err.code != ERR_NONE) {
            const enum err_code told = plan->kind == FAULT_READ ? ERR_DB_CORRUPT /* SQLite takes it for damage */
                                       : plan->error == EIO     ? ERR_STORAGE
                                                                : ERR_STORAGE_FULL;
            ck_assert_msg(job.err.code == told || job.err.code == ERR_STORAGE, "%s", job.err.text);
            ck_assert_ptr_nonnull(job.then);
        }
        /* It had been accepted, so the call was one of its own. Who looks late does not see the error of a call that failed once. */
        const bool met = fault_hits() > 0, given_up = plan->kind == FAULT_READ && plan->for_good && met && !made;
        *n_went_on += plan->for_good ? job.err.code != ERR_NONE : met;
        if (given_up && job.err.code != ERR_NONE) { /* then somebody must ask again */
            ck_assert_int_eq(end_of(trainer, id).state, JOB_STATE_FAILED);
            fault_disarm();
            ck_assert_msg(ask_for(trainer, ask, &id, &err) == 0, "%s", err.text);
        }
        fault_disarm();
        must_be_done(trainer, id, ask->name, at);
        digest_of(trainer, digest);
        ck_assert_mem_eq(digest, after, DIGEST_BYTES);
        stop(trainer);
        is_faithful(after);
        remove_model();
        return met;
    }
    if (accepted)
        (void)end_of(trainer, id);
    const bool met = fault_hits() > 0;
    fault_disarm();
    ck_assert_msg(met || accepted, "%s, call %u: %s", ask->name, at, err.text);
    digest_of(trainer, digest);
    ck_assert(memcmp(digest, before, DIGEST_BYTES) == 0 || (accepted && memcmp(digest, after, DIGEST_BYTES) == 0));
    if (plan->kind != FAULT_SYNC) { /* refused: so it can be asked for again */
        ck_assert_msg(ask_for(trainer, ask, &id, &err) == 0, "%s", err.text);
        must_be_done(trainer, id, ask->name, at);
    }
    stop(trainer);
    /* After a sync that failed nobody knows what the disk has: the next start looks. What was accepted is done by it, or is there already. */
    trainer = start();
    if ((id = last_job(trainer)) != 0)
        must_be_done(trainer, id, ask->name, at);
    *n_went_on += id != 0;
    digest_of(trainer, digest);
    ck_assert_msg(memcmp(digest, after, DIGEST_BYTES) == 0 || (!accepted && memcmp(digest, before, DIGEST_BYTES) == 0),
                  "%s, call %u: it was accepted and is not there", ask->name, at);
    stop(trainer);
    is_faithful(digest);
    remove_model();
    return met;
}

START_TEST(an_edit_that_was_accepted_is_done_whatever_call_of_the_disk_fails)
{
    const struct ask *ask = &asks[_i / N_PLANS];
    const struct fault_plan *plan = &plans[_i % N_PLANS];
    const unsigned step = run_exhaustive() || plan->kind != FAULT_WRITE ? 1 : COARSE ? 23 : 5;
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
    unsigned n = 0, n_went_on = 0;
    without_faults(before, after, ask);
    for (unsigned at = 1 + (unsigned)_i % step; run_with_fault(ask, plan, at, before, after, &n_went_on) || at < step;
         at += step)
        n++;
    (void)printf("rebuild: %s, %s fails%s: at %u calls; it went on after %u\n", ask->name,
                 plan->kind == FAULT_WRITE  ? "a write"
                 : plan->kind == FAULT_READ ? "a read"
                                            : "a sync",
                 plan->for_good ? ", and all after it" : "", n, n_went_on);
    ck_assert_uint_gt(plan->kind == FAULT_SYNC ? n : n_went_on, 1);
}
END_TEST

/* ---- a crash between the answer and the take-over ---- */

START_TEST(an_edit_that_was_accepted_before_a_crash_is_taken_up_again)
{
    const struct ask *ask = &asks[_i];
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES], digest[DIGEST_BYTES];
    without_faults(before, after, ask);
    make_model();
    const pid_t child = fork();
    if (child == 0) { /* so that it can never be done: from the answer on no read goes well */
        int64_t id;
        struct err err;
        struct trainer *trainer = start();
        const bool accepted = ask_for(trainer, ask, &id, &err) == 0;
        fault_arm(&no_room, 1);
        (void)kill(getpid(), accepted ? SIGKILL : SIGTERM);
        (void)pause();
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    struct trainer *trainer = start();
    const int64_t id = last_job(trainer);
    if (id != 0)
        must_be_done(trainer, id, ask->name, 0);
    digest_of(trainer, digest);
    ck_assert_mem_eq(digest, after, DIGEST_BYTES);
    stop(trainer);
    is_faithful(after);
}
END_TEST

/* ---- what has become void beside what has not ---- */

#define MANY_GROUPS 150u /* so that the samples lie on pages of their own */

static const struct {
    int64_t id;
    const char *label; /* NULL: to be forgotten */
} wanted[] = {{10, "c"}, {200, NULL}, {400, NULL}, {590, NULL}};

/* Back to the snapshot of revision 2, which has learned from samples 1 to 4. */
static void go_back(struct store *store)
{
    struct err err;
    struct learner *learner = NULL;
    struct event event = {.kind = EVENT_ACTIVATE, .as.activate.revision = 2};
    store_next(store, &event);
    ck_assert_msg(store_snapshot_load(store, 2, NULL, &learner, &err) == 0 && store_begin(store, &err) == 0 &&
                      store_append(store, &event, &err) == 0 && store_classes(store, learner, &err) == 0 &&
                      store_commit(store, &err) == 0,
                  "%s", err.text);
    learner->revision = event.revision; /* so that the next start reads no sample */
    ck_assert_msg(store_snapshot(store, learner, "activate", NULL, false, NULL, &err) == 0, "%s", err.text);
    learner_free(learner);
}

/* A start finds four edits, one of which is void since the model went back; one call of the disk fails. Whether it was met. */
static bool start_with_a_void_edit(const struct fault_plan *plan, unsigned at)
{
    struct err err;
    struct store *store = NULL;
    struct learner *learner = NULL;
    struct rebuild r = {.retry_ms = 1};
    struct store_snapshot taken;
    struct rebuild_made made;
    struct store_sample_row row;
    struct edits kept;
    size_t changed;
    make_model_of(MANY_GROUPS, 1);
    open_model(&store, &learner);
    ck_assert_int_eq(rebuild_resume(&r, store, learner, &err), REBUILD_DONE);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int64_t id = wanted[i].id;
        struct edit_request ask = {.ids = &id, .n = 1, .forget = wanted[i].label == NULL};
        if (!ask.forget)
            (void)snprintf(ask.label, sizeof ask.label, "%s", wanted[i].label);
        ck_assert_msg(rebuild_accept(&r, store, learner, &ask, &changed, &err) == 0 && changed == 1, "%s", err.text);
    }
    rebuild_fini(&r);
    go_back(store);
    store_close(store);
    learner_free(learner);
    open_model(&store, &learner); /* nothing is in SQLite's memory */
    r.retry_ms = 1;
    fault_arm(plan, at);
    enum rebuild_state now = rebuild_resume(&r, store, learner, &err);
    for (int tries = 0; now != REBUILD_DONE; tries++) {
        ck_assert_msg(now != REBUILD_VOID, "call %u: dropped: %s", at, err.text);
        if (tries == 3)
            fault_disarm();
        if (now == REBUILD_GIVEN_UP) { /* until the next start */
            fault_disarm();
            store_close(store);
            learner_free(learner);
            open_model(&store, &learner);
            now = rebuild_resume(&r, store, learner, &err);
            continue;
        }
        while (rebuild_wait_us(&r) > 0)
            (void)usleep(100);
        struct learner *rebuilt = NULL;
        now = rebuild_chunk(&r, store, learner, 1000000, &rebuilt, &taken, &made, &err);
        learner_free(rebuilt);
    }
    const bool met = fault_hits() > 0;
    fault_disarm();
    ck_assert_msg(store_edits_kept(store, &kept, &err) == 0 && kept.n == 0, "it is still to come");
    for (size_t i = 1; i < sizeof wanted / sizeof *wanted; i++)
        ck_assert_msg(store_sample_row(store, wanted[i].id, &row, NULL, 0, &err) == -1 && err.code == ERR_GONE,
                      "call %u: sample %lld was to be forgotten, and is there", at, (long long)wanted[i].id);
    ck_assert_msg(store_sample_row(store, wanted[0].id, &row, NULL, 0, &err) == 1, "%s", err.text);
    rebuild_fini(&r);
    store_close(store);
    learner_free(learner);
    remove_model();
    return met;
}

START_TEST(an_edit_that_has_become_void_takes_no_other_along_whatever_call_of_the_disk_fails)
{
    const struct fault_plan *plan = &plans[_i];
    const unsigned step = run_exhaustive() || plan->kind == FAULT_READ ? 1 : COARSE ? 31 : 7;
    unsigned n = 0;
    for (unsigned at = 1; start_with_a_void_edit(plan, at); at += step)
        n++;
    ck_assert_uint_gt(n, 0);
}
END_TEST

START_TEST(a_look_at_many_edits_is_worked_off_in_pieces)
{
    struct err err;
    struct store *store = NULL;
    struct learner *learner = NULL, *state = NULL;
    struct rebuild r = {0};
    struct store_snapshot taken;
    struct rebuild_made made;
    int64_t many[4 * MANY_GROUPS];
    const size_t n = sizeof many / sizeof *many;
    size_t changed, n_looks = 0;
    make_model_of(MANY_GROUPS, 1);
    open_model(&store, &learner);
    ck_assert_int_eq(rebuild_resume(&r, store, learner, &err), REBUILD_DONE);
    for (size_t i = 0; i < n; i++)
        many[i] = (int64_t)(n - i);
    const struct edit_request ask = {.ids = many, .n = n, .label = "b"};
    ck_assert_msg(rebuild_accept(&r, store, learner, &ask, &changed, &err) == 0, "%s", err.text);
    ck_assert(changed > n / 2 && r.replayer == NULL);
    for (; r.replayer == NULL; n_looks++) /* as little at a time as there is */
        ck_assert_int_eq(rebuild_chunk(&r, store, learner, 0, &state, &taken, &made, &err), REBUILD_MORE);
    ck_assert_uint_ge(n_looks, changed / 64);
    while (rebuild_chunk(&r, store, learner, 0, &state, &taken, &made, &err) == REBUILD_MORE)
        continue;
    ck_assert_uint_eq(made.relabelled, changed);
    rebuild_fini(&r);
    learner_free(state);
    learner_free(learner);
    store_close(store);
}
END_TEST

/* ---- while it waits ---- */

/* A trainer whose rebuild fails for want of room; *id: its job. */
static struct trainer *start_stuck(const struct ask *ask, int64_t *id)
{
    struct err err;
    make_model();
    struct trainer *trainer = start();
    fault_arm(&no_room, 20); /* what keeps the edit is before that */
    ck_assert_msg(ask_for(trainer, ask, id, &err) == 0, "%s", err.text);
    const struct job_status job = look(trainer, *id);
    ck_assert_msg(job.state == JOB_STATE_RUNNING && job.err.code == ERR_STORAGE_FULL, "%s: %s",
                  job_state_name(job.state), job.err.text);
    return trainer;
}

START_TEST(a_rebuild_that_waits_can_be_cancelled_when_there_is_room)
{
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES], digest[DIGEST_BYTES];
    int64_t id;
    without_faults(before, after, &asks[0]);
    struct trainer *trainer = start_stuck(&asks[0], &id);
    struct wait *cancel = wait_create(COMMAND_CANCEL);
    cancel->command.job_id = id;
    fault_arm(&no_room, 1);
    ck_assert_int_eq(run(trainer, cancel)->command.status, -1); /* that must be written, too */
    ck_assert_int_eq(cancel->command.err.code, ERR_STORAGE_FULL);
    wait_free(cancel);
    struct job_status job;
    ck_assert(jobs_find(trainer_jobs(trainer), id, &job) == 1 && job.state == JOB_STATE_RUNNING);
    fault_disarm();
    must_be_done(trainer, id, "forget", 0);
    digest_of(trainer, digest);
    ck_assert_mem_eq(digest, after, DIGEST_BYTES);
    stop(trainer);
}
END_TEST

/* The first call that fails and finds the model changed already. */
START_TEST(an_edit_that_is_made_cannot_be_cancelled_and_ends_when_it_is_emptied)
{
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES], digest[DIGEST_BYTES];
    int64_t id;
    bool made = false;
    without_faults(before, after, &asks[0]);
    for (unsigned at = 20; !made; at++) {
        struct err err;
        make_model();
        struct trainer *trainer = start();
        fault_arm(&no_room, at);
        ck_assert_msg(ask_for(trainer, &asks[0], &id, &err) == 0, "%s", err.text);
        ck_assert_int_eq(look(trainer, id).state, JOB_STATE_RUNNING);
        digest_of(trainer, digest);
        made = memcmp(digest, after, DIGEST_BYTES) == 0;
        if (made) {
            struct wait *cancel = wait_create(COMMAND_CANCEL);
            cancel->command.job_id = id;
            ck_assert_int_eq(run(trainer, cancel)->command.status, -1);
            ck_assert_int_eq(cancel->command.err.code, ERR_CONFLICT);
            wait_free(cancel);
        }
        fault_disarm();
        must_be_done(trainer, id, "forget", at);
        stop(trainer);
        remove_model();
    }
}
END_TEST

START_TEST(nothing_is_pinned_and_edits_join_while_a_rebuild_waits)
{
    int64_t id, other;
    struct err err;
    struct trainer *trainer = start_stuck(&asks[0], &id);
    struct wait *pin = wait_create(COMMAND_SNAPSHOT), *forget = wait_create(COMMAND_EDIT);
    pin->command.pinned = true;
    (void)run(trainer, pin);
    ck_assert(pin->command.status == -1 && pin->command.err.code == ERR_CONFLICT);
    wait_free(pin);
    ck_assert_int_eq(ask_for(trainer, &asks[1], &other, &err), -1); /* they are being forgotten */
    ck_assert_int_eq(err.code, ERR_GONE);
    int64_t more = 5;
    forget->command.edit = (struct edit_request){.ids = &more, .n = 1, .forget = true};
    fault_disarm();
    ck_assert_msg(run(trainer, forget)->command.status == 0, "%s", forget->command.err.text);
    must_be_done(trainer, forget->command.job_status.id, "forget", 0);
    wait_free(forget);
    uint8_t digest[DIGEST_BYTES];
    digest_of(trainer, digest);
    stop(trainer);
    is_faithful(digest);
    struct store *store = NULL;
    struct store_sample_row row;
    ck_assert_msg(store_open(&store, path, true, &err) == 0, "%s", err.text);
    for (int64_t gone = 3; gone <= 5; gone += 2)
        ck_assert(store_sample_row(store, gone, &row, NULL, 0, &err) == -1 && err.code == ERR_GONE);
    store_close(store);
}
END_TEST

static struct trainer *gated;
static atomic_bool at_the_gate;

/* In the trainer's thread: until there are two jobs in the queue behind this one. */
static int until_two_wait(struct command *command, struct store *store, struct err *err)
{
    (void)command, (void)store, (void)err;
    atomic_store(&at_the_gate, true);
    while (trainer_stats(gated).queued_commands < 2) /* without this one, which only reads */
        (void)usleep(100);
    return 0;
}

START_TEST(a_rebuild_that_a_way_back_makes_void_ends_though_what_is_asked_for_in_the_same_round_is_refused)
{
    int64_t id, nobody = 99999;
    struct err err;
    retry_ms = 60000; /* it waits, until the model goes back */
    struct trainer *trainer = gated = start_stuck(&asks[1], &id);
    fault_disarm();
    struct wait *jobs[] = {wait_create(COMMAND_READ), wait_create(COMMAND_ACTIVATE), wait_create(COMMAND_EDIT)};
    jobs[0]->command.read = until_two_wait;
    jobs[1]->command.snapshot_id = 1; /* before all samples */
    jobs[2]->command.edit = (struct edit_request){.ids = &nobody, .n = 1, .label = "a"};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(trainer_submit(trainer, &jobs[i]->command, &err), 0);
        while (!atomic_load(&at_the_gate))
            (void)usleep(100);
    }
    for (size_t i = 0; i < 3; i++)
        await(jobs[i]);
    ck_assert_int_eq(jobs[1]->command.status, 0);
    ck_assert(jobs[2]->command.status == -1 && jobs[2]->command.err.code == ERR_NOT_FOUND);
    ck_assert_int_eq(end_of(trainer, id).state, JOB_STATE_DONE);
    for (size_t i = 0; i < 3; i++)
        wait_free(jobs[i]);
    ck_assert_msg(ask_for(trainer, &asks[0], &id, &err) == 0, "%s", err.text);
    must_be_done(trainer, id, "forget", 0);
    stop(trainer);
}
END_TEST

START_TEST(what_is_to_be_forgotten_is_shown_no_more_while_a_rebuild_waits)
{
    const bool alone = _i == 0;
    struct err err;
    struct store *store = NULL;
    struct learner *learner = NULL;
    struct store_sample_row row, rows[SAMPLES];
    struct edits edits = {0};
    static uint8_t pixels[SAMPLES][N_INPUT];
    size_t n;
    make_model();
    open_model(&store, &learner);
    ck_assert(store_sample_row(store, 3, &row, NULL, 0, &err) == 1);
    const uint32_t label = row.label;
    struct edit edit = {.id = 3, .label = EDIT_FORGET};
    if (alone)
        ck_assert(edits_put(&edits, &edit, &err) == 0 && store_edits_check(store, learner, &edits, NULL, &err) == 0);
    else
        ck_assert(store_edits_remove(store, learner, &edits, label, EDIT_FORGET, &err) == 0);
    ck_assert_msg(store_edits_keep(store, &edits, &err) == 0, "%s", err.text);
    ck_assert(store_sample_row(store, 3, &row, NULL, 0, &err) == -1 && err.code == ERR_GONE);
    struct store_search search = {
        .label = -1, .predicted = -1, .wrong = -1, .from_us = INT64_MIN, .to_us = INT64_MAX, .before = INT64_MAX};
    ck_assert(store_search(store, &search, rows, SAMPLES, 1000, &n, &err) == 0);
    ck_assert(alone ? n == SAMPLES - 1 : n > 0 && n < SAMPLES - 1);
    for (size_t i = 0; i < n; i++)
        ck_assert(rows[i].id != 3 && (alone || rows[i].label != label));
    int64_t next = 1;
    size_t n_exported;
    ck_assert(store_export(store, &next, SAMPLES, rows, pixels[0], N_INPUT, SAMPLES, &n_exported, &err) == 0);
    ck_assert_uint_eq(n_exported, n);
    ck_assert_msg(store_edits_drop(store, &err) == 0, "%s", err.text); /* it was cancelled: it is there again */
    ck_assert(store_sample_row(store, 3, &row, NULL, 0, &err) == 1);
    edits_fini(&edits);
    store_close(store);
    learner_free(learner);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rebuild");
    TCase *t = tcase_create("rebuild");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup_in_memory, teardown);
    tcase_add_loop_test(t, an_edit_that_was_accepted_is_done_whatever_call_of_the_disk_fails, 0, N_ASKS * N_PLANS);
    tcase_add_loop_test(t, an_edit_that_was_accepted_before_a_crash_is_taken_up_again, 0, N_ASKS);
    tcase_add_loop_test(t, an_edit_that_has_become_void_takes_no_other_along_whatever_call_of_the_disk_fails, 0,
                        N_PLANS);
    tcase_add_test(t, a_look_at_many_edits_is_worked_off_in_pieces);
    tcase_add_test(t, a_rebuild_that_waits_can_be_cancelled_when_there_is_room);
    tcase_add_test(t, a_rebuild_that_a_way_back_makes_void_ends_though_what_is_asked_for_in_the_same_round_is_refused);
    tcase_add_test(t, an_edit_that_is_made_cannot_be_cancelled_and_ends_when_it_is_emptied);
    tcase_add_test(t, nothing_is_pinned_and_edits_join_while_a_rebuild_waits);
    tcase_add_loop_test(t, what_is_to_be_forgotten_is_shown_no_more_while_a_rebuild_waits, 0, 2);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
