/* model/model.h - what the tests of store/ share: a small model in a folder of its own, next to a learner in memory that is fed
 * the same events and never stopped. "The store is right" mostly means: what comes back has that learner's digest.
 *
 * Each test runs in a process of its own (libcheck forks), so a failed one leaves nothing behind but its folder; under a sanitizer
 * all of a program in one (make/tests.mk).
 */
#ifndef CONVD_TESTS_STORE_MODEL_H
#define CONVD_TESTS_STORE_MODEL_H

#include <check.h>
#include <fcntl.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/replay/replayer.h"
#include "store/store.h"

#define UNUSED __attribute__((unused))

#define MODEL_SIDE    8
#define MODEL_PIXELS  (MODEL_SIDE * MODEL_SIDE)
#define MODEL_SAMPLES 64 /* most in one event */
#ifndef MODEL_STEPS
#define MODEL_STEPS                                                                                                    \
    5 /* that are made of one sample: its own, and four rehearsals, so that every test of the way back is one
                       * of the buffer, too. A test that does without says 1 before it includes this */
#endif

struct model {
    char folder[64];
    char path[96];
    struct store *store;
    struct learner *learner; /* the fold in memory */
    struct err err;
};

/* Fails the test with the story of *err. */
#define must(model, call) ck_assert_msg((call) == 0, "%s: %s", #call, (model)->err.text)

