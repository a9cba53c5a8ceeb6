/* codec.c - the state as bytes: for the digest, and for snapshots. See learner.h.
 *
 * "The rest" of a state, beside the three tensors, little-endian throughout:
 *
 *     u32  1, the form of these bytes
 *     u32  width, height, channels, kernels, kernel_width, kernel_height, stride, hidden
 *     u32  number of settings that it names (settings_named()), then for each: u8 length of its name, the name, f64 value (words by index)
 *     u64  step, u64 steps that were refused
 *     u32  number of classes, then for each: u8 length of its label, the label
 *     u64  samples, u64 correct, f64 sum of losses
 *     u32  number of recent outcomes, oldest first, then for each: u16 label, u16 predicted, f32 loss, f32 p
 *     u32  confusion, row by row, number of classes squared
 *     drift: u64 outcomes since the last alarm, f64 mean, sum, low, u64 alarms; u64 place of each that is kept, oldest first
 *     warnings: u64 step of the next look; for each, in the order of core/learner/health.h: u64 since, u32 share, u32 class
 *     replay buffer: for each class u64 samples seen; 4 times u64 the sum of its fingerprints; for each class, for each slot
 *            that is used: u8 uncertainty
 *     not in the digest: for each class, for each slot that is used: i64 id of the sample
 *
 * The digest is SHA-256 over these bytes, then k [N][n_k], w01 [n_0][n_1], w12 [n_1][n_2] as f32.
 */
#include "core/learner/learner.h"

#include <nettle/sha2.h>
#include <string.h>

#define FORM 1u

/* ---- writing: into a buffer, into a hash, or nowhere, to count ---- */

struct sink {
    uint8_t *bytes; /* NULL: not into a buffer */
    size_t used;
    struct sha256_ctx *hash; /* NULL: no hash */
};

static void put(struct sink *sink, const void *bytes, size_t n)
{
    if (sink->bytes != NULL)
        memcpy(sink->bytes + sink->used, bytes, n);
    if (sink->hash != NULL)
        sha256_update(sink->hash, n, bytes);
    sink->used += n;
}

static void put_u32(struct sink *sink, uint32_t value)
{
    put(sink, &value, sizeof value);
}

static void put_u64(struct sink *sink, uint64_t value)
{
    put(sink, &value, sizeof value);
}

static void put_f64(struct sink *sink, double value)
{
    put(sink, &value, sizeof value);
}

static void put_text(struct sink *sink, const char *text)
{
    uint8_t n = (uint8_t)strlen(text);
    put(sink, &n, 1);
    put(sink, text, n);
}

static void put_tally(struct sink *sink, const struct learner *l)
{
    const struct tally *t = &l->tally;
    put_u64(sink, t->samples);
    put_u64(sink, t->correct);
    put_f64(sink, t->loss_sum);
    const uint32_t n = t->samples < TALLY_RECENT ? (uint32_t)t->samples : TALLY_RECENT;
    put_u32(sink, n);
    for (uint64_t i = t->samples - n; i < t->samples; i++) {
        const struct outcome *o = &t->recent[i % TALLY_RECENT];
        uint8_t packed[12];
        memcpy(packed, &o->label, 2);
        memcpy(packed + 2, &o->predicted, 2);
        memcpy(packed + 4, &o->loss, 4);
        memcpy(packed + 8, &o->p, 4);
        put(sink, packed, sizeof packed);
    }
    for (uint32_t i = 0; i < l->n_classes; i++)
        put(sink, t->confusion + (size_t)i * l->capacity, l->n_classes * sizeof *t->confusion);
}

static void put_drift(struct sink *sink, const struct drift *d)
{
    put_u64(sink, d->n);
    put_f64(sink, d->mean);
    put_f64(sink, d->sum);
    put_f64(sink, d->low);
    put_u64(sink, d->alarms);
    for (uint32_t i = 0; i < drift_recent(d); i++)
        put_u64(sink, drift_at(d, i));
}

static void put_health(struct sink *sink, const struct health *health)
{
    put_u64(sink, health->next);
    for (int i = 0; i < HEALTH_N; i++) {
        put_u64(sink, health->warnings[i].since);
        put_u32(sink, health->warnings[i].share);
        put_u32(sink, health->warnings[i].class_index);
    }
}

static void put_replay_buffer(struct sink *sink, const struct learner *l)
{
    put(sink, l->buffer->seen, l->n_classes * sizeof *l->buffer->seen);
    put(sink, l->buffer->sum, sizeof l->buffer->sum);
    for (uint32_t c = 0; c < l->n_classes; c++)
        put(sink, replay_buffer_uncertainties(l->buffer, c), replay_buffer_used(l->buffer, c));
}

static void put_settings(struct sink *sink, const struct settings *settings)
{
    uint32_t n = 0;
    for (int i = 0; i < SETTING_N; i++)
        n += settings_named(settings, (enum setting)i);
    put_u32(sink, n);
    for (int i = 0; i < SETTING_N; i++)
        if (settings_named(settings, (enum setting)i)) {
            put_text(sink, setting_table[i].name);
            put_f64(sink, settings_get(settings, (enum setting)i));
        }
}

