/* coding.c - see http/coding.h */
#include "server/http/coding.h"

#include <string.h>
#include <strings.h>

#define ZLIB_CONST
#include <zlib.h>

#define PIECE_BYTES  16384u
#define FEED_MAX     ((size_t)1 << 30) /* zlib counts in 32 bits */
#define WINDOW       15                /* the largest, of which any may be */
#define WINDOW_GZIP  (WINDOW + 16)
#define WINDOW_ALONE (-WINDOW) /* without a header */

int http_coding(enum coding *coding, const char *value, struct err *err)
{
    if (value == NULL || strcasecmp(value, "identity") == 0)
        *coding = CODING_NONE;
    else if (strcasecmp(value, "gzip") == 0 || strcasecmp(value, "x-gzip") == 0)
        *coding = CODING_GZIP;
    else if (strcasecmp(value, "deflate") == 0)
        *coding = CODING_DEFLATE;
    else
        return err_set(err, ERR_MEDIA_TYPE, "Content-Encoding \"%.40s\" is not read: send gzip, deflate or none",
                       value);
    return 0;
}

/* Its method is deflate, and its two bytes are a multiple of 31. */
static bool has_zlib_header(const struct text *coded)
{
    const uint8_t *b = (const uint8_t *)coded->bytes;
    return coded->n >= 2 && (b[0] & 0x0F) == Z_DEFLATED && ((unsigned)b[0] << 8 | b[1]) % 31 == 0;
}

static int refuse(const struct http_body *body, const struct http_bodies *bodies, struct err *err)
{
    if (body->too_large)
        return err_set(err, ERR_TOO_LARGE, "the body is too large when it is decoded; the limit is %llu bytes",
                       (unsigned long long)bodies->limit);
    return http_body_check(body, bodies, err);
}

/* What zlib said, or that bytes are left over, in words. */
static int damaged(const z_stream *z, int said, enum coding coding, struct err *err)
{
    const char *name = coding == CODING_GZIP ? "gzip" : "deflate";
    if (said == Z_MEM_ERROR)
        return err_memory(err, "a body in %s", name);
    if (said == Z_BUF_ERROR)
        return err_set(err, ERR_SYNTAX, "the body is cut: its Content-Encoding is %s, whose end is missing", name);
    if (said == Z_STREAM_END)
        return err_set(err, ERR_SYNTAX, "the body goes on after the end of its Content-Encoding, %s", name);
    return err_set(err, ERR_SYNTAX, "the body is not %s, which its Content-Encoding is, or is damaged: %s", name,
                   z->msg != NULL ? z->msg : "it wants a dictionary");
}

int http_body_decode(struct http_body *body, struct http_bodies *bodies, enum coding coding, const struct text *coded,
                     uint64_t n_max, const struct cancel *cancel, struct err *err)
{
    char piece[PIECE_BYTES];
    z_stream z = {.next_in = (const Bytef *)coded->bytes};
    size_t left = coded->n; /* that zlib was not given yet */
    const int window = coding == CODING_GZIP ? WINDOW_GZIP : has_zlib_header(coded) ? WINDOW : WINDOW_ALONE;
    if (coded->n > n_max)
        return 1;
    if (inflateInit2(&z, window) != Z_OK)
        return damaged(&z, Z_MEM_ERROR, coding, err);
    int status = 0;
    for (bool whole = false; status == 0 && !whole;) {
        if (z.avail_in == 0) {
            z.avail_in = (uInt)(left < FEED_MAX ? left : FEED_MAX);
            left -= z.avail_in;
        }
        z.next_out = (Bytef *)piece;
        z.avail_out = sizeof piece;
        int said = inflate(&z, Z_NO_FLUSH);
        const bool ended = said == Z_STREAM_END, more = z.avail_in > 0 || left > 0;
        whole = ended && !more;
        if (ended && more && coding == CODING_GZIP)
            said = inflateReset(&z); /* another member */
        (void)http_body_add(body, bodies, piece, sizeof piece - z.avail_out);
        if (cancelled(cancel))
            status = cancel_err(cancel, err);
        else if (body->received > n_max)
            status = 1;
        else if (refuse(body, bodies, err) != 0)
            status = -1;
        else if (said != Z_OK && !whole)
            status = damaged(&z, said, coding, err);
    }
    (void)inflateEnd(&z);
    return status;
}
