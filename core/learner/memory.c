/* memory.c - the memory of a state: everything is taken here, at creation and in learner_reserve(); and states copied from one to
 * another. See learner.h. */
#include <stdlib.h>
#include <string.h>

#include "core/learner/internal.h"

struct buffers {
    char (*labels)[LABEL_BYTES_MAX + 1];
    uint32_t *confusion;
    float *params;
    struct workspace *ws;
    float *trial;
    uint8_t *displaced;
};

static void buffers_free(struct buffers *b)
{
    free(b->displaced);
    free(b->trial);
    free(b->labels);
    free(b->confusion);
    free(b->params);
    workspace_free(b->ws);
}

static int buffers_create(struct buffers *b, const struct shape *shape, uint32_t capacity, bool with_workspace,
                          struct err *err)
{
    const size_t n_params = (net_floats(shape, capacity) * sizeof(float) + 63) / 64 * 64;
    b->labels = calloc(capacity, sizeof *b->labels);
    b->confusion = calloc((size_t)capacity * capacity, sizeof *b->confusion);
    b->params = aligned_alloc(64, n_params);
    b->ws = with_workspace ? workspace_create(shape, capacity) : NULL;
    b->trial = with_workspace ? aligned_alloc(64, n_params) : NULL; /* not touched: mostly it is never used */
    b->displaced = with_workspace ? malloc(shape->n_input) : NULL;
    if (b->labels == NULL || b->confusion == NULL || b->params == NULL ||
        (with_workspace && (b->ws == NULL || b->trial == NULL || b->displaced == NULL))) {
        buffers_free(b);
        *b = (struct buffers){0};
        return err_memory(err, "a model of %zu bytes", n_params);
    }
    memset(b->params, 0, n_params);
    return 0;
}

static struct buffers buffers_of(const struct learner *l)
{
    return (struct buffers){l->labels, l->tally.confusion, l->params, l->ws, l->trial, l->displaced};
}

/* They are for so many classes. */
static void buffers_use(struct learner *l, const struct buffers *b, uint32_t capacity)
{
    l->labels = b->labels;
    l->tally.confusion = b->confusion;
    l->params = b->params;
    l->ws = b->ws;
    l->trial = b->trial;
    l->displaced = b->displaced;
    l->capacity = capacity;
    l->net = net_view(&l->shape, l->n_classes, l->params);
}

struct learner *learner_empty_create(const struct shape *shape, const struct settings *settings,
                                     const struct arith *arith, uint32_t n_classes, uint32_t capacity,
                                     bool with_workspace, struct err *err)
{
    struct learner *l = calloc(1, sizeof *l);
    struct buffers b = {0};
    if (l == NULL) {
        err_memory(err, "a model");
        return NULL;
    }
    if (buffers_create(&b, shape, capacity, with_workspace, err) != 0) {
        free(l);
        return NULL;
    }
    l->buffer = replay_buffer_create(shape->n_input, settings->rehearsal_buffer, capacity, with_workspace);
    if (l->buffer == NULL) {
        err_memory(err, "past samples");
        buffers_free(&b);
        free(l);
        return NULL;
    }
    replay_buffer_classes(l->buffer, n_classes);
    l->arith = arith != NULL ? arith : arith_choose(NULL);
    l->shape = *shape;
    l->settings = *settings;
    l->n_classes = n_classes;
    buffers_use(l, &b, capacity);
    return l;
}

void learner_free(struct learner *l)
{
    if (l == NULL)
        return;
    struct buffers b = buffers_of(l);
    buffers_free(&b);
    replay_buffer_free(l->buffer);
    free(l);
}

int learner_reserve(struct learner *l, uint32_t n_classes, struct err *err)
{
    if (n_classes <= l->capacity)
        return 0;
    struct shape shape = l->shape;
    if (shape_check(&shape, n_classes, err) != 0)
        return -1;
    const uint32_t capacity = shape_capacity(&shape, n_classes);
    struct buffers b = {0};
    if (buffers_create(&b, &l->shape, capacity, l->ws != NULL, err) != 0)
        return -1;
    if (replay_buffer_reserve(l->buffer, capacity) != 0) {
        buffers_free(&b);
        return err_memory(err, "%u classes", capacity);
    }
    memcpy(b.labels, l->labels, l->n_classes * sizeof *b.labels);
    for (uint32_t i = 0; i < l->n_classes; i++)
        memcpy(b.confusion + (size_t)i * capacity, l->tally.confusion + (size_t)i * l->capacity,
               l->n_classes * sizeof *b.confusion);
    memcpy(b.params, l->params, net_floats(&l->shape, l->n_classes) * sizeof *b.params);
    if (l->ws != NULL)
        workspace_share(b.ws, l->ws->team, l->ws->team_least);

    struct buffers old = buffers_of(l);
    buffers_use(l, &b, capacity);
    buffers_free(&old);
    return 0;
}

/* ---- copies ---- */

static void copy_state(struct learner *dst, const struct learner *src)
{
    dst->arith = src->arith;
    dst->settings = src->settings;
    dst->revision = src->revision;
    dst->step = src->step;
    dst->refused = src->refused;
    dst->health = src->health;
    descent_forget(&dst->known);
    dst->n_classes = src->n_classes;
    dst->net = net_view(&dst->shape, src->n_classes, dst->params);
    memcpy(dst->labels, src->labels, src->n_classes * sizeof *dst->labels);
    memcpy(dst->params, src->params, net_floats(&src->shape, src->n_classes) * sizeof *dst->params);
    uint32_t *confusion = dst->tally.confusion;
    dst->tally = src->tally;
    dst->tally.confusion = confusion;
    for (uint32_t i = 0; i < src->n_classes; i++)
        memcpy(confusion + (size_t)i * dst->capacity, src->tally.confusion + (size_t)i * src->capacity,
               src->n_classes * sizeof *confusion);
    /* Classes that dst had and src has not leave no counts behind for those that come. */
    for (uint32_t i = 0; i < dst->capacity; i++) {
        uint32_t from = i < src->n_classes ? src->n_classes : 0;
        memset(confusion + (size_t)i * dst->capacity + from, 0, (dst->capacity - from) * sizeof *confusion);
    }
}

int learner_copy(struct learner *dst, const struct learner *src, struct err *err)
{
    if (learner_reserve(dst, src->n_classes, err) != 0)
        return -1;
    copy_state(dst, src);
    replay_buffer_copy(dst->buffer, src->buffer);
    return 0;
}

struct learner *learner_dup(const struct learner *src, bool with_workspace, struct err *err)
{
    struct learner *l = learner_empty_create(&src->shape, &src->settings, src->arith, src->n_classes, src->capacity,
                                             with_workspace, err);
    if (l != NULL) {
        copy_state(l, src);
        replay_buffer_copy(l->buffer, src->buffer);
    }
    return l;
}
