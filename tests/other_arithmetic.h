/* other_arithmetic.h - included before all else, it makes a convd of another arithmetic: a multiply-add that rounds twice. For the tests of
 * upgrades alone; see `other` in make/build.mk. Where the processor has no such instruction, only the name is another. */
#ifndef CONVD_TESTS_OTHER_ARITHMETIC_H
#define CONVD_TESTS_OTHER_ARITHMETIC_H

#if defined(ARITH_SYMBOL) && defined(__FMA__)
#include <immintrin.h>
#define _mm256_fmadd_ps(a, b, c) _mm256_add_ps(_mm256_mul_ps(a, b), c)
#define _mm512_fmadd_ps(a, b, c) _mm512_add_ps(_mm512_mul_ps(a, b), c)
#elif defined(ARITH_SYMBOL) && defined(__aarch64__)
#include <arm_neon.h>
#define vfmaq_f32(c, a, b) vaddq_f32(c, vmulq_f32(a, b))
#endif

#endif
