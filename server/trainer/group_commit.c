/* group_commit.c - jobs that go into the log share one transaction: applied one by one to `work`, appended, committed once,
 * published once, then all completed. */
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/trainer/internal.h"

void trainer_group_init(struct trainer_group *g)
{
    *g = (struct trainer_group){0};
    g->last = &g->first;
}

int trainer_key_known(struct job *job, struct store *store, const char *key, struct err *err)
{
    struct store_key known;
    const int found = store_find_key(store, key, &known, err);
    if (found <= 0)
        return found;
    if (!store_key_is(&known, job->fingerprint)) {
        free(known.answer);
        return err_set(err, ERR_KEY_REUSED,
                       "this Idempotency-Key was used for another request; a new request needs a new key");
    }
    job->replayed_answer = known.answer;
    job->revision = known.revision;
    return 1;
}

static int group_put_key(struct trainer *t, const struct job *job, struct err *err)
{
    struct store_key key = {.revision = job->event.revision};
    memcpy(key.fingerprint, job->fingerprint, sizeof key.fingerprint);
    memcpy(key.key, job->key, strlen(job->key) + 1); /* trainer_submit() has measured it */
    key.answer = t->config.render_answer == NULL ? NULL : t->config.render_answer(job);
    if (key.answer == NULL)
        return err_set(err, ERR_MEMORY, "no memory for the answer");
    int status = store_put_key(t->store, &key, err);
    free(key.answer);
    return status;
}

/* Makes the event of a class or tune job from what the job asks for and what the state is now. */
static int job_prepare(struct trainer *t, struct job *job, struct err *err)
{
    struct event *event = &job->event;
    if (job->kind == JOB_CLASS) {
        event->kind = EVENT_CLASS;
        if (event->as.class_.action != CLASS_ADD)
            return 0;
        event->as.class_.index = t->work->n_classes;
        if (store_class_id(t->store, t->work->n_classes) >= SHAPE_CLASSES_MAX)
            return err_set(err, ERR_LIMIT, "a model has at most %u classes, removed ones included", SHAPE_CLASSES_MAX);
        return learner_reserve(t->work, t->work->n_classes + 1, err);
    }
    if (job->kind == JOB_TUNE) {
        event->kind = EVENT_TUNE;
        event->as.tune.settings = t->work->settings;
        bool given[SETTING_N] = {false};
        for (unsigned i = 0; i < job->tune.n; i++) {
            if (settings_set(&event->as.tune.settings, job->tune.which[i], job->tune.value[i], err) != 0)
                return -1;
            given[job->tune.which[i]] = true;
        }
        settings_given(&event->as.tune.settings, given);
    }
    return 0;
}

static void job_results(const struct trainer *t, struct job *job)
{
    job->revision = job->event.revision;
    job->step = t->work->step;
    if (job->kind != JOB_TRAIN)
        return;
    const uint32_t n = job->event.as.train.n;
    double loss = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        const struct sample *sample = &job->event.as.train.samples[i];
        job->correct += sample->predicted == sample->label;
        job->refused += sample->refused;
        loss += (double)sample->loss;
    }
    job->loss = n > 0 ? loss / n : 0.0;
}

/* Whatever is wrong with the job itself fails that job alone. */
static void group_apply(struct trainer *t, struct trainer_group *g, struct job *job)
{
    struct err err = {0};
    if (job->as_of != 0 && job->as_of < t->went_back) {
        err_set(
            &err, ERR_BUSY,
            "the model went back to an earlier state, or lost a class, while this waited, and has other classes now; "
            "nothing was taken: send it again");
        trainer_fail(job, &err);
        return;
    }
    if (job_prepare(t, job, &err) != 0) {
        trainer_fail(job, &err);
        return;
    }
    const uint64_t begin = clock_us();
    job->event.created_us = 0;
    store_next(t->store, &job->event);
    if (learner_apply(t->work, &job->event, &err) != 0) {
        trainer_fail(job, &err);
        return;
    }
    g->changed = true;
    g->apply_us += clock_us() - begin;
    g->samples += job->kind == JOB_TRAIN ? job->event.as.train.n : 0;
    job_results(t, job);
}

