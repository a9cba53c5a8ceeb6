/* guard.h - who may ask: against DNS rebinding and against foreign web pages, for a daemon without passwords.
 *
 * A web page elsewhere can make its reader's browser send requests to 127.0.0.1. Two things tell such requests apart:
 *
 *   Host     A rebound name (evil.example -> 127.0.0.1) comes with its own name in Host. A daemon that listens on loopback
 *            answers only to loopback names (localhost, *.localhost, 127.0.0.0/8, [::1]) and to the address it listens on.
 *   Origin   Browsers send it with every cross-origin POST. It must be http:// or https:// + Host. No Origin: a script or curl.
 *   Sec-Fetch-Site   where present, must be same-origin or none.
 */
#ifndef CONVD_SERVER_GUARD_H
#define CONVD_SERVER_GUARD_H

#include <stdbool.h>

#include "core/err.h"
#include "server/request.h"

struct guard {
    bool loopback_only;   /* the daemon listens on loopback: check Host   */
    char listen_host[64]; /* as in a URL: "127.0.0.1", "[::1]"            */
};

/* guard_check - Errors: ERR_FORBIDDEN, which says what would be accepted. Origin is checked for methods that change or
 * compute something (POST, PATCH, DELETE), since a foreign page cannot read the answer of the others. */
int guard_check(const struct guard *guard, const struct request *request, struct err *err);

/* host_is_loopback - the authority of a URL or a Host header, port or not. */
bool host_is_loopback(const char *host);

#endif
