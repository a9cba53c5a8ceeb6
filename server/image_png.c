/* image_png.c - PNG, in and out. The one file that knows libspng.
 *
 * What a hostile PNG could cost is bounded here: pixels by image_decode()'s limits, before memory is taken; each
 * ancillary chunk after inflation and all of them together by bytes; their number. Without these a file of 391 KB makes
 * libspng take 391 MB. The limit on their number is libspng's own default: its 0.7.3 compares the number that
 * spng_set_option() is given the wrong way round, and refuses to lower it or to set it again. A test holds it.
 */
#include <spng.h>
#include <stdlib.h>
#include <string.h>

#include "server/image_codec.h"

#define CHUNK_BYTES_MAX  ((size_t)4 << 20) /* of one chunk beside the pixels: a large colour profile fits */
#define CHUNKS_BYTES_MAX ((size_t)8 << 20) /* of all of them                                              */
#define CHUNKS_MAX       1000              /* their number, libspng's default                           */

/* What libspng said, in our codes. */
static int fail(int code, uint64_t pixels_max, struct err *err)
{
    switch (code) {
    case SPNG_EOVERFLOW: /* the header's width x height x depth */
        return err_set(err, ERR_IMAGE_LIMIT, "the picture has far more pixels than the %llu that are taken",
                       (unsigned long long)pixels_max);
    case SPNG_EMEM:
    case SPNG_EZLIB_INIT: /* fails for want of memory alone */
        return err_set(err, ERR_MEMORY, "out of memory for a PNG");
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
    spng_ctx *ctx = spng_ctx_new(0);
    if (ctx == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a PNG");

    struct spng_ihdr header;
    size_t size;
    int code;
    if ((code = spng_set_chunk_limits(ctx, CHUNK_BYTES_MAX, CHUNKS_BYTES_MAX)) != 0 ||
        (code = spng_set_png_buffer(ctx, bytes, n_bytes)) != 0 || (code = spng_get_ihdr(ctx, &header)) != 0) {
        fail(code, limits->pixels_max, err);
        goto out;
    }
    if (picture_alloc(out, header.width, header.height, 1, limits, err) != 0)
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
    return status;
}

bool png_inflates(const uint8_t *bytes, size_t n_bytes)
{
    size_t at = 8; /* after the signature: chunks of length, name, data, checksum */
    while (at <= n_bytes && n_bytes - at >= 8) {
        const uint8_t *c = bytes + at;
        const uint32_t n = (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];
        if (memcmp(c + 4, "iCCP", 4) == 0 || memcmp(c + 4, "zTXt", 4) == 0 || memcmp(c + 4, "iTXt", 4) == 0)
            return true;
        at += 12 + (size_t)n;
    }
    return false;
}

bool image_decode_png_grey(uint8_t *grey, uint32_t width, uint32_t height, const uint8_t *bytes, size_t n_bytes)
{
    struct spng_ihdr header;
    struct spng_trns transparency;
    struct spng_exif exif;
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
        return err_set(err, ERR_MEMORY, "out of memory for a PNG");
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
