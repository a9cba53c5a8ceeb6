/* remote.h - a daemon's model as verbs with --url see it: what is needed to prepare raw inputs for it. */
#ifndef CONVD_SERVER_CLI_REMOTE_H
#define CONVD_SERVER_CLI_REMOTE_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "server/cli/client.h"
#include "server/common/json.h"

struct remote {
    struct client *client;
    struct shape shape; /* checked */
    struct settings settings;
    char (*labels)[LABEL_BYTES_MAX + 1]; /* [n_labels] */
    size_t n_labels;
    uint64_t revision, step;
    char digest[2 * DIGEST_BYTES + 1];
};

/* remote_open - connects and asks GET /model; waiting stops where cli_stop() says so.
 * Errors: those of client_open() and client_send(); ERR_NETWORK where the response is not that of a convd; ERR_MEMORY. */
int remote_open(struct remote *out, const char *url, struct err *err);
void remote_close(struct remote *remote); /* a zeroed one is fine */

/* remote_refresh - asks GET /model again: after classes or settings were changed. Errors as remote_open(). */
int remote_refresh(struct remote *remote, struct err *err);

/* remote_json - one request whose answer is JSON; *root is released by json_free(), and NULL where the response is empty (204).
 * body: a JSON text, or NULL. */
int remote_json(struct json **root, struct client *client, const char *method, const char *path, const char *body,
                struct err *err);

/* remote_parse - the JSON of a response. Errors: ERR_NETWORK. */
int remote_parse(struct json **root, const struct client_reply *reply, struct err *err);

/* remote_count - a whole number among an object's members. Errors: ERR_NETWORK where it is not there. */
int remote_count(uint64_t *out, const struct json *object, const char *name, struct err *err);

/* remote_slice - how many raw inputs one request should hold: well within the daemon's --body-bytes, and its response within what
 * json_parse() takes. At least 1. */
uint32_t remote_slice(const struct remote *remote);

/* remote_predict - raw inputs, [n][n_input], to POST /predict: fills probabilities [n][n_labels], in the order of `labels`,
 * and puts the response's revision and step into remote.
 * Errors: those of client_send(); ERR_NETWORK; ERR_CONFLICT where classes have changed since remote_refresh(). */
int remote_predict(double *probabilities, struct remote *remote, const uint8_t *inputs, uint32_t n, struct err *err);

#endif
