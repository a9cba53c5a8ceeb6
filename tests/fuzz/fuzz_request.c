/* fuzz_request.c - a request's head, as it comes: target, query, headers, and who may ask. It is cut up as libmicrohttpd
 * cuts it: zeros in place of the blanks of the first line, of colons and of line ends, pointers into one block. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/access/auth.h"
#include "server/access/guard.h"
#include "server/access/proxy.h"
#include "server/http/coding.h"
#include "server/http/headers.h"
#include "server/message/request.h"
#include "tests/fuzz/fuzz.h"

static const char token[] = "0123456789abcdef-._~+/=";

/* With one token, which opens everything. */
static struct auth *make_auth(void)
{
    struct auth *auth = NULL;
    struct err err;
    char path[32];
    int fd = memfd_create("token", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, token, sizeof token - 1) == (ssize_t)sizeof token - 1 && fchmod(fd, 0600) == 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    must(auth_open(&auth, NULL, path, &err) == 0);
    (void)close(fd);
    return auth;
}

static void grant(const char *authorization)
{
    static struct auth *auth;
    if (auth == NULL)
        auth = make_auth();
    if (auth_grant(auth, authorization) != ACCESS_NONE)
        must(authorization != NULL && strstr(authorization, token) != NULL);
}

static void ask(struct request *request)
{
    struct err err;
    grant(request->authorization);
    uint64_t number = 3;
    struct guard guard;
    static const char *const allowed[] = {"top", "label", "labels", NULL};
    if (request_params_check(request, allowed, &err) != 0)
        must_tell(&err);
    if (request_param_number(request, "top", 1, 10, &number, &err) != 0)
        must_tell(&err);
    must(number >= 1 && number <= 10);
    (void)request_param(request, "label");
    if (http_coding(&request->coding, request->content_encoding, &err) != 0)
        must_tell(&err);
    (void)media_type_is(request->content_type, "application/json");
    (void)etag_matches(request->if_none_match, "\"r17\"");
    for (int i = 0; i < 8; i++) {
        guard = (struct guard){.loopback_only = (i & 1) != 0, .hosts = (i & 2) != 0 ? "cam.example,convd" : NULL};
        if (guard_check(&guard, (i & 4) != 0, request, &err) != 0)
            must_tell(&err);
    }
    if (request->host != NULL) {
        (void)host_is_loopback(request->host);
        (void)guard_hosts_check(request->host, &err);
        struct proxies proxies;
        (void)proxies_parse(&proxies, request->host, &err);
    }
}

/* The end of the line that begins at `at`, and whether CR stands before its LF. */
static char *line_end(char *at, char *end, size_t *n_line)
{
    char *lf = memchr(at, '\n', (size_t)(end - at));
    if (lf == NULL)
        return NULL;
    *n_line = (size_t)(lf - at) - (lf > at && lf[-1] == '\r');
    return lf + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    char *block = exact_text(bytes, n_bytes), *end = block + n_bytes, *at = block;
    struct request request = {0};
    struct http_headers headers = {.request = &request};
    struct err err;
    size_t n_line = 0;
    char *next = line_end(at, end, &n_line), *target = NULL;
    char *blank = next != NULL ? memchr(at, ' ', n_line) : NULL;
    char *second = blank != NULL ? memchr(blank + 1, ' ', n_line - (size_t)(blank + 1 - at)) : NULL;
    if (second == NULL)
        goto out;
    *blank = *second = at[n_line] = '\0';
    size_t n_target = (size_t)(second - blank - 1);
    target = exact_text((const uint8_t *)blank + 1, n_target);
    request.method = method_parse(at);
    must(method_name(request.method) != NULL);
    http_headers_line(&headers, at, target, blank + 1, n_target, second + 1);
    for (at = next; (next = line_end(at, end, &n_line)) != NULL && n_line > 0; at = next) {
        char *colon = memchr(at, ':', n_line);
        if (colon == NULL)
            break;
        char *value = colon + 1;
        while (value < at + n_line && (*value == ' ' || *value == '\t'))
            value++;
        *colon = at[n_line] = '\0';
        http_headers_add(&headers, at, (size_t)(colon - at), value, (size_t)(at + n_line - value));
    }
    http_headers_end(&headers, (size_t)((next != NULL ? next : end) - block));
    if (http_headers_check(&headers, true, &err) != 0)
        must_tell(&err);
    if (request_target(&request, target, &err) != 0) {
        must_tell(&err);
    } else {
        must(strnlen(request.path, REQUEST_PATH_BYTES) < REQUEST_PATH_BYTES);
        must(request.n_params <= REQUEST_PARAMS_MAX);
        ask(&request);
        proxies_apply(&request);
        ask(&request);
    }
out:
    free(target);
    free(block);
    return 0;
}