/* Expects the call to fail with that code. */
#define must_fail(model, code_, call)                                                                                  \
    do {                                                                                                               \
        ck_assert_msg((call) != 0, "%s succeeded", #call);                                                             \
        ck_assert_msg((model)->err.code == (code_), "%s: %s instead of %s: %s", #call,                                 \
                      err_code_name((model)->err.code), err_code_name(code_), (model)->err.text);                      \
    } while (0)

/* Expects text to be part of the last error. */
#define must_say(model, part) ck_assert_msg(strstr((model)->err.text, (part)) != NULL, "%s", (model)->err.text)

UNUSED static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

UNUSED static void paint(uint8_t *pixels, uint64_t seed)
{
    for (size_t i = 0; i < MODEL_PIXELS; i++)
        pixels[i] = (uint8_t)(mix(seed * 1000 + i) % 7 == 0 ? 255 : mix(seed + i * 77) % 40);
}

/* The create event of the tests' model. */
UNUSED static struct event model_origin(void)
{
    static const char labels[3][LABEL_BYTES_MAX + 1] = {"a", "\"b\" \\ c", "\xc3\xa9t\xc3\xa9"};
    struct event event = {.kind = EVENT_CREATE, .revision = 1, .created_us = 1700000000000000};
    event.as.create.shape = shape_default();
    event.as.create.shape.width = event.as.create.shape.height = MODEL_SIDE;
    event.as.create.shape.kernels = 3;
    event.as.create.shape.kernel_width = event.as.create.shape.kernel_height = 3;
    event.as.create.shape.hidden = 7;
    event.as.create.settings = settings_default();
    event.as.create.settings.rate = 0.3F; /* not a short double */
    event.as.create.settings.seed = 9007199254740991U;
    event.as.create.settings.rehearsal = MODEL_STEPS - 1;
    event.as.create.settings.rehearsal_buffer = 10; /* of each class: 160 KiB, and soon full */
    event.as.create.settings.jitter = MODEL_STEPS > 1 ? 1.0F : 0.0F;
    event.as.create.settings.rotation = MODEL_STEPS > 1 ? 10.0F : 0.0F;
    event.as.create.n_classes = 3;
    event.as.create.labels = labels;
    return event;
}

/* Under TMPDIR, where it is given. */
UNUSED static void model_folder(struct model *m)
{
    const char *base = getenv("TMPDIR");
    *m = (struct model){0};
    (void)snprintf(m->folder, sizeof m->folder, "%.40s/convd-store-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(m->folder));
    (void)snprintf(m->path, sizeof m->path, "%s/m.db", m->folder);
}

/* In memory, where the machine has such a folder: for tests that open a file thousands of times and are not about the disk. */
UNUSED static void model_folder_in_memory(struct model *m)
{
    if (access("/dev/shm", W_OK | X_OK) != 0) {
        model_folder(m);
        return;
    }
    *m = (struct model){.folder = "/dev/shm/convd-store-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(m->folder));
    (void)snprintf(m->path, sizeof m->path, "%s/m.db", m->folder);
}

UNUSED static void model_make(struct model *m, const struct event *create)
{
    m->learner = learner_create(create, NULL, 0, &m->err);
    ck_assert_msg(m->learner != NULL, "%s", m->err.text);
    must(m, store_create(&m->store, m->path, create, m->learner, &m->err));
}

UNUSED static void model_init_from(struct model *m, const struct event *create)
{
    model_folder(m);
    model_make(m, create);
}

UNUSED static void model_init(struct model *m)
{
    struct event create = model_origin();
    model_init_from(m, &create);
}

UNUSED static void model_fini(struct model *m)
{
    static const char *const names[] = {"", "-wal", "-shm", "-journal"};
    store_close(m->store);
    learner_free(m->learner);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", m->path, names[i]);
        (void)unlink(path);
    }
    ck_assert_msg(rmdir(m->folder) == 0, "%s has something left in it", m->folder);
}

/* ---- events: appended, then applied, as the daemon does ---- */

UNUSED static struct event next_event(struct model *m, enum event_kind kind)
{
    return (struct event){.kind = kind, .revision = m->learner->revision + 1};
}

/* Fills a train event with n samples that depend on the seed alone; memory: static, until the next call. */
UNUSED static struct event train_event(uint64_t revision, uint32_t n, uint32_t n_classes, uint64_t seed)
{
    static struct sample samples[MODEL_SAMPLES];
    static uint8_t pixels[MODEL_SAMPLES][MODEL_PIXELS];
    struct event event = {.kind = EVENT_TRAIN, .revision = revision, .as.train = {.n = n, .samples = samples}};
    ck_assert_uint_le(n, MODEL_SAMPLES);
    for (uint32_t i = 0; i < n; i++) {
        paint(pixels[i], seed * 100 + i);
        samples[i] = (struct sample){.label = (uint32_t)(mix(seed * 31 + i) % n_classes), .pixels = pixels[i]};
    }
    return event;
}

UNUSED static void append_train(struct model *m, uint32_t n, uint64_t seed)
{
    struct event event = train_event(m->learner->revision + 1, n, m->learner->n_classes, seed);
    store_next(m->store, &event);
    must(m, store_append(m->store, &event, &m->err));
    must(m, learner_apply(m->learner, &event, &m->err));
    store_outcomes(m->store, &event);
}

UNUSED static void append_class(struct model *m, enum class_action action, uint32_t index, const char *label)
{
    struct event event = next_event(m, EVENT_CLASS);
    event.as.class_.action = action;
    event.as.class_.index = index;
    (void)snprintf(event.as.class_.label, sizeof event.as.class_.label, "%s", label);
    must(m, learner_reserve(m->learner, index + 1, &m->err));
    must(m, learner_apply(m->learner, &event, &m->err));
    must(m, store_append(m->store, &event, &m->err));
}

UNUSED static void append_tune(struct model *m, float rate, enum gradient gradient)
{
    struct event event = next_event(m, EVENT_TUNE);
    event.as.tune.settings = m->learner->settings;
    event.as.tune.settings.rate = rate;
    event.as.tune.settings.gradient = gradient;
    must(m, learner_apply(m->learner, &event, &m->err));
    must(m, store_append(m->store, &event, &m->err));
}

/* A whole pass over the live samples of that range, at the rate of the settings. */
UNUSED static struct event rehearse_event(struct model *m, int64_t first, int64_t last, uint64_t seed)
{
    struct event event = next_event(m, EVENT_REHEARSE);
    must(m, store_rehearsable(m->store, &first, &last, &event.as.rehearse.n, &m->err));
    ck_assert_uint_gt(event.as.rehearse.n, 0);
    event.as.rehearse.first_id = first;
    event.as.rehearse.last_id = last;
    event.as.rehearse.seed = seed;
    event.as.rehearse.end = event.as.rehearse.n;
    event.as.rehearse.rate = m->learner->settings.rate;
    return event;
}

UNUSED static void append_rehearse(struct model *m, int64_t first, int64_t last, uint64_t seed)
{
    struct event event = rehearse_event(m, first, last, seed);
    must(m, store_rehearse(m->store, m->learner, &event, &m->err));
    must(m, store_append(m->store, &event, &m->err));
}

/* `state`: what the learner was at that revision, kept by the test itself. */
UNUSED static void append_activate(struct model *m, const struct learner *state)
{
    struct event event = next_event(m, EVENT_ACTIVATE);
    event.as.activate.revision = state->revision;
    learner_free(m->learner);
    m->learner = learner_dup(state, true, &m->err);
    ck_assert_ptr_nonnull(m->learner);
    m->learner->revision = event.revision;
    must(m, store_append(m->store, &event, &m->err));
}

#define in_group(m, what)                                                                                              \
    do {                                                                                                               \
        must((m), store_begin((m)->store, &(m)->err));                                                                 \
        what;                                                                                                          \
        must((m), store_commit((m)->store, &(m)->err));                                                                \
    } while (0)

UNUSED static void train(struct model *m, uint32_t n, uint64_t seed)
{
    in_group(m, append_train(m, n, seed));
}

/* An equal state, kept aside. */
UNUSED static struct learner *keep(const struct model *m)
{
    struct learner *copy = learner_dup(m->learner, true, NULL);
    ck_assert_ptr_nonnull(copy);
    return copy;
}

UNUSED static void snapshot(struct model *m)
{
    must(m, store_snapshot(m->store, m->learner, "request", NULL, false, NULL, &m->err));
}

/* ---- comparing ---- */

UNUSED static void same_state(const struct learner *a, const struct learner *b)
{
    uint8_t digest_a[DIGEST_BYTES], digest_b[DIGEST_BYTES];
    learner_digest(a, digest_a);
    learner_digest(b, digest_b);
    ck_assert_uint_eq(a->revision, b->revision);
    ck_assert_uint_eq(a->step, b->step);
    ck_assert_mem_eq(digest_a, digest_b, DIGEST_BYTES);
    ck_assert_mem_eq(&a->tally.drift, &b->tally.drift, sizeof a->tally.drift); /* the digest does not cover it */
}

UNUSED static void model_reopen(struct model *m)
{
    store_close(m->store);
    m->store = NULL;
    must(m, store_open(&m->store, m->path, false, &m->err));
}

/* Closes, opens, recovers and compares with the learner in memory. */

/* The state as of that revision. */
UNUSED static int state_at(struct store *store, uint64_t revision, struct learner **out, struct err *err)
{
    const struct replay_want want = {.target = revision};
    struct store_replayer *replayer;
    *out = NULL;
    int status = store_replayer_open(&replayer, store, &want, err);
    if (status == 0)
        status = store_replayer_step(replayer, UINT64_MAX, err);
    if (status == 0)
        *out = store_replayer_take(replayer);
    store_replayer_close(replayer);
    return status;
}

UNUSED static struct store_recovery recovers(struct model *m)
{
    struct store_recovery report;
    struct learner *back = NULL;
    model_reopen(m);
    must(m, store_recover(m->store, NULL, NULL, NULL, &back, &report, &m->err));
    same_state(back, m->learner);
    learner_free(back);
    return report;
}

UNUSED static void verifies(struct model *m)
{
    struct store_verdict verdict;
    uint8_t digest[DIGEST_BYTES];
    must(m, store_verify(m->store, NULL, NULL, NULL, &verdict, &m->err));
    learner_digest(m->learner, digest);
    ck_assert_mem_eq(verdict.digest, digest, DIGEST_BYTES);
    ck_assert_uint_eq(verdict.revision, m->learner->revision);
    ck_assert_uint_eq(verdict.step, m->learner->step);
}

/* ---- the file, behind the store's back ---- */

/* Closes the store and runs SQL on the file through a connection that checks nothing. */
UNUSED static void tamper(struct model *m, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    store_close(m->store);
    m->store = NULL;
    ck_assert_int_eq(sqlite3_open(m->path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, message);
    ck_assert_msg(sqlite3_total_changes(db) > 0 || strstr(sql, "PRAGMA") != NULL, "%s changed nothing", sql);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* The first column of the first row, as text, of the closed file. */
UNUSED static const char *ask(struct model *m, const char *sql)
{
    static char answer[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    store_close(m->store);
    m->store = NULL;
    ck_assert_int_eq(sqlite3_open(m->path, &db), SQLITE_OK);
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    rc = sqlite3_step(statement);
    ck_assert_msg(rc == SQLITE_ROW, "%s: no row", sql);
    const unsigned char *text = sqlite3_column_text(statement, 0);
    (void)snprintf(answer, sizeof answer, "%s", text != NULL ? (const char *)text : "NULL");
    (void)sqlite3_finalize(statement);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    return answer;
}

/* ---- running ---- */

UNUSED static int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    /* A model's replay buffer is 20 MB that are hardly touched: from the kernel each time, instead of cleared each time. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 17);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
