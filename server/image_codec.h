/* image_codec.h - what the two decoders give image.c. Private to image*.c.
 *
 * Both take *out zeroed, check the header against pixels_max before they take memory, and leave in *out only what
 * picture_fini() may release, whether they succeed or not. Errors: as image_decode().
 */
#ifndef CONVD_SERVER_IMAGE_CODEC_H
#define CONVD_SERVER_IMAGE_CODEC_H

#include "server/image.h"

int image_decode_png(struct picture *out, const uint8_t *bytes, size_t n_bytes, uint64_t pixels_max, struct err *err);
int image_decode_jpeg(struct picture *out, const uint8_t *bytes, size_t n_bytes, uint64_t pixels_max, struct err *err);

/* picture_alloc - memory for width x height, neither 0. Errors: ERR_IMAGE_LIMIT when the product is over pixels_max,
 * ERR_MEMORY. */
int picture_alloc(struct picture *out, uint32_t width, uint32_t height, uint64_t pixels_max, struct err *err);

#endif
