/* rehearsal_plan.c - see trainer/rehearsal_plan.h */
#include "server/trainer/rehearsal_plan.h"

#include <assert.h>
#include <math.h>

#include "core/draw.h"
#include "core/jitter.h"
#include "server/common/clock.h"

#define STEPS_MAX  8192u   /* of one event: a replay stops only between events                    */
#define SEED_BITS  53      /* JSON holds them                                                     */
#define STEP_US    4.0     /* of every step: finding the picture, displacing it                   */
#define FMA_PER_US 33000.0 /* multiply-adds of a train step: 0.47 million in 14 us with AVX-512   */

struct rehearse_options rehearse_options_default(void)
{
    return (struct rehearse_options){
        .passes = 1, .rate = (double)NAN, .decay = 1, .jitter = (double)NAN, .rotation = (double)NAN};
}

static int check_range(double value, double low, double high, const char *name, struct err *err)
{
    if (isnan(value) || (value >= low && value <= high))
        return 0;
    err_set(err, ERR_VALUE, "%s must be a number from %g to %g", name, low, high);
    return err_at(err, "/%s", name);
}

int rehearse_options_check(const struct rehearse_options *options, struct err *err)
{
    const struct setting_info *rate = &setting_table[SETTING_RATE];
    if (check_range(options->rate, rate->low, rate->high, "rate", err) != 0 ||
        check_range(options->decay, REHEARSE_DECAY_MIN, 1, "decay", err) != 0 ||
        check_range(options->jitter, 0, JITTER_SHIFT_MAX, "jitter", err) != 0)
        return -1;
    return check_range(options->rotation, 0, JITTER_DEGREES_MAX, "rotation", err);
}

/* What the arithmetic draws from is in the state or in the event: a pass begins at a step that no other began at, unless
 * the model went back, and then the same thing happening again is as good as another. */
static uint64_t order_seed(const struct learner *learner, uint64_t step)
{
    return draw_bits(learner->settings.seed, step) >> (64 - SEED_BITS);
}

int rehearse_begin(struct rehearse_plan *plan, const struct rehearse_options *options, struct store *store,
                   const struct learner *learner, struct err *err)
{
    const struct settings *s = &learner->settings;
    bool all = options->first_id == 0 && options->last_id == 0;
    assert(options->passes > 0);
    *plan = (struct rehearse_plan){
        .first_id = all ? 1 : options->first_id,
        .last_id = all ? INT64_MAX : options->last_id,
        .passes = options->passes,
        .pass = 1,
        .rate = isnan(options->rate) ? settings_rate(s, learner->step) : (float)options->rate,
        .decay = options->decay,
        .by_model = isnan(options->rate) && s->decay_steps > 0.0F,
        .scale = 1,
        .jitter = isnan(options->jitter) ? s->jitter : (float)options->jitter,
        .rotation = isnan(options->rotation) ? s->rotation : (float)options->rotation,
    };
    if (store_rehearsable(store, &plan->first_id, &plan->last_id, &plan->n, err) != 0)
        return -1;
    if (plan->n > 0)
        return 0;
    if (all)
        return err_set(err, ERR_CONFLICT,
                       "there is nothing to rehearse: the model has not learned from any sample yet");
    return err_set(err, ERR_CONFLICT, "there is nothing to rehearse: the model has learned from no sample %lld to %lld",
                   (long long)options->first_id, (long long)options->last_id);
}

bool rehearse_over(const struct rehearse_plan *plan)
{
    return plan->pass > plan->passes;
}

uint64_t rehearse_steps(const struct rehearse_plan *plan)
{
    return (plan->pass - 1) * plan->n + plan->place;
}

uint64_t rehearse_steps_total(const struct rehearse_plan *plan)
{
    return plan->passes * plan->n;
}

uint64_t rehearse_steps_in(const struct rehearse_plan *plan, const struct learner *learner, uint64_t us)
{
    const struct shape *s = &learner->shape;
    const double convolution = (double)s->n_k * ((double)s->kernels + 1) * (double)s->n_0 * (s->kernels > 0);
    const double dense = 3 * (double)s->n_1 * ((double)s->n_0 + learner->n_classes);
    const double estimate = STEP_US + (convolution + dense) / FMA_PER_US;
    const double step_us = plan->step_us / 4 > estimate ? plan->step_us / 4 : estimate;
    const double steps = (double)us / step_us;
    return steps < 1 ? 1 : steps > STEPS_MAX ? STEPS_MAX : (uint64_t)steps;
}

void rehearse_next(struct event *event, struct rehearse_plan *plan, const struct store *store,
                   const struct learner *learner, uint64_t step, uint64_t steps_max)
{
    assert(!rehearse_over(plan) && steps_max > 0);
    if (plan->place == 0)
        plan->seed = order_seed(learner, step);
    if (plan->place == 0 && plan->by_model)
        plan->rate = (float)((double)settings_rate(&learner->settings, step) * plan->scale);
    const uint64_t left = plan->n - plan->place, wanted = steps_max < STEPS_MAX ? steps_max : STEPS_MAX;
    *event =
        (struct event){.kind = EVENT_REHEARSE, .revision = store_revision(store) + 1, .created_us = store_now_us()};
    event->as.rehearse.first_id = plan->first_id;
    event->as.rehearse.last_id = plan->last_id;
    event->as.rehearse.n = plan->n;
    event->as.rehearse.seed = plan->seed;
    event->as.rehearse.begin = plan->place;
    event->as.rehearse.end = plan->place + (wanted < left ? wanted : left);
    event->as.rehearse.rate = plan->rate;
    event->as.rehearse.jitter = plan->jitter;
    event->as.rehearse.rotation = plan->rotation;
    plan->place = event->as.rehearse.end;
    if (plan->place == plan->n) {
        plan->place = 0;
        plan->pass++;
        plan->rate = (float)((double)plan->rate * plan->decay);
        plan->scale *= plan->decay;
    }
}

int rehearse_apply(struct rehearse_plan *plan, struct learner *learner, const struct event *event,
                   const struct rehearse_pictures *pictures, struct err *err)
{
    const uint64_t begin_us = thread_us();
    const int status = store_rehearse_apply(learner, event, pictures, err);
    plan->step_us = (double)(thread_us() - begin_us) / (double)(event->as.rehearse.end - event->as.rehearse.begin);
    return status;
}
