/* test_trainer.c - the trainer's round against a real store: what a completed job promises, and what a failed one leaves. */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "tests/server/trainer.h"

static struct trainer *start(const struct trainer_config *config)
{
    return start_new(8, config);
}

static void stop(struct trainer *trainer)
{
    struct err err;
    ck_assert_msg(trainer_stop(trainer, &err) == 0, "%s", err.text);
    trainer_free(trainer);
}

static struct trainer *watched;

/* In the trainer's thread, as a snapshot of a large model on a slow disk would: no round ends, but bytes move. */
static int write_for_long(struct command *command, struct store *store, struct err *err)
{
    static const uint8_t bytes[100000];
    FILE *file = tmpfile();
    (void)command, (void)store, (void)err;
    const uint64_t progress = trainer_stats(watched).progress, before = trainer_moved(watched);
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_lt(trainer_moved(watched) - before, sizeof bytes); /* that it asked */
    const uint64_t still = trainer_moved(watched);
    ck_assert_uint_eq(fwrite(bytes, 1, sizeof bytes, file), sizeof bytes);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_uint_ge(trainer_moved(watched) - still, sizeof bytes);
    ck_assert_uint_eq(trainer_stats(watched).progress, progress);
    return 0;
}

START_TEST(bytes_that_the_trainer_moves_are_progress_though_no_round_ends)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = watched = start(&config);
    struct wait *w = wait_create(COMMAND_READ);
    w->command.read = write_for_long;
    (void)run(trainer, w);
    wait_free(w);
    stop(trainer);
}
END_TEST

START_TEST(a_completed_job_is_published_and_in_the_log)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    struct wait *w = run(trainer, train_create(3, 1, 1));
    ck_assert_int_eq(w->command.status, 0);
    ck_assert_uint_eq(w->command.revision, 2);
    ck_assert_uint_eq(w->command.step, 3);
    ck_assert_int_eq(w->samples[0].id, 1);
    ck_assert_int_eq(w->samples[2].id, 3);
    struct revision *held = model_acquire(trainer_model(trainer));
    ck_assert_uint_eq(held->learner->revision, 2);
    ck_assert_uint_eq(held->learner->step, 3);
    model_release(trainer_model(trainer), held);
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
    digest_of(trainer, before);
    wait_free(w);
    stop(trainer);

    struct store *store = NULL;
    struct learner *learner = NULL;
    struct err err;
    ck_assert_msg(store_open(&store, path, false, &err) == 0, "%s", err.text);
    struct store_recovery report;
    ck_assert_msg(store_recover(store, NULL, NULL, NULL, &learner, &report, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(report.events, 0); /* the stop took a snapshot */
    learner_digest(learner, after);
    ck_assert_mem_eq(before, after, DIGEST_BYTES);
    learner_free(learner);
    store_close(store);
}
END_TEST

START_TEST(a_job_that_the_fold_refuses_fails_alone)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
    digest_of(trainer, before);
    struct wait *bad = run(trainer, labelled_as(train_create(2, 0, 1), "d"));
    ck_assert_int_eq(bad->command.status, -1);
    ck_assert_int_eq(bad->command.err.code, ERR_LABEL_UNKNOWN);
    digest_of(trainer, after);
    ck_assert_mem_eq(before, after, DIGEST_BYTES);
    struct wait *good = run(trainer, train_create(1, 0, 1));
    ck_assert_int_eq(good->command.status, 0);
    ck_assert_uint_eq(good->command.revision, 2);
    wait_free(bad);
    wait_free(good);
    stop(trainer);
}
END_TEST

