/* trainer.h - the one thread that writes: weights, journal, snapshots.
 *
 * Its round: take all that is queued -> apply each job to its own copy of the state -> one journal transaction
 * (group commit) -> publish one revision -> complete every job. So a completed job is durable, applied and
 * published, all three. If the commit fails, the copy is thrown away (restored from the published revision), and every job of the round
 * completes with the error.
 *
 * A rehearsal is longer work (trainer/jobs.h): JOB_REHEARSE starts it and is done at once; from then on each round ends with one
 * chunk of it, in the same transaction as the round's other jobs. A chunk is about 5 ms of steps while requests come in, and
 * 20 ms while none do; nothing waits for a rehearsal longer than that. It ends early when it is
 * cancelled, when the model goes back to a snapshot, when a write fails, and at a stop; what was done until then stays.
 *
 * An edit of the past (trainer/rebuild.h) is long work as well: JOB_EDIT accepts it; from then on each round is followed by a chunk of the
 * replay, 5 ms (20 ms when nothing else is asked for) or twice as long as the round took, at most 0.25 s, so that it catches up with a
 * log that grows at full rate. A rehearsal may be at work meanwhile, and goes on with the state that takes over. At its end the rebuilt state replaces the live one, in one transaction and one
 * publication. A stop interrupts it, and the next start takes it up again. When it fails, for want of room or memory, its job goes
 * on, tells why, and it is tried again; trainer/rebuild.h says what ends it.
 *
 * The queue is bounded by samples and bytes: trainer_submit() refuses with ERR_BUSY when it is full. What only reads (JOB_READ,
 * JOB_SNAPSHOTS) has a queue of its own, of READS_MAX, and READS_US of each round, one after the other: however many read, nobody
 * who trains waits for longer than that and one turn.
 * The trainer alone owns the store; whoever wants something of the store submits a job.
 *
 * In reading order:
 *   trainer.c             made, asked for its parts, stopped
 *   internal.h            what the files of the trainer share
 *   queue.c               jobs wait, are taken, are completed: all that other threads touch, under the lock
 *   loop.c                the rounds, and between them the upkeep
 *   group_commit.c        what goes into the log: jobs that share one transaction
 *   publish.c             what has been committed is shown and told; what has not is taken back
 *   snapshots.c           snapshots taken, amended, gone back to
 *   jobs.{h,c}            long work, and what is told of it
 *   rehearsal_plan.{h,c}  a rehearsal as a plan: passes cut into chunks
 *   rehearsal.c           the long work that goes into the groups, chunk by chunk
 *   rebuild.{h,c}         edits of the past: a replay in chunks, and its end
 *   unlearning.c          the long work on the past, chunk by chunk after the rounds
 *   throttle.{h,c}        predictions go first
 */
#ifndef CONVD_SERVER_TRAINER_TRAINER_H
#define CONVD_SERVER_TRAINER_TRAINER_H

#include "core/core.h"
#include "server/model/model.h"
#include "server/model/revision_cache.h"
#include "server/trainer/jobs.h"
#include "server/trainer/rebuild.h"
#include "server/trainer/rehearsal_plan.h"
#include "store/store.h"

#define READS_MAX 64u   /* that wait for their turn */
#define READS_US  3000u /* of a round, for all of them together */

struct trainer;

enum job_kind {
    JOB_TRAIN,     /* event: train. The samples' pixels live until `done` is called                     */
    JOB_CLASS,     /* event: class. CLASS_ADD: index is filled in by the trainer                        */
    JOB_TUNE,      /* tune_names/values: the settings to change                                         */
    JOB_SNAPSHOT,  /* take a snapshot: note, pinned; out: snapshot                                      */
    JOB_ACTIVATE,  /* go back to snapshot id; out: snapshot that was taken of the new revision          */
    JOB_SNAPSHOTS, /* out: list                                                                         */
    JOB_DROP,      /* delete snapshot id                                                                */
    JOB_AMEND,     /* pinned, note of snapshot id, where amend_ says so; out: snapshot                  */
    JOB_REHEARSE,  /* start what `rehearse` asks for; out: job_status                                   */
    JOB_EDIT,      /* forget or relabel what `edit` asks for; out: changed, job_status                    */
    JOB_CANCEL,    /* end the running job job_id; out: job_status                                       */
    JOB_READ,      /* calls `read`, when its turn comes among those that read                           */
};

struct job {
    enum job_kind kind;

