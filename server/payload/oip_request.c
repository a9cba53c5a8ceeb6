/* oip_request.c - reading an inference request; see payload/oip.h */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "server/image/file_kind.h"
#include "server/payload/body.h"
#include "server/payload/oip.h"
#include "server/payload/oip_input.h"

#define DIMS_MAX 4u

/* ---- small things out of JSON ---- */

static const struct json *parameter(const struct json *object, const char *name)
{
    return json_get(json_get(object, "parameters"), name);
}

/* A parameter that must be true or false; *out stays where it is absent. */
static int flag(bool *out, const struct json *object, const char *name, struct err *err)
{
    const struct json *value = parameter(object, name);
    if (value == NULL)
        return 0;
    if (json_type(value) != JSON_BOOL) {
        err_set(err, ERR_VALUE, "%s must be true or false, but is %s", name, json_type_name(value));
        return err_at(err, "/parameters/%s", name);
    }
    *out = json_bool(value);
    return 0;
}

static int check_parameters(const struct json *object, struct err *err)
{
    const struct json *parameters = json_get(object, "parameters");
    if (parameters == NULL || json_type(parameters) == JSON_OBJECT)
        return 0;
    err_set(err, ERR_VALUE, "parameters must be an object, but is %s", json_type_name(parameters));
    return err_at(err, "/parameters");
}

/* The member of that name as a string. NULL and err where it is none. */
static const char *string(const struct json *object, const char *name, struct err *err)
{
    const struct json *value = json_get(object, name);
    const char *text = json_string(value);
    if (text == NULL) {
        err_set(err, ERR_VALUE, "%s must be a string, but is %s", name, json_type_name(value));
        err_at(err, "/%s", name);
    }
    return text;
}

/* ---- shapes ---- */

static int read_dims(uint64_t dims[DIMS_MAX], unsigned *n_dims, const struct json *shape, struct err *err)
{
    unsigned n = 0;
    if (shape == NULL || json_type(shape) != JSON_ARRAY) {
        err_set(err, ERR_VALUE, "shape must be a list of numbers, but is %s", json_type_name(shape));
        return err_at(err, "/shape");
    }
    for (const struct json *side = json_first(shape); side != NULL; side = json_next(side), n++)
        if (n == DIMS_MAX || !json_whole(&dims[n], side, 0, JSON_WHOLE_MAX)) {
            err_set(err, ERR_VALUE, "shape must be a list of at most %u whole numbers", DIMS_MAX);
            return err_at(err, "/shape/%u", n);
        }
    *n_dims = n;
    return 0;
}

/* Whether dims are [n] before `sides`, or `sides` alone; *n is set. */
static bool fits(uint64_t *n, const uint64_t *dims, unsigned n_dims, const uint32_t *sides, unsigned n_sides)
{
    if (n_dims != n_sides && n_dims != n_sides + 1)
        return false;
    for (unsigned i = 0; i < n_sides; i++)
        if (dims[n_dims - n_sides + i] != sides[i])
            return false;
    *n = n_dims == n_sides ? 1 : dims[0];
    return true;
}

static int read_shape(struct oip_input *input, const struct json *json, const struct shape *s, struct err *err)
{
    uint64_t dims[DIMS_MAX];
    unsigned n_dims = 0;
    const struct {
        uint32_t sides[3];
        unsigned n;
    } forms[] = {{{s->channels, s->height, s->width}, 3}, {{s->n_input}, 1}, {{s->height, s->width}, 2}};
    if (read_dims(dims, &n_dims, json_get(json, "shape"), err) != 0)
        return -1;
    if (input->datatype == OIP_BYTES) {
        input->n = n_dims > 0 ? dims[0] : 0;
        if (n_dims == 1 || (n_dims == 2 && dims[1] == 1))
            return 0;
        err_set(err, ERR_INPUT_SIZE, "the shape of pictures must be [n] or [n, 1]");
        return err_at(err, "/shape");
    }
    for (unsigned i = 0; i < (s->channels == 1 ? 3U : 2U); i++)
        if (fits(&input->n, dims, n_dims, forms[i].sides, forms[i].n))
            return 0;
    err_set(err, ERR_INPUT_SIZE, "the shape must be [n, %u, %u, %u] (channels, height, width)", s->channels, s->height,
            s->width);
    return err_at(err, "/shape");
}

/* ---- the input's description ---- */

static int read_datatype(struct oip_input *input, const struct json *json, struct err *err)
{
    const char *name = string(json, "datatype", err);
    if (name == NULL)
        return -1;
    static const char *const names[OIP_OTHER] = {"UINT8", "FP32", "BYTES"};
    input->datatype = OIP_UINT8;
    while (input->datatype < OIP_OTHER && strcmp(name, names[input->datatype]) != 0)
        input->datatype++;
    if (input->datatype != OIP_OTHER)
        return 0;
    static const struct {
        const char *begins, *instead;
    } hints[] = {{"INT", "whole pixels, 0 to 255, as UINT8"},
                 {"UINT", "whole pixels, 0 to 255, as UINT8"},
                 {"BOOL", "whole pixels, 0 to 255, as UINT8"},
                 {"FP", "its values as FP32"},
                 {"BF", "its values as FP32"},
                 {"", "UINT8, FP32 or BYTES"}};
    unsigned i = 0;
    while (strncasecmp(name, hints[i].begins, strlen(hints[i].begins)) != 0)
        i++;
    err_set(err, ERR_VALUE, "datatype %.20s is not supported: send %s", name, hints[i].instead);
    return err_at(err, "/datatype");
}

