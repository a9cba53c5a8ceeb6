/* affinity.h - one processor for each HTTP thread, where there are as many of these as of those.
 *
 * Left to itself, the scheduler puts both threads on one processor every now and then, and leaves them there for seconds,
 * since the client's thread on the other one sleeps too briefly to be taken for idle. Then they take turns by its tick, of 4 ms, and
 * that is the 99th percentile of a prediction that takes 20 us. Where there are more processors than threads, they find places
 * of their own, and are left to it.
 */
#ifndef CONVD_SERVER_AFFINITY_H
#define CONVD_SERVER_AFFINITY_H

#include <sched.h>
#include <stdatomic.h>

struct affinity {
    cpu_set_t processors; /* that this process may use; none: every thread stays where the scheduler wants it */
    atomic_uint taken;
};

/* affinity_init - for so many threads. */
void affinity_init(struct affinity *affinity, unsigned threads);

/* affinity_take - gives the calling thread a processor of its own, once. A refusal (a system-call filter) changes nothing but
 * latencies, and is not reported. */
void affinity_take(struct affinity *affinity);

#endif
