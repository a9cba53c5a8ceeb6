/* test_bits.c - the same bits everywhere: after thousands of steps, every instruction set of this machine has the same parameters,
 * tally and digest; and one short run has the digest that is written down here, whatever the machine. */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/arith/arith.h"
#include "core/core.h"
#include "tests/core/models.h"
#include "tests/core/run.h"

/* Of model_digits() after 300 steps from seed 300. The same on x86-64 and on others (make aarch64 armhf riscv64). It changes only with
 * ARITHMETIC_VERSION, or with the form of the state (core/learner/codec.c). */
#define DIGEST_OF_300 "241e79d82c776a8975978780118bfd85a11fc4626b4b41e03b1b94f24eaebf71"

/* Of model_digits() after 100 samples from seed 300, each followed by four rehearsals, shifted and turned, at a rate that falls. */
#define DIGEST_OF_500 "22e1af99e0c871a1fec6d130ce07e63d6155eb58faf627a6c937f9043b311f4a"

static struct model_options model_digits(void)
{
    return (struct model_options){.width = 28,
                                  .height = 28,
                                  .channels = 1,
                                  .kernels = 16,
                                  .kernel_width = 5,
                                  .kernel_height = 5,
                                  .stride = 1,
                                  .hidden = 128,
                                  .n_classes = 10};
}

static struct learner *trained(struct model_options options, const struct arith *arith, uint32_t steps, uint64_t seed)
{
    options.arith = arith;
    struct learner *learner = model_create(&options);
    ck_assert_ptr_eq(learner->arith, arith != NULL ? arith : arith_nth(0));
    model_train_random(learner, steps, seed);
    return learner;
}

static void expect_same_bits(const struct learner *a, const struct learner *b)
{
    const char *name = arith_name(b->arith);
    const size_t n = net_floats(&a->shape, a->n_classes);
    ck_assert_msg(memcmp(a->params, b->params, n * sizeof *a->params) == 0, "parameters differ on %s", name);
    ck_assert_msg(memcmp(a->tally.recent, b->tally.recent, sizeof a->tally.recent) == 0, "outcomes differ on %s", name);
    ck_assert_msg(memcmp(&a->tally.loss_sum, &b->tally.loss_sum, sizeof(double)) == 0, "losses differ on %s", name);
    ck_assert_uint_eq(a->tally.samples, b->tally.samples);
    ck_assert_uint_eq(a->tally.correct, b->tally.correct);
    ck_assert_uint_eq(a->capacity, b->capacity);
    ck_assert_int_eq(
        memcmp(a->tally.confusion, b->tally.confusion, (size_t)a->capacity * a->capacity * sizeof *a->tally.confusion),
        0);
    ck_assert_msg(strcmp(model_digest(a).text, model_digest(b).text) == 0, "digests differ on %s", name);
}

/* Trains on the best instruction set and on every other, and compares. */
static void compare_all(struct model_options options, uint32_t steps, uint64_t seed)
{
    struct learner *best = trained(options, arith_nth(0), steps, seed);
    (void)printf("bits: %ux%ux%u, %u kernels %ux%u stride %u, hidden %u, %u classes, %s, %u steps: %s %.16s",
                 options.width, options.height, options.channels, options.kernels, options.kernel_width,
                 options.kernel_height, options.stride, options.hidden, options.n_classes,
                 options.gradient == GRADIENT_JACOBIAN ? "jacobian" : "diagonal", steps, arith_name(best->arith),
                 model_digest(best).text);
    const struct arith *arith;
    for (unsigned n = 1; (arith = arith_nth(n)) != NULL; n++) {
        struct learner *other = trained(options, arith, steps, seed);
        expect_same_bits(best, other);
        (void)printf(" = %s", arith_name(arith));
        learner_free(other);
    }
    (void)printf("\n");
    learner_free(best);
}

START_TEST(every_instruction_set_has_the_same_bits_after_thousands_of_steps)
{
    compare_all(model_digits(), run_exhaustive() ? 10000 : COARSE ? 200 : 2000, 7);
}
END_TEST

