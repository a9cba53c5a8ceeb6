/* test_edits.c - the past is changed: the model is then, bit for bit, that of a fresh learner which is fed the edited log by hand. */
#include "tests/store/life.h"

START_TEST(a_forgotten_sample_was_never_learned)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, false);
    want(&l, &edits, 30, EDIT_FORGET);
    work_in(&l, &edits, 5);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(a_relabelled_sample_was_always_of_its_new_class)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, false);
    want(&l, &edits, 30, (l.samples[30].label + 1) % 3);
    work_in(&l, &edits, 1000);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(a_sample_relabelled_and_back_leaves_the_state_that_was)
{
    static struct life l;
    struct edits edits = {0};
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
    live(&l, false);
    learner_digest(l.m.learner, before);
    const uint32_t label = l.samples[30].label;
    want(&l, &edits, 30, (label + 1) % 3);
    work_in(&l, &edits, 3);
    learner_digest(l.m.learner, after);
    ck_assert_mem_ne(before, after, DIGEST_BYTES);
    want(&l, &edits, 30, label);
    work_in(&l, &edits, 4);
    learner_digest(l.m.learner, after);
    ck_assert_mem_eq(before, after, DIGEST_BYTES);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(many_edits_at_once_and_one_after_the_other)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, false);
    for (int64_t id = 4; id < 120; id += 3)
        want(&l, &edits, id, id % 2 ? EDIT_FORGET : (l.samples[id].label + 1) % 3);
    work_in(&l, &edits, 17);
    is_exact(&l);
    live_train(&l, 9);
    for (int64_t id = 80; id < 130; id += 7)
        if (!l.samples[id].forgotten)
            want(&l, &edits, id, id % 3 ? EDIT_FORGET : (l.samples[id].label + 1) % 3);
    work_in(&l, &edits, 2);
    is_exact(&l);
    live_train(&l, 9);
    live_rehearse(&l, 1, 99);
    live_train(&l, 3);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(all_samples_of_an_event_and_all_that_there_are_can_be_forgotten)
{
    static struct life l;
    struct edits edits = {0};
    life_init(&l);
    live_train(&l, 4);
    live_train(&l, 5);
    live_rehearse(&l, 1, 3);
    live_train(&l, 2);
    for (int64_t id = 5; id <= 9; id++)
        want(&l, &edits, id, EDIT_FORGET);
    work_in(&l, &edits, 1);
    is_exact(&l);
    for (int64_t id = 1; id <= 11; id++)
        if (!l.samples[id].forgotten)
            want(&l, &edits, id, EDIT_FORGET);
    work_in(&l, &edits, 1);
    is_exact(&l);
    uint8_t empty[DIGEST_BYTES], now[DIGEST_BYTES];
    learner_digest(l.past[1], empty);
    learner_digest(l.m.learner, now);
    ck_assert_mem_eq(empty, now, DIGEST_BYTES);
    live_train(&l, 6);
    ck_assert_int_eq(l.first[l.n_events], 12); /* ids are not given again */
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(edits_reach_every_line_that_the_sample_is_on)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, true);
    for (int64_t id = 2; id < 150; id += 5)
        want(&l, &edits, id, EDIT_FORGET);
    work_in(&l, &edits, 6);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(what_was_left_behind_can_be_forgotten_and_the_model_stays)
{
    static struct life l;
    struct edits edits = {0};
    uint8_t before[DIGEST_BYTES], after[DIGEST_BYTES];
    life_init(&l);
    live_train(&l, 4);
    live_train(&l, 4);
    live_activate(&l, 2);
    live_train(&l, 4);
    learner_digest(l.m.learner, before);
    want(&l, &edits, 6, EDIT_FORGET);
    work_in(&l, &edits, 6);
    learner_digest(l.m.learner, after);
    ck_assert_mem_eq(before, after, DIGEST_BYTES);
    is_exact(&l);
    ck_assert(!stands_somewhere(&l, l.samples[6].pixels, MODEL_PIXELS));
    life_fini(&l);
}
END_TEST

