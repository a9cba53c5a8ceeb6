/* follow.c - a log that several machines share (store/shared.h): what others appended is copied into this node's file and applied, as soon as a
 * hint of it comes, and a few times a second without one. Whoever wants to append and finds that others were first follows, and tries again.
 *
 * What cannot be reached is tried again after a second; until then every command for the log is refused, and predictions go on. */
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define LOOK_US        200000    /* without a hint                                           */
#define RETRY_US       SECOND_US /* after the log could not be reached                       */
#define LISTEN_MS      1000u     /* of one wait for hints                                    */
#define MARK_REVISIONS 256u      /* a digest of every so many is compared among the nodes    */

/* ---- what was heard of the log ---- */

static void reached(struct trainer *t)
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
    return t->log_err.code != ERR_NONE && clock_us() < t->log_retry_us;
}

void trainer_log_error(struct trainer *t, const struct err *err)
{
    if (t->shared == NULL || (err->code != ERR_LOG && err->code != ERR_DIVERGED))
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

/* ---- digests that all nodes must have ---- */

void trainer_mark(struct trainer *t)
{
    if (t->shared == NULL || t->work->revision % MARK_REVISIONS != 0)
        return;
    if (t->n_marks == TRAINER_MARKS) /* the log has been away for long: what is newer says more */
        t->n_marks = 0;
    struct mark *mark = &t->marks[t->n_marks++];
    mark->revision = t->work->revision;
    learner_digest(t->work, mark->digest);
}

static int tell(struct trainer *t, struct err *err)
{
    for (; t->n_marks > 0; t->n_marks--)
        if (shared_mark(t->shared, t->marks[t->n_marks - 1].revision, t->marks[t->n_marks - 1].digest, err) != 0)
            return -1;
    return shared_tell(t->shared, t->work->revision, err);
}

/* ---- following ---- */

/* Samples of the events between two others together, as a group tells of its own. */
static void tell_trained(struct trainer *t, struct notice *train)
{
    if (train->samples > 0)
        trainer_notify(t, train);
    *train = (struct notice){.kind = NOTICE_TRAIN};
}

static void went_back(struct trainer *t, const struct event *event)
{
    t->went_back = event->as.activate.revision; /* the loop ends what long work there is */
    t->columns = event->revision;
    t->columns_left = t->work->n_classes;
    t->alarms = t->work->tally.drift.alarms;
    atomic_fetch_add(&t->rewrites, 1);
    trainer_notify(t, &(struct notice){.kind = NOTICE_ACTIVATE,
                                       .revision = event->revision,
                                       .target = event->as.activate.revision,
                                       .step = t->work->step});
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
        went_back(t, event);
    }
}

/* All that the file has and the fold has not. */
static void apply_copied(struct trainer *t)
{
    struct notice train = {.kind = NOTICE_TRAIN}, alarm;
    const struct event *event;
    struct err err;
    uint64_t n = 0;
    int status;
    while ((status = store_follow(t->store, t->work, &event, &err)) == 1) {
        trainer_mark(t);
        tell_event(t, &train, event);
        n++;
    }
    if (status < 0)
        trainer_cannot_apply(&err);
    trainer_publish(t);
    (void)pthread_mutex_lock(&t->lock);
    t->stats.log_followed += n;
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
    tell_trained(t, &train);
    if (trainer_drift(t, &alarm))
        trainer_notify_drift(t, &alarm);
}

int trainer_follow(struct trainer *t, struct err *err)
{
    int status;
    while ((status = shared_copy(t->shared, err)) == 1)
        apply_copied(t);
    if (status == 0)
        reached(t);
    return status;
}

int trainer_follow_held(struct trainer *t, struct err *err)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.log_late++;
    (void)pthread_mutex_unlock(&t->lock);
    if (shared_hold(t->shared, err) == 0 && trainer_follow(t, err) == 0)
        return 0;
    t->journal->rollback(t->journal);
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
    if (status == 0 && (t->n_marks == TRAINER_MARKS || now - t->told_us >= SECOND_US)) {
        t->told_us = now;
        status = tell(t, &err);
    }
    if (status != 0) {
        trainer_log_error(t, &err);
        trainer_storage_error(t, &err);
    }
}

/* ---- hints ---- */

static void *listen_thread(void *trainer)
{
    struct trainer *t = trainer;
    struct postgres_listener *listener = NULL;
    uint64_t stop = 0;
    while (read(t->listen_fd, &stop, sizeof stop) != (ssize_t)sizeof stop) {
        int hint = -1;
        if (listener != NULL || postgres_listener_open(&listener, t->config.log, NULL) == 0)
            hint = postgres_listen(listener, LISTEN_MS, t->listen_fd, NULL);
        if (hint < 0) {
            postgres_listener_close(listener);
            listener = NULL;
            (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        }
        if (hint == 1)
            trainer_queue_hint(t);
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
