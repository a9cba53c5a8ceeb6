/* store.c - one file per model: made whole or not at all, opened by one at a time. See store.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/internal.h"

/* ---- opening ---- */

int store_read_origin(struct store *store, struct err *err)
{
    struct db *db = store->db;
    char *body = NULL;
    int status = db_step(db, SQL_EVENT_FIRST, err);
    if (status < 0)
        return -1;
    bool found = status == 1 && strcmp(db_text(db, SQL_EVENT_FIRST, 0, NULL), event_kind_name(EVENT_CREATE)) == 0;
    status = found ? db_text_dup(&body, db, SQL_EVENT_FIRST, 1, err)
                   : err_set(err, ERR_DB_CORRUPT, "it should be there and create the model");
    db_reset(db, SQL_EVENT_FIRST);
    if (status == 0)
        status = event_parse_create(&store->origin, db, body, strlen(body), err);
    free(body);
    return status == 0 ? 0 : err_wrap(err, "%s: revision 1", db_path(db));
}

/* One more than the last id that was ever given: ids of samples that are gone are not given again. */
static int read_next_sample(struct store *store, struct err *err)
{
    struct db *db = store->db;
    struct event event = {.kind = EVENT_TRAIN};
    struct sample_run run = {0};
    struct err why = {0};
    size_t n_body;
    store->end.next_sample = 1;
    int status = db_step(db, SQL_SAMPLE_LAST, err);
    if (status == 1)
        store->end.next_sample = db_int(db, SQL_SAMPLE_LAST, 0) + 1;
    db_reset(db, SQL_SAMPLE_LAST);
    if (status >= 0)
        status = db_step(db, SQL_TRAIN_LAST, err);
    if (status == 1) {
        const char *body = db_text(db, SQL_TRAIN_LAST, 0, &n_body);
        status = event_parse(&event, &run, db, body, n_body, &why);
        if (status == 0 && run.first + run.n > store->end.next_sample)
            store->end.next_sample = run.first + run.n;
        /* A damaged body is for the replay to find, and to name. */
        if (status != 0 && why.code == ERR_DB_CORRUPT)
            status = 0;
        else if (status != 0 && err != NULL)
            *err = why;
    }
    db_reset(db, SQL_TRAIN_LAST);
    return status < 0 ? -1 : 0;
}

int store_read_end(struct store *store, struct err *err)
{
    struct db *db = store->db;
    size_t n_chain = 0;
    int status = db_step(db, SQL_EVENT_LAST, err);
    if (status == 1) {
        store->end.revision = (uint64_t)db_int(db, SQL_EVENT_LAST, 0);
        const void *chain = db_blob(db, SQL_EVENT_LAST, 1, &n_chain);
        if (n_chain == CHAIN_BYTES)
            memcpy(store->end.chain, chain, CHAIN_BYTES);
    }
    db_reset(db, SQL_EVENT_LAST);
    if (status < 0)
        return -1;
    if (n_chain != CHAIN_BYTES)
        return err_set(err, ERR_DB_CORRUPT, "%s: the last row of the log has no chain", db_path(db));
    return read_next_sample(store, err);
}

int store_open(struct store **out, const char *path, bool read_only, struct err *err)
{
    *out = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a store");
    if (db_open(&store->db, path, read_only ? DB_READ : DB_WRITE, err) != 0 || store_read_origin(store, err) != 0 ||
        store_read_end(store, err) != 0 || edit_spans_read(store, err) != 0) {
        store_close(store);
        return -1;
    }
    *out = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    store_rollback(store);
    rehearsal_free(store->rehearsal);
    free(store->spans);
    db_close(store->db);
    origin_fini(&store->origin);
    free(store);
}

/* ---- making a new file ---- */

/* SQLite's own files beside a database. A left-over one would be taken for that of a new database with the same name, and
 * be played back into it. */
static const char *const side_suffixes[] = {"-wal", "-journal"};
#define SIDE_SUFFIX_BYTES sizeof "-journal"

static char *with_suffix(const char *path, const char *suffix, struct err *err)
{
    size_t room = strlen(path) + strlen(suffix) + 1;
    char *joined = malloc(room);
    if (joined == NULL)
        err_set(err, ERR_MEMORY, "out of memory for a path");
    else
        (void)snprintf(joined, room, "%s%s", path, suffix);
    return joined;
}

static int file_error(int os_error, const char *path, struct err *err)
{
    enum err_code code = ERR_STORAGE;
    switch (os_error) {
    case EACCES:
    case EPERM:
    case EROFS:
        code = ERR_DB_READONLY;
        break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        code = ERR_STORAGE_FULL;
        break;
    case EEXIST:
        code = ERR_CONFLICT;
        break;
    case ENOENT:
    case ENOTDIR:
        code = ERR_DB_MISSING;
        break;
    default:
        break;
    }
    err_set(err, code, "%s cannot be made: %s", path,
            os_error == EEXIST   ? "it exists"
            : os_error == ENOENT ? "its directory is not there"
                                 : strerrordesc_np(os_error));
    if (err != NULL)
        err->detail = os_error;
    return -1;
}

