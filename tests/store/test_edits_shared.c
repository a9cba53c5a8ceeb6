/* test_edits_shared.c - an edit as an event of a shared log: whoever appends it, whoever follows it, whoever comes later and finds the rows emptied
 * has, bit for bit, the model of the edited log. */
#include <errno.h>

#include "store/log/row.h"
#include "tests/store/fault_disk.h"
#include "tests/store/life.h"

/* ---- who appends ---- */

static void follow_to_the_end(struct model *m)
{
    const struct event *event;
    int status;
    while ((status = store_follow(m->store, m->learner, &event, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
    ck_assert_uint_eq(m->learner->revision, store_revision(m->store));
}

static void rebuild(struct model *m)
{
    struct store_edited edited;
    int status;
    ck_assert(store_edit_ahead(m->store));
    must(m, store_rebuild(m->store, m->learner, NULL, NULL, &edited, &m->err));
    ck_assert(!store_edit_ahead(m->store));
    follow_to_the_end(m);
    must(m, store_snapshot(m->store, m->learner, "edit", "", false, NULL, &m->err));
    while ((status = store_edits_sweep(m->store, 10, &m->err)) == 1)
        ;
    ck_assert_int_eq(status, 0);
    must(m, store_checkpoint(m->store, true, &m->err));
}

static void append(struct life *l, struct edits *edits)
{
    struct model *m = &l->m;
    must(m, store_begin(m->store, &m->err));
    must(m, store_edits_append(m->store, edits, &m->err));
    must(m, store_commit(m->store, &m->err));
    note(l, (struct event){.kind = EVENT_EDIT, .revision = store_revision(m->store)});
    edits_fini(edits);
}

static void share(struct life *l, struct edits *edits)
{
    must(&l->m, store_edits_check(l->m.store, l->m.learner, edits, NULL, &l->m.err));
    append(l, edits);
    rebuild(&l->m);
}

/* By its number. */
static void share_removal(struct life *l, uint32_t removed, uint32_t into)
{
    struct edits edits = {0};
    must(&l->m, store_edits_remove(l->m.store, l->m.learner, &edits, removed, into, &l->m.err));
    append(l, &edits);
    rebuild(&l->m);
    for (int64_t id = 1; id <= SAMPLES; id++)
        if (l->samples[id].revision > 0 && l->samples[id].label == removed) {
            l->samples[id].forgotten = l->samples[id].forgotten || into == EDIT_FORGET;
            l->samples[id].label = into == EDIT_FORGET ? removed : into;
        }
    l->removed = removed;
}

/* ---- who follows ---- */

static bool is_edit(const struct log_row *row)
{
    return strcmp(row->kind, "edit") == 0;
}

/* All that the other does not have, in one group, as store/shared.c has it where rows are emptied. */
static void copy_rows(struct model *to, struct model *from)
{
    struct rows rows;
    must(from, rows_read(&rows, from->store, store_revision(to->store), SIZE_MAX, &from->err));
    must(to, store_begin(to->store, &to->err));
    for (size_t i = 0; i < rows.n; i++)
        if (is_edit(&rows.list[i]))
            must(to, row_ahead(to->store, &rows.list[i], &to->err));
    for (size_t i = 0; i < rows.n; i++)
        must(to, row_follow(to->store, &rows.list[i], &to->err));
    must(to, store_commit(to->store, &to->err));
    rows_free(&rows);
}

static void copy(struct model *to, struct model *from)
{
    const struct event *event;
    int status;
    copy_rows(to, from);
    if (store_edit_ahead(to->store))
        rebuild(to);
    while ((status = store_follow(to->store, to->learner, &event, &to->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", to->err.text);
}

static void same_in_both(struct model *to, struct model *from)
{
    same_state(to->learner, from->learner);
    (void)recovers(to);
    verifies(to);
}

/* A third, which has nothing yet; and a fourth, which is killed before it has applied what it has. */
static void same_for_who_joins(struct model *from)
{
    struct model joiner;
    struct store_recovery report;
    model_init(&joiner);
    copy_rows(&joiner, from);
    model_reopen(&joiner);
    learner_free(joiner.learner);
    must(&joiner, store_recover(joiner.store, NULL, NULL, NULL, &joiner.learner, &report, &joiner.err));
    same_in_both(&joiner, from);
    model_fini(&joiner);
    model_init(&joiner);
    copy(&joiner, from);
    same_in_both(&joiner, from);
    train(&joiner, 3, 77); /* and goes on */
    (void)recovers(&joiner);
    verifies(&joiner);
    model_fini(&joiner);
}

START_TEST(forgotten_and_relabelled_everywhere)
{
    static struct life l;
    struct edits edits = {0};
    struct model other;
    live(&l, _i == 1);
    model_init(&other);
    copy(&other, &l.m);
    for (int64_t id = 4; id < 120; id += 3)
        want(&l, &edits, id, _i == 0 && id % 2 ? (l.samples[id].label + 1) % 3 : EDIT_FORGET);
    share(&l, &edits);
    is_exact(&l);
    copy(&other, &l.m);
    same_in_both(&other, &l.m);
    same_for_who_joins(&l.m);
    live_train(&l, 9);
    for (int64_t id = 82; id < 130; id += 7)
        if (!l.samples[id].forgotten)
            want(&l, &edits, id, EDIT_FORGET);
    share(&l, &edits);
    is_exact(&l);
    ck_assert(!stands_somewhere(&l, l.samples[82].pixels, MODEL_PIXELS));
    same_for_who_joins(&l.m);
    live_train(&l, 5);
    live_rehearse(&l, 1, 90);
    live_train(&l, 3);
    copy(&other, &l.m); /* it was away meanwhile */
    same_in_both(&other, &l.m);
    is_exact(&l);
    same_for_who_joins(&l.m);
    model_fini(&other);
    life_fini(&l);
}
END_TEST

static const struct {
    uint32_t removed, into;
} removals[] = {{1, 2}, {2, 0}, {0, EDIT_FORGET}, {3, 1}, {3, EDIT_FORGET}, {4, 3}, {1, 4}, {3, 4}};

START_TEST(a_class_that_is_removed_never_was_for_anybody)
{
    static struct life l;
    struct edits edits = {0};
    struct model other;
    live(&l, _i % 2);
    model_init(&other);
    copy(&other, &l.m);
    if (l.m.learner->n_classes == 5)
        for (int64_t id = 120; id < 170; id += 4)
            if (l.samples[id].revision > 0)
                want(&l, &edits, id, 3 + (uint32_t)(id / 4 % 2));
    if (edits.n > 0)
        share(&l, &edits);
    const uint32_t removed = removals[_i].removed, into = removals[_i].into;
    if (l.m.learner->n_classes == 5 || (removed < 3 && (into < 3 || into == EDIT_FORGET))) {
        share_removal(&l, removed, into);
        is_exact(&l);
    }
    copy(&other, &l.m);
    same_in_both(&other, &l.m);
    same_for_who_joins(&l.m);
    model_fini(&other);
    life_fini(&l);
}
END_TEST

START_TEST(a_crash_before_the_model_is_made_again_costs_nothing)
{
    static struct life l;
    struct edits edits = {0};
    struct store_recovery report;
    live(&l, false);
    for (int64_t id = 20; id < 60; id += 4)
        want(&l, &edits, id, EDIT_FORGET);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    append(&l, &edits);
    model_reopen(&l.m);
    learner_free(l.m.learner);
    must(&l.m, store_recover(l.m.store, NULL, NULL, NULL, &l.m.learner, &report, &l.m.err));
    is_exact(&l);
    life_fini(&l);
}
END_TEST

static uint64_t samples_to_replay(struct model *m)
{
    struct store_replayer *replayer;
    uint64_t done, total;
    must(m, store_replayer_open(&replayer, m->store, &(struct replay_want){.target = m->learner->revision}, &m->err));
    store_replayer_progress(replayer, &done, &total);
    store_replayer_close(replayer);
    return total;
}

static int stop_later(void *context, uint64_t done, uint64_t total)
{
    uint64_t *steps = context;
    (void)done;
    (void)total;
    return (*steps)-- == 1;
}

/* When so many steps of making the model again were done, and the snapshots in them written. The start makes it. */
static void stop_and_start(struct life *l, uint64_t steps)
{
    struct model *m = &l->m;
    struct store_edited edited;
    struct store_recovery report;
    int status;
    if (steps > 0)
        must_fail(m, ERR_STOPPING, store_rebuild(m->store, m->learner, stop_later, &steps, &edited, &m->err));
    model_reopen(m);
    learner_free(m->learner);
    must(m, store_recover(m->store, NULL, NULL, NULL, &m->learner, &report, &m->err));
    must(m, store_snapshot(m->store, m->learner, "edit", "", false, NULL, &m->err));
    while ((status = store_edits_sweep(m->store, 10, &m->err)) == 1)
        ;
    ck_assert_int_eq(status, 0);
}

/* So that what a later edit costs does not grow with the log behind the first; also where a stop came between. */
START_TEST(others_stand_in_the_place_of_snapshots_that_saw)
{
    static struct life l;
    struct edits edits = {0};
    struct store_snapshot *list;
    size_t n;
    life_init(&l);
    for (int i = 0; i < 8; i++) {
        live_train(&l, 5);
        must(&l.m, store_snapshot(l.m.store, l.m.learner, "interval", "", false, NULL, &l.m.err));
    }
    want(&l, &edits, 7, EDIT_FORGET); /* of revision 3 */
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    append(&l, &edits);
    if (_i > 0)
        stop_and_start(&l, (uint64_t)_i - 1);
    else
        rebuild(&l.m);
    must(&l.m, store_snapshots(l.m.store, &list, &n, &l.m.err));
    const size_t n_seers = _i > 0 ? 7 : 6; /* the rebuild ends at the newest of them, and a start at the edit */
    ck_assert_uint_eq(n, 2 + n_seers + 1);
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(list[i].revision, i < 2 + n_seers ? i + 1 : 10);
        ck_assert_str_eq(list[i].reason, i == 0 ? "create" : i == 1 ? "interval" : "edit");
    }
    free(list);
    is_exact(&l);
    want(&l, &edits, 38, EDIT_FORGET); /* of revision 9 */
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    append(&l, &edits);
    ck_assert_uint_eq(samples_to_replay(&l.m), 5);
    rebuild(&l.m);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

/* The classes that the edit has left are written the next time that it is at the end. */
START_TEST(a_disk_that_is_full_at_the_logs_end_ends_nothing)
{
    static struct life l;
    struct edits edits = {0};
    struct store_edited edited;
    live(&l, true);
    must(&l.m, store_edits_remove(l.m.store, l.m.learner, &edits, 1, 2, &l.m.err));
    append(&l, &edits);
    must(&l.m, store_rebuild(l.m.store, l.m.learner, NULL, NULL, &edited, &l.m.err));
    fault_arm(&(struct fault_plan){.kind = FAULT_WRITE, .error = ENOSPC, .for_good = true}, 1);
    follow_to_the_end(&l.m);
    ck_assert_uint_gt(fault_hits(), 0);
    fault_disarm();
    follow_to_the_end(&l.m);
    verifies(&l.m);
    life_fini(&l);
}
END_TEST

START_TEST(an_edit_that_is_rolled_back_never_was)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, false);
    must(&l.m, edits_put(&edits, &(struct edit){.id = 30, .label = EDIT_FORGET}, &l.m.err));
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    must(&l.m, store_begin(l.m.store, &l.m.err));
    must(&l.m, store_edits_append(l.m.store, &edits, &l.m.err));
    ck_assert(store_edit_ahead(l.m.store));
    store_rollback(l.m.store);
    ck_assert(!store_edit_ahead(l.m.store));
    edits_fini(&edits);
    must(&l.m, store_edits_remove(l.m.store, l.m.learner, &edits, 1, EDIT_FORGET, &l.m.err));
    must(&l.m, store_begin(l.m.store, &l.m.err));
    must(&l.m, store_edits_append(l.m.store, &edits, &l.m.err));
    store_rollback(l.m.store);
    ck_assert_uint_eq(store_class_id(l.m.store, 1), 1);
    edits_fini(&edits);
    is_exact(&l);
    live_train(&l, 4);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

/* One thing of the row of an edit, or of a train event that it has emptied, is another. */
static void spoil(struct log_row *edit, struct log_row *emptied, uint8_t *bytes, int what)
{
    memcpy(bytes, edit->edit, edit->n_edit);
    edit->edit = bytes;
    switch (what) {
    case 0:
        bytes[0] ^= 1;
        break;
    case 1:
        bytes[edit->n_edit - 1] ^= 1;
        break;
    case 2:
        edit->n_edit -= 16;
        break;
    case 3:
        edit->n_edit = 0;
        edit->edit = NULL;
        break;
    case 4:
        edit->kind = "tune";
        break;
    case 5:
        edit->created_us++;
        break;
    default: /* a neighbour is forgotten, too, of which the edit says nothing */
        for (uint32_t i = 0; i < emptied->n_samples; i++)
            ((uint32_t *)(uintptr_t)emptied->labels)[i] = EDIT_FORGET;
        break;
    }
}

static int follow_all(struct model *to, const struct rows *rows, const struct log_row *edit)
{
    if (row_ahead(to->store, edit, &to->err) != 0)
        return -1;
    for (size_t i = 0; i < rows->n; i++)
        if (row_follow(to->store, &rows->list[i], &to->err) != 0)
            return -1;
    return 0;
}

START_TEST(rows_that_no_edit_has_left_are_refused)
{
    static struct life l;
    struct edits edits = {0};
    struct model to;
    struct rows rows;
    uint8_t bytes[512];
    life_init(&l);
    live_train(&l, 4);
    live_train(&l, 5);
    want(&l, &edits, 6, EDIT_FORGET);
    want(&l, &edits, 7, EDIT_FORGET);
    share(&l, &edits);
    model_init(&to);
    must(&l.m, rows_read(&rows, l.m.store, 1, SIZE_MAX, &l.m.err));
    ck_assert(rows.n == 3 && is_edit(&rows.list[2]) && rows.list[2].n_edit == 2 * 16 + 40);
    ck_assert(rows.list[2].n_erase == 2 && rows.list[2].erase_events[1] == 3 && rows.list[2].erase_samples[1] == 7);
    ck_assert(rows.list[1].labels[1] == EDIT_FORGET && rows.list[1].images[MODEL_PIXELS] == 0);
    const struct log_row edit = rows.list[2], emptied = rows.list[1];
    uint32_t *labels = (uint32_t *)(uintptr_t)emptied.labels, kept[5];
    memcpy(kept, labels, sizeof kept);
    spoil(&rows.list[2], &rows.list[1], bytes, _i);
    must(&to, store_begin(to.store, &to.err));
    must_fail(&to, ERR_DIVERGED, follow_all(&to, &rows, &rows.list[2]));
    ck_assert_uint_eq(store_revision(to.store), 1);
    rows.list[2] = edit;
    rows.list[1] = emptied;
    memcpy(labels, kept, sizeof kept);
    must(&to, store_begin(to.store, &to.err));
    must_fail(&to, ERR_DIVERGED, row_follow(to.store, &rows.list[1], &to.err)); /* without the edit it is no row */
    rows_free(&rows);
    copy(&to, &l.m);
    same_in_both(&to, &l.m);
    model_fini(&to);
    life_fini(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("edits shared");
    TCase *t = tcase_create("edits shared");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, forgotten_and_relabelled_everywhere, 0, 2);
    tcase_add_loop_test(t, a_class_that_is_removed_never_was_for_anybody, 0, 8);
    tcase_add_test(t, a_crash_before_the_model_is_made_again_costs_nothing);
    tcase_add_loop_test(t, others_stand_in_the_place_of_snapshots_that_saw, 0, 3);
    tcase_add_test(t, a_disk_that_is_full_at_the_logs_end_ends_nothing);
    tcase_add_test(t, an_edit_that_is_rolled_back_never_was);
    tcase_add_loop_test(t, rows_that_no_edit_has_left_are_refused, 0, 7);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
