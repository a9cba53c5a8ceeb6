/* test_affinity.c - who moves to another processor. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/http/affinity.h"

static unsigned processors(void)
{
    cpu_set_t allowed;
    ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    return (unsigned)CPU_COUNT(&allowed);
}

#define SECOND 1000000000u

/* A thread of an HTTP server, which looks once from the first processor that it may use. */
struct look {
    struct affinity *affinity;
    uint64_t now_ns;
    bool tied; /* somebody has said that it must stay there */
};

static void *look(void *context)
{
    const struct look *asked = context;
    cpu_set_t allowed, first;
    size_t cpu = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    while (!CPU_ISSET(cpu, &allowed))
        cpu++;
    CPU_ZERO(&first);
    CPU_SET(cpu, &first);
    ck_assert_int_eq(sched_setaffinity(0, sizeof first, &first), 0);
    if (!asked->tied) /* it is there all the same, until it is moved */
        ck_assert_int_eq(sched_setaffinity(0, sizeof allowed, &allowed), 0);
    affinity_look(asked->affinity, asked->now_ns);
    ck_assert_int_eq(sched_getaffinity(0, sizeof first, &first), 0);
    ck_assert_int_eq(CPU_COUNT(&first), asked->tied ? 1 : CPU_COUNT(&allowed));
    return NULL;
}

static int place_of(struct affinity *affinity, unsigned seat)
{
    return atomic_load(&affinity->seats[seat].processor);
}

static void look_at(struct affinity *affinity, uint64_t now_ns, bool tied)
{
    struct look asked = {affinity, now_ns, tied};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, look, &asked), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(who_finds_another_at_work_on_his_processor_moves)
{
    struct affinity affinity;
    affinity_init(&affinity, 2);
    look_at(&affinity, SECOND, false);
    look_at(&affinity, SECOND + 1000000, false);
    if (processors() < 2) {
        ck_assert(!affinity.enough);
        return;
    }
    ck_assert_int_ge(place_of(&affinity, 0), 0);
    ck_assert_int_ge(place_of(&affinity, 1), 0);
    ck_assert_int_ne(place_of(&affinity, 0), place_of(&affinity, 1));
}
END_TEST

START_TEST(who_was_there_long_ago_keeps_nobody_away)
{
    struct affinity affinity;
    bool same = false;
    for (int i = 0; i < 20 && !same; i++) { /* the scheduler may move a thread as well */
        affinity_init(&affinity, 2);
        look_at(&affinity, SECOND, false);
        look_at(&affinity, 2 * (uint64_t)SECOND, false);
        same = place_of(&affinity, 0) == place_of(&affinity, 1);
    }
    ck_assert(same);
}
END_TEST

START_TEST(who_was_told_to_stay_stays)
{
    struct affinity affinity;
    affinity_init(&affinity, 2);
    look_at(&affinity, SECOND, true);
    look_at(&affinity, SECOND + 1000000, true);
    ck_assert_int_eq(place_of(&affinity, 0), place_of(&affinity, 1));
}
END_TEST

START_TEST(more_threads_than_processors_are_left_alone)
{
    struct affinity affinity;
    affinity_init(&affinity, processors() + 1);
    ck_assert(!affinity.enough);
    look_at(&affinity, SECOND, false);
    ck_assert_int_eq(place_of(&affinity, 0), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("affinity");
    TCase *tcase = tcase_create("affinity");
    tcase_add_test(tcase, who_finds_another_at_work_on_his_processor_moves);
    tcase_add_test(tcase, who_was_there_long_ago_keeps_nobody_away);
    tcase_add_test(tcase, who_was_told_to_stay_stays);
    tcase_add_test(tcase, more_threads_than_processors_are_left_alone);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
