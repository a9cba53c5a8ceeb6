/* replay_buffer.c - the images that a state remembers.
 *
 * A snapshot has the ids of the replay buffer's samples; their images are in table sample already, and are not written a second time.
 * The digest of the state covers the images by a sum over their fingerprints, so what is read here is proved, whatever
 * became of the table since.
 */
#include <stdlib.h>

#include "store/internal.h"

static int unproved(struct err *err)
{
    return err_set(err, ERR_DB_CORRUPT, "the images of the replay buffer are not those of table sample");
}

static int read_images(struct learner *learner, struct store *store, uint8_t *pixels, struct err *err)
{
    struct replay_buffer *buffer = learner->buffer;
    for (uint32_t c = 0; c < learner->n_classes; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(buffer, c); slot++) {
            uint32_t label;
            const int64_t id = replay_buffer_id(buffer, c, slot);
            int found = store_sample(store, id, &label, pixels, learner->shape.n_input, err);
            if (found < 0)
                return -1;
            if (found == 0)
                return err_set(err, ERR_DB_CORRUPT, "sample %lld of the replay buffer is missing", (long long)id);
            replay_buffer_fill(buffer, c, slot, id, pixels);
        }
    return replay_buffer_check(buffer) ? 0 : unproved(err);
}

int replay_buffer_read(struct learner *learner, struct store *store, struct err *err)
{
    uint8_t *pixels = malloc(learner->shape.n_input);
    if (pixels == NULL)
        return err_memory(err, "an image");
    int status = read_images(learner, store, pixels, err);
    free(pixels);
    return status;
}
