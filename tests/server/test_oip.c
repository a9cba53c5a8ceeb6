/* test_oip.c - server/payload/oip.h without HTTP: names, and that no request, however damaged, does worse than an error. What is taken and
 * refused, and where errors point, is held against the protocol in tests/e2e/test_v2.py. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/payload/oip.h"

static struct image_limits limits = {.pixels_max = 1u << 20};

#define N_INPUT 6u /* 1 x 2 x 3 */

static struct learner *make(void)
{
    static const char labels[2][LABEL_BYTES_MAX + 1] = {"no", "yes"};
    struct event event = {.kind = EVENT_CREATE, .revision = 7};
    event.as.create.shape = (struct shape){.width = 3,
                                           .height = 2,
                                           .channels = 1,
                                           .kernels = 2,
                                           .kernel_width = 2,
                                           .kernel_height = 2,
                                           .stride = 1,
                                           .hidden = 4};
    event.as.create.settings = settings_default();
    event.as.create.n_classes = 2;
    event.as.create.labels = labels;
    struct err err = {0};
    struct learner *learner = learner_create(&event, NULL, 0, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    return learner;
}

/* A copy of exactly n bytes, so that a sanitizer sees a read past its end. */
static int decode(struct oip_request *out, const struct learner *learner, const void *bytes, size_t n, uint64_t n_json,
                  struct err *err)
{
    const struct body_rules rules = {.learner = learner, .limits = &limits, .images_max = 100};
    uint8_t *copy = malloc(n + (n == 0));
    ck_assert(copy != NULL);
    memcpy(copy, bytes, n);
    int status = oip_decode(out, copy, n, n_json, &rules, err);
    if (status == 0) { /* every pixel can be read */
        unsigned sum = 0;
        for (size_t i = 0; i < (size_t)out->batch.n * N_INPUT; i++)
            sum += out->batch.pixels[i];
        ck_assert_uint_le(sum, 255u * N_INPUT * out->batch.n);
    }
    oip_request_fini(out);
    free(copy);
    return status;
}

static const char *const bodies[] = {
    "{\"id\":\"1\",\"inputs\":[{\"name\":\"pixels\",\"datatype\":\"UINT8\",\"shape\":[1,1,2,3],\"data\":[1,2,3,4,5,6]}]"
    ","
    "\"outputs\":[{\"name\":\"probabilities\",\"parameters\":{\"classification\":2,\"binary_data\":true}},{\"name\":"
    "\"label\"}]}",
    "{\"inputs\":[{\"name\":\"pixels\",\"datatype\":\"FP32\",\"shape\":[2,6],\"parameters\":{\"scale\":255},"
    "\"data\":[[0,0.5,1,0,0,0],[1,1,1,1,1,1]]}],\"parameters\":{\"binary_data_output\":true}}",
    "{\"inputs\":[{\"name\":\"pixels\",\"datatype\":\"BYTES\",\"shape\":[1,1],\"data\":[[\"AQIDBAUG\"]]}]}",
    "{\"inputs\":[{\"name\":\"pixels\",\"datatype\":\"UINT8\",\"shape\":[2,6],\"parameters\":{\"binary_data_size\":12}}"
    "]}"
    "abcdefghijkl",
    "{\"inputs\":[{\"name\":\"pixels\",\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_size\":10}}]}"
    "\6\0\0\0abcdef",
};

static const size_t n_binary[] = {0, 0, 0, 12, 10};

static size_t json_length_of(int i)
{
    return (size_t)(strrchr(bodies[i], '}') + 1 - bodies[i]);
}

START_TEST(a_request_is_taken)
{
    struct learner *learner = make();
    struct oip_request request;
    struct err err = {0};
    size_t n_json = json_length_of(_i), n = n_json + n_binary[_i];
    ck_assert_msg(decode(&request, learner, bodies[_i], n, n_json, &err) == 0, "%s %s", err.pointer, err.text);
    learner_free(learner);
}
END_TEST

START_TEST(a_request_cut_anywhere_is_refused)
{
    struct learner *learner = make();
    struct oip_request request;
    struct err err = {0};
    size_t n_json = json_length_of(_i), n = n_json + n_binary[_i];
    for (size_t cut = 0; cut < n; cut++) {
        ck_assert_int_eq(decode(&request, learner, bodies[_i], cut, cut < n_json ? cut : n_json, &err), -1);
        ck_assert(err.text[0] != '\0');
    }
    learner_free(learner);
}
END_TEST

START_TEST(a_changed_byte_never_does_worse_than_an_error)
{
    static const char changes[] = {0, ' ', '0', '9', '-', '"', '[', ']', '{', '}', ',', (char)0xff};
    struct learner *learner = make();
    struct oip_request request;
    struct err err;
    size_t n_json = json_length_of(_i), n = n_json + n_binary[_i], refused = 0;
    char *copy = malloc(n);
    ck_assert(copy != NULL);
    memcpy(copy, bodies[_i], n);
    for (size_t at = 0; at < n; at++) {
        for (size_t c = 0; c < sizeof changes; c++) {
            copy[at] = changes[c];
            refused += decode(&request, learner, copy, n, n_json, &err) != 0;
        }
        copy[at] = bodies[_i][at];
    }
    ck_assert_uint_gt(refused, n * sizeof changes / 2);
    free(copy);
    learner_free(learner);
}
END_TEST

START_TEST(a_length_over_the_body_is_refused)
{
    struct learner *learner = make();
    struct oip_request request;
    struct err err = {0};
    size_t n = json_length_of(0);
    ck_assert_int_eq(decode(&request, learner, bodies[0], n, n + 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_SYNTAX);
    ck_assert_int_eq(decode(&request, learner, bodies[0], n, OIP_NO_HEADER - 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_SYNTAX);
    ck_assert_int_eq(decode(&request, learner, bodies[0], n, OIP_NO_HEADER, &err), 0);
    learner_free(learner);
}
END_TEST

START_TEST(a_body_without_json_is_whole_images)
{
    static const char body[] = "abcdefghijkl!";
    struct learner *learner = make();
    struct oip_request request;
    struct err err = {0};
    for (size_t n = 1; n < sizeof body; n++)
        ck_assert_int_eq(decode(&request, learner, body, n, 0, &err), n % N_INPUT == 0 ? 0 : -1);
    ck_assert_int_eq(err.code, ERR_INPUT_SIZE);
    ck_assert_int_eq(decode(&request, learner, body, 0, 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_EMPTY);
    learner_free(learner);
}
END_TEST

START_TEST(a_name_is_one_segment_of_a_path)
{
    static const char *const bad[] = {"", "a/b", "/", "a\n", "\x7f", "\xff", "\xc3"};
    struct err err = {0};
    char name[OIP_NAME_BYTES + 1];
    memset(name, 'x', OIP_NAME_BYTES);
    name[OIP_NAME_BYTES] = '\0';
    ck_assert_int_eq(oip_check_name(name, &err), -1);
    ck_assert_int_eq(oip_check_name(name + 1, &err), 0);
    ck_assert_int_eq(oip_check_name("zip codes \xc3\xa9", &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(oip_check_name(bad[i], &err), -1);
        ck_assert_int_eq(err.code, ERR_USAGE);
    }
}
END_TEST

START_TEST(fp32_is_rounded_to_the_nearest_pixel_halves_up)
{
    static const char body[] = "{\"inputs\":[{\"name\":\"pixels\",\"datatype\":\"FP32\",\"shape\":[6],"
                               "\"data\":[0.49,0.5,254.49,254.5,255,1]}]}";
    static const uint8_t pixels[N_INPUT] = {0, 1, 254, 255, 255, 1};
    struct learner *learner = make();
    const struct body_rules rules = {.learner = learner, .limits = &limits, .images_max = 100};
    struct oip_request request;
    struct err err = {0};
    ck_assert_int_eq(oip_decode(&request, (const uint8_t *)body, sizeof body - 1, OIP_NO_HEADER, &rules, &err), 0);
    ck_assert_mem_eq(request.batch.pixels, pixels, N_INPUT);
    oip_request_fini(&request);
    learner_free(learner);
}
END_TEST

/* ---- names ---- */

static const struct {
    const char *db, *name;
} names[] = {
    {"digits.db", "digits"},
    {"/var/lib/convd/digits.db", "digits"},
    {"./a.b/zip codes", "zip codes"},
    {"x.v2.db", "x.v2"},
    {".db", ".db"},
    {"", "convd"},
    {"/var/lib/", "convd"},
    {"a/.b.db", ".b"},
};

START_TEST(a_model_is_called_after_the_stem_of_its_database)
{
    char name[OIP_NAME_BYTES];
    oip_model_name(name, names[_i].db);
    ck_assert_str_eq(name, names[_i].name);
}
END_TEST

START_TEST(a_stem_that_is_too_long_is_not_cut_but_left)
{
    char db[OIP_NAME_BYTES + 4], name[OIP_NAME_BYTES];
    memset(db, 'x', sizeof db);
    memcpy(db + OIP_NAME_BYTES - 1, ".db", 4);
    oip_model_name(name, db);
    ck_assert_uint_eq(strlen(name), OIP_NAME_BYTES - 1);
    memcpy(db + OIP_NAME_BYTES - 1, "x.db", 5);
    oip_model_name(name, db);
    ck_assert_str_eq(name, "convd");
}
END_TEST

START_TEST(only_v2_and_what_is_under_it_is_the_protocols)
{
    ck_assert(oip_owns("/v2"));
    ck_assert(oip_owns("/v2/"));
    ck_assert(oip_owns("/v2/models/x"));
    ck_assert(!oip_owns("/v2x"));
    ck_assert(!oip_owns("/v"));
    ck_assert(!oip_owns("/"));
    ck_assert(!oip_owns(""));
}
END_TEST

int main(void)
{
    const int n_bodies = (int)(sizeof bodies / sizeof *bodies);
    Suite *suite = suite_create("oip");
    TCase *cases = tcase_create("oip");
    tcase_set_timeout(cases, 60); /* the changed bytes, under sanitizers */
    tcase_add_loop_test(cases, a_request_is_taken, 0, n_bodies);
    tcase_add_loop_test(cases, a_request_cut_anywhere_is_refused, 0, n_bodies);
    tcase_add_loop_test(cases, a_changed_byte_never_does_worse_than_an_error, 0, n_bodies);
    tcase_add_test(cases, a_length_over_the_body_is_refused);
    tcase_add_test(cases, a_body_without_json_is_whole_images);
    tcase_add_test(cases, a_name_is_one_segment_of_a_path);
    tcase_add_test(cases, fp32_is_rounded_to_the_nearest_pixel_halves_up);
    tcase_add_loop_test(cases, a_model_is_called_after_the_stem_of_its_database, 0,
                        (int)(sizeof names / sizeof *names));
    tcase_add_test(cases, a_stem_that_is_too_long_is_not_cut_but_left);
    tcase_add_test(cases, only_v2_and_what_is_under_it_is_the_protocols);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
