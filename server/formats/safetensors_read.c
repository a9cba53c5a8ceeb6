/* safetensors_read.c - reading the format of formats/safetensors.h, of which nothing is believed before it is checked.
 *
 * The order is what makes it safe: header's length against the file, header as strict JSON, tensors' shapes against
 * convd's limits (so that no product can overflow), their offsets against the shapes and the file; only then memory.
 */
#include "server/formats/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/json.h"
#include "server/common/label_take.h"

#define HEADER_BYTES_MAX ((uint64_t)4 << 20) /* labels of 1,024 classes need 0.4 MiB at most */
#define SIDES_MAX        4

struct tensor {
    const char *name;
    unsigned n_sides;
    bool there;
    uint32_t side[SIDES_MAX];
    uint64_t floats, begin; /* begin: bytes from the start of the data */
};

enum { KERNELS, W01, W12, N_TENSORS };

struct file {
    const uint8_t *data;
    size_t n_data;
    struct tensor tensor[N_TENSORS];
};

/* ---- tensors ---- */

static int read_shape(struct tensor *t, const struct json *shape, struct err *err)
{
    if (shape == NULL || json_type(shape) != JSON_ARRAY || json_length(shape) != t->n_sides)
        return err_set(err, ERR_FILE, "the tensor %s must have a shape of %u sides", t->name, t->n_sides);
    t->floats = 1;
    unsigned i = 0;
    for (const struct json *v = json_first(shape); v != NULL; v = json_next(v), i++) {
        const uint64_t low = strcmp(t->name, "w12") == 0 && i == 1 ? 0 : 1; /* a model without a class */
        uint64_t side;
        /* Two factors below 2^29 cannot overflow, and the product is bounded before the next one comes. */
        if (!json_whole(&side, v, low, SHAPE_PARAMETERS_MAX) || (t->floats *= side) > SHAPE_PARAMETERS_MAX)
            return err_set(err, ERR_FILE, "the tensor %s must have sides of at least 1 and at most %u values", t->name,
                           SHAPE_PARAMETERS_MAX);
        t->side[i] = (uint32_t)side;
    }
    return 0;
}

static int read_tensor(struct tensor *t, const struct json *value, size_t n_data, struct err *err)
{
    const struct json *type = json_get(value, "dtype");
    const char *dtype = type == NULL ? NULL : json_string(type);
    if (dtype == NULL || strcmp(dtype, "F32") != 0)
        return err_set(err, ERR_FILE, "the tensor %s has the dtype %.20s, but convd reads F32 only", t->name,
                       dtype == NULL ? "(none)" : dtype);
    if (read_shape(t, json_get(value, "shape"), err) != 0)
        return -1;
    const struct json *offsets = json_get(value, "data_offsets");
    uint64_t end;
    if (offsets == NULL || json_length(offsets) != 2 ||
        !json_whole(&t->begin, json_first(offsets), 0, JSON_WHOLE_MAX) ||
        !json_whole(&end, json_next(json_first(offsets)), 0, JSON_WHOLE_MAX))
        return err_set(err, ERR_FILE, "the tensor %s has no two data_offsets", t->name);
    if (end > n_data)
        return err_set(err, ERR_FILE, "the tensor %s ends at byte %llu of %zu bytes of data: the file is truncated",
                       t->name, (unsigned long long)end, n_data);
    if (end < t->begin || end - t->begin != t->floats * 4)
        return err_set(err, ERR_FILE, "the tensor %s has %llu values, which its data_offsets %llu to %llu do not hold",
                       t->name, (unsigned long long)t->floats, (unsigned long long)t->begin, (unsigned long long)end);
    t->there = true;
    return 0;
}

