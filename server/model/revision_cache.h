/* revision_cache.h - the model as it was: states of past revisions, made again from the log and kept for a while. POST /predict?revision=N.
 *
 *     past_acquire()   any thread: the state, where it is at hand
 *     past_want()      the trainer's thread: it is to be made; a replay (store/replay/replayer.h) begins, or waits for the one at work
 *     past_work()      the trainer's thread, after each round: some milliseconds of the replay
 *     past_forget()    the trainer's thread: the past was edited, so none of it is true any more
 *
 * One replay at a time. It goes on when nobody waits for it any longer, so that who asks again finds the state. The last
 * PAST_STATES are kept, and of those no more than PAST_BYTES, but one at least; the least recently used goes first. A state that is
 * held is freed when it is let go.
 */
#ifndef CONVD_SERVER_MODEL_REVISION_CACHE_H
#define CONVD_SERVER_MODEL_REVISION_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "store/store.h"

#define PAST_STATES 8u
#define PAST_BYTES  (64u << 20)

struct past;

/* A state that only predicts; immutable while held. */
struct past_state {
    const struct learner *learner;
    struct past_slot *private_;
};

/* past_create - NULL: out of memory. past_free - when nothing is held; NULL is fine. */
struct past *past_create(struct err *err);
void past_free(struct past *past);

/* past_acquire - true: *out is held until past_release(). Both from any thread; never wait for a replay. */
bool past_acquire(struct past *past, uint64_t revision, struct past_state *out);
void past_release(struct past *past, struct past_state *state);

/* past_want - 0: it is at hand; 1: not yet: ask again after the next past_work(); -1: it cannot be made: ERR_NOT_FOUND (no such
 * revision, or one whose state this convd cannot make again), ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. */
int past_want(struct past *past, struct store *store, uint64_t revision, struct err *err);

/* past_active - a replay is at work, of *revision (may be NULL). past_work - about so many microseconds of it. */
bool past_active(const struct past *past, uint64_t *revision);
void past_work(struct past *past, uint64_t us);

void past_forget(struct past *past);

#endif
