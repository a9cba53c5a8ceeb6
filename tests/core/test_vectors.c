/* test_vectors.c - forward, gradients and training against reference values in float64 (tests/vectors/README.md), for
 * every instruction set of this machine. The bound is 1e-5, norm of the difference over norm of the reference. */
#include <check.h>
#include <math.h>
#include <stdint.h>

#include "core/core.h"
#include "tests/core/vectors.h"

#define BOUND 1e-5

static const char *const files[] = {"tiny", "colour", "dense", "one-frame", "oblong-stride-2", "tie"};
#define N_FILES ((int)(sizeof files / sizeof *files))

static double relative(const float *got, const double *want, size_t n)
{
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    return norm > 0.0 ? sqrt(difference / norm) : sqrt(difference);
}

static void expect(const char *what, const char *name, const float *got, struct numbers want, size_t n)
{
    ck_assert_msg(want.n == n, "%s of %s: %zu reference values for %zu", what, name, want.n, n);
    double r = relative(got, want.v, n);
    ck_assert_msg(r <= BOUND, "%s of %s is off by %g", what, name, r);
    free(want.v);
}

static float *floats(struct numbers numbers)
{
    float *f = calloc(numbers.n + 1, sizeof *f);
    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i < numbers.n; i++)
        f[i] = (float)numbers.v[i];
    free(numbers.v);
    return f;
}

struct fixture {
    char *text;
    const char *name;
    struct shape shape;
    uint32_t n_2;
    size_t n_images;
    uint8_t *pixels;
    uint32_t *labels;
    float *k, *w01, *w12;
};

static uint32_t whole(const char *text, const char *name)
{
    return (uint32_t)vectors_number(text, name);
}

