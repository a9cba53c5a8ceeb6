/* test_prediction_cache.c - server/model/prediction_cache.h: what is kept, in what order, and what leaves first. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/model/prediction_cache.h"
#include "tests/server/set_clock.h"

static struct err err;

static struct learner *model(uint32_t side)
{
    static char labels[3][LABEL_BYTES_MAX + 1] = {"a", "b", "c"};
    struct event create = {.kind = EVENT_CREATE, .revision = 1};
    create.as.create.shape = shape_default();
    create.as.create.shape.width = create.as.create.shape.height = side;
    create.as.create.shape.kernels = 0;
    create.as.create.shape.hidden = 2;
    create.as.create.settings = settings_default();
    create.as.create.n_classes = 3;
    create.as.create.labels = (const char(*)[LABEL_BYTES_MAX + 1]) labels;
    struct learner *learner = learner_create(&create, NULL, 0, &err);
    ck_assert_msg(learner != NULL, "%s", err.text);
    return learner;
}

static struct prediction_cache *start(uint32_t number, unsigned seconds)
{
    struct prediction_cache *cache = prediction_cache_create(number, seconds, &err);
    ck_assert_ptr_nonnull(cache);
    return cache;
}

/* One whose confidence in class 1 is p, with an image of `grey`. */
static int64_t add(struct prediction_cache *cache, const struct learner *learner, float p, uint8_t grey)
{
    const float l2[3] = {(1.0F - p) * 0.75F, p, (1.0F - p) * 0.25F};
    uint8_t *pixels = malloc(learner->shape.n_input);
    ck_assert_ptr_nonnull(pixels);
    memset(pixels, grey, learner->shape.n_input);
    const int64_t id = prediction_cache_add(cache, learner, 0, pixels, l2, 0.625, &err);
    ck_assert_msg(id > 0, "%s", err.text);
    free(pixels);
    return id;
}

START_TEST(ids_grow_and_what_was_said_comes_back)
{
    struct learner *learner = model(4);
    struct prediction_cache *cache = start(10, 100);
    int64_t last = 0;
    for (uint8_t i = 0; i < 10; i++) {
        const int64_t id = add(cache, learner, 0.5F + (float)i / 32, i);
        struct cached_prediction told;
        uint8_t pixels[16];
        ck_assert_int_gt(id, last);
        last = id;
        ck_assert_int_eq(prediction_cache_find(cache, 0, id, &told, pixels), 1);
        ck_assert_uint_eq(told.n_top, 3);
        ck_assert(told.top[0] == 1 && told.top[1] == 0 && told.top[2] == 2);
        ck_assert(told.probability[0] == 0.5F + (float)i / 32);
        ck_assert_int_eq(told.label, -1);
        ck_assert_double_eq(told.confidence, 0.625);
        ck_assert_uint_eq(pixels[15], i);
    }
    ck_assert_uint_eq(prediction_cache_count(cache), 10);
    prediction_cache_free(cache);
    learner_free(learner);
}
END_TEST

START_TEST(the_oldest_leave_when_the_number_is_reached)
{
    struct learner *learner = model(4);
    struct prediction_cache *cache = start(37, 100);
    int64_t ids[100];
    struct cached_prediction list[100];
    size_t all;
    for (int i = 0; i < 100; i++)
        ids[i] = add(cache, learner, 0.5F, (uint8_t)i);
    ck_assert_int_eq(prediction_cache_list(cache, 0, PREDICTION_CACHE_NEWEST, list, 100, &all, &err), 37);
    ck_assert_uint_eq(all, 37);
    for (int i = 0; i < 37; i++)
        ck_assert_int_eq(list[i].id, ids[99 - i]);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(prediction_cache_find(cache, 0, ids[i], &list[0], NULL), i >= 63);
    prediction_cache_free(cache);
    learner_free(learner);
}
END_TEST

START_TEST(the_oldest_leave_when_the_memory_is_full)
{
    struct learner *learner = model(1000); /* 1 MB each */
    struct prediction_cache *cache = start(1000, 100);
    int64_t ids[100];
    struct cached_prediction told;
    for (int i = 0; i < 100; i++)
        ids[i] = add(cache, learner, 0.5F, (uint8_t)i);
    ck_assert_uint_eq(prediction_cache_count(cache), PREDICTION_CACHE_BYTES / 1000000);
    ck_assert_int_eq(prediction_cache_find(cache, 0, ids[32], &told, NULL), 0);
    ck_assert_int_eq(prediction_cache_find(cache, 0, ids[99], &told, NULL), 1);
    prediction_cache_free(cache);
    learner_free(learner);
}
END_TEST

START_TEST(what_is_too_old_is_gone)
{
    struct learner *learner = model(4);
    struct prediction_cache *cache = start(10, 1);
    struct cached_prediction told;
    add(cache, learner, 0.5F, 1);
    the_time_ms += 600;
    int64_t young = add(cache, learner, 0.5F, 2);
    the_time_ms += 600;
    prediction_cache_expire(cache);
    ck_assert_uint_eq(prediction_cache_count(cache), 1);
    ck_assert_int_eq(prediction_cache_find(cache, 0, young, &told, NULL), 1);
    prediction_cache_free(cache);
    learner_free(learner);
}
END_TEST

