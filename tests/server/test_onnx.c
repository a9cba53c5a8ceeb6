/* test_onnx.c - server/formats/onnx.h and server/formats/npz.h as bytes: framing that adds up to the last one, the same bytes for the same
 * state. What the files mean is onnx's and numpy's to say: tests/e2e/test_onnx.py. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "server/formats/npz.h"
#include "server/formats/onnx.h"

struct format {
    int (*encode)(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err);
};

static const struct format onnx = {onnx_encode}, npz = {npz_encode};

static const char labels[3][LABEL_BYTES_MAX + 1] = {"0", "\"quoted\" \\", "\xC3\xA9t\xC3\xA9"};

static struct learner *make(uint32_t kernels, uint64_t seed)
{
    struct event event = {.kind = EVENT_CREATE, .revision = 1};
    event.as.create.shape = (struct shape){.width = 9,
                                           .height = 7,
                                           .channels = 2,
                                           .kernels = kernels,
                                           .kernel_width = 3,
                                           .kernel_height = 2,
                                           .stride = 2,
                                           .hidden = 5};
    event.as.create.settings = settings_default();
    event.as.create.settings.seed = seed;
    event.as.create.n_classes = 3;
    event.as.create.labels = labels;
    struct err err = {0};
    struct learner *learner = learner_create(&event, NULL, 0, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    return learner;
}

static uint8_t *encode(const struct format *format, size_t *n, uint32_t kernels, uint64_t seed)
{
    struct learner *learner = make(kernels, seed);
    struct err err = {0};
    uint8_t *bytes = NULL;
    ck_assert_msg(format->encode(&bytes, n, learner, &err) == 0, "%s", err.text);
    learner_free(learner);
    return bytes;
}

/* ---- protobuf ---- */

static uint64_t varint(const uint8_t **at, const uint8_t *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        ck_assert(*at < end);
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return value;
    }
    ck_abort_msg("a varint of more than ten bytes");
    return 0;
}

/* The n-th field of that number in a message, as the bytes of it; every field's framing on the way is checked. */
static const uint8_t *field(const uint8_t *message, size_t n_message, unsigned number, unsigned nth, size_t *n)
{
    const uint8_t *at = message, *end = message + n_message, *found = NULL;
    while (at < end) {
        uint64_t key = varint(&at, end);
        ck_assert((key & 7) == 0 || (key & 7) == 2);
        if ((key & 7) == 0) {
            varint(&at, end);
            continue;
        }
        uint64_t length = varint(&at, end);
        ck_assert_uint_le(length, (uint64_t)(end - at));
        if (key >> 3 == number && nth-- == 0) {
            found = at;
            *n = (size_t)length;
        }
        at += length;
    }
    ck_assert(at == end);
    return found;
}

static void check_text(const uint8_t *bytes, size_t n, const char *text)
{
    ck_assert(bytes != NULL);
    ck_assert_uint_eq(n, strlen(text));
    ck_assert_mem_eq(bytes, text, n);
}

START_TEST(messages_of_an_onnx_file_fill_each_other_exactly)
{
    size_t n = 0, n_graph = 0, n_part = 0, n_text = 0;
    uint8_t *bytes = encode(&onnx, &n, 4, 1);
    const uint8_t *graph = field(bytes, n, 7, 0, &n_graph);
    ck_assert(graph != NULL);
    unsigned nodes = 0, tensors = 0;
    const uint8_t *part;
    for (; (part = field(graph, n_graph, 1, nodes, &n_part)) != NULL; nodes++)
        ck_assert(field(part, n_part, 4, 0, &n_text) != NULL);
    for (; (part = field(graph, n_graph, 5, tensors, &n_part)) != NULL; tensors++)
        ck_assert(field(part, n_part, 9, 0, &n_text) != NULL);
    ck_assert_uint_eq(nodes, 11);
    ck_assert_uint_eq(tensors, 6);
    free(bytes);
}
END_TEST

