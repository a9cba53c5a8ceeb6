/* event_read.c - a JSON body as its event, by SQLite's own JSON functions. Whatever one is refused for, the log is damaged. */
#include <stdlib.h>
#include <string.h>

#include "core/jitter.h"
#include "store/internal.h"

enum event_kind event_kind_parse(const char *word)
{
    for (int kind = EVENT_CREATE; kind < EVENT_KIND_N; kind++)
        if (strcmp(event_kind_name((enum event_kind)kind), word) == 0)
            return (enum event_kind)kind;
    return (enum event_kind)0;
}

static int damaged(struct err *err, const char *what)
{
    return err_set(err, ERR_DB_CORRUPT, "the body's %s is missing or none", what);
}

/* Steps a one-row statement over the body; its columns can be read until db_reset(). */
static int read_body(struct db *db, enum statement which, const char *body, size_t n_body, struct err *err)
{
    db_bind_bytes_as_text(db, which, 1, body, n_body);
    return db_step(db, which, err) < 0 ? -1 : 0;
}

static bool is_within(const struct db *db, enum statement which, int column, int64_t low, int64_t high)
{
    return db_is_int(db, which, column) && db_int(db, which, column) >= low && db_int(db, which, column) <= high;
}

static int parse_settings(struct settings *settings, struct db *db, const char *body, size_t n_body, struct err *err)
{
    uint32_t named = 0;
    db_bind_bytes_as_text(db, SQL_READ_SETTINGS, 1, body, n_body);
    int status;
    while ((status = db_step(db, SQL_READ_SETTINGS, err)) == 1) {
        enum setting which = settings_find(db_text(db, SQL_READ_SETTINGS, 0, NULL));
        bool number = db_is_number(db, SQL_READ_SETTINGS, 1);
        if (which == SETTING_N || number != (setting_table[which].words == NULL)) {
            status = damaged(err, "settings");
            break;
        }
        status = number ? settings_set(settings, which, db_real(db, SQL_READ_SETTINGS, 1), err)
                        : settings_set_text(settings, which, db_text(db, SQL_READ_SETTINGS, 1, NULL), err);
        if (status != 0)
            break;
        named |= 1U << which;
    }
    db_reset(db, SQL_READ_SETTINGS);
    return status == 0 && named != (1U << SETTING_N) - 1 ? damaged(err, "settings") : status;
}

static int parse_class(struct event *event, struct db *db, struct err *err)
{
    size_t n_label;
    const char *action = db_text(db, SQL_READ_CLASS, 0, NULL), *label = db_text(db, SQL_READ_CLASS, 2, &n_label);
    if (strcmp(action, class_action_name(CLASS_ADD)) == 0)
        event->as.class_.action = CLASS_ADD;
    else if (strcmp(action, class_action_name(CLASS_RENAME)) == 0)
        event->as.class_.action = CLASS_RENAME;
    else
        return damaged(err, "action");
    if (!is_within(db, SQL_READ_CLASS, 1, 0, SHAPE_CLASSES_MAX - 1))
        return damaged(err, "index");
    if (n_label > LABEL_BYTES_MAX || label_check(label, n_label, NULL) != 0)
        return damaged(err, "label");
    event->as.class_.index = (uint32_t)db_int(db, SQL_READ_CLASS, 1);
    memcpy(event->as.class_.label, label, n_label + 1);
    return 0;
}

/* What is not finite, or no number, is not within. */
static bool read_float(float *value, const struct db *db, enum statement which, int column, double high)
{
    double number = db_is_number(db, which, column) ? db_real(db, which, column) : -1;
    *value = (float)number;
    return number >= 0 && number <= high;
}

