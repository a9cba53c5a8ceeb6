/* group_commit.c - commands that go into the log share one transaction: checked and appended one by one, committed once, then applied to `work`,
 * published once, and all completed.
 *
 * What could make the fold refuse an event (a label of no class, say) is looked at before it is appended, and trainings change nothing of
 * that. Whatever does (classes, settings) is a group by itself, so each event is checked against the very state that it meets. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

void trainer_group_init(struct trainer_group *g)
{
    *g = (struct trainer_group){0};
    g->last = &g->first;
}

/* 1: that request was taken under its key, and its first answer is in the command; 0: the key is not known. Errors: ERR_KEY_REUSED, the store's. */
static int key_known(const struct trainer *t, struct command *command, struct err *err)
{
    struct store_key known;
    const int found = store_find_key(t->store, command->key, &known, err);
    if (found <= 0)
        return found;
    if (!store_key_is(&known, command->fingerprint)) {
        return err_set(err, ERR_KEY_REUSED,
                       "this Idempotency-Key was used for another request; a new request needs a new key");
    }
    command->known = true;
    command->revision = known.revision;
    return 1;
}

/* The columns of its samples' classes. */
static int train_prepare(const struct trainer *t, struct command *command, struct err *err)
{
    if (labels_find(command->labels, t->work, err) != 0)
        return -1;
    for (uint32_t i = 0; i < command->event.as.train.n; i++) {
        struct sample *sample = &command->event.as.train.samples[i];
        sample->label = command->labels->list[sample->label].column;
    }
    command->prepared = true;
    return 0;
}

/* Makes the event of what the command asks for and what the state is now. */
static int command_prepare(struct trainer *t, struct command *command, struct err *err)
{
    struct event *event = &command->event;
    if (command->kind == COMMAND_TRAIN)
        return train_prepare(t, command, err);
    if (command->kind == COMMAND_CLASS) {
        event->kind = EVENT_CLASS;
        if (event->as.class_.action == CLASS_RENAME)
            return label_find(&event->as.class_.index, command->from, t->work, err) == 0 ? 0 : err_at(err, "/from");
        event->as.class_.index = t->work->n_classes;
        if (store_class_id(t->store, t->work->n_classes) >= SHAPE_CLASSES_MAX)
            return err_set(err, ERR_LIMIT, "a model has at most %u classes, removed ones included", SHAPE_CLASSES_MAX);
        return learner_reserve(t->work, t->work->n_classes + 1, err);
    }
    if (command->kind == COMMAND_TUNE) {
        event->kind = EVENT_TUNE;
        event->as.tune.settings = t->work->settings;
        bool given[SETTING_N] = {false};
        for (unsigned i = 0; i < command->tune.n; i++) {
            if (settings_set(&event->as.tune.settings, command->tune.which[i], command->tune.value[i], err) != 0)
                return -1;
            given[command->tune.which[i]] = true;
        }
        settings_given(&event->as.tune.settings, &t->work->shape, given);
    }
    return 0;
}

static void command_results(struct command *command)
{
    const struct sample *samples = command->event.as.train.samples;
    const uint32_t n = command->event.as.train.n;
    double loss = 0.0;
    command->trained = (struct store_trained){.n = n};
    for (uint32_t i = 0; i < n; i++) {
        command->trained.correct += samples[i].predicted == samples[i].label;
        command->trained.refused += samples[i].refused;
        loss += (double)samples[i].loss;
    }
    if (n > 0) {
        command->trained.first_id = samples[0].id;
        command->trained.last_id = samples[n - 1].id;
        command->trained.step = samples[n - 1].step;
        command->trained.loss = loss / n;
    }
}

/* Whatever is wrong with the command itself. */
static int command_check(struct trainer *t, struct command *command, struct err *err)
{
    if (command->refusal.code != ERR_NONE) {
        *err = command->refusal;
        return -1;
    }
    if (command_prepare(t, command, err) != 0)
        return -1;
    command->event.created_us = 0;
    t->journal->next(t->journal, &command->event);
    return learner_check(t->work, &command->event, err);
}

