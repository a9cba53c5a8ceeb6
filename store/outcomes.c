/* outcomes.c - what was predicted of past samples before they were learned from: over parts of the live line, and for the drift of
 * old snapshots. */
#include "store/internal.h"

int store_live_samples(struct store *store, uint64_t *n, struct err *err)
{
    struct line line = {0};
    int status = line_init(&line, store, store->end.revision, err);
    *n = 0;
    for (size_t i = 0; status == 0 && i < line.n; i++) {
        int64_t low, high;
        status = samples_of_stretch(&low, &high, store, &line.stretches[i], err);
        *n += status == 0 && low > 0 && low <= high ? (uint64_t)(high - low) + 1 : 0;
    }
    line_fini(&line);
    return status;
}

static int add_outcomes(struct store_window *window, struct db *db, int64_t low, int64_t high, struct err *err)
{
    db_bind_int(db, SQL_OUTCOMES, 1, low);
    db_bind_int(db, SQL_OUTCOMES, 2, high);
    if (db_step(db, SQL_OUTCOMES, err) != 1)
        return -1;
    window->n += (uint64_t)db_int(db, SQL_OUTCOMES, 0);
    window->correct += (uint64_t)db_int(db, SQL_OUTCOMES, 1);
    window->loss_sum += db_real(db, SQL_OUTCOMES, 2);
    window->n_losses += (uint64_t)db_int(db, SQL_OUTCOMES, 3);
    db_reset(db, SQL_OUTCOMES);
    return 0;
}

int store_windows(struct store *store, struct store_window *windows, size_t n, struct err *err)
{
    struct line line = {0};
    int status = line_init(&line, store, store->end.revision, err);
    uint64_t before = 0; /* samples of older stretches */
    for (size_t w = 0; w < n; w++)
        windows[w] = (struct store_window){.first = windows[w].first, .last = windows[w].last};
    for (size_t i = line.n; status == 0 && i-- > 0;) {
        int64_t low, high;
        status = samples_of_stretch(&low, &high, store, &line.stretches[i], err);
        if (status != 0 || low == 0 || low > high)
            continue;
        const uint64_t after = before + (uint64_t)(high - low) + 1;
        for (size_t w = 0; status == 0 && w < n; w++) {
            const uint64_t first = windows[w].first > before ? windows[w].first : before + 1;
            const uint64_t last = windows[w].last < after ? windows[w].last : after;
            if (first <= last)
                status = add_outcomes(&windows[w], store->db, low + (int64_t)(first - before - 1),
                                      low + (int64_t)(last - before - 1), err);
        }
        before = after;
    }
    line_fini(&line);
    return status;
}

/* Of one range of ids, in its order, onto what came before. */
static int add_mistakes(struct drift *drift, uint64_t *samples, struct db *db, int64_t low, int64_t high,
                        struct err *err)
{
    int status;
    db_bind_int(db, SQL_MISTAKES, 1, low);
    db_bind_int(db, SQL_MISTAKES, 2, high);
    while ((status = db_step(db, SQL_MISTAKES, err)) == 1)
        (void)drift_add(drift, db_int(db, SQL_MISTAKES, 0) != 0, ++*samples);
    return status;
}

int drift_read(struct learner *learner, struct store *store, struct err *err)
{
    struct line line = {0};
    struct drift drift = {0};
    uint64_t samples = 0;
    if (!learner_lacks_drift(learner))
        return 0;
    int status = line_init(&line, store, learner->revision, err);
    for (size_t i = line.n; status == 0 && i-- > 0;) {
        int64_t low, high;
        status = samples_of_stretch(&low, &high, store, &line.stretches[i], err);
        if (status == 0 && low > 0 && low <= high)
            status = add_mistakes(&drift, &samples, store->db, low, high, err);
    }
    line_fini(&line);
    if (status == 0 && samples != learner->tally.samples)
        status = err_set(err, ERR_DB_CORRUPT, "it has counted %llu samples, but the log has %llu",
                         (unsigned long long)learner->tally.samples, (unsigned long long)samples);
    if (status == 0)
        learner->tally.drift = drift;
    return status;
}
