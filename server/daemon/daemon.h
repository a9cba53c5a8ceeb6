/* daemon.h - `convd serve`: from a database file to a listening daemon and back down.
 *
 * Start: read tokens and certificate, open the store (or make a default model), recover, start the trainer, listen (or take
 * systemd's sockets), print "listening on http://ADDRESS:PORT", a line for each socket, tell systemd READY=1.
 * SIGHUP: read the tokens again; where that fails, the log says why and the old ones stay. But SIGHUP from a terminal that
 * is gone stops. Stop (SIGTERM, SIGINT): stop listening, answer what is queued, take a snapshot, close. A second signal ends the
 * wait for slow clients.
 *
 * In reading order:
 *   daemon.c           start, serve, stop
 *   signals.{h,c}      signals, which come when the main thread asks for them
 *   watchdog.{h,c}     tells systemd that the daemon lives, and only when it does
 *   sandbox.{h,c}      what the process may open and ask of the kernel from then on
 *   descriptors.{h,c}  how many connections this process has descriptors for
 */
#ifndef CONVD_SERVER_DAEMON_DAEMON_H
#define CONVD_SERVER_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "server/model/prediction_cache.h"
#include "server/trainer/trainer.h"

struct daemon_config {
    const char *db; /* database file; made with a default model where it does not exist                          */
    const char
        *log; /* of several machines, in PostgreSQL: a URL or keywords as libpq takes them; NULL: db has the log */
    const char *node;   /* what this one is called there; NULL: its host's name and the stem of db */
    const char *name;   /* of the model under /v2; NULL: the stem of db                                              */
    const char *listen; /* "127.0.0.1:8080", "[::1]:0", "unix:/path", or several with commas; port 0 picks a free one */
    bool listen_anywhere; /* the operator's explicit word that others may reach an unprotected daemon; without it,
                                addresses other than loopback need a token                                            */
    const char *hosts; /* names to answer to beside loopback's, with commas; "*": any, which needs tokens; NULL: none */
    const char *trusted_proxies; /* see access/proxy.h; NULL: none */
    const char *socket_mode; /* of UNIX sockets, in octal                                                             */
    const char *read_token_file,
        *write_token_file;          /* see access/auth.h; NULL: the credential, where there is one           */
    const char *tls_cert, *tls_key; /* files, see http/tls.h; NULL: no TLS                                 */
    unsigned threads;         /* of the HTTP pool                                                                     */
    unsigned connections;     /* at most, all threads together                                                        */
    unsigned idle_seconds;    /* a connection without activity is closed after this                                   */
    unsigned request_seconds; /* absolute deadline of one request, from its first byte                                */
    uint64_t body_bytes;      /* largest request body; larger: 413 before it is read                                  */
    uint64_t image_pixels;    /* largest decoded picture                                                              */
    uint64_t request_pixels;  /* of all pictures of a request; 0: four times image_pixels                             */
    uint32_t batch_images;    /* most images or samples in one request                                                */
    unsigned event_readers;   /* of GET /events, at most                                                              */
    uint32_t remember;        /* predictions that may get their label later, at most                                  */
    unsigned
        remember_seconds;   /* and for how long                                                                     */
    unsigned train_threads; /* that share the steps of a large model, the trainer one of them; 0: all processors    */
    const char *arith;      /* instruction set by name; NULL: the best                                              */
    const char
        *sandbox; /* "on", "off": see daemon/sandbox.h                                                          */
    const char
        *log_level; /* of common/logger.h, by name; SIGUSR1 makes it debug, SIGUSR2 this again                        */
    struct trainer_config trainer;
};

struct daemon_config daemon_config_default(void);

/* daemon_run - blocks until told to stop. 0 after a clean stop. Errors: those of auth_open, tls_open, store_open,
 * store_recover, listening (ERR_NETWORK). */
int daemon_run(const struct daemon_config *config, struct err *err);

#endif
