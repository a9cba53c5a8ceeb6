/* pool.c - see pool.h */
#include "core/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/draw.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fingerprints read pixels as numbers");

/* What tells the draws of the slots from all others of the same seed. */
#define POOL_KEY 0x706f6f6cu

/* The fingerprint of what is in a slot, so that taking it out of the sum reads 32 bytes and not an image. */
struct print {
    uint64_t h[POOL_SUM];
};

/* The old contents of slots that were changed since the mark. */
struct kept {
    uint32_t n;      /* n_slots at most                      */
    uint32_t *where; /* [n_slots] which slot                 */
    bool *used;      /* [n_slots] whether it held anything   */
    int64_t *ids;    /* [n_slots]                            */
    struct print *prints;
    uint8_t *pixels; /* [n_slots][n_input]                   */
};

struct pool_slots {
    uint8_t *pixels;      /* [n_slots][n_input] */
    int64_t *ids;         /* [n_slots]          */
    struct print *prints; /* [n_slots]; beside POOL_BYTES */
    uint8_t *state;       /* [n_slots] SLOT_..  */
    bool marked;          /* what is changed is kept: there was a pool_mark() */
    struct kept kept;
};

enum {
    SLOT_NEVER,
    SLOT_USED,
    SLOT_KEPT
}; /* never used; used; used, and its content at the mark is among what was kept */

/* ---- memory ---- */

static void kept_free(struct kept *kept)
{
    free(kept->where);
    free(kept->used);
    free(kept->ids);
    free(kept->prints);
    free(kept->pixels);
}

static void slots_free(struct pool_slots *slots)
{
    if (slots == NULL)
        return;
    free(slots->pixels);
    free(slots->ids);
    free(slots->prints);
    free(slots->state);
    kept_free(&slots->kept);
    free(slots);
}

/* Not cleared: that would touch memory which few models ever use. */
static bool kept_create(struct kept *kept, size_t n, uint32_t n_input)
{
    kept->where = malloc(n * sizeof *kept->where);
    kept->used = malloc(n * sizeof *kept->used);
    kept->ids = malloc(n * sizeof *kept->ids);
    kept->prints = malloc(n * sizeof *kept->prints);
    kept->pixels = malloc(n * n_input);
    return kept->where != NULL && kept->used != NULL && kept->ids != NULL && kept->prints != NULL &&
           kept->pixels != NULL;
}

static struct pool_slots *slots_create(uint32_t n_slots, uint32_t n_input)
{
    struct pool_slots *slots = calloc(1, sizeof *slots);
    if (slots == NULL)
        return NULL;
    const size_t n = n_slots > 0 ? n_slots : 1; /* malloc(0) may give NULL */
    slots->pixels = malloc(n * n_input);
    slots->ids = malloc(n * sizeof *slots->ids);
    slots->prints = malloc(n * sizeof *slots->prints);
    slots->state = calloc(n, sizeof *slots->state);
    if (slots->pixels == NULL || slots->ids == NULL || slots->prints == NULL || slots->state == NULL ||
        !kept_create(&slots->kept, n, n_input)) {
        slots_free(slots);
        return NULL;
    }
    return slots;
}

struct pool *pool_create(uint32_t n_input, uint32_t capacity, bool with_slots)
{
    assert(n_input > 0 && capacity > 0);
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return NULL;
    pool->n_input = n_input;
    pool->n_slots = POOL_BYTES / (n_input + POOL_SLOT_BYTES);
    pool->seen = calloc(capacity, sizeof *pool->seen);
    pool->present = calloc(capacity, sizeof *pool->present);
    pool->doubts = calloc(pool->n_slots > 0 ? pool->n_slots : 1, sizeof *pool->doubts);
    pool->slots = with_slots ? slots_create(pool->n_slots, n_input) : NULL;
    if (pool->seen == NULL || pool->present == NULL || pool->doubts == NULL || (with_slots && pool->slots == NULL)) {
        pool_free(pool);
        return NULL;
    }
    return pool;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    slots_free(pool->slots);
    free(pool->seen);
    free(pool->present);
    free(pool->doubts);
    free(pool);
}

