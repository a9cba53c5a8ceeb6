/* row_edits.c - the rows of an edit event as one run of bytes, which another engine can hold beside its body: the very bytes that the hash in the body
 * is over, so that they are proved by it. See store/log/row.h. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define EDIT_BYTES   16u /* of a row of table edit or class_removed */
#define EDITED_BYTES 40u

/* ---- out of the tables ---- */

static uint8_t *room_for(struct edit_pack *pack, size_t n, struct err *err)
{
    while (pack->room < pack->n + n)
        if (grow(&pack->bytes, &pack->room, pack->room, 1, "rows of an edit", err) != 0)
            return NULL;
    pack->n += n;
    return pack->bytes + pack->n - n;
}

static uint8_t *put(uint8_t *to, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        *to++ = (uint8_t)(value >> (8 * i));
    return to;
}

int edit_pack_edit(struct edit_pack *pack, int64_t sample, uint32_t was, uint32_t label, struct err *err)
{
    uint8_t *to = room_for(pack, EDIT_BYTES, err);
    if (to == NULL)
        return -1;
    (void)put(put(put(to, (uint64_t)sample, 8), was, 4), label, 4);
    return 0;
}

int edit_pack_edited(struct edit_pack *pack, uint64_t revision, const uint8_t hash[CHAIN_BYTES], struct err *err)
{
    uint8_t *to = room_for(pack, EDITED_BYTES, err);
    if (to == NULL)
        return -1;
    memcpy(put(to, revision, 8), hash, CHAIN_BYTES);
    return 0;
}

static int put_erased(struct edit_pack *pack, int64_t event, int64_t sample, struct err *err)
{
    if (grow(&pack->events, &pack->events_room, pack->n_erase, sizeof *pack->events, "what an edit forgets", err) !=
            0 ||
        grow(&pack->samples, &pack->samples_room, pack->n_erase, sizeof *pack->samples, "what an edit forgets", err) !=
            0)
        return -1;
    pack->events[pack->n_erase] = event;
    pack->samples[pack->n_erase++] = sample;
    return 0;
}

static int pack_edits(struct edit_pack *pack, struct db *db, int64_t number, struct err *err)
{
    int status;
    db_bind_ints(db, SQL_EDIT_ROWS, number, INT64_MIN, INT64_MAX);
    while ((status = db_step(db, SQL_EDIT_ROWS, err)) == 1)
        if (edit_pack_edit(pack, db_int(db, SQL_EDIT_ROWS, 0), (uint32_t)db_int(db, SQL_EDIT_ROWS, 1),
                           (uint32_t)db_int(db, SQL_EDIT_ROWS, 2), err) != 0) {
            db_reset(db, SQL_EDIT_ROWS);
            return -1;
        }
    return status;
}

static int pack_edited(struct edit_pack *pack, struct db *db, int64_t number, struct err *err)
{
    int status;
    db_bind_ints(db, SQL_EDITED_ROWS, number, INT64_MIN, INT64_MAX);
    while ((status = db_step(db, SQL_EDITED_ROWS, err)) == 1) {
        size_t n;
        const void *hash = db_blob(db, SQL_EDITED_ROWS, 1, &n);
        status = n == CHAIN_BYTES ? edit_pack_edited(pack, (uint64_t)db_int(db, SQL_EDITED_ROWS, 0), hash, err)
                                  : err_set(err, ERR_DB_CORRUPT, "a row of table edited was changed");
        if (status != 0)
            break;
    }
    db_reset(db, SQL_EDITED_ROWS);
    return status;
}

static int pack_removed(struct edit_pack *pack, struct db *db, uint64_t revision, struct err *err)
{
    db_bind_int(db, SQL_REMOVED_ROWS, 1, (int64_t)revision);
    int status = db_step(db, SQL_REMOVED_ROWS, err);
    if (status == 1)
        status = edit_pack_edit(pack, -1, (uint32_t)db_int(db, SQL_REMOVED_ROWS, 0), edit_into(db, SQL_REMOVED_ROWS, 1),
                                err);
    db_reset(db, SQL_REMOVED_ROWS);
    return status;
}

static int list_erased(struct edit_pack *pack, struct db *db, int64_t number, struct err *err)
{
    int status;
    db_bind_ints(db, SQL_SWEEP_ROWS, number, 0, INT64_MAX);
    while ((status = db_step(db, SQL_SWEEP_ROWS, err)) == 1)
        if (db_int(db, SQL_SWEEP_ROWS, 1) == -1 &&
            put_erased(pack, db_int(db, SQL_SWEEP_ROWS, 2), db_int(db, SQL_SWEEP_ROWS, 0), err) != 0) {
            db_reset(db, SQL_SWEEP_ROWS);
            return -1;
        }
    return status;
}

