/* rebuild.c - see trainer/rebuild.h */
#include "server/trainer/rebuild.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/payload/labels.h"

#define STEP_SAMPLES  64u  /* between two looks at the clock: a millisecond, mostly */
#define STAGE_ROWS    500u /* likewise, and a commit                                */
#define SWEEP_SAMPLES 250u /* likewise                                              */

bool rebuild_pending(const struct rebuild *r)
{
    return r->unread || r->edits.n > 0 || r->edits.removes;
}

bool rebuild_active(const struct rebuild *r)
{
    return (rebuild_pending(r) || r->sweep) && !r->given_up;
}

uint64_t rebuild_wait_us(const struct rebuild *r)
{
    if (!rebuild_active(r))
        return UINT64_MAX;
    const uint64_t now = clock_us();
    return r->replayer != NULL || now >= r->again_us ? 0 : r->again_us - now;
}

static void close_replayer(struct rebuild *r)
{
    store_replayer_close(r->replayer);
    r->replayer = NULL;
}

/* They are others now, or an attempt is over. */
static void look_anew(struct rebuild *r)
{
    store_edits_look_close(r->look);
    r->look = NULL;
    r->looked = false;
}

void rebuild_fini(struct rebuild *r)
{
    close_replayer(r);
    look_anew(r);
    edits_fini(&r->edits);
    r->unread = r->given_up = r->sweep = false;
    r->failures = 0;
    r->again_us = 0;
}

void rebuild_halt(struct rebuild *r)
{
    rebuild_fini(r);
    r->unread = r->sweep = r->given_up = true;
}

int rebuild_drop(struct rebuild *r, struct store *store, struct err *err)
{
    if (store_edits_drop(store, err) != 0)
        return -1;
    rebuild_fini(r);
    r->sweep = true; /* of what was staged */
    return 0;
}

/* ---- beginning, and beginning again ---- */

/* From the newest snapshot before the first edit, into *out. */
static int begin(struct store_replayer **out, const struct rebuild *r, struct store *store, const struct learner *work,
                 struct err *err)
{
    const struct replay_want want = {.target = store_revision(store),
                                     .from = edits_first(&r->edits) - 1,
                                     .from_origin = edits_first(&r->edits) == 1,
                                     .arith = work->arith,
                                     .edits = &r->edits};
    *out = NULL;
    if (store_replayer_open(out, store, &want, err) != 0)
        return -1;
    store_replayer_share(*out, r->team, r->team_least);
    return 0;
}

/* What an earlier process accepted; of one that could not be begun at the start, too. */
static int read_kept(struct rebuild *r, struct store *store, struct err *err)
{
    struct edits kept;
    if (!r->unread)
        return 0;
    if (store_edits_kept(store, &kept, err) != 0)
        return -1;
    edits_fini(&r->edits);
    r->edits = kept;
    r->unread = false;
    return 0;
}

static int look_at_removal(struct rebuild *r, struct store *store, const struct learner *work, struct err *err)
{
    const struct edits was = r->edits;
    struct edits now = {.drop_pinned = was.drop_pinned};
    if (store_edits_remove(store, work, &now, was.removed, was.into, err) != 0)
        return -1;
    edits_fini(&r->edits); /* an attempt that failed has put the samples of the class into it */
    r->edits = now;
    return 0;
}

/* What was accepted is looked at again, since the model may have gone back, and classes may have come: for some time. 1: not all of it yet;
 * 0: all, and *left_out says whether something was. ERR_CONFLICT, and only here: the class cannot be removed any more. */
