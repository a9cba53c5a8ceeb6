/* db.c - the one file that includes sqlite3.h. See db.h.
 *
 * Why the connection is set up as it is (each was measured; the README says more):
 *   locking_mode EXCLUSIVE before WAL   the wal-index lives in our memory, no -shm file; nobody else can get between
 *   wal_autocheckpoint 0                a checkpoint inside a commit is the p99; the trainer does it when idle
 *   synchronous FULL, read back         NORMAL loses acknowledged rows at a power cut
 *   secure_delete                       what is forgotten is overwritten
 *   trusted_schema OFF, cell_size_check a file from elsewhere may be hostile or damaged
 *   cache of 1 MB                       the log is written once and read once; the kernel caches the rest
 */
#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/schema.h"

#define APPLICATION_ID 0x636f6e76 /* as in schema/0001.sql */

/* Where SQLite keeps its shared lock in a database file (os.h of SQLite: it is part of the file format). */
#define SHARED_LOCK_FIRST 0x40000002
#define SHARED_LOCK_BYTES 510

/* Bytes before each page in a WAL. */
#define PAGE_BYTES             8192 /* as SQL_PAGE_SIZE sets */
#define WAL_FRAME_HEADER_BYTES 24

#define STATEMENT_TEXT(name, text) [SQL_##name] = text,
/* Some texts go over several lines, and so have no comma between their parts. NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
static const char *const statement_texts[SQL_N] = {STATEMENTS(STATEMENT_TEXT)};
#undef STATEMENT_TEXT

struct db {
    sqlite3 *handle;
    sqlite3_stmt *statements[SQL_N];
    int bind_status; /* first failure of a bind since the last step */
    bool sync_failed, read_only;
    bool rollback_due; /* there was no memory for it: a transaction is open that nobody wants any more */
    int lock_fd;       /* holds a shared lock for an immutable connection, which takes none by itself; else -1 */
    uint64_t wal_bytes;
    char *path;
};

enum how {
    HOW_ALONE,     /* read and write, under the exclusive lock                                     */
    HOW_SHARED,    /* read only, beside others: needs a directory in which -shm can be made        */
    HOW_IMMUTABLE, /* read only, nothing beside the file is looked at or made                      */
};

/* ---- errors ---- */

static bool is_no_room(int os_error)
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
        return rc != SQLITE_IOERR_FSYNC && is_no_room(os_error) ? ERR_STORAGE_FULL : ERR_STORAGE;
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
        return is_no_room(os_error) ? ERR_STORAGE_FULL : is_not_allowed(os_error) ? ERR_DB_READONLY : ERR_STORAGE;
    case SQLITE_NOMEM:
        return ERR_MEMORY;
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

/* os_error: errno right after the call, which was cleared before it. sqlite3_system_errno() would be the proper source, but
 * SQLite does not set it when a COMMIT or a checkpoint fails, and it may then still hold an older one. */
static int fail(struct db *db, int rc, int os_error, struct err *err)
{
    int base = rc & 0xff;
    if (base != SQLITE_IOERR && base != SQLITE_CANTOPEN)
        os_error = 0;
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
        db->sync_failed = true;
    const char *os_text = os_error != 0 ? strerrordesc_np(os_error) : NULL;
    err_set(err, code_of(rc, os_error), "%s: %s%s%s", db->path, sqlite3_errmsg(db->handle), os_text != NULL ? ": " : "",
            os_text != NULL ? os_text : "");
    if (err != NULL)
        err->detail = rc;
    return -1;
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

/* ---- statements ---- */

/* The prepared statement, or NULL with bind_status set. */
static sqlite3_stmt *prepared(struct db *db, enum statement which)
{
    if (db->statements[which] == NULL && db->bind_status == SQLITE_OK)
        db->bind_status = sqlite3_prepare_v3(db->handle, statement_texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                             &db->statements[which], NULL);
    return db->statements[which];
}

static void note_bind(struct db *db, int rc)
{
    if (db->bind_status == SQLITE_OK)
        db->bind_status = rc;
}

void db_bind_int(struct db *db, enum statement which, int place, int64_t value)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL)
        note_bind(db, sqlite3_bind_int64(s, place, value));
}

void db_bind_real(struct db *db, enum statement which, int place, double value)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL)
        note_bind(db, sqlite3_bind_double(s, place, value));
}

