/* body_json.c - images and samples out of JSON and NDJSON; see payload/body.h. What is plain, payload/body_pixels.c reads faster. */
#include <string.h>

#include "server/common/json.h"
#include "server/payload/body.h"

/* ---- one image ---- */

static int decode_base64(struct batch *batch, const char *text, const struct body_rules *rules, struct err *err)
{
    if (strncmp(text, "data:", 5) == 0) {
        const char *comma = strchr(text, ',');
        if (comma == NULL)
            return err_set(err, ERR_SYNTAX, "the data: URL has no comma");
        text = comma + 1;
    }
    return body_base64(batch, text, rules, err);
}

/* What a list of pixels may look like: dims[0..n_dims-1]. */
struct pixel_form {
    size_t dims[3];
    unsigned n_dims;
};

static int take_pixels(uint8_t **at, const struct json *list, const size_t *dims, unsigned n_dims, struct err *err)
{
    if (json_type(list) != JSON_ARRAY)
        return err_set(err, ERR_VALUE, "expected a list of %zu, but got %s", dims[0], json_type_name(list));
    if (json_length(list) != dims[0])
        return err_set(err, ERR_INPUT_SIZE, "expected %zu %s, but got %zu", dims[0], n_dims > 1 ? "rows" : "pixels",
                       json_length(list));
    size_t i = 0;
    for (const struct json *item = json_first(list); item != NULL; item = json_next(item), i++) {
        if (n_dims > 1) {
            if (take_pixels(at, item, dims + 1, n_dims - 1, err) != 0)
                return err_under(err, "/%zu", i);
            continue;
        }
        double value = json_type(item) == JSON_NUMBER ? json_number(item) : -1;
        if (!(value >= 0 && value <= 255) || value != (double)(uint8_t)value) {
            err_set(err, ERR_VALUE, "a pixel must be a whole number from 0 to 255");
            return err_at(err, "/%zu", i);
        }
        *(*at)++ = (uint8_t)value;
    }
    return 0;
}

static int decode_pixels(uint8_t *input, const struct json *list, const struct shape *shape, struct err *err)
{
    const struct json *first = json_type(list) == JSON_ARRAY ? json_first(list) : NULL;
    bool nested = first != NULL && json_type(first) == JSON_ARRAY;
    const struct json *second = nested ? json_first(first) : NULL;
    bool planes = second != NULL && json_type(second) == JSON_ARRAY;
    struct pixel_form form = {{shape->n_input, 0, 0}, 1};
    if (planes || (nested && shape->channels > 1))
        form = (struct pixel_form){{shape->channels, shape->height, shape->width}, 3};
    else if (nested)
        form = (struct pixel_form){{shape->height, shape->width, 0}, 2};
    uint8_t *at = input;
    return take_pixels(&at, list, form.dims, form.n_dims, err);
}

/* Into `input`, which is the batch's last. */
static int decode_image(struct batch *batch, uint8_t *input, const struct json *image, const struct body_rules *rules,
                        struct err *err)
{
    if (json_type(image) != JSON_OBJECT)
        return err_set(err, ERR_VALUE, "an image must be {\"b64\": \"...\"} or {\"pixels\": [...]}, but is %s",
                       json_type_name(image));
    const struct json *b64 = json_get(image, "b64"), *pixels = json_get(image, "pixels");
    if (json_length(image) != 1 || (b64 == NULL && pixels == NULL))
        return err_set(err, ERR_VALUE, "an image must have exactly one member, \"b64\" or \"pixels\"");
    if (pixels != NULL) {
        if (decode_pixels(input, pixels, &rules->learner->shape, err) != 0 || body_check_flat(input, rules, err) != 0)
            return err_under(err, "/pixels");
        return 0;
    }
    if (json_string(b64) == NULL)
        err_set(err, ERR_VALUE, "b64 must be a string, but is %s", json_type_name(b64));
    else if (decode_base64(batch, json_string(b64), rules, err) == 0)
        return 0;
    return err_under(err, "/b64");
}

/* ---- one sample: an object with "image" and, to /train, "label" ---- */

static int take_label(struct batch *batch, const struct json *label, bool labels_given, struct err *err)
{
    if (label == NULL && !labels_given)
        return err_set(err, ERR_LABEL_MISSING, "a training sample needs a \"label\"");
    if (label == NULL)
        return 0;
    if (labels_given) {
        err_set(err, ERR_VALUE, "the label is given twice: here and in the query");
        return err_at(err, "/label");
    }
    const char *text = json_string(label);
    if (text == NULL)
        err_set(err, ERR_VALUE, "a label must be a string, but is %s", json_type_name(label));
    else if (labels_add(&batch->names, &batch->labels[batch->n - 1], text, strlen(text), err) == 0)
        return 0;
    return err_under(err, "/label");
}

