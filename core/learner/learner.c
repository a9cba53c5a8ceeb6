/* learner.c - the fold: create and apply. See learner.h; memory.c has the memory of it all and copies, codec.c the digest and
 * the snapshot's bytes. */
#include "core/learner/learner.h"

#include <assert.h>
#include <float.h>
#include <string.h>

#include "core/descent.h"
#include "core/draw.h"
#include "core/jitter.h"
#include "core/learner/internal.h"

/* What tells the draws of rehearsals from all others of the same seed. */
#define REHEARSE_KEY 0x7265686561727365u

/* Samples of each other class, on average, from which on a class is one that comes later. */
#define IMPRINT_KNOWN 10u
#define DRAWN_PART    0.1F /* of a later class's drawn column */

/* ---- create ---- */

static int labels_check(const char (*labels)[LABEL_BYTES_MAX + 1], uint32_t n, struct err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (label_check(labels[i], strnlen(labels[i], LABEL_BYTES_MAX + 1), err) != 0)
            return err_at(err, "/classes/%u", i);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(labels[i], labels[j]) == 0) {
                err_set(err, ERR_CONFLICT, "two classes have the label \"%s\"", labels[i]);
                return err_at(err, "/classes/%u", i);
            }
    }
    return 0;
}

struct learner *learner_create(const struct event *event, const struct arith *arith, uint32_t capacity, struct err *err)
{
    assert(event->kind == EVENT_CREATE);
    struct shape shape = event->as.create.shape;
    const uint32_t n = event->as.create.n_classes;
    if (shape_check(&shape, n, err) != 0 || labels_check(event->as.create.labels, n, err) != 0)
        return NULL;
    capacity = capacity == 0 || capacity < n ? shape_capacity(&shape, n) : capacity;
    struct shape with_room = shape;
    if (shape_check(&with_room, capacity, err) != 0)
        return NULL;

    struct learner *l = learner_empty_create(&shape, &event->as.create.settings, arith, n, capacity, true, err);
    if (l == NULL)
        return NULL;
    if (n > 0)
        memcpy(l->labels, event->as.create.labels, n * sizeof *l->labels);
    if (event->as.create.w01 != NULL) {
        net_import(&l->net, event->as.create.k, event->as.create.w01, event->as.create.w12);
        if (!weights_fit(&l->net)) {
            err_set(err, ERR_VALUE, "a given weight is not finite, or larger than %g", (double)WEIGHT_MAX);
            learner_free(l);
            return NULL;
        }
    } else {
        net_init(&l->net, l->settings.seed);
    }
    l->health.next = HEALTH_STEPS_LEAST;
    l->revision = 1;
    return l;
}

/* ---- classes ---- */

int learner_class(const struct learner *l, const char *bytes, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > LABEL_BYTES_MAX || memchr(bytes, '\0', n_bytes) != NULL)
        return -1; /* a zero among the bytes would match the zeros behind a shorter label */
    for (uint32_t i = 0; i < l->n_classes; i++)
        if (memcmp(l->labels[i], bytes, n_bytes) == 0 && l->labels[i][n_bytes] == '\0')
            return (int)i;
    return -1;
}

/* Rows of w12 from one row length to another, in place: from the last row when they grow, so that none is overwritten
 * before it has moved. New columns are zero. */
static void w12_widen(float *w12, size_t n_rows, size_t ld_old, size_t ld_new)
{
    for (size_t t = n_rows; t-- > 0;) {
        memmove(w12 + t * ld_new, w12 + t * ld_old, ld_old * sizeof *w12);
        memset(w12 + t * ld_new + ld_old, 0, (ld_new - ld_old) * sizeof *w12);
    }
}

/* The last column becomes the mean of the others and a little of what was drawn, which tells it from a twin. With the diagonal gradient all
 * logits that are known sink together, so a column that is only drawn would be above them: a class that was never taught would take
 * known images. */
