/* affinity.h - no two HTTP threads on one processor while another is to be had.
 *
 * Left to itself, the scheduler puts two busy threads on one processor every now and then, and leaves them there for seconds,
 * since the client's thread on the other one sleeps too briefly for that to be taken for idle. Then they take turns by its tick, of
 * 4 ms, and that is the 99th percentile of a prediction that takes 20 us. So each thread looks round every millisecond at most, and one
 * that finds another at work on its own processor moves to one where none is. Tied to its place it is not: a thread that may not move
 * waits for whatever else runs there, though the next processor be idle (15 % of the rate of single training requests).
 */
#ifndef CONVD_SERVER_HTTP_AFFINITY_H
#define CONVD_SERVER_HTTP_AFFINITY_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AFFINITY_THREADS_MAX 64u /* more are left alone */

struct affinity {
    cpu_set_t processors; /* that this process may use       */
    bool enough;          /* for all threads, more than one  */
    atomic_uint n_seats;
    struct {
        atomic_int processor;
        _Atomic uint64_t ns; /* when its thread was there */
    } seats[AFFINITY_THREADS_MAX];
};

/* affinity_init - for so many threads. */
void affinity_init(struct affinity *affinity, unsigned threads);

/* affinity_look - the calling thread is at work, at that time (clock_ns()); a thread looks at one affinity in its life. Where it may not
 * move (a system-call filter), nothing changes but latencies, and nothing is reported. */
void affinity_look(struct affinity *affinity, uint64_t now_ns);

#endif
