/* dataset_folder.c - a folder with one sub-folder per class. Names are listed at opening, files read when asked for. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "server/common/label_take.h"
#include "server/formats/dataset_source.h"
#include "server/image/image.h"

#define FILE_BYTES_MAX ((size_t)256 << 20)
#define ITEMS_MAX      ((uint64_t)1 << 32) /* what class_item can count */

static int no_memory(const char *path, struct err *err)
{
    return err_set(err, ERR_MEMORY, "out of memory for the folder %.200s", path);
}

/* "<folder>/<name>", malloc'ed; NULL: out of memory. */
static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* Room for one more of `each` bytes; NULL: out of memory, and the old list stays. */
static void *grown(void *list, size_t n, size_t *size, size_t each)
{
    if (n < *size)
        return list;
    const size_t wanted = *size == 0 ? 16 : 2 * *size;
    void *more = wanted > SIZE_MAX / 2 / each ? NULL : realloc(list, wanted * each);
    if (more != NULL)
        *size = wanted;
    return more;
}

/* What a file manager leaves behind, beside the names that begin with a dot. */
static bool is_hidden(const char *name)
{
    return name[0] == '.' || strcasecmp(name, "Thumbs.db") == 0 || strcasecmp(name, "desktop.ini") == 0;
}

/* Calls `take` with every entry that is not hidden and is a folder (or a regular file, or a link that leads nowhere: to be read, which
 * tells), until it fails. */
static int each_entry(const char *path, bool folders, uint64_t *hidden,
                      int (*take)(void *, const char *, const char *, struct err *), void *context, struct err *err)
{
    int status = -1;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return err_set(err, ERR_FILE, "cannot open the folder %.200s: %s", path, strerror(errno));
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            status = errno == 0 ? 0 : err_set(err, ERR_FILE, "cannot list %.200s: %s", path, strerror(errno));
            goto out;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (is_hidden(entry->d_name)) {
            ++*hidden;
            continue;
        }
        struct stat kind;
        char *whole = join(path, entry->d_name);
        if (whole == NULL) {
            no_memory(path, err);
            goto out;
        }
        const bool there = stat(whole, &kind) == 0;
        const bool wanted = folders ? there && S_ISDIR(kind.st_mode) : !there || S_ISREG(kind.st_mode);
        const int taken = wanted ? take(context, whole, entry->d_name, err) : 0;
        free(whole);
        if (taken != 0)
            goto out;
    }
out:
    (void)closedir(directory);
    return status;
}

static int take_file(void *context, const char *path, const char *name, struct err *err)
{
    struct class_files *files = context;
    char **names = grown(files->names, files->n_names, &files->size, sizeof *names);
    if (names == NULL)
        return no_memory(path, err);
    files->names = names;
    names[files->n_names] = strdup(name);
    if (names[files->n_names] == NULL)
        return no_memory(path, err);
    files->n_names++;
    return 0;
}

static void class_files_fini(struct class_files *files)
{
    for (size_t i = 0; i < files->n_names; i++)
        free(files->names[i]);
    free(files->names);
    free(files->folder);
    *files = (struct class_files){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_classes(const void *a, const void *b)
{
    const struct class_files *one = a, *other = b;
    const int by_label = strcmp(one->label, other->label);
    return by_label != 0 ? by_label : strcmp(one->folder, other->folder);
}

static int take_class(void *context, const char *path, const char *name, struct err *err)
{
    struct class_folder *folder = context;
    struct class_files *classes = grown(folder->classes, folder->n_classes, &folder->size, sizeof *classes);
    if (classes == NULL)
        return no_memory(path, err);
    folder->classes = classes;
    struct class_files *files = &classes[folder->n_classes];
    *files = (struct class_files){0};
    if (each_entry(path, false, &folder->hidden, take_file, files, err) != 0) {
        class_files_fini(files);
        return -1;
    }
    if (files->n_names == 0)
        return 0;
    folder->n_classes++; /* from here on the folder releases it */
    struct err why = {0};
    if (label_take(files->label, name, strlen(name), &why) != 0)
        return err_set(err, ERR_FILE, "the folder %.150s names no class: %s", path, why.text);
    files->folder = strdup(name);
    if (files->folder == NULL)
        return no_memory(path, err);
    qsort(files->names, files->n_names, sizeof *files->names, compare_names);
    folder->length += files->n_names;
    return 0;
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
            if (turn < folder->classes[c].n_names)
                folder->items[n++] = (struct class_item){(uint32_t)c, (uint32_t)turn};
    return 0;
}

int class_folder_open(struct class_folder *folder, const char *path, struct err *err)
{
    int status = -1;
    folder->path = strdup(path);
    if (folder->path == NULL)
        return no_memory(path, err);
    if (each_entry(path, true, &folder->hidden, take_class, folder, err) != 0)
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
        class_files_fini(&folder->classes[i]);
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
        return err_set(err, ERR_FILE, "cannot open it: %s", strerror(errno));
    do {
        /* Asked once more than there is: a file that grows meanwhile is read to its end. */
        size = size == 0 ? 64 << 10 : 2 * size;
        uint8_t *more = size > FILE_BYTES_MAX ? NULL : realloc(all, size);
        if (more == NULL) {
            if (size > FILE_BYTES_MAX)
                err_set(err, ERR_FILE, "it has more than %zu MiB", FILE_BYTES_MAX >> 20);
            else
                err_set(err, ERR_MEMORY, "out of memory for it");
            goto out;
        }
        all = more;
        n += fread(all + n, 1, size - n, file);
    } while (n == size);
    if (ferror(file)) {
        err_set(err, ERR_FILE, "cannot read it: %s", strerror(errno));
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
    const struct class_files *files = &folder->classes[item.class_];
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    char *path = NULL;
    if (asprintf(&path, "%s/%s/%s", folder->path, files->folder, files->names[item.name]) < 0)
        return no_memory(folder->path, err);
    int status = read_file(&bytes, &n_bytes, path, err);
    if (status == 0)
        status = image_to_input(input, shape, settings, bytes, n_bytes,
                                &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, err);
    if (status != 0)
        err_wrap(err, "%.200s", path);
    *label = files->label;
    free(bytes);
    free(path);
    return status;
}
