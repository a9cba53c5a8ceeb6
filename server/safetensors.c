/* safetensors.c - writing the format of safetensors.h. Reading it, where the caution is, has safetensors_read.c. */
#include "server/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/json.h"

static void add_whole(struct json *metadata, const char *name, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    json_add_string(metadata, name, text);
}

/* The labels as the text of a JSON array, since metadata are strings. False: out of memory. */
static bool add_classes(struct json *metadata, const struct learner *learner)
{
    struct json *labels = json_array();
    for (uint32_t i = 0; i < learner->n_classes; i++)
        json_add_string(labels, NULL, learner->labels[i]);
    char *text = json_print(labels, false);
    json_free(labels);
    if (text != NULL)
        json_add_string(metadata, "classes", text);
    free(text);
    return text != NULL;
}

static bool add_metadata(struct json *root, const struct learner *learner)
{
    const struct shape *shape = &learner->shape;
    struct json *metadata = json_add_object(root, "__metadata__");
    if (!add_classes(metadata, learner))
        return false;
    add_whole(metadata, "width", shape->width);
    add_whole(metadata, "height", shape->height);
    add_whole(metadata, "channels", shape->channels);
    if (shape->kernels > 0)
        add_whole(metadata, "stride", shape->stride);
    for (int i = 0; i < SETTING_N; i++) {
        char number[JSON_NUMBER_BYTES];
        const char *word = settings_word(&learner->settings, (enum setting)i);
        if (word == NULL)
            json_number_print(number, settings_get(&learner->settings, (enum setting)i));
        json_add_string(metadata, setting_table[i].name, word == NULL ? number : word);
    }
    add_whole(metadata, "step", learner->step);
    add_whole(metadata, "revision", learner->revision);
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    learner_digest(learner, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    json_add_string(metadata, "digest", hex);
    json_add_string(metadata, "arithmetic", ARITHMETIC_VERSION);
    json_add_string(metadata, "convd", CONVD_VERSION);
    return true;
}

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

/* In place: a float of this machine becomes four bytes, the lowest first. No instruction on a little-endian machine. */
static void to_little_endian(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        const uint8_t b[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
        memcpy(values + i, b, 4);
    }
}

int safetensors_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err)
{
    int status = -1;
    char *header = NULL;
    const struct shape *s = &learner->shape;
    struct json *root = json_object();
    if (!add_metadata(root, learner))
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
    to_little_endian(k, (size_t)n_data / 4);
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
