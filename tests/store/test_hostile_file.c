/* test_hostile_file.c - a file that somebody made to do harm: what is written in its schema never runs, its numbers overflow nothing, and
 * its pages lead no query in circles. */
#include <nettle/sha2.h>

#include "tests/core/run.h"
#include "tests/store/image.h"
#include "tests/store/life.h"

static void model_trained(struct model *m)
{
    model_init(m);
    train(m, 40, 1);
    snapshot(m);
    train(m, 5, 2);
}

/* ---- the schema ---- */

static const struct foreign {
    const char *sql, *name;
} foreigns[] = {
    {"CREATE TRIGGER flip AFTER INSERT ON sample BEGIN UPDATE sample SET label = 0 WHERE id = new.id; END",
     "trigger flip"},
    {"CREATE VIEW aside AS WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
     "view aside"},
    {"CREATE TABLE stray (x)", "table stray"},
    {"CREATE INDEX by_label ON sample (label)", "index by_label"},
    {"CREATE VIRTUAL TABLE words USING fts5 (x)", "table words"},
    {"CREATE TABLE \"a\n\x1b[2J\" (x)", "table a??[2J"},
};

START_TEST(what_no_convd_makes_is_named_and_refused)
{
    const struct foreign *foreign = &foreigns[_i];
    for (int read_only = 0; read_only < 2; read_only++) {
        struct model m;
        model_trained(&m);
        char sql[256];
        (void)snprintf(sql, sizeof sql, "PRAGMA user_version; %s", foreign->sql);
        tamper(&m, sql);
        must_fail(&m, ERR_DB_FOREIGN, store_open(&m.store, m.path, read_only, &m.err));
        must_say(&m, foreign->name);
        must_say(&m, "drop it");
        model_fini(&m);
    }
}
END_TEST

/* Each has the name of one of ours, and does something else. */
static const char *const changes[] = {
    "PRAGMA user_version; DROP VIEW sample_now; CREATE VIEW sample_now (id, revision, label, predicted, loss, image) AS"
    " WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, 1, 0, 0, 0.0, x'' FROM n",
    "PRAGMA user_version; DROP INDEX sample_revision; CREATE INDEX sample_revision ON sample (revision) WHERE id > 2",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'loss      REAL', 'loss REAL AS (0.5)')"
    " WHERE name = 'outcome'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'label     INTEGER NOT NULL',"
    " 'label INTEGER NOT NULL DEFAULT (abs(-9223372036854775807 - 1))') WHERE name = 'sample'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '''activate''', '''--'' || ''activate''')"
    " WHERE name = 'live_span'",
};

START_TEST(what_was_changed_is_named_and_refused)
{
    struct model m;
    model_trained(&m);
    tamper(&m, changes[_i]);
    must_fail(&m, ERR_DB_CORRUPT, store_open(&m.store, m.path, false, &m.err));
    must_say(&m, "not as convd makes it");
    model_fini(&m);
}
END_TEST

