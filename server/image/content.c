/* content.c - a photographed drawing: where its ink is, and what is left when paper, light and edges are taken away. FIT_CONTENT.
 *
 *   sheet      the whole picture in grey, its longer side at most SHEET_SIDE
 *   ground     of each pixel: the mean of those around it that are no ink, within WINDOW of the longer side; first of all of them, then once more
 *              without what was found. So light may fall off from one side to the other
 *   polarity   what stands out from the ground is ink: dark on light or light on dark, whichever has the larger sum of cubes
 *   ink        by how much a pixel stands out that way, 0 to 255
 *   threshold  Otsu's, of the histogram of ink: that which parts it into two classes with the largest variance between them. Where they are less than
 *              CONTRAST apart, or more than half of the sheet is ink, it is no drawing
 *   parts      connected pixels above the threshold. One that touches the picture's edge is a table, a finger or a shadow, one that
 *              has less than a PART of the largest's ink is dirt: neither counts, unless nothing else is there
 *   window     around their extent, of the input's aspect, so that the extent fills 20/28 of it, centred on their mass: as MNIST's digits are
 *
 * The extent is that of the parts. One or two channels: the ink, cut out, light on dark, as dark as it gets 255. Three or four: that window of the picture. All in integers.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/codec.h"

#define SHEET_SIDE    512u /* pixels                                */
#define WINDOW        6u   /* a part of the longer side, either way */
#define CONTRAST      16u  /* between the classes' means            */
#define PART          10u
#define WINDOW_PIXELS (16 * (uint64_t)SHEET_SIDE * SHEET_SIDE)
#define FILL          20u /* of FILL_OF */
#define FILL_OF       28u

struct sheet {
    uint32_t w, h, n;
    uint8_t *grey, *ground, *ink; /* [h][w]                                                           */
    uint8_t *mark;                /* [h][w]: 0 ground, 1 ink, 2 of a part that was looked at, 3 of one that counts */
    uint32_t *sum, *many;         /* [h + 1][w + 1]: of grey, and of pixels, above and left, that are ground */
    uint32_t *stack;              /* [n] pixels of a part                                             */
};

struct box {
    uint32_t left, top, right, bottom; /* inclusive */
};

/* The ground's marks have been set. sum[y + 1][x + 1]: of [0, y] x [0, x]. */
static void add_up(struct sheet *s)
{
    const size_t stride = s->w + 1;
    memset(s->sum, 0, stride * sizeof *s->sum);
    memset(s->many, 0, stride * sizeof *s->many);
    for (size_t y = 0; y < s->h; y++) {
        uint32_t sum = 0, many = 0;
        s->sum[(y + 1) * stride] = s->many[(y + 1) * stride] = 0;
        for (size_t x = 0; x < s->w; x++) {
            if (s->mark[y * s->w + x] == 0) {
                sum += s->grey[y * s->w + x];
                many++;
            }
            s->sum[(y + 1) * stride + x + 1] = s->sum[y * stride + x + 1] + sum;
            s->many[(y + 1) * stride + x + 1] = s->many[y * stride + x + 1] + many;
        }
    }
}

static uint32_t within(const uint32_t *table, size_t stride, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1)
{
    return table[y1 * stride + x1] - table[y0 * stride + x1] - table[y1 * stride + x0] + table[y0 * stride + x0];
}

/* The ground's grey at a pixel: of the window around it, doubled until a quarter of it is ground. */
static uint8_t ground_at(const struct sheet *s, uint32_t x, uint32_t y)
{
    const uint32_t longer = s->w > s->h ? s->w : s->h;
    const size_t stride = s->w + 1;
    for (uint32_t r = longer / WINDOW + 1;; r *= 2) {
        const uint32_t x0 = x > r ? x - r : 0, x1 = x + r < s->w ? x + r + 1 : s->w;
        const uint32_t y0 = y > r ? y - r : 0, y1 = y + r < s->h ? y + r + 1 : s->h;
        const uint32_t many = within(s->many, stride, x0, y0, x1, y1);
        if (many > (x1 - x0) * (y1 - y0) / 4 || (r > longer && many > 0))
            return (uint8_t)((within(s->sum, stride, x0, y0, x1, y1) + many / 2) / many);
        if (r > longer)
            return s->grey[y * s->w + x]; /* all is ink */
    }
}

/* ink = what stands out from the ground, as it is marked. */
static void stand_out(struct sheet *s)
{
    int64_t cubes = 0;
    add_up(s);
    for (uint32_t y = 0, i = 0; y < s->h; y++)
        for (uint32_t x = 0; x < s->w; x++, i++) {
            s->ground[i] = ground_at(s, x, y);
            const int64_t d = s->grey[i] - s->ground[i];
            cubes += d * d * d;
        }
    for (uint32_t i = 0; i < s->n; i++) {
        const int d = cubes > 0 ? s->grey[i] - s->ground[i] : s->ground[i] - s->grey[i];
        s->ink[i] = (uint8_t)(d > 0 ? d : 0);
    }
}

