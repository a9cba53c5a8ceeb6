/* about.c - the daemon about itself: alive, ready, its numbers, the others that have its log, and the page that greets. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/routes/feed.h"
#include "server/routes/handlers.h"
#include "server/routes/web.h"
#include "store/shared.h"

static void response_status(struct response *response, const char *status)
{
    struct json_writer json = response_begin(response);
    json_write_string(&json, "status", status);
    response_json(response, 200, &json);
}

/* Alive: this thread answers. Whether the trainer does is the watchdog's to find out, and readiness's to say. */
void route_healthz(const struct call *call)
{
    response_status(call->response, "ok");
}

void route_readyz(const struct call *call)
{
    struct trainer_stats stats = trainer_stats(call->routes->trainer);
    struct err err;
    if (atomic_load(&call->routes->stopping)) {
        response_error(call->response, ERR_STOPPING, "stopping");
    } else if (stats.storage_failed) {
        static const struct problem not_ready = {
            ERR_STORAGE, 503, "Training has stopped",
            "a write to the disk failed; predictions go on. Restart convd to train again"};
        err_set(&err, ERR_STORAGE, "storage failed");
        response_problem_row(call->response, &not_ready, &err);
    } else if (stats.off == ERR_DB_LOST) {
        static const struct problem not_ready = {
            ERR_DB_LOST, 503, "Training is off",
            "the database file was removed, renamed or replaced; predictions go on, and nothing is trained. GET "
            "/backup copies all that was learned: put the copy in place, and restart convd"};
        err_set(&err, ERR_DB_LOST, "training is off");
        response_problem_row(call->response, &not_ready, &err);
    } else if (stats.off == ERR_DIVERGED) {
        static const struct problem not_ready = {
            ERR_DIVERGED, 503, "This node has diverged",
            "this node has another state, or another log, than the other nodes; predictions go on, and nothing is "
            "trained. convd's log says which. A state is made anew by itself; of another log, put the database file "
            "aside: started without one, the node joins anew"};
        err_set(&err, ERR_DIVERGED, "diverged");
        response_problem_row(call->response, &not_ready, &err);
    } else if (stats.log_shared && stats.log_reached_us == 0 && !stats.log_unreachable) {
        response_error(call->response, ERR_BUSY, "this node has not caught up with the shared log yet");
    } else if (stats.off != ERR_NONE) {
        static const struct problem not_ready = {
            ERR_DB_CORRUPT, 503, "Training is off",
            "the log is damaged; predictions are of the last revision that can be proved, and nothing is trained. "
            "convd's log and convd verify name the row"};
        err_set(&err, ERR_DB_CORRUPT, "training is off");
        response_problem_row(call->response, &not_ready, &err);
    } else {
        response_status(call->response, "ready");
    }
}

/* ---- /metrics ---- */

static void write_http(struct text *text, struct http *http)
{
    if (http == NULL)
        return; /* a request in the very first instant */
    struct http_counts c = http_counts(http);
    metrics_write_gauge(text, "convd_http_connections", "Open connections.", (double)c.connections_now);
    metrics_write_gauge(text, "convd_http_connections_max", "Limit of open connections.", (double)c.connections_max);
    metrics_write_counter(text, "convd_http_connections_total", "Accepted connections.", (double)c.connections_total);
    metrics_write_counter(text, "convd_http_connections_refused_total", "Connections refused at the limit.",
                          (double)c.refused);
    metrics_write_counter(text, "convd_http_connections_displaced_total",
                          "Connections closed to make room for new ones.", (double)c.displaced);
    metrics_write_counter(text, "convd_http_requests_unheard_total",
                          "Requests refused by libmicrohttpd for malformed headers or chunks.", (double)c.unheard);
    metrics_write_counter(text, "convd_http_requests_reaped_total", "Requests ended at their deadline.",
                          (double)c.reaped);
    metrics_write_gauge(text, "convd_http_requests_waiting", "Requests that wait for the trainer or an offload thread.",
                        (double)c.suspended_now);
    metrics_write_gauge(text, "convd_http_body_bytes", "Memory of large request bodies.", (double)c.body_bytes_now);
    metrics_write_gauge(text, "convd_http_reply_bytes", "Memory of large responses being sent.",
                        (double)c.reply_bytes_now);
}

