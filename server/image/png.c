/* png.c - PNG, in and out. The one file that knows libspng.
 *
 * What a hostile PNG could cost is bounded here: pixels by image_decode()'s limits, before memory is taken; each
 * ancillary chunk that is kept and all of them together by bytes; their number. Those that are compressed (a colour profile, long texts) mean nothing to
 * us, and libspng would inflate them: 4 KB become 4 MB, in some 10 ms for each file. So it never sees them. Without these bounds a file of
 * 391 KB makes libspng take 391 MB. The limit on their number is libspng's own default: its 0.7.3 compares the number that
 * spng_set_option() is given the wrong way round, and refuses to lower it or to set it again. A test holds it.
 */
#include <spng.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/codec.h"

#define PNG_SCANS        2 /* up to 80 ns a pixel, of 16 bits and interlaced; a scan of a JPEG takes some 15 */
#define SIGNATURE_BYTES  ((size_t)8)
#define CHUNK_BYTES_MAX  ((size_t)4 << 20) /* of one chunk beside the pixels: a large colour profile fits */
#define CHUNKS_BYTES_MAX ((size_t)8 << 20) /* of all of them                                              */
#define CHUNKS_MAX       1000              /* their number, libspng's default                           */

/* What libspng said, in our codes. */
static int fail(int code, uint64_t pixels_max, struct err *err)
{
    switch (code) {
    case SPNG_EOVERFLOW: /* the header's width x height x depth */
        return err_set(err, ERR_IMAGE_LIMIT, "the picture has far more pixels than the limit, %llu",
                       (unsigned long long)pixels_max);
    case SPNG_EMEM:
    case SPNG_EZLIB_INIT: /* fails for want of memory alone */
        return err_memory(err, "a PNG");
    case SPNG_ECHUNK_LIMITS:
        return err_set(
            err, ERR_IMAGE_LIMIT,
            "the PNG has more than %d chunks beside its pixels, or more than %zu MiB in one or %zu MiB in all",
            CHUNKS_MAX, CHUNK_BYTES_MAX >> 20, CHUNKS_BYTES_MAX >> 20);
    case SPNG_EOF:
    case SPNG_IO_EOF:
    case SPNG_EIDAT_TOO_SHORT:
        return err_set(err, ERR_IMAGE, "the PNG is truncated");
    case SPNG_ECHUNK_CRC:
        return err_set(err, ERR_IMAGE, "the PNG is corrupt: a checksum is wrong");
    default:
        return err_set(err, ERR_IMAGE, "the PNG is corrupt: %s", spng_strerror(code));
    }
}

/* The length of the chunk there, with its name and checksum; 0: there is none that is whole. *pressed: it holds compressed data beside
 * the pixels, a colour profile or a text. */
static size_t chunk_length(bool *pressed, const uint8_t *at, size_t n_bytes)
{
    if (n_bytes < 12)
        return 0;
    const size_t n = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    *pressed = memcmp(at + 4, "iCCP", 4) == 0 || memcmp(at + 4, "zTXt", 4) == 0 || memcmp(at + 4, "iTXt", 4) == 0;
    return n <= n_bytes - 12 ? n + 12 : 0;
}

static bool has_pressed(const uint8_t *bytes, size_t n_bytes)
{
    bool pressed = false;
    for (size_t at = SIGNATURE_BYTES, n = 1; n > 0 && at < n_bytes && !pressed; at += n)
        n = chunk_length(&pressed, bytes + at, n_bytes - at);
    return pressed;
}

/* The file without them, for free(), and its length; NULL: no memory. */
static uint8_t *leave_out_pressed(const uint8_t *bytes, size_t *n_bytes)
{
    uint8_t *copy = malloc(*n_bytes);
    size_t at = SIGNATURE_BYTES, n = 1, kept = SIGNATURE_BYTES;
    if (copy == NULL)
        return NULL;
    memcpy(copy, bytes, SIGNATURE_BYTES);
    for (bool pressed = false; n > 0 && at < *n_bytes; at += n) {
        n = chunk_length(&pressed, bytes + at, *n_bytes - at);
        const size_t keep = n == 0 ? *n_bytes - at : pressed ? 0 : n;
        memcpy(copy + kept, bytes + at, keep);
        kept += keep;
    }
    *n_bytes = kept;
    return copy;
}

/* Row by row, of an interlaced picture several times over, until it is whole, or cancelled. Returns libspng's code. */
static int decode_rows(spng_ctx *ctx, struct picture *out, const struct cancel *cancel)
{
    struct spng_row_info row;
    const size_t n_row = (size_t)out->width * 4;
    int code = spng_decode_image(ctx, NULL, 0, SPNG_FMT_RGBA8, SPNG_DECODE_TRNS | SPNG_DECODE_PROGRESSIVE);
    while (code == 0 && !cancelled(cancel))
        if ((code = spng_get_row_info(ctx, &row)) == 0)
            code = spng_decode_row(ctx, out->rgba + row.row_num * n_row, n_row);
    return code == SPNG_EOI ? 0 : code;
}

