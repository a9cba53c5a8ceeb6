/* test_jitter.c - displaced images: against a reference in double precision, at the border, and the same bits everywhere. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/draw.h"
#include "core/jitter.h"
#include "tests/core/chance.h"
#include "tests/core/run.h"

#define ROOM         (3 * 150 * 40)
#define HASH_OF_1200 5568362205753465571u /* of the test of the same bits */

static struct shape shape_of(uint32_t width, uint32_t height, uint32_t channels)
{
    return (struct shape){.width = width, .height = height, .channels = channels, .n_input = width * height * channels};
}

/* in() of jitter.h at a place that need be no pixel: bilinear, the border continued for ever. */
static double reference_pixel(const uint8_t *plane, const struct shape *s, double x, double y)
{
    x = fmin(fmax(x, 0.0), s->width - 1.0);
    y = fmin(fmax(y, 0.0), s->height - 1.0);
    const uint32_t left = (uint32_t)x, top = (uint32_t)y, right = left + 1 < s->width ? left + 1 : left,
                   bottom = top + 1 < s->height ? top + 1 : top;
    const double fx = x - left, fy = y - top;
    return (1 - fy) * ((1 - fx) * plane[top * s->width + left] + fx * plane[top * s->width + right]) +
           fy * ((1 - fx) * plane[bottom * s->width + left] + fx * plane[bottom * s->width + right]);
}

/* The equation of jitter.h with libm. */
static void reference(double *out, const uint8_t *pixels, const struct shape *s, double shift, double degrees,
                      uint64_t draw)
{
    const double dx = shift * draw_signed(draw_bits(draw, 0)), dy = shift * draw_signed(draw_bits(draw, 1));
    const double t = degrees * draw_signed(draw_bits(draw, 2)) * acos(-1.0) / 180;
    const double cx = (s->width - 1.0) / 2, cy = (s->height - 1.0) / 2;
    for (uint32_t c = 0; c < s->channels; c++)
        for (uint32_t y = 0; y < s->height; y++)
            for (uint32_t x = 0; x < s->width; x++)
                *out++ = reference_pixel(pixels + c * s->width * s->height, s,
                                         cx + cos(t) * (x - cx) + sin(t) * (y - cy) - dx,
                                         cy - sin(t) * (x - cx) + cos(t) * (y - cy) - dy);
}

/* A smooth picture: a pixel's rounding to 1/256 then changes a value by at most one or two. */
static void smooth(uint8_t *pixels, const struct shape *s)
{
    for (uint32_t c = 0, i = 0; c < s->channels; c++)
        for (uint32_t y = 0; y < s->height; y++)
            for (uint32_t x = 0; x < s->width; x++)
                pixels[i++] = (uint8_t)(127.5 + 120 * sin(0.35 * x + c) * cos(0.27 * y - c));
}

static const struct {
    uint32_t width, height, channels;
    float shift, degrees;
} cases[] = {
    {28, 28, 1, 1.0F, 0.0F},   {28, 28, 1, 0.0F, 10.0F}, {28, 28, 1, 2.5F, 15.0F},  {9, 7, 3, 1.5F, 45.0F},
    {150, 40, 1, 16.0F, 5.0F}, {64, 64, 1, 3.0F, 20.0F}, {65, 33, 2, 16.0F, 45.0F}, {1, 9, 1, 2.0F, 30.0F},
    {13, 1, 1, 2.0F, 30.0F},   {1, 1, 4, 16.0F, 45.0F},  {2, 2, 1, 1.0F, 10.0F},    {63, 5, 1, 0.25F, 1.0F},
};

START_TEST(an_image_is_turned_and_shifted_as_the_equation_says)
{
    static uint8_t pixels[ROOM], out[ROOM];
    static double expected[ROOM];
    const struct shape s = shape_of(cases[_i].width, cases[_i].height, cases[_i].channels);
    smooth(pixels, &s);
    for (uint64_t draw = 0; draw < (COARSE ? 8 : 50); draw++) {
        jitter_apply(out, pixels, &s, cases[_i].shift, cases[_i].degrees, draw);
        reference(expected, pixels, &s, (double)cases[_i].shift, (double)cases[_i].degrees, draw);
        for (uint32_t i = 0; i < s.n_input; i++)
            ck_assert_msg(fabs(out[i] - expected[i]) <= 2.0, "draw %u, pixel %u: %u, but %f", (unsigned)draw, i, out[i],
                          expected[i]);
    }
}
END_TEST

