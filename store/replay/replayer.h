/* replayer.h - a past state made again bit by bit, while the store is used for other things in between.
 *
 *     state(R) = the newest good snapshot on lineage(R) at or before `from`, then the events of lineage(R) after it, in order
 *
 * store_recover() does that in one go. A replayer does as much of it as it is told to and then lets go of the
 * database: between two steps, groups may be begun and committed, snapshots taken, the WAL truncated. It ends in the
 * same state whatever the steps were, since a train, rehearse or idle event that is longer than a step is cut without a trace.
 *
 * It may be told to go on to a later revision, as long as no activate event came since (the lineage is then another: begin anew).
 *
 * Everything is checked as in recovery: each link of the chain before the row is believed, each recorded outcome against the
 * one that comes out.
 *
 * What the caller guarantees: no step while a group is open; the store outlives the replayer; one thread, that of the store.
 */
#ifndef CONVD_STORE_REPLAY_REPLAYER_H
#define CONVD_STORE_REPLAY_REPLAYER_H

#include <stdint.h>

#include "store/replay/edits.h"
#include "store/store.h"

struct store_replayer;

struct replay_want {
    uint64_t target;           /* whose state: 1 .. store_revision()                                 */
    uint64_t from;             /* start from a snapshot of this revision or before; 0: any up to target */
    bool from_origin;          /* start from the create event, whatever the baseline                     */
    const struct arith *arith; /* NULL: the best                                                      */
    const struct edits
        *edits; /* to be taken as if they were in the log already (store/replay/edits.h): checked; borrowed until it is
                                * closed; `from` must be before the first of them; NULL: none */
    bool
        in_place; /* edits of the log have taken snapshots away, which are not swept yet: others are written in their place */
};

/* store_replayer_open - finds the lineage and the snapshot, and reads it: as long as one snapshot takes to load (where it is damaged, the
 * one before it). Applies nothing yet. Errors: ERR_NOT_FOUND (no such revision), ERR_GONE (before the baseline), ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY.
 * Owns: the caller; store_replayer_close(), NULL is fine. */
int store_replayer_open(struct store_replayer **out, struct store *store, const struct replay_want *want,
                        struct err *err);

/* store_replayer_step - about so many samples more; with edits or in_place, it also writes the snapshots that stand for those that saw (but where the
 * disk is full), each in a transaction of its own, as long as a snapshot takes. 1: there is more to do; 0: the target is reached; -1: ERR_DB_CORRUPT (names
 * the first bad row), ERR_STORAGE, ERR_MEMORY: nothing but closing is left. The rows of an event are read at once, however
 * many samples it has: 10,000 in 30 ms. */
int store_replayer_step(struct store_replayer *replayer, uint64_t n_samples, struct err *err);

/* store_replayer_extend - go on to a later target; no activate event may lie between. Errors: those of a step. */
int store_replayer_extend(struct store_replayer *replayer, uint64_t target, struct err *err);

/* store_replayer_place - the revision whose events have all been applied: that of the snapshot at first, of the target at last. */
uint64_t store_replayer_place(const struct store_replayer *replayer);

/* store_replayer_progress - samples that were trained on, rehearsed, or skipped because they were left behind; and how many
 * there will have been at the target. */
void store_replayer_progress(struct store_replayer *replayer, uint64_t *done, uint64_t *total);

/* store_replayer_take - the state of the target, once a step has given 0: the caller's from now on; able to learn, except that of
 * a damaged file that is only being salvaged. */
struct learner *store_replayer_take(struct store_replayer *replayer);

/* store_replayer_share - large phases of its steps are shared with that team (workspace_share()). */
void store_replayer_share(struct store_replayer *replayer, struct team *team, size_t least);

void store_replayer_close(struct store_replayer *replayer);

#endif
