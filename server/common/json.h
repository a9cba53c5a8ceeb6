/* json.h - reading JSON, over cJSON, which only common/json.c includes.
 *
 * Reading is strict and bounded. json_scan() first proves that the bytes are one RFC 8259 text and nothing more (a byte order mark aside), valid
 * UTF-8, nested at most JSON_DEPTH_MAX deep, with at most JSON_VALUES_MAX values; only then does cJSON, which is
 * lenient and recursive, see them. After it, duplicate keys and numbers that are not finite are refused, so that a
 * document has one reading. `struct json` is a borrowed view into a document; it lives as long as the document.
 *
 * Writing is common/json_write.h. Any thread may read documents, each its own.
 */
#ifndef CONVD_SERVER_COMMON_JSON_H
#define CONVD_SERVER_COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct json; /* a value */

#define JSON_DEPTH_MAX  16         /* arrays and objects inside each other: [[1]] is 2                        */
#define JSON_VALUES_MAX (1u << 20) /* values in a document: a node costs some 80 bytes. More pixels: b64, raw */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* json_parse - the root of a new document, which json_free() releases; NULL on error. `bytes` need not be terminated.
 * Costs two passes over the bytes and one over the tree; a node costs some 80 bytes of memory.
 * Errors: ERR_SYNTAX (with the byte offset; for a key that comes twice and for numbers such as 1e999, with the JSON
 * Pointer instead), ERR_EMPTY (nothing but white space), ERR_LIMIT (depth, number of values), ERR_MEMORY. */
struct json *json_parse(const char *bytes, size_t n_bytes, struct err *err);
void json_free(struct json *root); /* NULL is fine */

enum json_type json_type(const struct json *value);
const char *json_type_name(const struct json *value); /* "a string", for messages; "nothing" for NULL       */

/* json_get - NULL: no such member, or not an object. Walks the members: cheap for small objects. */
const struct json *json_get(const struct json *object, const char *name);

/* json_length walks too: ask once. 0 for what is neither array nor object, as for an empty one. */
size_t json_length(const struct json *array_or_object);
const struct json *json_first(const struct json *array_or_object); /* NULL: empty, or neither                */
const struct json *json_next(const struct json *value);            /* NULL: the last                         */
const char *json_name(const struct json *member);                  /* the member's name in its object        */
double json_number(const struct json *value);                      /* 0 for other types                      */
bool json_bool(const struct json *value);                          /* false for other types                  */
const char *json_string(const struct json *value);                 /* zero-terminated UTF-8; NULL for other types.
                                                                    * "\u0000" is refused at parse           */

/* json_whole - whether the value is a whole number from low to high, which then is in *out; high is at most JSON_WHOLE_MAX, 2^53: up to
 * there a double has them all. */
#define JSON_WHOLE_MAX (UINT64_C(1) << 53)
bool json_whole(uint64_t *out, const struct json *value, uint64_t low, uint64_t high);

/* json_print - indented, for people: malloc'ed, zero-terminated text, or NULL: out of memory. */
char *json_print(const struct json *root);

/* json_number_print - the number as JSON writes it, whatever the locale; returns the length without the final zero.
 *
 *   whole, up to 2^53   all its digits, no fraction, no exponent
 *   a float32           as few digits, 6 to 9, as give the same float32 again (0.05f is 0.05)
 *   any other           9 significant digits: send times as whole microseconds
 *   not finite          null
 *
 * Costs some 100 ns. */
#define JSON_NUMBER_BYTES 40
size_t json_number_print(char text[JSON_NUMBER_BYTES], double number);

#endif
