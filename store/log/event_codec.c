/* event_codec.c - see event_codec.h
 *
 * One walk over a body's members goes both ways: where it writes, a mark is a byte to append, where it reads, one to be met. So the
 * two ways cannot differ, and whatever else there may be in a body (a member that is missing, or there twice, or out of its place, a
 * blank, another form of a number, something behind the end) is a byte that is not the expected one. After the first such,
 * nothing more is written or read.
 */
#include "store/log/event_codec.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/jitter.h"

#define WHOLE_MAX     ((1ULL << 53) - 1)
#define WHOLE_DIGITS  16
#define DECIMAL_BYTES 40

struct body {
    const bool writes;
    char *text; /* as far as it is written */
    size_t n, room;
    const char *at, *end; /* what is still to be read */
    const char *member;   /* at work, for errors */
    bool first;           /* of its object or array */
    bool failed;
    struct err *err;
};

static void refuse(struct body *b)
{
    if (!b->failed)
        err_set(b->err, b->writes ? ERR_INTERNAL : ERR_DB_CORRUPT, "the body's %s is missing or invalid", b->member);
    b->failed = true;
}

static bool make_room(struct body *b, size_t n)
{
    if (b->room - b->n >= n)
        return true;
    const size_t room = 2 * b->room + n + 128;
    char *more = realloc(b->text, room);
    if (more == NULL) {
        err_memory(b->err, "an event of %zu bytes", room);
        b->failed = true;
        return false;
    }
    b->text = more;
    b->room = room;
    return true;
}

/* ---- the parts of a body ---- */

static void bytes(struct body *b, const char *text, size_t n)
{
    if (b->failed || (b->writes && !make_room(b, n)))
        return;
    if (b->writes) {
        memcpy(b->text + b->n, text, n);
        b->n += n;
    } else if ((size_t)(b->end - b->at) >= n && memcmp(b->at, text, n) == 0) {
        b->at += n;
    } else {
        refuse(b);
    }
}

static void mark(struct body *b, const char *text)
{
    bytes(b, text, strlen(text));
}

/* Only where it reads. */
static bool is_next(const struct body *b, char byte)
{
    return !b->failed && b->at < b->end && *b->at == byte;
}

/* Only where it reads: whether a member of that name follows another. */
static bool is_member_next(const struct body *b, const char *name)
{
    const size_t n = strlen(name);
    return !b->failed && (size_t)(b->end - b->at) > n + 2 && memcmp(b->at, ",\"", 2) == 0 &&
           memcmp(b->at + 2, name, n) == 0 && b->at[2 + n] == '"';
}

/* Whatever is asked for by name begins so; without one, it is an element of an array. */
static void member(struct body *b, const char *name)
{
    b->member = name != NULL ? name : b->member;
    if (!b->first)
        mark(b, ",");
    b->first = false;
    if (name == NULL)
        return;
    mark(b, "\"");
    mark(b, name);
    mark(b, "\":");
}

static void begin(struct body *b, const char *bracket)
{
    mark(b, bracket);
    b->first = true;
}

static void end(struct body *b, const char *bracket)
{
    mark(b, bracket);
    b->first = false;
}

static uint64_t read_whole(struct body *b)
{
    const char *from = b->at;
    uint64_t value = 0;
    while (b->at < b->end && *b->at >= '0' && *b->at <= '9' && b->at - from < WHOLE_DIGITS)
        value = 10 * value + (uint64_t)(*b->at++ - '0');
    if (b->at == from || (*from == '0' && b->at - from > 1))
        refuse(b);
    return value;
}

/* Each of these gives the value that it has written, or read. */
static uint64_t whole(struct body *b, const char *name, uint64_t value, uint64_t low, uint64_t high)
{
    member(b, name);
    if (b->writes) {
        char digits[WHOLE_DIGITS + 8];
        bytes(b, digits, (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)value));
    } else {
        value = read_whole(b);
    }
    if (value < low || value > high || value > WHOLE_MAX)
        refuse(b);
    return value;
}

/* It has a point always: 60000.0, 1.0e-05. */
static void print_decimal(char text[DECIMAL_BYTES], float value)
{
    double candidate;
    int digits = 1;
    do {
        (void)snprintf(text, DECIMAL_BYTES, "%.*g", digits, (double)value);
        candidate = strtod(text, NULL);
    } while ((float)candidate != value && ++digits <= 9);
    (void)snprintf(text, DECIMAL_BYTES, "%.15g", candidate);
    const size_t n = strcspn(text, ".e");
    if (text[n] != '.') {
        memmove(text + n + 2, text + n, strlen(text + n) + 1);
        memcpy(text + n, ".0", 2);
    }
}

