/* keys.c - idempotency keys: in about a third of all power cuts a group is durable though nobody was told, so clients
 * retry what was done. The key is written in the group of its event: both are there, or none. */
#include <stdio.h>
#include <string.h>

#include "store/internal.h"

int store_put_key(struct store *store, const struct store_key *key, struct err *err)
{
    struct db *db = store->db;
    db_bind_text(db, SQL_KEY_INSERT, 1, key->key);
    db_bind_blob(db, SQL_KEY_INSERT, 2, key->fingerprint, sizeof key->fingerprint);
    db_bind_int(db, SQL_KEY_INSERT, 3, (int64_t)key->revision);
    db_bind_int(db, SQL_KEY_INSERT, 4, key->created_us);
    db_bind_text(db, SQL_KEY_INSERT, 5, key->answer);
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
    out->created_us = db_int(db, SQL_KEY_FIND, 2);
    if (db_text_dup(&out->answer, db, SQL_KEY_FIND, 3, err) != 0)
        status = -1;
    db_reset(db, SQL_KEY_FIND);
    return status;
}

int store_expire_keys(struct store *store, int64_t before_us, struct err *err)
{
    if (log_writable(store, err) != 0)
        return -1;
    db_bind_int(store->db, SQL_KEY_EXPIRE, 1, before_us);
    if (db_run(store->db, SQL_KEY_EXPIRE, err) == 0)
        return 0;
    return log_abandon(store);
}
