/* dataset.c - see formats/dataset.h: which kind, whose turn, which labels. */
#include "server/formats/dataset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/formats/dataset_source.h"

struct dataset {
    struct class_folder folder; /* where n_pairs is 0 */
    struct idx_pair *pairs;
    size_t n_pairs;
    uint64_t length;
    size_t pair;            /* that the next image comes from */
    uint64_t next;          /* in that pair, or in the folder */
    char (*label_texts)[4]; /* the IDX labels' */
    const char **labels;
    size_t n_labels;
    bool *dropped; /* of each file of the folder: it is skipped; NULL: none is, each must be a picture */
    struct dataset_skipped skipped;
};

/* ---- labels ---- */

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static int compare_labels(const void *one, const void *other)
{
    const char *a = *(const char *const *)one, *b = *(const char *const *)other;
    if (is_number(a) != is_number(b))
        return is_number(a) ? -1 : 1;
    if (is_number(a)) {
        const char *v = a + strspn(a, "0"), *w = b + strspn(b, "0");
        if (strlen(v) != strlen(w))
            return strlen(v) < strlen(w) ? -1 : 1;
        if (strcmp(v, w) != 0)
            return strcmp(v, w);
    }
    return strcmp(a, b);
}

static int collect_idx_labels(struct dataset *d, struct err *err)
{
    bool seen[256] = {false};
    for (size_t i = 0; i < d->n_pairs; i++)
        for (uint64_t s = 0; s < d->pairs[i].length; s++)
            seen[d->pairs[i].labels[s]] = true;
    d->label_texts = calloc(256, sizeof *d->label_texts);
    d->labels = calloc(256, sizeof *d->labels);
    if (d->label_texts == NULL || d->labels == NULL)
        return err_memory(err, "labels");
    for (unsigned v = 0; v < 256; v++) {
        if (!seen[v])
            continue;
        (void)snprintf(d->label_texts[v], sizeof d->label_texts[v], "%u", v & 255U);
        d->labels[d->n_labels++] = d->label_texts[v];
    }
    return 0;
}

static int collect_folder_labels(struct dataset *d, struct err *err)
{
    d->labels = calloc(d->folder.n_classes, sizeof *d->labels);
    if (d->labels == NULL)
        return err_memory(err, "labels");
    for (size_t i = 0; i < d->folder.n_classes; i++)
        if (i == 0 || strcmp(d->folder.classes[i].label, d->folder.classes[i - 1].label) != 0)
            d->labels[d->n_labels++] = d->folder.classes[i].label;
    qsort(d->labels, d->n_labels, sizeof *d->labels, compare_labels);
    return 0;
}

/* ---- opening ---- */

static int open_folder(struct dataset *d, const char *path, struct err *err)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return err_set(err, ERR_FILE, "cannot open %.200s: %s", path, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return err_set(err, ERR_FILE, "%.200s is one file: give a folder, or IDX files in pairs of images and labels",
                       path);
    if (class_folder_open(&d->folder, path, err) != 0)
        return -1;
    d->length = d->folder.length;
    d->skipped.hidden = d->folder.hidden;
    return collect_folder_labels(d, err);
}

static int open_pairs(struct dataset *d, const char *const *files, size_t n_files, struct err *err)
{
    d->pairs = calloc(n_files / 2, sizeof *d->pairs);
    if (d->pairs == NULL)
        return err_memory(err, "%zu files", n_files);
    for (; d->n_pairs < n_files / 2; d->n_pairs++) {
        struct idx_pair *pair = &d->pairs[d->n_pairs];
        if (idx_pair_open(pair, files[2 * d->n_pairs], files[2 * d->n_pairs + 1], err) != 0)
            return -1;
        d->length += pair->length;
    }
    return collect_idx_labels(d, err);
}

int dataset_open(struct dataset **out, const char *const *files, size_t n_files, uint64_t pixels_max, struct err *err)
{
    if (n_files != 1 && (n_files == 0 || n_files % 2 != 0))
        return err_set(err, ERR_FILE,
                       "%zu files are no dataset: give one folder, or IDX files in pairs of images and labels",
                       n_files);
    struct dataset *d = calloc(1, sizeof *d);
    if (d == NULL)
        return err_memory(err, "a dataset");
    d->folder.pixels_max = pixels_max;
    if ((n_files == 1 ? open_folder(d, files[0], err) : open_pairs(d, files, n_files, err)) != 0) {
        dataset_close(d);
        return -1;
    }
    *out = d;
    return 0;
}

