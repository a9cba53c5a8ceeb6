/* rows.c - events as rows that another engine can hold, byte for byte: out of the file, and into it. See store/log/row.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* ---- out of the file ---- */

void rows_free(struct rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        free(rows->blocks[i]);
    free(rows->blocks);
    free(rows->list);
    *rows = (struct rows){0};
}

static int make_room(struct rows *rows, struct err *err)
{
    if (rows->n < rows->room)
        return 0;
    const size_t room = rows->room == 0 ? 64 : 2 * rows->room;
    struct log_row *list = realloc(rows->list, room * sizeof *list);
    if (list != NULL)
        rows->list = list;
    void **blocks = realloc(rows->blocks, room * sizeof *blocks);
    if (blocks != NULL)
        rows->blocks = blocks;
    if (list == NULL || blocks == NULL)
        return err_memory(err, "%zu rows of the log", room);
    rows->room = room;
    return 0;
}

static char *put_text(char **to, const char *text, size_t n)
{
    char *at = *to;
    memcpy(at, text, n);
    at[n] = '\0';
    *to += n + 1;
    return at;
}

/* The samples of the row's event, which has n: labels first, so that they are aligned. Of a forgotten one there is neither label nor image. */
static int read_samples(struct log_row *row, struct store *store, uint8_t *block, struct err *err)
{
    struct db *db = store->db;
    uint32_t *labels = (uint32_t *)(void *)block;
    uint8_t *images = block + (size_t)row->n_samples * sizeof *labels;
    uint32_t n = 0;
    int status;
    db_bind_int(db, SQL_ROW_SAMPLES, 1, (int64_t)row->revision);
    while ((status = db_step(db, SQL_ROW_SAMPLES, err)) == 1) {
        size_t n_image;
        const void *image = db_blob(db, SQL_ROW_SAMPLES, 2, &n_image);
        const int64_t label = db_int(db, SQL_ROW_SAMPLES, 1);
        if (n >= row->n_samples || db_int(db, SQL_ROW_SAMPLES, 0) != row->first + n || label < -1 ||
            label >= SHAPE_CLASSES_MAX || (label >= 0 && n_image != row->n_image))
            break;
        labels[n] = (uint32_t)label; /* -1 becomes EDIT_FORGET */
        if (label >= 0)
            memcpy(images + (size_t)n * row->n_image, image, n_image);
        else
            memset(images + (size_t)n * row->n_image, 0, row->n_image);
        n++;
    }
    db_reset(db, SQL_ROW_SAMPLES);
    if (status < 0)
        return -1;
    if (n != row->n_samples)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu: its samples are not what it says",
                       (unsigned long long)row->revision);
    row->labels = labels;
    row->images = images;
    return 0;
}

/* Into a block that begins with what is counted in eights. */
static int take_edit(struct log_row *row, uint8_t **block, struct store *store, const struct event *event,
                     size_t n_texts, struct err *err)
{
    struct edit_pack pack;
    int status = edit_pack(&pack, store, event, err);
    const size_t n_ids = pack.n_erase * sizeof *pack.events;
    if (status == 0 && (*block = malloc(2 * n_ids + pack.n + n_texts)) == NULL)
        status = err_memory(err, "a row of the log");
    if (status == 0) {
        int64_t *events = (int64_t *)(void *)*block, *samples = events + pack.n_erase;
        uint8_t *bytes = *block + 2 * n_ids;
        for (size_t i = 0; i < pack.n_erase; i++) {
            events[i] = pack.events[i];
            samples[i] = pack.samples[i];
        }
        if (pack.n > 0)
            memcpy(bytes, pack.bytes, pack.n);
        row->erase_events = events;
        row->erase_samples = samples;
        row->n_erase = pack.n_erase;
        row->edit = bytes;
        row->n_edit = pack.n;
    }
    edit_pack_fini(&pack);
    return status;
}

