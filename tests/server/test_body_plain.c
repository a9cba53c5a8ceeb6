/* test_body_plain.c - server/payload/body.h: JSON read without a tree means what the tree says, or is left to it.
 *
 * The tree is asked by escaping a letter of each "pixels": the same document, but no longer a plain one.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/text.h"
#include "server/payload/body.h"

static struct image_limits limits = {.pixels_max = 1000};

#define FORMS (sizeof forms / sizeof forms[0])

static const char labels[3][LABEL_BYTES_MAX + 1] = {"a", "seven 7", "\xC3\xA9"};

/* P stands for the pixels of one image. */
static const struct form {
    const char *text;
    bool labelled, labels_given, lines;
} forms[] = {
    {"{\"image\":{\"pixels\":P}}", false, false, false},
    {" {\n\"image\" : { \"pixels\"\t: P\r} } \n", false, false, false},
    {"{\"images\":[{\"pixels\":P},{\"pixels\":P} , {\"pixels\":P}]}", false, false, false},
    {"{\"images\":[{\"pixels\":P},{\"pixels\":P}]}", true, true, false},
    {"{\"image\":{\"pixels\":P},\"label\":\"seven 7\"}", true, false, false},
    {"{\"label\":\"a\" , \"image\":{\"pixels\":P}}", true, false, false},
    {"{\"image\":{\"pixels\":P}}", true, true, false},
    {"{\"samples\":[{\"label\":\"a\",\"image\":{\"pixels\":P}},{\"image\":{\"pixels\":P},\"label\":\"seven 7\"}]}",
     true, false, false},
    {"{\"samples\":[{\"image\":{\"pixels\":P}}]}", true, true, false},
    {"{\"image\":{\"pixels\":P}}\n{\"image\":{\"pixels\":P}}\n\n", false, false, true},
    {"{\"label\":\"seven 7\",\"image\":{\"pixels\":P}}\n", true, false, true},
};

