/* json_scan.c - see common/json_scan.h. A recursive descent whose depth is bounded, one function a production of RFC 8259. */
#include "server/common/json_scan.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/common/json.h"

#define NUMBER_CHARACTERS_MAX 63

struct scan {
    const char *bytes;
    size_t at, n;
    unsigned n_values;
    struct err *err;
};

size_t json_utf8(const char *bytes, size_t n_bytes)
{
    const uint8_t *b = (const uint8_t *)bytes;
    if (b[0] < 0x80)
        return 1;
    /* The second byte's range is what shuts out overlong forms, surrogates and what lies over U+10FFFF. */
    uint8_t low = 0x80, high = 0xBF;
    size_t length;
    if (b[0] >= 0xC2 && b[0] <= 0xDF) {
        length = 2;
    } else if (b[0] >= 0xE0 && b[0] <= 0xEF) {
        length = 3;
        if (b[0] == 0xE0)
            low = 0xA0;
        if (b[0] == 0xED)
            high = 0x9F;
    } else if (b[0] >= 0xF0 && b[0] <= 0xF4) {
        length = 4;
        if (b[0] == 0xF0)
            low = 0x90;
        if (b[0] == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    if (n_bytes < length || b[1] < low || b[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((b[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

size_t json_mark(const char *bytes, size_t n_bytes)
{
    return n_bytes >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

/* By its mark, or since one of the first two bytes is zero: a JSON text begins with ASCII. */
static bool is_utf16(const char *bytes, size_t n)
{
    return n >= 2 && (memcmp(bytes, "\xFF\xFE", 2) == 0 || memcmp(bytes, "\xFE\xFF", 2) == 0 ||
                      (bytes[0] == '\0') != (bytes[1] == '\0'));
}

static int fail(const struct scan *s, const char *what)
{
    return err_set(s->err, ERR_SYNTAX, "the JSON is malformed at byte %zu: %s", s->at, what);
}

/* The byte here, or -1 at the end. */
static int peek(const struct scan *s)
{
    return s->at < s->n ? (unsigned char)s->bytes[s->at] : -1;
}

static void skip_space(struct scan *s)
{
    for (int c = peek(s); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(s))
        s->at++;
}

static int scan_digits(struct scan *s)
{
    size_t from = s->at;
    for (int c = peek(s); c >= '0' && c <= '9'; c = peek(s))
        s->at++;
    return s->at > from ? 0 : fail(s, "a digit is missing");
}

static int scan_number(struct scan *s)
{
    size_t from = s->at;
    if (peek(s) == '-')
        s->at++;
    if (peek(s) == '0')
        s->at++;
    else if (scan_digits(s) != 0)
        return -1;
    int c = peek(s);
    if (c >= '0' && c <= '9')
        return fail(s, "a number must not begin with 0");
    if (c == '.') {
        s->at++;
        if (scan_digits(s) != 0)
            return -1;
    }
    c = peek(s);
    if (c == 'e' || c == 'E') {
        s->at++;
        c = peek(s);
        if (c == '+' || c == '-')
            s->at++;
        if (scan_digits(s) != 0)
            return -1;
    }
    if (s->at - from > NUMBER_CHARACTERS_MAX) {
        s->at = from;
        return fail(s, "a number has more than 63 characters");
    }
    return 0;
}

static int scan_hex4(struct scan *s, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        int c = peek(s);
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned)(c - 'A') + 10;
        else
            return fail(s, "\\u needs four hexadecimal digits");
        *code = *code * 16 + digit;
    }
    return 0;
}

/* After the backslash. */
static int scan_escape(struct scan *s)
{
    int c = peek(s);
    if (c > 0 && strchr("\"\\/bfnrt", c) != NULL) {
        s->at++;
        return 0;
    }
    if (c != 'u')
        return fail(s, "no such escape");
    s->at++;
    unsigned code;
    if (scan_hex4(s, &code) != 0)
        return -1;
    if (code == 0)
        return fail(s, "\\u0000 is not allowed in strings");
    if (code >= 0xDC00 && code <= 0xDFFF)
        return fail(s, "a low surrogate without its high one");
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (peek(s) != '\\' || s->at + 1 >= s->n || s->bytes[s->at + 1] != 'u')
            return fail(s, "a high surrogate without its low one");
        s->at += 2;
        if (scan_hex4(s, &code) != 0)
            return -1;
        if (code < 0xDC00 || code > 0xDFFF)
            return fail(s, "a high surrogate without its low one");
    }
    return 0;
}

static int scan_string(struct scan *s)
{
    s->at++; /* the quote */
    for (;;) {
        int c = peek(s);
        if (c < 0)
            return fail(s, "the text ends within a string");
        if (c < 0x20)
            return fail(s, "a control character in a string must be escaped");
        if (c == '"') {
            s->at++;
            return 0;
        }
        if (c == '\\') {
            s->at++;
            if (scan_escape(s) != 0)
                return -1;
            continue;
        }
        size_t length = json_utf8(s->bytes + s->at, s->n - s->at);
        if (length == 0)
            return fail(s, "not UTF-8");
        s->at += length;
    }
}

static int scan_word(struct scan *s, const char *word)
{
    size_t length = strlen(word);
    if (s->n - s->at < length || memcmp(s->bytes + s->at, word, length) != 0)
        return fail(s, "a value is missing");
    s->at += length;
    return 0;
}

static int scan_value(struct scan *s, unsigned depth);

/* "name" : */
static int scan_name(struct scan *s)
{
    skip_space(s);
    if (peek(s) != '"')
        return fail(s, "a member's name in double quotes is missing");
    if (scan_string(s) != 0)
        return -1;
    skip_space(s);
    if (peek(s) != ':')
        return fail(s, "a colon is missing");
    s->at++;
    return 0;
}

static int scan_container(struct scan *s, unsigned depth, bool object)
{
    const char close = object ? '}' : ']';
    if (depth > JSON_DEPTH_MAX)
        return err_set(s->err, ERR_LIMIT, "the JSON is nested more than %d deep at byte %zu", JSON_DEPTH_MAX, s->at);
    s->at++; /* the bracket */
    skip_space(s);
    if (peek(s) == close) {
        s->at++;
        return 0;
    }
    for (;;) {
        if ((object && scan_name(s) != 0) || scan_value(s, depth) != 0)
            return -1;
        skip_space(s);
        int c = peek(s);
        if (c != close && c != ',')
            return fail(s, object ? "a comma or } is missing" : "a comma or ] is missing");
        s->at++;
        if (c == close)
            return 0;
    }
}

static int scan_value(struct scan *s, unsigned depth)
{
    if (++s->n_values > JSON_VALUES_MAX)
        return err_set(s->err, ERR_LIMIT,
                       "the JSON has more than %u values: send pictures as b64 or as a raw body instead",
                       JSON_VALUES_MAX);
    skip_space(s);
    int c = peek(s);
    switch (c) {
    case '{':
    case '[':
        return scan_container(s, depth + 1, c == '{');
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    case -1:
        return fail(s, "the text ends before a value");
    default:
        if (c == '-' || (c >= '0' && c <= '9'))
            return scan_number(s);
        return fail(s, "a value is missing");
    }
}

int json_scan(const char *bytes, size_t n_bytes, struct err *err)
{
    struct scan s = {.bytes = bytes, .at = json_mark(bytes, n_bytes), .n = n_bytes, .err = err};
    if (is_utf16(bytes, n_bytes))
        return err_set(err, ERR_SYNTAX, "the JSON is in UTF-16 or UTF-32: send it in UTF-8");
    skip_space(&s);
    if (s.at == s.n)
        return err_set(err, ERR_EMPTY, "the JSON is empty");
    if (scan_value(&s, 0) != 0)
        return -1;
    skip_space(&s);
    return s.at == s.n ? 0 : fail(&s, "something follows after the value");
}
