/* loop.c - the one thread that writes. Its round: what was asked for, in that order, neighbouring trainings as one group and all
 * else by itself; then what only reads; then a chunk of the work on the past. */
#include <unistd.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define KEYS_MAX      1000000u   /* some 300 MB of them */
#define CHUNKS_ALONE  10         /* in one transaction: a slow disk's sync costs a few per cent */
#define WAL_BYTES_MAX (8u << 20) /* checkpoint between rounds when the WAL is larger */

static int cancel(struct trainer *t, struct command *command, struct err *err)
{
    if (jobs_find(t->jobs, command->job_id, &command->job_status) == 0)
        return err_set(err, ERR_NOT_FOUND, "job %lld does not exist; GET /jobs lists them", (long long)command->job_id);
    if (command->job_status.state != JOB_STATE_RUNNING)
        return err_set(err, ERR_CONFLICT, "job %lld is %s already", (long long)command->job_id,
                       job_state_name(command->job_status.state));
    if (command->job_id == t->rehearse_job && t->rehearsing)
        trainer_rehearsal_end(t, JOB_STATE_CANCELLED, NULL);
    else if (command->job_id == t->idle.job)
        trainer_idle_end(t, JOB_STATE_CANCELLED, NULL);
    else if (trainer_edit_cancel(t, err) != 0)
        return -1;
    (void)jobs_find(t->jobs, command->job_id, &command->job_status);
    return 0;
}

static int run_command(struct trainer *t, struct command *command, struct err *err)
{
    command->revision = t->work->revision;
    command->step = t->work->step;
    switch (command->kind) {
    case COMMAND_SNAPSHOT:
        return trainer_snapshot_request(t, command, err);
    case COMMAND_ACTIVATE:
        return trainer_snapshot_activate(t, command, err);
    case COMMAND_DROP:
        return store_snapshot_drop(t->store, command->snapshot_id, err);
    case COMMAND_UPDATE:
        return trainer_snapshot_update(t, command, err);
    case COMMAND_REHEARSE:
        return trainer_rehearsal_begin(t, command, err);
    case COMMAND_EDIT:
        return trainer_edit_begin(t, command, err);
    case COMMAND_CANCEL:
        return cancel(t, command, err);
    case COMMAND_TRAIN:
    case COMMAND_CLASS:
    case COMMAND_TUNE:
    case COMMAND_SNAPSHOTS:
    case COMMAND_PUBLISH:
    case COMMAND_READ:
        break;
    }
    return err_set(err, ERR_INTERNAL, "a job for the log, or one that only reads");
}

static void run_alone(struct trainer *t, struct command *command)
{
    struct err err = t->off;
    if (t->off.code != ERR_NONE || run_command(t, command, &err) != 0) {
        trainer_storage_error(t, &err);
        trainer_fail(command, &err);
    }
    trainer_queue_done(t, command);
}

static bool goes_into_log(const struct command *command)
{
    return command->kind == COMMAND_CLASS || command->kind == COMMAND_TUNE;
}

