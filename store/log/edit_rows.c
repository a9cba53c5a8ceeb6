/* edit_rows.c - the rows of edit events: a list of them in memory, their hash, and the proof that they are what was written.
 *
 * An edit event's body has a hash over its rows in tables edit and edited, and the chain covers the body: so a row that was
 * changed or lost is found when the event is read. Who replays to a revision before the event relies on them earlier, and
 * asks for the proof first (edit_prove_range()).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

/* ---- the list ---- */

/* Index of the first whose id is not below. */
static size_t lower_bound(const struct edits *edits, int64_t id)
{
    size_t low = 0, high = edits->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (edits->list[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int edits_put(struct edits *edits, const struct edit *edit, struct err *err)
{
    size_t at = lower_bound(edits, edit->id);
    if (at < edits->n && edits->list[at].id == edit->id) {
        if (edits->list[at].label != EDIT_FORGET)
            edits->list[at].label = edit->label;
        return 0;
    }
    if (edits->n == edits->room) {
        size_t room = edits->room == 0 ? 16 : edits->room * 2;
        struct edit *more = room > SIZE_MAX / sizeof *more ? NULL : realloc(edits->list, room * sizeof *more);
        if (more == NULL)
            return err_set(err, ERR_MEMORY, "out of memory for %zu edits", room);
        edits->list = more;
        edits->room = room;
    }
    memmove(edits->list + at + 1, edits->list + at, (edits->n - at) * sizeof *edits->list);
    edits->list[at] = *edit;
    edits->n++;
    return 0;
}

void edits_fini(struct edits *edits)
{
    free(edits->list);
    *edits = (struct edits){0};
}

const struct edit *edits_find(const struct edits *edits, int64_t id)
{
    size_t at = lower_bound(edits, id);
    return at < edits->n && edits->list[at].id == id ? &edits->list[at] : NULL;
}

uint64_t edits_first(const struct edits *edits)
{
    const uint64_t first = edits->n == 0 ? UINT64_MAX : edits->list[0].revision;
    return edits->removes && edits->first < first ? edits->first : first;
}

uint32_t edits_apply(const struct edits *edits, int64_t id, uint32_t label)
{
    const struct edit *edit = edits_find(edits, id);
    if (edit != NULL)
        label = edit->label;
    return edits->removes && label == edits->removed ? edits->into : label;
}

void edit_bind_into(struct db *db, enum statement which, int place, uint32_t into)
{
    if (into == EDIT_FORGET)
        db_bind_null(db, which, place);
    else
        db_bind_int(db, which, place, into);
}

uint32_t edit_into(const struct db *db, enum statement which, int column)
{
    return db_is_null(db, which, column) ? EDIT_FORGET : (uint32_t)db_int(db, which, column);
}

/* ---- which stretches of the log they touch ---- */

int edit_spans_read(struct store *store, struct err *err)
{
    struct db *db = store->db;
    size_t room = 0;
    int status;
    free(store->spans);
    store->spans = NULL;
    store->n_spans = 0;
    db_bind_int(db, SQL_EDIT_SPANS, 1, 1);
    db_bind_int(db, SQL_EDIT_SPANS, 2, INT64_MAX);
    while ((status = db_step(db, SQL_EDIT_SPANS, err)) == 1) {
        struct event event = {.kind = EVENT_EDIT, .revision = (uint64_t)db_int(db, SQL_EDIT_SPANS, 0)};
        struct sample_run run;
        struct err why = {0};
        size_t n_body;
        const char *body = db_text(db, SQL_EDIT_SPANS, 1, &n_body);
        if (event_parse(&event, &run, db, body, n_body, &why) != 0) {
            if (why.code == ERR_DB_CORRUPT)
                event.as.edit.from = event.revision;
            else
                status = err_set(err, why.code, "%s", why.text);
        }
        if (status == 1 && store->n_spans == room) {
            room = room == 0 ? 16 : room * 2;
            struct edit_span *more = realloc(store->spans, room * sizeof *more);
            if (more == NULL)
                status = err_set(err, ERR_MEMORY, "out of memory for %zu edits", room);
            else
                store->spans = more;
        }
        if (status != 1)
            break;
        store->spans[store->n_spans++] = (struct edit_span){.from = event.as.edit.from, .event = event.revision};
    }
    db_reset(db, SQL_EDIT_SPANS);
    return status == 0 ? columns_read(store, err) : status;
}

bool store_edits_any(const struct store *store)
{
    return store->n_spans > 0;
}

bool edits_any(const struct store *store)
{
    return store->n_spans > 0 || store->overlay != NULL;
}

bool edits_touch(const struct store *store, uint64_t revision)
{
    for (size_t i = 0; i < store->n_spans; i++)
        if (revision >= store->spans[i].from && revision < store->spans[i].event)
            return true;
    return false;
}

/* ---- the hash ---- */

static void add_number(struct sha256_ctx *hash, uint64_t value, size_t n_bytes)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    sha256_update(hash, n_bytes, bytes);
}

static void add_edit(struct sha256_ctx *hash, int64_t sample, uint32_t was, uint32_t label)
{
    add_number(hash, (uint64_t)sample, 8);
    add_number(hash, was, 4);
    add_number(hash, label, 4);
}

static void add_edited(struct sha256_ctx *hash, uint64_t revision, const uint8_t left[CHAIN_BYTES])
{
    add_number(hash, revision, 8);
    sha256_update(hash, CHAIN_BYTES, left);
}

void edit_hash(uint8_t out[CHAIN_BYTES], const struct edits *edits, const struct edited *edited, size_t n_edited)
{
    struct sha256_ctx hash;
    sha256_init(&hash);
    for (size_t i = 0; i < edits->n; i++)
        add_edit(&hash, edits->list[i].id, edits->list[i].was, edits->list[i].label);
    for (size_t i = 0; i < n_edited; i++)
        add_edited(&hash, edited[i].revision, edited[i].hash);
    if (edits->removes)
        add_edit(&hash, -1, edits->removed, edits->into);
    sha256_digest(&hash, CHAIN_BYTES, out);
}

int edit_prove(struct store *store, const struct event *event, struct err *err)
{
    struct db *db = store->db;
    struct sha256_ctx hash;
    uint8_t out[CHAIN_BYTES];
    uint64_t n = 0;
    size_t n_left;
    int status;
    sha256_init(&hash);
    db_bind_int(db, SQL_EDIT_ROWS, 1, (int64_t)event->revision);
    for (; (status = db_step(db, SQL_EDIT_ROWS, err)) == 1; n++)
        add_edit(&hash, db_int(db, SQL_EDIT_ROWS, 0), (uint32_t)db_int(db, SQL_EDIT_ROWS, 1),
                 edit_into(db, SQL_EDIT_ROWS, 2));
    if (status < 0)
        return -1;
    db_bind_int(db, SQL_EDITED_ROWS, 1, (int64_t)event->revision);
    while ((status = db_step(db, SQL_EDITED_ROWS, err)) == 1) {
        const void *left = db_blob(db, SQL_EDITED_ROWS, 1, &n_left);
        if (n_left == CHAIN_BYTES)
            add_edited(&hash, (uint64_t)db_int(db, SQL_EDITED_ROWS, 0), left);
    }
    if (status < 0)
        return -1;
    db_bind_int(db, SQL_REMOVED_ROWS, 1, (int64_t)event->revision);
    while ((status = db_step(db, SQL_REMOVED_ROWS, err)) == 1)
        add_edit(&hash, -1, (uint32_t)db_int(db, SQL_REMOVED_ROWS, 0), edit_into(db, SQL_REMOVED_ROWS, 1));
    if (status < 0)
        return -1;
    sha256_digest(&hash, CHAIN_BYTES, out);
    if (n == event->as.edit.n && memcmp(out, event->as.edit.rows, CHAIN_BYTES) == 0)
        return 0;
    return err_set(err, ERR_DB_CORRUPT, "its rows in the tables of edits are not those that were written");
}

int edit_prove_range(struct store *store, uint64_t first, uint64_t last, struct err *err)
{
    struct db *db = store->db;
    for (size_t i = 0; i < store->n_spans; i++) {
        struct event event = {.kind = EVENT_EDIT, .revision = store->spans[i].event};
        struct sample_run run;
        size_t n_body;
        if (event.revision < first || event.revision > last)
            continue;
        db_bind_int(db, SQL_EDIT_SPANS, 1, (int64_t)event.revision);
        db_bind_int(db, SQL_EDIT_SPANS, 2, (int64_t)event.revision);
        int status = db_step(db, SQL_EDIT_SPANS, err);
        if (status == 0)
            status = err_set(err, ERR_DB_CORRUPT, "it is missing from the index of events");
        if (status == 1) {
            const char *body = db_text(db, SQL_EDIT_SPANS, 1, &n_body);
            status = event_parse(&event, &run, db, body, n_body, err);
        }
        db_reset(db, SQL_EDIT_SPANS);
        if (status != 0 || edit_prove(store, &event, err) != 0)
            return err_wrap(err, "revision %llu", (unsigned long long)event.revision);
    }
    return 0;
}
