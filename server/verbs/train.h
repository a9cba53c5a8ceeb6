/* train.h - what `convd train` on a database and `convd train --url` share. */
#ifndef CONVD_SERVER_VERBS_TRAIN_H
#define CONVD_SERVER_VERBS_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "server/cli/flags.h"
#include "server/formats/dataset.h"
#include "server/trainer/rehearsal_plan.h"

struct training {
    uint64_t passes;           /* finished ones                                                     */
    uint64_t samples;          /* first pass: each was predicted before it was learned from         */
    uint64_t correct;          /* of those                                                          */
    double loss_sum;           /* of those                                                          */
    uint64_t flat;             /* images that were passed over, since all their pixels are equal        */
    uint64_t rehearsed;        /* samples of each pass that was a rehearsal                         */
    uint64_t steps;            /* of all passes                                                     */
    int64_t first_id, last_id; /* of the samples in the log                                         */
    uint64_t revision, step;   /* of the model, afterwards                                          */
    double seconds;            /* from the first image to the last durable step                     */
    bool interrupted;          /* SIGINT or SIGTERM came; what is counted here is durable           */
};

/* train_db, train_url - the data set, and then the rehearsals that the flags ask for, into --db or to the daemon at `url`.
 * dataset NULL: only the rehearsals. Errors: those of dataset_next(), store.h, client_send(). */
int train_db(struct training *training, const struct cli_args *args, struct dataset *dataset, struct err *err);
int train_url(struct training *training, const char *url, const struct cli_args *args, struct dataset *dataset,
              struct err *err);

/* train_ask - what is to be rehearsed after the files, with the model's settings, and the steps that it has made by then; false:
 * nothing. */
bool train_ask(struct rehearse_ask *ask, const struct training *training, const struct cli_args *args,
               const struct settings *settings, uint64_t step);

/* train_note - "accuracy 93.1 %" of the first pass, for the progress line; train_what - "pass 2 of 12". They return `text`. */
char *train_note(char text[40], const struct training *training);
#define TRAIN_WHAT_BYTES 64
char *train_what(char text[TRAIN_WHAT_BYTES], uint64_t pass, uint64_t passes);

#endif
