/* growth.c - how the cost grows with the geometry: nanoseconds of one multiply-add, forward and step, over a table of networks.
 *
 *     growth [--arith NAME] [--rounds N] [--json FILE]
 *
 * From the default network (28x28x1, 16 kernels of 5x5, 128 hidden, 10 classes) one factor is varied at a time; then
 * come corners, where several are at their ends. A row says for a forward pass and for a step (forward, backward, update):
 *
 *     us            time of one sample, on one core
 *     ns/fma        that time over the multiply-adds of the equations (none of them padding)
 *     x best        over the best ns/fma of the column
 *     x floor       over multiply-adds at peak rate plus one read (forward), or one read and write (step), of w01 and w12
 *                   at the rate measured on w01: what a row of large weights can at best do (floor.h)
 *
 * The second-level cache holds a w01 of 1 MB or so; beyond it a single sample's forward pass is bound by the memory, and "x floor" tells
 * that from bad code. Prints Markdown; --json writes the same as an array of objects. Time is processor time of one thread.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/floor.h"
#include "core/core.h"

#define N_IMAGES   8u
#define SLICE_NS   4e6 /* of one measurement */
#define ROUNDS_MAX 1000

struct geometry {
    const char *factor; /* what is varied here: the table's first column */
    uint32_t side, channels, kernels, kernel_side, hidden, stride, classes;
};

static const struct geometry table[] = {
    {"default", 28, 1, 16, 5, 128, 1, 10},
    {"image side", 16, 1, 16, 5, 128, 1, 10},
    {"image side", 20, 1, 16, 5, 128, 1, 10},
    {"image side", 24, 1, 16, 5, 128, 1, 10},
    {"image side", 32, 1, 16, 5, 128, 1, 10},
    {"image side", 48, 1, 16, 5, 128, 1, 10},
    {"image side", 64, 1, 16, 5, 128, 1, 10},
    {"image side", 96, 1, 16, 5, 128, 1, 10},
    {"image side", 128, 1, 16, 5, 128, 1, 10},
    {"kernels", 28, 1, 8, 5, 128, 1, 10},
    {"kernels", 28, 1, 12, 5, 128, 1, 10},
    {"kernels", 28, 1, 20, 5, 128, 1, 10},
    {"kernels", 28, 1, 32, 5, 128, 1, 10},
    {"kernels", 28, 1, 64, 5, 128, 1, 10},
    {"kernels", 28, 1, 128, 5, 128, 1, 10},
    {"kernel side", 28, 1, 16, 3, 128, 1, 10},
    {"kernel side", 28, 1, 16, 4, 128, 1, 10},
    {"kernel side", 28, 1, 16, 7, 128, 1, 10},
    {"kernel side", 28, 1, 16, 9, 128, 1, 10},
    {"kernel side", 28, 1, 16, 11, 128, 1, 10},
    {"hidden", 28, 1, 16, 5, 32, 1, 10},
    {"hidden", 28, 1, 16, 5, 64, 1, 10},
    {"hidden", 28, 1, 16, 5, 100, 1, 10},
    {"hidden", 28, 1, 16, 5, 256, 1, 10},
    {"hidden", 28, 1, 16, 5, 512, 1, 10},
    {"hidden", 28, 1, 16, 5, 1024, 1, 10},
    {"channels", 28, 3, 16, 5, 128, 1, 10},
    {"colour, side", 32, 3, 16, 5, 128, 1, 10},
    {"colour, side", 64, 3, 16, 5, 128, 1, 10},
    {"colour, side", 128, 3, 16, 5, 128, 1, 10},
    {"colour, kernels", 64, 3, 32, 5, 128, 1, 10},
    {"colour, kernels", 64, 3, 64, 5, 128, 1, 10},
    {"colour, kernels", 64, 3, 128, 5, 128, 1, 10},
    {"colour, stride", 64, 3, 16, 5, 128, 2, 10},
    {"colour, stride", 64, 3, 32, 5, 128, 2, 10},
    {"colour, stride", 64, 3, 64, 5, 128, 2, 10},
    {"colour, stride", 64, 3, 128, 5, 128, 2, 10},
    {"classes", 28, 1, 16, 5, 128, 1, 100},
    {"classes", 28, 1, 16, 5, 128, 1, 1000},
    {"classes", 64, 3, 64, 5, 128, 2, 1000},
    {"corner, all small", 16, 1, 8, 3, 32, 1, 10},
    {"corner", 16, 1, 128, 11, 32, 1, 10},
    {"corner", 16, 3, 128, 11, 1024, 1, 10},
    {"corner", 16, 1, 8, 3, 1024, 1, 10},
    {"corner", 128, 1, 8, 3, 32, 1, 10},
    {"corner", 128, 1, 8, 3, 1024, 1, 10},
    {"corner", 128, 1, 128, 3, 32, 1, 10},
    {"corner, all large", 128, 3, 128, 11, 1024, 1, 10},
};
#define N_ROWS (sizeof table / sizeof *table)

