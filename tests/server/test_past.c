/* test_past.c - past states: made again in pieces, kept within bounds, gone when the past is edited. */
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
static unsigned want(struct past *past, struct model *m, uint64_t revision)
{
    unsigned pieces = 0;
    int status;
    while ((status = past_want(past, m->store, revision, &m->err)) == 1) {
        ck_assert(past_active(past, NULL));
        past_work(past, 1);
        pieces++;
    }
    ck_assert_msg(status == 0, "%s", m->err.text);
    return pieces;
}

static void is_as_then(const struct past_state *state, uint64_t revision)
{
    same_state(state->learner, kept[revision]);
}

START_TEST(a_past_state_is_the_one_of_then_and_at_hand_from_then_on)
{
    struct model m;
    struct past_state state = {0};
    make(&m, 5);
    struct past *past = past_create(&m.err);
    ck_assert(!past_acquire(past, 3, &state));
    ck_assert_uint_ge(want(past, &m, 3), 1);
    ck_assert(past_acquire(past, 3, &state));
    is_as_then(&state, 3);
    past_release(past, &state);
    ck_assert_uint_eq(want(past, &m, 3), 0);
    ck_assert(!past_active(past, NULL));
    past_free(past);
    end(&m);
}
END_TEST

START_TEST(training_goes_on_between_the_pieces)
{
    struct model m;
    struct past_state state;
    make(&m, 8);
    struct past *past = past_create(&m.err);
    for (uint64_t i = 0; past_want(past, m.store, 7, &m.err) == 1; i++) {
        past_work(past, 1);
        train(&m, 2, 50 + i);
    }
    ck_assert(past_acquire(past, 7, &state));
    is_as_then(&state, 7);
    past_release(past, &state);
    verifies(&m);
    past_free(past);
    end(&m);
}
END_TEST

START_TEST(the_least_recently_used_makes_room)
{
    struct model m;
    struct past_state state;
    make(&m, PAST_STATES + 2);
    struct past *past = past_create(&m.err);
    for (uint64_t revision = 1; revision <= PAST_STATES; revision++)
        (void)want(past, &m, revision);
    ck_assert(past_acquire(past, 1, &state)); /* so that 2 is the one */
    past_release(past, &state);
    (void)want(past, &m, PAST_STATES + 1);
    ck_assert(!past_acquire(past, 2, &state));
    for (uint64_t revision = 1; revision <= PAST_STATES + 1; revision++)
        if (revision != 2) {
            ck_assert(past_acquire(past, revision, &state));
            is_as_then(&state, revision);
            past_release(past, &state);
        }
    past_free(past);
    end(&m);
}
END_TEST

START_TEST(what_is_forgotten_is_made_anew_and_who_holds_it_may_finish)
{
    struct model m;
    struct past_state held, state;
    make(&m, 4);
    struct past *past = past_create(&m.err);
    (void)want(past, &m, 2);
    ck_assert(past_acquire(past, 2, &held));
    ck_assert_int_eq(past_want(past, m.store, 4, &m.err), 1); /* at work */
    past_forget(past);
    ck_assert(!past_active(past, NULL) && !past_acquire(past, 2, &state));
    is_as_then(&held, 2);
    past_release(past, &held);
    ck_assert_uint_ge(want(past, &m, 4), 1);
    ck_assert(past_acquire(past, 4, &state));
    is_as_then(&state, 4);
    past_release(past, &state);
    past_free(past);
    end(&m);
}
END_TEST

START_TEST(another_revision_waits_for_the_one_at_work)
{
    struct model m;
    uint64_t revision;
    make(&m, 6);
    struct past *past = past_create(&m.err);
    ck_assert_int_eq(past_want(past, m.store, 3, &m.err), 1);
    ck_assert_int_eq(past_want(past, m.store, 5, &m.err), 1);
    ck_assert(past_active(past, &revision));
    ck_assert_uint_eq(revision, 3);
    (void)want(past, &m, 5);
    ck_assert_uint_eq(want(past, &m, 3), 0);
    past_free(past);
    end(&m);
}
END_TEST

START_TEST(what_cannot_be_made_again_is_said_once_to_who_wanted_it)
{
    struct model m;
    make(&m, 4);
    tamper(&m, "UPDATE sample SET image = zeroblob(64) WHERE id = 5");
    must(&m, store_open(&m.store, m.path, false, &m.err));
    struct past *past = past_create(&m.err);
    must_fail(&m, ERR_NOT_FOUND, past_want(past, m.store, 99, &m.err));
    int status;
    while ((status = past_want(past, m.store, 4, &m.err)) == 1)
        past_work(past, 1);
    ck_assert_int_eq(status, -1);
    ck_assert_int_eq(m.err.code, ERR_DB_CORRUPT);
    must_say(&m, "revision 3");
    ck_assert(!past_active(past, NULL));
    (void)want(past, &m, 2);
    past_free(past);
    end(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("past");
    TCase *tests = tcase_create("past");
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