static struct learner *learner_of(uint32_t channels)
{
    struct event event = {.kind = EVENT_CREATE, .revision = 1};
    event.as.create.shape = (struct shape){.width = 4, .height = 3, .channels = channels, .hidden = 2};
    event.as.create.settings = settings_default();
    event.as.create.n_classes = 3;
    event.as.create.labels = labels;
    struct err err = {0};
    struct learner *learner = learner_create(&event, NULL, 0, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    return learner;
}

static uint32_t draw(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % n;
}

/* The pixels of an image as a list with that many dimensions. */
static void add_pixels(struct text *text, const struct shape *shape, unsigned n_dims, uint32_t *state)
{
    const size_t flat[] = {shape->n_input}, nested[] = {shape->channels, shape->height, shape->width};
    const size_t *dims = n_dims == 1 ? flat : nested + (3 - n_dims);
    const size_t n_rows = n_dims == 3 ? dims[0] * dims[1] : n_dims == 2 ? dims[0] : 1, n_row = dims[n_dims - 1];
    const char *open[] = {"", "[", "[[", "[[["}, *close[] = {"", "]", "]]", "]]]"};
    for (size_t row = 0; row < n_rows; row++) {
        const bool plane_first = n_dims == 3 && row % dims[1] == 0,
                   plane_last = n_dims == 3 && (row + 1) % dims[1] == 0;
        const unsigned n_open = row == 0 ? n_dims : plane_first ? 2 : 1;
        const unsigned n_close = row + 1 == n_rows ? n_dims : plane_last ? 2 : 1;
        text_add_string(text, row == 0 ? "" : ",");
        text_add_string(text, open[n_open]);
        for (size_t i = 0; i < n_row; i++) {
            static const char *const spaces[] = {"", "", "", " ", "\t"};
            text_add_string(text, i == 0 ? "" : ",");
            text_add_string(text, spaces[draw(state, 5)]);
            text_add_u64(text, draw(state, 3) == 0 ? draw(state, 256) : 0);
            text_add_string(text, spaces[draw(state, 5)]);
        }
        text_add_string(text, close[n_close]);
    }
}

static void write_form(struct text *text, const char *form, const struct shape *shape, unsigned n_dims, uint32_t *state)
{
    text_clear(text);
    for (; *form != '\0'; form++)
        if (*form == 'P')
            add_pixels(text, shape, n_dims, state);
        else
            text_add(text, form, 1);
}

/* The same document with an escape in each "pixels". Returns how many there were. */
static unsigned write_escaped(struct text *text, const char *bytes, size_t n)
{
    static const char plain[] = "\"pixels\"";
    unsigned n_found = 0;
    text_clear(text);
    for (size_t i = 0; i < n;) {
        bool found = n - i >= strlen(plain) && memcmp(bytes + i, plain, strlen(plain)) == 0;
        text_add_string(text, found ? "\"pixel\\u0073\"" : "");
        text_add(text, bytes + i, found ? 0 : 1);
        n_found += found;
        i += found ? strlen(plain) : 1;
    }
    return n_found;
}

static struct body_rules rules_of(const struct learner *learner, const struct form *form)
{
    return (struct body_rules){
        .learner = learner, .labelled = form->labelled, .flat = true, .limits = &limits, .images_max = 8};
}

static int decode(struct batch *batch, const struct text *text, const struct form *form, const struct learner *learner)
{
    struct body_rules rules = rules_of(learner, form);
    struct body_source source = {(const uint8_t *)text->bytes, text->n,
                                 form->lines ? "application/x-ndjson" : "application/json",
                                 form->labels_given ? "a" : NULL, NULL};
    struct err err;
    return body_decode(batch, &source, &rules, &err);
}

static bool equal(const struct batch *a, const struct batch *b, size_t n_input, bool labelled)
{
    return a->n == b->n && a->many == b->many && memcmp(a->pixels, b->pixels, a->n * n_input) == 0 &&
           (!labelled || (memcmp(a->labels, b->labels, a->n * sizeof *a->labels) == 0 && a->names.n == b->names.n &&
                          memcmp(a->names.list, b->names.list, a->names.n * sizeof *a->names.list) == 0));
}

/* Is taken as plain, and means the same to the tree. */
static void check_form(const struct form *form, const struct learner *learner, unsigned n_dims, uint32_t *state)
{
    struct text text = {0}, escaped = {0};
    struct batch fast = {0}, slow = {0};
    write_form(&text, form->text, &learner->shape, n_dims, state);
    ck_assert_uint_gt(write_escaped(&escaped, text.bytes, text.n), 0);
    if (!form->lines) {
        struct body_rules rules = rules_of(learner, form);
        ck_assert_msg(body_plain(&fast, (const uint8_t *)text.bytes, text.n, &rules, form->labels_given, true), "%.*s",
                      (int)text.n, text.bytes);
        ck_assert(!body_plain(&slow, (const uint8_t *)escaped.bytes, escaped.n, &rules, form->labels_given, true));
        ck_assert_uint_eq(slow.n, 0);
        batch_fini(&fast);
        batch_fini(&slow);
    }
    ck_assert_int_eq(decode(&fast, &text, form, learner), 0);
    ck_assert_int_eq(decode(&slow, &escaped, form, learner), 0);
    ck_assert(equal(&fast, &slow, learner->shape.n_input, form->labelled));
    batch_fini(&fast);
    batch_fini(&slow);
    text_free(&text);
    text_free(&escaped);
}

START_TEST(every_plain_form_is_taken_and_means_what_the_tree_says)
{
    struct learner *learner = learner_of(_i == 0 ? 1 : 2);
    uint32_t state = 1;
    for (size_t f = 0; f < FORMS; f++)
        for (int turn = 0; turn < 20; turn++)
            for (unsigned n_dims = 1; n_dims <= 3; n_dims++)
                if (n_dims != 2 || learner->shape.channels == 1)
                    check_form(&forms[f], learner, n_dims, &state);
    learner_free(learner);
}
END_TEST

START_TEST(what_is_not_plain_is_left_to_the_tree_and_leaves_no_trace)
{
    static const char *const others[] = {
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0.0]}}", /* right, but not plain */
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,1e2]}}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,-0]}}",
        "{\"im\\u0061ge\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0]}}",
        "{\"image\":{\"b64\":\"AAAAAAAAAAAAAAAA\"}}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,256]}}", /* wrong */
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,1000]}}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,00]}}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,01]}}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,]}}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0]}}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0,0]}}",
        "{\"image\":{\"pixels\":[[0,0,0,0],[0,0,0,0],[0,0,0]]}}",
        "{\"image\":{\"pixels\":[[0,0,0,0],[0,0,0,0]]}}",
        "{\"image\":{\"pixels\":[[[[0,0,0,0],[0,0,0,0],[0,0,0,0]]]]}}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0]},\"label\":\"a\"}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0]}}x",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0]}",
        "{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0],\"pixels\":[0]}}",
        "{\"images\":[{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0]}],\"more\":1}",
        "{\"images\":[{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0]},{\"pixels\":[1]}]}",
        "{\"images\":[]}",
        "{\"samples\":[{\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,0]}}]}",
        "[]",
        "{",
        "",
    };
    struct learner *learner = learner_of(1);
    struct body_rules rules = {.learner = learner, .labelled = false, .limits = &limits, .images_max = 8};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct batch batch = {0};
        ck_assert_msg(!body_plain(&batch, (const uint8_t *)others[i], strlen(others[i]), &rules, false, true), "%s",
                      others[i]);
        ck_assert_uint_eq(batch.n, 0);
        ck_assert(!batch.many);
        batch_fini(&batch);
    }
    learner_free(learner);
}
END_TEST

