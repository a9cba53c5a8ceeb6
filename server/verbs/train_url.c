/* train_url.c - convd train --url: the data set to a running daemon, as raw inputs with ?label= or ?labels=; then a job of
 * the daemon for the later passes, watched until its end.
 *
 * The client fits the pictures, by the settings of the model and with the daemon's own code, so one way of sending serves
 * all files. Every request has an Idempotency-Key of its own: where the connection breaks and nobody knows whether the
 * daemon has learned, client_send() asks again with the same key, and the daemon learns it once.
 */
#include "server/verbs/train.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/cli/batch.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/cli/remote.h"

#define LOOK_NS        200000000L /* between two looks at a job */
#define PATH_BYTES_MAX 4000u      /* of the request line: the daemon reads longer ones, too, but not without end */

struct upload {
    struct remote remote;
    struct training *training;
    char key[33];      /* of this run             */
    uint64_t n_slices; /* each has key-1, key-2, .. */
    const char *flat;  /* of the query: what --flat is   */
    char path[PATH_BYTES_MAX];
};

/* POST a document whose one member is that. */
static int post_member(struct remote *remote, const char *method, const char *path, const char *name, const char *text,
                       double number, struct err *err)
{
    struct json *ask = json_object();
    struct json *answer = NULL;
    if (text != NULL)
        json_add_string(ask, name, text);
    else
        json_add_number(ask, name, number);
    char *body = json_print(ask, false);
    int status = body == NULL ? err_set(err, ERR_MEMORY, "not enough memory for a request")
                              : remote_json(&answer, remote->client, method, path, body, err);
    json_free(answer);
    json_free(ask);
    free(body);
    return status;
}

static int add_classes(struct remote *remote, const struct dataset *dataset, struct err *err)
{
    struct cli_labels known = {0};
    const char *const *labels = NULL;
    size_t n = dataset_labels(dataset, &labels);
    size_t added = 0;
    if (cli_labels_init(&known, (const char(*)[LABEL_BYTES_MAX + 1]) remote->labels, remote->n_labels, err) != 0)
        return -1;
    int status = 0;
    for (size_t i = 0; i < n && status == 0; i++) {
        if (cli_labels_find(&known, labels[i]) >= 0)
            continue;
        status = post_member(remote, "POST", "/classes", "label", labels[i], 0, err);
        if (status == 0)
            (void)fprintf(stderr, "convd: class \"%s\" was added\n", labels[i]);
        added++;
    }
    cli_labels_fini(&known);
    return status == 0 && added > 0 ? remote_refresh(remote, err) : status;
}

/* A rate that is to stay: set without decay_steps, it has none. */
static int tune_rate(struct remote *remote, double rate, struct err *err)
{
    if (rate == settings_get(&remote->settings, SETTING_RATE) && remote->settings.decay_steps == 0.0F)
        return 0;
    if (post_member(remote, "PATCH", "/model", "rate", NULL, rate, err) != 0)
        return -1;
    remote->settings.decay_steps = 0.0F;
    return settings_set(&remote->settings, SETTING_RATE, rate, err);
}

static int tune_as_asked(struct remote *remote, const char *text, struct err *err)
{
    struct settings wanted = remote->settings;
    if (settings_set_text(&wanted, SETTING_RATE, text, err) != 0)
        return -1;
    return tune_rate(remote, settings_get(&wanted, SETTING_RATE), err);
}

/* Writes "/train?labels=7,2,1" for as many of the samples as fit; returns how many. A comma in a label would read as two
 * labels, so such samples go alone, with ?label=. */
