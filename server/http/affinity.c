/* affinity.c - see http/affinity.h */
#include "server/http/affinity.h"

#define LOOK_NS   1000000u   /* between two looks of a thread                                       */
#define ACTIVE_NS 10000000u  /* who was seen there so lately is at work there: two ticks and a half */
#define STAYS_NS  200000000u /* where it moved to, whoever comes there: being moved about is worse than taking turns */

/* Of the calling thread. */
static _Thread_local unsigned own_seat; /* counted from 1; 0: none yet */
static _Thread_local uint64_t looked_ns, moved_ns;

void affinity_init(struct affinity *affinity, unsigned threads)
{
    atomic_init(&affinity->n_seats, 0);
    for (unsigned i = 0; i < AFFINITY_THREADS_MAX; i++) {
        atomic_init(&affinity->seats[i].processor, -1);
        atomic_init(&affinity->seats[i].ns, 0);
    }
    affinity->enough = threads > 1 && threads <= AFFINITY_THREADS_MAX &&
                       sched_getaffinity(0, sizeof affinity->processors, &affinity->processors) == 0 &&
                       threads <= (unsigned)CPU_COUNT(&affinity->processors);
}

/* The processors where other threads are at work. */
static cpu_set_t taken_by_others(struct affinity *affinity, uint64_t now_ns)
{
    cpu_set_t taken;
    CPU_ZERO(&taken);
    unsigned n = atomic_load_explicit(&affinity->n_seats, memory_order_relaxed);
    for (unsigned i = 0; i < n && i < AFFINITY_THREADS_MAX; i++) {
        const int processor = atomic_load_explicit(&affinity->seats[i].processor, memory_order_relaxed);
        const uint64_t then = atomic_load_explicit(&affinity->seats[i].ns, memory_order_relaxed);
        if (i + 1 != own_seat && processor >= 0 && then + ACTIVE_NS > now_ns)
            CPU_SET((size_t)processor, &taken);
    }
    return taken;
}

/* Where the thread may be is as before then: somebody may have said so since the start (taskset). */
static bool move(size_t to)
{
    cpu_set_t may, there;
    CPU_ZERO(&there);
    CPU_SET(to, &there);
    if (sched_getaffinity(0, sizeof may, &may) != 0 || !CPU_ISSET(to, &may) ||
        sched_setaffinity(0, sizeof there, &there) != 0)
        return false;
    (void)sched_setaffinity(0, sizeof may, &may);
    return true;
}

void affinity_look(struct affinity *affinity, uint64_t now_ns)
{
    if (!affinity->enough || now_ns - looked_ns < LOOK_NS)
        return;
    looked_ns = now_ns;
    if (own_seat == 0)
        own_seat = atomic_fetch_add(&affinity->n_seats, 1) + 1;
    if (own_seat > AFFINITY_THREADS_MAX)
        return;
    int here = sched_getcpu();
    const cpu_set_t taken = taken_by_others(affinity, now_ns);
    if (here >= 0 && CPU_ISSET((size_t)here, &taken) && now_ns - moved_ns > STAYS_NS) {
        moved_ns = now_ns;
        for (size_t to = 0; to < CPU_SETSIZE; to++)
            if (CPU_ISSET(to, &affinity->processors) && !CPU_ISSET(to, &taken)) {
                here = move(to) ? (int)to : here;
                break;
            }
    }
    atomic_store_explicit(&affinity->seats[own_seat - 1].processor, here, memory_order_relaxed);
    atomic_store_explicit(&affinity->seats[own_seat - 1].ns, now_ns, memory_order_relaxed);
}
