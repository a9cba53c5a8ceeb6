/* image.h - from an uploaded picture to the network's uint8 input, the same way on every machine.
 *
 * Only image/png.c knows libspng and only image/jpeg.c libjpeg-turbo, both of which let themselves be limited; only
 * image/webp.c libwebp, where a build has it; only image/png_plain.c libdeflate, for what is small.
 *
 * The steps, in this order:
 *
 *   decode   PNG of any colour type and depth (palette, grey of 1 to 16 bits, RGB, tRNS, alpha, interlaced; of 16 bits
 *            the upper 8; an index past the palette's end is black) or JPEG (grey, colour, CMYK; all sampling factors; what
 *            libjpeg only warns of is read) or WebP (lossy, lossless, alpha; no animation) -> 8-bit RGBA. Numbers are taken as they are: no gamma, no colour profile. A JPEG whose sides are at
 *            least 8 times the input's longer one is decoded at 1/2, 1/4 or 1/8, so that 4 times are left
 *   upright  turned and mirrored as EXIF says (image/exif.c), 1 to 8, in each of them: what every viewer shows
 *   background  channels 1 and 3, where something is transparent: is all that is seen of one colour (within 16 of 255, times alpha), it is ink, and
 *            laid over white where its grey is under 128, over black where not: from here on it is the same as that drawing on paper or on a
 *            board. So no ink is lost, whatever its colour and `invert` are
 *   invert?  decided now, done last. INVERT_AUTO looks at the picture's outermost pixels: when their mean grey,
 *            weighted by alpha, is over 127.5, it is dark ink on light paper, and inverted. Where those pixels are
 *            mostly transparent (mean alpha under 127.5) the picture decides: inverted when the mean grey of all of it,
 *            weighted by alpha, is under 127.5.
 *   alpha    channels 1 and 3, where it is not ink: laid over black, or over white when it will be inverted:
 *            c' = (c a + background (255 - a) + 127) / 255. Channels 2 and 4 keep alpha as a plane of its own
 *   grey     channels 1 and 2: (299 R + 587 G + 114 B + 500) / 1000
 *   planes   channels 1: grey; 2: grey, alpha; 3: R, G, B; 4: R, G, B, alpha
 *   fit      the picture's w x h onto the input's W x H:
 *              stretch   all of it onto all of it
 *              contain   all of it onto the largest rectangle of its aspect that fits, sides rounded to whole pixels
 *                        and at least 1, in the middle (an odd pixel more to the right and below); around it the border
 *                        colour: each plane's rounded mean over the picture's outermost pixels
 *              cover     the largest rectangle of the input's aspect out of its middle, rounded likewise, onto all of
 *                        it
 *              content   a drawing: its ink is found and cut out (image/content.c), and that is stretched; light on dark of one or two channels, so
 *                        that INVERT_AUTO leaves it. A picture of the input's size, or without one, is contained
 *              auto      contain where the outermost pixels, inverted or not, have a mean grey of GROUND_MOST (4) at most, or
 *                        are mostly transparent: such a drawing is cut out already; content where not, light on dark. Only
 *                        where drawings were taught: learner_fit()
 *            by area averaging: each pixel is the mean of the area of picture under it, pixels that it touches in
 *            part counted in part, exactly and rounded once, halves up. So the same size gives the same pixels, and
 *            enlarging gives squares
 *   invert   255 - v on every plane but alpha
 *
 * All in integers: no float, no rounding mode, no instruction set can change a bit. Any thread may call any of these.
 *
 * In reading order:
 *   file_kind.{h,c}     what a file is, by its first bytes
 *   image.c             who decodes a file
 *   codec.h             what the decoders and the fit give image.c
 *   picture.c           the memory of a picture
 *   png.c               PNG, in and out; alone knows libspng
 *   png_plain.c         a small grey PNG, in; alone knows libdeflate
 *   jpeg.c              JPEG, in; alone knows libjpeg-turbo
 *   webp.c              WebP, in; alone knows libwebp
 *   exif.c              which way up a picture was taken
 *   fit.c               from a picture to the input's planes
 *   content.c           where the drawing in a photograph is
 *   input_png.{h,c}     an input of the network as a picture
 *   canvas.{h,c}        a picture to draw on
 *   kernel_sheet.{h,c}  the kernels as one picture
 */