void db_bind_null(struct db *db, enum statement which, int place)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL)
        note_bind(db, sqlite3_bind_null(s, place));
}

void db_bind_text(struct db *db, enum statement which, int place, const char *text)
{
    db_bind_bytes_as_text(db, which, place, text, strlen(text));
}

void db_bind_bytes_as_text(struct db *db, enum statement which, int place, const char *text, size_t n_bytes)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL)
        note_bind(db, sqlite3_bind_text64(s, place, text, n_bytes, SQLITE_STATIC, SQLITE_UTF8));
}

void db_bind_blob(struct db *db, enum statement which, int place, const void *bytes, size_t n_bytes)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL) /* an empty blob needs an address, or SQLite makes it NULL */
        note_bind(db, sqlite3_bind_blob64(s, place, n_bytes == 0 ? "" : bytes, n_bytes, SQLITE_STATIC));
}

void db_reset(struct db *db, enum statement which)
{
    if (db->statements[which] != NULL) {
        (void)sqlite3_reset(db->statements[which]); /* repeats the error of the last step, which was told */
        (void)sqlite3_clear_bindings(db->statements[which]);
    }
}

/* Rolling back takes memory. Where there was none, it is done as soon as something else is asked for, and until then nothing is. */
static int settle(struct db *db, enum statement which, struct err *err)
{
    if (!db->rollback_due || which == SQL_ROLLBACK)
        return 0;
    int bound = db->bind_status;
    db->rollback_due = false;
    db->bind_status = SQLITE_OK;
    if (db_in_transaction(db) && db_step(db, SQL_ROLLBACK, err) != 0 && db_in_transaction(db)) {
        db->rollback_due = true;
        db_reset(db, which);
        return -1;
    }
    db->bind_status = bound;
    return 0;
}

/* A text may need memory to be looked at, and SQLite gives NULL where there is none: that must not be taken for an
 * empty text in a damaged row. Once looked at, it stays. */
static bool texts_are_there(sqlite3_stmt *s)
{
    for (int column = 0; column < sqlite3_column_count(s); column++)
        if (sqlite3_column_type(s, column) == SQLITE_TEXT && sqlite3_column_text(s, column) == NULL)
            return false;
    return true;
}

int db_step(struct db *db, enum statement which, struct err *err)
{
    if (settle(db, which, err) != 0)
        return -1;
    if (db->bind_status == SQLITE_OK)
        errno = 0;
    sqlite3_stmt *s = prepared(db, which);
    int rc = db->bind_status;
    db->bind_status = SQLITE_OK;
    if (s != NULL && rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW && texts_are_there(s))
        return 1;
    if (rc == SQLITE_ROW)
        rc = SQLITE_NOMEM;
    if (rc != SQLITE_DONE)
        fail(db, rc, errno, err);
    db_reset(db, which);
    return rc == SQLITE_DONE ? 0 : -1;
}

int db_run(struct db *db, enum statement which, struct err *err)
{
    int status;
    do
        status = db_step(db, which, err);
    while (status == 1);
    return status;
}

static int column_type(const struct db *db, enum statement which, int column)
{
    return sqlite3_column_type(db->statements[which], column);
}

bool db_is_null(const struct db *db, enum statement which, int column)
{
    return column_type(db, which, column) == SQLITE_NULL;
}

bool db_is_int(const struct db *db, enum statement which, int column)
{
    return column_type(db, which, column) == SQLITE_INTEGER;
}

