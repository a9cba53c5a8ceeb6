/* routes.h - what the daemon answers: the routes and their state.
 *
 * In reading order:
 *   routes.c       the table, who may, dispatch, HEAD, OPTIONS, 404 and 405; calls every handler (handlers.h), and no
 *                  handler calls it
 *   handlers.h     what answers each route
 *   call.{h,c}     what handlers share: bodies, problems, commands to the trainer
 *   heavy.c        calls that are answered by a thread of the pool
 *   await.c        calls that wait for a revision, or for what `known` is measured by
 *   predict.c      POST /predict, in the HTTP thread, on the published revision
 *   train.c        POST /train, through the trainer
 *   model.c        /model, /classes, /stats and the model as files
 *   history.c      /stats/history
 *   snapshots.c    /snapshots
 *   backup.c       GET /backup
 *   samples.c      /samples: look at what it was trained on
 *   export.c       /samples.tar: the data set
 *   predictions.c  /predictions: remembered ones, and their labels
 *   events.c       GET /events
 *   feed.{h,c}     its open streams, and what they are told
 *   jobs.c         POST /rehearse, and /jobs
 *   edits.c        DELETE and PATCH of /samples: forget, relabel
 *   oip.c          /v2, the Open Inference Protocol
 *   about.c        /healthz, /readyz, /metrics, /cluster, / as text
 *   page.c         /web, and / for browsers: the page
 *   web.h          the files of web/ and schema/openapi.json, embedded at build
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

#include "server/access/auth.h"
#include "server/common/offload.h"
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
    } sheet;               /* routes/model.c's: the kernels of the last revision that somebody looked at */
    struct events *events; /* borrowed; set before anybody asks */
    struct prediction_cache *prediction_cache; /* set before anybody asks; routes_free() frees it */
    struct v2 *v2;                             /* routes/oip.c's: the model's name in /v2, and its statistics */
    struct awaits {
        pthread_mutex_t lock;
        struct awaiting *first;
        atomic_uint n;
    } awaits;              /* routes/await.c's */
    const char *node;      /* what this node is called among those that share the log; borrowed; NULL: none does */
    pthread_key_t scratch; /* routes/predict.c's, one for each thread */
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
int routes_authorize(void *context, struct request *request, struct response *response);
void routes_handle(void *context, struct request *request, struct response *response, struct http_pending **pending);
void routes_tick(void *context, int64_t now_ms);

/* routes_published - model_watch()'s: that revision is the one that answers from now on. */
void routes_published(void *context, uint64_t revision);
void routes_completed(void *context, const struct request *request, unsigned status, uint64_t nanoseconds);

/* v2_create - NULL: out of memory. v2_name - what /v2 calls the model; NULL: after its database; before anybody asks. */
struct v2 *v2_create(void);
void v2_free(struct v2 *v2);
void v2_name(struct v2 *v2, const char *name, const char *db);

#endif
