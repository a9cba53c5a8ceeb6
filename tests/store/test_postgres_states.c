/* test_postgres_states.c - what store/postgres/ keeps beside the log, against a real PostgreSQL: digests, states to begin from, outcomes, who follows, and
 * what the server says of itself. */
#include "store/postgres/postgres.h"

#if !HAVE_LIBPQ

int main(void)
{
    return 0; /* test_postgres.c has what is left then */
}

#else

#include "tests/store/pg_log.h"

START_TEST(the_first_digest_of_a_revision_is_kept_and_another_is_told)
{
    uint8_t digest[DIGEST_BYTES] = {1, 2, 3};
    must(postgres_digest(pg, 5, digest, &err));
    must(postgres_digest(pg, 5, digest, &err));
    digest[31] = 1;
    must_fail(ERR_DIVERGED, postgres_digest(pg, 5, digest, &err));
    must_say("revision 5");
    must(postgres_digest(pg, 6, digest, &err));
    (void)pg_sql(database, "INSERT INTO convd.digest SELECT n, sha256('') FROM generate_series(7, 1100) AS n");
    must(postgres_digest(pg, 1101, digest, &err));
    ck_assert_str_eq(pg_sql(database, "SELECT min(revision) || ' ' || count(*) FROM convd.digest"), "102 1000");
}
END_TEST

START_TEST(a_snapshot_comes_back_and_the_newest_four_and_the_first_stay)
{
    const size_t n = 20000000; /* more than one piece */
    uint8_t *tensors = malloc(n);
    struct log_snapshot *found, put = {.state = images, .n_state = 1000, .tensors = tensors, .n_tensors = n};
    for (size_t i = 0; i < n; i++)
        tensors[i] = (uint8_t)(i * 2654435761u >> 11);
    ck_assert_int_eq(postgres_snapshot_get(&found, pg, 100, &err), 0);
    for (put.revision = 1; put.revision <= 7; put.revision++) {
        memset(put.digest, (int)put.revision, DIGEST_BYTES);
        memset(put.chain, (int)put.revision + 100, CHAIN_BYTES);
        put.n_tensors = put.revision == 5 ? n : 10;
        must(postgres_snapshot_put(pg, &put, &err));
    }
    ck_assert_str_eq(pg_sql(database, "SELECT string_agg(revision::text, ' ' ORDER BY revision) FROM convd.snapshot"),
                     "1 4 5 6 7");
    ck_assert_int_eq(postgres_snapshot_get(&found, pg, 5, &err), 1);
    ck_assert(found->revision == 5 && found->n_state == 1000 && found->n_tensors == n);
    ck_assert(found->digest[31] == 5 && found->chain[31] == 105);
    ck_assert_mem_eq(found->state, images, 1000);
    ck_assert(memcmp(found->tensors, tensors, n) == 0);
    free(found);
    ck_assert_int_eq(postgres_snapshot_get(&found, pg, 3, &err), 1);
    ck_assert_uint_eq(found->revision, 1);
    free(found);
    ck_assert_int_eq(postgres_snapshot_get(&found, pg, 0, &err), 0);
    put.revision = 7;
    must(postgres_snapshot_put(pg, &put, &err));
    put.digest[0]++;
    must_fail(ERR_DIVERGED, postgres_snapshot_put(pg, &put, &err));
    free(tensors);
}
END_TEST

/* As a node that is at that revision. */
static void put_outcomes(int64_t first, uint32_t n, uint64_t revision)
{
    const struct log_outcomes outcomes = {.first = first, .n = n, .revision = revision, .rows = images};
    must(postgres_outcomes_put(pg, &outcomes, &err));
}

static int64_t next_outcome(void)
{
    struct log_states states;
    ck_assert_int_eq(postgres_states(&states, pg, &err), 1);
    return states.next;
}

