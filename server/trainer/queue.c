/* queue.c - between those who ask and the thread that does: the bounded queue, and what may be seen of its work. */
#include <string.h>
#include <time.h>

#include "server/trainer/internal.h"

#define TICK_NS 500000000L /* how often an idle thread looks round                           */

static uint64_t job_samples(const struct job *job)
{
    return job->kind == JOB_TRAIN ? job->event.as.train.n : 1;
}

static bool only_reads(const struct job *job)
{
    return job->kind == JOB_READ || job->kind == JOB_SNAPSHOTS;
}

void trainer_queue_done(struct trainer *t, struct job *job)
{
    (void)pthread_mutex_lock(&t->lock);
    if (only_reads(job)) {
        t->stats.queued_reads--;
    } else {
        t->stats.queued_jobs--;
        t->stats.queued_samples -= job_samples(job);
        t->stats.queued_bytes -= job->bytes;
    }
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
    job->done(job);
}

void trainer_fail(struct job *job, const struct err *err)
{
    job->status = -1;
    job->err = *err;
}

/* ---- what only reads ---- */

/* With the lock held. */
static void append_read(struct trainer *t, struct job *job)
{
    job->next = NULL;
    *t->last_read = job;
    t->last_read = &job->next;
}

uint64_t trainer_queue_reads(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    const uint64_t n = t->stats.queued_reads;
    (void)pthread_mutex_unlock(&t->lock);
    return n;
}

struct job *trainer_queue_take_read(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    struct job *job = t->first_read;
    if (job != NULL && (t->first_read = job->next) == NULL)
        t->last_read = &t->first_read;
    (void)pthread_mutex_unlock(&t->lock);
    return job;
}

void trainer_queue_again(struct trainer *t, struct job *job)
{
    (void)pthread_mutex_lock(&t->lock);
    append_read(t, job);
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

/* ---- all else ---- */

/* All of it, or as much as one transaction should hold. */
static struct job *queue_take(struct trainer *t)
{
    struct job *jobs = t->first, **end = &t->first;
    uint64_t samples = 0;
    while (*end != NULL && (samples == 0 || samples + job_samples(*end) <= ROUND_SAMPLES)) {
        samples += job_samples(*end);
        end = &(*end)->next;
    }
    if (end == &t->first)
        return NULL;
    struct job *rest = *end;
    *end = NULL;
    t->first = rest;
    if (rest == NULL)
        t->last = &t->first;
    return jobs;
}

struct trainer_turn trainer_queue_wait(struct trainer *t, uint64_t work_us)
{
    const long tick_ns = work_us < (uint64_t)TICK_NS / 1000 ? (long)work_us * 1000 : TICK_NS;
    struct trainer_turn turn = {0};
    (void)pthread_mutex_lock(&t->lock);
    while (t->first == NULL && t->first_read == NULL && !t->stopping && !turn.idle && work_us > 0) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += tick_ns;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        turn.idle = pthread_cond_timedwait(&t->wake, &t->lock, &until) != 0;
    }
    turn.jobs = queue_take(t);
    turn.reads = t->first_read != NULL;
    turn.stop = t->stopping && turn.jobs == NULL && !turn.reads;
    turn.quiesced = t->quiesced || t->stopping;
    (void)pthread_mutex_unlock(&t->lock);
    return turn;
}

void trainer_quiesce(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->quiesced = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
}

int trainer_long_work_check(struct trainer *t, struct err *err)
{
    (void)pthread_mutex_lock(&t->lock);
    const bool quiesced = t->quiesced || t->stopping;
    (void)pthread_mutex_unlock(&t->lock);
    return quiesced ? err_set(err, ERR_STOPPING, "the daemon is stopping") : 0;
}

int trainer_submit(struct trainer *t, struct job *job, struct err *err)
{
    const uint64_t n = job_samples(job);
    int status = 0;
    if (job->key != NULL && strnlen(job->key, STORE_KEY_BYTES_MAX + 1) > STORE_KEY_BYTES_MAX)
        return err_set(err, ERR_VALUE, "the Idempotency-Key is longer than %d bytes", STORE_KEY_BYTES_MAX);
    const bool reads = only_reads(job);
    job->next = NULL;
    job->status = 0;
    (void)pthread_mutex_lock(&t->lock);
    struct trainer_stats *s = &t->stats;
    /* A job larger than the whole queue may pass when nothing else waits: it could never otherwise. */
    const bool full =
        !reads && s->queued_jobs > 0 &&
        (s->queued_samples + n > t->config.queue_samples || s->queued_bytes + job->bytes > t->config.queue_bytes);
    if (t->stopping) {
        status = err_set(err, ERR_STOPPING, "the daemon is stopping");
    } else if (s->storage_failed) {
        status =
            err_set(err, ERR_STORAGE, "a write to the disk failed; training is off until the daemon has restarted");
    } else if (t->off.code != ERR_NONE && !reads) {
        status = err_set(err, t->off.code, "%s", t->off.text);
    } else if (full) {
        s->refused_busy++;
        status = err_set(err, ERR_BUSY, "%llu samples wait to be learned; try again in a moment",
                         (unsigned long long)s->queued_samples);
    } else if (reads && !job->goes_on && s->queued_reads >= READS_MAX) {
        s->refused_busy++;
        status =
            err_set(err, ERR_BUSY, "%u requests that read from the log wait already; try again in a moment", READS_MAX);
    } else if (reads) {
        s->queued_reads++;
        append_read(t, job);
        (void)pthread_cond_signal(&t->wake);
    } else {
        s->queued_jobs++;
        s->queued_samples += n;
        s->queued_bytes += job->bytes;
        *t->last = job;
        t->last = &job->next;
        (void)pthread_cond_signal(&t->wake);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return status;
}

struct trainer_stats trainer_stats(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    struct trainer_stats stats = t->stats;
    (void)pthread_mutex_unlock(&t->lock);
    return stats;
}