struct cost {
    double us, ns_per_fma, floor_us; /* floor_us: 0 where none is known */
};

struct row {
    double w01_bytes;
    struct cost forward, step;
};

/* ---- one network ---- */

struct subject {
    struct shape shape;
    struct settings settings;
    const struct arith *arith;
    struct net net;
    float *block;
    struct workspace *ws;
    uint8_t *pixels; /* [N_IMAGES][n_input] */
};

/* Blots of 8x8 pixels and noise: kernels win runs of positions, as on pictures, and not at random. */
static void paint(uint8_t *pixels, const struct shape *s, uint64_t state)
{
    for (uint32_t i = 0; i < s->n_input; i++) {
        const uint32_t x = i % s->width / 8, y = i / s->width / 8;
        state = state * 6364136223846793005u + 1442695040888963407u;
        const bool blot = ((x * 7 + y * 13) ^ (x * y)) % 3 == 0;
        pixels[i] = (uint8_t)((blot ? 160 : 0) + (state >> 60));
    }
}

static int subject_init(struct subject *b, const struct geometry *g, const struct arith *arith, struct err *err)
{
    *b = (struct subject){.arith = arith, .settings = settings_default()};
    b->shape = (struct shape){.width = g->side,
                              .height = g->side,
                              .channels = g->channels,
                              .kernels = g->kernels,
                              .kernel_width = g->kernel_side,
                              .kernel_height = g->kernel_side,
                              .stride = g->stride,
                              .hidden = g->hidden};
    if (shape_check(&b->shape, g->classes, err) != 0)
        return -1;
    b->block = aligned_alloc(64, (net_floats(&b->shape, g->classes) * sizeof *b->block + 63) / 64 * 64);
    b->ws = workspace_create(&b->shape, g->classes);
    b->pixels = malloc((size_t)N_IMAGES * b->shape.n_input);
    if (b->block == NULL || b->ws == NULL || b->pixels == NULL)
        return err_memory(err, "the network");
    b->net = net_view(&b->shape, g->classes, b->block);
    net_init(&b->net, b->settings.seed);
    for (uint32_t i = 0; i < N_IMAGES; i++)
        paint(b->pixels + (size_t)i * b->shape.n_input, &b->shape, i);
    return 0;
}

static void subject_fini(struct subject *b)
{
    free(b->block);
    workspace_free(b->ws);
    free(b->pixels);
}

static double w01_bytes(const struct subject *b)
{
    return (double)b->shape.n_0 * (double)b->net.ld_1 * sizeof(float);
}

/* As in bench_core.c: the equations' own, without padding. */
static double count_fmas(const struct net *net, bool train)
{
    const struct shape *s = &net->shape;
    const double conv = (double)s->n_0 * s->n_k * s->kernels, w01 = (double)s->n_0 * s->n_1;
    const double w12 = (double)s->n_1 * net->n_2;
    return conv + w01 + w12 + (train ? 2 * w12 + 2 * w01 + (double)s->n_0 * s->n_k : 0);
}