START_TEST(a_known_key_is_answered_with_the_first_answer_and_trains_nothing)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    struct wait *w[3];
    for (int i = 0; i < 3; i++) {
        w[i] = train_create(3, 1, 1);
        w[i]->command.key = "key";
        w[i]->command.fingerprint[0] = 1 + (i == 2); /* the third is another request */
        (void)run(trainer, w[i]);
    }
    ck_assert_int_eq(w[0]->command.status, 0);
    ck_assert(!w[0]->command.known);
    ck_assert_int_eq(w[1]->command.status, 0);
    ck_assert(w[1]->command.known);
    ck_assert_uint_eq(w[1]->command.revision, 2);
    const struct store_trained *first = &w[0]->command.trained, *again = &w[1]->command.trained;
    ck_assert(first->n == 3 && first->first_id == 1 && first->last_id == 3 && first->step == 3 && first->loss > 0);
    ck_assert(again->n == 3 && again->first_id == 1 && again->last_id == 3 && again->step == 3);
    ck_assert(again->loss == first->loss && again->correct == first->correct && again->refused == first->refused);
    ck_assert_int_eq(w[2]->command.status, -1);
    ck_assert_int_eq(w[2]->command.err.code, ERR_KEY_REUSED);
    struct revision *held = model_acquire(trainer_model(trainer));
    ck_assert_uint_eq(held->learner->step, 3);
    model_release(trainer_model(trainer), held);
    for (int i = 0; i < 3; i++)
        wait_free(w[i]);
    stop(trainer);
}
END_TEST

START_TEST(classes_are_added_beyond_the_first_room)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    for (int i = 0; i < 40; i++) {
        struct wait *w = wait_create(COMMAND_CLASS);
        w->command.event.as.class_.action = CLASS_ADD;
        (void)snprintf(w->command.event.as.class_.label, sizeof w->command.event.as.class_.label, "class %d", i);
        (void)run(trainer, w);
        ck_assert_msg(w->command.status == 0, "%s", w->command.err.text);
        ck_assert_uint_eq(w->command.event.as.class_.index, 3 + (unsigned)i);
        wait_free(w);
    }
    struct wait *last = run(trainer, labelled_as(train_create(1, 0, 1), "class 39"));
    ck_assert_int_eq(last->command.status, 0);
    wait_free(last);
    stop(trainer);
}
END_TEST

START_TEST(activate_brings_back_the_very_state_and_the_revision_goes_on)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    uint8_t then[DIGEST_BYTES], later[DIGEST_BYTES], back[DIGEST_BYTES];
    wait_free(run(trainer, train_create(4, 1, 1)));
    digest_of(trainer, then);
    struct wait *taken = run(trainer, wait_create(COMMAND_SNAPSHOT));
    ck_assert_int_eq(taken->command.status, 0);
    wait_free(run(trainer, train_create(4, 2, 5)));
    digest_of(trainer, later);
    ck_assert_mem_ne(then, later, DIGEST_BYTES);
    struct wait *activate = wait_create(COMMAND_ACTIVATE);
    activate->command.snapshot_id = taken->command.snapshot.id;
    (void)run(trainer, activate);
    ck_assert_msg(activate->command.status == 0, "%s", activate->command.err.text);
    ck_assert_uint_eq(activate->command.revision, 4);
    ck_assert_uint_eq(activate->command.step, 4);
    digest_of(trainer, back);
    ck_assert_mem_eq(then, back, DIGEST_BYTES);
    wait_free(taken);
    wait_free(activate);
    stop(trainer);
}
END_TEST

/* The upkeep after its last round, and after that one that found nothing to do. */
static void await_idle(struct trainer *trainer)
{
    const uint64_t then = trainer_stats(trainer).progress;
    while (trainer_stats(trainer).progress < then + 3)
        (void)usleep(1000);
}

static off_t wal_length(void)
{
    char name[112];
    struct stat found;
    (void)snprintf(name, sizeof name, "%s-wal", path);
    ck_assert_int_eq(stat(name, &found), 0);
    return found.st_size;
}

/* So that a commit makes no file longer. */
START_TEST(idle_times_and_snapshots_leave_the_wal_its_length)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    for (unsigned i = 0; i < 20; i++)
        wait_free(run(trainer, train_create(10, i % 3, i)));
    wait_free(run(trainer, wait_create(COMMAND_SNAPSHOT)));
    await_idle(trainer);
    const off_t length = wal_length();
    ck_assert_int_gt(length, 0);
    wait_free(run(trainer, train_create(10, 1, 30)));
    await_idle(trainer);
    ck_assert_int_eq(wal_length(), length);
    uint8_t digest[DIGEST_BYTES];
    digest_of(trainer, digest);
    stop(trainer);
    (void)leads_to(digest);
}
END_TEST

