/* remote.c - see cli/remote.h */
#include "server/cli/remote.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/io.h"

#define SLICE_MAX       256u
#define SLICE_BYTES     (1u << 20)
#define RESPONSE_VALUES 200000u /* probabilities in one response; JSON_VALUES_MAX is five times as much */

static int not_convd(const char *what, struct err *err)
{
    return err_set(err, ERR_NETWORK, "the response has no \"%s\": is the daemon a convd of this version?", what);
}

int remote_parse(struct json **root, const struct client_reply *reply, struct err *err)
{
    struct err why = {0};
    *root = json_parse(reply->body, reply->n_body, &why);
    return *root != NULL ? 0 : err_set(err, ERR_NETWORK, "the response is not JSON: %.200s", why.text);
}

int remote_json(struct json **root, struct client *client, const char *method, const char *path, const char *body,
                struct err *err)
{
    struct client_reply reply = {0};
    struct client_request request = {.method = method,
                                     .path = path,
                                     .type = body != NULL ? "application/json" : NULL,
                                     .body = body,
                                     .n_body = body != NULL ? strlen(body) : 0,
                                     .safe = strcmp(method, "GET") == 0};
    *root = NULL;
    int status = client_send(client, &request, &reply, err);
    if (status == 0 && reply.n_body > 0)
        status = remote_parse(root, &reply, err);
    client_reply_fini(&reply);
    return status;
}

int remote_count(uint64_t *out, const struct json *object, const char *name, struct err *err)
{
    return json_whole(out, json_get(object, name), 0, JSON_WHOLE_MAX) ? 0 : not_convd(name, err);
}

/* ---- GET /model ---- */

static int read_shape(struct shape *shape, const struct json *model, uint32_t n_classes, struct err *err)
{
    const struct {
        const char *name;
        uint32_t *value;
    } members[] = {
        {"width", &shape->width},
        {"height", &shape->height},
        {"channels", &shape->channels},
        {"kernels", &shape->kernels},
        {"kernel_width", &shape->kernel_width},
        {"kernel_height", &shape->kernel_height},
        {"stride", &shape->stride},
        {"hidden", &shape->hidden},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        uint64_t value = 0;
        if (remote_count(&value, model, members[i].name, err) != 0)
            return -1;
        *members[i].value = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value; /* shape_check() refuses it */
    }
    struct err why = {0};
    return shape_check(shape, n_classes, &why) == 0
               ? 0
               : err_set(err, ERR_NETWORK, "the daemon's model has no valid geometry: %.200s", why.text);
}

/* Rate and the like are of no use here, but `fit` and `invert` are how pictures become inputs. */
static int read_settings(struct settings *settings, const struct json *model, struct err *err)
{
    const struct json *members = json_get(model, "settings");
    *settings = settings_default();
    for (int i = 0; i < SETTING_N; i++) {
        const struct json *member = json_get(members, setting_table[i].name);
        const char *word = json_string(member);
        int status = member == NULL && i >= SETTING_LATER ? 0 : -1;
        if (member != NULL && word != NULL)
            status = settings_set_text(settings, (enum setting)i, word, NULL);
        else if (member != NULL && json_type(member) == JSON_NUMBER)
            status = settings_set(settings, (enum setting)i, json_number(member), NULL);
        if (status != 0)
            return not_convd(setting_table[i].name, err);
    }
    if (settings->fit == FIT_AUTO && !json_bool(json_get(model, "drawings")))
        settings->fit = FIT_CONTAIN; /* learner_fit() */
    return 0;
}

static int read_labels(struct remote *remote, const struct json *model, struct err *err)
{
    const struct json *classes = json_get(model, "classes");
    size_t n = classes != NULL ? json_length(classes) : 0;
    if (classes == NULL || json_type(classes) != JSON_ARRAY || n > SHAPE_CLASSES_MAX)
        return not_convd("classes", err);
    char(*labels)[LABEL_BYTES_MAX + 1] = calloc(n + 1, sizeof *labels);
    if (labels == NULL)
        return err_memory(err, "%zu labels", n);
    size_t i = 0;
    for (const struct json *c = json_first(classes); c != NULL; c = json_next(c), i++) {
        const char *label = json_string(c);
        if (label == NULL || label_check(label, strlen(label), NULL) != 0) {
            free(labels);
            return not_convd("classes", err);
        }
        memcpy(labels[i], label, strlen(label)); /* label_check: at most LABEL_BYTES_MAX */
    }
    free(remote->labels);
    remote->labels = labels;
    remote->n_labels = n;
    return 0;
}

