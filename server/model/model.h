/* model.h - the published revision: what predictions are answered from.
 *
 * The trainer publishes; everybody else acquires. A revision is a whole, immutable learner state; it is counted, and its
 * memory is used again for a later revision when the last reader has released it. Acquiring never waits for training: it
 * takes a lock that is held for a few instructions only. No answer mixes two revisions, since an answer holds one.
 *
 * In reading order:
 *   model.c                 publish, acquire, release
 *   revision_cache.{h,c}    the model as it was: past revisions, made again from the log
 *   prediction_cache.{h,c}  predictions that may be told the truth later
 *   explain.{h,c}           why a prediction is what it is
 *   explain_png.c           the same as a picture
 *   sample_json.{h,c}       one sample of the log as JSON
 *   snapshot_diff.{h,c}     two snapshots compared
 */
#ifndef CONVD_SERVER_MODEL_MODEL_H
#define CONVD_SERVER_MODEL_MODEL_H

#include "core/core.h"

struct model;

/* A published state. `digest` is computed at the first model_digest() and kept. */
struct revision {
    const struct learner *learner; /* immutable while held */
    struct revision_private *private_;
};

/* model_create - with a first published copy of `initial`. NULL: out of memory. */
struct model *model_create(const struct learner *initial, struct err *err);
void model_free(struct model *model); /* every revision must have been released */

/* model_acquire / model_release - any thread; never blocks on training, cannot fail. */
struct revision *model_acquire(struct model *model);
void model_release(struct model *model, struct revision *revision);

/* model_ask - somebody wants a prediction. model_asked - how often that was since it was made. Any thread. */
void model_ask(struct model *model);
uint64_t model_asked(const struct model *model);

/* model_publish - the trainer only: a copy of `learner` becomes what model_acquire() returns. Errors: ERR_MEMORY (the old one stays). */
int model_publish(struct model *model, const struct learner *learner, struct err *err);

/* model_digest - digest of a held revision; the first caller computes it (0.3 ms), later ones read it. Any thread. */
void model_digest(struct revision *revision, uint8_t digest[DIGEST_BYTES]);

#endif