int edit_pack(struct edit_pack *pack, struct store *store, const struct event *event, struct err *err)
{
    const int64_t number = (int64_t)event->as.edit.number;
    struct db *db = store->db;
    *pack = (struct edit_pack){0};
    if (pack_edits(pack, db, number, err) != 0 || pack_edited(pack, db, number, err) != 0 ||
        pack_removed(pack, db, event->revision, err) != 0)
        return -1;
    return list_erased(pack, db, number, err);
}

void edit_pack_fini(struct edit_pack *pack)
{
    free(pack->bytes);
    free(pack->events);
    free(pack->samples);
    *pack = (struct edit_pack){0};
}

/* ---- into the tables ---- */

static uint64_t get(const uint8_t *from, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

/* One of table edit, or of class_removed, whose sample is -1. false: no edit has such a row. */
static bool get_edit(int64_t *sample, uint32_t *was, uint32_t *label, const uint8_t *from)
{
    const uint64_t id = get(from, 8);
    *was = (uint32_t)get(from + 8, 4);
    *label = (uint32_t)get(from + 12, 4);
    *sample = id == UINT64_MAX ? -1 : (int64_t)(id & INT64_MAX);
    return (id == UINT64_MAX || (id >= 1 && id <= STORE_NUMBER_MAX)) && *was < SHAPE_CLASSES_MAX &&
           (*label < SHAPE_CLASSES_MAX || *label == EDIT_FORGET);
}

int edit_pack_hash(uint8_t out[CHAIN_BYTES], const uint8_t *bytes, size_t n, uint32_t n_edits)
{
    struct edit_hash hash;
    const size_t edits = (size_t)n_edits * EDIT_BYTES;
    if (bytes == NULL || n < edits)
        return -1;
    const size_t n_edited = (n - edits) / EDITED_BYTES * EDITED_BYTES, removed = n - edits - n_edited;
    if (removed != 0 && removed != EDIT_BYTES)
        return -1;
    edit_hash_init(&hash);
    sha256_update(&hash.edits, edits, bytes);
    sha256_update(&hash.edited, n_edited, bytes + edits);
    sha256_update(&hash.removed, removed, bytes + edits + n_edited);
    edit_hash_end(&hash, out);
    return 0;
}

static int insert_edit(struct db *db, uint64_t number, const uint8_t *from, struct err *err)
{
    int64_t sample;
    uint32_t was, label;
    if (!get_edit(&sample, &was, &label, from) || sample < 0)
        return err_set(err, ERR_DIVERGED, "a row of its edit");
    db_bind_ints(db, SQL_EDIT_INSERT, sample, (int64_t)number, was, label == EDIT_FORGET ? -1 : (int64_t)label);
    return db_run(db, SQL_EDIT_INSERT, err);
}

static int insert_edited(struct db *db, const struct event *event, const uint8_t *from, struct err *err)
{
    const uint64_t revision = get(from, 8);
    if (revision < 1 || revision >= event->revision)
        return err_set(err, ERR_DIVERGED, "a row of its edit");
    db_bind_ints(db, SQL_EDITED_INSERT, (int64_t)revision, (int64_t)event->as.edit.number);
    db_bind_blob(db, SQL_EDITED_INSERT, 3, from + 8, CHAIN_BYTES);
    return db_run(db, SQL_EDITED_INSERT, err);
}

static int insert_removed(struct db *db, const struct event *event, const uint8_t *from, struct err *err)
{
    int64_t sample;
    uint32_t removed, into;
    if (!get_edit(&sample, &removed, &into, from) || sample != -1)
        return err_set(err, ERR_DIVERGED, "the class that its edit removes");
    db_bind_ints(db, SQL_REMOVED_INSERT, removed, (int64_t)event->revision);
    edit_bind_into(db, SQL_REMOVED_INSERT, 3, into);
    return db_run(db, SQL_REMOVED_INSERT, err);
}

int edit_unpack(struct store *store, const struct event *event, const uint8_t *bytes, size_t n, struct err *err)
{
    struct db *db = store->db;
    uint8_t hash[CHAIN_BYTES];
    const size_t n_edits = event->as.edit.n;
    if (edit_pack_hash(hash, bytes, n, event->as.edit.n) != 0 || memcmp(hash, event->as.edit.rows, CHAIN_BYTES) != 0)
        return err_set(err, ERR_DIVERGED, "the rows of its edit");
    const size_t rest = n - n_edits * EDIT_BYTES, n_edited = rest / EDITED_BYTES;
    const bool removes = rest % EDITED_BYTES == EDIT_BYTES;
    if (db_run(db, SQL_FOREIGN_KEYS_LATE, err) != 0) /* their events may come later in this group */
        return -1;
    for (size_t i = 0; i < n_edits; i++, bytes += EDIT_BYTES)
        if (insert_edit(db, event->as.edit.number, bytes, err) != 0)
            return -1;
    for (size_t i = 0; i < n_edited; i++, bytes += EDITED_BYTES)
        if (insert_edited(db, event, bytes, err) != 0)
            return -1;
    return removes ? insert_removed(db, event, bytes, err) : 0;
}
