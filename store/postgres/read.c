/* read.c - the log back, row by row. See postgres.h. */
#include <stdlib.h>
#include <string.h>

#include "store/postgres/internal.h"

enum { REVISION, CREATED_US, FIRST, KIND, BODY, CHAIN, KEY, FINGERPRINT, LABELS, IMAGES };

static size_t length(const PGresult *result, int row, int column)
{
    return (size_t)PQgetlength(result, row, column);
}

/* The rows themselves, then the labels of all of them, then the bytes. */
static size_t block_bytes(const PGresult *result)
{
    const int n = PQntuples(result);
    size_t bytes = (size_t)n * sizeof(struct log_row);
    for (int i = 0; i < n; i++)
        bytes += length(result, i, LABELS) + length(result, i, IMAGES) + length(result, i, KIND) + 1 +
                 length(result, i, BODY) + 1 + length(result, i, KEY) + 1;
    return bytes;
}

static const void *take(uint8_t **at, const PGresult *result, int row, int column, size_t end)
{
    const size_t n = length(result, row, column) + end; /* libpq ends every value with a zero */
    const uint8_t *begin = memcpy(*at, PQgetvalue(result, row, column), n);
    *at += n;
    return begin;
}

/* false: it is not what anybody appended. */
static bool take_row(struct log_row *row, uint8_t **labels, uint8_t **bytes, const PGresult *result, int i)
{
    const size_t n_labels = length(result, i, LABELS), n_images = length(result, i, IMAGES);
    row->revision = (uint64_t)result_number(result, i, REVISION);
    row->created_us = result_number(result, i, CREATED_US);
    row->first = result_number(result, i, FIRST);
    row->n_samples = (uint32_t)(n_labels / sizeof *row->labels);
    row->n_image = row->n_samples > 0 ? (uint32_t)(n_images / row->n_samples) : 0;
    row->labels = take(labels, result, i, LABELS, 0);
    row->kind = take(bytes, result, i, KIND, 1);
    row->body = take(bytes, result, i, BODY, 1);
    row->key = PQgetisnull(result, i, KEY) ? NULL : take(bytes, result, i, KEY, 1);
    row->images = take(bytes, result, i, IMAGES, 0);
    if (strcmp(row->kind, "edit") == 0) {
        row->edit = row->images;
        row->n_edit = n_images;
    }
    return result_bytes(row->chain, CHAIN_BYTES, result, i, CHAIN) && n_labels % sizeof *row->labels == 0 &&
           (row->edit != NULL || n_images == (size_t)row->n_samples * row->n_image) &&
           (row->key == NULL || result_bytes(row->fingerprint, sizeof row->fingerprint, result, i, FINGERPRINT));
}

/* next: of the first row, where they follow each other; 0: they may have any numbers. */
static struct log_row *rows_create(const PGresult *result, uint64_t next, struct err *err)
{
    const int n = PQntuples(result);
    struct log_row *rows = calloc(1, block_bytes(result));
    if (rows == NULL) {
        err_memory(err, "%d rows of the shared log", n);
        return NULL;
    }
    uint8_t *labels = (uint8_t *)(rows + n), *bytes = labels;
    for (int i = 0; i < n; i++)
        bytes += length(result, i, LABELS);
    for (int i = 0; i < n; i++)
        if (!take_row(&rows[i], &labels, &bytes, result, i) || (next > 0 && rows[i].revision != next + (uint64_t)i)) {
            err_set(err, ERR_DB_CORRUPT, "row %llu of the shared log is missing or damaged",
                    (unsigned long long)(next > 0 ? next + (uint64_t)i : rows[i].revision));
            free(rows);
            return NULL;
        }
    return rows;
}

static int read_rows(struct log_row **rows, size_t *n, struct postgres *pg, enum statement which,
                     const struct values *values, uint64_t next, struct err *err)
{
    PGresult *result;
    *rows = NULL;
    *n = 0;
    if (postgres_ready(pg, err) != 0 || postgres_run(&result, pg, which, values, err) != 0)
        return -1;
    *n = (size_t)PQntuples(result);
    if (*n > 0)
        *rows = rows_create(result, next, err);
    PQclear(result);
    return *n == 0 || *rows != NULL ? 0 : -1;
}

int postgres_read(struct log_row **rows, size_t *n, struct postgres *pg, uint64_t after, size_t max_bytes,
                  struct err *err)
{
    struct values values = {0};
    values_add_number(&values, (int64_t)after);
    values_add_number(&values, max_bytes > 0 ? (int64_t)max_bytes : 1);
    return read_rows(rows, n, pg, SQL_READ, &values, after + 1, err);
}

int postgres_edits(struct log_row **rows, size_t *n, struct postgres *pg, uint64_t after, struct err *err)
{
    struct values values = {0};
    values_add_number(&values, (int64_t)after);
    return read_rows(rows, n, pg, SQL_EDITS, &values, 0, err);
}

int postgres_chain(uint8_t chain[CHAIN_BYTES], struct postgres *pg, uint64_t revision, struct err *err)
{
    PGresult *result;
    struct values values = {0};
    values_add_number(&values, (int64_t)revision);
    if (postgres_ready(pg, err) != 0 || postgres_run(&result, pg, SQL_CHAIN, &values, err) != 0)
        return -1;
    const int found = PQntuples(result);
    const bool whole = found == 0 || result_bytes(chain, CHAIN_BYTES, result, 0, 0);
    PQclear(result);
    return whole ? found
                 : err_set(err, ERR_DB_CORRUPT, "row %llu of the shared log is damaged", (unsigned long long)revision);
}
