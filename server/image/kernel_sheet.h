/* kernel_sheet.h - the kernels as one picture: a labelled contact sheet, for people. */
#ifndef CONVD_SERVER_IMAGE_KERNEL_SHEET_H
#define CONVD_SERVER_IMAGE_KERNEL_SHEET_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

#define SHEET_PIXELS_MAX                                                                                               \
    (16u << 20) /* 48 MiB while it is drawn; kernels that do not fit are left out, and the title says so */

/* sheet_kernels - malloc'ed RGB PNG on white: every kernel as a tile with its number under it, counted from 0 as in the
 * tensor `kernels`; with several channels one tile per channel, side by side. Weights are squares on a diverging scale
 * (blue negative, white zero, red positive) common to all tiles, whose ends, plus and minus the largest magnitude, the
 * legend gives. As many columns as make the sheet about as wide as a page lying down. The same state gives the same
 * bytes. Costs some milliseconds for 16 kernels of 5x5. Errors: ERR_NOT_FOUND (kernels = 0), ERR_MEMORY. */
int sheet_kernels(uint8_t **png, size_t *n_png, const struct learner *learner, struct err *err);

#endif
