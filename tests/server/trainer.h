/* trainer/trainer.h - what the tests of the trainer share: a small model in a folder of its own, its trainer, and jobs that can be waited for.
 *
 * Each test runs in a process of its own (libcheck forks), so a failed one leaves nothing behind but its folder; under a sanitizer
 * all of a program in one (make/tests.mk).
 */
#ifndef CONVD_TESTS_SERVER_TRAINER_H
#define CONVD_TESTS_SERVER_TRAINER_H

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/model/model.h"
#include "server/trainer/trainer.h"

#define UNUSED __attribute__((unused))

#define SIDE        8u
#define N_INPUT     (SIDE * SIDE)
#define JOB_SAMPLES 64u /* most in one job */

/* ---- the model ---- */

static char folder[64], path[96];

UNUSED static void folder_make(const char *base)
{
    (void)snprintf(folder, sizeof folder, "%s/convd-trainer-XXXXXX", base);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/m.db", folder);
}

UNUSED static void setup(void)
{
    folder_make("/tmp");
}

UNUSED static void remove_model(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        char name[112];
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

UNUSED static void teardown(void)
{
    remove_model();
    (void)rmdir(folder);
}

UNUSED static struct event create_event(uint32_t hidden)
{
    static const char labels[3][LABEL_BYTES_MAX + 1] = {"a", "b", "c"};
    struct event create = {.kind = EVENT_CREATE, .revision = 1, .created_us = 1};
    create.as.create.shape = shape_default();
    create.as.create.shape.width = create.as.create.shape.height = SIDE;
    create.as.create.shape.kernels = 4;
    create.as.create.shape.kernel_width = create.as.create.shape.kernel_height = 3;
    create.as.create.shape.hidden = hidden;
    create.as.create.settings = settings_default();
    create.as.create.settings.rehearsal_buffer = 10; /* of each class: 160 KiB */
    create.as.create.n_classes = 3;
    create.as.create.labels = labels;
    return create;
}

/* ---- its trainer ---- */

UNUSED static struct trainer *start_new(uint32_t hidden, const struct trainer_config *config)
{
    struct err err;
    struct event create = create_event(hidden);
    struct store *store = NULL;
    struct learner *learner = learner_create(&create, NULL, 0, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    ck_assert_msg(store_create(&store, path, &create, learner, &err) == 0, "%s", err.text);
    struct trainer *trainer = trainer_create(store, learner, config, &err);
    ck_assert_msg(trainer != NULL, "%s", err.text);
    return trainer;
}

/* Of the published state. */
UNUSED static void digest_of(struct trainer *trainer, uint8_t digest[DIGEST_BYTES])
{
    struct revision *held = model_acquire(trainer_model(trainer));
    model_digest(held, digest);
    model_release(trainer_model(trainer), held);
}

/* The log leads to a state with that digest. */
UNUSED static struct store_verdict leads_to(const uint8_t digest[DIGEST_BYTES])
{
    struct err err;
    struct store *store = NULL;
    struct store_verdict verdict;
    ck_assert_msg(store_open(&store, path, true, &err) == 0, "%s", err.text);
    ck_assert_msg(store_verify(store, NULL, NULL, NULL, &verdict, &err) == 0, "%s", err.text);
    ck_assert_mem_eq(verdict.digest, digest, DIGEST_BYTES);
    store_close(store);
    return verdict;
}

/* ---- jobs ---- */

struct wait {
    struct command command;
    struct sample samples[JOB_SAMPLES];
    struct label names[3]; /* that the samples have: the model's first classes */
    struct labels labels;
    uint8_t pixels[JOB_SAMPLES][N_INPUT];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
};

UNUSED static void on_done(struct command *command)
{
    struct wait *w = command->context;
    (void)pthread_mutex_lock(&w->lock);
    w->done = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

UNUSED static struct wait *wait_create(enum command_kind kind)
{
    struct wait *w = calloc(1, sizeof *w);
    ck_assert_ptr_nonnull(w);
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->wake, NULL);
    w->command.kind = kind;
    w->command.done = on_done;
    w->command.context = w;
    w->command.rehearse = rehearse_options_default();
    return w;
}

/* To train on n images, which are black and of class 0 so far. */
UNUSED static struct wait *wait_create_train(uint32_t n)
{
    struct wait *w = wait_create(COMMAND_TRAIN);
    ck_assert_uint_le(n, JOB_SAMPLES);
    for (uint32_t i = 0; i < n; i++)
        w->samples[i].pixels = w->pixels[i];
    for (uint32_t i = 0; i < 3; i++)
        w->names[i].text[0] = (char)('a' + i);
    w->labels = (struct labels){.list = w->names, .n = 3};
    w->command.labels = &w->labels;
    w->command.event.kind = EVENT_TRAIN;
    w->command.event.as.train.n = n;
    w->command.event.as.train.samples = w->samples;
    w->command.bytes = n * N_INPUT;
    return w;
}

/* Of that class, and to be seen. */
UNUSED static struct wait *train_create(uint32_t n, uint32_t label, unsigned pattern)
{
    struct wait *w = wait_create_train(n);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t p = 0; p < N_INPUT; p++)
            w->pixels[i][p] = (uint8_t)((p * (pattern + 3) + i * 7) & 255);
        w->samples[i].label = label;
    }
    return w;
}

/* All of them have that label, whether or not it is one of a class. */
UNUSED static struct wait *labelled_as(struct wait *w, const char *label)
{
    (void)snprintf(w->names[0].text, sizeof w->names[0].text, "%s", label);
    w->labels.n = 1;
    for (uint32_t i = 0; i < w->command.event.as.train.n; i++)
        w->samples[i].label = 0;
    return w;
}

UNUSED static void await(struct wait *w)
{
    (void)pthread_mutex_lock(&w->lock);
    while (!w->done)
        (void)pthread_cond_wait(&w->wake, &w->lock);
    (void)pthread_mutex_unlock(&w->lock);
}

UNUSED static void wait_free(struct wait *w)
{
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_cond_destroy(&w->wake);
    free(w->command.list);
    free(w);
}

/* Submits, waits, and gives the job back for a look. */
UNUSED static struct wait *run(struct trainer *trainer, struct wait *w)
{
    struct err err;
    ck_assert_msg(trainer_submit(trainer, &w->command, &err) == 0, "%s", err.text);
    await(w);
    return w;
}

/* ---- who looks ---- */

/* Readers look at held revisions while the trainer publishes: a revision never changes while it is held, and never goes back. */
struct reader {
    pthread_t thread;
    struct model *model;
    atomic_bool *stop;
    uint64_t seen;
};

UNUSED static void *reader_main(void *argument)
{
    struct reader *r = argument;
    uint64_t last = 0;
    do {
        struct revision *held = model_acquire(r->model);
        uint64_t revision = held->learner->revision;
        uint8_t one[DIGEST_BYTES], two[DIGEST_BYTES];
        learner_digest(held->learner, one);
        model_digest(held, two);
        if (revision < last || memcmp(one, two, DIGEST_BYTES) != 0 || revision != held->learner->revision)
            return argument; /* not NULL: failed */
        last = revision;
        r->seen++;
        model_release(r->model, held);
    } while (!atomic_load(r->stop));
    return NULL;
}

#endif
