/* offload.c - see common/offload.h */
#include "server/common/offload.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#define NICENESS 10 /* a thread that serves gets nine times as much of a processor that both want */

struct list {
    struct offload_task *first, *last;
};

struct offload {
    pthread_mutex_t lock; /* of all below, and of the pool's own in each task */
    pthread_cond_t wake;  /* of the threads: a task has come, or the end      */
    struct list queue, running;
    bool stopping;
    struct offload_counts counts;
    unsigned n_threads, n_seats;
    pthread_t threads[];
};

static void list_add(struct list *list, struct offload_task *task)
{
    task->previous = list->last;
    task->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = task;
    list->last = task;
}

static void list_remove(struct list *list, struct offload_task *task)
{
    *(task->previous != NULL ? &task->previous->next : &list->first) = task->next;
    *(task->next != NULL ? &task->next->previous : &list->last) = task->previous;
}

/* The next task for that thread, taken out of the queue; NULL: none. With the lock held. */
static struct offload_task *take(struct offload *offload, bool short_only)
{
    struct offload_task *task = offload->queue.first;
    while (task != NULL && short_only && task->length != OFFLOAD_SHORT)
        task = task->next;
    if (task == NULL)
        return NULL;
    list_remove(&offload->queue, task);
    list_add(&offload->running, task);
    task->queued = false;
    offload->counts.waiting--;
    offload->counts.running++;
    return task;
}

static void *offload_thread(void *context)
{
    struct offload *offload = context;
    (void)pthread_setname_np(pthread_self(), "convd-heavy");
    /* On Linux of the calling thread, at most 19; where it may not, it has less patience with others. */
    (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICENESS);
    (void)pthread_mutex_lock(&offload->lock);
    const bool short_only = offload->n_seats++ == 0;
    for (;;) {
        /* At a stop the queue is offload_stop()'s: what is taken now would not be told that it is cancelled. */
        struct offload_task *task = offload->stopping ? NULL : take(offload, short_only);
        if (task != NULL) {
            (void)pthread_mutex_unlock(&offload->lock);
            if (!cancelled(&task->cancel))
                task->run(task);
            (void)pthread_mutex_lock(&offload->lock);
            list_remove(&offload->running, task);
            offload->counts.running--;
            offload->counts.cancelled += cancelled(&task->cancel) ? 1 : 0;
            (void)pthread_mutex_unlock(&offload->lock);
            task->done(task); /* it may be gone from here on */
            (void)pthread_mutex_lock(&offload->lock);
        } else if (offload->stopping) {
            break;
        } else {
            (void)pthread_cond_wait(&offload->wake, &offload->lock);
        }
    }
    (void)pthread_mutex_unlock(&offload->lock);
    return NULL;
}

struct offload *offload_create(unsigned threads, struct err *err)
{
    assert(threads >= 2);
    struct offload *offload = calloc(1, sizeof *offload + threads * sizeof *offload->threads);
    if (offload == NULL) {
        err_memory(err, "%u threads", threads);
        return NULL;
    }
    (void)pthread_mutex_init(&offload->lock, NULL);
    (void)pthread_cond_init(&offload->wake, NULL);
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = 0;
    while (offload->n_threads < threads && status == 0) {
        status = pthread_create(&offload->threads[offload->n_threads], NULL, offload_thread, offload);
        offload->n_threads += status == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == 0)
        return offload;
    err_set(err, ERR_MEMORY, "cannot start thread %u of %u", offload->n_threads + 1, threads);
    offload_free(offload);
    return NULL;
}

int offload_submit(struct offload *offload, struct offload_task *task, struct err *err)
{
    int status = 0;
    (void)pthread_mutex_lock(&offload->lock);
    if (offload->stopping) {
        status = err_set(err, ERR_STOPPING, "convd is stopping");
    } else if (offload->counts.waiting >= OFFLOAD_QUEUE_MAX) {
        offload->counts.refused++;
        status = err_set(err, ERR_BUSY, "%u heavy requests wait, the limit: try again later", OFFLOAD_QUEUE_MAX);
    } else {
        task->queued = true;
        list_add(&offload->queue, task);
        offload->counts.waiting++;
        offload->counts.total++;
        /* Not one of them: it might be the one that takes short tasks only. */
        (void)pthread_cond_broadcast(&offload->wake);
    }
    (void)pthread_mutex_unlock(&offload->lock);
    return status;
}

/* Out of the queue, where it is there. With the lock held. */
static bool withdraw(struct offload *offload, struct offload_task *task)
{
    if (!task->queued)
        return false;
    list_remove(&offload->queue, task);
    task->queued = false;
    offload->counts.waiting--;
    offload->counts.cancelled++;
    return true;
}

void offload_cancel(struct offload *offload, struct offload_task *task, enum cancel_reason reason)
{
    (void)pthread_mutex_lock(&offload->lock);
    (void)cancel(&task->cancel, reason);
    const bool withdrawn = withdraw(offload, task);
    (void)pthread_mutex_unlock(&offload->lock);
    if (withdrawn)
        task->done(task);
}

struct offload_counts offload_counts(struct offload *offload)
{
    (void)pthread_mutex_lock(&offload->lock);
    const struct offload_counts counts = offload->counts;
    (void)pthread_mutex_unlock(&offload->lock);
    return counts;
}

void offload_stop(struct offload *offload)
{
    struct offload_task *task;
    (void)pthread_mutex_lock(&offload->lock);
    offload->stopping = true;
    for (task = offload->running.first; task != NULL; task = task->next)
        (void)cancel(&task->cancel, CANCEL_STOPPING);
    while ((task = offload->queue.first) != NULL) {
        (void)cancel(&task->cancel, CANCEL_STOPPING);
        (void)withdraw(offload, task);
        (void)pthread_mutex_unlock(&offload->lock);
        task->done(task);
        (void)pthread_mutex_lock(&offload->lock);
    }
    (void)pthread_cond_broadcast(&offload->wake);
    (void)pthread_mutex_unlock(&offload->lock);
    for (; offload->n_threads > 0; offload->n_threads--)
        (void)pthread_join(offload->threads[offload->n_threads - 1], NULL);
}

void offload_free(struct offload *offload)
{
    if (offload == NULL)
        return;
    offload_stop(offload);
    (void)pthread_cond_destroy(&offload->wake);
    (void)pthread_mutex_destroy(&offload->lock);
    free(offload);
}
