/* proxy.c - see access/proxy.h */
#include "server/access/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define V4_BITS 96u /* of ::ffff:0:0/96 */

static void map_v4(uint8_t address[16], const struct in_addr *v4)
{
    memset(address, 0, 10);
    memset(address + 10, 0xff, 2);
    memcpy(address + 12, v4, sizeof *v4);
}

/* "address" or "address/bits" */
static bool parse_network(struct proxy_network *out, char *text)
{
    char *slash = strchr(text, '/'), *end = NULL;
    if (slash != NULL)
        *slash++ = '\0';
    struct in_addr v4;
    const bool is_v4 = inet_pton(AF_INET, text, &v4) == 1;
    if (is_v4)
        map_v4(out->address, &v4);
    else if (inet_pton(AF_INET6, text, out->address) != 1)
        return false;
    const unsigned most = is_v4 ? 128 - V4_BITS : 128;
    const unsigned long bits = slash == NULL ? most : strtoul(slash, &end, 10);
    if (slash != NULL && (*slash < '0' || *slash > '9' || *end != '\0'))
        return false;
    out->bits = (unsigned)bits + (is_v4 ? V4_BITS : 0);
    return bits <= most;
}

int proxies_parse(struct proxies *out, const char *list, struct err *err)
{
    *out = (struct proxies){.local = false};
    for (const char *at = list; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
        char one[64];
        const int n = (int)strcspn(at, ",");
        (void)snprintf(one, sizeof one, "%.*s", n, at);
        if (strcmp(one, "unix") == 0) {
            out->local = true;
            continue;
        }
        if (out->n_networks == PROXY_NETWORKS_MAX)
            return err_set(err, ERR_USAGE, "--trusted-proxy has more than %u addresses", PROXY_NETWORKS_MAX);
        if ((size_t)n >= sizeof one || !parse_network(&out->networks[out->n_networks++], one))
            return err_set(
                err, ERR_USAGE,
                "--trusted-proxy: \"%.*s\" is neither an IP address, nor a network such as 10.0.0.0/8, nor \"unix\"",
                n < 60 ? n : 60, at);
    }
    return 0;
}

static bool within(const struct proxy_network *network, const uint8_t address[16])
{
    const unsigned bytes = network->bits / 8, rest = network->bits % 8;
    return memcmp(network->address, address, bytes) == 0 &&
           (rest == 0 || (network->address[bytes] ^ address[bytes]) >> (8 - rest) == 0);
}

bool proxies_believe(const struct proxies *proxies, const struct sockaddr *peer)
{
    uint8_t address[16];
    if (peer->sa_family == AF_INET)
        map_v4(address, &((const struct sockaddr_in *)(const void *)peer)->sin_addr);
    else if (peer->sa_family == AF_INET6)
        memcpy(address, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, sizeof address);
    else
        return proxies->local;
    for (unsigned i = 0; i < proxies->n_networks; i++)
        if (within(&proxies->networks[i], address))
            return true;
    return false;
}

/* The last of a header's values; NULL: there is none. */
static const char *last_value(const char *header)
{
    const char *comma = header == NULL ? NULL : strrchr(header, ',');
    const char *value = comma != NULL ? comma + 1 + strspn(comma + 1, " \t") : header;
    return value != NULL && *value != '\0' ? value : NULL;
}

void proxies_apply(struct request *request)
{
    const char *host = last_value(request->forwarded_host), *scheme = last_value(request->forwarded_proto);
    if (host != NULL)
        request->host = host;
    if (scheme != NULL)
        request->https = strcasecmp(scheme, "https") == 0;
    request->client = last_value(request->forwarded_for);
}
