/* replay.c - from the file back to the state.
 *
 *     state(R) = the newest good snapshot on line(R), then apply the events of line(R) after it
 *
 * "Good" is: its digest is that of what it decodes to, and its chain is the log's at its revision. From there on every row
 * of the log is read in order, also those that were left behind, and its link is checked before the row is believed; the
 * outcomes that training recorded must come out again, bit for bit. So what recovery returns is either the state that
 * was acknowledged, or an error that names the first row which is not what it was.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "store/internal.h"

static bool same_loss(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static int compare_outcomes(const struct log_reader *reader, struct err *err)
{
    const struct event *event = &reader->event;
    for (uint32_t i = 0; i < event->as.train.n; i++)
        if (event->as.train.samples[i].predicted != reader->rows[i].predicted ||
            !same_loss(event->as.train.samples[i].loss, reader->rows[i].loss))
            return err_set(err, ERR_DB_CORRUPT,
                           "sample %lld: predicted %u with loss %.9g when it was trained, but the replay says %u, %.9g",
                           (long long)event->as.train.samples[i].id, reader->rows[i].predicted,
                           (double)reader->rows[i].loss, event->as.train.samples[i].predicted,
                           (double)event->as.train.samples[i].loss);
    return 0;
}

static int apply(struct store *store, struct learner *learner, struct log_reader *reader, struct err *err)
{
    struct event *event = &reader->event;
    if (event->kind == EVENT_REHEARSE)
        return store_rehearse(store, learner, event, NULL, NULL, err);
    if (event->kind == EVENT_CLASS && event->as.class_.action == CLASS_ADD &&
        learner_reserve(learner, event->as.class_.index + 1, err) != 0)
        return -1;
    if (learner_apply(learner, event, err) != 0)
        return -1;
    return event->kind == EVENT_TRAIN ? compare_outcomes(reader, err) : 0;
}

int replay_event(struct store *store, struct learner *learner, struct log_reader *reader, struct err *err)
{
    assert(reader->event.kind != EVENT_CREATE && reader->event.kind != EVENT_ACTIVATE);
    if (apply(store, learner, reader, err) == 0)
        return 0;
    /* The log holds only what the learner took, so a refusal is damage. */
    if (err != NULL && err->code != ERR_MEMORY && err->code != ERR_STORAGE) {
        err->code = ERR_DB_CORRUPT;
        err->pointer[0] = '\0';
    }
    return err_wrap(err, "revision %llu", (unsigned long long)reader->event.revision);
}

/* Given weights are in no event: the snapshot of revision 1 is where they are. */
static int given_origin(struct learner **out, struct store *store, const struct arith *arith, struct err *err)
{
    int status, read = -1;
    err_set(err, ERR_DB_CORRUPT, "the snapshot of revision 1, which holds the given weights, is missing");
    db_bind_int(store->db, SQL_SNAPSHOTS_AT, 1, 1);
    while ((status = db_step(store->db, SQL_SNAPSHOTS_AT, err)) == 1) {
        read = snapshot_read(out, store, db_int(store->db, SQL_SNAPSHOTS_AT, 0), arith, err);
        if (read == 0)
            break;
    }
    db_reset(store->db, SQL_SNAPSHOTS_AT);
    return status < 0 ? -1 : read;
}

int replay_origin(struct learner **out, struct store *store, const struct arith *arith, struct err *err)
{
    *out = NULL;
    if (store->origin.given) {
        if (given_origin(out, store, arith, err) != 0)
            return err_wrap(err, "revision 1");
    } else if ((*out = learner_create(&store->origin.event, arith, 0, err)) == NULL) {
        if (err != NULL && err->code != ERR_MEMORY)
            err->code = ERR_DB_CORRUPT;
        return err_wrap(err, "revision 1");
    }
    uint8_t digest[DIGEST_BYTES];
    learner_digest(*out, digest);
    if (memcmp(digest, store->origin.digest, DIGEST_BYTES) == 0)
        return 0;
    learner_free(*out);
    *out = NULL;
    return err_set(err, ERR_DB_CORRUPT, "revision 1: the first weights do not have the digest that the log says");
}

/* Tells why a snapshot is not used. */
static void pass_over(struct store_recovery *report, int64_t id, uint64_t revision, const char *why)
{
    report->passed_over++;
    (void)snprintf(report->warning, sizeof report->warning, "snapshot %lld of revision %llu is passed over: %.200s",
                   (long long)id, (unsigned long long)revision, why);
}

/* A state that may go on learning; or, where any state will do, one that may not. */
static void bring_pool(struct learner **state, struct store *store, struct err *why)
{
    if (pool_read(*state, store, why) == 0)
        return;
    if (store->salvaging && why->code == ERR_DB_CORRUPT) {
        store->pool_unproved = true;
        return;
    }
    learner_free(*state);
    *state = NULL;
}

