/* headers.h - the headers of a request, as they come: which matter to us, and whether their framing can be trusted.
 *
 * libmicrohttpd accepts header blocks that two readers would cut up differently (that is how requests are smuggled): bare LF, bare
 * CR, NUL, folded lines, several Content-Length. It replaces each CR, LF and colon by zero and hands out pointers into its buffer, in
 * the order of arrival, and it tells how long the whole block was. So the block can be measured: method, target and version
 * are one byte apart; the next name begins exactly two bytes after the end of a value; the block ends four bytes after the last
 * one. Anything else between them was not CRLF. Nothing is read beyond the strings.
 */
#ifndef CONVD_SERVER_HTTP_HEADERS_H
#define CONVD_SERVER_HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "server/message/request.h"

struct http_headers {
    struct request *request; /* gets the views that routes use */
    const char *start;       /* of the block: the method         */
    const char *value_end;   /* of the last value; before: of the version */
    unsigned n_content_length, n_transfer_encoding, n_host, n_authorization, n_content_encoding;
    uint64_t content_length;
    bool chunked, unknown_coding, bad_framing, bad_line, bad_name, bad_value, bad_number;
};

/* http_headers_line - the request line, first: the strings that it was cut into, method and version zero-terminated. target: a copy
 * of all of it as it came; start: where it stood, cut up further by now. */
void http_headers_line(struct http_headers *headers, const char *method, const char *target, const char *start,
                       size_t n_target, const char *version);

/* http_headers_add - one header; name and value are zero-terminated. http_headers_end - there was the last one; n_block: bytes
 * from the method to the end of the empty line. */
void http_headers_add(struct http_headers *headers, const char *name, size_t n_name, const char *value, size_t n_value);
void http_headers_end(struct http_headers *headers, size_t n_block);

/* http_headers_check - http_1_1: that, or later. Errors: ERR_SYNTAX; unknown_coding says that 501 is the status to give. */
int http_headers_check(const struct http_headers *headers, bool http_1_1, struct err *err);

#endif
