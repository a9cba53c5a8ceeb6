/* listen.c - hints that the log has grown. See postgres.h. */
#include <poll.h>
#include <stdlib.h>

#include "store/postgres/internal.h"

struct postgres_listener {
    struct postgres *pg;
};

int postgres_listener_open(struct postgres_listener **out, const char *conninfo, struct err *err)
{
    struct postgres_listener *listener = malloc(sizeof *listener);
    *out = NULL;
    if (listener == NULL)
        return err_memory(err, "a connection to the shared log");
    if ((listener->pg = postgres_make(conninfo, true, err)) == NULL) {
        free(listener);
        return -1;
    }
    *out = listener;
    return 0;
}

void postgres_listener_close(struct postgres_listener *listener)
{
    if (listener == NULL)
        return;
    postgres_close(listener->pg);
    free(listener);
}

static uint64_t revision_of(const PGnotify *notify)
{
    char *end;
    const uint64_t revision = strtoull(notify->extra, &end, 10);
    return end != notify->extra && *end == '\0' ? revision : UINT64_MAX;
}

/* Whether there was a hint; however many there were, they are taken. */
static bool hinted(struct postgres *pg, uint64_t *revision)
{
    PGnotify *notify;
    bool found = false;
    *revision = 0;
    while ((notify = PQnotifies(pg->conn)) != NULL) {
        const uint64_t told = revision_of(notify);
        *revision = told > *revision ? told : *revision;
        PQfreemem(notify);
        found = true;
    }
    return found;
}

/* Waits for the server (NULL: for nothing) and for fd. Whether time is left and fd has nothing to read. */
static bool waits(const struct postgres *pg, int fd, uint64_t until_ms)
{
    struct pollfd sockets[2] = {{.fd = fd, .events = POLLIN},
                                {.fd = pg->conn != NULL ? PQsocket(pg->conn) : -1, .events = POLLIN}};
    const uint64_t now = postgres_now_ms();
    if (now >= until_ms)
        return false;
    return poll(sockets, 2, (int)(until_ms - now)) > 0 && sockets[0].revents == 0;
}

/* A new connection: what was said before is lost, so that it is made is a hint. */
static int listen_anew(struct postgres *pg, int fd, uint64_t until_ms, uint64_t *revision, struct err *err)
{
    *revision = UINT64_MAX;
    if (postgres_ready(pg, err) == 0 && postgres_do(pg, SQL_LISTEN, NULL, err) == 0)
        return 1;
    postgres_drop(pg);
    (void)waits(pg, fd, until_ms);
    return -1;
}

int postgres_listen(struct postgres_listener *listener, unsigned timeout_ms, int fd, uint64_t *revision,
                    struct err *err)
{
    struct postgres *pg = listener->pg;
    const uint64_t until_ms = postgres_now_ms() + timeout_ms;
    if (pg->conn == NULL)
        return listen_anew(pg, fd, until_ms, revision, err);
    while (!hinted(pg, revision)) {
        if (!waits(pg, fd, until_ms))
            return 0;
        if (PQconsumeInput(pg->conn))
            continue;
        postgres_drop(pg);
        return listen_anew(pg, fd, until_ms, revision, err);
    }
    return 1;
}
