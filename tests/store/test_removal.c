/* test_removal.c - a class is taken out of the past: it never was, its samples are of another or were never shown. */
#include "tests/store/life.h"

/* Removes a class, by its number. */
static void remove_class(struct life *l, uint32_t removed, uint32_t into)
{
    struct model *m = &l->m;
    struct edits edits = {0}, kept;
    struct store_replayer *r;
    struct learner *state;
    int status;
    must(m, store_edits_remove(m->store, m->learner, &edits, removed, into, &m->err));
    must(m, store_edits_keep(m->store, &edits, &m->err));
    must(m, store_edits_kept(m->store, &kept, &m->err));
    ck_assert(kept.removes && kept.removed == removed && kept.into == into && kept.n == 0);
    const struct replay_want what = {.target = store_revision(m->store),
                                     .from = edits_first(&edits) - 1,
                                     .from_origin = edits_first(&edits) == 1,
                                     .edits = &edits};
    must(m, store_replayer_open(&r, m->store, &what, &m->err));
    while ((status = store_replayer_step(r, 11, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
    must(m, store_edits_take_over(m->store, r, &edits, &state, NULL, &m->err));
    store_replayer_close(r);
    while ((status = store_edits_sweep(m->store, 10, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
    must(m, store_checkpoint(m->store, true, &m->err));
    must(m, store_edits_kept(m->store, &kept, &m->err));
    ck_assert(!kept.removes);
    learner_free(m->learner);
    m->learner = state;
    note(l, (struct event){.kind = EVENT_EDIT, .revision = state->revision});
    edits_fini(&edits);
    for (int64_t id = 1; id <= SAMPLES; id++)
        if (l->samples[id].revision > 0 && l->samples[id].label == removed) {
            l->samples[id].forgotten = l->samples[id].forgotten || into == EDIT_FORGET;
            l->samples[id].label = into == EDIT_FORGET ? removed : into;
        }
    l->removed = removed;
}

/* Classes 0, 1, 2 are of the create event; 3 and 4 came with revisions 9 and 20; some samples are of those. */
static void live_with_five_classes(struct life *l, bool ways_back)
{
    struct edits edits = {0};
    live(l, ways_back);
    for (int64_t id = 120; id < 170; id += 4)
        want(l, &edits, id, 3 + (uint32_t)(id / 4 % 2));
    work_in(l, &edits, 50);
    is_exact(l);
}

static const struct {
    uint32_t removed, into;
} removals[] = {{1, 2}, {2, 0}, {0, EDIT_FORGET}, {3, 1}, {3, EDIT_FORGET}, {4, 3}, {1, 4}, {3, 4}};

START_TEST(a_class_that_is_removed_never_was)
{
    static struct life l;
    live_with_five_classes(&l, false);
    remove_class(&l, removals[_i].removed, removals[_i].into);
    ck_assert_uint_eq(l.m.learner->n_classes, 4);
    is_exact(&l);
    train(&l.m, 7, 1234);
    in_group(&l.m, append_class(&l.m, CLASS_ADD, 4, "new"));
    in_group(&l.m, append_class(&l.m, CLASS_RENAME, 3, "renamed"));
    train(&l.m, 7, 1235);
    (void)recovers(&l.m);
    verifies(&l.m);
    ck_assert_str_eq(ask(&l.m, "SELECT max(id) FROM class"), "5"); /* numbers are not given again */
    must(&l.m, store_open(&l.m.store, l.m.path, false, &l.m.err));
    life_fini(&l);
}
END_TEST

START_TEST(a_class_is_removed_on_every_line)
{
    static struct life l;
    live(&l, true);
    remove_class(&l, 1, removals[_i].into == 1 ? 0 : removals[_i].into > 2 ? EDIT_FORGET : 2);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(one_class_after_the_other_can_be_removed)
{
    static struct life l;
    live_with_five_classes(&l, false);
    remove_class(&l, 1, 2);
    remove_class(&l, 3, EDIT_FORGET);
    remove_class(&l, 0, 4);
    ck_assert_uint_eq(l.m.learner->n_classes, 2);
    ck_assert_str_eq(l.m.learner->labels[1], "e");
    (void)recovers(&l.m);
    verifies(&l.m);
    train(&l.m, 7, 1234);
    (void)recovers(&l.m);
    verifies(&l.m);
    struct edits edits = {0};
    must_fail(&l.m, ERR_CONFLICT, store_edits_remove(l.m.store, l.m.learner, &edits, 2, 4, &l.m.err));
    life_fini(&l);
}
END_TEST

START_TEST(given_first_weights_lose_the_column_of_a_removed_class)
{
    struct event create = model_origin();
    static struct life l;
    memset(&l, 0, sizeof l);
    struct learner *drawn = learner_create(&create, NULL, 0, NULL);
    const struct shape *s = &drawn->shape;
    float k[64], w01[4096], w12[64];
    ck_assert(s->kernels * s->n_k <= 64 && s->n_0 * s->n_1 <= 4096 && s->n_1 * 3 <= 64);
    net_export(&drawn->net, k, w01, w12);
    for (uint32_t i = 0; i < s->n_1 * 3; i++)
        w12[i] += 0.125F;
    create.as.create.k = k;
    create.as.create.w01 = w01;
    create.as.create.w12 = w12;
    l.removed = NO_CLASS;
    model_init_from(&l.m, &create);
    note(&l, (struct event){.kind = EVENT_CREATE, .revision = 1});
    live_train(&l, 9);
    live_train(&l, 9);
    remove_class(&l, 1, 0);

    float without[64];
    char labels[2][LABEL_BYTES_MAX + 1];
    for (uint32_t t = 0; t < s->n_1; t++) {
        without[2 * t] = w12[3 * t];
        without[2 * t + 1] = w12[3 * t + 2];
    }
    memcpy(labels[0], create.as.create.labels[0], sizeof labels[0]);
    memcpy(labels[1], create.as.create.labels[2], sizeof labels[1]);
    create.as.create.w12 = without;
    create.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) labels;
    create.as.create.n_classes = 2;
    struct learner *hand = learner_create(&create, NULL, 0, NULL);
    bool on_line[SAMPLES + 1] = {false};
    tell(hand, &l, l.events[2], on_line);
    tell(hand, &l, l.events[3], on_line);
    hand->revision = 4;
    same_state(l.m.learner, hand);
    (void)recovers(&l.m);
    verifies(&l.m);
    learner_free(hand);
    learner_free(drawn);
    life_fini(&l);
}
END_TEST

START_TEST(a_class_whose_number_had_another_meaning_stays)
{
    static struct life l;
    struct edits edits = {0};
    life_init(&l);
    live_train(&l, 4);
    live_class(&l, "d");
    live_activate(&l, 2);
    live_class(&l, "e");
    must_fail(&l.m, ERR_CONFLICT, store_edits_remove(l.m.store, l.m.learner, &edits, 3, 0, &l.m.err));
    must_say(&l.m, "\"e\"");
    must_fail(&l.m, ERR_CONFLICT, store_edits_remove(l.m.store, l.m.learner, &edits, 0, 3, &l.m.err));
    remove_class(&l, 0, 1);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

/* Where the other class could not have been from the beginning of the one that is merged, whether or not that had a sample so early. */
START_TEST(a_class_is_merged_into_one_that_could_have_been_as_long)
{
    static struct life l;
    struct edits edits = {0};
    life_init(&l);
    live_class(&l, "d");
    live_class(&l, "e");
    in_group(&l.m, append_class(&l.m, CLASS_RENAME, 4, "f"));
    live_class(&l, "e");
    live_class(&l, "g");
    for (uint32_t id = 0; id <= 4; id++) {
        must_fail(&l.m, ERR_CONFLICT, store_edits_remove(l.m.store, l.m.learner, &edits, id, 5, &l.m.err));
        must_say(&l.m, "\"e\"");
    }
    must(&l.m, store_edits_remove(l.m.store, l.m.learner, &edits, 6, 5, &l.m.err));
    must(&l.m, store_edits_remove(l.m.store, l.m.learner, &edits, 0, 3, &l.m.err));
    life_fini(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("removal");
    TCase *t = tcase_create("removal");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_class_that_is_removed_never_was, 0, sizeof removals / sizeof *removals);
    tcase_add_loop_test(t, a_class_is_removed_on_every_line, 0, 3);
    tcase_add_test(t, one_class_after_the_other_can_be_removed);
    tcase_add_test(t, given_first_weights_lose_the_column_of_a_removed_class);
    tcase_add_test(t, a_class_whose_number_had_another_meaning_stays);
    tcase_add_test(t, a_class_is_merged_into_one_that_could_have_been_as_long);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
