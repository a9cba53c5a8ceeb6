/* connect.c - from a connection string to a connection as the rest needs it; opening and closing. See postgres.h and internal.h. */
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/postgres/internal.h"
#include "store/postgres/schema.h"

#define LIMIT_MS       10000 /* of a call                                             */
#define VACUUM_MS      (24u * 3600 * 1000)
#define SETTINGS_BYTES 1024

/* Where the connection string does not say it. A host that does not answer is given up after two seconds, and the next one is tried. */
static const char *const defaults[][2] = {
    {"fallback_application_name", "convd"},
    {"target_session_attrs", "read-write"},
    {"connect_timeout", "2"},
    {"keepalives_idle", "5"},
    {"keepalives_interval", "2"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "10000"},
};

static const char *option_value(const PQconninfoOption *option)
{
    if (strcmp(option->keyword, "client_encoding") == 0)
        return "UTF8";
    for (size_t i = 0; option->val == NULL && i < sizeof defaults / sizeof defaults[0]; i++)
        if (strcmp(option->keyword, defaults[i][0]) == 0)
            return defaults[i][1];
    return option->val;
}

/* libpq's own texts quote what it could not read, which may be a part of a password. */
static int unreadable(struct err *err)
{
    return err_set(
        err, ERR_USAGE,
        "the connection string of the shared log cannot be read: give postgresql://USER@HOST,HOST/DATABASE "
        "or host=HOST dbname=DATABASE; a password goes into the file that PGPASSFILE names, or into ~/.pgpass");
}

/* A password whose / or @ is no %2F or %40 ends up in host, port or database. */
static bool is_clean(const PQconninfoOption *option)
{
    if (option->val == NULL)
        return true;
    if (strcmp(option->keyword, "port") == 0)
        return option->val[strspn(option->val, "0123456789,")] == '\0';
    return (strcmp(option->keyword, "host") != 0 && strcmp(option->keyword, "dbname") != 0) ||
           strpbrk(option->val, "@?") == NULL || option->val[0] == '@';
}

static bool are_clean(const PQconninfoOption *options)
{
    while (options->keyword != NULL && is_clean(options))
        options++;
    return options->keyword == NULL;
}

static bool has_password(const PQconninfoOption *options)
{
    while (options->keyword != NULL && strcmp(options->keyword, "password") != 0)
        options++;
    return options->keyword != NULL && options->val != NULL;
}

/* The options of a connection string, or NULL. */
static PQconninfoOption *parsed(const char *conninfo, struct err *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &message);
    const bool clean = options != NULL && are_clean(options);
    if (!clean || has_password(options)) {
        if (clean)
            err_set(err, ERR_USAGE,
                    "the connection string of the shared log has a password, which every user of this machine can "
                    "list: leave it out, and put a line HOST:PORT:DATABASE:USER:PASSWORD into the file that "
                    "PGPASSFILE names, or into ~/.pgpass");
        else
            unreadable(err);
        PQconninfoFree(options);
        options = NULL;
    }
    PQfreemem(message);
    return options;
}

static PGconn *dialled(const PQconninfoOption *options)
{
    size_t n = 0;
    while (options[n].keyword != NULL)
        n++;
    const char **keywords = calloc(2 * (n + 1), sizeof *keywords);
    if (keywords == NULL)
        return NULL;
    const char **values = keywords + n + 1;
    for (size_t i = 0; i < n; i++) {
        keywords[i] = options[i].keyword;
        values[i] = option_value(&options[i]);
    }
    PGconn *conn = PQconnectdbParams(keywords, values, 0);
    free(keywords);
    return conn;
}

static void note_warning(void *arg, const PGresult *notice)
{
    struct postgres *pg = arg;
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    pg->warned |= severity != NULL && strcmp(severity, "WARNING") == 0;
}

static int dial(struct postgres *pg, struct err *err)
{
    char line[POSTGRES_LINE_BYTES];
    PQconninfoOption *options = parsed(pg->conninfo, err);
    if (options == NULL)
        return -1;
    pg->conn = dialled(options);
    PQconninfoFree(options);
    if (pg->conn == NULL)
        return err_memory(err, "a connection to the shared log");
    if (PQstatus(pg->conn) != CONNECTION_OK || PQsetnonblocking(pg->conn, 1) != 0)
        return err_set(err, ERR_LOG, "the shared log cannot be reached: %s",
                       postgres_line(line, PQerrorMessage(pg->conn)));
    (void)PQsetNoticeReceiver(pg->conn, note_warning, pg);
    return 0;
}

static int check_server(struct postgres *pg, struct err *err)
{
    const char *encoding = PQparameterStatus(pg->conn, "server_encoding");
    if (PQserverVersion(pg->conn) < POSTGRES_VERSION_MIN)
        return err_set(err, ERR_DB_FOREIGN, "the server of the shared log is PostgreSQL %s: convd needs %d or newer",
                       PQparameterStatus(pg->conn, "server_version"), POSTGRES_VERSION_MIN / 10000);
    if (encoding == NULL || strcmp(encoding, "UTF8") != 0)
        return err_set(err, ERR_DB_FOREIGN, "database \"%s\" has encoding %s: a shared log needs UTF8", PQdb(pg->conn),
                       encoding != NULL ? encoding : "unknown");
    return 0;
}

