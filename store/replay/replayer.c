/* replayer.c - see store/replay/replayer.h. Three phases, all in pieces:
 *
 *     edits    the rows of edits whose events are not among the rows that are applied, but which change what those are
 *     prove    rehearse events after the snapshot read samples from before it, which no link was checked of: so their rows are
 *              read and checked, from the first that is needed up to the snapshot, whose chain is known to be right
 *     follow   the rows after the snapshot: each checked; those on the lineage applied
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/replay/replayer.h"

#define PROOF_ROWS  1000u /* of edits, in a piece  */
#define PROOF_SPENT 64u   /* as many samples' time; a snapshot likewise */

struct store_replayer {
    struct store *store;
    struct lineage lineage;
    struct learner *learner;
    bool buffer_unproved; /* salvaging: the state cannot learn                                     */
    uint64_t target;
    uint64_t place; /* events up to here are applied                                         */

    uint64_t old, beyond; /* edits: of events up to `old`, and after `beyond`, are to be proved              */
    size_t span;          /* those of the store's spans before this one are                          */
    bool span_begun;      /* and this one in part:                                                   */
    struct edit_proof span_proof;

    uint64_t from;            /* prove: rows from .. proved - 1 are still to be checked                */
    uint64_t proved;          /* every row from this one up to `place` is                              */
    uint64_t first_rehearsal; /* that needs them                                                       */

    struct log_reader prover, follower; /* only one of them may use the database at a time               */
    struct log_reader *awake;           /* which; NULL between steps                                     */
    bool proving;                       /* of the row at work, an edit's                           */
    struct edit_proof proof;            /* so many rows are                                        */
    uint64_t part, parts;               /* steps of the row at work: applied, of how many; equal: none is */
    uint8_t chain[CHAIN_BYTES];         /* of the row `place`                                            */

    const struct edits *overlay; /* that are not in the log yet; NULL: none                      */
    struct edited *edited;       /* train events that they forget something of                   */
    size_t n_edited, room;
    struct edit_stage stage;
    uint64_t *seen_at; /* revisions of snapshots that they take away: another is written there     */
    size_t n_seen_at, next_seen;
    bool in_place; /* the edits are in the log */

    struct rehearsal *rehearsal; /* lent to the store while it works: nobody else's rehearsal is disturbed */
    uint64_t done, total;
    uint64_t counted; /* up to which revision `total` knows the samples                        */
    struct store_recovery report;
};

/* The lineage was found by an index, and by rows that nobody had checked: now that the link of this one has been, it must
 * turn off where the lineage does, and only there. */
static int check_turn(const struct lineage *lineage, const struct event *event, struct err *err)
{
    for (size_t i = 0; i + 1 < lineage->n; i++)
        if (lineage->spans[i].first == event->revision)
            return event->kind == EVENT_ACTIVATE && event->as.activate.revision == lineage->spans[i + 1].last
                       ? 0
                       : err_set(err, ERR_DB_CORRUPT, "revision %llu: the index of events does not agree with it",
                                 (unsigned long long)event->revision);
    if (event->kind != EVENT_ACTIVATE)
        return 0;
    return err_set(err, ERR_DB_CORRUPT, "revision %llu is missing from the index of events",
                   (unsigned long long)event->revision);
}

/* ---- who reads ---- */

static void wake(struct store_replayer *r, struct log_reader *reader)
{
    if (r->awake == reader)
        return;
    if (r->awake != NULL)
        log_read_pause(r->awake);
    if (reader != NULL)
        log_read_resume(reader);
    r->awake = reader;
}

static void spend(uint64_t *budget, uint64_t n)
{
    *budget -= n < *budget ? n : *budget;
}

/* ---- prove ---- */

/* The rehearse events among the rows first .. last: the first of them (0: none), the lowest sample id that any trains on again, and
 * how many steps they are. */
struct rehearsals {
    uint64_t first, steps;
    int64_t lowest_id;
};

