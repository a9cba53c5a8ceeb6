/* exchange.c - one request, from its line to the last byte of its response. */
#include <stddef.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/http/coding.h"
#include "server/http/headers.h"
#include "server/http/internal.h"
#include "server/message/problem.h"

void *http_request_line(void *context, const char *uri, struct MHD_Connection *mhd)
{
    (void)context;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *connection = info == NULL ? NULL : info->socket_context;
    if (connection == NULL)
        return NULL;
    connection->started_ns = clock_ns();
    affinity_look(&connection->http->affinity, connection->started_ns);
    atomic_store_explicit(&connection->since_ms, (int64_t)(connection->started_ns / 1000000u), memory_order_relaxed);
    http_connection_move(connection, PHASE_LINE);
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
    connection->response.oip = status == 0 && connection->http->config.oip(connection->request.path);
    return status;
}

/* What can be said of a request before its body comes; -1: the response says what is wrong. */
static int check_request(struct http_connection *connection, const struct http_headers *headers)
{
    struct http *http = connection->http;
    struct err err;
    int status = take_target(connection, &err);
    connection->request.https = http->config.certificate != NULL && !connection->local;
    if (connection->proxy)
        proxies_apply(&connection->request);
    if (status == 0 && guard_check(&http->config.guard, connection->local, &connection->request, &err) == 0) {
        if (http->config.authorize(http->config.context, &connection->request, &connection->response) != 0)
            return -1;
        if (http->config.tokens && connection->request.granted != ACCESS_NONE)
            atomic_store_explicit(&connection->trusted, true, memory_order_relaxed);
        const bool has_body = headers->chunked || headers->content_length > 0;
        if (headers->content_length > http->config.body_bytes)
            err_set(&err, ERR_TOO_LARGE, "the body is %llu bytes; the limit is %llu",
                    (unsigned long long)headers->content_length, (unsigned long long)http->config.body_bytes);
        else if (!has_body || http_coding(&connection->request.coding, connection->request.content_encoding, &err) == 0)
            return 0;
        else
            connection->response.codings = HTTP_CODINGS;
    }
    response_problem(&connection->response, &err);
    return -1;
}

static enum MHD_Result begin(struct http_connection *connection, const char *method, const char *version)
{
    struct http_headers headers = {.request = &connection->request};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct err err;
    connection->request = (struct request){.method = method_parse(method), .body = &connection->body.text};
    response_reset(&connection->response);
    connection->id_given = request_id_choose(connection->id, &connection->http->ids, NULL);
    connection->request.id = connection->response.request_id = connection->id;
    if (connection->target.failed) {
        response_error(&connection->response, ERR_MEMORY, "no memory for the request line");
        return http_response_refuse(connection, true);
    }
    http_headers_line(&headers, method, connection->target.bytes, connection->line_target, connection->target.n - 1,
                      version);
    (void)MHD_get_connection_values_n(connection->mhd, MHD_HEADER_KIND, header_seen, &headers);
    http_headers_end(&headers, info != NULL ? info->header_size : 0);
    if (connection->request.given_id != NULL)
        connection->id_given = request_id_choose(connection->id, &connection->http->ids, connection->request.given_id);
    if (http_headers_check(&headers, strcmp(version, "HTTP/1.0") != 0, &err) != 0) {
        static const struct problem not_implemented = {ERR_SYNTAX, 501, "Transfer coding not supported", NULL};
        response_problem_row(&connection->response, headers.unknown_coding ? &not_implemented : problem_find(err.code),
                             &err);
        return http_response_refuse(connection, true); /* nothing is known of where this request ends */
    }
    if (check_request(connection, &headers) != 0) {
        if (headers.chunked || headers.content_length > 0)
            return http_response_refuse(connection, true);
        /* no body: the connection is as good as before, so libmicrohttpd may call again for the response */
        http_connection_move(connection, PHASE_ANSWERED);
        return MHD_YES;
    }
    /* Of chunks libmicrohttpd takes several spellings that others read otherwise, and shows none of it: so nothing that
     * follows a chunked body is ever taken for a request. */
    connection->response.close = headers.chunked;
    http_body_begin(&connection->body, &connection->http->bodies, headers.content_length);
    connection->body_bytes = headers.content_length;
    http_connection_move(connection, PHASE_BODY);
    return MHD_YES;
}

