/* model.c - the model as people and programs see it: /model, /classes, /stats, and its files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/label_take.h"
#include "server/formats/npz.h"
#include "server/formats/onnx.h"
#include "server/formats/safetensors.h"
#include "server/image/kernel_sheet.h"
#include "server/model/json_parts.h"
#include "server/routes/handlers.h"

#define CLASSES_LIGHT    100u
#define PARAMETERS_LIGHT (1u << 20) /* whose digest takes a millisecond */

/* ---- GET, PATCH /model ---- */

static void write_shape(struct json_writer *json, const struct shape *s, uint32_t n_classes)
{
    json_write_u64(json, "width", s->width);
    json_write_u64(json, "height", s->height);
    json_write_u64(json, "channels", s->channels);
    json_write_u64(json, "kernels", s->kernels);
    json_write_u64(json, "kernel_width", s->kernel_width);
    json_write_u64(json, "kernel_height", s->kernel_height);
    json_write_u64(json, "stride", s->stride);
    json_write_u64(json, "hidden", s->hidden);
    json_write_u64(json, "n_k", s->n_k);
    json_write_u64(json, "n_0", s->n_0);
    json_write_u64(json, "n_1", s->n_1);
    json_write_u64(json, "n_2", n_classes);
    json_write_u64(json, "parameters",
                   (uint64_t)s->kernels * s->n_k + (uint64_t)s->n_0 * s->n_1 + (uint64_t)s->n_1 * n_classes);
}

static void response_model(struct response *response, struct revision *revision, uint64_t baseline)
{
    const struct learner *learner = revision->learner;
    struct json_writer json = response_begin(response);
    uint8_t digest[DIGEST_BYTES];
    model_digest(revision, digest);
    write_shape(&json, &learner->shape, learner->n_classes);
    json_write_array(&json, "classes");
    for (uint32_t i = 0; i < learner->n_classes; i++)
        json_write_string(&json, NULL, learner->labels[i]);
    json_write_end(&json);
    json_write_object(&json, "settings");
    settings_write(&json, &learner->settings);
    json_write_end(&json);
    json_write_bool(&json, "drawings", replay_buffer_drawings(learner->buffer));
    json_write_u64(&json, "step", learner->step);
    json_write_u64(&json, "revision", learner->revision);
    json_write_hex(&json, "digest", digest, sizeof digest);
    json_write_string(&json, "arithmetic", ARITHMETIC_VERSION);
    json_write_object(&json, "baseline");
    json_write_u64(&json, "revision", baseline);
    json_write_string(&json, "arithmetic", ARITHMETIC_VERSION);
    json_write_end(&json);
    json_write_string(&json, "instruction_set", arith_name(learner->arith));
    json_write_string(&json, "convd", CONVD_VERSION);
    response_revision(response, learner->revision);
    response_json(response, 200, &json);
}

void route_model_get(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    const struct learner *learner = revision->learner;
    if (!call_not_modified(call, learner->revision) &&
        (net_floats(&learner->shape, learner->n_classes) < PARAMETERS_LIGHT ||
         !call_offload(call, route_model_get, OFFLOAD_SHORT)))
        response_model(call->response, revision, trainer_stats(call->routes->trainer).baseline);
    model_release(call->routes->model, revision);
}

static void model_patched(struct work *work, struct response *response)
{
    struct revision *revision = model_acquire(work->routes->model);
    response_model(response, revision, trainer_stats(work->routes->trainer).baseline);
    model_release(work->routes->model, revision);
}

static void list_tunable(char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < SETTING_N && used < size; i++)
        if (setting_table[i].tunable)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used == 0 ? "" : ", ", setting_table[i].name);
}

/* One member of the body into the job. */
static int tune(struct command *command, const struct json *member, struct err *err)
{
    const char *name = json_name(member);
    enum setting which = settings_find(name);
    char tunable[256];
    list_tunable(tunable, sizeof tunable);
    if (which == SETTING_N) {
        err_set(err, ERR_VALUE, "unknown setting \"%.40s\"; these can be tuned: %s", name, tunable);
        return err_at(err, "/%.60s", name);
    }
    const struct setting_info *info = &setting_table[which];
    struct settings trial = settings_default();
    int status = -1;
    if (!info->tunable)
        err_set(err, ERR_VALUE, "%s is fixed at creation; these can be tuned: %s", name, tunable);
    else if (info->words != NULL && json_type(member) == JSON_STRING)
        status = settings_set_text(&trial, which, json_string(member), err);
    else if (info->words == NULL && json_type(member) == JSON_NUMBER)
        status = settings_set(&trial, which, json_number(member), err);
    else
        err_set(err, ERR_VALUE, "%s must be %s, but is %s", name, info->words != NULL ? "a string" : "a number",
                json_type_name(member));
    if (status != 0)
        return err_at(err, "/%.60s", name);
    command->tune.which[command->tune.n] = which;
    command->tune.value[command->tune.n++] = settings_get(&trial, which); /* a word becomes its index */
    return 0;
}

