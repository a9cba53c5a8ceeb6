/* bench_core.c - times core's forward and step, one sample at a time, on one core.
 *
 *     bench_core EXCHANGE
 *
 * The network is the default one (28x28x1, 16 kernels of 5x5, 128 hidden, 10 classes), the images are N_IMAGES made-up
 * strokes. First it writes to EXCHANGE what a peer needs to compute the same thing and to prove that it does; then it
 * prints "ready NAME.." with the instruction sets of this processor and answers one line for each line of input, so that bench/run can
 * interleave its rounds with the peer's:
 *
 *     forward NAME N     nanoseconds for each of N forward passes
 *     normalized NAME N  the same with images brought to mean 0 and one deviation (normalize: std)
 *     batch NAME N       nanoseconds for each image of N forward passes over all images, net_forward_batch()
 *     known NAME N       nanoseconds for each of N times how near an image is to what its class was taught, 64 images of it: what
 *                        `?known=1` adds to a forward pass
 *     step NAME N        nanoseconds for each of N steps of training: forward, backward, update
 *     fma NAME           peak rate, multiply-adds in a nanosecond, or "none" (bench/floor.h)
 *     read NAME          bytes in a nanosecond of w01, read again and again; likewise "update": read and written back
 *     count WHAT         multiply-adds of one forward or step; "count w01": bytes of w01
 *
 * EXCHANGE, little-endian, all float32 where nothing else is said, in this order:
 *     uint32 n, classes; mean, rate; pixels uint8 [n][28][28]; labels uint32 [n];
 *     k [16][25], w01 [576][128], w12 [128][10]   before
 *     l2 [n][10]                                  of the weights before
 *     k, w01, w12                                 after one step on each image in turn, gradient jacobian
 *
 * The jacobian and not the default, here and in the timings: it is the gradient that automatic differentiation gives. It costs ten more
 * multiply-adds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/floor.h"
#include "core/core.h"

#define N_IMAGES  64u
#define N_CLASSES 10u
#define N_WARM    8u /* forward passes before the clock starts: weights and code are in the caches */

struct bench {
    struct settings settings;
    struct shape shape;
    float *block; /* of net: 64-byte aligned */
    size_t n_floats;
    struct net net;
    struct workspace *ws;
    uint8_t *pixels; /* [N_IMAGES][n_input] */
    uint32_t labels[N_IMAGES];
};

/* ---- the images: three strokes each, as wide as a pen's, a fifth of the pixels; a function of nothing but i ---- */

static uint32_t draw(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % n);
}

static void paint(uint8_t *pixels, uint32_t side, uint32_t i)
{
    uint64_t state = i;
    for (int stroke = 0; stroke < 3; stroke++) {
        uint32_t x = 6 + draw(&state, side - 12), y = 6 + draw(&state, side - 12);
        const uint32_t dx = draw(&state, 3), dy = draw(&state, 3); /* of each step, plus one pixel */
        for (int step = 0; step < 12; step++) {
            for (uint32_t oy = 0; oy < 2; oy++)
                for (uint32_t ox = 0; ox < 2; ox++)
                    pixels[(y + oy) * side + x + ox] = (uint8_t)(128 + draw(&state, 128));
            x += draw(&state, 2) == 0 ? dx - 1 : 0;
            y += draw(&state, 2) == 0 ? dy - 1 : 0;
            x = x < 1 ? 1 : x > side - 3 ? side - 3 : x;
            y = y < 1 ? 1 : y > side - 3 ? side - 3 : y;
        }
    }
}

/* ---- from start to stop ---- */

static int bench_init(struct bench *b, struct err *err)
{
    memset(b, 0, sizeof *b);
    b->settings = settings_default();
    b->settings.gradient = GRADIENT_JACOBIAN;
    b->shape = shape_default();
    if (shape_check(&b->shape, N_CLASSES, err) != 0)
        return -1;
    b->n_floats = net_floats(&b->shape, N_CLASSES);
    b->block = aligned_alloc(64, b->n_floats * sizeof *b->block);
    b->ws = workspace_create(&b->shape, N_CLASSES);
    b->pixels = calloc(N_IMAGES, b->shape.n_input);
    if (b->block == NULL || b->ws == NULL || b->pixels == NULL)
        return err_memory(err, "the network");
    b->net = net_view(&b->shape, N_CLASSES, b->block);
    for (uint32_t i = 0; i < N_IMAGES; i++) {
        paint(b->pixels + (size_t)i * b->shape.n_input, b->shape.width, i);
        b->labels[i] = i % N_CLASSES;
    }
    return 0;
}

static void bench_fini(struct bench *b)
{
    free(b->block);
    workspace_free(b->ws);
    free(b->pixels);
}

static const uint8_t *image(const struct bench *b, unsigned long i)
{
    return b->pixels + i % N_IMAGES * b->shape.n_input;
}

