/* event_write.c - an event as its JSON body, by SQLite's own JSON functions.
 *
 * Numbers must come back exactly, since replay reads them. A float32 is written as its shortest decimal form ("0.05"), at
 * most 9 digits, which reads back as the same float32; SQLite prints 15. Seeds stay integers.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

const char *class_action_name(enum class_action action)
{
    return action == CLASS_ADD ? "add" : "rename";
}

/* Takes the text that a one-row statement gives. */
static int take_text(char **out, struct db *db, enum statement which, struct err *err)
{
    int status = db_step(db, which, err);
    if (status < 0)
        return -1;
    assert(status == 1);
    status = db_text_dup(out, db, which, 0, err);
    db_reset(db, which);
    return status;
}

/* The double with the fewest decimals that rounds to that float. */
static double shortest(float value)
{
    for (int digits = 1; digits < 9; digits++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        double candidate = strtod(text, NULL);
        if ((float)candidate == value)
            return candidate;
    }
    return (double)value;
}

static int settings_json(char **out, struct db *db, const struct settings *settings, struct err *err)
{
    char *json = strdup("{}");
    if (json == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for the settings");
    for (int i = 0; i < SETTING_N; i++) {
        enum setting which = (enum setting)i;
        const char *word = settings_word(settings, which);
        double number = settings_get(settings, which);
        char *longer = NULL;
        db_bind_text(db, SQL_JSON_PUT, 1, json);
        db_bind_text(db, SQL_JSON_PUT, 2, setting_table[i].name);
        if (word != NULL)
            db_bind_text(db, SQL_JSON_PUT, 3, word);
        else if (which == SETTING_SEED)
            db_bind_int(db, SQL_JSON_PUT, 3, (int64_t)number);
        else
            db_bind_real(db, SQL_JSON_PUT, 3, shortest((float)number));
        int status = take_text(&longer, db, SQL_JSON_PUT, err);
        free(json);
        if (status != 0)
            return -1;
        json = longer;
    }
    *out = json;
    return 0;
}

static int classes_json(char **out, struct db *db, const struct event *create, struct err *err)
{
    char *json = strdup("[]");
    if (json == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for the classes");
    for (uint32_t i = 0; i < create->as.create.n_classes; i++) {
        char *longer = NULL;
        db_bind_text(db, SQL_JSON_PUSH, 1, json);
        db_bind_text(db, SQL_JSON_PUSH, 2, create->as.create.labels[i]);
        int status = take_text(&longer, db, SQL_JSON_PUSH, err);
        free(json);
        if (status != 0)
            return -1;
        json = longer;
    }
    *out = json;
    return 0;
}

bool event_weights_given(const struct event *create)
{
    return create->as.create.k != NULL || create->as.create.w01 != NULL || create->as.create.w12 != NULL;
}

static int body_create(char **body, struct db *db, const struct event *event, const uint8_t digest[DIGEST_BYTES],
                       struct err *err)
{
    char *settings = NULL, *classes = NULL;
    const struct shape *shape = &event->as.create.shape;
    const uint32_t sides[] = {shape->width,        shape->height,        shape->channels, shape->kernels,
                              shape->kernel_width, shape->kernel_height, shape->stride,   shape->hidden};
    bool given = event_weights_given(event);
    int status = -1;
    if (settings_json(&settings, db, &event->as.create.settings, err) != 0 ||
        classes_json(&classes, db, event, err) != 0)
        goto out;
    for (int i = 0; i < 8; i++)
        db_bind_int(db, SQL_BODY_CREATE, i + 1, sides[i]);
    db_bind_text(db, SQL_BODY_CREATE, 9, settings);
    db_bind_text(db, SQL_BODY_CREATE, 10, classes);
    db_bind_text(db, SQL_BODY_CREATE, 11, ARITHMETIC_VERSION);
    db_bind_text(db, SQL_BODY_CREATE, 12, given ? "given" : "drawn");
    db_bind_blob(db, SQL_BODY_CREATE, 13, digest, DIGEST_BYTES);
    status = take_text(body, db, SQL_BODY_CREATE, err);
out:
    free(settings);
    free(classes);
    return status;
}

/* The ids of the samples whose steps were refused: what a replay finds out again, for those who read the log. */
static int refused_json(char **out, const struct event *event, struct err *err)
{
    const size_t size = (size_t)event->as.train.n * 21 + 3;
    size_t used = 0;
    *out = malloc(size);
    if (*out == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for the refused samples");
    for (uint32_t i = 0; i < event->as.train.n; i++)
        if (event->as.train.samples[i].refused)
            used += (size_t)snprintf(*out + used, size - used, "%c%lld", used == 0 ? '[' : ',',
                                     (long long)event->as.train.samples[i].id);
    (void)snprintf(*out + used, size - used, "]");
    return 0;
}

static int body_train(char **body, struct db *db, const struct event *event, struct err *err)
{
    const struct sample *samples = event->as.train.samples;
    char *refused = NULL;
    bool any_refused = false;
    for (uint32_t i = 0; i < event->as.train.n; i++)
        any_refused = any_refused || samples[i].refused;
    const enum statement which = any_refused ? SQL_BODY_TRAIN_MORE : SQL_BODY_TRAIN;
    db_bind_int(db, which, 1, event->as.train.n == 0 ? 0 : samples[0].id);
    db_bind_int(db, which, 2, event->as.train.n);
    if (any_refused && refused_json(&refused, event, err) != 0)
        return -1;
    if (any_refused)
        db_bind_text(db, which, 3, refused);
    int status = take_text(body, db, which, err);
    free(refused);
    return status;
}

static int body_rehearse(char **body, struct db *db, const struct event *event, struct err *err)
{
    db_bind_int(db, SQL_BODY_REHEARSE, 1, event->as.rehearse.first_id);
    db_bind_int(db, SQL_BODY_REHEARSE, 2, event->as.rehearse.last_id);
    db_bind_int(db, SQL_BODY_REHEARSE, 3, (int64_t)event->as.rehearse.n);
    db_bind_int(db, SQL_BODY_REHEARSE, 4, (int64_t)event->as.rehearse.seed);
    db_bind_int(db, SQL_BODY_REHEARSE, 5, (int64_t)event->as.rehearse.begin);
    db_bind_int(db, SQL_BODY_REHEARSE, 6, (int64_t)event->as.rehearse.end);
    db_bind_real(db, SQL_BODY_REHEARSE, 7, shortest(event->as.rehearse.rate));
    db_bind_real(db, SQL_BODY_REHEARSE, 8, shortest(event->as.rehearse.jitter));
    db_bind_real(db, SQL_BODY_REHEARSE, 9, shortest(event->as.rehearse.rotation));
    return take_text(body, db, SQL_BODY_REHEARSE, err);
}

int event_body(char **body, struct db *db, const struct event *event, const uint8_t digest[DIGEST_BYTES],
               struct err *err)
{
    *body = NULL;
    switch (event->kind) {
    case EVENT_CREATE:
        return body_create(body, db, event, digest, err);
    case EVENT_TRAIN:
        return body_train(body, db, event, err);
    case EVENT_CLASS:
        db_bind_text(db, SQL_BODY_CLASS, 1, class_action_name(event->as.class_.action));
        db_bind_int(db, SQL_BODY_CLASS, 2, event->as.class_.index);
        db_bind_text(db, SQL_BODY_CLASS, 3, event->as.class_.label);
        return take_text(body, db, SQL_BODY_CLASS, err);
    case EVENT_TUNE: {
        char *settings = NULL;
        if (settings_json(&settings, db, &event->as.tune.settings, err) != 0)
            return -1;
        db_bind_text(db, SQL_BODY_TUNE, 1, settings);
        int status = take_text(body, db, SQL_BODY_TUNE, err);
        free(settings);
        return status;
    }
    case EVENT_REHEARSE:
        return body_rehearse(body, db, event, err);
    case EVENT_ACTIVATE:
        db_bind_int(db, SQL_BODY_ACTIVATE, 1, (int64_t)event->as.activate.revision);
        return take_text(body, db, SQL_BODY_ACTIVATE, err);
    case EVENT_EDIT:
        db_bind_int(db, SQL_BODY_EDIT, 1, (int64_t)event->as.edit.from);
        db_bind_int(db, SQL_BODY_EDIT, 2, event->as.edit.n);
        db_bind_blob(db, SQL_BODY_EDIT, 3, event->as.edit.rows, sizeof event->as.edit.rows);
        return take_text(body, db, SQL_BODY_EDIT, err);
    case EVENT_GROUND:
        db_bind_text(db, SQL_BODY_GROUND, 1, event->as.ground.arithmetic);
        db_bind_text(db, SQL_BODY_GROUND, 2, event->as.ground.before);
        db_bind_int(db, SQL_BODY_GROUND, 3, (int64_t)event->as.ground.from);
        db_bind_blob(db, SQL_BODY_GROUND, 4, event->as.ground.digest, sizeof event->as.ground.digest);
        return take_text(body, db, SQL_BODY_GROUND, err);
    case EVENT_KIND_N:
        break;
    }
    return err_set(err, ERR_INTERNAL, "no such kind of event: %d", (int)event->kind);
}
