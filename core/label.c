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

/* Unicode's White_Space, less what is refused as a control character or a line separator anyway; and the blank of Braille. */
static bool is_space(int32_t point)
{
    return point == ' ' || point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) ||
           point == 0x202f || point == 0x205f || point == 0x2800 || point == 0x3000;
}

struct range {
    int32_t first, last;
    const char *what;
};

/* Unicode's Default_Ignorable_Code_Point, those that are not yet assigned included, and the controls of annotations: two labels that
 * differ in them alone look the same. The table is this file's own, not that of a library, which knows more with each version: what was
 * a label when it was logged stays one. */
static const struct range invisibles[] = {
    {0xad, 0xad, "soft hyphen"},
    {0x34f, 0x34f, "combining grapheme joiner"},
    {0x61c, 0x61c, "direction mark"},
    {0x115f, 0x1160, "Hangul filler"},
    {0x17b4, 0x17b5, "inherent vowel"},
    {0x180b, 0x180f, "variation selector"},
    {0x200b, 0x200b, "zero width space"},
    {0x200c, 0x200c, "zero width non-joiner"},
    {0x200d, 0x200d, "zero width joiner"},
    {0x200e, 0x200f, "direction mark"},
    {0x202a, 0x202e, "direction mark"},
    {0x2060, 0x2065, "invisible operator"},
    {0x2066, 0x2069, "direction mark"},
    {0x206a, 0x206f, "format character"},
    {0x3164, 0x3164, "Hangul filler"},
    {0xfe00, 0xfe0f, "variation selector"},
    {0xfeff, 0xfeff, "byte order mark"},
    {0xffa0, 0xffa0, "Hangul filler"},
    {0xfff0, 0xfffb, "format character"},
    {0x1bca0, 0x1bca3, "format character"},
    {0x1d173, 0x1d17a, "format character"},
    {0xe0000, 0xe0fff, "tag or variation selector"},
};

/* Where the joiners change what is seen: scripts whose letters take another shape by them, and pictures that make one of several. */
static const struct range joined[] = {
    {0x600, 0xdff, "Arabic to Sinhala"},   {0x1000, 0x109f, "Myanmar"},       {0x1780, 0x18af, "Khmer, Mongolian"},
    {0x1900, 0x1cff, "Limbu to Vedic"},    {0x2190, 0x27ff, "symbols"},       {0x2900, 0x2bff, "symbols"},
    {0xa800, 0xabff, "Syloti to Meetei"},  {0x10a00, 0x11fff, "Brahmi, ..."}, {0x1e900, 0x1e95f, "Adlam"},
    {0x1f000, 0x1faff, "pictures, skins"},
};

static const struct range *find(const struct range *ranges, size_t n, int32_t point)
{
    for (size_t i = 0; i < n; i++)
        if (point >= ranges[i].first && point <= ranges[i].last)
            return &ranges[i];
    return NULL;
}

static bool is_joiner(int32_t point)
{
    return point == 0x200c || point == 0x200d;
}

static bool takes_joiner(int32_t point)
{
    return find(joined, sizeof joined / sizeof *joined, point) != NULL;
}

static int refuse_invisible(int32_t point, size_t begin, struct err *err)
{
    return err_set(err, ERR_LABEL_INVALID, "the label has the invisible character U+%04X (%s) at byte %zu: remove it",
                   (unsigned)point, find(invisibles, sizeof invisibles / sizeof *invisibles, point)->what, begin);
}

/* One code point beyond ASCII, between `before` (0: none) and what begins at `at`. */
static int check_visible(int32_t point, size_t begin, bool last, int32_t before, struct err *err)
{
    const bool alike = is_space(point) && point != ' ' && point != 0x3000; /* which is as wide as a letter */
    if (is_joiner(before) && !takes_joiner(point))
        return refuse_invisible(before, begin - 3, err); /* of 3 bytes */
    if (is_joiner(point) && !last && takes_joiner(before))
        return 0;
    if (find(invisibles, sizeof invisibles / sizeof *invisibles, point) != NULL)
        return refuse_invisible(point, begin, err);
    if (alike)
        return err_set(err, ERR_LABEL_INVALID, "the label has the blank U+%04X at byte %zu: use an ordinary space",
                       (unsigned)point, begin);
    return 0;
}

int label_check(const char *bytes, size_t n_bytes, struct err *err)
{
    int32_t before = 0;
    if (n_bytes == 0)
        return err_set(err, ERR_LABEL_INVALID, "the label is empty; it must have 1 to %d bytes", LABEL_BYTES_MAX);
    if (n_bytes > LABEL_BYTES_MAX)
        return err_set(err, ERR_LABEL_INVALID, "the label is %zu bytes; the limit is %d", n_bytes, LABEL_BYTES_MAX);
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
        if ((point >= 0x80 || is_joiner(before)) && check_visible(point, begin, at == n_bytes, before, err) != 0)
            return -1;
        before = point;
    }
    return 0;
}
