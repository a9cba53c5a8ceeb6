/* dataset.h - what the tests of server/formats/dataset.h share: a folder for each of them, files in it, and a data set that is looked at. */
#ifndef CONVD_TESTS_SERVER_DATASET_H
#define CONVD_TESTS_SERVER_DATASET_H

#include <check.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "server/formats/dataset.h"
#include "server/image/image.h"

/* ---- a folder for each test ---- */

static char folder[64];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/convd-dataset-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* One of a few paths at a time, so that calls can be arguments of one call. */
static const char *in(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_sub(const char *name)
{
    ck_assert_int_eq(mkdir(in(name), 0700), 0);
}

static void put(const char *name, const void *bytes, size_t n, bool zipped)
{
    /* "T": the same gzFile, but plain */
    gzFile file = gzopen(in(name), zipped ? "wb9" : "wbT");
    ck_assert_ptr_nonnull(file);
    if (n > 0)
        ck_assert_int_eq(gzwrite(file, bytes, (unsigned)n), (int)n);
    ck_assert_int_eq(gzclose(file), Z_OK);
}

/* ---- what is in them ---- */

static struct shape shape_of(uint32_t width, uint32_t height, uint32_t channels)
{
    struct shape shape = {.width = width, .height = height, .channels = channels, .hidden = 1};
    ck_assert_int_eq(shape_check(&shape, 2, NULL), 0);
    return shape;
}

static struct dataset *opened(const char *const *files, size_t n)
{
    struct dataset *d = NULL;
    struct err err = {0};
    ck_assert_msg(dataset_open(&d, files, n, IMAGE_PIXELS_MAX_DEFAULT, &err) == 0, "%s", err.text);
    return d;
}

static void refused(const char *const *files, size_t n, const char *word)
{
    struct dataset *d = NULL;
    struct err err = {0};
    ck_assert_int_eq(dataset_open(&d, files, n, IMAGE_PIXELS_MAX_DEFAULT, &err), -1);
    ck_assert_ptr_null(d);
    ck_assert_msg(err.code == ERR_FILE, "%s: %s", err_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, word) != NULL, "\"%s\" does not say \"%s\"", err.text, word);
}

static void expect_next(struct dataset *d, const struct shape *shape, const char *label, const uint8_t *pixels)
{
    struct settings settings = settings_default();
    struct err err = {0};
    uint8_t *input = malloc(shape->n_input);
    ck_assert_ptr_nonnull(input);
    const char *got = NULL;
    ck_assert_msg(dataset_next(d, shape, &settings, input, &got, &err) == 1, "%s", err.text);
    ck_assert_str_eq(got, label);
    if (pixels != NULL)
        ck_assert_mem_eq(input, pixels, shape->n_input);
    free(input);
}

static void expect_end(struct dataset *d, const struct shape *shape)
{
    struct settings settings = settings_default();
    struct err err = {0};
    uint8_t input[64];
    const char *label;
    ck_assert_uint_le(shape->n_input, sizeof input);
    ck_assert_int_eq(dataset_next(d, shape, &settings, input, &label, &err), 0);
}

#endif