static const struct model_options odd[] = {
    /* colour, stride 2, sides that are no multiples, N and n_1 and n_2 not of 16 */
    {31, 23, 3, 5, 4, 3, 2, 50, 17, GRADIENT_JACOBIAN, 0, NULL, NORMALIZE_STD, 0},
    /* no convolution */
    {13, 11, 1, 0, 0, 0, 0, 33, 10, GRADIENT_DIAGONAL, 0, NULL, NORMALIZE_STD, 0},
    {13, 11, 2, 0, 0, 0, 0, 16, 3, GRADIENT_JACOBIAN, 0, NULL, NORMALIZE_MEAN, 0},
    /* kernels wider than 8 columns; stride 3; one hidden */
    {29, 30, 2, 19, 11, 9, 3, 1, 5, GRADIENT_DIAGONAL, 0, NULL, NORMALIZE_NONE, 0},
    /* one position, one class */
    {5, 6, 4, 3, 5, 6, 4, 9, 1, GRADIENT_JACOBIAN, 0, NULL, NORMALIZE_STD, 0},
    /* single kernel of one pixel; hidden of several vectors, 40 classes of three */
    {9, 17, 1, 1, 1, 1, 1, 95, 40, GRADIENT_DIAGONAL, 0, NULL, NORMALIZE_NONE, 0},
    /* rows so long that each instruction set goes through them in its own way */
    {8, 7, 1, 3, 3, 3, 1, 1030, 5, GRADIENT_JACOBIAN, 0, NULL, NORMALIZE_MEAN, 0},
};

/* Sums of bytes and of their squares that need more than 32 bits, over several blocks. */
START_TEST(a_large_normalized_image_enters_with_the_same_bits_everywhere)
{
    struct model_options options = {.width = 700, .height = 301, .channels = 1, .hidden = 3, .n_classes = 2};
    options.normalize = NORMALIZE_STD;
    compare_all(options, 3, 12);
}
END_TEST

START_TEST(every_instruction_set_has_the_same_bits_on_odd_geometries)
{
    compare_all(odd[_i], run_exhaustive() ? 400 : COARSE ? 40 : 150, 100 + (uint64_t)_i);
}
END_TEST

START_TEST(every_instruction_set_has_the_same_bits_with_a_rate_so_high_that_everything_saturates)
{
    /* exp and tanh at their ends, subnormal probabilities, and huge weights */
    struct learner *learners[4] = {NULL};
    const struct arith *arith;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++) {
        struct model_options options = odd[0];
        options.arith = arith;
        learners[n] = model_create(&options);
        struct event tune = {.kind = EVENT_TUNE, .revision = 2};
        tune.as.tune.settings = learners[n]->settings;
        tune.as.tune.settings.rate = 100.0F;
        struct err err;
        ck_assert_int_eq(learner_apply(learners[n], &tune, &err), 0);
        model_train_random(learners[n], COARSE ? 40 : 400, 11);
        expect_same_bits(learners[0], learners[n]);
    }
    for (unsigned n = 0; n < 4; n++)
        learner_free(learners[n]);
}
END_TEST

static struct model_options model_known(void)
{
    struct model_options options = model_digits();
    options.rehearsal_buffer = 1000;
    return options;
}

START_TEST(the_digest_of_a_known_run_is_the_same_on_every_machine)
{
    const struct arith *arith;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++) {
        struct learner *learner = trained(model_known(), arith, 300, 300);
        (void)printf("bits: 300 steps on %s: %s\n", arith_name(arith), model_digest(learner).text);
        ck_assert_str_eq(model_digest(learner).text, DIGEST_OF_300);
        learner_free(learner);
    }
}
END_TEST

/* As trained(), with four rehearsals for each sample, shifted and turned. */
static struct learner *rehearsed(struct model_options options, const struct arith *arith, uint32_t samples,
                                 uint64_t seed)
{
    options.arith = arith;
    struct learner *learner = model_create(&options);
    learner->settings.rehearsal = 4;
    learner->settings.jitter = 1.0F;
    learner->settings.rotation = 10.0F;
    learner->settings.decay_steps = 200.0F;
    learner->settings.imprint = 5;
    learner->settings.output_rate = 0.3F;
    struct err err;
    ck_assert_int_eq(model_class(learner, CLASS_ADD, learner->n_classes, "later", &err), 0);
    model_train_random(learner, samples, seed);
    ck_assert_uint_eq(learner->step, 5 * samples);
    return learner;
}

