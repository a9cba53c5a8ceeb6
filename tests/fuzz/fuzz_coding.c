/* fuzz_coding.c - bodies with a Content-Encoding. First byte: gzip or deflate, and how much an HTTP thread may decode. What was decoded is
 * within its limits, and comes out again of what zlib makes of it. */
#include <zlib.h>

#include "server/http/coding.h"
#include "tests/fuzz/fuzz.h"

#define LIMIT 20000u

static void must_come_back(const struct text *decoded)
{
    uLongf n = compressBound((uLong)decoded->n);
    struct text coded = {.bytes = malloc(n)};
    struct http_bodies bodies;
    struct http_body again = {0};
    struct err err;
    must(coded.bytes != NULL &&
         compress((Bytef *)coded.bytes, &n, (const Bytef *)decoded->bytes, (uLong)decoded->n) == Z_OK);
    coded.n = n;
    http_bodies_init(&bodies, LIMIT, 0);
    http_body_begin(&again, &bodies, 0);
    must(http_body_decode(&again, &bodies, CODING_DEFLATE, &coded, UINT64_MAX, NULL, &err) == 0);
    must(again.text.n == decoded->n &&
         (again.text.n == 0 || memcmp(again.text.bytes, decoded->bytes, again.text.n) == 0));
    http_body_fini(&again, &bodies);
    http_bodies_fini(&bodies);
    free(coded.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    const uint8_t how = take(&bytes, &n_bytes);
    struct text coded = {.bytes = (char *)exact(bytes, n_bytes), .n = n_bytes};
    struct http_bodies bodies;
    struct http_body body = {0};
    struct err err;
    const uint64_t n_max = (how & 2) != 0 ? 1000 : UINT64_MAX;
    http_bodies_init(&bodies, LIMIT, 1);
    http_body_begin(&body, &bodies, 0);
    const int status =
        http_body_decode(&body, &bodies, (how & 1) != 0 ? CODING_GZIP : CODING_DEFLATE, &coded, n_max, NULL, &err);
    must(status <= 1 && body.text.n <= LIMIT);
    if (status < 0)
        must_tell(&err);
    else if (status == 0)
        must(body.text.n <= n_max);
    if (status == 0)
        must_come_back(&body.text);
    http_body_end(&body, &bodies);
    http_body_fini(&body, &bodies);
    http_bodies_fini(&bodies);
    free(coded.bytes);
    return 0;
}
