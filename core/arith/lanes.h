/* lanes.h - 16 float lanes, the only vector that the arithmetic knows. Included by core/arith/arith.c alone.
 *
 * Every operation works lane by lane and is one correctly rounded IEEE 754 operation per lane, so that it gives the same
 * bits whatever it is compiled to: one AVX-512 register, two of AVX2, four of NEON or SSE2. There is no operation here whose
 * result an instruction set may choose: no estimates, no min/max but lanes_gt_max() (they differ in NaN and signed zero), no horizontal add.
 * Sums across lanes have one order, the lane tree of net.h.
 *
 * Fused multiply-add is explicit. Where the processor has none ("portable"), lanes_fma() computes it exactly
 * in double precision: the product of two floats is exact there; the sum is rounded to odd, which makes the second rounding,
 * to float, the right one (Boldo and Melquiond 2008, Emulation of FMA and correctly rounded sums).
 */
#ifndef CONVD_CORE_ARITH_LANES_H
#define CONVD_CORE_ARITH_LANES_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(FLT_RADIX == 2 && FLT_MANT_DIG == 24 && DBL_MANT_DIG == 53, "IEEE 754 binary32 and binary64");

#define LANES_INLINE static inline __attribute__((always_inline, unused))

#if defined(__clang__)
#define LANES_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LANES_UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define LANES_PART 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES_PART 8
#else
#if defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define LANES_NEON 1
#endif
#define LANES_PART 4
#endif

#define LANES_PARTS (16 / LANES_PART)

typedef float lanes_vf __attribute__((vector_size(LANES_PART * 4)));
typedef int32_t lanes_vi __attribute__((vector_size(LANES_PART * 4)));

struct f16 {
    lanes_vf part[LANES_PARTS];
};

struct i16 {
    lanes_vi part[LANES_PARTS];
};

#define LANES_EACH LANES_UNROLL for (int i_ = 0; i_ < LANES_PARTS; i_++)

LANES_INLINE struct f16 lanes_load(const float *p)
{
    struct f16 r;
    LANES_EACH
    {
        memcpy(&r.part[i_], p + (size_t)i_ * LANES_PART,
               sizeof r.part[0]); /* part by part, or gcc goes through memory */
    }
    return r;
}

LANES_INLINE void lanes_store(float *p, struct f16 a)
{
    LANES_EACH
    {
        memcpy(p + (size_t)i_ * LANES_PART, &a.part[i_], sizeof a.part[0]);
    }
}

LANES_INLINE void lanes_store_int(uint32_t *p, struct i16 a)
{
    LANES_EACH
    {
        memcpy(p + (size_t)i_ * LANES_PART, &a.part[i_], sizeof a.part[0]);
    }
}

LANES_INLINE struct f16 lanes_set1(float x)
{
    struct f16 r;
    LANES_EACH
    {
        r.part[i_] = x - (lanes_vf){0}; /* x - (+0) is x, for -0 too */
    }
    return r;
}

LANES_INLINE struct i16 lanes_set1_int(int32_t x)
{
    struct i16 r;
    LANES_EACH
    {
        r.part[i_] = x + (lanes_vi){0};
    }
    return r;
}

LANES_INLINE struct f16 lanes_add(struct f16 a, struct f16 b)
{
    LANES_EACH
    {
        a.part[i_] = a.part[i_] + b.part[i_];
    }
    return a;
}

LANES_INLINE struct f16 lanes_sub(struct f16 a, struct f16 b)
{
    LANES_EACH
    {
        a.part[i_] = a.part[i_] - b.part[i_];
    }
    return a;
}

LANES_INLINE struct f16 lanes_mul(struct f16 a, struct f16 b)
{
    LANES_EACH
    {
        a.part[i_] = a.part[i_] * b.part[i_];
    }
    return a;
}

LANES_INLINE struct f16 lanes_div(struct f16 a, struct f16 b)
{
    LANES_EACH
    {
        a.part[i_] = a.part[i_] / b.part[i_];
    }
    return a;
}

#if !defined(__FMA__) && !defined(LANES_NEON)
/* fma in double with rounding to odd; see the head of this file. Right for every finite input: the double sum of a
 * 48-bit product and a float neither overflows nor is subnormal, so TwoSum's error term is exact. */
