/* connections.c - who comes in and who must leave.
 *
 * A connection has its place from accept() on: it is entered here before libmicrohttpd gets it, and while it lies in libmicrohttpd's
 * queue, which may take as long as its pool thread is at work, it is "arriving". So nobody is counted late. Where all places are taken, a
 * new connection takes the place of another at once: the other is shut down and counts no more; what it holds until its thread has
 * closed it is one of the spare descriptors. Only where all of those are in use does accepting wait.
 *
 * Those that arrive are never displaced, since they may have said all that they came to say: a flood that did it faster than they are
 * taken in would end in nobody being heard. For the same reason those that wait for us to read what they said leave last.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/http/acceptor.h"
#include "server/http/internal.h"

#define STALL_MS  1000 /* without any progress: stands still                                                         */
#define AT_ONCE   64u  /* displaced together: one in so many places, since each look takes all of the list           */
#define END_MS    1000 /* idle for less: looked at in every tick for an end that libmicrohttpd does not see          */
#define END_TICKS 16u  /* idle for longer: in every sixteenth, since thousands may do nothing for hours              */

/* In this order they leave for new ones; among equals, whoever has got nowhere for longest. */
enum rank {
    RANK_UNHEARD, /* had no response yet, and stands still; or is one of a crowd of such, with more than half of the places */
    RANK_IDLE,    /* between two requests                                                                        */
    RANK_HALF,    /* stands still in the middle of one                                                           */
    RANK_STUCK,   /* its client does not take its response                                                         */
    RANK_FRESH,   /* has just come, or is in the middle of a request and gets on                                 */
    RANK_TRUSTED, /* between two requests, of a client that has a valid token                                    */
    RANK_STAYS    /* at work, being answered, with a valid token in a request                                    */
};

/* ---- from accept() to close() ---- */

/* Room for fd among those that arrive. http->lock. */
static bool reserve_slot(struct http *http, size_t fd)
{
    if (fd < http->n_arrivals_max)
        return true;
    const size_t n = fd * 2 > 64 ? fd * 2 : 64;
    struct http_connection **more = realloc(http->arrivals, n * sizeof(struct http_connection *));
    if (more == NULL)
        return false;
    memset(more + http->n_arrivals_max, 0, (n - http->n_arrivals_max) * sizeof(struct http_connection *));
    http->arrivals = more;
    http->n_arrivals_max = n;
    return true;
}

/* Takes the one with this descriptor out of those that arrive; NULL: there is none. http->lock. */
static struct http_connection *arrived(struct http *http, size_t fd)
{
    struct http_connection *connection = fd < http->n_arrivals_max ? http->arrivals[fd] : NULL;
    if (connection == NULL)
        return NULL;
    http->arrivals[fd] = NULL;
    http->n_arriving--;
    return connection;
}

/* Its place is free. http->lock. */
static void leave_place(struct http_connection *connection)
{
    struct http *http = connection->http;
    atomic_fetch_sub(&http->n_now, 1);
    http->n_leaving -= connection->leaves ? 1 : 0;
    http->n_open -= connection->own ? 0 : 1;
    if (http->waits)
        acceptor_wake(http->acceptor);
    http->waits = false;
}

/* Where libmicrohttpd has no memory for a connection that it has accepted into its queue, it closes it without a word. */
static void forget_arrival(struct http *http, size_t fd)
{
    struct http_connection *connection = arrived(http, fd);
    if (connection != NULL)
        leave_place(connection);
    free(connection);
}

/* NULL: no memory. */
static struct http_connection *arrive(struct http *http, int fd, const struct sockaddr *address, bool own)
{
    struct http_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    *connection = (struct http_connection){.http = http, .fd = fd, .own = own, .local = address->sa_family == AF_UNIX};
    connection->proxy = proxies_believe(&http->config.proxies, address);
    atomic_init(&connection->since_ms, now_ms());
    atomic_init(&connection->moved_ms, coarse_ms());
    pthread_mutex_lock(&http->lock);
    const bool slot = reserve_slot(http, (size_t)fd);
    if (slot) {
        forget_arrival(http, (size_t)fd);
        http->arrivals[fd] = connection;
        http->n_arriving++;
        http->n_open += own ? 0 : 1;
        atomic_fetch_add(&http->n_now, 1);
    }
    pthread_mutex_unlock(&http->lock);
    if (slot)
        return connection;
    free(connection);
    return NULL;
}

