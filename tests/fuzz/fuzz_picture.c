/* fuzz_picture.c - PNG, JPEG and WebP, decoded and fitted. First byte: how to fit, when to invert, how many channels. */
#include "server/image/image.h"
#include "tests/fuzz/fuzz.h"

#define PIXELS_MAX (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t how = take(&bytes, &n_bytes);
    uint8_t *copy = exact(bytes, n_bytes);
    struct picture picture = {0};
    struct err err;
    if (image_decode(&picture, copy, n_bytes, &(struct image_limits){.pixels_max = PIXELS_MAX}, &err) != 0) {
        must_tell(&err);
        must(picture.rgba == NULL);
    } else {
        uint8_t once[4 * 7 * 5], again[sizeof once];
        struct shape shape = shape_default();
        must(picture.width > 0 && picture.height > 0 && (uint64_t)picture.width * picture.height <= PIXELS_MAX);
        shape.width = 7;
        shape.height = 5;
        shape.channels = 1 + (how / 15) % 4;
        shape.n_input = shape.width * shape.height * shape.channels;
        enum fit fit = (enum fit)(how % 5);
        enum invert invert = (enum invert)((how / 5) % 3);
        must(image_fit(once, &shape, fit, invert, &picture, &err) == 0);
        must(image_fit(again, &shape, fit, invert, &picture, &err) == 0);
        must(memcmp(once, again, shape.n_input) == 0);
        struct image_limits limits = {.pixels_max = PIXELS_MAX}; /* a large JPEG smaller now */
        must(image_to_input(again, &shape, fit, invert, copy, n_bytes, &limits, &err) == 0);
    }
    picture_fini(&picture);
    free(copy);
    return 0;
}