/* From the first byte on, one after the other, in whatever order: no byte is without a tensor or in two. */
static int check_cover(const struct file *f, struct err *err)
{
    uint64_t at = 0;
    for (int n = 0; n < N_TENSORS; n++) {
        const struct tensor *next = NULL;
        for (int i = 0; i < N_TENSORS; i++)
            if (f->tensor[i].there && f->tensor[i].begin == at)
                next = &f->tensor[i];
        if (next == NULL)
            break;
        at += next->floats * 4;
    }
    for (int i = 0; i < N_TENSORS; i++)
        if (f->tensor[i].there && f->tensor[i].begin >= at && at < f->n_data)
            return err_set(err, ERR_FILE,
                           "the tensor %s begins at byte %llu of the data, but what is before it ends at %llu",
                           f->tensor[i].name, (unsigned long long)f->tensor[i].begin, (unsigned long long)at);
    if (at != f->n_data)
        return err_set(err, ERR_FILE, "there are %zu bytes of data, but the tensors do not take each once", f->n_data);
    uint64_t sum = 0;
    for (int i = 0; i < N_TENSORS; i++)
        sum += f->tensor[i].there ? f->tensor[i].floats * 4 : 0;
    return sum == f->n_data ? 0
                            : err_set(err, ERR_FILE, "tensors overlap: %llu bytes of them in %zu bytes of data",
                                      (unsigned long long)sum, f->n_data);
}

static int read_tensors(struct file *f, const struct json *root, struct err *err)
{
    for (const struct json *m = json_first(root); m != NULL; m = json_next(m)) {
        if (strcmp(json_name(m), "__metadata__") == 0)
            continue;
        struct tensor *t = NULL;
        for (int i = 0; i < N_TENSORS; i++)
            if (strcmp(json_name(m), f->tensor[i].name) == 0)
                t = &f->tensor[i];
        if (t == NULL)
            return err_set(err, ERR_FILE, "unknown tensor \"%.60s\": expected kernels, w01 and w12", json_name(m));
        if (read_tensor(t, m, f->n_data, err) != 0)
            return -1;
    }
    const struct tensor *k = &f->tensor[KERNELS], *w01 = &f->tensor[W01], *w12 = &f->tensor[W12];
    if (!w01->there || !w12->there)
        return err_set(err, ERR_FILE, "the tensor %s is missing", w01->there ? "w12" : "w01");
    if (check_cover(f, err) != 0)
        return -1;
    if (w01->side[1] != w12->side[0])
        return err_set(err, ERR_FILE, "the tensor w12 has %u rows, but w01 has %u columns", w12->side[0], w01->side[1]);
    if (w12->side[1] > SHAPE_CLASSES_MAX)
        return err_set(err, ERR_FILE, "the tensor w12 has %u columns; the limit is %u classes", w12->side[1],
                       SHAPE_CLASSES_MAX);
    if (k->there && (k->side[0] > SHAPE_KERNELS_MAX || k->side[1] > SHAPE_CHANNELS_MAX ||
                     k->side[2] > SHAPE_KERNEL_SIDE_MAX || k->side[3] > SHAPE_KERNEL_SIDE_MAX))
        return err_set(err, ERR_FILE, "the tensor kernels is %u x %u x %u x %u; the limit is %u x %u x %u x %u",
                       k->side[0], k->side[1], k->side[2], k->side[3], SHAPE_KERNELS_MAX, SHAPE_CHANNELS_MAX,
                       SHAPE_KERNEL_SIDE_MAX, SHAPE_KERNEL_SIDE_MAX);
    return 0;
}