START_TEST(a_label_is_looked_up_when_its_turn_has_come)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    static const char *const labels[] = {"left behind", "another"};
    struct wait *taken = run(trainer, wait_create(COMMAND_SNAPSHOT));
    for (int i = 0; i < 2; i++) {
        struct wait *add = wait_create(COMMAND_CLASS);
        add->command.event.as.class_.action = CLASS_ADD;
        (void)snprintf(add->command.event.as.class_.label, sizeof add->command.event.as.class_.label, "%s", labels[i]);
        (void)run(trainer, add);
        ck_assert_int_eq(add->command.status, 0);
        ck_assert_uint_eq(add->command.event.as.class_.index, 3);
        if (i == 0) { /* back to before it, and then another class gets its index */
            struct wait *activate = wait_create(COMMAND_ACTIVATE);
            activate->command.snapshot_id = taken->command.snapshot.id;
            (void)run(trainer, activate);
            ck_assert_int_eq(activate->command.status, 0);
            ck_assert_uint_eq(activate->command.revision, 3);
            wait_free(activate);
        }
        wait_free(add);
    }
    struct wait *late = run(trainer, labelled_as(train_create(1, 0, 1), labels[0]));
    ck_assert_int_eq(late->command.status, -1);
    ck_assert_int_eq(late->command.err.code, ERR_LABEL_UNKNOWN);
    struct wait *good = run(trainer, labelled_as(train_create(1, 0, 1), labels[1]));
    ck_assert_int_eq(good->command.status, 0);
    ck_assert_uint_eq(good->samples[0].label, 3);
    ck_assert_uint_eq(good->command.step, 1);
    wait_free(taken);
    wait_free(late);
    wait_free(good);
    stop(trainer);
}
END_TEST

static atomic_bool begun;

/* So that all of them are of one round. */
static int wait_for_others(struct command *command, struct store *store, struct err *err)
{
    (void)command, (void)store, (void)err;
    atomic_store(&begun, true);
    while (trainer_stats(watched).queued_commands < 4)
        (void)usleep(1000);
    return 0;
}

START_TEST(a_class_and_a_name_are_known_to_those_behind_them_in_one_round)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = watched = start(&config);
    struct err err;
    struct wait *first = wait_create(COMMAND_READ),
                *w[4] = {labelled_as(train_create(1, 0, 1), "new"), wait_create(COMMAND_CLASS),
                         wait_create(COMMAND_CLASS), labelled_as(train_create(1, 0, 1), "new")};
    struct command *add = &w[1]->command, *rename = &w[2]->command;
    add->event.as.class_.action = CLASS_ADD;
    (void)snprintf(add->event.as.class_.label, sizeof add->event.as.class_.label, "old");
    rename->event.as.class_.action = CLASS_RENAME;
    (void)snprintf(rename->from, sizeof rename->from, "old");
    (void)snprintf(rename->event.as.class_.label, sizeof rename->event.as.class_.label, "new");
    first->command.read = wait_for_others;
    ck_assert_int_eq(trainer_submit(trainer, &first->command, &err), 0);
    while (!atomic_load(&begun))
        (void)usleep(1000);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(trainer_submit(trainer, &w[i]->command, &err), 0);
    await(first);
    for (int i = 0; i < 4; i++) {
        await(w[i]);
        ck_assert_int_eq(w[i]->command.status, i == 0 ? -1 : 0);
    }
    ck_assert_int_eq(w[0]->command.err.code, ERR_LABEL_UNKNOWN);
    ck_assert_uint_eq(rename->event.as.class_.index, 3);
    ck_assert_uint_eq(w[3]->samples[0].label, 3);
    ck_assert_uint_eq(trainer_stats(trainer).rounds, 4); /* what changes the classes is a transaction by itself */
    for (int i = 0; i < 4; i++)
        wait_free(w[i]);
    wait_free(first);
    stop(trainer);
}
END_TEST

