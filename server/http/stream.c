/* stream.c - a response that comes piece by piece; its connection sleeps while there is nothing. */
#include "server/common/clock.h"
#include "server/http/internal.h"

#define STREAM_BLOCK_BYTES 4096u
#define STREAM_LARGE_BYTES 65536u
#define STREAM_LEAST_RATE  16u /* bytes a millisecond: who takes less, after the deadline of a request, is cut */

/* Between the first look for bytes and the sleep a wake may come: then the sleep ends at once. */
static ssize_t stream_read(void *context, uint64_t position, char *bytes, size_t room)
{
    struct http_stream *stream = context;
    struct http_connection *connection = stream->connection;
    struct http *http = connection->http;
    if (stream->slept)
        atomic_fetch_sub(&http->n_asleep, 1);
    stream->slept = false;
    atomic_store(&stream->state, STREAM_AWAKE);
    atomic_store_explicit(&connection->since_ms, now_ms(), memory_order_relaxed);
    http_connection_move(connection, PHASE_ANSWERED);
    /* A client that is gone has an orderly end, too: after an error libmicrohttpd 0.9.75 may look at the connection, which is in no
     * epoll set since it slept, no sooner than its time-out, and its place is taken until then. */
    if (stream->endless && (atomic_load_explicit(&http->draining, memory_order_relaxed) ||
                            atomic_load_explicit(&stream->gone, memory_order_relaxed)))
        return MHD_CONTENT_READER_END_OF_STREAM;
    const int64_t may_last_ms = 1000 * (int64_t)http->config.request_seconds + (int64_t)(position / STREAM_LEAST_RATE);
    if (!stream->endless && (int64_t)(clock_ns() - connection->started_ns) / 1000000 > may_last_ms) {
        atomic_fetch_add(&http->n_reaped, 1);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (atomic_load_explicit(&stream->gone, memory_order_relaxed))
        return MHD_CONTENT_READER_END_WITH_ERROR;
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

void http_stream_end(struct http_stream *stream)
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

/* libmicrohttpd does this before http_request_completed() where the client has gone, and after it where the response is whole. */
static void stream_free(void *context)
{
    struct http_stream *stream = context;
    if (stream->connection != NULL)
        http_stream_end(stream);
    stream->free(stream);
}

struct MHD_Response *http_stream_response(struct http_connection *connection)
{
    struct http_stream *stream = connection->response.stream;
    atomic_store(&stream->state, STREAM_AWAKE);
    atomic_store(&stream->gone, false);
    struct MHD_Response *response =
        stream->size > 0
            ? MHD_create_response_from_callback(stream->size, STREAM_LARGE_BYTES, stream_read, stream, stream_free)
            : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, stream_read, stream, stream_free);
    if (response == NULL)
        return NULL;
    /* libmicrohttpd 0.9.75 sends the last chunk to HEAD, too, where its client looks for the next response. Without chunks there is
     * none; the connection ends with such a response. */
    if (stream->size == 0 && connection->request.method == METHOD_HEAD)
        (void)MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    if (stream->endless) /* nginx would keep it back until it ends; without memory for that, it does */
        (void)MHD_add_response_header(response, "X-Accel-Buffering", "no");
    connection->response.stream = NULL; /* the response's now */
    stream->connection = connection;
    pthread_mutex_lock(&connection->http->lock);
    connection->stream = stream;
    pthread_mutex_unlock(&connection->http->lock);
    return response;
}

bool http_stream_sleeps(struct http_stream *stream)
{
    return atomic_load(&stream->state) == STREAM_ASLEEP;
}
