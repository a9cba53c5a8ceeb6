/* file_kind.h - what a file is, by its first bytes, whatever its name or content type says. The one place that knows signatures.
 *
 * Two questions are answered. "What does it look like?" is for messages and for the choice of a decoder: two bytes may be enough.
 * "Is it surely that?" decides whether bytes of the length of raw pixels are pixels, and needs more:
 *
 *   - A sure signature is at least 32 bits that all must be right: long magic numbers (PNG, GIF, WebP, TIFF, PDF, ZIP ..), or short ones whose
 *     headers agree with themselves (JPEG's next marker, BMP's header, gzip's method and flags), or text that has a text's mixture.
 *   - So a flat image, and one of smooth tones, is never taken for a file; of random noise, fewer than one image in 100 million is. Who must send
 *     whatever pixels there may be sends them where nothing is guessed: {"pixels": [..]}, or a UINT8 tensor to /v2.
 *   - What has no signature at all (a bare JPEG XL stream has two bytes, a text of a line has none) cannot be told from pixels.
 *
 * Pure, no memory; some 50 ns. Any thread.
 */
#ifndef CONVD_SERVER_IMAGE_FILE_KIND_H
#define CONVD_SERVER_IMAGE_FILE_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum file_format { FILE_UNKNOWN, FILE_PNG, FILE_JPEG, FILE_WEBP, FILE_JSON, FILE_TEXT, FILE_OTHER };

struct file_kind {
    enum file_format
        format; /* FILE_OTHER: known, and nothing that convd reads; FILE_TEXT: text without markup, of whatever kind */
    bool sure;  /* no pixels                                             */
    const char *name;   /* "a GIF"; NULL where unknown. Static, as is the next   */
    const char *advice; /* what makes a picture of it, or NULL                   */
};

struct file_kind file_kind(const uint8_t *bytes, size_t n_bytes);

/* file_is_picture - whether convd has a decoder for it; file_pictures - what those are for, in words. */
bool file_is_picture(struct file_kind kind);
extern const char file_pictures[];

/* file_refuse - says that it is none of them, what it looks like, and what makes one of it. Returns -1, ERR_MEDIA_TYPE. */
int file_refuse(struct file_kind kind, struct err *err);

#endif
