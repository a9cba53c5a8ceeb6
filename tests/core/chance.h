/* chance.h - the random numbers of tests: SplitMix64 (Steele, Lea, Flood 2014) from a seed that the test states, so
 * that what failed once fails again. */
#ifndef CONVD_TESTS_CHANCE_H
#define CONVD_TESTS_CHANCE_H

#include <stddef.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_bits(struct chance *chance)
{
    uint64_t x = chance->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* One of low .. high, both included. */
static inline uint32_t chance_between(struct chance *chance, uint32_t low, uint32_t high)
{
    return low + (uint32_t)((chance_bits(chance) >> 32) * ((uint64_t)high - low + 1) >> 32);
}

/* In [0, 1). */
static inline double chance_unit(struct chance *chance)
{
    return (double)(chance_bits(chance) >> 11) * 0x1p-53;
}

/* Nearly normal, mean 0, standard deviation 1: twelve uniforms less six. */
static inline double chance_normal(struct chance *chance)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++)
        sum += chance_unit(chance);
    return sum;
}

static inline void chance_pixels(struct chance *chance, uint8_t *pixels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)(chance_bits(chance) >> 56);
}

#endif
