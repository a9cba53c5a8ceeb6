/* response.c - see message/response.h */
#include "server/message/response.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void drop_stream(struct response *response)
{
    if (response->stream != NULL)
        response->stream->free(response->stream);
    response->stream = NULL;
}

void response_reset(struct response *response)
{
    struct text text = response->text;
    text_shrink(&text, RESPONSE_SMALL_BYTES);
    text.limit = RESPONSE_TEXT_MAX;
    drop_stream(response);
    free(response->blob);
    *response = (struct response){.status = 200, .type = RESPONSE_TEXT, .text = text};
}

void response_free(struct response *response)
{
    text_free(&response->text);
    drop_stream(response);
    free(response->blob);
    *response = (struct response){0};
}

size_t response_bytes(const struct response *response)
{
    const size_t text = response->text.size > RESPONSE_SMALL_BYTES ? response->text.size : 0;
    return text + (response->blob != NULL ? response->n_blob : 0);
}

void response_rest(struct response *response)
{
    free(response->blob);
    response->blob = NULL;
    text_shrink(&response->text, RESPONSE_SMALL_BYTES);
}

void response_revision(struct response *response, uint64_t revision)
{
    char *at = response->etag; /* by hand: printf would take a twentieth of all that /predict does beside the network */
    *at++ = '"';
    *at++ = 'r';
    at += text_print_u64(at, revision);
    *at++ = '"';
    *at = '\0';
}

struct json_writer response_begin(struct response *response)
{
    text_clear(&response->text);
    return json_write_begin(&response->text);
}

void response_json(struct response *response, unsigned status, struct json_writer *json)
{
    json_write_end(json);
    text_add_char(&response->text, '\n');
    response_text_done(response, status, RESPONSE_JSON);
}

void response_blob(struct response *response, const char *type, uint8_t *bytes, size_t n_bytes)
{
    free(response->blob);
    response->blob = bytes;
    response->n_blob = n_bytes;
    response->status = 200;
    response->type = type;
}

void response_text_done(struct response *response, unsigned status, const char *type)
{
    if (response->text.failed) {
        struct err err;
        if (response->text.over)
            err_set(&err, ERR_LIMIT,
                    "the response would be larger than %zu MiB: request less at once, such as fewer images",
                    RESPONSE_TEXT_MAX >> 20);
        else
            err_memory(&err, "the response");
        text_shrink(&response->text, RESPONSE_SMALL_BYTES);
        response_problem(response, &err);
        return;
    }
    response->status = status;
    response->type = type;
}

void response_problem(struct response *response, const struct err *err)
{
    response_problem_row(response, problem_find(err->code), err);
}

void response_error(struct response *response, enum err_code code, const char *format, ...)
{
    char text[ERR_TEXT_BYTES];
    struct err err;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(&err, code, "%s", text);
    response_problem(response, &err);
}

void response_problem_row(struct response *response, const struct problem *problem, const struct err *err)
{
    drop_stream(response);
    free(response->blob);
    response->blob = NULL;
    response->n_blob = 0;
    response->fixed = NULL;
    response->n_fixed = 0;
    response->encoding = NULL;
    response->page = false;
    response->etag[0] = response->location[0] = '\0';
    response->disposition = NULL;
    response->n_json = 0;
    response->cache = CACHE_NO_STORE;
    response->status = problem->status;
    response->type = RESPONSE_PROBLEM;
    if (problem->status == 503)
        response->retry_after = 1;
    text_clear(&response->text);
    problem_write(&response->text, problem, err, response->oip);
    if (response->text.failed) /* not even room for the excuse: the status alone */
        text_clear(&response->text);
}