/* The newest good snapshot on the line, or the origin; *after: the revision whose row need not be read again. */
static int find_start(struct learner **out, uint64_t *after, struct store *store, const struct line *line,
                      const struct arith *arith, struct store_recovery *report, struct err *err)
{
    struct db *db = store->db;
    int status;
    *out = NULL;
    store->pool_unproved = false;
    db_bind_int(db, SQL_SNAPSHOTS_UPTO, 1, (int64_t)line->stretches[0].last);
    while ((status = db_step(db, SQL_SNAPSHOTS_UPTO, err)) == 1) {
        int64_t id = db_int(db, SQL_SNAPSHOTS_UPTO, 0);
        uint64_t revision = (uint64_t)db_int(db, SQL_SNAPSHOTS_UPTO, 1);
        bool chained = db_int(db, SQL_SNAPSHOTS_UPTO, 3) == 1;
        struct err why = {0};
        if (!line_has(line, revision))
            continue;
        if (!chained) {
            pass_over(report, id, revision, "its chain is not that of the log");
            continue;
        }
        if (snapshot_read(out, store, id, arith, &why) == 0 && (*out)->revision != revision) {
            /* The list came by an index, the revision from the row itself. */
            learner_free(*out);
            *out = NULL;
            err_set(&why, ERR_DB_CORRUPT, "its row and the index of snapshots do not agree");
        }
        if (*out != NULL)
            bring_pool(out, store, &why);
        if (*out != NULL) {
            report->snapshot = id;
            report->snapshot_revision = *after = revision;
            break;
        }
        if (why.code != ERR_DB_CORRUPT) {
            db_reset(db, SQL_SNAPSHOTS_UPTO);
            if (err != NULL)
                *err = why;
            return -1;
        }
        pass_over(report, id, revision, why.text);
    }
    db_reset(db, SQL_SNAPSHOTS_UPTO);
    if (status < 0 || *out != NULL)
        return status < 0 ? -1 : 0;
    *after = 0;
    if (line_check(line, err) != 0)
        return -1;
    return replay_origin(out, store, arith, err);
}

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

/* The first rehearse event among the rows first .. last, 0: none; and the lowest sample id that any of them trains on again. */
static int find_rehearsed(uint64_t *revision, int64_t *id, struct store *store, uint64_t first, uint64_t last,
                          struct err *err)
{
    struct db *db = store->db;
    int status;
    *revision = 0;
    *id = INT64_MAX;
    db_bind_int(db, SQL_REHEARSALS, 1, (int64_t)first);
    db_bind_int(db, SQL_REHEARSALS, 2, (int64_t)last);
    while ((status = db_step(db, SQL_REHEARSALS, err)) == 1) {
        struct event event = {.kind = EVENT_REHEARSE, .revision = (uint64_t)db_int(db, SQL_REHEARSALS, 0)};
        struct sample_run run;
        struct err why = {0};
        size_t n_body;
        const char *body = db_text(db, SQL_REHEARSALS, 1, &n_body);
        if (event_parse(&event, &run, db, body, n_body, &why) == 0) {
            *id = event.as.rehearse.first_id < *id ? event.as.rehearse.first_id : *id;
            *revision = *revision == 0 ? event.revision : *revision;
        } else if (why.code != ERR_DB_CORRUPT) { /* a damaged one will be met, and named */
            db_reset(db, SQL_REHEARSALS);
            if (err != NULL)
                *err = why;
            return -1;
        }
    }
    return status;
}

/* A rehearsal after the snapshot reads samples from before it, which no link was checked of yet: so they are checked, from
 * the first that is needed to the snapshot, whose chain is known to be right. */
static int prove_rehearsed(struct store *store, uint64_t after, uint64_t last, struct store_recovery *report,
                           struct err *err)
{
    uint64_t rehearsal, from;
    int64_t id;
    uint8_t chain[CHAIN_BYTES];
    struct log_reader reader;
    if (find_rehearsed(&rehearsal, &id, store, after + 1, last, err) != 0)
        return -1;
    if (rehearsal == 0)
        return 0;
    db_bind_int(store->db, SQL_SAMPLE_FROM, 1, id);
    int status = db_step(store->db, SQL_SAMPLE_FROM, err);
    from = status == 1 ? (uint64_t)db_int(store->db, SQL_SAMPLE_FROM, 0) : last;
    db_reset(store->db, SQL_SAMPLE_FROM);
    if (status < 0)
        return -1;
    if (from < 1 || from > after)
        return 0;
    status = log_chain_at(store, from - 1, chain, err) == 0 ? 1 : -1;
    log_read_open(&reader, store, from - 1, chain);
    while (status == 1 && reader.event.revision < after)
        status = log_read_next(&reader, err);
    log_read_close(&reader);
    if (status != 1)
        report->good = rehearsal - 1; /* the state before the rehearsal needs none of these */
    return status == 1 ? 0 : -1;
}

