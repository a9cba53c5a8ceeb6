/* salvage.c - what can still be proved of a file whose log is damaged.
 *
 * A row is proved by the chain: from a snapshot that is good in itself and whose chain is that of the log at its revision, through
 * every row after it, each link made anew. The first row that does not fit is where proof ends, so the state before it is
 * what can be served; the rows behind it may be whole, but nothing says so.
 *
 * The lineage of events is looked up before the rows are read, and may have been misled by the bad row (an activate event
 * that was none): so the state is asked for again, as of the last good row, until no bad row is on the way. Each turn
 * ends at a lower revision, mostly there are two.
 */
#include <stdlib.h>

#include "store/internal.h"

struct salvage {
    struct store *store;
    const struct arith *arith;
    store_progress *progress;
    void *context;
    struct store_recovery *report;
};

/* Without a line: the newest snapshot whose chain is the log's, and how far the links after it hold. 0: none does. */
static int chained_rows(uint64_t *anchor, uint64_t *good, struct salvage *s, struct err *err)
{
    struct db *db = s->store->db;
    uint8_t chain[CHAIN_BYTES];
    struct log_reader reader;
    int status;
    *anchor = *good = 0;
    db_bind_int(db, SQL_SNAPSHOTS_UPTO, 1, (int64_t)s->store->end.revision);
    while ((status = db_step(db, SQL_SNAPSHOTS_UPTO, err)) == 1 && db_int(db, SQL_SNAPSHOTS_UPTO, 3) != 1)
        ;
    if (status == 1)
        *anchor = (uint64_t)db_int(db, SQL_SNAPSHOTS_UPTO, 1);
    db_reset(db, SQL_SNAPSHOTS_UPTO);
    if (status < 0 || log_chain_at(s->store, *anchor, chain, err) != 0)
        return -1;
    *good = *anchor;
    log_read_open(&reader, s->store, *anchor, chain);
    while ((status = log_read_next(&reader, err)) == 1)
        *good = reader.event.revision;
    log_read_close(&reader);
    return status < 0 && err->code != ERR_DB_CORRUPT ? -1 : 0;
}

/* The newest state that the rows up to `revision` prove. */
static int newest_proved(struct learner **out, struct salvage *s, uint64_t revision, struct err *err)
{
    for (;;) {
        if (replay_state_at(out, s->store, revision, s->arith, s->progress, s->context, s->report, err) == 0)
            return 0;
        if (err->code != ERR_DB_CORRUPT)
            return -1;
        struct err why = *err;
        uint64_t good = s->report->good, anchor = 0;
        if (good == 0 && chained_rows(&anchor, &good, s, err) != 0) /* not even where to start from was found */
            return -1;
        if (good >= revision) /* the rows are what they were, so an index is not: the snapshot needs none */
            good = anchor;
        *err = why;
        if (good == 0 || good >= revision)
            return -1;
        revision = good;
    }
}

/* Without the create event nobody knows how large an image is, but the snapshots do: one shape after the other is tried,
 * newest first, and one that is wrong fits no snapshot's digest. */
static int try_shapes(struct learner **out, struct salvage *s, struct err *err)
{
    struct store_snapshot *list = NULL;
    size_t n = 0;
    int status = store_snapshots(s->store, &list, &n, err);
    if (status == 0)
        status = err_set(err, ERR_DB_CORRUPT, "no snapshot is intact");
    for (size_t i = n; status != 0 && i-- > 0;) {
        struct shape *shape = &s->store->origin.event.as.create.shape;
        struct err why = {0};
        if (snapshot_shape(shape, s->store, list[i].id, s->arith, &why) == 0)
            status = newest_proved(out, s, s->store->end.revision, err);
        else if (why.code != ERR_DB_CORRUPT) {
            *err = why;
            break;
        }
        if (status != 0 && err->code != ERR_DB_CORRUPT)
            break;
    }
    free(list);
    return status;
}

static int salvage(struct learner **out, struct salvage *s, struct err *err)
{
    struct store *store = s->store;
    bool created = store_read_origin(store, err) == 0;
    if (!created && err->code != ERR_DB_CORRUPT)
        return -1;
    if (store_read_end(store, err) != 0 && err->code != ERR_DB_CORRUPT)
        return -1;
    if (edit_spans_read(store, err) != 0 && err->code != ERR_DB_CORRUPT)
        return -1;
    if (store->end.revision < 1)
        return err_set(err, ERR_DB_CORRUPT, "%s: the log is empty", db_path(store->db));
    if (created && newest_proved(out, s, store->end.revision, err) == 0)
        return 0;
    if (created && err->code != ERR_DB_CORRUPT)
        return -1;
    origin_fini(&store->origin);
    /* "Given" weights are looked for in a snapshot: nothing is drawn from settings that are not known. */
    store->origin = (struct origin){.event = {.kind = EVENT_CREATE, .revision = 1}, .given = true};
    return try_shapes(out, s, err);
}

int store_salvage(struct store **out, const char *path, const struct arith *arith, store_progress *progress,
                  void *context, struct learner **learner, struct store_recovery *report, struct err *err)
{
    struct store_recovery ignored;
    struct err own;
    struct salvage s = {.arith = arith, .progress = progress, .context = context};
    s.report = report != NULL ? report : &ignored;
    err = err != NULL ? err : &own;
    *s.report = (struct store_recovery){0};
    *out = NULL;
    *learner = NULL;
    s.store = calloc(1, sizeof *s.store);
    if (s.store == NULL)
        return err_memory(err, "a store");
    journal_init(s.store);
    s.store->salvaging = true;
    if (db_open(&s.store->db, path, DB_READ, err) != 0 || salvage(learner, &s, err) != 0) {
        store_close(s.store);
        return -1;
    }
    *out = s.store;
    return 0;
}
