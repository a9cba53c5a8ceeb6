/* snapshots.c - snapshots: taken, updated, gone back to. */
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
    trainer_notify(t, &(struct notice){.kind = NOTICE_SNAPSHOT, .snapshot = taken});
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
    if (store_snapshots_prune(t->store, t->config.keep_snapshots, &why) != 0)
        trainer_upkeep_error(t, "snapshot retention", &why);
    if (store_checkpoint(t->store, false, &why) != 0)
        trainer_upkeep_error(t, "a checkpoint", &why);
    return 0;
}

/* What the columns mean when the model goes back: from where on they are others, and how many are left as they were. */
static void mind_columns(struct trainer *t, const struct learner *target, uint64_t revision)
{
    const uint32_t n = target->n_classes;
    for (uint32_t i = 0; i < n && i < t->work->n_classes; i++)
        if (strcmp(target->labels[i], t->work->labels[i]) != 0)
            t->columns = revision;
    if (n < t->work->n_classes && n < t->columns_left)
        t->columns_left = n;
}

static int append_activate(struct trainer *t, struct event *event, uint64_t target, const struct learner *state,
                           struct err *err)
{
    struct journal *journal = t->journal;
    *event = (struct event){.kind = EVENT_ACTIVATE, .as.activate.revision = target};
    if (journal->begin(journal, t->work->revision, err) != 0)
        return -1;
    journal->next(journal, event);
    if (journal->append(journal, event, NULL, err) == 0 && store_classes(t->store, state, err) == 0)
        return journal->commit(journal, err);
    journal->rollback(journal);
    return -1;
}

/* Back to an earlier state: one event that says so, then a snapshot, so that the next start need not look for the old one. */
int trainer_snapshot_activate(struct trainer *t, struct command *command, struct err *err)
{
    struct store_snapshot target;
    struct learner *learner = NULL;
    if (store_snapshot_find(t->store, command->snapshot_id, &target, err) != 0 ||
        store_snapshot_load(t->store, command->snapshot_id, t->work->arith, &learner, err) != 0)
        return -1;
    struct event event;
    int status = learner_reserve(t->work, learner->n_classes, err);
    if (status == 0)
        while ((status = append_activate(t, &event, target.revision, learner, err)) != 0 && err->code == ERR_BUSY &&
               trainer_follow_held(t, err) == 0)
            ;
    if (status != 0)
        trainer_log_error(t, err);
    if (status == 0) {
        mind_columns(t, learner, event.revision);
        (void)learner_copy(t->work, learner, NULL); /* cannot fail: room was reserved */
        t->work->revision = event.revision;
        trainer_publish(t);
        atomic_fetch_add(&t->rewrites, 1);
        t->alarms = t->work->tally.drift.alarms;
        trainer_notify(t, &(struct notice){.kind = NOTICE_ACTIVATE,
                                           .revision = event.revision,
                                           .target = target.revision,
                                           .step = t->work->step});
        struct err gone;
        err_set(&gone, ERR_CONFLICT, "the model went back to revision %llu", (unsigned long long)target.revision);
        if (t->rehearsing)
            trainer_rehearsal_end(t, JOB_STATE_CANCELLED, &gone);
        trainer_idle_end(t, JOB_STATE_CANCELLED, &gone);
        trainer_edit_again(t);
        command->revision = event.revision;
        command->step = t->work->step;
        /* The event is durable: a failing snapshot costs time at the next start, nothing else. */
        struct err why;
        if (trainer_snapshot(t, "activate", "", false, &command->snapshot, &why) != 0) {
            trainer_upkeep_error(t, "a snapshot", &why);
            command->snapshot = (struct store_snapshot){0};
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
    return err_set(err, ERR_CONFLICT, "an accepted edit may change this state: pin a snapshot after the edit is done");
}

int trainer_snapshot_request(struct trainer *t, struct command *command, struct err *err)
{
    if (command->pinned && may_pin(t, err) != 0)
        return -1;
    return trainer_snapshot(t, "request", command->note, command->pinned, &command->snapshot, err);
}

int trainer_snapshot_update(struct trainer *t, struct command *command, struct err *err)
{
    if (command->update_pinned && command->pinned && may_pin(t, err) != 0)
        return -1;
    const int status =
        store_snapshot_update(t->store, command->snapshot_id, command->update_pinned ? &command->pinned : NULL,
                              command->update_note ? command->note : NULL, &command->snapshot, err);
    if (status == 0)
        trainer_notify(t, &(struct notice){.kind = NOTICE_UPDATE, .snapshot = &command->snapshot});
    return status;
}
