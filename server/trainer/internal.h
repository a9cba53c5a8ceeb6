/* internal.h - what the files of the trainer share and nobody else sees.
 *
 * All of it runs in the trainer's thread, except where it says otherwise.
 */
#ifndef CONVD_SERVER_TRAINER_INTERNAL_H
#define CONVD_SERVER_TRAINER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/trainer/throttle.h"
#include "server/trainer/trainer.h"
#include "store/journal.h"
#include "store/shared.h"

#define CHUNK_US      5000    /* of long work, while others wait for the trainer                          */
#define CHUNK_IDLE_US 20000   /* while nobody does: a slow disk's commit is a fifth of it                 */
#define SECOND_US     1000000 /* microseconds                                                             */
#define ROUND_SAMPLES 8192u   /* at most so many in one transaction, so that none waits long              */
#define TRAINER_MARKS 16u     /* digests that wait to be told to the other nodes                          */

/* Jobs that share one transaction. */
struct trainer_group {
    struct command *first, **last;
    bool open;     /* a transaction is open */
    bool failed;   /* the transaction is lost, and `err` says why */
    bool appended; /* there are events in it, for `work` to be applied to */
    struct err err;
    uint64_t samples, apply_us, commit_us;
    uint64_t steps;            /* that what was appended will make */
    bool chunk;                /* of the rehearsal, the last thing in it */
    struct rehearse_plan plan; /* as it was before that */
    uint64_t chunk_us;         /* which was to take so long */
    struct rehearse_part {
        struct event event;
        struct rehearse_pictures pictures;
    } * parts; /* of the chunk: one, or a few where passes are short */
    size_t n_parts;
    struct err chunk_err; /* the rehearsal cannot go on */
    uint64_t rehearsed;   /* steps of it                */
    struct event idle;    /* the only thing in it, where it is of that kind */
    bool alarmed;         /* of drift, by what is in it */
    struct notice alarm;
};

/* What new samples still bring when nobody asks for anything: idle.c. */
struct idle {
    uint64_t left, done;   /* steps; done: of the job                            */
    uint64_t worked_us;    /* since the last new sample                          */
    uint64_t busy_us;      /* monotonic, when the last command was done          */
    double step_us;        /* measured; 0: not yet                               */
    int64_t job, last_job; /* the running one, and the newest; 0: none           */
};

struct trainer {
    struct trainer_config config;
    struct store *store;     /* the thread's own */
    struct journal *journal; /* what it appends to: the store's own, or that of `shared` */
    struct shared *shared;   /* NULL: no other machine has this log */
    struct learner *work;    /* the thread's own: the state with everything applied, published or not */
    struct model *model;
    struct jobs *jobs;
    struct revision_cache *revision_cache;
    struct throttle throttle;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct command *first, **last;
    struct command *first_read, **last_read; /* what only reads */
    bool stopping, quiesced;
    uint64_t hint; /* what the shared log may have grown to */
    struct trainer_stats stats;
    struct err
        off; /* code ERR_NONE: training is on; else why not, until the next start. Only the thread itself turns it off */

    atomic_int tid;            /* of the thread, as the kernel counts them; 0: not yet */
    _Atomic uint64_t rewrites; /* trainer_rewrites() */

