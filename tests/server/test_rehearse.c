/* test_rehearse.c - rehearsals as the trainer works them off: chunk by chunk, among other jobs, until one of their ends. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/server/trainer.h"

#define SAMPLES JOB_SAMPLES
#define FOREVER UINT64_C(1000000) /* passes: no test sees the end of them */

static struct trainer *trainer;
static struct jobs *jobs;
static struct err err;

static void start(uint32_t hidden)
{
    const struct trainer_config config = trainer_config_default();
    trainer = start_new(hidden, &config);
    jobs = trainer_jobs(trainer);
}

static void run_well(struct wait *w)
{
    (void)run(trainer, w);
    ck_assert_msg(w->command.status == 0, "%s", w->command.err.text);
    wait_free(w);
}

static struct wait *train_job(uint32_t n, unsigned pattern)
{
    struct wait *w = wait_create_train(n);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t p = 0; p < N_INPUT; p++)
            w->pixels[i][p] = (uint8_t)((p * (pattern + 3) + i * 7 + i * i * p) & 255);
        w->samples[i].label = (pattern + i) % 3;
    }
    return w;
}

/* Begins a rehearsal; returns its id. */
static int64_t rehearse(uint64_t passes)
{
    struct wait *w = wait_create(COMMAND_REHEARSE);
    w->command.rehearse.passes = passes;
    (void)run(trainer, w);
    ck_assert_msg(w->command.status == 0, "%s", w->command.err.text);
    int64_t id = w->command.job_status.id;
    wait_free(w);
    return id;
}

static struct job_status status_of(int64_t id)
{
    struct job_status status;
    ck_assert_int_eq(jobs_find(jobs, id, &status), 1);
    return status;
}

static void pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct job_status await_end(int64_t id)
{
    while (status_of(id).state == JOB_STATE_RUNNING)
        pause_ms(2);
    return status_of(id);
}

static void await_steps(int64_t id, uint64_t steps)
{
    while (status_of(id).steps < steps) {
        ck_assert(status_of(id).state == JOB_STATE_RUNNING);
        pause_ms(1);
    }
}

/* The published state's step; *digest of it. */
static uint64_t look(uint8_t digest[DIGEST_BYTES])
{
    struct revision *held = model_acquire(trainer_model(trainer));
    uint64_t step = held->learner->step;
    model_digest(held, digest);
    model_release(trainer_model(trainer), held);
    return step;
}

/* Stops, and proves that the log leads to the state that was published last. */
static void stop_and_verify(void)
{
    uint8_t published[DIGEST_BYTES];
    ck_assert_msg(trainer_stop(trainer, &err) == 0, "%s", err.text);
    (void)look(published);
    trainer_free(trainer);
    (void)leads_to(published);
}

/* ---- the tests ---- */

START_TEST(a_rehearsal_goes_to_its_end_and_the_log_leads_to_its_state)
{
    uint8_t digest[DIGEST_BYTES];
    start(8);
    run_well(train_job(SAMPLES, 1));
    int64_t id = rehearse(7);
    struct job_status job = await_end(id);
    ck_assert(job.state == JOB_STATE_DONE && job.steps == 7 * SAMPLES && job.steps_total == 7 * SAMPLES);
    ck_assert(job.pass == 7 && job.passes == 7);
    ck_assert_uint_eq(look(digest), 8 * SAMPLES);
    ck_assert_uint_eq(trainer_stats(trainer).rehearsed, 7 * SAMPLES);
    stop_and_verify();
}
END_TEST

/* How the chunks are cut depends on time; what is learned does not: two models that saw the same are the same. */
START_TEST(the_same_rehearsal_gives_the_same_bits_however_it_is_cut)
{
    uint8_t digests[2][DIGEST_BYTES];
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            teardown();
            setup();
        }
        start(8);
        run_well(train_job(SAMPLES, 1));
        int64_t id = rehearse(50);
        while (i == 1 && status_of(id).state == JOB_STATE_RUNNING) /* others that change nothing, for shorter chunks */
            run_well(wait_create(COMMAND_SNAPSHOTS));
        (void)await_end(id);
        (void)look(digests[i]);
        stop_and_verify();
    }
    ck_assert_mem_eq(digests[0], digests[1], DIGEST_BYTES);
}
END_TEST

START_TEST(a_rehearsal_of_nothing_is_refused)
{
    start(8);
    struct wait *w = run(trainer, wait_create(COMMAND_REHEARSE));
    ck_assert_int_eq(w->command.status, -1);
    ck_assert_int_eq(w->command.err.code, ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(w->command.err.text, "nothing to rehearse"));
    ck_assert_uint_eq(jobs_running(jobs), 0);
    wait_free(w);
    stop_and_verify();
}
END_TEST

