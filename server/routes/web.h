/* web.h - the files of web/, embedded at build by scripts/embed-web, the modules as one, which scripts/bundle-web makes: the page
 * needs no file at run time.
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

#endif
