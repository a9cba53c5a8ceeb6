/* edits.c - see edits.h: looking up, keeping, and the one transaction in which the edited model takes over. */
#include "store/edits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/replayer.h"

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

/* All its samples, on whatever line. */
static int add_samples_of_class(struct edits *edits, struct store *store, struct err *err)
{
    struct db *db = store->db;
    int status;
    db_bind_int(db, SQL_SAMPLES_OF_CLASS, 1, edits->removed);
    while ((status = db_step(db, SQL_SAMPLES_OF_CLASS, err)) == 1) {
        const struct edit edit = {.id = db_int(db, SQL_SAMPLES_OF_CLASS, 0),
                                  .revision = (uint64_t)db_int(db, SQL_SAMPLES_OF_CLASS, 1),
                                  .was = edits->removed,
                                  .label = edits->into};
        if (edits_put(edits, &edit, err) != 0) {
            db_reset(db, SQL_SAMPLES_OF_CLASS);
            return -1;
        }
    }
    return status;
}

/* n_void: where not NULL, relabels that cannot be made are left out and counted. */
static int check_all(struct store *store, const struct learner *learner, struct edits *edits, size_t *at,
                     size_t *n_void, struct err *err)
{
    struct line line;
    size_t n = 0, i = 0;
    int status = line_init(&line, store, store->end.revision, err);
    for (; status == 0 && i < edits->n; i++) {
        struct edit *edit = &edits->list[i];
        status = check_one(store, learner, &line, edit, err);
        if (status != 0 && n_void != NULL && edit->label != EDIT_FORGET && err->code == ERR_CONFLICT) {
            (*n_void)++;
            status = 0;
        } else if (edit->label == EDIT_FORGET || edit->label != edit->was) {
            edits->list[n++] = *edit;
        }
    }
    line_fini(&line);
    if (status == 0)
        edits->n = n;
    else if (at != NULL)
        *at = i - 1;
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

/* ---- snapshots that saw ---- */

/* Whether a state of that line learned from one of the samples. */
static bool saw(const struct line *line, const struct edits *edits)
{
    for (size_t i = 0; i < line->n; i++) {
        size_t low = 0, high = edits->n; /* the first that is not before the stretch */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (edits->list[middle].revision < line->stretches[i].first)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < edits->n && edits->list[low].revision <= line->stretches[i].last)
            return true;
    }
    return false;
}

/* Keeps of the list those that saw. */
static int seers(struct store_snapshot **list, size_t *n, struct store *store, const struct edits *edits,
                 struct err *err)
{
    size_t n_all, n_seers = 0;
    int status = store_snapshots(store, list, &n_all, err);
    for (size_t i = 0; status == 0 && i < n_all; i++) {
        struct line line;
        const struct store_snapshot *snapshot = &(*list)[i];
        if (snapshot->revision < edits_first(edits) || (edits->removes && strcmp(snapshot->reason, "create") == 0))
            continue; /* the first state is written anew */
        if (edits->removes) {
            (*list)[n_seers++] = *snapshot;
            continue;
        }
        status = line_init(&line, store, (*list)[i].revision, err);
        if (status == 0 && saw(&line, edits))
            (*list)[n_seers++] = (*list)[i];
        line_fini(&line);
    }
    *n = n_seers;
    return status;
}

static size_t count_pinned(const struct store_snapshot *list, size_t n, int64_t *first)
{
    size_t n_pinned = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i].pinned && n_pinned++ == 0)
            *first = list[i].id;
    return n_pinned;
}

bool store_edits_any(const struct store *store)
{
    return store->n_spans > 0;
}

int store_edits_pinned(struct store *store, const struct edits *edits, size_t *n, int64_t *first, struct err *err)
{
    struct store_snapshot *list = NULL;
    size_t n_seers;
    int status = seers(&list, &n_seers, store, edits, err);
    *n = status == 0 ? count_pinned(list, n_seers, first) : 0;
    free(list);
    return status;
}

/* ---- accepted ---- */

int store_edits_keep(struct store *store, const struct edits *edits, struct err *err)
{
    struct db *db = store->db;
    int status = store_begin(store, err);
    for (size_t i = 0; status == 0 && i < edits->n; i++) {
        const struct edit *edit = &edits->list[i];
        db_bind_int(db, SQL_PENDING_PUT, 1, edit->id);
        if (edit->label == EDIT_FORGET)
            db_bind_null(db, SQL_PENDING_PUT, 2);
        else
            db_bind_int(db, SQL_PENDING_PUT, 2, edit->label);
        db_bind_int(db, SQL_PENDING_PUT, 3, edits->drop_pinned);
        status = db_run(db, SQL_PENDING_PUT, err);
    }
    if (status == 0 && edits->removes) {
        db_bind_int(db, SQL_REMOVAL_PUT, 1, edits->removed);
        if (edits->into == EDIT_FORGET)
            db_bind_null(db, SQL_REMOVAL_PUT, 2);
        else
            db_bind_int(db, SQL_REMOVAL_PUT, 2, edits->into);
        db_bind_int(db, SQL_REMOVAL_PUT, 3, edits->drop_pinned);
        status = db_run(db, SQL_REMOVAL_PUT, err);
    }
    if (status == 0)
        return store_commit(store, err);
    store_rollback(store);
    return -1;
}

