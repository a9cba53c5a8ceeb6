/* pg_log.h - a log of store/postgres/ in a database of its own, for tests of it on pg_server.h's server, and their main(). */
#ifndef CONVD_TESTS_STORE_PG_LOG_H
#define CONVD_TESTS_STORE_PG_LOG_H

#include <poll.h>

#include "store/postgres/postgres.h"
#include "tests/store/pg_server.h"

static struct err err;

#define must(call) ck_assert_msg((call) == 0, "%s: %s", #call, err.text)
#define must_fail(code_, call)                                                                                         \
    do {                                                                                                               \
        ck_assert_msg((call) < 0, "%s succeeded", #call);                                                              \
        ck_assert_msg(err.code == (code_), "%s: %s: %s", #call, err_code_name(err.code), err.text);                    \
    } while (0)
#define must_say(part) ck_assert_msg(strstr(err.text, (part)) != NULL, "%s", err.text)

/* ---- a log in a database of its own ---- */

static char database[32];
static struct postgres *pg;
static struct log_head head;

static inline void make_database(const char *more)
{
    static int n;
    (void)snprintf(database, sizeof database, "t%d_%d", (int)getpid(), n++);
    (void)pg_sql("postgres", "CREATE DATABASE %s %s", database, more);
}

static inline struct postgres *opened(void)
{
    struct postgres *other;
    must(postgres_open(&other, pg_conninfo(database, ""), &err));
    return other;
}

/* No test waits for a standby that another has left. */
static inline void setup(void)
{
    (void)pg_sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    (void)pg_sql("postgres", "SELECT pg_reload_conf()");
    make_database("");
    must(postgres_create(pg_conninfo(database, ""), &err));
    pg = opened();
    must(postgres_head(&head, pg, &err));
}

static inline void teardown(void)
{
    postgres_close(pg);
    pg = NULL;
}

#define OURS "datname = current_database() AND application_name = 'convd'"

/* Returns when commits really wait. */
static inline void want_standby(void)
{
    (void)pg_sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    (void)pg_sql("postgres", "SELECT pg_reload_conf()");
    for (bool waits = false; !waits;) {
        PGconn *conn = PQconnectdb(pg_conninfo("postgres", "application_name=probe"));
        ck_assert(
            PQsendQuery(conn, "SET synchronous_commit = on; CREATE TABLE IF NOT EXISTS probe (); DROP TABLE probe"));
        struct pollfd socket = {.fd = PQsocket(conn), .events = POLLIN};
        waits = poll(&socket, 1, 300) == 0;
        PQfinish(conn);
    }
    (void)pg_sql("postgres",
                 "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'probe'");
}

/* Bytes for whatever is put there. */
#define IMAGE_BYTES 784
#define ROWS_MAX    64
static uint8_t images[ROWS_MAX * IMAGE_BYTES];
static uint32_t labels[ROWS_MAX];

static inline void paint(void)
{
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 13);
    for (uint32_t i = 0; i < ROWS_MAX; i++)
        labels[i] = i * 0x01020304u;
}

/* The cases are run with the fixtures above; nothing where there is no server. */
static inline int pg_log_run(const char *name, void (*add)(TCase *t))
{
    Suite *suite = suite_create(name);
    TCase *t = tcase_create(name);
    if (!pg_server_find()) {
        (void)printf("skipped: %s: there is no PostgreSQL server here (Debian: postgresql)\n", name);
        return EXIT_SUCCESS;
    }
    paint();
    pg_server_start();
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    add(t);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pg_server_stop();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
