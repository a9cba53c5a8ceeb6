/* follow.c - a log that several machines share (store/shared.h): what others appended is copied into this node's file and applied, as soon as a
 * hint of it comes, and a few times a second without one. Whoever wants to append and finds that others were first follows, and tries again. */
#include "server/common/clock.h"
#include "server/trainer/internal.h"

#define LOOK_US 200000 /* without a hint */

/* Samples of the events between two others together, as a group tells of its own. */
static void tell_trained(struct trainer *t, struct notice *train)
{
    if (train->samples > 0)
        trainer_notify(t, train);
    *train = (struct notice){.kind = NOTICE_TRAIN};
}

static void went_back(struct trainer *t, uint64_t target)
{
    t->went_back = target;
    t->columns = t->work->revision;
    t->columns_left = t->work->n_classes;
    t->alarms = t->work->tally.drift.alarms;
    atomic_fetch_add(&t->rewrites, 1);
    trainer_notify(
        t, &(struct notice){
               .kind = NOTICE_ACTIVATE, .revision = t->work->revision, .target = target, .step = t->work->step});
}

static void tell_event(struct trainer *t, struct notice *train, const struct event *event)
{
    if (event->kind == EVENT_TRAIN) {
        for (uint32_t i = 0; i < event->as.train.n; i++) {
            const struct sample *sample = &event->as.train.samples[i];
            train->correct += sample->predicted == sample->label;
            train->loss_sum += (double)sample->loss;
        }
        train->samples += event->as.train.n;
        train->revision = event->revision;
        train->step = t->work->step;
        t->samples_since_snapshot += event->as.train.n;
        return;
    }
    if (event->kind == EVENT_CLASS || event->kind == EVENT_TUNE) {
        tell_trained(t, train);
        trainer_notify(t, &(struct notice){.kind = event->kind == EVENT_CLASS ? NOTICE_CLASS : NOTICE_TUNE,
                                           .revision = event->revision,
                                           .event = event});
    } else if (event->kind == EVENT_ACTIVATE) {
        tell_trained(t, train);
        went_back(t, event->as.activate.revision);
    }
}

/* As far as there is something, and it is not time to stop. */
static int apply_events(struct trainer *t, bool edited, struct notice *train, struct err *err)
{
    const struct event *event;
    int status = 0;
    while (!trainer_log_halted(t) && (status = store_follow(t->store, t->work, &event, err)) == 1) {
        trainer_mark(t);
        tell_event(t, train, event);
        if (edited && trainer_edit_pause(t) != 0) /* it may be all of the log */
            trainer_log_halt(t);
    }
    return status;
}

/* All that the file has and the fold has not. */
static void apply_copied(struct trainer *t)
{
    struct notice train = {.kind = NOTICE_TRAIN}, alarm;
    struct store_edited edits;
    struct err err;
    const uint64_t before = t->work->revision;
    const bool edited = trainer_edit_make(t, &edits);
    if (edited && edits.n_removed > 0)
        t->columns = store_revision(t->store);
    if (apply_events(t, edited, &train, &err) < 0)
        trainer_cannot_apply(&err);
    if (trainer_log_halted(t))
        return;
    if (edited)
        revision_cache_forget(t->revision_cache); /* they saw what is forgotten */
    trainer_publish(t);
    (void)pthread_mutex_lock(&t->lock);
    t->stats.log_followed += t->work->revision - before;
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
    tell_trained(t, &train);
    if (edited)
        trainer_edit_made(t, &edits);
    if (trainer_drift(t, &alarm))
        trainer_notify_drift(t, &alarm);
}

bool trainer_edits_wait(const struct trainer *t)
{
    return t->shared != NULL && t->off.code == ERR_NONE && !trainer_log_halted(t) && store_edit_ahead(t->store);
}

void trainer_apply_edits(struct trainer *t)
{
    apply_copied(t);
}

int trainer_follow(struct trainer *t, struct err *err)
{
    int status;
    while ((status = shared_copy(t->shared, err)) == 1) {
        apply_copied(t);
        if (trainer_log_halted(t)) {
            *err = t->log_err;
            return -1;
        }
    }
    if (status == 0)
        trainer_log_reached(t);
    return status;
}

/* As long as there is no edit among the rows: while the log is held the model is not made again. */
static int follow_quickly(struct trainer *t, struct err *err)
{
    int status = 1;
    while (status == 1 && !store_edit_ahead(t->store))
        if ((status = shared_copy(t->shared, err)) == 1 && !store_edit_ahead(t->store))
            apply_copied(t);
    if (status == 0)
        trainer_log_reached(t);
    return status;
}

int trainer_follow_held(struct trainer *t, struct err *err)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.log_late++;
    (void)pthread_mutex_unlock(&t->lock);
    for (;;) {
        const int status = shared_hold(t->shared, err) == 0 ? follow_quickly(t, err) : -1;
        if (status == 0)
            return 0;
        t->journal->rollback(t->journal);
        if (status < 0)
            break;
        apply_copied(t);
        if (trainer_log_halted(t)) {
            *err = t->log_err;
            break;
        }
    }
    trainer_log_error(t, err);
    return -1;
}

uint64_t trainer_follow_wait_us(const struct trainer *t)
{
    if (t->shared == NULL || t->off.code != ERR_NONE)
        return UINT64_MAX;
    const uint64_t now = clock_us(), due = t->log_err.code != ERR_NONE ? t->log_retry_us : t->followed_us + LOOK_US;
    return due > now ? due - now : 0;
}

void trainer_follow_turn(struct trainer *t, bool hinted)
{
    struct err err;
    if (t->shared == NULL || t->off.code != ERR_NONE || trainer_log_away(t) ||
        (!hinted && trainer_follow_wait_us(t) > 0))
        return;
    const uint64_t now = clock_us();
    int status = trainer_follow(t, &err);
    t->followed_us = now;
    const uint64_t every_us = t->rebuild_job != 0 ? LOOK_US : SECOND_US; /* others are waited for */
    if (status == 0 && (t->n_marks == TRAINER_MARKS || now - t->told_us >= every_us)) {
        t->told_us = now;
        status = trainer_tell(t, &err);
    }
    if (status != 0) {
        trainer_log_error(t, &err);
        trainer_storage_error(t, &err);
    }
}
