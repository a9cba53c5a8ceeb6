/* revision_cache.c - see model/revision_cache.h. The table of states is guarded by a lock that is held for a few instructions; the replay is the trainer's
 * thread's alone. */
#include "server/model/revision_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "store/replay/replayer.h"

#define STEP_SAMPLES_FIRST 64u

struct past_slot {
    struct learner *learner;
    uint64_t revision, used; /* used: when it was asked for last */
    size_t bytes;
    unsigned holders;
    bool listed; /* in the table; else it goes with its last holder */
};

struct past {
    pthread_mutex_t lock; /* guards what follows */
    struct past_slot *table[PAST_STATES];
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

struct past *past_create(struct err *err)
{
    struct past *past = calloc(1, sizeof *past);
    if (past == NULL) {
        err_set(err, ERR_MEMORY, "no memory for past states");
        return NULL;
    }
    (void)pthread_mutex_init(&past->lock, NULL);
    past->step_samples = STEP_SAMPLES_FIRST;
    return past;
}

/* ---- the table: with the lock held ---- */

static void slot_free(struct past_slot *slot)
{
    learner_free(slot->learner);
    free(slot);
}

static void unlist(struct past *past, unsigned i)
{
    struct past_slot *slot = past->table[i];
    past->table[i] = past->table[--past->n];
    past->bytes -= slot->bytes;
    slot->listed = false;
    if (slot->holders == 0)
        slot_free(slot);
}

static struct past_slot *find(struct past *past, uint64_t revision)
{
    for (unsigned i = 0; i < past->n; i++)
        if (past->table[i]->revision == revision)
            return past->table[i];
    return NULL;
}

static void make_room(struct past *past, size_t n_bytes)
{
    while (past->n == PAST_STATES || (past->n > 0 && past->bytes + n_bytes > PAST_BYTES)) {
        unsigned oldest = 0;
        for (unsigned i = 1; i < past->n; i++)
            if (past->table[i]->used < past->table[oldest]->used)
                oldest = i;
        unlist(past, oldest);
    }
}

/* Takes the state over. Errors: ERR_MEMORY; it is freed then as well. */
static int keep(struct past *past, uint64_t revision, struct learner *state, struct err *err)
{
    const size_t n_bytes = net_floats(&state->shape, state->capacity) * sizeof(float) +
                           (size_t)state->capacity * state->capacity * sizeof(uint32_t);
    struct past_slot *slot = calloc(1, sizeof *slot);
    struct learner *copy = learner_dup(state, false, err); /* without workspace and pool: a tenth of the memory */
    learner_free(state);
    if (slot == NULL || copy == NULL) {
        learner_free(copy);
        free(slot);
        return err_set(err, ERR_MEMORY, "no memory for a past state");
    }
    (void)pthread_mutex_lock(&past->lock);
    make_room(past, n_bytes);
    *slot = (struct past_slot){
        .learner = copy, .revision = revision, .used = ++past->clock, .bytes = n_bytes, .listed = true};
    past->table[past->n++] = slot;
    past->bytes += n_bytes;
    (void)pthread_mutex_unlock(&past->lock);
    return 0;
}

/* ---- any thread ---- */

bool past_acquire(struct past *past, uint64_t revision, struct past_state *out)
{
    (void)pthread_mutex_lock(&past->lock);
    struct past_slot *slot = find(past, revision);
    if (slot != NULL) {
        slot->holders++;
        slot->used = ++past->clock;
        *out = (struct past_state){slot->learner, slot};
    }
    (void)pthread_mutex_unlock(&past->lock);
    return slot != NULL;
}

void past_release(struct past *past, struct past_state *state)
{
    struct past_slot *slot = state->private_;
    if (slot == NULL)
        return;
    (void)pthread_mutex_lock(&past->lock);
    assert(slot->holders > 0);
    if (--slot->holders == 0 && !slot->listed)
        slot_free(slot);
    (void)pthread_mutex_unlock(&past->lock);
    *state = (struct past_state){0};
}

/* ---- the trainer's thread ---- */

static void end_replay(struct past *past)
{
    store_replayer_close(past->replayer);
    past->replayer = NULL;
}

int past_want(struct past *past, struct store *store, uint64_t revision, struct err *err)
{
    (void)pthread_mutex_lock(&past->lock);
    struct past_slot *slot = find(past, revision);
    if (slot != NULL)
        slot->used = ++past->clock; /* whoever wants it is about to acquire it */
    (void)pthread_mutex_unlock(&past->lock);
    if (slot != NULL)
        return 0;
    if (past->failed == revision) {
        past->failed = 0;
        *err = past->why;
        return -1;
    }
    if (past->replayer == NULL) {
        const struct replay_want want = {.target = revision};
        if (store_replayer_open(&past->replayer, store, &want, err) != 0)
            return -1;
        past->revision = revision;
    }
    return 1;
}

bool past_active(const struct past *past, uint64_t *revision)
{
    if (revision != NULL)
        *revision = past->revision;
    return past->replayer != NULL;
}

static void fail(struct past *past)
{
    past->failed = past->revision; /* told to who asks next, who may try again after that */
    end_replay(past);
}

void past_work(struct past *past, uint64_t us)
{
    const uint64_t begin = clock_us();
    uint64_t last = begin;
    int status = 1;
    while (status == 1 && last - begin < us) {
        status = store_replayer_step(past->replayer, past->step_samples, &past->why);
        const uint64_t now = clock_us(), took = now - last;
        /* so many that four steps make up the time */
        if (took < us / 8 && past->step_samples < 65536)
            past->step_samples *= 2;
        else if (took > us / 2 && past->step_samples > 1)
            past->step_samples /= 2;
        last = now;
    }
    if (status < 0) {
        fail(past);
    } else if (status == 0) {
        if (keep(past, past->revision, store_replayer_take(past->replayer), &past->why) != 0)
            fail(past);
        else
            end_replay(past);
    }
}

void past_forget(struct past *past)
{
    end_replay(past);
    past->failed = 0;
    (void)pthread_mutex_lock(&past->lock);
    while (past->n > 0)
        unlist(past, past->n - 1);
    (void)pthread_mutex_unlock(&past->lock);
}

void past_free(struct past *past)
{
    if (past == NULL)
        return;
    past_forget(past);
    (void)pthread_mutex_destroy(&past->lock);
    free(past);
}
