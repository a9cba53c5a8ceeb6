/* image/image.h - the files of a model as they are at some moment, to be put back as often as a sweep begins anew. */
#ifndef CONVD_TESTS_STORE_IMAGE_H
#define CONVD_TESTS_STORE_IMAGE_H

#include "tests/store/model.h"

struct image {
    uint8_t *bytes[2]; /* database, WAL */
    size_t n_bytes[2];
};

static const char *const image_suffixes[2] = {"", "-wal"};

UNUSED static void image_path(char path[128], const struct model *m, size_t i)
{
    (void)snprintf(path, 128, "%s%s", m->path, image_suffixes[i]);
}

/* Of a model that may be open: as a crash would leave it. */
UNUSED static void image_take(struct image *image, const struct model *m)
{
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        struct stat status;
        image_path(path, m, i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert(fd >= 0 && fstat(fd, &status) == 0);
        image->n_bytes[i] = (size_t)status.st_size;
        image->bytes[i] = malloc(image->n_bytes[i] + 1);
        ck_assert_int_eq(read(fd, image->bytes[i], image->n_bytes[i]), (ssize_t)image->n_bytes[i]);
        (void)close(fd);
    }
}

/* In place of what is there; closes the model, and leaves it closed. */
UNUSED static void image_put(const struct image *image, struct model *m)
{
    store_close(m->store);
    m->store = NULL;
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        image_path(path, m, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ck_assert(fd >= 0 && write(fd, image->bytes[i], image->n_bytes[i]) == (ssize_t)image->n_bytes[i]);
        (void)close(fd);
    }
}

UNUSED static void image_fini(struct image *image)
{
    free(image->bytes[0]);
    free(image->bytes[1]);
}

#endif
