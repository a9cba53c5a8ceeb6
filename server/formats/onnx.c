/* onnx.c - see formats/onnx.h. The numbers of fields and types are those of onnx.proto3, which says of itself that they stay. */
#include "server/formats/onnx.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/text.h"
#include "server/formats/metadata.h"

#define IR_VERSION    7
#define OPSET_VERSION 13

enum data_type { FLOAT = 1, UINT8 = 2, INT64 = 7 };            /* TensorProto.DataType */
enum attribute_type { ATTRIBUTE_INT = 2, ATTRIBUTE_INTS = 7 }; /* AttributeProto.AttributeType */

/* ---- protobuf: a field is its number and wire type (0 varint, 2 length and bytes), then its value ---- */

static void put_varint(struct text *out, uint64_t value)
{
    uint8_t bytes[10];
    size_t n = 0;
    for (; value > 127; value >>= 7)
        bytes[n++] = (uint8_t)(value | 128);
    bytes[n++] = (uint8_t)value;
    text_add(out, bytes, n);
}

static void put_number(struct text *out, unsigned field, uint64_t value)
{
    put_varint(out, field << 3);
    put_varint(out, value);
}

static void put_bytes(struct text *out, unsigned field, const void *bytes, size_t n_bytes)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, n_bytes);
    text_add(out, bytes, n_bytes);
}

static void put_string(struct text *out, unsigned field, const char *string)
{
    put_bytes(out, field, string, strlen(string));
}

/* A message inside a message. Its length comes before it but is known after it, so room for five digits is left: a varint
 * may have leading zeros. message_open() returns where the message begins, for message_close(). */
#define LENGTH_BYTES 5

static size_t message_open(struct text *out, unsigned field)
{
    put_varint(out, field << 3 | 2);
    text_add(out, (const uint8_t[LENGTH_BYTES]){0}, LENGTH_BYTES);
    return out->n;
}

static void message_close(struct text *out, size_t begin)
{
    if (out->failed)
        return;
    size_t length = out->n - begin;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        out->bytes[begin - LENGTH_BYTES + i] = (char)((length >> (7 * i) & 127) | (i + 1 < LENGTH_BYTES ? 128 : 0));
}

/* ---- TensorProto ---- */

static void put_tensor(struct text *out, const char *name, enum data_type type, const uint64_t *sides, unsigned n_sides,
                       const void *data, size_t n_bytes)
{
    size_t tensor = message_open(out, 5); /* GraphProto.initializer */
    for (unsigned i = 0; i < n_sides; i++)
        put_number(out, 1, sides[i]);
    put_number(out, 2, type);
    put_string(out, 8, name);
    put_bytes(out, 9, data, n_bytes); /* raw_data: little-endian, row-major */
    message_close(out, tensor);
}

static void put_scalar(struct text *out, const char *name, float value)
{
    floats_to_little_endian(&value, 1);
    put_tensor(out, name, FLOAT, NULL, 0, &value, sizeof value);
}

/* The target of Reshape: [-1, n_0]. */
static void put_target(struct text *out, uint32_t n_0)
{
    uint8_t bytes[16];
    memset(bytes, 0xff, 8);
    for (unsigned i = 0; i < 8; i++)
        bytes[8 + i] = (uint8_t)((uint64_t)n_0 >> (8 * i));
    put_tensor(out, "rows", INT64, (const uint64_t[]){2}, 1, bytes, sizeof bytes);
}

