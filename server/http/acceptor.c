/* acceptor.c - see http/acceptor.h */
#include "server/http/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/common/clock.h"

#define LINGER_MS    2000
#define LINGER_BYTES (64u << 20)
#define ACCEPTS_MAX  64 /* in a row, before the clock is looked at */

struct lingerer {
    int fd;
    int64_t until_ms;
    uint64_t n_bytes;
};

struct acceptor {
    struct acceptor_calls calls;
    pthread_t thread;
    int wake;
    int fds[ACCEPTOR_SOCKETS_MAX];
    unsigned n_fds;
    atomic_bool deafen, stop;
    sem_t deaf;
    pthread_mutex_t lock; /* of lingerers */
    struct lingerer lingerers[ACCEPTOR_LINGERERS_MAX];
    unsigned n_lingerers;
};

void acceptor_wake(struct acceptor *acceptor)
{
    uint64_t one = 1;
    ssize_t ignored = write(acceptor->wake, &one, sizeof one);
    (void)ignored; /* a full counter wakes just as well */
}

/* False where there is no room, descriptor or memory for more: the backlog waits. */
static bool accept_some(struct acceptor *acceptor, int listening)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage address;
        socklen_t n = sizeof address;
        if (!acceptor->calls.ready(acceptor->calls.context))
            return false;
        int fd = accept4(listening, (struct sockaddr *)&address, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            acceptor->calls.starved(acceptor->calls.context);
        else if (fd < 0)
            return errno != ENOBUFS && errno != ENOMEM;
        if (fd < 0)
            return false;
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on UNIX sockets, harmlessly */
        acceptor->calls.admit(acceptor->calls.context, fd, (const struct sockaddr *)&address, n);
    }
    return true;
}

/* Reads what is there; false when it is over with this one. */
static bool linger_on(struct lingerer *lingerer, int64_t now)
{
    char dropped[16384];
    for (int i = 0; i < 16; i++) {
        ssize_t n = recv(lingerer->fd, dropped, sizeof dropped, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0)
            return false;
        lingerer->n_bytes += (uint64_t)n;
    }
    return now < lingerer->until_ms && lingerer->n_bytes < LINGER_BYTES;
}

static void linger_all(struct acceptor *acceptor, int64_t now)
{
    pthread_mutex_lock(&acceptor->lock);
    for (unsigned i = 0; i < acceptor->n_lingerers;) {
        struct lingerer *lingerer = &acceptor->lingerers[i];
        if (linger_on(lingerer, now)) {
            i++;
            continue;
        }
        close(lingerer->fd);
        *lingerer = acceptor->lingerers[--acceptor->n_lingerers];
    }
    pthread_mutex_unlock(&acceptor->lock);
}

static void close_listeners(struct acceptor *acceptor)
{
    for (unsigned i = 0; i < acceptor->n_fds; i++)
        close(acceptor->fds[i]);
    acceptor->n_fds = 0;
}

static void *run(void *context)
{
    struct acceptor *acceptor = context;
    (void)pthread_setname_np(pthread_self(), "convd-accept");
    int64_t next_tick = now_ms() + ACCEPTOR_TICK_MS;
    bool room = true;
    while (!atomic_load(&acceptor->stop)) {
        if (atomic_load(&acceptor->deafen) && acceptor->n_fds > 0) {
            close_listeners(acceptor);
            sem_post(&acceptor->deaf);
        }
        struct pollfd polled[1 + ACCEPTOR_SOCKETS_MAX + ACCEPTOR_LINGERERS_MAX];
        nfds_t n = 0;
        polled[n++] = (struct pollfd){.fd = acceptor->wake, .events = POLLIN};
        for (unsigned i = 0; i < acceptor->n_fds; i++) /* a negative fd is skipped by poll */
            polled[n++] = (struct pollfd){.fd = room ? acceptor->fds[i] : -1, .events = POLLIN};
        pthread_mutex_lock(&acceptor->lock);
        for (unsigned i = 0; i < acceptor->n_lingerers; i++)
            polled[n++] = (struct pollfd){.fd = acceptor->lingerers[i].fd, .events = POLLIN};
        pthread_mutex_unlock(&acceptor->lock);

        int64_t now = now_ms();
        int timeout = next_tick > now ? (int)(next_tick - now) : 0;
        (void)poll(polled, n, timeout);
        if (polled[0].revents != 0) {
            uint64_t count = 0;
            ssize_t ignored = read(acceptor->wake, &count, sizeof count);
            (void)ignored;
            room = true;
        }
        for (unsigned i = 0; i < acceptor->n_fds && !atomic_load(&acceptor->deafen); i++)
            if (polled[1 + i].revents != 0)
                room = accept_some(acceptor, acceptor->fds[i]);
        now = now_ms();
        linger_all(acceptor, now);
        if (now >= next_tick) {
            next_tick = now + ACCEPTOR_TICK_MS;
            room = true;
            acceptor->calls.tick(acceptor->calls.context, now);
        }
    }
    return NULL;
}