static int find_rehearsals(struct rehearsals *out, struct store *store, uint64_t first, uint64_t last, struct err *err)
{
    struct event event;
    struct err why;
    int status;
    *out = (struct rehearsals){.lowest_id = INT64_MAX};
    rare_events(store, EVENT_REHEARSE, first, last);
    while ((status = rare_event_next(store, &event, &why, err)) == 1) {
        if (why.code != ERR_NONE)
            continue;
        out->lowest_id = event.as.rehearse.first_id < out->lowest_id ? event.as.rehearse.first_id : out->lowest_id;
        out->first = out->first == 0 ? event.revision : out->first;
        out->steps += replay_steps(&event);
    }
    return status;
}

/* What the rehearse events first .. last need of the rows before the baseline. */
static int plan_proof(struct store_replayer *r, uint64_t first, uint64_t last, struct err *err)
{
    struct rehearsals needed;
    struct db *db = r->store->db;
    if (find_rehearsals(&needed, r->store, first, last, err) != 0)
        return -1;
    r->total += needed.steps;
    if (needed.first == 0)
        return 0;
    db_bind_int(db, SQL_SAMPLE_FROM, 1, needed.lowest_id);
    int status = db_step(db, SQL_SAMPLE_FROM, err);
    const uint64_t from = status == 1 ? (uint64_t)db_int(db, SQL_SAMPLE_FROM, 0) : r->proved;
    db_reset(db, SQL_SAMPLE_FROM);
    if (status < 0)
        return -1;
    if (from >= 1 && from < r->from) { /* where a proof is at work, it is read anew */
        r->from = from;
        r->first_rehearsal = needed.first;
        log_read_close(&r->prover);
        r->old = r->place;
        r->span = 0;
        r->span_begun = false;
    }
    return 0;
}

/* Whether there is an edit to be proved: spans[span]. */
static bool find_span(struct store_replayer *r)
{
    const struct store *store = r->store;
    while (r->span < store->n_spans && store->spans[r->span].event > r->old && store->spans[r->span].event <= r->beyond)
        r->span++;
    return r->span < store->n_spans;
}

static int prove_span(struct store_replayer *r, uint64_t *budget, struct err *err)
{
    const uint64_t revision = r->store->spans[r->span].event;
    int status = r->span_begun ? 0 : edit_proof_find(&r->span_proof, r->store, revision, err);
    if (status == 0)
        status = edit_proof_step(&r->span_proof, r->store, PROOF_ROWS, err);
    if (status < 0) {
        r->report.good = 0; /* what is proved is not said by rows of before it */
        return err_wrap(err, "revision %llu", (unsigned long long)revision);
    }
    r->span_begun = status == 1;
    r->span += status == 0;
    spend(budget, PROOF_SPENT);
    return 0;
}

/* One row more. */
static int prove(struct store_replayer *r, uint64_t *budget, struct err *err)
{
    const struct event *event = &r->prover.event;
    uint8_t chain[CHAIN_BYTES];
    int status = 1;
    if (r->prover.store == NULL) {
        status = log_chain_at(r->store, r->from - 1, chain, err) == 0 ? 1 : -1;
        log_read_init(&r->prover, r->store, r->from - 1, chain);
        r->prover.prove_later = true; /* they were first */
    }
    wake(r, &r->prover);
    if (status == 1)
        status = log_read_next(&r->prover, err);
    if (status == 0)
        status = err_set(err, ERR_DB_CORRUPT, "revision %llu is missing from the log",
                         (unsigned long long)event->revision + 1);
    if (status < 0) {
        r->report.good = r->first_rehearsal - 1; /* the state before the rehearsal needs none of these */
        return -1;
    }
    spend(budget, 1 + r->prover.n_row / 4);
    if (event->revision + 1 == r->proved) {
        r->proved = r->from;
        r->report.good = r->place;
        wake(r, NULL);
        log_read_close(&r->prover);
    }
    return 0;
}

/* ---- follow ---- */

