/* oip.c - /v2: the Open Inference Protocol, on one published revision, as /predict is.
 *
 * What the tensors are is payload/oip.h's affair. Here are the routes, the model's name and version, and the statistics: since the
 * start, of inferences over this protocol, all revisions together.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/common/json.h"
#include "server/payload/oip.h"
#include "server/routes/handlers.h"

/* Batch sizes that are told apart; requests of further sizes are in the totals alone. */
#define BATCH_SIZES_MAX 64u

struct duration {
    uint64_t count, ns;
};

struct batch_size {
    uint32_t n;
    struct duration input, infer, output;
};

struct v2 {
    char model[OIP_NAME_BYTES], stem[OIP_NAME_BYTES];
    pthread_mutex_t lock; /* of all below; held for some additions */
    struct duration success, fail, queue, input, infer, output;
    uint64_t images, last_ms;
    struct batch_size sizes[BATCH_SIZES_MAX];
    unsigned n_sizes;
};

struct v2 *v2_create(void)
{
    struct v2 *v2 = calloc(1, sizeof *v2);
    if (v2 == NULL || pthread_mutex_init(&v2->lock, NULL) != 0) {
        free(v2);
        return NULL;
    }
    v2_name(v2, NULL, "");
    return v2;
}

void v2_free(struct v2 *v2)
{
    if (v2 != NULL)
        (void)pthread_mutex_destroy(&v2->lock);
    free(v2);
}

void v2_name(struct v2 *v2, const char *name, const char *db)
{
    oip_model_name(v2->stem, db);
    (void)snprintf(v2->model, sizeof v2->model, "%s", name != NULL ? name : v2->stem);
}

/* ---- which model, which version ---- */

#define MODELS "/v2/models/"

/* Whether the n bytes at `at` are that name. */
static bool is_name(const char *name, const char *at, size_t n)
{
    return n == strlen(name) && memcmp(name, at, n) == 0;
}

/* Whether the path's model and version, where it names one, are ours; else the response is 404. */
static bool is_ours(const struct call *call, const struct learner *learner)
{
    const struct v2 *v2 = call->routes->v2;
    const char *name = call->request->path + strlen(MODELS);
    size_t n = strcspn(name, "/");
    struct err err;
    if (!is_name(v2->model, name, n) && !is_name(v2->stem, name, n) && !is_name("convd", name, n))
        err_set(&err, ERR_NOT_FOUND, "unknown model \"%.*s\": this one is \"%.80s\"", n < 80 ? (int)n : 80, name,
                v2->model);
    else if (strncmp(name + n, "/versions/", 10) == 0 && call->id != 1 && (uint64_t)call->id != learner->revision)
        err_set(&err, ERR_NOT_FOUND,
                "version %lld is neither 1, which the model always has, nor its current revision, which is %llu",
                (long long)call->id, (unsigned long long)learner->revision);
    else
        return true;
    response_problem(call->response, &err);
    return false;
}

/* ---- health ---- */

void route_v2(const struct call *call)
{
    struct json_writer json = response_begin(call->response);
    json_write_string(&json, "name", "convd");
    json_write_string(&json, "version", CONVD_VERSION);
    json_write_array(&json, "extensions");
    json_write_string(&json, NULL, "binary_tensor_data");
    json_write_string(&json, NULL, "classification");
    json_write_string(&json, NULL, "model_configuration");
    json_write_string(&json, NULL, "statistics");
    json_write_end(&json);
    response_json(call->response, 200, &json);
}

void route_v2_live(const struct call *call)
{
    struct json_writer json = response_begin(call->response);
    json_write_bool(&json, "live", true);
    response_json(call->response, 200, &json);
}

/* Able to infer: a daemon whose storage has failed still is. */
static bool is_ready(const struct call *call)
{
    if (!atomic_load(&call->routes->stopping))
        return true;
    response_error(call->response, ERR_STOPPING, "stopping");
    return false;
}