START_TEST(a_tensor_of_an_onnx_file_holds_the_parameters_as_exported)
{
    size_t n = 0, n_graph = 0, n_tensor = 0, n_part = 0;
    uint8_t *bytes = encode(&onnx, &n, 4, 1);
    struct learner *learner = make(4, 1);
    const struct shape *s = &learner->shape;
    float *k = malloc(sizeof *k * s->kernels * s->n_k), *w01 = malloc(sizeof *w01 * s->n_0 * s->n_1);
    float *w12 = malloc(sizeof *w12 * s->n_1 * 3);
    ck_assert(k != NULL && w01 != NULL && w12 != NULL);
    net_export(&learner->net, k, w01, w12);
    const uint8_t *graph = field(bytes, n, 7, 0, &n_graph);
    const uint8_t *tensor = field(graph, n_graph, 5, 1, &n_tensor);
    const uint8_t *name = field(tensor, n_tensor, 8, 0, &n_part);
    check_text(name, n_part, "w01");
    const uint8_t *data = field(tensor, n_tensor, 9, 0, &n_part);
    ck_assert_uint_eq(n_part, sizeof *w01 * s->n_0 * s->n_1);
    ck_assert_mem_eq(data, w01, n_part);
    free(k);
    free(w01);
    free(w12);
    learner_free(learner);
    free(bytes);
}
END_TEST

START_TEST(an_onnx_file_without_kernels_has_no_convolution)
{
    size_t n = 0, n_graph = 0, n_node = 0, n_type = 0;
    uint8_t *bytes = encode(&onnx, &n, 0, 1);
    const uint8_t *graph = field(bytes, n, 7, 0, &n_graph), *node;
    unsigned nodes = 0;
    for (; (node = field(graph, n_graph, 1, nodes, &n_node)) != NULL; nodes++) {
        const uint8_t *type = field(node, n_node, 4, 0, &n_type);
        ck_assert(n_type != 4 || memcmp(type, "Conv", 4) != 0);
    }
    ck_assert_uint_eq(nodes, 8);
    free(bytes);
}
END_TEST

/* ---- zip ---- */

static uint32_t number(const uint8_t *at, unsigned n_bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < n_bytes; i++)
        value |= (uint32_t)at[i] << (8 * i);
    return value;
}

START_TEST(members_of_an_npz_follow_each_other_and_the_directory_names_them_all)
{
    size_t n = 0;
    uint32_t kernels = _i == 0 ? 4 : 0;
    uint8_t *bytes = encode(&npz, &n, kernels, 1);
    const uint8_t *end = bytes + n - 22;
    ck_assert_uint_eq(number(end, 4), 0x06054b50);
    unsigned members = number(end + 10, 2);
    ck_assert_uint_eq(members, kernels > 0 ? 4 : 3);
    const uint8_t *directory = bytes + number(end + 16, 4), *local = bytes;
    for (unsigned i = 0; i < members; i++) {
        uint32_t n_name = number(directory + 28, 2), n_data = number(directory + 24, 4);
        ck_assert_uint_eq(number(directory, 4), 0x02014b50);
        ck_assert(bytes + number(directory + 42, 4) == local);
        ck_assert_uint_eq(number(local, 4), 0x04034b50);
        ck_assert_mem_eq(local + 30, directory + 46, n_name);
        const uint8_t *data = local + 30 + n_name + number(local + 28, 2);
        ck_assert_uint_eq((size_t)(data - bytes) % 64, 0);
        ck_assert_uint_eq((uint32_t)crc32_z(0, data, n_data), number(directory + 16, 4));
        local = data + n_data;
        directory += 46 + n_name;
    }
    ck_assert(local == bytes + number(end + 16, 4));
    ck_assert(directory == end);
    free(bytes);
}
END_TEST

/* ---- both ---- */

static const struct format *const formats[] = {&onnx, &npz};

START_TEST(the_same_state_gives_the_same_bytes)
{
    size_t n = 0, n_again = 0;
    uint8_t *bytes = encode(formats[_i], &n, 4, 1), *again = encode(formats[_i], &n_again, 4, 1);
    ck_assert_uint_eq(n, n_again);
    ck_assert_mem_eq(bytes, again, n);
    free(bytes);
    free(again);
}
END_TEST

START_TEST(another_state_gives_other_bytes)
{
    size_t n = 0, n_other = 0;
    uint8_t *bytes = encode(formats[_i], &n, 4, 1), *other = encode(formats[_i], &n_other, 4, 2);
    ck_assert(n != n_other || memcmp(bytes, other, n) != 0);
    free(bytes);
    free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onnx");
    TCase *tcase = tcase_create("onnx");
    tcase_add_test(tcase, messages_of_an_onnx_file_fill_each_other_exactly);
    tcase_add_test(tcase, a_tensor_of_an_onnx_file_holds_the_parameters_as_exported);
    tcase_add_test(tcase, an_onnx_file_without_kernels_has_no_convolution);
    tcase_add_loop_test(tcase, members_of_an_npz_follow_each_other_and_the_directory_names_them_all, 0, 2);
    tcase_add_loop_test(tcase, the_same_state_gives_the_same_bytes, 0, 2);
    tcase_add_loop_test(tcase, another_state_gives_other_bytes, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
