/* reader.c - the log back from the disk, row by row, each link of the chain checked before the row is believed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

int log_chain_at(struct store *store, uint64_t revision, uint8_t chain[CHAIN_BYTES], struct err *err)
{
    memset(chain, 0, CHAIN_BYTES);
    if (revision == 0)
        return 0;
    db_bind_int(store->db, SQL_EVENT_CHAIN, 1, (int64_t)revision);
    int status = db_step(store->db, SQL_EVENT_CHAIN, err);
    if (status < 0)
        return -1;
    size_t n_bytes = 0;
    const void *bytes = status == 1 ? db_blob(store->db, SQL_EVENT_CHAIN, 0, &n_bytes) : NULL;
    if (n_bytes == CHAIN_BYTES)
        memcpy(chain, bytes, CHAIN_BYTES);
    db_reset(store->db, SQL_EVENT_CHAIN);
    if (n_bytes != CHAIN_BYTES)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu is missing from the log", (unsigned long long)revision);
    return 0;
}

void log_read_init(struct log_reader *reader, struct store *store, uint64_t after, const uint8_t chain[CHAIN_BYTES])
{
    *reader = (struct log_reader){.store = store, .event = {.revision = after}};
    memcpy(reader->chain, chain, CHAIN_BYTES);
}

void log_read_open(struct log_reader *reader, struct store *store, uint64_t after, const uint8_t chain[CHAIN_BYTES])
{
    log_read_init(reader, store, after, chain);
    log_read_resume(reader);
}

static void leave_samples(struct log_reader *reader)
{
    db_reset(reader->store->db, SQL_SAMPLES_FROM);
    reader->next_sample = 0;
}

void log_read_pause(struct log_reader *reader)
{
    db_reset(reader->store->db, SQL_EVENTS_AFTER);
    leave_samples(reader);
}

void log_read_resume(struct log_reader *reader)
{
    db_bind_int(reader->store->db, SQL_EVENTS_AFTER, 1, (int64_t)reader->event.revision);
}

void log_read_close(struct log_reader *reader)
{
    if (reader->store != NULL)
        log_read_pause(reader);
    free(reader->rows);
    free(reader->samples);
    free(reader->pixels);
    *reader = (struct log_reader){0};
}

/* Room for one more. The count in a damaged body may be anything, so memory follows the rows that are there. */
static int make_room(struct log_reader *reader, size_t n, struct err *err)
{
    if (n < reader->room)
        return 0;
    size_t room = reader->room == 0 ? 16 : reader->room * 2;
    size_t n_input = reader->store->origin.event.as.create.shape.n_input;
    if (room > SIZE_MAX / 2 / (n_input + sizeof *reader->samples))
        return err_memory(err, "%zu samples", room);
    struct sample *samples = realloc(reader->samples, room * sizeof *samples);
    if (samples != NULL)
        reader->samples = samples;
    struct outcome_row *rows = realloc(reader->rows, room * sizeof *rows);
    if (rows != NULL)
        reader->rows = rows;
    uint8_t *pixels = realloc(reader->pixels, room * n_input);
    if (pixels != NULL)
        reader->pixels = pixels;
    if (samples == NULL || rows == NULL || pixels == NULL)
        return err_memory(err, "%zu samples", room);
    reader->room = room;
    return 0;
}

/* The outcome beside the sample. */
static int take_outcome(struct log_reader *reader, uint32_t i, int64_t id, struct err *err)
{
    const struct db *db = reader->store->db;
    struct outcome_row *row = &reader->rows[i];
    row->known = !db_is_null(db, SQL_SAMPLES_FROM, 4);
    reader->n_outcomes += row->known;
    if (!row->known) {
        if (reader->lacking == 0 && row->label != EDIT_FORGET) { /* what came forgotten was never learned here */
            reader->lacking = id;
            reader->lacking_at = reader->event.revision;
        }
        return 0;
    }
    const int64_t predicted = db_int(db, SQL_SAMPLES_FROM, 4);
    const double loss = db_is_null(db, SQL_SAMPLES_FROM, 5) ? (double)NAN : db_real(db, SQL_SAMPLES_FROM, 5);
    if (reader->lacking != 0 && (reader->whole || reader->store->recovering))
        return err_set(err, ERR_DB_CORRUPT, "the outcome of sample %lld is missing", (long long)reader->lacking);
    if (predicted < 0 || predicted >= SHAPE_CLASSES_MAX || (!isnan(loss) && (double)(float)loss != loss))
        return err_set(err, ERR_DB_CORRUPT, "the outcome of sample %lld was changed", (long long)id);
    row->predicted = (uint32_t)predicted;
    row->loss = (float)loss;
    return 0;
}