static int look_again(struct rebuild *r, struct store *store, const struct learner *work, uint64_t end_us,
                      bool *left_out, struct err *err)
{
    size_t n_void = 0;
    int status = 1;
    *left_out = false;
    if (r->looked && r->class_changes == store_class_changes(store))
        return 0;
    if (r->look == NULL) {
        r->class_changes = store_class_changes(store);
        if (r->edits.removes)
            status = look_at_removal(r, store, work, err);
        else if (store_edits_look_open(&r->look, store, work, &r->edits, err) != 0)
            status = -1;
    }
    while (status == 1) {
        status = store_edits_look_step(r->look, STEP_SAMPLES, &n_void, err);
        if (status == 1 && thread_us() >= end_us)
            return 1;
    }
    look_anew(r);
    r->looked = status == 0;
    *left_out = n_void > 0;
    if (n_void > 0)
        logger_line(LOG_LINE_NOTICE,
                    "%zu samples are not edited: the model went back to before them, or to before their new class, or "
                    "they are older than the baseline",
                    n_void);
    return status;
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
                   "snapshot %lld is pinned and has learned from these samples%s, so it would be deleted: allow that "
                   "with ?drop_pinned=1 (--drop-pinned), or unpin it first: PATCH /snapshots/%lld {\"pinned\": false} "
                   "(convd snapshots unpin %lld)",
                   (long long)pinned, n_pinned > 1 ? " (and it is not the only one)" : "", (long long)pinned,
                   (long long)pinned);
}

static enum rebuild_state begin_later(struct rebuild *r)
{
    uint64_t ms = r->retry_ms > 0 ? r->retry_ms : REBUILD_RETRY_MS;
    close_replayer(r);
    look_anew(r);
    for (unsigned i = 0; i < r->failures && ms < REBUILD_RETRY_MAX_MS; i++)
        ms *= 2;
    ms = ms < REBUILD_RETRY_MAX_MS ? ms : REBUILD_RETRY_MAX_MS;
    r->failures++;
    r->again_us = clock_us() + ms * 1000;
    return REBUILD_FAILED;
}

/* What was forgotten must go, however often it fails. After a sync that failed the next start goes on with it. */
static enum rebuild_state not_swept(struct rebuild *r, const struct store *store)
{
    if (!store_sync_failed(store))
        return begin_later(r);
    r->given_up = true;
    return REBUILD_GIVEN_UP;
}

/* What follows from an error of an attempt. */
static enum rebuild_state failed(struct rebuild *r, struct store *store, struct err *err)
{
    close_replayer(r);
    look_anew(r);
    /* Rows that contradict each other (ERR_CONFLICT, of SQLite) are damage as well. */
    const bool is_damage = err->code == ERR_DB_CORRUPT || err->code == ERR_CONFLICT;
    const bool may_pass = err->code == ERR_MEMORY || err->code == ERR_STORAGE || err->code == ERR_STORAGE_FULL ||
                          (is_damage && r->failures < REBUILD_DAMAGED_MAX);
    if (may_pass && !store_sync_failed(store))
        return begin_later(r);
    r->given_up = true;
    return REBUILD_GIVEN_UP;
}

/* What was accepted could not be looked at, or has become impossible, which only a look tells. */
static enum rebuild_state not_looked(struct rebuild *r, struct store *store, struct err *err)
{
    struct err lost = {0};
    if (err->code != ERR_CONFLICT)
        return failed(r, store, err);
    if (rebuild_drop(r, store, &lost) == 0)
        return REBUILD_VOID;
    *err = lost; /* it is dropped the next time */
    return failed(r, store, err);
}

static enum rebuild_state drop_void(struct rebuild *r, struct store *store, struct err *err)
{
    return rebuild_drop(r, store, err) == 0 ? REBUILD_MORE : failed(r, store, err);
}

/* What was forgotten goes from the file. REBUILD_DONE: all of it has. */
static enum rebuild_state sweep(struct rebuild *r, struct store *store, uint64_t end_us, struct err *err)
{
    int status;
    while ((status = store_edits_sweep(store, SWEEP_SAMPLES, err)) == 1)
        if (thread_us() >= end_us)
            return REBUILD_MORE;
    if (status < 0)
        return not_swept(r, store);
    r->sweep = false;
    r->failures = 0;
    return REBUILD_DONE;
}

/* A snapshot that may not go keeps the edit waiting, until it may: none is pinned meanwhile, but it may have been before the start. */
static enum rebuild_state pinned(struct rebuild *r, struct store *store, struct err *err)
{
    return err->code == ERR_CONFLICT ? begin_later(r) : failed(r, store, err);
}

