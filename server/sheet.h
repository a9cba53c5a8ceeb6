/* sheet.h - the kernels as one picture: a labelled contact sheet, for people. */
#ifndef CONVD_SERVER_SHEET_H
#define CONVD_SERVER_SHEET_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

/* sheet_kernels - malloc'ed PNG: every kernel as a tile with its number, weights on a diverging scale (blue negative, white zero, red positive)
 * common to all tiles, with a legend; 3-channel kernels show one tile per channel side by side. Errors: ERR_NOT_FOUND (kernels = 0), ERR_MEMORY. */
int sheet_kernels(uint8_t **png, size_t *n_png, const struct learner *learner, struct err *err);

#endif