START_TEST(a_comment_in_the_schema_may_differ)
{
    struct model m;
    model_trained(&m);
    tamper(&m, "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '-- 1, 2, 3, ..: the place in "
               "the log, "
               "without gaps', '  -- the place') WHERE name = 'event'");
    ck_assert_ptr_null(strstr(ask(&m, "SELECT sql FROM sqlite_schema WHERE name = 'event'"), "without gaps"));
    must(&m, store_open(&m.store, m.path, false, &m.err));
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

static unsigned n_connections;

static int on_open(sqlite3 *db, const char **message, const struct sqlite3_api_routines *routines)
{
    (void)db, (void)message, (void)routines;
    n_connections++;
    return SQLITE_OK;
}

/* As store/sqlite/schema_check.c has it to have: after a change of schema/. */
static const char *digest_wanted(struct model *m)
{
    static char text[6 * SHA256_DIGEST_SIZE + 1];
    sqlite3 *db = NULL;
    sqlite3_stmt *rows = NULL;
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    ck_assert_int_eq(sqlite3_open(m->path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name",
                                        -1, &rows, NULL),
                     SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW)
        for (int i = 0; i < 4; i++) {
            const char *one = (const char *)sqlite3_column_text(rows, i);
            sha256_update(&sha, one != NULL ? strlen(one) + 1 : 1, (const uint8_t *)(one != NULL ? one : ""));
        }
    sha256_digest(&sha, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(text + 6 * i, 7, "0x%02x, ", digest[i]);
    ck_assert_int_eq(sqlite3_finalize(rows), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    return text;
}

START_TEST(a_usual_schema_is_known_without_being_made_again)
{
    struct model m;
    model_trained(&m);
    store_close(m.store);
    m.store = NULL;
    ck_assert_int_eq(sqlite3_auto_extension((void (*)(void))on_open), SQLITE_OK);
    must(&m, store_open(&m.store, m.path, false, &m.err));
    (void)sqlite3_cancel_auto_extension((void (*)(void))on_open);
    ck_assert_msg(n_connections == 1, "the digest in store/sqlite/schema_check.c should be %s", digest_wanted(&m));
    model_fini(&m);
}
END_TEST

/* SAMPLE_NOW, which the daemon asks, and the view of that name, which people ask. */
START_TEST(the_view_for_people_says_what_the_daemon_says)
{
    static struct life l;
    struct edits edits = {0};
    struct store_sample_row rows[SAMPLES];
    struct store_search search = {
        .label = -1, .predicted = -1, .wrong = -1, .from_us = INT64_MIN, .to_us = INT64_MAX, .before = INT64_MAX};
    size_t n;
    char said[64];
    long long sum = 0;
    live(&l, false);
    want(&l, &edits, 30, EDIT_FORGET);
    want(&l, &edits, 33, (l.samples[33].label + 1) % 3);
    work_in(&l, &edits, 5);
    must(&l.m, store_search(l.m.store, &search, rows, SAMPLES, UINT64_MAX, &n, &l.m.err));
    ck_assert_uint_gt(n, 100);
    for (size_t i = 0; i < n; i++)
        sum += rows[i].id * (rows[i].label + 2);
    (void)snprintf(said, sizeof said, "%zu samples, %lld", n, sum);
    ck_assert_str_eq(ask(&l.m, "SELECT count(*) || ' samples, ' || sum(id * (label + 2)) FROM sample_now"), said);
    life_fini(&l);
}
END_TEST

/* ---- numbers ---- */

/* The model's thread does with the file what it does with any. What is found does not matter here, only that nothing overflows, which
 * UBSan watches, and that all of it ends. */
static void append_to(struct model *m, uint64_t revision)
{
    struct event event = train_event(revision, 2, 3, 9);
    struct store_key key = {.key = "k", .revision = revision};
    store_next(m->store, &event);
    if (store_begin(m->store, &m->err) == 0 && store_append(m->store, &event, &m->err) == 0 &&
        store_put_key(m->store, &key, &m->err) == 0)
        (void)store_commit(m->store, &m->err);
    store_rollback(m->store);
}

static void look_at(struct model *m)
{
    struct store_verdict verdict;
    struct store_snapshot *list = NULL;
    struct store_sample_row rows[8];
    struct store_search search = {
        .label = -1, .predicted = -1, .wrong = -1, .from_us = 0, .to_us = INT64_MAX, .before = INT64_MAX};
    size_t n = 0;
    uint64_t n_samples;
    (void)store_snapshots(m->store, &list, &n, &m->err);
    free(list);
    (void)store_search(m->store, &search, rows, 8, UINT64_MAX, &n, &m->err);
    (void)store_live_samples(m->store, &n_samples, &m->err);
    (void)store_expire_keys(m->store, 1000000, 10, &m->err);
    (void)store_verify(m->store, NULL, NULL, NULL, &verdict, &m->err);
}

static void use(struct model *m)
{
    struct learner *learner = NULL;
    if (store_open(&m->store, m->path, false, &m->err) == 0) {
        if (store_recover(m->store, NULL, NULL, NULL, &learner, NULL, &m->err) == 0)
            append_to(m, learner->revision + 1);
        look_at(m);
    } else if (m->err.code == ERR_DB_CORRUPT &&
               store_salvage(&m->store, m->path, NULL, NULL, NULL, &learner, NULL, &m->err) == 0)
        look_at(m);
    learner_free(learner);
    store_close(m->store);
    m->store = NULL;
}

/* A column of whole numbers. */
#define COLUMNS                                                                                                        \
    " FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table' AND substr(t.name, 1, 7) <> "     \
    "'sqlite_'"                                                                                                        \
    " AND c.type = 'INTEGER' ORDER BY t.name, c.cid"

/* Every row of the i-th column becomes that number, or, of a key, the first. */
static void set_column(struct model *m, int i, const char *number)
{
    char which[256], sql[512];
    (void)snprintf(which, sizeof which,
                   "SELECT 'UPDATE OR IGNORE ' || t.name || ' SET ' || c.name" COLUMNS " LIMIT 1 OFFSET %d", i);
    (void)snprintf(sql, sizeof sql, "PRAGMA foreign_keys = OFF; %s = %s", ask(m, which), number);
    tamper(m, sql);
}

START_TEST(no_number_of_the_file_overflows)
{
    static const char *const numbers[] = {"9223372036854775807", "-9223372036854775808", "9007199254740992"};
    static struct life l;
    struct edits edits = {0};
    struct image whole;
    live(&l, true);
    want(&l, &edits, 30, EDIT_FORGET);
    work_in(&l, &edits, 5);
    image_take(&whole, &l.m);
    const int n = (int)strtol(ask(&l.m, "SELECT count(*)" COLUMNS), NULL, 10);
    ck_assert_int_ge(n, 40);
    for (int i = 0; i < n; i++) {
        image_put(&whole, &l.m);
        set_column(&l.m, i, numbers[_i]);
        use(&l.m);
    }
    image_fini(&whole);
    life_fini(&l);
}
END_TEST

/* Which row it is, and for reading what is before it. */
static const struct {
    const char *sql, *name;
} numbered[] = {
    {"UPDATE event SET revision = 9223372036854775807 WHERE revision = (SELECT max(revision) FROM event)",
     "revision 9223372036854775807"},
    {"UPDATE sample SET id = 9223372036854775807 WHERE id = (SELECT max(id) FROM sample)",
     "sample 9223372036854775807"},
    {"UPDATE sqlite_sequence SET seq = 9223372036854775807", "snapshot 9223372036854775807"},
    {"INSERT INTO edit VALUES (1, 9223372036854775807, 0, 0)", "edit 9223372036854775807"},
};

START_TEST(a_number_after_which_none_comes_is_refused)
{
    struct model m;
    struct learner *learner = NULL;
    model_trained(&m);
    tamper(&m, numbered[_i].sql);
    must_fail(&m, ERR_DB_CORRUPT, store_open(&m.store, m.path, false, &m.err));
    must_say(&m, numbered[_i].name);
    must_say(&m, "is not from 0 to 2^53 - 1");
    must(&m,
         store_salvage(&m.store, m.path, NULL, NULL, NULL, &learner, NULL, &m.err)); /* what is before it is served */
    ck_assert_uint_le(learner->revision, 3);
    learner_free(learner);
    model_fini(&m);
}
END_TEST

/* ---- pages ---- */

#define PAGE 8192u

static void put_be32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* An inner page of a table, as full of the same child as it gets: a cell is the child's number and a key. */
static void inner_page(uint8_t page[PAGE], uint32_t child)
{
    const uint32_t n = (PAGE - 12) / 7, cells = PAGE - 5 * n;
    memset(page, 0, PAGE);
    page[0] = 5;
    page[3] = (uint8_t)(n >> 8), page[4] = (uint8_t)n;
    page[5] = (uint8_t)(cells >> 8), page[6] = (uint8_t)cells;
    put_be32(page + 8, child);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at = cells + 5 * i;
        page[12 + 2 * i] = (uint8_t)(at >> 8), page[13 + 2 * i] = (uint8_t)at;
        put_be32(page + at, child);
        page[at + 4] = 1;
    }
}

/* The table's one page goes to the end of the file, and is behind its root a thousand times a thousand times a thousand times. */
static void lead_in_circles(struct model *m, const char *table)
{
    char sql[128];
    uint8_t page[PAGE], header[100];
    (void)snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", table);
    const long root = strtol(ask(m, sql), NULL, 10);
    int fd = open(m->path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, header, sizeof header, 0), sizeof header);
    ck_assert_int_eq(pread(fd, page, PAGE, (root - 1) * PAGE), PAGE);
    ck_assert_msg(page[0] == 13, "table %s is more than one page", table);
    const uint32_t n = (uint32_t)(lseek(fd, 0, SEEK_END) / PAGE);
    for (uint32_t i = 1; i <= 4; i++) {
        ck_assert_int_eq(pwrite(fd, page, PAGE, i < 4 ? (off_t)(n + i - 1) * PAGE : (root - 1) * (off_t)PAGE), PAGE);
        inner_page(page, n + i);
    }
    put_be32(header + 28, n + 3);
    ck_assert_int_eq(pwrite(fd, header, sizeof header, 0), sizeof header);
    (void)close(fd);
}

START_TEST(pages_that_lead_in_circles_end)
{
    struct model m;
    struct store_snapshot *list;
    size_t n;
    model_trained(&m);
    lead_in_circles(&m, "snapshot");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_snapshots(m.store, &list, &n, &m.err));
    must_say(&m, "took longer than a file of this size can need");
    model_fini(&m);
}
END_TEST

