/* safetensors.h - the model in the safetensors format, both ways.
 *
 *   8 bytes    n, little-endian: length of the header
 *   n bytes    header: JSON, {"__metadata__": {...}, "<tensor>": {"dtype", "shape", "data_offsets": [begin, end]},
 *              ...}, ended with spaces so that the data begin at a multiple of 8
 *   the rest   data: every byte belongs to exactly one tensor
 *
 * Tensors, all F32 little-endian, row-major: `kernels` [N, channels, kernel height, kernel width] (absent when N = 0),
 * `w01` [n0, n1], `w12` [n1, n2]. `__metadata__` (string to string): classes (a JSON array of labels), width, height,
 * channels, stride (not when N = 0), every setting of settings.h by its name, step, revision, digest, arithmetic, convd
 * (version). The same state gives the same bytes.
 */
#ifndef CONVD_SERVER_FORMATS_SAFETENSORS_H
#define CONVD_SERVER_FORMATS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

/* safetensors_encode - malloc'ed file image. Errors: ERR_MEMORY. */
int safetensors_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err);

/* What a file says about a model to be made from it. */
struct safetensors {
    /* A create event, with its tensors and labels: what learner_create() takes once the caller has filled in what the
     * file does not say. From the tensors' shapes: kernels, kernel_width, kernel_height, channels, hidden, n_classes,
     * and in shape.n_0 the rows of w01, which shape_check() must come to as well. From the metadata, else 0: width,
     * height, stride, and with N = 0 channels; else 0..n2-1: labels; else settings_default(): settings. */
    struct event create;
    bool has_width, has_height, has_stride;
    bool has_setting[SETTING_N]; /* named in the metadata */
    void *memory;                /* owns the tensors and labels that create points at */
};

/* safetensors_decode - reads all that safetensors_encode() writes, and files by others with those tensors and no more.
 * Metadata that convd does not know is skipped; `out` keeps nothing of `bytes`.
 * Errors: ERR_FILE: header too long or not JSON, offsets that overlap, leave holes or leave the file, dtype other than
 * F32, tensors that are missing or unknown, shapes over convd's limits or that do not fit each other or the metadata,
 * values that are not finite, labels that are none; names the tensor. ERR_MEMORY. *out is written on success only. */
int safetensors_decode(struct safetensors *out, const uint8_t *bytes, size_t n_bytes, struct err *err);
void safetensors_fini(struct safetensors *file); /* a zeroed struct is fine */

#endif
