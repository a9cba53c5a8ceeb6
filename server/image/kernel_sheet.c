/* kernel_sheet.c - see image/kernel_sheet.h. First a layout, all in pixels; then the drawing, which only follows it. */
#include "server/image/kernel_sheet.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/image/canvas.h"
#include "server/image/image.h"

#define MARGIN        28u
#define TILE_SIDE     72u /* about; a weight is a square of whole pixels */
#define TILE_GAP      3u  /* between the channels of a kernel            */
#define GROUP_GAP     20u /* between kernels                             */
#define LABEL_GAP     7u  /* between a tile and what is under it         */
#define LEGEND_SIDE   14u /* height of the scale                         */
#define LEGEND_LONG   241u
#define LEGEND_MIDDLE 120.0F

static const struct colour white = {255, 255, 255}, frame = {208, 213, 220}, dark = {45, 52, 64},
                           soft = {110, 119, 131};

/* What the sheet is made of: `shown` kernels in `columns`, each a group of `channels` tiles. */
struct layout {
    uint32_t shown, columns, rows;
    uint32_t cell;             /* side of a weight                      */
    uint32_t tile_w, tile_h;   /* with a frame of 1 around              */
    uint32_t group_w, group_h; /* with its number                       */
    uint32_t width, height;    /* of the sheet                          */
    char title[96];
};

static uint32_t spread(uint32_t n, uint32_t side, uint32_t gap)
{
    return n * side + (n - 1) * gap;
}

static void size_for(struct layout *l, uint32_t columns)
{
    l->columns = columns;
    l->rows = (l->shown + columns - 1) / columns;
    l->width = 2 * MARGIN + spread(columns, l->group_w, GROUP_GAP);
    l->height = 2 * MARGIN + CANVAS_TEXT_HEIGHT + GROUP_GAP + spread(l->rows, l->group_h, GROUP_GAP) + GROUP_GAP +
                LEGEND_SIDE + LABEL_GAP + CANVAS_TEXT_HEIGHT;
}

/* How far from 3:2, in thousandths of the smaller side, empty places of the last row counted three times. */
static uint64_t ugliness(const struct layout *l)
{
    const uint64_t w = 2ULL * l->width, h = 3ULL * l->height, empty = l->columns * l->rows - l->shown;
    return (w > h ? w * 1000 / h : h * 1000 / w) + empty * 3000 / l->shown;
}

static void choose_columns(struct layout *l)
{
    struct layout best = *l;
    size_for(&best, 1);
    for (uint32_t columns = 2; columns <= l->shown; columns++) {
        struct layout next = *l;
        size_for(&next, columns);
        if (ugliness(&next) < ugliness(&best))
            best = next;
    }
    *l = best;
}

static struct layout lay_out(const struct learner *learner)
{
    const struct shape *s = &learner->shape;
    struct layout l = {.shown = s->kernels};
    const uint32_t side = s->kernel_width > s->kernel_height ? s->kernel_width : s->kernel_height;
    l.cell = side >= TILE_SIDE ? 1 : TILE_SIDE / side;
    l.tile_w = s->kernel_width * l.cell + 2;
    l.tile_h = s->kernel_height * l.cell + 2;
    l.group_w = spread(s->channels, l.tile_w, TILE_GAP);
    l.group_h = l.tile_h + LABEL_GAP + CANVAS_TEXT_HEIGHT;
    const uint32_t number = canvas_text_width("1023");
    if (l.group_w < number) /* narrow kernels leave room for their numbers */
        l.group_w = number;
    choose_columns(&l);
    while ((uint64_t)l.width * l.height > SHEET_PIXELS_MAX) {
        l.shown -= (l.shown + 15) / 16;
        choose_columns(&l);
    }

    char first[32] = "", channels[32] = "";
    if (l.shown < s->kernels)
        (void)snprintf(first, sizeof first, "first %u of ", l.shown);
    if (s->channels > 1)
        (void)snprintf(channels, sizeof channels, ", %u channels", s->channels);
    (void)snprintf(l.title, sizeof l.title, "%s%u %s %u x %u%s, step %llu", first, s->kernels,
                   s->kernels == 1 ? "kernel" : "kernels", s->kernel_width, s->kernel_height, channels,
                   (unsigned long long)learner->step);
    uint32_t least = canvas_text_width(l.title) > LEGEND_LONG + 120 ? canvas_text_width(l.title) : LEGEND_LONG + 120;
    if (l.width < least + 2 * MARGIN)
        l.width = least + 2 * MARGIN;
    return l;
}

/* ---- drawing ---- */