static void write_offload(struct text *text, struct offload *offload)
{
    if (offload == NULL)
        return;
    const struct offload_counts c = offload_counts(offload);
    metrics_write_gauge(text, "convd_heavy_requests_waiting", "Heavy requests that wait for an offload thread.",
                        (double)c.waiting);
    metrics_write_gauge(text, "convd_heavy_requests_running", "Heavy requests being worked on.", (double)c.running);
    metrics_write_counter(text, "convd_heavy_requests_total", "Heavy requests accepted.", (double)c.total);
    metrics_write_counter(text, "convd_heavy_requests_refused_total", "Heavy requests refused: the queue was full.",
                          (double)c.refused);
    metrics_write_counter(text, "convd_heavy_requests_cancelled_total",
                          "Heavy requests ended early: deadline, client gone or shutdown.", (double)c.cancelled);
}

static void write_trainer(struct text *text, const struct trainer_stats *s)
{
    metrics_write_gauge(text, "convd_queue_jobs", "Commands that wait for the trainer.", (double)s->queued_commands);
    metrics_write_gauge(text, "convd_queue_samples", "Samples that wait for the trainer.", (double)s->queued_samples);
    metrics_write_gauge(text, "convd_queue_reads", "Requests that wait to read from the log.", (double)s->queued_reads);
    metrics_write_gauge(text, "convd_queue_bytes", "Memory of the trainer's queue.", (double)s->queued_bytes);
    metrics_write_counter(text, "convd_queue_refused_total", "Commands refused: the queue was full.",
                          (double)s->refused_busy);
    metrics_write_counter(text, "convd_trainer_rounds_total", "Group commits.", (double)s->rounds);
    metrics_write_counter(text, "convd_trainer_samples_total", "Samples learned since the start.", (double)s->samples);
    metrics_write_counter(text, "convd_rehearsed_steps_total", "Rehearsal steps since the start.",
                          (double)s->rehearsed);
    metrics_write_counter(text, "convd_idle_steps_total", "Idle rehearsal steps since the start.",
                          (double)s->idle_steps);
    metrics_write_counter(text, "convd_trainer_commit_seconds_total", "Time spent in commits.",
                          (double)s->commit_us / 1e6);
    metrics_write_counter(text, "convd_trainer_apply_seconds_total", "Time spent in training steps.",
                          (double)s->apply_us / 1e6);
    metrics_write_gauge(text, "convd_trainer_last_round_seconds", "Duration of the trainer's last round.",
                        (double)s->last_round_us / 1e6);
    metrics_write_counter(text, "convd_storage_errors_total", "Failed writes to the database.",
                          (double)s->storage_errors);
    metrics_write_gauge(text, "convd_storage_failed", "1: training has stopped until a restart.",
                        s->storage_failed ? 1 : 0);
    metrics_write_gauge(text, "convd_training_off",
                        "1: training is off: the log is damaged, the database file is lost, or this node has diverged.",
                        s->off != ERR_NONE ? 1 : 0);
    if (s->log_shared) {
        metrics_write_gauge(text, "convd_log_unreachable", "1: the shared log could not be reached when last tried.",
                            s->log_unreachable ? 1 : 0);
        metrics_write_gauge(text, "convd_log_diverged",
                            "1: training is off: others have another state or another log than this node.",
                            s->off == ERR_DIVERGED ? 1 : 0);
        metrics_write_gauge(text, "convd_log_compared_revision",
                            "Newest revision whose digest this node told, and no node told another; 0: none yet.",
                            (double)s->log_compared);
        metrics_write_gauge(text, "convd_log_standby", "1: PostgreSQL as this node has it is a standby, to read only.",
                            s->log_standby ? 1 : 0);
        metrics_write_gauge(text, "convd_log_standbys", "Standbys that PostgreSQL streams to.",
                            (double)s->log_standbys);
        metrics_write_gauge(text, "convd_log_standbys_synchronous", "Those of them that commits wait for.",
                            (double)s->log_standbys_sync);
        metrics_write_counter(text, "convd_log_mended_total",
                              "Times that the model was made anew since others had another state.",
                              (double)s->log_mended);
        metrics_write_gauge(text, "convd_log_age_seconds", "Since this node had all that is in the shared log.",
                            s->log_reached_us == 0 ? 0 : (double)(clock_us() - s->log_reached_us) / 1e6);
        metrics_write_counter(text, "convd_log_followed_total", "Events that other nodes appended.",
                              (double)s->log_followed);
        metrics_write_counter(text, "convd_log_late_total", "Groups that were appended anew: other nodes were first.",
                              (double)s->log_late);
    }
    metrics_write_gauge(text, "convd_storage_wal_bytes", "Size of the write-ahead log.", (double)s->wal_bytes);
    metrics_write_counter(text, "convd_snapshots_total", "Snapshots taken since the start.", (double)s->snapshots);
    metrics_write_gauge(text, "convd_baseline_revision", "Revision from which on the log replays.",
                        (double)s->baseline);
    metrics_write_counter(text, "convd_baselines_total", "Baselines made for --keep-samples since the start.",
                          (double)s->baselines);
    metrics_write_counter(text, "convd_samples_deleted_total", "Samples that --keep-samples deleted since the start.",
                          (double)s->compacted);
    metrics_write_gauge(text, "convd_snapshot_last_timestamp_seconds",
                        "Time of the last snapshot since the Unix epoch; 0: none yet.",
                        (double)s->last_snapshot_us / 1e6);
}

