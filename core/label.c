/* label.c - see label.h */
#include "core/label.h"

#include <stdbool.h>
#include <stdint.h>

/* One code point of well-formed UTF-8 (Unicode 15, table 3-7) from bytes[*at]; moves *at past it. -1: ill-formed. */
static int32_t decode(const unsigned char *bytes, size_t n, size_t *at)
{
    unsigned char lead = bytes[(*at)++];
    if (lead < 0x80)
        return lead;
    int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || n - *at < (size_t)more)
        return -1;
    int32_t point = lead & (0x3f >> more);
    for (int i = 0; i < more; i++) {
        unsigned char byte = bytes[(*at)++];
        if ((byte & 0xc0) != 0x80)
            return -1;
        point = point << 6 | (byte & 0x3f);
    }
    static const int32_t lowest[] = {0, 0x80, 0x800, 0x10000};
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point < lowest[more] || point > 0x10ffff || surrogate ? -1 : point;
}

/* Unicode's White_Space, less what is refused as a control character or a line separator anyway. */
static bool is_space(int32_t point)
{
    return point == ' ' || point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) ||
           point == 0x202f || point == 0x205f || point == 0x3000;
}

int label_check(const char *bytes, size_t n_bytes, struct err *err)
{
    if (n_bytes == 0)
        return err_set(err, ERR_LABEL_INVALID, "the label is empty; it must have 1 to %d bytes", LABEL_BYTES_MAX);
    if (n_bytes > LABEL_BYTES_MAX)
        return err_set(err, ERR_LABEL_INVALID, "the label has %zu bytes, but may have at most %d", n_bytes,
                       LABEL_BYTES_MAX);
    for (size_t at = 0; at < n_bytes;) {
        size_t begin = at;
        int32_t point = decode((const unsigned char *)bytes, n_bytes, &at);
        if (point < 0)
            return err_set(err, ERR_LABEL_INVALID, "the label is not valid UTF-8 at byte %zu", begin);
        if (point < 0x20 || (point >= 0x7f && point <= 0x9f) || point == 0x2028 || point == 0x2029)
            return err_set(err, ERR_LABEL_INVALID, "the label has the control character U+%04X at byte %zu",
                           (unsigned)point, begin);
        if (is_space(point) && (begin == 0 || at == n_bytes))
            return err_set(err, ERR_LABEL_INVALID, "the label begins or ends with white space");
    }
    return 0;
}
