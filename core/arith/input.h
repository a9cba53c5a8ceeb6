/* input.h - pixels to x, by the setting `normalize`: core/net.h has the equations. Included by core/arith/arith.c alone. */
#ifndef CONVD_CORE_ARITH_INPUT_H
#define CONVD_CORE_ARITH_INPUT_H

#include "core/arith/lanes.h"
#include "core/net.h"

/* So many squares of a byte do not overflow 32 bits, in which they are added fastest. */
#define INPUT_BLOCK ((size_t)65536)

/* With n below 2^24, n squares is below 2^64. */
static struct input input_of(const struct settings *settings, const uint8_t *pixels, size_t n)
{
    struct input input = {.normalize = settings->normalize, .a = 1.0F / 255.0F, .b = -settings->mean};
    if (settings->normalize == NORMALIZE_NONE)
        return input;
    uint64_t sum = 0, squares = 0;
    for (size_t i = 0; i < n;) {
        const size_t end = n - i < INPUT_BLOCK ? n : i + INPUT_BLOCK;
        uint32_t block_sum = 0, block_squares = 0;
        for (; i < end; i++) {
            block_sum += pixels[i];
            block_squares += (uint32_t)pixels[i] * pixels[i];
        }
        sum += block_sum;
        squares += block_squares;
    }
    double a = 1.0 / 255.0;
    input.mean = (double)sum / (double)n;
    if (settings->normalize == NORMALIZE_STD) {
        const double deviation = __builtin_sqrt((double)(n * squares - sum * sum)) / (double)n;
        input.deviation = deviation > NORMALIZE_LEAST ? deviation : 0.0;
        a = NORMALIZE_DEVIATION / (deviation > NORMALIZE_LEAST ? deviation : NORMALIZE_LEAST);
    }
    input.a = (float)a;
    input.b = (float)(-(input.mean * a) - (double)settings->mean);
    return input;
}

/* x[i] = fma(pixel, a, b); writes up to the next multiple of 16. */
static void input(float *x, const uint8_t *pixels, size_t n, const struct input *how)
{
    const struct f16 a = lanes_set1(how->a), b = lanes_set1(how->b);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_store(x + i, lanes_fma(lanes_from_bytes(pixels + i), a, b));
    if (i < n) {
        uint8_t rest[LANES] = {0};
        memcpy(rest, pixels + i, n - i);
        lanes_store(x + i, lanes_fma(lanes_from_bytes(rest), a, b));
    }
}

#endif
