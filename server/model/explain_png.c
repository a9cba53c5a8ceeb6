/* explain_png.c - an explanation as a picture: see model/explain.h.
 *
 *     input        winners      saliency
 *     [      ]     [      ]     [      ]
 *     kernels: one tile each, framed in its colour, its share of the positions below it
 *
 * A panel is the input's frame, enlarged or made smaller to about PANEL pixels. A position is drawn where the middle of its
 * patch lies, so that what is on the three panels lies at the same place.
 */
#include <stdio.h>
#include <stdlib.h>

#include "server/image/canvas.h"
#include "server/image/image.h"
#include "server/model/explain.h"

#define PANEL       240u /* longer side, about */
#define PANEL_MOST  480u
#define MARGIN      28u
#define GAP         24u
#define LABEL_GAP   8u
#define TILE_FRAME  4u
#define TILE_GAP    14u
#define KERNEL_ROWS 4u

static const struct colour white = {255, 255, 255}, empty = {238, 240, 243}, frame = {208, 213, 220},
                           dark = {45, 52, 64}, soft = {110, 119, 131};

struct picture_plan {
    const struct learner *learner;
    const uint8_t *pixels;
    const struct workspace *ws;
    float *saliency; /* [height][width]: the largest of the channels */
    float most;
    uint32_t *wins, *order; /* [N]: order by wins, most first */
    uint32_t panel_w, panel_h;
    uint32_t cell, tile_w, tile_h, columns, rows, shown;
    struct canvas canvas;
};

/* ---- layout ---- */

static uint32_t scaled(uint32_t side, uint32_t longest)
{
    if (longest <= PANEL)
        return side * (PANEL / longest);
    if (longest <= PANEL_MOST)
        return side;
    const uint32_t scaled_side = (uint32_t)((uint64_t)side * PANEL_MOST / longest);
    return scaled_side > 0 ? scaled_side : 1;
}

static void lay_out(struct picture_plan *plan)
{
    const struct shape *s = &plan->learner->shape;
    const uint32_t longest = s->width > s->height ? s->width : s->height;
    const uint32_t side = s->kernel_width > s->kernel_height ? s->kernel_width : s->kernel_height;
    struct canvas *canvas = &plan->canvas;
    plan->panel_w = scaled(s->width, longest);
    plan->panel_h = scaled(s->height, longest);
    canvas->width = 2 * MARGIN + 3 * plan->panel_w + 2 * GAP;
    canvas->height = 2 * MARGIN + CANVAS_TEXT_HEIGHT + LABEL_GAP + plan->panel_h;
    const uint32_t least = 2 * MARGIN + 3 * canvas_text_width("saliency") + 2 * GAP;
    canvas->width = canvas->width < least ? least : canvas->width;
    if (s->kernels == 0)
        return;
    plan->cell = side >= 40 ? 1 : 40 / side;
    plan->tile_w = s->kernel_width * plan->cell + 2 * TILE_FRAME;
    plan->tile_h = s->kernel_height * plan->cell + 2 * TILE_FRAME;
    plan->columns = (canvas->width - 2 * MARGIN + TILE_GAP) / (plan->tile_w + TILE_GAP);
    plan->rows = (s->kernels + plan->columns - 1) / plan->columns;
    plan->rows = plan->rows < KERNEL_ROWS ? plan->rows : KERNEL_ROWS;
    plan->shown = s->kernels < plan->rows * plan->columns ? s->kernels : plan->rows * plan->columns;
    canvas->height += GAP + plan->rows * (plan->tile_h + LABEL_GAP + CANVAS_TEXT_HEIGHT + TILE_GAP) - TILE_GAP;
}

/* ---- colours ---- */