static struct fixture fixture_open(const char *path, const char *name)
{
    struct fixture f = {.text = vectors_read(path), .name = name};
    ck_assert_msg(f.text != NULL, "cannot read %s (run from the top of the tree)", path);
    f.shape = (struct shape){
        .width = whole(f.text, "width"),
        .height = whole(f.text, "height"),
        .channels = whole(f.text, "channels"),
        .kernels = whole(f.text, "kernels"),
        .kernel_width = whole(f.text, "kernel_width"),
        .kernel_height = whole(f.text, "kernel_height"),
        .stride = whole(f.text, "stride"),
        .hidden = whole(f.text, "n_1"),
    };
    f.n_2 = whole(f.text, "n_2");
    struct err err;
    ck_assert_msg(shape_check(&f.shape, f.n_2, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(f.shape.n_0, whole(f.text, "n_0"));
    ck_assert_uint_eq(f.shape.n_k, whole(f.text, "n_k"));

    struct numbers labels = vectors_numbers(f.text, "labels"), pixels = vectors_numbers(f.text, "pixels");
    f.n_images = labels.n;
    ck_assert_uint_eq(pixels.n, f.n_images * f.shape.n_input);
    f.labels = calloc(labels.n, sizeof *f.labels);
    f.pixels = malloc(pixels.n);
    ck_assert(f.labels != NULL && f.pixels != NULL);
    for (size_t i = 0; i < labels.n; i++)
        f.labels[i] = (uint32_t)labels.v[i];
    for (size_t i = 0; i < pixels.n; i++)
        f.pixels[i] = (uint8_t)pixels.v[i];
    free(labels.v);
    free(pixels.v);
    f.k = floats(vectors_numbers(f.text, "k"));
    f.w01 = floats(vectors_numbers(f.text, "w01"));
    f.w12 = floats(vectors_numbers(f.text, "w12"));
    return f;
}

static void fixture_close(struct fixture *f)
{
    free(f->text);
    free(f->pixels);
    free(f->labels);
    free(f->k);
    free(f->w01);
    free(f->w12);
}

/* Compares the parameters or gradients in `net` with the arrays named k, w01 and w12 after `prefix`. */
static void expect_tensors(const struct fixture *f, const struct net *net, const char *from, const char *prefix)
{
    const struct shape *s = &f->shape;
    size_t n_k = (size_t)s->kernels * s->n_k, n_01 = (size_t)s->n_0 * s->n_1, n_12 = (size_t)s->n_1 * f->n_2;
    float *k = calloc(n_k + 1, sizeof *k), *w01 = calloc(n_01, sizeof *w01), *w12 = calloc(n_12, sizeof *w12);
    ck_assert(k != NULL && w01 != NULL && w12 != NULL);
    net_export(net, k, w01, w12);
    char name[16];
    (void)snprintf(name, sizeof name, "%sk", prefix);
    if (n_k > 0)
        expect(name, f->name, k, vectors_numbers(from, name), n_k);
    (void)snprintf(name, sizeof name, "%sw01", prefix);
    expect(name, f->name, w01, vectors_numbers(from, name), n_01);
    (void)snprintf(name, sizeof name, "%sw12", prefix);
    expect(name, f->name, w12, vectors_numbers(from, name), n_12);
    free(k);
    free(w01);
    free(w12);
}

static void check_forward(const struct fixture *f, const struct net *net, const struct workspace *ws,
                          const struct arith *arith)
{
    const char *forward = vectors_find(f->text, "forward");
    expect("l0", f->name, ws->l0, vectors_numbers(forward, "l0"), f->shape.n_0);
    expect("l1", f->name, ws->l1, vectors_numbers(forward, "l1"), f->shape.n_1);
    expect("l2", f->name, ws->l2, vectors_numbers(forward, "l2"), f->n_2);
    float loss = net_loss(arith, net, ws, f->labels[0]);
    ck_assert_double_le(fabs((double)loss - vectors_number(forward, "loss")),
                        BOUND * fabs(vectors_number(forward, "loss")));
    if (f->shape.kernels == 0)
        return;
    struct numbers winner = vectors_numbers(forward, "winner");
    ck_assert_uint_eq(winner.n, f->shape.n_0);
    for (size_t p = 0; p < winner.n; p++)
        ck_assert_msg((double)ws->winner[p] == winner.v[p], "winner at %zu of %s is %u, not %g", p, f->name,
                      ws->winner[p], winner.v[p]);
    free(winner.v);
}

static void check_file(const char *path, const char *name, const struct arith *arith)
{
    struct fixture f = fixture_open(path, name);
    const size_t n = net_floats(&f.shape, f.n_2);
    float *block = aligned_alloc(64, (n * sizeof *block + 63) / 64 * 64);
    float *g_block = aligned_alloc(64, (n * sizeof *block + 63) / 64 * 64);
    struct workspace *ws = workspace_create(&f.shape, f.n_2);
    ck_assert(block != NULL && g_block != NULL && ws != NULL);
    struct net net = net_view(&f.shape, f.n_2, block), g = net_view(&f.shape, f.n_2, g_block);

    for (int reading = GRADIENT_DIAGONAL; reading <= GRADIENT_JACOBIAN; reading++) {
        const char *from = vectors_find(f.text, reading == GRADIENT_DIAGONAL ? "diagonal" : "jacobian");
        struct settings settings = settings_default();
        settings.gradient = (enum gradient)reading;
        settings.rate = (float)vectors_number(f.text, "rate");
        settings.mean = 0.0F;

        net_import(&net, f.k, f.w01, f.w12);
        memset(g_block, 0, n * sizeof *g_block);
        net_forward(arith, &net, &settings, f.pixels, ws);
        check_forward(&f, &net, ws, arith);
        net_gradient(arith, &net, settings.gradient, f.labels[0], &g, ws);
        expect_tensors(&f, &g, from, "d");

        float losses[16];
        ck_assert_uint_le(f.n_images, 16);
        for (size_t t = 0; t < f.n_images; t++) {
            net_forward(arith, &net, &settings, f.pixels + t * f.shape.n_input, ws);
            losses[t] = net_loss(arith, &net, ws, f.labels[t]);
            net_step(arith, &net, &settings, f.labels[t], ws);
        }
        expect("losses", f.name, losses, vectors_numbers(from, "losses"), f.n_images);
        expect_tensors(&f, &net, vectors_find(from, "after"), "");
    }
    workspace_free(ws);
    free(block);
    free(g_block);
    fixture_close(&f);
}

START_TEST(every_instruction_set_agrees_with_the_float64_reference)
{
    char path[128];
    (void)snprintf(path, sizeof path, "tests/vectors/%s.json", files[_i]);
    const struct arith *arith;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++)
        check_file(path, files[_i], arith);
}
END_TEST

START_TEST(real_digits_agree_with_the_float64_reference)
{
    /* 1.7 MB, not carried in the tree */
    const char *path = "../shared/vectors/digits.json";
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)printf("skipped: %s is not there\n", path);
        return;
    }
    (void)fclose(file);
    const struct arith *arith;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++)
        check_file(path, "digits", arith);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vectors");
    TCase *tcase = tcase_create("reference");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_instruction_set_agrees_with_the_float64_reference, 0, N_FILES);
    tcase_add_test(tcase, real_digits_agree_with_the_float64_reference);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
