/* classes.c - the class table follows the log in the log's own transactions, so that a join in the sqlite3 shell is right. */
#include <assert.h>
#include <string.h>

#include "store/internal.h"

/* Classes by their numbers; those that were removed are left out. */
static int insert(struct store *store, int64_t id, const char *label, struct err *err)
{
    if (id >= 0 && id < SHAPE_CLASSES_MAX && class_is_removed(store, (uint32_t)id))
        return 0;
    db_bind_int(store->db, SQL_CLASS_INSERT, 1, id);
    db_bind_text(store->db, SQL_CLASS_INSERT, 2, label);
    return db_run(store->db, SQL_CLASS_INSERT, err);
}

static int rename_to(struct store *store, int64_t id, const char *label, struct err *err)
{
    db_bind_int(store->db, SQL_CLASS_RENAME, 1, id);
    db_bind_text(store->db, SQL_CLASS_RENAME, 2, label);
    return db_run(store->db, SQL_CLASS_RENAME, err);
}

int classes_create(struct store *store, const struct event *create, struct err *err)
{
    for (uint32_t i = 0; i < create->as.create.n_classes; i++)
        if (insert(store, i, create->as.create.labels[i], err) != 0)
            return -1;
    return 0;
}

/* The class events of one span. */
static int apply_span(struct store *store, const struct span *span, struct err *err)
{
    struct event event;
    struct err why;
    int status;
    rare_events(store, EVENT_CLASS, span->first, span->last);
    while ((status = rare_event_next(store, &event, &why, err)) == 1) {
        const bool add = event.as.class_.action == CLASS_ADD;
        const uint32_t id = event.as.class_.index; /* in a body, the class's number */
        if (why.code != ERR_NONE)
            *err = why;
        if (why.code != ERR_NONE || (add ? insert : rename_to)(store, id, event.as.class_.label, err) != 0) {
            rare_events_end(store);
            return -1;
        }
    }
    return status;
}

/* Back to the classes of an earlier revision: those of the create event, then what happened on the lineage to it. */
static int rebuild(struct store *store, uint64_t revision, struct err *err)
{
    struct lineage lineage;
    int status = lineage_init(&lineage, store, revision, err);
    if (status == 0)
        status = db_run(store->db, SQL_CLASS_CLEAR, err);
    if (status == 0)
        status = classes_create(store, &store->origin.event, err);
    for (size_t i = lineage.n; status == 0 && i-- > 0;)
        status = apply_span(store, &lineage.spans[i], err);
    lineage_fini(&lineage);
    return status;
}

int classes_apply(struct store *store, const struct event *event, struct err *err)
{
    if (event->kind == EVENT_ACTIVATE)
        return rebuild(store, event->as.activate.revision, err);
    if (event->as.class_.action == CLASS_ADD)
        return insert(store, class_id(store, event->as.class_.index), event->as.class_.label, err);
    return rename_to(store, class_id(store, event->as.class_.index), event->as.class_.label, err);
}

int classes_write(struct store *store, const struct learner *learner, struct err *err)
{
    int status = db_run(store->db, SQL_CLASS_CLEAR, err);
    for (uint32_t i = 0; status == 0 && i < learner->n_classes; i++)
        status = insert(store, class_id(store, i), learner->labels[i], err);
    return status;
}

int store_classes(struct store *store, const struct learner *learner, struct err *err)
{
    assert(store->in_group);
    return classes_write(store, learner, err) == 0 ? 0 : log_abandon(store);
}

int classes_check(struct store *store, const struct learner *learner, struct err *err)
{
    uint32_t n = 0;
    int status;
    bool same = true;
    while ((status = db_step(store->db, SQL_CLASS_LIST, err)) == 1) {
        same = same && n < learner->n_classes && db_int(store->db, SQL_CLASS_LIST, 0) == class_id(store, n) &&
               strcmp(db_text(store->db, SQL_CLASS_LIST, 1, NULL), learner->labels[n]) == 0;
        n++;
    }
    if (status == 0 && (!same || n != learner->n_classes))
        return err_set(err, ERR_DB_CORRUPT, "table class does not match the log");
    return status;
}
