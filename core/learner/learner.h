/* learner.h - the fold: state, and apply(state, event).
 *
 *     state(revision) = apply(.. apply(apply(nothing, create), event 2) .., event revision)
 *
 * The state is the parameters, the settings, the class table, the step counter, the test-then-train tally, the warnings and the replay buffer
 * of past samples that are rehearsed.
 * Two states that were folded from the same events are equal bit for bit, on every machine, and so are their digests.
 *
 * In reading order:
 *   learner.c              create, apply
 *   internal.h             what these files share
 *   memory.c               the memory of a state, and copies
 *   codec.c                the state as bytes, for digests and snapshots
 *   replay_buffer.{h,c}    the past samples that are rehearsed
 *   drift.{h,c}            has what is shown to the model changed?
 *   calibration.{h,c}      what confidence means: the record of such predictions
 *   health.{h,c}           does it learn, and if not, why not?
 *   novelty.{h,c}          how near an image is to what was taught
 */
#ifndef CONVD_CORE_LEARNER_LEARNER_H
#define CONVD_CORE_LEARNER_LEARNER_H

#include <stddef.h>
#include <stdint.h>

#include "core/descent.h"
#include "core/err.h"
#include "core/event.h"
#include "core/learner/drift.h"
#include "core/learner/health.h"
#include "core/learner/replay_buffer.h"
#include "core/net.h"
#include "core/yield.h"

#define DIGEST_BYTES 32   /* SHA-256                                     */
#define TALLY_RECENT 1000 /* outcomes in the window of "recent" figures  */

/* Test-then-train: what was predicted for each sample before it was learned from. */
struct outcome {
    uint16_t label, predicted; /* class indices */
    float loss;
    float p; /* l^2 of the predicted class: core/learner/calibration.h makes confidence of it */
};

struct tally {
    uint64_t samples, correct;
    double loss_sum;
    struct outcome recent[TALLY_RECENT]; /* ring: entry samples % TALLY_RECENT is the next to be written   */
    struct drift drift;                  /* of the outcomes, in their order                                */
    uint32_t *confusion;                 /* [capacity][capacity], row = label, column = predicted; saturates */
};

/* tally_window - of how many of the newest outcomes it is judged what the model is worth now: the newer half, since a model that has just begun
 * soon is better than its record; at least TALLY_LEAST where there are as many, at most TALLY_RECENT. */
#define TALLY_LEAST 40u
static inline uint32_t tally_window(const struct tally *tally)
{
    const uint64_t half = tally->samples / 2 > TALLY_LEAST ? tally->samples / 2 : TALLY_LEAST;
    const uint64_t most = half < TALLY_RECENT ? half : TALLY_RECENT;
    return (uint32_t)(most < tally->samples ? most : tally->samples);
}

struct learner {
    const struct arith *arith;
    struct shape shape;
    struct settings settings;
    uint64_t revision; /* of the last applied event; 0 before create */
    uint64_t step;     /* steps, on past samples and refused ones included */
    uint64_t refused;  /* steps that were not made: core/descent.h     */
    struct health health;
    uint32_t n_classes, capacity;
    char (*labels)[LABEL_BYTES_MAX + 1]; /* [capacity] */
    struct tally tally;
    struct net net;       /* views into params; its n_2 is n_classes */
    float *params;        /* capacity for `capacity` classes         */
    struct workspace *ws; /* NULL in a copy that only predicts       */
    float *trial;         /* another params, for descent_step(); NULL likewise */
    struct descent known;
    uint8_t *displaced;           /* [n_input] the image that is being rehearsed; NULL likewise */
    struct replay_buffer *buffer; /* past samples; likewise without slots    */
    struct yield *yield;          /* taken after each step; NULL: none; borrowed, and no part of the state */
};

/* learner_create - applies a create event to nothing. Memory for `capacity` classes (0: a default with room to grow).
 * arith NULL: the best. Errors: ERR_VALUE, ERR_LIMIT, ERR_LABEL_INVALID, ERR_CONFLICT (label twice), ERR_MEMORY.
 * Owns: the caller; learner_free(). */
struct learner *learner_create(const struct event *event, const struct arith *arith, uint32_t capacity,
                               struct err *err);
void learner_free(struct learner *learner);

