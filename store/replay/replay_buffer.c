/* replay_buffer.c - the images that a state remembers.
 *
 * A snapshot has the ids of the pool's samples; their images are in table sample already, and are not written a second time.
 * The digest of the state covers the images by a sum over their fingerprints, so what is read here is proved, whatever
 * became of the table since.
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

int pool_read(struct learner *learner, struct store *store, struct err *err)
{
    uint8_t *pixels = malloc(learner->shape.n_input);
    if (pixels == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for an image");
    int status = read_images(learner, store, pixels, err);
    free(pixels);
    return status;
}
