/* watchdog.h - tells systemd that the daemon lives, and only when it does.
 *
 * A timer that says "alive" proves that timers work. Here WATCHDOG=1 is sent when, since the last time, the trainer's progress
 * counter has grown (its loop ticks even when idle), or its threads have read or written (a large snapshot on a slow disk is no hang) and every HTTP thread has answered GET /healthz on a connection of its
 * own, which was opened at the start, so that it needs no free place among the connections when they are all taken. A thread that
 * speaks TLS is asked by the beginning of a handshake, each time on a new connection: that it says anything is enough.
 */
#ifndef CONVD_SERVER_DAEMON_WATCHDOG_H
#define CONVD_SERVER_DAEMON_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "server/http/http.h"
#include "server/trainer/trainer.h"

#define WATCHDOG_THREADS_MAX 64u

struct watchdog {
    uint64_t interval_us; /* what systemd expects; 0: nobody listens, and all of this does nothing */
    struct http *http;
    struct trainer *trainer;
    unsigned threads; /* those of the pool, and with TLS one more: that of the UNIX sockets */
    bool tls;
    int fds[WATCHDOG_THREADS_MAX];       /* our ends; -1: closed                        */
    bool answered[WATCHDOG_THREADS_MAX]; /* since the last WATCHDOG=1                   */
    uint64_t progress;                   /* of the trainer, in rounds and bytes, at the last WATCHDOG=1 */
    int64_t next_ms;
};

/* watchdog_init - asks the environment (WATCHDOG_USEC) whether systemd wants to know. */
void watchdog_init(struct watchdog *watchdog, struct http *http, struct trainer *trainer, unsigned threads, bool tls);
void watchdog_fini(struct watchdog *watchdog);

/* watchdog_clear - one that does nothing, and that watchdog_fini() accepts. */
void watchdog_clear(struct watchdog *watchdog);

/* watchdog_tick - to be called often; never blocks. Returns true when it has told systemd. */
bool watchdog_tick(struct watchdog *watchdog, int64_t now_ms);

#endif
