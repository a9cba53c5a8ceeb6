/* image.c - see image/image.h: who decodes a file, and how it becomes an input. */
#include "server/image/image.h"

#include <string.h>

#include "server/image/codec.h"
#include "server/image/file_kind.h"

/* The input's sides that a JPEG keeps: of 16 pixels under each of the input, rounding is no matter; a drawing may fill a part of the picture only. */
#define SIDE_TIMES    4u
#define CONTENT_TIMES 16u

/* side: as image_decode_jpeg() says. */
static int decode(struct picture *out, const uint8_t *bytes, size_t n_bytes, uint32_t side, struct image_limits *limits,
                  struct err *err)
{
    if (n_bytes == 0)
        return err_set(err, ERR_EMPTY, "the picture is empty: 0 bytes");
    struct picture picture = {0};
    int status = -1;
    const struct file_kind kind = file_kind(bytes, n_bytes);
    if (kind.format == FILE_PNG)
        status = image_decode_png(&picture, bytes, n_bytes, limits, err);
    else if (kind.format == FILE_JPEG)
        status = image_decode_jpeg(&picture, bytes, n_bytes, side, limits, err);
#if HAVE_WEBP
    else if (kind.format == FILE_WEBP)
        status = image_decode_webp(&picture, bytes, n_bytes, limits, err);
#endif
    else
        file_refuse(kind, err);
    if (status != 0) {
        picture_fini(&picture);
        return -1;
    }
    *out = picture;
    out->cancel = limits->cancel;
    return 0;
}

int image_decode(struct picture *out, const uint8_t *bytes, size_t n_bytes, struct image_limits *limits,
                 struct err *err)
{
    return decode(out, bytes, n_bytes, 0, limits, err);
}

bool image_is_flat(const uint8_t *input, const struct shape *shape)
{
    const size_t n_plane = (size_t)shape->width * shape->height;
    for (uint32_t c = 0; c < shape->channels; c++)
        if (memcmp(input + c * n_plane, input + c * n_plane + 1, n_plane - 1) != 0) /* each pixel and the next */
            return false;
    return n_plane > 1;
}

int image_to_input(uint8_t *input, const struct shape *shape, enum fit fit, enum invert invert, const uint8_t *bytes,
                   size_t n_bytes, struct image_limits *limits, struct err *err)
{
    const uint64_t n_input = (uint64_t)shape->width * shape->height;
    const bool png = file_kind(bytes, n_bytes).format == FILE_PNG;
    if (png && shape->channels == 1 && n_input <= limits->pixels_max &&
        !(limits->light && n_input > IMAGE_LIGHT_PIXELS) &&
        (image_decode_png_plain(input, shape->width, shape->height, bytes, n_bytes) ||
         image_decode_png_grey(input, shape->width, shape->height, bytes, n_bytes))) {
        image_fit_grey(input, shape, invert);
        return image_take_pixels(limits, n_input, err);
    }
    const bool content = fit == FIT_CONTENT || fit == FIT_AUTO;
    const uint32_t side =
        (content ? CONTENT_TIMES : SIDE_TIMES) * (shape->width > shape->height ? shape->width : shape->height);
    struct picture picture;
    if (decode(&picture, bytes, n_bytes, side, limits, err) != 0)
        return -1;
    int status = image_fit(input, shape, fit, invert, &picture, err);
    picture_fini(&picture);
    return status;
}
