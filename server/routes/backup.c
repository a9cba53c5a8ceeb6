/* backup.c - GET /backup: the whole database, as a file that convd opens.
 *
 * It is copied between the trainer's rounds into a file without a name beside the database, which is then sent; training and
 * predictions go on meanwhile. Each copy takes as much room on the disk as the database, for as long as a client reads it: so there are
 * COPIES_MAX, those that are being sent included, and who asks while nothing has changed since the last one was made gets that one, too.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
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
        return err_set(err, ERR_BUSY,
                       "%u copies of the database are being made or sent, the limit: try again when one has ended",
                       COPIES_MAX);
    if (store_backup_begin(&c->backup, store, NULL, err) == 0)
        return 1;
    copy_give_up(copies);
    return -1;
}

static int copy_more(struct copying *c, struct err *err)
{
    if (atomic_load(&c->routes->stopping))
        return err_set(err, ERR_STOPPING, "convd is stopping");
    if (now_ms() >= c->until_ms)
        return err_set(
            err, ERR_BUSY,
            "the copy took longer than %u seconds: raise --request-seconds, or stop convd and use convd backup --db",
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
        return err_memory(err, "sending the copy");
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
static int copy(struct command *command, struct store *store, struct err *err)
{
    struct copying *c = ((struct work *)command->context)->own;
    if (c->backup == NULL) {
        const int begun = copy_begin(c, store, err);
        if (begun <= 0) {
            command->revision = begun == 0 ? c->copy->revision : 0;
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
        command->revision = c->copy->revision;
    store_backup_end(c->backup);
    c->backup = NULL;
    return status;
}

/* ---- sending it ---- */

#define PIECE_BYTES ((size_t)128 << 10)

enum piece_state { PIECE_SENT, PIECE_READING, PIECE_READY, PIECE_FAILED };

/* A thread of the pool reads it, since a disk may be slow, and a fast one would let the HTTP threads send without a pause. */
struct sending {
    struct http_stream stream; /* first */
    struct offload_task task;
    struct routes *routes;
    struct routes_copy *copy; /* held; NULL: to HEAD, and never read */
    atomic_uint holders;      /* the stream, and the task that is under way */
    atomic_int state;
    off_t at; /* in the copy: the end of the piece */
    size_t n, sent;
    uint8_t piece[];
};

static struct sending *sending_of(struct offload_task *task)
{
    return (struct sending *)(void *)((char *)task - offsetof(struct sending, task));
}

static void sending_release(struct sending *s)
{
    if (atomic_fetch_sub(&s->holders, 1) != 1)
        return;
    if (s->copy != NULL)
        copy_release(s->copy);
    free(s);
}

static void piece_read(struct offload_task *task)
{
    struct sending *s = sending_of(task);
    ssize_t n;
    do
        n = pread(s->copy->fd, s->piece, PIECE_BYTES, s->at);
    while (n < 0 && errno == EINTR);
    s->n = n > 0 ? (size_t)n : 0; /* nobody asks for more than there is */
    s->at += (off_t)s->n;
}

/* Not before the pool has done with the task, which the next piece needs. */
static void piece_tell(struct sending *s)
{
    atomic_store(&s->state, s->n > 0 ? PIECE_READY : PIECE_FAILED);
}

static void piece_done(struct offload_task *task)
{
    struct sending *s = sending_of(task);
    piece_tell(s);
    http_stream_wake(&s->stream);
    sending_release(s);
}

static void piece_begin(struct sending *s)
{
    struct offload *offload = s->routes->offload;
    struct err err;
    s->n = s->sent = 0;
    s->task = (struct offload_task){.run = piece_read, .done = piece_done, .length = OFFLOAD_SHORT};
    atomic_store(&s->state, PIECE_READING);
    atomic_fetch_add(&s->holders, 1);
    if (offload != NULL && offload_submit(offload, &s->task, &err) == 0)
        return;
    atomic_fetch_sub(&s->holders, 1);
    piece_read(&s->task);
    piece_tell(s);
}

static long sending_read(struct http_stream *stream, char *bytes, size_t room)
{
    struct sending *s = (struct sending *)(void *)stream;
    if (atomic_load(&s->state) == PIECE_SENT)
        piece_begin(s);
    const int state = atomic_load(&s->state);
    if (state != PIECE_READY)
        return state == PIECE_FAILED ? HTTP_STREAM_BROKEN : 0;
    const size_t left = s->n - s->sent, n = left < room ? left : room;
    memcpy(bytes, s->piece + s->sent, n);
    s->sent += n;
    if (s->sent == s->n)
        atomic_store(&s->state, PIECE_SENT);
    return (long)n;
}

static void nothing_to_run(struct offload_task *task)
{
    (void)task;
}

static void end_done(struct offload_task *task)
{
    sending_release(sending_of(task));
}

/* The last to close a copy deletes it, which takes 40 ms for each GB: it is left to the pool, too. */
static void sending_free(struct http_stream *stream)
{
    struct sending *s = (struct sending *)(void *)stream;
    struct offload *offload = s->routes->offload;
    struct err err;
    if (s->copy != NULL && offload != NULL && atomic_load(&s->holders) == 1) {
        s->task = (struct offload_task){.run = nothing_to_run, .done = end_done, .length = OFFLOAD_SHORT};
        if (offload_submit(offload, &s->task, &err) == 0)
            return;
    }
    sending_release(s);
}

/* copy: becomes the response's; NULL: to HEAD, for which none is made, so that its length is not known. */
static void response_copy(struct routes *routes, struct response *response, struct routes_copy *copy, uint64_t revision)
{
    struct sending *s = calloc(1, sizeof *s + (copy != NULL ? PIECE_BYTES : 0));
    struct err err;
    if (s == NULL) {
        if (copy != NULL)
            copy_release(copy);
        err_memory(&err, "sending the copy");
        routes_problem(routes, response, &err);
        return;
    }
    s->stream.read = sending_read;
    s->stream.free = sending_free;
    s->stream.size = copy != NULL ? copy->size : 0;
    s->routes = routes;
    s->copy = copy;
    atomic_init(&s->holders, 1);
    response->stream = &s->stream;
    response->status = 200;
    response->type = "application/vnd.sqlite3";
    response->disposition = "attachment; filename=\"convd.db\"";
    response_revision(response, revision);
}

static void copied(struct work *work, struct response *response)
{
    struct copying *c = work->own;
    struct routes_copy *copy = c->copy;
    c->copy = NULL;
    response_copy(work->routes, response, copy, work->command.revision);
}

static void response_head(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    response_copy(call->routes, call->response, NULL, revision->learner->revision);
    model_release(call->routes->model, revision);
}

void route_backup(const struct call *call)
{
    struct routes *routes = call->routes;
    if (call->request->method == METHOD_HEAD) {
        response_head(call);
        return;
    }
    struct copying *c = calloc(1, sizeof *c);
    if (c == NULL) {
        call_no_memory(call, "a copy");
        return;
    }
    *c = (struct copying){routes, NULL, NULL, now_ms() + 1000 * (int64_t)routes->wait_seconds};
    call_read(call, c, copying_free, copy, copied);
}
