/* dataset_source.h - the two kinds of dataset, as formats/dataset.c sees them. Private to dataset*.c.
 *
 * `get` fills input and *label for image i, 0 <= i < length. Errors: as dataset_open() and dataset_next(). A *_close()
 * of a zeroed struct is fine, and so is one after a failed open.
 */
#ifndef CONVD_SERVER_FORMATS_DATASET_SOURCE_H
#define CONVD_SERVER_FORMATS_DATASET_SOURCE_H

#include <stdbool.h>

#include "server/formats/dataset.h"
#include "server/formats/folder.h"

/* One pair of IDX files. */
struct idx_pair {
    char *path;      /* of the images, for messages              */
    uint64_t length; /* n                                        */
    uint32_t width, height, channels;
    uint8_t *pixels; /* [n][c][h][w]                             */
    uint8_t *labels; /* [n]                                      */
    uint8_t *rgba;   /* one picture, where images must be fitted */
    char label[4];   /* what `get` gave last                     */
};

int idx_pair_open(struct idx_pair *pair, const char *a, const char *b, struct err *err);
void idx_pair_close(struct idx_pair *pair);
int idx_pair_get(struct idx_pair *pair, uint64_t i, const struct shape *shape, const struct settings *settings,
                 uint8_t *input, const char **label, struct err *err);

/* A folder of classes. */
struct class_folder {
    char *path;
    struct class_files {
        char label[LABEL_BYTES_MAX + 1];
        struct folder_files files;
    } * classes; /* in byte order of the labels, several of one label where the names differ in form */
    size_t n_classes, size;
    struct class_item {
        uint32_t class_, name;
    } * items; /* [length] in the order in which they come */
    uint64_t length, hidden;
    uint64_t pixels_max; /* of a picture; set before it is opened */
    bool fresh;          /* while it is listed: the sub-folder that the walk is in has no file yet */
};

int class_folder_open(struct class_folder *folder, const char *path, struct err *err);
void class_folder_close(struct class_folder *folder);
int class_folder_get(struct class_folder *folder, uint64_t i, const struct shape *shape,
                     const struct settings *settings, uint8_t *input, const char **label, struct err *err);

#endif
