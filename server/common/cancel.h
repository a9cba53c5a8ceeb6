/* cancel.h - long work asks whether anybody still wants it.
 *
 * Work for a request that takes more than a few milliseconds has a struct cancel, and asks cancelled() at least every few milliseconds: it
 * costs a load. Whoever knows that the work is wanted no more (the request's deadline has passed, its client has gone, the daemon stops)
 * says so with cancel(), from any thread; the work then ends with cancel_err().
 */
#ifndef CONVD_SERVER_COMMON_CANCEL_H
#define CONVD_SERVER_COMMON_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

enum cancel_reason { CANCEL_NONE, CANCEL_LATE, CANCEL_GONE, CANCEL_STOPPING };

struct cancel {
    atomic_int reason; /* zeroed: go on */
};

/* cancel - the first reason stays. false: there was one. */
static inline bool cancel(struct cancel *cancel, enum cancel_reason reason)
{
    int none = CANCEL_NONE;
    return atomic_compare_exchange_strong(&cancel->reason, &none, (int)reason);
}

/* cancelled - NULL: nobody can cancel it. */
static inline bool cancelled(const struct cancel *cancel)
{
    return cancel != NULL && atomic_load_explicit(&cancel->reason, memory_order_relaxed) != CANCEL_NONE;
}

/* cancel_err - what is said of work that was cancelled. Returns -1. */
static inline int cancel_err(const struct cancel *cancel, struct err *err)
{
    switch ((enum cancel_reason)atomic_load(&cancel->reason)) {
    case CANCEL_STOPPING:
        return err_set(err, ERR_STOPPING, "convd is stopping");
    case CANCEL_GONE:
        return err_set(err, ERR_BUSY, "the client left before the request was done");
    case CANCEL_LATE:
    case CANCEL_NONE:
        break;
    }
    return err_set(err, ERR_BUSY, "the request took longer than its time limit: send less at once, or try later");
}

#endif