bool http_connections_enter(struct http *http, struct MHD_Daemon *daemon, int fd, const struct sockaddr *address,
                            socklen_t n_address, bool own)
{
    const struct http_connection *connection = arrive(http, fd, address, own);
    if (connection == NULL) {
        (void)close(fd);
        return false;
    }
    if (MHD_add_connection(daemon, fd, address, n_address) == MHD_YES)
        return true;
    pthread_mutex_lock(&http->lock); /* it has closed fd, which may have come again since */
    if (http->arrivals[fd] == connection)
        forget_arrival(http, (size_t)fd);
    pthread_mutex_unlock(&http->lock);
    return false;
}

static void connection_open(struct http *http, struct MHD_Connection *mhd, void **socket_context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    pthread_mutex_lock(&http->lock);
    struct http_connection *connection = arrived(http, (size_t)info->connect_fd);
    assert(connection != NULL);
    connection->mhd = mhd;
    connection->next = http->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    http->connections = connection;
    if (http->waits) /* it may be displaced now */
        acceptor_wake(http->acceptor);
    pthread_mutex_unlock(&http->lock);
    *socket_context = connection;
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
    leave_place(connection);
    pthread_mutex_unlock(&http->lock);
    text_free(&connection->target);
    http_body_fini(&connection->body, &http->bodies);
    http_reply_end(&http->bodies, connection->reply_bytes);
    response_free(&connection->response);
    http_response_forget(connection);
    free(connection);
}

void http_connections_notify(void *context, struct MHD_Connection *mhd, void **socket_context,
                             enum MHD_ConnectionNotificationCode code)
{
    /* libmicrohttpd closes the socket after this, so that nobody ever shuts down a number that was used again */
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_open(context, mhd, socket_context);
    else
        connection_close(*socket_context);
}

void http_connections_fini(struct http *http)
{
    for (size_t fd = 0; fd < http->n_arrivals_max; fd++)
        free(http->arrivals[fd]);
    free(http->arrivals);
    free(http->victims);
}

/* ---- making room ---- */

static enum rank rank_of(const struct http_connection *c, bool heard, int64_t moved, int64_t now)
{
    const enum http_phase phase = (enum http_phase)atomic_load_explicit(&c->phase, memory_order_relaxed);
    const bool stalls = now - moved >= STALL_MS;
    if (c->leaves || c->own || phase == PHASE_PENDING || phase == PHASE_AT_WORK ||
        (c->stream != NULL && http_stream_sleeps(c->stream)))
        return RANK_STAYS;
    if (atomic_load_explicit(&c->trusted, memory_order_relaxed))
        return phase == PHASE_IDLE ? RANK_TRUSTED : RANK_STAYS;
    if (phase == PHASE_ANSWERED)
        return stalls ? RANK_STUCK : RANK_STAYS;
    if (phase == PHASE_IDLE && heard)
        return RANK_IDLE;
    if (!stalls)
        return RANK_FRESH;
    return heard || phase == PHASE_BODY ? RANK_HALF : RANK_UNHEARD;
}

static int compare_victims(const void *a, const void *b)
{
    const struct http_victim *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->moved_ms < y->moved_ms ? -1 : x->moved_ms > y->moved_ms;
}

static void displace(struct http_connection *connection)
{
    connection->leaves = true;
    connection->http->n_leaving++;
    atomic_fetch_add(&connection->http->n_displaced, 1);
    (void)shutdown(connection->fd, SHUT_RDWR);
}

/* A client that has its response and has closed the connection may come again before the pool thread has got to see that. */
static bool displace_one_that_is_gone(struct http *http)
{
    struct http_connection *c = http->connections;
    while (c != NULL &&
           (c->leaves || c->own || atomic_load_explicit(&c->phase, memory_order_relaxed) != PHASE_ANSWERED ||
            !http_connection_is_gone(c)))
        c = c->next;
    if (c != NULL)
        displace(c);
    return c != NULL;
}

/* It has spoken, and its pool thread has not come to read it. */
static bool is_unread(const struct http_connection *connection)
{
    const int phase = atomic_load_explicit(&connection->phase, memory_order_relaxed);
    int n = 0;
    return (phase == PHASE_IDLE || phase == PHASE_BODY) && ioctl(connection->fd, FIONREAD, &n) == 0 && n > 0;
}

/* Of those, in their order, `n` that are unread, or that are not; and `more` of the first one's rank. Returns how many. */
static unsigned displace_some(const struct http_victim *victims, unsigned n_victims, bool unread, unsigned n,
                              unsigned more)
{
    unsigned n_displaced = 0;
    for (unsigned v = 0;
         v < n_victims && (n_displaced < n || (n_displaced < more && victims[v].rank == victims[0].rank)); v++)
        if (!victims[v].connection->leaves && is_unread(victims[v].connection) == unread) {
            displace(victims[v].connection);
            n_displaced++;
        }
    return n_displaced;
}

