/* train.c - POST /train: decode and check everything, where it is much in a thread of the pool; then one job for the trainer. */
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "server/routes/handlers.h"

static void write_answer(struct text *text, const struct job *job)
{
    const struct sample *samples = job->event.as.train.samples;
    uint32_t n = job->event.as.train.n;
    text_add_string(text, "{\"accepted\":");
    text_add_u64(text, n);
    text_add_string(text, ",\"step\":");
    text_add_u64(text, job->step);
    text_add_string(text, ",\"revision\":");
    text_add_u64(text, job->revision);
    text_add_string(text, ",\"samples\":[");
    text_add_u64(text, (uint64_t)samples[0].id);
    text_add(text, ",", 1);
    text_add_u64(text, (uint64_t)samples[n - 1].id);
    text_add_string(text, "],\"loss\":");
    text_add_fixed9(text, job->loss);
    text_add_string(text, ",\"correct\":");
    text_add_u64(text, job->correct);
    if (job->refused > 0) {
        text_add_string(text, ",\"refused\":");
        text_add_u64(text, job->refused);
    }
    text_add(text, "}\n", 2);
}

char *train_render_answer(const struct job *job)
{
    struct text text = {0};
    write_answer(&text, job);
    return text_take(&text);
}

static void render(struct work *work, struct answer *answer)
{
    text_clear(&answer->text);
    if (work->job.replayed_answer != NULL)
        text_add_string(&answer->text, work->job.replayed_answer);
    else
        write_answer(&answer->text, &work->job);
    answer_revision(answer, work->job.revision);
    answer_text_done(answer, 200, ANSWER_JSON);
}

/* What an Idempotency-Key stands for: the images as they came, with their labels. Not the bytes of the request, since a form has
 * another boundary every time that it is sent; nor a picture as it was fitted, since `fit` may be another when it comes again. */
static void fingerprint(uint8_t digest[32], const struct batch *batch, const struct learner *learner,
                        const struct body_strangers *strangers)
{
    struct sha256_ctx sha;
    size_t n_input = learner->shape.n_input;
    const struct batch_picture *picture = batch->pictures, *end = picture + batch->n_pictures;
    sha256_init(&sha);
    for (uint32_t i = 0; i < batch->n; i++) {
        const uint32_t index = batch->labels[i];
        const char *label = strangers == NULL || index < BODY_STRANGER ? learner->labels[index]
                                                                       : strangers->labels[index - BODY_STRANGER];
        sha256_update(&sha, strlen(label) + 1, (const uint8_t *)label);
        if (picture < end && picture->image == i)
            sha256_update(&sha, sizeof picture->digest, (picture++)->digest);
        else
            sha256_update(&sha, n_input, batch->pixels + i * n_input);
    }
    sha256_digest(&sha, 32, digest);
}

static int check_key(const char *key, struct err *err)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (key[i] < 0x20 || key[i] > 0x7e)
            return err_set(err, ERR_SYNTAX, "an Idempotency-Key is printable ASCII");
    if (n == 0 || n > STORE_KEY_BYTES_MAX)
        return err_set(err, ERR_SYNTAX, "an Idempotency-Key has 1 to %d characters", STORE_KEY_BYTES_MAX);
    return 0;
}

/* Everything that the job borrows moves into its work, since the client's deadline may take the connection away first. */
static int fill(struct work *work, struct batch *batch, struct request *request, const struct learner *learner,
                struct err *err)
{
    struct job *job = &work->job;
    size_t n_input = learner->shape.n_input;
    work->samples = calloc(batch->n, sizeof *work->samples);
    if (work->samples == NULL)
        return err_set(err, ERR_MEMORY, "no memory for %u samples", batch->n);
    for (uint32_t i = 0; i < batch->n; i++)
        work->samples[i] = (struct sample){.label = batch->labels[i], .pixels = batch->pixels + i * n_input};
    if (request->idempotency_key != NULL) {
        memcpy(work->key, request->idempotency_key, strlen(request->idempotency_key) + 1);
        job->key = work->key;
        fingerprint(job->fingerprint, batch, learner, NULL);
    }
    if (batch->owned == NULL) { /* the pixels are the body itself */
        work->body = *request->body;
        *request->body = (struct text){0};
    }
    work->batch = *batch;
    *batch = (struct batch){0};
    job->as_of = learner->revision;
    job->event.kind = EVENT_TRAIN;
    job->event.as.train.n = work->batch.n;
    job->event.as.train.samples = work->samples;
    job->bytes += work->body.size + work->batch.room * n_input + work->batch.n * sizeof *work->samples;
    return 0;
}