int http_decode(struct request *request, uint64_t n_max, const struct cancel *cancel, struct err *err)
{
    struct http_connection *connection =
        (struct http_connection *)(void *)((char *)request - offsetof(struct http_connection, request));
    struct http_bodies *bodies = &connection->http->bodies;
    struct http_body other = {0}; /* what is not kept */
    http_body_begin(&other, bodies, 0);
    const int status = http_body_decode(&other, bodies, request->coding, &connection->body.text, n_max, cancel, err);
    if (status == 0) {
        const struct http_body decoded = other;
        other = connection->body;
        connection->body = decoded;
        request->coding = CODING_NONE;
    }
    http_body_end(&other, bodies);
    http_body_fini(&other, bodies);
    return status;
}

static enum MHD_Result complete_request(struct http_connection *connection)
{
    struct http *http = connection->http;
    struct http_pending *pending = NULL;
    struct err err;
    http_connection_move(connection, PHASE_AT_WORK);
    if (http_body_check(&connection->body, &http->bodies, &err) != 0) {
        response_problem(&connection->response, &err);
    } else {
        http->config.handle(http->config.context, &connection->request, &connection->response, &pending);
    }
    if (pending == NULL)
        return http_response_send(connection);
    http_pending_suspend(connection, pending);
    return MHD_YES;
}

static enum MHD_Result resume(struct http_connection *connection)
{
    struct http *http = connection->http;
    struct http_pending *pending = http_pending_take(connection);
    http_connection_move(connection, PHASE_AT_WORK); /* it is taken, whatever becomes of the response */
    if (pending != NULL) {
        pending->finish(pending, &connection->response);
        struct http_pending *next = pending->next;
        pending->free(pending);
        if (next != NULL) {
            http_pending_suspend(connection, next);
            return MHD_YES;
        }
    } else {
        response_error(
            &connection->response, ERR_BUSY,
            "the request took longer than %u seconds, and may still succeed: check GET /model, or retry with "
            "the same Idempotency-Key",
            http->config.request_seconds);
    }
    return http_response_send(connection);
}

enum MHD_Result http_request_step(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *n_bytes, void **request_context)
{
    (void)context, (void)url, (void)mhd;
    struct http_connection *connection = *request_context;
    if (connection == NULL)
        return MHD_NO; /* there was no memory for it */
    switch ((enum http_phase)connection->phase) {
    case PHASE_LINE:
        return begin(connection, method, version);
    case PHASE_BODY:
        if (*n_bytes == 0)
            return complete_request(connection);
        if (!http_body_add(&connection->body, &connection->http->bodies, bytes, *n_bytes))
            return MHD_NO;
        http_connection_move(connection, PHASE_BODY);
        if (connection->body.received < connection->body_bytes)
            http_connection_tell_of_end(connection);
        *n_bytes = 0;
        return MHD_YES;
    case PHASE_PENDING:
        return resume(connection);
    case PHASE_ANSWERED:
        return http_response_send(connection);
    case PHASE_IDLE:
    case PHASE_AT_WORK:
        break;
    }
    return MHD_NO;
}

void http_request_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                            enum MHD_RequestTerminationCode code)
{
    (void)context, (void)mhd, (void)code;
    struct http_connection *connection = *request_context;
    if (connection == NULL)
        return;
    struct http *http = connection->http;
    uint64_t now = clock_ns();
    if (connection->phase == PHASE_ANSWERED) {
        http->config.completed(http->config.context, &connection->request, connection->response.status,
                               now - connection->started_ns);
        atomic_store_explicit(&connection->heard, true, memory_order_relaxed);
    }
    if (connection->phase == PHASE_PENDING) {
        /* It was resumed, but the client had gone meanwhile: libmicrohttpd saw that first. */
        struct http_pending *pending = http_pending_take(connection);
        if (pending != NULL && pending->next != NULL)
            pending->next->free(pending->next);
        if (pending != NULL)
            pending->free(pending);
    }
    if (connection->stream != NULL)
        http_stream_end(connection->stream);
    http_body_end(&connection->body, &http->bodies);
    response_rest(&connection->response);
    http_reply_end(&http->bodies, connection->reply_bytes);
    connection->reply_bytes = 0;
    atomic_store_explicit(&connection->since_ms, (int64_t)(now / 1000000u), memory_order_relaxed);
    http_connection_move(connection, PHASE_IDLE);
}
