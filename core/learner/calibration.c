/* calibration.c - see calibration.h */
#include "core/learner/calibration.h"

#include <math.h>
#include <string.h>

static const double knots[CALIBRATION_KNOTS] = {0.0, 0.1,  0.2,  0.3,  0.4,   0.5,   0.6,   0.7, 0.8,
                                                0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0};

/* The knot before p, and how near p is to the next one: 0..1. */
static unsigned place(double p, double *part)
{
    unsigned j = 0;
    while (j < CALIBRATION_KNOTS - 2 && p >= knots[j + 1])
        j++;
    *part = (p - knots[j]) / (knots[j + 1] - knots[j]);
    return j;
}

/* The i-th newest. */
static const struct outcome *outcome(const struct tally *tally, uint32_t i)
{
    return &tally->recent[(tally->samples - 1 - i) % TALLY_RECENT];
}

/* Pools neighbours until no y falls: of each pool the mean y, by weight. */
static void pool(double *y, const double *weight)
{
    double value[CALIBRATION_KNOTS], sum[CALIBRATION_KNOTS];
    unsigned length[CALIBRATION_KNOTS], n = 0;
    for (unsigned j = 0; j < CALIBRATION_KNOTS; j++) {
        value[n] = y[j];
        sum[n] = weight[j];
        length[n++] = 1;
        for (; n > 1 && value[n - 2] > value[n - 1]; n--) {
            value[n - 2] = (value[n - 2] * sum[n - 2] + value[n - 1] * sum[n - 1]) / (sum[n - 2] + sum[n - 1]);
            sum[n - 2] += sum[n - 1];
            length[n - 2] += length[n - 1];
        }
    }
    for (unsigned i = 0, j = 0; i < n; i++)
        for (unsigned k = 0; k < length[i]; k++)
            y[j++] = value[i];
}

/* From every step-th of the newest outcomes, the first-th on. */
static void fit(struct calibration *c, const struct tally *tally, uint32_t first, uint32_t step)
{
    double right[CALIBRATION_KNOTS] = {0}, weight[CALIBRATION_KNOTS] = {0};
    const uint32_t n = tally_window(tally);
    c->outcomes = 0;
    for (uint32_t i = first; i < n; i += step) {
        const struct outcome *o = outcome(tally, i);
        double part;
        const unsigned j = place((double)o->p, &part);
        const double hit = o->label == o->predicted ? 1.0 : 0.0;
        weight[j] += 1.0 - part;
        weight[j + 1] += part;
        right[j] += (1.0 - part) * hit;
        right[j + 1] += part * hit;
        c->outcomes++;
    }
    for (unsigned j = 0; j < CALIBRATION_KNOTS; j++) {
        weight[j] += CALIBRATION_PRIOR;
        c->y[j] = (CALIBRATION_PRIOR * knots[j] + right[j]) / weight[j];
    }
    pool(c->y, weight);
}

void calibration_fit(struct calibration *calibration, const struct tally *tally)
{
    fit(calibration, tally, 0, 1);
}

double calibration_confidence(const struct calibration *c, float p)
{
    double part;
    const unsigned j = place((double)p, &part);
    return c->y[j] + (c->y[j + 1] - c->y[j]) * part;
}

/* ---- how good it is ---- */

#define SURE_STEPS 100

static void bin_add(struct reliability_bin *bins, double confidence, bool right)
{
    const unsigned i = (unsigned)(confidence * CALIBRATION_BINS);
    struct reliability_bin *bin = &bins[i < CALIBRATION_BINS ? i : CALIBRATION_BINS - 1];
    bin->n++;
    bin->right += right;
    bin->confidence += confidence;
}

static double bins_error(const struct reliability_bin *bins, uint32_t n)
{
    double sum = 0.0;
    for (unsigned i = 0; i < CALIBRATION_BINS; i++)
        sum += fabs((double)bins[i].right - bins[i].confidence);
    return n == 0 ? 0.0 : sum / n;
}

/* From the surest down; n and right by hundredths of confidence. */
static void find_sure(struct reliability *r, const uint32_t *n, const uint32_t *right)
{
    uint32_t n_above = 0, right_above = 0;
    for (unsigned i = SURE_STEPS + 1; i-- > 0;) {
        n_above += n[i];
        right_above += right[i];
        if (n[i] > 0 && right_above >= SURE_RIGHT * n_above) {
            r->sure = (double)i / SURE_STEPS;
            r->sure_outcomes = n_above;
        }
    }
}

void calibration_judge(struct reliability *r, const struct tally *tally)
{
    struct calibration maps[2];
    struct reliability_bin raw[CALIBRATION_BINS] = {0};
    uint32_t n[SURE_STEPS + 1] = {0}, n_right[SURE_STEPS + 1] = {0};
    memset(r, 0, sizeof *r);
    r->outcomes = tally_window(tally);
    for (uint32_t k = 0; k < 2; k++)
        fit(&maps[k], tally, k, 2);
    for (uint32_t i = 0; i < r->outcomes; i++) {
        const struct outcome *o = outcome(tally, i);
        const bool right = o->label == o->predicted;
        const double confidence = calibration_confidence(&maps[1 - i % 2], o->p);
        const unsigned cell = (unsigned)(confidence * SURE_STEPS);
        n[cell]++;
        n_right[cell] += right;
        bin_add(r->bins, confidence, right);
        bin_add(raw, (double)o->p, right);
    }
    r->error = bins_error(r->bins, r->outcomes);
    r->raw_error = bins_error(raw, r->outcomes);
    find_sure(r, n, n_right);
}
