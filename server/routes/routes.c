/* routes.c - see routes/routes.h */
#include "server/routes/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/logger.h"
#include "server/routes/feed.h"
#include "server/routes/handlers.h"

#define PARAMS_MAX 9

/* What a request needs to be allowed. A row without a word gets the strictest of them. */
enum need {
    NEED_BY_METHOD, /* reading for GET, HEAD and OPTIONS; writing for all else */
    NEED_READ,      /* reading: POST only computes                            */
    NEED_WRITE,     /* writing, for GET as well: it hands out every image     */
    NEED_NOTHING,   /* open to all: holds nothing of the model                */
};

struct route {
    const char *path; /* "{id}" stands for a decimal number, "{name}" for anything but a slash */
    void (*get)(const struct call *call);
    void (*post)(const struct call *call);
    void (*patch)(const struct call *call);
    void (*delete_)(const struct call *call);
    enum need need;
    bool images;                        /* come in its body: it looks itself at what they cost */
    const char *params[PARAMS_MAX];     /* of the query, for all methods but GET; ended by NULL */
    const char *get_params[PARAMS_MAX]; /* for GET                                              */
};

/* The first stands for what is none of ours, in the metrics. */
static const struct route routes_table[] = {
    {.path = "other"},
    {.path = "/predict",
     .post = route_predict,
     .need = NEED_READ,
     .images = true,
     .params = {"top", "explain", "remember", "revision", "known", "unknown"}},
    {.path = "/train", .post = route_train, .images = true, .params = {"label", "labels", "flat"}},
    {.path = "/model", .get = route_model_get, .patch = route_model_patch},
    {.path = "/model.safetensors", .get = route_model_safetensors},
    {.path = "/model.onnx", .get = route_model_onnx},
    {.path = "/model.npz", .get = route_model_npz},
    {.path = "/model/kernels.png", .get = route_model_kernels},
    {.path = "/classes",
     .get = route_classes_get,
     .post = route_classes_post,
     .patch = route_classes_patch,
     .params = {"drop_pinned"}},
    {.path = "/stats", .get = route_stats},
    {.path = "/stats/history", .get = route_history, .get_params = {"points"}},
    {.path = "/snapshots", .get = route_snapshots_get, .post = route_snapshots_post},
    {.path = "/snapshots/{id}",
     .get = route_snapshot_get,
     .patch = route_snapshot_patch,
     .delete_ = route_snapshot_delete},
    {.path = "/snapshots/{id}/model.safetensors", .get = route_snapshot_safetensors},
    {.path = "/snapshots/{id}/activate", .post = route_snapshot_activate},
    {.path = "/snapshots/{id}/diff/{other}", .get = route_snapshot_diff, .get_params = {"samples"}},
    {.path = "/events", .get = route_events, .get_params = {"seconds"}},
    {.path = "/backup", .get = route_backup, .need = NEED_WRITE},
    {.path = "/predictions", .get = route_predictions_get, .get_params = {"order", "limit"}},
    {.path = "/predictions/{id}", .get = route_prediction_get, .delete_ = route_prediction_delete},
    {.path = "/predictions/{id}/image", .get = route_prediction_image, .get_params = {"scale"}},
    {.path = "/predictions/{id}/label", .post = route_prediction_label, .params = {"flat"}},
    {.path = "/samples",
     .get = route_samples_get,
     .patch = route_samples_patch,
     .delete_ = route_samples_delete,
     .params = {"drop_pinned"},
     .get_params = {"label", "predicted", "wrong", "from", "to", "limit", "cursor"}},
    {.path = "/samples.tar", .get = route_samples_tar},
    {.path = "/samples/{id}",
     .get = route_sample_get,
     .patch = route_sample_patch,
     .delete_ = route_sample_delete,
     .params = {"drop_pinned"}},
    {.path = "/samples/{id}/image", .get = route_sample_image, .get_params = {"scale"}},
    {.path = "/rehearse", .post = route_rehearse},
    {.path = "/jobs", .get = route_jobs_get},
    {.path = "/jobs/{id}", .get = route_job_get, .delete_ = route_job_delete},
    {.path = "/cluster", .get = route_cluster},
    {.path = "/healthz", .get = route_healthz, .need = NEED_NOTHING},
    {.path = "/readyz", .get = route_readyz, .need = NEED_NOTHING},
    {.path = "/metrics", .get = route_metrics},
    {.path = "/openapi.json", .get = route_openapi, .need = NEED_NOTHING},
    {.path = "/v2", .get = route_v2},
    {.path = "/v2/", .get = route_v2},
    {.path = "/v2/health/live", .get = route_v2_live, .need = NEED_NOTHING},
    {.path = "/v2/health/ready", .get = route_v2_ready, .need = NEED_NOTHING},
    {.path = "/v2/models/stats", .get = route_v2_stats},
    {.path = "/v2/models/{name}", .get = route_v2_model},
    {.path = "/v2/models/{name}/ready", .get = route_v2_model_ready},
    {.path = "/v2/models/{name}/config", .get = route_v2_config},
    {.path = "/v2/models/{name}/stats", .get = route_v2_stats},
    {.path = "/v2/models/{name}/infer", .post = route_v2_infer, .need = NEED_READ, .images = true},
    {.path = "/v2/models/{name}/versions/{id}", .get = route_v2_model},
    {.path = "/v2/models/{name}/versions/{id}/ready", .get = route_v2_model_ready},
    {.path = "/v2/models/{name}/versions/{id}/config", .get = route_v2_config},
    {.path = "/v2/models/{name}/versions/{id}/stats", .get = route_v2_stats},
    {.path = "/v2/models/{name}/versions/{id}/infer", .post = route_v2_infer, .need = NEED_READ, .images = true},
    {.path = "/v2/repository/index", .post = route_v2_index, .need = NEED_READ},
    {.path = "/", .get = route_index, .need = NEED_NOTHING},
    {.path = "/web/{name}", .get = route_web, .need = NEED_NOTHING},
};
#define N_ROUTES ((unsigned)(sizeof routes_table / sizeof routes_table[0]))

