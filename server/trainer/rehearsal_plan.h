/* rehearsal_plan.h - a rehearsal as a plan: passes over past samples, cut into chunks that are one event each.
 *
 *     while (!rehearse_over(&plan))
 *         rehearse_next()       one event
 *         store_rehearse_read() its pictures: nothing can fail once it is in the log
 *         journal append        and, sooner or later, commit
 *         rehearse_apply()
 *
 * Every pass has an order of its own and a step size of its own, rate x decay^(pass - 1); where no rate is asked for, that of the
 * model as the pass begins takes its place: settings_rate(). Where a chunk begins and ends has no
 * influence on what is learned, so chunks may be as long as the moment allows; a plan whose chunks are committed and that
 * is then dropped leaves a model that has learned a part.
 */
#ifndef CONVD_SERVER_TRAINER_REHEARSAL_PLAN_H
#define CONVD_SERVER_TRAINER_REHEARSAL_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

#define REHEARSE_PASSES_MAX 1000u
#define REHEARSE_DECAY_MIN  0.001 /* up to 1 */

/* What is asked for. NAN: the model's setting. */
struct rehearse_options {
    uint64_t passes;           /* 1 .. REHEARSE_PASSES_MAX for routes; any number for convd train */
    double rate, decay;        /* of the first pass; from one pass to the next                    */
    double jitter, rotation;   /* pixels, degrees                                                 */
    int64_t first_id, last_id; /* which samples; 0, 0: all                                        */
};

/* rehearse_options_default - one pass over all samples, by the model's settings. */
struct rehearse_options rehearse_options_default(void);

/* rehearse_options_check - Errors: ERR_VALUE with the pointer "/rate" and so on. */
int rehearse_options_check(const struct rehearse_options *options, struct err *err);

struct rehearse_plan {
    int64_t first_id, last_id;
    uint64_t n;            /* samples of a pass                   */
    uint64_t passes, pass; /* the one that is at work, from 1 on  */
    uint64_t place;        /* of its order: how far it is         */
    uint64_t seed;         /* of its order                        */
    float rate;            /* of it                               */
    double decay;
    bool by_model; /* no rate was asked for   */
    double scale;  /* decay^(pass - 1)        */
    float jitter, rotation;
    double step_us; /* of this thread's processor time, measured; 0: not yet */
};

/* rehearse_begin - the plan for what is asked, with the samples and settings of now. `options` has passed rehearse_options_check().
 * Errors: ERR_CONFLICT (there is no sample to rehearse), ERR_STORAGE, ERR_MEMORY. */
int rehearse_begin(struct rehearse_plan *plan, const struct rehearse_options *options, struct store *store,
                   const struct learner *learner, struct err *err);

bool rehearse_over(const struct rehearse_plan *plan);
uint64_t rehearse_steps(const struct rehearse_plan *plan);       /* done so far */
uint64_t rehearse_steps_total(const struct rehearse_plan *plan); /* of all passes */

/* rehearse_steps_in - about how many steps so many microseconds hold, at least one. Estimated from the geometry for a core of our
 * days, so that a log that nobody disturbs is cut alike on every machine; corrected by what was measured where that is
 * more than four times as long. */
uint64_t rehearse_steps_in(const struct rehearse_plan *plan, const struct learner *learner, uint64_t us);

/* rehearse_next - at most so many steps of the plan (and at most to the end of the pass) as the next event of the log; the plan is behind
 * them. step: of the model when the event's turn comes, which what is in the log before and not applied yet will bring it to. */
void rehearse_next(struct event *event, struct rehearse_plan *plan, const struct store *store,
                   const struct learner *learner, uint64_t step, uint64_t steps_max);

/* rehearse_apply - store_rehearse_apply(), measured. */
int rehearse_apply(struct rehearse_plan *plan, struct learner *learner, const struct event *event,
                   const struct rehearse_pictures *pictures, struct err *err);

#endif
