/* multipart.h - multipart/form-data (RFC 7578), over a body that is whole in memory: an iterator that copies nothing.
 *
 * Strict where leniency would be guessing: the boundary is 1 to 70 allowed characters, every part has a
 * Content-Disposition of form-data with a name (or name*, in UTF-8: RFC 8187), lines end in CRLF, the closing delimiter is
 * there. (libmicrohttpd's post processor is not used: FIELD-NOTES of the project say why.)
 */
#ifndef CONVD_SERVER_PAYLOAD_MULTIPART_H
#define CONVD_SERVER_PAYLOAD_MULTIPART_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define MULTIPART_NAME_BYTES   256u  /* with the terminating zero; longer names are refused */
#define MULTIPART_HEADER_BYTES 4096u /* of one part, together                               */

struct multipart {
    const uint8_t *at, *end;
    char delimiter[2 + 2 + 70 + 1]; /* CRLF "--" boundary */
    size_t n_delimiter;
    size_t n_parts; /* given so far */
};

struct part {
    char name[MULTIPART_NAME_BYTES];     /* of the field, unescaped                       */
    char filename[MULTIPART_NAME_BYTES]; /* "" where there is none                        */
    const uint8_t *bytes;                /* borrowed from the body                        */
    size_t n_bytes;
};

/* multipart_init - reads the boundary and passes over the preamble.
 * Errors: ERR_SYNTAX: no usable boundary, or it never occurs. */
int multipart_init(struct multipart *form, const char *content_type, const uint8_t *body, size_t n_body,
                   struct err *err);

/* multipart_next - 1: *part is the next one; 0: there was the closing delimiter; -1: ERR_SYNTAX or ERR_LIMIT, naming the
 * part by its number from 0. */
int multipart_next(struct multipart *form, struct part *part, struct err *err);

#endif
