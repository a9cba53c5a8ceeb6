/* throttle.h - predictions go first where training and they have too few processors.
 *
 * A scheduler gives a thread that computes all the time its fair share in pieces of a tick, 4 ms, and a prediction of 20 us waits
 * that long. So training cuts its own time up: after THROTTLE_SLICE_US of work, where somebody asked for a prediction since the slice before, it
 * sleeps twice as long as it worked. It keeps a third of a processor, less where others make it wait for one when it wakes;
 * a low priority instead would let any busy program on the machine keep a sample from being learned for seconds. Without predictions, or with processors to spare, it never
 * rests.
 */
#ifndef CONVD_SERVER_TRAINER_THROTTLE_H
#define CONVD_SERVER_TRAINER_THROTTLE_H

#include "core/yield.h"
#include "server/model/model.h"

#define THROTTLE_SLICE_US    100
#define THROTTLE_REST_US_MAX 5000 /* of a model whose steps take long */

struct throttle {
    struct yield yield;
    struct model *model;
};

/* throttle_init - threads: that serve requests, or compute; where this process may use as many processors or more, no rest is ever taken. */
void throttle_init(struct throttle *throttle, struct model *model, unsigned threads);

/* throttle_begin - the calling thread has not worked until now. */
void throttle_begin(void);

#endif
