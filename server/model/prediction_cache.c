/* prediction_cache.c - see model/prediction_cache.h. A ring of entries, oldest first, which is also the order of their ids. */
#include "server/model/prediction_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "store/store.h"

struct entry {
    struct cached_prediction prediction;
    int64_t expires_ms; /* monotonic */
    size_t n_bytes;
    uint8_t pixels[];
};

struct prediction_cache {
    uint32_t number;
    int64_t keep_ms;
    pthread_mutex_t lock; /* guards what follows */
    struct entry **ring;  /* [size], at most number; grown as needed */
    size_t size, first, n, bytes;
    int64_t last_id;
    uint64_t columns; /* of all of them */
};

struct prediction_cache *prediction_cache_create(uint32_t number, unsigned seconds, struct err *err)
{
    struct prediction_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_memory(err, "predictions");
        return NULL;
    }
    cache->number = number;
    cache->keep_ms = (int64_t)seconds * 1000;
    (void)pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

/* ---- the ring; all with the lock held ---- */

static struct entry **at(const struct prediction_cache *cache, size_t i)
{
    assert(cache->size > 0); /* there is an entry, or room for one */
    return &cache->ring[(cache->first + i) % cache->size];
}

static void drop_first(struct prediction_cache *cache)
{
    struct entry **oldest = at(cache, 0);
    cache->bytes -= (*oldest)->n_bytes;
    free(*oldest);
    *oldest = NULL;
    cache->first = (cache->first + 1) % cache->size;
    cache->n--;
}

static void expire(struct prediction_cache *cache)
{
    const int64_t now = now_ms();
    while (cache->n > 0 && (*at(cache, 0))->expires_ms <= now)
        drop_first(cache);
}

/* Whether what is kept is of those columns; what is of earlier ones goes. */
static bool is_of(struct prediction_cache *cache, uint64_t columns)
{
    while (cache->n > 0 && columns > cache->columns)
        drop_first(cache);
    cache->columns = columns > cache->columns ? columns : cache->columns;
    return columns == cache->columns;
}

