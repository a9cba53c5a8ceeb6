/* snapshots.c - whether all come to the same state, and states to begin from. See postgres.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/postgres/internal.h"

#define SNAPSHOT_BYTES_MAX 1000000000u /* of one value of PostgreSQL's, with room */
#define PIECE_BYTES        (8u << 20)  /* of a snapshot in one answer             */

/* ---- digests ---- */

/* The digest that is there: 1: it is this one; 0: there is none; -1: ERR_DIVERGED. */
static int compare(struct postgres *pg, enum statement which, uint64_t revision, const uint8_t digest[DIGEST_BYTES],
                   struct err *err)
{
    PGresult *result;
    uint8_t found[DIGEST_BYTES];
    struct values values = {0};
    values_add_number(&values, (int64_t)revision);
    if (postgres_run(&result, pg, which, &values, err) != 0)
        return -1;
    const int n = PQntuples(result);
    const bool same =
        n == 1 && result_bytes(found, DIGEST_BYTES, result, 0, 0) && memcmp(found, digest, DIGEST_BYTES) == 0;
    PQclear(result);
    return n == 0 || same ? n
                          : err_set(err, ERR_DIVERGED, "at revision %llu others have another state than this one",
                                    (unsigned long long)revision);
}

/* After an insert that leaves alone what is there. */
static int compare_after(struct postgres *pg, enum statement which, uint64_t revision,
                         const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    return compare(pg, which, revision, digest, err) < 0 ? -1 : 0;
}

int postgres_digest(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    struct values values = {0};
    values_add_number(&values, (int64_t)revision);
    values_add(&values, digest, DIGEST_BYTES);
    if (postgres_ready_alone(pg, err) != 0 || postgres_tell(pg, SQL_DIGEST_PUT, &values, err) != 0 ||
        compare_after(pg, SQL_DIGEST, revision, digest, err) != 0)
        return -1;
    return postgres_tell(pg, SQL_DIGEST_PRUNE, NULL, err);
}

int postgres_digest_stands(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    return postgres_ready_alone(pg, err) == 0 ? compare_after(pg, SQL_DIGEST, revision, digest, err) : -1;
}

int postgres_digest_replace(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    struct values values = {0};
    values_add_number(&values, (int64_t)revision);
    return postgres_ready_alone(pg, err) == 0 && postgres_tell(pg, SQL_DIGEST_DROP, &values, err) == 0
               ? postgres_digest(pg, revision, digest, err)
               : -1;
}

/* ---- snapshots ---- */

static int put(struct postgres *pg, const struct log_snapshot *snapshot, struct err *err)
{
    struct values values = {0};
    values_add_number(&values, (int64_t)snapshot->revision);
    values_add(&values, snapshot->digest, DIGEST_BYTES);
    values_add(&values, snapshot->chain, CHAIN_BYTES);
    values_add(&values, snapshot->state, snapshot->n_state);
    values_add(&values, snapshot->tensors, snapshot->n_tensors);
    pg->until_ms += (snapshot->n_state + snapshot->n_tensors) / POSTGRES_BYTES_PER_MS;
    if (postgres_do(pg, SQL_SNAPSHOT_PUT, &values, err) != 0 || postgres_do(pg, SQL_SNAPSHOT_PRUNE, NULL, err) != 0)
        return -1;
    return compare_after(pg, SQL_SNAPSHOT, snapshot->revision, snapshot->digest, err);
}

int postgres_snapshot_put(struct postgres *pg, const struct log_snapshot *snapshot, struct err *err)
{
    if (snapshot->n_state > SNAPSHOT_BYTES_MAX || snapshot->n_tensors > SNAPSHOT_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "the state is %zu bytes: a shared log takes %u at most",
                       snapshot->n_state + snapshot->n_tensors, SNAPSHOT_BYTES_MAX);
    if (postgres_ready_alone(pg, err) != 0)
        return -1;
    const int found = compare(pg, SQL_SNAPSHOT, snapshot->revision, snapshot->digest, err);
    return found == 0 ? put(pg, snapshot, err) : found == 1 ? 0 : -1;
}

/* The newest of a revision up to that, with room for its bytes: 1, 0, -1. */
static int find(struct log_snapshot **out, struct postgres *pg, uint64_t upto, struct err *err)
{
    PGresult *result;
    struct values values = {0};
    values_add_number(&values, (int64_t)upto);
    if (postgres_run(&result, pg, SQL_SNAPSHOT_FIND, &values, err) != 0)
        return -1;
    const int found = PQntuples(result);
    const size_t n_state = found ? (size_t)result_number(result, 0, 3) : 0,
                 n_tensors = found ? (size_t)result_number(result, 0, 4) : 0;
    struct log_snapshot *snapshot = found ? malloc(sizeof *snapshot + n_state + n_tensors) : NULL;
    if (snapshot != NULL) {
        const uint8_t *bytes = (const uint8_t *)(snapshot + 1);
        *snapshot = (struct log_snapshot){.revision = (uint64_t)result_number(result, 0, 0),
                                          .n_state = n_state,
                                          .n_tensors = n_tensors,
                                          .state = bytes,
                                          .tensors = bytes + n_state};
        (void)(result_bytes(snapshot->digest, DIGEST_BYTES, result, 0, 1) &&
               result_bytes(snapshot->chain, CHAIN_BYTES, result, 0, 2));
    }
    PQclear(result);
    *out = snapshot;
    return found == 1 && snapshot == NULL ? err_memory(err, "a snapshot of %zu bytes", n_state + n_tensors) : found;
}

