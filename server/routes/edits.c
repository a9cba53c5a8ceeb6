/* edits.c - DELETE and PATCH of /samples: what the model learned from is forgotten, or gets another label, as if it had
 * always been so; and PATCH /classes where a class is merged into another, or deleted with its samples, as if it had never been.
 *
 * The trainer looks the samples up, writes down that they are to be edited, and rebuilds the model while everything goes on
 * (trainer/rebuild.h). The answer is 202 with the job, as for POST /rehearse; 200 when Prefer: wait=N saw its end, and when every sample is
 * already as it is asked to be.
 */
#include <stdlib.h>
#include <string.h>

#include "server/common/label_take.h"
#include "server/routes/handlers.h"

static void accepted(struct work *work, struct answer *answer)
{
    if (work->job.changed > 0) {
        route_job_begun(work, answer);
        return;
    }
    text_add_format(&answer->text, "{\"changed\":0,\"step\":%llu,\"revision\":%llu}\n",
                    (unsigned long long)work->job.step, (unsigned long long)work->job.revision);
    answer_text_done(answer, 200, ANSWER_JSON);
}

/* ---- the body ---- */

static int take_id(int64_t *id, const struct json *value, size_t i, struct err *err)
{
    const double number = json_number(value);
    if (json_type(value) == JSON_NUMBER && number >= 1 && number <= 9007199254740992.0 &&
        number == (double)(int64_t)number) {
        *id = (int64_t)number;
        return 0;
    }
    err_set(err, ERR_VALUE, "an id of a sample is a whole number from 1 on, as POST /train answers them");
    return err_at(err, "/ids/%zu", i);
}

static int take_ids(struct edit_ask *ask, const struct json *list, struct err *err)
{
    ask->n = json_length(list);
    if (json_type(list) != JSON_ARRAY || ask->n == 0 || ask->n > REBUILD_IDS_MAX) {
        ask->n = 0;
        err_set(err, ERR_VALUE, "ids must be a list of 1 to %u ids of samples", REBUILD_IDS_MAX);
        return err_at(err, "/ids");
    }
    ask->ids = malloc(ask->n * sizeof *ask->ids);
    if (ask->ids == NULL)
        return err_set(err, ERR_MEMORY, "no memory for %zu ids", ask->n);
    size_t i = 0;
    for (const struct json *value = json_first(list); value != NULL; value = json_next(value), i++)
        if (take_id(&ask->ids[i], value, i, err) != 0)
            return -1;
    return 0;
}

static int take_label(struct edit_ask *ask, const struct json *label, struct model *model, struct err *err)
{
    const char *text = json_string(label);
    uint32_t index;
    if (text == NULL) {
        err_set(err, ERR_VALUE, "a label is a string, but this is %s", json_type_name(label));
        return err_at(err, "/label");
    }
    /* What is a class is known to the trainer; the published state tells early, and which classes there are. */
    struct revision *revision = model_acquire(model);
    int status = body_label(&index, text, strlen(text), revision->learner, err);
    model_release(model, revision);
    if (status != 0)
        return err_at(err, "/label");
    return label_take(ask->label, text, strlen(text), err);
}

static int take_body(struct edit_ask *ask, const struct json *root, struct model *model, struct err *err)
{
    for (const struct json *member = json_first(root); member != NULL; member = json_next(member)) {
        const char *name = json_name(member);
        if (!ask->forget && strcmp(name, "label") == 0) {
            if (take_label(ask, member, model, err) != 0)
                return -1;
        } else if (ask->many && strcmp(name, "ids") == 0) {
            if (take_ids(ask, member, err) != 0)
                return -1;
        } else {
            const char *all = ask->many     ? ask->forget ? "{\"ids\": [..]}" : "{\"ids\": [..], \"label\": \"..\"}"
                              : ask->forget ? "empty"
                                            : "{\"label\": \"..\"}";
            err_set(err, ERR_VALUE, "there is no member \"%.40s\" here; the body must be %s", name, all);
            return err_at(err, "/%.60s", name);
        }
    }
    if (!ask->forget && ask->label[0] == '\0') {
        err_set(err, ERR_LABEL_MISSING, "the body must say which \"label\" they get");
        return err_at(err, "/label");
    }
    if (ask->n > 0)
        return 0;
    err_set(err, ERR_VALUE, "the body must say which: {\"ids\": [..]}");
    return err_at(err, "/ids");
}

static void edit(const struct call *call, bool many, bool forget)
{
    struct edit_ask ask = {.many = many, .forget = forget};
    struct err err;
    uint64_t drop_pinned = 0;
    if (request_param_number(call->request, "drop_pinned", 0, 1, &drop_pinned, &err) != 0) {
        answer_problem(call->answer, &err);
        return;
    }
    struct json *root = call_json(call, forget && !many);
    if (root == NULL)
        return;
    ask.drop_pinned = drop_pinned == 1;
    int status = 0;
    if (!many) {
        ask.n = 1;
        ask.ids = malloc(sizeof *ask.ids);
        if (ask.ids == NULL)
            status = err_set(&err, ERR_MEMORY, "no memory for an id");
        else
            ask.ids[0] = call->id;
    }
    if (status == 0)
        status = take_body(&ask, root, call->routes->model, &err);
    json_free(root);
    struct work *work = NULL;
    if (status != 0)
        routes_problem(call->routes, call->answer, &err);
    else
        work = call_submit(call, JOB_EDIT, accepted);
    if (work == NULL) {
        free(ask.ids);
        return;
    }
    work->job.edit = ask;
    work->own = ask.ids;
    work->own_free = free;
    work->job.bytes += ask.n * sizeof *ask.ids;
    route_job_wait(call, work);
}

/* ---- classes ---- */

static int take_class(char label[LABEL_BYTES_MAX + 1], const struct json *root, const char *name, struct err *err)
{
    const char *text = json_string(json_get(root, name));
    if (text == NULL || label_take(label, text, strlen(text), NULL) != 0) {
        err_set(err, ERR_VALUE, "%s must be the label of a class", name);
        return err_at(err, "/%s", name);
    }
    return 0;
}

bool route_class_removes(const struct json *root)
{
    return json_get(root, "into") != NULL || json_get(root, "delete") != NULL;
}

void route_class_remove(const struct call *call, const struct json *root)
{
    struct edit_ask ask = {.removes = true, .forget = json_get(root, "delete") != NULL};
    uint64_t drop_pinned = 0;
    struct err err;
    int status = request_param_number(call->request, "drop_pinned", 0, 1, &drop_pinned, &err);
    if (status == 0 && json_length(root) != (ask.forget ? 1 : 2))
        status =
            err_set(&err, ERR_VALUE, "the body must be {\"from\": \"..\", \"into\": \"..\"} or {\"delete\": \"..\"}");
    if (status == 0)
        status = take_class(ask.from, root, ask.forget ? "delete" : "from", &err);
    if (status == 0 && !ask.forget)
        status = take_class(ask.label, root, "into", &err);
    if (status != 0) {
        answer_problem(call->answer, &err);
        return;
    }
    ask.drop_pinned = drop_pinned == 1;
    struct work *work = call_submit(call, JOB_EDIT, accepted);
    if (work == NULL)
        return;
    work->job.edit = ask;
    route_job_wait(call, work);
}

void route_samples_delete(const struct call *call)
{
    edit(call, true, true);
}

void route_samples_patch(const struct call *call)
{
    edit(call, true, false);
}

void route_sample_delete(const struct call *call)
{
    edit(call, false, true);
}

void route_sample_patch(const struct call *call)
{
    edit(call, false, false);
}
