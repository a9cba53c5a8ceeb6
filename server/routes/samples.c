/* samples.c - /samples: what the model was trained on, as it saw it, and what it said just before.
 *
 * The rows are in the store, which is the trainer's: each request is a job of reading, in small steps (trainer/trainer.h, COMMAND_READ). A
 * search for what is rare goes over all of the log, step by step, until its page is full or a second is over; the client goes on
 * from there with the cursor. Where the past is rewritten between two steps, what was found so far is thrown away, and the page
 * begins anew: no row is of a sample that is forgotten, or stands under the name of another class. Rows become text in the trainer's
 * thread, where the classes are those that their columns mean.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/common/clock.h"
#include "server/common/label_take.h"
#include "server/image/input_png.h"
#include "server/model/json_parts.h"
#include "server/routes/handlers.h"

#define LIMIT_DEFAULT 50u
#define LIMIT_MAX     500u
#define LOOK_STEP     5000u /* rows that a step of the search looks at: some 2 ms */
#define LOOK_MS       1000  /* after which a page is answered, however few it found */

static void response_text_of(struct response *response, const struct text *text)
{
    text_add(&response->text, text->bytes, text->n);
    response->text.failed = response->text.failed || text->failed;
    response_text_done(response, 200, RESPONSE_JSON);
}

/* ---- GET /samples ---- */

struct page {
    struct store_search asked, search;                               /* asked: but for the columns of its classes */
    char label[LABEL_BYTES_MAX + 1], predicted[LABEL_BYTES_MAX + 1]; /* "": any */
    bool begun;
    uint64_t rewrites; /* of the past, when it began */
    int64_t until_ms;
    struct text text;
    size_t limit, n;
    struct store_sample_row rows[];
};

static void page_free(void *own)
{
    struct page *page = own;
    text_free(&page->text);
    free(page);
}

static int find_class(int64_t *index, const char *label, const char *name, const struct learner *learner,
                      struct err *err)
{
    uint32_t found = 0;
    *index = -1;
    if (label[0] == '\0')
        return 0;
    if (label_find(&found, label, learner, err) != 0)
        return err_wrap(err, "?%s", name);
    *index = found;
    return 0;
}

static int page_begin(struct page *page, uint64_t rewrites, const struct learner *learner, struct err *err)
{
    page->search = page->asked;
    page->n = 0;
    page->begun = true;
    page->rewrites = rewrites;
    return find_class(&page->search.label, page->label, "label", learner, err) == 0
               ? find_class(&page->search.predicted, page->predicted, "predicted", learner, err)
               : -1;
}

static int page_step(struct page *page, struct store *store, uint64_t rewrites, const struct learner *learner,
                     struct err *err)
{
    size_t n;
    if ((!page->begun || page->rewrites != rewrites) && page_begin(page, rewrites, learner, err) != 0)
        return -1;
    if (store_search(store, &page->search, page->rows + page->n, page->limit - page->n, LOOK_STEP, &n, err) != 0)
        return -1;
    page->n += n;
    if (page->n < page->limit && page->search.before > 0 && now_ms() < page->until_ms)
        return 1;
    struct json_writer json = json_write_begin(&page->text);
    sample_rows_write(&json, page->rows, page->n, page->search.before, learner);
    json_write_end(&json);
    text_add_string(&page->text, "\n");
    return 0;
}

static int page_read(struct command *command, struct store *store, struct err *err)
{
    const struct work *work = command->context;
    struct revision *revision = model_acquire(work->routes->model);
    const int status = page_step(work->own, store, trainer_rewrites(work->routes->trainer), revision->learner, err);
    model_release(work->routes->model, revision);
    return status;
}

static void page_done(struct work *work, struct response *response)
{
    const struct page *page = work->own;
    response_text_of(response, &page->text);
}

/* Which class it is, is looked up when the search begins. */
static int take_class(char label[LABEL_BYTES_MAX + 1], const struct call *call, const char *name, struct err *err)
{
    const char *given = request_param(call->request, name);
    label[0] = '\0';
    if (given == NULL || label_take(label, given, strlen(given), err) == 0)
        return 0;
    return err_wrap(err, "?%s", name);
}

/* The microseconds behind the seconds of "..T12:00:00.25Z"; -1 where it does not end so. */
static int64_t fraction(const char *text)
{
    int64_t us = 0;
    if (*text == '.') {
        int64_t unit = 100000;
        if (text[1] < '0' || text[1] > '9')
            return -1;
        for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
            us += (*text - '0') * unit;
    }
    return strcmp(text, "Z") == 0 || strcmp(text, "z") == 0 ? us : -1;
}

static int take_time(int64_t *us, const struct request *request, const char *name, struct err *err)
{
    const char *text = request_param(request, name);
    if (text == NULL)
        return 0;
    const size_t n = strlen(text);
    struct tm tm = {0};
    if (n > 0 && n <= 12 && strspn(text, "0123456789") == n) {
        *us = (int64_t)strtoll(text, NULL, 10) * 1000000;
        return 0;
    }
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    const int64_t more = rest == NULL ? -1 : fraction(rest);
    if (more < 0)
        return err_set(err, ERR_VALUE, "?%s must be a time in UTC such as 2026-11-23T14:00:00Z, or seconds since 1970",
                       name);
    *us = (int64_t)timegm(&tm) * 1000000 + more;
    return 0;
}

