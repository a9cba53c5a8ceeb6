/* init.c - convd init: makes a database with a new model, drawn from a seed or taken from a safetensors file. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/io.h"
#include "server/common/json.h"
#include "server/common/label_take.h"
#include "server/formats/safetensors.h"
#include "server/verbs/verbs.h"
#include "store/store.h"

#define FILE_BYTES_MAX ((size_t)1200 << 20) /* SHAPE_PARAMETERS_MAX floats and the header */

/* The members of a shape. A safetensors file knows some from its tensors: there a flag can only agree. */
static const struct part {
    const char *flag;
    size_t offset;
} parts[] = {
    {"width", offsetof(struct shape, width)},
    {"height", offsetof(struct shape, height)},
    {"channels", offsetof(struct shape, channels)},
    {"kernels", offsetof(struct shape, kernels)},
    {"kernel-width", offsetof(struct shape, kernel_width)},
    {"kernel-height", offsetof(struct shape, kernel_height)},
    {"stride", offsetof(struct shape, stride)},
    {"hidden", offsetof(struct shape, hidden)},
};

#define N_PARTS (sizeof parts / sizeof *parts)

#define COUNT(a_name, a_low, a_high, a_help)                                                                           \
    {                                                                                                                  \
        .name = a_name, .kind = CLI_COUNT, .argument = "N", .low = a_low, .high = a_high, .help = a_help               \
    }
#define SETTING(a_name)                                                                                                \
    {                                                                                                                  \
        .name = a_name, .kind = CLI_SETTING                                                                            \
    }

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    {.name = "from",
     .kind = CLI_TEXT,
     .argument = "FILE",
     .help = "take parameters and geometry from a safetensors file; \"-\": stdin"},
    COUNT("width", 1, SHAPE_SIDE_MAX, "of the input, in pixels"),
    COUNT("height", 1, SHAPE_SIDE_MAX, "of the input, in pixels"),
    COUNT("channels", 1, SHAPE_CHANNELS_MAX, "1: grey; 3: red, green, blue"),
    COUNT("kernels", 0, SHAPE_KERNELS_MAX, "how many; 0: a net without convolution"),
    COUNT("kernel-width", 1, SHAPE_KERNEL_SIDE_MAX, "in pixels"),
    COUNT("kernel-height", 1, SHAPE_KERNEL_SIDE_MAX, "in pixels"),
    COUNT("stride", 1, SHAPE_SIDE_MAX, "pixels from one position to the next"),
    COUNT("hidden", 1, SHAPE_HIDDEN_MAX, "units of the hidden layer"),
    {.name = "classes",
     .kind = CLI_TEXT,
     .argument = "A,B,..",
     .fallback = "0,1,2,3,4,5,6,7,8,9",
     .help = "labels, in order; more can be added at any time"},
    SETTING("rate"),
    SETTING("decay-steps"),
    SETTING("mean"),
    SETTING("seed"),
    SETTING("gradient"),
    SETTING("fit"),
    SETTING("invert"),
    SETTING("rehearsal"),
    SETTING("jitter"),
    SETTING("rotation"),
    SETTING("clip"),
    CLI_FLAG_JSON,
    CLI_FLAG_END,
};

static uint32_t part_get(const struct shape *shape, const struct part *part)
{
    uint32_t value;
    memcpy(&value, (const char *)shape + part->offset, sizeof value);
    return value;
}

static void part_set(struct shape *shape, const struct part *part, uint32_t value)
{
    memcpy((char *)shape + part->offset, &value, sizeof value);
}

static bool fallback(const char *flag, char *text, size_t size)
{
    struct shape shape = shape_default();
    for (size_t i = 0; i < N_PARTS; i++) {
        if (strcmp(parts[i].flag, flag) != 0)
            continue;
        (void)snprintf(text, size, "%u", part_get(&shape, &parts[i]));
        return true;
    }
    enum setting which = settings_find(flag);
    if (which == SETTING_N)
        return false;
    (void)shape_check(&shape, 1, NULL); /* a sound one */
    struct settings settings = settings_new(&shape);
    const char *word = settings_word(&settings, which);
    if (word != NULL)
        (void)snprintf(text, size, "%s", word);
    else
        (void)snprintf(text, size, "%.6g", settings_get(&settings, which));
    return true;
}

/* ---- what the event is made of ---- */

