/* follow.h - long work that was asked for, watched until its end: a daemon's, or that of a trainer in this process. */
#ifndef CONVD_SERVER_CLI_FOLLOW_H
#define CONVD_SERVER_CLI_FOLLOW_H

#include "server/cli/offline.h"
#include "server/cli/remote.h"

struct follow {
    struct client *client; /* one of the two; borrowed */
    struct offline *model;

    /* as GET /jobs/{id} says, when it was looked at last */
    uint64_t id, steps, steps_total, pass, passes, revision;
    enum job_state state;
    struct err why; /* it did not go well */
};

/* follow_read - what a daemon says of the job. Errors: ERR_NETWORK. */
int follow_read(struct follow *follow, const struct json *root, struct err *err);

/* follow_request - what begins a job, or ends one, asked of the daemon; follow->client. Errors: those of remote_json(), ERR_NETWORK. */
int follow_request(struct follow *follow, const char *method, const char *path, const char *body, struct err *err);

/* follow_do - the same of the trainer: follow->model. Errors: those of offline_do(). */
int follow_do(struct follow *follow, struct command *command, struct err *err);

/* follow_look - waits a moment, which a signal ends, and looks. Errors: those of follow_request(). */
int follow_look(struct follow *follow, struct err *err);

#endif
