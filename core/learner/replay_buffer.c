/* replay_buffer.c - see replay_buffer.h */
#include "core/learner/replay_buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/draw.h"

/* What tells the draws of the slots from all others of the same seed. */
#define REPLAY_BUFFER_KEY 0x706f6f6cu

/* The fingerprint of what is in a slot, so that taking it out of the sum reads 32 bytes and not an image. */
struct print {
    uint64_t h[REPLAY_BUFFER_SUM];
};

#define LOOK_CLASSES 16u /* replay_buffer_drawings() */
#define LOOK_PIXELS  256u

struct replay_buffer_slots {
    uint8_t *pixels;      /* [n_slots][n_input] */
    int64_t *ids;         /* [n_slots]          */
    struct print *prints; /* [n_slots]; beside REPLAY_BUFFER_BYTES() */
};

/* ---- memory ---- */

static void slots_free(struct replay_buffer_slots *slots)
{
    if (slots == NULL)
        return;
    free(slots->pixels);
    free(slots->ids);
    free(slots->prints);
    free(slots);
}

/* Not cleared: that would touch memory which few models ever use. */
static struct replay_buffer_slots *slots_create(uint32_t n_slots, uint32_t n_input)
{
    struct replay_buffer_slots *slots = calloc(1, sizeof *slots);
    if (slots == NULL)
        return NULL;
    const size_t n = n_slots > 0 ? n_slots : 1; /* malloc(0) may give NULL */
    slots->pixels = malloc(n * n_input);
    slots->ids = malloc(n * sizeof *slots->ids);
    slots->prints = malloc(n * sizeof *slots->prints);
    if (slots->pixels == NULL || slots->ids == NULL || slots->prints == NULL) {
        slots_free(slots);
        return NULL;
    }
    return slots;
}

struct replay_buffer *replay_buffer_create(uint32_t n_input, uint32_t size, uint32_t capacity, bool with_slots)
{
    assert(n_input > 0 && size > 0 && capacity > 0);
    struct replay_buffer *buffer = calloc(1, sizeof *buffer);
    if (buffer == NULL)
        return NULL;
    buffer->n_input = n_input;
    buffer->size = size;
    buffer->n_slots = REPLAY_BUFFER_BYTES(size) / (n_input + REPLAY_BUFFER_SLOT_BYTES);
    buffer->seen = calloc(capacity, sizeof *buffer->seen);
    buffer->present = calloc(capacity, sizeof *buffer->present);
    buffer->uncertainties = calloc(buffer->n_slots > 0 ? buffer->n_slots : 1, sizeof *buffer->uncertainties);
    buffer->slots = with_slots ? slots_create(buffer->n_slots, n_input) : NULL;
    if (buffer->seen == NULL || buffer->present == NULL || buffer->uncertainties == NULL ||
        (with_slots && buffer->slots == NULL)) {
        replay_buffer_free(buffer);
        return NULL;
    }
    return buffer;
}

void replay_buffer_free(struct replay_buffer *buffer)
{
    if (buffer == NULL)
        return;
    slots_free(buffer->slots);
    free(buffer->seen);
    free(buffer->present);
    free(buffer->uncertainties);
    free(buffer);
}

int replay_buffer_reserve(struct replay_buffer *buffer, uint32_t capacity)
{
    assert(capacity >= buffer->n_classes);
    uint64_t *seen = calloc(capacity, sizeof *seen);
    uint32_t *present = calloc(capacity, sizeof *present);
    if (seen == NULL || present == NULL) {
        free(seen);
        free(present);
        return -1;
    }
    memcpy(seen, buffer->seen, buffer->n_classes * sizeof *seen);
    memcpy(present, buffer->present, buffer->n_present * sizeof *present);
    free(buffer->seen);
    free(buffer->present);
    buffer->seen = seen;
    buffer->present = present;
    return 0;
}

/* ---- where things are ---- */

/* The first slot of a class: replay_buffer.h says why. */
static uint32_t first_slot(const struct replay_buffer *buffer, uint32_t class_index)
{
    uint32_t first = 0;
    for (unsigned bit = 0; class_index >> bit != 0; bit++)
        if ((class_index >> bit & 1) != 0)
            first += buffer->n_slots >> (bit + 1);
    return first;
}

uint32_t replay_buffer_used(const struct replay_buffer *buffer, uint32_t class_index)
{
    return buffer->seen[class_index] < buffer->share ? (uint32_t)buffer->seen[class_index] : buffer->share;
}

