/* samples.c - past samples by id. */
#include <string.h>

#include "store/internal.h"

static int take(uint32_t *label, uint8_t *pixels, struct store *store, int64_t id, size_t n_input, struct err *err)
{
    struct db *db = store->db;
    size_t n_image;
    const void *image = db_blob(db, SQL_SAMPLE_FIND, 1, &n_image);
    int64_t class_index = db_int(db, SQL_SAMPLE_FIND, 0);
    if (store->overlay != NULL && class_index >= 0 && class_index < SHAPE_CLASSES_MAX) {
        const uint32_t now = edits_apply(store->overlay, id, (uint32_t)class_index);
        class_index = now == EDIT_FORGET ? -1 : (int64_t)now;
    }
    if (class_index == -1) {
        *label = EDIT_FORGET;
        return 0;
    }
    if (n_image != n_input || class_index < 0 || class_index >= SHAPE_CLASSES_MAX)
        return err_set(err, ERR_DB_CORRUPT,
                       "sample %lld is %zu bytes and of class %lld; the model's input is %zu bytes", (long long)id,
                       n_image, (long long)class_index, n_input);
    memcpy(pixels, image, n_input);
    *label = class_column(store, (uint32_t)class_index);
    if (*label == CLASS_NONE)
        return err_set(err, ERR_DB_CORRUPT, "sample %lld is of class %lld, which was removed", (long long)id,
                       (long long)class_index);
    return 0;
}

int sample_read(struct store *store, int64_t id, uint64_t *revision, uint32_t *label, uint8_t *pixels, size_t n_input,
                struct err *err)
{
    struct db *db = store->db;
    db_bind_int(db, SQL_SAMPLE_FIND, 1, id);
    int status = db_step(db, SQL_SAMPLE_FIND, err);
    if (status != 1)
        return status;
    *revision = (uint64_t)db_int(db, SQL_SAMPLE_FIND, 2);
    status = take(label, pixels, store, id, n_input, err);
    db_reset(db, SQL_SAMPLE_FIND);
    return status == 0 ? 1 : -1;
}

int store_sample(struct store *store, int64_t id, uint32_t *label, uint8_t *pixels, size_t n_input, struct err *err)
{
    uint64_t revision;
    int found = sample_read(store, id, &revision, label, pixels, n_input, err);
    return found == 1 && *label == EDIT_FORGET ? 0 : found;
}
