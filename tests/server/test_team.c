/* test_team.c - the threads behind a team: each part once, whatever sleeps or hurries; the same bits as alone; and it ends. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/core.h"
#include "server/common/worker_team.h"

static struct team *team_of(unsigned n)
{
    struct err err = {0};
    struct team *team = team_create(n, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    ck_assert_uint_eq(team->n, n);
    return team;
}

struct counts {
    unsigned plain[TEAM_MEMBERS_MAX]; /* no atomics: run() itself must order them */
    unsigned n;
};

static void count_part(void *context, unsigned part, unsigned n)
{
    struct counts *counts = context;
    counts->plain[part] += n == counts->n;
}

static void pause_us(long us)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

START_TEST(each_part_is_computed_once_in_every_phase)
{
    static const unsigned members[] = {2, 3, 5, TEAM_MEMBERS_MAX};
    struct team *team = team_of(members[_i]);
    struct counts counts = {.n = members[_i]};
    const unsigned phases = members[_i] > 8 ? 200 : 5000;
    for (unsigned phase = 1; phase <= phases; phase++) {
        team->run(team, count_part, &counts);
        for (unsigned i = 0; i < counts.n; i++)
            ck_assert_uint_eq(counts.plain[i], phase);
    }
    team_free(team);
}
END_TEST

START_TEST(members_that_fell_asleep_are_woken)
{
    struct team *team = team_of(3);
    struct counts counts = {.n = 3};
    for (unsigned phase = 1; phase <= 60; phase++) {
        pause_us(phase % 3 * 1000); /* long past the watch, and not at all */
        team->run(team, count_part, &counts);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_uint_eq(counts.plain[i], phase);
    }
    team_free(team);
}
END_TEST

struct meeting {
    atomic_uint arrived;
};

/* Waits until another part is being computed too: only true side by side does it end. */
static void meet(void *context, unsigned part, unsigned n)
{
    struct meeting *meeting = context;
    (void)part;
    atomic_fetch_add(&meeting->arrived, 1);
    while (atomic_load(&meeting->arrived) < n)
        pause_us(50);
}

START_TEST(parts_are_computed_side_by_side)
{
    for (int i = 0; i < 20; i++) {
        struct team *team = team_of(4); /* anew: on a busy machine the second phase may be the caller's alone */
        struct meeting meeting = {0};
        pause_us(i % 2 * 1000);
        team->run(team, meet, &meeting);
        ck_assert_uint_eq(atomic_load(&meeting.arrived), 4);
        team_free(team);
    }
}
END_TEST

struct interrupted {
    pthread_t caller;
    atomic_uint others; /* parts that another thread than the caller computed */
};

/* Whoever is not the caller is stopped for two milliseconds, as by a scheduler that has given its processor away. The caller gives it some
 * time to begin. */
static void be_late(void *context, unsigned part, unsigned n)
{
    struct interrupted *interrupted = context;
    const unsigned before = atomic_load(&interrupted->others);
    (void)part, (void)n;
    if (!pthread_equal(pthread_self(), interrupted->caller)) {
        atomic_fetch_add(&interrupted->others, 1);
        pause_us(2000);
        return;
    }
    for (int i = 0; i < 4 && atomic_load(&interrupted->others) == before; i++)
        pause_us(20);
}

#define LATE_PHASES 3000u

START_TEST(a_caller_whose_members_are_late_works_alone_for_a_while)
{
    struct team *team = team_of(2);
    struct interrupted interrupted = {.caller = pthread_self()};
    for (unsigned phase = 0; phase < LATE_PHASES; phase++)
        team->run(team, be_late, &interrupted);
    /* At least 16 phases alone after each late one. Mostly there are more; but a phase in which the caller lost its own processor for
     * as long finds nobody late. */
    ck_assert_uint_gt(atomic_load(&interrupted.others), 0);
    ck_assert_uint_le(atomic_load(&interrupted.others), LATE_PHASES / 17 + LATE_PHASES / 10);
    team_free(team);
}
END_TEST

START_TEST(a_team_that_never_worked_ends)
{
    for (int i = 0; i < 20; i++) {
        struct team *team = team_of(4);
        pause_us(i % 2 * 2000);
        team_free(team);
    }
    team_free(NULL);
}
END_TEST

