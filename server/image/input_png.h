/* input_png.h - an input of the network as a picture: what it saw, for people. */
#ifndef CONVD_SERVER_IMAGE_INPUT_PNG_H
#define CONVD_SERVER_IMAGE_INPUT_PNG_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/shape.h"

#define PLANES_SCALE_MAX 32u

/* planes_png - malloc'ed PNG of pixels [channels][height][width], each pixel a square of scale x scale.
 *
 * Planes are what image_fit() makes of a picture: 1: grey, 2: grey and alpha, 3: RGB, 4: RGB and alpha. More have no meaning as
 * colours: they stand below each other, in grey. Errors: ERR_VALUE (scale is 0 or too large), ERR_LIMIT (the picture would
 * have more than PLANES_PIXELS_MAX pixels), ERR_MEMORY. */
#define PLANES_PIXELS_MAX (16u << 20)
int planes_png(uint8_t **png, size_t *n_png, const uint8_t *pixels, const struct shape *shape, uint32_t scale,
               struct err *err);

#endif
