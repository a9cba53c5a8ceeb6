/* vectors.h - reads tests/vectors/NAME.json: one network with what the equations give for it in float64.
 *
 * The files are arrays of numbers under known names, so reading them needs no JSON library (which is another layer's):
 * find the name, take all numbers up to the matching bracket. */
#ifndef CONVD_TESTS_VECTORS_H
#define CONVD_TESTS_VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct numbers {
    double *v;
    size_t n;
};

static inline char *vectors_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    char *text = NULL;
    size_t n = 0;
    for (size_t got = 1; got > 0; n += got) {
        text = realloc(text, n + 65537);
        if (text == NULL)
            abort();
        got = fread(text + n, 1, 65536, file);
    }
    text[n] = '\0';
    (void)fclose(file);
    return text;
}

/* Where the value of "name" begins, at or after `from`. */
static inline const char *vectors_find(const char *from, const char *name)
{
    char quoted[64];
    (void)snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *at = strstr(from, quoted);
    if (at == NULL) {
        (void)fprintf(stderr, "no member %s\n", name);
        abort();
    }
    return at + strlen(quoted);
}

static inline double vectors_number(const char *from, const char *name)
{
    return strtod(vectors_find(from, name), NULL);
}

/* All numbers of the (nested) array under "name"; empty when it is null. The caller frees v. */
static inline struct numbers vectors_numbers(const char *from, const char *name)
{
    const char *at = vectors_find(from, name);
    struct numbers out = {NULL, 0};
    size_t room = 0;
    int depth = 0;
    do {
        if (*at == '[') {
            depth++;
            at++;
        } else if (*at == ']') {
            depth--;
            at++;
        } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
            char *end;
            double v = strtod(at, &end);
            at = end;
            if (out.n == room) {
                room = room * 2 + 64;
                out.v = realloc(out.v, room * sizeof *out.v);
                if (out.v == NULL)
                    abort();
            }
            out.v[out.n++] = v;
        } else if (*at == 'n' && depth == 0) {
            break; /* null */
        } else {
            at++;
        }
    } while (depth > 0);
    return out;
}

#endif
