/* store.h - the door of store/: what survives. The log of events and the snapshots, in one SQLite file per model.
 *
 * What is promised
 *   - When store_commit() returns 0, everything appended since store_begin() is on the disk: WAL, synchronous=FULL. It
 *     withstands kill -9 and power loss.
 *   - When it fails, nothing of the group is there, and the same store can be used again (a full disk may get room).
 *   - Rows are chained: event.chain = SHA-256(previous chain, this row with its samples). A lost, changed or reordered
 *     row is found by store_recover() and store_verify(), and named.
 *   - store_recover() returns the state as of the last committed event, bit for bit: newest snapshot whose digest
 *     verifies, plus replay.
 *
 * What the caller guarantees
 *   - One thread at a time uses a store (in the daemon: the trainer), and says so: store_take(). SQLite 3.40's WAL-reset race is why: docs/promises.md.
 *   - It checks an event (learner_check()), numbers it by store_next(), appends it, commits, then applies it, and tells what came of it
 *     by store_outcomes(), in that order: the store does not judge events. docs/architecture.md says why in that order.
 *
 * Tables: see schema/. Below: sqlite/ (it alone calls sqlite3), log/ (what happened), postgres/ (the same for several machines: rows in a
 * PostgreSQL database, which the files of log/ know nothing of), replay/ (from there back to a state).
 *
 * In reading order:
 *   journal.{h,c}  the seam: what the log is for whoever appends to it
 *   store.c     create, open, close
 *   shared.{h,c}  the log of several machines: this file is one copy of it
 *   shared_snapshots.c  .. and states in it, to begin from
 *   libc.h      what of the C library is glibc's own
 *   internal.h  what the files below store/ share; schema/0001.sql has the tables
 *   backup.c    a copy of the database, while it is used
 *   salvage.c   what can be proved of a damaged file
 */
#ifndef CONVD_STORE_STORE_H
#define CONVD_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

struct store;

#define STORE_KEY_BYTES_MAX 255

/* Long work reports here; a non-zero return stops it (ERR_STOPPING). */
typedef int store_progress(void *context, uint64_t done, uint64_t total);

/* store_create - makes the file (which must not exist), its schema, the create event as revision 1 and a pinned snapshot
 * of it, and opens it. `learner` is the state that learner_create() made of that event; its revision must be 1.
 * The file gets its name only when it is whole and on the disk: a crash or an error leaves nothing under `path`, or, where only
 * opening it again failed, the whole model.
 * Errors: ERR_CONFLICT (file exists, or a -wal of another is left over), ERR_DB_MISSING (its directory), ERR_DB_READONLY,
 * ERR_LIMIT (a tensor over 10^9 bytes, SQLite's largest blob), ERR_STORAGE_FULL, ERR_STORAGE. */
int store_create(struct store **out, const char *path, const struct event *create, const struct learner *learner,
                 struct err *err);

/* store_open - opens an existing model and takes the only lock on it (read_only: only reads; works on a file or a
 * directory that cannot be written, and while nobody else has it open).
 * Migrates an older schema, except read_only. Errors: ERR_DB_MISSING, ERR_DB_FOREIGN (also: its schema has something that no
 * convd makes), ERR_DB_NEWER, ERR_DB_LOCKED,
 * ERR_DB_READONLY, ERR_DB_CORRUPT, ERR_STORAGE_FULL, ERR_STORAGE. */
int store_open(struct store **out, const char *path, bool read_only, struct err *err);

/* store_yield - to be taken while much is written, and between the steps of a replayer that is opened from now on. Borrowed; NULL: none. */
void store_yield(struct store *store, struct yield *yield);

/* store_take - the store is the calling thread's from now on, and whose it was is done with it. Who opens it has it. A call by any other
 * thread, store_close() and the closing of what was opened on it among them, ends the process. */
void store_take(struct store *store);

/* store_close - checkpoints, closes and frees; NULL is fine. */
void store_close(struct store *store);

/* ---- the log ---- */

