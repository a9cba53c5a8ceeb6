/* http.c - see http/http.h: from start to stop. http/http.h says where the rest is. */
#include "server/http/http.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/http/acceptor.h"
#include "server/http/internal.h"
#include "server/http/tls.h"

/* Of libmicrohttpd, for headers and pieces of bodies. It clears all of it after each request: 6 % of /predict at 32 KiB. */
#define CONNECTION_MEMORY_BYTES 20480u
#define OWN_CONNECTIONS         96u /* the watchdog's, at most */
#define SPARE_MIN               2u

static size_t keep_escapes(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context, (void)mhd;
    return strlen(text); /* message/request.c decodes its own copy */
}

/* What libmicrohttpd says, in whatever thread of its own: above all that it has answered a request by itself, of which nobody else
 * tells us. It speaks English, since we set no locale. */
__attribute__((format(printf, 2, 0))) static void library_says(void *context, const char *format, va_list arguments)
{
    static const char refusal[] = "Error processing request (HTTP response code is ";
    struct http *http = context;
    char line[512];
    (void)vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, refusal, sizeof refusal - 1) == 0)
        atomic_fetch_add(&http->n_unheard, 1);
    logger_line(LOG_LINE_DEBUG, "libmicrohttpd: %s", line);
}

static struct MHD_Daemon *start_daemon(struct http *http, unsigned threads, bool tls)
{
    const struct http_config *config = &http->config;
    unsigned pool = threads > 1 ? threads : 1, n = 4;
    /* The limit is divided by the pool's size, so it is given for each thread; the one that counts is in http_connections_admit(). */
    unsigned limit = (http->places + http->spare + OWN_CONNECTIONS) * pool;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)limit, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)config->idle_seconds, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)CONNECTION_MEMORY_BYTES, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL}, /* 1.0 would else mend a block before http/headers.c has measured it */
        {MHD_OPTION_END, 0, NULL},               /* up to four more */
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    /* With TLS it may not use epoll: 0.9.75 then spins while a handshake waits for its client: a stalled one would
     * cost a processor. */
    unsigned flags = (tls ? MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_TLS : MHD_USE_EPOLL_INTERNAL_THREAD) |
                     MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
    if (pool > 1)
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)pool, NULL};
    if (tls) { /* libmicrohttpd only reads them, though its table says void * */
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (char *)(uintptr_t)config->certificate};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (char *)(uintptr_t)config->key};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (char *)(uintptr_t)TLS_PRIORITIES};
    }
    return MHD_start_daemon(flags, 0, NULL, NULL, http_request_step, http, MHD_OPTION_EXTERNAL_LOGGER, library_says,
                            http, MHD_OPTION_NOTIFY_CONNECTION, http_connections_notify, http,
                            MHD_OPTION_NOTIFY_COMPLETED, http_request_completed, http, MHD_OPTION_URI_LOG_CALLBACK,
                            http_request_line, http, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, http, MHD_OPTION_ARRAY,
                            options, MHD_OPTION_END);
}

int http_start(struct http **out, const struct http_config *config, struct err *err)
{
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return err_memory(err, "the HTTP server");
    http->config = *config;
    affinity_init(&http->affinity, config->threads);
    request_ids_init(&http->ids);
    http_bodies_init(&http->bodies, config->body_bytes, config->threads);
    pthread_mutex_init(&http->lock, NULL);
    /* Of the spare descriptors, those that linger have a third; at least one each. */
    const unsigned spare = config->spare > SPARE_MIN ? config->spare : SPARE_MIN;
    const unsigned n_lingerers = spare / 3 < ACCEPTOR_LINGERERS_MAX ? (spare + 2) / 3 : ACCEPTOR_LINGERERS_MAX;
    http->places = config->connections;
    http->spare = spare - n_lingerers;
    http->victims = calloc(http->places + http->spare, sizeof *http->victims);
    bool tls = config->certificate != NULL;
    if (http->victims != NULL)
        http->daemon = start_daemon(http, config->threads, tls);
    if (tls && http->daemon != NULL)
        http->local = start_daemon(http, 1, false);
    struct acceptor_calls calls = {
        .context = http,
        .n_lingerers = n_lingerers,
        .ready = http_connections_ready,
        .starved = http_connections_starved,
        .admit = http_connections_admit,
        .tick = http_connections_reap,
    };
    int status = 0;
    if (http->victims == NULL)
        status = err_memory(err, "the HTTP server");
    else if (http->daemon == NULL || (tls && http->local == NULL))
        status = err_set(err, ERR_NETWORK, "cannot start the HTTP server: %s", strerror(errno));
    else
        status = acceptor_start(&http->acceptor, config->listen_fds, config->n_listen_fds, &calls, err);
    if (status != 0) {
        http_stop(http);
        return -1;
    }
    *out = http;
    return 0;
}

bool http_attach(struct http *http, int fd, bool local)
{
    struct sockaddr_un nobody = {.sun_family = AF_UNIX};
    struct MHD_Daemon *daemon = local && http->local != NULL ? http->local : http->daemon;
    return http_connections_enter(http, daemon, fd, (const struct sockaddr *)&nobody, sizeof nobody, true);
}

const char *http_library(void)
{
    return MHD_get_version();
}

struct http_counts http_counts(struct http *http)
{
    return (struct http_counts){
        .connections_now = atomic_load(&http->n_now),
        .connections_max = http->places,
        .connections_total = atomic_load(&http->n_total),
        .refused = atomic_load(&http->n_refused),
        .reaped = atomic_load(&http->n_reaped),
        .unheard = atomic_load(&http->n_unheard),
        .displaced = atomic_load(&http->n_displaced),
        .suspended_now = atomic_load(&http->n_suspended),
        .body_bytes_now = atomic_load(&http->bodies.n_bytes),
        .reply_bytes_now = atomic_load(&http->bodies.n_reply_bytes),
    };
}

bool http_drain(struct http *http, unsigned milliseconds, bool (*hurry)(void))
{
    acceptor_deafen(http->acceptor);
    atomic_store(&http->draining, true);
    int64_t deadline = now_ms() + milliseconds;
    while (atomic_load(&http->n_now) > 0 && now_ms() < deadline) {
        struct timespec pause = {.tv_nsec = 10000000};
        if (hurry != NULL && hurry())
            return true;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

void http_stop(struct http *http)
{
    if (http == NULL)
        return;
    acceptor_stop(http->acceptor);
    if (http->daemon != NULL) {
        /* The last ones have been resumed, but their threads may not have noticed: stopping libmicrohttpd with a
         * suspended connection is an error of ours. */
        for (int i = 0; i < 500 && atomic_load(&http->n_suspended) + atomic_load(&http->n_asleep) > 0; i++)
            (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        MHD_stop_daemon(http->daemon);
        if (http->local != NULL)
            MHD_stop_daemon(http->local);
    }
    acceptor_free(http->acceptor);
    http_connections_fini(http);
    http_bodies_fini(&http->bodies);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
