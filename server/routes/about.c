/* about.c - the daemon about itself: alive, ready, its numbers, and the page that greets. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/routes/feed.h"
#include "server/routes/handlers.h"
#include "server/routes/openapi.h"

/* Alive: this thread answers. Whether the trainer does is the watchdog's to find out, and readiness's to say. */
void route_healthz(const struct call *call)
{
    text_add_string(&call->answer->text, "{\"status\":\"ok\"}\n");
    answer_text_done(call->answer, 200, ANSWER_JSON);
}

void route_readyz(const struct call *call)
{
    struct trainer_stats stats = trainer_stats(call->routes->trainer);
    struct err err;
    if (atomic_load(&call->routes->stopping)) {
        err_set(&err, ERR_STOPPING, "stopping");
        answer_problem(call->answer, &err);
    } else if (stats.storage_failed) {
        static const struct problem not_ready = {
            ERR_STORAGE, 503, "Training has stopped",
            "the storage failed, and training goes on only after a restart; predictions are answered"};
        err_set(&err, ERR_STORAGE, "storage failed");
        answer_problem_row(call->answer, &not_ready, &err);
    } else if (stats.off == ERR_DB_LOST) {
        static const struct problem not_ready = {
            ERR_DB_LOST, 503, "Training is off",
            "the file of the model was removed, renamed or replaced while it was served: predictions are answered, and "
            "nothing is trained; GET /backup gives a copy of all that was learned: put it in its place, and restart"};
        err_set(&err, ERR_DB_LOST, "training is off");
        answer_problem_row(call->answer, &not_ready, &err);
    } else if (stats.off != ERR_NONE) {
        static const struct problem not_ready = {
            ERR_DB_CORRUPT, 503, "Training is off",
            "the log of the model is damaged: predictions are answered as of the last revision that can be proved, and "
            "nothing is trained; the daemon's log and convd verify name the row"};
        err_set(&err, ERR_DB_CORRUPT, "training is off");
        answer_problem_row(call->answer, &not_ready, &err);
    } else {
        text_add_string(&call->answer->text, "{\"status\":\"ready\"}\n");
        answer_text_done(call->answer, 200, ANSWER_JSON);
    }
}

/* ---- /metrics ---- */

static void write_http(struct text *text, struct http *http)
{
    if (http == NULL)
        return; /* a request in the very first instant */
    struct http_counts c = http_counts(http);
    metrics_write_gauge(text, "convd_http_connections", "Open connections.", (double)c.connections_now);
    metrics_write_gauge(text, "convd_http_connections_max", "Open connections, at most.", (double)c.connections_max);
    metrics_write_counter(text, "convd_http_connections_total", "Accepted connections.", (double)c.connections_total);
    metrics_write_counter(text, "convd_http_connections_refused_total", "Turned away: too many at once.",
                          (double)c.refused);
    metrics_write_counter(text, "convd_http_connections_displaced_total", "Closed to make room for new ones.",
                          (double)c.displaced);
    metrics_write_counter(text, "convd_http_requests_unheard_total",
                          "Refused by libmicrohttpd, by the look of their headers or chunks.", (double)c.unheard);
    metrics_write_counter(text, "convd_http_requests_reaped_total", "Cut or given up: over the deadline.",
                          (double)c.reaped);
    metrics_write_gauge(text, "convd_http_requests_waiting", "Requests that wait: for the trainer or the heavy pool.",
                        (double)c.suspended_now);
    metrics_write_gauge(text, "convd_http_body_bytes", "Memory of large request bodies.", (double)c.body_bytes_now);
    metrics_write_gauge(text, "convd_http_reply_bytes", "Memory of large answers that are being sent.",
                        (double)c.reply_bytes_now);
}

static void write_offload(struct text *text, struct offload *offload)
{
    if (offload == NULL)
        return;
    const struct offload_counts c = offload_counts(offload);
    metrics_write_gauge(text, "convd_heavy_requests_waiting", "Heavy requests that wait for a thread of their pool.",
                        (double)c.waiting);
    metrics_write_gauge(text, "convd_heavy_requests_running", "Heavy requests that a thread works on.",
                        (double)c.running);
    metrics_write_counter(text, "convd_heavy_requests_total", "Heavy requests that the pool has taken.",
                          (double)c.total);
    metrics_write_counter(text, "convd_heavy_requests_refused_total", "Heavy requests refused: too many wait.",
                          (double)c.refused);
    metrics_write_counter(text, "convd_heavy_requests_cancelled_total",
                          "Heavy requests ended early: deadline, client gone, stop.", (double)c.cancelled);
}

