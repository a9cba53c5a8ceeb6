/* trial.h - one model under trial: learning with settings and with rules that convd itself may not have.
 *
 *   the rate's law     rate_t = rate / (1 + min(t / fall, 9))                  t steps made, rehearsals included; fall 0: constant
 *                      rate_t = rate / sqrt(1 + t / fall)                      with `root`
 *   per layer          rate_t times a factor for k, w01, w12
 *   momentum           v = momentum v + g,  w -= rate v                         g the step's gradient
 *   weight decay       w *= 1 - 64 rate decay, every 64 steps
 *   the pool           `room` past samples a class; a new one takes a free slot, else a drawn one (reservoir: with a probability that
 *                      falls as room / seen). After each new sample `rehearsal` steps: class drawn evenly, then of `draws` slots the
 *                      one whose last doubt was largest
 *   doubt              of a sample whose own class last had the probability p:  by DOUBT_MIDDLE p (1 - p), by DOUBT_LOSS e, by
 *                      DOUBT_GRADIENT |d^2|^2
 *
 * Initial weights are net_init()'s, each tensor times a factor. Arithmetic, displacement and order are core's own.
 */
#ifndef CONVD_BENCH_TRIAL_H
#define CONVD_BENCH_TRIAL_H

#include "core/core.h"

enum doubt { DOUBT_MIDDLE, DOUBT_LOSS, DOUBT_GRADIENT };

struct rules {
    double rate, fall;
    bool root;
    double rate_k, rate_w01, rate_w12;    /* factors on the rate         */
    double scale_k, scale_w01, scale_w12; /* factors on initial weights  */
    double momentum, weight_decay;
    float jitter, rotation; /* pixels, degrees, of rehearsed samples      */
    uint32_t rehearsal, room, draws;
    bool reservoir;
    enum doubt doubt;
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

/* trial_learn - image i is new: predicted, learned from, put into the pool, and others rehearsed. Whether it was predicted rightly. */
bool trial_learn(struct trial *trial, uint32_t i);

/* trial_again - one more step on image i, displaced, at that rate. */
void trial_again(struct trial *trial, uint32_t i, double rate);

/* trial_test - right answers in per cent, among images of the labels low..high. */
double trial_test(struct trial *trial, const struct images *images, uint32_t low, uint32_t high);

#endif