/* Lets `n` leave, or as many as there are, and some more of the same rank; whoever waits for us to read only where nobody else does.
 * Returns how many. Accept thread only; http->lock. */
static unsigned make_room(struct http *http, unsigned n)
{
    const int64_t now = coarse_ms();
    struct http_victim *victims = http->victims;
    unsigned n_all = 0, n_victims = 0, n_unheard = http->n_arriving;
    for (struct http_connection *c = http->connections; c != NULL; c = c->next) {
        const int64_t moved = atomic_load_explicit(&c->moved_ms, memory_order_relaxed);
        const bool heard = atomic_load_explicit(&c->heard, memory_order_relaxed);
        const enum rank rank = rank_of(c, heard, moved, now);
        if (rank == RANK_STAYS)
            continue;
        victims[n_all++] = (struct http_victim){rank, heard, moved, c};
        n_unheard += heard ? 0 : 1;
    }
    /* Of a crowd, those leave who are it: who comes amid it has the time that it takes to fill half of the places once more. */
    const bool crowd = n_unheard > http->places / 2;
    for (unsigned v = 0; v < n_all; v++)
        if (!crowd || !victims[v].heard) {
            victims[n_victims] = victims[v];
            victims[n_victims++].rank = crowd ? RANK_UNHEARD : victims[v].rank;
        }
    qsort(victims, n_victims, sizeof *victims, compare_victims);
    unsigned n_displaced = displace_some(victims, n_victims, false, n, http->places / AT_ONCE);
    if (n_displaced < n)
        n_displaced += displace_some(victims, n_victims, true, n - n_displaced, 0);
    return n_displaced > 0 || !displace_one_that_is_gone(http) ? n_displaced : 1;
}

/* Whether there is a place for one more; where there is none, somebody leaves. */
static bool find_place(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    const unsigned taken = http->n_open - http->n_leaving;
    const bool found = http->n_open < http->places + http->spare &&
                       (taken < http->places || make_room(http, taken + 1 - http->places) > 0 || http->n_arriving > 0);
    pthread_mutex_unlock(&http->lock);
    return found;
}

bool http_connections_ready(void *context)
{
    struct http *http = context;
    pthread_mutex_lock(&http->lock);
    const bool full = http->n_open >= http->places + http->spare;
    if (full && http->n_leaving == 0)
        (void)make_room(http, http->n_open - http->places);
    http->waits = full && (http->n_leaving > 0 || http->n_arriving > 0);
    const bool ready = !http->waits;
    pthread_mutex_unlock(&http->lock);
    return ready;
}

void http_connections_starved(void *context)
{
    struct http *http = context;
    pthread_mutex_lock(&http->lock);
    if (http->n_leaving == 0)
        (void)make_room(http, 1);
    http->waits = true;
    pthread_mutex_unlock(&http->lock);
}

void http_connections_admit(void *context, int fd, const struct sockaddr *address, socklen_t n_address)
{
    static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                               "Content-Type: application/problem+json; charset=utf-8\r\nContent-Length: 105\r\n\r\n"
                               "{\"type\":\"urn:convd:problem:busy\",\"title\":\"Busy\",\"status\":503,"
                               "\"detail\":\"too many connections; try again\"}\n";
    struct http *http = context;
    atomic_fetch_add(&http->n_total, 1);
    if (!find_place(http)) {
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
    (void)http_connections_enter(http, daemon, fd, address, n_address, false);
}

/* ---- the reaper ---- */

void http_connections_reap(void *context, int64_t now)
{
    struct http *http = context;
    int64_t request_ms = (int64_t)http->config.request_seconds * 1000;
    int64_t idle_ms = request_ms + (int64_t)http->config.idle_seconds * 1000;
    bool draining = atomic_load(&http->draining);
    pthread_mutex_lock(&http->lock);
    http->n_ticks++;
    for (size_t fd = 0; fd < http->n_arrivals_max && http->n_arriving > 0; fd++)
        if (http->arrivals[fd] != NULL && fcntl((int)fd, F_GETFD) < 0)
            forget_arrival(http, fd);
    for (struct http_connection *c = http->connections; c != NULL; c = c->next) {
        int64_t age = now - atomic_load_explicit(&c->since_ms, memory_order_relaxed);
        bool busy = atomic_load_explicit(&c->phase, memory_order_relaxed) != PHASE_IDLE;
        if (c->stream != NULL && http_stream_sleeps(c->stream)) {
            if (http_connection_is_gone(c))
                atomic_store(&c->stream->gone, true);
            if (draining || atomic_load(&c->stream->gone))
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