static void write_watchers(struct text *text, struct routes *routes)
{
    const struct events_counts c = events_counts(routes->events);
    metrics_write_gauge(text, "convd_event_readers", "Connected readers of GET /events.", (double)c.readers);
    metrics_write_counter(text, "convd_events_total", "Notices sent on GET /events.", (double)c.sent);
    metrics_write_counter(text, "convd_events_lost_total", "Notices dropped because their reader was too slow.",
                          (double)c.lost);
    metrics_write_counter(text, "convd_event_readers_refused_total", "Readers of GET /events refused at the limit.",
                          (double)c.refused);
    metrics_write_gauge(text, "convd_predictions_remembered", "Remembered predictions, which can be labelled later.",
                        (double)prediction_cache_count(routes->prediction_cache));
}

static void write_model(struct text *text, const struct learner *learner)
{
    const struct tally *tally = &learner->tally;
    uint64_t n = tally->samples < TALLY_RECENT ? tally->samples : TALLY_RECENT, correct = 0;
    for (uint64_t i = 0; i < n; i++)
        correct += tally->recent[i].label == tally->recent[i].predicted ? 1 : 0;
    metrics_write_gauge(text, "convd_model_revision", "Revision: the log position of the last event.",
                        (double)learner->revision);
    metrics_write_gauge(text, "convd_model_step", "Training steps of the weights.", (double)learner->step);
    metrics_write_gauge(text, "convd_model_refused_steps", "Steps refused to keep the weights within bounds.",
                        (double)learner->refused);
    metrics_write_gauge(text, "convd_model_classes", "Classes.", (double)learner->n_classes);
    metrics_write_counter(text, "convd_drift_alarms_total", "Drift alarms: the error rate rose.",
                          (double)tally->drift.alarms);
    text_add_string(text, "# HELP convd_warning Whether a warning is raised: GET /stats has its words.\n"
                          "# TYPE convd_warning gauge\n");
    for (int i = 0; i < HEALTH_N; i++)
        text_add_format(text, "convd_warning{code=\"%s\"} %d\n", health_code((enum health_warning)i),
                        health_raised(&learner->health, (enum health_warning)i));
    metrics_write_gauge(text, "convd_model_rate", "Size of the next step of gradient descent.",
                        (double)settings_rate(&learner->settings, learner->step));
    if (n > 0)
        metrics_write_gauge(text, "convd_model_recent_accuracy_ratio",
                            "Prequential (test-then-train) accuracy of the last 1000 samples.",
                            (double)correct / (double)n);
}

