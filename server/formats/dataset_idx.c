/* dataset_idx.c - a pair of IDX files.
 *
 *   bytes 0, 1    0
 *   byte 2        type of the values: 8 is unsigned byte, the only one that convd reads
 *   byte 3        number of dimensions: 1 for labels, 3 or 4 for images
 *   4 bytes each  the dimensions, big-endian
 *   the rest      the values, the last dimension running fastest
 *
 * zlib's gzread() reads plain and gzipped files alike. A header may lie about what follows, so memory grows with what
 * is really there, and never to what is only said.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "server/formats/dataset_source.h"
#include "server/image/image.h"

#define STEP_BYTES   ((size_t)16 << 20) /* memory that is taken at first */
#define VALUES_MAX   ((uint64_t)1 << 40)
#define CHANNELS_MAX SHAPE_CHANNELS_MAX

struct idx {
    unsigned n_sides;
    uint64_t side[4];
    uint64_t n_values;
    uint8_t *values;
};

/* Why gzread() gave less than was asked for. */
static int explain(gzFile file, const char *path, struct err *err)
{
    int code = Z_OK;
    const char *text = gzerror(file, &code);
    if (code == Z_ERRNO)
        return err_set(err, ERR_FILE, "cannot read %.200s: %s", path, strerror(errno));
    if (code == Z_MEM_ERROR)
        return err_memory(err, "reading %.200s", path);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return err_set(err, ERR_FILE, "%.200s is corrupt: %.60s", path, text);
    return err_set(err, ERR_FILE, "%.200s is truncated", path);
}

/* Exactly n bytes. */
static int read_bytes(gzFile file, uint8_t *to, size_t n, const char *path, struct err *err)
{
    while (n > 0) {
        const unsigned part = n < (1U << 30) ? (unsigned)n : 1U << 30;
        const int got = gzread(file, to, part);
        if (got <= 0)
            return explain(file, path, err);
        to += got;
        n -= (size_t)got;
    }
    return 0;
}

static int read_header(struct idx *idx, gzFile file, const char *path, struct err *err)
{
    uint8_t b[4];
    if (read_bytes(file, b, 4, path, err) != 0)
        return -1;
    if (b[0] != 0 || b[1] != 0)
        return err_set(err, ERR_FILE, "%.200s is not an IDX file", path);
    if (b[2] != 8 || (b[3] != 1 && b[3] != 3 && b[3] != 4))
        return err_set(
            err, ERR_FILE,
            "%.200s is IDX of type 0x%02x with %u dimensions, but convd reads bytes (0x08) with 1 (labels), 3 "
            "or 4 (images)",
            path, b[2], b[3]);
    idx->n_sides = b[3];
    idx->n_values = 1;
    for (unsigned i = 0; i < idx->n_sides; i++) {
        if (read_bytes(file, b, 4, path, err) != 0)
            return -1;
        const uint64_t side = (uint64_t)b[0] << 24 | (uint64_t)b[1] << 16 | (uint64_t)b[2] << 8 | b[3];
        if (side == 0 && i > 0)
            return err_set(err, ERR_FILE, "%.200s holds images without pixels", path);
        /* Below 2^40 times below 2^32 does not overflow. */
        if ((idx->n_values *= side) > VALUES_MAX)
            return err_set(err, ERR_FILE, "%.200s claims more than %llu values", path, (unsigned long long)VALUES_MAX);
        idx->side[i] = side;
    }
    return 0;
}

static int read_values(struct idx *idx, gzFile file, const char *path, struct err *err)
{
    if (idx->n_values > SIZE_MAX / 2)
        return err_memory(err, "%.200s", path);
    const size_t n = (size_t)idx->n_values;
    size_t size = n < STEP_BYTES ? n : STEP_BYTES;
    for (size_t at = 0; at < n || idx->values == NULL; at = size, size = n - size < size ? n : 2 * size) {
        uint8_t *values = realloc(idx->values, size == 0 ? 1 : size);
        if (values == NULL)
            return err_memory(err, "%zu bytes of %.200s", size, path);
        idx->values = values;
        if (read_bytes(file, values + at, size - at, path, err) != 0)
            return -1;
    }
    /* The one byte more also makes zlib compare a gzip file's checksum, which is behind the last value. */
    uint8_t more;
    const int got = gzread(file, &more, 1);
    if (got > 0)
        return err_set(err, ERR_FILE, "%.200s is longer than its header says", path);
    return got == 0 ? 0 : explain(file, path, err);
}

static int idx_load(struct idx *idx, const char *path, struct err *err)
{
    errno = 0;
    gzFile file = gzopen(path, "rb");
    if (file == NULL)
        return err_set(err, errno == 0 ? ERR_MEMORY : ERR_FILE, "cannot open %.200s: %s", path,
                       errno == 0 ? "out of memory" : strerror(errno));
    (void)gzbuffer(file, 128 << 10);
    int status = read_header(idx, file, path, err) != 0 || read_values(idx, file, path, err) != 0 ? -1 : 0;
    if (gzclose_r(file) == Z_BUF_ERROR && status == 0) /* all values are there, but not what ends a gzip file */
        status = err_set(err, ERR_FILE, "%.200s is truncated", path);
    return status;
}

