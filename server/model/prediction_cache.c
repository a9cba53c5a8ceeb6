/* prediction_cache.c - see model/prediction_cache.h. A ring of entries, oldest first, which is also the order of their ids. */
#include "server/model/prediction_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "store/store.h"

struct entry {
    struct remembered told;
    int64_t expires_ms; /* monotonic */
    size_t n_bytes;
    uint8_t pixels[];
};

struct remember {
    uint32_t number;
    int64_t keep_ms;
    pthread_mutex_t lock; /* guards what follows */
    struct entry **ring;  /* [size], at most number; grown as needed */
    size_t size, first, n, bytes;
    int64_t last_id;
    _Atomic uint64_t columns; /* predictions of earlier revisions mean nothing any more */
};

struct remember *remember_create(uint32_t number, unsigned seconds, struct err *err)
{
    struct remember *r = calloc(1, sizeof *r);
    if (r == NULL) {
        err_set(err, ERR_MEMORY, "no memory for predictions");
        return NULL;
    }
    r->number = number;
    r->keep_ms = (int64_t)seconds * 1000;
    (void)pthread_mutex_init(&r->lock, NULL);
    return r;
}

/* ---- the ring; all with the lock held ---- */

static struct entry **at(const struct remember *r, size_t i)
{
    assert(r->size > 0); /* there is an entry, or room for one */
    return &r->ring[(r->first + i) % r->size];
}

static void drop_first(struct remember *r)
{
    struct entry **oldest = at(r, 0);
    r->bytes -= (*oldest)->n_bytes;
    free(*oldest);
    *oldest = NULL;
    r->first = (r->first + 1) % r->size;
    r->n--;
}

static void expire(struct remember *r)
{
    const int64_t now = now_ms();
    while (r->n > 0 && (*at(r, 0))->expires_ms <= now)
        drop_first(r);
}

