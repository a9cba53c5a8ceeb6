/* test_replay_buffer.c - the replay buffer of past samples: against a naive reference of its rule, who stays and who is drawn, its bounds, going back, and
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
#define SIZE    1000 /* images of a class, where nothing else is said */
#define LARGER  2500

/* ---- the reference: for each class the list of its slots, each with the number of its sample ---- */

struct reference {
    uint32_t share, n_classes;
    uint64_t seen[CLASSES];
    uint64_t slots[CLASSES][LARGER];
    uint8_t uncertainties[CLASSES][LARGER];
};

static void reference_classes(struct reference *r, uint32_t n_input, uint32_t size, uint32_t n_classes)
{
    uint32_t p = 1;
    while (p < n_classes)
        p *= 2;
    const uint32_t fit = (uint32_t)(16777216.0 * size / 1000) / (n_input + 16) / p;
    r->share = fit < size ? fit : size;
    r->n_classes = n_classes;
}

static void reference_add(struct reference *r, uint64_t seed, uint32_t c, uint64_t number)
{
    const uint64_t j = r->seen[c]++;
    if (r->share == 0)
        return;
    const uint64_t slot = j < r->share ? j : draw_below(draw_bits(draw_mix(seed + 0x706f6f6c) + c, j), r->share);
    r->slots[c][slot] = number;
    r->uncertainties[c][slot] = (uint8_t)(number * 37);
}

/* The number-th image: its number is in its first bytes, the rest depends on it. */
static void image(uint8_t *pixels, uint32_t n_input, uint64_t number)
{
    for (uint32_t i = 0; i < n_input; i++)
        pixels[i] = (uint8_t)(i < 8 ? number >> 8 * i : draw_bits(number, i / 8) >> i % 8 * 8);
}

static void add(struct replay_buffer *buffer, struct reference *r, uint64_t seed, uint32_t c, uint64_t number)
{
    uint8_t *pixels = malloc(buffer->n_input);
    ck_assert_ptr_nonnull(pixels);
    image(pixels, buffer->n_input, number);
    replay_buffer_add(buffer, seed, c, pixels, (uint8_t)(number * 37), (int64_t)number);
    reference_add(r, seed, c, number);
    free(pixels);
}

static void expect_same(const struct replay_buffer *buffer, const struct reference *r)
{
    ck_assert_uint_eq(buffer->share, r->share);
    for (uint32_t c = 0; c < r->n_classes; c++) {
        const uint32_t n = r->seen[c] < r->share ? (uint32_t)r->seen[c] : r->share;
        ck_assert_uint_eq(buffer->seen[c], r->seen[c]);
        ck_assert_uint_eq(replay_buffer_used(buffer, c), n);
        for (uint32_t slot = 0; slot < n; slot++)
            ck_assert_msg(replay_buffer_id(buffer, c, slot) == (int64_t)r->slots[c][slot],
                          "class %u, slot %u: %lld, but %llu", c, slot, (long long)replay_buffer_id(buffer, c, slot),
                          (unsigned long long)r->slots[c][slot]);
        ck_assert(n == 0 || memcmp(replay_buffer_uncertainties(buffer, c), r->uncertainties[c], n) == 0);
    }
    ck_assert(replay_buffer_check(buffer));
}

