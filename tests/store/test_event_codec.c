/* test_event_codec.c - events as the bytes that the log's chain is over. Links no SQLite. */
#include <math.h>
#include <stdio.h>

#include "store/log/event_codec.h"
#include "tests/core/run.h"

#define TWICE(text) text text
#define HEX_32      TWICE(TWICE(TWICE("01a2f300"))) /* 32 bytes in hexadecimal digits */
#define SHAPE                                                                                                          \
    "{\"width\":28,\"height\":28,\"channels\":1,\"kernels\":16,\"kernel_width\":5,\"kernel_height\":5,\"stride\":1,"   \
    "\"hidden\":128}"
#define SETTINGS_AT(rate, seed) SETTINGS_AND(rate, seed, "")
#define SETTINGS_AND(rate, seed, later)                                                                                \
    "{\"rate\":" rate ",\"mean\":0.13,\"seed\":" seed                                                                  \
    ",\"normalize\":\"none\",\"gradient\":\"diagonal\",\"fit\":\"contain\","                                           \
    "\"invert\":\"never\",\"rehearsal\":0.0,\"jitter\":0.0,\"rotation\":0.0,\"decay_steps\":0.0,\"clip\":0.0,"         \
    "\"imprint\":0.0,\"rehearsal_first\":0.0,\"output_rate\":1.0,\"rehearsal_idle\":0.0" later "}"
#define SETTINGS SETTINGS_AT("0.05", "42")
#define CREATE(shape, settings, classes, rest)                                                                         \
    "{\"shape\":" shape ",\"settings\":" settings ",\"classes\":" classes ",\"arithmetic\":" rest "}"
#define DRAWN  "\"convd-1\",\"tensors\":\"drawn\",\"digest\":\"" HEX_32 "\""
#define LABELS "[\"a\",\"\\\"b\\\" \\\\ c\",\"\xc3\xa9\"]"

static void fill(uint8_t bytes[32])
{
    static const uint8_t word[4] = {0x01, 0xa2, 0xf3, 0x00};
    for (int i = 0; i < 32; i++)
        bytes[i] = word[i % 4];
}

static struct event create_event(void)
{
    static const char labels[3][LABEL_BYTES_MAX + 1] = {"a", "\"b\" \\ c", "\xc3\xa9"};
    struct event event = {.kind = EVENT_CREATE, .revision = 1};
    event.as.create.shape = shape_default();
    ck_assert_int_eq(shape_check(&event.as.create.shape, 3, NULL), 0);
    event.as.create.settings = settings_default();
    event.as.create.n_classes = 3;
    event.as.create.labels = labels;
    return event;
}

static struct event rehearse_event(void)
{
    struct event event = {.kind = EVENT_REHEARSE};
    event.as.rehearse.first_id = 1;
    event.as.rehearse.last_id = 5000;
    event.as.rehearse.n = 4990;
    event.as.rehearse.seed = 9007199254740991;
    event.as.rehearse.begin = 0;
    event.as.rehearse.end = 512;
    event.as.rehearse.rate = 0.02F;
    event.as.rehearse.jitter = 1;
    event.as.rehearse.rotation = 12.5F;
    return event;
}

static void is_written_as(const struct event *event, const char *expected)
{
    struct err err = {0};
    uint8_t digest[DIGEST_BYTES];
    char *body;
    fill(digest);
    ck_assert_msg(event_encode(&body, event, digest, &err) == 0, "%s", err.text);
    ck_assert_str_eq(body, expected);
    free(body);
}

