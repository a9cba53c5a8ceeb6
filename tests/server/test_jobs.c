/* test_jobs.c - the table of long work: what is told of a job, who waits for it, what is remembered. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "server/trainer/jobs.h"

static struct err err;
static struct jobs *jobs;

static void setup(void)
{
    jobs = jobs_create(100, &err);
    ck_assert_ptr_nonnull(jobs);
}

static void teardown(void)
{
    jobs_free(jobs);
}

static struct job_status find(int64_t id)
{
    struct job_status status;
    ck_assert_int_eq(jobs_find(jobs, id, &status), 1);
    return status;
}

static void count(struct job_watch *watch)
{
    int *calls = watch->context;
    ++*calls;
}

START_TEST(a_job_runs_reports_and_ends)
{
    ck_assert_uint_eq(jobs_running(jobs), 0);
    ck_assert_int_eq(jobs_begin(jobs, "rehearse", 50, 5, 7, &err), 100);
    ck_assert_uint_eq(jobs_running(jobs), 1);
    struct job_status job = find(100);
    ck_assert_str_eq(job.kind, "rehearse");
    ck_assert(job.state == JOB_STATE_RUNNING && job.steps == 0 && job.steps_total == 50 && job.pass == 1);
    ck_assert(job.passes == 5 && job.revision == 7 && job.started_us > 0 && job.err.code == ERR_NONE);
    jobs_progress(jobs, 100, 20, 3, 9);
    job = find(100);
    ck_assert(job.state == JOB_STATE_RUNNING && job.steps == 20 && job.pass == 3 && job.revision == 9);
    ck_assert(job.seconds >= 0);
    jobs_progress(jobs, 100, 50, 5, 11);
    jobs_end(jobs, 100, JOB_STATE_DONE, NULL);
    job = find(100);
    ck_assert(job.state == JOB_STATE_DONE && job.steps == 50 && job.revision == 11);
    ck_assert_uint_eq(jobs_running(jobs), 0);
    double seconds = job.seconds;
    ck_assert(find(100).seconds == seconds); /* its clock stands */
}
END_TEST

