/* offload.h - a pool of threads for heavy requests, so that the HTTP threads have time for the light ones.
 *
 * An HTTP thread serves many connections: whatever it does for one of them, the others wait for. So it does itself what takes a fraction
 * of a millisecond, and hands over what takes longer: many images, large pictures, large JSON. The connection sleeps meanwhile
 * (routes/call.h: call_offload()). Threads of the pool have a lower priority than those that serve, and are a few, so that any number of
 * heavy requests takes processors, but not the responses, from the others.
 *
 * Two lengths of task wait in one queue, in order of arrival. One thread takes short ones only, so that a crowd of long ones (seconds each)
 * does not keep those of some milliseconds waiting. The queue is bounded by number; the bodies that wait in it are bounded by http/body_buffer.h.
 *
 * A task is the caller's memory. run() is called in a thread of the pool, done() once after it, in the same thread; where the task is
 * cancelled before it began, done() alone, in the thread that cancelled it. done() is the last that the pool knows of a task.
 */
#ifndef CONVD_SERVER_COMMON_OFFLOAD_H
#define CONVD_SERVER_COMMON_OFFLOAD_H

#include <stdint.h>

#include "server/common/cancel.h"

#define OFFLOAD_QUEUE_MAX 1024u /* tasks that wait; one more: ERR_BUSY */

enum offload_length { OFFLOAD_SHORT, OFFLOAD_LONG }; /* at most some tens of milliseconds; unknown, or longer */

struct offload_task {
    void (*run)(struct offload_task *task);
    void (*done)(struct offload_task *task);
    enum offload_length length;
    struct cancel cancel; /* run() asks */

    /* the pool's own */
    struct offload_task *previous, *next;
    bool queued;
};

struct offload_counts {
    uint64_t waiting, running, total, refused, cancelled;
};

struct offload;

/* offload_create - so many threads, at least 2. Errors: ERR_MEMORY. */
struct offload *offload_create(unsigned threads, struct err *err);

/* offload_submit - any thread. Errors: ERR_BUSY (the queue is full), ERR_STOPPING; then neither run() nor done() is called. */
int offload_submit(struct offload *offload, struct offload_task *task, struct err *err);

/* offload_cancel - any thread, as long as done() was not called: a task that waits is done at once, one that runs is told. */
void offload_cancel(struct offload *offload, struct offload_task *task, enum cancel_reason reason);

struct offload_counts offload_counts(struct offload *offload);

/* offload_stop - takes nothing more, cancels all tasks, and returns when all of them are done. offload_free - does that, too; NULL is fine. */
void offload_stop(struct offload *offload);
void offload_free(struct offload *offload);

#endif
