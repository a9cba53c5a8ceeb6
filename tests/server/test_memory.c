/* test_memory.c - memory runs out at the n-th allocation while the daemon starts, predicts and trains, for every n, once and for
 * good: the whole of it in this process, from the socket to the disk, libmicrohttpd, cJSON, SQLite and libspng included.
 *
 * What must hold: no crash; the client has a whole answer (503, where memory was what it wanted) or a closed connection; the
 * same request works when there is memory again, and a /train that is sent again with its Idempotency-Key has been trained
 * once. ALLOCATION_STEP: as in tests/store/test_memory.c.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/http/http.h"
#include "server/image/image.h"
#include "server/payload/oip.h"
#include "server/routes/feed.h"
#include "server/routes/routes.h"
#include "store/replay/edits.h"
#include "tests/oom.h"

#define SIDE    8u
#define N_INPUT (SIDE * SIDE)

static char folder[64], path[96];

struct service {
    struct store *store; /* until the trainer has it */
    struct learner *learner;
    struct trainer *trainer;
    struct events *events;
    struct routes *routes;
    struct http *http;
    int port;
};

static unsigned long next_allocation(unsigned long n)
{
    const char *wish = getenv("ALLOCATION_STEP");
    return n < 30 ? n + 1 : n + (wish != NULL ? strtoul(wish, NULL, 10) : 13);
}

/* ---- the service ---- */

static int listen_loopback(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, n) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return -1;
    *port = ntohs(address.sin_port);
    return fd;
}

static void service_stop(struct service *s)
{
    struct err err;
    if (s->routes != NULL)
        atomic_store(&s->routes->stopping, true);
    if (s->http != NULL)
        http_drain(s->http, 2000, NULL);
    if (s->trainer != NULL)
        (void)trainer_stop(s->trainer, &err);
    if (s->http != NULL)
        http_stop(s->http);
    routes_free(s->routes);
    trainer_free(s->trainer);
    events_free(s->events);
    learner_free(s->learner);
    store_close(s->store);
    *s = (struct service){0};
}

static struct auth *auth; /* without tokens: opened once, while there is memory */

/* As server/daemon/daemon.c starts it; nothing of libcheck in here, since it may be short of memory. */
static int service_start(struct service *s, struct err *err)
{
    struct store_recovery report;
    *s = (struct service){0};
    if (store_open(&s->store, path, false, err) != 0 ||
        store_recover(s->store, NULL, NULL, NULL, &s->learner, &report, err) != 0)
        return -1;
    struct trainer_config config = trainer_config_default();
    config.retry_ms = 1;
    if ((s->events = events_create(4, err)) == NULL)
        return -1;
    config.notify = events_notify;
    config.notify_context = s->events;
    s->trainer = trainer_create(s->store, s->learner, &config, err);
    if (s->trainer == NULL)
        return -1;
    s->store = NULL;
    s->learner = NULL;
    jobs_listen(trainer_jobs(s->trainer), events_job, s->events);
    s->routes = routes_create(s->trainer, auth, 1 << 16, 64, err);
    if (s->routes == NULL || (s->routes->prediction_cache = prediction_cache_create(100, 60, err)) == NULL)
        return -1;
    s->routes->events = s->events;
    int fd = listen_loopback(&s->port);
    struct http_config http = {
        .listen_fds = &fd,
        .n_listen_fds = 1,
        .threads = 1,
        .connections = 8,
        .idle_seconds = 20,
        .request_seconds = 20,
        .body_bytes = 1 << 20,
        .guard = {.loopback_only = true},
        .oip = oip_owns,
        .context = s->routes,
        .authorize = routes_authorize,
        .handle = routes_handle,
        .completed = routes_completed,
        .tick = routes_tick,
    };
    if (fd < 0 || http_start(&s->http, &http, err) != 0) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    atomic_store(&s->routes->http, s->http);
    return 0;
}

