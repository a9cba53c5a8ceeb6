/* oip.c - /v2: the Open Inference Protocol, on one published revision, as /predict is.
 *
 * What the tensors are is payload/oip.h's affair. Here are the routes, the model's name and version, and the statistics: since the
 * start, of inferences over this protocol, all revisions together.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
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
    char model[OIP_NAME_BYTES];
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
    oip_model_name(v2->model, "");
    return v2;
}

void v2_free(struct v2 *v2)
{
    if (v2 != NULL)
        (void)pthread_mutex_destroy(&v2->lock);
    free(v2);
}

void v2_name(struct v2 *v2, const char *db)
{
    oip_model_name(v2->model, db);
}

/* ---- which model, which version ---- */

#define MODELS "/v2/models/"

/* Whether the path's model and version, where it names one, are ours; else the answer is 404. */
static bool is_ours(const struct call *call, const struct learner *learner)
{
    const char *model = call->routes->v2->model, *name = call->request->path + strlen(MODELS);
    size_t n = strcspn(name, "/");
    struct err err;
    bool right = (n == strlen(model) && memcmp(name, model, n) == 0) || (n == 5 && memcmp(name, "convd", 5) == 0);
    if (!right)
        err_set(&err, ERR_NOT_FOUND, "there is no model \"%.*s\" here: it is \"%s\"", n < 80 ? (int)n : 80, name,
                model);
    else if (strncmp(name + n, "/versions/", 10) == 0 && (uint64_t)call->id != learner->revision)
        err_set(&err, ERR_NOT_FOUND,
                "version %lld is not the live one, which is %llu; without a version, the live one answers",
                (long long)call->id, (unsigned long long)learner->revision);
    else
        return true;
    answer_problem(call->answer, &err);
    return false;
}

/* ---- health ---- */

void route_v2(const struct call *call)
{
    text_add_string(&call->answer->text, "{\"name\":\"convd\",\"version\":\"" CONVD_VERSION "\",\"extensions\":"
                                         "[\"binary_tensor_data\",\"classification\",\"statistics\"]}\n");
    answer_text_done(call->answer, 200, ANSWER_JSON);
}

void route_v2_live(const struct call *call)
{
    text_add_string(&call->answer->text, "{\"live\":true}\n");
    answer_text_done(call->answer, 200, ANSWER_JSON);
}

/* Able to infer: a daemon whose storage has failed still is. */
static bool is_ready(const struct call *call)
{
    struct err err;
    if (!atomic_load(&call->routes->stopping))
        return true;
    err_set(&err, ERR_STOPPING, "stopping");
    answer_problem(call->answer, &err);
    return false;
}

void route_v2_ready(const struct call *call)
{
    if (!is_ready(call))
        return;
    text_add_string(&call->answer->text, "{\"live\":true,\"ready\":true}\n");
    answer_text_done(call->answer, 200, ANSWER_JSON);
}

void route_v2_model_ready(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    struct text *text = &call->answer->text;
    if (is_ours(call, revision->learner) && is_ready(call)) {
        text_add_string(text, "{\"name\":");
        text_add_quoted(text, call->routes->v2->model, strlen(call->routes->v2->model));
        text_add_string(text, ",\"ready\":true}\n");
        answer_text_done(call->answer, 200, ANSWER_JSON);
    }
    model_release(call->routes->model, revision);
}

