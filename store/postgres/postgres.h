/* postgres.h - the door of store/postgres/: one log in PostgreSQL that several machines append to and follow. It alone knows libpq; it knows
 * rows and their order, and nothing of what they mean to a model.
 *
 * What is promised
 *   - postgres_append() returns 0 only when the rows are behind the very head that was given, and durable as synchronous_commit = on and the
 *     server's synchronous_standby_names say. All rows of a call, or none.
 *   - Whoever appends behind a head that is not the log's end any more is told so (ERR_BUSY), and has changed nothing.
 *   - A commit in doubt (connection lost, a deadline, a WARNING at commit) is looked up before anything is answered: by the head's row, which the
 *     unfinished transaction holds locked, and a commit of its own after it, which a synchronous standby must confirm.
 *   - No number has a gap: the head row orders the writers, no sequence does.
 *
 * Each call has a deadline of its own, on the socket: statement_timeout does not end the wait for a standby. A wait for a standby is never
 * cancelled: the connection is dropped instead.
 *
 * In reading order:
 *   internal.h    what the files below share; the only header that includes libpq-fe.h
 *   statements.h  every SQL text, and how a connection is set up
 *   schema.h      the tables, embedded at build from schema/postgres.sql
 *   connect.c     from a connection string to a connection; open, close, create
 *   statement.c   there and back, with a deadline
 *   values.c      PostgreSQL's binary form
 *   head.c        where the log ends; the lock
 *   append.c      rows behind it
 *   doubt.c       a commit of which nobody has told how it ended
 *   read.c        the rows back
 *   listen.c      hints that there are new ones
 *   snapshots.c   digests and states to begin from
 *   nodes.c       who follows; the server; who may rehearse
 *   without.c     instead of all of them, where there is no libpq
 */
#ifndef CONVD_STORE_POSTGRES_POSTGRES_H
#define CONVD_STORE_POSTGRES_POSTGRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/learner/learner.h" /* DIGEST_BYTES */
#include "store/log/row.h"

struct postgres;

/* postgres_create - the tables (schema/postgres.sql) in an empty database, with an empty log. Errors: ERR_CONFLICT (there is one already), and
 * those of postgres_open(). */
int postgres_create(const char *conninfo, struct err *err);

/* postgres_vacuum - what was erased goes from the files of the table: it is written anew, and the server makes a checkpoint. Nobody appends or
 * follows meanwhile. For the table's owner; the checkpoint is for a superuser, or from PostgreSQL 15 on a member of pg_checkpoint. Errors: those of
 * postgres_open(), ERR_CONFLICT (the role may not; a transaction of before stays open for ten seconds). */
int postgres_vacuum(const char *conninfo, struct err *err);

/* postgres_open - connects to the first host of conninfo (a libpq URL or keywords) that can write, checks the version of the tables. It connects
 * anew by itself when the connection was lost, at the next call. Errors: ERR_DB_FOREIGN (no convd log in there), ERR_DB_NEWER, ERR_LOG (cannot
 * be reached, refused; the text says which host and why, never a password), ERR_USAGE (the string cannot be read, or has a password; built without libpq),
 * ERR_MEMORY. Owns: the caller; postgres_close(), NULL is fine. One thread at a time uses it. */
int postgres_open(struct postgres **out, const char *conninfo, struct err *err);
void postgres_close(struct postgres *pg);

/* postgres_limit - how long a call may take from then on, 10,000 ms at first; large ones have a second more for each 8 MB, connecting has two
 * seconds for each host, and a commit in doubt is looked up for as long again. */
void postgres_limit(struct postgres *pg, unsigned ms);

/* postgres_head - where the log ends. */
int postgres_head(struct log_head *head, struct postgres *pg, struct err *err);

/* postgres_lock - begins a transaction that holds the head's row, so that the next postgres_append() cannot lose a race; *head is the end
 * then. Between them only postgres_head(), postgres_read(), postgres_edits() and postgres_chain(). Whatever the append comes to, the lock is over; so it is when
 * the connection is lost, or after the time of a call, which the server measures. postgres_unlock - without an append; harmless where nothing is
 * held. ERR_LOG also where another's append holds the row until the call's time is over. */
int postgres_lock(struct log_head *head, struct postgres *pg, struct err *err);
void postgres_unlock(struct postgres *pg);

/* postgres_append - n rows (1 or more) behind `after`, in one statement of one round trip. Errors: ERR_BUSY (the log does not end there; nothing
 * was changed), ERR_CONFLICT (a key is there already; nothing was changed), ERR_LIMIT (more bytes than POSTGRES_APPEND_BYTES_MAX at once),
 * ERR_DB_CORRUPT, ERR_MEMORY, ERR_LOG (nothing was changed, or it could not be found out in time: err->detail is 1 then, and whoever
 * follows the log will see). err is not NULL. */
#define POSTGRES_APPEND_BYTES_MAX (256u << 20)
int postgres_append(struct postgres *pg, const struct log_head *after, const struct log_row *rows, size_t n,
                    struct err *err);

/* An edit's row, alone in its call, has its samples erased in the same transaction: labels all ones, images zeros, the fingerprints of their requests'
 * keys zeros. So no log has the edit and what it forgets. Their chains stay; who copies them knows them by the edit's rows (row_ahead()). Others'
 * appends wait meanwhile: 40 us a sample, and writing anew each event that has one. ERR_CONFLICT: the role may not. */

/* postgres_read - rows after a revision in their order, as many as fit into about max_bytes, at least one where there is one. *rows is one block
 * with all that it points to; the caller's, free(). *n 0: there are none yet. Errors: ERR_DB_CORRUPT (a row is missing or damaged), ERR_LOG, ERR_MEMORY. */
