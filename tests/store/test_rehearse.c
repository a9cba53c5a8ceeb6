/* test_rehearse.c - past samples trained on again: which they are, in what order, and that a replay does the same. */
#define MODEL_STEPS 1 /* rehearsals are what the events here say */

#include "core/draw.h"
#include "store/log/chain.h"
#include "store/sqlite/schema.h"
#include "tests/store/model.h"

/* The next event: places begin .. end - 1 of a pass over the live samples of first .. last. */
static struct event chunk(struct model *m, int64_t first, int64_t last, uint64_t seed, uint64_t begin, uint64_t end)
{
    struct event event = rehearse_event(m, first, last, seed);
    event.as.rehearse.begin = begin;
    event.as.rehearse.end = end;
    return event;
}

static void append(struct model *m, struct event event)
{
    must(m, store_rehearse(m->store, m->learner, &event, &m->err));
    must(m, store_append(m->store, &event, &m->err));
}

/* What the event means, done by hand: `ids` are the live samples of its range. */
static void fold(struct model *m, struct learner *learner, const struct event *event, const int64_t *ids)
{
    for (uint64_t i = event->as.rehearse.begin; i < event->as.rehearse.end; i++) {
        uint32_t label;
        uint8_t pixels[MODEL_PIXELS];
        int64_t id = ids[learner_order(event->as.rehearse.seed, event->as.rehearse.n, i)];
        struct rehearse_step step = {.rate = event->as.rehearse.rate,
                                     .jitter = event->as.rehearse.jitter,
                                     .rotation = event->as.rehearse.rotation,
                                     .draw = draw_bits(event->as.rehearse.seed, i)};
        ck_assert_int_eq(store_sample(m->store, id, &label, pixels, sizeof pixels, &m->err), 1);
        must(m, learner_rehearse(learner, label, pixels, &step, &m->err));
    }
    learner->revision = event->revision;
}

static void is_folded(struct model *m, struct event event, const int64_t *ids)
{
    struct learner *expected = keep(m);
    fold(m, expected, &event, ids);
    must(m, store_rehearse(m->store, m->learner, &event, &m->err));
    same_state(m->learner, expected);
    learner_free(expected);
}

/* ---- one event ---- */

START_TEST(a_chunk_is_its_places_of_the_order_at_its_own_rate_and_jitter)
{
    struct model m;
    int64_t ids[30];
    model_init(&m);
    train(&m, 30, 1);
    for (int64_t i = 0; i < 30; i++)
        ids[i] = i + 1;
    float rate = m.learner->settings.rate;
    struct event event = chunk(&m, 1, 30, 99, 7, 21);
    event.as.rehearse.rate = 0.01F;
    event.as.rehearse.jitter = 1.5F;
    event.as.rehearse.rotation = 20;
    struct learner *plain = keep(&m);
    is_folded(&m, event, ids);
    ck_assert_uint_eq(m.learner->step, 30 + 14);
    ck_assert(m.learner->settings.rate == rate);
    /* and each of these does matter */
    uint8_t digest[DIGEST_BYTES], other[DIGEST_BYTES];
    learner_digest(m.learner, digest);
    for (int i = 0; i < 4; i++) {
        struct event changed = event;
        changed.as.rehearse.rate = i == 0 ? 0.02F : event.as.rehearse.rate;
        changed.as.rehearse.jitter = i == 1 ? 0 : event.as.rehearse.jitter;
        changed.as.rehearse.rotation = i == 2 ? 0 : event.as.rehearse.rotation;
        changed.as.rehearse.seed = i == 3 ? 98 : event.as.rehearse.seed;
        must(&m, learner_copy(m.learner, plain, &m.err));
        must(&m, store_rehearse(m.store, m.learner, &changed, &m.err));
        learner_digest(m.learner, other);
        ck_assert_mem_ne(digest, other, DIGEST_BYTES);
    }
    learner_free(plain);
    model_fini(&m);
}
END_TEST

