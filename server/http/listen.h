/* listen.h - listening sockets: our own by address or path, or those that systemd passed, and what to call them.
 *
 * A UNIX socket is a file, and its permissions say who may connect. The file of a daemon that died is still there and
 * in the way; it is removed only when nobody answers behind it, and never when it is no socket. It is made with no
 * permissions but its owner's and given the mode asked for after that, so that there is no moment at which it is more
 * open.
 */
#ifndef CONVD_SERVER_HTTP_LISTEN_H
#define CONVD_SERVER_HTTP_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "core/err.h"

#define LISTEN_URL_BYTES 160u

/* An address that has been understood but not yet used. */
struct listen_address {
    struct sockaddr_storage address;
    socklen_t n_address;
    int family;
    dev_t device; /* of a UNIX socket's file, once listen_open() has made it */
    ino_t inode;  /* 0: it has not                                          */
};

/* listen_parse - "127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080" or "8080" (127.0.0.1), "unix:/run/convd.sock",
 * or several of them, with commas between them. Not on loopback: only with `anywhere`.
 * Errors: ERR_USAGE: not understood, too many (over n_max), too far away. */
int listen_parse(struct listen_address *out, unsigned *n_out, unsigned n_max, const char *text, bool anywhere,
                 struct err *err);

/* listen_parse_mode - "0660" or "660": permissions of a UNIX socket, in octal. Errors: ERR_USAGE. */
int listen_parse_mode(mode_t *out, const char *text, struct err *err);

/* listen_path - the file of a UNIX socket; NULL: it is none. */
const char *listen_path(const struct listen_address *address);

/* listen_open - binds and listens; mode: of a UNIX socket's file. Errors: ERR_NETWORK. */
int listen_open(int *out, struct listen_address *address, mode_t mode, struct err *err);

/* listen_remove - removes the file of a UNIX socket that listen_open() made, unless it is another's by now. The socket itself
 * must have been closed. */
void listen_remove(const struct listen_address *address);

/* What a listening socket is bound to. */
struct listen_place {
    char url[LISTEN_URL_BYTES]; /* "http://127.0.0.1:8080", "https://..." with TLS; "unix:/run/x" for a path */
    bool local;                 /* a UNIX socket, which never speaks TLS                                     */
    bool loopback;              /* a UNIX socket or a loopback address                                       */
};

/* listen_describe - for sockets from elsewhere too, which must be on loopback or `anywhere`. Errors: ERR_USAGE, ERR_NETWORK. */
int listen_describe(struct listen_place *out, int fd, bool tls, bool anywhere, struct err *err);

#endif
