/* shared.c - see store/shared.h. */
#include "store/shared.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define COPY_BYTES (4u << 20) /* of rows, in one transaction of the file */

struct shared {
    struct journal journal; /* the first, so that it leads here */
    struct store *store;
    struct postgres *postgres;
    const char *conninfo, *name;
    size_t n_cleaned; /* edits before which no state is left in the log, as far as this node knows */
};

static struct shared *shared_of(struct journal *journal)
{
    return (struct shared *)(void *)journal;
}

/* ---- opening ---- */

/* The file must hold a part of the log, from its beginning. */
static int check_prefix(struct shared *s, struct err *err)
{
    const struct log_end *end = &s->store->end;
    uint8_t chain[CHAIN_BYTES];
    const int found = postgres_chain(chain, s->postgres, end->revision, err);
    if (found < 0)
        return -1;
    if (found == 1 && memcmp(chain, end->chain, CHAIN_BYTES) == 0)
        return 0;
    return err_set(err, ERR_DIVERGED,
                   "this file is no copy of the shared log: its revision %llu is %s; put it aside, and the node joins "
                   "anew with a file that does not exist yet",
                   (unsigned long long)end->revision, found == 1 ? "another there" : "not in there");
}

/* What a daemon on this file alone has begun, it ends. */
static int check_edits(struct store *store, struct err *err)
{
    bool undone;
    if (store_edits_undone(store, &undone, err) != 0)
        return -1;
    return !undone ? 0
                   : err_set(err, ERR_CONFLICT,
                             "an edit of this file is not through: serve it without --log until its job is done");
}

/* The first connection; later ones the engine makes by itself. */
static int reach(struct shared *s, struct err *err)
{
    if (s->postgres != NULL)
        return 0;
    if (postgres_open(&s->postgres, s->conninfo, err) == 0 && check_prefix(s, err) == 0)
        return 0;
    postgres_close(s->postgres);
    s->postgres = NULL;
    return -1;
}

int shared_engine(struct postgres **out, struct shared *shared, struct err *err)
{
    const int status = reach(shared, err);
    *out = shared->postgres;
    return status;
}

static void let_go(struct shared *s)
{
    if (s->postgres != NULL)
        postgres_unlock(s->postgres);
}

/* ---- the journal ---- */

static int begin(struct journal *journal, uint64_t after, struct err *err)
{
    struct shared *s = shared_of(journal);
    assert(after == s->store->end.revision);
    (void)after;
    return reach(s, err) == 0 ? store_begin_unsynced(s->store, err) : -1;
}

/* Numbers, rows and keys are the file's. */
static void next(struct journal *journal, struct event *event)
{
    struct journal *own = store_journal(shared_of(journal)->store);
    own->next(own, event);
}

static int append(struct journal *journal, struct event *event, const struct store_key *key, struct err *err)
{
    struct journal *own = store_journal(shared_of(journal)->store);
    return own->append(own, event, key, err);
}

static void rollback(struct journal *journal)
{
    struct shared *s = shared_of(journal);
    store_rollback(s->store);
    let_go(s);
}

/* What the open transaction of the file has, and no other file yet. */
static int share_group(struct shared *s, struct err *err)
{
    struct store *store = s->store;
    struct log_head after = {.revision = store->end_at_begin.revision};
    struct rows rows;
    memcpy(after.chain, store->end_at_begin.chain, CHAIN_BYTES);
    if (rows_read(&rows, store, after.revision, SIZE_MAX, err) != 0)
        return -1;
    const int status = rows.n > 0 ? postgres_append(s->postgres, &after, rows.list, rows.n, err) : 0;
    rows_free(&rows);
    return status;
}

static int commit(struct journal *journal, struct err *err)
{
    struct shared *s = shared_of(journal);
    if (share_group(s, err) != 0) {
        rollback(journal);
        return -1;
    }
    let_go(s); /* where there was nothing to append */
    return store_commit(s->store, err);
}

struct journal *shared_journal(struct shared *shared)
{
    return &shared->journal;
}

/* A log that ends before the file does (after a failover that lost its end) has nothing to follow, and would be found too short for ever. */
int shared_hold(struct shared *shared, struct err *err)
{
    struct log_head head;
    return reach(shared, err) == 0 && postgres_lock(&head, shared->postgres, err) == 0 ? check_prefix(shared, err) : -1;
}

