/* metadata.c - see formats/metadata.h */
#include "server/formats/metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/json.h"

struct sink {
    void (*add)(void *context, const char *name, const char *text);
    void *context;
};

static void add_whole(const struct sink *sink, const char *name, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    sink->add(sink->context, name, text);
}

/* The labels as the text of a JSON array, since metadata are strings. False: out of memory. */
static bool add_classes(const struct sink *sink, const struct learner *learner)
{
    struct text text = {0};
    struct json_writer json = json_write_to(&text);
    json_write_array(&json, NULL);
    for (uint32_t i = 0; i < learner->n_classes; i++)
        json_write_string(&json, NULL, learner->labels[i]);
    json_write_end(&json);
    char *labels = text_take(&text);
    if (labels != NULL)
        sink->add(sink->context, "classes", labels);
    free(labels);
    return labels != NULL;
}

static void add_setting(const struct sink *sink, const struct settings *settings, enum setting setting)
{
    char number[JSON_NUMBER_BYTES];
    const char *word = settings_word(settings, setting);
    if (word == NULL)
        json_number_print(number, settings_get(settings, setting));
    sink->add(sink->context, setting_table[setting].name, word == NULL ? number : word);
}

bool metadata_each(const struct learner *learner, void (*add)(void *context, const char *name, const char *text),
                   void *context)
{
    const struct sink sink = {add, context};
    const struct shape *shape = &learner->shape;
    if (!add_classes(&sink, learner))
        return false;
    add_whole(&sink, "width", shape->width);
    add_whole(&sink, "height", shape->height);
    add_whole(&sink, "channels", shape->channels);
    if (shape->kernels > 0)
        add_whole(&sink, "stride", shape->stride);
    for (int i = 0; i < SETTING_N; i++)
        add_setting(&sink, &learner->settings, (enum setting)i);
    add_whole(&sink, "step", learner->step);
    add_whole(&sink, "revision", learner->revision);
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    learner_digest(learner, digest);
    text_print_hex(hex, digest, sizeof digest);
    add(context, "digest", hex);
    add(context, "arithmetic", ARITHMETIC_VERSION);
    add(context, "convd", CONVD_VERSION);
    return true;
}

static void add_member(void *context, const char *name, const char *text)
{
    json_write_string(context, name, text);
}

bool metadata_write(struct json_writer *json, const struct learner *learner)
{
    return metadata_each(learner, add_member, json);
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
