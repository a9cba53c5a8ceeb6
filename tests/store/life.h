/* life.h - what the tests of edits share: a life of a model, of which everything that went into it is remembered, and the same
 * life told by hand, as edited, to a learner that knows nothing of stores. Both must come to the same bits.
 */
#ifndef CONVD_TESTS_STORE_LIFE_H
#define CONVD_TESTS_STORE_LIFE_H

#include "core/draw.h"
#include "store/replay/replayer.h"
#include "tests/store/model.h"

#define REVISIONS 48 /* of a life, at most   */
#define SAMPLES   600

/* ---- a life, and the same life told by hand ---- */

struct told {
    uint64_t revision;
    uint32_t label;
    bool forgotten;
    uint8_t pixels[MODEL_PIXELS];
};

struct life {
    struct model m;
    struct event events[REVISIONS + 1]; /* as they were appended; of train events only what points nowhere */
    int64_t first[REVISIONS + 1];       /* id of the first sample of a train event                          */
    uint64_t n_events;
    struct told samples[SAMPLES + 1]; /* by id */
    struct learner *past[REVISIONS + 1];
    uint32_t removed; /* the class that never was; NO_CLASS: none */
};

#define NO_CLASS UINT32_MAX

/* The column of a class by its number. */
UNUSED static uint32_t column_of(const struct life *l, uint32_t id)
{
    return id - (l->removed != NO_CLASS && id > l->removed);
}

UNUSED static void note(struct life *l, struct event event)
{
    ck_assert_uint_lt(l->n_events, REVISIONS);
    l->events[++l->n_events] = event;
    learner_free(l->past[l->n_events]);
    l->past[l->n_events] = keep(&l->m);
}

UNUSED static void live_train(struct life *l, uint32_t n)
{
    struct model *m = &l->m;
    struct event event = train_event(m->learner->revision + 1, n, 3, m->learner->revision + 1);
    store_next(m->store, &event);
    in_group(m, must(m, store_append(m->store, &event, &m->err)));
    must(m, learner_apply(m->learner, &event, &m->err));
    store_outcomes(m->store, &event);
    for (uint32_t i = 0; i < n; i++) {
        const struct sample *sample = &event.as.train.samples[i];
        ck_assert_int_le(sample->id, SAMPLES);
        struct told *told = &l->samples[sample->id];
        *told = (struct told){.revision = event.revision, .label = sample->label};
        memcpy(told->pixels, sample->pixels, MODEL_PIXELS);
    }
    l->first[event.revision] = event.as.train.samples[0].id;
    event.as.train.samples = NULL;
    note(l, event);
}

UNUSED static void live_class(struct life *l, const char *label)
{
    struct event event = next_event(&l->m, EVENT_CLASS);
    event.as.class_.action = CLASS_ADD;
    event.as.class_.index = l->m.learner->n_classes;
    (void)snprintf(event.as.class_.label, sizeof event.as.class_.label, "%s", label);
    in_group(&l->m, append_class(&l->m, CLASS_ADD, event.as.class_.index, label));
    note(l, event);
}

UNUSED static void live_rehearse(struct life *l, int64_t first, uint64_t seed)
{
    struct model *m = &l->m;
    struct event event = rehearse_event(m, first, INT64_MAX, seed);
    event.as.rehearse.begin = event.as.rehearse.n / 4;
    event.as.rehearse.jitter = 1;
    event.as.rehearse.rotation = 7;
    must(m, store_rehearse(m->store, m->learner, &event, &m->err));
    in_group(m, must(m, store_append(m->store, &event, &m->err)));
    note(l, event);
}

UNUSED static void live_idle(struct life *l, uint32_t steps)
{
    struct model *m = &l->m;
    struct event event = next_event(m, EVENT_IDLE);
    event.as.idle.steps = steps;
    must(m, learner_apply(m->learner, &event, &m->err));
    in_group(m, must(m, store_append(m->store, &event, &m->err)));
    note(l, event);
}

UNUSED static void live_activate(struct life *l, uint64_t revision)
{
    struct event event = next_event(&l->m, EVENT_ACTIVATE);
    event.as.activate.revision = revision;
    in_group(&l->m, append_activate(&l->m, l->past[revision]));
    note(l, event);
}