/* One row of SAMPLES_FROM into place i. Errors: ERR_DB_CORRUPT, not yet naming the revision. */
static int take_sample(struct log_reader *reader, uint32_t i, struct err *err)
{
    struct db *db = reader->store->db;
    const size_t n_input = reader->store->origin.event.as.create.shape.n_input;
    const int64_t id = db_int(db, SQL_SAMPLES_FROM, 0), label = db_int(db, SQL_SAMPLES_FROM, 2);
    const bool forgotten = label == -1;
    size_t n_image;
    const void *image = db_blob(db, SQL_SAMPLES_FROM, 3, &n_image);
    if ((uint64_t)db_int(db, SQL_SAMPLES_FROM, 1) != reader->event.revision || label < -1 ||
        label >= SHAPE_CLASSES_MAX || (!forgotten && n_image != n_input))
        return err_set(err, ERR_DB_CORRUPT, "sample %lld was changed", (long long)id);
    reader->samples[i] = (struct sample){.id = id, .label = forgotten ? 0 : (uint32_t)label};
    reader->rows[i] = (struct outcome_row){.label = forgotten ? EDIT_FORGET : (uint32_t)label, .loss = NAN};
    reader->rows[i].now = reader->rows[i].label;
    if (!forgotten)
        memcpy(reader->pixels + i * n_input, image, n_input);
    return take_outcome(reader, i, id, err);
}

/* The rows of a run. Runs follow each other, and so does the statement: to find the first row anew would be as much work as to read it. */
static int read_run(struct log_reader *reader, const struct sample_run *run, struct err *err)
{
    struct db *db = reader->store->db;
    if (run->n > 0 && reader->next_sample != run->first) {
        leave_samples(reader);
        db_bind_int(db, SQL_SAMPLES_FROM, 1, run->first);
    }
    for (uint32_t i = 0; i < run->n; i++) {
        const int status = db_step(db, SQL_SAMPLES_FROM, err);
        if (status < 0)
            return -1;
        if (status == 0 || db_int(db, SQL_SAMPLES_FROM, 0) != run->first + i)
            return err_set(err, ERR_DB_CORRUPT, "sample %lld is missing", (long long)(run->first + i));
        if (make_room(reader, i, err) != 0 || take_sample(reader, i, err) != 0)
            return -1;
        reader->next_sample = run->first + i + 1;
    }
    return 0;
}

static int read_samples(struct log_reader *reader, const struct sample_run *run, struct err *err)
{
    if (read_run(reader, run, err) != 0) {
        leave_samples(reader);
        return -1;
    }
    size_t n_input = reader->store->origin.event.as.create.shape.n_input;
    for (uint32_t i = 0; i < run->n; i++)
        reader->samples[i].pixels = reader->pixels + i * n_input;
    reader->event.as.train.samples = reader->samples;
    reader->n_row = run->n;
    reader->n_samples += run->n;
    return 0;
}

/* ---- edits ---- */

