/* rest.h - what a long computation does between two steps, as core/ and store/ see it: an interface, since they know neither
 * time nor threads. server/trainer/throttle.h takes rests where others want the processor more.
 */
#ifndef CONVD_CORE_REST_H
#define CONVD_CORE_REST_H

#include <stddef.h>

struct rest {
    void (*take)(struct rest *rest); /* in the thread that computes; returns soon; cannot fail */
};

/* rest_take - NULL: goes on at once. */
static inline void rest_take(struct rest *rest)
{
    if (rest != NULL)
        rest->take(rest);
}

#endif
