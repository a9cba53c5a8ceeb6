/* rank.c - see common/rank.h */
#include "server/common/rank.h"

#include <stdlib.h>

static int by_probability(const void *a, const void *b, void *probabilities)
{
    const float *p = *(const float **)probabilities;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    if (p[i] != p[j])
        return p[i] > p[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

void rank_classes(uint32_t *order, const float *probabilities, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    qsort_r(order, n, sizeof *order, by_probability, &probabilities);
}
