/* health.c - see health.h */
#include "core/learner/health.h"

#include <stdio.h>
#include <string.h>

#include "core/learner/learner.h"

/* Both as shares of thousand. */
static const struct {
    const char *code;
    uint32_t raise, clear;
} warnings[HEALTH_N] = {
    [HEALTH_HIDDEN] = {"hidden_saturated", 500, 250},    [HEALTH_KERNELS] = {"kernels_dead", 500, 250},
    [HEALTH_ONE_CLASS] = {"one_class", 750, 500},        [HEALTH_NEW_CLASS] = {"new_class", 500, 250},
    [HEALTH_COMMONEST] = {"below_commonest", 1000, 999}, /* judged by itself */
};

bool health_due(const struct learner *l)
{
    return l->step >= l->health.next;
}

/* One that the warning is about stays new until it is cleared. */
static bool is_new(const struct learner *l, uint32_t c)
{
    if (health_raised(&l->health, HEALTH_NEW_CLASS) && l->health.warnings[HEALTH_NEW_CLASS].class_index == c)
        return true;
    const uint64_t seen = l->buffer->seen[c];
    const uint32_t others = l->buffer->n_present - (seen > 0);
    return seen <= HEALTH_NEW && others > 0 && l->tally.samples - seen >= (uint64_t)others * 4 * HEALTH_NEW;
}

bool health_due_class(const struct learner *l, uint32_t c)
{
    const uint64_t seen = l->buffer->seen[c], samples = l->tally.samples;
    if ((seen != 0 && seen != HEALTH_NEW) || !is_new(l, c))
        return false;
    for (uint64_t i = samples - seen; i < samples; i++)
        if (l->tally.recent[i % TALLY_RECENT].label != c)
            return false;
    return true;
}

static uint32_t thousandths(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (uint32_t)(part * 1000 / whole) : 0;
}

static void judge(struct learner *l, enum health_warning which, uint32_t share, uint32_t c, bool raise, bool clear)
{
    l->health.warnings[which].share = share;
    l->health.warnings[which].class_index = c;
    if (clear)
        l->health.warnings[which].since = 0;
    else if (raise && l->health.warnings[which].since == 0)
        l->health.warnings[which].since = l->tally.samples;
}

static void judge_share(struct learner *l, enum health_warning which, uint32_t share, uint32_t c)
{
    const uint32_t before = which == HEALTH_NEW_CLASS ? share : l->health.warnings[which].share;
    const uint32_t raise = warnings[which].raise, clear = warnings[which].clear;
    judge(l, which, share, c, share >= raise && before >= raise, share <= clear && before <= clear);
}

/* ---- the images ---- */

struct counts {
    uint32_t images, most;             /* most: of a class                  */
    uint32_t of[SHAPE_CLASSES_MAX];    /* images of that class              */
    uint32_t taken[SHAPE_CLASSES_MAX]; /* of others, that are taken for it */
};

/* In ws->d1: the sign that a unit is saturated with on all images so far, 0 where there is none. In ws->ends: the kernels that won. Both are
 * written anew by each step. */
static void look_at(struct learner *l, struct counts *counts, uint32_t c, const uint8_t *pixels)
{
    struct workspace *ws = l->ws;
    net_forward(l->arith, &l->net, &l->settings, pixels, ws);
    for (uint32_t t = 0; t < l->shape.n_1; t++) {
        const float sign = ws->l1[t] > HEALTH_SATURATED ? 1.0F : ws->l1[t] < -HEALTH_SATURATED ? -1.0F : 0.0F;
        ws->d1[t] = counts->images == 0 || ws->d1[t] == sign ? sign : 0.0F;
    }
    for (uint32_t p = 0; l->shape.kernels > 0 && p < l->shape.n_0; p++)
        ws->ends[ws->winner[p]] = 1;
    const uint32_t predicted = net_argmax(&l->net, ws->l2);
    counts->taken[predicted] += predicted != c;
    counts->images++;
    counts->of[c]++;
    counts->most = counts->of[c] > counts->most ? counts->of[c] : counts->most;
}

