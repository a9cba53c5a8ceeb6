/* internal.h - what the files of db share and nobody else sees; the only header of convd that includes sqlite3.h.
 */
#ifndef CONVD_STORE_SQLITE_INTERNAL_H
#define CONVD_STORE_SQLITE_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/types.h>

#include "store/sqlite/db.h"

#define DB_PAGE_BYTES 8192 /* as SQL_PAGE_SIZE sets */

struct db_file {
    char *path; /* NULL: it is not watched */
    dev_t device;
    ino_t inode;
};

struct db {
    pthread_t thread; /* db_take(): nobody else may touch the two that follow, which SQLite guards by no mutex */
    sqlite3 *handle;
    sqlite3_stmt *statements[SQL_N];
    int bind_status; /* first failure of a bind since the last step */
    bool sync_failed, read_only, unsynced;
    bool rollback_due; /* there was no memory for it: a transaction is open that nobody wants any more */
    enum statement running;
    uint64_t work[SQL_N]; /* steps of SQLite's machine that a statement made since it began */
    int lock_fd;          /* holds a shared lock for an immutable connection, which takes none by itself; else -1 */
    uint64_t wal_bytes;
    char *path;
    struct db_file files[2]; /* of a connection that writes: the database and its WAL */
    struct err lost;         /* code ERR_NONE: they are what they were when it was opened */
    bool rescued;            /* then nothing is left in the WAL */
};

/* ---- store/sqlite/place.c ---- */

/* db_place_watch - from now on, for a connection that writes: its files are there. db_place_fini - db_close()'s. */
int db_place_watch(struct db *db, struct err *err);
void db_place_fini(struct db *db);

/* db_handle, db_statement - for every call of SQLite: in every build, a thread that has not taken the connection ends the process
 * before it can do harm. */
static inline sqlite3 *db_handle(const struct db *db)
{
    assert(pthread_equal(db->thread, pthread_self()));
    return db->handle;
}

static inline sqlite3_stmt *db_statement(const struct db *db, enum statement which)
{
    assert(pthread_equal(db->thread, pthread_self()));
    return db->statements[which];
}

/* ---- store/sqlite/db.c ---- */

/* db_fail - says what SQLite said, as the table in store/sqlite/db.h has it; returns -1. os_error: errno right after the call, which was cleared
 * before it. sqlite3_system_errno() would be the proper source, but SQLite does not set it when a COMMIT or a checkpoint fails,
 * and it may then still hold an older one. */
int db_fail(struct db *db, int rc, int os_error, struct err *err);

/* db_no_room - whether the system means that the disk, a quota or the file is full. */
bool db_no_room(int os_error);

/* db_watch_wal - db_wal_bytes() follows every commit from now on. */
void db_watch_wal(struct db *db);

/* db_bound_work - no statement runs without end from now on: damaged or hostile pages can lead in circles. */
void db_bound_work(struct db *db);

/* ---- store/sqlite/statement.c ---- */

const char *db_statement_text(enum statement which);

/* ---- store/sqlite/schema_check.c ---- */

/* db_check_schema - ERR_DB_FOREIGN: the file has a table, view, index or trigger that no convd makes, which is named; ERR_DB_CORRUPT: one
 * that convd makes is missing, or says something else. Costs some 20 us, and 2 ms where a comment or a gap differs. */
int db_check_schema(struct db *db, int version, struct err *err);

#endif
