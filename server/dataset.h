/* dataset.h - labelled images from files, one at a time, for train and evaluate.
 *
 * Two kinds: a pair of IDX files (images uint8 [n][h][w] or [n][c][h][w], labels uint8 [n]), each plain or gzipped, in either
 * order; or a folder with one sub-folder per class, holding PNG and JPEG files, taken in the order of their names (byte order), class by class
 * interleaved round-robin so that an online learner does not see one class after another.
 * Labels come out as text; an IDX label 7 is "7".
 */
#ifndef CONVD_SERVER_DATASET_H
#define CONVD_SERVER_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

struct dataset;

/* dataset_open - files: one folder, or two IDX files. Errors: ERR_FILE, ERR_MEMORY. */
int dataset_open(struct dataset **out, const char *const *files, size_t n_files, struct err *err);
void dataset_close(struct dataset *dataset);

uint64_t dataset_length(const struct dataset *dataset);

/* dataset_labels - the distinct labels, sorted (numbers by value, then text by bytes); owned by the dataset. */
size_t dataset_labels(const struct dataset *dataset, const char *const **labels);

/* dataset_next - fills input [shape.n_input], fitted per settings (IDX images of the input's very size are taken as they are), and
 * *label (valid until the next call). 1: one more; 0: the end; -1: error (names the file). */
int dataset_next(struct dataset *dataset, const struct shape *shape, const struct settings *settings, uint8_t *input,
                 const char **label, struct err *err);

/* dataset_rewind - starts again. */
int dataset_rewind(struct dataset *dataset, struct err *err);

#endif
