/* file.c - see store/sqlite/file.h */
#include "store/sqlite/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/libc.h"

/* SQLite's own files beside a database. A left-over one would be taken for that of a new database with the same name, and
 * be played back into it. */
static const char *const side_suffixes[] = {"-wal", "-journal", "-shm"};
#define SIDE_SUFFIX_BYTES sizeof "-journal"
#define SIDES             (sizeof side_suffixes / sizeof *side_suffixes)
#define FILE_MODE         (S_IRUSR | S_IWUSR) /* pictures of people are in it; SQLite makes the WAL like the database */
#define HEADER            "SQLite format 3"   /* and a zero: the first 16 bytes of a database */

static char *with_suffix(const char *path, const char *suffix, struct err *err)
{
    size_t room = strlen(path) + strlen(suffix) + 1;
    char *joined = malloc(room);
    if (joined == NULL)
        err_memory(err, "a path");
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
    err_set(err, code, "cannot create %s: %s", path,
            os_error == EEXIST   ? "it exists"
            : os_error == ENOENT ? "its directory does not exist"
                                 : strerror(os_error));
    if (err != NULL)
        err->detail = os_error;
    return -1;
}

static bool is_database(const char *path)
{
    char header[sizeof HEADER];
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    const bool is = fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode) &&
                    pread(fd, header, sizeof header, 0) == (ssize_t)sizeof header &&
                    memcmp(header, HEADER, sizeof header) == 0;
    if (fd >= 0)
        (void)close(fd);
    return is;
}

/* Another file under such a name would be played back into the database, or be lost with its next close. */
static int check_no_side(const char *path, struct err *err)
{
    for (size_t i = 0; i < SIDES; i++) {
        const size_t n = strlen(path), n_suffix = strlen(side_suffixes[i]);
        if (n <= n_suffix || strcmp(path + n - n_suffix, side_suffixes[i]) != 0)
            continue;
        char *base = strndup(path, n - n_suffix);
        if (base == NULL)
            return err_memory(err, "a path");
        const bool taken = is_database(base);
        free(base);
        if (taken)
            return err_set(err, ERR_CONFLICT,
                           "%.200s is SQLite's name for a part of the database beside it: give another name", path);
    }
    return 0;
}

int file_check_no_database(const char *path, struct err *err)
{
    if (is_database(path))
        return err_set(err, ERR_CONFLICT,
                       "%.200s is an SQLite database, which convd never overwrites: give another name", path);
    return check_no_side(path, err);
}

int file_check_absent(const char *path, struct err *err)
{
    struct stat status;
    if (lstat(path, &status) == 0)
        return file_error(EEXIST, path, err);
    if (errno != ENOENT)
        return file_error(errno, path, err);
    for (size_t i = 0; i < SIDES; i++) {
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
    return check_no_side(path, err);
}

char *file_temporary(const char *path, struct err *err)
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
            err_memory(err, "a path");
            return NULL;
        }
        (void)snprintf(temporary, room, "%s%s", path, suffix);
        int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
        if (fd >= 0) {
            (void)fchmod(fd, FILE_MODE); /* whatever the umask takes away */
            (void)close(fd);             /* before SQLite opens it: closing would drop SQLite's locks */
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

/* The names are made in place: memory may be what was wanting. */
void file_remove(char *temporary)
{
    size_t n = strlen(temporary);
    (void)unlink(temporary);
    for (size_t i = 0; i < SIDES; i++) {
        memcpy(temporary + n, side_suffixes[i], strlen(side_suffixes[i]) + 1);
        (void)unlink(temporary);
    }
    temporary[n] = '\0';
}

int file_publish(const char *temporary, const char *path, bool replace, struct err *err)
{
    if (replace)
        return rename(temporary, path) == 0 ? 0 : file_error(errno, path, err);
    if (libc_rename_new(temporary, path) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return file_error(errno, path, err);
    /* A file system without that: a second name fails as well where one is there. */
    if (link(temporary, path) != 0)
        return file_error(errno, path, err);
    (void)unlink(temporary);
    return 0;
}

int file_sync_directory(const char *path, struct err *err)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return err_memory(err, "a path");
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = fd >= 0 && fsync(fd) == 0 ? 0 : file_error(errno, path, err);
    if (fd >= 0)
        (void)close(fd);
    free(copy);
    return status;
}
