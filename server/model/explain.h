/* explain.h - why a prediction is what it is, for people: which kernel won where, and which pixels moved the answer.
 *
 *     "explain": {"width": W, "height": H,          positions in a row, rows of positions: 0 without kernels
 *                 "winner": [W*H whole numbers],    the kernel that won at each position, row by row
 *                 "share": [N numbers],             the part of all positions that each kernel won
 *                 "saliency": [n_input numbers],    |d confidence / d pixel|, per grey level, [channels][height][width]
 *                 "input": "<base64 of a PNG>"}     what the network saw: image/input_png.h
 */
#ifndef CONVD_SERVER_MODEL_EXPLAIN_H
#define CONVD_SERVER_MODEL_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "server/common/json_write.h"

/* Numbers of saliency in one answer, at most: some 12 MB of JSON. */
#define EXPLAIN_NUMBERS_MAX (1u << 20)

/* explain_write - the member above, of the class that was predicted. After net_forward()
 * of `pixels` in ws. Errors: ERR_MEMORY, and those of planes_png(). */
int explain_write(struct json_writer *json, const struct learner *learner, const uint8_t *pixels, struct workspace *ws,
                  struct err *err);

/* explain_png - the same as a malloc'ed RGB PNG: input, winners in the kernels' colours, saliency, side by side; below, the kernels
 * that won most, in frames of their colours. The same bytes for the same state and image. Errors: ERR_MEMORY. */
int explain_png(uint8_t **png, size_t *n_png, const struct learner *learner, const uint8_t *pixels,
                struct workspace *ws, struct err *err);

/* explain_wins - counts of the positions that each kernel won, into wins [kernels]. */
void explain_wins(uint32_t *wins, const struct learner *learner, const struct workspace *ws);

#endif
