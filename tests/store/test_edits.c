/* test_edits.c - the past is changed: the model is then, bit for bit, that of a fresh learner which is fed the edited log by hand,
 * and what was forgotten stands nowhere in the files. */
#include "core/draw.h"
#include "store/replayer.h"
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
static uint32_t column_of(const struct life *l, uint32_t id)
{
    return id - (l->removed != NO_CLASS && id > l->removed);
}

static void note(struct life *l, struct event event)
{
    ck_assert_uint_lt(l->n_events, REVISIONS);
    l->events[++l->n_events] = event;
    learner_free(l->past[l->n_events]);
    l->past[l->n_events] = keep(&l->m);
}

static void live_train(struct life *l, uint32_t n)
{
    struct model *m = &l->m;
    struct event event = train_event(m->learner->revision + 1, n, 3, m->learner->revision + 1);
    store_next(m->store, &event);
    must(m, learner_apply(m->learner, &event, &m->err));
    in_group(m, must(m, store_append(m->store, &event, &m->err)));
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

static void live_class(struct life *l, const char *label)
{
    struct event event = next_event(&l->m, EVENT_CLASS);
    event.as.class_.action = CLASS_ADD;
    event.as.class_.index = l->m.learner->n_classes;
    (void)snprintf(event.as.class_.label, sizeof event.as.class_.label, "%s", label);
    in_group(&l->m, append_class(&l->m, CLASS_ADD, event.as.class_.index, label));
    note(l, event);
}

static void live_rehearse(struct life *l, int64_t first, uint64_t seed)
{
    struct model *m = &l->m;
    struct event event = rehearse_event(m, first, INT64_MAX, seed);
    event.as.rehearse.begin = event.as.rehearse.n / 4;
    event.as.rehearse.jitter = 1;
    event.as.rehearse.rotation = 7;
    must(m, store_rehearse(m->store, m->learner, &event, NULL, NULL, &m->err));
    in_group(m, must(m, store_append(m->store, &event, &m->err)));
    note(l, event);
}

static void live_activate(struct life *l, uint64_t revision)
{
    struct event event = next_event(&l->m, EVENT_ACTIVATE);
    event.as.activate.revision = revision;
    in_group(&l->m, append_activate(&l->m, l->past[revision]));
    note(l, event);
}

static void life_init(struct life *l)
{
    memset(l, 0, sizeof *l);
    l->removed = NO_CLASS;
    model_init(&l->m);
    note(l, (struct event){.kind = EVENT_CREATE, .revision = 1});
}

/* Some of everything, `ways_back` or not. */
static void live(struct life *l, bool ways_back)
{
    life_init(l);
    while (l->n_events < 38) {
        const uint64_t revision = l->n_events + 1;
        if (ways_back && revision % 13 == 0)
            live_activate(l, revision - 6);
        else if (revision == 9 || revision == 20)
            live_class(l, revision == 9 ? "d" : "e");
        else if (revision % 7 == 0)
            live_rehearse(l, 3, revision);
        else
            live_train(l, 1 + (uint32_t)(revision * 5 % 12));
        if (revision % 10 == 5)
            snapshot(&l->m);
    }
}

static void life_fini(struct life *l)
{
    for (uint64_t r = 1; r <= l->n_events; r++)
        learner_free(l->past[r]);
    model_fini(&l->m);
}

/* One event of the edited log, told to a learner that knows nothing of stores. */
static void tell(struct learner *learner, const struct life *l, struct event event, const bool *on_line)
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
static struct learner *by_hand(const struct life *l)
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

static void want(struct life *l, struct edits *edits, int64_t id, uint32_t label)
{
    must(&l->m, edits_put(edits, &(struct edit){.id = id, .label = label}, &l->m.err));
    l->samples[id].forgotten = l->samples[id].forgotten || label == EDIT_FORGET;
    if (label != EDIT_FORGET)
        l->samples[id].label = label;
}

/* Works the edits in, as the daemon does; the rebuilt state replaces the learner, whatever that was. */
static void work_in(struct life *l, struct edits *edits, uint64_t step)
{
    struct model *m = &l->m;
    struct store_replayer *r;
    struct store_snapshot taken;
    struct learner *state;
    int status;
    must(m, store_edits_check(m->store, m->learner, edits, NULL, &m->err));
    must(m, store_edits_keep(m->store, edits, &m->err));
    const struct replay_want what = {
        .target = store_revision(m->store), .ground = edits_first(edits) - 1, .edits = edits};
    must(m, store_replayer_open(&r, m->store, &what, &m->err));
    while ((status = store_replayer_step(r, step, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
    must(m, store_edits_take_over(m->store, r, edits, &state, &taken, &m->err));
    store_replayer_close(r);
    must(m, store_checkpoint(m->store, true, &m->err));
    ck_assert_uint_eq(state->revision, store_revision(m->store));
    ck_assert_uint_eq(taken.revision, state->revision);
    learner_free(m->learner);
    m->learner = state;
    note(l, (struct event){.kind = EVENT_EDIT, .revision = state->revision});
    edits_fini(edits);
}

/* The live state, a recovered one and one that was replayed from nothing are all what the edited log gives by hand. */
static void is_exact(struct life *l)
{
    struct learner *hand = by_hand(l);
    same_state(l->m.learner, hand);
    (void)recovers(&l->m);
    verifies(&l->m);
    learner_free(hand);
}

/* Whether any file of the model has these bytes. */
static bool stands_somewhere(struct life *l, const uint8_t *bytes, size_t n)
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
        size_t size = (size_t)ftell(file);
        rewind(file);
        uint8_t *all = malloc(size + 1);
        ck_assert_uint_eq(fread(all, 1, size, file), size);
        found = found || memmem(all, size, bytes, n) != NULL;
        free(all);
        (void)fclose(file);
    }
    return found;
}

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
                                     .ground = edits_first(&edits) - 1,
                                     .from_origin = edits_first(&edits) == 1,
                                     .edits = &edits};
    must(m, store_replayer_open(&r, m->store, &what, &m->err));
    while ((status = store_replayer_step(r, 11, &m->err)) == 1)
        ;
    ck_assert_msg(status == 0, "%s", m->err.text);
    must(m, store_edits_take_over(m->store, r, &edits, &state, NULL, &m->err));
    store_replayer_close(r);
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

/* Whether no other sample that is still there has those bytes. */
static bool is_its_own(const struct life *l, int64_t id, size_t at, size_t n)
{
    for (int64_t other = 1; other <= SAMPLES; other++)
        if (other != id && !l->samples[other].forgotten &&
            memmem(l->samples[other].pixels, MODEL_PIXELS, l->samples[id].pixels + at, n) != NULL)
            return false;
    return true;
}

START_TEST(nothing_of_a_forgotten_image_stands_in_the_files)
{
    static struct life l;
    struct edits edits = {0};
    live(&l, true);
    must(&l.m, store_checkpoint(l.m.store, true, &l.m.err));
    for (int64_t id = 1; id < 100; id += 4) {
        ck_assert(stands_somewhere(&l, l.samples[id].pixels, MODEL_PIXELS));
        want(&l, &edits, id, EDIT_FORGET);
    }
    work_in(&l, &edits, 6);
    for (int64_t id = 1; id < 100; id += 4)
        for (size_t at = 0; at + 16 <= MODEL_PIXELS; at += 16)
            ck_assert_msg(!is_its_own(&l, id, at, 16) || !stands_somewhere(&l, l.samples[id].pixels + at, 16),
                          "pixels of sample %lld", (long long)id);
    ck_assert(stands_somewhere(&l, l.samples[2].pixels, MODEL_PIXELS));
    life_fini(&l);
}
END_TEST

/* An image of many pages goes by another way through SQLite than one of a few bytes. */
START_TEST(nothing_of_a_large_forgotten_image_stands_in_the_files)
{
    static struct life l;
    static uint8_t pixels[150 * 150], big[150 * 150];
    struct event create = model_origin();
    struct edits edits = {0};
    struct store_replayer *r;
    struct learner *state;
    memset(&l, 0, sizeof l);
    create.as.create.shape.width = create.as.create.shape.height = 150;
    model_init_from(&l.m, &create);
    for (uint64_t i = 1; i <= 9; i++) {
        for (size_t p = 0; p < sizeof pixels; p++)
            pixels[p] = (uint8_t)mix(i * 100000 + p);
        if (i == 4)
            memcpy(big, pixels, sizeof big);
        struct sample sample = {.label = (uint32_t)(i % 3), .pixels = pixels};
        struct event event = {.kind = EVENT_TRAIN, .revision = i + 1, .as.train = {.n = 1, .samples = &sample}};
        store_next(l.m.store, &event);
        must(&l.m, learner_apply(l.m.learner, &event, &l.m.err));
        in_group(&l.m, must(&l.m, store_append(l.m.store, &event, &l.m.err)));
    }
    must(&l.m, edits_put(&edits, &(struct edit){.id = 4, .label = EDIT_FORGET}, &l.m.err));
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    must(&l.m, store_replayer_open(&r, l.m.store, &(struct replay_want){.target = 10, .ground = 4, .edits = &edits},
                                   &l.m.err));
    ck_assert_int_eq(store_replayer_step(r, 1000, &l.m.err), 0);
    must(&l.m, store_edits_take_over(l.m.store, r, &edits, &state, NULL, &l.m.err));
    store_replayer_close(r);
    must(&l.m, store_checkpoint(l.m.store, true, &l.m.err));
    learner_free(l.m.learner);
    l.m.learner = state;
    for (size_t at = 0; at + 32 <= sizeof big; at += 32)
        ck_assert_msg(!stands_somewhere(&l, big + at, 32), "pixels from %zu on", at);
    ck_assert(stands_somewhere(&l, pixels, 32));
    verifies(&l.m);
    edits_fini(&edits);
    model_fini(&l.m);
}
END_TEST

START_TEST(snapshots_that_saw_an_edited_sample_are_gone_and_the_others_stay)
{
    static struct life l;
    struct edits edits = {0};
    struct store_snapshot *list;
    size_t n;
    live(&l, true);                             /* snapshots at 1, 5, 15, 25, 35; 13, 26 go back to 7, 20 */
    want(&l, &edits, l.first[10], EDIT_FORGET); /* left behind at 13 */
    work_in(&l, &edits, 6);
    must(&l.m, store_snapshots(l.m.store, &list, &n, &l.m.err));
    ck_assert_uint_eq(n, 6); /* 15, 25 and 35 are on lines that never had it */
    free(list);
    want(&l, &edits, l.first[18], EDIT_FORGET);
    work_in(&l, &edits, 6);
    must(&l.m, store_snapshots(l.m.store, &list, &n, &l.m.err));
    ck_assert_uint_eq(n, 4);
    ck_assert(list[0].revision == 1 && list[1].revision == 5 && list[2].revision == 15 && list[3].revision == 40);
    ck_assert_str_eq(list[3].reason, "edit");
    free(list);
    is_exact(&l);
    life_fini(&l);
}
END_TEST

START_TEST(a_pinned_snapshot_that_saw_goes_only_when_it_may)
{
    static struct life l;
    struct edits edits = {0};
    struct store_replayer *r;
    struct learner *state;
    size_t n;
    int64_t first = 0;
    life_init(&l);
    live_train(&l, 4);
    must(&l.m, store_snapshot(l.m.store, l.m.learner, "request", "keep me", true, NULL, &l.m.err));
    live_train(&l, 4);
    want(&l, &edits, 6, EDIT_FORGET);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    must(&l.m, store_edits_pinned(l.m.store, &edits, &n, &first, &l.m.err));
    ck_assert_uint_eq(n, 0); /* it is older */
    want(&l, &edits, 3, EDIT_FORGET);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    must(&l.m, store_edits_pinned(l.m.store, &edits, &n, &first, &l.m.err));
    ck_assert(n == 1 && first == 2);
    const struct replay_want what = {.target = 3, .ground = 1, .edits = &edits};
    must(&l.m, store_replayer_open(&r, l.m.store, &what, &l.m.err));
    ck_assert_int_eq(store_replayer_step(r, 1000, &l.m.err), 0);
    must_fail(&l.m, ERR_CONFLICT, store_edits_take_over(l.m.store, r, &edits, &state, NULL, &l.m.err));
    store_replayer_close(r);
    (void)recovers(&l.m); /* nothing has changed */
    verifies(&l.m);
    edits.drop_pinned = true;
    work_in(&l, &edits, 100);
    must_fail(&l.m, ERR_NOT_FOUND, store_snapshot_find(l.m.store, 2, &(struct store_snapshot){0}, &l.m.err));
    is_exact(&l);
    life_fini(&l);
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

START_TEST(what_was_accepted_is_kept_until_it_is_in_the_log)
{
    static struct life l;
    struct edits edits = {0}, kept;
    life_init(&l);
    live_train(&l, 4);
    want(&l, &edits, 2, EDIT_FORGET);
    must(&l.m, store_edits_check(l.m.store, l.m.learner, &edits, NULL, &l.m.err));
    edits.drop_pinned = true;
    must(&l.m, store_edits_keep(l.m.store, &edits, &l.m.err));
    edits_fini(&edits);
    edits = (struct edits){0};
    want(&l, &edits, 3, 2);
    must(&l.m, store_edits_keep(l.m.store, &edits, &l.m.err));
    edits_fini(&edits);
    (void)recovers(&l.m);
    must(&l.m, store_edits_kept(l.m.store, &kept, &l.m.err));
    ck_assert(kept.n == 2 && kept.drop_pinned);
    ck_assert(kept.list[0].id == 2 && kept.list[0].label == EDIT_FORGET);
    ck_assert(kept.list[1].id == 3 && kept.list[1].label == 2);
    work_in(&l, &kept, 2);
    must(&l.m, store_edits_kept(l.m.store, &kept, &l.m.err));
    ck_assert_uint_eq(kept.n, 0);
    is_exact(&l);
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
        .target = store_revision(m->store), .ground = edits_first(&edits) - 1, .edits = &edits};
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
        must(&l.m, store_state_at(l.m.store, revision, NULL, &state, &l.m.err));
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
    must(&l.m, store_state_at(l.m.store, 17, NULL, &then, &l.m.err));
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

/* ---- files of older versions ---- */

static void run_sql(sqlite3 *db, const char *path)
{
    static char sql[1 << 16];
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "run from the top of the tree");
    sql[fread(sql, 1, sizeof sql - 1, file)] = '\0';
    ck_assert(feof(file));
    (void)fclose(file);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", path, sqlite3_errmsg(db));
}

/* What the first version left, as it is and brought to each version since: all can be edited, a rehearsal of one event included. */
START_TEST(a_file_of_an_older_version_can_be_edited)
{
    static struct life l;
    struct model *m = &l.m;
    struct edits edits = {0};
    struct store_replayer *r;
    struct learner *state;
    struct store_verdict verdict;
    uint8_t digest[DIGEST_BYTES];
    sqlite3 *db = NULL;
    memset(&l, 0, sizeof l);
    model_folder(m);
    ck_assert_int_eq(sqlite3_open(m->path, &db), SQLITE_OK);
    run_sql(db, "tests/store/version-1.sql");
    if (_i > 0)
        run_sql(db, "schema/0002.sql");
    if (_i > 1)
        run_sql(db, "schema/0003.sql");
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    must(m, store_open(&m->store, m->path, false, &m->err));
    must(m, store_recover(m->store, NULL, NULL, NULL, &m->learner, NULL, &m->err));
    verifies(m);
    for (int64_t id = 3; id <= 28; id += 5)
        must(m, edits_put(&edits, &(struct edit){.id = id, .label = EDIT_FORGET}, &m->err));
    must(m, store_edits_check(m->store, m->learner, &edits, NULL, &m->err));
    const struct replay_want what = {
        .target = store_revision(m->store), .ground = edits_first(&edits) - 1, .edits = &edits};
    must(m, store_replayer_open(&r, m->store, &what, &m->err));
    while (store_replayer_step(r, 3, &m->err) == 1)
        ;
    must(m, store_edits_take_over(m->store, r, &edits, &state, NULL, &m->err));
    store_replayer_close(r);
    edits_fini(&edits);
    must(m, store_verify(m->store, NULL, NULL, NULL, &verdict, &m->err));
    learner_digest(state, digest);
    ck_assert_mem_eq(verdict.digest, digest, DIGEST_BYTES);
    ck_assert_uint_lt(state->step, m->learner->step);
    learner_free(state);
    model_fini(m);
}
END_TEST

/* ---- damage ---- */

/* What verify, and recovery from nothing, say of a file with edits after one statement of SQL. */
static const struct {
    const char *sql, *says;
} damages[] = {
    {"UPDATE sample SET loss = 0.25 WHERE id = 5", "revision 3"},          /* beside a forgotten one       */
    {"UPDATE sample SET image = zeroblob(64) WHERE id = 7", "revision 3"}, /* likewise                     */
    {"UPDATE sample SET label = 0, image = zeroblob(64) WHERE id = 6", "revision 3"},
    {"UPDATE sample SET label = -1, predicted = 0, loss = NULL WHERE id = 2", "revision 2"},
    {"UPDATE sample SET label = -1, predicted = 0, loss = NULL WHERE id = 7", "revision 3"},
    {"DELETE FROM sample WHERE id = 6", "revision 3"},
    {"DELETE FROM edited", "revision 3"},
    {"UPDATE edited SET hash = zeroblob(32)", "revision 3"},
    {"DELETE FROM edit WHERE sample = 10", "revision 5"},
    {"UPDATE edit SET label = 0 WHERE sample = 10", "revision 5"},
    {"UPDATE edit SET was = was + 1 WHERE sample = 6", "revision 5"},
    {"INSERT INTO edit VALUES (2, 5, 0, 1)", "revision 5"},
    {"UPDATE event SET body = json_set(body, '$.from', 4) WHERE kind = 'edit'", "revision"},
    {"UPDATE event SET body = '{}' WHERE kind = 'edit'", "revision"},
};

START_TEST(damage_to_what_an_edit_wrote_is_found_and_named)
{
    static struct life l;
    struct edits edits = {0};
    life_init(&l);
    live_train(&l, 4);
    live_train(&l, 4);
    live_train(&l, 4);
    want(&l, &edits, 6, EDIT_FORGET);
    want(&l, &edits, 10, l.samples[10].label == 1 ? 2 : 1);
    work_in(&l, &edits, 6);
    live_train(&l, 4);
    verifies(&l.m);
    tamper(&l.m, damages[_i].sql);
    struct err err = {0};
    if (store_open(&l.m.store, l.m.path, false, &err) == 0)
        ck_assert_msg(store_verify(l.m.store, NULL, NULL, NULL, NULL, &err) != 0, "verify holds after %s",
                      damages[_i].sql);
    ck_assert_int_eq(err.code, ERR_DB_CORRUPT);
    ck_assert_msg(strstr(err.text, damages[_i].says) != NULL, "%s: %s", damages[_i].sql, err.text);
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
    tcase_add_test(t, nothing_of_a_forgotten_image_stands_in_the_files);
    tcase_add_test(t, nothing_of_a_large_forgotten_image_stands_in_the_files);
    tcase_add_test(t, snapshots_that_saw_an_edited_sample_are_gone_and_the_others_stay);
    tcase_add_test(t, a_pinned_snapshot_that_saw_goes_only_when_it_may);
    tcase_add_test(t, a_sample_that_is_not_there_or_was_forgotten_is_told);
    tcase_add_test(t, a_label_that_the_sample_has_already_needs_no_edit);
    tcase_add_test(t, what_was_accepted_is_kept_until_it_is_in_the_log);
    tcase_add_test(t, the_log_may_grow_while_the_past_is_rebuilt);
    tcase_add_test(t, every_revision_can_be_visited_as_the_edited_log_has_it);
    tcase_add_test(t, a_model_that_goes_back_to_before_an_edit_is_still_edited);
    tcase_add_loop_test(t, a_class_that_is_removed_never_was, 0, sizeof removals / sizeof *removals);
    tcase_add_loop_test(t, a_class_is_removed_on_every_line, 0, 3);
    tcase_add_test(t, one_class_after_the_other_can_be_removed);
    tcase_add_test(t, given_first_weights_lose_the_column_of_a_removed_class);
    tcase_add_test(t, a_class_whose_number_had_another_meaning_stays);
    tcase_add_loop_test(t, a_file_of_an_older_version_can_be_edited, 0, 3);
    tcase_add_loop_test(t, damage_to_what_an_edit_wrote_is_found_and_named, 0, sizeof damages / sizeof *damages);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