/* All rows after `after` up to the line's end: checked; those on the line: applied. */
static int follow(struct store *store, struct learner *learner, uint64_t after, const struct line *line,
                  store_progress *progress, void *context, struct store_recovery *report, struct err *err)
{
    uint64_t last = line->stretches[0].last;
    uint8_t chain[CHAIN_BYTES];
    struct log_reader reader = {0};
    int status = log_chain_at(store, after, chain, err);
    if (status != 0)
        return -1;
    report->good = after;
    log_read_open(&reader, store, after, chain);
    while (status == 0 && reader.event.revision < last) {
        status = log_read_next(&reader, err);
        if (status != 1) {
            if (status == 0)
                status = err_set(err, ERR_DB_CORRUPT, "revision %llu is missing from the log",
                                 (unsigned long long)reader.event.revision + 1);
            break;
        }
        const struct event *event = &reader.event;
        bool on_line = line_has(line, event->revision);
        status = on_line ? check_turn(line, event, err) : 0;
        if (status == 0 && on_line && event->kind == EVENT_ACTIVATE) {
            learner->revision = event->revision; /* the line led to the state that it went back to */
        } else if (status == 0 && on_line && event->kind == EVENT_TRAIN && store->pool_unproved) {
            status =
                err_set(err, ERR_DB_CORRUPT, "revision %llu: the images that the state before it remembers are damaged",
                        (unsigned long long)event->revision);
        } else if (status == 0 && on_line && event->kind != EVENT_CREATE) {
            status = replay_event(store, learner, &reader, err);
            report->events++;
            report->samples += event->kind == EVENT_TRAIN ? event->as.train.n : 0;
        }
        if (status == 0)
            report->good = event->revision;
        if (status == 0 && progress != NULL && progress(context, event->revision - after, last - after) != 0)
            status = err_set(err, ERR_STOPPING, "stopped at revision %llu", (unsigned long long)event->revision);
    }
    log_read_close(&reader);
    store_rehearse_end(store);
    return status;
}

int replay_state_at(struct learner **out, struct store *store, uint64_t revision, const struct arith *arith,
                    store_progress *progress, void *context, struct store_recovery *report, struct err *err)
{
    struct line line;
    uint64_t after = 0;
    *out = NULL;
    *report = (struct store_recovery){0};
    int status = line_find(&line, store, revision, err);
    if (status == 0)
        status = find_start(out, &after, store, &line, arith, report, err);
    if (status == 0)
        status = prove_rehearsed(store, after, revision, report, err);
    if (status == 0)
        status = follow(store, *out, after, &line, progress, context, report, err);
    if (status != 0) {
        learner_free(*out);
        *out = NULL;
    }
    line_fini(&line);
    return status;
}

int replay_check_end(struct store *store, struct err *err)
{
    const struct {
        enum statement which;
        int column;
        const char *what;
    } witnesses[] = {{SQL_SNAPSHOT_HIGHEST, 0, "a snapshot"}, {SQL_SAMPLE_LAST, 1, "a sample"}};
    for (size_t i = 0; i < sizeof witnesses / sizeof *witnesses; i++) {
        int status = db_step(store->db, witnesses[i].which, err);
        if (status < 0)
            return -1;
        int64_t revision = status == 1 ? db_int(store->db, witnesses[i].which, witnesses[i].column) : 0;
        db_reset(store->db, witnesses[i].which);
        if (revision > (int64_t)store->end.revision)
            return err_set(err, ERR_DB_CORRUPT, "revision %llu is missing from the log: there is %s of revision %lld",
                           (unsigned long long)store->end.revision + 1, witnesses[i].what, (long long)revision);
    }
    return 0;
}

int store_recover(struct store *store, const struct arith *arith, store_progress *progress, void *context,
                  struct learner **out, struct store_recovery *report, struct err *err)
{
    struct store_recovery ignored;
    report = report != NULL ? report : &ignored;
    *out = NULL;
    if (replay_check_end(store, err) != 0)
        return -1;
    return replay_state_at(out, store, store->end.revision, arith, progress, context, report, err);
}

int store_state_at(struct store *store, uint64_t revision, const struct arith *arith, struct learner **out,
                   struct err *err)
{
    struct store_recovery ignored;
    *out = NULL;
    if (revision < 1 || revision > store->end.revision)
        return err_set(err, ERR_NOT_FOUND, "there is no revision %llu; the last is %llu", (unsigned long long)revision,
                       (unsigned long long)store->end.revision);
    return replay_state_at(out, store, revision, arith, NULL, NULL, &ignored, err);
}
