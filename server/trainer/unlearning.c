/* unlearning.c - an edit of the past (trainer/rebuild.h) beside the trainer's other jobs: a chunk after each round, and at its end another
 * state is the live one. */
#include <assert.h>
#include <time.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define CHUNK_BUSY_MAX_US 250000 /* of a rebuild, which must be quicker than what it runs after */
#define ASK_US            200000 /* between two looks whether all nodes have made an edit         */

void trainer_edit_end(struct trainer *t, enum job_state state, const struct err *err)
{
    const int64_t command = t->rebuild_job;
    if (err != NULL)
        logger_line(state == JOB_STATE_FAILED ? LOG_LINE_ERROR : LOG_LINE_NOTICE, "rebuild %s: %s",
                    job_state_name(state), err->text);
    t->rebuild_job = 0;
    if (command != 0)
        jobs_end(t->jobs, command, state, err);
}

static void edit_progress(struct trainer *t)
{
    uint64_t done, total;
    if (t->rebuild_job == 0 || !rebuild_pending(&t->rebuild)) /* a job tells how much was replayed */
        return;
    rebuild_progress(&t->rebuild, &done, &total);
    jobs_total(t->jobs, t->rebuild_job, total);
    jobs_progress(t->jobs, t->rebuild_job, done, 1, t->work->revision);
}

/* ---- a shared log: the edit is an event, which any node appends ---- */

/* Neither is changed after an error. */
static int append_edit(struct trainer *t, struct edits *edits, struct err *err)
{
    if (t->journal->begin(t->journal, store_revision(t->store), err) != 0)
        return -1;
    if (store_edits_append(t->store, edits, err) == 0)
        return t->journal->commit(t->journal, err);
    t->journal->rollback(t->journal);
    return -1;
}

/* What is asked for is looked up in the state that it is appended behind. */
static int try_edit(struct trainer *t, struct command *command, struct err *err)
{
    struct edits edits = {0};
    if (trainer_log_away(t)) {
        *err = t->log_err;
        return -1;
    }
    int status = rebuild_wanted(&edits, &command->changed, t->store, t->work, &command->edit, err);
    if (status == 0 && command->changed > 0)
        status = append_edit(t, &edits, err);
    edits_fini(&edits);
    return status;
}

static int share(struct trainer *t, struct command *command, struct err *err)
{
    int status =
        trainer_log_away(t) ? 0 : trainer_follow(t, err); /* a sample that was told elsewhere is known here then */
    if (status == 0)
        while ((status = try_edit(t, command, err)) != 0 && err->code == ERR_BUSY && trainer_follow_held(t, err) == 0)
            ;
    if (status != 0 || command->changed == 0)
        t->journal->rollback(t->journal); /* lets go of the log */
    if (status != 0)
        trainer_log_error(t, err);
    if (status != 0 || command->changed == 0)
        return status;
    command->revision = t->edit_revision = store_revision(t->store);
    if (t->rebuild_job == 0)
        t->rebuild_job = jobs_begin(t->jobs, "rebuild", 0, 1, t->edit_revision, err);
    assert(t->rebuild_job > 0 && "one of its kind at a time, and none ran");
    (void)jobs_find(t->jobs, t->rebuild_job, &command->job_status);
    return 0;
}

void trainer_edit_everywhere(struct trainer *t)
{
    struct err err;
    const uint64_t now = clock_us();
    if (t->shared == NULL || t->rebuild_job == 0 || trainer_log_away(t) || now - t->asked_us < ASK_US)
        return;
    t->asked_us = now;
    const int all = shared_all_at(t->shared, t->edit_revision, &err);
    if (all < 0)
        trainer_log_error(t, &err);
    if (all == 1)
        trainer_edit_end(t, JOB_STATE_DONE, NULL);
}

/* ---- the job ---- */

int trainer_edit_begin(struct trainer *t, struct command *command, struct err *err)
{
    if (trainer_long_work_check(t, err) != 0)
        return -1;
    if (t->shared != NULL)
        return share(t, command, err);
    if (rebuild_accept(&t->rebuild, t->store, t->work, &command->edit, &command->changed, err) != 0)
        return -1;
    if (!rebuild_active(&t->rebuild))
        return 0;
    atomic_fetch_add(&t->rewrites, 1);
    if (t->rebuild_job == 0)
        t->rebuild_job = jobs_begin(t->jobs, "rebuild", 0, 1, t->work->revision, err);
    assert(t->rebuild_job > 0 && "one of its kind at a time, and none ran");
    edit_progress(t);
    (void)jobs_find(t->jobs, t->rebuild_job, &command->job_status);
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
    trainer_notify(
        t, &(struct notice){.kind = NOTICE_EDIT, .revision = t->work->revision, .step = t->work->step, .edit = made});
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
        logger_line(LOG_LINE_ERROR, "the WAL cannot be emptied yet, and may still hold forgotten samples: %s",
                    err.text);
}

