/* snapshots.c - snapshots: taken, amended, gone back to. */
#include <string.h>

#include "server/common/clock.h"
#include "server/trainer/internal.h"

void trainer_snapshot_taken(struct trainer *t, const struct store_snapshot *taken)
{
    t->snapshot_revision = t->work->revision;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.snapshots++;
    t->stats.last_snapshot_us = store_now_us();
    (void)pthread_mutex_unlock(&t->lock);
    trainer_tell(t, &(struct note){.kind = NOTE_SNAPSHOT, .snapshot = taken});
}

int trainer_snapshot(struct trainer *t, const char *reason, const char *note, bool pinned, struct store_snapshot *out,
                     struct err *err)
{
    t->snapshot_clock_us = clock_us();
    t->samples_since_snapshot = 0;
    struct store_snapshot taken;
    struct err why;
    if (store_snapshot(t->store, t->work, reason, note, pinned, &taken, err) != 0)
        return -1;
    if (out != NULL)
        *out = taken;
    trainer_snapshot_taken(t, &taken);
    /* Thinning and the checkpoint are upkeep: the snapshot is there, whatever becomes of them. */
    if (store_snapshots_thin(t->store, t->config.keep_snapshots, &why) != 0)
        trainer_upkeep_error(t, "thinning snapshots", &why);
    if (store_checkpoint(t->store, false, &why) != 0)
        trainer_upkeep_error(t, "a checkpoint", &why);
    return 0;
}

/* Whether each index that both have means the same class. */
static bool same_classes(const struct learner *a, const struct learner *b)
{
    bool same = true;
    for (uint32_t i = 0; i < a->n_classes && i < b->n_classes && same; i++)
        same = strcmp(a->labels[i], b->labels[i]) == 0;
    return same;
}

/* Back to an earlier state: one event that says so, then a snapshot, so that the next start need not look for the old one. */
int trainer_snapshot_activate(struct trainer *t, struct job *job, struct err *err)
{
    struct store_snapshot target;
    struct learner *learner = NULL;
    if (store_snapshot_find(t->store, job->snapshot_id, &target, err) != 0 ||
        store_snapshot_load(t->store, job->snapshot_id, t->work->arith, &learner, err) != 0)
        return -1;
    struct event event = {.kind = EVENT_ACTIVATE,
                          .revision = store_revision(t->store) + 1,
                          .created_us = store_now_us(),
                          .as.activate.revision = target.revision};
    int status = learner_reserve(t->work, learner->n_classes, err);
    if (status == 0 && (store_begin(t->store, err) != 0 || store_append(t->store, &event, err) != 0 ||
                        store_classes(t->store, learner, err) != 0 || store_commit(t->store, err) != 0)) {
        store_rollback(t->store);
        status = -1;
    }
    if (status == 0) {
        if (!same_classes(t->work, learner))
            atomic_store(&t->columns, event.revision);
        (void)learner_copy(t->work, learner, NULL); /* cannot fail: room was reserved */
        t->work->revision = t->went_back = event.revision;
        trainer_publish(t);
        atomic_fetch_add(&t->rewrites, 1);
        t->alarms = t->work->tally.drift.alarms;
        trainer_tell(t, &(struct note){.kind = NOTE_ACTIVATE,
                                       .revision = event.revision,
                                       .target = target.revision,
                                       .step = t->work->step});
        if (t->rehearsing) {
            struct err why;
            err_set(&why, ERR_CONFLICT, "the model went back to revision %llu", (unsigned long long)target.revision);
            trainer_rehearsal_end(t, JOB_STATE_CANCELLED, &why);
        }
        trainer_edit_again(t);
        job->revision = event.revision;
        job->step = t->work->step;
        /* The event is durable: a failing snapshot costs time at the next start, nothing else. */
        struct err why;
        if (trainer_snapshot(t, "activate", "", false, &job->snapshot, &why) != 0) {
            trainer_upkeep_error(t, "a snapshot", &why);
            job->snapshot = (struct store_snapshot){0};
        }
    }
    learner_free(learner);
    return status;
}

/* Long work on the past would find a snapshot pinned that it must drop, and fail at its very end. */
static int may_pin(const struct trainer *t, struct err *err)
{
    if (!rebuild_pending(&t->rebuild))
        return 0;
    if (!rebuild_active(&t->rebuild))
        return err_set(err, ERR_CONFLICT,
                       "an edit of the past is still to be made, at the next start or when it is asked for again, and "
                       "this state will not be the model's then: pin one after it");
    return err_set(err, ERR_CONFLICT,
                   "job %lld is editing the past, and this state will not be the model's: pin one after it has ended",
                   (long long)t->rebuild_job);
}

int trainer_snapshot_ask(struct trainer *t, struct job *job, struct err *err)
{
    if (job->pinned && may_pin(t, err) != 0)
        return -1;
    return trainer_snapshot(t, "request", job->note, job->pinned, &job->snapshot, err);
}

int trainer_snapshot_amend(struct trainer *t, struct job *job, struct err *err)
{
    if (job->amend_pinned && job->pinned && may_pin(t, err) != 0)
        return -1;
    const int status = store_snapshot_amend(t->store, job->snapshot_id, job->amend_pinned ? &job->pinned : NULL,
                                            job->amend_note ? job->note : NULL, &job->snapshot, err);
    if (status == 0)
        trainer_tell(t, &(struct note){.kind = NOTE_AMEND, .snapshot = &job->snapshot});
    return status;
}