static double pass_ns(struct subject *b, bool train, unsigned long n)
{
    double start = cpu_ns();
    for (unsigned long i = 0; i < n; i++) {
        net_forward(b->arith, &b->net, &b->settings, b->pixels + i % N_IMAGES * b->shape.n_input, b->ws);
        if (train)
            net_step(b->arith, &b->net, &b->settings, (uint32_t)(i % b->net.n_2), b->ws);
    }
    return (cpu_ns() - start) / (double)n;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The best tenth of the rounds is passed over, the next one taken: as part_core.py. */
static double undisturbed(double *taken, int n)
{
    qsort(taken, (size_t)n, sizeof *taken, ascending);
    return taken[n / 10];
}

static struct cost measure(struct subject *b, bool train, int rounds)
{
    double taken[ROUNDS_MAX], floors[ROUNDS_MAX];
    const char *name = arith_name(b->arith);
    const size_t bytes = (size_t)w01_bytes(b) / 512 * 512;
    const double w12_bytes = (double)b->shape.n_1 * (double)b->net.ld_2 * sizeof(float);
    const double fmas = count_fmas(&b->net, train);
    const double guess = pass_ns(b, train, 2);
    const unsigned long n = guess < SLICE_NS ? (unsigned long)(SLICE_NS / guess) + 1 : 1;
    for (int i = 0; i < rounds; i++)
        taken[i] = pass_ns(b, train, n);
    struct cost cost = {.us = undisturbed(taken, rounds) / 1e3};
    cost.ns_per_fma = cost.us * 1e3 / fmas;
    if (floor_has(name)) {
        const int few = rounds < 5 ? rounds : 5;
        for (int i = 0; i < few; i++) {
            const double rate = train ? floor_update(name, b->net.w01, bytes) : floor_read(name, b->net.w01, bytes);
            floors[i] = fmas / floor_fma(name) + ((double)bytes + w12_bytes) / rate;
        }
        cost.floor_us = undisturbed(floors, few) / 1e3;
    }
    return cost;
}

/* ---- the tables ---- */

static double best(const struct row *rows, bool train)
{
    double ns = rows[0].forward.ns_per_fma;
    for (size_t i = 0; i < N_ROWS; i++) {
        const double own = train ? rows[i].step.ns_per_fma : rows[i].forward.ns_per_fma;
        ns = i == 0 || own < ns ? own : ns;
    }
    return ns;
}

static void print_cost(const struct cost *c, double best_ns)
{
    (void)printf(" %.*f | %.4f | %.2f |", c->us < 100 ? 1 : 0, c->us, c->ns_per_fma, c->ns_per_fma / best_ns);
    if (c->floor_us > 0)
        (void)printf(" %.2f |", c->us / c->floor_us);
    else
        (void)fputs(" - |", stdout);
}

static void print_table(const struct row *rows, const char *name)
{
    const double forward = best(rows, false), step = best(rows, true);
    (void)printf("Arithmetic: %s.\n\n", name);
    (void)puts("| varied | image | kernels | hidden | classes | w01, KB | forward, us | ns/fma | x best | x floor | "
               "step, us | "
               "ns/fma | x best | x floor |");
    (void)puts("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct geometry *g = &table[i];
        (void)printf("| %s | %ux%ux%u | %u of %ux%u%s | %u | %u | %.0f |", g->factor, g->side, g->side, g->channels,
                     g->kernels, g->kernel_side, g->kernel_side, g->stride == 2 ? ", stride 2" : "", g->hidden,
                     g->classes, rows[i].w01_bytes / 1e3);
        print_cost(&rows[i].forward, forward);
        print_cost(&rows[i].step, step);
        (void)puts("");
    }
}

static int write_json(const char *path, const struct row *rows, const char *name, struct err *err)
{
    FILE *file = fopen(path, "w");
    bool ok = file != NULL;
    const double forward = best(rows, false), step = best(rows, true);
    for (size_t i = 0; ok && i < N_ROWS; i++) {
        const struct geometry *g = &table[i];
        const struct row *r = &rows[i];
        ok =
            fprintf(file,
                    "%s{\"arith\": \"%s\", \"varied\": \"%s\", \"side\": %u, \"channels\": %u, \"kernels\": %u, "
                    "\"kernel_side\": %u, \"stride\": %u, \"hidden\": %u, \"classes\": %u, \"w01_bytes\": %.0f, "
                    "\"forward_us\": %.3f, \"forward_ns_per_fma\": %.6f, \"forward_x_best\": %.3f, "
                    "\"forward_floor_us\": %.3f, "
                    "\"step_us\": %.3f, \"step_ns_per_fma\": %.6f, \"step_x_best\": %.3f, \"step_floor_us\": %.3f}%s\n",
                    i == 0 ? "[" : " ", name, g->factor, g->side, g->channels, g->kernels, g->kernel_side, g->stride,
                    g->hidden, g->classes, r->w01_bytes, r->forward.us, r->forward.ns_per_fma,
                    r->forward.ns_per_fma / forward, r->forward.floor_us, r->step.us, r->step.ns_per_fma,
                    r->step.ns_per_fma / step, r->step.floor_us, i + 1 < N_ROWS ? "," : "]") > 0;
    }
    if (file != NULL && fclose(file) != 0)
        ok = false;
    return ok ? 0 : err_set(err, ERR_FILE, "cannot write %s", path);
}

static int run(const struct arith *arith, int rounds, const char *json, struct err *err)
{
    struct row rows[N_ROWS] = {0};
    for (size_t i = 0; i < N_ROWS; i++) {
        struct subject b;
        int status = subject_init(&b, &table[i], arith, err);
        if (status == 0) {
            rows[i].w01_bytes = w01_bytes(&b);
            rows[i].forward = measure(&b, false, rounds);
            rows[i].step = measure(&b, true, rounds);
        }
        subject_fini(&b);
        if (status != 0)
            return -1;
    }
    print_table(rows, arith_name(arith));
    return json == NULL ? 0 : write_json(json, rows, arith_name(arith), err);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"arith", required_argument, NULL, 'a'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"json", required_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    const char *name = NULL, *json = NULL;
    long rounds = 20;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'a')
            name = optarg;
        else if (c == 'r')
            rounds = strtol(optarg, NULL, 10);
        else if (c == 'j')
            json = optarg;
        else
            rounds = 0;
    }
    const struct arith *arith = arith_choose(name);
    if (optind != argc || arith == NULL || rounds < 1 || rounds > ROUNDS_MAX) {
        (void)fputs("usage: growth [--arith NAME] [--rounds N] [--json FILE]\n", stderr);
        return 2;
    }
    struct err err = {0};
    if (run(arith, (int)rounds, json, &err) != 0) {
        (void)fprintf(stderr, "growth: %s\n", err.text);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