static void draw_tile(struct canvas *canvas, uint32_t x, uint32_t y, const struct layout *l, const struct shape *s,
                      const float *weights, float limit)
{
    canvas_fill(canvas, x, y, l->tile_w, l->tile_h, frame);
    for (uint32_t v = 0; v < s->kernel_height; v++)
        for (uint32_t u = 0; u < s->kernel_width; u++)
            canvas_fill(canvas, x + 1 + u * l->cell, y + 1 + v * l->cell, l->cell, l->cell,
                        canvas_shade(weights[v * s->kernel_width + u], limit));
}

static void draw_kernels(struct canvas *canvas, const struct layout *l, const struct shape *s, const float *k,
                         float limit)
{
    const uint32_t tiles_w = spread(s->channels, l->tile_w, TILE_GAP);
    const uint32_t top = MARGIN + CANVAS_TEXT_HEIGHT + GROUP_GAP;
    const uint32_t left = (l->width - spread(l->columns, l->group_w, GROUP_GAP)) / 2;
    for (uint32_t i = 0; i < l->shown; i++) {
        const uint32_t x = left + i % l->columns * (l->group_w + GROUP_GAP);
        const uint32_t y = top + i / l->columns * (l->group_h + GROUP_GAP);
        for (uint32_t c = 0; c < s->channels; c++)
            draw_tile(canvas, x + (l->group_w - tiles_w) / 2 + c * (l->tile_w + TILE_GAP), y, l, s,
                      k + (size_t)i * s->n_k + (size_t)c * s->kernel_height * s->kernel_width, limit);
        char number[16];
        (void)snprintf(number, sizeof number, "%u", i);
        canvas_text_centred(canvas, x, l->group_w, y + l->tile_h + LABEL_GAP, number, soft);
    }
}

/* The scale in the middle of the foot, its ends and zero under it. */
static void draw_legend(struct canvas *canvas, const struct layout *l, float limit)
{
    const uint32_t x = (l->width - LEGEND_LONG) / 2;
    const uint32_t y = l->height - MARGIN - CANVAS_TEXT_HEIGHT - LABEL_GAP - LEGEND_SIDE;
    canvas_fill(canvas, x - 1, y - 1, LEGEND_LONG + 2, LEGEND_SIDE + 2, frame);
    for (uint32_t i = 0; i < LEGEND_LONG; i++)
        canvas_fill(canvas, x + i, y, 1, LEGEND_SIDE, canvas_shade((float)i - LEGEND_MIDDLE, LEGEND_MIDDLE));
    char end[24];
    const uint32_t below = y + LEGEND_SIDE + LABEL_GAP;
    (void)snprintf(end, sizeof end, "-%.3g", (double)limit);
    canvas_text_centred(canvas, x - 60, 120, below, end, soft);
    canvas_text_centred(canvas, x, LEGEND_LONG, below, "0", soft);
    (void)snprintf(end, sizeof end, "+%.3g", (double)limit);
    canvas_text_centred(canvas, x + LEGEND_LONG - 60, 120, below, end, soft);
}

int sheet_kernels(uint8_t **png, size_t *n_png, const struct learner *learner, struct err *err)
{
    const struct shape *s = &learner->shape;
    if (s->kernels == 0)
        return err_set(err, ERR_NOT_FOUND, "the model has no kernels: kernels is 0");
    int status = -1;
    struct layout l = lay_out(learner);
    struct canvas canvas = {.width = l.width, .height = l.height, .rgb = malloc((size_t)l.width * l.height * 3)};
    float *k = calloc((size_t)s->kernels * s->n_k, sizeof *k); /* [N][n_k], of the net's [n_k][ld_k] */
    if (canvas.rgb == NULL || k == NULL) {
        err_memory(err, "a picture of the kernels");
        goto out;
    }
    float limit = 0; /* the largest magnitude, of all kernels though not all may be shown */
    for (uint32_t i = 0; i < s->kernels; i++)
        for (uint32_t m = 0; m < s->n_k; m++) {
            const float value = learner->net.k[m * learner->net.ld_k + i];
            const float magnitude = value < 0 ? -value : value;
            limit = magnitude > limit ? magnitude : limit;
            k[(size_t)i * s->n_k + m] = value;
        }
    canvas_fill(&canvas, 0, 0, l.width, l.height, white);
    canvas_text_centred(&canvas, 0, l.width, MARGIN, l.title, dark);
    draw_kernels(&canvas, &l, s, k, limit);
    draw_legend(&canvas, &l, limit);
    status = image_encode_png(png, n_png, canvas.rgb, l.width, l.height, 3, err);
out:
    free(canvas.rgb);
    free(k);
    return status;
}
