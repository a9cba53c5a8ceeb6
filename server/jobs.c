/* jobs.c - see jobs.h. The table is a ring of JOBS_KEPT: job number n of this process is in place n % JOBS_KEPT. Nobody is called
 * while the lock is held, so that a watcher may look into the table. */
#include "server/jobs.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/clock.h"
#include "store/store.h"

struct jobs {
    pthread_mutex_t lock;
    int64_t first_id;
    uint64_t n; /* jobs that there have been; the last is the one that may be running */
    struct job_status ring[JOBS_KEPT];
    uint64_t begun_us; /* monotonic: of the running job */
    struct job_watch *watches;
    void (*changed)(void *context, const struct job_status *job); /* NULL: nobody listens */
    void *context;
};

struct jobs *jobs_create(int64_t first_id, struct err *err)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    if (jobs == NULL) {
        err_set(err, ERR_MEMORY, "no memory for the table of jobs");
        return NULL;
    }
    (void)pthread_mutex_init(&jobs->lock, NULL);
    jobs->first_id = first_id;
    return jobs;
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    assert(jobs->watches == NULL);
    (void)pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {[JOB_STATE_RUNNING] = "running",
                                        [JOB_STATE_DONE] = "done",
                                        [JOB_STATE_FAILED] = "failed",
                                        [JOB_STATE_CANCELLED] = "cancelled"};
    return names[state];
}

/* With the lock held: the job that runs, or NULL. */
static struct job_status *running(struct jobs *jobs)
{
    struct job_status *last = jobs->n == 0 ? NULL : &jobs->ring[(jobs->n - 1) % JOBS_KEPT];
    return last != NULL && last->state == JOB_STATE_RUNNING ? last : NULL;
}

static double seconds_since(uint64_t begun_us)
{
    return (double)(clock_us() - begun_us) / 1e6;
}

/* With the lock held: job number n of this process. */
static void copy(struct job_status *out, const struct jobs *jobs, uint64_t n)
{
    *out = jobs->ring[n % JOBS_KEPT];
    if (out->state == JOB_STATE_RUNNING)
        out->seconds = seconds_since(jobs->begun_us);
}

void jobs_listen(struct jobs *jobs, void (*changed)(void *context, const struct job_status *job), void *context)
{
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->changed = changed;
    jobs->context = context;
    (void)pthread_mutex_unlock(&jobs->lock);
}

/* Without the lock, by the thread that does the work: only that one changes the last job. */
static void tell(struct jobs *jobs)
{
    struct job_status job;
    (void)pthread_mutex_lock(&jobs->lock);
    copy(&job, jobs, jobs->n - 1);
    void (*changed)(void *, const struct job_status *) = jobs->changed;
    void *context = jobs->context;
    (void)pthread_mutex_unlock(&jobs->lock);
    if (changed != NULL)
        changed(context, &job);
}

int64_t jobs_begin(struct jobs *jobs, const char *kind, uint64_t steps_total, uint64_t passes, uint64_t revision,
                   struct err *err)
{
    int64_t id = -1;
    (void)pthread_mutex_lock(&jobs->lock);
    const struct job_status *other = running(jobs);
    if (other != NULL) {
        err_set(err, ERR_CONFLICT, "job %lld (%s) is running: wait for its end, or DELETE /jobs/%lld",
                (long long)other->id, other->kind, (long long)other->id);
    } else {
        id = jobs->first_id + (int64_t)jobs->n;
        jobs->ring[jobs->n++ % JOBS_KEPT] = (struct job_status){.id = id,
                                                                .kind = kind,
                                                                .steps_total = steps_total,
                                                                .pass = 1,
                                                                .passes = passes,
                                                                .revision = revision,
                                                                .started_us = store_now_us()};
        jobs->begun_us = clock_us();
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    if (id >= 0)
        tell(jobs);
    return id;
}

void jobs_progress(struct jobs *jobs, uint64_t steps, uint64_t pass, uint64_t revision)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_status *job = running(jobs);
    assert(job != NULL && steps <= job->steps_total && pass <= job->passes);
    job->steps = steps;
    job->pass = pass;
    job->revision = revision;
    (void)pthread_mutex_unlock(&jobs->lock);
    tell(jobs);
}

