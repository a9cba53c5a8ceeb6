/* routes_predict.c - POST /predict: in the HTTP thread, on one published revision, with the thread's own workspace.
 *
 * This is the hot path: a raw body is not copied, and the answer is written straight into the connection's text.
 */
#include <stdlib.h>
#include <string.h>

#include "server/routes.h"

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

/* Ascending in "less probable", and by index where two are equal: so the order is one, whatever qsort does. */
static int by_probability(const void *a, const void *b, void *probabilities)
{
    const float *p = probabilities;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (p[i] != p[j])
        return p[i] > p[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* "label":..,"confidence":..,"probabilities":{..}: all classes in their order, or the `top` most probable, best first. */
static void add_prediction(struct text *text, const struct learner *learner, float *p, uint32_t *order, uint64_t top)
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
        for (uint32_t i = 0; i < n; i++)
            order[i] = i;
        qsort_r(order, n, sizeof *order, by_probability, p);
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

static void write_predictions(struct text *text, const struct learner *learner, const struct batch *batch,
                              struct scratch *scratch, uint64_t top)
{
    const struct net *net = &learner->net;
    size_t n_input = learner->shape.n_input;
    text_clear(text);
    text_add_string(text, batch->many ? "{\"predictions\":[" : "{");
    for (uint32_t i = 0; i < batch->n; i++) {
        if (i % NET_BATCH == 0)
            net_forward_batch(learner->arith, net, learner->settings.mean, batch->pixels + i * n_input,
                              batch->n - i < NET_BATCH ? batch->n - i : NET_BATCH, scratch->ws);
        if (batch->many)
            text_add_string(text, i == 0 ? "{" : ",{");
        if (batch->many && batch->files != NULL && batch->files[i][0] != '\0') {
            text_add_string(text, "\"file\":");
            text_add_quoted(text, batch->files[i], strlen(batch->files[i]));
            text_add(text, ",", 1);
        }
        add_prediction(text, learner, scratch->ws->batch_l2 + i % NET_BATCH * net->ld_2, scratch->order, top);
        if (batch->many)
            text_add(text, "}", 1);
    }
    if (batch->many)
        text_add(text, "]", 1);
    add_revision(text, learner);
}

void route_predict(const struct call *call)
{
    struct routes *routes = call->routes;
    struct request *request = call->request;
    struct batch batch = {0};
    struct err err;
    uint64_t top = 0;
    struct revision *revision = model_acquire(routes->model);
    const struct learner *learner = revision->learner;
    struct body_source source = {(const uint8_t *)request->body->bytes, request->body->n, request->content_type, NULL,
                                 NULL};
    struct body_rules rules = {learner, false, routes->image_pixels, routes->batch_images};
    struct scratch *scratch = NULL;
    int status = request_param_number(request, "top", 1, SHAPE_CLASSES_MAX, &top, &err);
    if (status == 0)
        status = body_decode(&batch, &source, &rules, &err);
    if (status == 0 && (scratch = scratch_get(routes, learner)) == NULL)
        status = err_set(&err, ERR_MEMORY, "no memory for a workspace");
    if (status != 0) {
        routes_problem(routes, call->answer, &err);
    } else {
        write_predictions(&call->answer->text, learner, &batch, scratch, top);
        answer_revision(call->answer, learner->revision);
        answer_text_done(call->answer, 200, ANSWER_JSON);
    }
    batch_fini(&batch);
    model_release(routes->model, revision);
}