static int parse_rehearse(struct event *event, struct db *db, struct err *err)
{
    const enum statement which = SQL_READ_REHEARSE;
    if (!db_is_int(db, which, 0) || !db_is_int(db, which, 1) || !db_is_int(db, which, 2))
        return damaged(err, "range of samples");
    event->as.rehearse.first_id = db_int(db, which, 0);
    event->as.rehearse.last_id = db_int(db, which, 1);
    event->as.rehearse.seed = (uint64_t)db_int(db, which, 2);
    if (!is_within(db, which, 3, 1, INT64_MAX) || !is_within(db, which, 5, 1, db_int(db, which, 3)) ||
        !is_within(db, which, 4, 0, db_int(db, which, 5) - 1))
        return damaged(err, "range of places");
    event->as.rehearse.n = (uint64_t)db_int(db, which, 3);
    event->as.rehearse.begin = (uint64_t)db_int(db, which, 4);
    event->as.rehearse.end = (uint64_t)db_int(db, which, 5);
    if (!read_float(&event->as.rehearse.rate, db, which, 6, setting_table[SETTING_RATE].high))
        return damaged(err, "rate");
    if (!read_float(&event->as.rehearse.jitter, db, which, 7, JITTER_SHIFT_MAX) ||
        !read_float(&event->as.rehearse.rotation, db, which, 8, JITTER_DEGREES_MAX))
        return damaged(err, "jitter or rotation");
    return 0;
}

static int unhex(uint8_t *bytes, size_t n_bytes, const char *text)
{
    if (strlen(text) != 2 * n_bytes || strspn(text, "0123456789abcdef") != 2 * n_bytes)
        return -1;
    for (size_t i = 0; i < 2 * n_bytes; i++) {
        int digit = text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10;
        bytes[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : bytes[i / 2] | digit);
    }
    return 0;
}

static int parse_name(char name[ARITHMETIC_BYTES], const struct db *db, enum statement which, int column,
                      struct err *err)
{
    size_t n;
    const char *text = db_text(db, which, column, &n);
    if (n == 0 || n >= ARITHMETIC_BYTES || strlen(text) != n)
        return damaged(err, "arithmetic");
    memcpy(name, text, n + 1);
    return 0;
}

static int parse_ground(struct event *event, struct db *db, struct err *err)
{
    if (parse_name(event->as.ground.arithmetic, db, SQL_READ_GROUND, 0, err) != 0 ||
        parse_name(event->as.ground.before, db, SQL_READ_GROUND, 1, err) != 0)
        return -1;
    if (!is_within(db, SQL_READ_GROUND, 2, 1, INT64_MAX))
        return damaged(err, "revision");
    if (unhex(event->as.ground.digest, DIGEST_BYTES, db_text(db, SQL_READ_GROUND, 3, NULL)) != 0)
        return damaged(err, "digest");
    event->as.ground.from = (uint64_t)db_int(db, SQL_READ_GROUND, 2);
    return 0;
}

static int parse_edit(struct event *event, struct db *db, struct err *err)
{
    if (!is_within(db, SQL_READ_EDIT, 0, 1, INT64_MAX) || !is_within(db, SQL_READ_EDIT, 1, 0, UINT32_MAX))
        return damaged(err, "range");
    if (unhex(event->as.edit.rows, sizeof event->as.edit.rows, db_text(db, SQL_READ_EDIT, 2, NULL)) != 0)
        return damaged(err, "rows");
    event->as.edit.from = (uint64_t)db_int(db, SQL_READ_EDIT, 0);
    event->as.edit.n = (uint32_t)db_int(db, SQL_READ_EDIT, 1);
    return 0;
}

/* A decimal number of up to 15 digits, without leading zeros, behind `word`; NULL: it is not there. */
static const char *plain_number(int64_t *number, const char *at, const char *word)
{
    const size_t n_word = strlen(word);
    if (strncmp(at, word, n_word) != 0)
        return NULL;
    at += n_word;
    const size_t n_digits = strspn(at, "0123456789");
    if (n_digits < 1 || n_digits > 15 || (at[0] == '0' && n_digits > 1))
        return NULL;
    *number = 0;
    for (size_t i = 0; i < n_digits; i++)
        *number = 10 * *number + (at[i] - '0');
    return at + n_digits;
}

