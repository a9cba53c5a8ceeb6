/* coding.h - Content-Encoding of a request's body, as clients send it that compress: gzip and deflate, over zlib.
 *
 * A decoded body is one like any other: it may be as large as one that came so, and counts against the same budget. What it decodes to is not
 * known before, so an HTTP thread decodes little, and a thread of the pool the rest.
 *
 *   gzip      RFC 1952, of one member or of several; x-gzip is the same
 *   deflate   RFC 1950, as HTTP means it (a zlib stream), or RFC 1951 alone, as many a client does
 */
#ifndef CONVD_SERVER_HTTP_CODING_H
#define CONVD_SERVER_HTTP_CODING_H

#include <stdint.h>

#include "server/common/cancel.h"
#include "server/http/body_buffer.h"
#include "server/message/request.h"

#define HTTP_CODINGS "gzip, deflate" /* Accept-Encoding of a 415 */

/* http_coding - what a Content-Encoding header says; NULL and "identity" are none. Errors: ERR_MEDIA_TYPE: any other, or several. */
int http_coding(enum coding *coding, const char *value, struct err *err);

/* http_body_decode - `coded`, in a coding that is not none, into `body`, which was begun. 1: it is more than n_max bytes, or decodes to more: body is
 * of no use. Errors: ERR_SYNTAX (cut, damaged, or followed by something), ERR_TOO_LARGE, ERR_BUSY, ERR_MEMORY, those of cancel_err(), which
 * is asked every few microseconds. Cost: some 300 MB of what comes out a second. */
int http_body_decode(struct http_body *body, struct http_bodies *bodies, enum coding coding, const struct text *coded,
                     uint64_t n_max, const struct cancel *cancel, struct err *err);

#endif
