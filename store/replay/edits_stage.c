/* edits_stage.c - the rows of an edit are written down before it is made, in pieces: see store/replay/edits.h. */
#include "store/internal.h"
#include "store/replay/replayer.h"

/* On whatever line; 1 us for each of the n, of any class. 0: all are in the list, until others come. */
int edits_gather(struct store *store, struct edits *edits, int64_t n, struct err *err)
{
    struct db *db = store->db;
    const int64_t end = store->end.next_sample, first = edits->gathered;
    const int64_t last = n < end - first ? first + n : end;
    int status;
    if (!edits->removes || first >= end)
        return 0;
    db_bind_ints(db, SQL_SAMPLES_OF_CLASS, edits->removed, first, last - 1);
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
    if (status == 0)
        edits->gathered = last;
    return status == 0 ? last < end : -1;
}

static int write_edit(struct edit_stage *stage, struct db *db, const struct edit *edit, struct err *err)
{
    db_bind_ints(db, SQL_EDIT_INSERT, edit->id, (int64_t)stage->number, edit->was,
                 edit->label == EDIT_FORGET ? -1 : (int64_t)edit->label);
    edit_hash_add(&stage->hash, edit->id, edit->was, edit->label);
    stage->n++;
    return db_run(db, SQL_EDIT_INSERT, err);
}

static int write_edited(struct edit_stage *stage, struct db *db, const struct edited *edited, struct err *err)
{
    db_bind_ints(db, SQL_EDITED_INSERT, (int64_t)edited->revision, (int64_t)stage->number);
    db_bind_blob(db, SQL_EDITED_INSERT, 3, edited->hash, CHAIN_BYTES);
    edit_hash_add_edited(&stage->hash, edited->revision, edited->hash);
    stage->n_edited++;
    return db_run(db, SQL_EDITED_INSERT, err);
}

int store_edits_stage(struct store *store, struct store_replayer *replayer, struct edits *edits, size_t n,
                      struct err *err)
{
    struct edit_stage *stage = replayer_stage(replayer);
    size_t n_edited;
    const struct edited *edited = replayer_edited(replayer, &n_edited);
    if (stage->number == 0)
        return edits_stage_begin(stage, store, n, err);
    const int more = edits_gather(store, edits, (int64_t)n, err);
    if (more < 0 || (stage->n == edits->n && stage->n_edited == n_edited))
        return more;
    int status = store_begin(store, err);
    for (; status == 0 && n > 0 && stage->n < edits->n; n--)
        status = write_edit(stage, store->db, &edits->list[stage->n], err);
    for (; status == 0 && n > 0 && stage->n_edited < n_edited; n--)
        status = write_edited(stage, store->db, &edited[stage->n_edited], err);
    if (status == 0)
        status = store_commit(store, err);
    store_rollback(store);
    return status != 0 ? -1 : more || stage->n < edits->n || stage->n_edited < n_edited;
}