START_TEST(tuning_changes_what_is_named_and_refuses_what_is_fixed)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    struct wait *w = wait_create(COMMAND_TUNE);
    w->command.tune.n = 1;
    w->command.tune.which[0] = SETTING_RATE;
    w->command.tune.value[0] = 0.25;
    (void)run(trainer, w);
    ck_assert_int_eq(w->command.status, 0);
    struct wait *fixed = wait_create(COMMAND_TUNE);
    fixed->command.tune.n = 1;
    fixed->command.tune.which[0] = SETTING_MEAN;
    fixed->command.tune.value[0] = 0.5;
    (void)run(trainer, fixed);
    ck_assert_int_eq(fixed->command.err.code, ERR_VALUE);
    ck_assert_str_eq(fixed->command.err.pointer, "/mean");
    struct revision *held = model_acquire(trainer_model(trainer));
    ck_assert(held->learner->settings.rate == 0.25F);
    ck_assert(held->learner->settings.mean == 0.13F);
    model_release(trainer_model(trainer), held);
    wait_free(w);
    wait_free(fixed);
    stop(trainer);
}
END_TEST

/* Tunes one or two settings and gives back what `decay_steps` is then. */
static float decay_steps_after(struct trainer *trainer, unsigned n, enum setting first, double value,
                               enum setting second, double other)
{
    struct wait *w = wait_create(COMMAND_TUNE);
    w->command.tune.n = n;
    w->command.tune.which[0] = first;
    w->command.tune.value[0] = value;
    w->command.tune.which[1] = second;
    w->command.tune.value[1] = other;
    (void)run(trainer, w);
    ck_assert_int_eq(w->command.status, 0);
    struct revision *held = model_acquire(trainer_model(trainer));
    const float decay_steps = held->learner->settings.decay_steps;
    model_release(trainer_model(trainer), held);
    wait_free(w);
    return decay_steps;
}

START_TEST(a_rate_that_is_tuned_without_a_fall_stays)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    ck_assert(decay_steps_after(trainer, 1, SETTING_DECAY_STEPS, 500, SETTING_N, 0) == 500.0F);
    ck_assert(decay_steps_after(trainer, 1, SETTING_JITTER, 1, SETTING_N, 0) == 500.0F);
    ck_assert(decay_steps_after(trainer, 2, SETTING_DECAY_STEPS, 600, SETTING_RATE, 0.25) == 600.0F);
    ck_assert(decay_steps_after(trainer, 1, SETTING_RATE, 0.25, SETTING_N, 0) == 0.0F);
    stop(trainer);
}
END_TEST

START_TEST(a_full_queue_refuses_and_recovers)
{
    struct trainer_config config = trainer_config_default();
    config.queue_samples = 4;
    struct trainer *trainer = start(&config);
    enum { N = 64 };
    struct wait *w[N];
    int taken = 0, refused = 0;
    for (int i = 0; i < N; i++) {
        struct err err;
        w[i] = train_create(2, 1, (unsigned)i);
        if (trainer_submit(trainer, &w[i]->command, &err) == 0) {
            taken++;
        } else {
            ck_assert_int_eq(err.code, ERR_BUSY);
            wait_free(w[i]);
            w[i] = NULL;
            refused++;
        }
    }
    for (int i = 0; i < N; i++)
        if (w[i] != NULL) {
            await(w[i]);
            ck_assert_int_eq(w[i]->command.status, 0);
            wait_free(w[i]);
        }
    ck_assert_int_gt(refused, 0);
    struct wait *after = run(trainer, train_create(1, 1, 1));
    ck_assert_int_eq(after->command.status, 0);
    ck_assert_uint_eq(after->command.step, (uint64_t)taken * 2 + 1);
    wait_free(after);
    stop(trainer);
}
END_TEST

/* ---- those who read ---- */

static struct trainer *read_from;
static _Atomic(struct wait *) to_submit; /* by the next turn, so that what is counted is in one thread */
static atomic_uint turns, turns_between;
static atomic_bool reads_end;

/* A turn that takes all the time that a round has for them. */
static int read_for_long(struct command *command, struct store *store, struct err *err)
{
    (void)command, (void)store;
    const uint64_t begin = clock_us();
    struct wait *w = atomic_exchange(&to_submit, NULL);
    if (w != NULL && trainer_submit(read_from, &w->command, err) != 0)
        return -1;
    if (w != NULL)
        atomic_store(&turns_between, atomic_load(&turns));
    while (clock_us() - begin < READS_US)
        ;
    atomic_fetch_add(&turns, 1);
    return !atomic_load(&reads_end);
}