UNUSED static void life_init(struct life *l)
{
    memset(l, 0, sizeof *l);
    l->removed = NO_CLASS;
    model_init(&l->m);
    note(l, (struct event){.kind = EVENT_CREATE, .revision = 1});
}

/* Some of everything, `ways_back` or not. */
UNUSED static void live(struct life *l, bool ways_back)
{
    life_init(l);
    while (l->n_events < 38) {
        const uint64_t revision = l->n_events + 1;
        if (ways_back && revision % 13 == 0)
            live_activate(l, revision - 6);
        else if (revision == 9 || revision == 20)
            live_class(l, revision == 9 ? "d" : "e");
        else if (revision % 14 == 0)
            live_idle(l, 40);
        else if (revision % 7 == 0)
            live_rehearse(l, 3, revision);
        else
            live_train(l, 1 + (uint32_t)(revision * 5 % 12));
        if (revision % 10 == 5)
            snapshot(&l->m);
    }
}

UNUSED static void life_fini(struct life *l)
{
    for (uint64_t r = 1; r <= l->n_events; r++)
        learner_free(l->past[r]);
    model_fini(&l->m);
}

/* One event of the edited log, told to a learner that knows nothing of stores. */
UNUSED static void tell(struct learner *learner, const struct life *l, struct event event, const bool *on_line)
{
    struct err err;
    struct sample samples[MODEL_SAMPLES];
    if (event.kind == EVENT_TRAIN) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < event.as.train.n; i++) {
            const int64_t id = l->first[event.revision] + i;
            const struct told *told = &l->samples[id];
            if (!told->forgotten)
                samples[n++] = (struct sample){.id = id, .label = column_of(l, told->label), .pixels = told->pixels};
        }
        event.as.train.n = n;
        event.as.train.samples = samples;
    }
    if (event.kind != EVENT_REHEARSE) {
        ck_assert_msg(learner_apply(learner, &event, &err) == 0, "%s", err.text);
        return;
    }
    int64_t ids[SAMPLES];
    uint64_t n = 0;
    for (int64_t id = event.as.rehearse.first_id; id <= SAMPLES && id <= event.as.rehearse.last_id; id++)
        if (on_line[id])
            ids[n++] = id;
    ck_assert_uint_eq(n, event.as.rehearse.n);
    for (uint64_t place = event.as.rehearse.begin; place < event.as.rehearse.end; place++) {
        const struct told *told = &l->samples[ids[learner_order(event.as.rehearse.seed, n, place)]];
        const struct rehearse_step step = {.rate = event.as.rehearse.rate,
                                           .jitter = event.as.rehearse.jitter,
                                           .rotation = event.as.rehearse.rotation,
                                           .draw = draw_bits(event.as.rehearse.seed, place)};
        if (!told->forgotten)
            ck_assert_int_eq(learner_rehearse(learner, column_of(l, told->label), told->pixels, &step, &err), 0);
    }
    learner->revision = event.revision;
}