static int read_model(struct remote *remote, const struct json *model, struct err *err)
{
    const char *digest = json_string(json_get(model, "digest"));
    if (digest == NULL || strlen(digest) + 1 != sizeof remote->digest)
        return not_convd("digest", err);
    memcpy(remote->digest, digest, sizeof remote->digest);
    if (read_labels(remote, model, err) != 0 ||
        read_shape(&remote->shape, model, (uint32_t)remote->n_labels, err) != 0 ||
        read_settings(&remote->settings, model, err) != 0 ||
        remote_count(&remote->revision, model, "revision", err) != 0)
        return -1;
    return remote_count(&remote->step, model, "step", err);
}

int remote_refresh(struct remote *remote, struct err *err)
{
    struct json *model = NULL;
    int status = remote_json(&model, remote->client, "GET", "/model", NULL, err);
    if (status == 0)
        status = read_model(remote, model, err);
    json_free(model);
    return status;
}

int remote_open(struct remote *out, const char *url, struct err *err)
{
    *out = (struct remote){0};
    if (client_open(&out->client, url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err) == 0 &&
        remote_refresh(out, err) == 0)
        return 0;
    remote_close(out);
    return -1;
}

void remote_close(struct remote *remote)
{
    client_close(remote->client);
    free(remote->labels);
    *remote = (struct remote){0};
}

/* ---- POST /predict ---- */

uint32_t remote_slice(const struct remote *remote)
{
    uint32_t by_bytes = SLICE_BYTES / remote->shape.n_input;
    uint32_t by_response = RESPONSE_VALUES / ((uint32_t)remote->n_labels + 1); /* at least 195: SHAPE_CLASSES_MAX */
    uint32_t slice = by_bytes < by_response ? by_bytes : by_response;
    return slice < 1 ? 1 : slice > SLICE_MAX ? SLICE_MAX : slice;
}

static int read_row(double *row, const struct remote *remote, const struct json *prediction, struct err *err)
{
    const struct json *probabilities = json_get(prediction, "probabilities");
    if (probabilities == NULL)
        return not_convd("probabilities", err);
    size_t i = 0;
    for (const struct json *p = json_first(probabilities); p != NULL; p = json_next(p), i++) {
        if (i == remote->n_labels || strcmp(json_name(p), remote->labels[i]) != 0)
            break;
        row[i] = json_number(p);
    }
    if (i == remote->n_labels && json_length(probabilities) == i)
        return 0;
    return err_set(err, ERR_CONFLICT, "the daemon's classes changed meanwhile: try again");
}

int remote_predict(double *probabilities, struct remote *remote, const uint8_t *inputs, uint32_t n, struct err *err)
{
    struct client_request request = {.method = "POST",
                                     .path = "/predict",
                                     .type = "application/octet-stream",
                                     .body = inputs,
                                     .n_body = (size_t)n * remote->shape.n_input,
                                     .safe = true};
    struct client_reply reply = {0};
    struct json *root = NULL;
    assert(n > 0);
    int status = client_send(remote->client, &request, &reply, err);
    if (status == 0)
        status = remote_parse(&root, &reply, err);
    if (status == 0)
        status = remote_count(&remote->revision, root, "revision", err);
    if (status == 0)
        status = remote_count(&remote->step, root, "step", err);
    /* one image: the prediction is the document itself */
    const struct json *list = status == 0 ? json_get(root, "predictions") : NULL;
    const struct json *prediction = list != NULL ? json_first(list) : root;
    for (uint32_t i = 0; i < n && status == 0; i++) {
        if (prediction == NULL)
            status = not_convd("predictions", err);
        else
            status = read_row(probabilities + (size_t)i * remote->n_labels, remote, prediction, err);
        prediction = list != NULL && prediction != NULL ? json_next(prediction) : NULL;
    }
    json_free(root);
    client_reply_fini(&reply);
    return status;
}
