/* keys.c - idempotency keys: in about a third of all power cuts a group is durable though nobody was told, so clients
 * retry what was done. The key is written in the group of its event: both are there, or none.
 *
 * A key ages on a clock of its own, which no wall clock moves: that may be days off until a board without one has asked the network. It
 * runs while somebody has the store open for writing, and an open goes on where the newest key left it. So it never goes back, keys are
 * as old as they are numbered (rowid), and the oldest are those with the lowest numbers.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/internal.h"

static int64_t running_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int keys_open(struct store *store, struct err *err)
{
    const int status = db_number(&store->keys_us, store->db, SQL_KEY_NEWEST, err);
    if (store->keys_us < 0 || store->keys_us > STORE_NUMBER_MAX) /* of no convd: as if there were none */
        store->keys_us = 0;
    store->keys_us -= running_us();
    return status;
}

int store_put_key(struct store *store, const struct store_key *key, struct err *err)
{
    struct db *db = store->db;
    db_bind_text(db, SQL_KEY_INSERT, 1, key->key);
    db_bind_blob(db, SQL_KEY_INSERT, 2, key->fingerprint, sizeof key->fingerprint);
    db_bind_int(db, SQL_KEY_INSERT, 3, (int64_t)key->revision);
    db_bind_int(db, SQL_KEY_INSERT, 4, store->keys_us + running_us());
    return db_run(db, SQL_KEY_INSERT, err) == 0 ? 0 : log_abandon(store);
}

int store_find_key(struct store *store, const char *key, struct store_key *out, struct err *err)
{
    struct db *db = store->db;
    size_t n_fingerprint;
    *out = (struct store_key){0};
    (void)snprintf(out->key, sizeof out->key, "%s", key);
    db_bind_text(db, SQL_KEY_FIND, 1, key);
    int status = db_step(db, SQL_KEY_FIND, err);
    if (status != 1)
        return status;
    const void *fingerprint = db_blob(db, SQL_KEY_FIND, 0, &n_fingerprint);
    if (n_fingerprint == sizeof out->fingerprint)
        memcpy(out->fingerprint, fingerprint, n_fingerprint);
    out->revision = (uint64_t)db_int(db, SQL_KEY_FIND, 1);
    db_reset(db, SQL_KEY_FIND);
    return status;
}

bool store_key_is(const struct store_key *key, const uint8_t fingerprint[32])
{
    static const uint8_t forgotten[sizeof key->fingerprint];
    return memcmp(key->fingerprint, fingerprint, sizeof key->fingerprint) == 0 ||
           memcmp(key->fingerprint, forgotten, sizeof key->fingerprint) == 0;
}

int keys_forget(struct store *store, uint64_t revision, struct err *err)
{
    db_bind_int(store->db, SQL_KEY_FORGET, 1, (int64_t)revision);
    return db_run(store->db, SQL_KEY_FORGET, err);
}

int store_expire_keys(struct store *store, int64_t age_us, uint64_t keep, struct err *err)
{
    int n = 0, status;
    if (log_writable(store, err) != 0)
        return -1;
    db_bind_ints(store->db, SQL_KEY_EXPIRE, store->keys_us + running_us() - age_us, (int64_t)keep);
    while ((status = db_step(store->db, SQL_KEY_EXPIRE, err)) == 1)
        n++;
    return status != 0 ? log_abandon(store) : n > 0;
}
