/* test_safetensors.c - server/formats/safetensors.h: what is written, what is read back, what is refused. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/json.h"
#include "server/formats/safetensors.h"

static const char labels[3][LABEL_BYTES_MAX + 1] = {"0", "\"quoted\" \\", "\xC3\xA9t\xC3\xA9"};

static struct learner *make(uint32_t kernels, uint32_t channels)
{
    struct event event = {.kind = EVENT_CREATE, .revision = 1};
    event.as.create.shape = (struct shape){.width = 9,
                                           .height = 7,
                                           .channels = channels,
                                           .kernels = kernels,
                                           .kernel_width = 3,
                                           .kernel_height = 2,
                                           .stride = 2,
                                           .hidden = 5};
    struct settings *s = &event.as.create.settings;
    *s = settings_default();
    s->rate = 0.073F;
    s->mean = -0.25F;
    s->seed = 9007199254740991ULL;
    s->gradient = GRADIENT_JACOBIAN;
    s->fit = FIT_COVER;
    s->invert = INVERT_AUTO;
    event.as.create.n_classes = 3;
    event.as.create.labels = labels;
    struct err err = {0};
    struct learner *learner = learner_create(&event, NULL, 0, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    return learner;
}

START_TEST(a_written_model_is_read_back_bit_for_bit)
{
    struct learner *learner = make(_i == 0 ? 4 : 0, 2), *again;
    uint8_t *bytes;
    size_t n;
    struct err err = {0};
    ck_assert_int_eq(safetensors_encode(&bytes, &n, learner, &err), 0);
    struct safetensors file;
    ck_assert_msg(safetensors_decode(&file, bytes, n, &err) == 0, "%s", err.text);
    memset(bytes, 0, n); /* nothing of it is kept */
    ck_assert(file.has_width && file.has_height);
    ck_assert(file.has_stride == (_i == 0));
    for (int i = 0; i < SETTING_N; i++)
        ck_assert(file.has_setting[i]);
    ck_assert_uint_eq(file.create.as.create.shape.n_0, learner->shape.n_0);
    again = learner_create(&file.create, NULL, 0, &err);
    ck_assert_msg(again != NULL, "%s", err.text);
    uint8_t a[DIGEST_BYTES], b[DIGEST_BYTES];
    learner_digest(learner, a);
    learner_digest(again, b);
    ck_assert_mem_eq(a, b, DIGEST_BYTES);
    safetensors_fini(&file);
    learner_free(again);
    learner_free(learner);
    free(bytes);
}
END_TEST

START_TEST(the_same_state_gives_the_same_bytes)
{
    struct learner *one = make(4, 1), *two = make(4, 1);
    uint8_t *a, *b;
    size_t n_a, n_b;
    struct err err = {0};
    ck_assert_int_eq(safetensors_encode(&a, &n_a, one, &err), 0);
    ck_assert_int_eq(safetensors_encode(&b, &n_b, two, &err), 0);
    ck_assert_uint_eq(n_a, n_b);
    ck_assert_mem_eq(a, b, n_a);
    free(a);
    free(b);
    learner_free(one);
    learner_free(two);
}
END_TEST

/* By hand, without the decoder: lengths, offsets and values are where the format says. */
START_TEST(the_layout_is_the_format_s)
{
    struct learner *learner = make(4, 2);
    uint8_t *bytes;
    size_t n;
    struct err err = {0};
    ck_assert_int_eq(safetensors_encode(&bytes, &n, learner, &err), 0);
    size_t n_header = 0;
    for (unsigned i = 0; i < 8; i++)
        n_header |= (size_t)bytes[i] << (8 * i);
    ck_assert_uint_eq(n_header % 8, 0);
    struct json *root = json_parse((const char *)bytes + 8, n_header, &err);
    ck_assert_msg(root != NULL, "%s", err.text);

    const struct json *metadata = json_get(root, "__metadata__");
    ck_assert_str_eq(json_string(json_get(metadata, "classes")),
                     "[\"0\",\"\\\"quoted\\\" \\\\\",\"\xC3\xA9t\xC3\xA9\"]");
    ck_assert_str_eq(json_string(json_get(metadata, "rate")), "0.073");
    ck_assert_str_eq(json_string(json_get(metadata, "gradient")), "jacobian");
    ck_assert_str_eq(json_string(json_get(metadata, "arithmetic")), ARITHMETIC_VERSION);
    ck_assert_uint_eq(strlen(json_string(json_get(metadata, "digest"))), 64);

    const struct shape *s = &learner->shape;
    float *k = calloc((size_t)s->kernels * s->n_k, 4), *w01 = calloc((size_t)s->n_0 * s->n_1, 4), *w12 = calloc(15, 4);
    ck_assert(k != NULL && w01 != NULL && w12 != NULL);
    net_export(&learner->net, k, w01, w12);
    const struct {
        const char *name;
        const float *values;
        size_t floats;
        double sides[4];
    } expected[] = {
        {"kernels", k, (size_t)s->kernels * s->n_k, {4, 2, 2, 3}},
        {"w01", w01, (size_t)s->n_0 * s->n_1, {s->n_0, 5, 0, 0}},
        {"w12", w12, 15, {5, 3, 0, 0}},
    };
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        const struct json *tensor = json_get(root, expected[i].name);
        ck_assert_str_eq(json_string(json_get(tensor, "dtype")), "F32");
        const struct json *side = json_first(json_get(tensor, "shape"));
        for (int d = 0; d < 4 && expected[i].sides[d] > 0; d++, side = json_next(side))
            ck_assert_double_eq(json_number(side), expected[i].sides[d]);
        ck_assert_ptr_null(side);
        const struct json *begin = json_first(json_get(tensor, "data_offsets"));
        ck_assert_double_eq(json_number(begin), (double)at);
        ck_assert_mem_eq(bytes + 8 + n_header + at, expected[i].values, expected[i].floats * 4);
        at += expected[i].floats * 4;
        ck_assert_double_eq(json_number(json_next(begin)), (double)at);
    }
    ck_assert_uint_eq(8 + n_header + at, n);
    free(k);
    free(w01);
    free(w12);
    json_free(root);
    free(bytes);
    learner_free(learner);
}
END_TEST