/* The process as every client library of Prometheus tells it: stock dashboards have these names. */
static void write_process(struct text *text, int64_t started_us)
{
    metrics_write_gauge(text, "process_start_time_seconds", "Start time of the process since the Unix epoch.",
                        (double)started_us / 1e6);
    struct timespec cpu;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        metrics_write_counter(text, "process_cpu_seconds_total", "Processor time spent, user and system.",
                              (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    FILE *statm = fopen("/proc/self/statm", "re");
    const double page = (double)sysconf(_SC_PAGESIZE);
    unsigned long all = 0, resident = 0;
    if (statm != NULL && fscanf(statm, "%lu %lu", &all, &resident) == 2) {
        metrics_write_gauge(text, "process_virtual_memory_bytes", "Virtual memory.", (double)all * page);
        metrics_write_gauge(text, "process_resident_memory_bytes", "Resident memory.", (double)resident * page);
    }
    if (statm != NULL)
        (void)fclose(statm);
    DIR *open = opendir("/proc/self/fd");
    if (open != NULL) {
        int n = -3; /* "." and "..", and the descriptor that looks */
        while (readdir(open) != NULL)
            n++;
        (void)closedir(open);
        metrics_write_gauge(text, "process_open_fds", "Open descriptors: files and sockets.", n);
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metrics_write_gauge(text, "process_max_fds", "Limit of open descriptors.", (double)limit.rlim_cur);
}

void route_metrics(const struct call *call)
{
    struct routes *routes = call->routes;
    struct text *text = &call->response->text;
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
    metrics_write_gauge(text, "convd_jobs_running", "Running jobs: rehearsals and edits.",
                        (double)jobs_running(trainer_jobs(routes->trainer)));
    write_watchers(text, routes);
    write_model(text, revision->learner);
    write_process(text, routes->started_us);
    model_release(routes->model, revision);
    response_text_done(call->response, 200, "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- /cluster: the shared log as this node sees it, and the others that follow it ---- */

struct view {
    struct shared_status status;
    struct err err;   /* why the log cannot be reached; code ERR_NONE: it can */
    struct mark same; /* revision 0: none */
};

static void view_free(void *memory)
{
    struct view *view = memory;
    free(view->status.nodes);
    free(view);
}

/* In the trainer's thread. A log that could not be reached a moment ago is not asked again. */
static int look(struct command *command, struct store *store, struct err *err)
{
    struct view *view = ((struct work *)command->context)->own;
    (void)store;
    (void)err;
    if (command->same != NULL)
        view->same = *command->same;
    if (command->log_err != NULL)
        view->err = *command->log_err;
    else
        (void)shared_status(command->shared, &view->status, &view->err);
    return 0;
}

static void write_server(struct json_writer *json, const struct log_server *server)
{
    json_write_object(json, "postgresql");
    json_write_string(json, "host", server->host);
    json_write_string(json, "version", server->version);
    json_write_bool(json, "standby", server->standby);
    json_write_u64(json, "standbys", server->standbys);
    json_write_u64(json, "standbys_synchronous", server->standbys_sync);
    json_write_string(json, "synchronous_standby_names", server->synchronous);
    json_write_end(json);
}

static void write_state(struct json_writer *json, const char *name, uint64_t revision,
                        const uint8_t digest[DIGEST_BYTES])
{
    if (revision == 0) {
        json_write_null(json, name);
        return;
    }
    json_write_object(json, name);
    json_write_u64(json, "revision", revision);
    json_write_hex(json, "digest", digest, DIGEST_BYTES);
    json_write_end(json);
}

static void write_nodes(struct json_writer *json, const struct shared_status *status)
{
    json_write_array(json, "nodes");
    for (size_t i = 0; i < status->n_nodes; i++) {
        const struct log_node *node = &status->nodes[i];
        json_write_object(json, NULL);
        json_write_string(json, "name", node->name);
        json_write_u64(json, "revision", node->revision);
        json_write_seconds(json, "told_seconds_ago", node->age_s);
        if (node->diverged < 0)
            json_write_null(json, "diverged");
        else
            json_write_bool(json, "diverged", node->diverged);
        write_state(json, "compared", node->compared, node->digest);
        json_write_end(json);
    }
    json_write_end(json);
}

static void show(struct work *work, struct response *response)
{
    const struct view *view = work->own;
    const struct routes *routes = work->routes;
    const bool reachable = view->err.code == ERR_NONE;
    const uint64_t revision = work->command.revision;
    struct json_writer json = response_begin(response);
    json_write_bool(&json, "shared", true);
    json_write_string(&json, "node", routes->node);
    json_write_bool(&json, "reachable", reachable);
    json_write_string(&json, "error", reachable ? NULL : view->err.text);
    json_write_u64(&json, "revision", revision);
    json_write_bool(&json, "diverged", trainer_stats(routes->trainer).off == ERR_DIVERGED);
    write_state(&json, "same", view->same.revision, view->same.digest);
    if (reachable) {
        const uint64_t head = view->status.head.revision;
        json_write_u64(&json, "head", head);
        json_write_u64(&json, "lag", head > revision ? head - revision : 0);
        write_server(&json, &view->status.server);
        write_nodes(&json, &view->status);
    }
    response_json(response, 200, &json);
}

void route_cluster(const struct call *call)
{
    if (!trainer_stats(call->routes->trainer).log_shared) {
        struct json_writer json = response_begin(call->response);
        json_write_bool(&json, "shared", false);
        response_json(call->response, 200, &json);
        return;
    }
    struct view *view = calloc(1, sizeof *view);
    if (view == NULL)
        call_no_memory(call, "what is told of the cluster");
    else
        call_read(call, view, view_free, look, show);
}

/* ---- /openapi.json ---- */

void route_openapi(const struct call *call)
{
    text_add(&call->response->text, openapi_json, openapi_json_bytes);
    response_text_done(call->response, 200, RESPONSE_JSON);
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
    (void)snprintf(base, sizeof base, "%s://%.256s", call->request->https ? "https" : "http", host);
    text_add_string(&call->response->text,
                    "convd " CONVD_VERSION ": an image classifier that learns while it answers.\n");
    /* The page is open to all, what the model is only to those who may read. */
    if (call->request->granted >= ACCESS_READ)
        text_add_format(&call->response->text, "%u x %u pixels, %u channel%s, %u classes; step %llu, revision %llu.\n",
                        s->width, s->height, s->channels, s->channels == 1 ? "" : "s", learner->n_classes,
                        (unsigned long long)learner->step, (unsigned long long)learner->revision);
    else
        text_add_string(&call->response->text, "Add to each line: -H \"Authorization: Bearer TOKEN\"\n");
    text_add_format(&call->response->text,
                    "\n"
                    "predict     curl --data-binary @7.png %s/predict\n"
                    "several     curl -F a=@7.png -F b=@8.png '%s/predict?top=3'\n"
                    "train       curl --data-binary @7.png '%s/train?label=7'\n"
                    "several     curl -F 7=@a.png -F 8=@b.png %s/train\n"
                    "rehearse    curl -d '{\"passes\": 3}' %s/rehearse\n"
                    "progress    curl %s/jobs\n"
                    "model       curl %s/model\n"
                    "tune        curl -X PATCH -d '{\"rate\": 0.02}' %s/model\n"
                    "classes     curl %s/classes\n"
                    "add class   curl -d '{\"label\": \"x\"}' %s/classes\n"
                    "rename      curl -X PATCH -d '{\"from\": \"x\", \"to\": \"y\"}' %s/classes\n"
                    "explain     curl -H 'Accept: image/png' --data-binary @7.png '%s/predict?explain=1' -o why.png\n"
                    "mistakes    curl '%s/samples?wrong=1'\n"
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
    response_text_done(call->response, 200, RESPONSE_TEXT);
}
