/* test_open.c - making and opening files: what is there, what is not, who else has it, who may write. */
#include "tests/store/model.h"

#include <dirent.h>
#include <signal.h>

#define NOBODY 65534

static void write_file(const char *path, const void *bytes, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n_bytes, file), n_bytes);
    ck_assert_int_eq(fclose(file), 0);
}

static void set_modes(const struct model *m, mode_t folder, mode_t file)
{
    ck_assert_int_eq(chmod(m->path, file), 0);
    ck_assert_int_eq(chmod(m->folder, folder), 0);
}

static unsigned files_in(const char *folder)
{
    unsigned n = 0;
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

/* Runs the rest of the block as a user who may only do what the modes say; the block ends with leave(). Assertions in
 * it end the child, which fails the test. */
static pid_t as_nobody(void)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0 && getuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(99);
    return child; /* -1 fails in joined() */
}

static void joined(pid_t child)
{
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x", (unsigned)status);
}

/* In a child an assertion of libcheck would be told to nobody. */
#define child_must(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, m.err.text);                      \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* ---- making ---- */

START_TEST(a_model_is_not_made_over_a_file)
{
    struct model m;
    struct store *second;
    struct event create = model_origin();
    model_init(&m);
    must_fail(&m, ERR_CONFLICT, store_create(&second, m.path, &create, m.learner, &m.err));
    must_say(&m, "exists");
    ck_assert_ptr_null(second);
    train(&m, 2, 1);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_model_is_not_made_beside_the_leftovers_of_another)
{
    static const char *const suffixes[] = {"-wal", "-journal"};
    for (size_t i = 0; i < 2; i++) {
        struct model m;
        char side[128];
        struct event create = model_origin();
        model_folder(&m);
        m.learner = learner_create(&create, NULL, 0, &m.err);
        (void)snprintf(side, sizeof side, "%s%s", m.path, suffixes[i]);
        write_file(side, "x", 1);
        must_fail(&m, ERR_CONFLICT, store_create(&m.store, m.path, &create, m.learner, &m.err));
        must_say(&m, "left over");
        ck_assert_uint_eq(files_in(m.folder), 1);
        ck_assert_int_eq(unlink(side), 0);
        must(&m, store_create(&m.store, m.path, &create, m.learner, &m.err));
        model_fini(&m);
    }
}
END_TEST

START_TEST(a_model_is_not_made_in_a_folder_that_is_not_there)
{
    struct model m;
    struct event create = model_origin();
    model_init(&m);
    struct learner *other = learner_create(&create, NULL, 0, &m.err);
    struct store *store;
    must_fail(&m, ERR_DB_MISSING, store_create(&store, "/tmp/convd-no-such-folder/m.db", &create, other, &m.err));
    ck_assert_ptr_null(store);
    learner_free(other);
    model_fini(&m);
}
END_TEST

START_TEST(a_model_that_cannot_be_made_leaves_no_file)
{
    struct model m;
    struct event create = model_origin();
    model_folder(&m);
    m.learner = learner_create(&create, NULL, 0, &m.err);
    ck_assert_int_eq(chmod(m.folder, 0755), 0); /* root's: nobody may not write */
    pid_t child = as_nobody();
    if (child == 0) {
        child_must(store_create(&m.store, m.path, &create, m.learner, &m.err) != 0);
        child_must(getuid() != NOBODY || m.err.code == ERR_DB_READONLY);
        _exit(0);
    }
    if (getuid() == 0)
        joined(child);
    else
        (void)waitpid(child, NULL, 0), puts("not root: making a model where one may not write is not tested");
    ck_assert_uint_eq(files_in(m.folder), 0);
    model_fini(&m);
}
END_TEST

/* ---- opening ---- */

START_TEST(a_file_that_is_not_there_is_told)
{
    struct model m;
    model_folder(&m);
    must_fail(&m, ERR_DB_MISSING, store_open(&m.store, m.path, false, &m.err));
    must_say(&m, "convd init");
    must_fail(&m, ERR_DB_MISSING, store_open(&m.store, m.path, true, &m.err));
    must_fail(&m, ERR_DB_MISSING, store_open(&m.store, "", false, &m.err));
    must_fail(&m, ERR_DB_MISSING, store_open(&m.store, ":memory:", false, &m.err));
    ck_assert_uint_eq(files_in(m.folder), 0);
    model_fini(&m);
}
END_TEST