/* A file of that header and so many bytes of data, each float 1; in a block of exactly its size. */
static uint8_t *file_of(const char *header, size_t n_data, size_t *n)
{
    size_t n_header = strlen(header);
    *n = 8 + n_header + n_data;
    uint8_t *bytes = malloc(*n);
    ck_assert_ptr_nonnull(bytes);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(n_header >> (8 * i));
    memcpy(bytes + 8, header, n_header);
    for (size_t i = 0; i < n_data; i++)
        bytes[8 + n_header + i] = (uint8_t)(0x3F800000U >> (8 * (i % 4)));
    return bytes;
}

#define W01(sides, offsets) "\"w01\":{\"dtype\":\"F32\",\"shape\":" sides ",\"data_offsets\":" offsets "}"
#define W12(sides, offsets) "\"w12\":{\"dtype\":\"F32\",\"shape\":" sides ",\"data_offsets\":" offsets "}"
#define K(sides, offsets)   "\"kernels\":{\"dtype\":\"F32\",\"shape\":" sides ",\"data_offsets\":" offsets "}"
#define GOOD                W01("[4,2]", "[0,32]") "," W12("[2,3]", "[32,56]") /* 56 bytes of data */

static struct safetensors taken(const char *header, size_t n_data)
{
    struct safetensors file = {0};
    struct err err = {0};
    size_t n;
    uint8_t *bytes = file_of(header, n_data, &n);
    ck_assert_msg(safetensors_decode(&file, bytes, n, &err) == 0, "%s: %s", header, err.text);
    free(bytes);
    return file;
}

START_TEST(a_file_without_metadata_gets_numbers_for_labels_and_the_defaults)
{
    struct safetensors file = taken("{" GOOD "}", 56);
    ck_assert(!file.has_width && !file.has_height && !file.has_stride);
    const struct shape *s = &file.create.as.create.shape;
    ck_assert_uint_eq(s->kernels, 0);
    ck_assert_uint_eq(s->channels, 0);
    ck_assert_uint_eq(s->width, 0);
    ck_assert_uint_eq(s->hidden, 2);
    ck_assert_uint_eq(s->n_0, 4);
    ck_assert_uint_eq(file.create.as.create.n_classes, 3);
    ck_assert_str_eq(file.create.as.create.labels[2], "2");
    ck_assert_ptr_null(file.create.as.create.k);
    ck_assert(file.create.as.create.w01[7] == 1.0F);
    for (int i = 0; i < SETTING_N; i++)
        ck_assert(!file.has_setting[i]);
    ck_assert(file.create.as.create.settings.rate == settings_default().rate);
    safetensors_fini(&file);
}
END_TEST

START_TEST(tensors_may_come_in_any_order_and_metadata_may_say_more)
{
    struct safetensors file =
        taken("{\"__metadata__\":{\"format\":\"pt\",\"rate\":\"0.5\",\"width\":\"5\"}," W12("[2,3]", "[0,24]") "," K(
                  "[1,1,2,3]", "[56,80]") "," W01("[4,2]", "[24,56]") "}   ",
              80);
    ck_assert(file.has_setting[SETTING_RATE] && !file.has_setting[SETTING_MEAN]);
    ck_assert(file.create.as.create.settings.rate == 0.5F);
    ck_assert_uint_eq(file.create.as.create.shape.kernel_height, 2);
    ck_assert_uint_eq(file.create.as.create.shape.kernel_width, 3);
    ck_assert_uint_eq(file.create.as.create.shape.width, 5);
    ck_assert(file.has_width && !file.has_height);
    safetensors_fini(&file);
}
END_TEST

