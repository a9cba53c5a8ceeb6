/* draw.h - random bits by counter: a function of (key, counter) and of nothing else, so that a replay draws the same.
 *
 * SplitMix64's finalizer (Steele, Lea, Flood 2014), a bijection that mixes all bits, on the key and then on the counter.
 * For choosing, not for secrets.
 */
#ifndef CONVD_CORE_DRAW_H
#define CONVD_CORE_DRAW_H

#include <stdint.h>

static inline uint64_t draw_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* draw_bits - 64 bits for the counter-th draw of that key. */
static inline uint64_t draw_bits(uint64_t key, uint64_t counter)
{
    return draw_mix(draw_mix(key + 0x9e3779b97f4a7c15u) + 0x9e3779b97f4a7c15u * counter);
}

/* draw_below - one of 0 .. n - 1 from 64 random bits; n at least 1. Uniform but for 2^-64 n. */
static inline uint64_t draw_below(uint64_t bits, uint64_t n)
{
    const uint64_t low = (bits & 0xffffffffu) * (n & 0xffffffffu);
    const uint64_t a = (bits >> 32) * (n & 0xffffffffu) + (low >> 32);
    const uint64_t b = (bits & 0xffffffffu) * (n >> 32) + (a & 0xffffffffu);
    return (bits >> 32) * (n >> 32) + (a >> 32) + (b >> 32);
}

/* draw_signed - in [-1, 1), a multiple of 2^-52: exact in a double. */
static inline double draw_signed(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-52 - 1.0;
}

#endif
