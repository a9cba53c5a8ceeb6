/* predict.c - POST /predict: on one published revision, with the thread's own workspace; few small images in the HTTP thread, else in
 * one of the pool.
 *
 * This is the hot path: a raw body is not copied, and the response is written straight into the connection's text.
 * ?explain=1 (model/explain.h) is not: images one by one, and more derivatives than a training step. ?revision=N (model/revision_cache.h) may have to wait
 * for the trainer to make that state again. ?known=1 (core/learner/novelty.h): images one by one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/common/rank.h"
#include "server/image/image.h"
#include "server/model/explain.h"
#include "server/routes/handlers.h"

/* One for each thread, made at its first prediction, made anew when classes have come that it has no room for. */
struct scratch {
    struct workspace *ws;
    uint32_t *order; /* [capacity]: classes by probability, for ?top */
    uint32_t capacity;
};

void scratch_free(void *memory)
{
    struct scratch *scratch = memory;
    if (scratch == NULL)
        return;
    workspace_free(scratch->ws);
    free(scratch->order);
    free(scratch);
}

static struct scratch *scratch_get(struct routes *routes, const struct learner *learner)
{
    struct scratch *scratch = pthread_getspecific(routes->scratch);
    if (scratch != NULL && scratch->capacity >= learner->n_classes)
        return scratch;
    scratch_free(scratch);
    scratch = calloc(1, sizeof *scratch);
    if (scratch != NULL) {
        uint32_t capacity = learner->capacity > learner->n_classes ? learner->capacity : learner->n_classes;
        scratch->ws = workspace_create(&learner->shape, capacity);
        scratch->order = malloc(capacity * sizeof *scratch->order);
        scratch->capacity = capacity;
    }
    if (scratch != NULL && (scratch->ws == NULL || scratch->order == NULL)) {
        scratch_free(scratch);
        scratch = NULL;
    }
    if (pthread_setspecific(routes->scratch, scratch) != 0) {
        scratch_free(scratch);
        (void)pthread_setspecific(routes->scratch, NULL);
        return NULL;
    }
    return scratch;
}

#define REVISION_MAX 999999999999999999ULL
#define TOLD_LITTLE  100000u /* probabilities: no need to measure the response */

/* What the query asks for. */
struct predict_options {
    uint64_t top, explain, remember, revision; /* 0: not asked for */
    uint64_t known;                            /* likewise */
    double unknown;                            /* known below which there is no label; 0: none is */
    bool picture;                              /* the explanation as a PNG, which Accept prefers */
    uint64_t columns;                          /* of the model as it is: struct revision */
    const struct calibration *calibration;     /* of the state that answers */
    const struct novelty *novelty;             /* likewise, where known is asked for */
};

/* "label": best, or null with "nearest": best where it is not known well enough. */
static void add_label(struct json_writer *json, const char *best, double known, double unknown)
{
    if (known < unknown) { /* not where nothing is known of it: NaN */
        json_write_null(json, "label");
        json_write_string(json, "nearest", best);
    } else {
        json_write_string(json, "label", best);
    }
}

/* After net_forward(), where known is asked for. Of the classes: all in their order, or the `top` most probable, best first. */
static void add_prediction(struct json_writer *json, const struct learner *learner, const float *p,
                           struct scratch *scratch, const struct predict_options *options)
{
    const uint32_t best = net_argmax(&learner->net, p), n = learner->n_classes;
    const bool asked = options->novelty != NULL;
    const double known = asked ? (double)novelty_known(options->novelty, learner, best, scratch->ws) : (double)NAN;
    add_label(json, learner->labels[best], known, options->unknown);
    json_write_fixed9(json, "confidence", calibration_confidence(options->calibration, p[best]));
    if (asked && isnan(known))
        json_write_null(json, "known");
    else if (asked)
        json_write_fixed9(json, "known", known);
    json_write_object(json, "probabilities");
    if (options->top > 0)
        rank_classes(scratch->order, p, n);
    for (uint32_t i = 0; i < n && (options->top == 0 || i < options->top); i++) {
        const uint32_t c = options->top > 0 ? scratch->order[i] : i;
        json_write_fixed9(json, learner->labels[c], (double)p[c]);
    }
    json_write_end(json);
}

