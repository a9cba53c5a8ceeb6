/* trainer_flight.c - the log is written by a second thread while the first one goes on learning.
 *
 * A group that flies has been applied to `work` and copied for readers, but neither written nor shown. The second thread appends it,
 * commits, shows the copy and completes the jobs; meanwhile the first one applies the next group, which takes off when this one has
 * landed. So there is one in the air at most, and nothing is answered before it is durable, applied and published.
 *
 * Where the disk fails, the group is lost: its jobs fail, and the first thread takes back both what was in it and what was applied
 * since (trainer_restore(2)). The jobs of the latter are applied once more, and written at once.
 *
 * Only training flies, and only a group that begins with a request of many samples. Single ones from many clients are better off in one
 * group, which is all that came while the disk was synced, than in two that take turns. Whatever else looks into the store, or writes to it, waits until nothing is in the air.
 */
#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/trainer_internal.h"

#define FLIGHT_SAMPLES_LEAST 64u

/* ---- the second thread ---- */

static bool write_group(struct trainer *t, struct trainer_group *g, struct revision *prepared)
{
    pace_begin();
    store_take(t->store);
    trainer_group_write(t, g);
    trainer_group_commit(t, g);
    if (g->failed)
        model_discard(t->model, prepared);
    else
        model_show(t->model, prepared);
    trainer_group_complete(t, g);
    return !g->failed;
}

static void *flight_thread(void *trainer)
{
    struct trainer *t = trainer;
    struct trainer_flight *f = &t->flight;
    atomic_store(&t->tids[1], gettid());
    (void)pthread_mutex_lock(&t->lock);
    while (!f->ends) {
        if (f->state != FLIGHT_AIR) {
            (void)pthread_cond_wait(&f->wake, &t->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&t->lock);
        const bool landed = write_group(t, &f->group, f->prepared);
        const uint64_t wal_bytes = trainer_checkpoint(t, false);
        (void)pthread_mutex_lock(&t->lock);
        t->stats.wal_bytes = wal_bytes;
        f->state = landed ? FLIGHT_NONE : FLIGHT_LOST;
        (void)pthread_cond_signal(&t->wake);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

int trainer_flight_start(struct trainer *t, struct err *err)
{
    (void)pthread_cond_init(&t->flight.wake, NULL);
    const int failed = pthread_create(&t->flight.thread, NULL, flight_thread, t);
    if (failed == 0)
        return 0;
    (void)pthread_cond_destroy(&t->flight.wake);
    return err_set(err, ERR_MEMORY, "cannot start the thread that writes the log: %s", strerror(failed));
}

void trainer_flight_stop(struct trainer *t)
{
    assert(!trainer_flight_air(t));
    (void)pthread_mutex_lock(&t->lock);
    t->flight.ends = true;
    (void)pthread_cond_signal(&t->flight.wake);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->flight.thread, NULL);
    (void)pthread_cond_destroy(&t->flight.wake);
}

/* ---- the trainer's thread ---- */

bool trainer_flight_air(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    const bool air = t->flight.state == FLIGHT_AIR;
    (void)pthread_mutex_unlock(&t->lock);
    return air;
}

int trainer_flight_land(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    while (t->flight.state == FLIGHT_AIR)
        (void)pthread_cond_wait(&t->wake, &t->lock);
    const bool lost = t->flight.state == FLIGHT_LOST;
    t->flight.state = FLIGHT_NONE;
    (void)pthread_mutex_unlock(&t->lock);
    store_take(t->store);
    if (!lost)
        return 0;
    trainer_restore(t, 2);
    t->place = store_place(t->store);
    return -1;
}

struct job *trainer_flight_jobs(struct trainer *t)
{
    struct job *jobs = NULL;
    (void)pthread_mutex_lock(&t->lock);
    while (t->first == NULL && t->first_read == NULL && t->flight.state == FLIGHT_AIR)
        (void)pthread_cond_wait(&t->wake, &t->lock);
    if (t->flight.state == FLIGHT_AIR)
        jobs = trainer_queue_take(t);
    (void)pthread_mutex_unlock(&t->lock);
    return jobs;
}

/* A key is looked up in the store first. */
bool trainer_flight_takes(const struct job *job)
{
    return job->kind == JOB_TRAIN && job->key == NULL;
}

bool trainer_flight_board(struct trainer *t, const struct job *job)
{
    const bool busy = t->rehearsing || rebuild_active(&t->rebuild) || past_active(t->past, NULL);
    const bool flies = trainer_flight_takes(job) && job->event.as.train.n >= FLIGHT_SAMPLES_LEAST && !busy;
    if (!flies || !trainer_flight_air(t)) {
        (void)trainer_flight_land(t);
        t->place = store_place(t->store);
    }
    return flies;
}

/* What was taken back is done once more, and now. */
static void group_again(struct trainer *t, struct trainer_group *g)
{
    struct job *jobs = g->first;
    trainer_group_init(g);
    for (struct job *job = jobs, *next; job != NULL; job = next) {
        next = job->next;
        job->status = 0;
        job->correct = job->refused = 0;
        trainer_group_add(t, g, job);
    }
    trainer_group_finish(t, g);
}

void trainer_flight_begin(struct trainer *t, struct trainer_group *g)
{
    struct trainer_flight *f = &t->flight;
    if (trainer_flight_land(t) != 0) {
        group_again(t, g);
        return;
    }
    if (!g->changed) { /* there was something wrong with each job */
        trainer_group_complete(t, g);
        trainer_group_init(g);
        return;
    }
    t->samples_since_snapshot += g->samples;
    g->alarmed = trainer_drift(t, &g->alarm);
    f->prepared = trainer_prepare(t);
    f->group = *g;
    (void)pthread_mutex_lock(&t->lock);
    f->state = FLIGHT_AIR;
    (void)pthread_cond_signal(&f->wake);
    (void)pthread_mutex_unlock(&t->lock);
    trainer_group_init(g);
}
