/* body.c - see payload/body.h */
#include "server/payload/body.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/image/file_kind.h"
#include "server/image/image.h"
#include "server/message/request.h"
#include "server/payload/multipart.h"

/* ---- raw ---- */

static int decode_raw(struct batch *batch, const struct body_source *source, const struct body_rules *rules,
                      struct err *err)
{
    size_t n = source->n_bytes / rules->learner->shape.n_input;
    if (n > rules->images_max)
        return batch_too_many(rules, err);
    batch->pixels = source->bytes;
    batch->n = (uint32_t)n;
    batch->many = n > 1;
    if (!rules->labelled)
        return 0;
    for (uint32_t i = 0; i < batch->n; i++)
        if (body_check_flat(batch->pixels + (size_t)i * rules->learner->shape.n_input, rules, err) != 0) {
            if (n == 1)
                return -1;
            err_wrap(err, "image %u", i);
            return err_at(err, "/images/%u", i);
        }
    batch->labels = calloc(n, sizeof *batch->labels);
    return batch->labels != NULL ? 0 : err_memory(err, "%zu labels", n);
}

static int decode_picture(struct batch *batch, const struct body_source *source, const struct body_rules *rules,
                          struct err *err)
{
    return batch_add(batch, rules, err) == NULL ? -1 : body_image(batch, source->bytes, source->n_bytes, rules, err);
}

/* ---- forms ---- */

static int decode_form(struct batch *batch, const struct body_source *source, const struct body_rules *rules,
                       bool labels_given, struct err *err)
{
    struct multipart form;
    struct part part;
    int more = multipart_init(&form, source->content_type, source->bytes, source->n_bytes, err);
    size_t files_room = 0;
    while (more == 0 && (more = multipart_next(&form, &part, err)) == 1) {
        more = 0;
        uint32_t i = batch->n;
        if (batch_add(batch, rules, err) == NULL)
            return -1;
        if (files_room < batch->room) {
            char(*files)[BODY_FILE_BYTES] = realloc(batch->files, batch->room * sizeof *files);
            if (files == NULL)
                return err_memory(err, "the names of %zu files", batch->room);
            batch->files = files;
            files_room = batch->room;
        }
        (void)snprintf(batch->files[i], BODY_FILE_BYTES, "%.*s", (int)BODY_FILE_BYTES - 1, part.filename);
        if (body_image(batch, part.bytes, part.n_bytes, rules, err) != 0) {
            err_wrap(err, "part %u of the form, field \"%.40s\", file \"%.60s\"", i, part.name, part.filename);
            return err_under(err, "/images/%u", i);
        }
        batch->names.at = i;
        if (rules->labelled && !labels_given &&
            labels_add(&batch->names, &batch->labels[i], part.name, strlen(part.name), err) != 0)
            return label_place(err, LABEL_PART, i);
    }
    if (more == 0 && batch->n == 0)
        return err_set(err, ERR_EMPTY, "the form has no parts");
    batch->many = batch->n > 1;
    return more;
}

/* ---- labels of the query ---- */

static int label_all(struct batch *batch, const char *label, struct err *err)
{
    uint32_t which = 0;
    if (labels_add(&batch->names, &which, label, strlen(label), err) != 0)
        return label_place(err, LABEL_QUERY, 0);
    for (uint32_t i = 0; i < batch->n; i++)
        batch->labels[i] = which;
    return 0;
}

static int label_each(struct batch *batch, const char *labels, const struct body_rules *rules, struct err *err)
{
    const char *at = labels;
    uint32_t n = 0;
    for (bool more = true; more; n++) {
        size_t length = strcspn(at, ",");
        more = at[length] == ',';
        batch->names.at = n;
        if (n < batch->n && labels_add(&batch->names, &batch->labels[n], at, length, err) != 0)
            return label_place(err, LABEL_QUERY_LIST, n);
        if (rules->limits->light && (uint64_t)batch->n * batch->names.n > BODY_LIGHT_BYTES)
            return image_too_heavy(rules->limits, err); /* each is looked for among those before it */
        at += length + (more ? 1 : 0);
    }
    if (n != batch->n)
        return err_set(err, ERR_VALUE, "?labels has %u labels for %u images", n, batch->n);
    return 0;
}

/* ---- what it is ---- */

enum body_kind { BODY_FORM, BODY_NDJSON, BODY_JSON, BODY_RAW, BODY_PICTURE };

static bool is_ndjson(const char *type)
{
    return media_type_is(type, "application/x-ndjson") || media_type_is(type, "application/ndjson") ||
           media_type_is(type, "application/jsonl");
}

static bool is_json(const char *type)
{
    return media_type_is(type, "application/json") || media_type_is(type, "text/json");
}

