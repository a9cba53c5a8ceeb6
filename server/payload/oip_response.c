/* oip_response.c - writing metadata and inference responses; see payload/oip.h */
#include <stdio.h>
#include <string.h>

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

bool oip_owns(const char *path)
{
    return path[0] == '/' && path[1] == 'v' && path[2] == '2' && (path[3] == '\0' || path[3] == '/');
}

/* ---- metadata ---- */

void oip_write_metadata(struct text *text, const char *model, const struct learner *learner)
{
    const struct shape *s = &learner->shape;
    text_add_string(text, "{\"name\":");
    text_add_quoted(text, model, strlen(model));
    text_add_format(text,
                    ",\"versions\":[\"%llu\"],\"platform\":\"convd\","
                    "\"inputs\":[{\"name\":\"pixels\",\"datatype\":\"UINT8\",\"shape\":[-1,%u,%u,%u]}],"
                    "\"outputs\":[{\"name\":\"probabilities\",\"datatype\":\"FP32\",\"shape\":[-1,%u]},"
                    "{\"name\":\"label\",\"datatype\":\"BYTES\",\"shape\":[-1]}]}\n",
                    (unsigned long long)learner->revision, s->channels, s->height, s->width, learner->n_classes);
}

/* ---- tensors ---- */

/* What an answer is made of. */
struct source {
    const struct learner *learner;
    const float *probabilities; /* [n][stride] */
    size_t stride;
    uint32_t n, *order;
};

static void put_u32(struct text *text, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
    text_add(text, bytes, sizeof bytes);
}

/* One element of a BYTES tensor, the first of its tensor or not. */
static void put_element(struct text *text, const char *bytes, size_t n_bytes, bool binary, bool first)
{
    if (binary) {
        put_u32(text, (uint32_t)n_bytes);
        text_add(text, bytes, n_bytes);
        return;
    }
    if (!first)
        text_add(text, ",", 1);
    text_add_quoted(text, bytes, n_bytes);
}

/* The k best of one image, "value:index:label" each. */
static void put_classes(struct text *text, const struct source *source, uint32_t image, uint32_t k, bool binary)
{
    const float *p = source->probabilities + image * source->stride;
    char element[LABEL_BYTES_MAX + 40];
    rank_classes(source->order, p, source->learner->n_classes);
    for (uint32_t i = 0; i < k; i++) {
        uint32_t c = source->order[i];
        int n = snprintf(element, sizeof element, "%.9f:%u:%s", (double)p[c], c, source->learner->labels[c]);
        put_element(text, element, (size_t)n, binary, image == 0 && i == 0);
    }
}

static void put_probabilities(struct text *text, const struct source *source, uint32_t image, bool binary)
{
    const float *p = source->probabilities + image * source->stride;
    for (uint32_t c = 0; c < source->learner->n_classes; c++) {
        if (binary) {
            uint32_t bits;
            memcpy(&bits, &p[c], sizeof bits);
            put_u32(text, bits);
            continue;
        }
        if (image > 0 || c > 0)
            text_add(text, ",", 1);
        text_add_fixed9(text, (double)p[c]);
    }
}

static void put_values(struct text *text, const struct source *source, const struct oip_output *output)
{
    for (uint32_t image = 0; image < source->n; image++) {
        if (output->tensor == OIP_LABEL) {
            const float *p = source->probabilities + image * source->stride;
            const char *label = source->learner->labels[net_argmax(&source->learner->net, p)];
            put_element(text, label, strlen(label), output->binary, image == 0);
        } else if (output->classes > 0) {
            put_classes(text, source, image, output->classes, output->binary);
        } else {
            put_probabilities(text, source, image, output->binary);
        }
    }
}

/* The output's description; its values go into it, or into `binary`, to follow the JSON. */
static void put_output(struct text *text, struct text *binary, const struct source *source,
                       const struct oip_output *output)
{
    uint32_t columns = output->tensor == OIP_LABEL ? 0
                       : output->classes > 0       ? output->classes
                                                   : source->learner->n_classes;
    text_add_format(text, "{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%u",
                    output->tensor == OIP_LABEL ? "label" : "probabilities",
                    output->tensor == OIP_LABEL || output->classes > 0 ? "BYTES" : "FP32", source->n);
    if (columns > 0)
        text_add_format(text, ",%u", columns);
    if (!output->binary) {
        text_add_string(text, "],\"data\":[");
        put_values(text, source, output);
        text_add_string(text, "]}");
        return;
    }
    size_t before = binary->n;
    put_values(binary, source, output);
    text_add_format(text, "],\"parameters\":{\"binary_data_size\":%zu}}", binary->n - before);
}

/* What is worth a word: the scale that was taken, and that an image is flat. */
static void put_parameters(struct text *text, const struct oip_request *request, const struct learner *learner)
{
    const struct batch *batch = &request->batch;
    uint32_t i = 0;
    while (i < batch->n && !image_is_flat(batch->pixels + (size_t)i * learner->shape.n_input, &learner->shape))
        i++;
    const bool flat = i < batch->n;
    if (!flat && request->scale == 0)
        return;
    text_add_string(text, ",\"parameters\":{");
    if (request->scale > 0)
        text_add_format(text, "\"scale\":%.9g%s", request->scale, flat ? "," : "");
    text_add_string(text, flat ? "\"flat\":true}" : "}");
}

size_t oip_write_answer(struct text *text, const struct oip_request *request, const char *model,
                        const struct learner *learner, const float *probabilities, size_t stride, uint32_t *order)
{
    struct source source = {learner, probabilities, stride, request->batch.n, order};
    struct text binary = {0};
    bool any = false;
    text_clear(text);
    text_add_string(text, "{\"model_name\":");
    text_add_quoted(text, model, strlen(model));
    text_add_format(text, ",\"model_version\":\"%llu\"", (unsigned long long)learner->revision);
    if (request->id != NULL) {
        text_add_string(text, ",\"id\":");
        text_add_quoted(text, request->id, strlen(request->id));
    }
    put_parameters(text, request, learner);
    text_add_string(text, ",\"outputs\":[");
    for (unsigned i = 0; i < request->n_outputs; i++) {
        if (i > 0)
            text_add(text, ",", 1);
        put_output(text, &binary, &source, &request->outputs[i]);
        any = any || request->outputs[i].binary;
    }
    text_add_string(text, "]}");
    size_t n_json = text->n;
    text_add(text, binary.bytes, binary.n);
    text->failed = text->failed || binary.failed;
    text_free(&binary);
    return any ? n_json : 0;
}
