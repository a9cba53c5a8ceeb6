/* test_health.c - the warnings: each is raised by weights that are ill in its way, none by a model that learns, and what was put right is cleared. */
#include <check.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/chance.h"
#include "tests/core/models.h"
#include "tests/core/run.h"

static bool raised(const struct learner *l, enum health_warning which)
{
    return health_raised(&l->health, which);
}

static void expect_none(const struct learner *l)
{
    for (int i = 0; i < HEALTH_N; i++) {
        char text[HEALTH_TEXT_BYTES] = "";
        if (raised(l, (enum health_warning)i))
            health_text(text, sizeof text, l, (enum health_warning)i);
        ck_assert_str_eq(text, "");
    }
}

static void expect_text(const struct learner *l, enum health_warning which, const char *expected)
{
    char text[HEALTH_TEXT_BYTES];
    ck_assert(raised(l, which));
    health_text(text, sizeof text, l, which);
    ck_assert_str_eq(text, expected);
}

static void raise_by_hand(struct learner *l, enum health_warning which, uint32_t share)
{
    l->health.warnings[which].since = l->tally.samples;
    l->health.warnings[which].share = share;
    l->health.warnings[which].class_index = 0;
}

/* Images from 0 to 255, kernels and all: what enters is not negative. Steps do nothing, so that weights can be given. */
static struct learner *still_model(void)
{
    struct model_options options = model_small();
    options.normalize = NORMALIZE_NONE;
    struct learner *l = model_create(&options);
    l->settings.rate = 0.0F;
    l->settings.mean = 0.0F;
    return l;
}

static void fill(float *w, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        w[i] = value;
}

/* Weights that are the same in each column: but the padding stays zero. */
static void set_weights(struct learner *l, float k, float w01)
{
    const struct shape *s = &l->shape;
    for (uint32_t m = 0; m < s->n_k; m++)
        fill(l->net.k + m * l->net.ld_k, s->kernels, k);
    for (uint32_t p = 0; p < s->n_0; p++)
        fill(l->net.w01 + p * l->net.ld_1, s->n_1, w01);
    descent_forget(&l->known);
}

static void set_column(struct learner *l, uint32_t c, float value)
{
    for (uint32_t t = 0; t < l->shape.n_1; t++)
        l->net.w12[t * l->net.ld_2 + c] = value;
    descent_forget(&l->known);
}

static void train_one(struct learner *l, uint32_t label)
{
    uint8_t pixels[30];
    struct chance chance = {.state = l->tally.samples};
    chance_pixels(&chance, pixels, sizeof pixels);
    (void)model_train(l, label, pixels);
}

START_TEST(a_model_that_learns_raises_none)
{
    struct model_options options = model_small();
    options.normalize = NORMALIZE_STD;
    struct learner *l = model_create(&options);
    l->settings = settings_new(&l->shape);
    for (uint64_t i = 0; i < 8; i++) {
        model_train_random(l, 100, 5 + i);
        expect_none(l);
    }
    ck_assert_uint_gt(l->tally.correct * 10, l->tally.samples * 8);
    learner_free(l);
}
END_TEST

START_TEST(units_that_are_saturated_alike_on_all_images_are_told_and_cleared)
{
    struct learner *l = still_model();
    model_train_random(l, 40, 3);
    expect_none(l);
    float *w01 = l->net.w01;
    const float before = w01[0];
    set_weights(l, 1.0F, 100.0F);
    health_look(l);
    ck_assert(!raised(l, HEALTH_HIDDEN)); /* it takes two */
    health_look(l);
    expect_text(l, HEALTH_HIDDEN,
                "hidden units: 100 % are saturated and the same for all images, so the model hardly learns: create "
                "the model again with normalize std");
    ck_assert_uint_eq(l->health.warnings[HEALTH_HIDDEN].since, 40);
    set_weights(l, 1.0F, before);
    health_look(l);
    ck_assert(raised(l, HEALTH_HIDDEN));
    health_look(l);
    ck_assert(!raised(l, HEALTH_HIDDEN));
    learner_free(l);
}
END_TEST