#ifndef CONVD_SERVER_IMAGE_IMAGE_H
#define CONVD_SERVER_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/settings.h"
#include "core/shape.h"
#include "server/common/cancel.h"

#define IMAGE_PIXELS_MAX_DEFAULT (16u << 20) /* 16 Mi pixels decoded: 64 MiB */

/* What decoding may cost: of one picture, and of all that are decoded with the same limits, as those of a request are. A JPEG
 * of S scans counts as (1 + S) / 16 of its pixels at least, which is what reading them costs. */
#define IMAGE_LIGHT_PIXELS 8192u /* of all of them, where a thread has a fraction of a millisecond only */
struct image_limits {
    uint64_t pixels_max;         /* of one picture, decoded; a JPEG that is decoded smaller may have 16 times as many */
    uint64_t pixels_all;         /* of all together; 0: any number                                        */
    uint64_t pixels_taken;       /* until now                                                             */
    bool light;                  /* what takes longer than IMAGE_LIGHT_PIXELS of a grey PNG is not begun  */
    bool heavy;                  /* set where something was not begun for that reason, whatever *err says */
    const struct cancel *cancel; /* asked every few milliseconds of a PNG; NULL: nobody cancels it        */
};

/* image_too_heavy - sets heavy. Returns -1. */
int image_too_heavy(struct image_limits *limits, struct err *err);

struct picture {
    uint32_t width, height;
    uint8_t *rgba;               /* [height][width][4], alpha not multiplied in; owned, by malloc */
    const struct cancel *cancel; /* that of its limits, asked while it is fitted              */
};

/* image_decode - *out is written on success only, and then belongs to picture_fini(), which accepts a zeroed struct.
 * No memory for pixels is taken before the header's width x height was found to be within the limits.
 * Costs some 5 us for 28x28; at most 4 bytes a pixel for a PNG, 8 for one that is turned; for a JPEG 12 for each of pixels_max at most.
 * Errors: ERR_EMPTY (no bytes), ERR_MEDIA_TYPE (no picture that is read; names what it seems to be, and what converts it), ERR_IMAGE
 * (truncated, corrupt; the checksum that ends a PNG covers nothing and may be missing), ERR_IMAGE_LIMIT (pixels,
 * chunks, scans; says the limit), ERR_TOO_LARGE (pixels_all), ERR_MEMORY, those of cancel_err(). */
int image_decode(struct picture *out, const uint8_t *bytes, size_t n_bytes, struct image_limits *limits,
                 struct err *err);
void picture_fini(struct picture *picture);

/* image_fit - fills input [channels][height][width], all steps after decode. Costs about 1 ns per pixel of the picture.
 * Errors: ERR_VALUE when the shape's channels have no meaning for a picture (more than 4): raw bodies still work;
 * ERR_MEMORY; those of cancel_err(). */
int image_fit(uint8_t *input, const struct shape *shape, enum fit fit, enum invert invert,
              const struct picture *picture, struct err *err);

/* image_to_input - decode and fit in one. */
int image_to_input(uint8_t *input, const struct shape *shape, enum fit fit, enum invert invert, const uint8_t *bytes,
                   size_t n_bytes, struct image_limits *limits, struct err *err);

/* image_is_flat - whether all pixels of an input are equal: each plane has one value. Such an input says nothing but its mean; mostly it is an empty
 * picture, or ink that was lost. An input of one pixel is not meant. Costs a few ns where it is not flat. */
bool image_is_flat(const uint8_t *input, const struct shape *shape);

/* image_encode_png - malloc'ed PNG of 8-bit pixels [height][width][channels], channels 1 (grey), 3 (RGB) or 4 (RGBA).
 * Same bits for same pixels, as long as zlib is the same. Errors: ERR_MEMORY, ERR_INTERNAL. */
int image_encode_png(uint8_t **png, size_t *n_png, const uint8_t *pixels, uint32_t width, uint32_t height,
                     unsigned channels, struct err *err);

#endif