START_TEST(files_that_are_none_of_convd_are_told_and_left_alone)
{
    char text[5000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 4; i++) {
        struct model m;
        struct stat before, after;
        model_folder(&m);
        if (i == 0)
            write_file(m.path, text, sizeof text);
        else if (i == 1)
            write_file(m.path, text, 0);
        else if (i == 2)
            write_file(m.path, text, 10);
        else {
            sqlite3 *db;
            ck_assert_int_eq(sqlite3_open(m.path, &db), SQLITE_OK);
            ck_assert_int_eq(sqlite3_exec(db, "CREATE TABLE event (x)", NULL, NULL, NULL), SQLITE_OK);
            ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
        }
        ck_assert_int_eq(stat(m.path, &before), 0);
        must_fail(&m, ERR_DB_FOREIGN, store_open(&m.store, m.path, false, &m.err));
        ck_assert_ptr_null(m.store);
        must_fail(&m, ERR_DB_FOREIGN, store_open(&m.store, m.path, true, &m.err));
        ck_assert_int_eq(stat(m.path, &after), 0);
        ck_assert_int_eq(before.st_size, after.st_size);
        ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
        ck_assert_uint_eq(files_in(m.folder), 1);
        model_fini(&m);
    }
}
END_TEST

START_TEST(a_folder_is_not_a_database)
{
    struct model m;
    model_folder(&m);
    must_fail(&m, ERR_DB_FOREIGN, store_open(&m.store, m.folder, false, &m.err));
    model_fini(&m);
}
END_TEST

START_TEST(another_application_id_is_foreign)
{
    struct model m;
    model_init(&m);
    tamper(&m, "PRAGMA application_id = 7");
    must_fail(&m, ERR_DB_FOREIGN, store_open(&m.store, m.path, false, &m.err));
    model_fini(&m);
}
END_TEST

START_TEST(a_newer_format_is_told_and_not_touched)
{
    struct model m;
    model_init(&m);
    tamper(&m, "PRAGMA user_version = 99");
    must_fail(&m, ERR_DB_NEWER, store_open(&m.store, m.path, false, &m.err));
    must_say(&m, "99");
    ck_assert_str_eq(ask(&m, "PRAGMA user_version"), "99");
    model_fini(&m);
}
END_TEST

START_TEST(a_file_without_its_tables_is_damaged)
{
    struct model m;
    model_init(&m);
    tamper(&m, "PRAGMA foreign_keys = OFF; DROP VIEW labelled_sample; DROP VIEW live_span; DROP TABLE event");
    must_fail(&m, ERR_DB_CORRUPT, store_open(&m.store, m.path, false, &m.err));
    model_fini(&m);
}
END_TEST

