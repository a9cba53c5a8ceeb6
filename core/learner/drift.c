/* drift.c - see drift.h */
#include "core/learner/drift.h"

bool drift_add(struct drift *d, bool mistake, uint64_t samples)
{
    const double x = mistake ? 1.0 : 0.0;
    d->n++;
    d->mean += (x - d->mean) / (double)(d->n < DRIFT_WINDOW ? d->n : DRIFT_WINDOW);
    d->sum += x - d->mean - DRIFT_DELTA;
    if (d->sum < d->low)
        d->low = d->sum;
    if (d->n < DRIFT_MINIMUM || d->sum - d->low <= DRIFT_LAMBDA)
        return false;
    d->at[d->alarms % DRIFT_KEPT] = samples;
    d->alarms++;
    d->n = 0;
    d->mean = d->sum = d->low = 0.0;
    return true;
}

uint32_t drift_recent(const struct drift *d)
{
    return d->alarms < DRIFT_KEPT ? (uint32_t)d->alarms : DRIFT_KEPT;
}

uint64_t drift_at(const struct drift *d, uint32_t i)
{
    return d->at[(d->alarms - drift_recent(d) + i) % DRIFT_KEPT];
}

bool drift_check(const struct drift *d, uint64_t samples)
{
    /* Comparisons that a NaN fails. */
    if (!(d->mean >= 0.0 && d->mean <= 1.0) || !(d->low <= d->sum && d->low <= 0.0) ||
        !(d->sum - d->low <= DRIFT_LAMBDA + 1.0) || d->n > samples)
        return false;
    uint64_t last = 0;
    for (uint32_t i = 0; i < drift_recent(d); i++) {
        if (drift_at(d, i) <= last || drift_at(d, i) > samples)
            return false;
        last = drift_at(d, i);
    }
    return d->alarms <= samples / DRIFT_MINIMUM && d->n == samples - last;
}
