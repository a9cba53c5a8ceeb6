/* test_postgres.c - store/postgres/postgres.h against a real PostgreSQL: what is promised of appending holds when others append, too, and when
 * connections, backends and waits for a standby end in the middle. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres/postgres.h"

#if !HAVE_LIBPQ

START_TEST(a_convd_without_libpq_says_so)
{
    struct postgres *pg;
    struct err err;
    ck_assert_int_eq(postgres_open(&pg, "postgresql://h/d", &err), -1);
    ck_assert_int_eq(err.code, ERR_USAGE);
    ck_assert_ptr_null(pg);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("postgres");
    TCase *t = tcase_create("without");
    tcase_add_test(t, a_convd_without_libpq_says_so);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#else

#include <sys/mman.h>

#include "tests/store/pg_log.h"

/* ---- rows: what is in them follows from revision and seed ---- */

static struct log_row row_at(uint64_t revision, uint8_t seed, uint32_t n_samples)
{
    struct log_row row = {.revision = revision,
                          .created_us = INT64_C(1700000000000000) + (int64_t)revision,
                          .kind = n_samples > 0 ? "train" : "tune",
                          .body = "{\"n\":\"\xc3\xa9\"}",
                          .first = n_samples > 0 ? (int64_t)revision * 100 : 0,
                          .n_samples = n_samples,
                          .n_image = n_samples > 0 ? IMAGE_BYTES : 0,
                          .labels = labels,
                          .images = images};
    memset(row.chain, seed, sizeof row.chain);
    memcpy(row.chain, &revision, sizeof revision);
    return row;
}

static struct log_head head_after(const struct log_row *row)
{
    struct log_head after = {.revision = row->revision};
    memcpy(after.chain, row->chain, CHAIN_BYTES);
    return after;
}

static int append_row(struct postgres *with, uint8_t seed, uint32_t n_samples)
{
    const struct log_row row = row_at(head.revision + 1, seed, n_samples);
    const int status = postgres_append(with, &head, &row, 1, &err);
    if (status == 0)
        head = head_after(&row);
    return status;
}

static void same_row(const struct log_row *a, const struct log_row *b)
{
    ck_assert(a->revision == b->revision && a->created_us == b->created_us && a->first == b->first);
    ck_assert_str_eq(a->kind, b->kind);
    ck_assert_str_eq(a->body, b->body);
    ck_assert_mem_eq(a->chain, b->chain, CHAIN_BYTES);
    ck_assert_pstr_eq(a->key, b->key);
    if (a->key != NULL)
        ck_assert_mem_eq(a->fingerprint, b->fingerprint, sizeof a->fingerprint);
    ck_assert(a->n_samples == b->n_samples && a->n_image == b->n_image);
    ck_assert(a->n_samples == 0 || memcmp(a->labels, b->labels, 4 * a->n_samples) == 0);
    ck_assert(a->n_samples == 0 || memcmp(a->images, b->images, (size_t)a->n_samples * a->n_image) == 0);
}

/* That the log holds these rows and nothing else. */
static void log_is(const struct log_row *expected, size_t n_expected)
{
    struct log_row *rows;
    struct log_head end;
    size_t n;
    must(postgres_read(&rows, &n, pg, 0, 1 << 30, &err));
    ck_assert_uint_eq(n, n_expected);
    for (size_t i = 0; i < n; i++)
        same_row(&rows[i], &expected[i]);
    free(rows);
    must(postgres_head(&end, pg, &err));
    ck_assert_uint_eq(end.revision, n_expected);
    if (n > 0)
        ck_assert_mem_eq(end.chain, expected[n - 1].chain, CHAIN_BYTES);
}

/* ---- the log ---- */

START_TEST(a_log_is_made_once)
{
    must_fail(ERR_CONFLICT, postgres_create(pg_conninfo(database, ""), &err));
    ck_assert_uint_eq(head.revision, 0);
    log_is(NULL, 0);
}
END_TEST

START_TEST(rows_come_back_byte_for_byte)
{
    char *large = malloc(3000001);
    memset(large, 'x', 3000000);
    large[3000000] = '\0';
    struct log_row rows[6] = {row_at(1, 1, 0), row_at(2, 1, 1), row_at(3, 1, ROWS_MAX),
                              row_at(4, 1, 0), row_at(5, 1, 2), row_at(6, 1, 0)};
    rows[1].key = "";
    rows[4].key = "k\xc3\xa9y";
    memset(rows[4].fingerprint, 0xab, sizeof rows[4].fingerprint);
    rows[3].body = large;
    rows[5].body = "";
    rows[5].created_us = -1;
    must(postgres_append(pg, &head, rows, 1, &err));
    const struct log_head first = head_after(&rows[0]);
    must(postgres_append(pg, &first, rows + 1, 5, &err));
    log_is(rows, 6);
    free(large);
}
END_TEST

