/* backup.c - a copy of the database, while it is used. The connection that writes the database is the one that copies it, so nobody else
 * reads or checkpoints beside it, and what it writes meanwhile goes into the copy as well. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"

#define STEP_PAGES 16 /* 128 KB, 0.1 ms: then those who want the processor more have their turn */

struct store_backup {
    struct store *store;
    struct db_copy *copy;
    char *path;      /* the name that it will have; NULL: none  */
    char *temporary; /* that it has until then; NULL: none more */
    int fd;          /* of a copy without a name; -1            */
};

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int cannot(const char *path, const char *what, struct err *err)
{
    const int os_error = errno;
    err_set(err, os_error == ENOSPC ? ERR_STORAGE_FULL : ERR_STORAGE, "%.200s cannot be %s: %s", path, what,
            strerror(os_error));
    if (err != NULL)
        err->detail = os_error;
    return -1;
}

/* The name goes as soon as SQLite has opened the file: after a crash nothing is left of it. */
static int lose_name(struct store_backup *b, struct err *err)
{
    b->fd = open(b->temporary, O_RDONLY | O_CLOEXEC);
    if (b->fd < 0)
        return cannot(b->temporary, "opened", err);
    if (unlink(b->temporary) != 0) /* what is forgotten later would stay in it */
        return cannot(b->temporary, "unlinked", err);
    free(b->temporary);
    b->temporary = NULL;
    return 0;
}

int store_backup_begin(struct store_backup **out, struct store *store, const char *path, struct err *err)
{
    struct store_backup *b = calloc(1, sizeof *b);
    *out = NULL;
    if (b == NULL)
        return err_memory(err, "a copy");
    b->store = store;
    b->fd = -1;
    if (path != NULL && (b->path = strdup(path)) == NULL) {
        err_memory(err, "a path");
        goto out;
    }
    (void)outcomes_show(store, NULL); /* else a start from the copy makes them again */
    if ((path != NULL && file_check_absent(path, err) != 0) ||
        (b->temporary = file_temporary(path != NULL ? path : db_path(store->db), err)) == NULL ||
        db_copy_open(&b->copy, store->db, b->temporary, err) != 0 || (path == NULL && lose_name(b, err) != 0))
        goto out;
    *out = b;
    return 0;
out:
    store_backup_end(b);
    return -1;
}

/* On the disk first, then the name, then the name on the disk. */
static int publish(struct store_backup *b, struct err *err)
{
    int fd = open(b->temporary, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cannot(b->temporary, "opened", err);
    int status = fsync(fd) == 0 ? 0 : cannot(b->temporary, "synced", err);
    (void)close(fd);
    if (status != 0 || file_publish(b->temporary, b->path, false, err) != 0)
        return -1;
    free(b->temporary);
    b->temporary = NULL;
    return file_sync_directory(b->path, err);
}

int store_backup_step(struct store_backup *b, uint64_t us, struct err *err)
{
    const uint64_t begin = now_us();
    int status;
    assert(!b->store->in_group && b->copy != NULL);
    do { /* once at least, however late it is already */
        status = db_copy_step(b->copy, STEP_PAGES, err);
        yield_now(b->store->yield);
    } while (status == 1 && now_us() - begin < us);
    if (status != 0)
        return status;
    db_copy_close(b->copy);
    b->copy = NULL;
    return b->path != NULL ? publish(b, err) : 0;
}

void store_backup_progress(const struct store_backup *b, uint64_t *done_bytes, uint64_t *total_bytes)
{
    *done_bytes = *total_bytes = 0;
    if (b->copy != NULL)
        db_copy_progress(b->copy, done_bytes, total_bytes);
}

int store_backup_take(struct store_backup *b)
{
    const int fd = b->fd;
    assert(b->copy == NULL && b->path == NULL);
    b->fd = -1;
    return fd;
}

void store_backup_end(struct store_backup *b)
{
    if (b == NULL)
        return;
    db_copy_close(b->copy);
    if (b->temporary != NULL)
        file_remove(b->temporary);
    if (b->fd >= 0)
        (void)close(b->fd);
    free(b->temporary);
    free(b->path);
    free(b);
}
