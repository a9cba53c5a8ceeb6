/* edits_pending.c - edits that were accepted and are not in the log yet: on the disk, so that a crash does not lose them. See store/replay/edits.h. */
#include "store/internal.h"

int store_edits_keep(struct store *store, const struct edits *edits, struct err *err)
{
    struct db *db = store->db;
    int status = store_begin(store, err);
    for (size_t i = 0; status == 0 && i < edits->n; i++) {
        const struct edit *edit = &edits->list[i];
        db_bind_int(db, SQL_PENDING_PUT, 1, edit->id);
        edit_bind_into(db, SQL_PENDING_PUT, 2, edit->label);
        db_bind_int(db, SQL_PENDING_PUT, 3, edits->drop_pinned);
        status = db_run(db, SQL_PENDING_PUT, err);
    }
    if (status == 0 && edits->removes) {
        db_bind_int(db, SQL_REMOVAL_PUT, 1, edits->removed);
        edit_bind_into(db, SQL_REMOVAL_PUT, 2, edits->into);
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
        out->into = edit_into(db, SQL_REMOVAL_FIND, 1);
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
