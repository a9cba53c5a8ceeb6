/* sandbox.h - what the daemon gives up once it has what it needs, so that whoever finds a hole in it holds little: no program can be
 * started, no other place reached, no file opened but those of the model. Two parts, each where the machine has it:
 *
 *   files         Landlock (Linux 5.13): only below the folders that are named, for what they are named for. It holds for the calling
 *                 thread and those that it starts, so it comes before the first of them. No TCP connection is made (Linux 6.7).
 *   system calls  seccomp, by libseccomp, where the build has it: for all threads, once all is open. A call that convd and its
 *                 libraries have no use for fails with ENOSYS, as on a kernel without it: what a library tries first and can do
 *                 without, also a later library, does no harm. Only what nobody but an attacker would call (execve, ptrace) ends the
 *                 process: the supervisor starts it again, with all that was acknowledged.
 *
 * Off unless it is asked for under ASan and TSan: their runtimes fork, trace, and write reports elsewhere.
 */
#ifndef CONVD_SERVER_DAEMON_SANDBOX_H
#define CONVD_SERVER_DAEMON_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

enum sandbox_use {
    SANDBOX_READ,   /* files of the folder are read: tokens, which SIGHUP reads again            */
    SANDBOX_CHANGE, /* and written, made, removed: the model                                    */
    SANDBOX_LISTEN, /* UNIX sockets are made and removed in it                                  */
};

/* The folder of a file, which need not be there yet; NULL: none. All below the folder is meant. */
struct sandbox_path {
    const char *file;
    enum sandbox_use use;
};

/* What holds. */
struct sandbox {
    bool
        connects; /* given: TCP connections are made, to the shared log; what libpq, resolver and TLS read is readable then */
    int landlock; /* version of Landlock's interface; 0: the kernel has none, or does not let us */
    bool seccomp;
};

/* sandbox_files - the first part. sandbox_calls - the second. What the kernel does not have is left out. Nothing is given back.
 * Errors: ERR_INTERNAL, a part that the kernel has refused. */
int sandbox_files(struct sandbox *sandbox, const struct sandbox_path *paths, size_t n, struct err *err);
int sandbox_calls(struct sandbox *sandbox, struct err *err);

/* sandbox_text - "files by Landlock 7, system calls by seccomp", into text. */
void sandbox_text(char *text, size_t size, const struct sandbox *sandbox);

#endif