/* The labels of now, by the rows of table edit: a later edit comes after an earlier one, and nothing after a forget. */
static int relabel(struct log_reader *reader, const struct sample_run *run, struct err *err)
{
    struct db *db = reader->store->db;
    int status;
    db_bind_ints(db, SQL_EDITS_BETWEEN, run->first, run->first + run->n - 1);
    while ((status = db_step(db, SQL_EDITS_BETWEEN, err)) == 1) {
        struct outcome_row *row = &reader->rows[db_int(db, SQL_EDITS_BETWEEN, 0) - run->first];
        const int64_t label = db_int(db, SQL_EDITS_BETWEEN, 1);
        if (label < -1 || label >= SHAPE_CLASSES_MAX) {
            db_reset(db, SQL_EDITS_BETWEEN);
            return err_set(err, ERR_DB_CORRUPT, "a row of table edit was changed");
        }
        row->now = (uint32_t)label; /* -1 becomes EDIT_FORGET */
    }
    return status;
}

/* A row that was forgotten is empty, or will be soon: store_edits_sweep(). One that is empty was forgotten. *any: some were. */
static int check_forgotten(bool *any, struct log_reader *reader, uint32_t n, struct err *err)
{
    struct db *db = reader->store->db;
    *any = false;
    for (uint32_t i = 0; i < n; i++) {
        const bool emptied = reader->rows[i].label == EDIT_FORGET, forgotten = reader->rows[i].now == EDIT_FORGET;
        int status = emptied == forgotten;
        if (forgotten && !emptied) {
            db_bind_int(db, SQL_SWEEP_SEES, 1, reader->samples[i].id);
            status = db_step(db, SQL_SWEEP_SEES, err);
            db_reset(db, SQL_SWEEP_SEES);
        }
        if (status < 0)
            return -1;
        if (status == 0)
            return err_set(err, ERR_DB_CORRUPT,
                           emptied ? "sample %lld is missing, and no edit removed it"
                                   : "sample %lld was forgotten, but is still there",
                           (long long)reader->samples[i].id);
        *any = *any || forgotten;
    }
    return 0;
}

/* Then those that are not in the log yet. */
static void relabel_pending(struct log_reader *reader, const struct sample_run *run)
{
    for (uint32_t i = 0; i < run->n; i++) {
        struct outcome_row *row = &reader->rows[i];
        if (row->now == EDIT_FORGET)
            continue;
        row->now = edits_apply(reader->overlay, run->first + i, row->now);
        reader->forgets = reader->forgets || row->now == EDIT_FORGET;
    }
}

/* The chain's hash over the row, where samples that are forgotten have nothing but their id. */
static void hash_row(uint8_t out[CHAIN_BYTES], const struct log_reader *reader, const struct sample_run *run,
                     const char *kind, const char *body, size_t n_body)
{
    const size_t n_input = reader->store->origin.event.as.create.shape.n_input;
    struct chain chain;
    chain_init(&chain, reader->chain, reader->event.revision, reader->event.created_us, kind, body, n_body, run->n);
    for (uint32_t i = 0; i < run->n; i++) {
        const struct outcome_row *row = &reader->rows[i];
        if (row->now == EDIT_FORGET)
            chain_add_sample(&chain, reader->samples[i].id, EDIT_FORGET, NULL, 0);
        else
            chain_add_sample(&chain, reader->samples[i].id, row->label, reader->samples[i].pixels, n_input);
    }
    chain_end(&chain, out);
}

/* The hash that table edited has of what is left of this event. */
static int left_of(uint8_t out[CHAIN_BYTES], const struct log_reader *reader, struct err *err)
{
    struct db *db = reader->store->db;
    size_t n_hash = 0;
    db_bind_int(db, SQL_EDITED_HASH, 1, (int64_t)reader->event.revision);
    int status = db_step(db, SQL_EDITED_HASH, err);
    const void *hash = status == 1 ? db_blob(db, SQL_EDITED_HASH, 0, &n_hash) : NULL;
    if (n_hash == CHAIN_BYTES)
        memcpy(out, hash, CHAIN_BYTES);
    db_reset(db, SQL_EDITED_HASH);
    if (status >= 0 && n_hash != CHAIN_BYTES)
        status = err_set(err, ERR_DB_CORRUPT, "samples of this event are missing, and no edit removed them");
    return status < 0 ? -1 : 0;
}

