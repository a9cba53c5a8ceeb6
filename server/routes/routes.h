/* routes.h - what the daemon answers: the table of routes, and what they share.
 *
 *   routes/routes.c            the table, who may, dispatch, HEAD, OPTIONS, 404 and 405, and jobs for the trainer
 *   routes/heavy.c    calls that are answered by a thread of the pool
 *   routes/predict.c    POST /predict, in the HTTP thread, on the published revision
 *   routes/train.c      POST /train, through the trainer
 *   routes/model.c      /model, /classes, /stats and the model as files
 *   routes/history.c    /stats/history
 *   routes/snapshots.c  /snapshots
 *   routes/backup.c     GET /backup
 *   routes/samples.c    /samples: look at what it was trained on
 *   routes/export.c     /samples.tar: the data set
 *   routes/predictions.c /predictions: remembered ones, and their labels
 *   routes/events.c     GET /events
 *   routes/jobs.c   POST /rehearse, and /jobs
 *   routes/edits.c      DELETE and PATCH of /samples: forget, relabel
 *   routes/oip.c         /v2, the Open Inference Protocol
 *   routes/about.c      /healthz, /readyz, /metrics, / as text
 *   routes/page.c        /web, and / for browsers: the page
 *
 * Bodies of routes that take JSON (an unknown member is refused, 422):
 *   PATCH /model      {"rate": 0.02, "gradient": "jacobian", ...}: any tunable settings; answers the whole of GET /model
 *   POST  /classes    {"label": "x"}                 201; the new class answers at once, untrained
 *   PATCH /classes    {"from": "x", "to": "y"}       renames
 *                     {"from": "x", "into": "y"}     merges: x never was, its samples were always y; 202 and the job
 *                     {"delete": "x"}                x never was, its samples are forgotten; 202 and the job
 *   PATCH /samples    {"ids": [..], "label": "x"}; /samples/{id}: {"label": "x"}; 202 and the job, as for /rehearse
 *   DELETE /samples   {"ids": [..]}; /samples/{id}: nothing
 *   POST  /snapshots  nothing, or {"note": "...", "pinned": true}
 *   POST  /rehearse   nothing, or any of {"passes": 3, "rate": 0.02, "decay": 0.8, "jitter": 1, "rotation": 10,
 *                     "samples": [first id, last id]}; 202 and the job, or 200 when Prefer: wait=N saw its end
 */
#ifndef CONVD_SERVER_ROUTES_ROUTES_H
#define CONVD_SERVER_ROUTES_ROUTES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/common/offload.h"
#include "server/http/auth.h"
#include "server/http/http.h"
#include "server/message/metrics.h"
#include "server/message/request.h"
#include "server/message/response.h"
#include "server/model/prediction_cache.h"
#include "server/payload/body.h"
#include "server/trainer/trainer.h"

/* What all routes share; made by routes_create(), read by all HTTP threads. */
struct routes {
    struct trainer *trainer;
    struct model *model;
    uint64_t image_pixels, request_pixels;
    uint32_t batch_images;
    unsigned wait_seconds;       /* the longest that Prefer: wait is followed: less than a request's deadline */
    _Atomic(struct http *) http; /* for /metrics; set when it has started */
    bool tls;                    /* for the links on / */
    struct auth *auth;           /* the tokens; borrowed */
    struct offload *offload;     /* borrowed; NULL: all is done by the thread that asks */
    struct metrics *metrics;
    atomic_uint exports; /* of /samples.tar, that are on their way */
    atomic_uint views;   /* states of snapshots that requests hold: routes/snapshots.c */
    struct sheet_kept {
        pthread_mutex_t lock; /* held while it is drawn, by a thread of the pool */
        uint64_t revision;
        uint8_t *png;
        size_t n_png;
    } sheet;                   /* routes/model.c's: the kernels of the last revision that somebody looked at */
    struct events *events;     /* borrowed; set before anybody asks */
    struct remember *remember; /* set before anybody asks; routes_free() frees it */
    struct v2 *v2;             /* routes/oip.c's: the model's name in /v2, and its statistics */
    pthread_key_t scratch;     /* routes/predict.c's, one for each thread */
    uint64_t ground;           /* revision from which on the log replays to the same bits */
    int64_t started_us;
    atomic_bool stopping; /* /readyz says so */
    struct copies {
        pthread_mutex_t lock;
        unsigned n;                 /* files that there are */
        struct routes_copy *newest; /* the last that was whole, while it is being sent; else NULL */
    } copies;                       /* routes/backup.c's */
    _Atomic int64_t logged_s;       /* when a failure of ours was last written to the log */
};

