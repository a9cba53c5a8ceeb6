/* daemon.h - `convd serve`: from a database file to a listening daemon and back down.
 *
 * Start: open the store (or make a default model), recover, start the trainer, listen (or take systemd's socket), print
 * "listening on http://ADDRESS:PORT", tell systemd READY=1. Stop (SIGTERM, SIGINT): stop listening, answer what is queued,
 * take a snapshot, close. A second signal ends the wait for slow clients.
 */
#ifndef CONVD_SERVER_DAEMON_H
#define CONVD_SERVER_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/core.h"
#include "server/trainer.h"

struct daemon_config {
    const char *db;        /* database file; made with a default model where it does not exist                     */
    const char *listen;    /* "127.0.0.1:8080", "[::1]:0"; port 0 picks a free one. Loopback, unless listen_anywhere */
    bool listen_anywhere;  /* the operator's explicit word that others may reach an unprotected daemon              */
    unsigned threads;      /* of the HTTP pool                                                                     */
    unsigned connections;  /* at most, all threads together                                                        */
    unsigned idle_seconds; /* a connection without activity is closed after this                                    */
    unsigned
        request_seconds;   /* absolute deadline of one request, from its first byte                                 */
    uint64_t body_bytes;   /* largest request body; larger: 413 before it is read                                   */
    uint64_t image_pixels; /* largest decoded picture                                                              */
    uint32_t batch_images; /* most images or samples in one request                                                */
    const char *arith;     /* instruction set by name; NULL: the best                                              */
    struct trainer_config trainer;
};

struct daemon_config daemon_config_default(void);

/* daemon_run - blocks until told to stop. 0 after a clean stop. Errors: those of store_open, store_recover, listening (ERR_NETWORK). */
int daemon_run(const struct daemon_config *config, struct err *err);

#endif
