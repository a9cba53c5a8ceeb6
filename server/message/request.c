/* request.c - see message/request.h */
#include "server/message/request.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const method_names[] = {
    [METHOD_GET] = "GET",       [METHOD_HEAD] = "HEAD",       [METHOD_POST] = "POST",   [METHOD_PATCH] = "PATCH",
    [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS", [METHOD_OTHER] = "other",
};

enum method method_parse(const char *name)
{
    for (int i = 0; i < METHOD_OTHER; i++)
        if (strcmp(method_names[i], name) == 0)
            return (enum method)i;
    return METHOD_OTHER;
}

const char *method_name(enum method method)
{
    return method_names[method];
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

long percent_decode(char *text, size_t n, bool plus)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '%') {
            int high = n - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return -1;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        text[out++] = c;
    }
    return (long)out;
}

/* Decodes the zero-terminated text in place and terminates it again. */
static int decode(char *text, bool plus, struct err *err)
{
    long n = percent_decode(text, strlen(text), plus);
    if (n < 0)
        return err_set(err, ERR_SYNTAX,
                       "the URL has a malformed %%-escape (two hexadecimal digits, not 00, must follow)");
    text[n] = '\0';
    return 0;
}

static int split_query(struct request *request, char *query, struct err *err)
{
    char *rest = query, *part = NULL;
    while ((part = strsep(&rest, "&")) != NULL) {
        if (*part == '\0')
            continue;
        if (request->n_params == REQUEST_PARAMS_MAX)
            return err_set(err, ERR_SYNTAX, "the query has more than %u parameters", REQUEST_PARAMS_MAX);
        char *name = strsep(&part, "=");
        char *value = part != NULL ? part : name + strlen(name);
        if (decode(name, true, err) != 0 || (part != NULL && decode(value, true, err) != 0))
            return -1;
        if (request_param(request, name) != NULL)
            return err_set(err, ERR_SYNTAX, "the query has the parameter %.40s twice", name);
        request->params[request->n_params++] = (struct param){name, value};
    }
    return 0;
}

int request_target(struct request *request, char *target, struct err *err)
{
    request->n_params = 0;
    request->path[0] = '\0';
    char *query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';
    if (strncasecmp(target, "http://", 7) == 0) {
        /* RFC 9112, 3.2.2: the absolute form overrides Host */
        char *authority = target + 7, *path = strchr(authority, '/');
        size_t n = path != NULL ? (size_t)(path - authority) : strlen(authority);
        memmove(target, authority, n); /* makes room for a terminator before the path's slash */
        target[n] = '\0';
        request->host = target;
        static char root[] = "/";
        target = path != NULL ? path : root;
    }
    size_t n = strlen(target);
    if (n >= sizeof request->path) {
        memcpy(request->path, "/?", 3);
    } else {
        memcpy(request->path, target, n + 1);
        if (decode(request->path, false, err) != 0)
            return -1;
    }
    return query == NULL ? 0 : split_query(request, query, err);
}

const char *request_param(const struct request *request, const char *name)
{
    for (unsigned i = 0; i < request->n_params; i++)
        if (strcmp(request->params[i].name, name) == 0)
            return request->params[i].value;
    return NULL;
}

static int unknown_param(const char *name, const char *const *allowed, struct err *err)
{
    char all[ERR_TEXT_BYTES] = "";
    size_t n = 0;
    for (const char *const *one = allowed; *one != NULL && n < sizeof all; one++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", one == allowed ? "" : ", ", *one);
    if (n == 0)
        return err_set(err, ERR_VALUE, "unknown query parameter \"%.40s\": the route has none", name);
    return err_set(err, ERR_VALUE, "unknown query parameter \"%.40s\"; the route's are: %s", name, all);
}

int request_params_check(const struct request *request, const char *const *allowed, struct err *err)
{
    for (unsigned i = 0; i < request->n_params; i++) {
        const char *const *name = allowed;
        while (*name != NULL && strcmp(*name, request->params[i].name) != 0)
            name++;
        if (*name == NULL)
            return unknown_param(request->params[i].name, allowed, err);
    }
    return 0;
}

int request_param_number(const struct request *request, const char *name, uint64_t low, uint64_t high, uint64_t *number,
                         struct err *err)
{
    const char *value = request_param(request, name);
    if (value == NULL)
        return 0;
    uint64_t sum = 0;
    bool whole = *value != '\0';
    for (const char *at = value; *at != '\0' && whole; at++) {
        whole = *at >= '0' && *at <= '9' && !__builtin_mul_overflow(sum, (uint64_t)10, &sum) &&
                !__builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum);
    }
    if (!whole || sum < low || sum > high)
        return err_set(err, ERR_VALUE, "%s is \"%.40s\", but must be a whole number from %llu to %llu", name, value,
                       (unsigned long long)low, (unsigned long long)high);
    *number = sum;
    return 0;
}

