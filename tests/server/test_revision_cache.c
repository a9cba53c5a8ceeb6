/* test_revision_cache.c - past states: made again in pieces, kept within bounds, gone when the past is edited. */
#include "server/model/revision_cache.h"
#include "tests/store/model.h"

static struct learner *kept[32]; /* by revision */

static void make(struct model *m, unsigned n)
{
    model_init(m);
    for (unsigned i = 0; i < n; i++) {
        kept[m->learner->revision] = keep(m);
        train(m, 3, i + 1);
    }
    kept[m->learner->revision] = keep(m);
}

static void end(struct model *m)
{
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        learner_free(kept[i]);
    model_fini(m);
}

/* Wants it until it is there. Returns how many pieces it took. */
static unsigned want(struct revision_cache *revision_cache, struct model *m, uint64_t revision)
{
    unsigned pieces = 0;
    int status;
    while ((status = revision_cache_want(revision_cache, m->store, revision, &m->err)) == 1) {
        ck_assert(revision_cache_active(revision_cache, NULL));
        revision_cache_work(revision_cache, 1);
        pieces++;
    }
    ck_assert_msg(status == 0, "%s", m->err.text);
    return pieces;
}

static void is_as_then(const struct cached_state *state, uint64_t revision)
{
    same_state(state->learner, kept[revision]);
}

START_TEST(a_past_state_is_the_one_of_then_and_at_hand_from_then_on)
{
    struct model m;
    struct cached_state state = {0};
    make(&m, 5);
    struct revision_cache *revision_cache = revision_cache_create(&m.err);
    ck_assert(!revision_cache_acquire(revision_cache, 3, &state));
    ck_assert_uint_ge(want(revision_cache, &m, 3), 1);
    ck_assert(revision_cache_acquire(revision_cache, 3, &state));
    is_as_then(&state, 3);
    revision_cache_release(revision_cache, &state);
    ck_assert_uint_eq(want(revision_cache, &m, 3), 0);
    ck_assert(!revision_cache_active(revision_cache, NULL));
    revision_cache_free(revision_cache);
    end(&m);
}
END_TEST

START_TEST(training_goes_on_between_the_pieces)
{
    struct model m;
    struct cached_state state;
    make(&m, 8);
    struct revision_cache *revision_cache = revision_cache_create(&m.err);
    for (uint64_t i = 0; revision_cache_want(revision_cache, m.store, 7, &m.err) == 1; i++) {
        revision_cache_work(revision_cache, 1);
        train(&m, 2, 50 + i);
    }
    ck_assert(revision_cache_acquire(revision_cache, 7, &state));
    is_as_then(&state, 7);
    revision_cache_release(revision_cache, &state);
    verifies(&m);
    revision_cache_free(revision_cache);
    end(&m);
}
END_TEST

START_TEST(the_least_recently_used_makes_room)
{
    struct model m;
    struct cached_state state;
    make(&m, REVISION_CACHE_STATES + 2);
    struct revision_cache *revision_cache = revision_cache_create(&m.err);
    for (uint64_t revision = 1; revision <= REVISION_CACHE_STATES; revision++)
        (void)want(revision_cache, &m, revision);
    ck_assert(revision_cache_acquire(revision_cache, 1, &state)); /* so that 2 is the one */
    revision_cache_release(revision_cache, &state);
    (void)want(revision_cache, &m, REVISION_CACHE_STATES + 1);
    ck_assert(!revision_cache_acquire(revision_cache, 2, &state));
    for (uint64_t revision = 1; revision <= REVISION_CACHE_STATES + 1; revision++)
        if (revision != 2) {
            ck_assert(revision_cache_acquire(revision_cache, revision, &state));
            is_as_then(&state, revision);
            revision_cache_release(revision_cache, &state);
        }
    revision_cache_free(revision_cache);
    end(&m);
}
END_TEST

START_TEST(what_is_forgotten_is_made_anew_and_who_holds_it_may_finish)
{
    struct model m;
    struct cached_state held, state;
    make(&m, 4);
    struct revision_cache *revision_cache = revision_cache_create(&m.err);
    (void)want(revision_cache, &m, 2);
    ck_assert(revision_cache_acquire(revision_cache, 2, &held));
    ck_assert_int_eq(revision_cache_want(revision_cache, m.store, 4, &m.err), 1); /* at work */
    revision_cache_forget(revision_cache);
    ck_assert(!revision_cache_active(revision_cache, NULL) && !revision_cache_acquire(revision_cache, 2, &state));
    is_as_then(&held, 2);
    revision_cache_release(revision_cache, &held);
    ck_assert_uint_ge(want(revision_cache, &m, 4), 1);
    ck_assert(revision_cache_acquire(revision_cache, 4, &state));
    is_as_then(&state, 4);
    revision_cache_release(revision_cache, &state);
    revision_cache_free(revision_cache);
    end(&m);
}
END_TEST

START_TEST(another_revision_waits_for_the_one_at_work)
{
    struct model m;
    uint64_t revision;
    make(&m, 6);
    struct revision_cache *revision_cache = revision_cache_create(&m.err);
    ck_assert_int_eq(revision_cache_want(revision_cache, m.store, 3, &m.err), 1);
    ck_assert_int_eq(revision_cache_want(revision_cache, m.store, 5, &m.err), 1);
    ck_assert(revision_cache_active(revision_cache, &revision));
    ck_assert_uint_eq(revision, 3);
    (void)want(revision_cache, &m, 5);
    ck_assert_uint_eq(want(revision_cache, &m, 3), 0);
    revision_cache_free(revision_cache);
    end(&m);
}
END_TEST

START_TEST(what_cannot_be_made_again_is_said_once_to_who_wanted_it)
{
    struct model m;
    make(&m, 4);
    tamper(&m, "UPDATE sample SET image = zeroblob(64) WHERE id = 5");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    struct revision_cache *revision_cache = revision_cache_create(&m.err);
    must_fail(&m, ERR_NOT_FOUND, revision_cache_want(revision_cache, m.store, 99, &m.err));
    int status;
    while ((status = revision_cache_want(revision_cache, m.store, 4, &m.err)) == 1)
        revision_cache_work(revision_cache, 1);
    ck_assert_int_eq(status, -1);
    ck_assert_int_eq(m.err.code, ERR_DB_CORRUPT);
    must_say(&m, "revision 3");
    ck_assert(!revision_cache_active(revision_cache, NULL));
    (void)want(revision_cache, &m, 2);
    revision_cache_free(revision_cache);
    end(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revision_cache");
    TCase *tests = tcase_create("revision_cache");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60); /* under ASan, on a busy machine, a state takes a tenth of a second */
    tcase_add_test(tests, a_past_state_is_the_one_of_then_and_at_hand_from_then_on);
    tcase_add_test(tests, training_goes_on_between_the_pieces);
    tcase_add_test(tests, the_least_recently_used_makes_room);
    tcase_add_test(tests, what_is_forgotten_is_made_anew_and_who_holds_it_may_finish);
    tcase_add_test(tests, another_revision_waits_for_the_one_at_work);
    tcase_add_test(tests, what_cannot_be_made_again_is_said_once_to_who_wanted_it);
    return run_suite(suite);
}
