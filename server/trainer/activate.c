/* activate.c - an earlier state is the live one again. */
#include <string.h>

#include "server/trainer/internal.h"

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

/* What was followed since the last try may have taken the snapshot with it, or its class. */
static int try_activate(struct trainer *t, const struct command *command, struct store_snapshot *target,
                        struct learner **learner, struct event *event, struct err *err)
{
    learner_free(*learner);
    *learner = NULL;
    if (store_snapshot_find(t->store, command->snapshot_id, target, err) != 0 ||
        store_snapshot_load(t->store, command->snapshot_id, t->work->arith, learner, err) != 0 ||
        learner_reserve(t->work, (*learner)->n_classes, err) != 0)
        return -1;
    return append_activate(t, event, target->revision, *learner, err);
}

/* Back to an earlier state: one event that says so, then a snapshot, so that the next start need not look for the old one. */
int trainer_snapshot_activate(struct trainer *t, struct command *command, struct err *err)
{
    struct store_snapshot target;
    struct learner *learner = NULL;
    struct event event;
    int status;
    while ((status = try_activate(t, command, &target, &learner, &event, err)) != 0 && err->code == ERR_BUSY &&
           trainer_follow_held(t, err) == 0)
        ;
    if (status != 0) {
        t->journal->rollback(t->journal); /* lets go of a log that is held */
        trainer_log_error(t, err);
    }
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