int image_decode_png(struct picture *out, const uint8_t *bytes, size_t n_bytes, struct image_limits *limits,
                     struct err *err)
{
    int status = -1;
    const bool pressed = has_pressed(bytes, n_bytes);
    uint8_t *copy = pressed ? leave_out_pressed(bytes, &n_bytes) : NULL;
    spng_ctx *ctx = spng_ctx_new(0);
    if (ctx == NULL || (pressed && copy == NULL)) {
        err_memory(err, "a PNG");
        goto out;
    }
    if (pressed)
        bytes = copy;

    struct spng_ihdr header;
    size_t size;
    int code;
    if ((code = spng_set_chunk_limits(ctx, CHUNK_BYTES_MAX, CHUNKS_BYTES_MAX)) != 0 ||
        (code = spng_set_png_buffer(ctx, bytes, n_bytes)) != 0 || (code = spng_get_ihdr(ctx, &header)) != 0) {
        fail(code, limits->pixels_max, err);
        goto out;
    }
    if (picture_alloc(out, header.width, header.height, (uint64_t)header.width * header.height, PNG_SCANS, limits,
                      err) != 0)
        goto out;
    /* spng_decode_chunks() reads on to the end, so that a file without its last bytes is not taken for whole. */
    if ((code = spng_decoded_image_size(ctx, SPNG_FMT_RGBA8, &size)) != 0) {
        fail(code, limits->pixels_max, err);
        goto out;
    }
    if (size != (size_t)out->width * out->height * 4) {
        err_set(err, ERR_INTERNAL, "libspng wants %zu bytes for %u x %u pixels", size, out->width, out->height);
        goto out;
    }
    code = decode_rows(ctx, out, limits->cancel);
    if (cancelled(limits->cancel)) {
        cancel_err(limits->cancel, err);
        goto out;
    }
    if (code != 0 || (code = spng_decode_chunks(ctx)) != 0) {
        fail(code, limits->pixels_max, err);
        goto out;
    }
    struct spng_exif exif;
    status = spng_get_exif(ctx, &exif) != 0
                 ? 0
                 : picture_turn(out, exif_orientation((const uint8_t *)exif.data, exif.length), err);
out:
    spng_ctx_free(ctx);
    free(copy);
    return status;
}

bool image_decode_png_grey(uint8_t *grey, uint32_t width, uint32_t height, const uint8_t *bytes, size_t n_bytes)
{
    struct spng_ihdr header;
    struct spng_trns transparency;
    struct spng_exif exif;
    if (has_pressed(bytes, n_bytes))
        return false;
    spng_ctx *ctx = spng_ctx_new(0);
    bool ok = ctx != NULL && spng_set_chunk_limits(ctx, CHUNK_BYTES_MAX, CHUNKS_BYTES_MAX) == 0 &&
              spng_set_png_buffer(ctx, bytes, n_bytes) == 0 && spng_get_ihdr(ctx, &header) == 0 &&
              header.color_type == SPNG_COLOR_TYPE_GRAYSCALE && header.bit_depth == 8 && header.width == width &&
              header.height == height && spng_get_trns(ctx, &transparency) == SPNG_ECHUNKAVAIL &&
              spng_decode_image(ctx, grey, (size_t)width * height, SPNG_FMT_G8, 0) == 0 &&
              spng_decode_chunks(ctx) == 0 && spng_get_exif(ctx, &exif) == SPNG_ECHUNKAVAIL;
    spng_ctx_free(ctx);
    return ok;
}

int image_encode_png(uint8_t **png, size_t *n_png, const uint8_t *pixels, uint32_t width, uint32_t height,
                     unsigned channels, struct err *err)
{
    int status = -1;
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    if (ctx == NULL)
        return err_memory(err, "a PNG");
    struct spng_ihdr header = {
        .width = width,
        .height = height,
        .bit_depth = 8,
        .color_type = channels == 1   ? SPNG_COLOR_TYPE_GRAYSCALE
                      : channels == 3 ? SPNG_COLOR_TYPE_TRUECOLOR
                                      : SPNG_COLOR_TYPE_TRUECOLOR_ALPHA,
    };
    int code;
    if ((code = spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1)) != 0 || (code = spng_set_ihdr(ctx, &header)) != 0 ||
        (code = spng_encode_image(ctx, pixels, (size_t)width * height * channels, SPNG_FMT_PNG,
                                  SPNG_ENCODE_FINALIZE)) != 0)
        goto out;
    *png = spng_get_png_buffer(ctx, n_png, &code);
    status = *png == NULL ? -1 : 0;
out:
    if (status != 0)
        err_set(err, code == SPNG_EMEM || code == SPNG_EZLIB_INIT ? ERR_MEMORY : ERR_INTERNAL,
                "cannot write a PNG of %u x %u pixels: %s", width, height, spng_strerror(code));
    spng_ctx_free(ctx);
    return status;
}
