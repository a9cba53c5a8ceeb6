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

/* The class events of one stretch. */
static int apply_stretch(struct store *store, const struct stretch *stretch, struct err *err)
{
    struct db *db = store->db;
    int status;
    db_bind_int(db, SQL_CLASS_EVENTS, 1, (int64_t)stretch->first);
    db_bind_int(db, SQL_CLASS_EVENTS, 2, (int64_t)stretch->last);
    while ((status = db_step(db, SQL_CLASS_EVENTS, err)) == 1) {
        bool add = strcmp(db_text(db, SQL_CLASS_EVENTS, 0, NULL), "add") == 0;
        int64_t index = db_int(db, SQL_CLASS_EVENTS, 1);
        const char *label = db_text(db, SQL_CLASS_EVENTS, 2, NULL);
        if ((add ? insert(store, index, label, err) : rename_to(store, index, label, err)) != 0) {
            db_reset(db, SQL_CLASS_EVENTS);
            return -1;
        }
    }
    return status;
}

/* Back to the classes of an earlier revision: those of the create event, then what happened on the line to it. */
static int rebuild(struct store *store, uint64_t revision, struct err *err)
{
    struct line line;
    int status = line_init(&line, store, revision, err);
    if (status == 0)
        status = db_run(store->db, SQL_CLASS_CLEAR, err);
    if (status == 0)
        status = classes_create(store, &store->origin.event, err);
    for (size_t i = line.n; status == 0 && i-- > 0;)
        status = apply_stretch(store, &line.stretches[i], err);
    line_fini(&line);
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
        return err_set(err, ERR_DB_CORRUPT, "table class is not what the log says");
    return status;
}