/* What is left of the row that was read, for table edited. */
static int note_edited(struct store_replayer *r, struct err *err)
{
    if (grow(&r->edited, &r->room, r->n_edited, sizeof *r->edited, "edited events", err) != 0)
        return -1;
    r->edited[r->n_edited].revision = r->follower.event.revision;
    memcpy(r->edited[r->n_edited++].hash, r->follower.left, CHAIN_BYTES);
    return 0;
}

/* The next row, checked. What is not made of steps is applied at once. */
static int next_row(struct store_replayer *r, struct err *err)
{
    const struct event *event = &r->follower.event;
    int status = log_read_next(&r->follower, err);
    if (status == 0)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu is missing from the log",
                       (unsigned long long)event->revision + 1);
    if (status < 0)
        return -1;
    r->part = 0;
    r->parts = replay_steps(event);
    r->total += event->kind == EVENT_IDLE ? r->parts : 0;
    if (r->follower.forgets && note_edited(r, err) != 0)
        return -1;
    if (!lineage_has(&r->lineage, event->revision)) {
        r->part = r->parts;
        return 0;
    }
    if (check_turn(&r->lineage, event, err) != 0)
        return -1;
    if ((event->kind == EVENT_TRAIN || event->kind == EVENT_IDLE) && r->buffer_unproved)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu: images of the replay buffer before it are damaged",
                       (unsigned long long)event->revision);
    if (event->kind == EVENT_ACTIVATE)
        r->learner->revision = event->revision; /* the lineage led to the state that it went back to */
    if (event->kind == EVENT_ACTIVATE || event->kind == EVENT_CREATE)
        r->part = r->parts;
    return 0;
}

/* A part of the row at work, or the next row. */
static int follow(struct store_replayer *r, uint64_t *budget, struct err *err)
{
    struct store_recovery *report = &r->report;
    if (r->follower.store == NULL) {
        log_read_init(&r->follower, r->store, r->place, r->chain);
        r->follower.overlay = r->store->overlay; /* lent */
        r->follower.prove_later = true;
    }
    wake(r, &r->follower);
    const struct event *event = &r->follower.event;
    if (r->part == r->parts && !r->proving) {
        if (next_row(r, err) != 0)
            return -1;
        const uint64_t cost = r->follower.n_row / 4; /* also of those that are forgotten or were left behind */
        spend(budget, cost < *budget ? cost : *budget - 1);
        r->proving = event->kind == EVENT_EDIT;
        edit_proof_init(&r->proof, event);
    }
    if (r->proving) {
        const int more = edit_proof_step(&r->proof, r->store, PROOF_ROWS, err);
        spend(budget, PROOF_SPENT);
        if (more < 0)
            return err_wrap(err, "revision %llu", (unsigned long long)event->revision);
        r->proving = more == 1;
        if (r->proving)
            return 0;
    }
    const bool on_line = r->part < r->parts;
    const uint64_t n = r->parts - r->part < *budget ? r->parts - r->part : *budget;
    if (on_line && replay_part(r->store, r->learner, &r->follower, r->part, n, err) != 0)
        return -1;
    r->part += on_line ? n : 0;
    spend(budget, on_line ? n : 1);
    if (r->part < r->parts)
        return 0;
    r->place = report->good = event->revision;
    memcpy(r->chain, r->follower.chain, CHAIN_BYTES);
    if (event->kind == EVENT_TRAIN)
        r->done += r->follower.n_row;
    else if (event->kind == EVENT_REHEARSE || event->kind == EVENT_IDLE)
        r->done += r->parts;
    r->part = r->parts = 0;
    report->events += on_line;
    report->samples += on_line && event->kind == EVENT_TRAIN ? event->as.train.n : 0;
    return 0;
}

/* ---- from outside ---- */

static bool is_done(const struct store_replayer *r)
{
    return r->place == r->target && r->from == r->proved && r->span == r->store->n_spans;
}

static void lend(struct store_replayer *r)
{
    struct rehearsal *others = r->store->rehearsal;
    const struct edits *overlay = r->store->overlay;
    r->store->rehearsal = r->rehearsal;
    r->rehearsal = others;
    r->store->overlay = r->overlay;
    r->overlay = overlay;
}

