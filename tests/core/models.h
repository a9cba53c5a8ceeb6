/* models.h - the models and events that the tests of the fold use. */
#ifndef CONVD_TESTS_MODELS_H
#define CONVD_TESTS_MODELS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/chance.h"

/* The tests name its members by their places. NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct model_options {
    uint32_t width, height, channels, kernels, kernel_width, kernel_height, stride, hidden, n_classes;
    enum gradient gradient;
    uint32_t capacity; /* 0: the default */
    const struct arith *arith;
    enum normalize normalize;
    uint32_t rehearsal_buffer; /* of each class; 0: 10, which is 160 KiB */
};

/* Labels "0", "1", ..: in memory of the caller's. */
static inline void model_labels(char (*labels)[LABEL_BYTES_MAX + 1], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        memset(labels[i], 0, sizeof labels[i]);
        (void)snprintf(labels[i], sizeof labels[i], "%u", i);
    }
}

/* A create event of that geometry, with `labels` to be filled by model_labels(). */
static inline struct event model_event(const struct model_options *o, char (*labels)[LABEL_BYTES_MAX + 1])
{
    struct event event = {.kind = EVENT_CREATE, .revision = 1};
    event.as.create.shape = (struct shape){
        .width = o->width,
        .height = o->height,
        .channels = o->channels,
        .kernels = o->kernels,
        .kernel_width = o->kernel_width,
        .kernel_height = o->kernel_height,
        .stride = o->stride,
        .hidden = o->hidden,
    };
    event.as.create.settings = settings_default();
    event.as.create.settings.gradient = o->gradient;
    event.as.create.settings.normalize = o->normalize;
    event.as.create.settings.rehearsal_buffer = o->rehearsal_buffer != 0 ? o->rehearsal_buffer : 10;
    event.as.create.n_classes = o->n_classes;
    event.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) labels;
    return event;
}

static inline struct learner *model_create(const struct model_options *o)
{
    static char labels[SHAPE_CLASSES_MAX][LABEL_BYTES_MAX + 1];
    struct event event = model_event(o, labels);
    struct err err;
    model_labels(labels, o->n_classes);
    struct learner *learner = learner_create(&event, o->arith, o->capacity, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    return learner;
}

/* A small model of three classes: 6x5, 4 kernels 3x2, 7 hidden. */
static inline struct model_options model_small(void)
{
    return (struct model_options){.width = 6,
                                  .height = 5,
                                  .channels = 1,
                                  .kernels = 4,
                                  .kernel_width = 3,
                                  .kernel_height = 2,
                                  .stride = 1,
                                  .hidden = 7,
                                  .n_classes = 3};
}

/* Trains on one image as one event; returns what the fold wrote beside it. */
static inline struct sample model_train(struct learner *learner, uint32_t label, const uint8_t *pixels)
{
    struct sample sample = {.label = label, .pixels = pixels};
    struct event event = {.kind = EVENT_TRAIN, .revision = learner->revision + 1};
    struct err err;
    event.as.train.n = 1;
    event.as.train.samples = &sample;
    ck_assert_msg(learner_apply(learner, &event, &err) == 0, "%s", err.text);
    return sample;
}

/* Trains on n random images of random classes, drawn from `seed`: something that can be learned, a bright spot whose place
 * depends on the class, under noise. */
static inline void model_train_random(struct learner *learner, uint32_t n, uint64_t seed)
{
    struct chance chance = {.state = seed};
    const uint32_t n_input = learner->shape.n_input;
    uint8_t *pixels = malloc(n_input);
    ck_assert_ptr_nonnull(pixels);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t label = chance_between(&chance, 0, learner->n_classes - 1);
        for (uint32_t j = 0; j < n_input; j++) {
            bool spot = j * learner->n_classes / n_input == label;
            pixels[j] = (uint8_t)((chance_bits(&chance) >> 57) + (spot ? 128 : 0));
        }
        (void)model_train(learner, label, pixels);
    }
    free(pixels);
}

/* Adds a class, or renames one. 0 or -1, as learner_apply(). */
static inline int model_class(struct learner *learner, enum class_action action, uint32_t index, const char *label,
                              struct err *err)
{
    struct event event = {.kind = EVENT_CLASS, .revision = learner->revision + 1};
    event.as.class_.action = action;
    event.as.class_.index = index;
    (void)snprintf(event.as.class_.label, sizeof event.as.class_.label, "%s", label);
    return learner_apply(learner, &event, err);
}

struct hex {
    char text[2 * DIGEST_BYTES + 1];
};

static inline struct hex model_digest(const struct learner *learner)
{
    uint8_t digest[DIGEST_BYTES];
    struct hex hex;
    learner_digest(learner, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        (void)snprintf(hex.text + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

#define expect_same_digest(a, b)  ck_assert_str_eq(model_digest(a).text, model_digest(b).text)
#define expect_other_digest(a, b) ck_assert_str_ne(model_digest(a).text, model_digest(b).text)

#endif
