/* http.c - see http.h
 *
 * One struct http_connection lives as long as its socket and serves one request after the other:
 *
 *   on_uri        the request line is there: the clock of this request starts
 *   on_request    1st call, headers are there: framing and guard are checked; a bad one is refused here and now
 *                 next calls: pieces of the body
 *                 last call: the body is whole: handle(). Either the answer is queued, or the connection is suspended and
 *                 the pending started; on_request is then called once more after http_pending_done()
 *   on_completed  the last byte of the answer is out, or the client is gone: ready for the next request
 *
 * Only two things of a connection are touched by other threads: `pending`, under http->lock, and the two atomics that the
 * reaper reads. A suspended connection cannot be closed by libmicrohttpd, so `mhd` is valid whenever `pending` is set.
 */
#include "server/http.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/acceptor.h"
#include "server/affinity.h"
#include "server/clock.h"
#include "server/http_body.h"
#include "server/http_headers.h"
#include "server/log.h"
#include "server/oip.h"
#include "server/problem.h"
#include "server/request_id.h"
#include "server/tls.h"

/* Of libmicrohttpd, for headers and pieces of bodies. It clears all of it after each request: 6 % of /predict at 32 KiB. */
#define CONNECTION_MEMORY_BYTES 20480u
#define EXTRA_CONNECTIONS       96u /* our own (watchdog), and those that are being closed          */
#define MAKE_ROOM_CONNECTIONS   16u /* closed at a time for newer ones                              */
#define MAKE_ROOM_IDLE_MS       2000
#define STREAM_BLOCK_BYTES      4096u
#define STREAM_LARGE_BYTES      65536u

/* Everything of the page comes from here; nothing in it is written in line; nothing turns text into code or markup. */
#define PAGE_POLICY                                                                                                    \
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "             \
    "require-trusted-types-for 'script'; trusted-types 'none'"

enum phase { PHASE_IDLE, PHASE_LINE, PHASE_BODY, PHASE_PENDING, PHASE_ANSWERED };
enum pending_state { PENDING_WAITS, PENDING_DONE, PENDING_ABANDONED };
enum stream_state { STREAM_AWAKE, STREAM_ASLEEP, STREAM_WOKEN };

/* A response of libmicrohttpd is a dozen small allocations. The last one of a connection serves again for an answer with the same
 * headers, in the same place and of the same length, whatever its bytes are: they are read when they are sent. */
struct kept {
    struct MHD_Response *response; /* NULL: none */
    const char *bytes, *type;
    size_t n;
    enum answer_cache cache;
    char etag[sizeof((struct answer *)NULL)->etag];
};

struct http_connection {
    struct http *http;
    struct MHD_Connection *mhd;
    int fd;
    bool local;                              /* over a UNIX socket */
    struct http_connection *previous, *next; /* http->lock */
    _Atomic int64_t since_ms;                /* of this request, or of the end of the last one */
    atomic_bool busy;
    bool leaves; /* http->lock: make_room() has shut it down */
    enum phase phase;
    uint64_t started_ns;
    struct text target;
    const char *line_target; /* libmicrohttpd's, of which target is a copy */
    struct http_body body;
    char id[REQUEST_ID_BYTES_MAX + 1];
    bool id_given; /* by the client */
    struct request request;
    struct answer answer;
    struct kept kept;
    struct http_pending *pending; /* http->lock */
    struct http_stream *stream;   /* http->lock: that is being sent */
};

struct http {
    struct http_config config;
    struct MHD_Daemon *daemon; /* of TCP connections; of all of them without TLS */
    struct MHD_Daemon *local;  /* of UNIX sockets, where the other speaks TLS; else NULL */
    struct acceptor *acceptor;
    struct affinity affinity;
    pthread_mutex_t lock;
    struct http_connection *connections;
    atomic_bool draining;
    struct http_bodies bodies;
    struct request_ids ids;
    atomic_uint_fast64_t n_now, n_total, n_refused, n_reaped, n_displaced, n_suspended, n_asleep;
};

