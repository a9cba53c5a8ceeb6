/* unlearning_shared.c - an edit of the past in a log that several machines share (store/replay/edits_shared.c): each node that comes to it makes the model
 * again and only then goes on with the log. Predictions go on meanwhile, by the model of before; what only reads the log has its turn between
 * two steps, where that model can still say what the classes are. Then the snapshots that saw are deleted and the WAL is emptied, as for any edit;
 * a node tells the others that it is at the edit when all of that is done. */
#include <string.h>

#include "server/common/clock.h"
#include "server/trainer/internal.h"

static bool is_stopping(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.progress++;
    const bool stops = t->stopping || t->quiesced;
    (void)pthread_mutex_unlock(&t->lock);
    return stops;
}

int trainer_edit_pause(struct trainer *t)
{
    const uint64_t now = clock_us();
    if (!trainer_log_away(t) && now - t->told_us >= SECOND_US) { /* that it lives, and is not there yet */
        struct err err;
        t->told_us = now;
        if (trainer_tell(t, &err) != 0)
            trainer_log_error(t, &err);
    }
    return is_stopping(t);
}

struct making {
    struct trainer *t;
    struct store_edited *edited;
};

/* Between two steps. Events of others may have samples that the model of before never learned, and classes that it does not have: then nobody
 * reads. */
static int while_making(void *context, uint64_t done, uint64_t total)
{
    const struct making *making = context;
    struct trainer *t = making->t;
    if (t->rebuild_job != 0) {
        jobs_total(t->jobs, t->rebuild_job, total);
        jobs_progress(t->jobs, t->rebuild_job, done, 1, t->work->revision);
    }
    if (making->edited->n_removed == 0 && t->work->revision + making->edited->n_edits == store_revision(t->store))
        trainer_run_reads(t);
    return trainer_edit_pause(t);
}

bool trainer_edit_make(struct trainer *t, struct store_edited *edited)
{
    struct making making = {.t = t, .edited = edited};
    struct err err;
    if (!store_edit_ahead(t->store))
        return false;
    atomic_fetch_add(&t->rewrites, 1);
    if (trainer_edits_done(t))
        t->edit_place = t->work->revision;
    t->edit_at_work = true;
    if (store_rebuild(t->store, t->work, while_making, &making, edited, &err) == 0)
        return true;
    if (err.code != ERR_STOPPING)
        trainer_cannot_apply(&err);
    trainer_log_halt(t); /* the next start makes it */
    return false;
}

void trainer_edit_made(struct trainer *t, const struct store_edited *edited)
{
    struct rebuild_made told = {
        .forgotten = edited->forgotten, .relabelled = edited->relabelled, .removes = edited->n_removed > 0};
    struct job_status job;
    struct err err;
    memcpy(told.removed, edited->removed_label, sizeof told.removed);
    memcpy(told.into, edited->into_label, sizeof told.into);
    t->alarms = t->work->tally.drift.alarms;
    atomic_fetch_add(&t->rewrites, 1);
    trainer_notify(
        t, &(struct notice){.kind = NOTICE_EDIT, .revision = t->work->revision, .step = t->work->step, .edit = &told});
    /* The next start would make it again. */
    if (trainer_snapshot(t, "edit", "", false, NULL, &err) != 0)
        trainer_upkeep_error(t, "a snapshot", &err);
    if (t->rebuild_job != 0 && jobs_find(t->jobs, t->rebuild_job, &job))
        jobs_progress(t->jobs, t->rebuild_job, job.steps_total, 1, t->work->revision);
    t->edit_at_work = false;
    rebuild_sweep(&t->rebuild);
}
