/* snapshots.c - snapshots: taken, updated, and what may go once they are there: the log's oldest samples (store/replay/compaction.c). */
#include <string.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

void trainer_snapshot_taken(struct trainer *t, const struct store_snapshot *taken)
{
    t->snapshot_revision = t->work->revision;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.snapshots++;
    t->stats.last_snapshot_us = store_now_us();
    (void)pthread_mutex_unlock(&t->lock);
    trainer_notify(t, &(struct notice){.kind = NOTICE_SNAPSHOT, .snapshot = taken});
}

static bool is_stopping(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    const bool stopping = t->stopping;
    (void)pthread_mutex_unlock(&t->lock);
    return stopping;
}

/* For nodes that join, and to be compared. A stop does not wait for it. */
static void offer(struct trainer *t, uint64_t since)
{
    struct err err;
    if (t->shared == NULL || t->off.code != ERR_NONE || trainer_log_away(t) || is_stopping(t) ||
        shared_offer(t->shared, t->store, t->work, since, &err) >= 0)
        return;
    if (err.code == ERR_DIVERGED) {
        struct mark mark = {.revision = t->work->revision};
        learner_digest(t->work, mark.digest);
        trainer_mark_wrong(t, &mark);
    }
    if (err.code == ERR_LOG || err.code == ERR_DIVERGED)
        trainer_log_error(t, &err);
    else
        trainer_upkeep_error(t, "a snapshot for other nodes", &err);
}

int trainer_snapshot(struct trainer *t, const char *reason, const char *note, bool pinned, struct store_snapshot *out,
                     struct err *err)
{
    t->snapshot_clock_us = clock_us();
    t->samples_since_snapshot = 0;
    struct store_snapshot taken;
    struct err why;
    const uint64_t since = t->snapshot_revision;
    if (store_snapshot(t->store, t->work, reason, note, pinned, &taken, err) != 0)
        return -1;
    if (out != NULL)
        *out = taken;
    trainer_snapshot_taken(t, &taken);
    offer(t, since);
    /* Thinning and the checkpoint are upkeep: the snapshot is there, whatever becomes of them. */
    if (store_snapshots_prune(t->store, t->config.keep_snapshots, &why) != 0)
        trainer_upkeep_error(t, "snapshot retention", &why);
    if (store_checkpoint(t->store, false, &why) != 0)
        trainer_upkeep_error(t, "a checkpoint", &why);
    return 0;
}

/* Long work on the past would find a snapshot pinned that it must drop, and fail at its very end. */
static int may_pin(const struct trainer *t, struct err *err)
{
    if (!rebuild_pending(&t->rebuild))
        return 0;
    return err_set(err, ERR_CONFLICT, "an accepted edit may change this state: pin a snapshot after the edit is done");
}

int trainer_snapshot_request(struct trainer *t, struct command *command, struct err *err)
{
    if (command->pinned && may_pin(t, err) != 0)
        return -1;
    return trainer_snapshot(t, "request", command->note, command->pinned, &command->snapshot, err);
}

int trainer_snapshot_update(struct trainer *t, struct command *command, struct err *err)
{
    if (command->update_pinned && command->pinned && may_pin(t, err) != 0)
        return -1;
    const int status =
        store_snapshot_update(t->store, command->snapshot_id, command->update_pinned ? &command->pinned : NULL,
                              command->update_note ? command->note : NULL, &command->snapshot, err);
    if (status == 0)
        trainer_notify(t, &(struct notice){.kind = NOTICE_UPDATE, .snapshot = &command->snapshot});
    return status;
}

/* ---- --keep-samples: after a snapshot, one short event; then what it has left to be deleted, a chunk after each round ---- */

/* Nothing that is on its way may need what would go: it is looked at again after the next snapshot. */
static bool may_compact(const struct trainer *t)
{
    return t->config.keep_samples > 0 && t->shared == NULL && !t->rehearsing && !rebuild_active(&t->rebuild) &&
           !revision_cache_active(t->revision_cache, NULL);
}

void trainer_compact(struct trainer *t)
{
    struct err err;
    if (!may_compact(t))
        return;
    const int status = store_compact(t->store, t->work, &err);
    if (status < 0)
        trainer_upkeep_error(t, "a baseline", &err);
    if (status <= 0)
        return;
    const struct store_baseline baseline = store_baseline(t->store);
    t->compacting = true;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.baseline = baseline.revision;
    const bool first = t->stats.baselines++ == 0; /* there may be one for each snapshot */
    (void)pthread_mutex_unlock(&t->lock);
    trainer_publish(t);
    logger_line(first ? LOG_LINE_INFO : LOG_LINE_DEBUG,
                "revision %llu is the baseline: samples up to it are kept no more",
                (unsigned long long)baseline.revision);
    trainer_notify(
        t, &(struct notice){.kind = NOTICE_BASELINE, .revision = t->work->revision, .target = baseline.revision});
}

void trainer_compact_work(struct trainer *t, bool busy, uint64_t round_us)
{
    struct err err;
    const uint64_t begin = clock_us(), least = busy ? CHUNK_US : CHUNK_IDLE_US;
    const uint64_t us = round_us / 2 > least ? round_us / 2 : least; /* quicker than what comes in meanwhile */
    int status;
    while ((status = store_compact_sweep(t->store, COMPACT_ROWS, &err)) == 1 && clock_us() - begin < us)
        ;
    if (status < 0) /* the next start, or the next baseline, tries again */
        trainer_upkeep_error(t, "deleting samples that are not kept", &err);
    t->compacting = status == 1;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.compacted = store_compacted(t->store);
    (void)pthread_mutex_unlock(&t->lock);
}