/* Errors: a value that is not finite (all exponent bits set), with its place. */
static int copy_values(float *to, const struct file *f, const struct tensor *t, struct err *err)
{
    const uint8_t *from = f->data + t->begin;
    for (uint64_t i = 0; i < t->floats; i++, from += 4) {
        uint32_t bits = (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
        if ((bits & 0x7F800000U) == 0x7F800000U)
            return err_set(err, ERR_FILE, "the tensor %s has a value that is not finite, at %llu", t->name,
                           (unsigned long long)i);
        memcpy(to + i, &bits, 4);
    }
    return 0;
}

/* ---- metadata ---- */

/* 1: a whole number from 1 to `most`; 0: not there; -1. */
static int read_side(uint32_t *out, const struct json *metadata, const char *name, uint32_t most, struct err *err)
{
    const struct json *value = json_get(metadata, name);
    if (value == NULL)
        return 0;
    const char *text = json_string(value);
    char *end = NULL;
    unsigned long number = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (number < 1 || number > most || *end != '\0')
        return err_set(err, ERR_FILE, "the metadata has %s \"%.20s\", but it must be from 1 to %u", name, text, most);
    *out = (uint32_t)number;
    return 1;
}

static int read_labels(char (*labels)[LABEL_BYTES_MAX + 1], uint32_t n, const struct json *metadata, struct err *err)
{
    const struct json *value = json_get(metadata, "classes");
    if (value == NULL) {
        for (uint32_t i = 0; i < n; i++)
            (void)snprintf(labels[i], sizeof labels[i], "%u", i);
        return 0;
    }
    struct json *list = json_parse(json_string(value), strlen(json_string(value)), err);
    if (list == NULL) {
        if (err != NULL && err->code != ERR_MEMORY)
            err->code = ERR_FILE;
        return err_wrap(err, "the metadata's classes");
    }
    int status = -1;
    if (json_type(list) != JSON_ARRAY || json_length(list) != n) {
        err_set(err, ERR_FILE, "the metadata has %zu classes, but the tensor w12 has %u columns", json_length(list), n);
        goto out;
    }
    uint32_t i = 0;
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v), i++) {
        const char *label = json_string(v);
        struct err why = {0};
        if (label == NULL || label_take(labels[i], label, strlen(label), &why) != 0) {
            err_set(err, ERR_FILE, "the metadata's class %u: %s", i, label == NULL ? "not a string" : why.text);
            goto out;
        }
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(labels[j], labels[i]) == 0) {
                err_set(err, ERR_FILE, "the metadata has the class \"%s\" twice", labels[i]);
                goto out;
            }
    }
    status = 0;
out:
    json_free(list);
    return status;
}

static int read_settings(struct safetensors *out, const struct json *metadata, struct err *err)
{
    struct settings *settings = &out->create.as.create.settings;
    *settings = settings_default();
    for (int i = 0; i < SETTING_N; i++) {
        const struct json *value = json_get(metadata, setting_table[i].name);
        if (value == NULL)
            continue;
        struct err why = {0};
        if (settings_set_text(settings, (enum setting)i, json_string(value), &why) != 0)
            return err_set(err, ERR_FILE, "the metadata: %s", why.text);
        out->has_setting[i] = true;
    }
    return 0;
}

static int read_geometry(struct safetensors *out, const struct file *f, const struct json *metadata, struct err *err)
{
    const struct tensor *k = &f->tensor[KERNELS];
    struct shape *s = &out->create.as.create.shape;
    s->hidden = f->tensor[W01].side[1];
    s->n_0 = f->tensor[W01].side[0];
    if (k->there) {
        s->kernels = k->side[0];
        s->channels = k->side[1];
        s->kernel_height = k->side[2];
        s->kernel_width = k->side[3];
    }
    uint32_t channels = 0;
    int width = read_side(&s->width, metadata, "width", SHAPE_SIDE_MAX, err);
    int height = width < 0 ? -1 : read_side(&s->height, metadata, "height", SHAPE_SIDE_MAX, err);
    int stride = height < 0 ? -1 : read_side(&s->stride, metadata, "stride", SHAPE_SIDE_MAX, err);
    int depth = stride < 0 ? -1 : read_side(&channels, metadata, "channels", SHAPE_CHANNELS_MAX, err);
    if (depth < 0)
        return -1;
    if (k->there && depth == 1 && channels != s->channels)
        return err_set(err, ERR_FILE, "the metadata has %u channels, but the tensor kernels has %u", channels,
                       s->channels);
    if (!k->there)
        s->channels = channels;
    out->has_width = width == 1;
    out->has_height = height == 1;
    out->has_stride = stride == 1;

    /* Where the file says all of it, it must agree with itself. */
    if (width == 0 || height == 0 || s->channels == 0 || (k->there && stride == 0))
        return 0;
    struct shape whole_shape = *s;
    struct err why = {0};
    if (shape_check(&whole_shape, f->tensor[W12].side[1], &why) != 0)
        return err_set(err, ERR_FILE, "the metadata and tensors make no network: %s", why.text);
    if (whole_shape.n_0 != s->n_0)
        return err_set(err, ERR_FILE, "the tensor w01 has %u rows, but the metadata's geometry makes %u", s->n_0,
                       whole_shape.n_0);
    return 0;
}

