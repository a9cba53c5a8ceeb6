/* publish.c - what has been committed and applied is shown and told. */
#include <time.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define COMPLAIN_US (60 * (uint64_t)SECOND_US)

/* Out of memory here only means that readers hold old revisions: they let go soon, and a slot comes back. The commands are
 * applied already; they must not be answered with a failure. */
void trainer_publish(struct trainer *t)
{
    struct err err;
    if (t->work->n_classes > t->columns_left) { /* another class has the column of one that going back took away */
        t->columns = t->work->revision;
        t->columns_left = SHAPE_CLASSES_MAX;
    }
    while (model_publish(t->model, t->work, t->columns, &err) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void trainer_cannot_apply(const struct err *err)
{
    logger_line(LOG_LINE_ERROR, "an event that is in the log cannot be applied: %s", err->text);
    abort(); /* what was checked before is no longer so: nothing that follows would be what the log says */
}

void trainer_storage_error(struct trainer *t, const struct err *err)
{
    const bool disk = err->code == ERR_STORAGE || err->code == ERR_STORAGE_FULL;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.storage_errors += disk;
    if (store_sync_failed(t->store))
        t->stats.storage_failed = true;
    (void)pthread_mutex_unlock(&t->lock);
}

/* A disk that is full fails again at every tick. */
void trainer_upkeep_error(struct trainer *t, const char *what, const struct err *err)
{
    const uint64_t now = clock_us();
    trainer_storage_error(t, err);
    if (t->complained_us != 0 && now - t->complained_us < COMPLAIN_US && !store_sync_failed(t->store))
        return;
    t->complained_us = now;
    logger_line(LOG_LINE_ERROR, "%s failed: %s", what, err->text);
}

void trainer_notify(const struct trainer *t, const struct notice *notice)
{
    if (t->config.notify != NULL)
        t->config.notify(t->config.notify_context, notice);
}

/* Going back may have taken some away. */
bool trainer_drift(struct trainer *t, struct notice *alarm)
{
    const struct drift *drift = &t->work->tally.drift;
    const bool raised = drift->alarms > t->alarms;
    t->alarms = drift->alarms;
    if (raised)
        *alarm = (struct notice){.kind = NOTICE_DRIFT,
                                 .revision = t->work->revision,
                                 .samples = drift_at(drift, drift_recent(drift) - 1),
                                 .alarms = drift->alarms};
    return raised;
}

void trainer_notify_drift(const struct trainer *t, const struct notice *alarm)
{
    logger_line(LOG_LINE_WARNING, "drift: the error rate rose; alarm %llu, at sample %llu",
                (unsigned long long)alarm->alarms, (unsigned long long)alarm->samples);
    trainer_notify(t, alarm);
}

void trainer_notify_warnings(struct trainer *t)
{
    for (int i = 0; i < HEALTH_N; i++) {
        const enum health_warning which = (enum health_warning)i;
        const bool raised = health_raised(&t->work->health, which);
        char text[HEALTH_TEXT_BYTES];
        if (raised == t->warned[i])
            continue;
        t->warned[i] = raised;
        if (raised) {
            health_text(text, sizeof text, t->work, which);
            logger_line(LOG_LINE_WARNING, "%s", text);
        } else {
            logger_line(LOG_LINE_NOTICE, "the warning %s is cleared", health_code(which));
        }
        trainer_notify(t, &(struct notice){.kind = NOTICE_WARNING,
                                           .revision = t->work->revision,
                                           .samples = t->work->tally.samples,
                                           .code = health_code(which),
                                           .text = raised ? text : NULL});
    }
}
