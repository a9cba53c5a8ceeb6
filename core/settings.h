/* settings.h - the hyperparameters: one table that the command line, the routes and the store all walk.
 *
 * A setting is a number or one of a few words. Some are fixed when the model is made (they decide what a pixel or an initial
 * weight is), the others can be tuned while it lives, each change an event. To add one: a member and a name here, a row in the
 * table of settings.c, each the last; the routes, events, snapshots, the digest and exported files then have it. What is left is the code that
 * reads it, its name among the flags of server/verbs/init.c, and its line in the OpenAPI document: tests ask for both.
 *
 * Formats are kept: an event or a state that does not name a setting from SETTING_LATER on has it as settings_default(), and that is how it is
 * written then, so what was made before there was such a setting has the same bytes and digest.
 *
 * The step size decays while the model learns, slowly and not to nothing, so that it can follow what changes:
 *
 *     rate_t = rate / (1 + min(t / decay_steps, 9))       t = steps so far, rehearsals included;  decay_steps = 0: rate_t = rate
 *
 * in double precision (one division, one addition, one division, all exact IEEE), rounded once to float: the same bits
 * everywhere. It is half of `rate` after `decay_steps` steps and a tenth from 9 `decay_steps` on.
 */
#ifndef CONVD_CORE_SETTINGS_H
#define CONVD_CORE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/shape.h"

/* D_s', the derivative of the softmax: see docs/network.md. */
enum gradient {
    GRADIENT_DIAGONAL, /* D_s' = diag(l^2_m (1 - l^2_m)): as derived, without cross terms */
    GRADIENT_JACOBIAN, /* D_s' = diag(l^2) - l^2 l^2^T:   exact                            */
};

/* How a picture of another shape is fitted to the input (server/image/image.h does it; the arithmetic never sees it). */
enum fit {
    FIT_CONTAIN, /* whole picture, aspect kept, the rest filled with the picture's border colour */
    FIT_COVER,   /* aspect kept, centre cut out                                                */
    FIT_STRETCH, /* both sides scaled on their own                                             */
    FIT_CONTENT, /* of a drawing, its ink: found, cut out, centred and scaled as MNIST's digits */
    FIT_AUTO, /* FIT_CONTENT for a photographed drawing, where drawings were taught (learner_fit()); else FIT_CONTAIN */
};

/* Whether dark and light are exchanged in uploaded pictures (never in raw bodies or pixel lists). */
enum invert {
    INVERT_NEVER,
    INVERT_ALWAYS,
    INVERT_AUTO, /* when the picture's border is lighter than mid-grey: dark ink on light paper */
};

/* What is done to each image as it enters the network: core/net.h has the equations. */
enum normalize {
    NORMALIZE_NONE,
    NORMALIZE_MEAN, /* its mean becomes 0                                               */
    NORMALIZE_STD,  /* and its standard deviation a fixed one                           */
};

struct settings {
    float rate;               /* step size of gradient descent */
    float mean;               /* subtracted from each value that enters; fixed                          */
    uint64_t seed;            /* of the initial weights; fixed; below 2^53, so that JSON holds it        */
    enum normalize normalize; /* fixed */
    enum gradient gradient;
    enum fit fit;
    enum invert invert;
    uint32_t rehearsal;        /* steps on past samples of the replay buffer for each new one           */
    uint32_t rehearsal_first;  /* so many after the first samples of a class, falling to `rehearsal`     */
    uint32_t rehearsal_idle;   /* so many more for each new one while nothing is asked for               */
    uint32_t rehearsal_buffer; /* images of each class in the replay buffer, at most; fixed              */
    float output_rate;         /* factor on the rate for w12                                             */
    uint32_t imprint;          /* samples of a class that comes later which are imprinted: learner_apply() */
    float jitter;              /* pixels: how far a rehearsed sample is shifted, at most                 */
    float rotation;            /* degrees: how far it is turned, at most                                 */
    float decay_steps;         /* steps after which the step size has halved; 0: it stays                */
    float clip;                /* largest norm of a step's gradient: core/descent.h; 0: no limit         */
};

