/* batch.c - see payload/batch.h */
#include "server/payload/batch.h"

#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/grow.h"
#include "server/image/file_kind.h"

void batch_fini(struct batch *batch)
{
    free(batch->owned);
    free(batch->labels);
    labels_fini(&batch->names);
    free(batch->files);
    free(batch->pictures);
    *batch = (struct batch){0};
}

int batch_too_many(const struct body_rules *rules, struct err *err)
{
    size_t n_input = rules->learner->shape.n_input, n_max = rules->images_max;
    if (n_max > BODY_INPUT_BYTES_MAX / n_input)
        n_max = n_input < BODY_INPUT_BYTES_MAX ? BODY_INPUT_BYTES_MAX / n_input : 1;
    return err_set(err, ERR_TOO_LARGE,
                   "the request has more than %zu images, the limit: split it into several requests", n_max);
}

/* Whether one image more than n is too many, by number or by the memory that it takes decoded. */
static bool is_full(size_t n, const struct body_rules *rules)
{
    return n >= rules->images_max || (n > 0 && (n + 1) * rules->learner->shape.n_input > BODY_INPUT_BYTES_MAX);
}

uint8_t *batch_add(struct batch *batch, const struct body_rules *rules, struct err *err)
{
    size_t n_input = rules->learner->shape.n_input;
    if (rules->limits->light && batch->n >= BODY_LIGHT_IMAGES) {
        image_too_heavy(rules->limits, err);
        return NULL;
    }
    if (cancelled(rules->limits->cancel)) {
        cancel_err(rules->limits->cancel, err);
        return NULL;
    }
    if (is_full(batch->n, rules)) {
        batch_too_many(rules, err);
        return NULL;
    }
    if (batch->n == batch->room) {
        size_t room = batch->room == 0 ? 1 : batch->room * 2, bytes = 0;
        uint8_t *owned = NULL;
        uint32_t *labels = NULL;
        if (!__builtin_mul_overflow(room, n_input, &bytes))
            owned = realloc(batch->owned, bytes);
        if (owned != NULL) {
            batch->owned = owned;
            labels = realloc(batch->labels, room * sizeof *labels);
        }
        if (labels == NULL) {
            err_memory(err, "%zu images", room);
            return NULL;
        }
        batch->labels = labels;
        batch->room = room;
    }
    batch->pixels = batch->owned;
    return batch->owned + (size_t)batch->n++ * n_input;
}

static int add_picture(struct batch *batch, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    if (grow(&batch->pictures, &batch->pictures_room, batch->n_pictures, sizeof *batch->pictures, "pictures", err) != 0)
        return -1;
    struct batch_picture *picture = &batch->pictures[batch->n_pictures++];
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, n_bytes, bytes);
    sha256_digest(&sha, sizeof picture->digest, picture->digest);
    picture->image = batch->n - 1;
    return 0;
}

int body_check_flat(const uint8_t *input, const struct body_rules *rules, struct err *err)
{
    if (!rules->labelled || rules->flat || !image_is_flat(input, &rules->learner->shape))
        return 0;
    return err_set(err, ERR_FLAT,
                   "the image is flat: all its pixels are %u where the network sees it (an empty picture, or ink of "
                   "the background's colour); ?flat=allow trains on it anyway",
                   input[0]);
}

int body_image(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
               struct err *err)
{
    const struct shape *shape = &rules->learner->shape;
    uint8_t *input = batch->owned + (size_t)(batch->n - 1) * shape->n_input;
    if (n_bytes == 0)
        return err_set(err, ERR_EMPTY, "the image is empty");
    if (n_bytes == shape->n_input && !file_kind(bytes, n_bytes).sure) {
        memcpy(input, bytes, n_bytes);
        return body_check_flat(input, rules, err);
    }
    if (image_to_input(input, shape, learner_fit(rules->learner), rules->learner->settings.invert, bytes, n_bytes,
                       rules->limits, err) == 0) {
        if (body_check_flat(input, rules, err) != 0)
            return -1;
        return rules->digests ? add_picture(batch, bytes, n_bytes, err) : 0;
    }
    if (err->code == ERR_MEDIA_TYPE) {
        size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof err->text - used,
                       " (%zu bytes; a raw image is %u x %u x %u = %u bytes)", n_bytes, shape->channels, shape->height,
                       shape->width, shape->n_input);
    }
    return -1;
}

int body_tree(size_t n_bytes, const struct body_rules *rules, struct err *err)
{
    struct image_limits *limits = rules->limits;
    return limits->light && (limits->heavy || n_bytes > BODY_LIGHT_TREE) ? image_too_heavy(limits, err) : 0;
}

int body_base64(struct batch *batch, const char *text, const struct body_rules *rules, struct err *err)
{
    size_t n_text = strlen(text), n = BASE64_DECODE_LENGTH(n_text);
    uint8_t *bytes = malloc(n + 1);
    if (bytes == NULL)
        return err_memory(err, "%zu bytes of base64", n);
    struct base64_decode_ctx base64;
    if (strpbrk(text, "-_") != NULL)
        base64url_decode_init(&base64);
    else
        base64_decode_init(&base64);
    bool whole = base64_decode_update(&base64, &n, bytes, n_text, text) == 1;
    uint8_t none[BASE64_DECODE_LENGTH(1)];
    size_t n_none = sizeof none;
    for (int i = 0; whole && i < 2 && base64_decode_final(&base64) != 1; i++) /* the padding, where it was left out */
        whole = base64_decode_update(&base64, &n_none, none, 1, "=") == 1;
    int status = -1;
    if (!whole || base64_decode_final(&base64) != 1)
        err_set(err, ERR_SYNTAX, "the value is not base64 (RFC 4648, in either alphabet)");
    else
        status = body_image(batch, bytes, n, rules, err);
    free(bytes);
    return status;
}
