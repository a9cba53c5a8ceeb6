/* text.c - see common/text.h */
#include "server/common/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_BYTES 512u

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){.limit = text->limit};
}

void text_clear(struct text *text)
{
    text->n = 0;
    text->failed = text->over = false;
}

void text_shrink(struct text *text, size_t keep_bytes)
{
    if (text->size > keep_bytes)
        text_free(text);
    text_clear(text);
}

bool text_reserve(struct text *text, size_t n_bytes)
{
    if (text->failed)
        return false;
    if (n_bytes <= text->size - text->n)
        return true;
    size_t need = 0;
    if (__builtin_add_overflow(text->n, n_bytes, &need) || need > SIZE_MAX / 2) {
        text->failed = true;
        return false;
    }
    if (text->limit > 0 && need > text->limit) {
        text->failed = text->over = true;
        return false;
    }
    size_t size = text->size * 2 > FIRST_BYTES ? text->size * 2 : FIRST_BYTES;
    if (size < need)
        size = need;
    if (text->limit > 0 && size > text->limit)
        size = text->limit;
    char *bytes = realloc(text->bytes, size);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->size = size;
    return true;
}

void text_add(struct text *text, const void *bytes, size_t n_bytes)
{
    if (n_bytes == 0 || !text_reserve(text, n_bytes))
        return;
    memcpy(text->bytes + text->n, bytes, n_bytes);
    text->n += n_bytes;
}

void text_add_char(struct text *text, char c)
{
    if (text_reserve(text, 1))
        text->bytes[text->n++] = c;
}

void text_add_string(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_add_format(struct text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        text->failed = true;
    } else if (text_reserve(text, (size_t)n + 1)) {
        (void)vsnprintf(text->bytes + text->n, (size_t)n + 1, format, again);
        text->n += (size_t)n;
    }
    va_end(again);
}

size_t text_print_u64(char to[TEXT_U64_BYTES], uint64_t number)
{
    char digits[TEXT_U64_BYTES];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    memcpy(to, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

void text_print_hex(char *to, const uint8_t *bytes, size_t n_bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n_bytes; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
    to[2 * n_bytes] = '\0';
}

void text_add_u64(struct text *text, uint64_t number)
{
    if (text_reserve(text, TEXT_U64_BYTES))
        text->n += text_print_u64(text->bytes + text->n, number);
}

/* Two digits, of a number below 100. */
static void put_pair(char *to, uint32_t pair)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445"
        "46474849505152535455565758596061626364656667686970717273747576777879808182838485868788899091"
        "9293949596979899";
    memcpy(to, pairs + (size_t)2 * pair, 2);
}

void text_add_fixed9(struct text *text, double number)
{
    if (!isfinite(number)) {
        text_add_string(text, "null"); /* JSON has no word for it */
        return;
    }
    if (number < 0 || number > 1e9) {
        text_add_format(text, "%.9g", number);
        return;
    }
    if (!text_reserve(text, TEXT_U64_BYTES + 10))
        return;
    uint64_t units = (uint64_t)(number * 1e9 + 0.5);
    char *at = text->bytes + text->n;
    if (units < 1000000000u) {
        *at++ = '0'; /* a probability: no division by 1e9 */
    } else {
        at += text_print_u64(at, units / 1000000000u);
        units %= 1000000000u;
    }
    const uint32_t rest = (uint32_t)units;
    uint32_t high = rest / 100000, low = rest % 100000; /* four digits and five */
    *at = '.';
    put_pair(at + 1, high / 100);
    put_pair(at + 3, high % 100);
    at[5] = (char)('0' + low / 10000);
    put_pair(at + 6, low / 100 % 100);
    put_pair(at + 8, low % 100);
    text->n = (size_t)(at + 10 - text->bytes);
}

/* Length of the UTF-8 sequence at `at` (RFC 3629), or 0 where there is none. */
static size_t utf8_length(const unsigned char *at, size_t n)
{
    unsigned char first = at[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length < 2)
        return length;
    if (length > n)
        return 0;
    /* overlong forms, surrogates and what is past U+10FFFF show in the second byte */
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) || (first == 0xf0 && at[1] < 0x90) ||
        (first == 0xf4 && at[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void add_escaped(struct text *text, unsigned char c)
{
    switch (c) {
    case '"':
        text_add(text, "\\\"", 2);
        break;
    case '\\':
        text_add(text, "\\\\", 2);
        break;
    case '\n':
        text_add(text, "\\n", 2);
        break;
    case '\t':
        text_add(text, "\\t", 2);
        break;
    default:
        text_add_format(text, "\\u%04x", c);
        break;
    }
}

void text_add_quoted(struct text *text, const char *bytes, size_t n_bytes)
{
    const unsigned char *at = (const unsigned char *)bytes;
    if (n_bytes <= SIZE_MAX / 2 &&
        text_reserve(text, n_bytes + 2)) { /* as it is, until something turns up that is not */
        char *to = text->bytes + text->n;
        size_t n = 0;
        *to++ = '"';
        for (; n < n_bytes && is_plain(at[n]); n++)
            to[n] = bytes[n];
        text->n += n + 1;
        if (n == n_bytes) {
            to[n] = '"';
            text->n++;
            return;
        }
        at += n;
        n_bytes -= n;
    }
    while (n_bytes > 0 && !text->failed) {
        size_t run = 0, length = 0;
        while (run < n_bytes && is_plain(at[run]))
            run++;
        text_add(text, at, run);
        at += run;
        n_bytes -= run;
        if (n_bytes == 0)
            break;
        length = utf8_length(at, n_bytes);
        if (length == 0)
            text_add_string(text, "\\ufffd");
        else if (length == 1)
            add_escaped(text, at[0]);
        else
            text_add(text, at, length);
        at += length == 0 ? 1 : length;
        n_bytes -= length == 0 ? 1 : length;
    }
    text_add_char(text, '"');
}

void text_add_time(struct text *text, int64_t us)
{
    struct tm tm;
    time_t seconds = (time_t)(us / 1000000);
    char date[32];
    if (gmtime_r(&seconds, &tm) == NULL || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        text_add_string(text, "null");
    else
        text_add_format(text, "\"%s.%06dZ\"", date, (int)(us % 1000000));
}

char *text_take(struct text *text)
{
    if (text_reserve(text, 1))
        text->bytes[text->n] = '\0';
    char *bytes = text->failed ? NULL : text->bytes;
    if (bytes == NULL)
        free(text->bytes);
    *text = (struct text){0};
    return bytes;
}