/* An attempt begins. */
static enum rebuild_state resume(struct rebuild *r, struct store *store, const struct learner *work, uint64_t end_us,
                                 struct err *err)
{
    bool left_out;
    close_replayer(r);
    const enum rebuild_state swept = r->sweep ? sweep(r, store, end_us, err) : REBUILD_DONE;
    if (swept != REBUILD_DONE)
        return swept;
    if (read_kept(r, store, err) != 0)
        return failed(r, store, err);
    if (!rebuild_pending(r))
        return REBUILD_DONE;
    const int status = look_again(r, store, work, end_us, &left_out, err);
    if (status != 0)
        return status > 0 ? REBUILD_MORE : not_looked(r, store, err);
    if (!rebuild_pending(r))
        return drop_void(r, store, err);
    if (check_pinned(&r->edits, store, r->edits.drop_pinned, err) != 0)
        return pinned(r, store, err);
    return begin(&r->replayer, r, store, work, err) == 0 ? REBUILD_MORE : failed(r, store, err);
}

enum rebuild_state rebuild_resume(struct rebuild *r, struct store *store, const struct learner *work, struct err *err)
{
    rebuild_fini(r);
    r->unread = r->sweep = true;
    return resume(r, store, work, thread_us(), err);
}

void rebuild_again(struct rebuild *r)
{
    close_replayer(r);
    look_anew(r);
    r->again_us = 0;
}

/* ---- accepting ---- */

/* For an error in the list of ids: which of them it is. */
static void point_at(struct err *err, const struct edit_request *request, int64_t id)
{
    for (size_t i = 0; request->many && i < request->n; i++)
        if (request->ids[i] == id) {
            err_at(err, "/ids/%zu", i);
            return;
        }
}

static int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* In the order of the lists, where each goes to the end then. NULL: no memory. */
static int64_t *sorted_ids(const struct edit_request *request, struct err *err)
{
    int64_t *ids = malloc((request->n + 1) * sizeof *ids);
    if (ids == NULL) {
        err_memory(err, "%zu ids", request->n);
        return NULL;
    }
    memcpy(ids, request->ids, request->n * sizeof *ids);
    qsort(ids, request->n, sizeof *ids, by_id);
    return ids;
}

/* Sorts what is asked for into edits of samples that are already among the accepted, and new ones. */
static int sort_out(struct edits *fresh, struct edits *again, size_t *n_same, const struct rebuild *r,
                    const struct edit_request *request, const int64_t *ids, uint32_t label, struct err *err)
{
    for (size_t i = 0; i < request->n; i++) {
        const struct edit *accepted = edits_find(&r->edits, ids[i]);
        struct edit edit = {.id = ids[i], .label = label};
        if (accepted != NULL) {
            edit = *accepted;
            edit.label = label;
        }
        if (accepted != NULL && accepted->label == EDIT_FORGET && label != EDIT_FORGET) {
            err_set(err, ERR_GONE, "sample %lld is being forgotten", (long long)edit.id);
            point_at(err, request, edit.id);
            return -1;
        }
        *n_same += accepted != NULL && accepted->label == label;
        if ((accepted == NULL || accepted->label != label) &&
            edits_put(accepted != NULL ? again : fresh, &edit, err) != 0)
            return -1;
    }
    return 0;
}

static int check(struct edits *fresh, struct store *store, const struct learner *work,
                 const struct edit_request *request, struct err *err)
{
    size_t at = 0;
    if (store_edits_check(store, work, fresh, &at, err) != 0) {
        if (at < fresh->n)
            point_at(err, request, fresh->list[at].id);
        return -1;
    }
    return fresh->n == 0 ? 0 : check_pinned(fresh, store, request->drop_pinned, err);
}

static int find_class(uint32_t *id, struct store *store, const struct learner *work, const char *label,
                      const char *member, struct err *err)
{
    uint32_t column;
    if (label_find(&column, label, work, err) != 0)
        return err_at(err, "/%s", member);
    *id = store_class_id(store, column);
    return 0;
}

/* Edits `all`, of which `fresh` is what is not on the disk yet, become what is accepted; with `anew`, a replay of them begins with the next
 * chunk. After an error everything is as it was. */
