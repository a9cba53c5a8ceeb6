/* fuzz_body.c - bodies of /predict and /train: JSON, its plain form, NDJSON, raw, pictures, forms, by content type and without.
 * First byte: the content type, whether labels are asked for, and whether the query gives them. */
#include "server/payload/body.h"
#include "tests/fuzz/fuzz.h"

static struct image_limits limits = {.pixels_max = 1 << 16};

static const char *const types[] = {
    NULL,
    "application/json",
    "application/x-ndjson",
    "application/octet-stream",
    "image/png",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "text/plain",
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static struct learner *learner;
    if (learner == NULL)
        learner = small_learner(1);
    uint8_t how = take(&bytes, &n_bytes);
    uint8_t *copy = exact(bytes, n_bytes);
    struct body_source source = {.bytes = copy, .n_bytes = n_bytes, .content_type = types[how % 8]};
    struct body_rules rules = {.learner = learner, .labelled = (how & 8) != 0, .limits = &limits, .images_max = 16};
    if ((how & 16) != 0)
        source.label = "a";
    else if ((how & 32) != 0)
        source.labels = "0,a,\"\xc3\xa9\" \\";
    struct batch batch;
    struct err err;
    if (body_decode(&batch, &source, &rules, &err) != 0) {
        must_tell(&err);
        must(batch.n == 0 && batch.owned == NULL && batch.labels == NULL && batch.names.list == NULL &&
             batch.files == NULL);
    } else {
        unsigned sum = 0;
        must(batch.n >= 1 && batch.n <= rules.images_max);
        for (size_t i = 0; i < (size_t)batch.n * learner->shape.n_input; i++)
            sum += batch.pixels[i];
        must(sum <= 255u * batch.n * learner->shape.n_input);
        for (uint32_t i = 0; rules.labelled && i < batch.n; i++)
            must(batch.labels[i] < batch.names.n);
        for (uint32_t i = 0; batch.files != NULL && i < batch.n; i++)
            must(strnlen(batch.files[i], BODY_FILE_BYTES) < BODY_FILE_BYTES);
    }
    batch_fini(&batch);
    free(copy);
    return 0;
}
