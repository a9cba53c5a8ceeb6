/* page.c - the page: / for browsers, and what it is made of under /web. Open to all, since it holds nothing of the model;
 * it asks for a token when the daemon does. */
#include <stdio.h>
#include <string.h>

#include "server/routes/handlers.h"
#include "server/routes/web.h"

static const struct web_file *find(const char *name)
{
    for (size_t i = 0; i < n_web_files; i++)
        if (strcmp(web_files[i].name, name) == 0)
            return &web_files[i];
    return NULL;
}

static void answer_file(const struct call *call, const struct web_file *file, const char *vary)
{
    struct answer *answer = call->answer;
    const char *encodings = call->request->accept_encoding;
    const bool packed = encodings != NULL && accept_quality(encodings, "gzip") > 0;
    (void)snprintf(answer->etag, sizeof answer->etag, "%s", packed ? file->packed_etag : file->etag);
    answer->cache = CACHE_REVALIDATE;
    answer->vary = vary;
    answer->page = true;
    if (etag_matches(call->request->if_none_match, answer->etag)) {
        answer->status = 304;
        return;
    }
    answer->status = 200;
    answer->type = file->type;
    answer->encoding = packed ? "gzip" : NULL;
    answer->fixed = packed ? file->packed : file->plain;
    answer->n_fixed = packed ? file->n_packed : file->n_plain;
}

bool web_page(const struct call *call)
{
    const struct web_file *page = find("index.html");
    const char *accept = call->request->accept;
    /* Browsers name HTML; who takes anything (curl) gets the lines. */
    if (page == NULL || accept_quality(accept, "text/html") <= accept_quality(accept, "text/plain")) {
        call->answer->vary = "Accept";
        return false;
    }
    answer_file(call, page, "Accept, Accept-Encoding");
    return true;
}

void route_web(const struct call *call)
{
    const char *name = call->request->path + strlen("/web/");
    const struct web_file *file = find(name);
    if (file == NULL) {
        struct err err;
        err_set(&err, ERR_NOT_FOUND, "the page has no part %.80s", name);
        answer_problem(call->answer, &err);
        return;
    }
    answer_file(call, file, "Accept-Encoding");
}