/* "a,b,c" into labels that the caller frees. What may be a label, and that none comes twice, learner_create() checks. */
static int split_classes(char (**out)[LABEL_BYTES_MAX + 1], uint32_t *n, const char *text, struct err *err)
{
    size_t count = 1;
    for (const char *c = text; *c != '\0'; c++)
        count += *c == ',';
    if (count > SHAPE_CLASSES_MAX)
        return err_set(err, ERR_USAGE, "--classes names %zu classes, but there may be at most %u", count,
                       SHAPE_CLASSES_MAX);
    char(*labels)[LABEL_BYTES_MAX + 1] = calloc(count, sizeof *labels);
    if (labels == NULL)
        return err_set(err, ERR_MEMORY, "not enough memory for %zu labels", count);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = strcspn(text, ",");
        struct err why = {0};
        if (label_take(labels[i], text, bytes, &why) != 0) {
            free(labels);
            return err_set(err, ERR_USAGE, "--classes: label %zu: %.200s", i + 1, why.text);
        }
        text += bytes + (text[bytes] == ',');
    }
    *out = labels;
    *n = (uint32_t)count;
    return 0;
}

/* Whether the file's metadata, not its tensors, would know this member, and does not: then a flag or a default fills it. */
static bool is_open(const struct safetensors *file, const struct part *part)
{
    if (part->offset == offsetof(struct shape, width))
        return !file->has_width;
    if (part->offset == offsetof(struct shape, height))
        return !file->has_height;
    if (part->offset == offsetof(struct shape, stride))
        return !file->has_stride;
    return part->offset == offsetof(struct shape, channels) && file->create.as.create.shape.channels == 0;
}

static int take_shape(struct shape *shape, const struct safetensors *file, const struct cli_args *args, struct err *err)
{
    bool dense = file != NULL && shape->kernels == 0;
    struct shape standard = shape_default();
    for (size_t i = 0; i < N_PARTS; i++) {
        const struct part *part = &parts[i];
        bool given = cli_given(args, part->flag);
        uint32_t value = given ? (uint32_t)cli_count(args, part->flag) : part_get(&standard, part);
        bool of_kernel = strncmp(part->flag, "kernel-", 7) == 0 || strcmp(part->flag, "stride") == 0;
        if (file == NULL || is_open(file, part))
            part_set(shape, part, value);
        else if (given && !(dense && of_kernel) && value != part_get(shape, part))
            return err_set(err, ERR_USAGE, "--%s is %u, but the file's is %u", part->flag, value,
                           part_get(shape, part));
    }
    return 0;
}

static int take_settings(struct settings *settings, const struct shape *shape, const struct safetensors *file,
                         const struct cli_args *args, struct err *err)
{
    bool given[SETTING_N] = {false};
    if (file == NULL)
        *settings = settings_new(shape);
    for (const struct cli_flag *flag = args->flags; flag->name != NULL; flag++) {
        if (flag->kind != CLI_SETTING || !cli_given(args, flag->name))
            continue;
        const enum setting which = settings_find(flag->name);
        given[which] = true;
        if (settings_set_text(settings, which, cli_text(args, flag->name), err) != 0)
            return -1;
    }
    settings_given(settings, given);
    return 0;
}

/* The rows of w01 are the one size that tensors and geometry both give. */
static int check_n_0(const struct shape *shape, uint32_t n_0, struct err *err)
{
    if (shape->n_0 == n_0)
        return 0;
    if (shape->kernels == 0)
        return err_set(err, ERR_USAGE,
                       "w01 has %u rows, but %u x %u x %u inputs make %u: give --width, --height and --channels", n_0,
                       shape->width, shape->height, shape->channels, shape->n_0);
    return err_set(err, ERR_USAGE,
                   "w01 has %u rows, but %u x %u with kernels of %u x %u and stride %u has %u positions: give --width, "
                   "--height and --stride",
                   n_0, shape->width, shape->height, shape->kernel_width, shape->kernel_height, shape->stride,
                   shape->n_0);
}

static int make_event(struct event *event, char (**labels)[LABEL_BYTES_MAX + 1], const struct safetensors *file,
                      const struct cli_args *args, struct err *err)
{
    *event = file != NULL ? file->create : (struct event){.kind = EVENT_CREATE};
    event->revision = 1;
    event->created_us = store_now_us();
    struct shape *shape = &event->as.create.shape;
    uint32_t n_0 = shape->n_0; /* rows of w01 */
    if (take_shape(shape, file, args, err) != 0)
        return -1;
    if (file == NULL || cli_given(args, "classes")) {
        uint32_t n = 0;
        if (split_classes(labels, &n, cli_text(args, "classes"), err) != 0)
            return -1;
        if (file != NULL && n != event->as.create.n_classes)
            return err_set(err, ERR_USAGE, "--classes names %u classes, but w12 has %u columns", n,
                           event->as.create.n_classes);
        event->as.create.n_classes = n;
        event->as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) * labels;
    }
    struct err why = {0};
    if (shape_check(shape, event->as.create.n_classes, &why) != 0)
        return err_set(err, ERR_USAGE, "%.250s", why.text);
    if (take_settings(&event->as.create.settings, shape, file, args, err) != 0)
        return -1;
    return file != NULL ? check_n_0(shape, n_0, err) : 0;
}

