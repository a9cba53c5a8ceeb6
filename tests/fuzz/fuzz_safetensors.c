/* fuzz_safetensors.c - a model from a file: what is read can be made into a model, written, and read as the same again. */
#include "server/formats/safetensors.h"
#include "tests/fuzz/fuzz.h"

static void make(struct safetensors *file)
{
    static char numbers[64][LABEL_BYTES_MAX + 1];
    struct event *create = &file->create;
    struct err err;
    create->kind = EVENT_CREATE;
    create->revision = 1;
    if (create->as.create.labels == NULL) {
        if (create->as.create.n_classes > 64)
            return;
        for (uint32_t i = 0; i < create->as.create.n_classes; i++)
            (void)snprintf(numbers[i], sizeof numbers[i], "%u", i);
        create->as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) numbers;
    }
    struct shape *shape = &create->as.create.shape;
    if (!file->has_stride)
        shape->stride = 1;
    if (!file->has_width || !file->has_height)
        return;
    const uint32_t n_0 =
        shape->n_0; /* what was left out is filled in: formats/safetensors.h says what must be compared then */
    if (shape_check(shape, create->as.create.n_classes, &err) != 0) {
        must_tell(&err);
        return;
    }
    if (shape->n_0 != n_0)
        return;
    struct learner *learner = learner_create(create, NULL, 0, &err);
    if (learner == NULL) {
        must_tell(&err);
        return;
    }
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    struct safetensors back = {0};
    must(safetensors_encode(&bytes, &n_bytes, learner, &err) == 0);
    must(safetensors_decode(&back, bytes, n_bytes, &err) == 0);
    must(back.create.as.create.n_classes == learner->n_classes);
    must(memcmp(back.create.as.create.w01, create->as.create.w01,
                sizeof(float) * learner->shape.n_0 * learner->shape.n_1) == 0);
    safetensors_fini(&back);
    free(bytes);
    learner_free(learner);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t *copy = exact(bytes, n_bytes);
    struct safetensors file = {0};
    struct err err;
    if (safetensors_decode(&file, copy, n_bytes, &err) != 0)
        must_tell(&err);
    else
        make(&file);
    safetensors_fini(&file);
    free(copy);
    return 0;
}