static int settle(struct postgres *pg, struct err *err)
{
    char settings[SETTINGS_BYTES];
    (void)snprintf(settings, sizeof settings, SETTINGS, pg->limit_ms / 4 * 3, pg->limit_ms);
    return postgres_script(pg, settings, err);
}

static int check_format(struct postgres *pg, struct err *err)
{
    PGresult *result;
    if (postgres_run(&result, pg, SQL_FORMAT, NULL, err) != 0)
        return -1;
    const bool found = PQntuples(result) == 1;
    const int64_t format = found ? result_number(result, 0, 0) : 0;
    pg->fence = found ? result_number(result, 0, 1) : 0;
    pg->nodes_tell_all = found && result_bool(result, 0, 2);
    PQclear(result);
    if (format > POSTGRES_FORMAT)
        return err_set(err, ERR_DB_NEWER, "the shared log has format %lld, of a newer convd; this one reads up to %d",
                       (long long)format, POSTGRES_FORMAT);
    return format == POSTGRES_FORMAT ? 0 : err_set(err, ERR_DB_FOREIGN, "the shared log has no head of format 1");
}

static int connected(struct postgres *pg, struct err *err)
{
    if (dial(pg, err) == 0 && check_server(pg, err) == 0 && settle(pg, err) == 0 &&
        (pg->bare || check_format(pg, err) == 0))
        return 0;
    postgres_drop(pg);
    return -1;
}

/* Whether the other end has gone since the last call; reads what it said at last. */
static bool is_gone(const struct postgres *pg)
{
    struct pollfd socket = {.fd = PQsocket(pg->conn), .events = POLLIN};
    while (PQstatus(pg->conn) == CONNECTION_OK && poll(&socket, 1, 0) > 0)
        if (!PQconsumeInput(pg->conn))
            return true;
    return PQstatus(pg->conn) != CONNECTION_OK;
}

int postgres_ready(struct postgres *pg, struct err *err)
{
    pg->until_ms = postgres_now_ms() + pg->limit_ms;
    if (pg->conn != NULL && is_gone(pg))
        postgres_drop(pg);
    return pg->conn != NULL ? 0 : connected(pg, err);
}

int postgres_ready_alone(struct postgres *pg, struct err *err)
{
    assert(!pg->locked);
    return postgres_ready(pg, err);
}

void postgres_drop(struct postgres *pg)
{
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->locked = pg->idle = false;
    memset(pg->prepared, 0, sizeof pg->prepared);
}

void postgres_limit(struct postgres *pg, unsigned ms)
{
    postgres_drop(pg); /* the server is told, too, when the next connection is made */
    pg->limit_ms = ms;
}

struct postgres *postgres_make(const char *conninfo, bool bare, struct err *err)
{
    struct postgres *pg = calloc(1, sizeof *pg);
    if (pg == NULL || (pg->conninfo = strdup(conninfo)) == NULL) {
        free(pg);
        err_memory(err, "a connection to the shared log");
        return NULL;
    }
    pg->bare = bare;
    pg->limit_ms = LIMIT_MS;
    return pg;
}

int postgres_open(struct postgres **out, const char *conninfo, struct err *err)
{
    if ((*out = postgres_make(conninfo, false, err)) == NULL)
        return -1;
    if (postgres_ready(*out, err) == 0)
        return 0;
    postgres_close(*out);
    *out = NULL;
    return -1;
}

void postgres_close(struct postgres *pg)
{
    if (pg == NULL)
        return;
    postgres_drop(pg);
    free(pg->conninfo);
    free(pg);
}

int postgres_create(const char *conninfo, struct err *err)
{
    struct postgres *pg = postgres_make(conninfo, true, err);
    if (pg == NULL)
        return -1;
    int status = postgres_ready(pg, err);
    if (status == 0)
        status = postgres_script(pg, (const char *)postgres_schema, err);
    postgres_close(pg);
    return status;
}

/* A transaction that was open before keeps what it may still look at. */
static int wait_for_others(struct postgres *pg, struct err *err)
{
    const uint64_t begin = postgres_now_ms();
    for (;;) {
        PGresult *result;
        struct values values = {0};
        const uint64_t ms = postgres_now_ms() - begin;
        values_add_number(&values, (int64_t)ms);
        if (postgres_ready(pg, err) != 0 || postgres_run(&result, pg, SQL_OLDER, &values, err) != 0)
            return -1;
        const int64_t older = result_number(result, 0, 0);
        PQclear(result);
        if (older == 0)
            return 0;
        if (ms > LIMIT_MS)
            return err_set(err, ERR_CONFLICT, "%lld transactions of before are still open in that database",
                           (long long)older);
        (void)poll(NULL, 0, 20);
    }
}

int postgres_vacuum(const char *conninfo, struct err *err)
{
    struct postgres *pg = NULL;
    if (postgres_open(&pg, conninfo, err) != 0)
        return -1;
    postgres_limit(pg, VACUUM_MS);
    int status = wait_for_others(pg, err);
    if (status == 0)
        status = postgres_script(pg, "VACUUM (FULL) convd.event", err);
    if (status == 0 && postgres_script(pg, "CHECKPOINT", err) != 0)
        status = err_wrap(err, "the table is new, but its old file and the WAL wait for the server's next checkpoint");
    postgres_close(pg);
    return status;
}
