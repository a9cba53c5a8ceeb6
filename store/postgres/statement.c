/* statement.c - a statement's way to the server and back, with a deadline on the socket. See internal.h. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/postgres/internal.h"

#define STATEMENT_TEXT(name, text) [SQL_##name] = text,
/* Some texts go over several lines, and so have no comma between their parts. NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
static const char *const statement_texts[SQL_N] = {STATEMENTS(STATEMENT_TEXT)};
#undef STATEMENT_TEXT

uint64_t postgres_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const char *postgres_line(char line[POSTGRES_LINE_BYTES], const char *message)
{
    size_t n = 0;
    for (const char *at = message; at != NULL && *at != '\0' && n + 3 < POSTGRES_LINE_BYTES; at++)
        if (*at != '\n' && *at != '\t')
            line[n++] = *at;
        else if (*at == '\n' && at[1] != '\0')
            line[n++] = ';', line[n++] = ' ';
    line[n] = '\0';
    return line;
}

/* ---- what went wrong ---- */

/* The connection is of no use any more. */
static int lost(struct postgres *pg, const char *why, struct err *err)
{
    char line[POSTGRES_LINE_BYTES];
    err_set(err, ERR_LOG, "the connection to the shared log was lost: %s", postgres_line(line, why));
    postgres_drop(pg);
    return -1;
}

static bool is(const PGresult *result, const char *sqlstate)
{
    const char *said = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return said != NULL && strcmp(said, sqlstate) == 0;
}

static int taken(const PGresult *result, struct err *err)
{
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    if (constraint != NULL && strcmp(constraint, "event_pkey") == 0)
        return err_set(err, ERR_DB_CORRUPT,
                       "the shared log has an event behind its end: table convd.head is not what it was");
    if (constraint != NULL && strcmp(constraint, "event_key_key") == 0)
        return err_set(err, ERR_CONFLICT, "the shared log has an event with that Idempotency-Key already");
    return err_set(err, ERR_CONFLICT, "there is a shared log of convd in this database already");
}

/* The server has answered, and nothing came of the statement. */
static int refused(struct postgres *pg, const PGresult *result, struct err *err)
{
    char line[POSTGRES_LINE_BYTES];
    pg->unknown = false;
    if (is(result, "23505") || is(result, "42P06"))
        return taken(result, err);
    if (is(result, "42P01") || is(result, "3F000"))
        return err_set(err, ERR_DB_FOREIGN, "database \"%s\" has no shared log of convd", PQdb(pg->conn));
    if (is(result, "42501"))
        return err_set(
            err, ERR_CONFLICT,
            "the role that this convd has in PostgreSQL may not do that (%s): schema/postgres.sql has its rights",
            postgres_line(line, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
    if (is(result, "55P03"))
        return err_set(err, ERR_LOG, "the end of the shared log is held by an append that was not confirmed in time");
    err_set(err, ERR_LOG, "the shared log: %s",
            postgres_line(line, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
    if (is(result, "25006")) /* a standby by now: the next call looks for who can write */
        postgres_drop(pg);
    return -1;
}

/* ---- there and back ---- */

/* Until the socket is ready for one of the events. false: the call's time is over. */
static bool waited(const struct postgres *pg, short events)
{
    struct pollfd socket = {.fd = PQsocket(pg->conn), .events = events};
    const uint64_t now = postgres_now_ms();
    return now < pg->until_ms && poll(&socket, 1, (int)(pg->until_ms - now)) != 0;
}

static int late(struct postgres *pg, struct err *err)
{
    return lost(pg, "no answer in time", err);
}

static int sent(struct postgres *pg, struct err *err)
{
    int left;
    while ((left = PQflush(pg->conn)) > 0) {
        if (!waited(pg, POLLIN | POLLOUT))
            return late(pg, err);
        if (!PQconsumeInput(pg->conn))
            break;
    }
    return left == 0 ? 0 : lost(pg, PQerrorMessage(pg->conn), err);
}

static int answered(struct postgres *pg, struct err *err)
{
    while (PQisBusy(pg->conn)) {
        if (!waited(pg, POLLIN))
            return late(pg, err);
        if (!PQconsumeInput(pg->conn))
            return 0; /* what has come may say why */
    }
    return 0;
}

/* The last result, or the first that is an error. */
static int received(PGresult **out, struct postgres *pg, struct err *err)
{
    PGresult *kept = NULL, *next;
    for (;;) {
        if (answered(pg, err) != 0) {
            PQclear(kept);
            return -1;
        }
        if ((next = PQgetResult(pg->conn)) == NULL)
            break;
        if (kept == NULL || PQresultStatus(kept) != PGRES_FATAL_ERROR) {
            PQclear(kept);
            kept = next;
        } else {
            PQclear(next);
        }
    }
    *out = kept;
    return 0;
}

/* What became of what was just sent. */
static int finish(PGresult **out, struct postgres *pg, struct err *err)
{
    PGresult *result = NULL;
    int status = -1;
    if (sent(pg, err) != 0 || received(&result, pg, err) != 0)
        return -1;
    if (PQstatus(pg->conn) != CONNECTION_OK || result == NULL)
        lost(pg, result != NULL ? PQresultErrorMessage(result) : "no answer", err);
    else if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        refused(pg, result, err);
    else
        status = 0;
    if (status == 0)
        pg->unknown = false;
    else
        PQclear(result);
    *out = status == 0 ? result : NULL;
    return status;
}

static int prepared(struct postgres *pg, enum statement which, struct err *err)
{
    char name[16];
    PGresult *result;
    pg->unknown = false;
    if (pg->prepared[which])
        return 0;
    (void)snprintf(name, sizeof name, "s%d", (int)which);
    if (!PQsendPrepare(pg->conn, name, statement_texts[which], 0, NULL))
        return lost(pg, PQerrorMessage(pg->conn), err);
    if (finish(&result, pg, err) != 0)
        return -1;
    PQclear(result);
    pg->prepared[which] = true;
    return 0;
}

int postgres_run(PGresult **result, struct postgres *pg, enum statement which, const struct values *values,
                 struct err *err)
{
    static const struct values none;
    char name[16];
    *result = NULL;
    values = values != NULL ? values : &none;
    if (prepared(pg, which, err) != 0)
        return -1;
    (void)snprintf(name, sizeof name, "s%d", (int)which);
    pg->unknown = true;
    if (!PQsendQueryPrepared(pg->conn, name, values->n, values->at, values->bytes, values->formats, 1))
        return lost(pg, PQerrorMessage(pg->conn), err);
    return finish(result, pg, err);
}

int postgres_do(struct postgres *pg, enum statement which, const struct values *values, struct err *err)
{
    PGresult *result;
    if (postgres_run(&result, pg, which, values, err) != 0)
        return -1;
    PQclear(result);
    return 0;
}

int postgres_tell(struct postgres *pg, enum statement which, const struct values *values, struct err *err)
{
    const char *standby = PQparameterStatus(pg->conn, "in_hot_standby");
    return standby != NULL && strcmp(standby, "on") == 0 ? 0 : postgres_do(pg, which, values, err);
}

int postgres_script(struct postgres *pg, const char *text, struct err *err)
{
    PGresult *result;
    pg->unknown = true;
    if (!PQsendQuery(pg->conn, text))
        return lost(pg, PQerrorMessage(pg->conn), err);
    if (finish(&result, pg, err) != 0)
        return -1;
    PQclear(result);
    return 0;
}
