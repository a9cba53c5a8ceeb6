/* http.h - HTTP/1.1 on the wire: connections, limits, deadlines. The files of this folder alone know libmicrohttpd.
 *
 * Who does what
 *   accept thread   accepts (so that stopping to listen is one line and races with nothing) and counts connections. One too
 *                   many takes the place of another, at once: of one that does nothing, that has said half of a request, or that
 *                   does not take its response; it is turned away with 503 where none is like that. A request that is being worked
 *                   on or answered, and one with a valid token, has its place for as long as its deadline allows. It is the
 *                   reaper too: every quarter of a second it cuts connections whose request has been going on for
 *                   longer than request_seconds, however busily its bytes trickle.
 *   pool threads    libmicrohttpd's epoll loops; parse requests, collect bodies, call handle(), send responses.
 *   other threads   http_pending_done(), when what a request waited for has happened.
 *
 * With TLS there are two of libmicrohttpd's daemons: one that speaks it, for TCP, and one with a single thread that does not, for
 * UNIX sockets and the watchdog.
 *
 * What never reaches a route, since libmicrohttpd would let it through: both Content-Length and Transfer-Encoding, several
 * of one of them or of Host, HTTP/1.1 without Host, HTTP/1.0 with Transfer-Encoding, NUL, bare LF, bare CR or other control
 * characters among the request line and headers, folded headers, blanks in the target (400, close); other transfer codings than
 * chunked (501, close); other content codings than gzip and deflate (415); bodies over the limit (413, before they are read when their length is known). After a chunked
 * body the connection is closed: how chunks were spelled is not to be seen, and nothing behind them can then be smuggled in.
 * Their connections linger for a moment, draining what the client still sends, so that it can read the response.
 *
 * What libmicrohttpd refuses by itself, before it calls us: a Content-Length or the size of a chunk that is no number or has more than 64
 * bits, a request line and headers of more than 20 KiB, HTTP/1.1 without Host, a version that is none. That is its own short page of HTML, not
 * application/problem+json, with a status of 400 or above (0.9.75 sends the head of such a response twice where it comes amid the headers), or no
 * answer at all, and the connection is closed. It is counted apart (convd_http_requests_unheard_total) and logged with the requests, at
 * debug.
 *
 * Program and library meet when the program starts: the package of Debian 12 (0.9.75) runs on Debian 13's libmicrohttpd (1.0) too. Left
 * to itself, 1.0 mends a request before convd sees it (folded headers, blanks and NUL in the target); told to be strict, it refuses
 * what it would mend, and what is left has one reading in both.
 *
 * A request that has to wait (for the trainer, for a thread of server/common/offload.h) hands a struct http_pending back. Its connection
 * sleeps, at no cost but memory, until http_pending_done(), or until request_seconds are over: then the client is told 503, and the
 * pending, whose owner may still be at work on it, is freed when it is done. One that can be cancelled is never abandoned like that, so
 * that its owner may read the request and write the response until it is done; it is cancelled as well when its client has gone, which the
 * reaper finds out: closed both ways or for writing, as nginx takes it too.
 *
 * In reading order:
 *   http.c             from start to stop
 *   internal.h         what these files share; the only header that includes microhttpd.h
 *   listen.{h,c}       listening sockets: our own, or those that systemd passed
 *   acceptor.{h,c}     the thread that accepts connections
 *   connections.c      who comes in, who must leave: places, idleness, deadlines
 *   exchange.c         one request, from its line to the last byte of its response
 *   headers.{h,c}      its headers, and whether their framing can be trusted
 *   body_buffer.{h,c}  its body, while it comes in
 *   coding.{h,c}       Content-Encoding of the body
 *   pending.c          a request that waits
 *   send.c             a response as a response of libmicrohttpd
 *   stream.c           a response that comes piece by piece
 *   connection.c       one connection, for all of these: it has got on, its client has gone
 *   tls.{h,c}          a certificate and its key
 *   affinity.{h,c}     no two HTTP threads on one processor
 */
#ifndef CONVD_SERVER_HTTP_HTTP_H
#define CONVD_SERVER_HTTP_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "server/access/guard.h"
#include "server/access/proxy.h"
#include "server/common/cancel.h"
#include "server/message/request.h"
#include "server/message/response.h"

