/* safetensors.c - writing the format of formats/safetensors.h. Reading it, where the caution is, has formats/safetensors_read.c. */
#include "server/formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "server/common/json.h"
#include "server/formats/metadata.h"

/* Moves *at, the offset in the data, past the tensor. */
static void add_tensor(struct json *root, const char *name, const uint32_t *sides, unsigned n_sides, uint64_t *at)
{
    struct json *tensor = json_add_object(root, name);
    json_add_string(tensor, "dtype", "F32");
    struct json *shape = json_add_array(tensor, "shape");
    uint64_t floats = 1;
    for (unsigned i = 0; i < n_sides; i++) {
        json_add_number(shape, NULL, sides[i]);
        floats *= sides[i];
    }
    struct json *offsets = json_add_array(tensor, "data_offsets");
    json_add_number(offsets, NULL, (double)*at);
    *at += floats * 4;
    json_add_number(offsets, NULL, (double)*at);
}

int safetensors_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err)
{
    int status = -1;
    char *header = NULL;
    const struct shape *s = &learner->shape;
    struct json *root = json_object();
    if (!metadata_add(json_add_object(root, "__metadata__"), learner))
        goto out;
    uint64_t n_data = 0; /* bytes */
    if (s->kernels > 0)
        add_tensor(root, "kernels", (uint32_t[]){s->kernels, s->channels, s->kernel_height, s->kernel_width}, 4,
                   &n_data);
    add_tensor(root, "w01", (uint32_t[]){s->n_0, s->n_1}, 2, &n_data);
    add_tensor(root, "w12", (uint32_t[]){s->n_1, learner->n_classes}, 2, &n_data);
    header = json_print(root, false);
    if (header == NULL)
        goto out;

    /* shape_check() has bounded the parameters by 2^28: nothing here can overflow. */
    const size_t n_text = strlen(header), n_header = (n_text + 7) / 8 * 8;
    uint8_t *file = malloc(8 + n_header + (size_t)n_data);
    if (file == NULL)
        goto out;
    for (unsigned i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)n_header >> (8 * i));
    memset(file + 8, ' ', n_header);
    memcpy(file + 8, header, n_text);
    float *k = (float *)(void *)(file + 8 + n_header); /* aligned: malloc, and a multiple of 8 */
    float *w01 = k + (size_t)s->kernels * s->n_k;
    float *w12 = w01 + (size_t)s->n_0 * s->n_1;
    net_export(&learner->net, k, w01, w12);
    floats_to_little_endian(k, (size_t)n_data / 4);
    *bytes = file;
    *n_bytes = 8 + n_header + (size_t)n_data;
    status = 0;
out:
    if (status != 0)
        err_set(err, ERR_MEMORY, "out of memory for a safetensors file");
    free(header);
    json_free(root);
    return status;
}
