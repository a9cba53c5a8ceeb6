/* codec.h - what image/picture.c gives the decoders, and they and the fit give image/image.c. Private to server/image.
 *
 * image_decode_png(), _jpeg() and _webp() take *out zeroed, check the header against the limits before they take memory, and leave in *out only what
 * picture_fini() may release, whether they succeed or not. Errors: as image_decode().
 */
#ifndef CONVD_SERVER_IMAGE_CODEC_H
#define CONVD_SERVER_IMAGE_CODEC_H

#include <stdbool.h>

#include "server/image/image.h"

int image_decode_png(struct picture *out, const uint8_t *bytes, size_t n_bytes, struct image_limits *limits,
                     struct err *err);
/* side: a larger JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as each side keeps so many pixels; 0: it may not. */
int image_decode_jpeg(struct picture *out, const uint8_t *bytes, size_t n_bytes, uint32_t side,
                      struct image_limits *limits, struct err *err);

int image_decode_webp(struct picture *out, const uint8_t *bytes, size_t n_bytes, struct image_limits *limits,
                      struct err *err);

/* image_decode_png_plain - image/png_plain.c: what image_decode_png_grey() gives, of a file that has nothing in it but pixels, in a third of its time.
 * false: it is another kind of file, or too large, or damaged, or memory is out; then that one has the word. grey is written either way. */
bool image_decode_png_plain(uint8_t *grey, uint32_t width, uint32_t height, const uint8_t *bytes, size_t n_bytes);

/* image_decode_png_grey - a PNG of 8-bit grey without transparency or EXIF and of exactly that size, as it is, into grey [height][width]: a third
 * of the time of image_decode() and image_fit(), for what programs send that know the model's input.
 * false: it is another kind of file, or damaged, or memory is out; then image_decode() has the word. grey is written either way. */
bool image_decode_png_grey(uint8_t *grey, uint32_t width, uint32_t height, const uint8_t *bytes, size_t n_bytes);

/* image_fit_grey - what image_fit() does to an opaque grey picture of the input's own size: inverts it in place, or not. */
void image_fit_grey(uint8_t *input, const struct shape *shape, enum invert invert);

/* picture_content - the drawing that is in the picture, cut out for an input of that shape: image/content.c says how. *out is left as it is, zeroed,
 * where there is none. Errors: ERR_MEMORY, those of cancel_err(). */
int picture_content(struct picture *out, const struct shape *shape, const struct picture *picture, struct err *err);

/* exif_orientation - how the stored pixels lie, 1 to 8, out of a TIFF of EXIF; jpeg_orientation - out of a JPEG's segments. 1, which is upright,
 * where nothing sound is said. Never reads outside, whatever the bytes are. */
unsigned exif_orientation(const uint8_t *bytes, size_t n_bytes);
unsigned jpeg_orientation(const uint8_t *bytes, size_t n_bytes);

/* picture_turn - puts such a picture upright, into new memory of the same size: for that moment it takes 8 bytes a pixel. Errors: ERR_MEMORY,
 * and the picture stays. */
int picture_turn(struct picture *picture, unsigned orientation, struct err *err);

/* picture_alloc - memory for width x height, neither 0, out of a file of so many pixels, `coded`, which it goes over in so many scans.
 * Errors: ERR_IMAGE_LIMIT when the product is over pixels_max, or coded over CODED_PIXELS_MAX times that; ERR_TOO_LARGE when all together are
 * over pixels_all, ERR_MEMORY; or it is too heavy. */
#define CODED_PIXELS_MAX 16u /* 256 Mi pixels, of pixels_max's default */
int picture_alloc(struct picture *out, uint32_t width, uint32_t height, uint64_t coded, uint64_t scans,
                  struct image_limits *limits, struct err *err);

/* image_take_pixels - so many among those of all pictures. Errors: ERR_TOO_LARGE; or it is too heavy. */
int image_take_pixels(struct image_limits *limits, uint64_t pixels, struct err *err);

#endif
