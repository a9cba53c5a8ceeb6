/* yield.h - what a long computation does between two steps, as core/ and store/ see it: an interface, since they know neither
 * time nor threads. server/trainer/throttle.h sleeps where others want the processor more.
 */
#ifndef CONVD_CORE_YIELD_H
#define CONVD_CORE_YIELD_H

#include <stddef.h>

struct yield {
    void (*take)(struct yield *yield); /* in the thread that computes; returns soon; cannot fail */
};

/* yield_now - NULL: goes on at once. */
static inline void yield_now(struct yield *yield)
{
    if (yield != NULL)
        yield->take(yield);
}

#endif
