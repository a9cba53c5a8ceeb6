/* pending.c - a request that waits: its connection sleeps until what it waits for has happened, or the reaper gives up. */
#include <assert.h>

#include "server/http/internal.h"

void http_pending_suspend(struct http_connection *connection, struct http_pending *pending)
{
    struct http *http = connection->http;
    pending->suspended = connection->mhd;
    atomic_store(&pending->state, PENDING_WAITS);
    http_connection_move(connection, PHASE_PENDING);
    atomic_fetch_add(&http->n_suspended, 1);
    MHD_suspend_connection(connection->mhd);
    pthread_mutex_lock(&http->lock);
    connection->pending = pending;
    connection->cancelled = false;
    pthread_mutex_unlock(&http->lock);
    pending->start(pending); /* from here on it may be resumed at any time */
}

struct http_pending *http_pending_take(struct http_connection *connection)
{
    struct http *http = connection->http;
    pthread_mutex_lock(&http->lock);
    struct http_pending *pending = connection->pending;
    connection->pending = NULL;
    pthread_mutex_unlock(&http->lock);
    atomic_fetch_sub(&http->n_suspended, 1);
    assert(pending == NULL || atomic_load(&pending->state) == PENDING_DONE);
    return pending;
}

void http_pending_done(struct http_pending *pending)
{
    struct MHD_Connection *mhd = pending->suspended; /* may be dangling where the reaper has been: not looked at then */
    int waits = PENDING_WAITS;
    if (atomic_compare_exchange_strong(&pending->state, &waits, PENDING_DONE))
        MHD_resume_connection(mhd); /* the pending may be gone from here on */
    else
        pending->free(pending);
}

static bool cancel_once(struct http_connection *connection, enum cancel_reason reason)
{
    struct http_pending *pending = connection->pending;
    if (connection->cancelled)
        return false;
    connection->cancelled = true;
    pending->cancel(pending, reason);
    return true;
}

bool http_pending_give_up(struct http_connection *connection)
{
    if (connection->pending->cancel != NULL)
        return cancel_once(connection, CANCEL_LATE);
    int waits = PENDING_WAITS;
    if (!atomic_compare_exchange_strong(&connection->pending->state, &waits, PENDING_ABANDONED))
        return false;
    connection->pending = NULL; /* its owner frees it when it is done */
    MHD_resume_connection(connection->mhd);
    return true;
}

void http_pending_look(struct http_connection *connection)
{
    if (connection->pending->cancel != NULL && http_connection_is_gone(connection))
        (void)cancel_once(connection, CANCEL_GONE);
}