/* ---- answers ---- */

static bool add(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* tells_id: the answer says which request it is of. */
static bool add_headers(struct MHD_Response *response, const struct answer *answer, bool tells_id)
{
    char number[24];
    bool ok = add(response, "Cache-Control", answer->cache == CACHE_REVALIDATE ? "no-cache" : "no-store");
    if (answer->status != 204 && answer->status != 304)
        ok = ok && add(response, "Content-Type", answer->type) && add(response, "X-Content-Type-Options", "nosniff");
    if (tells_id)
        ok = ok && add(response, "X-Request-Id", answer->request_id);
    if (answer->etag[0] != '\0')
        ok = ok && add(response, "ETag", answer->etag);
    if (answer->location[0] != '\0')
        ok = ok && add(response, "Location", answer->location);
    if (answer->allow[0] != '\0')
        ok = ok && add(response, "Allow", answer->allow);
    if (answer->challenge != NULL)
        ok = ok && add(response, "WWW-Authenticate", answer->challenge);
    if (answer->disposition != NULL)
        ok = ok && add(response, "Content-Disposition", answer->disposition);
    if (answer->encoding != NULL)
        ok = ok && add(response, "Content-Encoding", answer->encoding);
    if (answer->vary != NULL)
        ok = ok && add(response, "Vary", answer->vary);
    if (answer->page)
        ok = ok && add(response, "Content-Security-Policy", PAGE_POLICY) &&
             add(response, "Referrer-Policy", "no-referrer") &&
             add(response, "Cross-Origin-Opener-Policy", "same-origin");
    if (answer->retry_after != 0) {
        (void)snprintf(number, sizeof number, "%u", answer->retry_after);
        ok = ok && add(response, "Retry-After", number);
    }
    if (answer->n_json != 0) {
        (void)snprintf(number, sizeof number, "%zu", answer->n_json);
        ok = ok && add(response, "Inference-Header-Content-Length", number);
    }
    if (answer->close)
        ok = ok && add(response, "Connection", "close");
    return ok;
}

/* Whether it has no headers but those that struct kept remembers. */
static bool is_common(const struct answer *answer)
{
    return answer->status == 200 && answer->blob == NULL && answer->fixed == NULL && answer->vary == NULL &&
           answer->stream == NULL && answer->location[0] == '\0' && answer->allow[0] == '\0' &&
           answer->disposition == NULL && answer->retry_after == 0 && answer->n_json == 0 && !answer->close;
}

static bool serves_again(const struct kept *kept, const struct answer *answer)
{
    return kept->response != NULL && kept->n == answer->text.n && kept->bytes == answer->text.bytes &&
           kept->type == answer->type && kept->cache == answer->cache && strcmp(kept->etag, answer->etag) == 0;
}

/* Takes the response over. */
static void keep(struct kept *kept, struct MHD_Response *response, const struct answer *answer)
{
    if (kept->response != NULL)
        MHD_destroy_response(kept->response);
    *kept = (struct kept){response, answer->text.bytes, answer->type, answer->text.n, answer->cache, ""};
    memcpy(kept->etag, answer->etag, sizeof kept->etag);
}

/* ---- streams ---- */

/* Between the first look for bytes and the sleep a wake may come: then the sleep ends at once. */
static ssize_t stream_read(void *context, uint64_t position, char *bytes, size_t room)
{
    struct http_stream *stream = context;
    struct http_connection *connection = stream->connection;
    struct http *http = connection->http;
    (void)position;
    if (stream->slept)
        atomic_fetch_sub(&http->n_asleep, 1);
    stream->slept = false;
    atomic_store(&stream->state, STREAM_AWAKE);
    atomic_store_explicit(&connection->since_ms, now_ms(), memory_order_relaxed);
    if (stream->endless && atomic_load_explicit(&http->draining, memory_order_relaxed))
        return MHD_CONTENT_READER_END_OF_STREAM;
    const long n = stream->read(stream, bytes, room);
    if (n != 0)
        return n > 0                  ? (ssize_t)n
               : n == HTTP_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM
                                      : MHD_CONTENT_READER_END_WITH_ERROR;
    stream->slept = true;
    atomic_fetch_add(&http->n_asleep, 1);
    MHD_suspend_connection(connection->mhd);
    int awake = STREAM_AWAKE;
    if (!atomic_compare_exchange_strong(&stream->state, &awake, STREAM_ASLEEP))
        MHD_resume_connection(connection->mhd);
    return 0;
}

/* The connection of one that is asleep is suspended, and so cannot go away. */
void http_stream_wake(struct http_stream *stream)
{
    if (atomic_exchange(&stream->state, STREAM_WOKEN) == STREAM_ASLEEP)
        MHD_resume_connection(stream->connection->mhd);
}

/* The answer has been sent, or cannot be. */
static void stream_end(struct http_stream *stream)
{
    struct http *http = stream->connection->http;
    pthread_mutex_lock(&http->lock);
    stream->connection->stream = NULL;
    pthread_mutex_unlock(&http->lock);
    stream->connection = NULL;
    if (stream->slept) /* it was woken, but the client had gone meanwhile */
        atomic_fetch_sub(&http->n_asleep, 1);
    stream->slept = false;
}

/* libmicrohttpd does this before on_completed() where the client has gone, and after it where the answer is whole. */
static void stream_free(void *context)
{
    struct http_stream *stream = context;
    if (stream->connection != NULL)
        stream_end(stream);
    stream->free(stream);
}

static struct MHD_Response *stream_response(struct http_connection *connection)
{
    struct http_stream *stream = connection->answer.stream;
    atomic_store(&stream->state, STREAM_AWAKE);
    struct MHD_Response *response =
        stream->size > 0
            ? MHD_create_response_from_callback(stream->size, STREAM_LARGE_BYTES, stream_read, stream, stream_free)
            : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, stream_read, stream, stream_free);
    if (response == NULL)
        return NULL;
    connection->answer.stream = NULL; /* the response's now */
    stream->connection = connection;
    pthread_mutex_lock(&connection->http->lock);
    connection->stream = stream;
    pthread_mutex_unlock(&connection->http->lock);
    return response;
}