/* One for each kernel: hues a golden angle apart, so that neighbours in number are far apart, in three strengths by turns. */
static struct colour colour_of(uint32_t kernel)
{
    static const uint32_t strengths[3] = {235, 190, 150}, pales[3] = {70, 30, 90};
    const uint32_t hue = (uint32_t)((uint64_t)kernel * 948 + 1270) % 1536; /* of 6 x 256 */
    const uint32_t high = strengths[kernel % 3], low = pales[kernel % 3] * high / 255, span = high - low;
    const uint32_t part = hue % 256, up = low + span * part / 255, down = high - span * part / 255;
    const uint32_t rgb[6][3] = {{high, up, low},   {down, high, low}, {low, high, up},
                                {low, down, high}, {up, low, high},   {high, low, down}};
    const uint32_t *c = rgb[hue / 256];
    return (struct colour){(uint8_t)c[0], (uint8_t)c[1], (uint8_t)c[2]};
}

static struct colour input_at(const struct picture_plan *plan, uint32_t x, uint32_t y)
{
    const struct shape *s = &plan->learner->shape;
    const size_t n_plane = (size_t)s->width * s->height, at = (size_t)y * s->width + x;
    const uint8_t *p = plan->pixels + at;
    if (s->channels == 3 || s->channels == 4)
        return (struct colour){p[0], p[n_plane], p[2 * n_plane]};
    return (struct colour){p[0], p[0], p[0]};
}

static struct colour winner_at(const struct picture_plan *plan, uint32_t x, uint32_t y)
{
    const struct shape *s = &plan->learner->shape;
    if (s->kernels == 0)
        return empty;
    /* A position has stride x stride pixels, round the middle of its patch. */
    const uint32_t left = s->kernel_width > s->stride ? (s->kernel_width - s->stride) / 2 : 0;
    const uint32_t top = s->kernel_height > s->stride ? (s->kernel_height - s->stride) / 2 : 0;
    if (x < left || y < top || (x - left) / s->stride >= s->out_w || (y - top) / s->stride >= s->out_h)
        return empty;
    return colour_of(plan->ws->winner[(y - top) / s->stride * s->out_w + (x - left) / s->stride]);
}

static struct colour saliency_at(const struct picture_plan *plan, uint32_t x, uint32_t y)
{
    return canvas_shade(plan->saliency[(size_t)y * plan->learner->shape.width + x], plan->most);
}

/* ---- drawing ---- */

static void draw_panel(struct picture_plan *plan, uint32_t nth, const char *title,
                       struct colour (*at)(const struct picture_plan *, uint32_t, uint32_t))
{
    struct canvas *canvas = &plan->canvas;
    const struct shape *s = &plan->learner->shape;
    const uint32_t column = (canvas->width - 2 * MARGIN - 2 * GAP) / 3;
    const uint32_t begin = MARGIN + nth * (column + GAP), left = begin + (column - plan->panel_w) / 2;
    const uint32_t top = MARGIN + CANVAS_TEXT_HEIGHT + LABEL_GAP;
    canvas_text_centred(canvas, begin, column, MARGIN, title, dark);
    canvas_fill(canvas, left - 1, top - 1, plan->panel_w + 2, plan->panel_h + 2, frame);
    for (uint32_t v = 0; v < plan->panel_h; v++)
        for (uint32_t u = 0; u < plan->panel_w; u++)
            canvas_fill(canvas, left + u, top + v, 1, 1,
                        at(plan, (uint32_t)((uint64_t)u * s->width / plan->panel_w),
                           (uint32_t)((uint64_t)v * s->height / plan->panel_h)));
}

/* A kernel's weights, the mean of its channels. */
static void draw_weights(struct picture_plan *plan, uint32_t kernel, uint32_t x, uint32_t y)
{
    const struct shape *s = &plan->learner->shape;
    const struct net *net = &plan->learner->net;
    const uint32_t n_plane = s->kernel_width * s->kernel_height;
    float limit = 0.0F;
    for (int pass = 0; pass < 2; pass++) /* first the largest magnitude, then the drawing */
        for (uint32_t m = 0; m < n_plane; m++) {
            float sum = 0.0F;
            for (uint32_t c = 0; c < s->channels; c++)
                sum += net->k[((size_t)c * n_plane + m) * net->ld_k + kernel];
            const float magnitude = sum < 0.0F ? -sum : sum;
            limit = pass == 0 && magnitude > limit ? magnitude : limit;
            if (pass == 1)
                canvas_fill(&plan->canvas, x + m % s->kernel_width * plan->cell, y + m / s->kernel_width * plan->cell,
                            plan->cell, plan->cell, canvas_shade(sum, limit));
        }
}

