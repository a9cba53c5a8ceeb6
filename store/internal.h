/* internal.h - what the files of store/ share and nobody else sees. Each folder's door
 * lists its files: store/store.h, store/sqlite/sqlite.h, store/log/log.h, store/replay/replay.h.
 */
#ifndef CONVD_STORE_INTERNAL_H
#define CONVD_STORE_INTERNAL_H

#include "store/journal.h"
#include "store/log/chain.h"
#include "store/log/event_codec.h"
#include "store/log/row.h"
#include "store/replay/edits.h"
#include "store/sqlite/db.h"
#include "store/sqlite/file.h"
#include "store/store.h"

#define STORE_NUMBER_MAX INT64_C(0x1fffffffffffff) /* 2^53 - 1: revisions, ids and times in the file are at most that */

/* Where the log ends: moved by append, put back by rollback. */
struct log_end {
    uint64_t revision;
    int64_t next_sample;
    uint8_t chain[CHAIN_BYTES];
};

struct rehearsal; /* store/log/rehearsal.c's */

/* Between `from` and an edit event, what was recorded of samples when they were trained is not what a replay gives. */
struct edit_span {
    uint64_t from, event;
};

/* Which classes were removed, and how far their numbers are from the columns; zeros: none was. */
struct columns {
    bool removed[SHAPE_CLASSES_MAX];
    uint16_t below[SHAPE_CLASSES_MAX]; /* removed ones below that number                                       */
    uint16_t above[SHAPE_CLASSES_MAX]; /* and below that of the class in that column                            */
    uint32_t n_removed;
};

#define OUTCOMES_MANY 512u /* a page more in each small transaction would cost a tenth of it */

/* What was made of samples that are in the log, and is not in table outcome yet. */
struct outcomes {
    struct outcome_due {
        int64_t sample;
        uint64_t step;
        uint32_t predicted; /* the class's number */
        float loss;
        bool refused;
    } * rows;
    size_t n, room;
    size_t n_before;  /* of them before the open group                         */
    size_t n_written; /* of them in the table, if the open group is committed  */
    uint64_t n_due;   /* samples that were appended and have no outcome so far */
};

/* What the row of a sample said about the prediction, beside the image in struct sample. */
struct outcome_row {
    bool known; /* it has an outcome; only the last of the log may have none        */
    uint32_t predicted;
    float loss;
    uint32_t label; /* as the row has it, EDIT_FORGET where it was forgotten      */
    uint32_t now;   /* after all edits of the log                                 */
};

/* Reads the rows after a revision, one by one and without a gap, with every link of the chain checked. */
struct log_reader {
    struct store *store;
    uint8_t chain[CHAIN_BYTES]; /* of the row that was read last                              */
    struct event event;         /* the row; of a create event only kind, revision, created_us */
    struct outcome_row *rows;   /* [event.as.train.n]                                         */
    struct sample *samples;     /* what event.as.train.samples points at                      */
    uint8_t *pixels;
    size_t room;         /* samples that fit                                            */
    uint32_t n_row;      /* samples of the row, forgotten ones as well                  */
    int64_t n_samples;   /* read so far, forgotten ones as well                         */
    int64_t n_outcomes;  /* of them that have one                                       */
    int64_t lacking;     /* the first that has none; 0: all have                        */
    uint64_t lacking_at; /* and its revision                                            */
    bool whole;          /* nothing is written meanwhile: only the last may have none   */
    int64_t next_sample; /* that SAMPLES_FROM gives next; 0: it is not in use           */

    /* Edits. event.as.train has what is left of the event's samples, with their labels of now. */
    bool skip;                   /* a class event of a class that was removed                    */
    bool recorded;               /* rows[] is what a replay must give                           */
    bool prove_later;            /* who reads proves the rows of edit events                    */
    const struct edits *overlay; /* to be taken as if they were in the log already; or NULL     */
    bool forgets;                /* some of them forget samples of this event:                  */
    uint8_t left[CHAIN_BYTES];   /* hash over what would be left, for table edited              */
};

#define COMPACTION_ROWS 256 /* in one piece, at most */