static void count_turns(struct command *command)
{
    atomic_store(&turns_between, atomic_load(&turns) - atomic_load(&turns_between));
    on_done(command);
}

static struct wait *reader_create(void)
{
    struct wait *w = wait_create(COMMAND_READ);
    w->command.read = read_for_long;
    return w;
}

START_TEST(however_many_read_who_trains_waits_for_one_turn_and_one_more_reader_is_refused)
{
    const struct trainer_config config = trainer_config_default();
    struct trainer *trainer = read_from = start(&config);
    struct wait *readers[READS_MAX];
    struct err err;
    for (unsigned i = 0; i < READS_MAX; i++) {
        readers[i] = reader_create();
        ck_assert_msg(trainer_submit(trainer, &readers[i]->command, &err) == 0, "%s", err.text);
    }
    struct wait *one_more = reader_create();
    ck_assert_int_eq(trainer_submit(trainer, &one_more->command, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    one_more->command.goes_on = true; /* a part of what was begun */
    ck_assert_int_eq(trainer_submit(trainer, &one_more->command, &err), 0);
    while (atomic_load(&turns) < 2 * READS_MAX) { /* all have their turns meanwhile */
        struct wait *taught = train_create(1, 1, 1);
        taught->command.done = count_turns;
        atomic_store(&to_submit, taught);
        await(taught);
        ck_assert_int_eq(taught->command.status, 0);
        ck_assert_uint_eq(atomic_load(&turns_between), 1); /* the one under way */
        wait_free(taught);
    }
    ck_assert_uint_eq(trainer_stats(trainer).queued_reads, READS_MAX + 1);
    ck_assert_uint_eq(trainer_stats(trainer).queued_commands, 0);
    atomic_store(&reads_end, true);
    for (unsigned i = 0; i < READS_MAX; i++) {
        await(readers[i]);
        wait_free(readers[i]);
    }
    await(one_more);
    wait_free(one_more);
    struct wait *list = run(trainer, wait_create(COMMAND_SNAPSHOTS));
    ck_assert_int_eq(list->command.status, 0);
    ck_assert_uint_gt(list->command.n_list, 0);
    wait_free(list);
    stop(trainer);
}
END_TEST

START_TEST(a_failed_commit_leaves_the_published_state_and_training_works_again_with_room)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    wait_free(run(trainer, train_create(1, 1, 1)));
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
    digest_of(trainer, before);

    struct rlimit limit, none;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    none = limit;
    none.rlim_cur = 1;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    struct wait *refused = run(trainer, train_create(4, 1, 2));
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(refused->command.status, -1);
    ck_assert_msg(refused->command.err.code == ERR_STORAGE_FULL || refused->command.err.code == ERR_STORAGE, "%s: %s",
                  err_code_name(refused->command.err.code), refused->command.err.text);
    digest_of(trainer, after);
    ck_assert_mem_eq(before, after, DIGEST_BYTES);

    struct wait *again = run(trainer, train_create(4, 1, 2));
    ck_assert_msg(again->command.status == 0, "%s", again->command.err.text);
    ck_assert_uint_eq(again->command.step, 5);
    wait_free(refused);
    wait_free(again);
    stop(trainer);
}
END_TEST

/* What a failed group put into the buffer, over images that the published state remembers, is taken out again. */
START_TEST(a_failed_commit_leaves_what_is_rehearsed_as_it_was)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    struct wait *tune = wait_create(COMMAND_TUNE);
    tune->command.tune.n = 3;
    tune->command.tune.which[0] = SETTING_REHEARSAL;
    tune->command.tune.value[0] = 4;
    tune->command.tune.which[1] = SETTING_JITTER;
    tune->command.tune.value[1] = 1;
    tune->command.tune.which[2] = SETTING_ROTATION;
    tune->command.tune.value[2] = 10;
    wait_free(run(trainer, tune));
    struct rlimit limit, none;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    none = limit;
    none.rlim_cur = 1;
    for (unsigned i = 0; i < 400; i++) { /* class 0 gets 600 samples and more: its slots are taken and taken again */
        const bool fails = i % 20 == 19;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, fails ? &none : &limit), 0);
        struct wait *w = run(trainer, train_create(4, i % 3 == 2, i));
        ck_assert_int_eq(w->command.status, fails ? -1 : 0);
        wait_free(w);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    uint8_t published[DIGEST_BYTES];
    digest_of(trainer, published);
    stop(trainer);

    const struct store_verdict verdict = leads_to(published);
    ck_assert_uint_eq(verdict.samples, 380 * 4);
    ck_assert_uint_eq(verdict.step, 380 * 4 * 5);
}
END_TEST