static const struct {
    const char *header;
    size_t n_data;
    const char *word;
} bad[] = {
    {"[]", 0, "an array"},
    {"{", 0, "header"},
    {"{" GOOD "} x", 56, "header"},
    {"{" GOOD "," W01("[4,2]", "[0,32]") "}", 56, "twice"},
    {"{" W01("[4,2]", "[0,32]") "}", 32, "w12 is missing"},
    {"{" W12("[2,3]", "[0,24]") "}", 24, "w01 is missing"},
    {"{" GOOD ",\"bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[56,60]}}", 60, "bias"},
    {"{\"w01\":{\"dtype\":\"F16\",\"shape\":[4,2],\"data_offsets\":[0,16]}," W12("[2,3]", "[16,40]") "}", 40, "F16"},
    {"{\"w01\":7," W12("[2,3]", "[0,24]") "}", 24, "w01"},
    {"{" W01("[4]", "[0,16]") "," W12("[2,3]", "[16,40]") "}", 40, "w01 must have a shape of 2"},
    {"{" W01("[4,0]", "[0,0]") "," W12("[2,3]", "[0,24]") "}", 24, "w01 must have sides of at least 1"},
    {"{" W01("[4,-2]", "[0,32]") "," W12("[2,3]", "[32,56]") "}", 56, "w01"},
    {"{" W01("[4,2.5]", "[0,40]") "," W12("[2,3]", "[40,64]") "}", 64, "w01"},
    {"{" W01("[268435456,268435456]", "[0,32]") "," W12("[2,3]", "[32,56]") "}", 56, "w01"},
    {"{" W01("[4,2]", "[0,32]") "," W12("[2,3]", "[32,60]") "}", 60, "w12 has 6 values"},
    {"{" W01("[4,2]", "[0,32]") "," W12("[2,3]", "[32,56]") "}", 55, "w12 ends at byte 56"},
    {"{" W01("[4,2]", "[0,32]") "," W12("[2,3]", "[32,56]") "}", 60, "60 bytes"},
    {"{" W01("[4,2]", "[0,32]") "," W12("[2,3]", "[36,60]") "}", 60, "w12 begins at byte 36"},
    {"{" W01("[4,2]", "[0,32]") "," W12("[2,3]", "[8,32]") "}", 32, "overlap"},
    {"{" W01("[4,2]", "[32,0]") "," W12("[2,3]", "[32,56]") "}", 56, "w01 has 8 values"},
    {"{" W01("[4,2]", "[0]") "," W12("[2,3]", "[32,56]") "}", 56, "data_offsets"},
    {"{" W01("[4,2]", "[0,1e30]") "," W12("[2,3]", "[32,56]") "}", 56, "data_offsets"},
    {"{" W01("[3,2]", "[0,24]") "," W12("[3,3]", "[24,60]") "}", 60, "w12 has 3 rows"},
    {"{" GOOD "," K("[1,17,1,1]", "[56,124]") "}", 124, "kernels"},
    {"{" GOOD "," K("[1,1,2]", "[56,64]") "}", 64, "kernels must have a shape of 4"},
    {"{\"__metadata__\":[]," GOOD "}", 56, "__metadata__"},
    {"{\"__metadata__\":{\"width\":5}," GOOD "}", 56, "width"},
    {"{\"__metadata__\":{\"width\":\"5x\"}," GOOD "}", 56, "width"},
    {"{\"__metadata__\":{\"width\":\"\"}," GOOD "}", 56, "width"},
    {"{\"__metadata__\":{\"height\":\"0\"}," GOOD "}", 56, "height"},
    {"{\"__metadata__\":{\"rate\":\"nan\"}," GOOD "}", 56, "rate"},
    {"{\"__metadata__\":{\"gradient\":\"exact\"}," GOOD "}", 56, "gradient"},
    {"{\"__metadata__\":{\"classes\":\"[\\\"a\\\",\\\"b\\\"]\"}," GOOD "}", 56, "2 classes"},
    {"{\"__metadata__\":{\"classes\":\"[\\\"a\\\",\\\"b\\\",\\\"a\\\"]\"}," GOOD "}", 56, "twice"},
    {"{\"__metadata__\":{\"classes\":\"[\\\"a\\\",\\\"b\\\",\\\"\\\"]\"}," GOOD "}", 56, "class 2"},
    {"{\"__metadata__\":{\"classes\":\"[1,2,3]\"}," GOOD "}", 56, "not a string"},
    {"{\"__metadata__\":{\"classes\":\"a,b,c\"}," GOOD "}", 56, "classes"},
    {"{\"__metadata__\":{\"channels\":\"1\",\"width\":\"3\",\"height\":\"2\"}," GOOD "}", 56, "w01 has 4 rows"},
    {"{\"__metadata__\":{\"channels\":\"2\"}," GOOD "," K("[1,1,1,1]", "[56,60]") "}", 60, "2 channels"},
};