/* The states of a learner from nothing that is fed the edited log; all of them, for the ways back. */
UNUSED static struct learner *by_hand(const struct life *l)
{
    static bool on_line[REVISIONS + 2][SAMPLES + 1];
    struct learner *past[REVISIONS + 2] = {NULL};
    struct event create = model_origin();
    char labels[3][LABEL_BYTES_MAX + 1];
    uint32_t n_labels = 0;
    for (uint32_t i = 0; i < 3; i++)
        if (i != l->removed)
            memcpy(labels[n_labels++], create.as.create.labels[i], sizeof labels[0]);
    create.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) labels;
    create.as.create.n_classes = n_labels;
    memset(on_line, 0, sizeof on_line);
    past[1] = learner_create(&create, NULL, 8, NULL);
    for (uint64_t r = 2; r <= l->n_events; r++) {
        struct event numbered = l->events[r], *event = &numbered;
        const bool never_was = event->kind == EVENT_CLASS && event->as.class_.index == l->removed;
        if (event->kind == EVENT_CLASS)
            event->as.class_.index = column_of(l, event->as.class_.index);
        const uint64_t before = event->kind == EVENT_ACTIVATE ? event->as.activate.revision : r - 1;
        past[r] = learner_dup(past[before], true, NULL);
        memcpy(on_line[r], on_line[before], sizeof on_line[r]);
        /* A class that an edit brings along earlier is found there when its own event comes. */
        const bool found = event->kind == EVENT_CLASS && event->as.class_.index < past[r]->n_classes;
        if (event->kind == EVENT_TRAIN)
            for (uint32_t i = 0; i < event->as.train.n; i++) {
                static const char *const added[] = {"d", "e"};
                struct event add = {.kind = EVENT_CLASS, .revision = r, .as.class_.action = CLASS_ADD};
                const struct told *told = &l->samples[l->first[r] + i];
                on_line[r][l->first[r] + i] = true;
                while (!told->forgotten && column_of(l, told->label) >= past[r]->n_classes) {
                    uint32_t number = past[r]->n_classes;
                    number += l->removed != NO_CLASS && number >= l->removed;
                    ck_assert(number >= 3 && number - 3 < sizeof added / sizeof *added);
                    add.as.class_.index = past[r]->n_classes;
                    (void)snprintf(add.as.class_.label, sizeof add.as.class_.label, "%s", added[number - 3]);
                    past[r]->revision = r - 1;
                    ck_assert_int_eq(learner_apply(past[r], &add, NULL), 0);
                    past[r]->revision = r - 1;
                }
            }
        if (event->kind != EVENT_ACTIVATE && event->kind != EVENT_EDIT && !found && !never_was)
            tell(past[r], l, *event, on_line[r]);
        past[r]->revision = r;
    }
    struct learner *last = past[l->n_events];
    for (uint64_t r = 1; r < l->n_events; r++)
        learner_free(past[r]);
    return last;
}

/* ---- editing ---- */

UNUSED static void want(struct life *l, struct edits *edits, int64_t id, uint32_t label)
{
    must(&l->m, edits_put(edits, &(struct edit){.id = id, .label = label}, &l->m.err));
    l->samples[id].forgotten = l->samples[id].forgotten || label == EDIT_FORGET;
    if (label != EDIT_FORGET)
        l->samples[id].label = label;
}

/* Works the edits in, as the daemon does; the rebuilt state replaces the learner, whatever that was. */
UNUSED static void work_in(struct life *l, struct edits *edits, uint64_t step)
{
    struct model *m = &l->m;
    struct store_replayer *r;
    struct store_snapshot taken;
    struct learner *state;
    int status;
    must(m, store_edits_check(m->store, m->learner, edits, NULL, &m->err));
    must(m, store_edits_keep(m->store, edits, &m->err));
    const struct replay_want what = {
        .target = store_revision(m->store), .from = edits_first(edits) - 1, .edits = edits};
    must(m, store_replayer_open(&r, m->store, &what, &m->err));
    while ((status = store_replayer_step(r, step, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
    must(m, store_edits_take_over(m->store, r, edits, &state, &taken, &m->err));
    store_replayer_close(r);
    while ((status = store_edits_sweep(m->store, 10, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
    must(m, store_checkpoint(m->store, true, &m->err));
    ck_assert_uint_eq(state->revision, store_revision(m->store));
    ck_assert_uint_eq(taken.revision, state->revision);
    learner_free(m->learner);
    m->learner = state;
    note(l, (struct event){.kind = EVENT_EDIT, .revision = state->revision});
    edits_fini(edits);
}

/* The live state, a recovered one and one that was replayed from nothing are all what the edited log gives by hand. */
UNUSED static void is_exact(struct life *l)
{
    struct learner *hand = by_hand(l);
    same_state(l->m.learner, hand);
    (void)recovers(&l->m);
    verifies(&l->m);
    learner_free(hand);
}

/* Whether any file of the model has these bytes. */
UNUSED static bool stands_somewhere(struct life *l, const uint8_t *bytes, size_t n)
{
    static const char *const names[] = {"", "-wal", "-shm", "-journal"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", l->m.path, names[i]);
        FILE *file = fopen(path, "rb");
        if (file == NULL)
            continue;
        ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
        long size = ftell(file);
        ck_assert_int_ge(size, 0);
        ck_assert_int_eq(fseek(file, 0, SEEK_SET), 0);
        uint8_t *all = malloc((size_t)size + 1);
        ck_assert_ptr_nonnull(all);
        ck_assert_uint_eq(fread(all, 1, (size_t)size, file), (size_t)size);
        found = found || memmem(all, (size_t)size, bytes, n) != NULL;
        free(all);
        (void)fclose(file);
    }
    return found;
}

#endif
