/* fuzz_routes.c - whole requests, from the target to the answer, through every route and the trainer; without a socket. First line:
 * method and target; second: content type, Prefer and Idempotency-Key (or Last-Event-ID), with '|' between them; the rest is the body.
 *
 * What must hold: a client's fault is no 5xx, every answer has a status that is one, and a body of JSON is JSON. The model lives on from
 * one input to the next, for as many as LIFE, so that what an input meets is not always the same. */
#include <semaphore.h>
#include <unistd.h>

#include "server/routes/feed.h"
#include "server/routes/handlers.h"
#include "tests/fuzz/fuzz.h"

#define LIFE 500 /* requests, and then a new model: its log, classes and snapshots would grow for ever */

static struct routes *routes;
static struct trainer *trainer;
static struct events *events;
static struct auth *open_to_all;
static char folder[64], path[80];

static void stop(void)
{
    char name[96];
    const char *const ends[] = {"", "-wal", "-journal"};
    struct err err;
    if (routes == NULL)
        return;
    must(trainer_stop(trainer, &err) == 0);
    scratch_free(pthread_getspecific(routes->scratch)); /* this thread's own: it does not end */
    routes_free(routes);
    trainer_free(trainer);
    events_free(events);
    routes = NULL;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
    (void)rmdir(folder);
}

static void start(void)
{
    struct err err;
    struct store *store = NULL;
    struct event create = small_origin(1);
    struct learner *learner = small_learner(1);
    struct trainer_config config = trainer_config_default();
    if (open_to_all == NULL) {
        must(auth_open(&open_to_all, NULL, NULL, &err) == 0);
        (void)atexit(stop);
    }
    make_folder(folder, sizeof folder);
    (void)snprintf(path, sizeof path, "%s/m.db", folder);
    must(store_create(&store, path, &create, learner, &err) == 0);
    config.snapshot_samples = 40;
    config.keep_snapshots = 2;
    events = events_create(4, &err);
    must(events != NULL);
    config.notify = events_notify;
    config.notify_context = events;
    trainer = trainer_create(store, learner, &config, &err);
    must(trainer != NULL);
    jobs_listen(trainer_jobs(trainer), events_job, events);
    routes = routes_create(trainer, open_to_all, 1 << 16, 16, &err);
    must(routes != NULL);
    routes->events = events;
    routes->prediction_cache = prediction_cache_create(20, 3600, &err);
    must(routes->prediction_cache != NULL);
}

/* ---- what http/pending.c does with a request that waits ---- */

static sem_t done;

static void post_done(struct http_pending *pending)
{
    (void)pending;
    (void)sem_post(&done);
}

static void wait_for(struct http_pending *pending, struct response *response)
{
    void (*release)(struct http_pending *) = pending->free;
    must(sem_init(&done, 0, 0) == 0);
    pending->free = post_done;
    atomic_store(&pending->state, -1); /* nobody sleeps: done() leads to free() at once */
    pending->start(pending);
    while (sem_wait(&done) != 0)
        ;
    pending->finish(pending, response);
    release(pending);
    (void)sem_destroy(&done);
}

static void read_some(struct http_stream *stream)
{
    char piece[200];
    for (int i = 0; i < 50; i++) {
        long n = stream->read(stream, piece, sizeof piece);
        must(n >= HTTP_STREAM_BROKEN && n <= (long)sizeof piece);
        if (n <= 0)
            break;
    }
}

static void look_at(const struct response *response)
{
    struct err err;
    if (response->stream != NULL)
        read_some(response->stream);
    must(response->status >= 200 && response->status < 500);
    must(response->blob != NULL || response->n_blob == 0);
    if (response->blob == NULL && response->text.n > 0 && response->type != NULL &&
        strstr(response->type, "json") != NULL) {
        size_t n = response->n_json > 0 ? response->n_json : response->text.n;
        struct json *root = json_parse(response->text.bytes, n, &err);
        must(root != NULL);
        if (response->status >= 400) {
            must(json_number(json_get(root, "status")) == response->status);
            must(json_string(json_get(root, "detail")) != NULL);
        }
        json_free(root);
    }
}

/* Ids of remembered predictions are times, which nobody can guess: 1 stands for the newest. */
static void name_prediction(struct request *request)
{
    static const char one[] = "/predictions/1";
    struct cached_prediction newest;
    struct err err;
    size_t all;
    char renamed[sizeof request->path];
    struct revision *revision = model_acquire(routes->model);
    const uint64_t columns = revision->columns;
    model_release(routes->model, revision);
    if (strncmp(request->path, one, sizeof one - 1) != 0 ||
        prediction_cache_list(routes->prediction_cache, columns, PREDICTION_CACHE_NEWEST, &newest, 1, &all, &err) != 1)
        return;
    int n =
        snprintf(renamed, sizeof renamed, "/predictions/%lld%s", (long long)newest.id, request->path + sizeof one - 1);
    if (n > 0 && (size_t)n < sizeof renamed)
        memcpy(request->path, renamed, (size_t)n + 1);
}

/* The text up to `end`, terminated there; *at moves behind it. */
static char *cut(char **at, const char *end)
{
    char *word = *at, *stop_at = word + strcspn(word, end);
    *at = *stop_at != '\0' ? stop_at + 1 : stop_at;
    *stop_at = '\0';
    return *word != '\0' ? word : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static unsigned n_asked;
    char *all = exact_text(bytes, n_bytes), *at = all;
    char *method = cut(&at, " "), *target = cut(&at, "\n");
    struct request request = {.content_type = cut(&at, "|\n"), .granted = ACCESS_WRITE};
    if (at > all && at[-1] == '\0' && request.content_type != NULL) {
        request.prefer = cut(&at, "|\n");
        request.idempotency_key = request.last_event_id = cut(&at, "\n");
    }
    struct text body = {0};
    struct response response = {0};
    struct http_pending *pending = NULL;
    struct err err;
    if (method == NULL || target == NULL || request_target(&request, target, &err) != 0)
        goto out;
    if (routes == NULL)
        start();
    text_add(&body, at, n_bytes - (size_t)(at - all));
    name_prediction(&request);
    request.method = method_parse(method);
    request.body = &body;
    response_reset(&response);
    routes_handle(routes, &request, &response, &pending);
    if (pending != NULL)
        wait_for(pending, &response);
    look_at(&response);
    routes_completed(routes, &request, response.status, 1);
    if (++n_asked % LIFE == 0)
        stop();
out:
    response_free(&response);
    text_free(&body);
    free(all);
    return 0;
}
