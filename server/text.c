/* text.c - see text.h */
#include "server/text.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 512u

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

void text_clear(struct text *text)
{
    text->n = 0;
    text->failed = false;
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
    size_t size = text->size * 2 > FIRST_BYTES ? text->size * 2 : FIRST_BYTES;
    if (size < need)
        size = need;
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

void text_add_u64(struct text *text, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    text_add(text, digits + at, sizeof digits - at);
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
    uint64_t units = (uint64_t)(number * 1e9 + 0.5);
    text_add_u64(text, units / 1000000000u);
    char decimals[10];
    uint32_t rest = (uint32_t)(units % 1000000000u);
    for (size_t i = 9; i > 0; i--) {
        decimals[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    decimals[0] = '.';
    text_add(text, decimals, sizeof decimals);
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
    text_add(text, "\"", 1);
    for (size_t i = 0; i < n_bytes;) {
        size_t run = i;
        while (run < n_bytes && is_plain(at[run]))
            run++;
        text_add(text, bytes + i, run - i);
        i = run;
        if (i == n_bytes)
            break;
        size_t length = utf8_length(at + i, n_bytes - i);
        if (length == 0)
            text_add_string(text, "\\ufffd");
        else if (length == 1)
            add_escaped(text, at[i]);
        else
            text_add(text, bytes + i, length);
        i += length == 0 ? 1 : length;
    }
    text_add(text, "\"", 1);
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
