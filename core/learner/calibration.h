/* calibration.h - confidence that means something: how often the model was right lately when it was as sure as now.
 *
 * A network's largest output p = max_m l^2_m is no probability of being right: of photographs it says 0.68 on average where it is right in 54 of
 * 100 cases. What it is worth is in the model's own record, made before each sample was learned from: pairs (p_i, h_i), h_i = 1 where the
 * prediction was right. `confidence` is a piecewise linear, never falling map of p through the knots
 *
 *     x = 0, 0.1 .. 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1
 *     y_j = (CALIBRATION_PRIOR x_j + sum_i w_ij h_i) / (CALIBRATION_PRIOR + sum_i w_ij)
 *
 * w_ij shares outcome i between the two knots beside p_i, by nearness; the sums are over the outcomes of tally_window().
 * Where a y is below the one before it, neighbours
 * are pooled until none is (isotonic regression: Ayer et al. 1955, Ann. Math. Stat. 26; on classifiers: Zadrozny and Elkan 2002, KDD). With no outcome
 * confidence is p itself, with few it is near it. One temperature for all (Guo et al. 2017, ICML) was tried and is worse: bench/defaults.md.
 *
 * A function of the tally alone, by additions, multiplications and divisions of doubles in one order: the same bits on every machine.
 */
#ifndef CONVD_CORE_LEARNER_CALIBRATION_H
#define CONVD_CORE_LEARNER_CALIBRATION_H

#include <stdint.h>

#include "core/learner/learner.h"

#define CALIBRATION_KNOTS 17u
#define CALIBRATION_PRIOR 2.0 /* outcomes that confidence = p is worth, at each knot */
#define CALIBRATION_BINS  10u

struct calibration {
    double y[CALIBRATION_KNOTS];
    uint32_t outcomes; /* that it is made from */
};

/* calibration_fit - from the tally of a model. Costs 11 us with TALLY_RECENT outcomes. */
void calibration_fit(struct calibration *calibration, const struct tally *tally);

/* calibration_confidence - of a prediction whose largest output is p, in 0..1. */
double calibration_confidence(const struct calibration *calibration, float p);

/* How good the map is, on the outcomes that it is made from: every other one is judged by a map of the rest, so that none judges itself.
 *
 *     expected calibration error = sum over bins of  n_bin / n |right_bin / n_bin - confidence_bin / n_bin|
 *
 * over CALIBRATION_BINS equal bins of 0..1; raw_error is that of p itself. `sure` is the least confidence, in hundredths, such that of the
 * outcomes with that much or more SURE_RIGHT or more were right; sure_outcomes of them had it, 0 where there is none such. */
#define SURE_RIGHT 0.98
struct reliability {
    struct reliability_bin {
        uint32_t n, right;
        double confidence; /* sum */
    } bins[CALIBRATION_BINS];
    uint32_t outcomes, sure_outcomes;
    double error, raw_error, sure; /* errors 0 where there are no outcomes */
};

void calibration_judge(struct reliability *reliability, const struct tally *tally);

#endif
