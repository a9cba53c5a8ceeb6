/* sample_json.c - see model/sample_json.h */
#include "server/model/sample_json.h"

#include <math.h>
#include <string.h>

static void add_label(struct text *text, const char *name, const struct learner *learner, uint32_t index)
{
    text_add_format(text, ",\"%s\":", name);
    if (index < learner->n_classes)
        text_add_quoted(text, learner->labels[index], strlen(learner->labels[index]));
    else
        text_add_string(text, "null"); /* of a class that the model has no more: it was left behind */
}

void sample_row_write(struct text *text, const struct store_sample_row *row, const struct learner *learner)
{
    text_add_format(text, "{\"id\":%lld,\"revision\":%llu", (long long)row->id, (unsigned long long)row->revision);
    add_label(text, "label", learner, row->label);
    add_label(text, "predicted", learner, row->predicted);
    text_add_string(text, ",\"loss\":");
    if (isnan(row->loss))
        text_add_string(text, "null");
    else
        text_add_fixed9(text, (double)row->loss);
    text_add_format(text, ",\"correct\":%s,\"created\":", row->label == row->predicted ? "true" : "false");
    text_add_time(text, row->created_us);
    text_add_format(text, ",\"live\":%s}", row->live ? "true" : "false");
}

void sample_rows_write(struct text *text, const struct store_sample_row *rows, size_t n, int64_t before,
                       const struct learner *learner)
{
    text_add_string(text, "{\"samples\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            text_add(text, ",", 1);
        sample_row_write(text, &rows[i], learner);
    }
    if (before > 0)
        text_add_format(text, "],\"next\":\"%lld\"}", (long long)before);
    else
        text_add_string(text, "],\"next\":null}");
}