/* What is drawn is an image that the reference has, whole; of three drawn slots the first that none has a higher uncertainty than. */
static void expect_drawn(const struct replay_buffer *buffer, const struct reference *r, uint32_t n_draws)
{
    uint32_t present[CLASSES] = {0}, n_present = 0;
    uint8_t *pixels = malloc(buffer->n_input);
    ck_assert_ptr_nonnull(pixels);
    for (uint32_t c = 0; c < r->n_classes; c++)
        if (r->seen[c] > 0)
            present[n_present++] = c;
    for (uint64_t i = 0; i < n_draws; i++) {
        struct replay_buffer_drawn drawn;
        const uint64_t draw = draw_bits(1, i);
        ck_assert(replay_buffer_draw(buffer, draw, &drawn));
        const uint32_t c = present[draw_below(draw_bits(draw, 0), n_present)], used = replay_buffer_used(buffer, c);
        ck_assert_uint_eq(drawn.class_index, c);
        uint64_t slots[3];
        for (uint32_t k = 0; k < 3; k++)
            slots[k] = draw_below(draw_bits(draw, 1 + k), used);
        const uint8_t *d = r->uncertainties[c];
        const uint64_t best = d[slots[0]] >= d[slots[1]] && d[slots[0]] >= d[slots[2]] ? slots[0]
                              : d[slots[1]] >= d[slots[2]]                             ? slots[1]
                                                                                       : slots[2];
        ck_assert_uint_eq(drawn.slot, best);
        image(pixels, buffer->n_input, r->slots[c][best]);
        ck_assert_mem_eq(drawn.pixels, pixels, buffer->n_input);
    }
    free(pixels);
}

/* n samples are drawn and seen again, with other uncertainties than before. */
static void see_some(struct replay_buffer *buffer, struct reference *r, uint32_t n, uint64_t seed)
{
    for (uint64_t i = 0; i < n; i++) {
        struct replay_buffer_drawn drawn;
        if (!replay_buffer_draw(buffer, draw_bits(seed, i), &drawn))
            return;
        const uint8_t uncertainty = (uint8_t)draw_bits(seed + 1, i);
        replay_buffer_saw(buffer, &drawn, uncertainty);
        r->uncertainties[drawn.class_index][drawn.slot] = uncertainty;
    }
}

/* ---- the rule ---- */

static const struct {
    uint32_t n_input, size, n_classes;
} sizes[] = {{784, 1000, 10}, {100, 1000, 3},   {4097, 1000, 17}, {30011, 1000, 5}, {200000, 1000, 10}, {8, 1000, 1},
             {784, 2000, 10}, {4097, 2500, 17}, {30011, 2500, 5}, {784, 7, 3},      {3000, 1, 2}};

START_TEST(the_buffer_has_what_its_rule_says)
{
    const uint32_t n_input = sizes[_i].n_input, size = sizes[_i].size, n_classes = sizes[_i].n_classes;
    static struct reference r;
    struct replay_buffer *buffer = replay_buffer_create(n_input, size, n_classes, true);
    struct chance chance = {.state = 1 + (uint64_t)_i};
    ck_assert_ptr_nonnull(buffer);
    replay_buffer_classes(buffer, n_classes);
    reference_classes(&r, n_input, size, n_classes);
    const uint64_t n = (uint64_t)r.share * n_classes * 3;
    for (uint64_t number = 1; number <= n; number++) {
        /* class 0 comes as often as all others together */
        const uint32_t c =
            chance_between(&chance, 0, 1) == 0 ? 0 : (uint32_t)draw_below(chance_bits(&chance), n_classes);
        add(buffer, &r, 42, c, number);
        if (number == 1 || number == n / 2) {
            expect_same(buffer, &r);
            see_some(buffer, &r, 100, number);
        }
    }
    expect_same(buffer, &r);
    expect_drawn(buffer, &r, 300);
    replay_buffer_free(buffer);
}
END_TEST

START_TEST(a_class_that_comes_later_halves_the_others_only_where_room_is_short)
{
    /* 20000 bytes: 838 slots; of 1, 2, 4, 8, 16, 32 and 64 classes each has 838, 419, 209, 104, 52, 26, 13 */
    static struct reference r;
    struct replay_buffer *buffer = replay_buffer_create(20000, SIZE, CLASSES, true);
    ck_assert_ptr_nonnull(buffer);
    uint64_t number = 1;
    for (uint32_t n_classes = 1; n_classes <= CLASSES; n_classes++) {
        replay_buffer_classes(buffer, n_classes);
        reference_classes(&r, 20000, SIZE, n_classes);
        expect_same(buffer, &r);
        for (uint32_t i = 0; i < 60; i++)
            add(buffer, &r, 5, i % n_classes, number++);
        add(buffer, &r, 5, n_classes - 1, number++);
        expect_same(buffer, &r);
        expect_drawn(buffer, &r, 20);
    }
    ck_assert_uint_eq(buffer->share, 838 >> 6);
    replay_buffer_free(buffer);
}
END_TEST

