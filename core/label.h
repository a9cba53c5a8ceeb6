/* label.h - what may be the name of a class. */
#ifndef CONVD_CORE_LABEL_H
#define CONVD_CORE_LABEL_H

#include <stddef.h>

#include "core/err.h"

#define LABEL_BYTES_MAX 64 /* of UTF-8, without the terminating zero */

/* label_check - a label is 1 to 64 bytes of valid UTF-8 (RFC 3629: no overlong forms, no surrogates) without
 * control characters (U+0000..1F, U+007F..9F), line separators (U+2028/2029), and without white space at either end. Nor may it
 * have what cannot be seen, since two labels that look the same are one class for whoever reads them: zero width spaces, marks of
 * direction, byte order marks, fillers, selectors; a joiner (U+200C/200D) only between two characters that it changes the looks of;
 * of the blanks only U+0020 and U+3000. It depends on nothing but the bytes: the fold refuses what it always refused. That a label is
 * in Unicode's normal form C is seen to before it comes here (server/common/label_take.h).
 * `bytes` need not be terminated. Errors: ERR_LABEL_INVALID, saying which rule. */
int label_check(const char *bytes, size_t n_bytes, struct err *err);

#endif