/* Many wait at a time; the disk is full every now and then. */
START_TEST(whatever_group_is_lost_was_never_there)
{
    enum { JOBS = 1500, WAITING = 24 };
    (void)signal(SIGXFSZ, SIG_IGN);
    struct trainer_config config = trainer_config_default();
    config.snapshot_samples = 7000;
    struct trainer *trainer = start(&config);
    struct wait *tune = wait_create(COMMAND_TUNE);
    tune->command.tune.n = 1;
    tune->command.tune.which[0] = SETTING_REHEARSAL;
    tune->command.tune.value[0] = 2;
    wait_free(run(trainer, tune));
    struct rlimit limit, none;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    none = limit;
    none.rlim_cur = 1;
    static struct wait *waits[JOBS];
    uint64_t samples = 0, revisions = 0, last = 0;
    unsigned lost = 0;
    for (unsigned i = 0; i < JOBS + WAITING; i++) {
        struct err err;
        if (i < JOBS) {
            if (i % 50 == 0)
                ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, i % 100 == 50 ? &none : &limit), 0);
            waits[i] = train_create(i % 3 == 0 ? JOB_SAMPLES : 1 + i % 4, i % 3 == 2, i);
            ck_assert_msg(trainer_submit(trainer, &waits[i]->command, &err) == 0, "%s", err.text);
        }
        if (i >= WAITING) {
            struct wait *w = waits[i - WAITING];
            await(w);
            if (w->command.status == 0) {
                ck_assert_uint_gt(w->command.revision, last); /* in the order in which they came */
                last = w->command.revision;
                samples += w->command.event.as.train.n;
                revisions++;
            }
            lost += w->command.status != 0;
            wait_free(w);
        }
    }
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_gt(samples, 0);
    uint8_t published[DIGEST_BYTES];
    digest_of(trainer, published);
    stop(trainer);

    struct store *store = NULL;
    struct store_verdict verdict;
    struct err err;
    ck_assert_msg(store_open(&store, path, false, &err) == 0, "%s", err.text);
    ck_assert_msg(store_verify(store, NULL, NULL, NULL, &verdict, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(verdict.samples, samples);
    ck_assert_uint_eq(verdict.step, samples * 3);
    ck_assert_uint_eq(store_revision(store), 2 + revisions); /* create, tune */
    ck_assert_mem_eq(verdict.digest, published, DIGEST_BYTES);
    store_close(store);
}
END_TEST

START_TEST(a_held_revision_never_changes_while_training_goes_on)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    atomic_bool halt = false;
    struct reader readers[3];
    for (int i = 0; i < 3; i++) {
        readers[i] = (struct reader){.model = trainer_model(trainer), .stop = &halt};
        ck_assert_int_eq(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]), 0);
    }
    for (unsigned i = 0; i < 200; i++)
        wait_free(run(trainer, train_create(1 + i % 4, i % 3, i)));
    atomic_store(&halt, true);
    for (int i = 0; i < 3; i++) {
        void *failed;
        (void)pthread_join(readers[i].thread, &failed);
        ck_assert_ptr_null(failed);
        ck_assert_uint_gt(readers[i].seen, 0);
    }
    stop(trainer);
}
END_TEST

/* The current revision, held, with novelty or without as the test says; its number. */
static struct revision *held_with(struct trainer *trainer, bool novelty)
{
    struct revision *held = model_acquire(trainer_model(trainer));
    ck_assert_int_eq(held->novelty != NULL, novelty);
    ck_assert_ptr_null(model_novelty(held));
    return held;
}

