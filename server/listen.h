/* listen.h - listening sockets: our own by address, or those that systemd passed, and what to call them. */
#ifndef CONVD_SERVER_LISTEN_H
#define CONVD_SERVER_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/err.h"
#include "server/guard.h"

#define LISTEN_URL_BYTES 160u

/* An address that has been understood but not yet used. */
struct listen_address {
    struct sockaddr_storage address;
    socklen_t n_address;
    int family;
    bool loopback;
};

/* listen_parse - "127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080" or "8080" (127.0.0.1). Not on loopback: only
 * with `anywhere`. Errors: ERR_USAGE. */
int listen_parse(struct listen_address *out, const char *text, bool anywhere, struct err *err);

/* listen_open - binds and listens. Errors: ERR_NETWORK. */
int listen_open(int *out, const struct listen_address *address, struct err *err);

/* listen_describe - what the socket is bound to: its URL ("http://127.0.0.1:8080"; "unix:/run/x" for a path), the guard's
 * settings, and, for sockets from elsewhere, whether that is allowed without `anywhere`. Errors: ERR_USAGE, ERR_NETWORK. */
int listen_describe(char url[LISTEN_URL_BYTES], struct guard *guard, int fd, bool anywhere, struct err *err);

#endif
