/* test_lanes.c - exp, tanh and fused multiply-add of the lanes: their error in ulp (units in the last place of the true
 * value's float), over every float there is, and that all instruction sets give the same bits.
 *
 * The true value is libm's in double, whose own error of 2^-29 ulp of a float does not show. The best instruction set is measured;
 * the others are compared with it bit for bit. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/arith/arith.h"
#include "tests/core/chance.h"
#include "tests/core/run.h"

#define INFINITY_BITS 0x7f800000u
#define SIGN          0x80000000u

typedef void lanes_function(float *y, const float *x);

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* How many floats from one vector's first to the next one's: LANES is every float; a prime sees every pattern of low bits.
 * `quick` holds in a release build, `slow` in a slow one, unless all is asked for. */
static uint32_t sweep_step(uint32_t quick, uint32_t slow)
{
    return run_exhaustive() ? LANES : COARSE ? slow : quick;
}

static void fill(float *x, uint32_t first)
{
    uint32_t bits[LANES];
    for (uint32_t l = 0; l < LANES; l++)
        bits[l] = first + l;
    memcpy(x, bits, sizeof bits);
}

/* |got - want| in ulp of the float that want lies by. want must be normal as a float. */
static double ulps(float got, double want)
{
    uint64_t bits;
    memcpy(&bits, &want, sizeof bits);
    uint64_t exponent = bits >> 52 & 0x7ff;
    bits = (2 * 1023 + 23 - exponent) << 52; /* 2^(23 - e) */
    double per_ulp;
    memcpy(&per_ulp, &bits, sizeof per_ulp);
    return fabs((double)got - want) * per_ulp;
}

struct worst {
    double ulp;
    float at;
    uint64_t n;
};

/* The largest error of `function` over the floats with bits first .. last. */
static void measure(struct worst *worst, lanes_function *function, double (*truth)(double), uint32_t first,
                    uint32_t last)
{
    const uint32_t step = sweep_step(LANES, 1009);
    float x[LANES], y[LANES];
    for (uint64_t at = first; at <= last; at += step) {
        fill(x, (uint32_t)at);
        function(y, x);
        for (uint32_t l = 0; l < LANES && at + l <= last; l++) {
            double error = ulps(y[l], truth((double)x[l]));
            worst->n++;
            if (!(error <= worst->ulp)) {
                worst->ulp = error;
                worst->at = x[l];
            }
        }
    }
}

/* That the function is `want` for every float with bits first .. last (want NaN: the float itself). */
static void expect_constant(lanes_function *function, uint32_t first, uint32_t last, float want)
{
    const uint32_t step = sweep_step(131, 99991);
    float x[LANES], y[LANES], wants[LANES];
    for (uint32_t l = 0; l < LANES; l++)
        wants[l] = want;
    for (uint64_t at = first; at <= last; at += step) {
        fill(x, (uint32_t)at);
        function(y, x);
        const float *expected = isnan(want) ? x : wants;
        if (memcmp(y, expected, sizeof y) == 0)
            continue;
        for (uint32_t l = 0; l < LANES && at + l <= last; l++)
            ck_assert_msg(memcmp(&y[l], &expected[l], sizeof *y) == 0, "f(%a) is %a, not %a", (double)x[l],
                          (double)y[l], (double)expected[l]);
    }
}

/* ---- exp ---- */

#define EXP_ULP 1.02 /* measured: 1.0103 */

/* exp where its series is quicker and exact enough: the next term is x^4 / 24 < 2^-52. */
static double exp_near_0(double x)
{
    return 1.0 + x * (1.0 + x * (0.5 + x / 6.0));
}

static void check_exp(uint32_t sign)
{
    lanes_function *exp16 = arith_nth(0)->exp16;
    const uint32_t least = bits_of(sign == 0 ? 0x1p-25F : 0x1p-26F), near_0 = bits_of(0x1p-12F);
    /* the largest floats whose exp is a normal float */
    const uint32_t end = sign == 0 ? bits_of(88.7228317F) : bits_of(87.3365402F);
    struct worst worst = {.ulp = 0.0};
    measure(&worst, exp16, exp_near_0, sign | least, sign | (near_0 - 1));
    measure(&worst, exp16, exp, sign | near_0, sign | end);
    (void)printf("exp: at most %.4f ulp, at %a, over %llu floats\n", worst.ulp, (double)worst.at,
                 (unsigned long long)worst.n);
    ck_assert_double_le(worst.ulp, EXP_ULP);
}

START_TEST(exp_of_every_positive_float_is_right_within_its_bound)
{
    check_exp(0);
}
END_TEST

START_TEST(exp_of_every_negative_float_is_right_within_its_bound_while_the_result_is_normal)
{
    check_exp(SIGN);
}
END_TEST

