/* train_url.c - convd train --url: the data set to a running daemon, as raw inputs with ?label= or ?labels=; then a job of
 * the daemon for the later passes.
 *
 * The client fits the pictures, by the settings of the model and with the daemon's own code, so one way of sending serves
 * all files. Every request has an Idempotency-Key of its own: where the connection breaks and nobody knows whether the
 * daemon has learned, client_send() asks again with the same key, and the daemon learns it once.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/io.h"
#include "server/verbs/train.h"

#define PATH_BYTES_MAX 4000u /* of the request line: the daemon reads longer ones, too, but not without end */

struct upload {
    char key[33];      /* of this run                  */
    uint64_t n_slices; /* each has key-1, key-2, ..    */
    const char *flat;  /* of the query: what --flat is */
    char path[PATH_BYTES_MAX];
};

static int open_url(struct target *t, const char *url, const struct cli_args *args, struct err *err)
{
    if (remote_open(&t->remote, url, err) != 0)
        return -1;
    t->upload = calloc(1, sizeof *t->upload);
    if (t->upload == NULL)
        return err_memory(err, "a request");
    t->upload->flat = cli_on(args, "flat") ? "flat=allow&" : "";
    return client_key(t->upload->key, err);
}

static int close_url(struct target *t, struct err *err)
{
    (void)err;
    remote_close(&t->remote);
    free(t->upload);
    return 0;
}

static int refresh(struct target *t, struct err *err)
{
    return remote_refresh(&t->remote, err);
}

/* POST a document whose one member is that. */
static int post_member(struct remote *remote, const char *method, const char *path, const char *name, const char *word,
                       double number, struct err *err)
{
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    struct json *response = NULL;
    if (word != NULL)
        json_write_string(&json, name, word);
    else
        json_write_number(&json, name, number);
    json_write_end(&json);
    char *body = text_take(&text);
    int status =
        body == NULL ? err_memory(err, "a request") : remote_json(&response, remote->client, method, path, body, err);
    json_free(response);
    free(body);
    return status;
}

static int add_class(struct target *t, const char *label, struct err *err)
{
    return post_member(&t->remote, "POST", "/classes", "label", label, 0, err);
}

/* Set without decay_steps, it has none. */
static int tune_rate(struct target *t, double rate, struct err *err)
{
    return post_member(&t->remote, "PATCH", "/model", "rate", NULL, rate, err);
}

/* ---- the data set ---- */

/* Writes "/train?labels=7,2,1" for as many of the samples as fit; returns how many. A comma in a label would read as two
 * labels, so such samples go alone, with ?label=. */
