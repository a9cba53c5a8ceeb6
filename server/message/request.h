/* request.h - what a route sees of a request: no libmicrohttpd in it, so that everything here is tested without a server.
 *
 * Everything is borrowed from the connection and lives until the route's last response.
 */
#ifndef CONVD_SERVER_MESSAGE_REQUEST_H
#define CONVD_SERVER_MESSAGE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "server/common/text.h"

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PATCH, METHOD_DELETE, METHOD_OPTIONS, METHOD_OTHER };

/* What a request may do, or needs to be allowed: each includes the ones before it. See access/auth.h. */
enum access { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE };

enum coding { CODING_NONE, CODING_GZIP, CODING_DEFLATE }; /* Content-Encoding: http/coding.h */

#define REQUEST_PATH_BYTES 256u /* longer paths are none of ours: 404 */
#define REQUEST_PARAMS_MAX 16u

struct param {
    char *name, *value; /* percent-decoded, zero-terminated; "" where there was no "=" */
};

struct request {
    enum method method;
    char path[REQUEST_PATH_BYTES]; /* percent-decoded; "" when it could not be */
    struct param params[REQUEST_PARAMS_MAX];
    unsigned n_params;
    /* headers; NULL: absent */
    const char *content_type, *if_none_match, *idempotency_key, *prefer, *host, *origin, *fetch_site, *authorization;
    const char *fetch_mode, *fetch_dest; /* Sec-Fetch-Mode, Sec-Fetch-Dest */
    const char *accept, *accept_encoding, *last_event_id;
    const char *given_min_revision;
    uint64_t min_revision; /* of that: what the answer must have seen; 0: anything */
    const char *forwarded_host, *forwarded_proto, *forwarded_for; /* X-Forwarded-Host, .. as they came */
    const char *client;      /* as a trusted proxy says (access/proxy.h); NULL: nobody says */
    bool https;              /* TLS, up to convd or to a trusted proxy                    */
    const char *given_id;    /* X-Request-Id, as it came */
    const char *json_length; /* Inference-Header-Content-Length: payload/oip.h */
    const char *content_encoding;
    struct text *body;   /* whole; a route may text_take() it */
    enum coding coding;  /* of the body as it is: http_decode() */
    enum access granted; /* by its token, or its lack */
    const char *id;      /* message/request_id.h */
    /* for the metrics; set by the routes */
    unsigned route;
};

enum method method_parse(const char *name);
const char *method_name(enum method method);

/* request_target - takes "/path?query" (or "http://authority/path?query", whose authority then stands for Host) apart.
 * target: zero-terminated, is cut up in place and must live as long as the request.
 * Errors: ERR_SYNTAX: bad escapes, too many parameters, the same parameter twice. A path that is too long becomes "/?", which no
 * route matches. */
int request_target(struct request *request, char *target, struct err *err);

/* percent_decode - in place; plus: '+' means space (in queries). Returns the decoded length, or -1 for a cut or wrong escape and for %00,
 * which no path, label or number of ours contains. */
long percent_decode(char *text, size_t n, bool plus);

/* request_param - the value, or NULL. */
const char *request_param(const struct request *request, const char *name);

/* request_params_check - ERR_VALUE for a parameter that is not in the NULL-ended list: a misspelt ?lable= must not
 * train something else than was meant. The error names all that are. */
int request_params_check(const struct request *request, const char *const *allowed, struct err *err);

/* request_param_number - 0 and *number where it is a whole number from low to high; *number stays where it is absent.
 * Errors: ERR_VALUE, which names the parameter. */
int request_param_number(const struct request *request, const char *name, uint64_t low, uint64_t high, uint64_t *number,
                         struct err *err);

/* request_param_share - the same for a decimal number from 0 to 1, at most 15 digits. */
int request_param_share(const struct request *request, const char *name, double *share, struct err *err);

/* request_flat - whether ?flat=allow lets flat images (image/image.h) be learned. Errors: ERR_VALUE for another word. */
int request_flat(bool *allowed, const struct request *request, struct err *err);

/* media_type_is - whether a Content-Type header (parameters and case aside) is that type; NULL is none. */
bool media_type_is(const char *content_type, const char *type);

/* accept_quality - what Accept gives that media type (RFC 9110, 12.5.1): 0 .. 1000, by its most specific range; NULL: 1000. Ranges
 * with parameters count as those without. And what Accept-Encoding gives a coding, its "*" aside. */
unsigned accept_quality(const char *accept, const char *type);

/* etag_matches - If-None-Match: a list of entity tags, weak ones included, or "*" (RFC 9110, 13.1.2). */
bool etag_matches(const char *if_none_match, const char *etag);

#endif
