/* jitter.h - a past image, a little displaced: what makes rehearsing worth more than seeing the same again.
 *
 * Each drawn image is the old one turned round its centre and shifted, sampled between its pixels:
 *
 *     out(x, y) = in(c + R(-t) ((x, y) - c) - d)          c = ((width - 1) / 2, (height - 1) / 2)
 *     d_x, d_y uniform in [-shift, shift)                  pixels
 *     t        uniform in [-degrees, degrees)              counted clockwise as the image is looked at, y downwards
 *
 * in() between pixels is bilinear, in steps of 1/256 of a pixel; beyond the border it is the border's nearest pixel: a dark
 * frame round a light picture would be something to learn. All channels are displaced alike.
 *
 * The same bits everywhere: three draws by counter, a polynomial for sine and cosine in double precision (+ and * alone,
 * no libm, no contraction), and integers from there on. Whoever changes a bit of it changes what a replay gives: with
 * ARITHMETIC_VERSION, as any change of the arithmetic.
 */
#ifndef CONVD_CORE_JITTER_H
#define CONVD_CORE_JITTER_H

#include <stdint.h>

#include "core/shape.h"

#define JITTER_SHIFT_MAX   16.0 /* pixels  */
#define JITTER_DEGREES_MAX 45.0 /* degrees */

/* jitter_apply - the displacement that `draw` gives, applied.
 *
 * Shapes: out, pixels [channels][height][width]. Errors: none; shift and degrees are within 0 and their limits above.
 * Owns: nothing; out may not overlap pixels. Costs 1.3 us for 28x28; a copy where shift and degrees are 0. */
void jitter_apply(uint8_t *out, const uint8_t *pixels, const struct shape *shape, float shift, float degrees,
                  uint64_t draw);

#endif