/* ---- a retry of what would not be taken any more ---- */

static int look_for_key(struct job *job, struct store *store, struct err *err)
{
    const struct work *work = job->context;
    const int found = trainer_key_known(job, store, work->key, err);
    if (found == 0)
        *err = *(const struct err *)work->own;
    return found == 1 ? 0 : -1;
}

/* The request names a label of no class, or has a flat image, as *err says. It may have been taken when it was otherwise: the model may have gone
 * back since, have lost the class, or fit pictures in another way. Then its first answer is the answer. 0: the call is dealt with; -1: *err is. */
static int ask_for_key(const struct call *call, const struct body_source *source, const struct body_rules *rules,
                       struct err *err)
{
    const char *key = call->request->idempotency_key;
    struct body_strangers strangers = {0};
    struct body_rules any = *rules;
    struct batch batch = {0};
    struct err *refusal = malloc(sizeof *refusal);
    int status = -1;
    any.strangers = &strangers;
    any.limits->pixels_taken = 0;
    any.flat = true;
    if (refusal == NULL) {
        err_set(err, ERR_MEMORY, "no memory to look for a key");
        goto out;
    }
    *refusal = *err;
    if (body_decode(&batch, source, &any, err) != 0)
        goto out;
    status = 0;
    struct work *work = call_submit(call, JOB_READ, render);
    if (work == NULL)
        goto out;
    memcpy(work->key, key, strlen(key) + 1);
    fingerprint(work->job.fingerprint, &batch, rules->learner, &strangers);
    work->job.read = look_for_key;
    work->own = refusal;
    work->own_free = free;
    refusal = NULL;
out:
    free(refusal);
    free(strangers.labels);
    batch_fini(&batch);
    return status;
}

void route_train(const struct call *call)
{
    struct routes *routes = call->routes;
    struct request *request = call->request;
    struct batch batch = {0};
    struct err err;
    struct revision *revision = model_acquire(routes->model);
    const struct learner *learner = revision->learner;
    struct body_source source = {(const uint8_t *)request->body->bytes, request->body->n, request->content_type,
                                 request_param(request, "label"), request_param(request, "labels")};
    struct image_limits limits = call_limits(call);
    struct body_rules rules = {.learner = learner,
                               .labelled = true,
                               .limits = &limits,
                               .images_max = routes->batch_images,
                               .digests = request->idempotency_key != NULL};
    int status = request_flat(&rules.flat, request, &err);
    if (status == 0 && request->idempotency_key != NULL)
        status = check_key(request->idempotency_key, &err);
    if (status == 0)
        status = body_decode(&batch, &source, &rules, &err);
    if (status == 0 && limits.light && request->idempotency_key != NULL && source.n_bytes > BODY_LIGHT_BYTES)
        status = image_too_heavy(&limits, &err); /* for its fingerprint */
    struct work *work = status == 0 ? call_submit(call, JOB_TRAIN, render) : NULL;
    if (work != NULL && (status = fill(work, &batch, request, learner, &err)) != 0) {
        *call->pending = NULL;
        work->pending.free(&work->pending);
    }
    if (status != 0 && (err.code == ERR_LABEL_UNKNOWN || err.code == ERR_FLAT) && request->idempotency_key != NULL)
        status = ask_for_key(call, &source, &rules, &err);
    if (status != 0 && limits.heavy)
        (void)call_offload(call, route_train, OFFLOAD_LONG);
    else if (status != 0)
        routes_problem(routes, call->answer, &err);
    batch_fini(&batch);
    model_release(routes->model, revision);
}
