/* known.c - what it takes to say how near an image is to what was taught (core/learner/novelty.h), before anything of it is said: the revision must have
 * been published with images, which the trainer does, and measured, which a thread of the pool does. Mostly both have been done. */
#include "server/routes/call.h"

/* call->own of a handler that is called again after the trainer has published. */
static char published;

static void again(struct work *work, struct response *response)
{
    void (*handler)(const struct call *) = work->then;
    work->own = &published;
    work_offload(work, response, true, handler);
}

static void publish(const struct call *call, void (*handler)(const struct call *))
{
    struct work *work = call_submit(call, COMMAND_PUBLISH, again);
    if (work == NULL)
        return;
    work->then = handler;
    work->command.goes_on = true; /* nothing is read: a copy of what is in memory */
}

const struct novelty *call_novelty(const struct call *call, struct revision *revision,
                                   void (*handler)(const struct call *))
{
    struct err err;
    const struct novelty *novelty = model_novelty(revision);
    model_want_novelty(call->routes->model);
    if (novelty != NULL)
        return novelty;
    if (revision->novelty == NULL) {
        if (call->own != &published) {
            publish(call, handler);
        } else { /* no memory, or many revisions since */
            err_set(&err, ERR_BUSY, "the images that `known` is measured by are not at hand: try again later");
            routes_problem(call->routes, call->response, &err);
        }
        return NULL;
    }
    if (call_offload(call, handler, OFFLOAD_SHORT))
        return NULL;
    if (model_novelty_measure(revision, &err) != 0) {
        routes_problem(call->routes, call->response, &err);
        return NULL;
    }
    return model_novelty(revision);
}
