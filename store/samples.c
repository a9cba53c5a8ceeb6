/* samples.c - past samples by id: to look at, and to train on again. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

int store_sample(struct store *store, int64_t id, uint32_t *label, uint8_t *pixels, size_t n_input, struct err *err)
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
    }
    db_reset(db, SQL_SAMPLE_FIND);
    return status;
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

/* The samples of a rehearsal, in the order of their ids: first .. first + n - 1 when there is no gap, else a list. */
struct selection {
    uint64_t n;
    int64_t first;
    int64_t *ids; /* NULL: no gap */
};

static void bind_range(struct store *store, enum statement which, const struct event *event)
{
    db_bind_int(store->db, which, 1, event->as.rehearse.first_id);
    db_bind_int(store->db, which, 2, event->as.rehearse.last_id);
    /* Only what was there at that time: a replay finds later samples in the table, too. */
    db_bind_int(store->db, which, 3, (int64_t)event->revision);
}

static int select_ids(struct selection *selection, struct store *store, const struct event *event, struct err *err)
{
    uint64_t i = 0;
    int status;
    if (selection->n > SIZE_MAX / sizeof *selection->ids ||
        (selection->ids = malloc((size_t)selection->n * sizeof *selection->ids)) == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a list of %llu samples", (unsigned long long)selection->n);
    bind_range(store, SQL_SAMPLES_PAST_IDS, event);
    while ((status = db_step(store->db, SQL_SAMPLES_PAST_IDS, err)) == 1 && i < selection->n)
        selection->ids[i++] = db_int(store->db, SQL_SAMPLES_PAST_IDS, 0);
    db_reset(store->db, SQL_SAMPLES_PAST_IDS);
    return status < 0 ? -1 : 0;
}

static int select_samples(struct selection *selection, struct store *store, const struct event *event, struct err *err)
{
    *selection = (struct selection){0};
    bind_range(store, SQL_SAMPLES_PAST, event);
    if (db_step(store->db, SQL_SAMPLES_PAST, err) < 0)
        return -1;
    selection->n = (uint64_t)db_int(store->db, SQL_SAMPLES_PAST, 0);
    selection->first = db_int(store->db, SQL_SAMPLES_PAST, 1);
    uint64_t span = (uint64_t)db_int(store->db, SQL_SAMPLES_PAST, 2) - (uint64_t)selection->first + 1;
    db_reset(store->db, SQL_SAMPLES_PAST);
    return selection->n == 0 || span == selection->n ? 0 : select_ids(selection, store, event, err);
}

int store_rehearse(struct store *store, struct learner *learner, const struct event *event, store_progress *progress,
                   void *context, struct err *err)
{
    size_t n_input = learner->shape.n_input;
    struct selection selection = {0};
    const struct rehearse_step how = {.rate = learner->settings.rate};
    int status = -1;
    uint8_t *pixels = malloc(n_input);
    if (pixels == NULL) {
        err_set(err, ERR_MEMORY, "out of memory for an image");
        goto out;
    }
    if (select_samples(&selection, store, event, err) != 0)
        goto out;
    for (uint64_t i = 0; i < selection.n; i++) {
        uint64_t place = learner_order(event->as.rehearse.seed, selection.n, i);
        int64_t id = selection.ids != NULL ? selection.ids[place] : selection.first + (int64_t)place;
        uint32_t label = 0;
        int found = store_sample(store, id, &label, pixels, n_input, err);
        if (found == 0)
            err_set(err, ERR_DB_CORRUPT, "sample %lld is missing", (long long)id);
        if (found != 1 || learner_rehearse(learner, label, pixels, &how, err) != 0)
            goto out;
        if (progress != NULL && progress(context, i + 1, selection.n) != 0) {
            err_set(err, ERR_STOPPING, "stopped after %llu of %llu samples", (unsigned long long)i + 1,
                    (unsigned long long)selection.n);
            goto out;
        }
    }
    learner->revision = event->revision;
    status = 0;
out:
    free(selection.ids);
    free(pixels);
    return status;
}
