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

struct place {
    int64_t id;
    uint32_t class_index, slot;
};

static int by_id(const void *a, const void *b)
{
    const int64_t x = ((const struct place *)a)->id, y = ((const struct place *)b)->id;
    return (x > y) - (x < y);
}

static size_t count_used(const struct replay_buffer *buffer)
{
    size_t n = 0;
    for (uint32_t c = 0; c < buffer->n_classes; c++)
        n += replay_buffer_used(buffer, c);
    return n;
}

/* In the order of the table: a page has many images, and the slots of a class are in no order. */
static void list_places(struct place *places, const struct replay_buffer *buffer)
{
    size_t n = 0;
    for (uint32_t c = 0; c < buffer->n_classes; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(buffer, c); slot++)
            places[n++] = (struct place){replay_buffer_id(buffer, c, slot), c, slot};
    qsort(places, n, sizeof *places, by_id);
}

static int read_image(struct replay_buffer *buffer, const struct place *place, struct store *store, uint8_t *pixels,
                      struct err *err)
{
    uint32_t label;
    int found = store_sample(store, place->id, &label, pixels, buffer->n_input, err);
    if (found == 0)
        return err_set(err, ERR_DB_CORRUPT, "sample %lld of the replay buffer is missing", (long long)place->id);
    if (found > 0)
        replay_buffer_fill(buffer, place->class_index, place->slot, place->id, pixels);
    return found > 0 ? 0 : -1;
}

static int read_images(struct replay_buffer *buffer, const struct place *places, size_t n, struct store *store,
                       uint8_t *pixels, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (read_image(buffer, &places[i], store, pixels, err) != 0)
            return -1;
    return replay_buffer_check(buffer) ? 0 : unproved(err);
}

int replay_buffer_read(struct learner *learner, struct store *store, struct err *err)
{
    struct replay_buffer *buffer = learner->buffer;
    const size_t n = count_used(buffer);
    struct place *places = malloc((n + 1) * sizeof *places);
    uint8_t *pixels = malloc(buffer->n_input);
    int status = -1;
    if (places != NULL && pixels != NULL) {
        list_places(places, buffer);
        status = read_images(buffer, places, n, store, pixels, err);
    } else {
        err_memory(err, "the images of the replay buffer");
    }
    free(places);
    free(pixels);
    return status;
}
