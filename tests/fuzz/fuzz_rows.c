/* fuzz_rows.c - what a database's rows may hold: bodies of events, states of snapshots. First byte: which. */
#include "store/log/event_codec.h"
#include "tests/fuzz/fuzz.h"

static void event_row(enum event_kind kind, const uint8_t *bytes, size_t n_bytes)
{
    struct event event = {.kind = kind, .revision = 5};
    struct sample_run run = {0};
    struct err err = {0};
    char *body = (char *)exact(bytes, n_bytes), *again;
    if (event_decode(&event, &run, body, n_bytes, &err) != 0) {
        must(err.code == ERR_DB_CORRUPT);
        must_tell(&err);
    } else if (kind != EVENT_TRAIN) {
        must(event_encode(&again, &event, NULL, &err) == 0);
        must(strlen(again) == n_bytes && memcmp(again, body, n_bytes) == 0);
        free(again);
    }
    free(body);
}

static void origin_row(const uint8_t *bytes, size_t n_bytes)
{
    struct origin origin = {0};
    struct err err = {0};
    char *body = (char *)exact(bytes, n_bytes);
    if (origin_decode(&origin, body, n_bytes, &err) != 0) {
        must_tell(&err);
        must(err.code == ERR_DB_CORRUPT);
    }
    origin_fini(&origin);
    free(body);
}

/* A state may say that it is of a model of a gigabyte: memory and time, which the limits of core/shape.h allow. */
static bool is_large(const uint8_t *bytes, size_t n_bytes)
{
    struct shape shape = {0};
    uint32_t *const members[] = {&shape.width,        &shape.height,        &shape.channels, &shape.kernels,
                                 &shape.kernel_width, &shape.kernel_height, &shape.stride,   &shape.hidden};
    if (n_bytes < 36)
        return false;
    for (size_t i = 0; i < 8; i++)
        memcpy(members[i], bytes + 4 + 4 * i, 4);
    return shape_check(&shape, 2, NULL) == 0 &&
           ((uint64_t)shape.n_0 * shape.n_1 > 1u << 20 || shape.n_input > 1u << 20 ||
            (uint64_t)shape.kernels * shape.n_k > 1u << 20);
}

static void state(const uint8_t *bytes, size_t n_bytes)
{
    struct err err = {0};
    if (is_large(bytes, n_bytes))
        return;
    uint8_t *copy = exact(bytes, n_bytes);
    struct learner *learner = learner_decode(copy, n_bytes, NULL, &err);
    if (learner == NULL) {
        must_tell(&err);
    } else {
        uint8_t digest[DIGEST_BYTES];
        size_t n = learner_encode_rest(learner, NULL, 0);
        uint8_t *again = malloc(n);
        must(again != NULL && learner_encode_rest(learner, again, n) == n);
        struct learner *back = learner_decode(again, n, NULL, &err);
        must(back != NULL);
        learner_digest(back, digest);
        learner_free(back);
        free(again);
        learner_free(learner);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static const enum event_kind kinds[] = {
        EVENT_TRAIN,  EVENT_CLASS,  EVENT_TUNE, EVENT_REHEARSE, EVENT_ACTIVATE,
        EVENT_CREATE, EVENT_KIND_N, EVENT_EDIT, EVENT_BASELINE, EVENT_IDLE,
    };
    const enum event_kind kind = kinds[take(&bytes, &n_bytes) % (sizeof kinds / sizeof *kinds)];
    if (kind == EVENT_CREATE)
        origin_row(bytes, n_bytes);
    else if (kind == EVENT_KIND_N)
        state(bytes, n_bytes);
    else
        event_row(kind, bytes, n_bytes);
    return 0;
}