static uint32_t write_path(struct target *t, const struct sample *samples, uint32_t n)
{
    struct upload *upload = t->upload;
    char *path = upload->path;
    uint32_t i = 0;
    const char *first = t->remote.labels[samples[0].label];
    if (n == 1 || strchr(first, ',') != NULL) {
        (void)snprintf(path, PATH_BYTES_MAX, "/train?%slabel=", upload->flat);
        int fits = client_escape(path, PATH_BYTES_MAX, first); /* 64 bytes, 192 when escaped */
        assert(fits == 0);
        (void)fits;
        return 1;
    }
    (void)snprintf(path, PATH_BYTES_MAX, "/train?%slabels=", upload->flat);
    for (; i < n; i++) {
        const char *label = t->remote.labels[samples[i].label];
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

static int take_response(struct training *t, const struct json *root, uint32_t n, struct err *err)
{
    uint64_t accepted = 0, correct = 0, revision = 0;
    struct store_trained trained = {.n = n};
    const struct json *loss = json_get(root, "loss");
    const struct json *ids = json_get(root, "samples");
    const struct json *first = ids != NULL ? json_first(ids) : NULL;
    const struct json *last = first != NULL ? json_next(first) : NULL;
    if (remote_count(&accepted, root, "accepted", err) != 0 || remote_count(&correct, root, "correct", err) != 0 ||
        remote_count(&revision, root, "revision", err) != 0 || remote_count(&trained.step, root, "step", err) != 0)
        return -1;
    if (accepted != n || loss == NULL || last == NULL)
        return err_set(err, ERR_NETWORK, "%u images were sent, but the daemon accepted %llu", n,
                       (unsigned long long)accepted);
    trained.correct = (uint32_t)correct;
    trained.loss = json_number(loss);
    trained.first_id = (int64_t)json_number(first);
    trained.last_id = (int64_t)json_number(last);
    train_count(t, &trained, revision);
    return 0;
}

static int send_slice(struct target *t, const struct sample *samples, uint32_t n, struct err *err)
{
    struct upload *upload = t->upload;
    char key[64];
    (void)snprintf(key, sizeof key, "%s-%llu", upload->key, (unsigned long long)++upload->n_slices);
    struct client_request request = {.method = "POST",
                                     .path = upload->path,
                                     .type = "application/octet-stream",
                                     .body = samples[0].pixels, /* one after the other: see cli/batch.h */
                                     .n_body = (size_t)n * t->remote.shape.n_input,
                                     .key = key};
    struct client_reply reply = {0};
    struct json *root = NULL;
    int status = client_send(t->remote.client, &request, &reply, err);
    if (status == 0)
        status = remote_parse(&root, &reply, err);
    if (status == 0)
        status = take_response(t->training, root, n, err);
    json_free(root);
    client_reply_fini(&reply);
    return status;
}

static int send_batch(struct target *t, const struct cli_batch *batch, struct err *err)
{
    for (uint32_t at = 0; at < batch->n && !cli_stop();) {
        uint32_t n = write_path(t, &batch->samples[at], batch->n - at);
        assert(n > 0);
        if (send_slice(t, &batch->samples[at], n, err) != 0)
            return -1;
        at += n;
    }
    return 0;
}

/* ---- the later passes ---- */

static char *rehearse_body(const struct rehearse_options *options)
{
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_u64(&json, "passes", options->passes);
    if (!isnan(options->rate))
        json_write_number(&json, "rate", options->rate);
    json_write_number(&json, "decay", options->decay);
    if (!isnan(options->jitter))
        json_write_number(&json, "jitter", options->jitter);
    if (!isnan(options->rotation))
        json_write_number(&json, "rotation", options->rotation);
    if (options->last_id != 0) {
        json_write_array(&json, "samples");
        json_write_i64(&json, NULL, options->first_id);
        json_write_i64(&json, NULL, options->last_id);
        json_write_end(&json);
    }
    json_write_end(&json);
    return text_take(&text);
}

static int rehearse(struct target *t, const struct rehearse_options *options, struct follow *job, struct err *err)
{
    *job = (struct follow){.client = t->remote.client};
    char *body = rehearse_body(options);
    int status = body != NULL ? follow_request(job, "POST", "/rehearse", body, err) : err_memory(err, "a request");
    free(body);
    return status;
}

static int cancel(struct target *t, struct follow *job, struct err *err)
{
    char path[40];
    (void)t;
    (void)snprintf(path, sizeof path, "/jobs/%llu", (unsigned long long)job->id);
    return follow_request(job, "DELETE", path, NULL, err);
}

/* What was learned stays so, also where the daemon cannot be asked. */
static void warn(struct target *t)
{
    struct json *stats = NULL;
    struct err why;
    if (cli_stop()) /* after a wish to stop, a daemon is asked nothing more */
        return;
    if (remote_json(&stats, t->remote.client, "GET", "/stats", NULL, &why) != 0)
        cli_say(stderr, "convd: warnings of the model are not known: %s\n", why.text);
    const struct json *warnings = json_get(stats, "warnings");
    for (const struct json *w = warnings != NULL ? json_first(warnings) : NULL; w != NULL; w = json_next(w)) {
        const char *text = json_string(json_get(w, "text"));
        cli_say(stderr, "convd: warning: %s\n", text != NULL ? text : "");
    }
    json_free(stats);
}

const struct train_way train_way_url = {.open = open_url,
                                        .close = close_url,
                                        .refresh = refresh,
                                        .add_class = add_class,
                                        .tune_rate = tune_rate,
                                        .send = send_batch,
                                        .rehearse = rehearse,
                                        .cancel = cancel,
                                        .warn = warn};
