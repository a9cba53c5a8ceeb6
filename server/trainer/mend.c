/* mend.c - a node that has another state than the others of a shared log. Its file has the log, each link of which is checked, so what is wrong is what
 * was made of it: weights in memory, snapshots, outcomes. All of that is made anew from the first event, while predictions go on by the model of before
 * and training is off; then the digest is compared again.
 *
 * Who told its digest first may be the one that is wrong. So a node that has made its state anew and still has another writes its own over it: the
 * other finds that what it told stands no more, and makes its own anew. A node does it once; who finds another digest after that stays off: one
 * of the two machines, or programs, does not compute what the other does, which no rebuilding mends. */
#include <string.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

/* Between two events. What only reads finds the log as it is, and the state of before. */
static int pause(struct trainer *t)
{
    trainer_run_reads(t);
    return trainer_edit_pause(t);
}

/* Now and then a snapshot, so that ways back, and a start after a stop, need not begin at the first event; outcomes go with it. */
static int keep(struct trainer *t, const struct learner *state, uint64_t *samples, struct err *err)
{
    const uint64_t every = t->config.snapshot_samples > 0 ? t->config.snapshot_samples : ROUND_SAMPLES;
    if (*samples < every)
        return 0;
    *samples = 0;
    return store_snapshot(t->store, state, "interval", "", false, NULL, err) == 0
               ? store_snapshots_prune(t->store, t->config.keep_snapshots, err)
               : -1;
}

/* From the first event to the file's end; *mark gets the digest of its revision. 1: convd is stopping. */
static int make_again(struct trainer *t, struct learner *state, struct mark *mark, struct err *err)
{
    const struct event *event;
    uint64_t samples = 0;
    int status;
    while ((status = store_follow(t->store, state, &event, err)) == 1) {
        samples += event->kind == EVENT_TRAIN ? event->as.train.n : 0;
        if (state->revision == mark->revision)
            learner_digest(state, mark->digest);
        if (keep(t, state, &samples, err) != 0)
            return -1;
        if (pause(t) != 0)
            return 1;
    }
    return status;
}

/* Whether the others have that digest by now, or this node may say that they should. */
static int compare(struct trainer *t, const struct mark *mark, struct err *err)
{
    if (store_edit_touches(t->store, mark->revision)) /* nobody has that state any more */
        return 0;
    if (shared_mark(t->shared, mark->revision, mark->digest, err) == 0)
        return 0;
    if (err->code != ERR_DIVERGED || t->mended)
        return -1;
    logger_line(LOG_LINE_ERROR,
                "made anew from the first event, revision %llu has the digest that this node had: it "
                "is told to the others, which make theirs anew",
                (unsigned long long)mark->revision);
    return shared_mark_better(t->shared, mark->revision, mark->digest, err);
}

static void turn_on(struct trainer *t, const struct mark *mark)
{
    logger_line(LOG_LINE_NOTICE, "mended: the model is made anew from the log, at revision %llu; training is on again",
                (unsigned long long)t->work->revision);
    t->log_err = (struct err){0};
    t->n_marks = 0;
    t->told = *mark;
    t->wrong.revision = 0;
    (void)pthread_mutex_lock(&t->lock);
    t->off = (struct err){0};
    t->stats.off = ERR_NONE;
    t->stats.log_mended++;
    (void)pthread_mutex_unlock(&t->lock);
}

static int mend(struct trainer *t, struct mark *mark, struct err *err)
{
    struct learner *state = NULL;
    /* Where it cannot be reached: who begins from one compares, too. */
    (void)shared_distrust(t->shared, mark->revision > t->told.revision ? t->told.revision + 1 : 1, err);
    int status = store_begin_again(&state, t->store, t->work->arith, err);
    if (status == 0) {
        workspace_share(state->ws, t->work->ws->team, t->work->ws->team_least);
        status = make_again(t, state, mark, err);
    }
    if (status == 0)
        status = learner_copy(t->work, state, err);
    learner_free(state);
    if (status != 0)
        return status;
    revision_cache_forget(t->revision_cache);
    trainer_publish(t);
    atomic_fetch_add(&t->rewrites, 1);
    t->alarms = t->work->tally.drift.alarms;
    if ((status = compare(t, mark, err)) == 0)
        turn_on(t, mark);
    t->mended = true;
    if (trainer_snapshot(t, "interval", "", false, NULL, err) != 0)
        return -1;
    return status;
}

void trainer_mend(struct trainer *t)
{
    struct mark mark = t->wrong;
    struct err err;
    if (!t->mend_due || t->off.code != ERR_DIVERGED)
        return;
    t->mend_due = false;
    logger_line(LOG_LINE_NOTICE, "the model is made anew from the first event of the log");
    if (mend(t, &mark, &err) >= 0)
        return;
    t->wrong = mark; /* as it is made anew */
    logger_line(LOG_LINE_ERROR, "not mended: %s; training stays off", err.text);
}
