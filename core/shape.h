/* shape.h - the geometry of a network, checked once, before memory is taken.
 *
 *   frame      out_w = (width - kernel_width) / stride + 1        (floor)
 *              out_h = (height - kernel_height) / stride + 1
 *   n^k        channels * kernel_height * kernel_width
 *   n^0        out_w * out_h, or channels * height * width when kernels = 0
 *   n^1        hidden
 *   n^2        the number of classes: it grows while the model lives, so it
 *              is not part of the shape but of the learner's class table
 */
#ifndef CONVD_CORE_SHAPE_H
#define CONVD_CORE_SHAPE_H

#include <stdint.h>

#include "core/err.h"

/* Stated limits; shape_check() names the one that was passed. */
#define SHAPE_SIDE_MAX        4096u /* pixels, width and height                 */
#define SHAPE_CHANNELS_MAX    16u
#define SHAPE_KERNELS_MAX     1024u      /* N                                        */
#define SHAPE_KERNEL_SIDE_MAX 64u        /* pixels                                   */
#define SHAPE_HIDDEN_MAX      16384u     /* n^1                                      */
#define SHAPE_INPUT_MAX       (1u << 24) /* channels * height * width                */
#define SHAPE_PARAMETERS_MAX  (1u << 28) /* floats in kernels + w01 + w12: 1 GiB     */
#define SHAPE_CLASSES_MAX     1024u      /* n^2                                      */

struct shape {
    /* given */
    uint32_t width, height, channels;                      /* pixels, pixels, planes       */
    uint32_t kernels, kernel_width, kernel_height, stride; /* N = 0: no convolution        */
    uint32_t hidden;                                       /* n^1                          */
    /* derived by shape_check() */
    uint32_t n_input;      /* channels * height * width = bytes of one raw image */
    uint32_t out_w, out_h; /* positions per row, rows of positions; 0 if N = 0   */
    uint32_t n_k, n_0, n_1;
};

/* shape_default - 28x28x1, 16 kernels of 5x5, stride 1, 128 hidden; not yet checked. */
struct shape shape_default(void);

/* shape_check - checks the given members against the limits and n_classes, and fills in the derived ones.
 *
 * With kernels = 0 the kernel's sides and stride are set to 0, whatever they were.
 * Errors: ERR_VALUE or ERR_LIMIT, the pointer naming the member ("/kernel_width"). */
int shape_check(struct shape *shape, uint32_t n_classes, struct err *err);

/* shape_capacity - room for some more classes than there are, so that adding a few needs no memory: no more than shape_check() takes,
 * as it has taken these. So there is one limit: what can be added can be written, and read again. */
uint32_t shape_capacity(const struct shape *shape, uint32_t n_classes);

#endif
