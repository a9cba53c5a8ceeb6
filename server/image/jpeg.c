/* jpeg.c - JPEG, in. The one file that knows libjpeg-turbo.
 *
 * The header is read and its size checked before memory is taken. LIMITSCANS ends a progressive file after 500 scans:
 * 76 KB can otherwise ask for seconds. It decodes in one call, which nobody can cancel: so scans count in the pixels of all pictures. STOPONWARNING makes a truncated file an error, not a half grey picture.
 */
#include <string.h>
#include <turbojpeg.h>

#include "server/image/codec.h"

/* What libjpeg-turbo said, in our codes; it has words only. */
static int fail(tjhandle handle, struct err *err)
{
    const char *text = tjGetErrorStr2(handle);
    if (strstr(text, "scans") != NULL)
        return err_set(err, ERR_IMAGE_LIMIT, "the JPEG has more scans than are taken: %s", text);
    if (strstr(text, "emory") != NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a JPEG");
    if (strstr(text, "Premature end") != NULL)
        return err_set(err, ERR_IMAGE, "the JPEG is truncated");
    return err_set(err, ERR_IMAGE, "the JPEG is corrupt: %s", text);
}

/* How many scans a file has: at most so many times FF DA, which is nothing else among coded data. */
static uint64_t count_scans(const uint8_t *bytes, size_t n_bytes)
{
    uint64_t n = 0;
    const uint8_t *end = bytes + n_bytes, *at = bytes;
    while (at < end && (at = memchr(at, 0xFF, (size_t)(end - at))) != NULL)
        n += ++at < end && *at == 0xDA ? 1 : 0;
    return n;
}

int image_decode_jpeg(struct picture *out, const uint8_t *bytes, size_t n_bytes, struct image_limits *limits,
                      struct err *err)
{
    int status = -1;
    tjhandle handle = tjInitDecompress();
    if (handle == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a JPEG");
    /* A file of tables only, or one cut before its frame, is no error to tjDecompressHeader3(): it sets nothing. */
    int width = 0, height = 0, sampling = 0, colours = 0;
    if (tjDecompressHeader3(handle, bytes, n_bytes, &width, &height, &sampling, &colours) != 0) {
        fail(handle, err);
        goto out;
    }
    if (colours == TJCS_CMYK || colours == TJCS_YCCK) {
        err_set(err, ERR_MEDIA_TYPE, "a JPEG in CMYK, made for printing: save it as RGB or grey");
        goto out;
    }
    if (width <= 0 || height <= 0) {
        err_set(err, ERR_IMAGE, "the JPEG is truncated, or holds no picture");
        goto out;
    }
    if (picture_alloc(out, (uint32_t)width, (uint32_t)height, count_scans(bytes, n_bytes), limits, err) != 0)
        goto out;
    if (tjDecompress2(handle, bytes, n_bytes, out->rgba, width, 0, height, TJPF_RGBA,
                      TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS | TJFLAG_STOPONWARNING) != 0) {
        fail(handle, err);
        goto out;
    }
    status = picture_turn(out, jpeg_orientation(bytes, n_bytes), err);
out:
    tjDestroy(handle);
    return status;
}