/* All that is said of the i-th image, but its braces. p: its l^2. */
static int add_image(struct json_writer *json, struct routes *routes, const struct learner *learner,
                     const struct batch *batch, uint32_t i, float *p, struct scratch *scratch,
                     const struct predict_options *options, struct err *err)
{
    const uint8_t *pixels = batch->pixels + (size_t)i * learner->shape.n_input;
    if (batch->many && batch->files != NULL && batch->files[i][0] != '\0')
        json_write_string(json, "file", batch->files[i]);
    if (options->remember > 0) {
        const double confidence = calibration_confidence(options->calibration, p[net_argmax(&learner->net, p)]);
        const int64_t id =
            prediction_cache_add(routes->prediction_cache, learner, options->columns, pixels, p, confidence, err);
        if (id < 0)
            return -1;
        json_write_id(json, "id", (uint64_t)id);
    }
    add_prediction(json, learner, p, scratch, options);
    if (image_is_flat(pixels, &learner->shape))
        json_write_bool(json, "flat", true);
    return options->explain == 0 ? 0 : explain_write(json, learner, pixels, scratch->ws, err);
}

static int write_predictions(const struct call *call, const struct learner *learner, const struct batch *batch,
                             struct scratch *scratch, const struct predict_options *options, struct err *err)
{
    struct json_writer json = response_begin(call->response);
    const struct net *net = &learner->net;
    size_t n_input = learner->shape.n_input;
    if (batch->many)
        json_write_array(&json, "predictions");
    for (uint32_t i = 0; i < batch->n; i++) {
        if (cancelled(call->cancel))
            return cancel_err(call->cancel, err);
        float *p = scratch->ws->batch_l2 + i % NET_BATCH * net->ld_2;
        if (options->explain > 0 || options->novelty != NULL) { /* the same bits, and what led to them */
            net_forward(learner->arith, net, &learner->settings, batch->pixels + i * n_input, scratch->ws);
            p = scratch->ws->l2;
        } else if (i % NET_BATCH == 0) {
            net_forward_batch(learner->arith, net, &learner->settings, batch->pixels + i * n_input,
                              batch->n - i < NET_BATCH ? batch->n - i : NET_BATCH, scratch->ws);
        }
        if (batch->many)
            json_write_object(&json, NULL);
        if (add_image(&json, call->routes, learner, batch, i, p, scratch, options, err) != 0)
            return -1;
        if (batch->many)
            json_write_end(&json);
    }
    if (batch->many)
        json_write_end(&json);
    json_write_u64(&json, "step", learner->step);
    json_write_u64(&json, "revision", learner->revision);
    response_revision(call->response, learner->revision);
    response_json(call->response, 200, &json);
    return 0;
}

static int response_picture(const struct call *call, const struct learner *learner, const struct batch *batch,
                            struct scratch *scratch, struct err *err)
{
    uint8_t *png;
    size_t n_png;
    net_forward(learner->arith, &learner->net, &learner->settings, batch->pixels, scratch->ws);
    if (explain_png(&png, &n_png, learner, batch->pixels, scratch->ws, err) != 0)
        return -1;
    response_blob(call->response, "image/png", png, n_png);
    response_revision(call->response, learner->revision);
    return 0;
}