/* Where the values are: `data`, or binary_data_size bytes after the JSON. */
static int read_place(struct oip_input *input, const struct json *json, const uint8_t *binary, size_t n_binary,
                      struct err *err)
{
    const struct json *size = parameter(json, "binary_data_size");
    input->data = json_get(json, "data");
    if (size == NULL && input->data != NULL) {
        if (n_binary > 0)
            return err_set(err, ERR_INPUT_SIZE, "%zu bytes follow the JSON, but no tensor has a binary_data_size",
                           n_binary);
        if (json_type(input->data) == JSON_ARRAY)
            return 0;
        err_set(err, ERR_VALUE, "data must be a list, but is %s", json_type_name(input->data));
        return err_at(err, "/data");
    }
    uint64_t n = 0;
    if (size == NULL)
        return err_set(err, ERR_VALUE, "the tensor has neither data nor the parameter binary_data_size");
    if (input->data != NULL) {
        err_set(err, ERR_VALUE, "the tensor has both data and binary_data_size: send only one");
        return err_at(err, "/data");
    }
    if (!json_whole(&n, size, n_binary, n_binary)) {
        err_set(err, ERR_INPUT_SIZE, "binary_data_size must be the number of bytes that follow the JSON, which is %zu",
                n_binary);
        return err_at(err, "/parameters/binary_data_size");
    }
    input->bytes = binary;
    input->n_bytes = n_binary;
    return 0;
}

static int read_scale(struct oip_input *input, const struct json *json, struct err *err)
{
    const struct json *scale = parameter(json, "scale");
    input->scale = input->datatype == OIP_FP32 ? 0 : 1;
    if (scale == NULL)
        return 0;
    input->scale = json_type(scale) == JSON_NUMBER ? json_number(scale) : 0;
    if (input->scale > 0 && input->datatype == OIP_FP32)
        return 0;
    err_set(err, ERR_VALUE,
            "scale must be a number greater than 0, for a tensor of FP32: value x scale is a pixel, 0 to 255");
    return err_at(err, "/parameters/scale");
}

static int read_input(struct oip_input *input, const struct json *json, const uint8_t *binary, size_t n_binary,
                      const struct body_rules *rules, struct err *err)
{
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_VALUE, "an input must be an object, but is %s", json_type_name(json));
    const char *name = string(json, "name", err);
    if (name == NULL)
        return -1;
    if (strcmp(name, "pixels") != 0) {
        err_set(err, ERR_VALUE, "unknown input \"%.40s\": the model's input is \"pixels\"", name);
        return err_at(err, "/name");
    }
    if (check_parameters(json, err) != 0 || read_datatype(input, json, err) != 0 ||
        read_shape(input, json, &rules->learner->shape, err) != 0 || read_scale(input, json, err) != 0 ||
        read_place(input, json, binary, n_binary, err) != 0)
        return -1;
    if (input->n == 0) {
        err_set(err, ERR_EMPTY, "the tensor holds no image");
        return err_at(err, "/shape");
    }
    return 0;
}

/* ---- outputs ---- */

static int read_output(struct oip_request *out, const struct json *json, bool binary, const struct learner *learner,
                       struct err *err)
{
    if (json_type(json) != JSON_OBJECT)
        return err_set(err, ERR_VALUE, "an output must be an object, but is %s", json_type_name(json));
    const char *name = string(json, "name", err);
    if (name == NULL || check_parameters(json, err) != 0)
        return -1;
    struct oip_output output = {.binary = binary};
    if (strcmp(name, "label") == 0) {
        output.tensor = OIP_LABEL;
    } else if (strcmp(name, "probabilities") != 0) {
        err_set(err, ERR_VALUE, "unknown output \"%.40s\": the model's outputs are \"probabilities\" and \"label\"",
                name);
        return err_at(err, "/name");
    }
    for (unsigned i = 0; i < out->n_outputs; i++)
        if (out->outputs[i].tensor == output.tensor) {
            err_set(err, ERR_VALUE, "the output \"%s\" is requested twice", name);
            return err_at(err, "/name");
        }
    const struct json *classes = parameter(json, "classification");
    uint64_t k = 0;
    if (classes != NULL && (output.tensor != OIP_PROBABILITIES || !json_whole(&k, classes, 1, JSON_WHOLE_MAX))) {
        err_set(err, ERR_VALUE,
                "classification must be a whole number greater than 0, for the output \"probabilities\"");
        return err_at(err, "/parameters/classification");
    }
    output.classes = k < learner->n_classes ? (uint32_t)k : learner->n_classes;
    if (flag(&output.binary, json, "binary_data", err) != 0)
        return -1;
    out->outputs[out->n_outputs++] = output;
    return 0;
}

