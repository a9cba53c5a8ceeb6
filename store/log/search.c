/* search.c - past samples with what was predicted of them: one, those that are searched for, all.
 *
 * The samples of a span of the log have consecutive ids, and later spans have higher ones: so the live lineage is a few
 * ranges of ids, whose ends the index on sample.revision tells. A search walks down them, newest first. There is no
 * index on what it looks for (it would cost each training step something): it reads row after row, and stops after
 * so many, to be taken up again where it was.
 */
#include <math.h>
#include <string.h>

#include "store/internal.h"

/* ---- rows without images ---- */

/* The columns revision, label, predicted, loss, created_us from `column` on. */
static int take_row(struct store_sample_row *row, const struct store *store, enum statement which, int column,
                    struct err *err)
{
    const struct db *db = store->db;
    const bool known = !db_is_null(db, which, column + 2);
    const int64_t label = db_int(db, which, column + 1), predicted = db_int(db, which, column + 2);
    if (label == -1)
        return err_set(err, ERR_GONE, "sample %lld was forgotten", (long long)row->id);
    if (label < 0 || label >= SHAPE_CLASSES_MAX || predicted < 0 || predicted >= SHAPE_CLASSES_MAX)
        return err_set(err, ERR_DB_CORRUPT, "sample %lld is of class %lld, predicted %lld", (long long)row->id,
                       (long long)label, (long long)predicted);
    row->revision = (uint64_t)db_int(db, which, column);
    row->label = class_column(store, (uint32_t)label); /* what is none is beyond all classes that there are */
    row->predicted = known ? class_column(store, (uint32_t)predicted) : CLASS_NONE;
    row->loss = db_is_null(db, which, column + 3) ? NAN : (float)db_real(db, which, column + 3);
    row->created_us = db_int(db, which, column + 4);
    return 0;
}

/* What was accepted to be forgotten is not shown any more, though the model still knows it for a while. */
static int check_not_going(struct db *db, int64_t id, struct err *err)
{
    db_bind_int(db, SQL_SAMPLE_GOING, 1, id);
    const int status = db_step(db, SQL_SAMPLE_GOING, err);
    db_reset(db, SQL_SAMPLE_GOING);
    return status <= 0 ? status : err_set(err, ERR_GONE, "sample %lld is being forgotten", (long long)id);
}

int store_sample_row(struct store *store, int64_t id, struct store_sample_row *row, uint8_t *pixels, size_t n_input,
                     struct err *err)
{
    struct lineage lineage = {0};
    uint32_t label;
    *row = (struct store_sample_row){.id = id};
    (void)outcomes_show(store, NULL);
    db_bind_int(store->db, SQL_SAMPLE_ROW, 1, id);
    int status = db_step(store->db, SQL_SAMPLE_ROW, err);
    if (status == 1 && take_row(row, store, SQL_SAMPLE_ROW, 0, err) != 0)
        status = -1;
    db_reset(store->db, SQL_SAMPLE_ROW);
    if (status == 1 &&
        (check_not_going(store->db, id, err) != 0 || lineage_init(&lineage, store, store->end.revision, err) != 0))
        status = -1;
    if (status == 1)
        row->live = lineage_has(&lineage, row->revision);
    lineage_fini(&lineage);
    if (status == 0 && (status = baseline_dropped(store, id, err)) == 1)
        return baseline_refuse_dropped(store, ERR_GONE, id, err);
    return status == 1 && pixels != NULL ? store_sample(store, id, &label, pixels, n_input, err) : status;
}

/* ---- searching ---- */

/* One number by revision; 0 where there is none. */
static int find_int(int64_t *value, struct db *db, enum statement which, uint64_t revision, struct err *err)
{
    db_bind_int(db, which, 1, (int64_t)revision);
    return db_number(value, db, which, err);
}

/* The lowest revision whose time is `us` or later; one past the end where there is none. */
static int first_since(uint64_t *revision, struct store *store, int64_t us, struct err *err)
{
    uint64_t low = 1, high = store->end.revision + 1;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        int64_t created_us;
        if (find_int(&created_us, store->db, SQL_EVENT_TIME, middle, err) != 0)
            return -1;
        if (created_us >= us)
            high = middle;
        else
            low = middle + 1;
    }
    *revision = low;
    return 0;
}

/* Ids low .. high, from high down: as many as fit into rows, of those that are as searched for. */
static int search_ids(const struct store_search *search, struct store *store, int64_t low, int64_t high,
                      struct store_sample_row *rows, size_t room, size_t *n, struct err *err)
{
    struct db *db = store->db;
    const int64_t label = search->label < 0 ? -1 : (int64_t)class_id(store, (uint32_t)search->label);
    const int64_t predicted = search->predicted < 0 ? -1 : (int64_t)class_id(store, (uint32_t)search->predicted);
    const int64_t values[] = {low, high, label, predicted, search->wrong, (int64_t)(room - *n)};
    int status;
    for (int i = 0; i < 6; i++)
        db_bind_int(db, SQL_SAMPLES_DOWN, i + 1, values[i]);
    while ((status = db_step(db, SQL_SAMPLES_DOWN, err)) == 1 && *n < room) {
        struct store_sample_row *row = &rows[*n];
        *row = (struct store_sample_row){.id = db_int(db, SQL_SAMPLES_DOWN, 0), .live = true};
        if (take_row(row, store, SQL_SAMPLES_DOWN, 1, err) != 0) {
            status = -1;
            break;
        }
        ++*n;
    }
    db_reset(db, SQL_SAMPLES_DOWN);
    return status < 0 ? -1 : 0;
}