START_TEST(chunks_one_after_the_other_are_the_whole_pass)
{
    struct model m;
    model_init(&m);
    train(&m, 40, 1);
    struct learner *whole = keep(&m);
    struct event event = chunk(&m, 1, 40, 5, 0, 40);
    must(&m, store_rehearse(m.store, whole, &event, &m.err));
    must(&m, store_begin(m.store, &m.err));
    append(&m, chunk(&m, 1, 40, 5, 0, 1));
    append(&m, chunk(&m, 1, 40, 5, 1, 33));
    append(&m, chunk(&m, 1, 40, 5, 33, 40));
    must(&m, store_commit(m.store, &m.err));
    whole->revision = m.learner->revision;
    same_state(m.learner, whole);
    learner_free(whole);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(gaps_in_the_ids_are_skipped)
{
    struct model m;
    int64_t ids[24];
    size_t n = 0;
    model_init(&m);
    train(&m, 30, 1);
    tamper(&m, "DELETE FROM sample WHERE id IN (1, 2, 9, 10, 11, 25)");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    for (int64_t id = 1; id <= 30; id++)
        if (id > 2 && !(id >= 9 && id <= 11) && id != 25)
            ids[n++] = id;
    struct event event = chunk(&m, 1, 30, 7, 0, 24);
    ck_assert_uint_eq(event.as.rehearse.n, 24);
    is_folded(&m, event, ids);
    model_fini(&m);
}
END_TEST

START_TEST(an_event_that_counts_other_samples_than_there_are_is_damage)
{
    struct model m;
    model_init(&m);
    train(&m, 10, 1);
    struct event event = chunk(&m, 1, 10, 7, 0, 10);
    event.as.rehearse.n = 11;
    must_fail(&m, ERR_DB_CORRUPT, store_rehearse(m.store, m.learner, &event, &m.err));
    event.as.rehearse.n = 9;
    event.as.rehearse.end = 9;
    must_fail(&m, ERR_DB_CORRUPT, store_rehearse(m.store, m.learner, &event, &m.err));
    must_say(&m, "the current lineage has 10");
    model_fini(&m);
}
END_TEST

START_TEST(a_sample_that_has_gone_meanwhile_is_damage)
{
    struct model m;
    model_init(&m);
    train(&m, 10, 1);
    in_group(&m, append_rehearse(&m, 1, 10, 3));
    tamper(&m, "DELETE FROM sample WHERE id = 4");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    struct learner *back;
    must_fail(&m, ERR_DB_CORRUPT, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    model_fini(&m);
}
END_TEST

START_TEST(how_many_pictures_stay_in_memory_changes_no_bit)
{
    struct model m;
    model_init(&m);
    train(&m, 60, 1);
    struct learner *before = keep(&m), *first = NULL;
    for (size_t bytes = 0; bytes <= 100000; bytes = bytes * 10 + 100) {
        must(&m, store_rehearse_memory(m.store, bytes, &m.err));
        for (uint64_t pass = 0; pass < 3; pass++) {
            struct event event = chunk(&m, 1, 60, pass, 0, 60);
            must(&m, store_rehearse(m.store, m.learner, &event, &m.err));
        }
        if (first == NULL)
            first = keep(&m);
        same_state(m.learner, first);
        must(&m, learner_copy(m.learner, before, &m.err));
    }
    learner_free(first);
    learner_free(before);
    model_fini(&m);
}
END_TEST

/* ---- which samples ---- */

START_TEST(the_range_narrows_to_the_samples_that_are_live)
{
    struct model m;
    int64_t first = 1, last = INT64_MAX;
    uint64_t n = 99;
    model_init(&m);
    must(&m, store_rehearsable(m.store, &first, &last, &n, &m.err));
    ck_assert_uint_eq(n, 0);
    ck_assert(first == 1 && last == INT64_MAX);
    train(&m, 5, 1);
    struct learner *five = keep(&m);
    train(&m, 5, 2); /* 6 .. 10 */
    must(&m, store_rehearsable(m.store, &first, &last, &n, &m.err));
    ck_assert(n == 10 && first == 1 && last == 10);
    in_group(&m, append_activate(&m, five));
    train(&m, 5, 3); /* 11 .. 15 */
    first = 3, last = 12;
    must(&m, store_rehearsable(m.store, &first, &last, &n, &m.err));
    ck_assert(n == 5 && first == 3 && last == 12);
    first = 7, last = 10;
    must(&m, store_rehearsable(m.store, &first, &last, &n, &m.err));
    ck_assert_uint_eq(n, 0);
    first = 4, last = 10;
    must(&m, store_rehearsable(m.store, &first, &last, &n, &m.err));
    ck_assert(n == 2 && first == 4 && last == 5);
    learner_free(five);
    model_fini(&m);
}
END_TEST

START_TEST(samples_that_were_left_behind_do_not_count)
{
    struct model m;
    model_init(&m);
    train(&m, 5, 1);
    struct learner *five = keep(&m);
    train(&m, 5, 2);
    in_group(&m, append_rehearse(&m, 1, 10, 3)); /* of all ten */
    in_group(&m, append_activate(&m, five));
    train(&m, 5, 4); /* 11 .. 15 */
    static const int64_t live[] = {1, 2, 3, 4, 5, 11, 12, 13, 14, 15};
    struct event event = chunk(&m, 1, 15, 8, 0, 10);
    ck_assert_uint_eq(event.as.rehearse.n, 10);
    is_folded(&m, event, live);
    in_group(&m, must(&m, store_append(m.store, &event, &m.err)));
    learner_free(five);
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(samples_that_come_between_two_chunks_are_not_in_the_range)
{
    struct model m;
    model_init(&m);
    train(&m, 20, 1);
    static const int64_t first[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    in_group(&m, append(&m, chunk(&m, 1, 20, 6, 0, 9)));
    train(&m, 7, 2);
    struct event event = chunk(&m, 1, 20, 6, 9, 20);
    ck_assert_uint_eq(event.as.rehearse.n, 20);
    is_folded(&m, event, first);
    in_group(&m, must(&m, store_append(m.store, &event, &m.err)));
    (void)recovers(&m);
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(a_group_that_is_rolled_back_takes_its_pictures_with_it)
{
    struct model m;
    model_init(&m);
    train(&m, 4, 1);
    struct learner *before = keep(&m);
    must(&m, store_begin(m.store, &m.err));
    append_train(&m, 4, 2);
    append_rehearse(&m, 1, 8, 1);
    store_rollback(m.store);
    must(&m, learner_copy(m.learner, before, &m.err));
    train(&m, 4, 77); /* other pictures and labels, the same ids */
    in_group(&m, append_rehearse(&m, 1, 8, 1));
    (void)recovers(&m);
    verifies(&m);
    learner_free(before);
    model_fini(&m);
}
END_TEST

/* ---- replay ---- */

/* Chunks among all other kinds of events, with ways back from in between: every revision can be had again. */
START_TEST(every_revision_among_rehearsals_and_ways_back_can_be_visited)
{
    enum { N = 80 };
    struct model m;
    struct learner *past[N + 1] = {NULL};
    model_init(&m);
    past[1] = keep(&m);
    for (uint64_t revision = 2; revision <= N; revision++) {
        uint64_t draw = mix(revision * 5);
        int64_t first = 1, last = INT64_MAX;
        uint64_t n = 0;
        must(&m, store_begin(m.store, &m.err));
        must(&m, store_rehearsable(m.store, &first, &last, &n, &m.err));
        if (draw % 9 == 0) {
            append_activate(&m, past[1 + draw / 9 % (revision - 1)]);
        } else if (draw % 3 == 1 && n > 0) {
            uint64_t begin = draw / 3 % n;
            struct event event = chunk(&m, 1 + (int64_t)(draw / 64 % 3), INT64_MAX, draw >> 20, 0, 0);
            n = event.as.rehearse.n;
            event.as.rehearse.begin = begin < n ? begin : n - 1;
            event.as.rehearse.end = event.as.rehearse.begin + 1 + draw / 5 % (n - event.as.rehearse.begin);
            event.as.rehearse.jitter = (float)(draw / 7 % 3);
            event.as.rehearse.rotation = (float)(draw / 11 % 20);
            append(&m, event);
        } else {
            append_train(&m, 2 + (uint32_t)(draw % 6), revision);
        }
        must(&m, store_commit(m.store, &m.err));
        if (draw % 11 == 0)
            snapshot(&m);
        past[revision] = keep(&m);
    }
    (void)recovers(&m);
    for (uint64_t revision = 1; revision <= N; revision++) {
        struct learner *state;
        must(&m, state_at(m.store, revision, &state, &m.err));
        same_state(state, past[revision]);
        learner_free(state);
        learner_free(past[revision]);
    }
    verifies(&m);
    model_fini(&m);
}
END_TEST

START_TEST(every_instruction_set_rehearses_to_the_same_bits)
{
    struct model m;
    const struct arith *arith;
    model_init(&m);
    train(&m, 30, 1);
    struct event event = chunk(&m, 1, 30, 11, 0, 30);
    event.as.rehearse.jitter = 2;
    event.as.rehearse.rotation = 30;
    in_group(&m, append(&m, event));
    for (unsigned i = 0; (arith = arith_nth(i)) != NULL; i++) {
        struct learner *back;
        must(&m, store_recover(m.store, arith, NULL, NULL, &back, NULL, &m.err));
        same_state(back, m.learner);
        learner_free(back);
    }
    model_fini(&m);
}
END_TEST

/* ---- events that this convd does not write ---- */

/* A rehearse event with any body at all, at the end of the closed log, chained as it should be. */
static void forge(struct model *m, const char *body)
{
    uint8_t link[CHAIN_BYTES];
    struct chain chain;
    char sql[600], hex[2 * CHAIN_BYTES + 1];
    uint64_t revision = store_revision(m->store) + 1;
    const char *previous = ask(m, "SELECT hex(chain) FROM event ORDER BY revision DESC LIMIT 1");
    for (size_t i = 0; i < CHAIN_BYTES; i++) {
        char digits[3] = {previous[2 * i], previous[2 * i + 1], '\0'};
        link[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    chain_init(&chain, link, revision, 1700000000000000, "rehearse", body, strlen(body), 0);
    chain_end(&chain, link);
    for (size_t i = 0; i < CHAIN_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", link[i]);
    (void)snprintf(sql, sizeof sql, "INSERT INTO event VALUES (%llu, 'rehearse', 1700000000000000, '%s', x'%s')",
                   (unsigned long long)revision, body, hex);
    tamper(m, sql);
}

#define CHUNK(n, begin, end, rate)                                                                                     \
    "{\"first\":1,\"last\":10,\"n\":" n ",\"seed\":7,\"begin\":" begin ",\"end\":" end ",\"rate\":" rate "}"
#define STILL "0.1,\"jitter\":0.0,\"rotation\":0.0"

static const struct {
    const char *body, *what;
} damaged[] = {
    {CHUNK("10", "0", "11", STILL), "the body's end"},
    {CHUNK("10", "5", "5", STILL), "the body's end"},
    {CHUNK("10", "-1", "5", STILL), "the body's begin"},
    {CHUNK("0", "0", "0", STILL), "the body's n"},
    {CHUNK("10", "0", "5", "-1.0,\"jitter\":0.0,\"rotation\":0.0"), "the body's rate"},
    {CHUNK("10", "0", "5", "\"x\",\"jitter\":0.0,\"rotation\":0.0"), "the body's rate"},
    {CHUNK("10", "0", "5", "0.1,\"jitter\":17.0,\"rotation\":0.0"), "the body's jitter"},
    {CHUNK("10", "0", "5", "0.1,\"jitter\":0.0"), "the body's rotation"},
    {"{\"first\":1,\"last\":10,\"n\":10,\"begin\":0,\"end\":5,\"rate\":" STILL "}", "the body's seed"},
    {CHUNK("11", "0", "5", STILL), "11"},
};

START_TEST(a_body_that_is_as_it_should_be_is_none)
{
    struct model m;
    struct learner *back;
    model_init(&m);
    train(&m, 10, 1);
    forge(&m, CHUNK("10", "0", "5", STILL));
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must(&m, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    learner_free(back);
    model_fini(&m);
}
END_TEST

START_TEST(a_damaged_body_is_told_with_its_revision)
{
    struct model m;
    struct learner *back;
    model_init(&m);
    train(&m, 10, 1);
    forge(&m, damaged[_i].body);
    must(&m, store_open(&m.store, m.path, false, &m.err));
    must_fail(&m, ERR_DB_CORRUPT, store_recover(m.store, NULL, NULL, NULL, &back, NULL, &m.err));
    must_say(&m, "revision 3");
    must_say(&m, damaged[_i].what);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rehearse");
    TCase *t = tcase_create("rehearse");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_chunk_is_its_places_of_the_order_at_its_own_rate_and_jitter);
    tcase_add_test(t, chunks_one_after_the_other_are_the_whole_pass);
    tcase_add_test(t, gaps_in_the_ids_are_skipped);
    tcase_add_test(t, an_event_that_counts_other_samples_than_there_are_is_damage);
    tcase_add_test(t, a_sample_that_has_gone_meanwhile_is_damage);
    tcase_add_test(t, how_many_pictures_stay_in_memory_changes_no_bit);
    tcase_add_test(t, the_range_narrows_to_the_samples_that_are_live);
    tcase_add_test(t, samples_that_were_left_behind_do_not_count);
    tcase_add_test(t, samples_that_come_between_two_chunks_are_not_in_the_range);
    tcase_add_test(t, a_group_that_is_rolled_back_takes_its_pictures_with_it);
    tcase_add_test(t, every_revision_among_rehearsals_and_ways_back_can_be_visited);
    tcase_add_test(t, every_instruction_set_rehearses_to_the_same_bits);
    tcase_add_test(t, a_body_that_is_as_it_should_be_is_none);
    tcase_add_loop_test(t, a_damaged_body_is_told_with_its_revision, 0, (int)(sizeof damaged / sizeof *damaged));
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
