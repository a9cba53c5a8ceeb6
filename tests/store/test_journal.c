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

START_TEST(a_group_is_ordered_durable_and_read_back_as_it_was_appended)
{
    struct model m;
    const struct event *read;
    model_init(&m);
    struct journal *journal = store_journal(m.store);
    must(&m, journal->begin(journal, 1, &m.err));
    struct event event = next_train(&m, journal, 3, 1);
    ck_assert_uint_eq(event.revision, 2);
    ck_assert_int_eq(event.as.train.samples[2].id, 3);
    must(&m, journal->append(journal, &event, NULL, &m.err));
    must(&m, journal->commit(journal, &m.err));
    applied(&m, &event);
    model_reopen(&m);
    journal = store_journal(m.store);
    ck_assert_int_eq(journal->read(journal, 0, &read, &m.err), 1);
    ck_assert(read->kind == EVENT_CREATE && read->revision == 1);
    ck_assert_int_eq(journal->read(journal, 1, &read, &m.err), 1);
    ck_assert(read->kind == EVENT_TRAIN && read->revision == 2 && read->as.train.n == 3);
    struct event same = train_event(2, 3, m.learner->n_classes, 1);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_int_eq(read->as.train.samples[i].id, (int64_t)i + 1);
        ck_assert_uint_eq(read->as.train.samples[i].label, same.as.train.samples[i].label);
        ck_assert_mem_eq(read->as.train.samples[i].pixels, same.as.train.samples[i].pixels, MODEL_PIXELS);
    }
    ck_assert_int_eq(journal->read(journal, 2, &read, &m.err), 0);
    model_fini(&m);
}
END_TEST

START_TEST(who_follows_by_reading_alone_comes_to_the_same_state)
{
    struct model m;
    const struct event *read;
    model_init(&m);
    struct learner *follower = keep(&m);
    struct journal *journal = store_journal(m.store);
    for (uint64_t i = 1; i <= 5; i++) {
        must(&m, journal->begin(journal, m.learner->revision, &m.err));
        struct event event = next_train(&m, journal, 4, i);
        must(&m, journal->append(journal, &event, NULL, &m.err));
        must(&m, journal->commit(journal, &m.err));
        applied(&m, &event);
        if (i % 2 == 0)
            continue; /* two at a time, and one */
        while (journal->read(journal, follower->revision, &read, &m.err) == 1) {
            struct event copy = *read;
            must(&m, learner_apply(follower, &copy, &m.err));
        }
        same_state(follower, m.learner);
    }
    learner_free(follower);
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
    const struct event *read;
    model_init(&m);
    struct journal *journal = store_journal(m.store);
    struct store_key key = {.key = "k", .revision = 2}, found;
    must(&m, journal->begin(journal, 1, &m.err));
    struct event event = next_train(&m, journal, 2, 1);
    must(&m, journal->append(journal, &event, &key, &m.err));
    journal->rollback(journal);
    journal->rollback(journal);
    ck_assert_int_eq(journal->read(journal, 1, &read, &m.err), 0);
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
    ck_assert_int_eq(journal->read(journal, 2, &read, &m.err), 0);
    (void)recovers(&m);
    model_fini(&m);
}
END_TEST

START_TEST(the_newest_state_that_was_offered_is_fetched)
{
    struct model m;
    struct learner *fetched = NULL;
    model_init(&m);
    struct journal *journal = store_journal(m.store);
    train(&m, 3, 1);
    struct learner *offered = keep(&m);
    must(&m, journal->offer(journal, m.learner, &m.err));
    train(&m, 3, 2);
    must(&m, journal->fetch(journal, 3, NULL, &fetched, &m.err));
    same_state(fetched, offered);
    learner_free(fetched);
    must(&m, journal->fetch(journal, 1, NULL, &fetched, &m.err));
    ck_assert_uint_eq(fetched->revision, 1);
    learner_free(fetched);
    must_fail(&m, ERR_NOT_FOUND, journal->fetch(journal, 0, NULL, &fetched, &m.err));
    learner_free(offered);
    model_fini(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal");
    TCase *t = tcase_create("journal");
    tcase_add_test(t, a_group_is_ordered_durable_and_read_back_as_it_was_appended);
    tcase_add_test(t, who_follows_by_reading_alone_comes_to_the_same_state);
    tcase_add_test(t, who_is_behind_cannot_append);
    tcase_add_test(t, what_is_rolled_back_never_was_and_a_key_goes_with_its_event);
    tcase_add_test(t, the_newest_state_that_was_offered_is_fetched);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