/* 0, or the store's error. */
static int group_append(struct trainer *t, struct trainer_group *g, struct command *command, struct err *err)
{
    struct store_key key = {.revision = command->event.revision};
    memcpy(key.fingerprint, command->fingerprint, sizeof key.fingerprint);
    if (command->key != NULL)
        memcpy(key.key, command->key, strlen(command->key) + 1); /* trainer_submit() has measured it */
    if (t->journal->append(t->journal, &command->event, command->key != NULL ? &key : NULL, err) != 0)
        return -1;
    g->appended = true;
    if (command->kind == COMMAND_TRAIN) {
        g->samples += command->event.as.train.n;
        g->steps += command->event.as.train.n * (uint64_t)(1 + t->work->settings.rehearsal);
    }
    return 0;
}

void trainer_group_open(struct trainer *t, struct trainer_group *g)
{
    if (g->open || g->failed)
        return;
    if (t->off.code != ERR_NONE || trainer_log_away(t)) {
        g->failed = true;
        g->err = t->off.code != ERR_NONE ? t->off : t->log_err;
        return;
    }
    g->failed = t->journal->begin(t->journal, t->work->revision, &g->err) != 0;
    g->open = !g->failed;
}

/* In the open transaction: a key is looked up behind those of the same group. */
static int group_add_now(struct trainer *t, struct trainer_group *g, struct command *command, struct err *err)
{
    if (command->key != NULL) {
        const int known = key_known(t, command, err);
        if (known < 0 && err->code != ERR_KEY_REUSED)
            return -1;
        if (known < 0)
            trainer_fail(command, err);
        if (known != 0)
            return 0;
    }
    struct err why = {0};
    if (command_check(t, command, &why) == 0)
        return group_append(t, g, command, err);
    trainer_fail(command, &why);
    return 0;
}

void trainer_group_add(struct trainer *t, struct trainer_group *g, struct command *command)
{
    *g->last = command;
    g->last = &command->next;
    command->next = NULL;
    trainer_group_open(t, g);
    if (!g->failed)
        g->failed = group_add_now(t, g, command, &g->err) != 0;
}

void trainer_group_idle(struct trainer *t, struct trainer_group *g)
{
    if (!trainer_idle_next(t, &g->idle))
        return;
    trainer_group_open(t, g);
    if (g->failed)
        return;
    g->appended = true;
    t->journal->next(t->journal, &g->idle);
    g->failed = t->journal->append(t->journal, &g->idle, NULL, &g->err) != 0;
}

static void group_commit(struct trainer *t, struct trainer_group *g)
{
    const uint64_t begin = clock_us();
    if (g->failed)
        t->journal->rollback(t->journal);
    else if (g->open && t->journal->commit(t->journal, &g->err) != 0)
        g->failed = true;
    g->commit_us = clock_us() - begin;
    if (g->failed) {
        trainer_storage_error(t, &g->err);
        trainer_log_error(t, &g->err);
    }
}

/* What is durable is applied, in the log's order. */
static void group_apply(struct trainer *t, struct trainer_group *g)
{
    const uint64_t begin = clock_us();
    struct err err;
    for (struct command *command = g->first; command != NULL; command = command->next) {
        if (command->status != 0 || command->known)
            continue;
        if (learner_apply(t->work, &command->event, &err) != 0)
            trainer_cannot_apply(&err);
        store_outcomes(t->store, &command->event);
        trainer_mark(t);
        command->revision = command->event.revision;
        command->step = t->work->step;
        if (command->kind == COMMAND_TRAIN)
            command_results(command);
    }
    trainer_rehearsal_apply(t, g);
    if (g->idle.kind == EVENT_IDLE && learner_apply(t->work, &g->idle, &err) != 0)
        trainer_cannot_apply(&err);
    if (g->idle.kind == EVENT_IDLE)
        trainer_mark(t);
    g->apply_us = clock_us() - begin;
}

/* A retry is told what its event came to. */
static void response_known(struct trainer *t, struct command *command)
{
    struct err err;
    if (store_trained(t->store, command->revision, &command->trained, &err) != 0) {
        trainer_storage_error(t, &err);
        trainer_fail(command, &err);
    }
}