/* The place of the first whose id is not below; n where there is none. */
static size_t place_of(const struct prediction_cache *cache, int64_t id)
{
    size_t low = 0, high = cache->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((*at(cache, middle))->prediction.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *find(struct prediction_cache *cache, int64_t id)
{
    expire(cache);
    const size_t place = place_of(cache, id);
    return place < cache->n && (*at(cache, place))->prediction.id == id ? *at(cache, place) : NULL;
}

static bool grow_ring(struct prediction_cache *cache)
{
    size_t size = cache->size == 0 ? 16 : 2 * cache->size;
    size = size < cache->number ? size : cache->number;
    struct entry **ring = calloc(size, sizeof(struct entry *));
    if (ring == NULL)
        return false;
    for (size_t i = 0; i < cache->n; i++)
        ring[i] = *at(cache, i);
    free(cache->ring);
    cache->ring = ring;
    cache->size = size;
    cache->first = 0;
    return true;
}

static bool make_room(struct prediction_cache *cache, size_t n_bytes)
{
    expire(cache);
    while (cache->n > 0 && (cache->n == cache->number || cache->bytes + n_bytes > PREDICTION_CACHE_BYTES))
        drop_first(cache);
    return cache->n < cache->size || grow_ring(cache);
}

/* ---- */

void prediction_cache_free(struct prediction_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->n > 0)
        drop_first(cache);
    free(cache->ring);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* The most probable classes, by insertion: the lower index first where two are equal, as net_argmax() has it. */
static void take_top(struct cached_prediction *prediction, const float *l2, uint32_t n)
{
    for (uint32_t c = 0; c < n; c++) {
        uint32_t place = prediction->n_top;
        while (place > 0 && l2[c] > prediction->probability[place - 1])
            place--;
        if (place == PREDICTION_CACHE_TOP)
            continue;
        const uint32_t last = prediction->n_top < PREDICTION_CACHE_TOP ? prediction->n_top++ : PREDICTION_CACHE_TOP - 1;
        for (uint32_t i = last; i > place; i--) {
            prediction->top[i] = prediction->top[i - 1];
            prediction->probability[i] = prediction->probability[i - 1];
        }
        prediction->top[place] = c;
        prediction->probability[place] = l2[c];
    }
}

int64_t prediction_cache_add(struct prediction_cache *cache, const struct learner *learner, uint64_t columns,
                             const uint8_t *pixels, const float *l2, double confidence, struct err *err)
{
    const size_t n_input = learner->shape.n_input, n_bytes = sizeof(struct entry) + n_input;
    if (cache->number == 0)
        return err_set(err, ERR_LIMIT, "convd remembers no predictions: --remember is 0");
    struct entry *entry = malloc(n_bytes);
    if (entry == NULL)
        return err_memory(err, "another prediction");
    *entry = (struct entry){
        .prediction = {.revision = learner->revision, .step = learner->step, .confidence = confidence, .label = -1},
        .expires_ms = now_ms() + cache->keep_ms,
        .n_bytes = n_bytes};
    memcpy(entry->pixels, pixels, n_input);
    take_top(&entry->prediction, l2, learner->n_classes);

    int64_t id = store_now_us();
    (void)pthread_mutex_lock(&cache->lock);
    if (!is_of(cache, columns)) {
        (void)pthread_mutex_unlock(&cache->lock);
        free(entry);
        return err_set(err, ERR_BUSY, "a class was removed while this was predicted: send it again");
    }
    const bool room = make_room(cache, n_bytes);
    if (room) {
        id = id > cache->last_id ? id : cache->last_id + 1;
        cache->last_id = entry->prediction.id = id;
        *at(cache, cache->n) = entry;
        cache->n++;
        cache->bytes += n_bytes;
    }
    (void)pthread_mutex_unlock(&cache->lock);
    if (room)
        return id; /* cppcheck-suppress memleak ; the cache has it */
    free(entry);
    return err_memory(err, "another prediction");
}

/* ---- looking ---- */

/* By what the network said: of confidence, which never falls with it, two are sooner equal. */
static int by_confidence(const void *a, const void *b)
{
    const struct cached_prediction *x = a, *y = b;
    if (x->probability[0] != y->probability[0])
        return x->probability[0] < y->probability[0] ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

long prediction_cache_list(struct prediction_cache *cache, uint64_t columns, enum prediction_cache_order order,
                           struct cached_prediction *out, size_t room, size_t *all, struct err *err)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&cache->lock);
    expire(cache);
    *all = is_of(cache, columns) ? cache->n : 0;
    if (order == PREDICTION_CACHE_NEWEST) {
        for (; n < *all && n < room; n++)
            out[n] = (*at(cache, cache->n - 1 - n))->prediction;
        (void)pthread_mutex_unlock(&cache->lock);
        return (long)n;
    }
    struct cached_prediction *copies = calloc(*all + 1, sizeof *copies);
    for (size_t i = 0; copies != NULL && i < *all; i++)
        if ((*at(cache, i))->prediction.label < 0)
            copies[n++] = (*at(cache, i))->prediction;
    (void)pthread_mutex_unlock(&cache->lock);
    if (copies == NULL)
        return err_memory(err, "a list of predictions");
    qsort(copies, n, sizeof *copies, by_confidence);
    n = n < room ? n : room;
    memcpy(out, copies, n * sizeof *out);
    free(copies);
    return (long)n;
}

int prediction_cache_find(struct prediction_cache *cache, uint64_t columns, int64_t id, struct cached_prediction *out,
                          uint8_t *pixels)
{
    (void)pthread_mutex_lock(&cache->lock);
    const struct entry *entry = is_of(cache, columns) ? find(cache, id) : NULL;
    if (entry != NULL)
        *out = entry->prediction;
    if (entry != NULL && pixels != NULL)
        memcpy(pixels, entry->pixels, entry->n_bytes - sizeof *entry);
    (void)pthread_mutex_unlock(&cache->lock);
    return entry != NULL;
}

/* ---- changing ---- */

void prediction_cache_label(struct prediction_cache *cache, int64_t id, uint32_t label)
{
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = find(cache, id);
    if (entry != NULL)
        entry->prediction.label = label;
    (void)pthread_mutex_unlock(&cache->lock);
}

int prediction_cache_drop(struct prediction_cache *cache, int64_t id)
{
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = find(cache, id);
    if (entry != NULL) {
        for (size_t i = place_of(cache, id); i + 1 < cache->n; i++)
            *at(cache, i) = *at(cache, i + 1);
        *at(cache, cache->n - 1) = NULL;
        cache->n--;
        cache->bytes -= entry->n_bytes;
        free(entry);
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return entry != NULL;
}

void prediction_cache_expire(struct prediction_cache *cache)
{
    (void)pthread_mutex_lock(&cache->lock);
    expire(cache);
    (void)pthread_mutex_unlock(&cache->lock);
}

size_t prediction_cache_count(struct prediction_cache *cache)
{
    (void)pthread_mutex_lock(&cache->lock);
    expire(cache);
    const size_t n = cache->n;
    (void)pthread_mutex_unlock(&cache->lock);
    return n;
}
