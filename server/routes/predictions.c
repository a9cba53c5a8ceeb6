/* predictions.c - /predictions: those that were remembered (model/prediction_cache.h), and their labels.
 *
 * A label trains on the remembered image, as POST /train would: what the tally counts is what the model says of it just before its step,
 * so that an edit of the past makes that anew, too. It is safe to repeat: the command has an Idempotency-Key that no client can send, made of
 * the prediction's id, and the label for its fingerprint. So the same label gets the first answer again, also when the prediction is
 * forgotten, after a restart too, as long as keys are kept; another label is a conflict. Where the prediction outlives its key, all that is
 * known is that it was labelled, and any label is one. A flat image (image/image.h) is trained on with ?flat=allow only.
 */
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/image.h"
#include "server/image/input_png.h"
#include "server/routes/handlers.h"

#define LIMIT_DEFAULT 50u
#define LIMIT_MAX     500u
#define LIST_LIGHT    100u  /* predictions to be written, a quarter of a millisecond */
#define SORT_LIGHT    2000u /* to be put in order: half a millisecond                */

static int not_remembered(struct err *err, int64_t id)
{
    return err_set(err, ERR_NOT_FOUND,
                   "prediction %lld does not exist or has expired; GET /predictions lists those that are remembered",
                   (long long)id);
}

static void response_not_remembered(const struct call *call)
{
    struct err err;
    not_remembered(&err, call->id);
    response_problem(call->response, &err);
}

/* ---- JSON ---- */

/* NULL: there is none, or going back took the class away. */
static const char *label_of(const struct learner *learner, int64_t index)
{
    return index >= 0 && index < learner->n_classes ? learner->labels[index] : NULL;
}

static void add_remembered(struct json_writer *json, const struct cached_prediction *r, const struct learner *learner)
{
    json_write_id(json, "id", (uint64_t)r->id);
    json_write_string(json, "label", label_of(learner, r->top[0]));
    json_write_fixed9(json, "confidence", r->confidence);
    json_write_object(json, "probabilities");
    for (uint32_t i = 0; i < r->n_top; i++)
        if (r->top[i] < learner->n_classes)
            json_write_fixed9(json, learner->labels[r->top[i]], (double)r->probability[i]);
    json_write_end(json);
    json_write_u64(json, "step", r->step);
    json_write_u64(json, "revision", r->revision);
    json_write_time(json, "created", r->id);
    json_write_string(json, "labelled", label_of(learner, r->label));
}

/* ---- GET /predictions ---- */

static int take_order(enum prediction_cache_order *order, const struct request *request, struct err *err)
{
    const char *word = request_param(request, "order");
    *order = PREDICTION_CACHE_UNCERTAIN;
    if (word == NULL || strcmp(word, "uncertain") == 0)
        return 0;
    *order = PREDICTION_CACHE_NEWEST;
    return strcmp(word, "newest") == 0 ? 0 : err_set(err, ERR_VALUE, "?order must be uncertain or newest");
}

static void list_predictions(const struct call *call, enum prediction_cache_order order, size_t limit)
{
    struct revision *revision = model_acquire(call->routes->model);
    struct cached_prediction *list = calloc(limit, sizeof *list);
    size_t all = 0;
    long n = -1;
    struct err err;
    if (list == NULL)
        err_memory(&err, "a list of predictions");
    else
        n = prediction_cache_list(call->routes->prediction_cache, revision->columns, order, list, limit, &all, &err);
    if (n < 0) {
        routes_problem(call->routes, call->response, &err);
    } else {
        struct json_writer json = response_begin(call->response);
        json_write_array(&json, "predictions");
        for (long i = 0; i < n; i++) {
            json_write_object(&json, NULL);
            add_remembered(&json, &list[i], revision->learner);
            json_write_end(&json);
        }
        json_write_end(&json);
        json_write_u64(&json, "remembered", all);
        response_json(call->response, 200, &json);
    }
    model_release(call->routes->model, revision);
    free(list);
}

void route_predictions_get(const struct call *call)
{
    enum prediction_cache_order order;
    uint64_t limit = LIMIT_DEFAULT;
    struct err err;
    if (take_order(&order, call->request, &err) != 0 ||
        request_param_number(call->request, "limit", 1, LIMIT_MAX, &limit, &err) != 0) {
        response_problem(call->response, &err);
        return;
    }
    const bool light = limit <= LIST_LIGHT && prediction_cache_count(call->routes->prediction_cache) <= SORT_LIGHT;
    if (light || !call_offload(call, route_predictions_get, OFFLOAD_SHORT))
        list_predictions(call, order, (size_t)limit);
}

/* ---- one ---- */

void route_prediction_get(const struct call *call)
{
    struct cached_prediction found;
    struct revision *revision = model_acquire(call->routes->model);
    if (prediction_cache_find(call->routes->prediction_cache, revision->columns, call->id, &found, NULL)) {
        struct json_writer json = response_begin(call->response);
        add_remembered(&json, &found, revision->learner);
        response_json(call->response, 200, &json);
    } else {
        response_not_remembered(call);
    }
    model_release(call->routes->model, revision);
}

