/* metadata.h - what a file of the model says beside its tensors, the same in every format: safetensors, ONNX, npz.
 *
 * Names and texts, since that is what all three can hold: classes (a JSON array of labels), width, height, channels,
 * stride (not when N = 0), every setting of settings.h by its name, step, revision, digest, arithmetic, convd (version).
 * The same state gives the same texts in the same order.
 */
#ifndef CONVD_SERVER_FORMATS_METADATA_H
#define CONVD_SERVER_FORMATS_METADATA_H

#include <stdbool.h>

#include "core/core.h"
#include "server/common/json_write.h"

/* metadata_each - calls `add` for each of them. false: out of memory, and some were left out. */
bool metadata_each(const struct learner *learner, void (*add)(void *context, const char *name, const char *text),
                   void *context);

/* metadata_write - as members, which are strings. As above. */
bool metadata_write(struct json_writer *json, const struct learner *learner);

/* floats_to_little_endian - in place: a float of this machine becomes four bytes, the lowest first, as all three formats
 * have it. No instruction on a little-endian machine. */
void floats_to_little_endian(float *values, size_t n);

#endif
