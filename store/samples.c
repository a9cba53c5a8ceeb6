/* samples.c - past samples by id. */
#include <string.h>

#include "store/internal.h"

int sample_read(struct store *store, int64_t id, uint64_t *revision, uint32_t *label, uint8_t *pixels, size_t n_input,
                struct err *err)
{
    struct db *db = store->db;
    size_t n_image;
    db_bind_int(db, SQL_SAMPLE_FIND, 1, id);
    int status = db_step(db, SQL_SAMPLE_FIND, err);
    if (status != 1)
        return status;
    const void *image = db_blob(db, SQL_SAMPLE_FIND, 1, &n_image);
    int64_t class_index = db_int(db, SQL_SAMPLE_FIND, 0);
    if (n_image != n_input || class_index < 0 || class_index >= SHAPE_CLASSES_MAX) {
        status = err_set(err, ERR_DB_CORRUPT, "sample %lld has %zu bytes and class %lld, but the model takes %zu bytes",
                         (long long)id, n_image, (long long)class_index, n_input);
    } else {
        memcpy(pixels, image, n_input);
        *label = (uint32_t)class_index;
        *revision = (uint64_t)db_int(db, SQL_SAMPLE_FIND, 2);
    }
    db_reset(db, SQL_SAMPLE_FIND);
    return status;
}

int store_sample(struct store *store, int64_t id, uint32_t *label, uint8_t *pixels, size_t n_input, struct err *err)
{
    uint64_t revision;
    return sample_read(store, id, &revision, label, pixels, n_input, err);
}

int store_sample_range(struct store *store, int64_t *first, int64_t *last, uint64_t *n, struct err *err)
{
    int status = db_step(store->db, SQL_SAMPLE_RANGE, err);
    if (status < 0)
        return -1;
    *first = db_int(store->db, SQL_SAMPLE_RANGE, 0); /* NULL reads as 0 */
    *last = db_int(store->db, SQL_SAMPLE_RANGE, 1);
    *n = (uint64_t)db_int(store->db, SQL_SAMPLE_RANGE, 2);
    db_reset(store->db, SQL_SAMPLE_RANGE);
    return 0;
}
