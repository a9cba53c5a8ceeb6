/* history.c - GET /stats/history: test-then-train accuracy and loss over the samples, for a chart.
 *
 * The samples of the live line, in the order of training and without those that were forgotten, are cut into `points` windows of the same length. Of each the outcomes are
 * averaged; of long windows those of the last samples alone, so that no request looks at more than LOOK_MOST of them. The
 * trainer's thread does it, some at a time (trainer/trainer.h, JOB_READ).
 */
#include <stdlib.h>

#include "server/routes/handlers.h"

#define POINTS_DEFAULT 200u
#define POINTS_MAX     1000u
#define LOOK_MOST      100000u
#define LOOK_STEP      5000u /* some 2 ms */

struct history {
    uint64_t points; /* asked for          */
    uint64_t total;  /* samples of the line */
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
static int history_read(struct job *job, struct store *store, struct err *err)
{
    struct history *h = ((struct work *)job->context)->own;
    if (!h->begun && begin(h, store, err) != 0)
        return -1;
    size_t n = h->look == 0 ? 0 : (size_t)(LOOK_STEP / h->look) + 1;
    n = n < h->n - h->done ? n : h->n - h->done;
    if (store_windows(store, h->windows + h->done, n, err) != 0)
        return -1;
    h->done += n;
    return h->done < h->n;
}

static void add_mean(struct text *text, const char *name, double sum, uint64_t n)
{
    text_add_format(text, ",\"%s\":", name);
    if (n > 0)
        text_add_fixed9(text, sum / (double)n);
    else
        text_add_string(text, "null");
}

static void history_done(struct work *work, struct answer *answer)
{
    const struct history *h = work->own;
    struct text *text = &answer->text;
    text_add_string(text, "{\"points\":[");
    for (size_t i = 0; i < h->n; i++) {
        const struct store_window *w = &h->windows[i];
        text_add_format(text, "%s{\"samples\":%llu", i > 0 ? "," : "", (unsigned long long)w->last);
        add_mean(text, "accuracy", (double)w->correct, w->n);
        add_mean(text, "loss", w->loss_sum, w->n_losses);
        text_add(text, "}", 1);
    }
    text_add_format(text, "],\"samples\":%llu,\"window\":%llu,\"counted\":%llu,\"step\":%llu,\"revision\":%llu}\n",
                    (unsigned long long)h->total, (unsigned long long)h->window, (unsigned long long)h->look,
                    (unsigned long long)work->job.step, (unsigned long long)work->job.revision);
    answer_revision(answer, work->job.revision);
    answer->cache = CACHE_REVALIDATE;
    answer_text_done(answer, 200, ANSWER_JSON);
}

void route_history(const struct call *call)
{
    uint64_t points = POINTS_DEFAULT;
    struct err err;
    if (request_param_number(call->request, "points", 1, POINTS_MAX, &points, &err) != 0) {
        answer_problem(call->answer, &err);
        return;
    }
    struct revision *revision = model_acquire(call->routes->model);
    const bool known = call_not_modified(call, revision->learner->revision);
    model_release(call->routes->model, revision);
    if (known)
        return;
    struct history *h = calloc(1, sizeof *h + points * sizeof h->windows[0]);
    if (h == NULL) {
        err_set(&err, ERR_MEMORY, "no memory for the history");
        routes_problem(call->routes, call->answer, &err);
        return;
    }
    h->points = points;
    call_read(call, h, free, history_read, history_done);
}
