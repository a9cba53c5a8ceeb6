/* pool.h - the past samples that are rehearsed: a bounded sample of each class, part of the learner's state.
 *
 * Each class has the same number of slots, its share, and in them a reservoir (Vitter 1985, algorithm R): with j counting
 * the samples of the class that the fold saw, from 0,
 *
 *     sample j goes to slot j                                     while j < share
 *                   to slot r = hash(seed, class, j) below j + 1  after that, if r < share; else nowhere
 *
 * so that at any time each of them has had the same chance to be there. Drawing takes a class, all that have samples
 * being equal, and then a slot: what is rehearsed is balanced however unbalanced the samples come.
 *
 * Bounds: share = min(POOL_CLASS_MAX, n_slots / p), p the smallest power of two that is not below the number of classes;
 * n_slots = POOL_BYTES / (n_input + POOL_SLOT_BYTES). For 28x28 and up to 16 classes that is 500 images of each, 3.9 MB of ten. When
 * there are no slots (few bytes, large images, many classes), nothing is kept and nothing is drawn.
 *
 * A class that comes later: while p stays, it finds its slots unused. When p doubles, class c - p gives the upper half of its
 * slots to class c: nothing moves, what was in them is forgotten. Where the slots of class c begin thus follows
 * from its bits: n_slots / 2 if bit 0 is set, + n_slots / 4 if bit 1 is, and so on. (A reservoir that was halved lacks the
 * samples share .. 2 share - 1 of its class, and is fair to all others.)
 *
 * Nothing here depends on ids, revisions or addresses, so a model that was fed an edited log from nothing has the same pool.
 *
 * The digest of a state must cover the pool, since two equal states stay equal only if they rehearse the same. `sum` does:
 * it is the sum over all slots of a 256-bit fingerprint of (class, slot, pixels), kept up at each change in a tenth of
 * a microsecond. It tells damage and mistakes; it is no signature (a sum of fingerprints can be forged).
 *
 * Two kinds: with slots, in a learner that learns; without, in a copy that only predicts, which has the counters and
 * the sum alone. So publishing a revision copies no images. What was changed since pool_mark() can be taken back: the old
 * content of a slot is kept aside at its first change after the mark.
 */
#ifndef CONVD_CORE_POOL_H
#define CONVD_CORE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

#define POOL_BYTES      (8u << 20) /* all slots together; as much again may be kept aside                  */
#define POOL_SLOT_BYTES 16u        /* id and mark of a slot                                                */
#define POOL_CLASS_MAX  500u       /* slots of a class                                                     */
#define POOL_SUM        4u         /* numbers of 64 bits                                                   */

struct pool_slots; /* the images, their ids, and what was kept aside */

struct pool {
    uint32_t n_input;         /* bytes of an image                                                         */
    uint32_t n_slots;         /* of all classes together                                                   */
    uint32_t n_classes;       /* set by pool_classes()                                                     */
    uint32_t share;           /* slots of each class                                                       */
    uint64_t *seen;           /* [capacity] samples of each class so far                                   */
    uint32_t *present;        /* [capacity] classes that have samples, ascending                           */
    uint32_t n_present;       /* of those                                                                  */
    uint64_t sum[POOL_SUM];   /* of the fingerprints of what is in the slots                               */
    struct pool_slots *slots; /* NULL in a copy that only predicts                                         */
};

/* pool_create - empty, for that many bytes an image and at most `capacity` classes. NULL: out of memory.
 * Owns: the caller; pool_free() (NULL is fine). Slots are memory that is touched only when they are used. */
struct pool *pool_create(uint32_t n_input, uint32_t capacity, bool with_slots);
void pool_free(struct pool *pool);

/* pool_reserve - room for more classes. -1: out of memory, as before. */
int pool_reserve(struct pool *pool, uint32_t capacity);

/* pool_classes - how many classes there are from now on; never fewer than before. */
void pool_classes(struct pool *pool, uint32_t n_classes);

/* pool_add - a sample of that class was seen. Copies the pixels where it gets a slot. `id` is for the store alone. */
void pool_add(struct pool *pool, uint64_t seed, uint32_t class_index, const uint8_t *pixels, int64_t id);

/* pool_draw - one of the samples, by 64 random bits; NULL where there is none. The pixels are the pool's, until the next
 * pool_add(). */
const uint8_t *pool_draw(const struct pool *pool, uint64_t draw, uint32_t *class_index);

/* pool_copy - makes dst (of the same n_input, with room for src's classes) equal to src, as far as both have slots. Where only
 * dst has them, they must be equal already; where both have, there is nothing to go back to until the next pool_mark(). */
void pool_copy(struct pool *dst, const struct pool *src);

/* pool_mark - from here on changes can be taken back. pool_undo - takes them back; `marked`, a copy that was made at the
 * mark and need not have slots, has the counters and the sum. Neither costs more than the slots that were changed. */
void pool_mark(struct pool *pool);
void pool_undo(struct pool *pool, const struct pool *marked);

/* ---- for snapshots, which keep ids instead of images ---- */

/* pool_used - how many slots of that class hold a sample: slot 0 .. that - 1. */
uint32_t pool_used(const struct pool *pool, uint32_t class_index);
int64_t pool_id(const struct pool *pool, uint32_t class_index, uint32_t slot);
/* pool_fill - puts id and pixels (NULL: not yet) into a slot as they were; neither counters nor sum change. */
void pool_fill(struct pool *pool, uint32_t class_index, uint32_t slot, int64_t id, const uint8_t *pixels);
/* pool_present - makes `present` from `seen`, after `seen` was read back. */
void pool_present(struct pool *pool);
/* pool_check - whether the images are those that `sum` speaks of. Costs 50 ns a slot of 784 bytes. */
bool pool_check(const struct pool *pool);

#endif
