/* shared_snapshots.c - states in a shared log, for whoever begins: the newest few snapshots, and what the states made of each sample (table outcome), which
 * nobody could know who has not learned it. All of it follows from the log, and any node's is as good as another's: whoever gets there first puts
 * it there. Who begins copies the rows as ever, each link checked, and takes the state for what replaying them would give: it proves to
 * be of its digest and of that log here, and what is learned from it is compared with the other nodes' from then on. See store/shared.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/shared.h"

#define CHUNK_SAMPLES 50000u /* of outcomes, in one row: 1 MB                                 */
#define OFFER_CHUNKS  16u    /* put in one call, while others wait: the rest at the next one  */

/* ---- a state as a row ---- */

static size_t n_kernel_floats(const struct shape *shape)
{
    return (size_t)shape->kernels * shape->n_k;
}

/* kernels, w01, w12: as many floats, one after the other. */
static size_t n_tensor_floats(const struct shape *shape, uint32_t n_classes)
{
    return n_kernel_floats(shape) + (size_t)shape->n_0 * shape->n_1 + (size_t)shape->n_1 * n_classes;
}

int shared_put_state(struct postgres *pg, struct store *store, const struct learner *learner, struct err *err)
{
    const struct shape *shape = &learner->shape;
    const size_t n_kernels = n_kernel_floats(shape), n_01 = (size_t)shape->n_0 * shape->n_1;
    const size_t n_tensors = n_tensor_floats(shape, learner->n_classes) * sizeof(float);
    struct log_snapshot snapshot = {
        .revision = learner->revision, .n_state = learner_encode_rest(learner, NULL, 0), .n_tensors = n_tensors};
    float *tensors = malloc(n_tensors + 1); /* there may be no class */
    uint8_t *state = malloc(snapshot.n_state);
    int status = -1;
    if (tensors == NULL || state == NULL) {
        err_memory(err, "a snapshot of %zu bytes", snapshot.n_state + n_tensors);
    } else if (log_chain_at(store, learner->revision, snapshot.chain, err) == 0) {
        (void)learner_encode_rest(learner, state, snapshot.n_state);
        learner_digest(learner, snapshot.digest);
        net_export(&learner->net, tensors, tensors + n_kernels, tensors + n_kernels + n_01);
        snapshot.state = state;
        snapshot.tensors = (const uint8_t *)tensors;
        status = postgres_snapshot_put(pg, &snapshot, err);
    }
    free(tensors);
    free(state);
    return status;
}

static int not_ours(const char *what, struct err *err)
{
    return err_set(err, ERR_DIVERGED, "a snapshot of the shared log %s", what);
}

/* Of bytes that may be anything. Its replay buffer has no images yet. */
static int decode(struct learner **out, const struct log_snapshot *snapshot, struct store *store,
                  const struct arith *arith, struct err *err)
{
    uint8_t digest[DIGEST_BYTES], chain[CHAIN_BYTES];
    struct learner *learner = learner_decode(snapshot->state, snapshot->n_state, arith, err);
    float *tensors = NULL;
    int status = -1;
    if (learner == NULL || log_chain_at(store, snapshot->revision, chain, err) != 0)
        goto out;
    const struct shape *shape = &learner->shape;
    const size_t n_kernels = n_kernel_floats(shape), n_01 = (size_t)shape->n_0 * shape->n_1;
    if (memcmp(shape, &store->origin.event.as.create.shape, sizeof *shape) != 0 ||
        snapshot->n_tensors != n_tensor_floats(shape, learner->n_classes) * sizeof(float)) {
        not_ours("has another shape", err);
        goto out;
    }
    tensors = malloc(snapshot->n_tensors + 1);
    if (tensors == NULL) {
        err_memory(err, "a snapshot of %zu bytes", snapshot->n_tensors);
        goto out;
    }
    memcpy(tensors, snapshot->tensors, snapshot->n_tensors);
    net_import(&learner->net, shape->kernels > 0 ? tensors : NULL, tensors + n_kernels, tensors + n_kernels + n_01);
    learner->revision = snapshot->revision;
    learner_digest(learner, digest);
    if (memcmp(chain, snapshot->chain, CHAIN_BYTES) != 0)
        not_ours("is of another log", err);
    else if (memcmp(digest, snapshot->digest, DIGEST_BYTES) != 0)
        not_ours("does not have its digest", err);
    else
        status = 0;
out:
    free(tensors);
    if (status != 0) {
        learner_free(learner);
        learner = NULL;
    }
    *out = learner;
    return status;
}

/* ---- outcomes ---- */

/* Of samples first .. first + n - 1, as they are in the file. */
static int put_outcomes(struct postgres *pg, struct store *store, int64_t first, uint32_t n, uint64_t revision,
                        struct err *err)
{
    uint8_t *rows = malloc((size_t)n * LOG_OUTCOME_BYTES);
    if (rows == NULL)
        return err_memory(err, "%u outcomes", n);
    int status = outcomes_pack(rows, store, first, n, err);
    if (status == 0)
        status = postgres_outcomes_put(
            pg, &(struct log_outcomes){.first = first, .n = n, .revision = revision, .rows = rows}, err);
    free(rows);
    return status;
}

