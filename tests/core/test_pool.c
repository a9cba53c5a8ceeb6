/* test_pool.c - the pool of past samples: against a naive reference of its rule, who stays and who is drawn, its bounds, going back, and
 * what rehearsing from it does for a learner. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/models.h"
#include "tests/core/run.h"

#define CLASSES 40

/* ---- the reference: for each class the list of its slots, each with the number of its sample ---- */

struct reference {
    uint32_t share, n_classes;
    uint64_t seen[CLASSES];
    uint64_t slots[CLASSES][POOL_CLASS_MAX];
    uint8_t doubts[CLASSES][POOL_CLASS_MAX];
};

static void reference_classes(struct reference *r, uint32_t n_input, uint32_t n_classes)
{
    uint32_t p = 1;
    while (p < n_classes)
        p *= 2;
    const uint32_t fit = POOL_BYTES / (n_input + POOL_SLOT_BYTES) / p;
    r->share = fit < POOL_CLASS_MAX ? fit : POOL_CLASS_MAX;
    r->n_classes = n_classes;
}

static void reference_add(struct reference *r, uint64_t seed, uint32_t c, uint64_t number)
{
    const uint64_t j = r->seen[c]++;
    if (r->share == 0)
        return;
    const uint64_t slot = j < r->share ? j : draw_below(draw_bits(draw_mix(seed + 0x706f6f6c) + c, j), r->share);
    r->slots[c][slot] = number;
    r->doubts[c][slot] = (uint8_t)(number * 37);
}

/* The number-th image: its number is in its first bytes, the rest depends on it. */
static void image(uint8_t *pixels, uint32_t n_input, uint64_t number)
{
    for (uint32_t i = 0; i < n_input; i++)
        pixels[i] = (uint8_t)(i < 8 ? number >> 8 * i : draw_bits(number, i / 8) >> i % 8 * 8);
}

static void add(struct pool *pool, struct reference *r, uint64_t seed, uint32_t c, uint64_t number)
{
    uint8_t *pixels = malloc(pool->n_input);
    ck_assert_ptr_nonnull(pixels);
    image(pixels, pool->n_input, number);
    pool_add(pool, seed, c, pixels, (uint8_t)(number * 37), (int64_t)number);
    reference_add(r, seed, c, number);
    free(pixels);
}

static void expect_same(const struct pool *pool, const struct reference *r)
{
    ck_assert_uint_eq(pool->share, r->share);
    for (uint32_t c = 0; c < r->n_classes; c++) {
        const uint32_t n = r->seen[c] < r->share ? (uint32_t)r->seen[c] : r->share;
        ck_assert_uint_eq(pool->seen[c], r->seen[c]);
        ck_assert_uint_eq(pool_used(pool, c), n);
        for (uint32_t slot = 0; slot < n; slot++)
            ck_assert_msg(pool_id(pool, c, slot) == (int64_t)r->slots[c][slot], "class %u, slot %u: %lld, but %llu", c,
                          slot, (long long)pool_id(pool, c, slot), (unsigned long long)r->slots[c][slot]);
        ck_assert(n == 0 || memcmp(pool_doubts(pool, c), r->doubts[c], n) == 0);
    }
    ck_assert(pool_check(pool));
}

/* What is drawn is an image that the reference has, whole; of three drawn slots the first that none has more doubt than. */
static void expect_drawn(const struct pool *pool, const struct reference *r, uint32_t n_draws)
{
    uint32_t present[CLASSES] = {0}, n_present = 0;
    uint8_t *pixels = malloc(pool->n_input);
    ck_assert_ptr_nonnull(pixels);
    for (uint32_t c = 0; c < r->n_classes; c++)
        if (r->seen[c] > 0)
            present[n_present++] = c;
    for (uint64_t i = 0; i < n_draws; i++) {
        struct pool_drawn drawn;
        const uint64_t draw = draw_bits(1, i);
        ck_assert(pool_draw(pool, draw, &drawn));
        const uint32_t c = present[draw_below(draw_bits(draw, 0), n_present)], used = pool_used(pool, c);
        ck_assert_uint_eq(drawn.class_index, c);
        uint64_t slots[3];
        for (uint32_t k = 0; k < 3; k++)
            slots[k] = draw_below(draw_bits(draw, 1 + k), used);
        const uint8_t *d = r->doubts[c];
        const uint64_t best = d[slots[0]] >= d[slots[1]] && d[slots[0]] >= d[slots[2]] ? slots[0]
                              : d[slots[1]] >= d[slots[2]]                             ? slots[1]
                                                                                       : slots[2];
        ck_assert_uint_eq(drawn.slot, best);
        image(pixels, pool->n_input, r->slots[c][best]);
        ck_assert_mem_eq(drawn.pixels, pixels, pool->n_input);
    }
    free(pixels);
}