void route_model_patch(const struct call *call)
{
    struct json *root = call_json(call, false);
    if (root == NULL)
        return;
    struct work *work = call_submit(call, COMMAND_TUNE, model_patched);
    if (work != NULL) {
        struct err err;
        const struct json *member = json_first(root);
        int status = member != NULL ? 0 : err_set(&err, ERR_VALUE, "the body has no setting to tune");
        for (; status == 0 && member != NULL; member = json_next(member))
            status = tune(&work->command, member, &err);
        if (status != 0)
            call_give_up(call, work, &err);
    }
    json_free(root);
}

/* ---- files ---- */

/* What the encoders have in common. */
static void response_file(const struct call *call, void (*handler)(const struct call *), const char *disposition,
                          int (*encode)(uint8_t **, size_t *, const struct learner *, struct err *))
{
    struct revision *revision = model_acquire(call->routes->model);
    if (!call_not_modified(call, revision->learner->revision) && !call_offload(call, handler, OFFLOAD_LONG)) {
        uint8_t *bytes = NULL;
        size_t n_bytes = 0;
        struct err err;
        if (encode(&bytes, &n_bytes, revision->learner, &err) != 0) {
            routes_problem(call->routes, call->response, &err);
        } else {
            response_blob(call->response, "application/octet-stream", bytes, n_bytes);
            call->response->disposition = disposition;
        }
    }
    model_release(call->routes->model, revision);
}

void route_model_safetensors(const struct call *call)
{
    response_file(call, route_model_safetensors, "attachment; filename=\"model.safetensors\"", safetensors_encode);
}

void route_model_onnx(const struct call *call)
{
    response_file(call, route_model_onnx, "attachment; filename=\"model.onnx\"", onnx_encode);
}

void route_model_npz(const struct call *call)
{
    response_file(call, route_model_npz, "attachment; filename=\"model.npz\"", npz_encode);
}

/* A copy of the sheet that is kept, where it is of that revision; with its lock held. NULL: it is not, or there is no memory. */
static uint8_t *sheet_copy(const struct sheet_kept *sheet, uint64_t revision)
{
    uint8_t *png = sheet->png != NULL && sheet->revision == revision ? malloc(sheet->n_png) : NULL;
    if (png != NULL)
        memcpy(png, sheet->png, sheet->n_png);
    return png;
}

/* However many look, one of them draws: the others wait in threads of the pool. */
static int sheet_take(uint8_t **png, size_t *n_png, struct sheet_kept *sheet, const struct learner *learner,
                      struct err *err)
{
    int status = 0;
    (void)pthread_mutex_lock(&sheet->lock);
    if (sheet->png == NULL || sheet->revision != learner->revision) {
        free(sheet->png);
        sheet->png = NULL;
        status = sheet_kernels(&sheet->png, &sheet->n_png, learner, err);
        sheet->revision = learner->revision;
    }
    if (status == 0 && (*png = sheet_copy(sheet, learner->revision)) == NULL)
        status = err_memory(err, "a picture of the kernels");
    *n_png = sheet->n_png;
    (void)pthread_mutex_unlock(&sheet->lock);
    return status;
}

void route_model_kernels(const struct call *call)
{
    struct sheet_kept *sheet = &call->routes->sheet;
    struct revision *revision = model_acquire(call->routes->model);
    if (!call_not_modified(call, revision->learner->revision) &&
        !call_offload(call, route_model_kernels, OFFLOAD_SHORT)) {
        uint8_t *png;
        size_t n_png;
        struct err err;
        if (sheet_take(&png, &n_png, sheet, revision->learner, &err) == 0)
            response_blob(call->response, "image/png", png, n_png);
        else
            routes_problem(call->routes, call->response, &err);
    }
    model_release(call->routes->model, revision);
}

/* ---- counts, out of the confusion matrix: row = label, column = predicted ---- */

struct counts {
    uint64_t seen, correct, predicted;
};

static struct counts count_class(const struct learner *learner, uint32_t c)
{
    struct counts counts = {0};
    const uint32_t *confusion = learner->tally.confusion;
    for (uint32_t i = 0; i < learner->n_classes; i++) {
        counts.seen += confusion[(size_t)c * learner->capacity + i];
        counts.predicted += confusion[(size_t)i * learner->capacity + c];
    }
    counts.correct = confusion[(size_t)c * learner->capacity + c];
    return counts;
}