/* {"first":12,"n":3}, as nearly every body of a train event is: a third of what SQLite's JSON takes, where each image is an event. */
static bool parse_plain_train(struct event *event, struct sample_run *run, const char *body, size_t n_body)
{
    int64_t first, n;
    const char *at = plain_number(&first, body, "{\"first\":");
    if (at == NULL || (at = plain_number(&n, at, ",\"n\":")) == NULL || strcmp(at, "}") != 0 ||
        at + 1 != body + n_body || n > UINT32_MAX)
        return false;
    *run = (struct sample_run){.first = first, .n = (uint32_t)n};
    event->as.train.n = (uint32_t)n;
    return true;
}

static int parse(struct event *event, struct sample_run *run, struct db *db, const char *body, size_t n_body,
                 struct err *err)
{
    int status = 0;
    switch (event->kind) {
    case EVENT_TRAIN:
        if (parse_plain_train(event, run, body, n_body))
            return 0;
        if (read_body(db, SQL_READ_TRAIN, body, n_body, err) != 0)
            return -1;
        if (!is_within(db, SQL_READ_TRAIN, 0, 0, INT64_MAX - UINT32_MAX) ||
            !is_within(db, SQL_READ_TRAIN, 1, 0, UINT32_MAX))
            status = damaged(err, "range of samples");
        run->first = db_int(db, SQL_READ_TRAIN, 0);
        run->n = event->as.train.n = (uint32_t)db_int(db, SQL_READ_TRAIN, 1);
        db_reset(db, SQL_READ_TRAIN);
        return status;
    case EVENT_CLASS:
        if (read_body(db, SQL_READ_CLASS, body, n_body, err) != 0)
            return -1;
        status = parse_class(event, db, err);
        db_reset(db, SQL_READ_CLASS);
        return status;
    case EVENT_TUNE:
        return parse_settings(&event->as.tune.settings, db, body, n_body, err);
    case EVENT_REHEARSE:
        if (read_body(db, SQL_READ_REHEARSE, body, n_body, err) != 0)
            return -1;
        status = parse_rehearse(event, db, err);
        db_reset(db, SQL_READ_REHEARSE);
        return status;
    case EVENT_ACTIVATE:
        if (read_body(db, SQL_READ_ACTIVATE, body, n_body, err) != 0)
            return -1;
        if (!is_within(db, SQL_READ_ACTIVATE, 0, 1, INT64_MAX))
            status = damaged(err, "revision");
        event->as.activate.revision = (uint64_t)db_int(db, SQL_READ_ACTIVATE, 0);
        db_reset(db, SQL_READ_ACTIVATE);
        return status;
    case EVENT_EDIT:
        if (read_body(db, SQL_READ_EDIT, body, n_body, err) != 0)
            return -1;
        status = parse_edit(event, db, err);
        db_reset(db, SQL_READ_EDIT);
        return status;
    case EVENT_GROUND:
        if (read_body(db, SQL_READ_GROUND, body, n_body, err) != 0)
            return -1;
        status = parse_ground(event, db, err);
        db_reset(db, SQL_READ_GROUND);
        return status;
    case EVENT_CREATE:
    case EVENT_KIND_N:
        break;
    }
    return err_set(err, ERR_INTERNAL, "no body of kind %d is read here", (int)event->kind);
}

/* Whatever a body that was read from the log is refused for, the log is what is wrong. */
static int blame_log(struct err *err)
{
    if (err != NULL && err->code != ERR_MEMORY && err->code != ERR_STORAGE) {
        err->code = ERR_DB_CORRUPT;
        err->pointer[0] = '\0';
    }
    return -1;
}

int event_parse(struct event *event, struct sample_run *run, struct db *db, const char *body, size_t n_body,
                struct err *err)
{
    return parse(event, run, db, body, n_body, err) == 0 ? 0 : blame_log(err);
}

