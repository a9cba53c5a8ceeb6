/* dataset_folder.c - a folder with one sub-folder per class. Names are listed at opening, files read when asked for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/label_take.h"
#include "server/formats/dataset_source.h"
#include "server/image/image.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
#define ITEMS_MAX      ((uint64_t)1 << 32) /* what class_item can count */

static int no_memory(const char *path, struct err *err)
{
    return err_memory(err, "the folder %.200s", path);
}

static int compare_classes(const void *a, const void *b)
{
    const struct class_files *one = a, *other = b;
    const int by_label = strcmp(one->label, other->label);
    return by_label != 0 ? by_label : strcmp(one->files.paths[0], other->files.paths[0]);
}

static int add_class(struct class_folder *folder, const char *name, struct err *err)
{
    if (grow(&folder->classes, &folder->size, folder->n_classes, sizeof *folder->classes, "classes", err) != 0)
        return -1;
    struct class_files *files = &folder->classes[folder->n_classes++]; /* from here on the folder releases it */
    *files = (struct class_files){0};
    struct err why = {0};
    if (label_take(files->label, name, strlen(name), &why) != 0)
        return err_set(err, ERR_FILE, "the folder %.150s/%.64s is not named after a class: %s", folder->path, name,
                       why.text);
    return 0;
}

/* A sub-folder becomes a class with its first file. */
static int take_entry(void *context, const struct folder_entry *entry, struct err *err)
{
    struct class_folder *folder = context;
    if (entry->depth == 1) {
        folder->fresh = true;
        return entry->is_folder;
    }
    if (entry->is_folder)
        return 0;
    if (folder->fresh && add_class(folder, entry->parent, err) != 0)
        return -1;
    folder->fresh = false;
    folder->length++;
    return folder_files_add(&folder->classes[folder->n_classes - 1].files, entry->path, err);
}

/* One of each class in turn. */
static int order_items(struct class_folder *folder, struct err *err)
{
    if (folder->length > ITEMS_MAX || folder->length > SIZE_MAX / sizeof *folder->items)
        return no_memory(folder->path, err);
    folder->items = malloc((size_t)folder->length * sizeof *folder->items);
    if (folder->items == NULL)
        return no_memory(folder->path, err);
    uint64_t n = 0;
    for (size_t turn = 0; n < folder->length; turn++)
        for (size_t c = 0; c < folder->n_classes; c++)
            if (turn < folder->classes[c].files.n)
                folder->items[n++] = (struct class_item){(uint32_t)c, (uint32_t)turn};
    return 0;
}

int class_folder_open(struct class_folder *folder, const char *path, struct err *err)
{
    int status = -1;
    folder->path = strdup(path);
    if (folder->path == NULL)
        return no_memory(path, err);
    if (folder_walk(path, &folder->hidden, take_entry, folder, err) != 0)
        goto out;
    if (folder->n_classes == 0) {
        err_set(err, ERR_FILE, "the folder %.200s has no sub-folders with pictures, one for each class", path);
        goto out;
    }
    qsort(folder->classes, folder->n_classes, sizeof *folder->classes, compare_classes);
    status = order_items(folder, err);
out:
    if (status != 0)
        class_folder_close(folder);
    return status;
}

void class_folder_close(struct class_folder *folder)
{
    for (size_t i = 0; i < folder->n_classes; i++)
        folder_files_fini(&folder->classes[i].files);
    free(folder->classes);
    free(folder->items);
    free(folder->path);
    *folder = (struct class_folder){0};
}

/* The whole file, malloc'ed. */
static int read_file(uint8_t **bytes, size_t *n_bytes, const char *path, struct err *err)
{
    int status = -1;
    uint8_t *all = NULL;
    size_t n = 0, size = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return err_set(err, ERR_FILE, "cannot open the file: %s", strerror(errno));
    do {
        /* Asked once more than there is: a file that grows meanwhile is read to its end. */
        size = size == 0 ? 64 << 10 : 2 * size;
        uint8_t *more = size > FILE_BYTES_MAX ? NULL : realloc(all, size);
        if (more == NULL) {
            if (size > FILE_BYTES_MAX)
                err_set(err, ERR_FILE, "the file is larger than %zu MiB", FILE_BYTES_MAX >> 20);
            else
                err_memory(err, "it");
            goto out;
        }
        all = more;
        n += fread(all + n, 1, size - n, file);
    } while (n == size);
    if (ferror(file)) {
        err_set(err, ERR_FILE, "cannot read the file: %s", strerror(errno));
        goto out;
    }
    *bytes = all;
    *n_bytes = n;
    all = NULL;
    status = 0;
out:
    free(all);
    (void)fclose(file);
    return status;
}

int class_folder_get(struct class_folder *folder, uint64_t i, const struct shape *shape,
                     const struct settings *settings, uint8_t *input, const char **label, struct err *err)
{
    const struct class_item item = folder->items[i];
    const struct class_files *class_ = &folder->classes[item.class_];
    const char *path = class_->files.paths[item.name];
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    int status = read_file(&bytes, &n_bytes, path, err);
    if (status == 0)
        status = image_to_input(input, shape, settings->fit, settings->invert, bytes, n_bytes,
                                &(struct image_limits){.pixels_max = folder->pixels_max}, err);
    if (status != 0)
        err_wrap(err, "%.200s", path);
    *label = class_->label;
    free(bytes);
    return status;
}