static int take_options(struct predict_options *options, const struct request *request, struct err *err)
{
    if (request->n_params == 0) /* mostly */
        return 0;
    if (request_param_number(request, "top", 1, SHAPE_CLASSES_MAX, &options->top, err) != 0 ||
        request_param_number(request, "explain", 0, 1, &options->explain, err) != 0 ||
        request_param_number(request, "remember", 0, 1, &options->remember, err) != 0 ||
        request_param_number(request, "revision", 1, REVISION_MAX, &options->revision, err) != 0 ||
        request_param_number(request, "known", 0, 1, &options->known, err) != 0 ||
        request_param_share(request, "unknown", &options->unknown, err) != 0)
        return -1;
    if (options->unknown > 0.0)
        options->known = 1;
    if (options->revision > 0 && options->known > 0)
        return err_set(
            err, ERR_VALUE,
            "neither known nor unknown goes with revision: only the current model has the images that known is "
            "measured by");
    if (options->revision > 0 && options->remember > 0)
        return err_set(
            err, ERR_VALUE,
            "remember=1 and revision exclude each other: only a prediction of the current model can be labelled later");
    options->picture = options->explain > 0 && accept_quality(request->accept, "image/png") >
                                                   accept_quality(request->accept, "application/json");
    return 0;
}

/* Of one image in the response, at most about: "label":0.123456789, for each class that is told. */
static uint64_t bytes_of_one(const struct learner *learner, uint64_t n_told)
{
    uint64_t all = 0, longest = 0;
    for (uint32_t i = 0; i < learner->n_classes; i++) {
        const uint64_t n = strlen(learner->labels[i]) + 15;
        all += n;
        longest = n > longest ? n : longest;
    }
    return (longest * n_told < all ? longest * n_told : all) + LABEL_BYTES_MAX;
}

/* Whether so much can be told, or explained, in one response. */
static int check_options(const struct predict_options *options, const struct batch *batch,
                         const struct learner *learner, struct err *err)
{
    if (options->picture && (batch->many || batch->n != 1))
        return err_set(err, ERR_VALUE, "image/png explains one image: send Accept: application/json for several");
    if (options->picture && options->remember > 0)
        return err_set(err, ERR_VALUE,
                       "?remember=1 returns an id, which image/png cannot hold: send Accept: application/json");
    if (options->picture && options->known > 0)
        return err_set(err, ERR_VALUE,
                       "image/png cannot hold what is known of an image: send Accept: application/json");
    const uint64_t n_told = options->top > 0 && options->top < learner->n_classes ? options->top : learner->n_classes;
    if (batch->n * n_told > TOLD_LITTLE) {
        const uint64_t each = bytes_of_one(learner, n_told);
        if (batch->n * each > RESPONSE_TEXT_MAX)
            return err_set(err, ERR_LIMIT,
                           "the response for %u images would be about %llu MiB; the limit is %zu MiB: use ?top=5, or "
                           "send %llu images at a time",
                           batch->n, (unsigned long long)(batch->n * each >> 20), RESPONSE_TEXT_MAX >> 20,
                           (unsigned long long)(RESPONSE_TEXT_MAX / each));
    }
    if (options->explain > 0 && !options->picture && (uint64_t)batch->n * learner->shape.n_input > EXPLAIN_NUMBERS_MAX)
        return err_set(err, ERR_LIMIT,
                       "the explanation of %u images would be %llu numbers; the limit is %u: send fewer images, or one "
                       "with Accept: image/png",
                       batch->n, (unsigned long long)batch->n * learner->shape.n_input, EXPLAIN_NUMBERS_MAX);
    return 0;
}

/* The whole response, from that state. false: it is too heavy for this thread, and a task of *length. */
static bool response_from(const struct call *call, const struct learner *learner, const struct predict_options *options,
                          enum offload_length *length)
{
    struct routes *routes = call->routes;
    struct request *request = call->request;
    struct batch batch = {0};
    struct err err;
    struct body_source source = {(const uint8_t *)request->body->bytes, request->body->n, request->content_type, NULL,
                                 NULL};
    struct image_limits limits = call_limits(call);
    struct body_rules rules = {
        .learner = learner, .labelled = false, .limits = &limits, .images_max = routes->batch_images};
    struct scratch *scratch = NULL;
    int status = label_any(learner, &err) == 0 ? body_decode(&batch, &source, &rules, &err) : -1;
    *length = OFFLOAD_LONG;
    if (limits.heavy || (status == 0 && call_heavy(call, learner, batch.n, length))) {
        batch_fini(&batch);
        return false;
    }
    if (status == 0)
        status = check_options(options, &batch, learner, &err);
    if (status == 0 && (scratch = scratch_get(routes, learner)) == NULL)
        status = err_memory(&err, "a workspace");
    if (status == 0 && options->picture)
        status = response_picture(call, learner, &batch, scratch, &err);
    else if (status == 0)
        status = write_predictions(call, learner, &batch, scratch, options, &err);
    if (status != 0) {
        text_clear(&call->response->text);
        routes_problem(routes, call->response, &err);
    }
    batch_fini(&batch);
    return true;
}

