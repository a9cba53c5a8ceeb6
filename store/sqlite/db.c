/* db.c - what SQLite says as struct err; transactions and the WAL. See store/sqlite/db.h. */
#include "store/sqlite/db.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "store/sqlite/internal.h"

#define WAL_FRAME_HEADER_BYTES 24 /* before each page in a WAL */

/* Steps of SQLite's machine: some 20,000 for a page are the most that a statement needs, of a file with the shortest rows. */
#define WORK_LOOK      10000
#define WORK_PER_PAGE  UINT64_C(65536)
#define WORK_PAGES_MIN 256

bool db_no_room(int os_error)
{
    return os_error == ENOSPC || os_error == EDQUOT || os_error == EFBIG;
}

static bool is_not_allowed(int os_error)
{
    return os_error == EACCES || os_error == EPERM || os_error == EROFS;
}

static enum err_code code_of(int rc, int os_error)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ERR_STORAGE_FULL;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return ERR_MEMORY;
        return rc != SQLITE_IOERR_FSYNC && db_no_room(os_error) ? ERR_STORAGE_FULL : ERR_STORAGE;
    case SQLITE_BUSY:
        return ERR_DB_LOCKED;
    case SQLITE_NOTADB:
        return ERR_DB_FOREIGN;
    case SQLITE_CORRUPT:
        return ERR_DB_CORRUPT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_DB_READONLY;
    case SQLITE_CANTOPEN:
        return db_no_room(os_error) ? ERR_STORAGE_FULL : is_not_allowed(os_error) ? ERR_DB_READONLY : ERR_STORAGE;
    case SQLITE_NOMEM:
        return ERR_MEMORY;
    case SQLITE_INTERRUPT: /* by db_bound_work(), and nobody else */
        return ERR_DB_CORRUPT;
    case SQLITE_TOOBIG:
        return ERR_LIMIT;
    case SQLITE_CONSTRAINT:
        return rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE ? ERR_CONFLICT : ERR_INTERNAL;
    case SQLITE_ERROR:
        /* The texts are constants that the tests run, so what fails here is what they meet: a table that is missing, or
         * JSON that is none. */
        return ERR_DB_CORRUPT;
    default:
        return ERR_INTERNAL;
    }
}

int db_fail(struct db *db, int rc, int os_error, struct err *err)
{
    int base = rc & 0xff;
    if (rc == SQLITE_CONSTRAINT_COMMITHOOK) {
        if (err != NULL)
            *err = db->lost;
        return -1;
    }
    if (base != SQLITE_IOERR && base != SQLITE_CANTOPEN)
        os_error = 0;
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
        db->sync_failed = true;
    const char *text = base == SQLITE_INTERRUPT ? "a query took longer than a file of this size can need"
                                                : sqlite3_errmsg(db_handle(db));
    err_set(err, code_of(rc, os_error), "%s: %s%s%s", db->path, text, os_error != 0 ? ": " : "",
            os_error != 0 ? strerror(os_error) : "");
    if (err != NULL)
        err->detail = rc;
    return -1;
}

void db_take(struct db *db)
{
    db->thread = pthread_self();
}

/* Not by a prepared statement: SQLite does what this one says when it is prepared. */
int db_sync_commits(struct db *db, bool on, struct err *err)
{
    if (db->unsynced == !on)
        return 0;
    errno = 0;
    const int rc = sqlite3_exec(db_handle(db), db_statement_text(on ? SQL_SYNCHRONOUS_FULL : SQL_SYNCHRONOUS_NORMAL),
                                NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return db_fail(db, rc, errno, err);
    db->unsynced = !on;
    return 0;
}

bool db_sync_failed(const struct db *db)
{
    return db->sync_failed;
}

bool db_read_only(const struct db *db)
{
    return db->read_only;
}

const char *db_path(const struct db *db)
{
    return db->path;
}

uint64_t db_changes(const struct db *db)
{
    return (uint64_t)sqlite3_total_changes64(db_handle(db));
}

bool db_in_transaction(const struct db *db)
{
    return sqlite3_get_autocommit(db_handle(db)) == 0;
}

void db_rollback(struct db *db)
{
    for (int i = 0; i < SQL_N; i++)
        db_reset(db, (enum statement)i);
    db->bind_status = SQLITE_OK;
    if (db_in_transaction(db))
        (void)db_run(db, SQL_ROLLBACK, NULL); /* may say that SQLite was quicker, which is as good */
    db->rollback_due = db_in_transaction(db);
}

uint64_t db_wal_bytes(const struct db *db)
{
    return db->wal_bytes;
}

static uint64_t frames_to_bytes(int n_frames)
{
    return n_frames <= 0 ? 0 : (uint64_t)n_frames * (DB_PAGE_BYTES + WAL_FRAME_HEADER_BYTES);
}

/* SQLite calls this after each commit with the length of the WAL. */
static int wal_grown(void *context, sqlite3 *handle, const char *name, int n_frames)
{
    (void)handle, (void)name;
    struct db *db = context;
    db->wal_bytes = frames_to_bytes(n_frames);
    return SQLITE_OK;
}

void db_watch_wal(struct db *db)
{
    (void)sqlite3_wal_hook(db_handle(db), wal_grown, db);
}

static uint64_t work_allowed(const struct db *db)
{
    struct stat file;
    const uint64_t bytes = stat(db->path, &file) == 0 && file.st_size > 0 ? (uint64_t)file.st_size : 0;
    return ((bytes + db->wal_bytes) / DB_PAGE_BYTES + WORK_PAGES_MIN) * WORK_PER_PAGE;
}

static int work_done(void *context)
{
    struct db *db = context;
    uint64_t *work = &db->work[db->running];
    *work += WORK_LOOK;
    return *work > WORK_PAGES_MIN * WORK_PER_PAGE && *work > work_allowed(db);
}

void db_bound_work(struct db *db)
{
    sqlite3_progress_handler(db_handle(db), WORK_LOOK, work_done, db);
}

/* SQLite truncates a WAL and does not sync it: until the next commit a power cut might bring back the old frames, and what was forgotten. */
static int sync_wal(struct db *db)
{
    sqlite3_file *wal = NULL;
    const int rc = sqlite3_file_control(db_handle(db), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    return rc != SQLITE_OK || wal == NULL || wal->pMethods == NULL ? rc : wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
}

int db_checkpoint(struct db *db, bool truncate, struct err *err)
{
    int n_log = 0, n_done = 0;
    errno = 0;
    int rc = sqlite3_wal_checkpoint_v2(
        db_handle(db), NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &n_log, &n_done);
    if (rc == SQLITE_OK && truncate)
        rc = sync_wal(db);
    if (rc != SQLITE_OK)
        return db_fail(db, rc, errno, err);
    /* What has been copied will be overwritten from the start of the file by the next commit. */
    db->wal_bytes = frames_to_bytes(n_log - n_done);
    return 0;
}
