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
 *   json_parts.{h,c}        what several documents have: settings, snapshots, samples
 *   snapshot_diff.{h,c}     two snapshots compared
 */
#ifndef CONVD_SERVER_MODEL_MODEL_H
#define CONVD_SERVER_MODEL_MODEL_H

#include "core/core.h"

struct model;

/* A published state. `digest` is computed at the first model_digest() and kept.
 * columns: the revision since which each column means the class that it does, if by another name: none was removed since, and none got the
 * column of one that going back took away. 0: since the start. */
struct revision {
    const struct learner *learner; /* immutable while held */
    uint64_t columns;
    struct novelty *novelty; /* for model_novelty(); NULL: nobody wanted it */
    struct revision_private *private_;
};

/* model_create - with a first published copy of `initial`. NULL: out of memory. */
struct model *model_create(const struct learner *initial, struct err *err);
void model_free(struct model *model); /* every revision must have been released */

/* model_acquire / model_release - any thread; never blocks on training, cannot fail. */
struct revision *model_acquire(struct model *model);
void model_release(struct model *model, struct revision *revision);

/* model_request - somebody wants a prediction. model_requests - how often that was since it was made. Any thread. */
void model_request(struct model *model);
uint64_t model_requests(const struct model *model);

/* What `known` is measured by (core/learner/novelty.h) is made where somebody asks, of exactly the revision that answers:
 *
 *     model_want_novelty()      any thread: the next NOVELTY_PUBLICATIONS revisions are published with the images, which the trainer alone has
 *     COMMAND_PUBLISH           the trainer (trainer/trainer.h): the current one is, where it was not
 *     model_novelty_measure()   a thread of the pool: the vectors by the revision's weights; who comes meanwhile waits for the same
 *     model_novelty()           any thread: it, or NULL where it has not been measured
 *
 * So a model that learns while it is asked is measured once for each revision that answers, 10 ms for the default network, by a thread that is
 * neither the trainer's nor HTTP's; one that is not asked costs nothing. Errors: ERR_MEMORY. The revision must be held. */
#define NOVELTY_PUBLICATIONS 16u
void model_want_novelty(struct model *model);
int model_novelty_measure(struct revision *revision, struct err *err);
const struct novelty *model_novelty(const struct revision *revision);

/* model_publish - the trainer only: a copy of `learner` becomes what model_acquire() returns. Errors: ERR_MEMORY (the old one stays). */
int model_publish(struct model *model, const struct learner *learner, uint64_t columns, struct err *err);

/* model_watch - called after each publication with its revision, in the thread that publishes, which it may not keep. One, for good. */
void model_watch(struct model *model, void (*published)(void *context, uint64_t revision), void *context);

/* model_calibration - of a held revision's tally, valid while it is held; the first caller fits it (11 us), so that training does not wait
 * for what nobody may ask. Any thread. */
const struct calibration *model_calibration(const struct revision *revision);

/* model_digest - digest of a held revision; the first caller computes it (0.3 ms), later ones read it. Any thread. */
void model_digest(struct revision *revision, uint8_t digest[DIGEST_BYTES]);

#endif
