/* experiment.c - how the defaults were chosen: a data set, settings, some seeds, and what the model then can.
 *
 *   experiment FOLDER [NAME=VALUE ...]
 *
 * FOLDER has {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain IDX, as bench/experiments/data writes them. The names are those of
 * the table below. One line of JSON: for each seed test-then-train accuracy of the first pass, test accuracy after `early` samples
 * of it and in the end, and accuracy on the lower half of the classes in the end (`old`), all in per cent; and processor time.
 * The first pass is in the file's order (`halves`: the lower half of the classes first, then only the upper), new samples as they are;
 * later passes are in drawn orders, displaced, at a rate that is `decay` times that of the pass before.
 * Links core alone: what is tried is convd's own learner, with what experiments/trial.h adds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/experiments/trial.h"

#define SEEDS_MAX 64

enum option {
    O_SEEDS,
    O_SEED,
    O_LIMIT,
    O_HOLD,
    O_EARLY,
    O_HALVES,
    O_WRONG,
    O_PASSES,
    O_DECAY,
    O_RATE,
    O_DECAY_STEPS,
    O_MEAN,
    O_GRADIENT,
    O_KERNELS,
    O_SIDE,
    O_STRIDE,
    O_HIDDEN,
    O_REHEARSAL,
    O_JITTER,
    O_ROTATION,
    O_SCALE_K,
    O_SCALE_W01,
    O_SCALE_W12,
    O_RATE_K,
    O_RATE_W01,
    O_RATE_W12,
    O_MOMENTUM,
    O_WEIGHT_DECAY,
    O_N
};

static struct {
    const char *name;
    double value; /* at first the default */
    const char *help;
} options[O_N] = {
    [O_SEEDS] = {"seeds", 3, "how many"},
    [O_SEED] = {"seed", 1, "the first of them"},
    [O_LIMIT] = {"limit", 1e9, "only the first so many images"},
    [O_HOLD] = {"hold", 0, "test on the last so many training images instead, and do not learn from them"},
    [O_EARLY] = {"early", 1000, "test after so many samples, too"},
    [O_HALVES] = {"halves", 0, "1: the lower half of the classes first, then only the upper"},
    [O_WRONG] = {"wrong", 0, "share of the training labels that are replaced by any other label"},
    [O_PASSES] = {"passes", 1, "over the images"},
    [O_DECAY] = {"decay", 1, "factor on the rate after each pass"},
    [O_RATE] = {"rate", 0, "at the start; 0: that of a new model of the geometry"},
    [O_DECAY_STEPS] = {"decay_steps", 60000, "steps after which the rate has halved; 0: never"},
    [O_MEAN] = {"mean", 0.13, "of pixel / 255"},
    [O_GRADIENT] = {"gradient", 0, "0 diagonal, 1 jacobian"},
    [O_KERNELS] = {"kernels", 16, ""},
    [O_SIDE] = {"side", 5, "of a kernel"},
    [O_STRIDE] = {"stride", 1, ""},
    [O_HIDDEN] = {"hidden", 128, ""},
    [O_REHEARSAL] = {"rehearsal", 0, "steps on past samples for each new one"},
    [O_JITTER] = {"jitter", 0, "pixels"},
    [O_ROTATION] = {"rotation", 0, "degrees"},
    [O_SCALE_K] = {"scale_k", 1, "factor on the initial kernels"},
    [O_SCALE_W01] = {"scale_w01", 1, "and on w01"},
    [O_SCALE_W12] = {"scale_w12", 1, "and on w12"},
    [O_RATE_K] = {"rate_k", 1, "factor on the rate of the kernels"},
    [O_RATE_W01] = {"rate_w01", 1, "and of w01"},
    [O_RATE_W12] = {"rate_w12", 1, "and of w12"},
    [O_MOMENTUM] = {"momentum", 0, ""},
    [O_WEIGHT_DECAY] = {"weight_decay", 0, ""},
};

static double number(enum option o)
{
    return options[o].value;
}

static uint32_t count(enum option o)
{
    return (uint32_t)options[o].value;
}

