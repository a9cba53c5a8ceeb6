/* internal.h - what the files of http share and nobody else sees; the only header that knows libmicrohttpd.
 *
 * One struct http_connection lives as long as its socket and serves one request after the other. Of it, other threads touch only what
 * is under http->lock, and the atomics that the accept thread reads. A suspended connection cannot
 * be closed by libmicrohttpd, so `mhd` is valid whenever `pending` is set. `context` of a callback is the struct http.
 */
#ifndef CONVD_SERVER_HTTP_INTERNAL_H
#define CONVD_SERVER_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/http/affinity.h"
#include "server/http/body_buffer.h"
#include "server/http/http.h"
#include "server/message/request_id.h"

enum http_phase { PHASE_IDLE, PHASE_LINE, PHASE_BODY, PHASE_AT_WORK, PHASE_PENDING, PHASE_ANSWERED };
enum http_pending_state { PENDING_WAITS, PENDING_DONE, PENDING_ABANDONED };
enum http_stream_state { STREAM_AWAKE, STREAM_ASLEEP, STREAM_WOKEN };

/* A response of libmicrohttpd is a dozen small allocations. The last one of a connection serves again for a response with the same
 * headers, in the same place and of the same length, whatever its bytes are: they are read when they are sent. */
struct http_kept {
    struct MHD_Response *response; /* NULL: none */
    const char *bytes, *type;
    size_t n;
    enum response_cache cache;
    char etag[sizeof((struct response *)NULL)->etag];
};

struct http_connection {
    struct http *http;
    struct MHD_Connection *mhd;
    int fd;
    bool local;                              /* over a UNIX socket */
    bool proxy;                              /* a trusted one: access/proxy.h */
    bool own;                                /* the watchdog's: takes no place, and stays */
    struct http_connection *previous, *next; /* http->lock */
    _Atomic int64_t since_ms;                /* of this request, or of the end of the last one */
    _Atomic int64_t moved_ms;                /* when it last got on: its phase changed, a piece came or went */
    atomic_int phase;                        /* enum http_phase: http_connection_move() */
    atomic_bool heard;                       /* it had a response */
    atomic_bool trusted;                     /* it had a valid token */
    bool leaves;                             /* http->lock: make_room() has shut it down */
    bool cancelled;                          /* http->lock: its pending is cancelled */
    uint64_t started_ns;
    struct text target;
    const char *line_target; /* libmicrohttpd's, of which target is a copy */
    struct http_body body;
    uint64_t body_bytes; /* as its header says; 0: it does not */
    char id[REQUEST_ID_BYTES_MAX + 1];
    bool id_given; /* by the client */
    struct request request;
    struct response response;
    uint64_t reply_bytes; /* charged for it */
    struct http_kept kept;
    struct http_pending *pending; /* http->lock */
    struct http_stream *stream;   /* http->lock: that is being sent */
};

struct http_victim {
    unsigned rank;
    bool heard;
    int64_t moved_ms;
    struct http_connection *connection;
};

struct http {
    struct http_config config;
    struct MHD_Daemon *daemon; /* of TCP connections; of all of them without TLS */
    struct MHD_Daemon *local;  /* of UNIX sockets, where the other speaks TLS; else NULL */
    struct acceptor *acceptor;
    struct affinity affinity;
    pthread_mutex_t lock; /* of all down to `waits` */
    struct http_connection *connections;
    struct http_connection **arrivals; /* by descriptor: in libmicrohttpd's queue */
    size_t n_arrivals_max;
    unsigned n_arriving;
    unsigned n_open, n_leaving;  /* of those that take a place, and that have been shut down */
    unsigned places, spare;      /* descriptors: of those that stay, of those that leave  */
    bool waits;                  /* the accept thread, for somebody to be gone or to have arrived */
    struct http_victim *victims; /* of make_room(): as many as can be open */
    unsigned n_ticks;            /* of the reaper */
    atomic_bool draining;
    struct http_bodies bodies;
    struct request_ids ids;
    atomic_uint_fast64_t n_now, n_total, n_refused, n_reaped, n_unheard, n_displaced, n_suspended, n_asleep;
};

/* ---- http/connection.c ---- */

/* http_connection_move - it has got on, to that phase or within it. Its pool thread. */
void http_connection_move(struct http_connection *connection, enum http_phase phase);