    /* the thread's own */
    uint64_t samples_since_snapshot;
    uint64_t alarms;            /* of drift, that were told */
    bool warned[HEALTH_N];      /* which warnings were told */
    uint64_t snapshot_revision; /* of the newest snapshot */
    uint64_t snapshot_clock_us; /* monotonic, when it was taken or last tried */
    uint64_t keys_clock_us;
    uint64_t complained_us; /* when a failure of the upkeep was last in the log; 0: never. Whose the store is */
    uint64_t columns;       /* of what is published next: struct revision */
    uint32_t columns_left;  /* how many going back has left since: who comes behind them gets another's column */
    bool wal_holds;         /* what was forgotten, until it is emptied */
    bool compacting;        /* a baseline has left rows to be deleted */
    bool rehearsing;        /* rehearse_job is running, and this is its plan */
    struct rehearse_plan plan;
    struct idle idle;
    struct err log_err;    /* why the shared log cannot be reached; code ERR_NONE: it can */
    uint64_t log_retry_us; /* monotonic: not before then again */
    uint64_t followed_us, told_us, asked_us;
    uint64_t went_back; /* to that revision, by another node; 0: no more to be done */
    struct mark marks[TRAINER_MARKS];
    size_t n_marks;
    struct mark told;                  /* the last of them that was, and no node told another; revision 0: none */
    struct mark wrong;                 /* of which the others have another; revision 0: none                         */
    bool mend_due;                     /* the model is to be made anew for that                                      */
    bool mended;                       /* it was, once                                                               */
    bool told_diverged;                /* and the others know that this did not help, or cannot be told              */
    bool idle_mine;                    /* this node is the one that rehearses when idle */
    pthread_t listener;                /* for hints */
    int listen_fd;                     /* ends it */
    int64_t rehearse_job, rebuild_job; /* running; rebuild_job 0: none is */
    struct rebuild rebuild;
    uint64_t
        edit_revision; /* of a shared log: of the last edit that this node has appended, which is to be made everywhere     */
    uint64_t
        edit_place; /* .. up to where all is done, while an edit is not: the model made again, and what is forgotten erased */
    bool
        edit_at_work; /* .. `work` is on its way to an edit                                                                */
    struct err stop_err;
    int stop_status;
};

/* ---- trainer/queue.c ---- */

/* trainer_fail - the command's response is that; it still has to be completed. */
void trainer_fail(struct command *command, const struct err *err);

/* What the thread does next. */
struct trainer_turn {
    struct command *commands; /* NULL: none                      */
    bool reads;               /* some wait that only read        */
    bool idle;                /* nothing came for a whole tick   */
    bool hinted;              /* the shared log has grown, to what is not here yet, or may have */
    bool stop;                /* the last turn                   */
    bool quiesced;            /* no long work any more           */
};

/* trainer_queue_wait - waits until there is something to do: commands, a stop, long work that is due in work_us (0: not at all), or the tick
 * of an idle thread. Takes the front of the queue off: all of it, or as much as one transaction should hold. */
struct trainer_turn trainer_queue_wait(struct trainer *t, uint64_t work_us);

/* trainer_queue_done - any of the two threads. The command's last: it is counted out and its owner is called. */
void trainer_queue_done(struct trainer *t, struct command *command);

/* trainer_queue_reads - how many of those that only read wait. trainer_queue_take_read - the first, whose turn it is; NULL: none.
 * trainer_queue_again - it waits for another turn, behind all others that read. */
uint64_t trainer_queue_reads(struct trainer *t);
struct command *trainer_queue_take_read(struct trainer *t);
void trainer_queue_again(struct trainer *t, struct command *command);

/* trainer_queue_hint - the shared log may have grown, to that revision. Any thread. */
void trainer_queue_hint(struct trainer *t, uint64_t revision);

/* trainer_long_work_check - whether long work may begin. Errors: ERR_STOPPING. */
int trainer_long_work_check(struct trainer *t, struct err *err);

/* ---- trainer/loop.c ---- */

void *trainer_thread(void *trainer);

/* ---- trainer/reads.c ---- */

/* trainer_run_reads - what only reads and waits, for some time. */
void trainer_run_reads(struct trainer *t);

/* ---- trainer/group_commit.c ---- */

void trainer_group_init(struct trainer_group *g);

/* trainer_group_add - takes one command into the group. Whatever is wrong with the command itself fails that command alone; a storage error
 * fails the group. */
void trainer_group_add(struct trainer *t, struct trainer_group *g, struct command *command);

/* trainer_group_open - its transaction, unless it is open or lost. */
void trainer_group_open(struct trainer *t, struct trainer_group *g);

/* trainer_group_idle - a chunk of the idle rehearsal, into an empty group. */
void trainer_group_idle(struct trainer *t, struct trainer_group *g);

/* trainer_group_finish - commits, applies, publishes and completes what the group holds; it is empty then. */
void trainer_group_finish(struct trainer *t, struct trainer_group *g);

/* ---- trainer/follow.c ---- */

/* trainer_follow - what others have appended is here, applied and published. Errors: ERR_LOG, ERR_DIVERGED, those of the store.
 * trainer_follow_held - the same, and nobody else appends until the next commit or rollback: for who was too late.
 * trainer_follow_turn - in a turn of the loop: where there was a hint, or it is time to look. trainer_follow_wait_us - until then. */
