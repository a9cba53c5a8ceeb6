/* label_take.h - the one way in for a label, whoever gives it: a client, a file, a folder's name, the command line.
 *
 * Unicode writes the same text in several ways: an e with an acute accent is one code point or two, and a Mac's folders have the
 * second where a keyboard gives the first. What is logged is normal form C, of utf8proc; so two classes never differ in that alone, and
 * whichever form is asked for, the class is found. The fold compares bytes: an older or newer library changes nothing of what was
 * logged.
 */
#ifndef CONVD_SERVER_COMMON_LABEL_TAKE_H
#define CONVD_SERVER_COMMON_LABEL_TAKE_H

#include <stddef.h>

#include "core/core.h"

/* label_take - out: the label in normal form C, and zeros behind it; without U+FE0E and U+FE0F, which say only whether a character is to
 * be drawn as a picture, and which some keyboards leave out. `bytes` need not be terminated. Allocates nothing.
 * Errors: those of label_check(), whose places are those in the normal form. */
int label_take(char out[LABEL_BYTES_MAX + 1], const char *bytes, size_t n_bytes, struct err *err);

#endif