/* How far what a baseline takes with it has gone: store/replay/compaction.c. */
struct compaction {
    enum { COMPACTION_UNKNOWN, COMPACTION_SAMPLES, COMPACTION_EVENTS, COMPACTION_THROUGH } stage;
    int64_t *held; /* [n_held], ascending: ids in the replay buffer of the baseline; owned */
    size_t n_held;
    uint64_t begin;        /* revision: rows after it stay, and it               */
    int64_t end;           /* id of the first sample after it                    */
    int64_t sample, event; /* the next to be looked at                           */
    uint64_t n_deleted;    /* samples, since the store was opened                */
};

struct store {
    struct journal journal;     /* the first, so that it leads here */
    struct log_reader follower; /* of journal.read             */
    struct db *db;
    struct rehearsal *rehearsal; /* NULL until the first */
    struct origin origin;
    bool in_group;
    struct log_end end, end_at_begin;
    struct outcomes outcomes;
    struct store_baseline baseline;        /* of the log, as far as it is written      */
    char before[ARITHMETIC_BYTES];         /* that made what is before it; "": nothing is */
    uint8_t baseline_digest[DIGEST_BYTES]; /* of its state, where its revision is not 1  */
    uint64_t keep_samples;                 /* store_keep_samples()                     */
    struct compaction compaction;
    struct edit_span *spans; /* of every edit event, in their order                              */
    size_t n_spans;
    struct columns columns;
    struct columns *columns_at_begin; /* of a group that has an edit event: those, and n_spans, before; else NULL */
    size_t n_spans_at_begin;
    size_t n_folded;             /* edits that the state which follows the log has: all but in a shared log  */
    bool classes_due;            /* table class may not have what an edit has brought into it                   */
    uint32_t n_ahead;            /* edits whose rows are there before their events, in the open group         */
    uint64_t class_changes;      /* events of classes, and ways back, that were written                      */
    const struct edits *overlay; /* of a replay at work: edits that are not in the log yet, or NULL  */
    struct yield *yield;         /* store_yield()                                               */
    int64_t keys_us;             /* what store/log/keys.c's clock is ahead of the system's monotonic one       */
    bool salvaging;              /* a state whose replay buffer cannot be proved is better than none          */
    bool recovering;             /* outcomes that the table lacks are kept for it                    */
    enum event_kind rare;        /* of rare_event_next()                                             */
};

/* ---- store/log/log.c: writing ---- */

/* log_write - inserts the event's row and samples at the end of the log and moves the end; the group is open. */
int log_write(struct store *store, struct event *event, const uint8_t digest[DIGEST_BYTES], struct err *err);

/* log_abandon - after an error: rolls back and puts the end back. Returns -1. */
int log_abandon(struct store *store);

/* log_writable - ERR_DB_READONLY where the store was opened for reading. */
int log_writable(const struct store *store, struct err *err);

/* ---- store/log/reader.c ---- */

/* log_read_open - chain: of the row of revision `after`; zeros for 0. One reader at a time per store. */
void log_read_open(struct log_reader *reader, struct store *store, uint64_t after, const uint8_t chain[CHAIN_BYTES]);
/* log_read_next - 1: reader->event is the next; 0: the end; -1: ERR_DB_CORRUPT naming the revision, or other errors. */
int log_read_next(struct log_reader *reader, struct err *err);
void log_read_close(struct log_reader *reader);
/* log_read_pause - lets go of the database: what was read last stays. log_read_resume - goes on behind it. log_read_init - opens
 * one that is paused. */
void log_read_init(struct log_reader *reader, struct store *store, uint64_t after, const uint8_t chain[CHAIN_BYTES]);
void log_read_pause(struct log_reader *reader);
void log_read_resume(struct log_reader *reader);

/* log_chain_at - the chain of a row; zeros for 0. */
int log_chain_at(struct store *store, uint64_t revision, uint8_t chain[CHAIN_BYTES], struct err *err);

/* ---- store/log/rare_events.c ---- */

