/* history.c - GET /stats/history: test-then-train accuracy and loss over the samples, for a chart.
 *
 * The samples of the live lineage, in the order of training and without those that were forgotten, are cut into `points` windows of the same length. Of each the outcomes are
 * averaged; of long windows those of the last samples alone, so that no request looks at more than LOOK_MOST of them. The
 * trainer's thread does it, some at a time (trainer/trainer.h, COMMAND_READ).
 */
#include <stdlib.h>

#include "server/routes/handlers.h"

#define POINTS_DEFAULT 200u
#define POINTS_MAX     1000u
#define LOOK_MOST      100000u
#define LOOK_STEP      5000u /* some 2 ms */

struct history {
    uint64_t points; /* asked for          */
    uint64_t total;  /* samples of the lineage */
    uint64_t window; /* samples of a window */
    uint64_t look;   /* that are looked at, of each */
    bool begun;
    size_t n, done;
    struct store_window windows[];
};

static int begin(struct history *h, struct store *store, struct err *err)
{
    if (store_live_samples(store, &h->total, err) != 0)
        return -1;
    h->begun = true;
    h->window = (h->total + h->points - 1) / h->points;
    h->n = h->window == 0 ? 0 : (size_t)((h->total + h->window - 1) / h->window);
    h->look = h->window < LOOK_MOST / h->points ? h->window : LOOK_MOST / h->points;
    for (size_t i = 0; i < h->n; i++) {
        const uint64_t first = i * h->window + 1;
        uint64_t last = first + h->window - 1;
        last = last < h->total ? last : h->total;
        h->windows[i].last = last;
        h->windows[i].first = last - first < h->look ? first : last - h->look + 1;
    }
    return 0;
}

/* The line may have become another between two steps, or samples may be forgotten; then the later windows are of what is there by then. */
static int history_read(struct command *command, struct store *store, struct err *err)
{
    struct history *h = ((struct work *)command->context)->own;
    if (!h->begun && begin(h, store, err) != 0)
        return -1;
    size_t n = h->look == 0 ? 0 : (size_t)(LOOK_STEP / h->look) + 1;
    n = n < h->n - h->done ? n : h->n - h->done;
    if (store_windows(store, h->windows + h->done, n, err) != 0)
        return -1;
    h->done += n;
    return h->done < h->n;
}

static void history_done(struct work *work, struct response *response)
{
    const struct history *h = work->own;
    struct json_writer json = response_begin(response);
    json_write_array(&json, "points");
    for (size_t i = 0; i < h->n; i++) {
        const struct store_window *w = &h->windows[i];
        json_write_object(&json, NULL);
        json_write_u64(&json, "samples", w->last);
        json_write_ratio(&json, "accuracy", (double)w->correct, w->n);
        json_write_ratio(&json, "loss", w->loss_sum, w->n_losses);
        json_write_end(&json);
    }
    json_write_end(&json);
    json_write_u64(&json, "samples", h->total);
    json_write_u64(&json, "window", h->window);
    json_write_u64(&json, "counted", h->look);
    json_write_u64(&json, "step", work->command.step);
    json_write_u64(&json, "revision", work->command.revision);
    response_revision(response, work->command.revision);
    response->cache = CACHE_REVALIDATE;
    response_json(response, 200, &json);
}

void route_history(const struct call *call)
{
    uint64_t points = POINTS_DEFAULT;
    struct err err;
    if (request_param_number(call->request, "points", 1, POINTS_MAX, &points, &err) != 0) {
        response_problem(call->response, &err);
        return;
    }
    struct revision *revision = model_acquire(call->routes->model);
    const bool known = call_not_modified(call, revision->learner->revision);
    model_release(call->routes->model, revision);
    if (known)
        return;
    struct history *h = calloc(1, sizeof *h + (size_t)points * sizeof h->windows[0]);
    if (h == NULL) {
        call_no_memory(call, "the history");
        return;
    }
    h->points = points;
    call_read(call, h, free, history_read, history_done);
}