START_TEST(a_file_that_was_cut_short_is_damaged)
{
    struct model m;
    struct learner *back = NULL;
    model_init(&m);
    for (uint64_t i = 0; i < 50; i++)
        train(&m, 10, i);
    store_close(m.store);
    m.store = NULL;
    struct stat status;
    ck_assert_int_eq(stat(m.path, &status), 0);
    ck_assert_int_eq(truncate(m.path, status.st_size / 2), 0);
    if (store_open(&m.store, m.path, false, &m.err) == 0)
        must_fail(&m, ERR_DB_CORRUPT, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    else
        ck_assert_int_eq(m.err.code, ERR_DB_CORRUPT);
    model_fini(&m);
}
END_TEST

START_TEST(names_with_spaces_and_signs_are_names)
{
    struct model m;
    struct event create = model_origin();
    model_folder(&m);
    (void)snprintf(m.path, sizeof m.path, "%s/a b?c#d%%41&e.db", m.folder);
    m.learner = learner_create(&create, NULL, 0, &m.err);
    must(&m, store_create(&m.store, m.path, &create, m.learner, &m.err));
    train(&m, 2, 1);
    (void)recovers(&m);
    store_close(m.store);
    m.store = NULL;
    if (getuid() == 0) {
        set_modes(&m, 0555, 0444);
        pid_t child = as_nobody();
        if (child == 0) {
            child_must(store_open(&m.store, m.path, true, &m.err) == 0);
            child_must(store_revision(m.store) == 2);
            store_close(m.store);
            _exit(0);
        }
        joined(child);
        set_modes(&m, 0700, 0644);
    }
    model_fini(&m);
}
END_TEST

START_TEST(a_symbolic_link_leads_to_the_model_and_its_wal)
{
    struct model m;
    char link_path[128];
    model_init(&m);
    train(&m, 2, 1);
    store_close(m.store);
    m.store = NULL;
    (void)snprintf(link_path, sizeof link_path, "%s/link.db", m.folder);
    ck_assert_int_eq(symlink(m.path, link_path), 0);
    must(&m, store_open(&m.store, link_path, false, &m.err));
    train(&m, 2, 2);
    ck_assert_uint_eq(files_in(m.folder), 3); /* m.db, m.db-wal, link.db */
    (void)recovers(&m);
    ck_assert_int_eq(unlink(link_path), 0);
    model_fini(&m);
}
END_TEST

/* ---- who else ---- */

START_TEST(a_second_opener_in_this_process_is_refused)
{
    struct model m;
    struct store *second;
    model_init(&m);
    must_fail(&m, ERR_DB_LOCKED, store_open(&second, m.path, false, &m.err));
    must_say(&m, m.path);
    must_say(&m, "--url");
    must_fail(&m, ERR_DB_LOCKED, store_open(&second, m.path, true, &m.err));
    train(&m, 2, 1); /* the first goes on */
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

/* The lock is there from opening on, also while nothing has been written, and after a checkpoint. */
START_TEST(a_second_process_is_refused)
{
    struct model m;
    model_init(&m);
    for (int round = 0; round < 3; round++) {
        (void)fflush(NULL);
        pid_t child = fork();
        if (child == 0) { /* a forked connection must not be used: only its own */
            struct store *second;
            child_must(store_open(&second, m.path, false, &m.err) != 0);
            child_must(m.err.code == ERR_DB_LOCKED && strstr(m.err.text, "--url") != NULL);
            child_must(store_open(&second, m.path, true, &m.err) != 0);
            child_must(m.err.code == ERR_DB_LOCKED);
            _exit(0);
        }
        joined(child);
        if (round == 0)
            model_reopen(&m);
        else
            must(&m, store_checkpoint(m.store, true, &m.err));
    }
    train(&m, 2, 1);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(the_sqlite3_shell_is_kept_out_while_the_model_is_open)
{
    struct model m;
    model_init(&m);
    train(&m, 1, 1);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db;
        child_must(sqlite3_open(m.path, &db) == SQLITE_OK);
        child_must(sqlite3_exec(db, "SELECT * FROM event", NULL, NULL, NULL) == SQLITE_BUSY);
        _exit(0);
    }
    joined(child);
    model_fini(&m);
}
END_TEST

START_TEST(a_model_can_be_opened_after_its_owner_was_killed)
{
    struct model m;
    int ready[2];
    char byte;
    model_init(&m);
    train(&m, 2, 1);
    store_close(m.store);
    m.store = NULL;
    ck_assert_int_eq(pipe(ready), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        child_must(store_open(&m.store, m.path, false, &m.err) == 0);
        child_must(write(ready[1], "x", 1) == 1);
        for (;;)
            (void)pause();
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    must_fail(&m, ERR_DB_LOCKED, store_open(&m.store, m.path, false, &m.err));
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

/* ---- who may write ---- */

START_TEST(a_read_only_store_writes_nothing)
{
    struct model m;
    struct store_snapshot s;
    model_init(&m);
    train(&m, 2, 1);
    store_close(m.store);
    struct stat before, after;
    ck_assert_int_eq(stat(m.path, &before), 0);
    must(&m, store_open(&m.store, m.path, true, &m.err));
    must_fail(&m, ERR_DB_READONLY, store_begin(m.store, &m.err));
    must_fail(&m, ERR_DB_READONLY, store_snapshot(m.store, m.learner, "request", NULL, false, &s, &m.err));
    must_fail(&m, ERR_DB_READONLY, store_snapshot_drop(m.store, 1, &m.err));
    must_fail(&m, ERR_DB_READONLY, store_snapshots_prune(m.store, 1, &m.err));
    must_fail(&m, ERR_DB_READONLY, store_expire_keys(m.store, 0, 0, &m.err));
    must_fail(&m, ERR_DB_READONLY, store_checkpoint(m.store, true, &m.err));
    verifies(&m);
    store_close(m.store);
    m.store = NULL;
    ck_assert_int_eq(stat(m.path, &after), 0);
    ck_assert_int_eq(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    ck_assert_uint_eq(files_in(m.folder), 1);
    model_fini(&m);
}
END_TEST

/* Leaves the model with a WAL that holds its last events, as after kill -9. */
static void leave_a_wal(struct model *m)
{
    store_close(m->store);
    m->store = NULL;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (store_open(&m->store, m->path, false, &m->err) == 0)
            train(m, 3, 77);
        (void)kill(getpid(), SIGKILL);
    }
    (void)waitpid(child, NULL, 0);
    struct event event = train_event(m->learner->revision + 1, 3, 3, 77);
    must(m, learner_apply(m->learner, &event, &m->err));
}

START_TEST(reading_leaves_the_wal_of_a_killed_owner_as_it_is)
{
    struct model m;
    struct stat before, after;
    char wal[128];
    model_init(&m);
    train(&m, 2, 1);
    leave_a_wal(&m);
    (void)snprintf(wal, sizeof wal, "%s-wal", m.path);
    ck_assert_int_eq(stat(wal, &before), 0);
    ck_assert_int_gt(before.st_size, 8192);
    must(&m, store_open(&m.store, m.path, true, &m.err));
    verifies(&m);
    store_close(m.store);
    m.store = NULL;
    ck_assert_int_eq(stat(wal, &after), 0);
    ck_assert_int_eq(before.st_size, after.st_size);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

static const struct reading {
    mode_t folder, file;
    bool wal;
    bool works;
} readings[] = {
    {0555, 0444, false, true}, {0555, 0666, false, true}, {0777, 0444, false, true}, {0777, 0666, false, true},
    {0777, 0666, true, true},  {0777, 0444, true, true},  {0555, 0444, true, false},
};

START_TEST(reading_needs_no_right_to_write)
{
    const struct reading *r = &readings[_i];
    struct model m;
    char wal[128];
    if (getuid() != 0) {
        puts("not root: reading with the rights of nobody is not tested");
        return;
    }
    model_init(&m);
    train(&m, 5, 1);
    store_close(m.store);
    m.store = NULL;
    (void)snprintf(wal, sizeof wal, "%s-wal", m.path);
    if (r->wal) {
        leave_a_wal(&m);
        ck_assert_int_eq(chmod(wal, r->file), 0);
    }
    set_modes(&m, r->folder, r->file);
    pid_t child = as_nobody();
    if (child == 0) {
        int status = store_open(&m.store, m.path, true, &m.err);
        if (r->works) {
            struct store_verdict verdict;
            uint8_t digest[DIGEST_BYTES];
            learner_digest(m.learner, digest);
            child_must(status == 0);
            child_must(store_verify(m.store, NULL, NULL, NULL, &verdict, &m.err) == 0);
            child_must(memcmp(digest, verdict.digest, DIGEST_BYTES) == 0);
            store_close(m.store);
        } else {
            child_must(status != 0 && m.err.code == ERR_DB_READONLY && strstr(m.err.text, "-wal") != NULL);
        }
        _exit(0);
    }
    joined(child);
    set_modes(&m, 0700, 0644);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(writing_needs_the_right_to_write)
{
    static const mode_t modes[][2] = {{0555, 0444}, {0777, 0444}, {0555, 0666}, {0777, 0000}};
    if (getuid() != 0) {
        puts("not root: writing with the rights of nobody is not tested");
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        struct model m;
        model_init(&m);
        store_close(m.store);
        m.store = NULL;
        set_modes(&m, modes[i][0], modes[i][1]);
        pid_t child = as_nobody();
        if (child == 0) {
            child_must(store_open(&m.store, m.path, false, &m.err) != 0);
            child_must(m.err.code == ERR_DB_READONLY);
            child_must(m.store == NULL);
            _exit(0);
        }
        joined(child);
        set_modes(&m, 0700, 0644);
        (void)recovers(&m);
        model_fini(&m);
    }
}
END_TEST

START_TEST(a_reader_without_rights_is_refused_while_the_owner_has_it_open)
{
    struct model m;
    if (getuid() != 0) {
        puts("not root: reading with the rights of nobody is not tested");
        return;
    }
    model_init(&m);
    train(&m, 5, 1);
    must(&m, store_checkpoint(m.store, true, &m.err)); /* an empty WAL looks like none */
    set_modes(&m, 0555, 0444);
    pid_t child = as_nobody();
    if (child == 0) {
        struct store *second;
        child_must(store_open(&second, m.path, true, &m.err) != 0);
        child_must(m.err.code == ERR_DB_LOCKED);
        _exit(0);
    }
    joined(child);
    set_modes(&m, 0700, 0644);
    train(&m, 5, 2);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(an_owner_is_refused_while_a_reader_without_rights_has_it_open)
{
    struct model m;
    int ready[2];
    char byte;
    if (getuid() != 0) {
        puts("not root: reading with the rights of nobody is not tested");
        return;
    }
    model_init(&m);
    store_close(m.store);
    m.store = NULL;
    set_modes(&m, 0555, 0444);
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = as_nobody();
    if (child == 0) {
        child_must(store_open(&m.store, m.path, true, &m.err) == 0);
        child_must(write(ready[1], "x", 1) == 1);
        for (;;)
            (void)pause();
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    must_fail(&m, ERR_DB_LOCKED, store_open(&m.store, m.path, false, &m.err));
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    set_modes(&m, 0700, 0644);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("open");
    TCase *making = tcase_create("making");
    tcase_set_timeout(making, 60);
    tcase_add_test(making, a_model_is_not_made_over_a_file);
    tcase_add_test(making, a_model_is_not_made_beside_the_leftovers_of_another);
    tcase_add_test(making, a_model_is_not_made_in_a_folder_that_is_not_there);
    tcase_add_test(making, a_model_that_cannot_be_made_leaves_no_file);
    suite_add_tcase(suite, making);
    TCase *opening = tcase_create("opening");
    tcase_set_timeout(opening, 60);
    tcase_add_test(opening, a_file_that_is_not_there_is_told);
    tcase_add_test(opening, files_that_are_none_of_convd_are_told_and_left_alone);
    tcase_add_test(opening, a_folder_is_not_a_database);
    tcase_add_test(opening, another_application_id_is_foreign);
    tcase_add_test(opening, a_newer_format_is_told_and_not_touched);
    tcase_add_test(opening, a_file_without_its_tables_is_damaged);
    tcase_add_test(opening, a_file_that_was_cut_short_is_damaged);
    tcase_add_test(opening, names_with_spaces_and_signs_are_names);
    tcase_add_test(opening, a_symbolic_link_leads_to_the_model_and_its_wal);
    suite_add_tcase(suite, opening);
    TCase *others = tcase_create("others");
    tcase_set_timeout(others, 60);
    tcase_add_test(others, a_second_opener_in_this_process_is_refused);
    tcase_add_test(others, a_second_process_is_refused);
    tcase_add_test(others, the_sqlite3_shell_is_kept_out_while_the_model_is_open);
    tcase_add_test(others, a_model_can_be_opened_after_its_owner_was_killed);
    suite_add_tcase(suite, others);
    TCase *rights = tcase_create("rights");
    tcase_set_timeout(rights, 60);
    tcase_add_test(rights, a_read_only_store_writes_nothing);
    tcase_add_test(rights, reading_leaves_the_wal_of_a_killed_owner_as_it_is);
    tcase_add_loop_test(rights, reading_needs_no_right_to_write, 0, (int)(sizeof readings / sizeof *readings));
    tcase_add_test(rights, writing_needs_the_right_to_write);
    tcase_add_test(rights, a_reader_without_rights_is_refused_while_the_owner_has_it_open);
    tcase_add_test(rights, an_owner_is_refused_while_a_reader_without_rights_has_it_open);
    suite_add_tcase(suite, rights);
    return run_suite(suite);
}
