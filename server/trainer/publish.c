/* publish.c - what has been committed is shown and told; what has not is taken back. */
#include <time.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define COMPLAIN_US (60 * (uint64_t)SECOND_US)

/* Going back takes classes away, and their columns mean nothing until others come: from then on those of before are not to be used. */
static void mind_columns(struct trainer *t)
{
    const uint32_t n = t->work->n_classes;
    if (n > t->n_columns && t->n_columns < t->columns_most)
        atomic_store(&t->columns, t->work->revision);
    t->columns_most = n > t->columns_most ? n : t->columns_most;
    t->n_columns = n;
}

/* Out of memory here only means that readers hold old revisions: they let go soon, and a slot comes back. The jobs are
 * applied already; they must not be answered with a failure. */
void trainer_publish(struct trainer *t)
{
    struct err err;
    mind_columns(t);
    while (model_publish(t->model, t->work, &err) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    learner_mark(t->work);
}

/* The copy needs no memory: `work` never shrinks. */
void trainer_restore(struct trainer *t)
{
    struct revision *published = model_acquire(t->model);
    learner_restore(t->work, published->learner);
    model_release(t->model, published);
    t->alarms = t->work->tally.drift.alarms;
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
    log_line(LOG_LINE_ERROR, "%s failed: %s", what, err->text);
}

void trainer_tell(const struct trainer *t, const struct note *note)
{
    if (t->config.note != NULL)
        t->config.note(t->config.note_context, note);
}

/* Going back may have taken some away. */
bool trainer_drift(struct trainer *t, struct note *alarm)
{
    const struct drift *drift = &t->work->tally.drift;
    const bool raised = drift->alarms > t->alarms;
    t->alarms = drift->alarms;
    if (raised)
        *alarm = (struct note){.kind = NOTE_DRIFT,
                               .revision = t->work->revision,
                               .samples = drift_at(drift, drift_recent(drift) - 1),
                               .alarms = drift->alarms};
    return raised;
}

void trainer_tell_drift(const struct trainer *t, const struct note *alarm)
{
    log_line(LOG_LINE_WARNING, "drift: the model errs more often than it did; alarm %llu, at sample %llu",
             (unsigned long long)alarm->alarms, (unsigned long long)alarm->samples);
    trainer_tell(t, alarm);
}
