/* internal.h - what the files of store/postgres/ share and nobody else sees; the only header of convd that includes libpq-fe.h.
 */
#ifndef CONVD_STORE_POSTGRES_INTERNAL_H
#define CONVD_STORE_POSTGRES_INTERNAL_H

#include <libpq-fe.h>

#include "store/postgres/postgres.h"
#include "store/postgres/statements.h"

#define POSTGRES_FORMAT       1
#define POSTGRES_BYTES_PER_MS 8192u /* what a slow network carries: large calls have so much more time */
#define POSTGRES_VERSION_MIN                                                                                           \
    140000 /* client_connection_check_interval, and hosts by what they can do without a query each */

struct postgres {
    char *conninfo;
    PGconn *conn;         /* NULL: the next call makes one                                           */
    bool prepared[SQL_N]; /* in this connection                                                      */
    bool bare;            /* it is not asked whether there is a log: a listener's, postgres_create()'s */
    bool locked, idle;    /* postgres_lock(), postgres_idle_lock(): go with the connection           */
    bool nodes_tell_all;  /* the log has columns for all of struct log_node                          */
    bool warned;          /* the server has said a WARNING since this was cleared                    */
    bool unknown;         /* of the last statement: whether it came about                            */
    int64_t fence;        /* head.fence, as it was read last                                         */
    unsigned limit_ms;    /* of a call                                                               */
    uint64_t until_ms;    /* the end of the one under way, by postgres_now_ms()                      */
};

/* ---- connect.c ---- */

/* postgres_make - not connected yet. Owns: the caller; postgres_close(). */
struct postgres *postgres_make(const char *conninfo, bool bare, struct err *err);

/* postgres_ready - every call begins with it: its time begins, and there is a connection, a new one where the last was lost.
 * postgres_ready_alone - for what may not be in postgres_lock()'s transaction. */
int postgres_ready(struct postgres *pg, struct err *err);
int postgres_ready_alone(struct postgres *pg, struct err *err);

/* postgres_drop - the connection is ended, and with it all that was open in it. Never waits. */
void postgres_drop(struct postgres *pg);

/* ---- values.c: what goes into a statement and what comes out, in PostgreSQL's binary form ---- */

#define VALUES_MAX 15

/* Zeros to begin with. Bytes and texts are borrowed; NULL is NULL. */
struct values {
    const char *at[VALUES_MAX];
    int bytes[VALUES_MAX], formats[VALUES_MAX];
    uint8_t numbers[VALUES_MAX][8];
    int n;
};

void values_add(struct values *values, const void *bytes, size_t n);
void values_add_number(struct values *values, int64_t number);
void values_add_text(struct values *values, const char *text);

void put_number(uint8_t to[8], int64_t number);

/* Of a column that is not NULL, of the type that the statement says. */
int64_t result_number(const PGresult *result, int row, int column);
double result_real(const PGresult *result, int row, int column);
bool result_bool(const PGresult *result, int row, int column);
/* result_bytes - false: it is not of that length. */
bool result_bytes(uint8_t *to, size_t n, const PGresult *result, int row, int column);

/* ---- statement.c ---- */

uint64_t postgres_now_ms(void);

/* postgres_run - one statement, until the call's end. 0: *result is the caller's, PQclear(); -1: *result is NULL, and pg->unknown says whether it
 * may have come about all the same; if so the connection is gone. values NULL: none. postgres_do - of which nothing is looked at;
 * postgres_tell - what the others are told: nothing, where the server is a standby, on which nobody writes. postgres_script - several, as text. Errors: ERR_LOG; ERR_DB_FOREIGN (no such tables), ERR_CONFLICT (a key, a schema that is there). */
int postgres_run(PGresult **result, struct postgres *pg, enum statement which, const struct values *values,
                 struct err *err);
int postgres_do(struct postgres *pg, enum statement which, const struct values *values, struct err *err);
int postgres_tell(struct postgres *pg, enum statement which, const struct values *values, struct err *err);
int postgres_script(struct postgres *pg, const char *text, struct err *err);

/* postgres_line - what libpq said, as one line without its end. */
#define POSTGRES_LINE_BYTES 256
const char *postgres_line(char line[POSTGRES_LINE_BYTES], const char *message);

/* ---- head.c ---- */

/* postgres_read_head - and the fence. */
int postgres_read_head(struct log_head *head, struct postgres *pg, enum statement which, struct err *err);

/* ---- doubt.c ---- */

/* postgres_resolve - whether the log has that revision with that chain, where a statement or a commit of it is in doubt. 0: it has, and durably.
 * -1: ERR_LOG: it has not, and what was in doubt cannot come about any more; or, with err->detail 1, it could not be found out in
 * time. *err is the reason for the doubt. */
int postgres_resolve(struct postgres *pg, const struct log_head *last, struct err *err);

#endif
