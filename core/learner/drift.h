/* drift.h - has what is shown to the model changed? The Page-Hinkley test on its test-then-train mistakes.
 *
 * Page 1954 (Continuous inspection schemes, Biometrika 41) and Hinkley 1971 (Inference about the change-point from
 * cumulative sum tests, Biometrika 58), one-sided, as Gama, Sebastiao and Rodrigues 2013 (On evaluating stream learning
 * algorithms, Machine Learning 90) use it on the mistakes of an online learner. With x_t = 1 for a mistake, else 0:
 *
 *     mean_t = mean_(t-1) + (x_t - mean_(t-1)) / min(t, W)      the rate of mistakes, of about the last W
 *     m_t    = m_(t-1) + x_t - mean_t - delta
 *     M_t    = min(M_(t-1), m_t)                                alarm: m_t - M_t > lambda, t >= T; then t = 0 again
 *
 * delta is the rise of the rate that is let pass, lambda how many mistakes too many it takes; W keeps the many mistakes of a model's
 * first samples from hiding later ones. A rate that jumps by d is found after about lambda / d samples. One pass over
 * MNIST raises no alarm; a model that errs in a tenth of all cases by pure chance none in 200,000 samples, in a half one in
 * 15,000.
 *
 * Part of the fold, by additions and divisions of doubles in one order alone: a replay raises the same alarms on every
 * machine. The digest covers them, as it covers the rest of the tally.
 */
#ifndef CONVD_CORE_LEARNER_DRIFT_H
#define CONVD_CORE_LEARNER_DRIFT_H

#include <stdbool.h>
#include <stdint.h>

#define DRIFT_DELTA   0.005
#define DRIFT_LAMBDA  50.0
#define DRIFT_WINDOW  5000u
#define DRIFT_MINIMUM 30u

#define DRIFT_KEPT 16u /* alarms whose place is remembered */

struct drift {
    uint64_t n;              /* outcomes since the last alarm: t                                       */
    double mean, sum, low;   /* mean_t, m_t, M_t                                                       */
    uint64_t alarms;         /* raised so far                                                          */
    uint64_t at[DRIFT_KEPT]; /* alarm i, from 0, in place i % DRIFT_KEPT: how many samples there had been */
};

/* drift_add - the next outcome, which makes `samples` of them. Returns whether it raised an alarm. */
bool drift_add(struct drift *drift, bool mistake, uint64_t samples);

/* drift_recent - how many alarms are remembered; drift_at - the i-th of them, oldest first. */
uint32_t drift_recent(const struct drift *drift);
uint64_t drift_at(const struct drift *drift, uint32_t i);

/* drift_check - whether it can be the state after so many samples: what is read from a file. */
bool drift_check(const struct drift *drift, uint64_t samples);

#endif
