/* snapshot_diff.h - two snapshots compared: how far their tensors are from each other, and what they say of the samples that one of them
 * has learned from and the other has not.
 *
 *     l2 = |b - a|,  relative = l2 / |a|,  max = the largest |b_i - a_i|        of each tensor, summed in float64, in its order
 *
 * Both predict each of those samples, the newest DIFF_SAMPLES_MAX of them; they disagree where they name different classes. A class
 * is the same in both where its index is, if one snapshot lies on the other's line; else where its label is.
 *
 *     {"a": {"snapshot", "revision", "step", "correct", "accuracy"}, "b": {..},
 *      "samples": {"n", "first", "last", "more"}, "disagree",
 *      "tensors": [{"name", "l2", "relative", "max"}, ..],
 *      "classes": [{"label", "samples", "changed", "left", "came"}, ..]}
 *
 * accuracy is null without samples, relative where a's tensor is zero. more: there are older ones that were not looked at. left: a
 * named the class and b did not; came: the reverse; changed: both together. Only classes that have samples or changes are listed,
 * the most changed first. w12 is compared in the columns of the classes that are the same in both.
 *
 * In steps, so that the thread of the store can do other things in between. One thread, that of the store.
 */
#ifndef CONVD_SERVER_MODEL_SNAPSHOT_DIFF_H
#define CONVD_SERVER_MODEL_SNAPSHOT_DIFF_H

#include <stdint.h>

#include "server/common/json_write.h"
#include "store/store.h"

#define DIFF_SAMPLES_MAX 10000u

struct diff;

/* diff_create - reads both snapshots; n_samples: at most so many, 1 .. DIFF_SAMPLES_MAX. Errors: ERR_NOT_FOUND (no such snapshot),
 * ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. Owns: the caller; diff_free(), NULL is fine. The store must outlive it. */
int diff_create(struct diff **out, struct store *store, int64_t a, int64_t b, uint64_t n_samples, struct err *err);
void diff_free(struct diff *diff);

/* diff_step - works for about so many microseconds. 1: there is more to do; 0: done; -1: errors of store_lineage_diff_next(). */
int diff_step(struct diff *diff, uint64_t us, struct err *err);

/* diff_cut - it will not go on: what is left counts as not looked at. */
void diff_cut(struct diff *diff);

/* diff_progress - samples that were looked at. diff_write - the members of the document above, once diff_step() has given 0 or
 * it was cut. */
uint64_t diff_progress(const struct diff *diff);
void diff_write(struct json_writer *json, const struct diff *diff);

#endif
