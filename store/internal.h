/* internal.h - what the files of store/ share and nobody else sees. Each folder's door
 * lists its files: store/store.h, store/sqlite/sqlite.h, store/log/log.h, store/replay/replay.h.
 */
#ifndef CONVD_STORE_INTERNAL_H
#define CONVD_STORE_INTERNAL_H

#include "store/log/chain.h"
#include "store/replay/edits.h"
#include "store/sqlite/db.h"
#include "store/sqlite/file.h"
#include "store/store.h"

/* Where the log ends: moved by append, put back by rollback. */
struct log_end {
    uint64_t revision;
    int64_t next_sample;
    uint8_t chain[CHAIN_BYTES];
};

/* The create event as it was read, with memory of its own. */
struct origin {
    struct event event; /* k, w01, w12 are NULL, also where they were given                     */
    bool given;         /* the first weights are in the pinned snapshot of revision 1           */
    uint8_t digest[DIGEST_BYTES];
    char arithmetic[ARITHMETIC_BYTES]; /* that it was made by */
    char (*labels)[LABEL_BYTES_MAX + 1];
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

struct store {
    struct db *db;
    struct rehearsal *rehearsal; /* NULL until the first */
    struct origin origin;
    bool in_group;
    struct log_end end, end_at_begin;
    struct store_ground ground;    /* of the log, as far as it is written      */
    char before[ARITHMETIC_BYTES]; /* that made what is before it; "": nothing is */
    struct edit_span *spans;       /* of every edit event, in their order                              */
    size_t n_spans;
    struct columns columns;
    uint64_t class_changes;      /* events of classes, and ways back, that were written                      */
    const struct edits *overlay; /* of a replay at work: edits that are not in the log yet, or NULL  */
    struct rest *rest;           /* store_rest()                                               */
    int64_t keys_us;             /* what store/log/keys.c's clock is ahead of the system's monotonic one       */
    bool salvaging;              /* a state whose pool cannot be proved is better than none          */
};

/* ---- store/log/event_write.c ---- */

/* event_body - the JSON of an event, malloc'ed. digest: of the state after a create event, else unused. */
int event_body(char **body, struct db *db, const struct event *event, const uint8_t digest[DIGEST_BYTES],
               struct err *err);

/* event_weights_given - whether a create event brings its first weights along. */
bool event_weights_given(const struct event *create);

/* class_action_name - the word in the JSON. */
const char *class_action_name(enum class_action action);

/* ---- store/log/event_read.c ---- */

/* What the body of a train event says about its samples. */
struct sample_run {
    int64_t first;
    uint32_t n;
};

/* event_parse - fills event->as from the body of a row whose kind is set (not create). A train event gets n, and *run.
 * Errors: ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. */
int event_parse(struct event *event, struct sample_run *run, struct db *db, const char *body, size_t n_body,
                struct err *err);

/* event_parse_create - errors as event_parse(). */
int event_parse_create(struct origin *origin, struct db *db, const char *body, size_t n_body, struct err *err);
void origin_fini(struct origin *origin);

/* event_kind_parse - 0 for a word that is none. */
enum event_kind event_kind_parse(const char *word);

/* ---- store/log/log.c: writing ---- */

/* log_write - inserts the event's row and samples at the end of the log and moves the end; the group is open. */
int log_write(struct store *store, struct event *event, const uint8_t digest[DIGEST_BYTES], struct err *err);

/* log_abandon - after an error: rolls back and puts the end back. Returns -1. */
int log_abandon(struct store *store);

/* log_writable - ERR_DB_READONLY where the store was opened for reading. */
int log_writable(const struct store *store, struct err *err);

/* ---- store/log/reader.c ---- */

/* What the row of a sample said about the prediction, beside the image in struct sample. */
struct outcome_row {
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
    int64_t next_sample; /* that SAMPLES_FROM gives next; 0: it is not in use           */

