/* learner.h - the fold: state, and apply(state, event).
 *
 *     state(revision) = apply(.. apply(apply(nothing, create), event 2) .., event revision)
 *
 * The state is the parameters, the settings, the class table, the step counter, the test-then-train tally and the pool of past
 * samples that are rehearsed.
 * Two states that were folded from the same events are equal bit for bit, on every machine, and so are their digests.
 */
#ifndef CONVD_CORE_LEARNER_H
#define CONVD_CORE_LEARNER_H

#include <stddef.h>
#include <stdint.h>

#include "core/descent.h"
#include "core/drift.h"
#include "core/err.h"
#include "core/event.h"
#include "core/net.h"
#include "core/pool.h"
#include "core/rest.h"

#define DIGEST_BYTES 32   /* SHA-256                                     */
#define TALLY_RECENT 1000 /* outcomes in the window of "recent" figures  */

/* Test-then-train: what was predicted for each sample before it was learned from. */
struct outcome {
    uint16_t label, predicted; /* class indices */
    float loss;
};

struct tally {
    uint64_t samples, correct;
    double loss_sum;
    struct outcome recent[TALLY_RECENT]; /* ring: entry samples % TALLY_RECENT is the next to be written   */
    struct drift drift;                  /* of the outcomes, in their order                                */
    uint32_t *confusion;                 /* [capacity][capacity], row = label, column = predicted; saturates */
};

struct learner {
    const struct arith *arith;
    struct shape shape;
    struct settings settings;
    uint64_t revision; /* of the last applied event; 0 before create */
    uint64_t step;     /* steps, on past samples and refused ones included */
    uint64_t refused;  /* steps that were not made: core/descent.h     */
    uint32_t n_classes, capacity;
    char (*labels)[LABEL_BYTES_MAX + 1]; /* [capacity] */
    struct tally tally;
    struct net net;       /* views into params; its n_2 is n_classes */
    float *params;        /* capacity for `capacity` classes         */
    struct workspace *ws; /* NULL in a copy that only predicts       */
    float *trial;         /* another params, for descent_step(); NULL likewise */
    struct descent known;
    uint8_t *displaced; /* [n_input] the image that is being rehearsed; NULL likewise */
    struct pool *pool;  /* past samples; likewise without slots    */
    struct rest *rest;  /* taken after each step; NULL: none; borrowed, and no part of the state */
};

/* learner_create - applies a create event to nothing. Memory for `capacity` classes (0: a default with room to grow).
 * arith NULL: the best. Errors: ERR_VALUE, ERR_LIMIT, ERR_LABEL_INVALID, ERR_CONFLICT (label twice), ERR_MEMORY.
 * Owns: the caller; learner_free(). */
struct learner *learner_create(const struct event *event, const struct arith *arith, uint32_t capacity,
                               struct err *err);
void learner_free(struct learner *learner);

/* learner_apply - the whole semantics of train, class and tune events.
 *
 * train:  for each sample in order: forward; tally; step, of settings_rate(); into the pool; then `rehearsal` times: one drawn from the pool,
 *         displaced by `jitter` and `rotation`, a step on it. What is drawn follows from seed and step counter. The tally
 *         does not count rehearsals, the step counter does. The samples' ids must be those that the log will have: snapshots
 *         name the pool's images by them (store_next()).
 * class:  add: the next index, weights as net_init_class(); rename: the label alone.
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

/* learner_reserve - room for n classes; the one call besides create that allocates. Errors: ERR_MEMORY, ERR_LIMIT. */
int learner_reserve(struct learner *learner, uint32_t n_classes, struct err *err);

/* learner_copy - makes dst equal to src. dst must come from learner_dup() of the same model; it grows as needed.
 * Costs one memcpy of the parameters and the tally, and of the pool's images only where both learn. Where dst learns and src only
 * predicts, src must be a copy of dst since which nothing but rehearsals came. Errors: ERR_MEMORY (dst is as before). */
int learner_copy(struct learner *dst, const struct learner *src, struct err *err);

/* learner_mark - from here on train and class events can be taken back. learner_restore - takes back those since the mark: `marked` is
 * a copy that was made at it, and may be one that only predicts. Needs no memory; cannot fail. */
void learner_mark(struct learner *learner);
void learner_restore(struct learner *learner, const struct learner *marked);

/* learner_dup - a new, equal state; with_workspace false where nothing will be applied to it (true only where src itself has
 * one). */
struct learner *learner_dup(const struct learner *src, bool with_workspace, struct err *err);

/* learner_class - index of the class with that label (bytes need not be terminated), or -1. */
int learner_class(const struct learner *learner, const char *bytes, size_t n_bytes);

/* learner_digest - SHA-256 over what was learned: shape, settings, classes, step, tally with drift, pool (images by their sum), parameters.
 * Not over revision, capacity, ids or instruction set. Two states with one digest stay equal over the same events. Costs
 * 0.3 ms for 400 KB.
 */
void learner_digest(const struct learner *learner, uint8_t digest[DIGEST_BYTES]);

/* learner_encode_rest - what a snapshot keeps beside the three tensors: shape, settings, classes, step, tally, pool (by ids).
 * Little-endian, explained in learner_codec.c. Returns the bytes needed; writes only where bytes is not NULL and `size`
 * suffices.
 *
 * learner_decode - a learner from those bytes, at revision 1 and with initial weights: the caller sets `revision`,
 * brings the tensors by net_import() and the pool's images by pool_fill(). Errors: ERR_DB_CORRUPT, ERR_MEMORY.
 */
size_t learner_encode_rest(const struct learner *learner, uint8_t *bytes, size_t size);
struct learner *learner_decode(const uint8_t *bytes, size_t n_bytes, const struct arith *arith, struct err *err);
#endif