static void draw_kernels(struct picture_plan *plan)
{
    struct canvas *canvas = &plan->canvas;
    const uint32_t n_0 = plan->learner->shape.n_0;
    const uint32_t top = MARGIN + CANVAS_TEXT_HEIGHT + LABEL_GAP + plan->panel_h + GAP;
    const uint32_t columns = plan->shown < plan->columns ? plan->shown : plan->columns;
    const uint32_t left = (canvas->width - (columns * (plan->tile_w + TILE_GAP) - TILE_GAP)) / 2;
    for (uint32_t i = 0; i < plan->shown; i++) {
        const uint32_t kernel = plan->order[i];
        const uint32_t x = left + i % plan->columns * (plan->tile_w + TILE_GAP);
        const uint32_t y = top + i / plan->columns * (plan->tile_h + LABEL_GAP + CANVAS_TEXT_HEIGHT + TILE_GAP);
        char share[16];
        canvas_fill(canvas, x, y, plan->tile_w, plan->tile_h, colour_of(kernel));
        draw_weights(plan, kernel, x + TILE_FRAME, y + TILE_FRAME);
        (void)snprintf(share, sizeof share, "%u%%", (unsigned)((200ULL * plan->wins[kernel] + n_0) / (2ULL * n_0)));
        canvas_text_centred(canvas, x, plan->tile_w, y + plan->tile_h + LABEL_GAP, share, soft);
    }
}

/* ---- what is drawn ---- */

static int by_wins(const void *a, const void *b, void *wins)
{
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    const uint32_t *w = wins;
    if (w[i] != w[j])
        return w[i] > w[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

static int collect(struct picture_plan *plan, struct workspace *ws, struct err *err)
{
    const struct learner *learner = plan->learner;
    const struct shape *s = &learner->shape;
    const size_t n_plane = (size_t)s->width * s->height;
    plan->saliency = calloc(s->n_input, sizeof *plan->saliency);
    plan->wins = calloc((size_t)s->kernels + 1, sizeof *plan->wins);
    plan->order = calloc((size_t)s->kernels + 1, sizeof *plan->order);
    if (plan->saliency == NULL || plan->wins == NULL || plan->order == NULL)
        return err_memory(err, "an explanation");
    net_explain(&learner->net, net_argmax(&learner->net, ws->l2), plan->saliency, ws);
    for (size_t i = 0; i < s->n_input; i++) {
        float *at = &plan->saliency[i % n_plane];
        *at = plan->saliency[i] > *at ? plan->saliency[i] : *at;
        plan->most = *at > plan->most ? *at : plan->most;
    }
    explain_wins(plan->wins, learner, ws);
    for (uint32_t i = 0; i < s->kernels; i++)
        plan->order[i] = i;
    qsort_r(plan->order, s->kernels, sizeof *plan->order, by_wins, plan->wins);
    return 0;
}

int explain_png(uint8_t **png, size_t *n_png, const struct learner *learner, const uint8_t *pixels,
                struct workspace *ws, struct err *err)
{
    struct picture_plan plan = {.learner = learner, .pixels = pixels, .ws = ws};
    struct canvas *canvas = &plan.canvas;
    int status = collect(&plan, ws, err);
    if (status != 0)
        goto out;
    lay_out(&plan);
    canvas->rgb = malloc((size_t)canvas->width * canvas->height * 3);
    if (canvas->rgb == NULL) {
        status = err_memory(err, "a picture");
        goto out;
    }
    canvas_fill(canvas, 0, 0, canvas->width, canvas->height, white);
    draw_panel(&plan, 0, "input", input_at);
    draw_panel(&plan, 1, "winners", winner_at);
    draw_panel(&plan, 2, "saliency", saliency_at);
    draw_kernels(&plan);
    status = image_encode_png(png, n_png, canvas->rgb, canvas->width, canvas->height, 3, err);
out:
    free(plan.saliency);
    free(plan.wins);
    free(plan.order);
    free(canvas->rgb);
    return status;
}