int postgres_read(struct log_row **rows, size_t *n, struct postgres *pg, uint64_t after, size_t max_bytes,
                  struct err *err);

/* postgres_edits - all edit events after a revision, as postgres_read() gives rows. */
int postgres_edits(struct log_row **rows, size_t *n, struct postgres *pg, uint64_t after, struct err *err);

/* postgres_chain - of that revision: 1 found, 0 not, -1. */
int postgres_chain(uint8_t chain[CHAIN_BYTES], struct postgres *pg, uint64_t revision, struct err *err);

/* postgres_listen - waits for a hint that the log has grown, for at most that long: 1: there was one, to *revision, or the connection is new
 * (UINT64_MAX: who knows); 0: none; -1:
 * ERR_LOG, after that time, so that calling it again is no busy loop. Uses a connection of its own, made at the first call and whenever it was
 * lost, by another thread than the rest. A hint may be lost: who follows looks by itself now and then. fd: becomes readable to end the wait
 * early (-1: none). postgres_listener_open - does not connect: ERR_MEMORY. */
struct postgres_listener;
int postgres_listener_open(struct postgres_listener **out, const char *conninfo, struct err *err);
int postgres_listen(struct postgres_listener *listener, unsigned timeout_ms, int fd, uint64_t *revision,
                    struct err *err);
void postgres_listener_close(struct postgres_listener *listener);

/* postgres_digest - this node's state of that revision has that digest: the first one is kept, a different one is ERR_DIVERGED. Old ones are
 * removed, the newest thousand stay. postgres_digest_stands - it is not written if there is none. postgres_digest_replace - it is known better. */
int postgres_digest(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err);
int postgres_digest_stands(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err);
int postgres_digest_replace(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES],
                            struct err *err);

/* A state to begin from: that of revision 1, where its weights were given, and the newest ones (store/shared_snapshots.c). */
struct log_snapshot {
    uint64_t revision;
    uint8_t digest[DIGEST_BYTES], chain[CHAIN_BYTES];
    const uint8_t *state, *tensors;
    size_t n_state, n_tensors;
};
/* postgres_snapshot_put - unless there is one of that revision already (0 as well; another digest: ERR_DIVERGED). ERR_LIMIT: over 10^9 bytes. Of revision 1 it stays for
 * ever, of the others the newest 4. postgres_snapshot_get - the newest of a revision up to that: 1, 0: none, -1. One block, free(). */
int postgres_snapshot_put(struct postgres *pg, const struct log_snapshot *snapshot, struct err *err);
int postgres_snapshot_get(struct log_snapshot **out, struct postgres *pg, uint64_t upto, struct err *err);

/* What the states made of samples first .. first + n - 1, as the table has it: schema/postgres.sql. */
#define LOG_OUTCOME_BYTES 20u
struct log_outcomes {
    int64_t first;
    uint32_t n;
    uint64_t revision; /* of who put it: what edits until then have made of the samples */
    const uint8_t *rows;
};
/* postgres_outcomes_put - unless some begin with that sample already. postgres_outcomes_get - those that have this sample: 1, 0: none, -1. One
 * block, free(). */
int postgres_outcomes_put(struct postgres *pg, const struct log_outcomes *outcomes, struct err *err);
int postgres_outcomes_get(struct log_outcomes **out, struct postgres *pg, int64_t sample, struct err *err);

/* postgres_states - how far states are shared. 0: this log shares none: it was begun by a convd that knew no table outcome, or the role may not look
 * at it; 1; -1. postgres_states_drop - those that were written at revisions from .. to - 1, but for the first: an edit has come behind them, or who
 * wrote them computes wrongly. */
struct log_states {
    uint64_t snapshot; /* the newest that no edit behind it touches; 0: none */
    int64_t next;      /* the first sample without outcome                   */
    bool writable;
};
int postgres_states(struct log_states *out, struct postgres *pg, struct err *err);
int postgres_states_drop(struct postgres *pg, uint64_t from, uint64_t to, struct err *err);

/* Who follows the log, as they told it last. */
#define LOG_NODE_BYTES 65
struct log_node {
    char name[LOG_NODE_BYTES];
    uint64_t revision;
    double age_s;                 /* since it was told, by the server's clock                     */
    uint64_t compared;            /* revision of the newest state that it compared; 0: none        */
    uint8_t digest[DIGEST_BYTES]; /* of that state, as it has it                                    */
    int diverged; /* 1: others have another; 0; -1: the log, or its convd, is too old to tell, and no digest either */
};
/* postgres_node_tell - what this node says of itself, in the row of its name; age_s is not looked at. postgres_node_forget - it leaves.
 * postgres_nodes - all of them, by name; *list is the caller's. */
int postgres_node_tell(struct postgres *pg, const struct log_node *node, struct err *err);
int postgres_node_forget(struct postgres *pg, const char *name, struct err *err);
int postgres_nodes(struct log_node **list, size_t *n, struct postgres *pg, struct err *err);

/* What the server says of itself. */
struct log_server {
    char host[256]; /* the one that is connected to           */
    char version[32];
    bool standby;           /* it is in recovery: a follower may read it */
    unsigned standbys_sync; /* of pg_stat_replication: sync or quorum */
    unsigned standbys;
    char synchronous[256]; /* synchronous_standby_names              */
};
int postgres_server(struct log_server *out, struct postgres *pg, struct err *err);

/* postgres_idle_lock - whether this node may rehearse on its own now: one of all nodes at a time (an advisory lock of the session, kept until
 * postgres_idle_unlock() or until the connection ends). 1: it may; 0: another does; -1. */
int postgres_idle_lock(struct postgres *pg, struct err *err);
int postgres_idle_unlock(struct postgres *pg, struct err *err);

#endif
