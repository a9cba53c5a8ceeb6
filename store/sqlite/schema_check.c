/* schema_check.c - the schema of a file from elsewhere, held to the one that convd makes. A trigger would change what is stored, a view
 * or a generated column what is read, a column's default or check what is taken: all of that is text in the file, and runs as soon as
 * its table is used. So the file is used only where each text is convd's own, and there is none beside it. */
#include <ctype.h>
#include <nettle/sha2.h>
#include <string.h>

#include "store/sqlite/internal.h"
#include "store/sqlite/schema.h"

enum column { TYPE, NAME, TABLE, TEXT };

static const char *column(sqlite3_stmt *rows, enum column which)
{
    const unsigned char *text = sqlite3_column_text(rows, (int)which);
    return text == NULL ? "" : (const char *)text; /* an index of a constraint has no text */
}

/* SHA-256 over the rows that schema/ makes, each text with its zero. A file that has these is known at once; with others they are
 * looked at one by one, which takes a hundred times as long. A schema that has changed is for tests/store/test_hostile_file.c to tell. */
static const uint8_t usual[SHA256_DIGEST_SIZE] = {0x90, 0x48, 0xcd, 0x20, 0x72, 0x66, 0x2f, 0x27, 0xb3, 0x93, 0xb4,
                                                  0xcc, 0x1e, 0x5f, 0x7e, 0x91, 0x00, 0xeb, 0xff, 0x14, 0x0c, 0xe2,
                                                  0x8e, 0xd0, 0xd6, 0xdf, 0xc0, 0x12, 0xff, 0x0f, 0xd0, 0x2f};

/* 1: it is; 0: it is not; -1: error. */
static int is_usual(struct db *db, struct err *err)
{
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    int status;
    sha256_init(&sha);
    while ((status = db_step(db, SQL_SCHEMA_ROWS, err)) == 1)
        for (enum column which = TYPE; which <= TEXT; which++) {
            const char *text = column(db_statement(db, SQL_SCHEMA_ROWS), which);
            sha256_update(&sha, strlen(text) + 1, (const uint8_t *)text);
        }
    sha256_digest(&sha, sizeof digest, digest);
    return status < 0 ? -1 : memcmp(digest, usual, sizeof digest) == 0;
}

/* Behind blanks and comments, which differ between versions of schema/ that mean the same. */
static const char *skip_gap(const char *text)
{
    for (;;) {
        if (isspace((unsigned char)*text))
            text++;
        else if (text[0] == '-' && text[1] == '-')
            text += strcspn(text, "\n");
        else
            return text;
    }
}

/* Whether two texts of SQL have the same tokens: byte for byte, but for the length of the gaps outside of quotes. */
static bool same_text(const char *a, const char *b)
{
    char quote = '\0';
    while (*a == *b && *a != '\0') {
        if (quote != '\0' || strchr("'\"`[", *a) != NULL) /* only quotes that close as they open are known */
            quote = quote == '\0' ? *a : *a == quote ? '\0' : quote;
        a++, b++;
        const char *a_next = quote == '\0' ? skip_gap(a) : a, *b_next = quote == '\0' ? skip_gap(b) : b;
        if ((a_next == a) != (b_next == b))
            return false;
        a = a_next, b = b_next;
    }
    return *a == *b;
}

static int is_foreign(const struct db *db, sqlite3_stmt *row, struct err *err)
{
    return err_set(
        err, ERR_DB_FOREIGN,
        "%.80s has %.10s %.60s, which no convd makes, and could do as it likes: drop it with the sqlite3 shell, "
        "or take a file of your own",
        db->path, column(row, TYPE), column(row, NAME));
}

static int is_changed(const struct db *db, sqlite3_stmt *known, const char *how, struct err *err)
{
    return err_set(err, ERR_DB_CORRUPT, "%.80s: %.10s %.60s is %s: take a backup", db->path, column(known, TYPE),
                   column(known, NAME), how);
}

/* By type, then name, as both lists are in order. */
static int order(sqlite3_stmt *a, sqlite3_stmt *b)
{
    const int by_type = strcmp(column(a, TYPE), column(b, TYPE));
    return by_type != 0 ? by_type : strcmp(column(a, NAME), column(b, NAME));
}

/* Goes on to the next row of each list; 1: both have one, 0: both are at their end. */
static int compare_next(struct db *db, sqlite3_stmt *known, struct err *err)
{
    const int more = db_step(db, SQL_SCHEMA_ROWS, err), rc = sqlite3_step(known);
    sqlite3_stmt *row = db_statement(db, SQL_SCHEMA_ROWS);
    if (more < 0)
        return -1;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return err_memory(err, "the schema");
    const int found = more == 0 && rc == SQLITE_DONE ? 0 : more == 0 ? 1 : rc == SQLITE_DONE ? -1 : order(row, known);
    if (found < 0)
        return is_foreign(db, row, err);
    if (found > 0)
        return is_changed(db, known, "missing", err);
    if (more == 1 &&
        (strcmp(column(row, TABLE), column(known, TABLE)) != 0 || !same_text(column(row, TEXT), column(known, TEXT))))
        return is_changed(db, known, "not as convd makes it", err);
    return more;
}

/* In memory, the schema that a file of that version has. */
static int make_known(sqlite3 **known, sqlite3_stmt **rows, int version)
{
    int rc = sqlite3_open_v2(":memory:", known, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    for (int v = 0; rc == SQLITE_OK && v < version; v++)
        rc = sqlite3_exec(*known, schema_sql[v], NULL, NULL, NULL);
    return rc != SQLITE_OK ? rc : sqlite3_prepare_v2(*known, db_statement_text(SQL_SCHEMA_ROWS), -1, rows, NULL);
}

int db_check_schema(struct db *db, int version, struct err *err)
{
    sqlite3 *known = NULL;
    sqlite3_stmt *rows = NULL;
    int status = version == schema_version ? is_usual(db, err) : 0;
    if (status != 0)
        return status < 0 ? -1 : 0;
    status = make_known(&known, &rows, version) == SQLITE_OK ? 1 : err_memory(err, "the schema");
    while (status == 1)
        status = compare_next(db, rows, err);
    db_reset(db, SQL_SCHEMA_ROWS);
    (void)sqlite3_finalize(rows);
    (void)sqlite3_close(known);
    return status;
}
