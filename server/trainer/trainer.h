/* trainer.h - the one thread that writes: weights, journal, snapshots.
 *
 * Its round: take all that is queued -> append each command's event in one transaction of the log (group commit) -> apply them to its own copy of
 * the state -> publish one revision -> complete every command. So a completed command is durable, applied and published, all three. If the commit
 * fails, nothing was applied, and every command of the group completes with the error.
 *
 * A rehearsal is longer work (trainer/jobs.h): COMMAND_REHEARSE starts it and is done at once; from then on each round ends with one
 * chunk of it, in the same transaction as the round's other commands. A chunk is about 5 ms of steps while requests come in, and
 * 20 ms while none do; nothing waits for a rehearsal longer than that. It ends early when it is
 * cancelled, when the model goes back to a snapshot, when a write fails, and at a stop; what was done until then stays.
 *
 * An edit of the past (trainer/rebuild.h) is long work as well: COMMAND_EDIT accepts it; from then on each round is followed by a chunk of the
 * replay, 5 ms (20 ms when nothing else is asked for) or twice as long as the round took, at most 0.25 s, so that it catches up with a
 * log that grows at full rate. A rehearsal may be at work meanwhile, and goes on with the state that takes over. At its end the rebuilt state replaces the live one, in one transaction and one
 * publication. A stop interrupts it, and the next start takes it up again. When it fails, for want of room or memory, its job goes
 * on, tells why, and it is tried again; trainer/rebuild.h says what ends it.
 *
 * The queue is bounded by samples and bytes: trainer_submit() refuses with ERR_BUSY when it is full. What only reads (COMMAND_READ,
 * COMMAND_SNAPSHOTS, COMMAND_PUBLISH) has a queue of its own, of READS_MAX, and READS_US of each round, one after the other: however many read, nobody
 * who trains waits for longer than that and one turn.
 * The trainer alone owns the store; whoever wants something of the store submits a command.
 *
 * In reading order:
 *   trainer.c             made, asked for its parts, stopped
 *   internal.h            what the files of the trainer share
 *   queue.c               commands wait, are taken, are completed: all that other threads touch, under the lock
 *   loop.c                the rounds, and between them the upkeep
 *   reads.c               what only reads, after a round or between the steps of a long one
 *   log_reach.c           a log that other machines append to, too: whether it can be reached, what they are told
 *   mend.c                a state that is another than theirs, made anew
 *   follow.c              what they have appended, applied here
 *   group_commit.c        what goes into the log: commands that share one transaction
 *   publish.c             what has been committed and applied is shown, and notices of it
 *   snapshots.c           snapshots taken, updated; the oldest samples go, chunk by chunk after the rounds
 *   activate.c            an earlier state is the live one again
 *   jobs.{h,c}            long work, and what is told of it
 *   rehearsal_plan.{h,c}  a rehearsal as a plan: passes cut into chunks
 *   rehearsal.c           the long work that goes into the groups, chunk by chunk
 *   idle.c                steps on the replay buffer while nobody asks for anything
 *   rebuild.{h,c}         edits of the past: a replay in chunks, and its end
 *   unlearning.c          the long work on the past, chunk by chunk after the rounds
 *   unlearning_shared.c   the same where the log is shared: the model made again on every node that comes to the event
 *   throttle.{h,c}        predictions go first
 */
#ifndef CONVD_SERVER_TRAINER_TRAINER_H
#define CONVD_SERVER_TRAINER_TRAINER_H

#include "core/core.h"
#include "server/model/model.h"
#include "server/model/revision_cache.h"
#include "server/payload/labels.h"
#include "server/trainer/jobs.h"
#include "server/trainer/rebuild.h"
#include "server/trainer/rehearsal_plan.h"
#include "store/store.h"

#define READS_MAX 64u   /* that wait for their turn */
#define READS_US  3000u /* of a round, for all of them together */

struct trainer;

