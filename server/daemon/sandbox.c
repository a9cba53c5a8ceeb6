/* sandbox.c - see daemon/sandbox.h */
#include "server/daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if HAVE_SECCOMP
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#endif

static int refused(const char *what, int os_error, struct err *err)
{
    err_set(err, ERR_INTERNAL, "the kernel refuses %s: %s", what, strerror(os_error));
    if (err != NULL)
        err->detail = os_error;
    return -1;
}

/* ---- files ---- */

/* What the headers of Linux 6.1 do not have yet. */
#define FS_TRUNCATE     (UINT64_C(1) << 14)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
struct ruleset {
    uint64_t handled_access_fs, handled_access_net;
};

#define FS_READ ((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))
#define FS_CHANGE                                                                                                      \
    (FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |          \
     FS_TRUNCATE)
#define FS_LISTEN ((uint64_t)(LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE))

/* All rights to files that a version of the interface knows: those that are not given are taken. */
static uint64_t rights_known(int version)
{
    const unsigned n = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return (UINT64_C(1) << n) - 1;
}

static int make_ruleset(int version, bool connects)
{
    const struct ruleset attr = {rights_known(version), version >= 4 && !connects ? NET_CONNECT_TCP : 0};
    return (int)syscall(SYS_landlock_create_ruleset, &attr, version >= 4 ? sizeof attr : sizeof attr.handled_access_fs,
                        0);
}

/* Rights to what is at the path and all below it; a path that leads nowhere has nothing to open. */
static int give(int ruleset, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat about;
    if (rule.parent_fd < 0)
        return 0;
    const bool folder = fstat(rule.parent_fd, &about) == 0 && S_ISDIR(about.st_mode);
    rule.allowed_access = folder ? rights : rights & LANDLOCK_ACCESS_FS_READ_FILE;
    const int status = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    const int os_error = errno;
    (void)close(rule.parent_fd);
    errno = os_error;
    return status;
}

/* SQLite keeps its files beside the one that a link leads to. */
static int give_folder(int ruleset, const char *file, uint64_t rights)
{
    char *real = realpath(file, NULL);
    char *path = real != NULL ? real : strdup(file);
    const int status = path != NULL ? give(ruleset, dirname(path), rights) : -1;
    const int os_error = errno;
    free(path);
    errno = os_error;
    return status;
}

/* For connections to PostgreSQL: names of hosts, authorities, passwords. */
static int give_libpq(int ruleset, uint64_t known)
{
    static const char *const read[] = {"/etc", "/usr/lib", "/usr/share/ca-certificates", "/lib",
                                       "/run/systemd/resolve"};
    static const char *const at_home[] = {"/.pgpass", "/.postgresql", "/.pg_service.conf"};
    const char *home = getenv("HOME"), *passwords = getenv("PGPASSFILE");
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        if (give(ruleset, read[i], FS_READ & known) != 0)
            return -1;
    for (size_t i = 0; home != NULL && i < sizeof at_home / sizeof *at_home; i++) {
        (void)snprintf(path, sizeof path, "%s%s", home, at_home[i]);
        if (give(ruleset, path, FS_READ & known) != 0)
            return -1;
    }
    return passwords != NULL ? give(ruleset, passwords, FS_READ & known) : 0;
}

static int give_all(int ruleset, uint64_t known, const struct sandbox_path *paths, size_t n)
{
    static const uint64_t rights[] = {
        [SANDBOX_READ] = FS_READ, [SANDBOX_CHANGE] = FS_CHANGE, [SANDBOX_LISTEN] = FS_LISTEN};
    /* Of ourselves, for /metrics; of the processors, for threads; what SQLite numbers its WAL by. */
    static const char *const read[] = {"/proc", "/sys/devices/system/cpu", "/dev/urandom"};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        if (give(ruleset, read[i], FS_READ & known) != 0)
            return -1;
    for (size_t i = 0; i < n; i++)
        if (paths[i].file != NULL && give_folder(ruleset, paths[i].file, rights[paths[i].use] & known) != 0)
            return -1;
    return 0;
}

int sandbox_files(struct sandbox *sandbox, const struct sandbox_path *paths, size_t n, struct err *err)
{
    const int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    sandbox->landlock = 0;
    if (version < 1)
        return 0;
    const int ruleset = make_ruleset(version, sandbox->connects);
    if (ruleset < 0)
        return refused("Landlock", errno, err);
    int status = give_all(ruleset, rights_known(version), paths, n);
    if (status == 0 && sandbox->connects)
        status = give_libpq(ruleset, rights_known(version));
    if (status == 0)
        status = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (status == 0)
        status = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    const int os_error = errno;
    (void)close(ruleset);
    if (status != 0)
        return refused("Landlock", os_error, err);
    sandbox->landlock = version;
    return 0;
}

/* ---- system calls ---- */

#if HAVE_SECCOMP

/* Those of convd, SQLite, libmicrohttpd, GnuTLS and the C library (glibc 2.36 to 2.42, and musl) after the start; of one that an
 * architecture does not have there is no rule. */
