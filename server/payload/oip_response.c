/* oip_response.c - writing metadata and inference responses; see payload/oip.h */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/common/json_scan.h"
#include "server/common/rank.h"
#include "server/image/image.h"
#include "server/payload/oip.h"

void oip_model_name(char name[OIP_NAME_BYTES], const char *db)
{
    const char *slash = strrchr(db, '/'), *stem = slash != NULL ? slash + 1 : db, *dot = strrchr(stem, '.');
    size_t n = dot != NULL && dot != stem ? (size_t)(dot - stem) : strlen(stem);
    if (n == 0 || n >= OIP_NAME_BYTES) {
        stem = "convd";
        n = 5;
    }
    memcpy(name, stem, n);
    name[n] = '\0';
}

int oip_check_name(const char *name, struct err *err)
{
    const size_t n = strlen(name);
    size_t i = 0;
    while (i < n && json_utf8(name + i, n - i) > 0 && (unsigned char)name[i] >= 0x20 && name[i] != 0x7f &&
           name[i] != '/')
        i += json_utf8(name + i, n - i);
    if (n > 0 && n < OIP_NAME_BYTES && i == n)
        return 0;
    return err_set(err, ERR_USAGE, "--name must be 1 to %u bytes of UTF-8 without slashes and control characters",
                   OIP_NAME_BYTES - 1);
}

bool oip_owns(const char *path)
{
    return path[0] == '/' && path[1] == 'v' && path[2] == '2' && (path[3] == '\0' || path[3] == '/');
}

/* ---- metadata ---- */

/* labels: whose classes its columns are; NULL: it has none. */
static void put_tensor(struct json_writer *json, const char *name, const char *type, const uint32_t *sides,
                       size_t n_sides, const struct learner *labels)
{
    json_write_object(json, NULL);
    json_write_string(json, "name", name);
    json_write_string(json, "datatype", type);
    json_write_array(json, "shape");
    json_write_i64(json, NULL, -1);
    for (size_t i = 0; i < n_sides; i++)
        json_write_u64(json, NULL, sides[i]);
    json_write_end(json);
    if (labels != NULL) {
        json_write_object(json, "parameters");
        json_write_array(json, "labels");
        for (uint32_t c = 0; c < labels->n_classes; c++)
            json_write_string(json, NULL, labels->labels[c]);
        json_write_end(json);
        json_write_end(json);
    }
    json_write_end(json);
}

void oip_write_metadata(struct json_writer *json, const char *model, const struct learner *learner)
{
    const struct shape *s = &learner->shape;
    json_write_string(json, "name", model);
    json_write_array(json, "versions");
    json_write_string(json, NULL, OIP_VERSION);
    json_write_end(json);
    json_write_string(json, "platform", "convd");
    json_write_array(json, "inputs");
    put_tensor(json, "pixels", "UINT8", (const uint32_t[]){s->channels, s->height, s->width}, 3, NULL);
    json_write_end(json);
    json_write_array(json, "outputs");
    put_tensor(json, "probabilities", "FP32", &learner->n_classes, 1, learner);
    put_tensor(json, "label", "BYTES", NULL, 0, NULL);
    json_write_end(json);
}

/* A tensor of the configuration, whose sides are those of one image. */
static void put_config_tensor(struct json_writer *json, const char *name, const char *type, const char *format,
                              const uint32_t *sides, size_t n_sides)
{
    json_write_object(json, NULL);
    json_write_string(json, "name", name);
    json_write_string(json, "data_type", type);
    if (format != NULL)
        json_write_string(json, "format", format);
    json_write_array(json, "dims");
    for (size_t i = 0; i < n_sides; i++)
        json_write_u64(json, NULL, sides[i]);
    json_write_end(json);
    json_write_end(json);
}

void oip_write_config(struct json_writer *json, const char *model, const struct learner *learner, uint32_t images_max)
{
    const struct shape *s = &learner->shape;
    json_write_string(json, "name", model);
    json_write_string(json, "platform", "convd");
    json_write_string(json, "backend", "convd");
    json_write_u64(json, "max_batch_size", images_max);
    json_write_array(json, "input");
    put_config_tensor(json, "pixels", "TYPE_UINT8", "FORMAT_NCHW", (const uint32_t[]){s->channels, s->height, s->width},
                      3);
    json_write_end(json);
    json_write_array(json, "output");
    put_config_tensor(json, "probabilities", "TYPE_FP32", NULL, &learner->n_classes, 1);
    put_config_tensor(json, "label", "TYPE_STRING", NULL, NULL, 0);
    json_write_end(json);
}

/* ---- tensors ---- */

/* What a response is made of. */
struct source {
    const struct learner *learner;
    const float *probabilities; /* [n][stride] */
    size_t stride;
    uint32_t n, *order;
};

