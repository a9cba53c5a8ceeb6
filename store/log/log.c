/* log.c - the log's end: one group of events, all on the disk or none.
 *
 * A group is one SQLite transaction; COMMIT under WAL and synchronous=FULL returns after fdatasync of the WAL, which
 * withstands kill -9 and power loss. Any failure inside rolls the whole group back and puts revision, chain and sample
 * id back to where they were, so that the next group continues as if this one had never been tried. After a failed sync
 * that is not known any more (the frames may be on the disk), which is why nothing is acknowledged from then on.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/internal.h"

int64_t store_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int log_writable(const struct store *store, struct err *err)
{
    if (db_read_only(store->db))
        return err_set(err, ERR_DB_READONLY, "%s is open for reading only", db_path(store->db));
    if (db_sync_failed(store->db))
        return err_set(err, ERR_STORAGE,
                       "%s: an earlier sync failed: restart convd, which then reads what is on the disk",
                       db_path(store->db));
    return 0;
}

int log_abandon(struct store *store)
{
    db_rollback(store->db);
    rehearsal_reset(store->rehearsal); /* ids of this group will be given again */
    outcomes_rollback(store);
    if (store->in_group)
        store->end = store->end_at_begin;
    edits_end(store, false);
    store->in_group = false;
    return -1;
}

static int begin(struct store *store, bool synced, struct err *err)
{
    assert(!store->in_group);
    if (log_writable(store, err) != 0)
        return -1;
    store->end_at_begin = store->end;
    store->outcomes.n_before = store->outcomes.n;
    store->in_group = true;
    if (db_sync_commits(store->db, synced, err) != 0 || db_run(store->db, SQL_BEGIN, err) != 0 ||
        (store->outcomes.n >= OUTCOMES_MANY && outcomes_write(store, err) != 0))
        return log_abandon(store);
    return 0;
}

int store_begin(struct store *store, struct err *err)
{
    return begin(store, true, err);
}

int store_begin_unsynced(struct store *store, struct err *err)
{
    return begin(store, false, err);
}

int store_commit(struct store *store, struct err *err)
{
    assert(store->in_group);
    if (db_run(store->db, SQL_COMMIT, err) != 0)
        return log_abandon(store);
    outcomes_committed(store);
    edits_end(store, true);
    store->in_group = false;
    return 0;
}

void store_rollback(struct store *store)
{
    if (store->in_group)
        (void)log_abandon(store);
}

int outcomes_show(struct store *store, struct err *err)
{
    if (store->outcomes.n == 0)
        return 0;
    if (store_begin(store, err) != 0)
        return -1;
    return outcomes_write(store, err) == 0 ? store_commit(store, err) : log_abandon(store);
}

static int insert_event(struct store *store, const struct event *event, const char *body,
                        const uint8_t chain[CHAIN_BYTES], struct err *err)
{
    db_bind_int(store->db, SQL_EVENT_INSERT, 1, (int64_t)event->revision);
    db_bind_text(store->db, SQL_EVENT_INSERT, 2, event_kind_name(event->kind));
    db_bind_int(store->db, SQL_EVENT_INSERT, 3, event->created_us);
    db_bind_text(store->db, SQL_EVENT_INSERT, 4, body);
    db_bind_blob(store->db, SQL_EVENT_INSERT, 5, chain, CHAIN_BYTES);
    return db_run(store->db, SQL_EVENT_INSERT, err);
}

static int insert_samples(struct store *store, const struct event *event, struct err *err)
{
    for (uint32_t i = 0; i < event->as.train.n; i++) {
        const struct sample *sample = &event->as.train.samples[i];
        db_bind_ints(store->db, SQL_SAMPLE_INSERT, sample->id, (int64_t)event->revision,
                     class_id(store, sample->label));
        db_bind_blob(store->db, SQL_SAMPLE_INSERT, 4, sample->pixels, store->origin.event.as.create.shape.n_input);
        if (db_run(store->db, SQL_SAMPLE_INSERT, err) != 0)
            return -1;
        yield_now(store->yield);
    }
    return 0;
}

int log_write(struct store *store, struct event *event, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    char *body = NULL;
    struct chain chain;
    struct log_end end = store->end;
    uint32_t n = event->kind == EVENT_TRAIN ? event->as.train.n : 0;

    for (uint32_t i = 0; i < n; i++)
        event->as.train.samples[i].id = end.next_sample++;
    if (event->created_us == 0)
        event->created_us = store_now_us();
    end.revision = event->revision;
    store->class_changes += event->kind == EVENT_CLASS || event->kind == EVENT_ACTIVATE;

    struct event numbered = *event;
    if (event->kind == EVENT_CLASS)
        numbered.as.class_.index = class_id(store, event->as.class_.index);
    if (event_encode(&body, &numbered, digest, err) != 0)
        return -1;
    chain_init(&chain, store->end.chain, event->revision, event->created_us, event_kind_name(event->kind), body,
               strlen(body), n);
    for (uint32_t i = 0; i < n; i++) {
        const struct sample *sample = &event->as.train.samples[i];
        chain_add_sample(&chain, sample->id, class_id(store, sample->label), sample->pixels,
                         store->origin.event.as.create.shape.n_input);
        yield_now(store->yield);
    }
    chain_end(&chain, end.chain);

    int status = insert_event(store, event, body, end.chain, err);
    if (status == 0 && n > 0)
        status = insert_samples(store, event, err);
    if (status == 0)
        store->end = end;
    free(body);
    return status;
}

void store_next(const struct store *store, struct event *event)
{
    event->revision = store->end.revision + 1;
    if (event->created_us == 0)
        event->created_us = store_now_us();
    if (event->kind == EVENT_TRAIN)
        for (uint32_t i = 0; i < event->as.train.n; i++)
            event->as.train.samples[i].id = store->end.next_sample + i;
}

int store_append(struct store *store, struct event *event, struct err *err)
{
    assert(store->in_group);
    assert(event->kind > EVENT_CREATE && event->kind < EVENT_KIND_N);
    assert(event->revision == store->end.revision + 1);
    if ((event->kind == EVENT_TRAIN && outcomes_reserve(store, event->as.train.n, err) != 0) ||
        /* A recovery does not replay what is left behind. */
        (event->kind == EVENT_ACTIVATE && outcomes_write(store, err) != 0) || log_write(store, event, NULL, err) != 0)
        return log_abandon(store);
    if ((event->kind == EVENT_CLASS || event->kind == EVENT_ACTIVATE) && classes_apply(store, event, err) != 0)
        return log_abandon(store);
    return 0;
}

bool store_sync_failed(const struct store *store)
{
    return db_sync_failed(store->db);
}

int store_check_place(struct store *store, struct err *err)
{
    assert(!store->in_group);
    return db_check_place(store->db, err);
}

uint64_t store_changes(const struct store *store)
{
    return db_changes(store->db);
}

uint64_t store_revision(const struct store *store)
{
    return store->end.revision;
}

int64_t store_next_sample_id(const struct store *store)
{
    return store->end.next_sample;
}
