/* guard.c - see access/guard.h */
#include "server/access/guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* Length of the host part of "host:port", "[v6]:port", "host". */
static size_t host_length(const char *host)
{
    if (host[0] == '[') {
        const char *end = strchr(host, ']');
        return end == NULL ? 0 : (size_t)(end - host) + 1;
    }
    return strcspn(host, ":");
}

/* What follows the host is nothing or a port. */
static bool port_ok(const char *rest)
{
    return *rest == '\0' || (*rest == ':' && strspn(rest + 1, "0123456789") == strlen(rest + 1));
}

bool host_is_loopback(const char *host)
{
    static const char suffix[] = ".localhost";
    size_t n = host_length(host), n_suffix = sizeof suffix - 1;
    if (n == 0 || !port_ok(host + n))
        return false;
    if (n > 1 && host[n - 1] == '.') /* "localhost." is the same name */
        n--;
    if (n == 9 && strncasecmp(host, "localhost", 9) == 0)
        return true;
    if (n > n_suffix && strncasecmp(host + n - n_suffix, suffix, n_suffix) == 0)
        return true;
    char address[64];
    if (n >= sizeof address)
        return false;
    if (host[0] == '[') {
        struct in6_addr v6;
        memcpy(address, host + 1, n - 2);
        address[n - 2] = '\0';
        return inet_pton(AF_INET6, address, &v6) == 1 &&
               (IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
    }
    struct in_addr v4;
    memcpy(address, host, n);
    address[n] = '\0';
    return inet_pton(AF_INET, address, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

static bool same_origin(const char *origin, const char *host, bool tls)
{
    size_t scheme = strncasecmp(origin, "https://", 8) == 0          ? 8
                    : !tls && strncasecmp(origin, "http://", 7) == 0 ? 7
                                                                     : 0;
    return scheme != 0 && host != NULL && strcasecmp(origin + scheme, host) == 0;
}

static bool is(const char *value, const char *word)
{
    return value != NULL && strcmp(value, word) == 0;
}

/* Somebody follows a link to the page: in a tab, not in a frame of another page. */
static bool opens_page(const struct request *request)
{
    return (request->method == METHOD_GET || request->method == METHOD_HEAD) && strcmp(request->path, "/") == 0 &&
           is(request->fetch_mode, "navigate") && is(request->fetch_dest, "document");
}

#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

int guard_hosts_check(const char *hosts, struct err *err)
{
    for (const char *at = hosts; strcmp(hosts, "*") != 0; at++) {
        const size_t n = strspn(at, HOST_CHARACTERS);
        if (n == 0 || (at[n] != ',' && at[n] != '\0'))
            return err_set(err, ERR_USAGE,
                           "--host: \"%.60s\" is no name of a host without scheme and port, such as cam.example, nor "
                           "several with commas, nor *",
                           at);
        at += n;
        if (*at == '\0')
            break;
    }
    return 0;
}

/* Whether the list has that host, its port and a last dot aside. */
static bool is_listed(const char *hosts, const char *host)
{
    size_t n = host_length(host);
    if (n == 0 || !port_ok(host + n))
        return false;
    if (strcmp(hosts, "*") == 0)
        return true;
    n -= n > 1 && host[n - 1] == '.' ? 1 : 0;
    for (const char *at = hosts;; at++) {
        const size_t n_name = strcspn(at, ",");
        if (n_name == n && strncasecmp(at, host, n) == 0)
            return true;
        at += n_name;
        if (*at == '\0')
            return false;
    }
}

static bool is_served(const struct guard *guard, const char *host)
{
    return (guard->hosts == NULL && !guard->loopback_only) || host_is_loopback(host) ||
           (guard->hosts != NULL && is_listed(guard->hosts, host));
}

int guard_check(const struct guard *guard, bool local, const struct request *request, struct err *err)
{
    if (!local && request->host != NULL && !is_served(guard, request->host))
        return err_set(err, ERR_FORBIDDEN,
                       "convd does not serve the host \"%.80s\": use localhost or 127.0.0.1, or start it with "
                       "--host %.*s",
                       request->host, (int)strcspn(request->host, ":"), request->host);
    if (request->origin != NULL && !same_origin(request->origin, request->host, request->https))
        return err_set(err, ERR_FORBIDDEN, "requests from pages of another origin (%.80s) are refused",
                       request->origin);
    if (request->fetch_site != NULL && !is(request->fetch_site, "same-origin") && !is(request->fetch_site, "none") &&
        !opens_page(request))
        return err_set(err, ERR_FORBIDDEN, "requests from pages of another site are refused, except links to /");
    return 0;
}
