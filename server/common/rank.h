/* rank.h - the classes of one prediction, best first. */
#ifndef CONVD_SERVER_COMMON_RANK_H
#define CONVD_SERVER_COMMON_RANK_H

#include <stdint.h>

/* rank_classes - order [n]: all classes, the most probable first; of equal ones the lowest index first: so the order is one, whatever
 * the C library's qsort does. */
void rank_classes(uint32_t *order, const float *probabilities, uint32_t n);

#endif