/* Read as anything that strtod() takes, and then met as it would have been written. */
static float read_decimal(struct body *b)
{
    char text[DECIMAL_BYTES] = "";
    const size_t left = (size_t)(b->end - b->at);
    memcpy(text, b->at, left < DECIMAL_BYTES - 1 ? left : DECIMAL_BYTES - 1);
    const float value = (float)strtod(text, NULL);
    print_decimal(text, value);
    mark(b, text);
    return value;
}

static float decimal(struct body *b, const char *name, float value, double low, double high)
{
    char text[DECIMAL_BYTES];
    member(b, name);
    if (b->writes) {
        print_decimal(text, value);
        mark(b, text);
    } else {
        value = read_decimal(b);
    }
    if (!((double)value >= low && (double)value <= high))
        refuse(b);
    return value;
}

static bool is_control(char byte)
{
    return (unsigned char)byte < ' ';
}

static void write_text(struct body *b, const char *text)
{
    mark(b, "\"");
    for (; *text != '\0'; text++) {
        if (is_control(*text))
            refuse(b);
        if (*text == '"' || *text == '\\')
            mark(b, "\\");
        bytes(b, text, 1);
    }
    mark(b, "\"");
}

static void read_text(struct body *b, char *text, size_t size)
{
    size_t n = 0;
    mark(b, "\"");
    while (!b->failed && !is_next(b, '"')) {
        const bool escaped = is_next(b, '\\');
        b->at += escaped;
        if (b->at == b->end || is_control(*b->at) || n == size - 1 || (escaped && *b->at != '"' && *b->at != '\\')) {
            refuse(b);
            break;
        }
        text[n++] = *b->at++;
    }
    text[n] = '\0';
    mark(b, "\"");
}

static void text(struct body *b, const char *name, char *text, size_t size)
{
    member(b, name);
    if (b->writes)
        write_text(b, text);
    else
        read_text(b, text, size);
    if (text[0] == '\0')
        refuse(b);
}

static void label(struct body *b, const char *name, char label[LABEL_BYTES_MAX + 1])
{
    text(b, name, label, LABEL_BYTES_MAX + 1);
    if (label_check(label, strlen(label), NULL) != 0)
        refuse(b);
}

/* One of some words, by its place among them. */
static uint32_t word(struct body *b, const char *name, uint32_t value, const char *const words[])
{
    char given[16];
    (void)snprintf(given, sizeof given, "%s", words[value]);
    text(b, name, given, sizeof given);
    for (value = 0; words[value] != NULL; value++)
        if (strcmp(words[value], given) == 0)
            return value;
    refuse(b);
    return 0;
}

static void hex(struct body *b, const char *name, uint8_t *of, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    member(b, name);
    mark(b, "\"");
    for (size_t i = 0; i < 2 * n && !b->failed; i++) {
        const unsigned shift = i % 2 == 0 ? 4 : 0;
        if (!b->writes) {
            const char *digit = b->at < b->end ? memchr(digits, *b->at, 16) : NULL;
            const unsigned before = i % 2 == 0 ? 0 : of[i / 2];
            of[i / 2] = (uint8_t)(before | (unsigned)(digit == NULL ? 0 : digit - digits) << shift);
        }
        bytes(b, &digits[of[i / 2] >> shift & 15], 1);
    }
    mark(b, "\"");
}

/* ---- what the bodies have in common ---- */

static void setting(struct body *b, struct settings *settings, enum setting which)
{
    const struct setting_info *info = &setting_table[which];
    double value = settings_get(settings, which);
    if (info->words != NULL)
        value = word(b, info->name, (uint32_t)value, info->words);
    else if (info->type == SETTING_U64)
        value = (double)whole(b, info->name, (uint64_t)value, 0, WHOLE_MAX);
    else
        value = (double)decimal(b, info->name, (float)value, info->low, info->high);
    if (!b->failed && settings_set(settings, which, value, NULL) != 0)
        refuse(b);
}

static void all_settings(struct body *b, struct settings *settings)
{
    if (!b->writes)
        *settings = settings_default(); /* what is not named */
    member(b, "settings");
    begin(b, "{");
    for (int i = 0; i < SETTING_N; i++) {
        if (b->writes ? !settings_named(settings, (enum setting)i)
                      : i >= SETTING_LATER && !is_member_next(b, setting_table[i].name))
            continue;
        setting(b, settings, (enum setting)i);
        if (!settings_named(settings, (enum setting)i))
            refuse(b);
    }
    end(b, "}");
}

