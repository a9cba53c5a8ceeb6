/* file_kind.c - see image/file_kind.h */
#include "server/image/file_kind.h"

#include <string.h>
#include <strings.h>

#include "server/common/json_scan.h"

#define TEXT_BYTES   256u /* of a file that are looked at to call it text         */
#define PROSE_BYTES  64u  /* fewer are not surely text                            */
#define PROSE_VALUES 12u  /* different characters: posterised pixels have not so many */

static uint32_t le32(const uint8_t *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* ---- what makes a short signature sure ---- */

/* The first segment names a known application, or another marker follows it. */
static bool jpeg_agrees(const uint8_t *bytes, size_t n_bytes)
{
    static const char *const applications[] = {"JFIF", "Exif", "http", "ICC_", "Adob"};
    if (n_bytes < 10)
        return n_bytes >= 4 && bytes[3] >= 0xC0;
    const size_t next = 4 + ((size_t)bytes[4] << 8 | bytes[5]);
    if (bytes[3] < 0xC0 || next < 6)
        return false;
    for (size_t i = 0; bytes[3] >= 0xE0 && i < sizeof applications / sizeof *applications; i++)
        if (memcmp(bytes + 6, applications[i], 4) == 0)
            return true;
    return next + 1 < n_bytes && bytes[next] == 0xFF && bytes[next + 1] >= 0xC0;
}

/* Reserved bytes, and the size of one of the headers that there are. */
static bool bmp_agrees(const uint8_t *bytes, size_t n_bytes)
{
    if (n_bytes < 18 || le32(bytes + 6) != 0)
        return false;
    const uint32_t header = le32(bytes + 14);
    return header == 12 || header == 40 || header == 52 || header == 56 || header == 64 || header == 108 ||
           header == 124;
}

/* Deflate, no reserved flag, a level and a system that there are. */
static bool gzip_agrees(const uint8_t *bytes, size_t n_bytes)
{
    return n_bytes >= 10 && bytes[2] == 8 && bytes[3] < 0x20 && (bytes[8] == 0 || bytes[8] == 2 || bytes[8] == 4) &&
           (bytes[9] <= 13 || bytes[9] == 255);
}

/* A box at the beginning of a file is not large. */
static bool ftyp_agrees(const uint8_t *bytes, size_t n_bytes)
{
    return n_bytes >= 8 && bytes[0] == 0 && bytes[1] == 0;
}

/* ---- signatures ---- */

#define MAGICK       "convert it first, for instance with ImageMagick: convert IN OUT.png"
#define MAGICK_FIRST "convert it first, for instance with ImageMagick: convert 'IN[0]' OUT.png"
#define HEIF         "convert it first, for instance (Debian: libheif-examples): heif-convert IN OUT.png"
#define DJXL         "convert it first, for instance: djxl IN OUT.png"
#define UNPACK       "unpack it, and send the pictures in it"
#define PAGE         "perhaps an error page that was saved instead of a picture"

/* Of n bytes at a place; sure by themselves, or where `agrees` says so, or never. The first that holds is taken. */
struct signature {
    size_t at;
    const char *magic;
    enum file_format format;
    uint8_t n;
    bool sure;
    bool (*agrees)(const uint8_t *bytes, size_t n_bytes);
    const char *name, *advice;
};

#define MAGIC(at, text, format) at, text, format, sizeof(text) - 1
#define SURE(at, text)          MAGIC(at, text, FILE_OTHER), true, NULL
#define WEAK(at, text, more)    MAGIC(at, text, FILE_OTHER), false, more

static const struct signature signatures[] = {
    {MAGIC(0, "\x89PNG", FILE_PNG), true, NULL, "a PNG", NULL},
    {MAGIC(0, "\xFF\xD8\xFF", FILE_JPEG), false, jpeg_agrees, "a JPEG", NULL},
    {SURE(0, "GIF87a"), "a GIF", MAGICK_FIRST},
    {SURE(0, "GIF89a"), "a GIF", MAGICK_FIRST},
    {MAGIC(8, "WEBP", FILE_WEBP), true, NULL, "a WebP", MAGICK},
    {WEAK(0, "BM", bmp_agrees), "a BMP", MAGICK},
    {SURE(0, "II*\0"), "a TIFF", MAGICK},
    {SURE(0, "MM\0*"), "a TIFF", MAGICK},
    {SURE(0, "II+\0"), "a TIFF", MAGICK},
    {SURE(0, "MM\0+"), "a TIFF", MAGICK},
    {SURE(4, "ftypavi"), "an AVIF", HEIF},
    {SURE(4, "ftyphe"), "a HEIC", HEIF},
    {SURE(4, "ftypmif1"), "a HEIF", HEIF},
    {SURE(4, "ftypmsf1"), "a HEIF", HEIF},
    {WEAK(4, "ftyp", ftyp_agrees), "a video", "send a picture of it"},
    {SURE(0, "\0\0\0\x0CJXL \r\n\x87\n"), "a JPEG XL", DJXL},
    {WEAK(0, "\xFF\x0A", NULL), "a JPEG XL", DJXL},
    {SURE(0, "\0\0\0\x0CjP  \r\n\x87\n"), "a JPEG 2000", MAGICK},
    {SURE(0, "\xFF\x4F\xFF\x51"), "a JPEG 2000", MAGICK},
    {SURE(0, "8BPS"), "a Photoshop file", MAGICK},
    {SURE(0, "%PDF"), "a PDF", "take the pictures out of it, for instance: pdftoppm -png IN OUT"},
    {SURE(0, "%!PS"), "PostScript", MAGICK},
    {WEAK(0, "\x1F\x8B", gzip_agrees), "gzip data", "unpack it first: gunzip IN.gz"},
    {SURE(0, "PK\x03\x04"), "a zip archive", UNPACK},
    {SURE(0, "7z\xBC\xAF\x27\x1C"), "a 7z archive", UNPACK},
    {SURE(0, "Rar!\x1A\x07"), "a RAR archive", UNPACK},
    {SURE(0, "\xFD"
             "7zXZ"),
     "xz data", UNPACK},
    {SURE(0, "\x28\xB5\x2F\xFD"), "zstd data", UNPACK},
    {SURE(257, "ustar"), "a tar archive", UNPACK},
    {SURE(0, "\x93NUMPY"), "a NumPy array", "send its bytes alone, without the header"},
    {SURE(0, "SQLite format 3"), "a SQLite database", NULL},
    {SURE(0, "\x7F"
             "ELF"),
     "a program", NULL},
    {SURE(0, "OggS"), "an Ogg file", NULL},
    {SURE(0, "\x1A\x45\xDF\xA3"), "a video", "send a picture of it"},
    {MAGIC(0, "\xFF\xFE{\0", FILE_TEXT), true, NULL, "JSON in UTF-16", "send it in UTF-8"},
    {MAGIC(0, "\xFE\xFF\0{", FILE_TEXT), true, NULL, "JSON in UTF-16", "send it in UTF-8"},
    {MAGIC(0, "{\0\"\0", FILE_TEXT), true, NULL, "JSON in UTF-16", "send it in UTF-8"},
};

static bool has(const uint8_t *bytes, size_t n_bytes, const struct signature *s)
{
    return n_bytes >= s->at + s->n && bytes[s->at] == (uint8_t)s->magic[0] &&
           memcmp(bytes + s->at, s->magic, s->n) == 0;
}

/* ---- text ---- */

static const struct {
    const char *begin, *name, *advice;
} texts[] = {
    {"<!doctype", "HTML", PAGE},
    {"<html", "HTML", PAGE},
    {"<head", "HTML", PAGE},
    {"<body", "HTML", PAGE},
    {"<!--", "HTML or XML", PAGE},
    {"<svg", "an SVG", "convert it first, for instance: rsvg-convert -o OUT.png IN.svg"},
    {"<?xml", "XML", "perhaps an SVG: rsvg-convert -o OUT.png IN.svg"},
};

static size_t skip_white(const uint8_t *bytes, size_t n_bytes, size_t at)
{
    while (at < n_bytes && (bytes[at] == ' ' || bytes[at] == '\t' || bytes[at] == '\r' || bytes[at] == '\n'))
        at++;
    return at;
}

/* From its brace on: "{}", or a name; *sure: a colon follows it. */
static bool is_object(bool *sure, const uint8_t *bytes, size_t n_bytes, size_t at)
{
    const size_t i = skip_white(bytes, n_bytes, at + 1);
    if (i < n_bytes && bytes[i] == '}') {
        *sure = skip_white(bytes, n_bytes, i + 1) == n_bytes;
        return true;
    }
    if (i == n_bytes || bytes[i] != '"')
        return false;
    size_t end = i + 1;
    while (end < n_bytes && end - i <= PROSE_BYTES && bytes[end] >= ' ' && bytes[end] < 0x7F && bytes[end] != '"')
        end++;
    const size_t colon = skip_white(bytes, n_bytes, end + 1);
    *sure = end > i + 1 && end < n_bytes && bytes[end] == '"' && colon < n_bytes && bytes[colon] == ':';
    return true;
}

/* An object, or a list of objects or of many numbers, which is told only where it is sure. */
static bool is_json(bool *sure, const uint8_t *bytes, size_t n_bytes)
{
    const size_t at = skip_white(bytes, n_bytes, json_mark((const char *)bytes, n_bytes));
    *sure = false;
    if (at < n_bytes && bytes[at] == '{')
        return is_object(sure, bytes, n_bytes, at);
    if (at == n_bytes || bytes[at] != '[')
        return false;
    const size_t first = skip_white(bytes, n_bytes, at + 1);
    if (first < n_bytes && bytes[first] == '{')
        return is_object(sure, bytes, n_bytes, first) && *sure;
    size_t digits = 0, commas = 0;
    for (size_t i = first; i < n_bytes && i - at < PROSE_BYTES; i++) {
        if (bytes[i] == 0 || strchr(" \t\r\n[],.-+eE0123456789", bytes[i]) == NULL)
            return false;
        digits += (uint8_t)(bytes[i] - '0') < 10;
        commas += bytes[i] == ',';
    }
    return *sure = digits >= 16 && commas >= 3;
}

/* UTF-8 without control characters; *sure: of lines, and with as many different characters as prose or a table has. Pixels that stay within
 * these values have neither gaps nor their mixture. */
static bool is_text(bool *sure, const uint8_t *bytes, size_t n_bytes)
{
    const size_t n = n_bytes < TEXT_BYTES ? n_bytes : TEXT_BYTES;
    uint64_t seen[2] = {0};
    size_t length = 0;
    for (size_t i = 0; i < n; i += length) {
        const uint8_t c = bytes[i];
        length = c < 0x80 ? 1 : json_utf8((const char *)bytes + i, n_bytes - i);
        if (length == 0 || c == 0x7F || (c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f'))
            return false;
        if (c < 0x80)
            seen[c / 64] |= (uint64_t)1 << c % 64;
    }
    const bool lines = (seen[0] & (uint64_t)1 << '\n') != 0;
    const int letters = __builtin_popcountll(seen[1]), others = __builtin_popcountll(seen[0]);
    *sure = n >= PROSE_BYTES && lines && letters + others >= (int)PROSE_VALUES;
    return n > 0;
}

static struct file_kind text_kind(const uint8_t *bytes, size_t n_bytes)
{
    const size_t at = skip_white(bytes, n_bytes, json_mark((const char *)bytes, n_bytes));
    for (size_t i = 0; at < n_bytes && bytes[at] == '<' && i < sizeof texts / sizeof *texts; i++) {
        const size_t n = strlen(texts[i].begin);
        if (n_bytes - at >= n && strncasecmp((const char *)bytes + at, texts[i].begin, n) == 0)
            return (struct file_kind){FILE_OTHER, true, texts[i].name, texts[i].advice};
    }
    bool sure = false;
    if (is_json(&sure, bytes, n_bytes)) {
        if (!sure)
            (void)is_text(&sure, bytes, n_bytes);
        return (struct file_kind){FILE_JSON, sure, "JSON", "send it as application/json"};
    }
    if (is_text(&sure, bytes, n_bytes))
        return (struct file_kind){FILE_TEXT, sure, "text", NULL};
    return (struct file_kind){0};
}

struct file_kind file_kind(const uint8_t *bytes, size_t n_bytes)
{
    static const uint8_t zeros[16];
    if (n_bytes >= sizeof zeros && memcmp(bytes, zeros, sizeof zeros) == 0)
        return (struct file_kind){0}; /* how most raw images begin, and no file */
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const struct signature *s = &signatures[i];
        if (has(bytes, n_bytes, s))
            return (struct file_kind){s->format, s->sure || (s->agrees != NULL && s->agrees(bytes, n_bytes)), s->name,
                                      s->advice};
    }
    return text_kind(bytes, n_bytes);
}

#if HAVE_WEBP
const char file_pictures[] = "PNG, JPEG or WebP";
#else
const char file_pictures[] = "PNG or JPEG";
#endif

bool file_is_picture(struct file_kind kind)
{
    return kind.format == FILE_PNG || kind.format == FILE_JPEG || (HAVE_WEBP && kind.format == FILE_WEBP);
}

int file_refuse(struct file_kind kind, struct err *err)
{
    return err_set(err, ERR_MEDIA_TYPE, "not a %s%s%s%s%s", file_pictures, kind.name != NULL ? ": it looks like " : "",
                   kind.name != NULL ? kind.name : "", kind.advice != NULL ? "; " : "",
                   kind.advice != NULL ? kind.advice : "");
}
