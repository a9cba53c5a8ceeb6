/* test_sandbox.c - each child gives up what the daemon gives up, and then tries what it should not. */
#include "server/daemon/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/core/run.h"

static char folder[64], outside[64];

static const char *in(const char *where, const char *name)
{
    static char path[2][96];
    static unsigned turn;
    turn ^= 1;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", where, name);
    return path[turn];
}

static void set_up(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/convd-sandbox-XXXXXX");
    (void)snprintf(outside, sizeof outside, "/tmp/convd-outside-XXXXXX");
    ck_assert(mkdtemp(folder) != NULL && mkdtemp(outside) != NULL);
}

static void tear_down(void)
{
    static const char *const names[] = {"m.db", "new", "token", "token2", "socket"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)unlink(in(folder, names[i]));
        (void)unlink(in(outside, names[i]));
    }
    ck_assert(rmdir(folder) == 0 && rmdir(outside) == 0);
}

/* 0: it went well; else errno. */
static int opened(const char *path, int flags)
{
    const int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    (void)close(fd);
    return 0;
}

/* A child that tries; 0, or the number of the line that is not as it should be; 128 + signal. */
static int child(int (*tries)(struct sandbox *))
{
    (void)fflush(NULL);
    const pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        struct sandbox sandbox = {0};
        _exit(tries(&sandbox));
    }
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What it says of itself is for whoever reads the output of a run. */
#define tried(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: %s: errno %d\n", __FILE__, __LINE__, #condition, errno);                     \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

/* ---- files ---- */

static int close_files(struct sandbox *sandbox)
{
    const struct sandbox_path paths[] = {
        {in(folder, "m.db"), SANDBOX_CHANGE}, {in(outside, "token"), SANDBOX_READ}, {NULL, SANDBOX_READ}};
    struct err err;
    if (sandbox_files(sandbox, paths, sizeof paths / sizeof *paths, &err) == 0)
        return 0;
    (void)fprintf(stderr, "%s\n", err.text);
    return -1;
}

static int try_files(struct sandbox *sandbox)
{
    tried(opened(in(outside, "token"), O_WRONLY | O_CREAT) == 0 && opened(in(folder, "m.db"), O_RDWR | O_CREAT) == 0);
    tried(close_files(sandbox) == 0 && sandbox->landlock > 0);
    tried(opened(in(folder, "m.db"), O_RDWR) == 0);
    tried(opened(in(folder, "new"), O_RDWR | O_CREAT) == 0 && unlink(in(folder, "new")) == 0);
    tried(opened(in(outside, "token"), O_RDONLY) == 0);
    tried(opened(in(outside, "token"), O_RDWR) == EACCES && unlink(in(outside, "token")) != 0 && errno == EACCES);
    tried(opened(in(outside, "token2"), O_RDWR | O_CREAT) == EACCES);
    tried(opened("/etc/passwd", O_RDONLY) == EACCES && opened("/", O_RDONLY | O_DIRECTORY) == EACCES);
    tried(opened("/proc/self/statm", O_RDONLY) == 0 && opened("/proc/self/comm", O_WRONLY) == EACCES);
    tried(mkdir(in(folder, "new"), 0700) != 0 && errno == EACCES); /* SQLite makes no folders */
    tried(symlink("/etc/passwd", in(folder, "new")) != 0 && errno == EACCES);
    return 0;
}

START_TEST(only_the_models_folder_can_be_changed_and_only_what_is_named_be_read)
{
    set_up();
    ck_assert_int_eq(child(try_files), 0);
    tear_down();
}
END_TEST

static int try_program(struct sandbox *sandbox)
{
    tried(close_files(sandbox) == 0);
    char *const words[] = {(char[]){"true"}, NULL};
    tried(execv("/bin/true", words) != 0 && errno == EACCES);
    return 0;
}

START_TEST(no_program_can_be_started_for_want_of_its_file)
{
    set_up();
    ck_assert_int_eq(child(try_program), 0);
    tear_down();
}
END_TEST

static int try_to_listen(struct sandbox *sandbox)
{
    const struct sandbox_path paths[] = {{in(folder, "socket"), SANDBOX_LISTEN}};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tried(fd >= 0 && sandbox_files(sandbox, paths, 1, &err) == 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", in(outside, "socket"));
    tried(bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 && errno == EACCES);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", in(folder, "socket"));
    tried(bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && unlink(address.sun_path) == 0);
    tried(opened(in(folder, "new"), O_RDWR | O_CREAT) == EACCES);
    return 0;
}

START_TEST(a_socket_is_made_and_removed_in_its_folder_alone)
{
    set_up();
    ck_assert_int_eq(child(try_to_listen), 0);
    tear_down();
}
END_TEST

static int try_to_reach(struct sandbox *sandbox)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tried(fd >= 0 && close_files(sandbox) == 0);
    tried(connect(fd, (const struct sockaddr *)&address, sizeof address) != 0);
    tried(sandbox->landlock < 4 ? errno == ECONNREFUSED : errno == EACCES);
    return 0;
}

START_TEST(no_connection_is_made_on_a_socket_that_is_there)
{
    set_up();
    ck_assert_int_eq(child(try_to_reach), 0);
    tear_down();
}
END_TEST

/* ---- system calls ---- */

static int close_calls(struct sandbox *sandbox)
{
    struct err err;
    if (sandbox_calls(sandbox, &err) == 0)
        return 0;
    (void)fprintf(stderr, "%s\n", err.text);
    return -1;
}

static void *work(void *context)
{
    void *block = malloc(1 << 20); /* of an arena of its own */
    *(int *)context =
        block != NULL && opened("/dev/null", O_RDWR) == 0 && socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == ENOSYS;
    free(block);
    return NULL;
}