void route_v2_ready(const struct call *call)
{
    if (!is_ready(call))
        return;
    struct json_writer json = response_begin(call->response);
    json_write_bool(&json, "live", true);
    json_write_bool(&json, "ready", true);
    response_json(call->response, 200, &json);
}

void route_v2_model_ready(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    if (is_ours(call, revision->learner) && is_ready(call)) {
        struct json_writer json = response_begin(call->response);
        json_write_string(&json, "name", call->routes->v2->model);
        json_write_bool(&json, "ready", true);
        response_json(call->response, 200, &json);
    }
    model_release(call->routes->model, revision);
}

void route_v2_model(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    if (is_ours(call, revision->learner)) {
        struct json_writer json = response_begin(call->response);
        oip_write_metadata(&json, call->routes->v2->model, revision->learner);
        response_revision(call->response, revision->learner->revision);
        response_json(call->response, 200, &json);
    }
    model_release(call->routes->model, revision);
}

void route_v2_config(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    if (is_ours(call, revision->learner)) {
        struct json_writer json = response_begin(call->response);
        oip_write_config(&json, call->routes->v2->model, revision->learner, call->routes->batch_images);
        response_revision(call->response, revision->learner->revision);
        response_json(call->response, 200, &json);
    }
    model_release(call->routes->model, revision);
}

/* The one model, which is ready as long as anybody answers: "ready" leaves nothing out. */
void route_v2_index(const struct call *call)
{
    struct json *root = call_json(call, true);
    const struct json *ready = json_get(root, "ready");
    if (ready != NULL && json_type(ready) != JSON_BOOL) {
        struct err err;
        err_set(&err, ERR_VALUE, "ready must be true or false, but is %s", json_type_name(ready));
        err_at(&err, "/ready");
        response_problem(call->response, &err);
    } else if (root != NULL) {
        text_clear(&call->response->text);
        struct json_writer json = json_write_to(&call->response->text);
        json_write_array(&json, NULL);
        json_write_object(&json, NULL);
        json_write_string(&json, "name", call->routes->v2->model);
        json_write_string(&json, "version", OIP_VERSION);
        json_write_string(&json, "state", "READY");
        json_write_string(&json, "reason", "");
        json_write_end(&json);
        response_json(call->response, 200, &json);
    }
    json_free(root);
}

/* ---- infer ---- */

static void add(struct duration *duration, uint64_t ns)
{
    duration->count++;
    duration->ns += ns;
}

/* at: the four moments between which input, infer and output lie, after it waited; n = 0: it failed. */
static void count(struct v2 *v2, uint32_t n, uint64_t waited_ns, const uint64_t at[4])
{
    int64_t now_ms = store_now_us() / 1000;
    pthread_mutex_lock(&v2->lock);
    add(n > 0 ? &v2->success : &v2->fail, waited_ns + at[3] - at[0]);
    if (n > 0) {
        add(&v2->queue, waited_ns);
        add(&v2->input, at[1] - at[0]);
        add(&v2->infer, at[2] - at[1]);
        add(&v2->output, at[3] - at[2]);
        v2->images += n;
        v2->last_ms = (uint64_t)now_ms;
        unsigned i = 0;
        while (i < v2->n_sizes && v2->sizes[i].n != n)
            i++;
        if (i == v2->n_sizes && i < BATCH_SIZES_MAX)
            v2->sizes[v2->n_sizes++] = (struct batch_size){.n = n};
        if (i < v2->n_sizes) {
            add(&v2->sizes[i].input, at[1] - at[0]);
            add(&v2->sizes[i].infer, at[2] - at[1]);
            add(&v2->sizes[i].output, at[3] - at[2]);
        }
    }
    pthread_mutex_unlock(&v2->lock);
}