enum setting {
    SETTING_RATE,
    SETTING_MEAN,
    SETTING_SEED,
    SETTING_NORMALIZE,
    SETTING_GRADIENT,
    SETTING_FIT,
    SETTING_INVERT,
    SETTING_REHEARSAL,
    SETTING_JITTER,
    SETTING_ROTATION,
    SETTING_DECAY_STEPS,
    SETTING_CLIP,
    SETTING_IMPRINT,
    SETTING_REHEARSAL_FIRST,
    SETTING_OUTPUT_RATE,
    SETTING_REHEARSAL_IDLE,
    SETTING_REHEARSAL_BUFFER,
    SETTING_N
};
#define SETTING_LATER SETTING_REHEARSAL_BUFFER /* the first that not all events and states name */

enum setting_type { SETTING_FLOAT, SETTING_U32, SETTING_U64, SETTING_WORD };

struct setting_info {
    const char *name;         /* "rate": the name in JSON, in the log and, after "--", on the command line */
    const char *help;         /* one line for --help and docs/learning.md                                 */
    size_t offset;            /* of the member in struct settings                                         */
    enum setting_type type;   /* of the member                                                            */
    bool tunable;             /* false: fixed when the model is made                                      */
    double low, high;         /* allowed range of a number, both ends included                            */
    const char *const *words; /* NULL for a number; else the allowed words, ended by NULL                  */
};

/* The table; SETTING_N rows, indexed by enum setting. */
extern const struct setting_info setting_table[SETTING_N];

/* settings_default - the settings with nothing switched on that can be off: what a model file that does not name a setting
 * means by it (server/formats/safetensors_read.c), and what tests begin with. */
struct settings settings_default(void);

/* settings_new - of a new model of that geometry (which has passed shape_check()); bench/defaults.md says how they were chosen:
 *
 *     rate = 0.08 min(1, (128 / n^1)^1/2) (576 / n^0)^1/4 / channels      at most 0.2, to two digits
 *     decay_steps = 120000
 *     normalize = std, mean = 0
 *     rehearsal = 8, rehearsal_first = 64, rehearsal_idle = 200, rehearsal_buffer = 2000, jitter = 1
 *     rotation = 10; 0 where width or height is above 28
 *     output_rate = 0.1, imprint = 5
 *
 * Many hidden units, or many positions that all see something bright, drive the net to where its gradients vanish, at rates that are good
 * for small ones. */
struct settings settings_new(const struct shape *shape);

/* settings_rate - rate_t, the size of the next step after `step` steps. */
float settings_rate(const struct settings *settings, uint64_t step);

/* settings_given - after a person has set those settings: a rate without decay_steps is meant as it is, so decay_steps becomes 0; and an image
 * that is normalized has a mean of 0, so `mean`, unless given beside `normalize`, becomes 0; for one that is not, 0.13, or 0.45 with three
 * channels or more. */
void settings_given(struct settings *settings, const struct shape *shape, const bool given[SETTING_N]);

/* settings_rehearsals - steps on past samples after the `seen`-th sample of its class, seen at least 1:
 *
 *     max(rehearsal, rehearsal_first min(1, REHEARSAL_FIRST / seen))       rounded to the nearest; 0 where `rehearsal` is 0
 *
 * By class and not over all, so that one that comes late is learned as fast as the first. */
#define REHEARSAL_FIRST 20u
uint32_t settings_rehearsals(const struct settings *settings, uint64_t seen);

/* settings_named - whether events and states name that setting: a later one only where it is not as settings_default(). */
bool settings_named(const struct settings *settings, enum setting which);

/* settings_find - the setting with that name, or SETTING_N; "decay-steps", as a flag is spelled, is decay_steps. */
enum setting settings_find(const char *name);

/* settings_get - the value as a number; for a word, its index in words[]. Floats come back exactly. */
double settings_get(const struct settings *settings, enum setting which);

/* settings_word - the value as a word; NULL when the setting is a number. */
const char *settings_word(const struct settings *settings, enum setting which);

/* settings_set - sets a number, after a range check (NaN and infinities are refused; seed and rehearsal must be whole).
 * Does not look at `tunable`: the caller knows whether the model is being made.
 * Errors: ERR_VALUE, pointer "/<name>". */
int settings_set(struct settings *settings, enum setting which, double value, struct err *err);

/* settings_set_text - sets from text: a decimal number, or one of the words. Errors as settings_set(). */
int settings_set_text(struct settings *settings, enum setting which, const char *text, struct err *err);

#endif