static uint32_t write_path(struct upload *upload, const struct sample *samples, uint32_t n)
{
    const struct remote *remote = &upload->remote;
    char *path = upload->path;
    uint32_t i = 0;
    const char *first = remote->labels[samples[0].label];
    if (n == 1 || strchr(first, ',') != NULL) {
        (void)snprintf(path, PATH_BYTES_MAX, "/train?%slabel=", upload->flat);
        int fits = client_escape(path, PATH_BYTES_MAX, first); /* 64 bytes, 192 when escaped */
        assert(fits == 0);
        (void)fits;
        return 1;
    }
    (void)snprintf(path, PATH_BYTES_MAX, "/train?%slabels=", upload->flat);
    for (; i < n; i++) {
        const char *label = remote->labels[samples[i].label];
        size_t length = strlen(path);
        if (strchr(label, ',') != NULL || length + 2 > PATH_BYTES_MAX)
            break;
        if (i > 0)
            (void)snprintf(path + length, PATH_BYTES_MAX - length, ",");
        if (client_escape(path, PATH_BYTES_MAX, label) != 0) {
            path[length] = '\0';
            break;
        }
    }
    return i;
}

static int take_answer(struct training *t, const struct json *root, uint32_t n, struct err *err)
{
    uint64_t accepted = 0;
    uint64_t correct = 0;
    const struct json *loss = json_get(root, "loss");
    const struct json *ids = json_get(root, "samples");
    const struct json *first = ids != NULL ? json_first(ids) : NULL;
    const struct json *last = first != NULL ? json_next(first) : NULL;
    if (remote_count(&accepted, root, "accepted", err) != 0 || remote_count(&correct, root, "correct", err) != 0 ||
        remote_count(&t->revision, root, "revision", err) != 0 || remote_count(&t->step, root, "step", err) != 0)
        return -1;
    if (accepted != n || loss == NULL || last == NULL)
        return err_set(err, ERR_NETWORK, "%u images were sent, but the daemon says that it took %llu", n,
                       (unsigned long long)accepted);
    if (t->samples == 0)
        t->first_id = (int64_t)json_number(first);
    t->last_id = (int64_t)json_number(last);
    t->samples += n;
    t->steps += n;
    t->correct += correct;
    t->loss_sum += json_number(loss) * n;
    return 0;
}

static int send_slice(struct upload *upload, const struct sample *samples, uint32_t n, struct err *err)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s-%llu", upload->key, (unsigned long long)++upload->n_slices);
    struct client_request request = {.method = "POST",
                                     .path = upload->path,
                                     .type = "application/octet-stream",
                                     .body = samples[0].pixels, /* one after the other: see cli/batch.h */
                                     .n_body = (size_t)n * upload->remote.shape.n_input,
                                     .key = key};
    struct client_reply reply = {0};
    struct json *root = NULL;
    int status = client_send(upload->remote.client, &request, &reply, err);
    if (status == 0)
        status = remote_parse(&root, &reply, err);
    if (status == 0)
        status = take_answer(upload->training, root, n, err);
    json_free(root);
    client_reply_fini(&reply);
    return status;
}

static int send_batch(struct upload *upload, const struct cli_batch *batch, struct err *err)
{
    for (uint32_t at = 0; at < batch->n && !cli_stop();) {
        uint32_t n = write_path(upload, &batch->samples[at], batch->n - at);
        assert(n > 0);
        if (send_slice(upload, &batch->samples[at], n, err) != 0)
            return -1;
        at += n;
    }
    return 0;
}