START_TEST(new_samples_are_learned_between_the_chunks)
{
    uint8_t digest[DIGEST_BYTES];
    start(512);
    run_well(train_job(SAMPLES, 1));
    int64_t id = rehearse(FOREVER);
    await_steps(id, 1);
    uint64_t last = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct wait *w = run(trainer, train_job(1 + i % 3, i));
        ck_assert_msg(w->command.status == 0, "%s", w->command.err.text);
        ck_assert_uint_gt(w->command.revision, last + (i > 0)); /* at least one chunk came between */
        last = w->command.revision;
        wait_free(w);
    }
    ck_assert(status_of(id).state == JOB_STATE_RUNNING);
    ck_assert_uint_eq(status_of(id).steps_total, FOREVER * SAMPLES); /* the new ones are not in it */
    ck_assert_uint_gt(look(digest), SAMPLES + 39);
    stop_and_verify();
}
END_TEST

START_TEST(predictions_go_on_while_a_rehearsal_runs_and_see_it_progress)
{
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
    start(512);
    run_well(train_job(SAMPLES, 1));
    int64_t id = rehearse(FOREVER);
    uint64_t step = look(before), seen = 0;
    while (seen < 5) {
        uint64_t now = look(after);
        ck_assert_uint_ge(now, step);
        seen += now > step;
        step = now;
        pause_ms(1);
    }
    ck_assert(status_of(id).state == JOB_STATE_RUNNING);
    stop_and_verify();
}
END_TEST

START_TEST(a_second_rehearsal_is_refused_until_the_first_has_ended)
{
    start(512);
    run_well(train_job(SAMPLES, 1));
    int64_t id = rehearse(FOREVER);
    struct wait *second = run(trainer, wait_create(COMMAND_REHEARSE));
    ck_assert_int_eq(second->command.err.code, ERR_CONFLICT);
    wait_free(second);
    struct wait *cancel = wait_create(COMMAND_CANCEL);
    cancel->command.job_id = id;
    run_well(cancel);
    ck_assert_int_gt(rehearse(1), id);
    stop_and_verify();
}
END_TEST

static int64_t edit(struct edit_request ask)
{
    struct wait *w = wait_create(COMMAND_EDIT);
    w->command.edit = ask;
    (void)run(trainer, w);
    ck_assert_msg(w->command.status == 0, "%s", w->command.err.text);
    const int64_t id = w->command.job_status.id;
    wait_free(w);
    return id;
}

/* Ends that job, unless it has ended. */
static void cancel(int64_t id)
{
    struct wait *w = wait_create(COMMAND_CANCEL);
    w->command.job_id = id;
    (void)run(trainer, w);
    ck_assert(w->command.status == 0 ? status_of(id).state == JOB_STATE_CANCELLED
                                     : w->command.err.code == ERR_CONFLICT);
    wait_free(w);
}

/* Once to the end; once one that is longer than all else, so that it is at work from the first edit to the last: where the machine has time for
 * both. Where others want it, an edit takes as many rounds as the rehearsal makes steps for it to go over again, and one without end would take minutes. */
START_TEST(the_past_is_edited_while_a_rehearsal_runs_and_each_comes_to_its_end)
{
    int64_t ids[] = {3, 9};
    uint8_t digest[DIGEST_BYTES];
    const bool is_long = _i == 1;
    start(64);
    for (unsigned i = 0; i < 4; i++)
        run_well(train_job(SAMPLES, i));
    const int64_t id = rehearse(is_long ? 1000 : 50);
    await_steps(id, 1);
    const int64_t forget = edit((struct edit_request){.ids = ids, .n = 2, .forget = true});
    ck_assert(await_end(forget).state == JOB_STATE_DONE);
    const int64_t merge = edit((struct edit_request){.removes = true, .from = "a", .label = "c"});
    ck_assert(await_end(merge).state == JOB_STATE_DONE);
    ck_assert(id < forget && forget < merge);
    if (is_long) {
        cancel(id);
    } else {
        const struct job_status job = await_end(id);
        ck_assert(job.state == JOB_STATE_DONE && job.steps == job.steps_total);
        ck_assert_uint_eq(look(digest), 51 * (4 * SAMPLES - 2)); /* what is left: learned, and rehearsed 50 times */
    }
    stop_and_verify();
}
END_TEST

