/* throttle.c - see trainer/throttle.h */
#include "server/trainer/throttle.h"

#include <sched.h>
#include <time.h>

#include "server/common/clock.h"

/* Of the calling thread. */
static _Thread_local uint64_t began_us, seen;

void throttle_begin(void)
{
    began_us = clock_us();
}

static void take(struct yield *yield)
{
    const struct throttle *throttle = (const struct throttle *)yield;
    const uint64_t worked = clock_us() - began_us;
    if (worked < THROTTLE_SLICE_US)
        return;
    const uint64_t asked = model_requests(throttle->model);
    if (asked != seen) {
        const uint64_t us = 2 * worked < THROTTLE_REST_US_MAX ? 2 * worked : THROTTLE_REST_US_MAX;
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
    }
    seen = asked; /* as it was before: who asked meanwhile counts for the next slice */
    throttle_begin();
}

static void go_on(struct yield *yield)
{
    (void)yield;
}

void throttle_init(struct throttle *throttle, struct model *model, unsigned threads)
{
    cpu_set_t allowed;
    const bool crowded = sched_getaffinity(0, sizeof allowed, &allowed) == 0 && (unsigned)CPU_COUNT(&allowed) < threads;
    *throttle = (struct throttle){.yield = {crowded ? take : go_on}, .model = model};
}