static void is_not_written(const struct event *event)
{
    struct err err = {0};
    char *body;
    ck_assert_int_eq(event_encode(&body, event, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    ck_assert_ptr_null(body);
}

/* Out of memory of its very size, which a sanitizer watches. */
static int decode(struct event *event, struct origin *origin, const char *body, size_t n, struct err *err)
{
    struct sample_run run;
    char *exact = malloc(n > 0 ? n : 1);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, body, n);
    const int status =
        event->kind == EVENT_CREATE ? origin_decode(origin, exact, n, err) : event_decode(event, &run, exact, n, err);
    free(exact);
    return status;
}

static struct event read_back(enum event_kind kind, const char *body)
{
    struct event event = {.kind = kind};
    struct err err = {0};
    ck_assert_msg(decode(&event, NULL, body, strlen(body), &err) == 0, "%s", err.text);
    return event;
}

START_TEST(a_create_event_comes_back_as_it_was)
{
    static const char body[] = CREATE(SHAPE, SETTINGS, LABELS, DRAWN);
    struct event event = create_event();
    struct origin origin;
    struct err err = {0};
    uint8_t digest[DIGEST_BYTES];
    fill(digest);
    is_written_as(&event, body);
    ck_assert_msg(origin_decode(&origin, body, strlen(body), &err) == 0, "%s", err.text);
    ck_assert_int_eq(origin.event.kind, EVENT_CREATE);
    ck_assert_uint_eq(origin.event.revision, 1);
    ck_assert(!origin.given);
    ck_assert_str_eq(origin.arithmetic, ARITHMETIC_VERSION);
    ck_assert_mem_eq(origin.digest, digest, DIGEST_BYTES);
    ck_assert_mem_eq(&origin.event.as.create.shape, &event.as.create.shape, sizeof event.as.create.shape);
    ck_assert_mem_eq(&origin.event.as.create.settings, &event.as.create.settings, sizeof event.as.create.settings);
    ck_assert_uint_eq(origin.event.as.create.n_classes, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(origin.event.as.create.labels[i], event.as.create.labels[i]);
    origin_fini(&origin);
}
END_TEST

START_TEST(a_create_event_says_that_weights_were_given)
{
    struct event event = create_event();
    struct origin origin;
    const float weight = 0;
    event.as.create.w12 = &weight;
    const char body[] = CREATE(SHAPE, SETTINGS, LABELS, "\"convd-1\",\"tensors\":\"given\",\"digest\":\"" HEX_32 "\"");
    is_written_as(&event, body);
    ck_assert_int_eq(origin_decode(&origin, body, strlen(body), NULL), 0);
    ck_assert(origin.given);
    ck_assert_ptr_null(origin.event.as.create.w12);
    origin_fini(&origin);
}
END_TEST

START_TEST(as_many_classes_as_a_model_may_have_come_back)
{
    static char labels[SHAPE_CLASSES_MAX][LABEL_BYTES_MAX + 1];
    struct event event = create_event();
    struct origin origin;
    struct err err = {0};
    char *body;
    uint8_t digest[DIGEST_BYTES] = {0};
    for (unsigned i = 0; i < SHAPE_CLASSES_MAX; i++)
        (void)snprintf(labels[i], sizeof labels[i], "%064u", i);
    event.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) labels;
    event.as.create.n_classes = SHAPE_CLASSES_MAX;
    ck_assert_int_eq(event_encode(&body, &event, digest, NULL), 0);
    ck_assert_msg(origin_decode(&origin, body, strlen(body), &err) == 0, "%s", err.text);
    ck_assert_uint_eq(origin.event.as.create.n_classes, SHAPE_CLASSES_MAX);
    ck_assert_mem_eq(origin.labels, labels, sizeof labels);
    origin_fini(&origin);
    free(body);
}
END_TEST

START_TEST(a_train_event_comes_back_as_its_run)
{
    struct sample samples[3] = {{.id = 513}, {.id = 514}, {.id = 515}};
    struct event event = {.kind = EVENT_TRAIN};
    struct sample_run run;
    static const char body[] = "{\"first\":513,\"n\":3}";
    is_written_as(&event, "{\"first\":0,\"n\":0}");
    event.as.train.samples = samples;
    event.as.train.n = 3;
    is_written_as(&event, body);
    event.as.train.n = 0;
    ck_assert_int_eq(event_decode(&event, &run, body, strlen(body), NULL), 0);
    ck_assert_int_eq(run.first, 513);
    ck_assert_uint_eq(run.n, 3);
    ck_assert_uint_eq(event.as.train.n, 3);
}
END_TEST

START_TEST(a_class_event_comes_back_as_it_was)
{
    struct event event = {.kind = EVENT_CLASS};
    event.as.class_.action = CLASS_ADD;
    event.as.class_.index = 10;
    (void)snprintf(event.as.class_.label, sizeof event.as.class_.label, "it's \"\xc3\xa9\" \\");
    static const char added[] = "{\"action\":\"add\",\"index\":10,\"label\":\"it's \\\"\xc3\xa9\\\" \\\\\"}";
    is_written_as(&event, added);
    struct event back = read_back(EVENT_CLASS, added);
    ck_assert_int_eq(back.as.class_.action, CLASS_ADD);
    ck_assert_uint_eq(back.as.class_.index, 10);
    ck_assert_str_eq(back.as.class_.label, event.as.class_.label);
    static const char renamed[] = "{\"action\":\"rename\",\"index\":0,\"label\":\"y\"}";
    back = read_back(EVENT_CLASS, renamed);
    ck_assert_int_eq(back.as.class_.action, CLASS_RENAME);
    is_written_as(&back, renamed);
}
END_TEST

START_TEST(a_tune_event_comes_back_as_it_was)
{
    struct event event = {.kind = EVENT_TUNE, .as.tune.settings = settings_default()};
    struct settings *s = &event.as.tune.settings;
    s->rate = 0.3F;
    s->mean = -0.5F;
    s->seed = 9007199254740991;
    s->gradient = GRADIENT_JACOBIAN;
    s->fit = FIT_STRETCH;
    s->invert = INVERT_AUTO;
    s->rehearsal = 4;
    s->jitter = 1.5F;
    s->rotation = 10;
    s->decay_steps = 1e9F;
    s->clip = 1e-5F;
    s->normalize = NORMALIZE_STD;
    s->imprint = 5;
    s->rehearsal_first = 64;
    s->output_rate = 0.3F;
    s->rehearsal_idle = 300;
    s->rehearsal_buffer = 2000;
    static const char body[] =
        "{\"settings\":{\"rate\":0.3,\"mean\":-0.5,\"seed\":9007199254740991,\"normalize\":\"std\",\"gradient\":"
        "\"jacobian\","
        "\"fit\":\"stretch\",\"invert\":\"auto\",\"rehearsal\":4.0,\"jitter\":1.5,\"rotation\":10.0,"
        "\"decay_steps\":1000000000.0,\"clip\":1.0e-05,\"imprint\":5.0,\"rehearsal_first\":64.0,\"output_rate\":0.3,"
        "\"rehearsal_idle\":300.0,\"rehearsal_buffer\":2000.0}}";
    is_written_as(&event, body);
    struct event back = read_back(EVENT_TUNE, body);
    ck_assert_mem_eq(&back.as.tune.settings, s, sizeof *s);
}
END_TEST

START_TEST(a_rehearse_event_comes_back_as_it_was)
{
    struct event event = rehearse_event();
    static const char body[] = "{\"first\":1,\"last\":5000,\"n\":4990,\"seed\":9007199254740991,\"begin\":0,"
                               "\"end\":512,\"rate\":0.02,\"jitter\":1.0,\"rotation\":12.5}";
    is_written_as(&event, body);
    struct event back = read_back(EVENT_REHEARSE, body);
    ck_assert_mem_eq(&back.as.rehearse, &event.as.rehearse, sizeof event.as.rehearse);
}
END_TEST

START_TEST(an_activate_event_comes_back_as_it_was)
{
    struct event event = {.kind = EVENT_ACTIVATE, .as.activate.revision = 812};
    is_written_as(&event, "{\"revision\":812}");
    ck_assert_uint_eq(read_back(EVENT_ACTIVATE, "{\"revision\":812}").as.activate.revision, 812);
}
END_TEST

START_TEST(an_edit_event_comes_back_as_it_was)
{
    struct event event = {.kind = EVENT_EDIT, .as.edit = {.number = 7, .from = 40, .n = 3}};
    fill(event.as.edit.rows);
    static const char body[] = "{\"number\":7,\"from\":40,\"samples\":3,\"rows\":\"" HEX_32 "\"}";
    is_written_as(&event, body);
    struct event back = read_back(EVENT_EDIT, body);
    ck_assert_uint_eq(back.as.edit.number, 7);
    ck_assert_uint_eq(back.as.edit.from, 40);
    ck_assert_uint_eq(back.as.edit.n, 3);
    ck_assert_mem_eq(back.as.edit.rows, event.as.edit.rows, 32);
}
END_TEST

START_TEST(a_ground_event_comes_back_as_it_was)
{
    struct event event = {.kind = EVENT_BASELINE, .as.baseline = {"convd-2", "convd-1", 900, {0}, 0}};
    fill(event.as.baseline.digest);
    static const char body[] =
        "{\"arithmetic\":\"convd-2\",\"before\":\"convd-1\",\"from\":900,\"digest\":\"" HEX_32 "\"}";
    is_written_as(&event, body);
    struct event back = read_back(EVENT_BASELINE, body);
    ck_assert_str_eq(back.as.baseline.arithmetic, "convd-2");
    ck_assert_str_eq(back.as.baseline.before, "convd-1");
    ck_assert_uint_eq(back.as.baseline.from, 900);
    ck_assert_mem_eq(back.as.baseline.digest, event.as.baseline.digest, 32);
}
END_TEST

START_TEST(a_float_comes_back_to_the_bit_from_the_fewest_digits)
{
    for (uint32_t bits = 0; bits <= 0x42c80000; bits += run_exhaustive() ? 61 : 40009) { /* 0 .. 100 */
        struct event event = rehearse_event();
        char *body, text[40];
        memcpy(&event.as.rehearse.rate, &bits, sizeof bits);
        ck_assert_int_eq(event_encode(&body, &event, NULL, NULL), 0);
        const float back = read_back(EVENT_REHEARSE, body).as.rehearse.rate;
        ck_assert_mem_eq(&back, &event.as.rehearse.rate, sizeof back);
        for (int digits = 1; digits <= 9; digits++) {
            (void)snprintf(text, sizeof text, "%.*g", digits, (double)back);
            if ((float)strtod(text, NULL) == back)
                break;
        }
        ck_assert_msg(strtod(strstr(body, "\"rate\":") + 7, NULL) == strtod(text, NULL), "%s for %s", body, text);
        free(body);
    }
}
END_TEST

START_TEST(what_could_not_be_read_is_not_written)
{
    struct event event = rehearse_event();
    event.as.rehearse.seed = 9007199254740992;
    is_not_written(&event);
    event = rehearse_event();
    event.as.rehearse.end = event.as.rehearse.n + 1;
    is_not_written(&event);
    event = rehearse_event();
    event.as.rehearse.rate = NAN;
    is_not_written(&event);
    event.as.rehearse.rate = INFINITY;
    is_not_written(&event);
    event = (struct event){.kind = EVENT_ACTIVATE, .as.activate.revision = 0};
    is_not_written(&event);
    event = (struct event){.kind = EVENT_CLASS, .as.class_ = {CLASS_ADD, 1, "a\nb"}};
    is_not_written(&event);
    event = (struct event){.kind = EVENT_TUNE, .as.tune.settings = settings_default()};
    event.as.tune.settings.rate = -1;
    is_not_written(&event);
}
END_TEST

#define REHEARSE(seed, rest)                                                                                           \
    "{\"first\":1,\"last\":10,\"n\":10,\"seed\":" seed ",\"begin\":0,\"end\":5,\"rate\":" rest "}"
#define CLASS(index, label) "{\"action\":\"add\",\"index\":" index ",\"label\":" label "}"

/* Each after one that is good, of which it is a step away. */
static const struct {
    enum event_kind kind;
    bool good;
    const char *body;
} bodies[] = {
    {EVENT_ACTIVATE, true, "{\"revision\":5}"},
    {EVENT_ACTIVATE, false, ""},
    {EVENT_ACTIVATE, false, "x"},
    {EVENT_ACTIVATE, false, "{}"},
    {EVENT_ACTIVATE, false, "[5]"},
    {EVENT_ACTIVATE, false, "{\"revision\":5"},
    {EVENT_ACTIVATE, false, "{\"revision\":"},
    {EVENT_ACTIVATE, false, "{\"revision\":}"},
    {EVENT_ACTIVATE, false, "{\"revision\":5} "},
    {EVENT_ACTIVATE, false, "{\"revision\":5}{\"revision\":5}"},
    {EVENT_ACTIVATE, false, " {\"revision\":5}"},
    {EVENT_ACTIVATE, false, "{\"revision\": 5}"},
    {EVENT_ACTIVATE, false, "{\"revision\":5,\"revision\":5}"},
    {EVENT_ACTIVATE, false, "{\"revision\":5,\"more\":1}"},
    {EVENT_ACTIVATE, false, "{\"Revision\":5}"},
    {EVENT_ACTIVATE, false, "{\"revision\":\"5\"}"},
    {EVENT_ACTIVATE, false, "{\"revision\":null}"},
    {EVENT_ACTIVATE, false, "{\"revision\":true}"},
    {EVENT_ACTIVATE, false, "{\"revision\":[5]}"},
    {EVENT_ACTIVATE, false, "{\"revision\":0}"},
    {EVENT_ACTIVATE, false, "{\"revision\":-5}"},
    {EVENT_ACTIVATE, false, "{\"revision\":05}"},
    {EVENT_ACTIVATE, false, "{\"revision\":+5}"},
    {EVENT_ACTIVATE, false, "{\"revision\":5.0}"},
    {EVENT_ACTIVATE, false, "{\"revision\":5e0}"},
    {EVENT_ACTIVATE, true, "{\"revision\":9007199254740991}"},
    {EVENT_ACTIVATE, false, "{\"revision\":9007199254740992}"},
    {EVENT_ACTIVATE, false, "{\"revision\":18446744073709551621}"},
    {EVENT_ACTIVATE, false, "{\"revision\":99999999999999999999999999999999}"},

    {EVENT_TRAIN, false, "{\"first\":513,\"n\":3,\"refused\":[514]}"},
    {EVENT_TRAIN, true, "{\"first\":513,\"n\":3}"},
    {EVENT_TRAIN, true, "{\"first\":0,\"n\":0}"},
    {EVENT_TRAIN, false, "{\"n\":3,\"first\":513}"},
    {EVENT_TRAIN, false, "{\"first\":513}"},
    {EVENT_TRAIN, false, "{\"first\":-1,\"n\":3}"},
    {EVENT_TRAIN, false, "{\"first\":513,\"n\":1.5}"},
    {EVENT_TRAIN, true, "{\"first\":513,\"n\":4294967295}"},
    {EVENT_TRAIN, false, "{\"first\":513,\"n\":4294967296}"},

    {EVENT_CLASS, true, CLASS("1023", "\"x\"")},
    {EVENT_CLASS, false, CLASS("1024", "\"x\"")},
    {EVENT_CLASS, false, CLASS("1", "x")},
    {EVENT_CLASS, false, CLASS("1", "\"x")},
    {EVENT_CLASS, false, CLASS("1", "7")},
    {EVENT_CLASS, false, CLASS("1", "\"\"")},
    {EVENT_CLASS, false, CLASS("1", "\" x\"")},
    {EVENT_CLASS, false, CLASS("1", "\"a\nb\"")},
    {EVENT_CLASS, false, CLASS("1", "\"a\\nb\"")},
    {EVENT_CLASS, false, CLASS("1", "\"\\u0061\"")},
    {EVENT_CLASS, false, CLASS("1", "\"\\/\"")},
    {EVENT_CLASS, false, CLASS("1", "\"\xff\"")},
    {EVENT_CLASS, false, "{\"action\":\"add\",\"index\":1,\"label\":\"\\"},
    {EVENT_CLASS, false, "{\"action\":\"add\",\"index\":1,\"label\":\"\\\""},
    {EVENT_CLASS, false, "{\"action\":\"added\",\"index\":1,\"label\":\"x\"}"},
    {EVENT_CLASS, false, "{\"action\":\"\",\"index\":1,\"label\":\"x\"}"},
    {EVENT_CLASS, false, "{\"action\":\"rename and more of it\",\"index\":1,\"label\":\"x\"}"},
    {EVENT_CLASS, true, CLASS("1", "\"0123456789012345678901234567890123456789012345678901234567890123\"")},
    {EVENT_CLASS, false, CLASS("1", "\"01234567890123456789012345678901234567890123456789012345678901234\"")},

    {EVENT_TUNE, true, "{\"settings\":" SETTINGS "}"},
    {EVENT_TUNE, true, "{\"settings\":" SETTINGS_AT("100.0", "9007199254740991") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("100.00001", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("-0.05", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("0.050", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("5.0e-02", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("1", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT(".5", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("0x1p0", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("NaN", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("nan.0", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("1e400", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("inf.0", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("\"fast\"", "42") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("0.05", "42.0") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("0.05", "9007199254740992") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AT("0.05", "42,\"seed\":42") "}"},
    {EVENT_TUNE, true, "{\"settings\":" SETTINGS_AND("0.05", "42", ",\"rehearsal_buffer\":999.0") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AND("0.05", "42", ",\"rehearsal_buffer\":1000.0") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AND("0.05", "42", ",\"rehearsal_buffer\":999") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AND("0.05", "42", ",\"rehearsal_buffer\":999.5") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AND("0.05", "42", ",\"rehearsal_buffer\":0.0") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AND("0.05", "42", ",\"rehearsal_buffer\"") "}"},
    {EVENT_TUNE, false, "{\"settings\":" SETTINGS_AND("0.05", "42", ",\"rehearsal_buffers\":999.0") "}"},
    {EVENT_TUNE, false,
     "{\"settings\":" SETTINGS_AND("0.05", "42", ",\"rehearsal_buffer\":999.0,\"rehearsal_buffer\":999.0") "}"},
    {EVENT_TUNE, false, "{\"settings\":{}}"},
    {EVENT_TUNE, false, "{\"settings\":3}"},

    {EVENT_REHEARSE, true, REHEARSE("7", "0.1,\"jitter\":0.0,\"rotation\":0.0")},
    {EVENT_REHEARSE, false, REHEARSE("7", "0.1,\"jitter\":17.0,\"rotation\":0.0")},
    {EVENT_REHEARSE, false, REHEARSE("7", "0.1,\"jitter\":0.0,\"rotation\":46.0")},
    {EVENT_REHEARSE, false, REHEARSE("7", "0.1,\"jitter\":0.0")},
    {EVENT_REHEARSE, false, REHEARSE("-7", "0.1,\"jitter\":0.0,\"rotation\":0.0")},
    {EVENT_REHEARSE, false, REHEARSE("9007199254740992", "0.1,\"jitter\":0.0,\"rotation\":0.0")},
    {EVENT_REHEARSE, false, REHEARSE("18446744073709551615", "0.1,\"jitter\":0.0,\"rotation\":0.0")},

    {EVENT_EDIT, true, "{\"number\":7,\"from\":40,\"samples\":3,\"rows\":\"" HEX_32 "\"}"},
    {EVENT_EDIT, false, "{\"number\":0,\"from\":40,\"samples\":3,\"rows\":\"" HEX_32 "\"}"},
    {EVENT_EDIT, false, "{\"number\":7,\"from\":0,\"samples\":3,\"rows\":\"" HEX_32 "\"}"},
    {EVENT_EDIT, false, "{\"number\":7,\"from\":40,\"samples\":4294967296,\"rows\":\"" HEX_32 "\"}"},
    {EVENT_EDIT, false, "{\"number\":7,\"from\":40,\"samples\":3,\"rows\":\"01a2\"}"},
    {EVENT_EDIT, false, "{\"number\":7,\"from\":40,\"samples\":3,\"rows\":\"" HEX_32 "00\"}"},
    {EVENT_EDIT, false, "{\"number\":7,\"from\":40,\"samples\":3,\"rows\":\"" TWICE(TWICE(TWICE("01A2F300"))) "\"}"},
    {EVENT_EDIT, false, "{\"number\":7,\"from\":40,\"samples\":3,\"rows\":\"" TWICE(TWICE(TWICE("01g2f300"))) "\"}"},

    {EVENT_BASELINE, true, "{\"arithmetic\":\"a\",\"before\":\"b\",\"from\":9,\"digest\":\"" HEX_32 "\"}"},
    {EVENT_BASELINE, false, "{\"arithmetic\":\"\",\"before\":\"b\",\"from\":9,\"digest\":\"" HEX_32 "\"}"},
    {EVENT_BASELINE, false, "{\"arithmetic\":\"a\",\"before\":1,\"from\":9,\"digest\":\"" HEX_32 "\"}"},
    {EVENT_BASELINE, false,
     "{\"arithmetic\":\"01234567890123456789012345678901\",\"before\":\"b\",\"from\":9,\"digest\":\"" HEX_32 "\"}"},

    {EVENT_IDLE, true, "{\"steps\":1}"},
    {EVENT_IDLE, true, "{\"steps\":8192}"},
    {EVENT_IDLE, false, "{\"steps\":0}"},
    {EVENT_IDLE, false, "{\"steps\":8193}"},
    {EVENT_IDLE, false, "{\"steps\":4294967297}"},
    {EVENT_IDLE, false, "{\"steps\":1.0}"},

    {EVENT_CREATE, true, CREATE(SHAPE, SETTINGS, LABELS, DRAWN)},
    {EVENT_CREATE, false, CREATE("{}", SETTINGS, LABELS, DRAWN)},
    {EVENT_CREATE, false, CREATE("{\"width\":28,\"height\":28}", SETTINGS, LABELS, DRAWN)},
    {EVENT_CREATE, false,
     CREATE("{\"width\":100000,\"height\":28,\"channels\":1,\"kernels\":16,\"kernel_width\":5,\"kernel_height\":5,"
            "\"stride\":1,\"hidden\":128}",
            SETTINGS, LABELS, DRAWN)},
    {EVENT_CREATE, false, CREATE(SHAPE, "{}", LABELS, DRAWN)},
    {EVENT_CREATE, true, CREATE(SHAPE, SETTINGS, "[]", DRAWN)},
    {EVENT_CREATE, false, CREATE(SHAPE, SETTINGS, "3", DRAWN)},
    {EVENT_CREATE, false, CREATE(SHAPE, SETTINGS, "[\"a\",\"b\"", DRAWN)},
    {EVENT_CREATE, false, CREATE(SHAPE, SETTINGS, "[\"a\",\"b\",]", DRAWN)},
    {EVENT_CREATE, false, CREATE(SHAPE, SETTINGS, "[\"a\",7]", DRAWN)},
    {EVENT_CREATE, false, CREATE(SHAPE, SETTINGS, "[[\"a\",\"b\"]]", DRAWN)},
    {EVENT_CREATE, false, CREATE(SHAPE, SETTINGS, "[\"a\",\"\"]", DRAWN)},
    {EVENT_CREATE, false,
     CREATE(SHAPE, SETTINGS, LABELS, "\"convd-1\",\"tensors\":\"lost\",\"digest\":\"" HEX_32 "\"")},
    {EVENT_CREATE, false, CREATE(SHAPE, SETTINGS, LABELS, "\"convd-1\",\"tensors\":\"drawn\",\"digest\":\"00\"")},
};

START_TEST(a_body_is_read_in_its_one_form_and_no_other)
{
    struct event event = {.kind = bodies[_i].kind};
    struct origin origin = {0};
    struct err err = {0};
    const char *body = bodies[_i].body;
    const int status = decode(&event, &origin, body, strlen(body), &err);
    ck_assert_msg((status == 0) == bodies[_i].good, "%s: %s", body, err.text);
    if (!bodies[_i].good) {
        ck_assert_int_eq(err.code, ERR_DB_CORRUPT);
        ck_assert_ptr_nonnull(strstr(err.text, "the body's "));
    }
    origin_fini(&origin);
}
END_TEST

/* What was read from a body, as it is written. */
static char *written(const struct event *event, const struct origin *origin)
{
    static const float weight = 0;
    struct event copy = event->kind == EVENT_CREATE ? origin->event : *event;
    struct err err = {0};
    char *body;
    if (event->kind == EVENT_CREATE && origin->given)
        copy.as.create.w12 = &weight;
    ck_assert_msg(event_encode(&body, &copy, origin->digest, &err) == 0, "%s", err.text);
    return body;
}

START_TEST(a_body_with_any_byte_changed_is_refused_or_another_event)
{
    const char *body = bodies[_i].body;
    const size_t n = strlen(body);
    char changed[1200];
    if (!bodies[_i].good || bodies[_i].kind == EVENT_TRAIN) /* whose samples are not in the body */
        return;
    ck_assert_uint_lt(n, sizeof changed);
    for (size_t at = 0; at < n; at++) {
        struct event event = {.kind = bodies[_i].kind};
        struct origin origin = {0};
        ck_assert_int_eq(decode(&event, &origin, body, at, NULL), -1);
        origin_fini(&origin);
        for (unsigned byte = 0; byte < 256; byte += COARSE ? 7 : 1) {
            memcpy(changed, body, n + 1);
            changed[at] = (char)byte;
            event = (struct event){.kind = bodies[_i].kind};
            if (decode(&event, &origin, changed, n, NULL) == 0 &&
                (event.kind != EVENT_CREATE || strcmp(origin.arithmetic, ARITHMETIC_VERSION) == 0)) {
                char *again = written(&event, &origin);
                ck_assert_uint_eq(strlen(again), n);
                ck_assert_mem_eq(again, changed, n);
                free(again);
            }
            origin_fini(&origin);
        }
    }
}
END_TEST

int main(void)
{
    const int n_bodies = (int)(sizeof bodies / sizeof *bodies);
    TCase *t = tcase_create("event codec");
    tcase_add_test(t, a_create_event_comes_back_as_it_was);
    tcase_add_test(t, a_create_event_says_that_weights_were_given);
    tcase_add_test(t, as_many_classes_as_a_model_may_have_come_back);
    tcase_add_test(t, a_train_event_comes_back_as_its_run);
    tcase_add_test(t, a_class_event_comes_back_as_it_was);
    tcase_add_test(t, a_tune_event_comes_back_as_it_was);
    tcase_add_test(t, a_rehearse_event_comes_back_as_it_was);
    tcase_add_test(t, an_activate_event_comes_back_as_it_was);
    tcase_add_test(t, an_edit_event_comes_back_as_it_was);
    tcase_add_test(t, a_ground_event_comes_back_as_it_was);
    tcase_add_test(t, a_float_comes_back_to_the_bit_from_the_fewest_digits);
    tcase_add_test(t, what_could_not_be_read_is_not_written);
    tcase_add_loop_test(t, a_body_is_read_in_its_one_form_and_no_other, 0, n_bodies);
    tcase_add_loop_test(t, a_body_with_any_byte_changed_is_refused_or_another_event, 0, n_bodies);
    return run_case(t, "event codec");
}