LANES_INLINE float lanes_fma1_exact(float a, float b, float c)
{
    double product = (double)a * (double)b;
    double addend = (double)c;
    double sum = product + addend;
    double part = sum - product;
    double error = (product - (sum - part)) + (addend - part);
    int64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    int64_t away = ((error > 0.0) == (sum > 0.0)) ? 1 : -1; /* towards the exact sum, as a step of the magnitude */
    bits += (error != 0.0 && error == error && (bits & 1) == 0) ? away : 0;
    memcpy(&sum, &bits, sizeof sum);
    return (float)sum;
}
#endif

/* lanes_fma - a * b + c, rounded once. Computed, it is so long that copies of it everywhere would take minutes to compile. */
#if !defined(__FMA__) && !defined(LANES_NEON)
static __attribute__((noinline)) struct f16 lanes_fma(struct f16 a, struct f16 b, struct f16 c)
#else
LANES_INLINE struct f16 lanes_fma(struct f16 a, struct f16 b, struct f16 c)
#endif
{
    LANES_EACH
    {
#if LANES_PART == 16
        c.part[i_] = (lanes_vf)_mm512_fmadd_ps((__m512)a.part[i_], (__m512)b.part[i_], (__m512)c.part[i_]);
#elif LANES_PART == 8
        c.part[i_] = (lanes_vf)_mm256_fmadd_ps((__m256)a.part[i_], (__m256)b.part[i_], (__m256)c.part[i_]);
#elif defined(LANES_NEON)
        c.part[i_] = vfmaq_f32(c.part[i_], a.part[i_], b.part[i_]);
#else
        c.part[i_] = (lanes_vf){lanes_fma1_exact(a.part[i_][0], b.part[i_][0], c.part[i_][0]),
                                lanes_fma1_exact(a.part[i_][1], b.part[i_][1], c.part[i_][1]),
                                lanes_fma1_exact(a.part[i_][2], b.part[i_][2], c.part[i_][2]),
                                lanes_fma1_exact(a.part[i_][3], b.part[i_][3], c.part[i_][3])};
#endif
    }
    return c;
}

/* lanes_fma1 - the same for one float. */
LANES_INLINE float lanes_fma1(float a, float b, float c)
{
#if defined(__FMA__) || defined(LANES_NEON)
    return __builtin_fmaf(a, b, c);
#else
    return lanes_fma1_exact(a, b, c);
#endif
}

/* lanes_gt_select - per lane: a > b ? x : y. False where a or b is NaN. */
LANES_INLINE struct f16 lanes_gt_select(struct f16 a, struct f16 b, struct f16 x, struct f16 y)
{
    LANES_EACH
    {
#if LANES_PART == 16
        __mmask16 mask = _mm512_cmp_ps_mask((__m512)a.part[i_], (__m512)b.part[i_], _CMP_GT_OQ);
        y.part[i_] = (lanes_vf)_mm512_mask_mov_ps((__m512)y.part[i_], mask, (__m512)x.part[i_]);
#elif LANES_PART == 8
        __m256 mask = _mm256_cmp_ps((__m256)a.part[i_], (__m256)b.part[i_], _CMP_GT_OQ);
        y.part[i_] = (lanes_vf)_mm256_blendv_ps((__m256)y.part[i_], (__m256)x.part[i_], mask);
#else
        lanes_vi mask = a.part[i_] > b.part[i_];
        y.part[i_] = (lanes_vf)(((lanes_vi)x.part[i_] & mask) | ((lanes_vi)y.part[i_] & ~mask));
#endif
    }
    return y;
}

/* lanes_gt_max - per lane: a > b ? a : b, so b where either is NaN and where both are zeros. That is x86's instruction exactly, with its
 * operands in this order; it waits for no comparison's mask. */
LANES_INLINE struct f16 lanes_gt_max(struct f16 a, struct f16 b)
{
#if LANES_PART >= 8
    LANES_EACH
    {
#if LANES_PART == 16
        b.part[i_] = (lanes_vf)_mm512_max_ps((__m512)a.part[i_], (__m512)b.part[i_]);
#else
        b.part[i_] = (lanes_vf)_mm256_max_ps((__m256)a.part[i_], (__m256)b.part[i_]);
#endif
    }
    return b;
#else
    return lanes_gt_select(a, b, a, b);
#endif
}

