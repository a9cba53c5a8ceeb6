/* await.c - requests that wait: for a revision, and for what `known` is measured by.
 *
 * Convd-Min-Revision: a request that must see a revision which this node has not applied yet waits for it, so that a client reads its
 * own writes through any node. Its connection sleeps; whoever publishes that revision wakes it, and after AWAIT_MS it is told to come again. */
#include <stdlib.h>

#include "server/common/clock.h"
#include "server/routes/call.h"

#define AWAIT_MS 5000

struct awaiting {
    struct http_pending pending; /* first */
    struct call call;
    void (*then)(const struct call *call);
    uint64_t revision;
    int64_t until_ms;
    struct awaiting *next;
};

static struct awaiting *awaiting_of(struct http_pending *pending)
{
    return (struct awaiting *)(void *)pending;
}

static uint64_t published(struct routes *routes)
{
    struct revision *revision = model_acquire(routes->model);
    const uint64_t number = revision->learner->revision;
    model_release(routes->model, revision);
    return number;
}

/* Takes those out of the list that wait no longer than for that revision, or that time; the one alone, where it is not NULL. */
static struct awaiting *take(struct awaits *awaits, uint64_t revision, int64_t now_ms_, const struct awaiting *one)
{
    struct awaiting *taken = NULL;
    (void)pthread_mutex_lock(&awaits->lock);
    for (struct awaiting **at = &awaits->first; *at != NULL;) {
        struct awaiting *a = *at;
        if (one != NULL ? a == one : a->revision <= revision || a->until_ms <= now_ms_) {
            *at = a->next;
            a->next = taken;
            taken = a;
            atomic_fetch_sub(&awaits->n, 1);
        } else {
            at = &a->next;
        }
    }
    (void)pthread_mutex_unlock(&awaits->lock);
    return taken;
}

static void wake(struct awaiting *taken)
{
    for (struct awaiting *next; taken != NULL; taken = next) {
        next = taken->next;
        http_pending_done(&taken->pending);
    }
}

void routes_published(void *context, uint64_t revision)
{
    struct routes *routes = context;
    if (atomic_load(&routes->awaits.n) > 0)
        wake(take(&routes->awaits, revision, INT64_MIN, NULL));
}

void await_tick(struct routes *routes, int64_t now)
{
    if (atomic_load(&routes->awaits.n) > 0)
        wake(take(&routes->awaits, 0, now, NULL));
}

static void start(struct http_pending *pending)
{
    struct awaiting *a = awaiting_of(pending);
    struct routes *routes = a->call.routes;
    (void)pthread_mutex_lock(&routes->awaits.lock);
    a->next = routes->awaits.first;
    routes->awaits.first = a;
    atomic_fetch_add(&routes->awaits.n, 1);
    (void)pthread_mutex_unlock(&routes->awaits.lock);
    routes_published(routes, published(routes)); /* it may have come meanwhile */
}

static void end_early(struct http_pending *pending, enum cancel_reason reason)
{
    struct awaiting *a = awaiting_of(pending);
    (void)reason;
    wake(take(&a->call.routes->awaits, 0, INT64_MIN, a));
}

static void finish(struct http_pending *pending, struct response *response)
{
    struct awaiting *a = awaiting_of(pending);
    const uint64_t revision = published(a->call.routes);
    a->call.response = response;
    a->call.pending = &pending->next;
    if (revision >= a->revision)
        a->then(&a->call);
    else
        response_error(response, ERR_BUSY, "this node is at revision %llu, and Convd-Min-Revision is %llu: try again",
                       (unsigned long long)revision, (unsigned long long)a->revision);
}

static void free_awaiting(struct http_pending *pending)
{
    free(awaiting_of(pending));
}

bool call_await(const struct call *call, void (*then)(const struct call *call))
{
    const uint64_t wanted = call->request->min_revision;
    if (wanted == 0 || published(call->routes) >= wanted)
        return false;
    struct awaiting *a = calloc(1, sizeof *a);
    if (a == NULL) {
        call_no_memory(call, "a request that waits");
        return true;
    }
    a->pending = (struct http_pending){.start = start, .finish = finish, .free = free_awaiting, .cancel = end_early};
    a->call = *call;
    a->then = then;
    a->revision = wanted;
    a->until_ms = now_ms() + AWAIT_MS;
    *call->pending = &a->pending;
    return true;
}

/* ---- how near an image is to what was taught ---- */

/* call->own of a handler that is called again after the trainer has published. */
static char was_published;

static void again(struct work *work, struct response *response)
{
    void (*handler)(const struct call *) = work->then;
    work->own = &was_published;
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
        if (call->own != &was_published) {
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
