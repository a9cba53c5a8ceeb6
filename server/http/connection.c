/* connection.c - what is done to one connection, for all that are above: it has got on, or its client has gone. */
#include <poll.h>
#include <sys/socket.h>

#include "server/common/clock.h"
#include "server/http/internal.h"

void http_connection_move(struct http_connection *connection, enum http_phase phase)
{
    atomic_store_explicit(&connection->phase, phase, memory_order_relaxed);
    atomic_store_explicit(&connection->moved_ms, coarse_ms(), memory_order_relaxed);
}

bool http_connection_is_gone(const struct http_connection *connection)
{
    struct pollfd look = {.fd = connection->fd, .events = POLLRDHUP};
    return poll(&look, 1, 0) == 1;
}

void http_connection_tell_of_end(const struct http_connection *connection)
{
    char byte;
    if (recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        (void)shutdown(connection->fd, SHUT_RD);
}