struct classes {
    uint8_t threshold;   /* more ink than it is ink */
    uint8_t ground, ink; /* their means           */
};

/* Marks what is ink. false: there are no two classes. */
static bool part_classes(struct classes *c, struct sheet *s)
{
    uint64_t histogram[256] = {0}, all = 0, n = 0, sum = 0, best = 0;
    for (uint32_t i = 0; i < s->n; i++)
        histogram[s->ink[i]]++;
    for (unsigned v = 0; v < 256; v++)
        all += v * histogram[v];
    for (unsigned v = 0; v < 255; v++) {
        n += histogram[v];
        sum += v * histogram[v];
        if (n == 0 || n == s->n)
            continue;
        const uint64_t more = s->n - n, apart = (all - sum) * 16 / more - sum * 16 / n; /* the means, in sixteenths */
        if (apart * apart * n * more > best) {
            best = apart * apart * n * more;
            *c = (struct classes){(uint8_t)v, (uint8_t)(sum / n), (uint8_t)((all - sum) / more)};
        }
    }
    uint32_t inked = 0;
    for (uint32_t i = 0; i < s->n && best > 0; i++)
        inked += s->mark[i] = s->ink[i] > c->threshold;
    return best > 0 && c->ink - c->ground >= (int)CONTRAST && 2 * inked <= s->n;
}

struct part {
    uint64_t mass;
    struct box box;
    bool edge;
};

/* Marks the part that a pixel is of, of those marked `was`, as `as`. */
static struct part part_of(struct sheet *s, uint32_t from, uint8_t was, uint8_t as)
{
    struct part p = {.box = {from % s->w, from / s->w, from % s->w, from / s->w}};
    uint32_t n = 0;
    s->stack[n++] = from;
    s->mark[from] = as;
    while (n > 0) {
        const uint32_t i = s->stack[--n], x = i % s->w, y = i / s->w;
        p.mass += s->ink[i];
        p.edge = p.edge || x == 0 || y == 0 || x == s->w - 1 || y == s->h - 1;
        p.box.left = x < p.box.left ? x : p.box.left;
        p.box.right = x > p.box.right ? x : p.box.right;
        p.box.top = y < p.box.top ? y : p.box.top;
        p.box.bottom = y > p.box.bottom ? y : p.box.bottom;
        for (uint32_t ny = y > 0 ? y - 1 : 0; ny <= y + 1 && ny < s->h; ny++)
            for (uint32_t nx = x > 0 ? x - 1 : 0; nx <= x + 1 && nx < s->w; nx++)
                if (s->mark[ny * s->w + nx] == was) {
                    s->mark[ny * s->w + nx] = as;
                    s->stack[n++] = ny * s->w + nx;
                }
    }
    return p;
}

/* Marks the parts that count with 3, all else with 0, and gives their extent and the middle of their mass. */
static void choose_parts(struct box *box, uint32_t *x, uint32_t *y, struct sheet *s)
{
    uint64_t largest[2] = {0}; /* at the edge or not */
    for (uint32_t i = 0; i < s->n; i++)
        if (s->mark[i] == 1) {
            const struct part p = part_of(s, i, 1, 2);
            largest[p.edge] = p.mass > largest[p.edge] ? p.mass : largest[p.edge];
        }
    const bool edges = largest[0] * PART * 2 < largest[1];
    const uint64_t least = (edges ? largest[1] : largest[0]) / PART;
    uint64_t mass = 0, sum_x = 0, sum_y = 0;
    *box = (struct box){UINT32_MAX, UINT32_MAX, 0, 0};
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->mark[i] == 2) {
            const struct part p = part_of(s, i, 2, 3);
            if ((p.edge && !edges) || p.mass < least || p.mass == 0) {
                (void)part_of(s, i, 3, 4);
                continue;
            }
            box->left = p.box.left < box->left ? p.box.left : box->left;
            box->right = p.box.right > box->right ? p.box.right : box->right;
            box->top = p.box.top < box->top ? p.box.top : box->top;
            box->bottom = p.box.bottom > box->bottom ? p.box.bottom : box->bottom;
        }
        if (s->mark[i] == 3) {
            mass += s->ink[i];
            sum_x += (uint64_t)s->ink[i] * (i % s->w);
            sum_y += (uint64_t)s->ink[i] * (i / s->w);
        }
    }
    assert(mass > 0); /* what is ink has more of it than a threshold, and the largest part counts */
    *x = (uint32_t)((sum_x + mass / 2) / mass);
    *y = (uint32_t)((sum_y + mass / 2) / mass);
}

