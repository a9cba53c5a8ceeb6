/* settings.c - see settings.h */
#include "core/settings.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/jitter.h"

static const char *const normalize_words[] = {"none", "mean", "std", NULL};
static const char *const gradient_words[] = {"diagonal", "jacobian", NULL};
static const char *const fit_words[] = {"contain", "cover", "stretch", "content", "auto", NULL};
static const char *const invert_words[] = {"never", "always", "auto", NULL};

#define AT(member) offsetof(struct settings, member)

const struct setting_info setting_table[SETTING_N] = {
    [SETTING_RATE] = {"rate", "step size of gradient descent; set without decay_steps, it is constant", AT(rate),
                      SETTING_FLOAT, true, 0, 100, NULL},
    [SETTING_MEAN] = {"mean", "mean that is subtracted from each input value (colour: 0.45); fixed at creation",
                      AT(mean), SETTING_FLOAT, false, -1, 1, NULL},
    [SETTING_SEED] = {"seed", "seed of the initial weights; fixed at creation", AT(seed), SETTING_U64, false, 0,
                      9007199254740991.0, NULL},
    [SETTING_NORMALIZE] = {"normalize", "normalization of each image: none, mean or std; fixed at creation",
                           AT(normalize), SETTING_WORD, false, 0, 2, normalize_words},
    [SETTING_GRADIENT] = {"gradient", "derivative of the softmax: diagonal (as derived) or jacobian (exact)",
                          AT(gradient), SETTING_WORD, true, 0, 1, gradient_words},
    [SETTING_FIT] = {"fit", "how a picture of another size is fitted: auto, contain, cover, stretch or content",
                     AT(fit), SETTING_WORD, true, 0, 4, fit_words},
    [SETTING_INVERT] = {"invert", "invert pictures: never, always or auto", AT(invert), SETTING_WORD, true, 0, 2,
                        invert_words},
    [SETTING_REHEARSAL] = {"rehearsal", "experience replay: steps on past samples for each new one", AT(rehearsal),
                           SETTING_U32, true, 0, 64, NULL},
    [SETTING_JITTER] = {"jitter", "largest random shift of a rehearsed sample, in pixels", AT(jitter), SETTING_FLOAT,
                        true, 0, JITTER_SHIFT_MAX, NULL},
    [SETTING_ROTATION] = {"rotation", "largest random rotation of a rehearsed sample, in degrees", AT(rotation),
                          SETTING_FLOAT, true, 0, JITTER_DEGREES_MAX, NULL},
    [SETTING_DECAY_STEPS] = {"decay_steps", "steps after which the step size has halved; 0: constant", AT(decay_steps),
                             SETTING_FLOAT, true, 0, 1e9, NULL},
    [SETTING_CLIP] = {"clip", "largest norm of a step's gradient; 0: no limit", AT(clip), SETTING_FLOAT, true, 0,
                      1000000, NULL},
    [SETTING_IMPRINT] = {"imprint", "samples of a class added later that are imprinted; 0: none", AT(imprint),
                         SETTING_U32, true, 0, 1000, NULL},
    [SETTING_REHEARSAL_FIRST] = {"rehearsal_first", "rehearsal for the first samples of a class; decays to it",
                                 AT(rehearsal_first), SETTING_U32, true, 0, 64, NULL},
    [SETTING_OUTPUT_RATE] = {"output_rate", "factor on the rate of the last layer", AT(output_rate), SETTING_FLOAT,
                             true, 0, 100, NULL},
    [SETTING_REHEARSAL_IDLE] = {"rehearsal_idle", "steps on past samples for each new one, made when idle",
                                AT(rehearsal_idle), SETTING_U32, true, 0, 1000, NULL},
    [SETTING_REHEARSAL_BUFFER] = {"rehearsal_buffer", "images of each class kept to be rehearsed; fixed at creation",
                                  AT(rehearsal_buffer), SETTING_U32, false, 1, 10000, NULL},
};

#define DECAYS_MOST 9.0 /* a tenth is left */

struct settings settings_default(void)
{
    return (struct settings){
        .rate = 0.05F,
        .mean = 0.13F,
        .seed = 42,
        .output_rate = 1.0F,
        .rehearsal_buffer = 1000,
        .gradient = GRADIENT_DIAGONAL,
        .fit = FIT_CONTAIN,
        .invert = INVERT_NEVER,
    };
}

/* Square roots are exact, so a new model is the same on every machine. */
static float rate_for(const struct shape *shape)
{
    const double hidden = shape->n_1 > 128 ? sqrt(128.0 / shape->n_1) : 1.0;
    const double rate = 0.08 * hidden * sqrt(sqrt(576.0 / shape->n_0)) / shape->channels;
    char text[32];
    (void)snprintf(text, sizeof text, "%.2g", rate < 0.2 ? rate : 0.2);
    return (float)strtod(text, NULL);
}

struct settings settings_new(const struct shape *shape)
{
    const uint32_t side = shape->width > shape->height ? shape->width : shape->height;
    struct settings s = settings_default();
    s.rate = rate_for(shape);
    s.decay_steps = 120000.0F;
    s.normalize = NORMALIZE_STD;
    s.fit = FIT_AUTO;
    s.mean = 0.0F;
    s.rehearsal = 8;
    s.rehearsal_first = 64;
    s.rehearsal_idle = 200;
    s.rehearsal_buffer = 2000;
    s.jitter = 1.0F;
    s.rotation = side > 28 ? 0.0F : 10.0F; /* larger pictures are photographs as a rule: bench/defaults.md */
    s.output_rate = 0.1F;
    s.imprint = 5;
    return s;
}

