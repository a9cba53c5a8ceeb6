/* json_write.c - see common/json_write.h */
#include "server/common/json_write.h"

#include <assert.h>
#include <string.h>

#include "server/common/json.h"

static uint32_t bit(const struct json_writer *json)
{
    return UINT32_C(1) << json->depth;
}

struct json_writer json_write_to(struct text *text)
{
    return (struct json_writer){.text = text,
                                .arrays = 1}; /* the document is an array's only element, without its brackets */
}

struct text *json_write_value(struct json_writer *json, const char *name)
{
    struct text *text = json->text;
    assert((name == NULL) == ((json->arrays & bit(json)) != 0));
    assert(json->depth > 0 || json->filled == 0);
    if (json->filled & bit(json))
        text_add_char(text, ',');
    json->filled |= bit(json);
    if (name != NULL) {
        text_add_quoted(text, name, strlen(name));
        text_add_char(text, ':');
    }
    return text;
}

static void begin(struct json_writer *json, const char *name, bool array)
{
    text_add_char(json_write_value(json, name), array ? '[' : '{');
    assert(json->depth < JSON_WRITE_DEPTH_MAX);
    json->depth++;
    json->filled &= ~bit(json);
    json->arrays = array ? json->arrays | bit(json) : json->arrays & ~bit(json);
}

struct json_writer json_write_begin(struct text *text)
{
    struct json_writer json = json_write_to(text);
    begin(&json, NULL, false);
    return json;
}

void json_write_object(struct json_writer *json, const char *name)
{
    begin(json, name, false);
}

void json_write_array(struct json_writer *json, const char *name)
{
    begin(json, name, true);
}

void json_write_end(struct json_writer *json)
{
    assert(json->depth > 0);
    text_add_char(json->text, json->arrays & bit(json) ? ']' : '}');
    json->depth--;
}

void json_write_u64(struct json_writer *json, const char *name, uint64_t number)
{
    text_add_u64(json_write_value(json, name), number);
}

void json_write_i64(struct json_writer *json, const char *name, int64_t number)
{
    struct text *text = json_write_value(json, name);
    if (number < 0)
        text_add_char(text, '-');
    text_add_u64(text, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

void json_write_number(struct json_writer *json, const char *name, double number)
{
    char digits[JSON_NUMBER_BYTES];
    text_add(json_write_value(json, name), digits, json_number_print(digits, number));
}

void json_write_fixed9(struct json_writer *json, const char *name, double number)
{
    text_add_fixed9(json_write_value(json, name), number);
}

void json_write_ratio(struct json_writer *json, const char *name, double sum, uint64_t n)
{
    if (n > 0)
        json_write_fixed9(json, name, sum / (double)n);
    else
        json_write_null(json, name);
}

void json_write_seconds(struct json_writer *json, const char *name, double seconds)
{
    text_add_format(json_write_value(json, name), "%.3f", seconds);
}

void json_write_bool(struct json_writer *json, const char *name, bool value)
{
    text_add_string(json_write_value(json, name), value ? "true" : "false");
}

void json_write_null(struct json_writer *json, const char *name)
{
    text_add(json_write_value(json, name), "null", 4);
}

void json_write_string(struct json_writer *json, const char *name, const char *string)
{
    if (string != NULL)
        text_add_quoted(json_write_value(json, name), string, strlen(string));
    else
        json_write_null(json, name);
}

void json_write_id(struct json_writer *json, const char *name, uint64_t id)
{
    struct text *text = json_write_value(json, name);
    text_add_char(text, '"');
    text_add_u64(text, id);
    text_add_char(text, '"');
}

void json_write_time(struct json_writer *json, const char *name, int64_t us)
{
    text_add_time(json_write_value(json, name), us);
}

void json_write_hex(struct json_writer *json, const char *name, const uint8_t *bytes, size_t n_bytes)
{
    struct text *text = json_write_value(json, name);
    text_add_char(text, '"');
    if (text_reserve(text, 2 * n_bytes + 1)) {
        text_print_hex(text->bytes + text->n, bytes, n_bytes);
        text->n += 2 * n_bytes;
    }
    text_add_char(text, '"');
}
