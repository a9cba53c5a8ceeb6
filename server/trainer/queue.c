/* queue.c - between those who ask and the thread that does: the bounded queue, and what may be seen of its work. */
#include <string.h>
#include <time.h>

#include "server/trainer/internal.h"

#define TICK_NS 500000000L /* how often an idle thread looks round                           */

static uint64_t command_samples(const struct command *command)
{
    return command->kind == COMMAND_TRAIN ? command->event.as.train.n : 1;
}

static bool only_reads(const struct command *command)
{
    return command->kind == COMMAND_READ || command->kind == COMMAND_SNAPSHOTS || command->kind == COMMAND_PUBLISH;
}

void trainer_queue_done(struct trainer *t, struct command *command)
{
    (void)pthread_mutex_lock(&t->lock);
    if (only_reads(command)) {
        t->stats.queued_reads--;
    } else {
        t->stats.queued_commands--;
        t->stats.queued_samples -= command_samples(command);
        t->stats.queued_bytes -= command->bytes;
    }
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
    command->done(command);
}

void trainer_fail(struct command *command, const struct err *err)
{
    command->status = -1;
    command->err = *err;
}

/* ---- what only reads ---- */

/* With the lock held. */
static void append_read(struct trainer *t, struct command *command)
{
    command->next = NULL;
    *t->last_read = command;
    t->last_read = &command->next;
}

uint64_t trainer_queue_reads(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    const uint64_t n = t->stats.queued_reads;
    (void)pthread_mutex_unlock(&t->lock);
    return n;
}

struct command *trainer_queue_take_read(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    struct command *command = t->first_read;
    if (command != NULL && (t->first_read = command->next) == NULL)
        t->last_read = &t->first_read;
    (void)pthread_mutex_unlock(&t->lock);
    return command;
}

void trainer_queue_again(struct trainer *t, struct command *command)
{
    (void)pthread_mutex_lock(&t->lock);
    append_read(t, command);
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

/* ---- all else ---- */

/* All of it, or as much as one transaction should hold. */
static struct command *queue_take(struct trainer *t)
{
    struct command *commands = t->first, **end = &t->first;
    uint64_t samples = 0;
    while (*end != NULL && (samples == 0 || samples + command_samples(*end) <= ROUND_SAMPLES)) {
        samples += command_samples(*end);
        end = &(*end)->next;
    }
    if (end == &t->first)
        return NULL;
    struct command *rest = *end;
    *end = NULL;
    t->first = rest;
    if (rest == NULL)
        t->last = &t->first;
    return commands;
}

struct trainer_turn trainer_queue_wait(struct trainer *t, uint64_t work_us)
{
    const long tick_ns = work_us < (uint64_t)TICK_NS / 1000 ? (long)work_us * 1000 : TICK_NS;
    struct trainer_turn turn = {0};
    (void)pthread_mutex_lock(&t->lock);
    while (t->first == NULL && t->first_read == NULL && !t->stopping && t->hint <= t->work->revision && !turn.idle &&
           work_us > 0) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += tick_ns;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        turn.idle = pthread_cond_timedwait(&t->wake, &t->lock, &until) != 0;
    }
    turn.commands = queue_take(t);
    turn.hinted = t->hint > t->work->revision; /* not of what this node appended itself */
    t->hint = 0;
    turn.reads = t->first_read != NULL;
    turn.stop = t->stopping && turn.commands == NULL && !turn.reads;
    turn.quiesced = t->quiesced || t->stopping;
    (void)pthread_mutex_unlock(&t->lock);
    return turn;
}

void trainer_queue_hint(struct trainer *t, uint64_t revision)
{
    (void)pthread_mutex_lock(&t->lock);
    t->hint = revision > t->hint ? revision : t->hint;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
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
    return quiesced ? err_set(err, ERR_STOPPING, "convd is stopping") : 0;
}

int trainer_submit(struct trainer *t, struct command *command, struct err *err)
{
    const uint64_t n = command_samples(command);
    int status = 0;
    if (command->key != NULL && strnlen(command->key, STORE_KEY_BYTES_MAX + 1) > STORE_KEY_BYTES_MAX)
        return err_set(err, ERR_VALUE, "the Idempotency-Key is longer than %d bytes", STORE_KEY_BYTES_MAX);
    const bool reads = only_reads(command);
    command->next = NULL;
    command->status = 0;
    (void)pthread_mutex_lock(&t->lock);
    struct trainer_stats *s = &t->stats;
    /* A command larger than the whole queue may pass when nothing else waits: it could never otherwise. */
    const bool full =
        !reads && s->queued_commands > 0 &&
        (s->queued_samples + n > t->config.queue_samples || s->queued_bytes + command->bytes > t->config.queue_bytes);
    if (t->stopping) {
        status = err_set(err, ERR_STOPPING, "convd is stopping");
    } else if (s->storage_failed) {
        status = err_set(err, ERR_STORAGE, "a write to the disk failed: training is off until convd is restarted");
    } else if (t->off.code != ERR_NONE && !reads) {
        status = err_set(err, t->off.code, "%s", t->off.text);
    } else if (full) {
        s->refused_busy++;
        status = err_set(err, ERR_BUSY, "the training queue is full: %llu samples wait; try again in a moment",
                         (unsigned long long)s->queued_samples);
    } else if (reads && !command->goes_on && s->queued_reads >= READS_MAX) {
        s->refused_busy++;
        status = err_set(err, ERR_BUSY, "%u requests wait to read from the log, the limit: try again in a moment",
                         READS_MAX);
    } else if (reads) {
        s->queued_reads++;
        append_read(t, command);
    } else {
        s->queued_commands++;
        s->queued_samples += n;
        s->queued_bytes += command->bytes;
        *t->last = command;
        t->last = &command->next;
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (status == 0) /* not before: who wakes would wait for the lock */
        (void)pthread_cond_signal(&t->wake);
    return status;
}

struct trainer_stats trainer_stats(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    struct trainer_stats stats = t->stats;
    (void)pthread_mutex_unlock(&t->lock);
    return stats;
}
