/* dataset.h - labelled images from files, one at a time, for train and evaluate.
 *
 * Two kinds:
 *
 *   IDX     pairs of files, images uint8 [n][h][w] or [n][c][h][w] and labels uint8 [n], each plain or gzipped, in
 *           either order; several pairs one after another. They are raw data: images of the input's very size and
 *           channels are taken as they are, others are fitted as pictures are (image.h), and none is inverted. A label
 *           7 is "7". Read whole, and checked, when opened: a damaged file is found before anything was learned
 *           from it.
 *   folder  one sub-folder per class, named as its label, with PNG and JPEG files (told by content), fitted and
 *           inverted by the settings. Files come in the order of their names (by bytes), one of each class in turn, so
 *           that an online learner does not see one class after another; a class that runs out is passed over. Names
 *           that begin with a dot, files beside the sub-folders and folders inside them are not looked at; symbolic
 *           links are followed. Any other file in a sub-folder must be a picture.
 *
 * One thread at a time.
 */
#ifndef CONVD_SERVER_DATASET_H
#define CONVD_SERVER_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

struct dataset;

/* dataset_open - files: one folder, or 2, 4, .. IDX files. Owns: the caller, who calls dataset_close() (NULL is fine).
 * Errors: ERR_FILE (missing, not IDX, truncated, longer than it says, no pair, folder without pictures, sub-folder
 * whose name can be no label; names the file), ERR_MEMORY. *out is written on success only. */
int dataset_open(struct dataset **out, const char *const *files, size_t n_files, struct err *err);
void dataset_close(struct dataset *dataset);

/* dataset_length - images in one pass; 0 for IDX files that hold none. */
uint64_t dataset_length(const struct dataset *dataset);

/* dataset_labels - the distinct labels, sorted (numbers by value, then text by bytes); owned by the dataset. */
size_t dataset_labels(const struct dataset *dataset, const char *const **labels);

/* dataset_next - fills input [shape.n_input], and *label (valid until the next call).
 * 1: one more; 0: the end; -1: error, which names the file: those of image_to_input(), ERR_FILE. After an error the
 * next call goes on with the next image. */
int dataset_next(struct dataset *dataset, const struct shape *shape, const struct settings *settings, uint8_t *input,
                 const char **label, struct err *err);

/* dataset_rewind - starts again, with the same images in the same order. Cannot fail; returns 0. */
int dataset_rewind(struct dataset *dataset, struct err *err);

#endif
