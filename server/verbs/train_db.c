/* train_db.c - convd train on a database: the commands that a daemon's requests make, given to a trainer in this process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/io.h"
#include "server/common/clock.h"
#include "server/verbs/train.h"

#define BATCH_US 200000 /* of training: what shares a commit or two, and what a wish to stop waits for */

static int refresh(struct target *t, struct err *err)
{
    struct remote *known = &t->remote;
    struct revision *revision = model_acquire(trainer_model(t->model.trainer));
    const struct learner *learner = revision->learner;
    const size_t n = learner->n_classes;
    void *labels = realloc(known->labels, (n + 1) * sizeof *known->labels);
    if (labels != NULL) {
        known->labels = labels;
        known->n_labels = n;
        memcpy(labels, learner->labels, n * sizeof *known->labels);
        known->shape = learner->shape;
        known->settings = learner->settings;
        known->settings.fit = learner_fit(learner);
        known->revision = learner->revision;
        known->step = learner->step;
    }
    model_release(trainer_model(t->model.trainer), revision);
    return labels != NULL ? 0 : err_memory(err, "%zu labels", n);
}

static int open_db(struct target *t, const char *url, const struct cli_args *args, struct err *err)
{
    (void)url;
    t->window = 1;
    return offline_open(&t->model, args, false, err) == 0 ? refresh(t, err) : -1;
}

/* The trainer's own lines would come in the middle of the progress. */
static void warn(struct target *t)
{
    struct revision *revision = model_acquire(trainer_model(t->model.trainer));
    const struct learner *learner = revision->learner;
    for (int i = 0; i < HEALTH_N; i++) {
        char text[HEALTH_TEXT_BYTES];
        if (!health_raised(&learner->health, (enum health_warning)i))
            continue;
        health_text(text, sizeof text, learner, (enum health_warning)i);
        cli_say(stderr, "convd: warning: %s\n", text);
    }
    model_release(trainer_model(t->model.trainer), revision);
}

static int close_db(struct target *t, struct err *err)
{
    const int status = t->model.trainer != NULL ? offline_stop(&t->model, err) : 0;
    offline_close(&t->model);
    remote_close(&t->remote);
    labels_fini(&t->labels);
    return status;
}

static int change(struct target *t, struct command *command, struct err *err)
{
    if (offline_do(&t->model, command, 1, err) != 0)
        return -1;
    t->training->revision = command->revision;
    return 0;
}

static int add_class(struct target *t, const char *label, struct err *err)
{
    struct command command = {.kind = COMMAND_CLASS, .event.as.class_.action = CLASS_ADD};
    memcpy(command.event.as.class_.label, label, strlen(label));
    return change(t, &command, err);
}

static int tune_rate(struct target *t, double rate, struct err *err)
{
    struct command command = {.kind = COMMAND_TUNE, .tune = {.n = 1, .which = {SETTING_RATE}, .value = {rate}}};
    return change(t, &command, err);
}

/* ---- the data set ---- */

/* Whole events, for about BATCH_US. */
static uint32_t batch_images(const struct target *t)
{
    struct revision *revision = model_acquire(trainer_model(t->model.trainer));
    const uint64_t steps = rehearse_steps_in(&(struct rehearse_plan){0}, revision->learner, BATCH_US);
    model_release(trainer_model(t->model.trainer), revision);
    return (uint32_t)((steps + t->images - 1) / t->images * t->images);
}

static int list_labels(struct target *t, struct err *err)
{
    uint32_t which;
    for (size_t i = t->labels.n; i < t->remote.n_labels; i++)
        if (labels_add(&t->labels, &which, t->remote.labels[i], strlen(t->remote.labels[i]), err) != 0)
            return -1;
    return 0;
}

/* As many at once, so that the trainer makes one group of them, as take about BATCH_US on this machine at this moment: it is measured, since
 * a wish to stop waits for them. Where groups end has no influence on the log. */
static int send_batch(struct target *t, const struct cli_batch *batch, struct err *err)
{
    const uint32_t n = (batch->n + t->images - 1) / t->images;
    struct command *commands = calloc(n, sizeof *commands);
    if (commands == NULL)
        return err_memory(err, "%u events", n);
    int status = list_labels(t, err);
    for (uint32_t i = 0; status == 0 && i < n; i++) {
        const uint32_t at = i * t->images, left = batch->n - at;
        commands[i] = (struct command){.kind = COMMAND_TRAIN,
                                       .event.kind = EVENT_TRAIN,
                                       .event.as.train.n = left < t->images ? left : t->images,
                                       .event.as.train.samples = &batch->samples[at],
                                       .labels = &t->labels};
    }
    for (uint32_t sent = 0, some; status == 0 && sent < n && !cli_stop(); sent += some) {
        const uint64_t begin = clock_us();
        some = t->window < n - sent ? t->window : n - sent;
        status = offline_do(&t->model, commands + sent, some, err);
        for (uint32_t i = sent; i < sent + some; i++)
            if (commands[i].status == 0)
                train_count(t->training, &commands[i].trained, commands[i].revision);
        const uint64_t us = clock_us() - begin;
        if (us > BATCH_US)
            t->window = (some + 1) / 2;
        else if (us < BATCH_US / 2 && some == t->window)
            t->window *= 2;
    }
    free(commands);
    return status;
}

/* ---- the later passes ---- */

static int rehearse(struct target *t, const struct rehearse_options *options, struct follow *job, struct err *err)
{
    struct command begin = {.kind = COMMAND_REHEARSE, .rehearse = *options};
    *job = (struct follow){.model = &t->model};
    return follow_do(job, &begin, err);
}

static int cancel(struct target *t, struct follow *job, struct err *err)
{
    struct command end = {.kind = COMMAND_CANCEL, .job_id = (int64_t)job->id};
    (void)t;
    const int status = follow_do(job, &end, err);
    return status != 0 && err->code == ERR_CONFLICT ? follow_look(job, err) : status; /* it has ended by itself */
}

const struct train_way train_way_db = {.open = open_db,
                                       .close = close_db,
                                       .refresh = refresh,
                                       .add_class = add_class,
                                       .tune_rate = tune_rate,
                                       .batch = batch_images,
                                       .send = send_batch,
                                       .rehearse = rehearse,
                                       .cancel = cancel,
                                       .warn = warn};
