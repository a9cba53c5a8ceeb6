/* fuzz.h - what the fuzz targets share. Each is one parser that meets the network or a file, with what must hold of anything
 * that it takes; libFuzzer makes the inputs, ASan and UBSan watch. A target's first bytes may choose how it is called.
 */
#ifndef CONVD_TESTS_FUZZ_FUZZ_H
#define CONVD_TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/core.h"

#define UNUSED __attribute__((unused))

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* A promise of the code under test that does not hold. */
#define must(holds)                                                                                                    \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            (void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #holds);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* An error was told: it has a code and a line of text without a line feed. */
UNUSED static void must_tell(const struct err *err)
{
    must(err->code > ERR_NONE && err->code < ERR_N);
    must(err->text[0] != '\0' && strchr(err->text, '\n') == NULL);
    must(strnlen(err->pointer, ERR_POINTER_BYTES) < ERR_POINTER_BYTES);
}

/* The input, or a part of it, in memory of its very size: one byte too far is noticed. */
UNUSED static uint8_t *exact(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t *copy = malloc(n_bytes > 0 ? n_bytes : 1);
    must(copy != NULL);
    if (n_bytes > 0)
        memcpy(copy, bytes, n_bytes);
    return copy;
}

UNUSED static char *exact_text(const uint8_t *bytes, size_t n_bytes)
{
    char *copy = malloc(n_bytes + 1);
    must(copy != NULL);
    if (n_bytes > 0)
        memcpy(copy, bytes, n_bytes);
    copy[n_bytes] = '\0';
    return copy;
}

/* Takes one byte off the front. */
UNUSED static uint8_t take(const uint8_t **bytes, size_t *n_bytes)
{
    if (*n_bytes == 0)
        return 0;
    --*n_bytes;
    return *(*bytes)++;
}

/* A folder for a database, in memory where there is such a place. */
UNUSED static void make_folder(char *folder, size_t size)
{
    (void)snprintf(folder, size, "%s/convd-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(folder) != NULL);
}

/* The create event of a small model: 6 x 6 pixels, 2 kernels of 3 x 3, classes "0", "a" and one with what JSON must escape. */
UNUSED static struct event small_origin(uint32_t channels)
{
    static const char labels[3][LABEL_BYTES_MAX + 1] = {"0", "a", "\"\xc3\xa9\" \\"};
    struct event event = {.kind = EVENT_CREATE, .revision = 1, .created_us = 1};
    event.as.create.shape = shape_default();
    event.as.create.shape.width = event.as.create.shape.height = 6;
    event.as.create.shape.channels = channels;
    event.as.create.shape.kernels = 2;
    event.as.create.shape.kernel_width = event.as.create.shape.kernel_height = 3;
    event.as.create.shape.hidden = 4;
    event.as.create.settings = settings_default();
    event.as.create.n_classes = 3;
    event.as.create.labels = labels;
    return event;
}

UNUSED static struct learner *small_learner(uint32_t channels)
{
    struct event event = small_origin(channels);
    struct learner *learner = learner_create(&event, NULL, 0, NULL);
    must(learner != NULL);
    return learner;
}

#endif