/* One group: store_begin, any number of store_append, store_commit or store_rollback.
 * Errors of all: ERR_STORAGE_FULL, ERR_STORAGE (detail: SQLite's extended code), ERR_DB_READONLY. After an error the
 * group is gone (rolled back); store_rollback() is then harmless. */
int store_begin(struct store *store, struct err *err);
/* store_begin_unsynced - of what another engine holds: its commit does not wait for the disk, and a power cut may take it. */
int store_begin_unsynced(struct store *store, struct err *err);

/* store_next - gives an event what it will have in the log: revision, time (where it is 0), and the ids of a train event's
 * samples. Before learner_apply(), since the state remembers ids. Promises nothing: an event that is not appended leaves them
 * to the next one. */
void store_next(const struct store *store, struct event *event);

/* store_append - writes one event of kind train, class, tune, rehearse, idle or activate as the next revision. event->revision
 * must be store_revision() + 1, the ids those of store_next(). */
int store_append(struct store *store, struct event *event, struct err *err);
int store_commit(struct store *store, struct err *err);
/* store_outcomes - what the fold made of that event's samples (predicted, loss, refused, step), once it was applied. It is in the table
 * before a snapshot is, and as soon as it is read. */
void store_outcomes(struct store *store, const struct event *event);
/* store_classes - table class becomes the learner's: after an activate event, where an edit may have brought classes along that no
 * event of the lineage adds. In the open group. */
int store_classes(struct store *store, const struct learner *learner, struct err *err);
void store_rollback(struct store *store);

/* store_sync_failed - true after a sync reported an error: the kernel may have dropped the pages, so nothing later may
 * be acknowledged; the process must stop and recover. */
bool store_sync_failed(const struct store *store);

/* store_check_place - ERR_DB_LOST where the path of the store leads to another file than the one that is open, or to none, or that of
 * its WAL does: it was removed, renamed or replaced, and what is written would not be found again. Nothing is from then on: every
 * commit fails with that error; they look as well. Not in an open group. */
int store_check_place(struct store *store, struct err *err);

uint64_t store_revision(const struct store *store);      /* last event, appended ones of the open group included */
int64_t store_next_sample_id(const struct store *store); /* what the next appended sample will get               */

/* store_changes - as long as it is the same, so is all that the database holds. */
uint64_t store_changes(const struct store *store);

/* ---- idempotency keys ---- */

struct store_key {
    char key[STORE_KEY_BYTES_MAX + 1];
    uint8_t fingerprint[32]; /* SHA-256 of the request: what the key stands for; zeros: an image of it was forgotten */
    uint64_t revision;       /* of the event that the request became              */
};

/* store_put_key - in the open group, so that key and event are durable together. */
int store_put_key(struct store *store, const struct store_key *key, struct err *err);
/* store_find_key - 1 found, 0 not, -1 error. */
int store_find_key(struct store *store, const char *key, struct store_key *out, struct err *err);
/* store_key_is - whether that is the request that the key stands for. Of one whose image was forgotten nothing is left to tell: any. */
bool store_key_is(const struct store_key *key, const uint8_t fingerprint[32]);
/* store_expire_keys - forgets the oldest keys, a thousand at most: those that have been there for so many microseconds in which the store
 * was open for writing (what passed between the newest key and a close is not counted), and all but the newest `keep`. In a transaction
 * of its own or in the open group. 1: some were, there may be more; 0: none; -1. */
int store_expire_keys(struct store *store, int64_t age_us, uint64_t keep, struct err *err);

/* What a train event came to, without what was forgotten since. */
struct store_trained {
    uint32_t n; /* samples, forgotten ones as well */
    int64_t first_id, last_id;
    uint64_t step;    /* of the model, after it        */
    uint32_t correct; /* predicted right before their steps */
    uint32_t refused; /* whose steps were not made     */
    double loss;      /* mean; NaN where none is left  */
};

/* store_trained - of the train event of that revision, as table outcome has it. Not in a group. Costs 1 us a sample.
 * Errors: ERR_DB_CORRUPT (it has not all of it), ERR_STORAGE, ERR_STORAGE_FULL (what waits could not be written). */
int store_trained(struct store *store, uint64_t revision, struct store_trained *out, struct err *err);

