/* test_throttle.c - when training rests. Whether a thread slept is counted by the kernel, so nothing here depends on a clock. */
#include <check.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "server/common/clock.h"
#include "server/trainer/throttle.h"

static struct model *model;

static void set_up(void)
{
    static const char labels[2][LABEL_BYTES_MAX + 1] = {"a", "b"};
    struct err err;
    struct event create = {.kind = EVENT_CREATE, .revision = 1};
    create.as.create.shape = (struct shape){.width = 4, .height = 3, .channels = 1, .hidden = 2};
    create.as.create.settings = settings_default();
    create.as.create.labels = labels;
    create.as.create.n_classes = 2;
    struct learner *learner = learner_create(&create, NULL, 0, &err);
    ck_assert_ptr_nonnull(learner);
    model = model_create(learner, &err);
    ck_assert_ptr_nonnull(model);
    learner_free(learner);
}

static void tear_down(void)
{
    model_free(model);
}

static unsigned processors(void)
{
    cpu_set_t allowed;
    ck_assert_int_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    return (unsigned)CPU_COUNT(&allowed);
}

static long sleeps(void)
{
    struct rusage usage;
    ck_assert_int_eq(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

static void work(uint64_t us)
{
    const uint64_t end = clock_us() + us;
    while (clock_us() < end)
        ;
}

static void predict(void)
{
    model_request(model);
}

START_TEST(after_a_slice_in_which_somebody_predicted_training_sleeps)
{
    struct throttle throttle;
    throttle_init(&throttle, model, processors() + 1);
    throttle_begin();
    predict();
    work(THROTTLE_SLICE_US);
    const long before = sleeps();
    yield_now(&throttle.yield);
    ck_assert_int_eq(sleeps(), before + 1);
}
END_TEST

START_TEST(before_its_slice_is_over_training_goes_on)
{
    struct throttle throttle;
    throttle_init(&throttle, model, processors() + 1);
    predict();
    const long before = sleeps();
    for (int i = 0; i < 1000; i++) {
        throttle_begin();
        yield_now(&throttle.yield);
    }
    ck_assert_int_lt(sleeps() - before, 10); /* a thousand, were it otherwise */
}
END_TEST

START_TEST(while_nobody_predicts_training_never_sleeps)
{
    struct throttle throttle;
    throttle_init(&throttle, model, processors() + 1);
    predict();
    throttle_begin();
    work(THROTTLE_SLICE_US);
    yield_now(&throttle.yield);
    const long before = sleeps();
    for (int i = 0; i < 10; i++) {
        work(THROTTLE_SLICE_US);
        yield_now(&throttle.yield);
    }
    ck_assert_int_eq(sleeps(), before);
}
END_TEST

START_TEST(with_processors_for_all_training_never_sleeps)
{
    struct throttle throttle;
    throttle_init(&throttle, model, processors());
    const long before = sleeps();
    for (int i = 0; i < 10; i++) {
        predict();
        work(THROTTLE_SLICE_US);
        yield_now(&throttle.yield);
    }
    ck_assert_int_eq(sleeps(), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("throttle");
    TCase *tcase = tcase_create("throttle");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, after_a_slice_in_which_somebody_predicted_training_sleeps);
    tcase_add_test(tcase, before_its_slice_is_over_training_goes_on);
    tcase_add_test(tcase, while_nobody_predicts_training_never_sleeps);
    tcase_add_test(tcase, with_processors_for_all_training_never_sleeps);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
