/* append.c - rows behind the log's end: one statement, which is the transaction. See postgres.h, and SQL_APPEND in statements.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/postgres/internal.h"

#define ERASE_MS 10000 /* more than the limit of a call, and a millisecond for each sample */

/* ---- rows as one array for each column, as PostgreSQL's array_recv() takes it ---- */

enum column { REVISION, CREATED_US, FIRST, KIND, BODY, CHAIN, KEY, FINGERPRINT, LABELS, IMAGES, COLUMNS };

enum { TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_TEXT = 25 }; /* of pg_type */

static const uint32_t types[COLUMNS] = {
    [REVISION] = TYPE_INT8, [CREATED_US] = TYPE_INT8, [FIRST] = TYPE_INT8, [KIND] = TYPE_TEXT,
    [BODY] = TYPE_TEXT,     [CHAIN] = TYPE_BYTEA,     [KEY] = TYPE_TEXT,   [FINGERPRINT] = TYPE_BYTEA,
    [LABELS] = TYPE_BYTEA,  [IMAGES] = TYPE_BYTEA,
};

struct cell {
    const void *bytes; /* NULL: NULL */
    size_t n;
};

static struct cell cell_of_number(uint8_t to[8], int64_t number)
{
    put_number(to, number);
    return (struct cell){to, 8};
}

static struct cell cell_of_text(const char *text)
{
    return (struct cell){text, text != NULL ? strlen(text) : 0};
}

static struct cell cell_of(const struct log_row *row, enum column column, uint8_t number[8])
{
    switch (column) {
    case REVISION:
        return cell_of_number(number, (int64_t)row->revision);
    case CREATED_US:
        return cell_of_number(number, row->created_us);
    case FIRST:
        return cell_of_number(number, row->first);
    case KIND:
        return cell_of_text(row->kind);
    case BODY:
        return cell_of_text(row->body);
    case CHAIN:
        return (struct cell){row->chain, CHAIN_BYTES};
    case KEY:
        return cell_of_text(row->key);
    case FINGERPRINT:
        return (struct cell){row->key != NULL ? row->fingerprint : NULL, sizeof row->fingerprint};
    case LABELS:
        return (struct cell){row->n_samples > 0 ? (const void *)row->labels : "", sizeof(uint32_t) * row->n_samples};
    case IMAGES:
        if (row->edit != NULL)
            return (struct cell){row->edit, row->n_edit};
        return (struct cell){row->n_samples > 0 ? (const void *)row->images : "",
                             (size_t)row->n_samples * row->n_image};
    case COLUMNS:
        break;
    }
    return (struct cell){NULL, 0};
}

static size_t array_bytes(enum column column, const struct log_row *rows, size_t n)
{
    uint8_t number[8];
    size_t bytes = 20;
    for (size_t i = 0; i < n; i++) {
        const struct cell cell = cell_of(&rows[i], column, number);
        bytes += 4 + (cell.bytes != NULL ? cell.n : 0);
    }
    return bytes;
}

static uint8_t *put_u32(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        *to++ = (uint8_t)(number >> (24 - 8 * i));
    return to;
}

static uint8_t *put_cell(uint8_t *to, struct cell cell)
{
    if (cell.bytes == NULL)
        return put_u32(to, UINT32_MAX);
    to = put_u32(to, (uint32_t)cell.n);
    memcpy(to, cell.bytes, cell.n);
    return to + cell.n;
}

/* One dimension, counted from 1. */
static uint8_t *put_array(uint8_t *to, enum column column, const struct log_row *rows, size_t n)
{
    uint8_t number[8];
    const uint32_t head[5] = {1, column == KEY || column == FINGERPRINT, types[column], (uint32_t)n, 1};
    for (int i = 0; i < 5; i++)
        to = put_u32(to, head[i]);
    for (size_t i = 0; i < n; i++)
        to = put_cell(to, cell_of(&rows[i], column, number));
    return to;
}

/* The arrays, each of them a value; in one block, the caller's: free(). */
static uint8_t *arrays_create(struct values *values, const struct log_row *rows, size_t n, struct err *err)
{
    size_t total = 0;
    for (int column = 0; column < COLUMNS; column++)
        total += array_bytes((enum column)column, rows, n);
    if (total > POSTGRES_APPEND_BYTES_MAX) {
        err_set(err, ERR_LIMIT, "%zu bytes at once are more than a shared log takes, %u", total,
                POSTGRES_APPEND_BYTES_MAX);
        return NULL;
    }
    uint8_t *block = malloc(total), *at = block, *end;
    for (int column = 0; block != NULL && column < COLUMNS; column++, at = end) {
        end = put_array(at, (enum column)column, rows, n);
        values_add(values, at, (size_t)(end - at));
    }
    if (block == NULL)
        err_memory(err, "%zu rows of the shared log", n);
    return block;
}