LANES_INLINE struct i16 lanes_gt_select_int(struct f16 a, struct f16 b, struct i16 x, struct i16 y)
{
    LANES_EACH
    {
#if LANES_PART == 16
        __mmask16 mask = _mm512_cmp_ps_mask((__m512)a.part[i_], (__m512)b.part[i_], _CMP_GT_OQ);
        y.part[i_] = (lanes_vi)_mm512_mask_mov_epi32((__m512i)y.part[i_], mask, (__m512i)x.part[i_]);
#elif LANES_PART == 8
        __m256 mask = _mm256_cmp_ps((__m256)a.part[i_], (__m256)b.part[i_], _CMP_GT_OQ);
        y.part[i_] = (lanes_vi)_mm256_blendv_ps((__m256)y.part[i_], (__m256)x.part[i_], mask);
#else
        lanes_vi mask = a.part[i_] > b.part[i_];
        y.part[i_] = (x.part[i_] & mask) | (y.part[i_] & ~mask);
#endif
    }
    return y;
}

/* lanes_abs - the sign bit cleared; lanes_with_sign - magnitude of a, sign of b. */
LANES_INLINE struct f16 lanes_abs(struct f16 a)
{
    LANES_EACH
    {
        a.part[i_] = (lanes_vf)((lanes_vi)a.part[i_] & 0x7fffffff);
    }
    return a;
}

LANES_INLINE struct f16 lanes_with_sign(struct f16 a, struct f16 b)
{
    LANES_EACH
    {
        lanes_vi sign = (lanes_vi)b.part[i_] & INT32_MIN;
        a.part[i_] = (lanes_vf)((lanes_vi)a.part[i_] | sign);
    }
    return a;
}

/* lanes_from_bytes - 16 bytes as floats 0..255. */
LANES_INLINE struct f16 lanes_from_bytes(const uint8_t *p)
{
#if LANES_PART == 16
    struct f16 r;
    __m128i bytes;
    memcpy(&bytes, p, sizeof bytes);
    r.part[0] = (lanes_vf)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
    return r;
#elif LANES_PART == 8
    struct f16 r;
    LANES_EACH
    {
        __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * i_));
        r.part[i_] = (lanes_vf)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    }
    return r;
#else
    float f[16];
    for (int l = 0; l < 16; l++)
        f[l] = (float)p[l];
    return lanes_load(f);
#endif
}

/* lanes_sum - the lane tree: l + (l + 8), + 4, + 2, + 1. */
LANES_INLINE float lanes_sum(struct f16 a)
{
    float f[16];
    lanes_store(f, a);
    LANES_UNROLL
    for (int l = 0; l < 8; l++)
        f[l] = f[l] + f[l + 8];
    LANES_UNROLL
    for (int l = 0; l < 4; l++)
        f[l] = f[l] + f[l + 4];
    return (f[0] + f[2]) + (f[1] + f[3]);
}

/* lanes_sum4 - the lane trees of four vectors at once, into out[0..3]; the same order of additions as lanes_sum(). */
LANES_INLINE void lanes_sum4(float *out, struct f16 a, struct f16 b, struct f16 c, struct f16 d)
{
#if LANES_PART >= 8
#if LANES_PART == 16
#define LANES_HALVES(v)                                                                                                \
    _mm256_add_ps(_mm512_castps512_ps256((__m512)(v).part[0]), _mm512_extractf32x8_ps((__m512)(v).part[0], 1))
#else
#define LANES_HALVES(v) _mm256_add_ps((__m256)(v).part[0], (__m256)(v).part[1])
#endif
    __m256 a8 = LANES_HALVES(a), b8 = LANES_HALVES(b), c8 = LANES_HALVES(c), d8 = LANES_HALVES(d);
#undef LANES_HALVES
    /* + 4: low half a (or c), high half b (or d) */
    __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(a8, b8, 0x20), _mm256_permute2f128_ps(a8, b8, 0x31));
    __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c8, d8, 0x20), _mm256_permute2f128_ps(c8, d8, 0x31));
    /* + 2: a a c c | b b d d */
    __m256 acbd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    /* + 1: a c . . | b d . . */
    __m256 sum = _mm256_add_ps(_mm256_shuffle_ps(acbd, acbd, 0x88), _mm256_shuffle_ps(acbd, acbd, 0xdd));
    __m128 ac = _mm256_castps256_ps128(sum), bd = _mm256_extractf128_ps(sum, 1);
    _mm_storeu_ps(out, _mm_unpacklo_ps(ac, bd));
