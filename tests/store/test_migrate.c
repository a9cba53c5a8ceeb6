/* test_migrate.c - from one format of the file to the next: a schema of two versions, the second of which exists only here. The
 * linker takes this program's schema_sql, not the library's. */
#include "store/sqlite/schema.h"
#include "tests/store/model.h"

static char first[1 << 16];
const char *const schema_sql[] = {
    first, "CREATE TABLE later (x INTEGER) STRICT; INSERT INTO later VALUES (7); PRAGMA user_version = 2;", NULL};
const int schema_version = 2;

static void read_first(void)
{
    FILE *file = fopen("schema/0001.sql", "r");
    ck_assert_msg(file != NULL, "run from the top of the tree");
    first[fread(first, 1, sizeof first - 1, file)] = '\0';
    ck_assert(feof(file));
    (void)fclose(file);
}

/* A model with the format before this one. */
static void model_of_format_1(struct model *m)
{
    read_first();
    model_init(m);
    train(m, 40, 1);
    snapshot(m);
    train(m, 5, 2);
    tamper(m, "DROP TABLE later; PRAGMA user_version = 1");
}

START_TEST(an_older_file_is_brought_up_to_date_and_is_the_same_model)
{
    struct model m;
    model_of_format_1(&m);
    must(&m, store_open(&m.store, m.path, false, &m.err));
    struct store_recovery report = recovers(&m);
    ck_assert_int_eq(report.snapshot, 2);
    verifies(&m);
    ck_assert_str_eq(ask(&m, "PRAGMA user_version"), "2");
    ck_assert_str_eq(ask(&m, "SELECT x FROM later"), "7");
    model_fini(&m);
}
END_TEST

START_TEST(who_only_reads_is_told_to_open_an_older_file_for_writing)
{
    struct model m;
    model_of_format_1(&m);
    must_fail(&m, ERR_DB_READONLY, store_open(&m.store, m.path, true, &m.err));
    must_say(&m, "older format 1");
    ck_assert_str_eq(ask(&m, "PRAGMA user_version"), "1");
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migrate");
    TCase *t = tcase_create("migrate");
    tcase_add_test(t, an_older_file_is_brought_up_to_date_and_is_the_same_model);
    tcase_add_test(t, who_only_reads_is_told_to_open_an_older_file_for_writing);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
