/* oip_input.c - see payload/oip_input.h */
#include "server/payload/oip_input.h"

#include <string.h>

/* One number of FP32 as a pixel. */
static bool to_pixel(uint8_t *out, double value)
{
    if (!(value >= 0 && value <= 255))
        return false;
    *out = (uint8_t)(value + 0.5); /* towards zero, and value is not negative */
    return true;
}

static int bad_value(const struct oip_input *input, uint64_t i, struct err *err)
{
    err_set(err, ERR_VALUE,
            input->datatype == OIP_UINT8
                ? "a pixel must be a whole number from 0 to 255 (value %llu is not)"
                : "value x scale must be from 0 to 255 (value %llu is not; without the parameter \"scale\", the scale "
                  "is 255 if all values are within 0 and 1, else 1)",
            (unsigned long long)i);
    return err_at(err, "/data");
}

/* ---- which range ---- */

static bool is_share(double value)
{
    return value >= 0 && value <= 1;
}

static float binary_value(const uint8_t *b)
{
    const uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool are_shares(const struct json *list)
{
    for (const struct json *item = json_first(list); item != NULL; item = json_next(item))
        if (json_type(item) == JSON_ARRAY ? !are_shares(item)
                                          : json_type(item) != JSON_NUMBER || !is_share(json_number(item)))
            return false;
    return true;
}

double oip_input_scale(const struct oip_input *input)
{
    bool shares = input->data == NULL || are_shares(input->data);
    for (size_t i = 0; shares && input->data == NULL && i + 4 <= input->n_bytes; i += 4)
        shares = is_share((double)binary_value(input->bytes + i));
    return shares ? 255 : 1;
}

/* ---- values ---- */

static int wrong_number(uint64_t n, uint64_t expected, struct err *err)
{
    err_set(err, ERR_INPUT_SIZE, "the shape is of %llu values, but data has %llu%s", (unsigned long long)expected,
            (unsigned long long)n, n > expected ? " or more" : "");
    return err_at(err, "/data");
}

/* Numbers of a list, nested or flat, in their order, into at[*done..total]. */
static int take_numbers(uint8_t *at, uint64_t *done, uint64_t total, const struct json *list,
                        const struct oip_input *input, struct err *err)
{
    for (const struct json *item = json_first(list); item != NULL; item = json_next(item)) {
        if (json_type(item) == JSON_ARRAY) {
            if (take_numbers(at, done, total, item, input, err) != 0)
                return -1;
            continue;
        }
        double value = json_type(item) == JSON_NUMBER ? json_number(item) * input->scale : -1;
        if (*done == total)
            return wrong_number(total + 1, total, err);
        if (!to_pixel(&at[*done], value) || (input->datatype == OIP_UINT8 && value != (double)at[*done]))
            return bad_value(input, *done, err);
        ++*done;
    }
    return 0;
}

static int too_many(const struct body_rules *rules, struct err *err)
{
    return err_set(err, ERR_TOO_LARGE, "the request has too many images; the limit is %u", rules->images_max);
}

/* Room for all images at once, within the limits. */
static uint8_t *add_images(struct batch *batch, uint64_t n, const struct body_rules *rules, struct err *err)
{
    for (uint64_t i = 0; i < n; i++)
        if (batch_add(batch, rules, err) == NULL)
            return NULL;
    return batch->owned;
}

static int take_json_numbers(struct batch *batch, const struct oip_input *input, const struct body_rules *rules,
                             struct err *err)
{
    uint64_t done = 0;
    if (input->n > rules->images_max)
        return too_many(rules, err);
    uint8_t *at = add_images(batch, input->n, rules, err); /* what the shape only claims is never written to */
    if (at == NULL)
        return -1;
    uint64_t total = input->n * rules->learner->shape.n_input;
    if (take_numbers(at, &done, total, input->data, input, err) != 0)
        return -1;
    return done == total ? 0 : wrong_number(done, total, err);
}

static int take_binary_numbers(struct batch *batch, const struct oip_input *input, const struct body_rules *rules,
                               struct err *err)
{
    const size_t n_input = rules->learner->shape.n_input, width = input->datatype == OIP_FP32 ? 4 : 1;
    if (input->n_bytes / (n_input * width) != input->n || input->n_bytes % (n_input * width) != 0) {
        err_set(err, ERR_INPUT_SIZE, "the shape is of %llu images of %zu bytes, but the data is %zu bytes",
                (unsigned long long)input->n, n_input * width, input->n_bytes);
        return err_at(err, "/parameters/binary_data_size");
    }
    if (input->n > rules->images_max)
        return too_many(rules, err);
    if (input->datatype == OIP_UINT8) {
        batch->n = (uint32_t)input->n;
        batch->pixels = input->bytes;
        return 0;
    }
    uint8_t *at = add_images(batch, input->n, rules, err);
    for (size_t i = 0; at != NULL && i < input->n * n_input; i++) {
        if (!to_pixel(&at[i], (double)binary_value(input->bytes + 4 * i) * input->scale))
            return bad_value(input, i, err);
    }
    return at != NULL ? 0 : -1;
}

static int take_picture(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
                        struct err *err)
{
    uint32_t i = batch->n;
    const bool added = batch_add(batch, rules, err) != NULL;
    if (added && body_image(batch, bytes, n_bytes, rules, err) == 0)
        return 0;
    return added ? err_at(err, "/data/%u", i) : -1;
}

static int take_base64(struct batch *batch, const char *text, const struct body_rules *rules, struct err *err)
{
    uint32_t i = batch->n;
    const bool added = batch_add(batch, rules, err) != NULL;
    if (added && body_base64(batch, text, rules, err) == 0)
        return 0;
    return added ? err_at(err, "/data/%u", i) : -1;
}

/* Strings of a list, nested or flat: [["..."], ["..."]] is the form of [n, 1]. */
static int take_json_pictures(struct batch *batch, const struct json *list, const struct oip_input *input,
                              const struct body_rules *rules, struct err *err)
{
    for (const struct json *item = json_first(list); item != NULL; item = json_next(item)) {
        const char *text = json_string(item);
        int status = 0;
        if (json_type(item) == JSON_ARRAY) {
            status = take_json_pictures(batch, item, input, rules, err);
        } else if (batch->n == input->n) {
            status = wrong_number(input->n + 1, input->n, err);
        } else if (text == NULL) {
            err_set(err, ERR_VALUE, "a picture must be a string of base64, but is %s", json_type_name(item));
            status = err_at(err, "/data/%u", batch->n);
        } else {
            status = take_base64(batch, text, rules, err);
        }
        if (status != 0)
            return -1;
    }
    return 0;
}

/* Elements of a binary BYTES tensor: four bytes of length, little-endian, and as many bytes. */
static int take_binary_pictures(struct batch *batch, const struct oip_input *input, const struct body_rules *rules,
                                struct err *err)
{
    const uint8_t *at = input->bytes, *end = at + input->n_bytes;
    while (at < end && batch->n < input->n) {
        size_t left = (size_t)(end - at);
        uint32_t n =
            left < 4 ? 0 : (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        if (left < 4 || n > left - 4) {
            err_set(err, ERR_INPUT_SIZE, "element %u is longer than what is left of the tensor", batch->n);
            return err_at(err, "/parameters/binary_data_size");
        }
        if (take_picture(batch, at + 4, n, rules, err) != 0)
            return -1;
        at += 4 + n;
    }
    if (at == end)
        return 0;
    err_set(err, ERR_INPUT_SIZE, "the tensor has more than the %llu elements of its shape",
            (unsigned long long)input->n);
    return err_at(err, "/parameters/binary_data_size");
}

int oip_input_take(struct batch *batch, const struct oip_input *input, const struct body_rules *rules, struct err *err)
{
    if (input->datatype != OIP_BYTES)
        return input->data != NULL ? take_json_numbers(batch, input, rules, err)
                                   : take_binary_numbers(batch, input, rules, err);
    int status = input->data != NULL ? take_json_pictures(batch, input->data, input, rules, err)
                                     : take_binary_pictures(batch, input, rules, err);
    return status != 0 || batch->n == input->n ? status : wrong_number(batch->n, input->n, err);
}
