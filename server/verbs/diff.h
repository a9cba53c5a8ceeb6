/* diff.h - convd snapshots diff A B: the document of model/snapshot_diff.h from a database, and in words. */
#ifndef CONVD_SERVER_VERBS_DIFF_H
#define CONVD_SERVER_VERBS_DIFF_H

#include <stdint.h>

#include "server/common/json.h"

/* cli_diff_db - compares two snapshots of the database, with progress on stderr; *root: json_free(). Errors: those of store_open() and
 * of model/snapshot_diff.h; ERR_STOPPING. */
int cli_diff_db(struct json **root, const char *path, int64_t a, int64_t b, uint64_t n_samples, struct err *err);

/* cli_diff_print - the document as tables. */
void cli_diff_print(const struct json *root);

#endif