/* What the digest covers beside the tensors. */
static void put_rest(struct sink *sink, const struct learner *l)
{
    const struct shape *s = &l->shape;
    put_u32(sink, FORM);
    const uint32_t sides[] = {s->width,        s->height,        s->channels, s->kernels,
                              s->kernel_width, s->kernel_height, s->stride,   s->hidden};
    put(sink, sides, sizeof sides);
    put_settings(sink, &l->settings);
    put_u64(sink, l->step);
    put_u64(sink, l->refused);
    put_u32(sink, l->n_classes);
    for (uint32_t i = 0; i < l->n_classes; i++)
        put_text(sink, l->labels[i]);
    put_tally(sink, l);
    put_drift(sink, &l->tally.drift);
    put_health(sink, &l->health);
    put_replay_buffer(sink, l);
}

static void put_ids(struct sink *sink, const struct learner *l)
{
    for (uint32_t c = 0; c < l->n_classes; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(l->buffer, c); slot++)
            put_u64(sink, (uint64_t)replay_buffer_id(l->buffer, c, slot));
}

static void put_all(struct sink *sink, const struct learner *l)
{
    put_rest(sink, l);
    put_ids(sink, l);
}

size_t learner_encode_rest(const struct learner *l, uint8_t *bytes, size_t size)
{
    struct sink sink = {0};
    put_all(&sink, l);
    const size_t needed = sink.used;
    if (bytes != NULL && needed <= size) {
        sink = (struct sink){.bytes = bytes};
        put_all(&sink, l);
    }
    return needed;
}

void learner_digest(const struct learner *l, uint8_t digest[DIGEST_BYTES])
{
    struct sha256_ctx hash;
    sha256_init(&hash);
    struct sink sink = {.hash = &hash};
    put_rest(&sink, l);
    const struct net *net = &l->net;
    for (uint32_t i = 0; i < l->shape.kernels; i++)
        for (uint32_t m = 0; m < l->shape.n_k; m++)
            put(&sink, &net->k[m * net->ld_k + i], sizeof(float));
    for (uint32_t p = 0; p < l->shape.n_0; p++)
        put(&sink, net->w01 + net_row(l->shape.n_0, p) * net->ld_1, l->shape.n_1 * sizeof(float));
    for (uint32_t t = 0; t < l->shape.n_1; t++)
        put(&sink, net->w12 + net_row(l->shape.n_1, t) * net->ld_2, l->n_classes * sizeof(float));
    sha256_digest(&hash, DIGEST_BYTES, digest);
}

/* ---- reading ---- */

struct source {
    const uint8_t *bytes;
    size_t left;
    bool bad; /* cut short, or not what is written: values since may be zero */
};

static void get(struct source *source, void *out, size_t n)
{
    if (n > source->left) {
        source->bad = true;
        source->left = 0;
        memset(out, 0, n);
        return;
    }
    memcpy(out, source->bytes, n);
    source->bytes += n;
    source->left -= n;
}

static uint32_t get_u32(struct source *source)
{
    uint32_t value;
    get(source, &value, sizeof value);
    return value;
}

static uint64_t get_u64(struct source *source)
{
    uint64_t value;
    get(source, &value, sizeof value);
    return value;
}

static double get_f64(struct source *source)
{
    double value;
    get(source, &value, sizeof value);
    return value;
}

static void get_text(struct source *source, char *text, size_t size)
{
    uint8_t n;
    memset(text, 0, size);
    get(source, &n, 1);
    if (n >= size) {
        source->bad = true;
        return;
    }
    get(source, text, n);
}

static int get_settings(struct source *source, struct settings *settings, struct err *err)
{
    int i = 0; /* the next that can come */
    *settings = settings_default();
    for (uint32_t n = get_u32(source); n > 0 && !source->bad; n--, i++) {
        char name[64];
        get_text(source, name, sizeof name);
        double value = get_f64(source);
        if (source->bad)
            break;
        while (i >= SETTING_LATER && i < SETTING_N && strcmp(name, setting_table[i].name) != 0)
            i++;
        if (i == SETTING_N || strcmp(name, setting_table[i].name) != 0)
            return err_set(err, ERR_DB_CORRUPT, "the state has a setting \"%s\" where it does not belong", name);
        if (settings_set(settings, (enum setting)i, value, err) != 0)
            return -1;
        if (!settings_named(settings, (enum setting)i))
            source->bad = true;
    }
    if (i < SETTING_LATER)
        source->bad = true;
    return 0;
}

