/* listen.c - see http/listen.h */
#include "server/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char unix_prefix[] = "unix:";

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
                   "%.80s is not a loopback address, so anyone could train and change the model: listen on 127.0.0.1, "
                   "set tokens (--write-token-file, --read-token-file), or allow it with --listen-anywhere",
                   where);
}

static int parse_path(struct listen_address *out, const char *path, size_t n, struct err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (n == 0 || n >= sizeof un.sun_path)
        return err_set(err, ERR_USAGE, "\"unix:%.*s\": a path of 1 to %zu bytes must follow", (int)(n < 80 ? n : 80),
                       path, sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, n);
    *out = (struct listen_address){.n_address = sizeof un, .family = AF_UNIX};
    memcpy(&out->address, &un, sizeof un);
    return 0;
}

static int parse_one(struct listen_address *out, const char *text, bool anywhere, struct err *err)
{
    char host[256] = "127.0.0.1", port[8];
    const char *colon = strrchr(text, ':'), *digits = colon != NULL ? colon + 1 : text;
    size_t n_host = colon != NULL ? (size_t)(colon - text) : 0, n_port = strlen(digits);
    bool bracketed = n_host > 1 && text[0] == '[' && text[n_host - 1] == ']';
    if (strncmp(text, unix_prefix, strlen(unix_prefix)) == 0)
        return parse_path(out, text + strlen(unix_prefix), strlen(text + strlen(unix_prefix)), err);
    if (n_port == 0 || n_port > 5 || strspn(digits, "0123456789") != n_port || n_host >= sizeof host ||
        (!bracketed && memchr(text, ':', n_host) != NULL) || strtoul(digits, NULL, 10) > UINT16_MAX)
        return err_set(
            err, ERR_USAGE,
            "\"%.80s\" is not an address to listen on: use 127.0.0.1:8080, [::1]:8080 or unix:/run/convd.sock", text);
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
    return is_loopback(&out->address) || anywhere ? 0 : refuse_anywhere(text, err);
}

int listen_parse(struct listen_address *out, unsigned *n_out, unsigned n_max, const char *text, bool anywhere,
                 struct err *err)
{
    *n_out = 0;
    for (const char *at = text;; at++) {
        char one[512];
        size_t n = strcspn(at, ",");
        if (*n_out == n_max)
            return err_set(err, ERR_USAGE, "too many addresses to listen on; the limit is %u", n_max);
        if (n >= sizeof one)
            return err_set(err, ERR_USAGE, "\"%.80s\" is not an address to listen on: it is too long", at);
        memcpy(one, at, n);
        one[n] = '\0';
        if (parse_one(&out[*n_out], one, anywhere, err) != 0)
            return -1;
        ++*n_out;
        at += n;
        if (*at == '\0')
            return 0;
    }
}

int listen_parse_mode(mode_t *out, const char *text, struct err *err)
{
    size_t n = strlen(text);
    if (n < 3 || n > 4 || strspn(text, "01234567") != n || (n == 4 && text[0] != '0'))
        return err_set(err, ERR_USAGE, "\"%.40s\" is not a mode of a socket: use 0660 or 0600", text);
    *out = (mode_t)strtoul(text, NULL, 8);
    return 0;
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

/* Whether a server answers at this path; EAGAIN: it does, but its queue is full. */
static bool is_answered(const struct listen_address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true; /* it is not known that nobody does */
    bool answered =
        connect(fd, (const struct sockaddr *)&address->address, address->n_address) == 0 || errno != ECONNREFUSED;
    (void)close(fd);
    return answered;
}

static int bind_path(int fd, struct listen_address *address, mode_t mode, struct err *err)
{
    const char *path = ((const struct sockaddr_un *)(const void *)&address->address)->sun_path;
    struct stat about;
    if (lstat(path, &about) == 0) {
        if (!S_ISSOCK(about.st_mode))
            return err_set(err, ERR_NETWORK, "cannot listen on unix:%s: the path exists and is not a socket", path);
        if (is_answered(address))
            return err_set(err, ERR_NETWORK, "cannot listen on unix:%s: another program listens there", path);
        (void)unlink(path); /* left by one that died; where it cannot be removed, bind() says why */
    }
    /* Linux makes the file with the mode of the socket's own inode, less the umask: closed from the first moment on. */
    (void)fchmod(fd, S_IRUSR | S_IWUSR);
    if (bind(fd, (const struct sockaddr *)&address->address, address->n_address) != 0)
        return err_set(err, ERR_NETWORK, "cannot listen on unix:%s: %s", path, strerror(errno));
    if (chmod(path, mode) != 0 || lstat(path, &about) != 0) {
        err_set(err, ERR_NETWORK, "cannot set the permissions of %s: %s", path, strerror(errno));
        (void)unlink(path);
        return -1;
    }
    address->device = about.st_dev;
    address->inode = about.st_ino;
    return 0;
}

static int bind_tcp(int fd, const struct listen_address *address, struct err *err)
{
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* not to wait for old connections to time out */
    if (bind(fd, (const struct sockaddr *)&address->address, address->n_address) == 0)
        return 0;
    const int why = errno;
    char host[INET6_ADDRSTRLEN + 2];
    const unsigned port = address_host(host, &address->address);
    return err_set(err, ERR_NETWORK, "cannot listen on %s:%u: %s%s", host, port, strerror(why),
                   why == EADDRINUSE ? "; another program listens there: choose another port, or 0 for a free one"
                                     : "");
}

int listen_open(int *out, struct listen_address *address, mode_t mode, struct err *err)
{
    int fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, ERR_NETWORK, "cannot make a socket: %s", strerror(errno));
    int status = address->family == AF_UNIX ? bind_path(fd, address, mode, err) : bind_tcp(fd, address, err);
    if (status == 0 && listen(fd, SOMAXCONN) != 0) {
        status = err_set(err, ERR_NETWORK, "cannot listen: %s", strerror(errno));
        listen_remove(address);
    }
    if (status == 0)
        *out = fd;
    else
        (void)close(fd);
    return status;
}

const char *listen_path(const struct listen_address *address)
{
    return address->family == AF_UNIX ? ((const struct sockaddr_un *)(const void *)&address->address)->sun_path : NULL;
}

void listen_remove(const struct listen_address *address)
{
    struct stat about;
    const char *path = listen_path(address);
    if (path == NULL || address->inode == 0)
        return;
    /* The number of a file that was removed is soon another's: only one behind which nobody is can be ours. */
    if (lstat(path, &about) == 0 && about.st_dev == address->device && about.st_ino == address->inode &&
        !is_answered(address))
        (void)unlink(path);
}

int listen_describe(struct listen_place *out, int fd, bool tls, bool anywhere, struct err *err)
{
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return err_set(err, ERR_NETWORK, "not a socket: %s", strerror(errno));
    *out = (struct listen_place){.local = address.ss_family == AF_UNIX, .loopback = is_loopback(&address)};
    char host[INET6_ADDRSTRLEN + 2];
    const unsigned port = address_host(host, &address);
    if (out->local) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address;
        (void)snprintf(out->url, sizeof out->url, "%s%s", unix_prefix, n > sizeof un->sun_family ? un->sun_path : "");
    } else {
        (void)snprintf(out->url, sizeof out->url, "http%s://%s:%u", tls ? "s" : "", host, port);
    }
    return out->loopback || anywhere ? 0 : refuse_anywhere(out->url, err);
}
