/* label_take.c - see common/label_take.h. The one file that knows utf8proc. */
#include "server/common/label_take.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

#define GIVEN_BYTES_MAX ((size_t)4 * LABEL_BYTES_MAX) /* normal form D takes up to three times as much */
#define POINTS_MAX      ((size_t)2 * GIVEN_BYTES_MAX) /* U+0390: two bytes, three points               */
#define SELECTOR_BYTES  3
#define NORMAL_FORM_C   (UTF8PROC_STABLE | UTF8PROC_COMPOSE)

/* U+FE0E and U+FE0F. */
static bool is_selector(const char *bytes, size_t n)
{
    return n >= SELECTOR_BYTES &&
           (memcmp(bytes, "\xef\xb8\x8e", SELECTOR_BYTES) == 0 || memcmp(bytes, "\xef\xb8\x8f", SELECTOR_BYTES) == 0);
}

static bool is_ascii(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)bytes[i] >= 0x80)
            return false;
    return true;
}

/* Points, and then, in the same place, UTF-8: its length, or a negative number. */
static utf8proc_ssize_t normalise(utf8proc_int32_t points[POINTS_MAX + 1], const char *bytes, size_t n_bytes)
{
    char plain[GIVEN_BYTES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < n_bytes;) {
        if (is_selector(bytes + i, n_bytes - i))
            i += SELECTOR_BYTES;
        else
            plain[n++] = bytes[i++];
    }
    const utf8proc_ssize_t n_points = utf8proc_decompose((const utf8proc_uint8_t *)plain, (utf8proc_ssize_t)n, points,
                                                         (utf8proc_ssize_t)POINTS_MAX, NORMAL_FORM_C);
    if (n_points < 0 || n_points > (utf8proc_ssize_t)POINTS_MAX)
        return -1;
    return utf8proc_reencode(points, n_points, NORMAL_FORM_C);
}

int label_take(char out[LABEL_BYTES_MAX + 1], const char *bytes, size_t n_bytes, struct err *err)
{
    utf8proc_int32_t points[POINTS_MAX + 1];
    if (n_bytes <= GIVEN_BYTES_MAX && !is_ascii(bytes, n_bytes)) {
        const utf8proc_ssize_t n = normalise(points, bytes, n_bytes);
        if (n >= 0) { /* else it is not UTF-8, and label_check() says where */
            bytes = (const char *)points;
            n_bytes = (size_t)n;
        }
    }
    if (label_check(bytes, n_bytes, err) != 0)
        return -1;
    memset(out, 0, LABEL_BYTES_MAX + 1);
    memcpy(out, bytes, n_bytes);
    return 0;
}
