/* predictions.c - /predictions: those that were remembered (model/prediction_cache.h), and their labels.
 *
 * A label trains on the remembered image, as POST /train would: what the tally counts is what the model says of it just before its step,
 * so that an edit of the past makes that anew, too. It is safe to repeat: the job has an Idempotency-Key that no client can send, made of the prediction's id, and the label for its
 * fingerprint. So the same label gets the first answer again, also when the prediction is forgotten, after a restart
 * too, as long as keys are kept; another label is a conflict. Where the prediction outlives its key, all that is known is that it was
 * labelled, and any label is one. A flat image (image/image.h) is trained on
 * with ?flat=allow only.
 */
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/label_take.h"
#include "server/image/image.h"
#include "server/image/input_png.h"
#include "server/routes/handlers.h"

#define LIMIT_DEFAULT 50u
#define LIMIT_MAX     500u
#define LIST_LIGHT    2000u /* predictions, to be put in order: half a millisecond */

static void not_found(struct answer *answer, int64_t id)
{
    struct err err;
    err_set(
        &err, ERR_NOT_FOUND,
        "prediction %lld is not remembered (any more); POST /predict?remember=1 makes one, GET /predictions lists them",
        (long long)id);
    answer_problem(answer, &err);
}

/* ---- JSON ---- */

static void add_label(struct text *text, const struct learner *learner, int64_t index)
{
    if (index >= 0 && index < learner->n_classes)
        text_add_quoted(text, learner->labels[index], strlen(learner->labels[index]));
    else
        text_add_string(text, "null"); /* none, or going back took the class away */
}

/* What is of other classes than the model's is forgotten; returns since when they are as they are. */
static uint64_t forget_others(const struct routes *routes)
{
    const uint64_t columns = trainer_columns(routes->trainer);
    remember_columns(routes->remember, columns);
    return columns;
}

/* The revision whose classes the columns mean of what was looked up after forget_others(). NULL: they have changed since; look again. */
static struct revision *acquire_since(const struct routes *routes, uint64_t columns)
{
    struct revision *revision = model_acquire(routes->model);
    if (trainer_columns(routes->trainer) == columns)
        return revision;
    model_release(routes->model, revision);
    return NULL;
}

static void add_remembered(struct text *text, const struct remembered *r, const struct learner *learner)
{
    text_add_format(text, "{\"id\":\"%lld\",\"label\":", (long long)r->id);
    add_label(text, learner, r->top[0]);
    text_add_string(text, ",\"confidence\":");
    text_add_fixed9(text, (double)r->probability[0]);
    text_add_string(text, ",\"probabilities\":{");
    bool first = true;
    for (uint32_t i = 0; i < r->n_top; i++) {
        if (r->top[i] >= learner->n_classes)
            continue;
        if (!first)
            text_add(text, ",", 1);
        first = false;
        add_label(text, learner, r->top[i]);
        text_add(text, ":", 1);
        text_add_fixed9(text, (double)r->probability[i]);
    }
    text_add_format(text, "},\"step\":%llu,\"revision\":%llu,\"created\":", (unsigned long long)r->step,
                    (unsigned long long)r->revision);
    text_add_time(text, r->id);
    text_add_string(text, ",\"labelled\":");
    add_label(text, learner, r->label);
    text_add(text, "}", 1);
}

/* ---- GET /predictions ---- */

static int take_order(enum remember_order *order, const struct request *request, struct err *err)
{
    const char *word = request_param(request, "order");
    *order = REMEMBER_UNCERTAIN;
    if (word == NULL || strcmp(word, "uncertain") == 0)
        return 0;
    *order = REMEMBER_NEWEST;
    return strcmp(word, "newest") == 0 ? 0 : err_set(err, ERR_VALUE, "?order must be uncertain or newest");
}

void route_predictions_get(const struct call *call)
{
    struct text *text = &call->answer->text;
    enum remember_order order;
    uint64_t limit = LIMIT_DEFAULT;
    size_t all = 0;
    long n = -1;
    struct err err;
    struct remembered *list = NULL;
    struct revision *revision = NULL;
    if (remember_count(call->routes->remember) > LIST_LIGHT && call_offload(call, route_predictions_get, OFFLOAD_SHORT))
        return;
    if (take_order(&order, call->request, &err) == 0 &&
        request_param_number(call->request, "limit", 1, LIMIT_MAX, &limit, &err) == 0) {
        list = calloc(limit, sizeof *list);
        if (list == NULL)
            err_set(&err, ERR_MEMORY, "no memory for a list of predictions");
        while (list != NULL && revision == NULL) {
            const uint64_t columns = forget_others(call->routes);
            n = remember_list(call->routes->remember, order, list, limit, &all, &err);
            if (n < 0)
                break;
            revision = acquire_since(call->routes, columns);
        }
    }
    if (n < 0) {
        routes_problem(call->routes, call->answer, &err);
    } else {
        text_add_string(text, "{\"predictions\":[");
        for (long i = 0; i < n; i++) {
            if (i > 0)
                text_add(text, ",", 1);
            add_remembered(text, &list[i], revision->learner);
        }
        text_add_format(text, "],\"remembered\":%zu}\n", all);
        model_release(call->routes->model, revision);
        answer_text_done(call->answer, 200, ANSWER_JSON);
    }
    free(list);
}