/* rare_events - those of a kind that is not train, first .. last in their order; one walk at a time. rare_event_next - 1: *event is the
 * next, and why->code is ERR_NONE, or its body does not say what it should, and *why says why: what of it is damage is for a replay to find, and to
 * name; 0: the end; -1. rare_events_end - for who stops earlier. */
void rare_events(struct store *store, enum event_kind kind, uint64_t first, uint64_t last);
int rare_event_next(struct store *store, struct event *event, struct err *why, struct err *err);
void rare_events_end(struct store *store);

/* ---- store/log/outcomes.c ---- */

/* outcomes_reserve - memory for so many more, so that store_outcomes() cannot fail. outcomes_write - into the table, in the open transaction;
 * outcomes_committed, outcomes_rollback - what became of it. outcomes_lack - a replay gave this event's outcomes, which the table has not.
 * outcomes_show (log.c) - into the table, before somebody reads it; not in a group. Where that fails, the last outcomes are not seen yet. */
int outcomes_reserve(struct store *store, uint64_t n, struct err *err);
int outcomes_write(struct store *store, struct err *err);
void outcomes_committed(struct store *store);
void outcomes_rollback(struct store *store);
int outcomes_show(struct store *store, struct err *err);
int outcomes_lack(struct store *store, const struct event *event, struct err *err);
/* outcomes_pack - those of samples first .. first + n - 1 in the table, OUTCOME_BYTES each; without an outcome: as forgotten. outcomes_unpack - into
 * the table, in the open group, but for samples that are forgotten. Errors: ERR_DIVERGED (they are none), ERR_STORAGE. */
#define OUTCOME_BYTES 20u
int outcomes_pack(uint8_t *rows, struct store *store, int64_t first, uint32_t n, struct err *err);
int outcomes_unpack(struct store *store, const uint8_t *rows, int64_t first, uint32_t n, struct err *err);

/* ---- journal.c ---- */

void journal_init(struct store *store);

/* ---- store.c ---- */

/* What is read when a file is opened: the create event, and where the log ends. Errors: ERR_DB_CORRUPT names the row. */
int store_read_origin(struct store *store, struct err *err);
int store_read_end(struct store *store, struct err *err);

/* ---- store/log/classes.c: the class table, in the open group ---- */

int classes_create(struct store *store, const struct event *create, struct err *err);
int classes_apply(struct store *store, const struct event *event, struct err *err); /* class and activate */
/* classes_write - the table becomes the learner's. */
int classes_write(struct store *store, const struct learner *learner, struct err *err);
/* classes_check - ERR_DB_CORRUPT where the table is not the learner's. */
int classes_check(struct store *store, const struct learner *learner, struct err *err);

/* ---- store/log/lineage.c: which events lead to a revision ---- */

/* Stretches of the log, both ends included, newest first. All but the last begin with an activate event. */
struct lineage {
    struct span {
        uint64_t first, last;
    } * spans;
    size_t n;
};

/* lineage_init - the lineage that leads to a revision (1 up to the last). Owns: the caller; lineage_fini(), also after failure. */
int lineage_init(struct lineage *lineage, struct store *store, uint64_t revision, struct err *err);
/* lineage_find - the same, but where a damaged activate event does not say where it goes, the lineage ends there, at a span that
 * does not begin with revision 1: enough for who starts from a snapshot that is on it. lineage_check() tells: ERR_DB_CORRUPT. */
int lineage_find(struct lineage *lineage, struct store *store, uint64_t revision, struct err *err);
int lineage_check(const struct lineage *lineage, struct err *err);
void lineage_fini(struct lineage *lineage);
bool lineage_has(const struct lineage *lineage, uint64_t revision);
/* lineage_turn - the last activate event at or before a revision; 0: none. Two revisions with the same one are on one lineage.
 * Errors: ERR_DB_CORRUPT (a damaged index), ERR_STORAGE. */
int lineage_turn(uint64_t *turn, struct db *db, uint64_t revision, struct err *err);

/* ---- store/log/samples.c ---- */

/* sample_read - as store_sample(), with the revision of the event that it came with; a forgotten one is found, with the label
 * EDIT_FORGET and no pixels. */
