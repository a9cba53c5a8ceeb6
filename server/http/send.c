/* send.c - a response as a response of libmicrohttpd: its headers, its bytes, and the response that serves again. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "server/common/logger.h"
#include "server/http/acceptor.h"
#include "server/http/internal.h"

/* Everything of the page comes from here; nothing in it is written in line; nothing turns text into code or markup. */
#define PAGE_POLICY                                                                                                    \
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "             \
    "require-trusted-types-for 'script'; trusted-types 'none'"

/* Relative to the request's path, so that it holds under any prefix that a proxy has taken away. */
static bool add_location(struct MHD_Response *mhd, const char *path, const char *location)
{
    struct text relative = {0};
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
        text_add_string(&relative, "../");
    text_add(&relative, location + 1, strlen(location)); /* with its zero */
    const bool ok = !relative.failed && MHD_add_response_header(mhd, "Location", relative.bytes) == MHD_YES;
    text_free(&relative);
    return ok;
}

static bool add(struct MHD_Response *mhd, const char *name, const char *value)
{
    return MHD_add_response_header(mhd, name, value) == MHD_YES;
}

/* path: of the request. tells_id: the response says which request it is of. */
static bool add_headers(struct MHD_Response *mhd, const struct response *response, const char *path, bool tells_id)
{
    char number[24];
    bool ok = add(mhd, "Cache-Control", response->cache == CACHE_REVALIDATE ? "no-cache" : "no-store") &&
              add(mhd, "Cross-Origin-Resource-Policy", "same-origin");
    if (response->status != 204 && response->status != 304)
        ok = ok && add(mhd, "Content-Type", response->type) && add(mhd, "X-Content-Type-Options", "nosniff");
    if (tells_id)
        ok = ok && add(mhd, "X-Request-Id", response->request_id);
    if (response->etag[0] != '\0')
        ok = ok && add(mhd, "ETag", response->etag);
    if (response->location[0] != '\0')
        ok = ok && add_location(mhd, path, response->location);
    if (response->allow[0] != '\0')
        ok = ok && add(mhd, "Allow", response->allow);
    if (response->challenge != NULL)
        ok = ok && add(mhd, "WWW-Authenticate", response->challenge);
    if (response->disposition != NULL)
        ok = ok && add(mhd, "Content-Disposition", response->disposition);
    if (response->encoding != NULL)
        ok = ok && add(mhd, "Content-Encoding", response->encoding);
    if (response->codings != NULL)
        ok = ok && add(mhd, "Accept-Encoding", response->codings);
    if (response->vary != NULL)
        ok = ok && add(mhd, "Vary", response->vary);
    if (response->page)
        ok = ok && add(mhd, "Content-Security-Policy", PAGE_POLICY) && add(mhd, "Referrer-Policy", "no-referrer") &&
             add(mhd, "Cross-Origin-Opener-Policy", "same-origin");
    if (response->retry_after != 0) {
        (void)snprintf(number, sizeof number, "%u", response->retry_after);
        ok = ok && add(mhd, "Retry-After", number);
    }
    if (response->n_json != 0) {
        (void)snprintf(number, sizeof number, "%zu", response->n_json);
        ok = ok && add(mhd, "Inference-Header-Content-Length", number);
    }
    if (response->close)
        ok = ok && add(mhd, "Connection", "close");
    return ok;
}

/* Whether it has no headers but those that struct http_kept remembers. */
static bool is_common(const struct response *response)
{
    return response->status == 200 && response->blob == NULL && response->fixed == NULL && response->vary == NULL &&
           response->stream == NULL && response->location[0] == '\0' && response->allow[0] == '\0' &&
           response->disposition == NULL && response->retry_after == 0 && response->n_json == 0 && !response->close;
}

static bool serves_again(const struct http_kept *kept, const struct response *response)
{
    return kept->response != NULL && kept->n == response->text.n && kept->bytes == response->text.bytes &&
           kept->type == response->type && kept->cache == response->cache && strcmp(kept->etag, response->etag) == 0;
}

/* Takes the response over. */
static void keep(struct http_kept *kept, struct MHD_Response *mhd, const struct response *response)
{
    if (kept->response != NULL)
        MHD_destroy_response(kept->response);
    *kept = (struct http_kept){mhd, response->text.bytes, response->type, response->text.n, response->cache, ""};
    memcpy(kept->etag, response->etag, sizeof kept->etag);
}

void http_response_forget(struct http_connection *connection)
{
    if (connection->kept.response != NULL)
        MHD_destroy_response(connection->kept.response);
    connection->kept.response = NULL;
}

/* A large one is counted until it has been sent: clients that do not read would hold any amount of memory. */
static void charge(struct http_connection *connection)
{
    struct response *response = &connection->response;
    const uint64_t bytes = response_bytes(response);
    struct err err;
    if (bytes == 0 || http_reply_charge(&connection->http->bodies, bytes)) {
        connection->reply_bytes = bytes;
        return;
    }
    err_set(&err, ERR_BUSY, "too many large responses are being sent, and this one is %llu bytes: try again later",
            (unsigned long long)bytes);
    response_rest(response);
    response_problem(response, &err);
}

enum MHD_Result http_response_send(struct http_connection *connection)
{
    struct response *response = &connection->response;
    if (connection->reply_bytes == 0)
        charge(connection);
    if (atomic_load_explicit(&connection->http->draining, memory_order_relaxed))
        response->close = true;
    if (response->status == 204 || response->status == 304)
        text_clear(&response->text);
    /* To a client that gave one, with whatever went wrong, and while the log has it: else it would tell nobody anything, and
     * cost each prediction its response that serves again. */
    const bool tells_id = connection->id_given || response->status >= 400 || logger_takes(LOG_LINE_DEBUG);
    const bool common = !tells_id && is_common(response);
    if (common && serves_again(&connection->kept, response)) {
        http_connection_move(connection, PHASE_ANSWERED);
        return MHD_queue_response(connection->mhd, response->status, connection->kept.response);
    }
    struct MHD_Response *mhd = NULL;
    if (response->blob != NULL) {
        mhd = MHD_create_response_from_buffer(response->n_blob, response->blob, MHD_RESPMEM_MUST_FREE);
        if (mhd != NULL)
            response->blob = NULL; /* the response's now */
    } else if (response->stream != NULL) {
        mhd = http_stream_response(connection);
    } else if (response->fixed != NULL) {
        mhd = MHD_create_response_from_buffer(response->n_fixed, (void *)(uintptr_t)response->fixed, /* only read */
                                              MHD_RESPMEM_PERSISTENT);
    } else {
        /* Not copied: the text is the connection's, and is not touched before http_request_completed. */
        mhd = MHD_create_response_from_buffer(response->text.n, response->text.bytes, MHD_RESPMEM_PERSISTENT);
    }
    if (mhd == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    http_connection_move(connection, PHASE_ANSWERED);
    if (add_headers(mhd, response, connection->request.path, tells_id))
        result = MHD_queue_response(connection->mhd, response->status, mhd);
    if (common && result == MHD_YES)
        keep(&connection->kept, mhd, response);
    else
        MHD_destroy_response(mhd);
    return result;
}

enum MHD_Result http_response_refuse(struct http_connection *connection, bool has_body)
{
    connection->response.close = true;
    if (has_body) {
        int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 3);
        if (fd >= 0)
            acceptor_linger(connection->http->acceptor, fd);
    }
    return http_response_send(connection);
}
