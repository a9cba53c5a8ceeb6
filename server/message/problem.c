/* problem.c - see message/problem.h */
#include "server/message/problem.h"

#include "server/common/json_write.h"

#define OURS "convd failed to do this; its log has the reason"

static const struct problem problems[ERR_N] = {
    [ERR_SYNTAX] = {ERR_SYNTAX, 400, "Malformed request", NULL},
    [ERR_EMPTY] = {ERR_EMPTY, 400, "Empty body", NULL},
    [ERR_VALUE] = {ERR_VALUE, 422, "Value not allowed", NULL},
    [ERR_INPUT_SIZE] = {ERR_INPUT_SIZE, 422, "Wrong number of bytes or pixels", NULL},
    [ERR_MEDIA_TYPE] = {ERR_MEDIA_TYPE, 415, "Unsupported media type", NULL},
    [ERR_IMAGE] = {ERR_IMAGE, 422, "Damaged picture", NULL},
    [ERR_IMAGE_LIMIT] = {ERR_IMAGE_LIMIT, 422, "Picture exceeds a limit", NULL},
    [ERR_FLAT] = {ERR_FLAT, 422, "Flat image: all pixels are equal", NULL},
    [ERR_LABEL_MISSING] = {ERR_LABEL_MISSING, 422, "Label missing", NULL},
    [ERR_LABEL_UNKNOWN] = {ERR_LABEL_UNKNOWN, 422, "Unknown label", NULL},
    [ERR_LABEL_INVALID] = {ERR_LABEL_INVALID, 422, "Invalid label", NULL},
    [ERR_TOO_LARGE] = {ERR_TOO_LARGE, 413, "Body too large", NULL},
    [ERR_NOT_FOUND] = {ERR_NOT_FOUND, 404, "Not found", NULL},
    [ERR_GONE] = {ERR_GONE, 410, "Gone", NULL},
    [ERR_METHOD] = {ERR_METHOD, 405, "Method not allowed", NULL},
    [ERR_CONFLICT] = {ERR_CONFLICT, 409, "Conflict with the model's state", NULL},
    [ERR_KEY_REUSED] = {ERR_KEY_REUSED, 422, "Idempotency-Key reused for another request", NULL},
    [ERR_UNAUTHORIZED] = {ERR_UNAUTHORIZED, 401, "Token needed", NULL},
    [ERR_FORBIDDEN] = {ERR_FORBIDDEN, 403, "Foreign origin or host", NULL},
    [ERR_LIMIT] = {ERR_LIMIT, 422, "Exceeds a limit of the model", NULL},
    [ERR_TIMEOUT] = {ERR_TIMEOUT, 408, "Request timeout", NULL},
    [ERR_BUSY] = {ERR_BUSY, 503, "Busy", NULL},
    [ERR_STOPPING] = {ERR_STOPPING, 503, "Shutting down", "convd is shutting down; nothing was trained"},
    [ERR_MEMORY] = {ERR_MEMORY, 503, "Out of memory",
                    "convd is out of memory; nothing of this request was kept: try again"},
    [ERR_STORAGE_FULL] =
        {ERR_STORAGE_FULL, 507, "Disk full",
         "the disk is full, so nothing was trained; predictions go on. Free some space: training then works again"},
    [ERR_STORAGE] = {ERR_STORAGE, 500, "Storage failed",
                     "a write to the disk failed, so nothing was acknowledged; convd's log has the reason"},
    [ERR_DB_MISSING] = {ERR_DB_MISSING, 500, "Storage failed", OURS},
    [ERR_DB_FOREIGN] = {ERR_DB_FOREIGN, 500, "Storage failed", OURS},
    [ERR_DB_NEWER] = {ERR_DB_NEWER, 500, "Storage failed", OURS},
    [ERR_DB_LOCKED] = {ERR_DB_LOCKED, 500, "Storage failed", OURS},
    [ERR_DB_READONLY] = {ERR_DB_READONLY, 500, "Storage is read-only",
                         "the database is read-only, so nothing was trained; predictions go on"},
    [ERR_DB_CORRUPT] = {ERR_DB_CORRUPT, 500, "Stored data damaged",
                        "the database is damaged, so nothing was trained; predictions go on. convd's log and convd "
                        "verify name the row"},
    [ERR_DB_LOST] = {ERR_DB_LOST, 500, "Database file lost",
                     "the database file was removed, renamed or replaced, so nothing was trained; predictions go on. "
                     "GET /backup copies all that was learned: put the copy in place, and restart convd"},
    [ERR_LOG] = {ERR_LOG, 503, "Shared log out of reach",
                 "the log that this convd shares with others cannot be reached or did not confirm in time; predictions "
                 "go on. Send it again, with the same Idempotency-Key: it is never done twice"},
    [ERR_DIVERGED] = {ERR_DIVERGED, 503, "State diverged",
                      "this convd's state is not what others have at the same revision, so it trains nothing until it "
                      "has been made anew from the shared log"},
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

void problem_write(struct text *text, const struct problem *problem, const struct err *err, bool oip)
{
    const char *detail = problem->detail != NULL ? problem->detail : err->text;
    struct json_writer json = json_write_begin(text);
    text_add_format(json_write_value(&json, "type"), "\"" PROBLEM_URN "%s\"", err_code_name(problem->code));
    json_write_string(&json, "title", problem->title);
    json_write_u64(&json, "status", problem->status);
    json_write_string(&json, "detail", detail);
    if (err->pointer[0] != '\0')
        json_write_string(&json, "pointer", err->pointer);
    if (oip)
        json_write_string(&json, "error", detail);
    json_write_end(&json);
    text_add_char(text, '\n');
}