START_TEST(a_revision_has_what_novelty_is_measured_by_where_somebody_wants_it_alone)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    struct model *model = trainer_model(trainer);
    struct err err;
    wait_free(run(trainer, train_create(9, 1, 1)));
    model_release(model, held_with(trainer, false));
    wait_free(run(trainer, wait_create(COMMAND_PUBLISH)));
    model_release(model, held_with(trainer, false));
    model_want_novelty(model);
    wait_free(run(trainer, wait_create(COMMAND_PUBLISH)));
    struct revision *held = held_with(trainer, true);
    ck_assert_int_eq(model_novelty_measure(held, &err), 0);
    const struct novelty *novelty = model_novelty(held);
    ck_assert_ptr_nonnull(novelty);
    ck_assert_uint_eq(novelty->n[1], 9);
    for (unsigned i = 1; i <= NOVELTY_PUBLICATIONS; i++) { /* that publication was one */
        wait_free(run(trainer, train_create(2, 1, 100 * i)));
        model_release(model, held_with(trainer, i < NOVELTY_PUBLICATIONS));
    }
    ck_assert_ptr_eq(model_novelty(held), novelty);
    ck_assert_uint_eq(novelty->n[1], 9);
    model_release(model, held);
    stop(trainer);
}
END_TEST

START_TEST(stopping_finishes_what_is_queued_and_refuses_what_comes_later)
{
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start(&config);
    enum { N = 20 };
    struct wait *w[N];
    struct err err;
    for (unsigned i = 0; i < N; i++) {
        w[i] = train_create(1, i % 3, i);
        ck_assert_int_eq(trainer_submit(trainer, &w[i]->command, &err), 0);
    }
    ck_assert_int_eq(trainer_stop(trainer, &err), 0);
    for (unsigned i = 0; i < N; i++) {
        await(w[i]);
        ck_assert_int_eq(w[i]->command.status, 0);
        wait_free(w[i]);
    }
    struct wait *late = train_create(1, 1, 1);
    ck_assert_int_eq(trainer_submit(trainer, &late->command, &err), -1);
    ck_assert_int_eq(err.code, ERR_STOPPING);
    wait_free(late);
    trainer_free(trainer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trainer");
    TCase *tcase = tcase_create("round");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, bytes_that_the_trainer_moves_are_progress_though_no_round_ends);
    tcase_add_test(tcase, a_completed_job_is_published_and_in_the_log);
    tcase_add_test(tcase, a_job_that_the_fold_refuses_fails_alone);
    tcase_add_test(tcase, a_known_key_is_answered_with_the_first_answer_and_trains_nothing);
    tcase_add_test(tcase, classes_are_added_beyond_the_first_room);
    tcase_add_test(tcase, activate_brings_back_the_very_state_and_the_revision_goes_on);
    tcase_add_test(tcase, idle_times_and_snapshots_leave_the_wal_its_length);
    tcase_add_test(tcase, a_label_is_looked_up_when_its_turn_has_come);
    tcase_add_test(tcase, a_class_and_a_name_are_known_to_those_behind_them_in_one_round);
    tcase_add_test(tcase, tuning_changes_what_is_named_and_refuses_what_is_fixed);
    tcase_add_test(tcase, a_rate_that_is_tuned_without_a_fall_stays);
    tcase_add_test(tcase, a_full_queue_refuses_and_recovers);
    tcase_add_test(tcase, however_many_read_who_trains_waits_for_one_turn_and_one_more_reader_is_refused);
    tcase_add_test(tcase, a_failed_commit_leaves_the_published_state_and_training_works_again_with_room);
    tcase_add_test(tcase, a_failed_commit_leaves_what_is_rehearsed_as_it_was);
    tcase_add_test(tcase, whatever_group_is_lost_was_never_there);
    tcase_add_test(tcase, a_held_revision_never_changes_while_training_goes_on);
    tcase_add_test(tcase, a_revision_has_what_novelty_is_measured_by_where_somebody_wants_it_alone);
    tcase_add_test(tcase, stopping_finishes_what_is_queued_and_refuses_what_comes_later);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
