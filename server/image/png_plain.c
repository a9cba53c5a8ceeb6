/* png_plain.c - the PNG of a program that knows the model's input: 8-bit grey of its size, and nothing in it but pixels. The one file that knows
 * libdeflate.
 *
 * Signature, IHDR, one IDAT, IEND, every checksum right: such a file is inflated at once, in a third of zlib's time, and its rows are filtered back
 * as the PNG specification says (9.2). Whatever differs is left to libspng (image/png.c), errors above all: nothing is refused here. Both the rows
 * and the file are bounded, since nobody can stop libdeflate: it is done in 20 us.
 */
#include <libdeflate.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/codec.h"

#define ROWS_BYTES_MAX 16384u /* each row with the byte that names its filter             */
#define SLACK_BYTES    1024u  /* of a file over its rows: what does not compress is stored */

#define SIGNATURE   "\x89PNG\r\n\x1a\n"
#define IHDR_AT     ((size_t)8)
#define IHDR_BYTES  ((size_t)13)
#define CHUNK_BYTES ((size_t)12) /* of length, name and checksum */
#define IDAT_AT     (IHDR_AT + CHUNK_BYTES + IHDR_BYTES)

/* ---- the thread's own inflater: making one takes longer than an image does ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key;

static void free_inflater(void *inflater)
{
    libdeflate_free_decompressor(inflater);
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, free_inflater) == 0;
}

/* NULL: out of memory. */
static struct libdeflate_decompressor *get_inflater(void)
{
    (void)pthread_once(&once, make_key);
    if (!has_key)
        return NULL;
    struct libdeflate_decompressor *inflater = pthread_getspecific(key);
    if (inflater != NULL)
        return inflater;
    inflater = libdeflate_alloc_decompressor();
    if (pthread_setspecific(key, inflater) == 0)
        return inflater;
    libdeflate_free_decompressor(inflater);
    return NULL;
}

/* ---- chunks ---- */

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Whether there is the whole of a chunk of that name and length. */
static bool is_chunk(const uint8_t *at, const char *name, size_t n)
{
    return read_u32(at) == n && memcmp(at + 4, name, 4) == 0 &&
           libdeflate_crc32(0, at + 4, 4 + n) == read_u32(at + 8 + n);
}

/* Whether the file is plain, and of that size; its IDAT has *n bytes. */
static bool is_plain(size_t *n, uint32_t width, uint32_t height, const uint8_t *bytes, size_t n_bytes)
{
    static const uint8_t grey8[] = {8, 0, 0, 0, 0}; /* depth, colour type, compression, filters, interlacing */
    const uint8_t *ihdr = bytes + IHDR_AT + 8;
    if (n_bytes < IDAT_AT + 2 * CHUNK_BYTES)
        return false;
    *n = n_bytes - IDAT_AT - 2 * CHUNK_BYTES;
    return memcmp(bytes, SIGNATURE, IHDR_AT) == 0 && is_chunk(bytes + IHDR_AT, "IHDR", IHDR_BYTES) &&
           read_u32(ihdr) == width && read_u32(ihdr + 4) == height && memcmp(ihdr + 8, grey8, sizeof grey8) == 0 &&
           is_chunk(bytes + IDAT_AT, "IDAT", *n) && is_chunk(bytes + n_bytes - CHUNK_BYTES, "IEND", 0);
}

/* ---- rows ---- */

/* Whichever of the three is nearest to left + up - corner; the first of those that are as near. */
static uint8_t paeth(int left, int up, int corner)
{
    const int to_left = abs(up - corner), to_up = abs(left - corner), to_corner = abs(left + up - 2 * corner);
    return (uint8_t)(to_left <= to_up && to_left <= to_corner ? left : to_up <= to_corner ? up : corner);
}

/* row [width] of what its filter left of it, in[1..width]; in[0] is the filter. above: the row above it, zeros for the first. */
static bool unfilter(uint8_t *row, const uint8_t *above, const uint8_t *in, uint32_t width)
{
    uint8_t left = 0, corner = 0;
    const uint8_t filter = *in++;
    switch (filter) {
    case 0: /* none */
        memcpy(row, in, width);
        return true;
    case 1: /* sub */
        for (uint32_t x = 0; x < width; x++)
            row[x] = left = (uint8_t)(in[x] + left);
        return true;
    case 2: /* up */
        for (uint32_t x = 0; x < width; x++)
            row[x] = (uint8_t)(in[x] + above[x]);
        return true;
    case 3: /* average */
        for (uint32_t x = 0; x < width; x++)
            row[x] = left = (uint8_t)(in[x] + (left + above[x]) / 2);
        return true;
    case 4: /* Paeth */
        for (uint32_t x = 0; x < width; x++) {
            row[x] = left = (uint8_t)(in[x] + paeth(left, above[x], corner));
            corner = above[x];
        }
        return true;
    default:
        return false;
    }
}

bool image_decode_png_plain(uint8_t *grey, uint32_t width, uint32_t height, const uint8_t *bytes, size_t n_bytes)
{
    uint8_t rows[ROWS_BYTES_MAX], zeros[ROWS_BYTES_MAX];
    const uint64_t n_rows = ((uint64_t)width + 1) * height;
    size_t n = 0, n_used = 0;
    if (n_rows > sizeof rows || n_bytes > n_rows + SLACK_BYTES || !is_plain(&n, width, height, bytes, n_bytes))
        return false;
    struct libdeflate_decompressor *inflater = get_inflater();
    if (inflater == NULL ||
        libdeflate_zlib_decompress_ex(inflater, bytes + IDAT_AT + 8, n, rows, (size_t)n_rows, &n_used, NULL) !=
            LIBDEFLATE_SUCCESS ||
        n_used != n)
        return false;
    memset(zeros, 0, width);
    for (uint32_t y = 0; y < height; y++)
        if (!unfilter(grey + (size_t)y * width, y > 0 ? grey + (size_t)(y - 1) * width : zeros,
                      rows + (size_t)y * (width + 1), width))
            return false;
    return true;
}
