/* edits_check.c - what is to be edited: looked up, and refused where it cannot be. See edits.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* ---- looking up ---- */

/* Class and event of a sample. 1, 0 or -1. */
static int look_up(struct store *store, struct edit *edit, struct err *err)
{
    struct db *db = store->db;
    db_bind_int(db, SQL_SAMPLE_FIND, 1, edit->id);
    int status = db_step(db, SQL_SAMPLE_FIND, err);
    if (status == 1) {
        edit->was = (uint32_t)db_int(db, SQL_SAMPLE_FIND, 0); /* -1 becomes EDIT_FORGET */
        edit->revision = (uint64_t)db_int(db, SQL_SAMPLE_FIND, 2);
    }
    db_reset(db, SQL_SAMPLE_FIND);
    return status;
}

/* The labels that the events of one stretch leave, index by index. */
static int follow_classes(char (*labels)[LABEL_BYTES_MAX + 1], uint32_t *n, struct store *store, uint64_t first,
                          uint64_t last, struct err *err)
{
    struct db *db = store->db;
    int status;
    db_bind_int(db, SQL_CLASS_EVENTS, 1, (int64_t)first);
    db_bind_int(db, SQL_CLASS_EVENTS, 2, (int64_t)last);
    while ((status = db_step(db, SQL_CLASS_EVENTS, err)) == 1) {
        const int64_t index = db_int(db, SQL_CLASS_EVENTS, 1);
        if (index < 0 || index >= SHAPE_CLASSES_MAX)
            continue; /* damage, which a replay names */
        (void)snprintf(labels[index], sizeof labels[index], "%s", db_text(db, SQL_CLASS_EVENTS, 2, NULL));
        *n = (uint32_t)index >= *n ? (uint32_t)index + 1 : *n;
    }
    return status;
}

/* The classes that events up to a revision of that line have added, under their names of then. */
static int classes_then(char (*labels)[LABEL_BYTES_MAX + 1], uint32_t *n, struct store *store, const struct line *line,
                        uint64_t revision, struct err *err)
{
    const struct event *create = &store->origin.event;
    *n = create->as.create.n_classes;
    memcpy(labels, create->as.create.labels, *n * sizeof *labels);
    for (size_t i = line->n; i-- > 0;) {
        const uint64_t last = line->stretches[i].last < revision ? line->stretches[i].last : revision;
        if (line->stretches[i].first <= last &&
            follow_classes(labels, n, store, line->stretches[i].first, last, err) != 0)
            return -1;
    }
    return 0;
}

/* An edit may bring classes along that did not exist yet at the sample's place; as what they were added with later. That has to have
 * one meaning on every line, and no other class may have had the name by then. */