static void write_trainer(struct text *text, const struct trainer_stats *s)
{
    metrics_write_gauge(text, "convd_queue_jobs", "Jobs that wait for the trainer.", (double)s->queued_jobs);
    metrics_write_gauge(text, "convd_queue_samples", "Samples that wait for the trainer.", (double)s->queued_samples);
    metrics_write_gauge(text, "convd_queue_reads", "Requests that wait to read from the log.", (double)s->queued_reads);
    metrics_write_gauge(text, "convd_queue_bytes", "Memory of what waits for the trainer.", (double)s->queued_bytes);
    metrics_write_counter(text, "convd_queue_refused_total", "Jobs refused: queue full.", (double)s->refused_busy);
    metrics_write_counter(text, "convd_trainer_rounds_total", "Group commits.", (double)s->rounds);
    metrics_write_counter(text, "convd_trainer_samples_total", "Samples learned from since the start.",
                          (double)s->samples);
    metrics_write_counter(text, "convd_rehearsed_steps_total", "Steps of rehearsals since the start.",
                          (double)s->rehearsed);
    metrics_write_counter(text, "convd_trainer_commit_seconds_total", "Time in commits.", (double)s->commit_us / 1e6);
    metrics_write_counter(text, "convd_trainer_apply_seconds_total", "Time in learning.", (double)s->apply_us / 1e6);
    metrics_write_gauge(text, "convd_trainer_last_round_seconds", "Duration of the last round.",
                        (double)s->last_round_us / 1e6);
    metrics_write_counter(text, "convd_storage_errors_total", "Failed writes to the database.",
                          (double)s->storage_errors);
    metrics_write_gauge(text, "convd_storage_failed", "1: training has stopped for good.", s->storage_failed ? 1 : 0);
    metrics_write_gauge(text, "convd_training_off", "1: nothing is trained: the log is damaged, or its file is gone.",
                        s->off != ERR_NONE ? 1 : 0);
    metrics_write_gauge(text, "convd_storage_wal_bytes", "Size of the write-ahead log.", (double)s->wal_bytes);
    metrics_write_counter(text, "convd_snapshots_total", "Snapshots taken since the start.", (double)s->snapshots);
    metrics_write_gauge(text, "convd_snapshot_last_timestamp_seconds", "When the last was taken; 0: none yet.",
                        (double)s->last_snapshot_us / 1e6);
}

static void write_watchers(struct text *text, struct routes *routes)
{
    const struct events_counts c = events_counts(routes->events);
    metrics_write_gauge(text, "convd_event_readers", "Readers of /events.", (double)c.readers);
    metrics_write_counter(text, "convd_events_total", "Events told on /events.", (double)c.told);
    metrics_write_counter(text, "convd_events_lost_total", "Events that readers were too slow for.", (double)c.lost);
    metrics_write_counter(text, "convd_event_readers_refused_total", "Readers turned away: too many at once.",
                          (double)c.refused);
    metrics_write_gauge(text, "convd_predictions_remembered", "Predictions that may get their label later.",
                        (double)remember_count(routes->remember));
}

static void write_model(struct text *text, const struct learner *learner)
{
    const struct tally *tally = &learner->tally;
    uint64_t n = tally->samples < TALLY_RECENT ? tally->samples : TALLY_RECENT, correct = 0;
    for (uint64_t i = 0; i < n; i++)
        correct += tally->recent[i].label == tally->recent[i].predicted ? 1 : 0;
    metrics_write_gauge(text, "convd_model_revision", "Position in the log of the last event.",
                        (double)learner->revision);
    metrics_write_gauge(text, "convd_model_step", "Samples that the weights have learned from.", (double)learner->step);
    metrics_write_gauge(text, "convd_model_refused_steps",
                        "Steps that were not made, to keep the weights within bounds.", (double)learner->refused);
    metrics_write_gauge(text, "convd_model_classes", "Classes.", (double)learner->n_classes);
    metrics_write_counter(text, "convd_drift_alarms_total", "Alarms that the model errs more often than it did.",
                          (double)tally->drift.alarms);
    metrics_write_gauge(text, "convd_model_rate", "Size of the next step of gradient descent.",
                        (double)settings_rate(&learner->settings, learner->step));
    if (n > 0)
        metrics_write_gauge(text, "convd_model_recent_accuracy_ratio",
                            "Test-then-train accuracy of the last 1000 samples.", (double)correct / (double)n);
}

static void write_process(struct text *text, int64_t started_us)
{
    metrics_write_gauge(text, "process_start_time_seconds", "Start time of the process since the Unix epoch.",
                        (double)started_us / 1e6);
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;
    if (statm != NULL && fscanf(statm, "%*u %lu", &pages) == 1)
        metrics_write_gauge(text, "process_resident_memory_bytes", "Resident memory.",
                            (double)pages * (double)sysconf(_SC_PAGESIZE));
    if (statm != NULL)
        (void)fclose(statm);
}

