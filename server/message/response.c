/* response.c - see message/response.h */
#include "server/message/response.h"

#include <stdlib.h>
#include <string.h>

static void drop_stream(struct answer *answer)
{
    if (answer->stream != NULL)
        answer->stream->free(answer->stream);
    answer->stream = NULL;
}

void answer_reset(struct answer *answer)
{
    struct text text = answer->text;
    text_shrink(&text, ANSWER_SMALL_BYTES);
    text.limit = ANSWER_TEXT_MAX;
    drop_stream(answer);
    free(answer->blob);
    *answer = (struct answer){.status = 200, .type = ANSWER_TEXT, .text = text};
}

void answer_free(struct answer *answer)
{
    text_free(&answer->text);
    drop_stream(answer);
    free(answer->blob);
    *answer = (struct answer){0};
}

size_t answer_bytes(const struct answer *answer)
{
    const size_t text = answer->text.size > ANSWER_SMALL_BYTES ? answer->text.size : 0;
    return text + (answer->blob != NULL ? answer->n_blob : 0);
}

void answer_rest(struct answer *answer)
{
    free(answer->blob);
    answer->blob = NULL;
    text_shrink(&answer->text, ANSWER_SMALL_BYTES);
}

void answer_revision(struct answer *answer, uint64_t revision)
{
    char *at = answer->etag; /* by hand: printf would take a twentieth of all that /predict does beside the network */
    *at++ = '"';
    *at++ = 'r';
    at += text_print_u64(at, revision);
    *at++ = '"';
    *at = '\0';
}

void answer_json(struct answer *answer, unsigned status, struct json *document)
{
    char *printed = document == NULL ? NULL : json_print(document, false);
    json_free(document);
    text_clear(&answer->text);
    if (printed == NULL)
        answer->text.failed = true;
    else
        text_add_string(&answer->text, printed);
    free(printed);
    text_add(&answer->text, "\n", 1);
    answer_text_done(answer, status, ANSWER_JSON);
}

void answer_blob(struct answer *answer, const char *type, uint8_t *bytes, size_t n_bytes)
{
    free(answer->blob);
    answer->blob = bytes;
    answer->n_blob = n_bytes;
    answer->status = 200;
    answer->type = type;
}

void answer_text_done(struct answer *answer, unsigned status, const char *type)
{
    if (answer->text.failed) {
        struct err err;
        if (answer->text.over)
            err_set(&err, ERR_LIMIT,
                    "the answer would be larger than %zu MiB: ask for less in one request, such as fewer images",
                    ANSWER_TEXT_MAX >> 20);
        else
            err_set(&err, ERR_MEMORY, "no memory for the answer");
        text_shrink(&answer->text, ANSWER_SMALL_BYTES);
        answer_problem(answer, &err);
        return;
    }
    answer->status = status;
    answer->type = type;
}

void answer_problem(struct answer *answer, const struct err *err)
{
    answer_problem_row(answer, problem_find(err->code), err);
}

/* One more member of a document that is there. */
static void add_oip_error(struct text *text, const char *detail)
{
    if (text->failed)
        return;
    text->n -= 2; /* "}\n" */
    text_add_string(text, ",\"error\":");
    text_add_quoted(text, detail, strlen(detail));
    text_add_string(text, "}\n");
}

void answer_problem_row(struct answer *answer, const struct problem *problem, const struct err *err)
{
    drop_stream(answer);
    free(answer->blob);
    answer->blob = NULL;
    answer->n_blob = 0;
    answer->fixed = NULL;
    answer->n_fixed = 0;
    answer->encoding = NULL;
    answer->page = false;
    answer->etag[0] = answer->location[0] = '\0';
    answer->disposition = NULL;
    answer->n_json = 0;
    answer->cache = CACHE_NO_STORE;
    answer->status = problem->status;
    answer->type = ANSWER_PROBLEM;
    if (problem->status == 503)
        answer->retry_after = 1;
    text_clear(&answer->text);
    problem_write(&answer->text, problem, err);
    if (answer->oip)
        add_oip_error(&answer->text, problem->detail != NULL ? problem->detail : err->text);
    if (answer->text.failed) /* not even room for the excuse: the status alone */
        text_clear(&answer->text);
}
