/* model.c - the model as people and programs see it: /model, /classes, /stats, and its files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/label_take.h"
#include "server/formats/npz.h"
#include "server/formats/onnx.h"
#include "server/formats/safetensors.h"
#include "server/image/kernel_sheet.h"
#include "server/routes/handlers.h"

#define CLASSES_LIGHT    100u
#define PARAMETERS_LIGHT (1u << 20) /* whose digest takes a millisecond */

/* ---- GET, PATCH /model ---- */

static void hex(char *text, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * n] = '\0';
}

static struct json *model_document(struct revision *revision, uint64_t ground)
{
    const struct learner *learner = revision->learner;
    const struct shape *s = &learner->shape;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"width", s->width},
        {"height", s->height},
        {"channels", s->channels},
        {"kernels", s->kernels},
        {"kernel_width", s->kernel_width},
        {"kernel_height", s->kernel_height},
        {"stride", s->stride},
        {"hidden", s->hidden},
        {"n_k", s->n_k},
        {"n_0", s->n_0},
        {"n_1", s->n_1},
        {"n_2", learner->n_classes},
        {"parameters",
         (uint64_t)s->kernels * s->n_k + (uint64_t)s->n_0 * s->n_1 + (uint64_t)s->n_1 * learner->n_classes},
    };
    uint8_t digest[DIGEST_BYTES];
    char digest_text[2 * DIGEST_BYTES + 1];
    model_digest(revision, digest);
    hex(digest_text, digest, sizeof digest);

    struct json *root = json_object();
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_add_number(root, numbers[i].name, (double)numbers[i].value);
    struct json *classes = json_add_array(root, "classes");
    for (uint32_t i = 0; i < learner->n_classes; i++)
        json_add_string(classes, NULL, learner->labels[i]);
    struct json *settings = json_add_object(root, "settings");
    for (int i = 0; i < SETTING_N; i++) {
        const char *word = settings_word(&learner->settings, (enum setting)i);
        if (word != NULL)
            json_add_string(settings, setting_table[i].name, word);
        else
            json_add_number(settings, setting_table[i].name, settings_get(&learner->settings, (enum setting)i));
    }
    json_add_number(root, "step", (double)learner->step);
    json_add_number(root, "revision", (double)learner->revision);
    json_add_string(root, "digest", digest_text);
    json_add_string(root, "arithmetic", ARITHMETIC_VERSION);
    struct json *since = json_add_object(root, "ground");
    json_add_number(since, "revision", (double)ground);
    json_add_string(since, "arithmetic", ARITHMETIC_VERSION);
    json_add_string(root, "instruction_set", arith_name(learner->arith));
    json_add_string(root, "convd", CONVD_VERSION);
    return root;
}

static void answer_model(struct answer *answer, struct revision *revision, uint64_t ground)
{
    answer_revision(answer, revision->learner->revision);
    answer_json(answer, 200, model_document(revision, ground));
}

void route_model_get(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    const struct learner *learner = revision->learner;
    if (!call_not_modified(call, learner->revision) &&
        (net_floats(&learner->shape, learner->n_classes) < PARAMETERS_LIGHT ||
         !call_offload(call, route_model_get, OFFLOAD_SHORT)))
        answer_model(call->answer, revision, call->routes->ground);
    model_release(call->routes->model, revision);
}

