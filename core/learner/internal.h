/* internal.h - what learner.c and memory.c share and nobody else sees. */
#ifndef CONVD_CORE_LEARNER_INTERNAL_H
#define CONVD_CORE_LEARNER_INTERNAL_H

#include "core/learner/learner.h"

/* learner_empty_create - a state of nothing with those settings: n_classes without labels or weights, with memory for `capacity`.
 * with_workspace false: it only predicts. NULL: ERR_MEMORY. */
struct learner *learner_empty_create(const struct shape *shape, const struct settings *settings,
                                     const struct arith *arith, uint32_t n_classes, uint32_t capacity,
                                     bool with_workspace, struct err *err);

#endif
