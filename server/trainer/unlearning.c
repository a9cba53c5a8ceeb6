/* unlearning.c - an edit of the past (trainer/rebuild.h) beside the trainer's other jobs: a chunk after each round, and at its end another
 * state is the live one. */
#include <assert.h>
#include <time.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define CHUNK_BUSY_MAX_US 250000 /* of a rebuild, which must be quicker than what it runs after */

/* The job of the rebuild ends. */
static void edit_end(struct trainer *t, enum job_state state, const struct err *err)
{
    if (err != NULL)
        log_line(state == JOB_STATE_FAILED ? LOG_LINE_ERROR : LOG_LINE_NOTICE, "rebuild %s: %s", job_state_name(state),
                 err->text);
    jobs_end(t->jobs, t->rebuild_job, state, err);
}

static void edit_tell(struct trainer *t)
{
    uint64_t done, total;
    rebuild_progress(&t->rebuild, &done, &total);
    jobs_total(t->jobs, t->rebuild_job, total);
    jobs_progress(t->jobs, t->rebuild_job, done, 1, t->work->revision);
}

int trainer_edit_begin(struct trainer *t, struct job *job, struct err *err)
{
    const bool active = rebuild_active(&t->rebuild);
    if (trainer_long_work_check(t, err) != 0)
        return -1;
    const int status = rebuild_ask(&t->rebuild, t->store, t->work, &job->edit, &job->changed, err);
    const bool still = rebuild_active(&t->rebuild);
    if (active && !still) /* what waited has become void, whatever became of what was asked for */
        edit_end(t, JOB_STATE_DONE, NULL);
    if (status != 0 || !still)
        return status;
    atomic_fetch_add(&t->rewrites, 1);
    if (!active)
        t->rebuild_job = jobs_begin(t->jobs, "rebuild", 0, 1, t->work->revision, err);
    assert(t->rebuild_job > 0 && "one of its kind at a time, and none ran");
    edit_tell(t);
    (void)jobs_find(t->jobs, t->rebuild_job, &job->job_status);
    return 0;
}

/* The rebuilt state becomes the live one; it is in the log already. Memory comes back: readers let go of old revisions. */
static void edit_publish(struct trainer *t, const struct learner *state, const struct store_snapshot *taken,
                         const struct rebuild_made *made)
{
    while (learner_copy(t->work, state, NULL) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    trainer_publish(t);
    t->alarms = t->work->tally.drift.alarms;
    t->snapshot_clock_us = clock_us();
    t->samples_since_snapshot = 0;
    trainer_tell(t,
                 &(struct note){.kind = NOTE_EDIT, .revision = t->work->revision, .step = t->work->step, .edit = made});
    trainer_snapshot_taken(t, taken);
}

void trainer_edit_empty_wal(struct trainer *t)
{
    struct err err;
    const bool told = t->wal_holds;
    t->wal_holds = store_checkpoint(t->store, true, &err) != 0;
    if (t->wal_holds)
        trainer_storage_error(t, &err);
    if (t->wal_holds && !told)
        log_line(LOG_LINE_ERROR, "the WAL cannot be emptied yet, and may hold what was forgotten: %s", err.text);
}

/* All that was accepted is in the log now. state: the model, unless it is what it was. */
static void edit_done(struct trainer *t, const struct learner *state, const struct store_snapshot *taken,
                      const struct rebuild_made *made)
{
    struct job_status job;
    past_forget(t->past); /* they saw what is forgotten */
    if (state != NULL) {
        if (made->removes)
            atomic_store(&t->columns,
                         t->went_back = state->revision); /* indices that were looked up before mean others */
        edit_publish(t, state, taken, made);
    }
    atomic_fetch_add(&t->rewrites, 1);
    trainer_edit_empty_wal(t);
    (void)jobs_find(t->jobs, t->rebuild_job, &job);
    jobs_progress(t->jobs, t->rebuild_job, job.steps_total, 1, t->work->revision);
    edit_end(t, JOB_STATE_DONE, NULL);
}

/* What an attempt came to, but that it is done. */
static void edit_report(struct trainer *t, enum rebuild_state state, struct err *err)
{
    if (state == REBUILD_MORE) {
        edit_tell(t);
        return;
    }
    trainer_storage_error(t, err);
    if (state == REBUILD_FAILED) {
        log_line(LOG_LINE_ERROR, "rebuild failed, and is tried again in %.0f s: %s",
                 (double)rebuild_wait_us(&t->rebuild) / SECOND_US, err->text);
        edit_tell(t);
        jobs_trouble(t->jobs, t->rebuild_job, err, "it stays accepted, and is tried again");
        return;
    }
    if (state == REBUILD_GIVEN_UP)
        jobs_trouble(t->jobs, t->rebuild_job, err,
                     store_sync_failed(t->store)
                         ? "it stays accepted: the next start tries it again"
                         : "it stays accepted: the next start tries it again, or whoever asks for it again");
    edit_end(t, JOB_STATE_FAILED, err);
}

void trainer_edit_work(struct trainer *t, bool busy, uint64_t round_us)
{
    struct learner *learner = NULL;
    struct store_snapshot taken;
    struct err err = {0};
    struct rebuild_made made;
    const uint64_t least = busy ? CHUNK_US : CHUNK_IDLE_US;
    uint64_t us = 2 * round_us; /* a rehearsal may have grown the log, too */
    us = us < least ? least : us > CHUNK_BUSY_MAX_US ? CHUNK_BUSY_MAX_US : us;
    const enum rebuild_state state = rebuild_chunk(&t->rebuild, t->store, t->work, us, &learner, &taken, &made, &err);
    if (state == REBUILD_DONE)
        edit_done(t, learner, &taken, &made);
    else
        edit_report(t, state, &err);
    learner_free(learner);
}

void trainer_edit_take_up(struct trainer *t)
{
    struct err err = {0};
    if (t->off.code != ERR_NONE)
        return;
    /* After a crash between an edit and its checkpoint, old pages with what was forgotten still stand in the WAL. */
    if (store_edits_any(t->store) && store_wal_bytes(t->store) > 0)
        trainer_edit_empty_wal(t);
    const enum rebuild_state state = rebuild_resume(&t->rebuild, t->store, t->work, &err);
    if (state == REBUILD_DONE)
        return;
    log_line(LOG_LINE_NOTICE, "edits that were accepted before the last stop are taken up again");
    t->rebuild_job = jobs_begin(t->jobs, "rebuild", 0, 1, t->work->revision, &err);
    edit_report(t, state, &err);
}

void trainer_edit_again(struct trainer *t)
{
    if (!rebuild_active(&t->rebuild))
        return;
    rebuild_again(&t->rebuild);
    edit_tell(t);
}

void trainer_edit_stop(struct trainer *t, const struct err *why)
{
    rebuild_halt(&t->rebuild);
    edit_end(t, JOB_STATE_CANCELLED, why);
}

int trainer_edit_cancel(struct trainer *t, struct err *err)
{
    if (rebuild_drop(&t->rebuild, t->store, err) != 0)
        return -1; /* it goes on */
    atomic_fetch_add(&t->rewrites, 1);
    edit_end(t, JOB_STATE_CANCELLED, NULL);
    return 0;
}
