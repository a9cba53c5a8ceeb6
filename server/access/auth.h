/* auth.h - who may do what: two bearer tokens, one for reading and one for everything (RFC 6750).
 *
 *   token     from                                          opens
 *   reading   --read-token-file,  convd-read-token          GET, HEAD, OPTIONS, and what only computes: POST /predict
 *   writing   --write-token-file, convd-write-token         the same, and all that changes the model
 *
 * A file's first line is the token: 16 to 512 characters of those that RFC 6750 lets a token have. Others than its owner
 * and group may not be able to read it. Without the flag, a systemd credential of the name above is taken where there is
 * one ($CREDENTIALS_DIRECTORY, LoadCredential=). Never from the command line, which every user of a machine can see.
 *
 * As soon as one of them is set, nothing is answered without one but what tells no more than that convd is here and how it
 * is asked: /, /healthz, /readyz, /openapi.json and /v2/health/. Where one of the two is missing, what it would open is closed to
 * everybody (reading: to all but the writing token). With none, everything is open: that is for loopback and UNIX sockets,
 * and http/listen.h refuses it elsewhere.
 *
 * What is kept and compared are SHA-256 digests, all of their bytes every time, of both tokens every time: how long the
 * comparison takes tells nothing about how much of a guess was right, or of which token.
 */
#ifndef CONVD_SERVER_ACCESS_AUTH_H
#define CONVD_SERVER_ACCESS_AUTH_H

#include <stdbool.h>

#include "core/err.h"
#include "server/message/request.h"
#include "server/message/response.h"

#define TOKEN_BYTES_MIN 16u
#define TOKEN_BYTES_MAX 512u

struct auth;

/* auth_open - reads the files; NULL: no flag was given, the credential is looked for. The paths are copied.
 * Errors: ERR_USAGE: unreadable, too open, too short, not a token, or the same token twice: says how to mend it. ERR_MEMORY. */
int auth_open(struct auth **out, const char *read_file, const char *write_file, struct err *err);
void auth_close(struct auth *auth); /* NULL is fine */

/* auth_on - whether any token is set: fixed by auth_open(), auth_reload() never opens what was closed. */
bool auth_on(const struct auth *auth);

/* auth_reload - reads the same files again; from then on only what they hold now is accepted. On error the tokens stay
 * as they were. Any one thread, while others check. Errors: as auth_open(). */
int auth_reload(struct auth *auth, struct err *err);

/* auth_grant - what an Authorization header (NULL: none came) gives its sender. Any thread; costs two SHA-256 at most. */
enum access auth_grant(struct auth *auth, const char *authorization);

/* auth_check - sets request->granted; 0 where that is at least what is needed. -1: *response says 401 (no token, or one
 * that is not known) or 403 (the reading token, where the writing one is needed), both with WWW-Authenticate. */
int auth_check(struct auth *auth, enum access needed, struct request *request, struct response *response);

/* token_check - whether text is fit for one; where: what it is called in the error. Errors: ERR_USAGE. */
int token_check(const char *text, const char *where, struct err *err);

/* token_read - the token in a file, for a client as for the daemon. token: zero-terminated. Errors: ERR_USAGE. */
int token_read(char token[TOKEN_BYTES_MAX + 1], const char *path, struct err *err);

#endif
