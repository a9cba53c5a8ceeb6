/* json_scan.h - is this JSON? Private to json*.c, but for json_utf8() and json_mark(): what stands between the network and cJSON. */
#ifndef CONVD_SERVER_COMMON_JSON_SCAN_H
#define CONVD_SERVER_COMMON_JSON_SCAN_H

#include <stddef.h>

#include "core/err.h"

/* json_scan - 0 when the bytes are one JSON text by RFC 8259: UTF-8 (RFC 3629), maybe with a byte order mark, white space only of the four kinds, no
 * control characters in strings, escapes complete, surrogates paired, no "\u0000", numbers by the grammar (and of at
 * most 63 characters, which is what cJSON's buffer holds), nothing after the value, within JSON_DEPTH_MAX and
 * JSON_VALUES_MAX.
 *
 * What passes here, cJSON can only refuse for want of memory.
 * Errors: as json_parse(). Costs one pass, no memory, and JSON_DEPTH_MAX small stack frames. */
int json_scan(const char *bytes, size_t n_bytes, struct err *err);

/* json_mark - 3 where the text begins with UTF-8's byte order mark, as Windows writes it; else 0. */
size_t json_mark(const char *bytes, size_t n_bytes);

/* json_utf8 - length in bytes, 1 to 4, of the UTF-8 character that begins at `bytes`; 0 when none does. n_bytes > 0. */
size_t json_utf8(const char *bytes, size_t n_bytes);

#endif