int shared_open(struct shared **out, struct store *store, const char *conninfo, const char *name, struct err *err)
{
    *out = NULL;
    struct shared *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_memory(err, "a shared log");
    s->journal =
        (struct journal){.begin = begin, .next = next, .append = append, .commit = commit, .rollback = rollback};
    s->store = store;
    s->conninfo = conninfo;
    s->name = name;
    if (check_edits(store, err) != 0) {
        shared_close(s);
        return -1;
    }
    if (reach(s, err) != 0 && err->code != ERR_LOG) {
        shared_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

void shared_close(struct shared *shared)
{
    if (shared == NULL)
        return;
    postgres_close(shared->postgres);
    free(shared);
}

/* ---- following ---- */

/* Whether something of these rows was forgotten since: the edits that did that are behind them. */
static bool any_forgotten(const struct log_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < rows[i].n_samples; k++)
            if (rows[i].labels[k] == EDIT_FORGET)
                return true;
    return false;
}

/* In the open group. */
static int write_rows(struct store *store, const struct log_row *rows, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (row_follow(store, &rows[i], err) != 0)
            return -1;
    return 0;
}

/* In the open group: the next rows, until the last of these edits is among them. */
static int write_upto(struct shared *s, uint64_t last, struct err *err)
{
    while (s->store->end.revision < last) {
        struct log_row *rows = NULL;
        size_t n = 0;
        int status = postgres_read(&rows, &n, s->postgres, s->store->end.revision, COPY_BYTES, err);
        for (size_t i = 0; i < n; i++)
            if (rows[i].revision == last) /* what is behind it may be edited by now by others */
                n = i + 1;
        if (status == 0 && n == 0)
            status = err_set(err, ERR_DIVERGED, "the shared log ends before an edit that it had");
        if (status == 0)
            status = write_rows(s->store, rows, n, err);
        free(rows);
        if (status != 0)
            return -1;
    }
    return 0;
}

/* The rows up to the last edit, in one transaction: without the edit they cannot be proved, and a file that has them without it is no log. */
static int leap(struct shared *s, const struct log_row *edits, size_t n, struct err *err)
{
    struct store *store = s->store;
    int status = store_begin(store, err);
    for (size_t i = 0; status == 0 && i < n; i++)
        status = row_ahead(store, &edits[i], err);
    if (status == 0)
        status = write_upto(s, edits[n - 1].revision, err);
    if (status == 0)
        status = store_commit(store, err);
    store_rollback(store);
    return status;
}

/* Edits that come meanwhile empty more of the rows: then from the beginning, with them. */
static int copy_edited(struct shared *s, struct err *err)
{
    uint64_t known = 0;
    for (;;) {
        struct log_row *edits = NULL;
        size_t n = 0;
        if (postgres_edits(&edits, &n, s->postgres, s->store->end.revision, err) != 0)
            return -1;
        const uint64_t last = n > 0 ? edits[n - 1].revision : 0;
        int status = last > known ? leap(s, edits, n, err) : -1;
        if (n == 0)
            status = err_set(err, ERR_DIVERGED, "samples are missing from the shared log, and no edit removed them");
        free(edits);
        if (status == 0 || last <= known || err->code != ERR_DIVERGED)
            return status;
        known = last;
    }
}

/* How many of these rows go into one transaction: a way back begins another, since what it leaves behind no recovery replays, so the outcomes of
 * that must be known, and are written with it. */
static size_t upto_way_back(const struct log_row *rows, size_t n)
{
    size_t i = n > 0;
    while (i < n && event_kind_parse(rows[i].kind) != EVENT_ACTIVATE)
        i++;
    return i;
}

int shared_copy(struct shared *shared, struct err *err)
{
    struct store *store = shared->store;
    struct log_row *rows = NULL;
    size_t n = 0;
    if (reach(shared, err) != 0 ||
        postgres_read(&rows, &n, shared->postgres, store->end.revision, COPY_BYTES, err) != 0)
        return -1;
    int status = 0;
    if (any_forgotten(rows, n)) {
        status = copy_edited(shared, err);
    } else if (n > 0) {
        status = store_begin_unsynced(store, err);
        if (status == 0)
            status = write_rows(store, rows, upto_way_back(rows, n), err);
        if (status == 0)
            status = store_commit(store, err);
    }
    free(rows);
    return status != 0 ? -1 : n > 0;
}

/* ---- what is told ---- */

int shared_status(struct shared *shared, struct shared_status *out, struct err *err)
{
    *out = (struct shared_status){0};
    if (reach(shared, err) != 0 || postgres_server(&out->server, shared->postgres, err) != 0 ||
        postgres_head(&out->head, shared->postgres, err) != 0)
        return -1;
    return postgres_nodes(&out->nodes, &out->n_nodes, shared->postgres, err);
}

int shared_server(struct shared *shared, struct log_server *out, struct err *err)
{
    return reach(shared, err) == 0 ? postgres_server(out, shared->postgres, err) : -1;
}

/* A log that is shorter than what was acknowledged of it, or another, is no log to append to. */
int shared_tell(struct shared *shared, struct log_node *self, struct err *err)
{
    (void)snprintf(self->name, sizeof self->name, "%s", shared->name);
    if (reach(shared, err) != 0 || (self->diverged != 1 && check_prefix(shared, err) != 0))
        return -1;
    return postgres_node_tell(shared->postgres, self, err);
}

int shared_all_at(struct shared *shared, uint64_t revision, struct err *err)
{
    struct log_node *nodes = NULL;
    size_t n = 0;
    if (reach(shared, err) != 0 || postgres_nodes(&nodes, &n, shared->postgres, err) != 0)
        return -1;
    int all = 1;
    for (size_t i = 0; i < n; i++)
        all = all && (nodes[i].age_s > SHARED_ALIVE_S || nodes[i].revision >= revision);
    free(nodes);
    return all;
}

int shared_mark(struct shared *shared, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    return reach(shared, err) == 0 ? postgres_digest(shared->postgres, revision, digest, err) : -1;
}

int shared_mark_stands(struct shared *shared, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    return reach(shared, err) == 0 ? postgres_digest_stands(shared->postgres, revision, digest, err) : -1;
}

int shared_mark_better(struct shared *shared, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    return reach(shared, err) == 0 ? postgres_digest_replace(shared->postgres, revision, digest, err) : -1;
}

/* A log that has no room for them, or not for this node, has none of its own. */
static int drop_states(struct shared *shared, uint64_t from, uint64_t to, struct err *err)
{
    struct err why = {0};
    if (postgres_states_drop(shared->postgres, from, to, &why) == 0 || why.code == ERR_DB_FOREIGN ||
        why.code == ERR_CONFLICT)
        return 0;
    if (err != NULL)
        *err = why;
    return -1;
}

int shared_distrust(struct shared *shared, uint64_t from, struct err *err)
{
    return reach(shared, err) == 0 ? drop_states(shared, from, INT64_MAX, err) : -1;
}

int shared_clean(struct shared *shared, struct err *err)
{
    const struct store *store = shared->store;
    if (reach(shared, err) != 0)
        return -1;
    for (; shared->n_cleaned < store->n_spans; shared->n_cleaned++) {
        const struct edit_span *span = &store->spans[shared->n_cleaned];
        if (drop_states(shared, span->from, span->event, err) != 0)
            return -1;
    }
    return 0;
}

int shared_idle(struct shared *shared, bool wanted, struct err *err)
{
    if (reach(shared, err) != 0)
        return -1;
    return wanted ? postgres_idle_lock(shared->postgres, err) : postgres_idle_unlock(shared->postgres, err);
}

int shared_leave(const char *conninfo, const char *name, struct err *err)
{
    struct postgres *pg = NULL;
    if (postgres_open(&pg, conninfo, err) != 0)
        return -1;
    const int status = postgres_node_forget(pg, name, err);
    postgres_close(pg);
    return status;
}

int shared_vacuum(const char *conninfo, struct err *err)
{
    return postgres_vacuum(conninfo, err);
}

/* ---- from one file to many, and to a new one ---- */

/* What no event says: the first weights, where they were given. */
static int share_first_weights(struct postgres *pg, struct store *store, struct err *err)
{
    struct learner *first = NULL;
    if (!store->origin.given)
        return 0;
    int status = replay_origin(&first, store, NULL, err);
    if (status == 0)
        status = shared_put_state(pg, store, first, err);
    learner_free(first);
    return status;
}

static int share_all(struct postgres *pg, struct store *store, store_progress *progress, void *context, struct err *err)
{
    struct log_head head = {0};
    while (head.revision < store->end.revision) {
        struct rows rows;
        if (rows_read(&rows, store, head.revision, COPY_BYTES, err) != 0)
            return -1;
        const int status = postgres_append(pg, &head, rows.list, rows.n, err);
        if (status == 0) {
            head.revision = rows.list[rows.n - 1].revision;
            memcpy(head.chain, rows.list[rows.n - 1].chain, CHAIN_BYTES);
        }
        rows_free(&rows);
        if (status != 0)
            return -1;
        if (progress != NULL && progress(context, head.revision, store->end.revision) != 0)
            return err_set(err, ERR_STOPPING, "stopped at revision %llu", (unsigned long long)head.revision);
    }
    return 0;
}

int shared_init(struct store *store, const char *conninfo, store_progress *progress, void *context, struct err *err)
{
    struct postgres *pg = NULL;
    if (check_edits(store, err) != 0)
        return -1;
    if (store->origin.given && store->columns.n_removed > 0)
        return err_set(err, ERR_CONFLICT,
                       "the first weights of this file were given, and a class was removed: it cannot be shared");
    if (store->baseline.kept > 0)
        return err_set(err, ERR_CONFLICT, "the log of this file is not kept from its beginning: it cannot be shared");
    if (store->baseline.revision > 1)
        return err_set(err, ERR_CONFLICT,
                       "the log of this file was begun with another arithmetic: it cannot be shared");
    if (postgres_create(conninfo, err) != 0)
        return -1;
    int status = postgres_open(&pg, conninfo, err);
    if (status == 0)
        status = share_first_weights(pg, store, err);
    if (status == 0)
        status = share_all(pg, store, progress, context, err);
    postgres_close(pg);
    return status == 0 ? 0 : err_wrap(err, "the shared log is not whole: drop its schema convd before the next try");
}

/* The first weights in the order of shared_put_state(). */
static void given_weights(struct event *create, const struct log_snapshot *snapshot)
{
    const struct shape *shape = &create->as.create.shape;
    const float *tensors = (const float *)(const void *)snapshot->tensors;
    const size_t n_kernels = (size_t)shape->kernels * shape->n_k;
    create->as.create.k = shape->kernels > 0 ? tensors : NULL;
    create->as.create.w01 = tensors + n_kernels;
    create->as.create.w12 = create->as.create.w01 + (size_t)shape->n_0 * shape->n_1;
}

static int make_file(struct store **out, const char *path, const struct log_row *row, struct origin *origin,
                     const struct log_snapshot *snapshot, const struct arith *arith, struct err *err)
{
    struct event *create = &origin->event;
    uint8_t digest[DIGEST_BYTES];
    create->kind = EVENT_CREATE;
    create->revision = 1;
    create->created_us = row->created_us;
    if (shape_check(&create->as.create.shape, create->as.create.n_classes, err) != 0)
        return -1;
    if (snapshot != NULL)
        given_weights(create, snapshot);
    struct learner *learner = learner_create(create, arith, 0, err);
    if (learner == NULL)
        return -1;
    learner_digest(learner, digest);
    int status = memcmp(digest, origin->digest, DIGEST_BYTES) == 0
                     ? store_create(out, path, create, learner, err)
                     : err_set(err, ERR_DIVERGED, "the first weights are not those of the shared log");
    learner_free(learner);
    if (status == 0 && memcmp((*out)->end.chain, row->chain, CHAIN_BYTES) != 0)
        status = err_set(err, ERR_DIVERGED, "the create event is written in another form in the shared log");
    return status;
}

int shared_join(struct store **out, const char *path, const char *conninfo, const struct arith *arith, struct err *err)
{
    struct postgres *pg = NULL;
    struct log_row *rows = NULL;
    struct log_snapshot *snapshot = NULL;
    struct origin origin = {0};
    size_t n = 0;
    *out = NULL;
    int status = postgres_open(&pg, conninfo, err);
    if (status == 0)
        status = postgres_read(&rows, &n, pg, 0, 1, err);
    if (status == 0 && n == 0)
        status = err_set(err, ERR_CONFLICT, "the shared log is empty: convd cluster init shares a model's");
    if (status == 0)
        status = origin_decode(&origin, rows[0].body, strlen(rows[0].body), err);
    if (status == 0 && strcmp(origin.arithmetic, ARITHMETIC_VERSION) != 0)
        status =
            err_set(err, ERR_DIVERGED, "the shared log is of arithmetic %s, and this convd has " ARITHMETIC_VERSION,
                    origin.arithmetic);
    if (status == 0 && origin.given && (status = postgres_snapshot_get(&snapshot, pg, 1, err)) >= 0)
        status = status == 1 ? 0 : err_set(err, ERR_DIVERGED, "the shared log has not the first weights");
    if (status == 0)
        status = make_file(out, path, &rows[0], &origin, snapshot, arith, err);
    if (status != 0) {
        store_close(*out);
        *out = NULL;
    }
    free(snapshot);
    free(rows);
    origin_fini(&origin);
    postgres_close(pg);
    return status;
}