void route_prediction_delete(const struct call *call)
{
    if (prediction_cache_drop(call->routes->prediction_cache, call->id))
        call->response->status = 204;
    else
        response_not_remembered(call);
}

static void draw_image(const struct call *call, const struct revision *revision, uint32_t scale)
{
    const struct shape *shape = &revision->learner->shape;
    uint8_t *pixels = malloc(shape->n_input), *png = NULL;
    size_t n_png = 0;
    struct cached_prediction told;
    struct err err;
    int status = -1;
    if (pixels == NULL)
        err_memory(&err, "an image");
    else if (!prediction_cache_find(call->routes->prediction_cache, revision->columns, call->id, &told, pixels))
        not_remembered(&err, call->id);
    else
        status = planes_png(&png, &n_png, pixels, shape, scale, &err);
    if (status == 0)
        response_blob(call->response, "image/png", png, n_png);
    else
        routes_problem(call->routes, call->response, &err);
    free(pixels);
}

void route_prediction_image(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    uint64_t scale = 1;
    struct err err;
    if (request_param_number(call->request, "scale", 1, PLANES_SCALE_MAX, &scale, &err) != 0)
        response_problem(call->response, &err);
    else if (!call_heavy_picture(call, &revision->learner->shape, (uint32_t)scale) ||
             !call_offload(call, route_prediction_image, OFFLOAD_LONG))
        draw_image(call, revision, (uint32_t)scale);
    model_release(call->routes->model, revision);
}

/* ---- POST /predictions/{id}/label ---- */

/* No client can send this: a key from outside is printable (routes/train.c). */
static void write_key(char key[STORE_KEY_BYTES_MAX + 1], int64_t id)
{
    (void)snprintf(key, STORE_KEY_BYTES_MAX + 1, "\x02prediction %lld", (long long)id);
}

static void write_fingerprint(uint8_t fingerprint[32], const char *label)
{
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, strlen(label), (const uint8_t *)label);
    sha256_digest(&sha, 32, fingerprint);
}

/* In the trainer's thread. */
static void label_done(struct command *command)
{
    struct work *work = command->context;
    if (command->status == 0 && !command->known)
        prediction_cache_label(work->routes->prediction_cache, work->id, work->samples[0].label);
    else if (command->err.code == ERR_KEY_REUSED)
        err_set(&command->err, ERR_CONFLICT, "prediction %lld has another label already", (long long)work->id);
    http_pending_done(&work->pending); /* the work may be gone afterwards */
}

static int take_label(struct labels *labels, const struct json *root, struct err *err)
{
    const char *text = json_string(json_get(root, "label"));
    uint32_t which;
    if (text == NULL || json_length(root) != 1)
        err_set(err, ERR_VALUE, "the body must be {\"label\": \"...\"}");
    else if (labels_add(labels, &which, text, strlen(text), err) == 0)
        return 0;
    return err_at(err, "/label");
}

/* Its image; or why it is not learned from (any more), unless the key knows that it was. */
static int take_image(struct work *work, const struct call *call, const struct revision *revision, bool flat,
                      struct err *err)
{
    struct image_limits limits = call_limits(call);
    const struct body_rules rules = {
        .learner = revision->learner, .labelled = true, .flat = flat, .limits = &limits, .images_max = 1};
    struct err *refusal = &work->command.refusal;
    struct cached_prediction told;
    uint8_t *input = batch_add(&work->batch, &rules, err);
    if (input == NULL)
        return -1;
    work->batch.labels[0] = 0;
    if (!prediction_cache_find(call->routes->prediction_cache, revision->columns, call->id, &told, input))
        not_remembered(refusal, call->id);
    else if (told.label >= 0)
        err_set(refusal, ERR_CONFLICT,
                "prediction %lld has a label already; the response to that request is no longer kept",
                (long long)call->id);
    else
        (void)body_check_flat(input, &rules, refusal);
    return train_samples(work, revision->learner->shape.n_input, err);
}

void route_prediction_label(const struct call *call)
{
    struct err err;
    bool flat = false;
    struct json *root = call_json(call, false);
    struct work *work = root != NULL ? call_submit(call, COMMAND_TRAIN, train_response) : NULL;
    if (work == NULL) {
        json_free(root);
        return;
    }
    struct revision *revision = model_acquire(call->routes->model);
    if (request_flat(&flat, call->request, &err) != 0 || take_label(&work->batch.names, root, &err) != 0 ||
        take_image(work, call, revision, flat, &err) != 0) {
        call_give_up(call, work, &err);
    } else {
        struct command *command = &work->command;
        write_key(work->key, call->id);
        write_fingerprint(command->fingerprint, work->batch.names.list[0].text);
        command->key = work->key;
        command->done = label_done;
    }
    model_release(call->routes->model, revision);
    json_free(root);
}