void route_v2_model(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    if (is_ours(call, revision->learner)) {
        oip_write_metadata(&call->answer->text, call->routes->v2->model, revision->learner);
        answer_revision(call->answer, revision->learner->revision);
        answer_text_done(call->answer, 200, ANSWER_JSON);
    }
    model_release(call->routes->model, revision);
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

/* l^2 of all images, [n][ld_2], malloc'ed; of some only, where it is cancelled. NULL: no memory. */
static float *infer(const struct learner *learner, const struct batch *batch, const struct cancel *cancel)
{
    const struct net *net = &learner->net;
    /* A request brings at most 2^20 images (batch_images) of at most 1024 classes: nothing here can overflow. */
    float *probabilities = malloc(batch->n * net->ld_2 * sizeof *probabilities);
    struct workspace *ws = workspace_create(&learner->shape, learner->n_classes);
    for (uint32_t i = 0; probabilities != NULL && ws != NULL && i < batch->n && !cancelled(cancel); i += NET_BATCH) {
        size_t n = batch->n - i < NET_BATCH ? batch->n - i : NET_BATCH;
        net_forward_batch(learner->arith, net, learner->settings.mean,
                          batch->pixels + (size_t)i * learner->shape.n_input, n, ws);
        memcpy(probabilities + i * net->ld_2, ws->batch_l2, n * net->ld_2 * sizeof *probabilities);
    }
    if (ws == NULL) {
        free(probabilities);
        probabilities = NULL;
    }
    workspace_free(ws);
    return probabilities;
}

/* One inference, of a request that was decoded. */
static int answer_inference(const struct call *call, const struct oip_request *in, const struct learner *learner,
                            uint64_t at[4], struct err *err)
{
    struct answer *answer = call->answer;
    uint32_t *order = malloc(learner->n_classes * sizeof *order);
    float *probabilities = order == NULL ? NULL : infer(learner, &in->batch, call->cancel);
    at[2] = clock_ns();
    int status = 0;
    if (probabilities == NULL)
        status = err_set(err, ERR_MEMORY, "no memory for the answers of %u images", in->batch.n);
    else if (cancelled(call->cancel))
        status = cancel_err(call->cancel, err);
    else
        answer->n_json = oip_write_answer(&answer->text, in, call->routes->v2->model, learner, probabilities,
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
    model_ask(routes->model);
    struct revision *revision = model_acquire(routes->model);
    const struct learner *learner = revision->learner;
    if (is_ours(call, learner)) {
        struct image_limits limits = call_limits(call);
        const struct body_rules rules = {
            .learner = learner, .labelled = false, .limits = &limits, .images_max = routes->batch_images};
        const struct text *body = call->request->body;
        int status = read_json_length(&n_json, call->request->json_length, &err);
        if (status == 0)
            status = oip_decode(&in, (const uint8_t *)body->bytes, body->n, n_json, &rules, &err);
        enum offload_length length = OFFLOAD_LONG;
        if (limits.heavy || (status == 0 && call_heavy(call, learner, in.batch.n, &length))) {
            oip_request_fini(&in);
            model_release(routes->model, revision);
            (void)call_offload(call, route_v2_infer, length);
            return;
        }
        at[1] = at[2] = clock_ns();
        if (status == 0)
            status = answer_inference(call, &in, learner, at, &err);
        if (status != 0) {
            routes_problem(routes, call->answer, &err);
        } else {
            answer_revision(call->answer, learner->revision);
            answer_text_done(call->answer, 200, call->answer->n_json > 0 ? "application/octet-stream" : ANSWER_JSON);
        }
        at[3] = clock_ns();
        count(routes->v2, status == 0 ? in.batch.n : 0, call->waited_ns, at);
    }
    oip_request_fini(&in);
    model_release(routes->model, revision);
}

/* ---- statistics ---- */

static void put_duration(struct text *text, const char *name, const struct duration *duration)
{
    text_add_format(text, "\"%s\":{\"count\":%llu,\"ns\":%llu}", name, (unsigned long long)duration->count,
                    (unsigned long long)duration->ns);
}

static void put_stages(struct text *text, const struct duration *input, const struct duration *infer_,
                       const struct duration *output)
{
    put_duration(text, "compute_input", input);
    text_add(text, ",", 1);
    put_duration(text, "compute_infer", infer_);
    text_add(text, ",", 1);
    put_duration(text, "compute_output", output);
}

static void put_statistics(struct text *text, struct v2 *v2, uint64_t revision)
{
    static const struct duration none;
    pthread_mutex_lock(&v2->lock);
    text_add_string(text, "{\"model_stats\":[{\"name\":");
    text_add_quoted(text, v2->model, strlen(v2->model));
    text_add_format(text,
                    ",\"version\":\"%llu\",\"last_inference\":%llu,\"inference_count\":%llu,\"execution_count\":%llu,"
                    "\"inference_stats\":{",
                    (unsigned long long)revision, (unsigned long long)v2->last_ms, (unsigned long long)v2->images,
                    (unsigned long long)v2->success.count);
    put_duration(text, "success", &v2->success);
    text_add(text, ",", 1);
    put_duration(text, "fail", &v2->fail);
    text_add(text, ",", 1);
    put_duration(text, "queue", &v2->queue); /* nothing where the thread that reads a request answers it */
    text_add(text, ",", 1);
    put_stages(text, &v2->input, &v2->infer, &v2->output);
    text_add(text, ",", 1);
    put_duration(text, "cache_hit", &none);
    text_add_string(text, "},\"batch_stats\":[");
    for (unsigned i = 0; i < v2->n_sizes; i++) {
        const struct batch_size *size = &v2->sizes[i];
        text_add_format(text, "%s{\"batch_size\":%u,", i == 0 ? "" : ",", size->n);
        put_stages(text, &size->input, &size->infer, &size->output);
        text_add(text, "}", 1);
    }
    text_add_string(text, "]}]}\n");
    pthread_mutex_unlock(&v2->lock);
}

void route_v2_stats(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    if (strcmp(call->request->path, MODELS "stats") == 0 || is_ours(call, revision->learner)) {
        put_statistics(&call->answer->text, call->routes->v2, revision->learner->revision);
        answer_text_done(call->answer, 200, ANSWER_JSON);
    }
    model_release(call->routes->model, revision);
}
