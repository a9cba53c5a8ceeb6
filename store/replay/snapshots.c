/* snapshots.c - a state written whole, and read back only after it proved to be what was written.
 *
 * A snapshot carries the digest of the state and the chain of the log at its revision. Reading decodes the state and
 * takes the digest again: one changed bit in any tensor or in the rest, and it is refused.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* The three tensors, row by row, without padding; kernels is NULL in a model without. */
struct tensors {
    float *kernels, *w01, *w12;
};

static void tensors_fini(struct tensors *t)
{
    free(t->kernels);
    free(t->w01);
    free(t->w12);
}

static size_t tensor_bytes(uint32_t rows, uint32_t columns)
{
    return (size_t)rows * columns * sizeof(float); /* shape_check() bounds the product */
}

static int tensors_init(struct tensors *t, const struct learner *learner, struct err *err)
{
    const struct shape *shape = &learner->shape;
    *t = (struct tensors){
        .kernels = shape->kernels > 0 ? malloc(tensor_bytes(shape->kernels, shape->n_k)) : NULL,
        .w01 = malloc(tensor_bytes(shape->n_0, shape->n_1)),
        .w12 = malloc(tensor_bytes(shape->n_1, learner->n_classes) + 1), /* which may have no column */
    };
    if ((shape->kernels > 0 && t->kernels == NULL) || t->w01 == NULL || t->w12 == NULL)
        return err_memory(err, "the tensors of a snapshot");
    return 0;
}

/* ---- writing ---- */

static int write_tensor(struct store *store, int64_t snapshot, const char *name, uint32_t rows, uint32_t columns,
                        const float *data, struct err *err)
{
    struct db *db = store->db;
    db_bind_int(db, SQL_TENSOR_INSERT, 1, snapshot);
    db_bind_text(db, SQL_TENSOR_INSERT, 2, name);
    db_bind_int(db, SQL_TENSOR_INSERT, 3, rows);
    db_bind_int(db, SQL_TENSOR_INSERT, 4, columns);
    db_bind_blob(db, SQL_TENSOR_INSERT, 5, data, tensor_bytes(rows, columns));
    return db_run(db, SQL_TENSOR_INSERT, err) == 0 ? 0 : err_wrap(err, "cannot write tensor %s", name);
}

static int write_row(struct store *store, struct store_snapshot *row, const uint8_t *rest, size_t n_rest,
                     struct err *err)
{
    struct db *db = store->db;
    uint8_t chain[CHAIN_BYTES];
    if (log_chain_at(store, row->revision, chain, err) != 0)
        return -1;
    db_bind_ints(db, SQL_SNAPSHOT_INSERT, (int64_t)row->revision, (int64_t)row->step, row->created_us);
    db_bind_text(db, SQL_SNAPSHOT_INSERT, 4, row->reason);
    db_bind_int(db, SQL_SNAPSHOT_INSERT, 5, row->pinned);
    db_bind_text(db, SQL_SNAPSHOT_INSERT, 6, row->note);
    db_bind_blob(db, SQL_SNAPSHOT_INSERT, 7, row->digest, DIGEST_BYTES);
    db_bind_blob(db, SQL_SNAPSHOT_INSERT, 8, chain, CHAIN_BYTES);
    db_bind_text(db, SQL_SNAPSHOT_INSERT, 9, row->arithmetic);
    db_bind_int(db, SQL_SNAPSHOT_INSERT, 10, (int64_t)row->samples);
    db_bind_int(db, SQL_SNAPSHOT_INSERT, 11, (int64_t)row->correct);
    db_bind_blob(db, SQL_SNAPSHOT_INSERT, 12, rest, n_rest);
    if (db_step(db, SQL_SNAPSHOT_INSERT, err) != 1)
        return -1;
    row->id = db_int(db, SQL_SNAPSHOT_INSERT, 0);
    return db_run(db, SQL_SNAPSHOT_INSERT, err);
}

/* Without their ids the images of the replay buffer could not be found again. */
static bool ids_are_known(const struct learner *learner)
{
    for (uint32_t c = 0; c < learner->n_classes; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(learner->buffer, c); slot++)
            if (replay_buffer_id(learner->buffer, c, slot) <= 0)
                return false;
    return true;
}

