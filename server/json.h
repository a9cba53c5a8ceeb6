/* json.h - reading and writing JSON, over cJSON, which only json.c includes.
 *
 * Reading is strict and bounded: UTF-8, one value and nothing after it, depth and size limited, duplicate keys
 * refused, numbers finite. `struct json` is a borrowed view into a document; it lives as long as the document.
 */
#ifndef CONVD_SERVER_JSON_H
#define CONVD_SERVER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct json; /* a value */

#define JSON_DEPTH_MAX 16

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* json_parse - the root of a new document, which json_free() releases; NULL on error.
 * Errors: ERR_SYNTAX (with the byte offset), ERR_EMPTY, ERR_LIMIT (depth), ERR_MEMORY. Numbers such as 1e999 and NaN: ERR_SYNTAX. */
struct json *json_parse(const char *bytes, size_t n_bytes, struct err *err);
void json_free(struct json *root); /* NULL is fine */

enum json_type json_type(const struct json *value);
const char *json_type_name(const struct json *value); /* "a string", for messages                   */
const struct json *json_get(const struct json *object, const char *name); /* NULL: no such member          */
size_t json_length(const struct json *array_or_object);
const struct json *json_first(const struct json *array_or_object); /* NULL: empty                          */
const struct json *json_next(const struct json *value);            /* NULL: the last                       */
const char *json_name(const struct json *member);                  /* the member's name in its object      */
double json_number(const struct json *value);                      /* 0 for other types                    */
bool json_bool(const struct json *value);
const char *
json_string(const struct json *value); /* zero-terminated UTF-8; NULL for other types. "\u0000" is refused at parse */

/* Building. All take ownership of nothing but what they make; a NULL anywhere (out of memory) makes the text NULL. */
struct json *json_object(void);
struct json *json_array(void);
struct json *json_add_object(struct json *parent, const char *name); /* name NULL: parent is an array       */
struct json *json_add_array(struct json *parent, const char *name);
void json_add_string(struct json *parent, const char *name, const char *text);
void json_add_number(struct json *parent, const char *name,
                     double number); /* integers without fraction; floats round-trip as float32 */
void json_add_bool(struct json *parent, const char *name, bool value);
void json_add_null(struct json *parent, const char *name);

/* json_print - malloc'ed, zero-terminated text, or NULL; does not free the document. pretty: indented, for people. */
char *json_print(const struct json *root, bool pretty);

#endif
