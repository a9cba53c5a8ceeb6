/* pg_server.h - a PostgreSQL server of a test program's own: a cluster in a new folder, a socket there and a free port of 127.0.0.1, no
 * service and no configuration of the machine's. It ends with the program, however that ends.
 *
 * As root it runs as nobody, since PostgreSQL refuses root. fsync is off: what the tests here ask is not what a disk does.
 */
#ifndef CONVD_TESTS_STORE_PG_SERVER_H
#define CONVD_TESTS_STORE_PG_SERVER_H

#include <check.h>
#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    char programs[128]; /* folder of initdb and postgres */
    char folder[64];    /* data/, the socket, the log    */
    char port[8];
    pid_t pid;
} pg_server;

#define PG_PATIENCE_MS 60000

static inline void pg_nap(unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

/* The newest version's; false: there is none. */
static inline bool pg_server_find(void)
{
    glob_t found;
    const bool is_there = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0;
    if (is_there) {
        const char *path = found.gl_pathv[found.gl_pathc - 1];
        (void)snprintf(pg_server.programs, sizeof pg_server.programs, "%.*s", (int)(strrchr(path, '/') - path), path);
    }
    globfree(&found);
    return is_there;
}

static inline void pg_server_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, n) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        abort();
    (void)close(fd);
    (void)snprintf(pg_server.port, sizeof pg_server.port, "%u", ntohs(address.sin_port));
}

/* In a child: as whom, where to, until when; then the program. */
static inline void pg_server_exec(char *arguments[])
{
    char path[192];
    const struct passwd *nobody = getpwnam("nobody");
    const int log = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    (void)snprintf(path, sizeof path, "%s/%s", pg_server.programs, arguments[0]);
    if (log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(126);
    if (geteuid() == 0 && (nobody == NULL || fchown(log, nobody->pw_uid, nobody->pw_gid) != 0 ||
                           setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0))
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
    (void)unsetenv("LD_PRELOAD");
    arguments[0] = path; /* by which the initdb of PostgreSQL 17 finds its neighbours */
    execv(path, arguments);
    _exit(127);
}

/* The program and its arguments, one space between two. */
__attribute__((format(printf, 1, 2))) static inline pid_t pg_server_spawn(const char *format, ...)
{
    char line[512], *at = line, *arguments[32] = {NULL};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (size_t n = 0; n < 31 && at != NULL; n++)
        arguments[n] = strsep(&at, " ");
    const pid_t pid = fork();
    if (pid == 0) {
        if (chdir(pg_server.folder) != 0)
            _exit(126);
        pg_server_exec(arguments);
    }
    return pid;
}

static inline bool pg_ended_well(pid_t pid)
{
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Of the server's database of that name; more: what follows in it. Static, until the fourth call after this. */
static inline const char *pg_conninfo(const char *database, const char *more)
{
    static char texts[4][512];
    static unsigned which;
    char *text = texts[which++ % 4];
    (void)snprintf(text, sizeof texts[0], "host=%s port=%s user=convd dbname=%s %s", pg_server.folder, pg_server.port,
                   database, more);
    return text;
}

static inline void pg_server_stop(void)
{
    if (pg_server.pid > 0 && kill(pg_server.pid, SIGINT) == 0)
        (void)waitpid(pg_server.pid, NULL, 0);
    const pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", pg_server.folder, (char *)NULL);
        _exit(127);
    }
    (void)pg_ended_well(pid);
}

static inline void pg_server_die(const char *why)
{
    (void)fprintf(stderr, "pg_server: %s; see %s/log\n", why, pg_server.folder);
    exit(EXIT_FAILURE);
}

/* Once, by main(), before the tests. */
static inline void pg_server_start(void)
{
    const char *where = getenv("TMPDIR");
    const struct passwd *nobody = getpwnam("nobody");
    (void)snprintf(pg_server.folder, sizeof pg_server.folder, "%s/convd-pg-XXXXXX", where != NULL ? where : "/tmp");
    if (mkdtemp(pg_server.folder) == NULL ||
        (geteuid() == 0 && (nobody == NULL || chown(pg_server.folder, nobody->pw_uid, nobody->pw_gid) != 0)))
        pg_server_die("no folder");
    if (!pg_ended_well(pg_server_spawn("initdb -D data -U convd -E UTF8 --auth-local=trust --auth-host=scram-sha-256 "
                                       "--no-locale --no-sync")))
        pg_server_die("initdb failed");
    pg_server_port();
    pg_server.pid = pg_server_spawn("postgres -D data -k %s -p %s -c listen_addresses=127.0.0.1 -c fsync=off "
                                    "-c shared_buffers=32MB -c max_connections=40",
                                    pg_server.folder, pg_server.port);
    for (unsigned ms = 0; PQping(pg_conninfo("postgres", "")) != PQPING_OK; ms += 20) {
        if (ms > PG_PATIENCE_MS || waitpid(pg_server.pid, NULL, WNOHANG) != 0)
            pg_server_die("the server does not start");
        pg_nap(20);
    }
}

/* What an administrator does by psql: the first value of the last statement's rows, or "". Static, until the next call. */
__attribute__((format(printf, 2, 3))) static inline const char *pg_sql(const char *database, const char *format, ...)
{
    static char value[1024];
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    PGconn *conn = PQconnectdb(pg_conninfo(database, ""));
    PGresult *result = PQexec(conn, text);
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        (void)fprintf(stderr, "pg_sql: %s: %s\n", text, PQerrorMessage(conn));
        abort();
    }
    (void)snprintf(value, sizeof value, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    return value;
}

#endif