int pool_reserve(struct pool *pool, uint32_t capacity)
{
    assert(capacity >= pool->n_classes);
    uint64_t *seen = calloc(capacity, sizeof *seen);
    uint32_t *present = calloc(capacity, sizeof *present);
    if (seen == NULL || present == NULL) {
        free(seen);
        free(present);
        return -1;
    }
    memcpy(seen, pool->seen, pool->n_classes * sizeof *seen);
    memcpy(present, pool->present, pool->n_present * sizeof *present);
    free(pool->seen);
    free(pool->present);
    pool->seen = seen;
    pool->present = present;
    return 0;
}

/* ---- where things are ---- */

/* The first slot of a class: pool.h says why. */
static uint32_t first_slot(const struct pool *pool, uint32_t class_index)
{
    uint32_t first = 0;
    for (unsigned bit = 0; class_index >> bit != 0; bit++)
        if ((class_index >> bit & 1) != 0)
            first += pool->n_slots >> (bit + 1);
    return first;
}

uint32_t pool_used(const struct pool *pool, uint32_t class_index)
{
    return pool->seen[class_index] < pool->share ? (uint32_t)pool->seen[class_index] : pool->share;
}

static uint32_t share_of(const struct pool *pool, uint32_t n_classes)
{
    unsigned bits = 0;
    while (1u << bits < n_classes)
        bits++;
    const uint32_t share = pool->n_slots >> bits;
    return share < POOL_CLASS_MAX ? share : POOL_CLASS_MAX;
}

/* ---- the sum ---- */

static inline uint64_t advance(uint64_t h, uint64_t word)
{
    const uint64_t x = h ^ word;
    return (x << 29 | x >> 35) * 0x9e3779b97f4a7c15u;
}

/* Four chains side by side, each over every fourth word of the pixels: h = rotate(h ^ word) * odd, a bijection of h for each
 * word and of the word for each h, so that one changed byte always changes its chain. */
static struct print fingerprint(uint32_t class_index, uint32_t slot, const uint8_t *pixels, uint32_t n_input)
{
    struct print print;
    for (unsigned i = 0; i < POOL_SUM; i++)
        print.h[i] = draw_bits((uint64_t)class_index << 32 | slot, i);
    uint64_t a = print.h[0], b = print.h[1], c = print.h[2], d = print.h[3];
    uint64_t words[POOL_SUM];
    uint32_t at = 0;
    for (; n_input - at >= sizeof words; at += sizeof words) {
        memcpy(words, pixels + at, sizeof words);
        a = advance(a, words[0]);
        b = advance(b, words[1]);
        c = advance(c, words[2]);
        d = advance(d, words[3]);
    }
    if (at < n_input) {
        memset(words, 0, sizeof words);
        memcpy(words, pixels + at, n_input - at);
        a = advance(a, words[0]);
        b = advance(b, words[1]);
        c = advance(c, words[2]);
        d = advance(d, words[3]);
    }
    return (struct print){{draw_mix(a), draw_mix(b), draw_mix(c), draw_mix(d)}};
}

static uint8_t *pixels_of(const struct pool *pool, uint32_t where)
{
    return pool->slots->pixels + (size_t)where * pool->n_input;
}

static void sum_with(uint64_t sum[POOL_SUM], const struct print *print)
{
    for (unsigned i = 0; i < POOL_SUM; i++)
        sum[i] += print->h[i];
}

static void sum_without(uint64_t sum[POOL_SUM], const struct print *print)
{
    for (unsigned i = 0; i < POOL_SUM; i++)
        sum[i] -= print->h[i];
}

bool pool_check(const struct pool *pool)
{
    uint64_t sum[POOL_SUM] = {0};
    assert(pool->slots != NULL);
    for (uint32_t c = 0; c < pool->n_classes; c++)
        for (uint32_t slot = 0; slot < pool_used(pool, c); slot++) {
            const uint32_t where = first_slot(pool, c) + slot;
            const struct print print = fingerprint(c, slot, pixels_of(pool, where), pool->n_input);
            sum_with(sum, &print);
        }
    return memcmp(sum, pool->sum, sizeof sum) == 0;
}

/* ---- the fold ---- */