START_TEST(reading_goes_on_after_a_revision_in_pieces_of_the_size_that_is_asked)
{
    struct log_row *rows;
    size_t n;
    for (int i = 0; i < 20; i++)
        must(append_row(pg, 7, 10));
    must(postgres_read(&rows, &n, pg, 0, 0, &err));
    ck_assert_uint_eq(n, 1);
    free(rows);
    must(postgres_read(&rows, &n, pg, 3, 40000, &err));
    ck_assert(n >= 4 && n <= 6 && rows[0].revision == 4);
    free(rows);
    must(postgres_read(&rows, &n, pg, 20, 40000, &err));
    ck_assert(n == 0 && rows == NULL);
}
END_TEST

START_TEST(who_is_behind_appends_nothing)
{
    const struct log_head before = head;
    must(append_row(pg, 1, 1));
    const struct log_row row = row_at(1, 1, 1), other = row_at(1, 2, 1), second = row_at(2, 1, 1);
    must_fail(ERR_BUSY, postgres_append(pg, &before, &other, 1, &err));
    struct log_head elsewhere = head;
    elsewhere.chain[31] ^= 1; /* the same number, another log */
    must_fail(ERR_BUSY, postgres_append(pg, &elsewhere, &second, 1, &err));
    log_is(&row, 1);
}
END_TEST

/* ---- edits ---- */

static const uint8_t edit_bytes[] = "what an edit says";

static struct log_row edit_at(uint64_t revision, const int64_t *events, const int64_t *samples, size_t n)
{
    struct log_row row = row_at(revision, 9, 0);
    row.kind = "edit";
    row.edit = edit_bytes;
    row.n_edit = sizeof edit_bytes;
    row.erase_events = events;
    row.erase_samples = samples;
    row.n_erase = n;
    return row;
}

/* As the log has it then. */
static void forget(struct log_row *row, uint32_t *own_labels, uint8_t *own_images, const uint32_t *places, size_t n)
{
    memcpy(own_labels, row->labels, row->n_samples * sizeof *own_labels);
    memcpy(own_images, row->images, (size_t)row->n_samples * IMAGE_BYTES);
    for (size_t i = 0; i < n; i++) {
        own_labels[places[i]] = UINT32_MAX;
        memset(own_images + (size_t)places[i] * IMAGE_BYTES, 0, IMAGE_BYTES);
    }
    row->labels = own_labels;
    row->images = own_images;
}

START_TEST(an_edit_takes_what_it_forgets_with_it_and_no_other)
{
    static uint32_t own_labels[3][ROWS_MAX];
    static uint8_t own_images[3][ROWS_MAX * IMAGE_BYTES];
    static const int64_t events[] = {1, 2, 2, 3}, samples[] = {100, 200, 200 + ROWS_MAX - 1, 301};
    const struct log_head empty = head;
    struct log_row rows[5] = {row_at(1, 1, 1), row_at(2, 1, ROWS_MAX), row_at(3, 1, 2), edit_at(4, events, samples, 4),
                              row_at(5, 1, 1)};
    struct log_row *edits;
    size_t n;
    rows[0].key = "of a request";
    rows[2].key = "\x02of a prediction";
    memset(rows[0].fingerprint, 0xab, sizeof rows[0].fingerprint);
    memset(rows[2].fingerprint, 0xab, sizeof rows[2].fingerprint);
    must(postgres_append(pg, &empty, rows, 3, &err));
    const struct log_row late = edit_at(1, events, samples, 4); /* others were first */
    must_fail(ERR_BUSY, postgres_append(pg, &empty, &late, 1, &err));
    log_is(rows, 3);
    const struct log_head before = head_after(&rows[2]), after = head_after(&rows[3]);
    if (_i == 1)
        must(postgres_lock(&head, pg, &err));
    must(postgres_append(pg, &before, &rows[3], 1, &err));
    must(postgres_append(pg, &after, &rows[4], 1, &err)); /* no lock is left */
    forget(&rows[0], own_labels[0], own_images[0], (const uint32_t[]){0}, 1);
    forget(&rows[1], own_labels[1], own_images[1], (const uint32_t[]){0, ROWS_MAX - 1}, 2);
    forget(&rows[2], own_labels[2], own_images[2], (const uint32_t[]){1}, 1);
    memset(rows[0].fingerprint, 0, sizeof rows[0].fingerprint);
    log_is(rows, 5);
    must(postgres_edits(&edits, &n, pg, 0, &err));
    ck_assert_uint_eq(n, 1);
    same_row(edits, &rows[3]);
    ck_assert(edits->n_edit == sizeof edit_bytes && memcmp(edits->edit, edit_bytes, sizeof edit_bytes) == 0);
    free(edits);
    must(postgres_edits(&edits, &n, pg, 4, &err));
    ck_assert(n == 0 && edits == NULL);
}
END_TEST

