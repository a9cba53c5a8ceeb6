/* floor.c - see floor.h
 *
 * Each loop keeps enough independent work in flight to fill the units whatever their latency: twelve chains of multiply-adds
 * (latency 4, at most two a cycle, need eight), eight loads of a vector an iteration.
 */
#include "bench/floor.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define CHAINS    12
#define EACH(X)   X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define EACH_8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

static volatile float sink; /* what is computed must seem to be wanted */

/* The two vector widths differ only in names. */
#define DEFINE_LOOPS(W, TARGET, VECTOR, LANES, SET1, FMADD, ADD, LOAD, STORE)                                          \
    __attribute__((target(TARGET))) static void fma_loop_##W(uint64_t n)                                               \
    {                                                                                                                  \
        const VECTOR m = SET1(0.999F), c = SET1(0.001F);                                                               \
        EACH(DECLARE_CHAIN_##W)                                                                                        \
        for (uint64_t i = 0; i < n; i++) {                                                                             \
            EACH(STEP_CHAIN_##W)                                                                                       \
        }                                                                                                              \
        VECTOR sum = SET1(0.0F);                                                                                       \
        EACH(SUM_CHAIN_##W)                                                                                            \
        float lanes[LANES];                                                                                            \
        STORE(lanes, sum);                                                                                             \
        sink = lanes[0];                                                                                               \
    }                                                                                                                  \
    __attribute__((target(TARGET))) static void read_loop_##W(const float *block, size_t n_floats)                     \
    {                                                                                                                  \
        EACH_8(DECLARE_SUM_##W)                                                                                        \
        for (size_t i = 0; i < n_floats; i += (size_t)8 * LANES) {                                                     \
            EACH_8(READ_##W)                                                                                           \
        }                                                                                                              \
        VECTOR sum = SET1(0.0F);                                                                                       \
        EACH_8(SUM_CHAIN_##W)                                                                                          \
        float lanes[LANES];                                                                                            \
        STORE(lanes, sum);                                                                                             \
        sink = lanes[0];                                                                                               \
    }                                                                                                                  \
    __attribute__((target(TARGET))) static void update_loop_##W(float *block, size_t n_floats)                         \
    {                                                                                                                  \
        const VECTOR c = SET1(0.001F);                                                                                 \
        for (size_t i = 0; i < n_floats; i += (size_t)8 * LANES) {                                                     \
            EACH_8(UPDATE_##W)                                                                                         \
        }                                                                                                              \
    }

#define DECLARE_CHAIN_512(j) __m512 a##j = _mm512_set1_ps((float)(j));
#define STEP_CHAIN_512(j)    a##j = _mm512_fmadd_ps(a##j, m, c);
#define SUM_CHAIN_512(j)     sum = _mm512_add_ps(sum, a##j);
#define DECLARE_SUM_512(j)   __m512 a##j = _mm512_setzero_ps();
#define READ_512(j)          a##j = _mm512_add_ps(a##j, _mm512_load_ps(block + i + (size_t)(j)*16));
#define UPDATE_512(j)                                                                                                  \
    _mm512_store_ps(block + i + (size_t)(j)*16, _mm512_add_ps(_mm512_load_ps(block + i + (size_t)(j)*16), c));
DEFINE_LOOPS(512, "avx512f", __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_load_ps,
             _mm512_storeu_ps)

#define DECLARE_CHAIN_256(j) __m256 a##j = _mm256_set1_ps((float)(j));
#define STEP_CHAIN_256(j)    a##j = _mm256_fmadd_ps(a##j, m, c);
#define SUM_CHAIN_256(j)     sum = _mm256_add_ps(sum, a##j);
#define DECLARE_SUM_256(j)   __m256 a##j = _mm256_setzero_ps();
#define READ_256(j)          a##j = _mm256_add_ps(a##j, _mm256_load_ps(block + i + (size_t)(j)*8));
#define UPDATE_256(j)                                                                                                  \
    _mm256_store_ps(block + i + (size_t)(j)*8, _mm256_add_ps(_mm256_load_ps(block + i + (size_t)(j)*8), c));
DEFINE_LOOPS(256, "avx2,fma", __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_load_ps,
             _mm256_storeu_ps)

static bool is_512(const char *arith)
{
    return strcmp(arith, "x86-64-v4") == 0;
}

bool floor_has(const char *arith)
{
    if (is_512(arith))
        return __builtin_cpu_supports("avx512f") != 0;
    return strcmp(arith, "x86-64-v3") == 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

double floor_fma(const char *arith)
{
    assert(floor_has(arith));
    const bool wide = is_512(arith);
    const uint64_t n = wide ? 1000000 : 2000000;
    const double lanes = wide ? 16 : 8;
    double start = cpu_ns();
    if (wide)
        fma_loop_512(n);
    else
        fma_loop_256(n);
    return CHAINS * lanes * (double)n / (cpu_ns() - start);
}

static int rounds_over(size_t n_bytes)
{
    return 1 + (int)(((size_t)300 << 20) / n_bytes);
}

double floor_read(const char *arith, const float *block, size_t n_bytes)
{
    assert(floor_has(arith) && n_bytes % 512 == 0);
    const bool wide = is_512(arith);
    const int rounds = rounds_over(n_bytes);
    double start = cpu_ns();
    for (int i = 0; i < rounds; i++) {
        if (wide)
            read_loop_512(block, n_bytes / sizeof *block);
        else
            read_loop_256(block, n_bytes / sizeof *block);
    }
    return (double)n_bytes * rounds / (cpu_ns() - start);
}

double floor_update(const char *arith, float *block, size_t n_bytes)
{
    assert(floor_has(arith) && n_bytes % 512 == 0);
    const bool wide = is_512(arith);
    const int rounds = rounds_over(n_bytes);
    double start = cpu_ns();
    for (int i = 0; i < rounds; i++) {
        if (wide)
            update_loop_512(block, n_bytes / sizeof *block);
        else
            update_loop_256(block, n_bytes / sizeof *block);
    }
    return (double)n_bytes * rounds / (cpu_ns() - start);
}

#else /* no loops for this processor: bench/run prints no floor */

bool floor_has(const char *arith)
{
    (void)arith;
    return false;
}

double floor_fma(const char *arith)
{
    (void)arith;
    assert(!"floor_has() must hold");
    return 1;
}

double floor_read(const char *arith, const float *block, size_t n_bytes)
{
    (void)block, (void)n_bytes;
    return floor_fma(arith);
}

double floor_update(const char *arith, float *block, size_t n_bytes)
{
    (void)block, (void)n_bytes;
    return floor_fma(arith);
}

#endif