START_TEST(a_second_job_is_refused_while_one_of_its_kind_runs)
{
    ck_assert_int_eq(jobs_begin(jobs, "rehearse", 1, 1, 1, &err), 100);
    ck_assert_int_eq(jobs_begin(jobs, "rehearse", 1, 1, 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_str_eq(err.text, "job 100 (rehearse) is running: wait for its end, or DELETE /jobs/100");
    jobs_end(jobs, 100, JOB_STATE_CANCELLED, NULL);
    ck_assert_int_eq(jobs_begin(jobs, "rehearse", 1, 1, 1, &err), 101);
    jobs_end(jobs, 101, JOB_STATE_DONE, NULL);
}
END_TEST

START_TEST(jobs_of_two_kinds_run_each_by_itself)
{
    int calls[2] = {0};
    ck_assert_int_eq(jobs_begin(jobs, "rehearse", 10, 1, 1, &err), 100);
    ck_assert_int_eq(jobs_begin(jobs, "rebuild", 20, 1, 1, &err), 101);
    ck_assert_uint_eq(jobs_running(jobs), 2);
    struct job_watch one = {.id = 100, .until_ms = 1000, .done = count, .context = &calls[0]},
                     two = {.id = 101, .until_ms = 1000, .done = count, .context = &calls[1]};
    jobs_watch(jobs, &one);
    jobs_watch(jobs, &two);
    jobs_progress(jobs, 100, 4, 1, 2);
    jobs_progress(jobs, 101, 15, 1, 3);
    ck_assert(find(100).steps == 4 && find(101).steps == 15);
    jobs_end(jobs, 101, JOB_STATE_DONE, NULL);
    ck_assert(calls[0] == 0 && calls[1] == 1);
    ck_assert(find(100).state == JOB_STATE_RUNNING && find(101).state == JOB_STATE_DONE);
    /* However many end beside it, one that runs stays in the table. */
    for (int64_t id = 102; id < 102 + 2 * (int64_t)JOBS_KEPT; id++) {
        ck_assert_int_eq(jobs_begin(jobs, "rebuild", 1, 1, 1, &err), id);
        jobs_end(jobs, id, JOB_STATE_DONE, NULL);
    }
    jobs_progress(jobs, 100, 10, 1, 9);
    jobs_end(jobs, 100, JOB_STATE_DONE, NULL);
    ck_assert(calls[0] == 1 && find(100).steps == 10);
    ck_assert_uint_eq(jobs_running(jobs), 0);
}
END_TEST

START_TEST(a_failed_job_keeps_its_reason)
{
    struct err why;
    (void)jobs_begin(jobs, "rehearse", 1, 1, 1, &err);
    err_set(&why, ERR_STORAGE_FULL, "no room");
    jobs_end(jobs, 100, JOB_STATE_FAILED, &why);
    ck_assert_int_eq(find(100).err.code, ERR_STORAGE_FULL);
    ck_assert_str_eq(find(100).err.text, "no room");
    ck_assert_str_eq(job_state_name(find(100).state), "failed");
}
END_TEST

START_TEST(what_failed_on_the_way_is_told_until_the_job_is_done)
{
    struct err why;
    (void)jobs_begin(jobs, "rebuild", 1, 1, 1, &err);
    err_set(&why, ERR_STORAGE_FULL, "no room");
    jobs_trouble(jobs, 100, &why, "it is tried again");
    ck_assert(find(100).state == JOB_STATE_RUNNING && find(100).err.code == ERR_STORAGE_FULL);
    ck_assert_str_eq(find(100).then, "it is tried again");
    jobs_end(jobs, 100, JOB_STATE_DONE, NULL);
    ck_assert(find(100).err.code == ERR_NONE && find(100).then == NULL);
}
END_TEST

START_TEST(what_is_not_there_is_not_found)
{
    struct job_status status;
    ck_assert_int_eq(jobs_find(jobs, 100, &status), 0);
    (void)jobs_begin(jobs, "rehearse", 1, 1, 1, &err);
    ck_assert_int_eq(jobs_find(jobs, 99, &status), 0);
    ck_assert_int_eq(jobs_find(jobs, 101, &status), 0);
    ck_assert_int_eq(jobs_find(jobs, 0, &status), 0);
    ck_assert_int_eq(jobs_find(jobs, INT64_MIN, &status), 0);
    ck_assert_int_eq(jobs_find(jobs, INT64_MAX, &status), 0);
    jobs_end(jobs, 100, JOB_STATE_DONE, NULL);
}
END_TEST

START_TEST(the_last_jobs_are_remembered_oldest_first)
{
    struct job_status list[JOBS_KEPT], status;
    ck_assert_uint_eq(jobs_list(jobs, list), 0);
    for (unsigned i = 0; i < JOBS_KEPT + 5; i++) {
        ck_assert_int_eq(jobs_begin(jobs, "rehearse", i + 1, 1, 1, &err), 100 + (int)i);
        if (i < JOBS_KEPT + 4)
            jobs_end(jobs, 100 + i, JOB_STATE_DONE, NULL);
        ck_assert_uint_eq(jobs_list(jobs, list), i < JOBS_KEPT ? i + 1 : JOBS_KEPT);
    }
    for (unsigned i = 0; i < JOBS_KEPT; i++) {
        ck_assert_int_eq(list[i].id, 105 + (int)i);
        ck_assert_uint_eq(list[i].steps_total, i + 6);
    }
    ck_assert(list[JOBS_KEPT - 1].state == JOB_STATE_RUNNING);
    ck_assert_int_eq(jobs_find(jobs, 104, &status), 0);
    ck_assert_int_eq(jobs_find(jobs, 105, &status), 1);
    jobs_end(jobs, 100 + JOBS_KEPT + 4, JOB_STATE_DONE, NULL);
}
END_TEST

static struct job_watch watch_of(int64_t id, int64_t until_ms, int *calls)
{
    return (struct job_watch){.id = id, .until_ms = until_ms, .done = count, .context = calls};
}

START_TEST(those_who_wait_are_called_once_at_the_end)
{
    int calls[3] = {0};
    (void)jobs_begin(jobs, "rehearse", 1, 1, 1, &err);
    struct job_watch one = watch_of(100, 1000, &calls[0]), two = watch_of(100, 2000, &calls[1]),
                     three = watch_of(100, 3000, &calls[2]);
    jobs_watch(jobs, &one);
    jobs_watch(jobs, &two);
    jobs_watch(jobs, &three);
    jobs_wake(jobs, 999);
    ck_assert(calls[0] == 0 && calls[1] == 0 && calls[2] == 0);
    jobs_wake(jobs, 2000);
    ck_assert(calls[0] == 1 && calls[1] == 1 && calls[2] == 0);
    jobs_end(jobs, 100, JOB_STATE_DONE, NULL);
    jobs_wake(jobs, 10000);
    ck_assert(calls[0] == 1 && calls[1] == 1 && calls[2] == 1);
}
END_TEST

START_TEST(who_waits_for_what_has_ended_or_never_was_is_called_at_once)
{
    int calls[2] = {0};
    (void)jobs_begin(jobs, "rehearse", 1, 1, 1, &err);
    jobs_end(jobs, 100, JOB_STATE_DONE, NULL);
    (void)jobs_begin(jobs, "rehearse", 1, 1, 1, &err);
    struct job_watch ended = watch_of(100, 1000, &calls[0]), never = watch_of(7, 1000, &calls[1]);
    jobs_watch(jobs, &ended);
    jobs_watch(jobs, &never);
    ck_assert(calls[0] == 1 && calls[1] == 1);
    jobs_end(jobs, 101, JOB_STATE_DONE, NULL);
}
END_TEST

/* A watcher may look into the table: no lock is held. */
static void look(struct job_watch *watch)
{
    struct job_status *seen = watch->context;
    ck_assert_int_eq(jobs_find(jobs, watch->id, seen), 1);
}

START_TEST(who_is_called_sees_the_end)
{
    struct job_status seen = {0};
    (void)jobs_begin(jobs, "rehearse", 1, 1, 1, &err);
    struct job_watch watch = {.id = 100, .until_ms = 1000, .done = look, .context = &seen};
    jobs_watch(jobs, &watch);
    jobs_end(jobs, 100, JOB_STATE_CANCELLED, NULL);
    ck_assert(seen.id == 100 && seen.state == JOB_STATE_CANCELLED);
}
END_TEST

struct looker {
    pthread_t thread;
    atomic_bool *stop;
    uint64_t looks;
};

/* Progress never goes back, and a copy is of one moment: steps and revision move together. */
static void *look_on(void *argument)
{
    struct looker *looker = argument;
    uint64_t last = 0;
    while (!atomic_load(looker->stop)) {
        struct job_status list[JOBS_KEPT];
        size_t n = jobs_list(jobs, list);
        for (size_t i = 0; i < n; i++)
            if (list[i].steps != list[i].revision)
                return argument;
        if (n > 0 && (uint64_t)list[n - 1].id < last)
            return argument;
        last = n > 0 ? (uint64_t)list[n - 1].id : 0;
        looker->looks++;
    }
    return NULL;
}

START_TEST(others_may_look_while_one_works)
{
    atomic_bool halt = false;
    struct looker lookers[2];
    for (int i = 0; i < 2; i++) {
        lookers[i] = (struct looker){.stop = &halt};
        ck_assert_int_eq(pthread_create(&lookers[i].thread, NULL, look_on, &lookers[i]), 0);
    }
    for (int i = 0; i < 300; i++) {
        (void)jobs_begin(jobs, "rehearse", 50, 1, 0, &err);
        for (uint64_t step = 1; step <= 50; step++)
            jobs_progress(jobs, 100 + i, step, 1, step);
        jobs_end(jobs, 100 + i, JOB_STATE_DONE, NULL);
    }
    atomic_store(&halt, true);
    for (int i = 0; i < 2; i++) {
        void *failed;
        (void)pthread_join(lookers[i].thread, &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobs");
    TCase *tcase = tcase_create("jobs");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_job_runs_reports_and_ends);
    tcase_add_test(tcase, a_second_job_is_refused_while_one_of_its_kind_runs);
    tcase_add_test(tcase, jobs_of_two_kinds_run_each_by_itself);
    tcase_add_test(tcase, a_failed_job_keeps_its_reason);
    tcase_add_test(tcase, what_failed_on_the_way_is_told_until_the_job_is_done);
    tcase_add_test(tcase, what_is_not_there_is_not_found);
    tcase_add_test(tcase, the_last_jobs_are_remembered_oldest_first);
    tcase_add_test(tcase, those_who_wait_are_called_once_at_the_end);
    tcase_add_test(tcase, who_waits_for_what_has_ended_or_never_was_is_called_at_once);
    tcase_add_test(tcase, who_is_called_sees_the_end);
    tcase_add_test(tcase, others_may_look_while_one_works);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