/* ---- snapshots ---- */

struct store_snapshot {
    int64_t id;
    uint64_t revision, step;
    int64_t created_us;
    char reason[16]; /* "create", "interval", "shutdown", "request", "activate", "edit" */
    bool pinned;
    char note[201];
    uint8_t digest[DIGEST_BYTES];
    uint64_t samples, correct; /* test-then-train tally at that point */
    char arithmetic[32];
};

/* store_snapshot - writes the state whole, with its digest and the log's chain, in a transaction of its own; *out (may be
 * NULL) tells what was written. learner->revision must be store_revision(). */
int store_snapshot(struct store *store, const struct learner *learner, const char *reason, const char *note,
                   bool pinned, struct store_snapshot *out, struct err *err);

/* store_snapshots - all, oldest first, in an array that the caller frees. */
int store_snapshots(struct store *store, struct store_snapshot **list, size_t *n, struct err *err);
/* store_snapshot_find - ERR_NOT_FOUND where there is none. */
int store_snapshot_find(struct store *store, int64_t id, struct store_snapshot *out, struct err *err);
/* store_snapshot_drop - ERR_NOT_FOUND; ERR_CONFLICT where it is pinned or the last one that recovery could start from. */
int store_snapshot_drop(struct store *store, int64_t id, struct err *err);
/* store_snapshot_update - pins it or lets it go (*pinned), and gives it another note; NULL: as it is. *out is it afterwards. Survives a
 * power cut when it returns. Errors: ERR_NOT_FOUND; ERR_CONFLICT: the snapshot of the creation stays pinned, since given
 * weights are in it alone. */
int store_snapshot_update(struct store *store, int64_t id, const bool *pinned, const char *note,
                          struct store_snapshot *out, struct err *err);
/* store_snapshot_load - the state of that snapshot, after checking digest. Errors: ERR_NOT_FOUND, ERR_DB_CORRUPT. */
int store_snapshot_load(struct store *store, int64_t id, const struct arith *arith, struct learner **out,
                        struct err *err);
/* store_snapshot_view - the same, but it can only predict: no image of its replay buffer is read. */
int store_snapshot_view(struct store *store, int64_t id, struct learner **out, struct err *err);
/* store_snapshots_prune - drops old unpinned ones: keeps the newest `keep`, and beyond them one per power of two of age in revisions. */
int store_snapshots_prune(struct store *store, unsigned keep, struct err *err);

/* ---- reading back ---- */

/* From which revision on the log replays to the bits that it had: what is before is another arithmetic's, or is not kept. */
struct store_baseline {
    uint64_t revision; /* of a snapshot that stays, which every replay begins with or behind; 1: the whole log */
    char arithmetic[ARITHMETIC_BYTES]; /* that the log ends in                                              */
    uint64_t kept;    /* the revision after which samples are kept: store_compact(); 0: all are             */
    uint64_t samples; /* of the tally at that revision                                                      */
};

/* store_baseline - as the log says; store_recover() moves it where another arithmetic has made the log's end. */
struct store_baseline store_baseline(const struct store *store);

struct store_recovery {
    int64_t snapshot;             /* that recovery started from; 0: from the create event        */
    uint64_t snapshot_revision;   /* of it                                                       */
    uint64_t events, samples;     /* replayed                                                    */
    unsigned skipped;             /* snapshots whose digest did not verify                       */
    char warning[ERR_TEXT_BYTES]; /* the last such, or ""                                      */
    char
        before[ARITHMETIC_BYTES]; /* the arithmetic that made what recovery began with, where it is not ours; else "" */
    uint64_t good; /* up to here every row that was read is as it was written: also told after an error */
};

/* store_recover - the state as of the last event. arith NULL: the best. Where a stop came between an edit of a shared log and its rebuild, it writes the
 * snapshots that the rebuild would have, if the store can be written.
 * Where another version of the arithmetic has made the log, the newest snapshot is the baseline: the rows after it are folded by ours, to
 * a state that has learned from every sample but not with the same bits, and (if the store can be written) a baseline event and a
 * pinned snapshot make that state the one that the log goes on from.
 * Errors: ERR_DB_CORRUPT (names the first bad row), ERR_STORAGE, ERR_MEMORY, ERR_STOPPING. */