/* Until there are those of all samples: 0; or enough for one call: 1. */
static int offer_outcomes(struct postgres *pg, struct store *store, int64_t next, struct err *err)
{
    const int64_t end = store->end.next_sample;
    if (outcomes_show(store, err) != 0)
        return -1;
    for (unsigned i = 0; i < OFFER_CHUNKS && next < end; i++) {
        const uint32_t n = end - next < CHUNK_SAMPLES ? (uint32_t)(end - next) : CHUNK_SAMPLES;
        if (put_outcomes(pg, store, next, n, store->end.revision, err) != 0)
            return -1;
        next += n;
    }
    return next < end;
}

/* An edit may have come among the rows, or be on its way here. */
static bool is_edited_since(const struct store *store, uint64_t revision)
{
    for (size_t i = 0; i < store->n_spans; i++)
        if (store->spans[i].from <= revision && store->spans[i].event > revision)
            return true;
    return false;
}

/* The outcomes up to that sample, into the file: 1; 0: the log has not all of them as the edits in the file make them. Who put them may know of
 * one that is not in the file, or not yet of one that is: one may come at any time, and others are quick to put what it has changed. */
static int take_outcomes(struct postgres *pg, struct store *store, int64_t last, struct err *err)
{
    int64_t next;
    if (db_number(&next, store->db, SQL_OUTCOME_LAST, err) != 0)
        return -1;
    while (++next <= last) {
        struct log_outcomes *found = NULL;
        int status = postgres_outcomes_get(&found, pg, next, err);
        if (status == 1 && (found->revision > store->end.revision || is_edited_since(store, found->revision)))
            status = 0;
        if (status != 1) {
            free(found);
            return status;
        }
        const int64_t end = found->first + found->n - 1 < last ? found->first + found->n - 1 : last;
        status = store_begin_unsynced(store, err);
        if (status == 0)
            status = outcomes_unpack(store, found->rows + (size_t)(next - found->first) * LOG_OUTCOME_BYTES, next,
                                     (uint32_t)(end - next + 1), err);
        if (status == 0)
            status = store_commit(store, err);
        store_rollback(store);
        free(found);
        if (status != 0)
            return -1;
        next = end;
    }
    return 1;
}

/* ---- put there ---- */

int shared_offer(struct shared *shared, struct store *store, const struct learner *learner, uint64_t since,
                 struct err *err)
{
    struct postgres *pg;
    struct log_states states;
    assert(learner->revision == store->end.revision);
    if (shared_engine(&pg, shared, err) != 0 || shared_clean(shared, err) != 0)
        return -1;
    int status = postgres_states(&states, pg, err);
    if (status != 1 || !states.writable || (states.snapshot > since && states.snapshot != learner->revision) ||
        learner->revision == 1) /* which the create event has */
        return status < 0 ? -1 : 0;
    status = offer_outcomes(pg, store, states.next, err);
    return status == 0 ? shared_put_state(pg, store, learner, err) : status;
}

/* ---- begun from ---- */

/* The rows up to there, and maybe some more. */
static int copy_upto(struct shared *shared, struct store *store, uint64_t revision, store_progress *progress,
                     void *context, struct err *err)
{
    int status = 1;
    while (status == 1 && store->end.revision < revision) {
        status = shared_copy(shared, err);
        if (status >= 0 && progress != NULL && progress(context, store->end.revision, revision) != 0)
            status = err_set(err, ERR_STOPPING, "stopped at revision %llu; the next start goes on from there",
                             (unsigned long long)store->end.revision);
    }
    store->n_folded = store->n_spans; /* there is no state yet that has not: store_recover() comes next */
    store->classes_due = store_edits_any(store);
    return status < 0 ? -1 : 0;
}

/* What is there behind the rows. 1; 0: it is of no use, and *why may say why. */
static int take(struct postgres *pg, struct store *store, uint64_t revision, const struct arith *arith, struct err *err)
{
    const struct span all = {.first = 1, .last = revision};
    struct log_snapshot *snapshot = NULL;
    struct learner *learner = NULL;
    int64_t low, last;
    if (store->end.revision < revision || is_edited_since(store, revision))
        return 0;
    int status = samples_of_span(&low, &last, store, &all, err) == 0 ? take_outcomes(pg, store, last, err) : -1;
    if (status == 1)
        status = postgres_snapshot_get(&snapshot, pg, revision, err);
    if (status == 1)
        status = snapshot->revision != revision ? 0 : decode(&learner, snapshot, store, arith, err) == 0 ? 1 : -1;
    if (status == 1)
        status = replay_buffer_read(learner, store, err) == 0 &&
                         store_snapshot(store, learner, "interval", "", false, NULL, err) == 0
                     ? 1
                     : -1;
    learner_free(learner);
    free(snapshot);
    return status < 0 && (err->code == ERR_DIVERGED || err->code == ERR_DB_CORRUPT) ? 0 : status;
}

int shared_begin(struct store *store, const char *conninfo, const struct arith *arith, store_progress *progress,
                 void *context, struct err *err)
{
    struct shared *shared = NULL;
    struct postgres *pg;
    struct log_states states = {0};
    int64_t own;
    *err = (struct err){0};
    int status = db_number(&own, store->db, SQL_SNAPSHOT_HIGHEST, err);
    if (status != 0 || own > 1)
        return status;
    status = shared_open(&shared, store, conninfo, "", err);
    if (status == 0)
        status = shared_engine(&pg, shared, err);
    if (status == 0)
        status = postgres_states(&states, pg, err);
    if (status == 1)
        status = states.snapshot > 1;
    if (status == 1 && copy_upto(shared, store, states.snapshot, progress, context, err) != 0)
        status = -1;
    if (status == 1)
        status = take(pg, store, states.snapshot, arith, err);
    shared_close(shared);
    return status;
}