/* Inference-Header-Content-Length; *n stays where it is absent. */
static int read_json_length(uint64_t *n, const char *header, struct err *err)
{
    if (header == NULL)
        return 0;
    uint64_t sum = 0;
    bool whole = *header != '\0';
    for (const char *at = header; *at != '\0' && whole; at++)
        whole = *at >= '0' && *at <= '9' && !__builtin_mul_overflow(sum, (uint64_t)10, &sum) &&
                !__builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum);
    if (!whole || sum == OIP_NO_HEADER)
        return err_set(err, ERR_SYNTAX, "Inference-Header-Content-Length is not a number");
    *n = sum;
    return 0;
}

/* l^2 of n images, at most NET_BATCH, into `out`; *least: of their known where novelty is not NULL. */
static void infer_some(float *out, float *least, const struct learner *learner, const struct novelty *novelty,
                       const uint8_t *pixels, size_t n, struct workspace *ws)
{
    const struct net *net = &learner->net;
    if (novelty == NULL) {
        net_forward_batch(learner->arith, net, &learner->settings, pixels, n, ws);
        memcpy(out, ws->batch_l2, n * net->ld_2 * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        net_forward(learner->arith, net, &learner->settings, pixels + i * learner->shape.n_input, ws);
        memcpy(out + i * net->ld_2, ws->l2, net->ld_2 * sizeof *out);
        const float known = novelty_known(novelty, learner, net_argmax(net, ws->l2), ws);
        if (isnan(*least) || known < *least)
            *least = known;
    }
}

/* l^2 of all images, [n][ld_2], malloc'ed; of some only, where it is cancelled. NULL: no memory. */
static float *infer(struct oip_request *in, const struct learner *learner, const struct novelty *novelty,
                    const struct cancel *cancel)
{
    const struct batch *batch = &in->batch;
    const size_t ld_2 = learner->net.ld_2;
    /* A request brings at most 2^20 images (batch_images) of at most 1024 classes: nothing here can overflow. */
    float *probabilities = malloc(batch->n * ld_2 * sizeof *probabilities);
    struct workspace *ws = workspace_create(&learner->shape, learner->n_classes);
    for (uint32_t i = 0; probabilities != NULL && ws != NULL && i < batch->n && !cancelled(cancel); i += NET_BATCH)
        infer_some(probabilities + i * ld_2, &in->least_known, learner, novelty,
                   batch->pixels + (size_t)i * learner->shape.n_input,
                   batch->n - i < NET_BATCH ? batch->n - i : NET_BATCH, ws);
    if (ws == NULL) {
        free(probabilities);
        probabilities = NULL;
    }
    workspace_free(ws);
    return probabilities;
}

/* One inference, of a request that was decoded. */
static int response_inference(const struct call *call, struct oip_request *in, const struct learner *learner,
                              const struct novelty *novelty, uint64_t at[4], struct err *err)
{
    struct response *response = call->response;
    uint32_t *order = malloc(learner->n_classes * sizeof *order);
    float *probabilities = order == NULL ? NULL : infer(in, learner, novelty, call->cancel);
    at[2] = clock_ns();
    int status = 0;
    if (probabilities == NULL)
        status = err_memory(err, "the responses of %u images", in->batch.n);
    else if (cancelled(call->cancel))
        status = cancel_err(call->cancel, err);
    else
        response->n_json = oip_write_response(&response->text, in, call->routes->v2->model, learner, probabilities,
                                              learner->net.ld_2, order);
    free(probabilities);
    free(order);
    return status;
}

void route_v2_infer(const struct call *call)
{
    struct routes *routes = call->routes;
    struct oip_request in = {0};
    struct err err;
    uint64_t at[4] = {clock_ns()}, n_json = OIP_NO_HEADER;
    model_request(routes->model);
    struct revision *revision = model_acquire(routes->model);
    const struct learner *learner = revision->learner;
    if (is_ours(call, learner)) {
        struct image_limits limits = call_limits(call);
        const struct body_rules rules = {
            .learner = learner, .labelled = false, .limits = &limits, .images_max = routes->batch_images};
        const struct text *body = call->request->body;
        int status = read_json_length(&n_json, call->request->json_length, &err);
        if (status == 0)
            status = label_any(learner, &err);
        if (status == 0)
            status = oip_decode(&in, (const uint8_t *)body->bytes, body->n, n_json, &rules, &err);
        enum offload_length length = OFFLOAD_LONG;
        if (limits.heavy || (status == 0 && call_heavy(call, learner, in.batch.n, &length))) {
            oip_request_fini(&in);
            model_release(routes->model, revision);
            (void)call_offload(call, route_v2_infer, length);
            return;
        }
        const struct novelty *novelty = NULL;
        if (status == 0 && in.known && (novelty = call_novelty(call, revision, route_v2_infer)) == NULL) {
            oip_request_fini(&in);
            model_release(routes->model, revision);
            return;
        }
        at[1] = at[2] = clock_ns();
        if (status == 0)
            status = response_inference(call, &in, learner, novelty, at, &err);
        if (status != 0) {
            routes_problem(routes, call->response, &err);
        } else {
            response_revision(call->response, learner->revision);
            response_text_done(call->response, 200,
                               call->response->n_json > 0 ? "application/octet-stream" : RESPONSE_JSON);
        }
        at[3] = clock_ns();
        count(routes->v2, status == 0 ? in.batch.n : 0, call->waited_ns, at);
    }
    oip_request_fini(&in);
    model_release(routes->model, revision);
}

/* ---- statistics ---- */

static void put_duration(struct json_writer *json, const char *name, const struct duration *duration)
{
    json_write_object(json, name);
    json_write_u64(json, "count", duration->count);
    json_write_u64(json, "ns", duration->ns);
    json_write_end(json);
}

static void put_stages(struct json_writer *json, const struct duration *input, const struct duration *infer_,
                       const struct duration *output)
{
    put_duration(json, "compute_input", input);
    put_duration(json, "compute_infer", infer_);
    put_duration(json, "compute_output", output);
}

static void put_model(struct json_writer *json, const struct v2 *v2)
{
    static const struct duration none;
    json_write_string(json, "name", v2->model);
    json_write_string(json, "version", OIP_VERSION);
    json_write_u64(json, "last_inference", v2->last_ms);
    json_write_u64(json, "inference_count", v2->images);
    json_write_u64(json, "execution_count", v2->success.count);
    json_write_object(json, "inference_stats");
    put_duration(json, "success", &v2->success);
    put_duration(json, "fail", &v2->fail);
    put_duration(json, "queue", &v2->queue); /* nothing where the thread that reads a request answers it */
    put_stages(json, &v2->input, &v2->infer, &v2->output);
    put_duration(json, "cache_hit", &none);
    json_write_end(json);
    json_write_array(json, "batch_stats");
    for (unsigned i = 0; i < v2->n_sizes; i++) {
        const struct batch_size *size = &v2->sizes[i];
        json_write_object(json, NULL);
        json_write_u64(json, "batch_size", size->n);
        put_stages(json, &size->input, &size->infer, &size->output);
        json_write_end(json);
    }
    json_write_end(json);
}

static void put_statistics(struct json_writer *json, struct v2 *v2)
{
    json_write_array(json, "model_stats");
    json_write_object(json, NULL);
    pthread_mutex_lock(&v2->lock);
    put_model(json, v2);
    pthread_mutex_unlock(&v2->lock);
    json_write_end(json);
    json_write_end(json);
}

void route_v2_stats(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    if (strcmp(call->request->path, MODELS "stats") == 0 || is_ours(call, revision->learner)) {
        struct json_writer json = response_begin(call->response);
        put_statistics(&json, call->routes->v2);
        response_json(call->response, 200, &json);
    }
    model_release(call->routes->model, revision);
}
