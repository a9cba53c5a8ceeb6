/* What store/journal.h says, asked of an engine through that header alone: SQLite here, and whatever else plugs in. */
#include "store/journal.h"

#include "tests/store/model.h"

static struct event next_train(struct model *m, struct journal *journal, uint32_t n, uint64_t seed)
{
    struct event event = train_event(0, n, m->learner->n_classes, seed);
    journal->next(journal, &event);
    return event;
}

static void applied(struct model *m, struct event *event)
{
    must(m, learner_apply(m->learner, event, &m->err));
    store_outcomes(m->store, event);
}

START_TEST(a_group_is_ordered_durable_and_there_after_a_restart)
{
    struct model m;
    model_init(&m);
    struct journal *journal = store_journal(m.store);
    must(&m, journal->begin(journal, 1, &m.err));
    struct event event = next_train(&m, journal, 3, 1);
    ck_assert_uint_eq(event.revision, 2);
    ck_assert_int_eq(event.as.train.samples[2].id, 3);
    must(&m, journal->append(journal, &event, NULL, &m.err));
    must(&m, journal->commit(journal, &m.err));
    applied(&m, &event);
    struct learner *before = keep(&m);
    model_reopen(&m);
    same_state(m.learner, before);
    learner_free(before);
    model_fini(&m);
}
END_TEST

START_TEST(who_is_behind_cannot_append)
{
    struct model m;
    model_init(&m);
    train(&m, 2, 1);
    struct journal *journal = store_journal(m.store);
    must_fail(&m, ERR_BUSY, journal->begin(journal, 1, &m.err));
    must_fail(&m, ERR_BUSY, journal->begin(journal, 3, &m.err));
    must(&m, journal->begin(journal, 2, &m.err));
    must(&m, journal->commit(journal, &m.err)); /* nothing is a group, too */
    ck_assert_uint_eq(store_revision(m.store), 2);
    model_fini(&m);
}
END_TEST

START_TEST(what_is_rolled_back_never_was_and_a_key_goes_with_its_event)
{
    struct model m;
    model_init(&m);
    struct journal *journal = store_journal(m.store);
    struct store_key key = {.key = "k", .revision = 2}, found;
    must(&m, journal->begin(journal, 1, &m.err));
    struct event event = next_train(&m, journal, 2, 1);
    must(&m, journal->append(journal, &event, &key, &m.err));
    journal->rollback(journal);
    journal->rollback(journal);
    ck_assert_uint_eq(store_revision(m.store), 1);
    ck_assert_int_eq(store_find_key(m.store, "k", &found, &m.err), 0);
    must(&m, journal->begin(journal, 1, &m.err));
    event = next_train(&m, journal, 2, 1);
    ck_assert(event.revision == 2 && event.as.train.samples[0].id == 1);
    must(&m, journal->append(journal, &event, &key, &m.err));
    must(&m, journal->commit(journal, &m.err));
    applied(&m, &event);
    ck_assert_int_eq(store_find_key(m.store, "k", &found, &m.err), 1);
    ck_assert_uint_eq(found.revision, 2);
    must(&m, journal->begin(journal, 2, &m.err));
    event = next_train(&m, journal, 1, 2);
    key.revision = 3;
    must_fail(&m, ERR_CONFLICT, journal->append(journal, &event, &key, &m.err));
    ck_assert_uint_eq(store_revision(m.store), 2);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal");
    TCase *t = tcase_create("journal");
    tcase_add_test(t, a_group_is_ordered_durable_and_there_after_a_restart);
    tcase_add_test(t, who_is_behind_cannot_append);
    tcase_add_test(t, what_is_rolled_back_never_was_and_a_key_goes_with_its_event);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
