/* fuzz_rows.c - what a database's rows may hold: bodies of events, states of snapshots. First byte: which. */
#include <unistd.h>

#include "store/internal.h"
#include "tests/fuzz/fuzz.h"

static struct store *store;
static char folder[64], path[80];

static void clean(void)
{
    store_close(store);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void begin(void)
{
    struct err err;
    struct event create = small_origin(1);
    struct learner *learner = small_learner(1);
    make_folder(folder, sizeof folder);
    (void)snprintf(path, sizeof path, "%s/m.db", folder);
    must(store_create(&store, path, &create, learner, &err) == 0);
    learner_free(learner);
    (void)atexit(clean);
}

static void event_row(enum event_kind kind, const uint8_t *bytes, size_t n_bytes)
{
    struct event event = {.kind = kind, .revision = 5};
    struct sample_run run = {0};
    struct err err = {0};
    char *body = exact_text(bytes, n_bytes);
    if (event_parse(&event, &run, store->db, body, n_bytes, &err) != 0) {
        must(err.code == ERR_DB_CORRUPT);
        must_tell(&err);
    } else if (kind != EVENT_TRAIN) { /* written again and read again, it is the same */
        struct event back = {.kind = kind, .revision = 5};
        char *again = NULL;
        must(event_body(&again, store->db, &event, NULL, &err) == 0);
        must(event_parse(&back, &run, store->db, again, strlen(again), &err) == 0);
        if (kind == EVENT_TUNE)
            must(memcmp(&back.as.tune.settings, &event.as.tune.settings, sizeof back.as.tune.settings) == 0);
        if (kind == EVENT_ACTIVATE)
            must(back.as.activate.revision == event.as.activate.revision);
        if (kind == EVENT_REHEARSE)
            must(back.as.rehearse.n == event.as.rehearse.n && back.as.rehearse.seed == event.as.rehearse.seed &&
                 back.as.rehearse.begin == event.as.rehearse.begin && back.as.rehearse.end == event.as.rehearse.end);
        free(again);
    }
    free(body);
}

static void origin_row(const uint8_t *bytes, size_t n_bytes)
{
    struct origin origin = {0};
    struct err err = {0};
    char *body = exact_text(bytes, n_bytes);
    if (event_parse_create(&origin, store->db, body, n_bytes, &err) != 0) {
        must_tell(&err);
        must(err.code == ERR_DB_CORRUPT || err.code == ERR_DB_NEWER);
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
    static const enum event_kind kinds[] = {EVENT_TRAIN, EVENT_CLASS, EVENT_TUNE, EVENT_REHEARSE, EVENT_ACTIVATE};
    uint8_t which = take(&bytes, &n_bytes) % 8;
    if (store == NULL)
        begin();
    if (which < 5)
        event_row(kinds[which], bytes, n_bytes);
    else if (which == 5)
        origin_row(bytes, n_bytes);
    else
        state(bytes, n_bytes);
    return 0;
}