/* Of a class; what else belongs to it is for store_edits_remove(). */
static int kept_removal(struct store *store, struct edits *out, struct err *err)
{
    struct db *db = store->db;
    const int status = db_step(db, SQL_REMOVAL_FIND, err);
    if (status == 1) {
        out->removes = true;
        out->removed = (uint32_t)db_int(db, SQL_REMOVAL_FIND, 0);
        out->into = db_is_null(db, SQL_REMOVAL_FIND, 1) ? EDIT_FORGET : (uint32_t)db_int(db, SQL_REMOVAL_FIND, 1);
        out->drop_pinned = db_int(db, SQL_REMOVAL_FIND, 2) != 0;
    }
    db_reset(db, SQL_REMOVAL_FIND);
    return status < 0 ? -1 : 0;
}

int store_edits_kept(struct store *store, struct edits *out, struct err *err)
{
    struct db *db = store->db;
    int status;
    *out = (struct edits){0};
    while ((status = db_step(db, SQL_PENDING_LIST, err)) == 1) {
        const int64_t label = db_int(db, SQL_PENDING_LIST, 1);
        const bool forget = db_is_null(db, SQL_PENDING_LIST, 1);
        const struct edit edit = {.id = db_int(db, SQL_PENDING_LIST, 0),
                                  .label = forget ? EDIT_FORGET : (uint32_t)label};
        out->drop_pinned = out->drop_pinned || db_int(db, SQL_PENDING_LIST, 2) != 0;
        if (!forget && (label < 0 || label >= SHAPE_CLASSES_MAX))
            status = err_set(err, ERR_DB_CORRUPT, "a row of table edit_pending was changed");
        if (status != 1 || edits_put(out, &edit, err) != 0) {
            db_reset(db, SQL_PENDING_LIST);
            status = -1;
            break;
        }
    }
    if (status == 0)
        status = kept_removal(store, out, err);
    if (status != 0)
        edits_fini(out);
    return status;
}

int store_edits_drop(struct store *store, struct err *err)
{
    if (log_writable(store, err) != 0)
        return -1;
    if (store_begin(store, err) != 0)
        return -1;
    if (db_run(store->db, SQL_PENDING_CLEAR, err) == 0 && db_run(store->db, SQL_REMOVAL_CLEAR, err) == 0)
        return store_commit(store, err);
    return log_abandon(store);
}

/* ---- taking over ---- */

static int write_rows(struct store *store, uint64_t event, const struct edits *edits, const struct edited *edited,
                      size_t n_edited, struct err *err)
{
    struct db *db = store->db;
    for (size_t i = 0; i < edits->n; i++) {
        const struct edit *edit = &edits->list[i];
        db_bind_int(db, SQL_EDIT_INSERT, 1, edit->id);
        db_bind_int(db, SQL_EDIT_INSERT, 2, (int64_t)event);
        db_bind_int(db, SQL_EDIT_INSERT, 3, edit->was);
        if (edit->label == EDIT_FORGET)
            db_bind_null(db, SQL_EDIT_INSERT, 4);
        else
            db_bind_int(db, SQL_EDIT_INSERT, 4, edit->label);
        if (db_run(db, SQL_EDIT_INSERT, err) != 0)
            return -1;
        if (edit->label != EDIT_FORGET)
            continue;
        db_bind_int(db, SQL_SAMPLE_FORGET, 1, edit->id);
        if (db_run(db, SQL_SAMPLE_FORGET, err) != 0)
            return -1;
    }
    for (size_t i = 0; i < n_edited; i++) {
        db_bind_int(db, SQL_EDITED_INSERT, 1, (int64_t)edited[i].revision);
        db_bind_int(db, SQL_EDITED_INSERT, 2, (int64_t)event);
        db_bind_blob(db, SQL_EDITED_INSERT, 3, edited[i].hash, CHAIN_BYTES);
        if (db_run(db, SQL_EDITED_INSERT, err) != 0)
            return -1;
    }
    if (!edits->removes)
        return 0;
    db_bind_int(db, SQL_REMOVED_INSERT, 1, edits->removed);
    db_bind_int(db, SQL_REMOVED_INSERT, 2, (int64_t)event);
    if (edits->into == EDIT_FORGET)
        db_bind_null(db, SQL_REMOVED_INSERT, 3);
    else
        db_bind_int(db, SQL_REMOVED_INSERT, 3, edits->into);
    return db_run(db, SQL_REMOVED_INSERT, err);
}