/* n samples are drawn and seen again, with other doubts than before. */
static void see_some(struct pool *pool, struct reference *r, uint32_t n, uint64_t seed)
{
    for (uint64_t i = 0; i < n; i++) {
        struct pool_drawn drawn;
        if (!pool_draw(pool, draw_bits(seed, i), &drawn))
            return;
        const uint8_t doubt = (uint8_t)draw_bits(seed + 1, i);
        pool_saw(pool, &drawn, doubt);
        r->doubts[drawn.class_index][drawn.slot] = doubt;
    }
}

/* ---- the rule ---- */

static const struct {
    uint32_t n_input, n_classes;
} sizes[] = {{784, 10}, {100, 3}, {4097, 17}, {30011, 5}, {200000, 10}, {8, 1}};

START_TEST(the_pool_has_what_its_rule_says)
{
    const uint32_t n_input = sizes[_i].n_input, n_classes = sizes[_i].n_classes;
    static struct reference r;
    struct pool *pool = pool_create(n_input, n_classes, true);
    struct chance chance = {.state = 1 + (uint64_t)_i};
    ck_assert_ptr_nonnull(pool);
    pool_classes(pool, n_classes);
    reference_classes(&r, n_input, n_classes);
    const uint64_t n = (uint64_t)r.share * n_classes * 3;
    for (uint64_t number = 1; number <= n; number++) {
        /* class 0 comes as often as all others together */
        const uint32_t c =
            chance_between(&chance, 0, 1) == 0 ? 0 : (uint32_t)draw_below(chance_bits(&chance), n_classes);
        add(pool, &r, 42, c, number);
        if (number == 1 || number == n / 2) {
            expect_same(pool, &r);
            see_some(pool, &r, 100, number);
        }
    }
    expect_same(pool, &r);
    expect_drawn(pool, &r, 300);
    pool_free(pool);
}
END_TEST

START_TEST(a_class_that_comes_later_halves_the_others_only_where_room_is_short)
{
    /* 20000 bytes: 838 slots; of 1, 2, 4, 8, 16, 32 and 64 classes each has 838, 419, 209, 104, 52, 26, 13 */
    static struct reference r;
    struct pool *pool = pool_create(20000, CLASSES, true);
    ck_assert_ptr_nonnull(pool);
    uint64_t number = 1;
    for (uint32_t n_classes = 1; n_classes <= CLASSES; n_classes++) {
        pool_classes(pool, n_classes);
        reference_classes(&r, 20000, n_classes);
        expect_same(pool, &r);
        for (uint32_t i = 0; i < 60; i++)
            add(pool, &r, 5, i % n_classes, number++);
        add(pool, &r, 5, n_classes - 1, number++);
        expect_same(pool, &r);
        expect_drawn(pool, &r, 20);
    }
    ck_assert_uint_eq(pool->share, 838 >> 6);
    pool_free(pool);
}
END_TEST

