/* loop.c - the one thread that writes. Its round: what was asked for, in that order, neighbours that go into the log
 * as one group and all else by itself; then what only reads; then a chunk of the work on the past. */
#include <unistd.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define KEYS_MAX      1000000u   /* some 300 MB of them */
#define WAL_BYTES_MAX (8u << 20) /* checkpoint between rounds when the WAL is larger */

static int cancel(struct trainer *t, struct job *job, struct err *err)
{
    if (jobs_find(t->jobs, job->job_id, &job->job_status) == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no job %lld; GET /jobs lists them", (long long)job->job_id);
    if (job->job_status.state != JOB_STATE_RUNNING)
        return err_set(err, ERR_CONFLICT, "job %lld is %s already", (long long)job->job_id,
                       job_state_name(job->job_status.state));
    if (job->job_id == t->rehearse_job && t->rehearsing)
        trainer_rehearsal_end(t, JOB_STATE_CANCELLED, NULL);
    else if (trainer_edit_cancel(t, err) != 0)
        return -1;
    (void)jobs_find(t->jobs, job->job_id, &job->job_status);
    return 0;
}

static void run_alone(struct trainer *t, struct job *job)
{
    struct err err = {0};
    int status = -1;
    job->revision = t->work->revision;
    job->step = t->work->step;
    switch (job->kind) {
    case JOB_SNAPSHOT:
        status = trainer_snapshot_ask(t, job, &err);
        break;
    case JOB_ACTIVATE:
        status = trainer_snapshot_activate(t, job, &err);
        break;
    case JOB_DROP:
        status = store_snapshot_drop(t->store, job->snapshot_id, &err);
        break;
    case JOB_AMEND:
        status = trainer_snapshot_amend(t, job, &err);
        break;
    case JOB_REHEARSE:
        status = trainer_rehearsal_begin(t, job, &err);
        break;
    case JOB_EDIT:
        status = trainer_edit_begin(t, job, &err);
        break;
    case JOB_CANCEL:
        status = cancel(t, job, &err);
        break;
    case JOB_TRAIN:
    case JOB_CLASS:
    case JOB_TUNE:
    case JOB_SNAPSHOTS:
    case JOB_READ:
        err_set(&err, ERR_INTERNAL, "a job for the log, or one that only reads");
        break;
    }
    if (status != 0) {
        trainer_storage_error(t, &err);
        trainer_fail(job, &err);
    }
    trainer_queue_done(t, job);
}

static void run_read(struct trainer *t, struct job *job)
{
    struct err err = {0};
    job->revision = t->work->revision;
    job->step = t->work->step;
    const int status = job->kind == JOB_SNAPSHOTS ? store_snapshots(t->store, &job->list, &job->n_list, &err)
                                                  : job->read(job, t->store, &err);
    if (status > 0) {
        trainer_queue_again(t, job);
        return;
    }
    if (status < 0)
        trainer_fail(job, &err);
    trainer_queue_done(t, job);
}

/* What only reads comes last in a round, so that it neither cuts a group in two nor keeps one waiting: each that waits once, until their
 * time is over; who is left is first in the next round. */
static void run_reads(struct trainer *t)
{
    const uint64_t begin = clock_us();
    uint64_t n = trainer_queue_reads(t);
    struct job *job;
    while (n-- > 0 && (job = trainer_queue_take_read(t)) != NULL) {
        run_read(t, job);
        if (clock_us() - begin >= READS_US)
            break;
    }
}

static bool goes_into_log(const struct job *job)
{
    return job->kind == JOB_TRAIN || job->kind == JOB_CLASS || job->kind == JOB_TUNE;
}

/* Into the group, or done at once. */
static void sort_in(struct trainer *t, struct trainer_group *g, struct job *jobs)
{
    for (struct job *job = jobs, *next; job != NULL; job = next) {
        next = job->next;
        if (goes_into_log(job)) {
            trainer_group_add(t, g, job);
        } else {
            trainer_group_finish(t, g);
            run_alone(t, job);
        }
    }
}

static void run_round(struct trainer *t, struct job *jobs)
{
    const uint64_t begin = clock_us();
    const bool busy = jobs != NULL;
    struct trainer_group group;
    pace_begin();
    trainer_group_init(&group);
    sort_in(t, &group, jobs);
    if (t->rehearsing)
        trainer_rehearsal_chunk(t, &group, busy ? CHUNK_US : CHUNK_IDLE_US);
    trainer_group_finish(t, &group);
    run_reads(t);
    if (rebuild_wait_us(&t->rebuild) == 0)
        trainer_edit_work(t, busy, clock_us() - begin);
    if (past_active(t->past, NULL))
        past_work(t->past, CHUNK_US);
    (void)pthread_mutex_lock(&t->lock);
    t->stats.last_round_us = clock_us() - begin;
    (void)pthread_mutex_unlock(&t->lock);
}

uint64_t trainer_checkpoint(struct trainer *t, bool idle)
{
    const uint64_t bytes = store_wal_bytes(t->store);
    if (bytes <= WAL_BYTES_MAX && !(idle && bytes > 0))
        return bytes;
    struct err err;
    if (store_checkpoint(t->store, false, &err) != 0)
        trainer_upkeep_error(t, "a checkpoint", &err);
    return store_wal_bytes(t->store);
}

static void count_progress(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

static bool snapshot_is_due(const struct trainer *t, uint64_t now)
{
    const struct trainer_config *c = &t->config;
    const uint64_t age_us = now - t->snapshot_clock_us;
    const bool many = c->snapshot_samples > 0 && t->samples_since_snapshot >= c->snapshot_samples;
    const bool old = c->snapshot_seconds > 0 && age_us >= (uint64_t)c->snapshot_seconds * SECOND_US;
    return t->work->revision != t->snapshot_revision && (many || old);
}

static bool keys_are_due(const struct trainer *t, uint64_t now)
{
    const unsigned seconds = t->config.key_seconds < 60 ? t->config.key_seconds : 60;
    return now - t->keys_clock_us >= (uint64_t)seconds * SECOND_US;
}

/* Off until the next start. What is asked for from then on is refused at once. */
static void turn_off(struct trainer *t, const struct err *why)
{
    log_line(LOG_LINE_ERROR,
             "training is off: %s; predictions go on, and convd backup --url copies all that was learned until now",
             why->text);
    if (t->rehearsing)
        trainer_rehearsal_end(t, JOB_STATE_FAILED, why);
    if (rebuild_active(&t->rebuild))
        trainer_edit_stop(t, why);
    (void)pthread_mutex_lock(&t->lock);
    t->off = *why;
    t->stats.off = why->code;
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

static bool is_on(struct trainer *t)
{
    struct err why;
    if (t->off.code == ERR_NONE && store_check_place(t->store, &why) != 0)
        turn_off(t, &why);
    return t->off.code == ERR_NONE;
}

/* What need not be done at once: snapshots that are due, checkpoints, old keys. */
static void upkeep(struct trainer *t, bool idle)
{
    if (t->off.code != ERR_NONE) { /* the file stays as it is */
        count_progress(t);
        return;
    }
    const uint64_t now = clock_us();
    jobs_wake(t->jobs, (int64_t)(now / 1000));
    if (!is_on(t))
        return;
    struct err err;
    if (snapshot_is_due(t, now) && trainer_snapshot(t, "interval", "", false, NULL, &err) != 0)
        trainer_upkeep_error(t, "a snapshot", &err);
    if (t->wal_holds)
        trainer_edit_empty_wal(t);
    const uint64_t wal_bytes = trainer_checkpoint(t, idle);
    if (keys_are_due(t, now)) {
        const int64_t age_us = (int64_t)t->config.key_seconds * SECOND_US;
        const int status = store_expire_keys(t->store, age_us, KEYS_MAX, &err);
        if (status != 1)
            t->keys_clock_us = now; /* else the next turn has more of them */
        if (status < 0)
            trainer_upkeep_error(t, "forgetting old keys", &err);
    }
    (void)pthread_mutex_lock(&t->lock);
    t->stats.wal_bytes = wal_bytes;
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

/* When something long wants its chunk, whether there are jobs or not: 0, now. */
static uint64_t work_due_us(const struct trainer *t)
{
    return t->rehearsing || past_active(t->past, NULL) ? 0 : rebuild_wait_us(&t->rebuild);
}

void *trainer_thread(void *trainer)
{
    struct trainer *t = trainer;
    atomic_store(&t->tid, gettid());
    store_take(t->store);
    for (;;) {
        const struct trainer_turn turn = trainer_queue_wait(t, work_due_us(t));
        struct err why;
        if (turn.quiesced && t->rehearsing) {
            err_set(&why, ERR_STOPPING, "the daemon is stopping");
            trainer_rehearsal_end(t, JOB_STATE_CANCELLED, &why);
        }
        if (turn.quiesced && rebuild_active(&t->rebuild)) {
            err_set(&why, ERR_STOPPING, "the daemon is stopping; the next start takes it up again");
            trainer_edit_stop(t, &why);
        }
        if (turn.stop)
            break;
        if (turn.jobs != NULL || turn.reads || work_due_us(t) == 0)
            run_round(t, turn.jobs);
        upkeep(t, turn.idle);
    }
    if (t->work->revision != t->snapshot_revision && is_on(t))
        t->stop_status = trainer_snapshot(t, "shutdown", "", false, NULL, &t->stop_err);
    /* Closing makes one, too, but could not say that it failed. */
    if (t->stop_status == 0 && t->off.code == ERR_NONE && store_wal_bytes(t->store) > 0)
        t->stop_status = store_checkpoint(t->store, false, &t->stop_err);
    rebuild_fini(&t->rebuild);
    past_forget(t->past);
    store_close(t->store);
    t->store = NULL;
    return NULL;
}
