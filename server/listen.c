/* listen.c - see listen.h */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 511

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->ss_family == AF_INET6) {
        const struct in6_addr *in = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(in) || (IN6_IS_ADDR_V4MAPPED(in) && in->s6_addr[12] == 127);
    }
    return address->ss_family == AF_UNIX; /* guarded by the file's permissions */
}

static int refuse_anywhere(const char *where, struct err *err)
{
    return err_set(err, ERR_USAGE,
                   "%.80s is not a loopback address: whoever reaches it could train and change the model; listen on "
                   "127.0.0.1, or say --listen-anywhere if that is meant",
                   where);
}

int listen_parse(struct listen_address *out, const char *text, bool anywhere, struct err *err)
{
    char host[256] = "127.0.0.1", port[8];
    const char *colon = strrchr(text, ':'), *digits = colon != NULL ? colon + 1 : text;
    size_t n_host = colon != NULL ? (size_t)(colon - text) : 0, n_port = strlen(digits);
    bool bracketed = n_host > 1 && text[0] == '[' && text[n_host - 1] == ']';
    if (n_port == 0 || n_port > 5 || strspn(digits, "0123456789") != n_port || n_host >= sizeof host ||
        (!bracketed && memchr(text, ':', n_host) != NULL))
        return err_set(err, ERR_USAGE,
                       "\"%.80s\" is not an address to listen on: 127.0.0.1:8080 or [::1]:8080 would be", text);
    memcpy(port, digits, n_port + 1);
    if (n_host > 0) {
        memcpy(host, text + (bracketed ? 1 : 0), n_host - (bracketed ? 2 : 0));
        host[n_host - (bracketed ? 2 : 0)] = '\0';
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int status = getaddrinfo(host, port, &hints, &found);
    if (status != 0)
        return err_set(err, ERR_USAGE, "cannot listen on \"%.80s\": %s", text, gai_strerror(status));
    *out = (struct listen_address){.n_address = found->ai_addrlen, .family = found->ai_family};
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    out->loopback = is_loopback(&out->address);
    return out->loopback || anywhere ? 0 : refuse_anywhere(text, err);
}

/* "127.0.0.1" or "[::1]", as it stands in a URL; the port beside it. "": neither kind of address. */
static unsigned address_host(char host[INET6_ADDRSTRLEN + 2], const struct sockaddr_storage *address)
{
    host[0] = '\0';
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, INET6_ADDRSTRLEN);
        return ntohs(in->sin_port);
    }
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)address;
        char bare[INET6_ADDRSTRLEN] = "";
        (void)inet_ntop(AF_INET6, &in->sin6_addr, bare, sizeof bare);
        (void)snprintf(host, INET6_ADDRSTRLEN + 2, "[%s]", bare);
        return ntohs(in->sin6_port);
    }
    return 0;
}

int listen_open(int *out, const struct listen_address *address, struct err *err)
{
    int on = 1, fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, ERR_NETWORK, "cannot make a socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* not to wait for old connections to time out */
    if (bind(fd, (const struct sockaddr *)&address->address, address->n_address) == 0 && listen(fd, BACKLOG) == 0) {
        *out = fd;
        return 0;
    }
    const int why = errno;
    char host[INET6_ADDRSTRLEN + 2];
    const unsigned port = address_host(host, &address->address);
    err_set(err, ERR_NETWORK, "cannot listen on %s:%u: %s%s", host, port, strerror(why),
            why == EADDRINUSE ? "; another program does; choose another port, or 0 for a free one" : "");
    close(fd);
    return -1;
}

int listen_describe(char url[LISTEN_URL_BYTES], struct guard *guard, int fd, bool anywhere, struct err *err)
{
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return err_set(err, ERR_NETWORK, "not a socket: %s", strerror(errno));
    *guard = (struct guard){0};
    char host[INET6_ADDRSTRLEN + 2];
    const unsigned port = address_host(host, &address);
    if (host[0] == '\0') {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address;
        (void)snprintf(url, LISTEN_URL_BYTES, "unix:%s", n > sizeof un->sun_family ? un->sun_path : "");
        return 0; /* a proxy's name is in Host, whatever that is: no guard */
    }
    (void)snprintf(guard->listen_host, sizeof guard->listen_host, "%s", host);
    (void)snprintf(url, LISTEN_URL_BYTES, "http://%s:%u", host, port);
    guard->loopback_only = is_loopback(&address);
    return guard->loopback_only || anywhere ? 0 : refuse_anywhere(url, err);
}