START_TEST(outcomes_come_back_by_sample_and_a_gap_is_where_they_go_on)
{
    struct log_outcomes *found;
    ck_assert_int_eq(next_outcome(), 1);
    put_outcomes(1, 10, 5);
    put_outcomes(11, 4, 9);
    put_outcomes(11, 1, 9); /* one that was there first */
    ck_assert_int_eq(next_outcome(), 15);
    ck_assert_int_eq(postgres_outcomes_get(&found, pg, 14, &err), 1);
    ck_assert(found->first == 11 && found->n == 4 && memcmp(found->rows, images, 4 * LOG_OUTCOME_BYTES) == 0);
    free(found);
    ck_assert_int_eq(postgres_outcomes_get(&found, pg, 15, &err), 0);
    must(postgres_states_drop(pg, 9, 10, &err));
    ck_assert_int_eq(next_outcome(), 11);
    put_outcomes(13, 2, 9);
    ck_assert_int_eq(next_outcome(), 11);
    ck_assert_int_eq(postgres_outcomes_get(&found, pg, 12, &err), 0);
    put_outcomes(11, 10, 12); /* over what is behind the gap */
    ck_assert_int_eq(next_outcome(), 15);
    ck_assert_int_eq(postgres_outcomes_get(&found, pg, 16, &err), 1);
    ck_assert_int_eq(found->first, 11);
    free(found);
    must(postgres_states_drop(pg, 1, 9, &err));
    ck_assert_int_eq(next_outcome(), 1);
    (void)pg_sql(database, "DROP TABLE convd.outcome");
    struct log_states states;
    ck_assert_int_eq(postgres_states(&states, pg, &err), 0);
}
END_TEST

START_TEST(a_snapshot_that_an_edit_touches_is_none_to_begin_from)
{
    struct log_states states;
    struct log_snapshot put = {.state = images, .n_state = 10, .tensors = images, .n_tensors = 10};
    for (put.revision = 1; put.revision <= 9; put.revision += 4)
        must(postgres_snapshot_put(pg, &put, &err));
    ck_assert(postgres_states(&states, pg, &err) == 1 && states.snapshot == 9);
    (void)pg_sql(
        database,
        "INSERT INTO convd.event SELECT 12, 0, 0, 'edit', '{\"number\":1,\"from\":6}', chain, NULL, NULL, '', ''"
        " FROM convd.head");
    ck_assert(postgres_states(&states, pg, &err) == 1 && states.snapshot == 5);
    must(postgres_states_drop(pg, 6, 12, &err));
    ck_assert_str_eq(pg_sql(database, "SELECT string_agg(revision::text, ' ' ORDER BY revision) FROM convd.snapshot"),
                     "1 5");
    must(postgres_states_drop(pg, 1, 12, &err));
    ck_assert(postgres_states(&states, pg, &err) == 1 && states.snapshot == 0);
    ck_assert_str_eq(pg_sql(database, "SELECT string_agg(revision::text, ' ' ORDER BY revision) FROM convd.snapshot"),
                     "1");
}
END_TEST

/* What a node says that has a digest of that revision, whose first byte is that; 0: none. */
static void tell(struct postgres *of, const char *name, uint64_t revision, uint64_t compared, bool diverged)
{
    struct log_node node = {.revision = revision, .compared = compared, .digest = {1}, .diverged = diverged};
    (void)snprintf(node.name, sizeof node.name, "%s", name);
    must(postgres_node_tell(of, &node, &err));
}

START_TEST(nodes_are_listed_by_name_with_what_they_told_last)
{
    struct log_node *list;
    size_t n;
    must(postgres_nodes(&list, &n, pg, &err));
    ck_assert_uint_eq(n, 0);
    free(list);
    tell(pg, "b", 7, 5, true);
    tell(pg, "a", 1, 0, false);
    tell(pg, "b", 8, 6, false);
    tell(pg, "c", 9, 6, true);
    must(postgres_nodes(&list, &n, pg, &err));
    ck_assert(n == 3 && list[0].revision == 1 && list[1].revision == 8 && list[1].age_s >= 0 && list[1].age_s < 60);
    ck_assert_str_eq(list[0].name, "a");
    ck_assert_str_eq(list[1].name, "b");
    ck_assert(list[0].compared == 0 && list[0].diverged == 0);
    ck_assert(list[1].compared == 6 && list[1].digest[0] == 1 && list[1].digest[1] == 0 && list[1].diverged == 0);
    ck_assert(list[2].compared == 6 && list[2].diverged == 1);
    free(list);
    must(postgres_node_forget(pg, "a", &err));
    must(postgres_node_forget(pg, "a", &err));
    must(postgres_nodes(&list, &n, pg, &err));
    ck_assert_uint_eq(n, 2);
    free(list);
}
END_TEST

