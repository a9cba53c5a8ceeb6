/* pools.c - the images that a state remembers.
 *
 * A snapshot has the ids of the pool's samples; their images are in table sample already, and are not written a second time.
 * The digest of the state covers the images by a sum over their fingerprints, so what is read here is proved, whatever
 * became of the table since.
 *
 * Snapshots of version 1 (core/learner_codec.c) know of no pool, nor of rehearsal. It follows from the labels and images of the
 * line that leads to the snapshot, so the log is read once, each link checked, and shown to an empty pool.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/internal.h"

static int unproved(struct err *err)
{
    return err_set(err, ERR_DB_CORRUPT, "the images that it remembers are not those in the table of samples");
}

static int read_images(struct learner *learner, struct store *store, uint8_t *pixels, struct err *err)
{
    struct pool *pool = learner->pool;
    for (uint32_t c = 0; c < learner->n_classes; c++)
        for (uint32_t slot = 0; slot < pool_used(pool, c); slot++) {
            uint32_t label;
            const int64_t id = pool_id(pool, c, slot);
            int found = store_sample(store, id, &label, pixels, learner->shape.n_input, err);
            if (found < 0)
                return -1;
            if (found == 0)
                return err_set(err, ERR_DB_CORRUPT, "sample %lld, which it remembers, is missing", (long long)id);
            pool_fill(pool, c, slot, id, pixels);
        }
    return pool_check(pool) ? 0 : unproved(err);
}

/* ---- from the log ---- */

static int show(struct pool *pool, const struct event *event, const struct store *store, uint64_t seed,
                uint32_t capacity, struct err *err)
{
    if (event->kind == EVENT_CLASS && event->as.class_.action == CLASS_ADD) {
        if (event->as.class_.index != pool->n_classes && !edits_any(store))
            return unproved(err);
        if (event->as.class_.index >= pool->n_classes) /* else an edit has brought it along before */
            pool_classes(pool, event->as.class_.index + 1);
    }
    if (event->kind == EVENT_TRAIN)
        for (uint32_t i = 0; i < event->as.train.n; i++) {
            const struct sample *sample = &event->as.train.samples[i];
            if (sample->label >= pool->n_classes && (!edits_any(store) || sample->label >= capacity))
                return unproved(err);
            if (sample->label >= pool->n_classes)
                pool_classes(pool, sample->label + 1);
            pool_add(pool, seed, sample->label, sample->pixels, POOL_UNKNOWN, sample->id);
        }
    return 0;
}

static int show_line(struct pool *pool, struct store *store, const struct line *line, uint64_t seed, uint32_t capacity,
                     struct err *err)
{
    const uint8_t nothing[CHAIN_BYTES] = {0};
    struct log_reader reader;
    int status = 1;
    log_read_open(&reader, store, 0, nothing);
    while (status == 1 && reader.event.revision < line->stretches[0].last) {
        status = log_read_next(&reader, err);
        if (status == 1 && !reader.skip && line_has(line, reader.event.revision) &&
            show(pool, &reader.event, store, seed, capacity, err) != 0)
            status = -1;
    }
    log_read_close(&reader);
    return status == 1 ? 0 : status == 0 ? unproved(err) : -1;
}

static int make_again(struct learner *learner, struct store *store, struct err *err)
{
    struct line line = {0};
    struct pool *pool = pool_create(learner->shape.n_input, learner->capacity, true);
    int status = -1;
    if (pool == NULL) {
        err_set(err, ERR_MEMORY, "out of memory for past samples");
        goto out;
    }
    uint32_t n_first = 0;
    for (uint32_t id = 0; id < store->origin.event.as.create.n_classes; id++)
        n_first += !class_is_removed(store, id);
    pool_classes(pool, n_first);
    if (pool->n_classes > learner->n_classes) {
        unproved(err);
        goto out;
    }
    if (line_init(&line, store, learner->revision, err) != 0 ||
        show_line(pool, store, &line, learner->settings.seed, learner->capacity, err) != 0)
        goto out;
    if (pool->n_classes != learner->n_classes) {
        unproved(err);
        goto out;
    }
    struct pool *empty = learner->pool;
    learner->pool = pool;
    pool = empty;
    status = 0;
out:
    line_fini(&line);
    pool_free(pool);
    return status;
}

int pool_read(struct learner *learner, struct store *store, struct err *err)
{
    if (learner_lacks_pool(learner))
        return make_again(learner, store, err);
    uint8_t *pixels = malloc(learner->shape.n_input);
    if (pixels == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for an image");
    int status = read_images(learner, store, pixels, err);
    free(pixels);
    return status;
}