static int put_parameters(struct text *out, const struct learner *learner, struct err *err)
{
    const struct shape *s = &learner->shape;
    /* shape_check() has bounded the parameters by 2^28: nothing here can overflow. */
    size_t n_k = (size_t)s->kernels * s->n_k, n_01 = (size_t)s->n_0 * s->n_1,
           n_12 = (size_t)s->n_1 * learner->n_classes;
    float *k = malloc((n_k + n_01 + n_12) * sizeof *k);
    if (k == NULL || !text_reserve(out, (n_k + n_01 + n_12) * sizeof *k + 16384)) {
        free(k);
        return err_memory(err, "an ONNX file");
    }
    float *w01 = k + n_k, *w12 = w01 + n_01;
    net_export(&learner->net, k, w01, w12);
    floats_to_little_endian(k, n_k + n_01 + n_12);
    if (n_k > 0)
        put_tensor(out, "kernels", FLOAT,
                   (const uint64_t[]){s->kernels, s->channels, s->kernel_height, s->kernel_width}, 4, k,
                   n_k * sizeof *k);
    put_tensor(out, "w01", FLOAT, (const uint64_t[]){s->n_0, s->n_1}, 2, w01, n_01 * sizeof *k);
    put_tensor(out, "w12", FLOAT, (const uint64_t[]){s->n_1, learner->n_classes}, 2, w12, n_12 * sizeof *k);
    if (learner->settings.normalize == NORMALIZE_STD) {
        put_scalar(out, "least", (float)NORMALIZE_LEAST);
        put_scalar(out, "unit", (float)NORMALIZE_DEVIATION);
    } else {
        put_scalar(out, "unit", 1.0F / 255);
    }
    put_scalar(out, "mean", learner->settings.mean);
    put_target(out, s->n_0);
    free(k);
    return 0;
}

/* ---- NodeProto: every node has one output, which it is named after ---- */

static size_t node_open(struct text *out, const char *operator, const char * output, const char *input,
                        const char *other)
{
    size_t node = message_open(out, 1); /* GraphProto.node */
    put_string(out, 1, input);
    if (other != NULL)
        put_string(out, 1, other);
    put_string(out, 2, output);
    put_string(out, 3, output);
    put_string(out, 4, operator);
    return node;
}

static void put_node(struct text *out, const char *operator, const char * output, const char *input, const char *other)
{
    message_close(out, node_open(out, operator, output, input, other));
}

static void put_attribute(struct text *out, const char *name, enum attribute_type type, const uint64_t *values,
                          unsigned n)
{
    size_t attribute = message_open(out, 5); /* NodeProto.attribute */
    put_string(out, 1, name);
    for (unsigned i = 0; i < n; i++)
        put_number(out, type == ATTRIBUTE_INT ? 3 : 8, values[i]);
    put_number(out, 20, type);
    message_close(out, attribute);
}

/* The mean over all but the batch, kept as [batch, 1, 1, 1]. */
static void put_image_mean(struct text *out, const char *output, const char *input)
{
    size_t node = node_open(out, "ReduceMean", output, input, NULL);
    put_attribute(out, "axes", ATTRIBUTE_INTS, (const uint64_t[]){1, 2, 3}, 3);
    put_attribute(out, "keepdims", ATTRIBUTE_INT, (const uint64_t[]){1}, 1);
    message_close(out, node);
}

/* x of "value": the equations of core/net.h. */
static void put_input(struct text *out, enum normalize normalize)
{
    const char *from = "value";
    if (normalize != NORMALIZE_NONE) {
        put_image_mean(out, "image_mean", from);
        put_node(out, "Sub", "centred", from, "image_mean");
        from = "centred";
    }
    if (normalize == NORMALIZE_STD) {
        put_node(out, "Mul", "squares", from, from);
        put_image_mean(out, "variance", "squares");
        put_node(out, "Sqrt", "deviation", "variance", NULL);
        put_node(out, "Max", "divisor", "deviation", "least");
        put_node(out, "Div", "standard", from, "divisor");
        from = "standard";
    }
    put_node(out, "Mul", "scaled", from, "unit");
    put_node(out, "Sub", "x", "scaled", "mean");
}