START_TEST(slots_of_all_classes_lie_apart_within_the_bounds)
{
    /* every slot of every class gets an image of its own; that none was overwritten, pool_check() tells */
    static const uint32_t inputs[] = {1, 64, 784, 3000, 12288};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        for (uint32_t n_classes = 1; n_classes <= 1024; n_classes = n_classes * 3 / 2 + 1) {
            struct pool *pool = pool_create(inputs[i], n_classes, true);
            uint8_t *pixels = calloc(inputs[i], 1);
            ck_assert(pool != NULL && pixels != NULL);
            pool_classes(pool, n_classes);
            ck_assert_uint_le((uint64_t)pool->n_slots * (inputs[i] + POOL_SLOT_BYTES), POOL_BYTES);
            ck_assert_uint_le((uint64_t)pool->share * n_classes, pool->n_slots);
            ck_assert_uint_le(pool->share, POOL_CLASS_MAX);
            const uint32_t share = SLOW_BUILD && pool->share > 20 ? 20 : pool->share;
            for (uint32_t c = 0; c < n_classes; c++)
                for (uint32_t slot = 0; slot < share; slot++) {
                    pixels[0] = (uint8_t)(c + slot);
                    pool_add(pool, 1, c, pixels, 0, (int64_t)c * 1000 + slot);
                }
            for (uint32_t c = 0; c < n_classes; c++)
                for (uint32_t slot = 0; slot < share; slot++)
                    ck_assert_int_eq(pool_id(pool, c, slot), (int64_t)c * 1000 + slot);
            ck_assert(pool_check(pool));
            pool_free(pool);
            free(pixels);
        }
}
END_TEST

START_TEST(nothing_is_kept_of_images_that_are_too_large)
{
    const uint32_t n_input = 4000000; /* four of them fit, but there are five classes */
    uint8_t *pixels = calloc(n_input, 1);
    struct pool *pool = pool_create(n_input, 5, true);
    struct pool_drawn drawn;
    ck_assert(pool != NULL && pixels != NULL);
    pool_classes(pool, 5);
    ck_assert_uint_eq(pool->share, 0);
    pool_add(pool, 1, 4, pixels, 0, 1);
    ck_assert_uint_eq(pool->seen[4], 1);
    ck_assert(!pool_draw(pool, 7, &drawn));
    ck_assert(pool_check(pool));
    pool_free(pool);
    free(pixels);
}
END_TEST

START_TEST(nothing_is_drawn_from_an_empty_pool)
{
    struct pool *pool = pool_create(784, 10, true);
    struct pool_drawn drawn;
    ck_assert_ptr_nonnull(pool);
    pool_classes(pool, 10);
    ck_assert(!pool_draw(pool, 7, &drawn));
    pool_free(pool);
}
END_TEST

/* ---- who stays, and who is drawn ---- */

START_TEST(a_new_sample_always_enters_and_the_chance_to_stay_falls_with_what_comes_after)
{
    /* 4 share samples of one class: of those that k came after, (1 - 1/share)^k stay; the first `share` are alike */
    enum { SHARE = POOL_CLASS_MAX, SEEDS = 40, PARTS = 8, PART = 4 * SHARE / PARTS };
    unsigned parts[PARTS] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const uint8_t pixels[16] = {0};
        struct pool *pool = pool_create(16, 1, true);
        ck_assert_ptr_nonnull(pool);
        pool_classes(pool, 1);
        ck_assert_uint_eq(pool->share, SHARE);
        for (int64_t i = 0; i < 4 * SHARE; i++)
            pool_add(pool, seed, 0, pixels, 0, i);
        bool newest = false;
        for (uint32_t slot = 0; slot < SHARE; slot++) {
            parts[pool_id(pool, 0, slot) / PART]++;
            newest = newest || pool_id(pool, 0, slot) == 4 * SHARE - 1;
        }
        ck_assert(newest);
        pool_free(pool);
    }
    for (int part = 0; part < PARTS; part++) {
        double expected = 0;
        for (int i = part * PART; i < (part + 1) * PART; i++)
            expected += SEEDS * pow(1 - 1.0 / SHARE, i < SHARE ? 3 * SHARE : 4 * SHARE - 1 - i);
        ck_assert_msg(fabs(parts[part] - expected) < 5 * sqrt(expected), "part %d: %u, not %.0f", part, parts[part],
                      expected);
    }
}
END_TEST