START_TEST(of_samples_that_are_sorted_by_class_the_order_is_told)
{
    struct model_options options = model_small();
    options.normalize = NORMALIZE_STD;
    struct learner *l = model_create(&options);
    l->settings.rehearsal = 1;
    l->settings.rate = 0.0F;
    for (uint32_t i = 0; i < 60; i++) /* of the latter 40 some are of the first class */
        train_one(l, i / 30);
    l->settings.rate = 1.0F;
    raise_by_hand(l, HEALTH_HIDDEN, 800);
    expect_text(l, HEALTH_HIDDEN,
                "hidden units: 80 % are saturated and the same for all images, so the model hardly learns: create the "
                "model again with rate 0.2");
    l->settings.rate = 0.0F;
    for (uint32_t i = 0; i < 30; i++)
        train_one(l, 1);
    raise_by_hand(l, HEALTH_HIDDEN, 800);
    expect_text(l, HEALTH_HIDDEN,
                "hidden units: 80 % are saturated and the same for all images, so the model hardly learns: train on "
                "the classes in mixed order");
    raise_by_hand(l, HEALTH_ONE_CLASS, 800);
    expect_text(l, HEALTH_ONE_CLASS,
                "class \"0\": 80 % of the images of other classes are taken for it: train on the classes in mixed "
                "order");
    learner_free(l);
}
END_TEST

START_TEST(units_that_are_saturated_but_tell_images_apart_are_not)
{
    struct model_options options = model_small();
    options.normalize = NORMALIZE_STD;
    options.hidden = 64;
    struct learner *l = model_create(&options);
    l->settings.rate = 0.0F;
    model_train_random(l, 40, 3);
    for (size_t i = 0; i < (size_t)l->shape.n_0 * l->net.ld_1; i++)
        l->net.w01[i] *= 1000.0F;
    health_look(l);
    health_look(l);
    ck_assert(!raised(l, HEALTH_HIDDEN));
    learner_free(l);
}
END_TEST

START_TEST(kernels_that_never_win_are_told)
{
    struct learner *l = still_model();
    model_train_random(l, 40, 3);
    for (uint32_t m = 0; m < l->shape.n_k; m++)
        for (uint32_t i = 0; i < l->shape.kernels; i++)
            l->net.k[m * l->net.ld_k + i] = i == 2 ? 0.1F : -0.1F;
    health_look(l);
    health_look(l);
    expect_text(l, HEALTH_KERNELS,
                "kernels: 3 of 4 win nowhere, so they learn nothing: create the model again with normalize std, or "
                "create it with fewer kernels");
    learner_free(l);
}
END_TEST

/* All hidden units are 1, so a column's sum is its logit. */
static void all_for_one(struct learner *l, uint32_t c)
{
    set_weights(l, 1.0F, 100.0F);
    for (uint32_t i = 0; i < l->n_classes; i++)
        set_column(l, i, i == c ? 1.0F : -1.0F);
}

START_TEST(a_class_that_takes_all_is_told_with_what_helps)
{
    struct learner *l = still_model();
    model_train_random(l, 40, 3);
    all_for_one(l, 1);
    health_look(l);
    ck_assert(!raised(l, HEALTH_ONE_CLASS));
    health_look(l);
    expect_text(l, HEALTH_ONE_CLASS,
                "class \"1\": 100 % of the images of other classes are taken for it: set rehearsal to 8");
    l->settings.rehearsal = 8;
    expect_text(l, HEALTH_ONE_CLASS,
                "class \"1\": 100 % of the images of other classes are taken for it: create the model again with "
                "normalize std");
    l->settings.normalize = NORMALIZE_STD;
    expect_text(l, HEALTH_ONE_CLASS,
                "class \"1\": 100 % of the images of other classes are taken for it: set rate to 0.2");
    l->settings.rate = 0.2F;
    expect_text(l, HEALTH_ONE_CLASS,
                "class \"1\": 100 % of the images of other classes are taken for it: check the labels");
    learner_free(l);
}
END_TEST

