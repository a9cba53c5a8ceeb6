/* affinity.c - see affinity.h */
#include "server/affinity.h"

#include <stdbool.h>

void affinity_init(struct affinity *affinity, unsigned threads)
{
    atomic_init(&affinity->taken, 0);
    CPU_ZERO(&affinity->processors);
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && (unsigned)CPU_COUNT(&allowed) == threads)
        affinity->processors = allowed;
}

void affinity_take(struct affinity *affinity)
{
    static _Thread_local bool placed;
    if (placed)
        return;
    placed = true;
    unsigned left = atomic_fetch_add_explicit(&affinity->taken, 1, memory_order_relaxed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &affinity->processors) && left-- == 0) {
            cpu_set_t own;
            CPU_ZERO(&own);
            CPU_SET(cpu, &own);
            (void)sched_setaffinity(0, sizeof own, &own);
            return;
        }
}