void pool_classes(struct pool *pool, uint32_t n_classes)
{
    assert(n_classes >= pool->n_classes);
    const uint32_t share = share_of(pool, n_classes);
    if (pool->slots != NULL)
        for (uint32_t c = 0; c < pool->n_classes; c++)
            for (uint32_t slot = share; slot < pool_used(pool, c); slot++)
                sum_without(pool->sum, &pool->slots->prints[first_slot(pool, c) + slot]);
    pool->n_classes = n_classes;
    pool->share = share;
}

static void add_present(struct pool *pool, uint32_t class_index)
{
    uint32_t at = pool->n_present++;
    for (; at > 0 && pool->present[at - 1] > class_index; at--)
        pool->present[at] = pool->present[at - 1];
    pool->present[at] = class_index;
}

/* Before a slot is changed: once after each mark. */
static void keep(struct pool *pool, uint32_t where)
{
    struct pool_slots *s = pool->slots;
    struct kept *kept = &s->kept;
    if (s->marked && s->state[where] != SLOT_KEPT) {
        kept->where[kept->n] = where;
        kept->used[kept->n] = s->state[where] == SLOT_USED;
        if (kept->used[kept->n]) {
            kept->ids[kept->n] = s->ids[where];
            kept->prints[kept->n] = s->prints[where];
            memcpy(kept->pixels + (size_t)kept->n * pool->n_input, pixels_of(pool, where), pool->n_input);
        }
        kept->n++;
    }
    s->state[where] = s->marked ? SLOT_KEPT : SLOT_USED;
}

void pool_add(struct pool *pool, uint64_t seed, uint32_t class_index, const uint8_t *pixels, uint8_t doubt, int64_t id)
{
    assert(pool->slots != NULL && class_index < pool->n_classes);
    const uint64_t j = pool->seen[class_index]++;
    if (j == 0)
        add_present(pool, class_index);
    if (pool->share == 0)
        return;
    const uint64_t slot =
        j < pool->share ? j : draw_below(draw_bits(draw_mix(seed + POOL_KEY) + class_index, j), pool->share);
    const uint32_t where = first_slot(pool, class_index) + (uint32_t)slot;
    if (j >= pool->share)
        sum_without(pool->sum, &pool->slots->prints[where]);
    keep(pool, where);
    memcpy(pool->slots->pixels + (size_t)where * pool->n_input, pixels, pool->n_input);
    pool->slots->ids[where] = id;
    pool->doubts[where] = doubt;
    pool->slots->prints[where] = fingerprint(class_index, (uint32_t)slot, pixels, pool->n_input);
    sum_with(pool->sum, &pool->slots->prints[where]);
}

bool pool_draw(const struct pool *pool, uint64_t draw, struct pool_drawn *drawn)
{
    if (pool->share == 0 || pool->n_present == 0)
        return false;
    const uint32_t c = pool->present[draw_below(draw_bits(draw, 0), pool->n_present)];
    const uint32_t first = first_slot(pool, c), used = pool_used(pool, c);
    uint32_t slot = 0;
    for (uint32_t i = 0; i < POOL_DRAWS; i++) {
        const uint32_t other = (uint32_t)draw_below(draw_bits(draw, 1 + i), used);
        if (i == 0 || pool->doubts[first + other] > pool->doubts[first + slot])
            slot = other;
    }
    *drawn = (struct pool_drawn){c, slot, pixels_of(pool, first + slot)};
    return true;
}

void pool_saw(struct pool *pool, const struct pool_drawn *drawn, uint8_t doubt)
{
    assert(drawn->slot < pool_used(pool, drawn->class_index));
    pool->doubts[first_slot(pool, drawn->class_index) + drawn->slot] = doubt;
}

/* The upper bits of a float, exponent and four bits behind it, count sixteenths of a doubling: from 2^-18 to the largest, 1/4. */
uint8_t pool_doubt(float p)
{
    const float doubt = p * (1.0F - p);
    uint32_t bits;
    if (!(doubt > 0x1p-18F)) /* nor if it is no number */
        return 0;
    memcpy(&bits, &doubt, sizeof bits);
    const uint32_t steps = (bits >> 19) - ((127u - 18u) << 4);
    return (uint8_t)(steps < POOL_UNKNOWN ? steps : POOL_UNKNOWN - 1);
}