static int parse_shape(struct shape *shape, struct db *db, const char *body, size_t n_body, struct err *err)
{
    uint32_t *const sides[] = {&shape->width,        &shape->height,        &shape->channels, &shape->kernels,
                               &shape->kernel_width, &shape->kernel_height, &shape->stride,   &shape->hidden};
    int status = 0;
    *shape = (struct shape){0};
    if (read_body(db, SQL_READ_SHAPE, body, n_body, err) != 0)
        return -1;
    for (int i = 0; i < 8 && status == 0; i++) {
        if (!is_within(db, SQL_READ_SHAPE, i, 0, UINT32_MAX))
            status = damaged(err, "shape");
        *sides[i] = (uint32_t)db_int(db, SQL_READ_SHAPE, i);
    }
    db_reset(db, SQL_READ_SHAPE);
    return status;
}

static int parse_labels(struct origin *origin, uint32_t n, struct db *db, const char *body, size_t n_body,
                        struct err *err)
{
    origin->labels = calloc(n, sizeof *origin->labels);
    if (origin->labels == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for %u labels", n);
    uint32_t i = 0;
    int status;
    db_bind_bytes_as_text(db, SQL_READ_CLASSES, 1, body, n_body);
    while ((status = db_step(db, SQL_READ_CLASSES, err)) == 1) {
        size_t n_label;
        const char *label = db_text(db, SQL_READ_CLASSES, 0, &n_label);
        if (i == n || n_label > LABEL_BYTES_MAX) {
            status = damaged(err, "classes");
            break;
        }
        memcpy(origin->labels[i++], label, n_label + 1);
    }
    db_reset(db, SQL_READ_CLASSES);
    if (status == 0 && i != n)
        status = damaged(err, "classes");
    origin->event.as.create.n_classes = n;
    origin->event.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) origin->labels;
    return status;
}

static int parse_create(struct origin *origin, struct db *db, const char *body, size_t n_body, struct err *err)
{
    int status = 0;
    uint32_t n_classes = 0;
    if (read_body(db, SQL_READ_CREATE, body, n_body, err) != 0)
        return -1;
    const char *tensors = db_text(db, SQL_READ_CREATE, 1, NULL);
    origin->given = strcmp(tensors, "given") == 0;
    if (parse_name(origin->arithmetic, db, SQL_READ_CREATE, 0, err) != 0)
        status = -1;
    else if (!origin->given && strcmp(tensors, "drawn") != 0)
        status = damaged(err, "tensors");
    else if (unhex(origin->digest, DIGEST_BYTES, db_text(db, SQL_READ_CREATE, 2, NULL)) != 0)
        status = damaged(err, "digest");
    else if (!is_within(db, SQL_READ_CREATE, 3, 1, SHAPE_CLASSES_MAX))
        status = damaged(err, "classes");
    else
        n_classes = (uint32_t)db_int(db, SQL_READ_CREATE, 3);
    db_reset(db, SQL_READ_CREATE);
    if (status != 0)
        return -1;
    struct event *event = &origin->event;
    if (parse_shape(&event->as.create.shape, db, body, n_body, err) != 0 ||
        shape_check(&event->as.create.shape, n_classes, err) != 0 ||
        parse_settings(&event->as.create.settings, db, body, n_body, err) != 0)
        return -1;
    return parse_labels(origin, n_classes, db, body, n_body, err);
}

int event_parse_create(struct origin *origin, struct db *db, const char *body, size_t n_body, struct err *err)
{
    *origin = (struct origin){.event = {.kind = EVENT_CREATE, .revision = 1}};
    return parse_create(origin, db, body, n_body, err) == 0 ? 0 : blame_log(err);
}

void origin_fini(struct origin *origin)
{
    free(origin->labels);
    origin->labels = NULL;
}
