/* label.h - what may be the name of a class. */
#ifndef CONVD_CORE_LABEL_H
#define CONVD_CORE_LABEL_H

#include <stddef.h>

#include "core/err.h"

#define LABEL_BYTES_MAX 64 /* of UTF-8, without the terminating zero */

/* label_check - a label is 1 to 64 bytes of valid UTF-8 (RFC 3629: no overlong forms, no surrogates) without
 * control characters (U+0000..1F, U+007F..9F), line separators (U+2028/2029), and without white space at either end.
 * `bytes` need not be terminated. Errors: ERR_LABEL_INVALID, saying which rule. */
int label_check(const char *bytes, size_t n_bytes, struct err *err);

#endif
