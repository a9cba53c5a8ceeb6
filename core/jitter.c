/* jitter.c - see jitter.h. Coordinates are integers with 16 bits behind the point: at a corner of the largest image the
 * rounding of sine and cosine amounts to a thirty-second of a pixel. */
#include "core/jitter.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "core/draw.h"

/* cppcheck-suppress shiftNegativeLHS ; defined by gcc and clang, and this line makes sure */
_Static_assert(-1 >> 1 == -1, "shifts to the right keep the sign");

#define ONE 65536 /* one pixel */

/* From a place in the output to one in the input: x' = x0 + a x + b y, y' = y0 - b x + a y. */
struct motion {
    int32_t x0, y0, a, b;
};

/* Rounds to the nearest; the argument is within 2^31. */
static int32_t fixed(double value)
{
    return (int32_t)(value * ONE + (value < 0.0 ? -0.5 : 0.5));
}

/* Taylor's series to the 11th and 12th power: an error below 1e-10 within the eighth of a turn that is allowed. */
static double sine(double t)
{
    const double s = t * t;
    return t *
           (1.0 + s * (-1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880 + s * (-1.0 / 39916800))))));
}

static double cosine(double t)
{
    const double s = t * t;
    return 1.0 +
           s * (-1.0 / 2 +
                s * (1.0 / 24 + s * (-1.0 / 720 + s * (1.0 / 40320 + s * (-1.0 / 3628800 + s * (1.0 / 479001600))))));
}

static struct motion draw_motion(const struct shape *shape, float shift, float degrees, uint64_t draw)
{
    const double radians = (double)degrees * draw_signed(draw_bits(draw, 2)) * 0.017453292519943295;
    struct motion m = {.a = fixed(cosine(radians)), .b = fixed(sine(radians))};
    const int32_t w = (int32_t)shape->width - 1, h = (int32_t)shape->height - 1;
    /* The centre stays where it is: x0 = c_x - a c_x - b c_y, c doubled here, so that it is whole. */
    m.x0 = (int32_t)(((int64_t)w * (ONE - m.a) - (int64_t)h * m.b) / 2) -
           fixed((double)shift * draw_signed(draw_bits(draw, 0)));
    m.y0 = (int32_t)(((int64_t)h * (ONE - m.a) + (int64_t)w * m.b) / 2) -
           fixed((double)shift * draw_signed(draw_bits(draw, 1)));
    return m;
}

/* ---- sampling: a stretch of a row at a time, first the pixels from where they are, then what lies between them ---- */

#define STRETCH 64
#define LANES_8 8

typedef uint16_t wide __attribute__((vector_size(2 * LANES_8)));
typedef uint8_t narrow __attribute__((vector_size(LANES_8)));

/* For each column of the stretch two pixels beside each other, the left one in the low byte. */
struct corners {
    uint16_t top[STRETCH], bottom[STRETCH];
};

static inline uint16_t load_pair(const uint8_t *at)
{
    uint16_t pair;
    memcpy(&pair, at, sizeof pair);
    return pair;
}

static inline int32_t clamp(int32_t value, int32_t high)
{
    return value < 0 ? 0 : value > high ? high : value;
}

/* In the image there are four pixels round each place; at and beyond its border, the nearest that there are. */
static void gather(struct corners *c, const uint8_t *plane, int32_t width, int32_t height, int32_t x, int32_t y,
                   struct motion m, int32_t n)
{
    for (int32_t i = 0; i < n; i++, x += m.a, y -= m.b) {
        const int32_t left = x >> 16, above = y >> 16;
        if ((uint32_t)left < (uint32_t)width - 1 && (uint32_t)above < (uint32_t)height - 1) {
            const uint8_t *at = plane + (ptrdiff_t)above * width + left;
            c->top[i] = load_pair(at);
            c->bottom[i] = load_pair(at + width);
        } else {
            const int32_t near = clamp(left, width - 1), far = clamp(left + 1, width - 1);
            const uint8_t *top = plane + (ptrdiff_t)clamp(above, height - 1) * width,
                          *bottom = plane + (ptrdiff_t)clamp(above + 1, height - 1) * width;
            c->top[i] = (uint16_t)(top[near] | top[far] << 8);
            c->bottom[i] = (uint16_t)(bottom[near] | bottom[far] << 8);
        }
    }
}

/* a and b are at most 255, so the sum is at most 255 * 256 + 128. fraction: 256ths. */
static inline wide between(wide a, wide b, wide fraction)
{
    return (a * (256 - fraction) + b * fraction + 128) >> 8;
}

/* x, y: the fractions of the first column; they advance as the columns do. */
static void blend(uint8_t *out, const struct corners *c, uint16_t x, uint16_t y, struct motion m, int32_t n)
{
    const wide lane = {0, 1, 2, 3, 4, 5, 6, 7};
    wide fx = x + lane * (uint16_t)m.a, fy = y - lane * (uint16_t)m.b;
    for (int32_t i = 0; i < n; i += LANES_8) {
        wide top, bottom;
        memcpy(&top, c->top + i, sizeof top);
        memcpy(&bottom, c->bottom + i, sizeof bottom);
        const wide left_right = fx >> 8;
        const wide mixed =
            between(between(top & 255, top >> 8, left_right), between(bottom & 255, bottom >> 8, left_right), fy >> 8);
        const narrow bytes = __builtin_convertvector(mixed, narrow);
        memcpy(out + i, &bytes, sizeof bytes);
        fx += (uint16_t)(LANES_8 * m.a);
        fy -= (uint16_t)(LANES_8 * m.b);
    }
}

static void move_plane(uint8_t *out, const uint8_t *plane, int32_t width, int32_t height, struct motion m)
{
    struct corners c = {{0}, {0}};
    for (int32_t row = 0; row < height; row++, out += width)
        for (int32_t first = 0; first < width; first += STRETCH) {
            /* Half a 256th more, so that cutting the fraction to 8 bits rounds it. */
            const int32_t x = m.x0 + m.b * row + m.a * first + ONE / 512,
                          y = m.y0 + m.a * row - m.b * first + ONE / 512;
            const int32_t n = width - first < STRETCH ? width - first : STRETCH;
            uint8_t bytes[STRETCH];
            gather(&c, plane, width, height, x, y, m, n);
            blend(bytes, &c, (uint16_t)x, (uint16_t)y, m, n);
            memcpy(out + first, bytes, (size_t)n);
        }
}

void jitter_apply(uint8_t *out, const uint8_t *pixels, const struct shape *shape, float shift, float degrees,
                  uint64_t draw)
{
    assert(shift >= 0.0F && (double)shift <= JITTER_SHIFT_MAX && degrees >= 0.0F &&
           (double)degrees <= JITTER_DEGREES_MAX);
    if (shift == 0.0F && degrees == 0.0F) {
        memcpy(out, pixels, shape->n_input);
        return;
    }
    const struct motion m = draw_motion(shape, shift, degrees, draw);
    const size_t n_plane = (size_t)shape->width * shape->height;
    for (uint32_t c = 0; c < shape->channels; c++)
        move_plane(out + c * n_plane, pixels + c * n_plane, (int32_t)shape->width, (int32_t)shape->height, m);
}