/* MHD_NO closes the connection without an answer: what is left when even the answer finds no memory. */
static enum MHD_Result send_answer(struct http_connection *connection)
{
    struct answer *answer = &connection->answer;
    if (atomic_load_explicit(&connection->http->draining, memory_order_relaxed))
        answer->close = true;
    if (answer->status == 204 || answer->status == 304)
        text_clear(&answer->text);
    /* To a client that gave one, with whatever went wrong, and while the log has it: else it would tell nobody anything, and
     * cost each prediction its response that serves again. */
    const bool tells_id = connection->id_given || answer->status >= 400 || log_takes(LOG_LINE_DEBUG);
    const bool common = !tells_id && is_common(answer);
    if (common && serves_again(&connection->kept, answer)) {
        connection->phase = PHASE_ANSWERED;
        return MHD_queue_response(connection->mhd, answer->status, connection->kept.response);
    }
    struct MHD_Response *response = NULL;
    if (answer->blob != NULL) {
        response = MHD_create_response_from_buffer(answer->n_blob, answer->blob, MHD_RESPMEM_MUST_FREE);
        if (response != NULL)
            answer->blob = NULL; /* the response's now */
    } else if (answer->stream != NULL) {
        response = stream_response(connection);
    } else if (answer->fixed != NULL) {
        response = MHD_create_response_from_buffer(answer->n_fixed, (void *)(uintptr_t)answer->fixed, /* only read */
                                                   MHD_RESPMEM_PERSISTENT);
    } else {
        /* Not copied: the text is the connection's, and is not touched before on_completed. */
        response = MHD_create_response_from_buffer(answer->text.n, answer->text.bytes, MHD_RESPMEM_PERSISTENT);
    }
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    connection->phase = PHASE_ANSWERED;
    if (add_headers(response, answer, tells_id))
        result = MHD_queue_response(connection->mhd, answer->status, response);
    if (common && result == MHD_YES)
        keep(&connection->kept, response, answer);
    else
        MHD_destroy_response(response);
    return result;
}