START_TEST(what_was_left_behind_cannot_be_relabelled)
{
    static struct life l;
    struct edits edits = {0};
    size_t at = 99;
    life_init(&l);
    live_train(&l, 4);
    live_train(&l, 4);
    live_activate(&l, 2);
    want(&l, &edits, 2, (l.samples[2].label + 1) % 3);
    want(&l, &edits, 6, (l.samples[6].label + 1) % 3);
    must_fail(&l.m, ERR_CONFLICT, store_edits_check(l.m.store, l.m.learner, &edits, &at, &l.m.err));
    ck_assert_uint_eq(at, 1);
    must_say(&l.m, "sample 6");
    edits_fini(&edits);
    life_fini(&l);
}
END_TEST

START_TEST(a_relabelled_sample_brings_a_later_class_along)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, false);
    ck_assert_uint_lt(l.samples[8].revision, 9);
    want(&l, &edits, 8, 4); /* "e" came with revision 20, and "d" with 9 */
    work_in(&l, &edits, 3);
    ck_assert_uint_eq(l.m.learner->n_classes, 5);
    ck_assert_str_eq(l.m.learner->labels[4], "e");
    is_exact(&l);
    live_train(&l, 5);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(a_class_whose_index_had_another_meaning_is_not_brought_along)
{
    static struct life l;
    struct edits edits = {0};
    life_init(&l);
    live_train(&l, 4);
    live_class(&l, "d");
    live_train(&l, 4);
    live_activate(&l, 2);
    live_class(&l, "e");
    want(&l, &edits, 2, 3);
    must_fail(&l.m, ERR_CONFLICT, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    edits_fini(&edits);
    life_fini(&l);
}
END_TEST

/* ---- which classes may be brought along: the rule, word by word ---- */

#define PAST_MAX 64u

struct happened {
    uint64_t revision;
    enum class_action action;
    uint32_t index;
    char label[2];
    bool on_line;
};

struct past_classes {
    struct happened list[PAST_MAX];
    size_t n;
};

/* Names of the classes at a revision of the line; returns how many. */
static uint32_t names_then(char names[PAST_MAX][2], const struct past_classes *p, uint64_t revision)
{
    uint32_t n = 3;
    memset(names, 0, PAST_MAX * sizeof names[0]);
    for (uint32_t i = 0; i < 3; i++)
        names[i][0] = (char)('a' + i);
    for (size_t i = 0; i < p->n; i++) {
        const struct happened *h = &p->list[i];
        if (!h->on_line || h->revision > revision)
            continue;
        memcpy(names[h->index], h->label, 2);
        n = h->index >= n ? h->index + 1 : n;
    }
    return n;
}

static bool may_bring(const struct past_classes *p, uint64_t revision, uint32_t label)
{
    char names[PAST_MAX][2];
    const uint32_t n = names_then(names, p, revision);
    for (uint32_t id = n; id <= label; id++) {
        const char *name = NULL; /* that it gets, when it is added next, on whatever line */
        for (size_t i = 0; i < p->n && name == NULL; i++)
            if (p->list[i].revision > revision && p->list[i].action == CLASS_ADD && p->list[i].index == id)
                name = p->list[i].label;
        if (name == NULL)
            return false;
        for (uint32_t i = 0; i < n; i++)
            if (strcmp(names[i], name) == 0)
                return false;
        for (size_t i = 0; i < p->n; i++) {
            const struct happened *h = &p->list[i];
            const bool same = strcmp(h->label, name) == 0;
            if (h->revision > revision && (h->index == id ? h->action == CLASS_ADD && !same : same))
                return false;
        }
    }
    return true;
}

static void name_one(struct model *m, struct past_classes *p, uint64_t chance)
{
    const bool adds = chance % 3 != 0 && m->learner->n_classes < 9;
    struct happened h = {.action = adds ? CLASS_ADD : CLASS_RENAME,
                         .index = adds ? m->learner->n_classes : (uint32_t)(chance / 3 % m->learner->n_classes),
                         .label = {(char)('a' + chance / 64 % 14)},
                         .on_line = true};
    if (p->n == PAST_MAX || learner_class(m->learner, h.label, 1) >= 0)
        return;
    in_group(m, append_class(m, h.action, h.index, h.label));
    h.revision = m->learner->revision;
    p->list[p->n++] = h;
}

START_TEST(a_class_is_brought_along_where_its_number_and_its_name_mean_it_alone)
{
    struct model m;
    struct past_classes p = {0}, then = {0};
    uint64_t seed = mix((uint64_t)_i + 7);
    struct event create = model_origin();
    static const char labels[3][LABEL_BYTES_MAX + 1] = {"a", "b", "c"};
    create.as.create.labels = labels;
    create.as.create.n_classes = 3;
    model_folder_in_memory(&m);
    model_make(&m, &create);
    struct learner *kept = keep(&m);
    unsigned n_good = 0, n_bad = 0;
    for (int step = 0; step < 60; step++) {
        seed = mix(seed);
        if (seed % 16 == 0) { /* back; what came since is on the line no more */
            in_group(&m, append_activate(&m, kept));
            for (size_t i = 0; i < p.n; i++)
                p.list[i].on_line = i < then.n && then.list[i].on_line;
        } else if (seed % 16 == 1) {
            learner_free(kept);
            kept = keep(&m);
            then = p;
        } else if (seed % 2 == 0) {
            train(&m, 1, seed);
        } else {
            name_one(&m, &p, seed / 16);
        }
    }
    const int64_t end = store_next_sample_id(m.store);
    for (int64_t id = 1; id < end; id++)
        for (uint32_t label = 3; label < m.learner->n_classes; label++) {
            struct edits edits = {0};
            const struct edit wanted = {.id = id, .label = label};
            must(&m, edits_put(&edits, &wanted, &m.err));
            const bool good = store_edits_check(m.store, m.learner, &edits, NULL, &m.err) == 0;
            const struct edit *looked = &edits.list[0];
            if (good || strstr(m.err.text, "had another meaning") != NULL) {
                ck_assert_msg(edits.n == 0 || good == may_bring(&p, looked->revision, label),
                              "sample %lld, class %u: %s", (long long)id, label, good ? "taken" : m.err.text);
                n_good += good;
                n_bad += !good;
            }
            edits_fini(&edits);
        }
    ck_assert_uint_gt(n_good + n_bad, 0);
    learner_free(kept);
    model_fini(&m);
}
END_TEST

START_TEST(a_sample_that_is_not_there_or_was_forgotten_is_told)
{
    static struct life l;
    struct edits edits = {0};
    life_init(&l);
    live_train(&l, 4);
    want(&l, &edits, 2, EDIT_FORGET);
    work_in(&l, &edits, 100);
    must(&l.m, edits_put(&edits, &(struct edit){.id = 2, .label = 1}, &l.m.err));
    must_fail(&l.m, ERR_GONE, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    edits_fini(&edits);
    must(&l.m, edits_put(&edits, &(struct edit){.id = 5, .label = EDIT_FORGET}, &l.m.err));
    must_fail(&l.m, ERR_NOT_FOUND, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    edits_fini(&edits);
    uint32_t label;
    uint8_t pixels[MODEL_PIXELS];
    ck_assert_int_eq(store_sample(l.m.store, 2, &label, pixels, sizeof pixels, &l.m.err), 0);
    ck_assert_int_eq(store_sample(l.m.store, 3, &label, pixels, sizeof pixels, &l.m.err), 1);
    life_fini(&l);
}
END_TEST

START_TEST(a_label_that_the_sample_has_already_needs_no_edit)
{
    static struct life l;
    struct edits edits = {0};
    life_init(&l);
    live_train(&l, 4);
    want(&l, &edits, 2, l.samples[2].label);
    want(&l, &edits, 3, (l.samples[3].label + 1) % 3);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    ck_assert_uint_eq(edits.n, 1);
    work_in(&l, &edits, 100);
    uint32_t label = 99;
    uint8_t pixels[MODEL_PIXELS];
    ck_assert_int_eq(store_sample(l.m.store, 3, &label, pixels, sizeof pixels, &l.m.err), 1);
    ck_assert_uint_eq(label, l.samples[3].label);
    life_fini(&l);
}
END_TEST

START_TEST(the_log_may_grow_while_the_past_is_rebuilt)
{
    static struct life l;
    struct edits edits = {0};
    struct store_replayer *r;
    struct learner *state;
    struct model *m = &l.m;
    live(&l, false);
    want(&l, &edits, 9, EDIT_FORGET);
    want(&l, &edits, 40, (l.samples[40].label + 1) % 3);
    must(m, store_edits_check(m->store, m->learner, &edits, NULL, &m->err));
    const struct replay_want what = {
        .target = store_revision(m->store), .from = edits_first(&edits) - 1, .edits = &edits};
    must(m, store_replayer_open(&r, m->store, &what, &m->err));
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(store_replayer_step(r, 5, &m->err), 1);
        if (i % 2 == 0)
            live_train(&l, 3); /* by the model that still knows */
        else
            live_rehearse(&l, 2, (uint64_t)i);
        snapshot(m);
    }
    must(m, store_replayer_extend(r, store_revision(m->store), &m->err));
    ck_assert_int_eq(store_replayer_step(r, 100000, &m->err), 0);
    must(m, store_edits_take_over(m->store, r, &edits, &state, NULL, &m->err));
    store_replayer_close(r);
    edits_fini(&edits);
    learner_free(m->learner);
    m->learner = state;
    note(&l, (struct event){.kind = EVENT_EDIT, .revision = state->revision});
    is_exact(&l);
    live_rehearse(&l, 2, 3); /* of a pass that was begun before, by the model that knew */
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(every_revision_can_be_visited_as_the_edited_log_has_it)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, true);
    for (int64_t id = 3; id < 140; id += 9)
        want(&l, &edits, id, EDIT_FORGET);
    work_in(&l, &edits, 6);
    const uint64_t n = l.n_events;
    for (uint64_t revision = 2; revision <= n; revision++) {
        struct learner *state;
        l.n_events = revision;
        struct learner *hand = by_hand(&l);
        must(&l.m, state_at(l.m.store, revision, &state, &l.m.err));
        same_state(state, hand);
        learner_free(state);
        learner_free(hand);
    }
    l.n_events = n;
    life_fini(&l);
}
END_TEST

START_TEST(a_model_that_goes_back_to_before_an_edit_is_still_edited)
{
    static struct life l;
    struct edits edits = {0};
    struct learner *then;
    live(&l, false);
    want(&l, &edits, 20, EDIT_FORGET);
    want(&l, &edits, 8, 4);
    work_in(&l, &edits, 6);
    must(&l.m, state_at(l.m.store, 17, &then, &l.m.err));
    learner_free(l.past[17]);
    l.past[17] = then;
    must(&l.m, store_begin(l.m.store, &l.m.err));
    append_activate(&l.m, then);
    must(&l.m, store_classes(l.m.store, l.m.learner, &l.m.err));
    must(&l.m, store_commit(l.m.store, &l.m.err));
    struct event event = {.kind = EVENT_ACTIVATE, .revision = l.m.learner->revision};
    event.as.activate.revision = 17;
    note(&l, event);
    is_exact(&l);
    live_train(&l, 5);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edits");
    TCase *t = tcase_create("edits");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_forgotten_sample_was_never_learned);
    tcase_add_test(t, a_relabelled_sample_was_always_of_its_new_class);
    tcase_add_test(t, a_sample_relabelled_and_back_leaves_the_state_that_was);
    tcase_add_test(t, many_edits_at_once_and_one_after_the_other);
    tcase_add_test(t, all_samples_of_an_event_and_all_that_there_are_can_be_forgotten);
    tcase_add_test(t, edits_reach_every_line_that_the_sample_is_on);
    tcase_add_test(t, what_was_left_behind_can_be_forgotten_and_the_model_stays);
    tcase_add_test(t, what_was_left_behind_cannot_be_relabelled);
    tcase_add_test(t, a_relabelled_sample_brings_a_later_class_along);
    tcase_add_test(t, a_class_whose_index_had_another_meaning_is_not_brought_along);
    tcase_add_loop_test(t, a_class_is_brought_along_where_its_number_and_its_name_mean_it_alone, 0, 40);
    tcase_add_test(t, a_sample_that_is_not_there_or_was_forgotten_is_told);
    tcase_add_test(t, a_label_that_the_sample_has_already_needs_no_edit);
    tcase_add_test(t, the_log_may_grow_while_the_past_is_rebuilt);
    tcase_add_test(t, every_revision_can_be_visited_as_the_edited_log_has_it);
    tcase_add_test(t, a_model_that_goes_back_to_before_an_edit_is_still_edited);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