static void add_mean_column(struct net *net, uint32_t index)
{
    for (uint32_t t = 0; t < net->shape.n_1; t++) {
        float *row = net->w12 + t * net->ld_2, sum = 0.0F;
        for (uint32_t m = 0; m < index; m++)
            sum += row[m];
        const float with_mean = row[index] * DRAWN_PART + sum / (float)index;
        if (with_mean >= -WEIGHT_MAX && with_mean <= WEIGHT_MAX)
            row[index] = with_mean;
    }
}

static void class_add(struct learner *l, const char *label)
{
    const size_t ld_old = l->net.ld_2;
    const uint32_t index = l->n_classes++;
    l->net = net_view(&l->shape, l->n_classes, l->params);
    if (l->net.ld_2 != ld_old)
        w12_widen(l->net.w12, l->shape.n_1, ld_old, l->net.ld_2);
    net_init_class(&l->net, l->settings.seed, index);
    if (l->settings.imprint > 0 && index > 0)
        add_mean_column(&l->net, index);
    descent_forget(&l->known);
    memset(l->labels[index], 0, sizeof l->labels[index]);
    memcpy(l->labels[index], label, strlen(label));
    replay_buffer_classes(l->buffer, l->n_classes);
    if (health_due_class(l, index))
        health_look(l);
}

/* ---- apply ---- */

static void tally_count(struct learner *l, uint32_t label, uint32_t predicted, float loss, float p)
{
    struct tally *t = &l->tally;
    t->recent[t->samples % TALLY_RECENT] = (struct outcome){(uint16_t)label, (uint16_t)predicted, loss, p};
    t->samples++;
    t->correct += label == predicted;
    t->loss_sum += (double)loss;
    (void)drift_add(&t->drift, label != predicted, t->samples);
    uint32_t *cell = &t->confusion[(size_t)label * l->capacity + predicted];
    *cell += *cell < UINT32_MAX;
}

/* After net_forward(). A step that is refused counts as a step all the same: rates and draws go on. */
static bool make_step(struct learner *l, const struct settings *settings, uint32_t label)
{
    const bool made = descent_step(&l->known, l->arith, &l->net, l->trial, settings, label, l->ws);
    l->step++;
    l->refused += !made;
    yield_now(l->yield);
    return made;
}

/* Gives back what the model gave that class before the step. */
static float rehearse(struct learner *l, uint32_t label, const uint8_t *pixels, const struct rehearse_step *how)
{
    struct settings settings = l->settings;
    settings.rate = how->rate;
    if (how->jitter > 0.0F || how->rotation > 0.0F) {
        jitter_apply(l->displaced, pixels, &l->shape, how->jitter, how->rotation, how->draw);
        pixels = l->displaced;
    }
    net_forward(l->arith, &l->net, &settings, pixels, l->ws);
    const float p = l->ws->l2[label];
    (void)make_step(l, &settings, label);
    if (health_due(l))
        health_look(l);
    return p;
}

/* Each step has its own draw: the counter is what the state alone decides. */
static void rehearse_from_buffer(struct learner *l)
{
    const uint64_t draw = draw_bits(l->settings.seed ^ REHEARSE_KEY, l->step);
    struct replay_buffer_drawn drawn;
    if (!replay_buffer_draw(l->buffer, draw, &drawn))
        return;
    const float p = rehearse(l, drawn.class_index, drawn.pixels,
                             &(struct rehearse_step){.rate = settings_rate(&l->settings, l->step),
                                                     .jitter = l->settings.jitter,
                                                     .rotation = l->settings.rotation,
                                                     .draw = draw_bits(draw, REPLAY_BUFFER_DRAWS + 1)});
    replay_buffer_saw(l->buffer, &drawn, replay_buffer_uncertainty(p));
}

/* One of the first samples of a class that came when the others were known: learner.h. */
static bool is_imprinted(const struct learner *l, uint32_t label)
{
    const uint64_t seen = l->buffer->seen[label];
    const uint32_t others = l->buffer->n_present - (seen > 0);
    return seen < l->settings.imprint && others > 0 && l->tally.samples - seen >= (uint64_t)others * IMPRINT_KNOWN;
}