/* A request that is refused before its body was read: the connection cannot be used again, and must linger. */
static enum MHD_Result refuse(struct http_connection *connection, bool has_body)
{
    connection->answer.close = true;
    if (has_body) {
        int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 3);
        if (fd >= 0)
            acceptor_linger(connection->http->acceptor, fd);
    }
    return send_answer(connection);
}

/* ---- a request ---- */

static void *on_uri(void *context, const char *uri, struct MHD_Connection *mhd)
{
    (void)context;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *connection = info == NULL ? NULL : info->socket_context;
    if (connection == NULL)
        return NULL;
    affinity_take(&connection->http->affinity);
    connection->started_ns = clock_ns();
    connection->phase = PHASE_LINE;
    atomic_store_explicit(&connection->since_ms, (int64_t)(connection->started_ns / 1000000u), memory_order_relaxed);
    atomic_store_explicit(&connection->busy, true, memory_order_relaxed);
    text_clear(&connection->target);
    text_add(&connection->target, uri, strlen(uri) + 1);
    connection->line_target = uri;
    return connection;
}

static enum MHD_Result header_seen(void *context, enum MHD_ValueKind kind, const char *name, size_t n_name,
                                   const char *value, size_t n_value)
{
    (void)kind;
    http_headers_add(context, name, n_name, value, n_value);
    return MHD_YES;
}

static int take_target(struct http_connection *connection, struct err *err)
{
    int status = request_target(&connection->request, connection->target.bytes, err);
    connection->answer.oip = status == 0 && oip_owns(connection->request.path);
    return status;
}

/* What can be said of a request before its body comes; -1: the answer says what is wrong. */
static int check_request(struct http_connection *connection, const struct http_headers *headers)
{
    struct http *http = connection->http;
    struct err err;
    if (take_target(connection, &err) == 0 &&
        guard_check(&http->config.guard, connection->local, &connection->request, &err) == 0) {
        if (http->config.authorize(http->config.context, &connection->request, &connection->answer) != 0)
            return -1;
        if (headers->content_length <= http->config.body_bytes)
            return 0;
        err_set(&err, ERR_TOO_LARGE, "the body is of %llu bytes; at most %llu are taken",
                (unsigned long long)headers->content_length, (unsigned long long)http->config.body_bytes);
    }
    answer_problem(&connection->answer, &err);
    return -1;
}

static enum MHD_Result begin(struct http_connection *connection, const char *method, const char *version)
{
    struct http_headers headers = {.request = &connection->request};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct err err;
    connection->request = (struct request){.method = method_parse(method), .body = &connection->body.text};
    answer_reset(&connection->answer);
    connection->id_given = request_id_choose(connection->id, &connection->http->ids, NULL);
    connection->request.id = connection->answer.request_id = connection->id;
    if (connection->target.failed) {
        err_set(&err, ERR_MEMORY, "no memory for the request line");
        answer_problem(&connection->answer, &err);
        return refuse(connection, true);
    }
    http_headers_line(&headers, method, connection->target.bytes, connection->line_target, connection->target.n - 1,
                      version);
    (void)MHD_get_connection_values_n(connection->mhd, MHD_HEADER_KIND, header_seen, &headers);
    http_headers_end(&headers, info != NULL ? info->header_size : 0);
    if (connection->request.given_id != NULL)
        connection->id_given = request_id_choose(connection->id, &connection->http->ids, connection->request.given_id);
    if (http_headers_check(&headers, strcmp(version, "HTTP/1.0") != 0, &err) != 0) {
        static const struct problem not_implemented = {ERR_SYNTAX, 501, "Transfer coding not supported", NULL};
        answer_problem_row(&connection->answer, headers.unknown_coding ? &not_implemented : problem_find(err.code),
                           &err);
        return refuse(connection, true); /* nothing is known of where this request ends */
    }
    if (check_request(connection, &headers) != 0) {
        if (headers.chunked || headers.content_length > 0)
            return refuse(connection, true);
        /* no body: the connection is as good as before, so libmicrohttpd may call again for the answer */
        connection->phase = PHASE_ANSWERED;
        return MHD_YES;
    }
    /* Of chunks libmicrohttpd takes several spellings that others read otherwise, and shows none of it: so nothing that
     * follows a chunked body is ever taken for a request. */
    connection->answer.close = headers.chunked;
    http_body_begin(&connection->body, &connection->http->bodies, headers.content_length);
    connection->phase = PHASE_BODY;
    return MHD_YES;
}

