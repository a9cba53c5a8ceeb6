/* test_learner.c - the fold: what train, class and tune events do to the state, and what they leave alone. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "tests/core/models.h"
#include "tests/core/run.h"

static struct learner *small(void)
{
    struct model_options options = model_small();
    return model_create(&options);
}

/* ---- train ---- */

/* A list of events of all three kinds that a learner applies by itself, drawn from `seed`; revisions go up by `gap`. */
static void apply_random_events(struct learner *l, uint64_t seed, uint32_t n_events, uint64_t gap)
{
    struct chance chance = {.state = seed};
    struct err err;
    for (uint32_t i = 0; i < n_events; i++) {
        uint8_t pixels[8][64];
        struct sample samples[8];
        struct event event = {.revision = l->revision + gap};
        uint32_t kind = chance_between(&chance, 0, 9);
        if (kind == 0 && l->n_classes < 20) {
            ck_assert_int_eq(learner_reserve(l, l->n_classes + 1, &err), 0);
            event.kind = EVENT_CLASS;
            event.as.class_.action = CLASS_ADD;
            event.as.class_.index = l->n_classes;
            (void)snprintf(event.as.class_.label, sizeof event.as.class_.label, "added %u", i);
        } else if (kind == 1) {
            event.kind = EVENT_CLASS;
            event.as.class_.action = CLASS_RENAME;
            event.as.class_.index = chance_between(&chance, 0, l->n_classes - 1);
            (void)snprintf(event.as.class_.label, sizeof event.as.class_.label, "renamed %u", i);
        } else if (kind == 2) {
            event.kind = EVENT_TUNE;
            event.as.tune.settings = l->settings;
            event.as.tune.settings.rate = (float)chance_unit(&chance);
            event.as.tune.settings.gradient = chance_bits(&chance) % 2 == 0 ? GRADIENT_DIAGONAL : GRADIENT_JACOBIAN;
        } else {
            event.kind = EVENT_TRAIN;
            event.as.train.n = chance_between(&chance, 1, 8);
            event.as.train.samples = samples;
            ck_assert_uint_le(l->shape.n_input, 64);
            for (uint32_t s = 0; s < event.as.train.n; s++) {
                chance_pixels(&chance, pixels[s], l->shape.n_input);
                samples[s] =
                    (struct sample){.label = chance_between(&chance, 0, l->n_classes - 1), .pixels = pixels[s]};
            }
        }
        ck_assert_msg(learner_apply(l, &event, &err) == 0, "%s", err.text);
    }
}

