/* fuzz_multipart.c - forms: the first line is the content type, the rest the body. Parts lie in the body, in order. */
#include "server/payload/multipart.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    const uint8_t *line = memchr(bytes, '\n', n_bytes);
    size_t n_line = line != NULL ? (size_t)(line - bytes) : 0;
    size_t n_body = line != NULL ? n_bytes - n_line - 1 : n_bytes;
    char *type = exact_text(bytes, n_line);
    uint8_t *body = exact(line != NULL ? line + 1 : bytes, n_body);
    struct multipart form;
    struct part part;
    struct err err;
    int status = multipart_init(&form, line != NULL ? type : "multipart/form-data; boundary=x", body, n_body, &err);
    const uint8_t *after = body;
    while (status == 0 && (status = multipart_next(&form, &part, &err)) == 1) {
        must(part.bytes >= after && part.bytes + part.n_bytes <= body + n_body);
        must(strnlen(part.name, MULTIPART_NAME_BYTES) < MULTIPART_NAME_BYTES);
        must(strnlen(part.filename, MULTIPART_NAME_BYTES) < MULTIPART_NAME_BYTES);
        after = part.bytes + part.n_bytes;
        status = 0;
        must(form.n_parts <= n_body);
        if (after == body + n_body)
            break;
    }
    if (status < 0)
        must_tell(&err);
    free(body);
    free(type);
    return 0;
}