static int send_all(struct upload *upload, const struct cli_args *args, struct dataset *dataset, struct err *err)
{
    struct remote *remote = &upload->remote;
    struct training *t = upload->training;
    struct cli_labels labels = {0};
    struct cli_batch batch = {0};
    struct progress progress;
    int status = -1;
    uint32_t wanted = (uint32_t)cli_count(args, "batch");
    uint32_t slice = remote_slice(remote);

    progress_start(&progress, "training", 0, cli_quiet(args));
    if (cli_labels_init(&labels, (const char(*)[LABEL_BYTES_MAX + 1]) remote->labels, remote->n_labels, err) != 0 ||
        cli_labels_cover(&labels, dataset, "; --add-classes adds what is missing", err) != 0 ||
        cli_batch_init(&batch, &remote->shape, wanted < slice ? wanted : slice, cli_count(args, "limit"), err) != 0)
        goto out;
    batch.no_flat = !cli_on(args, "flat");
    upload->flat = cli_on(args, "flat") ? "flat=allow&" : "";
    progress.total = cli_batch_total(&batch, dataset);
    while (!cli_stop()) {
        if (cli_batch_fill(&batch, dataset, &remote->shape, &remote->settings, &labels, err) != 0 ||
            (batch.n > 0 && send_batch(upload, &batch, err) != 0))
            goto out;
        if (batch.n == 0)
            break;
        char note[40];
        progress_update(&progress, t->samples, train_note(note, t));
    }
    status = 0;
out:
    progress_finish(&progress);
    t->seconds = progress_seconds(&progress);
    t->interrupted = cli_stop();
    t->passes = status == 0 && !t->interrupted;
    t->flat = batch.flat;
    if (status != 0 && err->code == ERR_STOPPING)
        status = 0; /* interrupted in a request: what was answered counts */
    else if (status != 0 && t->samples > 0)
        err_wrap(err, "%llu images were learned, then", (unsigned long long)t->samples);
    cli_batch_fini(&batch);
    cli_labels_fini(&labels);
    return status;
}

/* ---- the later passes ---- */

static char *rehearse_body(const struct rehearse_ask *ask)
{
    struct json *root = json_object();
    json_add_number(root, "passes", (double)ask->passes);
    if (!isnan(ask->rate))
        json_add_number(root, "rate", ask->rate);
    json_add_number(root, "decay", ask->decay);
    if (!isnan(ask->jitter))
        json_add_number(root, "jitter", ask->jitter);
    if (!isnan(ask->rotation))
        json_add_number(root, "rotation", ask->rotation);
    if (ask->last_id != 0) {
        struct json *samples = json_add_array(root, "samples");
        json_add_number(samples, NULL, (double)ask->first_id);
        json_add_number(samples, NULL, (double)ask->last_id);
    }
    char *body = json_print(root, false);
    json_free(root);
    return body;
}

/* What GET /jobs/{id} says. */
struct remote_job {
    uint64_t id, steps, steps_total, pass, passes, revision;
    char state[16], error[200];
};

static int read_job(struct remote_job *job, const struct json *root, struct err *err)
{
    const char *state = json_string(json_get(root, "state")), *error = json_string(json_get(root, "error"));
    *job = (struct remote_job){0};
    if (state == NULL)
        return err_set(err, ERR_NETWORK, "the answer is not that of a job");
    (void)snprintf(job->state, sizeof job->state, "%s", state);
    (void)snprintf(job->error, sizeof job->error, "%s", error != NULL ? error : "somebody ended it");
    if (remote_count(&job->id, root, "id", err) != 0 || remote_count(&job->steps, root, "steps", err) != 0 ||
        remote_count(&job->steps_total, root, "steps_total", err) != 0 ||
        remote_count(&job->pass, root, "pass", err) != 0 || remote_count(&job->passes, root, "passes", err) != 0)
        return -1;
    return remote_count(&job->revision, root, "revision", err);
}

static int ask_job(struct remote_job *job, struct remote *remote, const char *method, const char *path,
                   const char *body, struct err *err)
{
    struct json *root = NULL;
    int status = remote_json(&root, remote->client, method, path, body, err);
    if (status == 0)
        status = read_job(job, root, err);
    json_free(root);
    return status;
}

/* The step size of the pass that it came to, as the daemon counts it. */
static double last_rate(const struct rehearse_ask *ask, const struct remote_job *job)
{
    float rate = (float)ask->rate;
    for (uint64_t pass = 1; pass < job->pass; pass++)
        rate = (float)((double)rate * ask->decay);
    return (double)rate;
}

static void take_job(struct training *t, const struct remote_job *job, uint64_t steps, uint64_t passes)
{
    const bool done = strcmp(job->state, "done") == 0;
    t->rehearsed = job->steps_total / job->passes;
    t->steps = steps + job->steps;
    t->passes = passes + (done ? job->passes : job->pass - 1);
}