START_TEST(either_of_two_jobs_can_be_cancelled)
{
    int64_t ids[] = {3};
    start(512);
    for (unsigned i = 0; i < 4; i++)
        run_well(train_job(SAMPLES, i));
    const int64_t id = rehearse(1000);
    await_steps(id, 4 * SAMPLES);
    int64_t forget = edit((struct edit_request){.ids = ids, .n = 1, .forget = true});
    cancel(forget);
    ck_assert(status_of(id).state == JOB_STATE_RUNNING);
    ids[0] = 4;
    forget = edit((struct edit_request){.ids = ids, .n = 1, .forget = true});
    cancel(id);
    ck_assert(status_of(id).state == JOB_STATE_CANCELLED && await_end(forget).state == JOB_STATE_DONE);
    stop_and_verify();
}
END_TEST

START_TEST(a_cancelled_rehearsal_keeps_what_it_did)
{
    uint8_t digest[DIGEST_BYTES];
    start(512);
    run_well(train_job(SAMPLES, 1));
    int64_t id = rehearse(FOREVER);
    await_steps(id, 3);
    struct wait *cancel = wait_create(COMMAND_CANCEL);
    cancel->command.job_id = id;
    (void)run(trainer, cancel);
    ck_assert_msg(cancel->command.status == 0, "%s", cancel->command.err.text);
    struct job_status job = cancel->command.job_status;
    ck_assert(job.state == JOB_STATE_CANCELLED && job.steps >= 3 && job.steps < job.steps_total);
    ck_assert_uint_eq(look(digest), SAMPLES + job.steps);
    wait_free(cancel);
    pause_ms(30);
    ck_assert_uint_eq(look(digest), SAMPLES + job.steps); /* it has stopped indeed */
    stop_and_verify();
}
END_TEST

START_TEST(what_does_not_run_cannot_be_cancelled)
{
    start(8);
    run_well(train_job(3, 1));
    int64_t id = rehearse(1);
    (void)await_end(id);
    for (int64_t i = 0; i < 2; i++) {
        struct wait *cancel = wait_create(COMMAND_CANCEL);
        cancel->command.job_id = id + i;
        (void)run(trainer, cancel);
        ck_assert_int_eq(cancel->command.err.code, i == 0 ? ERR_CONFLICT : ERR_NOT_FOUND);
        wait_free(cancel);
    }
    stop_and_verify();
}
END_TEST

START_TEST(going_back_to_a_snapshot_ends_the_rehearsal)
{
    uint8_t then[DIGEST_BYTES], now[DIGEST_BYTES];
    start(512);
    run_well(train_job(SAMPLES, 1));
    struct wait *taken = run(trainer, wait_create(COMMAND_SNAPSHOT));
    (void)look(then);
    run_well(train_job(SAMPLES, 2));
    int64_t id = rehearse(FOREVER);
    await_steps(id, 1);
    struct wait *activate = wait_create(COMMAND_ACTIVATE);
    activate->command.snapshot_id = taken->command.snapshot.id;
    run_well(activate);
    struct job_status job = status_of(id);
    ck_assert(job.state == JOB_STATE_CANCELLED);
    ck_assert_ptr_nonnull(strstr(job.err.text, "went back to revision 2"));
    ck_assert_uint_eq(look(now), SAMPLES);
    ck_assert_mem_eq(then, now, DIGEST_BYTES);
    wait_free(taken);
    id = rehearse(1); /* only of what is live */
    ck_assert_uint_eq(await_end(id).steps_total, SAMPLES);
    stop_and_verify();
}
END_TEST

START_TEST(a_stop_ends_the_rehearsal_after_its_chunk)
{
    start(512);
    run_well(train_job(SAMPLES, 1));
    int64_t id = rehearse(FOREVER);
    await_steps(id, 1);
    ck_assert_int_eq(trainer_stop(trainer, &err), 0);
    struct job_status job = status_of(id);
    ck_assert(job.state == JOB_STATE_CANCELLED && job.err.code == ERR_STOPPING);
    trainer_free(trainer);
}
END_TEST

START_TEST(a_quiet_trainer_rehearses_no_more_and_trains_on)
{
    start(512);
    run_well(train_job(SAMPLES, 1));
    int64_t id = rehearse(FOREVER);
    await_steps(id, 1);
    trainer_quiesce(trainer);
    ck_assert(await_end(id).state == JOB_STATE_CANCELLED);
    run_well(train_job(2, 2));
    struct wait *late = run(trainer, wait_create(COMMAND_REHEARSE));
    ck_assert_int_eq(late->command.err.code, ERR_STOPPING);
    wait_free(late);
    stop_and_verify();
}
END_TEST