static void get_tally(struct source *source, struct learner *l)
{
    struct tally *t = &l->tally;
    t->samples = get_u64(source);
    t->correct = get_u64(source);
    t->loss_sum = get_f64(source);
    const uint32_t n = get_u32(source);
    if (n != (t->samples < TALLY_RECENT ? t->samples : TALLY_RECENT)) {
        source->bad = true;
        return;
    }
    for (uint64_t i = t->samples - n; i < t->samples; i++) {
        uint8_t packed[12];
        struct outcome *o = &t->recent[i % TALLY_RECENT];
        get(source, packed, sizeof packed);
        memcpy(&o->label, packed, 2);
        memcpy(&o->predicted, packed + 2, 2);
        memcpy(&o->loss, packed + 4, 4);
        memcpy(&o->p, packed + 8, 4);
        /* Readers of the tally index by the classes, and place p among knots; comparisons that a NaN fails. */
        if (o->label >= l->n_classes || o->predicted >= l->n_classes || !(o->p >= 0.0F && o->p <= 1.0F))
            source->bad = true;
    }
    for (uint32_t i = 0; i < l->n_classes; i++)
        get(source, t->confusion + (size_t)i * l->capacity, l->n_classes * sizeof *t->confusion);
}

static void get_replay_buffer(struct source *source, struct learner *l)
{
    struct replay_buffer *buffer = l->buffer;
    get(source, buffer->seen, l->n_classes * sizeof *buffer->seen);
    get(source, buffer->sum, sizeof buffer->sum);
    if (source->bad)
        return;
    replay_buffer_present(buffer);
    for (uint32_t c = 0; c < l->n_classes; c++)
        get(source, replay_buffer_uncertainties(buffer, c), replay_buffer_used(buffer, c));
    for (uint32_t c = 0; c < l->n_classes && !source->bad; c++)
        for (uint32_t slot = 0; slot < replay_buffer_used(buffer, c); slot++)
            replay_buffer_fill(buffer, c, slot, (int64_t)get_u64(source), NULL);
}

static void get_drift(struct source *source, const struct tally *tally, struct drift *d)
{
    d->n = get_u64(source);
    d->mean = get_f64(source);
    d->sum = get_f64(source);
    d->low = get_f64(source);
    d->alarms = get_u64(source);
    for (uint32_t i = 0; i < drift_recent(d); i++)
        d->at[(d->alarms - drift_recent(d) + i) % DRIFT_KEPT] = get_u64(source);
    if (!drift_check(d, tally->samples))
        source->bad = true;
}

static void get_health(struct source *source, struct learner *l)
{
    l->health.next = get_u64(source);
    for (int i = 0; i < HEALTH_N; i++) {
        l->health.warnings[i].since = get_u64(source);
        l->health.warnings[i].share = get_u32(source);
        l->health.warnings[i].class_index = get_u32(source);
    }
    if (!health_check(&l->health, l))
        source->bad = true;
}

struct learner *learner_decode(const uint8_t *bytes, size_t n_bytes, const struct arith *arith, struct err *err)
{
    struct source source = {bytes, n_bytes, false};
    const uint32_t form = get_u32(&source);
    if (form != FORM) {
        err_set(err, ERR_DB_CORRUPT, "the state is of form %u, which this convd does not know", form);
        return NULL;
    }
    struct event create = {.kind = EVENT_CREATE, .revision = 1};
    struct shape *s = &create.as.create.shape;
    uint32_t *const sides[] = {&s->width,        &s->height,        &s->channels, &s->kernels,
                               &s->kernel_width, &s->kernel_height, &s->stride,   &s->hidden};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        *sides[i] = get_u32(&source);
    if (get_settings(&source, &create.as.create.settings, err) != 0) {
        if (err != NULL)
            err->code = ERR_DB_CORRUPT;
        return NULL;
    }
    const uint64_t step = get_u64(&source), refused = get_u64(&source);
    const uint32_t n_classes = get_u32(&source);
    char labels[SHAPE_CLASSES_MAX][LABEL_BYTES_MAX + 1];
    if (source.bad || n_classes > SHAPE_CLASSES_MAX) {
        err_set(err, ERR_DB_CORRUPT, "the state is cut short or damaged");
        return NULL;
    }
    for (uint32_t i = 0; i < n_classes; i++)
        get_text(&source, labels[i], sizeof labels[i]);
    create.as.create.n_classes = n_classes;
    create.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) labels;

    struct learner *l = source.bad ? NULL : learner_create(&create, arith, 0, err);
    if (l == NULL) {
        if (source.bad)
            err_set(err, ERR_DB_CORRUPT, "the state is cut short or damaged");
        else if (err != NULL && err->code != ERR_MEMORY)
            err->code = ERR_DB_CORRUPT;
        return NULL;
    }
    l->step = step;
    l->refused = refused;
    get_tally(&source, l);
    get_drift(&source, &l->tally, &l->tally.drift);
    get_health(&source, l);
    get_replay_buffer(&source, l);
    if (source.bad || source.left != 0) {
        err_set(err, ERR_DB_CORRUPT, "the state is cut short or damaged");
        learner_free(l);
        return NULL;
    }
    return l;
}