START_TEST(an_image_of_noise_is_interpolated_between_the_right_pixels)
{
    /* of noise a 256th of a pixel is up to one grey level in each direction, rounding two more */
    static uint8_t pixels[ROOM], out[ROOM];
    static double expected[ROOM];
    const struct shape s = shape_of(cases[_i].width, cases[_i].height, cases[_i].channels);
    struct chance chance = {.state = 17};
    chance_pixels(&chance, pixels, s.n_input);
    double sum = 0.0;
    for (uint64_t draw = 100; draw < (COARSE ? 108 : 150); draw++) {
        jitter_apply(out, pixels, &s, cases[_i].shift, cases[_i].degrees, draw);
        reference(expected, pixels, &s, (double)cases[_i].shift, (double)cases[_i].degrees, draw);
        for (uint32_t i = 0; i < s.n_input; i++) {
            ck_assert_msg(fabs(out[i] - expected[i]) <= 4.0, "draw %u, pixel %u: %u, but %f", (unsigned)draw, i, out[i],
                          expected[i]);
            sum += out[i] - expected[i];
        }
    }
    ck_assert_double_lt(fabs(sum / (50.0 * s.n_input)), 0.25); /* no drift to dark or light */
}
END_TEST

START_TEST(nothing_is_displaced_where_shift_and_rotation_are_0)
{
    uint8_t pixels[784], out[784];
    const struct shape s = shape_of(28, 28, 1);
    struct chance chance = {.state = 1};
    chance_pixels(&chance, pixels, sizeof pixels);
    jitter_apply(out, pixels, &s, 0.0F, 0.0F, 5);
    ck_assert_mem_eq(out, pixels, sizeof pixels);
}
END_TEST

START_TEST(an_image_of_one_colour_stays_as_it_is)
{
    uint8_t pixels[3 * 100], out[3 * 100];
    const struct shape s = shape_of(10, 10, 3);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i < 100 ? 255 : i < 200 ? 93 : 0);
    for (uint64_t draw = 0; draw < 100; draw++) {
        jitter_apply(out, pixels, &s, 16.0F, 45.0F, draw);
        ck_assert_mem_eq(out, pixels, sizeof pixels);
    }
}
END_TEST

START_TEST(all_channels_are_displaced_alike)
{
    uint8_t pixels[3 * 15 * 11], out[3 * 15 * 11];
    const struct shape s = shape_of(15, 11, 3);
    struct chance chance = {.state = 2};
    chance_pixels(&chance, pixels, 165);
    memcpy(pixels + 165, pixels, 165);
    memcpy(pixels + 330, pixels, 165);
    jitter_apply(out, pixels, &s, 3.0F, 20.0F, 9);
    ck_assert_mem_eq(out, out + 165, 165);
    ck_assert_mem_eq(out, out + 330, 165);
    ck_assert_mem_ne(out, pixels, 165);
}
END_TEST

START_TEST(draws_differ_and_one_draw_always_gives_the_same)
{
    uint8_t pixels[784], out[784], again[784];
    const struct shape s = shape_of(28, 28, 1);
    struct chance chance = {.state = 3};
    chance_pixels(&chance, pixels, sizeof pixels);
    for (uint64_t draw = 0; draw < 200; draw++) {
        jitter_apply(out, pixels, &s, 1.0F, 10.0F, draw);
        jitter_apply(again, pixels, &s, 1.0F, 10.0F, draw);
        ck_assert_mem_eq(out, again, sizeof out);
        jitter_apply(again, pixels, &s, 1.0F, 10.0F, draw + 1);
        ck_assert_mem_ne(out, again, sizeof out);
    }
}
END_TEST

