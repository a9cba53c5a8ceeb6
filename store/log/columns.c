/* columns.c - a class has a number in the file, for ever, and a column in the model.
 *
 *     column(c) = c - number of removed classes below c        for a class that was not removed
 *
 * Which classes were removed is one list for the whole log, whatever the lineage and the revision, since an edit changes the past
 * everywhere. A replay at work counts those that are about to be removed as well: store->overlay.
 */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

static const struct edits *pending(const struct store *store)
{
    return store->overlay != NULL && store->overlay->removes ? store->overlay : NULL;
}

/* Without those that are about to be removed. */
static uint32_t column_now(const struct columns *c, uint32_t id)
{
    return id < SHAPE_CLASSES_MAX ? id - c->below[id] : id - c->n_removed;
}

static uint32_t id_now(const struct columns *c, uint32_t column)
{
    return column < SHAPE_CLASSES_MAX ? column + c->above[column] : column + c->n_removed;
}

bool class_is_removed(const struct store *store, uint32_t id)
{
    const struct edits *going = pending(store);
    return (id < SHAPE_CLASSES_MAX && store->columns.removed[id]) || (going != NULL && going->removed == id);
}

uint32_t class_column(const struct store *store, uint32_t id)
{
    const struct edits *going = pending(store);
    if (class_is_removed(store, id))
        return CLASS_NONE;
    return column_now(&store->columns, id) - (going != NULL && going->removed < id);
}

uint32_t class_id(const struct store *store, uint32_t column)
{
    const struct edits *going = pending(store);
    if (column >= SHAPE_CLASSES_MAX)
        return column; /* of no class, and stays so */
    return id_now(&store->columns, column + (going != NULL && column >= column_now(&store->columns, going->removed)));
}

uint64_t store_class_changes(const struct store *store)
{
    return store->class_changes;
}

uint32_t store_class_id(const struct store *store, uint32_t column)
{
    return class_id(store, column);
}

void columns_remove(struct store *store, uint32_t id)
{
    struct columns *c = &store->columns;
    c->n_removed += !c->removed[id];
    c->removed[id] = true;
    uint16_t below = 0;
    for (uint32_t i = 0; i < SHAPE_CLASSES_MAX; i++) {
        c->below[i] = below;
        c->above[i - below] = below;
        below += c->removed[i];
    }
    for (uint32_t column = SHAPE_CLASSES_MAX - below; column < SHAPE_CLASSES_MAX; column++)
        c->above[column] = below;
}

int edits_begin(struct store *store, struct err *err)
{
    struct edit_span *more = realloc(store->spans, (store->n_spans + 1) * sizeof *more);
    if (more == NULL)
        return err_memory(err, "an edit");
    store->spans = more;
    if (store->columns_at_begin != NULL)
        return 0;
    if ((store->columns_at_begin = malloc(sizeof *store->columns_at_begin)) == NULL)
        return err_memory(err, "an edit");
    *store->columns_at_begin = store->columns;
    store->n_spans_at_begin = store->n_spans;
    return 0;
}

void edits_end(struct store *store, bool committed)
{
    store->n_ahead = 0;
    if (store->columns_at_begin == NULL)
        return;
    if (!committed) {
        store->columns = *store->columns_at_begin;
        store->n_spans = store->n_spans_at_begin;
    }
    free(store->columns_at_begin);
    store->columns_at_begin = NULL;
}

int columns_read(struct store *store, struct err *err)
{
    struct db *db = store->db;
    int status;
    store->columns = (struct columns){0};
    while ((status = db_step(db, SQL_REMOVED_LIST, err)) == 1) {
        const int64_t id = db_int(db, SQL_REMOVED_LIST, 0);
        if (id >= 0 && id < SHAPE_CLASSES_MAX) /* else damage, which a replay names */
            columns_remove(store, (uint32_t)id);
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
    *labels = calloc((size_t)create->as.create.n_classes + 1, sizeof **labels);
    if (*labels == NULL)
        return err_memory(err, "the classes");
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
        err_memory(err, "the first weights");
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
