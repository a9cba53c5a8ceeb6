/* picture.c - memory for the pixels of pictures, within the limits; see image/codec.h */
#include <stdlib.h>

#include "server/image/codec.h"

int image_too_heavy(struct image_limits *limits, struct err *err)
{
    limits->heavy = true;
    return err_set(err, ERR_BUSY, "this takes longer than can be spared here");
}

int image_take_pixels(struct image_limits *limits, uint64_t pixels, struct err *err)
{
    limits->pixels_taken += pixels;
    if (limits->light && limits->pixels_taken > IMAGE_LIGHT_PIXELS)
        return image_too_heavy(limits, err);
    if (limits->pixels_all == 0 || limits->pixels_taken <= limits->pixels_all)
        return 0;
    return err_set(err, ERR_TOO_LARGE,
                   "the pictures of the request have more than %llu pixels together, the limit (--request-pixels): "
                   "send fewer or smaller ones",
                   (unsigned long long)limits->pixels_all);
}

int picture_alloc(struct picture *out, uint32_t width, uint32_t height, uint64_t coded, uint64_t scans,
                  struct image_limits *limits, struct err *err)
{
    const uint64_t pixels = (uint64_t)width * height;
    const uint64_t read = coded * (1 + scans) / 16; /* what it costs to read them, whatever is made of them */
    if (pixels > limits->pixels_max || pixels > SIZE_MAX / 4)
        return err_set(err, ERR_IMAGE_LIMIT, "the picture is %u x %u pixels; the limit is %llu pixels (--image-pixels)",
                       width, height, (unsigned long long)limits->pixels_max);
    if (coded / CODED_PIXELS_MAX > limits->pixels_max)
        return err_set(err, ERR_IMAGE_LIMIT,
                       "the JPEG has %llu pixels, %u x %u at an eighth; the limit is %u times %llu pixels "
                       "(--image-pixels)",
                       (unsigned long long)coded, width, height, CODED_PIXELS_MAX,
                       (unsigned long long)limits->pixels_max);
    if (image_take_pixels(limits, limits->light ? coded * scans : pixels > read ? pixels : read, err) != 0)
        return -1;
    out->rgba = malloc((size_t)pixels * 4);
    if (out->rgba == NULL)
        return err_memory(err, "a picture of %u x %u pixels", width, height);
    out->width = width;
    out->height = height;
    return 0;
}

void picture_fini(struct picture *picture)
{
    free(picture->rgba);
    *picture = (struct picture){0};
}