int sample_read(struct store *store, int64_t id, uint64_t *revision, uint32_t *label, uint8_t *pixels, size_t n_input,
                struct err *err);

/* samples_of_span - the ids of its samples, those that were forgotten as well; *low is 0, or above *high, where there are none. */
int samples_of_span(int64_t *low, int64_t *high, struct store *store, const struct span *span, struct err *err);

/* ---- store/log/columns.c: numbers of classes in the file, and columns of the model ---- */

#define CLASS_NONE UINT32_MAX

bool class_is_removed(const struct store *store, uint32_t id);
/* class_column - CLASS_NONE where it was removed. class_id - the way back. */
uint32_t class_column(const struct store *store, uint32_t id);
uint32_t class_id(const struct store *store, uint32_t column);
int columns_read(struct store *store, struct err *err);
/* columns_remove - one more. */
void columns_remove(struct store *store, uint32_t id);

/* edits_begin - before an edit event of the open group changes store->spans and columns: a rollback brings back what they were. Room for one span more.
 * edits_end - the group is over. */
int edits_begin(struct store *store, struct err *err);
void edits_end(struct store *store, bool committed);

/* columns_create - the state of the create event without removed classes; weights drawn. columns_strip - takes the column of
 * the class that is about to be removed out of given first weights. Errors: ERR_MEMORY. */
struct learner *columns_create(struct store *store, const struct arith *arith, struct err *err);
int columns_strip(struct learner **learner, struct store *store, struct err *err);

/* ---- store/log/meanings.c ---- */

struct meanings;

/* meanings_open - reads all class events, 3 us each. Errors: ERR_STORAGE, ERR_MEMORY. Owns: the caller; meanings_close(), also after
 * failure; NULL is fine. meanings_check - whether this edit may bring its class along, and those before it: ERR_CONFLICT. Costs some ns
 * a class, and the first time for each class some ns a class event. */
int meanings_open(struct meanings **out, struct store *store, const struct lineage *lineage, struct err *err);
int meanings_check(struct meanings *meanings, const struct store *store, const struct edit *edit, struct err *err);
void meanings_close(struct meanings *meanings);

/* ---- store/log/edit_rows.c ---- */

/* edit_spans_read - store->spans, from the bodies of the edit events; a damaged one is left out: who reads its row will name it. */
int edit_spans_read(struct store *store, struct err *err);
/* edits_any - whether a replay has to look for edits at all. */
bool edits_any(const struct store *store);
/* edits_touch - whether outcomes that were recorded at that revision may differ from those of a replay. */
bool edits_touch(const struct store *store, uint64_t revision);

/* A train event of which something was forgotten. */
struct edited {
    uint64_t revision;
    uint8_t hash[CHAIN_BYTES]; /* over what is left */
};

/* edits_apply - the class that a sample has with these edits, which has `label` without. */
uint32_t edits_apply(const struct edits *edits, int64_t id, uint32_t label);

/* edit_bind_into, edit_into - the class that a sample gets, in a row; NULL is EDIT_FORGET. */
void edit_bind_into(struct db *db, enum statement which, int place, uint32_t into);
uint32_t edit_into(const struct db *db, enum statement which, int column);

/* The hash over the rows of one edit event, which grows with them: in table edit, by sample, in table edited, by revision, and in table
 * class_removed.
 *     SHA-256( SHA-256( for each: sample (8), was (4), label (4; all ones: forgotten) ),
 *              SHA-256( for each: revision (8), hash (32) ),
 *              SHA-256( for a class: all ones (8), id (4), merged_into (4; all ones: deleted) ) ) */
struct edit_hash {
    struct sha256_ctx edits, edited, removed;
};
void edit_hash_init(struct edit_hash *hash);
void edit_hash_add(struct edit_hash *hash, int64_t sample, uint32_t was, uint32_t label);
void edit_hash_add_edited(struct edit_hash *hash, uint64_t revision, const uint8_t left[CHAIN_BYTES]);
void edit_hash_add_removed(struct edit_hash *hash, uint32_t removed, uint32_t into);
void edit_hash_end(struct edit_hash *hash, uint8_t out[CHAIN_BYTES]);

