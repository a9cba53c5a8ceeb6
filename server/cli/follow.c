/* follow.c - see cli/follow.h */
#include "server/cli/follow.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_REMOTE_NS 200000000L /* between two looks */
#define LOOK_LOCAL_NS  10000000L

static int read_state(enum job_state *state, const char *word)
{
    for (int s = JOB_STATE_RUNNING; s <= JOB_STATE_CANCELLED && word != NULL; s++)
        if (strcmp(word, job_state_name((enum job_state)s)) == 0) {
            *state = (enum job_state)s;
            return 0;
        }
    return -1;
}

int follow_read(struct follow *follow, const struct json *root, struct err *err)
{
    const char *error = json_string(json_get(root, "error"));
    if (read_state(&follow->state, json_string(json_get(root, "state"))) != 0)
        return err_set(err, ERR_NETWORK, "the response is not a job");
    err_set(&follow->why, ERR_CONFLICT, "%.300s", error != NULL ? error : "it was cancelled");
    if (remote_count(&follow->id, root, "id", err) != 0 || remote_count(&follow->steps, root, "steps", err) != 0 ||
        remote_count(&follow->steps_total, root, "steps_total", err) != 0 ||
        remote_count(&follow->pass, root, "pass", err) != 0 || remote_count(&follow->passes, root, "passes", err) != 0)
        return -1;
    return remote_count(&follow->revision, root, "revision", err);
}

int follow_request(struct follow *follow, const char *method, const char *path, const char *body, struct err *err)
{
    struct json *root = NULL;
    int status = remote_json(&root, follow->client, method, path, body, err);
    if (status == 0)
        status = follow_read(follow, root, err);
    json_free(root);
    return status;
}

/* Nobody waits here for another attempt: one that failed is the end. */
static void take(struct follow *follow, const struct job_status *job)
{
    follow->id = (uint64_t)job->id;
    follow->steps = job->steps;
    follow->steps_total = job->steps_total;
    follow->pass = job->pass;
    follow->passes = job->passes;
    follow->revision = job->revision;
    follow->state = job->state == JOB_STATE_RUNNING && job->err.code != ERR_NONE ? JOB_STATE_FAILED : job->state;
    follow->why = job->err;
}

int follow_do(struct follow *follow, struct command *command, struct err *err)
{
    if (offline_do(follow->model, command, 1, err) != 0)
        return -1;
    take(follow, &command->job_status);
    return 0;
}

int follow_look(struct follow *follow, struct err *err)
{
    const bool remote = follow->client != NULL;
    char path[40];
    (void)nanosleep(&(struct timespec){.tv_nsec = remote ? LOOK_REMOTE_NS : LOOK_LOCAL_NS}, NULL);
    if (remote) {
        (void)snprintf(path, sizeof path, "/jobs/%llu", (unsigned long long)follow->id);
        return follow_request(follow, "GET", path, NULL, err);
    }
    struct job_status job;
    if (jobs_find(trainer_jobs(follow->model->trainer), (int64_t)follow->id, &job) == 1)
        take(follow, &job);
    return 0;
}
