/* proxy.h - reverse proxies that are believed: what they say of the client in X-Forwarded-Host, -Proto and -For.
 *
 * From everybody else these headers are nothing. Where a header has several values, the last one counts: the proxy that convd
 * speaks with has written it.
 */
#ifndef CONVD_SERVER_ACCESS_PROXY_H
#define CONVD_SERVER_ACCESS_PROXY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/err.h"
#include "server/message/request.h"

#define PROXY_NETWORKS_MAX 16u

struct proxies {
    struct proxy_network {
        uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
        unsigned bits;       /* of it that count       */
    } networks[PROXY_NETWORKS_MAX];
    unsigned n_networks;
    bool local; /* whoever connects to a UNIX socket */
};

/* proxies_parse - "10.0.0.5", "10.0.0.0/8", "fd00::/8", "unix", or several with commas; NULL: none. Errors: ERR_USAGE. */
int proxies_parse(struct proxies *out, const char *list, struct err *err);

/* proxies_believe - whether that peer is one of them. */
bool proxies_believe(const struct proxies *proxies, const struct sockaddr *peer);

/* proxies_apply - the request as the proxy's client made it: host, https, client. */
void proxies_apply(struct request *request);

#endif
