/* floor.h - what one core of this machine could do at best: its peak rate of fused multiply-adds, and how fast it reads, or reads and
 * writes back, a block that lives in its second-level cache.
 *
 * From these follows the floor that bench/run compares with. With M(forward), M(step) multiply-adds and B bytes of w01:
 *
 *     floor(forward) = M(forward) / fma rate + B / read rate
 *     floor(step)    = M(step)    / fma rate + B / update rate         (step: forward included)
 *
 * It is a floor for code that overlaps nothing; multiply-adds that hide the loads could in principle go below it.
 */
#ifndef CONVD_BENCH_FLOOR_H
#define CONVD_BENCH_FLOOR_H

#include <stdbool.h>
#include <stddef.h>

/* floor_has - whether rates are known for that instruction set ("x86-64-v4", "x86-64-v3") on this machine. The portable
 * arithmetic and arm64 have none. */
bool floor_has(const char *arith);

/* floor_fma - multiply-adds in a nanosecond; takes about 4 ms. floor_has(arith) must hold for all of these. */
double floor_fma(const char *arith);

/* floor_read, floor_update - bytes in a nanosecond, over and over the same block of n_bytes: read; read, added to and
 * written back. block must be 64-byte aligned, n_bytes a multiple of 512. Takes about 4 ms where the block lives in the second-level cache. */
double floor_read(const char *arith, const float *block, size_t n_bytes);
double floor_update(const char *arith, float *block, size_t n_bytes);

/* cpu_ns - processor time of this process: on a quiet machine, and in one thread that never waits, the time on the wall; on a
 * busy one, without what others took. */
double cpu_ns(void);

#endif