static int take_images(struct idx_pair *pair, struct idx *idx, const char *path, struct err *err)
{
    const bool planes = idx->n_sides == 4;
    const uint64_t channels = planes ? idx->side[1] : 1, height = idx->side[idx->n_sides - 2],
                   width = idx->side[idx->n_sides - 1];
    if (channels > CHANNELS_MAX || width * height > IMAGE_PIXELS_MAX_DEFAULT)
        return err_set(err, ERR_FILE,
                       "%.200s holds images of %llu x %llu x %llu, ; the limit is %u pixels and %u channels", path,
                       (unsigned long long)width, (unsigned long long)height, (unsigned long long)channels,
                       IMAGE_PIXELS_MAX_DEFAULT, CHANNELS_MAX);
    pair->path = strdup(path);
    if (pair->path == NULL)
        return err_memory(err, "%.200s", path);
    pair->width = (uint32_t)width;
    pair->height = (uint32_t)height;
    pair->channels = (uint32_t)channels;
    pair->length = idx->side[0];
    pair->pixels = idx->values;
    idx->values = NULL;
    return 0;
}

int idx_pair_open(struct idx_pair *pair, const char *a, const char *b, struct err *err)
{
    int status = -1;
    struct idx one = {0}, other = {0};
    struct idx *images = &one, *labels = &other;
    if (idx_load(&one, a, err) != 0 || idx_load(&other, b, err) != 0)
        goto out;
    if ((one.n_sides == 1) == (other.n_sides == 1)) {
        err_set(err, ERR_FILE, "%.100s and %.100s both hold %s: one must hold images and the other their labels", a, b,
                one.n_sides == 1 ? "labels" : "images");
        goto out;
    }
    if (one.n_sides == 1) {
        images = &other;
        labels = &one;
        const char *path = a;
        a = b;
        b = path;
    }
    if (images->side[0] != labels->side[0]) {
        err_set(err, ERR_FILE, "%.100s holds %llu images, but %.100s %llu labels", a,
                (unsigned long long)images->side[0], b, (unsigned long long)labels->side[0]);
        goto out;
    }
    if (take_images(pair, images, a, err) != 0)
        goto out;
    pair->labels = labels->values;
    labels->values = NULL;
    status = 0;
out:
    free(one.values);
    free(other.values);
    if (status != 0)
        idx_pair_close(pair);
    return status;
}

void idx_pair_close(struct idx_pair *pair)
{
    free(pair->path);
    free(pair->pixels);
    free(pair->labels);
    free(pair->rgba);
    *pair = (struct idx_pair){0};
}

/* The planes as a picture: grey, grey and alpha, RGB or RGBA. */
static void to_picture(uint8_t *rgba, const uint8_t *pixels, size_t n_plane, unsigned channels)
{
    for (size_t i = 0; i < n_plane; i++) {
        const bool coloured = channels >= 3;
        rgba[4 * i] = pixels[i];
        rgba[4 * i + 1] = coloured ? pixels[n_plane + i] : pixels[i];
        rgba[4 * i + 2] = coloured ? pixels[2 * n_plane + i] : pixels[i];
        rgba[4 * i + 3] = channels % 2 == 0 ? pixels[(channels - 1) * n_plane + i] : 255;
    }
}

int idx_pair_get(struct idx_pair *pair, uint64_t i, const struct shape *shape, const struct settings *settings,
                 uint8_t *input, const char **label, struct err *err)
{
    const size_t n_plane = (size_t)pair->width * pair->height, n_image = n_plane * pair->channels;
    const uint8_t *pixels = pair->pixels + (size_t)i * n_image;
    (void)snprintf(pair->label, sizeof pair->label, "%u", pair->labels[i]);
    *label = pair->label;
    if (pair->width == shape->width && pair->height == shape->height && pair->channels == shape->channels) {
        memcpy(input, pixels, n_image);
        return 0;
    }
    if (pair->channels > 4)
        return err_set(err, ERR_VALUE,
                       "%.200s: images of %u channels must have the size and channels of the model's input", pair->path,
                       pair->channels);
    if (pair->rgba == NULL && (pair->rgba = malloc(n_plane * 4)) == NULL)
        return err_memory(err, "an image of %.200s", pair->path);
    to_picture(pair->rgba, pixels, n_plane, pair->channels);
    const struct picture picture = {.width = pair->width, .height = pair->height, .rgba = pair->rgba};
    if (image_fit(input, shape, settings->fit, INVERT_NEVER, &picture, err) != 0)
        return err_wrap(err, "%.200s", pair->path);
    return 0;
}