bool db_is_number(const struct db *db, enum statement which, int column)
{
    int type = column_type(db, which, column);
    return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

bool db_is_text(const struct db *db, enum statement which, int column)
{
    return column_type(db, which, column) == SQLITE_TEXT;
}

int64_t db_int(const struct db *db, enum statement which, int column)
{
    return sqlite3_column_int64(db->statements[which], column);
}

double db_real(const struct db *db, enum statement which, int column)
{
    return sqlite3_column_double(db->statements[which], column);
}

const char *db_text(const struct db *db, enum statement which, int column, size_t *n_bytes)
{
    const unsigned char *text = sqlite3_column_text(db->statements[which], column);
    if (n_bytes != NULL)
        *n_bytes = text == NULL ? 0 : (size_t)sqlite3_column_bytes(db->statements[which], column);
    return text == NULL ? "" : (const char *)text;
}

const void *db_blob(const struct db *db, enum statement which, int column, size_t *n_bytes)
{
    const void *bytes = sqlite3_column_blob(db->statements[which], column);
    *n_bytes = bytes == NULL ? 0 : (size_t)sqlite3_column_bytes(db->statements[which], column);
    return bytes;
}

int db_text_dup(char **out, const struct db *db, enum statement which, int column, struct err *err)
{
    size_t n_bytes;
    const char *text = db_text(db, which, column, &n_bytes);
    *out = malloc(n_bytes + 1);
    if (*out == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a text of %zu bytes", n_bytes);
    memcpy(*out, text, n_bytes + 1);
    return 0;
}

/* ---- transactions and the WAL ---- */

bool db_in_transaction(const struct db *db)
{
    return sqlite3_get_autocommit(db->handle) == 0;
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
    return n_frames <= 0 ? 0 : (uint64_t)n_frames * (PAGE_BYTES + WAL_FRAME_HEADER_BYTES);
}

/* SQLite calls this after each commit with the length of the WAL. */
static int wal_grown(void *context, sqlite3 *handle, const char *name, int n_frames)
{
    (void)handle, (void)name;
    struct db *db = context;
    db->wal_bytes = frames_to_bytes(n_frames);
    return SQLITE_OK;
}

int db_checkpoint(struct db *db, bool truncate, struct err *err)
{
    int n_log = 0, n_done = 0;
    errno = 0;
    int rc = sqlite3_wal_checkpoint_v2(
        db->handle, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &n_log, &n_done);
    if (rc != SQLITE_OK)
        return fail(db, rc, errno, err);
    /* What has been copied will be overwritten from the start of the file by the next commit. */
    db->wal_bytes = frames_to_bytes(n_log - n_done);
    return 0;
}

/* ---- a copy ---- */

struct db_copy {
    sqlite3 *to;
    sqlite3_backup *backup;
    char *path;
};

/* What SQLite says of the copy. */
static int copy_failed(const struct db_copy *copy, int rc, int os_error, struct err *err)
{
    const bool full = rc == SQLITE_FULL || os_error == ENOSPC || os_error == EDQUOT || os_error == EFBIG;
    err_set(err,
            rc == SQLITE_NOMEM ? ERR_MEMORY
            : full             ? ERR_STORAGE_FULL
                               : ERR_STORAGE,
            "%.200s cannot be written: %s", copy->path, sqlite3_errstr(rc));
    if (err != NULL)
        err->detail = rc;
    return -1;
}

/* Half a copy is worth nothing, so it needs neither journal nor sync: who wants it kept syncs it in the end. */
int db_copy_open(struct db_copy **out, struct db *db, const char *to, struct err *err)
{
    static const enum statement pragmas[] = {SQL_COPY_NO_JOURNAL, SQL_COPY_NO_SYNC};
    struct db_copy *copy = calloc(1, sizeof *copy);
    *out = NULL;
    if (copy == NULL || (copy->path = strdup(to)) == NULL) {
        free(copy);
        return err_set(err, ERR_MEMORY, "out of memory for a copy");
    }
    errno = 0;
    int rc = sqlite3_open_v2(to, &copy->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof pragmas / sizeof *pragmas; i++)
        rc = sqlite3_exec(copy->to, statement_texts[pragmas[i]], NULL, NULL, NULL);
    if (rc == SQLITE_OK && (copy->backup = sqlite3_backup_init(copy->to, "main", db->handle, "main")) == NULL)
        rc = sqlite3_extended_errcode(copy->to);
    if (rc != SQLITE_OK) {
        copy_failed(copy, rc, errno, err);
        db_copy_close(copy);
        return -1;
    }
    *out = copy;
    return 0;
}

int db_copy_step(struct db_copy *copy, int n_pages, struct err *err)
{
    errno = 0;
    int rc = sqlite3_backup_step(copy->backup, n_pages);
    const int os_error = errno;
    if (rc == SQLITE_OK)
        return 1;
    if (rc == SQLITE_DONE) {
        rc = sqlite3_backup_finish(copy->backup);
        copy->backup = NULL;
    }
    return rc == SQLITE_OK ? 0 : copy_failed(copy, rc, os_error, err);
}

void db_copy_progress(const struct db_copy *copy, uint64_t *done_bytes, uint64_t *total_bytes)
{
    const int total = copy->backup != NULL ? sqlite3_backup_pagecount(copy->backup) : 0;
    const int left = copy->backup != NULL ? sqlite3_backup_remaining(copy->backup) : 0;
    *total_bytes = (uint64_t)total * PAGE_BYTES;
    *done_bytes = (uint64_t)(total - left) * PAGE_BYTES;
}

void db_copy_close(struct db_copy *copy)
{
    if (copy == NULL)
        return;
    (void)sqlite3_backup_finish(copy->backup);
    (void)sqlite3_close(copy->to);
    free(copy->path);
    free(copy);
}

/* ---- opening ---- */

/* One pragma, and what it must answer (NULL: whatever). */
struct setting_pragma {
    enum statement which;
    const char *answer;
};

static int apply_pragmas(struct db *db, const struct setting_pragma *pragmas, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        int status = db_step(db, pragmas[i].which, err);
        if (status < 0)
            return -1;
        bool is_number = status == 1 && db_is_int(db, pragmas[i].which, 0);
        const char *answer = status == 1 ? db_text(db, pragmas[i].which, 0, NULL) : "";
        if (is_number && answer[0] == '\0') { /* the text of a number takes memory */
            db_reset(db, pragmas[i].which);
            return err_set(err, ERR_MEMORY, "out of memory for a pragma");
        }
        bool good = pragmas[i].answer == NULL || strcmp(answer, pragmas[i].answer) == 0;
        if (!good)
            err_set(err, ERR_STORAGE, "%s: SQLite answers \"%s\" to %s", db->path, answer,
                    statement_texts[pragmas[i].which]);
        db_reset(db, pragmas[i].which);
        if (!good)
            return -1;
    }
    return 0;
}

static int ask_int(struct db *db, enum statement which, int64_t *value, struct err *err)
{
    int status = db_step(db, which, err);
    if (status < 0)
        return -1;
    *value = status == 1 ? db_int(db, which, 0) : 0;
    db_reset(db, which);
    return 0;
}

/* Is it a convd database, and of which version? The first read, so this is where the lock is met, too. */
static int recognise(struct db *db, int *version, struct err *err)
{
    int64_t application = 0, user_version = 0, pages = 0;
    if (ask_int(db, SQL_APPLICATION_ID, &application, err) != 0 ||
        ask_int(db, SQL_USER_VERSION, &user_version, err) != 0 || ask_int(db, SQL_PAGE_COUNT, &pages, err) != 0)
        return -1;
    if (pages == 0)
        return err_set(err, ERR_DB_FOREIGN, "%s is empty, not a convd database; remove it and make one", db->path);
    if (application != APPLICATION_ID)
        return err_set(err, ERR_DB_FOREIGN, "%s is an SQLite database, but not one of convd", db->path);
    if (user_version > schema_version)
        return err_set(err, ERR_DB_NEWER, "%s has format %lld, made by a newer convd; this one knows up to %d",
                       db->path, (long long)user_version, schema_version);
    if (user_version < 1)
        return err_set(err, ERR_DB_CORRUPT, "%s has format %lld, which no convd has made", db->path,
                       (long long)user_version);
    *version = (int)user_version;
    return 0;
}

/* From format `version` to the one that this binary writes, each step in a transaction of its own: a crash leaves one
 * format or the next. */
static int migrate(struct db *db, int version, struct err *err)
{
    for (; version < schema_version; version++) {
        int64_t reached = 0;
        if (db_run(db, SQL_BEGIN, err) != 0)
            return -1;
        errno = 0;
        int rc = sqlite3_exec(db->handle, schema_sql[version], NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
            fail(db, rc, errno, err);
            db_rollback(db);
            return err_wrap(err, "cannot migrate to format %d", version + 1);
        }
        if (ask_int(db, SQL_USER_VERSION, &reached, err) != 0 || db_run(db, SQL_COMMIT, err) != 0) {
            db_rollback(db);
            return -1;
        }
        assert(reached == version + 1); /* each file of schema/ ends by setting it */
    }
    return 0;
}

static int set_up(struct db *db, enum db_access access, enum how how, struct err *err)
{
    static const struct setting_pragma careful[] = {
        {SQL_UNTRUSTED_SCHEMA, NULL},
        {SQL_CELL_SIZE_CHECK, NULL},
        {SQL_TEMP_IN_MEMORY, NULL},
        {SQL_CACHE_SIZE, NULL},
    };
    static const struct setting_pragma size[] = {{SQL_PAGE_SIZE, NULL}};
    static const struct setting_pragma alone[] = {{SQL_LOCKING_EXCLUSIVE, "exclusive"}};
    static const struct setting_pragma durable[] = {
        {SQL_JOURNAL_WAL, "wal"},     {SQL_SYNCHRONOUS_FULL, NULL}, {SQL_SYNCHRONOUS, "2"},
        {SQL_NO_AUTOCHECKPOINT, "0"}, {SQL_FOREIGN_KEYS, NULL},     {SQL_SECURE_DELETE, "1"},
    };
    static const struct setting_pragma reading[] = {{SQL_QUERY_ONLY, NULL}};

    /* Until the file is known to be ours, closing it must not touch it. */
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    int version = 0;
    /* The locking mode comes first of all: some pragmas (cache_size is one) read the schema, and once a WAL was opened with
     * a shared wal-index it stays shared, so that a second process would get in. */
    if ((how == HOW_ALONE && apply_pragmas(db, alone, 1, err) != 0) ||
        (access == DB_CREATE && apply_pragmas(db, size, 1, err) != 0) ||
        apply_pragmas(db, careful, sizeof careful / sizeof *careful, err) != 0 ||
        (access != DB_CREATE && recognise(db, &version, err) != 0))
        return -1;
    if (access == DB_READ) {
        if (version < schema_version)
            return err_set(err, ERR_DB_READONLY, "%s has the older format %d: open it once for writing", db->path,
                           version);
        return apply_pragmas(db, reading, 1, err);
    }
    if (apply_pragmas(db, durable, sizeof durable / sizeof *durable, err) != 0)
        return -1;
    (void)sqlite3_wal_hook(db->handle, wal_grown, db);
    if (migrate(db, version, err) != 0)
        return -1;
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return 0;
}

/* "file:" URI of an absolute path, with ?immutable=1. */
static char *immutable_uri(const char *path)
{
    size_t room = 3 * strlen(path) + 32, used = 0;
    char *uri = malloc(room);
    if (uri == NULL)
        return NULL;
    used += (size_t)snprintf(uri, room, "file:");
    for (const char *p = path; *p != '\0'; p++)
        used +=
            (size_t)snprintf(uri + used, room - used, strchr("%?#", *p) != NULL ? "%%%02X" : "%c", (unsigned char)*p);
    (void)snprintf(uri + used, room - used, "?immutable=1");
    return uri;
}

/* An immutable connection takes no lock, so this takes the one that SQLite's readers take; a writer then finds the file
 * busy. Only used on files that this process cannot write, so that closing the descriptor drops no lock of ours. */
static int lock_shared(struct db *db, struct err *err)
{
    db->lock_fd = open(db->path, O_RDONLY | O_CLOEXEC);
    if (db->lock_fd < 0)
        return err_set(err, ERR_DB_READONLY, "%s cannot be opened: %s", db->path, strerrordesc_np(errno));
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = SHARED_LOCK_FIRST, .l_len = SHARED_LOCK_BYTES};
    if (fcntl(db->lock_fd, F_OFD_SETLK, &lock) != 0 && (errno == EAGAIN || errno == EACCES))
        return err_set(err, ERR_DB_LOCKED, "%s is in use by another process", db->path);
    return 0; /* a file system without locks cannot be helped */
}

