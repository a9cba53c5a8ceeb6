/* web.h - what is embedded at build: the files of web/, by scripts/embed-web, the modules as one, which scripts/bundle-web makes, so
 * that the page needs no file at run time; and schema/openapi.json.
 *
 * Each is there as it is and as gzip made it; its ETag is the beginning of its SHA-256, so
 * that a browser asks for the bytes of a file again only when a new program has other ones.
 */
#ifndef CONVD_SERVER_ROUTES_WEB_H
#define CONVD_SERVER_ROUTES_WEB_H

#include <stddef.h>
#include <stdint.h>

struct web_file {
    const char *name, *type;
    const char *etag, *packed_etag; /* quoted; two, since they name bytes, not files (RFC 9110, 8.8.3.3) */
    const uint8_t *plain, *packed;
    size_t n_plain, n_packed;
};

extern const struct web_file web_files[]; /* [n_web_files] */
extern const size_t n_web_files;

/* The contract that GET /openapi.json gives. It is kept by hand, and tests/e2e/test_openapi.py holds it to the running daemon, every
 * route, status and field, both ways. */
extern const unsigned char openapi_json[]; /* [openapi_json_bytes] */
extern const size_t openapi_json_bytes;

#endif
