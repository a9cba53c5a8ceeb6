/* edits_shared.c - an edit as an event of a log that several machines share. There it is the event that comes first: it takes effect at one place of
 * the log, on every machine alike, and each makes the model again when it gets there (store_rebuild()). So nothing is pending and nothing is
 * staged: one transaction has the event and its rows, empties what is forgotten, and takes the snapshots that saw it with it; others are written
 * in their place while the model is made again. What is left is a file of which that can be done at any time, also by the next start. See
 * store/replay/edits.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/replay/replayer.h"

#define GATHER_SAMPLES (INT64_C(1) << 20) /* looked at in one query */
#define STEP_SAMPLES   256                /* between two looks whether to go on */

/* ---- what follows from the event, whose rows are in the tables ---- */

static int read_edits(struct edits *edits, struct store *store, const struct event *event, struct err *err)
{
    struct db *db = store->db;
    int status;
    db_bind_ints(db, SQL_SWEEP_ROWS, (int64_t)event->as.edit.number, 0, INT64_MAX);
    while ((status = db_step(db, SQL_SWEEP_ROWS, err)) == 1) {
        const struct edit edit = {.id = db_int(db, SQL_SWEEP_ROWS, 0),
                                  .label = (uint32_t)db_int(db, SQL_SWEEP_ROWS, 1), /* -1 becomes EDIT_FORGET */
                                  .revision = (uint64_t)db_int(db, SQL_SWEEP_ROWS, 2)};
        if (edits_put(edits, &edit, err) != 0) {
            db_reset(db, SQL_SWEEP_ROWS);
            return -1;
        }
    }
    db_bind_int(db, SQL_REMOVED_ROWS, 1, (int64_t)event->revision);
    if (status == 0 && (status = db_step(db, SQL_REMOVED_ROWS, err)) == 1) {
        edits->removes = true;
        edits->removed = (uint32_t)db_int(db, SQL_REMOVED_ROWS, 0);
        edits->into = edit_into(db, SQL_REMOVED_ROWS, 1);
        edits->first = event->as.edit.from;
    }
    db_reset(db, SQL_REMOVED_ROWS);
    if (status >= 0 && edits_first(edits) != event->as.edit.from)
        return err_set(err, ERR_DIVERGED, "revision %llu of the shared log edits another part of it than it says",
                       (unsigned long long)event->revision);
    return status < 0 ? -1 : 0;
}

/* Image, outcome, and what the key of its request could tell of it. */
static int empty(struct store *store, const struct edits *edits, struct err *err)
{
    struct db *db = store->db;
    uint64_t revision = 0;
    for (size_t i = 0; i < edits->n; i++) {
        if (edits->list[i].label != EDIT_FORGET)
            continue;
        db_bind_int(db, SQL_SAMPLE_FORGET, 1, edits->list[i].id);
        db_bind_int(db, SQL_OUTCOME_FORGET, 1, edits->list[i].id);
        if (db_run(db, SQL_SAMPLE_FORGET, err) != 0 || db_run(db, SQL_OUTCOME_FORGET, err) != 0)
            return -1;
        if (edits->list[i].revision != revision && keys_forget(store, edits->list[i].revision, err) != 0)
            return -1;
        revision = edits->list[i].revision;
    }
    return 0;
}

/* The class is none any more, of the model's beginning neither. */
static int remove_class(struct store *store, const struct edits *edits, struct err *err)
{
    if (!edits->removes)
        return 0;
    store->overlay = edits;
    int status = edits_write_origin(store, edits, NULL, err);
    store->overlay = NULL;
    db_bind_int(store->db, SQL_CLASS_DELETE, 1, edits->removed);
    if (status == 0)
        status = db_run(store->db, SQL_CLASS_DELETE, err);
    if (status == 0)
        columns_remove(store, edits->removed);
    return status;
}

static int take_effect(struct store *store, const struct event *event, struct err *err)
{
    struct edits edits = {0};
    int status = edits_begin(store, err);
    if (status == 0)
        status = read_edits(&edits, store, event, err);
    if (status == 0)
        status = empty(store, &edits, err);
    if (status == 0)
        status = edits_let_go(store, &edits, err);
    if (status == 0)
        status = remove_class(store, &edits, err);
    if (status == 0)
        store->spans[store->n_spans++] = (struct edit_span){.from = event->as.edit.from, .event = event->revision};
    edits_fini(&edits);
    rehearsal_reset(store->rehearsal); /* pictures of what is gone, labels of before */
    log_read_close(&store->follower);
    return status;
}

