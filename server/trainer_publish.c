/* trainer_publish.c - what has been committed is shown and told; what has not is taken back. */
#include <time.h>

#include "server/log.h"
#include "server/trainer_internal.h"

/* Out of memory here only means that readers hold old revisions: they let go soon, and a slot comes back. The jobs are durable
 * and applied already; they must not be answered with a failure. */
void trainer_publish(struct trainer *t)
{
    struct err err;
    while (model_publish(t->model, t->work, &err) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    learner_mark(t->work);
}

/* Throws away what was applied since the last publication. The copy needs no memory: `work` never shrinks. */
void trainer_restore(struct trainer *t)
{
    struct revision *published = model_acquire(t->model);
    learner_restore(t->work, published->learner, 1);
    model_release(t->model, published);
}

void trainer_storage_error(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.storage_errors++;
    if (store_sync_failed(t->store))
        t->stats.storage_failed = true;
    (void)pthread_mutex_unlock(&t->lock);
}

void trainer_tell(const struct trainer *t, const struct note *note)
{
    if (t->config.note != NULL)
        t->config.note(t->config.note_context, note);
}

/* An alarm that was raised since the last look; going back may have taken some away. */
void trainer_tell_drift(struct trainer *t)
{
    const struct drift *drift = &t->work->tally.drift;
    if (drift->alarms > t->alarms) {
        const uint64_t sample = drift_at(drift, drift_recent(drift) - 1);
        log_line(LOG_LINE_WARNING, "drift: the model errs more often than it did; alarm %llu, at sample %llu",
                 (unsigned long long)drift->alarms, (unsigned long long)sample);
        trainer_tell(
            t, &(struct note){
                   .kind = NOTE_DRIFT, .revision = t->work->revision, .samples = sample, .alarms = drift->alarms});
    }
    t->alarms = drift->alarms;
}