/* Where a side of the window begins: centred on the mass, but with all of the extent within. */
static int64_t begin(uint32_t middle, uint32_t side, uint32_t first, uint32_t last)
{
    const int64_t at = (int64_t)middle - side / 2, low = (int64_t)last + 1 - side;
    return at > (int64_t)first ? first : at < low ? low : at;
}

static uint32_t at_least_1(uint64_t v)
{
    return v > 0 ? (uint32_t)v : 1;
}

/* Of a side of the extent, that of the window. */
static uint32_t scaled(uint64_t side, uint64_t by)
{
    return at_least_1((side * FILL_OF + FILL * by / 2) / (FILL * by));
}

/* The window of the sheet, as a picture of its own. */
static int cut_out(struct picture *out, const struct sheet *s, const struct classes *c, const struct shape *shape,
                   const struct picture *picture, struct box box, uint32_t x, uint32_t y, struct err *err)
{
    const uint64_t w = box.right - box.left + 1, h = box.bottom - box.top + 1, W = shape->width, H = shape->height;
    const bool wide = w * H >= h * W;
    const uint32_t side_w = scaled(wide ? w : h * W, wide ? 1 : H), side_h = scaled(wide ? w * H : h, wide ? W : 1);
    if ((uint64_t)side_w * side_h > WINDOW_PIXELS) /* of an input that is a mere strip */
        return 0;
    const int64_t left = begin(x, side_w, box.left, box.right), top = begin(y, side_h, box.top, box.bottom);
    const bool cut = shape->channels <= 2;
    const int low = 2 * c->ground, high = c->ink > low ? c->ink : low + 1;
    uint8_t *rgba = malloc((size_t)side_w * side_h * 4), *to = rgba;
    if (rgba == NULL)
        return err_memory(err, "a picture of %u x %u pixels", side_w, side_h);
    for (int64_t j = top; j < top + side_h; j++)
        for (int64_t i = left; i < left + side_w; i++, to += 4) {
            const int64_t sx = i < 0 ? 0 : i >= s->w ? s->w - 1 : i, sy = j < 0 ? 0 : j >= s->h ? s->h - 1 : j;
            if (!cut) { /* the pixel in the middle of the sheet's; what lies outside is as the edge is */
                const uint64_t px = (2 * (uint64_t)sx + 1) * picture->width / (2 * (uint64_t)s->w);
                const uint64_t py = (2 * (uint64_t)sy + 1) * picture->height / (2 * (uint64_t)s->h);
                memcpy(to, picture->rgba + 4 * (py * picture->width + px), 4);
                continue;
            }
            const size_t at = (size_t)sy * s->w + (size_t)sx;
            const bool outside = sx != i || sy != j || s->mark[at] == 4;
            const int v = outside || s->ink[at] <= low ? 0 : (s->ink[at] - low) * 255 / (high - low);
            to[0] = to[1] = to[2] = (uint8_t)(v > 255 ? 255 : v);
            to[3] = 255;
        }
    *out = (struct picture){.width = side_w, .height = side_h, .rgba = rgba, .cancel = picture->cancel};
    return 0;
}

int picture_content(struct picture *out, const struct shape *shape, const struct picture *picture, struct err *err)
{
    const uint32_t longer = picture->width > picture->height ? picture->width : picture->height;
    const uint32_t side = longer < SHEET_SIDE ? longer : SHEET_SIDE;
    struct sheet s = {.w = at_least_1(((uint64_t)picture->width * side + longer / 2) / longer),
                      .h = at_least_1(((uint64_t)picture->height * side + longer / 2) / longer)};
    struct shape grey = {.width = s.w, .height = s.h, .channels = 1};
    struct classes classes;
    struct box box;
    uint32_t x, y;
    int status = -1;
    s.n = s.w * s.h;
    const size_t table = ((size_t)s.w + 1) * (s.h + 1);
    uint8_t *bytes = calloc(4, s.n);
    uint32_t *words = malloc((2 * table + s.n) * sizeof *words);
    if (bytes == NULL || words == NULL) {
        err_memory(err, "finding a drawing");
        goto out;
    }
    s.grey = bytes;
    s.ground = bytes + s.n;
    s.ink = s.ground + s.n;
    s.mark = s.ink + s.n;
    s.sum = words;
    s.many = words + table;
    s.stack = s.many + table;
    if (image_fit(s.grey, &grey, FIT_STRETCH, INVERT_NEVER, picture, err) != 0)
        goto out;
    status = 0;
    for (int pass = 0; pass < 2; pass++) {
        stand_out(&s);
        if (!part_classes(&classes, &s))
            goto out;
    }
    choose_parts(&box, &x, &y, &s);
    status = cut_out(out, &s, &classes, shape, picture, box, x, y, err);
out:
    free(bytes);
    free(words);
    return status;
}