START_TEST(an_edit_whose_connection_ends_is_there_with_what_it_took_or_not_at_all)
{
    static const int64_t events[] = {1}, samples[] = {100};
    must(append_row(pg, 1, 1));
    const struct log_row edit = edit_at(2, events, samples, 1);
    must(postgres_lock(&head, pg, &err));
    (void)pg_sql(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND pid <> pg_backend_pid()",
        database);
    const int status = postgres_append(pg, &head, &edit, 1, &err);
    struct log_row *rows;
    size_t n;
    must(postgres_read(&rows, &n, pg, 0, 1 << 30, &err));
    ck_assert_uint_eq(n, status == 0 ? 2 : 1);
    ck_assert_uint_eq(rows[0].labels[0], status == 0 ? UINT32_MAX : labels[0]);
    free(rows);
}
END_TEST

START_TEST(a_key_is_there_once)
{
    struct log_row rows[2] = {row_at(1, 1, 1), row_at(2, 1, 1)};
    rows[0].key = rows[1].key = "k";
    must_fail(ERR_CONFLICT, postgres_append(pg, &head, rows, 2, &err));
    log_is(NULL, 0);
    must(postgres_append(pg, &head, rows, 1, &err));
    const struct log_head first = head_after(&rows[0]);
    must_fail(ERR_CONFLICT, postgres_append(pg, &first, rows + 1, 1, &err));
    log_is(rows, 1);
}
END_TEST

START_TEST(the_chain_of_a_revision_is_found)
{
    uint8_t chain[CHAIN_BYTES];
    must(append_row(pg, 1, 1));
    ck_assert_int_eq(postgres_chain(chain, pg, 1, &err), 1);
    ck_assert_mem_eq(chain, head.chain, CHAIN_BYTES);
    ck_assert_int_eq(postgres_chain(chain, pg, 2, &err), 0);
}
END_TEST

START_TEST(more_than_a_server_takes_is_refused)
{
    struct log_row row = row_at(1, 1, 1);
    row.n_image = POSTGRES_APPEND_BYTES_MAX;
    must_fail(ERR_LIMIT, postgres_append(pg, &head, &row, 1, &err));
    log_is(NULL, 0);
}
END_TEST

START_TEST(a_row_that_is_missing_or_damaged_is_named)
{
    struct log_row *rows;
    size_t n;
    for (int i = 0; i < 3; i++)
        must(append_row(pg, 7, 2));
    (void)pg_sql(database, "UPDATE convd.event SET images = images || '\\x00' WHERE revision = 3");
    must_fail(ERR_DB_CORRUPT, postgres_read(&rows, &n, pg, 0, 1 << 20, &err));
    must_say("row 3");
    (void)pg_sql(database, "DELETE FROM convd.event WHERE revision = 2");
    must_fail(ERR_DB_CORRUPT, postgres_read(&rows, &n, pg, 0, 1 << 20, &err));
    must_say("row 2");
}
END_TEST

/* ---- several writers ---- */

/* In a process of its own: so many rows, each behind whatever end there is. */
static pid_t writer(uint8_t seed, int n)
{
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct postgres *own;
    if (postgres_open(&own, pg_conninfo(database, ""), &err) != 0)
        _exit(1);
    while (n > 0) {
        const int status = append_row(own, seed, 1);
        n -= status == 0;
        if (status != 0 && (err.code != ERR_BUSY || postgres_head(&head, own, &err) != 0))
            _exit(2);
    }
    postgres_close(own);
    _exit(0);
}

