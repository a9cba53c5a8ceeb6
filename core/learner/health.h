/* health.h - does the model learn, and if not, why not? Warnings, raised and cleared by the fold.
 *
 * A look takes up to HEALTH_IMAGES images of the replay buffer, as many of each class, through the network, and
 * counts; and it counts the test-then-train outcomes of tally_window():
 *
 *     warning           raised from, cleared at   share
 *     HEALTH_HIDDEN         1/2    1/4   of the hidden units: |l^1| > HEALTH_SATURATED, of one sign, on all images
 *     HEALTH_KERNELS        1/2    1/4   of the kernels: win at no position of any image
 *     HEALTH_ONE_CLASS      3/4    1/2   of the images of other classes: are taken for one class
 *     HEALTH_NEW_CLASS      1/2    1/4   the same, for a class that is new: of at most HEALTH_NEW samples, while the others have
 *                                        20 each or more, on average
 *     HEALTH_COMMONEST      c      c + (1 - c) / 10   of the outcomes: are right; raised where it is at most c, the share of the
 *                                        commonest label
 *
 * A unit that is saturated, but not the same for all images, has learned something: healthy models have six of ten such. One that is
 * the same for all tells nothing, and its gradient vanishes. Images are taken evenly from the classes, since units of a model that is shown one class
 * for long agree on it. So the first three want two classes, at least HEALTH_LEAST images, and no class with more than half of them;
 * the fourth HEALTH_LEAST images of others; the last HEALTH_OUTCOMES outcomes, whose labels change at least at every 25th: of a stream that is sorted
 * by class the commonest label says nothing. A model of fewer is too young to judge.
 *
 * The first three take two looks in a row to be raised, and two to be cleared: of a model that is not rehearsed, any look can come just after a step
 * too many.
 *
 * A look is due HEALTH_STEPS steps after the last, sooner while the model is young or a warning is raised; and when a class is added, and
 * after its fifth sample, where all five came one after another. It costs what HEALTH_IMAGES predictions cost, which is
 * 1 % of HEALTH_STEPS steps, and a tenth of HEALTH_STEPS_RAISED.
 *
 * Part of the fold: comparisons and integers alone, so a replay raises the same warnings on every machine; the digest covers them. Models whose
 * buffer has no slots (replay_buffer.h) get the last warning alone.
 */
#ifndef CONVD_CORE_LEARNER_HEALTH_H
#define CONVD_CORE_LEARNER_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEALTH_IMAGES       32u
#define HEALTH_LEAST        16u
#define HEALTH_OUTCOMES     100u
#define HEALTH_NEW          5u
#define HEALTH_STEPS        1024u
#define HEALTH_STEPS_LEAST  64u  /* the first, and at least; while it is young a quarter of the steps so far */
#define HEALTH_STEPS_RAISED 128u /* while a warning is raised */
#define HEALTH_SATURATED    0.99F

enum health_warning { HEALTH_HIDDEN, HEALTH_KERNELS, HEALTH_ONE_CLASS, HEALTH_NEW_CLASS, HEALTH_COMMONEST, HEALTH_N };

struct health {
    uint64_t next; /* step from which on a look is due */
    struct {
        uint64_t since; /* samples there were when it was raised; 0: it is not */
        uint32_t share; /* as above, in thousandths, when it was looked at last; of the last warning right answers */
        uint32_t class_index; /* HEALTH_ONE_CLASS, HEALTH_NEW_CLASS: which; HEALTH_COMMONEST: the commonest; else 0 */
    } warnings[HEALTH_N];
};

struct learner;

/* health_look - looks, and raises and clears warnings. Changes learner->health and its workspace, nothing else. */
void health_look(struct learner *learner);

/* health_due - whether a look is due after a step. health_due_class - after a class was added, or a sample of it was learned. */
bool health_due(const struct learner *learner);
bool health_due_class(const struct learner *learner, uint32_t class_index);

/* health_raised - whether a warning is raised. health_code - its name, as "hidden_saturated"; NULL for none of them. */
bool health_raised(const struct health *health, enum health_warning which);
const char *health_code(enum health_warning which);

/* health_text - what is wrong and what to do, of a warning that is raised, in one line; cut where `size` is too small. */
#define HEALTH_TEXT_BYTES 512u
void health_text(char *text, size_t size, const struct learner *learner, enum health_warning which);

/* health_check - whether it can be the state of that learner: what is read from a file. */
bool health_check(const struct health *health, const struct learner *learner);

#endif