int store_recover(struct store *store, const struct arith *arith, store_progress *progress, void *context,
                  struct learner **out, struct store_recovery *report, struct err *err);

/* store_follow - applies the event behind learner->revision, which came into the log from elsewhere (store/shared.h); *event is it, until the
 * next call. Not where an edit is behind it: store_rebuild(). 1; 0: there is none; -1: the errors of store_recover(), and then the learner is not to be used. */
int store_follow(struct store *store, struct learner *learner, const struct event **event, struct err *err);

/* store_begin_again - all snapshots but that of the create event, pinned ones as well, and all outcomes are deleted: what is to be made of the log is made
 * anew, from the state that is given, by store_follow(); stopped in the middle, by the next store_recover(). Not where the log begins with another
 * arithmetic's. Errors: those of store_commit() and store_recover(). Owns: the caller, *out. */
int store_begin_again(struct learner **out, struct store *store, const struct arith *arith, struct err *err);

/* store_salvage - for a file that store_open() or store_recover() refused with ERR_DB_CORRUPT: opens it for reading only, and
 * gives the newest state that can still be proved: a good snapshot plus replay up to the row before the first bad one.
 * It was acknowledged as it is, at the revision that it says; what came after it is left out. The store refuses to
 * write, and the file stays as it is.
 * Errors: ERR_DB_CORRUPT (nothing can be proved), and those of store_open() and store_recover(). *out as from store_open(). */
int store_salvage(struct store **out, const char *path, const struct arith *arith, store_progress *progress,
                  void *context, struct learner **learner, struct store_recovery *report, struct err *err);

/* store_sample - one sample of the log: label (of now, after edits) and pixels (n_input bytes into `pixels`). 1 found, 0 not, or
 * forgotten, -1 error. */
int store_sample(struct store *store, int64_t id, uint32_t *label, uint8_t *pixels, size_t n_input, struct err *err);

/* ---- looking at past samples: what was accepted to be forgotten (store/replay/edits.h) is shown no more, alone or with its class ---- */

/* A row of the log's samples, without its image. */
struct store_sample_row {
    int64_t id;
    uint64_t revision;         /* of the event that it came with                            */
    int64_t created_us;        /* of that event                                             */
    uint32_t label, predicted; /* class indices: said to be; said by the model just before  */
    float loss;                /* just before it was learned from; NaN where it was no number */
    bool live;                 /* false: going back to an earlier revision left it behind   */
};

/* Which samples of the live lineage, and how far the search has come. */
struct store_search {
    int64_t label, predicted; /* class index, -1: any                                            */
    int wrong;                /* 1: label is not predicted; 0: it is; -1: either                 */
    int64_t from_us, to_us;   /* time of the event, both ends included. Found by bisection: where the clock was set
                               * back, the cut is at one of the places that it could be at       */
    int64_t before; /* only ids below it: INT64_MAX at first, then as the last call left it; 0: that was all */
};

/* store_search - the next samples that are as searched for, newest first, into rows [room]; *n: how many. Looks at `look` rows
 * at most, so a call takes some 0.4 us for each of those whatever it finds, and *n may be less than room, even 0, before the end.
 * Errors: ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. */
int store_search(struct store *store, struct store_search *search, struct store_sample_row *rows, size_t room,
                 uint64_t look, size_t *n, struct err *err);

/* store_sample_row - one sample, left behind or not; pixels (may be NULL) as store_sample(). 1 found, 0 not, -1 error: ERR_GONE where
 * it was forgotten, or is being. */
int store_sample_row(struct store *store, int64_t id, struct store_sample_row *row, uint8_t *pixels, size_t n_input,
                     struct err *err);

/* store_export - the next samples of the live lineage with ids from *next to `last`, oldest first, with their images: rows [room], pixels
 * [room][n_input]; *n: how many. *next goes on; 0: that was all. Errors: ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. */
int store_export(struct store *store, int64_t *next, int64_t last, struct store_sample_row *rows, uint8_t *pixels,
                 size_t n_input, size_t room, size_t *n, struct err *err);

