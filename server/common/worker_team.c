/* worker_team.c - see common/worker_team.h
 *
 * A phase has a number, `phase`. Slot i says which phase's part i was last claimed, and which finished. run() writes the task, then
 * the number; a thread that has seen the number claims a part by changing its slot from the number before to this one. Only one can;
 * and run() does not return, so nobody changes the task, before all parts are claimed and finished. A thread that comes
 * late finds every part claimed and has touched nothing. Numbers wrap around, which is harmless: slots are never more than one behind.
 */
#include "server/common/worker_team.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "server/common/clock.h"

#define WATCH_SPINS 3000  /* of a member before it sleeps: 30 to 60 us on x86                                    */
#define WAIT_SPINS  2000  /* of the caller before it yields: whoever has the part may want this very processor */
#define LATE_NS     50000 /* a part that takes so much longer than all that the caller did was interrupted     */
#define ALONE_MIN   16    /* phases that the caller works alone after such a one: doubled each time, halved     */
#define ALONE_MAX   4096  /* after as many good ones                                                           */

struct slot {
    _Alignas(64) atomic_uint claimed, finished; /* phases; a line of its own */
};

struct member {
    struct threads *threads;
    unsigned part;
    pthread_t thread;
};

struct threads {
    struct team team; /* first: what run() is given */
    atomic_uint phase;
    atomic_bool stopping;
    atomic_uint sleepers;
    void (*task)(void *context, unsigned part, unsigned n); /* of this phase */
    void *context;
    struct slot slots[TEAM_MEMBERS_MAX];

    /* the caller's own */
    unsigned alone;      /* phases that are still to be worked alone */
    unsigned alone_next; /* how many when a member is late again */
    unsigned good;       /* phases since one was late */

    pthread_mutex_t lock; /* sleepers only */
    pthread_cond_t wake;
    unsigned n_started;
    struct member members[TEAM_MEMBERS_MAX]; /* 1.. : 0 is the caller */
};

static struct threads *threads_of(struct team *team)
{
    return (struct threads *)(void *)((char *)team - offsetof(struct threads, team));
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Computes part i of that phase unless someone else has begun it. */
static void try_part(struct threads *t, unsigned i, unsigned phase)
{
    unsigned before = phase - 1;
    if (!atomic_compare_exchange_strong(&t->slots[i].claimed, &before, phase))
        return;
    t->task(t->context, i, t->team.n);
    atomic_store_explicit(&t->slots[i].finished, phase, memory_order_release);
}

/* Its own part first, then those that nobody has begun. */
static void try_parts(struct threads *t, unsigned own, unsigned phase)
{
    for (unsigned k = 0; k < t->team.n; k++)
        try_part(t, (own + k) % t->team.n, phase);
}

/* A member that lost its processor in the middle of a part holds up everyone, for milliseconds. Where that happens processors are wanted
 * elsewhere: the caller goes on alone for a while, for longer and longer if it goes on. */
static void note_lateness(struct threads *t, bool late)
{
    t->good = late ? 0 : t->good + 1;
    if (late) {
        t->alone = t->alone_next;
        t->alone_next = t->alone_next < ALONE_MAX ? t->alone_next * 2 : ALONE_MAX;
    } else if (t->good >= t->alone_next && t->alone_next > ALONE_MIN) {
        t->good = 0;
        t->alone_next /= 2;
    }
}

static void run(struct team *team, void (*task)(void *context, unsigned part, unsigned n), void *context)
{
    struct threads *t = threads_of(team);
    if (t->alone > 0) {
        t->alone--;
        for (unsigned i = 0; i < team->n; i++)
            task(context, i, team->n);
        return;
    }
    const uint64_t begin = clock_ns();
    const unsigned phase = atomic_load_explicit(&t->phase, memory_order_relaxed) + 1;
    t->task = task;
    t->context = context;
    atomic_store(&t->phase,
                 phase); /* sequentially consistent, as sleep_until_phase() is: one of the two sees the other */
    if (atomic_load(&t->sleepers) > 0) {
        (void)pthread_mutex_lock(&t->lock);
        (void)pthread_cond_broadcast(&t->wake);
        (void)pthread_mutex_unlock(&t->lock);
    }
    try_parts(t, 0, phase);
    const uint64_t own = clock_ns();
    for (unsigned i = 0; i < team->n; i++)
        for (unsigned spins = 0; atomic_load_explicit(&t->slots[i].finished, memory_order_acquire) != phase; spins++) {
            relax();
            if (spins >= WAIT_SPINS)
                (void)sched_yield();
        }
    note_lateness(t, clock_ns() - own > own - begin + LATE_NS);
}

/* ---- a member ---- */

static void sleep_until_phase(struct threads *t, unsigned seen)
{
    (void)pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(&t->phase) == seen && !atomic_load(&t->stopping))
        (void)pthread_cond_wait(&t->wake, &t->lock);
    atomic_fetch_sub(&t->sleepers, 1);
    (void)pthread_mutex_unlock(&t->lock);
}

static void *member_main(void *argument)
{
    const struct member *member = argument;
    struct threads *t = member->threads;
    unsigned seen = 0;
    while (!atomic_load_explicit(&t->stopping, memory_order_relaxed)) {
        unsigned phase = atomic_load_explicit(&t->phase, memory_order_acquire);
        for (unsigned spins = 0; phase == seen && spins < WATCH_SPINS; spins++) {
            relax();
            phase = atomic_load_explicit(&t->phase, memory_order_acquire);
        }
        if (phase == seen) {
            sleep_until_phase(t, seen);
        } else {
            try_parts(t, member->part, phase);
            seen = phase;
        }
    }
    return NULL;
}

/* ---- from start to stop ---- */

struct team *team_create(unsigned n, struct err *err)
{
    assert(n >= 2 && n <= TEAM_MEMBERS_MAX);
    struct threads *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    if (t == NULL) {
        err_memory(err, "%u threads", n);
        return NULL;
    }
    *t = (struct threads){.team = {.n = n, .run = run}, .alone_next = ALONE_MIN};
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->wake, NULL);
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = 0;
    for (unsigned i = 1; i < n && status == 0; i++) {
        t->members[i] = (struct member){.threads = t, .part = i};
        status = pthread_create(&t->members[i].thread, NULL, member_main, &t->members[i]);
        t->n_started += status == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0) {
        err_set(err, ERR_MEMORY, "cannot start thread %u of %u", t->n_started + 1, n - 1);
        team_free(&t->team);
        return NULL;
    }
    return &t->team;
}

void team_free(struct team *team)
{
    if (team == NULL)
        return;
    struct threads *t = threads_of(team);
    (void)pthread_mutex_lock(&t->lock);
    atomic_store(&t->stopping, true);
    (void)pthread_cond_broadcast(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
    for (unsigned i = 1; i <= t->n_started; i++)
        (void)pthread_join(t->members[i].thread, NULL);
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

int team_create_for(struct team **out, const struct shape *shape, uint32_t n_2, unsigned wanted, struct err *err)
{
    *out = NULL;
    cpu_set_t usable;
    if (wanted == 0 && sched_getaffinity(0, sizeof usable, &usable) == 0)
        wanted = (unsigned)CPU_COUNT(&usable);
    if (wanted < 2 || net_largest_phase(shape, n_2) < TEAM_LEAST)
        return 0;
    *out = team_create(wanted < TEAM_MEMBERS_MAX ? wanted : TEAM_MEMBERS_MAX, err);
    return *out != NULL ? 0 : -1;
}
