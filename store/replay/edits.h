/* edits.h - the past is changed: samples are forgotten, or get another label.
 *
 *     the model after an edit = the fold of the edited log, bit for bit: forgotten samples are skipped in every train and
 *     rehearse event, relabelled ones are trained on with their new label at their old place
 *
 * So an edit is a rebuild, and the rebuild is a replay (store/replay/replayer.h) that is told of edits which are not in the log yet:
 *
 *     store_edits_check()      which samples, of what revision; what cannot be is refused
 *     store_edits_keep()       accepted: on the disk from here on, so that a crash does not lose it
 *     store_replayer_open()    from: before edits_first(); edits: these
 *     store_replayer_step()    .. until it has caught up with the log; at the revision of each snapshot that saw, another is written, so that
 *                              the next edit need not begin before this one
 *     store_edits_stage()      .. and the rows of the edit are written down, which mean nothing yet
 *     store_edits_take_over()  one short transaction, however many samples there are: edit event, which says that the rows are its own;
 *                              snapshots that saw them are none any more, and those that were written are; a snapshot of the state
 *                              that was rebuilt
 *     store_edits_sweep()      .. until what was forgotten is gone from the file
 *
 * Before that transaction nothing has changed; after it everything has. Only the bytes of what was forgotten are still there for a
 * while, which nobody reads any more; a crash does not stop that: who opens the file to write sweeps on. The rank of a sample among those of a rehearse event is
 * counted with the forgotten ones, which are skipped when their turn comes. A relabelled sample whose new class did not exist
 * yet at its place brings the class along (and those of lower index), with the label that it was added with later.
 *
 * In a log that several machines share (store/shared.h) the event comes first, and every machine makes the model again when it gets there:
 *
 *     store_edits_append()     in a group: the event, and all that follows from it but the model; others get the row (row_follow())
 *     store_rebuild()          .. and then store_follow() goes on, in the log as it is edited now
 *
 * One thread, that of the store.
 */
#ifndef CONVD_STORE_REPLAY_EDITS_H
#define CONVD_STORE_REPLAY_EDITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct store_replayer;

#define EDIT_FORGET UINT32_MAX /* in place of a label */

struct edit {
    int64_t id;     /* of the sample                                         */
    uint32_t label; /* number of its class from now on, or EDIT_FORGET        */

    /* filled in by store_edits_check() */
    uint64_t revision; /* of the event that it came with                        */
    uint32_t was;      /* its class until now                                   */
    bool out;          /* while it is at work: to be left out                     */
};

/* By id, each sample once; {0} is an empty one. Ids and revisions grow together.
 *
 * Besides, one class may be removed, as if it had never been: merged into another, or deleted. All its samples are
 * edited, those that come until the end of the rebuild as well. Classes are numbers of the file, which have gaps where others
 * were removed: store_class_id(). */
struct edits {
    struct edit *list;
    size_t n, room;
    bool drop_pinned; /* pinned snapshots that saw one of the samples may go */

    bool removes;
    uint32_t removed, into; /* into: the class that its samples get, or EDIT_FORGET */
    uint64_t first;         /* the revision from which on there was that class      */
    int64_t gathered;       /* samples with lower ids are in the list: store_edits_stage() */
};

/* edits_put - adds one, or replaces that of the same sample; what is to be forgotten stays so. Errors: ERR_MEMORY. */
int edits_put(struct edits *edits, const struct edit *edit, struct err *err);
void edits_fini(struct edits *edits);

/* edits_find - NULL where there is none. edits_first - the lowest revision. */
const struct edit *edits_find(const struct edits *edits, int64_t id);
uint64_t edits_first(const struct edits *edits);

/* store_edits_check - looks each sample up and leaves out those that have the wanted label already. `learner`: the live state.
 * Errors, with `at` (may be NULL) the place in the list: ERR_NOT_FOUND (no such sample), ERR_GONE (forgotten already),
 * ERR_CONFLICT (to be relabelled, but the model went back to before it; or its class cannot exist at its place; or it was learned before the
 * baseline). */
int store_edits_check(struct store *store, const struct learner *learner, struct edits *edits, size_t *at,
                      struct err *err);

/* The same for what was accepted before: what became impossible since is left out and counted, so that it takes nothing else with it:
 * relabels, where the model went back to before the sample, or to before the class; both kinds, where another arithmetic has taken over
 * after the sample. In pieces, so that others have their turn between two of them: 5 us for each edit. The list and the learner are borrowed
 * until it is closed (NULL is fine), and nothing but the look changes the list; the log may grow. A class event or a way back that comes
 * meanwhile (store_class_changes(), which counts them) has not been looked at. store_edits_look_step - some more; 1: there are others; 0: that
 * was all, and *n_void were left out; -1: ERR_MEMORY, ERR_STORAGE, ERR_DB_CORRUPT, the list being as long as it was. */