int row_follow(struct store *store, const struct log_row *row, struct err *err)
{
    struct event event = {.kind = event_kind_parse(row->kind), .revision = row->revision};
    if (event.kind != EVENT_EDIT)
        return row_write(store, row, err);
    if (outcomes_write(store, err) != 0) /* of samples that may go now */
        return log_abandon(store);
    if (row_write(store, row, err) != 0)
        return -1;
    if (event_decode(&event, NULL, row->body, strlen(row->body), err) != 0 || take_effect(store, &event, err) != 0)
        return log_abandon(store);
    return 0;
}

/* ---- the event ---- */

/* What the edits leave of a train event. */
static int pack_left(struct edit_pack *pack, struct store *store, const struct edits *edits, uint64_t revision,
                     struct err *err)
{
    struct log_reader reader = {0};
    uint8_t chain[CHAIN_BYTES];
    if (log_chain_at(store, revision - 1, chain, err) != 0)
        return -1;
    log_read_open(&reader, store, revision - 1, chain);
    reader.overlay = edits;
    int status = log_read_next(&reader, err);
    if (status == 1)
        status = reader.forgets ? edit_pack_edited(pack, revision, reader.left, err)
                                : err_set(err, ERR_DB_CORRUPT, "revision %llu has not what it is to forget",
                                          (unsigned long long)revision);
    else if (status == 0)
        status = err_set(err, ERR_DB_CORRUPT, "revision %llu is missing from the log", (unsigned long long)revision);
    log_read_close(&reader);
    return status;
}

static int pack_edits(struct edit_pack *pack, struct store *store, const struct edits *edits, struct err *err)
{
    uint64_t revision = 0;
    for (size_t i = 0; i < edits->n; i++) {
        const struct edit *edit = &edits->list[i];
        if (edit_pack_edit(pack, edit->id, edit->was, edit->label, err) != 0)
            return -1;
    }
    for (size_t i = 0; i < edits->n; i++) {
        const struct edit *edit = &edits->list[i];
        if (edit->label != EDIT_FORGET || edit->revision == revision)
            continue;
        revision = edit->revision;
        if (pack_left(pack, store, edits, revision, err) != 0)
            return -1;
    }
    return edits->removes ? edit_pack_edit(pack, -1, edits->removed, edits->into, err) : 0;
}

static int append(struct store *store, const struct edits *edits, const struct edit_pack *pack, struct err *err)
{
    struct log_row row = {.revision = store->end.revision + 1,
                          .created_us = store_now_us(),
                          .kind = event_kind_name(EVENT_EDIT),
                          .edit = pack->bytes,
                          .n_edit = pack->n};
    struct event event = {.kind = EVENT_EDIT, .revision = row.revision, .created_us = row.created_us};
    char *body = NULL;
    struct chain chain;
    event.as.edit.number = store->n_spans + 1;
    event.as.edit.from = edits_first(edits);
    event.as.edit.n = (uint32_t)edits->n;
    if (edit_pack_hash(event.as.edit.rows, pack->bytes, pack->n, event.as.edit.n) != 0 ||
        event_encode(&body, &event, NULL, err) != 0)
        return -1;
    row.body = body;
    chain_init(&chain, store->end.chain, row.revision, row.created_us, row.kind, body, strlen(body), 0);
    chain_end(&chain, row.chain);
    const int status = row_follow(store, &row, err);
    free(body);
    return status;
}

int store_edits_append(struct store *store, struct edits *edits, struct err *err)
{
    struct edit_pack pack = {0};
    int status;
    assert(store->in_group && (edits->n > 0 || edits->removes));
    while ((status = edits_gather(store, edits, GATHER_SAMPLES, err)) == 1)
        ;
    if (status == 0 && edits->n >= UINT32_MAX)
        status = err_set(err, ERR_LIMIT, "%zu samples are too many for one edit", edits->n);
    if (status == 0)
        status = pack_edits(&pack, store, edits, err);
    if (status == 0)
        status = append(store, edits, &pack, err);
    edit_pack_fini(&pack);
    return status == 0 ? 0 : log_abandon(store);
}

/* ---- what is to be done, and was ---- */

int store_edits_undone(struct store *store, bool *undone, struct err *err)
{
    int64_t n;
    const int status = db_number(&n, store->db, SQL_EDITS_UNDONE, err);
    *undone = n > 0;
    return status;
}

