/* cli_train.h - what `convd train` on a database and `convd train --url` share. */
#ifndef CONVD_SERVER_CLI_TRAIN_H
#define CONVD_SERVER_CLI_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "server/cli_flags.h"
#include "server/dataset.h"

struct training {
    uint64_t passes;           /* finished ones                                                     */
    uint64_t samples;          /* first pass: each was predicted before it was learned from         */
    uint64_t correct;          /* of those                                                          */
    double loss_sum;           /* of those                                                          */
    uint64_t steps;            /* of all passes                                                     */
    int64_t first_id, last_id; /* of the samples in the log                                         */
    uint64_t revision, step;   /* of the model, afterwards                                          */
    double seconds;            /* from the first image to the last durable step                     */
    bool interrupted;          /* SIGINT or SIGTERM came; what is counted here is durable           */
};

/* train_url - the data set to the daemon at `url`. Errors: those of client_send() and dataset_next(). */
int train_url(struct training *training, const char *url, const struct cli_args *args, struct dataset *dataset,
              struct err *err);

/* train_note - "accuracy 93.1 %" of the first pass, for the progress line; returns `text`. */
char *train_note(char text[40], const struct training *training);

#endif
