/* rebuild.c - see rebuild.h */
#include "server/rebuild.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "server/log.h"

#define STEP_SAMPLES 64u /* between two looks at the clock: a millisecond, mostly */

static uint64_t clock_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool rebuild_active(const struct rebuild *r)
{
    return r->replayer != NULL;
}

bool rebuild_removes(const struct rebuild *r)
{
    return r->edits.removes;
}

void rebuild_fini(struct rebuild *r)
{
    store_replayer_close(r->replayer);
    edits_fini(&r->edits);
    r->replayer = NULL;
}

int rebuild_drop(struct rebuild *r, struct store *store, struct err *err)
{
    rebuild_fini(r);
    return store_edits_drop(store, err);
}

/* From the newest snapshot before the first edit. */
static int begin(struct rebuild *r, struct store *store, const struct learner *work, struct err *err)
{
    const struct replay_want want = {.target = store_revision(store),
                                     .ground = edits_first(&r->edits) - 1,
                                     .from_origin = edits_first(&r->edits) == 1,
                                     .arith = work->arith,
                                     .edits = &r->edits};
    store_replayer_close(r->replayer);
    r->replayer = NULL;
    if (store_replayer_open(&r->replayer, store, &want, err) != 0)
        return -1;
    store_replayer_share(r->replayer, r->team, r->team_least);
    return 0;
}

/* ---- accepting ---- */

/* For an error in the list of ids: which of them it is. */
static void point_at(struct err *err, const struct edit_ask *ask, int64_t id)
{
    for (size_t i = 0; ask->many && i < ask->n; i++)
        if (ask->ids[i] == id) {
            err_at(err, "/ids/%zu", i);
            return;
        }
}

/* Sorts what is asked for into edits of samples that are already among the accepted, and new ones. */
static int sort_out(struct edits *fresh, struct edits *again, size_t *n_same, const struct rebuild *r,
                    const struct edit_ask *ask, uint32_t label, struct err *err)
{
    for (size_t i = 0; i < ask->n; i++) {
        const struct edit *accepted = edits_find(&r->edits, ask->ids[i]);
        struct edit edit = {.id = ask->ids[i], .label = label};
        if (accepted != NULL) {
            edit = *accepted;
            edit.label = label;
        }
        if (accepted != NULL && accepted->label == EDIT_FORGET && label != EDIT_FORGET) {
            err_set(err, ERR_GONE, "sample %lld is being forgotten", (long long)edit.id);
            point_at(err, ask, edit.id);
            return -1;
        }
        *n_same += accepted != NULL && accepted->label == label;
        if ((accepted == NULL || accepted->label != label) &&
            edits_put(accepted != NULL ? again : fresh, &edit, err) != 0)
            return -1;
    }
    return 0;
}

static int check_pinned(const struct edits *fresh, struct store *store, bool drop_pinned, struct err *err)
{
    size_t n_pinned = 0;
    int64_t pinned = 0;
    if (drop_pinned)
        return 0;
    if (store_edits_pinned(store, fresh, &n_pinned, &pinned, err) != 0)
        return -1;
    if (n_pinned == 0)
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "snapshot %lld is pinned and learned from what is to be edited%s; it would have to go: say "
                   "?drop_pinned=1, or let it go first: PATCH /snapshots/%lld {\"pinned\": false}",
                   (long long)pinned, n_pinned > 1 ? ", and it is not the only one" : "", (long long)pinned);
}

static int check(struct edits *fresh, struct store *store, const struct learner *work, const struct edit_ask *ask,
                 struct err *err)
{
    size_t at = 0;
    if (store_edits_check(store, work, fresh, &at, err) != 0) {
        if (at < fresh->n)
            point_at(err, ask, fresh->list[at].id);
        return -1;
    }
    return fresh->n == 0 ? 0 : check_pinned(fresh, store, ask->drop_pinned, err);
}

static int find_class(uint32_t *id, struct store *store, const struct learner *work, const char *label,
                      const char *member, struct err *err)
{
    const int column = learner_class(work, label, strlen(label));
    if (column >= 0) {
        *id = store_class_id(store, (uint32_t)column);
        return 0;
    }
    err_set(err, ERR_LABEL_UNKNOWN, "there is no class \"%s\"; GET /classes lists them", label);
    return err_at(err, "/%s", member);
}

static int ask_removal(struct rebuild *r, struct store *store, const struct learner *work, const struct edit_ask *ask,
                       struct err *err)
{
    struct edits edits = {.drop_pinned = ask->drop_pinned};
    uint32_t removed, into = EDIT_FORGET;
    if (rebuild_active(r) || r->edits.n > 0 || r->edits.removes)
        return err_set(err, ERR_CONFLICT, "the past is being edited: merge or delete a class when that job has ended");
    if (find_class(&removed, store, work, ask->from, ask->forget ? "delete" : "from", err) != 0 ||
        (!ask->forget && find_class(&into, store, work, ask->label, "into", err) != 0))
        return -1;
    if (removed == into) {
        err_set(err, ERR_VALUE, "a class cannot be merged into itself");
        return err_at(err, "/into");
    }
    if (store_edits_remove(store, work, &edits, removed, into, err) != 0 ||
        check_pinned(&edits, store, ask->drop_pinned, err) != 0 || store_edits_keep(store, &edits, err) != 0)
        return -1;
    edits_fini(&r->edits);
    r->edits = edits;
    if (begin(r, store, work, err) == 0)
        return 0;
    struct err why = *err;
    (void)rebuild_drop(r, store, NULL);
    *err = why;
    return -1;
}

