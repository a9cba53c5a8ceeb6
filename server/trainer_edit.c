/* trainer_edit.c - an edit of the past (rebuild.h) beside the trainer's other jobs: a chunk after each round, and at its end another
 * state is the live one. */
#include <assert.h>
#include <time.h>

#include "server/clock.h"
#include "server/log.h"
#include "server/trainer_internal.h"

#define CHUNK_BUSY_MAX_US 250000 /* of a rebuild, which must be quicker than what it runs after */

/* The job of the rebuild ends. */
static void edit_end(struct trainer *t, enum job_state state, const struct err *err)
{
    if (err != NULL)
        log_line(state == JOB_STATE_FAILED ? LOG_LINE_ERROR : LOG_LINE_NOTICE, "rebuild %s: %s", job_state_name(state),
                 err->text);
    jobs_end(t->jobs, state, err);
}

/* It cannot be done: what was accepted is dropped, if the disk lets us, and nothing has changed. */
static void edit_fail(struct trainer *t, const struct err *err)
{
    if (err->code == ERR_STORAGE || err->code == ERR_STORAGE_FULL)
        trainer_storage_error(t);
    (void)rebuild_drop(&t->rebuild, t->store, NULL);
    edit_end(t, JOB_STATE_FAILED, err);
}

static void edit_tell(struct trainer *t)
{
    uint64_t done, total;
    rebuild_progress(&t->rebuild, &done, &total);
    jobs_total(t->jobs, total);
    jobs_progress(t->jobs, done, 1, t->work->revision);
}

int trainer_edit_begin(struct trainer *t, struct job *job, struct err *err)
{
    const bool active = rebuild_active(&t->rebuild);
    if (trainer_long_work_check(t, err) != 0)
        return -1;
    if (t->rehearsing) {
        const long long id = (long long)jobs_running(t->jobs);
        return err_set(err, ERR_CONFLICT, "job %lld (rehearse) is running: wait for its end, or DELETE /jobs/%lld", id,
                       id);
    }
    int status = rebuild_ask(&t->rebuild, t->store, t->work, &job->edit, &job->changed, err);
    if (status != 0 && active && !rebuild_active(&t->rebuild))
        edit_end(t, JOB_STATE_FAILED, err);
    if (status != 0 || !rebuild_active(&t->rebuild))
        return status;
    int64_t id = active ? jobs_running(t->jobs) : jobs_begin(t->jobs, "rebuild", 0, 1, t->work->revision, err);
    assert(id > 0 && "one job at a time, and none ran");
    edit_tell(t);
    (void)jobs_find(t->jobs, id, &job->job_status);
    return 0;
}

/* The rebuilt state becomes the live one; it is in the log already. Memory comes back: readers let go of old revisions. */
static void edit_publish(struct trainer *t, const struct learner *state, const struct store_snapshot *taken)
{
    while (learner_copy(t->work, state, NULL) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    trainer_publish(t);
    t->alarms = t->work->tally.drift.alarms;
    t->snapshot_clock_us = clock_us();
    t->samples_since_snapshot = 0;
    trainer_snapshot_taken(t, taken);
}

void trainer_edit_work(struct trainer *t, bool busy, uint64_t round_us)
{
    struct learner *state = NULL;
    struct store_snapshot taken;
    struct err err = {0};
    const bool removes = rebuild_removes(&t->rebuild);
    uint64_t us = busy ? 2 * round_us : CHUNK_IDLE_US;
    us = us < CHUNK_US ? CHUNK_US : us > CHUNK_BUSY_MAX_US ? CHUNK_BUSY_MAX_US : us;
    const int status = rebuild_chunk(&t->rebuild, t->store, t->work, us, &state, &taken, &err);
    if (status < 0) {
        edit_fail(t, &err);
        return;
    }
    if (status > 0) {
        edit_tell(t);
        return;
    }
    past_forget(t->past); /* they saw what is forgotten */
    if (state != NULL) {
        if (removes)
            atomic_store(&t->columns,
                         t->went_back = state->revision); /* indices that were looked up before mean others */
        edit_publish(t, state, &taken);
        learner_free(state);
    }
    /* Old pages, with what was forgotten, stand in the WAL until then. */
    if (store_checkpoint(t->store, true, &err) != 0)
        log_line(LOG_LINE_ERROR, "the WAL cannot be emptied yet, and holds what was forgotten: %s", err.text);
    struct job_status job;
    (void)jobs_find(t->jobs, jobs_running(t->jobs), &job);
    jobs_progress(t->jobs, job.steps_total, 1, t->work->revision);
    edit_end(t, JOB_STATE_DONE, NULL);
}

void trainer_edit_take_up(struct trainer *t)
{
    struct err err = {0};
    if (t->config.training_off != NULL)
        return;
    /* After a crash between an edit and its checkpoint, old pages with what was forgotten still stand in the WAL. */
    if (store_edits_any(t->store) && store_wal_bytes(t->store) > 0 && store_checkpoint(t->store, true, &err) != 0)
        log_line(LOG_LINE_ERROR, "the WAL cannot be emptied yet, and may hold what was forgotten: %s", err.text);
    if (rebuild_resume(&t->rebuild, t->store, t->work, &err) != 0) {
        const bool later = err.code == ERR_MEMORY || err.code == ERR_STORAGE || err.code == ERR_STORAGE_FULL;
        log_line(LOG_LINE_ERROR, "edits that were accepted before the last stop cannot be made%s: %s",
                 later ? " now, but with the next edit, or at the next start" : "", err.text);
        if (!later)
            (void)rebuild_drop(&t->rebuild, t->store, NULL);
        rebuild_fini(&t->rebuild);
    } else if (rebuild_active(&t->rebuild)) {
        log_line(LOG_LINE_NOTICE, "edits of %zu samples, accepted before the last stop, are taken up again",
                 t->rebuild.edits.n);
        (void)jobs_begin(t->jobs, "rebuild", 0, 1, t->work->revision, &err);
        edit_tell(t);
    }
}

void trainer_edit_again(struct trainer *t)
{
    struct err lost = {0};
    if (!rebuild_active(&t->rebuild))
        return;
    if (rebuild_again(&t->rebuild, t->store, t->work, &lost) != 0)
        edit_fail(t, &lost);
    else if (rebuild_active(&t->rebuild))
        edit_tell(t);
    else
        edit_end(t, JOB_STATE_DONE, NULL); /* nothing was left to do */
}

void trainer_edit_stop(struct trainer *t, const struct err *why)
{
    rebuild_fini(&t->rebuild);
    edit_end(t, JOB_STATE_CANCELLED, why);
}

int trainer_edit_cancel(struct trainer *t, struct err *err)
{
    if (rebuild_drop(&t->rebuild, t->store, err) != 0) {
        edit_end(t, JOB_STATE_FAILED, err);
        return -1;
    }
    edit_end(t, JOB_STATE_CANCELLED, NULL);
    return 0;
}
