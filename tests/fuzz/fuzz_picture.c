/* fuzz_picture.c - PNG, JPEG and WebP, decoded and fitted. First byte: how to fit, when to invert, how many channels; from ROWS on, what follows is
 * the filtered rows of a plain PNG.
 */
#include <zlib.h>

#include "server/image/codec.h"
#include "tests/fuzz/fuzz.h"

#define PIXELS_MAX (1u << 16)
#define ROWS       240
#define WIDTH      7u

static uint8_t *put_u32(uint8_t *at, uint32_t number)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(number >> shift);
    return at;
}

/* Behind its n bytes, which begin 8 bytes after `chunk`. */
static uint8_t *end_chunk(uint8_t *chunk, const char *name, uint32_t n)
{
    (void)put_u32(chunk, n);
    memcpy(chunk + 4, name, 4);
    return put_u32(chunk + 8 + n, (uint32_t)crc32(0, chunk + 4, n + 4));
}

/* A plain PNG of those rows: stored, every checksum right. Returns its size. */
static size_t plain_png(uint8_t png[static 8192 + 128], const uint8_t *rows, uint32_t height)
{
    const uint32_t n = height * (WIDTH + 1);
    const uint8_t head[] = {0x78, 0x01, 1, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)~n, (uint8_t)(~n >> 8)};
    uint8_t *at = png + 8;
    memcpy(png, "\x89PNG\r\n\x1a\n", 8);
    memcpy(put_u32(put_u32(at + 8, WIDTH), height), "\x08\0\0\0", 5);
    at = end_chunk(at, "IHDR", 13);
    memcpy(at + 8, head, sizeof head);
    memcpy(at + 8 + sizeof head, rows, n);
    (void)put_u32(at + 8 + sizeof head + n, (uint32_t)adler32(1, rows, n));
    at = end_chunk(at, "IDAT", (uint32_t)sizeof head + n + 4);
    return (size_t)(end_chunk(at, "IEND", 0) - png);
}

/* What the short way takes, libspng decodes to the same. */
static void must_be_same(const uint8_t *bytes, size_t n_bytes, const struct picture *picture)
{
    static uint8_t grey[PIXELS_MAX];
    const uint32_t n = picture->width * picture->height;
    const bool plain = image_decode_png_plain(grey, picture->width, picture->height, bytes, n_bytes);
    for (uint32_t i = 0; plain && i < n; i++)
        must(memcmp(picture->rgba + (size_t)i * 4, (uint8_t[]){grey[i], grey[i], grey[i], 255}, 4) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t how = take(&bytes, &n_bytes), png[8192 + 128];
    const uint32_t height = (uint32_t)(n_bytes < 8192 ? n_bytes : 8192) / (WIDTH + 1);
    if (how >= ROWS && height > 0) {
        uint8_t grey[8192];
        bool filters = true;
        for (uint32_t y = 0; y < height; y++)
            filters = filters && bytes[(size_t)y * (WIDTH + 1)] <= 4;
        n_bytes = plain_png(png, bytes, height);
        bytes = png;
        must(image_decode_png_plain(grey, WIDTH, height, png, n_bytes) == filters);
    }
    uint8_t *copy = exact(bytes, n_bytes);
    struct picture picture = {0};
    struct err err;
    if (image_decode(&picture, copy, n_bytes, &(struct image_limits){.pixels_max = PIXELS_MAX}, &err) != 0) {
        must_tell(&err);
        must(picture.rgba == NULL);
    } else {
        uint8_t once[4 * 7 * 5], again[sizeof once];
        struct shape shape = shape_default();
        must_be_same(copy, n_bytes, &picture);
        must(picture.width > 0 && picture.height > 0 && (uint64_t)picture.width * picture.height <= PIXELS_MAX);
        shape.width = 7;
        shape.height = 5;
        shape.channels = 1 + (how / 15) % 4;
        shape.n_input = shape.width * shape.height * shape.channels;
        enum fit fit = (enum fit)(how % 5);
        enum invert invert = (enum invert)((how / 5) % 3);
        must(image_fit(once, &shape, fit, invert, &picture, &err) == 0);
        must(image_fit(again, &shape, fit, invert, &picture, &err) == 0);
        must(memcmp(once, again, shape.n_input) == 0);
        struct image_limits limits = {.pixels_max = PIXELS_MAX}; /* a large JPEG smaller now */
        must(image_to_input(again, &shape, fit, invert, copy, n_bytes, &limits, &err) == 0);
    }
    picture_fini(&picture);
    free(copy);
    return 0;
}
