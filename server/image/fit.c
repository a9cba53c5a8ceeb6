/* fit.c - from a picture to the input's planes: the steps of image/image.h after "decode".
 *
 * Rows of the picture come in one after another; each is turned to planes, summed along x into the columns of the
 * target, and those sums are added to the target rows that it lies under. Weights are whole numbers, so nothing is
 * rounded on the way: with a source of s pixels over a target of t, pixel i covers [i t, (i + 1) t) and target pixel x
 * covers [x s, (x + 1) s), and a pixel counts with the length of the overlap. All weights under a target pixel
 * add up to s.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/codec.h"

/* A rectangle of source pixels and the rectangle of the input that it fills. */
struct placing {
    uint32_t source_x, source_y, source_w, source_h;
    uint32_t target_x, target_y, target_w, target_h;
};

/* Grey or RGB, with or without alpha, over which background. */
struct planes {
    unsigned channels; /* 1 to 4 */
    bool keeps_alpha;  /* channels 2 and 4 */
    bool inverted;
    uint8_t background; /* that transparency is laid over */
};

#define GROUND_MOST   4u  /* grey: the ground of a drawing that is light on dark already */
#define INK_TOLERANCE 16u /* how far a colour may be from the others, the less the less it is seen */

static uint8_t grey_of(uint32_t r, uint32_t g, uint32_t b)
{
    return (uint8_t)((299 * r + 587 * g + 114 * b + 500) / 1000);
}

/* c over the background, both 0 to 255: rounded, and c itself where a is 255. */
static uint8_t lay(uint32_t c, uint32_t a, uint32_t background)
{
    return (uint8_t)((c * a + background * (255 - a) + 127) / 255);
}

/* to[plane * stride + x] for n pixels. */
static void to_planes(uint8_t *to, size_t stride, const uint8_t *rgba, uint32_t n, const struct planes *p)
{
    const uint32_t background = p->background;
    uint8_t all = 255;
    for (size_t i = 0; i < n; i++)
        all &= rgba[4 * i + 3];
    const bool lays = !p->keeps_alpha && all != 255;
    for (size_t i = 0; i < n; i++) {
        uint32_t r = rgba[4 * i], g = rgba[4 * i + 1], b = rgba[4 * i + 2], a = rgba[4 * i + 3];
        if (lays) {
            r = lay(r, a, background);
            g = lay(g, a, background);
            b = lay(b, a, background);
        }
        if (p->channels <= 2) {
            to[i] = grey_of(r, g, b);
        } else {
            to[i] = (uint8_t)r;
            to[stride + i] = (uint8_t)g;
            to[2 * stride + i] = (uint8_t)b;
        }
        if (p->keeps_alpha)
            to[(p->channels - 1) * stride + i] = (uint8_t)a;
    }
}

/* ---- the outermost pixels ---- */

/* Calls for every pixel of the first and last row and column, each once. */
static void each_border_pixel(const struct picture *picture, void (*see)(const uint8_t *rgba, void *context),
                              void *context)
{
    const uint32_t w = picture->width, h = picture->height;
    for (uint32_t y = 0; y < h; y++) {
        const uint8_t *row = picture->rgba + (size_t)y * w * 4;
        const uint32_t step = y == 0 || y == h - 1 || w == 1 ? 1 : w - 1;
        for (uint32_t x = 0; x < w; x += step)
            see(row + (size_t)x * 4, context);
    }
}