static void options_read(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        int o = 0;
        while (o < O_N && (equals == NULL || strlen(options[o].name) != (size_t)(equals - argv[i]) ||
                           strncmp(options[o].name, argv[i], (size_t)(equals - argv[i])) != 0))
            o++;
        char *end = NULL;
        if (o < O_N)
            options[o].value = strtod(equals + 1, &end);
        if (end == NULL || end == equals + 1 || *end != '\0')
            exit(fprintf(stderr, "experiment: what is %s?\n", argv[i]) > 0 ? 2 : 1);
    }
}

/* ---- the images ---- */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The values of one file, and its dimensions; ones where it has fewer than four. */
static uint8_t *idx_read(uint32_t side[4], const char *folder, const char *part, const char *kind)
{
    char path[512];
    uint8_t head[4 + 4 * 4];
    (void)snprintf(path, sizeof path, "%s/%s-%s-ubyte", folder, part, kind);
    FILE *file = fopen(path, "rb");
    const size_t n_sides = file != NULL && fread(head, 1, 4, file) == 4 ? head[3] : 0;
    uint8_t *values = NULL;
    size_t size = 1;
    if (n_sides >= 1 && n_sides <= 4 && fread(head + 4, 4, n_sides, file) == n_sides) {
        for (size_t i = 0; i < 4; i++) { /* an image without channels has one */
            size_t from = n_sides == 3 && i > 0 ? i - 1 : i;
            side[i] = (n_sides == 3 && i == 1) || from >= n_sides ? 1 : be32(head + 4 + 4 * from);
            size *= side[i];
        }
        values = malloc(size);
    }
    if (values == NULL || fread(values, 1, size, file) != size)
        exit(fprintf(stderr, "experiment: cannot read %s\n", path) > 0);
    (void)fclose(file);
    return values;
}

static struct images images_read(const char *folder, const char *part)
{
    uint32_t side[4], n_labels[4];
    const uint8_t *pixels = idx_read(side, folder, part, "images-idx3");
    const uint8_t *labels = idx_read(n_labels, folder, part, "labels-idx1");
    return (struct images){n_labels[0] < side[0] ? n_labels[0] : side[0], side[1], side[2], side[3], pixels, labels};
}

static void spoil(uint8_t *labels, uint32_t n, uint32_t n_classes, double share)
{
    if (n_classes < 2)
        return;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t at = learner_order(77, UINT64_C(1) << 40, i); /* any 40 bits */
        if ((double)at < share * (double)(UINT64_C(1) << 40))
            labels[i] = (uint8_t)((labels[i] + 1 + at % (n_classes - 1)) % n_classes);
    }
}

/* ---- a run ---- */

struct outcome_of_run {
    double online[SEEDS_MAX], early[SEEDS_MAX], test[SEEDS_MAX], old[SEEDS_MAX];
};

static void run(struct outcome_of_run *out, uint32_t nth, struct trial *t, double first_rate,
                const struct images *train, const struct images *test, uint32_t n_classes)
{
    const uint32_t n = train->n, half = n_classes / 2, n_rounds = count(O_HALVES) != 0 ? 2 : 1;
    uint32_t right = 0, done = 0;
    for (uint32_t round = 0; round < n_rounds; round++)
        for (uint32_t i = 0; i < n; i++) {
            if (n_rounds == 2 && (train->labels[i] >= half) != (round == 1))
                continue;
            right += trial_learn(t, i);
            if (++done == count(O_EARLY))
                out->early[nth] = trial_test(t, test, 0, UINT32_MAX);
        }
    double rate = first_rate;
    for (uint32_t pass = 1; pass < count(O_PASSES); pass++) {
        rate *= number(O_DECAY);
        for (uint32_t i = 0; i < n; i++)
            trial_again(t, (uint32_t)learner_order(1000 * (uint64_t)nth + pass, n, i), rate);
    }
    out->online[nth] = 100.0 * right / n;
    out->test[nth] = trial_test(t, test, 0, UINT32_MAX);
    out->old[nth] = trial_test(t, test, 0, half - 1);
}

static void print_list(const char *name, const double *values, uint32_t n)
{
    (void)printf("\"%s\": [", name);
    for (uint32_t i = 0; i < n; i++)
        (void)printf("%s%.4f", i > 0 ? ", " : "", values[i]);
    (void)printf("], ");
}

static struct rules rules_of_options(void)
{
    return (struct rules){
        .rate_k = number(O_RATE_K),
        .rate_w01 = number(O_RATE_W01),
        .rate_w12 = number(O_RATE_W12),
        .scale_k = number(O_SCALE_K),
        .scale_w01 = number(O_SCALE_W01),
        .scale_w12 = number(O_SCALE_W12),
        .momentum = number(O_MOMENTUM),
        .weight_decay = number(O_WEIGHT_DECAY),
    };
}