static void add_classes(struct json_writer *json, const struct learner *learner)
{
    json_write_array(json, "classes");
    for (uint32_t i = 0; i < learner->n_classes; i++) {
        struct counts counts = count_class(learner, i);
        json_write_object(json, NULL);
        json_write_string(json, "label", learner->labels[i]);
        json_write_u64(json, "index", i);
        json_write_u64(json, "seen", counts.seen);
        json_write_u64(json, "correct", counts.correct);
        json_write_u64(json, "predicted", counts.predicted);
        json_write_ratio(json, "accuracy", (double)counts.correct, counts.seen);
        json_write_end(json);
    }
    json_write_end(json);
    json_write_u64(json, "step", learner->step);
    json_write_u64(json, "revision", learner->revision);
}

/* ---- GET, POST, PATCH /classes ---- */

/* With many classes, the confusion of each with each takes milliseconds to look at. */
static bool many_classes(const struct call *call, const struct learner *learner, void (*handler)(const struct call *))
{
    return learner->n_classes > CLASSES_LIGHT && call_offload(call, handler, OFFLOAD_SHORT);
}

void route_classes_get(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    if (!call_not_modified(call, revision->learner->revision) &&
        !many_classes(call, revision->learner, route_classes_get)) {
        struct json_writer json = response_begin(call->response);
        add_classes(&json, revision->learner);
        response_json(call->response, 200, &json);
    }
    model_release(call->routes->model, revision);
}

static void class_changed(struct work *work, struct response *response)
{
    const struct event *event = &work->command.event;
    struct json_writer json = response_begin(response);
    json_write_string(&json, "label", event->as.class_.label);
    json_write_u64(&json, "index", event->as.class_.index);
    json_write_u64(&json, "step", work->command.step);
    json_write_u64(&json, "revision", work->command.revision);
    response_revision(response, work->command.revision);
    bool added = event->as.class_.action == CLASS_ADD;
    if (added)
        (void)snprintf(response->location, sizeof response->location, "/classes");
    response_json(response, added ? 201 : 200, &json);
}

/* The member of that name as a string; only `n` members may be there. NULL and err where it is not so. */
static const char *string_member(const struct json *root, const char *name, size_t n, const char *form, struct err *err)
{
    const char *text = json_string(json_get(root, name));
    if (text == NULL || json_length(root) != n) {
        err_set(err, ERR_VALUE, "the body must be %s", form);
        err_at(err, "/%s", name);
        return NULL;
    }
    return text;
}

static int take_change(struct command *command, const struct json *root, bool add, struct err *err)
{
    const char *name = add ? "label" : "to";
    const char *form = add ? "{\"label\": \"...\"}" : "{\"from\": \"...\", \"to\": \"...\"}";
    const char *from = add ? NULL : string_member(root, "from", 2, form, err);
    const char *label = !add && from == NULL ? NULL : string_member(root, name, add ? 1 : 2, form, err);
    if (label == NULL)
        return -1;
    command->event.as.class_.action = add ? CLASS_ADD : CLASS_RENAME;
    if (label_take(command->event.as.class_.label, label, strlen(label), err) != 0)
        return err_at(err, "/%s", name);
    return add || label_take(command->from, from, strlen(from), err) == 0 ? 0 : err_at(err, "/from");
}

static void change_class(const struct call *call, bool add)
{
    struct json *root = call_json(call, false);
    struct work *work = NULL;
    struct err err;
    if (root != NULL && !add && route_class_removes(root))
        route_class_remove(call, root);
    else if (root != NULL && (work = call_submit(call, COMMAND_CLASS, class_changed)) != NULL &&
             take_change(&work->command, root, add, &err) != 0)
        call_give_up(call, work, &err);
    json_free(root);
}

void route_classes_post(const struct call *call)
{
    change_class(call, true);
}

void route_classes_patch(const struct call *call)
{
    change_class(call, false);
}

/* ---- GET /stats ---- */

/* Means over n test-then-train outcomes; null where there are none. */
static void add_means(struct json_writer *json, uint64_t n, uint64_t correct, double loss_sum)
{
    json_write_u64(json, "samples", n);
    json_write_ratio(json, "accuracy", (double)correct, n);
    json_write_ratio(json, "loss", loss_sum, n);
}