    /* in */
    struct event event; /* of kind train or class; borrowed pointers must live until done                */
    struct {            /* JOB_TUNE: which settings, and to what                                         */
        unsigned n;
        enum setting which[SETTING_N];
        double value[SETTING_N];
    } tune;
    int64_t snapshot_id;           /* JOB_ACTIVATE, JOB_DROP, JOB_AMEND                                            */
    char note[201];                /* JOB_SNAPSHOT, JOB_AMEND                                                      */
    bool pinned;                   /* JOB_SNAPSHOT, JOB_AMEND                                                      */
    bool amend_note, amend_pinned; /* JOB_AMEND: the others stay as they are                                   */
    struct rehearse_ask rehearse;  /* JOB_REHEARSE: checked                                              */
    struct edit_ask edit;          /* JOB_EDIT                                                                    */
    int64_t job_id;                /* JOB_CANCEL                                                                  */
    /* JOB_READ: looks into the store, in the trainer's thread, outside of transactions, for a few milliseconds at most; puts
     * what it finds where `context` says. 0: done; 1: to be called again, after others had their turn; -1: failed.
     * What lasts for more than one turn may keep neither rows nor columns from one to the next without a look at trainer_rewrites() */
    int (*read)(struct job *job, struct store *store, struct err *err);
    bool goes_on; /* JOB_READ: a part of what was begun already: READS_MAX does not keep it out */
    uint64_t
        as_of; /* JOB_TRAIN, JOB_CLASS: the revision whose class table its indices are of. Where the model has gone back
                      * since, they may mean others: ERR_BUSY. 0: not looked at */
    const char *key; /* JOB_TRAIN: Idempotency-Key, or NULL; borrowed                                */
    uint8_t fingerprint[32];
    uint64_t bytes; /* memory that the job holds: counts against the queue's bound                      */

    /* called once, in one of the trainer's threads, when all is done; afterwards the trainer never touches the job again */
    void (*done)(struct job *job);
    void *context;

    /* out */
    int status; /* 0, or -1 with err */
    struct err err;
    uint64_t revision, step; /* after the job; published                                        */
    uint32_t correct;        /* JOB_TRAIN: samples whose prediction before the step was right   */
    uint32_t refused;        /* JOB_TRAIN: samples whose step was not made: core/descent.h      */
    double loss;             /* JOB_TRAIN: mean loss before the step                            */
    char *replayed_answer;   /* JOB_TRAIN with a known key: the first answer (malloc'ed); done's owner frees it */
    struct store_snapshot snapshot; /* JOB_SNAPSHOT, JOB_ACTIVATE, JOB_AMEND                           */
    struct store_snapshot *list;    /* JOB_SNAPSHOTS: malloc'ed; done's owner frees it                 */
    size_t n_list;
    struct job_status job_status; /* JOB_REHEARSE, JOB_CANCEL, JOB_EDIT where changed > 0              */
    size_t changed;               /* JOB_EDIT: samples that it edits                                   */

    struct job *next; /* the trainer's */
};

/* What happened, told when it is durable and published. Borrowed pointers live for the call. */
enum note_kind {
    NOTE_TRAIN,    /* of a group: revision, step, samples, correct, loss_sum                            */
    NOTE_CLASS,    /* revision, event                                                                   */
    NOTE_TUNE,     /* likewise                                                                          */
    NOTE_SNAPSHOT, /* snapshot                                                                          */
    NOTE_ACTIVATE, /* revision, step; target: the revision that it went back to                         */
    NOTE_EDIT,     /* revision, step; edit: what was made                                          */
    NOTE_AMEND,    /* snapshot, as it is now                                                       */
    NOTE_DRIFT,    /* revision; samples: the tally's when the last alarm was raised; alarms             */
};

struct note {
    enum note_kind kind;
    uint64_t revision, step, samples, correct, target, alarms;
    double loss_sum;
    const struct event *event;
    const struct store_snapshot *snapshot;
    const struct rebuild_made *edit;
};

