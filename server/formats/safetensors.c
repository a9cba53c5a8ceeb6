/* safetensors.c - writing the format of formats/safetensors.h. Reading it, where the caution is, has formats/safetensors_read.c. */
#include "server/formats/safetensors.h"

#include <stdbool.h>

#include "server/formats/metadata.h"

/* Moves *at, the offset in the data, past the tensor. */
static void add_tensor(struct json_writer *json, const char *name, const uint32_t *sides, unsigned n_sides,
                       uint64_t *at)
{
    uint64_t floats = 1;
    json_write_object(json, name);
    json_write_string(json, "dtype", "F32");
    json_write_array(json, "shape");
    for (unsigned i = 0; i < n_sides; i++) {
        json_write_u64(json, NULL, sides[i]);
        floats *= sides[i];
    }
    json_write_end(json);
    json_write_array(json, "data_offsets");
    json_write_u64(json, NULL, *at);
    *at += floats * 4;
    json_write_u64(json, NULL, *at);
    json_write_end(json);
    json_write_end(json);
}

/* Padded with blanks, so that the data which follows is aligned. */
static bool write_header(struct text *file, uint64_t *n_data, const struct learner *learner)
{
    const struct shape *s = &learner->shape;
    struct json_writer json = json_write_begin(file);
    json_write_object(&json, "__metadata__");
    const bool whole = metadata_write(&json, learner);
    json_write_end(&json);
    if (s->kernels > 0)
        add_tensor(&json, "kernels", (uint32_t[]){s->kernels, s->channels, s->kernel_height, s->kernel_width}, 4,
                   n_data);
    add_tensor(&json, "w01", (uint32_t[]){s->n_0, s->n_1}, 2, n_data);
    add_tensor(&json, "w12", (uint32_t[]){s->n_1, learner->n_classes}, 2, n_data);
    json_write_end(&json);
    text_add(file, "       ", (8 - file->n % 8) % 8);
    return whole;
}

int safetensors_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err)
{
    const struct shape *s = &learner->shape;
    struct text file = {0};
    uint64_t n_data = 0; /* bytes; shape_check() has bounded the parameters by 2^28: nothing here can overflow */
    text_add(&file, (const uint8_t[8]){0}, 8); /* for the length of the header */
    const bool whole = write_header(&file, &n_data, learner);
    if (!whole || !text_reserve(&file, (size_t)n_data + 1)) {
        text_free(&file);
        return err_memory(err, "a safetensors file");
    }
    for (unsigned i = 0; i < 8; i++)
        file.bytes[i] = (char)((uint64_t)(file.n - 8) >> (8 * i));
    float *k = (float *)(void *)(file.bytes + file.n); /* aligned: realloc, and a multiple of 8 */
    float *w01 = k + (size_t)s->kernels * s->n_k;
    float *w12 = w01 + (size_t)s->n_0 * s->n_1;
    net_export(&learner->net, k, w01, w12);
    floats_to_little_endian(k, (size_t)n_data / 4);
    file.n += (size_t)n_data;
    *n_bytes = file.n;
    *bytes = (uint8_t *)text_take(&file);
    return 0;
}