START_TEST(a_full_disk_fails_the_rehearsal_and_keeps_what_was_committed)
{
    uint8_t digest[DIGEST_BYTES];
    struct rlimit limit, none;
    (void)signal(SIGXFSZ, SIG_IGN);
    start(512);
    run_well(train_job(SAMPLES, 1));
    int64_t id = rehearse(FOREVER);
    await_steps(id, 1);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    none = limit;
    none.rlim_cur = 1;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    struct job_status job = await_end(id);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert(job.state == JOB_STATE_FAILED);
    ck_assert_msg(job.err.code == ERR_STORAGE_FULL || job.err.code == ERR_STORAGE, "%s", job.err.text);
    ck_assert_uint_eq(look(digest), SAMPLES + job.steps);
    run_well(train_job(2, 5));
    id = rehearse(1);
    ck_assert(await_end(id).state == JOB_STATE_DONE);
    stop_and_verify();
}
END_TEST

/* ---- the plan ---- */

START_TEST(what_is_asked_for_is_checked)
{
    const struct {
        struct rehearse_options ask;
        const char *pointer;
    } wrong[] = {
        {{.passes = 1, .rate = -1, .decay = 1}, "/rate"},
        {{.passes = 1, .rate = 101, .decay = 1}, "/rate"},
        {{.passes = 1, .rate = 1, .decay = 0}, "/decay"},
        {{.passes = 1, .rate = 1, .decay = 1.5}, "/decay"},
        {{.passes = 1, .rate = 1, .decay = 1, .jitter = 16.5}, "/jitter"},
        {{.passes = 1, .rate = 1, .decay = 1, .jitter = -1}, "/jitter"},
        {{.passes = 1, .rate = 1, .decay = 1, .rotation = 46}, "/rotation"},
        {{.passes = 1, .rate = (double)INFINITY, .decay = 1}, "/rate"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(rehearse_options_check(&wrong[i].ask, &err), -1);
        ck_assert_int_eq(err.code, ERR_VALUE);
        ck_assert_str_eq(err.pointer, wrong[i].pointer);
    }
    struct rehearse_options ask = rehearse_options_default();
    ck_assert_int_eq(rehearse_options_check(&ask, &err), 0);
}
END_TEST

/* As the trainer does: its pictures, into the log, applied. */
static void append_rehearsal(struct store *store, struct learner *learner, struct event *event)
{
    struct rehearse_pictures pictures = {0};
    ck_assert_int_eq(store_rehearse_read(&pictures, store, learner, event, &err), 0);
    ck_assert_int_eq(store_append(store, event, &err), 0);
    ck_assert_int_eq(store_rehearse_apply(learner, event, &pictures, &err), 0);
    rehearse_pictures_free(&pictures);
}

START_TEST(each_pass_has_its_own_order_and_a_rate_that_falls)
{
    struct event create = create_event(8), event;
    struct store *store = NULL;
    struct rehearse_plan plan;
    struct rehearse_options ask = rehearse_options_default();
    create.as.create.settings.jitter = 2;
    struct learner *learner = learner_create(&create, NULL, 0, &err);
    ck_assert_int_eq(store_create(&store, path, &create, learner, &err), 0);
    struct wait *w = train_job(SAMPLES, 1);
    w->command.event.revision = 2;
    ck_assert_int_eq(learner_apply(learner, &w->command.event, &err), 0);
    ck_assert_int_eq(store_begin(store, &err), 0);
    ck_assert_int_eq(store_append(store, &w->command.event, &err), 0);

    ask.passes = 4;
    ask.rate = 0.5;
    ask.decay = 0.25;
    ask.rotation = 7;
    ask.first_id = 11;
    ask.last_id = 30;
    ck_assert_int_eq(rehearse_begin(&plan, &ask, store, learner, &err), 0);
    ck_assert_uint_eq(rehearse_steps_total(&plan), 80);
    uint64_t seed = 0, done = 0;
    float rate = 0.5F;
    for (uint64_t chunk = 0; !rehearse_over(&plan); chunk++) {
        ck_assert_uint_lt(chunk, 80);
        uint64_t pass = plan.pass, place = plan.place;
        rehearse_next(&event, &plan, store, learner, learner->step, 1 + chunk % 7);
        append_rehearsal(store, learner, &event);
        ck_assert(event.as.rehearse.begin == place && event.as.rehearse.n == 20);
        ck_assert_uint_le(event.as.rehearse.end - place, 1 + chunk % 7);
        ck_assert(event.as.rehearse.first_id == 11 && event.as.rehearse.last_id == 30);
        ck_assert(event.as.rehearse.rate == rate);
        ck_assert(event.as.rehearse.jitter == 2.0F && event.as.rehearse.rotation == 7.0F);
        ck_assert((event.as.rehearse.seed == seed) == (place > 0));
        seed = event.as.rehearse.seed;
        ck_assert_uint_lt(seed, UINT64_C(1) << 53);
        done += event.as.rehearse.end - event.as.rehearse.begin;
        ck_assert_uint_eq(rehearse_steps(&plan), done);
        rate = plan.pass != pass ? rate * 0.25F : rate;
    }
    ck_assert_uint_eq(done, 80);
    ck_assert_int_eq(store_commit(store, &err), 0);
    wait_free(w);
    learner_free(learner);
    store_close(store);
}
END_TEST

START_TEST(without_a_rate_each_pass_has_that_of_the_model_as_it_begins)
{
    struct event create = create_event(8), event;
    struct store *store = NULL;
    struct rehearse_plan plan;
    struct rehearse_options ask = rehearse_options_default();
    create.as.create.settings.rate = 0.5F;
    create.as.create.settings.decay_steps = SAMPLES;
    struct learner *learner = learner_create(&create, NULL, 0, &err);
    ck_assert_int_eq(store_create(&store, path, &create, learner, &err), 0);
    struct wait *w = train_job(SAMPLES, 1);
    w->command.event.revision = 2;
    ck_assert_int_eq(learner_apply(learner, &w->command.event, &err), 0);
    ck_assert_int_eq(store_begin(store, &err), 0);
    ck_assert_int_eq(store_append(store, &w->command.event, &err), 0);
    ask.passes = 3;
    for (int round = 0; round < 2; round++) {
        const uint64_t before = learner->step / SAMPLES; /* passes that the law has seen */
        ask.decay = round == 0 ? 1 : 0.5;
        ck_assert_int_eq(rehearse_begin(&plan, &ask, store, learner, &err), 0);
        while (!rehearse_over(&plan)) {
            const uint64_t pass = plan.pass;
            rehearse_next(&event, &plan, store, learner, learner->step, 7);
            append_rehearsal(store, learner, &event);
            const double expected = 0.5 / (double)(before + pass) * (round == 0 ? 1 : pow(0.5, (double)pass - 1));
            ck_assert_msg(event.as.rehearse.rate == (float)expected, "pass %llu: %.9g instead of %.9g",
                          (unsigned long long)pass, (double)event.as.rehearse.rate, expected);
        }
    }
    ck_assert(learner->settings.rate == 0.5F && learner->settings.decay_steps == SAMPLES);
    ck_assert_int_eq(store_commit(store, &err), 0);
    wait_free(w);
    learner_free(learner);
    store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rehearse");
    TCase *tcase = tcase_create("rehearse");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_rehearsal_goes_to_its_end_and_the_log_leads_to_its_state);
    tcase_add_test(tcase, the_same_rehearsal_gives_the_same_bits_however_it_is_cut);
    tcase_add_test(tcase, a_rehearsal_of_nothing_is_refused);
    tcase_add_test(tcase, new_samples_are_learned_between_the_chunks);
    tcase_add_test(tcase, predictions_go_on_while_a_rehearsal_runs_and_see_it_progress);
    tcase_add_test(tcase, a_second_rehearsal_is_refused_until_the_first_has_ended);
    tcase_add_loop_test(tcase, the_past_is_edited_while_a_rehearsal_runs_and_each_comes_to_its_end, 0, 2);
    tcase_add_test(tcase, either_of_two_jobs_can_be_cancelled);
    tcase_add_test(tcase, a_cancelled_rehearsal_keeps_what_it_did);
    tcase_add_test(tcase, what_does_not_run_cannot_be_cancelled);
    tcase_add_test(tcase, going_back_to_a_snapshot_ends_the_rehearsal);
    tcase_add_test(tcase, a_stop_ends_the_rehearsal_after_its_chunk);
    tcase_add_test(tcase, a_quiet_trainer_rehearses_no_more_and_trains_on);
    tcase_add_test(tcase, a_full_disk_fails_the_rehearsal_and_keeps_what_was_committed);
    tcase_add_test(tcase, what_is_asked_for_is_checked);
    tcase_add_test(tcase, each_pass_has_its_own_order_and_a_rate_that_falls);
    tcase_add_test(tcase, without_a_rate_each_pass_has_that_of_the_model_as_it_begins);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