enum command_kind {
    COMMAND_TRAIN,     /* event: train, with `labels`. The samples' pixels live until `done` is called      */
    COMMAND_CLASS,     /* event: class. Its index is filled in by the trainer: CLASS_RENAME: of `from`      */
    COMMAND_TUNE,      /* tune_names/values: the settings to change                                         */
    COMMAND_SNAPSHOT,  /* take a snapshot: note, pinned; out: snapshot                                      */
    COMMAND_ACTIVATE,  /* go back to snapshot id; out: snapshot that was taken of the new revision          */
    COMMAND_SNAPSHOTS, /* out: list                                                                         */
    COMMAND_DROP,      /* delete snapshot id                                                                */
    COMMAND_UPDATE,    /* pinned, note of snapshot id, where update_ says so; out: snapshot                  */
    COMMAND_REHEARSE,  /* start what `rehearse` asks for; out: job_status                                   */
    COMMAND_EDIT,      /* forget or relabel what `edit` asks for; out: changed, job_status                    */
    COMMAND_CANCEL,    /* end the running job job_id; out: job_status                                       */
    COMMAND_PUBLISH,   /* the current revision once more, with what novelty is measured by: model_want_novelty() */
    COMMAND_READ,      /* calls `read`, when its turn comes among those that read                           */
};

/* The digest of a revision, which every node must have. */
struct mark {
    uint64_t revision;
    uint8_t digest[DIGEST_BYTES];
};

struct command {
    enum command_kind kind;

    /* in */
    struct event event; /* of kind train or class; borrowed pointers must live until done                */
    struct {            /* COMMAND_TUNE: which settings, and to what                                         */
        unsigned n;
        enum setting which[SETTING_N];
        double value[SETTING_N];
    } tune;
    int64_t snapshot_id; /* COMMAND_ACTIVATE, COMMAND_DROP, COMMAND_UPDATE                                            */
    char note[201];      /* COMMAND_SNAPSHOT, COMMAND_UPDATE                                                      */
    char from[LABEL_BYTES_MAX + 1]; /* COMMAND_CLASS, CLASS_RENAME: the label until now */
    bool pinned; /* COMMAND_SNAPSHOT, COMMAND_UPDATE                                                      */
    bool update_note, update_pinned; /* COMMAND_UPDATE: the others stay as they are                                   */
    bool goes_on; /* COMMAND_READ: a part of what was begun already: READS_MAX does not keep it out */
    struct rehearse_options rehearse; /* COMMAND_REHEARSE: checked                                              */
    struct edit_request edit; /* COMMAND_EDIT                                                                    */
    int64_t job_id;           /* COMMAND_CANCEL                                                                  */
    /* COMMAND_READ: looks into the store, in the trainer's thread, outside of transactions, for a few milliseconds at most; puts
     * what it finds where `context` says. 0: done; 1: to be called again, after others had their turn; -1: failed.
     * What lasts for more than one turn may keep neither rows nor columns from one to the next without a look at trainer_rewrites() */
    int (*read)(struct command *command, struct store *store, struct err *err);
    struct shared *shared;     /* set for read(): NULL: no other machine has this log */
    const struct err *log_err; /* and why that could not be reached a moment ago; NULL: it could */
    const struct mark *same;   /* and the newest state that this node told, and no node another; NULL: none yet */
    const char *key;           /* COMMAND_TRAIN: Idempotency-Key, or NULL; borrowed                                */
    uint8_t fingerprint[32];   /* of what the key stands for                                                  */
    struct err refusal;        /* COMMAND_TRAIN: why it is refused unless its key is known; ERR_NONE: it is not    */
    struct labels *labels;     /* COMMAND_TRAIN: a sample's `label` is which of these; the trainer looks them up, and
                                     * then it is the column of its class; borrowed                                */
    uint64_t bytes; /* memory that the command holds: counts against the queue's bound                      */

    /* called once, in one of the trainer's threads, when all is done; afterwards the trainer never touches the command again */
    void (*done)(struct command *command);
    void *context;