struct edits_look;
int store_edits_look_open(struct edits_look **out, struct store *store, const struct learner *learner,
                          struct edits *edits, struct err *err);
int store_edits_look_step(struct edits_look *look, size_t n, size_t *n_void, struct err *err);
void store_edits_look_close(struct edits_look *look);
uint64_t store_class_changes(const struct store *store);

/* store_class_id - the number that the class in that column of the live model has in the file. */
uint32_t store_class_id(const struct store *store, uint32_t column);

/* store_edits_remove - fills in `removes` and what belongs to it, into an empty list. Errors: ERR_CONFLICT (it is the last class that
 * the model was made with; its number or the other's has another meaning on a lineage that was left; the other cannot be where this one
 * begins). Costs 3 us for each class event and each class. */
int store_edits_remove(struct store *store, const struct learner *learner, struct edits *edits, uint32_t removed,
                       uint32_t into, struct err *err);

/* store_edits_any - whether anything was ever edited. */
bool store_edits_any(const struct store *store);

/* store_edits_pinned - how many pinned snapshots saw one of the samples; *first: one of them. Errors: ERR_STORAGE, .. */
int store_edits_pinned(struct store *store, const struct edits *edits, size_t *n, int64_t *first, struct err *err);

/* store_edits_keep - makes them durable as accepted, beside those that are. store_edits_kept - what is accepted, not checked;
 * edits_fini(). store_edits_drop - forgets what was accepted. Each a transaction of its own. */
int store_edits_keep(struct store *store, const struct edits *edits, struct err *err);
int store_edits_kept(struct store *store, struct edits *out, struct err *err);
int store_edits_drop(struct store *store, struct err *err);

/* store_edits_stage - so many rows more, 5 us each, in a transaction of their own; the samples of a class that is removed come into the
 * list by it. The replayer was opened with these edits. 1: there are more; 0: all are there, until the log or the list has grown; -1:
 * the replayer can only be closed. What the edit before has left to be swept goes first, n samples at a time. */
int store_edits_stage(struct store *store, struct store_replayer *replayer, struct edits *edits, size_t n,
                      struct err *err);

/* store_edits_take_over - see above. The replayer was opened with these edits, and has reached store_revision(); what is not staged yet is
 * staged now. *learner (free it) is the state from now on, at the revision of the edit event. After an error nothing has changed, and the
 * replayer can only be closed. Costs what a snapshot costs. */
int store_edits_take_over(struct store *store, struct store_replayer *replayer, struct edits *edits,
                          struct learner **learner, struct store_snapshot *snapshot, struct err *err);

/* store_edits_sweep - a piece of what is left to be done: a snapshot that saw is deleted, or n samples at most (5 us each) are emptied, with
 * their outcomes and the fingerprints of their keys; so are rows deleted that were staged and not made: not while a replayer is at that.
 * 1: there is more; 0: nothing is left, but old pages in the WAL: store_checkpoint(truncate) is the caller's next step. */
int store_edits_sweep(struct store *store, size_t n, struct err *err);

/* ---- where the log is shared: store/replay/edits_shared.c ---- */

/* store_edits_append - the edits, which are checked, as the next event, in the open group: what they forget is emptied in the file, and snapshots that
 * saw it are none, pinned or not, when it is committed. The samples of a class that is removed come into the list by it. The model
 * is store_rebuild()'s then, before anything else is appended or applied. Costs some 10 us a sample, and reading each event of which one is forgotten. */
int store_edits_append(struct store *store, struct edits *edits, struct err *err);

/* store_edits_undone - something is accepted and not made, or made and not emptied: such a file cannot follow a shared log. */
int store_edits_undone(struct store *store, bool *undone, struct err *err);

/* store_edit_ahead - the log has edits that the state which follows it (store_follow()) has not.
 * store_rebuild - the learner, which follows it, becomes the state of its revision in the log as it is edited now, by a replay from the newest
 * snapshot that did not see what was edited; so store_follow() goes on from there, and the learner is for nobody until it has come to the edits. *out
 * says what they were, from before the first step on. Between two steps progress() may use the store to read. After an error
 * the learner is what it was, and of no use behind that log. Errors: those of store_recover().
 * store_edit_touches - what the fold is at that revision is not what it was when it was the log's end. */
struct store_edited {
    uint64_t n_edits;
    uint64_t forgotten, relabelled; /* samples                                                           */
    uint32_t n_removed;             /* classes; where it is one:                                         */
    char removed_label[LABEL_BYTES_MAX + 1];
    char into_label[LABEL_BYTES_MAX + 1]; /* "": it was deleted                                           */
};
bool store_edit_ahead(const struct store *store);
bool store_edit_touches(const struct store *store, uint64_t revision);
int store_rebuild(struct store *store, struct learner *learner, store_progress *progress, void *context,
                  struct store_edited *out, struct err *err);

#endif