/* Whether something is transparent, and all that is seen has one colour: then *background is that which it stands out from. */
static bool is_ink(uint8_t *background, const struct picture *picture)
{
    const size_t n = (size_t)picture->width * picture->height;
    uint64_t alpha = 0, sums[3] = {0};
    for (const uint8_t *p = picture->rgba, *end = p + 4 * n; p < end; p += 4)
        alpha += p[3];
    if (alpha == 0 || alpha == 255 * (uint64_t)n)
        return false;
    for (const uint8_t *p = picture->rgba, *end = p + 4 * n; p < end; p += 4)
        for (unsigned c = 0; c < 3; c++)
            sums[c] += (uint64_t)p[c] * p[3];
    const uint32_t mean[3] = {(uint32_t)(sums[0] / alpha), (uint32_t)(sums[1] / alpha), (uint32_t)(sums[2] / alpha)};
    for (const uint8_t *p = picture->rgba, *end = p + 4 * n; p < end; p += 4)
        for (unsigned c = 0; c < 3; c++)
            if ((p[c] > mean[c] ? p[c] - mean[c] : mean[c] - p[c]) * p[3] > INK_TOLERANCE * 255)
                return false;
    *background = grey_of(mean[0], mean[1], mean[2]) < 128 ? 255 : 0;
    return true;
}

struct tone {
    const struct planes *laid;    /* over its background; NULL: as it is */
    uint64_t pixels, alpha, grey; /* grey: times alpha */
};

static void see_tone(const uint8_t *rgba, void *context)
{
    struct tone *tone = context;
    uint8_t grey = grey_of(rgba[0], rgba[1], rgba[2]), alpha = rgba[3];
    if (tone->laid != NULL) {
        to_planes(&grey, 1, rgba, 1, tone->laid);
        alpha = 255;
    }
    tone->pixels++;
    tone->alpha += alpha;
    tone->grey += (uint64_t)grey * alpha;
}

/* INVERT_AUTO, by the rule in image/image.h. A picture of nothing but transparency is left as it is. */
static bool is_dark_on_light(const struct picture *picture, const struct planes *laid)
{
    struct tone border = {.laid = laid};
    each_border_pixel(picture, see_tone, &border);
    if (2 * border.alpha >= 255 * border.pixels)
        return 2 * border.grey > 255 * border.alpha;
    struct tone whole = {0};
    const size_t n = (size_t)picture->width * picture->height;
    for (size_t i = 0; i < n; i++)
        see_tone(picture->rgba + 4 * i, &whole);
    return 2 * whole.grey < 255 * whole.alpha;
}

struct sums {
    const struct planes *planes;
    uint64_t pixels, sum[4];
};

static void see_planes(const uint8_t *rgba, void *context)
{
    struct sums *sums = context;
    uint8_t v[4];
    to_planes(v, 1, rgba, 1, sums->planes);
    sums->pixels++;
    for (unsigned c = 0; c < sums->planes->channels; c++)
        sums->sum[c] += v[c];
}

/* ---- placing ---- */

/* round(a * b / c), at least 1 and at most `most`. */
static uint32_t scaled(uint64_t a, uint64_t b, uint64_t c, uint32_t most)
{
    uint64_t v = (2 * a * b + c) / (2 * c);
    return v < 1 ? 1 : v > most ? most : (uint32_t)v;
}

static struct placing place(const struct shape *shape, enum fit fit, const struct picture *picture)
{
    const uint32_t w = picture->width, h = picture->height, W = shape->width, H = shape->height;
    struct placing p = {.source_w = w, .source_h = h, .target_w = W, .target_h = H};
    const bool wide = (uint64_t)w * H > (uint64_t)h * W; /* wider than the input */
    if (fit == FIT_CONTAIN && wide)
        p.target_h = scaled(h, W, w, H);
    else if (fit == FIT_CONTAIN)
        p.target_w = scaled(w, H, h, W);
    else if (fit == FIT_COVER && wide)
        p.source_w = scaled(h, W, H, w);
    else if (fit == FIT_COVER)
        p.source_h = scaled(w, H, W, h);
    p.source_x = (w - p.source_w) / 2;
    p.source_y = (h - p.source_h) / 2;
    p.target_x = (W - p.target_w) / 2;
    p.target_y = (H - p.target_h) / 2;
    return p;
}

/* ---- averaging ---- */

