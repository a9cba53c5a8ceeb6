/* experiment.c - how the defaults were chosen: one online pass, and several with a falling rate, for given settings.
 *
 *   experiment IMAGES.idx LABELS.idx TEST-IMAGES.idx TEST-LABELS.idx passes decay seeds name=value...
 *
 * name: rate, mean, gradient, kernels, side, stride, hidden, limit (samples), and k, w01, w12 (factors on the initial weights' scale). One
 * line a seed: test-then-train accuracy of the first pass, test accuracy after each pass. Inputs are plain IDX. Links core alone.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/core.h"

struct idx {
    uint32_t n, height, width;
    uint8_t *bytes;
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static struct idx idx_read(const char *path)
{
    struct idx idx = {0, 1, 1, NULL};
    uint8_t head[16];
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(head, 1, 8, file) != 8)
        exit(fprintf(stderr, "cannot read %s\n", path) > 0);
    idx.n = be32(head + 4);
    if (head[3] == 3) {
        if (fread(head + 8, 1, 8, file) != 8)
            exit(1);
        idx.height = be32(head + 8);
        idx.width = be32(head + 12);
    }
    size_t size = (size_t)idx.n * idx.height * idx.width;
    idx.bytes = malloc(size);
    if (idx.bytes == NULL || fread(idx.bytes, 1, size, file) != size)
        exit(fprintf(stderr, "%s is cut short\n", path) > 0);
    (void)fclose(file);
    return idx;
}

static double option(int argc, char **argv, const char *name, double otherwise)
{
    size_t n = strlen(name);
    for (int i = 8; i < argc; i++)
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            return strtod(argv[i] + n + 1, NULL);
    return otherwise;
}

static void scale(float *v, size_t n, double factor)
{
    for (size_t i = 0; i < n; i++)
        v[i] *= (float)factor;
}

static double test(const struct learner *l, struct idx images, struct idx labels)
{
    size_t right = 0;
    for (uint32_t i = 0; i < images.n; i++) {
        net_forward(l->arith, &l->net, l->settings.mean, images.bytes + (size_t)i * l->shape.n_input, l->ws);
        right += net_argmax(&l->net, l->ws->l2) == labels.bytes[i];
    }
    return 100.0 * (double)right / images.n;
}

int main(int argc, char **argv)
{
    if (argc < 8)
        return 2;
    struct idx images = idx_read(argv[1]), labels = idx_read(argv[2]), t_images = idx_read(argv[3]),
               t_labels = idx_read(argv[4]);
    const int passes = (int)strtol(argv[5], NULL, 10), seeds = (int)strtol(argv[7], NULL, 10);
    const double decay = strtod(argv[6], NULL);
    struct event create = {.kind = EVENT_CREATE, .revision = 1};
    struct shape *s = &create.as.create.shape;
    struct settings *settings = &create.as.create.settings;
    static char names[SHAPE_CLASSES_MAX][LABEL_BYTES_MAX + 1];
    uint32_t n_classes = 0;
    for (uint32_t i = 0; i < labels.n; i++)
        n_classes = labels.bytes[i] >= n_classes ? labels.bytes[i] + 1u : n_classes;
    for (uint32_t i = 0; i < n_classes; i++)
        (void)snprintf(names[i], sizeof names[i], "%u", i);
    *s = shape_default();
    s->width = images.width;
    s->height = images.height;
    s->kernels = (uint32_t)option(argc, argv, "kernels", s->kernels);
    s->kernel_width = s->kernel_height = (uint32_t)option(argc, argv, "side", s->kernel_width);
    s->stride = (uint32_t)option(argc, argv, "stride", s->stride);
    s->hidden = (uint32_t)option(argc, argv, "hidden", s->hidden);
    *settings = settings_default();
    settings->rate = (float)option(argc, argv, "rate", (double)settings->rate);
    settings->mean = (float)option(argc, argv, "mean", (double)settings->mean);
    settings->gradient = (enum gradient)option(argc, argv, "gradient", settings->gradient);
    create.as.create.n_classes = n_classes;
    create.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) names;
    uint32_t limit = (uint32_t)option(argc, argv, "limit", images.n);

    for (int seed = 1; seed <= seeds; seed++) {
        struct err err;
        settings->seed = (uint64_t)seed;
        struct learner *l = learner_create(&create, NULL, 0, &err);
        if (l == NULL)
            return fprintf(stderr, "%s\n", err.text), 1;
        scale(l->net.k, (size_t)l->shape.n_k * l->net.ld_k, option(argc, argv, "k", 1.0));
        scale(l->net.w01, (size_t)l->shape.n_0 * l->net.ld_1, option(argc, argv, "w01", 1.0));
        scale(l->net.w12, (size_t)l->shape.n_1 * l->net.ld_2, option(argc, argv, "w12", 1.0));
        for (int pass = 0; pass < passes; pass++) {
            for (uint32_t i = 0; i < limit; i++) {
                uint64_t at = pass == 0 ? i : learner_order((uint64_t)pass, limit, i);
                struct sample sample = {.label = labels.bytes[at], .pixels = images.bytes + at * l->shape.n_input};
                if (pass == 0) {
                    struct event train = {.kind = EVENT_TRAIN, .revision = l->revision + 1};
                    train.as.train.n = 1;
                    train.as.train.samples = &sample;
                    if (learner_apply(l, &train, &err) != 0)
                        return 1;
                } else {
                    const struct rehearse_step how = {.rate = l->settings.rate};
                    if (learner_rehearse(l, sample.label, sample.pixels, &how, &err) != 0)
                        return 1;
                }
            }
            if (pass == 0)
                printf("seed %d: test-then-train %.2f  test", seed,
                       100.0 * (double)l->tally.correct / (double)l->tally.samples);
            printf(" %.2f", test(l, t_images, t_labels));
            (void)fflush(stdout);
            l->settings.rate = (float)((double)l->settings.rate * decay);
        }
        printf("\n");
        learner_free(l);
    }
    return 0;
}