/* ---- one ---- */

void route_prediction_get(const struct call *call)
{
    struct remembered found;
    struct revision *revision = NULL;
    while (revision == NULL) {
        const uint64_t columns = forget_others(call->routes);
        if (!remember_find(call->routes->remember, call->id, &found)) {
            not_found(call->answer, call->id);
            return;
        }
        revision = acquire_since(call->routes, columns);
    }
    add_remembered(&call->answer->text, &found, revision->learner);
    text_add(&call->answer->text, "\n", 1);
    model_release(call->routes->model, revision);
    answer_text_done(call->answer, 200, ANSWER_JSON);
}

void route_prediction_delete(const struct call *call)
{
    if (remember_drop(call->routes->remember, call->id))
        call->answer->status = 204;
    else
        not_found(call->answer, call->id);
}

/* Its image, malloc'ed. NULL: answered. */
static uint8_t *copy_image(const struct call *call, const struct shape *shape)
{
    uint8_t *pixels = malloc(shape->n_input);
    if (pixels == NULL) {
        struct err err;
        err_set(&err, ERR_MEMORY, "no memory for an image");
        routes_problem(call->routes, call->answer, &err);
    } else if (!remember_image(call->routes->remember, call->id, pixels, shape->n_input)) {
        free(pixels);
        pixels = NULL;
        not_found(call->answer, call->id);
    }
    return pixels;
}

static struct shape shape_of(const struct call *call)
{
    struct revision *revision = model_acquire(call->routes->model);
    const struct shape shape = revision->learner->shape; /* the same in all revisions */
    model_release(call->routes->model, revision);
    return shape;
}

void route_prediction_image(const struct call *call)
{
    const struct shape shape = shape_of(call);
    uint64_t scale = 1;
    uint8_t *png = NULL;
    size_t n_png = 0;
    struct err err;
    if (request_param_number(call->request, "scale", 1, PLANES_SCALE_MAX, &scale, &err) != 0) {
        answer_problem(call->answer, &err);
        return;
    }
    if (call_heavy_picture(call, &shape, (uint32_t)scale) && call_offload(call, route_prediction_image, OFFLOAD_LONG))
        return;
    uint8_t *pixels = copy_image(call, &shape);
    if (pixels == NULL)
        return;
    if (planes_png(&png, &n_png, pixels, &shape, (uint32_t)scale, &err) == 0)
        answer_blob(call->answer, "image/png", png, n_png);
    else
        routes_problem(call->routes, call->answer, &err);
    free(pixels);
}

/* ---- POST /predictions/{id}/label ---- */

/* No client can send this: a key from outside is printable (routes/train.c). */
static void write_key(char key[STORE_KEY_BYTES_MAX + 1], int64_t id)
{
    (void)snprintf(key, STORE_KEY_BYTES_MAX + 1, "\x02prediction %lld", (long long)id);
}

static void write_fingerprint(uint8_t fingerprint[32], const char *label)
{
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, strlen(label), (const uint8_t *)label);
    sha256_digest(&sha, 32, fingerprint);
}

static int other_label(struct err *err, int64_t id)
{
    return err_set(err, ERR_CONFLICT, "prediction %lld was given another label before", (long long)id);
}

static void labelled(struct work *work, struct answer *answer)
{
    char *text = work->job.replayed_answer;
    work->job.replayed_answer = NULL;
    if (text == NULL)
        text = train_render_answer(&work->job);
    if (text != NULL)
        text_add_string(&answer->text, text);
    else
        answer->text.failed = true;
    free(text);
    answer_revision(answer, work->job.revision);
    answer_text_done(answer, 200, ANSWER_JSON);
}

/* In the trainer's thread. */
static void label_done(struct job *job)
{
    struct work *work = job->context;
    if (job->status == 0)
        remember_label(work->routes->remember, work->id, work->samples[0].label);
    else if (job->err.code == ERR_KEY_REUSED)
        other_label(&job->err, work->id);
    http_pending_done(&work->pending); /* the work may be gone afterwards */
}

/* The prediction is forgotten, or has a label, or the label's class is not there (any more), or it is flat (*own says so). If it was labelled before that,
 * the key knows. */
