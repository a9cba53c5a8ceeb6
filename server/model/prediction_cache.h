/* prediction_cache.h - predictions that may be told the truth later: POST /predict?remember=1.
 *
 * Kept in memory, with their images, until one of three bounds is met: their number, their age, REMEMBER_BYTES for all of them
 * together. The oldest leave first. A restart forgets them all. What became of a label that was given is durable: it is an
 * event of the log, and an Idempotency-Key that the prediction's id is part of (routes/predictions.c).
 *
 * Ids are microseconds since 1970, made larger where two would be equal: they grow, and no id is given again by a later
 * process, as long as the clock is not set back.
 *
 * Any thread may call anything; each call holds a lock for as long as it takes to copy what it gives.
 */
#ifndef CONVD_SERVER_MODEL_PREDICTION_CACHE_H
#define CONVD_SERVER_MODEL_PREDICTION_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"

#define REMEMBER_BYTES      ((size_t)64 << 20)
#define REMEMBER_NUMBER_MAX 100000u
#define REMEMBER_TOP        5u /* probabilities that a list tells */

struct remember;

/* remember_create - at most `number` predictions, 0: none; for `seconds`. NULL: out of memory. */
struct remember *remember_create(uint32_t number, unsigned seconds, struct err *err);
void remember_free(struct remember *remember); /* NULL is fine */

/* remember_add - keeps a copy of the image, and what l2 [n_classes] says; returns the id. Errors: ERR_LIMIT (number is 0), ERR_MEMORY,
 * ERR_BUSY (the classes have changed since it was predicted): -1. */
int64_t remember_add(struct remember *remember, const struct learner *learner, const uint8_t *pixels, const float *l2,
                     struct err *err);

/* What a list tells of one. Classes by index. */
struct remembered {
    int64_t id;
    uint64_t revision, step;
    uint32_t n_top; /* classes below, most probable first */
    uint32_t top[REMEMBER_TOP];
    float probability[REMEMBER_TOP];
    int64_t label; /* that it was given; -1: none yet */
};

enum remember_order { REMEMBER_UNCERTAIN, REMEMBER_NEWEST };

/* remember_list - up to `room` of them into out; returns how many, and in *all how many there are. UNCERTAIN: those without a
 * label, least confident first (the older of two that are equal); NEWEST: all. -1: ERR_MEMORY. */
long remember_list(struct remember *remember, enum remember_order order, struct remembered *out, size_t room,
                   size_t *all, struct err *err);

/* remember_find - 1 found, 0 not. */
int remember_find(struct remember *remember, int64_t id, struct remembered *out);

/* remember_image - copies the image [n_input]. 1 found, 0 not. */
int remember_image(struct remember *remember, int64_t id, uint8_t *pixels, size_t n_input);

/* remember_label - notes that it was given a label. remember_drop - forgets it: 1 it was there, 0 not. */
void remember_label(struct remember *remember, int64_t id, uint32_t label);
int remember_drop(struct remember *remember, int64_t id);

/* remember_columns - the classes of the model are others from that revision on (one was removed): what was predicted before has lost
 * its meaning, and is forgotten. Cheap when the revision is not new. */
void remember_columns(struct remember *remember, uint64_t revision);

/* remember_expire - forgets what is too old; called now and then, so that nothing stays longer than was said. */
void remember_expire(struct remember *remember);

size_t remember_count(struct remember *remember);

#endif
