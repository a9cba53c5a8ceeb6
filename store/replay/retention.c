/* retention.c - which snapshots may go, and which are pinned.
 *
 * Recovery wants a recent one; looking back wants some old ones. So the newest few stay, and of the others one per power of
 * two of age: with ages counted in revisions, the oldest of 2^b .. 2^(b+1) - 1 stays, for each b. It is the oldest, since
 * that one is the next to grow into the following power; keeping the newest would starve it. A log of a million
 * revisions keeps about twenty.
 *
 * A baseline's stays whatever happens: the log begins with it. Where samples are not kept for ever, so does the oldest after it, since one
 * that many samples came after is what the next baseline needs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* Whether recovery of the live state could start from it, as far as its revision says. */
static bool is_usable(const struct store_snapshot *snapshot, const struct lineage *lineage)
{
    return lineage_has(lineage, snapshot->revision);
}

/* What everything after it is replayed from. */
static bool is_baseline(const struct store *store, const struct store_snapshot *snapshot)
{
    return snapshot->revision > 1 &&
           (snapshot->revision == store->baseline.revision || snapshot->revision == store->baseline.kept);
}

static int delete_one(struct store *store, int64_t id, struct err *err)
{
    db_bind_int(store->db, SQL_SNAPSHOT_DELETE, 1, id); /* its tensors cascade */
    return db_run(store->db, SQL_SNAPSHOT_DELETE, err);
}

int snapshot_sweep(struct store *store, struct err *err)
{
    const int status = db_step(store->db, SQL_SNAPSHOT_SWEEP, err); /* its tensors cascade */
    if (status == 1 && db_run(store->db, SQL_SNAPSHOT_SWEEP, err) != 0)
        return log_abandon(store);
    return status < 0 ? log_abandon(store) : status;
}

/* list and line as they are now; lineage_fini() and free() by the caller also after failure. */
static int look(struct store_snapshot **list, size_t *n, struct lineage *lineage, struct store *store, struct err *err)
{
    *list = NULL;
    *lineage = (struct lineage){0};
    if (log_writable(store, err) != 0 || store_snapshots(store, list, n, err) != 0)
        return -1;
    return lineage_init(lineage, store, store->end.revision, err);
}

int store_snapshot_drop(struct store *store, int64_t id, struct err *err)
{
    struct store_snapshot *list;
    struct lineage lineage;
    size_t n = 0, n_others = 0;
    const struct store_snapshot *found = NULL;
    int status = look(&list, &n, &lineage, store, err);
    for (size_t i = 0; status == 0 && i < n; i++) {
        if (list[i].id == id)
            found = &list[i];
        else
            n_others += is_usable(&list[i], &lineage);
    }
    if (status != 0)
        goto out;
    if (found == NULL)
        status = err_set(err, ERR_NOT_FOUND, "snapshot %lld does not exist", (long long)id);
    else if (is_baseline(store, found))
        status = err_set(err, ERR_CONFLICT, "snapshot %lld is the baseline: the log begins with it", (long long)id);
    else if (found->pinned)
        status = err_set(err, ERR_CONFLICT, "snapshot %lld is pinned: unpin it first", (long long)id);
    else if (n_others == 0)
        status =
            err_set(err, ERR_CONFLICT, "snapshot %lld is the last that recovery can start from, and cannot be deleted",
                    (long long)id);
    else if (delete_one(store, id, err) != 0)
        status = log_abandon(store);
out:
    lineage_fini(&lineage);
    free(list);
    return status;
}

int store_snapshot_update(struct store *store, int64_t id, const bool *pinned, const char *note,
                          struct store_snapshot *out, struct err *err)
{
    struct store_snapshot row;
    if (log_writable(store, err) != 0 || store_snapshot_find(store, id, &row, err) != 0)
        return -1;
    if (pinned != NULL && !*pinned && strcmp(row.reason, "create") == 0)
        return err_set(err, ERR_CONFLICT, "snapshot %lld is the model at its creation: it stays pinned", (long long)id);
    if (pinned != NULL)
        row.pinned = *pinned;
    if (note != NULL)
        (void)snprintf(row.note, sizeof row.note, "%s", note);
    db_bind_ints(store->db, SQL_SNAPSHOT_UPDATE, id, row.pinned);
    db_bind_text(store->db, SQL_SNAPSHOT_UPDATE, 3, row.note);
    if (db_run(store->db, SQL_SNAPSHOT_UPDATE, err) != 0)
        return log_abandon(store);
    *out = row;
    return 0;
}

static unsigned power_of_age(uint64_t age)
{
    unsigned power = 0;
    while (age > 1) {
        age /= 2;
        power++;
    }
    return power;
}

/* The oldest that could be the next baseline (store/replay/compaction.c); 0: there is none. */
static int next_baseline(int64_t *next, struct store *store, const struct store_snapshot *list, size_t n,
                         struct err *err)
{
    uint64_t turn, n_now, n_left;
    *next = 0;
    if (store->keep_samples == 0)
        return 0;
    if (lineage_turn(&turn, store->db, store->end.revision, err) != 0 ||
        baseline_samples_after(&n_now, store, store->baseline.kept, err) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (list[i].revision < turn || list[i].revision < store->baseline.revision)
            continue;
        if (baseline_samples_after(&n_left, store, list[i].revision, err) != 0)
            return -1;
        if (compaction_pays(store, n_now, n_left)) {
            *next = list[i].id;
            return 0;
        }
    }
    return 0;
}

int store_snapshots_prune(struct store *store, unsigned keep, struct err *err)
{
    struct store_snapshot *list;
    struct lineage lineage;
    size_t n = 0;
    int64_t next = 0;
    int status = look(&list, &n, &lineage, store, err);
    if (status == 0)
        status = next_baseline(&next, store, list, n, err);
    if (status != 0 || (status = db_run(store->db, SQL_BEGIN, err)) != 0)
        goto out;

    /* After going back, the newest may all be of what was left behind: one on the live lineage is kept whatever happens. */
    int64_t anchor = 0;
    size_t n_loose = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_usable(&list[i], &lineage))
            anchor = list[i].id;
        n_loose += !list[i].pinned;
    }
    bool taken[65] = {false}; /* by the oldest of that power of age */
    for (size_t i = 0; status == 0 && i < n; i++) {
        if (list[i].pinned)
            continue;
        if (n_loose-- <= keep)
            break;
        if (is_baseline(store, &list[i]) || list[i].id == next)
            continue;
        unsigned power = power_of_age(store->end.revision - list[i].revision);
        if (taken[power] && list[i].id != anchor)
            status = delete_one(store, list[i].id, err);
        taken[power] = true;
    }
    if (status == 0)
        status = db_run(store->db, SQL_COMMIT, err);
    if (status != 0)
        (void)log_abandon(store);
out:
    lineage_fini(&lineage);
    free(list);
    return status;
}
