/* acceptor.h - the thread that accepts connections, ticks four times a second, and drains what refused clients still send.
 *
 * Where the callee has no room, or the process no descriptors, new connections wait in the kernel's queue: until acceptor_wake(), or
 * until the next tick.
 *
 * Accepting is ours and not libmicrohttpd's: its own way to stop listening (MHD_quiesce_daemon) races with its pool's threads and aborts
 * the process when it loses; here the thread that polls the socket is the one that closes it.
 */
#ifndef CONVD_SERVER_HTTP_ACCEPTOR_H
#define CONVD_SERVER_HTTP_ACCEPTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/err.h"

#define ACCEPTOR_SOCKETS_MAX   8u
#define ACCEPTOR_LINGERERS_MAX 32u
#define ACCEPTOR_TICK_MS       250

struct acceptor;

struct acceptor_calls {
    void *context;
    unsigned n_lingerers; /* acceptor_linger(), at most; up to ACCEPTOR_LINGERERS_MAX */
    /* before each new connection: whether there may be one, now */
    bool (*ready)(void *context);
    /* there is one, but no descriptor for it */
    void (*starved)(void *context);
    /* a new connection, non-blocking, with TCP_NODELAY; the callee owns fd */
    void (*admit)(void *context, int fd, const struct sockaddr *address, socklen_t n_address);
    void (*tick)(void *context, int64_t now_ms);
};

/* acceptor_wake - there may be room again. Any thread. */
void acceptor_wake(struct acceptor *acceptor);

/* acceptor_start - takes the listening sockets over. Errors: ERR_MEMORY, ERR_NETWORK (then the sockets stay the caller's). */
int acceptor_start(struct acceptor **out, const int *fds, unsigned n_fds, const struct acceptor_calls *calls,
                   struct err *err);

/* acceptor_linger - reads and drops what comes on fd until its end, two seconds or 64 MiB, then closes it: closing at once
 * would send a reset, and the client might never see the response that told it why. Any thread; owns fd. */
void acceptor_linger(struct acceptor *acceptor, int fd);

/* acceptor_deafen - closes the listening sockets; returns when that is done. */
void acceptor_deafen(struct acceptor *acceptor);

/* acceptor_stop - ends the thread. acceptor_free - when nobody calls acceptor_linger() or acceptor_wake() any more. NULL is fine. */
void acceptor_stop(struct acceptor *acceptor);
void acceptor_free(struct acceptor *acceptor);

#endif
