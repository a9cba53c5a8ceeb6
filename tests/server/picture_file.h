/* picture_file.h - the pictures of tests/fixtures/images/, as files and decoded. Run from the tree's root. */
#ifndef CONVD_TESTS_SERVER_PICTURE_FILE_H
#define CONVD_TESTS_SERVER_PICTURE_FILE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/image/image.h"

#define UNUSED __attribute__((unused))
#define FOLDER "tests/fixtures/images/"

/* A file's bytes in a block of exactly their number: a sanitizer sees a byte read too far. */
UNUSED static uint8_t *load(const char *name, size_t *n_bytes)
{
    char path[256];
    (void)snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "no %s: run from the root of the tree", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    long n = ftell(file);
    ck_assert(n > 0 && n < 1 << 24);
    ck_assert_int_eq(fseek(file, 0, SEEK_SET), 0);
    uint8_t *bytes = malloc((size_t)n);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)n, file), (size_t)n);
    ck_assert_int_eq(fclose(file), 0);
    *n_bytes = (size_t)n;
    return bytes;
}

UNUSED static struct picture decode(const char *name)
{
    struct picture picture = {0};
    struct err err = {0};
    size_t n;
    uint8_t *bytes = load(name, &n);
    int status = image_decode(&picture, bytes, n, &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, &err);
    ck_assert_msg(status == 0, "%s: %s", name, err.text);
    free(bytes);
    return picture;
}

#endif