START_TEST(every_instruction_set_has_the_same_bits_with_rehearsal_and_jitter)
{
    const uint32_t all = _i == 0 ? 400 : 100;
    const struct model_options options = _i == 0 ? model_digits() : odd[_i - 1];
    const uint32_t samples = run_exhaustive() ? all : all / (COARSE ? 6 : 2);
    struct learner *best = rehearsed(options, arith_nth(0), samples, 500 + (uint64_t)_i);
    const struct arith *arith;
    for (unsigned n = 1; (arith = arith_nth(n)) != NULL; n++) {
        struct learner *other = rehearsed(options, arith, samples, 500 + (uint64_t)_i);
        expect_same_bits(best, other);
        learner_free(other);
    }
    learner_free(best);
}
END_TEST

START_TEST(the_digest_of_a_known_run_with_rehearsal_is_the_same_on_every_machine)
{
    struct learner *learner = rehearsed(model_known(), arith_nth(0), 100, 300);
    (void)printf("bits: 100 samples and 400 rehearsals: %s\n", model_digest(learner).text);
    ck_assert_str_eq(model_digest(learner).text, DIGEST_OF_500);
    learner_free(learner);
}
END_TEST

START_TEST(the_best_instruction_set_comes_first_and_the_portable_one_is_always_there)
{
    ck_assert_ptr_eq(arith_choose(NULL), arith_nth(0));
    ck_assert_ptr_eq(arith_choose(""), arith_nth(0));
    const struct arith *arith, *last = NULL;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++) {
        ck_assert_ptr_eq(arith_choose(arith_name(arith)), arith);
        last = arith;
    }
    ck_assert_str_eq(arith_name(last), "portable");
}
END_TEST

START_TEST(an_unknown_instruction_set_is_not_chosen)
{
    ck_assert_ptr_null(arith_choose("sparc"));
    ck_assert_ptr_null(arith_choose("x86-64"));
    ck_assert_ptr_null(arith_choose("portable "));
}
END_TEST

START_TEST(the_larger_of_two_is_the_second_where_they_are_equal_or_one_is_not_a_number)
{
    const float values[] = {0.0F, -0.0F, 1.0F, -1.0F, 3e38F, -3e38F, 1e-42F, -1e-42F, INFINITY, -INFINITY, NAN, -NAN};
    const size_t n = sizeof values / sizeof *values;
    const struct arith *arith;
    for (unsigned nth = 0; (arith = arith_nth(nth)) != NULL; nth++)
        for (size_t i = 0; i < n * n; i++) {
            float a[LANES], b[LANES], y[LANES], wanted[LANES];
            for (size_t l = 0; l < LANES; l++) {
                a[l] = values[(i + l) / n % n];
                b[l] = values[(i + l) % n];
                wanted[l] = a[l] > b[l] ? a[l] : b[l];
            }
            arith->max16(y, a, b);
            ck_assert_msg(memcmp(y, wanted, sizeof y) == 0, "%s, from pair %zu on", arith->name, i);
        }
}
END_TEST

/* A batch reads w01 once for several images; an answer must not depend on who else was in the batch. */
START_TEST(an_image_has_the_same_bits_alone_and_in_a_batch)
{
    const struct arith *arith;
    for (unsigned nth = 0; (arith = arith_nth(nth)) != NULL; nth++) {
        struct learner *learner = trained(odd[_i], arith, 30, 200 + (uint64_t)_i);
        const size_t n_input = learner->shape.n_input, ld_2 = learner->net.ld_2;
        uint8_t *pixels = malloc(NET_BATCH * n_input);
        float *alone = malloc(NET_BATCH * ld_2 * sizeof *alone);
        ck_assert(pixels != NULL && alone != NULL);
        struct chance chance = {.state = 300 + (uint64_t)_i};
        chance_pixels(&chance, pixels, NET_BATCH * n_input);
        for (size_t i = 0; i < NET_BATCH; i++) {
            net_forward(arith, &learner->net, &learner->settings, pixels + i * n_input, learner->ws);
            memcpy(alone + i * ld_2, learner->ws->l2, ld_2 * sizeof *alone);
        }
        for (size_t n = 1; n <= NET_BATCH; n++) {
            memset(learner->ws->batch_l2, 0xff, NET_BATCH * ld_2 * sizeof *alone);
            net_forward_batch(arith, &learner->net, &learner->settings, pixels, n, learner->ws);
            ck_assert_msg(memcmp(learner->ws->batch_l2, alone, n * ld_2 * sizeof *alone) == 0,
                          "%zu images differ on %s", n, arith_name(arith));
        }
        free(pixels);
        free(alone);
        learner_free(learner);
    }
}
END_TEST

