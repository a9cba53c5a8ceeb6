/* problem.c - see message/problem.h */
#include "server/message/problem.h"

#include <string.h>

#define OURS "the daemon could not do this; its log says why"

static const struct problem problems[ERR_N] = {
    [ERR_SYNTAX] = {ERR_SYNTAX, 400, "Malformed request", NULL},
    [ERR_EMPTY] = {ERR_EMPTY, 400, "Empty body", NULL},
    [ERR_VALUE] = {ERR_VALUE, 422, "Value not allowed", NULL},
    [ERR_INPUT_SIZE] = {ERR_INPUT_SIZE, 422, "Wrong number of bytes or pixels", NULL},
    [ERR_MEDIA_TYPE] = {ERR_MEDIA_TYPE, 415, "Not a picture that convd reads", NULL},
    [ERR_IMAGE] = {ERR_IMAGE, 422, "Damaged picture", NULL},
    [ERR_IMAGE_LIMIT] = {ERR_IMAGE_LIMIT, 422, "Picture over the limits", NULL},
    [ERR_FLAT] = {ERR_FLAT, 422, "Nothing to learn from: all pixels are equal", NULL},
    [ERR_LABEL_MISSING] = {ERR_LABEL_MISSING, 422, "Label missing", NULL},
    [ERR_LABEL_UNKNOWN] = {ERR_LABEL_UNKNOWN, 422, "No such class", NULL},
    [ERR_LABEL_INVALID] = {ERR_LABEL_INVALID, 422, "Not a valid label", NULL},
    [ERR_TOO_LARGE] = {ERR_TOO_LARGE, 413, "Body too large", NULL},
    [ERR_NOT_FOUND] = {ERR_NOT_FOUND, 404, "Not found", NULL},
    [ERR_GONE] = {ERR_GONE, 410, "Forgotten", NULL},
    [ERR_METHOD] = {ERR_METHOD, 405, "Method not allowed", NULL},
    [ERR_CONFLICT] = {ERR_CONFLICT, 409, "The model's state forbids it", NULL},
    [ERR_KEY_REUSED] = {ERR_KEY_REUSED, 422, "Idempotency-Key used before with another request", NULL},
    [ERR_UNAUTHORIZED] = {ERR_UNAUTHORIZED, 401, "Token needed", NULL},
    [ERR_FORBIDDEN] = {ERR_FORBIDDEN, 403, "Foreign origin or host", NULL},
    [ERR_LIMIT] = {ERR_LIMIT, 422, "Over a limit of the model", NULL},
    [ERR_TIMEOUT] = {ERR_TIMEOUT, 408, "The request took too long to arrive", NULL},
    [ERR_BUSY] = {ERR_BUSY, 503, "Busy", NULL},
    [ERR_STOPPING] = {ERR_STOPPING, 503, "Shutting down", "the daemon is shutting down; nothing of this was trained"},
    [ERR_MEMORY] = {ERR_MEMORY, 503, "Out of memory", "there was no memory for this request; nothing of it was kept"},
    [ERR_STORAGE_FULL] = {ERR_STORAGE_FULL, 507, "Disk full",
                          "no room to make this durable, so nothing was trained; predictions go on, and training works "
                          "again when there is room"},
    [ERR_STORAGE] = {ERR_STORAGE, 500, "Storage failed", "the storage failed, so nothing of this was acknowledged"},
    [ERR_DB_MISSING] = {ERR_DB_MISSING, 500, "Storage failed", OURS},
    [ERR_DB_FOREIGN] = {ERR_DB_FOREIGN, 500, "Storage failed", OURS},
    [ERR_DB_NEWER] = {ERR_DB_NEWER, 500, "Storage failed", OURS},
    [ERR_DB_LOCKED] = {ERR_DB_LOCKED, 500, "Storage failed", OURS},
    [ERR_DB_READONLY] = {ERR_DB_READONLY, 500, "Storage is read-only",
                         "the model cannot be written, so nothing was trained; predictions go on"},
    [ERR_DB_CORRUPT] =
        {ERR_DB_CORRUPT, 500, "Stored data damaged",
         "what is stored of the model is damaged, so this was not done and nothing was trained; predictions "
         "go on, and the daemon's log and convd verify name the place"},
    [ERR_DB_LOST] =
        {ERR_DB_LOST, 500, "The model's file is gone",
         "the file of the model was removed, renamed or replaced while it was served, so nothing of this was "
         "trained; predictions go on, and GET /backup gives a copy of all that was learned until then"},
    [ERR_FILE] = {ERR_FILE, 500, "Internal error", OURS},
    [ERR_NETWORK] = {ERR_NETWORK, 500, "Internal error", OURS},
    [ERR_USAGE] = {ERR_USAGE, 500, "Internal error", OURS},
    [ERR_INTERNAL] = {ERR_INTERNAL, 500, "Internal error", OURS},
};

const struct problem *problem_find(enum err_code code)
{
    if ((unsigned)code >= ERR_N || problems[code].title == NULL)
        return &problems[ERR_INTERNAL];
    return &problems[code];
}

void problem_write(struct text *text, const struct problem *problem, const struct err *err)
{
    const char *detail = problem->detail != NULL ? problem->detail : err->text;
    text_add_format(text, "{\"type\":\"" PROBLEM_URN "%s\",\"title\":", err_code_name(problem->code));
    text_add_quoted(text, problem->title, strlen(problem->title));
    text_add_format(text, ",\"status\":%u,\"detail\":", problem->status);
    text_add_quoted(text, detail, strlen(detail));
    if (err->pointer[0] != '\0') {
        text_add_string(text, ",\"pointer\":");
        text_add_quoted(text, err->pointer, strlen(err->pointer));
    }
    text_add_string(text, "}\n");
}
