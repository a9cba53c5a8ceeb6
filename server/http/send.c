/* send.c - an answer as a response of libmicrohttpd: its headers, its bytes, and the response that serves again. */
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

/* Whether it has no headers but those that struct http_kept remembers. */
static bool is_common(const struct answer *answer)
{
    return answer->status == 200 && answer->blob == NULL && answer->fixed == NULL && answer->vary == NULL &&
           answer->stream == NULL && answer->location[0] == '\0' && answer->allow[0] == '\0' &&
           answer->disposition == NULL && answer->retry_after == 0 && answer->n_json == 0 && !answer->close;
}

static bool serves_again(const struct http_kept *kept, const struct answer *answer)
{
    return kept->response != NULL && kept->n == answer->text.n && kept->bytes == answer->text.bytes &&
           kept->type == answer->type && kept->cache == answer->cache && strcmp(kept->etag, answer->etag) == 0;
}

/* Takes the response over. */
static void keep(struct http_kept *kept, struct MHD_Response *response, const struct answer *answer)
{
    if (kept->response != NULL)
        MHD_destroy_response(kept->response);
    *kept = (struct http_kept){response, answer->text.bytes, answer->type, answer->text.n, answer->cache, ""};
    memcpy(kept->etag, answer->etag, sizeof kept->etag);
}

void http_answer_forget(struct http_connection *connection)
{
    if (connection->kept.response != NULL)
        MHD_destroy_response(connection->kept.response);
    connection->kept.response = NULL;
}

/* A large one is counted until it has been sent: clients that do not read would hold any amount of memory. */
static void charge(struct http_connection *connection)
{
    struct answer *answer = &connection->answer;
    const uint64_t bytes = answer_bytes(answer);
    struct err err;
    if (bytes == 0 || http_reply_charge(&connection->http->bodies, bytes)) {
        connection->reply_bytes = bytes;
        return;
    }
    err_set(&err, ERR_BUSY,
            "too many large answers are being sent at once, and this would be one of %llu bytes: try again",
            (unsigned long long)bytes);
    answer_rest(answer);
    answer_problem(answer, &err);
}

enum MHD_Result http_answer_send(struct http_connection *connection)
{
    struct answer *answer = &connection->answer;
    if (connection->reply_bytes == 0)
        charge(connection);
    if (atomic_load_explicit(&connection->http->draining, memory_order_relaxed))
        answer->close = true;
    if (answer->status == 204 || answer->status == 304)
        text_clear(&answer->text);
    /* To a client that gave one, with whatever went wrong, and while the log has it: else it would tell nobody anything, and
     * cost each prediction its response that serves again. */
    const bool tells_id = connection->id_given || answer->status >= 400 || log_takes(LOG_LINE_DEBUG);
    const bool common = !tells_id && is_common(answer);
    if (common && serves_again(&connection->kept, answer)) {
        http_connection_move(connection, PHASE_ANSWERED);
        return MHD_queue_response(connection->mhd, answer->status, connection->kept.response);
    }
    struct MHD_Response *response = NULL;
    if (answer->blob != NULL) {
        response = MHD_create_response_from_buffer(answer->n_blob, answer->blob, MHD_RESPMEM_MUST_FREE);
        if (response != NULL)
            answer->blob = NULL; /* the response's now */
    } else if (answer->stream != NULL) {
        response = http_stream_response(connection);
    } else if (answer->fixed != NULL) {
        response = MHD_create_response_from_buffer(answer->n_fixed, (void *)(uintptr_t)answer->fixed, /* only read */
                                                   MHD_RESPMEM_PERSISTENT);
    } else {
        /* Not copied: the text is the connection's, and is not touched before http_request_completed. */
        response = MHD_create_response_from_buffer(answer->text.n, answer->text.bytes, MHD_RESPMEM_PERSISTENT);
    }
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    http_connection_move(connection, PHASE_ANSWERED);
    if (add_headers(response, answer, tells_id))
        result = MHD_queue_response(connection->mhd, answer->status, response);
    if (common && result == MHD_YES)
        keep(&connection->kept, response, answer);
    else
        MHD_destroy_response(response);
    return result;
}

enum MHD_Result http_answer_refuse(struct http_connection *connection, bool has_body)
{
    connection->answer.close = true;
    if (has_body) {
        int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 3);
        if (fd >= 0)
            acceptor_linger(connection->http->acceptor, fd);
    }
    return http_answer_send(connection);
}
