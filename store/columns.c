/* columns.c - a class has a number in the file, for ever, and a column in the model.
 *
 *     column(c) = c - number of removed classes below c        for a class that was not removed
 *
 * Which classes were removed is one list for the whole log, whatever the line and the revision, since an edit changes the past
 * everywhere. A replay at work counts those that are about to be removed as well: store->overlay.
 */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

static bool is_pending(const struct store *store, uint32_t id)
{
    return store->overlay != NULL && store->overlay->removes && store->overlay->removed == id;
}

bool class_is_removed(const struct store *store, uint32_t id)
{
    for (size_t i = 0; i < store->n_removed; i++)
        if (store->removed[i] == id)
            return true;
    return is_pending(store, id);
}

uint32_t class_column(const struct store *store, uint32_t id)
{
    uint32_t below = 0;
    if (class_is_removed(store, id))
        return CLASS_NONE;
    for (size_t i = 0; i < store->n_removed; i++)
        below += store->removed[i] < id;
    if (store->overlay != NULL && store->overlay->removes)
        below += store->overlay->removed < id;
    return id - below;
}

uint32_t class_id(const struct store *store, uint32_t column)
{
    uint32_t id = column;
    if (column >= SHAPE_CLASSES_MAX)
        return column; /* of no class, and stays so */
    while (class_column(store, id) != column)
        id++;
    return id;
}

uint32_t store_class_id(const struct store *store, uint32_t column)
{
    return class_id(store, column);
}

int columns_read(struct store *store, struct err *err)
{
    struct db *db = store->db;
    size_t room = 0;
    int status;
    free(store->removed);
    store->removed = NULL;
    store->n_removed = 0;
    while ((status = db_step(db, SQL_REMOVED_LIST, err)) == 1) {
        if (store->n_removed == room) {
            room = room == 0 ? 8 : room * 2;
            uint32_t *more = realloc(store->removed, room * sizeof *more);
            if (more == NULL) {
                db_reset(db, SQL_REMOVED_LIST);
                return err_set(err, ERR_MEMORY, "out of memory for %zu removed classes", room);
            }
            store->removed = more;
        }
        store->removed[store->n_removed++] = (uint32_t)db_int(db, SQL_REMOVED_LIST, 0);
    }
    return status;
}

/* ---- the first state ---- */

/* What the create event says, without the classes that were removed. *labels is malloc'ed. */
static int create_without(struct event *create, char (**labels)[LABEL_BYTES_MAX + 1], const struct store *store,
                          struct err *err)
{
    uint32_t n = 0;
    *create = store->origin.event;
    *labels = calloc(create->as.create.n_classes, sizeof **labels);
    if (*labels == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for the classes");
    for (uint32_t id = 0; id < create->as.create.n_classes; id++)
        if (!class_is_removed(store, id))
            memcpy((*labels)[n++], create->as.create.labels[id], sizeof **labels);
    create->as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) * labels;
    create->as.create.n_classes = n;
    return 0;
}

struct learner *columns_create(struct store *store, const struct arith *arith, struct err *err)
{
    struct event create;
    char(*labels)[LABEL_BYTES_MAX + 1];
    if (create_without(&create, &labels, store, err) != 0)
        return NULL;
    struct learner *learner = learner_create(&create, arith, 0, err);
    free(labels);
    return learner;
}

int columns_strip(struct learner **learner, struct store *store, struct err *err)
{
    const struct learner *old = *learner;
    const struct shape *s = &old->shape;
    const uint32_t n_2 = old->n_classes;
    struct event create;
    char(*labels)[LABEL_BYTES_MAX + 1] = NULL;
    const struct edits *overlay = store->overlay;
    if (overlay == NULL || !overlay->removes)
        return 0;
    store->overlay = NULL;
    const uint32_t column = class_column(store, overlay->removed);
    store->overlay = overlay;
    if (column >= n_2)
        return 0;
    struct learner *fresh = NULL;
    float *k = malloc(((size_t)s->kernels * s->n_k + 1) * sizeof *k);
    float *w01 = malloc((size_t)s->n_0 * s->n_1 * sizeof *w01), *w12 = malloc((size_t)s->n_1 * n_2 * sizeof *w12);
    if (k == NULL || w01 == NULL || w12 == NULL) {
        err_set(err, ERR_MEMORY, "out of memory for the first weights");
        goto out;
    }
    net_export(&old->net, k, w01, w12);
    float *to = w12;
    for (size_t i = 0; i < (size_t)s->n_1 * n_2; i++)
        if (i % n_2 != column)
            *to++ = w12[i];
    if (create_without(&create, &labels, store, err) != 0)
        goto out;
    create.as.create.k = s->kernels > 0 ? k : NULL;
    create.as.create.w01 = w01;
    create.as.create.w12 = w12;
    fresh = learner_create(&create, old->arith, 0, err);
out:
    free(labels);
    free(k);
    free(w01);
    free(w12);
    if (fresh == NULL)
        return -1;
    learner_free(*learner);
    *learner = fresh;
    return 0;
}