static int take_sample(struct batch *batch, const struct json *sample, const struct body_rules *rules,
                       bool labels_given, struct err *err)
{
    if (json_type(sample) != JSON_OBJECT)
        return err_set(err, ERR_VALUE, "expected an object with \"image\"%s, but got %s",
                       rules->labelled ? " and \"label\"" : "", json_type_name(sample));
    for (const struct json *member = json_first(sample); member != NULL; member = json_next(member)) {
        const char *name = json_name(member);
        if (strcmp(name, "image") == 0 || (rules->labelled && strcmp(name, "label") == 0))
            continue;
        err_set(err, ERR_VALUE, "unknown member \"%.40s\": expected \"image\"%s", name,
                rules->labelled ? " and \"label\"" : "");
        return err_at(err, "/%.60s", name);
    }
    const struct json *image = json_get(sample, "image");
    if (image == NULL)
        return err_set(err, ERR_VALUE, "\"image\" is missing");
    uint8_t *input = batch_add(batch, rules, err);
    if (input == NULL)
        return -1;
    if (decode_image(batch, input, image, rules, err) != 0)
        return err_under(err, "/image");
    if (!rules->labelled)
        return 0;
    return take_label(batch, json_get(sample, "label"), labels_given, err);
}

/* ---- whole bodies ---- */

/* "images" or "samples": a list, each item of which `samples` says how to read. */
static int take_list(struct batch *batch, const struct json *list, bool samples, const struct body_rules *rules,
                     bool labels_given, struct err *err)
{
    const char *name = samples ? "samples" : "images";
    if (json_type(list) != JSON_ARRAY)
        err_set(err, ERR_VALUE, "%s must be a list, but is %s", name, json_type_name(list));
    else if (json_length(list) == 0)
        err_set(err, ERR_EMPTY, "%s is empty", name);
    else {
        uint32_t i = 0;
        for (const struct json *item = json_first(list); item != NULL; item = json_next(item), i++) {
            int status = 0;
            batch->names.at = i;
            if (samples) {
                status = take_sample(batch, item, rules, labels_given, err);
            } else {
                uint8_t *input = batch_add(batch, rules, err);
                status = input == NULL ? -1 : decode_image(batch, input, item, rules, err);
            }
            if (status != 0 && samples)
                return label_place(err, LABEL_SAMPLE, i);
            if (status != 0) {
                err_wrap(err, "image %u", i);
                return err_under(err, "/images/%u", i);
            }
        }
        batch->many = true;
        return 0;
    }
    return err_at(err, "/%s", name);
}

int body_json(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
              bool labels_given, struct err *err)
{
    if (body_plain(batch, bytes, n_bytes, rules, labels_given, true))
        return 0;
    struct json *root = body_tree(n_bytes, rules, err) == 0 ? json_parse((const char *)bytes, n_bytes, err) : NULL;
    if (root == NULL)
        return -1;
    int status = -1;
    bool object = json_type(root) == JSON_OBJECT;
    const struct json *images = object ? json_get(root, "images") : NULL;
    const struct json *samples = object ? json_get(root, "samples") : NULL;
    const struct json *list = samples != NULL ? samples : images;
    if (!object) {
        err_set(err, ERR_VALUE, "expected an object with \"image\" or \"%s\", but got %s",
                rules->labelled ? "samples" : "images", json_type_name(root));
    } else if (list == NULL) {
        status = take_sample(batch, root, rules, labels_given, err);
    } else if (json_length(root) != 1) {
        err_set(err, ERR_VALUE, "\"%s\" must be the only member", samples != NULL ? "samples" : "images");
    } else if (samples != NULL && !rules->labelled) {
        err_set(err, ERR_VALUE, "\"samples\" is for /train; predict takes \"image\" or \"images\"");
        err_at(err, "/samples");
    } else if (images != NULL && rules->labelled && !labels_given) {
        err_set(err, ERR_LABEL_MISSING,
                "\"images\" have no labels: send \"samples\", or add ?labels=7,2,1 or ?label=7");
        err_at(err, "/images");
    } else {
        status = take_list(batch, list, samples != NULL, rules, labels_given, err);
    }
    json_free(root);
    return status;
}

int body_ndjson(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
                bool labels_given, struct err *err)
{
    const uint8_t *at = bytes, *end = bytes + n_bytes;
    for (uint32_t line = 0; at < end; line++) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop != NULL ? stop : end) - at);
        size_t blank = 0;
        while (blank < n && (at[blank] == ' ' || at[blank] == '\t' || at[blank] == '\r'))
            blank++;
        batch->names.at = line;
        if (blank < n && !body_plain(batch, at, n, rules, labels_given, false)) {
            struct json *root = body_tree(n_bytes, rules, err) == 0 ? json_parse((const char *)at, n, err) : NULL;
            int status = root == NULL ? -1 : take_sample(batch, root, rules, labels_given, err);
            json_free(root);
            if (status != 0)
                return label_place(err, LABEL_LINE, line);
        }
        at = stop != NULL ? stop + 1 : end;
    }
    if (batch->n == 0)
        return err_set(err, ERR_EMPTY, "the body has no lines of JSON");
    batch->many = true;
    return 0;
}
