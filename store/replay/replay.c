/* replay.c - from the file back to the state: where it begins, and what an event does. store/replay/replayer.c goes from the one to the other.
 *
 *     state(R) = the newest good snapshot on lineage(R), then apply the events of lineage(R) after it
 *
 * "Good" is: its digest is that of what it decodes to, and its chain is the log's at its revision. From there on every row
 * of the log is read in order, also those that were left behind, and its link is checked before the row is believed; the
 * outcomes that training recorded must come out again, bit for bit. So what recovery returns is either the state that
 * was acknowledged, or an error that names the first row which is not what it was.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

static bool same_loss(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static int compare_outcomes(const struct log_reader *reader, struct err *err)
{
    const struct event *event = &reader->event;
    for (uint32_t i = 0; i < event->as.train.n; i++) {
        const struct sample *sample = &event->as.train.samples[i];
        const struct outcome_row *row = &reader->rows[i];
        if (!row->known)
            return err_set(err, ERR_DB_CORRUPT, "the outcome of sample %lld is missing", (long long)sample->id);
        if (sample->predicted != row->predicted || !same_loss(sample->loss, row->loss))
            return err_set(err, ERR_DB_CORRUPT,
                           "sample %lld: predicted %u with loss %.9g when it was trained, but the replay says %u, %.9g",
                           (long long)sample->id, row->predicted, (double)row->loss, sample->predicted,
                           (double)sample->loss);
    }
    return 0;
}

/* After the last step of a train event. Those of one event are written together. */
static int mind_outcomes(const struct log_reader *reader, struct err *err)
{
    const struct event *event = &reader->event;
    if (event->as.train.n > 0 && !reader->rows[0].known)
        return reader->store->recovering ? outcomes_lack(reader->store, event, err) : 0;
    return reader->recorded ? compare_outcomes(reader, err) : 0;
}

/* Steps that the event is made of; 1 for what is not made of samples. */
uint64_t replay_steps(const struct event *event)
{
    if (event->kind == EVENT_TRAIN && event->as.train.n > 0)
        return event->as.train.n;
    if (event->kind == EVENT_REHEARSE)
        return event->as.rehearse.end - event->as.rehearse.begin;
    if (event->kind == EVENT_IDLE)
        return event->as.idle.steps;
    return 1;
}

/* A sample that was relabelled to a class which did not exist yet at its place: that class comes now, and those before it, with
 * the labels that they were added with later. */
static int bring_classes(struct store *store, struct learner *learner, uint64_t revision, uint32_t upto,
                         struct err *err)
{
    const uint32_t n_before = learner->n_classes;
    if (!edits_any(store) || upto < n_before)
        return 0;
    const uint32_t n = upto + 1 - n_before;
    char(*labels)[LABEL_BYTES_MAX + 1] = calloc(n, sizeof *labels);
    if (labels == NULL)
        return err_memory(err, "%u classes", n);
    int status = learner_reserve(learner, upto + 1, err);
    struct event event;
    struct err why;
    rare_events(store, EVENT_CLASS, revision + 1, UINT64_MAX);
    while (status == 0 && (status = rare_event_next(store, &event, &why, err)) == 1) {
        const uint32_t id = event.as.class_.index;
        const uint32_t column = id < SHAPE_CLASSES_MAX ? class_column(store, id) : CLASS_NONE;
        status = 0;
        if (why.code == ERR_NONE && event.as.class_.action == CLASS_ADD && column >= n_before && column <= upto &&
            labels[column - n_before][0] == '\0')
            memcpy(labels[column - n_before], event.as.class_.label, sizeof labels[0]);
    }
    rare_events_end(store);
    for (uint32_t i = 0; status == 0 && i < n; i++) {
        struct event add = {.kind = EVENT_CLASS, .revision = revision};
        add.as.class_.action = CLASS_ADD;
        add.as.class_.index = n_before + i;
        memcpy(add.as.class_.label, labels[i], sizeof labels[i]);
        learner->revision = revision - 1;
        status = learner_apply(learner, &add, err);
        learner->revision = revision - 1;
    }
    free(labels);
    return status;
}

static uint32_t highest_label(const struct event *train)
{
    uint32_t highest = 0;
    for (uint32_t i = 0; i < train->as.train.n; i++)
        highest = train->as.train.samples[i].label > highest ? train->as.train.samples[i].label : highest;
    return highest;
}

static int apply_class(struct store *store, struct learner *learner, struct event *event, struct err *err)
{
    const uint32_t index = event->as.class_.index;
    const bool add = event->as.class_.action == CLASS_ADD;
    if (add && index < learner->n_classes && edits_any(store) &&
        strcmp(learner->labels[index], event->as.class_.label) == 0) {
        learner->revision = event->revision; /* an edit has brought it along before */
        return 0;
    }
    if (add && (learner_reserve(learner, index + 1, err) != 0 ||
                (index > 0 && bring_classes(store, learner, event->revision, index - 1, err) != 0)))
        return -1;
    return learner_apply(learner, event, err);
}