/* ---- copies, and going back ---- */

static void copy_counters(struct pool *dst, const struct pool *src)
{
    assert(dst->n_input == src->n_input);
    for (uint32_t c = 0; c < src->n_classes; c++)
        memcpy(pool_doubts(dst, c), pool_doubts(src, c), pool_used(src, c));
    memcpy(dst->seen, src->seen, src->n_classes * sizeof *dst->seen);
    if (dst->n_classes > src->n_classes) /* classes that were taken back leave no counts for those that come */
        memset(dst->seen + src->n_classes, 0, (dst->n_classes - src->n_classes) * sizeof *dst->seen);
    memcpy(dst->present, src->present, src->n_present * sizeof *dst->present);
    dst->n_present = src->n_present;
    dst->n_classes = src->n_classes;
    dst->share = src->share;
    memcpy(dst->sum, src->sum, sizeof dst->sum);
}

/* Nothing can be taken back any more. */
static void forget_kept(struct pool_slots *s)
{
    for (uint32_t i = 0; i < s->kept.n; i++)
        s->state[s->kept.where[i]] = SLOT_USED;
    s->kept.n = 0;
}

void pool_copy(struct pool *dst, const struct pool *src)
{
    if (dst->slots != NULL && src->slots != NULL) {
        forget_kept(dst->slots);
        dst->slots->marked = false;
        for (uint32_t c = 0; c < src->n_classes; c++) {
            const size_t first = first_slot(src, c), n = pool_used(src, c), n_input = src->n_input;
            memcpy(dst->slots->pixels + first * n_input, src->slots->pixels + first * n_input, n * n_input);
            memcpy(dst->slots->ids + first, src->slots->ids + first, n * sizeof *src->slots->ids);
            memcpy(dst->slots->prints + first, src->slots->prints + first, n * sizeof *src->slots->prints);
            memset(dst->slots->state + first, SLOT_USED, n);
        }
    } else {
        assert(dst->slots == NULL || memcmp(dst->sum, src->sum, sizeof dst->sum) == 0);
    }
    copy_counters(dst, src);
}

void pool_mark(struct pool *pool)
{
    assert(pool->slots != NULL);
    forget_kept(pool->slots);
    pool->slots->marked = true;
}

void pool_undo(struct pool *pool, const struct pool *marked)
{
    struct pool_slots *s = pool->slots;
    assert(s != NULL && s->marked);
    for (uint32_t i = 0; i < s->kept.n; i++) {
        const uint32_t where = s->kept.where[i];
        s->state[where] = s->kept.used[i] ? SLOT_USED : SLOT_NEVER;
        if (s->kept.used[i]) {
            s->ids[where] = s->kept.ids[i];
            s->prints[where] = s->kept.prints[i];
            memcpy(pixels_of(pool, where), s->kept.pixels + (size_t)i * pool->n_input, pool->n_input);
        }
    }
    s->kept.n = 0;
    copy_counters(pool, marked);
}

/* ---- for snapshots ---- */

uint8_t *pool_doubts(const struct pool *pool, uint32_t class_index)
{
    return pool->doubts + first_slot(pool, class_index);
}

int64_t pool_id(const struct pool *pool, uint32_t class_index, uint32_t slot)
{
    assert(pool->slots != NULL && slot < pool_used(pool, class_index));
    return pool->slots->ids[first_slot(pool, class_index) + slot];
}

void pool_fill(struct pool *pool, uint32_t class_index, uint32_t slot, int64_t id, const uint8_t *pixels)
{
    assert(pool->slots != NULL && slot < pool_used(pool, class_index));
    const uint32_t where = first_slot(pool, class_index) + slot;
    pool->slots->ids[where] = id;
    pool->slots->state[where] = SLOT_USED;
    if (pixels == NULL)
        return;
    memcpy(pool->slots->pixels + (size_t)where * pool->n_input, pixels, pool->n_input);
    pool->slots->prints[where] = fingerprint(class_index, slot, pixels, pool->n_input);
}

void pool_present(struct pool *pool)
{
    pool->n_present = 0;
    for (uint32_t c = 0; c < pool->n_classes; c++)
        if (pool->seen[c] > 0)
            pool->present[pool->n_present++] = c;
}
