/* jpeg.c - JPEG, in. The one file that knows libjpeg-turbo.
 *
 * Its warnings are no errors, but one: what cameras and editors get wrong, bytes too many, restart markers out of order, revisions that
 * nobody knows, is what every viewer shows all the same. Where the file ends before its end was said, it is truncated, and refused: no half grey picture.
 *
 * The header is read and its size checked before memory is taken. A picture far larger than the model's input is decoded at 1/2, 1/4 or 1/8 by the
 * library's own smaller transforms, which are area averages in all but name: 48 megapixels become 0.75. A progressive file's coefficients
 * are kept until its last scan: their memory is bounded. A progressive file ends after SCANS_MAX scans, else 76 KB ask for seconds; so
 * scans count in the pixels of all pictures, too.
 *
 * Same bits on every processor: JDCT_ISLOW, the library's exact integer transform, of which its vector code is another
 * form; and no smoothing of blocks, which is different in its versions.
 */
#include <stdio.h> /* jpeglib.h wants it */

#include <jpeglib.h>

#include <jerror.h>
#include <limits.h>
#include <setjmp.h>
#include <string.h>

#include "server/image/codec.h"

#define SCANS_MAX    500
#define LIBRARY_ROOM ((uint64_t)1 << 20) /* bytes of its tables and rows, at the most small pictures  */
#define PIXEL_BYTES  12u                 /* of all that is taken for a pixel of the limit: 4 of them its colours */

struct decoding {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    const struct cancel *cancel;
    bool many_scans;
};

static void on_error(j_common_ptr info)
{
    struct decoding *d = info->client_data;
    longjmp(d->failed, 1);
}

static void on_message(j_common_ptr info, int level)
{
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF)
        on_error(info);
}

/* After each row of blocks, in each scan. */
static void on_progress(j_common_ptr info)
{
    struct decoding *d = info->client_data;
    d->many_scans = d->info.input_scan_number > SCANS_MAX;
    if (d->many_scans || cancelled(d->cancel))
        on_error(info);
}

/* What libjpeg-turbo said, in our codes. */
static int fail(struct decoding *d, const struct image_limits *limits, struct err *err)
{
    char text[JMSG_LENGTH_MAX];
    if (cancelled(d->cancel))
        return cancel_err(d->cancel, err);
    if (d->many_scans)
        return err_set(err, ERR_IMAGE_LIMIT, "the JPEG has too many scans: more than %d", SCANS_MAX);
    switch (d->errors.msg_code) {
    case JERR_OUT_OF_MEMORY:
        return err_memory(err, "a JPEG");
    case JERR_NO_BACKING_STORE:
        return err_set(err, ERR_IMAGE_LIMIT,
                       "the JPEG is %u x %u pixels in several scans, which takes more memory than the limit of %llu "
                       "pixels (--image-pixels) allows",
                       d->info.image_width, d->info.image_height, (unsigned long long)limits->pixels_max);
    case JWRN_JPEG_EOF:
        return err_set(err, ERR_IMAGE, "the JPEG is truncated");
    default:
        d->errors.format_message((j_common_ptr)&d->info, text);
        return err_set(err, ERR_IMAGE, "the JPEG is corrupt: %s", text);
    }
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

/* CMYK to RGB in place. All who write it write it inverted, 255 for no ink, as Adobe does; browsers take it as that. */
static void to_rgba(uint8_t *row, uint32_t width)
{
    for (uint8_t *p = row, *end = row + 4 * (size_t)width; p < end; p += 4) {
        for (unsigned c = 0; c < 3; c++)
            p[c] = (uint8_t)((p[c] * p[3] + 127) / 255);
        p[3] = 255;
    }
}

static int decode(struct decoding *d, struct picture *out, const uint8_t *bytes, size_t n_bytes, uint32_t side,
                  struct image_limits *limits, struct err *err)
{
    struct jpeg_decompress_struct *info = &d->info;
    if (setjmp(d->failed) != 0)
        return fail(d, limits, err);
    jpeg_create_decompress(info);
    info->progress = &d->progress;
    jpeg_mem_src(info, bytes, n_bytes);
    (void)jpeg_read_header(info, TRUE);
    const bool cmyk = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = cmyk ? JCS_CMYK : JCS_EXT_RGBA;
    info->dct_method = JDCT_ISLOW;
    info->do_block_smoothing = FALSE;
    const uint32_t least = info->image_width < info->image_height ? info->image_width : info->image_height;
    while (side > 0 && info->scale_denom < 8 && least / (2 * info->scale_denom) >= side)
        info->scale_denom *= 2;
    jpeg_calc_output_dimensions(info);
    if (picture_alloc(out, info->output_width, info->output_height, (uint64_t)info->image_width * info->image_height,
                      count_scans(bytes, n_bytes), limits, err) != 0)
        return -1;
    const uint64_t room = LIBRARY_ROOM + PIXEL_BYTES * limits->pixels_max - 4 * (uint64_t)out->width * out->height;
    info->mem->max_memory_to_use = room < LONG_MAX ? (long)room : LONG_MAX;
    (void)jpeg_start_decompress(info);
    while (info->output_scanline < info->output_height) {
        JSAMPROW row = out->rgba + 4 * (size_t)info->output_scanline * out->width;
        (void)jpeg_read_scanlines(info, &row, 1);
        if (cmyk)
            to_rgba(row, out->width);
    }
    (void)jpeg_finish_decompress(info); /* on to the end of the file, so that none is truncated */
    return picture_turn(out, jpeg_orientation(bytes, n_bytes), err);
}

int image_decode_jpeg(struct picture *out, const uint8_t *bytes, size_t n_bytes, uint32_t side,
                      struct image_limits *limits, struct err *err)
{
    struct decoding d = {.cancel = limits->cancel, .progress.progress_monitor = on_progress, .info.client_data = &d};
    d.info.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = on_error;
    d.errors.emit_message = on_message;
    const int status = decode(&d, out, bytes, n_bytes, side, limits, err);
    jpeg_destroy_decompress(&d.info);
    return status;
}
