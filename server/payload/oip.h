/* oip.h - Open Inference Protocol v2 (KServe's, Triton's), the REST half: its tensors in, its tensors out.
 *
 * The model has one input and two outputs, with the names that formats/onnx.h has:
 *
 *   pixels         UINT8 [n, channels, height, width], as raw bodies have them; or
 *                  FP32, same shape: value x scale is a pixel, 0..255, rounded to a whole one, halves up. The parameter "scale" on
 *                  the input says the scale; where it is absent the values do: 255 if all of the tensor are within 0 and 1, else 1.
 *                  The response's parameters have the "scale" that was taken; or
 *                  BYTES [n] or [n, 1]: pictures of any size (or raw images), in base64 where the data are JSON
 *   probabilities  FP32 [n, n2], in the order of the classes, whose labels are in the metadata
 *   label          BYTES [n]: the most probable class
 *
 * The response's parameters have the "revision"; "flat": true where an image of the request is flat (image/image.h); and where the request's have "known": true, "known":
 * how near the least known of its images is to what its class was taught (core/learner/novelty.h), unless nothing can be said of any.
 *
 * UINT8 and FP32 may also come as [channels, height, width] (n = 1), flattened to [n, n_input] or [n_input], and with one
 * channel as [n, height, width] or [height, width].
 *
 * Extensions: `binary_tensor_data` (Inference-Header-Content-Length, binary_data_size, binary_data, binary_data_output; a length
 * of 0, Triton's raw binary request: the body is one picture or raw images by payload/body.h, and the outputs are binary),
 * `classification` (k on `probabilities`: BYTES [n, k] of "value:index:label", best first), `model_configuration`, `statistics`;
 * of `model_repository` the index alone: nothing can be loaded or unloaded. Parameters that are
 * none of ours are skipped, as the protocol wants; misspelt members of what is ours are not: unknown tensors, types
 * and shapes are errors (status 422, pointer /inputs/0/shape).
 *
 * The model's name is --name, else the stem of its database's file; that stem and `convd` always work as well. Its version is 1
 * for ever, since clients pin it; the current revision is taken for it too, and then no other revision answers.
 */
#ifndef CONVD_SERVER_PAYLOAD_OIP_H
#define CONVD_SERVER_PAYLOAD_OIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/common/json.h"
#include "server/common/json_write.h"
#include "server/payload/batch.h"

#define OIP_NAME_BYTES 256u
#define OIP_VERSION    "1"
#define OIP_NO_HEADER  UINT64_MAX /* the body is JSON and nothing else */

enum oip_tensor { OIP_PROBABILITIES, OIP_LABEL, OIP_TENSOR_N };

struct oip_output {
    enum oip_tensor tensor;
    bool binary;
    uint32_t classes; /* classification: the k best; 0: the tensor itself */
};

struct oip_request {
    struct batch batch;    /* the images                                                        */
    struct json *document; /* what `id` points into                                             */
    const char *id;        /* NULL: none                                                        */
    bool known;            /* asked for */
    float least_known;     /* for the response, of who infers; NaN: nothing can be said               */
    double scale;          /* of FP32: a value was multiplied by it; 0: another type            */
    struct oip_output outputs[OIP_TENSOR_N];
    unsigned n_outputs;
};

/* oip_decode - an inference request. n_json: what Inference-Header-Content-Length says, or OIP_NO_HEADER; binary tensors of
 * UINT8 are not copied: `body` must live as long as the request. *out is released by oip_request_fini(), also after an error.
 * Errors: those of body_decode() but the labels'. */
int oip_decode(struct oip_request *out, const uint8_t *body, size_t n_body, uint64_t n_json,
               const struct body_rules *rules, struct err *err);
void oip_request_fini(struct oip_request *request);

/* oip_write_response - an inference response; returns the length of its JSON where binary tensors follow it, else 0.
 * Shapes: probabilities [n][stride], which is only read; order: memory for n_classes numbers. */
size_t oip_write_response(struct text *text, const struct oip_request *request, const char *model,
                          const struct learner *learner, const float *probabilities, size_t stride, uint32_t *order);

/* oip_write_metadata - the members of the model's metadata. oip_write_config - of what Triton calls its configuration. */
void oip_write_metadata(struct json_writer *json, const char *model, const struct learner *learner);
void oip_write_config(struct json_writer *json, const char *model, const struct learner *learner, uint32_t images_max);

/* oip_check_name - whether a model may be called that: it is one segment of a path. Errors: ERR_USAGE. */
int oip_check_name(const char *name, struct err *err);

/* oip_model_name - the stem of the path of a database; "convd" where that is empty or too long. */
void oip_model_name(char name[OIP_NAME_BYTES], const char *db);

/* oip_owns - whether that path belongs to the protocol: its problems carry the protocol's `error` as well. */
bool oip_owns(const char *path);

#endif
