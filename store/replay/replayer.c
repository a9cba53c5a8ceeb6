/* replayer.c - see store/replay/replayer.h. Two phases, both in pieces:
 *
 *     prove    rehearse events after the ground read samples from before it, which no link was checked of: so their rows are
 *              read and checked, from the first that is needed up to the ground, whose chain is known to be right
 *     follow   the rows after the ground: each checked; those on the line applied
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/replay/replayer.h"

struct store_replayer {
    struct store *store;
    struct line line;
    struct learner *learner;
    bool pool_unproved; /* salvaging: the state cannot learn                                     */
    uint64_t target;
    uint64_t place; /* events up to here are applied                                         */

    uint64_t from;            /* prove: rows from .. proved - 1 are still to be checked                */
    uint64_t proved;          /* every row from this one up to `place` is                              */
    uint64_t first_rehearsal; /* that needs them                                                       */

    struct log_reader prover, follower; /* only one of them may use the database at a time               */
    struct log_reader *awake;           /* which; NULL between steps                                     */
    uint64_t part, parts;               /* steps of the row at work: applied, of how many; equal: none is */
    uint8_t chain[CHAIN_BYTES];         /* of the row `place`                                            */

    const struct edits *overlay; /* that are not in the log yet; NULL: none                      */
    struct edited *edited;       /* train events that they forget something of                   */
    size_t n_edited, room;

    struct rehearsal *rehearsal; /* lent to the store while it works: nobody else's rehearsal is disturbed */
    uint64_t done, total;
    uint64_t counted; /* up to which revision `total` knows the samples                        */
    struct store_recovery report;
};

/* The line was found by an index, and by rows that nobody had checked: now that the link of this one has been, it must
 * turn off where the line does, and only there. */
static int check_turn(const struct line *line, const struct event *event, struct err *err)
{
    for (size_t i = 0; i + 1 < line->n; i++)
        if (line->stretches[i].first == event->revision)
            return event->kind == EVENT_ACTIVATE && event->as.activate.revision == line->stretches[i + 1].last
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
    struct db *db = store->db;
    int status;
    *out = (struct rehearsals){.lowest_id = INT64_MAX};
    db_bind_int(db, SQL_REHEARSALS, 1, (int64_t)first);
    db_bind_int(db, SQL_REHEARSALS, 2, (int64_t)last);
    while ((status = db_step(db, SQL_REHEARSALS, err)) == 1) {
        struct event event = {.kind = EVENT_REHEARSE, .revision = (uint64_t)db_int(db, SQL_REHEARSALS, 0)};
        struct sample_run run;
        struct err why = {0};
        size_t n_body;
        const char *body = db_text(db, SQL_REHEARSALS, 1, &n_body);
        if (event_parse(&event, &run, db, body, n_body, &why) == 0) {
            out->lowest_id = event.as.rehearse.first_id < out->lowest_id ? event.as.rehearse.first_id : out->lowest_id;
            out->first = out->first == 0 ? event.revision : out->first;
            out->steps += replay_steps(&event);
        } else if (why.code != ERR_DB_CORRUPT) { /* a damaged one will be met, and named */
            db_reset(db, SQL_REHEARSALS);
            if (err != NULL)
                *err = why;
            return -1;
        }
    }
    return status;
}

/* What the rehearse events first .. last need of the rows before the ground. */
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
        return edit_prove_range(r->store, 1, r->place, err);
    }
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
    spend(budget, event->kind == EVENT_TRAIN ? 1 + event->as.train.n / 4 : 1);
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
    if (r->n_edited == r->room) {
        size_t room = r->room == 0 ? 16 : r->room * 2;
        struct edited *more = room > SIZE_MAX / sizeof *more ? NULL : realloc(r->edited, room * sizeof *more);
        if (more == NULL)
            return err_set(err, ERR_MEMORY, "out of memory for %zu edited events", room);
        r->edited = more;
        r->room = room;
    }
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
    if (r->follower.forgets && note_edited(r, err) != 0)
        return -1;
    if (!line_has(&r->line, event->revision)) {
        r->part = r->parts;
        return 0;
    }
    if (check_turn(&r->line, event, err) != 0)
        return -1;
    if (event->kind == EVENT_TRAIN && r->pool_unproved)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu: the images that the state before it remembers are damaged",
                       (unsigned long long)event->revision);
    if (event->kind == EVENT_ACTIVATE)
        r->learner->revision = event->revision; /* the line led to the state that it went back to */
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
    }
    wake(r, &r->follower);
    if (r->part == r->parts && next_row(r, err) != 0)
        return -1;
    const struct event *event = &r->follower.event;
    const bool on_line = r->part < r->parts;
    uint64_t n = r->parts - r->part < *budget ? r->parts - r->part : *budget;
    if (on_line && replay_part(r->store, r->learner, &r->follower, r->part, n, err) != 0)
        return -1;
    r->part += on_line ? n : 0;
    spend(budget, on_line ? n : 1 + (event->kind == EVENT_TRAIN ? r->parts / 4 : 0));
    if (r->part < r->parts)
        return 0;
    r->place = report->good = event->revision;
    memcpy(r->chain, r->follower.chain, CHAIN_BYTES);
    r->done += event->kind == EVENT_TRAIN ? r->follower.n_row : event->kind == EVENT_REHEARSE ? r->parts : 0;
    r->part = r->parts = 0;
    report->events += on_line;
    report->samples += on_line && event->kind == EVENT_TRAIN ? event->as.train.n : 0;
    return 0;
}

