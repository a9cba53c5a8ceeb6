/* prediction_cache.h - predictions that may be told the truth later: POST /predict?remember=1.
 *
 * Kept in memory, with their images, until one of three bounds is met: their number, their age, PREDICTION_CACHE_BYTES for all of them
 * together. The oldest leave first. A restart forgets them all. What became of a label that was given is durable: it is an
 * event of the log, and an Idempotency-Key that the prediction's id is part of (routes/predictions.c).
 *
 * Ids are microseconds since 1970, made larger where two would be equal: they grow, and no id is given again by a later
 * process, as long as the clock is not set back.
 *
 * Classes are columns of the model, and mean what they do since the revision `columns` (struct revision): all that are kept are of one such,
 * that of the newest model which was asked with. What is of an earlier one has lost its meaning, and is forgotten.
 *
 * Any thread may call anything; each call holds a lock for as long as it takes to copy what it gives.
 */
#ifndef CONVD_SERVER_MODEL_PREDICTION_CACHE_H
#define CONVD_SERVER_MODEL_PREDICTION_CACHE_H

#include <stdint.h>

#include "core/core.h"

#define PREDICTION_CACHE_BYTES      ((size_t)64 << 20)
#define PREDICTION_CACHE_NUMBER_MAX 100000u
#define PREDICTION_CACHE_TOP        5u /* probabilities that a list tells */

struct prediction_cache;

/* prediction_cache_create - at most `number` predictions, 0: none; for `seconds`. NULL: out of memory. */
struct prediction_cache *prediction_cache_create(uint32_t number, unsigned seconds, struct err *err);
void prediction_cache_free(struct prediction_cache *cache); /* NULL is fine */

/* prediction_cache_add - keeps a copy of the image, what l2 [n_classes] says, and its confidence; returns the id. Errors: ERR_LIMIT (number is 0), ERR_MEMORY,
 * ERR_BUSY (columns mean other classes by now): -1. */
int64_t prediction_cache_add(struct prediction_cache *cache, const struct learner *learner, uint64_t columns,
                             const uint8_t *pixels, const float *l2, double confidence, struct err *err);

/* What a list tells of one. Classes by index. */
struct cached_prediction {
    int64_t id;
    uint64_t revision, step;
    uint32_t n_top; /* classes below, most probable first */
    uint32_t top[PREDICTION_CACHE_TOP];
    float probability[PREDICTION_CACHE_TOP];
    double confidence; /* in top[0]: core/learner/calibration.h */
    int64_t label;     /* that it was given; -1: none yet */
};

enum prediction_cache_order { PREDICTION_CACHE_UNCERTAIN, PREDICTION_CACHE_NEWEST };

/* prediction_cache_list - up to `room` of them into out; returns how many, and in *all how many there are. UNCERTAIN: those without a
 * label, least confident first (the older of two that are equal); NEWEST: all. -1: ERR_MEMORY. */
long prediction_cache_list(struct prediction_cache *cache, uint64_t columns, enum prediction_cache_order order,
                           struct cached_prediction *out, size_t room, size_t *all, struct err *err);

/* prediction_cache_find - 1 found, 0 not; pixels: NULL, or where its image [n_input] is copied to. */
int prediction_cache_find(struct prediction_cache *cache, uint64_t columns, int64_t id, struct cached_prediction *out,
                          uint8_t *pixels);

/* prediction_cache_label - notes that it was given a label. prediction_cache_drop - forgets it: 1 it was there, 0 not. */
void prediction_cache_label(struct prediction_cache *cache, int64_t id, uint32_t label);
int prediction_cache_drop(struct prediction_cache *cache, int64_t id);

/* prediction_cache_expire - forgets what is too old; called now and then, so that nothing stays longer than was said. */
void prediction_cache_expire(struct prediction_cache *cache);

size_t prediction_cache_count(struct prediction_cache *cache);

#endif