/* The row that ROW_EVENTS stands on. */
static int take_row(struct rows *rows, struct store *store, struct err *err)
{
    struct db *db = store->db;
    struct event event;
    struct sample_run run = {0};
    size_t n_kind, n_body, n_chain, n_key, n_fingerprint;
    const char *kind = db_text(db, SQL_ROW_EVENTS, 1, &n_kind), *body = db_text(db, SQL_ROW_EVENTS, 3, &n_body);
    const void *chain = db_blob(db, SQL_ROW_EVENTS, 4, &n_chain);
    const char *key = db_text(db, SQL_ROW_EVENTS, 5, &n_key);
    const void *fingerprint = db_blob(db, SQL_ROW_EVENTS, 6, &n_fingerprint);
    struct log_row *row = &rows->list[rows->n];
    *row = (struct log_row){.revision = (uint64_t)db_int(db, SQL_ROW_EVENTS, 0),
                            .created_us = db_int(db, SQL_ROW_EVENTS, 2),
                            .n_image = store->origin.event.as.create.shape.n_input};
    event.kind = event_kind_parse(kind);
    if (n_chain != CHAIN_BYTES || event.kind == 0)
        return err_set(err, ERR_DB_CORRUPT, "revision %llu was changed", (unsigned long long)row->revision);
    memcpy(row->chain, chain, CHAIN_BYTES);
    event.revision = row->revision;
    if ((event.kind == EVENT_TRAIN || event.kind == EVENT_EDIT) && event_decode(&event, &run, body, n_body, err) != 0)
        return -1;
    row->first = run.n > 0 ? run.first : 0;
    row->n_samples = run.n;
    const size_t n_texts = n_kind + n_body + n_key + 3;
    size_t n_samples = run.n * (sizeof(uint32_t) + (size_t)row->n_image);
    uint8_t *block = NULL;
    if (event.kind == EVENT_EDIT) {
        if (take_edit(row, &block, store, &event, n_texts, err) != 0)
            return -1;
        n_samples = 2 * row->n_erase * sizeof *row->erase_events + row->n_edit;
    } else if ((block = malloc(n_samples + n_texts)) == NULL) {
        return err_memory(err, "a row of the log");
    }
    rows->blocks[rows->n++] = block;
    rows->n_bytes += n_samples + n_body;
    char *text = (char *)block + n_samples;
    row->kind = put_text(&text, kind, n_kind);
    row->body = put_text(&text, body, n_body);
    if (!db_is_null(db, SQL_ROW_EVENTS, 5))
        row->key = put_text(&text, key, n_key);
    if (n_fingerprint == sizeof row->fingerprint)
        memcpy(row->fingerprint, fingerprint, n_fingerprint);
    return read_samples(row, store, block, err);
}

int rows_read(struct rows *rows, struct store *store, uint64_t after, size_t max_bytes, struct err *err)
{
    struct db *db = store->db;
    int status;
    *rows = (struct rows){0};
    db_bind_int(db, SQL_ROW_EVENTS, 1, (int64_t)after);
    while ((status = db_step(db, SQL_ROW_EVENTS, err)) == 1 && (rows->n == 0 || rows->n_bytes < max_bytes))
        if (make_room(rows, err) != 0 || take_row(rows, store, err) != 0) {
            status = -1;
            break;
        }
    db_reset(db, SQL_ROW_EVENTS);
    if (status < 0)
        rows_free(rows);
    return status < 0 ? -1 : 0;
}

/* ---- into the file ---- */

static int diverged(const struct log_row *row, const char *what, struct err *err)
{
    return err_set(err, ERR_DIVERGED, "revision %llu of the shared log does not follow what this file holds: %s",
                   (unsigned long long)row->revision, what);
}

/* The link that the row must have: its own; where samples of it are forgotten, what the edits have left of it (table edited). 1: it is; 0; -1. */
static int check_link(struct store *store, const struct log_row *row, uint32_t n, struct err *err)
{
    const uint32_t n_input = store->origin.event.as.create.shape.n_input;
    struct chain chain;
    uint8_t link[CHAIN_BYTES];
    bool forgotten = false;
    chain_init(&chain, store->end.chain, row->revision, row->created_us, row->kind, row->body, strlen(row->body), n);
    for (uint32_t i = 0; i < n; i++) {
        const bool gone = row->labels[i] == EDIT_FORGET;
        chain_add_sample(&chain, row->first + i, row->labels[i], gone ? NULL : row->images + (size_t)i * n_input,
                         gone ? 0 : n_input);
        forgotten = forgotten || gone;
    }
    chain_end(&chain, link);
    if (!forgotten)
        return memcmp(link, row->chain, CHAIN_BYTES) == 0;
    size_t n_hash = 0;
    db_bind_int(store->db, SQL_EDITED_HASH, 1, (int64_t)row->revision);
    const int found = db_step(store->db, SQL_EDITED_HASH, err);
    const void *hash = found == 1 ? db_blob(store->db, SQL_EDITED_HASH, 0, &n_hash) : NULL;
    const bool same = n_hash == CHAIN_BYTES && memcmp(hash, link, CHAIN_BYTES) == 0;
    db_reset(store->db, SQL_EDITED_HASH);
    return found < 0 ? -1 : same;
}

static int check_row(struct store *store, const struct log_row *row, struct event *event, struct err *err)
{
    struct sample_run run = {0};
    struct err why = {0};
    const uint32_t n_input = store->origin.event.as.create.shape.n_input;
    *event =
        (struct event){.kind = event_kind_parse(row->kind), .revision = row->revision, .created_us = row->created_us};
    if (row->revision != store->end.revision + 1)
        return diverged(row, "its number", err);
    if (event->kind <= EVENT_CREATE || event->kind == EVENT_BASELINE)
        return diverged(row, "its kind", err);
    if (event_decode(event, &run, row->body, strlen(row->body), &why) != 0)
        return diverged(row, why.text, err);
    if (run.n != row->n_samples || (run.n > 0 && (run.first != store->end.next_sample || row->first != run.first)))
        return diverged(row, "its samples", err);
    if (run.n > 0 && row->n_image != n_input)
        return diverged(row, "the size of its images", err);
    for (uint32_t i = 0; i < run.n; i++)
        if (row->labels[i] >= SHAPE_CLASSES_MAX && row->labels[i] != EDIT_FORGET)
            return diverged(row, "a label", err);
    const int linked = check_link(store, row, run.n, err);
    return linked == 1 ? 0 : linked == 0 ? diverged(row, "its chain", err) : -1;
}