/* sums[x] = sum over i of the overlap of pixel i and target pixel x, times v[i]. At most 255 s. */
static void sum_row(uint64_t *sums, uint32_t t, const uint8_t *v, uint32_t s)
{
    if (s == t) {
        for (uint32_t x = 0; x < t; x++)
            sums[x] = (uint64_t)v[x] * s;
        return;
    }
    for (uint32_t x = 0; x < t; x++) {
        const uint64_t from = (uint64_t)x * s, to = from + s; /* in units of 1/t pixel */
        const uint32_t first = (uint32_t)(from / t), last = (uint32_t)((to - 1) / t);
        if (first == last) {
            sums[x] = (uint64_t)v[first] * s;
            continue;
        }
        uint64_t whole = 0; /* pixels that lie under it altogether */
        for (uint32_t i = first + 1; i < last; i++)
            whole += v[i];
        sums[x] = whole * t + v[first] * ((first + (uint64_t)1) * t - from) + v[last] * (to - (uint64_t)last * t);
    }
}

/* The averaged rectangle, into the input's planes. Memory: rows and sums, not the picture again. */
static int average(uint8_t *input, const struct shape *shape, const struct planes *planes, const struct placing *p,
                   const struct picture *picture, struct err *err)
{
    int status = -1;
    const unsigned channels = planes->channels;
    const uint32_t s_w = p->source_w, s_h = p->source_h, t_w = p->target_w, t_h = p->target_h;
    const uint64_t area = (uint64_t)s_w * s_h;
    uint8_t *row = malloc((size_t)channels * s_w);
    uint64_t *sums = malloc((size_t)t_w * sizeof *sums);
    uint64_t *total = calloc((size_t)channels * t_w, sizeof *total); /* of the target row being filled */
    if (row == NULL || sums == NULL || total == NULL) {
        err_memory(err, "fitting a picture");
        goto out;
    }
    uint32_t y_t = 0; /* the target row being filled */
    for (uint32_t y = 0; y < s_h; y++) {
        if (cancelled(picture->cancel)) {
            cancel_err(picture->cancel, err);
            goto out;
        }
        to_planes(row, s_w, picture->rgba + ((size_t)(p->source_y + y) * picture->width + p->source_x) * 4, s_w,
                  planes);
        const uint64_t from = (uint64_t)y * t_h, to = from + t_h; /* in units of 1/t_h row */
        const uint32_t y_first = y_t;
        for (unsigned c = 0; c < channels; c++) {
            sum_row(sums, t_w, row + (size_t)c * s_w, s_w);
            uint64_t *t = total + (size_t)c * t_w;
            /* The target rows that this row lies under: one, two, or when enlarging many. */
            for (y_t = y_first; (uint64_t)y_t * s_h < to; y_t++) {
                const uint64_t begin = (uint64_t)y_t * s_h, end = begin + s_h;
                const uint64_t weight = (end < to ? end : to) - (begin > from ? begin : from);
                for (uint32_t x = 0; x < t_w; x++)
                    t[x] += weight * sums[x];
                if (end > to)
                    break; /* it goes on under the next row */
                uint8_t *target = input + ((size_t)c * shape->height + p->target_y + y_t) * shape->width + p->target_x;
                for (uint32_t x = 0; x < t_w; x++) {
                    target[x] = (uint8_t)((t[x] + area / 2) / area);
                    t[x] = 0;
                }
            }
        }
    }
    assert(y_t == t_h);
    status = 0;
out:
    free(row);
    free(sums);
    free(total);
    return status;
}

