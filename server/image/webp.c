/* webp.c - WebP, in. The one file that knows libwebp, which a build may lack (make/flags.mk): then it is not compiled.
 *
 * Lossy and lossless, with alpha. Its size is in its header, and checked before memory is taken; an animation has no one picture.
 * It decodes in one call, which nobody can cancel; so a pixel counts as two scans do.
 */
#include <string.h>
#include <webp/decode.h>

#include "server/image/codec.h"

#define WEBP_SCANS 2 /* up to some 50 ns a pixel */

/* What libwebp said, in our codes. */
static int fail(VP8StatusCode code, struct err *err)
{
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return err_memory(err, "a WebP");
    if (code == VP8_STATUS_NOT_ENOUGH_DATA || code == VP8_STATUS_SUSPENDED)
        return err_set(err, ERR_IMAGE, "the WebP is truncated");
    return err_set(err, ERR_IMAGE, "the WebP is corrupt, or of a kind that libwebp does not read (%d)", (int)code);
}

/* Out of the chunk EXIF, which may begin as a JPEG's does. */
static unsigned orientation(const uint8_t *bytes, size_t n_bytes)
{
    size_t at = 12; /* after RIFF, its length and WEBP */
    while (at < n_bytes && n_bytes - at >= 8) {
        const uint8_t *chunk = bytes + at + 8;
        const size_t n = (size_t)chunk[-4] | (size_t)chunk[-3] << 8 | (size_t)chunk[-2] << 16 | (size_t)chunk[-1] << 24;
        if (n > n_bytes - at - 8)
            break;
        const size_t skip = n >= 6 && memcmp(chunk, "Exif\0", 6) == 0 ? 6 : 0;
        if (memcmp(chunk - 8, "EXIF", 4) == 0)
            return exif_orientation(chunk + skip, n - skip);
        at += 8 + n + n % 2;
    }
    return 1;
}

int image_decode_webp(struct picture *out, const uint8_t *bytes, size_t n_bytes, struct image_limits *limits,
                      struct err *err)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return err_set(err, ERR_INTERNAL, "libwebp is of another version than its header");
    VP8StatusCode code = WebPGetFeatures(bytes, n_bytes, &config.input);
    if (code != VP8_STATUS_OK)
        return fail(code, err);
    if (config.input.has_animation)
        return err_set(err, ERR_MEDIA_TYPE,
                       "the WebP is an animation: take a picture out of it, for instance: webpmux -get frame 1 IN -o "
                       "OUT.webp");
    const uint32_t width = (uint32_t)config.input.width, height = (uint32_t)config.input.height;
    if (picture_alloc(out, width, height, (uint64_t)width * height, WEBP_SCANS, limits, err) != 0)
        return -1;
    config.output.colorspace = MODE_RGBA;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = (WebPRGBABuffer){out->rgba, (int)(4 * width), (size_t)4 * width * height};
    code = WebPDecode(bytes, n_bytes, &config);
    WebPFreeDecBuffer(&config.output);
    return code != VP8_STATUS_OK ? fail(code, err) : picture_turn(out, orientation(bytes, n_bytes), err);
}