static int accept(struct rebuild *r, struct store *store, struct edits *all, const struct edits *fresh, bool anew,
                  struct err *err)
{
    const struct edits was = r->edits;
    if (store_edits_keep(store, fresh, err) != 0)
        return -1;
    if (anew)
        rebuild_again(r);
    look_anew(r);
    r->edits = *all; /* where the replay looks for them */
    r->given_up = false;
    *all = was; /* to be freed */
    return 0;
}

static int find_removal(uint32_t *removed, uint32_t *into, struct store *store, const struct learner *work,
                        const struct edit_request *request, struct err *err)
{
    *into = EDIT_FORGET;
    if (find_class(removed, store, work, request->from, request->forget ? "delete" : "from", err) != 0)
        return -1;
    return request->forget ? 0 : find_class(into, store, work, request->label, "into", err);
}

static int want_removal(struct edits *edits, struct store *store, const struct learner *work,
                        const struct edit_request *request, uint32_t removed, uint32_t into, struct err *err)
{
    *edits = (struct edits){.drop_pinned = request->drop_pinned};
    if (removed == into) {
        err_set(err, ERR_VALUE, "a class cannot be merged into itself");
        return err_at(err, "/into");
    }
    return store_edits_remove(store, work, edits, removed, into, err) == 0
               ? check_pinned(edits, store, request->drop_pinned, err)
               : -1;
}