/* The model is another. */
static void edit_made(struct trainer *t, const struct learner *state, const struct store_snapshot *taken,
                      const struct rebuild_made *made)
{
    struct job_status job;
    revision_cache_forget(t->revision_cache); /* they saw what is forgotten */
    if (made->removes)
        t->columns = state->revision;
    edit_publish(t, state, taken, made);
    atomic_fetch_add(&t->rewrites, 1);
    (void)jobs_find(t->jobs, t->rebuild_job, &job);
    jobs_progress(t->jobs, t->rebuild_job, job.steps_total, 1, t->work->revision);
}

/* All that was accepted is in the log, and what was forgotten is in no row. Where others have the log, too, they are asked when they are told. */
static void edit_done(struct trainer *t)
{
    trainer_edit_empty_wal(t);
    if (t->shared == NULL)
        trainer_edit_end(t, JOB_STATE_DONE, NULL);
    else
        t->told_us = 0;
}

/* What an attempt came to, but that it is done. */
static void edit_report(struct trainer *t, enum rebuild_state state, struct err *err)
{
    if (state == REBUILD_MORE) {
        edit_progress(t);
        return;
    }
    trainer_storage_error(t, err);
    if (state == REBUILD_FAILED) {
        logger_line(LOG_LINE_ERROR, "rebuild failed; the next try is in %.0f s: %s",
                    (double)rebuild_wait_us(&t->rebuild) / SECOND_US, err->text);
        edit_progress(t);
        if (t->rebuild_job != 0)
            jobs_trouble(t->jobs, t->rebuild_job, err,
                         rebuild_pending(&t->rebuild) ? "the edit stays accepted, and is tried again"
                                                      : "the edit is made, and the forgotten images will be erased");
        return;
    }
    if (state == REBUILD_GIVEN_UP && t->rebuild_job != 0)
        jobs_trouble(t->jobs, t->rebuild_job, err,
                     store_sync_failed(t->store)
                         ? "the edit stays accepted: the next start tries it again"
                         : "the edit stays accepted: the next start or the next request for it tries again");
    trainer_edit_end(t, JOB_STATE_FAILED, err);
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
    if (state == REBUILD_MADE)
        edit_made(t, learner, &taken, &made);
    else if (state == REBUILD_DONE)
        edit_done(t);
    else
        edit_report(t, state, &err);
    learner_free(learner);
}

void trainer_edit_take_up(struct trainer *t)
{
    struct err err = {0};
    if (t->off.code != ERR_NONE)
        return;
    /* After a crash on the way from an edit of a shared log to its end. */
    if (t->shared != NULL && store_edits_any(t->store) &&
        (store_begin(t->store, &err) != 0 || store_classes(t->store, t->work, &err) != 0 ||
         store_commit(t->store, &err) != 0))
        trainer_upkeep_error(t, "writing the classes", &err);
    /* After a crash between an edit and its checkpoint, old pages with what was forgotten still stand in the WAL. */
    if (store_edits_any(t->store) && store_wal_bytes(t->store) > 0)
        trainer_edit_empty_wal(t);
    const enum rebuild_state state = rebuild_resume(&t->rebuild, t->store, t->work, &err);
    if (state == REBUILD_DONE)
        return;
    t->edit_place = t->work->revision - 1;
    logger_line(LOG_LINE_NOTICE, "resuming edits that were accepted before the last stop");
    t->rebuild_job = jobs_begin(t->jobs, "rebuild", 0, 1, t->work->revision, &err);
    edit_report(t, state, &err);
}

void trainer_edit_again(struct trainer *t)
{
    if (!rebuild_active(&t->rebuild))
        return;
    rebuild_again(&t->rebuild);
    edit_progress(t);
}

void trainer_edit_stop(struct trainer *t, const struct err *why)
{
    rebuild_halt(&t->rebuild);
    trainer_edit_end(t, JOB_STATE_CANCELLED, why);
}

int trainer_edit_cancel(struct trainer *t, struct err *err)
{
    if (!rebuild_pending(&t->rebuild))
        return err_set(err, ERR_CONFLICT,
                       "job %lld has made its edit already, and ends when the forgotten images are erased",
                       (long long)t->rebuild_job);
    if (rebuild_drop(&t->rebuild, t->store, err) != 0)
        return -1; /* it goes on */
    atomic_fetch_add(&t->rewrites, 1);
    trainer_edit_end(t, JOB_STATE_CANCELLED, NULL);
    return 0;
}
