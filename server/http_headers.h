/* http_headers.h - the headers of a request, as they come: which matter to us, and whether their framing can be trusted.
 *
 * libmicrohttpd accepts header blocks that two readers would cut up differently (that is how requests are smuggled): bare LF, NUL, folded
 * lines, several Content-Length. It replaces each CR, LF and colon by zero and hands out pointers into its buffer, in the
 * order of arrival, so the next name must begin exactly two bytes after the end of a value: anything else between them
 * was not CRLF. Nothing is read beyond the strings but one byte after the last value, which is its LF in the same buffer.
 */
#ifndef CONVD_SERVER_HTTP_HEADERS_H
#define CONVD_SERVER_HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "server/request.h"

struct http_headers {
    struct request *request; /* gets the views that routes use */
    const char *value_end;   /* of the last one, NULL before    */
    unsigned n_content_length, n_transfer_encoding, n_host, n_authorization;
    uint64_t content_length;
    bool chunked, unknown_coding, bad_framing, bad_name, bad_number;
};

/* http_headers_add - one header; name and value are zero-terminated. http_headers_end - there was the last one. */
void http_headers_add(struct http_headers *headers, const char *name, size_t n_name, const char *value, size_t n_value);
void http_headers_end(struct http_headers *headers);

/* http_headers_check - Errors: ERR_SYNTAX; unknown_coding says that 501 is the status to give. */
int http_headers_check(const struct http_headers *headers, bool http_1_1, struct err *err);

#endif
