/* image.c - see image.h: what a file is, who decodes it. */
#include "server/image.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/image_codec.h"

enum image_format image_sniff(const uint8_t *bytes, size_t n_bytes)
{
    if (n_bytes >= 4 && memcmp(bytes, "\x89PNG", 4) == 0)
        return IMAGE_PNG;
    if (n_bytes >= 3 && memcmp(bytes, "\xFF\xD8\xFF", 3) == 0)
        return IMAGE_JPEG;
    return IMAGE_UNKNOWN;
}

static bool has(const uint8_t *bytes, size_t n_bytes, size_t at, const char *magic)
{
    size_t n = strlen(magic);
    return n_bytes >= at + n && memcmp(bytes + at, magic, n) == 0;
}

static bool is_text(const uint8_t *bytes, size_t n_bytes)
{
    size_t n = n_bytes < 256 ? n_bytes : 256;
    for (size_t i = 0; i < n; i++)
        if ((bytes[i] < 0x20 && strchr("\t\n\r\f", bytes[i]) == NULL) || bytes[i] == 0 || bytes[i] == 0x7F)
            return false;
    return true;
}

/* A name for what was sent instead of a picture that convd reads: most such errors are a wrong file. */
static const char *guess(const uint8_t *bytes, size_t n_bytes)
{
    static const struct {
        size_t at;
        const char *magic, *name;
    } known[] = {
        {0, "GIF8", "a GIF"},
        {8, "WEBP", "a WebP"},
        {0, "BM", "a BMP"},
        {0, "II*", "a TIFF"},
        {0, "MM", "a TIFF"},
        {4, "ftypavif", "an AVIF"},
        {4, "ftyphei", "a HEIC"},
        {4, "ftypmif1", "a HEIF"},
        {0, "%PDF", "a PDF"},
        {0, "\x1F\x8B", "gzip data"},
        {0, "PK\x03\x04", "a zip archive"},
        {0, "<svg", "an SVG"},
        {0, "<?xml", "XML"},
        {0, "<!DOCTYPE", "HTML"},
        {0, "<html", "HTML"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (has(bytes, n_bytes, known[i].at, known[i].magic))
            return known[i].name;
    return is_text(bytes, n_bytes) ? "text" : NULL;
}

int image_decode(struct picture *out, const uint8_t *bytes, size_t n_bytes, uint64_t pixels_max, struct err *err)
{
    if (n_bytes == 0)
        return err_set(err, ERR_EMPTY, "the picture is empty: 0 bytes");
    struct picture picture = {0};
    int status = -1;
    switch (image_sniff(bytes, n_bytes)) {
    case IMAGE_PNG:
        status = image_decode_png(&picture, bytes, n_bytes, pixels_max, err);
        break;
    case IMAGE_JPEG:
        status = image_decode_jpeg(&picture, bytes, n_bytes, pixels_max, err);
        break;
    case IMAGE_UNKNOWN: {
        const char *name = guess(bytes, n_bytes);
        if (name == NULL)
            err_set(err, ERR_MEDIA_TYPE, "not a PNG or JPEG");
        else
            err_set(err, ERR_MEDIA_TYPE, "not a PNG or JPEG: it looks like %s", name);
        break;
    }
    }
    if (status != 0) {
        picture_fini(&picture);
        return -1;
    }
    *out = picture;
    return 0;
}

int picture_alloc(struct picture *out, uint32_t width, uint32_t height, uint64_t pixels_max, struct err *err)
{
    uint64_t pixels = (uint64_t)width * height;
    if (pixels > pixels_max || pixels > SIZE_MAX / 4)
        return err_set(err, ERR_IMAGE_LIMIT, "the picture has %u x %u pixels, but at most %llu are taken", width,
                       height, (unsigned long long)pixels_max);
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
                   size_t n_bytes, uint64_t pixels_max, struct err *err)
{
    if (shape->channels == 1 && (uint64_t)shape->width * shape->height <= pixels_max &&
        image_sniff(bytes, n_bytes) == IMAGE_PNG &&
        image_decode_png_grey(input, shape->width, shape->height, bytes, n_bytes)) {
        image_fit_grey(input, shape, settings->invert);
        return 0;
    }
    struct picture picture;
    if (image_decode(&picture, bytes, n_bytes, pixels_max, err) != 0)
        return -1;
    int status = image_fit(input, shape, settings->fit, settings->invert, &picture, err);
    picture_fini(&picture);
    return status;
}
