/* canvas.c - see image/canvas.h. */
#include "server/image/canvas.h"

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
    {'%', {"##   ", "##  #", "   # ", "  #  ", " #   ", "#  ##", "   ##"}},
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
    {'u', {"     ", "     ", "#   #", "#   #", "#   #", "#  ##", " ## #"}},
    {'w', {"     ", "     ", "#   #", "#   #", "# # #", "# # #", " # # "}},
    {'x', {"     ", "     ", "#   #", " # # ", "  #  ", " # # ", "#   #"}},
    {'y', {"     ", "     ", "#   #", "#   #", " ####", "    #", " ### "}},
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

static void draw_text(struct canvas *canvas, uint32_t x, uint32_t y, const char *text, struct colour colour)
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

void canvas_text_centred(struct canvas *canvas, uint32_t x, uint32_t width, uint32_t y, const char *text,
                         struct colour colour)
{
    const uint32_t w = canvas_text_width(text);
    draw_text(canvas, w < width ? x + (width - w) / 2 : x, y, text, colour);
}

/* Three straight pieces on each side of white. */
struct colour canvas_shade(float value, float limit)
{
    static const struct colour scale[2][4] = {
        {{255, 255, 255}, {253, 210, 190}, {228, 120, 92}, {165, 15, 38}}, /* positive */
        {{255, 255, 255}, {198, 222, 240}, {94, 155, 205}, {16, 66, 140}}, /* negative */
    };
    const struct colour *side = scale[value < 0];
    float t = limit > 0 ? 3 * (value < 0 ? -value : value) / limit : 0;
    int piece = t >= 2 ? 2 : t >= 1 ? 1 : 0;
    int part = (int)((t - (float)piece) * 256);
    const struct colour a = side[piece], b = side[piece + 1];
    return (struct colour){(uint8_t)(a.r + (b.r - a.r) * part / 256), (uint8_t)(a.g + (b.g - a.g) * part / 256),
                           (uint8_t)(a.b + (b.b - a.b) * part / 256)};
}
