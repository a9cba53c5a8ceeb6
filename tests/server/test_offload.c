/* test_offload.c - server/common/offload.h: every task is done exactly once, whatever is cancelled meanwhile. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "server/common/offload.h"

static struct offload *offload;
static struct err err;

static void set_up(void)
{
    offload = offload_create(3, &err);
    ck_assert_ptr_nonnull(offload);
}

static void tear_down(void)
{
    offload_free(offload);
}

/* A task that runs until it is let go, or cancelled. */
struct probe {
    struct offload_task task; /* first */
    atomic_bool go;
    atomic_int started, ended, done;
    atomic_int niceness;
};

static void pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Waits for what is to come, at most half a minute. */
static void await(const atomic_int *value, int wanted)
{
    for (int i = 0; i < 30000 && atomic_load(value) != wanted; i++)
        pause_ms(1);
    ck_assert_int_eq(atomic_load(value), wanted);
}

static void probe_run(struct offload_task *task)
{
    struct probe *probe = (struct probe *)(void *)task;
    errno = 0;
    atomic_store(&probe->niceness, getpriority(PRIO_PROCESS, 0));
    atomic_fetch_add(&probe->started, 1);
    while (!atomic_load(&probe->go) && !cancelled(&task->cancel))
        pause_ms(1);
    atomic_fetch_add(&probe->ended, 1);
}

static void probe_done(struct offload_task *task)
{
    atomic_fetch_add(&((struct probe *)(void *)task)->done, 1);
}

static void probe_submit(struct probe *probe, enum offload_length length)
{
    probe->task = (struct offload_task){.run = probe_run, .done = probe_done, .length = length};
    ck_assert_int_eq(offload_submit(offload, &probe->task, &err), 0);
}

START_TEST(a_task_runs_at_a_lower_priority_and_is_done_once)
{
    struct probe probe = {.go = true};
    probe_submit(&probe, OFFLOAD_LONG);
    await(&probe.done, 1);
    ck_assert_int_eq(probe.started, 1);
    ck_assert_int_gt(probe.niceness, getpriority(PRIO_PROCESS, 0));
    struct offload_counts counts = offload_counts(offload);
    ck_assert_uint_eq(counts.total, 1);
    ck_assert_uint_eq(counts.waiting + counts.running + counts.cancelled + counts.refused, 0);
}
END_TEST

START_TEST(long_tasks_never_keep_a_short_one_waiting)
{
    struct probe longs[8] = {0}, brief = {.go = true};
    for (size_t i = 0; i < 8; i++)
        probe_submit(&longs[i], OFFLOAD_LONG);
    await(&longs[0].started, 1);
    await(&longs[1].started, 1);
    probe_submit(&brief, OFFLOAD_SHORT);
    await(&brief.done, 1);
    struct offload_counts counts = offload_counts(offload);
    ck_assert_uint_eq(counts.running, 2);
    ck_assert_uint_eq(counts.waiting, 6);
    for (size_t i = 0; i < 8; i++)
        atomic_store(&longs[i].go, true);
    for (size_t i = 0; i < 8; i++)
        await(&longs[i].done, 1);
}
END_TEST

