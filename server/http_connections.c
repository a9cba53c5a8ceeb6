/* http_connections.c - who comes in and who must leave. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "server/acceptor.h"
#include "server/clock.h"
#include "server/http_internal.h"

#define MAKE_ROOM_CONNECTIONS 16u /* closed at a time for newer ones                              */
#define MAKE_ROOM_IDLE_MS     2000
#define END_MS                1000 /* idle for less: looked at in every tick for an end that libmicrohttpd does not see  */
#define END_TICKS             16u /* idle for longer: in every sixteenth, since thousands may do nothing for hours      */

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
    http_reply_end(&http->bodies, connection->reply_bytes);
    answer_free(&connection->answer);
    http_answer_forget(connection);
    free(connection);
}

void http_connections_notify(void *context, struct MHD_Connection *mhd, void **socket_context,
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

void http_connections_admit(void *context, int fd, const struct sockaddr *address, socklen_t n_address)
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

void http_connection_tell_of_end(const struct http_connection *connection)
{
    char byte;
    if (recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        (void)shutdown(connection->fd, SHUT_RD);
}

void http_connections_reap(void *context, int64_t now)
{
    struct http *http = context;
    int64_t request_ms = (int64_t)http->config.request_seconds * 1000;
    int64_t idle_ms = request_ms + (int64_t)http->config.idle_seconds * 1000;
    bool draining = atomic_load(&http->draining);
    pthread_mutex_lock(&http->lock);
    http->n_ticks++;
    for (struct http_connection *c = http->connections; c != NULL; c = c->next) {
        int64_t age = now - atomic_load_explicit(&c->since_ms, memory_order_relaxed);
        bool busy = atomic_load_explicit(&c->busy, memory_order_relaxed);
        if (c->stream != NULL && http_stream_sleeps(c->stream)) {
            if (draining)
                http_stream_wake(c->stream);
        } else if (c->pending != NULL) {
            if (age <= request_ms)
                http_pending_look(c);
            else if (http_pending_give_up(c))
                atomic_fetch_add(&http->n_reaped, 1);
        } else if (busy ? age > request_ms : draining || age > idle_ms) {
            if (shutdown(c->fd, SHUT_RDWR) == 0 && busy)
                atomic_fetch_add(&http->n_reaped, 1);
        } else if (busy || age < END_MS || ((unsigned)c->fd + http->n_ticks) % END_TICKS == 0) {
            http_connection_tell_of_end(c);
        }
    }
    pthread_mutex_unlock(&http->lock);
    http->config.tick(http->config.context, now);
}