START_TEST(exp_with_a_subnormal_result_is_off_by_less_than_the_smallest_float)
{
    lanes_function *exp16 = arith_nth(0)->exp16;
    float x[LANES], y[LANES];
    double worst = 0.0;
    for (uint32_t at = bits_of(-87.3365478F); at <= bits_of(-104.0F); at += sweep_step(LANES, 31)) {
        fill(x, at);
        exp16(y, x);
        for (int l = 0; l < 16; l++)
            worst = fmax(worst, fabs((double)y[l] - exp((double)x[l])) * 0x1p149);
    }
    (void)printf("exp: at most %.4f of 2^-149 where subnormal\n", worst);
    ck_assert_double_lt(worst, 1.0);
}
END_TEST

START_TEST(exp_of_every_float_near_zero_is_one)
{
    expect_constant(arith_nth(0)->exp16, 0, bits_of(0x1p-25F), 1.0F);
    expect_constant(arith_nth(0)->exp16, SIGN, bits_of(-0x1p-26F), 1.0F);
}
END_TEST

START_TEST(exp_of_every_float_from_89_on_is_infinite)
{
    expect_constant(arith_nth(0)->exp16, bits_of(88.7228394F), INFINITY_BITS, INFINITY);
}
END_TEST

START_TEST(exp_of_every_float_from_minus_104_down_is_zero)
{
    expect_constant(arith_nth(0)->exp16, bits_of(-104.0F), SIGN | INFINITY_BITS, 0.0F);
}
END_TEST

/* ---- tanh ---- */

#define TANH_ULP 1.34 /* measured: 1.3303 */

START_TEST(tanh_of_every_float_is_right_within_its_bound)
{
    struct worst worst = {.ulp = 0.0};
    measure(&worst, arith_nth(0)->tanh16, tanh, bits_of(0x1p-13F), bits_of(9.0109138F));
    (void)printf("tanh: at most %.4f ulp, at %a, over %llu floats\n", worst.ulp, (double)worst.at,
                 (unsigned long long)worst.n);
    ck_assert_double_le(worst.ulp, TANH_ULP);
}
END_TEST

START_TEST(tanh_of_every_float_near_zero_is_the_float_itself)
{
    /* x - x^3 / 3 rounds to x while x^2 / 3 is below half an ulp; subnormals too */
    expect_constant(arith_nth(0)->tanh16, 0, bits_of(0x1p-13F), NAN);
}
END_TEST

START_TEST(tanh_of_every_float_beyond_9_02_is_one)
{
    expect_constant(arith_nth(0)->tanh16, bits_of(9.02F), INFINITY_BITS, 1.0F);
}
END_TEST

static void expect_odd(lanes_function *function, uint32_t first, uint32_t last, uint32_t step)
{
    float x[LANES], y[LANES];
    uint32_t up[LANES], down[LANES];
    for (uint64_t at = first; at <= last; at += step) {
        fill(x, (uint32_t)at);
        function(y, x);
        memcpy(up, y, sizeof up);
        fill(x, (uint32_t)at | SIGN);
        function(y, x);
        memcpy(down, y, sizeof down);
        uint32_t wrong = 0;
        for (uint32_t l = 0; l < LANES; l++)
            wrong |= (up[l] ^ SIGN ^ down[l]) | (uint32_t)(up[l] > 0x3f800000);
        if (wrong != 0)
            ck_abort_msg("among the 16 floats from %a on", (double)float_of((uint32_t)at));
    }
}

START_TEST(tanh_is_odd_bit_by_bit_and_never_beyond_one)
{
    lanes_function *tanh16 = arith_nth(0)->tanh16;
    expect_odd(tanh16, 0, INFINITY_BITS - LANES, sweep_step(131, 99991));
    expect_odd(tanh16, bits_of(0x1p-13F), bits_of(9.02F), sweep_step(LANES, 1009));
}
END_TEST

/* ---- the whole range, special values included, on all instruction sets ---- */

static void compare(const char *name, lanes_function *best, lanes_function *other, uint32_t first, uint32_t last,
                    uint32_t step)
{
    float x[LANES], y[LANES], z[LANES];
    for (uint64_t at = first; at <= last; at += step) {
        fill(x, (uint32_t)at);
        best(y, x);
        other(z, x);
        if (memcmp(y, z, sizeof y) == 0)
            continue;
        for (uint32_t l = 0; l < LANES; l++) /* the payload and sign of a NaN are the processor's own */
            ck_assert_msg(bits_of(y[l]) == bits_of(z[l]) || (isnan(x[l]) && isnan(y[l]) && isnan(z[l])),
                          "%s: f(%a) is %a, and %a on the best", name, (double)x[l], (double)z[l], (double)y[l]);
    }
}

