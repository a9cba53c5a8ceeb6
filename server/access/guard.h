/* guard.h - who may ask, whatever token they have: against DNS rebinding and against foreign web pages.
 *
 * A web page elsewhere can make its reader's browser send requests to 127.0.0.1. Three things tell such requests apart:
 *
 *   Host     A rebound name (evil.example -> 127.0.0.1) comes with its own name in Host. A daemon that listens on loopback
 *            answers there only to loopback names (localhost, *.localhost, 127.0.0.0/8, [::1]), and to those of `hosts`.
 *   Origin   Browsers send it with every cross-origin POST and with fetch(). It must be this daemon's scheme + Host. No Origin: a
 *            script or curl.
 *   Sec-Fetch-Site   where present, must be same-origin or none. One thing alone may come from another site: that somebody follows a
 *            link to the page (GET /, as a document of its own, says Sec-Fetch-Mode and -Dest).
 *
 * That holds for every method. A foreign page cannot read the response to its GET, but <img src="http://127.0.0.1:8080/backup"> would
 * have the whole database copied as often as it likes.
 *
 * What comes over a UNIX socket comes from no browser, but perhaps from a proxy, which puts its own name into Host: Host is
 * not checked there, Origin is.
 */
#ifndef CONVD_SERVER_ACCESS_GUARD_H
#define CONVD_SERVER_ACCESS_GUARD_H

#include <stdbool.h>

#include "core/err.h"
#include "server/message/request.h"

struct guard {
    bool loopback_only; /* all that is listened on over TCP is loopback: check Host       */
    const char *hosts;  /* other names to answer to, with commas, "*": any; NULL: none.
                           Where there are some, Host is checked on every address         */
};

/* guard_hosts_check - whether that is a list of names for `hosts`. Errors: ERR_USAGE. */
int guard_hosts_check(const char *hosts, struct err *err);

/* guard_check - local: the request came over a UNIX socket. With TLS (request->https) https:// is the one scheme of our own
 * pages; else a proxy may have added it. Errors: ERR_FORBIDDEN, which says what would be accepted. */
int guard_check(const struct guard *guard, bool local, const struct request *request, struct err *err);

/* host_is_loopback - the authority of a URL or a Host header, port or not. */
bool host_is_loopback(const char *host);

#endif
