/* npz.h - the model as an .npz file, for numpy: `numpy.load("model.npz")["w01"]`.
 *
 * A zip archive with one array (.npy, format 1.0) a member, stored, not compressed, since weights do not compress:
 *
 *   kernels.npy   float32 [N, channels, kernel height, kernel width]; absent when N = 0
 *   w01.npy       float32 [n0, n1]
 *   w12.npy       float32 [n1, n2]
 *   metadata.npy  bytes, no dimension: JSON, the object of texts that formats/metadata.h lists
 *                 json.loads(numpy.load("model.npz")["metadata"].item())
 *
 * All little-endian and row-major. The members' time is the first that zip knows, so that the same state gives the same
 * bytes; each starts at a multiple of 64, as .npy wants. A model's parameters take 1 GiB at most: no zip64 is needed.
 */
#ifndef CONVD_SERVER_FORMATS_NPZ_H
#define CONVD_SERVER_FORMATS_NPZ_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

/* npz_encode - malloc'ed file image. Costs two copies of the parameters, and their CRC-32. Errors: ERR_MEMORY. */
int npz_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err);

#endif
