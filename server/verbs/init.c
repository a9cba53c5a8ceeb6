/* init.c - convd init: makes a database with a new model, drawn from a seed or taken from a safetensors file. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/io.h"
#include "server/common/json.h"
#include "server/common/label_take.h"
#include "server/formats/safetensors.h"
#include "server/model/json_parts.h"
#include "server/verbs/verbs.h"
#include "store/store.h"

#define FILE_BYTES_MAX ((size_t)1200 << 20) /* SHAPE_PARAMETERS_MAX floats and the header */

/* A side of the geometry, a member of struct shape. A safetensors file knows some from its tensors: there a flag can only agree. */
#define SIDE(a_name, a_member, a_low, a_high, a_help)                                                                  \
    {                                                                                                                  \
        FLAG_COUNT(a_name, "N", NULL, a_low, a_high, a_help), FLAG_INTO(struct shape, a_member)                        \
    }
#define SETTING(a_name)                                                                                                \
    {                                                                                                                  \
        .name = a_name, .kind = CLI_SETTING                                                                            \
    }

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    {FLAG_TEXT("from", "FILE", NULL, "take parameters and geometry from a safetensors file; \"-\": stdin")},
    SIDE("width", width, 1, SHAPE_SIDE_MAX, "of the input, in pixels"),
    SIDE("height", height, 1, SHAPE_SIDE_MAX, "of the input, in pixels"),
    SIDE("channels", channels, 1, SHAPE_CHANNELS_MAX, "1: grey; 3: red, green, blue"),
    SIDE("kernels", kernels, 0, SHAPE_KERNELS_MAX, "number of kernels; 0: a network without convolution"),
    SIDE("kernel-width", kernel_width, 1, SHAPE_KERNEL_SIDE_MAX, "in pixels"),
    SIDE("kernel-height", kernel_height, 1, SHAPE_KERNEL_SIDE_MAX, "in pixels"),
    SIDE("stride", stride, 1, SHAPE_SIDE_MAX, "pixels from one position to the next"),
    SIDE("hidden", hidden, 1, SHAPE_HIDDEN_MAX, "units of the hidden layer"),
    {FLAG_TEXT("classes", "A,B,..", "0,1,2,3,4,5,6,7,8,9", "labels, in order; more can be added at any time")},
    {FLAG_SWITCH("no-classes", "no class yet: they come when it is taught")},
    {FLAG_LIST("class", "LABEL", "one label, which may have commas; again for each, instead of --classes")},
    SETTING("rate"),
    SETTING("decay-steps"),
    SETTING("mean"),
    SETTING("seed"),
    SETTING("normalize"),
    SETTING("gradient"),
    SETTING("fit"),
    SETTING("invert"),
    SETTING("rehearsal"),
    SETTING("jitter"),
    SETTING("rotation"),
    SETTING("clip"),
    SETTING("imprint"),
    SETTING("rehearsal-first"),
    SETTING("rehearsal-idle"),
    SETTING("rehearsal-buffer"),
    SETTING("output-rate"),
    CLI_FLAG_JSON,
    CLI_FLAG_END,
};

static uint32_t side_get(const struct shape *shape, const struct cli_flag *flag)
{
    uint32_t value;
    memcpy(&value, (const char *)shape + flag->at, sizeof value);
    return value;
}