static int insert_row(struct store *store, const struct log_row *row, struct err *err)
{
    struct db *db = store->db;
    db_bind_int(db, SQL_EVENT_INSERT, 1, (int64_t)row->revision);
    db_bind_text(db, SQL_EVENT_INSERT, 2, row->kind);
    db_bind_int(db, SQL_EVENT_INSERT, 3, row->created_us);
    db_bind_text(db, SQL_EVENT_INSERT, 4, row->body);
    db_bind_blob(db, SQL_EVENT_INSERT, 5, row->chain, CHAIN_BYTES);
    if (db_run(db, SQL_EVENT_INSERT, err) != 0)
        return -1;
    for (uint32_t i = 0; i < row->n_samples; i++) {
        const bool gone = row->labels[i] == EDIT_FORGET;
        db_bind_ints(db, SQL_SAMPLE_INSERT, row->first + i, (int64_t)row->revision,
                     gone ? -1 : (int64_t)row->labels[i]);
        /* as SAMPLE_FORGET leaves it, where the images of a row are zeros */
        db_bind_blob(db, SQL_SAMPLE_INSERT, 4, row->images + (size_t)i * row->n_image, row->n_image - gone);
        if (db_run(db, SQL_SAMPLE_INSERT, err) != 0)
            return -1;
        yield_now(store->yield);
    }
    return 0;
}

static int put_key(struct store *store, const struct log_row *row, struct err *err)
{
    struct store_key key = {.revision = row->revision};
    const size_t n = strlen(row->key);
    if (n > STORE_KEY_BYTES_MAX)
        return diverged(row, "its key", err);
    memcpy(key.key, row->key, n);
    memcpy(key.fingerprint, row->fingerprint, sizeof key.fingerprint);
    return store_put_key(store, &key, err);
}

/* The rows of an edit; edits ahead are counted, and their events come in their order. */
static int put_edit(struct store *store, const struct log_row *row, const struct event *event, uint32_t ahead,
                    struct err *err)
{
    struct err why = {0};
    if (event->as.edit.number != store->n_spans + ahead + 1)
        return diverged(row, "the number of its edit", err);
    if (edit_unpack(store, event, row->edit, row->n_edit, &why) == 0)
        return 0;
    if (why.code == ERR_DIVERGED)
        return diverged(row, why.text, err);
    if (err != NULL)
        *err = why;
    return -1;
}

int row_ahead(struct store *store, const struct log_row *row, struct err *err)
{
    struct event event = {.kind = EVENT_EDIT, .revision = row->revision};
    struct err why = {0};
    assert(store->in_group);
    int status = 0;
    if (event_kind_parse(row->kind) != EVENT_EDIT ||
        event_decode(&event, NULL, row->body, strlen(row->body), &why) != 0)
        status = diverged(row, "its edit", err);
    if (status == 0)
        status = put_edit(store, row, &event, store->n_ahead, err);
    if (status != 0)
        return log_abandon(store);
    store->n_ahead++;
    return 0;
}

static int write_edit(struct store *store, const struct log_row *row, const struct event *event, struct err *err)
{
    if (event->kind != EVENT_EDIT)
        return 0;
    if (store->n_ahead == 0)
        return put_edit(store, row, event, 0, err);
    store->n_ahead--;
    if (event->as.edit.number != store->n_spans + 1)
        return diverged(row, "the number of its edit", err);
    return 0;
}

int row_write(struct store *store, const struct log_row *row, struct err *err)
{
    struct event event;
    assert(store->in_group);
    if (check_row(store, row, &event, err) != 0 || (event.kind == EVENT_ACTIVATE && outcomes_write(store, err) != 0) ||
        insert_row(store, row, err) != 0 || write_edit(store, row, &event, err) != 0 ||
        (row->key != NULL && put_key(store, row, err) != 0))
        return log_abandon(store);
    store->end.revision = row->revision;
    store->end.next_sample += row->n_samples;
    memcpy(store->end.chain, row->chain, CHAIN_BYTES);
    const bool classes = event.kind == EVENT_CLASS || event.kind == EVENT_ACTIVATE;
    store->class_changes += classes;
    if (event.kind == EVENT_CLASS)
        event.as.class_.index = class_column(store, event.as.class_.index);
    return !classes || classes_apply(store, &event, err) == 0 ? 0 : log_abandon(store);
}
