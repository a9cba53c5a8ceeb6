/* json_write.h - writing JSON into a text, member by member, in the order of the calls; commas and braces come by themselves.
 *
 *     struct json_writer json = json_write_begin(&text);
 *     json_write_u64(&json, "revision", 17);
 *     json_write_array(&json, "samples");
 *     json_write_i64(&json, NULL, 1);
 *     json_write_end(&json);
 *     json_write_end(&json);                      {"revision":17,"samples":[1]}
 *
 * `name` is the member's; NULL in an array, and of the whole document. A value too many, a name in an array and an end without a
 * beginning are our own mistakes, and asserted. Nothing is allocated but in the text, which says at the end whether memory was out. A call
 * costs some 10 ns.
 */
#ifndef CONVD_SERVER_COMMON_JSON_WRITE_H
#define CONVD_SERVER_COMMON_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/common/text.h"

#define JSON_WRITE_DEPTH_MAX 31u

struct json_writer {
    struct text *text;
    unsigned depth;
    uint32_t arrays, filled; /* bit d: what is open at depth d is an array; has a value already */
};

/* json_write_to - for a document of any kind; json_write_begin - for one that is an object, which is begun. */
struct json_writer json_write_to(struct text *text);
struct json_writer json_write_begin(struct text *text);

void json_write_object(struct json_writer *json, const char *name);
void json_write_array(struct json_writer *json, const char *name);
void json_write_end(struct json_writer *json); /* of the object or array that was begun last */

void json_write_u64(struct json_writer *json, const char *name, uint64_t number);
void json_write_i64(struct json_writer *json, const char *name, int64_t number);
void json_write_number(struct json_writer *json, const char *name, double number);         /* as json_number_print() */
void json_write_fixed9(struct json_writer *json, const char *name, double number);         /* as text_add_fixed9()   */
void json_write_ratio(struct json_writer *json, const char *name, double sum, uint64_t n); /* sum / n; null of none */
void json_write_seconds(struct json_writer *json, const char *name, double seconds);       /* to the millisecond    */
void json_write_bool(struct json_writer *json, const char *name, bool value);
void json_write_null(struct json_writer *json, const char *name);
void json_write_string(struct json_writer *json, const char *name, const char *string); /* NULL becomes null         */
void json_write_id(struct json_writer *json, const char *name, uint64_t id);            /* a number, as a string     */
void json_write_time(struct json_writer *json, const char *name, int64_t us);           /* as text_add_time()        */
void json_write_hex(struct json_writer *json, const char *name, const uint8_t *bytes, size_t n_bytes); /* a string   */

/* json_write_value - the comma and the name alone: the caller adds one value to the text, which is returned. */
struct text *json_write_value(struct json_writer *json, const char *name);

#endif