/* http_connection_tell_of_end - where its client has said the last and all of that was read, libmicrohttpd is told. It waits for
 * edges and takes a short read for the end of what is there: where a client's last bytes and its FIN come together, it never
 * learns of the FIN. Shutting down what is closed already is another edge; nothing that came is lost by that, and a response still
 * goes out. Its pool thread, after a piece of a body that is not whole; the accept thread for all else, with http->lock held: in
 * the next tick during a request and shortly after, within 4 s on a connection that has been idle. */
void http_connection_tell_of_end(const struct http_connection *connection);

/* http_connection_is_gone - whether its client has closed it, or its own half of it: what libmicrohttpd does not look at while
 * it is suspended. */
bool http_connection_is_gone(const struct http_connection *connection);

/* ---- http/connections.c ---- */

/* http_connections_notify - libmicrohttpd has taken a connection in, or is about to close its socket. Pool threads. */
void http_connections_notify(void *context, struct MHD_Connection *mhd, void **socket_context,
                             enum MHD_ConnectionNotificationCode code);

/* http_connections_ready - whether one more may be accepted; else the acceptor is woken when that may be so.
 * http_connections_starved - there is no descriptor for it: somebody leaves. http_connections_admit - a new socket: it is taken
 * in, where all places are taken instead of another that does nothing, or turned away. http_connections_reap - what has gone on for
 * too long ends: a waiting client is told so, a trickling one is cut. acceptor_calls, in the accept thread. */
bool http_connections_ready(void *context);
void http_connections_starved(void *context);
void http_connections_admit(void *context, int fd, const struct sockaddr *address, socklen_t n_address);
void http_connections_reap(void *context, int64_t now);

/* http_connections_enter - a socket goes into libmicrohttpd's queue; own: not a client's. False: refused and closed. */
bool http_connections_enter(struct http *http, struct MHD_Daemon *daemon, int fd, const struct sockaddr *address,
                            socklen_t n_address, bool own);

/* http_connections_fini - when libmicrohttpd has stopped. */
void http_connections_fini(struct http *http);

/* ---- http/exchange.c: libmicrohttpd's calls, in this order; pool threads ---- */

/* http_request_line - the request line is there: the clock of this request starts. Returns the connection, or NULL. */
void *http_request_line(void *context, const char *uri, struct MHD_Connection *mhd);

/* http_request_step - 1st call, headers are there: framing and guard are checked; a bad one is refused here and now
 *                     next calls: pieces of the body
 *                     last call: the body is whole: handle(). Either the response is queued, or the connection is suspended and
 *                     the pending started; it is then called once more after http_pending_done() */
enum MHD_Result http_request_step(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *n_bytes, void **request_context);

/* http_request_completed - the last byte of the response is out, or the client is gone: ready for the next request. */
void http_request_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                            enum MHD_RequestTerminationCode code);

/* ---- http/pending.c ---- */

/* http_pending_suspend - the connection sleeps and the pending is started: it may be resumed before this returns. */
void http_pending_suspend(struct http_connection *connection, struct http_pending *pending);

/* http_pending_take - after resume: the pending, which is done; NULL where the reaper has given up on it. */
struct http_pending *http_pending_take(struct http_connection *connection);

/* http_pending_give_up - the reaper's: the connection is resumed without its pending, whose owner frees it when it is done; or the
 * pending is cancelled, where it can be. With http->lock held. false: too late, it is done, or was cancelled before. */
bool http_pending_give_up(struct http_connection *connection);

/* http_pending_look - the reaper's: cancels what is done for a client that has gone. With http->lock held. */
void http_pending_look(struct http_connection *connection);

/* ---- http/send.c ---- */

/* http_response_send - queues the connection's response. MHD_NO closes the connection without one: what is left when even the
 * answer finds no memory. */
enum MHD_Result http_response_send(struct http_connection *connection);

/* http_response_refuse - to a request whose body was not read: the connection cannot be used again, and must linger. */
enum MHD_Result http_response_refuse(struct http_connection *connection, bool has_body);

/* http_response_forget - the response that was kept. */
void http_response_forget(struct http_connection *connection);

/* ---- http/stream.c ---- */

/* http_stream_response - of response.stream, which is the response's then. NULL: out of memory. */
struct MHD_Response *http_stream_response(struct http_connection *connection);

/* http_stream_end - the response has been sent, or cannot be. */
void http_stream_end(struct http_stream *stream);

/* http_stream_sleeps - there is nothing to send. */
bool http_stream_sleeps(struct http_stream *stream);

#endif