/* ---- as the model was ---- */

struct past_prediction {
    struct revision_cache *revision_cache;
    struct cached_state state; /* held, once it is there */
    struct calibration calibration;
    struct predict_options options;
    int64_t until_ms;
};

static void retrospect_free(void *own)
{
    struct past_prediction *r = own;
    revision_cache_release(r->revision_cache, &r->state);
    free(r);
}

/* In the trainer's thread, again and again until the state is there. */
static int read_past(struct command *command, struct store *store, struct err *err)
{
    const struct work *work = command->context;
    struct past_prediction *r = work->own;
    int status = revision_cache_want(r->revision_cache, store, r->options.revision, err);
    if (status == 0 && !revision_cache_acquire(r->revision_cache, r->options.revision, &r->state))
        status = 1;
    if (status <= 0)
        return status;
    if (atomic_load(&work->routes->stopping))
        return err_set(err, ERR_STOPPING, "convd is stopping");
    if (now_ms() < r->until_ms)
        return 1;
    return err_set(err, ERR_BUSY, "revision %llu is still being replayed from the log: try again later",
                   (unsigned long long)r->options.revision);
}

static void response_from_past(const struct call *call, struct past_prediction *r)
{
    enum offload_length length;
    calibration_fit(&r->calibration, &r->state.learner->tally);
    r->options.calibration = &r->calibration;
    (void)response_from(call, r->state.learner, &r->options, &length);
}

static void respond_past(const struct call *call)
{
    response_from_past(call, call->own); /* in a thread of the pool, or there is none */
}

static void looked_back(struct work *work, struct response *response)
{
    work_offload(work, response, true, respond_past);
}

static void predict_then(const struct call *call, const struct predict_options *options)
{
    struct revision_cache *revision_cache = trainer_revision_cache(call->routes->trainer);
    struct past_prediction *r = calloc(1, sizeof *r);
    if (r == NULL) {
        call_no_memory(call, "a past state");
        return;
    }
    *r = (struct past_prediction){.revision_cache = revision_cache,
                                  .options = *options,
                                  .until_ms = now_ms() + 1000 * (int64_t)call->routes->wait_seconds};
    if (revision_cache_acquire(revision_cache, options->revision, &r->state)) {
        response_from_past(call, r);
        retrospect_free(r);
        return;
    }
    struct work *work = call_submit(call, COMMAND_READ, looked_back);
    if (work == NULL) {
        retrospect_free(r);
        return;
    }
    work->own = r;
    work->own_free = retrospect_free;
    work->command.read = read_past;
}

void route_predict(const struct call *call)
{
    struct predict_options options = {0};
    struct err err;
    if (take_options(&options, call->request, &err) != 0) {
        response_problem(call->response, &err);
        return;
    }
    if ((options.explain > 0 || options.revision > 0) && call_offload(call, route_predict, OFFLOAD_SHORT))
        return;
    model_request(call->routes->model);
    struct revision *revision = model_acquire(call->routes->model);
    enum offload_length length;
    options.columns = revision->columns;
    options.calibration = model_calibration(revision);
    const bool current = options.revision == 0 || options.revision == revision->learner->revision;
    if (options.known > 0)
        options.novelty = call_novelty(call, revision, route_predict);
    const bool ready = options.known == 0 || options.novelty != NULL;
    if (ready && !current)
        predict_then(call, &options);
    else if (ready && !response_from(call, revision->learner, &options, &length))
        (void)call_offload(call, route_predict, length);
    model_release(call->routes->model, revision);
}