static void expect_node(size_t place, uint64_t revision, uint64_t compared, int diverged)
{
    struct log_node *list;
    size_t n;
    must(postgres_nodes(&list, &n, pg, &err));
    ck_assert_uint_lt(place, n);
    ck_assert_msg(
        list[place].revision == revision && list[place].compared == compared && list[place].diverged == diverged,
        "node %zu: revision %llu, compared %llu, diverged %d", place, (unsigned long long)list[place].revision,
        (unsigned long long)list[place].compared, list[place].diverged);
    free(list);
}

/* As the comment in schema/postgres.sql says it, where an owner finds it. */
static void add_columns(void)
{
    char text[16384], *line;
    FILE *file = fopen("schema/postgres.sql", "r");
    ck_assert_msg(file != NULL, "run from the top of the tree");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    ck_assert_ptr_nonnull(line = strstr(text, "--   ALTER TABLE convd.node "));
    (void)pg_sql(database, "%.*s", (int)strcspn(line, "\n") - 5, line + 5);
}

START_TEST(a_log_of_before_nodes_told_all_goes_on_and_its_owner_gives_it_the_room)
{
    (void)pg_sql(database, "ALTER TABLE convd.node DROP compared, DROP digest, DROP diverged");
    postgres_close(pg);
    pg = opened();
    tell(pg, "a", 1, 5, true);
    expect_node(0, 1, 0, -1);
    add_columns();
    tell(pg, "a", 2, 5, true);
    expect_node(0, 2, 0, -1);
    struct postgres *other = opened();
    tell(other, "b", 3, 5, true);
    postgres_close(other);
    expect_node(1, 3, 5, 1);
}
END_TEST

START_TEST(a_node_that_tells_does_not_wait_for_a_standby)
{
    want_standby();
    postgres_limit(pg, 2000);
    tell(pg, "a", 1, 1, false);
}
END_TEST

START_TEST(the_server_says_what_it_is)
{
    struct log_server server;
    (void)pg_sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    (void)pg_sql("postgres", "SELECT pg_reload_conf()");
    do {
        must(postgres_server(&server, pg, &err));
    } while (server.synchronous[0] == '\0');
    ck_assert_str_eq(server.synchronous, "nobody");
    ck_assert_str_eq(server.host, pg_server.folder);
    ck_assert(!server.standby && server.standbys == 0 && server.standbys_sync == 0);
    ck_assert_int_ge(strtol(server.version, NULL, 10), 14);
}
END_TEST

START_TEST(one_node_at_a_time_may_rehearse_on_its_own)
{
    struct postgres *other = opened();
    must(postgres_idle_unlock(pg, &err));
    ck_assert_int_eq(postgres_idle_lock(pg, &err), 1);
    ck_assert_int_eq(postgres_idle_lock(pg, &err), 1);
    ck_assert_int_eq(postgres_idle_lock(other, &err), 0);
    must(postgres_idle_unlock(pg, &err));
    ck_assert_int_eq(postgres_idle_lock(other, &err), 1);
    ck_assert_int_eq(postgres_idle_lock(pg, &err), 0);
    postgres_close(other);
    int mine;
    while ((mine = postgres_idle_lock(pg, &err)) == 0)
        pg_nap(5);
    ck_assert_int_eq(mine, 1);
    (void)pg_sql(database, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE " OURS);
    other = opened();
    ck_assert_int_eq(postgres_idle_lock(other, &err), 1);
    ck_assert_int_eq(postgres_idle_lock(pg, &err), 0);
    postgres_close(other);
}
END_TEST

static void add(TCase *t)
{
    tcase_add_test(t, the_first_digest_of_a_revision_is_kept_and_another_is_told);
    tcase_add_test(t, a_snapshot_comes_back_and_the_newest_four_and_the_first_stay);
    tcase_add_test(t, outcomes_come_back_by_sample_and_a_gap_is_where_they_go_on);
    tcase_add_test(t, a_snapshot_that_an_edit_touches_is_none_to_begin_from);
    tcase_add_test(t, nodes_are_listed_by_name_with_what_they_told_last);
    tcase_add_test(t, a_log_of_before_nodes_told_all_goes_on_and_its_owner_gives_it_the_room);
    tcase_add_test(t, a_node_that_tells_does_not_wait_for_a_standby);
    tcase_add_test(t, the_server_says_what_it_is);
    tcase_add_test(t, one_node_at_a_time_may_rehearse_on_its_own);
}

int main(void)
{
    return pg_log_run("postgres states", add);
}

#endif