static void forward(struct bench *b, const struct arith *arith, unsigned long i)
{
    net_forward(arith, &b->net, &b->settings, image(b, i), b->ws);
}

/* All images. */
static void batch(struct bench *b, const struct arith *arith)
{
    for (unsigned long i = 0; i < N_IMAGES; i += NET_BATCH)
        net_forward_batch(arith, &b->net, &b->settings, image(b, i), NET_BATCH, b->ws);
}

static void step(struct bench *b, const struct arith *arith, unsigned long i)
{
    forward(b, arith, i);
    net_step(arith, &b->net, &b->settings, b->labels[i % N_IMAGES], b->ws);
}

/* ---- what the peer needs ---- */

static bool put(FILE *file, const void *bytes, size_t size, size_t n)
{
    return fwrite(bytes, size, n, file) == n;
}

static bool put_net(FILE *file, const struct net *net, float *scratch)
{
    const struct shape *s = &net->shape;
    const size_t n_k = (size_t)s->kernels * s->n_k, n_w01 = (size_t)s->n_0 * s->n_1, n_w12 = (size_t)s->n_1 * net->n_2;
    net_export(net, scratch, scratch + n_k, scratch + n_k + n_w01);
    return put(file, scratch, sizeof *scratch, n_k + n_w01 + n_w12);
}

static int exchange(struct bench *b, const char *path, struct err *err)
{
    const struct arith *arith = arith_choose(NULL);
    float *scratch = malloc(b->n_floats * sizeof *scratch); /* without padding it is less */
    FILE *file = fopen(path, "wb");
    bool ok = scratch != NULL && file != NULL;
    const uint32_t counts[2] = {N_IMAGES, N_CLASSES};
    const float numbers[2] = {b->settings.mean, b->settings.rate};
    net_init(&b->net, b->settings.seed);
    ok = ok && put(file, counts, sizeof *counts, 2) && put(file, numbers, sizeof *numbers, 2) &&
         put(file, b->pixels, b->shape.n_input, N_IMAGES) && put(file, b->labels, sizeof *b->labels, N_IMAGES) &&
         put_net(file, &b->net, scratch);
    for (uint32_t i = 0; ok && i < N_IMAGES; i++) {
        forward(b, arith, i);
        ok = put(file, b->ws->l2, sizeof *b->ws->l2, N_CLASSES);
    }
    for (uint32_t i = 0; ok && i < N_IMAGES; i++)
        step(b, arith, i);
    ok = ok && put_net(file, &b->net, scratch);
    if (file != NULL && fclose(file) != 0)
        ok = false;
    free(scratch);
    return ok ? 0 : err_set(err, ERR_FILE, "cannot write %s", path);
}

/* ---- commands ---- */

static size_t w01_bytes(const struct bench *b)
{
    return (size_t)b->shape.n_0 * b->net.ld_1 * sizeof(float);
}

_Static_assert(N_IMAGES % NET_BATCH == 0, "batches of one size");

static double time_batch(struct bench *b, const struct arith *arith, unsigned long n)
{
    net_init(&b->net, b->settings.seed);
    batch(b, arith);
    double start = cpu_ns();
    for (unsigned long i = 0; i < n; i++)
        batch(b, arith);
    return (cpu_ns() - start) / (double)(n * N_IMAGES);
}

static double time_network(struct bench *b, bool train, const struct arith *arith, unsigned long n)
{
    net_init(&b->net, b->settings.seed); /* the same work in every round, whatever was learned in the last */
    for (unsigned long i = 0; i < N_WARM; i++)
        forward(b, arith, i);
    double start = cpu_ns();
    if (train)
        for (unsigned long i = 0; i < n; i++)
            step(b, arith, i);
    else
        for (unsigned long i = 0; i < n; i++)
            forward(b, arith, i);
    return (cpu_ns() - start) / (double)n;
}

static struct learner *taught(const struct arith *arith, const struct bench *b, struct err *err)
{
    static const char labels[N_CLASSES][LABEL_BYTES_MAX + 1] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    struct event create = {.kind = EVENT_CREATE, .revision = 1};
    create.as.create.shape = b->shape;
    create.as.create.settings = settings_default();
    create.as.create.n_classes = N_CLASSES;
    create.as.create.labels = labels;
    struct learner *l = learner_create(&create, arith, 0, err);
    for (uint32_t i = 0; l != NULL && i < NOVELTY_IMAGES * N_CLASSES; i++) {
        struct sample sample = {.label = i % N_CLASSES, .pixels = image(b, i / N_CLASSES)};
        struct event train = {.kind = EVENT_TRAIN, .revision = i + 2, .as.train = {1, &sample}};
        (void)learner_apply(l, &train, err);
    }
    return l;
}