START_TEST(every_instruction_set_gives_the_same_bits_over_the_whole_range)
{
    const struct arith *best = arith_nth(0), *other;
    const uint32_t step = sweep_step(8009, 262147);
    for (unsigned n = 1; (other = arith_nth(n)) != NULL; n++) {
        (void)printf("lanes: %s is compared with %s\n", other->name, best->name);
        compare(other->name, best->exp16, other->exp16, 0, UINT32_MAX - LANES, step);
        compare(other->name, best->tanh16, other->tanh16, 0, UINT32_MAX - LANES, step);
    }
}
END_TEST

START_TEST(every_instruction_set_gives_the_same_bits_where_the_functions_change)
{
    static const float places[] = {0.0F,         0x1p-149F, FLT_MIN, 0x1p-26F,   0x1p-25F, 0x1p-13F,
                                   0.625F,       9.0F,      9.125F,  87.3365F,   88.7228F, 89.0F,
                                   103.9720764F, 104.0F,    FLT_MAX, 0.34657359F /* ln 2 / 2 */};
    const struct arith *best = arith_nth(0), *other;
    for (unsigned n = 1; (other = arith_nth(n)) != NULL; n++)
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            for (uint32_t negative = 0; negative < 2; negative++) {
                uint32_t at = bits_of(places[i]), first = (negative << 31) | (at < 2048 ? 0 : at - 2048);
                compare(other->name, best->exp16, other->exp16, first, first + 4096, LANES);
                compare(other->name, best->tanh16, other->tanh16, first, first + 4096, LANES);
            }
}
END_TEST

START_TEST(a_nan_stays_a_nan)
{
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff};
    const struct arith *arith;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++)
        for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
            float x[LANES] = {0.0F}, y[LANES];
            x[3] = float_of(nans[i]);
            arith->exp16(y, x);
            ck_assert_msg(isnan(y[3]), "exp on %s", arith->name);
            ck_assert_msg(bits_of(y[2]) == bits_of(1.0F), "a NaN spread on %s", arith->name);
            arith->tanh16(y, x);
            ck_assert_msg(isnan(y[3]), "tanh on %s", arith->name);
        }
}
END_TEST

/* ---- fused multiply-add ---- */

/* Triples where a wrong emulation shows: any of them at random, and then chosen so that the sum nearly cancels, lies by a
 * halfway point of the float's grid, is subnormal, or by the end of the range. */
enum triple { TRIPLE_ANY, TRIPLE_CANCEL, TRIPLE_HALFWAY, TRIPLE_SUBNORMAL, TRIPLE_LARGE, TRIPLE_N };

/* A float of that exponent with random sign and digits; digits are few half of the time, so that products are. */
static float with_exponent(struct chance *chance, int exponent)
{
    uint64_t random = chance_bits(chance);
    uint32_t digits = (uint32_t)random & 0x007fffff;
    if ((random >> 40 & 1) != 0)
        digits &= ~((1u << (random >> 41 & 31) % 24) - 1);
    float x = ldexpf(float_of(0x3f800000 | digits), exponent);
    return (random >> 63) != 0 ? -x : x;
}

static void draw(struct chance *chance, enum triple kind, float *a, float *b, float *c)
{
    const int ea = (int)chance_between(chance, 0, 100) - 50, eb = (int)chance_between(chance, 0, 100) - 50;
    switch (kind) {
    case TRIPLE_ANY:
    case TRIPLE_N: {
        uint64_t random = chance_bits(chance);
        *a = float_of((uint32_t)random);
        *b = float_of((uint32_t)(random >> 32));
        *c = float_of((uint32_t)chance_bits(chance));
        break;
    }
    case TRIPLE_CANCEL: {
        *a = with_exponent(chance, ea);
        *b = with_exponent(chance, eb);
        float minus = -(*a * *b);
        *c = float_of(bits_of(minus) + chance_between(chance, 0, 4) - 2);
        break;
    }
    case TRIPLE_HALFWAY: /* the product is about half an ulp of c, give or take a few of its own digits */
        *c = with_exponent(chance, ea);
        *a = with_exponent(chance, eb);
        *b = ldexpf(float_of(0x3f800000 + chance_between(chance, 0, 4) - 2), ea - 24 - eb);
        if (chance_between(chance, 0, 1) == 0)
            *a = ldexpf(float_of(0x3f800000 + chance_between(chance, 0, 4) - 2), eb);
        break;
    case TRIPLE_SUBNORMAL:
        *a = with_exponent(chance, ea - 50);
        *b = with_exponent(chance, -(int)chance_between(chance, 118, 152) - (ea - 50));
        *c = float_of((uint32_t)(chance_bits(chance) >> 32) & (SIGN | 0x00ffffff));
        break;
    case TRIPLE_LARGE:
        *a = with_exponent(chance, (int)chance_between(chance, 60, 67));
        *b = with_exponent(chance, (int)chance_between(chance, 57, 64));
        *c = with_exponent(chance, (int)chance_between(chance, 96, 127));
        break;
    }
}

