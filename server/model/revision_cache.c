/* revision_cache.c - see model/revision_cache.h. The table of states is guarded by a lock that is held for a few instructions; the replay is the trainer's
 * thread's alone. */
#include "server/model/revision_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/common/clock.h"
#include "store/replay/replayer.h"

#define STEP_SAMPLES_FIRST 64u

struct cached_slot {
    struct learner *learner;
    uint64_t revision, used; /* used: when it was asked for last */
    size_t bytes;
    unsigned holders;
    bool listed; /* in the table; else it goes with its last holder */
};

struct revision_cache {
    pthread_mutex_t lock; /* guards what follows */
    struct cached_slot *table[REVISION_CACHE_STATES];
    unsigned n;
    size_t bytes;
    uint64_t clock;

    /* the trainer's thread's own */
    struct store_replayer *replayer; /* NULL: none is at work */
    uint64_t revision;               /* its target */
    uint64_t step_samples;           /* how many to ask of a step */
    uint64_t failed;                 /* revision whose replay came to nothing; 0: none */
    struct err why;
};

struct revision_cache *revision_cache_create(struct err *err)
{
    struct revision_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_memory(err, "past states");
        return NULL;
    }
    (void)pthread_mutex_init(&cache->lock, NULL);
    cache->step_samples = STEP_SAMPLES_FIRST;
    return cache;
}

/* ---- the table: with the lock held ---- */

static void slot_free(struct cached_slot *slot)
{
    learner_free(slot->learner);
    free(slot);
}

static void unlist(struct revision_cache *cache, unsigned i)
{
    struct cached_slot *slot = cache->table[i];
    cache->table[i] = cache->table[--cache->n];
    cache->bytes -= slot->bytes;
    slot->listed = false;
    if (slot->holders == 0)
        slot_free(slot);
}

static struct cached_slot *find(struct revision_cache *cache, uint64_t revision)
{
    for (unsigned i = 0; i < cache->n; i++)
        if (cache->table[i]->revision == revision)
            return cache->table[i];
    return NULL;
}

static void make_room(struct revision_cache *cache, size_t n_bytes)
{
    while (cache->n == REVISION_CACHE_STATES || (cache->n > 0 && cache->bytes + n_bytes > REVISION_CACHE_BYTES)) {
        unsigned oldest = 0;
        for (unsigned i = 1; i < cache->n; i++)
            if (cache->table[i]->used < cache->table[oldest]->used)
                oldest = i;
        unlist(cache, oldest);
    }
}

/* Takes the state over. Errors: ERR_MEMORY; it is freed then as well. */
static int keep(struct revision_cache *cache, uint64_t revision, struct learner *state, struct err *err)
{
    const size_t n_bytes = net_floats(&state->shape, state->capacity) * sizeof(float) +
                           (size_t)state->capacity * state->capacity * sizeof(uint32_t);
    struct cached_slot *slot = calloc(1, sizeof *slot);
    struct learner *copy =
        learner_dup(state, false, err); /* without workspace and replay buffer: a tenth of the memory */
    learner_free(state);
    if (slot == NULL || copy == NULL) {
        learner_free(copy);
        free(slot);
        return err_memory(err, "a past state");
    }
    (void)pthread_mutex_lock(&cache->lock);
    make_room(cache, n_bytes);
    *slot = (struct cached_slot){
        .learner = copy, .revision = revision, .used = ++cache->clock, .bytes = n_bytes, .listed = true};
    cache->table[cache->n++] = slot;
    cache->bytes += n_bytes;
    (void)pthread_mutex_unlock(&cache->lock);
    return 0;
}

/* ---- any thread ---- */

bool revision_cache_acquire(struct revision_cache *cache, uint64_t revision, struct cached_state *out)
{
    (void)pthread_mutex_lock(&cache->lock);
    struct cached_slot *slot = find(cache, revision);
    if (slot != NULL) {
        slot->holders++;
        slot->used = ++cache->clock;
        *out = (struct cached_state){slot->learner, slot};
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return slot != NULL;
}

void revision_cache_release(struct revision_cache *cache, struct cached_state *state)
{
    struct cached_slot *slot = state->private_;
    if (slot == NULL)
        return;
    (void)pthread_mutex_lock(&cache->lock);
    assert(slot->holders > 0);
    if (--slot->holders == 0 && !slot->listed)
        slot_free(slot);
    (void)pthread_mutex_unlock(&cache->lock);
    *state = (struct cached_state){0};
}

/* ---- the trainer's thread ---- */

static void end_replay(struct revision_cache *cache)
{
    store_replayer_close(cache->replayer);
    cache->replayer = NULL;
}

int revision_cache_want(struct revision_cache *cache, struct store *store, uint64_t revision, struct err *err)
{
    (void)pthread_mutex_lock(&cache->lock);
    struct cached_slot *slot = find(cache, revision);
    if (slot != NULL)
        slot->used = ++cache->clock; /* whoever wants it is about to acquire it */
    (void)pthread_mutex_unlock(&cache->lock);
    if (slot != NULL)
        return 0;
    if (cache->failed == revision) {
        cache->failed = 0;
        *err = cache->why;
        return -1;
    }
    if (cache->replayer == NULL) {
        const struct replay_want want = {.target = revision};
        if (store_replayer_open(&cache->replayer, store, &want, err) != 0)
            return -1;
        cache->revision = revision;
    }
    return 1;
}

bool revision_cache_active(const struct revision_cache *cache, uint64_t *revision)
{
    if (revision != NULL)
        *revision = cache->revision;
    return cache->replayer != NULL;
}

static void fail(struct revision_cache *cache)
{
    cache->failed = cache->revision; /* told to who asks next, who may try again after that */
    end_replay(cache);
}

void revision_cache_work(struct revision_cache *cache, uint64_t us)
{
    const uint64_t begin = clock_us();
    uint64_t last = begin;
    int status = 1;
    while (status == 1 && last - begin < us) {
        status = store_replayer_step(cache->replayer, cache->step_samples, &cache->why);
        const uint64_t now = clock_us(), took = now - last;
        /* so many that four steps make up the time */
        if (took < us / 8 && cache->step_samples < 65536)
            cache->step_samples *= 2;
        else if (took > us / 2 && cache->step_samples > 1)
            cache->step_samples /= 2;
        last = now;
    }
    if (status < 0) {
        fail(cache);
    } else if (status == 0) {
        if (keep(cache, cache->revision, store_replayer_take(cache->replayer), &cache->why) != 0)
            fail(cache);
        else
            end_replay(cache);
    }
}

void revision_cache_forget(struct revision_cache *cache)
{
    end_replay(cache);
    cache->failed = 0;
    (void)pthread_mutex_lock(&cache->lock);
    while (cache->n > 0)
        unlist(cache, cache->n - 1);
    (void)pthread_mutex_unlock(&cache->lock);
}

void revision_cache_free(struct revision_cache *cache)
{
    if (cache == NULL)
        return;
    revision_cache_forget(cache);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}