START_TEST(doubt_grows_with_p_times_1_minus_p)
{
    /* each probability beside one that is further from 1/2 */
    ck_assert_uint_eq(pool_doubt(0.0F), 0);
    ck_assert_uint_eq(pool_doubt(1.0F), 0);
    ck_assert_uint_eq(pool_doubt(0x1p-20F), 0);
    ck_assert_uint_gt(pool_doubt(0x1p-16F), 0);
    ck_assert_uint_eq(pool_doubt(0.5F), POOL_UNKNOWN - 1);
    for (uint32_t i = 1; i < 100000; i++) {
        const float p = (float)i / 200000.0F, less = (float)(i - 1) / 200000.0F;
        ck_assert_uint_ge(pool_doubt(p), pool_doubt(less));
        ck_assert_uint_ge(pool_doubt(1.0F - p), pool_doubt(1.0F - less));
        ck_assert_uint_lt(pool_doubt(p), POOL_UNKNOWN);
    }
    for (int i = -17; i < -3; i++) { /* 16 steps to a doubling, nearly, since 1 - p falls */
        const float p = ldexpf(1.0F, i);
        ck_assert_msg(abs(pool_doubt(2 * p) - pool_doubt(p) - 16) <= 3, "%g", (double)p);
    }
}
END_TEST

