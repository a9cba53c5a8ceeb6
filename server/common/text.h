/* text.h - a buffer of bytes that grows: request bodies are collected in it, answers are written to it.
 *
 * Appending never fails in the middle: when memory is out (or a size would overflow, or be over the text's limit) `failed` is set, what
 * follows is dropped, and the one who reads the buffer looks at `failed` once, at the end. A zeroed struct is an empty text. The
 * memory is kept by text_clear(), so that a connection answers one request after the other without malloc.
 *
 * Also here: the few JSON scalars that the hot answers (/predict, /train) are made of. Everything else is built with common/json.h.
 */
#ifndef CONVD_SERVER_COMMON_TEXT_H
#define CONVD_SERVER_COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *bytes;       /* not zero-terminated; NULL while empty */
    size_t n, size;    /* used, allocated                       */
    size_t limit;      /* of size; 0: none                      */
    bool failed, over; /* over: the limit is why              */
};

void text_free(struct text *text);
void text_clear(struct text *text);

/* text_shrink - clears, and gives the memory back when more than keep_bytes are held. */
void text_shrink(struct text *text, size_t keep_bytes);

/* text_reserve - room for n_bytes more; false (and failed) when there is none. Growth is geometric. */
bool text_reserve(struct text *text, size_t n_bytes);

void text_add(struct text *text, const void *bytes, size_t n_bytes);
void text_add_char(struct text *text, char c);
void text_add_string(struct text *text, const char *string);
void text_add_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_u64(struct text *text, uint64_t number);

/* text_print_u64 - its digits into `to`, not zero-terminated; returns how many. */
#define TEXT_U64_BYTES 20u
size_t text_print_u64(char to[TEXT_U64_BYTES], uint64_t number);

/* text_print_hex - two digits for each byte, and a zero. */
void text_print_hex(char *to, const uint8_t *bytes, size_t n_bytes);

/* text_add_fixed9 - a finite number from 0 to 1e9 with nine decimals ("0.054321000"): exact to half a unit of 1e-9, by integer
 * arithmetic, in a tenth of printf's time. Negative, larger or not finite numbers: what "%.9g" gives, or null. */
void text_add_fixed9(struct text *text, double number);

/* text_add_quoted - a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, so the result is always valid. */
void text_add_quoted(struct text *text, const char *bytes, size_t n_bytes);

/* text_add_time - microseconds since 1970 as a JSON string: RFC 3339, in UTC, to the microsecond. */
void text_add_time(struct text *text, int64_t us);

/* text_take - the bytes, zero-terminated and malloc'ed, which the caller then owns; the text is empty afterwards.
 * NULL when `failed` (the text is freed). */
char *text_take(struct text *text);

#endif