START_TEST(a_plain_body_with_a_label_that_is_none_is_refused_by_the_tree_with_its_place)
{
    static const char text[] = "{\"samples\":[{\"label\":\"b \",\"image\":{\"pixels\":[0,0,0,0,0,0,0,0,0,0,0,1]}}]}";
    struct learner *learner = learner_of(1);
    struct body_rules rules = {.learner = learner, .labelled = true, .limits = &limits, .images_max = 8};
    struct body_source source = {(const uint8_t *)text, strlen(text), "application/json", NULL, NULL};
    struct batch batch;
    struct err err;
    ck_assert_int_eq(body_decode(&batch, &source, &rules, &err), -1);
    ck_assert_int_eq(err.code, ERR_LABEL_INVALID);
    ck_assert_str_eq(err.pointer, "/samples/0/label");
    ck_assert_ptr_null(batch.owned);
    learner_free(learner);
}
END_TEST

START_TEST(more_plain_images_than_are_allowed_are_refused)
{
    const struct form form = {"{\"images\":[{\"pixels\":P},{\"pixels\":P},{\"pixels\":P}]}", false, false, false};
    struct learner *learner = learner_of(1);
    uint32_t state = 3;
    struct text text = {0};
    struct batch batch;
    struct err err;
    write_form(&text, form.text, &learner->shape, 1, &state);
    struct body_source source = {(const uint8_t *)text.bytes, text.n, "application/json", NULL, NULL};
    struct body_rules rules = {.learner = learner, .labelled = false, .limits = &limits, .images_max = 2};
    ck_assert_int_eq(body_decode(&batch, &source, &rules, &err), -1);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    rules.images_max = 3;
    ck_assert_int_eq(body_decode(&batch, &source, &rules, &err), 0);
    ck_assert_uint_eq(batch.n, 3);
    batch_fini(&batch);
    text_free(&text);
    learner_free(learner);
}
END_TEST

/* A byte changed, dropped, doubled or put in; most such documents are wrong, some are right and mean something else. */
static void mutate(struct text *text, uint32_t *state)
{
    static const char bytes[] = "0123456789[]{},:\"\\ \n.eE+-plau\x00\xc3";
    const uint32_t at = draw(state, (uint32_t)text->n), what = draw(state, 4);
    char *place = text->bytes + at;
    if (what == 0) {
        *place = bytes[draw(state, sizeof bytes - 1)];
    } else if (what == 1) {
        memmove(place, place + 1, --text->n - at);
    } else if (text_reserve(text, 1)) {
        place = text->bytes + at;
        memmove(place + 1, place, text->n++ - at);
        if (what == 2)
            *place = bytes[draw(state, sizeof bytes - 1)];
    }
}

START_TEST(of_a_hundred_thousand_mutilated_documents_none_is_read_otherwise_than_by_the_tree)
{
    struct learner *learner = learner_of(1);
    struct text text = {0}, escaped = {0};
    uint32_t state = 2;
    unsigned n_taken = 0, n_left = 0;
    for (int turn = 0; turn < 100000; turn++) {
        const struct form *form = &forms[draw(&state, FORMS)];
        struct batch fast = {0}, slow = {0};
        write_form(&text, form->text, &learner->shape, 1 + draw(&state, 3), &state);
        mutate(&text, &state);
        struct body_rules rules = rules_of(learner, form);
        (void)write_escaped(&escaped, text.bytes, text.n);
        bool taken =
            !form->lines && body_plain(&fast, (const uint8_t *)text.bytes, text.n, &rules, form->labels_given, true);
        batch_fini(&fast);
        int status = decode(&fast, &text, form, learner);
        ck_assert_msg(decode(&slow, &escaped, form, learner) == status, "%.*s", (int)text.n, text.bytes);
        ck_assert(!taken || status == 0);
        if (status == 0)
            ck_assert_msg(equal(&fast, &slow, learner->shape.n_input, form->labelled), "%.*s", (int)text.n, text.bytes);
        n_taken += taken;
        n_left += status != 0;
        batch_fini(&fast);
        batch_fini(&slow);
    }
    ck_assert_uint_gt(n_taken, 5000); /* digits and spaces changed */
    ck_assert_uint_gt(n_left, 50000);
    text_free(&text);
    text_free(&escaped);
    learner_free(learner);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("body_plain");
    TCase *cases = tcase_create("plain");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, every_plain_form_is_taken_and_means_what_the_tree_says, 0, 2);
    tcase_add_test(cases, what_is_not_plain_is_left_to_the_tree_and_leaves_no_trace);
    tcase_add_test(cases, a_plain_body_with_a_label_that_is_none_is_refused_by_the_tree_with_its_place);
    tcase_add_test(cases, more_plain_images_than_are_allowed_are_refused);
    tcase_add_test(cases, of_a_hundred_thousand_mutilated_documents_none_is_read_otherwise_than_by_the_tree);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
