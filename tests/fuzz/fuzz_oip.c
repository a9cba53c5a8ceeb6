/* fuzz_oip.c - Open Inference Protocol v2: JSON, then tensors in binary. First two bytes: the JSON's length, all ones: no
 * binary part. What was understood is answered, and the answer is JSON. */
#include "server/payload/oip.h"
#include "tests/fuzz/fuzz.h"

static struct image_limits limits = {.pixels_max = 1 << 16};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static struct learner *learner;
    static float probabilities[16 * 8];
    if (learner == NULL)
        learner = small_learner(1);
    uint64_t n_json = take(&bytes, &n_bytes);
    n_json = n_json << 8 | take(&bytes, &n_bytes);
    uint8_t *copy = exact(bytes, n_bytes);
    struct body_rules rules = {.learner = learner, .limits = &limits, .images_max = 16};
    struct oip_request request = {0};
    struct err err;
    if (oip_decode(&request, copy, n_bytes, n_json == 0xffff ? OIP_NO_HEADER : n_json, &rules, &err) != 0) {
        must_tell(&err);
    } else {
        struct text text = {0};
        uint32_t order[8];
        must(request.batch.n >= 1 && request.batch.n <= 16 && request.n_outputs <= OIP_TENSOR_N);
        size_t n = oip_write_response(&text, &request, "m", learner, probabilities, 8, order);
        must(!text.failed && n <= text.n);
        struct json *answer = json_parse(text.bytes, n > 0 ? n : text.n, &err);
        must(answer != NULL);
        json_free(answer);
        text_free(&text);
    }
    oip_request_fini(&request);
    free(copy);
    return 0;
}
