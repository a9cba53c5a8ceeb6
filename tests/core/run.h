/* run.h - what every test program of core/ ends with, and how thorough it may be.
 *
 * COARSE is 1 in every build but gcc's for x86-64, which sweeps finely for all of them: the others are many times slower (under
 * a sanitizer, or on other processors, whose tests mostly run emulated), or tell of another compiler what a few steps tell already.
 * Their sweeps take only every so manieth. CONVD_TEST_EXHAUSTIVE=1 in the environment makes every sweep whole on every build. */
#ifndef CONVD_TESTS_RUN_H
#define CONVD_TESTS_RUN_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__) || defined(__clang__)
#define COARSE 1
#else
#define COARSE 0
#endif

static inline bool run_exhaustive(void)
{
    const char *value = getenv("CONVD_TEST_EXHAUSTIVE");
    return value != NULL && strcmp(value, "1") == 0;
}

/* Runs one suite of one case; the exit status of main(). */
static inline int run_case(TCase *tcase, const char *name)
{
    Suite *suite = suite_create(name);
    tcase_set_timeout(tcase, run_exhaustive() ? 3600 : 300);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