/* Looks five times a second until the job has ended, or ends it when the person wishes to stop. */
static int follow_job(struct remote_job *job, struct upload *upload, const struct cli_args *args, struct err *err)
{
    struct training *t = upload->training;
    const uint64_t steps = t->steps, passes = t->passes;
    char path[40], what[TRAIN_WHAT_BYTES];
    struct progress progress;
    int status = 0;
    (void)snprintf(path, sizeof path, "/jobs/%llu", (unsigned long long)job->id);
    progress_start(&progress, what, job->steps_total, cli_quiet(args));
    take_job(t, job, steps, passes);
    while (status == 0 && strcmp(job->state, "running") == 0) {
        (void)train_what(what, passes + job->pass, passes + job->passes);
        progress_update(&progress, job->steps, NULL);
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL); /* a signal ends it early */
        status = cli_stop() ? -1 : ask_job(job, &upload->remote, "GET", path, NULL, err);
        if (status != 0 && cli_stop()) {
            status = ask_job(job, &upload->remote, "DELETE", path, NULL, err);
            if (status != 0 && err->code == ERR_CONFLICT) {
                status = 0; /* it ended in this very moment */
                break;
            }
        }
        if (status == 0)
            take_job(t, job, steps, passes);
    }
    progress_finish(&progress);
    if (status != 0)
        return err_wrap(err, "job %llu was at step %llu of %llu, then", (unsigned long long)job->id,
                        (unsigned long long)job->steps, (unsigned long long)job->steps_total);
    if (strcmp(job->state, "done") != 0 && !cli_stop())
        return err_set(err, ERR_NETWORK, "job %llu %s: %s", (unsigned long long)job->id, job->state, job->error);
    return 0;
}

static int rehearse(struct upload *upload, const struct rehearse_ask *ask, const struct cli_args *args, struct err *err)
{
    struct remote *remote = &upload->remote;
    struct training *t = upload->training;
    struct remote_job job;
    struct progress clock;
    char *body = rehearse_body(ask);
    if (body == NULL)
        return err_set(err, ERR_MEMORY, "not enough memory for a request");
    progress_start(&clock, "", 0, true);
    int status = ask_job(&job, remote, "POST", "/rehearse", body, err);
    free(body);
    if (status == 0)
        status = follow_job(&job, upload, args, err);
    t->seconds += progress_seconds(&clock);
    if (status != 0)
        return -1;
    if (ask->decay < 1 && job.steps > 0 && tune_rate(remote, last_rate(ask, &job), err) != 0)
        return -1;
    if (cli_stop() || remote_refresh(remote, err) != 0) { /* after a wish to stop, nothing more is asked */
        t->revision = job.revision;
        t->step += job.steps;
        return cli_stop() ? 0 : -1;
    }
    t->revision = remote->revision;
    t->step = remote->step;
    return 0;
}

int train_url(struct training *training, const char *url, const struct cli_args *args, struct dataset *dataset,
              struct err *err)
{
    struct upload upload = {.training = training};
    if (remote_open(&upload.remote, url, err) != 0)
        return -1;
    training->revision = upload.remote.revision;
    training->step = upload.remote.step;
    int status = client_key(upload.key, err);
    if (status == 0 && dataset != NULL)
        status = dataset_look(dataset, &upload.remote.shape, &upload.remote.settings, cli_on(args, "strict"), err);
    if (status == 0 && cli_stop())
        dataset = NULL;
    if (status == 0 && dataset != NULL && cli_on(args, "add-classes"))
        status = add_classes(&upload.remote, dataset, err);
    if (status == 0 && cli_given(args, "rate"))
        status = tune_as_asked(&upload.remote, cli_text(args, "rate"), err);
    if (status == 0 && dataset != NULL)
        status = send_all(&upload, args, dataset, err);
    struct rehearse_ask ask;
    if (status == 0 && train_ask(&ask, training, args, &upload.remote.settings, training->step) && !cli_stop())
        status = rehearse(&upload, &ask, args, err);
    training->interrupted = cli_stop();
    remote_close(&upload.remote);
    return status;
}
