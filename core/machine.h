/* machine.h - what a processor and a compiler must be for the same bits; nothing is compiled where they are not.
 *
 * The Makefile's flags take back -ffast-math and its like from CFLAGS; who compiles by other means is told here.
 */
#ifndef CONVD_CORE_MACHINE_H
#define CONVD_CORE_MACHINE_H

#include <float.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "convd runs on little-endian processors only: its files have numbers as they lie in memory"
#elif FLT_EVAL_METHOD != 0
#error "convd needs float arithmetic without x87: on i386, compile with -msse2 -mfpmath=sse"
#elif defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "convd has the same bits everywhere: compile without -ffast-math, -Ofast, -ffinite-math-only"
#endif

#endif
