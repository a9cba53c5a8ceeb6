/* image.h - from an uploaded picture to the network's uint8 input, the same way on every machine.
 *
 * Only image.c knows libspng and libjpeg-turbo; both are chosen for the limits that can be set on them.
 *
 *   decode   PNG of any colour type and depth (palette, grey 1..16 bit, RGB, alpha, 16 bit), JPEG grey, YCbCr, CMYK refused
 *            or converted -> 8-bit RGBA. EXIF orientation is not applied.
 *   alpha    laid over black (over white when the picture is to be inverted afterwards: ink on a transparent ground stays ink)
 *   grey     (299 R + 587 G + 114 B + 500) / 1000; channels = 1
 *   colour   channels = 3: R, G, B planes; channels = 4: R, G, B, A; 2: grey, A
 *   fit      integer area averaging (exact: each output pixel is the rounded mean of the input area under it); enlarging the same way
 *   invert   255 - v, after the fit, per settings.invert
 *
 * All in integers: no float, no rounding mode, no instruction set can change a bit.
 */
#ifndef CONVD_SERVER_IMAGE_H
#define CONVD_SERVER_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/settings.h"
#include "core/shape.h"

#define IMAGE_PIXELS_MAX_DEFAULT (16u << 20) /* 16 Mi pixels decoded: 64 MiB */

enum image_format { IMAGE_UNKNOWN, IMAGE_PNG, IMAGE_JPEG };

/* image_sniff - by the first bytes, whatever the name or content type says. */
enum image_format image_sniff(const uint8_t *bytes, size_t n_bytes);

struct picture {
    uint32_t width, height;
    uint8_t *rgba; /* [height][width][4]; owned */
};

/* image_decode - Errors: ERR_MEDIA_TYPE (not PNG or JPEG; the text names what was found where it can), ERR_IMAGE (truncated, corrupt),
 * ERR_IMAGE_LIMIT (says the limit), ERR_MEMORY. picture_fini() accepts a zeroed struct. */
int image_decode(struct picture *out, const uint8_t *bytes, size_t n_bytes, uint64_t pixels_max, struct err *err);
void picture_fini(struct picture *picture);

/* image_fit - fills input [channels][height][width]. Errors: ERR_VALUE when the shape's channels have no meaning
 * for a picture (more than 4): raw bodies still work; ERR_MEMORY. */
int image_fit(uint8_t *input, const struct shape *shape, enum fit fit, enum invert invert,
              const struct picture *picture, struct err *err);

/* image_to_input - decode and fit in one. */
int image_to_input(uint8_t *input, const struct shape *shape, const struct settings *settings, const uint8_t *bytes,
                   size_t n_bytes, uint64_t pixels_max, struct err *err);

/* image_encode_png - malloc'ed PNG of 8-bit pixels, channels 1 (grey), 3 (RGB) or 4 (RGBA), interleaved. Same bits for same pixels. */
int image_encode_png(uint8_t **png, size_t *n_png, const uint8_t *pixels, uint32_t width, uint32_t height,
                     unsigned channels, struct err *err);

#endif