START_TEST(a_task_that_waits_is_done_at_once_when_it_is_cancelled_and_one_that_runs_is_told)
{
    struct probe running[2] = {0}, waiting = {0};
    for (size_t i = 0; i < 2; i++)
        probe_submit(&running[i], OFFLOAD_LONG);
    for (size_t i = 0; i < 2; i++)
        await(&running[i].started, 1);
    probe_submit(&waiting, OFFLOAD_LONG);
    offload_cancel(offload, &waiting.task, CANCEL_GONE);
    ck_assert_int_eq(waiting.done, 1);
    ck_assert_int_eq(waiting.started, 0);
    ck_assert_int_eq(cancel_err(&waiting.task.cancel, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    offload_cancel(offload, &running[0].task, CANCEL_LATE);
    await(&running[0].done, 1);
    ck_assert_int_eq(running[1].done, 0);
    atomic_store(&running[1].go, true);
    await(&running[1].done, 1);
    ck_assert_uint_eq(offload_counts(offload).cancelled, 2);
}
END_TEST

START_TEST(a_full_queue_refuses_and_says_so)
{
    static struct probe probes[OFFLOAD_QUEUE_MAX + 2];
    struct probe more = {0};
    for (size_t i = 0; i < 2; i++)
        probe_submit(&probes[i], OFFLOAD_LONG);
    for (size_t i = 0; i < 2; i++)
        await(&probes[i].started, 1);
    for (size_t i = 2; i < OFFLOAD_QUEUE_MAX + 2; i++)
        probe_submit(&probes[i], OFFLOAD_LONG);
    more.task = (struct offload_task){.run = probe_run, .done = probe_done};
    ck_assert_int_eq(offload_submit(offload, &more.task, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    offload_stop(offload);
    for (size_t i = 0; i < OFFLOAD_QUEUE_MAX + 2; i++)
        ck_assert_int_eq(probes[i].done, 1);
    ck_assert_int_eq(more.done, 0);
    ck_assert_uint_eq(offload_counts(offload).refused, 1);
}
END_TEST

START_TEST(a_stop_cancels_what_runs_and_what_waits_and_takes_nothing_more)
{
    struct probe probes[6] = {0}, late = {0};
    for (size_t i = 0; i < 6; i++)
        probe_submit(&probes[i], OFFLOAD_LONG);
    await(&probes[0].started, 1);
    offload_stop(offload);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_int_eq(probes[i].done, 1);
        ck_assert_int_eq(probes[i].started, probes[i].ended);
        cancel_err(&probes[i].task.cancel, &err);
        ck_assert_int_eq(err.code, ERR_STOPPING);
    }
    ck_assert_int_eq(offload_submit(offload, &late.task, &err), -1);
    ck_assert_int_eq(err.code, ERR_STOPPING);
}
END_TEST

/* ---- many at once ---- */

#define CROWD 2000

static struct probe crowd[CROWD];

static void *cancel_some(void *context)
{
    (void)context;
    for (size_t i = 0; i < CROWD; i += 3)
        offload_cancel(offload, &crowd[i].task, CANCEL_GONE);
    return NULL;
}

START_TEST(each_of_a_crowd_is_done_exactly_once_while_others_cancel)
{
    pthread_t thread;
    size_t n = 0;
    for (; n < CROWD / 2; n++) {
        crowd[n].go = true;
        probe_submit(&crowd[n], n % 2 == 0 ? OFFLOAD_SHORT : OFFLOAD_LONG);
    }
    for (size_t i = n; i < CROWD; i++) { /* never submitted: to cancel it only marks it */
        crowd[i].task = (struct offload_task){.run = probe_run, .done = probe_done};
        crowd[i].go = true;
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_some, NULL), 0);
    for (size_t i = 0; i < n; i++)
        await(&crowd[i].done, 1);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    for (size_t i = 0; i < CROWD; i++)
        ck_assert_int_eq(crowd[i].done, i < n ? 1 : 0);
    struct offload_counts counts = offload_counts(offload);
    ck_assert_uint_eq(counts.total, n);
    ck_assert_uint_eq(counts.waiting + counts.running, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("offload");
    TCase *tasks = tcase_create("tasks");
    tcase_set_timeout(tasks, 120);
    tcase_add_checked_fixture(tasks, set_up, tear_down);
    tcase_add_test(tasks, a_task_runs_at_a_lower_priority_and_is_done_once);
    tcase_add_test(tasks, long_tasks_never_keep_a_short_one_waiting);
    tcase_add_test(tasks, a_task_that_waits_is_done_at_once_when_it_is_cancelled_and_one_that_runs_is_told);
    tcase_add_test(tasks, a_full_queue_refuses_and_says_so);
    tcase_add_test(tasks, a_stop_cancels_what_runs_and_what_waits_and_takes_nothing_more);
    tcase_add_test(tasks, each_of_a_crowd_is_done_exactly_once_while_others_cancel);
    suite_add_tcase(suite, tasks);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