START_TEST(writers_that_race_leave_no_gap_and_no_double)
{
    struct log_row *rows;
    size_t n, of[2] = {0, 0};
    const pid_t a = writer(0, 500), b = writer(1, 500);
    const bool a_well = pg_ended_well(a), b_well = pg_ended_well(b); /* both are waited for */
    ck_assert(a_well && b_well);
    must(postgres_read(&rows, &n, pg, 0, 1 << 30, &err));
    ck_assert_uint_eq(n, 1000);
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(rows[i].revision, i + 1);
        of[rows[i].chain[31]]++;
    }
    ck_assert(of[0] == 500 && of[1] == 500);
    free(rows);
}
END_TEST

START_TEST(who_locks_cannot_lose_and_who_does_not_loses_cleanly)
{
    struct log_head mine;
    struct log_row *rows;
    size_t n;
    must(postgres_lock(&mine, pg, &err));
    ck_assert_uint_eq(mine.revision, 0);
    const pid_t other = writer(1, 1); /* waits for the lock, loses, tries again */
    while (strcmp(pg_sql(database, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                                   " AND wait_event_type = 'Lock'"),
                  "1") != 0)
        pg_nap(10);
    must(postgres_read(&rows, &n, pg, 0, 1 << 20, &err));
    ck_assert_uint_eq(n, 0);
    must(append_row(pg, 0, 1));
    ck_assert(pg_ended_well(other));
    must(postgres_read(&rows, &n, pg, 0, 1 << 20, &err));
    ck_assert(n == 2 && rows[0].chain[31] == 0 && rows[1].chain[31] == 1);
    free(rows);
}
END_TEST

START_TEST(a_lock_is_over_after_unlock_and_after_an_append_that_failed)
{
    struct postgres *other = opened();
    struct log_head mine, stale = head;
    must(postgres_lock(&mine, pg, &err));
    postgres_unlock(pg);
    postgres_unlock(pg);
    must(append_row(other, 1, 1));
    must(postgres_lock(&mine, pg, &err));
    ck_assert_uint_eq(mine.revision, 1);
    const struct log_row wrong = row_at(1, 5, 0);
    must_fail(ERR_BUSY, postgres_append(pg, &stale, &wrong, 1, &err));
    must(append_row(other, 1, 1));
    must(postgres_lock(&mine, pg, &err));
    struct log_row huge = row_at(3, 5, 1);
    huge.n_image = POSTGRES_APPEND_BYTES_MAX;
    must_fail(ERR_LIMIT, postgres_append(pg, &mine, &huge, 1, &err));
    must(append_row(other, 1, 1));
    postgres_close(other);
}
END_TEST

START_TEST(a_lock_that_another_holds_is_waited_for_within_the_time_of_a_call)
{
    struct postgres *other = opened();
    struct log_head mine;
    postgres_limit(pg, 2000);
    must(postgres_lock(&mine, other, &err));
    must_fail(ERR_LOG, append_row(pg, 1, 1));
    ck_assert_int_eq(err.detail, 0);
    must_fail(ERR_LOG, postgres_lock(&mine, pg, &err));
    postgres_unlock(other);
    must(append_row(pg, 1, 1));
    postgres_close(other);
}
END_TEST

/* ---- connections that end ---- */

