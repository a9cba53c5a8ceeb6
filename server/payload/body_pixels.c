/* body_pixels.c - JSON in its plainest form, read in one pass and without a tree: what programs send.
 *
 * A tree of 784 pixels costs 784 nodes of 80 bytes and a strtod() each, eight times the network's own work. Here a body is read
 * straight into the batch as long as it is
 *
 *     {"image": {"pixels": PIXELS}}             and "label": "..." before or after "image", where labels are expected
 *     {"images": [{"pixels": PIXELS}, ...]}     {"samples": [{"label": "...", "image": {"pixels": PIXELS}}, ...]}
 *
 * with white space wherever JSON has it, PIXELS being whole numbers of at most three digits in lists of the shapes that payload/body.h allows,
 * and labels of printable ASCII without escapes. At the first byte that is anything else (a fraction, an escape, another member, a
 * mistake, too many of something) reading ends, and payload/body_json.c begins anew with the whole document: so what is taken here is a
 * subset of what is taken there, with the same meaning, and errors are told in one place.
 */
#include <string.h>

#include "server/common/json.h"
#include "server/payload/body.h"

struct plain {
    const uint8_t *at, *end;
    const struct body_rules *rules;
    bool labels_given;
    unsigned n_values; /* as json_scan() counts them */
};

static void skip_space(struct plain *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

/* Whether that byte is next, white space aside; takes it. */
static bool take(struct plain *p, uint8_t byte)
{
    skip_space(p);
    if (p->at == p->end || *p->at != byte)
        return false;
    p->at++;
    return true;
}

/* Whether that member is next: its name, quotes included, and the colon. */
static bool take_name(struct plain *p, const char *quoted)
{
    const size_t n = strlen(quoted);
    skip_space(p);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, quoted, n) != 0)
        return false;
    p->at += n;
    return take(p, ':');
}

static bool is_digit(const struct plain *p)
{
    return p->at < p->end && (uint8_t)(*p->at - '0') < 10;
}

/* One whole number from 0 to 255 as JSON writes it: no leading zero. What follows it is the caller's to look at. */
static bool take_pixel(struct plain *p, uint8_t *pixel)
{
    skip_space(p);
    if (!is_digit(p))
        return false;
    unsigned value = (unsigned)(*p->at++ - '0');
    for (int i = 0; i < 2 && value > 0 && is_digit(p); i++)
        value = value * 10 + (unsigned)(*p->at++ - '0');
    *pixel = (uint8_t)value;
    return value <= 255;
}

static bool take_numbers(struct plain *p, uint8_t **to, const size_t *dims, unsigned n_dims)
{
    if (!take(p, '['))
        return false;
    p->n_values++;
    for (size_t i = 0; i < dims[0]; i++) {
        if (i > 0 && !take(p, ','))
            return false;
        if (n_dims > 1 ? !take_numbers(p, to, dims + 1, n_dims - 1) : !take_pixel(p, (*to)++))
            return false;
    }
    p->n_values += n_dims > 1 ? 0 : (unsigned)dims[0];
    return take(p, ']');
}

/* How deep lists are nested here; more than 3 are no image. */
static unsigned depth(const struct plain *p)
{
    struct plain ahead = *p;
    unsigned n = 0;
    while (n <= 3 && take(&ahead, '['))
        n++;
    return n;
}

/* {"pixels": PIXELS}, into a new image of the batch. */
static bool take_image(struct plain *p, struct batch *batch)
{
    const struct shape *shape = &p->rules->learner->shape;
    const size_t flat[] = {shape->n_input}, nested[] = {shape->channels, shape->height, shape->width};
    if (!take(p, '{') || !take_name(p, "\"pixels\""))
        return false;
    const unsigned n = depth(p);
    if (n < 1 || n > 3 || (n == 2 && shape->channels != 1))
        return false;
    uint8_t *input = batch_add(batch, p->rules, NULL), *at = input;
    if (input == NULL || !take_numbers(p, &at, n == 1 ? flat : nested + (3 - n), n) || !take(p, '}') ||
        body_check_flat(input, p->rules, NULL) != 0)
        return false;
    p->n_values++;
    return p->n_values <= JSON_VALUES_MAX;
}

static bool take_label(struct plain *p, struct batch *batch, uint32_t *which)
{
    if (!take(p, '"'))
        return false;
    const uint8_t *from = p->at;
    while (p->at < p->end && *p->at >= 0x20 && *p->at < 0x7f && *p->at != '"' && *p->at != '\\')
        p->at++;
    if (p->at == p->end || *p->at != '"' ||
        labels_add(&batch->names, which, (const char *)from, (size_t)(p->at - from), NULL) != 0)
        return false;
    p->at++;
    p->n_values++;
    return true;
}

/* The members of {"image": IMAGE, "label": "7"} after the opening brace, and the closing one. */
static bool take_members(struct plain *p, struct batch *batch)
{
    const bool wants_label = p->rules->labelled && !p->labels_given;
    uint32_t label = 0;
    const bool label_first = wants_label && take_name(p, "\"label\"");
    if (label_first && !(take_label(p, batch, &label) && take(p, ',')))
        return false;
    if (!take_name(p, "\"image\"") || !take_image(p, batch))
        return false;
    if (wants_label && !label_first && !(take(p, ',') && take_name(p, "\"label\"") && take_label(p, batch, &label)))
        return false;
    if (wants_label)
        batch->labels[batch->n - 1] = label;
    p->n_values++;
    return take(p, '}');
}

static bool take_list(struct plain *p, struct batch *batch, bool samples)
{
    if (!take(p, '['))
        return false;
    p->n_values++;
    uint32_t i = 0;
    do {
        batch->names.at = i++;
        if (samples ? !(take(p, '{') && take_members(p, batch)) : !take_image(p, batch))
            return false;
    } while (take(p, ','));
    return take(p, ']');
}

static bool take_body(struct plain *p, struct batch *batch, bool lists)
{
    if (!take(p, '{'))
        return false;
    const bool labelled = p->rules->labelled;
    const bool images = lists && (!labelled || p->labels_given) && take_name(p, "\"images\"");
    const bool samples = lists && !images && labelled && take_name(p, "\"samples\"");
    if (images || samples) {
        if (!take_list(p, batch, samples) || !take(p, '}'))
            return false;
        p->n_values++;
        batch->many = true;
    } else if (!take_members(p, batch)) {
        return false;
    }
    skip_space(p);
    return p->at == p->end && p->n_values <= JSON_VALUES_MAX;
}

bool body_plain(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
                bool labels_given, bool lists)
{
    struct plain plain = {bytes, bytes + n_bytes, rules, labels_given, 0};
    const uint32_t n = batch->n, n_names = batch->names.n;
    if (take_body(&plain, batch, lists))
        return true;
    batch->n = n;
    batch->names.n = n_names;
    batch->many = false;
    return false;
}