static const char *route_names[N_ROUTES];

/* ---- finding the route ---- */

/* ids: what the numbers of the path are, at most two */
static bool path_matches(const char *pattern, const char *path, int64_t *ids)
{
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        if (pattern[1] == 'n') {
            size_t n = strcspn(path, "/");
            if (n == 0)
                return false;
            path += n;
            pattern = strchr(pattern, '}') + 1;
            continue;
        }
        int64_t number = 0;
        size_t digits = 0;
        for (; path[digits] >= '0' && path[digits] <= '9' && digits < 18; digits++)
            number = number * 10 + (path[digits] - '0');
        if (digits == 0 || (digits > 1 && path[0] == '0'))
            return false;
        *ids++ = number;
        path += digits;
        pattern = strchr(pattern, '}') + 1;
    }
    return *path == '\0';
}

static void list_methods(char *text, size_t size, const struct route *route)
{
    (void)snprintf(text, size, "%s%s%s%sOPTIONS", route->get != NULL ? "GET, HEAD, " : "",
                   route->post != NULL ? "POST, " : "", route->patch != NULL ? "PATCH, " : "",
                   route->delete_ != NULL ? "DELETE, " : "");
}

/* The route of a path, 0 where there is none; ids: what its {id} and the number after it stand for. */
static unsigned route_find(const char *path, int64_t ids[2])
{
    unsigned r = 1;
    while (r < N_ROUTES && !path_matches(routes_table[r].path, path, ids))
        r++;
    return r < N_ROUTES ? r : 0;
}

int routes_authorize(void *context, struct request *request, struct response *response)
{
    struct routes *routes = context;
    int64_t ids[2] = {0};
    if (!auth_on(routes->auth)) {
        request->granted = ACCESS_WRITE;
        return 0;
    }
    bool looks = request->method == METHOD_GET || request->method == METHOD_HEAD || request->method == METHOD_OPTIONS;
    unsigned r = route_find(request->path, ids);
    request->route = r; /* for the metrics: a refusal is counted where it belongs */
    const enum need need = routes_table[r].need;
    enum access needed = need == NEED_READ || (looks && need != NEED_WRITE) ? ACCESS_READ : ACCESS_WRITE;
    return auth_check(routes->auth, need == NEED_NOTHING && looks ? ACCESS_NONE : needed, request, response);
}

/* What is left to do when the body is as it was before any coding. */
static void handle(const struct call *call)
{
    const size_t n = call->request->body->n;
    if (!routes_table[call->request->route].images && n > BODY_LIGHT_TREE &&
        call_offload(call, call->handler, n > BODY_LIGHT_BYTES ? OFFLOAD_LONG : OFFLOAD_SHORT))
        return;
    call->handler(call);
}

/* A small file may be a large body: what is more than a little, a thread of the pool decodes. */
static void decode(const struct call *call)
{
    const bool light = call->cancel == NULL && call->routes->offload != NULL;
    struct err err;
    const int status = http_decode(call->request, light ? BODY_LIGHT_BYTES : UINT64_MAX, call->cancel, &err);
    if (status < 0)
        routes_problem(call->routes, call->response, &err);
    else if (status > 0)
        (void)call_offload(call, decode, OFFLOAD_LONG);
    else
        handle(call);
}

static void go_on(const struct call *call)
{
    if (call->request->coding != CODING_NONE)
        decode(call);
    else
        handle(call);
}