/* Leaves in event.as.train, and beside it in rows, what the fold sees: columns of the model. */
static void settle(struct log_reader *reader)
{
    const struct store *store = reader->store;
    uint32_t n = 0;
    for (uint32_t i = 0; i < reader->event.as.train.n; i++) {
        if (reader->rows[i].now == EDIT_FORGET)
            continue;
        reader->samples[n] = reader->samples[i];
        reader->samples[n].label = class_column(store, reader->rows[i].now);
        reader->rows[n] = reader->rows[i];
        reader->rows[n].predicted = class_column(store, reader->rows[i].predicted);
        n++;
    }
    reader->event.as.train.n = n;
}

/* The row that EVENTS_AFTER stands on, whose revision is already in reader->event. */
static int read_row(struct log_reader *reader, struct err *err)
{
    struct db *db = reader->store->db;
    struct event *event = &reader->event;
    struct sample_run run = {0};
    size_t n_body, n_chain;
    const char *kind = db_text(db, SQL_EVENTS_AFTER, 1, NULL), *body = db_text(db, SQL_EVENTS_AFTER, 3, &n_body);
    const void *stored = db_blob(db, SQL_EVENTS_AFTER, 4, &n_chain);
    event->kind = event_kind_parse(kind);
    event->created_us = db_int(db, SQL_EVENTS_AFTER, 2);
    if (event->kind == 0 || (event->kind == EVENT_CREATE) != (event->revision == 1))
        return err_set(err, ERR_DB_CORRUPT, "unknown kind of event \"%.20s\"", kind);
    if (event->kind != EVENT_CREATE && event_decode(event, &run, body, n_body, err) != 0)
        return -1;
    if (event->kind == EVENT_TRAIN && read_samples(reader, &run, err) != 0)
        return -1;

    uint8_t link[CHAIN_BYTES], left[CHAIN_BYTES];
    bool gone = false;
    if (run.n > 0 && ((reader->store->n_spans > 0 && relabel(reader, &run, err) != 0) ||
                      check_forgotten(&gone, reader, run.n, err) != 0))
        return -1;
    hash_row(link, reader, &run, kind, body, n_body);
    if (gone && left_of(left, reader, err) != 0)
        return -1;
    if (n_chain != CHAIN_BYTES || memcmp(link, gone ? left : stored, CHAIN_BYTES) != 0)
        return err_set(err, ERR_DB_CORRUPT,
                       "the chain does not match: this event, its samples or an earlier event were changed");
    if (event->kind == EVENT_EDIT && !reader->prove_later && edit_prove(reader->store, event, err) != 0)
        return -1;
    reader->forgets = false;
    if (run.n > 0 && reader->overlay != NULL)
        relabel_pending(reader, &run);
    if (reader->forgets)
        hash_row(reader->left, reader, &run, kind, body, n_body);
    memcpy(reader->chain, stored, CHAIN_BYTES);
    reader->recorded = baseline_is_ours(reader->store) && event->revision > reader->store->baseline.revision &&
                       !edits_touch(reader->store, event->revision) &&
                       (reader->overlay == NULL || event->revision < edits_first(reader->overlay));
    if (event->kind == EVENT_TRAIN)
        settle(reader);
    reader->skip = event->kind == EVENT_CLASS && class_is_removed(reader->store, event->as.class_.index);
    if (event->kind == EVENT_CLASS)
        event->as.class_.index = class_column(reader->store, event->as.class_.index);
    return 0;
}

int log_read_next(struct log_reader *reader, struct err *err)
{
    uint64_t expected = reader->event.revision + 1;
    int status = db_step(reader->store->db, SQL_EVENTS_AFTER, err);
    if (status == 1 && (uint64_t)db_int(reader->store->db, SQL_EVENTS_AFTER, 0) != expected)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu is missing from the log", (unsigned long long)expected);
    if (status == 1) {
        reader->event = (struct event){.revision = expected};
        reader->n_row = 0;
        if (read_row(reader, err) != 0)
            status = -1;
    }
    if (status < 0)
        return err_wrap(err, "revision %llu", (unsigned long long)expected);
    return status;
}
