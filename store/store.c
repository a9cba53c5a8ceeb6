/* store.c - one file per model: made whole or not at all, opened by one at a time. See store.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/internal.h"

/* ---- opening ---- */

int store_read_origin(struct store *store, struct err *err)
{
    struct db *db = store->db;
    size_t n_body;
    store->baseline = (struct store_baseline){
        .revision = 1, .arithmetic = ARITHMETIC_VERSION}; /* where nothing says, a snapshot of ours will do */
    int status = db_step(db, SQL_EVENT_FIRST, err);
    if (status < 0)
        return -1;
    bool found = status == 1 && strcmp(db_text(db, SQL_EVENT_FIRST, 0, NULL), event_kind_name(EVENT_CREATE)) == 0;
    const char *body = db_text(db, SQL_EVENT_FIRST, 1, &n_body);
    status = found ? origin_decode(&store->origin, body, n_body, err)
                   : err_set(err, ERR_DB_CORRUPT, "the create event is missing");
    db_reset(db, SQL_EVENT_FIRST);
    if (status != 0)
        return err_wrap(err, "%s: revision 1", db_path(db));
    return baseline_read(store, err);
}

static int64_t in_range(int64_t number)
{
    return number < 0 ? 0 : number < STORE_NUMBER_MAX ? number : STORE_NUMBER_MAX;
}

/* One more than the last id that was ever given: ids of samples that are gone are not given again. */
static int read_next_sample(struct store *store, struct err *err)
{
    struct db *db = store->db;
    struct event event = {.kind = EVENT_TRAIN};
    struct sample_run run = {0};
    size_t n_body;
    store->end.next_sample = 1;
    int status = db_step(db, SQL_SAMPLE_LAST, err);
    if (status == 1)
        store->end.next_sample = in_range(db_int(db, SQL_SAMPLE_LAST, 0)) + 1;
    db_reset(db, SQL_SAMPLE_LAST);
    if (status >= 0)
        status = db_step(db, SQL_TRAIN_LAST, err);
    if (status == 1) {
        const char *body = db_text(db, SQL_TRAIN_LAST, 0, &n_body);
        /* A damaged body is for the replay to find, and to name. */
        if (event_decode(&event, &run, body, n_body, NULL) == 0 && run.first + run.n > store->end.next_sample)
            store->end.next_sample = run.first + run.n;
    }
    db_reset(db, SQL_TRAIN_LAST);
    return status < 0 ? -1 : 0;
}

/* What follows is counted from them, and JSON has them all. */
static int check_numbers(struct store *store, struct err *err)
{
    struct db *db = store->db;
    int status;
    while ((status = db_step(db, SQL_NUMBERS, err)) == 1 &&
           db_int(db, SQL_NUMBERS, 1) == in_range(db_int(db, SQL_NUMBERS, 1)))
        ;
    if (status == 1)
        status = err_set(err, ERR_DB_CORRUPT, "%s: %s %lld is not from 0 to 2^53 - 1: no convd gives it", db_path(db),
                         db_text(db, SQL_NUMBERS, 0, NULL), (long long)db_int(db, SQL_NUMBERS, 1));
    db_reset(db, SQL_NUMBERS);
    return status;
}

int store_read_end(struct store *store, struct err *err)
{
    struct db *db = store->db;
    size_t n_chain = 0;
    int status = db_step(db, SQL_EVENT_LAST, err);
    if (status == 1) {
        store->end.revision = (uint64_t)in_range(db_int(db, SQL_EVENT_LAST, 0));
        const void *chain = db_blob(db, SQL_EVENT_LAST, 1, &n_chain);
        if (n_chain == CHAIN_BYTES)
            memcpy(store->end.chain, chain, CHAIN_BYTES);
    }
    db_reset(db, SQL_EVENT_LAST);
    if (status < 0)
        return -1;
    if (n_chain != CHAIN_BYTES)
        return err_set(err, ERR_DB_CORRUPT, "%s: the last row of the log has no chain", db_path(db));
    return read_next_sample(store, err) != 0 ? -1 : check_numbers(store, err);
}

int store_open(struct store **out, const char *path, bool read_only, struct err *err)
{
    *out = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return err_memory(err, "a store");
    journal_init(store);
    if (db_open(&store->db, path, read_only ? DB_READ : DB_WRITE, err) != 0 || store_read_origin(store, err) != 0 ||
        store_read_end(store, err) != 0 || edit_spans_read(store, err) != 0 || keys_open(store, err) != 0) {
        store_close(store);
        return -1;
    }
    *out = store;
    return 0;
}

void store_take(struct store *store)
{
    db_take(store->db);
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    store_rollback(store);
    (void)outcomes_show(store, NULL); /* else the next start makes them again */
    free(store->outcomes.rows);
    log_read_close(&store->follower);
    rehearsal_free(store->rehearsal);
    compaction_fini(store);
    free(store->spans);
    db_close(store->db);
    origin_fini(&store->origin);
    free(store);
}

/* ---- making a new file ---- */

/* Schema, create event, classes and first snapshot into the empty file, all on the disk when it returns. */
static int fill(const char *temporary, const struct event *create, const struct learner *learner, struct err *err)
{
    uint8_t digest[DIGEST_BYTES];
    struct event event = *create;
    struct store store = {.origin = {.event = *create},
                          .end = {.next_sample = 1},
                          .baseline = {.revision = 1, .arithmetic = ARITHMETIC_VERSION}};
    store.origin.event.as.create.shape = learner->shape; /* with the derived members */
    event.revision = 1;
    learner_digest(learner, digest);
    int status = db_open(&store.db, temporary, DB_CREATE, err);
    if (status == 0)
        status = store_begin(&store, err);
    if (status == 0)
        status = log_write(&store, &event, digest, err);
    if (status == 0)
        status = classes_create(&store, create, err);
    if (status == 0)
        status = snapshot_write(&store, learner, "create", "", true, NULL, err);
    if (status == 0)
        status = store_commit(&store, err);
    if (status == 0) /* close would do it too, but could not say that it failed */
        status = db_checkpoint(store.db, true, err);
    store_rollback(&store);
    db_close(store.db);
    return status;
}

int store_create(struct store **out, const char *path, const struct event *create, const struct learner *learner,
                 struct err *err)
{
    *out = NULL;
    assert(create->kind == EVENT_CREATE && learner->revision == 1);
    if (file_check_absent(path, err) != 0)
        return -1;
    char *temporary = file_temporary(path, err);
    if (temporary == NULL)
        return -1;
    int status = fill(temporary, create, learner, err);
    if (status == 0)
        status = file_publish(temporary, path, false, err);
    if (status != 0)
        file_remove(temporary);
    free(temporary);
    if (status != 0)
        return -1;
    if (file_sync_directory(path, err) != 0) {
        (void)unlink(path);
        return -1;
    }
    return store_open(out, path, false, err); /* should another be quicker to open it, it is whole all the same */
}

/* ---- upkeep ---- */

void store_yield(struct store *store, struct yield *yield)
{
    store->yield = yield;
}

uint64_t store_wal_bytes(struct store *store)
{
    return db_wal_bytes(store->db);
}

int store_checkpoint(struct store *store, bool truncate, struct err *err)
{
    assert(!store->in_group);
    if (log_writable(store, err) != 0)
        return -1;
    return db_checkpoint(store->db, truncate, err);
}
