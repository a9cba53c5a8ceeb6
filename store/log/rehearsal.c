/* rehearsal.c - past samples trained on again: which they are, and their pixels at speed.
 *
 * Which: the live lineage's spans, each asked by the index on sample.revision, come out as runs of consecutive ids; mostly
 * there is one run, however many samples. A rank is found in it by bisection, so a list of n ids is never made.
 *
 *     run r holds the ids  first_r .. first_r + n_r - 1,  ranks  rank_r .. rank_r + n_r - 1
 *
 * One selection is kept from chunk to chunk. It stays right as long as the chunks follow each other on one line: no activate
 * event comes between, and later samples have ids after the range. A group that is rolled back may have given ids that
 * are given again, so it takes selection and pictures with it.
 *
 * Pixels: a row is found in 3 us, a train step takes 14, so pictures that were read stay in memory as far as they may
 * (store_rehearse_memory()): place p of a table of m by rank % m. Where all fit, a pass reads none twice and a
 * picture costs a cache miss.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/draw.h"
#include "store/internal.h"

#define MEMORY_DEFAULT ((size_t)4 << 20)

struct run {
    int64_t first;
    uint64_t rank, n;
};

struct picture {
    int64_t id; /* 0: none; ids begin with 1 */
    uint32_t label;
};

struct rehearsal {
    size_t memory; /* bytes that pictures may take */

    /* the selection */
    bool selected;
    int64_t first_id, last_id;
    uint64_t since;         /* revision of the last activate event before it; 0: none              */
    uint64_t before;        /* the revision for which it was made: it holds for later ones as well */
    bool open_ended;        /* last_id was not given yet: it holds for no other revision           */
    struct lineage lineage; /* that it was made from                                                 */
    struct run *runs;
    size_t n_runs, room;
    uint64_t n;

    /* the pictures */
    size_t n_pictures;
    struct picture *pictures; /* [n_pictures]          */
    uint8_t *pixels;          /* [n_pictures][n_input] */
};

static void drop_pictures(struct rehearsal *r)
{
    free(r->pictures);
    free(r->pixels);
    r->pictures = NULL;
    r->pixels = NULL;
    r->n_pictures = 0;
}

void rehearsal_reset(struct rehearsal *r)
{
    if (r == NULL)
        return;
    drop_pictures(r);
    lineage_fini(&r->lineage);
    free(r->runs);
    *r = (struct rehearsal){.memory = r->memory};
}

void rehearsal_free(struct rehearsal *r)
{
    rehearsal_reset(r);
    free(r);
}

static struct rehearsal *rehearsal_of(struct store *store, struct err *err)
{
    if (store->rehearsal == NULL) {
        store->rehearsal = calloc(1, sizeof *store->rehearsal);
        if (store->rehearsal == NULL)
            err_memory(err, "a rehearsal");
        else
            store->rehearsal->memory = MEMORY_DEFAULT;
    }
    return store->rehearsal;
}

int store_rehearse_memory(struct store *store, size_t bytes, struct err *err)
{
    struct rehearsal *r = rehearsal_of(store, err);
    if (r == NULL)
        return -1;
    drop_pictures(r);
    r->memory = bytes;
    return 0;
}

void store_rehearse_end(struct store *store)
{
    rehearsal_reset(store->rehearsal);
}

/* ---- which samples ---- */

static int add_id(struct rehearsal *r, int64_t id, struct err *err)
{
    struct run *last = r->n_runs > 0 ? &r->runs[r->n_runs - 1] : NULL;
    int64_t next = last != NULL ? last->first + (int64_t)last->n : INT64_MIN;
    if (id < next || id < 0 || id > STORE_NUMBER_MAX)
        return err_set(err, ERR_DB_CORRUPT, "the index of samples is out of order at sample %lld", (long long)id);
    if (last == NULL || id != next) {
        if (grow(&r->runs, &r->room, r->n_runs, sizeof *r->runs, "runs of samples", err) != 0)
            return -1;
        assert(r->runs != NULL);
        last = &r->runs[r->n_runs++];
        *last = (struct run){.first = id, .rank = r->n};
    }
    last->n++;
    r->n++;
    return 0;
}

static int add_span(struct rehearsal *r, struct db *db, uint64_t first, uint64_t last, struct err *err)
{
    int status;
    db_bind_ints(db, SQL_SAMPLES_SPAN, (int64_t)first, (int64_t)last, r->first_id, r->last_id);
    while ((status = db_step(db, SQL_SAMPLES_SPAN, err)) == 1)
        if (add_id(r, db_int(db, SQL_SAMPLES_SPAN, 0), err) != 0) {
            db_reset(db, SQL_SAMPLES_SPAN);
            return -1;
        }
    return status;
}