static void train(struct learner *l, struct sample *sample)
{
    struct settings now = l->settings;
    now.rate = settings_rate(&now, l->step);
    net_forward(l->arith, &l->net, &l->settings, sample->pixels, l->ws);
    sample->predicted = net_argmax(&l->net, l->ws->l2);
    sample->loss = net_loss(l->arith, &l->net, l->ws, sample->label);
    const float p = l->ws->l2[sample->predicted];
    if (is_imprinted(l, sample->label) && descent_imprint(&l->known, &l->net, sample->label, l->ws))
        net_forward(l->arith, &l->net, &l->settings, sample->pixels, l->ws);
    const uint8_t uncertainty =
        now.rehearsal > 0 ? replay_buffer_uncertainty(l->ws->l2[sample->label]) : UNCERTAINTY_UNKNOWN;
    sample->refused = !make_step(l, &now, sample->label);
    tally_count(l, sample->label, sample->predicted, sample->loss, p);
    replay_buffer_add(l->buffer, l->settings.seed, sample->label, sample->pixels, uncertainty, sample->id);
    const uint32_t n_rehearsals = settings_rehearsals(&l->settings, l->buffer->seen[sample->label]);
    for (uint32_t i = 0; i < n_rehearsals; i++)
        rehearse_from_buffer(l);
    if (health_due(l) || health_due_class(l, sample->label))
        health_look(l);
    sample->step = l->step;
}

static int class_check(const struct learner *l, const struct event *event, struct err *err)
{
    const char *label = event->as.class_.label;
    const uint32_t index = event->as.class_.index;
    const bool add = event->as.class_.action == CLASS_ADD;
    if (!add && event->as.class_.action != CLASS_RENAME)
        return err_set(err, ERR_INTERNAL, "unknown class action %d", (int)event->as.class_.action);
    if (label_check(label, strnlen(label, LABEL_BYTES_MAX + 1), err) != 0)
        return err_at(err, "/label");
    if (add ? index != l->n_classes : index >= l->n_classes)
        return err_set(err, ERR_NOT_FOUND, "class %u does not exist: the model has %u classes", index, l->n_classes);
    int taken = learner_class(l, label, strlen(label));
    if (taken >= 0 && (add || (uint32_t)taken != index)) {
        err_set(err, ERR_CONFLICT, "class \"%s\" exists already", label);
        return err_at(err, "/label");
    }
    if (add && l->n_classes == l->capacity)
        return err_set(err, ERR_LIMIT, "the model has %u classes, its limit", l->capacity);
    return 0;
}

int learner_check(const struct learner *l, const struct event *event, struct err *err)
{
    switch (event->kind) {
    case EVENT_TRAIN:
        for (uint32_t i = 0; i < event->as.train.n; i++)
            if (event->as.train.samples[i].label >= l->n_classes) {
                err_set(err, ERR_LABEL_UNKNOWN, "sample %u is of class %u, but the model has %u classes", i,
                        event->as.train.samples[i].label, l->n_classes);
                return err_at(err, "/samples/%u/label", i);
            }
        return 0;
    case EVENT_CLASS:
        return class_check(l, event, err);
    case EVENT_TUNE:
        for (int i = 0; i < SETTING_N; i++)
            if (!setting_table[i].tunable && settings_get(&event->as.tune.settings, (enum setting)i) !=
                                                 settings_get(&l->settings, (enum setting)i)) {
                err_set(err, ERR_VALUE, "%s is fixed at creation and cannot be tuned", setting_table[i].name);
                return err_at(err, "/%s", setting_table[i].name);
            }
        return 0;
    case EVENT_IDLE:
        if (event->as.idle.steps < 1 || event->as.idle.steps > IDLE_STEPS_MAX)
            return err_set(err, ERR_VALUE, "an idle event has %u steps, but must have 1 to %u", event->as.idle.steps,
                           IDLE_STEPS_MAX);
        return 0;
    case EVENT_CREATE:
    case EVENT_REHEARSE:
    case EVENT_ACTIVATE:
    case EVENT_EDIT:
    case EVENT_BASELINE:
    case EVENT_KIND_N:
        break;
    }
    return err_set(err, ERR_INTERNAL, "a %s event cannot be applied by itself", event_kind_name(event->kind));
}

