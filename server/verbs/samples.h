/* samples.h - convd samples: what the command line asks for, and how a database answers it. */
#ifndef CONVD_SERVER_VERBS_SAMPLES_H
#define CONVD_SERVER_VERBS_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/cli/flags.h"
#include "server/cli/follow.h"
#include "server/common/json.h"

enum samples_action { SAMPLES_LIST, SAMPLES_SHOW, SAMPLES_FORGET, SAMPLES_RELABEL, SAMPLES_ACTIONS };

struct samples_order {
    enum samples_action action;
    int64_t *ids; /* [n], in the order in which they were given */
    size_t n;
    const char *label; /* list: only of that class; relabel: what they are; NULL */
    const char *predicted;
    bool wrong;
    uint64_t limit;
    int64_t before; /* list: ids below it */
    uint64_t scale; /* of the picture     */
    bool drop_pinned;
};

/* cli_samples_db - *root (json_free()): what the daemon's /samples would say; after an edit see
 * cli_samples_edited(). SAMPLES_SHOW with png: that is the picture instead, malloc'ed, and *root NULL.
 *
 * An edit is exact, as the daemon's is, and durable when it returns: the model is replayed from before the first of the samples, with progress
 * on stderr. What was accepted by a daemon that was stopped is made with it. Where it is interrupted it stays accepted, and the next
 * convd serve or convd samples makes it.
 * Errors: those of store_open() and store_recover(), of store_sample_row(), of rebuild_accept(); ERR_STOPPING. */
int cli_samples_db(struct json **root, uint8_t **png, size_t *n_png, const struct samples_order *order,
                   const struct cli_args *args, struct err *err);

/* cli_samples_follow - waits for the end of an edit, with progress on stderr. Errors: why it failed; ERR_STOPPING: the person wishes so. */
int cli_samples_follow(struct follow *job, bool quiet, struct err *err);

/* cli_samples_edited - what is told after an edit, from a database or a daemon: {"samples": that were asked for,
 * "changed": whether anything had to be, "step", "revision", "seconds"}. Errors: ERR_MEMORY. */
int cli_samples_edited(struct json **root, const struct samples_order *order, bool changed, uint64_t step,
                       uint64_t revision, double seconds, struct err *err);

#endif