int trainer_follow(struct trainer *t, struct err *err);
int trainer_follow_held(struct trainer *t, struct err *err);
void trainer_follow_turn(struct trainer *t, bool hinted);
uint64_t trainer_follow_wait_us(const struct trainer *t);

/* trainer_edits_wait - this node has appended edits that are not applied. trainer_apply_edits - they are. */
bool trainer_edits_wait(const struct trainer *t);
void trainer_apply_edits(struct trainer *t);

/* ---- trainer/log_reach.c ---- */

/* trainer_log_error - the shared log could not be reached, or is not what this file holds; of any other error, nothing. trainer_log_reached - it
 * could. trainer_log_away - it could not a moment ago, and t->log_err says why. */
void trainer_log_error(struct trainer *t, const struct err *err);
void trainer_log_reached(struct trainer *t);
bool trainer_log_away(const struct trainer *t);

/* trainer_log_halt - convd is stopping, and `work` has not come to the end of the file: nothing is done with it any more. */
void trainer_log_halt(struct trainer *t);
bool trainer_log_halted(const struct trainer *t);

/* trainer_mark - `work` is at another revision: where all nodes compare it, its digest is kept for that. trainer_tell - those digests, and up to where
 * all is done here. trainer_edits_done - it is, edits with all that belongs to them. */
bool trainer_edits_done(const struct trainer *t);
void trainer_mark(struct trainer *t);
int trainer_tell(struct trainer *t, struct err *err);

/* trainer_tell_diverged - in a turn of the loop: who stays off tells no more after that, so this is told until the log has it.
 * trainer_same - the newest state that this node told, and no node another; NULL: none. */
void trainer_tell_diverged(struct trainer *t);
const struct mark *trainer_same(const struct trainer *t);

/* trainer_mark_wrong - others have another state of that revision. */
void trainer_mark_wrong(struct trainer *t, const struct mark *mark);

/* trainer_listen_start, trainer_listen_stop - the thread that waits for hints. Nothing where no log is shared. */
int trainer_listen_start(struct trainer *t, struct err *err);
void trainer_listen_stop(struct trainer *t);

/* ---- trainer/mend.c ---- */

/* trainer_mend - in a turn of the loop: where others have another state, the model is made anew, and training is on again if they have that. */
void trainer_mend(struct trainer *t);

/* ---- trainer/publish.c ---- */

/* trainer_publish - `work` is what is read from now on. Waits for memory, if need be: what is durable and applied must not be
 * answered with a failure. */
void trainer_publish(struct trainer *t);

/* trainer_cannot_apply - what the fold has refused though it was checked: ends the process. */
void trainer_cannot_apply(const struct err *err);

/* trainer_storage_error - something has failed. Where it was the disk it is counted, and after a failed sync training ends. Whoever
 * calls what writes says so at once: also where a sync fails in a checkpoint, of which no client's request knows.
 * trainer_upkeep_error - the same of what nobody asked for, so that the log is told as well, at most once a minute. */
void trainer_storage_error(struct trainer *t, const struct err *err);
void trainer_upkeep_error(struct trainer *t, const char *what, const struct err *err);

/* trainer_notify - to whoever wants notes. trainer_drift - whether an alarm was raised since the last look, and which.
 * trainer_notify_drift - to them, and to the log. trainer_notify_warnings - to both, each that was raised or cleared since the last look. */
void trainer_notify(const struct trainer *t, const struct notice *notice);
bool trainer_drift(struct trainer *t, struct notice *alarm);
void trainer_notify_drift(const struct trainer *t, const struct notice *alarm);
void trainer_notify_warnings(struct trainer *t);

/* ---- trainer/snapshots.c ---- */

/* trainer_snapshot - takes one of `work`, and prunes the others. out, err: may be NULL. */
int trainer_snapshot(struct trainer *t, const char *reason, const char *note, bool pinned, struct store_snapshot *out,
                     struct err *err);

/* trainer_snapshot_taken - one of `work` is in the store: remembered, counted, told. */
void trainer_snapshot_taken(struct trainer *t, const struct store_snapshot *taken);

