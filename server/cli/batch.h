/* batch.h - labelled images of a data set, a batch at a time, as samples of a model. */
#ifndef CONVD_SERVER_CLI_BATCH_H
#define CONVD_SERVER_CLI_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "server/cli/offline.h"
#include "server/common/json_write.h"
#include "server/formats/dataset.h"

struct cli_batch {
    uint32_t n, capacity;
    struct sample *samples; /* [n]; sample i's pixels are row i of the block below */
    uint8_t *pixels;        /* [n][n_input]                                        */
    uint32_t n_input;
    uint64_t taken, limit; /* images so far, of at most how many                   */
    bool no_flat;          /* a flat image (image/image.h) is skipped, and counted   */
    uint64_t flat;         /* that were skipped                                */
};

/* cli_batch_init - for at most `wanted` images at a time (fewer where the input is so large that they would take more than
 * 64 MiB) and `limit` in all (0: no limit). Errors: ERR_MEMORY. */
int cli_batch_init(struct cli_batch *batch, const struct shape *shape, uint32_t wanted, uint64_t limit,
                   struct err *err);
void cli_batch_fini(struct cli_batch *batch); /* a zeroed one is fine */

/* cli_batch_fill - the next images; n is 0 at the end. Errors: those of dataset_next(); ERR_LABEL_UNKNOWN. */
int cli_batch_fill(struct cli_batch *batch, struct dataset *dataset, const struct shape *shape,
                   const struct settings *settings, const struct cli_labels *labels, struct err *err);

/* cli_batch_total - how many images will come in all. */
uint64_t cli_batch_total(const struct cli_batch *batch, const struct dataset *dataset);

/* cli_dataset_open - the operands, which hold an image at least. Errors: those of dataset_open(); ERR_USAGE: --strict, which is
 * for folders, beside IDX files. */
int cli_dataset_open(struct dataset **out, const struct cli_args *args, struct err *err);

/* CLI_FLAG_STRICT - for the verbs that take a folder of classes: dataset_look()'s. */
/* clang-format off */
#define CLI_FLAG_STRICT {FLAG_SWITCH("strict", "check every file of a folder first, and fail at one that is not a picture")}
/* clang-format on */

/* cli_skipped_print - what was skipped in a folder, on stderr; nothing where all were pictures. cli_skipped_add - the members "skipped"
 * and "hidden" of a result. skipped: NULL is fine. */
void cli_skipped_print(const struct dataset_skipped *skipped);
void cli_skipped_add(struct json_writer *json, const struct dataset_skipped *skipped);

#endif