/* 0, or the store's error. */
static int group_append(struct trainer *t, struct job *job, struct err *err)
{
    if (store_append(t->store, &job->event, err) != 0)
        return -1;
    return job->key != NULL ? group_put_key(t, job, err) : 0;
}

static void group_open(struct trainer *t, struct trainer_group *g)
{
    g->failed = store_begin(t->store, &g->err) != 0;
    g->open = !g->failed;
}

/* In the open transaction: a key is looked up behind those of the same group. */
static int group_add_now(struct trainer *t, struct trainer_group *g, struct job *job, struct err *err)
{
    if (job->key != NULL) {
        const int known = trainer_key_known(job, t->store, job->key, err);
        if (known < 0 && err->code != ERR_KEY_REUSED)
            return -1;
        if (known < 0)
            trainer_fail(job, err);
        if (known != 0)
            return 0;
    }
    group_apply(t, g, job);
    return job->status == 0 ? group_append(t, job, err) : 0;
}

void trainer_group_add(struct trainer *t, struct trainer_group *g, struct job *job)
{
    *g->last = job;
    g->last = &job->next;
    job->next = NULL;
    if (!g->open && !g->failed)
        group_open(t, g);
    if (!g->failed)
        g->failed = group_add_now(t, g, job, &g->err) != 0;
}

static void group_commit(struct trainer *t, struct trainer_group *g)
{
    const uint64_t begin = clock_us();
    if (g->failed)
        store_rollback(t->store);
    else if (g->open && store_commit(t->store, &g->err) != 0)
        g->failed = true;
    g->commit_us = clock_us() - begin;
    if (g->failed)
        trainer_storage_error(t, &g->err);
}

/* What the group did, in its order; samples of the requests between two other events together. */
static void group_tell(const struct trainer *t, const struct trainer_group *g)
{
    struct note train = {.kind = NOTE_TRAIN};
    for (const struct job *job = g->first; job != NULL && t->config.note != NULL; job = job->next) {
        const struct event *event = &job->event;
        if (job->status != 0 || job->replayed_answer != NULL)
            continue;
        if (job->kind == JOB_TRAIN) {
            train.revision = job->revision;
            train.step = job->step;
            train.samples += event->as.train.n;
            train.correct += job->correct;
            train.loss_sum += job->loss * event->as.train.n;
        } else {
            if (train.samples > 0)
                trainer_tell(t, &train);
            train = (struct note){.kind = NOTE_TRAIN};
            trainer_tell(t, &(struct note){.kind = job->kind == JOB_CLASS ? NOTE_CLASS : NOTE_TUNE,
                                           .revision = job->revision,
                                           .event = event});
        }
    }
    if (train.samples > 0)
        trainer_tell(t, &train);
}

static void group_complete(struct trainer *t, struct trainer_group *g)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.rounds += g->open && !g->failed;
    t->stats.commit_us += g->commit_us;
    t->stats.apply_us += g->apply_us;
    t->stats.samples += g->failed ? 0 : g->samples;
    t->stats.rehearsed += g->failed ? 0 : g->rehearsed;
    (void)pthread_mutex_unlock(&t->lock);
    if (!g->failed) {
        group_tell(t, g);
        if (g->alarmed)
            trainer_tell_drift(t, &g->alarm);
    }
    for (struct job *job = g->first, *next; job != NULL; job = next) {
        next = job->next;
        if (g->failed && job->status == 0) {
            free(job->replayed_answer);
            job->replayed_answer = NULL;
            trainer_fail(job, &g->err);
        }
        trainer_queue_done(t, job);
    }
}

void trainer_group_finish(struct trainer *t, struct trainer_group *g)
{
    group_commit(t, g);
    if (g->changed && g->failed)
        trainer_restore(t);
    else if (g->changed)
        trainer_publish(t);
    if (!g->failed) {
        t->samples_since_snapshot += g->samples + g->rehearsed;
        g->alarmed = trainer_drift(t, &g->alarm);
    }
    group_complete(t, g);
    if (g->chunk)
        trainer_rehearsal_report(t, g);
    trainer_group_init(g);
}