/* ---- teams ---- */

/* A team as plain as can be: a thread for every part of every phase. server/common/worker_team.c has one that is fast, with a test of its own. */
struct threads {
    struct team team;
    unsigned calls; /* of run() */
};

struct thread_part {
    void (*task)(void *context, unsigned part, unsigned n);
    void *context;
    unsigned part, n;
};

static void *thread_main(void *argument)
{
    const struct thread_part *p = argument;
    p->task(p->context, p->part, p->n);
    return NULL;
}

#define THREADS_MAX 8u

static void threads_run(struct team *team, void (*task)(void *context, unsigned part, unsigned n), void *context)
{
    struct threads *threads = (struct threads *)(void *)team; /* its first member */
    pthread_t thread[THREADS_MAX];
    struct thread_part parts[THREADS_MAX];
    pthread_attr_t small; /* stacks: ASan goes over a whole one at each start and end of a thread */
    threads->calls++;
    ck_assert_uint_le(team->n, THREADS_MAX);
    ck_assert_int_eq(pthread_attr_init(&small), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&small, (size_t)512 << 10), 0);
    for (unsigned part = 0; part < team->n; part++) {
        parts[part] = (struct thread_part){task, context, part, team->n};
        ck_assert_int_eq(pthread_create(&thread[part], &small, thread_main, &parts[part]), 0);
    }
    for (unsigned part = 0; part < team->n; part++)
        ck_assert_int_eq(pthread_join(thread[part], NULL), 0);
    (void)pthread_attr_destroy(&small);
}

static struct threads threads_of(unsigned n)
{
    return (struct threads){.team = {.n = n, .run = threads_run}};
}

/* Beside odd[]: many kernels and rows wider than a narrow layer's; more of everything than members. */
static const struct model_options shared[] = {
    {21, 19, 2, 37, 3, 4, 1, 300, 21, GRADIENT_JACOBIAN, 0, NULL, NORMALIZE_STD, 0},
    {40, 33, 1, 16, 5, 5, 1, 128, 10, GRADIENT_DIAGONAL, 0, NULL, NORMALIZE_NONE, 0},
    {12, 12, 1, 6, 3, 3, 1, 530, 300, GRADIENT_JACOBIAN, 0, NULL, NORMALIZE_STD, 0},
};
#define N_ODD    (sizeof odd / sizeof *odd)
#define N_SHARED (sizeof shared / sizeof *shared)

START_TEST(any_number_of_threads_has_the_same_bits)
{
    static const unsigned members[] = {1, 2, 3, 4, 5, 8};
    const uint32_t steps = run_exhaustive() ? 25 : COARSE ? 2 : 10;
    struct model_options options = (size_t)_i < N_ODD ? odd[_i] : shared[(size_t)_i - N_ODD];
    for (unsigned nth = 0; arith_nth(nth) != NULL; nth++) {
        struct learner *alone = trained(options, arith_nth(nth), steps, 400 + (uint64_t)_i);
        for (size_t m = 0; m < sizeof members / sizeof *members; m += COARSE ? 2 : 1) {
            struct threads threads = threads_of(members[m]);
            options.arith = arith_nth(nth);
            struct learner *together = model_create(&options);
            workspace_share(together->ws, &threads.team, 0);
            model_train_random(together, steps, 400 + (uint64_t)_i);
            expect_same_bits(alone, together);
            const uint32_t phases = options.kernels > 0 ? 7 : 4; /* of a step */
            ck_assert_uint_eq(threads.calls, members[m] == 1 ? 0 : phases * steps);
            learner_free(together);
        }
        learner_free(alone);
    }
}
END_TEST

START_TEST(a_gradient_has_the_same_bits_from_any_number_of_threads)
{
    struct learner *l = trained(shared[0], NULL, 20, 9);
    const size_t n = net_floats(&l->shape, l->n_classes);
    float *alone = aligned_alloc(64, (n * sizeof *alone + 63) / 64 * 64);
    float *together = aligned_alloc(64, (n * sizeof *together + 63) / 64 * 64);
    uint8_t *pixels = calloc(l->shape.n_input, 1);
    ck_assert(alone != NULL && together != NULL && pixels != NULL);
    struct chance chance = {.state = 10};
    chance_pixels(&chance, pixels, l->shape.n_input);
    for (unsigned members = 1; members <= 5; members++) {
        struct threads threads = threads_of(members);
        workspace_share(l->ws, &threads.team, 0);
        float *block = members == 1 ? alone : together;
        memset(block, 0, n * sizeof *block);
        struct net g = net_view(&l->shape, l->n_classes, block);
        net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
        net_gradient(l->arith, &l->net, GRADIENT_JACOBIAN, 3, &g, l->ws);
        ck_assert_int_eq(memcmp(block, alone, n * sizeof *alone), 0);
    }
    free(alone);
    free(together);
    free(pixels);
    learner_free(l);
}
END_TEST