/* Off until the next start, or until it is mended. What is asked for from then on is refused at once. */
static void turn_off(struct trainer *t, const struct err *why)
{
    if (why->code != ERR_STOPPING)
        logger_line(LOG_LINE_ERROR,
                    "training is off: %s; predictions go on, and convd backup --url copies all that was learned until "
                    "now",
                    why->text);
    if (t->rehearsing)
        trainer_rehearsal_end(t, JOB_STATE_FAILED, why);
    trainer_idle_end(t, JOB_STATE_FAILED, why);
    t->compacting = false;
    if (rebuild_active(&t->rebuild) || t->rebuild_job != 0)
        trainer_edit_stop(t, why);
    (void)pthread_mutex_lock(&t->lock);
    t->off = *why;
    t->stats.off = why->code;
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

/* What others have appended may be more than new events. */
static void mind_followed(struct trainer *t)
{
    if ((t->log_err.code == ERR_DIVERGED || trainer_log_halted(t)) && t->off.code == ERR_NONE)
        turn_off(t, &t->log_err);
    if (t->went_back == 0)
        return;
    struct err gone;
    err_set(&gone, ERR_CONFLICT, "the model went back to revision %llu", (unsigned long long)t->went_back);
    t->went_back = 0;
    if (t->rehearsing)
        trainer_rehearsal_end(t, JOB_STATE_CANCELLED, &gone);
    trainer_idle_end(t, JOB_STATE_CANCELLED, &gone);
}

/* Those of a shared log that this node has appended. */
static void apply_edits(struct trainer *t)
{
    if (!trainer_edits_wait(t))
        return;
    trainer_apply_edits(t);
    mind_followed(t);
}

/* Into the group, or done at once. Edits of a shared log that wait together are made together; but a class that is gone has no name any more. */
static void sort_in(struct trainer *t, struct trainer_group *g, struct command *commands)
{
    for (struct command *command = commands, *next; command != NULL; command = next) {
        next = command->next;
        if (command->kind != COMMAND_EDIT)
            apply_edits(t);
        if (command->kind == COMMAND_TRAIN) {
            trainer_group_add(t, g, command);
            continue;
        }
        trainer_group_finish(t, g);
        if (goes_into_log(command)) {
            trainer_group_add(t, g, command);
            trainer_group_finish(t, g);
        } else {
            const bool removes = command->kind == COMMAND_EDIT && command->edit.removes;
            run_alone(t, command);
            if (removes)
                apply_edits(t);
        }
    }
    apply_edits(t);
}

static void run_round(struct trainer *t, struct command *commands)
{
    const uint64_t begin = clock_us(), begin_thread = thread_us();
    const bool busy = commands != NULL;
    struct trainer_group group;
    throttle_begin();
    trainer_group_init(&group);
    sort_in(t, &group, commands);
    mind_followed(t); /* a group may have followed */
    for (unsigned n = t->config.alone && !busy ? CHUNKS_ALONE : 1; t->rehearsing && n > 0; n--)
        trainer_rehearsal_chunk(t, &group, busy ? CHUNK_US : CHUNK_IDLE_US);
    if (!busy && trainer_idle_wait_us(t) == 0)
        trainer_group_idle(t, &group);
    trainer_group_finish(t, &group);
    t->idle.busy_us = busy ? clock_us() : t->idle.busy_us;
    trainer_run_reads(t);
    if (rebuild_wait_us(&t->rebuild) == 0)
        trainer_edit_work(t, busy, thread_us() - begin_thread);
    if (revision_cache_active(t->revision_cache, NULL))
        revision_cache_work(t->revision_cache, CHUNK_US);
    if (t->compacting)
        trainer_compact_work(t, busy, clock_us() - begin);
    trainer_notify_warnings(t);
    (void)pthread_mutex_lock(&t->lock);
    t->stats.last_round_us = clock_us() - begin;
    (void)pthread_mutex_unlock(&t->lock);
}

/* Where the WAL has grown large, or nobody waits. Its bytes then. */
static uint64_t trainer_checkpoint(struct trainer *t, bool idle)
{
    const uint64_t bytes = store_wal_bytes(t->store);
    if (bytes <= WAL_BYTES_MAX && !(idle && bytes > 0))
        return bytes;
    struct err err;
    if (store_checkpoint(t->store, false, &err) != 0)
        trainer_upkeep_error(t, "a checkpoint", &err);
    return store_wal_bytes(t->store);
}

static void count_progress(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

static bool snapshot_is_due(const struct trainer *t, uint64_t now)
{
    const struct trainer_config *c = &t->config;
    const uint64_t age_us = now - t->snapshot_clock_us;
    const bool many = c->snapshot_samples > 0 && t->samples_since_snapshot >= c->snapshot_samples;
    const bool old = c->snapshot_seconds > 0 && age_us >= (uint64_t)c->snapshot_seconds * SECOND_US;
    return t->work->revision != t->snapshot_revision && (many || old);
}

static bool keys_are_due(const struct trainer *t, uint64_t now)
{
    const unsigned seconds = t->config.key_seconds < 60 ? t->config.key_seconds : 60;
    return now - t->keys_clock_us >= (uint64_t)seconds * SECOND_US;
}

static bool is_on(struct trainer *t)
{
    struct err why;
    if (t->off.code == ERR_NONE && store_check_place(t->store, &why) != 0)
        turn_off(t, &why);
    return t->off.code == ERR_NONE;
}

/* What need not be done at once: snapshots that are due, checkpoints, old keys. */
static void upkeep(struct trainer *t, bool idle)
{
    if (t->off.code != ERR_NONE) { /* the file stays as it is */
        count_progress(t);
        return;
    }
    const uint64_t now = clock_us();
    jobs_wake(t->jobs, (int64_t)(now / 1000));
    if (!is_on(t))
        return;
    struct err err;
    if (snapshot_is_due(t, now)) {
        if (trainer_snapshot(t, "interval", "", false, NULL, &err) != 0)
            trainer_upkeep_error(t, "a snapshot", &err);
        trainer_compact(t);
    }
    if (t->wal_holds)
        trainer_edit_empty_wal(t);
    const uint64_t wal_bytes = trainer_checkpoint(t, idle);
    if (keys_are_due(t, now)) {
        const int64_t age_us = (int64_t)t->config.key_seconds * SECOND_US;
        const int status = store_expire_keys(t->store, age_us, KEYS_MAX, &err);
        if (status != 1)
            t->keys_clock_us = now; /* else the next turn has more of them */
        if (status < 0)
            trainer_upkeep_error(t, "deleting old keys", &err);
    }
    (void)pthread_mutex_lock(&t->lock);
    t->stats.wal_bytes = wal_bytes;
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

/* When something long wants its chunk, whether there are commands or not: 0, now. */
static uint64_t work_due_us(const struct trainer *t)
{
    if (t->rehearsing || t->compacting || revision_cache_active(t->revision_cache, NULL))
        return 0;
    const uint64_t due_us[] = {rebuild_wait_us(&t->rebuild), trainer_idle_wait_us(t), trainer_follow_wait_us(t)};
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < sizeof due_us / sizeof *due_us; i++)
        least = due_us[i] < least ? due_us[i] : least;
    return least;
}

void *trainer_thread(void *trainer)
{
    struct trainer *t = trainer;
    atomic_store(&t->tid, gettid());
    store_take(t->store);
    trainer_notify_warnings(t);
    for (;;) {
        const struct trainer_turn turn = trainer_queue_wait(t, work_due_us(t));
        struct err why;
        if (turn.quiesced && t->rehearsing) {
            err_set(&why, ERR_STOPPING, "convd is stopping");
            trainer_rehearsal_end(t, JOB_STATE_CANCELLED, &why);
        }
        if (turn.quiesced && t->idle.left > 0) {
            err_set(&why, ERR_STOPPING, "convd is stopping");
            trainer_idle_end(t, JOB_STATE_CANCELLED, &why);
        }
        if (turn.quiesced && (rebuild_active(&t->rebuild) || t->rebuild_job != 0)) {
            err_set(&why, ERR_STOPPING, "convd is stopping; the next start resumes it");
            trainer_edit_stop(t, &why);
        }
        if (turn.stop)
            break;
        trainer_follow_turn(t, turn.hinted);
        mind_followed(t);
        trainer_mend(t);
        trainer_tell_diverged(t);
        trainer_edit_everywhere(t);
        if (turn.commands != NULL || turn.reads || work_due_us(t) == 0)
            run_round(t, turn.commands);
        upkeep(t, turn.idle);
    }
    if (t->work->revision != t->snapshot_revision && is_on(t))
        t->stop_status = trainer_snapshot(t, "shutdown", "", false, NULL, &t->stop_err);
    /* Closing makes one, too, but could not say that it failed. */
    if (t->stop_status == 0 && t->off.code == ERR_NONE && store_wal_bytes(t->store) > 0)
        t->stop_status = store_checkpoint(t->store, false, &t->stop_err);
    rebuild_fini(&t->rebuild);
    revision_cache_forget(t->revision_cache);
    shared_close(t->shared);
    store_close(t->store);
    t->store = NULL;
    return NULL;
}