START_TEST(a_malformed_file_is_refused_for_what_is_wrong)
{
    struct safetensors file = {.has_width = true};
    struct err err = {0};
    size_t n;
    uint8_t *bytes = file_of(bad[_i].header, bad[_i].n_data, &n);
    ck_assert_msg(safetensors_decode(&file, bytes, n, &err) == -1, "taken: %s", bad[_i].header);
    ck_assert_msg(err.code == ERR_FILE, "%s: %s: %s", bad[_i].header, err_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, bad[_i].word) != NULL, "%s: \"%s\" does not say \"%s\"", bad[_i].header, err.text,
                  bad[_i].word);
    ck_assert(file.has_width); /* untouched */
    free(bytes);
}
END_TEST

START_TEST(a_value_that_is_not_finite_is_refused_with_its_tensor)
{
    const uint32_t values[] = {0x7F800000U, 0xFF800000U, 0x7FC00000U, 0x7F800001U};
    struct safetensors file;
    struct err err = {0};
    size_t n;
    uint8_t *bytes = file_of("{" GOOD "}", 56, &n);
    for (unsigned i = 0; i < 4; i++)
        bytes[n - 4 + i] = (uint8_t)(values[_i] >> (8 * i));
    ck_assert_int_eq(safetensors_decode(&file, bytes, n, &err), -1);
    ck_assert_int_eq(err.code, ERR_FILE);
    ck_assert_ptr_nonnull(strstr(err.text, "w12 has a value that is not finite, at 5"));
    free(bytes);
}
END_TEST

START_TEST(a_header_that_leaves_the_file_is_refused)
{
    const uint64_t lengths[] = {UINT64_MAX, (uint64_t)1 << 40, 1000, 0, 1};
    struct safetensors file;
    struct err err = {0};
    size_t n;
    uint8_t *bytes = file_of("{" GOOD "}", 56, &n);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(lengths[_i] >> (8 * i));
    ck_assert_int_eq(safetensors_decode(&file, bytes, n, &err), -1);
    ck_assert_int_eq(err.code, ERR_FILE);
    ck_assert_ptr_nonnull(strstr(err.text, "not a safetensors file"));
    free(bytes);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused)
{
    struct learner *learner = make(4, 1);
    uint8_t *bytes;
    size_t n;
    struct err err = {0};
    ck_assert_int_eq(safetensors_encode(&bytes, &n, learner, &err), 0);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *part = malloc(cut == 0 ? 1 : cut);
        ck_assert_ptr_nonnull(part);
        memcpy(part, bytes, cut);
        struct safetensors file;
        ck_assert_int_eq(safetensors_decode(&file, part, cut, &err), -1);
        ck_assert_int_eq(err.code, ERR_FILE);
        free(part);
    }
    free(bytes);
    learner_free(learner);
}
END_TEST

START_TEST(a_changed_byte_never_does_worse_than_an_error)
{
    struct learner *learner = make(2, 1);
    uint8_t *bytes;
    size_t n;
    struct err err = {0};
    ck_assert_int_eq(safetensors_encode(&bytes, &n, learner, &err), 0);
    size_t refused = 0;
    for (size_t at = 0; at < n; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1U << bit);
            struct safetensors file = {0};
            if (safetensors_decode(&file, bytes, n, &err) != 0)
                refused++;
            safetensors_fini(&file);
            bytes[at] ^= (uint8_t)(1U << bit);
        }
    ck_assert_uint_gt(refused, 1000);
    free(bytes);
    learner_free(learner);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *cases = tcase_create("safetensors");
    tcase_set_timeout(cases, 60); /* the changed bytes, under sanitizers */
    tcase_add_loop_test(cases, a_written_model_is_read_back_bit_for_bit, 0, 2);
    tcase_add_test(cases, the_same_state_gives_the_same_bytes);
    tcase_add_test(cases, the_layout_is_the_format_s);
    tcase_add_test(cases, a_file_without_metadata_gets_numbers_for_labels_and_the_defaults);
    tcase_add_test(cases, tensors_may_come_in_any_order_and_metadata_may_say_more);
    tcase_add_loop_test(cases, a_malformed_file_is_refused_for_what_is_wrong, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_loop_test(cases, a_value_that_is_not_finite_is_refused_with_its_tensor, 0, 4);
    tcase_add_loop_test(cases, a_header_that_leaves_the_file_is_refused, 0, 5);
    tcase_add_test(cases, a_file_cut_anywhere_is_refused);
    tcase_add_test(cases, a_changed_byte_never_does_worse_than_an_error);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
