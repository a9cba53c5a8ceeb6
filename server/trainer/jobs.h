/* jobs.h - long work that goes on behind the responses, and what is told of it: GET /jobs.
 *
 * Whoever does the work (the trainer, chunk by chunk) reports to this table; anybody may look, and may wait for the end. The
 * table knows nothing of the kinds of work: "rehearse" is a word to it.
 *
 *     running --> done        all of it; what failed on the way (jobs_trouble()) and went well the next time is forgotten
 *             --> failed      err says why; what was done until then stays, it is in the log
 *             --> cancelled   by DELETE /jobs/{id}, by a stop of the daemon, or overtaken by events: err says which
 *
 * One job of each kind runs at a time; another of that kind is refused meanwhile (ERR_CONFLICT). The last JOBS_KEPT are
 * remembered, in memory, and those that run in any case: after a restart there are none; a rehearsal that was unfinished is not taken
 * up again, an edit of the past is, as a new job. Ids count up from the log's revision at the start; a job appends an
 * event at least, so an id is not given again by a later process.
 *
 * Any thread may call anything, except where it says otherwise.
 */
#ifndef CONVD_SERVER_TRAINER_JOBS_H
#define CONVD_SERVER_TRAINER_JOBS_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define JOBS_KEPT 32u

enum job_state { JOB_STATE_RUNNING, JOB_STATE_DONE, JOB_STATE_FAILED, JOB_STATE_CANCELLED };

/* What is known of one job: a copy. */
struct job_status {
    int64_t id;
    const char *kind; /* static */
    enum job_state state;
    uint64_t steps, steps_total; /* done, of how many; the unit is the kind's              */
    uint64_t pass, passes;       /* the one that is at work, counted from 1                */
    uint64_t revision;           /* of its last event, or of the log before it             */
    int64_t started_us;          /* since 1970                                             */
    double seconds;              /* until now, or until its end                            */
    struct err err;              /* failed, cancelled; running: why the last attempt failed */
    const char *then;            /* what follows from err; static; NULL: nothing but the end */
};

struct jobs;

/* jobs_create - first_id: of the first job. NULL: out of memory. jobs_free() - when nobody waits; NULL is fine. */
struct jobs *jobs_create(int64_t first_id, struct err *err);
void jobs_free(struct jobs *jobs);

/* job_state_name - "running", ..: the word in the JSON. */
const char *job_state_name(enum job_state state);

/* ---- who does the work: one thread ---- */

/* jobs_begin - a new running job; returns its id, or -1. `kind` is static. Errors: ERR_CONFLICT while one of
 * that kind runs. */
int64_t jobs_begin(struct jobs *jobs, const char *kind, uint64_t steps_total, uint64_t passes, uint64_t revision,
                   struct err *err);

/* jobs_progress - of a running job. */
void jobs_progress(struct jobs *jobs, int64_t id, uint64_t steps, uint64_t pass, uint64_t revision);

/* jobs_total - a running job has become longer, or shorter. */
void jobs_total(struct jobs *jobs, int64_t id, uint64_t steps_total);

/* jobs_trouble - an attempt of a running job failed; it goes on. then: what follows from it, static. */
void jobs_trouble(struct jobs *jobs, int64_t id, const struct err *err, const char *then);

/* jobs_end - a running job ends in that state; err NULL: nothing to say. Calls those who wait for it. */
void jobs_end(struct jobs *jobs, int64_t id, enum job_state state, const struct err *err);

/* jobs_forget - a job that has ended is remembered no more; one that is not known, or runs, stays as it is. */
void jobs_forget(struct jobs *jobs, int64_t id);

/* jobs_running - how many run. */
size_t jobs_running(struct jobs *jobs);

/* jobs_listen - `changed` is called at the beginning of each job, at its progress and at its end, in the thread that does the work. Before
 * the first job. */
void jobs_listen(struct jobs *jobs, void (*changed)(void *context, const struct job_status *job), void *context);

/* ---- who looks ---- */

/* jobs_find - 1 found, 0 not. */
int jobs_find(struct jobs *jobs, int64_t id, struct job_status *out);

/* jobs_list - all that are remembered, oldest first, into `out` [JOBS_KEPT]; returns how many. */
size_t jobs_list(struct jobs *jobs, struct job_status *out);

/* One who waits for a job's end, but not longer than until then. */
struct job_watch {
    int64_t id;
    int64_t until_ms;                      /* now_ms() of common/clock.h: the monotonic clock       */
    void (*done)(struct job_watch *watch); /* called once; the watch is the caller's again   */
    void *context;                         /* the caller's */
    struct job_watch *next;                /* the table's */
};

/* jobs_watch - calls watch->done() when the job has ended (at once where it has, or is not known) or the time is over; in the
 * thread that ends it, or in that of jobs_wake(). */
void jobs_watch(struct jobs *jobs, struct job_watch *watch);

/* jobs_wake - calls those whose time is over. Whoever does the work calls it between chunks. */
void jobs_wake(struct jobs *jobs, int64_t now_ms);

#endif