static struct shape shape_of(uint32_t side, uint32_t kernels, uint32_t hidden)
{
    struct shape shape = shape_default();
    struct err err;
    shape.width = shape.height = side;
    shape.kernels = kernels;
    shape.hidden = hidden;
    ck_assert_int_eq(shape_check(&shape, 10, &err), 0);
    return shape;
}

/* Forty steps; the parameters, which the caller frees. */
static float *learn(const struct shape *shape, struct team *team, size_t least)
{
    const size_t n = net_floats(shape, 10);
    float *block = aligned_alloc(64, (n * sizeof *block + 63) / 64 * 64);
    uint8_t *pixels = malloc(shape->n_input);
    struct workspace *ws = workspace_create(shape, 10);
    ck_assert(block != NULL && pixels != NULL && ws != NULL);
    struct net net = net_view(shape, 10, block);
    struct settings settings = settings_default();
    uint64_t state = 1;
    net_init(&net, 5);
    workspace_share(ws, team, least);
    for (uint32_t i = 0; i < 40; i++) {
        for (uint32_t p = 0; p < shape->n_input; p++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            pixels[p] = (uint8_t)(state >> 56);
        }
        net_forward(arith_choose(NULL), &net, &settings, pixels, ws);
        net_step(arith_choose(NULL), &net, &settings, i % 10, ws);
    }
    workspace_free(ws);
    free(pixels);
    return block;
}

START_TEST(a_team_learns_the_same_bits_as_one_thread)
{
    static const unsigned members[] = {2, 3, 5};
    const struct shape shape = shape_of(36, 19, 272);
    float *alone = learn(&shape, NULL, 0);
    for (size_t m = 0; m < sizeof members / sizeof *members; m++)
        for (size_t least = 0; least <= TEAM_LEAST; least += TEAM_LEAST) {
            struct team *team = team_of(members[m]);
            float *together = learn(&shape, team, least);
            ck_assert_int_eq(memcmp(alone, together, net_floats(&shape, 10) * sizeof *alone), 0);
            free(together);
            team_free(team);
        }
    free(alone);
}
END_TEST

START_TEST(only_a_large_model_gets_a_team)
{
    struct err err;
    struct team *team = NULL;
    const struct shape small = shape_of(28, 16, 128), large = shape_of(64, 32, 256);
    ck_assert_int_eq(team_create_for(&team, &small, 10, 4, &err), 0);
    ck_assert_ptr_null(team);
    ck_assert_int_eq(team_create_for(&team, &large, 10, 1, &err), 0);
    ck_assert_ptr_null(team);
    ck_assert_int_eq(team_create_for(&team, &large, 10, 3, &err), 0);
    ck_assert_ptr_nonnull(team);
    ck_assert_uint_eq(team->n, 3);
    team_free(team);
    ck_assert_int_eq(team_create_for(&team, &large, 10, 1000, &err), 0);
    ck_assert_uint_eq(team->n, TEAM_MEMBERS_MAX);
    team_free(team);
}
END_TEST

START_TEST(by_default_a_team_has_as_many_members_as_there_are_processors)
{
    struct err err;
    struct team *team = NULL;
    const struct shape large = shape_of(64, 32, 256);
    cpu_set_t all, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ck_assert_int_eq(team_create_for(&team, &large, 10, 0, &err), 0);
    ck_assert_uint_eq(team == NULL ? 1 : team->n, (unsigned)CPU_COUNT(&all));
    team_free(team);

    CPU_ZERO(&one);
    for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(team_create_for(&team, &large, 10, 0, &err), 0);
    ck_assert_ptr_null(team);
    /* a caller and its members on one processor: slow, and still right */
    team = team_of(3);
    struct counts counts = {.n = 3};
    for (unsigned phase = 1; phase <= 500; phase++)
        team->run(team, count_part, &counts);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(counts.plain[i], 500);
    team_free(team);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("team");
    TCase *tcase = tcase_create("team");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, each_part_is_computed_once_in_every_phase, 0, 4);
    tcase_add_test(tcase, members_that_fell_asleep_are_woken);
    tcase_add_test(tcase, parts_are_computed_side_by_side);
    tcase_add_test(tcase, a_caller_whose_members_are_late_works_alone_for_a_while);
    tcase_add_test(tcase, a_team_that_never_worked_ends);
    tcase_add_test(tcase, a_team_learns_the_same_bits_as_one_thread);
    tcase_add_test(tcase, only_a_large_model_gets_a_team);
    tcase_add_test(tcase, by_default_a_team_has_as_many_members_as_there_are_processors);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