static void suspend(struct http_connection *connection, struct http_pending *pending)
{
    struct http *http = connection->http;
    pending->suspended = connection->mhd;
    atomic_store(&pending->state, PENDING_WAITS);
    connection->phase = PHASE_PENDING;
    atomic_fetch_add(&http->n_suspended, 1);
    MHD_suspend_connection(connection->mhd);
    pthread_mutex_lock(&http->lock);
    connection->pending = pending;
    pthread_mutex_unlock(&http->lock);
    pending->start(pending); /* from here on it may be resumed at any time */
}

static enum MHD_Result complete_request(struct http_connection *connection)
{
    struct http *http = connection->http;
    struct http_pending *pending = NULL;
    struct err err;
    if (http_body_check(&connection->body, &http->bodies, &err) != 0) {
        answer_problem(&connection->answer, &err);
    } else {
        http->config.handle(http->config.context, &connection->request, &connection->answer, &pending);
    }
    if (pending == NULL)
        return send_answer(connection);
    suspend(connection, pending);
    return MHD_YES;
}

/* After resume: the pending, which is done; NULL where the reaper has given up on it. */
static struct http_pending *take_pending(struct http_connection *connection)
{
    struct http *http = connection->http;
    pthread_mutex_lock(&http->lock);
    struct http_pending *pending = connection->pending;
    connection->pending = NULL;
    pthread_mutex_unlock(&http->lock);
    atomic_fetch_sub(&http->n_suspended, 1);
    assert(pending == NULL || atomic_load(&pending->state) == PENDING_DONE);
    return pending;
}

static enum MHD_Result resume(struct http_connection *connection)
{
    struct http *http = connection->http;
    struct http_pending *pending = take_pending(connection);
    connection->phase = PHASE_IDLE; /* it is taken, whatever becomes of the answer */
    if (pending != NULL) {
        pending->finish(pending, &connection->answer);
        pending->free(pending);
    } else {
        struct err err;
        err_set(&err, ERR_BUSY,
                "this was not done within %u seconds, and may still be: look at GET /model, or retry with the same "
                "Idempotency-Key",
                http->config.request_seconds);
        answer_problem(&connection->answer, &err);
    }
    return send_answer(connection);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *n_bytes, void **request_context)
{
    (void)context, (void)url, (void)mhd;
    struct http_connection *connection = *request_context;
    if (connection == NULL)
        return MHD_NO; /* there was no memory for it */
    switch (connection->phase) {
    case PHASE_LINE:
        return begin(connection, method, version);
    case PHASE_BODY:
        if (*n_bytes == 0)
            return complete_request(connection);
        if (!http_body_add(&connection->body, &connection->http->bodies, bytes, *n_bytes))
            return MHD_NO;
        *n_bytes = 0;
        return MHD_YES;
    case PHASE_PENDING:
        return resume(connection);
    case PHASE_ANSWERED:
        return send_answer(connection);
    case PHASE_IDLE:
        break;
    }
    return MHD_NO;
}

