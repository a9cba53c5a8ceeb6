/* metadata.c - see formats/metadata.h */
#include "server/formats/metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_whole(struct json *metadata, const char *name, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    json_add_string(metadata, name, text);
}

/* The labels as the text of a JSON array, since metadata are strings. False: out of memory. */
static bool add_classes(struct json *metadata, const struct learner *learner)
{
    struct json *labels = json_array();
    for (uint32_t i = 0; i < learner->n_classes; i++)
        json_add_string(labels, NULL, learner->labels[i]);
    char *text = json_print(labels, false);
    json_free(labels);
    if (text != NULL)
        json_add_string(metadata, "classes", text);
    free(text);
    return text != NULL;
}

bool metadata_add(struct json *metadata, const struct learner *learner)
{
    const struct shape *shape = &learner->shape;
    if (!add_classes(metadata, learner))
        return false;
    add_whole(metadata, "width", shape->width);
    add_whole(metadata, "height", shape->height);
    add_whole(metadata, "channels", shape->channels);
    if (shape->kernels > 0)
        add_whole(metadata, "stride", shape->stride);
    for (int i = 0; i < SETTING_N; i++) {
        char number[JSON_NUMBER_BYTES];
        const char *word = settings_word(&learner->settings, (enum setting)i);
        if (word == NULL)
            json_number_print(number, settings_get(&learner->settings, (enum setting)i));
        json_add_string(metadata, setting_table[i].name, word == NULL ? number : word);
    }
    add_whole(metadata, "step", learner->step);
    add_whole(metadata, "revision", learner->revision);
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    learner_digest(learner, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    json_add_string(metadata, "digest", hex);
    json_add_string(metadata, "arithmetic", ARITHMETIC_VERSION);
    json_add_string(metadata, "convd", CONVD_VERSION);
    return true;
}

void floats_to_little_endian(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        const uint8_t b[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
        memcpy(values + i, b, 4);
    }
}
