/* model.c - see model/model.h */
#include "server/model/model.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* One slot: a state and how many hold it. The published slot counts one holder more, the model itself. */
struct revision_private {
    struct revision revision;
    struct learner *learner;
    unsigned holders;
    struct revision_private *next_free;
    pthread_mutex_t digest_lock;
    bool digest_known;
    uint8_t digest[DIGEST_BYTES];
};

struct model {
    pthread_mutex_t lock; /* guards current, free and every holders; held for a few instructions only */
    struct revision_private *current;
    struct revision_private *free;
    atomic_uint_fast64_t asked;
};

static struct revision_private *slot_create(const struct learner *from, struct err *err)
{
    struct revision_private *slot = calloc(1, sizeof *slot);
    if (slot == NULL) {
        err_set(err, ERR_MEMORY, "no memory for a revision");
        return NULL;
    }
    slot->learner = learner_dup(from, false, err);
    if (slot->learner == NULL) {
        free(slot);
        return NULL;
    }
    slot->revision = (struct revision){slot->learner, slot};
    (void)pthread_mutex_init(&slot->digest_lock, NULL);
    return slot;
}

static void slot_free(struct revision_private *slot)
{
    if (slot == NULL)
        return;
    (void)pthread_mutex_destroy(&slot->digest_lock);
    learner_free(slot->learner);
    free(slot);
}

struct model *model_create(const struct learner *initial, struct err *err)
{
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        err_set(err, ERR_MEMORY, "no memory for a model");
        return NULL;
    }
    (void)pthread_mutex_init(&model->lock, NULL);
    model->current = slot_create(initial, err);
    /* A second slot from the start: publishing then needs memory only while readers hold more than one old revision. */
    model->free = model->current == NULL ? NULL : slot_create(initial, err);
    if (model->free == NULL) {
        slot_free(model->current);
        (void)pthread_mutex_destroy(&model->lock);
        free(model);
        return NULL;
    }
    model->current->holders = 1;
    return model;
}

void model_free(struct model *model)
{
    if (model == NULL)
        return;
    assert(model->current->holders == 1);
    slot_free(model->current);
    while (model->free != NULL) {
        struct revision_private *slot = model->free;
        model->free = slot->next_free;
        slot_free(slot);
    }
    (void)pthread_mutex_destroy(&model->lock);
    free(model);
}

struct revision *model_acquire(struct model *model)
{
    (void)pthread_mutex_lock(&model->lock);
    struct revision_private *slot = model->current;
    slot->holders++;
    (void)pthread_mutex_unlock(&model->lock);
    return &slot->revision;
}

void model_ask(struct model *model)
{
    (void)atomic_fetch_add_explicit(&model->asked, 1, memory_order_relaxed);
}

uint64_t model_asked(const struct model *model)
{
    return atomic_load_explicit(&model->asked, memory_order_relaxed);
}

static void drop(struct model *model, struct revision_private *slot)
{
    assert(slot->holders > 0);
    if (--slot->holders == 0) {
        slot->next_free = model->free;
        model->free = slot;
    }
}

void model_release(struct model *model, struct revision *revision)
{
    (void)pthread_mutex_lock(&model->lock);
    drop(model, revision->private_);
    (void)pthread_mutex_unlock(&model->lock);
}

int model_publish(struct model *model, const struct learner *learner, struct err *err)
{
    (void)pthread_mutex_lock(&model->lock);
    struct revision_private *slot = model->free;
    if (slot != NULL)
        model->free = slot->next_free;
    (void)pthread_mutex_unlock(&model->lock);

    int status = 0;
    if (slot != NULL)
        status = learner_copy(slot->learner, learner, err);
    else if ((slot = slot_create(learner, err)) == NULL)
        return -1;
    slot->digest_known = false;
    slot->holders = 1;
    (void)pthread_mutex_lock(&model->lock);
    if (status == 0) {
        struct revision_private *old = model->current;
        model->current = slot;
        drop(model, old);
    } else {
        slot->next_free = model->free;
        model->free = slot;
    }
    (void)pthread_mutex_unlock(&model->lock);
    return status;
}

void model_digest(struct revision *revision, uint8_t digest[DIGEST_BYTES])
{
    struct revision_private *slot = revision->private_;
    (void)pthread_mutex_lock(&slot->digest_lock);
    if (!slot->digest_known) {
        learner_digest(slot->learner, slot->digest);
        slot->digest_known = true;
    }
    for (int i = 0; i < DIGEST_BYTES; i++)
        digest[i] = slot->digest[i];
    (void)pthread_mutex_unlock(&slot->digest_lock);
}