/* Compares the rows of an edit event with its body: edit_prove() at once, or in pieces, 2 us a row: edit_proof_init() of an event that was read,
 * edit_proof_find() of one by its revision, then edit_proof_step(), n rows of each table; 1: there may be more; 0: they are right.
 * Errors: ERR_DB_CORRUPT, naming the revision. */
int edit_prove(struct store *store, const struct event *event, struct err *err);
struct edit_proof {
    struct event event;
    struct edit_hash hash;
    uint64_t n;               /* rows of table edit so far          */
    int64_t sample, revision; /* the last rows of edit, and of edited */
};
void edit_proof_init(struct edit_proof *proof, const struct event *event);
int edit_proof_find(struct edit_proof *proof, struct store *store, uint64_t revision, struct err *err);
int edit_proof_step(struct edit_proof *proof, struct store *store, size_t n, struct err *err);

/* ---- store/log/row_edits.c: an edit's rows as one run of bytes, struct log_row ---- */

/* edit_pack - the rows of that edit event, which are in the tables; *pack is the caller's, edit_pack_fini(), also after failure. edit_pack_edit,
 * edit_pack_edited - one more, in their order; a class is sample -1. edit_pack_hash - as the body has it; -1: so long are no rows. edit_unpack - into
 * the tables. Errors: ERR_DIVERGED (they are not what the body says), .. */
struct edit_pack {
    uint8_t *bytes;
    size_t n, room;
    int64_t *events, *samples; /* [n_erase] */
    size_t n_erase, events_room, samples_room;
};
int edit_pack(struct edit_pack *pack, struct store *store, const struct event *event, struct err *err);
int edit_pack_edit(struct edit_pack *pack, int64_t sample, uint32_t was, uint32_t label, struct err *err);
int edit_pack_edited(struct edit_pack *pack, uint64_t revision, const uint8_t hash[CHAIN_BYTES], struct err *err);
int edit_pack_hash(uint8_t out[CHAIN_BYTES], const uint8_t *bytes, size_t n, uint32_t n_edits);
void edit_pack_fini(struct edit_pack *pack);
int edit_unpack(struct store *store, const struct event *event, const uint8_t *bytes, size_t n, struct err *err);

/* ---- store/log/keys.c ---- */

/* keys_open - the clock of the keys goes on. keys_forget - of the keys of that event, of which an image was forgotten, the fingerprints
 * go as well; one of a prediction (unprintable: routes/predictions.c) has no image in it. */
int keys_open(struct store *store, struct err *err);
int keys_forget(struct store *store, uint64_t revision, struct err *err);

/* ---- store/log/baseline_read.c: from where on the log replays to the same bits ---- */

/* baseline_read - store->baseline, from the create event and the last baseline event. Errors: ERR_DB_CORRUPT, .. */
int baseline_read(struct store *store, struct err *err);
/* baseline_apply - the same by one more such event. */
void baseline_apply(struct store *store, const struct event *event);
/* baseline_replays - whether what came into the log with that revision can be taken otherwise: the fold goes over it. */
bool baseline_replays(const struct store *store, uint64_t revision);
/* baseline_first_kept - the lowest id of the samples after that revision; the next to be given where there is none.
 * baseline_samples_after - how many the log got after it. */
int baseline_first_kept(int64_t *id, struct store *store, uint64_t revision, struct err *err);
int baseline_samples_after(uint64_t *n, struct store *store, uint64_t revision, struct err *err);
/* baseline_dropped - 1: there was such a sample, and it came before those that are kept; 0; -1. baseline_refuse_dropped - with that code. */
int baseline_dropped(struct store *store, int64_t id, struct err *err);
int baseline_refuse_dropped(const struct store *store, enum err_code code, int64_t id, struct err *err);
/* log_begin - the revision after which the log has every row: 0; where samples are not kept, that of the baseline, or an earlier one where a
 * rehearsal behind it reads samples from before it. */