static void expect_fma(const struct arith *arith, const float *a, const float *b, const float *c)
{
    float got[LANES], want[LANES];
    arith->fma16(got, a, b, c);
    for (uint32_t l = 0; l < LANES; l++)
        want[l] = fmaf(a[l], b[l], c[l]);
    if (memcmp(got, want, sizeof got) == 0)
        return;
    for (uint32_t l = 0; l < LANES; l++)
        ck_assert_msg(bits_of(got[l]) == bits_of(want[l]) || (isnan(got[l]) && isnan(want[l])),
                      "%s: fma(%a, %a, %a) is %a, not %a", arith->name, (double)a[l], (double)b[l], (double)c[l],
                      (double)got[l], (double)want[l]);
}

START_TEST(fma_without_hardware_gives_the_bits_of_hardware)
{
    const struct arith *portable = arith_choose("portable");
    ck_assert_ptr_nonnull(portable);
    struct chance chance = {.state = 1000 + (uint64_t)_i};
    const uint32_t rounds = COARSE && !run_exhaustive() ? 20000 : 500000;
    uint64_t subnormal = 0, infinite = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        float a[LANES], b[LANES], c[LANES];
        for (uint32_t l = 0; l < LANES; l++) {
            draw(&chance, (enum triple)_i, &a[l], &b[l], &c[l]);
            float y = fmaf(a[l], b[l], c[l]);
            subnormal += fpclassify(y) == FP_SUBNORMAL;
            infinite += isinf(y) != 0;
        }
        expect_fma(portable, a, b, c);
    }
    /* the generator does what its name says */
    if (_i == TRIPLE_SUBNORMAL)
        ck_assert_uint_ge(subnormal, (uint64_t)rounds * LANES / 8);
    if (_i == TRIPLE_LARGE)
        ck_assert_uint_ge(infinite, (uint64_t)rounds * LANES / 16);
}
END_TEST

START_TEST(fma_of_every_triple_of_special_values_is_right_on_every_instruction_set)
{
    static const float special[] = {0.0F,           0x1p-149F, FLT_MIN,  0x1.fffffcp-127F, 1.0F,     0x1.000002p0F,
                                    0x1.fffffeP-1F, 0x1p-24F,  0x1p-25F, 0x1p63F,          0x1p127F, FLT_MAX,
                                    INFINITY,       NAN,       3.0F,     0x1p-75F,         0x1p-74F};
    const uint32_t n = 2 * sizeof special / sizeof *special;
    const struct arith *arith;
    for (unsigned nth = 0; (arith = arith_nth(nth)) != NULL; nth++)
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < n; j++)
                for (uint32_t k = 0; k < n; k += LANES) {
                    float a[LANES], b[LANES], c[LANES];
                    for (uint32_t l = 0; l < LANES; l++) {
                        uint32_t m = (k + l) % n;
                        a[l] = i % 2 == 0 ? special[i / 2] : -special[i / 2];
                        b[l] = j % 2 == 0 ? special[j / 2] : -special[j / 2];
                        c[l] = m % 2 == 0 ? special[m / 2] : -special[m / 2];
                    }
                    expect_fma(arith, a, b, c);
                }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("lanes");
    tcase_add_test(tcase, exp_of_every_positive_float_is_right_within_its_bound);
    tcase_add_test(tcase, exp_of_every_negative_float_is_right_within_its_bound_while_the_result_is_normal);
    tcase_add_test(tcase, exp_with_a_subnormal_result_is_off_by_less_than_the_smallest_float);
    tcase_add_test(tcase, exp_of_every_float_near_zero_is_one);
    tcase_add_test(tcase, exp_of_every_float_from_89_on_is_infinite);
    tcase_add_test(tcase, exp_of_every_float_from_minus_104_down_is_zero);
    tcase_add_test(tcase, tanh_of_every_float_is_right_within_its_bound);
    tcase_add_test(tcase, tanh_of_every_float_near_zero_is_the_float_itself);
    tcase_add_test(tcase, tanh_of_every_float_beyond_9_02_is_one);
    tcase_add_test(tcase, tanh_is_odd_bit_by_bit_and_never_beyond_one);
    tcase_add_test(tcase, every_instruction_set_gives_the_same_bits_over_the_whole_range);
    tcase_add_test(tcase, every_instruction_set_gives_the_same_bits_where_the_functions_change);
    tcase_add_test(tcase, a_nan_stays_a_nan);
    tcase_add_loop_test(tcase, fma_without_hardware_gives_the_bits_of_hardware, 0, TRIPLE_N);
    tcase_add_test(tcase, fma_of_every_triple_of_special_values_is_right_on_every_instruction_set);
    return run_case(tcase, "lanes");
}
