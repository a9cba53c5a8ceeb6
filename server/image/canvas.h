/* canvas.h - an RGB picture to draw on: rectangles, and text in a font of 5 x 7 dots. Private to image/kernel_sheet.c and model/explain_png.c. */
#ifndef CONVD_SERVER_IMAGE_CANVAS_H
#define CONVD_SERVER_IMAGE_CANVAS_H

#include <stdint.h>

struct canvas {
    uint32_t width, height;
    uint8_t *rgb; /* [height][width][3]; the caller's */
};

struct colour {
    uint8_t r, g, b;
};

/* canvas_fill - the rectangle, cut at the canvas's edges. */
void canvas_fill(struct canvas *canvas, uint32_t x, uint32_t y, uint32_t width, uint32_t height, struct colour colour);

#define CANVAS_DOT         2u /* pixels of a dot's side */
#define CANVAS_TEXT_HEIGHT (7 * CANVAS_DOT)

/* canvas_text_width - of the text, in pixels. The font has digits, + - . , % and the small letters that are used; anything else is a space. */
uint32_t canvas_text_width(const char *text);

/* canvas_text_centred - in the middle of that width, its upper edge at y; one that is wider begins at x. */
void canvas_text_centred(struct canvas *canvas, uint32_t x, uint32_t width, uint32_t y, const char *text,
                         struct colour colour);

/* canvas_shade - value / limit, in -1..1, on a diverging scale (blue, white, red) that tells small values from none. */
struct colour canvas_shade(float value, float limit);

#endif