/* The samples of the range as they were before `revision`. */
static int select_samples(struct rehearsal *r, struct store *store, int64_t first_id, int64_t last_id,
                          uint64_t revision, struct err *err)
{
    uint64_t since = 0;
    if (lineage_turn(&since, store->db, revision - 1, err) != 0)
        return -1;
    if (r->selected && r->first_id == first_id && r->last_id == last_id && r->since == since &&
        (r->before == revision || (r->before < revision && !r->open_ended)))
        return 0;

    r->selected = false;
    r->first_id = first_id;
    r->last_id = last_id;
    r->since = since;
    r->before = revision;
    r->n = r->n_runs = 0;
    lineage_fini(&r->lineage);
    int status = lineage_init(&r->lineage, store, revision - 1, err);
    for (size_t i = r->lineage.n; i-- > 0 && status == 0;) /* oldest first: ids grow with revisions */
        status = add_span(r, store->db, r->lineage.spans[i].first, r->lineage.spans[i].last, err);
    /* A later sample may come into the range, unless the log has gone past it already. */
    r->open_ended = r->n == 0 || r->runs[r->n_runs - 1].first + (int64_t)r->runs[r->n_runs - 1].n - 1 < last_id;
    r->selected = status == 0;
    return status;
}

static int64_t id_of_rank(const struct rehearsal *r, uint64_t rank)
{
    size_t low = 0, high = r->n_runs; /* runs[low].rank <= rank < runs[high].rank */
    assert(rank < r->n);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (r->runs[middle].rank <= rank)
            low = middle;
        else
            high = middle;
    }
    return r->runs[low].first + (int64_t)(rank - r->runs[low].rank);
}

int store_rehearsable(struct store *store, int64_t *first_id, int64_t *last_id, uint64_t *n, struct err *err)
{
    struct rehearsal *r = rehearsal_of(store, err);
    int64_t kept = 0;
    if (store->baseline.kept > 0 && baseline_first_kept(&kept, store, store->baseline.kept, err) != 0)
        return -1;
    *first_id = *first_id > kept ? *first_id : kept;
    if (r == NULL || select_samples(r, store, *first_id, *last_id, store->end.revision + 1, err) != 0)
        return -1;
    *n = r->n;
    if (r->n == 0)
        return 0;
    /* The narrowed range holds the same samples, and later ones are not in it. */
    *first_id = r->first_id = id_of_rank(r, 0);
    *last_id = r->last_id = id_of_rank(r, r->n - 1);
    r->open_ended = false;
    return 0;
}

/* ---- their pixels ---- */

/* As many pictures as memory allows and there are samples; one at least. */
static int make_room(struct rehearsal *r, size_t n_input, struct err *err)
{
    uint64_t fit = r->memory / (n_input + sizeof *r->pictures);
    uint64_t wanted = r->n < fit ? r->n : fit;
    if (wanted < 1)
        wanted = 1;
    if (r->n_pictures == wanted)
        return 0;
    for (;;) {
        drop_pictures(r);
        r->pictures = calloc((size_t)wanted, sizeof *r->pictures);
        r->pixels = malloc((size_t)wanted * n_input);
        if (r->pictures != NULL && r->pixels != NULL)
            break;
        if (wanted == 1) {
            drop_pictures(r);
            return err_memory(err, "an image");
        }
        wanted = 1; /* slower, and as right */
    }
    r->n_pictures = (size_t)wanted;
    return 0;
}

/* Points *pixels at the picture of that rank, valid until the next call. */
static int picture(const uint8_t **pixels, uint32_t *label, struct rehearsal *r, struct store *store, uint64_t rank,
                   size_t n_input, struct err *err)
{
    size_t place = (size_t)(rank % r->n_pictures);
    struct picture *p = &r->pictures[place];
    uint8_t *image = r->pixels + place * n_input;
    int64_t id = id_of_rank(r, rank);
    if (p->id != id) {
        p->id = 0;
        uint64_t revision = 0;
        int found = sample_read(store, id, &revision, &p->label, image, n_input, err);
        if (found == 0)
            err_set(err, ERR_DB_CORRUPT, "sample %lld is missing", (long long)id);
        if (found == 1 && !lineage_has(&r->lineage, revision))
            found = err_set(err, ERR_DB_CORRUPT,
                            "sample %lld is not of the current lineage, but the index of samples says that it is",
                            (long long)id);
        if (found != 1)
            return -1;
        p->id = id;
    }
    *pixels = image;
    *label = p->label;
    return 0;
}