int snapshot_write(struct store *store, const struct learner *learner, const char *reason, const char *note,
                   bool pinned, struct store_snapshot *out, struct err *err)
{
    assert(learner->revision <= store->end.revision);
    assert(ids_are_known(learner) && "store_next() comes before learner_apply()");
    struct store_snapshot row = {
        .revision = learner->revision,
        .step = learner->step,
        .created_us = store_now_us(),
        .pinned = pinned,
        .samples = learner->tally.samples,
        .correct = learner->tally.correct,
        .arithmetic = ARITHMETIC_VERSION,
    };
    assert(strlen(reason) < sizeof row.reason);
    if (outcomes_write(store, err) != 0)
        return -1;
    (void)snprintf(row.reason, sizeof row.reason, "%s", reason);
    (void)snprintf(row.note, sizeof row.note, "%s", note != NULL ? note : "");
    learner_digest(learner, row.digest);

    int status = -1;
    const struct shape *shape = &learner->shape;
    size_t n_rest = learner_encode_rest(learner, NULL, 0);
    uint8_t *rest = malloc(n_rest);
    struct tensors t = {0};
    if (rest == NULL) {
        err_memory(err, "a snapshot of %zu bytes", n_rest);
        goto out;
    }
    (void)learner_encode_rest(learner, rest, n_rest);
    if (tensors_init(&t, learner, err) != 0)
        goto out;
    net_export(&learner->net, t.kernels, t.w01, t.w12);
    if (write_row(store, &row, rest, n_rest, err) != 0 ||
        (t.kernels != NULL &&
         write_tensor(store, row.id, "kernels", shape->kernels, shape->n_k, t.kernels, err) != 0) ||
        write_tensor(store, row.id, "w01", shape->n_0, shape->n_1, t.w01, err) != 0 ||
        write_tensor(store, row.id, "w12", shape->n_1, learner->n_classes, t.w12, err) != 0)
        goto out;
    if (out != NULL)
        *out = row;
    status = 0;
out:
    db_reset(store->db, SQL_SNAPSHOT_INSERT);
    tensors_fini(&t);
    free(rest);
    return status;
}

int snapshot_gone(struct store *store, int64_t id, bool gone, struct err *err)
{
    db_bind_ints(store->db, SQL_SNAPSHOT_GONE, id, gone);
    return db_run(store->db, SQL_SNAPSHOT_GONE, err);
}

int snapshot_write_at(struct store *store, const struct learner *learner, const uint8_t chain[CHAIN_BYTES],
                      const char *reason, bool pinned, struct store_snapshot *out, struct err *err)
{
    const struct log_end end = store->end;
    store->end.revision = learner->revision;
    memcpy(store->end.chain, chain, CHAIN_BYTES);
    const int status = snapshot_write(store, learner, reason, "", pinned, out, err);
    store->end = end;
    return status;
}

int store_snapshot(struct store *store, const struct learner *learner, const char *reason, const char *note,
                   bool pinned, struct store_snapshot *out, struct err *err)
{
    assert(!store->in_group);
    if (log_writable(store, err) != 0)
        return -1;
    if (store_begin(store, err) != 0 || snapshot_write(store, learner, reason, note, pinned, out, err) != 0 ||
        store_commit(store, err) != 0)
        return log_abandon(store);
    return 0;
}

/* ---- reading ---- */

/* Errors: ERR_DB_CORRUPT where it is missing or of another size. */
static int read_tensor(float *out, struct store *store, int64_t snapshot, const char *name, uint32_t rows,
                       uint32_t columns, struct err *err)
{
    struct db *db = store->db;
    size_t n_bytes = 0;
    db_bind_int(db, SQL_TENSOR_FIND, 1, snapshot);
    db_bind_text(db, SQL_TENSOR_FIND, 2, name);
    int status = db_step(db, SQL_TENSOR_FIND, err);
    if (status < 0)
        return -1;
    bool good = status == 1 && db_int(db, SQL_TENSOR_FIND, 0) == rows && db_int(db, SQL_TENSOR_FIND, 1) == columns;
    const void *data = good ? db_blob(db, SQL_TENSOR_FIND, 2, &n_bytes) : NULL;
    good = good && n_bytes == tensor_bytes(rows, columns);
    if (good && n_bytes > 0)
        memcpy(out, data, n_bytes);
    db_reset(db, SQL_TENSOR_FIND);
    return good ? 0 : err_set(err, ERR_DB_CORRUPT, "tensor %s is missing or has another size", name);
}