/* What the group did, in its order; samples of the requests between two other events together. */
static void group_notify(const struct trainer *t, const struct trainer_group *g)
{
    struct notice train = {.kind = NOTICE_TRAIN};
    for (const struct command *command = g->first; command != NULL && t->config.notify != NULL;
         command = command->next) {
        const struct event *event = &command->event;
        if (command->status != 0 || command->known)
            continue;
        if (command->kind == COMMAND_TRAIN) {
            train.revision = command->revision;
            train.step = command->step;
            train.samples += event->as.train.n;
            train.correct += command->trained.correct;
            train.loss_sum += command->trained.loss * event->as.train.n;
        } else {
            if (train.samples > 0)
                trainer_notify(t, &train);
            train = (struct notice){.kind = NOTICE_TRAIN};
            trainer_notify(t, &(struct notice){.kind = command->kind == COMMAND_CLASS ? NOTICE_CLASS : NOTICE_TUNE,
                                               .revision = command->revision,
                                               .event = event});
        }
    }
    if (train.samples > 0)
        trainer_notify(t, &train);
}

static void group_complete(struct trainer *t, struct trainer_group *g)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.rounds += g->open && !g->failed;
    t->stats.commit_us += g->commit_us;
    t->stats.apply_us += g->apply_us;
    t->stats.samples += g->failed ? 0 : g->samples;
    t->stats.rehearsed += g->failed ? 0 : g->rehearsed;
    t->stats.idle_steps += g->failed ? 0 : g->idle.as.idle.steps;
    (void)pthread_mutex_unlock(&t->lock);
    if (!g->failed) {
        group_notify(t, g);
        if (g->alarmed)
            trainer_notify_drift(t, &g->alarm);
    }
    for (struct command *command = g->first, *next; command != NULL; command = next) {
        next = command->next;
        if (g->failed && command->status == 0)
            trainer_fail(command, &g->err);
        if (command->status == 0 && command->known)
            response_known(t, command);
        trainer_queue_done(t, command);
    }
}

/* ---- others were first ---- */

/* The samples' labels are again what the request says, whatever columns they were found in. */
static void labels_back(struct command *command)
{
    const struct labels *labels = command->labels;
    for (uint32_t i = 0; command->kind == COMMAND_TRAIN && i < command->event.as.train.n; i++) {
        struct sample *sample = &command->event.as.train.samples[i];
        uint32_t which = 0;
        while (which < labels->n && labels->list[which].column != sample->label)
            which++;
        assert(which < labels->n);
        sample->label = which;
    }
}

static void free_parts(struct trainer_group *g)
{
    for (size_t i = 0; i < g->n_parts; i++)
        rehearse_pictures_free(&g->parts[i].pictures);
    free(g->parts);
}

/* What others have appended is followed, while the log is held, and each command is looked at anew: what it asks for may mean another thing
 * by now. */
static bool group_again(struct trainer *t, struct trainer_group *g)
{
    struct trainer_group old = *g;
    if (t->shared == NULL || !g->failed || g->err.code != ERR_BUSY)
        return false;
    if (trainer_follow_held(t, &g->err) != 0)
        return false;
    free_parts(&old);
    trainer_group_init(g);
    for (struct command *command = old.first, *next; command != NULL; command = next) {
        next = command->next;
        if (command->prepared)
            labels_back(command);
        command->prepared = command->known = false;
        command->status = 0;
        trainer_group_add(t, g, command);
    }
    if (old.chunk && t->rehearsing && t->went_back == 0) {
        t->plan = old.plan;
        trainer_rehearsal_chunk(t, g, old.chunk_us);
    }
    if (!g->open) /* it was idle steps alone: they come again when their turn does */
        t->journal->rollback(t->journal);
    return true;
}

void trainer_group_finish(struct trainer *t, struct trainer_group *g)
{
    do
        group_commit(t, g);
    while (group_again(t, g));
    if (g->appended && !g->failed) {
        group_apply(t, g);
        trainer_publish(t);
    }
    if (!g->failed) {
        t->samples_since_snapshot += g->samples + g->rehearsed + g->idle.as.idle.steps;
        trainer_idle_learned(t, g->samples);
        g->alarmed = trainer_drift(t, &g->alarm);
    }
    group_complete(t, g);
    if (g->idle.kind == EVENT_IDLE)
        trainer_idle_report(t, g);
    if (g->chunk)
        trainer_rehearsal_report(t, g);
    free_parts(g);
    trainer_group_init(g);
}
