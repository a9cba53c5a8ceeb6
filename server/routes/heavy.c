/* heavy.c - calls that are answered by a thread of the pool (common/offload.h), while their connection sleeps. */
#include <stdlib.h>

#include "server/common/clock.h"
#include "server/routes/call.h"

/* A thread makes 8 to 40 of them in a nanosecond. */
#define LIGHT_PIXELS          8000u /* of a picture that is drawn: a fifth of a millisecond */
#define LIGHT_MULTIPLICATIONS 4000000u
#define SHORT_MULTIPLICATIONS 1000000000u
#define WORD_MULTIPLICATIONS  1000u /* as long as it takes to write one probability as text */

struct offloaded {
    struct http_pending pending; /* first */
    struct offload_task task;
    struct call call;
    void (*handler)(const struct call *call);
    void (*own_free)(void *own);
    bool ran; /* and so the response is written, or next is set */
    struct err err;
};

static struct offloaded *offloaded_of(struct http_pending *pending)
{
    return (struct offloaded *)(void *)pending;
}

static struct offloaded *offloaded_of_task(struct offload_task *task)
{
    return (struct offloaded *)(void *)((char *)task - offsetof(struct offloaded, task));
}

static void run(struct offload_task *task)
{
    struct offloaded *offloaded = offloaded_of_task(task);
    offloaded->ran = true;
    offloaded->call.waited_ns = clock_ns() - offloaded->call.waited_ns;
    offloaded->handler(&offloaded->call);
}

static void done(struct offload_task *task)
{
    http_pending_done(&offloaded_of_task(task)->pending);
}

static void offloaded_start(struct http_pending *pending)
{
    struct offloaded *offloaded = offloaded_of(pending);
    if (offload_submit(offloaded->call.routes->offload, &offloaded->task, &offloaded->err) != 0)
        http_pending_done(pending);
}

static void offloaded_cancel(struct http_pending *pending, enum cancel_reason reason)
{
    struct offloaded *offloaded = offloaded_of(pending);
    offload_cancel(offloaded->call.routes->offload, &offloaded->task, reason);
}

static void offloaded_finish(struct http_pending *pending, struct response *response)
{
    struct offloaded *offloaded = offloaded_of(pending);
    if (offloaded->ran)
        return;
    if (offloaded->err.code == ERR_NONE)
        (void)cancel_err(&offloaded->task.cancel, &offloaded->err);
    response_problem(response, &offloaded->err);
}

static void offloaded_free(struct http_pending *pending)
{
    struct offloaded *offloaded = offloaded_of(pending);
    if (offloaded->own_free != NULL)
        offloaded->own_free(offloaded->call.own);
    free(offloaded);
}

bool call_offload_with(const struct call *call, void (*handler)(const struct call *), enum offload_length length,
                       void *own, void (*own_free)(void *))
{
    if (call->cancel != NULL || call->routes->offload == NULL)
        return false;
    struct offloaded *offloaded = calloc(1, sizeof *offloaded);
    if (offloaded == NULL) {
        call_no_memory(call, "a task");
        if (own_free != NULL)
            own_free(own);
        return true;
    }
    offloaded->pending = (struct http_pending){
        .start = offloaded_start, .finish = offloaded_finish, .free = offloaded_free, .cancel = offloaded_cancel};
    offloaded->task.run = run;
    offloaded->task.done = done;
    offloaded->task.length = length;
    offloaded->call = *call;
    offloaded->call.pending = &offloaded->pending.next;
    offloaded->call.cancel = &offloaded->task.cancel;
    offloaded->call.own = own;
    offloaded->call.waited_ns = clock_ns();
    offloaded->handler = handler;
    offloaded->own_free = own_free;
    *call->pending = &offloaded->pending;
    return true;
}

struct image_limits call_limits(const struct call *call)
{
    return (struct image_limits){.pixels_max = call->routes->image_pixels,
                                 .pixels_all = call->routes->request_pixels,
                                 .light = call->cancel == NULL && call->routes->offload != NULL,
                                 .cancel = call->cancel};
}

bool call_heavy_picture(const struct call *call, const struct shape *shape, uint32_t scale)
{
    return call->cancel == NULL && call->routes->offload != NULL &&
           (uint64_t)shape->n_input * scale * scale > LIGHT_PIXELS;
}

bool call_heavy(const struct call *call, const struct learner *learner, uint32_t n_images, enum offload_length *length)
{
    const struct shape *s = &learner->shape;
    const uint64_t each = s->n_0 * ((uint64_t)s->kernels * s->n_k + s->n_1) +
                          learner->n_classes * ((uint64_t)s->n_1 + WORD_MULTIPLICATIONS);
    *length = n_images > SHORT_MULTIPLICATIONS / each ? OFFLOAD_LONG : OFFLOAD_SHORT;
    return call->cancel == NULL && call->routes->offload != NULL && n_images > LIGHT_MULTIPLICATIONS / each;
}

void work_offload(struct work *work, struct response *response, bool heavy, void (*handler)(const struct call *))
{
    const struct call call = {.routes = work->routes,
                              .request = work->request,
                              .response = response,
                              .pending = &work->pending.next,
                              .id = work->id,
                              .own = work->own};
    void (*own_free)(void *) = work->own_free;
    if (heavy && work->routes->offload != NULL) {
        work->own_free = NULL; /* it is the task's */
        (void)call_offload_with(&call, handler, OFFLOAD_LONG, work->own, own_free);
    } else {
        handler(&call);
    }
}

bool call_offload(const struct call *call, void (*handler)(const struct call *), enum offload_length length)
{
    return call_offload_with(call, handler, length, call->own, NULL);
}
