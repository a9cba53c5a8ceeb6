/* predict.c - POST /predict: on one published revision, with the thread's own workspace; few small images in the HTTP thread, else in
 * one of the pool.
 *
 * This is the hot path: a raw body is not copied, and the answer is written straight into the connection's text.
 * ?explain=1 (model/explain.h) is not: images one by one, and more derivatives than a training step. ?revision=N (model/revision_cache.h) may have to wait
 * for the trainer to make that state again.
 */
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

static void add_member(struct text *text, const char *label, float probability, bool first)
{
    if (!first)
        text_add(text, ",", 1);
    text_add_quoted(text, label, strlen(label));
    text_add(text, ":", 1);
    text_add_fixed9(text, (double)probability);
}

/* "label":..,"confidence":..,"probabilities":{..}: all classes in their order, or the `top` most probable, best first. */
static void add_prediction(struct text *text, const struct learner *learner, const float *p, uint32_t *order,
                           uint64_t top)
{
    uint32_t best = net_argmax(&learner->net, p), n = learner->n_classes;
    text_add_string(text, "\"label\":");
    text_add_quoted(text, learner->labels[best], strlen(learner->labels[best]));
    text_add_string(text, ",\"confidence\":");
    text_add_fixed9(text, (double)p[best]);
    text_add_string(text, ",\"probabilities\":{");
    if (top == 0) {
        for (uint32_t i = 0; i < n; i++)
            add_member(text, learner->labels[i], p[i], i == 0);
    } else {
        rank_classes(order, p, n);
        for (uint32_t i = 0; i < n && i < top; i++)
            add_member(text, learner->labels[order[i]], p[order[i]], i == 0);
    }
    text_add(text, "}", 1);
}

static void add_revision(struct text *text, const struct learner *learner)
{
    text_add_string(text, ",\"step\":");
    text_add_u64(text, learner->step);
    text_add_string(text, ",\"revision\":");
    text_add_u64(text, learner->revision);
    text_add(text, "}\n", 2);
}

#define REVISION_MAX 999999999999999999ULL
#define TOLD_LITTLE  100000u /* probabilities: no need to measure the answer */

/* What the query asks for. */
struct wish {
    uint64_t top, explain, remember, revision; /* 0: not asked for */
    bool picture;                              /* the explanation as a PNG, which Accept prefers */
};

/* All that is said of the i-th image, but its braces. p: its l^2. */
static int add_image(struct text *text, struct routes *routes, const struct learner *learner, const struct batch *batch,
                     uint32_t i, float *p, struct scratch *scratch, const struct wish *wish, struct err *err)
{
    const uint8_t *pixels = batch->pixels + (size_t)i * learner->shape.n_input;
    if (batch->many && batch->files != NULL && batch->files[i][0] != '\0') {
        text_add_string(text, "\"file\":");
        text_add_quoted(text, batch->files[i], strlen(batch->files[i]));
        text_add(text, ",", 1);
    }
    if (wish->remember > 0) {
        const int64_t id = remember_add(routes->remember, learner, pixels, p, err);
        if (id < 0)
            return -1;
        text_add_format(text, "\"id\":\"%lld\",", (long long)id);
    }
    add_prediction(text, learner, p, scratch->order, wish->top);
    if (image_is_flat(pixels, &learner->shape))
        text_add_string(text, ",\"flat\":true");
    if (wish->explain == 0)
        return 0;
    text_add(text, ",", 1);
    return explain_write(text, learner, pixels, scratch->ws, err);
}