    /* Edits. event.as.train has what is left of the event's samples, with their labels of now. */
    bool skip;                   /* a class event of a class that was removed                    */
    bool recorded;               /* rows[] is what a replay must give                           */
    const struct edits *overlay; /* to be taken as if they were in the log already; or NULL     */
    bool forgets;                /* some of them forget samples of this event:                  */
    uint8_t left[CHAIN_BYTES];   /* hash over what would be left, for table edited              */
};

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
struct line {
    struct stretch {
        uint64_t first, last;
    } * stretches;
    size_t n;
};

/* line_init - the line that leads to a revision (1 up to the last). Owns: the caller; line_fini(), also after failure. */
int line_init(struct line *line, struct store *store, uint64_t revision, struct err *err);
/* line_find - the same, but where a damaged activate event does not say where it goes, the line ends there, at a stretch that
 * does not begin with revision 1: enough for who starts from a snapshot that is on it. line_check() tells: ERR_DB_CORRUPT. */
int line_find(struct line *line, struct store *store, uint64_t revision, struct err *err);
int line_check(const struct line *line, struct err *err);
void line_fini(struct line *line);
bool line_has(const struct line *line, uint64_t revision);

/* ---- store/log/samples.c ---- */

/* sample_read - as store_sample(), with the revision of the event that it came with; a forgotten one is found, with the label
 * EDIT_FORGET and no pixels. */
int sample_read(struct store *store, int64_t id, uint64_t *revision, uint32_t *label, uint8_t *pixels, size_t n_input,
                struct err *err);

/* samples_of_stretch - the ids of its samples, those that were forgotten as well; *low is 0, or above *high, where there are none. */
int samples_of_stretch(int64_t *low, int64_t *high, struct store *store, const struct stretch *stretch,
                       struct err *err);

/* ---- store/log/columns.c: numbers of classes in the file, and columns of the model ---- */

#define CLASS_NONE UINT32_MAX

bool class_is_removed(const struct store *store, uint32_t id);
/* class_column - CLASS_NONE where it was removed. class_id - the way back. */
uint32_t class_column(const struct store *store, uint32_t id);
uint32_t class_id(const struct store *store, uint32_t column);
int columns_read(struct store *store, struct err *err);
/* columns_remove - one more. */
void columns_remove(struct store *store, uint32_t id);

/* columns_create - the state of the create event without removed classes; weights drawn. columns_strip - takes the column of
 * the class that is about to be removed out of given first weights. Errors: ERR_MEMORY. */
struct learner *columns_create(struct store *store, const struct arith *arith, struct err *err);
int columns_strip(struct learner **learner, struct store *store, struct err *err);

/* ---- store/log/meanings.c ---- */

struct meanings;

/* meanings_open - reads all class events, 3 us each. Errors: ERR_STORAGE, ERR_MEMORY. Owns: the caller; meanings_close(), also after
 * failure; NULL is fine. meanings_check - whether this edit may bring its class along, and those before it: ERR_CONFLICT. Costs some ns
 * a class, and the first time for each class some ns a class event. */
int meanings_open(struct meanings **out, struct store *store, const struct line *line, struct err *err);
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

/* edit_hash - over the rows of one edit event: in table edit, by sample, in table edited, by revision, and in table class_removed.
 *     SHA-256( for each: sample (8), was (4), label (4; all ones: forgotten); then for each: revision (8), hash (32);
 *              then for a class: all ones (8), id (4), merged_into (4; all ones: deleted) )
 * edit_prove - compares the rows of an edit event with its body. edit_prove_range - of those in that range of revisions.
 * Errors: ERR_DB_CORRUPT, naming the revision. */
void edit_hash(uint8_t out[CHAIN_BYTES], const struct edits *edits, const struct edited *edited, size_t n_edited);
int edit_prove(struct store *store, const struct event *event, struct err *err);
int edit_prove_range(struct store *store, uint64_t first, uint64_t last, struct err *err);

/* ---- store/log/keys.c ---- */

/* keys_open - the clock of the keys goes on. keys_forget - in the group of an edit event, whose rows are there: of keys whose requests
 * brought what it forgets, the fingerprints go as well; one of a prediction (unprintable: routes/predictions.c) has no image in it. */
int keys_open(struct store *store, struct err *err);
int keys_forget(struct store *store, uint64_t event, struct err *err);

/* ---- store/log/baseline_read.c: from where on the log is this arithmetic's ---- */

/* ground_read - store->ground, from the create event and the last ground event. Errors: ERR_DB_CORRUPT, .. */
int ground_read(struct store *store, struct err *err);
/* ground_is_ours - whether the log ends in this convd's arithmetic; ground_refuses - ERR_GONE where that revision is before it. */
bool ground_is_ours(const struct store *store);
int ground_refuses(const struct store *store, uint64_t revision, struct err *err);

/* ---- store/replay/baseline.c ---- */

/* ground_take - this state, which another arithmetic's snapshot of revision `from` and the log after it gave, is what goes on: ground
 * event and pinned snapshot, in one transaction. The learner's revision becomes the event's. */
int ground_take(struct store *store, struct learner *learner, uint64_t from, struct err *err);

/* ---- store/log/rehearsal.c ---- */

/* rehearsal_reset - forgets which samples are live and their pixels: whenever rows of table sample went or changed. NULL is
 * fine, as for rehearsal_free(). */
void rehearsal_reset(struct rehearsal *rehearsal);
void rehearsal_free(struct rehearsal *rehearsal);

/* ---- store/replay/snapshots.c ---- */

/* snapshot_write - in the open transaction. */
int snapshot_write(struct store *store, const struct learner *learner, const char *reason, const char *note,
                   bool pinned, struct store_snapshot *out, struct err *err);
/* snapshot_read - the state, after checking it against its digest and its row; its revision is the row's. The images of
 * its pool are not there yet: nothing may be learned before pool_read(). */
int snapshot_read(struct learner **out, struct store *store, int64_t id, const struct arith *arith, struct err *err);

/* snapshot_read_any - the same, whatever arithmetic has made it: for comparing, and for going on from it. */
int snapshot_read_any(struct learner **out, struct store *store, int64_t id, const struct arith *arith,
                      struct err *err);

/* snapshot_shape - the shape that a snapshot's state says, before any digest. Errors: ERR_DB_CORRUPT, ERR_MEMORY, ERR_STORAGE. */
int snapshot_shape(struct shape *shape, struct store *store, int64_t id, const struct arith *arith, struct err *err);

/* ---- store/replay/replay_buffer.c ---- */

/* pool_read - brings the images of the pool of a state that snapshot_read() gave, from table sample, by id. Errors: ERR_DB_CORRUPT
 * where they are not what the state's digest covers. Costs 3 us an image. */
int pool_read(struct learner *learner, struct store *store, struct err *err);

/* ---- store/replay/replayer.c ---- */

struct store_replayer;
/* replayer_edited - the train events that the replay's edits forget something of, by revision. */
const struct edited *replayer_edited(const struct store_replayer *replayer, size_t *n);

/* ---- store/replay/replay.c ---- */

/* replay_origin - the state of revision 1, from nothing but the log (and, for given weights, their pinned snapshot). */
int replay_origin(struct learner **out, struct store *store, const struct arith *arith, struct err *err);
/* replay_start - the newest good snapshot on the line of revision `ground` or before, or the origin. *after: the revision whose row
 * need not be read again. *pool_unproved (only while salvaging): the images that it remembers are damaged, and so it must
 * not learn. Errors: ERR_DB_CORRUPT (there is none, not even the origin), ERR_STORAGE, ERR_MEMORY. */
int replay_start(struct learner **out, uint64_t *after, bool *pool_unproved, struct store *store,
                 const struct line *line, uint64_t ground, const struct arith *arith, struct store_recovery *report,
                 struct err *err);
/* replay_state_at - as store_state_at(); fills *report, whose `good` holds after an error as well. */
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