/* From `done` of n on into to[n]: how many bytes, 0 if it was removed meanwhile. */
static int64_t read_piece(uint8_t *to, size_t done, size_t n, struct postgres *pg, enum statement which,
                          uint64_t revision, struct err *err)
{
    PGresult *result;
    struct values values = {0};
    const size_t wanted = n - done < PIECE_BYTES ? n - done : PIECE_BYTES;
    values_add_number(&values, (int64_t)revision);
    values_add_number(&values, (int64_t)done + 1);
    values_add_number(&values, (int64_t)wanted);
    if (postgres_ready(pg, err) != 0 || postgres_run(&result, pg, which, &values, err) != 0)
        return -1;
    const bool whole = PQntuples(result) == 1 && result_bytes(to + done, wanted, result, 0, 0);
    PQclear(result);
    return whole ? (int64_t)wanted
                 : err_set(err, ERR_LOG, "snapshot %llu of the shared log was removed meanwhile",
                           (unsigned long long)revision);
}

static int read_bytes(uint8_t *to, size_t n, struct postgres *pg, enum statement which, uint64_t revision,
                      struct err *err)
{
    for (size_t done = 0; done < n;) {
        const int64_t more = read_piece(to, done, n, pg, which, revision, err);
        if (more < 0)
            return -1;
        done += (size_t)more;
    }
    return 0;
}

int postgres_snapshot_get(struct log_snapshot **out, struct postgres *pg, uint64_t upto, struct err *err)
{
    *out = NULL;
    if (postgres_ready_alone(pg, err) != 0)
        return -1;
    const int found = find(out, pg, upto, err);
    if (found != 1)
        return found;
    struct log_snapshot *snapshot = *out;
    uint8_t *bytes = (uint8_t *)(snapshot + 1);
    if (read_bytes(bytes, snapshot->n_state, pg, SQL_SNAPSHOT_STATE, snapshot->revision, err) == 0 &&
        read_bytes(bytes + snapshot->n_state, snapshot->n_tensors, pg, SQL_SNAPSHOT_TENSORS, snapshot->revision, err) ==
            0)
        return 1;
    free(snapshot);
    *out = NULL;
    return -1;
}

/* ---- outcomes ---- */

int postgres_outcomes_put(struct postgres *pg, const struct log_outcomes *outcomes, struct err *err)
{
    struct values values = {0};
    const size_t n_bytes = (size_t)outcomes->n * LOG_OUTCOME_BYTES;
    values_add_number(&values, outcomes->first);
    values_add_number(&values, outcomes->n);
    values_add_number(&values, (int64_t)outcomes->revision);
    values_add(&values, outcomes->rows, n_bytes);
    if (postgres_ready_alone(pg, err) != 0)
        return -1;
    pg->until_ms += n_bytes / POSTGRES_BYTES_PER_MS;
    return postgres_do(pg, SQL_OUTCOME_PUT, &values, err);
}

int postgres_outcomes_get(struct log_outcomes **out, struct postgres *pg, int64_t sample, struct err *err)
{
    PGresult *result;
    struct values values = {0};
    values_add_number(&values, sample);
    *out = NULL;
    if (postgres_ready_alone(pg, err) != 0)
        return -1;
    pg->until_ms += PIECE_BYTES / POSTGRES_BYTES_PER_MS;
    if (postgres_run(&result, pg, SQL_OUTCOME_GET, &values, err) != 0)
        return -1;
    const int found = PQntuples(result);
    const int64_t n = found ? result_number(result, 0, 1) : 0;
    struct log_outcomes *outcomes = NULL;
    if (found && n > 0 && n < UINT32_MAX)
        outcomes = malloc(sizeof *outcomes + (size_t)n * LOG_OUTCOME_BYTES);
    if (outcomes != NULL) {
        uint8_t *rows = (uint8_t *)(outcomes + 1);
        *outcomes = (struct log_outcomes){.first = result_number(result, 0, 0),
                                          .n = (uint32_t)n,
                                          .revision = (uint64_t)result_number(result, 0, 3),
                                          .rows = rows};
        (void)result_bytes(rows, (size_t)n * LOG_OUTCOME_BYTES, result, 0, 2);
    }
    PQclear(result);
    *out = outcomes;
    return found == 1 && outcomes == NULL ? err_memory(err, "%lld outcomes", (long long)n) : found;
}

/* ---- how far ---- */

int postgres_states(struct log_states *out, struct postgres *pg, struct err *err)
{
    PGresult *result;
    struct err why = {0};
    *out = (struct log_states){0};
    if (postgres_ready_alone(pg, err) != 0)
        return -1;
    if (postgres_run(&result, pg, SQL_STATES, NULL, &why) != 0) {
        if (why.code == ERR_DB_FOREIGN || why.code == ERR_CONFLICT)
            return 0;
        if (err != NULL)
            *err = why;
        return -1;
    }
    *out = (struct log_states){.snapshot = (uint64_t)result_number(result, 0, 0),
                               .next = result_number(result, 0, 1),
                               .writable = result_bool(result, 0, 2)};
    PQclear(result);
    return 1;
}

int postgres_states_drop(struct postgres *pg, uint64_t from, uint64_t to, struct err *err)
{
    struct values values = {0};
    values_add_number(&values, (int64_t)from);
    values_add_number(&values, (int64_t)to);
    return postgres_ready_alone(pg, err) == 0 && postgres_tell(pg, SQL_OUTCOME_DROP, &values, err) == 0
               ? postgres_tell(pg, SQL_SNAPSHOT_DROP, &values, err)
               : -1;
}