/* Numbers, likewise; the caller's: free(). */
static uint8_t *numbers_create(struct values *values, const int64_t *numbers, size_t n, struct err *err)
{
    const size_t n_bytes = 20 + 12 * n;
    uint8_t *block = malloc(n_bytes), *at = block;
    if (block == NULL) {
        err_memory(err, "%zu rows of the shared log", n);
        return NULL;
    }
    const uint32_t head[5] = {1, 0, TYPE_INT8, (uint32_t)n, 1};
    for (int i = 0; i < 5; i++)
        at = put_u32(at, head[i]);
    for (size_t i = 0; i < n; i++) {
        uint8_t number[8];
        at = put_cell(at, cell_of_number(number, numbers[i]));
    }
    values_add(values, block, n_bytes);
    return block;
}

/* How long their way may take beside the limit of a call. */
static uint64_t way_ms(const struct values *arrays)
{
    uint64_t bytes = 0;
    for (int i = 0; i < arrays->n; i++)
        bytes += (uint64_t)arrays->bytes[i];
    return bytes / POSTGRES_BYTES_PER_MS;
}

/* ---- appending ---- */

/* 1: it came about; 0: the log does not end there; -1. In postgres_lock()'s transaction, with its commit. */
static int run_append(struct postgres *pg, const struct values *values, struct err *err)
{
    PGresult *result;
    pg->warned = false;
    if (postgres_run(&result, pg, SQL_APPEND, values, err) != 0)
        return -1;
    const int found = PQntuples(result);
    PQclear(result);
    if (found == 0 || !pg->locked)
        return found;
    pg->locked = false;
    return postgres_do(pg, SQL_COMMIT, NULL, err) == 0 ? 1 : -1;
}

/* Nothing was changed since the log does not end at `after`. 1: it does, and only the fence was another. */
static int look_again(struct postgres *pg, const struct log_head *after, struct err *err)
{
    struct log_head end;
    const bool locked = pg->locked;
    postgres_unlock(pg);
    if (postgres_read_head(&end, pg, SQL_HEAD, err) != 0)
        return -1;
    if (!locked && end.revision == after->revision && memcmp(end.chain, after->chain, CHAIN_BYTES) == 0)
        return 1;
    return err_set(err, ERR_BUSY, "the shared log ends at revision %llu, not at %llu", (unsigned long long)end.revision,
                   (unsigned long long)after->revision);
}

static int settle_append(struct postgres *pg, const struct log_head *last, int found, struct err *err)
{
    if (found == 1 && pg->warned)
        err_set(err, ERR_LOG, "the server gave up waiting for its standby");
    else if (found == 1)
        return 0;
    else if (!pg->unknown)
        postgres_unlock(pg);
    return found == 1 || pg->unknown ? postgres_resolve(pg, last, err) : -1;
}

static int append(struct postgres *pg, const struct log_head *after, const struct log_head *last,
                  const struct values *arrays, struct err *err)
{
    for (;;) {
        struct values values = {0};
        values_add_number(&values, (int64_t)after->revision);
        values_add(&values, after->chain, CHAIN_BYTES);
        values_add_number(&values, pg->fence);
        values_add_number(&values, (int64_t)last->revision);
        values_add(&values, last->chain, CHAIN_BYTES);
        for (int i = 0; i < arrays->n; i++)
            values_add(&values, arrays->at[i], (size_t)arrays->bytes[i]);
        const int found = run_append(pg, &values, err);
        if (found != 0)
            return settle_append(pg, last, found, err);
        if (look_again(pg, after, err) != 1)
            return -1;
    }
}

/* ---- erasing ---- */

/* What the edit forgets goes in the transaction of its event, which orders it: behind the head's row. */
static int erase(struct postgres *pg, const struct log_head *after, const struct log_row *edit, struct err *err)
{
    struct log_head end;
    struct values values = {0};
    if (postgres_lock(&end, pg, err) != 0)
        return -1;
    if (end.revision != after->revision || memcmp(end.chain, after->chain, CHAIN_BYTES) != 0)
        return err_set(err, ERR_BUSY, "the shared log ends at revision %llu, not at %llu",
                       (unsigned long long)end.revision, (unsigned long long)after->revision);
    uint8_t *events = numbers_create(&values, edit->erase_events, edit->n_erase, err);
    uint8_t *samples = events != NULL ? numbers_create(&values, edit->erase_samples, edit->n_erase, err) : NULL;
    pg->until_ms += ERASE_MS + edit->n_erase;
    const int status = samples != NULL ? postgres_do(pg, SQL_ERASE, &values, err) : -1;
    free(events);
    free(samples);
    return status;
}

int postgres_append(struct postgres *pg, const struct log_head *after, const struct log_row *rows, size_t n,
                    struct err *err)
{
    struct values arrays = {0};
    struct log_head last = {.revision = after->revision + n};
    assert(n > 0 && rows[0].revision == after->revision + 1 && rows[n - 1].revision == last.revision);
    memcpy(last.chain, rows[n - 1].chain, CHAIN_BYTES);
    uint8_t *block = arrays_create(&arrays, rows, n, err);
    int status = block != NULL ? postgres_ready(pg, err) : -1;
    if (status == 0 && n == 1 && rows[0].n_erase > 0)
        status = erase(pg, after, &rows[0], err);
    if (status == 0) {
        pg->until_ms += way_ms(&arrays);
        status = append(pg, after, &last, &arrays, err);
    } else {
        postgres_unlock(pg);
    }
    free(block);
    return status;
}
