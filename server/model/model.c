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
    pthread_mutex_t calibration_lock; /* held by who fits */
    atomic_bool calibrated;
    struct calibration calibration;
    pthread_mutex_t digest_lock;
    bool digest_known;
    uint8_t digest[DIGEST_BYTES];
    pthread_mutex_t novelty_lock; /* held by who measures */
    atomic_bool measured;
};

struct model {
    pthread_mutex_t lock; /* guards current, free and every holders; held for a few instructions only */
    struct revision_private *current;
    struct revision_private *free;
    atomic_uint_fast64_t asked;
    atomic_uint wanted;                                  /* publications with what novelty is measured by */
    void (*published)(void *context, uint64_t revision); /* model_watch(); with its context, under the lock */
    void *published_context;
};

static struct revision_private *slot_create(const struct learner *from, struct err *err)
{
    struct revision_private *slot = calloc(1, sizeof *slot);
    if (slot == NULL) {
        err_memory(err, "a revision");
        return NULL;
    }
    slot->learner = learner_dup(from, false, err);
    if (slot->learner == NULL) {
        free(slot);
        return NULL;
    }
    slot->revision = (struct revision){.learner = slot->learner, .private_ = slot};
    (void)pthread_mutex_init(&slot->calibration_lock, NULL);
    (void)pthread_mutex_init(&slot->digest_lock, NULL);
    (void)pthread_mutex_init(&slot->novelty_lock, NULL);
    return slot;
}

static void slot_free(struct revision_private *slot)
{
    if (slot == NULL)
        return;
    (void)pthread_mutex_destroy(&slot->calibration_lock);
    (void)pthread_mutex_destroy(&slot->digest_lock);
    (void)pthread_mutex_destroy(&slot->novelty_lock);
    novelty_free(slot->revision.novelty);
    learner_free(slot->learner);
    free(slot);
}

struct model *model_create(const struct learner *initial, struct err *err)
{
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        err_memory(err, "a model");
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

void model_request(struct model *model)
{
    (void)atomic_fetch_add_explicit(&model->asked, 1, memory_order_relaxed);
}

uint64_t model_requests(const struct model *model)
{
    return atomic_load_explicit(&model->asked, memory_order_relaxed);
}

/* With the lock held. What it returns is to be freed without. */
static struct novelty *drop(struct model *model, struct revision_private *slot)
{
    assert(slot->holders > 0);
    if (--slot->holders > 0)
        return NULL;
    struct novelty *novelty = slot->revision.novelty;
    slot->revision.novelty = NULL;
    slot->next_free = model->free;
    model->free = slot;
    return novelty;
}

void model_release(struct model *model, struct revision *revision)
{
    (void)pthread_mutex_lock(&model->lock);
    struct novelty *novelty = drop(model, revision->private_);
    (void)pthread_mutex_unlock(&model->lock);
    novelty_free(novelty);
}

/* Where there is no memory for it, the revision goes without. */
static struct novelty *wanted_novelty(struct model *model, const struct learner *learner)
{
    unsigned wanted = atomic_load(&model->wanted);
    while (wanted > 0 && !atomic_compare_exchange_weak(&model->wanted, &wanted, wanted - 1))
        ;
    return wanted > 0 ? novelty_create(learner) : NULL;
}

void model_watch(struct model *model, void (*published)(void *context, uint64_t revision), void *context)
{
    (void)pthread_mutex_lock(&model->lock);
    model->published = published;
    model->published_context = context;
    (void)pthread_mutex_unlock(&model->lock);
}

int model_publish(struct model *model, const struct learner *learner, uint64_t columns, struct err *err)
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
    slot->revision.columns = columns;
    slot->digest_known = false;
    slot->holders = 1;
    struct novelty *old_novelty = NULL;
    if (status == 0) {
        atomic_store(&slot->calibrated, false);
        slot->revision.novelty = wanted_novelty(model, learner);
        atomic_store(&slot->measured, false);
    }
    (void)pthread_mutex_lock(&model->lock);
    if (status == 0) {
        struct revision_private *old = model->current;
        model->current = slot;
        old_novelty = drop(model, old);
    } else {
        slot->next_free = model->free;
        model->free = slot;
    }
    void (*published)(void *, uint64_t) = status == 0 ? model->published : NULL;
    void *context = model->published_context;
    (void)pthread_mutex_unlock(&model->lock);
    novelty_free(old_novelty);
    if (published != NULL)
        published(context, learner->revision);
    return status;
}

const struct calibration *model_calibration(const struct revision *revision)
{
    struct revision_private *slot = revision->private_;
    if (!atomic_load(&slot->calibrated)) {
        (void)pthread_mutex_lock(&slot->calibration_lock);
        if (!atomic_load(&slot->calibrated))
            calibration_fit(&slot->calibration, &slot->learner->tally);
        atomic_store(&slot->calibrated, true);
        (void)pthread_mutex_unlock(&slot->calibration_lock);
    }
    return &slot->calibration;
}

void model_want_novelty(struct model *model)
{
    atomic_store(&model->wanted, NOVELTY_PUBLICATIONS);
}

const struct novelty *model_novelty(const struct revision *revision)
{
    return atomic_load(&revision->private_->measured) ? revision->novelty : NULL;
}

int model_novelty_measure(struct revision *revision, struct err *err)
{
    struct revision_private *slot = revision->private_;
    int status = 0;
    assert(revision->novelty != NULL);
    (void)pthread_mutex_lock(&slot->novelty_lock);
    if (!atomic_load(&slot->measured)) {
        struct workspace *ws = workspace_create(&slot->learner->shape, slot->learner->n_classes);
        if (ws == NULL)
            status = err_memory(err, "a workspace");
        else
            novelty_measure(revision->novelty, slot->learner, ws);
        workspace_free(ws);
        atomic_store(&slot->measured, status == 0);
    }
    (void)pthread_mutex_unlock(&slot->novelty_lock);
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