static uint32_t share_of(const struct replay_buffer *buffer, uint32_t n_classes)
{
    unsigned bits = 0;
    while (1u << bits < n_classes)
        bits++;
    const uint32_t share = buffer->n_slots >> bits;
    return share < buffer->size ? share : buffer->size;
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
    for (unsigned i = 0; i < REPLAY_BUFFER_SUM; i++)
        print.h[i] = draw_bits((uint64_t)class_index << 32 | slot, i);
    uint64_t a = print.h[0], b = print.h[1], c = print.h[2], d = print.h[3];
    uint64_t words[REPLAY_BUFFER_SUM];
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

static uint8_t *pixels_of(const struct replay_buffer *buffer, uint32_t where)
{
    return buffer->slots->pixels + (size_t)where * buffer->n_input;
}

static void sum_with(uint64_t sum[REPLAY_BUFFER_SUM], const struct print *print)
{
    for (unsigned i = 0; i < REPLAY_BUFFER_SUM; i++)
        sum[i] += print->h[i];
}

static void sum_without(uint64_t sum[REPLAY_BUFFER_SUM], const struct print *print)
{
    for (unsigned i = 0; i < REPLAY_BUFFER_SUM; i++)
        sum[i] -= print->h[i];
}

bool replay_buffer_check(const struct replay_buffer *buffer)
{
    uint64_t sum[REPLAY_BUFFER_SUM] = {0};
    assert(buffer->slots != NULL);
    for (uint32_t c = 0; c < buffer->n_classes; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(buffer, c); slot++) {
            const uint32_t where = first_slot(buffer, c) + slot;
            const struct print print = fingerprint(c, slot, pixels_of(buffer, where), buffer->n_input);
            sum_with(sum, &print);
        }
    return memcmp(sum, buffer->sum, sizeof sum) == 0;
}

/* ---- the fold ---- */

void replay_buffer_classes(struct replay_buffer *buffer, uint32_t n_classes)
{
    assert(n_classes >= buffer->n_classes);
    const uint32_t share = share_of(buffer, n_classes);
    if (buffer->slots != NULL)
        for (uint32_t c = 0; c < buffer->n_classes; c++)
            for (uint32_t slot = share; slot < replay_buffer_used(buffer, c); slot++)
                sum_without(buffer->sum, &buffer->slots->prints[first_slot(buffer, c) + slot]);
    buffer->n_classes = n_classes;
    buffer->share = share;
}

static void add_present(struct replay_buffer *buffer, uint32_t class_index)
{
    uint32_t at = buffer->n_present++;
    for (; at > 0 && buffer->present[at - 1] > class_index; at--)
        buffer->present[at] = buffer->present[at - 1];
    buffer->present[at] = class_index;
}

void replay_buffer_add(struct replay_buffer *buffer, uint64_t seed, uint32_t class_index, const uint8_t *pixels,
                       uint8_t uncertainty, int64_t id)
{
    assert(buffer->slots != NULL && class_index < buffer->n_classes);
    const uint64_t j = buffer->seen[class_index]++;
    if (j == 0)
        add_present(buffer, class_index);
    if (buffer->share == 0)
        return;
    const uint64_t slot =
        j < buffer->share ? j
                          : draw_below(draw_bits(draw_mix(seed + REPLAY_BUFFER_KEY) + class_index, j), buffer->share);
    const uint32_t where = first_slot(buffer, class_index) + (uint32_t)slot;
    if (j >= buffer->share)
        sum_without(buffer->sum, &buffer->slots->prints[where]);
    memcpy(buffer->slots->pixels + (size_t)where * buffer->n_input, pixels, buffer->n_input);
    buffer->slots->ids[where] = id;
    buffer->uncertainties[where] = uncertainty;
    buffer->slots->prints[where] = fingerprint(class_index, (uint32_t)slot, pixels, buffer->n_input);
    sum_with(buffer->sum, &buffer->slots->prints[where]);
}

bool replay_buffer_draw(const struct replay_buffer *buffer, uint64_t draw, struct replay_buffer_drawn *drawn)
{
    if (buffer->share == 0 || buffer->n_present == 0)
        return false;
    const uint32_t c = buffer->present[draw_below(draw_bits(draw, 0), buffer->n_present)];
    const uint32_t first = first_slot(buffer, c), used = replay_buffer_used(buffer, c);
    uint32_t slot = 0;
    for (uint32_t i = 0; i < REPLAY_BUFFER_DRAWS; i++) {
        const uint32_t other = (uint32_t)draw_below(draw_bits(draw, 1 + i), used);
        if (i == 0 || buffer->uncertainties[first + other] > buffer->uncertainties[first + slot])
            slot = other;
    }
    *drawn = (struct replay_buffer_drawn){c, slot, pixels_of(buffer, first + slot)};
    return true;
}

void replay_buffer_saw(struct replay_buffer *buffer, const struct replay_buffer_drawn *drawn, uint8_t uncertainty)
{
    assert(drawn->slot < replay_buffer_used(buffer, drawn->class_index));
    buffer->uncertainties[first_slot(buffer, drawn->class_index) + drawn->slot] = uncertainty;
}

/* The upper bits of a float, exponent and four bits behind it, count sixteenths of a doubling: from 2^-18 to the largest, 1/4. */
uint8_t replay_buffer_uncertainty(float p)
{
    const float uncertainty = p * (1.0F - p);
    uint32_t bits;
    if (!(uncertainty > 0x1p-18F)) /* nor if it is no number */
        return 0;
    memcpy(&bits, &uncertainty, sizeof bits);
    const uint32_t steps = (bits >> 19) - ((127u - 18u) << 4);
    return (uint8_t)(steps < UNCERTAINTY_UNKNOWN ? steps : UNCERTAINTY_UNKNOWN - 1);
}

bool replay_buffer_drawings(const struct replay_buffer *buffer)
{
    if (buffer->slots == NULL)
        return buffer->drawings;
    const uint32_t n = buffer->n_present < LOOK_CLASSES ? buffer->n_present : LOOK_CLASSES;
    const uint32_t stride = (buffer->n_input + LOOK_PIXELS - 1) / LOOK_PIXELS;
    uint32_t seen = 0, zeros = 0;
    for (uint32_t i = 0; i < n && buffer->share > 0; i++) {
        const uint8_t *pixels = pixels_of(buffer, first_slot(buffer, buffer->present[i]));
        for (uint32_t at = 0; at < buffer->n_input; at += stride, seen++)
            zeros += pixels[at] == 0;
    }
    return seen > 0 && 2 * zeros >= seen;
}

/* ---- copies ---- */

static void copy_counters(struct replay_buffer *dst, const struct replay_buffer *src)
{
    assert(dst->n_input == src->n_input && dst->size == src->size);
    for (uint32_t c = 0; c < src->n_classes; c++)
        memcpy(replay_buffer_uncertainties(dst, c), replay_buffer_uncertainties(src, c), replay_buffer_used(src, c));
    memcpy(dst->seen, src->seen, src->n_classes * sizeof *dst->seen);
    if (dst->n_classes > src->n_classes) /* classes that were taken back leave no counts for those that come */
        memset(dst->seen + src->n_classes, 0, (dst->n_classes - src->n_classes) * sizeof *dst->seen);
    memcpy(dst->present, src->present, src->n_present * sizeof *dst->present);
    dst->n_present = src->n_present;
    dst->n_classes = src->n_classes;
    dst->share = src->share;
    memcpy(dst->sum, src->sum, sizeof dst->sum);
}

void replay_buffer_copy(struct replay_buffer *dst, const struct replay_buffer *src)
{
    if (dst->slots != NULL && src->slots != NULL) {
        for (uint32_t c = 0; c < src->n_classes; c++) {
            const size_t first = first_slot(src, c), n = replay_buffer_used(src, c), n_input = src->n_input;
            memcpy(dst->slots->pixels + first * n_input, src->slots->pixels + first * n_input, n * n_input);
            memcpy(dst->slots->ids + first, src->slots->ids + first, n * sizeof *src->slots->ids);
            memcpy(dst->slots->prints + first, src->slots->prints + first, n * sizeof *src->slots->prints);
        }
    } else {
        assert(dst->slots == NULL || memcmp(dst->sum, src->sum, sizeof dst->sum) == 0);
    }
    dst->drawings = replay_buffer_drawings(src);
    copy_counters(dst, src);
}

/* ---- for snapshots ---- */

uint8_t *replay_buffer_uncertainties(const struct replay_buffer *buffer, uint32_t class_index)
{
    return buffer->uncertainties + first_slot(buffer, class_index);
}

int64_t replay_buffer_id(const struct replay_buffer *buffer, uint32_t class_index, uint32_t slot)
{
    assert(buffer->slots != NULL && slot < replay_buffer_used(buffer, class_index));
    return buffer->slots->ids[first_slot(buffer, class_index) + slot];
}

const uint8_t *replay_buffer_pixels(const struct replay_buffer *buffer, uint32_t class_index, uint32_t slot)
{
    assert(buffer->slots != NULL && slot < replay_buffer_used(buffer, class_index));
    return pixels_of(buffer, first_slot(buffer, class_index) + slot);
}

void replay_buffer_fill(struct replay_buffer *buffer, uint32_t class_index, uint32_t slot, int64_t id,
                        const uint8_t *pixels)
{
    assert(buffer->slots != NULL && slot < replay_buffer_used(buffer, class_index));
    const uint32_t where = first_slot(buffer, class_index) + slot;
    buffer->slots->ids[where] = id;
    if (pixels == NULL)
        return;
    memcpy(buffer->slots->pixels + (size_t)where * buffer->n_input, pixels, buffer->n_input);
    buffer->slots->prints[where] = fingerprint(class_index, slot, pixels, buffer->n_input);
}

void replay_buffer_present(struct replay_buffer *buffer)
{
    buffer->n_present = 0;
    for (uint32_t c = 0; c < buffer->n_classes; c++)
        if (buffer->seen[c] > 0)
            buffer->present[buffer->n_present++] = c;
}