/* Both numbers of the quotient are exact. */
static bool share_parse(double *share, const char *text)
{
    double digits = 0.0, unit = 1.0;
    unsigned n = 0;
    bool point = false;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '.' && !point) {
            point = true;
            continue;
        }
        if (*at < '0' || *at > '9' || ++n > 15)
            return false;
        digits = digits * 10.0 + (*at - '0');
        unit *= point ? 10.0 : 1.0;
    }
    *share = digits / unit;
    return n > 0 && *share <= 1.0;
}

int request_param_share(const struct request *request, const char *name, double *share, struct err *err)
{
    const char *value = request_param(request, name);
    double parsed;
    if (value == NULL)
        return 0;
    if (!share_parse(&parsed, value))
        return err_set(err, ERR_VALUE, "%s is \"%.40s\", but must be a number from 0 to 1, such as 0.05", name, value);
    *share = parsed;
    return 0;
}

int request_flat(bool *allowed, const struct request *request, struct err *err)
{
    const char *word = request_param(request, "flat");
    *allowed = word != NULL && strcmp(word, "allow") == 0;
    return word == NULL || *allowed ? 0 : err_set(err, ERR_VALUE, "?flat must be allow");
}

bool media_type_is(const char *content_type, const char *type)
{
    if (content_type == NULL)
        return false;
    const size_t n = strlen(type);
    return strncasecmp(content_type, type, n) == 0 &&
           (content_type[n] == '\0' || strchr("; \t", content_type[n]) != NULL);
}

/* The "q=0.8" among the parameters of a range, in thousandths. */
static unsigned quality_of(const char *range, size_t n)
{
    const char *const end = range + n;
    for (const char *at = memchr(range, ';', n); at != NULL; at = memchr(at, ';', (size_t)(end - at))) {
        at++;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        if (end - at < 3 || strncasecmp(at, "q=", 2) != 0)
            continue;
        unsigned quality = at[2] == '1' ? 1000 : 0, unit = 100;
        for (at += 4; at < end && *at >= '0' && *at <= '9' && unit > 0; at++, unit /= 10)
            quality += (unsigned)(*at - '0') * unit;
        return quality > 1000 ? 1000 : quality;
    }
    return 1000;
}

unsigned accept_quality(const char *accept, const char *type)
{
    const size_t n_type = strlen(type), n_main = strcspn(type, "/");
    unsigned quality = accept == NULL ? 1000 : 0, best = 0; /* 3: the type, 2: all of its kind, 1: all */
    for (const char *at = accept; at != NULL && *at != '\0'; at += *at == ',') {
        at += strspn(at, " \t");
        const size_t n = strcspn(at, ","), n_range = strcspn(at, ",; \t");
        unsigned match = 0;
        if (n_range == n_type && strncasecmp(at, type, n_type) == 0)
            match = 3;
        else if (n_range == n_main + 2 && strncasecmp(at, type, n_main + 1) == 0 && at[n_range - 1] == '*')
            match = 2;
        else if (n_range == 3 && strncmp(at, "*/*", 3) == 0)
            match = 1;
        if (match > best) {
            best = match;
            quality = quality_of(at, n);
        }
        at += n;
    }
    return quality;
}

bool etag_matches(const char *if_none_match, const char *etag)
{
    if (if_none_match == NULL || *etag == '\0')
        return false;
    size_t n = strlen(etag);
    const char *at = if_none_match;
    while (*at != '\0') {
        at += strspn(at, " \t,");
        if (*at == '*')
            return true;
        if (strncmp(at, "W/", 2) == 0)
            at += 2;
        if (strncmp(at, etag, n) == 0 && (at[n] == '\0' || strchr(" \t,", at[n]) != NULL))
            return true;
        at += strcspn(at, ",");
    }
    return false;
}