/* routes_create - NULL: out of memory. routes_free() - when no thread answers any more. */
struct routes *routes_create(struct trainer *trainer, struct auth *auth, uint64_t image_pixels, uint32_t batch_images,
                             struct err *err);
void routes_free(struct routes *routes);

/* routes_authorize, routes_handle, routes_completed, routes_tick - http_config's callbacks; context: the struct routes. */
int routes_authorize(void *context, struct request *request, struct answer *answer);
void routes_handle(void *context, struct request *request, struct answer *answer, struct http_pending **pending);
void routes_tick(void *context, int64_t now_ms);
void routes_completed(void *context, const struct request *request, unsigned status, uint64_t nanoseconds);

/* v2_create - NULL: out of memory. v2_name - what /v2 calls the model, after its database; before anybody asks. */
struct v2 *v2_create(void);
void v2_free(struct v2 *v2);
void v2_name(struct v2 *v2, const char *db);

/* train_render_answer - the answer to /train, for trainer_config.render_answer. */
char *train_render_answer(const struct job *job);

/* ---- among the routes_*.c ---- */

/* One request on its way through a route. */
struct call {
    struct routes *routes;
    struct request *request;
    struct answer *answer;
    struct http_pending **pending;
    int64_t id;    /* of {id} in the path           */
    int64_t other; /* of a second number in the path */
    const struct cancel
        *cancel;        /* in a thread of the pool: to be asked every few milliseconds; NULL: in an HTTP thread */
    void *own;          /* of call_offload_with() */
    uint64_t waited_ns; /* for a thread of the pool     */
};

/* call_offload - what may take more than a fraction of a millisecond is not done in an HTTP thread. A handler begins with
 *
 *     if (call_offload(call, route_this, OFFLOAD_SHORT))
 *         return;
 *
 * true: a thread of the pool will call the handler again, with a call of the same request and answer, which nobody else touches until it
 * returns (or the answer is a problem: no memory). false: this is that thread (call->cancel is set), so go on, ask cancelled(call->cancel)
 * every few milliseconds, and end with cancel_err() where it says so. There call_submit(), call_read() work as everywhere: the request then
 * waits for the trainer. Also for who renders a job of the trainer: the call's `pending` is then &work->pending.next (and its id and
 * other are the renderer's to set). Without a pool (routes.offload is NULL) always false.
 *
 * call_offload_with - the same with an `own` of the handler's for call->own, which is given to own_free() at the end, or at once where true is a
 * problem; where false is returned it stays the caller's. */
bool call_offload(const struct call *call, void (*handler)(const struct call *), enum offload_length length);
bool call_offload_with(const struct call *call, void (*handler)(const struct call *), enum offload_length length,
                       void *own, void (*own_free)(void *));

/* call_limits - what decoding this call's body may cost: little in an HTTP thread. call_heavy - whether so many images are too much to put through
 * that network here; then with how long a task that is in *length. */
struct image_limits call_limits(const struct call *call);
/* call_heavy_picture - whether an input, enlarged so many times, is too large to be drawn here. */
bool call_heavy_picture(const struct call *call, const struct shape *shape, uint32_t scale);
bool call_heavy(const struct call *call, const struct learner *learner, uint32_t n_images, enum offload_length *length);

/* One job for the trainer, with all that it borrows. */
struct work {
    struct http_pending pending;
    struct routes *routes;
    struct job job;
    void (*render)(struct work *work,
                   struct answer *answer); /* after success; failures are answered by routes/routes.c */
    int64_t id;
    struct job_watch watch;  /* of a POST /rehearse that waits */
    struct request *request; /* for render alone: then the connection is there, before it may not be */
    void *own;               /* a route's; given to own_free() at the end, where that is set         */
    void (*own_free)(void *own);
    /* /train */
    struct batch batch;
    struct text body; /* that batch.pixels may point into */
    struct sample *samples;
    char key[STORE_KEY_BYTES_MAX + 1];
};