static void make_model(void)
{
    static const char labels[3][LABEL_BYTES_MAX + 1] = {"a", "b", "c"};
    struct err err;
    struct store *store = NULL;
    struct event create = {.kind = EVENT_CREATE, .revision = 1, .created_us = 1};
    create.as.create.shape = shape_default();
    create.as.create.shape.width = create.as.create.shape.height = SIDE;
    create.as.create.shape.kernels = 2;
    create.as.create.shape.kernel_width = create.as.create.shape.kernel_height = 3;
    create.as.create.shape.hidden = 5;
    create.as.create.settings = settings_default();
    create.as.create.settings.rehearsal_buffer = 10; /* of each class: 160 KiB */
    create.as.create.n_classes = 3;
    create.as.create.labels = labels;
    struct learner *learner = learner_create(&create, NULL, 0, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    ck_assert_msg(store_create(&store, path, &create, learner, &err) == 0, "%s", err.text);
    store_close(store);
    learner_free(learner);
}

/* ---- the client: no memory but the stack's ---- */

struct reply {
    size_t n;
    char bytes[16384];
};

enum { PATIENCE_MS = 20000 };

/* Sends all and reads to the end. Returns the status; 0: closed without an answer; -1: no socket, or nothing came in time. Less patience than
 * PATIENCE_MS is for what may never be answered, and begins when memory is refused: a slow machine is waited for. */
static int ask(struct reply *reply, int port, const char *request, size_t n_request, int patience_ms)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000};
    reply->n = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssize_t n = connect(fd, (struct sockaddr *)&address, sizeof address);
    for (size_t sent = 0; n >= 0 && sent < n_request; sent += (size_t)n)
        if ((n = send(fd, request + sent, n_request - sent, MSG_NOSIGNAL)) <= 0)
            break;
    int waits = 0;
    while ((n = recv(fd, reply->bytes + reply->n, sizeof reply->bytes - 1 - reply->n, 0)) > 0 ||
           (n < 0 && errno == EAGAIN && !oom_struck() && ++waits * patience_ms < PATIENCE_MS))
        reply->n += n > 0 ? (size_t)n : 0;
    bool late = n < 0 && errno == EAGAIN;
    (void)close(fd);
    reply->bytes[reply->n] = '\0';
    int status = 0;
    if (sscanf(reply->bytes, "HTTP/1.1 %d", &status) != 1)
        return late ? -1 : 0;
    return status;
}

/* Whether the answer is all there, by its own length, or by its last chunk. */
static bool is_whole(const struct reply *reply)
{
    const char *body = strstr(reply->bytes, "\r\n\r\n"), *length = strcasestr(reply->bytes, "\r\nContent-Length:");
    if (body != NULL && length == NULL && strcasestr(reply->bytes, "\r\nTransfer-Encoding: chunked\r\n") != NULL)
        return strcmp(reply->bytes + reply->n - 5, "0\r\n\r\n") == 0;
    return body != NULL && length != NULL &&
           strtoul(length + 17, NULL, 10) == reply->n - (size_t)(body + 4 - reply->bytes);
}

/* ---- requests ---- */

struct request_kind {
    const char *method, *target, *type;
    const char *body; /* text; NULL: raw pixels, or the PNG */
    bool png, keyed;
};