static int write_predictions(const struct call *call, const struct learner *learner, const struct batch *batch,
                             struct scratch *scratch, const struct wish *wish, struct err *err)
{
    struct text *text = &call->answer->text;
    const struct net *net = &learner->net;
    size_t n_input = learner->shape.n_input;
    text_clear(text);
    text_add_string(text, batch->many ? "{\"predictions\":[" : "{");
    for (uint32_t i = 0; i < batch->n; i++) {
        if (cancelled(call->cancel))
            return cancel_err(call->cancel, err);
        float *p = scratch->ws->batch_l2 + i % NET_BATCH * net->ld_2;
        if (wish->explain > 0) { /* the same bits, and what led to them */
            net_forward(learner->arith, net, learner->settings.mean, batch->pixels + i * n_input, scratch->ws);
            p = scratch->ws->l2;
        } else if (i % NET_BATCH == 0) {
            net_forward_batch(learner->arith, net, learner->settings.mean, batch->pixels + i * n_input,
                              batch->n - i < NET_BATCH ? batch->n - i : NET_BATCH, scratch->ws);
        }
        if (batch->many)
            text_add_string(text, i == 0 ? "{" : ",{");
        if (add_image(text, call->routes, learner, batch, i, p, scratch, wish, err) != 0)
            return -1;
        if (batch->many)
            text_add(text, "}", 1);
    }
    if (batch->many)
        text_add(text, "]", 1);
    add_revision(text, learner);
    return 0;
}

static int answer_picture(const struct call *call, const struct learner *learner, const struct batch *batch,
                          struct scratch *scratch, struct err *err)
{
    uint8_t *png;
    size_t n_png;
    net_forward(learner->arith, &learner->net, learner->settings.mean, batch->pixels, scratch->ws);
    if (explain_png(&png, &n_png, learner, batch->pixels, scratch->ws, err) != 0)
        return -1;
    answer_blob(call->answer, "image/png", png, n_png);
    answer_revision(call->answer, learner->revision);
    return 0;
}

static int take_wish(struct wish *wish, const struct request *request, struct err *err)
{
    if (request->n_params == 0) /* mostly */
        return 0;
    if (request_param_number(request, "top", 1, SHAPE_CLASSES_MAX, &wish->top, err) != 0 ||
        request_param_number(request, "explain", 0, 1, &wish->explain, err) != 0 ||
        request_param_number(request, "remember", 0, 1, &wish->remember, err) != 0 ||
        request_param_number(request, "revision", 1, REVISION_MAX, &wish->revision, err) != 0)
        return -1;
    if (wish->revision > 0 && wish->remember > 0)
        return err_set(
            err, ERR_VALUE,
            "remember=1 is for the model as it is, which a label given later would train: not with revision");
    wish->picture = wish->explain > 0 &&
                    accept_quality(request->accept, "image/png") > accept_quality(request->accept, "application/json");
    return 0;
}

/* Of one image in the answer, at most about: "label":0.123456789, for each class that is told. */
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

/* Whether so much can be told, or explained, in one answer. */
static int check_wish(const struct wish *wish, const struct batch *batch, const struct learner *learner,
                      struct err *err)
{
    if (wish->picture && (batch->many || batch->n != 1))
        return err_set(err, ERR_VALUE, "an explanation as image/png is of one image; several come as application/json");
    if (wish->picture && wish->remember > 0)
        return err_set(err, ERR_VALUE, "?remember=1 answers an id, which a picture cannot: Accept: application/json");
    const uint64_t n_told = wish->top > 0 && wish->top < learner->n_classes ? wish->top : learner->n_classes;
    if (batch->n * n_told > TOLD_LITTLE) {
        const uint64_t each = bytes_of_one(learner, n_told);
        if (batch->n * each > ANSWER_TEXT_MAX)
            return err_set(
                err, ERR_LIMIT,
                "of these %u images the answer would be some %llu MiB; at most %zu MiB are sent: ask for ?top=5, or "
                "for %llu images at a time",
                batch->n, (unsigned long long)(batch->n * each >> 20), ANSWER_TEXT_MAX >> 20,
                (unsigned long long)(ANSWER_TEXT_MAX / each));
    }
    if (wish->explain > 0 && !wish->picture && (uint64_t)batch->n * learner->shape.n_input > EXPLAIN_NUMBERS_MAX)
        return err_set(err, ERR_LIMIT,
                       "explained, these %u images would be %llu numbers; at most %u are answered, as a picture "
                       "(Accept: image/png) any one image",
                       batch->n, (unsigned long long)batch->n * learner->shape.n_input, EXPLAIN_NUMBERS_MAX);
    return 0;
}

