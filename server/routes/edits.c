/* edits.c - DELETE and PATCH of /samples: what the model learned from is forgotten, or gets another label, as if it had
 * always been so; and PATCH /classes where a class is merged into another, or deleted with its samples, as if it had never been.
 *
 * The trainer looks the samples up, writes down that they are to be edited, and rebuilds the model while everything goes on
 * (trainer/rebuild.h). The response is 202 with the job, as for POST /rehearse; 200 when Prefer: wait=N saw its end, and when every sample is
 * already as it is asked to be.
 */
#include <stdlib.h>
#include <string.h>

#include "server/common/label_take.h"
#include "server/routes/handlers.h"

static void accepted(struct work *work, struct response *response)
{
    if (work->command.changed > 0) {
        route_job_begun(work, response);
        return;
    }
    struct json_writer json = response_begin(response);
    json_write_u64(&json, "changed", 0);
    json_write_u64(&json, "step", work->command.step);
    json_write_u64(&json, "revision", work->command.revision);
    response_json(response, 200, &json);
}

/* ---- the body ---- */

static int take_id(int64_t *id, const struct json *value, size_t i, struct err *err)
{
    uint64_t number;
    if (json_whole(&number, value, 1, JSON_WHOLE_MAX)) {
        *id = (int64_t)number;
        return 0;
    }
    err_set(err, ERR_VALUE, "a sample id must be a whole number from 1 on, as POST /train returns them");
    return err_at(err, "/ids/%zu", i);
}

static int take_ids(struct edit_request *edit, const struct json *list, struct err *err)
{
    edit->n = json_length(list);
    if (json_type(list) != JSON_ARRAY || edit->n == 0 || edit->n > REBUILD_IDS_MAX) {
        edit->n = 0;
        err_set(err, ERR_VALUE, "ids must be a list of 1 to %u sample ids", REBUILD_IDS_MAX);
        return err_at(err, "/ids");
    }
    edit->ids = malloc(edit->n * sizeof *edit->ids);
    if (edit->ids == NULL)
        return err_memory(err, "%zu ids", edit->n);
    size_t i = 0;
    for (const struct json *value = json_first(list); value != NULL; value = json_next(value), i++)
        if (take_id(&edit->ids[i], value, i, err) != 0)
            return -1;
    return 0;
}

static int take_label(struct edit_request *edit, const struct json *label, struct err *err)
{
    const char *text = json_string(label);
    if (text == NULL) {
        err_set(err, ERR_VALUE, "a label must be a string, but is %s", json_type_name(label));
        return err_at(err, "/label");
    }
    return label_take(edit->label, text, strlen(text), err) == 0 ? 0 : err_at(err, "/label");
}

static int take_body(struct edit_request *edit, const struct json *root, struct err *err)
{
    for (const struct json *member = json_first(root); member != NULL; member = json_next(member)) {
        const char *name = json_name(member);
        if (!edit->forget && strcmp(name, "label") == 0) {
            if (take_label(edit, member, err) != 0)
                return -1;
        } else if (edit->many && strcmp(name, "ids") == 0) {
            if (take_ids(edit, member, err) != 0)
                return -1;
        } else {
            const char *all = edit->many     ? edit->forget ? "{\"ids\": [..]}" : "{\"ids\": [..], \"label\": \"..\"}"
                              : edit->forget ? "empty"
                                             : "{\"label\": \"..\"}";
            err_set(err, ERR_VALUE, "unknown member \"%.40s\": the body must be %s", name, all);
            return err_at(err, "/%.60s", name);
        }
    }
    if (!edit->forget && edit->label[0] == '\0') {
        err_set(err, ERR_LABEL_MISSING, "\"label\" is missing: the new label of the samples");
        return err_at(err, "/label");
    }
    if (edit->n > 0)
        return 0;
    err_set(err, ERR_VALUE, "\"ids\" is missing: the body must be {\"ids\": [..]}");
    return err_at(err, "/ids");
}

static void edit(const struct call *call, bool many, bool forget)
{
    struct edit_request edit = {.many = many, .forget = forget};
    struct err err;
    uint64_t drop_pinned = 0;
    if (request_param_number(call->request, "drop_pinned", 0, 1, &drop_pinned, &err) != 0) {
        response_problem(call->response, &err);
        return;
    }
    struct json *root = call_json(call, forget && !many);
    if (root == NULL)
        return;
    edit.drop_pinned = drop_pinned == 1;
    int status = 0;
    if (!many) {
        edit.n = 1;
        edit.ids = malloc(sizeof *edit.ids);
        if (edit.ids == NULL)
            status = err_memory(&err, "an id");
        else
            edit.ids[0] = call->id;
    }
    if (status == 0)
        status = take_body(&edit, root, &err);
    json_free(root);
    struct work *work = NULL;
    if (status != 0)
        routes_problem(call->routes, call->response, &err);
    else
        work = call_submit(call, COMMAND_EDIT, accepted);
    if (work == NULL) {
        free(edit.ids);
        return;
    }
    work->command.edit = edit;
    work->own = edit.ids;
    work->own_free = free;
    work->command.bytes += edit.n * sizeof *edit.ids;
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
    struct edit_request edit = {.removes = true, .forget = json_get(root, "delete") != NULL};
    uint64_t drop_pinned = 0;
    struct err err;
    int status = request_param_number(call->request, "drop_pinned", 0, 1, &drop_pinned, &err);
    if (status == 0 && json_length(root) != (edit.forget ? 1 : 2))
        status =
            err_set(&err, ERR_VALUE, "the body must be {\"from\": \"..\", \"into\": \"..\"} or {\"delete\": \"..\"}");
    if (status == 0)
        status = take_class(edit.from, root, edit.forget ? "delete" : "from", &err);
    if (status == 0 && !edit.forget)
        status = take_class(edit.label, root, "into", &err);
    if (status != 0) {
        response_problem(call->response, &err);
        return;
    }
    edit.drop_pinned = drop_pinned == 1;
    struct work *work = call_submit(call, COMMAND_EDIT, accepted);
    if (work == NULL)
        return;
    work->command.edit = edit;
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