struct trainer_config {
    uint64_t queue_samples, queue_bytes; /* bounds of the queue                                          */
    uint64_t snapshot_samples;           /* snapshot every so many samples, 0: never                     */
    unsigned snapshot_seconds;           /* and after so many seconds with changes, 0: never             */
    unsigned keep_snapshots;             /* newest ones that thinning leaves alone                       */
    unsigned key_seconds;                /* how long idempotency keys are kept while it runs: store_expire_keys() */
    unsigned retry_ms;                   /* after which an edit that failed is tried again; then twice as long, .. */
    unsigned threads;                    /* that want processors, the trainer one of them: server/trainer/throttle.h */
    const char
        *training_off; /* NULL, or why nothing may be written: the store was salvaged, its log is damaged. Then every
                               * job but JOB_SNAPSHOTS and JOB_READ is refused with ERR_DB_CORRUPT, which says this; borrowed */
    /* Told of each note, one at a time, in one of the trainer's threads, which it may not keep waiting; NULL: nobody wants to know. */
    void (*note)(void *context, const struct note *note);
    void *note_context;
    /* Renders the answer that is stored under an Idempotency-Key; returns malloc'ed text, NULL: out of memory. */
    char *(*render_answer)(const struct job *job);
};

struct trainer_stats {
    uint64_t queued_jobs, queued_samples, queued_bytes, queued_reads; /* of jobs, reads are none */
    uint64_t rounds, samples, refused_busy, storage_errors, snapshots;
    uint64_t last_round_us; /* duration of the last round                                              */
    uint64_t rehearsed;     /* steps of rehearsals                                                   */
    uint64_t commit_us;     /* sum of the time in store_commit                                         */
    uint64_t apply_us;      /* sum of the time in learner_apply                                        */
    uint64_t progress;      /* grows whenever the thread is alive and not stuck: feeds the watchdog    */
    int64_t last_snapshot_us;
    bool storage_failed; /* training is stopped for good: a sync failed                             */
    enum err_code
        off; /* else ERR_NONE. ERR_DB_CORRUPT: trainer_config.training_off; ERR_DB_LOST: store_check_place() */
    uint64_t wal_bytes;
};

struct trainer_config trainer_config_default(void);

/* trainer_create - takes over store and learner (the state as recovered), publishes it to a new model and starts the thread. */
struct trainer *trainer_create(struct store *store, struct learner *learner, const struct trainer_config *config,
                               struct err *err);

/* trainer_model - what it publishes to; lives as long as the trainer. */
struct model *trainer_model(struct trainer *trainer);

/* trainer_submit - any thread. 0: `done` will be called once. -1: it will not. Errors: ERR_BUSY, ERR_STOPPING, ERR_STORAGE,
 * ERR_VALUE (key too long), ERR_DB_CORRUPT (trainer_config.training_off), ERR_DB_LOST (the model's file is gone; reading goes on). */
int trainer_submit(struct trainer *trainer, struct job *job, struct err *err);

/* trainer_key_known - in the trainer's thread, of a job that reads or trains: 1, the request of job->fingerprint was taken under that
 * key, and its first answer is in the job; 0: the key is not known. Errors: ERR_KEY_REUSED, the store's. */
int trainer_key_known(struct job *job, struct store *store, const char *key, struct err *err);

/* trainer_stats - any thread. */
struct trainer_stats trainer_stats(struct trainer *trainer);

/* trainer_moved - how many bytes its threads have read and written since they began, 0 where the kernel does not tell. It grows while a
 * large snapshot, transaction or checkpoint keeps one of them from counting progress. Any thread. */
uint64_t trainer_moved(struct trainer *trainer);

/* trainer_columns - the revision at which a class was removed last, or one got the index that another had before the model went back:
 * before it, indices of classes meant others. It is told before that revision is published. 0: none since the start. Any thread. */
uint64_t trainer_columns(struct trainer *trainer);

/* trainer_rewrites - how often the past was rewritten since the start: an edit was accepted, given up or made, or the model went back.
 * Rows of samples from before may be gone, or of another class. Any thread. */
uint64_t trainer_rewrites(struct trainer *trainer);

/* trainer_jobs - the table of its long work; lives as long as the trainer. */
struct jobs *trainer_jobs(struct trainer *trainer);

/* trainer_past - the states of past revisions, which it makes again in 5 ms after each round; lives as long as the trainer. */
struct past *trainer_past(struct trainer *trainer);

/* trainer_quiesce - long work ends after its chunk (ERR_STOPPING), and none is begun any more; all else goes on. The first thing of
 * a stop, so that nobody waits for a rehearsal while requests are drained. Any thread. */
void trainer_quiesce(struct trainer *trainer);

/* trainer_stop - refuses new jobs (ERR_STOPPING), finishes those queued, takes a snapshot (reason "shutdown") when anything changed since
 * the last, closes the store, ends the thread. Then trainer_free(). Errors: the snapshot's; the log is complete all the same. */
int trainer_stop(struct trainer *trainer, struct err *err);
void trainer_free(struct trainer *trainer);

#endif
