/* openapi.h - schema/openapi.json, embedded at build: the contract that GET /openapi.json gives. It is kept by hand, and
 * tests/e2e/test_openapi.py holds it to the running daemon, every route, status and field, both ways. */
#ifndef CONVD_SERVER_ROUTES_OPENAPI_H
#define CONVD_SERVER_ROUTES_OPENAPI_H

#include <stddef.h>

extern const unsigned char openapi_json[]; /* [openapi_json_bytes] */
extern const size_t openapi_json_bytes;

#endif
