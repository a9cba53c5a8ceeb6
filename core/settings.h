/* settings.h - the hyperparameters: one table that the command line, the routes and the store all walk.
 *
 * A setting is a number or one of a few words. Some are fixed when the model is
 * made (they decide what a pixel or an initial weight is), the others can be
 * tuned while it lives, each change an event. To add one: a member here, a line
 * in the table of settings.c; everything else follows.
 *
 * The step size falls while the model learns, slowly and not to nothing, so that it can follow what changes:
 *
 *     rate_t = rate / (1 + min(t / fall, 9))       t = steps so far, rehearsals included;  fall = 0: rate_t = rate
 *
 * in double precision (one division, one addition, one division, all exact IEEE), rounded once to float: the same bits
 * everywhere. It is half of `rate` after `fall` steps and a tenth from 9 `fall` on.
 */
#ifndef CONVD_CORE_SETTINGS_H
#define CONVD_CORE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/shape.h"

/* D_s', the derivative of the softmax: see DESIGN in README, "the network". */
enum gradient {
    GRADIENT_DIAGONAL, /* D_s' = diag(l^2_m (1 - l^2_m)): as derived, without cross terms */
    GRADIENT_JACOBIAN, /* D_s' = diag(l^2) - l^2 l^2^T:   exact                            */
};

/* How a picture of another shape is fitted to the input (server/image.h does it; the arithmetic never sees it). */
enum fit {
    FIT_CONTAIN, /* whole picture, aspect kept, the rest filled with the picture's border colour */
    FIT_COVER,   /* aspect kept, centre cut out                                                */
    FIT_STRETCH, /* both sides scaled on their own                                             */
};

/* Whether dark and light are exchanged in uploaded pictures (never in raw bodies or pixel lists). */
enum invert {
    INVERT_NEVER,
    INVERT_ALWAYS,
    INVERT_AUTO, /* when the picture's border is lighter than mid-grey: dark ink on light paper */
};

struct settings {
    float rate;    /* step size of gradient descent, one for all layers                      */
    float mean;    /* subtracted from pixel / 255; fixed                                     */
    uint64_t seed; /* of the initial weights; fixed; below 2^53, so that JSON holds it        */
    enum gradient gradient;
    enum fit fit;
    enum invert invert;
    uint32_t rehearsal; /* steps on past samples of the pool for each new one                    */
    float jitter;       /* pixels: how far a rehearsed sample is shifted, at most                 */
    float rotation;     /* degrees: how far it is turned, at most                                 */
    float fall;         /* steps after which the step size has halved; 0: it stays                */
    float clip;         /* largest norm of a step's gradient: core/descent.h; 0: no limit           */
};

enum setting {
    SETTING_RATE,
    SETTING_MEAN,
    SETTING_SEED,
    SETTING_GRADIENT,
    SETTING_FIT,
    SETTING_INVERT,
    SETTING_REHEARSAL,
    SETTING_JITTER,
    SETTING_ROTATION,
    SETTING_FALL,
    SETTING_CLIP,
    SETTING_N
};

/* Logs, snapshots and daemons of the first version name none from here on: there, missing means 0. */
#define SETTING_LATE SETTING_REHEARSAL

struct setting_info {
    const char *name;         /* "rate": the name in JSON, in the log and, after "--", on the command line */
    const char *help;         /* one line for --help and the README's table                               */
    bool tunable;             /* false: fixed when the model is made                                      */
    double low, high;         /* allowed range of a number, both ends included                            */
    const char *const *words; /* NULL for a number; else the allowed words, ended by NULL                  */
};

/* The table; SETTING_N rows, indexed by enum setting. */
extern const struct setting_info setting_table[SETTING_N];

/* settings_default - what the settings of the first version were, and nothing of what came later: where logs and snapshots do not
 * name a setting, this is what it is, so these values never change. */
struct settings settings_default(void);

/* settings_new - of a new model of that geometry (which has passed shape_check()); bench/defaults.md says how they were chosen:
 *
 *     rate = 0.08 min(1, (128 / n^1)^1/2) (576 / n^0)^1/4 / channels      at most 0.2, to two digits
 *     fall = 60000
 *     mean = 0.13, or 0.45 with three channels or more
 *
 * Many hidden units, or many positions that all see something bright, drive the net to where its gradients vanish, at rates that are good
 * for small ones. */
struct settings settings_new(const struct shape *shape);

/* settings_rate - rate_t, the size of the next step after `step` steps. */
float settings_rate(const struct settings *settings, uint64_t step);

/* settings_given - after a person has set those settings: a rate without a fall is meant as it is, so fall becomes 0. */
void settings_given(struct settings *settings, const bool given[SETTING_N]);

/* settings_find - the setting with that name, or SETTING_N. */
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