/* work_offload - for a renderer: its answer is written by `handler`, in a thread of the pool where it is heavy, which finds work->own in
 * call->own. */
void work_offload(struct work *work, struct answer *answer, bool heavy, void (*handler)(const struct call *call));

/* call_submit - makes a job of that kind whose success `render` answers, and lets the call wait for it; the caller fills in the job
 * before it returns. NULL: the answer is a problem (no memory). */
struct work *call_submit(const struct call *call, enum job_kind kind, void (*render)(struct work *, struct answer *));

/* call_read - a job of reading (JOB_READ) whose `own` it takes in any case: own_free() frees it. */
void call_read(const struct call *call, void *own, void (*own_free)(void *own),
               int (*read)(struct job *, struct store *, struct err *), void (*render)(struct work *, struct answer *));

/* routes_problem - answers err, and writes to the log what a 5xx hides (at most a line a second). */
void routes_problem(struct routes *routes, struct answer *answer, const struct err *err);

/* call_json - the body as a JSON object, for json_free(); an empty body is {} when it may be. NULL: answered. */
struct json *call_json(const struct call *call, bool may_be_empty);

/* call_not_modified - sets ETag and revalidation for that revision; true: the client has it, and 304 is the answer. */
bool call_not_modified(const struct call *call, uint64_t revision);

/* job_write - one job of the table in JSON. */
void job_write(struct text *text, const struct job_status *job);

void route_predict(const struct call *call);
void scratch_free(void *memory); /* destructor of routes.scratch */
void route_train(const struct call *call);

void route_model_get(const struct call *call);
void route_model_patch(const struct call *call);
void route_model_safetensors(const struct call *call);
void route_model_onnx(const struct call *call);
void route_model_npz(const struct call *call);
void route_model_kernels(const struct call *call);
void route_classes_get(const struct call *call);
void route_classes_post(const struct call *call);
void route_classes_patch(const struct call *call);
void route_stats(const struct call *call);
void route_history(const struct call *call);
void route_snapshots_get(const struct call *call);
void route_snapshots_post(const struct call *call);
void route_snapshot_get(const struct call *call);
void route_snapshot_patch(const struct call *call);
void route_snapshot_safetensors(const struct call *call);
void route_snapshot_delete(const struct call *call);
void route_snapshot_activate(const struct call *call);
void route_snapshot_diff(const struct call *call);
void route_backup(const struct call *call);
void route_samples_get(const struct call *call);
void route_samples_tar(const struct call *call);
void route_sample_get(const struct call *call);
void route_sample_image(const struct call *call);
void route_events(const struct call *call);
void route_predictions_get(const struct call *call);
void route_prediction_get(const struct call *call);
void route_prediction_delete(const struct call *call);
void route_prediction_image(const struct call *call);
void route_prediction_label(const struct call *call);
void route_rehearse(const struct call *call);
/* route_job_begun - renders the job that has been begun: 202 with its Location, 200 where it has ended. route_job_wait - has the
 * answer wait for that end, as Prefer: wait=N asks. */
void route_job_begun(struct work *work, struct answer *answer);
void route_job_wait(const struct call *call, struct work *work);
void route_samples_delete(const struct call *call);
void route_samples_patch(const struct call *call);
void route_sample_delete(const struct call *call);
void route_sample_patch(const struct call *call);
/* route_class_removes - whether the body of PATCH /classes is for route_class_remove(). */
bool route_class_removes(const struct json *root);
void route_class_remove(const struct call *call, const struct json *root);
void route_jobs_get(const struct call *call);
void route_job_get(const struct call *call);
void route_job_delete(const struct call *call);
void route_v2(const struct call *call);
void route_v2_live(const struct call *call);
void route_v2_ready(const struct call *call);
void route_v2_model(const struct call *call);
void route_v2_model_ready(const struct call *call);
void route_v2_infer(const struct call *call);
void route_v2_stats(const struct call *call);
void route_healthz(const struct call *call);
void route_readyz(const struct call *call);
void route_metrics(const struct call *call);
void route_openapi(const struct call *call);
void route_index(const struct call *call);
void route_web(const struct call *call);
bool web_page(const struct call *call); /* answers / with the page where HTML is asked for; else false */

#endif
