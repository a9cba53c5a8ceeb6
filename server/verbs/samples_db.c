/* samples_db.c - see verbs/samples.h */
#include "server/verbs/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/cli.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/common/label_take.h"
#include "server/image/input_png.h"
#include "server/model/json_parts.h"

int cli_samples_edited(struct json **root, const struct samples_order *order, bool changed, uint64_t step,
                       uint64_t revision, double seconds, struct err *err)
{
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_u64(&json, "samples", order->n);
    json_write_bool(&json, "changed", changed);
    json_write_u64(&json, "step", step);
    json_write_u64(&json, "revision", revision);
    json_write_seconds(&json, "seconds", seconds);
    json_write_end(&json);
    return cli_json(root, &text, err);
}

/* ---- looking ---- */

static int find_class(int64_t *index, const struct learner *learner, const char *label, struct err *err)
{
    char taken[LABEL_BYTES_MAX + 1];
    *index = -1;
    if (label == NULL)
        return 0;
    if (label_take(taken, label, strlen(label), err) != 0)
        return -1;
    *index = learner_class(learner, taken, strlen(taken));
    if (*index >= 0)
        return 0;
    return err_set(err, ERR_LABEL_UNKNOWN, "unknown label \"%.128s\"", label);
}

static int list(struct json **root, const struct offline *model, const struct samples_order *order, struct err *err)
{
    struct store_search search = {
        .wrong = order->wrong ? 1 : -1, .from_us = INT64_MIN, .to_us = INT64_MAX, .before = order->before};
    struct text text = {0};
    size_t n = 0;
    int status = find_class(&search.label, model->learner, order->label, err);
    if (status == 0)
        status = find_class(&search.predicted, model->learner, order->predicted, err);
    struct store_sample_row *rows = status == 0 ? calloc((size_t)order->limit, sizeof *rows) : NULL;
    if (status == 0 && rows == NULL)
        status = err_memory(err, "%llu samples", (unsigned long long)order->limit);
    if (status == 0)
        status = store_search(model->store, &search, rows, (size_t)order->limit, UINT64_MAX, &n, err);
    if (status == 0) {
        struct json_writer json = json_write_begin(&text);
        sample_rows_write(&json, rows, n, search.before, model->learner);
        json_write_end(&json);
        status = cli_json(root, &text, err);
    }
    free(rows);
    return status;
}

static int show(struct json **root, uint8_t **png, size_t *n_png, const struct offline *model,
                const struct samples_order *order, struct err *err)
{
    const struct shape *shape = &model->learner->shape;
    struct store_sample_row row;
    struct text text = {0};
    uint8_t *pixels = malloc(shape->n_input);
    if (pixels == NULL)
        return err_memory(err, "a picture");
    const int found = store_sample_row(model->store, order->ids[0], &row, pixels, shape->n_input, err);
    int status = found == 1 ? 0 : -1;
    if (found == 0)
        err_set(err, ERR_NOT_FOUND, "sample %lld does not exist: see convd samples list", (long long)order->ids[0]);
    if (status == 0 && png != NULL) {
        status = planes_png(png, n_png, pixels, shape, (uint32_t)order->scale, err);
    } else if (status == 0) {
        struct json_writer json = json_write_begin(&text);
        sample_row_write(&json, &row, model->learner);
        json_write_end(&json);
        status = cli_json(root, &text, err);
    }
    free(pixels);
    return status;
}

/* ---- editing ---- */

static int edit(struct json **root, struct offline *model, const struct samples_order *order,
                const struct cli_args *args, struct err *err)
{
    struct follow follow = {.model = model};
    struct command command = {.kind = COMMAND_EDIT,
                              .edit = {.ids = order->ids,
                                       .n = order->n,
                                       .forget = order->action == SAMPLES_FORGET,
                                       .drop_pinned = order->drop_pinned}};
    struct progress clock;
    progress_start(&clock, "", 0, true);
    if (order->label != NULL && label_take(command.edit.label, order->label, strlen(order->label), err) != 0)
        return -1;
    if (follow_do(&follow, &command, err) != 0 || (follow.id > 0 && cli_samples_follow(&follow, cli_quiet(args), err) !=
                                                                        0)) /* also of what was accepted before */
        return -1;
    struct revision *revision = model_acquire(trainer_model(model->trainer));
    const uint64_t step = revision->learner->step, at = revision->learner->revision;
    model_release(trainer_model(model->trainer), revision);
    return cli_samples_edited(root, order, command.changed > 0, step, at, progress_seconds(&clock), err);
}

int cli_samples_db(struct json **root, uint8_t **png, size_t *n_png, const struct samples_order *order,
                   const struct cli_args *args, struct err *err)
{
    const bool edits = order->action == SAMPLES_FORGET || order->action == SAMPLES_RELABEL;
    struct offline model;
    int status = -1;
    *root = NULL;
    cli_stop_watch();
    if (offline_open(&model, args, !edits, err) != 0)
        return -1;
    if (edits)
        status = edit(root, &model, order, args, err) == 0 ? offline_stop(&model, err) : -1;
    else if (order->action == SAMPLES_SHOW)
        status = show(root, png, n_png, &model, order, err);
    else
        status = list(root, &model, order, err);
    offline_close(&model);
    return status;
}