static void model_patched(struct work *work, struct answer *answer)
{
    struct revision *revision = model_acquire(work->routes->model);
    answer_model(answer, revision, work->routes->ground);
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
static int tune(struct job *job, const struct json *member, struct err *err)
{
    const char *name = json_name(member);
    enum setting which = settings_find(name);
    char tunable[128];
    list_tunable(tunable, sizeof tunable);
    if (which == SETTING_N) {
        err_set(err, ERR_VALUE, "there is no setting \"%.40s\"; these can be changed: %s", name, tunable);
        return err_at(err, "/%.60s", name);
    }
    const struct setting_info *info = &setting_table[which];
    struct settings trial = settings_default();
    int status = -1;
    if (!info->tunable)
        err_set(err, ERR_VALUE, "%s is fixed when the model is made; these can be changed: %s", name, tunable);
    else if (info->words != NULL && json_type(member) == JSON_STRING)
        status = settings_set_text(&trial, which, json_string(member), err);
    else if (info->words == NULL && json_type(member) == JSON_NUMBER)
        status = settings_set(&trial, which, json_number(member), err);
    else
        err_set(err, ERR_VALUE, "%s must be %s, but this is %s", name, info->words != NULL ? "a string" : "a number",
                json_type_name(member));
    if (status != 0)
        return err_at(err, "/%.60s", name);
    job->tune.which[job->tune.n] = which;
    job->tune.value[job->tune.n++] = settings_get(&trial, which); /* a word becomes its index */
    return 0;
}

void route_model_patch(const struct call *call)
{
    struct json *root = call_json(call, false);
    if (root == NULL)
        return;
    struct work *work = call_submit(call, JOB_TUNE, model_patched);
    if (work != NULL) {
        struct err err;
        const struct json *member = json_first(root);
        int status = member != NULL ? 0 : err_set(&err, ERR_VALUE, "the object names no setting to change");
        for (; status == 0 && member != NULL; member = json_next(member))
            status = tune(&work->job, member, &err);
        if (status != 0) {
            *call->pending = NULL;
            work->pending.free(&work->pending);
            answer_problem(call->answer, &err);
        }
    }
    json_free(root);
}

/* ---- files ---- */

/* What the encoders have in common. */
static void answer_file(const struct call *call, void (*handler)(const struct call *), const char *disposition,
                        int (*encode)(uint8_t **, size_t *, const struct learner *, struct err *))
{
    struct revision *revision = model_acquire(call->routes->model);
    if (!call_not_modified(call, revision->learner->revision) && !call_offload(call, handler, OFFLOAD_LONG)) {
        uint8_t *bytes = NULL;
        size_t n_bytes = 0;
        struct err err;
        if (encode(&bytes, &n_bytes, revision->learner, &err) != 0) {
            routes_problem(call->routes, call->answer, &err);
        } else {
            answer_blob(call->answer, "application/octet-stream", bytes, n_bytes);
            call->answer->disposition = disposition;
        }
    }
    model_release(call->routes->model, revision);
}

void route_model_safetensors(const struct call *call)
{
    answer_file(call, route_model_safetensors, "attachment; filename=\"model.safetensors\"", safetensors_encode);
}

void route_model_onnx(const struct call *call)
{
    answer_file(call, route_model_onnx, "attachment; filename=\"model.onnx\"", onnx_encode);
}

void route_model_npz(const struct call *call)
{
    answer_file(call, route_model_npz, "attachment; filename=\"model.npz\"", npz_encode);
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
        status = err_set(err, ERR_MEMORY, "no memory for a picture of the kernels");
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
            answer_blob(call->answer, "image/png", png, n_png);
        else
            routes_problem(call->routes, call->answer, &err);
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

static void add_classes(struct text *text, const struct learner *learner)
{
    text_add_string(text, "\"classes\":[");
    for (uint32_t i = 0; i < learner->n_classes; i++) {
        struct counts counts = count_class(learner, i);
        text_add_string(text, i == 0 ? "{\"label\":" : ",{\"label\":");
        text_add_quoted(text, learner->labels[i], strlen(learner->labels[i]));
        text_add_format(text, ",\"index\":%u,\"seen\":%llu,\"correct\":%llu,\"predicted\":%llu,\"accuracy\":", i,
                        (unsigned long long)counts.seen, (unsigned long long)counts.correct,
                        (unsigned long long)counts.predicted);
        if (counts.seen > 0)
            text_add_fixed9(text, (double)counts.correct / (double)counts.seen);
        else
            text_add_string(text, "null");
        text_add(text, "}", 1);
    }
    text_add(text, "]", 1);
}

static void add_revision(struct text *text, const struct learner *learner)
{
    text_add_format(text, ",\"step\":%llu,\"revision\":%llu}\n", (unsigned long long)learner->step,
                    (unsigned long long)learner->revision);
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
    struct text *text = &call->answer->text;
    if (!call_not_modified(call, revision->learner->revision) &&
        !many_classes(call, revision->learner, route_classes_get)) {
        text_add(text, "{", 1);
        add_classes(text, revision->learner);
        add_revision(text, revision->learner);
        answer_text_done(call->answer, 200, ANSWER_JSON);
    }
    model_release(call->routes->model, revision);
}

static void class_changed(struct work *work, struct answer *answer)
{
    const struct event *event = &work->job.event;
    struct text *text = &answer->text;
    text_add_string(text, "{\"label\":");
    text_add_quoted(text, event->as.class_.label, strlen(event->as.class_.label));
    text_add_format(text, ",\"index\":%u,\"step\":%llu,\"revision\":%llu}\n", event->as.class_.index,
                    (unsigned long long)work->job.step, (unsigned long long)work->job.revision);
    answer_revision(answer, work->job.revision);
    bool added = event->as.class_.action == CLASS_ADD;
    if (added)
        (void)snprintf(answer->location, sizeof answer->location, "/classes");
    answer_text_done(answer, added ? 201 : 200, ANSWER_JSON);
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

static int class_event(struct event *event, uint64_t *as_of, const struct json *root, bool add, struct model *model,
                       struct err *err)
{
    const char *name = add ? "label" : "to";
    const char *form = add ? "{\"label\": \"...\"}" : "{\"from\": \"...\", \"to\": \"...\"}";
    const char *from = add ? NULL : string_member(root, "from", 2, form, err);
    const char *label = !add && from == NULL ? NULL : string_member(root, name, add ? 1 : 2, form, err);
    if (label == NULL)
        return -1;
    if (label_take(event->as.class_.label, label, strlen(label), err) != 0)
        return err_at(err, "/%s", name);
    event->as.class_.action = add ? CLASS_ADD : CLASS_RENAME;
    if (add)
        return 0;
    struct revision *revision = model_acquire(model);
    int status = body_label(&event->as.class_.index, from, strlen(from), revision->learner, err);
    *as_of = revision->learner->revision;
    model_release(model, revision);
    return status == 0 ? 0 : err_at(err, "/from");
}

static void change_class(const struct call *call, bool add)
{
    struct json *root = call_json(call, false);
    struct event event = {.kind = EVENT_CLASS};
    uint64_t as_of = 0;
    struct err err;
    if (root == NULL)
        return;
    if (!add && route_class_removes(root)) {
        route_class_remove(call, root);
        json_free(root);
        return;
    }
    if (class_event(&event, &as_of, root, add, call->routes->model, &err) != 0) {
        answer_problem(call->answer, &err);
    } else {
        struct work *work = call_submit(call, JOB_CLASS, class_changed);
        if (work != NULL) {
            work->job.event = event;
            work->job.as_of = as_of;
        }
    }
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

/* "samples":..,"accuracy":..,"loss":..: means over n test-then-train outcomes; null where there are none. */
static void add_means(struct text *text, uint64_t n, uint64_t correct, double loss_sum)
{
    text_add_format(text, "\"samples\":%llu,\"accuracy\":", (unsigned long long)n);
    if (n == 0) {
        text_add_string(text, "null,\"loss\":null");
        return;
    }
    text_add_fixed9(text, (double)correct / (double)n);
    text_add_string(text, ",\"loss\":");
    text_add_fixed9(text, loss_sum / (double)n);
}

static void add_recent(struct text *text, const struct tally *tally)
{
    uint64_t n = tally->samples < TALLY_RECENT ? tally->samples : TALLY_RECENT, correct = 0;
    double loss = 0;
    for (uint64_t i = 0; i < n; i++) {
        correct += tally->recent[i].label == tally->recent[i].predicted ? 1 : 0;
        loss += (double)tally->recent[i].loss;
    }
    text_add_string(text, ",\"recent\":{");
    add_means(text, n, correct, loss);
    text_add_string(text, "}");
}

static void add_drift(struct text *text, const struct drift *drift)
{
    const uint32_t n = drift_recent(drift);
    text_add_format(
        text,
        ",\"drift\":{\"detector\":\"page-hinkley\",\"parameters\":{\"delta\":%g,\"lambda\":%g,\"window\":%u,"
        "\"minimum\":%u},\"alarms\":%llu,\"last_alarm_sample\":",
        DRIFT_DELTA, DRIFT_LAMBDA, DRIFT_WINDOW, DRIFT_MINIMUM, (unsigned long long)drift->alarms);
    if (n > 0)
        text_add_u64(text, drift_at(drift, n - 1));
    else
        text_add_string(text, "null");
    text_add_string(text, ",\"recent_alarms\":[");
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            text_add(text, ",", 1);
        text_add_u64(text, drift_at(drift, i));
    }
    text_add_string(text, "]}");
}

void route_stats(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    const struct learner *learner = revision->learner;
    const struct tally *tally = &learner->tally;
    struct text *text = &call->answer->text;
    if (!call_not_modified(call, learner->revision) && !many_classes(call, learner, route_stats)) {
        text_add(text, "{", 1);
        add_means(text, tally->samples, tally->correct, tally->loss_sum);
        add_recent(text, tally);
        add_drift(text, &tally->drift);
        text_add_format(text, ",\"refused\":%llu", (unsigned long long)learner->refused);
        text_add_string(text, ",\"confusion\":[");
        for (uint32_t i = 0; i < learner->n_classes; i++) {
            text_add_string(text, i == 0 ? "[" : ",[");
            for (uint32_t j = 0; j < learner->n_classes; j++) {
                if (j > 0)
                    text_add(text, ",", 1);
                text_add_u64(text, tally->confusion[(size_t)i * learner->capacity + j]);
            }
            text_add(text, "]", 1);
        }
        text_add_string(text, "],");
        add_classes(text, learner);
        add_revision(text, learner);
        answer_text_done(call->answer, 200, ANSWER_JSON);
    }
    model_release(call->routes->model, revision);
}
