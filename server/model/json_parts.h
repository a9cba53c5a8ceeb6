/* json_parts.h - parts of JSON documents that the daemon answers and the verbs print: settings, snapshots, samples. Each is the members of
 * an object that the caller begins and ends. */
#ifndef CONVD_SERVER_MODEL_JSON_PARTS_H
#define CONVD_SERVER_MODEL_JSON_PARTS_H

#include "core/core.h"
#include "server/common/json_write.h"
#include "store/store.h"

/* settings_write - all of them by name: numbers, and words where a setting has words. */
void settings_write(struct json_writer *json, const struct settings *settings);

void snapshot_row_write(struct json_writer *json, const struct store_snapshot *s);

/* snapshot_rows_write - "snapshots": list [n]. snapshot_activated_write - what is told when the model has gone back to snapshot `id`;
 * taken: of the revision that came of it, without an id where it failed: the way back is in the log all the same. */
void snapshot_rows_write(struct json_writer *json, const struct store_snapshot *list, size_t n);
void snapshot_activated_write(struct json_writer *json, int64_t id, uint64_t step, uint64_t revision,
                              const struct store_snapshot *taken);

/* sample_row_write - its classes are named as in `learner`, null where that has them no more. */
void sample_row_write(struct json_writer *json, const struct store_sample_row *row, const struct learner *learner);

/* sample_rows_write - "samples" and "next": rows [n]; before: where the search goes on (store_search), 0: nowhere. */
void sample_rows_write(struct json_writer *json, const struct store_sample_row *rows, size_t n, int64_t before,
                       const struct learner *learner);

#endif
