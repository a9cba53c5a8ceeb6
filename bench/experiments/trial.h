/* trial.h - one model under trial: convd's own learner, and rules that it does not have.
 *
 *   initial weights   net_init()'s, each tensor times a factor
 *   weight decay      w *= 1 - 64 rate_t decay, every 64 steps
 *   per layer         rate_t times a factor for k, w01, w12           } these two make the step here, from core's gradient;
 *   momentum          v = momentum v + g,  w -= rate_t v              } without rehearsal
 *
 * All else is what settings say: the rate and its decay, rehearsal, displacement.
 */
#ifndef CONVD_BENCH_TRIAL_H
#define CONVD_BENCH_TRIAL_H

#include "core/core.h"

struct rules {
    double rate_k, rate_w01, rate_w12;    /* factors on the rate         */
    double scale_k, scale_w01, scale_w12; /* factors on initial weights  */
    double momentum, weight_decay;
};

struct images {
    uint32_t n, channels, height, width;
    const uint8_t *pixels; /* [n][channels][height][width] */
    const uint8_t *labels; /* [n]                          */
};

struct trial;

/* trial_create - a model for these images with initial weights from the seed; NULL, with the reason, where it cannot be. `create` has
 * shape and settings; images and rules are borrowed until trial_free(). */
struct trial *trial_create(const struct event *create, const struct rules *rules, const struct images *images,
                           uint64_t seed, struct err *err);
void trial_free(struct trial *trial);

/* trial_learn - image i is new: predicted, learned from, put into the buffer, and others rehearsed. Whether it was predicted rightly. */
bool trial_learn(struct trial *trial, uint32_t i);

/* trial_again - one more step on image i, displaced, at that rate. */
void trial_again(struct trial *trial, uint32_t i, double rate);

/* trial_test - right answers in per cent, among images of the labels low..high. */
double trial_test(struct trial *trial, const struct images *images, uint32_t low, uint32_t high);

#endif
