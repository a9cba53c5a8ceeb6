/* fault_disk.c - see fault_disk.h */
/* It defines open() and open64(), which are one symbol where off_t is made 64 bits wide. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#include "tests/store/fault_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static struct {
    _Atomic enum fault_kind armed; /* set last: what else is here does not change while it is */
    struct fault_plan plan;
    unsigned at;
    atomic_uint calls, hits;
} fault;

void fault_arm(const struct fault_plan *plan, unsigned n)
{
    fault_disarm();
    fault.plan = *plan;
    fault.at = n;
    atomic_store(&fault.calls, 0);
    atomic_store(&fault.hits, 0);
    atomic_store(&fault.armed, plan->kind);
}

void fault_disarm(void)
{
    atomic_store(&fault.armed, FAULT_NONE);
}

unsigned fault_hits(void)
{
    return atomic_load(&fault.hits);
}

/* Whether this call is one that fails; errno says so. */
static bool strikes(enum fault_kind kind)
{
    if (atomic_load(&fault.armed) != kind)
        return false;
    const unsigned call = atomic_fetch_add(&fault.calls, 1) + 1;
    const bool hit = call == fault.at || (fault.plan.for_good && fault.at > 0 && call > fault.at);
    atomic_fetch_add(&fault.hits, hit);
    if (hit)
        errno = fault.plan.error;
    return hit;
}

/* ---- in front of the C library ---- */

/* Under a name of its own, since the header may have an inline one. */
ssize_t read_or_fail(int fd, void *bytes, size_t n_bytes, off64_t offset) __asm__("pread64");

ssize_t read_or_fail(int fd, void *bytes, size_t n_bytes, off64_t offset)
{
    return strikes(FAULT_READ) ? -1 : syscall(SYS_pread64, fd, bytes, n_bytes, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n_bytes, off64_t offset)
{
    if (strikes(FAULT_TORN_WRITE)) {
        (void)syscall(SYS_pwrite64, fd, bytes, n_bytes / 2, offset);
        errno = fault.plan.error;
        return -1;
    }
    return strikes(FAULT_WRITE) ? -1 : syscall(SYS_pwrite64, fd, bytes, n_bytes, offset);
}

int fdatasync(int fd)
{
    return strikes(FAULT_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate64(int fd, off64_t size)
{
    return strikes(FAULT_TRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

/* Not by name: what is asked of the name of a file is not what is asked of an open one. */
int fstat64(int fd, struct stat64 *status)
{
    return strikes(FAULT_SIZE) ? -1 : fstatat64(fd, "", status, AT_EMPTY_PATH);
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *); /* a number, for some: it comes in the same register */
    va_end(arguments);
    return (command == F_SETLK || command == F_SETLKW) && strikes(FAULT_LOCK)
               ? -1
               : (int)syscall(SYS_fcntl, fd, command, argument);
}

static int open_any(const char *path, int flags, mode_t mode)
{
    return (flags & O_DIRECTORY) == 0 && strikes(FAULT_OPEN) ? -1
                                                             : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN_BODY                                                                                                      \
    mode_t mode = 0;                                                                                                   \
    if ((flags & O_CREAT) != 0) {                                                                                      \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode = va_arg(arguments, mode_t);                                                                              \
        va_end(arguments);                                                                                             \
    }                                                                                                                  \
    return open_any(path, flags, mode);

int open(const char *path, int flags, ...)
{
    OPEN_BODY
}

int open64(const char *path, int flags, ...)
{
    OPEN_BODY
}