/* ---- what was made ---- */

static uint64_t n_parameters(const struct learner *learner)
{
    const struct shape *s = &learner->shape;
    return (uint64_t)s->kernels * s->n_k + (uint64_t)s->n_0 * s->n_1 + (uint64_t)s->n_1 * learner->n_classes;
}

/* What follows from the geometry, unless it was given. */
static void print_rate(const struct settings *settings)
{
    (void)printf("rate %.6g", (double)settings->rate);
    if (settings->decay_steps > 0.0F)
        (void)printf(", half of it after %.6g steps", (double)settings->decay_steps);
    (void)printf("; mean %.6g\n", (double)settings->mean);
}

static int print_made(const char *path, const struct learner *learner, bool json, struct err *err)
{
    const struct shape *shape = &learner->shape;
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    learner_digest(learner, digest);
    if (!json) {
        (void)printf("made %s: input %u x %u x %u, ", path, shape->width, shape->height, shape->channels);
        if (shape->kernels > 0)
            (void)printf("%u kernels of %u x %u, stride %u, %u positions, ", shape->kernels, shape->kernel_width,
                         shape->kernel_height, shape->stride, shape->n_0);
        (void)printf("%u hidden, %u classes, %llu parameters\n", shape->hidden, learner->n_classes,
                     (unsigned long long)n_parameters(learner));
        print_rate(&learner->settings);
        (void)printf("digest %s\n", cli_hex(hex, digest));
        return 0;
    }
    struct json *root = json_object();
    json_add_string(root, "db", path);
    for (size_t i = 0; i < N_PARTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s", parts[i].flag);
        for (char *c = name; *c != '\0'; c++)
            *c = *c == '-' ? '_' : *c;
        json_add_number(root, name, part_get(shape, &parts[i]));
    }
    for (int i = 0; i < SETTING_N; i++) {
        const char *word = settings_word(&learner->settings, (enum setting)i);
        if (word != NULL)
            json_add_string(root, setting_table[i].name, word);
        else
            json_add_number(root, setting_table[i].name, settings_get(&learner->settings, (enum setting)i));
    }
    struct json *classes = json_add_array(root, "classes");
    for (uint32_t i = 0; i < learner->n_classes; i++)
        json_add_string(classes, NULL, learner->labels[i]);
    json_add_number(root, "parameters", (double)n_parameters(learner));
    json_add_number(root, "revision", (double)learner->revision);
    json_add_string(root, "digest", cli_hex(hex, digest));
    return cli_print_json(root, err);
}

static int run(const struct cli_args *args, struct err *err)
{
    const char *path = cli_text(args, "db");
    const char *from = cli_text(args, "from");
    struct safetensors file = {0};
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    char(*labels)[LABEL_BYTES_MAX + 1] = NULL;
    struct learner *learner = NULL;
    struct store *store = NULL;
    struct event event;
    int status = -1;

    if (from != NULL && cli_read(&bytes, &n_bytes, from, FILE_BYTES_MAX, err) != 0)
        goto out;
    if (from != NULL && safetensors_decode(&file, bytes, n_bytes, err) != 0) {
        err_wrap(err, "%.120s", from);
        goto out;
    }
    if (make_event(&event, &labels, from != NULL ? &file : NULL, args, err) != 0)
        goto out;
    learner = learner_create(&event, NULL, 0, err);
    if (learner == NULL) {
        if (err->code == ERR_CONFLICT) /* a label twice */
            err->code = ERR_USAGE;
        goto out;
    }
    if (store_create(&store, path, &event, learner, err) != 0)
        goto out;
    status = print_made(path, learner, cli_on(args, "json"), err);
out:
    store_close(store);
    learner_free(learner);
    free(labels);
    safetensors_fini(&file);
    free(bytes);
    return status;
}

const struct cli_verb cli_init = {
    .name = "init",
    .purpose = "make a database with a new model",
    .operands = "",
    .details =
        "The file must not exist. With --from, the tensors `kernels` [N, channels, kernel height, kernel width],\n"
        "`w01` [n0, n1] and `w12` [n1, n2] and the file's metadata say what the model is; flags fill in what they\n"
        "leave open, and settings that are given win over the metadata.\n",
    .examples = "  convd init --db digits.db\n"
                "  convd init --db pets.db --width 64 --height 64 --channels 3 --stride 2 --classes cat,dog\n"
                "  convd init --db copy.db --from digits.safetensors --rate 0.02\n",
    .flags = flags,
    .fallback = fallback,
    .run = run,
};