START_TEST(what_is_young_is_not_judged)
{
    struct learner *l = still_model();
    for (uint32_t i = 0; i < 15; i++) /* five images each of three things */
        train_one(l, i / 5);
    all_for_one(l, 1);
    health_look(l);
    health_look(l);
    expect_none(l);
    struct learner *alone = still_model();
    for (uint32_t i = 0; i < 40; i++) /* one class for long */
        train_one(alone, 0);
    all_for_one(alone, 0);
    health_look(alone);
    health_look(alone);
    expect_none(alone);
    learner_free(l);
    learner_free(alone);
}
END_TEST

START_TEST(a_new_class_that_takes_the_others_is_told_as_it_comes)
{
    struct learner *l = still_model();
    struct err err;
    model_train_random(l, 62, 3); /* twenty of each, or more; the next look of its own is at step 64 */
    all_for_one(l, 0);
    set_column(l, 0, -1.0F);
    set_column(l, 1, -1.1F);
    ck_assert_int_eq(model_class(l, CLASS_ADD, 3, "new", &err), 0); /* its drawn column is above -1 */
    expect_text(l, HEALTH_NEW_CLASS,
                "class \"new\" is new, and 100 % of the images of other classes are taken for it: set imprint to 5 and "
                "rehearsal to 8");
    set_column(l, 3, -2.0F);
    health_look(l);
    ck_assert(!raised(l, HEALTH_NEW_CLASS));
    learner_free(l);
}
END_TEST

START_TEST(a_new_class_that_takes_the_others_by_its_first_five_images_is_told)
{
    for (int alone = 0; alone < 2; alone++) {
        struct learner *l = still_model();
        struct err err;
        model_train_random(l, 80, 3);
        all_for_one(l, 0);
        l->settings.imprint = 5;
        l->settings.rehearsal = 0;
        l->health.next = UINT64_MAX; /* none but what is due by the class */
        ck_assert_int_eq(model_class(l, CLASS_ADD, 3, "new", &err), 0);
        ck_assert(!raised(l, HEALTH_NEW_CLASS));
        l->settings.imprint = 0;
        set_column(l, 3, 2.0F);
        for (int i = 0; i < 4; i++)
            train_one(l, 3);
        if (!alone)
            train_one(l, 0);
        ck_assert(!raised(l, HEALTH_NEW_CLASS));
        train_one(l, 3);
        ck_assert_int_eq(raised(l, HEALTH_NEW_CLASS), alone);
        for (int i = 0; i < 10; i++) /* it stays the new one until it is cleared */
            train_one(l, 3);
        health_look(l);
        ck_assert_int_eq(raised(l, HEALTH_NEW_CLASS), alone);
        learner_free(l);
    }
}
END_TEST

START_TEST(accuracy_that_is_not_above_that_of_the_commonest_class_is_told)
{
    struct learner *l = still_model();
    struct chance chance = {.state = 5};
    all_for_one(l, 2);
    for (int i = 0; i < 199; i++) {
        train_one(l, chance_unit(&chance) < 0.6 ? 0 : 1);
        ck_assert(!raised(l, HEALTH_COMMONEST));
    }
    train_one(l, 1);
    health_look(l);
    ck_assert(raised(l, HEALTH_COMMONEST));
    expect_text(l, HEALTH_COMMONEST,
                "accuracy: 0 % of the last 100 samples, no more than if the answer were always \"0\": set rehearsal "
                "to 8");
    all_for_one(l, 0); /* which is not better than it */
    for (int i = 0; i < 1200; i++)
        train_one(l, chance_unit(&chance) < 0.6 ? 0 : 1);
    ck_assert(raised(l, HEALTH_COMMONEST));
    for (int i = 0; i < 400; i++) { /* and now it is */
        const uint32_t label = i % 2 == 0 ? 0 : 1;
        all_for_one(l, label);
        train_one(l, label);
    }
    health_look(l);
    ck_assert(!raised(l, HEALTH_COMMONEST));
    learner_free(l);
}
END_TEST

START_TEST(of_samples_that_are_sorted_by_class_the_commonest_says_nothing)
{
    struct learner *l = still_model();
    all_for_one(l, 2);
    for (int i = 0; i < 600; i++)
        train_one(l, i < 300 ? 0 : 1);
    health_look(l);
    ck_assert(!raised(l, HEALTH_COMMONEST));
    learner_free(l);
}
END_TEST