static void add_recent(struct json_writer *json, const struct tally *tally)
{
    uint64_t n = tally->samples < TALLY_RECENT ? tally->samples : TALLY_RECENT, correct = 0;
    double loss = 0;
    for (uint64_t i = 0; i < n; i++) {
        correct += tally->recent[i].label == tally->recent[i].predicted ? 1 : 0;
        loss += (double)tally->recent[i].loss;
    }
    json_write_object(json, "recent");
    add_means(json, n, correct, loss);
    json_write_end(json);
}

static void add_drift(struct json_writer *json, const struct drift *drift)
{
    const uint32_t n = drift_recent(drift);
    json_write_object(json, "drift");
    json_write_string(json, "detector", "page-hinkley");
    json_write_object(json, "parameters");
    json_write_number(json, "delta", DRIFT_DELTA);
    json_write_number(json, "lambda", DRIFT_LAMBDA);
    json_write_u64(json, "window", DRIFT_WINDOW);
    json_write_u64(json, "minimum", DRIFT_MINIMUM);
    json_write_end(json);
    json_write_u64(json, "alarms", drift->alarms);
    if (n > 0)
        json_write_u64(json, "last_alarm_sample", drift_at(drift, n - 1));
    else
        json_write_null(json, "last_alarm_sample");
    json_write_array(json, "recent_alarms");
    for (uint32_t i = 0; i < n; i++)
        json_write_u64(json, NULL, drift_at(drift, i));
    json_write_end(json);
    json_write_end(json);
}

/* How much confidence is worth: core/learner/calibration.h. */
static void add_calibration(struct json_writer *json, const struct tally *tally)
{
    struct reliability r;
    calibration_judge(&r, tally);
    json_write_object(json, "calibration");
    json_write_string(json, "method", "isotonic");
    json_write_u64(json, "outcomes", r.outcomes);
    json_write_ratio(json, "expected_calibration_error", r.error, r.outcomes > 0);
    json_write_ratio(json, "uncalibrated_error", r.raw_error, r.outcomes > 0);
    json_write_object(json, "sure");
    json_write_number(json, "right", SURE_RIGHT);
    if (r.sure_outcomes > 0)
        json_write_number(json, "confidence", r.sure);
    else
        json_write_null(json, "confidence");
    json_write_ratio(json, "share", r.sure_outcomes, r.outcomes);
    json_write_end(json);
    json_write_array(json, "reliability");
    for (unsigned i = 0; i < CALIBRATION_BINS; i++) {
        json_write_object(json, NULL);
        json_write_number(json, "from", (double)i / CALIBRATION_BINS);
        json_write_number(json, "to", (double)(i + 1) / CALIBRATION_BINS);
        json_write_u64(json, "outcomes", r.bins[i].n);
        json_write_ratio(json, "confidence", r.bins[i].confidence, r.bins[i].n);
        json_write_ratio(json, "right", r.bins[i].right, r.bins[i].n);
        json_write_end(json);
    }
    json_write_end(json);
    json_write_end(json);
}

static void add_warnings(struct json_writer *json, const struct learner *learner)
{
    json_write_array(json, "warnings");
    for (int i = 0; i < HEALTH_N; i++) {
        const enum health_warning which = (enum health_warning)i;
        char text[HEALTH_TEXT_BYTES];
        if (!health_raised(&learner->health, which))
            continue;
        health_text(text, sizeof text, learner, which);
        json_write_object(json, NULL);
        json_write_string(json, "code", health_code(which));
        json_write_string(json, "text", text);
        json_write_u64(json, "since", learner->health.warnings[i].since);
        json_write_end(json);
    }
    json_write_end(json);
}

static void add_confusion(struct json_writer *json, const struct learner *learner)
{
    json_write_array(json, "confusion");
    for (uint32_t i = 0; i < learner->n_classes; i++) {
        json_write_array(json, NULL);
        for (uint32_t j = 0; j < learner->n_classes; j++)
            json_write_u64(json, NULL, learner->tally.confusion[(size_t)i * learner->capacity + j]);
        json_write_end(json);
    }
    json_write_end(json);
}

void route_stats(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    const struct learner *learner = revision->learner;
    const struct tally *tally = &learner->tally;
    if (!call_not_modified(call, learner->revision) && !many_classes(call, learner, route_stats)) {
        struct json_writer json = response_begin(call->response);
        add_means(&json, tally->samples, tally->correct, tally->loss_sum);
        add_recent(&json, tally);
        add_drift(&json, &tally->drift);
        add_calibration(&json, tally);
        add_warnings(&json, learner);
        json_write_u64(&json, "refused", learner->refused);
        add_confusion(&json, learner);
        add_classes(&json, learner);
        response_json(call->response, 200, &json);
    }
    model_release(call->routes->model, revision);
}
