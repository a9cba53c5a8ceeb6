/* image.c - see image/image.h: who decodes a file. */
#include "server/image/image.h"

#include <stdlib.h>
#include <string.h>

#include "server/image/codec.h"
#include "server/image/file_kind.h"

int image_too_heavy(struct image_limits *limits, struct err *err)
{
    limits->heavy = true;
    return err_set(err, ERR_BUSY, "this takes longer than can be spared here");
}

int image_decode(struct picture *out, const uint8_t *bytes, size_t n_bytes, struct image_limits *limits,
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
        status = image_decode_jpeg(&picture, bytes, n_bytes, limits, err);
    else if (kind.name == NULL)
        err_set(err, ERR_MEDIA_TYPE, "not a PNG or JPEG");
    else
        err_set(err, ERR_MEDIA_TYPE, "not a PNG or JPEG: it looks like %s%s%s", kind.name,
                kind.advice != NULL ? "; " : "", kind.advice != NULL ? kind.advice : "");
    if (status != 0) {
        picture_fini(&picture);
        return -1;
    }
    *out = picture;
    out->cancel = limits->cancel;
    return 0;
}

bool image_is_flat(const uint8_t *input, const struct shape *shape)
{
    const size_t n_plane = (size_t)shape->width * shape->height;
    for (uint32_t c = 0; c < shape->channels; c++)
        if (memcmp(input + c * n_plane, input + c * n_plane + 1, n_plane - 1) != 0) /* each pixel and the next */
            return false;
    return n_plane > 1;
}

/* Room for so many pixels among those of all pictures. */
static int take_pixels(struct image_limits *limits, uint64_t pixels, struct err *err)
{
    limits->pixels_taken += pixels;
    if (limits->light && limits->pixels_taken > IMAGE_LIGHT_PIXELS)
        return image_too_heavy(limits, err);
    if (limits->pixels_all == 0 || limits->pixels_taken <= limits->pixels_all)
        return 0;
    return err_set(
        err, ERR_TOO_LARGE,
        "the pictures of this request have more than %llu pixels together, the most that are decoded for one "
        "(--request-pixels): send fewer in one, or smaller ones",
        (unsigned long long)limits->pixels_all);
}

int picture_alloc(struct picture *out, uint32_t width, uint32_t height, uint64_t scans, struct image_limits *limits,
                  struct err *err)
{
    const uint64_t pixels = (uint64_t)width * height;
    if (pixels > limits->pixels_max || pixels > SIZE_MAX / 4)
        return err_set(err, ERR_IMAGE_LIMIT, "the picture has %u x %u pixels, but at most %llu are taken", width,
                       height, (unsigned long long)limits->pixels_max);
    if (take_pixels(limits, limits->light ? pixels * scans : pixels * (1 + scans / 16), err) != 0)
        return -1;
    out->rgba = malloc((size_t)pixels * 4);
    if (out->rgba == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a picture of %u x %u pixels", width, height);
    out->width = width;
    out->height = height;
    return 0;
}

void picture_fini(struct picture *picture)
{
    free(picture->rgba);
    *picture = (struct picture){0};
}

int image_to_input(uint8_t *input, const struct shape *shape, const struct settings *settings, const uint8_t *bytes,
                   size_t n_bytes, struct image_limits *limits, struct err *err)
{
    const uint64_t n_input = (uint64_t)shape->width * shape->height;
    const bool png = file_kind(bytes, n_bytes).format == FILE_PNG;
    if (png && shape->channels == 1 && n_input <= limits->pixels_max &&
        !(limits->light && n_input > IMAGE_LIGHT_PIXELS) &&
        image_decode_png_grey(input, shape->width, shape->height, bytes, n_bytes)) {
        image_fit_grey(input, shape, settings->invert);
        return take_pixels(limits, n_input, err);
    }
    struct picture picture;
    if (image_decode(&picture, bytes, n_bytes, limits, err) != 0)
        return -1;
    int status = image_fit(input, shape, settings->fit, settings->invert, &picture, err);
    picture_fini(&picture);
    return status;
}