/* trainer_snapshot_request, trainer_snapshot_update - COMMAND_SNAPSHOT, COMMAND_UPDATE. activate.c: trainer_snapshot_activate - COMMAND_ACTIVATE. */
int trainer_snapshot_request(struct trainer *t, struct command *command, struct err *err);
int trainer_snapshot_update(struct trainer *t, struct command *command, struct err *err);
int trainer_snapshot_activate(struct trainer *t, struct command *command, struct err *err);

#define COMPACT_ROWS 64 /* in a transaction: 2 ms, which is as long as others may have to wait beyond a chunk */

/* trainer_compact - where it is time for it, and nothing is on its way that needs what would go: a baseline. trainer_compact_work - a chunk of what
 * that has left to be deleted. */
void trainer_compact(struct trainer *t);
void trainer_compact_work(struct trainer *t, bool busy, uint64_t round_us);

/* ---- trainer/rehearsal.c ---- */

/* trainer_rehearsal_begin - COMMAND_REHEARSE. */
int trainer_rehearsal_begin(struct trainer *t, struct command *command, struct err *err);

/* trainer_rehearsal_chunk - the next chunk, behind whatever the group holds. trainer_rehearsal_apply - once that is committed.
 * trainer_rehearsal_report - after that group. */
void trainer_rehearsal_apply(struct trainer *t, struct trainer_group *g);
void trainer_rehearsal_chunk(struct trainer *t, struct trainer_group *g, uint64_t target_us);
void trainer_rehearsal_report(struct trainer *t, const struct trainer_group *g);

/* trainer_rehearsal_end - the one that is running; what was committed of it stays. err: why, or NULL. */
void trainer_rehearsal_end(struct trainer *t, enum job_state state, const struct err *err);

/* ---- trainer/idle.c ---- */

/* trainer_idle_learned - so many new samples are in the log and applied. */
void trainer_idle_learned(struct trainer *t, uint64_t samples);

/* trainer_idle_wait_us - until the next chunk is due: 0, now; UINT64_MAX, none is. trainer_idle_next - its event; false: there is none.
 * trainer_idle_report - after the group that it was. */
uint64_t trainer_idle_wait_us(const struct trainer *t);
bool trainer_idle_next(struct trainer *t, struct event *event);
void trainer_idle_report(struct trainer *t, const struct trainer_group *g);

/* trainer_idle_end - what is left is not done any more. err: why, or NULL. */
void trainer_idle_end(struct trainer *t, enum job_state state, const struct err *err);

/* ---- trainer/unlearning.c ---- */

/* trainer_edit_begin - COMMAND_EDIT: begins, or joins the one at work. */
int trainer_edit_begin(struct trainer *t, struct command *command, struct err *err);

/* trainer_edit_take_up - what was accepted before the last stop or crash; before the thread is there. */
void trainer_edit_take_up(struct trainer *t);

/* trainer_edit_work - a chunk of it, after a round that took so much processor time. */
void trainer_edit_work(struct trainer *t, bool busy, uint64_t round_us);

/* trainer_edit_empty_wal - what was forgotten still stands in old pages of the WAL, until this; where it fails, wal_holds says that it
 * must be tried again. */
void trainer_edit_empty_wal(struct trainer *t);

/* trainer_edit_again - the model went back: what is at work, if anything is, begins anew. */
void trainer_edit_again(struct trainer *t);

/* trainer_edit_end - its job ends; err: why, or NULL. */
void trainer_edit_end(struct trainer *t, enum job_state state, const struct err *err);

/* trainer_edit_stop - what is at work rests until the next start. trainer_edit_cancel - it is not wanted any more. */
void trainer_edit_stop(struct trainer *t, const struct err *why);
int trainer_edit_cancel(struct trainer *t, struct err *err);

/* trainer_edit_everywhere - in a turn of the loop: ends the job of edits of a shared log once all nodes that live have made them. */
void trainer_edit_everywhere(struct trainer *t);

/* ---- trainer/unlearning_shared.c ---- */

/* trainer_edit_make - where the file has edits that `work` has not: the way to them begins anew, and what is followed from then on is of the edited
 * log; nothing is published before trainer_edit_made(), at the end. false: there are none; or convd is stopping. trainer_edit_pause - now and then
 * meanwhile: whether to stop. */
bool trainer_edit_make(struct trainer *t, struct store_edited *edited);
void trainer_edit_made(struct trainer *t, const struct store_edited *edited);
int trainer_edit_pause(struct trainer *t);

#endif