int learner_apply(struct learner *l, struct event *event, struct err *err)
{
    if (learner_check(l, event, err) != 0)
        return -1;
    if (event->revision <= l->revision)
        return err_set(err, ERR_INTERNAL, "event %llu after revision %llu", (unsigned long long)event->revision,
                       (unsigned long long)l->revision);
    switch (event->kind) {
    case EVENT_TRAIN:
        for (uint32_t i = 0; i < event->as.train.n; i++)
            train(l, &event->as.train.samples[i]);
        break;
    case EVENT_CLASS:
        if (event->as.class_.action == CLASS_ADD) {
            class_add(l, event->as.class_.label);
        } else {
            char *label = l->labels[event->as.class_.index];
            memset(label, 0, sizeof l->labels[0]);
            memcpy(label, event->as.class_.label, strlen(event->as.class_.label));
        }
        break;
    case EVENT_TUNE:
        l->settings = event->as.tune.settings;
        break;
    case EVENT_IDLE:
        for (uint32_t i = 0; i < event->as.idle.steps; i++)
            rehearse_from_buffer(l);
        break;
    case EVENT_CREATE:
    case EVENT_REHEARSE:
    case EVENT_ACTIVATE:
    case EVENT_EDIT:
    case EVENT_BASELINE:
    case EVENT_KIND_N:
        assert(false && "refused by learner_check");
    }
    l->revision = event->revision;
    return 0;
}

int learner_rehearse(struct learner *l, uint32_t label, const uint8_t *pixels, const struct rehearse_step *how,
                     struct err *err)
{
    if (label >= l->n_classes)
        return err_set(err, ERR_LABEL_UNKNOWN, "a sample of class %u, but the model has %u classes", label,
                       l->n_classes);
    /* Comparisons that a NaN fails, too. */
    if (!(how->rate >= 0.0F && how->rate <= FLT_MAX) ||
        !(how->jitter >= 0.0F && (double)how->jitter <= JITTER_SHIFT_MAX) ||
        !(how->rotation >= 0.0F && (double)how->rotation <= JITTER_DEGREES_MAX))
        return err_set(err, ERR_VALUE, "a rehearsal with rate %g, jitter %g and rotation %g", (double)how->rate,
                       (double)how->jitter, (double)how->rotation);
    (void)rehearse(l, label, pixels, how);
    return 0;
}

const char *event_kind_name(enum event_kind kind)
{
    static const char *const names[EVENT_KIND_N] = {
        [EVENT_CREATE] = "create", [EVENT_TRAIN] = "train",       [EVENT_CLASS] = "class",
        [EVENT_TUNE] = "tune",     [EVENT_REHEARSE] = "rehearse", [EVENT_ACTIVATE] = "activate",
        [EVENT_EDIT] = "edit",     [EVENT_BASELINE] = "baseline", [EVENT_IDLE] = "idle",
    };
    return (unsigned)kind < EVENT_KIND_N && names[kind] != NULL ? names[kind] : "unknown";
}

/* A Feistel network of four rounds on the smallest even number of bits that holds n, walked until it falls below n
 * (Black and Rogaway 2002, cycle walking): at most 4 tries on average, and no list of n numbers. */
uint64_t learner_order(uint64_t seed, uint64_t n, uint64_t i)
{
    assert(i < n);
    unsigned half = 1;
    while (half < 32 && (1ULL << (2 * half)) < n)
        half++;
    const uint64_t mask = (1ULL << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t x = right + 0x9e3779b97f4a7c15u * (seed + round + 1);
            x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
            x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
            uint64_t next = left ^ ((x ^ (x >> 31)) & mask);
            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}

enum fit learner_fit(const struct learner *learner)
{
    const enum fit fit = learner->settings.fit;
    return fit == FIT_AUTO && !replay_buffer_drawings(learner->buffer) ? FIT_CONTAIN : fit;
}
