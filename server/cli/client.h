/* client.h - HTTP as the command line speaks it to a running daemon, over libcurl, which only cli/client.c includes.
 *
 * One client is one kept-alive connection. A request that may be repeated (`safe`: it changes nothing; or it has an
 * Idempotency-Key) is repeated when the connection breaks or the daemon answers 503, after the time that Retry-After
 * asks for, or else after 0.1 s, 0.2 s, .. 3.2 s, until `patience_seconds` have gone by. So a daemon that is restarted in
 * the middle of a long upload costs a pause, and no sample is trained twice. A daemon that was not there from the
 * beginning is told at once.
 *
 * Redirects are not followed and proxies of the environment are not used: the daemon is the machine that the URL names.
 * Only http and https, and http over a UNIX socket. One thread.
 */
#ifndef CONVD_SERVER_CLI_CLIENT_H
#define CONVD_SERVER_CLI_CLIENT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

#define CLIENT_PATIENCE_SECONDS 60u

struct client;

/* client_access - what every client of this process that is opened later shows and trusts. token: sent as "Authorization: Bearer",
 * NULL: none. ca: a file of certificates in PEM form, one of which must vouch for the daemon's; NULL: the system's.
 * Errors: ERR_USAGE: not a token, or no such file. */
int client_access(const char *token, const char *ca, struct err *err);

struct client_request {
    const char *method; /* "GET", "POST", "PATCH", "DELETE"                       */
    const char *path;   /* "/train?label=7": appended to the client's URL         */
    const char *type;   /* content type of the body, NULL: none                   */
    const void *body;   /* borrowed; NULL: none                                   */
    size_t n_body;
    const char *key; /* Idempotency-Key, or NULL                                 */
    bool safe;       /* changes nothing: may be repeated                         */
    const int
        *into; /* a file that takes the body of a good response, from where it was on: it is cut back to there before a
                      * repetition; NULL: the body goes to memory                 */
};

/* What came back with status 200..299; everything else is an error. */
struct client_reply {
    int status;
    char *body; /* malloc'ed, always followed by a zero that n_body does not count */
    size_t n_body;
};

/* client_open - connects to nothing yet. url: "http://127.0.0.1:8080", "https://..", with or without a last slash;
 * or "unix:/run/convd.sock".
 * stop: where it becomes non-zero, waiting ends with ERR_STOPPING; NULL: never. Errors: ERR_USAGE (url), ERR_MEMORY. */
int client_open(struct client **out, const char *url, unsigned patience_seconds, const volatile sig_atomic_t *stop,
                struct err *err);
void client_close(struct client *client); /* NULL is fine */

/* client_send - one request, repeated as above. `out` is released by client_reply_fini(), and empty on error.
 * Errors: ERR_NETWORK (no connection; a 5xx), ERR_BUSY (503 to the end of patience), ERR_STOPPING, ERR_MEMORY; what
 * the daemon's application/problem+json names: its type's last word is err_code_name(), its detail the text. */
int client_send(struct client *client, const struct client_request *request, struct client_reply *out, struct err *err);
void client_reply_fini(struct client_reply *reply);

/* client_escape - appends `text`, percent-encoded for a query, to `out`, a string in a buffer of `size` bytes.
 * 0, or -1 when it does not fit (out is as before). */
int client_escape(char *out, size_t size, const char *text);

/* client_key - 32 hexadecimal digits from the system's random numbers: the stem of a run's Idempotency-Keys.
 * Errors: ERR_INTERNAL. */
int client_key(char key[33], struct err *err);

#endif