/* ---- from outside ---- */

static bool is_done(const struct store_replayer *r)
{
    return r->place == r->target && r->from == r->proved;
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

static int find_ground(struct store_replayer *r, const struct replay_want *want, struct err *err)
{
    const uint64_t ground = want->ground > 0 && want->ground < want->target ? want->ground : want->target;
    struct store *store = r->store;
    assert(want->edits == NULL || want->from_origin || ground < edits_first(want->edits));
    if (edit_prove_range(store, want->target + 1, store->end.revision, err) != 0 ||
        line_find(&r->line, store, want->target, err) != 0 ||
        replay_start(&r->learner, &r->place, &r->pool_unproved, store, &r->line, want->from_origin ? 0 : ground,
                     want->arith, &r->report, err) != 0)
        return -1;
    r->learner->rest = store->rest;
    r->from = r->proved = r->place + 1;
    r->counted = r->place;
    if (plan_proof(r, r->place + 1, r->target, err) != 0 || log_chain_at(store, r->place, r->chain, err) != 0)
        return -1;
    if (r->from == r->proved)
        r->report.good = r->place;
    return 0;
}

/* As store_replayer_open(), but *out is there after any error but want of memory: its report is wanted. */
static int begin(struct store_replayer **out, struct store *store, const struct replay_want *want, struct err *err)
{
    struct store_replayer *r = *out = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_MEMORY, "out of memory for a replay");
    r->store = store;
    r->target = want->target;
    r->overlay = want->edits;
    lend(r);
    const int status = find_ground(r, want, err);
    lend(r);
    return status;
}

/* Up to `budget` samples, or to the end of a row. */
static int advance(struct store_replayer *r, uint64_t *budget, struct err *err)
{
    return r->from < r->proved ? prove(r, budget, err) : follow(r, budget, err);
}

int store_replayer_open(struct store_replayer **out, struct store *store, const struct replay_want *want,
                        struct err *err)
{
    *out = NULL;
    if (want->target < 1 || want->target > store->end.revision)
        return err_set(err, ERR_NOT_FOUND, "there is no revision %llu; the last is %llu",
                       (unsigned long long)want->target, (unsigned long long)store->end.revision);
    if (ground_refuses(store, want->target, err) != 0)
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
        status = advance(r, &budget, err);
    wake(r, NULL);
    lend(r);
    return status != 0 ? -1 : !is_done(r);
}

int store_replayer_extend(struct store_replayer *r, uint64_t target, struct err *err)
{
    const uint64_t old = r->target;
    assert(target >= old && target <= r->store->end.revision);
    r->target = r->line.stretches[0].last = target;
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
    db_bind_int(db, SQL_SAMPLES_AMONG, 1, (int64_t)r->counted + 1);
    db_bind_int(db, SQL_SAMPLES_AMONG, 2, (int64_t)r->target);
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

const struct store_recovery *store_replayer_report(const struct store_replayer *r)
{
    return &r->report;
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

void store_replayer_close(struct store_replayer *r)
{
    if (r == NULL)
        return;
    free(r->edited);
    log_read_close(&r->prover);
    log_read_close(&r->follower);
    rehearsal_free(r->rehearsal);
    line_fini(&r->line);
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
        status = advance(r, &budget, err);
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
    const struct replay_want want = {.target = revision, .arith = arith};
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
