/* replay_buffer.h - the past samples that are rehearsed: a bounded sample of each class, part of the learner's state.
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
 * Then it draws REPLAY_BUFFER_DRAWS slots, and takes the most uncertain, the first of them on a tie:
 *
 *     uncertainty = p (1 - p), p what the model gave the sample's own class when it saw it last     a byte, 16 steps to a halving
 *
 * which is small for what has been learned, and small as well for what the model firmly takes for something else: wrong
 * labels are not sought out, as they would be by the loss. A sample that came while nothing was rehearsed is of unknown uncertainty, the
 * largest. bench/defaults.md has the experiments.
 *
 * Bounds, of the setting `rehearsal_buffer` = size, which is fixed when the model is made:
 *
 *     n_slots = floor(floor(16 MiB size / 1000) / (n_input + REPLAY_BUFFER_SLOT_BYTES))
 *     share   = min(size, floor(n_slots / p))         p the smallest power of two that is not below the number of classes
 *
 * For 28x28 and up to 16 classes that is `size` images of each; of larger images or more classes fewer, by one measure: a size of 1,000 never
 * has more than 16 MiB, one of 2,000 never more than 32 (and 32 bytes a used slot beside). When there are no slots (few bytes, large images,
 * many classes), nothing is kept and nothing is drawn.
 *
 * A class that comes later: while p stays, it finds its slots unused. When p doubles, class c - p gives the upper half of its
 * slots to class c: nothing moves, what was in them is forgotten. Where the slots of class c begin thus follows
 * from its bits: n_slots / 2 if bit 0 is set, + n_slots / 4 if bit 1 is, and so on.
 *
 * Nothing here depends on ids, revisions or addresses, so a model that was fed an edited log from nothing has the same replay buffer.
 *
 * The digest of a state must cover the buffer, since two equal states stay equal only if they rehearse the same: it covers the
 * counters, the uncertainties, and `sum` for the images: the sum over all slots of a 256-bit fingerprint of (class, slot, pixels), kept up
 * at each change in a tenth of a microsecond. It tells damage and mistakes; it is no signature (a sum of fingerprints can
 * be forged).
 *
 * Two kinds: with images, in a learner that learns; without, in a copy that only predicts, which has all the rest. So
 * publishing a revision copies no images.
 */
#ifndef CONVD_CORE_LEARNER_REPLAY_BUFFER_H
#define CONVD_CORE_LEARNER_REPLAY_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

/* All slots together, at most. */
#define REPLAY_BUFFER_BYTES(size) ((uint32_t)((uint64_t)(size) * (16u << 20) / 1000u))

#define REPLAY_BUFFER_SLOT_BYTES 16u  /* id and mark of a slot */
#define REPLAY_BUFFER_SUM        4u   /* numbers of 64 bits */
#define REPLAY_BUFFER_DRAWS      3u   /* slots, of which the most uncertain is rehearsed */
#define UNCERTAINTY_UNKNOWN      255u /* of what came while nothing was rehearsed */

struct replay_buffer_slots; /* the images and their ids */

struct replay_buffer {
    uint32_t n_input;                  /* bytes of an image */
    uint32_t size;                     /* slots of a class, at most */
    uint32_t n_slots;                  /* of all classes together */
    uint32_t n_classes;                /* set by replay_buffer_classes() */
    uint32_t share;                    /* slots of each class */
    uint64_t *seen;                    /* [capacity] samples of each class so far */
    uint32_t *present;                 /* [capacity] classes that have samples, ascending */
    uint32_t n_present;                /* of those */
    uint64_t sum[REPLAY_BUFFER_SUM];   /* of the fingerprints of what is in the slots */
    uint8_t *uncertainties;            /* [n_slots] */
    struct replay_buffer_slots *slots; /* NULL in a copy that only predicts */
    bool drawings;                     /* in such a copy: replay_buffer_drawings() of what it was copied from */
};