static void put_nodes(struct text *out, const struct shape *s, enum normalize normalize)
{
    size_t node = node_open(out, "Cast", "value", "pixels", NULL);
    put_attribute(out, "to", ATTRIBUTE_INT, (const uint64_t[]){FLOAT}, 1);
    message_close(out, node);
    put_input(out, normalize);
    if (s->kernels > 0) {
        node = node_open(out, "Conv", "lc", "x", "kernels");
        put_attribute(out, "kernel_shape", ATTRIBUTE_INTS, (const uint64_t[]){s->kernel_height, s->kernel_width}, 2);
        put_attribute(out, "strides", ATTRIBUTE_INTS, (const uint64_t[]){s->stride, s->stride}, 2);
        message_close(out, node);
        node = node_open(out, "ReduceMax", "lc_max", "lc", NULL);
        put_attribute(out, "axes", ATTRIBUTE_INTS, (const uint64_t[]){1}, 1);
        put_attribute(out, "keepdims", ATTRIBUTE_INT, (const uint64_t[]){0}, 1);
        message_close(out, node);
        put_node(out, "Tanh", "pooled", "lc_max", NULL);
    }
    put_node(out, "Reshape", "l0", s->kernels > 0 ? "pooled" : "x", "rows");
    put_node(out, "MatMul", "z1", "l0", "w01");
    put_node(out, "Tanh", "l1", "z1", NULL);
    put_node(out, "MatMul", "z2", "l1", "w12");
    node = node_open(out, "Softmax", "probabilities", "z2", NULL);
    put_attribute(out, "axis", ATTRIBUTE_INT, (const uint64_t[]){UINT64_MAX}, 1); /* -1 */
    message_close(out, node);
}

/* ---- GraphProto and ModelProto ---- */

/* ValueInfoProto of a tensor whose first side is the batch. */
static void put_value_info(struct text *out, unsigned field, const char *name, enum data_type type,
                           const uint32_t *sides, unsigned n_sides)
{
    size_t info = message_open(out, field);
    put_string(out, 1, name);
    size_t outer = message_open(out, 2);  /* TypeProto */
    size_t tensor = message_open(out, 1); /* TypeProto.tensor_type */
    put_number(out, 1, type);
    size_t shape = message_open(out, 2);
    size_t side = message_open(out, 1);
    put_string(out, 2, "batch"); /* dim_param */
    message_close(out, side);
    for (unsigned i = 0; i < n_sides; i++) {
        side = message_open(out, 1);
        put_number(out, 1, sides[i]); /* dim_value */
        message_close(out, side);
    }
    message_close(out, shape);
    message_close(out, tensor);
    message_close(out, outer);
    message_close(out, info);
}

static int put_graph(struct text *out, const struct learner *learner, struct err *err)
{
    const struct shape *s = &learner->shape;
    size_t graph = message_open(out, 7); /* ModelProto.graph */
    put_nodes(out, s, learner->settings.normalize);
    put_string(out, 2, "convd");
    if (put_parameters(out, learner, err) != 0)
        return -1;
    put_value_info(out, 11, "pixels", UINT8, (const uint32_t[]){s->channels, s->height, s->width}, 3);
    put_value_info(out, 12, "probabilities", FLOAT, &learner->n_classes, 1);
    message_close(out, graph);
    return 0;
}

/* ModelProto.metadata_props */
static void put_property(void *context, const char *name, const char *text)
{
    struct text *out = context;
    size_t property = message_open(out, 14);
    put_string(out, 1, name);
    put_string(out, 2, text);
    message_close(out, property);
}

int onnx_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err)
{
    struct text out = {0};
    put_number(&out, 1, IR_VERSION);
    put_string(&out, 2, "convd");
    put_string(&out, 3, CONVD_VERSION);
    put_number(&out, 5, learner->revision);
    size_t opset = message_open(&out, 8);
    put_string(&out, 1, ""); /* the default domain */
    put_number(&out, 2, OPSET_VERSION);
    message_close(&out, opset);
    int status = put_graph(&out, learner, err);
    const bool whole = metadata_each(learner, put_property, &out);
    *n_bytes = out.n;
    *bytes = status == 0 && whole ? (uint8_t *)text_take(&out) : NULL;
    text_free(&out);
    if (status == 0 && *bytes == NULL)
        status = err_memory(err, "an ONNX file");
    return status;
}
