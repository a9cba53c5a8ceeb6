/* input_png.c - see image/input_png.h */
#include "server/image/input_png.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/image.h"

/* One pixel of the input in the picture's `depth` bytes. */
static void take_pixel(uint8_t *to, const uint8_t *pixels, size_t n_plane, size_t at, uint32_t channels)
{
    switch (channels) {
    case 2:
        memset(to, pixels[at], 3);
        to[3] = pixels[n_plane + at];
        break;
    case 3:
    case 4:
        for (uint32_t c = 0; c < channels; c++)
            to[c] = pixels[c * n_plane + at];
        break;
    default:
        *to = pixels[at];
        break;
    }
}

int planes_png(uint8_t **png, size_t *n_png, const uint8_t *pixels, const struct shape *shape, uint32_t scale,
               struct err *err)
{
    const bool coloured = shape->channels >= 2 && shape->channels <= 4;
    const size_t depth = !coloured ? 1 : shape->channels == 3 ? 3 : 4;
    const size_t n_plane = (size_t)shape->width * shape->height;
    const size_t rows = coloured ? shape->height : (size_t)shape->height * shape->channels;
    if (scale == 0 || scale > PLANES_SCALE_MAX)
        return err_set(err, ERR_VALUE, "scale must be from 1 to %u", PLANES_SCALE_MAX);
    if ((uint64_t)rows * shape->width * scale * scale > PLANES_PIXELS_MAX) /* 2^24 * 2^10 at the most */
        return err_set(err, ERR_LIMIT, "a picture of %llu x %llu pixels is too large: use a smaller scale",
                       (unsigned long long)shape->width * scale, (unsigned long long)rows * scale);
    const size_t stride = (size_t)shape->width * scale * depth;
    uint8_t *picture = malloc(stride * rows * scale);
    if (picture == NULL)
        return err_memory(err, "a picture");
    for (size_t y = 0; y < rows; y++) {
        uint8_t *first = picture + y * scale * stride, *to = first;
        for (size_t x = 0; x < shape->width; x++)
            for (uint32_t s = 0; s < scale; s++, to += depth)
                take_pixel(to, pixels, n_plane, y * shape->width + x, shape->channels);
        for (uint32_t s = 1; s < scale; s++)
            memcpy(first + s * stride, first, stride);
    }
    int status =
        image_encode_png(png, n_png, picture, shape->width * scale, (uint32_t)rows * scale, (unsigned)depth, err);
    free(picture);
    return status;
}
