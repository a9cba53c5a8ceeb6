/* backup.c - GET /backup: the whole database, as a file that convd opens.
 *
 * It is copied between the trainer's rounds into a file without a name beside the database, which is then sent; training and
 * predictions go on meanwhile. Each copy takes as much room on the disk as the database, for as long as a client reads it: so there are
 * COPIES_MAX, those that are being sent included, and who asks while nothing has changed since the last one was made gets that one, too.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/routes/handlers.h"

#define STEP_US    2000 /* of one turn */
#define COPIES_MAX 2u

/* A whole copy, in the hands of all who are being sent it. */
struct routes_copy {
    struct routes *routes;
    int fd;
    uint64_t size, revision, changes; /* changes: store_changes() when it was whole */
    unsigned holders;                 /* routes->copies.lock */
};

struct copying {
    struct routes *routes;
    struct store_backup *backup; /* the trainer's */
    struct routes_copy *copy;    /* held; NULL: not whole yet */
    int64_t until_ms;
};

static void copy_release(struct routes_copy *copy)
{
    struct copies *copies = &copy->routes->copies;
    (void)pthread_mutex_lock(&copies->lock);
    const bool last = --copy->holders == 0;
    if (last) {
        copies->n--;
        copies->newest = copies->newest == copy ? NULL : copies->newest;
    }
    (void)pthread_mutex_unlock(&copies->lock);
    if (!last)
        return;
    (void)close(copy->fd);
    free(copy);
}

/* In any thread: what was begun in the trainer's has ended there. */
static void copying_free(void *own)
{
    struct copying *c = own;
    if (c->copy != NULL)
        copy_release(c->copy);
    free(c);
}

static void copy_give_up(struct copies *copies)
{
    (void)pthread_mutex_lock(&copies->lock);
    copies->n--;
    (void)pthread_mutex_unlock(&copies->lock);
}

/* The newest copy, if the database is still the same; else a place for another. Errors: ERR_BUSY. */
static int copy_begin(struct copying *c, struct store *store, struct err *err)
{
    struct copies *copies = &c->routes->copies;
    (void)pthread_mutex_lock(&copies->lock);
    if (copies->newest != NULL && copies->newest->changes == store_changes(store)) {
        c->copy = copies->newest;
        c->copy->holders++;
    }
    const bool full = c->copy == NULL && copies->n >= COPIES_MAX;
    copies->n += c->copy == NULL && !full;
    (void)pthread_mutex_unlock(&copies->lock);
    if (c->copy != NULL)
        return 0;
    if (full)
        return err_set(
            err, ERR_BUSY,
            "%u copies of the database are being made or sent, each as large as itself: try again when one has ended",
            COPIES_MAX);
    if (store_backup_begin(&c->backup, store, NULL, err) == 0)
        return 1;
    copy_give_up(copies);
    return -1;
}

static int copy_more(struct copying *c, struct err *err)
{
    if (atomic_load(&c->routes->stopping))
        return err_set(err, ERR_STOPPING, "the daemon is stopping");
    if (now_ms() >= c->until_ms)
        return err_set(err, ERR_BUSY,
                       "the database could not be copied within %u seconds: --request-seconds gives it more, and convd "
                       "backup --db copies it while the daemon is down",
                       c->routes->wait_seconds);
    return store_backup_step(c->backup, STEP_US, err);
}

/* It is whole: whoever asks before anything has changed is sent it, too. */
static int copy_whole(struct copying *c, struct store *store, struct err *err)
{
    struct copies *copies = &c->routes->copies;
    struct stat file;
    struct routes_copy *copy = calloc(1, sizeof *copy);
    if (copy == NULL)
        return err_set(err, ERR_MEMORY, "no memory to send the copy");
    *copy = (struct routes_copy){.routes = c->routes,
                                 .fd = store_backup_take(c->backup),
                                 .revision = store_revision(store),
                                 .changes = store_changes(store),
                                 .holders = 1};
    c->copy = copy; /* from here on copy_release() gives the place back */
    if (fstat(copy->fd, &file) != 0 || file.st_size <= 0)
        return err_set(err, ERR_STORAGE, "the copy cannot be read");
    copy->size = (uint64_t)file.st_size;
    (void)pthread_mutex_lock(&copies->lock);
    copies->newest = copy;
    (void)pthread_mutex_unlock(&copies->lock);
    return 0;
}

/* It begins, goes on and ends here, however it ends and whoever still waits for it: the connection to the database is the trainer's. */
static int copy(struct job *job, struct store *store, struct err *err)
{
    struct copying *c = ((struct work *)job->context)->own;
    if (c->backup == NULL) {
        const int begun = copy_begin(c, store, err);
        if (begun <= 0) {
            job->revision = begun == 0 ? c->copy->revision : 0;
            return begun;
        }
    }
    int status = copy_more(c, err);
    if (status == 1)
        return 1;
    if (status == 0)
        status = copy_whole(c, store, err);
    if (c->copy == NULL)
        copy_give_up(&c->routes->copies);
    else
        job->revision = c->copy->revision;
    store_backup_end(c->backup);
    c->backup = NULL;
    return status;
}

/* ---- sending it ---- */

struct sending {
    struct http_stream stream;
    struct routes_copy *copy; /* held */
    off_t at;
};

static long sending_read(struct http_stream *stream, char *bytes, size_t room)
{
    struct sending *s = (struct sending *)(void *)stream; /* its first member */
    ssize_t n;
    do
        n = pread(s->copy->fd, bytes, room, s->at);
    while (n < 0 && errno == EINTR);
    s->at += n > 0 ? n : 0;
    return n > 0 ? (long)n : HTTP_STREAM_BROKEN; /* libmicrohttpd asks for no more than there is */
}

static void sending_free(struct http_stream *stream)
{
    struct sending *s = (struct sending *)(void *)stream;
    copy_release(s->copy);
    free(s);
}

static void copied(struct work *work, struct answer *answer)
{
    struct copying *c = work->own;
    struct sending *s = calloc(1, sizeof *s);
    struct err err;
    if (s == NULL) {
        err_set(&err, ERR_MEMORY, "no memory to send the copy");
        routes_problem(work->routes, answer, &err);
        return;
    }
    *s = (struct sending){{.read = sending_read, .free = sending_free, .size = c->copy->size}, c->copy, 0};
    c->copy = NULL;
    answer->stream = &s->stream;
    answer->status = 200;
    answer->type = "application/vnd.sqlite3";
    answer->disposition = "attachment; filename=\"convd.db\"";
    answer_revision(answer, work->job.revision);
}

void route_backup(const struct call *call)
{
    struct routes *routes = call->routes;
    struct copying *c = calloc(1, sizeof *c);
    if (c == NULL) {
        struct err err;
        err_set(&err, ERR_MEMORY, "no memory for a copy");
        answer_problem(call->answer, &err);
        return;
    }
    *c = (struct copying){routes, NULL, NULL, now_ms() + 1000 * (int64_t)routes->wait_seconds};
    call_read(call, c, copying_free, copy, copied);
}
