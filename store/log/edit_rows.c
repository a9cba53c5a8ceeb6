/* edit_rows.c - the rows of edit events: a list of them in memory, their hash, and the proof that they are what was written.
 *
 * An edit event's body has the number of its rows in tables edit and edited, and a hash over them, and the chain covers the body: so a
 * row that was changed or lost is found when the event is read. Who replays to a revision before the event relies on them earlier, and
 * asks for the proof first (edit_proof_find()).
 */
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
    if (grow(&edits->list, &edits->room, edits->n, sizeof *edits->list, "edits", err) != 0)
        return -1;
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

/* ---- which spans of the log they touch ---- */

int edit_spans_read(struct store *store, struct err *err)
{
    size_t room = 0;
    int status;
    struct event event;
    struct err why;
    free(store->spans);
    store->spans = NULL;
    store->n_spans = 0;
    rare_events(store, EVENT_EDIT, 1, UINT64_MAX);
    while ((status = rare_event_next(store, &event, &why, err)) == 1) {
        status = grow(&store->spans, &room, store->n_spans, sizeof *store->spans, "edits", err);
        if (status != 0)
            break;
        const uint64_t from = why.code == ERR_NONE ? event.as.edit.from : event.revision;
        store->spans[store->n_spans++] = (struct edit_span){.from = from, .event = event.revision};
    }
    rare_events_end(store);
    store->n_folded = store->n_spans;
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

void edit_hash_init(struct edit_hash *hash)
{
    sha256_init(&hash->edits);
    sha256_init(&hash->edited);
    sha256_init(&hash->removed);
}

static void add_edit(struct sha256_ctx *hash, int64_t sample, uint32_t was, uint32_t label)
{
    add_number(hash, (uint64_t)sample, 8);
    add_number(hash, was, 4);
    add_number(hash, label, 4);
}

void edit_hash_add(struct edit_hash *hash, int64_t sample, uint32_t was, uint32_t label)
{
    add_edit(&hash->edits, sample, was, label);
}

void edit_hash_add_edited(struct edit_hash *hash, uint64_t revision, const uint8_t left[CHAIN_BYTES])
{
    add_number(&hash->edited, revision, 8);
    sha256_update(&hash->edited, CHAIN_BYTES, left);
}

void edit_hash_add_removed(struct edit_hash *hash, uint32_t removed, uint32_t into)
{
    add_edit(&hash->removed, -1, removed, into);
}

void edit_hash_end(struct edit_hash *hash, uint8_t out[CHAIN_BYTES])
{
    uint8_t parts[3][CHAIN_BYTES];
    struct sha256_ctx all;
    sha256_digest(&hash->edits, CHAIN_BYTES, parts[0]);
    sha256_digest(&hash->edited, CHAIN_BYTES, parts[1]);
    sha256_digest(&hash->removed, CHAIN_BYTES, parts[2]);
    sha256_init(&all);
    sha256_update(&all, sizeof parts, parts[0]);
    sha256_digest(&all, CHAIN_BYTES, out);
}

/* ---- the proof ---- */

void edit_proof_init(struct edit_proof *proof, const struct event *event)
{
    *proof = (struct edit_proof){.event = *event, .sample = INT64_MIN, .revision = INT64_MIN};
    edit_hash_init(&proof->hash);
}

int edit_proof_find(struct edit_proof *proof, struct store *store, uint64_t revision, struct err *err)
{
    struct event event;
    struct err why;
    rare_events(store, EVENT_EDIT, revision, revision);
    const int status = rare_event_next(store, &event, &why, err);
    rare_events_end(store);
    edit_proof_init(proof, &event);
    if (status == 0)
        return err_set(err, ERR_DB_CORRUPT, "the index of events does not have it");
    if (status == 1 && why.code != ERR_NONE)
        *err = why;
    return status == 1 && why.code == ERR_NONE ? 0 : -1;
}

/* The next n rows of table edit. 1: there may be more. */
static int add_edits(struct edit_proof *proof, struct db *db, size_t n, struct err *err)
{
    size_t got = 0;
    int status;
    db_bind_ints(db, SQL_EDIT_ROWS, (int64_t)proof->event.as.edit.number, proof->sample, (int64_t)n);
    for (; (status = db_step(db, SQL_EDIT_ROWS, err)) == 1; got++) {
        proof->sample = db_int(db, SQL_EDIT_ROWS, 0);
        edit_hash_add(&proof->hash, proof->sample, (uint32_t)db_int(db, SQL_EDIT_ROWS, 1),
                      (uint32_t)db_int(db, SQL_EDIT_ROWS, 2)); /* -1 becomes EDIT_FORGET */
    }
    proof->n += got;
    return status < 0 ? -1 : got == n;
}

/* Of table edited. */
static int add_edited(struct edit_proof *proof, struct db *db, size_t n, struct err *err)
{
    size_t got = 0, n_left;
    int status;
    db_bind_ints(db, SQL_EDITED_ROWS, (int64_t)proof->event.as.edit.number, proof->revision, (int64_t)n);
    for (; (status = db_step(db, SQL_EDITED_ROWS, err)) == 1; got++) {
        const void *left = db_blob(db, SQL_EDITED_ROWS, 1, &n_left);
        proof->revision = db_int(db, SQL_EDITED_ROWS, 0);
        if (n_left == CHAIN_BYTES)
            edit_hash_add_edited(&proof->hash, (uint64_t)proof->revision, left);
    }
    return status < 0 ? -1 : got == n;
}

int edit_proof_step(struct edit_proof *proof, struct store *store, size_t n, struct err *err)
{
    struct db *db = store->db;
    uint8_t out[CHAIN_BYTES];
    int status = add_edits(proof, db, n, err);
    if (status == 0)
        status = add_edited(proof, db, n, err);
    if (status != 0)
        return status;
    db_bind_int(db, SQL_REMOVED_ROWS, 1, (int64_t)proof->event.revision);
    while ((status = db_step(db, SQL_REMOVED_ROWS, err)) == 1)
        edit_hash_add_removed(&proof->hash, (uint32_t)db_int(db, SQL_REMOVED_ROWS, 0),
                              edit_into(db, SQL_REMOVED_ROWS, 1));
    if (status < 0)
        return -1;
    edit_hash_end(&proof->hash, out);
    if (proof->n == proof->event.as.edit.n && memcmp(out, proof->event.as.edit.rows, CHAIN_BYTES) == 0)
        return 0;
    return err_set(err, ERR_DB_CORRUPT, "the rows of this edit were changed");
}

int edit_prove(struct store *store, const struct event *event, struct err *err)
{
    struct edit_proof proof;
    edit_proof_init(&proof, event);
    return edit_proof_step(&proof, store, SIZE_MAX / 2, err);
}