/* Plain ones, of a new model's rate where the options do not say otherwise. */
static struct settings settings_of_options(const struct shape *shape)
{
    struct settings s = settings_new(shape);
    s.rate = number(O_RATE) > 0 ? (float)number(O_RATE) : s.rate;
    s.decay_steps = (float)number(O_DECAY_STEPS);
    s.mean = (float)number(O_MEAN);
    s.gradient = count(O_GRADIENT) != 0 ? GRADIENT_JACOBIAN : GRADIENT_DIAGONAL;
    s.rehearsal = count(O_REHEARSAL);
    s.jitter = (float)number(O_JITTER);
    s.rotation = (float)number(O_ROTATION);
    s.normalize = NORMALIZE_NONE;
    s.rehearsal_first = s.imprint = 0;
    s.output_rate = 1.0F;
    return s;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)printf("usage: experiment FOLDER [NAME=VALUE ...]\n");
        for (int o = 0; o < O_N; o++)
            (void)printf("  %-13s %-8g %s\n", options[o].name, options[o].value, options[o].help);
        return 2;
    }
    options_read(argc, argv);
    struct images train = images_read(argv[1], "train"), test = images_read(argv[1], "t10k");
    static char names[SHAPE_CLASSES_MAX][LABEL_BYTES_MAX + 1];
    uint32_t n_classes = 0;
    for (uint32_t i = 0; i < train.n; i++)
        n_classes = train.labels[i] >= n_classes ? train.labels[i] + 1U : n_classes;
    for (uint32_t i = 0; i < n_classes; i++)
        (void)snprintf(names[i], sizeof names[i], "%u", i);

    struct event create = {.kind = EVENT_CREATE, .revision = 1};
    create.as.create.shape = (struct shape){
        .width = train.width,
        .height = train.height,
        .channels = train.channels,
        .kernels = count(O_KERNELS),
        .kernel_width = count(O_SIDE),
        .kernel_height = count(O_SIDE),
        .stride = count(O_STRIDE),
        .hidden = count(O_HIDDEN),
    };
    struct err err;
    if (shape_check(&create.as.create.shape, n_classes, &err) != 0)
        return fprintf(stderr, "experiment: %s\n", err.text) > 0;
    create.as.create.settings = settings_of_options(&create.as.create.shape);
    create.as.create.n_classes = n_classes;
    create.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) names;

    const uint32_t hold = count(O_HOLD) < train.n ? count(O_HOLD) : 0;
    if (hold > 0) {
        const size_t n_input = (size_t)train.channels * train.height * train.width;
        test = train;
        test.n = hold;
        test.pixels += (train.n - hold) * n_input;
        test.labels += train.n - hold;
        train.n -= hold;
    }
    train.n = number(O_LIMIT) < (double)train.n ? count(O_LIMIT) : train.n;
    uint8_t *labels = malloc(train.n);
    if (labels == NULL)
        return 1;
    memcpy(labels, train.labels, train.n);
    spoil(labels, train.n, n_classes, number(O_WRONG));
    train.labels = labels;

    static struct outcome_of_run out;
    const struct rules rules = rules_of_options();
    const uint32_t seeds = count(O_SEEDS) < SEEDS_MAX ? count(O_SEEDS) : SEEDS_MAX;
    for (uint32_t nth = 0; nth < seeds; nth++) {
        struct trial *t = trial_create(&create, &rules, &train, count(O_SEED) + nth, &err);
        if (t == NULL)
            return fprintf(stderr, "experiment: %s\n", err.text) > 0;
        run(&out, nth, t, (double)create.as.create.settings.rate, &train, &test, n_classes);
        trial_free(t);
    }
    struct timespec used; /* NOLINT(clang-analyzer-unix.Malloc): the data sets live as long as the process */
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    (void)printf("{");
    print_list("online", out.online, seeds);
    print_list("early", out.early, seeds);
    print_list("test", out.test, seeds);
    print_list("old", out.old, seeds);
    (void)printf("\"seconds\": %.2f}\n", (double)used.tv_sec + 1e-9 * (double)used.tv_nsec);
    return 0;
}
