/* descriptors.h - how many connections the descriptors of this process are enough for.
 *
 * Each open file and each socket takes one of those that RLIMIT_NOFILE allows (ulimit -n, LimitNOFILE=). So --connections is what is
 * asked for, and this is what can be had: the rest after what is open already, what the daemon will open for itself, and some for
 * connections that are on their way out, so that a new one need not wait until an old one is gone.
 */
#ifndef CONVD_SERVER_DAEMON_DESCRIPTORS_H
#define CONVD_SERVER_DAEMON_DESCRIPTORS_H

#include "core/err.h"

/* descriptors_raise - the limit, to as much as that many connections need, as far as the system allows. */
void descriptors_raise(unsigned connections);

/* descriptors_share - when all is open but the HTTP server with that many threads: *connections: asked for, and what can be had; *spare:
 * for http_config. Errors: ERR_USAGE: not enough for a single one. */
int descriptors_share(unsigned *connections, unsigned *spare, unsigned threads, struct err *err);

#endif
