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

static void response_file(const struct call *call, const struct web_file *file, const char *vary)
{
    struct response *response = call->response;
    const char *encodings = call->request->accept_encoding;
    const bool packed = encodings != NULL && accept_quality(encodings, "gzip") > 0;
    (void)snprintf(response->etag, sizeof response->etag, "%s", packed ? file->packed_etag : file->etag);
    response->cache = CACHE_REVALIDATE;
    response->vary = vary;
    response->page = true;
    if (etag_matches(call->request->if_none_match, response->etag)) {
        response->status = 304;
        return;
    }
    response->status = 200;
    response->type = file->type;
    response->encoding = packed ? "gzip" : NULL;
    response->fixed = packed ? file->packed : file->plain;
    response->n_fixed = packed ? file->n_packed : file->n_plain;
}

bool web_page(const struct call *call)
{
    const struct web_file *page = find("index.html");
    const char *accept = call->request->accept;
    /* Browsers name HTML; who takes anything (curl) gets the lines. */
    if (page == NULL || accept_quality(accept, "text/html") <= accept_quality(accept, "text/plain")) {
        call->response->vary = "Accept";
        return false;
    }
    response_file(call, page, "Accept, Accept-Encoding");
    return true;
}

void route_web(const struct call *call)
{
    const char *name = call->request->path + strlen("/web/");
    const struct web_file *file = find(name);
    if (file == NULL) {
        response_error(call->response, ERR_NOT_FOUND, "the page has no file %.80s", name);
        return;
    }
    response_file(call, file, "Accept-Encoding");
}