static const struct request_kind kinds[] = {
    {"POST", "/predict", "application/octet-stream", NULL, false, false},
    {"POST", "/predict?top=2", "image/png", NULL, true, false},
    {"POST", "/predict", "application/json", "{\"image\":{\"pixels\":[PIXELS]}}", false, false},
    {"POST", "/predict?explain=1&remember=1", "application/octet-stream", NULL, false, false},
    {"POST", "/train?label=a", "application/octet-stream", NULL, false, true},
    {"POST", "/train", "application/json", "{\"samples\":[{\"label\":\"\\u0062\",\"image\":{\"pixels\":[PIXELS]}}]}",
     false, true},
    {"PATCH", "/model", "application/json", "{\"rate\":0.02}", false, false},
    {"GET", "/model", NULL, "", false, false},
    {"GET", "/stats", NULL, "", false, false},
    {"POST", "/snapshots", "application/json", "{\"note\":\"x\"}", false, false},
    {"PATCH", "/snapshots/1", "application/json", "{\"note\":\"y\"}", false, false},
    {"GET", "/predictions", NULL, "", false, false},
    {"GET", "/events?seconds=0", NULL, "", false, false},
    {"GET", "/snapshots/1/diff/1", NULL, "", false, false},
    {"GET", "/samples", NULL, "", false, false},
    {"GET", "/snapshots", NULL, "", false, false},
    {"POST", "/snapshots/1/activate", NULL, "", false, false},
    {"GET", "/model.safetensors", NULL, "", false, false},
    {"GET", "/metrics", NULL, "", false, false},
    {"GET", "/readyz", NULL, "", false, false},
};
#define N_KINDS (sizeof kinds / sizeof *kinds)

static uint8_t *png;
static size_t n_png;

static size_t write_pixels(char *text, unsigned seed)
{
    size_t n = 0;
    for (unsigned i = 0; i < N_INPUT; i++)
        n += (size_t)snprintf(text + n, 8, "%s%u", i == 0 ? "" : ",", (i * 7 + seed) % 256);
    return n;
}

static size_t request_make(char *out, size_t size, const struct request_kind *kind, unsigned seed)
{
    static char body[4096];
    size_t n_body = 0;
    if (kind->body == NULL && kind->png) {
        memcpy(body, png, n_png);
        n_body = n_png;
    } else if (kind->body == NULL) {
        for (; n_body < N_INPUT; n_body++)
            body[n_body] = (char)((n_body * 5 + seed) % 256);
    } else {
        for (const char *at = kind->body; *at != '\0';)
            if (strncmp(at, "PIXELS", 6) == 0) {
                n_body += write_pixels(body + n_body, seed);
                at += 6;
            } else {
                body[n_body++] = *at++;
            }
    }
    int n = snprintf(out, size, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %zu\r\n",
                     kind->method, kind->target, n_body);
    if (kind->type != NULL)
        n += snprintf(out + n, size - (size_t)n, "Content-Type: %s\r\n", kind->type);
    if (kind->keyed)
        n += snprintf(out + n, size - (size_t)n, "Idempotency-Key: key-%u\r\n", seed);
    n += snprintf(out + n, size - (size_t)n, "\r\n");
    memcpy(out + n, body, n_body);
    return (size_t)n + n_body;
}

static uint64_t step_now(struct service *s)
{
    struct revision *revision = model_acquire(trainer_model(s->trainer));
    uint64_t step = revision->learner->step;
    model_release(trainer_model(s->trainer), revision);
    return step;
}

/* ---- the tests ---- */

static void setup(void)
{
    struct err err;
    uint8_t pixels[N_INPUT];
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(folder, sizeof folder, "%s/convd-memory-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/m.db", folder);
    for (unsigned i = 0; i < N_INPUT; i++)
        pixels[i] = (uint8_t)(i * 3);
    ck_assert_int_eq(image_encode_png(&png, &n_png, pixels, SIDE, SIDE, 1, &err), 0);
    ck_assert_msg(auth_open(&auth, NULL, NULL, &err) == 0, "%s", err.text);
    make_model();
}