START_TEST(what_is_no_probability_is_no_doubt)
{
    static const float wrong[] = {NAN, -NAN, INFINITY, -INFINITY, -0.5F, 1.5F, 1.0000001F, -0.0F, FLT_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_uint_eq(pool_doubt(wrong[i]), 0);
}
END_TEST

START_TEST(classes_are_drawn_alike_however_they_came)
{
    /* 3000 samples of class 0, 30 of class 1, 1 of class 3, none of class 2 */
    struct pool *pool = pool_create(16, 4, true);
    const uint8_t pixels[16] = {0};
    unsigned counts[4] = {0};
    ck_assert_ptr_nonnull(pool);
    pool_classes(pool, 4);
    for (int i = 0; i < 3000; i++)
        pool_add(pool, 1, 0, pixels, 0, 1);
    pool_add(pool, 1, 3, pixels, POOL_UNKNOWN, 1);
    for (int i = 0; i < 30; i++)
        pool_add(pool, 1, 1, pixels, (uint8_t)i, 1);
    for (uint64_t i = 0; i < 30000; i++) {
        struct pool_drawn drawn;
        ck_assert(pool_draw(pool, draw_bits(2, i), &drawn));
        counts[drawn.class_index]++;
    }
    ck_assert_uint_eq(counts[2], 0);
    for (int c = 0; c < 4; c++)
        ck_assert_msg(c == 2 || (counts[c] > 9590 && counts[c] < 10410), "class %d: %u", c, counts[c]);
    pool_free(pool);
}
END_TEST

/* ---- the sum ---- */

START_TEST(any_change_of_any_image_is_noticed)
{
    static struct reference r;
    uint8_t pixels[67];
    struct pool *pool = pool_create(67, 2, true);
    ck_assert_ptr_nonnull(pool);
    pool_classes(pool, 2);
    reference_classes(&r, 67, 2);
    for (uint64_t i = 1; i <= 20; i++)
        add(pool, &r, 9, (uint32_t)(i % 2), i);
    for (uint32_t bit = 0; bit < 8 * 67; bit++) {
        image(pixels, 67, r.slots[1][3]);
        pixels[bit / 8] ^= (uint8_t)(1u << bit % 8);
        pool_fill(pool, 1, 3, 7, pixels);
        ck_assert_msg(!pool_check(pool), "bit %u", bit);
    }
    image(pixels, 67, r.slots[1][3]);
    pool_fill(pool, 1, 3, 7, pixels); /* an id is not of the sum */
    ck_assert(pool_check(pool));
    image(pixels, 67, r.slots[1][4]);
    pool_fill(pool, 1, 3, 7, pixels);
    image(pixels, 67, r.slots[1][3]);
    pool_fill(pool, 1, 4, 7, pixels);
    ck_assert(!pool_check(pool)); /* two that changed places */
    pool_free(pool);
}
END_TEST

/* ---- copies, and going back ---- */

/* A pool of small room, filled past its reservoirs. */
static struct pool *filled(struct reference *r, uint32_t n_classes, uint64_t n)
{
    struct pool *pool = pool_create(40000, CLASSES, true);
    ck_assert_ptr_nonnull(pool);
    memset(r, 0, sizeof *r);
    pool_classes(pool, n_classes);
    reference_classes(r, 40000, n_classes);
    for (uint64_t i = 1; i <= n; i++)
        add(pool, r, 3, (uint32_t)draw_below(draw_bits(4, i), n_classes), i);
    return pool;
}

START_TEST(what_came_after_the_mark_is_taken_back)
{
    static struct reference before, after;
    struct pool *pool = filled(&before, 8, _i == 0 ? 0 : _i == 1 ? 30 : 1000);
    struct pool *marked = pool_create(40000, CLASSES, false);
    ck_assert_ptr_nonnull(marked);
    for (uint64_t round = 0; round < 6; round++) {
        pool_copy(marked, pool);
        pool_mark(pool);
        after = before;
        see_some(pool, &after, 20, 2 * round);
        for (uint32_t i = 0; i < 40 * round; i++)
            add(pool, &after, 3, i % after.n_classes, 5000 + 1000 * round + i);
        see_some(pool, &after, 30, 100 + round);
        if (round >= 3) { /* new classes take the room of others */
            pool_classes(pool, 8 + (uint32_t)round);
            reference_classes(&after, 40000, 8 + (uint32_t)round);
            for (uint32_t i = 0; i < 60; i++)
                add(pool, &after, 3, i % after.n_classes, 20000 + i);
            see_some(pool, &after, 30, 200 + round);
        }
        expect_same(pool, &after);
        pool_undo(pool, marked);
        expect_same(pool, &before);
        ck_assert_uint_eq(pool->n_classes, 8);
        for (uint32_t c = 8; c < CLASSES; c++)
            ck_assert_uint_eq(pool->seen[c], 0);
        /* and some of each round stays */
        for (uint32_t i = 0; i < 5; i++)
            add(pool, &before, 3, i, 50000 + 10 * round + i);
        see_some(pool, &before, 10, 300 + round);
        expect_same(pool, &before);
    }
    if (_i > 0)
        expect_drawn(pool, &before, 100);
    pool_free(pool);
    pool_free(marked);
}
END_TEST

START_TEST(a_copy_is_equal_and_independent)
{
    static struct reference r, other;
    struct pool *a = filled(&r, 20, 500), *b = filled(&other, 9, 700);
    pool_mark(b);
    add(b, &other, 3, 2, 12345);
    see_some(b, &other, 20, 1);
    see_some(a, &r, 50, 2);
    pool_copy(b, a);
    expect_same(b, &r);
    pool_mark(b);
    other = r;
    for (uint64_t i = 0; i < 300; i++)
        add(b, &other, 3, (uint32_t)(i % 20), 3000 + i);
    see_some(b, &other, 50, 3);
    expect_same(b, &other);
    expect_same(a, &r);
    struct pool *light = pool_create(40000, 20, false);
    ck_assert_ptr_nonnull(light);
    pool_copy(light, a);
    ck_assert_mem_eq(light->sum, a->sum, sizeof a->sum);
    ck_assert_mem_eq(light->seen, a->seen, 20 * sizeof *a->seen);
    for (uint32_t c = 0; c < 20; c++)
        ck_assert_mem_eq(pool_doubts(light, c), pool_doubts(a, c), pool_used(a, c));
    pool_undo(b, light);
    expect_same(b, &r);
    pool_free(a);
    pool_free(b);
    pool_free(light);
}
END_TEST

START_TEST(room_for_more_classes_changes_nothing)
{
    static struct reference r;
    struct pool *pool = filled(&r, 20, 500);
    ck_assert_int_eq(pool_reserve(pool, 1000), 0);
    expect_same(pool, &r);
    pool_classes(pool, 1000);
    ck_assert_uint_eq(pool->share, 0);
    ck_assert(pool_check(pool));
    pool_free(pool);
}
END_TEST

/* ---- in the fold ---- */

static struct learner *with_rehearsal(uint32_t rehearsal)
{
    struct model_options options = model_small();
    struct learner *l = model_create(&options);
    l->settings.rehearsal = rehearsal;
    l->settings.jitter = 1.0F;
    l->settings.rotation = 10.0F;
    return l;
}

/* What the model gives that class. */
static float probability(struct learner *l, uint32_t label, const uint8_t *pixels)
{
    net_forward(l->arith, &l->net, l->settings.mean, pixels, l->ws);
    return l->ws->l2[label];
}

START_TEST(each_new_sample_is_followed_by_its_rehearsals)
{
    /* learner.h's sentence, step by step, with the parts */
    struct learner *l = with_rehearsal(3), *by_hand = with_rehearsal(0);
    struct chance chance = {.state = 77};
    struct err err;
    uint8_t pixels[30], displaced[30];
    l->settings.decay_steps = by_hand->settings.decay_steps = 70.0F;
    for (uint32_t i = 0; i < 60; i++) {
        const uint32_t label = chance_between(&chance, 0, 2);
        chance_pixels(&chance, pixels, sizeof pixels);
        (void)model_train(l, label, pixels);
        const uint8_t doubt = pool_doubt(probability(by_hand, label, pixels));
        (void)model_train(by_hand, label, pixels);
        pool_doubts(by_hand->pool, label)[pool_used(by_hand->pool, label) - 1] = doubt;
        for (int k = 0; k < 3; k++) {
            struct pool_drawn past;
            const uint64_t draw = draw_bits(l->settings.seed ^ 0x7265686561727365u, by_hand->step);
            ck_assert(pool_draw(by_hand->pool, draw, &past));
            const struct rehearse_step how = {.rate = settings_rate(&l->settings, by_hand->step),
                                              .jitter = 1.0F,
                                              .rotation = 10.0F,
                                              .draw = draw_bits(draw, 4)};
            jitter_apply(displaced, past.pixels, &l->shape, 1.0F, 10.0F, how.draw);
            const float p = probability(by_hand, past.class_index, displaced);
            ck_assert_int_eq(learner_rehearse(by_hand, past.class_index, past.pixels, &how, &err), 0);
            pool_saw(by_hand->pool, &past, pool_doubt(p));
        }
    }
    ck_assert_uint_eq(l->step, 240);
    ck_assert_uint_eq(l->tally.samples, 60);
    by_hand->settings = l->settings;
    expect_same_digest(l, by_hand);
    learner_free(l);
    learner_free(by_hand);
}
END_TEST

START_TEST(a_batch_is_learned_as_its_samples_one_by_one_are)
{
    struct learner *a = with_rehearsal(2), *b = with_rehearsal(2);
    static uint8_t pixels[50][30];
    struct sample samples[50];
    struct chance chance = {.state = 78};
    struct err err;
    chance_pixels(&chance, pixels[0], sizeof pixels);
    for (uint32_t i = 0; i < 50; i++) {
        samples[i] = (struct sample){.id = 1 + i, .label = i % 3, .pixels = pixels[i]};
        (void)model_train(b, i % 3, pixels[i]);
    }
    struct event event = {.kind = EVENT_TRAIN, .revision = 2, .as.train = {.n = 50, .samples = samples}};
    ck_assert_int_eq(learner_apply(a, &event, &err), 0);
    expect_same_digest(a, b); /* and ids are of no account */
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(the_digest_covers_what_may_be_rehearsed)
{
    /* with a rate of 0 two images of the same outcome leave the same weights, but not the same future */
    struct learner *a = with_rehearsal(0), *b = with_rehearsal(0);
    a->settings.rate = b->settings.rate = 0.0F;
    memset(a->params, 0, net_floats(&a->shape, 3) * sizeof(float));
    memset(b->params, 0, net_floats(&b->shape, 3) * sizeof(float));
    const uint8_t x[30] = {1}, y[30] = {2};
    (void)model_train(a, 1, x);
    (void)model_train(b, 1, y);
    ck_assert_mem_eq(a->params, b->params, net_floats(&a->shape, 3) * sizeof(float));
    ck_assert_mem_eq(&a->tally.recent, &b->tally.recent, sizeof a->tally.recent);
    expect_other_digest(a, b);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(what_came_while_nothing_was_rehearsed_is_of_unknown_doubt)
{
    struct learner *l = with_rehearsal(0);
    model_train_random(l, 30, 5);
    for (uint32_t c = 0; c < 3; c++)
        for (uint32_t slot = 0; slot < pool_used(l->pool, c); slot++)
            ck_assert_uint_eq(pool_doubts(l->pool, c)[slot], POOL_UNKNOWN);
    l->settings.rehearsal = 1;
    model_train_random(l, 1, 6);
    uint32_t known = 0;
    for (uint32_t c = 0; c < 3; c++)
        for (uint32_t slot = 0; slot < pool_used(l->pool, c); slot++)
            known += pool_doubts(l->pool, c)[slot] != POOL_UNKNOWN;
    ck_assert_uint_eq(known, 2); /* the new one, and one that was rehearsed */
    learner_free(l);
}
END_TEST

START_TEST(the_digest_covers_the_doubts)
{
    struct learner *l = with_rehearsal(0);
    model_train_random(l, 30, 5);
    for (uint32_t c = 0; c < 3; c++)
        for (uint32_t slot = 0; slot < pool_used(l->pool, c); slot++) {
            struct hex before = model_digest(l);
            pool_doubts(l->pool, c)[slot]--;
            ck_assert_str_ne(model_digest(l).text, before.text);
        }
    learner_free(l);
}
END_TEST

START_TEST(a_learner_goes_back_to_its_mark)
{
    struct learner *l = with_rehearsal(3);
    struct err err;
    model_train_random(l, 50, 1);
    for (uint32_t round = 0; round < 4; round++) {
        struct learner *marked = learner_dup(l, false, &err), *same = learner_dup(l, true, &err);
        ck_assert(marked != NULL && same != NULL);
        learner_mark(l);
        model_train_random(l, 1 + 30 * round, 2 + round);
        if (round >= 2) {
            ck_assert_int_eq(learner_reserve(l, 200, &err), 0);
            ck_assert_int_eq(model_class(l, CLASS_ADD, 3, "new", &err), 0);
            ck_assert_int_eq(model_class(l, CLASS_ADD, 4, "newer", &err), 0);
            model_train_random(l, 20, 20);
        }
        expect_other_digest(l, same);
        learner_restore(l, marked);
        expect_same_digest(l, same);
        ck_assert(pool_check(l->pool));
        model_train_random(l, 20, 30 + round); /* and from there on it is what it would have been */
        model_train_random(same, 20, 30 + round);
        expect_same_digest(l, same);
        ck_assert(pool_check(l->pool));
        learner_free(marked);
        learner_free(same);
    }
    learner_free(l);
}
END_TEST

START_TEST(a_pool_goes_through_its_bytes_but_for_the_images)
{
    struct learner *l = with_rehearsal(2);
    struct err err;
    model_train_random(l, 200, 3);
    const size_t n = learner_encode_rest(l, NULL, 0);
    uint8_t *bytes = malloc(n);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(learner_encode_rest(l, bytes, n), n);
    struct learner *back = learner_decode(bytes, n, NULL, &err);
    ck_assert_msg(back != NULL, "%s", err.text);
    memcpy(back->params, l->params, net_floats(&l->shape, 3) * sizeof(float));
    expect_same_digest(l, back); /* the sum covers the images */
    for (uint32_t c = 0; c < 3; c++) {
        ck_assert_uint_gt(pool_used(l->pool, c), 0);
        ck_assert_uint_eq(pool_used(back->pool, c), pool_used(l->pool, c));
        for (uint32_t slot = 0; slot < pool_used(l->pool, c); slot++)
            ck_assert_int_eq(pool_id(back->pool, c, slot), pool_id(l->pool, c, slot));
        ck_assert_mem_eq(pool_doubts(back->pool, c), pool_doubts(l->pool, c), pool_used(l->pool, c));
    }
    pool_copy(back->pool, l->pool); /* the images, as the store brings them */
    model_train_random(l, 20, 4);
    model_train_random(back, 20, 4);
    expect_same_digest(l, back);
    learner_free(back);
    learner_free(l);
    free(bytes);
}
END_TEST

/* ---- what it is for ---- */

/* Accuracy on n random images of classes low .. high, as model_train_random() paints them. */
static double accuracy(struct learner *l, uint32_t low, uint32_t high)
{
    struct chance chance = {.state = 999};
    const uint32_t n_input = l->shape.n_input, n = 400;
    uint8_t *pixels = malloc(n_input);
    uint32_t right = 0;
    ck_assert_ptr_nonnull(pixels);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t label = chance_between(&chance, low, high);
        for (uint32_t j = 0; j < n_input; j++)
            pixels[j] = (uint8_t)((chance_bits(&chance) >> 57) + (j * l->n_classes / n_input == label ? 128u : 0u));
        net_forward(l->arith, &l->net, l->settings.mean, pixels, l->ws);
        right += net_argmax(&l->net, l->ws->l2) == label;
    }
    free(pixels);
    return (double)right / n;
}

static void teach(struct learner *l, uint32_t low, uint32_t high, uint32_t n)
{
    struct chance chance = {.state = 1000 + low};
    const uint32_t n_input = l->shape.n_input;
    uint8_t *pixels = malloc(n_input);
    ck_assert_ptr_nonnull(pixels);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t label = chance_between(&chance, low, high);
        for (uint32_t j = 0; j < n_input; j++)
            pixels[j] = (uint8_t)((chance_bits(&chance) >> 57) + (j * l->n_classes / n_input == label ? 128u : 0u));
        (void)model_train(l, label, pixels);
    }
    free(pixels);
}

START_TEST(what_was_taught_first_is_forgotten_without_rehearsal_and_stays_with_it)
{
    struct model_options options = model_small();
    options.width = options.height = 12;
    options.n_classes = 4;
    options.hidden = 24;
    double first[2], then[2], last[2];
    for (uint32_t with = 0; with < 2; with++) {
        struct learner *l = model_create(&options);
        l->settings.rate = 0.5F;
        l->settings.rehearsal = 4 * with;
        teach(l, 0, 1, 500);
        first[with] = accuracy(l, 0, 1);
        teach(l, 2, 3, 4000);
        then[with] = accuracy(l, 0, 1);
        last[with] = accuracy(l, 2, 3);
        (void)printf("pool: rehearsal %u: 0-1 %.3f, after 2-3 were taught %.3f; 2-3 %.3f\n", 4 * with, first[with],
                     then[with], last[with]);
        learner_free(l);
    }
    ck_assert_double_gt(first[0], 0.95);
    ck_assert_double_gt(first[1], 0.95);
    ck_assert_double_lt(then[0], 0.75);
    ck_assert_double_gt(then[1], 0.95);
    ck_assert_double_gt(last[1], 0.95);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("pool");
    tcase_add_loop_test(tcase, the_pool_has_what_its_rule_says, 0, (int)(sizeof sizes / sizeof *sizes));
    tcase_add_test(tcase, a_class_that_comes_later_halves_the_others_only_where_room_is_short);
    tcase_add_test(tcase, slots_of_all_classes_lie_apart_within_the_bounds);
    tcase_add_test(tcase, nothing_is_kept_of_images_that_are_too_large);
    tcase_add_test(tcase, nothing_is_drawn_from_an_empty_pool);
    tcase_add_test(tcase, a_new_sample_always_enters_and_the_chance_to_stay_falls_with_what_comes_after);
    tcase_add_test(tcase, doubt_grows_with_p_times_1_minus_p);
    tcase_add_test(tcase, what_is_no_probability_is_no_doubt);
    tcase_add_test(tcase, classes_are_drawn_alike_however_they_came);
    tcase_add_test(tcase, any_change_of_any_image_is_noticed);
    tcase_add_loop_test(tcase, what_came_after_the_mark_is_taken_back, 0, 3);
    tcase_add_test(tcase, a_copy_is_equal_and_independent);
    tcase_add_test(tcase, room_for_more_classes_changes_nothing);
    tcase_add_test(tcase, each_new_sample_is_followed_by_its_rehearsals);
    tcase_add_test(tcase, a_batch_is_learned_as_its_samples_one_by_one_are);
    tcase_add_test(tcase, what_came_while_nothing_was_rehearsed_is_of_unknown_doubt);
    tcase_add_test(tcase, the_digest_covers_what_may_be_rehearsed);
    tcase_add_test(tcase, the_digest_covers_the_doubts);
    tcase_add_test(tcase, a_learner_goes_back_to_its_mark);
    tcase_add_test(tcase, a_pool_goes_through_its_bytes_but_for_the_images);
    tcase_add_test(tcase, what_was_taught_first_is_forgotten_without_rehearsal_and_stays_with_it);
    return run_case(tcase, "pool");
}