/* The whole answer, from that state. false: it is too heavy for this thread, and a task of *length. */
static bool answer_from(const struct call *call, const struct learner *learner, const struct wish *wish,
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
    int status = body_decode(&batch, &source, &rules, &err);
    *length = OFFLOAD_LONG;
    if (limits.heavy || (status == 0 && call_heavy(call, learner, batch.n, length))) {
        batch_fini(&batch);
        return false;
    }
    if (status == 0)
        status = check_wish(wish, &batch, learner, &err);
    if (status == 0 && (scratch = scratch_get(routes, learner)) == NULL)
        status = err_set(&err, ERR_MEMORY, "no memory for a workspace");
    if (status == 0 && wish->picture) {
        status = answer_picture(call, learner, &batch, scratch, &err);
    } else if (status == 0) {
        status = write_predictions(call, learner, &batch, scratch, wish, &err);
        if (status == 0) {
            answer_revision(call->answer, learner->revision);
            answer_text_done(call->answer, 200, ANSWER_JSON);
        }
    }
    if (status != 0) {
        text_clear(&call->answer->text);
        routes_problem(routes, call->answer, &err);
    }
    batch_fini(&batch);
    return true;
}

/* ---- as the model was ---- */

struct retrospect {
    struct past *past;
    struct past_state state; /* held, once it is there */
    struct wish wish;
    int64_t until_ms;
};

static void retrospect_free(void *own)
{
    struct retrospect *r = own;
    past_release(r->past, &r->state);
    free(r);
}

/* In the trainer's thread, again and again until the state is there. */
static int look_back(struct job *job, struct store *store, struct err *err)
{
    const struct work *work = job->context;
    struct retrospect *r = work->own;
    int status = past_want(r->past, store, r->wish.revision, err);
    if (status == 0 && !past_acquire(r->past, r->wish.revision, &r->state))
        status = 1;
    if (status <= 0)
        return status;
    if (atomic_load(&work->routes->stopping))
        return err_set(err, ERR_STOPPING, "the daemon is stopping");
    if (now_ms() < r->until_ms)
        return 1;
    return err_set(err, ERR_BUSY, "revision %llu is being made again from the log, which goes on: ask once more later",
                   (unsigned long long)r->wish.revision);
}

static void answer_past(const struct call *call)
{
    const struct retrospect *r = call->own;
    enum offload_length length;
    (void)answer_from(call, r->state.learner, &r->wish, &length); /* in a thread of the pool, or there is none */
}

static void looked_back(struct work *work, struct answer *answer)
{
    work_offload(work, answer, true, answer_past);
}

static void predict_then(const struct call *call, const struct wish *wish)
{
    struct past *past = trainer_past(call->routes->trainer);
    struct retrospect *r = calloc(1, sizeof *r);
    struct err err;
    if (r == NULL) {
        err_set(&err, ERR_MEMORY, "no memory for a past state");
        answer_problem(call->answer, &err);
        return;
    }
    *r = (struct retrospect){past, {0}, *wish, now_ms() + 1000 * (int64_t)call->routes->wait_seconds};
    if (past_acquire(past, wish->revision, &r->state)) {
        enum offload_length length;
        (void)answer_from(call, r->state.learner, wish, &length);
        retrospect_free(r);
        return;
    }
    struct work *work = call_submit(call, JOB_READ, looked_back);
    if (work == NULL) {
        retrospect_free(r);
        return;
    }
    work->own = r;
    work->own_free = retrospect_free;
    work->job.read = look_back;
}

void route_predict(const struct call *call)
{
    struct wish wish = {0};
    struct err err;
    if (take_wish(&wish, call->request, &err) != 0) {
        answer_problem(call->answer, &err);
        return;
    }
    if ((wish.explain > 0 || wish.revision > 0) && call_offload(call, route_predict, OFFLOAD_SHORT))
        return;
    model_ask(call->routes->model);
    struct revision *revision = model_acquire(call->routes->model);
    enum offload_length length;
    const bool live = wish.revision == 0 || wish.revision == revision->learner->revision;
    if (!live)
        predict_then(call, &wish);
    else if (!answer_from(call, revision->learner, &wish, &length))
        (void)call_offload(call, route_predict, length);
    model_release(call->routes->model, revision);
}
