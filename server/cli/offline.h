/* offline.h - what offline verbs share: a database that is opened and recovered, and labels found quickly.
 *
 * Who only reads has the store and the state. Who writes has a trainer (trainer/trainer.h) in this process instead, and gives it the
 * commands that a daemon's requests make: there is one way into the log.
 */
#ifndef CONVD_SERVER_CLI_OFFLINE_H
#define CONVD_SERVER_CLI_OFFLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/cli/flags.h"
#include "server/formats/dataset.h"
#include "server/trainer/trainer.h"
#include "store/store.h"

struct offline {
    struct store *store;
    struct learner *learner; /* the state as of the last event           */
    struct trainer *trainer; /* of who writes: has taken over the two     */
    struct team *team;       /* that shares the steps of a large model   */
};

/* offline_open - opens --db and recovers its state, with progress on stderr unless --quiet is given; a snapshot that had
 * to be skipped is a warning there. Errors: those of store_open() and store_recover(); ERR_USAGE (--arith). */
int offline_open(struct offline *out, const struct cli_args *args, bool read_only, struct err *err);
void offline_close(struct offline *offline); /* a zeroed one is fine */

/* offline_do - commands [n], from the first being submitted until all of them are done. Errors: those of trainer_submit(), and that of the
 * first which failed; `status` says which were done. */
int offline_do(struct offline *offline, struct command *commands, size_t n, struct err *err);

/* offline_stop - of who writes: all that was asked for is done, and a snapshot taken. Then offline_close(). Errors: trainer_stop()'s. */
int offline_stop(struct offline *offline, struct err *err);

/* cli_show_or_stop - a store_progress (store.h): draws `progress`, a struct progress, and stops the work after SIGINT or
 * SIGTERM where cli_stop_watch() was called. */
int cli_show_or_stop(void *progress, uint64_t done, uint64_t total);

/* cli_arith - what --arith names, NULL where it is not given or the verb lacks it. Errors: ERR_USAGE. */
int cli_arith(const struct arith **out, const struct cli_args *args, struct err *err);

/* cli_quiet - whether the verb has --quiet and it is on. */
bool cli_quiet(const struct cli_args *args);

/* cli_url - the --url, or CONVD_URL where --db is not given either; NULL for offline work. Errors, -1: ERR_USAGE where --db is given
 * beside --url, or --arith is with a daemon. */
int cli_url(const char **url, const struct cli_args *args, struct err *err);

/* A model's labels, sorted by bytes: a data set names its classes by text, a sample needs the index. */
struct cli_labels {
    size_t n;
    struct cli_label {
        const char *label; /* borrowed */
        uint32_t index;
    } * rows;
};

/* cli_labels_init - borrows `names`, [n]. Errors: ERR_MEMORY. */
int cli_labels_init(struct cli_labels *labels, const char (*names)[LABEL_BYTES_MAX + 1], size_t n, struct err *err);
void cli_labels_fini(struct cli_labels *labels);

/* cli_labels_find - its index or -1. Costs log2(n) comparisons. */
int cli_labels_find(const struct cli_labels *labels, const char *label);

/* cli_labels_cover - 0 when every label of the data set is one of the model's. Errors: ERR_LABEL_UNKNOWN, naming the first
 * few that are not, and then `advice`. */
int cli_labels_cover(const struct cli_labels *labels, const struct dataset *dataset, const char *advice,
                     struct err *err);

#endif
