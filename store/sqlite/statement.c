/* statement.c - the statements of store/sqlite/statements.h: prepared at their first use, bound, stepped, read. See store/sqlite/db.h. */
#include <errno.h>
#include <string.h>

#include "store/sqlite/internal.h"

#define STATEMENT_TEXT(name, text) [SQL_##name] = text,
/* Some texts go over several lines, and so have no comma between their parts. NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
static const char *const statement_texts[SQL_N] = {STATEMENTS(STATEMENT_TEXT)};
#undef STATEMENT_TEXT

const char *db_statement_text(enum statement which)
{
    return statement_texts[which];
}

/* The prepared statement, or NULL with bind_status set. */
static sqlite3_stmt *prepared(struct db *db, enum statement which)
{
    if (db_statement(db, which) == NULL && db->bind_status == SQLITE_OK)
        db->bind_status = sqlite3_prepare_v3(db_handle(db), db_statement_text(which), -1, SQLITE_PREPARE_PERSISTENT,
                                             &db->statements[which], NULL);
    return db_statement(db, which);
}

static void note_bind(struct db *db, int rc)
{
    if (db->bind_status == SQLITE_OK)
        db->bind_status = rc;
}

void db_bind_int(struct db *db, enum statement which, int place, int64_t value)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL)
        note_bind(db, sqlite3_bind_int64(s, place, value));
}

void db_bind_list(struct db *db, enum statement which, const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        db_bind_int(db, which, (int)i + 1, values[i]);
}

void db_bind_real(struct db *db, enum statement which, int place, double value)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL)
        note_bind(db, sqlite3_bind_double(s, place, value));
}

void db_bind_null(struct db *db, enum statement which, int place)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL)
        note_bind(db, sqlite3_bind_null(s, place));
}

void db_bind_text(struct db *db, enum statement which, int place, const char *text)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL)
        note_bind(db, sqlite3_bind_text64(s, place, text, strlen(text), SQLITE_STATIC, SQLITE_UTF8));
}

void db_bind_blob(struct db *db, enum statement which, int place, const void *bytes, size_t n_bytes)
{
    sqlite3_stmt *s = prepared(db, which);
    if (s != NULL) /* an empty blob needs an address, or SQLite makes it NULL */
        note_bind(db, sqlite3_bind_blob64(s, place, n_bytes == 0 ? "" : bytes, n_bytes, SQLITE_STATIC));
}

void db_reset(struct db *db, enum statement which)
{
    sqlite3_stmt *s = db_statement(db, which);
    db->work[which] = 0;
    if (s != NULL) {
        (void)sqlite3_reset(s); /* repeats the error of the last step, which was told */
        (void)sqlite3_clear_bindings(s);
    }
}

/* Rolling back takes memory. Where there was none, it is done as soon as something else is asked for, and until then nothing is. */
static int settle(struct db *db, enum statement which, struct err *err)
{
    if (!db->rollback_due || which == SQL_ROLLBACK)
        return 0;
    int bound = db->bind_status;
    db->rollback_due = false;
    db->bind_status = SQLITE_OK;
    if (db_in_transaction(db) && db_step(db, SQL_ROLLBACK, err) != 0 && db_in_transaction(db)) {
        db->rollback_due = true;
        db_reset(db, which);
        return -1;
    }
    db->bind_status = bound;
    return 0;
}

/* A text may need memory to be looked at, and SQLite gives NULL where there is none: that must not be taken for an
 * empty text in a damaged row. Once looked at, it stays. */
static bool texts_are_there(sqlite3_stmt *s)
{
    for (int column = 0; column < sqlite3_column_count(s); column++)
        if (sqlite3_column_type(s, column) == SQLITE_TEXT && sqlite3_column_text(s, column) == NULL)
            return false;
    return true;
}

int db_step(struct db *db, enum statement which, struct err *err)
{
    if (settle(db, which, err) != 0)
        return -1;
    if (db->bind_status == SQLITE_OK)
        errno = 0;
    sqlite3_stmt *s = prepared(db, which);
    int rc = db->bind_status;
    db->bind_status = SQLITE_OK;
    db->running = which;
    if (s != NULL && rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW && texts_are_there(s))
        return 1;
    if (rc == SQLITE_ROW)
        rc = SQLITE_NOMEM;
    if (rc != SQLITE_DONE)
        db_fail(db, rc, errno, err);
    db_reset(db, which);
    return rc == SQLITE_DONE ? 0 : -1;
}

int db_run(struct db *db, enum statement which, struct err *err)
{
    int status;
    do
        status = db_step(db, which, err);
    while (status == 1);
    return status;
}

static int column_type(const struct db *db, enum statement which, int column)
{
    return sqlite3_column_type(db_statement(db, which), column);
}

bool db_is_null(const struct db *db, enum statement which, int column)
{
    return column_type(db, which, column) == SQLITE_NULL;
}

bool db_is_int(const struct db *db, enum statement which, int column)
{
    return column_type(db, which, column) == SQLITE_INTEGER;
}

int64_t db_int(const struct db *db, enum statement which, int column)
{
    return sqlite3_column_int64(db_statement(db, which), column);
}

double db_real(const struct db *db, enum statement which, int column)
{
    return sqlite3_column_double(db_statement(db, which), column);
}

const char *db_text(const struct db *db, enum statement which, int column, size_t *n_bytes)
{
    const unsigned char *text = sqlite3_column_text(db_statement(db, which), column);
    if (n_bytes != NULL)
        *n_bytes = text == NULL ? 0 : (size_t)sqlite3_column_bytes(db_statement(db, which), column);
    return text == NULL ? "" : (const char *)text;
}

const void *db_blob(const struct db *db, enum statement which, int column, size_t *n_bytes)
{
    const void *bytes = sqlite3_column_blob(db_statement(db, which), column);
    *n_bytes = bytes == NULL ? 0 : (size_t)sqlite3_column_bytes(db_statement(db, which), column);
    return bytes;
}

int db_number(int64_t *value, struct db *db, enum statement which, struct err *err)
{
    const int status = db_step(db, which, err);
    *value = status == 1 ? db_int(db, which, 0) : 0;
    db_reset(db, which);
    return status < 0 ? -1 : 0;
}