/* Evenly from the classes, and from the slots of each. */
static void look_at_images(struct learner *l, struct counts *counts)
{
    const struct replay_buffer *buffer = l->buffer;
    const uint32_t n = buffer->n_present < HEALTH_IMAGES ? buffer->n_present : HEALTH_IMAGES;
    memset(l->ws->ends, 0, l->shape.kernels * sizeof *l->ws->ends);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t c = buffer->present[(size_t)i * buffer->n_present / n];
        const uint32_t used = replay_buffer_used(buffer, c);
        const uint32_t each = used < HEALTH_IMAGES / n ? used : HEALTH_IMAGES / n;
        for (uint32_t j = 0; j < each; j++)
            look_at(l, counts, c, replay_buffer_pixels(buffer, c, (uint32_t)((size_t)j * used / each)));
    }
}

static void judge_units(struct learner *l)
{
    uint32_t stuck = 0, dead = 0;
    for (uint32_t t = 0; t < l->shape.n_1; t++)
        stuck += l->ws->d1[t] != 0.0F;
    for (uint32_t i = 0; i < l->shape.kernels; i++)
        dead += l->ws->ends[i] == 0;
    judge_share(l, HEALTH_HIDDEN, thousandths(stuck, l->shape.n_1), 0);
    judge_share(l, HEALTH_KERNELS, thousandths(dead, l->shape.kernels), 0);
}

/* The largest share of other classes' images that a class takes, of all that are new, or of all that are not. */
static void judge_takers(struct learner *l, const struct counts *counts, enum health_warning which)
{
    uint32_t largest = 0, taker = 0;
    for (uint32_t c = 0; c < l->n_classes; c++) {
        const uint32_t others = counts->images - counts->of[c];
        const uint32_t share = others >= HEALTH_LEAST ? thousandths(counts->taken[c], others) : 0;
        if (share > largest && is_new(l, c) == (which == HEALTH_NEW_CLASS)) {
            largest = share;
            taker = c;
        }
    }
    judge_share(l, which, largest, taker);
}

/* ---- the outcomes ---- */

/* One class for long, then another. */
static bool is_sorted(const struct tally *t)
{
    const uint32_t n = tally_window(t);
    uint32_t changes = 0;
    for (uint64_t i = t->samples - n + 1; i < t->samples; i++)
        changes += t->recent[i % TALLY_RECENT].label != t->recent[(i - 1) % TALLY_RECENT].label;
    return changes < n / 25;
}

static void judge_outcomes(struct learner *l)
{
    const struct tally *t = &l->tally;
    const uint32_t n = tally_window(t);
    uint32_t labels[SHAPE_CLASSES_MAX] = {0}, commonest = 0;
    uint64_t correct = 0;
    if (n < HEALTH_OUTCOMES)
        return;
    for (uint64_t i = t->samples - n; i < t->samples; i++) {
        const struct outcome *o = &t->recent[i % TALLY_RECENT];
        labels[o->label]++;
        commonest = labels[o->label] > labels[commonest] ? o->label : commonest;
        correct += o->label == o->predicted;
    }
    const uint64_t most = labels[commonest];
    if (!is_sorted(t) || correct * 10 > most * 9 + n)
        judge(l, HEALTH_COMMONEST, thousandths(correct, n), commonest, correct <= most, correct * 10 > most * 9 + n);
}

/* Young models change fast. */
static uint64_t steps_to_next(const struct learner *l)
{
    for (int i = 0; i < HEALTH_N; i++)
        if (health_raised(&l->health, (enum health_warning)i))
            return HEALTH_STEPS_RAISED;
    const uint64_t quarter = l->step / 4 > HEALTH_STEPS_LEAST ? l->step / 4 : HEALTH_STEPS_LEAST;
    return quarter < HEALTH_STEPS ? quarter : HEALTH_STEPS;
}