static int fit_whole(uint8_t *input, const struct shape *shape, enum fit fit, enum invert invert,
                     const struct picture *picture, struct err *err)
{
    if (shape->channels > 4)
        return err_set(err, ERR_VALUE, "the model's input has %u channels, which no picture has: send %u raw bytes",
                       shape->channels, shape->n_input);
    assert(picture->width > 0 && picture->height > 0 && (uint64_t)picture->width * picture->height < (uint64_t)1 << 40);
    struct planes planes = {.channels = shape->channels, .keeps_alpha = shape->channels % 2 == 0};
    const bool ink = !planes.keeps_alpha && is_ink(&planes.background, picture);
    const struct planes laid = {.channels = 1, .background = planes.background};
    planes.inverted =
        invert == INVERT_ALWAYS || (invert == INVERT_AUTO && is_dark_on_light(picture, ink ? &laid : NULL));
    if (!ink)
        planes.background = planes.inverted ? 255 : 0;
    const struct placing p = place(shape, fit, picture);
    const size_t n_plane = (size_t)shape->width * shape->height;
    if (p.target_w < shape->width || p.target_h < shape->height) {
        struct sums border = {.planes = &planes};
        each_border_pixel(picture, see_planes, &border);
        for (unsigned c = 0; c < planes.channels; c++)
            memset(input + c * n_plane, (int)((border.sum[c] + border.pixels / 2) / border.pixels), n_plane);
    }
    if (p.source_w == shape->width && p.source_h == shape->height && p.target_w == p.source_w &&
        p.target_h == p.source_h) {
        for (uint32_t y = 0; y < p.source_h; y++) /* each pixel is its own average */
            to_planes(input + (size_t)y * shape->width, n_plane,
                      picture->rgba + ((size_t)(p.source_y + y) * picture->width + p.source_x) * 4, p.source_w,
                      &planes);
    } else if (average(input, shape, &planes, &p, picture, err) != 0) {
        return -1;
    }
    if (planes.inverted) {
        const size_t n_colours = (planes.keeps_alpha ? planes.channels - 1 : planes.channels) * n_plane;
        for (size_t i = 0; i < n_colours; i++)
            input[i] = (uint8_t)(255 - input[i]);
    }
    return 0;
}

/* FIT_AUTO: whether the ground is as dark as that of drawings, or will be: then nothing is to be cut out. */
static bool is_cut_out(const struct picture *picture, const struct shape *shape, enum invert invert)
{
    struct planes laid = {.channels = 1};
    const bool ink = shape->channels % 2 != 0 && is_ink(&laid.background, picture);
    struct tone border = {.laid = ink ? &laid : NULL};
    each_border_pixel(picture, see_tone, &border);
    if (border.alpha == 0 || 2 * border.alpha < 255 * border.pixels)
        return true; /* on a transparent ground, and laid over what will be black */
    const bool inverted = invert == INVERT_ALWAYS || (invert == INVERT_AUTO && is_dark_on_light(picture, border.laid));
    const uint64_t mean = border.grey / border.alpha;
    return (inverted ? 255 - mean : mean) <= GROUND_MOST;
}

int image_fit(uint8_t *input, const struct shape *shape, enum fit fit, enum invert invert,
              const struct picture *picture, struct err *err)
{
    struct picture content = {0};
    const bool automatic = fit == FIT_AUTO;
    if (automatic)
        fit = is_cut_out(picture, shape, invert) ? FIT_CONTAIN : FIT_CONTENT;
    if (fit != FIT_CONTENT || (picture->width == shape->width && picture->height == shape->height))
        return fit_whole(input, shape, fit, invert, picture, err);
    if (picture_content(&content, shape, picture, err) != 0)
        return -1;
    if (content.rgba == NULL) /* no drawing */
        return fit_whole(input, shape, FIT_CONTAIN, invert, picture, err);
    if (shape->channels <= 2 && (invert == INVERT_AUTO || automatic))
        invert = INVERT_NEVER; /* it is light on dark already */
    int status = fit_whole(input, shape, FIT_STRETCH, invert, &content, err);
    picture_fini(&content);
    return status;
}

void image_fit_grey(uint8_t *input, const struct shape *shape, enum invert invert)
{
    const size_t w = shape->width, h = shape->height;
    bool inverted = invert == INVERT_ALWAYS;
    if (invert == INVERT_AUTO) { /* see is_dark_on_light(), with alpha 255 everywhere */
        uint64_t sum = 0, n = 0;
        for (size_t y = 0; y < h; y++) {
            const size_t step = y == 0 || y == h - 1 || w == 1 ? 1 : w - 1;
            for (size_t x = 0; x < w; x += step, n++)
                sum += input[y * w + x];
        }
        inverted = 2 * sum > 255 * n;
    }
    for (size_t i = 0; inverted && i < w * h; i++)
        input[i] = (uint8_t)(255 - input[i]);
}