static int look_for_key(struct job *job, struct store *store, struct err *err)
{
    const struct work *work = job->context;
    const int found = trainer_key_known(job, store, work->key, err);
    if (found < 0 && err->code == ERR_KEY_REUSED)
        return other_label(err, work->id);
    if (found != 0)
        return found == 1 ? 0 : -1;
    if (work->own == NULL)
        return err_set(err, ERR_NOT_FOUND, "prediction %lld is not remembered (any more)", (long long)work->id);
    *err = *(const struct err *)work->own;
    return -1;
}

/* What the body says. */
struct wanted {
    char label[LABEL_BYTES_MAX + 1];
    uint32_t index; /* of its class, as of that revision                       */
    uint64_t as_of;
    struct err
        *refusal; /* NULL, or why it can only be a retry: there is no such class, a flat image, or a label; free() */
};

static int put_off(struct wanted *wanted, struct err *err)
{
    wanted->refusal = malloc(sizeof *err);
    if (wanted->refusal == NULL)
        return err_set(err, ERR_MEMORY, "no memory to look for a key");
    *wanted->refusal = *err;
    return 0;
}

static int take_label(struct wanted *wanted, const struct call *call, struct err *err)
{
    struct json *root = call_json(call, false);
    if (root == NULL)
        return 1;
    const char *text = json_string(json_get(root, "label"));
    struct remembered told;
    int status = 0;
    if (text == NULL || json_length(root) != 1) {
        err_set(err, ERR_VALUE, "the body must be {\"label\": \"...\"}");
        status = err_at(err, "/label");
    } else {
        struct revision *revision = model_acquire(call->routes->model);
        status = body_label(&wanted->index, text, strlen(text), revision->learner, err);
        wanted->as_of = revision->learner->revision;
        model_release(call->routes->model, revision);
        if (status != 0)
            (void)err_at(err, "/label");
        if (status != 0 && err->code == ERR_LABEL_UNKNOWN)
            status = put_off(wanted, err);
        if (status == 0)
            status = label_take(wanted->label, text, strlen(text), err);
        if (status == 0 && wanted->refusal == NULL && remember_find(call->routes->remember, call->id, &told) &&
            told.label >= 0) {
            (void)err_set(err, ERR_CONFLICT,
                          "prediction %lld was given a label before; the answer to that is not kept any more",
                          (long long)call->id);
            status = put_off(wanted, err);
        }
    }
    json_free(root);
    return status;
}

/* Nothing is asked of the trainer after all. */
static void give_up(const struct call *call, struct work *work, const struct err *err)
{
    *call->pending = NULL;
    work->pending.free(&work->pending);
    routes_problem(call->routes, call->answer, err);
}

void route_prediction_label(const struct call *call)
{
    const struct shape shape = shape_of(call);
    struct wanted wanted = {0};
    struct err err;
    bool flat = false;
    int status = request_flat(&flat, call->request, &err);
    if (status == 0)
        status = take_label(&wanted, call, &err);
    if (status < 0)
        routes_problem(call->routes, call->answer, &err);
    if (status != 0)
        return;
    struct work *work = call_submit(call, JOB_READ, labelled);
    if (work == NULL) {
        free(wanted.refusal);
        return;
    }
    work->own = wanted.refusal;
    work->own_free = free;
    struct job *job = &work->job;
    write_key(work->key, call->id);
    write_fingerprint(job->fingerprint, wanted.label);
    job->read = look_for_key;
    struct remembered known;
    (void)forget_others(call->routes); /* of later ones than the index the trainer takes care: as_of */
    if (wanted.refusal != NULL || remember_find(call->routes->remember, call->id, &known) == 0)
        return;
    work->samples = malloc(sizeof *work->samples);
    work->batch.owned = malloc(shape.n_input);
    if (work->samples == NULL || work->batch.owned == NULL) {
        err_set(&err, ERR_MEMORY, "no memory for a sample");
        give_up(call, work, &err);
        return;
    }
    if (!remember_image(call->routes->remember, call->id, work->batch.owned, shape.n_input))
        return; /* forgotten in this moment */
    if (!flat && body_flat(work->batch.owned, &shape, &err) != 0) {
        if (put_off(&wanted, &err) != 0) /* unless it was labelled before, as the key may know */
            give_up(call, work, &err);
        else
            work->own = wanted.refusal;
        return;
    }
    *work->samples = (struct sample){.label = wanted.index, .pixels = work->batch.owned};
    job->kind = JOB_TRAIN;
    job->as_of = wanted.as_of;
    job->key = work->key;
    job->done = label_done;
    job->bytes += shape.n_input + sizeof *work->samples;
    job->event.kind = EVENT_TRAIN;
    job->event.as.train.n = 1;
    job->event.as.train.samples = work->samples;
}
