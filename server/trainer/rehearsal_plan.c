/* rehearsal_plan.c - see trainer/rehearsal_plan.h */
#include "server/trainer/rehearsal_plan.h"

#include <assert.h>
#include <math.h>
#include <time.h>

#include "core/draw.h"
#include "core/jitter.h"

#define STEPS_MAX  8192u   /* of one event: a replay stops only between events                    */
#define SEED_BITS  53      /* JSON holds them                                                     */
#define STEP_US    4.0     /* of every step: finding the picture, displacing it                   */
#define FMA_PER_US 33000.0 /* multiply-adds of a train step: 0.47 million in 14 us with AVX-512   */

struct rehearse_ask rehearse_ask_default(void)
{
    return (struct rehearse_ask){
        .passes = 1, .rate = (double)NAN, .decay = 1, .jitter = (double)NAN, .rotation = (double)NAN};
}

static int check_range(double value, double low, double high, const char *name, struct err *err)
{
    if (isnan(value) || (value >= low && value <= high))
        return 0;
    err_set(err, ERR_VALUE, "%s must be a number from %g to %g", name, low, high);
    return err_at(err, "/%s", name);
}

int rehearse_ask_check(const struct rehearse_ask *ask, struct err *err)
{
    const struct setting_info *rate = &setting_table[SETTING_RATE];
    if (check_range(ask->rate, rate->low, rate->high, "rate", err) != 0 ||
        check_range(ask->decay, REHEARSE_DECAY_MIN, 1, "decay", err) != 0 ||
        check_range(ask->jitter, 0, JITTER_SHIFT_MAX, "jitter", err) != 0)
        return -1;
    return check_range(ask->rotation, 0, JITTER_DEGREES_MAX, "rotation", err);
}

/* What the arithmetic draws from is in the state or in the event: a pass begins at a step that no other began at, unless
 * the model went back, and then the same thing happening again is as good as another. */
static uint64_t order_seed(const struct learner *learner)
{
    return draw_bits(learner->settings.seed, learner->step) >> (64 - SEED_BITS);
}

int rehearse_begin(struct rehearse_plan *plan, const struct rehearse_ask *ask, struct store *store,
                   const struct learner *learner, struct err *err)
{
    const struct settings *s = &learner->settings;
    bool all = ask->first_id == 0 && ask->last_id == 0;
    assert(ask->passes > 0);
    *plan = (struct rehearse_plan){
        .first_id = all ? 1 : ask->first_id,
        .last_id = all ? INT64_MAX : ask->last_id,
        .passes = ask->passes,
        .pass = 1,
        .rate = isnan(ask->rate) ? settings_rate(s, learner->step) : (float)ask->rate,
        .decay = ask->decay,
        .by_model = isnan(ask->rate) && s->decay_steps > 0.0F,
        .scale = 1,
        .jitter = isnan(ask->jitter) ? s->jitter : (float)ask->jitter,
        .rotation = isnan(ask->rotation) ? s->rotation : (float)ask->rotation,
    };
    if (store_rehearsable(store, &plan->first_id, &plan->last_id, &plan->n, err) != 0)
        return -1;
    if (plan->n > 0)
        return 0;
    if (all)
        return err_set(err, ERR_CONFLICT,
                       "there is nothing to rehearse: the model has not learned from any sample yet");
    return err_set(err, ERR_CONFLICT, "there is nothing to rehearse: the model has learned from no sample %lld to %lld",
                   (long long)ask->first_id, (long long)ask->last_id);
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

/* Of this thread alone: what else the machine does is none of a step's cost. */
static double clock_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
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

int rehearse_chunk(struct event *event, struct rehearse_plan *plan, struct store *store, struct learner *learner,
                   uint64_t steps_max, struct err *err)
{
    assert(!rehearse_over(plan) && steps_max > 0);
    if (plan->place == 0)
        plan->seed = order_seed(learner);
    if (plan->place == 0 && plan->by_model)
        plan->rate = (float)((double)settings_rate(&learner->settings, learner->step) * plan->scale);
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

    const double begin_us = clock_us();
    if (store_rehearse(store, learner, event, NULL, NULL, err) != 0)
        return -1;
    plan->step_us = (clock_us() - begin_us) / (double)(event->as.rehearse.end - event->as.rehearse.begin);
    plan->place = event->as.rehearse.end;
    if (plan->place == plan->n) {
        plan->place = 0;
        plan->pass++;
        plan->rate = (float)((double)plan->rate * plan->decay);
        plan->scale *= plan->decay;
    }
    return 0;
}
