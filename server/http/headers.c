/* headers.c - see http/headers.h */
#include "server/http/headers.h"

#include <string.h>
#include <strings.h>

static bool is_name(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || (c >= '0' && c <= '9');
        if (!usual && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) /* RFC 9110, 5.6.2: token */
            return false;
    }
    return n > 0;
}

/* RFC 9110, 5.5: no control characters but tabs. */
static bool is_value(const char *value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

void http_headers_line(struct http_headers *headers, const char *method, const char *target, const char *start,
                       size_t n_target, const char *version)
{
    headers->start = method;
    headers->value_end = version + strlen(version);
    /* Neither blanks nor control characters; bytes from 0x80 on are let through, since curl sends what it was given. */
    unsigned bad = 0;
    for (size_t i = 0; i < n_target; i++)
        bad |= (unsigned)((unsigned char)target[i] <= 0x20) | (unsigned)(target[i] == 0x7f);
    headers->bad_line = bad != 0 || !is_name(method, strlen(method)) ||
                        (uintptr_t)method + strlen(method) + 1 != (uintptr_t)start ||
                        (uintptr_t)start + n_target + 1 != (uintptr_t)version;
}

static void content_length(struct http_headers *headers, const char *value)
{
    uint64_t length = 0;
    bool ok = *value != '\0';
    for (const char *at = value; *at != '\0' && ok; at++)
        ok = *at >= '0' && *at <= '9' && !__builtin_mul_overflow(length, (uint64_t)10, &length) &&
             !__builtin_add_overflow(length, (uint64_t)(*at - '0'), &length);
    headers->n_content_length++;
    headers->content_length = length;
    headers->bad_number = headers->bad_number || !ok;
}

void http_headers_add(struct http_headers *headers, const char *name, size_t n_name, const char *value, size_t n_value)
{
    struct request *request = headers->request;
    if (value == NULL) /* cannot be for a header; a query's name without value is one, but of another kind */
        return;
    /* Pointers are compared as numbers: a folded value lives in another place altogether. */
    uintptr_t start = (uintptr_t)name, body = (uintptr_t)value;
    if (start != (uintptr_t)headers->value_end + 2)
        headers->bad_framing = true;
    if (body < start + n_name + 1)
        headers->bad_framing = true;
    headers->bad_name = headers->bad_name || !is_name(name, n_name);
    headers->bad_value = headers->bad_value || !is_value(value, n_value);
    headers->value_end = value + n_value;

    switch (n_name) { /* most headers of most clients are none of ours: one comparison tells */
    case 4:
        if (strcasecmp(name, "Host") == 0) {
            headers->n_host++;
            request->host = value;
        }
        break;
    case 6:
        if (strcasecmp(name, "Origin") == 0)
            request->origin = value;
        else if (strcasecmp(name, "Accept") == 0 && request->accept == NULL)
            request->accept = value;
        else if (strcasecmp(name, "Prefer") == 0 && request->prefer == NULL)
            request->prefer = value;
        break;
    case 12:
        if (strcasecmp(name, "Content-Type") == 0)
            request->content_type = value;
        else if (strcasecmp(name, "X-Request-Id") == 0)
            request->given_id = value;
        break;
    case 13:
        if (strcasecmp(name, "If-None-Match") == 0) {
            request->if_none_match = value;
        } else if (strcasecmp(name, "Authorization") == 0) {
            headers->n_authorization++;
            request->authorization = value;
        } else if (strcasecmp(name, "Last-Event-ID") == 0) {
            request->last_event_id = value;
        }
        break;
    case 14:
        if (strcasecmp(name, "Content-Length") == 0)
            content_length(headers, value);
        else if (strcasecmp(name, "Sec-Fetch-Site") == 0)
            request->fetch_site = value;
        else if (strcasecmp(name, "Sec-Fetch-Mode") == 0)
            request->fetch_mode = value;
        else if (strcasecmp(name, "Sec-Fetch-Dest") == 0)
            request->fetch_dest = value;
        break;
    case 15:
        if (strcasecmp(name, "Idempotency-Key") == 0)
            request->idempotency_key = value;
        else if (strcasecmp(name, "Accept-Encoding") == 0)
            request->accept_encoding = value;
        else if (strcasecmp(name, "X-Forwarded-For") == 0)
            request->forwarded_for = value;
        break;
    case 18:
        if (strcasecmp(name, "Convd-Min-Revision") == 0)
            request->given_min_revision = value;
        break;
    case 16:
        if (strcasecmp(name, "X-Forwarded-Host") == 0)
            request->forwarded_host = value;
        else if (strcasecmp(name, "Content-Encoding") == 0) {
            headers->n_content_encoding++;
            request->content_encoding = value;
        }
        break;
    case 17:
        if (strcasecmp(name, "Transfer-Encoding") == 0) {
            headers->n_transfer_encoding++;
            headers->chunked = strcasecmp(value, "chunked") == 0;
            headers->unknown_coding = headers->unknown_coding || !headers->chunked;
        } else if (strcasecmp(name, "X-Forwarded-Proto") == 0) {
            request->forwarded_proto = value;
        }
        break;
    case 31:
        if (strcasecmp(name, "Inference-Header-Content-Length") == 0)
            request->json_length = value;
        break;
    default:
        break;
    }
}

void http_headers_end(struct http_headers *headers, size_t n_block)
{
    if ((uintptr_t)headers->start + n_block != (uintptr_t)headers->value_end + 4)
        headers->bad_framing = true;
}

int http_headers_check(const struct http_headers *headers, bool http_1_1, struct err *err)
{
    if (headers->bad_line)
        return err_set(
            err, ERR_SYNTAX,
            "the request line must be a method that is a token, a target without blanks or control characters, "
            "and a version, with one blank between them");
    if (headers->bad_framing)
        return err_set(
            err, ERR_SYNTAX,
            "the request line and header lines must end in CR LF, and have neither NUL nor continuation lines");
    if (headers->bad_name)
        return err_set(err, ERR_SYNTAX, "a header's name has characters that are not allowed");
    if (headers->bad_value)
        return err_set(err, ERR_SYNTAX, "a header's value has control characters");
    if (headers->bad_number)
        return err_set(err, ERR_SYNTAX, "Content-Length is not a number");
    if (headers->n_content_length > 1 || headers->n_transfer_encoding > 1 || headers->n_host > 1 ||
        headers->n_authorization > 1 || headers->n_content_encoding > 1)
        return err_set(
            err, ERR_SYNTAX,
            "Content-Length, Content-Encoding, Transfer-Encoding, Host and Authorization can be given only once");
    if (headers->n_content_length > 0 && headers->n_transfer_encoding > 0)
        return err_set(err, ERR_SYNTAX, "Content-Length and Transfer-Encoding exclude each other");
    if (!http_1_1 && headers->n_transfer_encoding > 0)
        return err_set(err, ERR_SYNTAX, "HTTP/1.0 has no Transfer-Encoding");
    if (http_1_1 && headers->n_host == 0)
        return err_set(err, ERR_SYNTAX, "HTTP/1.1 needs a Host header");
    if (headers->unknown_coding)
        return err_set(err, ERR_SYNTAX, "the only supported transfer coding is chunked");
    return 0;
}