START_TEST(a_model_without_room_for_past_images_looks_at_none)
{
    struct model_options options = model_small();
    options.width = options.height = 200;
    options.kernels = 0;
    options.n_classes = 600;
    options.hidden = 1;
    struct learner *l = model_create(&options);
    l->settings.rate = 0.0F;
    ck_assert_uint_eq(l->buffer->share, 0);
    model_train_random(l, 210, 3);
    health_look(l);
    for (int i = 0; i < HEALTH_N; i++)
        ck_assert_int_eq(raised(l, (enum health_warning)i), i == HEALTH_COMMONEST);
    learner_free(l);
}
END_TEST

START_TEST(a_look_changes_nothing_else)
{
    struct learner *l = still_model();
    model_train_random(l, 40, 3);
    l->settings.rehearsal = 4;
    l->settings.rate = 0.05F;
    struct err err;
    struct learner *other = learner_dup(l, true, &err);
    ck_assert_ptr_nonnull(other);
    health_look(other);
    other->health = l->health;
    expect_same_digest(l, other);
    model_train_random(l, 100, 4);
    model_train_random(other, 100, 4);
    expect_same_digest(l, other);
    learner_free(l);
    learner_free(other);
}
END_TEST

START_TEST(the_digest_covers_the_warnings_and_a_snapshot_keeps_them)
{
    static uint8_t bytes[100000];
    struct learner *l = still_model();
    struct err err;
    model_train_random(l, 40, 3);
    const struct hex before = model_digest(l);
    l->health.warnings[HEALTH_NEW_CLASS].since = 17;
    l->health.warnings[HEALTH_NEW_CLASS].share = 456;
    l->health.warnings[HEALTH_NEW_CLASS].class_index = 2;
    ck_assert_str_ne(model_digest(l).text, before.text);
    size_t n = learner_encode_rest(l, bytes, sizeof bytes);
    struct learner *back = learner_decode(bytes, n, NULL, &err);
    ck_assert_msg(back != NULL, "%s", err.text);
    ck_assert_mem_eq(&back->health, &l->health, sizeof back->health);
    learner_free(back);
    const struct health good = l->health;
    for (int i = 0; i < 4; i++) {
        l->health = good;
        if (i == 0)
            l->health.warnings[HEALTH_NEW_CLASS].since = 41; /* later than the last sample */
        else if (i == 1)
            l->health.warnings[HEALTH_NEW_CLASS].share = 1001;
        else if (i == 2)
            l->health.warnings[HEALTH_NEW_CLASS].class_index = 3;
        else
            l->health.next = 40 + HEALTH_STEPS + 1;
        n = learner_encode_rest(l, bytes, sizeof bytes);
        ck_assert_ptr_null(learner_decode(bytes, n, NULL, &err));
        ck_assert_int_eq(err.code, ERR_DB_CORRUPT);
    }
    learner_free(l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("health");
    tcase_add_test(tests, a_model_that_learns_raises_none);
    tcase_add_test(tests, units_that_are_saturated_alike_on_all_images_are_told_and_cleared);
    tcase_add_test(tests, of_samples_that_are_sorted_by_class_the_order_is_told);
    tcase_add_test(tests, units_that_are_saturated_but_tell_images_apart_are_not);
    tcase_add_test(tests, kernels_that_never_win_are_told);
    tcase_add_test(tests, a_class_that_takes_all_is_told_with_what_helps);
    tcase_add_test(tests, what_is_young_is_not_judged);
    tcase_add_test(tests, a_new_class_that_takes_the_others_is_told_as_it_comes);
    tcase_add_test(tests, a_new_class_that_takes_the_others_by_its_first_five_images_is_told);
    tcase_add_test(tests, accuracy_that_is_not_above_that_of_the_commonest_class_is_told);
    tcase_add_test(tests, of_samples_that_are_sorted_by_class_the_commonest_says_nothing);
    tcase_add_test(tests, a_model_without_room_for_past_images_looks_at_none);
    tcase_add_test(tests, a_look_changes_nothing_else);
    tcase_add_test(tests, the_digest_covers_the_warnings_and_a_snapshot_keeps_them);
    return run_case(tests, "health");
}