/* store_live_samples - how many samples the live lineage has, without those that were forgotten. Costs some index look-ups, and 0.2 us
 * for each that was. Errors: ERR_STORAGE, ERR_MEMORY. */
int store_live_samples(struct store *store, uint64_t *n, struct err *err);

/* Outcomes of a part of the live lineage. */
struct store_window {
    uint64_t first, last; /* which: numbers in the order of training, from 1, of what was not forgotten */
    uint64_t n, correct;  /* out: samples, and those predicted right                           */
    uint64_t n_losses;    /* out: whose loss is a number                                       */
    double loss_sum;      /* out: of these                                                     */
};

/* store_windows - fills in what is out of each. Costs 0.4 us a sample. Errors: ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. */
int store_windows(struct store *store, struct store_window *windows, size_t n, struct err *err);

/* ---- two revisions compared ---- */

/* The samples that one of two revisions has learned from and the other has not, newest first; as they are now: with the labels that
 * edits gave them, and without those that were forgotten. Where one revision lies on the other's line, they came between. */
struct store_lineage_diff;

struct store_lineage_diff_sample {
    int64_t id;
    uint32_t label; /* index of its class on the lineage that has it       */
    bool of_b;      /* b has learned from it, else a                     */
};

/* store_lineage_diff_open - Errors: ERR_NOT_FOUND (no such revision), ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. Owns: the caller;
 * store_lineage_diff_close(), NULL is fine. store_lineage_diff_both - each of them has events that the other has not: neither lies on the
 * other's line. */
int store_lineage_diff_open(struct store_lineage_diff **out, struct store *store, uint64_t a, uint64_t b,
                            struct err *err);
bool store_lineage_diff_both(const struct store_lineage_diff *lineage_diff);

/* store_lineage_diff_next - 1: the next one, with its n_input bytes in `pixels`; 0: that was all; -1. Lets go of the database between two
 * calls: the store may be used for other things. Costs 5 us. */
int store_lineage_diff_next(struct store_lineage_diff *lineage_diff, struct store_lineage_diff_sample *sample,
                            uint8_t *pixels, size_t n_input, struct err *err);
void store_lineage_diff_close(struct store_lineage_diff *lineage_diff);

/* ---- rehearsals ---- */

/* store_rehearsable - how many samples of the live lineage have ids from *first_id to *last_id, as of the log's end; narrows the
 * range to the first and last of them (n 0: leaves it). What a rehearse event needs to know. Reads one index: 60,000 samples
 * in 10 ms, but remembers the answer, which stays true until the next activate event. */
int store_rehearsable(struct store *store, int64_t *first_id, int64_t *last_id, uint64_t *n, struct err *err);

/* What a rehearse event trains on, place after place. Zeros to begin with; rehearse_pictures_free(). */
struct rehearse_pictures {
    uint32_t *labels; /* columns; EDIT_FORGET: the place is empty */
    uint8_t *pixels;  /* [n_input] each                           */
    size_t room;
};

/* store_rehearse_read - what the event needs of the log, so that store_rehearse_apply() cannot fail once the event is in it: one step on
 * each of its places' samples, in order; sets the learner's revision. store_rehearse - both, as a replay does.
 * Errors: ERR_DB_CORRUPT (also where the live lineage has not `n` samples in the range), ERR_STORAGE, ERR_MEMORY; then the
 * learner has seen a part of them: throw it away. */
int store_rehearse_read(struct rehearse_pictures *pictures, struct store *store, const struct learner *learner,
                        const struct event *event, struct err *err);
int store_rehearse_apply(struct learner *learner, const struct event *event, const struct rehearse_pictures *pictures,
                         struct err *err);
int store_rehearse(struct store *store, struct learner *learner, const struct event *event, struct err *err);
void rehearse_pictures_free(struct rehearse_pictures *pictures);

/* store_rehearse_memory - how many bytes of pictures may stay in memory from one chunk to the next (default: 4 MiB). Taken
 * as needed; store_rehearse_end() gives them back, and forgets which samples are live. */