/* ---- the event ---- */

#define PIECE_BYTES ((size_t)256 << 10) /* of pixels that a replay has beside the pictures */

void rehearse_pictures_free(struct rehearse_pictures *pictures)
{
    free(pictures->labels);
    free(pictures->pixels);
    *pictures = (struct rehearse_pictures){0};
}

static int pictures_reserve(struct rehearse_pictures *pictures, uint64_t n, size_t n_input, struct err *err)
{
    if (n <= pictures->room)
        return 0;
    rehearse_pictures_free(pictures);
    pictures->labels = malloc((size_t)n * sizeof *pictures->labels);
    pictures->pixels = malloc((size_t)n * n_input);
    if (pictures->labels == NULL || pictures->pixels == NULL) {
        rehearse_pictures_free(pictures);
        return err_memory(err, "%llu pictures", (unsigned long long)n);
    }
    pictures->room = (size_t)n;
    return 0;
}

int store_rehearse_read(struct rehearse_pictures *pictures, struct store *store, const struct learner *learner,
                        const struct event *event, struct err *err)
{
    const size_t n_input = learner->shape.n_input;
    const uint64_t begin = event->as.rehearse.begin, end = event->as.rehearse.end;
    struct rehearsal *r = rehearsal_of(store, err);
    assert(event->kind == EVENT_REHEARSE);
    if (r == NULL ||
        select_samples(r, store, event->as.rehearse.first_id, event->as.rehearse.last_id, event->revision, err) != 0)
        return -1;
    if (r->n != event->as.rehearse.n || begin > end || end > r->n)
        return err_set(err, ERR_DB_CORRUPT,
                       "places %llu to %llu of %llu samples, but the current lineage has %llu in the range",
                       (unsigned long long)begin, (unsigned long long)end, (unsigned long long)event->as.rehearse.n,
                       (unsigned long long)r->n);
    if (make_room(r, n_input, err) != 0 || pictures_reserve(pictures, end - begin, n_input, err) != 0)
        return -1;
    assert(begin == end || pictures->labels != NULL);
    for (uint64_t i = begin; i < end; i++) {
        const uint8_t *pixels = NULL;
        uint32_t *label = &pictures->labels[i - begin];
        if (picture(&pixels, label, r, store, learner_order(event->as.rehearse.seed, r->n, i), n_input, err) != 0)
            return -1;
        if (*label != EDIT_FORGET && *label >= learner->n_classes)
            return err_set(err, ERR_DB_CORRUPT, "place %llu is of class %u, but the model has %u classes",
                           (unsigned long long)i, *label, learner->n_classes);
        memcpy(pictures->pixels + (size_t)(i - begin) * n_input, pixels, n_input);
    }
    return 0;
}

int store_rehearse_apply(struct learner *learner, const struct event *event, const struct rehearse_pictures *pictures,
                         struct err *err)
{
    struct rehearse_step step = {
        .rate = event->as.rehearse.rate, .jitter = event->as.rehearse.jitter, .rotation = event->as.rehearse.rotation};
    for (uint64_t i = event->as.rehearse.begin; i < event->as.rehearse.end; i++) {
        const size_t at = (size_t)(i - event->as.rehearse.begin);
        step.draw = draw_bits(event->as.rehearse.seed, i);
        if (pictures->labels[at] != EDIT_FORGET &&
            learner_rehearse(learner, pictures->labels[at], pictures->pixels + at * learner->shape.n_input, &step,
                             err) != 0)
            return -1;
    }
    learner->revision = event->revision;
    return 0;
}

int store_rehearse(struct store *store, struct learner *learner, const struct event *event, struct err *err)
{
    const size_t n_input = learner->shape.n_input;
    const uint64_t end = event->as.rehearse.end, most = n_input < PIECE_BYTES ? PIECE_BYTES / n_input : 1;
    struct rehearse_pictures pictures = {0};
    struct event piece = *event;
    int status = 0;
    while (status == 0 && piece.as.rehearse.begin < end) {
        piece.as.rehearse.end = end - piece.as.rehearse.begin < most ? end : piece.as.rehearse.begin + most;
        status = store_rehearse_read(&pictures, store, learner, &piece, err);
        if (status == 0)
            status = store_rehearse_apply(learner, &piece, &pictures, err);
        piece.as.rehearse.begin = piece.as.rehearse.end;
    }
    rehearse_pictures_free(&pictures);
    return status;
}