#else
    out[0] = lanes_sum(a);
    out[1] = lanes_sum(b);
    out[2] = lanes_sum(c);
    out[3] = lanes_sum(d);
#endif
}

/* ---- every fourth ---- */

/* Four by four, turned about its diagonal. */
typedef float lanes_vq __attribute__((vector_size(16)));

LANES_INLINE void lanes_turn4(lanes_vq v[4])
{
    lanes_vq a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    lanes_vq c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5), d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    v[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    v[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

/* lanes_split4 - 16 floats into four runs: to[c][i] = x[4 i + c]; lanes_join4 - back. */
LANES_INLINE void lanes_split4(float *const to[4], const float *x)
{
    lanes_vq v[4];
    LANES_UNROLL
    for (int i = 0; i < 4; i++)
        memcpy(&v[i], x + (size_t)4 * (size_t)i, sizeof v[i]); /* one by one, or gcc goes through memory */
    lanes_turn4(v);
    LANES_UNROLL
    for (int c = 0; c < 4; c++)
        memcpy(to[c], &v[c], sizeof v[c]);
}

LANES_INLINE void lanes_join4(float *x, const float *const from[4])
{
    lanes_vq v[4];
    LANES_UNROLL
    for (int c = 0; c < 4; c++)
        memcpy(&v[c], from[c], sizeof v[c]);
    lanes_turn4(v);
    LANES_UNROLL
    for (int i = 0; i < 4; i++)
        memcpy(x + (size_t)4 * (size_t)i, &v[i], sizeof v[i]);
}

/* ---- half vectors: 8 lanes, for kernel rows of at most 8, where 16 would be mostly idle ---- */

#if LANES_PART >= 8
#define LANES_HALF_PARTS 1
typedef float lanes_vh __attribute__((vector_size(32)));
#else
#define LANES_HALF_PARTS 2
typedef float lanes_vh __attribute__((vector_size(16)));
#endif

struct f8 {
    lanes_vh part[LANES_HALF_PARTS];
};

LANES_INLINE struct f8 lanes8_load(const float *p)
{
    struct f8 r;
    memcpy(&r, p, sizeof r);
    return r;
}

LANES_INLINE void lanes8_store(float *p, struct f8 a)
{
    memcpy(p, &a, sizeof a);
}

LANES_INLINE struct f8 lanes8_set1(float x)
{
    struct f8 r;
    for (int i = 0; i < LANES_HALF_PARTS; i++)
        r.part[i] = x - (lanes_vh){0};
    return r;
}

LANES_INLINE struct f8 lanes8_fma(struct f8 a, struct f8 b, struct f8 c)
{
#if LANES_PART >= 8
    c.part[0] = (lanes_vh)_mm256_fmadd_ps((__m256)a.part[0], (__m256)b.part[0], (__m256)c.part[0]);
#else
    for (int i = 0; i < LANES_HALF_PARTS; i++) {
#if defined(LANES_NEON)
        c.part[i] = vfmaq_f32(c.part[i], a.part[i], b.part[i]);
#else
        c.part[i] = (lanes_vh){lanes_fma1_exact(a.part[i][0], b.part[i][0], c.part[i][0]),
                               lanes_fma1_exact(a.part[i][1], b.part[i][1], c.part[i][1]),
                               lanes_fma1_exact(a.part[i][2], b.part[i][2], c.part[i][2]),
                               lanes_fma1_exact(a.part[i][3], b.part[i][3], c.part[i][3])};
#endif
    }
#endif
    return c;
}

/* ---- exp and tanh ---- */

/* 2^n by writing the exponent; n in [-126, 127], given as `bits` = n of each lane. */
LANES_INLINE struct f16 lanes_exp2_int(struct i16 n)
{
    struct f16 r;
    LANES_EACH
    {
        r.part[i_] = (lanes_vf)((n.part[i_] + 127) << 23);
    }
    return r;
}

/* exp(x) = 2^n exp(g), n = round(x / ln 2), |g| <= ln 2 / 2; ln 2 in two parts so that g is nearly exact.
 * Polynomial: S. L. Moshier's Cephes expf, minimax of degree 5 for (exp(g) - 1 - g) / g^2. Returns exp(g), and n. */
LANES_INLINE struct f16 lanes_exp_reduced(struct f16 x, struct i16 *n)
{
    const struct f16 magic = lanes_set1(12582912.0F); /* 1.5 * 2^23: adding it rounds to an integer, ties to even */
    struct f16 shifted = lanes_fma(x, lanes_set1(1.44269504088896341F), magic);
    LANES_EACH
    {
        n->part[i_] = (lanes_vi)shifted.part[i_] - 0x4b400000; /* the bits of magic */
    }
    struct f16 n_float = lanes_sub(shifted, magic);
    struct f16 g = lanes_fma(n_float, lanes_set1(-0.693359375F), x);
    g = lanes_fma(n_float, lanes_set1(2.12194440e-4F), g);
    struct f16 p = lanes_set1(1.9875691500E-4F);
    p = lanes_fma(p, g, lanes_set1(1.3981999507E-3F));
    p = lanes_fma(p, g, lanes_set1(8.3334519073E-3F));
    p = lanes_fma(p, g, lanes_set1(4.1665795894E-2F));
    p = lanes_fma(p, g, lanes_set1(1.6666665459E-1F));
    p = lanes_fma(p, g, lanes_set1(5.0000001201E-1F));
    return lanes_add(lanes_fma(lanes_mul(g, g), p, g), lanes_set1(1.0F));
}

/* lanes_exp - over the whole range: 0 below -104, infinity above 89, subnormal results in between rounded twice; NaN
 * stays NaN. Error: at most 1.02 ulp where the result is normal, measured over every float by tests/core/test_lanes.c;
 * below the smallest float where it is subnormal. */
LANES_INLINE struct f16 lanes_exp(struct f16 x)
{
    const struct f16 low = lanes_set1(-104.0F), high = lanes_set1(89.0F);
    x = lanes_gt_select(low, x, low, x);
    x = lanes_gt_select(x, high, high, x);
    struct i16 n, n_half;
    struct f16 p = lanes_exp_reduced(x, &n);
    LANES_EACH
    {
        n_half.part[i_] = n.part[i_] >> 1; /* scaled in two steps: 2^n itself may be out of range */
        n.part[i_] = n.part[i_] - n_half.part[i_];
    }
    return lanes_mul(lanes_mul(p, lanes_exp2_int(n_half)), lanes_exp2_int(n));
}

/* lanes_tanh - |x| < 0.625: x + x^3 P(x^2) (Cephes tanhf); else 1 - 2 / (exp(2 |x|) + 1). Odd by construction, never above 1.
 * Error: at most 1.34 ulp over every float; the same test. NaN stays NaN. */
LANES_INLINE struct f16 lanes_tanh(struct f16 x)
{
    const struct f16 one = lanes_set1(1.0F), high = lanes_set1(9.125F); /* tanh rounds to 1 from 9.02 on */
    struct f16 z = lanes_abs(x);
    struct f16 z_low = lanes_gt_select(z, high, high, z);
    struct i16 n;
    struct f16 p = lanes_exp_reduced(lanes_add(z_low, z_low), &n);
    struct f16 e = lanes_mul(p, lanes_exp2_int(n));
    struct f16 large = lanes_sub(one, lanes_div(lanes_set1(2.0F), lanes_add(e, one)));

    struct f16 q = lanes_mul(z, z);
    struct f16 s = lanes_set1(-5.70498872745E-3F);
    s = lanes_fma(s, q, lanes_set1(2.06390887954E-2F));
    s = lanes_fma(s, q, lanes_set1(-5.37397155531E-2F));
    s = lanes_fma(s, q, lanes_set1(1.33314422036E-1F));
    s = lanes_fma(s, q, lanes_set1(-3.33332819422E-1F));
    struct f16 small = lanes_fma(lanes_mul(s, q), z, z);

    return lanes_with_sign(lanes_gt_select(lanes_set1(0.625F), z, small, large), x);
}

#endif