static const char *const allowed[] = {
    /* files: Landlock says which */
    "access", "close", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchmod", "fchown", "fcntl", "fcntl64",
    "fdatasync", "fstat", "fstat64", "fstatat64", "fsync", "ftruncate", "ftruncate64", "getcwd", "getdents64",
    "_llseek", "lseek", "lstat", "lstat64", "newfstatat", "open", "openat", "pread64", "pwrite64", "read", "readlink",
    "readlinkat", "readv", "stat", "stat64", "statx", "unlink", "unlinkat", "write", "writev",
    /* connections that are open, or were accepted */
    "accept", "accept4", "connect", "getpeername", "getsockname", "getsockopt", "recv", "recvfrom", "recvmsg", "send",
    "sendfile", "sendfile64", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketpair",
    /* waiting */
    "clock_nanosleep", "clock_nanosleep_time64", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "eventfd2", "futex", "futex_time64", "futex_waitv", "nanosleep", "pipe2", "poll", "ppoll",
    "ppoll_time64", "pselect6", "pselect6_time64", "restart_syscall", "sched_yield", "select",
    /* memory: none that is code, below */
    "brk", "madvise", "mremap", "munmap",
    /* threads and signals of our own */
    "exit", "exit_group", "get_robust_list", "getpriority", "gettid", "membarrier", "rseq", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigtimedwait_time64", "sched_getaffinity",
    "sched_setaffinity", "set_robust_list", "setpriority", "sigaltstack", "sigreturn",
    /* who and when */
    "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "getcpu", "getegid", "getegid32",
    "geteuid", "geteuid32", "getgid", "getgid32", "getpid", "getppid", "getrandom", "getrlimit", "gettimeofday",
    "getuid", "getuid32", "sysinfo", "time", "ugetrlimit", "uname"};

/* Nothing of convd or its libraries does these, whatever goes wrong. */
static const char *const fatal[] = {"execve",           "execveat",          "fork",  "vfork", "ptrace",
                                    "process_vm_readv", "process_vm_writev", "setuid"};

struct call {
    const char *name;
    struct scmp_arg_cmp argument; /* its place, and what it must be; masked: first the mask */
};

static int add_rule(scmp_filter_ctx filter, uint32_t action, const char *name, const struct scmp_arg_cmp *argument)
{
    const int number = seccomp_syscall_resolve_name(name);
    return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(filter, action, number, argument != NULL, argument);
}

/* And these, for one purpose each. */
static int add_some(scmp_filter_ctx filter)
{
    const struct call some[] = {
        {"socket", {0, SCMP_CMP_EQ, AF_UNIX, 0}}, /* systemd's, to be told; whether one of ours is still answered */
        {"clone", {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD}}, /* clone3 hides its flags: glibc does without */
        {"mmap", {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}},
        {"mmap2", {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}},
        {"mprotect", {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0}},
        {"ioctl", {1, SCMP_CMP_EQ, TCGETS, 0}}, /* isatty() */
        {"prctl", {0, SCMP_CMP_EQ, PR_SET_NAME, 0}},
        {"prlimit64", {2, SCMP_CMP_EQ, 0, 0}},                   /* to look */
        {"tgkill", {0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0}}, /* abort() */
    };
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof some / sizeof *some; i++)
        status = add_rule(filter, SCMP_ACT_ALLOW, some[i].name, &some[i].argument);
    return status;
}

/* Of libpq, and of the resolver. */
static int add_connections(scmp_filter_ctx filter)
{
    const struct call some[] = {
        {"socket", {0, SCMP_CMP_EQ, AF_INET, 0}},
        {"socket", {0, SCMP_CMP_EQ, AF_INET6, 0}},
        {"socket", {0, SCMP_CMP_EQ, AF_NETLINK, 0}}, /* which addresses this machine has */
        {"ioctl", {1, SCMP_CMP_EQ, FIONREAD, 0}},
    };
    int status = add_rule(filter, SCMP_ACT_ALLOW, "bind", NULL);
    for (size_t i = 0; status == 0 && i < sizeof some / sizeof *some; i++)
        status = add_rule(filter, SCMP_ACT_ALLOW, some[i].name, &some[i].argument);
    return status;
}

static int make_filter(scmp_filter_ctx filter, bool connects)
{
    int status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB,
                           1); /* no foreign code runs in here: all stays as fast as it was */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree of numbers instead of a list */
    for (size_t i = 0; status == 0 && i < sizeof allowed / sizeof *allowed; i++)
        status = add_rule(filter, SCMP_ACT_ALLOW, allowed[i], NULL);
    for (size_t i = 0; status == 0 && i < sizeof fatal / sizeof *fatal; i++)
        status = add_rule(filter, SCMP_ACT_KILL_PROCESS, fatal[i], NULL);
    if (status == 0)
        status = add_some(filter);
    return status == 0 && connects ? add_connections(filter) : status;
}

int sandbox_calls(struct sandbox *sandbox, struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (filter == NULL)
        return err_memory(err, "the filter of system calls");
    int status = make_filter(filter, sandbox->connects);
    if (status == 0)
        status = seccomp_load(filter);
    seccomp_release(filter);
    sandbox->seccomp = status == 0;
    return status == 0 ? 0 : refused("seccomp", -status, err);
}

#define NO_SECCOMP "the kernel refused seccomp"

#else

int sandbox_calls(struct sandbox *sandbox, struct err *err)
{
    (void)err;
    sandbox->seccomp = false;
    return 0;
}

#define NO_SECCOMP "this build has no libseccomp"

#endif

void sandbox_text(char *text, size_t size, const struct sandbox *sandbox)
{
    char files[64] = "not restricted (this kernel has no Landlock)";
    if (sandbox->landlock > 0)
        (void)snprintf(files, sizeof files, "by Landlock %d", sandbox->landlock);
    (void)snprintf(text, size, "files %s, system calls %s", files,
                   sandbox->seccomp ? "by seccomp" : "not restricted (" NO_SECCOMP ")");
}