static int open_how(struct db **out, const char *path, enum db_access access, enum how how, struct err *err)
{
    char *uri = NULL;
    struct db *db = calloc(1, sizeof *db);
    if (db == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a connection");
    db->lock_fd = -1;
    db->read_only = access == DB_READ;
    db->path = strdup(path);
    if (db->path == NULL) {
        err_set(err, ERR_MEMORY, "out of memory for a path");
        goto out;
    }
    if (how == HOW_IMMUTABLE && (lock_shared(db, err) != 0))
        goto out;
    if (how == HOW_IMMUTABLE && (uri = immutable_uri(path)) == NULL) {
        err_set(err, ERR_MEMORY, "out of memory for a path");
        goto out;
    }
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (how == HOW_ALONE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | (uri != NULL ? SQLITE_OPEN_URI : 0);
    int rc = sqlite3_open_v2(uri != NULL ? uri : path, &db->handle, flags, NULL);
    if (rc != SQLITE_OK) {
        if (db->handle == NULL)
            err_set(err, ERR_MEMORY, "out of memory for a connection");
        else
            fail(db, rc, sqlite3_system_errno(db->handle), err);
        goto out;
    }
    /* SQLite falls back to reading in silence. */
    if (how == HOW_ALONE && sqlite3_db_readonly(db->handle, "main") == 1) {
        err_set(err, ERR_DB_READONLY, "%s cannot be written", path);
        goto out;
    }
    if (set_up(db, access, how, err) != 0)
        goto out;
    free(uri);
    *out = db;
    return 0;
out:
    free(uri);
    db_close(db);
    return -1;
}

static uint64_t file_bytes(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && status.st_size > 0 ? (uint64_t)status.st_size : 0;
}

/* "<path>-wal", malloc'ed. */
static char *wal_path(const char *path)
{
    size_t room = strlen(path) + 5;
    char *wal = malloc(room);
    if (wal != NULL)
        (void)snprintf(wal, room, "%s-wal", path);
    return wal;
}

int db_open(struct db **out, const char *path, enum db_access access, struct err *err)
{
    struct err ignored;
    err = err != NULL ? err : &ignored;
    *out = NULL;
    int status = -1;
    char *wal = NULL;
    char *real = realpath(path, NULL); /* SQLite keeps the WAL beside the file that a symbolic link points to */
    if (real == NULL && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_DB_MISSING, "%s is not there; convd init makes one", path);
    if (real == NULL)
        return err_set(err, errno == ENOMEM ? ERR_MEMORY : ERR_DB_READONLY, "%s cannot be opened: %s", path,
                       strerrordesc_np(errno));
    struct stat file;
    if (stat(real, &file) == 0 && !S_ISREG(file.st_mode)) {
        err_set(err, ERR_DB_FOREIGN, "%s is not a file", path);
        goto out;
    }
    if ((wal = wal_path(real)) == NULL) {
        err_set(err, ERR_MEMORY, "out of memory for a path");
        goto out;
    }
    uint64_t wal_bytes = file_bytes(wal);
    status = open_how(out, real, access, HOW_ALONE, err);
    if (status != 0 && access == DB_READ && err->code == ERR_DB_READONLY) {
        /* File or directory cannot be written. A WAL can only be read with a wal-index, which needs the directory. */
        status = open_how(out, real, access, wal_bytes > 0 ? HOW_SHARED : HOW_IMMUTABLE, err);
        if (status != 0 && wal_bytes > 0 && (err->code == ERR_DB_READONLY || err->code == ERR_STORAGE))
            err_set(err, ERR_DB_READONLY,
                    "%s holds changes that were not yet copied, and they can only be read where the directory can be "
                    "written: open it once as its owner",
                    wal);
    }
    if (status == 0) {
        (*out)->wal_bytes = (*out)->wal_bytes > wal_bytes ? (*out)->wal_bytes : wal_bytes;
        /* An empty WAL may go again with the reader who made it; one with something in it stays untouched. */
        if (access == DB_READ && wal_bytes == 0)
            (void)sqlite3_db_config((*out)->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    } else if (err->code == ERR_DB_LOCKED) {
        int detail = err->detail;
        err_set(err, ERR_DB_LOCKED, "%s is in use by another convd: stop that one, or talk to it with --url", path);
        err->detail = detail;
    } else if (err->code == ERR_DB_FOREIGN && err->detail == SQLITE_NOTADB) {
        err_set(err, ERR_DB_FOREIGN, "%s is not a convd database: it is not SQLite", path);
        err->detail = SQLITE_NOTADB;
    }
out:
    free(wal);
    free(real);
    return status;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    for (int i = 0; i < SQL_N; i++)
        (void)sqlite3_finalize(db->statements[i]);
    if (db->handle != NULL) {
        /* After a failed sync the kernel may hold pages that are not on the disk: copying them would not help. */
        if (db->sync_failed)
            (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        int rc = sqlite3_close(db->handle);
        assert(rc == SQLITE_OK);
        (void)rc;
    }
    if (db->lock_fd >= 0)
        (void)close(db->lock_fd);
    free(db->path);
    free(db);
}