/* The first state without the class, in place of that which had it. */
static int write_origin(struct store *store, const struct arith *arith, struct err *err)
{
    struct learner *origin = NULL;
    const struct log_end end = store->end;
    int status = replay_origin(&origin, store, arith, err);
    if (status == 0)
        status = db_run(store->db, SQL_SNAPSHOT_UNCREATE, err);
    if (status == 0)
        status = log_chain_at(store, 1, store->end.chain, err);
    store->end.revision = 1; /* for whom the snapshot is */
    if (status == 0)
        status = snapshot_write(store, origin, "create", "", true, NULL, err);
    store->end = end;
    learner_free(origin);
    return status;
}

static int drop_snapshots(struct store *store, const struct store_snapshot *list, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        db_bind_int(store->db, SQL_SNAPSHOT_DELETE, 1, list[i].id); /* its tensors cascade */
        if (db_run(store->db, SQL_SNAPSHOT_DELETE, err) != 0)
            return -1;
    }
    return 0;
}

static int write_all(struct store *store, struct learner *learner, const struct edits *edits,
                     const struct edited *edited, size_t n_edited, struct store_snapshot *snapshot, struct err *err)
{
    struct event event = {.kind = EVENT_EDIT, .revision = store->end.revision + 1};
    struct store_snapshot *list = NULL;
    size_t n;
    int64_t pinned = 0;
    event.as.edit.from = edits_first(edits);
    event.as.edit.n = (uint32_t)edits->n;
    edit_hash(event.as.edit.rows, edits, edited, n_edited);
    learner->revision = event.revision;
    int status = seers(&list, &n, store, edits, err);
    if (status == 0 && !edits->drop_pinned && count_pinned(list, n, &pinned) > 0)
        status = err_set(err, ERR_CONFLICT, "snapshot %lld saw what is to be edited, and is pinned", (long long)pinned);
    if (status != 0 || log_write(store, &event, NULL, err) != 0 ||
        (edits->removes && edits->removed < store->origin.event.as.create.n_classes &&
         write_origin(store, learner->arith, err) != 0) ||
        write_rows(store, event.revision, edits, edited, n_edited, err) != 0 ||
        db_run(store->db, SQL_PENDING_CLEAR, err) != 0 || db_run(store->db, SQL_REMOVAL_CLEAR, err) != 0 ||
        classes_write(store, learner, err) != 0 ||
        /* The new one first, so that it gets an id that no other had. */
        snapshot_write(store, learner, "edit", "", false, snapshot, err) != 0)
        status = -1;
    if (status == 0)
        status = drop_snapshots(store, list, n, err);
    free(list);
    return status;
}

/* Room was made. */
static void add_removed(struct store *store, uint32_t id)
{
    size_t at = store->n_removed++;
    for (; at > 0 && store->removed[at - 1] > id; at--)
        store->removed[at] = store->removed[at - 1];
    store->removed[at] = id;
}

int store_edits_take_over(struct store *store, struct store_replayer *replayer, struct edits *edits,
                          struct learner **learner, struct store_snapshot *snapshot, struct err *err)
{
    size_t n_edited;
    const struct edited *edited = replayer_edited(replayer, &n_edited);
    *learner = NULL;
    if (edits->removes && add_samples_of_class(edits, store, err) != 0)
        return -1;
    assert((edits->n > 0 || edits->removes) && edits->n < UINT32_MAX &&
           store_replayer_place(replayer) == store->end.revision);
    struct edit_span *more = realloc(store->spans, (store->n_spans + 1) * sizeof *more);
    if (more == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for an edit");
    store->spans = more;
    uint32_t *removed = realloc(store->removed, (store->n_removed + 1) * sizeof *removed);
    if (removed == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for an edit");
    store->removed = removed;
    struct learner *state = store_replayer_take(replayer);
    int status = store_begin(store, err);
    store->overlay = edits;
    if (status == 0)
        status = write_all(store, state, edits, edited, n_edited, snapshot, err);
    store->overlay = NULL;
    if (status == 0)
        status = store_commit(store, err);
    if (status != 0) {
        store_rollback(store);
        learner_free(state);
        return -1;
    }
    if (edits->removes)
        add_removed(store, edits->removed);
    store->spans[store->n_spans++] = (struct edit_span){.from = edits_first(edits), .event = store->end.revision};
    rehearsal_reset(store->rehearsal); /* pictures of what is gone, labels of before */
    *learner = state;
    return 0;
}
