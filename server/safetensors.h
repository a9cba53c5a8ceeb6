/* safetensors.h - the model in the safetensors format, both ways.
 *
 * Tensors, all F32 little-endian, row-major: `kernels` [N, channels, kernel height, kernel width] (absent when N = 0),
 * `w01` [n0, n1], `w12` [n1, n2]. `__metadata__` (string to string): classes (a JSON array of labels), width, height,
 * channels, stride, gradient, rate, mean, step, revision, digest, arithmetic, convd (version).
 */
#ifndef CONVD_SERVER_SAFETENSORS_H
#define CONVD_SERVER_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

/* safetensors_encode - malloc'ed file image. Errors: ERR_MEMORY. */
int safetensors_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err);

/* What a file says about a model to be made from it. */
struct safetensors {
    struct event
        create; /* kernels, kernel sides, channels, hidden, classes from shapes and metadata; width, height, stride, settings from
                          * metadata where it has them, else 0 / default: the command line fills in. Not yet checked */
    bool has_width, has_height, has_stride;
    bool has_setting[SETTING_N]; /* named in the metadata */
    void *memory;                /* owns the tensors and labels that create points at */
};

/* safetensors_decode - Errors: ERR_FILE: header too long or not JSON, offsets that overlap or leave the file, dtype other than F32,
 * shapes that do not fit each other, values that are not finite; names the tensor. */
int safetensors_decode(struct safetensors *out, const uint8_t *bytes, size_t n_bytes, struct err *err);
void safetensors_fini(struct safetensors *file);

#endif