int store_rehearse_memory(struct store *store, size_t bytes, struct err *err);
void store_rehearse_end(struct store *store);

struct store_verdict {
    uint64_t revision, step, events, samples; /* walked */
    unsigned snapshots;                       /* compared */
    uint8_t digest[DIGEST_BYTES];             /* of the state replayed from nothing, or from the baseline */
    uint64_t baseline;                        /* revision from which on everything was replayed: 1, or the baseline's */
    char before[ARITHMETIC_BYTES]; /* that made what is before it: only the chain of that was proved; "": none */
    uint64_t kept;                 /* as in struct store_baseline: of the log before it nothing was proved */
};

/* store_verify - SQLite's integrity check, every chain link, replay from nothing (or from the baseline), every
 * snapshot's digest and every sample's recorded outcome against the replay. Errors: ERR_DB_CORRUPT naming the first difference. */
int store_verify(struct store *store, const struct arith *arith, store_progress *progress, void *context,
                 struct store_verdict *out, struct err *err);

/* ---- a copy ---- */

/* A copy of the whole database, made in steps while the store is used: it is the database as it is at the last step, log, snapshots and
 * all, and is opened like any other. */
struct store_backup;

/* store_backup_begin - to a new file `path`, which appears when it is whole and on the disk; or, where path is NULL, to a file without a
 * name beside the database, which is gone with its descriptor. Errors: those of store_create() for the path.
 * store_backup_step - for about so many microseconds: 1: there is more; 0: whole; -1: ERR_STORAGE_FULL, ERR_STORAGE, ERR_MEMORY,
 * ERR_CONFLICT (the file is there by now). Not while a group is open.
 * store_backup_take - the descriptor of a whole copy without a name, for reading; the caller's from then on. -1: taken.
 * store_backup_end - NULL is fine; of what is not whole nothing stays. */
int store_backup_begin(struct store_backup **out, struct store *store, const char *path, struct err *err);
int store_backup_step(struct store_backup *backup, uint64_t us, struct err *err);
void store_backup_progress(const struct store_backup *backup, uint64_t *done_bytes, uint64_t *total_bytes);
int store_backup_take(struct store_backup *backup);
void store_backup_end(struct store_backup *backup);

/* ---- compaction: a log that does not grow for ever ---- */

/* store_keep_samples - how many of the newest samples of the log, at least, store_compact() leaves; 0, as at first: all. */
void store_keep_samples(struct store *store, uint64_t n);

/* store_compact - makes the newest snapshot that has as many samples behind it the baseline, by an event, and the learner's revision, the end of the
 * log, becomes that of the event. Samples up to the baseline are kept no more, and neither is a snapshot before it that is not pinned; what they
 * taught stays in the model. Not in a group; not while a replayer is open, nor a rehearsal on the way. Costs as much as reading a snapshot.
 * 1: done; 0: there is none, it would take less than a quarter of so many with it, or an edit is on the way; -1: ERR_DB_CORRUPT (the snapshot
 * does not prove), ERR_STORAGE, ERR_STORAGE_FULL, ERR_MEMORY: all is as it was.
 * store_compact_sweep - deletes n more rows, 256 at most, of what a compaction, of this process or an earlier one, has left to be deleted. 1: there are
 * more; 0; -1. Costs 40 us a sample.
 * store_compacted - samples that it deleted since the store was opened. */
int store_compact(struct store *store, struct learner *learner, struct err *err);
int store_compact_sweep(struct store *store, int64_t n, struct err *err);
uint64_t store_compacted(const struct store *store);

/* ---- upkeep ---- */

uint64_t store_wal_bytes(struct store *store);
/* store_checkpoint - copies the WAL into the database, so that the next commit writes over it from its start. That is the better for its
 * length: a commit that makes no file longer is one write of data, and a sync has no blocks to allocate and no length to write down.
 * With truncate the file is made empty, so that what was forgotten does not stand in its old frames either. */
int store_checkpoint(struct store *store, bool truncate, struct err *err);
/* store_now_us - microseconds since 1970: the one clock of the log. */
int64_t store_now_us(void);

#endif