/* ---- create ---- */

static void shape(struct body *b, struct shape *shape)
{
    const struct {
        const char *name;
        uint32_t *side;
    } sides[] = {{"width", &shape->width},
                 {"height", &shape->height},
                 {"channels", &shape->channels},
                 {"kernels", &shape->kernels},
                 {"kernel_width", &shape->kernel_width},
                 {"kernel_height", &shape->kernel_height},
                 {"stride", &shape->stride},
                 {"hidden", &shape->hidden}};
    member(b, "shape");
    begin(b, "{");
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        *sides[i].side = (uint32_t)whole(b, sides[i].name, *sides[i].side, 0, UINT32_MAX);
    end(b, "}");
}

static void read_labels(struct body *b, struct origin *origin)
{
    uint32_t n = 0;
    for (; !b->failed && !is_next(b, ']'); n++) {
        if ((n & (n - 1)) == 0) { /* 0, 1, 2, 4, ..: the room is full */
            void *more = realloc(origin->labels, (n == 0 ? 1 : 2 * (size_t)n) * sizeof *origin->labels);
            if (more == NULL) {
                b->failed = true;
                err_memory(b->err, "%u labels", 2 * n);
                return;
            }
            origin->labels = more;
        }
        label(b, NULL, origin->labels[n]);
    }
    origin->event.as.create.n_classes = n;
    origin->event.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) origin->labels;
}

static void classes(struct body *b, struct origin *origin)
{
    const struct event *create = &origin->event;
    member(b, "classes");
    begin(b, "[");
    if (!b->writes)
        read_labels(b, origin);
    for (uint32_t i = 0; b->writes && i < create->as.create.n_classes; i++) {
        member(b, NULL);
        write_text(b, create->as.create.labels[i]);
    }
    end(b, "]");
}

static void create_body(struct body *b, struct origin *origin)
{
    static const char *const tensors[] = {"drawn", "given", NULL};
    begin(b, "{");
    shape(b, &origin->event.as.create.shape);
    all_settings(b, &origin->event.as.create.settings);
    classes(b, origin);
    text(b, "arithmetic", origin->arithmetic, ARITHMETIC_BYTES);
    origin->given = word(b, "tensors", origin->given, tensors) != 0;
    hex(b, "digest", origin->digest, DIGEST_BYTES);
    end(b, "}");
}

/* ---- the others ---- */

static void train(struct body *b, struct event *event, struct sample_run *run)
{
    run->first = (int64_t)whole(b, "first", (uint64_t)run->first, 0, WHOLE_MAX);
    run->n = (uint32_t)whole(b, "n", run->n, 0, UINT32_MAX);
    event->as.train.n = run->n;
}

static void class_change(struct body *b, struct event *event)
{
    static const char *const actions[] = {"add", "rename", NULL};
    const uint32_t place = b->writes ? (uint32_t)event->as.class_.action - CLASS_ADD : 0;
    event->as.class_.action = (enum class_action)(word(b, "action", place, actions) + CLASS_ADD);
    event->as.class_.index = (uint32_t)whole(b, "index", event->as.class_.index, 0, SHAPE_CLASSES_MAX - 1);
    label(b, "label", event->as.class_.label);
}

static void rehearse(struct body *b, struct event *event)
{
    event->as.rehearse.first_id = (int64_t)whole(b, "first", (uint64_t)event->as.rehearse.first_id, 0, WHOLE_MAX);
    event->as.rehearse.last_id = (int64_t)whole(b, "last", (uint64_t)event->as.rehearse.last_id, 0, WHOLE_MAX);
    const uint64_t n = event->as.rehearse.n = whole(b, "n", event->as.rehearse.n, 1, WHOLE_MAX);
    event->as.rehearse.seed = whole(b, "seed", event->as.rehearse.seed, 0, WHOLE_MAX);
    event->as.rehearse.begin = whole(b, "begin", event->as.rehearse.begin, 0, n - 1);
    event->as.rehearse.end = whole(b, "end", event->as.rehearse.end, event->as.rehearse.begin + 1, n);
    event->as.rehearse.rate = decimal(b, "rate", event->as.rehearse.rate, 0, setting_table[SETTING_RATE].high);
    event->as.rehearse.jitter = decimal(b, "jitter", event->as.rehearse.jitter, 0, JITTER_SHIFT_MAX);
    event->as.rehearse.rotation = decimal(b, "rotation", event->as.rehearse.rotation, 0, JITTER_DEGREES_MAX);
}

