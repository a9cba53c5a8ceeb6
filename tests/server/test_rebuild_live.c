/* test_rebuild_live.c - edits of the past while all else goes on: beside who teaches, and who looks at what is published. A file of its own beside
 * test_rebuild.c, whose faults of the disk need no second thread to be looked at by TSan. */
#include <pthread.h>
#include <unistd.h>

#include "tests/server/trainer.h"

struct teacher {
    struct trainer *trainer;
    atomic_bool *halt;
    pthread_t thread;
    atomic_uint taught;
};

static void *teacher_main(void *context)
{
    struct teacher *t = context;
    struct err err;
    while (!atomic_load(t->halt)) {
        struct wait *w = train_create(2, 1, 7 + t->taught);
        if (trainer_submit(t->trainer, &w->command, &err) == 0) {
            await(w);
            t->taught += w->command.status == 0;
        }
        wait_free(w);
    }
    return NULL;
}

static void end_of(struct trainer *trainer, int64_t id, enum job_state state)
{
    struct job_status job;
    do {
        (void)usleep(1000);
        ck_assert_int_eq(jobs_find(trainer_jobs(trainer), id, &job), 1);
    } while (job.state == JOB_STATE_RUNNING);
    ck_assert_msg(job.state == state, "%s: %s", job_state_name(job.state), job.err.text);
}

START_TEST(the_past_is_edited_while_others_teach_and_look)
{
    struct err err;
    struct trainer_config config = trainer_config_default();
    struct trainer *trainer = start_new(8, &config);
    atomic_bool halt = false;
    struct teacher teachers[2];
    struct reader reader = {.model = trainer_model(trainer), .stop = &halt};
    for (unsigned i = 0; i < 100; i++)
        wait_free(run(trainer, train_create(4, i % 3, i)));
    ck_assert_int_eq(pthread_create(&reader.thread, NULL, reader_main, &reader), 0);
    for (int i = 0; i < 2; i++) {
        teachers[i] = (struct teacher){.trainer = trainer, .halt = &halt};
        ck_assert_int_eq(pthread_create(&teachers[i].thread, NULL, teacher_main, &teachers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        while (atomic_load(&teachers[i].taught) == 0)
            (void)usleep(1000);
    int64_t ids[] = {9, 200};
    struct wait *forget = wait_create(COMMAND_EDIT), *merge = wait_create(COMMAND_EDIT);
    forget->command.edit = (struct edit_request){.ids = ids, .n = 2, .forget = true};
    merge->command.edit = (struct edit_request){.removes = true, .from = "a", .label = "c"};
    ck_assert_int_eq(run(trainer, forget)->command.status, 0);
    ck_assert_uint_eq(forget->command.changed, 2);
    end_of(trainer, forget->command.job_status.id, JOB_STATE_DONE);
    ck_assert_int_eq(run(trainer, merge)->command.status, 0);
    end_of(trainer, merge->command.job_status.id, JOB_STATE_DONE);
    wait_free(forget);
    wait_free(merge);
    atomic_store(&halt, true);
    for (int i = 0; i < 2; i++)
        (void)pthread_join(teachers[i].thread, NULL);
    void *failed;
    (void)pthread_join(reader.thread, &failed);
    ck_assert_ptr_null(failed);
    uint8_t digest[DIGEST_BYTES];
    digest_of(trainer, digest);
    ck_assert_msg(trainer_stop(trainer, &err) == 0, "%s", err.text);
    trainer_free(trainer);
    (void)leads_to(digest);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rebuild, live");
    TCase *t = tcase_create("rebuild");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_past_is_edited_while_others_teach_and_look);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