START_TEST(slots_of_all_classes_lie_apart_within_the_bounds)
{
    /* every slot of every class gets an image of its own; that none was overwritten, replay_buffer_check() tells */
    static const uint32_t inputs[] = {1, 64, 784, 3000, 12288};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        for (uint32_t n_classes = 1; n_classes <= 1024; n_classes = n_classes * 3 / 2 + 1) {
            struct replay_buffer *buffer = replay_buffer_create(inputs[i], SIZE, n_classes, true);
            uint8_t *pixels = calloc(inputs[i], 1);
            ck_assert(buffer != NULL && pixels != NULL);
            replay_buffer_classes(buffer, n_classes);
            ck_assert_uint_le((uint64_t)buffer->n_slots * (inputs[i] + REPLAY_BUFFER_SLOT_BYTES),
                              REPLAY_BUFFER_BYTES(SIZE));
            ck_assert_uint_le((uint64_t)buffer->share * n_classes, buffer->n_slots);
            ck_assert_uint_le(buffer->share, SIZE);
            const uint32_t share = COARSE && buffer->share > 5 ? 5 : buffer->share;
            for (uint32_t c = 0; c < n_classes; c++)
                for (uint32_t slot = 0; slot < share; slot++) {
                    pixels[0] = (uint8_t)(c + slot);
                    replay_buffer_add(buffer, 1, c, pixels, 0, (int64_t)c * 1000 + slot);
                }
            for (uint32_t c = 0; c < n_classes; c++)
                for (uint32_t slot = 0; slot < share; slot++)
                    ck_assert_int_eq(replay_buffer_id(buffer, c, slot), (int64_t)c * 1000 + slot);
            ck_assert(replay_buffer_check(buffer));
            replay_buffer_free(buffer);
            free(pixels);
        }
}
END_TEST

START_TEST(nothing_is_kept_of_images_that_are_too_large)
{
    const uint32_t n_input = 4000000; /* four of them fit, but there are five classes */
    uint8_t *pixels = calloc(n_input, 1);
    struct replay_buffer *buffer = replay_buffer_create(n_input, SIZE, 5, true);
    struct replay_buffer_drawn drawn;
    ck_assert(buffer != NULL && pixels != NULL);
    replay_buffer_classes(buffer, 5);
    ck_assert_uint_eq(buffer->share, 0);
    replay_buffer_add(buffer, 1, 4, pixels, 0, 1);
    ck_assert_uint_eq(buffer->seen[4], 1);
    ck_assert(!replay_buffer_draw(buffer, 7, &drawn));
    ck_assert(replay_buffer_check(buffer));
    replay_buffer_free(buffer);
    free(pixels);
}
END_TEST

START_TEST(nothing_is_drawn_from_an_empty_buffer)
{
    struct replay_buffer *buffer = replay_buffer_create(784, SIZE, 10, true);
    struct replay_buffer_drawn drawn;
    ck_assert_ptr_nonnull(buffer);
    replay_buffer_classes(buffer, 10);
    ck_assert(!replay_buffer_draw(buffer, 7, &drawn));
    replay_buffer_free(buffer);
}
END_TEST

/* ---- who stays, and who is drawn ---- */

