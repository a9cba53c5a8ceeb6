/* dataset.h - labelled images from files, one at a time, for train and evaluate.
 *
 * Two kinds:
 *
 *   IDX     pairs of files, images uint8 [n][h][w] or [n][c][h][w] and labels uint8 [n], each plain or gzipped, in
 *           either order; several pairs one after another. They are raw data: images of the input's very size and
 *           channels are taken as they are, others are fitted as pictures are (image/image.h), and none is inverted. A label
 *           7 is "7". Read whole, and checked, when opened: a damaged file is found before anything was learned
 *           from it.
 *   folder  one sub-folder per class, named as its label, with PNG and JPEG files (told by content), fitted and
 *           inverted by the settings. Files come in the order of their names (by bytes), one of each class in turn, so
 *           that an online learner does not see one class after another; a class that runs out is skipped. Names
 *           that begin with a dot, and Thumbs.db and its like, are hidden: counted, and not looked at; nor are files
 *           beside the sub-folders and folders inside them. Symbolic links are followed. Any other file in a sub-folder
 *           must be a picture, or is skipped: see dataset_look().
 *
 * One thread at a time.
 */
#ifndef CONVD_SERVER_FORMATS_DATASET_H
#define CONVD_SERVER_FORMATS_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

struct dataset;

/* dataset_open - files: one folder, or 2, 4, .. IDX files; pixels_max: of a picture (image/image.h). Owns: the caller, who calls dataset_close() (NULL is fine).
 * Errors: ERR_FILE (missing, not IDX, truncated, longer than it says, no pair, folder without pictures, sub-folder
 * whose name can be no label; names the file), ERR_MEMORY. *out is written on success only. */
int dataset_open(struct dataset **out, const char *const *files, size_t n_files, uint64_t pixels_max, struct err *err);
void dataset_close(struct dataset *dataset);

/* dataset_length - images in one pass, as far as is known: less what was skipped so far; 0 for IDX files that hold none. */
uint64_t dataset_length(const struct dataset *dataset);

/* dataset_labels - the distinct labels, sorted (numbers by value, then text by bytes); owned by the dataset. */
size_t dataset_labels(const struct dataset *dataset, const char *const **labels);

#define DATASET_SKIPPED_NAMED 5

/* What a folder holds beside pictures. */
struct dataset_skipped {
    uint64_t files;                                    /* that are no pictures, damaged, or cannot be read           */
    uint64_t hidden;                                   /* told by their names                                        */
    char first[DATASET_SKIPPED_NAMED][ERR_TEXT_BYTES]; /* of `files`: which, and why */
};

/* dataset_look - before anything is added or learned: reads the files of each class up to its first picture. A class without one is
 * no class any more (dataset_labels), and dataset_next() passes over what is no picture. strict: reads every file, and the first that
 * is no picture is the error, here and in dataset_next(). IDX files were checked when they were opened: nothing to do.
 * Errors: ERR_FILE (no picture at all); strict: those of dataset_next(); ERR_MEMORY. */
int dataset_look(struct dataset *dataset, const struct shape *shape, const struct settings *settings, bool strict,
                 struct err *err);

/* dataset_skipped - so far; the hidden ones from the start. NULL of a NULL. */
const struct dataset_skipped *dataset_skipped(const struct dataset *dataset);

/* dataset_skip - one more of `files`; why: names it. */
void dataset_skip(struct dataset_skipped *skipped, const struct err *why);

/* dataset_next - fills input [shape.n_input], and *label (valid until the next call).
 * 1: one more; 0: the end; -1: error, which names the file: those of image_to_input(), ERR_FILE. After an error the
 * next call goes on with the next image. */
int dataset_next(struct dataset *dataset, const struct shape *shape, const struct settings *settings, uint8_t *input,
                 const char **label, struct err *err);

#endif
