/* canvas.c - see canvas.h. */
#include "server/canvas.h"

#include <string.h>

#define GLYPH_WIDTH   5u
#define GLYPH_HEIGHT  7u
#define GLYPH_ADVANCE 6u /* dots from one character to the next */

struct glyph {
    char character;
    const char rows[GLYPH_HEIGHT][GLYPH_WIDTH + 1];
};

/* clang-format off */
static const struct glyph font[] = {
    {'0', {" ### ", "#   #", "#   #", "#   #", "#   #", "#   #", " ### "}},
    {'1', {"  #  ", " ##  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "}},
    {'2', {" ### ", "#   #", "    #", "   # ", "  #  ", " #   ", "#####"}},
    {'3', {" ### ", "#   #", "    #", "  ## ", "    #", "#   #", " ### "}},
    {'4', {"   # ", "  ## ", " # # ", "#  # ", "#####", "   # ", "   # "}},
    {'5', {"#####", "#    ", "#### ", "    #", "    #", "#   #", " ### "}},
    {'6', {"  ## ", " #   ", "#    ", "#### ", "#   #", "#   #", " ### "}},
    {'7', {"#####", "    #", "   # ", "   # ", "  #  ", "  #  ", "  #  "}},
    {'8', {" ### ", "#   #", "#   #", " ### ", "#   #", "#   #", " ### "}},
    {'9', {" ### ", "#   #", "#   #", " ####", "    #", "   # ", " ##  "}},
    {'+', {"     ", "  #  ", "  #  ", "#####", "  #  ", "  #  ", "     "}},
    {'-', {"     ", "     ", "     ", "#####", "     ", "     ", "     "}},
    {'.', {"     ", "     ", "     ", "     ", "     ", " ##  ", " ##  "}},
    {',', {"     ", "     ", "     ", "     ", " ##  ", "  #  ", " #   "}},
    {'a', {"     ", "     ", " ### ", "    #", " ####", "#   #", " ####"}},
    {'c', {"     ", "     ", " ### ", "#    ", "#    ", "#   #", " ### "}},
    {'e', {"     ", "     ", " ### ", "#   #", "#####", "#    ", " ### "}},
    {'f', {"  ## ", " #   ", "#### ", " #   ", " #   ", " #   ", " #   "}},
    {'h', {"#    ", "#    ", "# ## ", "##  #", "#   #", "#   #", "#   #"}},
    {'i', {"  #  ", "     ", " ##  ", "  #  ", "  #  ", "  #  ", " ### "}},
    {'k', {"#    ", "#    ", "#  # ", "# #  ", "##   ", "# #  ", "#  # "}},
    {'l', {" ##  ", "  #  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "}},
    {'n', {"     ", "     ", "# ## ", "##  #", "#   #", "#   #", "#   #"}},
    {'o', {"     ", "     ", " ### ", "#   #", "#   #", "#   #", " ### "}},
    {'p', {"     ", "     ", "#### ", "#   #", "#### ", "#    ", "#    "}},
    {'r', {"     ", "     ", "# ## ", "##  #", "#    ", "#    ", "#    "}},
    {'s', {"     ", "     ", " ####", "#    ", " ### ", "    #", "#### "}},
    {'t', {" #   ", " #   ", "#### ", " #   ", " #   ", " #  #", "  ## "}},
    {'x', {"     ", "     ", "#   #", " # # ", "  #  ", " # # ", "#   #"}},
};
/* clang-format on */

void canvas_fill(struct canvas *canvas, uint32_t x, uint32_t y, uint32_t width, uint32_t height, struct colour colour)
{
    for (uint32_t v = y; v < canvas->height && v - y < height; v++)
        for (uint32_t u = x; u < canvas->width && u - x < width; u++) {
            uint8_t *pixel = canvas->rgb + ((size_t)v * canvas->width + u) * 3;
            pixel[0] = colour.r;
            pixel[1] = colour.g;
            pixel[2] = colour.b;
        }
}

static void draw_glyph(struct canvas *canvas, uint32_t x, uint32_t y, const struct glyph *glyph, struct colour colour)
{
    for (uint32_t v = 0; v < GLYPH_HEIGHT; v++)
        for (uint32_t u = 0; u < GLYPH_WIDTH; u++)
            if (glyph->rows[v][u] == '#')
                canvas_fill(canvas, x + u * CANVAS_DOT, y + v * CANVAS_DOT, CANVAS_DOT, CANVAS_DOT, colour);
}

void canvas_text(struct canvas *canvas, uint32_t x, uint32_t y, const char *text, struct colour colour)
{
    for (; *text != '\0'; text++, x += GLYPH_ADVANCE * CANVAS_DOT)
        for (size_t i = 0; i < sizeof font / sizeof *font; i++)
            if (font[i].character == *text)
                draw_glyph(canvas, x, y, &font[i], colour);
}

uint32_t canvas_text_width(const char *text)
{
    size_t n = strlen(text);
    return n == 0 ? 0 : (uint32_t)(n * GLYPH_ADVANCE - 1) * CANVAS_DOT;
}