/* learner_apply - the whole semantics of train, class, tune and idle events.
 *
 * train:  for each sample in order: forward; tally; step, of settings_rate(); into the buffer; then settings_rehearsals() times: one drawn from the buffer,
 *         displaced by `jitter` and `rotation`, a step on it. What is drawn follows from seed and step counter. The tally
 *         does not count rehearsals, the step counter does. The samples' ids must be those that the log will have: snapshots
 *         name the replay buffer's images by them (store_next()).
 *         Before the step, imprinting: of a class of which fewer than `imprint` samples were seen while the other classes that were seen have
 *         ten each or more on average, descent_imprint(). So a class that comes to a model that knows others is named at once;
 *         what it takes from them its rehearsals give back.
 * class:  add: the next index, weights as net_init_class(); unless `imprint` is 0, a tenth of what was drawn in w12, plus the mean of the other columns;
 *         rename: the label alone.
 * idle:   so many more steps on the replay buffer, each drawn, displaced and made as those that follow a new sample.
 * tune:   the settings from now on.
 * The state's revision becomes the event's, which must be larger. Allocates nothing.
 * Errors (the state is as before): ERR_LABEL_UNKNOWN (sample of no class), ERR_LABEL_INVALID, ERR_CONFLICT (label
 * taken), ERR_LIMIT (capacity: see learner_reserve), ERR_NOT_FOUND (class index), ERR_VALUE; ERR_INTERNAL for create, rehearse and
 * activate, which need more than the event: learner_create(), learner_rehearse() and the store do those. */
int learner_apply(struct learner *learner, struct event *event, struct err *err);

/* learner_check - the errors that learner_apply() would give, without applying. */
int learner_check(const struct learner *learner, const struct event *event, struct err *err);

/* How a past sample is rehearsed. */
struct rehearse_step {
    float rate;             /* step size, in place of the setting; finite, at least 0  */
    float jitter, rotation; /* pixels, degrees: within the limits of core/jitter.h     */
    uint64_t draw;          /* which displacement of those                             */
};

/* learner_rehearse - one step on a past sample, displaced as *how says; the tally does not count it (it has been seen). The
 * caller sets revision when the whole event is done. Errors (the state is as before): ERR_LABEL_UNKNOWN, ERR_VALUE. */
int learner_rehearse(struct learner *learner, uint32_t label, const uint8_t *pixels, const struct rehearse_step *how,
                     struct err *err);

/* learner_order - the place, in 0..n-1, of the i-th item in the order that `seed` draws: a permutation, by a
 * counter-based generator (a Feistel network with cycle walking), so that no list is kept. */
uint64_t learner_order(uint64_t seed, uint64_t n, uint64_t i);

/* learner_fit - how pictures are fitted now: the setting, but FIT_AUTO only where drawings were taught, FIT_CONTAIN where not. */
enum fit learner_fit(const struct learner *learner);

/* learner_reserve - room for n classes; the one call besides create that allocates. Errors: ERR_MEMORY, ERR_LIMIT. */
int learner_reserve(struct learner *learner, uint32_t n_classes, struct err *err);

/* learner_copy - makes dst equal to src. dst must come from learner_dup() of the same model; it grows as needed.
 * Costs one memcpy of the parameters and the tally, and of the replay buffer's images only where both learn. Where dst learns and src only
 * predicts, src must be a copy of dst since which nothing but rehearsals came. Errors: ERR_MEMORY (dst is as before). */
int learner_copy(struct learner *dst, const struct learner *src, struct err *err);

/* learner_dup - a new, equal state; with_workspace false where nothing will be applied to it (true only where src itself has
 * one). */
struct learner *learner_dup(const struct learner *src, bool with_workspace, struct err *err);

/* learner_class - index of the class with that label (bytes need not be terminated), or -1. */
int learner_class(const struct learner *learner, const char *bytes, size_t n_bytes);

/* learner_digest - SHA-256 over what was learned: shape, settings, classes, step, tally with drift, warnings, replay buffer (images by their sum), parameters.
 * Not over revision, capacity, ids or instruction set. Two states with one digest stay equal over the same events. Costs
 * 0.3 ms for 400 KB.
 */
void learner_digest(const struct learner *learner, uint8_t digest[DIGEST_BYTES]);

/* learner_encode_rest - what a snapshot keeps beside the three tensors: shape, settings, classes, step, tally, warnings, replay buffer (by ids).
 * Little-endian, explained in codec.c. Returns the bytes needed; writes only where bytes is not NULL and `size`
 * suffices.
 *
 * learner_decode - a learner from those bytes, at revision 1 and with initial weights: the caller sets `revision`,
 * brings the tensors by net_import() and the replay buffer's images by replay_buffer_fill(). Errors: ERR_DB_CORRUPT, ERR_MEMORY.
 */
size_t learner_encode_rest(const struct learner *learner, uint8_t *bytes, size_t size);
struct learner *learner_decode(const uint8_t *bytes, size_t n_bytes, const struct arith *arith, struct err *err);
#endif
