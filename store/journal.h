/* journal.h - the seam to the ordered log of events: what the trainer appends to, and what is followed. SQLite keeps it in the model's own file
 * (store_journal()); one log that several machines append to plugs in here, with the store's file as each machine's copy: store/shared.h.
 *
 * The order, for everybody who appends or follows:
 *
 *     check the event (learner_check())        against the state as of `after`
 *     begin(after), append .., commit          ordered and durable, all of the group or nothing
 *     apply (learner_apply())                  on every machine alike; outcomes, published weights and answers follow from it
 *
 * begin() compares: a group is appended behind the very revision that its writer has applied, so that what was checked still holds. Who is
 * behind reads and applies first, then tries again. Trainings change nothing of what is checked; whatever does is a group by itself.
 *
 * What an entry is: an event of kind train, class, tune, rehearse, idle or activate, with its images, its time, and the idempotency key that it
 * came with; the bytes, and the chain that ties them, are in docs/file-format.md. What the fold makes of an event is in no journal.
 *
 * Owned: an engine owns its journal, and outlives it. Events and keys that are given are borrowed for the call. One thread at a time uses a
 * journal.
 *
 * After a failure: a group that could not be begun, appended or committed is gone as a whole, and the journal can be used again (a full disk may
 * get room), with one exception: after a failed sync nobody knows what is durable, and every later group fails with ERR_STORAGE until
 * somebody has opened it anew and read what is there.
 */
#ifndef CONVD_STORE_JOURNAL_H
#define CONVD_STORE_JOURNAL_H

#include <stdint.h>

#include "core/core.h"

struct store;
struct store_key;

struct journal {
    /* begin - a group behind revision `after`. Errors: ERR_BUSY (the end is another: read what is after it, apply it, try again),
     * ERR_STORAGE_FULL, ERR_STORAGE, ERR_DB_READONLY, ERR_DB_LOST. */
    int (*begin)(struct journal *journal, uint64_t after, struct err *err);

    /* next - gives an event what it will have: revision, time (where it is 0), ids of samples. In the group; promises nothing until the event
     * is appended. */
    void (*next)(struct journal *journal, struct event *event);

    /* append - the event that next() has numbered, and its key (NULL: none; its revision is the event's). Errors: as begin();
     * ERR_CONFLICT: the key is there already. */
    int (*append)(struct journal *journal, struct event *event, const struct store_key *key, struct err *err);

    /* commit - 0: the group is ordered and durable. Errors: as begin(). rollback - it never was; harmless where there is none. */
    int (*commit)(struct journal *journal, struct err *err);
    void (*rollback)(struct journal *journal);
};

/* store_journal - the log in the store's own file. Lives as long as the store. */
struct journal *store_journal(struct store *store);

#endif