/* replay_buffer_create - empty, of that size, for that many bytes an image and at most `capacity` classes. NULL: out of memory.
 * Owns: the caller; replay_buffer_free() (NULL is fine). Slots are memory that is touched only when they are used. */
struct replay_buffer *replay_buffer_create(uint32_t n_input, uint32_t size, uint32_t capacity, bool with_slots);
void replay_buffer_free(struct replay_buffer *buffer);

/* replay_buffer_reserve - room for more classes. -1: out of memory, as before. */
int replay_buffer_reserve(struct replay_buffer *buffer, uint32_t capacity);

/* replay_buffer_classes - how many classes there are from now on; never fewer than before. */
void replay_buffer_classes(struct replay_buffer *buffer, uint32_t n_classes);

/* replay_buffer_uncertainty - the byte for p, a probability; 0 for what is none. Grows with p (1 - p); below UNCERTAINTY_UNKNOWN. */
uint8_t replay_buffer_uncertainty(float p);

/* replay_buffer_add - a sample of that class was seen: copies the pixels into its slot, if the class has any. `id` is for the store alone. */
void replay_buffer_add(struct replay_buffer *buffer, uint64_t seed, uint32_t class_index, const uint8_t *pixels,
                       uint8_t uncertainty, int64_t id);

/* replay_buffer_draw - one of the samples, by 64 random bits; draws number 0 .. REPLAY_BUFFER_DRAWS of draw_bits(draw, .) are used up. False where
 * there is none. The pixels are the replay buffer's, until the next replay_buffer_add(). */
struct replay_buffer_drawn {
    uint32_t class_index, slot;
    const uint8_t *pixels;
};
bool replay_buffer_draw(const struct replay_buffer *buffer, uint64_t draw, struct replay_buffer_drawn *drawn);

/* replay_buffer_drawings - whether its images are drawings, light on a ground of 0: of the first one of each class, up to 16, half of the pixels are
 * 0, of up to 256 spread over each. False where there are no images. */
bool replay_buffer_drawings(const struct replay_buffer *buffer);

/* replay_buffer_saw - the uncertainty of a sample that was rehearsed just now. */
void replay_buffer_saw(struct replay_buffer *buffer, const struct replay_buffer_drawn *drawn, uint8_t uncertainty);

/* replay_buffer_copy - makes dst (of the same n_input and size, with room for src's classes) equal to src, as far as both have images. Where only
 * dst has them, they must be equal already. */
void replay_buffer_copy(struct replay_buffer *dst, const struct replay_buffer *src);

/* ---- for snapshots, which keep ids instead of images ---- */

/* replay_buffer_used - how many slots of that class hold a sample: slot 0 .. that - 1. */
uint32_t replay_buffer_used(const struct replay_buffer *buffer, uint32_t class_index);
int64_t replay_buffer_id(const struct replay_buffer *buffer, uint32_t class_index, uint32_t slot);
/* replay_buffer_pixels - the image in that slot, the replay buffer's own. */
const uint8_t *replay_buffer_pixels(const struct replay_buffer *buffer, uint32_t class_index, uint32_t slot);
/* replay_buffer_uncertainties - [replay_buffer_used()] of that class, the replay buffer's own. */
uint8_t *replay_buffer_uncertainties(const struct replay_buffer *buffer, uint32_t class_index);
/* replay_buffer_fill - puts id and pixels (NULL: not yet) into a slot as they were; neither counters nor sum change. */
void replay_buffer_fill(struct replay_buffer *buffer, uint32_t class_index, uint32_t slot, int64_t id,
                        const uint8_t *pixels);
/* replay_buffer_present - makes `present` from `seen`, after `seen` was read back. */
void replay_buffer_present(struct replay_buffer *buffer);
/* replay_buffer_check - whether the images are those that `sum` speaks of. Costs 50 ns a slot of 784 bytes. */
bool replay_buffer_check(const struct replay_buffer *buffer);

#endif
