/* train.c - POST /train: decode and check everything, where it is much in a thread of the pool; then one job for the trainer. */
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "server/routes/handlers.h"

void train_response(struct work *work, struct response *response)
{
    const struct store_trained *trained = &work->command.trained;
    text_clear(&response->text);
    struct json_writer json = json_write_begin(&response->text);
    json_write_u64(&json, "accepted", trained->n);
    json_write_u64(&json, "step", trained->step);
    json_write_u64(&json, "revision", work->command.revision);
    json_write_array(&json, "samples");
    json_write_i64(&json, NULL, trained->first_id);
    json_write_i64(&json, NULL, trained->last_id);
    json_write_end(&json);
    json_write_fixed9(&json, "loss", trained->loss);
    json_write_u64(&json, "correct", trained->correct);
    if (trained->refused > 0)
        json_write_u64(&json, "refused", trained->refused);
    json_write_end(&json);
    text_add_char(&response->text, '\n');
    response_revision(response, work->command.revision);
    response_text_done(response, 200, RESPONSE_JSON);
}

/* What an Idempotency-Key stands for: the images as they came, with their labels. Not the bytes of the request, since a form has
 * another boundary every time that it is sent; nor a picture as it was fitted, since `fit` may be another when it comes again. */
static void fingerprint(uint8_t digest[32], const struct batch *batch, size_t n_input)
{
    struct sha256_ctx sha;
    size_t p = 0; /* the next picture */
    sha256_init(&sha);
    for (uint32_t i = 0; i < batch->n; i++) {
        const char *label = batch->names.list[batch->labels[i]].text;
        sha256_update(&sha, strlen(label) + 1, (const uint8_t *)label);
        if (p < batch->n_pictures && batch->pictures[p].image == i)
            sha256_update(&sha, sizeof batch->pictures[p].digest, batch->pictures[p++].digest);
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
            return err_set(err, ERR_SYNTAX, "an Idempotency-Key must be printable ASCII");
    if (n == 0 || n > STORE_KEY_BYTES_MAX)
        return err_set(err, ERR_SYNTAX, "an Idempotency-Key must have 1 to %d characters", STORE_KEY_BYTES_MAX);
    return 0;
}

int train_samples(struct work *work, size_t n_input, struct err *err)
{
    const struct batch *batch = &work->batch;
    struct command *command = &work->command;
    work->samples = calloc(batch->n, sizeof *work->samples);
    if (work->samples == NULL)
        return err_memory(err, "%u samples", batch->n);
    for (uint32_t i = 0; i < batch->n; i++)
        work->samples[i] = (struct sample){.label = batch->labels[i], .pixels = batch->pixels + i * n_input};
    command->labels = &work->batch.names;
    command->event.kind = EVENT_TRAIN;
    command->event.as.train.n = batch->n;
    command->event.as.train.samples = work->samples;
    command->bytes += work->body.size + batch->room * n_input + batch->n * sizeof *work->samples +
                      batch->names.room * sizeof *batch->names.list;
    return 0;
}

/* Everything that the job borrows moves into its work, since the client's deadline may take the connection away first. */
static int fill(struct work *work, struct batch *batch, struct request *request, size_t n_input, struct err *err)
{
    if (request->idempotency_key != NULL) {
        memcpy(work->key, request->idempotency_key, strlen(request->idempotency_key) + 1);
        work->command.key = work->key;
        fingerprint(work->command.fingerprint, batch, n_input);
    }
    if (batch->owned == NULL) { /* the pixels are the body itself */
        work->body = *request->body;
        *request->body = (struct text){0};
    }
    work->batch = *batch;
    *batch = (struct batch){0};
    return train_samples(work, n_input, err);
}

/* A flat image may have been taken under its key when pictures were fitted in another way, or with ?flat=allow: then *refusal is why
 * else it is refused. */
static int decode(struct batch *batch, struct err *refusal, const struct body_source *source, struct body_rules *rules,
                  bool has_key, struct err *err)
{
    if (body_decode(batch, source, rules, err) == 0)
        return 0;
    if (err->code != ERR_FLAT || !has_key)
        return -1;
    *refusal = *err;
    rules->flat = true;
    rules->limits->pixels_taken = 0;
    return body_decode(batch, source, rules, err);
}

void route_train(const struct call *call)
{
    struct routes *routes = call->routes;
    struct request *request = call->request;
    const bool has_key = request->idempotency_key != NULL;
    struct batch batch = {0};
    struct err err, refusal = {0};
    struct revision *revision = model_acquire(routes->model);
    const struct learner *learner = revision->learner;
    struct body_source source = {(const uint8_t *)request->body->bytes, request->body->n, request->content_type,
                                 request_param(request, "label"), request_param(request, "labels")};
    struct image_limits limits = call_limits(call);
    struct body_rules rules = {.learner = learner,
                               .labelled = true,
                               .limits = &limits,
                               .images_max = routes->batch_images,
                               .digests = has_key};
    int status = request_flat(&rules.flat, request, &err);
    if (status == 0 && has_key)
        status = check_key(request->idempotency_key, &err);
    if (status == 0)
        status = decode(&batch, &refusal, &source, &rules, has_key, &err);
    if (status == 0 && limits.light && has_key && source.n_bytes > BODY_LIGHT_BYTES)
        status = image_too_heavy(&limits, &err); /* for its fingerprint */
    struct work *work = status == 0 ? call_submit(call, COMMAND_TRAIN, train_response) : NULL;
    if (work != NULL)
        work->command.refusal = refusal;
    if (work != NULL && fill(work, &batch, request, learner->shape.n_input, &err) != 0)
        call_give_up(call, work, &err);
    if (status != 0 && limits.heavy)
        (void)call_offload(call, route_train, OFFLOAD_LONG);
    else if (status != 0)
        routes_problem(routes, call->response, &err);
    batch_fini(&batch);
    model_release(routes->model, revision);
}
