/* open.c - which file it is, who may have it, and how the connection is set up.
 *
 * Why the connection is set up as it is (each was measured; docs/promises.md says more):
 *   locking_mode EXCLUSIVE before WAL   the wal-index lives in our memory, no -shm file; nobody else can get between
 *   wal_autocheckpoint 0                a checkpoint inside a commit is the p99; the trainer does it when idle
 *   journal_size_limit 32 MB            the WAL keeps its blocks and is written over; what a huge group made of it goes
 *   synchronous FULL, read back         NORMAL loses acknowledged rows at a power cut
 *   secure_delete                       what is forgotten is overwritten
 *   trusted_schema OFF, cell_size_check a file from elsewhere may be hostile or damaged, and so
 *   no triggers, no views               there are none that convd needs, and db_check_schema() lets no others in
 *   cache of 1 MB                       the log is written once and read once; the kernel caches the rest
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite/internal.h"
#include "store/sqlite/schema.h"

#define APPLICATION_ID 0x636f6e76 /* as in schema/0001.sql */

/* Where SQLite keeps its shared lock in a database file (os.h of SQLite: it is part of the file format). */
#define SHARED_LOCK_FIRST 0x40000002
#define SHARED_LOCK_BYTES 510

enum how {
    HOW_ALONE,     /* read and write, under the exclusive lock                                     */
    HOW_SHARED,    /* read only, beside others: needs a directory in which -shm can be made        */
    HOW_IMMUTABLE, /* read only, nothing beside the file is looked at or made                      */
};

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
            return err_memory(err, "a pragma");
        }
        bool good = pragmas[i].answer == NULL || strcmp(answer, pragmas[i].answer) == 0;
        if (!good)
            err_set(err, ERR_STORAGE, "%s: SQLite answers \"%s\" to %s", db->path, answer,
                    db_statement_text(pragmas[i].which));
        db_reset(db, pragmas[i].which);
        if (!good)
            return -1;
    }
    return 0;
}

