/* train.h - what `convd train` on a database and `convd train --url` share: the order of things, and how they differ. */
#ifndef CONVD_SERVER_VERBS_TRAIN_H
#define CONVD_SERVER_VERBS_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "server/cli/batch.h"
#include "server/cli/flags.h"
#include "server/cli/follow.h"

struct training {
    uint64_t passes;           /* finished ones                                                     */
    uint64_t samples;          /* first pass: each was predicted before it was learned from         */
    uint64_t correct;          /* of those                                                          */
    double loss_sum;           /* of those                                                          */
    uint64_t flat;             /* images that were skipped, since all their pixels are equal        */
    uint64_t rehearsed;        /* samples of each pass that was a rehearsal                         */
    uint64_t steps;            /* of all passes                                                     */
    int64_t first_id, last_id; /* of the samples in the log                                         */
    uint64_t revision, step;   /* of the model, afterwards                                          */
    double seconds;            /* from the first image to the last durable step                     */
    bool interrupted;          /* SIGINT or SIGTERM came; what is counted here is durable           */
};

struct train_way;
extern const struct train_way train_way_db, train_way_url;

/* train - the data set, and then the rehearsals that the flags ask for, into --db or to the daemon at `url`, in its way.
 * dataset NULL: only the rehearsals. Errors: those of dataset_next(), store.h, client_send(). */
int train(struct training *training, const struct train_way *way, const char *url, const struct cli_args *args,
          struct dataset *dataset, struct err *err);

/* Whose model learns. */
struct target {
    const struct train_way *way;
    struct training *training; /* what was learned is counted here when it is durable  */
    struct remote remote;      /* what is known of the model; on a database without a client */
    struct offline model;      /* of a database                                        */
    uint32_t images;           /* of one event, or request                             */
    uint32_t window;           /* events that wait at once for the trainer; of a database */
    struct upload *upload;     /* verbs/train_url.c's                                  */
    struct labels labels;      /* of the model, for the trainer                        */
};

/* How it is asked. Errors: those of client_send(), or of offline_do(). */
struct train_way {
    int (*open)(struct target *t, const char *url, const struct cli_args *args, struct err *err);
    int (*close)(struct target *t, struct err *err); /* also after open() has failed */
    int (*refresh)(struct target *t, struct err *err);

    int (*add_class)(struct target *t, const char *label, struct err *err);
    int (*tune_rate)(struct target *t, double rate, struct err *err); /* it stays so: without decay_steps */

    /* batch - how many images at a time; NULL: t->images. send - so many; when it is done they are learned, durable and counted. */
    uint32_t (*batch)(const struct target *t);
    int (*send)(struct target *t, const struct cli_batch *batch, struct err *err);

    int (*rehearse)(struct target *t, const struct rehearse_options *options, struct follow *job, struct err *err);
    int (*cancel)(struct target *t, struct follow *job, struct err *err);

    void (*warn)(struct target *t); /* in the end: the warnings that are raised, to stderr */
};

/* train_count - that was learned, and is durable, at that revision. */
void train_count(struct training *training, const struct store_trained *trained, uint64_t revision);

#endif
