/* json_parts.c - see model/json_parts.h */
#include "server/model/json_parts.h"

void settings_write(struct json_writer *json, const struct settings *settings)
{
    for (int i = 0; i < SETTING_N; i++) {
        const char *word = settings_word(settings, (enum setting)i);
        if (word != NULL)
            json_write_string(json, setting_table[i].name, word);
        else
            json_write_number(json, setting_table[i].name, settings_get(settings, (enum setting)i));
    }
}

void snapshot_row_write(struct json_writer *json, const struct store_snapshot *s)
{
    json_write_i64(json, "id", s->id);
    json_write_u64(json, "revision", s->revision);
    json_write_u64(json, "step", s->step);
    json_write_time(json, "created", s->created_us);
    json_write_string(json, "reason", s->reason);
    json_write_bool(json, "pinned", s->pinned);
    json_write_string(json, "note", s->note);
    json_write_hex(json, "digest", s->digest, sizeof s->digest);
    json_write_u64(json, "samples", s->samples);
    json_write_ratio(json, "accuracy", (double)s->correct, s->samples);
    json_write_string(json, "arithmetic", s->arithmetic);
}

void snapshot_rows_write(struct json_writer *json, const struct store_snapshot *list, size_t n)
{
    json_write_array(json, "snapshots");
    for (size_t i = 0; i < n; i++) {
        json_write_object(json, NULL);
        snapshot_row_write(json, &list[i]);
        json_write_end(json);
    }
    json_write_end(json);
}

void snapshot_activated_write(struct json_writer *json, int64_t id, uint64_t step, uint64_t revision,
                              const struct store_snapshot *taken)
{
    json_write_i64(json, "activated", id);
    json_write_u64(json, "step", step);
    json_write_u64(json, "revision", revision);
    if (taken->id == 0) {
        json_write_null(json, "snapshot");
        return;
    }
    json_write_object(json, "snapshot");
    snapshot_row_write(json, taken);
    json_write_end(json);
}

/* NULL: of a class that the model has no more: it was left behind. */
static const char *label_of(const struct learner *learner, uint32_t index)
{
    return index < learner->n_classes ? learner->labels[index] : NULL;
}

void sample_row_write(struct json_writer *json, const struct store_sample_row *row, const struct learner *learner)
{
    json_write_i64(json, "id", row->id);
    json_write_u64(json, "revision", row->revision);
    json_write_string(json, "label", label_of(learner, row->label));
    json_write_string(json, "predicted", label_of(learner, row->predicted));
    json_write_fixed9(json, "loss", (double)row->loss); /* NaN, where it is not known, becomes null */
    json_write_bool(json, "correct", row->label == row->predicted);
    json_write_time(json, "created", row->created_us);
    json_write_bool(json, "live", row->live);
}

void sample_rows_write(struct json_writer *json, const struct store_sample_row *rows, size_t n, int64_t before,
                       const struct learner *learner)
{
    json_write_array(json, "samples");
    for (size_t i = 0; i < n; i++) {
        json_write_object(json, NULL);
        sample_row_write(json, &rows[i], learner);
        json_write_end(json);
    }
    json_write_end(json);
    if (before > 0)
        json_write_id(json, "next", (uint64_t)before);
    else
        json_write_null(json, "next");
}