int log_begin(uint64_t *revision, struct store *store, struct err *err);
/* baseline_is_ours - whether the log ends in this convd's arithmetic; baseline_refuses - ERR_GONE where that revision is before it. */
bool baseline_is_ours(const struct store *store);
int baseline_refuses(const struct store *store, uint64_t revision, struct err *err);

/* ---- store/replay/baseline.c ---- */

/* baseline_take - this state, which another arithmetic's snapshot of revision `from` and the log after it gave, is what goes on: baseline
 * event and pinned snapshot, in one transaction. The learner's revision becomes the event's. */
int baseline_take(struct store *store, struct learner *learner, uint64_t from, struct err *err);

/* ---- store/replay/compaction.c ---- */

/* compaction_pays - whether a baseline that leaves so many of so many samples takes enough with it, a quarter of what is to be kept: the work is
 * then a small part of what training them was. */
bool compaction_pays(const struct store *store, uint64_t n_now, uint64_t n_left);
/* compaction_fini - as if nothing had been looked at; what was deleted stays counted. */
void compaction_fini(struct store *store);

/* ---- store/log/rehearsal.c ---- */

/* rehearsal_reset - forgets which samples are live and their pixels: whenever rows of table sample went or changed. NULL is
 * fine, as for rehearsal_free(). */
void rehearsal_reset(struct rehearsal *rehearsal);
void rehearsal_free(struct rehearsal *rehearsal);

/* ---- store/replay/snapshots.c ---- */

/* snapshot_write - in the open transaction; of the log's last revision, or of an earlier one that another machine has made it of. */
int snapshot_write(struct store *store, const struct learner *learner, const char *reason, const char *note,
                   bool pinned, struct store_snapshot *out, struct err *err);
/* snapshot_write_at - the same of an earlier revision, whose row has that link. snapshot_gone - it is none any more, or one from now on. */
int snapshot_write_at(struct store *store, const struct learner *learner, const uint8_t chain[CHAIN_BYTES],
                      const char *reason, bool pinned, struct store_snapshot *out, struct err *err);
int snapshot_gone(struct store *store, int64_t id, bool gone, struct err *err);
/* snapshot_read - the state, after checking it against its digest and its row; its revision is the row's. The images of
 * its replay buffer are not there yet: nothing may be learned before replay_buffer_read(). */
int snapshot_read(struct learner **out, struct store *store, int64_t id, const struct arith *arith, struct err *err);

/* snapshot_read_any - the same, whatever arithmetic has made it: for comparing, and for going on from it. */
int snapshot_read_any(struct learner **out, struct store *store, int64_t id, const struct arith *arith,
                      struct err *err);

/* snapshot_sweep - deletes one that is none any more. 1, 0: there is none; -1. */
int snapshot_sweep(struct store *store, struct err *err);

/* snapshot_shape - the shape that a snapshot's state says, before any digest. Errors: ERR_DB_CORRUPT, ERR_MEMORY, ERR_STORAGE. */
int snapshot_shape(struct shape *shape, struct store *store, int64_t id, const struct arith *arith, struct err *err);

/* ---- store/replay/replay_buffer.c ---- */

/* replay_buffer_read - brings the images of the replay buffer of a state that snapshot_read() gave, from table sample, by id. Errors: ERR_DB_CORRUPT
 * where they are not what the state's digest covers. Costs 3 us an image. */
int replay_buffer_read(struct learner *learner, struct store *store, struct err *err);

/* ---- store/replay/replayer.c ---- */

struct store_replayer;
/* replayer_edited - the train events that the replay's edits forget something of, by revision. */
const struct edited *replayer_edited(const struct store_replayer *replayer, size_t *n);

/* How much of what the replay's edits will leave is written down: store_edits_stage(). */
struct edit_stage {
    uint64_t number;       /* of the rows; 0: it has not begun                */
    size_t n, n_edited;    /* rows that are there, in the order of the lists  */
    struct edit_hash hash; /* over them                                       */
    int64_t *snapshots;    /* ids of those that were written on the way       */
    size_t n_snapshots, room;
};
struct edit_stage *replayer_stage(struct store_replayer *replayer);

/* ---- store/replay/edits.c: parts of the one transaction ---- */