START_TEST(two_runs_over_the_same_events_give_the_same_digest)
{
    struct learner *a = small(), *b = small();
    apply_random_events(a, 1, 300, 1);
    apply_random_events(b, 1, 300, 1);
    expect_same_digest(a, b);
    ck_assert_uint_eq(a->step, b->step);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(other_events_give_another_digest)
{
    struct learner *a = small(), *b = small();
    apply_random_events(a, 1, 30, 1);
    apply_random_events(b, 2, 30, 1);
    expect_other_digest(a, b);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(the_same_samples_in_another_order_give_another_digest)
{
    struct learner *a = small(), *b = small();
    uint8_t pixels[2][30];
    struct chance chance = {.state = 3};
    chance_pixels(&chance, pixels[0], sizeof pixels);
    (void)model_train(a, 0, pixels[0]);
    (void)model_train(a, 1, pixels[1]);
    (void)model_train(b, 1, pixels[1]);
    (void)model_train(b, 0, pixels[0]);
    expect_other_digest(a, b);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(the_digest_does_not_depend_on_the_numbers_of_revisions)
{
    struct learner *a = small(), *b = small();
    apply_random_events(a, 4, 100, 1);
    apply_random_events(b, 4, 100, 1000000007);
    ck_assert_uint_ne(a->revision, b->revision);
    expect_same_digest(a, b);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(the_digest_does_not_depend_on_the_capacity)
{
    struct model_options options = model_small();
    struct learner *a = model_create(&options);
    options.capacity = 500;
    struct learner *b = model_create(&options);
    ck_assert_uint_eq(b->capacity, 500);
    expect_same_digest(a, b);
    apply_random_events(a, 5, 100, 1);
    apply_random_events(b, 5, 100, 1);
    expect_same_digest(a, b);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(a_batch_of_samples_is_the_same_as_its_samples_one_by_one)
{
    struct learner *a = small(), *b = small();
    uint8_t pixels[5][30];
    struct sample samples[5];
    struct chance chance = {.state = 6};
    for (uint32_t i = 0; i < 5; i++) {
        chance_pixels(&chance, pixels[i], sizeof pixels[i]);
        samples[i] = (struct sample){.label = i % 3, .pixels = pixels[i]};
    }
    struct event event = {.kind = EVENT_TRAIN, .revision = 2};
    event.as.train.n = 5;
    event.as.train.samples = samples;
    struct err err;
    ck_assert_int_eq(learner_apply(a, &event, &err), 0);
    for (uint32_t i = 0; i < 5; i++) {
        struct sample alone = model_train(b, i % 3, pixels[i]);
        ck_assert_uint_eq(alone.predicted, samples[i].predicted);
        ck_assert_mem_eq(&alone.loss, &samples[i].loss, sizeof alone.loss);
    }
    expect_same_digest(a, b);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(a_sample_is_judged_before_it_is_learned_from)
{
    struct learner *l = small();
    uint8_t pixels[30];
    struct chance chance = {.state = 7};
    chance_pixels(&chance, pixels, sizeof pixels);
    net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
    const uint32_t predicted = net_argmax(&l->net, l->ws->l2);
    const float loss = net_loss(l->arith, &l->net, l->ws, 2);
    struct sample sample = model_train(l, 2, pixels);
    ck_assert_uint_eq(sample.predicted, predicted);
    ck_assert_mem_eq(&sample.loss, &loss, sizeof loss);
    net_forward(l->arith, &l->net, &l->settings, pixels, l->ws);
    ck_assert_double_lt((double)net_loss(l->arith, &l->net, l->ws, 2), (double)loss);
    learner_free(l);
}
END_TEST

START_TEST(each_sample_is_one_step_and_an_event_one_revision)
{
    struct learner *l = small();
    ck_assert_uint_eq(l->revision, 1);
    ck_assert_uint_eq(l->step, 0);
    model_train_random(l, 9, 8);
    ck_assert_uint_eq(l->step, 9);
    ck_assert_uint_eq(l->revision, 10);
    learner_free(l);
}
END_TEST

START_TEST(the_diagonal_and_the_jacobian_gradient_learn_different_weights)
{
    struct model_options options = model_small();
    struct learner *a = model_create(&options);
    options.gradient = GRADIENT_JACOBIAN;
    struct learner *b = model_create(&options);
    const size_t bytes = net_floats(&a->shape, 3) * sizeof(float);
    ck_assert_int_eq(memcmp(a->params, b->params, bytes), 0);
    model_train_random(a, 1, 9);
    model_train_random(b, 1, 9);
    ck_assert_int_ne(memcmp(a->params, b->params, bytes), 0);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(a_net_without_kernels_learns)
{
    struct model_options options = model_small();
    options.kernels = 0;
    struct learner *l = model_create(&options);
    ck_assert_uint_eq(l->shape.n_0, 30);
    model_train_random(l, 1500, 10);
    uint32_t correct = 0;
    for (int i = 0; i < TALLY_RECENT; i++)
        correct += l->tally.recent[i].label == l->tally.recent[i].predicted;
    ck_assert_uint_ge(correct, 900);
    learner_free(l);
}
END_TEST

START_TEST(padding_stays_zero_through_training)
{
    struct learner *l = small();
    apply_random_events(l, 11, 200, 1);
    const struct net *net = &l->net;
    for (size_t m = 0; m < l->shape.n_k; m++)
        for (size_t i = l->shape.kernels; i < net->ld_k; i++)
            ck_assert_double_eq((double)net->k[m * net->ld_k + i], 0.0);
    for (size_t p = 0; p < l->shape.n_0; p++)
        for (size_t t = l->shape.n_1; t < net->ld_1; t++)
            ck_assert_double_eq((double)net->w01[p * net->ld_1 + t], 0.0);
    for (size_t t = 0; t < l->shape.n_1; t++)
        for (size_t m = l->n_classes; m < net->ld_2; m++)
            ck_assert_double_eq((double)net->w12[t * net->ld_2 + m], 0.0);
    learner_free(l);
}
END_TEST

/* ---- tally ---- */

START_TEST(the_tally_adds_up)
{
    struct learner *l = small();
    uint8_t pixels[30];
    struct chance chance = {.state = 12};
    uint64_t correct = 0;
    double loss_sum = 0.0;
    uint32_t confusion[3][3] = {{0}};
    for (uint32_t i = 0; i < 700; i++) {
        chance_pixels(&chance, pixels, sizeof pixels);
        struct sample s = model_train(l, chance_between(&chance, 0, 2), pixels);
        correct += s.label == s.predicted;
        loss_sum += (double)s.loss;
        confusion[s.label][s.predicted]++;
    }
    ck_assert_uint_eq(l->tally.samples, 700);
    ck_assert_uint_eq(l->tally.correct, correct);
    ck_assert_double_eq(l->tally.loss_sum, loss_sum);
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t j = 0; j < 3; j++)
            ck_assert_uint_eq(l->tally.confusion[i * l->capacity + j], confusion[i][j]);
    ck_assert_uint_gt(correct, 0);
    ck_assert_uint_lt(correct, 700);
    learner_free(l);
}
END_TEST

START_TEST(the_recent_outcomes_are_the_last_thousand)
{
    struct learner *l = small();
    uint8_t pixels[30];
    struct chance chance = {.state = 13};
    static struct sample all[2345];
    for (uint32_t i = 0; i < 2345; i++) {
        chance_pixels(&chance, pixels, sizeof pixels);
        all[i] = model_train(l, chance_between(&chance, 0, 2), pixels);
    }
    for (uint32_t i = 2345 - TALLY_RECENT; i < 2345; i++) {
        const struct outcome *o = &l->tally.recent[i % TALLY_RECENT];
        ck_assert_uint_eq(o->label, all[i].label);
        ck_assert_uint_eq(o->predicted, all[i].predicted);
        ck_assert_mem_eq(&o->loss, &all[i].loss, sizeof o->loss);
    }
    learner_free(l);
}
END_TEST

/* A step as a training step is: with the model's rate, nothing displaced. */
static int rehearse(struct learner *l, uint32_t label, const uint8_t *pixels, struct err *err)
{
    const struct rehearse_step how = {.rate = l->settings.rate};
    return learner_rehearse(l, label, pixels, &how, err);
}

START_TEST(a_rehearsal_learns_but_does_not_touch_the_tally)
{
    struct learner *l = small();
    model_train_random(l, 20, 14);
    static struct tally before;
    before = l->tally;
    struct hex digest = model_digest(l);
    uint8_t pixels[30] = {9, 8, 7};
    struct err err;
    ck_assert_int_eq(rehearse(l, 1, pixels, &err), 0);
    ck_assert_uint_eq(l->step, 21);
    ck_assert_uint_eq(l->revision, 21); /* the caller's affair */
    ck_assert_int_eq(memcmp(&before, &l->tally, sizeof before), 0);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < l->capacity * l->capacity; i++)
        sum += l->tally.confusion[i];
    ck_assert_uint_eq(sum, 20);
    ck_assert_str_ne(digest.text, model_digest(l).text);
    learner_free(l);
}
END_TEST

START_TEST(a_rehearsal_leaves_the_weights_of_a_training_step)
{
    struct learner *a = small(), *b = small();
    uint8_t pixels[30] = {200, 100, 50};
    struct err err;
    ck_assert_int_eq(rehearse(a, 1, pixels, &err), 0);
    (void)model_train(b, 1, pixels);
    ck_assert_int_eq(memcmp(a->params, b->params, net_floats(&a->shape, 3) * sizeof(float)), 0);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(rehearsing_a_sample_of_no_class_is_refused)
{
    struct learner *l = small();
    struct hex before = model_digest(l);
    uint8_t pixels[30] = {0};
    struct err err;
    ck_assert_int_eq(rehearse(l, 3, pixels, &err), -1);
    ck_assert_int_eq(err.code, ERR_LABEL_UNKNOWN);
    ck_assert_str_eq(before.text, model_digest(l).text);
    learner_free(l);
}
END_TEST

START_TEST(a_rehearsal_is_of_the_displaced_image_at_the_rate_it_is_told)
{
    struct learner *a = small(), *b = small();
    uint8_t pixels[30], displaced[30];
    struct chance chance = {.state = 31};
    struct err err;
    chance_pixels(&chance, pixels, sizeof pixels);
    for (uint32_t draw = 0; draw < 20; draw++) {
        const struct rehearse_step how = {.rate = 0.3F, .jitter = 1.5F, .rotation = 20.0F, .draw = draw};
        ck_assert_int_eq(learner_rehearse(a, draw % 3, pixels, &how, &err), 0);
        jitter_apply(displaced, pixels, &b->shape, 1.5F, 20.0F, draw);
        struct settings settings = b->settings;
        settings.rate = 0.3F;
        net_forward(b->arith, &b->net, &settings, displaced, b->ws);
        net_step(b->arith, &b->net, &settings, draw % 3, b->ws);
        ck_assert_mem_ne(displaced, pixels, sizeof pixels);
    }
    ck_assert_mem_eq(a->params, b->params, net_floats(&a->shape, 3) * sizeof(float));
    ck_assert(a->settings.rate == b->settings.rate);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(a_rehearsal_with_numbers_out_of_range_is_refused)
{
    struct learner *l = small();
    struct hex before = model_digest(l);
    const uint8_t pixels[30] = {1, 2, 3};
    static const struct rehearse_step wrong[] = {
        {.rate = -1.0F}, {.rate = INFINITY},  {.rate = NAN},       {.jitter = -0.5F}, {.jitter = 16.5F},
        {.jitter = NAN}, {.rotation = -1.0F}, {.rotation = 45.5F}, {.rotation = NAN},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err err = {0};
        ck_assert_int_eq(learner_rehearse(l, 1, pixels, &wrong[i], &err), -1);
        ck_assert_int_eq(err.code, ERR_VALUE);
    }
    ck_assert_str_eq(before.text, model_digest(l).text);
    learner_free(l);
}
END_TEST

/* ---- tune ---- */

static int tune(struct learner *l, enum setting which, double value, struct err *err)
{
    struct event event = {.kind = EVENT_TUNE, .revision = l->revision + 1};
    event.as.tune.settings = l->settings;
    ck_assert_int_eq(settings_set(&event.as.tune.settings, which, value, err), 0);
    return learner_apply(l, &event, err);
}

START_TEST(tuning_changes_the_settings_and_no_weight)
{
    struct learner *a = small(), *b = small();
    struct err err;
    ck_assert_int_eq(tune(a, SETTING_RATE, 0.5, &err), 0);
    ck_assert_int_eq(tune(a, SETTING_INVERT, INVERT_AUTO, &err), 0);
    ck_assert_double_eq((double)a->settings.rate, 0.5);
    ck_assert_int_eq(a->settings.invert, INVERT_AUTO);
    ck_assert_uint_eq(a->step, 0);
    ck_assert_uint_eq(a->revision, 3);
    ck_assert_int_eq(memcmp(a->params, b->params, net_floats(&a->shape, 3) * sizeof(float)), 0);
    expect_other_digest(a, b);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(every_setting_counts_in_the_digest)
{
    static const double other[SETTING_N] = {
        0.5, -0.25, 43, NORMALIZE_STD, GRADIENT_JACOBIAN, FIT_COVER, INVERT_AUTO, 4, 1.5, 10, 100, 0.5, 5,
        64,  0.3,   30, 2000};
    struct learner *l = small();
    struct hex before = model_digest(l);
    struct settings settings = l->settings;
    for (int i = 0; i < SETTING_N; i++) {
        struct err err;
        ck_assert_int_eq(settings_set(&l->settings, (enum setting)i, other[i], &err), 0);
        ck_assert_msg(strcmp(before.text, model_digest(l).text) != 0, "%s does not", setting_table[i].name);
        l->settings = settings;
    }
    ck_assert_str_eq(before.text, model_digest(l).text);
    learner_free(l);
}
END_TEST

START_TEST(a_tuned_rate_is_the_rate_of_the_next_step)
{
    struct learner *a = small(), *b = small();
    uint8_t pixels[30] = {200, 100, 50};
    struct err err;
    ck_assert_int_eq(tune(a, SETTING_RATE, 0.0, &err), 0);
    (void)model_train(a, 1, pixels);
    ck_assert_int_eq(memcmp(a->params, b->params, net_floats(&a->shape, 3) * sizeof(float)), 0);
    ck_assert_int_eq(tune(a, SETTING_RATE, 0.5, &err), 0);
    (void)model_train(a, 1, pixels);
    ck_assert_int_ne(memcmp(a->params, b->params, net_floats(&a->shape, 3) * sizeof(float)), 0);
    learner_free(a);
    learner_free(b);
}
END_TEST

/* A factor of two rounds nothing, but it is not added to the same number: w12 moves twice as far, the rest to the bit as far. */
START_TEST(the_output_rate_is_for_the_last_layer_alone)
{
    struct learner *before = small(), *a = small(), *b = small();
    uint8_t pixels[30] = {200, 100, 50};
    b->settings.output_rate = 2.0F;
    (void)model_train(a, 1, pixels);
    (void)model_train(b, 1, pixels);
    const size_t n_12 = (size_t)a->shape.n_1 * a->net.ld_2, n = net_floats(&a->shape, 3) - n_12;
    ck_assert_mem_eq(a->params, b->params, n * sizeof(float));
    for (size_t i = 0; i < n_12; i++) {
        const double once = (double)a->net.w12[i] - (double)before->net.w12[i],
                     twice = (double)b->net.w12[i] - (double)before->net.w12[i];
        ck_assert(fabs(twice - 2.0 * once) <= 1e-6 && (i % a->net.ld_2 >= 3 || once != 0.0));
    }
    learner_free(before);
    learner_free(a);
    learner_free(b);
}
END_TEST

START_TEST(a_class_that_comes_late_is_rehearsed_as_much_as_the_first)
{
    struct learner *l = small();
    uint8_t pixels[30] = {200, 100, 50};
    l->settings.rehearsal = 1;
    l->settings.rehearsal_first = 3;
    for (uint64_t i = 0; i < 200; i++)
        (void)model_train(l, 0, pixels);
    const uint64_t step = l->step;
    (void)model_train(l, 0, pixels);
    ck_assert_uint_eq(l->step, step + 2);
    (void)model_train(l, 1, pixels);
    ck_assert_uint_eq(l->step, step + 2 + 4);
    learner_free(l);
}
END_TEST

START_TEST(the_step_size_falls_with_the_steps_that_were_made)
{
    /* the same as to tune the rate before each step, by hand; a rehearsed sample counts as a step, too */
    struct learner *a = small(), *b = small(), *constant = small();
    struct chance chance = {.state = 5};
    struct err err;
    a->settings.decay_steps = 7.0F;
    b->settings.decay_steps = 0.0F;
    for (uint32_t step = 0; step < 80; step++) {
        uint8_t pixels[30];
        const uint32_t label = chance_between(&chance, 0, 2);
        chance_pixels(&chance, pixels, sizeof pixels);
        const double falls = step / 7.0;
        b->settings.rate = (float)((double)a->settings.rate / (1.0 + (falls < 9.0 ? falls : 9.0)));
        if (step % 3 == 0) {
            ck_assert_int_eq(rehearse(a, label, pixels, &err), 0);
            ck_assert_int_eq(
                learner_rehearse(b, label, pixels, &(struct rehearse_step){.rate = a->settings.rate}, &err), 0);
            ck_assert_int_eq(rehearse(constant, label, pixels, &err), 0);
            continue;
        }
        (void)model_train(a, label, pixels);
        (void)model_train(b, label, pixels);
        (void)model_train(constant, label, pixels);
    }
    ck_assert_mem_eq(a->params, b->params, net_floats(&a->shape, 3) * sizeof(float));
    ck_assert_mem_ne(a->params, constant->params, net_floats(&a->shape, 3) * sizeof(float));
    learner_free(a);
    learner_free(b);
    learner_free(constant);
}
END_TEST

START_TEST(a_fixed_setting_cannot_be_tuned)
{
    struct learner *l = small();
    struct hex before = model_digest(l);
    for (int i = 0; i < SETTING_N; i++) {
        struct err err = {.code = ERR_NONE};
        if (setting_table[i].tunable)
            continue;
        char pointer[32];
        (void)snprintf(pointer, sizeof pointer, "/%s", setting_table[i].name);
        ck_assert_int_eq(tune(l, (enum setting)i, 1.0, &err), -1);
        ck_assert_int_eq(err.code, ERR_VALUE);
        ck_assert_str_eq(err.pointer, pointer);
    }
    ck_assert_str_eq(before.text, model_digest(l).text);
    ck_assert_uint_eq(l->revision, 1);
    learner_free(l);
}
END_TEST

/* ---- what is refused leaves the state as it was ---- */

static void expect_refused(struct learner *l, struct event *event, enum err_code code, const char *pointer)
{
    struct hex before = model_digest(l);
    const uint64_t revision = l->revision;
    struct err err = {.code = ERR_NONE};
    ck_assert_int_eq(learner_apply(l, event, &err), -1);
    ck_assert_msg(err.code == code, "%s, not %s: %s", err_code_name(err.code), err_code_name(code), err.text);
    ck_assert_str_eq(err.pointer, pointer);
    ck_assert_str_ne(err.text, "");
    ck_assert_str_eq(before.text, model_digest(l).text);
    ck_assert_uint_eq(l->revision, revision);
}

START_TEST(one_sample_of_no_class_among_many_refuses_them_all_and_is_named)
{
    struct learner *l = small();
    static uint8_t pixels[30];
    struct sample samples[100];
    for (uint32_t i = 0; i < 100; i++)
        samples[i] = (struct sample){.label = i == 61 ? 3 : i % 3, .pixels = pixels};
    struct event event = {.kind = EVENT_TRAIN, .revision = 2};
    event.as.train.n = 100;
    event.as.train.samples = samples;
    expect_refused(l, &event, ERR_LABEL_UNKNOWN, "/samples/61/label");
    learner_free(l);
}
END_TEST

START_TEST(an_event_that_is_not_newer_is_refused)
{
    struct learner *l = small();
    model_train_random(l, 5, 1);
    struct event event = {.kind = EVENT_TUNE, .revision = 6};
    event.as.tune.settings = l->settings;
    event.as.tune.settings.rate = 0.5F;
    ck_assert_uint_eq(l->revision, 6);
    expect_refused(l, &event, ERR_INTERNAL, "");
    event.revision = 1;
    expect_refused(l, &event, ERR_INTERNAL, "");
    learner_free(l);
}
END_TEST

START_TEST(create_rehearse_and_activate_are_not_for_apply)
{
    static const enum event_kind kinds[] = {EVENT_CREATE, EVENT_REHEARSE, EVENT_ACTIVATE, EVENT_KIND_N};
    struct learner *l = small();
    struct event event = {.kind = kinds[_i], .revision = 2};
    expect_refused(l, &event, ERR_INTERNAL, "");
    learner_free(l);
}
END_TEST

START_TEST(check_tells_the_error_of_apply_without_applying)
{
    struct learner *l = small();
    uint8_t pixels[30] = {1};
    struct sample sample = {.label = 7, .pixels = pixels};
    struct event event = {.kind = EVENT_TRAIN, .revision = 2};
    event.as.train.n = 1;
    event.as.train.samples = &sample;
    struct hex before = model_digest(l);
    struct err checked, applied;
    ck_assert_int_eq(learner_check(l, &event, &checked), -1);
    ck_assert_int_eq(learner_apply(l, &event, &applied), -1);
    ck_assert_int_eq(checked.code, applied.code);
    ck_assert_str_eq(checked.pointer, applied.pointer);
    ck_assert_str_eq(checked.text, applied.text);
    sample.label = 2;
    ck_assert_int_eq(learner_check(l, &event, &checked), 0);
    ck_assert_str_eq(before.text, model_digest(l).text);
    learner_free(l);
}
END_TEST

/* Where idle steps are cut into events has no influence; nor is there a step where nothing was learned. */
START_TEST(idle_steps_are_made_on_the_buffer_however_they_are_cut)
{
    struct learner *l = small(), *cut = small();
    uint8_t pixels[2][30] = {{1, 200, 9}, {80, 3, 250}};
    struct event idle = {.kind = EVENT_IDLE, .revision = 2, .as.idle.steps = 100};
    const struct hex before = model_digest(l);
    ck_assert_int_eq(learner_apply(l, &idle, NULL), 0);
    ck_assert_uint_eq(l->step, 0);
    ck_assert_str_eq(before.text, model_digest(l).text);
    for (uint32_t i = 0; i < 2; i++) {
        struct sample sample = {.label = i, .pixels = pixels[i]};
        struct event train = {.kind = EVENT_TRAIN, .revision = 3 + i, .as.train = {1, &sample}};
        ck_assert_int_eq(learner_apply(l, &train, NULL), 0);
        ck_assert_int_eq(learner_apply(cut, &train, NULL), 0);
    }
    const uint64_t samples = l->tally.samples;
    idle.revision = 5;
    ck_assert_int_eq(learner_apply(l, &idle, NULL), 0);
    ck_assert_uint_eq(l->step, 2 + 100);
    ck_assert_uint_eq(l->tally.samples, samples);
    for (uint32_t i = 0; i < 4; i++) {
        idle.revision = 5 + i;
        idle.as.idle.steps = 25;
        ck_assert_str_ne(model_digest(cut).text, model_digest(l).text);
        ck_assert_int_eq(learner_apply(cut, &idle, NULL), 0);
    }
    ck_assert_str_eq(model_digest(cut).text, model_digest(l).text);
    learner_free(l);
    learner_free(cut);
}
END_TEST

START_TEST(an_idle_event_has_some_steps_and_not_too_many)
{
    struct learner *l = small();
    struct event event = {.kind = EVENT_IDLE, .revision = 2};
    expect_refused(l, &event, ERR_VALUE, "");
    event.as.idle.steps = IDLE_STEPS_MAX + 1;
    expect_refused(l, &event, ERR_VALUE, "");
    learner_free(l);
}
END_TEST

START_TEST(every_kind_of_event_has_its_name)
{
    ck_assert_str_eq(event_kind_name(EVENT_CREATE), "create");
    ck_assert_str_eq(event_kind_name(EVENT_TRAIN), "train");
    ck_assert_str_eq(event_kind_name(EVENT_CLASS), "class");
    ck_assert_str_eq(event_kind_name(EVENT_TUNE), "tune");
    ck_assert_str_eq(event_kind_name(EVENT_REHEARSE), "rehearse");
    ck_assert_str_eq(event_kind_name(EVENT_ACTIVATE), "activate");
    ck_assert_str_eq(event_kind_name(EVENT_IDLE), "idle");
    ck_assert_str_eq(event_kind_name(EVENT_KIND_N), "unknown");
    ck_assert_str_eq(event_kind_name((enum event_kind)0), "unknown");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("learner");
    tcase_add_test(tcase, two_runs_over_the_same_events_give_the_same_digest);
    tcase_add_test(tcase, other_events_give_another_digest);
    tcase_add_test(tcase, the_same_samples_in_another_order_give_another_digest);
    tcase_add_test(tcase, the_digest_does_not_depend_on_the_numbers_of_revisions);
    tcase_add_test(tcase, the_digest_does_not_depend_on_the_capacity);
    tcase_add_test(tcase, a_batch_of_samples_is_the_same_as_its_samples_one_by_one);
    tcase_add_test(tcase, a_sample_is_judged_before_it_is_learned_from);
    tcase_add_test(tcase, each_sample_is_one_step_and_an_event_one_revision);
    tcase_add_test(tcase, the_diagonal_and_the_jacobian_gradient_learn_different_weights);
    tcase_add_test(tcase, a_net_without_kernels_learns);
    tcase_add_test(tcase, padding_stays_zero_through_training);
    tcase_add_test(tcase, the_tally_adds_up);
    tcase_add_test(tcase, the_recent_outcomes_are_the_last_thousand);
    tcase_add_test(tcase, a_rehearsal_learns_but_does_not_touch_the_tally);
    tcase_add_test(tcase, a_rehearsal_leaves_the_weights_of_a_training_step);
    tcase_add_test(tcase, rehearsing_a_sample_of_no_class_is_refused);
    tcase_add_test(tcase, a_rehearsal_is_of_the_displaced_image_at_the_rate_it_is_told);
    tcase_add_test(tcase, a_rehearsal_with_numbers_out_of_range_is_refused);
    tcase_add_test(tcase, tuning_changes_the_settings_and_no_weight);
    tcase_add_test(tcase, every_setting_counts_in_the_digest);
    tcase_add_test(tcase, the_output_rate_is_for_the_last_layer_alone);
    tcase_add_test(tcase, a_class_that_comes_late_is_rehearsed_as_much_as_the_first);
    tcase_add_test(tcase, a_tuned_rate_is_the_rate_of_the_next_step);
    tcase_add_test(tcase, the_step_size_falls_with_the_steps_that_were_made);
    tcase_add_test(tcase, a_fixed_setting_cannot_be_tuned);
    tcase_add_test(tcase, one_sample_of_no_class_among_many_refuses_them_all_and_is_named);
    tcase_add_test(tcase, an_event_that_is_not_newer_is_refused);
    tcase_add_loop_test(tcase, create_rehearse_and_activate_are_not_for_apply, 0, 4);
    tcase_add_test(tcase, check_tells_the_error_of_apply_without_applying);
    tcase_add_test(tcase, idle_steps_are_made_on_the_buffer_however_they_are_cut);
    tcase_add_test(tcase, an_idle_event_has_some_steps_and_not_too_many);
    tcase_add_test(tcase, every_kind_of_event_has_its_name);
    return run_case(tcase, "learner");
}
