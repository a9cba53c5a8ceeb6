/* body_buffer.h - a request's body while it comes in: counted, limited, and collected in memory that is used again.
 *
 * A connection keeps a small buffer of its own. Larger bodies are collected in buffers that count against a budget of all connections
 * together, so that memory does not grow with their number; a few of these stay behind for the next large body, since pages
 * from the kernel cost a batch of images a tenth of its time.
 *
 * Answers that wait for their clients to read them are counted as well, against a budget of their own: http_reply_charge().
 *
 * struct http_bodies is shared, its functions may be called by any thread; a struct http_body is its connection's.
 */
#ifndef CONVD_SERVER_HTTP_BODY_BUFFER_H
#define CONVD_SERVER_HTTP_BODY_BUFFER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "server/common/text.h"

#define HTTP_BODY_SMALL_BYTES 32768u            /* kept by a connection                           */
#define HTTP_BODY_SPARE_BYTES ((size_t)1 << 19) /* at most, of a buffer that stays behind         */
#define HTTP_BODY_SPARES_MAX  8u

struct http_bodies {
    uint64_t limit;                     /* of one body                                                     */
    uint64_t budget;                    /* of all large ones together: 64 MiB, or four times the limit     */
    atomic_uint_fast64_t n_bytes;       /* that are charged to it                             */
    atomic_uint_fast64_t n_reply_bytes; /* of large responses that are being sent               */
    pthread_mutex_t lock;               /* of what follows                                    */
    struct text spares[HTTP_BODY_SPARES_MAX];
    unsigned n_spares, n_spares_max;
};

struct http_body {
    struct text text; /* what came, whole when http_body_check() says 0; a route may take it */
    uint64_t received, charged;
    bool too_large;
    enum err_code failed; /* ERR_MEMORY or ERR_BUSY while it came in */
};

#define HTTP_REPLY_BUDGET_BYTES ((uint64_t)128 << 20)

/* http_reply_charge - a response that holds so many bytes may be sent: together they stay within the budget, and one that is larger than all
 * of it goes alone. false: it may not now. http_reply_end - it was sent, or its client is gone. */
bool http_reply_charge(struct http_bodies *bodies, uint64_t bytes);
void http_reply_end(struct http_bodies *bodies, uint64_t bytes);

void http_bodies_init(struct http_bodies *bodies, uint64_t limit, unsigned n_spares);
void http_bodies_fini(struct http_bodies *bodies); /* after every http_body_fini() */

/* http_body_begin - a new request, whose header says that length (0: it does not say). */
void http_body_begin(struct http_body *body, struct http_bodies *bodies, uint64_t length);

/* http_body_add - a piece. It is counted always, and kept as long as it is of use; false: cut the connection, which goes on sending a
 * chunked body at twice the limit. */
bool http_body_add(struct http_body *body, struct http_bodies *bodies, const char *bytes, size_t n);

/* http_body_check - when it is whole. Errors: ERR_TOO_LARGE, ERR_BUSY (the budget), ERR_MEMORY. */
int http_body_check(const struct http_body *body, const struct http_bodies *bodies, struct err *err);

/* http_body_end - the request is over: what is large goes back. http_body_fini - so is the connection. */
void http_body_end(struct http_body *body, struct http_bodies *bodies);
void http_body_fini(struct http_body *body, struct http_bodies *bodies);

#endif
