/* sample_json.h - one sample of the log as JSON: what GET /samples has a list of, and convd samples likewise. */
#ifndef CONVD_SERVER_MODEL_SAMPLE_JSON_H
#define CONVD_SERVER_MODEL_SAMPLE_JSON_H

#include "core/core.h"
#include "server/common/text.h"
#include "store/store.h"

/* sample_row_write - appends the object; its classes are named as in `learner`, null where that has them no more. */
void sample_row_write(struct text *text, const struct store_sample_row *row, const struct learner *learner);

/* sample_rows_write - appends {"samples": [..], "next": ..}: rows [n]; before: where the search goes on (store_search), 0: nowhere. */
void sample_rows_write(struct text *text, const struct store_sample_row *rows, size_t n, int64_t before,
                       const struct learner *learner);

#endif
