/* test_affinity.c - who gets a processor of his own. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/affinity.h"

static unsigned processors(void)
{
    cpu_set_t allowed;
    ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    return (unsigned)CPU_COUNT(&allowed);
}

struct taken {
    struct affinity *affinity;
    cpu_set_t processors;
};

static void *take(void *context)
{
    struct taken *taken = context;
    affinity_take(taken->affinity);
    affinity_take(taken->affinity); /* as each request does */
    ck_assert_int_eq(sched_getaffinity(0, sizeof taken->processors, &taken->processors), 0);
    return NULL;
}

static cpu_set_t place(struct affinity *affinity)
{
    struct taken taken = {.affinity = affinity};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, take, &taken), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return taken.processors;
}

START_TEST(as_many_threads_as_processors_have_one_each)
{
    const unsigned n = processors();
    struct affinity affinity;
    cpu_set_t all;
    affinity_init(&affinity, n);
    CPU_ZERO(&all);
    for (unsigned i = 0; i < n; i++) {
        cpu_set_t own = place(&affinity);
        ck_assert_int_eq(CPU_COUNT(&own), 1);
        CPU_OR(&all, &all, &own);
    }
    ck_assert_int_eq(CPU_COUNT(&all), n);
}
END_TEST

START_TEST(one_thread_more_stays_where_the_scheduler_wants_it)
{
    const unsigned n = processors();
    struct affinity affinity;
    affinity_init(&affinity, n);
    for (unsigned i = 0; i < n; i++)
        (void)place(&affinity);
    cpu_set_t more = place(&affinity);
    ck_assert_int_eq(CPU_COUNT(&more), n);
}
END_TEST

START_TEST(threads_that_are_not_as_many_as_processors_stay_where_the_scheduler_wants_them)
{
    const unsigned n = processors();
    struct affinity affinity;
    affinity_init(&affinity, n + 1);
    cpu_set_t own = place(&affinity);
    ck_assert_int_eq(CPU_COUNT(&own), n);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("affinity");
    TCase *tcase = tcase_create("affinity");
    tcase_add_test(tcase, as_many_threads_as_processors_have_one_each);
    tcase_add_test(tcase, one_thread_more_stays_where_the_scheduler_wants_it);
    tcase_add_test(tcase, threads_that_are_not_as_many_as_processors_stay_where_the_scheduler_wants_them);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