void http_pending_done(struct http_pending *pending)
{
    struct MHD_Connection *mhd = pending->suspended; /* may be dangling where the reaper has been: not looked at then */
    int waits = PENDING_WAITS;
    if (atomic_compare_exchange_strong(&pending->state, &waits, PENDING_DONE))
        MHD_resume_connection(mhd); /* the pending may be gone from here on */
    else
        pending->free(pending);
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    (void)context, (void)mhd, (void)code;
    struct http_connection *connection = *request_context;
    if (connection == NULL)
        return;
    struct http *http = connection->http;
    uint64_t now = clock_ns();
    if (connection->phase == PHASE_ANSWERED)
        http->config.completed(http->config.context, &connection->request, connection->answer.status,
                               now - connection->started_ns);
    if (connection->phase == PHASE_PENDING) {
        /* It was resumed, but the client had gone meanwhile: libmicrohttpd saw that first. */
        struct http_pending *pending = take_pending(connection);
        if (pending != NULL)
            pending->free(pending);
    }
    if (connection->stream != NULL)
        stream_end(connection->stream);
    connection->phase = PHASE_IDLE;
    http_body_end(&connection->body, &http->bodies);
    atomic_store_explicit(&connection->since_ms, (int64_t)(now / 1000000u), memory_order_relaxed);
    atomic_store_explicit(&connection->busy, false, memory_order_relaxed);
}

/* ---- connections ---- */

static void connection_open(struct http *http, struct MHD_Connection *mhd, void **socket_context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http_connection *connection = info == NULL ? NULL : calloc(1, sizeof *connection);
    *socket_context = connection;
    if (connection == NULL)
        return;
    connection->http = http;
    connection->mhd = mhd;
    connection->fd = info->connect_fd;
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    connection->local = info != NULL && info->client_addr != NULL && info->client_addr->sa_family == AF_UNIX;
    atomic_init(&connection->since_ms, now_ms());
    pthread_mutex_lock(&http->lock);
    connection->next = http->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    http->connections = connection;
    pthread_mutex_unlock(&http->lock);
}

static void connection_close(struct http_connection *connection)
{
    struct http *http = connection->http;
    pthread_mutex_lock(&http->lock);
    assert(connection->pending == NULL);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        http->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    pthread_mutex_unlock(&http->lock);
    text_free(&connection->target);
    http_body_fini(&connection->body, &http->bodies);
    answer_free(&connection->answer);
    if (connection->kept.response != NULL)
        MHD_destroy_response(connection->kept.response);
    free(connection);
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        atomic_fetch_add(&http->n_now, 1);
        connection_open(http, mhd, socket_context);
    } else {
        /* libmicrohttpd closes the socket after this, so that the reaper never shuts down a number that was used again */
        if (*socket_context != NULL)
            connection_close(*socket_context);
        *socket_context = NULL;
        atomic_fetch_sub(&http->n_now, 1);
    }
}

/* make_room - all places are taken: those that have been idle for longest leave, so that nobody can keep others out by doing
 * nothing. Accept thread only. Some at a time, since each look takes all of the list. Returns whether there is room now, or is
 * about to be. */
static bool make_room(struct http *http)
{
    unsigned n = 0;
    int64_t now = now_ms(), longest = MAKE_ROOM_IDLE_MS;
    if (atomic_load(&http->n_now) >= http->config.connections + MAKE_ROOM_CONNECTIONS)
        return false; /* those who were told to leave are not gone yet */
    pthread_mutex_lock(&http->lock);
    for (int look = 0; look < 2; look++) { /* for how long the longest has been idle; then those with half of that */
        for (struct http_connection *c = http->connections; c != NULL && n < MAKE_ROOM_CONNECTIONS; c = c->next) {
            int64_t idle = now - atomic_load_explicit(&c->since_ms, memory_order_relaxed);
            if (c->leaves || c->pending != NULL || atomic_load_explicit(&c->busy, memory_order_relaxed))
                continue;
            if (look == 0) {
                longest = idle > longest ? idle : longest;
            } else if (idle >= MAKE_ROOM_IDLE_MS && idle >= longest / 2) {
                c->leaves = true;
                (void)shutdown(c->fd, SHUT_RDWR);
                n++;
            }
        }
    }
    pthread_mutex_unlock(&http->lock);
    atomic_fetch_add(&http->n_displaced, n);
    return n > 0;
}

