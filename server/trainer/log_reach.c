/* log_reach.c - a log that several machines share (store/shared.h), as this node reaches it: whether it can, what the other nodes are told, and hints
 * that there is something to follow.
 *
 * What cannot be reached is tried again after a second; until then every command for the log is refused, and predictions go on. */
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define RETRY_US       SECOND_US /* after the log could not be reached                       */
#define LISTEN_MS      1000u     /* of one wait for hints                                    */
#define MARK_REVISIONS 256u      /* a digest of every so many is compared among the nodes    */

/* ---- what was heard of the log ---- */

void trainer_log_reached(struct trainer *t)
{
    if (t->log_err.code != ERR_NONE)
        logger_line(LOG_LINE_NOTICE, "the shared log can be reached again, at revision %llu",
                    (unsigned long long)t->work->revision);
    t->log_err = (struct err){0};
    (void)pthread_mutex_lock(&t->lock);
    t->stats.log_reached_us = clock_us();
    t->stats.log_unreachable = false;
    (void)pthread_mutex_unlock(&t->lock);
}

bool trainer_log_away(const struct trainer *t)
{
    return trainer_log_halted(t) || (t->log_err.code != ERR_NONE && clock_us() < t->log_retry_us);
}

void trainer_log_error(struct trainer *t, const struct err *err)
{
    if (t->shared == NULL || (err->code != ERR_LOG && err->code != ERR_DIVERGED))
        return;
    if (trainer_log_halted(t))
        return;
    if (err->code == ERR_DIVERGED || t->log_err.code == ERR_DIVERGED) { /* the loop turns training off */
        t->log_err = t->log_err.code == ERR_DIVERGED ? t->log_err : *err;
        return;
    }
    if (trainer_log_away(t)) /* a command that was refused for that: nobody has tried again */
        return;
    if (t->log_err.code == ERR_NONE)
        logger_line(LOG_LINE_ERROR, "%s; predictions go on, training is refused until it can be reached", err->text);
    t->log_err = *err;
    t->log_retry_us = clock_us() + RETRY_US;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.log_unreachable = true;
    (void)pthread_mutex_unlock(&t->lock);
}

void trainer_log_halt(struct trainer *t)
{
    err_set(&t->log_err, ERR_STOPPING, "convd is stopping");
}

bool trainer_log_halted(const struct trainer *t)
{
    return t->log_err.code == ERR_STOPPING;
}

/* ---- what the others are told ---- */

void trainer_mark(struct trainer *t)
{
    if (t->shared == NULL || t->work->revision % MARK_REVISIONS != 0 ||
        store_edit_touches(t->store, t->work->revision)) /* there the others have said what it was */
        return;
    if (t->n_marks == TRAINER_MARKS) /* the log has been away for long: what is newer says more */
        t->n_marks = 0;
    struct mark *mark = &t->marks[t->n_marks++];
    mark->revision = t->work->revision;
    learner_digest(t->work, mark->digest);
}

bool trainer_edits_done(const struct trainer *t)
{
    return !t->edit_at_work && !rebuild_active(&t->rebuild) && !t->wal_holds;
}

void trainer_mark_wrong(struct trainer *t, const struct mark *mark)
{
    t->wrong = *mark;
    t->mend_due = true;
}

const struct mark *trainer_same(const struct trainer *t)
{
    return t->told.revision == 0 || store_edit_touches(t->store, t->told.revision) ? NULL : &t->told;
}

/* An edit may have come since. */
static int told_stands(struct trainer *t, struct err *err)
{
    if (trainer_same(t) == NULL || shared_mark_stands(t->shared, t->told.revision, t->told.digest, err) == 0)
        return 0;
    if (err->code == ERR_DIVERGED)
        trainer_mark_wrong(t, &t->told);
    return -1;
}

static int tell_marks(struct trainer *t, struct err *err)
{
    struct mark newest = t->told;
    for (; t->n_marks > 0; t->n_marks--) {
        const struct mark *mark = &t->marks[t->n_marks - 1];
        if (shared_mark(t->shared, mark->revision, mark->digest, err) != 0) {
            if (err->code == ERR_DIVERGED)
                trainer_mark_wrong(t, mark);
            return -1;
        }
        newest = mark->revision > newest.revision ? *mark : newest;
    }
    t->told = newest;
    return told_stands(t, err);
}

static int tell(struct trainer *t, struct err *err)
{
    struct log_node self = {.revision = trainer_edits_done(t) ? t->work->revision : t->edit_place,
                            .diverged = t->off.code == ERR_DIVERGED};
    const struct mark *same = trainer_same(t), *mark = self.diverged && t->wrong.revision != 0 ? &t->wrong : same;
    if (mark != NULL) {
        self.compared = mark->revision;
        memcpy(self.digest, mark->digest, DIGEST_BYTES);
    }
    (void)pthread_mutex_lock(&t->lock);
    t->stats.log_compared = same != NULL ? same->revision : 0;
    (void)pthread_mutex_unlock(&t->lock);
    struct log_server server;
    if (shared_tell(t->shared, &self, err) != 0 || shared_server(t->shared, &server, err) != 0)
        return -1;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.log_standby = server.standby;
    t->stats.log_standbys = server.standbys;
    t->stats.log_standbys_sync = server.standbys_sync;
    (void)pthread_mutex_unlock(&t->lock);
    return 0;
}

int trainer_tell(struct trainer *t, struct err *err)
{
    if (t->off.code == ERR_NONE && tell_marks(t, err) != 0)
        return -1;
    if (trainer_edits_done(t) && shared_clean(t->shared, err) != 0)
        return -1;
    return tell(t, err);
}

void trainer_tell_diverged(struct trainer *t)
{
    const uint64_t now = clock_us();
    struct err err;
    if (t->off.code != ERR_DIVERGED || t->told_diverged || now - t->told_us < SECOND_US)
        return;
    t->told_us = now;
    t->told_diverged = tell(t, &err) == 0 || err.code != ERR_LOG;
}

/* ---- hints ---- */

static void *listen_thread(void *trainer)
{
    struct trainer *t = trainer;
    struct postgres_listener *listener = NULL;
    uint64_t stop = 0;
    while (read(t->listen_fd, &stop, sizeof stop) != (ssize_t)sizeof stop) {
        uint64_t revision = 0;
        int hint = -1;
        if (listener != NULL || postgres_listener_open(&listener, t->config.log, NULL) == 0)
            hint = postgres_listen(listener, LISTEN_MS, t->listen_fd, &revision, NULL);
        if (hint < 0) {
            postgres_listener_close(listener);
            listener = NULL;
            (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        }
        if (hint == 1)
            trainer_queue_hint(t, revision);
    }
    postgres_listener_close(listener);
    return NULL;
}

int trainer_listen_start(struct trainer *t, struct err *err)
{
    if (t->shared == NULL)
        return 0;
    t->listen_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->listen_fd >= 0 && pthread_create(&t->listener, NULL, listen_thread, t) == 0)
        return 0;
    if (t->listen_fd >= 0)
        close(t->listen_fd);
    return err_set(err, ERR_MEMORY, "cannot start the thread that listens to the shared log");
}

void trainer_listen_stop(struct trainer *t)
{
    const uint64_t one = 1;
    if (t->shared == NULL)
        return;
    (void)!write(t->listen_fd, &one, sizeof one);
    (void)pthread_join(t->listener, NULL);
    close(t->listen_fd);
}
