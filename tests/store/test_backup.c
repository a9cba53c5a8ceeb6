/* test_backup.c - a copy of the database, while it is used. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/store/model.h"

/* One whose copy takes several steps: five snapshots of 300 KB. */
static void make(struct model *m)
{
    struct event create = model_origin();
    create.as.create.shape.hidden = 2048;
    create.as.create.settings.rehearsal = 0;
    model_init_from(m, &create);
    for (uint64_t i = 0; i < 5; i++) {
        train(m, 4, i);
        snapshot(m);
    }
}

static const char *copy_path(const struct model *m)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/copy.db", m->folder);
    return path;
}

/* The copy as a model of its own, with the state that it must have. Removes it. */
static void is_whole(struct model *m, const struct learner *state)
{
    struct model copy = *m;
    struct learner *back = NULL;
    (void)snprintf(copy.path, sizeof copy.path, "%.60s/copy.db", m->folder);
    must(&copy, store_open(&copy.store, copy.path, false, &copy.err));
    must(&copy, store_recover(copy.store, NULL, NULL, NULL, &back, NULL, &copy.err));
    same_state(back, state);
    must(&copy, store_verify(copy.store, NULL, NULL, NULL, NULL, &copy.err));
    learner_free(back);
    store_close(copy.store);
    ck_assert_int_eq(unlink(copy.path), 0);
}

START_TEST(a_copy_is_the_database_and_the_database_goes_on)
{
    struct model m;
    struct store_backup *backup;
    uint64_t done, total;
    int status, steps = 0;
    make(&m);
    struct learner *then = keep(&m);
    must(&m, store_backup_begin(&backup, m.store, copy_path(&m), &m.err));
    while ((status = store_backup_step(backup, 1, &m.err)) == 1) {
        store_backup_progress(backup, &done, &total);
        ck_assert(done > 0 && done <= total);
        ck_assert_int_ne(access(copy_path(&m), F_OK), 0);
        steps++;
    }
    ck_assert_msg(status == 0, "%s", m.err.text);
    ck_assert_int_ge(steps, 2);
    store_backup_end(backup);
    train(&m, 2, 77);
    is_whole(&m, then);
    verifies(&m);
    learner_free(then);
    model_fini(&m);
}
END_TEST

