/* routes_backup.c - GET /backup: the whole database, as a file that convd opens.
 *
 * It is copied between the trainer's rounds into a file without a name beside the database, which is then sent; training and
 * predictions go on meanwhile. One copy at a time: each takes as much room on the disk as the database.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/routes.h"

#define STEP_US 5000 /* between two of the trainer's rounds */

struct copying {
    struct routes *routes;
    struct store_backup *backup; /* the trainer's */
    int fd;                      /* of the whole copy; -1 */
    int64_t until_ms;
};

/* In any thread: what was begun in the trainer's has ended there. */
static void copying_free(void *own)
{
    struct copying *c = own;
    if (c->fd >= 0)
        (void)close(c->fd);
    atomic_store(&c->routes->copying, false);
    free(c);
}

static int copy_more(struct copying *c, struct store *store, struct err *err)
{
    if (c->backup == NULL && store_backup_begin(&c->backup, store, NULL, err) != 0)
        return -1;
    if (atomic_load(&c->routes->stopping))
        return err_set(err, ERR_STOPPING, "the daemon is stopping");
    if (now_ms() >= c->until_ms)
        return err_set(err, ERR_BUSY,
                       "the database could not be copied within %u seconds: --request-seconds gives it more, and convd "
                       "backup --db copies it while the daemon is down",
                       c->routes->wait_seconds);
    return store_backup_step(c->backup, STEP_US, err);
}

/* It begins, goes on and ends here, however it ends and whoever still waits for it: the connection to the database is the trainer's. */
static int copy(struct job *job, struct store *store, struct err *err)
{
    struct copying *c = ((struct work *)job->context)->own;
    const int status = copy_more(c, store, err);
    if (status == 1)
        return 1;
    if (status == 0) {
        job->revision = store_revision(store);
        c->fd = store_backup_take(c->backup);
    }
    store_backup_end(c->backup);
    return status;
}

/* ---- sending it ---- */

struct sending {
    struct http_stream stream;
    int fd;
};

static long sending_read(struct http_stream *stream, char *bytes, size_t room)
{
    const struct sending *s = (struct sending *)(void *)stream; /* its first member */
    ssize_t n;
    do
        n = read(s->fd, bytes, room);
    while (n < 0 && errno == EINTR);
    return n > 0 ? (long)n : HTTP_STREAM_BROKEN; /* libmicrohttpd asks for no more than there is */
}

static void sending_free(struct http_stream *stream)
{
    struct sending *s = (struct sending *)(void *)stream;
    (void)close(s->fd);
    free(s);
}

static void copied(struct work *work, struct answer *answer)
{
    struct copying *c = work->own;
    struct sending *s = calloc(1, sizeof *s);
    struct stat file;
    struct err err;
    if (s == NULL) {
        err_set(&err, ERR_MEMORY, "no memory to send the copy");
        routes_problem(work->routes, answer, &err);
        return;
    }
    s->fd = c->fd;
    c->fd = -1;
    s->stream.read = sending_read;
    s->stream.free = sending_free;
    if (fstat(s->fd, &file) != 0 || file.st_size <= 0) {
        sending_free(&s->stream);
        err_set(&err, ERR_STORAGE, "the copy cannot be read");
        routes_problem(work->routes, answer, &err);
        return;
    }
    s->stream.size = (uint64_t)file.st_size;
    answer->stream = &s->stream;
    answer->status = 200;
    answer->type = "application/vnd.sqlite3";
    answer->disposition = "attachment; filename=\"convd.db\"";
    answer_revision(answer, work->job.revision);
}

void route_backup(const struct call *call)
{
    struct routes *routes = call->routes;
    struct err err;
    struct copying *c = calloc(1, sizeof *c);
    bool nobody = false;
    if (c == NULL || !atomic_compare_exchange_strong(&routes->copying, &nobody, true)) {
        if (c == NULL)
            err_set(&err, ERR_MEMORY, "no memory for a copy");
        else
            err_set(&err, ERR_BUSY, "the database is being copied for another request: one at a time");
        answer_problem(call->answer, &err);
        free(c);
        return;
    }
    *c = (struct copying){routes, NULL, -1, now_ms() + 1000 * (int64_t)routes->wait_seconds};
    struct work *work = call_submit(call, JOB_READ, copied);
    if (work == NULL) {
        copying_free(c);
        return;
    }
    work->own = c;
    work->own_free = copying_free;
    work->job.read = copy;
}