START_TEST(a_new_sample_always_enters_and_the_chance_to_stay_falls_with_what_comes_after)
{
    /* 4 share samples of one class: of those that k came after, (1 - 1/share)^k stay; the first `share` are alike */
    enum { SHARE = SIZE, SEEDS = 40, PARTS = 8, PART = 4 * SHARE / PARTS };
    unsigned parts[PARTS] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const uint8_t pixels[16] = {0};
        struct replay_buffer *buffer = replay_buffer_create(16, SIZE, 1, true);
        ck_assert_ptr_nonnull(buffer);
        replay_buffer_classes(buffer, 1);
        ck_assert_uint_eq(buffer->share, SHARE);
        for (int64_t i = 0; i < 4 * SHARE; i++)
            replay_buffer_add(buffer, seed, 0, pixels, 0, i);
        bool newest = false;
        for (uint32_t slot = 0; slot < SHARE; slot++) {
            parts[replay_buffer_id(buffer, 0, slot) / PART]++;
            newest = newest || replay_buffer_id(buffer, 0, slot) == 4 * SHARE - 1;
        }
        ck_assert(newest);
        replay_buffer_free(buffer);
    }
    for (int part = 0; part < PARTS; part++) {
        double expected = 0;
        for (int i = part * PART; i < (part + 1) * PART; i++)
            expected += (double)SEEDS * pow(1 - 1 / (double)SHARE, i < SHARE ? 3 * SHARE : 4 * SHARE - 1 - i);
        ck_assert_msg(fabs(parts[part] - expected) < 5 * sqrt(expected), "part %d: %u, not %.0f", part, parts[part],
                      expected);
    }
}
END_TEST

START_TEST(uncertainty_grows_with_p_times_1_minus_p)
{
    /* each probability beside one that is further from 1/2 */
    ck_assert_uint_eq(replay_buffer_uncertainty(0.0F), 0);
    ck_assert_uint_eq(replay_buffer_uncertainty(1.0F), 0);
    ck_assert_uint_eq(replay_buffer_uncertainty(0x1p-20F), 0);
    ck_assert_uint_gt(replay_buffer_uncertainty(0x1p-16F), 0);
    ck_assert_uint_eq(replay_buffer_uncertainty(0.5F), UNCERTAINTY_UNKNOWN - 1);
    for (uint32_t i = 1; i < 100000; i++) {
        const float p = (float)i / 200000.0F, less = (float)(i - 1) / 200000.0F;
        ck_assert_uint_ge(replay_buffer_uncertainty(p), replay_buffer_uncertainty(less));
        ck_assert_uint_ge(replay_buffer_uncertainty(1.0F - p), replay_buffer_uncertainty(1.0F - less));
        ck_assert_uint_lt(replay_buffer_uncertainty(p), UNCERTAINTY_UNKNOWN);
    }
    for (int i = -17; i < -3; i++) { /* 16 steps to a doubling, nearly, since 1 - p falls */
        const float p = ldexpf(1.0F, i);
        ck_assert_msg(abs(replay_buffer_uncertainty(2 * p) - replay_buffer_uncertainty(p) - 16) <= 3, "%g", (double)p);
    }
}
END_TEST