START_TEST(what_is_learned_between_the_steps_is_in_the_copy)
{
    struct model m;
    struct store_backup *backup;
    int status;
    make(&m);
    must(&m, store_backup_begin(&backup, m.store, copy_path(&m), &m.err));
    for (uint64_t i = 0; (status = store_backup_step(backup, 1, &m.err)) == 1; i++) {
        if (i >= 4)
            continue; /* it can end */
        train(&m, 3, 40 + i);
        if (i == 1) { /* a group that came to nothing leaves no trace, but SQLite begins the copy anew */
            must(&m, store_begin(m.store, &m.err));
            struct learner *before = keep(&m);
            append_train(&m, 2, 90);
            store_rollback(m.store);
            learner_free(m.learner);
            m.learner = before;
        }
        if (i % 2 == 0)
            must(&m, store_checkpoint(m.store, true, &m.err));
        else
            snapshot(&m);
    }
    ck_assert_msg(status == 0, "%s", m.err.text);
    store_backup_end(backup);
    is_whole(&m, m.learner);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_copy_without_a_name_is_gone_with_its_descriptor)
{
    struct model m;
    struct store_backup *backup;
    char bytes[8192];
    ssize_t n;
    int status;
    make(&m);
    must(&m, store_backup_begin(&backup, m.store, NULL, &m.err));
    while ((status = store_backup_step(backup, 1, &m.err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m.err.text);
    int from = store_backup_take(backup);
    store_backup_end(backup);
    int to = open(copy_path(&m), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert(from >= 0 && to >= 0);
    while ((n = read(from, bytes, sizeof bytes)) > 0)
        ck_assert_int_eq(write(to, bytes, (size_t)n), n);
    ck_assert_int_eq(n, 0);
    (void)close(from);
    (void)close(to);
    is_whole(&m, m.learner);
    model_fini(&m); /* nothing is left in the folder */
}
END_TEST

START_TEST(a_copy_that_was_given_up_leaves_nothing)
{
    struct model m;
    struct store_backup *backup;
    make(&m);
    must(&m, store_backup_begin(&backup, m.store, copy_path(&m), &m.err));
    ck_assert_int_eq(store_backup_step(backup, 1, &m.err), 1);
    store_backup_end(backup);
    train(&m, 2, 5);
    model_fini(&m);
}
END_TEST

START_TEST(a_file_that_is_there_is_never_written_over)
{
    struct model m;
    struct store_backup *backup;
    make(&m);
    must_fail(&m, ERR_CONFLICT, store_backup_begin(&backup, m.store, m.path, &m.err));
    must(&m, store_backup_begin(&backup, m.store, copy_path(&m), &m.err));
    int fd = open(copy_path(&m), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* meanwhile */
    ck_assert_int_eq(write(fd, "mine", 4), 4);
    (void)close(fd);
    must_fail(&m, ERR_CONFLICT, store_backup_step(backup, UINT64_MAX, &m.err));
    store_backup_end(backup);
    struct stat status;
    ck_assert_int_eq(stat(copy_path(&m), &status), 0);
    ck_assert_int_eq(status.st_size, 4);
    ck_assert_int_eq(unlink(copy_path(&m)), 0);
    model_fini(&m);
}
END_TEST

START_TEST(no_room_for_the_copy_is_told_and_the_database_is_none_the_worse)
{
    struct model m;
    struct store_backup *backup;
    const struct rlimit small = {.rlim_cur = 400000, .rlim_max = RLIM_INFINITY};
    const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    make(&m);
    must(&m, store_checkpoint(m.store, true, &m.err));
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    must(&m, store_backup_begin(&backup, m.store, copy_path(&m), &m.err));
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    must_fail(&m, ERR_STORAGE_FULL, store_backup_step(backup, UINT64_MAX, &m.err));
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    store_backup_end(backup);
    train(&m, 2, 5);
    verifies(&m);
    model_fini(&m);
}
END_TEST

/* ---- whose it is ---- */

static void *take_and_train(void *model)
{
    struct model *m = model;
    store_take(m->store);
    train(m, 2, 5);
    return NULL;
}

static void *end_backup(void *backup)
{
    store_backup_end(backup);
    return NULL;
}

static void *begin(void *store)
{
    (void)store_begin(store, NULL);
    return NULL;
}

static void in_a_thread(void *(*does)(void *), void *with)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, does, with), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(a_store_goes_from_thread_to_thread_by_a_word)
{
    struct model m;
    make(&m);
    in_a_thread(take_and_train, &m);
    store_take(m.store);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_thread_that_has_not_taken_the_store_ends_the_process)
{
    struct model m;
    make(&m);
    in_a_thread(begin, m.store);
}
END_TEST

START_TEST(a_copy_that_is_ended_in_another_thread_ends_the_process)
{
    struct model m;
    struct store_backup *backup;
    make(&m);
    must(&m, store_backup_begin(&backup, m.store, NULL, &m.err));
    ck_assert_int_eq(store_backup_step(backup, 1, &m.err), 1);
    in_a_thread(end_backup, backup);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backup");
    TCase *tests = tcase_create("backup");
    TCase *threads = tcase_create("threads");
    suite_add_tcase(suite, threads);
    tcase_add_test(threads, a_store_goes_from_thread_to_thread_by_a_word);
    tcase_add_test_raise_signal(threads, a_thread_that_has_not_taken_the_store_ends_the_process, SIGABRT);
    tcase_add_test_raise_signal(threads, a_copy_that_is_ended_in_another_thread_ends_the_process, SIGABRT);
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60); /* it waits for the disk */
    tcase_add_test(tests, a_copy_is_the_database_and_the_database_goes_on);
    tcase_add_test(tests, what_is_learned_between_the_steps_is_in_the_copy);
    tcase_add_test(tests, a_copy_without_a_name_is_gone_with_its_descriptor);
    tcase_add_test(tests, a_copy_that_was_given_up_leaves_nothing);
    tcase_add_test(tests, a_file_that_is_there_is_never_written_over);
    tcase_add_test(tests, no_room_for_the_copy_is_told_and_the_database_is_none_the_worse);
    return run_suite(suite);
}