START_TEST(any_one_can_be_dropped_and_the_others_stay_in_order)
{
    struct learner *learner = model(4);
    struct prediction_cache *cache = start(8, 100);
    int64_t ids[12];
    struct cached_prediction list[8];
    size_t all;
    for (int i = 0; i < 12; i++) /* the ring has turned */
        ids[i] = add(cache, learner, 0.5F, (uint8_t)i);
    static const int dropped[] = {6, 4, 11};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(prediction_cache_drop(cache, ids[dropped[i]]), 1);
        ck_assert_int_eq(prediction_cache_drop(cache, ids[dropped[i]]), 0);
    }
    static const int left[] = {10, 9, 8, 7, 5};
    ck_assert_int_eq(prediction_cache_list(cache, 0, PREDICTION_CACHE_NEWEST, list, 8, &all, &err), 5);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(list[i].id, ids[left[i]]);
    for (int i = 0; i < 8; i++)
        add(cache, learner, 0.5F, 1);
    ck_assert_uint_eq(prediction_cache_count(cache), 8);
    prediction_cache_free(cache);
    learner_free(learner);
}
END_TEST

START_TEST(the_uncertain_come_first_and_not_those_with_a_label)
{
    struct learner *learner = model(4);
    struct prediction_cache *cache = start(8, 100);
    static const float p[] = {0.9F, 0.5F, 0.7F, 0.5F, 0.99F};
    static const int order[] = {1, 3, 2, 4};
    int64_t ids[5];
    struct cached_prediction list[8];
    size_t all;
    for (int i = 0; i < 5; i++)
        ids[i] = add(cache, learner, p[i], 0);
    prediction_cache_label(cache, ids[0], 2);
    ck_assert_int_eq(prediction_cache_list(cache, 0, PREDICTION_CACHE_UNCERTAIN, list, 8, &all, &err), 4);
    ck_assert_uint_eq(all, 5);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(list[i].id, ids[order[i]]);
    ck_assert_int_eq(prediction_cache_list(cache, 0, PREDICTION_CACHE_UNCERTAIN, list, 2, &all, &err), 2);
    ck_assert_int_eq(prediction_cache_find(cache, 0, ids[0], &list[0], NULL), 1);
    ck_assert_int_eq(list[0].label, 2);
    prediction_cache_free(cache);
    learner_free(learner);
}
END_TEST

START_TEST(those_of_other_columns_are_forgotten_and_those_of_the_newest_stay)
{
    struct learner *learner = model(4);
    struct prediction_cache *cache = start(8, 100);
    struct cached_prediction told;
    const float l2[3] = {1, 0, 0};
    const uint8_t pixels[16] = {0};
    size_t all;
    const int64_t old = add(cache, learner, 0.5F, 1);
    const int64_t id = prediction_cache_add(cache, learner, 7, pixels, l2, 0.625, &err);
    ck_assert_int_gt(id, old);
    ck_assert_uint_eq(prediction_cache_count(cache), 1);
    ck_assert_int_eq(prediction_cache_find(cache, 7, old, &told, NULL), 0);
    ck_assert_int_eq(prediction_cache_find(cache, 0, id, &told, NULL), 0); /* whose model is an older one */
    ck_assert_int_eq(prediction_cache_list(cache, 0, PREDICTION_CACHE_UNCERTAIN, &told, 1, &all, &err), 0);
    ck_assert_int_eq(prediction_cache_add(cache, learner, 0, pixels, l2, 0.625, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    ck_assert_int_eq(prediction_cache_find(cache, 7, id, &told, NULL), 1);
    ck_assert_int_eq(prediction_cache_find(cache, 8, id, &told, NULL), 0);
    ck_assert_uint_eq(prediction_cache_count(cache), 0);
    prediction_cache_free(cache);
    learner_free(learner);
}
END_TEST

START_TEST(none_are_kept_where_none_are_wanted)
{
    struct learner *learner = model(4);
    struct prediction_cache *cache = start(0, 100);
    const float l2[3] = {1, 0, 0};
    const uint8_t pixels[16] = {0};
    ck_assert_int_eq(prediction_cache_add(cache, learner, 0, pixels, l2, 0.625, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_uint_eq(prediction_cache_count(cache), 0);
    prediction_cache_free(cache);
    learner_free(learner);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prediction_cache");
    TCase *tests = tcase_create("prediction_cache");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, ids_grow_and_what_was_said_comes_back);
    tcase_add_test(tests, the_oldest_leave_when_the_number_is_reached);
    tcase_add_test(tests, the_oldest_leave_when_the_memory_is_full);
    tcase_add_test(tests, what_is_too_old_is_gone);
    tcase_add_test(tests, any_one_can_be_dropped_and_the_others_stay_in_order);
    tcase_add_test(tests, the_uncertain_come_first_and_not_those_with_a_label);
    tcase_add_test(tests, those_of_other_columns_are_forgotten_and_those_of_the_newest_stay);
    tcase_add_test(tests, none_are_kept_where_none_are_wanted);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
