/* trainer.c - see trainer/trainer.h: made, asked for its parts, stopped. trainer/trainer.h says where the rest is. */
#include "server/trainer/trainer.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/trainer/internal.h"

#define QUEUE_BYTES_DEFAULT (64ULL << 20) /* memory that waiting requests may hold */

struct trainer_config trainer_config_default(void)
{
    return (struct trainer_config){
        .queue_samples = 65536,
        .queue_bytes = QUEUE_BYTES_DEFAULT,
        .snapshot_samples = 20000,
        .snapshot_seconds = 300,
        .keep_snapshots = 8,
        .key_seconds = 24 * 3600,
        .retry_ms = REBUILD_RETRY_MS,
    };
}

/* Revision of the newest snapshot: so that a stop without changes takes none. */
static uint64_t newest_snapshot(struct store *store)
{
    struct store_snapshot *list = NULL;
    size_t n = 0;
    uint64_t revision = 0;
    if (store_snapshots(store, &list, &n, NULL) == 0 && n > 0)
        revision = list[n - 1].revision;
    free(list);
    return revision;
}

struct trainer *trainer_create(struct store *store, struct learner *learner, const struct trainer_config *config,
                               struct err *err)
{
    struct trainer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        err_memory(err, "the trainer");
        return NULL;
    }
    t->config = *config;
    t->last = &t->first;
    t->last_read = &t->first_read;
    if (config->training_off != NULL)
        err_set(&t->off, ERR_DB_CORRUPT, "training is off: %.280s", config->training_off);
    t->stats.off = t->off.code;
    t->model = model_create(learner, err);
    t->jobs = t->model != NULL ? jobs_create((int64_t)store_revision(store) + 1, err) : NULL;
    t->revision_cache = t->jobs != NULL ? revision_cache_create(err) : NULL;
    if (t->revision_cache == NULL) {
        jobs_free(t->jobs);
        model_free(t->model);
        free(t);
        return NULL;
    }
    t->store = store;
    t->shared = config->shared;
    t->journal = t->shared != NULL ? shared_journal(t->shared) : store_journal(store);
    t->stats.log_shared = t->shared != NULL;
    t->work = learner;
    t->columns_left = SHAPE_CLASSES_MAX;
    throttle_init(&t->throttle, t->model, config->threads);
    learner->yield = &t->throttle.yield;
    store_yield(store, &t->throttle.yield);
    t->rebuild.team = learner->ws->team;
    t->rebuild.retry_ms = config->retry_ms;
    t->rebuild.team_least = learner->ws->team_least;
    t->alarms = learner->tally.drift.alarms;
    store_keep_samples(store, config->keep_samples);
    t->compacting = config->training_off == NULL; /* what an earlier process has left of it */
    t->stats.baseline = store_baseline(store).revision;
    t->snapshot_revision = newest_snapshot(store);
    t->snapshot_clock_us = clock_us();
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    trainer_edit_take_up(t);
    if (trainer_listen_start(t, err) != 0)
        goto fail;
    int failed = pthread_create(&t->thread, NULL, trainer_thread, t);
    if (failed != 0) {
        err_set(err, ERR_MEMORY, "cannot start the trainer's thread: %s", strerror(failed));
        trainer_listen_stop(t);
        goto fail;
    }
    return t;
fail:
    learner->yield = NULL;
    store_yield(store, NULL);
    rebuild_fini(&t->rebuild);
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->lock);
    revision_cache_free(t->revision_cache);
    jobs_free(t->jobs);
    model_free(t->model);
    free(t);
    return NULL;
}

struct model *trainer_model(struct trainer *t)
{
    return t->model;
}

/* Of one line of /proc/self/task/TID/io: "rchar: 123". */
static uint64_t number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at != NULL ? strtoull(at + strlen(word), NULL, 10) : 0;
}

uint64_t trainer_moved(struct trainer *t)
{
    char path[64], text[512];
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/io", atomic_load(&t->tid));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return number_after(text, "rchar:") + number_after(text, "wchar:");
}

uint64_t trainer_rewrites(struct trainer *t)
{
    return atomic_load(&t->rewrites);
}

struct jobs *trainer_jobs(struct trainer *t)
{
    return t->jobs;
}

struct revision_cache *trainer_revision_cache(struct trainer *t)
{
    return t->revision_cache;
}

int trainer_stop(struct trainer *t, struct err *err)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stopping = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->thread, NULL);
    trainer_listen_stop(t);
    if (t->stop_status != 0 && err != NULL)
        *err = t->stop_err;
    return t->stop_status;
}

void trainer_free(struct trainer *t)
{
    if (t == NULL)
        return;
    assert(t->store == NULL && "trainer_stop() comes first");
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->lock);
    revision_cache_free(t->revision_cache);
    jobs_free(t->jobs);
    model_free(t->model);
    learner_free(t->work);
    free(t);
}