static int accept_removal(struct rebuild *r, struct store *store, const struct learner *work,
                          const struct edit_request *request, struct err *err)
{
    struct edits edits;
    uint32_t removed, into;
    if (find_removal(&removed, &into, store, work, request, err) != 0)
        return -1;
    const bool same = r->edits.removes && r->edits.removed == removed && r->edits.into == into;
    if (rebuild_pending(r) && !(r->given_up && same))
        return err_set(err, ERR_CONFLICT, "an edit is running: merge or delete a class when its job has ended");
    if (want_removal(&edits, store, work, request, removed, into, err) != 0)
        return -1;
    const struct edits fresh = edits;
    const int status = accept(r, store, &edits, &fresh, true, err);
    edits_fini(&edits);
    return status;
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

int rebuild_accept(struct rebuild *r, struct store *store, const struct learner *work,
                   const struct edit_request *request, size_t *changed, struct err *err)
{
    struct edits fresh = {0}, again = {0}, all = {0};
    size_t n_same = 0;
    uint32_t label = EDIT_FORGET;
    int status = -1;
    *changed = request->removes;
    if (read_kept(r, store, err) != 0) /* where the start could not */
        return -1;
    if (request->removes)
        return accept_removal(r, store, work, request, err);
    if (r->edits.removes)
        return err_set(err, ERR_CONFLICT, "a class is being merged or deleted: try again when that job has ended");
    if (!request->forget && find_class(&label, store, work, request->label, "label", err) != 0)
        return -1;
    int64_t *ids = sorted_ids(request, err);
    if (ids == NULL || sort_out(&fresh, &again, &n_same, r, request, ids, label, err) != 0 ||
        check(&fresh, store, work, request, err) != 0)
        goto out;
    fresh.drop_pinned = again.drop_pinned = request->drop_pinned || r->edits.drop_pinned;
    *changed = fresh.n + again.n + n_same;
    status = 0;
    if (fresh.n + again.n == 0 && (n_same == 0 || r->replayer != NULL))
        goto out;
    const uint64_t first = edits_first(&fresh) < edits_first(&again) ? edits_first(&fresh) : edits_first(&again);
    /* The row after its place may have been read already. */
    const bool passed = r->replayer == NULL || first <= store_replayer_place(r->replayer) + 1;
    status = -1;
    if (join(&all, &r->edits, err) == 0 && join(&all, &fresh, err) == 0 && join(&all, &again, err) == 0 &&
        join(&fresh, &again, err) == 0)
        status = accept(r, store, &all, &fresh, passed, err);
out:
    free(ids);
    edits_fini(&fresh);
    edits_fini(&again);
    edits_fini(&all);
    return status;
}

int rebuild_wanted(struct edits *edits, size_t *changed, struct store *store, const struct learner *work,
                   const struct edit_request *request, struct err *err)
{
    const struct rebuild none = {0};
    struct edits again = {0};
    size_t n_same = 0;
    uint32_t label = EDIT_FORGET, removed;
    *edits = (struct edits){0};
    *changed = request->removes;
    if (request->removes)
        return find_removal(&removed, &label, store, work, request, err) == 0
                   ? want_removal(edits, store, work, request, removed, label, err)
                   : -1;
    if (!request->forget && find_class(&label, store, work, request->label, "label", err) != 0)
        return -1;
    int64_t *ids = sorted_ids(request, err);
    int status = -1;
    if (ids != NULL && sort_out(edits, &again, &n_same, &none, request, ids, label, err) == 0)
        status = check(edits, store, work, request, err);
    free(ids);
    *changed = edits->n;
    return status;
}

void rebuild_sweep(struct rebuild *r)
{
    r->sweep = true;
    r->given_up = false;
}

/* ---- working ---- */

/* The label that the live model has for a class, before it is removed. */
static void name_class(char label[LABEL_BYTES_MAX + 1], const struct store *store, const struct learner *work,
                       uint32_t id)
{
    for (uint32_t column = 0; id != EDIT_FORGET && column < work->n_classes; column++)
        if (store_class_id(store, column) == id)
            memcpy(label, work->labels[column], LABEL_BYTES_MAX + 1);
}

static enum rebuild_state take_over(struct rebuild *r, struct store *store, const struct learner *work, uint64_t end_us,
                                    struct learner **state, struct store_snapshot *snapshot, struct rebuild_made *made,
                                    struct err *err)
{
    /* Classes may have come since that make it impossible; and what was relabelled may have been relabelled back. */
    bool left_out;
    int status = look_again(r, store, work, end_us, &left_out, err);
    if (status != 0)
        return status > 0 ? REBUILD_MORE : not_looked(r, store, err);
    if (!rebuild_pending(r))
        return drop_void(r, store, err);
    if (left_out) { /* the state that was rebuilt has it */
        close_replayer(r);
        return REBUILD_MORE;
    }
    while ((status = store_edits_stage(store, r->replayer, &r->edits, STAGE_ROWS, err)) == 1)
        if (thread_us() >= end_us)
            return REBUILD_MORE;
    if (status < 0)
        return failed(r, store, err);
    if (check_pinned(&r->edits, store, r->edits.drop_pinned, err) != 0)
        return pinned(r, store, err);
    *made = (struct rebuild_made){.removes = r->edits.removes};
    if (made->removes) {
        name_class(made->removed, store, work, r->edits.removed);
        name_class(made->into, store, work, r->edits.into);
    }
    if (store_edits_take_over(store, r->replayer, &r->edits, state, snapshot, err) != 0)
        return failed(r, store, err);
    for (size_t i = 0; i < r->edits.n; i++) /* those of a class that was removed as well */
        made->forgotten += r->edits.list[i].label == EDIT_FORGET;
    made->relabelled = r->edits.n - made->forgotten;
    rebuild_fini(r);
    r->sweep = true;
    return REBUILD_MADE;
}

enum rebuild_state rebuild_chunk(struct rebuild *r, struct store *store, const struct learner *work, uint64_t us,
                                 struct learner **state, struct store_snapshot *snapshot, struct rebuild_made *made,
                                 struct err *err)
{
    const uint64_t end = thread_us() + us;
    assert(rebuild_wait_us(r) == 0);
    *state = NULL;
    if (r->replayer == NULL)
        return resume(r, store, work, end, err);
    if (store_replayer_extend(r->replayer, store_revision(store), err) != 0)
        return failed(r, store, err);
    for (;;) {
        const int status = store_replayer_step(r->replayer, STEP_SAMPLES, err);
        if (status == 0)
            return take_over(r, store, work, end, state, snapshot, made, err);
        if (status < 0)
            return failed(r, store, err);
        if (thread_us() >= end)
            return REBUILD_MORE;
    }
}

void rebuild_progress(struct rebuild *r, uint64_t *done, uint64_t *total)
{
    *done = *total = 0;
    if (r->replayer != NULL)
        store_replayer_progress(r->replayer, done, total);
}
