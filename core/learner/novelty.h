/* novelty.h - how near an image is to what its class was taught: nearest-neighbour novelty detection.
 *
 *     v(z) = (l^1 / |l^1|, NOVELTY_INPUT^1/2 x / |x|)       of an image z, x and l^1 as the net sees it; a part of length 0 stays zero
 *     nearness of z to class c = max over the images y of c, other than z, of v(z) . v(y)
 *                              = the largest sum of two cosines: of the hidden layer, and with weight NOVELTY_INPUT of the input
 *     known(z, c) = share of the images y of c whose nearness to c is not larger than that of z
 *
 * What belongs to a class is nearer to some image of it than known * n of its n images are to each other, so known is near 0 for what is like
 * nothing that was taught, and spread over 0..1 for what is (in steps of 1/n: of few images it says little).
 *
 * The images are those of the replay buffer, NOVELTY_IMAGES of each class at most, evenly from its slots. The hidden layer alone takes noise for
 * a photograph, the input alone knows no shape: docs/learning.md has the figures, bench/defaults.md the experiments.
 *
 * Of one state: l^1 changes with every step, so the vectors are those of the weights they are asked with, and known is a function of (state,
 * image) as the prediction is. Nothing here is part of a state. The same bits on each machine: v is rounded to whole numbers, NOVELTY_ONE for 1, so that
 * the dot products are exact; by Cauchy and Schwarz no sum of some products is larger than NOVELTY_ONE^2 (1 + NOVELTY_INPUT) < 2^31.
 *
 * Costs, 28x28 and ten classes: images 60 us, vectors and nearness of 640 images 13 ms, once for a state; then 2 to 4 us a prediction.
 * Memory: at most NOVELTY_BYTES of vectors; where that is little (large inputs, many classes) there are fewer images of a class.
 */
#ifndef CONVD_CORE_LEARNER_NOVELTY_H
#define CONVD_CORE_LEARNER_NOVELTY_H

#include "core/err.h"
#include "core/learner/learner.h"

#define NOVELTY_IMAGES 64u         /* of a class, at most */
#define NOVELTY_BYTES  (16u << 20) /* of vectors          */
#define NOVELTY_INPUT  0.7F        /* weight of the input's cosine */
#define NOVELTY_ONE    32767.0F
#define NOVELTY_LEAST  2u /* images of a class below which nothing is known of it */

struct novelty {
    uint32_t n_classes, n_input, most; /* most: images of a class that there is room for */
    size_t ld;                         /* floats of a vector: lanes_up(n_1) + lanes_up(n_input) */
    uint32_t *n;                       /* [n_classes] images of each */
    uint8_t *pixels;                   /* [n_classes][most][n_input] */
    int16_t *vectors;                  /* [n_classes][most][ld] */
    int32_t *nearness;                 /* [n_classes][most] of the images of each class to the others, ascending */
};

/* novelty_create - with the images of a learner that learns (its replay buffer has slots), and not yet of use. NULL: out of memory.
 * Owns: the caller; novelty_free(), NULL is fine. */
struct novelty *novelty_create(const struct learner *learner);
void novelty_free(struct novelty *novelty);

/* novelty_measure - the vectors and nearness of its images, by that state, which must be the one it was created of, or a copy. */
void novelty_measure(struct novelty *novelty, const struct learner *learner, struct workspace *ws);

/* novelty_known - after novelty_measure(), and after net_forward() of an image in ws with the same state: known of that class; NaN where fewer than
 * NOVELTY_LEAST images of it are there. Threads: any number, each with its own workspace, of which it changes ws->vector alone. */
float novelty_known(const struct novelty *novelty, const struct learner *learner, uint32_t class_index,
                    struct workspace *ws);

#endif
