/* revision_cache.h - the model as it was: states of past revisions, made again from the log and kept for a while. POST /predict?revision=N.
 *
 *     revision_cache_acquire()   any thread: the state, where it is at hand
 *     revision_cache_want()      the trainer's thread: it is to be made; a replay (store/replay/replayer.h) begins, or waits for the one at work
 *     revision_cache_work()      the trainer's thread, after each round: some milliseconds of the replay
 *     revision_cache_forget()    the trainer's thread: the past was edited, so none of it is true any more
 *
 * One replay at a time. It goes on when nobody waits for it any longer, so that who asks again finds the state. The last
 * REVISION_CACHE_STATES are kept, and of those no more than REVISION_CACHE_BYTES, but one at least; the least recently used goes first. A state that is
 * held is freed when it is let go.
 */
#ifndef CONVD_SERVER_MODEL_REVISION_CACHE_H
#define CONVD_SERVER_MODEL_REVISION_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "store/store.h"

#define REVISION_CACHE_STATES 8u
#define REVISION_CACHE_BYTES  (64u << 20)

struct revision_cache;

/* A state that only predicts; immutable while held. */
struct cached_state {
    const struct learner *learner;
    struct cached_slot *private_;
};

/* revision_cache_create - NULL: out of memory. revision_cache_free - when nothing is held; NULL is fine. */
struct revision_cache *revision_cache_create(struct err *err);
void revision_cache_free(struct revision_cache *cache);

/* revision_cache_acquire - true: *out is held until revision_cache_release(). Both from any thread; never wait for a replay. */
bool revision_cache_acquire(struct revision_cache *cache, uint64_t revision, struct cached_state *out);
void revision_cache_release(struct revision_cache *cache, struct cached_state *state);

/* revision_cache_want - 0: it is at hand; 1: not yet: ask again after the next revision_cache_work(); -1: it cannot be made: ERR_NOT_FOUND (no such
 * revision, or one whose state this convd cannot make again), ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. */
int revision_cache_want(struct revision_cache *cache, struct store *store, uint64_t revision, struct err *err);

/* revision_cache_active - a replay is at work, of *revision (may be NULL). revision_cache_work - about so many microseconds of it. */
bool revision_cache_active(const struct revision_cache *cache, uint64_t *revision);
void revision_cache_work(struct revision_cache *cache, uint64_t us);

void revision_cache_forget(struct revision_cache *cache);

#endif
