/* db.h - SQLite, as far as convd needs it. Only its files, which store/sqlite/internal.h lists, know the library: no other file of convd
 * includes sqlite3.h.
 *
 * A connection, the statements of store/sqlite/statements.h, and the translation of what SQLite says to struct err:
 *
 *   disk full, quota, file size limit    ERR_STORAGE_FULL  the transaction is lost, the connection can be used again
 *   fsync failed                         ERR_STORAGE       and db_sync_failed() from then on: stop and recover
 *   any other I/O error                  ERR_STORAGE
 *   locked by another process            ERR_DB_LOCKED
 *   not an SQLite file                   ERR_DB_FOREIGN
 *   damaged page, missing table, bad JSON ERR_DB_CORRUPT
 *   cannot be written                    ERR_DB_READONLY
 *   removed, renamed, replaced           ERR_DB_LOST       see db_check_place()
 *   constraint, misuse                   ERR_INTERNAL (a key that is there already: ERR_CONFLICT)
 *   blob over 1,000,000,000 bytes        ERR_LIMIT
 *
 * err->detail is SQLite's extended code.
 *
 * Use of a statement: bind, step while it gives 1, read columns between. It resets itself after 0 and -1; a caller that
 * stops earlier calls db_reset(). Bound texts and blobs are borrowed until then. A bind cannot fail by itself: what went
 * wrong is told by the next step. A text or blob that was read is valid until the next step or reset of that statement.
 */
#ifndef CONVD_STORE_SQLITE_DB_H
#define CONVD_STORE_SQLITE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "store/sqlite/statements.h"

struct db;

enum db_access {
    DB_CREATE, /* an empty file that is there: page size, WAL, all migrations                          */
    DB_WRITE,  /* a convd file; the only lock; older schemas are migrated                              */
    DB_READ,   /* a convd file; the only lock where the file can be written, else the best there is     */
};

/* db_open - opens, locks, recognises (application_id, user_version) and sets every pragma, in the one right order.
 * Errors: those of store_open(). On failure *out is NULL. */
int db_open(struct db **out, const char *path, enum db_access access, struct err *err);

/* db_close - finishes statements, checkpoints (not after a failed sync, and not when reading), closes. NULL is fine. */
void db_close(struct db *db);

/* db_take - the connection is the calling thread's from now on; db_open() gives it to its own. */
void db_take(struct db *db);

bool db_sync_failed(const struct db *db);

/* db_sync_commits - whether a commit waits for the disk, as it does at first. Without, a power cut may take the last commits, in their order. Not
 * in a transaction. */
int db_sync_commits(struct db *db, bool on, struct err *err);
bool db_read_only(const struct db *db);
const char *db_path(const struct db *db);

/* db_check_place - 0: the path still leads to the file that is open, and <path>-wal to its WAL. ERR_DB_LOST: it does not, and from
 * then on this fails, and so does every commit, with an error that says what happened; what was committed is in the file, wherever
 * that is. Not in a transaction. Costs two calls of stat(2); each commit makes them, too. A connection that only reads does not look. */
int db_check_place(struct db *db, struct err *err);

/* db_changes - rows that were written since it was opened: grows with every change. */
uint64_t db_changes(const struct db *db);

/* db_in_transaction - SQLite ends a transaction by itself after some errors: ask before going on. */
bool db_in_transaction(const struct db *db);

/* db_rollback - ends the transaction if there is one, and resets every statement. */
void db_rollback(struct db *db);

/* db_wal_bytes - of frames in the WAL that are not yet in the database. */
uint64_t db_wal_bytes(const struct db *db);
/* db_checkpoint - frames of the WAL go into the database, and with `truncate` all of them, so that the WAL is empty, also after a power cut. */
int db_checkpoint(struct db *db, bool truncate, struct err *err);

/* ---- a copy ---- */

struct db_copy;

/* db_copy_open - into the empty file `to`. What this connection writes meanwhile is in the copy as well, so that it is the database as
 * it is at the last step; what it rolls back makes the copy begin anew. db_copy_step - so many pages more: 1, 0: all is there, not synced; -1. No step in a transaction.
 * db_copy_close - NULL is fine. Errors: those of any write, to the copy. */
int db_copy_open(struct db_copy **out, struct db *db, const char *to, struct err *err);
int db_copy_step(struct db_copy *copy, int n_pages, struct err *err);
void db_copy_progress(const struct db_copy *copy, uint64_t *done_bytes, uint64_t *total_bytes);
void db_copy_close(struct db_copy *copy);

/* ---- statements ---- */

void db_bind_int(struct db *db, enum statement which, int place, int64_t value);
/* db_bind_ints - the values at places 1, 2, .. */
#define db_bind_ints(db, which, ...)                                                                                   \
    db_bind_list(db, which, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
void db_bind_list(struct db *db, enum statement which, const int64_t *values, size_t n);
void db_bind_real(struct db *db, enum statement which, int place, double value);
void db_bind_null(struct db *db, enum statement which, int place);
void db_bind_text(struct db *db, enum statement which, int place, const char *text);
void db_bind_blob(struct db *db, enum statement which, int place, const void *bytes, size_t n_bytes);

/* db_step - 1: a row; 0: the end; -1: error. */
int db_step(struct db *db, enum statement which, struct err *err);
/* db_run - steps to the end, whatever rows come. 0 or -1. */
int db_run(struct db *db, enum statement which, struct err *err);
void db_reset(struct db *db, enum statement which);

bool db_is_null(const struct db *db, enum statement which, int column);
bool db_is_int(const struct db *db, enum statement which, int column);
int64_t db_int(const struct db *db, enum statement which, int column);
/* db_number - all of a statement that gives one number, whose arguments are bound: 0 where it is NULL or has no row. 0 or -1. */
int db_number(int64_t *value, struct db *db, enum statement which, struct err *err);
double db_real(const struct db *db, enum statement which, int column);
/* db_text - "" where it is NULL or memory is out; terminated, n_bytes (may be NULL) without the zero. */
const char *db_text(const struct db *db, enum statement which, int column, size_t *n_bytes);
/* db_blob - NULL where it is empty. */
const void *db_blob(const struct db *db, enum statement which, int column, size_t *n_bytes);

#endif