bool store_edit_ahead(const struct store *store)
{
    return store->n_spans > store->n_folded;
}

bool store_edit_touches(const struct store *store, uint64_t revision)
{
    return edits_touch(store, revision);
}

/* The labels that the learner, which has it still, has for the one class that is removed, and for the other. */
static void name_removed(struct store_edited *out, const struct store *store, const struct learner *learner,
                         uint32_t removed, uint32_t into)
{
    if (out->n_removed != 1 || removed >= SHAPE_CLASSES_MAX)
        return;
    const uint32_t column = removed - store->columns.below[removed];
    uint32_t other = into == EDIT_FORGET ? CLASS_NONE : class_column(store, into);
    other += other != CLASS_NONE && other >= column;
    if (column < learner->n_classes)
        memcpy(out->removed_label, learner->labels[column], sizeof out->removed_label);
    if (other < learner->n_classes)
        memcpy(out->into_label, learner->labels[other], sizeof out->into_label);
}

/* Of the edits that the learner has not. */
static int count_edits(struct store_edited *out, struct store *store, const struct learner *learner, struct err *err)
{
    struct db *db = store->db;
    uint32_t removed = CLASS_NONE, into = EDIT_FORGET;
    out->n_edits = store->n_spans - store->n_folded;
    db_bind_int(db, SQL_EDITS_COUNT, 1, (int64_t)store->n_folded);
    int status = db_step(db, SQL_EDITS_COUNT, err);
    out->forgotten = status == 1 ? (uint64_t)db_real(db, SQL_EDITS_COUNT, 0) : 0;
    out->relabelled = status == 1 ? (uint64_t)db_real(db, SQL_EDITS_COUNT, 1) : 0;
    db_reset(db, SQL_EDITS_COUNT);
    for (size_t i = store->n_folded; status >= 0 && i < store->n_spans; i++) {
        db_bind_int(db, SQL_REMOVED_ROWS, 1, (int64_t)store->spans[i].event);
        if ((status = db_step(db, SQL_REMOVED_ROWS, err)) == 1) {
            out->n_removed++;
            removed = (uint32_t)db_int(db, SQL_REMOVED_ROWS, 0);
            into = edit_into(db, SQL_REMOVED_ROWS, 1);
        }
        db_reset(db, SQL_REMOVED_ROWS);
    }
    name_removed(out, store, learner, removed, into);
    return status < 0 ? -1 : 0;
}

/* Whether they change what the learner is. */
static bool touch(const struct store *store, const struct learner *learner)
{
    for (size_t i = store->n_folded; i < store->n_spans; i++)
        if (store->spans[i].from <= learner->revision)
            return true;
    return false;
}

static int replay(struct store_replayer *replayer, store_progress *progress, void *context, struct err *err)
{
    int status;
    while ((status = store_replayer_step(replayer, STEP_SAMPLES, err)) == 1) {
        uint64_t done, total;
        store_replayer_progress(replayer, &done, &total);
        if (progress != NULL && progress(context, done, total) != 0)
            return err_set(err, ERR_STOPPING, "stopped at revision %llu of an edited log",
                           (unsigned long long)store_replayer_place(replayer));
    }
    return status;
}

static int make_again(struct store *store, struct learner *learner, store_progress *progress, void *context,
                      struct err *err)
{
    const struct replay_want want = {.target = learner->revision, .arith = learner->arith, .in_place = true};
    struct store_replayer *replayer = NULL;
    int status = store_replayer_open(&replayer, store, &want, err);
    if (status == 0) {
        store_replayer_share(replayer, learner->ws->team, learner->ws->team_least);
        status = replay(replayer, progress, context, err);
    }
    struct learner *state = status == 0 ? store_replayer_take(replayer) : NULL;
    if (status == 0)
        status = learner_copy(learner, state, err);
    learner_free(state);
    store_replayer_close(replayer);
    return status;
}

int store_rebuild(struct store *store, struct learner *learner, store_progress *progress, void *context,
                  struct store_edited *out, struct err *err)
{
    *out = (struct store_edited){0};
    log_read_close(&store->follower);
    if (count_edits(out, store, learner, err) != 0 ||
        (touch(store, learner) && make_again(store, learner, progress, context, err) != 0))
        return -1;
    store->n_folded = store->n_spans;
    store->classes_due = true;
    return 0;
}
