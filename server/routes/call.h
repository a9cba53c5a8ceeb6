/* call.h - what the handlers of routes share: one request on its way through a route, and one command to the trainer. Implemented by
 * routes/call.c, routes/heavy.c and routes/await.c. */
#ifndef CONVD_SERVER_ROUTES_CALL_H
#define CONVD_SERVER_ROUTES_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/common/json.h"
#include "server/common/offload.h"
#include "server/routes/routes.h"

/* One request on its way through a route. */
struct call {
    struct routes *routes;
    struct request *request;
    struct response *response;
    struct http_pending **pending;
    void (*handler)(const struct call *call);
    int64_t id;    /* of {id} in the path           */
    int64_t other; /* of a second number in the path */
    const struct cancel
        *cancel;        /* in a thread of the pool: to be asked every few milliseconds; NULL: in an HTTP thread */
    void *own;          /* of call_offload_with() */
    uint64_t waited_ns; /* for a thread of the pool     */
};

/* call_offload - what may take more than a fraction of a millisecond is not done in an HTTP thread. A handler begins with
 *
 *     if (call_offload(call, route_this, OFFLOAD_SHORT))
 *         return;
 *
 * true: a thread of the pool will call the handler again, with a call of the same request and answer, which nobody else touches until it
 * returns (or the response is a problem: no memory). false: this is that thread (call->cancel is set), so go on, ask cancelled(call->cancel)
 * every few milliseconds, and end with cancel_err() where it says so. There call_submit(), call_read() work as everywhere: the request then
 * waits for the trainer. Also for who renders a command of the trainer: the call's `pending` is then &work->pending.next (and its id and
 * other are the renderer's to set). Without a pool (routes.offload is NULL) always false.
 *
 * call_offload_with - the same with an `own` of the handler's for call->own, which is given to own_free() at the end, or at once where true is a
 * problem; where false is returned it stays the caller's. */
bool call_offload(const struct call *call, void (*handler)(const struct call *), enum offload_length length);
bool call_offload_with(const struct call *call, void (*handler)(const struct call *), enum offload_length length,
                       void *own, void (*own_free)(void *));

/* call_limits - what decoding this call's body may cost: little in an HTTP thread. call_heavy - whether so many images are too much to put through
 * that network here; then with how long a task that is in *length. */
struct image_limits call_limits(const struct call *call);
/* call_heavy_picture - whether an input, enlarged so many times, is too large to be drawn here. */
bool call_heavy_picture(const struct call *call, const struct shape *shape, uint32_t scale);
bool call_heavy(const struct call *call, const struct learner *learner, uint32_t n_images, enum offload_length *length);

/* One command for the trainer, with all that it borrows. */
struct work {
    struct http_pending pending;
    struct routes *routes;
    struct command command;
    void (*render)(struct work *work,
                   struct response *response); /* after success; failures are answered by routes/call.c */
    int64_t id;
    struct job_watch watch;  /* of a POST /rehearse that waits */
    struct request *request; /* for render alone: then the connection is there, before it may not be */
    void *own;               /* a route's; given to own_free() at the end, where that is set         */
    void (*own_free)(void *own);
    void (*then)(const struct call *); /* routes/await.c's */
    /* /train */
    struct batch batch;
    struct text body; /* that batch.pixels may point into */
    struct sample *samples;
    char key[STORE_KEY_BYTES_MAX + 1];
};

/* work_offload - for a renderer: its response is written by `handler`, in a thread of the pool where it is heavy, which finds work->own in
 * call->own. */
void work_offload(struct work *work, struct response *response, bool heavy, void (*handler)(const struct call *call));

/* call_submit - makes a command of that kind whose success `render` answers, and lets the call wait for it; the caller fills in the command
 * before it returns. NULL: the response is a problem (no memory). */
struct work *call_submit(const struct call *call, enum command_kind kind,
                         void (*render)(struct work *, struct response *));

/* call_give_up - nothing is asked of the trainer after all: the response is that problem. */
void call_give_up(const struct call *call, struct work *work, const struct err *err);

/* call_novelty - what `known` is measured by, of that held revision. NULL: it is not there yet, or cannot be. Then the answer is a problem, or the
 * handler is called again, by a thread of the pool, with call->own the mark that it is. */
const struct novelty *call_novelty(const struct call *call, struct revision *revision,
                                   void (*handler)(const struct call *));

/* call_read - a command of reading (COMMAND_READ) whose `own` it takes in any case: own_free() frees it. */
void call_read(const struct call *call, void *own, void (*own_free)(void *own),
               int (*read)(struct command *, struct store *, struct err *),
               void (*render)(struct work *, struct response *));

/* routes_problem - answers err, and writes to the log what a 5xx hides (at most a line a second). */
void routes_problem(struct routes *routes, struct response *response, const struct err *err);

/* call_no_memory - the same for memory that there was none of: "no memory for <what>". */
void call_no_memory(const struct call *call, const char *what);

/* call_json - the body as a JSON object, for json_free(); an empty body is {} when it may be. NULL: answered. */
struct json *call_json(const struct call *call, bool may_be_empty);

/* call_await - true: the request names a revision that this node has not applied yet (Convd-Min-Revision); `then` is called when it has, in an HTTP
 * thread, or the answer is 503. await_tick - for those that have waited for long enough. */
bool call_await(const struct call *call, void (*then)(const struct call *call));
void await_tick(struct routes *routes, int64_t now);

/* call_not_modified - sets ETag and revalidation for that revision; true: the client has it, and 304 is the response. */
bool call_not_modified(const struct call *call, uint64_t revision);

#endif