void route_metrics(const struct call *call)
{
    struct routes *routes = call->routes;
    struct text *text = &call->answer->text;
    struct trainer_stats stats = trainer_stats(routes->trainer);
    struct revision *revision = model_acquire(routes->model);
    text_add_format(text,
                    "# HELP convd_build_info Version, arithmetic and instruction set.\n# TYPE convd_build_info gauge\n"
                    "convd_build_info{version=\"%s\",arithmetic=\"%s\",instruction_set=\"%s\"} 1\n",
                    CONVD_VERSION, ARITHMETIC_VERSION, arith_name(revision->learner->arith));
    metrics_write(routes->metrics, text);
    write_http(text, atomic_load(&routes->http));
    write_offload(text, routes->offload);
    write_trainer(text, &stats);
    metrics_write_gauge(text, "convd_jobs_running", "Long jobs at work: a rehearsal, an edit of the past.",
                        (double)jobs_running(trainer_jobs(routes->trainer)));
    write_watchers(text, routes);
    write_model(text, revision->learner);
    write_process(text, routes->started_us);
    model_release(routes->model, revision);
    answer_text_done(call->answer, 200, "text/plain; version=0.0.4; charset=utf-8");
}

void route_openapi(const struct call *call)
{
    text_add(&call->answer->text, openapi_json, openapi_json_bytes);
    answer_text_done(call->answer, 200, ANSWER_JSON);
}

/* ---- / ---- */

void route_index(const struct call *call)
{
    if (web_page(call))
        return;
    struct revision *revision = model_acquire(call->routes->model);
    const struct learner *learner = revision->learner;
    const struct shape *s = &learner->shape;
    /* Host came through the guard, but is still the client's: only what a URL's authority may hold is repeated. */
    const char *host = call->request->host;
    if (host == NULL ||
        host[strspn(host, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:[]")] != '\0')
        host = "127.0.0.1:8080";
    char base[280]; /* a longer Host is cut */
    (void)snprintf(base, sizeof base, "%s://%.256s", call->routes->tls ? "https" : "http", host);
    text_add_string(&call->answer->text,
                    "convd " CONVD_VERSION ": an image classifier that learns while it answers.\n");
    /* The page is open to all, what the model is only to those who may read. */
    if (call->request->granted >= ACCESS_READ)
        text_add_format(&call->answer->text,
                        "%u x %u pixels, %u channel%s, %u classes; learned from %llu samples; revision %llu.\n",
                        s->width, s->height, s->channels, s->channels == 1 ? "" : "s", learner->n_classes,
                        (unsigned long long)learner->step, (unsigned long long)learner->revision);
    else
        text_add_string(&call->answer->text, "Add to each line: -H \"Authorization: Bearer TOKEN\"\n");
    text_add_format(&call->answer->text,
                    "\n"
                    "predict     curl --data-binary @7.png %s/predict\n"
                    "several     curl -F a=@7.png -F b=@8.png '%s/predict?top=3'\n"
                    "train       curl --data-binary @7.png '%s/train?label=7'\n"
                    "several     curl -F 7=@a.png -F 8=@b.png %s/train\n"
                    "rehearse    curl -d '{\"passes\": 3}' %s/rehearse\n"
                    "how far     curl %s/jobs\n"
                    "model       curl %s/model\n"
                    "tune        curl -X PATCH -d '{\"rate\": 0.02}' %s/model\n"
                    "classes     curl %s/classes\n"
                    "add one     curl -d '{\"label\": \"x\"}' %s/classes\n"
                    "rename      curl -X PATCH -d '{\"from\": \"x\", \"to\": \"y\"}' %s/classes\n"
                    "why         curl -H 'Accept: image/png' --data-binary @7.png '%s/predict?explain=1' -o why.png\n"
                    "look back   curl '%s/samples?wrong=1'\n"
                    "watch       curl -N %s/events\n"
                    "statistics  curl %s/stats\n"
                    "snapshot    curl -X POST %s/snapshots\n"
                    "list        curl %s/snapshots\n"
                    "go back     curl -X POST %s/snapshots/1/activate\n"
                    "drop        curl -X DELETE %s/snapshots/2\n"
                    "take away   curl -O %s/model.safetensors\n"
                    "data set    curl %s/samples.tar | tar x\n"
                    "see         curl -O %s/model/kernels.png\n"
                    "operate     curl %s/metrics   (also /healthz, /readyz)\n",
                    base, base, base, base, base, base, base, base, base, base, base, base, base, base, base, base,
                    base, base, base, base, base, base, base);
    model_release(call->routes->model, revision);
    answer_text_done(call->answer, 200, ANSWER_TEXT);
}
