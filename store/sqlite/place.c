/* place.c - whether what is written will be found again. SQLite writes to the files that it has opened, whatever becomes of their
 * names: after rm or mv it goes on, into a file that nobody will open. So the names are looked at before each commit (SQLite's commit
 * hook: whatever the statement, it then becomes a rollback), and whenever somebody asks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/sqlite/internal.h"

static int identify(struct db_file *file)
{
    struct stat about;
    if (stat(file->path, &about) != 0)
        return -1;
    file->device = about.st_dev;
    file->inode = about.st_ino;
    return 0;
}

/* A folder that cannot be looked into for the moment is no loss. */
static const char *what_became_of(const struct db_file *file)
{
    struct db_file now = {.path = file->path};
    if (file->path == NULL)
        return NULL;
    if (identify(&now) != 0)
        return errno == ENOENT || errno == ENOTDIR ? "no longer exists" : NULL;
    return now.device != file->device || now.inode != file->inode ? "was replaced by another file" : NULL;
}

static bool look(struct db *db)
{
    for (size_t i = 0; i < sizeof db->files / sizeof *db->files && db->lost.code == ERR_NONE; i++) {
        const char *fate = what_became_of(&db->files[i]);
        if (fate != NULL)
            err_set(&db->lost, ERR_DB_LOST, "%.200s %s: nothing more is written", db->files[i].path, fate);
    }
    return db->lost.code == ERR_NONE;
}

static int before_commit(void *context)
{
    return look(context) ? 0 : 1;
}

int db_place_watch(struct db *db, struct err *err)
{
    static const char *const ends[] = {"", "-wal"};
    const size_t room = strlen(db->path) + sizeof "-wal";
    for (size_t i = 0; i < 2; i++) {
        struct db_file file = {.path = malloc(room)};
        if (file.path == NULL)
            return err_memory(err, "a path");
        (void)snprintf(file.path, room, "%s%s", db->path, ends[i]);
        if (identify(&file) != 0) {
            err_set(err, ERR_STORAGE, "cannot stat %s: %s", file.path, strerror(errno));
            free(file.path);
            return -1;
        }
        db->files[i] = file;
    }
    (void)sqlite3_commit_hook(db_handle(db), before_commit, db);
    return 0;
}

int db_check_place(struct db *db, struct err *err)
{
    if (look(db))
        return 0;
    /* What was committed must be in the file, wherever that is now, and in no WAL that another database would take for its own. */
    if (!db->rescued && !db->sync_failed)
        db->rescued = db_checkpoint(db, true, NULL) == 0;
    if (err != NULL)
        *err = db->lost;
    return -1;
}

void db_place_fini(struct db *db)
{
    for (size_t i = 0; i < sizeof db->files / sizeof *db->files; i++)
        free(db->files[i].path);
}