    /* out */
    int status;    /* 0, or -1 with err */
    bool known;    /* COMMAND_TRAIN: under its key, before: nothing was trained */
    bool prepared; /* COMMAND_TRAIN: the samples' labels are columns          */
    struct err err;
    uint64_t revision, step;        /* after the command; published                                        */
    struct store_trained trained;   /* COMMAND_TRAIN: what it came to, or had come to                         */
    struct store_snapshot snapshot; /* COMMAND_SNAPSHOT, COMMAND_ACTIVATE, COMMAND_UPDATE                           */
    struct store_snapshot *list;    /* COMMAND_SNAPSHOTS: malloc'ed; done's owner frees it                 */
    size_t n_list;
    struct job_status job_status; /* COMMAND_REHEARSE, COMMAND_CANCEL, COMMAND_EDIT where changed > 0              */
    size_t changed;               /* COMMAND_EDIT: samples that it edits                                   */

    struct command *next; /* the trainer's */
};

/* What happened, told when it is durable and published. Borrowed pointers live for the call. */
enum notice_kind {
    NOTICE_TRAIN,    /* of a group: revision, step, samples, correct, loss_sum                            */
    NOTICE_CLASS,    /* revision, event                                                                   */
    NOTICE_TUNE,     /* likewise                                                                          */
    NOTICE_SNAPSHOT, /* snapshot                                                                          */
    NOTICE_ACTIVATE, /* revision, step; target: the revision that it went back to                         */
    NOTICE_EDIT,     /* revision, step; edit: what was made                                          */
    NOTICE_BASELINE, /* revision; target: the baseline, up to which samples are kept no more  */
    NOTICE_UPDATE,   /* snapshot, as it is now                                                       */
    NOTICE_DRIFT,    /* revision; samples: the tally's when the last alarm was raised; alarms             */
    NOTICE_WARNING,  /* revision; samples: the tally's; code; text: NULL where it was cleared              */
};

struct notice {
    enum notice_kind kind;
    uint64_t revision, step, samples, correct, target, alarms;
    double loss_sum;
    const struct event *event;
    const struct store_snapshot *snapshot;
    const struct rebuild_made *edit;
    const char *code, *text;
};

struct trainer_config {
    uint64_t queue_samples, queue_bytes; /* bounds of the queue                                          */
    uint64_t snapshot_samples;           /* snapshot every so many samples, 0: never                     */
    unsigned snapshot_seconds;           /* and after so many seconds with changes, 0: never             */
    unsigned keep_snapshots;             /* newest ones that pruning leaves alone                       */
    uint64_t keep_samples;               /* newest ones that stay in the log, at least; 0: all          */
    unsigned key_seconds;                /* how long idempotency keys are kept while it runs: store_expire_keys() */
    unsigned retry_ms;                   /* after which an edit that failed is tried again; then twice as long, .. */
    bool
        alone; /* nobody else asks for anything: a rehearsal commits every 200 ms, and is cut into events by the geometry
                 * alone, so that the same data set gives the same revisions, however slow the machine */
    struct shared
        *shared;      /* the log of several machines; the trainer's, if it can be created. NULL: the store's own log */
    const char *log;  /* where that is; borrowed */
    unsigned threads; /* that want processors, the trainer one of them: server/trainer/throttle.h */
    const char
        *training_off; /* NULL, or why nothing may be written: the store was salvaged, its log is damaged. Then every
                               * command but these three that read is refused with ERR_DB_CORRUPT, which says this; borrowed */
    /* Told of each notice, one at a time, in one of the trainer's threads, which it may not keep waiting; NULL: nobody wants to know. */
    void (*notify)(void *context, const struct notice *notice);
    void *notify_context;
};