START_TEST(what_is_no_probability_is_no_uncertainty)
{
    static const float wrong[] = {NAN, -NAN, INFINITY, -INFINITY, -0.5F, 1.5F, 1.0000001F, -0.0F, FLT_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_uint_eq(replay_buffer_uncertainty(wrong[i]), 0);
}
END_TEST

START_TEST(classes_are_drawn_alike_however_they_came)
{
    /* 3000 samples of class 0, 30 of class 1, 1 of class 3, none of class 2 */
    struct replay_buffer *buffer = replay_buffer_create(16, SIZE, 4, true);
    const uint8_t pixels[16] = {0};
    unsigned counts[4] = {0};
    ck_assert_ptr_nonnull(buffer);
    replay_buffer_classes(buffer, 4);
    for (int i = 0; i < 3000; i++)
        replay_buffer_add(buffer, 1, 0, pixels, 0, 1);
    replay_buffer_add(buffer, 1, 3, pixels, UNCERTAINTY_UNKNOWN, 1);
    for (int i = 0; i < 30; i++)
        replay_buffer_add(buffer, 1, 1, pixels, (uint8_t)i, 1);
    for (uint64_t i = 0; i < 30000; i++) {
        struct replay_buffer_drawn drawn;
        ck_assert(replay_buffer_draw(buffer, draw_bits(2, i), &drawn));
        counts[drawn.class_index]++;
    }
    ck_assert_uint_eq(counts[2], 0);
    for (int c = 0; c < 4; c++)
        ck_assert_msg(c == 2 || (counts[c] > 9590 && counts[c] < 10410), "class %d: %u", c, counts[c]);
    replay_buffer_free(buffer);
}
END_TEST

/* ---- the sum ---- */

START_TEST(any_change_of_any_image_is_noticed)
{
    static struct reference r;
    uint8_t pixels[67];
    struct replay_buffer *buffer = replay_buffer_create(67, SIZE, 2, true);
    ck_assert_ptr_nonnull(buffer);
    replay_buffer_classes(buffer, 2);
    reference_classes(&r, 67, SIZE, 2);
    for (uint64_t i = 1; i <= 20; i++)
        add(buffer, &r, 9, (uint32_t)(i % 2), i);
    for (uint32_t bit = 0; bit < 8 * 67; bit++) {
        image(pixels, 67, r.slots[1][3]);
        pixels[bit / 8] ^= (uint8_t)(1u << bit % 8);
        replay_buffer_fill(buffer, 1, 3, 7, pixels);
        ck_assert_msg(!replay_buffer_check(buffer), "bit %u", bit);
    }
    image(pixels, 67, r.slots[1][3]);
    replay_buffer_fill(buffer, 1, 3, 7, pixels); /* an id is not of the sum */
    ck_assert(replay_buffer_check(buffer));
    image(pixels, 67, r.slots[1][4]);
    replay_buffer_fill(buffer, 1, 3, 7, pixels);
    image(pixels, 67, r.slots[1][3]);
    replay_buffer_fill(buffer, 1, 4, 7, pixels);
    ck_assert(!replay_buffer_check(buffer)); /* two that changed places */
    replay_buffer_free(buffer);
}
END_TEST

/* ---- copies ---- */

/* A replay buffer of small room, filled past its reservoirs. */
static struct replay_buffer *filled(struct reference *r, uint32_t n_classes, uint64_t n)
{
    struct replay_buffer *buffer = replay_buffer_create(40000, SIZE, CLASSES, true);
    ck_assert_ptr_nonnull(buffer);
    memset(r, 0, sizeof *r);
    replay_buffer_classes(buffer, n_classes);
    reference_classes(r, 40000, SIZE, n_classes);
    for (uint64_t i = 1; i <= n; i++)
        add(buffer, r, 3, (uint32_t)draw_below(draw_bits(4, i), n_classes), i);
    return buffer;
}

START_TEST(a_copy_is_equal_and_independent)
{
    static struct reference r, other;
    struct replay_buffer *a = filled(&r, 20, 500), *b = filled(&other, 9, 700);
    add(b, &other, 3, 2, 12345);
    see_some(b, &other, 20, 1);
    see_some(a, &r, 50, 2);
    replay_buffer_copy(b, a);
    expect_same(b, &r);
    other = r;
    for (uint64_t i = 0; i < 300; i++)
        add(b, &other, 3, (uint32_t)(i % 20), 3000 + i);
    see_some(b, &other, 50, 3);
    expect_same(b, &other);
    expect_same(a, &r);
    struct replay_buffer *light = replay_buffer_create(40000, SIZE, 20, false);
    ck_assert_ptr_nonnull(light);
    replay_buffer_copy(light, a);
    ck_assert_mem_eq(light->sum, a->sum, sizeof a->sum);
    ck_assert_mem_eq(light->seen, a->seen, 20 * sizeof *a->seen);
    for (uint32_t c = 0; c < 20; c++)
        ck_assert_mem_eq(replay_buffer_uncertainties(light, c), replay_buffer_uncertainties(a, c),
                         replay_buffer_used(a, c));
    replay_buffer_free(a);
    replay_buffer_free(b);
    replay_buffer_free(light);
}
END_TEST

START_TEST(room_for_more_classes_changes_nothing)
{
    static struct reference r;
    struct replay_buffer *buffer = filled(&r, 20, 500);
    ck_assert_int_eq(replay_buffer_reserve(buffer, 1000), 0);
    expect_same(buffer, &r);
    replay_buffer_classes(buffer, 1000);
    ck_assert_uint_eq(buffer->share, 0);
    ck_assert(replay_buffer_check(buffer));
    replay_buffer_free(buffer);
}
END_TEST

/* ---- in the fold ---- */

static struct learner *with_rehearsal(uint32_t rehearsal)
{
    struct model_options options = model_small();
    options.rehearsal_buffer = 60; /* none is full */
    struct learner *l = model_create(&options);
    l->settings.rehearsal = rehearsal;
    l->settings.jitter = 1.0F;
    l->settings.rotation = 10.0F;
    return l;
}

/* What the model gives that class. */
static float probability(struct learner *l, uint32_t label, const uint8_t *pixels)
{
    net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
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
        const uint8_t uncertainty = replay_buffer_uncertainty(probability(by_hand, label, pixels));
        (void)model_train(by_hand, label, pixels);
        replay_buffer_uncertainties(by_hand->buffer, label)[replay_buffer_used(by_hand->buffer, label) - 1] =
            uncertainty;
        for (int k = 0; k < 3; k++) {
            struct replay_buffer_drawn past;
            const uint64_t draw = draw_bits(l->settings.seed ^ 0x7265686561727365u, by_hand->step);
            ck_assert(replay_buffer_draw(by_hand->buffer, draw, &past));
            const struct rehearse_step how = {.rate = settings_rate(&l->settings, by_hand->step),
                                              .jitter = 1.0F,
                                              .rotation = 10.0F,
                                              .draw = draw_bits(draw, 4)};
            jitter_apply(displaced, past.pixels, &l->shape, 1.0F, 10.0F, how.draw);
            const float p = probability(by_hand, past.class_index, displaced);
            ck_assert_int_eq(learner_rehearse(by_hand, past.class_index, past.pixels, &how, &err), 0);
            replay_buffer_saw(by_hand->buffer, &past, replay_buffer_uncertainty(p));
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

START_TEST(what_came_while_nothing_was_rehearsed_is_of_unknown_uncertainty)
{
    struct learner *l = with_rehearsal(0);
    model_train_random(l, 30, 5);
    for (uint32_t c = 0; c < 3; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(l->buffer, c); slot++)
            ck_assert_uint_eq(replay_buffer_uncertainties(l->buffer, c)[slot], UNCERTAINTY_UNKNOWN);
    l->settings.rehearsal = 1;
    model_train_random(l, 1, 6);
    uint32_t known = 0;
    for (uint32_t c = 0; c < 3; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(l->buffer, c); slot++)
            known += replay_buffer_uncertainties(l->buffer, c)[slot] != UNCERTAINTY_UNKNOWN;
    ck_assert_uint_eq(known, 2); /* the new one, and one that was rehearsed */
    learner_free(l);
}
END_TEST

START_TEST(the_digest_covers_the_uncertainties)
{
    struct learner *l = with_rehearsal(0);
    model_train_random(l, 30, 5);
    for (uint32_t c = 0; c < 3; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(l->buffer, c); slot++) {
            struct hex before = model_digest(l);
            replay_buffer_uncertainties(l->buffer, c)[slot]--;
            ck_assert_str_ne(model_digest(l).text, before.text);
        }
    learner_free(l);
}
END_TEST

START_TEST(a_buffer_goes_through_its_bytes_but_for_the_images)
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
        ck_assert_uint_gt(replay_buffer_used(l->buffer, c), 0);
        ck_assert_uint_eq(replay_buffer_used(back->buffer, c), replay_buffer_used(l->buffer, c));
        for (uint32_t slot = 0; slot < replay_buffer_used(l->buffer, c); slot++)
            ck_assert_int_eq(replay_buffer_id(back->buffer, c, slot), replay_buffer_id(l->buffer, c, slot));
        ck_assert_mem_eq(replay_buffer_uncertainties(back->buffer, c), replay_buffer_uncertainties(l->buffer, c),
                         replay_buffer_used(l->buffer, c));
    }
    replay_buffer_copy(back->buffer, l->buffer); /* the images, as the store brings them */
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
        net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
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

/* Also by a copy that has no images, and only then where at least half of them is 0. */
START_TEST(drawings_are_told_from_photographs)
{
    static const struct {
        uint32_t n_input, zeros, of; /* pixels of each image: so many of each `of` are 0 */
        bool drawings;
    } cases[] = {{784, 3, 4, true}, {784, 1, 4, false}, {20000, 3, 4, true}, {20000, 1, 4, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct replay_buffer *buffer = replay_buffer_create(cases[i].n_input, SIZE, CLASSES, true);
        struct replay_buffer *copy = replay_buffer_create(cases[i].n_input, SIZE, CLASSES, false);
        uint8_t *pixels = malloc(cases[i].n_input);
        ck_assert(buffer != NULL && copy != NULL && pixels != NULL);
        replay_buffer_classes(buffer, CLASSES);
        ck_assert(!replay_buffer_drawings(buffer));
        for (uint32_t c = 0; c < CLASSES; c++) {
            for (uint32_t p = 0; p < cases[i].n_input; p++) /* no pattern that a stride could meet */
                pixels[p] = draw_below(draw_bits(c, p), cases[i].of) >= cases[i].zeros;
            replay_buffer_add(buffer, 1, c, pixels, 0, c + 1);
        }
        replay_buffer_classes(copy, CLASSES);
        replay_buffer_copy(copy, buffer);
        ck_assert(replay_buffer_drawings(copy) == replay_buffer_drawings(buffer));
        ck_assert(replay_buffer_drawings(buffer) == cases[i].drawings);
        free(pixels);
        replay_buffer_free(copy);
        replay_buffer_free(buffer);
    }
}
END_TEST

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
        (void)printf("replay buffer: rehearsal %u: 0-1 %.3f, after 2-3 were taught %.3f; 2-3 %.3f\n", 4 * with,
                     first[with], then[with], last[with]);
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
    TCase *tcase = tcase_create("replay_buffer");
    tcase_add_loop_test(tcase, the_buffer_has_what_its_rule_says, 0, (int)(sizeof sizes / sizeof *sizes));
    tcase_add_test(tcase, a_class_that_comes_later_halves_the_others_only_where_room_is_short);
    tcase_add_test(tcase, slots_of_all_classes_lie_apart_within_the_bounds);
    tcase_add_test(tcase, nothing_is_kept_of_images_that_are_too_large);
    tcase_add_test(tcase, nothing_is_drawn_from_an_empty_buffer);
    tcase_add_test(tcase, a_new_sample_always_enters_and_the_chance_to_stay_falls_with_what_comes_after);
    tcase_add_test(tcase, uncertainty_grows_with_p_times_1_minus_p);
    tcase_add_test(tcase, what_is_no_probability_is_no_uncertainty);
    tcase_add_test(tcase, classes_are_drawn_alike_however_they_came);
    tcase_add_test(tcase, any_change_of_any_image_is_noticed);
    tcase_add_test(tcase, a_copy_is_equal_and_independent);
    tcase_add_test(tcase, room_for_more_classes_changes_nothing);
    tcase_add_test(tcase, each_new_sample_is_followed_by_its_rehearsals);
    tcase_add_test(tcase, a_batch_is_learned_as_its_samples_one_by_one_are);
    tcase_add_test(tcase, what_came_while_nothing_was_rehearsed_is_of_unknown_uncertainty);
    tcase_add_test(tcase, the_digest_covers_what_may_be_rehearsed);
    tcase_add_test(tcase, the_digest_covers_the_uncertainties);
    tcase_add_test(tcase, a_buffer_goes_through_its_bytes_but_for_the_images);
    tcase_add_test(tcase, drawings_are_told_from_photographs);
    tcase_add_test(tcase, what_was_taught_first_is_forgotten_without_rehearsal_and_stays_with_it);
    return run_case(tcase, "replay_buffer");
}
