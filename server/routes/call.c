/* call.c - see routes/call.h */
#include "server/routes/call.h"

#include <stdlib.h>

#include "server/common/clock.h"
#include "server/common/logger.h"

void routes_problem(struct routes *routes, struct response *response, const struct err *err)
{
    const struct problem *problem = problem_find(err->code);
    response_problem(response, err);
    if (problem->detail == NULL || err->code == ERR_STOPPING)
        return;
    int64_t now = now_ms() / 1000, last = atomic_load(&routes->logged_s);
    if (now != last && atomic_compare_exchange_strong(&routes->logged_s, &last, now))
        logger_line(LOG_LINE_ERROR, "request %s: %s: %s", response->request_id != NULL ? response->request_id : "-",
                    err_code_name(err->code), err->text);
}

void call_no_memory(const struct call *call, const char *what)
{
    struct err err;
    err_memory(&err, "%s", what);
    routes_problem(call->routes, call->response, &err);
}

struct json *call_json(const struct call *call, bool may_be_empty)
{
    const struct text *body = call->request->body;
    const bool empty = body->n == 0;
    struct json *root = NULL;
    struct err err;
    if (empty && !may_be_empty)
        err_set(&err, ERR_EMPTY, "the body is empty: send a JSON object");
    else if ((root = json_parse(empty ? "{}" : body->bytes, empty ? 2 : body->n, &err)) != NULL &&
             json_type(root) != JSON_OBJECT)
        err_set(&err, ERR_VALUE, "expected a JSON object, but got %s", json_type_name(root));
    else if (root != NULL)
        return root;
    json_free(root);
    response_problem(call->response, &err);
    return NULL;
}

bool call_not_modified(const struct call *call, uint64_t revision)
{
    response_revision(call->response, revision);
    call->response->cache = CACHE_REVALIDATE;
    if (!etag_matches(call->request->if_none_match, call->response->etag))
        return false;
    call->response->status = 304;
    return true;
}

/* ---- commands to the trainer ---- */

static struct work *work_of(struct http_pending *pending)
{
    return (struct work *)(void *)pending; /* its first member */
}

static void work_done(struct command *command)
{
    http_pending_done(&((struct work *)command->context)->pending);
}

static void work_start(struct http_pending *pending)
{
    struct work *work = work_of(pending);
    if (trainer_submit(work->routes->trainer, &work->command, &work->command.err) == 0)
        return; /* the work may be gone already */
    work->command.status = -1;
    work_done(&work->command);
}

static void work_finish(struct http_pending *pending, struct response *response)
{
    struct work *work = work_of(pending);
    if (work->command.status != 0)
        routes_problem(work->routes, response, &work->command.err);
    else
        work->render(work, response);
}

static void work_free(struct http_pending *pending)
{
    struct work *work = work_of(pending);
    batch_fini(&work->batch);
    text_free(&work->body);
    free(work->samples);
    free(work->command.list);
    if (work->own_free != NULL)
        work->own_free(work->own);
    free(work);
}

struct work *call_submit(const struct call *call, enum command_kind kind,
                         void (*render)(struct work *, struct response *))
{
    struct work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        call_no_memory(call, "a job");
        return NULL;
    }
    work->pending.start = work_start;
    work->pending.finish = work_finish;
    work->pending.free = work_free;
    work->routes = call->routes;
    work->render = render;
    work->request = call->request;
    work->id = call->id;
    work->command.kind = kind;
    work->command.done = work_done;
    work->command.context = work;
    work->command.bytes = sizeof *work;
    *call->pending = &work->pending;
    return work;
}

void call_give_up(const struct call *call, struct work *work, const struct err *err)
{
    *call->pending = NULL;
    work->pending.free(&work->pending);
    routes_problem(call->routes, call->response, err);
}

void call_read(const struct call *call, void *own, void (*own_free)(void *own),
               int (*read)(struct command *, struct store *, struct err *),
               void (*render)(struct work *, struct response *))
{
    struct work *work = call_submit(call, COMMAND_READ, render);
    if (work == NULL) {
        own_free(own);
        return;
    }
    work->own = own;
    work->own_free = own_free;
    work->command.read = read;
}
