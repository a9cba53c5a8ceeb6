/* shared.h - a model whose log several machines share: the store's file is this node's copy of a log that PostgreSQL keeps (store/postgres/).
 *
 *     append     the group's rows, as the open transaction of the file has them, go to the shared log; durable there, they are committed here
 *     follow     rows that others appended are copied into the file, each link of the chain checked, and applied by the fold
 *
 * A row has the same bytes in both, so revision and chain are those of the shared log on every node, and all else of the file (outcomes,
 * snapshots) follows from them. Nothing that was acknowledged depends on the file: it may lose its end, or be lost
 * altogether, and follows again. So its commits do not wait for the disk.
 *
 * An edit (forget, relabel, a class removed) is an event at one place of the log, and all that it takes is in the row. The transaction that has it
 * empties what it forgets, in PostgreSQL as in each file; the model is made again then (store/replay/edits_shared.c).
 *
 * A group is appended behind the file's end, and is refused (ERR_BUSY) where others were first. Then its writer holds the log, follows, and
 * begins anew.
 *
 * One thread uses it: the store's. The engine of PostgreSQL is opened by it, and closed.
 */
#ifndef CONVD_STORE_SHARED_H
#define CONVD_STORE_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/journal.h"
#include "store/postgres/postgres.h"
#include "store/store.h"

struct shared;

/* shared_init - begins a shared log in an empty database: all of the file's log goes there. The file is this node's copy from then on. Errors:
 * ERR_CONFLICT (there is a log already; an edit of the file is not through; a class was removed of weights that were given), those of
 * postgres_create() and of reading. A failure leaves a log that is not whole: it says so, and what removes it. */
int shared_init(struct store *store, const char *conninfo, store_progress *progress, void *context, struct err *err);

/* shared_join - makes the file of a new node from the shared log: its create event, and given weights where it has some. shared_begin() comes next, and
 * store_recover(). Errors: those of store_create() and postgres_open(); ERR_DIVERGED (its first event is not one of this convd's arithmetic). */
int shared_join(struct store **out, const char *path, const char *conninfo, const struct arith *arith, struct err *err);

/* shared_begin - a file that has no snapshot but its first gets the rows up to the newest shared one that no edit behind it touches, the outcomes of their
 * samples, and that snapshot: store_recover() goes on from there. 1; 0: there is none; or it is no state of this log, and *err says so: all is made by
 * the fold. Stopped or failed in the middle, the file is a part of the log as any other, and this may be tried again. Errors: those of
 * shared_open() and shared_copy(), ERR_STOPPING. err: not NULL. */
int shared_begin(struct store *store, const char *conninfo, const struct arith *arith, store_progress *progress,
                 void *context, struct err *err);

/* shared_open - the store follows that log from now on, also where it cannot be reached yet. Errors: those of postgres_open() but ERR_LOG;
 * ERR_DIVERGED where the file holds what the log does not; ERR_CONFLICT where an edit of it is not through. Owns: the caller; shared_close() before store_close(), NULL is fine. `name`: of this node; borrowed. */
int shared_open(struct shared **out, struct store *store, const char *conninfo, const char *name, struct err *err);
void shared_close(struct shared *shared);

/* shared_journal - what the trainer appends to. commit: ERR_BUSY where others were first; ERR_LOG where the shared log cannot be reached, or did
 * not say in time whether the group is in it: then it is not in the file, and following will show.
 * shared_hold - nobody else appends until the next commit or rollback: for who was too late. ERR_DIVERGED: the log has not what the file has. */
struct journal *shared_journal(struct shared *shared);
int shared_hold(struct shared *shared, struct err *err);

/* shared_copy - the next rows of the log, some MB at most, into the file. 1: some came; 0: there are none; -1: ERR_LOG, ERR_DIVERGED, those of
 * store_append(). Not in a group. They are applied by store_follow(), or, where there is an edit among them (store_edit_ahead()), by
 * store_rebuild(). Where something of them was forgotten since, all rows up to that edit come in one transaction, however many they are. */
int shared_copy(struct shared *shared, struct err *err);

/* What a node knows of the log and the others. */
struct shared_status {
    struct log_server server;
    struct log_head head;
    struct log_node *nodes; /* [n_nodes], the caller's */
    size_t n_nodes;
};
int shared_status(struct shared *shared, struct shared_status *out, struct err *err);
int shared_server(struct shared *shared, struct log_server *out, struct err *err); /* that part of it */

/* shared_tell - what this node says of itself to the others, by its name; and that the log still has what it had: ERR_DIVERGED, unless that is what
 * it says.
 * shared_mark - the digest of a revision, which must be the same on every node: ERR_DIVERGED. shared_mark_stands - nobody has come to know it better;
 * shared_mark_better - this node has. shared_distrust - the states in the log from that revision on are deleted: somebody's are wrong. */
int shared_tell(struct shared *shared, struct log_node *self, struct err *err);
int shared_mark(struct shared *shared, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err);
int shared_mark_stands(struct shared *shared, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err);
int shared_mark_better(struct shared *shared, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err);
int shared_distrust(struct shared *shared, uint64_t from, struct err *err);

/* shared_offer - the state of the log's last revision, which the file has a snapshot of, and the outcomes until then, for who begins; unless the log has a
 * newer one than revision `since`, or shares none (docs/cluster.md). 1: many outcomes are to be put first, by more calls; 0; -1: ERR_DIVERGED (it has
 * another state of that revision), ERR_LOG. shared_clean - those that edits of this file have come behind, by whomever they were put, are deleted. */
int shared_offer(struct shared *shared, struct store *store, const struct learner *learner, uint64_t since,
                 struct err *err);
int shared_clean(struct shared *shared, struct err *err);

/* For store/shared_snapshots.c: the connection, borrowed; and a state as it is, of any revision. */
int shared_engine(struct postgres **out, struct shared *shared, struct err *err);
int shared_put_state(struct postgres *pg, struct store *store, const struct learner *learner, struct err *err);

/* shared_all_at - whether all nodes that have told something of themselves lately are at that revision: 1, 0, -1. */
#define SHARED_ALIVE_S 10.0
int shared_all_at(struct shared *shared, uint64_t revision, struct err *err);

/* shared_leave - the node of that name follows no more. */
int shared_leave(const char *conninfo, const char *name, struct err *err);

/* shared_vacuum - what was forgotten goes from the files of the shared log's table: postgres_vacuum(). */
int shared_vacuum(const char *conninfo, struct err *err);

/* shared_idle - whether this node is the one that rehearses when nobody asks for anything: 1, 0, -1. wanted false: not any more. */
int shared_idle(struct shared *shared, bool wanted, struct err *err);

#endif