/* The ids of one span, as far as they lie between the revisions; *low is 0, or above *high, where there are none. */
static int span_ids(int64_t *low, int64_t *high, struct db *db, const struct span *span, uint64_t first, uint64_t last,
                    struct err *err)
{
    first = first > span->first ? first : span->first;
    last = last < span->last ? last : span->last;
    *low = *high = 0;
    if (first > last)
        return 0;
    if (find_int(low, db, SQL_SAMPLE_SINCE, first, err) != 0 || find_int(high, db, SQL_SAMPLE_UNTIL, last, err) != 0)
        return -1;
    if (*low < 0 || *high < 0 || *high > STORE_NUMBER_MAX)
        return err_set(err, ERR_DB_CORRUPT, "the index of samples has ids that no convd gives");
    return 0;
}

int samples_of_span(int64_t *low, int64_t *high, struct store *store, const struct span *span, struct err *err)
{
    return span_ids(low, high, store->db, span, span->first, span->last, err);
}

int store_search(struct store *store, struct store_search *search, struct store_sample_row *rows, size_t room,
                 uint64_t look, size_t *n, struct err *err)
{
    struct lineage lineage = {0};
    uint64_t first = 1, last = store->end.revision;
    (void)outcomes_show(store, NULL);
    int status = lineage_init(&lineage, store, store->end.revision, err);
    *n = 0;
    if (status == 0 && search->from_us > INT64_MIN)
        status = first_since(&first, store, search->from_us, err);
    if (status == 0 && search->to_us < INT64_MAX) {
        status = first_since(&last, store, search->to_us + 1, err);
        last--;
    }
    for (size_t i = 0; status == 0 && i < lineage.n; i++) {
        int64_t low, high;
        status = span_ids(&low, &high, store->db, &lineage.spans[i], first, last, err);
        high = high < search->before ? high : search->before - 1;
        while (status == 0 && low > 0 && high >= low) {
            if (look == 0 || *n == room)
                goto out; /* there is more, and search->before says where */
            const int64_t from = (uint64_t)(high - low) < look ? low : high - (int64_t)look + 1;
            status = search_ids(search, store, from, high, rows, room, n, err);
            look -= (uint64_t)(high - from) + 1;
            search->before = *n == room ? rows[*n - 1].id : from;
            high = search->before - 1;
        }
    }
    if (status == 0)
        search->before = 0;
out:
    lineage_fini(&lineage);
    return status;
}

/* ---- the data set ---- */

/* Ids low .. high, from low up, as many as fit. */
static int export_ids(struct store *store, int64_t low, int64_t high, struct store_sample_row *rows, uint8_t *pixels,
                      size_t n_input, size_t room, size_t *n, struct err *err)
{
    struct db *db = store->db;
    int status;
    size_t n_image;
    db_bind_ints(db, SQL_SAMPLES_UP, low, high, (int64_t)(room - *n));
    while ((status = db_step(db, SQL_SAMPLES_UP, err)) == 1 && *n < room) {
        struct store_sample_row *row = &rows[*n];
        *row = (struct store_sample_row){.id = db_int(db, SQL_SAMPLES_UP, 0), .live = true};
        const void *image = db_blob(db, SQL_SAMPLES_UP, 6, &n_image);
        if (take_row(row, store, SQL_SAMPLES_UP, 1, err) != 0) {
            status = -1;
            break;
        }
        if (n_image != n_input) {
            status = err_set(err, ERR_DB_CORRUPT, "sample %lld is %zu bytes; the model's input is %zu",
                             (long long)row->id, n_image, n_input);
            break;
        }
        memcpy(pixels + *n * n_input, image, n_input);
        ++*n;
    }
    db_reset(db, SQL_SAMPLES_UP);
    return status < 0 ? -1 : 0;
}

int store_export(struct store *store, int64_t *next, int64_t last, struct store_sample_row *rows, uint8_t *pixels,
                 size_t n_input, size_t room, size_t *n, struct err *err)
{
    struct lineage lineage = {0};
    (void)outcomes_show(store, NULL);
    int status = lineage_init(&lineage, store, store->end.revision, err);
    *n = 0;
    for (size_t i = lineage.n; status == 0 && i-- > 0;) {
        int64_t low, high;
        status = samples_of_span(&low, &high, store, &lineage.spans[i], err);
        low = low > 0 && low < *next ? *next : low;
        high = high < last ? high : last;
        if (status != 0 || low == 0 || low > high)
            continue;
        if (*n == room)
            goto out;
        status = export_ids(store, low, high, rows, pixels, n_input, room, n, err);
        if (*n > 0)
            *next = rows[*n - 1].id + 1;
        if (status == 0 && *n == room && *next <= high)
            goto out;
    }
    if (status == 0)
        *next = 0;
out:
    lineage_fini(&lineage);
    return status;
}
