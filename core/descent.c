/* descent.c - see descent.h. */
#include "core/descent.h"

#include <math.h>
#include <string.h>

/* What rounding adds to the bounds of descent.h is far less than they are themselves. */
#define ROUNDING 2.0

/* Sums are kept apart by lane, so that a compiler may use vectors without changing the order of any sum. */
#define N_SUMS 16

/* Of n floats, n a multiple of 16 as all rows are. The padding is zero. */
static double norm(const float *v, size_t n)
{
    double sums[N_SUMS] = {0.0}, sum = 0.0;
    for (size_t i = 0; i < n; i += N_SUMS)
        for (size_t j = 0; j < N_SUMS; j++)
            sums[j] += (double)v[i + j] * (double)v[i + j];
    for (size_t j = 0; j < N_SUMS; j++)
        sum += sums[j];
    return sqrt(sum);
}

static size_t n_k(const struct net *net)
{
    return (size_t)net->shape.n_k * net->ld_k;
}

static size_t n_01(const struct net *net)
{
    return (size_t)net->shape.n_0 * net->ld_1;
}

static size_t n_12(const struct net *net)
{
    return (size_t)net->shape.n_1 * net->ld_2;
}

void descent_forget(struct descent *known)
{
    *known = (struct descent){0};
}

/* By bits, which also order the sizes of floats, infinities and NaN last. */
bool weights_fit(const struct net *net)
{
    const float limit = WEIGHT_MAX;
    const size_t n = net_floats(&net->shape, net->n_2);
    uint32_t most, largest = 0;
    memcpy(&most, &limit, sizeof most);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, net->k + i, sizeof bits);
        bits &= 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    return largest <= most;
}

static void measure(struct descent *known, const struct net *net)
{
    *known = (struct descent){.measured = true,
                              .k = norm(net->k, n_k(net)),
                              .w01 = norm(net->w01, n_01(net)),
                              .w12 = norm(net->w12, n_12(net))};
}

/* Adds what the step can do at most. */
static bool bounded(struct descent *known, const struct net *net, const struct settings *settings,
                    const struct input *x, double loss)
{
    const struct shape *s = &net->shape;
    const double least = fabs((double)x->b), most = fabs(255.0 * (double)x->a + (double)x->b);
    const double input = least > most ? least : most;
    const double rate = ROUNDING * (double)settings->rate;
    const double d_2 = sqrt(2.0 * loss) / 2.0;
    const double d_1 = d_2 * known->w12;
    const double d_0 = d_1 * known->w01;
    known->w12 += rate * (double)settings->output_rate * d_2 * sqrt((double)s->n_1);
    known->w01 += rate * d_1 * sqrt((double)s->n_0) * (s->kernels > 0 ? 1.0 : input);
    known->k += s->kernels > 0 ? rate * d_0 * sqrt((double)s->n_0 * (double)s->n_k) * input : 0.0;
    /* Comparisons that a NaN fails, too. */
    return known->w12 <= (double)WEIGHT_MAX && known->w01 <= (double)WEIGHT_MAX && known->k <= (double)WEIGHT_MAX;
}

static struct net trial_of(const struct net *net, float *trial)
{
    return net_view(&net->shape, net->n_2, trial);
}

static bool step_by_trial(struct descent *known, const struct arith *arith, struct net *net, float *trial,
                          const struct settings *settings, uint32_t label, struct workspace *ws)
{
    const size_t n_bytes = net_floats(&net->shape, net->n_2) * sizeof *trial;
    struct net after = trial_of(net, trial);
    memcpy(after.k, net->k, n_bytes);
    net_step(arith, &after, settings, label, ws);
    descent_forget(known);
    if (!weights_fit(&after))
        return false;
    memcpy(net->k, after.k, n_bytes);
    return true;
}

static float clipped_rate(const struct arith *arith, const struct net *net, float *trial,
                          const struct settings *settings, uint32_t label, struct workspace *ws)
{
    struct net g = trial_of(net, trial);
    memset(g.k, 0, net_floats(&net->shape, net->n_2) * sizeof *trial);
    net_gradient(arith, net, settings->gradient, label, &g, ws);
    const double parts[] = {norm(g.k, n_k(&g)), norm(g.w01, n_01(&g)), norm(g.w12, n_12(&g))};
    const double length = sqrt(parts[0] * parts[0] + parts[1] * parts[1] + parts[2] * parts[2]);
    return length > (double)settings->clip ? (float)((double)settings->rate * ((double)settings->clip / length))
                                           : settings->rate;
}

bool descent_step(struct descent *known, const struct arith *arith, struct net *net, float *trial,
                  const struct settings *settings, uint32_t label, struct workspace *ws)
{
    struct settings own = *settings;
    if (own.clip > 0.0F)
        own.rate = clipped_rate(arith, net, trial, settings, label, ws);
    const double loss = (double)net_loss(arith, net, ws, label);
    if (!known->measured || !bounded(known, net, &own, &ws->input, loss)) {
        measure(known, net);
        if (!bounded(known, net, &own, &ws->input, loss))
            return step_by_trial(known, arith, net, trial, &own, label, ws);
    }
    net_step(arith, net, &own, label, ws);
    return true;
}

/* z_m, in one order on every machine: rows of w12 as they lie. */
static double logit(const struct net *net, const float *l1_rows, uint32_t m)
{
    double z = 0.0;
    for (uint32_t t = 0; t < net->shape.n_1; t++)
        z += (double)l1_rows[t] * (double)net->w12[t * net->ld_2 + m];
    return z;
}

bool descent_imprint(struct descent *known, struct net *net, uint32_t label, const struct workspace *ws)
{
    const uint32_t n_1 = net->shape.n_1;
    const double own = logit(net, ws->l1_rows, label);
    double ahead = 0.0, square = 0.0;
    for (uint32_t m = 0; m < net->n_2; m++) {
        const double other = m == label ? 0.0 : logit(net, ws->l1_rows, m) - own + IMPRINT_MARGIN;
        ahead = other > ahead ? other : ahead;
    }
    for (uint32_t t = 0; t < n_1; t++)
        square += (double)ws->l1_rows[t] * (double)ws->l1_rows[t];
    if (!(ahead > 0.0 && square >= n_1 / 100.0))
        return false;
    const double factor = ahead / square;
    for (uint32_t t = 0; t < n_1; t++)
        if (!(fabs((double)net->w12[t * net->ld_2 + label]) + factor <= (double)WEIGHT_MAX))
            return false;
    for (uint32_t t = 0; t < n_1; t++)
        net->w12[t * net->ld_2 + label] += (float)(factor * (double)ws->l1_rows[t]);
    descent_forget(known);
    return true;
}