START_TEST(shifts_go_every_way_and_never_further_than_they_may)
{
    /* a dot in the middle: where its centre of mass went */
    uint8_t pixels[41 * 41] = {0}, out[41 * 41];
    const struct shape s = shape_of(41, 41, 1);
    unsigned quadrants[4] = {0};
    double furthest = 0.0;
    pixels[20 * 41 + 20] = 255;
    for (uint64_t draw = 0; draw < 1000; draw++) {
        jitter_apply(out, pixels, &s, 3.0F, 0.0F, draw);
        double mass = 0.0, x = 0.0, y = 0.0;
        for (uint32_t i = 0; i < sizeof out; i++) {
            mass += out[i];
            x += out[i] * (i % 41 - 20.0);
            y += out[i] * ((double)(i / 41) - 20.0); /* NOLINT(bugprone-integer-division): the row */
        }
        x /= mass;
        y /= mass;
        ck_assert_double_le(fmax(fabs(x), fabs(y)), 3.02);
        furthest = fmax(furthest, fmax(fabs(x), fabs(y)));
        quadrants[(x > 0) + 2 * (y > 0)]++;
    }
    ck_assert_double_gt(furthest, 2.9);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_gt(quadrants[i], 200);
}
END_TEST

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash(uint64_t h, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

START_TEST(displaced_images_have_the_same_bits_on_every_machine)
{
    /* Written down once on x86-64; the same on arm64 and with clang. */
    static uint8_t pixels[ROOM], out[ROOM];
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct shape s = shape_of(cases[i].width, cases[i].height, cases[i].channels);
        struct chance chance = {.state = 40 + i};
        chance_pixels(&chance, pixels, s.n_input);
        for (uint64_t draw = 0; draw < 100; draw++) {
            jitter_apply(out, pixels, &s, cases[i].shift, cases[i].degrees, draw_mix(draw));
            h = hash(h, out, s.n_input);
        }
    }
    (void)printf("jitter: %016llx\n", (unsigned long long)h);
    ck_assert_uint_eq(h, HASH_OF_1200);
}
END_TEST

START_TEST(draws_below_n_are_below_n_and_even)
{
    unsigned counts[10] = {0};
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t x = draw_below(draw_bits(7, i), 10);
        ck_assert_uint_lt(x, 10);
        counts[x]++;
        ck_assert_uint_eq(draw_below(draw_bits(8, i), 1), 0);
    }
    for (int i = 0; i < 10; i++) /* 10000 +- 5 standard deviations */
        ck_assert_msg(counts[i] > 9525 && counts[i] < 10475, "%d was drawn %u times of 100000", i, counts[i]);
    /* the high half of the product of two numbers of 64 bits */
    ck_assert_uint_eq(draw_below(UINT64_MAX, UINT64_MAX), UINT64_MAX - 1);
    ck_assert_uint_eq(draw_below(1ULL << 63, 12345678901234567u), 12345678901234567u / 2);
    ck_assert_uint_eq(draw_below(0, UINT64_MAX), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("jitter");
    const int n_cases = (int)(sizeof cases / sizeof *cases);
    tcase_add_loop_test(tcase, an_image_is_turned_and_shifted_as_the_equation_says, 0, n_cases);
    tcase_add_loop_test(tcase, an_image_of_noise_is_interpolated_between_the_right_pixels, 0, n_cases);
    tcase_add_test(tcase, nothing_is_displaced_where_shift_and_rotation_are_0);
    tcase_add_test(tcase, an_image_of_one_colour_stays_as_it_is);
    tcase_add_test(tcase, all_channels_are_displaced_alike);
    tcase_add_test(tcase, draws_differ_and_one_draw_always_gives_the_same);
    tcase_add_test(tcase, shifts_go_every_way_and_never_further_than_they_may);
    tcase_add_test(tcase, displaced_images_have_the_same_bits_on_every_machine);
    tcase_add_test(tcase, draws_below_n_are_below_n_and_even);
    return run_case(tcase, "jitter");
}