/* edits_write_origin - the first state without the class that the edit removes, where it was in it. */
int edits_write_origin(struct store *store, const struct edits *edits, const struct arith *arith, struct err *err);

/* ---- store/replay/edits_seen.c: snapshots that saw, and those in their place ---- */

/* edits_seen_at - the revisions of that lineage which have snapshots that saw, in order; free() also after failure. */
int edits_seen_at(uint64_t **revisions, size_t *n, struct store *store, const struct lineage *lineage,
                  const struct edits *edits, struct err *err);
/* edits_gone_at - of those that edits of the log have taken away already, and that are not swept yet. */
int edits_gone_at(uint64_t **revisions, size_t *n, struct store *store, const struct lineage *lineage, struct err *err);

/* edits_stage_begin - a number for the rows and snapshots that are written before the edit, after those of all edits that were made. What those have
 * left to be swept goes first, n samples at a time. 1: call again, until the stage has a number; -1.
 * edits_stage_snapshot - of the state that is rebuilt, at a revision whose row has that link, in place of one that saw: none until the
 * take-over, and swept if there is none. Where the disk is full the edit goes without. 1: call again; 0; -1.
 * edits_put_snapshot - of an edit that is in the log already, it is one at once. */
int edits_stage_begin(struct edit_stage *stage, struct store *store, size_t n, struct err *err);
int edits_stage_snapshot(struct edit_stage *stage, struct store *store, const struct learner *learner,
                         const uint8_t chain[CHAIN_BYTES], struct err *err);
int edits_put_snapshot(struct store *store, const struct learner *learner, const uint8_t chain[CHAIN_BYTES],
                       struct err *err);

/* In the transaction of the edit. edits_let_go - snapshots that saw are none from then on, pinned or not. edits_let_stay - those in their place are. */
int edits_let_go(struct store *store, const struct edits *edits, struct err *err);
int edits_let_stay(struct store *store, const struct edit_stage *stage, struct err *err);

/* ---- store/replay/edits_stage.c ---- */

/* edits_gather - the samples of the class that is removed, among the next n, into the list. 1: there are more; 0; -1. */
int edits_gather(struct store *store, struct edits *edits, int64_t n, struct err *err);

/* ---- store/replay/replay.c ---- */

/* replay_origin - the state of revision 1, from nothing but the log (and, for given weights, their pinned snapshot). */
int replay_origin(struct learner **out, struct store *store, const struct arith *arith, struct err *err);
/* replay_start - the newest good snapshot on the lineage of revision `upto` or before, or the origin. *after: the revision whose row
 * need not be read again. *buffer_unproved (only while salvaging): the images that it remembers are damaged, and so it must
 * not learn. Errors: ERR_DB_CORRUPT (there is none, not even the origin), ERR_STORAGE, ERR_MEMORY. */
int replay_start(struct learner **out, uint64_t *after, bool *buffer_unproved, struct store *store,
                 const struct lineage *lineage, uint64_t upto, const struct arith *arith, struct store_recovery *report,
                 struct err *err);
/* replay_state_at - the state as of that revision, 1 up to the last: newest good snapshot at or before it, plus replay. Fills *report,
 * whose `good` holds after an error as well. Errors: those of store_recover(). */
int replay_state_at(struct learner **out, struct store *store, uint64_t revision, const struct arith *arith,
                    store_progress *progress, void *context, struct store_recovery *report, struct err *err);
/* replay_check_end - ERR_DB_CORRUPT where a snapshot or a sample knows of a later revision than the log has. */
int replay_check_end(struct store *store, struct err *err);

/* replay_event - applies reader->event (not create, not activate) and compares the recorded outcomes. Errors: ERR_DB_CORRUPT.
 * replay_part - steps from .. from + n - 1 of it, of replay_steps(); one part after the other. */
uint64_t replay_steps(const struct event *event);
int replay_part(struct store *store, struct learner *learner, struct log_reader *reader, uint64_t from, uint64_t n,
                struct err *err);
int replay_event(struct store *store, struct learner *learner, struct log_reader *reader, struct err *err);

#endif
