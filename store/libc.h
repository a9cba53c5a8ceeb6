/* libc.h - the two calls of glibc that other C libraries for Linux may not have; musl has the rest of what convd uses (`make musl`). */
#ifndef CONVD_STORE_LIBC_H
#define CONVD_STORE_LIBC_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* libc_rename_new - rename(), which fails with EEXIST where `to` is there already.
 * Returns 0, or -1 and errno: EINVAL or ENOSYS where file system, kernel or library cannot do that. */
static inline int libc_rename_new(const char *from, const char *to)
{
#ifdef RENAME_NOREPLACE
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
#else
    (void)from, (void)to;
    errno = ENOSYS;
    return -1;
#endif
}

/* libc_few_arenas - few arenas, and large blocks from the kernel and back to it: resident memory stays what is in use. musl does so anyway.
 * Before the first thread. */
static inline void libc_few_arenas(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
#endif
}

#endif
