/* exif.c - which way up a picture was taken: the one value of EXIF that changes what it shows, and the turn that it asks for.
 *
 * A JPEG has EXIF in a segment APP1 that begins with "Exif", two zeros; a PNG in its chunk eXIf. It is a TIFF: byte order, then the place of a
 * directory of entries of 12 bytes, of which one, 0x0112, says how the stored rows and columns lie (EXIF 2.3, 4.6.4). Nothing else of it is
 * read; what points outside, or says anything but 1 to 8, says nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "server/image/codec.h"

#define TAG_ORIENTATION 0x0112u
#define TYPE_SHORT      3u
#define ENTRY_BYTES     12u
#define TILE            32u /* pixels a side: rows that become columns stay in the cache */

struct tiff {
    const uint8_t *bytes;
    size_t n_bytes;
    bool little;
};

static uint32_t at16(const struct tiff *t, size_t at)
{
    const uint32_t first = t->bytes[at], second = t->bytes[at + 1];
    return t->little ? first | second << 8 : first << 8 | second;
}

static uint32_t at32(const struct tiff *t, size_t at)
{
    const uint32_t first = at16(t, at), second = at16(t, at + 2);
    return t->little ? first | second << 16 : first << 16 | second;
}

unsigned exif_orientation(const uint8_t *bytes, size_t n_bytes)
{
    if (n_bytes < 8 || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0))
        return 1;
    const struct tiff tiff = {bytes, n_bytes, bytes[0] == 'I'};
    const size_t directory = at32(&tiff, 4);
    if (directory > n_bytes - 2)
        return 1;
    const size_t room = (n_bytes - directory - 2) / ENTRY_BYTES, said = at16(&tiff, directory);
    for (size_t i = 0; i < said && i < room; i++) {
        const size_t entry = directory + 2 + i * ENTRY_BYTES;
        if (at16(&tiff, entry) != TAG_ORIENTATION)
            continue;
        const uint32_t value = at16(&tiff, entry + 8);
        const bool sound = at16(&tiff, entry + 2) == TYPE_SHORT && at32(&tiff, entry + 4) == 1;
        return sound && value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

unsigned jpeg_orientation(const uint8_t *bytes, size_t n_bytes)
{
    size_t at = 2; /* after the start of image */
    while (n_bytes >= 4 && at <= n_bytes - 4 && bytes[at] == 0xFF) {
        const uint8_t marker = bytes[at + 1];
        if (marker == 0xFF) { /* a byte of filling */
            at++;
            continue;
        }
        if (marker == 0xD9 || marker == 0xDA) /* the end, or the pixels */
            break;
        const size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3], left = n_bytes - at - 2;
        if (length < 2 || length > left)
            break;
        if (marker == 0xE1 && length >= 8 && memcmp(bytes + at + 4, "Exif\0", 6) == 0)
            return exif_orientation(bytes + at + 10, length - 8);
        at += 2 + length;
    }
    return 1;
}

/* Pixel (x, y) of the upright picture is the stored pixel start + x * dx + y * dy. */
struct turn {
    ptrdiff_t start, dx, dy;
};

static struct turn turn_of(unsigned orientation, ptrdiff_t w, ptrdiff_t h)
{
    const ptrdiff_t last_row = (h - 1) * w;
    switch (orientation) {
    case 2: /* mirrored */
        return (struct turn){w - 1, -1, w};
    case 3: /* on its head */
        return (struct turn){last_row + w - 1, -1, -w};
    case 4: /* mirrored, on its head */
        return (struct turn){last_row, 1, -w};
    case 5: /* rows are columns */
        return (struct turn){0, w, 1};
    case 6: /* lies on its left side: a quarter clockwise makes it upright */
        return (struct turn){last_row, -w, 1};
    case 7: /* rows are columns, on its head */
        return (struct turn){last_row + w - 1, -w, -1};
    case 8: /* lies on its right side */
        return (struct turn){w - 1, w, -1};
    default:
        return (struct turn){0, 1, w};
    }
}

int picture_turn(struct picture *picture, unsigned orientation, struct err *err)
{
    if (orientation <= 1)
        return 0;
    const uint32_t w = orientation >= 5 ? picture->height : picture->width;
    const uint32_t h = orientation >= 5 ? picture->width : picture->height;
    const struct turn turn = turn_of(orientation, (ptrdiff_t)picture->width, (ptrdiff_t)picture->height);
    uint8_t *upright = malloc((size_t)w * h * 4);
    if (upright == NULL)
        return err_memory(err, "turning a picture of %u x %u pixels", w, h);
    for (uint32_t top = 0; top < h; top += TILE)
        for (uint32_t left = 0; left < w; left += TILE)
            for (uint32_t y = top; y < h && y < top + TILE; y++)
                for (uint32_t x = left; x < w && x < left + TILE; x++)
                    memcpy(upright + 4 * ((size_t)y * w + x),
                           picture->rgba + 4 * (turn.start + (ptrdiff_t)x * turn.dx + (ptrdiff_t)y * turn.dy), 4);
    free(picture->rgba);
    *picture = (struct picture){.width = w, .height = h, .rgba = upright};
    return 0;
}
