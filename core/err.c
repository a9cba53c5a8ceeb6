/* err.c - see err.h */
#include "core/err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Of a character in UTF-8: how many bytes it has, 1 also for what is none; *code: which it is, a lone byte as itself. */
static size_t character(uint32_t *code, const unsigned char *at)
{
    const size_t n = *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : *at >= 0xc2 ? 2 : 1;
    *code = n == 1 ? *at : *at & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            *code = *at;
            return 1;
        }
        *code = *code << 6 | (at[i] & 0x3fu);
    }
    return n;
}

static bool is_control(uint32_t code)
{
    const bool turns = code == 0x61c || code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
                       (code >= 0x2066 && code <= 0x2069);
    return code < ' ' || (code >= 0x7f && code <= 0x9f) || turns;
}

size_t control_bytes(uint32_t *code, const char *text)
{
    const size_t n = character(code, (const unsigned char *)text);
    return is_control(*code) ? n : 0;
}

void one_line(char *text)
{
    char *to = text;
    for (const char *at = text; *at != '\0';) {
        uint32_t code;
        size_t n = character(&code, (const unsigned char *)at);
        if (is_control(code)) {
            *to++ = '?';
            at += n;
        } else {
            while (n-- > 0)
                *to++ = *at++;
        }
    }
    *to = '\0';
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    if (err == NULL)
        return -1;
    err->code = code;
    err->detail = 0;
    err->pointer[0] = '\0';
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    one_line(err->text);
    return -1;
}

int err_memory(struct err *err, const char *format, ...)
{
    char what[ERR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return err_set(err, ERR_MEMORY, "no memory for %s", what);
}

/* Writes "<format><middle><what was there>" back into `field`, cut at its end. */
static void put_before(char *field, size_t size, const char *middle, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

static void put_before(char *field, size_t size, const char *middle, const char *format, va_list args)
{
    char joined[ERR_TEXT_BYTES * 2];
    int n = vsnprintf(joined, ERR_TEXT_BYTES, format, args);
    if (n < 0)
        return;
    size_t used = strlen(joined);
    (void)snprintf(joined + used, sizeof joined - used, "%s%s", middle, field);
    joined[size - 1] = '\0';
    memcpy(field, joined, strlen(joined) + 1);
}

int err_wrap(struct err *err, const char *format, ...)
{
    if (err == NULL)
        return -1;
    va_list args;
    va_start(args, format);
    put_before(err->text, sizeof err->text, ": ", format, args);
    va_end(args);
    one_line(err->text);
    return -1;
}

int err_at(struct err *err, const char *format, ...)
{
    if (err == NULL)
        return -1;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->pointer, sizeof err->pointer, format, args);
    va_end(args);
    return -1;
}

int err_under(struct err *err, const char *format, ...)
{
    if (err == NULL)
        return -1;
    va_list args;
    va_start(args, format);
    put_before(err->pointer, sizeof err->pointer, "", format, args);
    va_end(args);
    return -1;
}

const char *err_code_name(enum err_code code)
{
    static const char *const names[ERR_N] = {
        [ERR_NONE] = "none",
        [ERR_SYNTAX] = "syntax",
        [ERR_EMPTY] = "empty-body",
        [ERR_VALUE] = "value",
        [ERR_INPUT_SIZE] = "input-size",
        [ERR_MEDIA_TYPE] = "media-type",
        [ERR_IMAGE] = "image",
        [ERR_IMAGE_LIMIT] = "image-limit",
        [ERR_FLAT] = "flat-image",
        [ERR_LABEL_MISSING] = "label-missing",
        [ERR_LABEL_UNKNOWN] = "label-unknown",
        [ERR_LABEL_INVALID] = "label-invalid",
        [ERR_TOO_LARGE] = "too-large",
        [ERR_NOT_FOUND] = "not-found",
        [ERR_GONE] = "gone",
        [ERR_METHOD] = "method",
        [ERR_CONFLICT] = "conflict",
        [ERR_KEY_REUSED] = "key-reused",
        [ERR_UNAUTHORIZED] = "unauthorized",
        [ERR_FORBIDDEN] = "forbidden",
        [ERR_LIMIT] = "limit",
        [ERR_TIMEOUT] = "timeout",
        [ERR_BUSY] = "busy",
        [ERR_STOPPING] = "stopping",
        [ERR_MEMORY] = "memory",
        [ERR_STORAGE_FULL] = "storage-full",
        [ERR_STORAGE] = "storage",
        [ERR_DB_MISSING] = "database-missing",
        [ERR_DB_FOREIGN] = "database-foreign",
        [ERR_DB_NEWER] = "database-newer",
        [ERR_DB_LOCKED] = "database-locked",
        [ERR_DB_READONLY] = "database-read-only",
        [ERR_DB_CORRUPT] = "database-corrupt",
        [ERR_DB_LOST] = "database-lost",
        [ERR_LOG] = "log-unreachable",
        [ERR_DIVERGED] = "log-diverged",
        [ERR_FILE] = "file",
        [ERR_NETWORK] = "network",
        [ERR_USAGE] = "usage",
        [ERR_INTERNAL] = "internal",
    };
    return (unsigned)code < ERR_N && names[code] != NULL ? names[code] : "unknown";
}