void jobs_total(struct jobs *jobs, uint64_t steps_total)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_status *job = running(jobs);
    assert(job != NULL);
    job->steps_total = steps_total;
    job->steps = job->steps < steps_total ? job->steps : steps_total;
    (void)pthread_mutex_unlock(&jobs->lock);
}

void jobs_trouble(struct jobs *jobs, const struct err *err, const char *then)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_status *job = running(jobs);
    assert(job != NULL);
    job->err = *err;
    job->then = then;
    (void)pthread_mutex_unlock(&jobs->lock);
    tell(jobs);
}

/* Takes the watches out that are of that job (id), or whose time is over (now_ms); with the lock held. */
static struct job_watch *take_watches(struct jobs *jobs, int64_t id, int64_t now_ms)
{
    struct job_watch *taken = NULL, **end = &taken;
    for (struct job_watch **at = &jobs->watches; *at != NULL;) {
        struct job_watch *watch = *at;
        if (watch->id != id && watch->until_ms > now_ms) {
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        watch->next = NULL;
        *end = watch;
        end = &watch->next;
    }
    return taken;
}

static void call(struct job_watch *watches)
{
    for (struct job_watch *next; watches != NULL; watches = next) {
        next = watches->next;
        watches->done(watches); /* it may be gone afterwards */
    }
}

void jobs_end(struct jobs *jobs, enum job_state state, const struct err *err)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_status *job = running(jobs);
    assert(job != NULL && state != JOB_STATE_RUNNING);
    job->seconds = seconds_since(jobs->begun_us);
    job->state = state;
    job->err = err != NULL ? *err : (struct err){0};
    job->then = err != NULL ? job->then : NULL;
    struct job_watch *watches = take_watches(jobs, job->id, INT64_MIN);
    (void)pthread_mutex_unlock(&jobs->lock);
    tell(jobs);
    call(watches);
}

int64_t jobs_running(struct jobs *jobs)
{
    (void)pthread_mutex_lock(&jobs->lock);
    const struct job_status *job = running(jobs);
    int64_t id = job != NULL ? job->id : 0;
    (void)pthread_mutex_unlock(&jobs->lock);
    return id;
}

static uint64_t oldest(const struct jobs *jobs)
{
    return jobs->n > JOBS_KEPT ? jobs->n - JOBS_KEPT : 0;
}

int jobs_find(struct jobs *jobs, int64_t id, struct job_status *out)
{
    (void)pthread_mutex_lock(&jobs->lock);
    uint64_t n = (uint64_t)(id - jobs->first_id);
    int found = id >= jobs->first_id && n < jobs->n && n >= oldest(jobs);
    if (found)
        copy(out, jobs, n);
    (void)pthread_mutex_unlock(&jobs->lock);
    return found;
}

size_t jobs_list(struct jobs *jobs, struct job_status *out)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&jobs->lock);
    for (uint64_t i = oldest(jobs); i < jobs->n; i++)
        copy(&out[n++], jobs, i);
    (void)pthread_mutex_unlock(&jobs->lock);
    return n;
}

void jobs_watch(struct jobs *jobs, struct job_watch *watch)
{
    (void)pthread_mutex_lock(&jobs->lock);
    const struct job_status *job = running(jobs);
    bool wait = job != NULL && job->id == watch->id;
    watch->next = NULL;
    if (wait) {
        watch->next = jobs->watches;
        jobs->watches = watch;
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    if (!wait)
        call(watch);
}

void jobs_wake(struct jobs *jobs, int64_t now_ms)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_watch *watches = take_watches(jobs, 0, now_ms);
    (void)pthread_mutex_unlock(&jobs->lock);
    call(watches);
}