/* All of `from` into `into`; memory may end half-way, so into a copy that only then replaces it. */
static int join(struct edits *into, const struct edits *from, struct err *err)
{
    for (size_t i = 0; i < from->n; i++)
        if (edits_put(into, &from->list[i], err) != 0)
            return -1;
    into->drop_pinned = into->drop_pinned || from->drop_pinned;
    return 0;
}

int rebuild_ask(struct rebuild *r, struct store *store, const struct learner *work, const struct edit_ask *ask,
                size_t *changed, struct err *err)
{
    struct edits fresh = {0}, again = {0}, all = {0};
    size_t n_same = 0;
    uint32_t label = EDIT_FORGET;
    int status = -1;
    *changed = ask->removes;
    if (r->replayer == NULL) { /* there is nothing, but where the start could not take up what there was */
        edits_fini(&r->edits);
        if (store_edits_kept(store, &r->edits, err) != 0)
            return -1;
    }
    if (ask->removes)
        return ask_removal(r, store, work, ask, err);
    if (r->edits.removes)
        return err_set(err, ERR_CONFLICT, "a class is being merged or deleted: ask again when that job has ended");
    if (!ask->forget && find_class(&label, store, work, ask->label, "label", err) != 0)
        return -1;
    if (sort_out(&fresh, &again, &n_same, r, ask, label, err) != 0 || check(&fresh, store, work, ask, err) != 0)
        goto out;
    fresh.drop_pinned = again.drop_pinned = ask->drop_pinned || r->edits.drop_pinned;
    *changed = fresh.n + again.n + n_same;
    status = 0;
    if (fresh.n + again.n == 0)
        goto out;
    status = -1;
    const uint64_t first = edits_first(&fresh) < edits_first(&again) ? edits_first(&fresh) : edits_first(&again);
    if (join(&all, &r->edits, err) != 0 || join(&all, &fresh, err) != 0 || join(&all, &again, err) != 0 ||
        join(&fresh, &again, err) != 0 || store_edits_keep(store, &fresh, err) != 0)
        goto out;
    /* The row after its place may have been read already. */
    const bool passed = r->replayer == NULL || first <= store_replayer_place(r->replayer) + 1;
    edits_fini(&r->edits);
    r->edits = all;
    all = (struct edits){0};
    status = passed ? begin(r, store, work, err) : 0;
    if (status != 0) { /* what was accepted before is lost with it: its ground cannot be read either */
        struct err why = *err;
        (void)rebuild_drop(r, store, NULL);
        *err = why;
    }
out:
    edits_fini(&fresh);
    edits_fini(&again);
    edits_fini(&all);
    return status;
}

int rebuild_resume(struct rebuild *r, struct store *store, const struct learner *work, struct err *err)
{
    if (store_edits_kept(store, &r->edits, err) != 0)
        return -1;
    return r->edits.n == 0 && !r->edits.removes ? 0 : rebuild_again(r, store, work, err);
}

/* What was accepted is looked at again, since the model may have gone back, and classes may have come. 1: something was left out. */
static int look_again(struct rebuild *r, struct store *store, const struct learner *work, struct err *err)
{
    size_t n_void;
    if (r->edits.removes)
        return store_edits_remove(store, work, &r->edits, r->edits.removed, r->edits.into, err);
    if (store_edits_check_again(store, work, &r->edits, &n_void, err) != 0)
        return -1;
    if (n_void > 0)
        log_line(LOG_LINE_NOTICE,
                 "%zu samples are not relabelled: the model went back to before them, or to before their new class",
                 n_void);
    return n_void > 0;
}

int rebuild_again(struct rebuild *r, struct store *store, const struct learner *work, struct err *err)
{
    if (look_again(r, store, work, err) < 0)
        return -1;
    return r->edits.n > 0 || r->edits.removes ? begin(r, store, work, err) : rebuild_drop(r, store, err);
}

/* ---- working ---- */

static int take_over(struct rebuild *r, struct store *store, const struct learner *work, struct learner **state,
                     struct store_snapshot *snapshot, struct err *err)
{
    /* Classes may have come since that make it impossible; and what was relabelled may have been relabelled back. */
    *state = NULL;
    const int left_out = look_again(r, store, work, err);
    if (left_out < 0)
        return -1;
    if (r->edits.n == 0 && !r->edits.removes)
        return rebuild_drop(r, store, err);
    if (left_out > 0) /* the state that was rebuilt has it */
        return begin(r, store, work, err) == 0 ? 1 : -1;
    if (store_edits_take_over(store, r->replayer, &r->edits, state, snapshot, err) != 0)
        return -1;
    rebuild_fini(r);
    return 0;
}

int rebuild_chunk(struct rebuild *r, struct store *store, const struct learner *work, uint64_t us,
                  struct learner **state, struct store_snapshot *snapshot, struct err *err)
{
    const uint64_t end = clock_us() + us;
    assert(rebuild_active(r));
    if (store_replayer_extend(r->replayer, store_revision(store), err) != 0)
        return -1;
    for (;;) {
        const int status = store_replayer_step(r->replayer, STEP_SAMPLES, err);
        if (status == 0)
            return take_over(r, store, work, state, snapshot, err);
        if (status < 0)
            return -1;
        if (clock_us() >= end)
            return 1;
    }
}

void rebuild_progress(struct rebuild *r, uint64_t *done, uint64_t *total)
{
    store_replayer_progress(r->replayer, done, total);
}