static int try_calls(struct sandbox *sandbox)
{
    struct rlimit limit;
    tried(close_calls(sandbox) == 0 && sandbox->seccomp);
    tried(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
    tried(socket(AF_INET6, SOCK_DGRAM, 0) < 0 && errno == ENOSYS && socket(AF_NETLINK, SOCK_RAW, 0) < 0 &&
          errno == ENOSYS);
    tried(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
    tried(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOSYS);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    tried(page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0 && errno == ENOSYS);
    tried(mkdir("/tmp/convd-sandbox-none", 0700) != 0 && errno == ENOSYS);
    tried(chmod("/tmp", 0700) != 0 && errno == ENOSYS && rename("/tmp/none", "/tmp/none2") != 0 && errno == ENOSYS);
    tried(kill(getppid(), 0) != 0 && errno == ENOSYS);
    tried(getrlimit(RLIMIT_NOFILE, &limit) == 0 && setrlimit(RLIMIT_NOFILE, &limit) != 0 && errno == ENOSYS);
    return 0;
}

START_TEST(what_convd_has_no_use_for_is_not_there)
{
    ck_assert_int_eq(child(try_calls), 0);
}
END_TEST

static int try_threads(struct sandbox *sandbox)
{
    pthread_t thread;
    int done = 0;
    tried(close_calls(sandbox) == 0);
    tried(pthread_create(&thread, NULL, work, &done) == 0 && pthread_join(thread, NULL) == 0 && done == 1);
    return 0;
}

START_TEST(a_thread_that_is_started_later_works_under_it_too)
{
    ck_assert_int_eq(child(try_threads), 0);
}
END_TEST

struct waiting {
    pthread_barrier_t closed;
    int done;
};

static void *wait_and_work(void *context)
{
    struct waiting *waiting = context;
    (void)pthread_barrier_wait(&waiting->closed);
    (void)work(&waiting->done);
    return NULL;
}

static int try_threads_before(struct sandbox *sandbox)
{
    struct waiting waiting = {.done = 0};
    pthread_t thread;
    tried(pthread_barrier_init(&waiting.closed, NULL, 2) == 0);
    tried(pthread_create(&thread, NULL, wait_and_work, &waiting) == 0);
    tried(close_calls(sandbox) == 0);
    (void)pthread_barrier_wait(&waiting.closed);
    tried(pthread_join(thread, NULL) == 0 && waiting.done == 1);
    return 0;
}

START_TEST(a_thread_that_was_there_before_is_under_it_too)
{
    ck_assert_int_eq(child(try_threads_before), 0);
}
END_TEST

static int try_execve(struct sandbox *sandbox)
{
    char *const words[] = {(char[]){"true"}, NULL};
    tried(close_calls(sandbox) == 0);
    return execv("/bin/true", words) != 0 ? 2 : 3;
}

static int try_fork(struct sandbox *sandbox)
{
    tried(close_calls(sandbox) == 0);
    return fork() < 0 && errno == ENOSYS ? 0 : 2; /* glibc's is clone, without CLONE_THREAD */
}

static int try_ptrace(struct sandbox *sandbox)
{
    tried(close_calls(sandbox) == 0);
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 ? 2 : 3;
}

static int try_abort(struct sandbox *sandbox)
{
    tried(close_calls(sandbox) == 0);
    abort();
}

START_TEST(starting_a_program_or_tracing_ends_the_process)
{
    ck_assert_int_eq(child(try_execve), 128 + SIGSYS);
    ck_assert_int_eq(child(try_ptrace), 128 + SIGSYS);
    ck_assert_int_eq(child(try_fork), 0);
    ck_assert_int_eq(child(try_abort), 128 + SIGABRT); /* an assertion still ends it as it should */
}
END_TEST

START_TEST(what_holds_is_said)
{
    char text[160];
    sandbox_text(text, sizeof text, &(struct sandbox){.landlock = 7, .seccomp = true});
    ck_assert_str_eq(text, "files by Landlock 7, system calls by seccomp");
    sandbox_text(text, sizeof text, &(struct sandbox){0});
    ck_assert(strstr(text, "no Landlock") != NULL && strstr(text, "seccomp") != NULL);
}
END_TEST

static int has_landlock(struct sandbox *sandbox)
{
    struct err err;
    return sandbox_files(sandbox, NULL, 0, &err) == 0 && sandbox->landlock > 0;
}

static int has_seccomp(struct sandbox *sandbox)
{
    struct err err;
    return sandbox_calls(sandbox, &err) == 0 && sandbox->seccomp;
}

int main(void)
{
    TCase *tcase = tcase_create("the sandbox");
    tcase_add_test(tcase, what_holds_is_said);
    if (child(has_landlock) == 1) {
        tcase_add_test(tcase, only_the_models_folder_can_be_changed_and_only_what_is_named_be_read);
        tcase_add_test(tcase, no_program_can_be_started_for_want_of_its_file);
        tcase_add_test(tcase, a_socket_is_made_and_removed_in_its_folder_alone);
        tcase_add_test(tcase, no_connection_is_made_on_a_socket_that_is_there);
    } else {
        (void)printf("skipped: this kernel has no Landlock\n");
    }
    if (child(has_seccomp) == 1) {
        tcase_add_test(tcase, what_convd_has_no_use_for_is_not_there);
        tcase_add_test(tcase, a_thread_that_is_started_later_works_under_it_too);
        tcase_add_test(tcase, a_thread_that_was_there_before_is_under_it_too);
        tcase_add_test(tcase, starting_a_program_or_tracing_ends_the_process);
    } else {
        (void)printf("skipped: this build has no libseccomp\n");
    }
    return run_case(tcase, "sandbox");
}