static int read_tensors(struct learner *learner, struct store *store, int64_t snapshot, struct err *err)
{
    const struct shape *shape = &learner->shape;
    struct tensors t;
    int status = tensors_init(&t, learner, err);
    if (status == 0 && t.kernels != NULL)
        status = read_tensor(t.kernels, store, snapshot, "kernels", shape->kernels, shape->n_k, err);
    if (status == 0)
        status = read_tensor(t.w01, store, snapshot, "w01", shape->n_0, shape->n_1, err);
    if (status == 0)
        status = read_tensor(t.w12, store, snapshot, "w12", shape->n_1, learner->n_classes, err);
    if (status == 0)
        net_import(&learner->net, t.kernels, t.w01, t.w12);
    tensors_fini(&t);
    return status;
}

static struct learner *read_state(struct store *store, int64_t snapshot, const struct arith *arith, struct err *err)
{
    size_t n_rest;
    db_bind_int(store->db, SQL_SNAPSHOT_STATE, 1, snapshot);
    int status = db_step(store->db, SQL_SNAPSHOT_STATE, err);
    if (status < 0)
        return NULL;
    const void *rest = status == 1 ? db_blob(store->db, SQL_SNAPSHOT_STATE, 0, &n_rest) : NULL;
    struct learner *learner = NULL;
    if (rest == NULL)
        err_set(err, ERR_DB_CORRUPT, "its state is missing");
    else
        learner = learner_decode(rest, n_rest, arith, err);
    db_reset(store->db, SQL_SNAPSHOT_STATE);
    return learner;
}

static int check_state(const struct learner *learner, const struct store *store, const struct store_snapshot *row,
                       struct err *err)
{
    uint8_t digest[DIGEST_BYTES];
    learner_digest(learner, digest);
    if (memcmp(digest, row->digest, DIGEST_BYTES) != 0)
        return err_set(err, ERR_DB_CORRUPT, "its digest does not match");
    if (memcmp(&learner->shape, &store->origin.event.as.create.shape, sizeof learner->shape) != 0)
        return err_set(err, ERR_DB_CORRUPT, "its model has another shape");
    if (learner->step != row->step || learner->tally.samples != row->samples || learner->tally.correct != row->correct)
        return err_set(err, ERR_DB_CORRUPT, "its row does not match its state");
    return 0;
}

int snapshot_read(struct learner **out, struct store *store, int64_t id, const struct arith *arith, struct err *err)
{
    struct store_snapshot row;
    *out = NULL;
    if (store_snapshot_find(store, id, &row, err) != 0)
        return -1;
    if (strcmp(row.arithmetic, store->baseline.arithmetic) != 0)
        return err_set(
            err, ERR_CONFLICT, "snapshot %lld is of arithmetic \"%.31s\"; from revision %llu on, the log is of %s",
            (long long)id, row.arithmetic, (unsigned long long)store->baseline.revision, store->baseline.arithmetic);
    return snapshot_read_any(out, store, id, arith, err);
}

int snapshot_read_any(struct learner **out, struct store *store, int64_t id, const struct arith *arith, struct err *err)
{
    struct store_snapshot row;
    struct learner *learner = NULL;
    *out = NULL;
    if (store_snapshot_find(store, id, &row, err) != 0)
        return -1;
    struct err cause = {0};
    learner = read_state(store, id, arith, &cause);
    if (learner == NULL || read_tensors(learner, store, id, &cause) != 0 ||
        check_state(learner, store, &row, &cause) != 0) {
        learner_free(learner);
        /* Whatever the decoder refuses is damage of the file, if it is not the machine's want of memory or a bad disk. */
        if (cause.code != ERR_MEMORY && cause.code != ERR_STORAGE)
            cause.code = ERR_DB_CORRUPT;
        if (err != NULL)
            *err = cause;
        return err_wrap(err, "snapshot %lld", (long long)id);
    }
    learner->revision = row.revision;
    *out = learner;
    return 0;
}

