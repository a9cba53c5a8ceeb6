/* edits_seen.c - snapshots that saw what an edit changes: which they are, that they are none any more, and others in their place. See
 * store/replay/edits.h. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define SWEPT_BEFORE 250u /* samples, in a piece */

/* ---- which they are ---- */

/* Whether a state of that lineage learned from one of the samples. */
static bool saw(const struct lineage *lineage, const struct edits *edits)
{
    for (size_t i = 0; i < lineage->n; i++) {
        size_t low = 0, high = edits->n; /* the first that is not before the span */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (edits->list[middle].revision < lineage->spans[i].first)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < edits->n && edits->list[low].revision <= lineage->spans[i].last)
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
        struct lineage lineage;
        const struct store_snapshot *snapshot = &(*list)[i];
        if (snapshot->revision < edits_first(edits) || (edits->removes && strcmp(snapshot->reason, "create") == 0))
            continue; /* the first state is written anew */
        if (edits->removes) {
            (*list)[n_seers++] = *snapshot;
            continue;
        }
        status = lineage_init(&lineage, store, (*list)[i].revision, err);
        if (status == 0 && saw(&lineage, edits))
            (*list)[n_seers++] = (*list)[i];
        lineage_fini(&lineage);
    }
    *n = n_seers;
    return status;
}

static int by_revision(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int edits_seen_at(uint64_t **revisions, size_t *n, struct store *store, const struct lineage *lineage,
                  const struct edits *edits, struct err *err)
{
    struct store_snapshot *list = NULL;
    size_t n_seers = 0;
    *revisions = NULL;
    *n = 0;
    int status = seers(&list, &n_seers, store, edits, err);
    if (status == 0 && n_seers > 0 && (*revisions = malloc(n_seers * sizeof **revisions)) == NULL)
        status = err_memory(err, "the snapshots of a rebuild");
    for (size_t i = 0; status == 0 && i < n_seers; i++)
        if (lineage_has(lineage, list[i].revision))
            (*revisions)[(*n)++] = list[i].revision;
    if (*n > 0)
        qsort(*revisions, *n, sizeof **revisions, by_revision);
    free(list);
    return status;
}

int edits_gone_at(uint64_t **revisions, size_t *n, struct store *store, const struct lineage *lineage, struct err *err)
{
    struct db *db = store->db;
    size_t room = 0;
    int status;
    *revisions = NULL;
    *n = 0;
    while ((status = db_step(db, SQL_SNAPSHOTS_GONE, err)) == 1) {
        const uint64_t revision = (uint64_t)db_int(db, SQL_SNAPSHOTS_GONE, 0);
        if (!lineage_has(lineage, revision))
            continue;
        if ((status = grow(revisions, &room, *n, sizeof **revisions, "the snapshots of a rebuild", err)) != 0)
            break;
        (*revisions)[(*n)++] = revision;
    }
    db_reset(db, SQL_SNAPSHOTS_GONE);
    return status;
}

int store_edits_pinned(struct store *store, const struct edits *edits, size_t *n, int64_t *first, struct err *err)
{
    struct store_snapshot *list = NULL;
    size_t n_seers = 0;
    int status = seers(&list, &n_seers, store, edits, err);
    *n = 0;
    for (size_t i = 0; status == 0 && i < n_seers; i++)
        if (list[i].pinned && (*n)++ == 0)
            *first = list[i].id;
    free(list);
    return status;
}

/* ---- others in their place ---- */

int edits_stage_begin(struct edit_stage *stage, struct store *store, size_t n, struct err *err)
{
    struct db *db = store->db;
    int status = store_edits_sweep(store, n, err);
    if (status != 0)
        return status;
    const uint64_t number = store->n_spans + 1;
    db_bind_int(db, SQL_EDIT_WORK_BEGIN, 1, (int64_t)number);
    status = db_step(db, SQL_EDIT_WORK_BEGIN, err);
    if (status == 0)
        return err_set(err, ERR_DB_CORRUPT, "table edit has rows of an edit that is missing from the log");
    if (status < 0 || db_run(db, SQL_EDIT_WORK_BEGIN, err) != 0)
        return log_abandon(store);
    *stage = (struct edit_stage){.number = number};
    edit_hash_init(&stage->hash);
    return 1;
}

/* 1: it is written, 0: the disk is full. */
static int put(int64_t *id, struct store *store, const struct learner *learner, const uint8_t chain[CHAIN_BYTES],
               bool gone, struct err *err)
{
    struct store_snapshot row = {0};
    struct err why = {0};
    int status = store_begin(store, &why);
    if (status == 0)
        status = snapshot_write_at(store, learner, chain, "edit", false, &row, &why);
    if (status == 0 && gone)
        status = snapshot_gone(store, row.id, true, &why);
    if (status == 0)
        status = store_commit(store, &why);
    store_rollback(store);
    *id = row.id;
    if (status == 0)
        return 1;
    if (why.code == ERR_STORAGE_FULL && !store_sync_failed(store))
        return 0;
    if (err != NULL)
        *err = why;
    return -1;
}

int edits_stage_snapshot(struct edit_stage *stage, struct store *store, const struct learner *learner,
                         const uint8_t chain[CHAIN_BYTES], struct err *err)
{
    int64_t id;
    if (stage->number == 0)
        return edits_stage_begin(stage, store, SWEPT_BEFORE, err);
    if (grow(&stage->snapshots, &stage->room, stage->n_snapshots, sizeof *stage->snapshots, "snapshots", err) != 0)
        return -1;
    const int status = put(&id, store, learner, chain, true, err);
    if (status == 1)
        stage->snapshots[stage->n_snapshots++] = id;
    return status < 0 ? -1 : 0;
}

int edits_put_snapshot(struct store *store, const struct learner *learner, const uint8_t chain[CHAIN_BYTES],
                       struct err *err)
{
    int64_t id;
    return put(&id, store, learner, chain, false, err) < 0 ? -1 : 0;
}

/* ---- in the transaction ---- */

int edits_let_stay(struct store *store, const struct edit_stage *stage, struct err *err)
{
    for (size_t i = 0; i < stage->n_snapshots; i++)
        if (snapshot_gone(store, stage->snapshots[i], false, err) != 0)
            return -1;
    return 0;
}

int edits_let_go(struct store *store, const struct edits *edits, struct err *err)
{
    struct store_snapshot *list = NULL;
    size_t n;
    int status = seers(&list, &n, store, edits, err);
    for (size_t i = 0; status == 0 && i < n; i++) /* their rows go later */
        status = snapshot_gone(store, list[i].id, true, err);
    free(list);
    return status;
}