static bool fallback(const struct cli_flag *flag, char *text, size_t size)
{
    struct shape shape = shape_default();
    if (flag->kind != CLI_SETTING)
        return cli_default(text, size, flag, &shape);
    const enum setting which = settings_find(flag->name);
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

/* "a,b,c", or one --class each, into labels that the caller frees. What may be a label, and that none comes twice, learner_create()
 * checks. */
static int take_classes(char (**out)[LABEL_BYTES_MAX + 1], uint32_t *n, const struct cli_args *args, struct err *err)
{
    const bool none = cli_on(args, "no-classes"), listed = args->n_list > 0 || none;
    const char *text = cli_text(args, "classes");
    size_t count = listed ? args->n_list : 1;
    if (none + (args->n_list > 0) + cli_given(args, "classes") > 1)
        return err_set(err, ERR_USAGE, "--classes, --class and --no-classes exclude each other");
    for (const char *c = text; !listed && *c != '\0'; c++)
        count += *c == ',';
    if (count > SHAPE_CLASSES_MAX)
        return err_set(err, ERR_USAGE, "--classes has %zu classes; the limit is %u", count, SHAPE_CLASSES_MAX);
    char(*labels)[LABEL_BYTES_MAX + 1] = calloc(count + 1, sizeof *labels);
    if (labels == NULL)
        return err_memory(err, "%zu labels", count);
    for (size_t i = 0; i < count; i++) {
        const char *label = listed ? args->list[i] : text;
        const size_t bytes = strcspn(label, listed ? "" : ",");
        struct err why = {0};
        if (label_take(labels[i], label, bytes, &why) != 0) {
            free(labels);
            return err_set(err, ERR_USAGE, "%s: label %zu: %.200s", listed ? "--class" : "--classes", i + 1, why.text);
        }
        if (!listed)
            text += bytes + (text[bytes] == ',');
    }
    *out = labels;
    *n = (uint32_t)count;
    return 0;
}

/* Whether the file's metadata, not its tensors, would know this member, and does not: then a flag or a default fills it. */
static bool is_open(const struct safetensors *file, const struct cli_flag *side)
{
    if (side->at == offsetof(struct shape, width))
        return !file->has_width;
    if (side->at == offsetof(struct shape, height))
        return !file->has_height;
    if (side->at == offsetof(struct shape, stride))
        return !file->has_stride;
    return side->at == offsetof(struct shape, channels) && file->create.as.create.shape.channels == 0;
}

static int take_shape(struct shape *shape, const struct safetensors *file, const struct cli_args *args, struct err *err)
{
    const bool dense = file != NULL && shape->kernels == 0;
    const struct shape standard = shape_default();
    for (const struct cli_flag *side = flags; side->name != NULL; side++) {
        if (side->bytes == 0)
            continue;
        const bool given = cli_given(args, side->name);
        const uint32_t value = given ? (uint32_t)cli_count(args, side->name) : side_get(&standard, side);
        const bool of_kernel = strncmp(side->name, "kernel-", 7) == 0 || strcmp(side->name, "stride") == 0;
        if (file == NULL || is_open(file, side))
            memcpy((char *)shape + side->at, &value, sizeof value);
        else if (given && !(dense && of_kernel) && value != side_get(shape, side))
            return err_set(err, ERR_USAGE, "--%s is %u, but the file's is %u", side->name, value,
                           side_get(shape, side));
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
    settings_given(settings, shape, given);
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
    if (file == NULL || cli_given(args, "classes") || args->n_list > 0 || cli_on(args, "no-classes")) {
        uint32_t n = 0;
        if (take_classes(labels, &n, args, err) != 0)
            return -1;
        if (file != NULL && n != event->as.create.n_classes)
            return err_set(err, ERR_USAGE, "%s has %u classes, but w12 has %u columns",
                           cli_given(args, "classes") ? "--classes"
                           : n > 0                    ? "--class"
                                                      : "--no-classes",
                           n, event->as.create.n_classes);
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
    cli_say(stdout, "rate %.6g", (double)settings->rate);
    if (settings->decay_steps > 0.0F)
        cli_say(stdout, ", half of it after %.6g steps", (double)settings->decay_steps);
    cli_say(stdout, "; normalize %s, mean %.6g\n", settings_word(settings, SETTING_NORMALIZE), (double)settings->mean);
}

static int print_made(const char *path, const struct learner *learner, bool as_json, struct err *err)
{
    const struct shape *shape = &learner->shape;
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    learner_digest(learner, digest);
    if (!as_json) {
        cli_say(stdout, "created %s: input %u x %u x %u, ", path, shape->width, shape->height, shape->channels);
        if (shape->kernels > 0)
            cli_say(stdout, "%u kernels of %u x %u, stride %u, %u positions, ", shape->kernels, shape->kernel_width,
                    shape->kernel_height, shape->stride, shape->n_0);
        cli_say(stdout, "%u hidden, %u classes, %llu parameters\n", shape->hidden, learner->n_classes,
                (unsigned long long)n_parameters(learner));
        print_rate(&learner->settings);
        cli_say(stdout, "digest %s\n", cli_hex(hex, digest));
        return 0;
    }
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_string(&json, "db", path);
    for (const struct cli_flag *side = flags; side->name != NULL; side++) {
        char name[32];
        if (side->bytes == 0)
            continue;
        (void)snprintf(name, sizeof name, "%s", side->name);
        for (char *c = name; *c != '\0'; c++)
            *c = *c == '-' ? '_' : *c;
        json_write_number(&json, name, side_get(shape, side));
    }
    settings_write(&json, &learner->settings);
    json_write_array(&json, "classes");
    for (uint32_t i = 0; i < learner->n_classes; i++)
        json_write_string(&json, NULL, learner->labels[i]);
    json_write_end(&json);
    json_write_u64(&json, "parameters", n_parameters(learner));
    json_write_u64(&json, "revision", learner->revision);
    json_write_string(&json, "digest", cli_hex(hex, digest));
    return cli_print_object(&json, err);
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
    .purpose = "create a database with a new model",
    .operands = "",
    .details =
        "The file must not exist. With --from, the tensors `kernels` [N, channels, kernel height, kernel width],\n"
        "`w01` [n0, n1] and `w12` [n1, n2] and the file's metadata define the model; flags fill in what they\n"
        "leave open, and settings that are given win over the metadata.\n"
        "A model can begin without a class, and predicts from the first one on: POST /classes adds one, and so does\n"
        "convd train with --add-classes.\n",
    .examples = "  convd init --db digits.db\n"
                "  convd init --db pets.db --width 64 --height 64 --channels 3 --stride 2 --classes cat,dog\n"
                "  convd init --db rooms.db --class \"kitchen, upstairs\" --class hall\n"
                "  convd init --db copy.db --from digits.safetensors --rate 0.02\n",
    .flags = flags,
    .fallback = fallback,
    .run = run,
};