/* Is it a convd database, and of which version? The first read, so this is where the lock is met, too. */
static int recognise(struct db *db, int *version, struct err *err)
{
    int64_t application = 0, user_version = 0, pages = 0;
    if (db_number(&application, db, SQL_APPLICATION_ID, err) != 0 ||
        db_number(&user_version, db, SQL_USER_VERSION, err) != 0 || db_number(&pages, db, SQL_PAGE_COUNT, err) != 0)
        return -1;
    if (pages == 0)
        return err_set(err, ERR_DB_FOREIGN,
                       "%s is empty, not a convd database: remove it, and create one with convd init", db->path);
    if (application != APPLICATION_ID)
        return err_set(err, ERR_DB_FOREIGN, "%s is an SQLite database, but not one of convd", db->path);
    if (user_version > schema_version)
        return err_set(err, ERR_DB_NEWER, "%s has format %lld, of a newer convd; this one reads formats up to %d",
                       db->path, (long long)user_version, schema_version);
    if (user_version < 1)
        return err_set(err, ERR_DB_CORRUPT, "%s has format %lld, which no convd has written", db->path,
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
        int rc = sqlite3_exec(db_handle(db), schema_sql[version], NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
            db_fail(db, rc, errno, err);
            db_rollback(db);
            return err_wrap(err, "cannot migrate to format %d", version + 1);
        }
        if (db_number(&reached, db, SQL_USER_VERSION, err) != 0 || db_run(db, SQL_COMMIT, err) != 0) {
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
        {SQL_NO_AUTOCHECKPOINT, "0"}, {SQL_WAL_KEEPS, "33554432"},  {SQL_FOREIGN_KEYS, NULL},
        {SQL_SECURE_DELETE, "1"},
    };
    static const struct setting_pragma reading[] = {{SQL_QUERY_ONLY, NULL}};

    db_bound_work(db);
    (void)sqlite3_db_config(db_handle(db), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(db_handle(db), SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    /* Until the file is known to be ours, closing it must not touch it. */
    (void)sqlite3_db_config(db_handle(db), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(db_handle(db), SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    int version = 0;
    /* The locking mode comes first of all: some pragmas (cache_size is one) read the schema, and once a WAL was opened with
     * a shared wal-index it stays shared, so that a second process would get in. */
    if ((how == HOW_ALONE && apply_pragmas(db, alone, 1, err) != 0) ||
        (access == DB_CREATE && apply_pragmas(db, size, 1, err) != 0) ||
        apply_pragmas(db, careful, sizeof careful / sizeof *careful, err) != 0 ||
        (access != DB_CREATE && (recognise(db, &version, err) != 0 || db_check_schema(db, version, err) != 0)))
        return -1;
    if (access == DB_READ) {
        if (version < schema_version)
            return err_set(err, ERR_DB_READONLY, "%s has the older format %d: open it once for writing", db->path,
                           version);
        return apply_pragmas(db, reading, 1, err);
    }
    if (apply_pragmas(db, durable, sizeof durable / sizeof *durable, err) != 0)
        return -1;
    db_watch_wal(db);
    if (migrate(db, version, err) != 0 || db_place_watch(db, err) != 0)
        return -1;
    (void)sqlite3_db_config(db_handle(db), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
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
        return err_set(err, ERR_DB_READONLY, "%s cannot be opened: %s", db->path, strerror(errno));
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
        return err_memory(err, "a connection");
    db_take(db);
    db->lock_fd = -1;
    db->read_only = access == DB_READ;
    db->path = strdup(path);
    if (db->path == NULL) {
        err_memory(err, "a path");
        goto out;
    }
    if (how == HOW_IMMUTABLE && (lock_shared(db, err) != 0))
        goto out;
    if (how == HOW_IMMUTABLE && (uri = immutable_uri(path)) == NULL) {
        err_memory(err, "a path");
        goto out;
    }
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (how == HOW_ALONE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | (uri != NULL ? SQLITE_OPEN_URI : 0);
    int rc = sqlite3_open_v2(uri != NULL ? uri : path, &db->handle, flags, NULL);
    if (rc != SQLITE_OK) {
        if (db->handle == NULL)
            err_memory(err, "a connection");
        else
            db_fail(db, rc, sqlite3_system_errno(db_handle(db)), err);
        goto out;
    }
    /* SQLite falls back to reading in silence. */
    if (how == HOW_ALONE && sqlite3_db_readonly(db_handle(db), "main") == 1) {
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
        return err_set(err, ERR_DB_MISSING, "%s does not exist; convd init creates it", path);
    if (real == NULL)
        return err_set(err, errno == ENOMEM ? ERR_MEMORY : ERR_DB_READONLY, "%s cannot be opened: %s", path,
                       strerror(errno));
    struct stat file;
    if (stat(real, &file) == 0 && !S_ISREG(file.st_mode)) {
        err_set(err, ERR_DB_FOREIGN, "%s is not a file", path);
        goto out;
    }
    if ((wal = wal_path(real)) == NULL) {
        err_memory(err, "a path");
        goto out;
    }
    uint64_t wal_bytes = file_bytes(wal);
    status = open_how(out, real, access, HOW_ALONE, err);
    if (status != 0 && access == DB_READ && err->code == ERR_DB_READONLY) {
        /* File or directory cannot be written. A WAL can only be read with a wal-index, which needs the directory. */
        status = open_how(out, real, access, wal_bytes > 0 ? HOW_SHARED : HOW_IMMUTABLE, err);
        if (status != 0 && wal_bytes > 0 && (err->code == ERR_DB_READONLY || err->code == ERR_STORAGE))
            err_set(err, ERR_DB_READONLY,
                    "%s has changes in its WAL, which can be read only where the directory is writable: open it once "
                    "as its owner",
                    wal);
    }
    if (status == 0) {
        (*out)->wal_bytes = (*out)->wal_bytes > wal_bytes ? (*out)->wal_bytes : wal_bytes;
        /* An empty WAL may go again with the reader who made it; one with something in it stays untouched. */
        if (access == DB_READ && wal_bytes == 0)
            (void)sqlite3_db_config(db_handle(*out), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
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
        (void)sqlite3_finalize(db_statement(db, (enum statement)i));
    if (db->handle != NULL) {
        (void)db_check_place(db, NULL);
        /* After a failed sync the kernel may hold pages that are not on the disk: copying them would not help. */
        if (db->sync_failed)
            (void)sqlite3_db_config(db_handle(db), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        int rc = sqlite3_close(db_handle(db));
        assert(rc == SQLITE_OK);
        (void)rc;
    }
    if (db->lock_fd >= 0)
        (void)close(db->lock_fd);
    db_place_fini(db);
    free(db->path);
    free(db);
}