struct trainer_stats {
    uint64_t queued_commands, queued_samples, queued_bytes, queued_reads; /* of commands, reads are none */
    uint64_t rounds, samples, refused_busy, storage_errors, snapshots;
    uint64_t last_round_us; /* duration of the last round                                              */
    uint64_t rehearsed;     /* steps of rehearsals                                                   */
    uint64_t idle_steps;    /* steps of idle rehearsals                                              */
    uint64_t commit_us;     /* sum of the time in store_commit                                         */
    uint64_t apply_us;      /* sum of the time in learner_apply                                        */
    uint64_t progress;      /* grows whenever the thread is alive and not stuck: feeds the watchdog    */
    uint64_t baseline;      /* store_baseline()'s revision                                             */
    uint64_t baselines;     /* that --keep-samples made, and samples that were deleted for them        */
    uint64_t compacted;
    int64_t last_snapshot_us;
    bool storage_failed; /* training is stopped for good: a sync failed                             */
    enum err_code
        off; /* else ERR_NONE. ERR_DB_CORRUPT: trainer_config.training_off; ERR_DB_LOST: store_check_place(); ERR_DIVERGED: the shared log */
    uint64_t wal_bytes;
    bool log_shared, log_unreachable; /* several machines have the log; it could not be reached last */
    uint64_t log_reached_us;          /* monotonic, when all of it had been followed; 0: never */
    uint64_t log_followed, log_late;  /* events of others; groups for which others were first */
    uint64_t log_mended;              /* times that the model was made anew, since others had another state */
    bool log_standby;                 /* PostgreSQL, as last asked: the node reads a standby; standbys of the primary */
    unsigned log_standbys, log_standbys_sync;
    uint64_t log_compared; /* revision of the newest state that was told, and no node told another; 0: none */
};

struct trainer_config trainer_config_default(void);

/* trainer_create - takes over store and learner (the state as recovered), publishes it to a new model and starts the thread. */
struct trainer *trainer_create(struct store *store, struct learner *learner, const struct trainer_config *config,
                               struct err *err);

/* trainer_model - what it publishes to; lives as long as the trainer. */
struct model *trainer_model(struct trainer *trainer);

/* trainer_submit - any thread. 0: `done` will be called once. -1: it will not. Errors: ERR_BUSY, ERR_STOPPING, ERR_STORAGE,
 * ERR_VALUE (key too long), ERR_DB_CORRUPT (trainer_config.training_off), ERR_DB_LOST (the model's file is gone; reading goes on). */
int trainer_submit(struct trainer *trainer, struct command *command, struct err *err);

/* trainer_stats - any thread. */
struct trainer_stats trainer_stats(struct trainer *trainer);

/* trainer_moved - how many bytes its threads have read and written since they began, 0 where the kernel does not tell. It grows while a
 * large snapshot, transaction or checkpoint keeps one of them from counting progress. Any thread. */
uint64_t trainer_moved(struct trainer *trainer);

/* trainer_rewrites - how often the past was rewritten since the start: an edit was accepted, given up or made, or the model went back.
 * Rows of samples from before may be gone, or of another class. Any thread. */
uint64_t trainer_rewrites(struct trainer *trainer);

/* trainer_jobs - the table of its long work; lives as long as the trainer. */
struct jobs *trainer_jobs(struct trainer *trainer);

/* trainer_revision_cache - the states of past revisions, which it makes again in 5 ms after each round; lives as long as the trainer. */
struct revision_cache *trainer_revision_cache(struct trainer *trainer);

/* trainer_quiesce - long work ends after its chunk (ERR_STOPPING), and none is begun any more; all else goes on. The first thing of
 * a stop, so that nobody waits for a rehearsal while requests are drained. Any thread. */
void trainer_quiesce(struct trainer *trainer);

/* trainer_stop - refuses new commands (ERR_STOPPING), finishes those queued, takes a snapshot (reason "shutdown") when anything changed since
 * the last, closes the store, ends the thread. Then trainer_free(). Errors: the snapshot's; the log is complete all the same. */
int trainer_stop(struct trainer *trainer, struct err *err);
void trainer_free(struct trainer *trainer);

#endif