static int read_outputs(struct oip_request *out, const struct json *root, const struct learner *learner,
                        struct err *err)
{
    const struct json *outputs = json_get(root, "outputs");
    bool binary = false;
    if (flag(&binary, root, "binary_data_output", err) != 0)
        return -1;
    if (outputs == NULL || (json_type(outputs) == JSON_ARRAY && json_length(outputs) == 0)) {
        for (unsigned i = 0; i < OIP_TENSOR_N; i++)
            out->outputs[out->n_outputs++] = (struct oip_output){.tensor = (enum oip_tensor)i, .binary = binary};
        return 0;
    }
    if (json_type(outputs) != JSON_ARRAY) {
        err_set(err, ERR_VALUE, "outputs must be a list, but is %s", json_type_name(outputs));
        return err_at(err, "/outputs");
    }
    unsigned i = 0;
    for (const struct json *output = json_first(outputs); output != NULL; output = json_next(output), i++)
        if (read_output(out, output, binary, learner, err) != 0)
            return err_under(err, "/outputs/%u", i);
    return 0;
}

/* ---- the whole ---- */

static int read_document(struct oip_request *out, const uint8_t *binary, size_t n_binary,
                         const struct body_rules *rules, struct err *err)
{
    const struct json *root = out->document, *inputs = json_get(root, "inputs");
    if (json_type(root) != JSON_OBJECT)
        return err_set(err, ERR_VALUE, "expected a JSON object, but got %s", json_type_name(root));
    if (json_get(root, "id") != NULL && (out->id = string(root, "id", err)) == NULL)
        return -1;
    if (inputs == NULL || json_type(inputs) != JSON_ARRAY || json_length(inputs) != 1) {
        err_set(err, ERR_VALUE, "inputs must be a list of one tensor, \"pixels\"");
        return err_at(err, "/inputs");
    }
    struct oip_input input = {0};
    if (check_parameters(root, err) != 0 || flag(&out->known, root, "known", err) != 0 ||
        read_outputs(out, root, rules->learner, err) != 0)
        return -1;
    if (read_input(&input, json_first(inputs), binary, n_binary, rules, err) != 0)
        return err_under(err, "/inputs/0");
    if (input.scale == 0)
        input.scale = oip_input_scale(&input);
    out->scale = input.datatype == OIP_FP32 ? input.scale : 0;
    if (oip_input_take(&out->batch, &input, rules, err) != 0)
        return err_under(err, "/inputs/0");
    return 0;
}

/* Triton's raw binary request. */
static int read_raw(struct oip_request *out, const uint8_t *body, size_t n_body, const struct body_rules *rules,
                    struct err *err)
{
    const struct body_source source = {.bytes = body, .n_bytes = n_body, .content_type = "application/octet-stream"};
    for (; out->n_outputs < OIP_TENSOR_N; out->n_outputs++)
        out->outputs[out->n_outputs] = (struct oip_output){.tensor = (enum oip_tensor)out->n_outputs, .binary = true};
    if (body_decode(&out->batch, &source, rules, err) == 0)
        return 0;
    return err_wrap(err, "Inference-Header-Content-Length is 0, so the body is the pixels alone");
}

int oip_decode(struct oip_request *out, const uint8_t *body, size_t n_body, uint64_t n_json,
               const struct body_rules *rules, struct err *err)
{
    *out = (struct oip_request){.least_known = NAN};
    if (n_body == 0)
        return err_set(err, ERR_EMPTY, "the body is empty: send an inference request");
    if (n_json == OIP_NO_HEADER)
        n_json = n_body;
    if (n_json > n_body)
        return err_set(err, ERR_SYNTAX, "Inference-Header-Content-Length is larger than the body, which has %zu bytes",
                       n_body);
    if (rules->limits->light && n_body > BODY_LIGHT_BYTES)
        return image_too_heavy(rules->limits, err);
    if (n_json == 0)
        return read_raw(out, body, n_body, rules, err);
    const struct file_kind kind = file_kind(body, (size_t)n_json);
    if (kind.sure && kind.format != FILE_JSON && kind.format != FILE_TEXT)
        return err_set(err, ERR_MEDIA_TYPE,
                       "an inference request is JSON, but the body looks like %s: send a picture to /predict, as a "
                       "tensor of BYTES in base64, or with Inference-Header-Content-Length: 0",
                       kind.name);
    if (body_tree((size_t)n_json, rules, err) != 0 ||
        (out->document = json_parse((const char *)body, (size_t)n_json, err)) == NULL)
        return -1;
    return read_document(out, body + n_json, n_body - (size_t)n_json, rules, err);
}

void oip_request_fini(struct oip_request *request)
{
    batch_fini(&request->batch);
    json_free(request->document);
    *request = (struct oip_request){0};
}
