/* call.c - see routes/call.h */
#include "server/routes/call.h"

#include <stdlib.h>

#include "server/common/clock.h"
#include "server/common/logger.h"

void routes_problem(struct routes *routes, struct answer *answer, const struct err *err)
{
    const struct problem *problem = problem_find(err->code);
    answer_problem(answer, err);
    if (problem->detail == NULL || err->code == ERR_STOPPING)
        return;
    int64_t now = now_ms() / 1000, last = atomic_load(&routes->logged_s);
    if (now != last && atomic_compare_exchange_strong(&routes->logged_s, &last, now))
        log_line(LOG_LINE_ERROR, "request %s: %s: %s", answer->request_id != NULL ? answer->request_id : "-",
                 err_code_name(err->code), err->text);
}

struct json *call_json(const struct call *call, bool may_be_empty)
{
    const struct text *body = call->request->body;
    struct err err;
    if (may_be_empty && body->n == 0) {
        struct json *empty = json_object();
        if (empty == NULL) {
            err_set(&err, ERR_MEMORY, "no memory");
            answer_problem(call->answer, &err);
        }
        return empty;
    }
    struct json *root = NULL;
    if (body->n == 0)
        err_set(&err, ERR_EMPTY, "the body is empty: a JSON object is expected");
    else if ((root = json_parse(body->bytes, body->n, &err)) != NULL && json_type(root) != JSON_OBJECT)
        err_set(&err, ERR_VALUE, "a JSON object is expected, but this is %s", json_type_name(root));
    else if (root != NULL)
        return root;
    json_free(root);
    answer_problem(call->answer, &err);
    return NULL;
}

bool call_not_modified(const struct call *call, uint64_t revision)
{
    answer_revision(call->answer, revision);
    call->answer->cache = CACHE_REVALIDATE;
    if (!etag_matches(call->request->if_none_match, call->answer->etag))
        return false;
    call->answer->status = 304;
    return true;
}

/* ---- commands to the trainer ---- */

static struct work *work_of(struct http_pending *pending)
{
    return (struct work *)(void *)pending; /* its first member */
}

static void work_done(struct job *job)
{
    http_pending_done(&((struct work *)job->context)->pending);
}

static void work_start(struct http_pending *pending)
{
    struct work *work = work_of(pending);
    if (trainer_submit(work->routes->trainer, &work->job, &work->job.err) == 0)
        return; /* the work may be gone already */
    work->job.status = -1;
    work_done(&work->job);
}

static void work_finish(struct http_pending *pending, struct answer *answer)
{
    struct work *work = work_of(pending);
    if (work->job.status != 0)
        routes_problem(work->routes, answer, &work->job.err);
    else
        work->render(work, answer);
}

static void work_free(struct http_pending *pending)
{
    struct work *work = work_of(pending);
    batch_fini(&work->batch);
    text_free(&work->body);
    free(work->samples);
    free(work->job.replayed_answer);
    free(work->job.list);
    if (work->own_free != NULL)
        work->own_free(work->own);
    free(work);
}

struct work *call_submit(const struct call *call, enum job_kind kind, void (*render)(struct work *, struct answer *))
{
    struct work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        struct err err;
        err_set(&err, ERR_MEMORY, "no memory for a job");
        answer_problem(call->answer, &err);
        return NULL;
    }
    work->pending.start = work_start;
    work->pending.finish = work_finish;
    work->pending.free = work_free;
    work->routes = call->routes;
    work->render = render;
    work->request = call->request;
    work->id = call->id;
    work->job.kind = kind;
    work->job.done = work_done;
    work->job.context = work;
    work->job.bytes = sizeof *work;
    *call->pending = &work->pending;
    return work;
}

void call_read(const struct call *call, void *own, void (*own_free)(void *own),
               int (*read)(struct job *, struct store *, struct err *), void (*render)(struct work *, struct answer *))
{
    struct work *work = call_submit(call, JOB_READ, render);
    if (work == NULL) {
        own_free(own);
        return;
    }
    work->own = own;
    work->own_free = own_free;
    work->job.read = read;
}