void dataset_close(struct dataset *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n_pairs; i++)
        idx_pair_close(&d->pairs[i]);
    class_folder_close(&d->folder);
    free(d->pairs);
    free(d->label_texts);
    free(d->labels);
    free(d->dropped);
    free(d);
}

/* ---- reading ---- */

uint64_t dataset_length(const struct dataset *d)
{
    return d->length - d->skipped.files;
}

const struct dataset_skipped *dataset_skipped(const struct dataset *d)
{
    return d != NULL ? &d->skipped : NULL;
}

void dataset_skip(struct dataset_skipped *skipped, const struct err *why)
{
    if (skipped->files < DATASET_SKIPPED_NAMED)
        memcpy(skipped->first[skipped->files], why->text, sizeof why->text);
    skipped->files++;
}

size_t dataset_labels(const struct dataset *d, const char *const **labels)
{
    *labels = d->labels;
    return d->n_labels;
}

/* Image i of the folder. 1: there it is; 0: it is skipped; -1. */
static int read_picture(struct dataset *d, uint64_t i, const struct shape *shape, const struct settings *settings,
                        uint8_t *input, const char **label, struct err *err)
{
    struct err why = {0};
    if (d->dropped != NULL && d->dropped[i])
        return 0;
    if (class_folder_get(&d->folder, i, shape, settings, input, label, &why) == 0)
        return 1;
    if (d->dropped == NULL || why.code == ERR_MEMORY) {
        if (err != NULL)
            *err = why;
        return -1;
    }
    d->dropped[i] = true;
    dataset_skip(&d->skipped, &why);
    return 0;
}

/* Classes that no picture was found of are taken out of the labels. */
static void keep_labels(struct dataset *d, const bool *found)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n_labels; i++) {
        bool keeps = false;
        for (size_t c = 0; c < d->folder.n_classes && !keeps; c++)
            keeps = found[c] && strcmp(d->folder.classes[c].label, d->labels[i]) == 0;
        if (keeps)
            d->labels[n++] = d->labels[i];
    }
    d->n_labels = n;
}

int dataset_look(struct dataset *d, const struct shape *shape, const struct settings *settings, bool strict,
                 struct err *err)
{
    if (d->n_pairs > 0)
        return 0;
    int status = 0;
    uint8_t *input = malloc(shape->n_input);
    bool *found = calloc(d->folder.n_classes, sizeof *found);
    d->dropped = strict ? NULL : calloc((size_t)d->length, sizeof *d->dropped);
    if (input == NULL || found == NULL || (!strict && d->dropped == NULL))
        status = err_memory(err, "checking the pictures");
    for (uint64_t i = 0; i < d->length && status >= 0; i++) {
        const char *label;
        bool *of_class = &found[d->folder.items[i].class_];
        if (*of_class && !strict)
            continue;
        status = read_picture(d, i, shape, settings, input, &label, err);
        *of_class = *of_class || status > 0;
    }
    if (status >= 0) {
        keep_labels(d, found);
        status = d->n_labels > 0 ? 0
                                 : err_set(err, ERR_FILE, "no file of %.100s is a picture: %.190s", d->folder.path,
                                           d->skipped.first[0]);
    }
    free(found);
    free(input);
    return status;
}

int dataset_next(struct dataset *d, const struct shape *shape, const struct settings *settings, uint8_t *input,
                 const char **label, struct err *err)
{
    if (d->n_pairs == 0) {
        int status = 0;
        while (status == 0 && d->next < d->folder.length)
            status = read_picture(d, d->next++, shape, settings, input, label, err);
        return status;
    }
    while (d->pair < d->n_pairs && d->next == d->pairs[d->pair].length) {
        d->pair++;
        d->next = 0;
    }
    if (d->pair == d->n_pairs)
        return 0;
    return idx_pair_get(&d->pairs[d->pair], d->next++, shape, settings, input, label, err) == 0 ? 1 : -1;
}
