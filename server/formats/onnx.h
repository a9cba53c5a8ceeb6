/* onnx.h - the model as an ONNX file: for ONNX Runtime and whatever else runs that format, elsewhere and without convd.
 *
 *   pixels         uint8 [batch, channels, height, width], as raw bodies have them
 *     Cast         to float32
 *     Mul          1/255
 *     Sub          mean                                                      x
 *     Conv         kernels [N, channels, kh, kw], strides [s, s]             l^c     (left out when N = 0)
 *     ReduceMax    over axis 1, the kernels; keepdims 0                      max_i l^ci
 *     Tanh                                                                   l^0
 *     Reshape      [-1, n0]
 *     MatMul       w01 [n0, n1];  Tanh                                       l^1
 *     MatMul       w12 [n1, n2];  Softmax over the last axis                 l^2
 *   probabilities  float32 [batch, n2], in the order of the classes
 *
 * Operator set 13 and IR version 7: what onnx 1.8 and all later ones read, Debian 12's python3-onnx among them.
 * `metadata_props` has what formats/metadata.h lists, classes first; `model_version` is the revision. The same state gives the same
 * bytes. Other runtimes add in another order, so their answers differ from convd's in the last digits: by less than 1e-5.
 *
 * The format is protobuf. It is written by hand: what is needed of protobuf is three kinds of field, forty lines below,
 * whose encoding is fixed for ever; a library would bring a generator into the build and a schema of 900 lines, and copy
 * w01 twice more. What comes out is held against onnx's own checker and run by ONNX Runtime in the tests.
 */
#ifndef CONVD_SERVER_FORMATS_ONNX_H
#define CONVD_SERVER_FORMATS_ONNX_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

/* onnx_encode - malloc'ed file image. Costs two copies of the parameters. Errors: ERR_MEMORY. */
int onnx_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err);

#endif
