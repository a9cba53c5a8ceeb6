/* watchdog.c - see daemon/watchdog.h */
#include "server/daemon/watchdog.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "server/http/tls.h"

/* A thread's share of the connections is those whose descriptor is its number modulo the threads (http_attach): look for a
 * descriptor of that kind by copying the one we have. */
static int descriptor_for(int fd, unsigned thread, unsigned threads)
{
    int passed[WATCHDOG_THREADS_MAX];
    unsigned n_passed = 0;
    while (fd >= 0 && (unsigned)fd % threads != thread && n_passed < WATCHDOG_THREADS_MAX) {
        passed[n_passed++] = fd;
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    for (unsigned i = 0; i < n_passed; i++)
        close(passed[i]);
    return fd;
}

/* The last one, with TLS: it serves UNIX sockets, and does not speak it. */
static bool is_local(const struct watchdog *watchdog, unsigned thread)
{
    return watchdog->tls && thread + 1 == watchdog->threads;
}

static void open_one(struct watchdog *watchdog, unsigned thread)
{
    int pair[2];
    watchdog->fds[thread] = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return;
    bool local = is_local(watchdog, thread);
    int theirs = local ? pair[1] : descriptor_for(pair[1], thread, watchdog->threads - (watchdog->tls ? 1 : 0));
    if (theirs >= 0 && http_attach(watchdog->http, theirs, local))
        watchdog->fds[thread] = pair[0];
    else
        close(pair[0]);
}

static void ping(struct watchdog *watchdog, unsigned thread)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    if (watchdog->fds[thread] < 0)
        open_one(watchdog, thread);
    if (watchdog->fds[thread] < 0)
        return;
    if (watchdog->tls && !is_local(watchdog, thread))
        (void)tls_hello(watchdog->fds[thread]);
    else
        (void)!send(watchdog->fds[thread], request, sizeof request - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Reads what has come; anything at all is an answer, since the thread says nothing unasked. */
static void listen_for(struct watchdog *watchdog, unsigned thread)
{
    char bytes[1024];
    for (;;) {
        ssize_t n = watchdog->fds[thread] < 0 ? -1 : recv(watchdog->fds[thread], bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0)
            return;
        if (n == 0) { /* closed as idle, or at its end: a new one next time */
            close(watchdog->fds[thread]);
            watchdog->fds[thread] = -1;
            return;
        }
        watchdog->answered[thread] = true;
        if (watchdog->tls && !is_local(watchdog, thread)) { /* a handshake is begun once only */
            close(watchdog->fds[thread]);
            watchdog->fds[thread] = -1;
        }
    }
}

void watchdog_clear(struct watchdog *watchdog)
{
    *watchdog = (struct watchdog){0};
    for (unsigned i = 0; i < WATCHDOG_THREADS_MAX; i++)
        watchdog->fds[i] = -1;
}

void watchdog_init(struct watchdog *watchdog, struct http *http, struct trainer *trainer, unsigned threads, bool tls)
{
    watchdog_clear(watchdog);
    watchdog->http = http;
    watchdog->trainer = trainer;
    unsigned most = WATCHDOG_THREADS_MAX - (tls ? 1 : 0);
    watchdog->threads = (threads < 1 ? 1 : threads < most ? threads : most) + (tls ? 1 : 0);
    watchdog->tls = tls;
    if (sd_watchdog_enabled(0, &watchdog->interval_us) <= 0)
        watchdog->interval_us = 0;
    for (unsigned i = 0; i < watchdog->threads && watchdog->interval_us > 0; i++)
        ping(watchdog, i);
}

void watchdog_fini(struct watchdog *watchdog)
{
    for (unsigned i = 0; i < WATCHDOG_THREADS_MAX; i++)
        if (watchdog->fds[i] >= 0)
            close(watchdog->fds[i]);
    watchdog_clear(watchdog);
}

bool watchdog_tick(struct watchdog *watchdog, int64_t now_ms)
{
    if (watchdog->interval_us == 0 || now_ms < watchdog->next_ms)
        return false;
    bool alive = true;
    for (unsigned i = 0; i < watchdog->threads; i++) {
        listen_for(watchdog, i);
        alive = alive && watchdog->answered[i];
    }
    uint64_t progress = trainer_stats(watchdog->trainer).progress + trainer_moved(watchdog->trainer);
    alive = alive && progress != watchdog->progress;
    if (!alive) {
        for (unsigned i = 0; i < watchdog->threads; i++)
            if (!watchdog->answered[i] && watchdog->fds[i] < 0)
                ping(watchdog, i);
        watchdog->next_ms = now_ms + 50; /* look again soon: the trainer ticks twice a second */
        return false;
    }
    (void)sd_notify(0, "WATCHDOG=1");
    watchdog->progress = progress;
    memset(watchdog->answered, 0, sizeof watchdog->answered);
    for (unsigned i = 0; i < watchdog->threads; i++)
        ping(watchdog, i);
    watchdog->next_ms = now_ms + (int64_t)(watchdog->interval_us / 4000); /* half of what systemd recommends */
    return true;
}