static void remove_model(void)
{
    char name[120];
    const char *const ends[] = {"", "-wal", "-journal"};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

static void teardown(void)
{
    remove_model();
    (void)rmdir(folder);
    free(png);
    auth_close(auth);
}

START_TEST(every_answer_is_whole_or_none_and_the_next_is_right)
{
    const struct request_kind *kind = &kinds[_i / 2];
    const bool for_good = _i % 2 == 1;
    static char request[8192];
    static struct reply reply;
    struct service s;
    struct err err;
    unsigned long refused, n_refused = 0, n_without = 0, n_unavailable = 0;
    ck_assert_msg(service_start(&s, &err) == 0, "%s", err.text);
    unsigned seed = 1;
    /* Once for nothing: what is made at the first use is not what is looked at. */
    ck_assert_int_eq(ask(&reply, s.port, request, request_make(request, sizeof request, kind, seed), PATIENCE_MS) / 100,
                     2);
    for (unsigned long n = 1;; n = next_allocation(n)) {
        size_t n_request = request_make(request, sizeof request, kind, ++seed);
        uint64_t before = step_now(&s);
        oom_arm(n, for_good);
        int status = ask(&reply, s.port, request, n_request, for_good ? 15 : PATIENCE_MS);
        refused = oom_disarm();
        ck_assert_msg(for_good || status != -1, "%s, allocation %lu: no answer", kind->target, n);
        if (status > 0) {
            ck_assert_msg(is_whole(&reply), "%s, allocation %lu: cut: %s", kind->target, n, reply.bytes);
            ck_assert_msg(status / 100 == 2 || (refused > 0 && status == 503), "%s, allocation %lu: %.600s",
                          kind->target, n, reply.bytes);
            n_unavailable += status == 503;
        }
        n_without += status <= 0;
        n_refused += refused > 0;
        /* Also after a 2xx: what was put off, such as thinning snapshots, is done now, and does not pile up from turn to turn. */
        int again = ask(&reply, s.port, request, n_request, PATIENCE_MS);
        ck_assert_msg(again / 100 == 2, "%s, after allocation %lu: %d: %.600s", kind->target, n, again, reply.bytes);
        if (kind->keyed)
            ck_assert_msg(step_now(&s) == before + 1, "%s, allocation %lu: trained %llu times", kind->target, n,
                          (unsigned long long)(step_now(&s) - before));
        if (refused == 0)
            break;
    }
    (void)printf("memory: %s %s%s: %lu allocations refused: %lu answers 503, %lu closed or late\n", kind->method,
                 kind->target, for_good ? ", and all after it" : "", n_refused, n_unavailable, n_without);
    ck_assert_uint_eq(http_counts(s.http).suspended_now, 0);
    service_stop(&s);
    ck_assert_uint_gt(n_refused, 0);
    struct store *store = NULL;
    struct store_verdict verdict;
    ck_assert_msg(store_open(&store, path, true, &err) == 0, "%s", err.text);
    ck_assert_msg(store_verify(store, NULL, NULL, NULL, &verdict, &err) == 0, "%s", err.text);
    store_close(store);
}
END_TEST

/* Trains one more sample, and leaves behind that it was accepted to be forgotten, as a daemon that was killed then. */
static int64_t leave_an_edit(unsigned seed)
{
    struct err err;
    struct store *store = NULL;
    struct learner *learner = NULL;
    struct store_recovery report;
    struct edits edits = {0};
    uint8_t pixels[N_INPUT];
    struct sample sample = {.label = seed % 3, .pixels = pixels};
    struct event event = {.kind = EVENT_TRAIN, .as.train = {.n = 1, .samples = &sample}};
    for (unsigned i = 0; i < N_INPUT; i++)
        pixels[i] = (uint8_t)(i * 5 + seed);
    ck_assert_msg(store_open(&store, path, false, &err) == 0 &&
                      store_recover(store, NULL, NULL, NULL, &learner, &report, &err) == 0 &&
                      store_begin(store, &err) == 0,
                  "%s", err.text);
    store_next(store, &event);
    struct edit edit = {.id = sample.id, .label = EDIT_FORGET};
    ck_assert_msg(learner_apply(learner, &event, &err) == 0 && store_append(store, &event, &err) == 0 &&
                      store_commit(store, &err) == 0,
                  "%s", err.text);
    store_outcomes(store, &event);
    ck_assert_msg(edits_put(&edits, &edit, &err) == 0 && store_edits_check(store, learner, &edits, NULL, &err) == 0 &&
                      store_edits_keep(store, &edits, &err) == 0,
                  "%s", err.text);
    edits_fini(&edits);
    store_close(store);
    learner_free(learner);
    return sample.id;
}

/* The end of the rebuild that a start took up: false where it failed. */
static bool edits_are_made(struct service *s)
{
    struct job_status list[JOBS_KEPT];
    bool running = true, failed = false;
    while (running) {
        size_t n = jobs_list(trainer_jobs(s->trainer), list);
        running = false;
        for (size_t i = 0; i < n; i++) {
            running = running || list[i].state == JOB_STATE_RUNNING;
            failed = failed || list[i].state == JOB_STATE_FAILED;
        }
        (void)usleep(1000);
    }
    return !failed;
}

START_TEST(what_was_accepted_to_be_forgotten_is_forgotten_though_a_start_had_no_memory)
{
    struct service s;
    struct store *store = NULL;
    struct store_sample_row row;
    struct err err;
    unsigned long refused, n = 1, n_refused = 0, n_late = 0;
    do {
        int64_t id = leave_an_edit((unsigned)n);
        oom_arm(n, false);
        int status = service_start(&s, &err);
        const bool made = status != 0 || edits_are_made(&s); /* by another try, where the first had no memory */
        refused = oom_disarm();
        n_refused += refused > 0;
        n_late += status != 0;
        service_stop(&s);
        ck_assert_msg(made, "allocation %lu: the edit failed", n);
        ck_assert_msg(service_start(&s, &err) == 0, "%s", err.text);
        ck_assert(edits_are_made(&s));
        service_stop(&s);
        ck_assert_msg(store_open(&store, path, true, &err) == 0, "%s", err.text);
        int found = store_sample_row(store, id, &row, NULL, 0, &err);
        store_close(store);
        ck_assert_msg(found == -1 && err.code == ERR_GONE, "allocation %lu: sample %lld is still there", n,
                      (long long)id);
        n += n < 30 ? 1 : n < 300 ? 3 : 100; /* the start; what it has begun */
        remove_model();
        make_model();
    } while (refused > 0);
    (void)printf("memory: start with an edit to be made: %lu allocations refused, %lu starts of them\n", n_refused,
                 n_late);
    ck_assert_uint_gt(n_refused, 50);
}
END_TEST

static uint32_t n_classes(struct service *s)
{
    struct revision *revision = model_acquire(trainer_model(s->trainer));
    const uint32_t n = revision->learner->n_classes;
    model_release(trainer_model(s->trainer), revision);
    return n;
}

/* A class can be removed once, so each turn has a model of its own. */
START_TEST(a_class_is_removed_or_the_client_is_told_that_it_is_not)
{
    static const struct request_kind teach = {"POST", "/train?label=c", "application/octet-stream", NULL, false, true},
                                     kinds_of[] = {
                                         {"PATCH", "/classes", "application/json", "{\"delete\":\"c\"}", false, false},
                                         {"PATCH", "/classes", "application/json", "{\"from\":\"c\",\"into\":\"a\"}",
                                          false, false},
                                     };
    const struct request_kind *kind = &kinds_of[_i / 2];
    const bool for_good = _i % 2 == 1;
    static char request[8192], teaching[8192];
    static struct reply reply;
    struct service s;
    struct err err;
    unsigned long refused, n = 1, n_refused = 0, n_failed = 0;
    do {
        ck_assert_msg(service_start(&s, &err) == 0, "%s", err.text);
        const size_t n_teaching = request_make(teaching, sizeof teaching, &teach, (unsigned)n);
        const size_t n_request = request_make(request, sizeof request, kind, (unsigned)n);
        ck_assert_int_eq(ask(&reply, s.port, teaching, n_teaching, PATIENCE_MS), 200);
        oom_arm(n, for_good);
        const int status = ask(&reply, s.port, request, n_request, for_good ? 15 : PATIENCE_MS);
        if (for_good) /* what takes over waits for memory */
            refused = oom_disarm();
        const bool made = edits_are_made(&s);
        if (!for_good)
            refused = oom_disarm();
        n_refused += refused > 0;
        ck_assert_msg(for_good || status != -1, "allocation %lu: no answer", n);
        ck_assert_msg(status <= 0 || is_whole(&reply), "allocation %lu: cut: %s", n, reply.bytes);
        ck_assert_msg(status <= 0 || status == 202 || (status == 503 && refused > 0), "allocation %lu: %.600s", n,
                      reply.bytes);
        /* 503: only the answer may have been what there was no memory for. */
        ck_assert_msg(status != 202 || (made && n_classes(&s) == 2), "allocation %lu: made %d, and %u classes", n, made,
                      n_classes(&s));
        n_failed += n_classes(&s) == 3;
        while (n_classes(&s) == 3) { /* once more; 409: it was accepted, only the answer was not given */
            const int again = ask(&reply, s.port, request, n_request, PATIENCE_MS);
            ck_assert_msg(again == 202 || (status != 202 && again == 409), "after allocation %lu: %d: %.600s", n, again,
                          reply.bytes);
            (void)edits_are_made(&s);
        }
        service_stop(&s);
        struct store *store = NULL;
        ck_assert_msg(store_open(&store, path, true, &err) == 0 &&
                          store_verify(store, NULL, NULL, NULL, NULL, &err) == 0,
                      "allocation %lu: %s", n, err.text);
        store_close(store);
        remove_model();
        make_model();
        for (int i = 0; i < (n < 12 ? 1 : 3); i++) /* each turn is a whole life */
            n = next_allocation(n);
    } while (refused > 0);
    (void)printf("memory: PATCH /classes%s: %lu allocations refused, %lu times told and asked again\n",
                 for_good ? ", and all after it" : "", n_refused, n_failed);
    ck_assert_uint_gt(n_refused, 15);
}
END_TEST

START_TEST(a_start_succeeds_or_says_that_memory_is_wanting)
{
    static char request[8192];
    static struct reply reply;
    struct service s;
    struct err err;
    unsigned long refused, n = 1, n_refused = 0;
    do {
        oom_arm(n, _i == 1);
        int status = service_start(&s, &err);
        refused = oom_disarm();
        n_refused += refused > 0;
        if (status != 0) {
            ck_assert_uint_gt(refused, 0);
            ck_assert_msg(err.code == ERR_MEMORY || err.code == ERR_NETWORK, "allocation %lu: %s: %s", n,
                          err_code_name(err.code), err.text);
        } else {
            int answer = ask(&reply, s.port, request, request_make(request, sizeof request, &kinds[0], 1), PATIENCE_MS);
            ck_assert_msg(answer == 200, "allocation %lu: %d: %.600s", n, answer, reply.bytes);
        }
        service_stop(&s);
        n = next_allocation(n);
    } while (refused > 0);
    (void)printf("memory: start%s: %lu allocations refused\n", _i == 1 ? ", and all after it" : "", n_refused);
    ck_assert_uint_gt(n, 1000); /* so far it came */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *t = tcase_create("memory");
    tcase_set_timeout(t, 900);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, every_answer_is_whole_or_none_and_the_next_is_right, 0, 2 * (int)N_KINDS);
    tcase_add_loop_test(t, a_start_succeeds_or_says_that_memory_is_wanting, 0, 2);
    tcase_add_loop_test(t, a_class_is_removed_or_the_client_is_told_that_it_is_not, 0, 3);
    tcase_add_test(t, what_was_accepted_to_be_forgotten_is_forgotten_though_a_start_had_no_memory);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