static int take_min_revision(struct request *request, struct err *err)
{
    const char *given = request->given_min_revision;
    char *end = NULL;
    request->min_revision = 0;
    if (given == NULL)
        return 0;
    const size_t digits = strspn(given, "0123456789");
    if (digits > 0 && digits <= 16)
        request->min_revision = strtoull(given, &end, 10);
    if (end != NULL && *end == '\0')
        return 0;
    return err_set(err, ERR_VALUE, "Convd-Min-Revision is \"%.40s\", and must be a revision: a whole number", given);
}

void routes_handle(void *context, struct request *request, struct response *response, struct http_pending **pending)
{
    struct routes *routes = context;
    struct call call = {.routes = routes, .request = request, .response = response, .pending = pending};
    struct err err;
    int64_t ids[2] = {0};
    unsigned r = route_find(request->path, ids);
    call.id = ids[0];
    call.other = ids[1];
    if (r == 0) {
        response_error(response, ERR_NOT_FOUND, "there is no route %.80s; GET / lists the routes", request->path);
        return;
    }
    request->route = r;
    const struct route *route = &routes_table[r];
    void (*handler)(const struct call *) = NULL;
    switch (request->method) {
    case METHOD_GET:
    case METHOD_HEAD: /* libmicrohttpd leaves the body out */
        handler = route->get;
        break;
    case METHOD_POST:
        handler = route->post;
        break;
    case METHOD_PATCH:
        handler = route->patch;
        break;
    case METHOD_DELETE:
        handler = route->delete_;
        break;
    case METHOD_OPTIONS:
        response->status = 204;
        list_methods(response->allow, sizeof response->allow, route);
        return;
    case METHOD_OTHER:
        break;
    }
    if (handler == NULL) {
        list_methods(response->allow, sizeof response->allow, route);
        response_error(response, ERR_METHOD, "%s allows %s", request->path, response->allow);
        return;
    }
    const bool looks = request->method == METHOD_GET || request->method == METHOD_HEAD;
    if (request_params_check(request, looks ? route->get_params : route->params, &err) != 0) {
        response_problem(response, &err);
        return;
    }
    call.handler = handler;
    if (take_min_revision(request, &err) != 0) {
        response_problem(response, &err);
        return;
    }
    if (!call_await(&call, go_on))
        go_on(&call);
}

void routes_tick(void *context, int64_t now)
{
    struct routes *routes = context;
    events_tick(routes->events, now);
    prediction_cache_expire(routes->prediction_cache);
    await_tick(routes, now);
}

void routes_completed(void *context, const struct request *request, unsigned status, uint64_t nanoseconds)
{
    struct routes *routes = context;
    metrics_request(routes->metrics, request->route, request->method, status, nanoseconds);
    if (logger_takes(LOG_LINE_DEBUG)) /* without the query: labels are in it */
        logger_line(LOG_LINE_DEBUG, "request %s: %s %s%s%.64s: %u in %llu us", request->id,
                    method_name(request->method), request->path[0] != '\0' ? request->path : "-",
                    request->client != NULL ? " for " : "", request->client != NULL ? request->client : "", status,
                    (unsigned long long)(nanoseconds / 1000));
}

/* ---- from start to stop ---- */

struct routes *routes_create(struct trainer *trainer, struct auth *auth, uint64_t image_pixels, uint32_t batch_images,
                             struct err *err)
{
    struct routes *routes = calloc(1, sizeof *routes);
    for (unsigned r = 0; r < N_ROUTES; r++)
        route_names[r] = routes_table[r].path;
    if (routes != NULL) {
        routes->metrics = metrics_create(route_names, N_ROUTES);
        routes->v2 = v2_create();
    }
    if (routes == NULL || routes->metrics == NULL || routes->v2 == NULL ||
        pthread_key_create(&routes->scratch, scratch_free) != 0) {
        err_memory(err, "the routes");
        if (routes != NULL) {
            metrics_free(routes->metrics);
            v2_free(routes->v2);
        }
        free(routes);
        return NULL;
    }
    (void)pthread_mutex_init(&routes->copies.lock, NULL);
    (void)pthread_mutex_init(&routes->sheet.lock, NULL);
    (void)pthread_mutex_init(&routes->awaits.lock, NULL);
    routes->trainer = trainer;
    routes->auth = auth;
    routes->model = trainer_model(trainer);
    model_watch(routes->model, routes_published, routes);
    routes->image_pixels = image_pixels;
    routes->request_pixels = 4 * image_pixels;
    routes->batch_images = batch_images;
    routes->started_us = store_now_us();
    return routes;
}

void routes_free(struct routes *routes)
{
    if (routes == NULL)
        return;
    (void)pthread_key_delete(routes->scratch);
    (void)pthread_mutex_destroy(&routes->copies.lock);
    (void)pthread_mutex_destroy(&routes->sheet.lock);
    (void)pthread_mutex_destroy(&routes->awaits.lock);
    free(routes->sheet.png);
    metrics_free(routes->metrics);
    v2_free(routes->v2);
    prediction_cache_free(routes->prediction_cache);
    free(routes);
}