static void edit(struct body *b, struct event *event)
{
    event->as.edit.number = whole(b, "number", event->as.edit.number, 1, WHOLE_MAX);
    event->as.edit.from = whole(b, "from", event->as.edit.from, 1, WHOLE_MAX);
    event->as.edit.n = (uint32_t)whole(b, "samples", event->as.edit.n, 0, UINT32_MAX);
    hex(b, "rows", event->as.edit.rows, sizeof event->as.edit.rows);
}

static void baseline(struct body *b, struct event *event)
{
    text(b, "arithmetic", event->as.baseline.arithmetic, ARITHMETIC_BYTES);
    text(b, "before", event->as.baseline.before, ARITHMETIC_BYTES);
    event->as.baseline.from = whole(b, "from", event->as.baseline.from, 1, WHOLE_MAX);
    hex(b, "digest", event->as.baseline.digest, DIGEST_BYTES);
    if (b->writes ? event->as.baseline.samples > 0 : is_member_next(b, "samples"))
        event->as.baseline.samples = whole(b, "samples", event->as.baseline.samples, 1, WHOLE_MAX);
}

static void event_body(struct body *b, struct event *event, struct sample_run *run)
{
    begin(b, "{");
    switch (event->kind) {
    case EVENT_TRAIN:
        train(b, event, run);
        break;
    case EVENT_CLASS:
        class_change(b, event);
        break;
    case EVENT_TUNE:
        all_settings(b, &event->as.tune.settings);
        break;
    case EVENT_REHEARSE:
        rehearse(b, event);
        break;
    case EVENT_ACTIVATE:
        event->as.activate.revision = whole(b, "revision", event->as.activate.revision, 1, WHOLE_MAX);
        break;
    case EVENT_EDIT:
        edit(b, event);
        break;
    case EVENT_BASELINE:
        baseline(b, event);
        break;
    case EVENT_IDLE:
        event->as.idle.steps = (uint32_t)whole(b, "steps", event->as.idle.steps, 1, IDLE_STEPS_MAX);
        break;
    case EVENT_CREATE:
    case EVENT_KIND_N:
        assert(false);
    }
    end(b, "}");
}

/* ---- both ways ---- */

static bool weights_given(const struct event *create)
{
    return create->as.create.k != NULL || create->as.create.w01 != NULL || create->as.create.w12 != NULL;
}

static void encode_create(struct body *b, const struct event *event, const uint8_t digest[DIGEST_BYTES])
{
    struct origin origin = {.event = *event, .given = weights_given(event), .arithmetic = ARITHMETIC_VERSION};
    memcpy(origin.digest, digest, DIGEST_BYTES);
    create_body(b, &origin);
}

int event_encode(char **body, const struct event *event, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    struct body b = {.writes = true, .err = err};
    struct event copy = *event;
    struct sample_run run = {0};
    if (event->kind == EVENT_TRAIN && event->as.train.n > 0)
        run = (struct sample_run){event->as.train.samples[0].id, event->as.train.n};
    if (event->kind == EVENT_CREATE)
        encode_create(&b, event, digest);
    else
        event_body(&b, &copy, &run);
    bytes(&b, "", 1);
    if (b.failed) {
        free(b.text);
        b.text = NULL;
    }
    *body = b.text;
    return b.failed ? -1 : 0;
}

static int decoded(struct body *b)
{
    b->member = "end";
    if (b->at != b->end)
        refuse(b);
    return b->failed ? -1 : 0;
}

int event_decode(struct event *event, struct sample_run *run, const char *body, size_t n_body, struct err *err)
{
    struct body b = {.at = body, .end = body + n_body, .member = "beginning", .err = err};
    event_body(&b, event, run);
    return decoded(&b);
}

int origin_decode(struct origin *origin, const char *body, size_t n_body, struct err *err)
{
    struct body b = {.at = body, .end = body + n_body, .member = "beginning", .err = err};
    *origin = (struct origin){.event = {.kind = EVENT_CREATE, .revision = 1}};
    create_body(&b, origin);
    if (decoded(&b) != 0)
        return -1;
    b.member = "shape";
    if (shape_check(&origin->event.as.create.shape, origin->event.as.create.n_classes, NULL) != 0)
        refuse(&b);
    return b.failed ? -1 : 0;
}

void origin_fini(struct origin *origin)
{
    free(origin->labels);
    origin->labels = NULL;
}

enum event_kind event_kind_parse(const char *word)
{
    for (int kind = EVENT_CREATE; kind < EVENT_KIND_N; kind++)
        if (strcmp(event_kind_name((enum event_kind)kind), word) == 0)
            return (enum event_kind)kind;
    return (enum event_kind)0;
}