static int check_metadata(const struct json *metadata, struct err *err)
{
    if (metadata == NULL)
        return 0;
    if (json_type(metadata) != JSON_OBJECT)
        return err_set(err, ERR_FILE, "__metadata__ is %s, but must be an object", json_type_name(metadata));
    for (const struct json *m = json_first(metadata); m != NULL; m = json_next(m))
        if (json_type(m) != JSON_STRING)
            return err_set(err, ERR_FILE, "the metadata's \"%.60s\" is %s, but must be a string", json_name(m),
                           json_type_name(m));
    return 0;
}

/* ---- the whole ---- */

static struct json *read_header(struct file *f, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    uint64_t n_header = 0;
    for (unsigned i = 0; i < 8 && n_bytes >= 8; i++)
        n_header |= (uint64_t)bytes[i] << (8 * i);
    if (n_bytes < 8 || n_header > n_bytes - 8 || n_header > HEADER_BYTES_MAX || n_header < 2) {
        err_set(err, ERR_FILE, "not a safetensors file: a header of %llu bytes in a file of %zu",
                (unsigned long long)n_header, n_bytes);
        return NULL;
    }
    struct json *root = json_parse((const char *)bytes + 8, (size_t)n_header, err);
    if (root == NULL) {
        if (err != NULL && err->code != ERR_MEMORY)
            err->code = ERR_FILE;
        err_wrap(err, "the safetensors header");
        return NULL;
    }
    if (json_type(root) != JSON_OBJECT) {
        err_set(err, ERR_FILE, "the safetensors header is %s, but must be an object", json_type_name(root));
        json_free(root);
        return NULL;
    }
    f->data = bytes + 8 + n_header;
    f->n_data = n_bytes - 8 - (size_t)n_header;
    return root;
}

int safetensors_decode(struct safetensors *out, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    int status = -1;
    struct file f = {
        .tensor = {{.name = "kernels", .n_sides = 4}, {.name = "w01", .n_sides = 2}, {.name = "w12", .n_sides = 2}}};
    struct safetensors file = {.create = {.kind = EVENT_CREATE}};
    struct json *root = read_header(&f, bytes, n_bytes, err);
    if (root == NULL)
        return -1;
    const struct json *metadata = json_get(root, "__metadata__");
    if (check_metadata(metadata, err) != 0 || read_tensors(&f, root, err) != 0 ||
        read_geometry(&file, &f, metadata, err) != 0 || read_settings(&file, metadata, err) != 0)
        goto out;

    const uint32_t n_classes = f.tensor[W12].side[1];
    const size_t n_floats = f.n_data / 4; /* check_cover() */
    float *values = malloc(n_floats * sizeof *values + (size_t)n_classes * (LABEL_BYTES_MAX + 1));
    if (values == NULL) {
        err_memory(err, "%zu parameters", n_floats);
        goto out;
    }
    file.memory = values;
    char(*labels)[LABEL_BYTES_MAX + 1] = (char(*)[LABEL_BYTES_MAX + 1])(values + n_floats);
    float *at[N_TENSORS] = {0};
    for (int i = 0; i < N_TENSORS; i++) {
        if (!f.tensor[i].there)
            continue;
        at[i] = values;
        if (copy_values(values, &f, &f.tensor[i], err) != 0)
            goto out;
        values += f.tensor[i].floats;
    }
    if (read_labels(labels, n_classes, metadata, err) != 0)
        goto out;
    file.create.as.create.n_classes = n_classes;
    file.create.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) labels;
    file.create.as.create.k = at[KERNELS];
    file.create.as.create.w01 = at[W01];
    file.create.as.create.w12 = at[W12];
    *out = file;
    status = 0;
out:
    if (status != 0)
        safetensors_fini(&file);
    json_free(root);
    return status;
}

void safetensors_fini(struct safetensors *file)
{
    free(file->memory);
    *file = (struct safetensors){0};
}