static int check_class(struct store *store, const struct line *line, const struct edit *edit, struct err *err)
{
    struct db *db = store->db;
    uint32_t n_then = 0;
    char(*then)[LABEL_BYTES_MAX + 1] = calloc(SHAPE_CLASSES_MAX, sizeof *then);
    if (then == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for the classes");
    int status = classes_then(then, &n_then, store, line, edit->revision, err);
    for (uint32_t index = n_then; status == 0 && index <= edit->label; index++) {
        if (class_is_removed(store, index))
            continue;
        char label[LABEL_BYTES_MAX + 1];
        db_bind_int(db, SQL_CLASS_ADDED, 1, (int64_t)edit->revision);
        db_bind_int(db, SQL_CLASS_ADDED, 2, index);
        int found = db_step(db, SQL_CLASS_ADDED, err);
        (void)snprintf(label, sizeof label, "%s", found == 1 ? db_text(db, SQL_CLASS_ADDED, 0, NULL) : "");
        db_reset(db, SQL_CLASS_ADDED);
        bool good = found == 1;
        if (found == 1) {
            db_bind_int(db, SQL_CLASS_OTHERS, 1, (int64_t)edit->revision);
            db_bind_int(db, SQL_CLASS_OTHERS, 2, index);
            db_bind_text(db, SQL_CLASS_OTHERS, 3, label);
            found = db_step(db, SQL_CLASS_OTHERS, err);
            good = found == 1 && db_int(db, SQL_CLASS_OTHERS, 0) == 0;
            db_reset(db, SQL_CLASS_OTHERS);
        }
        for (uint32_t i = 0; good && i < n_then; i++)
            good = class_is_removed(store, i) || strcmp(then[i], label) != 0;
        if (found < 0)
            status = -1;
        else if (!good)
            status = err_set(err, ERR_CONFLICT,
                             "sample %lld was learned before there was a class \"%s\", which cannot be added at that "
                             "place: its index or its name had another meaning",
                             (long long)edit->id, label);
    }
    free(then);
    return status;
}

static int check_one(struct store *store, const struct learner *learner, const struct line *line, struct edit *edit,
                     struct err *err)
{
    int found = look_up(store, edit, err);
    if (found < 0)
        return -1;
    if (found == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no sample %lld", (long long)edit->id);
    if (edit->was == EDIT_FORGET)
        return err_set(err, ERR_GONE, "sample %lld was forgotten", (long long)edit->id);
    if (edit->revision < store->ground.revision)
        return err_set(err, ERR_CONFLICT,
                       "sample %lld was learned by another arithmetic, before revision %llu: the model cannot be made "
                       "again from before that. A new model can be made of the samples without it",
                       (long long)edit->id, (unsigned long long)store->ground.revision);
    if (edit->label == EDIT_FORGET || edit->label == edit->was)
        return 0;
    const uint32_t column = class_column(store, edit->label);
    if (!line_has(line, edit->revision))
        return err_set(err, ERR_CONFLICT,
                       "the model went back to before sample %lld, so it is not learned from and cannot be relabelled; "
                       "it can be forgotten",
                       (long long)edit->id);
    if (column >= learner->n_classes)
        return err_set(err, ERR_CONFLICT,
                       "sample %lld was to be relabelled, but the model went back to before there was that class",
                       (long long)edit->id);
    return edit->label < store->origin.event.as.create.n_classes ? 0 : check_class(store, line, edit, err);
}

static void leave_out(struct edits *edits)
{
    size_t n = 0;
    for (size_t i = 0; i < edits->n; i++)
        if (!edits->list[i].out)
            edits->list[n++] = edits->list[i];
    edits->n = n;
}

/* n_void: where not NULL, what cannot be made (any more) is left out and counted. The list stays whole until all of it was looked at: after
 * an error what was accepted is still in it. */
static int check_all(struct store *store, const struct learner *learner, struct edits *edits, size_t *at,
                     size_t *n_void, struct err *err)
{
    struct line line;
    size_t i = 0, n = 0;
    int status = line_init(&line, store, store->end.revision, err);
    for (; status == 0 && i < edits->n; i++) {
        struct edit *edit = &edits->list[i];
        status = check_one(store, learner, &line, edit, err);
        const bool is_void = status != 0 && n_void != NULL && err->code == ERR_CONFLICT;
        const bool is_done = status != 0 && n_void != NULL && err->code == ERR_GONE;
        edit->out = is_void || is_done || (edit->label != EDIT_FORGET && edit->label == edit->was);
        n += is_void;
        status = is_void || is_done ? 0 : status;
    }
    line_fini(&line);
    if (status == 0)
        leave_out(edits);
    else if (at != NULL)
        *at = i - 1;
    if (status == 0 && n_void != NULL)
        *n_void = n;
    return status;
}

int store_edits_check(struct store *store, const struct learner *learner, struct edits *edits, size_t *at,
                      struct err *err)
{
    return check_all(store, learner, edits, at, NULL, err);
}

int store_edits_check_again(struct store *store, const struct learner *learner, struct edits *edits, size_t *n_void,
                            struct err *err)
{
    *n_void = 0;
    return check_all(store, learner, edits, NULL, n_void, err);
}

/* ---- removing a class ---- */

/* One number that a statement gives for a class; 0 where it is NULL. */
static int ask(int64_t *value, struct store *store, enum statement which, uint32_t id, struct err *err)
{
    db_bind_int(store->db, which, 1, id);
    const int status = db_step(store->db, which, err);
    *value = status == 1 ? db_int(store->db, which, 0) : 0;
    db_reset(store->db, which);
    return status < 0 ? -1 : 0;
}

static int check_meaning(struct store *store, const struct learner *learner, uint32_t id, struct err *err)
{
    int64_t n = 0;
    if (id >= store->origin.event.as.create.n_classes && ask(&n, store, SQL_CLASS_MEANINGS, id, err) != 0)
        return -1;
    if (n <= 1)
        return 0;
    const uint32_t column = class_column(store, id);
    return err_set(err, ERR_CONFLICT,
                   "class \"%s\" cannot be merged or deleted: before the model went back, another class had its place",
                   column < learner->n_classes ? learner->labels[column] : "?");
}

/* From which revision on there was that class: its own event, or a relabelled sample that brought it along before. */
static int first_of_class(uint64_t *first, struct store *store, uint32_t id, struct err *err)
{
    int64_t added = 1, brought = 0;
    if (id >= store->origin.event.as.create.n_classes && ask(&added, store, SQL_CLASS_FIRST, id, err) != 0)
        return -1;
    if (ask(&brought, store, SQL_EDIT_FIRST_ABOVE, id, err) != 0)
        return -1;
    *first = (uint64_t)(brought > 0 && brought < added ? brought : added);
    return *first > 0 ? 0 : err_set(err, ERR_DB_CORRUPT, "no event adds class %u", id);
}

/* The class that gets the samples must be able to be where the first of them is. */
static int check_into(struct store *store, const struct edits *edits, struct err *err)
{
    struct line line = {0};
    struct edit first = {.label = edits->into};
    if (edits->into == EDIT_FORGET || edits->into < store->origin.event.as.create.n_classes)
        return 0;
    db_bind_int(store->db, SQL_SAMPLES_OF_CLASS, 1, edits->removed);
    int status = db_step(store->db, SQL_SAMPLES_OF_CLASS, err);
    if (status == 1) {
        first.id = db_int(store->db, SQL_SAMPLES_OF_CLASS, 0);
        first.revision = (uint64_t)db_int(store->db, SQL_SAMPLES_OF_CLASS, 1);
    }
    db_reset(store->db, SQL_SAMPLES_OF_CLASS);
    if (status == 1)
        status = line_init(&line, store, store->end.revision, err) == 0 ? check_class(store, &line, &first, err) : -1;
    line_fini(&line);
    return status;
}

int store_edits_remove(struct store *store, const struct learner *learner, struct edits *edits, uint32_t removed,
                       uint32_t into, struct err *err)
{
    const uint32_t n_first = store->origin.event.as.create.n_classes;
    uint32_t left = 0;
    for (uint32_t id = 0; id < n_first; id++)
        left += id != removed && !class_is_removed(store, id);
    if (left == 0)
        return err_set(err, ERR_CONFLICT, "it is the last of the classes that the model was made with");
    *edits = (struct edits){.drop_pinned = edits->drop_pinned, .removes = true, .removed = removed, .into = into};
    if (check_meaning(store, learner, removed, err) != 0 ||
        (into != EDIT_FORGET && check_meaning(store, learner, into, err) != 0) ||
        first_of_class(&edits->first, store, removed, err) != 0 || check_into(store, edits, err) != 0)
        return -1;
    if (edits->first >= store->ground.revision)
        return 0;
    return err_set(
        err, ERR_CONFLICT,
        "the class is of before revision %llu, where another arithmetic made the log: the model cannot be made "
        "again from before that",
        (unsigned long long)store->ground.revision);
}