struct http_pending {
    /* Called in the HTTP thread once everything is set up for done() to come at any time. Must lead to exactly one
     * http_pending_done(), from any thread, before or after it returns. */
    void (*start)(struct http_pending *pending);
    /* Writes the response, in the HTTP thread, after done. Not called when the client's deadline has passed. */
    void (*finish)(struct http_pending *pending, struct response *response);
    /* Frees it: always the last call, in whatever thread. */
    void (*free)(struct http_pending *pending);
    /* Where set: ends it early; done() follows within moments. May come several times, in the accept thread, which it must not keep. */
    void (*cancel)(struct http_pending *pending, enum cancel_reason reason);
    /* What the request waits for next, instead of being answered: set before done, or by finish(); http takes it over. */
    struct http_pending *next;

    /* http's own */
    void *suspended;
    atomic_int state;
};

/* http_decode - the body of handle()'s request, whose coding is not CODING_NONE, in place: from then on it is. By handle(), or by whom a pending is at
 * work. 1: it is more than n_max bytes, or decodes to more: nothing has changed. Errors: those of http/coding.h. */
int http_decode(struct request *request, uint64_t n_max, const struct cancel *cancel, struct err *err);

void http_pending_done(struct http_pending *pending);

/* http_stream_wake - any thread: read() of a response's stream (message/response.h) is worth a call. */
void http_stream_wake(struct http_stream *stream);

struct http_config {
    const int *listen_fds; /* listening sockets; closed by http_drain()                       */
    unsigned n_listen_fds;
    unsigned threads;
    unsigned connections; /* at most                                                              */
    unsigned spare;       /* descriptors beside theirs: of those that are being closed, or linger */
    bool tokens;          /* authorize() knows some: who has sent one is not displaced            */
    unsigned idle_seconds, request_seconds;
    uint64_t body_bytes;
    struct guard guard;
    struct proxies proxies;
    const char *certificate, *key; /* PEM, for TLS on all TCP sockets; NULL: none. Live until http_stop()  */

    /* Whether problems of that path carry the Open Inference Protocol's `error` as well. */
    bool (*oip)(const char *path);
    void *context; /* of the four below */
    /* Asked in a pool thread when the headers are there and sound, before any body is: 0, or -1 with the refusal in response. */
    int (*authorize)(void *context, struct request *request, struct response *response);
    /* Answers one request, in a pool thread; or sets *pending. */
    void (*handle)(void *context, struct request *request, struct response *response, struct http_pending **pending);
    /* Every response that was begun, with the time from the request line to the response's last byte. */
    void (*completed)(void *context, const struct request *request, unsigned status, uint64_t nanoseconds);
    /* Four times a second, in the accept thread, which it may not keep for longer than some microseconds. */
    void (*tick)(void *context, int64_t now_ms);
};

struct http_counts {
    uint64_t connections_now, connections_max, connections_total, refused, reaped, unheard, displaced, suspended_now,
        body_bytes_now, reply_bytes_now;
};

struct http;

/* http_start - begins to accept. config is copied. Errors: ERR_NETWORK, ERR_MEMORY. */
int http_start(struct http **out, const struct http_config *config, struct err *err);

/* http_library - the version of the library that is there at run time. */
const char *http_library(void);

struct http_counts http_counts(struct http *http);

/* http_attach - serves a connected stream socket, which http then owns: what the watchdog listens to the HTTP threads' hearts
 * with. Thread number fd % threads serves it, with TLS where there is a certificate; or, where `local`, the thread of the UNIX
 * sockets. false: refused and closed. */
bool http_attach(struct http *http, int fd, bool local);

/* http_drain - stops listening, lets requests in progress end (each response says Connection: close), closes idle
 * connections; returns when there are none left, or after that many milliseconds, or as soon as hurry(), asked a hundred
 * times a second, says so (NULL: never): then true. */
bool http_drain(struct http *http, unsigned milliseconds, bool (*hurry)(void));

/* http_stop - after http_drain(), and when no http_pending_done() is to come any more: ends all threads, frees. */
void http_stop(struct http *http);

#endif