static int check_absent(const char *path, struct err *err)
{
    struct stat status;
    if (lstat(path, &status) == 0)
        return file_error(EEXIST, path, err);
    if (errno != ENOENT)
        return file_error(errno, path, err);
    for (size_t i = 0; i < sizeof side_suffixes / sizeof *side_suffixes; i++) {
        char *side = with_suffix(path, side_suffixes[i], err);
        if (side == NULL)
            return -1;
        bool there = lstat(side, &status) == 0;
        if (there)
            err_set(err, ERR_CONFLICT, "%s is left over from another database: remove it first", side);
        free(side);
        if (there)
            return -1;
    }
    return 0;
}

/* An empty file with a name of its own beside `path`; the name is malloc'ed, with room for each of side_suffixes. */
static char *make_temporary(const char *path, struct err *err)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        unsigned number = 0;
        char suffix[24];
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            number = (unsigned)getpid() + (unsigned)attempt;
        (void)snprintf(suffix, sizeof suffix, ".new-%08x", number);
        size_t room = strlen(path) + sizeof suffix + SIDE_SUFFIX_BYTES;
        char *temporary = malloc(room);
        if (temporary == NULL) {
            err_set(err, ERR_MEMORY, "out of memory for a path");
            return NULL;
        }
        (void)snprintf(temporary, room, "%s%s", path, suffix);
        int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            (void)close(fd); /* before SQLite opens it: closing would drop SQLite's locks */
            return temporary;
        }
        int os_error = errno;
        free(temporary);
        if (os_error != EEXIST) {
            file_error(os_error, path, err);
            return NULL;
        }
    }
    file_error(EEXIST, path, err);
    return NULL;
}

/* Whatever of a half-made database is there. The names are made in place: memory may be what was wanting. */
static void remove_temporary(char *temporary)
{
    size_t n = strlen(temporary);
    (void)unlink(temporary);
    for (size_t i = 0; i < sizeof side_suffixes / sizeof *side_suffixes; i++) {
        memcpy(temporary + n, side_suffixes[i], strlen(side_suffixes[i]) + 1);
        (void)unlink(temporary);
    }
    temporary[n] = '\0';
}

/* Gives the file its name, never over another one. */
static int publish(const char *temporary, const char *path, struct err *err)
{
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return file_error(errno, path, err);
    /* A file system without that: a second name fails as well where one is there. */
    if (link(temporary, path) != 0)
        return file_error(errno, path, err);
    (void)unlink(temporary);
    return 0;
}

/* A new name survives a power cut once its directory was synced. */
static int sync_directory(const char *path, struct err *err)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a path");
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = fd >= 0 && fsync(fd) == 0 ? 0 : file_error(errno, path, err);
    if (fd >= 0)
        (void)close(fd);
    free(copy);
    return status;
}

/* Schema, create event, classes and first snapshot into the empty file, all on the disk when it returns. */
static int fill(const char *temporary, const struct event *create, const struct learner *learner, struct err *err)
{
    uint8_t digest[DIGEST_BYTES];
    struct event event = *create;
    struct store store = {.origin = {.event = *create}, .end = {.next_sample = 1}};
    store.origin.event.as.create.shape = learner->shape; /* with the derived members */
    event.revision = 1;
    learner_digest(learner, digest);
    int status = db_open(&store.db, temporary, DB_CREATE, err);
    if (status == 0)
        status = store_begin(&store, err);
    if (status == 0)
        status = log_write(&store, &event, digest, err);
    if (status == 0)
        status = classes_create(&store, create, err);
    if (status == 0)
        status = snapshot_write(&store, learner, "create", "", true, NULL, err);
    if (status == 0)
        status = store_commit(&store, err);
    if (status == 0) /* close would do it too, but could not say that it failed */
        status = db_checkpoint(store.db, true, err);
    store_rollback(&store);
    db_close(store.db);
    return status;
}

int store_create(struct store **out, const char *path, const struct event *create, const struct learner *learner,
                 struct err *err)
{
    *out = NULL;
    assert(create->kind == EVENT_CREATE && learner->revision == 1);
    if (check_absent(path, err) != 0)
        return -1;
    char *temporary = make_temporary(path, err);
    if (temporary == NULL)
        return -1;
    int status = fill(temporary, create, learner, err);
    if (status == 0)
        status = publish(temporary, path, err);
    if (status != 0)
        remove_temporary(temporary);
    free(temporary);
    if (status != 0)
        return -1;
    if (sync_directory(path, err) != 0) {
        (void)unlink(path);
        return -1;
    }
    return store_open(out, path, false, err); /* should another be quicker to open it, it is whole all the same */
}

/* ---- upkeep ---- */

uint64_t store_wal_bytes(struct store *store)
{
    return db_wal_bytes(store->db);
}

int store_checkpoint(struct store *store, bool truncate, struct err *err)
{
    assert(!store->in_group);
    if (log_writable(store, err) != 0)
        return -1;
    return db_checkpoint(store->db, truncate, err);
}