START_TEST(a_connection_that_was_ended_before_a_call_is_made_anew)
{
    struct log_head again;
    must(append_row(pg, 1, 1));
    (void)pg_sql(database, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE " OURS);
    must(append_row(pg, 1, 1));
    (void)pg_sql(database, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE " OURS);
    must(postgres_head(&again, pg, &err));
    ck_assert_uint_eq(again.revision, 2);
}
END_TEST

START_TEST(a_lock_that_went_with_its_connection_is_told_by_the_append)
{
    struct log_head mine;
    must(postgres_lock(&mine, pg, &err));
    (void)pg_sql(database, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE " OURS);
    struct postgres *other = opened();
    must(append_row(other, 1, 1));
    const struct log_row late = row_at(1, 2, 1), row = row_at(1, 1, 1);
    must_fail(ERR_BUSY, postgres_append(pg, &mine, &late, 1, &err));
    log_is(&row, 1);
    postgres_close(other);
}
END_TEST

/* The one session that there is. */
static pid_t backend(void)
{
    return (pid_t)strtol(pg_sql(database, "SELECT pid FROM pg_stat_activity WHERE " OURS), NULL, 10);
}

static bool is_there(pid_t pid)
{
    return strcmp(pg_sql(database, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", (int)pid), "1") == 0;
}

START_TEST(what_a_stopped_server_did_not_do_in_time_it_does_not_do_later)
{
    postgres_limit(pg, 2000);
    must(append_row(pg, 1, 1));
    const struct log_row late = row_at(2, 2, 1);
    struct log_row rows[2] = {row_at(1, 1, 1), row_at(2, 1, 1)};
    const pid_t stopped = backend();
    ck_assert_int_eq(kill(stopped, SIGSTOP), 0);
    const int status = postgres_append(pg, &head, &late, 1, &err);
    ck_assert_int_eq(kill(stopped, SIGCONT),
                     0); /* it has the statement, and does it now. A stopped one lets no server end */
    must_fail(ERR_LOG, status);
    must_say("nothing was changed");
    ck_assert_int_eq(err.detail, 0);
    while (is_there(stopped))
        pg_nap(10);
    log_is(rows, 1);
    must(append_row(pg, 1, 1));
    log_is(rows, 2);
}
END_TEST

START_TEST(who_does_not_know_that_a_commit_was_looked_up_appends_all_the_same)
{
    struct postgres *other = opened();
    (void)pg_sql(database, "UPDATE convd.head SET fence = fence + 1");
    must(append_row(pg, 1, 1));
    must(append_row(other, 1, 1));
    postgres_close(other);
}
END_TEST

START_TEST(a_server_that_is_not_there_is_told)
{
    struct postgres *none;
    const uint64_t begin = (uint64_t)time(NULL);
    must_fail(ERR_LOG, postgres_open(&none, "host=127.0.0.1 port=1 user=convd dbname=x", &err));
    must_say("127.0.0.1");
    ck_assert_ptr_null(none);
    (void)pg_sql("postgres", "DROP DATABASE %s (FORCE)", database);
    must_fail(ERR_LOG, append_row(pg, 1, 1));
    must_fail(ERR_LOG, append_row(pg, 1, 1));
    ck_assert_int_eq(err.detail, 0);
    ck_assert_uint_lt((uint64_t)time(NULL) - begin, 30);
}
END_TEST

START_TEST(the_first_host_that_can_write_is_taken)
{
    char conninfo[256];
    struct postgres *other;
    (void)snprintf(conninfo, sizeof conninfo, "host=/nowhere,%s port=%s user=convd dbname=%s", pg_server.folder,
                   pg_server.port, database);
    must(postgres_open(&other, conninfo, &err));
    must(append_row(other, 1, 1));
    postgres_close(other);
    (void)pg_sql("postgres", "ALTER DATABASE %s SET default_transaction_read_only = on", database);
    must_fail(ERR_LOG, postgres_open(&other, conninfo, &err));
}
END_TEST

/* ---- commits that are in doubt: a standby is waited for that does not exist ---- */

static void want_no_standby(void)
{
    (void)pg_sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    (void)pg_sql("postgres", "SELECT pg_reload_conf()");
}

/* The session of ours whose commit waits; not that one. */
static pid_t waiting(pid_t but)
{
    for (;; pg_nap(5)) {
        const char *found =
            pg_sql(database, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid <> %d AND " OURS,
                   (int)but);
        if (found[0] != '\0')
            return (pid_t)strtol(found, NULL, 10);
    }
}

/* In a process of its own: does that to the backend whose commit waits, and lets the look-up's commit wait as well; then standbys are wanted no
 * more. *confirmed: from then on an answer may come. */
static pid_t sabotage(const char *what, volatile int *confirmed)
{
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    const pid_t first = waiting(0);
    (void)pg_sql("postgres", "SELECT %s(%d)", what, (int)first);
    (void)waiting(first);
    *confirmed = 1;
    want_no_standby();
    _exit(0);
}

static volatile int *shared_flag(void)
{
    int *flag = mmap(NULL, sizeof *flag, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(flag, MAP_FAILED);
    return flag;
}

static void an_append_is_confirmed_though(const char *what)
{
    volatile int *confirmed = shared_flag();
    const struct log_row row = row_at(1, 1, 3);
    want_standby();
    const pid_t saboteur = sabotage(what, confirmed);
    must(append_row(pg, 1, 3));
    ck_assert_int_eq(*confirmed, 1);
    ck_assert(pg_ended_well(saboteur));
    log_is(&row, 1);
    must(append_row(pg, 1, 1));
}

START_TEST(a_commit_whose_connection_ended_is_looked_up_and_confirmed)
{
    an_append_is_confirmed_though("pg_terminate_backend");
}
END_TEST

START_TEST(a_wait_for_the_standby_that_was_cancelled_is_no_success_before_it_is_confirmed)
{
    an_append_is_confirmed_though("pg_cancel_backend");
}
END_TEST

START_TEST(defaults_of_the_database_weaken_nothing)
{
    (void)pg_sql("postgres", "ALTER DATABASE %s SET synchronous_commit = off", database);
    (void)pg_sql("postgres", "ALTER DATABASE %s SET client_min_messages = error", database);
    (void)pg_sql("postgres", "ALTER DATABASE %s SET default_transaction_isolation = serializable", database);
    postgres_limit(pg, 10000); /* connects anew */
    an_append_is_confirmed_though("pg_cancel_backend");
}
END_TEST

START_TEST(a_locked_append_is_confirmed_likewise)
{
    volatile int *confirmed = shared_flag();
    must(postgres_lock(&head, pg, &err));
    want_standby();
    const pid_t saboteur = sabotage("pg_cancel_backend", confirmed);
    must(append_row(pg, 1, 3));
    ck_assert_int_eq(*confirmed, 1);
    ck_assert(pg_ended_well(saboteur));
}
END_TEST

START_TEST(what_is_not_confirmed_in_time_is_neither_success_nor_failure)
{
    const struct log_head before = head;
    const struct log_row row = row_at(1, 1, 1), again = row_at(1, 2, 1);
    want_standby();
    postgres_limit(pg, 500);
    must_fail(ERR_LOG, append_row(pg, 1, 1));
    ck_assert_int_eq(err.detail, 1);
    postgres_limit(pg, 4000); /* the server gives up a second before we do */
    must_fail(ERR_LOG, postgres_append(pg, &before, &again, 1, &err));
    ck_assert_msg(err.detail == 0, "%s", err.text); /* it waited for the first one's row, and never had it */
    want_no_standby();
    while (strcmp(pg_sql(database, "SELECT count(*) FROM convd.event"), "1") != 0)
        pg_nap(10);
    must_fail(ERR_BUSY, postgres_append(pg, &before, &again, 1, &err));
    log_is(&row, 1);
}
END_TEST

/* ---- what is no log of ours ---- */

START_TEST(a_database_without_a_log_or_with_a_newer_one_is_refused)
{
    struct postgres *none;
    (void)pg_sql(database, "UPDATE convd.head SET format = 2");
    must_fail(ERR_DB_NEWER, postgres_open(&none, pg_conninfo(database, ""), &err));
    must_fail(ERR_DB_FOREIGN, postgres_open(&none, pg_conninfo("postgres", ""), &err));
    must_say("\"postgres\"");
    make_database("TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
    must_fail(ERR_DB_FOREIGN, postgres_create(pg_conninfo(database, ""), &err));
    must_say("UTF8");
}
END_TEST

START_TEST(a_password_is_in_no_error)
{
    static const char *const unreadable[] = {
        "postgresql://convd:sesame/x@127.0.0.1/d",
        "postgresql://convd:12/sesame@127.0.0.1/d",
        "postgresql://convd:a@sesame@127.0.0.1/d",
        "postgresql://convd:%zzsesame@127.0.0.1/d",
        "password=open sesame",
        "sesame",
    };
    struct postgres *none;
    for (size_t i = 0; i < sizeof unreadable / sizeof unreadable[0]; i++) {
        must_fail(ERR_USAGE, postgres_open(&none, unreadable[i], &err));
        ck_assert_ptr_null(strstr(err.text, "sesame"));
    }
    char conninfo[256];
    (void)pg_sql("postgres", "DROP ROLE IF EXISTS who; CREATE ROLE who LOGIN PASSWORD 'right'");
    (void)snprintf(conninfo, sizeof conninfo, "postgresql://who:sesame@127.0.0.1:%s/%s", pg_server.port, database);
    must_fail(ERR_USAGE, postgres_open(&none, conninfo, &err));
    must_say("PGPASSFILE");
    ck_assert_ptr_null(strstr(err.text, "sesame"));
    must_fail(ERR_USAGE, postgres_open(&none, "dbname=d password=sesame", &err));
    (void)setenv("PGPASSWORD", "sesame", 1);
    (void)snprintf(conninfo, sizeof conninfo, "postgresql://who@127.0.0.1:%s/%s", pg_server.port, database);
    must_fail(ERR_LOG, postgres_open(&none, conninfo, &err));
    (void)unsetenv("PGPASSWORD");
    must_say("password authentication failed");
    ck_assert_ptr_null(strstr(err.text, "sesame"));
}
END_TEST

START_TEST(functions_of_others_do_not_stand_in_the_way)
{
    (void)pg_sql(
        database,
        "CREATE SCHEMA evil; CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT 1/0';"
        "CREATE FUNCTION evil.octet_length(bytea) RETURNS integer LANGUAGE sql AS 'SELECT 1/0';");
    (void)pg_sql("postgres", "ALTER DATABASE %s SET search_path = evil, pg_catalog", database);
    postgres_limit(pg, 10000);
    must(append_row(pg, 1, 1));
    const struct log_row row = row_at(1, 1, 1);
    log_is(&row, 1);
}
END_TEST

/* The grants are in the comment at the end of schema/postgres.sql, where an operator finds them. */
static void grant(void)
{
    char text[16384], *at;
    FILE *file = fopen("schema/postgres.sql", "r");
    ck_assert_msg(file != NULL, "run from the top of the tree");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    (void)pg_sql("postgres", "DROP ROLE IF EXISTS appender; CREATE ROLE appender LOGIN");
    for (at = text; (at = strstr(at, "--   GRANT ")) != NULL; at++) {
        char line[160];
        const int n = (int)(strstr(at, " TO ") - at);
        (void)snprintf(line, sizeof line, "%.*s TO appender", n - 5, at + 5);
        if (strncmp(at + n, " TO convd;", 10) == 0)
            (void)pg_sql(database, "%s", line);
    }
}

START_TEST(a_role_that_can_only_append_and_read_is_enough)
{
    struct postgres *other;
    char conninfo[256];
    const uint8_t digest[DIGEST_BYTES] = {1};
    const struct log_snapshot snapshot = {
        .revision = 1, .state = images, .tensors = images, .n_state = 10, .n_tensors = 20};
    struct log_states states;
    grant();
    (void)snprintf(conninfo, sizeof conninfo, "host=%s port=%s user=appender dbname=%s", pg_server.folder,
                   pg_server.port, database);
    must(postgres_open(&other, conninfo, &err));
    must(append_row(other, 1, 1));
    must(postgres_lock(&head, other, &err));
    must(append_row(other, 1, 1));
    must(postgres_digest(other, 1, digest, &err));
    must(postgres_snapshot_put(other, &snapshot, &err));
    must(postgres_outcomes_put(other, &(struct log_outcomes){.first = 1, .n = 1, .rows = images}, &err));
    ck_assert(postgres_states(&states, other, &err) == 1 && states.writable && states.next == 2);
    must(postgres_states_drop(other, 1, 2, &err));
    must(postgres_node_tell(other, &(struct log_node){.name = "n", .revision = 1}, &err));
    must(postgres_node_forget(other, "n", &err));
    struct log_server server;
    must(postgres_server(&server, other, &err));
    postgres_close(other);
    PGconn *conn = PQconnectdb(conninfo);
    static const char *const refused[] = {"UPDATE convd.event SET body = ''", "DELETE FROM convd.event",
                                          "TRUNCATE convd.event", "DELETE FROM convd.head"};
    for (int i = 0; i < 4; i++) {
        PGresult *result = PQexec(conn, refused[i]);
        ck_assert_str_eq(PQresultErrorField(result, PG_DIAG_SQLSTATE), "42501");
        PQclear(result);
    }
    PQfinish(conn);
}
END_TEST

/* ---- hints ---- */

START_TEST(a_listener_is_told_of_every_append)
{
    struct postgres_listener *listener;
    uint64_t told;
    must(postgres_listener_open(&listener, pg_conninfo(database, ""), &err));
    ck_assert_int_eq(postgres_listen(listener, 5000, -1, &told, &err), 1); /* the connection is new */
    ck_assert_uint_eq(told, UINT64_MAX);
    ck_assert_int_eq(postgres_listen(listener, 0, -1, &told, &err), 0);
    for (int i = 0; i < 3; i++) {
        must(append_row(pg, 1, 1));
        ck_assert_int_eq(postgres_listen(listener, 5000, -1, &told, &err), 1);
        must(postgres_head(&head, pg, &err));
        ck_assert_uint_eq(told, head.revision);
    }
    (void)pg_sql(database, "NOTIFY convd"); /* of whom we know nothing */
    ck_assert_int_eq(postgres_listen(listener, 5000, -1, &told, &err), 1);
    ck_assert_uint_eq(told, UINT64_MAX);
    ck_assert_int_eq(postgres_listen(listener, 20, -1, &told, &err), 0);
    postgres_listener_close(listener);
}
END_TEST

START_TEST(a_listener_is_woken_by_a_descriptor_and_connects_again)
{
    struct postgres_listener *listener;
    uint64_t told;
    int ends[2];
    ck_assert(pipe2(ends, O_CLOEXEC) == 0 && write(ends[1], "", 1) == 1);
    must(postgres_listener_open(&listener, pg_conninfo(database, ""), &err));
    ck_assert_int_eq(postgres_listen(listener, 5000, -1, &told, &err), 1);
    ck_assert_int_eq(postgres_listen(listener, 60000, ends[0], &told, &err), 0);
    (void)pg_sql(database, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE " OURS);
    ck_assert_int_eq(postgres_listen(listener, 5000, -1, &told, &err), 1);
    must(append_row(pg, 1, 1));
    ck_assert_int_eq(postgres_listen(listener, 5000, -1, &told, &err), 1);
    (void)pg_sql("postgres", "DROP DATABASE %s (FORCE)", database);
    must_fail(ERR_LOG, postgres_listen(listener, 50, -1, &told, &err));
    must_fail(ERR_LOG,
              postgres_listen(listener, 60000, ends[0], &told, &err)); /* no longer than the descriptor lets it */
    postgres_listener_close(listener);
    (void)close(ends[0]);
    (void)close(ends[1]);
}
END_TEST

static void add(TCase *t)
{
    tcase_add_test(t, a_log_is_made_once);
    tcase_add_test(t, rows_come_back_byte_for_byte);
    tcase_add_test(t, reading_goes_on_after_a_revision_in_pieces_of_the_size_that_is_asked);
    tcase_add_test(t, who_is_behind_appends_nothing);
    tcase_add_loop_test(t, an_edit_takes_what_it_forgets_with_it_and_no_other, 0, 2);
    tcase_add_test(t, an_edit_whose_connection_ends_is_there_with_what_it_took_or_not_at_all);
    tcase_add_test(t, a_key_is_there_once);
    tcase_add_test(t, the_chain_of_a_revision_is_found);
    tcase_add_test(t, more_than_a_server_takes_is_refused);
    tcase_add_test(t, a_row_that_is_missing_or_damaged_is_named);
    tcase_add_test(t, writers_that_race_leave_no_gap_and_no_double);
    tcase_add_test(t, who_locks_cannot_lose_and_who_does_not_loses_cleanly);
    tcase_add_test(t, a_lock_is_over_after_unlock_and_after_an_append_that_failed);
    tcase_add_test(t, a_lock_that_another_holds_is_waited_for_within_the_time_of_a_call);
    tcase_add_test(t, a_connection_that_was_ended_before_a_call_is_made_anew);
    tcase_add_test(t, a_lock_that_went_with_its_connection_is_told_by_the_append);
    tcase_add_test(t, what_a_stopped_server_did_not_do_in_time_it_does_not_do_later);
    tcase_add_test(t, who_does_not_know_that_a_commit_was_looked_up_appends_all_the_same);
    tcase_add_test(t, a_server_that_is_not_there_is_told);
    tcase_add_test(t, the_first_host_that_can_write_is_taken);
    tcase_add_test(t, a_commit_whose_connection_ended_is_looked_up_and_confirmed);
    tcase_add_test(t, a_wait_for_the_standby_that_was_cancelled_is_no_success_before_it_is_confirmed);
    tcase_add_test(t, defaults_of_the_database_weaken_nothing);
    tcase_add_test(t, a_locked_append_is_confirmed_likewise);
    tcase_add_test(t, what_is_not_confirmed_in_time_is_neither_success_nor_failure);
    tcase_add_test(t, a_database_without_a_log_or_with_a_newer_one_is_refused);
    tcase_add_test(t, a_password_is_in_no_error);
    tcase_add_test(t, functions_of_others_do_not_stand_in_the_way);
    tcase_add_test(t, a_role_that_can_only_append_and_read_is_enough);
    tcase_add_test(t, a_listener_is_told_of_every_append);
    tcase_add_test(t, a_listener_is_woken_by_a_descriptor_and_connects_again);
}

int main(void)
{
    return pg_log_run("postgres", add);
}

#endif
