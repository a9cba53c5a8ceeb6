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

/* What is looked at for all of them: the lineage that is live, and, once one of them needs it, what its classes meant. */
struct looker {
    struct store *store;
    const struct learner *learner;
    struct lineage lineage;
    struct meanings *meanings;
};

static int looker_init(struct looker *looker, struct store *store, const struct learner *learner, struct err *err)
{
    *looker = (struct looker){.store = store, .learner = learner};
    return lineage_init(&looker->lineage, store, store->end.revision, err);
}

static void looker_fini(struct looker *looker)
{
    meanings_close(looker->meanings);
    lineage_fini(&looker->lineage);
}

/* An edit may bring classes along that did not exist yet at the sample's place. */
static int check_class(struct looker *looker, const struct edit *edit, struct err *err)
{
    if (edit->label < looker->store->origin.event.as.create.n_classes)
        return 0;
    if (looker->meanings == NULL && meanings_open(&looker->meanings, looker->store, &looker->lineage, err) != 0)
        return -1;
    return meanings_check(looker->meanings, looker->store, edit, err);
}

static int check_one(struct looker *looker, struct edit *edit, struct err *err)
{
    struct store *store = looker->store;
    int found = look_up(store, edit, err);
    if (found < 0)
        return -1;
    const int dropped =
        found == 1 && baseline_replays(store, edit->revision) ? 0 : baseline_dropped(store, edit->id, err);
    if (dropped != 0)
        return dropped < 0 ? -1 : baseline_refuse_dropped(store, ERR_CONFLICT, edit->id, err);
    if (found == 0)
        return err_set(err, ERR_NOT_FOUND, "sample %lld does not exist", (long long)edit->id);
    if (edit->was == EDIT_FORGET)
        return err_set(err, ERR_GONE, "sample %lld was forgotten", (long long)edit->id);
    if (!baseline_replays(store, edit->revision))
        return err_set(err, ERR_CONFLICT,
                       "sample %lld is older than the baseline, revision %llu: the log before that is of another "
                       "arithmetic, and cannot be replayed. Train a new model on the samples without it",
                       (long long)edit->id, (unsigned long long)store->baseline.revision);
    if (edit->label == EDIT_FORGET || edit->label == edit->was)
        return 0;
    const uint32_t column = class_column(store, edit->label);
    if (!lineage_has(&looker->lineage, edit->revision))
        return err_set(err, ERR_CONFLICT,
                       "sample %lld cannot be relabelled: the model went back to before it. It can be forgotten",
                       (long long)edit->id);
    if (column >= looker->learner->n_classes)
        return err_set(err, ERR_CONFLICT,
                       "sample %lld cannot be relabelled: the model went back to before that class existed",
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
        return err_memory(err, "checking edits");
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

/* ---- removing a class ---- */

/* What the class events say of a number: which first adds a class with it (0: none), and whether another gives it another label. */
static int look_at_class(uint64_t *first, bool *another, struct store *store, uint32_t id, struct err *err)
{
    struct event event, added = {0};
    struct err why;
    int status;
    *another = false;
    rare_events(store, EVENT_CLASS, 1, UINT64_MAX);
    while ((status = rare_event_next(store, &event, &why, err)) == 1) {
        if (why.code != ERR_NONE || event.as.class_.action != CLASS_ADD || event.as.class_.index != id)
            continue;
        if (added.revision == 0)
            added = event;
        *another = *another || strcmp(added.as.class_.label, event.as.class_.label) != 0;
    }
    *first = added.revision;
    return status;
}

static int check_meaning(struct store *store, const struct learner *learner, uint32_t id, struct err *err)
{
    uint64_t first;
    bool another = false;
    if (id >= store->origin.event.as.create.n_classes && look_at_class(&first, &another, store, id, err) != 0)
        return -1;
    if (!another)
        return 0;
    const uint32_t column = class_column(store, id);
    return err_set(err, ERR_CONFLICT,
                   "class \"%s\" cannot be merged or deleted: before the model went back, another class had its place",
                   column < learner->n_classes ? learner->labels[column] : "?");
}

/* From which revision on there was that class: its own event, or a relabelled sample that brought it along before. */
static int first_of_class(uint64_t *first, struct store *store, uint32_t id, struct err *err)
{
    int64_t brought = 0;
    bool another;
    *first = 1;
    if (id < store->origin.event.as.create.n_classes)
        return 0;
    if (look_at_class(first, &another, store, id, err) != 0)
        return -1;
    if (edits_touch(store, *first)) {
        db_bind_int(store->db, SQL_EDIT_FIRST_ABOVE, 1, id);
        if (db_number(&brought, store->db, SQL_EDIT_FIRST_ABOVE, err) != 0)
            return -1;
    }
    if (brought > 0 && (uint64_t)brought < *first)
        *first = (uint64_t)brought;
    return *first > 0 ? 0 : err_set(err, ERR_DB_CORRUPT, "no event adds class %u", id);
}

/* The class that gets the samples must be able to have been for as long as the one that had them: where the first of them is would be
 * enough, but takes a look at all samples. */
static int check_into(struct store *store, const struct learner *learner, const struct edits *edits, struct err *err)
{
    struct looker looker;
    const struct edit first = {.label = edits->into, .revision = edits->first};
    if (edits->into == EDIT_FORGET)
        return 0;
    int status = looker_init(&looker, store, learner, err);
    if (status == 0)
        status = check_class(&looker, &first, err);
    looker_fini(&looker);
    if (status == 0 || err->code != ERR_CONFLICT)
        return status;
    return err_set(err, ERR_CONFLICT,
                   "the class cannot be merged into \"%s\", which cannot be added at revision %llu, where that class "
                   "begins: an index or a name had another meaning there or later",
                   learner->labels[class_column(store, edits->into)], (unsigned long long)edits->first);
}

int store_edits_remove(struct store *store, const struct learner *learner, struct edits *edits, uint32_t removed,
                       uint32_t into, struct err *err)
{
    const uint32_t n_first = store->origin.event.as.create.n_classes;
    uint32_t left = 0;
    for (uint32_t id = 0; id < n_first; id++)
        left += id != removed && !class_is_removed(store, id);
    if (n_first > 0 && left == 0)
        return err_set(err, ERR_CONFLICT, "the class is the last of those that the model was created with");
    *edits = (struct edits){.drop_pinned = edits->drop_pinned, .removes = true, .removed = removed, .into = into};
    if (check_meaning(store, learner, removed, err) != 0 ||
        (into != EDIT_FORGET && check_meaning(store, learner, into, err) != 0) ||
        first_of_class(&edits->first, store, removed, err) != 0 || check_into(store, learner, edits, err) != 0)
        return -1;
    if (baseline_replays(store, edits->first))
        return 0;
    if (store->baseline.kept == store->baseline.revision)
        return err_set(err, ERR_CONFLICT,
                       "the class is older than the baseline, revision %llu: the samples before that are not kept, and "
                       "the model cannot be made again without the class",
                       (unsigned long long)store->baseline.revision);
    return err_set(err, ERR_CONFLICT,
                   "the class is older than the baseline, revision %llu: the log before that is of another arithmetic, "
                   "and cannot be replayed",
                   (unsigned long long)store->baseline.revision);
}