static int find_start(struct store_replayer *r, const struct replay_want *want, struct err *err)
{
    const uint64_t baseline = want->from > 0 && want->from < want->target ? want->from : want->target;
    struct store *store = r->store;
    assert(want->edits == NULL || want->from_origin || baseline < edits_first(want->edits));
    r->beyond = want->target;
    if (lineage_find(&r->lineage, store, want->target, err) != 0 ||
        replay_start(&r->learner, &r->place, &r->buffer_unproved, store, &r->lineage, want->from_origin ? 0 : baseline,
                     want->arith, &r->report, err) != 0)
        return -1;
    r->learner->yield = store->yield;
    r->from = r->proved = r->place + 1;
    r->counted = r->place;
    if (plan_proof(r, r->place + 1, r->target, err) != 0 || log_chain_at(store, r->place, r->chain, err) != 0)
        return -1;
    if (r->from == r->proved)
        r->report.good = r->place;
    (void)find_span(r);
    return 0;
}

static void skip_seen(struct store_replayer *r, uint64_t before)
{
    while (r->next_seen < r->n_seen_at && r->seen_at[r->next_seen] < before)
        r->next_seen++;
}

/* Whether a snapshot is to be written here, but for the target: that state is the take-over's. */
static bool is_seen_at(struct store_replayer *r)
{
    skip_seen(r, r->place);
    return r->next_seen < r->n_seen_at && r->seen_at[r->next_seen] == r->place && r->parts == 0 && !r->proving;
}

/* For which the database is let go of. It may take more than one call. */
static int write_seen(struct store_replayer *r, uint64_t *budget, struct err *err)
{
    wake(r, NULL);
    lend(r);
    r->learner->revision = r->place;
    const int status = r->in_place ? edits_put_snapshot(r->store, r->learner, r->chain, err)
                                   : edits_stage_snapshot(&r->stage, r->store, r->learner, r->chain, err);
    lend(r);
    skip_seen(r, r->place + (status == 0));
    spend(budget, PROOF_SPENT);
    return status < 0 ? -1 : 0;
}

/* As store_replayer_open(), but *out is there after any error but want of memory: its report is wanted. */
static int begin(struct store_replayer **out, struct store *store, const struct replay_want *want, struct err *err)
{
    struct store_replayer *r = *out = calloc(1, sizeof *r);
    if (r == NULL)
        return err_memory(err, "a replay");
    r->store = store;
    r->target = want->target;
    r->overlay = want->edits;
    r->in_place = want->in_place;
    lend(r);
    int status = find_start(r, want, err);
    lend(r);
    if (status == 0 && want->edits != NULL)
        status = edits_seen_at(&r->seen_at, &r->n_seen_at, store, &r->lineage, want->edits, err);
    if (status == 0 && want->in_place)
        status = edits_gone_at(&r->seen_at, &r->n_seen_at, store, &r->lineage, err);
    skip_seen(r, r->place + 1);
    return status;
}

/* Up to `budget` samples, or to the end of a row. */
static int advance(struct store_replayer *r, uint64_t *budget, struct err *err)
{
    if (find_span(r))
        return prove_span(r, budget, err);
    return r->from < r->proved ? prove(r, budget, err) : follow(r, budget, err);
}

int store_replayer_open(struct store_replayer **out, struct store *store, const struct replay_want *want,
                        struct err *err)
{
    *out = NULL;
    if (want->target < 1 || want->target > store->end.revision)
        return err_set(err, ERR_NOT_FOUND, "revision %llu does not exist; the last is %llu",
                       (unsigned long long)want->target, (unsigned long long)store->end.revision);
    if (baseline_refuses(store, want->target, err) != 0)
        return -1;
    if (begin(out, store, want, err) == 0)
        return 0;
    store_replayer_close(*out);
    *out = NULL;
    return -1;
}

