/* copy.c - the database into another file, while it is used. See store/sqlite/db.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/sqlite/internal.h"

struct db_copy {
    const struct db *from; /* whose thread it is: SQLite's list of backups hangs on that connection */
    sqlite3 *to;
    sqlite3_backup *backup;
    char *path;
};

static sqlite3_backup *backup_of(const struct db_copy *copy)
{
    (void)db_handle(copy->from);
    return copy->backup;
}

/* What SQLite says of the copy. */
static int copy_failed(const struct db_copy *copy, int rc, int os_error, struct err *err)
{
    const bool full = rc == SQLITE_FULL || db_no_room(os_error);
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
        return err_memory(err, "a copy");
    }
    copy->from = db;
    errno = 0;
    int rc = sqlite3_open_v2(to, &copy->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof pragmas / sizeof *pragmas; i++)
        rc = sqlite3_exec(copy->to, db_statement_text(pragmas[i]), NULL, NULL, NULL);
    if (rc == SQLITE_OK && (copy->backup = sqlite3_backup_init(copy->to, "main", db_handle(db), "main")) == NULL)
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
    int rc = sqlite3_backup_step(backup_of(copy), n_pages);
    const int os_error = errno;
    if (rc == SQLITE_OK)
        return 1;
    if (rc == SQLITE_DONE) {
        rc = sqlite3_backup_finish(backup_of(copy));
        copy->backup = NULL;
    }
    return rc == SQLITE_OK ? 0 : copy_failed(copy, rc, os_error, err);
}

void db_copy_progress(const struct db_copy *copy, uint64_t *done_bytes, uint64_t *total_bytes)
{
    const int total = copy->backup != NULL ? sqlite3_backup_pagecount(backup_of(copy)) : 0;
    const int left = copy->backup != NULL ? sqlite3_backup_remaining(backup_of(copy)) : 0;
    *total_bytes = (uint64_t)total * DB_PAGE_BYTES;
    *done_bytes = (uint64_t)(total - left) * DB_PAGE_BYTES;
}

void db_copy_close(struct db_copy *copy)
{
    if (copy == NULL)
        return;
    (void)sqlite3_backup_finish(backup_of(copy));
    (void)sqlite3_close(copy->to);
    free(copy->path);
    free(copy);
}