static void admit(void *context, int fd, const struct sockaddr *address, socklen_t n_address)
{
    static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                               "Content-Type: application/problem+json; charset=utf-8\r\nContent-Length: 105\r\n\r\n"
                               "{\"type\":\"urn:convd:problem:busy\",\"title\":\"Busy\",\"status\":503,"
                               "\"detail\":\"too many connections; try again\"}\n";
    struct http *http = context;
    atomic_fetch_add(&http->n_total, 1);
    if (atomic_load(&http->n_now) >= http->config.connections && !make_room(http)) {
        atomic_fetch_add(&http->n_refused, 1);
        ssize_t ignored = 0;
        if (http->local == NULL || address->sa_family == AF_UNIX) /* in TLS it could not be read */
            ignored = send(fd, full, sizeof full - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)ignored;
        (void)shutdown(fd, SHUT_WR);
        acceptor_linger(http->acceptor, fd);
        return;
    }
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    if (n_address == 0) { /* unnamed UNIX peers: libmicrohttpd wants an address */
        address = (const struct sockaddr *)&local;
        n_address = sizeof local;
    }
    struct MHD_Daemon *daemon = http->local != NULL && address->sa_family == AF_UNIX ? http->local : http->daemon;
    (void)MHD_add_connection(daemon, fd, address, n_address); /* closes fd when it fails */
}

bool http_attach(struct http *http, int fd, bool local)
{
    struct sockaddr_un nobody = {.sun_family = AF_UNIX};
    struct MHD_Daemon *daemon = local && http->local != NULL ? http->local : http->daemon;
    return MHD_add_connection(daemon, fd, (const struct sockaddr *)&nobody, sizeof nobody) == MHD_YES;
}

/* reap - what has gone on for too long ends: a waiting client is told so, a trickling one is cut. */
static void reap(void *context, int64_t now)
{
    struct http *http = context;
    int64_t request_ms = (int64_t)http->config.request_seconds * 1000;
    int64_t idle_ms = request_ms + (int64_t)http->config.idle_seconds * 1000;
    bool draining = atomic_load(&http->draining);
    pthread_mutex_lock(&http->lock);
    for (struct http_connection *c = http->connections; c != NULL; c = c->next) {
        int64_t age = now - atomic_load_explicit(&c->since_ms, memory_order_relaxed);
        bool busy = atomic_load_explicit(&c->busy, memory_order_relaxed);
        if (c->stream != NULL && atomic_load(&c->stream->state) == STREAM_ASLEEP) {
            if (draining)
                http_stream_wake(c->stream);
        } else if (c->pending != NULL) {
            int waits = PENDING_WAITS;
            if (age > request_ms && atomic_compare_exchange_strong(&c->pending->state, &waits, PENDING_ABANDONED)) {
                c->pending = NULL; /* its owner frees it when it is done */
                atomic_fetch_add(&http->n_reaped, 1);
                MHD_resume_connection(c->mhd);
            }
        } else if (busy ? age > request_ms : draining || age > idle_ms) {
            if (shutdown(c->fd, SHUT_RDWR) == 0 && busy)
                atomic_fetch_add(&http->n_reaped, 1);
        }
    }
    pthread_mutex_unlock(&http->lock);
    http->config.tick(http->config.context, now);
}

/* ---- from start to stop ---- */

static size_t keep_escapes(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context, (void)mhd;
    return strlen(text); /* request.c decodes its own copy */
}