START_TEST(a_count_of_pages_that_lead_in_circles_ends)
{
    struct model m;
    struct store_verdict verdict;
    model_trained(&m);
    lead_in_circles(&m, "outcome");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_verify(m.store, NULL, NULL, NULL, &verdict, &m.err));
    model_fini(&m);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("a hostile file");
    tcase_add_loop_test(tcase, what_no_convd_makes_is_named_and_refused, 0, sizeof foreigns / sizeof *foreigns);
    tcase_add_loop_test(tcase, what_was_changed_is_named_and_refused, 0, sizeof changes / sizeof *changes);
    tcase_add_test(tcase, a_usual_schema_is_known_without_being_made_again);
    tcase_add_test(tcase, a_comment_in_the_schema_may_differ);
    tcase_add_test(tcase, the_view_for_people_says_what_the_daemon_says);
    tcase_add_loop_test(tcase, no_number_of_the_file_overflows, 0, 3);
    tcase_add_loop_test(tcase, a_number_after_which_none_comes_is_refused, 0, sizeof numbered / sizeof *numbered);
    tcase_add_test(tcase, pages_that_lead_in_circles_end);
    tcase_add_test(tcase, a_count_of_pages_that_lead_in_circles_ends);
    return run_case(tcase, "hostile file");
}