/* The place of the first whose id is not below; n where there is none. */
static size_t place_of(const struct remember *r, int64_t id)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((*at(r, middle))->told.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *find(struct remember *r, int64_t id)
{
    expire(r);
    const size_t place = place_of(r, id);
    return place < r->n && (*at(r, place))->told.id == id ? *at(r, place) : NULL;
}

static bool grow(struct remember *r)
{
    size_t size = r->size == 0 ? 16 : 2 * r->size;
    size = size < r->number ? size : r->number;
    struct entry **ring = calloc(size, sizeof(struct entry *));
    if (ring == NULL)
        return false;
    for (size_t i = 0; i < r->n; i++)
        ring[i] = *at(r, i);
    free(r->ring);
    r->ring = ring;
    r->size = size;
    r->first = 0;
    return true;
}

static bool make_room(struct remember *r, size_t n_bytes)
{
    expire(r);
    while (r->n > 0 && (r->n == r->number || r->bytes + n_bytes > REMEMBER_BYTES))
        drop_first(r);
    return r->n < r->size || grow(r);
}

/* ---- */

void remember_free(struct remember *r)
{
    if (r == NULL)
        return;
    while (r->n > 0)
        drop_first(r);
    free(r->ring);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

/* The most probable classes, by insertion: the lower index first where two are equal, as net_argmax() has it. */
static void take_top(struct remembered *told, const float *l2, uint32_t n)
{
    for (uint32_t c = 0; c < n; c++) {
        uint32_t place = told->n_top;
        while (place > 0 && l2[c] > told->probability[place - 1])
            place--;
        if (place == REMEMBER_TOP)
            continue;
        const uint32_t last = told->n_top < REMEMBER_TOP ? told->n_top++ : REMEMBER_TOP - 1;
        for (uint32_t i = last; i > place; i--) {
            told->top[i] = told->top[i - 1];
            told->probability[i] = told->probability[i - 1];
        }
        told->top[place] = c;
        told->probability[place] = l2[c];
    }
}

void remember_columns(struct remember *r, uint64_t revision)
{
    if (revision <= atomic_load(&r->columns))
        return;
    (void)pthread_mutex_lock(&r->lock);
    atomic_store(&r->columns, revision);
    while (r->n > 0)
        drop_first(r);
    (void)pthread_mutex_unlock(&r->lock);
}

int64_t remember_add(struct remember *r, const struct learner *learner, const uint8_t *pixels, const float *l2,
                     struct err *err)
{
    const size_t n_input = learner->shape.n_input, n_bytes = sizeof(struct entry) + n_input;
    if (r->number == 0)
        return err_set(err, ERR_LIMIT, "this daemon remembers no predictions: --remember is 0");
    struct entry *entry = malloc(n_bytes);
    if (entry == NULL)
        return err_set(err, ERR_MEMORY, "no memory to remember a prediction");
    *entry = (struct entry){.told = {.revision = learner->revision, .step = learner->step, .label = -1},
                            .expires_ms = now_ms() + r->keep_ms,
                            .n_bytes = n_bytes};
    memcpy(entry->pixels, pixels, n_input);
    take_top(&entry->told, l2, learner->n_classes);

    int64_t id = store_now_us();
    (void)pthread_mutex_lock(&r->lock);
    if (learner->revision < atomic_load(&r->columns)) {
        (void)pthread_mutex_unlock(&r->lock);
        free(entry);
        return err_set(err, ERR_BUSY, "a class was removed while this was predicted: send it again");
    }
    const bool room = make_room(r, n_bytes);
    if (room) {
        id = id > r->last_id ? id : r->last_id + 1;
        r->last_id = entry->told.id = id;
        *at(r, r->n) = entry;
        r->n++;
        r->bytes += n_bytes;
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (room)
        return id;
    free(entry);
    return err_set(err, ERR_MEMORY, "no memory to remember a prediction");
}

/* ---- looking ---- */

static int by_confidence(const void *a, const void *b)
{
    const struct remembered *x = a, *y = b;
    if (x->probability[0] != y->probability[0])
        return x->probability[0] < y->probability[0] ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

long remember_list(struct remember *r, enum remember_order order, struct remembered *out, size_t room, size_t *all,
                   struct err *err)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&r->lock);
    expire(r);
    *all = r->n;
    if (order == REMEMBER_NEWEST) {
        for (; n < r->n && n < room; n++)
            out[n] = (*at(r, r->n - 1 - n))->told;
        (void)pthread_mutex_unlock(&r->lock);
        return (long)n;
    }
    struct remembered *copies = calloc(r->n + 1, sizeof *copies);
    for (size_t i = 0; copies != NULL && i < r->n; i++)
        if ((*at(r, i))->told.label < 0)
            copies[n++] = (*at(r, i))->told;
    (void)pthread_mutex_unlock(&r->lock);
    if (copies == NULL)
        return err_set(err, ERR_MEMORY, "no memory for a list of predictions");
    qsort(copies, n, sizeof *copies, by_confidence);
    n = n < room ? n : room;
    memcpy(out, copies, n * sizeof *out);
    free(copies);
    return (long)n;
}

int remember_find(struct remember *r, int64_t id, struct remembered *out)
{
    (void)pthread_mutex_lock(&r->lock);
    const struct entry *entry = find(r, id);
    if (entry != NULL)
        *out = entry->told;
    (void)pthread_mutex_unlock(&r->lock);
    return entry != NULL;
}

int remember_image(struct remember *r, int64_t id, uint8_t *pixels, size_t n_input)
{
    (void)pthread_mutex_lock(&r->lock);
    const struct entry *entry = find(r, id);
    if (entry != NULL)
        memcpy(pixels, entry->pixels, n_input);
    (void)pthread_mutex_unlock(&r->lock);
    return entry != NULL;
}

/* ---- changing ---- */

void remember_label(struct remember *r, int64_t id, uint32_t label)
{
    (void)pthread_mutex_lock(&r->lock);
    struct entry *entry = find(r, id);
    if (entry != NULL)
        entry->told.label = label;
    (void)pthread_mutex_unlock(&r->lock);
}

int remember_drop(struct remember *r, int64_t id)
{
    (void)pthread_mutex_lock(&r->lock);
    struct entry *entry = find(r, id);
    if (entry != NULL) {
        for (size_t i = place_of(r, id); i + 1 < r->n; i++)
            *at(r, i) = *at(r, i + 1);
        *at(r, r->n - 1) = NULL;
        r->n--;
        r->bytes -= entry->n_bytes;
        free(entry);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return entry != NULL;
}

void remember_expire(struct remember *r)
{
    (void)pthread_mutex_lock(&r->lock);
    expire(r);
    (void)pthread_mutex_unlock(&r->lock);
}

size_t remember_count(struct remember *r)
{
    (void)pthread_mutex_lock(&r->lock);
    expire(r);
    const size_t n = r->n;
    (void)pthread_mutex_unlock(&r->lock);
    return n;
}