/* Where a train, rehearse or idle event is cut has no influence on what is learned: the state is what goes from sample to sample. */
static int apply(struct store *store, struct learner *learner, struct log_reader *reader, uint64_t from, uint64_t n,
                 struct err *err)
{
    struct event part = reader->event;
    if (part.kind == EVENT_REHEARSE) {
        part.as.rehearse.begin += from;
        part.as.rehearse.end = part.as.rehearse.begin + n;
        return store_rehearse(store, learner, &part, err);
    }
    if (reader->skip) {
        learner->revision = part.revision; /* of a class that was removed */
        return 0;
    }
    if (part.kind == EVENT_CLASS)
        return apply_class(store, learner, &part, err);
    if (part.kind == EVENT_EDIT || part.kind == EVENT_BASELINE) {
        learner->revision = part.revision; /* all before it was applied as it says */
        return 0;
    }
    if (part.kind == EVENT_TRAIN && part.as.train.n > 0 &&
        bring_classes(store, learner, part.revision, highest_label(&part), err) != 0)
        return -1;
    if (part.kind == EVENT_TRAIN && part.as.train.n > 0) {
        part.as.train.samples += from;
        part.as.train.n = (uint32_t)n;
    }
    if (part.kind == EVENT_IDLE)
        part.as.idle.steps = (uint32_t)n;
    if (from > 0)
        learner->revision = part.revision - 1;
    return learner_apply(learner, &part, err);
}

int replay_part(struct store *store, struct learner *learner, struct log_reader *reader, uint64_t from, uint64_t n,
                struct err *err)
{
    const struct event *event = &reader->event;
    assert(event->kind != EVENT_CREATE && event->kind != EVENT_ACTIVATE && from + n <= replay_steps(event));
    int status = apply(store, learner, reader, from, n, err);
    if (status == 0 && event->kind == EVENT_TRAIN && from + n == replay_steps(event))
        status = mind_outcomes(reader, err);
    if (status == 0)
        return 0;
    /* The log holds only what the learner took, so a refusal is damage. */
    if (err != NULL && err->code != ERR_MEMORY && err->code != ERR_STORAGE) {
        err->code = ERR_DB_CORRUPT;
        err->pointer[0] = '\0';
    }
    return err_wrap(err, "revision %llu", (unsigned long long)event->revision);
}

int replay_event(struct store *store, struct learner *learner, struct log_reader *reader, struct err *err)
{
    return replay_part(store, learner, reader, 0, replay_steps(&reader->event), err);
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
        if (given_origin(out, store, arith, err) != 0 || columns_strip(out, store, err) != 0)
            return err_wrap(err, "revision 1");
    } else if ((*out = columns_create(store, arith, err)) == NULL) {
        if (err != NULL && err->code != ERR_MEMORY)
            err->code = ERR_DB_CORRUPT;
        return err_wrap(err, "revision 1");
    }
    uint8_t digest[DIGEST_BYTES];
    learner_digest(*out, digest);
    /* Without classes that the event names it is another state, which nobody has written down. */
    if ((*out)->n_classes < store->origin.event.as.create.n_classes ||
        memcmp(digest, store->origin.digest, DIGEST_BYTES) == 0)
        return 0;
    learner_free(*out);
    *out = NULL;
    return err_set(err, ERR_DB_CORRUPT, "revision 1: the digest of the first weights is not the log's");
}

/* Tells why a snapshot is not used. */
static void pass_over(struct store_recovery *report, int64_t id, uint64_t revision, const char *why)
{
    report->skipped++;
    (void)snprintf(report->warning, sizeof report->warning, "snapshot %lld of revision %llu is skipped: %.200s",
                   (long long)id, (unsigned long long)revision, why);
}

/* A state that may go on learning; or, where any state will do, one that may not. */
static void bring_replay_buffer(struct learner **state, struct store *store, bool *buffer_unproved, struct err *why)
{
    if (replay_buffer_read(*state, store, why) == 0)
        return;
    if (store->salvaging && why->code == ERR_DB_CORRUPT) {
        *buffer_unproved = true;
        return;
    }
    learner_free(*state);
    *state = NULL;
}

int replay_start(struct learner **out, uint64_t *after, bool *buffer_unproved, struct store *store,
                 const struct lineage *lineage, uint64_t upto, const struct arith *arith, struct store_recovery *report,
                 struct err *err)
{
    struct db *db = store->db;
    int status;
    *out = NULL;
    *buffer_unproved = false;
    db_bind_int(db, SQL_SNAPSHOTS_UPTO, 1, (int64_t)upto);
    while ((status = db_step(db, SQL_SNAPSHOTS_UPTO, err)) == 1) {
        int64_t id = db_int(db, SQL_SNAPSHOTS_UPTO, 0);
        uint64_t revision = (uint64_t)db_int(db, SQL_SNAPSHOTS_UPTO, 1);
        bool chained = db_int(db, SQL_SNAPSHOTS_UPTO, 3) == 1;
        struct err why = {0};
        if (revision < store->baseline.revision)
            break;
        if (!lineage_has(lineage, revision))
            continue;
        if (strcmp(db_text(db, SQL_SNAPSHOTS_UPTO, 2, NULL), store->baseline.arithmetic) != 0) {
            pass_over(report, id, revision, "its arithmetic is not that of the log");
            continue;
        }
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
            bring_replay_buffer(out, store, buffer_unproved, &why);
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
    if (store->baseline.revision > 1 || !baseline_is_ours(store))
        return err_set(
            err, ERR_DB_CORRUPT,
            "no snapshot of arithmetic %s is intact, and the log before revision %llu cannot be replayed without one",
            store->baseline.arithmetic, (unsigned long long)store->baseline.revision);
    if (lineage_check(lineage, err) != 0)
        return -1;
    return replay_origin(out, store, arith, err);
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