static struct MHD_Daemon *start_daemon(struct http *http, unsigned threads, bool tls)
{
    const struct http_config *config = &http->config;
    unsigned pool = threads > 1 ? threads : 1, n = 3;
    /* The limit is divided by the pool's size, so it is given for each thread; the one that counts is in admit(). */
    unsigned limit = (config->connections + EXTRA_CONNECTIONS) * pool;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)limit, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)config->idle_seconds, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)CONNECTION_MEMORY_BYTES, NULL},
        {MHD_OPTION_END, 0, NULL}, /* up to four more */
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    /* With TLS it may not use epoll: 0.9.75 then spins while a handshake waits for its client: a stalled one would
     * cost a processor. */
    unsigned flags = (tls ? MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_TLS : MHD_USE_EPOLL_INTERNAL_THREAD) |
                     MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET;
    if (pool > 1)
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)pool, NULL};
    if (tls) { /* libmicrohttpd only reads them, though its table says void * */
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (char *)(uintptr_t)config->certificate};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (char *)(uintptr_t)config->key};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (char *)(uintptr_t)TLS_PRIORITIES};
    }
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, http, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_URI_LOG_CALLBACK, on_uri, http,
                            MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, http, MHD_OPTION_ARRAY, options,
                            MHD_OPTION_END);
}

int http_start(struct http **out, const struct http_config *config, struct err *err)
{
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return err_set(err, ERR_MEMORY, "no memory for the HTTP server");
    http->config = *config;
    affinity_init(&http->affinity, config->threads);
    request_ids_init(&http->ids);
    http_bodies_init(&http->bodies, config->body_bytes, config->threads);
    pthread_mutex_init(&http->lock, NULL);
    bool tls = config->certificate != NULL;
    http->daemon = start_daemon(http, config->threads, tls);
    if (tls && http->daemon != NULL)
        http->local = start_daemon(http, 1, false);
    struct acceptor_calls calls = {.context = http, .admit = admit, .tick = reap};
    int status = 0;
    if (http->daemon == NULL || (tls && http->local == NULL))
        status = err_set(err, ERR_NETWORK, "cannot start the HTTP server: %s", strerror(errno));
    else
        status = acceptor_start(&http->acceptor, config->listen_fds, config->n_listen_fds, &calls, err);
    if (status != 0) {
        http_stop(http);
        return -1;
    }
    *out = http;
    return 0;
}

struct http_counts http_counts(struct http *http)
{
    return (struct http_counts){
        .connections_now = atomic_load(&http->n_now),
        .connections_total = atomic_load(&http->n_total),
        .refused = atomic_load(&http->n_refused),
        .reaped = atomic_load(&http->n_reaped),
        .displaced = atomic_load(&http->n_displaced),
        .suspended_now = atomic_load(&http->n_suspended),
        .body_bytes_now = atomic_load(&http->bodies.n_bytes),
    };
}

void http_drain(struct http *http, unsigned milliseconds, bool (*hurry)(void))
{
    acceptor_deafen(http->acceptor);
    atomic_store(&http->draining, true);
    int64_t deadline = now_ms() + milliseconds;
    while (atomic_load(&http->n_now) > 0 && now_ms() < deadline && (hurry == NULL || !hurry())) {
        struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
    }
}

void http_stop(struct http *http)
{
    if (http == NULL)
        return;
    acceptor_stop(http->acceptor);
    if (http->daemon != NULL) {
        /* The last ones have been resumed, but their threads may not have noticed: stopping libmicrohttpd with a
         * suspended connection is an error of ours. */
        for (int i = 0; i < 500 && atomic_load(&http->n_suspended) + atomic_load(&http->n_asleep) > 0; i++)
            (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        MHD_stop_daemon(http->daemon);
        if (http->local != NULL)
            MHD_stop_daemon(http->local);
    }
    http_bodies_fini(&http->bodies);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
