/* pool.h - the past samples that are rehearsed: a bounded sample of each class, part of the learner's state.
 *
 * Each class has the same number of slots, its share. A new sample always enters: with j counting the samples of the class that
 * the fold saw, from 0,
 *
 *     sample j goes to slot j                               while j < share
 *                   to slot hash(seed, class, j) below share  after that, and what was there is forgotten
 *
 * so that every sample is there for a while, and the chance that it still is halves with each 0.7 share that come after it. (A
 * reservoir, where all that were ever seen are as likely to be there, rehearses the same few again and again and most of them
 * never: 0.4 points worse on MNIST.)
 *
 * Drawing takes a class, all that have samples being equal: what is rehearsed is balanced however unbalanced the samples come.
 * Then it draws POOL_DRAWS slots, and takes the one of the most doubt, the first of them on a tie:
 *
 *     doubt = p (1 - p), p what the model gave the sample's own class when it saw it last     a byte, 16 steps to a halving
 *
 * which is small for what has been learned, and small as well for what the model firmly takes for something else: wrong
 * labels are not sought out, as they would be by the loss. A sample that came while nothing was rehearsed is of unknown doubt, the
 * largest. bench/defaults.md has the experiments.
 *
 * Bounds: share = min(POOL_CLASS_MAX, n_slots / p), p the smallest power of two that is not below the number of classes;
 * n_slots = POOL_BYTES / (n_input + POOL_SLOT_BYTES). For 28x28 and up to 16 classes that is 1,000 images of each, 8 MB of ten; no
 * model has more than POOL_BYTES of them (and 32 bytes a used slot beside), and less than that again for the last group of events, which may yet be taken back. When there are no slots (few bytes, large images, many classes), nothing is kept and nothing is drawn.
 *
 * A class that comes later: while p stays, it finds its slots unused. When p doubles, class c - p gives the upper half of its
 * slots to class c: nothing moves, what was in them is forgotten. Where the slots of class c begin thus follows
 * from its bits: n_slots / 2 if bit 0 is set, + n_slots / 4 if bit 1 is, and so on.
 *
 * Nothing here depends on ids, revisions or addresses, so a model that was fed an edited log from nothing has the same pool.
 *
 * The digest of a state must cover the pool, since two equal states stay equal only if they rehearse the same: it covers the
 * counters, the doubts, and `sum` for the images: the sum over all slots of a 256-bit fingerprint of (class, slot, pixels), kept up
 * at each change in a tenth of a microsecond. It tells damage and mistakes; it is no signature (a sum of fingerprints can
 * be forged).
 *
 * Two kinds: with images, in a learner that learns; without, in a copy that only predicts, which has all the rest. So
 * publishing a revision copies no images. What was changed since the last pool_mark() can be taken back: the old
 * image of a slot is kept aside at its first change after the mark, the rest is in the copy that was made at the mark.
 */
#ifndef CONVD_CORE_POOL_H
#define CONVD_CORE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

#define POOL_BYTES      (16u << 20) /* all slots together; as much again may be kept aside                  */
#define POOL_SLOT_BYTES 16u         /* id and mark of a slot                                                */
#define POOL_CLASS_MAX  1000u       /* slots of a class                                                     */
#define POOL_SUM        4u          /* numbers of 64 bits                                                   */
#define POOL_DRAWS      3u          /* slots of which the one of the most doubt is rehearsed                */
#define POOL_UNKNOWN    255u        /* the doubt of what was not seen while anything was rehearsed          */

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
    uint8_t *doubts;          /* [n_slots]                                                                 */
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

/* pool_doubt - the byte for p, a probability; 0 for what is none. Grows with p (1 - p); below POOL_UNKNOWN. */
uint8_t pool_doubt(float p);

/* pool_add - a sample of that class was seen: copies the pixels into its slot, if the class has any. `id` is for the store alone. */
void pool_add(struct pool *pool, uint64_t seed, uint32_t class_index, const uint8_t *pixels, uint8_t doubt, int64_t id);

/* pool_draw - one of the samples, by 64 random bits; draws number 0 .. POOL_DRAWS of draw_bits(draw, .) are used up. False where
 * there is none. The pixels are the pool's, until the next pool_add(). */
struct pool_drawn {
    uint32_t class_index, slot;
    const uint8_t *pixels;
};
bool pool_draw(const struct pool *pool, uint64_t draw, struct pool_drawn *drawn);

/* pool_saw - the doubt of a sample that was rehearsed just now. */
void pool_saw(struct pool *pool, const struct pool_drawn *drawn, uint8_t doubt);

/* pool_copy - makes dst (of the same n_input, with room for src's classes) equal to src, as far as both have images. Where only
 * dst has them, they must be equal already; where both have, there is nothing to go back to until the next pool_mark(). */
void pool_copy(struct pool *dst, const struct pool *src);

/* pool_mark - from here on changes can be taken back. pool_undo - takes back those since the last mark; `marked` is a copy that was
 * made at it and need not have images. Costs no more than a copy of the counters and doubts, and of the images that were changed. The
 * mark stays where it is. */
void pool_mark(struct pool *pool);
void pool_undo(struct pool *pool, const struct pool *marked);

/* ---- for snapshots, which keep ids instead of images ---- */

/* pool_used - how many slots of that class hold a sample: slot 0 .. that - 1. */
uint32_t pool_used(const struct pool *pool, uint32_t class_index);
int64_t pool_id(const struct pool *pool, uint32_t class_index, uint32_t slot);
/* pool_doubts - [pool_used()] of that class, the pool's own. */
uint8_t *pool_doubts(const struct pool *pool, uint32_t class_index);
/* pool_fill - puts id and pixels (NULL: not yet) into a slot as they were; neither counters nor sum change. */
void pool_fill(struct pool *pool, uint32_t class_index, uint32_t slot, int64_t id, const uint8_t *pixels);
/* pool_present - makes `present` from `seen`, after `seen` was read back. */
void pool_present(struct pool *pool);
/* pool_check - whether the images are those that `sum` speaks of. Costs 50 ns a slot of 784 bytes. */
bool pool_check(const struct pool *pool);

#endif