int acceptor_start(struct acceptor **out, const int *fds, unsigned n_fds, const struct acceptor_calls *calls,
                   struct err *err)
{
    if (n_fds == 0 || n_fds > ACCEPTOR_SOCKETS_MAX)
        return err_set(err, ERR_NETWORK, "%u listening sockets; the limits are 1 and %u", n_fds, ACCEPTOR_SOCKETS_MAX);
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    if (acceptor == NULL)
        return err_memory(err, "listening");
    acceptor->calls = *calls;
    acceptor->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (acceptor->wake < 0) {
        free(acceptor);
        return err_set(err, ERR_NETWORK, "cannot make an event descriptor: %s", strerror(errno));
    }
    for (unsigned i = 0; i < n_fds; i++) {
        /* several threads of several processes may wait on a passed socket: accept must never block */
        int flags = fcntl(fds[i], F_GETFL);
        if (flags >= 0)
            (void)fcntl(fds[i], F_SETFL, flags | O_NONBLOCK);
        acceptor->fds[acceptor->n_fds++] = fds[i];
    }
    pthread_mutex_init(&acceptor->lock, NULL);
    sem_init(&acceptor->deaf, 0, 0);
    *out = acceptor; /* before the thread, whose calls may use it */
    int status = pthread_create(&acceptor->thread, NULL, run, acceptor);
    if (status != 0) {
        close(acceptor->wake);
        sem_destroy(&acceptor->deaf);
        pthread_mutex_destroy(&acceptor->lock);
        free(acceptor);
        *out = NULL;
        return err_set(err, ERR_NETWORK, "cannot start the thread that accepts: %s", strerror(status));
    }
    return 0;
}

void acceptor_linger(struct acceptor *acceptor, int fd)
{
    pthread_mutex_lock(&acceptor->lock);
    bool room = acceptor->n_lingerers < acceptor->calls.n_lingerers;
    if (room)
        acceptor->lingerers[acceptor->n_lingerers++] = (struct lingerer){.fd = fd, .until_ms = now_ms() + LINGER_MS};
    pthread_mutex_unlock(&acceptor->lock);
    if (room)
        acceptor_wake(acceptor);
    else
        close(fd);
}

void acceptor_deafen(struct acceptor *acceptor)
{
    if (atomic_exchange(&acceptor->deafen, true))
        return;
    acceptor_wake(acceptor);
    while (sem_wait(&acceptor->deaf) != 0 && errno == EINTR)
        ;
}

void acceptor_stop(struct acceptor *acceptor)
{
    if (acceptor == NULL)
        return;
    atomic_store(&acceptor->stop, true);
    acceptor_wake(acceptor);
    pthread_join(acceptor->thread, NULL);
    close_listeners(acceptor);
}

void acceptor_free(struct acceptor *acceptor)
{
    if (acceptor == NULL)
        return;
    for (unsigned i = 0; i < acceptor->n_lingerers; i++)
        close(acceptor->lingerers[i].fd);
    close(acceptor->wake);
    sem_destroy(&acceptor->deaf);
    pthread_mutex_destroy(&acceptor->lock);
    free(acceptor);
}
