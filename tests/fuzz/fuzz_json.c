/* fuzz_json.c - JSON: what was read, written and read again is the same text. */
#include "server/common/json.h"
#include "tests/fuzz/fuzz.h"

static void walk(const struct json *value, unsigned depth)
{
    must(depth <= JSON_DEPTH_MAX);
    must(json_type_name(value) != NULL);
    if (json_type(value) == JSON_STRING)
        must(json_string(value) != NULL);
    else if (json_type(value) == JSON_NUMBER)
        must(json_number(value) - json_number(value) == 0); /* finite */
    for (const struct json *item = json_first(value); item != NULL; item = json_next(item)) {
        if (json_type(value) == JSON_OBJECT)
            must(json_get(value, json_name(item)) == item); /* each name once */
        walk(item, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    char *copy = (char *)exact(bytes, n_bytes);
    struct err err;
    struct json *root = json_parse(copy, n_bytes, &err);
    free(copy); /* nothing of it is kept */
    if (root == NULL) {
        must_tell(&err);
        return 0;
    }
    walk(root, 0);
    char *text = json_print(root);
    must(text != NULL);
    struct json *back = json_parse(text, strlen(text), &err);
    must(back != NULL);
    char *again = json_print(back);
    must(again != NULL && strcmp(text, again) == 0);
    free(again);
    free(text);
    json_free(back);
    json_free(root);
    return 0;
}
