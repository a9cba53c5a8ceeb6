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
#include "server/model/sample_json.h"
#include "server/trainer/rebuild.h"

#define CHUNK_US 100000u /* how often progress is told, and a wish to stop is heard */

/* The text as a document; frees it. */
static int parse(struct json **root, struct text *text, struct err *err)
{
    *root = NULL;
    if (text->failed)
        err_set(err, ERR_MEMORY, "not enough memory for the answer");
    else
        *root = json_parse(text->bytes, text->n, err);
    text_free(text);
    return *root != NULL ? 0 : -1;
}

int cli_samples_told(struct json **root, const struct samples_order *order, bool changed, uint64_t step,
                     uint64_t revision, double seconds, struct err *err)
{
    struct text text = {0};
    text_add_format(&text, "{\"samples\":%zu,\"changed\":%s,\"step\":%llu,\"revision\":%llu,\"seconds\":%.3f}",
                    order->n, changed ? "true" : "false", (unsigned long long)step, (unsigned long long)revision,
                    seconds);
    return parse(root, &text, err);
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
    return err_set(err, ERR_LABEL_UNKNOWN, "the model has no class \"%.128s\"", label);
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
    struct store_sample_row *rows = status == 0 ? calloc(order->limit, sizeof *rows) : NULL;
    if (status == 0 && rows == NULL)
        status = err_set(err, ERR_MEMORY, "not enough memory for %llu samples", (unsigned long long)order->limit);
    if (status == 0)
        status = store_search(model->store, &search, rows, order->limit, UINT64_MAX, &n, err);
    if (status == 0) {
        sample_rows_write(&text, rows, n, search.before, model->learner);
        status = parse(root, &text, err);
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
        return err_set(err, ERR_MEMORY, "not enough memory for a picture");
    const int found = store_sample_row(model->store, order->ids[0], &row, pixels, shape->n_input, err);
    int status = found == 1 ? 0 : -1;
    if (found == 0)
        err_set(err, ERR_NOT_FOUND, "there is no sample %lld: see convd samples list", (long long)order->ids[0]);
    if (status == 0 && png != NULL) {
        status = planes_png(png, n_png, pixels, shape, (uint32_t)order->scale, err);
    } else if (status == 0) {
        sample_row_write(&text, &row, model->learner);
        status = parse(root, &text, err);
    }
    free(pixels);
    return status;
}

/* ---- editing ---- */

/* What is accepted is made, all of it; the state that comes of it replaces the model's. */
static int work_off(struct rebuild *rebuild, struct offline *model, const struct cli_args *args, struct err *err)
{
    struct progress progress;
    struct store_snapshot taken;
    struct rebuild_made made;
    enum rebuild_state state = REBUILD_MORE;
    uint64_t done, total;
    rebuild_progress(rebuild, &done, &total);
    progress_start(&progress, "replaying", total, cli_quiet(args));
    while (state == REBUILD_MORE && !cli_stop()) {
        struct learner *learner = NULL;
        state = rebuild_chunk(rebuild, model->store, model->learner, CHUNK_US, &learner, &taken, &made, err);
        if (learner != NULL) {
            learner_free(model->learner);
            model->learner = learner;
        }
        rebuild_progress(rebuild, &done, &total);
        progress.total = total; /* known once it has been looked at, and grows no more */
        if (state == REBUILD_MORE)
            progress_update(&progress, done, NULL);
    }
    progress_finish(&progress);
    if (state == REBUILD_MORE)
        err_set(err, ERR_STOPPING, "stopped");
    if (state == REBUILD_MORE || state == REBUILD_FAILED || state == REBUILD_GIVEN_UP)
        (void)fprintf(stderr, "convd samples: it stays accepted: the next convd samples or convd serve makes it\n");
    return state == REBUILD_DONE ? 0 : -1;
}

/* Old pages, with what was forgotten, stand in the WAL until it is emptied. */
static int empty_wal(struct offline *model, struct err *err)
{
    return store_checkpoint(model->store, true, err) == 0 ? 0 : err_wrap(err, "it is done, but the WAL is not empty");
}

static int edit(struct json **root, struct offline *model, const struct samples_order *order,
                const struct cli_args *args, struct err *err)
{
    struct rebuild rebuild = {0};
    struct progress clock;
    struct edit_ask ask = {
        .ids = order->ids, .n = order->n, .forget = order->action == SAMPLES_FORGET, .drop_pinned = order->drop_pinned};
    int64_t class_ = -1;
    size_t changed = 0;
    progress_start(&clock, "", 0, true);
    if (order->label != NULL && find_class(&class_, model->learner, order->label, err) != 0)
        return -1;
    if (class_ >= 0)
        memcpy(ask.label, model->learner->labels[class_], sizeof ask.label);
    const enum rebuild_state before = rebuild_resume(&rebuild, model->store, model->learner, err);
    int status = before == REBUILD_DONE || before == REBUILD_MORE ? 0 : -1;
    if (status == 0)
        status = rebuild_ask(&rebuild, model->store, model->learner, &ask, &changed, err);
    if (status == 0 && rebuild_active(&rebuild))
        status = work_off(&rebuild, model, args, err);
    rebuild_fini(&rebuild);
    if (status == 0)
        status = empty_wal(model, err);
    if (status != 0)
        return -1;
    return cli_samples_told(root, order, changed > 0, model->learner->step, model->learner->revision,
                            progress_seconds(&clock), err);
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
        status = edit(root, &model, order, args, err);
    else if (order->action == SAMPLES_SHOW)
        status = show(root, png, n_png, &model, order, err);
    else
        status = list(root, &model, order, err);
    offline_close(&model);
    return status;
}