/* Where values go: into the JSON, or as bytes behind it. */
struct sink {
    struct json_writer *json;
    struct text *binary; /* NULL: JSON */
};

static void put_u32(struct text *text, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
    text_add(text, bytes, sizeof bytes);
}

/* One element of a BYTES tensor. */
static void put_element(const struct sink *sink, const char *element)
{
    if (sink->binary == NULL) {
        json_write_string(sink->json, NULL, element);
    } else {
        put_u32(sink->binary, (uint32_t)strlen(element));
        text_add_string(sink->binary, element);
    }
}

/* The k best of one image, "value:index:label" each. */
static void put_classes(const struct sink *sink, const struct source *source, const float *p, uint32_t k)
{
    char element[LABEL_BYTES_MAX + 40];
    rank_classes(source->order, p, source->learner->n_classes);
    for (uint32_t i = 0; i < k; i++) {
        uint32_t c = source->order[i];
        (void)snprintf(element, sizeof element, "%.9f:%u:%s", (double)p[c], c, source->learner->labels[c]);
        put_element(sink, element);
    }
}

static void put_probabilities(const struct sink *sink, const struct source *source, const float *p)
{
    for (uint32_t c = 0; c < source->learner->n_classes; c++) {
        uint32_t bits;
        memcpy(&bits, &p[c], sizeof bits);
        if (sink->binary == NULL)
            json_write_fixed9(sink->json, NULL, (double)p[c]);
        else
            put_u32(sink->binary, bits);
    }
}

static void put_values(const struct sink *sink, const struct source *source, const struct oip_output *output)
{
    for (uint32_t image = 0; image < source->n; image++) {
        const float *p = source->probabilities + image * source->stride;
        if (output->tensor == OIP_LABEL)
            put_element(sink, source->learner->labels[net_argmax(&source->learner->net, p)]);
        else if (output->classes > 0)
            put_classes(sink, source, p, output->classes);
        else
            put_probabilities(sink, source, p);
    }
}

/* The output's description; its values go into it, or into `binary`, to follow the JSON. */
static void put_output(struct json_writer *json, struct text *binary, const struct source *source,
                       const struct oip_output *output)
{
    const bool label = output->tensor == OIP_LABEL;
    const size_t before = binary->n;
    json_write_object(json, NULL);
    json_write_string(json, "name", label ? "label" : "probabilities");
    json_write_string(json, "datatype", label || output->classes > 0 ? "BYTES" : "FP32");
    json_write_array(json, "shape");
    json_write_u64(json, NULL, source->n);
    if (!label)
        json_write_u64(json, NULL, output->classes > 0 ? output->classes : source->learner->n_classes);
    json_write_end(json);
    if (output->binary) {
        put_values(&(struct sink){NULL, binary}, source, output);
        json_write_object(json, "parameters");
        json_write_u64(json, "binary_data_size", binary->n - before);
    } else {
        json_write_array(json, "data");
        put_values(&(struct sink){json, NULL}, source, output);
    }
    json_write_end(json);
    json_write_end(json);
}

/* The revision that answered, the scale that was taken, that an image is flat, and what was asked for. */
static void put_parameters(struct json_writer *json, const struct oip_request *request, const struct learner *learner)
{
    const struct batch *batch = &request->batch;
    uint32_t i = 0;
    while (i < batch->n && !image_is_flat(batch->pixels + (size_t)i * learner->shape.n_input, &learner->shape))
        i++;
    json_write_object(json, "parameters");
    json_write_u64(json, "revision", learner->revision);
    if (request->scale > 0)
        text_add_format(json_write_value(json, "scale"), "%.9g", request->scale);
    if (i < batch->n)
        json_write_bool(json, "flat", true);
    if (!isnan(request->least_known))
        json_write_fixed9(json, "known", (double)request->least_known);
    json_write_end(json);
}

size_t oip_write_response(struct text *text, const struct oip_request *request, const char *model,
                          const struct learner *learner, const float *probabilities, size_t stride, uint32_t *order)
{
    struct source source = {learner, probabilities, stride, request->batch.n, order};
    struct text binary = {0};
    bool any = false;
    text_clear(text);
    struct json_writer json = json_write_begin(text);
    json_write_string(&json, "model_name", model);
    json_write_string(&json, "model_version", OIP_VERSION);
    if (request->id != NULL)
        json_write_string(&json, "id", request->id);
    put_parameters(&json, request, learner);
    json_write_array(&json, "outputs");
    for (unsigned i = 0; i < request->n_outputs; i++) {
        put_output(&json, &binary, &source, &request->outputs[i]);
        any = any || request->outputs[i].binary;
    }
    json_write_end(&json);
    json_write_end(&json);
    size_t n_json = text->n;
    text_add(text, binary.bytes, binary.n);
    text->failed = text->failed || binary.failed;
    text_free(&binary);
    return any ? n_json : 0;
}
