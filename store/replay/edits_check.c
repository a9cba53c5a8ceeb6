/* edits_check.c - what is to be edited: looked up, and refused where it cannot be. See store/replay/edits.h. */
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

/* What is looked at for all of them: the line that is live, and, once one of them needs it, what its classes meant. */
struct looker {
    struct store *store;
    const struct learner *learner;
    struct line line;
    struct meanings *meanings;
};

static int looker_init(struct looker *looker, struct store *store, const struct learner *learner, struct err *err)
{
    *looker = (struct looker){.store = store, .learner = learner};
    return line_init(&looker->line, store, store->end.revision, err);
}

static void looker_fini(struct looker *looker)
{
    meanings_close(looker->meanings);
    line_fini(&looker->line);
}

/* An edit may bring classes along that did not exist yet at the sample's place. */
static int check_class(struct looker *looker, const struct edit *edit, struct err *err)
{
    if (edit->label < looker->store->origin.event.as.create.n_classes)
        return 0;
    if (looker->meanings == NULL && meanings_open(&looker->meanings, looker->store, &looker->line, err) != 0)
        return -1;
    return meanings_check(looker->meanings, looker->store, edit, err);
}

static int check_one(struct looker *looker, struct edit *edit, struct err *err)
{
    struct store *store = looker->store;
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
    if (!line_has(&looker->line, edit->revision))
        return err_set(err, ERR_CONFLICT,
                       "the model went back to before sample %lld, so it is not learned from and cannot be relabelled; "
                       "it can be forgotten",
                       (long long)edit->id);
    if (column >= looker->learner->n_classes)
        return err_set(err, ERR_CONFLICT,
                       "sample %lld was to be relabelled, but the model went back to before there was that class",
                       (long long)edit->id);
    return check_class(looker, edit, err);
}

static void leave_out(struct edits *edits)
{
    size_t n = 0;
    for (size_t i = 0; i < edits->n; i++)
        if (!edits->list[i].out)
            edits->list[n++] = edits->list[i];
    edits->n = n;
}

int store_edits_check(struct store *store, const struct learner *learner, struct edits *edits, size_t *at,
                      struct err *err)
{
    struct looker looker;
    size_t i = 0;
    int status = looker_init(&looker, store, learner, err);
    for (; status == 0 && i < edits->n; i++) {
        struct edit *edit = &edits->list[i];
        status = check_one(&looker, edit, err);
        edit->out = edit->label != EDIT_FORGET && edit->label == edit->was;
    }
    looker_fini(&looker);
    if (status == 0)
        leave_out(edits);
    else if (at != NULL)
        *at = i - 1;
    return status;
}

/* ---- looking again, in pieces ---- */

struct edits_look {
    struct looker looker;
    struct edits *edits;
    size_t at, n_void; /* looked at so far; of these, void */
};

int store_edits_look_open(struct edits_look **out, struct store *store, const struct learner *learner,
                          struct edits *edits, struct err *err)
{
    struct edits_look *look = *out = calloc(1, sizeof *look);
    if (look == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a look at edits");
    look->edits = edits;
    if (looker_init(&look->looker, store, learner, err) == 0)
        return 0;
    store_edits_look_close(look);
    *out = NULL;
    return -1;
}

/* The list stays whole until all of it was looked at: after an error what was accepted is still in it. */
int store_edits_look_step(struct edits_look *look, size_t n, size_t *n_void, struct err *err)
{
    struct edits *edits = look->edits;
    for (; n > 0 && look->at < edits->n; n--) {
        struct edit *edit = &edits->list[look->at];
        const bool fails = check_one(&look->looker, edit, err) != 0;
        const bool is_void = fails && err->code == ERR_CONFLICT, is_done = fails && err->code == ERR_GONE;
        if (fails && !is_void && !is_done)
            return -1;
        edit->out = fails || (edit->label != EDIT_FORGET && edit->label == edit->was);
        look->n_void += is_void;
        look->at++;
    }
    if (look->at < edits->n)
        return 1;
    leave_out(edits);
    look->at = edits->n;
    *n_void = look->n_void;
    return 0;
}

void store_edits_look_close(struct edits_look *look)
{
    if (look != NULL)
        looker_fini(&look->looker);
    free(look);
}

int store_edits_check_again(struct store *store, const struct learner *learner, struct edits *edits, size_t *n_void,
                            struct err *err)
{
    struct edits_look *look;
    *n_void = 0;
    if (store_edits_look_open(&look, store, learner, edits, err) != 0)
        return -1;
    const int status = store_edits_look_step(look, SIZE_MAX, n_void, err);
    store_edits_look_close(look);
    return status;
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
    struct looker looker;
    struct edit first = {.label = edits->into};
    if (edits->into == EDIT_FORGET || edits->into < store->origin.event.as.create.n_classes)
        return 0;
    db_bind_int(store->db, SQL_SAMPLES_OF_CLASS, 1, edits->removed);
    db_bind_int(store->db, SQL_SAMPLES_OF_CLASS, 2, 0);
    db_bind_int(store->db, SQL_SAMPLES_OF_CLASS, 3, INT64_MAX);
    int status = db_step(store->db, SQL_SAMPLES_OF_CLASS, err);
    if (status == 1) {
        first.id = db_int(store->db, SQL_SAMPLES_OF_CLASS, 0);
        first.revision = (uint64_t)db_int(store->db, SQL_SAMPLES_OF_CLASS, 1);
    }
    db_reset(store->db, SQL_SAMPLES_OF_CLASS);
    if (status != 1)
        return status;
    status = looker_init(&looker, store, NULL, err);
    if (status == 0)
        status = check_class(&looker, &first, err);
    looker_fini(&looker);
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