int snapshot_shape(struct shape *shape, struct store *store, int64_t id, const struct arith *arith, struct err *err)
{
    struct learner *learner = read_state(store, id, arith, err);
    if (learner == NULL) {
        if (err->code != ERR_MEMORY && err->code != ERR_STORAGE)
            err->code = ERR_DB_CORRUPT;
        return -1;
    }
    *shape = learner->shape;
    learner_free(learner);
    return 0;
}

int store_snapshot_load(struct store *store, int64_t id, const struct arith *arith, struct learner **out,
                        struct err *err)
{
    if (snapshot_read(out, store, id, arith, err) != 0)
        return -1;
    const uint64_t revision = (*out)->revision;
    if (revision >= store->baseline.revision && replay_buffer_read(*out, store, err) == 0)
        return 0;
    learner_free(*out);
    *out = NULL;
    if (revision < store->baseline.revision)
        return err_set(
            err, ERR_CONFLICT,
            "snapshot %lld is from before the baseline, revision %llu: the samples that its state would go on "
            "with are not kept. It can be exported, and compared",
            (long long)id, (unsigned long long)store->baseline.revision);
    return err_wrap(err, "snapshot %lld", (long long)id);
}

int store_snapshot_view(struct store *store, int64_t id, struct learner **out, struct err *err)
{
    return snapshot_read(out, store, id, NULL, err);
}

/* The columns of SNAPSHOT_LIST and SNAPSHOT_FIND. */
static void take_row(struct store_snapshot *row, const struct db *db, enum statement which)
{
    size_t n_digest;
    *row = (struct store_snapshot){
        .id = db_int(db, which, 0),
        .revision = (uint64_t)db_int(db, which, 1),
        .step = (uint64_t)db_int(db, which, 2),
        .created_us = db_int(db, which, 3),
        .pinned = db_int(db, which, 5) != 0,
        .samples = (uint64_t)db_int(db, which, 8),
        .correct = (uint64_t)db_int(db, which, 9),
    };
    (void)snprintf(row->reason, sizeof row->reason, "%s", db_text(db, which, 4, NULL));
    (void)snprintf(row->note, sizeof row->note, "%s", db_text(db, which, 6, NULL));
    (void)snprintf(row->arithmetic, sizeof row->arithmetic, "%s", db_text(db, which, 10, NULL));
    const void *digest = db_blob(db, which, 7, &n_digest);
    if (n_digest == DIGEST_BYTES)
        memcpy(row->digest, digest, DIGEST_BYTES);
}

int store_snapshot_find(struct store *store, int64_t id, struct store_snapshot *out, struct err *err)
{
    db_bind_int(store->db, SQL_SNAPSHOT_FIND, 1, id);
    int status = db_step(store->db, SQL_SNAPSHOT_FIND, err);
    if (status == 1)
        take_row(out, store->db, SQL_SNAPSHOT_FIND);
    db_reset(store->db, SQL_SNAPSHOT_FIND);
    if (status == 0)
        return err_set(err, ERR_NOT_FOUND, "snapshot %lld does not exist", (long long)id);
    return status == 1 ? 0 : -1;
}

int store_snapshots(struct store *store, struct store_snapshot **list, size_t *n, struct err *err)
{
    size_t room = 0;
    int status;
    *list = NULL;
    *n = 0;
    while ((status = db_step(store->db, SQL_SNAPSHOT_LIST, err)) == 1) {
        status = grow(list, &room, *n, sizeof **list, "snapshots", err);
        if (status != 0)
            break;
        take_row(&(*list)[(*n)++], store->db, SQL_SNAPSHOT_LIST);
    }
    db_reset(store->db, SQL_SNAPSHOT_LIST);
    if (status != 0) {
        free(*list);
        *list = NULL;
        *n = 0;
    }
    return status;
}