START_TEST(a_small_model_never_waits_for_a_thread)
{
    struct threads threads = threads_of(2);
    struct learner *l = trained(model_digits(), NULL, 1, 1);
    workspace_share(l->ws, &threads.team, TEAM_LEAST);
    model_train_random(l, 3, 2);
    ck_assert_uint_eq(threads.calls, 0);
    ck_assert_uint_lt(net_largest_phase(&l->shape, l->n_classes), TEAM_LEAST);
    /* and one of a size that pays does */
    workspace_share(l->ws, &threads.team, net_largest_phase(&l->shape, l->n_classes));
    model_train_random(l, 3, 3);
    ck_assert_uint_eq(threads.calls, 6); /* w01 forward and backward of each */
    learner_free(l);
}
END_TEST

START_TEST(a_model_that_makes_room_for_classes_keeps_its_team)
{
    struct threads threads = threads_of(2);
    struct err err;
    struct learner *l = trained(odd[0], NULL, 1, 1);
    workspace_share(l->ws, &threads.team, 7);
    ck_assert_int_eq(learner_reserve(l, l->capacity + 1, &err), 0);
    ck_assert_ptr_eq(l->ws->team, &threads.team);
    ck_assert_uint_eq(l->ws->team_least, 7);
    model_train_random(l, 1, 2);
    ck_assert_uint_gt(threads.calls, 0);
    learner_free(l);
}
END_TEST

START_TEST(training_learns)
{
    /* equal bits alone would be satisfied by a net that does nothing */
    struct learner *learner = trained(model_digits(), arith_nth(0), 600, 5);
    uint32_t correct = 0;
    for (uint32_t i = 500; i < 600; i++)
        correct += learner->tally.recent[i].label == learner->tally.recent[i].predicted;
    ck_assert_uint_ge(correct, 90);
    learner_free(learner);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("bits");
    tcase_add_test(tcase, every_instruction_set_has_the_same_bits_after_thousands_of_steps);
    tcase_add_test(tcase, a_large_normalized_image_enters_with_the_same_bits_everywhere);
    tcase_add_loop_test(tcase, every_instruction_set_has_the_same_bits_on_odd_geometries, 0,
                        (int)(sizeof odd / sizeof *odd));
    tcase_add_test(tcase, every_instruction_set_has_the_same_bits_with_a_rate_so_high_that_everything_saturates);
    tcase_add_test(tcase, the_digest_of_a_known_run_is_the_same_on_every_machine);
    tcase_add_loop_test(tcase, every_instruction_set_has_the_same_bits_with_rehearsal_and_jitter, 0,
                        1 + (int)(sizeof odd / sizeof *odd));
    tcase_add_test(tcase, the_digest_of_a_known_run_with_rehearsal_is_the_same_on_every_machine);
    tcase_add_test(tcase, the_best_instruction_set_comes_first_and_the_portable_one_is_always_there);
    tcase_add_test(tcase, an_unknown_instruction_set_is_not_chosen);
    tcase_add_test(tcase, the_larger_of_two_is_the_second_where_they_are_equal_or_one_is_not_a_number);
    tcase_add_loop_test(tcase, an_image_has_the_same_bits_alone_and_in_a_batch, 0, (int)(sizeof odd / sizeof *odd));
    tcase_add_loop_test(tcase, any_number_of_threads_has_the_same_bits, 0, (int)(N_ODD + N_SHARED));
    tcase_add_test(tcase, a_gradient_has_the_same_bits_from_any_number_of_threads);
    tcase_add_test(tcase, a_small_model_never_waits_for_a_thread);
    tcase_add_test(tcase, a_model_that_makes_room_for_classes_keeps_its_team);
    tcase_add_test(tcase, training_learns);
    return run_case(tcase, "bits");
}