/* The rules of payload/body.h, in their order. */
static int recognize(enum body_kind *kind, const struct body_source *source, const struct shape *shape, struct err *err)
{
    const char *type = source->content_type;
    const struct file_kind known = file_kind(source->bytes, source->n_bytes);
    const bool raw = source->n_bytes % shape->n_input == 0 && !known.sure;
    if (source->n_bytes == 0)
        return err_set(err, ERR_EMPTY, "the body is empty: send a picture (%s), %u raw bytes or JSON", file_pictures,
                       shape->n_input);
    if (file_is_picture(known) && !raw) {
        *kind = BODY_PICTURE;
    } else if (known.sure && known.format == FILE_OTHER && (is_ndjson(type) || is_json(type))) {
        *kind = BODY_PICTURE; /* refused by name: of JSON, it would be malformed at byte 0 */
    } else if (media_type_is(type, "multipart/form-data")) {
        *kind = BODY_FORM;
    } else if (is_ndjson(type)) {
        *kind = BODY_NDJSON;
    } else if (is_json(type)) {
        *kind = BODY_JSON;
    } else if (type != NULL && strncasecmp(type, "image/", 6) == 0) {
        *kind = BODY_PICTURE;
    } else if (raw) {
        *kind = BODY_RAW;
    } else if (media_type_is(type, "application/octet-stream")) {
        if (!known.sure)
            return err_set(err, ERR_INPUT_SIZE,
                           "expected %u raw bytes (%u x %u x %u: channels, height, width), or a multiple for a batch, "
                           "but got %zu; or send a picture of any size (%s)",
                           shape->n_input, shape->channels, shape->height, shape->width, source->n_bytes,
                           file_pictures);
        *kind = BODY_PICTURE;
    } else {
        *kind = known.format == FILE_JSON ? BODY_JSON : BODY_PICTURE; /* what it is instead, the decoder says */
    }
    return 0;
}

/* curl -d @FILE sends a file without its line ends and zeros, as curl --data-binary does not: of no picture that leaves any, and of NDJSON
 * one line. */
static bool is_mangled(const struct body_source *source, enum body_kind kind, const struct err *err)
{
    const size_t n = source->n_bytes;
    if (n > 0 && (memchr(source->bytes, '\n', n) != NULL || memchr(source->bytes, '\r', n) != NULL ||
                  memchr(source->bytes, '\0', n) != NULL))
        return false;
    return kind == BODY_NDJSON ? err->code == ERR_SYNTAX
                               : (kind == BODY_PICTURE || n == 0) &&
                                     media_type_is(source->content_type, "application/x-www-form-urlencoded");
}

static enum label_place label_places(const struct body_source *source, enum body_kind kind, bool many)
{
    if (source->label != NULL || source->labels != NULL)
        return source->label != NULL ? LABEL_QUERY : LABEL_QUERY_LIST;
    if (kind == BODY_FORM || kind == BODY_NDJSON)
        return kind == BODY_FORM ? LABEL_PART : LABEL_LINE;
    return many ? LABEL_SAMPLE : LABEL_BODY;
}

int body_decode(struct batch *out, const struct body_source *source, const struct body_rules *rules, struct err *err)
{
    assert(rules->learner->shape.n_input > 0);
    *out = (struct batch){0};
    enum body_kind kind = BODY_RAW;
    bool given = source->label != NULL || source->labels != NULL;
    int status = -1;
    if (source->label != NULL && source->labels != NULL) {
        err_set(err, ERR_VALUE, "give ?label for all images or ?labels for each, not both");
        goto out;
    }
    if (recognize(&kind, source, &rules->learner->shape, err) != 0)
        goto out;
    if (rules->limits->light && kind != BODY_RAW && source->n_bytes > BODY_LIGHT_BYTES) {
        image_too_heavy(rules->limits, err);
        goto out;
    }
    switch (kind) {
    case BODY_FORM:
        status = decode_form(out, source, rules, given, err);
        break;
    case BODY_NDJSON:
        status = body_ndjson(out, source->bytes, source->n_bytes, rules, given, err);
        break;
    case BODY_JSON:
        status = body_json(out, source->bytes, source->n_bytes, rules, given, err);
        break;
    case BODY_RAW:
        status = decode_raw(out, source, rules, err);
        break;
    case BODY_PICTURE:
        status = decode_picture(out, source, rules, err);
        break;
    }
    if (status != 0 || !rules->labelled)
        goto out;
    bool own = kind == BODY_FORM || kind == BODY_JSON || kind == BODY_NDJSON; /* then each has been looked at there */
    out->names.place = label_places(source, kind, out->many);
    if (source->label != NULL)
        status = label_all(out, source->label, err);
    else if (source->labels != NULL)
        status = label_each(out, source->labels, rules, err);
    else if (!own)
        status = err_set(err, ERR_LABEL_MISSING, "a training image needs a label: %s",
                         out->n > 1 ? "add ?labels=7,2,1 with one for each image, or ?label=7 for all" : "?label=7");
out:
    if (status != 0 && is_mangled(source, kind, err)) {
        const size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof err->text - used,
                       "; curl -d changes the bytes of a file: send it with --data-binary @FILE");
    }
    if (status != 0)
        batch_fini(out);
    return status;
}