int store_replayer_step(struct store_replayer *r, uint64_t n_samples, struct err *err)
{
    uint64_t budget = n_samples > 0 ? n_samples : 1;
    int status = 0;
    assert(!r->store->in_group && r->learner != NULL);
    lend(r);
    while (status == 0 && budget > 0 && !is_done(r))
        status = is_seen_at(r) ? write_seen(r, &budget, err) : advance(r, &budget, err);
    wake(r, NULL);
    lend(r);
    return status != 0 ? -1 : !is_done(r);
}

int store_replayer_extend(struct store_replayer *r, uint64_t target, struct err *err)
{
    const uint64_t old = r->target;
    assert(target >= old && target <= r->store->end.revision);
    r->target = r->lineage.spans[0].last = target;
    return target > old ? plan_proof(r, old + 1, target, err) : 0;
}

uint64_t store_replayer_place(const struct store_replayer *r)
{
    return r->place;
}

/* How many samples the rows have is only told, never relied on: a damaged index makes the figure wrong and nothing else. */
static void count_samples(struct store_replayer *r)
{
    struct db *db = r->store->db;
    if (r->counted == r->target)
        return;
    db_bind_ints(db, SQL_SAMPLES_AMONG, (int64_t)r->counted + 1, (int64_t)r->target);
    if (db_step(db, SQL_SAMPLES_AMONG, NULL) == 1)
        r->total += (uint64_t)db_int(db, SQL_SAMPLES_AMONG, 0);
    db_reset(db, SQL_SAMPLES_AMONG);
    r->counted = r->target;
}

void store_replayer_progress(struct store_replayer *r, uint64_t *done, uint64_t *total)
{
    count_samples(r);
    *done = r->done + r->part;
    *total = r->total > *done ? r->total : *done;
}

struct learner *store_replayer_take(struct store_replayer *r)
{
    struct learner *learner = r->learner;
    assert(is_done(r));
    r->learner = NULL;
    return learner;
}

void store_replayer_share(struct store_replayer *r, struct team *team, size_t least)
{
    workspace_share(r->learner->ws, team, least);
}

const struct edited *replayer_edited(const struct store_replayer *r, size_t *n)
{
    *n = r->n_edited;
    return r->edited;
}

struct edit_stage *replayer_stage(struct store_replayer *r)
{
    return &r->stage;
}

void store_replayer_close(struct store_replayer *r)
{
    if (r == NULL)
        return;
    free(r->edited);
    free(r->seen_at);
    free(r->stage.snapshots);
    log_read_close(&r->prover);
    log_read_close(&r->follower);
    rehearsal_free(r->rehearsal);
    lineage_fini(&r->lineage);
    learner_free(r->learner);
    free(r);
}

/* ---- in one go ---- */

static int all(struct store_replayer *r, store_progress *progress, void *context, struct err *err)
{
    const uint64_t first = r->place;
    int status = 0;
    lend(r);
    while (status == 0 && !is_done(r)) {
        uint64_t before = r->place, budget = UINT64_MAX;
        status = is_seen_at(r) ? write_seen(r, &budget, err) : advance(r, &budget, err);
        if (status == 0 && r->place > before && progress != NULL &&
            progress(context, r->place - first, r->target - first) != 0)
            status = err_set(err, ERR_STOPPING, "stopped at revision %llu", (unsigned long long)r->place);
    }
    wake(r, NULL);
    lend(r);
    return status;
}

int replay_state_at(struct learner **out, struct store *store, uint64_t revision, const struct arith *arith,
                    store_progress *progress, void *context, struct store_recovery *report, struct err *err)
{
    const struct replay_want want = {
        .target = revision, .arith = arith, .in_place = store->recovering && baseline_is_ours(store)};
    struct store_replayer *r;
    *out = NULL;
    *report = (struct store_recovery){0};
    int status = begin(&r, store, &want, err);
    if (status == 0)
        status = all(r, progress, context, err);
    if (r != NULL)
        *report = r->report;
    if (status == 0)
        *out = store_replayer_take(r);
    store_replayer_close(r);
    return status;
}