static int take_search(struct page *page, uint64_t *limit, const struct call *call, struct err *err)
{
    const struct request *request = call->request;
    struct store_search *search = &page->asked;
    uint64_t wrong = 2, cursor = INT64_MAX;
    *limit = LIMIT_DEFAULT;
    search->from_us = INT64_MIN;
    search->to_us = INT64_MAX;
    if (take_class(page->label, call, "label", err) != 0 || take_class(page->predicted, call, "predicted", err) != 0 ||
        request_param_number(request, "wrong", 0, 1, &wrong, err) != 0 ||
        take_time(&search->from_us, request, "from", err) != 0 || take_time(&search->to_us, request, "to", err) != 0 ||
        request_param_number(request, "limit", 1, LIMIT_MAX, limit, err) != 0 ||
        request_param_number(request, "cursor", 1, INT64_MAX, &cursor, err) != 0)
        return -1;
    search->wrong = wrong > 1 ? -1 : (int)wrong;
    search->before = (int64_t)cursor;
    return 0;
}

void route_samples_get(const struct call *call)
{
    struct page asked = {0};
    uint64_t limit;
    struct err err;
    if (take_search(&asked, &limit, call, &err) != 0) {
        response_problem(call->response, &err);
        return;
    }
    struct page *page = calloc(1, sizeof *page + (size_t)limit * sizeof page->rows[0]);
    if (page == NULL) {
        call_no_memory(call, "a page of samples");
        return;
    }
    *page = asked;
    page->limit = (size_t)limit;
    page->until_ms = now_ms() + LOOK_MS;
    call_read(call, page, page_free, page_read, page_done);
}

/* ---- GET /samples/{id} and its image ---- */

struct one {
    struct store_sample_row row;
    struct text text; /* the row */
    struct shape shape;
    uint32_t scale;   /* of its image; 0: it is not asked for */
    uint8_t pixels[]; /* [n_input], or none */
};

static void one_free(void *own)
{
    struct one *one = own;
    text_free(&one->text);
    free(one);
}

static int one_read(struct command *command, struct store *store, struct err *err)
{
    struct work *work = command->context;
    struct one *one = work->own;
    int found =
        store_sample_row(store, work->id, &one->row, one->scale > 0 ? one->pixels : NULL, one->shape.n_input, err);
    if (found == 0)
        return err_set(err, ERR_NOT_FOUND, "sample %lld does not exist; GET /samples lists them", (long long)work->id);
    if (found > 0 && one->scale == 0) {
        struct revision *revision = model_acquire(work->routes->model);
        struct json_writer json = json_write_begin(&one->text);
        sample_row_write(&json, &one->row, revision->learner);
        json_write_end(&json);
        text_add_char(&one->text, '\n');
        model_release(work->routes->model, revision);
    }
    return found < 0 ? -1 : 0;
}

static void one_done(struct work *work, struct response *response)
{
    const struct one *one = work->own;
    response_text_of(response, &one->text);
}

/* The image of a sample never changes; but it may be forgotten, so who has it asks again. */
static void draw_image(const struct call *call)
{
    const struct one *one = call->own;
    struct response *response = call->response;
    uint8_t *png;
    size_t n_png;
    struct err err;
    response->cache = CACHE_REVALIDATE;
    (void)snprintf(response->etag, sizeof response->etag, "\"s%lld-%u\"", (long long)call->id, one->scale);
    if (etag_matches(call->request->if_none_match, response->etag)) {
        response->status = 304;
    } else if (planes_png(&png, &n_png, one->pixels, &one->shape, one->scale, &err) == 0) {
        response_blob(response, "image/png", png, n_png);
    } else {
        response->etag[0] = '\0';
        response->cache = CACHE_NO_STORE;
        routes_problem(call->routes, response, &err);
    }
}

static void image_done(struct work *work, struct response *response)
{
    const struct one *one = work->own;
    const struct call call = {.routes = work->routes};
    work_offload(work, response, call_heavy_picture(&call, &one->shape, one->scale), draw_image);
}

static void read_one(const struct call *call, uint32_t scale, void (*render)(struct work *, struct response *))
{
    struct revision *revision = model_acquire(call->routes->model);
    const struct shape shape = revision->learner->shape; /* the same in all revisions */
    model_release(call->routes->model, revision);
    struct one *one = calloc(1, sizeof *one + (scale > 0 ? shape.n_input : 0));
    if (one == NULL) {
        call_no_memory(call, "a sample");
        return;
    }
    one->shape = shape;
    one->scale = scale;
    call_read(call, one, one_free, one_read, render);
}

void route_sample_get(const struct call *call)
{
    read_one(call, 0, one_done);
}

void route_sample_image(const struct call *call)
{
    uint64_t scale = 1;
    struct err err;
    if (request_param_number(call->request, "scale", 1, PLANES_SCALE_MAX, &scale, &err) != 0)
        response_problem(call->response, &err);
    else
        read_one(call, (uint32_t)scale, image_done);
}