void health_look(struct learner *l)
{
    struct counts counts = {0};
    look_at_images(l, &counts);
    if (counts.images >= HEALTH_LEAST && counts.most * 2 <= counts.images) {
        judge_units(l);
        judge_takers(l, &counts, HEALTH_ONE_CLASS);
    }
    judge_takers(l, &counts, HEALTH_NEW_CLASS);
    judge_outcomes(l);
    l->health.next = l->step + steps_to_next(l);
}

/* ---- told ---- */

bool health_raised(const struct health *health, enum health_warning which)
{
    return health->warnings[which].since > 0;
}

const char *health_code(enum health_warning which)
{
    return (unsigned)which < HEALTH_N ? warnings[which].code : NULL;
}

#define MIX_CLASSES "train on the classes in mixed order"

struct remedy {
    char text[64];
};

/* What to do about a model that does not tell classes apart; about one whose weights are lost. */
static struct remedy remedy(const struct learner *l)
{
    struct remedy r = {"check the labels"};
    const float rate = settings_new(&l->shape).rate;
    if (l->settings.rehearsal == 0)
        (void)snprintf(r.text, sizeof r.text, "set rehearsal to 8");
    else if (is_sorted(&l->tally))
        (void)snprintf(r.text, sizeof r.text, MIX_CLASSES);
    else if (l->settings.normalize == NORMALIZE_NONE)
        (void)snprintf(r.text, sizeof r.text, "create the model again with normalize std");
    else if (l->settings.rate < rate / 2.0F || l->settings.rate > rate * 2.0F)
        (void)snprintf(r.text, sizeof r.text, "set rate to %.2g", (double)rate);
    return r;
}

static struct remedy remedy_again(const struct learner *l)
{
    struct remedy r = {"create the model again with normalize std"};
    const double rate = (double)settings_new(&l->shape).rate, now = (double)l->settings.rate;
    if (l->settings.normalize != NORMALIZE_NONE && is_sorted(&l->tally))
        (void)snprintf(r.text, sizeof r.text, MIX_CLASSES);
    else if (l->settings.normalize != NORMALIZE_NONE)
        (void)snprintf(r.text, sizeof r.text, "create the model again with rate %.2g", now > rate ? rate : now / 2.0);
    return r;
}

void health_text(char *text, size_t size, const struct learner *l, enum health_warning which)
{
    const uint32_t share = l->health.warnings[which].share, percent = (share + 5) / 10;
    const char *label = l->labels[l->health.warnings[which].class_index];
    switch (which) {
    case HEALTH_HIDDEN:
        (void)snprintf(text, size,
                       "hidden units: %u %% are saturated and the same for all images, so the model hardly learns: "
                       "%s",
                       percent, remedy_again(l).text);
        break;
    case HEALTH_KERNELS:
        (void)snprintf(text, size,
                       "kernels: %u of %u win nowhere, so they learn nothing: %s, or create it with fewer kernels",
                       (share * l->shape.kernels + 500) / 1000, l->shape.kernels, remedy_again(l).text);
        break;
    case HEALTH_ONE_CLASS:
        (void)snprintf(text, size, "class \"%s\": %u %% of the images of other classes are taken for it: %s", label,
                       percent, remedy(l).text);
        break;
    case HEALTH_NEW_CLASS:
        (void)snprintf(text, size, "class \"%s\" is new, and %u %% of the images of other classes are taken for it: %s",
                       label, percent,
                       l->settings.imprint == 0 || l->settings.rehearsal == 0 ? "set imprint to 5 and rehearsal to 8"
                                                                              : "train on images of those, too");
        break;
    case HEALTH_COMMONEST:
        (void)snprintf(text, size,
                       "accuracy: %u %% of the last %u samples, no more than if the answer were always \"%s\": %s",
                       percent, tally_window(&l->tally), label, remedy(l).text);
        break;
    case HEALTH_N:
        break;
    }
}

bool health_check(const struct health *health, const struct learner *l)
{
    for (int i = 0; i < HEALTH_N; i++)
        if (health->warnings[i].since > l->tally.samples || health->warnings[i].share > 1000 ||
            (health->warnings[i].class_index > 0 && health->warnings[i].class_index >= l->n_classes))
            return false;
    return health->next <= l->step + HEALTH_STEPS;
}