/* Of each class in turn, so that what was taught comes from as far away as it does for a daemon. */
static double time_known(const struct bench *b, const struct arith *arith, unsigned long n)
{
    struct err err;
    struct learner *l = taught(arith, b, &err);
    struct novelty *novelty = l == NULL ? NULL : novelty_create(l);
    double spent = -1;
    if (novelty != NULL) {
        novelty_measure(novelty, l, l->ws);
        net_forward(arith, &l->net, &l->settings, image(b, 0), l->ws);
        const double start = cpu_ns();
        for (unsigned long i = 0; i < n; i++)
            (void)novelty_known(novelty, l, (uint32_t)(i % N_CLASSES), l->ws);
        spent = (cpu_ns() - start) / (double)n;
    }
    novelty_free(novelty);
    learner_free(l);
    return spent;
}

/* Multiply-adds that the equations of core/net.h need, none of them padding. */
static double count_fmas(const struct bench *b, bool train)
{
    const struct shape *s = &b->shape;
    const double conv = (double)s->n_0 * s->n_k * s->kernels, w01 = (double)s->n_0 * s->n_1;
    const double w12 = (double)s->n_1 * N_CLASSES;
    const double forward_fmas = conv + w01 + w12;
    const double backward_fmas = 2 * w12 + 2 * w01 + (double)s->n_0 * s->n_k; /* g_l1, w12; g_l0, w01; k by winners */
    return train ? forward_fmas + backward_fmas : forward_fmas;
}

static void answer_count(const struct bench *b, const char *what)
{
    if (strcmp(what, "w01") == 0)
        (void)printf("%zu\n", w01_bytes(b));
    else
        (void)printf("%.0f\n", count_fmas(b, strcmp(what, "step") == 0));
}

static void answer_floor(struct bench *b, const char *verb, const char *name)
{
    if (!floor_has(name)) {
        (void)puts("none");
        return;
    }
    net_init(&b->net, b->settings.seed);
    double rate = 0;
    if (strcmp(verb, "fma") == 0)
        rate = floor_fma(name);
    else if (strcmp(verb, "read") == 0)
        rate = floor_read(name, b->net.w01, w01_bytes(b) / 512 * 512);
    else
        rate = floor_update(name, b->net.w01, w01_bytes(b) / 512 * 512);
    (void)printf("%.6g\n", rate);
}

/* A line of up to three words; false when it is none of ours. */
static bool answer(struct bench *b, char *line)
{
    char *rest = line;
    const char *words[3] = {"", "", ""};
    for (int i = 0; i < 3 && rest != NULL; i++)
        words[i] = strsep(&rest, " \n");
    const char *verb = words[0];
    if (strcmp(verb, "count") == 0) {
        answer_count(b, words[1]);
        return true;
    }
    const struct arith *arith = words[1][0] != '\0' ? arith_choose(words[1]) : NULL;
    if (arith == NULL)
        return false;
    if (strcmp(verb, "known") == 0) {
        const unsigned long n = strtoul(words[2], NULL, 10);
        if (n > 0)
            (void)printf("%.3f\n", time_known(b, arith, n));
        return n > 0;
    }
    if (strcmp(verb, "forward") == 0 || strcmp(verb, "normalized") == 0 || strcmp(verb, "step") == 0 ||
        strcmp(verb, "batch") == 0) {
        unsigned long n = strtoul(words[2], NULL, 10);
        if (n == 0)
            return false;
        b->settings.normalize = verb[0] == 'n' ? NORMALIZE_STD : NORMALIZE_NONE;
        (void)printf("%.3f\n", verb[0] == 'b' ? time_batch(b, arith, n) : time_network(b, verb[0] == 's', arith, n));
        return true;
    }
    if (strcmp(verb, "fma") != 0 && strcmp(verb, "read") != 0 && strcmp(verb, "update") != 0)
        return false;
    answer_floor(b, verb, words[1]);
    return true;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct bench bench;
    char line[128];
    int status = EXIT_FAILURE;
    if (argc != 2) {
        (void)fputs("usage: bench_core EXCHANGE\n", stderr);
        return 2;
    }
    if (bench_init(&bench, &err) != 0 || exchange(&bench, argv[1], &err) != 0)
        goto out;
    (void)fputs("ready", stdout);
    for (unsigned i = 0; arith_nth(i) != NULL; i++)
        (void)printf(" %s", arith_name(arith_nth(i)));
    (void)puts("");
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (!answer(&bench, line)) {
            err_set(&err, ERR_USAGE, "cannot answer \"%s\"", line);
            goto out;
        }
        (void)fflush(stdout);
    }
    status = EXIT_SUCCESS;
out:
    if (status != EXIT_SUCCESS)
        (void)fprintf(stderr, "bench_core: %s\n", err.text);
    bench_fini(&bench);
    return status;
}