float settings_rate(const struct settings *s, uint64_t step)
{
    if (!(s->decay_steps > 0.0F))
        return s->rate;
    const double decays = (double)step / (double)s->decay_steps;
    return (float)((double)s->rate / (1.0 + (decays < DECAYS_MOST ? decays : DECAYS_MOST)));
}

uint32_t settings_rehearsals(const struct settings *s, uint64_t seen)
{
    const uint64_t first = seen <= REHEARSAL_FIRST ? s->rehearsal_first
                                                   : (s->rehearsal_first * (uint64_t)REHEARSAL_FIRST + seen / 2) / seen;
    return s->rehearsal == 0 || first < s->rehearsal ? s->rehearsal : (uint32_t)first;
}

void settings_given(struct settings *s, const struct shape *shape, const bool given[SETTING_N])
{
    if (given[SETTING_RATE] && !given[SETTING_DECAY_STEPS])
        s->decay_steps = 0.0F;
    if (given[SETTING_NORMALIZE] && !given[SETTING_MEAN])
        s->mean = s->normalize != NORMALIZE_NONE ? 0.0F : shape->channels >= 3 ? 0.45F : 0.13F;
}

static bool is_name(const char *name, const char *text)
{
    while (*name != '\0' && (*name == *text || (*name == '_' && *text == '-')))
        name++, text++;
    return *name == '\0' && *text == '\0';
}

enum setting settings_find(const char *name)
{
    for (int i = 0; i < SETTING_N; i++)
        if (is_name(setting_table[i].name, name))
            return (enum setting)i;
    return SETTING_N;
}

/* The value as a number, of whatever type it is. Words are enums, which gcc and clang keep in 32 bits. */
_Static_assert(sizeof(enum normalize) == 4 && sizeof(enum gradient) == 4 && sizeof(enum fit) == 4 &&
                   sizeof(enum invert) == 4,
               "words are 32 bits");

double settings_get(const struct settings *s, enum setting which)
{
    const unsigned char *at = (const unsigned char *)s + setting_table[which].offset;
    float number;
    uint32_t u32;
    uint64_t u64;
    switch (setting_table[which].type) {
    case SETTING_FLOAT:
        memcpy(&number, at, sizeof number);
        return (double)number;
    case SETTING_U64:
        memcpy(&u64, at, sizeof u64);
        return (double)u64;
    case SETTING_U32:
    case SETTING_WORD:
        break;
    }
    memcpy(&u32, at, sizeof u32);
    return u32;
}

bool settings_named(const struct settings *s, enum setting which)
{
    const struct settings unnamed = settings_default();
    return which < SETTING_LATER || settings_get(s, which) != settings_get(&unnamed, which);
}

const char *settings_word(const struct settings *s, enum setting which)
{
    const struct setting_info *info = &setting_table[which];
    return info->words == NULL ? NULL : info->words[(int)settings_get(s, which)];
}

static bool is_whole(enum setting which)
{
    return setting_table[which].type != SETTING_FLOAT;
}

/* "one of diagonal, jacobian" or "a number from 0 to 100" */
static void describe(enum setting which, char *text, size_t size)
{
    const struct setting_info *info = &setting_table[which];
    if (info->words == NULL) {
        (void)snprintf(text, size, "a %snumber from %.17g to %.17g", is_whole(which) ? "whole " : "", info->low,
                       info->high);
        return;
    }
    size_t used = (size_t)snprintf(text, size, "one of");
    for (int i = 0; info->words[i] != NULL && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s %s", i == 0 ? "" : ",", info->words[i]);
}

static int refuse(enum setting which, const char *given, struct err *err)
{
    char expected[128];
    describe(which, expected, sizeof expected);
    err_set(err, ERR_VALUE, "%s is %.60s, but must be %s", setting_table[which].name, given, expected);
    return err_at(err, "/%s", setting_table[which].name);
}

int settings_set(struct settings *s, enum setting which, double value, struct err *err)
{
    const struct setting_info *info = &setting_table[which];
    bool in_range = value >= info->low && value <= info->high; /* false for NaN */
    if (!in_range || (is_whole(which) && value != (double)(uint64_t)value)) {
        char given[40];
        (void)snprintf(given, sizeof given, "%.9g", value);
        return refuse(which, given, err);
    }
    unsigned char *at = (unsigned char *)s + info->offset;
    switch (info->type) {
    case SETTING_FLOAT:
        memcpy(at, &(float){(float)value}, sizeof(float));
        break;
    case SETTING_U64:
        memcpy(at, &(uint64_t){(uint64_t)value}, sizeof(uint64_t));
        break;
    case SETTING_U32:
    case SETTING_WORD:
        memcpy(at, &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
        break;
    }
    return 0;
}

int settings_set_text(struct settings *s, enum setting which, const char *text, struct err *err)
{
    const struct setting_info *info = &setting_table[which];
    for (int i = 0; info->words != NULL && info->words[i] != NULL; i++)
        if (strcmp(info->words[i], text) == 0)
            return settings_set(s, which, (double)i, err);
    if (info->words != NULL)
        return refuse(which, text, err);
    char *end = NULL;
    double value = strtod(text, &end);
    for (const char *c = text; *c != '\0'; c++)
        if (strchr("0123456789+-.eE", *c) == NULL) /* strtod also takes white space, hexadecimal, inf and nan */
            end = NULL;
    if (end == NULL || end == text || *end != '\0')
        return refuse(which, text, err);
    return settings_set(s, which, value, err);
}
